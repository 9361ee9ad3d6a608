# A write that nginx had given up, and executed locally, was still in the
# socket's buffer when the connection was closed.  After a network partition
# the kernel went on sending it, and Redis executed it over newer values.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

# a network of its own, which consists of lo, to be cut

my %unshare = (x86_64 => 272, aarch64 => 97);
my $CLONE_NEWNET = 0x40000000;
my $number = $unshare{(POSIX::uname())[4]};

plan(skip_all => 'a network namespace needs root, unshare and ip')
    unless is_root() && $number && system('ip -V > /dev/null 2>&1') == 0
           && syscall($number, $CLONE_NEWNET) == 0
           && system('ip link set lo up') == 0;


# what the kernel has still to send to a port, states apart from SYN_SENT

sub unsent {
    my ($port) = @_;

    my $SYN_SENT = 2;

    return grep { /^\s*\d+:\s+\S+\s+\S+:(\S+)\s+(\S+)\s+(\S+):/
                  && hex $1 == $port && hex $2 != $SYN_SENT && hex $3 }
           split /\n/, RF::slurp('/proc/net/tcp');
}


my $redis = RF::Redis->new(unix => 1);
my $t = Outage->new(redis => $redis, start => 0);
my $socket = $t->nginx->dir . '/http.sock';

$t->nginx->{http} .= <<END;
server {
    listen unix:$socket;
@{[ $t->server ]}
    location = /status { redis_fallback_status json; }
}
END
$t->nginx->start;


sub over_socket {
    my ($method, $uri, @body) = @_;

    return Outage::told(RF::HTTP::request("unix:$socket", $method, $uri,
                                          @body ? (body => @body) : ()));
}


sub mode {
    my $status = JSON::PP::decode_json(over_socket('GET', '/status')->{body});

    return $status->{stores}{app}{mode};
}


sub in_redis {
    my $conn = RF::Conn->new('unix:' . $redis->unix);
    my ($value) = RF::Redis::talk($conn, 5, 'GET', 'k');
    $conn->close;

    return $value;
}


is(over_socket('PUT', '/kv/k', 0)->{tier}, 'redis', 'a value in Redis');

# the kernel counts what was not acknowledged yet, which may take a moment

ok(wait_for(sub { !unsent($redis->port) }, 20), 'all was sent')
    or diag(unsent($redis->port));

is(system('ip link set lo down'), 0, 'a partition');

my $res = over_socket('PUT', '/kv/k', 1);
is("$res->{status} $res->{mode}", '204 fallback', 'a value in fallback');
ok(wait_for(sub { !unsent($redis->port) }),
   'nothing of it will be sent later') or diag(unsent($redis->port));

is(system('ip link set lo up'), 0, 'the network is back');
ok(wait_for(sub { mode() eq 'normal' }, 15), 'normal');
is(in_redis(), 1, 'it was replayed');

$res = over_socket('PUT', '/kv/k', 2);
is("$res->{status} $res->{tier}", '204 redis', 'a newer value');
is(in_redis(), 2, 'is in Redis');
ok(wait_for(sub { !unsent($redis->port) }, 20), 'nothing will come over it')
    or diag(unsent($redis->port));

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
