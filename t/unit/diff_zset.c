/*
 * Sorted sets against a real redis-server, see differential.c: random commands
 * reply the same and leave the same; and what was done without Redis, replayed,
 * leaves what Redis would have held.  Chosen ones are in diff_zset_lines.c.
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
static void diff_zset_replay(diff_t *d, ngx_uint_t last);
static void diff_zset_del(diff_t *d, ngx_str_t *key);
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


/*
 * Database 0 has what Redis held when it went away, and gets what is replayed;
 * database 1 starts the same and gets the commands themselves.  Memory knows
 * nothing of u0 and u1, and all of the others.
 */

RF_UNIT(differential_zset_replay)
{
    char        *env;
    diff_t       d;
    ngx_str_t    name;
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
        name.data = (u_char *) *key;
        name.len = 2;
        diff_zset_del(&d, &name);
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
            diff_zset_replay(&d, 0);
        }
    }

    for (i = 0; i < 100 && d.zone.sh->npending; i++) {
        diff_zset_replay(&d, 1);
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


/* all that is pending, to database 0; keys that are gone there
 * shall be known to be absent still */

static void
diff_zset_replay(diff_t *d, ngx_uint_t last)
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

        if (!last && rec->type == NGX_RF_NONE && rec->key.data[0] != 'u') {
            diff_zset_del(d, &rec->key);
        }

        free(rec);
    }
}


static void
diff_zset_del(diff_t *d, ngx_str_t *key)
{
    diff_cmd_t   c;
    ngx_pool_t  *temp;

    c.argc = 0;
    c.p = c.buf;

    diff_arg(&c, "del");
    diff_bytes(&c, key->data, key->len);

    temp = ngx_create_pool(4096, d->log);
    (void) diff_local(d, temp, &c);
    ngx_destroy_pool(temp);
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
