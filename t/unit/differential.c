/*
 * The local execution against a real redis-server: the same random commands go
 * to both, each reply is compared, errors included, and at the end all keys.
 * Skipped where there is no redis-server.
 *
 * RF_UNIT_SEED and RF_UNIT_COMMANDS in the environment repeat or lengthen it.
 */

#include <signal.h>
#include <sys/wait.h>
#include "diff.h"
#include "ngx_rf_command.h"
#include "ngx_rf_keyspace.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_mode.h"


static void diff_key(diff_t *d, diff_cmd_t *c);
static void diff_expiry(diff_t *d, diff_cmd_t *c);
static void diff_make(diff_t *d, diff_cmd_t *c);
static void diff_make_keys(diff_t *d, diff_cmd_t *c);
static void diff_make_set(diff_t *d, diff_cmd_t *c);
static ngx_uint_t diff_about_time(diff_cmd_t *c);
static ngx_uint_t diff_state(diff_t *d);
static void diff_replay(diff_t *d, ngx_uint_t lose, uint64_t *last);
static ngx_uint_t diff_replay_record(diff_t *d, ngx_rf_record_t *rec);
static void diff_replay_key(diff_t *d, diff_cmd_t *c, ngx_uint_t unknown);


ngx_rf_reply_t  diff_needs_redis;


RF_UNIT(differential_random)
{
    char            *env;
    diff_t           d;
    ngx_uint_t       i, n, failed, checked, skipped;
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

    failed = 0;
    checked = 0;
    skipped = 0;

    for (i = 0; i < n && failed < 10; i++) {

        temp = ngx_create_pool(4096, log);

        diff_make(&d, &c);

        ours = diff_local(&d, temp, &c);

        if (ours == &diff_needs_redis) {
            /* RENAME or COPY of a key that is known in part */
            ngx_destroy_pool(temp);
            skipped++;
            continue;
        }

        theirs = diff_redis(&d, &c);

        if (theirs == NULL || ours == NULL
            || !diff_same(&c, ours, theirs))
        {
            diff_print(&c, ours, theirs);
            failed++;
        }

        freeReplyObject(theirs);
        ngx_destroy_pool(temp);
        checked++;
    }

    ok(skipped < n / 20, "%d of them were for Redis alone", (int) skipped);
    is_int(failed, 0, "%d random commands (seed %llu) reply as Redis does",
           (int) checked, (unsigned long long) d.seed);
    is_int(diff_state(&d), 0, "and leave the same keys");

    diff_stop(&d);
}


