# `cache tracking`: memory answers, and yet a change is seen in all workers
# 10 ms after it was acknowledged, whoever has made it: another client, nginx
# by way of the worker that has read the key, or of another one.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;

my $seed = $ENV{TRACKING_SEED} || int rand 1e9;
my $steps = $ENV{TRACKING_STEPS} || 250;

srand $seed;
diag("seed $seed") if $ENV{TRACKING_SECONDS};


my $t = Tracking->new(store => { restore => 'off' });
my $redis = $t->redis;
my @pids = $t->pids;

ok($t->tracks, 'Redis vouches for what four workers read');


# What changes, what was before, and how it is read.  A change is a command,
# or several in a transaction.

my $get = [ GET => 'k' ];
my $hash = [ HGETALL => 'k' ];
my $set = [ SMEMBERS => 'k' ];
my $list = [ LRANGE => 'k', 0, -1 ];
my $zset = [ ZRANGE => 'k', 0, -1, 'WITHSCORES' ];

my @string = [ SET => 'k', 5 ];
my @hash = [ HSET => 'k', 'f', 1, 'g', 2 ];
my @set = [ SADD => 'k', 'a', 'b' ];
my @list = [ RPUSH => 'k', 'a', 'b' ];
my @zset = [ ZADD => 'k', 1, 'a', 2, 'b' ];

