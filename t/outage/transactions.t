# What one transaction has changed while Redis was away reaches it in one
# transaction, too: nobody sees a part of it.

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
                    check_interval 500ms;
                    recovery_rate 20;
                }',
    server  => 'location / { redis_fallback_api; }');


sub api {
    my ($path, $body, $want, $name) = @_;

    my $res = $nginx->post($path, $json->encode($body));
    my $answer = eval { $json->decode($res->{body}) };
    my @got = map { $_->{result} } ref $answer eq 'ARRAY' ? @$answer : $answer;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($json->encode(\@got), $json->encode($want), $name);
}


sub outage {
    $redis->kill;
    api('/', ['PING'], ['PONG'], 'no Redis');
    api('/', ['SET', 'first', 1], ['OK'], 'a write');
    ok($nginx->wait_mode('fallback'), 'fallback');
}


# 30 keys of their own, in between 2 transactions that share a key

outage();

api('/', ['SET', "single$_", $_], ['OK'], "single $_") for 1 .. 15;

api('/multi-exec', [['SET', 'from', 90], ['SET', 'to', 110],
                    ['HSET', 'log', 'amount', 10], ['INCR', 'count']],
    ['OK', 'OK', 1, 1], 'a transaction');
api('/', ['SET', "single$_", $_], ['OK'], "single $_") for 16 .. 30;
api('/multi-exec', [['INCR', 'count'], ['RPUSH', 'list', 'a', 'b'],
                    ['ZADD', 'zset', 1, 'm'], ['SADD', 'set', 'x'],
                    ['LPUSH', 'from', 'wrong type'], ['DEL', 'gone']],
    [2, 2, 1, 1, undef, 0], 'another one');

my @keys = qw(from to log count list zset set);

$redis->start;

my ($torn, $some) = (0, 0);

ok(wait_for(sub {
    my $n = $redis->cmd('EXISTS', @keys);
    my $single = $redis->cmd('EXISTS', map { "single$_" } 1 .. 30);

    $torn++ if $n != 0 && $n != @keys;
    $some++ if $single != 0 && $single != 30;

    return $n == @keys && $single == 30;
}), 'all of it arrives');

is($torn, 0, 'the transactions as a whole');
ok($some > 0, 'the others one by one');
is($redis->calls->{exec}, 1, 'in one EXEC');
ok($nginx->wait_mode('normal', 20), 'normal');

is($redis->cmd('GET', 'count'), '2', 'a counter counts once');
is($json->encode($redis->cmd('LRANGE', 'list', 0, -1)), '["a","b"]',
   'and a push');
ok(wait_for(sub { !@{ $redis->cmd('KEYS', '*redis_fallback:*') } }),
   'no markers are left');


# a transaction too large for one: all of it, though not at once

outage();

api('/multi-exec', [map { ['INCR', "many$_"] } 1 .. 200], [(1) x 200],
    'a large one');
$redis->start;
ok($nginx->wait_mode('normal', 60), 'normal');
is(scalar(grep { defined $_ && $_ eq '1' }
          @{ $redis->cmd('MGET', map { "many$_" } 1 .. 200) }), 200,
   'is there');


# a part that Redis refuses

outage();

api('/multi-exec', [['INCR', 'x'], ['SADD', 'y', 'm'], ['SET', 'z', 1]],
    [1, 1, 'OK'], 'one that will not fit');
$nginx->behind(sub {
    $redis->start;
    $redis->cmd('SET', 'y', 'a string');
});
ok($nginx->wait_mode('normal', 20), 'normal');
is($redis->cmd('GET', 'x'), '1', 'the others arrive');
is($redis->cmd('GET', 'z'), '1', 'both');
is($nginx->status('app')->{files}{quarantined}, 1, 'one is set aside');


# Redis dies in between, again and again

outage();

for my $i (1 .. 20) {
    api('/multi-exec', [['INCR', "a$i"], ['INCR', "b$i"]], [1, 1],
        "transaction $i");
}

for my $round (1 .. 3) {
    $redis->start;
    wait_for(sub { $redis->cmd('DBSIZE') > 4 }, 3);
    $redis->pause;
    $nginx->wait_mode('fallback', 10);
    $redis->resume;
    last if $nginx->wait_mode('normal', 20);
}

is(scalar(grep { defined $_ && $_ eq '1' }
          @{ $redis->cmd('MGET', map { ("a$_", "b$_") } 1 .. 20) }), 40,
   'each once');

$nginx->stop;
done_testing();
