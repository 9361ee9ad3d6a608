# With others at work in the same Redis: what they do is seen, byte for byte,
# and what is read here changes nothing there.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


# Redis refuses this nginx, while another client goes on

sub refuse {
    my ($redis) = @_;

    $redis->cmd('CONFIG', 'SET', 'requirepass', 'secret');
    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
}


sub admit { $_[0]->cmd('CONFIG', 'SET', 'requirepass', '') }


sub fallen_back {
    my ($t, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($t->falls_back, "$name: fallback");
}


sub misses {
    my ($t, $name) = @_;

    for (1 .. 20) {
        my $res = $t->get("missing$_");
        next if "$res->{status} $res->{result} $res->{tier}"
                =~ /^404 miss (redis|none)$/;
        fail("$name: missing: $res->{status} $res->{result} $res->{tier}");
    }

    is($t->delete('missing')->{status}, 404, "$name: none to delete");
    is($t->mode, 'normal', "$name: a miss is no outage");
    is($t->status->{outages}, 0, "$name: none was counted");
}


sub bytes {
    my ($t, $name) = @_;

    my $redis = $t->redis;
    my $all = join '', map { chr } 0 .. 255;
    my %values = (
        'all bytes' => $all . reverse($all),
        'empty'     => '',
        'large'     => join('', map { chr($_ * 7 % 251) } 1 .. 1048576),
        'crlf'      => "\r\n\r\n\$5\r\nhello\r\n",
        'quotes'    => "'\"\\\"'`\n\t{\"a\": [1, \"\\u0000\"]}",
        'nul'       => "\0",
    );

    # of the keys only those without a zero byte can be in a URI

    my @keys = ('plain', 'with spaces  in it', 'a/b/c', '/d', 'e/', "\xc3\xbc",
                "\xe2\x82\xac uro", "quotes'\"\\`", 'percent%20 %41 %',
                'a?b#c&d=e', "\r\nSET x y\r\n", join('', map { chr } 1 .. 255),
                '{tag}:*[a-z]?', 'x' x 2000);
    my @bad;

    for my $what (sort keys %values) {
        $redis->cmd('SET', "value:$what", $values{$what});
        my $res = $t->get("value:$what");
        push @bad, "read $what: $res->{status}"
            if $res->{status} != 200 || $res->{body} ne $values{$what};
        $res = $t->put("put:$what", $values{$what});
        push @bad, "written $what: $res->{status}"
            if $res->{status} != 204
               || ($redis->cmd('GET', "put:$what") // 'none') ne $values{$what};
    }

    is("@bad", '', "$name: values, byte for byte");
    @bad = ();

    for my $i (0 .. $#keys) {
        my $key = $keys[$i];
        $redis->cmd('SET', "in:$key", "in $i");
        my $res = $t->get("in:$key");
        push @bad, "read key $i: $res->{status} $res->{body}"
            if $res->{status} != 200 || $res->{body} ne "in $i";
        $res = $t->put("out:$key", "out $i");
        push @bad, "written key $i: $res->{status}"
            if $res->{status} != 204
               || ($redis->cmd('GET', "out:$key") // 'none') ne "out $i";
        $res = $t->delete("in:$key");
        push @bad, "deleted key $i: $res->{status}"
            if $res->{status} != 204 || $redis->cmd('EXISTS', "in:$key");
    }

    is("@bad", '', "$name: keys, byte for byte");

    # in an outage, and over files and a replay

    $redis->kill;
    @bad = ();

    for my $what (sort keys %values) {
        my $res = $t->get("value:$what");
        push @bad, "read $what: $res->{status}"
            if $res->{status} != 200 || $res->{body} ne $values{$what};
        $res = $t->put("local:$what", $values{$what});
        push @bad, "written $what: $res->{status}" if $res->{status} != 204;
    }

    for my $i (0 .. $#keys) {
        my $res = $t->put("local:$keys[$i]", "local $i");
        push @bad, "written key $i: $res->{status}" if $res->{status} != 204;
    }

    is("@bad", '', "$name: in an outage, too");
    ok($t->nginx->stop, "$name: stops");
    $redis->start;
    $t->nginx->start;
    ok($t->wait_normal, "$name: normal");
    @bad = ();

    for my $what (sort keys %values) {
        my $is = $redis->cmd('GET', "local:$what");
        push @bad, $what if !defined $is || $is ne $values{$what};
    }

    for my $i (0 .. $#keys) {
        my $is = $redis->cmd('GET', "local:$keys[$i]");
        push @bad, "key $i" if !defined $is || $is ne "local $i";
    }

    is("@bad", '', "$name: and by way of files");
}


sub reading {
    my ($t, $name) = @_;

    my $redis = $t->redis;
    my %writes = map { $_->[0] => 1 } grep { grep { $_ eq 'write' } @{ $_->[2] } }
                 @{ $redis->cmd('COMMAND') };

    $redis->cmd('SET', 'a', 'one');
    $redis->cmd('SET', 'b', 'two', 'PX', 100000);
    $redis->cmd('RPUSH', 'list', 'x');
    $redis->cmd('CONFIG', 'RESETSTAT');
    my $changes = $redis->info('persistence')->{rdb_changes_since_last_save};

    for my $key (qw(a b none list)) {
        $t->get($key) for 1 .. 5;
        $t->nginx->head("/kv/$key");
        $t->run($_, $key) for qw(GET TTL PTTL EXISTS TYPE STRLEN);
        $t->run('MGET', $key, 'a');
    }

    my $calls = $redis->calls;
    my @wrote = grep { $writes{$_} } sort keys %$calls;

    is("@wrote", '', "$name: reading writes nothing");
    is($redis->info('persistence')->{rdb_changes_since_last_save}, $changes,
       "$name: and changes nothing");
    cmp_ok($calls->{get}, '>=', $t->cache eq 'off' ? 24 : 4,
           "$name: Redis was asked");
    is($t->get('list')->{status}, 409, "$name: a list is no string");
    is($t->mode, 'normal', "$name: nor is that an outage");
}


sub expiry {
    my ($t, $name) = @_;

    my $redis = $t->redis;

    # reading does not touch it

    $redis->cmd('SET', 'long', 'x', 'PX', 50000);
    my $last = now() + 50;
    ok(wait_for(sub { $redis->cmd('PTTL', 'long') < 49700 }),
       "$name: a part of it is over");
    $redis->cmd('SET', 'forever', 'x');
    $redis->cmd('SET', 'short', 'x', 'PX', 700);
    $t->get($_) for ('long', 'forever', 'short') x 5;
    cmp_ok($redis->cmd('PTTL', 'long'), '<', 49700,
           "$name: a TTL is not reset by reading");
    is($redis->cmd('TTL', 'forever'), -1, "$name: nor made");

    # written: whole, with milliseconds, and taken off

    $t->put('mine', 'x', ttl => '40s');
    my $ms = $redis->cmd('PTTL', 'mine');
    ok($ms > 30000 && $ms <= 40000, "$name: 40s") or diag($ms);
    $t->put('mine', 'x', ttl => '30500ms');
    $ms = $redis->cmd('PTTL', 'mine');
    ok($ms > 0 && $ms <= 30500, "$name: 30500ms") or diag($ms);
    $t->put('mine', 'x');
    is($redis->cmd('PTTL', 'mine'), -1, "$name: none");

    my $start = now();
    $t->put('blink', 'x', ttl => '300ms');
    ok(wait_for(sub { $t->get('blink')->{status} == 404 }),
       "$name: 300ms come to an end");
    cmp_ok(now() - $start, '>=', 0.29, "$name: not before");
    cmp_ok(now() - $start, '<', slow(2), "$name: nor much later");

    # memory does not outlive it, in an outage

    $t->put('short-put', 'x', ttl => '900ms');
    $t->put('replaced', 'x', ttl => '500ms');
    $t->put('replaced', 'y');
    $redis->kill;
    is($t->get('long')->{status}, 200, "$name: long is there in an outage");
    is($t->get('forever')->{status}, 200, "$name: forever, too");
    ok(wait_for(sub { $t->get('short')->{status} == 404 }),
       "$name: short ends in an outage");
    ok(wait_for(sub { $t->get('short-put')->{status} == 404 }),
       "$name: also the one that was written here");
    is($t->get('replaced')->{body}, 'y', "$name: but not a later value");

    # one that begins and ends in the outage, and one that goes on

    $start = now();
    $t->put('flash', 'x', ttl => '200ms');
    ok(wait_for(sub { $t->get('flash')->{status} == 404 }),
       "$name: 200ms in an outage");
    cmp_ok(now() - $start, '>=', 0.19, "$name: not before");
    cmp_ok(now() - $start, '<', slow(2), "$name: nor much later");
    $start = now();
    $t->put('on', 'x', ttl => '45500ms');
    my $on = expects('x', 45.5, $start, now());
    cmp_ok($t->run('PTTL', 'on')->{body}, '<=', 45500, "$name: PTTL");
    is($t->run('TTL', 'forever')->{body}, -1, "$name: TTL of forever");

    $redis->start;
    $t->recovered({ long => [ 'x', $last - 1, $last ], forever => 'x',
                    replaced => 'y', on => $on, mine => 'x' },
                  "$name, restored");
}


sub others {
    my ($t, $name) = @_;

    my $redis = $t->redis;

    $t->put('a', 'mine');
    $redis->cmd('SET', 'a', 'theirs');
    ok($t->seen(sub { $t->get('a')->{body} eq 'theirs' }),
       "$name: an external SET is seen");
    $redis->cmd('DEL', 'a');
    ok($t->seen(sub { $t->get('a')->{status} == 404 }),
       "$name: an external DEL is seen");
    is($redis->cmd('EXISTS', 'a'), 0, "$name: and not undone");
    $redis->cmd('SET', 'a', 'theirs again');
    ok($t->seen(sub { $t->get('a')->{body} eq 'theirs again' }),
       "$name: nor is a miss kept");

    # while we cannot see it

    $t->put("key$_", 'mine') for 1 .. 4;
    $t->put('rival', 'mine');
    refuse($redis);
    fallen_back($t, $name);
    is($t->get('key1')->{body}, 'mine', "$name: memory serves");
    $redis->cmd('DEL', 'key1');
    $redis->cmd('SET', 'key2', 'theirs');
    $redis->cmd('SET', 'rival', 'theirs');
    is($t->get('key1')->{body}, 'mine', "$name: it cannot know");
    is($t->put('key3', 'new')->{status}, 204, "$name: written");
    is($t->delete('key4')->{status}, 204, "$name: deleted");
    is($t->put('rival', 'newer')->{status}, 204, "$name: a conflict");
    admit($redis);
    ok($t->wait_normal, "$name: normal again");
    ok($t->seen(sub { $t->get('key1')->{status} == 404 }),
       "$name: their DEL counts");
    is($redis->cmd('EXISTS', 'key1'), 0, "$name: it is not revived");
    ok($t->seen(sub { $t->get('key2')->{body} eq 'theirs' }),
       "$name: their SET counts");
    is($redis->cmd('GET', 'key2'), 'theirs', "$name: it stays");
    is($redis->cmd('GET', 'key3'), 'new', "$name: our SET counts");
    is($redis->cmd('EXISTS', 'key4'), 0, "$name: our DEL counts");
    is($redis->cmd('GET', 'rival'), 'newer', "$name: ours, on_conflict local");

    # gone is gone, in the next outage and after it

    $t->delete('key3');
    $redis->cmd('DEL', 'key2');
    ok($t->seen(sub { $t->get('key2')->{status} == 404 }),
       "$name: their DEL is seen");
    refuse($redis);
    fallen_back($t, $name);
    is($t->get("key$_")->{status}, 404, "$name: key$_ stays away") for 2 .. 4;
    admit($redis);
    ok($t->wait_normal, "$name: normal again");
    is($redis->cmd('EXISTS', map { "key$_" } 1 .. 4), 0,
       "$name: none is revived");
}


# Redis loses all that it has.  With and without a moment in which nginx sees
# that it is away.

sub lost {
    my ($workers, $restore) = @_;

    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { restore => $restore });

    for my $seen (0, 1) {
        my $name = "$workers workers, restore $restore, "
                   . ($seen ? 'an outage' : 'a restart');
        my %expect;

        for my $i (1 .. 60) {
            $t->put("key$i", "value $i");
            $expect{"key$i"} = $restore eq 'on' ? "value $i" : undef;
        }

        my $start = now();
        $t->put('limited', 'x', ttl => '60s');
        $expect{limited} = $restore eq 'on' ? expects('x', 60, $start, now())
                                            : undef;
        $redis->cmd('SET', 'theirs', 'read here');
        $t->get('theirs');
        $expect{theirs} = $restore eq 'on' ? 'read here' : undef;

        # deleted here; by another client, and seen

        $t->delete('key1');
        $redis->cmd('DEL', 'key2');
        ok($t->seen(sub { $t->get('key2')->{status} == 404 }),
           "$name: a deletion is seen");
        @expect{qw(key1 key2)} = ();

        $redis->kill;
        fallen_back($t, $name) if $seen;

        if ($seen) {
            $t->put('key3', 'new');
            $t->delete('key4');
            @expect{qw(key3 key4)} = ('new', undef);
        }

        $redis->start;

        if (!$seen) {
            my $res = $t->get('key5');
            is($res->{status}, $restore eq 'on' ? 200 : 404,
               "$name: the first read");
        }

        # where nothing is to be restored, nothing is waited for either

        ok(wait_for(sub { $redis->cmd('EXISTS', 'key60') }), "$name: restored")
            if $restore eq 'on';
        $t->recovered(\%expect, $name);
        is($t->get('key6')->{status}, $restore eq 'on' ? 200 : 404,
           "$name: read after that");
        $redis->cmd('FLUSHALL');
        $t->get($_) for keys %expect;
        $t->get("none$_") for 1 .. 60;
    }

    ok($t->nginx->stop, 'stops');
    $t->nginx->check_logs;
}


sub cached {
    my ($workers) = @_;

    my $name = "$workers workers, cache";
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { cache => '1h' });

    $redis->cmd('SET', 'a', 'one');
    is($t->get('a')->{tier}, 'redis', "$name: Redis first");
    $redis->cmd('CONFIG', 'RESETSTAT');
    is(join(' ', map { my $res = $t->get('a'); "$res->{tier}/$res->{body}" }
                 1 .. 8), join(' ', ('memory/one') x 8), "$name: then memory");
    is($redis->calls->{get}, undef, "$name: Redis is not asked");

    # own changes are seen at once, by all workers

    my @bad;

    for my $i (1 .. 50) {
        $t->put('a', "value $i");
        my $is = $t->get('a')->{body};
        push @bad, "$i: $is" if $is ne "value $i";
    }

    is("@bad", '', "$name: own changes are seen at once");
    $t->delete('a');
    is($t->get('a')->{status}, 404, "$name: so is a deletion");
    is($t->run('INCR', 'n')->{body}, 1, "$name: INCR");
    is($t->run('INCR', 'n')->{body}, 2, "$name: INCR again");
    is($t->get('n')->{body}, 2, "$name: and GET");

    # a TTL is not outlived

    $redis->cmd('SET', 'short', 'x', 'PX', 2000);
    my $end = now() + 2;
    is($t->get('short')->{status}, 200, "$name: a short one");
    ok(wait_for(sub { $t->get('short')->{status} == 404 }),
       "$name: is over before its time in the cache");
    cmp_ok(now() - $end, '<', slow(2), "$name: in time");

    # another's change: not before the time is over, but then

    $t->configure(cache => '700ms');
    ok($t->nginx->reload, "$name: 700ms");
    my $start = now();
    $t->put('b', 'mine');
    $redis->cmd('SET', 'b', 'theirs');
    my $res = $t->get('b');
    is($res->{body}, 'mine', "$name: memory does not know") if
        now() - $start < 0.6;
    ok(wait_for(sub { $t->get('b')->{body} eq 'theirs' }),
       "$name: Redis is asked again");
    cmp_ok(now() - $start, '<', slow(3), "$name: in time");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


sub one_truth {
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => 4, redis => $redis);
    my $conns = $t->conns;
    my @pids = sort keys %$conns;
    my $n = 0;

    my $write_read = sub {
        my ($name, $mode) = @_;
        my @bad;

        for my $writer (@pids) {
            my $value = 'value ' . ++$n;
            my $res = RF::HTTP::request($t->spread, 'PUT', '/kv/shared',
                          conn => $conns->{$writer}, body => $value);
            push @bad, "PUT $res->{status}" if $res->{status} != 204;

            for my $reader (@pids) {
                $res = RF::HTTP::request($t->spread, 'GET', '/kv/shared',
                                         conn => $conns->{$reader});
                push @bad, "$writer to $reader: $res->{status} $res->{body}"
                    if $res->{body} ne $value;
                push @bad, "in $res->{headers}{'x-mode'} mode"
                    if $res->{headers}{'x-mode'} ne $mode;
            }
        }

        is("@bad", '', "4 workers, $name: each reads what another wrote");
    };

    is(scalar(@pids), 4, 'a connection to each worker');
    $write_read->('normal', 'normal');
    $redis->kill;

    # One finds out, and all know.  Until its connection's end is read memory
    # is vouched for, and may answer.

    my $res;

    ok(wait_for(sub {
        $res = RF::HTTP::request($t->spread, 'GET', '/kv/shared',
                                 conn => $conns->{$pids[2]});
        return $res->{headers}{'x-mode'} eq 'fallback';
    }, 20), 'one falls back');
    $write_read->('fallback', 'fallback');
    is($t->status->{outages}, 1, 'it is one outage');

    my $sum = 0;
    my @bad;

    for my $i (1 .. 40) {
        $res = RF::HTTP::request($t->spread, 'GET', '/run/incr?k=sum',
                                 conn => $conns->{$pids[$i % 4]});
        push @bad, $res->{body} if $res->{body} ne ++$sum;
    }

    is("@bad", '', 'they count together');
    $redis->start;
    ok($t->wait_normal, 'normal again');
    $write_read->('normal again', 'normal');
    is($redis->cmd('GET', 'sum'), 40, 'Redis has the sum');
    is($redis->cmd('GET', 'shared'), "value $n", 'and the last value');
    is(scalar(() = $t->nginx->log =~ /going on locally/g), 1,
       'one line for the outage');
    is(scalar(() = $t->nginx->log =~ /back to normal/g), 1,
       'and one for its end');

    $_->close for values %$conns;
    ok($t->nginx->stop, 'stops');
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    my $name = "$workers workers";

    for my $part (\&misses, \&bytes, \&reading, \&expiry, \&others) {
        my $redis = RF::Redis->new;
        my $t = Outage->new(workers => $workers, redis => $redis);

        $part->($t, $name);
        ok($t->nginx->stop, "$name: stops");
        $t->nginx->check_logs;
    }

    lost($workers, $_) for qw(on off);
    cached($workers);
}

one_truth();
done_testing;
