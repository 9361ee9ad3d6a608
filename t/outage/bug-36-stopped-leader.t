# A leader was stopped for longer than its lease, with a part of its slice on its
# way; another one replayed all of it, and Redis got the rest of the first one's
# after a newer value.

package HoldSlice;

# A proxy before a Redis.  While "hold" is there, it keeps what a client sends
# from the text in it on; once that has gone, it is passed on.

use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use IO::Socket::INET;
use Proxy;

our @ISA = 'Proxy';


sub serve {
    my ($self, $listen, $port) = @_;

    my $select = IO::Select->new($listen);
    my (%peer, %held);

    for ( ;; ) {
        for my $sock ($select->can_read(0.02)) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new("127.0.0.1:$port") or next;
                ($peer{$in}, $peer{$out}) = ($out, $in);
                $select->add($in, $out);
                next;
            }

            my $n = sysread $sock, my $data, 65536;

            if (!$n) {
                $select->remove($sock, $peer{$sock});
                close $peer{$sock};
                close $sock;
                next;
            }

            my $text = $self->has('hold') ? RF::slurp("$self->{dir}/hold") : '';

            if (defined $held{$sock}
                || ($text ne '' && index($data, $text) >= 0
                    && !$self->has('held')))
            {
                $held{$sock} .= $data;
                $self->set('held');
                next;
            }

            syswrite $peer{$sock}, $data;
        }

        next if !%held || $self->has('hold');

        for my $sock (grep { defined $held{"$_"} } $select->handles) {
            syswrite $peer{$sock}, $held{$sock};
        }

        %held = ();
        $self->set('released');
    }
}


package main;

use strict;
use warnings;

use RF;
use Outage;
use OutageApi;


my $redis = RF::Redis->new;
my $proxy = HoldSlice->start($redis);

# a stopped worker's calls are not late for the others

my $t = api_store($proxy, { timeout => int(1000 * slow(20)) . 'ms' },
                  workers => 2);
my $conns = $t->conns;
my @pids = sort keys %$conns;

sub ask {
    my ($pid, $method, $uri, @body) = @_;

    return Outage::told(RF::HTTP::request($t->spread, $method, $uri,
        conn => $conns->{$pid}, @body ? (body => @body) : ()));
}


$redis->kill;
ok($t->falls_back, 'an outage');
is(ask($pids[0], 'PUT', '/kv/key', 'older')->{status}, 204, 'a local write');

$proxy->set(hold => 'older');
$redis->start;
ok(wait_for(sub { $proxy->has('held') }, 20), 'its replay is on its way');

# the one of both that leads

my ($leader, $other);

for (0, 1) {
    ($leader, $other) = @pids[$_, 1 - $_];
    kill 'STOP', $leader;
    last if wait_for(sub { ($redis->cmd('GET', 'key') // '') eq 'older' }, 4);
    kill 'CONT', $leader;
}

is($redis->cmd('GET', 'key'), 'older', 'another one replays it');
ok(wait_for(sub { ask($other, 'GET', '/kv/none')->{mode} eq 'normal' }, 20),
   'normal');
is(ask($other, 'PUT', '/kv/key', 'newer')->{status}, 204, 'a newer value');
is($redis->cmd('GET', 'key'), 'newer', 'Redis has it');

$proxy->drop('hold');
ok(wait_for(sub { $proxy->has('released') }, 5), 'the rest of the first one');
$redis->cmd('PING') for 1 .. 10;
is($redis->cmd('GET', 'key'), 'newer', 'does not come');

kill 'CONT', $leader;
ok($t->wait_normal(20), 'normal again');
is($redis->cmd('GET', 'key'), 'newer', 'and it is the last');

$_->close for values %$conns;
ended($t);
$proxy->stop;

done_testing;
