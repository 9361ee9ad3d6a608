# A power cut of the host of an nginx with durability disk, in an outage and in
# the recovery from it: at the next start everything acknowledged is there, as
# it was or newer, and Redis gets it, each increment and element once.
# POWER_CUT=seconds (make power-cut) goes on for so long.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use PowerCut;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;

my $long = $ENV{POWER_CUT} || 0;
my $seed = $ENV{POWER_SEED} || 1;
my $scratch = -d '/dev/shm' && -w '/dev/shm'
              ? File::Temp::tempdir('rf-power-XXXXXXXX', DIR => '/dev/shm',
                                    CLEANUP => 1) : RF::tempdir('power');
my $path = 'made/app';
my $oracle = PowerCut::Oracle->new;
my ($states, $starts, $violations, $shown) = (0, 0, 0, 0);
my $run = '';

chmod 0755, $scratch;


sub violation {
    my ($state, $what) = @_;

    $violations++;
    diag("$run, cut $state->{cut}, $state->{what}: $what") if $shown++ < 20;
}


# Clients, each with keys of its own and one request at a time.  A write of a
# key is told from the others by its number: the value of a SET, the count, the
# last element.

package Clients;

sub new {
    my ($class, $t, $n) = @_;

    my $self = bless { t => $t, n => $n, keys => {}, busy => {}, log => [],
                       errors => [] }, $class;

    $self->connect;

    return $self;
}


sub connect {
    my ($self) = @_;

    my $t = $self->{t};

    $self->{conns} = [ map { values %{ $t->conns } }
                       1 .. $self->{n} / $t->{workers} ];
}


sub send {
    my ($self, $id) = @_;

    my @kinds = qw(set set set count list gone);
    my $kind = $kinds[int rand @kinds];
    my $name = "$kind$id-" . int rand($kind eq 'set' ? 6 : 2);
    my $key = $self->{keys}{$name} ||= { kind => $kind, sent => 0 };
    my $n = ++$key->{sent};

    # every other write of "gone" removes it

    my ($method, $uri, $body)
        = $kind eq 'count' ? ('GET', "/run/incr?k=$name")
        : $kind eq 'list'  ? ('GET', "/run/rpush?k=$name&a=$n")
        : $kind eq 'gone' && $n % 2 == 0 ? ('DELETE', "/kv/$name")
        : ('PUT', "/kv/$name", main::value($name, $n));

    push @{ $self->{log} }, [Shim::monotonic(), 'sent', $name, $n];
    $self->{busy}{$id} = [$name, $n, $method];
    $self->{conns}[$id]->write(RF::HTTP::format_request($method, $uri,
        body => $body, keepalive => 1), RF::now() + 5);
}


# answers that are here, and for "seconds" those that come

sub receive {
    my ($self, $seconds) = @_;

    my $end = RF::now() + $seconds;

    while (keys %{ $self->{busy} }) {
        my ($bits, $any) = ('', 0);

        vec($bits, fileno $self->{conns}[$_]{sock}, 1) = 1
            for keys %{ $self->{busy} };

        my $left = $end - RF::now();
        my $n = select $bits, undef, undef, $left > 0 ? $left : 0;
        last if !$n || $n < 0;

        for my $id (sort keys %{ $self->{busy} }) {
            next unless vec $bits, fileno $self->{conns}[$id]{sock}, 1;

            my ($name, $number, $method) = @{ delete $self->{busy}{$id} };
            my $res = RF::HTTP::read_response($self->{conns}[$id], $method,
                                              RF::now() + 5);
            Outage::told($res);

            push @{ $self->{log} }, [Shim::monotonic(), 'acked', $name,
                                     $number]
                if $res->{status} =~ /^20/ && ($res->{result} || '') ne 'error'
                   || ($method eq 'DELETE' && $res->{status} == 404);
            push @{ $self->{errors} }, "$name $number: $res->{status} "
                                       . ($res->{error} || $res->{body})
                if $res->{status} !~ /^(?:20\d|404)$/
                   || ($res->{result} || '') eq 'error';
        }
    }
}


sub work {
    my ($self, $seconds, $most, $until) = @_;

    my $end = RF::now() + $seconds;
    my $n = 0;

    while (RF::now() < $end && $n < $most && !($until && $until->())) {
        for my $id (0 .. $#{ $self->{conns} }) {
            next if $self->{busy}{$id};
            $self->send($id);
            $n++;
        }

        $self->receive(0.002);
    }
}


# the log as it was at a time: name => [acknowledged, sent]

sub promises {
    my ($log, $time) = @_;

    my %keys;

    for my $entry (@$log) {
        my ($when, $what, $name, $n) = @$entry;

        if ($what eq 'sent') {
            $keys{$name}[1] = $n;
            $keys{$name}[0] ||= 0;

        } elsif ($when < $time) {
            $keys{$name}[0] = $n;
        }
    }

    return \%keys;
}