RF_UNIT(differential_lines)
{
    diff_t        d;
    ngx_uint_t    failed;
    const char  **line;

    static const char  *lines[] = {
        "set a 1 ex 10 px 10", "set a 1 nx xx", "set a 1 ex", "set a 1 ex 0",
        "set a 1 ex -1", "set a 1 ex x", "set a 1 px 9223372036854775807",
        "set a 1 ex 9223372036854775", "set a 1 keepttl ex 10",
        "set a 1 ex 10 keepttl", "set a 1 get nx", "set a 1 get", "get a",
        "set a 1 persist", "set a 1 ex 10 ex 20", "ttl a",
        "set a 2 nx get", "set a 3 xx get", "set b 3 xx get", "set b 3 xx",
        "getex a ex 10 persist", "getex a persist ex 10", "getex a nx",
        "getex a ex 0", "getex nosuch ex 0", "getex a exat 1", "get a",
        "getex a", "set a 5 exat 1", "get a", "exists a", "set a 5 pxat 1",
        "dbsize", "setex a 0 x", "setex a x x", "psetex a -5 x",
        "setex a 10 x", "psetex a 10000 y", "incr a", "append a z", "incrby a",
        "set n 9223372036854775807", "incr n", "decrby n -1",
        "decrby n -9223372036854775808", "incrby n -9223372036854775808",
        "incrby n 9223372036854775808", "incrby n 01", "incrby n +1",
        "set n 010", "incr n", "set n -0", "incr n", "set n 3.0e3",
        "incrbyfloat n 2", "incrbyfloat n 1e400", "incrbyfloat n nan",
        "incrbyfloat n 1e4932", "incrbyfloat n 1e4932", "strlen n",
        "incrbyfloat n inf", "set n 0.1", "incrbyfloat n 0.2",
        "incrbyfloat n -0.3", "incrbyfloat n -0.0000000000000000001",
        "incrbyfloat n 1e-20", "incrbyfloat n 10.5", "incrbyfloat n 0x10",
        "incrbyfloat nn -0", "setrange r -1 x", "setrange r 0 x",
        "setrange r 536870912 x", "setrange r 9223372036854775807 x",
        "setrange r x y", "setrange r 5 abc", "getrange r 0 -1",
        "getrange r -3 -1", "getrange r -1 -3", "getrange r 2 1000",
        "getrange r 100 1", "getrange r x 1", "getrange no 0 -1",
        "getrange r -100 2", "getrange r -100 -200",
        "getrange r -9223372036854775808 -9223372036854775808",
        "mset a", "mset a 1 b", "mset a 1 b 2 a 3", "mget a b c",
        "msetnx a 1 z 2", "exists z", "msetnx y 1 z 2 y 3", "msetnx y 1 z",
        "mget y z", "expire a x", "expire a 10 nx xx", "expire a 10 gt lt",
        "expire a 10 foo", "expire a 10 nx gt lt", "expire a 10 NX",
        "expire a 20 nx", "ttl a", "expire a 9223372036854775807",
        "expire a -9223372036854775808", "pexpire a 9223372036854775807",
        "expireat a 9223372036854775807", "pexpireat a 9223372036854775807",
        "pexpiretime a", "expiretime a", "expire a 10 gt", "expire b 10 gt",
        "expire b 10 lt", "expire b 5 xx lt", "persist b", "persist b",
        "persist no", "expire b 0", "exists b", "expireat a 1", "get a",
        "ttl no", "pttl no", "expiretime no", "pexpiretime no", "expire no 1",
        "set a 1", "rename a a", "renamenx a a", "rename no x", "rename no no",
        "rename a b", "get a", "get b", "set a 2 ex 100", "renamenx a b",
        "renamenx a c", "ttl c", "copy b b", "copy b c", "copy b c replace",
        "copy b c foo", "copy b c db", "copy b c db x", "copy no c replace",
        "ttl c", "touch a b c b", "exists b b no b", "type b", "type no",
        "del b b no", "unlink c c", "get b", "getdel r", "getdel r",
        "getset g 1", "getset g 2", "setnx g 3", "setnx h 3", "append q 1",
        "append q 2", "append e ", "exists e", "strlen q", "strlen no",
        "scan x", "scan 0 count x", "scan 0 count 0", "scan 0 foo 1",
        "scan 0 match", "scan 0 match * count", "scan 0 count 1000",
        "scan 0 count 1000 match *q*", "scan 0 type string count 1000",
        "scan 0 type list count 1000", "scan 0 type STRING count 1000",
        "scan 0 type nosuch count 1000", "scan -0", "scan 0x",
        "scan 99999999999999999999", "keys *", "keys [a-g]", "keys [^a-g]",
        "keys \\q", "keys ?", "keys [", "keys [^", "keys [a", "keys *\\",
        "keys q*", "keys *q", "keys **q**", "dbsize", "echo hi", "ping",
        "ping hi", "ping a b", "get", "get a b", "nosuch a", "del",
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
    is_int(diff_state(&d), 0, "and leave the same keys");

    diff_stop(&d);
}


/*
 * Database 0 has what Redis held when it went away, and gets the records of
 * the replay, each perhaps applied without being acknowledged; database 1
 * starts the same and gets the commands themselves.  Both end up equal.
 */

RF_UNIT(differential_replay)
{
    char            *env;
    diff_t           d;
    int64_t          ttl;
    uint64_t         last;
    ngx_str_t        argv[2];
    ngx_uint_t       i, j, n, db, unknown;
    ngx_pool_t      *temp;
    diff_cmd_t       c;
    redisReply      *reply, *reply1;
    ngx_rf_reply_t   value;

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    env = getenv("RF_UNIT_COMMANDS");
    n = env ? (ngx_uint_t) atoi(env) : DIFF_COMMANDS;

    for (db = 0; db < 2; db++) {
        freeReplyObject(redisCommand(d.redis, "select %d", (int) db));

        for (i = 0; i < 20; i++) {
            freeReplyObject(redisCommand(d.redis, "set k%d %d", (int) i,
                                         (int) i * 100));
            freeReplyObject(redisCommand(d.redis, "set u%d %d", (int) i,
                                         (int) i * 7));
        }

        /* the same moment in both */
        freeReplyObject(redisCommand(d.redis, "pexpireat k3 %lld",
                                     (long long) d.epoch + 90000000));
    }

    /* memory has seen the keys k0 to k14 */

    for (i = 0; i < 15; i++) {
        argv[0].data = (u_char *) "GET";
        argv[0].len = 3;
        argv[1].data = ngx_pnalloc(pool, 8);
        argv[1].len = sprintf((char *) argv[1].data, "k%d", (int) i);

        ngx_memzero(&value, sizeof(ngx_rf_reply_t));
        value.type = NGX_RF_REPLY_STRING;
        value.str.data = ngx_pnalloc(pool, 8);
        value.str.len = sprintf((char *) value.str.data, "%d", (int) i * 100);

        ttl = i == 3 ? d.epoch + 90000000 - ngx_rf_now() : -1;

        ngx_rf_learn(&d.zone, d.pool,
                 ngx_rf_command_find(&argv[0]), 2, argv,
                           &value, ttl, d.zone.sh->seq, ngx_rf_now(), 0);
    }

    last = 0;

    for (i = 0; i < n / 4; i++) {

        temp = ngx_create_pool(4096, log);

        unknown = diff_random(&d, 4) == 0;
        diff_replay_key(&d, &c, unknown);

        if (diff_local(&d, temp, &c) != &diff_needs_redis) {
            freeReplyObject(redisCommand(d.redis, "select 1"));
            freeReplyObject(diff_redis(&d, &c));
        }

        ngx_destroy_pool(temp);

        if (diff_random(&d, 100) == 0) {
            freeReplyObject(redisCommand(d.redis, "select 0"));
            diff_replay(&d, 1, &last);
        }
    }

    freeReplyObject(redisCommand(d.redis, "select 0"));

    for (i = 0; i < 100 && d.zone.sh->npending; i++) {
        diff_replay(&d, 0, &last);
    }

    is_int(d.zone.sh->npending, 0, "all is replayed");

    n = 0;

    for (i = 0; i < 20; i++) {
        for (j = 0; j < 2; j++) {
            freeReplyObject(redisCommand(d.redis, "select 0"));
            reply = redisCommand(d.redis, "get %s%d", j ? "u" : "k", (int) i);
            freeReplyObject(redisCommand(d.redis, "select 1"));
            reply1 = redisCommand(d.redis, "get %s%d", j ? "u" : "k", (int) i);

            if (reply->type != reply1->type
                || (reply->type == REDIS_REPLY_STRING
                    && strcmp(reply->str, reply1->str) != 0))
            {
                n++;
                printf("# %s%d is \"%s\", not \"%s\"\n", j ? "u" : "k",
                       (int) i, reply->str ? reply->str : "nil",
                       reply1->str ? reply1->str : "nil");
            }

            freeReplyObject(reply);
            freeReplyObject(reply1);

            freeReplyObject(redisCommand(d.redis, "select 0"));
            reply = redisCommand(d.redis, "pexpiretime %s%d", j ? "u" : "k",
                                 (int) i);
            freeReplyObject(redisCommand(d.redis, "select 1"));
            reply1 = redisCommand(d.redis, "pexpiretime %s%d", j ? "u" : "k",
                                  (int) i);

            if (llabs(reply->integer - reply1->integer) > 2000) {
                n++;
                printf("# %s%d expires at %lld, not %lld\n", j ? "u" : "k",
                       (int) i, reply->integer, reply1->integer);
            }

            freeReplyObject(reply);
            freeReplyObject(reply1);
        }
    }

    is_int(n, 0, "and Redis holds what it would have held (seed %llu)",
           (unsigned long long) d.seed);

    diff_stop(&d);
}


/* unknown keys hold numbers in Redis: only what merges is asked of them */

static void
diff_replay_key(diff_t *d, diff_cmd_t *c, ngx_uint_t unknown)
{
    int  n;

    c->argc = 0;
    c->p = c->buf;
    n = (int) diff_random(d, 15);

    if (unknown) {

        switch (diff_random(d, 6)) {
        case 0:
            diff_arg(c, "INCR");
            diff_arg(c, "u%d", n);
            return;
        case 1:
            diff_arg(c, "DECRBY");
            diff_arg(c, "u%d", n);
            diff_arg(c, "%d", (int) diff_random(d, 100));
            return;
        case 2:
            diff_arg(c, "INCRBY");
            diff_arg(c, "u%d", n);
            diff_arg(c, "%d", (int) diff_random(d, 1000) - 500);
            return;
        case 3:
            diff_arg(c, "SET");
            diff_arg(c, "u%d", n);
            diff_arg(c, "%d", (int) diff_random(d, 1000) - 500);
            if (diff_random(d, 2)) {
                diff_arg(c, "KEEPTTL");
            }
            return;
        case 4:
            diff_arg(c, "DEL");
            diff_arg(c, "u%d", n);
            return;
        default:
            diff_arg(c, "GET");
            diff_arg(c, "u%d", n);
            return;
        }
    }

    do {
        diff_make(d, c);
    } while (c->argc < 2 || ngx_strncasecmp(c->argv[0].data,
                                            (u_char *) "SCAN", 4) == 0);
}


/* a part of what is pending; with "lose", of some replies the module never
 * hears, and what it sends again is not applied again if its id is known */

static void
diff_replay(diff_t *d, ngx_uint_t lose, uint64_t *last)
{
    ngx_uint_t        i, keep;
    ngx_rf_record_t  *rec, *next;
    static uint64_t   applied[4096];
    static ngx_uint_t napplied;

    if (*last == 0) {
        napplied = 0;
        *last = 1;
    }

    rec = ngx_rf_zone_replay_take(&d->zone, 1 + diff_random(d, 20), 1 << 20,
                                  ngx_rf_now(), NULL);

    for ( /* void */ ; rec; rec = next) {
        next = rec->next;
        keep = (rec->pending == NGX_RF_REPLACE);

        for (i = 0; i < napplied; i++) {
            if (rec->id && applied[i] == rec->id) {
                break;
            }
        }

        if (rec->id == 0 || i == napplied) {
            diff_replay_record(d, rec);

            if (rec->id && napplied < 4096) {
                applied[napplied++] = rec->id;
            }
        }

        if (lose && diff_random(d, 3) == 0) {
            ngx_rf_zone_replay_done(&d->zone, rec, NGX_AGAIN, 0, ngx_rf_now());

        } else {
            ngx_rf_zone_replay_done(&d->zone, rec, NGX_OK, keep, ngx_rf_now());

            if (!keep && rec->pending == NGX_RF_DELTA) {

                /* as a reader would do next: memory knows the key again */

                redisReply      *get, *pttl;
                ngx_str_t        argv[2];
                ngx_rf_reply_t   value;

                get = redisCommand(d->redis, "GET %b", rec->key.data,
                                   rec->key.len);
                pttl = redisCommand(d->redis, "PTTL %b", rec->key.data,
                                    rec->key.len);

                ngx_str_set(&argv[0], "GET");
                argv[1] = rec->key;
                ngx_memzero(&value, sizeof(ngx_rf_reply_t));

                if (get->type == REDIS_REPLY_STRING && rec->key.data[0] != 'u')
                {
                    value.type = NGX_RF_REPLY_STRING;
                    value.str.data = (u_char *) get->str;
                    value.str.len = get->len;

                    ngx_rf_learn(&d->zone, d->pool,
                 ngx_rf_command_find(&argv[0]), 2, argv,
                                       &value, pttl->integer,
                                       d->zone.sh->seq, ngx_rf_now(), 0);
                }

                freeReplyObject(get);
                freeReplyObject(pttl);
            }
        }

        free(rec);
    }
}


static ngx_uint_t
diff_replay_record(diff_t *d, ngx_rf_record_t *rec)
{
    ngx_uint_t        i, j, n;
    const char       *argv[DIFF_ARGS];
    size_t            len[DIFF_ARGS];
    redisReply       *reply;
    ngx_rf_change_t  *c;
    char              text[32];

    if (rec->pending == NGX_RF_REPLACE) {

        if (rec->type == NGX_RF_NONE) {
            reply = redisCommand(d->redis, "DEL %b", rec->key.data,
                                 rec->key.len);

        } else if (rec->expire) {
            sprintf(text, "%lld", (long long) rec->expire);
            reply = redisCommand(d->redis, "SET %b %b PXAT %s",
                                 rec->key.data, rec->key.len,
                                 rec->values[0].data, rec->values[0].len,
                                 text);
        } else {
            reply = redisCommand(d->redis, "SET %b %b", rec->key.data,
                                 rec->key.len, rec->values[0].data,
                                 rec->values[0].len);
        }

        freeReplyObject(reply);
        return 1;
    }

    n = rec->nsent ? rec->nsent : rec->nchanges;

    for (i = 0; i < n; i++) {
        c = &rec->changes[i];

        argv[0] = (char *) c->argv[0].data;
        len[0] = c->argv[0].len;
        argv[1] = (char *) rec->key.data;
        len[1] = rec->key.len;

        for (j = 1; j < c->argc; j++) {
            argv[j + 1] = (char *) c->argv[j].data;
            len[j + 1] = c->argv[j].len;
        }

        reply = redisCommandArgv(d->redis, c->argc + 1, argv, len);

        if (reply->type == REDIS_REPLY_ERROR) {
            printf("# replay of %.*s: %s\n", (int) len[0], argv[0],
                   reply->str);
        }

        freeReplyObject(reply);
    }

    return 1;
}


ngx_uint_t
diff_start(diff_t *d, ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    int              i, status;
    char            *dir, *env, path[128];
    ngx_shm_zone_t  *shm;

    ngx_memzero(d, sizeof(diff_t));

    d->pool = pool;
    d->log = log;

    env = getenv("RF_UNIT_SEED");
    d->seed = env ? strtoull(env, NULL, 10) : (uint64_t) time(NULL);

    ngx_time_update();
    d->epoch = ngx_rf_now();

    dir = rf_unit_dir(pool);
    sprintf(path, "%s/redis.sock", dir);

    d->server = fork();

    if (d->server == 0) {
        freopen("/dev/null", "w", stdout);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
               path, "--save", "", "--dir", dir, "--daemonize", "no", NULL);
        _exit(127);
    }

    for (i = 0; i < 200; i++) {
        d->redis = redisConnectUnix(path);

        if (d->redis && d->redis->err == 0) {
            break;
        }

        redisFree(d->redis);
        d->redis = NULL;

        if (waitpid(d->server, &status, WNOHANG) == d->server) {
            return 0;
        }

        usleep(20000);
    }

    if (d->redis == NULL) {
        diff_stop(d);
        return 0;
    }

    shm = rf_unit_shm(pool, log, size);

    ngx_str_set(&d->zone.name, "app");
    shm->data = &d->zone;

    return ok(ngx_rf_zone_init(shm, NULL) == NGX_OK, "a zone");
}


