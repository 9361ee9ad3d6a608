# After an outage Redis holds exactly what was acknowledged, and nothing of it
# leaves the disk before Redis has taken it.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


sub value_is {
    my ($res, $value, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is("$res->{status} $res->{body}", "200 $value", $name);
}


# keys that Redis holds before the outage; those with a "known" in the name
# are in memory as well

sub before {
    my ($t, $expect) = @_;

    my $redis = $t->redis;
    my %keys = (
        'untouched'     => 'as it was',
        'replaced'      => 'old',
        'deleted-known' => 'old',
        'deleted'       => 'old',
        'count-known'   => 10,
        'count'         => 100,
        'float'         => '1.5',
        'append-known'  => 'abc',
        'append'        => 'xyz',
        'from-known'    => 'moved',
        'to'            => 'overwritten',
        'range-known'   => 'Hello World',
        'gone-known'    => 'taken',
        'swap-known'    => 'first',
    );

    $redis->cmd('SET', $_, $keys{$_}) for sort keys %keys;
    $redis->cmd('SET', 'expiring-known', 'x', 'PX', 60000);
    $redis->cmd('SET', 'kept-known', 'x', 'PX', 60000);
    $redis->cmd('SET', 'counter-ttl-known', 5, 'PX', 60000);
    $t->get($_) for grep { /known/ } sort keys %keys;
    $t->get($_) for qw(expiring-known kept-known counter-ttl-known);

    %$expect = %keys;
}


sub changes {
    my ($t, $e, $name) = @_;

    # replacements

    is($t->put('new', "line\n\"quoted\"\0end")->{status}, 204, "$name: new");
    $e->{new} = "line\n\"quoted\"\0end";
    is($t->put('replaced', 'once')->{status}, 204, "$name: replaced");
    is($t->put('replaced', 'twice')->{status}, 204, "$name: again");
    $e->{replaced} = 'twice';
    is($t->put('empty', '')->{status}, 204, "$name: empty");
    $e->{empty} = '';

    # deletions

    is($t->delete('deleted-known')->{status}, 204, "$name: deleted");
    is($t->delete('deleted')->{status}, 404,
       "$name: of an unknown key nobody can say that it was there");
    $e->{deleted} = undef;
    $e->{'deleted-known'} = undef;
    is($t->put('brief', 'x')->{status}, 204, "$name: made");
    is($t->delete('brief')->{status}, 204, "$name: and deleted");
    $e->{brief} = undef;

    # expiries: in the outage, after it, changed, taken away

    is($t->put('flash', 'x', ttl => '200ms')->{status}, 204, "$name: 200 ms");
    $e->{flash} = undef;
    is($t->put('replaced-flash', 'x')->{status}, 204, "$name: made");
    is($t->put('replaced-flash', 'x', ttl => '250ms')->{status}, 204,
       "$name: 250 ms");
    $e->{'replaced-flash'} = undef;

    my $start = now();
    is($t->put('minute', 'x', ttl => '60s')->{status}, 204, "$name: 60 s");
    $e->{minute} = expects('x', 60, $start, now());

    $start = now();
    value_is($t->run('PEXPIRE', 'expiring-known', 30500), 1,
             "$name: 30.5 s instead of 60");
    $e->{'expiring-known'} = expects('x', 30.5, $start, now());

    value_is($t->run('PERSIST', 'kept-known'), 1, "$name: PERSIST");
    $e->{'kept-known'} = 'x';

    # counters

    value_is($t->run('INCRBY', 'count-known', 5), 15, "$name: INCRBY");
    value_is($t->run('DECR', 'count-known'), 14, "$name: DECR");
    value_is($t->run('INCR', 'count-known'), 15, "$name: INCR");
    $e->{'count-known'} = 15;
    $t->run('INCR', 'count') for 1 .. 20;
    $e->{count} = 120;
    is($t->run('INCRBYFLOAT', 'float', '0.25')->{status}, 200,
       "$name: INCRBYFLOAT");
    $t->run('INCRBYFLOAT', 'float', '0.5');
    $e->{float} = '2.25';
    value_is($t->run('INCRBY', 'count-new', 3), 3, "$name: a new counter");
    $e->{'count-new'} = 3;
    value_is($t->run('INCR', 'counter-ttl-known'), 6, "$name: with a TTL");
    my $left = $t->redis->{ttl_until};
    $e->{'counter-ttl-known'} = [ 6, $left - 1, $left ];

    # appends and ranges

    value_is($t->run('APPEND', 'append-known', 'def'), 6, "$name: APPEND");
    value_is($t->run('APPEND', 'append-known', 'ghi'), 9, "$name: again");
    $e->{'append-known'} = 'abcdefghi';
    is($t->run('APPEND', 'append', '123')->{status}, 200, "$name: unknown");
    is($t->run('APPEND', 'append', '456')->{status}, 200, "$name: again");
    $e->{append} = 'xyz123456';
    value_is($t->run('SETRANGE', 'range-known', 6, 'Redis'), 11,
             "$name: SETRANGE");
    $e->{'range-known'} = 'Hello Redis';

    # others

    value_is($t->run('RENAME', 'from-known', 'to'), 'OK', "$name: RENAME");
    $e->{'from-known'} = undef;
    $e->{to} = 'moved';
    value_is($t->run('COPY', 'new', 'copied'), 1, "$name: COPY");
    $e->{copied} = $e->{new};
    value_is($t->run('GETDEL', 'gone-known'), 'taken', "$name: GETDEL");
    $e->{'gone-known'} = undef;
    value_is($t->run('GETSET', 'swap-known', 'second'), 'first',
             "$name: GETSET");
    $e->{'swap-known'} = 'second';
    value_is($t->run('MSET', 'many1', 'one', 'many2', 'two'), 'OK',
             "$name: MSET");
    @$e{qw(many1 many2)} = qw(one two);
    value_is($t->run('SETNX', 'swap-known', 'third'), 0, "$name: SETNX");

    # a counter that is set, and one that is deleted, begin anew

    is($t->put('count-set', 7)->{status}, 204, "$name: set");
    value_is($t->run('INCR', 'count-set'), 8, "$name: and counted");
    $e->{'count-set'} = 8;
    value_is($t->run('INCR', 'count-gone'), 1, "$name: counted");
    is($t->delete('count-gone')->{status}, 204, "$name: and deleted");
    value_is($t->run('INCR', 'count-gone'), 1, "$name: and again");
    $e->{'count-gone'} = 1;
}


sub all_kinds {
    my ($workers, $files) = @_;

    my $name = "$workers workers, "
               . ($files ? 'changes in files' : 'changes');
    my $redis = RF::Redis->new(persist => 1);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { write_interval => $files ? '20ms' : '1h' });
    my %expect;

    before($t, \%expect);
    $redis->{ttl_until} = now() + 60;
    $redis->stop;
    changes($t, \%expect, $name);

    ok(wait_for(sub { $t->get('flash')->{status} == 404
                      && $t->get('replaced-flash')->{status} == 404 }),
       "$name: the short ones are over");
    ok(wait_for(sub { $t->status->{files}{count} >= 20 }),
       "$name: there are files") if $files;
    is($t->mode, 'fallback', "$name: fallback");

    $redis->start;
    $t->recovered(\%expect, $name);

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# Redis answers PING and reads, and refuses writes

sub refused {
    my ($workers) = @_;

    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { write_interval => '20ms',
                                   check_interval => '50ms' });
    my $name = "$workers workers";
    my %expect;

    $redis->kill;

    for my $i (1 .. 50) {
        is($t->put("key$i", "value $i")->{status}, 204) if $i == 1;
        $t->put("key$i", "value $i");
        $expect{"key$i"} = "value $i";
    }

    $t->run('INCRBY', 'count', 5);
    $expect{count} = 5;
    ok(wait_for(sub { 51 == (my @files = $t->files) }), "$name: 51 files");

    $redis->{conf} = 'replicaof 127.0.0.1 ' . RF::free_port() . "\n"
                     . "save 3600 1000000\ndbfilename dump.d\n"
                     . "stop-writes-on-bgsave-error yes";
    $redis->start;
    still_refused($t, "$name, READONLY", qr/READONLY/);

    $redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
    $redis->cmd('REPLICAOF', 'NO', 'ONE');
    still_refused($t, "$name, OOM", qr/OOM/);

    # a snapshot cannot be renamed to a directory

    mkdir $redis->dir . '/dump.d';
    $redis->cmd('BGSAVE');
    ok(wait_for(sub {
        $redis->info('persistence')->{rdb_last_bgsave_status} eq 'err';
    }), "$name: no snapshot");
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
    still_refused($t, "$name, MISCONF", qr/MISCONF/);

    $redis->cmd('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no');
    $t->recovered(\%expect, "$name, accepted at last");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


sub still_refused {
    my ($t, $name, $reason) = @_;

    my $seen = length $t->nginx->log;
    my $count = sub {
        my $new = substr $t->nginx->log, $seen;
        return scalar(() = $new =~ /is not ready: $reason/g);
    };

    ok(wait_for(sub { $count->() >= 3 }), "$name: probed and refused");
    is($t->mode, 'fallback', "$name: fallback");
    is($t->status->{pending}, 51, "$name: all is pending");
    is(scalar(my @files = $t->files), 51, "$name: all is on disk");
    is($t->redis->cmd('DBSIZE'), 0, "$name: nothing is in Redis");
    is($t->get('key50')->{body}, 'value 50', "$name: and all is served");
}


for my $workers (1, 4) {
    all_kinds($workers, 0);
    all_kinds($workers, 1);
    refused($workers);
}

done_testing;