package main;


sub value {
    my ($name, $n) = @_;

    return "$name:$n:" . 'x' x ($n * 7919 % 200);
}


# the number of the write that left this; undef: of none

sub number {
    my ($name, $is) = @_;

    if ($name =~ /^list/) {
        my @elements = ref $is ? @$is : ();
        return "@elements" eq join(' ', 1 .. @elements) ? scalar @elements
                                                        : undef;
    }

    return 0 if !defined $is;
    return $is =~ /^\d+$/ ? $is : undef if $name =~ /^count/;
    return $is =~ /^\Q$name\E:(\d+):/ && $is eq value($name, $1) ? $1 : undef;
}


# what is there, against what was promised; an odd "gone" is there, and an even
# one is not

sub kept {
    my ($state, $promises, $get) = @_;

    for my $name (keys %$promises) {
        my ($acked, $sent) = @{ $promises->{$name} };
        my $is = $get->($name);
        my $n = number($name, $is);

        if (!defined $n) {
            violation($state, "$name is "
                              . (ref $is ? "@$is" : substr $is, 0, 60));

        } elsif ($name =~ /^gone/ && $n == 0) {
            violation($state, "$name: is not there, acknowledged is $acked")
                unless $acked == 0 || $acked % 2 == 0 || $sent > $acked;

        } elsif ($n < $acked || $n > $sent) {
            violation($state, "$name: $n, acknowledged is $acked of $sent");
        }
    }
}


# an outage, a recovery, and what is there at some moments of both

sub run {
    my ($seed) = @_;

    srand($seed);

    my $redis = RF::Redis->new(start => 0, conf => 'enable-debug-command yes');
    my $t = Outage->new(workers => 2, redis => $redis, start => 0,
        store => { path => "%%DIR%%/data/$path", durability => 'disk',
                   timeout => '2s', check_interval => '100ms',
                   write_interval => '100ms', recovery_rate => 60 },
        server => <<'END');
    location = /run/rpush {
        redis_fallback_set $reply RPUSH $arg_k $arg_a;
        return 200 "$reply";
    }
END

    my $data = $t->nginx->dir . '/data';
    mkdir $data;

    my $shim = Shim->new(dir => $data, trace => 1);
    my @moments;

    $t->nginx->{shim} = $shim;
    $t->nginx->start;

    my $clients = Clients->new($t, 6);

    # the world stands still: what has left nginx is here, what has left for
    # Redis is there

    my $moment = sub {
        my ($name) = @_;

        my @pids = ($t->nginx->pid, $t->nginx->workers);
        kill 'STOP', @pids;
        $clients->receive(0.02);

        my $rdb = '';

        if ($redis->pid) {
            $redis->cmd('SAVE');
            $rdb = RF::slurp($redis->dir . '/dump.rdb');
        }

        push @moments, { name => $name, seq => $shim->sequence, rdb => $rdb,
                         time => Shim::monotonic() };
        kill 'CONT', @pids;
    };

    $clients->work(3, 120);
    $moment->('outage');
    $clients->work(3, 80);

    # files, too

    wait_for(sub { $clients->work(0.05, 6); my @files = $t->nginx->dir
                   && Outage::record_files("$data/$path"); @files > 10 }, 3);
    $clients->work(3, 40);

    # all of nginx is killed in between: what its successor finds was not synced
    # by that

    $clients->receive(3);
    $shim->hold(1);
    $t->nginx->kill;
    $shim->hold(0);
    $t->nginx->start;
    $clients->connect;
    $clients->work(3, 60);
    $moment->('second outage');

    my $outage_ends = Shim::monotonic();
    $redis->start;

    wait_for(sub { $clients->work(0.02, 6); $t->mode eq 'recovering' }, 5);

    for my $i (1 .. 6) {
        $clients->work(0.1, 40);
        last if $t->mode ne 'recovering';
        $moment->("recovery $i");
    }

    wait_for(sub { $clients->work(0.02, 3); $t->mode eq 'normal' }, 10);
    $moment->('end');
    $clients->work(1, 30);
    $moment->('normal');
    $clients->receive(3);

    is("@{ $clients->{errors} }", '', "$run: all is answered");

    my $all = Clients::promises($clients->{log}, ~0);
    kept({ cut => 'none', what => 'the end' }, $all,
         sub { return in_redis($redis, $_[0]) });

    ok(wait_for(sub { $t->status->{pending} == 0 }), "$run: nothing pending");
    $t->nginx->stop;
    $redis->stop;

    my @records = $shim->records;
    my @order = sort { $a->{end} <=> $b->{end} } @records;
    my $root = (stat $data)[1];
    my $model = PowerCut->new(records => \@records, root => $root);
    1 while $model->step;
    my @bad = $model->differs($data);
    is("@bad[0 .. ($#bad > 9 ? 9 : $#bad)]", '', "$run: the model is right");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);

    diag(sprintf "%d operations, %d answers, at %s", scalar @records,
         scalar(grep { $_->[1] eq q(acked) } @{ $clients->{log} }),
         join ", ", map { $_->{name} } @moments);

    return { log => $clients->{log}, records => \@records, root => $root,
             moments => \@moments, outage_ends => $outage_ends };
}


