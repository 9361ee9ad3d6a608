# After a recovery memory knows what became of the keys that Redis has merged
# with what others did: the next outage is served from it.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;
my $redis = RF::Redis->new(persist => 1);
my $t = Outage->new(
    redis  => $redis,
    server => "location /api {\n    redis_fallback_api app;\n}\n");


sub api {
    my (@argv) = @_;

    my $res = $t->nginx->post('/api', $json->encode(\@argv));
    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $answer->{result}
           : "$res->{status} $res->{body}";
}


sub is_hash {
    my ($got, $want, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply(ref $got eq 'ARRAY' ? { @$got } : $got, $want, $name);
}


# one worker has one connection: what was read there is known when the answer
# to a later command is

sub known {
    my ($reads, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($t->wait_normal, "$name: normal again");
    ok(wait_for(sub {
        my $calls = $redis->calls;
        return !grep { ($calls->{$_} || 0) < $reads->{$_} } keys %$reads;
    }), "$name: what was merged is read") or diag(explain($redis->calls));
    is(api('PING'), 'PONG', "$name: and known");
}


sub down {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $redis->stop;
    ok($t->falls_back, "$name: fallback");
}


# normal: memory knows them all

api('HSET', 'cart', 'a', 1, 'n', 1);
api('RPUSH', 'jobs', 'x', 'y');
api('SADD', 'tags', 'red');
api('ZADD', 'board', 10, 'ann');
api('RPUSH', 'drained', 'x');
api('HSET', 'wide', 'f', 1);
api('HSET', 'mixed', 'n', 1);
api('SET', 'count', 5);
api($_->[0], $_->[1], @{$_}[2 .. $#$_])
    for ['HGETALL', 'cart'], ['LRANGE', 'jobs', 0, -1], ['SMEMBERS', 'tags'],
        ['ZRANGE', 'board', 0, -1, 'WITHSCORES'], ['HGETALL', 'wide'],
        ['HGETALL', 'mixed'];
api('EXPIRE', 'cart', 1000);

down('outage 1');
is(api('HSET', 'cart', 'b', 2), 1, 'a hash');
is(api('RPUSH', 'jobs', 'z'), 3, 'a list');
is(api('LPOP', 'jobs'), 'x', 'its head');
is(api('SADD', 'tags', 'blue'), 1, 'a set');
is(api('ZINCRBY', 'board', 5, 'ann'), 15, 'a sorted set');
is(api('LPOP', 'drained'), 'x', 'the last one of a list');
is(api('HSET', 'wide', 'g', 2), 1, 'one that is large by now');
is(api('HINCRBY', 'mixed', 'n', 1), 2, 'one that is no number by now');
is(api('HSET', 'mixed', 'm', 3), 1, 'and another field');
is(api('INCR', 'count'), 6, 'a counter');

# Redis comes back, and others were faster; the counter is theirs, too

$t->nginx->behind(sub {
    $redis->start;
    $redis->cmd('HSET', 'cart', 'theirs', 7);
    $redis->cmd('RPUSH', 'jobs', 'theirs');
    $redis->cmd('ZADD', 'board', 1, 'theirs');
    $redis->cmd('HSET', 'wide', map { ("f$_", $_) } 1 .. 2000);
    $redis->cmd('HSET', 'mixed', 'n', 'theirs');
    $redis->cmd('INCRBY', 'count', 100);
});

known({ hgetall => 2, lrange => 1, smembers => 1, zrange => 1, hlen => 3 },
      'outage 1');

my %cart = @{ $redis->cmd('HGETALL', 'cart') };
my $jobs = $redis->cmd('LRANGE', 'jobs', 0, -1);
my %board = @{ $redis->cmd('ZRANGE', 'board', 0, -1, 'WITHSCORES') };
my $count = $redis->cmd('GET', 'count');

is($cart{b}, 2, 'replayed');

down('outage 2');
is_hash(api('HGETALL', 'cart'), \%cart, 'a hash');
my $ttl = api('TTL', 'cart');
ok($ttl > 900 && $ttl <= 1000, 'its expiry') or diag($ttl);
is_deeply(api('LRANGE', 'jobs', 0, -1), $jobs, 'a list');
is_deeply([ sort @{ api('SMEMBERS', 'tags') } ], [qw(blue red)], 'a set');
is_hash([ map { "$_" } @{ api('ZRANGE', 'board', 0, -1, 'WITHSCORES') } ],
        \%board, 'a sorted set');
is(api('GET', 'count'), $count, 'a counter');
isnt($json->encode(api('HGET', 'wide', 'f2000')), '"2000"',
     'a large one is not known');
is_hash(api('HGETALL', 'mixed'), { m => 3, n => 'theirs' },
        'one that took a part of the changes');

# what is known is changed again, and is merged again

is(api('HSET', 'cart', 'c', 3), 1, 'a field');
is(api('LPOP', 'jobs'), $jobs->[0], 'popped');
$redis->start;
known({ hgetall => 1, lrange => 1 }, 'outage 2');

is_hash($redis->cmd('HGETALL', 'cart'), { %cart, c => 3 }, 'the same in Redis');
is_deeply($redis->cmd('LRANGE', 'jobs', 0, -1), [ @{$jobs}[1 .. $#$jobs] ],
          'popped there, too');

down('outage 3');
is_hash(api('HGETALL', 'cart'), { %cart, c => 3 }, 'a hash');
is_deeply(api('LRANGE', 'jobs', 0, -1), [ @{$jobs}[1 .. $#$jobs] ], 'a list');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
