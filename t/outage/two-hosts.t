# Two nginx hosts before one Redis change the same keys in one outage, and a
# third client changes them in Redis meanwhile: all of it is merged, whoever
# comes back first.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;


# what the first knows completely, the second in part or not at all

sub before {
    my ($redis, $one, $two) = @_;

    $redis->cmd('SET', 'count', 100);
    $redis->cmd('SET', 'float', '0.5');
    $redis->cmd('SET', 'text', 'base');
    $redis->cmd('HSET', 'hash', 'n', 10, 'old', 'x', 'gone', 'x', 'both', 'x');
    $redis->cmd('SADD', 'set', 'base', 'gone1', 'gone2', 'gone3');
    $redis->cmd('RPUSH', 'list', map { "base$_" } 1 .. 4);
    $redis->cmd('ZADD', 'zset', 10, 'sum', 1, 'base', 1, 'gone');

    api($one, @$_) for [ 'GET', 'count' ], [ 'GET', 'text' ],
        [ 'HGETALL', 'hash' ], [ 'SMEMBERS', 'set' ],
        [ 'LRANGE', 'list', 0, -1 ], [ 'ZRANGE', 'zset', 0, -1, 'WITHSCORES' ];
    api($two, 'HGET', 'hash', 'n');
}


# each its own part of the same keys; one list end for each, or their order
# would depend on who comes first

sub changes {
    my ($t, $who) = @_;

    my $one = $who eq 'one';
    my @all = (
        (map { [ 'INCR', 'count' ] } 1 .. 10),
        [ 'INCRBY', 'count', $one ? 1000 : 20000 ],
        [ 'INCRBYFLOAT', 'float', $one ? 0.25 : 8 ],
        [ 'APPEND', 'text', "+$who" ],
        [ 'HSET', 'hash', $who, 'set' ],
        [ 'HINCRBY', 'hash', 'n', $one ? 5 : 70 ],
        [ 'HINCRBY', 'hash', 'new', $one ? 3 : 40 ],
        [ 'HDEL', 'hash', $one ? 'gone' : 'both' ],
        [ 'SADD', 'set', $who, 'both' ],
        [ 'SREM', 'set', $one ? 'gone1' : 'gone2' ],
        [ $one ? 'LPUSH' : 'RPUSH', 'list', "$who 1", "$who 2" ],
        [ 'ZINCRBY', 'zset', $one ? 2 : 30, 'sum' ],
        [ 'ZADD', 'zset', $one ? 7 : 8, $who ],
        $one ? [ 'LPOP', 'list' ] : (),
        $one ? [ 'LPOP', 'list' ] : (),
        $one ? [ 'LPOP', 'list' ] : (),
        $one ? [ 'ZREM', 'zset', 'gone' ] : (),
    );

    my @bad = grep { my $reply = api($t, @$_); $reply =~ /^\d{3} / } @all;
    is(join(', ', map { "@$_" } @bad), '', "$who: changes");
}


sub third {
    my ($redis) = @_;

    $redis->cmd('INCRBY', 'count', 300000);
    $redis->cmd('INCRBYFLOAT', 'float', 64);
    $redis->cmd('HSET', 'hash', 'third', 'set', 'old', 'y');
    $redis->cmd('HINCRBY', 'hash', 'n', 600);
    $redis->cmd('SADD', 'set', 'third', 'both');
    $redis->cmd('SREM', 'set', 'gone3');
    $redis->cmd('ZINCRBY', 'zset', 400, 'sum');
    $redis->cmd('ZADD', 'zset', 9, 'third');
    $redis->cmd('LREM', 'list', 0, 'base2');
}


