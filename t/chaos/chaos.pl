#!/usr/bin/env perl

# Chaos with a history: clients run random commands on few keys through nginx,
# and log each before it is sent and after it was answered, while Redis, the
# network, nginx and the disk fail at random, one or two at a time.  Then all
# is mended, and what Redis holds is compared with the log.
#
#     make chaos SECONDS=300 SEED=7       or: perl t/chaos/chaos.pl with
#
#     CHAOS_SECONDS=60    of load, or HOURS=n
#     SEED=n              of all that is random; printed.  An episode of at
#                         most five minutes has servers, configuration and
#                         faults of its own, by SEED, SEED + 1, ...  Moments
#                         are not repeated, so neither is every failure
#     CHAOS_CLIENTS=8     processes
#     CHAOS_PAUSE=12      ms between two requests of a client, on average
#     CHAOS_ROUND=25      seconds of load until all is compared
#     CHAOS_DURABILITY    memory or disk; else by the seed
#     CHAOS_CONNECTIONS   of each worker to Redis; else by the seed
#     CHAOS_FAULTS="redis killed,OOM"  these only, see ChaosFaults
#     CHAOS_LENIENT=1     what adds may be added twice if all of
#                         nginx is killed while it tells Redis what it missed
#     CHAOS_KEEP=DIR      for what is kept of a failure; build/chaos
#
# What is promised, so what is checked: (ChaosModel says how.)
#
# - What was acknowledged is in Redis once, in the end, and was all the time
#   for the client that wrote it.  Of one register, a string or a member of a
#   collection with one writer, that is its last value.  A counter has the sum,
#   a list each element once, those of one client in their order.
# - What was not acknowledged is there at most once.  An answer 5xx ends it: it
#   does not come after what its client does next.  Only where nginx itself
#   was killed with the request in it may that be.
# - Nobody makes up anything: no key, member, element, value.
# - A transaction is there as a whole or not at all, acknowledged or not.
#   But if all of nginx is killed, half of one that was not acknowledged may be
#   on disk.
# - durability memory: if all of nginx is killed, nothing is lost; if its shared
#   memory goes with it, as in a crash of the host, what was acknowledged in the
#   last write_interval and not by Redis may be.  (A second and a half
#   more are granted: the batch takes its time.)  While the disk is full it
#   would be all since then: so nginx is not killed or stopped then.
# - All of nginx is killed while it tells Redis what it missed: what adds may
#   be added again with CHAOS_LENIENT.  The module promises better.
# - Redis loses its data, in a round of its own: a key has what memory wrote
#   back, which is what it had, or what came later, or there is none.
# - Memory need not know what Redis acknowledged: a read in an outage may find
#   nothing then.  What is written in this outage it knows.
#
# Each round has fresh keys.  Those of the one before are compared once more:
# nothing may come late.

use strict;
use warnings;

use File::Basename ();
use lib File::Basename::dirname(__FILE__) . '/../lib',
        File::Basename::dirname(__FILE__);
use RF;
use ChaosClient;
use ChaosFaults;
use ChaosModel;
use ChaosProxy;

my $EPISODE = 300;
my $SHOWN = 5;                  # violations of a round that are told in full

my $seconds = $ENV{HOURS} ? $ENV{HOURS} * 3600 : $ENV{CHAOS_SECONDS} || 60;
my $first = $ENV{SEED} || int(RF::now() * 1000) % 1_000_000;
my $clients = $ENV{CHAOS_CLIENTS} || 8;
my $pause = $ENV{CHAOS_PAUSE} || 12;
my $length = $ENV{CHAOS_ROUND} || 25;
my $keep = $ENV{CHAOS_KEEP} || "$RF::ROOT/build/chaos";
my $json = JSON::PP->new->latin1->allow_nonref;

my (%total, %answers, %faults);
my ($rounds, $violations) = (0, 0);

# what a worker that was killed leaves in the log

my @expected = (
    qr/exited on signal 9/,
    qr/died while changing the zone|was locked by/,
);

# what is critical and yet to be expected: a disk that is full, also when nginx
# is stopped.  What that had not taken was not acknowledged, or is told apart by
# the model

my $critical = qr/No space left on device|pending keys are not on disk at exit/;


