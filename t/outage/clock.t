# A clock that is set: an hour ahead and back, in an outage, across a restart,
# and in a recovery.  Versions rise all the same, so what is newer stays newer;
# nothing waits for the time to come round again; and times to live are those of
# the wall clock.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;

my $HOUR = 3600;


sub clocked {
    my ($workers, %store) = @_;

    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { durability => 'disk', %store });
    my $shim = Shim->new(dir => $t->nginx->dir . '/app');

    $t->nginx->{shim} = $shim;

    return ($t, $redis, $shim);
}


sub wrong {
    my ($t, $expect) = @_;

    return join ' ', grep { my $res = $t->get($_);
                            defined $expect->{$_}
                            ? $res->{body} ne $expect->{$_}
                            : $res->{status} != 404 } sort keys %$expect;
}


# nginx looks at the time when something happens

sub set_clock {
    my ($t, $shim, $seconds) = @_;

    $shim->clock($seconds);

    my $want = time + $seconds;

    wait_for(sub {
        my @late = grep { my $res = $t->get('none', conn => $_);
                          my $date = date($res->{headers}{date});
                          !defined $date || abs($date - time - $seconds) > 2 }
                        values %{ $t->conns };
        return !@late;
    }) or fail("the clock is not $seconds ahead");
}


sub date {
    my ($text) = @_;

    my ($day, $hour, $min, $sec) = ($text || '')
        =~ /^\w+, (\d+) \w+ \d+ (\d+):(\d+):(\d+) GMT$/ or return undef;
    my @today = gmtime(time);

    require Time::Local;

    # the day may be yesterday's or tomorrow's

    for my $shift (0, -86400, 86400) {
        my @at = gmtime(time + $shift);
        return Time::Local::timegm($sec, $min, $hour, @at[3, 4, 5])
            if $at[3] == $day;
    }

    return undef;
}


sub version { return $_[0]{version} || 0 }


# in an outage, and across restarts, each of them a crash or not

