#!/usr/bin/env perl

# The soak: clients write, read, delete and count over several workers while
# Redis is killed, stopped and restarted at random moments.  Every client owns
# its keys, so it knows which values they may have: the last one that was
# acknowledged, or a later one that was not.  Each read is checked, and at the
# end each key is, through nginx and in Redis; and memory, descriptors and
# files must be back where they were.
#
#     perl t/soak/soak.pl             or: prove -v t/soak/soak.pl
#
#     SOAK_SECONDS=600    of load; 30 is the short form for CI
#     SOAK_SEED=N         of everything that is random; printed
#     SOAK_CLIENTS=8      processes
#     SOAK_KEYS=200       of each client
#     SOAK_WORKERS=4
#     SOAK_PAUSE=2        ms between two requests of a client
#     SOAK_ZONE=64m
#     SOAK_STORE=TEXT     more lines for the store, "durability disk;"
#     SOAK_RELOAD=1       nginx is reloaded at random moments as well

use strict;
use warnings;

use File::Basename ();
use lib File::Basename::dirname(__FILE__) . '/../lib',
        File::Basename::dirname(__FILE__);
use RF;
use SoakClient;
use Storable ();

my $seconds = $ENV{SOAK_SECONDS} || $ENV{RF_SOAK} || 600;
my $seed = defined $ENV{SOAK_SEED} ? $ENV{SOAK_SEED}
                                   : int(RF::now() * 1000) % 1_000_000_007;
my $clients = $ENV{SOAK_CLIENTS} || 8;
my $keys = $ENV{SOAK_KEYS} || 200;
my $workers = $ENV{SOAK_WORKERS} || 4;
my $pause = defined $ENV{SOAK_PAUSE} ? $ENV{SOAK_PAUSE} : 2;
my $more = $ENV{SOAK_STORE} || '';
my $zone = $ENV{SOAK_ZONE} || '64m';

# MB that malloc may keep from the system: holes between what came and went
# fill up in the first half, and a leak grows on.  Each thread of the pool has an
# arena (glibc: 8 for a core), and keeps some 2 MB of what its batches took.

my $heap_slack = 48;
my $heap_growth = 10;

# no request may take longer than connect_timeout + timeout; beyond that, the
# wait for a processor

my $budget = 0.5 + 1.0;
my $budget_slack = 1.0;

my $main = $$;
my $dir = RF::tempdir('soak');
my (%children, @chaos_log, @heaps, $middle);


# always the same number of Test::More lines, whatever happens

sub main {
    srand($seed);
    diag("seed $seed: SOAK_SEED=$seed repeats the choices; $seconds s, "
         . "$clients clients, $workers workers");

    my $redis = RF::Redis->new(
        conf => "appendonly yes\nappendfsync always\n"
                . "aof-use-rdb-preamble no\nauto-aof-rewrite-min-size 1gb");
    my $nginx = start_nginx($redis);

    ok($nginx->wait_mode('normal', 10), 'normal at the start');

    warm($nginx, $redis);
    my $baseline = measure($nginx);
    my @pids = $nginx->workers;

    start_client($nginx, $_) for 1 .. $clients;

    chaos($nginx, $redis, RF::now() + $seconds);

    my @results = finish_clients();

    ok($nginx->wait_mode('normal', 60), 'normal at the end')
        or diag(explain $nginx->status('app'));
    ok(RF::wait_for(sub { $nginx->status('app')->{pending} == 0 }, 30),
       'nothing is pending');

    report_traffic(@results);
    verify($nginx, $redis, @results);
    check_rest($nginx, $redis, $baseline, \@pids, @results);

    ok($nginx->stop, 'nginx stops');
    $nginx->check_logs;
    done_testing();

    keep_evidence($nginx, $redis) unless Test::More->builder->is_passing;
}