sub main {
    my $end = now() + $seconds;

    for (my $seed = $first; ; $seed++) {
        my $left = $end - now();

        last if $left <= 0 || $seed > $first && $left < 20;
        episode($seed, $left < $EPISODE ? $left : $EPISODE);
    }

    report();
    done_testing();
}


sub pick { return $_[rand @_] }


# all that differs between two episodes

sub configure {
    my ($seed) = @_;

    srand($seed);

    my $size = rand() < 0.4 ? '2m' : '32m';
    my %c = (
        seed            => $seed,
        workers         => 2 + int rand 3,
        durability      => pick('disk', 'memory'),
        zone            => [ $size, $size eq '2m' ? '3m' : '24m' ],
        write_interval  => pick('50ms', '200ms', '1s'),
        write_queue     => pick(1000, 1000, 20),
        check_interval  => pick('300ms', '1s'),
        connect_timeout => pick('200ms', '400ms'),
        timeout         => pick('300ms', '600ms'),
        max_retries     => pick(1, 3),
        recovery_rate   => pick(0, 0, 200),
        cache           => pick('off', 'tracking'),
        proxied         => rand() < 0.75,
        tmpfs           => is_root() && rand() < 0.7,
        connections     => pick(1, 1, 3),
        journal_size    => pick('64m', '64m', '1m'),
    );

    $c{durability} = $ENV{CHAOS_DURABILITY} if $ENV{CHAOS_DURABILITY};
    $c{connections} = $ENV{CHAOS_CONNECTIONS} if $ENV{CHAOS_CONNECTIONS};

    return \%c;
}


sub episode {
    my ($seed, $time) = @_;

    my $c = configure($seed);
    my $dir = tempdir('chaos');
    my $t = { conf => $c, dir => $dir, timeline => [], start => now(),
              failed => 0, round => 0 };

    diag("SEED=$seed, $clients clients: " . join ', ',
         map { "$_ " . (ref $c->{$_} ? "@{ $c->{$_} }" : $c->{$_}) }
         sort keys %$c);

    start_servers($t);
    ok($t->{nginx}->wait_mode('normal', 10), "seed $seed: normal at the start");

    my $end = now() + $time;

    while ($end - now() > 5 || !$t->{round}) {
        my $left = $end - now();
        my $emptied = rand() < 0.2 && $t->{round};

        round($t, $left < 1.5 * $length ? $left : $length, $emptied);
        last if $t->{failed} && !$ENV{CHAOS_ON};
    }

    finish($t);
}


sub start_servers {
    my ($t) = @_;

    my $c = $t->{conf};

    $t->{redis} = RF::Redis->new(conf => "appendonly yes\n"
        . "appendfsync always\nauto-aof-rewrite-percentage 0\n"
        . "aof-use-rdb-preamble no\nenable-debug-command local\n"
        . "dbfilename dump.d");
    $t->{proxy} = ChaosProxy->new($t->{redis}->port) if $c->{proxied};
    $t->{disk} = tmpfs('24m') if $c->{tmpfs};

    my $server = ($t->{proxy} || $t->{redis})->port;
    my $path = $t->{disk} ? "$t->{disk}/app" : '%%DIR%%/app';

    my @http = map { <<END } @{ $c->{zone} };
redis_fallback_store app {
    zone             $_;
    server           127.0.0.1:$server;
    path             $path;
    durability       $c->{durability};
    write_interval   $c->{write_interval};
    write_queue      $c->{write_queue};
    check_interval   $c->{check_interval};
    connect_timeout  $c->{connect_timeout};
    timeout          $c->{timeout};
    max_retries      $c->{max_retries};
    connections      $c->{connections};
    recovery_rate    $c->{recovery_rate};
    cache            $c->{cache};
    journal_size     $c->{journal_size};
    on_conflict      local;
}
END

    $t->{nginx} = RF::Nginx->new(
        workers => $c->{workers}, log_level => 'info',
        http    => $http[0],
        server  => <<'END');
client_max_body_size 4m;
add_header X-Mode   $redis_fallback_mode always;
add_header X-Tier   $redis_fallback_tier always;
add_header X-Result $redis_fallback_result always;
location /kv/ { redis_fallback_pass app; }
location /api { redis_fallback_api app; }
END

    my ($n, $unit) = $c->{write_interval} =~ /(\d+)(ms|s)/;

    $t->{faults} = ChaosFaults->new(
        (map { $_ => $t->{$_} } qw(nginx redis proxy disk)),
        memory   => $c->{durability} eq 'memory',
        interval => $unit eq 's' ? $n : $n / 1000,
        zones    => \@http,
        quiet    => 3,
        shim     => $t->{shim},
        only     => $ENV{CHAOS_FAULTS} ? [ split /,/, $ENV{CHAOS_FAULTS} ]
                                       : undef,
        note     => sub { timeline($t, @_) });

    srand($c->{seed});
}


