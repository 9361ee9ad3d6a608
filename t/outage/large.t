# Large values, collections and keys, bodies in pieces and in temporary files.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $MB = 1024 * 1024;
my $many = 100000;


# bytes of all values, never the same twice

sub blob {
    my ($n, $seed) = @_;

    my $block = join '', map { chr(($_ * $seed + ($_ >> 8)) & 255) } 0 .. 65535;
    my $text = '';

    for (my $i = 0; length $text < $n; $i++) {
        $text .= pack('N', $i) . $block;
    }

    return substr $text, 0, $n;
}


sub chunked {
    my ($body, $size) = @_;

    my $out = '';

    for (my $at = 0; $at < length $body; $at += $size) {
        my $piece = substr $body, $at, $size;
        $out .= sprintf("%x\r\n", length $piece) . "$piece\r\n";
    }

    return "${out}0\r\n\r\n";
}


# the same in a request that arrives piece by piece

sub trickled {
    my ($t, $key, $body, $pieces) = @_;

    my $conn = $t->nginx->conn;
    my $end = now() + slow(10);
    my $text = RF::HTTP::format_request('PUT', Outage::uri($key),
                                        body => $body);
    my $size = int(length($text) / $pieces) + 1;

    for (my $at = 0; $at < length $text; $at += $size) {
        $conn->write(substr($text, $at, $size), $end);
        select undef, undef, undef, 0.002;
    }

    return Outage::told(RF::HTTP::read_response($conn, 'PUT', $end));
}


# every way for a body to come; { key => value } of what was acknowledged

sub write_all {
    my ($t, $name, $seed) = @_;

    my %value = (
        five   => blob(5 * $MB, $seed),
        one    => blob($MB, $seed + 2),
        page   => blob(4096, $seed + 4),
        odd    => blob(70001, $seed + 6),
        nearly => blob(8191, $seed + 8),
        chunks => blob(2 * $MB, $seed + 10),
        bits   => blob(3000, $seed + 12),
        slow   => blob(300000, $seed + 14),
        zeros  => "\0" x 100000,
        empty  => '',
    );
    my %more = (
        chunks => { body => chunked($value{chunks}, 50000) },
        bits   => { body => chunked($value{bits}, 7) },
    );

    for my $key (sort keys %value) {
        my $res;

        if ($key eq 'slow') {
            $res = trickled($t, $key, $value{$key}, 30);

        } elsif ($more{$key}) {
            $res = Outage::told($t->nginx->request('PUT', Outage::uri($key),
                headers => { 'Transfer-Encoding' => 'chunked' },
                %{ $more{$key} }));

        } else {
            $res = $t->put($key, $value{$key});
        }

        is($res->{status}, 204, "$name: $key") or diag($res->{error});
    }

    return \%value;
}


# compared here, so that a failure does not print megabytes

sub wrong {
    my ($t, $expect) = @_;

    return join ' ', map { length $_ > 50 ? substr($_, 0, 50) : $_ }
                     grep { $t->get($_)->{body} ne $expect->{$_} }
                     sort keys %$expect;
}


sub values_of {
    my ($workers, $buffer, %store) = @_;

    my $name = "$workers workers, buffer $buffer"
               . join '', map { ", $_ $store{$_}" } sort keys %store;
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis,
                        http  => "client_body_buffer_size $buffer;",
                        store => { zone => '64m', timeout => '5s', %store });

    my $normal = write_all($t, "$name, normal", 3);
    is(wrong($t, $normal), '', "$name, normal: read");
    my @bad = differences($redis, $normal);
    is("@bad", '', "$name, normal: Redis has it all");

    my $head = $t->nginx->head('/kv/five');
    is($head->{headers}{'content-length'}, 5 * $MB, "$name: HEAD");
    is($head->{body}, '', "$name: HEAD has no body");

    # memory has seen them

    $redis->kill;
    is(wrong($t, $normal), '', "$name, fallback: still there");
    is($t->get('five')->{tier}, 'memory', "$name, fallback: in memory");

    my $outage = write_all($t, "$name, fallback", 5);
    is(wrong($t, $outage), '', "$name, fallback: read");
    is($t->status->{pending}, scalar(keys %$outage), "$name: pending");

    if ($workers == 1) {
        ok($t->nginx->stop, "$name: stops");
        $t->nginx->start;
        is(wrong($t, $outage), '', "$name: all is read from files");
        is($t->get('none')->{status}, 404, "$name: nothing is nothing");
    }

    $redis->start;
    $t->recovered($outage, $name);
    is(wrong($t, $outage), '', "$name: all is read");

    # past the limit

    is($t->put('over', 'x' x (17 * $MB))->{status}, 413, "$name: too large");
    is($t->get('over')->{status}, 404, "$name: was not written");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# keys of 10 KB

