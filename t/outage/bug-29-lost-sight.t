# What was acknowledged, and the disk lost sight of.
#
# The journal has an acknowledgement of a key, and no record: it was full or
# failing when that was made, and a file took it.  A later outage had a newer
# file of the key, and nginx was killed: the next start took that file for what
# had been acknowledged.  And where the journal had no records at all, it did not
# look at acknowledgements: files that were to go were replayed.
#
# While the journal took nothing files took what was pending.  A worker that was
# killed in its exit while it wrote one left it claimed, and the master did not
# look.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;

my $KEYS = 10;
my $MORE = 100;


sub store { return Outage->shimmed(@_) }


sub path { return $_[0]->nginx->dir . '/data/app' }


sub in_files {
    return Journal::newest(map { RF::slurp($_) } record_files(path($_[0])));
}


# lines of a kind that the journal has of these keys

sub lines {
    my ($t, $kind) = @_;

    return grep { $_->[0] eq $kind && $_->[1] =~ /"key":"key\d+"/ }
           Journal::lines(path($t));
}


sub ends {
    my ($t, $expect, $name) = @_;

    $t->{shim}->clear;
    $t->configure(recovery_rate => undef);
    $t->nginx->start;
    is(join(' ', grep { $t->get($_)->{body} ne $expect->{$_} }
                 sort keys %$expect), '', "$name: the next run has it")
        if !$t->redis->alive;
    $t->redis->start if !$t->redis->alive;
    ok($t->wait_normal(20), "$name: normal");
    is(join(' ', Outage::differences($t->redis, $expect)), '',
       "$name: Redis holds it");
    ok(wait_for(sub { !record_files(path($t)) }), "$name: the files are gone");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# files have what the journal did not take

sub full_disk {
    my ($t, $expect, $name) = @_;

    $t->{shim}->fault('write|open_write', err => 'ENOSPC',
                      match => '/journal/');
    $t->put($_, $expect->{$_}) for sort keys %$expect;

    ok(wait_for(sub {
        my $files = in_files($t);
        return !grep { ($files->{$_} // '') ne $expect->{$_} } keys %$expect;
    }, 10), "$name: in files");

    is(scalar lines($t, 'R'), 0, "$name: alone");
}


# Redis has them, and the journal was told

sub replayed {
    my ($t, $redis, $name) = @_;

    # it takes them again when it was tried

    ok(wait_for(sub {
        $t->put('other', 'x');
        return grep { $_->[0] eq 'R' } Journal::lines(path($t));
    }, 10), "$name: a record of another one is in the journal");

    $t->put("more$_", "more $_") for 1 .. $MORE;
    $redis->start;
    ok($t->wait_recovering, "$name: recovering");
    ok(wait_for(sub { lines($t, 'A') >= $KEYS }, 20),
       "$name: Redis has them, which the journal knows");
    is($t->mode, 'recovering', "$name: it goes on");
}


sub acknowledged {
    my ($workers, $back) = @_;

    my $name = "a newer file, $workers workers";
    $name .= ', Redis is back' if $back;
    my ($t, $redis) = store(workers => $workers, write_interval => '50ms',
                            recovery_rate => 20);
    my %expect = map { ("key$_" => "old $_") } 1 .. $KEYS;

    full_disk($t, \%expect, "$name: old");
    $t->{shim}->clear;
    replayed($t, $redis, $name);

    $redis->stop;
    ok($t->falls_back, "$name: Redis is away again");

    %expect = map { ("key$_" => "new $_") } 1 .. $KEYS;
    full_disk($t, \%expect, "$name: new");
    $t->nginx->kill;
    $redis->start if $back;
    ends($t, \%expect, $name);
}


# and no line is in the journal but that

sub alone {
    my ($workers) = @_;

    my $name = "nothing but acknowledgements, $workers workers";
    my ($t, $redis) = store(workers => $workers, write_interval => '50ms',
                            recovery_rate => 20);
    my %expect = map { ("key$_" => "old $_") } 1 .. $KEYS;

    # $MORE others have no line either

    full_disk($t, { %expect, map { ("more$_" => "more $_") } 1 .. $MORE },
              "$name: old");
    $t->{shim}->clear;
    $redis->start;
    ok($t->wait_recovering, "$name: recovering");
    ok(wait_for(sub { lines($t, 'A') >= $KEYS }, 20),
       "$name: Redis has them, which the journal knows");

    %expect = map { ("key$_" => "new $_") } 1 .. $KEYS;
    is($t->put($_, $expect{$_})->{status}, 204, "$name: $_ is written")
        for sort keys %expect;
    is($t->mode, 'recovering', "$name: it goes on");
    is(scalar(grep { $_->[0] eq 'R' } Journal::lines(path($t))), 0,
       "$name: no record is in the journal");
    $t->nginx->kill;

    cmp_ok(scalar(grep { /^old/ } values %{ in_files($t) }), '>', 0,
           "$name: files are there yet");
    ends($t, \%expect, $name);
}


sub claimed {
    my ($how) = @_;

    my $name = "killed with a file under way, SIG$how";
    my ($t) = store(workers => 1, write_interval => '50ms');
    my ($worker) = $t->nginx->workers;
    my %expect = (key1 => 'value');

    $t->{shim}->fault('write|open_write', err => 'ENOSPC',
                      match => '/journal/');
    my $slow = $t->{shim}->fault('write', delay => 10000, match => '/0/tmp/');

    $t->put($_, $expect{$_}) for sort keys %expect;
    ok(wait_for(sub { $t->{shim}->hits($slow) }, 10), "$name: it is under way");
    is($t->status->{journal}{behind}, 0, "$name: and nothing else")
        or diag(explain($t->status->{journal}));
    $t->{shim}->clear;

    $t->nginx->signal($how);
    kill 'KILL', $worker if $how eq 'QUIT';
    ok($t->nginx->stop($how, 40), "$name: ends");
    like($t->nginx->log, qr/exited on signal 9/, "$name: the worker was killed");
    unlike($t->nginx->log, qr/are not on disk at exit/, "$name: nothing lost");
    ends($t, \%expect, $name);
}


# More keys than memory has room for, and more to be told of them than a full
# journal has room for: neither waits for the other.

sub crowded {
    my $name = 'a small journal, and names that are long';
    my ($t, $redis) = store(workers => 1, write_interval => '50ms',
                            zone => '4m', journal_size => '1m');
    my %expect = map { ("key$_" . 'k' x 2000 => "value $_") } 1 .. 2500;

    my @bad = grep { my $key = $_;
                     !wait_for(sub {
                         return $t->put($key, $expect{$key})->{status} == 204;
                     }, 10) } sort keys %expect;

    is(scalar @bad, 0, "$name: written");
    like($t->nginx->log, qr/and takes no more/, "$name: it is full");
    $redis->start;
    ok($t->wait_normal(slow(40)), "$name: normal")
        or diag(explain($t->status));
    is(scalar(grep { ($redis->cmd('GET', $_) // '') ne $expect{$_} }
              keys %expect), 0, "$name: Redis holds all of it");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


acknowledged(@$_) for [1], [2], [1, 1], [2, 1];
alone($_) for 1, 2;
claimed($_) for qw(QUIT TERM);

crowded();

done_testing;
