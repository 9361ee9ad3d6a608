# Large values and keys, bodies in pieces and in temporary files.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $MB = 1024 * 1024;


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


for my $workers (1, 4) {
    values_of($workers, '1k');
    values_of($workers, '8m', durability => 'disk') if $workers == 4;
    values_of($workers, '8m', cache => '1h') if $workers == 1;
    keys_of($workers);
}

done_testing;
