/*
 * Sorted sets against a real redis-server: the doubtful cases.
 */

#include "diff.h"


static const char  *diff_zset_lines[] = {
    "set s 1",
    "zadd z", "zadd z 1", "zadd z 1 a 2", "zadd z nx", "zadd z nx xx",
    "zadd z nx xx 1", "zadd z nx xx 1 a", "zadd z nx gt 1 a",
    "zadd z nx lt 1 a", "zadd z gt lt 1 a", "zadd z gt lt x a",
    "zadd z incr 1 a 2 b", "zadd z incr nx xx 1 a 2 b", "zadd z x a",
    "zadd z foo 1 a", "zadd s nx xx 1 a", "zadd s x a", "zadd s 1 a",
    "zadd s incr 1 a", "zadd z xx 1 a", "exists z", "zadd z xx incr 1 a",
    "zadd z  a", "zadd z  1 a", "zadd z nan a", "zadd z 1 a nan b",
    "zadd z 1e400 a", "zadd z -1e400 a", "zadd z 1e-400 a", "exists z",
    "zadd z 0x10 hex", "zadd z 1e308 big",
    "zadd z inf i1 +inf i2 Infinity i3 -INF i4",
    "zadd z 3.0 three", "zadd z 1e3 e3",
    "zadd z .5 half", "zadd z 5. five", "zadd z 1e22 e22 1e300 e300",
    "zadd z 0.1 tenth 1e-320 denormal 123456.789 d",
    "zadd z 9007199254740993 odd 1e15 e15 1e16 e16 -1e15 m15",
    "zadd z 999999999999999 e15a 99999999999999999 e17",
    "zadd z 00000000000000000000000000000000000000000000000000001 long",
    "zrange z 0 -1 withscores", "zscore z odd", "zadd z -0 zero",
    "zscore z zero", "zadd z incr -0 zero2", "zscore z zero2",
    "zincrby z -0 zero", "zadd z ch 0 zero -0 zero2", "zcount z -0 -0",
    "zrange z 0 0 byscore", "zadd z nx nx ch CH 1 a 2 a 3 b 3 b",
    "zadd z XX ch 5 a 6 a 6 a 7 nosuch", "zadd z GT ch 1 a 7 a 7 a 8 new",
    "zadd z lt ch 9 a 6 a 6 a 8 new2", "zadd z xx gt ch 9 a 9 x",
    "zadd z incr gt 1 a", "zadd z incr gt -1 a", "zadd z incr lt 1 a",
    "zadd z incr lt -1 a", "zadd z incr xx 1 nosuch",
    "zadd z incr nx 1 a", "zadd z incr gt 0 a", "zadd z incr -inf i1",
    "zadd z incr inf i4", "zincrby z -inf i1", "zincrby z inf i1",
    "zincrby z nan a", "zincrby z x a", "zincrby z nx 5", "zincrby z 1",
    "zincrby z 1 a b", "zincrby z ch 1", "zincrby s 1 a", "zincrby s x a",
    "zincrby z 0.1 a", "zincrby z 1e308 big", "zincrby z 1e308 big",
    "zincrby z 5 fresh", "zrange z 0 -1 withscores",
    "zscan z 0 count 1000 match e22*",
    "zscore s a", "zscore no a", "zscore z no", "zmscore s a",
    "zmscore no a b", "zmscore z a no a", "zmscore z", "zcard s",
    "zcard no", "zcard z", "zrank s a", "zrank no a", "zrank z no",
    "zrank z a", "zrevrank z a", "zrank z a withscore",
    "zcount z x y", "zcount s x y", "zcount s 1 2", "zcount no x 1",
    "zcount no 1 2", "zcount z (1 (5", "zcount z 5 1", "zcount z  1",
    "zcount z (  1", "zcount z 1 1e400", "zcount z (inf inf",
    "zcount z -inf (-inf", "zcount z -inf -inf", "zcount z inf inf",
    "zcount z ((1 2", "zcount z [1 2", "zcount z nan 1", "zcount z 1 nan",
    "zcount z 1x 2", "zcount z - +", "zcount z 1 2 3",
    "zrange z a b", "zrange z 0 a", "zrange s a b", "zrange s 0 1",
    "zrange no a b", "zrange no 0 1", "zrange z 0 -1 foo",
    "zrange z a b foo", "zrange z 0 -1 limit 1", "zrange z 0 -1 limit 1 2",
    "zrange z 0 -1 limit x 2", "zrange z 0 -1 limit 1 x",
    "zrange z 0 -1 limit 1 -1", "zrange z 0 -1 limit 1 -2",
    "zrange z 0 -1 rev rev", "zrange z 0 -1 REV", "zrange z 1 2 rev",
    "zrange z 0 -1 byscore bylex", "zrange z 0 -1 bylex byscore",
    "zrange z 0 -1 byscore byscore", "zrange z 0 -1 bylex withscores",
    "zrange z x -1 bylex withscores", "zrange z 0 1 bylex",
    "zrange z x 1 byscore", "zrange z 10 0 byscore rev withscores",
    "zrange z 0 10 byscore rev", "zrange z (1 inf byscore limit 2 3",
    "zrange z inf (1 byscore limit 2 3 rev withscores",
    "zrange z 0 100 byscore limit -1 5", "zrange z 0 100 byscore limit 1 0",
    "zrange z 0 100 byscore limit 5 -7 withscores withscores",
    "zrange z 0 100 byscore limit 9223372036854775807 1",
    "zrange z 0 100 byscore limit 1 9223372036854775807",
    "zrange z 0 100 byscore limit 1 9223372036854775808",
    "zrange z 0 100 byscore limit 1 2 limit 2 1", "zrange z 0",
    "zrange z 5 2", "zrange z -3 -1", "zrange z -1 -3", "zrange z 100 200",
    "zrange z -200 -100", "zrange z -200 0", "zrange z 0 200",
    "zrange z -9223372036854775808 9223372036854775807",
    "zrange z 9223372036854775807 -9223372036854775808",
    "zrevrange z 0 2 withscores", "zrevrange z 0 -1 rev",
    "zrevrange z 0 -1 bylex", "zrevrange z 0 -1 byscore",
    "zrevrange z 0 -1 limit 0 1", "zrevrange z 0 -1 limit 0 -1",
    "zrevrange z -2 -1", "zrevrange z 100 200", "zrevrange s 0 x",
    "zrangebyscore z 1 5 rev", "zrangebyscore z 1 5 limit 0 1 withscores",
    "zrangebyscore z 5 1", "zrangebyscore z  1 5", "zrangebyscore z x 5",
    "zrangebyscore s x 5 foo", "zrangebyscore s 1 5", "zrangebyscore no 1 5",
    "zrevrangebyscore z 5 1", "zrevrangebyscore z 1 5",
    "zrevrangebyscore z x 5", "zrevrangebyscore z +inf (0 limit 1 2",
    "zadd l 0 a 0 aa 0 b 0 ba 0 c 0 ", "zrangebylex l - +",
    "zrangebylex l + -", "zrangebylex l - -", "zrangebylex l + +",
    "zrangebylex l [a [b", "zrangebylex l (a (b", "zrangebylex l [b [a",
    "zrangebylex l [a [a", "zrangebylex l (a (a", "zrangebylex l [a (a",
    "zrangebylex l [ +", "zrangebylex l ( +", "zrangebylex l ( [",
    "zrangebylex l [ [", "zrangebylex l a b", "zrangebylex l  b",
    "zrangebylex l +a b", "zrangebylex l -- +", "zrangebylex l - ++",
    "zrangebylex l (aaa [bb limit 0 1", "zrangebylex l - + limit -1 2",
    "zrangebylex l - + limit 2 -1", "zrangebylex l - + limit 10 1",
    "zrangebylex l - + withscores", "zrangebylex l - + rev",
    "zrangebylex s - x", "zrangebylex s - +", "zrangebylex no - +",
    "zrevrangebylex l + -", "zrevrangebylex l - +",
    "zrevrangebylex l (c (a limit 1 1", "zrange l [c [a bylex rev",
    "zrange l - + bylex limit 1 2", "zlexcount l - +", "zlexcount l (a [c",
    "zlexcount l x y", "zlexcount s x y", "zlexcount s - +",
    "zlexcount no - +", "zlexcount no x +", "zlexcount l [zz [a",
    "zpopmin z -1", "zpopmin z x", "zpopmin s x", "zpopmin s -1",
    "zpopmin s 0", "zpopmin s", "zpopmin no 0", "zpopmin no",
    "zpopmin no x", "zpopmin z 1 2", "zpopmin z x y", "zpopmin z 0",
    "zpopmin z", "zpopmax z", "zpopmin z 3", "zpopmax z 3",
    "zpopmax z 9223372036854775808", "zpopmin l 1000", "exists l",
    "zrandmember s", "zrandmember no", "zrandmember no 5",
    "zrandmember no 5 withscores", "zrandmember s x", "zrandmember s 5 foo",
    "zrandmember s 5", "zrandmember z x foo", "zrandmember z 0",
    "zrandmember z 0 withscores", "zrandmember z 1 withscores foo",
    "zrandmember z -9223372036854775808",
    "zrandmember z -9223372036854775808 foo",
    "zrandmember z 9223372036854775807 withscores",
    "zrandmember z -9223372036854775807 withscores",
    "zrandmember z 9223372036854775808", "zrandmember s 0",
    "zrem s a", "zrem no a", "zrem z", "zrem z no", "zrem z a a no half",
    "zremrangebyscore z x y", "zremrangebyscore s x y",
    "zremrangebyscore s 1 2", "zremrangebyscore no 1 2",
    "zremrangebyscore z (1 (5", "zremrangebyscore z 5 1",
    "zremrangebyscore z 1 2 3", "zremrangebyrank z x y",
    "zremrangebyrank z 0 x", "zremrangebyrank s 0 1",
    "zremrangebyrank no 0 1", "zremrangebyrank z 0 0",
    "zremrangebyrank z -1 -1", "zremrangebyrank z 100 200",
    "zremrangebyrank z -3 1", "zremrangebylex z x y",
    "zremrangebylex s - +", "zremrangebylex no - +",
    "zadd l 0 a 0 b 0 c 0 d", "zremrangebylex l (a [c",
    "zremrangebylex l [d [a", "zremrangebylex l - +", "exists l",
    "zscan s x", "zscan s 0", "zscan s 0 foo", "zscan no x",
    "zscan no 0 foo", "zscan z 0 foo", "zscan z x foo",
    "zscan z 0 count", "zscan z 0 count 0", "zscan z 0 count x",
    "zscan z 0 match", "zscan z 0 type zset", "zscan z",
    "zscan no 0 match a", "type z", "zrange z 0 -1 withscores",
    "zremrangebyscore z -inf inf", "type z", "exists z", "zcard z",
    NULL
};


RF_UNIT(differential_zset_lines)
{
    diff_t        d;
    ngx_uint_t    failed;
    const char  **line;

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    failed = 0;

    for (line = diff_zset_lines; *line; line++) {
        failed += !diff_line(&d, *line);
    }

    is_int(failed, 0, "%d lines reply as Redis does",
           (int) (line - diff_zset_lines));

    diff_stop(&d);
}
