# A disk that takes two seconds for each fsync(): nobody waits for it but those
# who asked for it, and they no longer than a request may.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;

my $DELAY = 2;

# who waits for it waits longer than that

my $SOON = $DELAY / 2;


sub slow_disk {
    my ($workers, %store) = @_;

    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { connect_timeout => '200ms',
                                   timeout => '300ms', %store });
    my $shim = Shim->new(dir => $t->nginx->dir . '/app');

    $t->nginx->{shim} = $shim;
    $t->nginx->start;

    return ($t, $redis, $shim);
}


# what others wait meanwhile: the longest of many reads, in each worker

sub slowest {
    my ($t, $conns, $seconds, $sub) = @_;

    my $end = now() + $seconds;
    my $slowest = 0;

    while (now() < $end) {
        for my $conn (values %$conns) {
            my $res = $t->get('first', conn => $conn);
            fail("a read: $res->{status}") if $res->{status} != 200;
            $slowest = $res->{elapsed} if $res->{elapsed} > $slowest;
        }

        $sub->() if $sub;
        Time::HiRes::sleep(0.01);
    }

    return $slowest;
}


sub wrong {
    my ($t, $expect) = @_;

    return join ' ', grep { my $res = $t->get($_);
                            $res->{body} ne $expect->{$_} }
                     sort keys %$expect;
}


# those who do not wait for the disk

sub memory {
    my ($workers) = @_;

    my $name = "$workers workers, memory";
    my ($t, $redis, $shim) = slow_disk($workers, write_interval => '50ms');
    my $conns = $t->conns;
    my %expect = (first => 'one');
    my $n = 0;
    my $writes = 0;

    $t->put('first', 'one');

    my $id = $shim->fault('sync', delay => 1000 * $DELAY);

    my $reads = slowest($t, $conns, 3, sub {
        my ($conn) = values %$conns;
        my $key = 'key' . ++$n % 40;
        my $res = $t->put($key, "value $n", conn => $conn);
        is($res->{status}, 204, "$name: $key") if $res->{status} != 204;
        $expect{$key} = "value $n";
        $writes = $res->{elapsed} if $res->{elapsed} > $writes;
    });

    cmp_ok($shim->hits($id), '>', 0, "$name: the disk is slow");
    cmp_ok($reads, '<', $SOON, "$name: no read waits");
    cmp_ok($writes, '<', $SOON, "$name: no write waits");

    # and a recovery waits for its mark only

    $redis->start;
    ok(wait_for(sub { !differences($redis, \%expect) }, 5),
       "$name: Redis has it all at once");
    $reads = slowest($t, $conns, 1);
    cmp_ok($reads, '<', $SOON, "$name: no read waits in a recovery");
    ok($t->wait_normal(15), "$name: normal");

    $shim->clear;
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# those who do, longer than they may

sub budget_ends {
    my ($workers) = @_;

    my $name = "$workers workers, disk";
    my ($t, $redis, $shim) = slow_disk($workers, durability => 'disk');
    my $conns = $t->conns;
    my %expect = (first => 'one');
    my %may;

    is($t->put('first', 'one')->{status}, 204, "$name: written");

    my $id = $shim->fault('sync', delay => 1000 * $DELAY);
    my @writers = map { [ "late$_", $t->nginx->conn ] } 1 .. 8;
    my $began = now();

    for my $writer (@writers) {
        $writer->[1]->write(RF::HTTP::format_request('PUT',
            Outage::uri($writer->[0]), body => 'late', keepalive => 1),
            now() + 5);
    }

    my $reads = slowest($t, $conns, 0.3);

    my (%status, $longest);

    for my $writer (@writers) {
        my $res = RF::HTTP::read_response($writer->[1], 'PUT', now() + 10);
        $longest = now() - $began;
        $status{ $res->{status} }++;
        $expect{ $writer->[0] } = 'late' if $res->{status} == 204;
        $may{ $writer->[0] } = 1;
    }

    is(join(' ', map { "$status{$_} x $_" } sort keys %status), '8 x 507',
       "$name: those who cannot be kept are refused");
    cmp_ok($longest, '<', 0.5 + slow(0.5), "$name: in time");

    my $more = slowest($t, $conns, $DELAY);
    $reads = $more if $more > $reads;
    cmp_ok($reads, '<', $SOON, "$name: no read waits");
    cmp_ok($shim->hits($id), '>', 0, "$name: the disk is slow");

    $shim->clear;
    ok(wait_for(sub { $t->put('after', 'x')->{status} == 204 }, 8),
       "$name: written again when it is well");
    $expect{after} = 'x';
    $t->nginx->kill;
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");

    $redis->start;
    ok($t->wait_normal(15), "$name: normal");
    my @bad = differences($redis, \%expect);
    is("@bad", '', "$name: Redis has it all");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# those who have the time, sharing two seconds

sub budget_suffices {
    my ($workers) = @_;

    my $name = "$workers workers, 10 s";
    my ($t, $redis, $shim) = slow_disk($workers, durability => 'disk',
                                       timeout => '10s');
    my $conns = $t->conns;
    my %expect = (first => 'one');

    is($t->put('first', 'one')->{status}, 204, "$name: written");
    $t->put('other', 'one', conn => $_) for values %$conns;

    my $id = $shim->fault('sync', delay => 1000 * $DELAY);
    my @writers = map { [ "late$_", $t->nginx->conn ] } 1 .. 32;
    my $began = now();

    for my $writer (@writers) {
        $writer->[1]->write(RF::HTTP::format_request('PUT',
            Outage::uri($writer->[0]), body => "late $writer->[0]",
            keepalive => 1), now() + 5);
    }

    my $reads = slowest($t, $conns, $DELAY);
    my %status;

    for my $writer (@writers) {
        my $res = RF::HTTP::read_response($writer->[1], 'PUT', now() + 20);
        $status{ $res->{status} }++;
        $expect{ $writer->[0] } = "late $writer->[0]"
            if $res->{status} == 204;
    }

    is(join(' ', map { "$status{$_} x $_" } sort keys %status), '32 x 204',
       "$name: all are written");
    cmp_ok(now() - $began, '>', $DELAY * 0.9, "$name: not before it is so");
    cmp_ok(now() - $began, '<', slow(2.5 * $DELAY), "$name: and share that");
    cmp_ok($reads, '<', $SOON, "$name: no read waits");

    $t->nginx->kill;
    $shim->clear;
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


memory(2);
budget_ends(2);
budget_suffices(2);

done_testing;
