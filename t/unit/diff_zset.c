/*
 * Sorted sets against a real redis-server, see differential.c: random commands
 * and chosen ones reply the same and leave the same; and what was done without
 * Redis, replayed, leaves what Redis would have held.
 *
 * Not compared is what Redis leaves open: which members are random, the order
 * of a scan, ranges of members where scores differ.
 */

#include "diff.h"


/* keys z0 to z3 with any scores, of z2 with many members; l0 and l1, whose
 * scores are 0; "s", a string */
#define DIFF_ZSET_KEYS  7


static void diff_zset_make(diff_t *d, diff_cmd_t *c);
static void diff_zset_make_write(diff_t *d, diff_cmd_t *c);
static void diff_zset_make_read(diff_t *d, diff_cmd_t *c);
static void diff_zset_make_range(diff_t *d, diff_cmd_t *c);
static void diff_zset_make_lex(diff_t *d, diff_cmd_t *c);
static void diff_zset_make_add(diff_t *d, diff_cmd_t *c);
static void diff_zset_key(diff_t *d, diff_cmd_t *c);
static void diff_zset_lex_key(diff_t *d, diff_cmd_t *c);
static void diff_zset_member(diff_t *d, diff_cmd_t *c);
static void diff_zset_score(diff_t *d, diff_cmd_t *c);
static void diff_zset_bound(diff_t *d, diff_cmd_t *c);
static void diff_zset_name(diff_t *d, diff_cmd_t *c);
static void diff_zset_limit(diff_t *d, diff_cmd_t *c);
static ngx_uint_t diff_zset_same(diff_cmd_t *c, ngx_rf_reply_t *ours,
    redisReply *theirs);
static ngx_uint_t diff_zset_state(diff_t *d);
static void diff_zset_merging(diff_t *d, diff_cmd_t *c);
static void diff_zset_replay(diff_t *d);
static void diff_zset_replay_record(diff_t *d, ngx_rf_record_t *rec);
static void diff_zset_replay_argv(diff_t *d, ngx_str_t *key, ngx_uint_t argc,
    ngx_str_t *argv);
static ngx_uint_t diff_zset_dbs(diff_t *d, const char *key);


RF_UNIT(differential_zset)
{
    char            *env;
    diff_t           d;
    ngx_uint_t       i, n, failed;
    ngx_pool_t      *temp;
    diff_cmd_t       c;
    redisReply      *theirs;
    ngx_rf_reply_t  *ours;

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    env = getenv("RF_UNIT_COMMANDS");
    n = env ? (ngx_uint_t) atoi(env) : DIFF_COMMANDS;

    ok(diff_line(&d, "set s 1"), "a string");

    for (i = 0, failed = 0; i < n && failed < 10; i++) {

        temp = ngx_create_pool(4096, log);

        diff_zset_make(&d, &c);

        ours = diff_local(&d, temp, &c);
        theirs = diff_redis(&d, &c);

        if (theirs == NULL || ours == NULL || ours == &diff_needs_redis
            || !diff_zset_same(&c, ours, theirs))
        {
            diff_print(&c, ours, theirs);
            failed++;
        }

        freeReplyObject(theirs);
        ngx_destroy_pool(temp);

        if (i % 100 == 0) {
            failed += diff_zset_state(&d);
        }
    }

    is_int(failed, 0, "%d random commands (seed %llu) reply as Redis does",
           (int) i, (unsigned long long) d.seed);
    is_int(diff_zset_state(&d), 0, "and leave the same");

    diff_stop(&d);
}


