# A write that Redis had executed was acknowledged when another worker had made
# its key pending, and memory did not learn of it: reads in the outage were
# older than it, and a change that would undo it was taken for none, so that it
# was never told to Redis.
#
# The same worker with another connection is like another worker.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use ProxyLate;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;


sub answer {
    my ($res) = @_;

    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $json->encode($answer->{result}) : "$res->{status} $res->{body}";
}


sub api {
    my ($t, $conn, @argv) = @_;

    return answer(RF::HTTP::request($t->spread, 'POST', '/api',
                                    body => $json->encode(\@argv),
                                    conn => $conn));
}


# name, what is known, what is changed here, the late write and what to look
# for in Redis until it was executed there; then commands and their answers
# here, and in the end what Redis has

my @cases = (
    [ 'string, INCR', [ [qw(SET n 1)], [qw(GET n)] ], [qw(INCRBY n 5)],
      [qw(INCRBY n 10)], 11, [qw(GET n)], 11,
      [ [[qw(GET n)], '"16"'] ], [qw(GET n)], 16 ],
    [ 'string, SET', [ [qw(SET t old)], [qw(GET t)] ], [qw(APPEND t x)],
      [qw(SET t new)], '"OK"', [qw(GET t)], 'new',
      [ [[qw(GET t)], '"newx"'] ], [qw(GET t)], 'newx' ],
    [ 'string, APPEND', [ [qw(SET a a)], [qw(GET a)] ], [qw(APPEND a c)],
      [qw(APPEND a b)], 2, [qw(GET a)], 'ab',
      [ [[qw(GET a)], '"abc"'] ], [qw(GET a)], 'abc' ],
    [ 'hash', [ [qw(HSET h f 1)], [qw(HGETALL h)] ], [qw(HSET h g 2)],
      [qw(HDEL h f)], 1, [qw(HEXISTS h f)], 0,
      [ [[qw(HGET h f)], 'null'], [[qw(HSETNX h f 3)], 1] ],
      [qw(HGET h f)], 3 ],
    [ 'set', [ [qw(SADD s x)], [qw(SMEMBERS s)] ], [qw(SADD s y)],
      [qw(SREM s x)], 1, [qw(SISMEMBER s x)], 0,
      [ [[qw(SISMEMBER s x)], 0], [[qw(SADD s x)], 1] ],
      [qw(SISMEMBER s x)], 1 ],
    [ 'sorted set', [ [qw(ZADD z 1 a)], [qw(ZRANGE z 0 -1 WITHSCORES)] ],
      [qw(ZADD z 2 b)], [qw(ZADD z 3 c)], 1, [qw(ZSCORE z c)], 3,
      [ [[qw(ZSCORE z c)], '"3"'], [[qw(ZREM z c)], 1] ],
      [qw(ZCARD z)], 2 ],
    [ 'list', [ [qw(RPUSH l a b)], [qw(LRANGE l 0 -1)] ], [qw(LPUSH l y)],
      [qw(RPUSH l z)], 3, [qw(LLEN l)], 3,
      [ [[qw(LRANGE l 0 -1)], '["y","a","b","z"]'], [[qw(LREM l 0 z)], 1] ],
      [qw(LLEN l)], 3 ],
);


sub late_replies {
    my ($workers, $connections) = @_;

    my $name = "$workers workers, connections $connections";
    my $redis = RF::Redis->new;
    my $proxy = ProxyLate->start($redis);

    # replies are given up after long; a connection that cannot be made at once

    my $t = Outage->new(workers => $workers, redis => $proxy,
                        server => "location /api {\n"
                                  . " redis_fallback_api app;\n}\n",
                        store  => { timeout     => '20s',
                                    connections => $connections });

    my $conns = $t->conns;
    my ($one, $two) = @{$conns}{sort keys %$conns};

    my @waiting;

    $two ||= RF::Conn->new($t->spread);

    for my $case (@cases) {
        api($t, $one, @$_) for @{ $case->[1] };
    }

    api($t, $two, 'PING');

    # one worker has sent them, and Redis has executed them

    $proxy->set('hold', $cases[0][3][0]);
    $one->write(RF::HTTP::format_request('POST', '/api/pipeline',
        body => $json->encode([ map { $_->[3] } @cases ]), keepalive => 1),
        now() + slow(5));

    for my $case (@cases) {
        ok(wait_for(sub { $redis->cmd(@{ $case->[5] }) eq $case->[6] }),
           "$case->[0]: executed");
    }

    # the other one finds Redis gone

    $proxy->set('cut');
    ok(wait_for(sub { $proxy->has('done') }), "$name: cut off");

    if ($connections > 1) {

        # somebody else needs a connection that is gone

        for my $i (1 .. 16) {
            my $conn = RF::Conn->new($t->spread);
            $conn->write(RF::HTTP::format_request('GET', "/kv/wait$i"),
                         now() + slow(5));
            push @waiting, $conn;
        }

        ok($t->wait_fallback, "$name: another of its connections");

    } else {
        ok(wait_for(sub { api($t, $two, 'GET', 'nothing');
                          $t->mode eq 'fallback' }), "$name: by a read");
    }

    for my $case (@cases) {
        unlike(api($t, $two, @{ $case->[2] }), qr/ /,
               "$case->[0]: changed here");
    }

    is($t->mode, 'fallback', "$name: fallback");

    $proxy->set('release');
    my $res = RF::HTTP::read_response($one, 'POST', now() + slow(10));
    my $replies = eval { $json->decode($res->{body}) } || [];

    for my $i (0 .. $#cases) {
        is($json->encode($replies->[$i]{result}), $cases[$i][4],
           "$cases[$i][0]: acknowledged");
    }

    for my $case (@cases) {
        is(api($t, $two, @{ $_->[0] }), $_->[1], "$case->[0]: @{ $_->[0] }")
            for @{ $case->[7] };
    }

    is($t->mode, 'fallback', "$name: still in the outage");

    $proxy->drop($_) for qw(cut hold);
    ok($t->wait_normal(slow(30)), "$name: normal");

    is($redis->cmd(@{ $_->[8] }), $_->[9], "$_->[0]: in Redis") for @cases;

    ok($t->nginx->stop, 'stops');
    $t->nginx->check_logs;
    CORE::kill('KILL', $proxy->{pid});
    waitpid $proxy->{pid}, 0;
}


late_replies(2, 1);
late_replies(1, 4);

done_testing;