sub merged {
    my ($redis, $third, $name) = @_;

    is($redis->cmd('GET', 'count'), 21120 + ($third ? 300000 : 0),
       "$name: a counter");
    is($redis->cmd('GET', 'float'), 8.75 + ($third ? 64 : 0),
       "$name: with fractions");
    like($redis->cmd('GET', 'text'), qr/^base(\+one\+two|\+two\+one)$/,
         "$name: what was appended");
    is_deeply({ @{ $redis->cmd('HGETALL', 'hash') } },
              { n => 85 + ($third ? 600 : 0), new => 43, one => 'set',
                two => 'set', old => ($third ? 'y' : 'x'),
                ($third ? (third => 'set') : ()) }, "$name: a hash");
    is(join(' ', sort @{ $redis->cmd('SMEMBERS', 'set') }),
       $third ? 'base both one third two' : 'base both gone3 one two',
       "$name: a set");

    # the first took its own two and base1: where it was, no other goes

    is_deeply($redis->cmd('LRANGE', 'list', 0, -1),
              [ $third ? () : 'base2', 'base3', 'base4', 'two 1', 'two 2' ],
              "$name: a list");
    is_deeply({ @{ $redis->cmd('ZRANGE', 'zset', 0, -1, 'WITHSCORES') } },
              { sum => 42 + ($third ? 400 : 0), base => 1, one => 7, two => 8,
                ($third ? (third => 9) : ()) }, "$name: a sorted set");
}


# who comes back first: one of them, or both at once; whether nginx is started
# anew meanwhile, so that its changes come from files

sub outage {
    my ($name, %opt) = @_;

    my $redis = shared_redis();
    my ($one, $two) = map { api_store($redis, { write_interval => '20ms',
                                                recovery_rate => 200 },
                                      workers => $_) } 1, 2;

    before($redis, $one, $two);
    cut_off($redis, $one, $two);
    changes($one, 'one');
    changes($two, 'two');

    if ($opt{restart}) {
        for my $t ($one, $two) {
            ok($t->nginx->stop, "$name: stops");
            $t->nginx->start;
        }
    }

    if ($opt{third}) {
        third($redis);
    }

    # one that is stopped comes later

    my ($first, $later) = $opt{first} && $opt{first} eq 'two'
                          ? ($two, $one) : ($one, $two);
    my @workers = $opt{first} ? $later->nginx->workers : ();

    kill 'STOP', @workers;
    let_in($redis);
    ok($first->wait_normal, "$name: the first is normal");

    if ($opt{between}) {
        third($redis);
    }

    kill 'CONT', @workers;
    ok($later->wait_normal, "$name: the other is normal");
    is($_->status->{pending}, 0, "$name: nothing is pending") for $one, $two;

    merged($redis, $opt{third} || $opt{between}, $name);

    # both see the same afterwards

    my ($a, $b) = map { my $t = $_;
                        [ api($t, 'GET', 'count'), api($t, 'GET', 'text'),
                          api($t, 'LRANGE', 'list', 0, -1),
                          api($t, 'HGET', 'hash', 'n') ] } $one, $two;
    is_deeply($a, $b, "$name: both read the same");

    ok(wait_for(sub { !grep { /:redis_fallback:/ }
                      @{ $redis->cmd('KEYS', '*') } }),
       "$name: no markers are left");
    ok(wait_for(sub { !$one->files && !$two->files }), "$name: nor files");
    is($_->status->{recovery}{failed}, 0, "$name: nothing failed")
        for $one, $two;
    ended($one, $two);
}


# replacements do not merge: the one that comes last stays, as in Redis itself,
# and each host says what Redis has from then on

sub replaced {
    my $name = 'replacements';
    my $redis = shared_redis();
    my ($one, $two) = map { api_store($redis) } 1, 2;

    cut_off($redis, $one, $two);
    $one->put('a', 'one');
    $two->put('a', 'two');
    $one->delete('b');
    $two->put('b', 'two');
    $redis->cmd('SET', 'b', 'third');

    my @workers = $two->nginx->workers;
    kill 'STOP', @workers;
    let_in($redis);
    ok($one->wait_normal, "$name: the first is normal");
    is($redis->cmd('GET', 'a'), 'one', "$name: its value");
    is($redis->cmd('EXISTS', 'b'), 0, "$name: its deletion");
    kill 'CONT', @workers;
    ok($two->wait_normal, "$name: the other is normal");
    holds($redis, { a => 'two', b => 'two' }, "$name: the last one");
    is($one->get('a')->{body}, 'two', "$name: is read by the first");
    ended($one, $two);
}


outage('both at once');
outage('a third client', third => 1);
outage('from files', restart => 1, third => 1);
outage('the first first', first => 'one');
outage('the second first, a third in between', first => 'two', between => 1);
replaced();

done_testing;
