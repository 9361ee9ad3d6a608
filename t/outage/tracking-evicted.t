# Redis forgets: keys, where its memory is full, and whom it has told what,
# where it remembers few readers.  It is the command of one worker that makes
# it do so, and that worker is to hear of it as all others are.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;


# who has read what: Redis keeps 5 keys in mind

for my $workers (1, 4) {
    my $t = Tracking->new(workers => $workers, store => { restore => 'off' });
    my $redis = $t->redis;
    my @pids = $t->pids;
    my $name = "$workers workers, few readers";

    ok($t->tracks, "$name: Redis vouches");
    $redis->cmd('CONFIG', 'SET', 'tracking-table-max-keys', 5);

    my @keys = map { "few:$_" } 1 .. 60;
    $redis->cmd('SET', $_, 'old') for @keys;

    for my $i (0 .. $#keys) {
        $t->ask($pids[$i % @pids], 'GET', $keys[$i]);
    }

    my $delay = $t->delay;
    $redis->cmd('SET', $_, 'new') for @keys;
    my ($bad) = $t->stale(now(), $delay, map { [ GET => $_ ] } @keys);
    is(join("\n", @$bad), '', "$name: all changes are seen");
    $t->ended;
}


# keys that Redis evicts when a worker writes

for my $workers (1, 4) {
    my $t = Tracking->new(workers => $workers, store => { restore => 'off' },
        redis => RF::Redis->new(conf => 'maxmemory-policy allkeys-random'));
    my $redis = $t->redis;
    my @pids = $t->pids;
    my $name = "$workers workers, evicted keys";

    ok($t->tracks, "$name: Redis vouches");

    my @keys = map { "read:$_" } 1 .. 60;
    $redis->pipeline((map { [ SET => "fill:$_", 'x' x 20000 ] } 1 .. 200),
                     map { [ SET => $_, 'old' ] } @keys);

    for my $i (0 .. $#keys) {
        $t->ask($pids[$i % @pids], 'GET', $keys[$i]);
    }

    # something has to go with each write, and there is enough that can

    $redis->cmd('CONFIG', 'SET', 'maxmemory',
                $redis->info('memory')->{used_memory});
    my $delay = $t->delay;

    ok(wait_for(sub {
        for my $pid (@pids) {
            $t->ask($pid, 'SET', 'write:' . int rand 1000, 'x' x 20000)
                for 1 .. 10;
        }

        $delay = $t->delay;
        return $redis->cmd('EXISTS', @keys) < @keys / 2;
    }, 20), "$name: half of them are gone");

    is($t->store->status->{outages}, 0, "$name: and Redis has room");

    # from now on nothing is evicted any more

    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
    my ($bad) = $t->stale(now(), $delay, map { [ GET => $_ ] } @keys);
    is(join("\n", @$bad), '', "$name: which is seen");

    $delay = $t->delay;
    $redis->cmd('SET', $_, 'new') for @keys;
    ($bad) = $t->stale(now(), $delay, map { [ GET => $_ ] } @keys);
    is(join("\n", @$bad), '', "$name: and what they are later");
    $t->ended;
}

done_testing;
