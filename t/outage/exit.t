# nginx ends, in an outage, in every way that there is: nothing that was
# acknowledged is lost.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageLoad;


sub read_nginx {
    my ($t) = @_;

    return sub {
        my $res = $t->get($_[0]);
        return $res->{status} == 200 ? $res->{body}
               : $res->{status} == 404 ? undef : "status $res->{status}";
    };
}


sub read_redis {
    my ($redis) = @_;

    return sub { return $redis->cmd('GET', $_[0]) };
}


sub kept {
    my ($report, $read, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(join("\n", OutageLoad::lost($report, $read)), '', $name);
}


sub sound {
    my ($report, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @errors = @{ $report->{errors} };
    is("@errors[0 .. ($#errors > 5 ? 5 : $#errors)]", '',
       "$name: no wrong answer");
    cmp_ok($report->{requests}, '>', 100, "$name: there was load");
}


# Stops by a signal, or reloads, under load; then Redis comes back.

sub ends {
    my ($workers, $durability) = @_;

    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { durability => $durability });
    my (%expect, $report);
    my $some = $durability eq 'disk' ? 120 : 300;

    for my $signal (qw(QUIT TERM HUP)) {
        my $name = "$workers workers, durability $durability, SIG$signal";
        my $start = now();

        $t->put("$signal:ttl", 'x', ttl => '100s');
        $expect{"$signal:ttl"} = expects('x', 100, $start, now());
        $t->put("$signal:$_", "value $_") for 1 .. 10;
        $t->delete("$signal:$_") for 1 .. 3;
        $expect{"$signal:$_"} = $_ <= 3 ? undef : "value $_" for 1 .. 10;

        my $load = OutageLoad->start($t, clients => 3);
        my $seen = $t->status->{writes}{local};
        ok(wait_for(sub { $t->status->{writes}{local} > $seen + $some }),
           "$name: writes");

        if ($signal eq 'HUP') {
            ok($t->nginx->reload, "$name: reloads");
            wait_for(sub { $t->status->{writes}{local} > $seen + 2 * $some });
            $report = $load->stop;
            is($report->{broken}, 0, "$name: no connection breaks");

        } else {
            ok($t->nginx->stop($signal), "$name: stops");
            $report = $load->stop;
            $t->nginx->start;
        }

        sound($report, $name);
        kept($report, read_nginx($t), "$name: all is read");
        is($t->mode, 'fallback', "$name: in fallback");
        is(join(' ', grep { $t->get("$signal:$_")->{status}
                            != ($_ <= 3 ? 404 : 200) } 1 .. 10), '',
           "$name: and what was quiet");
        $t->delete($_)
            for keys %{ $report->{keys} }, keys %{ $report->{counters} };
        @expect{keys %{ $report->{keys} }, keys %{ $report->{counters} }} = ();
    }

    # and over a last stop

    my $name = "$workers workers, durability $durability";
    my $load = OutageLoad->start($t, clients => 3);
    my $seen = $t->status->{writes}{local};
    wait_for(sub { $t->status->{writes}{local} > $seen + $some });
    $report = $load->stop;
    ok($t->nginx->stop, "$name: stops");
    $redis->start;
    $t->nginx->start;
    ok($t->wait_normal, "$name: recovers");
    kept($report, read_redis($redis), "$name: Redis has the last");
    delete @expect{grep { /^l\d:/ } keys %expect};
    is(join("\n", Outage::differences($redis, \%expect)), '',
       "$name: and the first");

    # the markers of the replay go at leisure

    my $n = (grep { defined } values %expect)
            + grep({ defined read_redis($redis)->($_) }
                   keys %{ $report->{keys} }) + keys %{ $report->{counters} };
    ok(wait_for(sub { $redis->cmd('DBSIZE') == $n }),
       "$name: and nothing else") or diag($redis->cmd('DBSIZE') . ", not $n");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# kill -9 of one worker after the other, under load

sub workers_die {
    my ($workers) = @_;

    my $name = "$workers workers, one killed after the other";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { recovery_rate => 60 });

    $t->put("still$_", "value $_") for 1 .. 100;

    my $load = OutageLoad->start($t, clients => 4);
    my $seen = $t->status->{writes}{local};

    for my $round (1 .. 8) {
        my $next = $seen + 200 * $round;
        wait_for(sub { $t->status->{writes}{local} > $next })
            or fail("$name: hangs in round $round");

        my @pids = $t->nginx->workers;
        my $pid = $pids[$round % @pids];
        CORE::kill('KILL', $pid);
        wait_for(sub { my %now = map { $_ => 1 } $t->nginx->workers;
                       !$now{$pid} && keys %now == $workers })
            or fail("$name: no new worker");
    }

    # while it is replayed, too

    $redis->start;
    ok($t->wait_recovering, "$name: recovering");

    for (1 .. 3) {
        CORE::kill('KILL', $_) for $t->nginx->workers;
        wait_for(sub { $t->status && $t->nginx->workers == $workers })
            or fail("$name: no new workers");
        $t->get('none');
    }

    my $report = $load->stop;
    sound($report, $name);
    cmp_ok($report->{slowest}, '<', slow(3), "$name: no request hangs");
    ok($t->wait_normal(20), "$name: normal at last");
    kept($report, read_redis($redis), "$name: nothing is lost");
    kept($report, read_nginx($t), "$name: and all is read");
    is(join(' ', grep { ($redis->cmd('GET', "still$_") // '') ne "value $_" }
                 1 .. 100), '', "$name: also what was quiet");
    is($t->status->{pending}, 0, "$name: nothing is pending");
    is($t->status->{memory}{entries} > 100, 1, "$name: memory is in use");

    ok($t->nginx->stop, "$name: stops");
    unlike($t->nginx->log, qr/exited on signal (?!9)/, "$name: no other died");
    unlike($t->nginx->log, qr/[1-9]\d* entries unreadable/,
           "$name: what they left is whole");
    $t->nginx->check_logs(allow => [ qr/exited on signal 9/,
                                     qr/zone "\S+" was locked by/ ]);
}


# kill -9 of everything: what was acknowledged is on disk

sub all_die {
    my ($workers) = @_;

    my $name = "$workers workers, all killed";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { durability => 'disk' });
    my %quiet;

    for my $i (1 .. 10) {
        $t->put("quiet$i", "value $i")->{status} == 204 or fail("quiet$i");
        $quiet{"quiet$i"} = "value $i";
    }

    for my $round (1 .. 3) {
        my $load = OutageLoad->start($t, clients => 4);
        my $seen = $t->status->{writes}{local};
        ok(wait_for(sub { $t->status->{writes}{local} > $seen + 120 }),
           "$name: writes, round $round");
        $t->nginx->kill;
        my $report = $load->stop;

        sound($report, $name);
        $t->nginx->start;
        kept($report, read_nginx($t), "$name: nothing is lost");
        is(join(' ', grep { $t->get($_)->{body} ne $quiet{$_} }
                     sort keys %quiet), '', "$name: nor what was quiet");

        if ($round == 3) {
            $redis->start;
            ok($t->wait_normal, "$name: recovers");
            kept($report, read_redis($redis), "$name: Redis has it");
            is(join(' ', Outage::differences($redis, \%quiet)), '',
               "$name: all of it");

        } else {
            $t->delete($_) for keys %{ $report->{keys} },
                               keys %{ $report->{counters} };
        }
    }

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    ends($workers, $_) for qw(memory disk);
    workers_die($workers);
    all_die($workers);
}

done_testing;
