# What another instance has left was replayed over a newer value: a worker had
# asked Redis to set the key before the leader took the record over, and was told
# so when that had been sent, too.

package HoldReplies;

# A proxy before a Redis.  While "hold" is there, Redis' replies are kept of each
# connection over which the text in "mark" has gone.

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
    my (%peer, %client, %marked, %held);

    for ( ;; ) {
        for my $sock ($select->can_read(0.02)) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new("127.0.0.1:$port") or next;
                ($peer{$in}, $peer{$out}) = ($out, $in);
                $client{$in} = 1;
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

            if ($client{$sock}) {
                my $mark = $self->has('hold') ? RF::slurp("$self->{dir}/mark")
                                              : '';
                $marked{ $peer{$sock} } = 1
                    if $mark ne '' && index($data, $mark) >= 0;

            } elsif ($marked{$sock}) {
                $held{$sock} .= $data;
                next;
            }

            syswrite $peer{$sock}, $data;
        }

        next if $self->has('hold');

        for my $sock (grep { defined $held{"$_"} } $select->handles) {
            syswrite $peer{$sock}, delete $held{$sock};
        }

        %marked = ();
    }
}


package main;

use strict;
use warnings;

use RF;
use Outage;
use OutageApi;


my $redis = RF::Redis->new;
my $proxy = HoldReplies->start($redis);

# a call has more time than the test needs

my $one = api_store($proxy, { timeout => int(1000 * slow(1.5)) . 'ms' },
                    workers => 2);
my $conns = $one->conns;
my $round = 0;

# one of them leads, and what it sends itself comes in order

for my $pid (sort keys %$conns) {
    my $key = 'key' . ++$round;
    my $conn = $conns->{$pid};
    my $two = api_store(RF::Redis->new(start => 0),
                        { path => $one->nginx->dir . '/app' });

    is(api($two, SET => $key, 'older'), 'OK', "$key: in the other's memory");

    $proxy->set(mark => "newer$round");
    $proxy->set('hold');
    $conn->write("PUT /kv/$key HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"
                 . "newer$round", now() + 5);
    ok(wait_for(sub { ($redis->cmd('GET', $key) // '') eq "newer$round" }),
       "$key: Redis has it");

    ok($two->nginx->stop, "$key: the other one goes");
    ok(wait_for(sub { !$one->handed_over }, 15), "$key: it is taken over");
    is($one->status->{pending}, 1, "$key: and pending");

    # where it is replayed at once, that takes a moment

    wait_for(sub { $redis->cmd('GET', $key) eq 'older' }, slow(0.25));
    $proxy->drop('hold');

    is($conn->bytes(12, now() + slow(10)), 'HTTP/1.1 204',
       "$key: acknowledged");
    ok($one->wait_normal(slow(20)), "$key: normal");
    is($redis->cmd('GET', $key), "newer$round", "$key: it is the last");
    is($one->get($key)->{body}, "newer$round", "$key: for nginx, too");
}

$_->close for values %$conns;
ended($one);
$proxy->stop;

done_testing;