my @cases = (
    [ [ SET => 'k', 'new' ],            \@string, $get ],
    [ [ SET => 'k', 'new', 'EX', 100 ], \@string, $get ],
    [ [ SET => 'k', 'new' ],            [],       $get ],
    [ [ SET => 'k', 'new' ],            \@hash,   $hash ],
    [ [ SETNX => 'k', 'new' ],          [],       $get ],
    [ [ GETSET => 'k', 'new' ],         \@string, $get ],
    [ [ GETDEL => 'k' ],                \@string, $get ],
    [ [ MSET => 'k', 1, 'l', 2 ],       \@string, $get, [ GET => 'l' ] ],
    [ [ DEL => 'k' ],                   \@string, $get ],
    [ [ DEL => 'l', 'k' ],              \@hash,   $hash ],
    [ [ UNLINK => 'k' ],                \@zset,   $zset ],
    [ [ INCR => 'k' ],                  \@string, $get ],
    [ [ INCR => 'k' ],                  [],       $get ],
    [ [ INCRBYFLOAT => 'k', 1.5 ],      \@string, $get ],
    [ [ APPEND => 'k', 'x' ],           \@string, $get ],
    [ [ APPEND => 'k', 'x' ],           [],       $get ],
    [ [ SETRANGE => 'k', 2, 'x' ],      \@string, $get ],
    [ [ SETBIT => 'k', 7, 1 ],          \@string, $get ],
    [ [ EXPIRE => 'k', 100 ],           \@string, $get, [ TTL => 'k' ] ],
    [ [ EXPIRE => 'k', -1 ],            \@string, $get, [ EXISTS => 'k' ] ],
    [ [ PEXPIRE => 'k', 1 ],            \@string, $get ],
    [ [ PEXPIRE => 'k', 1 ],            \@list,   $list ],
    [ [ PERSIST => 'k' ],               [ [ SET => 'k', 5, 'EX', 100 ] ],
      $get, [ TTL => 'k' ] ],
    [ [ HSET => 'k', 'f', 9 ],          \@hash,   $hash, [ HGET => 'k', 'f' ] ],
    [ [ HSET => 'k', 'f', 9 ],          [],       $hash, [ HLEN => 'k' ] ],
    [ [ HDEL => 'k', 'f', 'g' ],        \@hash,   $hash, [ EXISTS => 'k' ] ],
    [ [ HINCRBY => 'k', 'g', 3 ],       \@hash,   $hash ],
    [ [ SADD => 'k', 'c' ],             \@set,    $set, [ SCARD => 'k' ] ],
    [ [ SADD => 'k', 'c' ],             [],       $set ],
    [ [ SREM => 'k', 'a', 'b' ],        \@set,    $set ],
    [ [ SMOVE => 'k', 'l', 'a' ],       \@set,    $set, [ SMEMBERS => 'l' ] ],
    [ [ SUNIONSTORE => 'l', 'k' ],      \@set,    $set, [ SMEMBERS => 'l' ] ],
    [ [ RPUSH => 'k', 'c' ],            \@list,   $list, [ LLEN => 'k' ] ],
    [ [ LPUSH => 'k', 'c' ],            [],       $list ],
    [ [ LPOP => 'k', 2 ],               \@list,   $list ],
    [ [ LSET => 'k', 0, 'x' ],          \@list,   $list ],
    [ [ LMOVE => 'k', 'l', 'LEFT', 'RIGHT' ], \@list, $list,
      [ LRANGE => 'l', 0, -1 ] ],
    [ [ LMPOP => 2, 'l', 'k', 'LEFT' ], \@list,   $list ],
    [ [ SORT => 'k', 'ALPHA', 'DESC', 'STORE', 'l' ], \@list, $list,
      [ LRANGE => 'l', 0, -1 ] ],
    [ [ ZADD => 'k', 7, 'a' ],          \@zset,   $zset, [ ZSCORE => 'k', 'a' ]
    ],
    [ [ ZADD => 'k', 7, 'a' ],          [],       $zset ],
    [ [ ZINCRBY => 'k', 7, 'b' ],       \@zset,   $zset ],
    [ [ ZPOPMIN => 'k', 2 ],            \@zset,   $zset ],
    [ [ ZMPOP => 2, 'l', 'k', 'MAX' ],  \@zset,   $zset ],
    [ [ ZRANGESTORE => 'l', 'k', 0, 0 ], \@zset,  $zset,
      [ ZRANGE => 'l', 0, -1, 'WITHSCORES' ] ],
    [ [ GEOADD => 'k', 1, 2, 'x' ],     [],       $zset, [ ZCARD => 'k' ] ],
    [ [ PFADD => 'k', 'x' ],            [],       $hash, [ EXISTS => 'k' ] ],
    [ [ XADD => 'k', '1-1', 'f', 1 ],   [],       $get, [ EXISTS => 'k' ] ],
    [ [ BITOP => 'OR', 'l', 'k' ],      \@string, $get, [ GET => 'l' ],
      [ STRLEN => 'l' ] ],
    [ [ RENAME => 'k', 'l' ],           \@string, $get, [ GET => 'l' ] ],
    [ [ RENAME => 'k', 'l' ],           \@hash,   $hash, [ HGETALL => 'l' ] ],
    [ [ COPY => 'k', 'l' ],             \@string, $get, [ GET => 'l' ] ],
    [ [ MOVE => 'k', 1 ],               \@string, $get ],
    [ [ FLUSHDB => ],                   \@string, $get ],
    [ [ FLUSHALL => ],                  \@hash,   $hash ],
    [ [ EVAL => "redis.call('SET', KEYS[1], 'script') return 1", 1, 'k' ],
      \@string, $get ],
    [ [ EVAL => "redis.call('SET', 'k', 'script') return 1", 0 ],
      \@string, $get ],
    [ [ EVAL => "redis.call('DEL', 'k') return redis.call('nope')", 0 ],
      \@string, $get ],
    [ [ EVAL => "for i = 1, 20 do redis.call('HSET', 'k', i, i) end", 1, 'l' ],
      \@hash, $hash ],
    [ [ [ SET => 'k', 'multi' ], [ SET => 'l', 'multi' ] ], \@string, $get,
      [ GET => 'l' ] ],
    [ [ [ DEL => 'k' ], [ HSET => 'k', 'f', 'multi' ] ], \@string,
      $get, [ TYPE => 'k' ] ],
    [ [ [ GET => 'k' ], [ EVAL => "redis.call('SET', 'l', 'script')", 0 ] ],
      \@string, $get, [ GET => 'l' ] ],
    [ [ [ EVAL => "redis.call('SET', 'k', 'script')", 0 ], [ GET => 'k' ] ],
      \@string, $get ],
);


sub by_redis {
    my ($change) = @_;

    if (ref $change->[0]) {
        $redis->cmd('MULTI');
        $redis->cmd(@$_) for @$change;
        $redis->cmd('EXEC');
    } else {
        $redis->try(@$change);
    }
}


sub by_worker {
    my ($pid, $change) = @_;

    if (ref $change->[0]) {
        $t->multi($pid, @$change);
    } else {
        $t->ask($pid, @$change);
    }
}


for my $case (@cases) {
    my ($change, $before, @reads) = @$case;

    my $what = join '; ', map { "@$_" } ref $change->[0] ? @$change : $change;
    my $name = "$what, of " . (@$before ? lc $before->[0][0] : 'nothing');
    my $i = $t->{turn}++;
    my $first = $pids[$i % 4];

    my $again = sub {
        $redis->cmd('DEL', 'k', 'l');
        $redis->cmd('SELECT', 1);
        $redis->cmd('DEL', 'k');
        $redis->cmd('SELECT', 0);
        $redis->cmd(@$_) for @$before;
    };

    $t->visible("$name, by a client", \@reads, sub { by_redis($change) },
                $again, $first);
    $t->visible("$name, by the worker that vouches", \@reads,
                sub { by_worker($first, $change) }, $again, $first);
    $t->visible("$name, by another worker", \@reads,
                sub { by_worker($pids[($i + 1) % 4], $change) }, $again,
                $first);
}