void
diff_stop(diff_t *d)
{
    int  status;

    if (d->redis) {
        redisFree(d->redis);
    }

    kill(d->server, SIGKILL);
    (void) waitpid(d->server, &status, 0);
}


/* xorshift: the same everywhere */

uint64_t
diff_random(diff_t *d, uint64_t n)
{
    static uint64_t  state;
    static uint64_t  seeded;

    if (seeded != d->seed || state == 0) {
        seeded = d->seed;
        state = d->seed * 0x9e3779b97f4a7c15ULL + 1;
    }

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return (state >> 11) % n;
}


void
diff_arg(diff_cmd_t *c, const char *fmt, ...)
{
    va_list  args;

    if (c->argc == DIFF_ARGS) {
        return;
    }

    va_start(args, fmt);
    c->argv[c->argc].data = c->p;
    c->argv[c->argc].len = vsprintf((char *) c->p, fmt, args);
    va_end(args);

    c->p += c->argv[c->argc++].len;
}


void
diff_bytes(diff_cmd_t *c, const void *data, size_t len)
{
    if (c->argc == DIFF_ARGS) {
        return;
    }

    c->argv[c->argc].data = c->p;
    c->argv[c->argc++].len = len;
    c->p = ngx_cpymem(c->p, data, len);
}