RF_UNIT(differential_zset_lines)
{
    diff_t        d;
    ngx_uint_t    failed;
    const char  **line;

    static const char  *lines[] = {
        "set s 1",
        "zadd z", "zadd z 1", "zadd z 1 a 2", "zadd z nx", "zadd z nx xx",
        "zadd z nx xx 1", "zadd z nx xx 1 a", "zadd z nx gt 1 a",
        "zadd z nx lt 1 a", "zadd z gt lt 1 a", "zadd z gt lt x a",
        "zadd z incr 1 a 2 b", "zadd z incr nx xx 1 a 2 b", "zadd z x a",
        "zadd z foo 1 a", "zadd s nx xx 1 a", "zadd s x a", "zadd s 1 a",
        "zadd s incr 1 a", "zadd z xx 1 a", "exists z", "zadd z xx incr 1 a",
        "zadd z  a", "zadd z  1 a", "zadd z nan a", "zadd z 1 a nan b",
        "zadd z 1e400 a", "zadd z -1e400 a", "zadd z 1e-400 a", "exists z",
        "zadd z 0x10 hex", "zadd z 1e308 big", "zadd z inf i1 +inf i2 "
        "Infinity i3 -INF i4", "zadd z 3.0 three", "zadd z 1e3 e3",
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

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    failed = 0;

    for (line = lines; *line; line++) {
        failed += !diff_line(&d, *line);
    }

    is_int(failed, 0, "%d lines reply as Redis does",
           (int) (sizeof(lines) / sizeof(lines[0]) - 1));

    diff_stop(&d);
}


/*
 * Database 0 has what Redis held when it went away, and gets what is replayed;
 * database 1 starts the same and gets the commands themselves.  Memory knows
 * nothing of u0 and u1, and all of the others.
 */

RF_UNIT(differential_zset_replay)
{
    char        *env;
    diff_t       d;
    ngx_uint_t   i, n, db, differ;
    ngx_pool_t  *temp;
    diff_cmd_t   c;
    const char **key;

    static const char  *keys[] = {
        "u0", "u1", "z0", "z1", "z2", "z3", "l0", "l1", NULL
    };

    static const char  *names[] = { "m", "g", "h" };

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    for (db = 0; db < 2; db++) {
        freeReplyObject(redisCommand(d.redis, "select %d", (int) db));

        for (i = 0; i < 30; i++) {
            freeReplyObject(redisCommand(d.redis, "zadd u%d %d %s%d",
                                         (int) i % 2, (int) i * 3 - 40,
                                         names[i % 3], (int) i % 10));
        }
    }

    for (key = &keys[2]; *key; key++) {
        temp = ngx_create_pool(4096, log);
        c.argc = 0;
        c.p = c.buf;
        diff_arg(&c, "del");
        diff_arg(&c, "%s", *key);
        (void) diff_local(&d, temp, &c);
        ngx_destroy_pool(temp);
    }

    env = getenv("RF_UNIT_COMMANDS");
    n = (env ? (ngx_uint_t) atoi(env) : DIFF_COMMANDS) / 4;

    for (i = 0; i < n; i++) {

        temp = ngx_create_pool(4096, log);

        if (diff_random(&d, 2)) {
            diff_zset_merging(&d, &c);

        } else {
            diff_zset_make(&d, &c);
        }

        freeReplyObject(redisCommand(d.redis, "select 1"));
        freeReplyObject(diff_redis(&d, &c));

        if (diff_local(&d, temp, &c) == NULL) {
            diff_print(&c, NULL, NULL);
        }

        ngx_destroy_pool(temp);

        if (diff_random(&d, 200) == 0) {
            diff_zset_replay(&d);
        }
    }

    for (i = 0; i < 100 && d.zone.sh->npending; i++) {
        diff_zset_replay(&d);
    }

    is_int(d.zone.sh->npending, 0, "all is replayed");

    for (key = keys, differ = 0; *key; key++) {
        differ += diff_zset_dbs(&d, *key);
    }

    is_int(differ, 0, "and Redis holds what it would have held (seed %llu)",
           (unsigned long long) d.seed);

    diff_stop(&d);
}


static void
diff_zset_make(diff_t *d, diff_cmd_t *c)
{
    c->argc = 0;
    c->p = c->buf;

    switch (diff_random(d, 10)) {

    case 0: case 1: case 2:
        diff_zset_make_add(d, c);
        return;

    case 3: case 4:
        diff_zset_make_write(d, c);
        return;

    case 5: case 6:
        diff_zset_make_read(d, c);
        return;

    case 7: case 8:
        diff_zset_make_range(d, c);
        return;

    default:
        diff_zset_make_lex(d, c);
    }
}


static void
diff_zset_make_add(diff_t *d, diff_cmd_t *c)
{
    ngx_uint_t  n;

    switch (diff_random(d, 8)) {

    case 0:
        diff_option(d, c, "zincrby");
        diff_zset_key(d, c);
        diff_zset_score(d, c);
        diff_zset_member(d, c);
        return;

    case 1:
        diff_option(d, c, "zadd");
        diff_zset_lex_key(d, c);

        do {
            diff_arg(c, "0");
            diff_zset_member(d, c);
        } while (diff_random(d, 5));

        return;
    }

    diff_option(d, c, "zadd");
    diff_zset_key(d, c);

    while (diff_random(d, 3) == 0) {
        diff_option(d, c, "nx xx gt lt ch ch incr");
    }

    for (n = 1 + diff_random(d, 12); n; n--) {
        diff_zset_score(d, c);
        diff_zset_member(d, c);
    }
}


static void
diff_zset_make_write(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 16)) {

    case 0:
        diff_option(d, c, "zremrangebyscore");
        diff_zset_key(d, c);
        diff_zset_bound(d, c);
        diff_zset_bound(d, c);
        return;

    case 1: case 2:
        diff_option(d, c, "zremrangebyrank");
        diff_zset_key(d, c);
        diff_arg(c, "%d", (int) diff_random(d, 300) - 20);
        diff_arg(c, "%d", (int) diff_random(d, 100) - 50);
        return;

    case 3:
        diff_option(d, c, "zremrangebylex");
        diff_zset_lex_key(d, c);
        diff_zset_name(d, c);
        diff_zset_name(d, c);
        return;

    case 4: case 5: case 6:
        diff_option(d, c, "zpopmin zpopmax");
        diff_zset_key(d, c);

        if (diff_random(d, 2)) {
            diff_arg(c, "%d", (int) diff_random(d, 12) - 1);
        }

        return;

    case 7:
        diff_option(d, c, "del exists type expire persist zcard");
        diff_zset_key(d, c);

        if (c->argv[0].len == 6 && (c->argv[0].data[0] | 0x20) == 'e'
            && (c->argv[0].data[2] | 0x20) == 'p')
        {
            diff_arg(c, "1000");
        }

        return;

    default:
        diff_option(d, c, "zrem");
        diff_zset_key(d, c);

        do {
            diff_zset_member(d, c);
        } while (diff_random(d, 3));
    }
}


