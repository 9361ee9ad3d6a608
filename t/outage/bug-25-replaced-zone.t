# A worker of an earlier configuration gave up a connection after a reload with
# another zone size: it noted that in the old zone, where nobody looked any more.
# So nobody ended the connection, and its commands were executed late, over what
# had been acknowledged since.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Delay;


# A deletion by an old worker, on its way when the zone is replaced.  It is given
# up while the new zone's workers are in normal mode; or in an outage, which is
# theirs, too.

sub replaced {
    my ($workers, $outage) = @_;

    my $name = "$workers workers, " . ($outage ? 'an outage' : 'normal');
    my $redis = RF::Redis->new;
    my $proxy = Delay->start($redis);
    my $t = Outage->new(workers => $workers, redis => $proxy,
                        store => { zone => '8m',
                                   timeout => 2000 + slow(500) . 'ms' });
    my $conns = $t->conns;
    my @pids = sort keys %$conns;

    for my $pid (@pids) {
        is($t->put("k$pid", 'old', conn => $conns->{$pid})->{status}, 204,
           "$name: a value");
    }

    ok($t->tracks, "$name: all connections are there");
    $proxy->set('hold');

    for my $pid (@pids) {
        $conns->{$pid}->write(RF::HTTP::format_request('DELETE', "/kv/k$pid",
                                                       keepalive => 1),
                              now() + 5);
    }

    ok(wait_for(sub { $workers == (() = $proxy->held =~ /\bDEL\b/g) }),
       "$name: on its way");
    $proxy->drop('hold') if !$outage;

    $t->configure(zone => '16m');
    ok($t->nginx->reload, "$name: another zone");

    if ($outage) {
        $redis->cmd('CONFIG', 'SET', 'requirepass', 'secret');
        $t->put('other', 'x');
        ok($t->wait_fallback, "$name: fallback");
    }

    for my $pid (@pids) {
        my $res = Outage::told(RF::HTTP::read_response($conns->{$pid}, 'DELETE',
                                                       now() + slow(10)));
        is("$res->{status} $res->{worker}", "502 $pid", "$name: UNCERTAIN");
    }

    for my $pid (@pids) {
        is($t->put("k$pid", 'new')->{status}, 204, "$name: a newer value");
    }

    if ($outage) {
        $proxy->drop('hold');
        $redis->cmd('CONFIG', 'SET', 'requirepass', '');
    }

    ok($t->wait_normal, "$name: normal");

    # no old worker is there any more, and what it gave up is not forgotten

    $_->close for values %$conns;
    ok(wait_for(sub { !grep { kill 0, $_ } @pids }), "$name: they are gone");

    for my $pid (@pids) {
        is($t->put("k$pid", 'newer')->{tier}, 'redis', "$name: and another");
    }

    # Redis has read what was released when it has answered what came later

    $proxy->set('release');
    ok(wait_for(sub { $proxy->has('released') }), "$name: now it comes");
    $redis->cmd('PING') for 1 .. 3;

    is(join(' ', map { $redis->cmd('GET', "k$_") // 'gone' } @pids),
       join(' ', ('newer') x @pids), "$name: it is not executed");
    my $log = $t->nginx->log;
    my $ended = 0;
    $ended += $1 while $log =~ /ended (\d+) connections that had been/g;
    is($ended, $workers, "$name: as the log says");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
    $proxy->stop;
}


for my $workers (1, 3) {
    replaced($workers, $_) for 0, 1;
}

done_testing;
