# What go-redis-fallback lost or got wrong, each by its name (DESIGN.md, "Seen
# in the Go original"), short and direct.  Other tests go deeper.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;



# what Redis has ever been told to change

sub changes { return $_[0]->info('persistence')->{rdb_changes_since_last_save} }


sub loss {
    my ($name, $test) = @_;

    subtest $name => $test;
}


loss 'a fresh start without a data directory never used Redis' => sub {
    my $redis = RF::Redis->new;
    my $t = Outage->new(redis => $redis, start => 0,
                        store => { path => '%%DIR%%/not/yet/there' });

    ok(!-e $t->nginx->dir . '/not', 'there is no directory');
    $redis->cmd('SET', 'theirs', 'value');
    $t->nginx->start;

    is($t->get('theirs')->{tier}, 'redis', 'the first read asks Redis');
    is($t->put('ours', 'value')->{status}, 204, 'the first write');
    is($redis->cmd('GET', 'ours'), 'value', 'goes to Redis');
    is($t->mode, 'normal', 'normal');
    is($t->status->{outages}, 0, 'no outage');
    ok(-d $t->nginx->dir . '/not/yet/there', 'the directory was made');
    ended($t);
};


loss 'one miss counted as an outage' => sub {
    my $redis = RF::Redis->new;
    my $t = api_store($redis);

    is($t->get("none$_")->{status}, 404, "miss $_") for 1 .. 5;
    is(api($t, 'HGET', 'none', 'f'), undef, 'a field');
    is(api($t, 'LPOP', 'none'), undef, 'an element');
    is($t->delete('none')->{status}, 404, 'a deletion');
    is($t->mode, 'normal', 'normal');
    is($t->status->{outages}, 0, 'no outage');
    is($t->put('a', 'x')->{tier}, 'redis', 'Redis is used');
    ended($t);
};


loss 'a value set by another client could not be read' => sub {
    my $redis = shared_redis();
    my $t = api_store($redis);

    is($t->get('a')->{status}, 404, 'not there yet');
    $redis->cmd('SET', 'a', 'one');
    is($t->get('a')->{body}, 'one', 'set by another');
    $redis->cmd('SET', 'a', 'two');
    is($t->get('a')->{body}, 'two', 'and again');
    $redis->cmd('HSET', 'h', 'f', 'v');
    is(api($t, 'HGET', 'h', 'f'), 'v', 'a field');

    cut_off($redis, $t);
    $redis->cmd('SET', 'a', 'three');
    is($t->get('a')->{body}, 'two', 'in an outage the last one known');
    let_in($redis);
    ok($t->wait_normal, 'normal');
    is($t->get('a')->{body}, 'three', 'then that of another');
    ended($t);
};


loss 'reading wrote' => sub {
    my $redis = shared_redis();
    my $t = api_store($redis);

    $redis->cmd('SET', 'a', 'value', 'EX', 1000);
    $redis->cmd('SET', 'b', 'value');
    $redis->cmd('HSET', 'h', 'f', 'v');

    my $before = changes($redis);
    my $read = sub {
        $t->get($_) for qw(a b none);
        api($t, 'HGETALL', 'h');
        api($t, 'TTL', 'a');
    };

    $read->();
    is(changes($redis), $before, 'nothing in Redis');
    is($t->status->{writes}{redis}, 0, 'nothing counted');

    cut_off($redis, $t);
    $read->();
    is($t->get('a')->{tier}, 'memory', 'read in an outage');
    is($t->status->{pending}, 0, 'nothing is pending');
    is($t->status->{writes}{local}, 0, 'nothing counted');
    let_in($redis);
    ok($t->wait_normal, 'normal');
    $read->();
    ended($t);

    is(changes($redis), $before, 'nothing in Redis at the end');
    is(scalar(my @files = $t->files), 0, 'and no file');
};


