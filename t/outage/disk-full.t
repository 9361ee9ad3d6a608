# A disk that is full refuses, keeps what it has, and is used again as soon as
# there is room.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

plan skip_all => 'needs root, to mount a tmpfs' unless is_root();


# a file that takes all the room there is

sub fill {
    my ($dir) = @_;

    open my $fh, '>:raw', "$dir/filler" or die "filler: $!\n";

    for my $size (65536, 4096, 1) {
        1 while (syswrite($fh, 'x' x $size) || 0) == $size;
    }

    close $fh;

    return "$dir/filler";
}


sub crits {
    my ($t) = @_;

    return scalar(() = $t->nginx->log =~ /\[crit\]/g);
}


sub wrong {
    my ($t, $expect) = @_;

    return join ' ', grep { my $res = $t->get($_);
                            defined $expect->{$_}
                            ? $res->{body} ne $expect->{$_}
                            : $res->{status} != 404 } sort keys %$expect;
}


# each file is a whole record, whenever one looks

sub torn {
    my ($dir) = @_;

    return join ' ', grep { !eval { JSON::PP::decode_json(RF::slurp($_)) } }
                     record_files($dir);
}


# writes are refused, and what was acknowledged stays

sub durable {
    my ($workers) = @_;

    my $name = "$workers workers, disk";
    my $dir = tmpfs('2m');
    plan skip_all => 'cannot mount a tmpfs' unless defined $dir;

    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { path       => "$dir/app",
                                   durability => 'disk' });
    my %expect = map { ("old$_" => "value $_") } 1 .. 20;
    my (%unsure, $refused);

    for my $key (sort keys %expect) {
        $t->put($key, $expect{$key})->{status} == 204 or fail("$name: $key");
    }

    is(scalar(keys %{ Journal::pending("$dir/app") }), 20,
       "$name: each write is on disk");

    my $filler = fill($dir);

    # until it says no: a new value for each key, which may be longer

    for my $i (1 .. 20) {
        my $res = $t->put("old$i", 'y' x 5000 . $i);

        if ($res->{status} == 204) {
            $expect{"old$i"} = 'y' x 5000 . $i;
            next;
        }

        is($res->{status}, 507, "$name: a write is refused") if !$refused++;
        push @{ $unsure{"old$i"} }, 'y' x 5000 . $i;
    }

    ok($refused, "$name: writes are refused");
    is($t->put("new$_", 'x')->{status}, 507, "$name: a new key, too")
        for 1 .. 3;
    is($t->delete('old1')->{status}, 507, "$name: and a deletion");
    is(torn($dir), '', "$name: no file is torn");
    is(crits($t), 1, "$name: one line in the log");
    like($t->nginx->log, qr/could not write pending records, .*No space left/,
         "$name: which says why");
    ok($t->status->{files}{errors} > 0, "$name: errors are counted");

    is(join(' ', grep { my $body = $t->get($_)->{body};
                        my $key = $_;
                        !grep { $_ eq $body } $expect{$key},
                                              @{ $unsure{$key} || [] } }
                 grep { $_ ne 'old1' } sort keys %expect),
       '', "$name: all is read");

    unlink $filler or die "filler: $!\n";

    my $res;
    ok(wait_for(sub {
        $res = $t->put('after', 'room');
        return $res->{status} == 204;
    }), "$name: written again when there is room") or diag($res->{status});
    like($t->nginx->log, qr/writing to ".*" works again/, "$name: says so");
    is(crits($t), 1, "$name: and nothing else");

    # acknowledged is acknowledged: what was written since is on disk

    for my $i (1 .. 20) {
        $expect{"old$i"} = "last $i";
        is($t->put("old$i", "last $i")->{status}, 204, "$name: old$i")
            if $i < 3;
        $t->put("old$i", "last $i");
    }

    $expect{after} = 'room';
    delete @expect{qw(new1 new2 new3)};
    is(wrong($t, \%expect), '', "$name: and read");
    $t->nginx->kill;
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");

    # a write that was refused is not acknowledged, and may be there or not

    $redis->start;
    ok($t->wait_normal(15), "$name: normal");
    my @bad = differences($redis, \%expect);
    is("@bad", '', "$name: Redis has it all");
    ok(wait_for(sub { !record_files($dir) }), "$name: no files are left");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# nothing is refused while memory has room; files follow when the disk has

sub memory {
    my ($workers) = @_;

    my $name = "$workers workers, memory";
    my $dir = tmpfs('2m');
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { path           => "$dir/app",
                                   write_interval => '100ms',
                                   zone           => '8m' });
    my (%expect, $filler);

    ok(wait_for(sub { $t->put('first', 'one')->{status} == 204 }),
       "$name: a write");
    ok(wait_for(sub { record_files($dir) == 1 }), "$name: a file");
    $expect{first} = 'one';

    for my $round (1, 2) {
        $filler = fill($dir);

        for my $i (1 .. 100) {
            my $value = "round $round, $i " . 'x' x 300;
            my $status = $t->put("key$i", $value)->{status};
            fail("$name: key$i: $status") if $status != 204;
            $expect{"key$i"} = $value;
        }

        ok(wait_for(sub { crits($t) == $round }),
           "$name: round $round, the log says it");
        is($t->delete('key7')->{status}, 204, "$name: a deletion");
        $expect{key7} = undef;

        # some tries, a second apart, are no more lines

        my $errors = $t->status->{files}{errors};
        ok(wait_for(sub { $t->status->{files}{errors} > $errors }),
           "$name: it is tried again");
        is(crits($t), $round, "$name: without another line");
        is(wrong($t, \%expect), '', "$name: all is read");
        is(torn($dir), '', "$name: no file is torn");

        unlink $filler or die "filler: $!\n";
        ok(wait_for(sub {
            my $on_disk = Journal::pending("$dir/app");
            return !grep { defined $expect{$_}
                           ? ($on_disk->{$_}{data} || '') ne $expect{$_}
                           : ($on_disk->{$_}{type} || '') ne 'none' } keys %expect;
        }), "$name: all is on disk when there is room");
        ok(wait_for(sub { record_files($dir) == 101 }),
           "$name: files follow")
            or diag(scalar(my @files = record_files($dir)));
        ok(wait_for(sub {
            return $round == (() = $t->nginx->log =~ /works again/g);
        }), "$name: and the log says so");
    }

    is(crits($t), 2, "$name: two lines for two times");

    # they are whole: a run that finds only them has all of it

    $t->nginx->kill;
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");

    # recovery needs no disk, but for its end, the mark, which has its room

    $filler = fill($dir);
    $redis->start;
    ok($t->wait_normal(10), "$name: normal on a full disk");
    is(differences($redis, \%expect), 0, "$name: recovered");
    ok(wait_for(sub { !record_files($dir) }), "$name: which gives room");
    unlink $filler or die "filler: $!\n";
    $t->recovered(\%expect, $name);
    ok(wait_for(sub { !record_files($dir) }), "$name: no files are left");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    durable($workers);
    memory($workers);
}

done_testing;