sub keys_of {
    my ($workers) = @_;

    my $name = "$workers workers, keys";
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis,
                        http => 'large_client_header_buffers 4 64k;');
    my %expect;

    for my $length (100, 1000, 4096, 10000, 16000) {
        $expect{ 'k' x $length } = "of $length";
        $expect{ ('k' x $length) . 'x' } = "another of $length";

        my $binary = join '', map { chr($_ * 7 % 255 + 1) } 1 .. $length / 3;
        $expect{$binary} = "binary of $length";
    }

    for my $key (sort keys %expect) {
        $t->put($key, $expect{$key})->{status} == 204
            or fail("$name: of " . length $key);
    }

    is(wrong($t, \%expect), '', "$name: read");
    my @bad = differences($redis, \%expect);
    is(scalar(@bad), 0, "$name: Redis has it all");

    $redis->kill;
    is(wrong($t, \%expect), '', "$name: read without Redis");

    for my $key (sort keys %expect) {
        $expect{$key} .= ' again';
        $t->put($key, $expect{$key})->{status} == 204
            or fail("$name: of " . length $key);
    }

    is(wrong($t, \%expect), '', "$name: and what was written");
    is($t->get('k' x 9999)->{status}, 404, "$name: nothing else");
    ok($t->nginx->stop, "$name: stops");
    is(scalar(my @files = $t->files), scalar(keys %expect), "$name: files");
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: read from files");

    $redis->start;
    ok($t->wait_normal, "$name: normal");
    @bad = differences($redis, \%expect);
    is(scalar(@bad), 0, "$name: Redis has it all");
    ok(wait_for(sub { !$t->files }), "$name: no files");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# Collections of 100,000 elements, 10 MB each.  One is built by a single
# request; its elements are plain text, so that JSON need not be decoded here.

my %kinds = (
    hash => { add => 'HSET',  get => 'HGETALL',  pairs => 1 },
    list => { add => 'RPUSH', get => 'LRANGE',   more => [ 0, -1 ] },
    set  => { add => 'SADD',  get => 'SMEMBERS' },
    zset => { add => 'ZADD',  get => 'ZRANGE',
              more => [ 0, -1, 'WITHSCORES' ], pairs => 1 },
);


# its arguments, and what a read of it answers

sub elements {
    my ($kind, $n, $seed) = @_;

    my $text = 'x' x 78;
    my @names = map { sprintf "%s-%08d-%s", $seed, $_, $text } 1 .. $n;

    return (\@names, \@names) if !$kinds{$kind}{pairs};

    return ([ map { ($_, $names[$_ - 1]) } 1 .. $n ],
            [ map { ($names[$_ - 1], $_) } 1 .. $n ]) if $kind eq 'zset';

    my @pairs = map { (substr($_, 0, 20), substr $_, 20) } @names;

    return (\@pairs, \@pairs);
}


sub api {
    my ($t, @argv) = @_;

    return $t->nginx->post('/api', '["' . join('","', @argv) . '"]',
                           timeout => slow(30));
}


# the elements of an answer that is JSON, in an order that is always the same

sub sorted {
    my ($kind, @elts) = @_;

    return join "\n", @elts if $kind eq 'list' || $kind eq 'zset';
    return join "\n", sort @elts if $kind eq 'set';

    my %pairs = @elts;

    return join "\n", map { ($_, $pairs{$_}) } sort keys %pairs;
}


sub answered {
    my ($kind, $res) = @_;

    my ($list) = $res->{body} =~ /\["(.*)"\]/s
        or return 'no array: ' . substr $res->{body}, 0, 200;

    return sorted($kind, split /","/, $list);
}


# by the api, and by other ways; the time that the api took

sub reads_back {
    my ($t, $kind, $key, $elts, $name, @ways) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $expect = sorted($kind, @$elts);
    my $more = $kinds{$kind}{more} || [];
    my $res = api($t, $kinds{$kind}{get}, $key, @$more);
    my $elapsed = $res->{elapsed};

    ok(answered($kind, $res) eq $expect, "$name: the api");

    for my $way (@ways) {
        $res = $t->nginx->get("/$way/$kind?k=$key", timeout => slow(30));
        ok(answered($kind, $res) eq $expect, "$name: a $way");
    }

    return $elapsed;
}


# KB of memory that is a worker's own, which the zone is not