static void
diff_key(diff_t *d, diff_cmd_t *c)
{
    diff_arg(c, "k%d", (int) diff_random(d, 15));
}


void
diff_value(diff_t *d, diff_cmd_t *c)
{
    int     i;
    char    buf[300];
    size_t  n;

    switch (diff_random(d, 6)) {

    case 0:
        diff_arg(c, "%d", (int) diff_random(d, 2000) - 1000);
        return;

    case 1:
        diff_arg(c, "%.4f", (double) diff_random(d, 100000) / 100);
        return;

    case 2:
        n = diff_random(d, sizeof(buf));

        for (i = 0; i < (int) n; i++) {
            buf[i] = (char) diff_random(d, 256);
        }

        diff_bytes(c, buf, n);
        return;

    case 3:
        diff_arg(c, "%lld", (long long) INT64_MAX
                            - (long long) diff_random(d, 3));
        return;

    case 4:
        diff_arg(c, " 12");
        return;

    default:
        diff_arg(c, "v%d", (int) diff_random(d, 100));
    }
}


void
diff_number(diff_t *d, diff_cmd_t *c)
{
    static const char  *odd[] = {
        "x", "", "01", "+1", "-0", "1 ", " 1", "9223372036854775807",
        "9223372036854775808", "-9223372036854775808", "1e3", "0", "-1",
        "0.5", "-1.5e2", "inf", "nan", "1e4000", "0x1p3"
    };

    if (diff_random(d, 8) == 0) {
        diff_arg(c, "%s", odd[diff_random(d, sizeof(odd) / sizeof(odd[0]))]);
        return;
    }

    diff_arg(c, "%d", (int) diff_random(d, 200) - 60);
}


