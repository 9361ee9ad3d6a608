# A zone that is full of pending keys: they spill to files and are read from
# there.  Without files the end is 507.  An old value is never lost to a write
# that was refused.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


# a connection for all of it

my $HTTP = 'keepalive_requests 1000000;';


# more than the zone holds, over connections that stay open

sub fill {
    my ($t, $name, $n, $value) = @_;

    my @conns = values %{ $t->conns };
    my (%expect, %status);

    for my $i (1 .. $n) {
        my $res = $t->put("key$i", $value->($i), conn => $conns[$i % @conns]);

        $status{ $res->{status} }++;
        $expect{"key$i"} = $value->($i) if $res->{status} == 204;
    }

    return (\%expect, \%status);
}


sub wrong {
    my ($t, $expect, @keys) = @_;

    my @conns = values %{ $t->conns };
    my $i = 0;

    # what is in files needs room in memory, which may take a batch

    return join ' ', grep {
        my $key = $_;
        !wait_for(sub {
            my $res = $t->get($key, conn => $conns[$i++ % @conns]);
            return 0 if $res->{status} == 507;
            return $res->{body} eq $expect->{$key};
        }, 5);
    } @keys ? @keys : sort keys %$expect;
}


sub spills {
    my ($workers, $zone, $n) = @_;

    my $name = "$workers workers, $zone";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, http => $HTTP,
                        store => { zone => $zone, write_interval => '200ms',
                                   timeout => '3s' });
    my ($expect, $status)
        = fill($t, $name, $n, sub { "value $_[0] " . 'v' x 1000 });

    is(join(' ', %$status), "204 $n", "$name: nothing is refused");
    is($t->status->{pending}, $n, "$name: all is pending");
    ok($t->status->{memory}{entries} < $n, "$name: more than memory holds");
    ok($t->status->{memory}{used} <= $t->status->{memory}{size},
       "$name: which is bounded");
    ok(wait_for(sub { my @files = $t->files; @files == $n }),
       "$name: all has files");

    my $res = $t->get('key1');
    is($res->{body}, $expect->{key1}, "$name: the first is read");
    is($res->{tier}, 'file', "$name: from its file");
    is($t->get('key1')->{tier}, 'memory', "$name: then from memory");
    is($t->get('none')->{status}, 404, "$name: nothing is nothing");
    is(wrong($t, $expect), '', "$name: all is read");
    ok($t->status->{reads}{file} > 0, "$name: files are counted");

    # changes of what is in files

    is($t->put('key2', 'again')->{status}, 204, "$name: written again");
    is($t->run('APPEND', 'key3', '+')->{body}, 1 + length $expect->{key3},
       "$name: appended");
    is($t->delete('key4')->{status}, 204, "$name: deleted");
    is($t->delete('key4')->{status}, 404, "$name: twice");
    is($t->run('SETNX', 'key5', 'x')->{body}, 0, "$name: set, if not there");
    is($t->run('STRLEN', 'key6')->{body}, length $expect->{key6},
       "$name: its length");
    is($t->run('RENAME', 'key7', 'seven')->{body}, 'OK', "$name: renamed");
    $expect->{key2} = 'again';
    $expect->{key3} .= '+';
    $expect->{key4} = undef;
    $expect->{seven} = $expect->{key7};
    $expect->{key7} = undef;

    is(wrong($t, $expect, qw(key2 key3 key5 key6 seven)), '',
       "$name: all is read");
    is($t->get('key4')->{status}, 404, "$name: what was deleted is not");
    is($t->get('key7')->{status}, 404, "$name: nor what was renamed");

    # also if nginx is killed

    if ($workers == 1) {
        ok(wait_for(sub { my @files = $t->files; @files == $n + 1 }),
           "$name: a file for each");
        ok($t->nginx->stop, "$name: stops");
        $t->nginx->start;
        is($t->get('key2')->{body}, 'again', "$name: after a restart");
    }

    $redis->start;
    $t->recovered($expect, $name, seconds => 20);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# no files: at last there is no room, and each key has its last value

