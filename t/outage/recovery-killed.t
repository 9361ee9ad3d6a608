# Redis dies ten times while it is told what it missed: at last it holds each
# replacement, and has counted each INCR once.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $KEYS = 150;
my $COUNTERS = 50;


sub scenario {
    my ($workers, $rate, $interval) = @_;

    my $name = "$workers workers, " . ($rate ? "$rate keys in a second"
                                             : 'at full speed');

    # what it has acknowledged is there after kill -9

    my $redis = RF::Redis->new(conf => "appendonly yes\n"
                                       . "appendfsync always");
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { recovery_rate => $rate,
                                   write_interval => $interval,
                                   check_interval => '50ms' });
    my (%expect, $middle);

    $redis->cmd('SET', "count$_", 1000) for 1 .. $COUNTERS;
    $t->get("count$_") for 1 .. $COUNTERS / 2;
    $redis->kill;

    my $changes = sub {
        my ($round) = @_;

        for my $i (1 .. $KEYS) {
            next if $round && $i % 10 != $round % 10;
            $t->put("key$i", "value $i of $round")->{status} == 204
                or fail("key$i");
            $expect{"key$i"} = "value $i of $round";
        }

        for my $i (1 .. $COUNTERS) {
            next if $round && $i % 10 != $round % 10;
            my $res = $t->run('INCRBY', "count$i", $i);
            $res->{result} eq 'ok' or fail("count$i: $res->{result}");
            $expect{"count$i"} ||= 1000;
            $expect{"count$i"} += $i;
            $t->run('APPEND', "text$i", chr(65 + $i % 26));
            $expect{"text$i"} .= chr(65 + $i % 26);
        }
    };

    $changes->(0);
    is($t->mode, 'fallback', "$name: fallback");
    $middle = 0;

    for my $round (1 .. 10) {
        my $before = $t->status->{recovery}{replayed};

        $redis->start;

        # as soon as some are replayed, or, at full speed, at any time at all

        wait_for(sub {
            my $st = $t->status;
            return $st->{mode} eq 'normal'
                   || ($rate ? $st->{recovery}{replayed} > $before + 2
                             : $st->{mode} eq 'recovering');
        }) or fail("$name: nothing is replayed");

        Time::HiRes::sleep(rand 0.01) unless $rate;
        $middle++ if $t->mode eq 'recovering';
        $redis->kill;

        # a read may not be uncertain, so it is the one to find out

        $t->falls_back or fail("$name: no fallback");
        $changes->($round);
    }

    cmp_ok($middle, '>=', $rate ? 8 : 0, "$name: killed in the middle");

    $redis->start;
    $t->recovered(\%expect, $name, orphans => !$rate);
    is($t->status->{recovery}{failed}, 0, "$name: none was refused");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    scenario($workers, 80, '1h');
    scenario($workers, 0, '20ms');
}

done_testing;