sub start_nginx {
    my ($redis) = @_;

    my $port = $redis->port;
    my $headers = 'add_header X-Mode $redis_fallback_mode always; '
                  . 'add_header X-Tier $redis_fallback_tier always; '
                  . 'add_header X-Result $redis_fallback_result always;';

    return RF::Nginx->new(
        workers => $workers,
        http    => "redis_fallback_store app {
                        zone             $zone;
                        server           127.0.0.1:$port;
                        path             %%DIR%%/app;
                        connect_timeout  500ms;
                        timeout          1s;
                        check_interval   1s;
                        write_interval   500ms;
                        cache            off;
                        $more
                    }",
        server  => "client_max_body_size 4m;
                    redis_fallback_outage local unknown=410;
                    $headers
                    location /kv/ {
                        redis_fallback_pass app;
                        redis_fallback_ttl \$arg_ttl;
                    }
                    location = /incr {
                        redis_fallback_set \$n INCRBY \$arg_k \$arg_by;
                        return 200 \$n;
                    }
                    location = /append {
                        redis_fallback_set \$len APPEND \$arg_k \$arg_v;
                        return 200 \$len;
                    }
                    location = /rename {
                        redis_fallback_set \$ok RENAME \$arg_k \$arg_to;
                        return 200 \$ok;
                    }
                    location = /getdel {
                        redis_fallback_set \$old GETDEL \$arg_k;
                        return 200 \$old;
                    }");
}


# every worker has spoken to Redis, has lost it, and has found it again: what
# it allocates once for that is no leak

sub warm {
    my ($nginx, $redis) = @_;

    my $touch = sub {
        for my $n (1 .. 40 * $workers) {
            $nginx->put("/kv/warm$n", 'x' x ($n % 7 ? 200 : 100_000));
            $nginx->get("/kv/warm$n");
        }
    };

    $touch->();
    $redis->kill;
    $touch->();
    $redis->start;
    $nginx->wait_mode('normal', 15) or BAIL_OUT('it does not recover once');
    $touch->();

    my $connected = RF::wait_for(sub {
        $nginx->get('/kv/warm1') for 1 .. $workers;
        return $nginx->status('app')->{redis}{connected} >= $workers;
    }, 10);

    $connected or diag('not all workers are connected to Redis');

    $nginx->delete("/kv/warm$_") for 1 .. 40 * $workers;
    RF::wait_for(sub { files($nginx) == 0 }, 30);
}


# of each worker: its own memory, its descriptors; of the store: entries,
# memory, files

sub measure {
    my ($nginx) = @_;

    my %now = (worker => {}, files => scalar files($nginx));

    for my $pid ($nginx->workers) {
        my ($heap) = RF::slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
        my @fds = map { readlink($_) || '' } glob "/proc/$pid/fd/*";
        $now{worker}{$pid} = { heap => ($heap || 0) / 1024, fds => \@fds };
    }

    my $status = $nginx->status('app') || {};
    $now{memory} = $status->{memory};
    $now{status} = $status;

    return \%now;
}


# memory of the workers, MB, to be seen over time

sub heaps {
    my ($nginx) = @_;

    return join " ", map {
        RF::slurp("/proc/$_/status") =~ /^RssAnon:\s+(\d+)/m
            ? sprintf("%.1f", $1 / 1024) : "-"
    } $nginx->workers;
}


# below the path: records, not what the store keeps for itself

sub files {
    my ($nginx) = @_;

    my @files;
    my @dirs = ($nginx->dir . "/app");

    # directories come and go meanwhile

    while (defined(my $dir = shift @dirs)) {
        opendir my $dh, $dir or next;

        for my $name (grep { !/^\.\.?$/ } readdir $dh) {
            push @dirs, "$dir/$name" if -d "$dir/$name";
            push @files, "$dir/$name" if $name =~ /\.json$/;
        }
    }

    return @files;
}


