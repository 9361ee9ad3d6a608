# The second connection dies at the moment when Redis is asked to tell it of
# what changes: Redis knows it no more, and the worker still has it.  That is no
# Redis that does not track: it is tried again, nothing is vouched for meanwhile,
# and what changes is seen.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;


# A proxy before a Redis.  While there is a file "kill", each second connection
# is killed in Redis before it is asked to tell it what changes, and nginx hears
# of that after Redis' answer; each time is a line in "killed".

package Redirect;

use IO::Select;
use Proxy;

our @ISA = 'Proxy';


sub killed { return scalar(() = RF::slurp("$_[0]{dir}/killed") =~ /\n/g) }


sub serve {
    my ($self, $listen, $port) = @_;

    my $select = IO::Select->new($listen);
    my $own = IO::Socket::INET->new("127.0.0.1:$port") or die;
    my (%peer, %server, @ended, $answer);

    local $SIG{PIPE} = 'IGNORE';

    my $end = sub {
        my @ends = ($_[0], $peer{$_[0]});
        delete @$_{@ends} for \(%peer, %server);
        close $_ for @ends;
    };

    for ( ;; ) {
        for my $sock ($select->can_read(0.01)) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new("127.0.0.1:$port") or next;
                ($peer{$in}, $peer{$out}) = ($out, $in);
                $server{$out} = 1;
                $select->add($in, $out);
                next;
            }

            next if !$peer{$sock};

            if (!sysread $sock, my $data, 1 << 20) {

                # what waits for an answer is to have it first

                $select->remove($sock, $peer{$sock});
                push @ended, $sock;
                $answer = undef
                    if $answer && grep { $_ == $answer } $sock, $peer{$sock};

            } else {
                if (!$server{$sock} && $self->has('kill')
                    && $data =~ /REDIRECT\r\n\$\d+\r\n(\d+)\r\n/)
                {
                    my $id = $1;

                    syswrite $own, "CLIENT KILL ID $id\r\n";
                    sysread $own, my $reply, 100;
                    $answer = $peer{$sock};
                    RF::spew("$self->{dir}/killed",
                             RF::slurp("$self->{dir}/killed") . "$id $reply")
                        if $reply =~ /^:1/;
                }

                if ($answer && $sock == $answer) {
                    $answer = undef;
                    $self->set('answered', $data);
                }

                syswrite $peer{$sock}, $data;
            }
        }

        if (!$answer) {
            for my $sock (@ended) {
                $end->($sock) if $peer{$sock};
            }

            @ended = ();
        }
    }
}


package main;

my @get = ([ GET => 'k' ], [ GET => 'none' ]);


sub redirect {
    my ($workers) = @_;

    my $name = "$workers workers";
    my $redis = RF::Redis->new;
    my $proxy = Redirect->start($redis);

    $proxy->set($_) for qw(kill killed);

    my $t = Tracking->new(workers => $workers, redis => $redis,
        store => { server => '127.0.0.1:' . $proxy->port, connections => 1,
                   restore => 'off' });
    my @pids = $t->pids;
    my (@bad, $n);

    # each read is Redis' answer, while it goes on

    $n = 0;

    ok(wait_for(sub {
        my $value = 'value ' . $n++;
        $redis->cmd('SET', 'k', $value);

        for my $pid (@pids) {
            my ($is, $res) = $t->answer($pid, GET => 'k');
            push @bad, "$is, not $value ($res->{tier})"
                if $is ne $value || $res->{tier} ne 'redis';
        }

        return $proxy->killed >= 4 * $workers;
    }, 30), "$name: connections are killed") or diag($proxy->killed);

    is(join("\n", @bad), '', "$name: nothing is vouched for meanwhile");
    like(RF::slurp("$proxy->{dir}/answered"), qr/^-ERR .*does not exist/,
         "$name: Redis says so");
    ok(!$t->store->status->{redis}{tracking}, "$name: the status knows");
    unlike($t->nginx->log, qr/does not track/,
           "$name: that is none that does not track");

    $proxy->drop('kill');
    ok($t->tracks(30), "$name: Redis vouches at last");

    # how soon is what other tests ask, without a proxy in between

    ok($t->warm($pids[0], @get), "$name: memory answers");
    $redis->pipeline([ SET => 'k', 'new' ], [ SET => 'none', 'new' ]);
    ok(wait_for(sub {
        return !grep { $_ ne 'new' }
                map { my $pid = $_; map { ($t->answer($pid, @$_))[0] } @get } @pids;
    }, 5), "$name: what changes is seen");
    is($t->store->status->{outages}, 0, "$name: it is no outage");

    unlike($t->nginx->log, qr/does not track/, "$name: nor was it later");
    $t->ended;
    $proxy->stop;
}


redirect($_) for 1, 4;
done_testing;