sub own_memory {
    my ($t) = @_;

    my $sum = 0;

    for my $pid ($t->nginx->workers) {
        my ($kb) = RF::slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
        $sum += $kb;
    }

    return $sum;
}


# what 10 MB take, to what 1 MB took: no more than half as much again for each
# byte, and what a busy machine adds

sub linear {
    my ($small, $large, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    note(sprintf '%s: %.0f and %.0f ms', $name, 1000 * $small, 1000 * $large);
    cmp_ok($large, '<', 15 * $small + slow(1), "$name: time is linear");
}


sub collections {
    my $redis = RF::Redis->new;
    my $server = "location /api { redis_fallback_api app; }\n";

    for my $kind (sort keys %kinds) {
        my $command = join ' ', $kinds{$kind}{get}, '$arg_k',
                      @{ $kinds{$kind}{more} || [] };
        $server .= <<END;
    location = /command/$kind { redis_fallback_command $command; }
    location = /variable/$kind {
        redis_fallback_set \$reply $command;
        return 200 "\$reply";
    }
END
    }


    my $t = Outage->new(redis => $redis, server => $server,
                        store => { zone => '256m', timeout => '10s',
                                   write_interval => '100ms' });
    my (%elts, %took);
    my $used = own_memory($t);
    my $kept = sub {
        my ($mb) = @_;
        return $RF::SANITIZE
               || wait_for(sub { own_memory($t) < $used + 1024 * $mb });
    };

    for my $mode (qw(normal fallback)) {
        $redis->kill if $mode eq 'fallback';

        for my $kind (sort keys %kinds) {
            for my $n ($many / 10, $many) {
                my ($args, $elts) = elements($kind, $n, $mode);
                my $key = "$kind:$n";
                my $name = "$mode, $kind of $n";

                api($t, 'DEL', $key);

                my $res = api($t, $kinds{$kind}{add}, $key, @$args);
                is($res->{body}, "{\"result\":$n}", "$name: written")
                    or diag(substr $res->{body} || $res->{error}, 0, 500);

                $took{"$mode write $kind"}{$n} = $res->{elapsed};
                $took{"$mode read $kind"}{$n}
                    = reads_back($t, $kind, $key, $elts, $name,
                                 $n == $many ? qw(command variable) : ());
                $elts{$key} = $elts;
            }
        }

        ok($kept->($mode eq 'normal' ? 40 : 150),
           "$mode: the memory that this took is given back")
            or diag(own_memory($t) - $used . ' KB');
    }

    linear(@{ $took{$_} }{$many / 10, $many}, $_) for sort keys %took;

    # changes of keys of which nobody knows what Redis holds

    for my $kind (sort keys %kinds) {
        my ($args, $elts) = elements($kind, $many, 'delta');
        my $res = api($t, $kinds{$kind}{add}, "delta:$kind", @$args);
        is($res->{body}, "{\"result\":$many}", "$kind: changes")
            or diag(substr $res->{body} || $res->{error}, 0, 500);
        $elts{"delta:$kind"} = $elts;
    }

    # to files and back

    ok($t->nginx->stop, 'nginx stops');
    $t->nginx->start;

    my $kind_of = sub { return $_[0] =~ /(hash|list|zset|set)/ ? $1 : die };

    for my $key (sort keys %elts) {
        my $time = reads_back($t, $kind_of->($key), $key, $elts{$key},
                              "$key of a file");
        note(sprintf '%s: %.0f ms', $key, 1000 * $time);
    }

    is($t->status->{pending}, 12, 'all of them are pending');

    my $start = now();
    $redis->start;
    ok($t->wait_normal(60), 'normal again') or diag(explain($t->status));
    note(sprintf 'recovery: %.1f s', now() - $start);
    is($t->status->{recovery}{failed}, 0, 'nothing was refused');

    for my $key (sort keys %elts) {
        my $kind = $kind_of->($key);
        my $more = $kinds{$kind}{more} || [];
        my $reply = $redis->cmd($kinds{$kind}{get}, $key, @$more);

        ok(sorted($kind, @$reply) eq sorted($kind, @{ $elts{$key} }),
           "Redis has $key");
        reads_back($t, $kind, $key, $elts{$key}, "$key after it");
    }

    ok($kept->(150), 'recovery: the memory that this took is given back')
        or diag(own_memory($t) - $used . ' KB');

    ok($t->nginx->stop, 'it stops');
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    values_of($workers, '1k');
    values_of($workers, '8m', durability => 'disk') if $workers == 4;
    values_of($workers, '8m', cache => '1h') if $workers == 1;
    keys_of($workers);
}

collections();

done_testing;