static void
diff_zset_make_read(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 6)) {

    case 0:
        diff_option(d, c, "zscore zrank zrevrank");
        diff_zset_key(d, c);
        diff_zset_member(d, c);
        return;

    case 1:
        diff_option(d, c, "zmscore");
        diff_zset_key(d, c);

        do {
            diff_zset_member(d, c);
        } while (diff_random(d, 3));

        return;

    case 2:
        diff_option(d, c, "zcount");
        diff_zset_key(d, c);
        diff_zset_bound(d, c);
        diff_zset_bound(d, c);
        return;

    case 3:
        diff_option(d, c, "zcard type exists");
        diff_zset_key(d, c);
        return;

    case 4:
        diff_option(d, c, "zrandmember");
        diff_zset_key(d, c);

        if (diff_random(d, 4) == 0) {
            return;
        }

        diff_option(d, c, "-7 1 5 20 100 100000 0 x");

        if (diff_random(d, 2)) {
            diff_option(d, c, "withscores withscores withscores foo");
        }

        return;

    default:
        diff_option(d, c, "zscan");
        diff_zset_key(d, c);
        diff_arg(c, "0");
        diff_arg(c, "count");
        diff_arg(c, "100000");

        if (diff_random(d, 2)) {
            diff_arg(c, "match");
            diff_option(d, c, "m* *1* m1? * x");
        }
    }
}


static void
diff_zset_make_range(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 5)) {

    case 0:
        diff_option(d, c, "zrange zrevrange");
        diff_zset_key(d, c);
        diff_number(d, c);
        diff_number(d, c);
        break;

    case 1: case 2:
        diff_option(d, c, "zrangebyscore zrevrangebyscore");
        diff_zset_key(d, c);
        diff_zset_bound(d, c);
        diff_zset_bound(d, c);
        break;

    default:
        diff_option(d, c, "zrange");
        diff_zset_key(d, c);
        diff_zset_bound(d, c);
        diff_zset_bound(d, c);
        diff_arg(c, "byscore");

        if (diff_random(d, 2)) {
            diff_option(d, c, "rev");
        }
    }

    diff_zset_limit(d, c);

    if (diff_random(d, 2)) {
        diff_option(d, c, "withscores");
    }

    if (diff_random(d, 20) == 0) {
        diff_option(d, c, "rev bylex foo limit");
    }
}