sub in_redis {
    my ($redis, $name) = @_;

    return $name =~ /^list/ ? $redis->cmd('LRANGE', $name, 0, -1)
                            : $redis->cmd('GET', $name);
}


# as long as Redis was not there, the disk has it all

sub outage {
    my ($run, $every, $most, $end) = @_;

    my $cut = PowerCut->new(records => $run->{records}, root => $run->{root},
                            seed => $seed, skip => qr{/0/tmp/});

    while ($cut->step) {
        my $until = $cut->until;

        last if $until > $run->{outage_ends} || ($end && now() > $end);
        next if $cut->random($every);

        my $promises = Clients::promises($run->{log}, $until);

        for my $state ($cut->states($most)) {
            my $found = $oracle->ask($cut, $state, "$scratch/state", $path);

            $states++;
            violation($state, $_) for @{ $found->{errors} };

            kept($state, $promises, sub {
                my $is = $found->{keys}{$_[0]} or return undef;

                return undef if $is->{type} == 0;
                return $is->{values}[0] if $is->{type} == 1;
                return $is->{values};
            });
        }
    }
}


# nginx starts from there, with Redis as it was then

sub starts {
    my ($run, $most, $end) = @_;

    my $user = getpwnam(RF::worker_user() || '');

    for my $moment (@{ $run->{moments} }) {
        my $cut = PowerCut->new(records => $run->{records}, seed => $seed,
                                root => $run->{root});

        while ($cut->step) {
            my $next = $run->{records}[$cut->at + 1];
            last if !$next || $next->{end} > $moment->{seq};
        }

        my @choice = $cut->states($most);

        # nothing, and one of the others

        @choice = @choice[0, $#choice] if @choice > 2 && !$long;
        my $promises = Clients::promises($run->{log}, $moment->{time});

        # what was sent later is not there

        my %sent;
        $sent{$_->[2]} = $_->[3] for grep { $_->[1] eq 'sent'
                                            && $_->[0] < $moment->{time} }
                                          @{ $run->{log} };

        for my $name (keys %$promises) {
            $promises->{$name}[1] = $sent{$name};
            delete $promises->{$name} unless defined $sent{$name};
        }

        for my $state (@choice) {
            return if $end && now() > $end;
            $starts++;
            start_from($cut, $state, $moment, $promises);
        }
    }
}


sub start_from {
    my ($cut, $state, $moment, $promises) = @_;

    my $redis = RF::Redis->new(start => 0);
    RF::spew($redis->dir . '/dump.rdb', $moment->{rdb}) if $moment->{rdb};

    my $t = Outage->new(workers => 1, redis => $redis, start => 0,
        store => { path => "%%DIR%%/data/$path", durability => 'disk',
                   check_interval => '50ms' });
    my $name = "$run, $moment->{name}";

    $cut->spoiled($t->nginx->dir . '/data');
    $cut->make($state, $t->nginx->dir . '/data');
    $redis->start;

    if (!eval { $t->nginx->start }) {
        violation($state, "$name: $@");
        return;
    }

    my $normal = wait_for(sub {
        my $status = $t->status or return 0;
        return $status->{mode} eq 'normal' && !$status->{pending};
    }, 10);

    $state = { cut => "$moment->{name} $state->{cut}",
               what => $state->{what} };

    violation($state, 'does not recover: ' . $t->nginx->log) unless $normal;
    kept($state, $promises, sub { return in_redis($redis, $_[0]) });

    my $log = $t->nginx->log;
    violation($state, $1) while $log =~ /(\[(?:crit|alert|emerg)\].*)/g;

    $t->nginx->kill;
    $redis->kill;
    File::Path::remove_tree($t->nginx->dir, $redis->dir);
}


my $until = now() + $long;
my $rounds = 0;

while ($long ? now() < $until : $rounds < 1) {
    $run = 'run ' . ($seed + $rounds);

    my $trace = run($seed + $rounds);

    outage($trace, $long ? 1 : 12, $long ? 12 : 4, $long ? $until : 0);
    starts($trace, $long ? 6 : 1, $long ? $until : 0);
    $rounds++;
}

is($violations, 0, "no violation in $states states, and $starts starts of "
                   . "nginx, of $rounds runs");

done_testing;