sub timeline {
    my ($t, $text) = @_;

    push @{ $t->{timeline} }, sprintf '%9.4f  %s', now() - $t->{start}, $text;
}


# --- a round ---------------------------------------------------------------

sub round {
    my ($t, $time, $emptied) = @_;

    my $n = ++$t->{round};
    my $name = "seed $t->{conf}{seed}, round $n";
    my ($faults, $nginx) = @$t{qw(faults nginx)};

    timeline($t, "round $n");
    $faults->forget;

    my $model = before($t, "r$n");
    my $end = now() + $time;
    my $empty_at = $emptied ? now() + $time * (0.2 + rand 0.5) : undef;

    start_client($t, $_) for 1 .. $clients;

    while (now() < $end) {
        $faults->step(defined $empty_at ? $empty_at : $end);

        # a step may take longer than it should, and end after the round's end

        if (defined $empty_at && now() >= $empty_at) {
            $faults->heal;
            $faults->begin('redis emptied');
            undef $empty_at;
        }
    }

    # sometimes the clients see the end of it

    $faults->heal if rand() < 0.5;
    RF::spew("$t->{dir}/stop", '');
    $faults->heal;

    my $ended = end_clients($t);
    ok($ended, "$name: the clients end");
    $t->{failed} ||= !$ended;

    return unless settled($t, $name);

    judge($t, $model, $name, $emptied);
    $rounds++;
}


# keys that Redis has, and nginx does not know

sub before {
    my ($t, $prefix) = @_;

    my $redis = $t->{redis};
    my $model = $t->{model} = ChaosModel->new;
    my @words = map { "c0.$_" } 1 .. 4;

    $redis->cmd('SET', "$prefix:n:1", 1000);
    $redis->cmd('RPUSH', "$prefix:l:1", @words);
    $redis->cmd('HSET', "$prefix:h:all", 'n1', 500, 'base',
                ChaosClient::bytes('c0.5a9'));
    $redis->cmd('ZADD', "$prefix:z:all", 7, 'base');
    $redis->cmd('SADD', "$prefix:t:all", 'base');

    $model->base(now(),
        [ '+', "$prefix:n:1", '', 1000 ],
        (map { [ '>', "$prefix:l:1", $_ ] } @words),
        [ '+', "$prefix:h:all", 'n1', 500 ],
        [ 'w', "$prefix:h:all", 'base', 'c0.5a9' ],
        [ 'w', "$prefix:z:all", 'base', 7 ],
        [ 'w', "$prefix:t:all", 'base', 1 ]);

    return $model;
}


sub start_client {
    my ($t, $id) = @_;

    my $n = $t->{round};
    my $seed = ($t->{conf}{seed} * 1000 + $n) * 100 + $id;
    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        RF::die_with_parent(POSIX::SIGTERM());

        eval {
            ChaosClient->new(id => $id, prefix => "r$n", pause => $pause,
                port => $t->{nginx}->port, seed => $seed,
                stop => "$t->{dir}/stop",
                log => "$t->{dir}/client.$n.$id")->run;
            RF::spew("$t->{dir}/ended.$n.$id", '');
        } or warn "client $id: $@";
        POSIX::_exit(0);
    }

    $t->{children}{$pid} = $id;
}


sub end_clients {
    my ($t) = @_;

    my $children = delete $t->{children};
    my %ids = %$children;

    RF::wait_for(sub {
        for my $pid (keys %$children) {
            delete $children->{$pid} if waitpid($pid, POSIX::WNOHANG()) != 0;
        }
        return !%$children;
    }, $ChaosClient::CLIENT_TIMEOUT + 10);

    kill 'KILL', keys %$children;
    waitpid $_, 0 for keys %$children;
    unlink "$t->{dir}/stop";

    my @lost = grep { !-e "$t->{dir}/ended.$t->{round}.$_" } values %ids;

    return !@lost;
}


