# In a recovery the journal takes nothing (journal_size, or a full disk), so the
# newest of a key is in its file, and the journal has an older one.  Redis
# acknowledged the key, its file went, and the journal could not be told.  When
# all of nginx was killed then, the next start replayed the older one over it.
# One that is full is told now, so nobody has to wait for the recovery's end.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;

my $KEYS = 20;
my $MORE = 60;


sub store { return Outage->shimmed(recovery_rate => 20, @_) }


sub path { return $_[0]->nginx->dir . '/data/app' }


# what the journal has of each key, and what files have: key => data, undef for
# a tombstone

sub journal { return Journal::newest_lines(path($_[0])) }


sub in_files {
    return Journal::newest(map { RF::slurp($_) } record_files(path($_[0])));
}


# keys of which the journal has the old value and a file the new one

sub older {
    my ($t) = @_;

    my ($journal, $files) = (journal($t), in_files($t));

    return grep { ($journal->{"key$_"} // '') eq "old $_"
                  && ($files->{"key$_"} // '') eq "new $_" } 1 .. $KEYS;
}


# keys of which a start would replay the old value

sub stale {
    my ($t, @keys) = @_;

    my $pending = Journal::pending(path($t));

    return grep { ($pending->{"key$_"} || {})->{data}
                  && $pending->{"key$_"}{data} eq "old $_" } @keys;
}


# Redis comes, takes some of it, and nginx is killed

sub killed {
    my ($t, $expect, $name, $older, $before) = @_;

    my @older = @$older;
    ok(@older > $KEYS / 2, "$name: what the journal has is older")
        or diag(scalar @older);

    $t->redis->start;
    ok($t->wait_recovering, "$name: recovering");

    my @done;

    ok(wait_for(sub {
        @done = grep { ($t->redis->cmd('GET', "key$_") // '') eq "new $_" }
                @older;
        return @done > 5;
    }, 10), "$name: Redis has some of it");

    # as long as it took for their files to go

    select undef, undef, undef, slow(0.5);
    $before->($_) for $before ? @done[0 .. 4] : ();
    is($t->mode, 'recovering', "$name: it goes on");
    $t->nginx->kill;

    my @bad = stale($t, @done);
    is("@bad", '', "$name: no file went before the journal knew");

    $t->{shim}->clear;
    $t->configure(recovery_rate => undef);
    $t->nginx->start;
    ok($t->wait_normal(20), "$name: normal");
    holds($t->redis, $expect, $name);
    ok(wait_for(sub { !record_files(path($t)) }), "$name: the files are gone");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# more than the journal may have, and all of it needed

sub fill {
    my ($t, $expect, $name) = @_;

    for my $i (1 .. $MORE) {
        my $value = "$i" . 'x' x 40000;
        my $res = $t->put("large$i", $value);
        $expect->{"large$i"} = $value;
        fail("$name: large$i: $res->{status}") if $res->{status} != 204;
    }

    # a batch tells

    wait_for(sub {
        $t->put('last', $expect->{last} = 'x');
        return $t->nginx->log =~ /and takes no more/;
    }, 10) or fail("$name: it is not full");
}


# A store, what Redis is to hold, and the keys of which a full journal has the
# old value and a file the new one.  Files give a journal room again when its
# generation ends: where that comes first the journal has the new ones, too.

sub filled {
    my ($name, $workers) = @_;

    my ($t) = store(workers => $workers, durability => 'disk',
                    journal_size => '1m', write_interval => '10s');
    my %expect;

    $t->put("key$_", "old $_") for 1 .. $KEYS;
    fill($t, \%expect, $name);

    for my $i (1 .. $KEYS) {
        my $res = $t->put("key$i", "new $i");
        $expect{"key$i"} = "new $i";
        fail("$name: key$i: $res->{status}") if $res->{status} != 204;
    }

    # those that were changed last are replayed last

    for my $i (1 .. $MORE) {
        $t->put("more$i", "new $i");
        $expect{"more$i"} = "new $i";
    }

    return ($t, \%expect, [older($t)]);
}


sub full {
    my ($workers) = @_;

    my $name = "a full journal, $workers workers";
    my ($t, $expect, $older);

    for my $try (1 .. 20) {
        ($t, $expect, $older) = filled($name, $workers);
        last if @$older > $KEYS / 2;
        note("try $try: it had room again");
        $t->nginx->kill;
    }

    killed($t, $expect, $name, $older, sub {
        my ($key) = @_;

        my $res = $t->put("key$key", "newer $key");
        is($res->{status}, 204, "$name: a write to a key that Redis has");
        $expect->{"key$key"} = "newer $key";
    });
}


# what Redis has acknowledged no file had yet

sub no_file {
    my ($workers) = @_;

    my $name = "a full journal and no files, $workers workers";
    my ($t, $redis) = store(workers => $workers, journal_size => '1m',
                            write_interval => '200ms', recovery_rate => 50);
    my %expect;

    $t->put("key$_", "old $_") for 1 .. $KEYS;
    ok(wait_for(sub { keys %{ journal($t) } == $KEYS }),
       "$name: the journal has the old ones");

    $t->{shim}->fault('write|open_write', err => 'EIO', match => '/0/tmp/');
    fill($t, \%expect, $name);

    for my $i (1 .. $KEYS) {
        $t->put("key$i", "new $i");
        $expect{"key$i"} = "new $i";
    }

    for my $i (1 .. $MORE) {
        $t->put("more$i", "new $i");
        $expect{"more$i"} = "new $i";
    }

    $redis->start;
    ok(wait_for(sub { ($redis->cmd('GET', "key$KEYS") // '') eq "new $KEYS" },
                20), "$name: Redis has them");
    ok(wait_for(sub { !stale($t, 1 .. $KEYS) }, 5),
       "$name: the journal is told");
    is($t->mode, 'recovering', "$name: before the recovery's end");
    $t->nginx->kill;

    # what Redis does not have yet had no place on disk

    delete $expect{$_} for grep { /^more/ } keys %expect;

    $t->{shim}->clear;
    $t->nginx->start;
    ok($t->wait_normal(20), "$name: normal");
    is(join(' ', Outage::differences($redis, \%expect)), '',
       "$name: Redis holds the others");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


sub failing {
    my ($workers) = @_;

    my $name = "a failing journal, $workers workers";
    my ($t) = store(workers => $workers, write_interval => '50ms');
    my %expect;

    $t->put("key$_", "old $_") for 1 .. $KEYS;
    ok(wait_for(sub { keys %{ journal($t) } == $KEYS }),
       "$name: in the journal");

    $t->{shim}->fault('write', err => 'ENOSPC', match => '/journal/');

    for my $i (1 .. $KEYS) {
        $t->put("key$i", "new $i");
        $expect{"key$i"} = "new $i";
    }

    for my $i (1 .. $MORE) {
        $t->put("more$i", "new $i");
        $expect{"more$i"} = "new $i";
    }

    ok(wait_for(sub { older($t) == $KEYS }, 10),
       "$name: the newer ones in files");

    killed($t, \%expect, $name, [older($t)]);
}


failing($_) for 1, 2;
full($_) for 1, 2;
no_file($_) for 1, 2;

done_testing;
