# A counter that somebody counts up, and readers in all workers: none reads what
# is older than 10 ms, and none reads an older value after a newer one.
#
# TRACKING_SECONDS: of each part, 6 by default.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;

my $seconds = $ENV{TRACKING_SECONDS} || 6;
my $dir = RF::tempdir('hammer');


# a process that calls the sub until the time is over; its lines go to a file

sub runs {
    my ($name, $turn) = @_;

    my $file = "$dir/$name";
    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    return [ $pid, $file ] if $pid;

    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    RF::die_with_parent(POSIX::SIGKILL());
    srand($$);

    my $ok = eval {
        open my $fh, '>', $file or die "$file: $!\n";
        my $end = now() + $seconds;

        while (now() < $end) {
            my @line = $turn->();
            print $fh join(' ', @line), "\n" if @line;
        }

        close $fh;
    };

    print STDERR "# $name: $@" unless $ok;
    POSIX::_exit($ok ? 0 : 1);
}


sub ends {
    my ($job) = @_;

    waitpid $job->[0], 0;

    return $? ? () : map { [ split / / ] } split /\n/, RF::slurp($job->[1]);
}


# Counts up: with "by" the names of who does, or nginx' workers by turns.  A
# line is the number, when it was acknowledged, and delay() then.

sub writer {
    my ($t, $conns, $pause) = @_;

    my $redis = RF::Conn->new($t->redis->port, timeout => 5);
    my @pids = keys %$conns;
    my $n = 0;

    return sub {
        my $i = ++$n;
        my $by = $pids[rand @pids + 1];

        if (defined $by) {
            for my $body ("[\"SET\",\"c\",\"$i\"]",
                          "[\"HSET\",\"h\",\"f\",\"$i\"]")
            {
                my $res = RF::HTTP::request($t->store->spread, 'POST', '/api',
                              conn => $conns->{$by}, body => $body);
                die "$i: $res->{status} $res->{body}\n"
                    if $res->{status} != 200;
            }

        } else {
            for (1 .. 2) {
                my (undef, $error) = RF::Redis::talk($redis, 10,
                    $_ == 1 ? (SET => 'c', $i) : (HSET => 'h', 'f', $i));
                die "$i: $error\n" if defined $error;
            }
        }

        my $acked = now();
        my $delay = $t->delay;
        Time::HiRes::sleep(rand $pause);

        return ($i, $acked, $delay);
    };
}


# a line: which key, when it began, what was read, tier, mode, delay()

sub reader {
    my ($t, @conns) = @_;

    return sub {
        my $conn = $conns[rand @conns];
        my $key = rand() < 0.5 ? 'c' : 'h';
        my $body = $key eq 'c' ? '["GET","c"]' : '["HGETALL","h"]';
        my $began = now();
        my $res = Outage::told(RF::HTTP::request($t->store->spread, 'POST',
                      '/api', conn => $conn, body => $body));
        my ($n) = $res->{body} =~ /"(\d+)"\]?\}$/;
        my $delay = $t->delay;

        die "$res->{status} $res->{body}\n" if $res->{error};
        Time::HiRes::sleep(rand 0.002);

        return ($key, $began, $n // 0, $res->{tier} || 'none',
                $res->{mode} || 'none', $delay);
    };
}


