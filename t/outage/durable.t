# What is acknowledged with durability disk is on disk; what is older than
# write_interval is so anyway.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


sub record_of {
    my ($t, $key) = @_;

    return $t->on_disk->{$key} || {};
}


sub wrong {
    my ($t, $expect) = @_;

    return join ' ', grep { my $res = $t->get($_);
                            defined $expect->{$_}
                            ? $res->{body} ne $expect->{$_}
                            : $res->{status} != 404 } sort keys %$expect;
}


# looked at the moment that the answer is here

sub at_once {
    my ($workers) = @_;

    my $name = "$workers workers";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { durability => 'disk',
                                   write_interval => '1h' });
    my @conns = values %{ $t->conns };
    my (%expect, @bad);

    for my $i (1 .. 60) {
        my $key = 'key' . $i % 20;
        my $value = "value $i";
        my $res = $t->put($key, $value, conn => $conns[$i % @conns]);
        my $record = record_of($t, $key);

        push @bad, "$key: $res->{status}" if $res->{status} != 204;
        push @bad, "$key: disk" if ($record->{data} || '') ne $value;
        push @bad, "$key: $res->{tier}" if $res->{tier} ne 'file';
        $expect{$key} = $value;
    }

    is("@bad", '', "$name: what is written is on disk");

    is($t->delete('key1')->{status}, 204, "$name: deleted");
    is(record_of($t, 'key1')->{type}, 'none', "$name: on disk, too");
    $expect{key1} = undef;
    is($t->run('INCRBY', 'count', 7)->{body}, 7, "$name: a counter");
    is(record_of($t, 'count')->{data}, '7', "$name: on disk, too");
    is($t->run('INCRBY', 'count', -2)->{body}, 5, "$name: again");
    is(record_of($t, 'count')->{data}, '5', "$name: on disk, too");
    $expect{count} = 5;
    is($t->run('APPEND', 'key2', '+more')->{body}, length("$expect{key2}+more"),
       "$name: appended");
    $expect{key2} .= '+more';
    is(record_of($t, 'key2')->{data}, $expect{key2}, "$name: on disk, too");
    is($t->run('MSET', 'm1', 'one', 'm2', 'two')->{body}, 'OK',
       "$name: two at once");
    is(record_of($t, 'm1')->{data}, 'one', "$name: both on disk");
    is(record_of($t, 'm2')->{data}, 'two', "$name: both on disk");
    is($t->run('RENAME', 'm2', 'm3')->{body}, 'OK', "$name: renamed");
    is(record_of($t, 'm2')->{type}, 'none', "$name: both on disk");
    is(record_of($t, 'm3')->{data}, 'two', "$name: both on disk");
    @expect{qw(m1 m2 m3)} = ('one', undef, 'two');
    my $before = now();
    is($t->put('short', 'lived', ttl => '100s')->{status}, 204,
       "$name: with a time to live");
    my $record = record_of($t, 'short');
    is($record->{expire_ms} - $record->{changed_ms}, 100000,
       "$name: on disk, too");
    is($t->get('key3')->{body}, $expect{key3}, "$name: a read");
    is(scalar(keys %{ $t->on_disk }), keys(%expect) + 1,
       "$name: nothing else");

    # and so it is there when all are killed

    $t->nginx->kill;
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");
    is($t->get('short')->{body}, 'lived', "$name: also what expires");

    $redis->start;
    $expect{short} = expects('lived', 100, $before, now());
    $t->recovered(\%expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# 64 clients at once, and a kill in the middle of it

sub many {
    my ($workers) = @_;

    my $name = "$workers workers, 64 clients";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { durability => 'disk', timeout => '5s' });
    my %expect;

    $t->put('first', 'one');
    $expect{first} = 'one';

    for my $round (1 .. 4) {
        my @all = map { ["key$_", "round $round, $_"] } 1 .. 64;
        my @responses = $t->nginx->parallel(20, map {
            ['PUT', Outage::uri($_->[0]), body => $_->[1]]
        } @all);
        my @failed = grep { $_->{status} != 204 } @responses;

        is(scalar(@failed), 0, "$name: all are written")
            or diag(join ' ', map { $_->{status} } @failed);

        my @bad = grep { (record_of($t, $_->[0])->{data} || '') ne $_->[1] }
                       @all;
        is(scalar(@bad), 0, "$name: all are in files");
        $expect{ $_->[0] } = $_->[1] for @all;
    }

    # all of them to one key: each waits for its own, and the last one stays

    my @responses = $t->nginx->parallel(20, map {
        ['GET', '/run/incr?k=count']
    } 1 .. 64);

    is(join(' ', sort { $a <=> $b } map { $_->{body} } @responses),
       join(' ', 1 .. 64), "$name: one counter");
    is(record_of($t, 'count')->{data}, 64, "$name: in its file, too");
    $expect{count} = 64;

    # writers are at it when all are killed

    my @acked = killed($t, 64);
    ok(scalar(@acked), "$name: some are acknowledged: " . @acked);

    $expect{$_} = "late $_" for @acked;
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");

    $redis->start;
    ok($t->wait_normal(15), "$name: normal");
    my @bad = differences($redis, \%expect);
    is("@bad", '', "$name: Redis has it all");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# the keys whose writes were acknowledged before everything was killed

sub killed {
    my ($t, $n) = @_;

    my (%conns, %key, @acked);
    my $serial = 0;
    my $end = now() + slow(10);

    my $send = sub {
        my ($id) = @_;

        $key{$id} = 'late' . ++$serial;
        $conns{$id}->write(RF::HTTP::format_request('PUT',
            Outage::uri($key{$id}), body => "late $key{$id}", keepalive => 1),
            $end);
    };

    for my $id (1 .. $n) {
        $conns{$id} = $t->nginx->conn;
        $send->($id);
    }

    while (@acked < 3 * $n && now() < $end) {
        for my $id (keys %conns) {
            next unless $conns{$id}->ready(0, now() + 0.001);
            my $res = RF::HTTP::read_response($conns{$id}, 'PUT', $end);
            push @acked, $key{$id} if $res->{status} == 204;
            $send->($id);
        }
    }

    $t->nginx->kill;

    # answers that had left before that

    for my $id (keys %conns) {
        my $res = RF::HTTP::read_response($conns{$id}, 'PUT', now() + 1);
        push @acked, $key{$id} if $res->{status} == 204;
    }

    return @acked;
}


# durability memory: what is older than write_interval is on disk

sub interval {
    my ($workers) = @_;

    my $name = "$workers workers, memory";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { write_interval => '500ms' });
    my %expect;

    for my $i (1 .. 50) {
        is($t->put("key$i", "value $i")->{status}, 204, "$name: key$i")
            if $i == 1;
        $t->put("key$i", "value $i");
        $expect{"key$i"} = "value $i";
    }

    my $written = now();

    ok(wait_for(sub { my @files = $t->files; @files == 50 }, 3),
       "$name: all is on disk");
    ok(now() - $written < slow(3), "$name: within the interval")
        or diag(now() - $written);

    # again, and the same keys

    $t->put("key$_", $expect{"key$_"} = "again $_") for 1 .. 10;
    ok(wait_for(sub {
        return !grep { (record_of($t, "key$_")->{data} || '') ne "again $_" }
                     1 .. 10;
    }, 3), "$name: changes, too");

    $t->nginx->kill;
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");

    $redis->start;
    $t->recovered(\%expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# so many changes that the batch does not wait for the interval

sub queue {
    my ($workers) = @_;

    my $name = "$workers workers, queue";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { write_interval => '1h',
                                   write_queue => 20 });

    # the first batch may come at once

    $t->put('first', 'x');
    $t->put("key$_", "value $_") for 1 .. 100;

    ok(wait_for(sub { keys %{ $t->on_disk } >= 80 }, 3),
       "$name: a batch at 20");
    my $began = now();

    ok($t->nginx->stop, "$name: stops");

    # there was time, if it did not take the second that an exit may

    my $all = now() - $began < 0.9;

    is(scalar(keys %{ $t->on_disk }), 101, "$name: and all at exit");
    cmp_ok(scalar(my @files = $t->files), '>=', $all ? 101 : 20,
           "$name: in files, too");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    at_once($workers);
    many($workers);
    interval($workers);
    queue($workers);
}

done_testing;
