# At an exit each worker writes to the journal what is pending.  It was lost
# where no worker came to that: the last one was killed in the middle (after
# SIGTERM the master does so itself, once a second and a half have passed: a
# slow disk was enough), or one was killed with a batch under way and had not
# been reaped when the other one went.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub store {
    my ($workers, %lines) = @_;

    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { path           => '%%DIR%%/data/app',
                                   write_interval => '1h', %lines });
    mkdir $t->nginx->dir . '/data';

    $t->{shim} = Shim->new(dir => $t->nginx->dir . '/data');
    $t->nginx->{shim} = $t->{shim};
    $t->nginx->start;

    return $t;
}


sub written {
    my ($t, $name, $n) = @_;

    my %expect = map { ("key$_" => "value $_") } 1 .. $n;
    my @bad = grep { $t->put($_, $expect{$_})->{status} != 204 }
              sort keys %expect;

    is("@bad", '', "$name: written");
    $t->run('INCRBY', 'n', 3) for 1, 2;
    $expect{n} = 6;

    return \%expect;
}


sub state {
    my ($pid) = @_;

    return RF::slurp("/proc/$pid/stat") =~ /\) (\S)/ ? $1 : '';
}


sub kept {
    my ($t, $expect, $name) = @_;

    unlike($t->nginx->log, qr/are not on disk at exit/, "$name: nothing lost");
    $t->{shim}->clear;
    $t->nginx->start;
    is(join(' ', grep { $t->get($_)->{body} ne $expect->{$_} }
                 sort keys %$expect), '', "$name: the next run has it")
        or diag($t->nginx->log);
    $t->redis->start;
    ok($t->wait_normal(20), "$name: normal");
    holds($t->redis, $expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# each sync takes longer than the master waits

sub slow_disk {
    my ($workers) = @_;

    my $name = "SIGTERM, a slow disk, $workers workers";
    my $t = store($workers);
    my $expect = written($t, $name, 20);

    # and so does the first of the master's own

    $t->{shim}->fault('sync', delay => 2500, times => 2 * $workers);
    ok($t->nginx->stop('TERM', 40), "$name: ends");
    like($t->nginx->log, qr/exited on signal 9/, "$name: a worker was killed");
    kept($t, $expect, $name);
}


# the only worker is killed in its exit

sub exiting {
    my ($call) = @_;

    my $name = "killed in its exit, $call";
    my $t = store(1);
    my ($worker) = $t->nginx->workers;
    my $expect = written($t, $name, 20);
    my $slow = $t->{shim}->fault($call, delay => 10000, match => '/journal/',
                                 times => 1);

    $t->nginx->signal('QUIT');
    ok(wait_for(sub { $t->{shim}->hits($slow) }), "$name: it is on its way");
    kill 'KILL', $worker;
    ok($t->nginx->stop, "$name: ends");
    kept($t, $expect, $name);
}


# One is killed with a batch under way, the other one is told to go while the
# first still counts as a process.

sub unreaped {
    my ($which) = @_;

    my $name = "worker $which is not reaped yet";
    my $t = store(2, write_interval => '50ms');
    my @workers = $t->nginx->workers;
    my $slow = $t->{shim}->fault('write', delay => 10000,
                                 match => '/journal/', times => 1);
    my $expect = written($t, $name, 20);

    ok(wait_for(sub { $t->{shim}->hits($slow) }), "$name: on its way");

    kill 'STOP', $t->nginx->pid;
    ok(wait_for(sub { state($t->nginx->pid) eq 'T' }),
       "$name: the master waits");
    kill 'KILL', $workers[$which];
    ok(wait_for(sub { state($workers[$which]) eq 'Z' }), "$name: it is dead");
    kill 'QUIT', $workers[!$which];
    ok(wait_for(sub { state($workers[!$which]) eq 'Z' }, 20),
       "$name: the other one has gone");

    # the master is to learn all of it at once, and to start no others

    kill 'QUIT', $t->nginx->pid;
    ok($t->nginx->stop, "$name: ends");
    kept($t, $expect, $name);
}


# a disk that takes nothing: the log says what is lost

sub lost {
    my $name = 'a failing disk';
    my $t = store(1);
    my ($worker) = $t->nginx->workers;
    my $expect = written($t, $name, 6);
    my $slow = $t->{shim}->fault('write', delay => 10000, times => 1);

    $t->nginx->signal('QUIT');
    ok(wait_for(sub { $t->{shim}->hits($slow) }), "$name: it is on its way");
    $t->{shim}->fault('write|open_write|rename|mkdir', err => 'ENOSPC');
    kill 'KILL', $worker;
    ok($t->nginx->stop, "$name: ends");
    my ($n) = $t->nginx->log =~ /: (\d+) pending keys are not on disk at exit/;
    cmp_ok($n // 0, '>', 0, "$name: the log says so");

    # another thread may have written one before the disk was full.  (Memory has
    # them still, see memory-kept.t, unless the host crashes.)

    $t->nginx->forget_memory;
    $t->{shim}->clear;
    $t->nginx->start;
    is(scalar(grep { $t->get($_)->{status} == 404 } keys %$expect), $n,
       "$name: and how many");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


slow_disk($_) for 1, 2;
exiting($_) for qw(write sync);
unreaped($_) for 0, 1;
lost();

done_testing;
