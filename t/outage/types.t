# Hashes, lists, sets and sorted sets through an outage: what was known before,
# what is done meanwhile, and what Redis holds afterwards, together with what
# others did there.

use strict;
use warnings;

use lib 't/lib';
use RF;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;
my $redis = RF::Redis->new;

my $nginx = RF::Nginx->new(
    workers => 2,
    http    => 'redis_fallback_store app {
                    server ' . '127.0.0.1:' . $redis->port . ';
                    path %%DIR%%/app;
                    timeout 300ms;
                    check_interval 1s;
                    write_interval 200ms;
                }
                redis_fallback_store young {
                    server ' . '127.0.0.1:' . $redis->port . ';
                    path off;
                    timeout 300ms;
                    check_interval 1s;
                    cache 10s;
                }
                redis_fallback app;',
    server  => 'location / { redis_fallback_api; }
                location /young { redis_fallback_api young; }');


# a command and what it answers; JSON for an array or nil

sub does {
    my ($command, $want, $path) = @_;

    my @argv = split ' ', $command;
    my $res = $nginx->post($path || '/', $json->encode(\@argv));
    my $answer = eval { $json->decode($res->{body}) } || {};
    my $got = exists $answer->{error} ? $answer->{error} : $answer->{result};

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($json->encode($got), $json->encode($want), $command);
}


sub text {
    my ($data) = @_;

    return { map { ($_ => "$data->{$_}") } keys %$data }
        if ref $data eq 'HASH';

    return $data;
}


# pairs in any order

sub hash {
    my ($command, $want, $path) = @_;

    my @argv = split ' ', $command;
    my $res = $nginx->post($path || '/', $json->encode(\@argv));
    my $answer = eval { $json->decode($res->{body}) } || {};

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($json->encode(text({ @{$answer->{result} || []} })),
       $json->encode(text($want)),
       $command);
}


# normal mode: read as a whole, read and written in parts

$redis->cmd('HSET', 'cart', 'apple', 1, 'pear', 2);
$redis->cmd('HSET', 'user', 'name', 'bob', 'mail', 'b@x', 'visits', 3);
$redis->cmd('RPUSH', 'queue', qw(a b c));
$redis->cmd('SADD', 'tags', qw(red green));
$redis->cmd('ZADD', 'board', 10, 'ann', 20, 'ben', 30, 'cat');
$redis->cmd('PEXPIRE', 'cart', 100000);

hash('HGETALL cart', { apple => 1, pear => 2 });
does('HGET user name', 'bob');
does('HMGET user name visits none', ['bob', '3', undef]);
does('LRANGE queue 0 -1', [qw(a b c)]);
does('SISMEMBER tags red', 1);
does('ZRANGE board 0 -1 WITHSCORES', [qw(ann 10 ben 20 cat 30)]);
does('HSET mine f 1 g 2', 2);
does('RPUSH jobs one two', 2);
does('RPUSH jobs three', 3);
does('LPOP jobs', 'one');
does('SADD seen x y', 2);
does('ZADD score 1 a', 1);
does('ZINCRBY score 2.5 a', '3.5');

# several changes of one key under way at a time; what depends on what was there

sub batch {
    my ($path, $commands, $want) = @_;

    my $res = $nginx->post($path, $json->encode([map { [split] } @$commands]));
    my $answer = eval { $json->decode($res->{body}) };

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($json->encode([map { $_->{result} } @$answer]), $json->encode($want),
       join '; ', @$commands);
}

batch('/pipeline', ['HSET sess a 1', 'HINCRBY sess b 2', 'EXPIRE sess 1000',
                    'HSET sess c 3'], [1, 2, 1, 1]);
batch('/multi-exec', ['INCR limit', 'EXPIRE limit 1000'], [1, 1]);
batch('/multi-exec', ['INCR limit', 'EXPIRE limit 1000 NX'], [2, 0]);
batch('/multi-exec', ["ZREMRANGEBYSCORE win -inf $_", "ZADD win $_$_ hit$_",
                      'ZCARD win', 'PEXPIRE win 60000'],
      [0, 1, $_, 1]) for 1 .. 3;
does('ZADD board GT 35 cat', 0);
does('ZADD board NX 5 cat', 0);
does('SADD lots a b c', 3);
does('SREM lots b', 1);
does('SPOP gone 3', []);


# fallback

$redis->kill;
does('PING', 'PONG');
does('HGET user name', 'bob');
$nginx->wait_mode('fallback');