loss 'local copies revived deleted keys and reset TTLs' => sub {
    my $redis = shared_redis(persist => 1);
    my $t = api_store($redis);
    my $before = now();

    $redis->cmd('SET', $_, 'value') for qw(gone later stays);
    $redis->cmd('SET', 'ttl', 'value', 'EX', 1000);
    $redis->cmd('SET', 'short', 'value', 'EX', 1000);
    $redis->cmd('SET', 'brief', 'value', 'PX', 300);
    $t->get($_) for qw(gone later stays ttl short brief);

    cut_off($redis, $t);
    $redis->cmd('DEL', 'gone');
    $redis->cmd('EXPIRE', 'short', 50);
    is($t->get('gone')->{body}, 'value', 'a local copy is served');
    ok(wait_for(sub { $t->get('brief')->{status} == 404 }),
       'until it expires');
    let_in($redis);

    my %expect = (gone => undef, brief => undef, later => 'value',
                  stays => 'value',
                  ttl => expects('value', 1000, $before, now()),
                  short => expects('value', 50, $before, now()));

    $t->recovered(\%expect, 'recovery');

    # nor does a restart of Redis

    $redis->cmd('DEL', 'later');
    $expect{later} = undef;
    $redis->restart;
    $t->get('nobody');
    $t->recovered(\%expect, 'a restart of Redis');
    is($t->get('gone')->{status}, 404, 'gone here, too');
    ok($t->nginx->stop, 'stops');
    $t->nginx->start;
    $t->recovered(\%expect, 'a restart of nginx');
    ended($t);
};


loss 'recovery deleted files that Redis had refused' => sub {
    my $redis = shared_redis();
    my $t = api_store($redis, { write_interval => '20ms' });

    cut_off($redis, $t);
    $t->put("key$_", 'x' x 1000) for 1 .. 20;
    ok(wait_for(sub { $t->files == 20 }), 'files');

    # not now

    $redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
    let_in($redis);
    ok(wait_for(sub { $t->nginx->log =~ /not ready: OOM/ }), 'refused');
    is(scalar(my @files = $t->files), 20, 'all files are there');
    is($t->status->{pending}, 20, 'all is pending');

    # never

    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
    ok($t->wait_normal, 'normal');
    cut_off($redis, $t);
    api($t, 'HSET', 'hash', 'f', 'v');
    ok(wait_for(sub { grep { RF::slurp($_) =~ /"hash"/ } $t->files }),
       'a file');
    $redis->cmd('SET', 'hash', 'a string');
    let_in($redis);

    $t->recovered({ hash => 'a string',
                    map { ("key$_" => 'x' x 1000) } 1 .. 20 }, 'recovery');

    my @kept = glob $t->nginx->dir . '/app/quarantine/*';
    is(scalar @kept, 1, 'what Redis never takes is in quarantine');
    like(RF::slurp($kept[0] // ''), qr/"hash".*WRONGTYPE/s, 'whole');
    ended($t);
};


loss 'keys without TTL, deletions, the last queued write were lost' => sub {
    my $redis = RF::Redis->new(persist => 1);
    my $t = Outage->new(redis => $redis, store => { write_interval => '20ms' });
    my $before = now();

    $redis->cmd('SET', $_, 'old') for qw(gone unknown);
    $t->get('gone');
    $redis->stop;
    $t->put('for ever', 'value');
    $t->put('for a while', 'value', ttl => '1000s');
    $t->delete($_) for qw(gone unknown);
    ok(wait_for(sub { $t->files == 4 }), 'files');
    $t->put('last', 'value');
    ok(wait_for(sub { $t->files == 5 }), 'the last one has a file, too');

    # the files are all there is

    $t->nginx->kill;
    $redis->start;
    $t->nginx->start;
    $t->recovered({ 'for ever' => 'value', last => 'value',
                    'for a while' => expects('value', 1000, $before, now()),
                    gone => undef, unknown => undef }, 'recovery');
    ended($t);
};


loss 'everything queued at close was lost' => sub {
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(redis => $redis, workers => 2,
                        store => { write_interval => '1h',
                                   write_queue => 100000 });
    my %expect;

    for my $signal (qw(QUIT TERM)) {
        $expect{"$signal$_"} = "value $_" for 1 .. 100;
        $t->put($_, $expect{$_}) for grep { /^$signal/ } sort keys %expect;
        ok($t->nginx->stop($signal), "SIG$signal");
        is(scalar(keys %{ $t->on_disk }), scalar(keys %expect), 'on disk');
        cmp_ok(scalar(my @files = $t->files), '>', 0, 'in files, too');
        $t->nginx->start;
    }

    $redis->start;
    $t->recovered(\%expect, 'recovery');
    ended($t);
};


done_testing;