sub judge {
    my ($name, $writes, $reads) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %acked = map { $_->[0] => $_ } @$writes;
    my (@stale, @back, %count);

    for my $reader (sort keys %$reads) {
        my %last = (c => 0, h => 0);

        for my $read (@{ $reads->{$reader} }) {
            my ($key, $began, $n, $tier, $mode, $delay) = @$read;

            next if $mode ne 'normal';
            $count{$tier}++;

            push @back, "$reader: $key is $n ($tier) after $last{$key}"
                if $n < $last{$key};
            $last{$key} = $n;

            my $next = $acked{$n + 1} or next;
            my $over = $began - $next->[1] - $Tracking::PROMISE;

            next if $over <= 0;

            # the machine's part

            $count{excused}++, next if $delay - $next->[2] >= $over;

            push @stale, sprintf '%s: %s is %d (%s), %.1f ms too late', $reader,
                                 $key, $n, $tier, 1000 * $over;
        }
    }

    my $all = ($count{memory} || 0) + ($count{redis} || 0);

    is(join("\n", @stale[0 .. ($#stale > 9 ? 9 : $#stale)]), '',
       "$name: none is older than 10 ms");
    is(join("\n", @back[0 .. ($#back > 9 ? 9 : $#back)]), '',
       "$name: none goes back");
    cmp_ok($count{memory} || 0, '>', 0.1 * $all, "$name: memory has its part");
    cmp_ok($count{redis} || 0, '>', 0, "$name: and Redis");
    diag(sprintf '%s: %d writes, %d reads, %d of memory, %d excused', $name,
         scalar @$writes, $all, $count{memory} || 0, $count{excused} || 0)
        if $ENV{TRACKING_SECONDS} || @stale || @back;
}


sub hammer {
    my ($name, %opt) = @_;

    my $t = Tracking->new(store => { restore => 'off', timeout => '5s',
                                     connect_timeout => '5s' });
    my $redis = $t->redis;

    ok($t->tracks, "$name: Redis vouches");
    $redis->cmd('SET', 'c', 0);
    $redis->cmd('HSET', 'h', 'f', 0);

    # connections of their own

    my %own = map { $_ => $t->store->conns } qw(readers roamer writer);
    my %jobs;

    $jobs{writer} = runs('writer', writer($t, $opt{by} ? $own{writer} : {},
                                          $opt{pause} || 0.02));
    $jobs{"reader $_"} = runs("reader$_", reader($t, $own{readers}{$_}))
        for $t->pids;
    $jobs{roamer} = runs('roamer', reader($t, values %{ $own{roamer} }));
    $jobs{killer} = runs('killer', $opt{killer}->($t)) if $opt{killer};

    my %lines = map { $_ => [ ends($jobs{$_}) ] } sort keys %jobs;
    my $writes = delete $lines{writer};
    my $killed = delete $lines{killer};

    cmp_ok(scalar @$writes, '>', 20 * $seconds / $RF::SLOW, "$name: writes");
    cmp_ok(scalar(@{ $lines{$_} }), '>', 20 * $seconds / $RF::SLOW,
           "$name: reads, $_") for sort keys %lines;
    cmp_ok(scalar @$killed, '>', $seconds / $RF::SLOW, "$name: killed")
        if $killed;
    judge($name, $writes, \%lines);

    # in the end all agree

    ok($t->store->wait_normal, "$name: normal");
    ok($t->tracks, "$name: Redis vouches in the end");
    my ($bad) = $t->stale(now(), $t->delay, [ GET => 'c' ], [ HGETALL => 'h' ]);
    is(join("\n", @$bad), '', "$name: and all is seen");
    is($redis->cmd('GET', 'c'), $writes->[-1][0], "$name: the last one");
    is($t->store->status->{outages}, 0, "$name: no outage") unless $killed;
    $t->ended;
}


# one or all of the connections of one kind, or any

sub killer {
    my ($t) = @_;

    my $redis = $t->redis;
    $redis->drop;

    return sub {
        Time::HiRes::sleep(0.02 + rand 0.3);

        my $links = $t->links;
        my @ids = @{ $links->{ (qw(news data))[rand 2] } };
        @ids = @ids[rand @ids] if rand() < 0.7;
        $redis->try('CLIENT', 'KILL', 'ID', $_) for grep { defined } @ids;

        return scalar @ids;
    };
}


hammer('a client writes');
hammer('a client and workers write', by => 1);
hammer('quick writes', by => 1, pause => 0.001);
hammer('links are killed', killer => \&killer);
done_testing;