hash('HGETALL cart', { apple => 1, pear => 2 });
does('HGET user visits', '3');
does('HGET user mail', undef);
does('LRANGE queue 0 -1', [qw(a b c)]);
does('SISMEMBER tags red', 1);
does('ZRANGE board 0 -1 WITHSCORES', [qw(ann 10 ben 20 cat 35)]);
hash('HGETALL sess', { a => 1, b => 2, c => 3 });
does('INCR limit', 3);
does('ZRANGE win 0 -1 WITHSCORES', [qw(hit1 11 hit2 22 hit3 33)]);
does('ZREMRANGEBYSCORE win -inf 22', 2);
does('ZADD win 44 hit4', 1);
does('ZCARD win', 2);
does('SISMEMBER lots a', 1);
does('SISMEMBER lots b', 0);
hash('HGETALL mine', { f => 1, g => 2 });
does('LRANGE jobs 0 -1', [qw(two three)]);
does('SISMEMBER seen y', 1);
does('ZSCORE score a', '3.5');
does('TYPE board', 'zset');
ok($nginx->post('/', '["TTL","sess"]')->{body} =~ /9\d\d|1000/,
   'an expiry that was set is known');

does('HSET cart pear 5 plum 1', 1);
does('HDEL cart apple', 1);
does('HINCRBY user visits 1', 4);
does('HINCRBY unknown n 5', 5);
does('LPOP queue', 'a');
does('RPUSH queue d e', 4);
does('LPUSH queue z', 5);
does('RPOP queue', 'e');
does('LRANGE queue 0 -1', [qw(z b c d)]);
does('SADD tags blue', 1);
does('SREM tags red', 1);
does('ZADD board GT 25 ben', 0);
does('ZINCRBY board 5 ann', '15');
does('ZPOPMAX board', ['cat', '35']);
does('ZADD fresh 1 one 2 two', 2);
does('SADD set1 a b c', 3);
does('SADD set2 b c d', 3);
does('SINTERSTORE both set1 set2', 2);
does('RENAME jobs work', 'OK');
does('LSET work 0 first', 'OK');
does('LPUSH cart x', 'WRONGTYPE Operation against a key holding the wrong '
                     . 'kind of value');
does('EXPIRE board 1000', 1);

ok($nginx->status('app')->{pending} > 0, 'pending');


# somebody else, on the same data, while nginx is away

$nginx->behind(sub {
    $redis->start;
    $redis->cmd('HSET', 'cart', 'apple', 1, 'pear', 2, 'nut', 7);
    $redis->cmd('PEXPIRE', 'cart', 100000);
    $redis->cmd('HSET', 'user', 'name', 'rob', 'mail', 'b@x', 'visits', 10);
    $redis->cmd('RPUSH', 'queue', qw(a b c other));
    $redis->cmd('SADD', 'tags', qw(red green black));
    $redis->cmd('ZADD', 'board', 10, 'ann', 40, 'ben', 30, 'cat', 1, 'dan');
});

$nginx->wait_mode('normal');

sub holds {
    my ($name, $want, @command) = @_;

    my $got = $redis->cmd(@command);
    $got = { @$got } if ref $want eq 'HASH';

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($json->encode(text($got)), $json->encode(text($want)), $name);
}

holds('hash fields merge', { pear => 5, plum => 1, nut => 7 },
      'HGETALL', 'cart');
ok($redis->cmd('PTTL', 'cart') > 0, 'and the expiry is theirs');
holds('counters add up', { name => 'rob', mail => 'b@x', visits => 11 },
      'HGETALL', 'user');
holds('an unknown one as well', '5', 'HGET', 'unknown', 'n');
holds('popped is removed, pushed is pushed', [qw(z b c other d)],
      'LRANGE', 'queue', 0, -1);
holds('members merge', [qw(black blue green)], 'SORT', 'tags', 'ALPHA');
holds('so do scores', { dan => 1, ann => 15, ben => 40 },
      'ZRANGE', 'board', 0, -1, 'WITHSCORES');
ok($redis->cmd('TTL', 'board') > 900, 'with the expiry set here');
holds('a window that slid on', { hit4 => 44 },
      'ZRANGE', 'win', 0, -1, 'WITHSCORES');
holds('new', { one => 1, two => 2 }, 'ZRANGE', 'fresh', 0, -1, 'WITHSCORES');
holds('stored', [qw(b c)], 'SORT', 'both', 'ALPHA');
holds('renamed and changed', [qw(first three)], 'LRANGE', 'work', 0, -1);
ok(wait_for(sub { !@{ $redis->cmd('KEYS', '*redis_fallback:*') } }),
   'no markers are left');


# memory may answer for a whole collection

$redis->cmd('HSET', 'page', 'a', 1);
hash('HGETALL page', { a => 1 }, '/young');
$redis->cmd('HSET', 'page', 'a', 2);
hash('HGETALL page', { a => 1 }, '/young');
does('HGET page a', '1', '/young');
does('HSET page b 3', 1, '/young');
hash('HGETALL page', { a => 1, b => 3 }, '/young');
does('HGET page none', undef, '/young');

$nginx->stop;
done_testing();
