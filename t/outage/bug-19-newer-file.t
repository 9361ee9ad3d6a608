# While the journal takes nothing (a full disk, or journal_size), files take
# what is pending, and a file may be newer than what the journal has of its key.
# At the next start the journal's was believed, and the file was not looked at:
# what was acknowledged since was lost.
#
# And an exit: what another worker was about to write is written by it, and what
# it cannot write any more is told in the log.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub store { return Outage->shimmed(write_interval => '50ms', @_) }


sub path { return $_[0]->nginx->dir . '/data/app' }


# what the journal has of each key, and what files have: key => data, undef for
# a tombstone

sub journal { return Journal::newest_lines(path($_[0])) }


sub in_files {
    return Journal::newest(map { RF::slurp($_) } record_files(path($_[0])));
}


sub same {
    my ($has, $expect) = @_;

    return !grep { !exists $has->{$_}
                   || ($has->{$_} // '-') ne ($expect->{$_} // '-') }
           keys %$expect;
}


sub wrong {
    my ($t, $expect) = @_;

    return join ' ', grep { my $res = $t->get($_);
                            defined $expect->{$_}
                            ? $res->{body} ne $expect->{$_}
                            : $res->{status} != 404 } sort keys %$expect;
}


sub ends {
    my ($t, $how) = @_;

    return $how eq 'KILL' ? $t->nginx->kill || 1 : $t->nginx->stop($how);
}


# a test: the next run knows it, and so does Redis

sub kept {
    my ($t, $expect, $name) = @_;

    $t->nginx->start;
    is(wrong($t, $expect), '', "$name: the next run has the last of each key");
    $t->redis->start;
    ok($t->wait_normal(20), "$name: normal");
    holds($t->redis, $expect, $name);
    ok(wait_for(sub { !record_files(path($t)) }), "$name: the files are gone");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# the journal has the old values, files the new ones

sub newer {
    my ($how, $workers) = @_;

    my $name = "SIG$how, $workers workers";
    my ($t) = store(workers => $workers);
    my (%old, %new);

    for my $i (1 .. 20) {
        $t->put("key$i", "old $i");
        $old{"key$i"} = "old $i";
    }

    $t->run('APPEND', 'list', 'a') for 1 .. 3;
    $old{list} = 'aaa';
    ok(wait_for(sub { same(journal($t), \%old) }), "$name: in the journal");

    $t->{shim}->fault('write', err => 'ENOSPC', match => '/journal/');

    for my $i (1 .. 20) {
        $i % 4 ? $t->put("key$i", "new $i") : $t->delete("key$i");
        $new{"key$i"} = $i % 4 ? "new $i" : undef;
    }

    $t->run('APPEND', 'list', 'b');
    $new{list} = 'aaab';

    ok(wait_for(sub { same(in_files($t), \%new) }, 10),
       "$name: the newer ones in files");
    ok(same(journal($t), \%old), "$name: of which the journal knows nothing");

    ok(ends($t, $how), "$name: ends");
    unlike($t->nginx->log, qr/are not on disk at exit/,
           "$name: nothing is said to be lost");

    $t->{shim}->clear;
    kept($t, \%new, $name);
}


# the journal is full: what is acknowledged by a file alone is durable

sub full {
    my ($how) = @_;

    my $name = "a full journal, SIG$how";
    my ($t) = store(durability => 'disk', journal_size => '1m');
    my %expect;

    for my $i (1 .. 40) {
        $t->put("key$i", "old $i");
        $expect{"key$i"} = "old $i";
    }

    # more than it may have, and all of it needed

    for my $i (1 .. 60) {
        my $value = "$i" . 'x' x 40000;
        my $res = $t->put("large$i", $value);
        $expect{"large$i"} = $value;
        fail("$name: large$i: $res->{status}") if $res->{status} != 204;
        last if $t->nginx->log =~ /and takes no more/;
    }

    like($t->nginx->log, qr/and takes no more/, "$name: it is full");

    for my $i (1 .. 40) {
        $t->put("key$i", "new $i")->{status} == 204
            or fail("$name: key$i is not taken");
        $expect{"key$i"} = "new $i";
    }

    my $journal = journal($t);
    my $older = grep { ($journal->{"key$_"} // '') eq "old $_" } 1 .. 40;
    note("$name: the journal has $older older records");

    ok(ends($t, $how), "$name: ends");
    kept($t, \%expect, $name);
}


# The disk is full, and well again; QUIT comes at any moment of that.  Each
# write is acknowledged by memory alone.

sub moments {
    my ($workers, $full, $well) = @_;

    my $name = "$workers workers, $full writes with a full disk, $well more";
    my ($t) = store(workers => $workers, write_interval => '500ms');
    my (%expect, $n);

    my $write = sub {
        my $key = 'key' . ++$n % 17;
        my $res = $t->run('APPEND', $key, "$n.");
        fail("$name: $key: $res->{status}") if $res->{status} != 200;
        $expect{$key} .= "$n.";
    };

    $write->() for 1 .. 40;
    ok(wait_for(sub { same(journal($t), \%expect) }), "$name: in the journal");

    my $fault = $t->{shim}->fault('write', err => 'ENOSPC');

    $write->() for 1 .. 3;
    ok(wait_for(sub { $t->nginx->log =~ /could not write pending/ }),
       "$name: the disk is full");
    $write->() for 1 .. $full;
    $t->{shim}->clear;
    $write->() for 1 .. $well;

    ok($t->nginx->stop, "$name: stops");
    unlike($t->nginx->log, qr/are not on disk at exit/, "$name: all is told");
    kept($t, \%expect, $name);
}


# and it is full to the end, which is the host's end as well: memory has them
# until then

sub lost {
    my ($workers) = @_;

    my $name = "$workers workers, full to the end";
    my ($t) = store(workers => $workers);
    my %expect = map { ("key$_" => "old $_") } 1 .. 20;

    $t->put($_, $expect{$_}) for sort keys %expect;
    ok(wait_for(sub { same(journal($t), \%expect) }), "$name: in the journal");

    $t->{shim}->fault('write|open_write|rename|mkdir', err => 'ENOSPC');
    $t->put("key$_", "new $_") for 1 .. 7;
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->forget_memory;

    my @told = $t->nginx->log =~ /(\d+) pending keys are not on disk at exit/g;
    ok((grep { $_ == 7 } @told), "$name: the log says how many are lost")
        or diag("@told");

    $t->{shim}->clear;
    kept($t, \%expect, $name);
}


# A start with less memory writes files on its way through the journal, and then
# comes to an older line, which is in a later segment.

sub spilled {
    my $name = 'a smaller zone';
    my ($t) = store(workers => 2, durability => 'disk', zone => '32m');
    my ($one, $two) = values %{ $t->conns };
    my %expect;

    $t->put('mine', 'x', conn => $one);
    $t->put("key$_", "old $_", conn => $two) for 1 .. 10;

    for my $i (1 .. 10) {
        $t->put("key$i", "new $i", conn => $one);
        $expect{"key$i"} = "new $i";
    }

    for my $i (1 .. 60) {
        $expect{"large$i"} = "$i" . 'x' x 40000;
        $t->put("large$i", $expect{"large$i"}, conn => $one);
    }

    $expect{mine} = 'x';

    my @lines = grep { $_->[1] =~ /"key":"key5"/ }
                Journal::lines(path($t), 0);

    is(join(' ', map { $_->[1] =~ /"(new|old) 5"/ } @lines), 'new old',
       "$name: the older one comes later");

    $t->nginx->kill;
    $t->configure(zone => '1m');
    kept($t, \%expect, $name);
}


# A worker is killed with a batch under way, and the others are told to exit
# before any of them has noticed.

sub killed {
    my ($which) = @_;

    my $name = "worker $which is killed";
    my ($t) = store(workers => 2);
    my @workers = $t->nginx->workers;
    my %expect;

    $t->put('first', 'x');
    $expect{first} = 'x';
    ok(wait_for(sub { same(journal($t), \%expect) }), "$name: in the journal");

    my $slow = $t->{shim}->fault('write', delay => 10000,
                                 match => '/journal/');

    is($t->put('late', 'y')->{status}, 204, "$name: a write");
    $expect{late} = 'y';
    ok(wait_for(sub { $t->{shim}->hits($slow) }), "$name: on its way");

    # the master learns both at once, and starts no other worker

    kill 'STOP', $t->nginx->pid;
    ok(wait_for(sub { RF::slurp('/proc/' . $t->nginx->pid . '/stat')
                      =~ /\) T/ }), "$name: the master waits");
    kill 'KILL', $workers[$which];
    ok(wait_for(sub { RF::slurp("/proc/$workers[$which]/stat") =~ /\) Z/ }),
       "$name: it is dead");
    $t->{shim}->clear;

    # which continues it

    ok($t->nginx->stop, "$name: ends");
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there")
        or diag($t->nginx->log);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


newer('QUIT', 1);
newer('TERM', 2);
newer('KILL', 2);
full('KILL');
full('QUIT');
moments(@$_) for [ 1, 0, 0 ], [ 2, 0, 200 ], [ 2, 400, 0 ], [ 1, 400, 300 ],
                 [ 2, 400, 300 ], [ 2, 1500, 20 ];
lost($_) for 1, 2;
spilled();
killed($_) for 0, 1;

done_testing;