sub outage {
    my ($workers, $end) = @_;

    my $name = "$workers workers, " . ($end ? 'stopped' : 'killed');
    my ($t, $redis, $shim) = clocked($workers, write_interval => '50ms');
    my (%expect, %version, $slowest);

    $t->nginx->start;
    $slowest = 0;

    my $waited = waited();

    my $n = 0;
    my $round = sub {
        my ($when) = @_;

        for my $i (1 .. 15) {
            my $value = 'value ' . ++$n;
            my $res = $t->put("key$i", $value);
            fail("$name: $when, key$i: $res->{status}")
                if $res->{status} != 204;
            $expect{"key$i"} = $value;
            $slowest = $res->{elapsed} if $res->{elapsed} > $slowest;
        }

        $t->run('INCRBY', 'count', 3)->{result} eq 'ok'
            or fail("$name: $when, count");
        $expect{count} = ($expect{count} || 0) + 3;

        if ($n % 2) {
            $t->delete('key3')->{status} == 204 or fail("$name: $when, DEL");
            $expect{key3} = undef;
        }

        my $disk = $t->on_disk;
        my @bad = grep { version($disk->{$_}) <= ($version{$_} || 0) }
                       keys %expect;

        is("@bad", '', "$name: $when, versions rise");
        $version{$_} = version($disk->{$_}) for keys %expect;
        is(wrong($t, \%expect), '', "$name: $when, the last values are read");
    };

    my $restart = sub {
        my ($clock) = @_;

        # some of it in files, or all in the journal
        wait_for(sub { my @files = $t->files; @files > 10 }) if $clock > 0;

        $end ? $t->nginx->stop : $t->nginx->kill;
        $shim->clock($clock);
        $t->nginx->start;
    };

    $round->('at first');
    set_clock($t, $shim, $HOUR);
    $round->('an hour ahead');
    set_clock($t, $shim, -$HOUR);
    $round->('an hour back');
    $restart->($HOUR);
    is(wrong($t, \%expect), '', "$name: after a start an hour ahead");
    $round->('started an hour ahead');
    $restart->(-$HOUR);
    is(wrong($t, \%expect), '', "$name: after a start an hour back");
    $round->('started an hour back');
    set_clock($t, $shim, 0);
    $round->('right again');
    cmp_ok($slowest, '<', Outage::budget() + waited() - $waited,
           "$name: no write waits");

    my $began = now();

    $redis->start;
    $t->recovered(\%expect, $name, orphans => 1);
    cmp_ok(now() - $began, '<', slow(20), "$name: soon");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# in a recovery that takes a while, with clients at it

sub recovery {
    my ($workers, $ahead) = @_;

    my $name = "$workers workers, recovery, " . ($ahead > 0 ? 'ahead'
                                                            : 'back');
    my ($t, $redis, $shim) = clocked($workers, recovery_rate => 15);
    my %expect;

    $t->nginx->start;

    for my $i (1 .. 40) {
        $t->put("key$i", $expect{"key$i"} = "value $i")->{status} == 204
            or fail("$name: key$i");
        $t->run('INCRBY', "count" . $i % 10, $i);
        $expect{'count' . $i % 10} += $i;
    }

    $redis->start;
    ok($t->wait_recovering, "$name: recovering");

    my $step = 0;

    for my $i (1 .. 20) {
        set_clock($t, $shim, $ahead * ++$step) if $i % 6 == 1;
        my $res = $t->put("key$i", $expect{"key$i"} = "later $i");
        fail("$name: later $i: $res->{status}") if $res->{status} != 204;
        $res = $t->run('INCRBY', 'count' . $i % 10, 1000);
        fail("$name: count: $res->{result}") if $res->{result} ne 'ok';
        $expect{'count' . $i % 10} += 1000;
    }

    ok($t->wait_normal(10), "$name: normal") or diag(explain($t->status));
    my @bad = differences($redis, \%expect);
    is("@bad", '', "$name: Redis has it all, and once");

    # a second outage: what the first one left is no matter

    $redis->kill;
    $t->falls_back or fail("$name: no fallback");
    set_clock($t, $shim, -$ahead);
    $t->put("key$_", $expect{"key$_"} = "last $_")->{status} == 204
        or fail("$name: key$_") for 1 .. 10;
    $t->nginx->kill;
    $t->nginx->start;
    is(wrong($t, { map { ("key$_" => $expect{"key$_"}) } 1 .. 10 }), '',
       "$name: all is there after kill -9");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# an absolute time, by nginx' clock

sub expiry {
    my ($name) = ('expiry');
    my ($t, $redis, $shim) = clocked(2);

    $t->nginx->start;
    $t->put('short', 'x', ttl => '1000s');
    $t->put('long', 'x', ttl => '10000s');
    $t->put('ever', 'x');

    set_clock($t, $shim, $HOUR);
    is($t->get('short')->{status}, 404, "$name: run out an hour ahead");
    is($t->get('long')->{body}, 'x', "$name: not yet");
    cmp_ok(abs($t->run('TTL', 'long')->{body} - 6400), '<=', 60,
           "$name: what is left");

    set_clock($t, $shim, 0);
    is($t->get('short')->{status}, 404, "$name: what has run out stays so");
    cmp_ok(abs($t->run('TTL', 'long')->{body} - 10000), '<=', 60,
           "$name: as much as before");
    $t->put('new', 'x', ttl => '1000s');

    set_clock($t, $shim, -$HOUR);
    cmp_ok(abs($t->run('TTL', 'new')->{body} - 4600), '<=', 60,
           "$name: an hour back there is an hour more");

    $t->nginx->kill;
    $shim->clock($HOUR);
    $t->nginx->start;
    is($t->get('new')->{status}, 404, "$name: run out at a start");
    is($t->get('long')->{body}, 'x', "$name: not yet at a start");
    $redis->start;
    ok($t->wait_normal, "$name: normal");
    is($redis->cmd('GET', 'new'), undef, "$name: not replayed");
    is($redis->cmd('GET', 'short'), undef, "$name: not replayed");
    is($redis->cmd('PTTL', 'ever'), -1, "$name: for ever");
    cmp_ok(abs($redis->cmd('TTL', 'long') - 6400), '<=', 60,
           "$name: Redis is told what is left");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


outage(2, 0);
outage(1, 1);
recovery(2, $HOUR);
recovery(2, -$HOUR);
expiry();

done_testing;
