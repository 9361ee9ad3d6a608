# A worker was stopped when another client deleted keys that it had read, and
# Redis lost its data before it went on: the keys were written back.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;


my $t = Tracking->new(workers => 2);
my $redis = $t->redis;
my @pids = $t->pids;


sub stopped {
    my ($pid) = @_;

    kill 'STOP', $pid;

    return wait_for(sub { RF::slurp("/proc/$pid/stat") =~ /\) T / });
}


# one of them leads; "late": it goes on when the others have given up

for my $pid (@pids) {
    my ($other) = grep { $_ != $pid } @pids;

    for my $late (0, 1) {
        my $name = ($pid == $pids[0] ? 'first' : 'second')
                   . ($late ? ', late' : '');

        ok($t->tracks, "$name: Redis vouches");

        $redis->cmd('SET', $_, $name) for qw(gone mine other);
        ok($t->warm($pid, [ GET => 'gone' ], [ GET => 'mine' ]),
           "$name: one worker has read");
        ok($t->warm($other, [ GET => 'other' ]), "$name: the other one, too");

        ok(stopped($pid), "$name: one is stopped");
        $redis->cmd('DEL', 'gone');

        # Redis may answer before it tells others; what came before a command
        # it has told when it answers that

        $redis->cmd('PING');
        $redis->kill;
        $redis->start;

        ok(wait_for(sub {
               $t->ask($other, 'GET', 'nobody');
               return ($redis->cmd('GET', 'other') // '') eq $name;
           }, 20), "$name: what the other has read is written back");
        is($redis->cmd('EXISTS', 'gone'), 0, "$name: not what was deleted");

        if ($late) {
            ok(wait_for(sub {
                   ($t->ask($other, 'GET', 'other')->{mode} // '') eq 'normal';
               }, 20), "$name: nobody waits for ever");
        }

        kill 'CONT', $pid;
        ok($t->store->wait_normal, "$name: normal");
        is($redis->cmd('GET', 'gone'), undef, "$name: it stays deleted");
        is($redis->cmd('GET', 'mine'), $late ? undef : $name,
           "$name: what was not is " . ($late ? 'not known' : 'there'));
        is($t->ask($_, 'GET', 'gone')->{value}, undef, "$name: none has it")
            for @pids;
    }
}

$t->ended;
done_testing;