# a key ends of itself, also one whose end was set before it was read

for my $ms (120, 250) {
    my $delay = $t->delay;

    $redis->cmd('SET', 'ends', 'x', 'PX', $ms);
    $redis->cmd('HSET', 'ends too', 'f', 'x');
    $redis->cmd('PEXPIRE', 'ends too', $ms);
    my $end = now() + $ms / 1000;
    $t->ask($_, 'GET', 'ends'), $t->ask($_, 'HGETALL', 'ends too') for @pids;
    wait_for(sub { now() >= $end });
    my ($bad) = $t->stale($end, $delay, [ GET => 'ends' ],
                          [ HGETALL => 'ends too' ]);
    is(join("\n", @$bad), '', "a key ends after $ms ms");
}


# SWAPDB: of another's Redis says nothing, but ours is known

for my $pid (@pids) {
    $t->visible('SWAPDB by a worker', [ [ GET => 'k' ], [ GET => 'none' ] ],
        sub { $t->ask($pid, 'SWAPDB', 0, 1) },
        sub {
            $redis->cmd('FLUSHALL');
            $redis->cmd('SET', 'k', 'one');
            $redis->cmd('SELECT', 1);
            $redis->cmd('MSET', 'k', 'another', 'none', 'some');
            $redis->cmd('SELECT', 0);
        });
}


# a hit asks Redis nothing, and a remembered miss is one

$redis->cmd('DEL', 'none');
$redis->cmd('SET', 'k1', 'value');
$redis->cmd('DEL', 'h', 's', 'l', 'z');
$redis->cmd('HSET', 'h', 'f', 1);
$redis->cmd('SADD', 's', 'a');
$redis->cmd('RPUSH', 'l', 'a');
$redis->cmd('ZADD', 'z', 1, 'a');

my @reads = ([ GET => 'k1' ], [ GET => 'none' ], [ HGETALL => 'h' ],
             [ HGETALL => 'none:h' ], [ SMEMBERS => 's' ],
             [ SMEMBERS => 'none:s' ], [ LRANGE => 'l', 0, -1 ],
             [ LRANGE => 'none:l', 0, -1 ],
             [ ZRANGE => 'z', 0, -1, 'WITHSCORES' ],
             [ ZRANGE => 'none:z', 0, -1, 'WITHSCORES' ]);