/* some of the words that are separated by blanks, one letter each in case */

void
diff_option(diff_t *d, diff_cmd_t *c, const char *options)
{
    char   word[32], *p;
    ngx_uint_t  i, n;

    for (n = 1, p = (char *) options; *p; p++) {
        n += (*p == ' ');
    }

    i = diff_random(d, n);

    for (p = (char *) options; i; p++) {
        i -= (*p == ' ');
    }

    for (i = 0; p[i] && p[i] != ' '; i++) {
        word[i] = diff_random(d, 4) ? p[i] : (char) toupper(p[i]);
    }

    word[i] = '\0';
    diff_arg(c, "%s", word);
}


/* unit and time: far ahead, in the past, or wrong; never so near that the two
 * clocks could disagree */

static void
diff_expiry(diff_t *d, diff_cmd_t *c)
{
    long long  n;

    n = 1000 + (long long) diff_random(d, 50) * 1000;

    switch (diff_random(d, 10)) {

    case 0:
        diff_option(d, c, "ex px exat pxat");
        diff_number(d, c);

        if (c->argv[c->argc - 1].len < 4) {
            /* so short that it could run out here and not there */
            c->argc -= 2;
        }

        return;

    case 1:
        diff_arg(c, "EXAT");
        diff_arg(c, "%lld", (long long) d->epoch / 1000 - n);
        return;

    case 2:
    case 3:
        diff_arg(c, "pxat");
        diff_arg(c, "%lld", (long long) d->epoch + 10000000 + n * 1000);
        return;

    case 4:
    case 5:
        diff_arg(c, "exat");
        diff_arg(c, "%lld", (long long) d->epoch / 1000 + 10000 + n);
        return;

    case 6:
        diff_arg(c, "px");
        diff_arg(c, "%lld", n * 1000);
        return;

    default:
        diff_arg(c, "ex");
        diff_arg(c, "%lld", n);
    }
}