static void
diff_zset_make_lex(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 3)) {

    case 0:
        diff_option(d, c, "zlexcount");
        break;

    case 1:
        diff_option(d, c, "zrangebylex zrevrangebylex");
        break;

    default:
        diff_option(d, c, "zrange");
    }

    diff_zset_lex_key(d, c);
    diff_zset_name(d, c);
    diff_zset_name(d, c);

    if (c->argv[0].len == 9) {
        return;
    }

    if (c->argv[0].len == 6) {
        diff_arg(c, "bylex");

        if (diff_random(d, 2)) {
            diff_option(d, c, "rev");
        }
    }

    diff_zset_limit(d, c);

    if (diff_random(d, 20) == 0) {
        diff_option(d, c, "withscores foo limit");
    }
}


static void
diff_zset_limit(diff_t *d, diff_cmd_t *c)
{
    if (diff_random(d, 3)) {
        return;
    }

    diff_option(d, c, "limit");
    diff_arg(c, "%d", (int) diff_random(d, 20) - 2);
    diff_arg(c, "%d", (int) diff_random(d, 20) - 2);
}


static void
diff_zset_key(diff_t *d, diff_cmd_t *c)
{
    ngx_uint_t  n;

    n = diff_random(d, 40);

    if (n == 0) {
        diff_arg(c, "s");

    } else {
        diff_arg(c, "z%d", (int) n % 4);
    }
}


static void
diff_zset_lex_key(diff_t *d, diff_cmd_t *c)
{
    diff_arg(c, "l%d", (int) diff_random(d, 2));
}


/* z2 gets so many that its trees are more than one node high; members that
 * look like numbers are kept as such in Redis */

static void
diff_zset_member(diff_t *d, diff_cmd_t *c)
{
    char      buf[200];
    size_t    i, n;
    uint64_t  max;

    max = c->argc > 1 && c->argv[1].len == 2 && c->argv[1].data[1] == '2'
          ? 5000 : 30;

    switch (diff_random(d, 12)) {

    case 0:
        diff_arg(c, "%d", (int) diff_random(d, 30) - 10);
        return;

    case 1:
        n = diff_random(d, 4);

        for (i = 0; i < n; i++) {
            buf[i] = (char) ("\0ab\xff"[diff_random(d, 4)]);
        }

        diff_bytes(c, buf, n);
        return;

    case 2:
        n = diff_random(d, sizeof(buf));
        ngx_memset(buf, 'm', n);
        diff_bytes(c, buf, n);
        return;

    default:
        diff_arg(c, "m%d", (int) diff_random(d, max));
    }
}


/* no negative zeros, and no integers from 1e17 to 2^62, of which a scan of
 * small sets in Redis shows all digits: that depends on how the set is kept */

static void
diff_zset_score(diff_t *d, diff_cmd_t *c)
{
    static const char  *odd[] = {
        "inf", "-inf", "+inf", "Infinity", "1e300", "-1e300", "1e22", "0x1p3",
        "9007199254740993", "1e-320", "x", "", " 1", "1 ", "nan", "1e400"
    };

    switch (diff_random(d, 30)) {

    case 0:
        diff_arg(c, "%s", odd[diff_random(d, sizeof(odd) / sizeof(odd[0]))]);
        return;

    case 1: case 2: case 3: case 4: case 5:
        diff_arg(c, "%.2f", (double) diff_random(d, 20000) / 100 - 60);
        return;

    case 6:
        diff_arg(c, "%.17g", (double) diff_random(d, 1000000) / 7);
        return;

    default:
        diff_arg(c, "%d", (int) diff_random(d, 200) - 60);
    }
}


static void
diff_zset_bound(diff_t *d, diff_cmd_t *c)
{
    static const char  *odd[] = {
        "(inf", "(-inf", "", "(", " 5", "( 5", "nan", "(nan", "1e400", "x",
        "((5", "5x", "+inf", "-inf", "inf", "-inf", "+inf"
    };

    switch (diff_random(d, 5)) {

    case 0:
        diff_arg(c, "%s", odd[diff_random(d, sizeof(odd) / sizeof(odd[0]))]);
        return;

    case 1:
        diff_arg(c, "(%d", (int) diff_random(d, 200) - 60);
        return;

    case 2:
        diff_arg(c, "%.2f", (double) diff_random(d, 20000) / 100 - 60);
        return;

    default:
        diff_arg(c, "%d", (int) diff_random(d, 200) - 60);
    }
}


