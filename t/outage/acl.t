# docs/operations.md lists what an ACL user needs for what nginx does beside the
# commands of its locations.  With no more than that, a recovery of everything
# that can be pending is refused nothing; and each of it is used.

use strict;
use warnings;

use lib 't/lib';
use RF;
use OutageApi;


# the list: rows of the table below that paragraph

sub documented {
    my ($table) = RF::slurp('docs/operations.md')
                  =~ /^- \*\*An ACL user\*\*.*?\n\n(.*)/ms;

    $table =~ s{\\\|}{|}g;
    return $table =~ /`([+&~]\S+)`/g;
}

my @rules = documented();
my @commands = map { /^\+(.*)/ ? $1 : () } @rules;
my %calls;

cmp_ok(scalar(@commands), '>', 40, 'the list is found');


# keys of which nginx knows all; of those that begin with u: it knows nothing

my @known = (
    [ SET => 'k:s', 'a' ], [ SET => 'k:n', 5 ], [ SET => 'k:gone', 'a' ],
    [ HSET => 'k:h', 'a', 1, 'b', 2 ], [ RPUSH => 'k:l', 1 .. 5 ],
    [ SADD => 'k:m', 'a', 'b' ], [ ZADD => 'k:z', 1, 'a', 2, 'b' ],
    [ RPUSH => 'k:r', 1 .. 5 ], [ HSET => 'k:d', 'a', 1 ],
    [ SADD => 'k:o', 'a' ], [ ZADD => 'k:p', 1, 'a' ],
);

my @reads = (
    [ GET => 'k:s' ], [ GET => 'k:n' ], [ GET => 'k:gone' ],
    [ HGETALL => 'k:h' ], [ LRANGE => 'k:l', 0, -1 ], [ SMEMBERS => 'k:m' ],
    [ ZRANGE => 'k:z', 0, -1, 'WITHSCORES' ], [ LRANGE => 'k:r', 0, -1 ],
    [ HGETALL => 'k:d' ], [ SMEMBERS => 'k:o' ],
    [ ZRANGE => 'k:p', 0, -1, 'WITHSCORES' ],
);

my @changes = (
    [ SET => 'k:s', 'b' ], [ INCR => 'k:n' ], [ DECR => 'k:n' ],
    [ DEL => 'k:gone' ], [ HSET => 'k:h', 'c', 3 ], [ HDEL => 'k:h', 'a' ],
    [ HINCRBY => 'k:h', 'b', 1 ], [ LPOP => 'k:l' ], [ RPOP => 'k:l' ],
    [ RPUSH => 'k:l', 'x' ], [ LPUSH => 'k:l', 'y' ], [ SADD => 'k:m', 'c' ],
    [ SREM => 'k:m', 'a' ], [ ZADD => 'k:z', 3, 'c' ], [ ZREM => 'k:z', 'a' ],
    [ ZINCRBY => 'k:z', 2, 'b' ], [ LSET => 'k:r', 0, 'x' ],

    [ SET => 'u:s', 'a' ], [ SET => 'u:e', 'a', 'EX', 100 ],
    [ INCRBY => 'u:n', 5 ], [ INCRBYFLOAT => 'u:f', '1.5' ],
    [ APPEND => 'u:a', 'x' ], [ SETRANGE => 'u:r', 2, 'x' ],
    [ HSET => 'u:h', 'a', 1 ], [ HINCRBYFLOAT => 'u:h', 'f', '1.5' ],
    [ EXPIRE => 'u:h', 100 ], [ PERSIST => 'u:h' ],
    [ RPUSH => 'u:l', 1, 2 ], [ EXPIRE => 'u:l', 100 ],
    [ LREM => 'u:l', 0, 2 ], [ LTRIM => 'u:l', 0, 5 ],
    [ LSET => 'u:l', 0, 'x' ], [ LINSERT => 'u:l', 'BEFORE', 'x', 'w' ],
    [ SADD => 'u:m', 'a' ], [ ZADD => 'u:z', 'GT', 1, 'a' ],
    [ ZREMRANGEBYRANK => 'u:z', 5, 6 ], [ ZREMRANGEBYSCORE => 'u:z', 5, 6 ],
    [ ZREMRANGEBYLEX => 'u:z', '[x', '[y' ],

    [ DEL => 'k:d' ], [ HSET => 'k:d', 'b', 2 ], [ EXPIRE => 'k:d', 100 ],
    [ DEL => 'k:o' ], [ SADD => 'k:o', 'b' ],
    [ DEL => 'k:p' ], [ ZADD => 'k:p', 2, 'b' ],
    [ RPUSH => 'k:big', 1 .. 12000 ],
    [ DEL => 'k:more' ], map { [ RPUSH => 'k:more', 1 .. 6000 ] } 1 .. 2,
);


sub recovers {
    my ($conflict) = @_;

    my $name = "on_conflict $conflict";
    my $redis = shared_redis(acl =>
        "user default on nopass ~* &* +\@all\n"
        . "user nginx on >secret ~k:* ~u:* ~none resetchannels -\@all @rules\n");
    my $t = api_store($redis, { on_conflict => $conflict });

    $redis->cmd(@$_) for @known;

    for (@reads, @reads) {
        my $is = api($t, @$_);
        unlike($is, qr/^\d+ /, "$name: @$_");
    }

    is_deeply(denied($redis), [], "$name: reads are refused nothing");

    cut_off($redis, $t);

    for (@changes) {
        my $is = api($t, @$_);
        unlike($is, qr/^\d+ /, "$name: $_->[0] $_->[1]") or diag($is);
    }

    # conflicts, of all types

    $redis->cmd('SET', 'k:s', 'theirs');
    $redis->cmd('RPUSH', 'k:r', 'theirs');
    $redis->cmd('HSET', 'k:d', 'theirs', 1);
    $redis->cmd('SADD', 'k:o', 'theirs');
    $redis->cmd('ZADD', 'k:p', 1, 'theirs');
    $redis->cmd('CONFIG', 'RESETSTAT');

    let_in($redis);
    ok($t->wait_normal(30), "$name: normal again")
        or diag(explain($t->status));

    # what was merged is read back at leisure

    my @back = qw(strlen hlen scard zcard);
    ok(wait_for(sub {
           my $calls = $redis->calls;
           return !grep { !$calls->{$_} } @back;
       }), "$name: read back") or diag(explain($redis->calls));

    is_deeply(denied($redis), [], "$name: nothing is refused");
    is($t->status->{recovery}{failed}, 0, "$name: nothing is set aside");

    my $calls = $redis->calls;
    $calls{$_} += $calls->{$_} for keys %$calls;

    ended($t);
}


# what Redis has refused the user, but for its password

sub denied {
    my ($redis) = @_;

    my $log = $redis->cmd('ACL', 'LOG');
    my @all = map { my %entry = @$_; \%entry } @$log;

    return [ map { "$_->{reason} $_->{object}" }
             grep { $_->{reason} ne 'auth' } @all ];
}


plan skip_all => 'subcommands of an ACL need Redis 7'
    if RF::Redis::version() < 70000;

recovers($_) for qw(local remote);

my %seldom = map { $_ => 1 }
             qw(client|kill client|tracking client|id subscribe info dbsize
                setrange get);

is(join(' ', grep { !$calls{$_} && !$seldom{$_} } @commands), '',
   'all of the list is used at a replay');

done_testing;