sub start_client {
    my ($nginx, $id) = @_;

    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        RF::die_with_parent(POSIX::SIGTERM());

        my $result = eval {
            SoakClient->new(id => $id, port => $nginx->port, keys => $keys,
                            seed => $seed * 1000 + $id, pause => $pause,
                            stop => "$dir/stop")->run;
        } || { id => $id, died => $@, errors => ["died: $@"] };

        Storable::nstore($result, "$dir/client.$id");
        POSIX::_exit(0);
    }

    $children{$pid} = $id;
}


# breaks Redis in one of several ways, until the time is over

sub chaos {
    my ($nginx, $redis, $end) = @_;

    my @ways = (
        [ 5, sub { kill_redis($redis, 0.05 + rand 4) } ],
        [ 2, sub { kill_redis($redis, 4 + rand 4) } ],
        [ 2, sub { pause_redis($redis, 0.1 + rand 0.8) } ],
        [ 3, sub { pause_redis($redis, 1.2 + rand 3) } ],
        [ 3, sub { flap_redis($nginx, $redis) } ],
        [ 1, sub { refuse_writes($redis, 0.5 + rand 3) } ],
    );

    push @ways, [ 2, sub { $nginx->reload; note_chaos('reload') } ]
        if $ENV{SOAK_RELOAD};

    my $sum = 0;
    $sum += $_->[0] for @ways;

    my $sample = 0;

    while (RF::now() < $end) {
        if (RF::now() >= $sample) {
            push @heaps, heaps($nginx);
            $middle ||= measure($nginx) if RF::now() > $end - $seconds / 2;
            $sample = RF::now() + $seconds / 10;
        }

        my $idle = 0.3 + rand($seconds < 60 ? 2 : 6);
        Time::HiRes::sleep($idle);
        last if RF::now() >= $end;

        my $pick = rand $sum;

        for my $way (@ways) {
            $pick -= $way->[0];
            next if $pick > 0;
            $way->[1]->();
            last;
        }

        if (!$nginx->{pid} || RF::reaped($nginx->{pid})) {
            diag('nginx has gone');
            last;
        }
    }

    push @heaps, heaps($nginx);
    RF::spew("$dir/stop", '');
}


sub note_chaos {
    push @chaos_log, sprintf '%.3f %s', RF::now(), $_[0];
}


sub kill_redis {
    my ($redis, $away) = @_;

    note_chaos(sprintf 'killed, %.2f s', $away);
    $redis->kill;
    Time::HiRes::sleep($away);
    $redis->start;
    note_chaos('started');
}


sub pause_redis {
    my ($redis, $time) = @_;

    note_chaos(sprintf 'stopped, %.2f s', $time);
    $redis->drop;
    $redis->pause;
    Time::HiRes::sleep($time);
    $redis->resume;
    note_chaos('continued');
}


# back for so short a time that the recovery is broken off

sub flap_redis {
    my ($nginx, $redis) = @_;

    for (1 .. 2 + int rand 3) {
        kill_redis($redis, 0.3 + rand 1.2);
        $nginx->wait_mode('recovering', 0.5) if rand() < 0.5;
        Time::HiRes::sleep(rand 0.4);
    }
}


# it answers, and takes no writes

sub refuse_writes {
    my ($redis, $time) = @_;

    note_chaos(sprintf 'out of memory, %.2f s', $time);
    eval { $redis->cmd(qw(CONFIG SET maxmemory 1)) };
    Time::HiRes::sleep($time);
    eval { $redis->cmd(qw(CONFIG SET maxmemory 0)) };
    note_chaos('memory again');
}


sub finish_clients {
    my @results;

    my $done = RF::wait_for(sub {
        for my $pid (keys %children) {
            delete $children{$pid} if waitpid($pid, POSIX::WNOHANG()) != 0;
        }
        return !%children;
    }, 60);

    ok($done, 'all clients end');
    kill 'KILL', keys %children;

    for my $id (1 .. $clients) {
        my $result = eval { Storable::retrieve("$dir/client.$id") };
        push @results, $result
                       || { id => $id, errors => ['left no result'] };
    }

    return @results;
}