static void
diff_zset_name(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 8)) {

    case 0:
        diff_option(d, c, "- + [ ( - + x [m [a (b [\xff");
        return;

    case 1:
        diff_option(d, c, "- +");
        return;

    default:
        diff_arg(c, "%cm%d", diff_random(d, 2) ? '[' : '(',
                 (int) diff_random(d, 40));
    }
}


static ngx_uint_t
diff_zset_same(diff_cmd_t *c, ngx_rf_reply_t *ours, redisReply *theirs)
{
    ngx_uint_t  scan;

    scan = ngx_strncasecmp(c->argv[0].data, (u_char *) "zscan", 5) == 0;

    if (scan && theirs->type == REDIS_REPLY_ARRAY) {
        return ours->type == NGX_RF_REPLY_ARRAY && ours->nelts == 2
               && diff_same(c, &ours->elts[0], theirs->element[0])
               && diff_same_keys(&ours->elts[1], theirs->element[1]);
    }

    if (c->argv[0].len != 11
        || ngx_strncasecmp(c->argv[0].data, (u_char *) "zrandmember", 11) != 0)
    {
        return diff_same(c, ours, theirs);
    }

    if (theirs->type == REDIS_REPLY_STRING) {
        return ours->type == NGX_RF_REPLY_STRING;
    }

    if (theirs->type != REDIS_REPLY_ARRAY) {
        return diff_same(c, ours, theirs);
    }

    /* all of them, or some */

    return ours->type == NGX_RF_REPLY_ARRAY
           && (c->argv[2].len == 6 ? diff_same_keys(ours, theirs)
                                   : ours->nelts == theirs->elements);
}


/* the number of keys that differ */

static ngx_uint_t
diff_zset_state(diff_t *d)
{
    ngx_uint_t  i, n;
    char        line[64];

    static const char  *keys[DIFF_ZSET_KEYS] = {
        "z0", "z1", "z2", "z3", "l0", "l1", "s"
    };

    for (i = 0, n = 0; i < DIFF_ZSET_KEYS; i++) {
        sprintf(line, "zrange %s 0 -1 withscores", keys[i]);
        n += !diff_line(d, line);
        sprintf(line, "zcard %s", keys[i]);
        n += !diff_line(d, line);
    }

    return n;
}


/*
 * What merges with members that memory does not know.  Of u1 also GT and LT,
 * each on members of its own: where one of them does nothing by what memory
 * knows, nothing is told.
 */

static void
diff_zset_merging(diff_t *d, diff_cmd_t *c)
{
    int  n, u;

    c->argc = 0;
    c->p = c->buf;
    n = (int) diff_random(d, 15);
    u = (int) diff_random(d, 2);

    switch (diff_random(d, 10)) {

    case 0:
        diff_arg(c, "ZREM");
        diff_arg(c, "u%d", u);
        diff_arg(c, "%c%d", "mgh"[diff_random(d, 3)], n);
        diff_arg(c, "m%d", n);
        return;

    case 1:
        diff_arg(c, "ZREMRANGEBYSCORE");
        diff_arg(c, "u0");
        diff_arg(c, "%d", n * 10 - 70);
        diff_arg(c, "(%d", n * 10 - 65);
        return;

    case 2:
        diff_arg(c, "zremrangebyrank");
        diff_arg(c, "u0");
        diff_arg(c, "%d", n);
        diff_arg(c, "%d", n);
        return;

    case 3:
        if (diff_random(d, 20) == 0) {
            diff_arg(c, "DEL");
            diff_arg(c, "u%d", u);
            return;
        }

        /* fall through */

    case 4: case 5: case 6:
        diff_arg(c, "ZINCRBY");
        diff_arg(c, "u%d", u);
        diff_arg(c, "%.1f", (double) diff_random(d, 200) / 2 - 50);
        diff_arg(c, "m%d", n);
        return;

    case 7:
        diff_arg(c, "ZADD");
        diff_arg(c, "u1");
        u = (int) diff_random(d, 2);
        diff_arg(c, u ? "GT" : "LT");
        diff_arg(c, "%d", (int) diff_random(d, 200) - 100);
        diff_arg(c, "%c%d", u ? 'g' : 'h', n);
        return;

    default:
        diff_arg(c, "ZADD");
        diff_arg(c, "u%d", u);

        do {
            diff_arg(c, "%d", (int) diff_random(d, 200) - 100);
            diff_arg(c, "m%d", (int) diff_random(d, 15));
        } while (diff_random(d, 3));
    }
}