# all is well: soon nothing is pending

sub settled {
    my ($t, $name) = @_;

    my $nginx = $t->{nginx};
    my $ok = RF::wait_for(sub {
        my $s = $nginx->status('app');
        return $s && $s->{mode} eq 'normal' && $s->{pending} == 0;
    }, 60);

    timeline($t, 'settled') if $ok;
    $t->{failed} ||= !$ok;

    ok($ok, "$name: normal, and nothing is pending");
    return 1 if $ok;

    diag(explain $nginx->status('app'));
    evidence($t);

    return 0;
}


# --- the verdict -----------------------------------------------------------

sub contents {
    my ($t, $prefix) = @_;

    my $redis = $t->{redis};
    my @names = grep { !/:redis_fallback:/ }
                     @{ $redis->cmd('KEYS', "$prefix:*") };
    my @replies = $redis->pipeline(map { ChaosClient::reader($_) } @names);

    return { map { $names[$_] => ChaosClient::content(
                       ChaosModel::type($names[$_]), $replies[$_]) }
             0 .. $#names };
}


sub judge {
    my ($t, $model, $name, $emptied) = @_;

    my $n = $t->{round};
    my $events = $t->{faults}->events;

    $model->{$_} = $events->{$_} for keys %$events;
    $model->{twice} = [] unless $ENV{CHAOS_LENIENT};
    $model->load($_, RF::slurp("$t->{dir}/client.$n.$_")) for 1 .. $clients;
    $model->{away} = asked($t, $model);

    my $content = contents($t, "r$n");
    my @bad = $model->check($content);
    my $ops = scalar @{ $model->{ops} };

    push @bad, differs($t, $content);
    push @bad, late($t, $emptied);

    $t->{past} = { prefix => "r$n", content => $content, model => $model };
    $total{$_} += $model->{count}{$_} for keys %{ $model->{count} };
    $answers{$_} += $model->{answers}{$_} for keys %{ $model->{answers} };
    $violations += @bad;

    ok(!@bad, sprintf '%s: %d operations, %s%s', $name, $ops,
              join(', ', map { "$model->{count}{$_} $_" }
                         sort keys %{ $model->{count} }),
              $emptied ? ', Redis was emptied' : '')
        or explain_bad($t, $model, @bad);

    my $status = $t->{nginx}->status('app') || {};
    my @quarantine = glob path($t) . '/quarantine/*';

    is(scalar @quarantine, 0, "$name: nothing is in quarantine")
        or diag(join "\n", grep { defined } @quarantine[0 .. 9]);
    $t->{failed} ||= @bad || @quarantine;

    evidence($t) if $t->{failed};
    unlink glob "$t->{dir}/*.$n.*" unless $t->{failed};
}


sub path {
    my ($t) = @_;

    return $t->{disk} ? "$t->{disk}/app" : $t->{nginx}->dir . '/app';
}


# When Redis was asked: by what the clients were told, and by what the log
# says, which is in whole seconds.

sub asked {
    my ($t, $model) = @_;

    my @spans = map { [ $_->{sent}, $_->{got} ] }
                grep { $_->{client} && $_->{mode} ne 'fallback' }
                     @{ $model->{ops} };

    my $log = $t->{nginx}->log;

    while ($log =~ m{^(\d+)/(\d+)/(\d+)\ (\d+):(\d+):(\d+)\ .*
                      ready\ for\ writes}gmx)
    {
        my $at = POSIX::mktime($6, $5, $4, $3, $2 - 1, $1 - 1900, 0, 0, -1);
        push @spans, [ $at, $at + 1 ] if $at >= $t->{start} - 1;
    }

    return \@spans;
}


# nginx sees what Redis holds

sub differs {
    my ($t, $content) = @_;

    my $conn = $t->{nginx}->conn;
    my @bad;

    for my $key (sort keys %$content) {
        my $res = $t->{nginx}->post('/api/', $json->encode(
            ChaosClient::reader($key)), conn => $conn,
            headers => { 'Upstash-Encoding' => 'base64' });
        my $answer = ChaosClient::decode($res->{body});
        my $has = ref $answer eq 'HASH' && exists $answer->{result}
                  ? ChaosClient::content(ChaosModel::type($key),
                                         $answer->{result})
                  : "status $res->{status}";

        push @bad, { key => $key, why => 'nginx does not answer what Redis '
                     . "holds:\n" . text($has) . "\n" . text($content->{$key}) }
            if text($has) ne text($content->{$key});
    }

    return @bad;
}


sub text { return JSON::PP->new->ascii->canonical->allow_nonref->encode($_[0]) }


# the keys of the round before are as they were

sub late {
    my ($t, $emptied) = @_;

    my $past = $t->{past};
    return () if !$past || $emptied;

    my $now = contents($t, $past->{prefix});
    my %keys = map { $_ => 1 } keys %$now, keys %{ $past->{content} };

    return map { { key => $_, why => "changed after its round:\n"
                   . text($past->{content}{$_}) . "\n" . text($now->{$_}) } }
           grep { text($now->{$_}) ne text($past->{content}{$_}) }
           sort keys %keys;
}


sub explain_bad {
    my ($t, $model, @bad) = @_;

    my $dir = "$keep/$t->{conf}{seed}";
    my $all = '';

    system('mkdir', '-p', $dir);
    diag(scalar(@bad) . " violations, SEED=$t->{conf}{seed}; all are in "
         . "$dir/violations");

    my $faults = join "\n", 'faults:', @{ $t->{timeline} };

    for my $i (0 .. $#bad) {
        my ($key, $member, $why) = @{ $bad[$i] }{qw(key member why)};
        my $title = "VIOLATION: $key" . (defined $member && length $member
                                         ? " $member" : '') . ": $why";
        my @lines = $model->history($key, $member, $t->{start});

        diag($title) if $i < $SHOWN;
        diag(join "\n", @lines > 60 ? ('...', @lines[-60 .. -1]) : @lines)
            if $i < $SHOWN;
        $all .= join "\n", $title, @lines, '', '';
    }

    diag($faults);
    RF::spew("$dir/violations", "$all\n$faults\n");
}


sub evidence {
    my ($t) = @_;

    my $dir = "$keep/$t->{conf}{seed}";

    system('mkdir', '-p', $dir);
    RF::spew("$dir/timeline", join "\n", @{ $t->{timeline} }, '');
    RF::spew("$dir/error.log", $t->{nginx}->log);
    RF::spew("$dir/redis.log", RF::slurp($t->{redis}{log}));
    system('cp', '-r', glob("$t->{dir}/client.*"), $t->{nginx}->conf,
           path($t), $dir);
    diag("seed $t->{conf}{seed}: logs, histories and the path are in $dir");
}


# --- the end ---------------------------------------------------------------

sub finish {
    my ($t) = @_;

    my $name = "seed $t->{conf}{seed}";

    $faults{$_} += $t->{faults}->count->{$_} for keys %{ $t->{faults}->count };

    ok($t->{nginx}->stop('QUIT', 20), "$name: nginx stops");
    $t->{nginx}->check_logs(allow => \@expected, name => "$name: its log");

    my %critical;
    for (grep { /\[crit\]/ && !/$critical/ } split /\n/, $t->{nginx}->log) {
        $critical{ s/^.*?\[crit\] \S+ (\*\d+ )?//r }++;
    }

    if (!ok(!%critical, "$name: nothing is critical")) {
        diag(join "\n", grep { defined } (sort keys %critical)[0 .. 9]);
        evidence($t);
    }

    $t->{redis}->stop;
    $t->{proxy}->stop if $t->{proxy};
}


sub report {
    my $ops = 0;
    $ops += $_ for values %total;

    diag("SEED=$first: $rounds rounds, $ops operations, "
         . join(', ', map { "$_ $total{$_}" } sort keys %total)
         . ", violations: $violations");
    diag("  $answers{$_} $_") for sort keys %answers;
    diag('faults: ' . join ', ', map { "$_ $faults{$_}" } sort keys %faults);

    cmp_ok($ops, '>', $seconds * $clients, 'there was load');
    ok(scalar keys %faults, 'there were faults');
}


main();