sub report_traffic {
    my (@results) = @_;

    my (%answers, %modes, @errors);
    my ($requests, $slowest, $slow) = (0, 0, '');

    for my $r (@results) {
        $requests += $r->{requests} || 0;
        $answers{$_} += $r->{answers}{$_} for keys %{ $r->{answers} || {} };
        $modes{$_} += $r->{modes}{$_} for keys %{ $r->{modes} || {} };
        push @errors, @{ $r->{errors} || [] };

        if (($r->{slowest} || 0) > $slowest) {
            ($slowest, $slow) = @$r{qw(slowest slow)};
        }
    }

    my $outages = grep { /killed|stopped|out of memory/ } @chaos_log;

    diag("$requests requests, Redis was broken $outages times");
    diag('by mode: ' . join ', ', map { "$_ $modes{$_}" } sort keys %modes);
    diag("  $_: $answers{$_}") for sort keys %answers;
    diag(sprintf 'the slowest took %.3f s: %s', $slowest, $slow);

    ok($requests > 100 * $clients * ($seconds > 30 ? 2 : 1),
       'there was load');
    ok($modes{normal} && $modes{fallback}, 'in normal and in fallback mode');
    ok(!@errors, 'every answer was right')
        or diag(scalar(@errors) . " errors\n"
                . join "\n", @errors[0 .. ($#errors > 29 ? 29 : $#errors)]);
    ok($slowest <= $budget + slow($budget_slack),
       "no request took longer than connect_timeout + timeout")
        or diag(sprintf '%.3f s: %s', $slowest, $slow);
}


# every key of every client, through nginx and in Redis

sub verify {
    my ($nginx, $redis, @results) = @_;

    my (@wrong_nginx, @wrong_redis);
    my $checked = 0;
    my $conn = $nginx->conn;

    for my $r (@results) {
        my @names = sort keys %{ $r->{state} || {} };
        my @in_redis = $redis->pipeline(map { ['GET', $_] } @names);

        for my $i (0 .. $#names) {
            my $state = $r->{state}{$names[$i]};

            my $sent = RF::now();
            my $res = $nginx->get("/kv/$names[$i]",
                                  conn => $conn->{sock} ? $conn
                                                   : ($conn = $nginx->conn));
            my $value = $res->{status} == 200 ? $res->{body} : undef;
            my $why = $res->{status} !~ /^(200|404)$/
                      ? "status $res->{status}"
                      : SoakClient::wrong($state, $value, $sent, RF::now());
            push @wrong_nginx, "$names[$i]: $why" if $why;

            $why = SoakClient::wrong($state, $in_redis[$i], $sent,
                                     RF::now());
            push @wrong_redis, "$names[$i]: $why" if $why;
            $checked++;
        }
    }

    ok($checked >= $clients * $keys / 4, "$checked keys are checked");
    ok(!@wrong_nginx, 'nginx has what was acknowledged')
        or diag(scalar(@wrong_nginx) . " wrong\n" . join "\n",
                grep { defined } @wrong_nginx[0 .. 19]);
    ok(!@wrong_redis, 'Redis has what was acknowledged')
        or diag(scalar(@wrong_redis) . " wrong\n" . join "\n",
                grep { defined } @wrong_redis[0 .. 19]);

    shared_counters($nginx, $redis, @results);
}


# to which all clients added

sub shared_counters {
    my ($nginx, $redis, @results) = @_;

    for my $n (1 .. $SoakClient::SHARED) {
        my ($acked, $unsure) = (0, 0);

        for my $r (@results) {
            my $c = $r->{shared}{"shared:$n"} || next;
            $acked += $c->{acked};
            $unsure += $c->{unsure};
        }

        my $value = $redis->cmd('GET', "shared:$n") || 0;

        ok($value >= $acked && $value <= $acked + $unsure,
           "counter $n of all clients: $value; acknowledged $acked, "
           . "uncertain $unsure");
        is($nginx->get("/kv/shared:$n")->{body}, $value, 'nginx agrees')
            if $value;
    }
}


sub check_rest {
    my ($nginx, $redis, $baseline, $pids, @results) = @_;

    my @now = $nginx->workers;

    is("@now", "@$pids", 'the workers are those of the start')
        unless $ENV{SOAK_RELOAD};

    ok(RF::wait_for(sub { files($nginx) == 0 }, 60),
       'no files are left below the path')
        or diag(join "\n", grep { defined } (files($nginx))[0 .. 9]);

    my @quarantine = glob $nginx->dir . '/app/quarantine/*';
    is(scalar @quarantine, 0, 'nothing is in quarantine')
        or diag(join "\n", grep { defined } @quarantine[0 .. 9]);

    my $after = measure($nginx);
    my $status = $after->{status};

    is($status->{files}{count}, 0, 'and the status page says so');
    is($status->{recovery}{failed}, 0, 'no key failed to be replayed');

    diag(sprintf 'zone: %d entries, %d bytes used; at the start %d, %d',
         @{ $after->{memory} }{qw(entries used)},
         @{ $baseline->{memory} }{qw(entries used)});
    diag("memory of the workers over time, MB: " . join ", ", @heaps);
    diag("$status->{outages} outages, $status->{recovery}{replayed} keys "
         . "replayed, $status->{recovery}{conflicts} conflicts");

    delete_all($nginx, @results);

    RF::wait_for(sub { files($nginx) == 0 }, 60);
    $after = measure($nginx);

    my $slack = 256 * 1024;
    ok($after->{memory}{used} <= $baseline->{memory}{used} + $slack,
       'the zone is as empty as before')
        or diag(explain { before => $baseline->{memory},
                          after  => $after->{memory} });

    return if $ENV{SOAK_RELOAD};

    for my $pid (@$pids) {
        my ($old, $new) = map { $_->{worker}{$pid} } $baseline, $after;

        ok($new, "worker $pid is there") or next;
        my $half = ($middle ? $middle->{worker}{$pid} : undef) || $old;

        # what is freed stays in the quarantine of ASan

        ok($RF::SANITIZE
           || $new->{heap} <= $old->{heap} + $heap_slack
              && $new->{heap} <= $half->{heap} + $heap_growth,
           sprintf "memory of worker %d: %.1f MB, in the middle %.1f, at the "
                   . "start %.1f", $pid, map { $_->{heap} } $new, $half, $old);

        # one more: a connection of ours that is about to be closed

        ok(@{ $new->{fds} } <= @{ $old->{fds} } + 1,
           sprintf 'descriptors of worker %d: %d, at the start %d', $pid,
           scalar @{ $new->{fds} }, scalar @{ $old->{fds} })
            or diag(join "\n", @{ $new->{fds} });
    }
}


sub delete_all {
    my ($nginx, @results) = @_;

    my $bad = 0;
    my $conn = $nginx->conn;

    for my $name ((map { keys %{ $_->{state} || {} } } @results),
                  map { "shared:$_" } 1 .. $SoakClient::SHARED)
    {
        $conn = $nginx->conn unless $conn->{sock};
        my $res = $nginx->delete("/kv/$name", conn => $conn);
        $bad++ unless $res->{status} =~ /^(204|404)$/;
    }

    is($bad, 0, 'all keys are deleted');
    $conn->close;
    Time::HiRes::sleep(0.5);
}


sub keep_evidence {
    my ($nginx, $redis) = @_;

    my $keep = $ENV{SOAK_KEEP} || "$RF::ROOT/build/soak";

    system('mkdir', '-p', $keep);
    RF::spew("$keep/error.log", $nginx->log);
    RF::spew("$keep/redis.log", RF::slurp($redis->{log}));
    RF::spew("$keep/chaos.log", join "\n", @chaos_log, '');
    system('cp', '-r', glob("$dir/client.*"), $keep);
    diag("seed $seed; logs are in $keep");
}


main();