static void
diff_make(diff_t *d, diff_cmd_t *c)
{
    c->argc = 0;
    c->p = c->buf;

    switch (diff_random(d, 20)) {

    case 0: case 1: case 2: case 3:
        diff_make_set(d, c);
        return;

    case 4:
        diff_option(d, c, "get strlen getdel getex incr decr");
        diff_key(d, c);
        return;

    case 5:
        diff_option(d, c, "incr decr");
        diff_key(d, c);
        return;

    case 6: case 7:
        diff_option(d, c, "incrby decrby incrbyfloat");
        diff_key(d, c);
        diff_number(d, c);
        return;

    case 8:
        diff_option(d, c, "append getset setnx");
        diff_key(d, c);
        diff_value(d, c);
        return;

    case 9:
        diff_option(d, c, "getrange");
        diff_key(d, c);
        diff_number(d, c);
        diff_number(d, c);
        return;

    case 10:
        diff_arg(c, "SETRANGE");
        diff_key(d, c);
        diff_arg(c, "%d", (int) diff_random(d, 40) - 1);
        diff_value(d, c);
        return;

    case 11:
        diff_option(d, c, "mset msetnx");

        do {
            diff_key(d, c);
            diff_value(d, c);
        } while (diff_random(d, 3));

        if (diff_random(d, 20) == 0) {
            diff_key(d, c);
        }

        return;

    case 12:
        diff_arg(c, "getex");
        diff_key(d, c);

        if (diff_random(d, 4)) {
            diff_expiry(d, c);

        } else {
            diff_option(d, c, "persist ex nx");
        }

        return;

    default:
        diff_make_keys(d, c);
    }
}


static void
diff_make_set(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 6)) {

    case 0:
        diff_arg(c, "SETEX");
        diff_key(d, c);
        diff_arg(c, "%d", diff_random(d, 5) ? 1000 : 0);
        diff_value(d, c);
        return;

    case 1:
        diff_arg(c, "psetex");
        diff_key(d, c);
        diff_arg(c, "%d", diff_random(d, 5) ? 1000000 : -5);
        diff_value(d, c);
        return;
    }

    diff_arg(c, "Set");
    diff_key(d, c);
    diff_value(d, c);

    if (diff_random(d, 3) == 0) {
        diff_option(d, c, "nx xx get keepttl");
    }

    if (diff_random(d, 3) == 0) {
        diff_expiry(d, c);
    }

    if (diff_random(d, 6) == 0) {
        diff_option(d, c, "nx xx get keepttl foo");
    }
}