my $quiet = wait_for(sub {
    $t->warm($pids[0], @reads);
    my $before = $redis->calls;
    my @tiers;

    for my $read (@reads) {
        for my $pid (@pids) {
            my ($is, $res) = $t->answer($pid, @$read);
            push @tiers, "@$read: $res->{tier}" if $res->{tier} ne 'memory';
        }
    }

    my $after = $redis->calls;
    my @asked = grep { !/^(info|ping)$/
                       && ($after->{$_} // 0) != ($before->{$_} // 0) }
                     keys %$after;

    # a worker that had to wait for a processor may be doubted

    return !@tiers && !@asked;
}, 10);

ok($quiet, 'hits and remembered misses ask Redis nothing');

my $res = $t->ask($pids[1], 'GET', 'none');
is($res->{value}, undef, 'a remembered miss is nil');
is_deeply($t->ask($pids[1], 'HGETALL', 'none:h')->{value}, [],
          'and empty, of a collection');
is($redis->cmd('EXISTS', 'none', 'none:h'), 0, 'nor is it written');


# anything at all, by anybody

sub any { return $_[rand @_] }

my @makers = (
    sub { ([ SET => $_[0], int rand 100 ]) },
    sub { ([ SET => $_[0], 1, 'PX', 10000 + int rand 10000 ]) },
    sub { ([ SET => $_[0], 'x', any(qw(NX XX KEEPTTL GET)) ]) },
    sub { ([ GETEX => $_[0], any([ 'PERSIST' ], [ 'EX', 100 ])->[0], ]) },
    sub { ([ INCR => $_[0] ]) },
    sub { ([ INCRBY => $_[0], 5 ]) },
    sub { ([ APPEND => $_[0], 'y' ]) },
    sub { ([ SETRANGE => $_[0], 1, 'z' ]) },
    sub { ([ DEL => $_[0] ]) },
    sub { ([ UNLINK => $_[0], $_[1] ]) },
    sub { ([ EXPIRE => $_[0], 1000, any(qw(NX XX GT LT)) ]) },
    sub { ([ PERSIST => $_[0] ]) },
    sub { ([ RENAME => $_[0], $_[1] ]) },
    sub { ([ RENAMENX => $_[0], $_[1] ]) },
    sub { ([ COPY => $_[0], $_[1], 'REPLACE' ]) },
    sub { ([ HSET => $_[0], any(1 .. 4), int rand 100 ]) },
    sub { ([ HDEL => $_[0], any(1 .. 4) ]) },
    sub { ([ HINCRBY => $_[0], any(1 .. 4), 2 ]) },
    sub { ([ SADD => $_[0], any('a' .. 'd') ]) },
    sub { ([ SREM => $_[0], any('a' .. 'd') ]) },
    sub { ([ SPOP => $_[0] ]) },
    sub { ([ SINTERSTORE => $_[1], $_[0] ]) },
    sub { ([ RPUSH => $_[0], any('a' .. 'd') ]) },
    sub { ([ LPUSH => $_[0], any('a' .. 'd') ]) },
    sub { ([ RPOP => $_[0] ]) },
    sub { ([ LTRIM => $_[0], 0, 2 ]) },
    sub { ([ LINSERT => $_[0], 'BEFORE', 'a', 'n' ]) },
    sub { ([ LREM => $_[0], 0, 'a' ]) },
    sub { ([ ZADD => $_[0], int rand 10, any('a' .. 'd') ]) },
    sub { ([ ZREM => $_[0], any('a' .. 'd') ]) },
    sub { ([ ZINCRBY => $_[0], 3, any('a' .. 'd') ]) },
    sub { ([ ZREMRANGEBYRANK => $_[0], 0, 0 ]) },
    sub { ([ ZUNIONSTORE => $_[1], 1, $_[0] ]) },
    sub { ([ EVAL => "return redis.call('DEL', '$_[0]')", 0 ]) },
    sub { ([ [ INCR => $_[0] ], [ SET => $_[1], 'm' ] ]) },
    sub { ([ [ RPUSH => $_[0], 'm' ], [ DEL => $_[1] ] ]) },
);

my @readers = (
    sub { [ GET => $_[0] ] }, sub { [ HGETALL => $_[0] ] },
    sub { [ SMEMBERS => $_[0] ] }, sub { [ LRANGE => $_[0], 0, -1 ] },
    sub { [ ZRANGE => $_[0], 0, -1, 'WITHSCORES' ] },
    sub { [ TYPE => $_[0] ] }, sub { [ EXISTS => $_[0] ] },
    sub { [ STRLEN => $_[0] ] }, sub { [ HLEN => $_[0] ] },
    sub { [ HMGET => $_[0], 1, 2 ] }, sub { [ LLEN => $_[0] ] },
    sub { [ LINDEX => $_[0], 0 ] }, sub { [ SCARD => $_[0] ] },
    sub { [ SISMEMBER => $_[0], 'a' ] }, sub { [ ZCARD => $_[0] ] },
    sub { [ ZSCORE => $_[0], 'a' ] }, sub { [ MGET => $_[0], $_[1] ] },
);

my @whole = @readers[0 .. 4];
my (@wrong, @last);

for my $step (1 .. $steps) {
    my ($k, $l) = map { 'any:' . int rand 4 } 1 .. 2;
    my $change = any(@makers)->($k, $l);
    my $who = any('a client', @pids);

    # memory is to know something of both: by one worker or several, and
    # what fits their types

    for my $key ($k, $l) {
        $t->ask(any(@pids), @{ any(@whole)->($key, $l) }) for 1 .. 2;
        my $type = $redis->cmd('TYPE', $key);
        my %fits = (string => 0, hash => 1, set => 2, list => 3, zset => 4,
                    none => int rand 5);
        $t->ask(any(@pids), @{ $whole[$fits{$type}]->($key) });
    }

    my $delay = $t->delay;
    $who eq 'a client' ? by_redis($change) : by_worker($who, $change);

    my $acked = now();
    my @some = map { my $key = $_; map { any(@readers)->($key, $k) } 1 .. 2 }
                   $k, $l;
    my ($bad) = $t->stale($acked, $delay, @some);
    my $text = join '; ', map { "@$_" } ref $change->[0] ? @$change : $change;

    push @last, "$text, by $who";
    push @wrong, map { "step $step, $text, by $who: $_" } @$bad;
    last if @wrong > 5;
}

is(join("\n", @wrong), '', "$steps steps, anything by anybody")
    or diag("seed $seed; before:\n", join "\n", @last > 6 ? @last[-6 .. -1]
                                                          : @last);

ok(!grep({ !$_ } $t->store->status->{redis}{tracking}), 'all of it tracked');
is($t->store->status->{outages}, 0, 'and without an outage');

$t->ended;
done_testing;