sub refuses {
    my ($workers) = @_;

    my $name = "$workers workers, path off";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, http => $HTTP,
                        store => { zone => '1m', path => 'off' });
    my ($expect, $status)
        = fill($t, $name, 900, sub { "value $_[0] " . 'v' x 500 });

    is(join(' ', sort keys %$status), '204 507', "$name: at last refused");
    my $n = keys %$expect;
    ok($n > 300, "$name: $n keys before");
    is($t->status->{pending}, $n, "$name: they are pending");
    is(wrong($t, $expect), '', "$name: and read");
    is($t->get('key900')->{status}, 404, "$name: what was refused is not");
    like($t->nginx->log, qr/FALLBACK no room left for 'set'/,
         "$name: the log says it");

    # larger values for them: taken or refused, never lost

    my $refused = 0;

    for my $i (1 .. 40) {
        my $value = "larger $i " . 'w' x 3000;
        my $res = $t->put("key$i", $value);

        if ($res->{status} == 204) {
            $expect->{"key$i"} = $value;
        } else {
            is($res->{status}, 507, "$name: refused") if !$refused++;
        }
    }

    ok($refused, "$name: $refused of 40 larger values are refused");

    for my $command (['APPEND', 'key50', 'z' x 3000],
                     ['SETRANGE', 'key51', 3000, 'z'],
                     ['GETSET', 'key52', 'z' x 3000],
                     ['RENAME', 'key53', 'much-longer-name-' . 'n' x 3000],
                     ['MSET', 'key54', 'z' x 2000, 'key55', 'z' x 2000],
                     ['COPY', 'key56', 'copy-' . 'n' x 3000])
    {
        my ($what, @args) = @$command;
        my $res = $t->run($what, @args);
        is($res->{body}, '', "$name: $what is refused");
    }

    is(wrong($t, $expect), '', "$name: all have their last values");
    is($t->status->{pending}, $n, "$name: nothing else is pending");

    # a deletion makes room for another value

    for my $i (60 .. 63) {
        is($t->delete("key$i")->{status}, 204, "$name: a deletion");
        $expect->{"key$i"} = undef;
    }

    is($t->put('key64', 'n' x 508)->{status}, 204,
       "$name: makes room for a new value");
    $expect->{key64} = 'n' x 508;

    $redis->start;
    ok($t->wait_normal(15), "$name: normal");
    holds($redis, $expect, $name);
    is($t->put('after', 'x' x 3000)->{status}, 204, "$name: written");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# one value that does not fit at all

sub too_large {
    my ($workers) = @_;

    my $name = "$workers workers, large";
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis, http => $HTTP,
                        store => { zone => '1m', write_interval => '100ms' });
    my $large = join '', map { sprintf '%07d ', $_ } 1 .. 262144;

    is($t->put('large', $large)->{status}, 204, "$name: written to Redis");
    ok($redis->cmd('GET', 'large') eq $large, "$name: it is there");
    ok($t->get('large')->{body} eq $large, "$name: and read");
    is($t->put('small', 'one')->{status}, 204, "$name: a small one");
    is($t->put('large', 'was small')->{status}, 204, "$name: made small");
    is($t->get('large')->{body}, 'was small', "$name: and read");

    # what memory knew is not what it does not know

    is($t->put('large', $large)->{status}, 204, "$name: large again");
    $redis->kill;
    is($t->get('small')->{body}, 'one', "$name: without Redis");
    is($t->get('large')->{status}, 404, "$name: it was not in memory");
    is($t->get('large')->{result}, 'unknown', "$name: which says so");
    is($t->put('small', $large)->{status}, 507, "$name: is refused");
    is($t->get('small')->{body}, 'one', "$name: the old value stays");
    is($t->put('new', $large)->{status}, 507, "$name: for a new key, too");
    is($t->get('new')->{status}, 404, "$name: which is not there");
    is($t->put('small', 'two')->{status}, 204, "$name: others are written");
    is($t->status->{pending}, 1, "$name: one is pending");

    $redis->start;
    $t->recovered({ small => 'two' }, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# what Redis has makes room for what it has not

sub evicts {
    my ($workers) = @_;

    my $name = "$workers workers, evicts";
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis, http => $HTTP,
                        store => { zone => '1m', path => 'off' });
    my ($clean) = fill($t, $name, 900, sub { "clean $_[0] " . 'c' x 500 });

    is(keys(%$clean), 900, "$name: written to Redis");
    ok($t->status->{memory}{evictions} > 0, "$name: more than memory holds");
    is($t->get('key1')->{body}, $clean->{key1}, "$name: Redis has it");

    # the key that is used stays

    $redis->kill;
    is($t->get('key1')->{body}, $clean->{key1}, "$name: used last");

    my %expect;

    for my $i (1 .. 300) {
        my $res = $t->put("new$i", "new $i " . 'n' x 500);
        is($res->{status}, 204, "$name: new$i") if $res->{status} != 204;
        $expect{"new$i"} = "new $i " . 'n' x 500;
        $t->get('key1') unless $i % 20;
    }

    is(wrong($t, \%expect), '', "$name: pending keys are all there");
    is($t->get('key1')->{body}, $clean->{key1}, "$name: and the one in use");
    is($t->get('key200')->{status}, 404, "$name: another made room");
    is($t->status->{pending}, 300, "$name: pending");

    # until nothing else is left

    my $status;

    for my $i (301 .. 900) {
        $status = $t->put("new$i", "new $i " . 'n' x 500)->{status};
        last if $status != 204;
        $expect{"new$i"} = "new $i " . 'n' x 500;
    }

    is($status, 507, "$name: then writes are refused");
    is(wrong($t, \%expect), '', "$name: pending keys are all there");

    $redis->start;
    ok($t->wait_normal(15), "$name: normal");
    holds($redis, \%expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    spills($workers, $workers == 1 ? ('1m', 1100) : ('2m', 2200));
    refuses($workers);
    too_large($workers);
    evicts($workers);
}

done_testing;