static void
diff_make_keys(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 12)) {

    case 0:
        diff_option(d, c, "del unlink exists touch mget");

        do {
            diff_key(d, c);
        } while (diff_random(d, 2));

        return;

    case 1: case 2: case 3:
        diff_option(d, c, "ttl pttl expiretime pexpiretime type persist");
        diff_key(d, c);
        return;

    case 4:
        diff_option(d, c, "expire pexpire");
        diff_key(d, c);
        diff_arg(c, "%lld", diff_random(d, 6)
                            ? 1000000 + (long long) diff_random(d, 9) * 200000
                            : -7);

        if (diff_random(d, 4) == 0) {
            diff_option(d, c, "nx xx foo");
        }

        return;

    case 5: case 6:
        diff_arg(c, "pexpireat");
        diff_key(d, c);
        diff_arg(c, "%lld", (long long) d->epoch + (diff_random(d, 8)
                            ? 10000000 + (long long) diff_random(d, 9) * 1000000
                            : -5000));

        while (diff_random(d, 2)) {
            diff_option(d, c, "nx xx gt lt gt lt gt lt foo");
        }

        return;

    case 7:
        diff_option(d, c, "rename renamenx");
        diff_key(d, c);
        diff_key(d, c);
        return;

    case 8:
        diff_arg(c, "copy");
        diff_key(d, c);
        diff_key(d, c);

        if (diff_random(d, 2)) {
            diff_option(d, c, "replace replace replace foo");
        }

        return;

    case 9:
        diff_arg(c, "keys");
        diff_option(d, c, "* k* k1? *1* k[1-3] k[^1-3] \\k1 [j-l]* k[21]*");
        return;

    case 10:
        diff_arg(c, "dbsize");
        return;

    default:
        diff_arg(c, "scan");
        diff_arg(c, "0");
        diff_arg(c, "count");
        diff_arg(c, "100000");

        if (diff_random(d, 2)) {
            diff_option(d, c, "match foo type");
            diff_option(d, c, "k1* string *3");
        }
    }
}


ngx_rf_reply_t *
diff_local(diff_t *d, ngx_pool_t *pool, diff_cmd_t *c)
{
    ngx_int_t                rc;
    ngx_str_t                err;
    ngx_rf_local_t           l;
    ngx_rf_reply_t          *reply;
    const ngx_rf_command_t  *command;

    ngx_time_update();
    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    if (ngx_rf_command_check(pool, c->argc, c->argv, &command, &err) != NGX_OK)
    {
        reply = ngx_pcalloc(pool, sizeof(ngx_rf_reply_t));
        reply->type = NGX_RF_REPLY_ERROR;
        reply->str = err;
        return reply;
    }

    l.zone = &d->zone;
    l.command = command;
    l.argc = c->argc;
    l.argv = c->argv;
    l.pool = pool;
    l.now = ngx_rf_now();
    l.scope = NGX_RF_SCOPE_ANY;

    rc = ngx_rf_local_exec(&l);

    if (rc == NGX_RF_NEED_REDIS) {
        return &diff_needs_redis;
    }

    if (rc != NGX_OK) {
        printf("# exec: %d\n", (int) rc);
        return NULL;
    }

    return l.reply;
}


redisReply *
diff_redis(diff_t *d, diff_cmd_t *c)
{
    size_t       len[DIFF_ARGS];
    ngx_uint_t   i;
    const char  *argv[DIFF_ARGS];

    for (i = 0; i < c->argc; i++) {
        argv[i] = (char *) c->argv[i].data;
        len[i] = c->argv[i].len;
    }

    return redisCommandArgv(d->redis, c->argc, argv, len);
}


ngx_uint_t
diff_same(diff_cmd_t *c, ngx_rf_reply_t *ours, redisReply *theirs)
{
    ngx_uint_t  i;
    int64_t     off;

    switch (theirs->type) {

    case REDIS_REPLY_NIL:
        return ours->type == NGX_RF_REPLY_NIL;

    case REDIS_REPLY_INTEGER:
        off = llabs(ours->integer - theirs->integer);

        /* times to live, in ms or seconds; and Redis counts some keys that
         * have expired */

        return ours->type == NGX_RF_REPLY_INTEGER
               && (off == 0 || (off < 2000 && diff_about_time(c))
                   || (ours->integer < theirs->integer
                       && ngx_strncasecmp(c->argv[0].data,
                                          (u_char *) "dbsize", 6) == 0));

    case REDIS_REPLY_STRING:
        return ours->type == NGX_RF_REPLY_STRING
               && ours->str.len == (size_t) theirs->len
               && memcmp(ours->str.data, theirs->str, theirs->len) == 0;

    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        return ours->type == (theirs->type == REDIS_REPLY_ERROR
                              ? NGX_RF_REPLY_ERROR : NGX_RF_REPLY_STATUS)
               && ours->str.len == (size_t) theirs->len
               && memcmp(ours->str.data, theirs->str, theirs->len) == 0;

    default:
        break;
    }

    if (ours->type != NGX_RF_REPLY_ARRAY || ours->nelts != theirs->elements) {
        return 0;
    }

    if (ngx_strncasecmp(c->argv[0].data, (u_char *) "keys", 4) == 0) {
        return diff_same_keys(ours, theirs);
    }

    if (ngx_strncasecmp(c->argv[0].data, (u_char *) "scan", 4) == 0) {
        return diff_same(c, &ours->elts[0], theirs->element[0])
               && diff_same_keys(&ours->elts[1], theirs->element[1]);
    }

    for (i = 0; i < ours->nelts; i++) {
        if (!diff_same(c, &ours->elts[i], theirs->element[i])) {
            return 0;
        }
    }

    return 1;
}