/* all that is pending, to database 0 */

static void
diff_zset_replay(diff_t *d)
{
    ngx_rf_record_t  *rec, *next;

    freeReplyObject(redisCommand(d->redis, "select 0"));

    rec = ngx_rf_zone_replay_take(&d->zone, 100, 1 << 24, ngx_rf_now(), NULL);

    for ( /* void */ ; rec; rec = next) {
        next = rec->next;

        diff_zset_replay_record(d, rec);
        ngx_rf_zone_replay_done(&d->zone, rec, NGX_OK,
                                rec->pending == NGX_RF_REPLACE
                                || rec->complete,
                                ngx_rf_now());
        free(rec);
    }
}


static void
diff_zset_replay_record(diff_t *d, ngx_rf_record_t *rec)
{
    ngx_str_t   argv[3];
    ngx_uint_t  i, n;

    if (rec->pending == NGX_RF_REPLACE) {

        ngx_str_set(&argv[0], "DEL");
        diff_zset_replay_argv(d, &rec->key, 1, argv);

        for (i = 0; rec->type == NGX_RF_ZSET && i + 1 < rec->nvalues; i += 2) {
            ngx_str_set(&argv[0], "ZADD");
            argv[1] = rec->values[i + 1];
            argv[2] = rec->values[i];
            diff_zset_replay_argv(d, &rec->key, 3, argv);
        }

        return;
    }

    n = rec->nsent ? rec->nsent : rec->nchanges;

    for (i = 0; i < n; i++) {
        diff_zset_replay_argv(d, &rec->key, rec->changes[i].argc,
                              rec->changes[i].argv);
    }
}


static void
diff_zset_replay_argv(diff_t *d, ngx_str_t *key, ngx_uint_t argc,
    ngx_str_t *argv)
{
    size_t       *len;
    ngx_uint_t    i;
    redisReply   *reply;
    const char  **args;

    args = malloc((argc + 1) * (sizeof(char *) + sizeof(size_t)));
    len = (size_t *) (args + argc + 1);

    for (i = 0; i < argc; i++) {
        args[i ? i + 1 : 0] = (char *) argv[i].data;
        len[i ? i + 1 : 0] = argv[i].len;
    }

    args[1] = (char *) key->data;
    len[1] = key->len;

    reply = redisCommandArgv(d->redis, argc + 1, args, len);

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        printf("# replay of %.*s: %s\n", (int) len[0], args[0],
               reply ? reply->str : d->redis->errstr);
    }

    freeReplyObject(reply);
    free(args);
}


/* 1: it differs between the two databases */

static ngx_uint_t
diff_zset_dbs(diff_t *d, const char *key)
{
    ngx_uint_t   i, differ;
    redisReply  *reply[2];

    for (i = 0; i < 2; i++) {
        freeReplyObject(redisCommand(d->redis, "select %d", (int) i));
        reply[i] = redisCommand(d->redis, "zrange %s 0 -1 withscores", key);
    }

    differ = reply[0]->elements != reply[1]->elements;

    for (i = 0; !differ && i < reply[0]->elements; i++) {
        differ = reply[0]->element[i]->len != reply[1]->element[i]->len
                 || memcmp(reply[0]->element[i]->str,
                           reply[1]->element[i]->str,
                           reply[0]->element[i]->len)
                    != 0;
    }

    if (differ) {
        printf("# %s: %d elements, not %d, or number %d differs: \"%s\" \"%s\""
               "\n", key,
               (int) reply[0]->elements, (int) reply[1]->elements, (int) i - 1,
               i ? reply[0]->element[i - 1]->str : "",
               i ? reply[1]->element[i - 1]->str : "");
    }

    freeReplyObject(reply[0]);
    freeReplyObject(reply[1]);

    return differ;
}