/* TTL, PTTL, EXPIRETIME, PEXPIRETIME */

static ngx_uint_t
diff_about_time(diff_cmd_t *c)
{
    u_char  *end;

    end = c->argv[0].data + c->argv[0].len;

    return (c->argv[0].len >= 3
            && ngx_strncasecmp(end - 3, (u_char *) "ttl", 3) == 0)
           || (c->argv[0].len >= 4
               && ngx_strncasecmp(end - 4, (u_char *) "time", 4) == 0);
}


/* in any order */

ngx_uint_t
diff_same_keys(ngx_rf_reply_t *ours, redisReply *theirs)
{
    ngx_uint_t  i, j;

    if (ours->nelts != theirs->elements) {
        return 0;
    }

    for (i = 0; i < ours->nelts; i++) {

        for (j = 0; j < theirs->elements; j++) {
            if (ours->elts[i].str.len == (size_t) theirs->element[j]->len
                && memcmp(ours->elts[i].str.data, theirs->element[j]->str,
                          theirs->element[j]->len)
                   == 0)
            {
                break;
            }
        }

        if (j == theirs->elements) {
            return 0;
        }
    }

    return 1;
}


void
diff_print(diff_cmd_t *c, ngx_rf_reply_t *ours, redisReply *theirs)
{
    ngx_uint_t  i;

    printf("# command:");

    for (i = 0; i < c->argc; i++) {
        printf(" \"%.*s\"", (int) c->argv[i].len, c->argv[i].data);
    }

    printf("\n");

    if (ours) {
        printf("# ours: type %d, %lld, \"%.*s\", %d\n", (int) ours->type,
               (long long) ours->integer, (int) ours->str.len,
               ours->str.data ? (char *) ours->str.data : "",
               (int) ours->nelts);
    }

    if (theirs) {
        printf("# Redis: type %d, %lld, \"%.*s\", %d\n", theirs->type,
               theirs->integer, (int) theirs->len,
               theirs->str ? theirs->str : "", (int) theirs->elements);
    }
}


/* words separated by single blanks; nothing between two is an empty one */

ngx_uint_t
diff_line(diff_t *d, const char *line)
{
    ngx_uint_t       same;
    diff_cmd_t       c;
    ngx_pool_t      *temp;
    const char      *p;
    redisReply      *theirs;
    ngx_rf_reply_t  *ours;

    c.argc = 0;
    c.p = c.buf;

    for ( ;; ) {
        p = strchr(line, ' ');

        if (p == NULL) {
            diff_bytes(&c, line, strlen(line));
            break;
        }

        diff_bytes(&c, line, p - line);
        line = p + 1;
    }

    temp = ngx_create_pool(4096, d->log);

    theirs = diff_redis(d, &c);
    ours = diff_local(d, temp, &c);

    same = theirs && ours && diff_same(&c, ours, theirs);

    if (!same) {
        diff_print(&c, ours, theirs);
    }

    freeReplyObject(theirs);
    ngx_destroy_pool(temp);

    return same;
}


/* the number of keys that differ */

static ngx_uint_t
diff_state(diff_t *d)
{
    ngx_uint_t   i, n;
    redisReply  *keys;
    char         line[64];

    n = !diff_line(d, "dbsize") + !diff_line(d, "keys *");

    keys = redisCommand(d->redis, "KEYS *");

    for (i = 0; i < keys->elements; i++) {
        sprintf(line, "get %s", keys->element[i]->str);
        n += !diff_line(d, line);
        sprintf(line, "pttl %s", keys->element[i]->str);
        n += !diff_line(d, line);
    }

    freeReplyObject(keys);

    return n;
}
