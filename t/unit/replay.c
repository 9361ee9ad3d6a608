/*
 * Records replayed on a real redis-server: what Redis holds afterwards, also
 * when the replay is broken off anywhere and begins anew.  Skipped where there
 * is no redis-server.
 */

#include "diff.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_digest.h"
#include "ngx_rf_replay.h"


#define REPLAY_MANY  30000


typedef struct {
    diff_t            d;
    ngx_uint_t        remote;
    ngx_uint_t        same_run;
    ngx_uint_t        cut;      /* the reply to this step is lost; 0: none */
    ngx_uint_t        steps;    /* of the last replay */
    ngx_rf_replay_t   rp;
    ngx_pool_t       *temp;
} replay_t;


static ngx_uint_t replay_start(replay_t *r, ngx_pool_t *pool,
    ngx_log_t *log);
static void replay_stop(replay_t *r);
static ngx_rf_record_t *replay_record(ngx_pool_t *pool, ngx_rf_type_e type,
    ngx_rf_pending_e pending, const char *values);
static void replay_change(ngx_rf_record_t *rec, ngx_pool_t *pool,
    const char *words);
static ngx_uint_t replay_words(ngx_pool_t *pool, const char *words,
    ngx_str_t *str);
static ngx_int_t replay_begin(replay_t *r, ngx_rf_record_t *rec);
static ngx_int_t replay_step(replay_t *r);
static ngx_int_t replay(replay_t *r, ngx_rf_record_t *rec);
static void replay_reply(ngx_pool_t *pool, redisReply *from,
    ngx_rf_reply_t *to);
static long long replay_int(replay_t *r, const char *line);
static void replay_is(replay_t *r, const char *line, const char *expected,
    const char *name);
static void replay_print(redisReply *reply, char *buf, size_t size);
static ngx_rf_record_t *replay_many(ngx_pool_t *pool, ngx_rf_type_e type,
    ngx_uint_t n, size_t len);
static ngx_rf_record_t *replay_many_changes(ngx_pool_t *pool, ngx_uint_t n);


static ngx_uint_t
replay_start(replay_t *r, ngx_pool_t *pool, ngx_log_t *log)
{
    ngx_memzero(r, sizeof(replay_t));

    if (!diff_start(&r->d, pool, log, 1024 * 1024)) {
        ok(1, "replay # SKIP no redis-server");
        return 0;
    }

    return 1;
}


static void
replay_stop(replay_t *r)
{
    if (r->temp) {
        ngx_destroy_pool(r->temp);
    }

    diff_stop(&r->d);
}


/* words are separated by blanks */

static ngx_uint_t
replay_words(ngx_pool_t *pool, const char *words, ngx_str_t *str)
{
    char        *p, *word;
    ngx_uint_t   n;

    p = ngx_pnalloc(pool, strlen(words) + 1);
    strcpy(p, words);
    n = 0;

    for (word = strtok(p, " "); word; word = strtok(NULL, " ")) {
        str[n].data = (u_char *) word;
        str[n].len = strlen(word);
        n++;
    }

    return n;
}


static ngx_rf_record_t *
replay_record(ngx_pool_t *pool, ngx_rf_type_e type, ngx_rf_pending_e pending,
    const char *values)
{
    ngx_rf_record_t  *rec;

    rec = ngx_pcalloc(pool, sizeof(ngx_rf_record_t));

    ngx_str_set(&rec->key, "key");
    rec->type = type;
    rec->pending = pending;
    rec->version = 4711;
    rec->id = (pending == NGX_RF_DELTA) ? 0xabcdef : 0;
    rec->values = ngx_pcalloc(pool, 64 * sizeof(ngx_str_t));
    rec->changes = ngx_pcalloc(pool, 64 * sizeof(ngx_rf_change_t));
    rec->nvalues = replay_words(pool, values, rec->values);

    return rec;
}


static void
replay_change(ngx_rf_record_t *rec, ngx_pool_t *pool, const char *words)
{
    ngx_rf_change_t  *change;

    change = &rec->changes[rec->nchanges++];
    change->argv = ngx_pcalloc(pool, 64 * sizeof(ngx_str_t));
    change->argc = replay_words(pool, words, change->argv);
    rec->nsent = rec->nchanges;
}


static ngx_int_t
replay_begin(replay_t *r, ngx_rf_record_t *rec)
{
    if (r->temp) {
        ngx_destroy_pool(r->temp);
    }

    r->temp = ngx_create_pool(4096, r->d.log);
    r->steps = 0;

    ngx_time_update();
    ngx_rf_replay_init(&r->rp, rec, r->remote, r->same_run);

    return ngx_rf_replay_next(&r->rp, r->temp, ngx_rf_now(), NULL);
}


/* NGX_ABORT: the reply was lost */

static ngx_int_t
replay_step(replay_t *r)
{
    size_t           *len;
    ngx_uint_t        i;
    const char      **argv;
    redisReply       *theirs;
    ngx_rf_reply_t   *reply;

    argv = malloc(r->rp.argc * sizeof(char *));
    len = malloc(r->rp.argc * sizeof(size_t));

    for (i = 0; i < r->rp.argc; i++) {
        argv[i] = (char *) r->rp.argv[i].data;
        len[i] = r->rp.argv[i].len;
    }

    theirs = redisCommandArgv(r->d.redis, r->rp.argc, argv, len);

    free(argv);
    free(len);

    reply = ngx_pcalloc(r->temp, sizeof(ngx_rf_reply_t));
    replay_reply(r->temp, theirs, reply);
    freeReplyObject(theirs);

    if (++r->steps == r->cut) {
        return NGX_ABORT;
    }

    ngx_time_update();

    return ngx_rf_replay_next(&r->rp, r->temp, ngx_rf_now(), reply);
}


/* the verdict, or what else became of it */

static ngx_int_t
replay(replay_t *r, ngx_rf_record_t *rec)
{
    ngx_int_t  rc;

    for (rc = replay_begin(r, rec); rc == NGX_AGAIN; rc = replay_step(r)) {
        /* void */
    }

    return (rc == NGX_OK) ? (ngx_int_t) r->rp.verdict : rc;
}


static void
replay_reply(ngx_pool_t *pool, redisReply *from, ngx_rf_reply_t *to)
{
    ngx_uint_t  i;

    static ngx_rf_reply_e  types[] = {
        [REDIS_REPLY_STRING] = NGX_RF_REPLY_STRING,
        [REDIS_REPLY_ARRAY] = NGX_RF_REPLY_ARRAY,
        [REDIS_REPLY_INTEGER] = NGX_RF_REPLY_INTEGER,
        [REDIS_REPLY_NIL] = NGX_RF_REPLY_NIL,
        [REDIS_REPLY_STATUS] = NGX_RF_REPLY_STATUS,
        [REDIS_REPLY_ERROR] = NGX_RF_REPLY_ERROR
    };

    to->type = types[from->type];
    to->integer = from->integer;

    if (from->str) {
        to->str.len = from->len;
        to->str.data = ngx_pnalloc(pool, from->len + 1);
        ngx_memcpy(to->str.data, from->str, from->len);
    }

    if (to->type != NGX_RF_REPLY_ARRAY) {
        return;
    }

    to->nelts = from->elements;
    to->elts = ngx_pcalloc(pool, (to->nelts + 1) * sizeof(ngx_rf_reply_t));

    for (i = 0; i < to->nelts; i++) {
        replay_reply(pool, from->element[i], &to->elts[i]);
    }
}


static long long
replay_int(replay_t *r, const char *line)
{
    long long    n;
    redisReply  *reply;

    reply = redisCommand(r->d.redis, line);
    n = reply->integer;
    freeReplyObject(reply);

    return n;
}


static void
replay_is(replay_t *r, const char *line, const char *expected,
    const char *name)
{
    char         buf[1024];
    ngx_str_t    str;
    redisReply  *reply;

    reply = redisCommand(r->d.redis, line);
    buf[0] = '\0';
    replay_print(reply, buf, sizeof(buf));
    freeReplyObject(reply);

    str.data = (u_char *) buf;
    str.len = strlen(buf);

    is_str(&str, expected, strlen(expected), "%s: %s", name, line);
}


static void
replay_print(redisReply *reply, char *buf, size_t size)
{
    size_t  i, len;

    len = strlen(buf);

    switch (reply->type) {

    case REDIS_REPLY_ARRAY:
        for (i = 0; i < reply->elements; i++) {
            replay_print(reply->element[i], buf, size);
        }

        return;

    case REDIS_REPLY_INTEGER:
        snprintf(buf + len, size - len, "%s%lld", len ? " " : "",
                 reply->integer);
        return;

    case REDIS_REPLY_NIL:
        snprintf(buf + len, size - len, "%s-", len ? " " : "");
        return;

    default:
        snprintf(buf + len, size - len, "%s%s", len ? " " : "", reply->str);
    }
}


/* n elements with values of that length */

static ngx_rf_record_t *
replay_many(ngx_pool_t *pool, ngx_rf_type_e type, ngx_uint_t n, size_t len)
{
    u_char           *p;
    ngx_str_t        *value;
    ngx_uint_t        i;
    ngx_rf_record_t  *rec;

    rec = replay_record(pool, type, NGX_RF_REPLACE, "");
    rec->values = ngx_pcalloc(pool, 2 * n * sizeof(ngx_str_t));
    value = rec->values;

    p = ngx_palloc(pool, len + 1);
    ngx_memset(p, 'x', len);

    for (i = 0; i < n; i++) {
        value->data = ngx_pnalloc(pool, 16);
        value->len = sprintf((char *) value->data, "e%06d", (int) i);
        value++;

        if (type == NGX_RF_HASH) {
            value->data = p;
            value->len = len;
            value++;

        } else if (type == NGX_RF_ZSET) {
            value->data = ngx_pnalloc(pool, 16);
            value->len = sprintf((char *) value->data, "%d.5", (int) i);
            value++;
        }
    }

    rec->nvalues = value - rec->values;

    return rec;
}


/* n fields are counted up in changes of 500, each twice, with a push of another
 * type that is refused in between */

static ngx_rf_record_t *
replay_many_changes(ngx_pool_t *pool, ngx_uint_t n)
{
    char              line[64];
    ngx_uint_t        i;
    ngx_rf_record_t  *rec;

    rec = replay_record(pool, NGX_RF_HASH, NGX_RF_DELTA, "");
    rec->changes = ngx_pcalloc(pool, (n + 2) * sizeof(ngx_rf_change_t));

    for (i = 0; i < n; i++) {
        sprintf(line, "HINCRBY f%d 1", (int) (i % (n / 2)));
        replay_change(rec, pool, line);

        if (i == n / 3) {
            replay_change(rec, pool, "RPUSH wrong");
        }
    }

    return rec;
}


RF_UNIT(replay_makes_each_type)
{
    replay_t          r;
    ngx_rf_record_t  *rec;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    freeReplyObject(redisCommand(r.d.redis, "SET key string EX 100"));
    rec = replay_record(pool, NGX_RF_HASH, NGX_RF_REPLACE, "a 1 b 2");
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "a hash");
    replay_is(&r, "HGETALL key", "a 1 b 2", "instead of a string");
    is_int(replay_int(&r, "PTTL key"), -1, "and its expiry");

    rec = replay_record(pool, NGX_RF_LIST, NGX_RF_REPLACE, "a b a c");
    rec->expire = ngx_rf_now() + 50000;
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "a list");
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "again");
    replay_is(&r, "LRANGE key 0 -1", "a b a c", "in its order, once");
    ok(replay_int(&r, "PTTL key") > 40000, "it expires");

    rec = replay_record(pool, NGX_RF_SET, NGX_RF_REPLACE, "1 2 3");
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "a set");
    replay_is(&r, "SMEMBERS key", "1 2 3", "a set");
    is_int(replay_int(&r, "PTTL key"), -1, "for ever");

    rec = replay_record(pool, NGX_RF_ZSET, NGX_RF_REPLACE, "a 2.5 b 1 c inf");
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "a sorted set");
    replay_is(&r, "ZRANGE key 0 -1 WITHSCORES", "b 1 a 2.5 c inf",
              "a sorted set");

    rec->expire = ngx_rf_now() - 1;
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "expired");
    ok(r.rp.expired, "it says so");
    is_int(replay_int(&r, "EXISTS key"), 0, "gone");

    rec->expire = 0;
    rec->values[1].data = (u_char *) "nan";
    rec->values[1].len = 3;
    freeReplyObject(redisCommand(r.d.redis, "SET key string"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_REFUSED, "a bad score");
    replay_is(&r, "GET key", "string", "leaves what was there");
    is_int(replay_int(&r, "DBSIZE"), 1, "and nothing else");

    replay_stop(&r);
}


RF_UNIT(replay_leaves_others_alone)
{
    replay_t          r;
    ngx_rf_record_t  *rec;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    r.remote = 1;
    rec = replay_record(pool, NGX_RF_SET, NGX_RF_REPLACE, "a");
    rec->base = NGX_RF_BASE_ABSENT;
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "nobody was there");
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "it was us");
    freeReplyObject(redisCommand(r.d.redis, "SADD key b"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_CONFLICT, "somebody was");

    rec->base = NGX_RF_BASE_UNKNOWN;
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "who knows");

    rec->base = NGX_RF_BASE_KNOWN;
    rec->nvalues = 0;
    is_int(replay(&r, rec), NGX_RF_REPLAY_CONFLICT, "it was a string");

    rec->base = NGX_RF_BASE_ABSENT;
    rec->type = NGX_RF_NONE;
    is_int(replay(&r, rec), NGX_RF_REPLAY_CONFLICT, "a tombstone");
    replay_is(&r, "SMEMBERS key", "a", "it stays");

    /* restored */

    rec = replay_record(pool, NGX_RF_LIST, NGX_RF_REPLACE, "a b");
    rec->base = NGX_RF_BASE_ABSENT;
    rec->version = 0;
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "somebody was faster");
    replay_is(&r, "SMEMBERS key", "a", "it stays");

    freeReplyObject(redisCommand(r.d.redis, "DEL key"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "restored");
    replay_is(&r, "LRANGE key 0 -1", "a b", "restored");

    rec->expire = 1;
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "there is nothing left");
    is_int(r.steps, 0, "and nothing to be said");

    replay_stop(&r);
}


/* known from elsewhere */

RF_UNIT(digest_vectors)
{
    u_char      sha1[20], hex[40];
    ngx_str_t   got;
    ngx_uint_t  i;

    static struct {
        ngx_rf_type_e   type;
        const char     *values;
        const char     *digest;
    } is[] = {
        { NGX_RF_HASH, "f 1 g 22", "1b772351ce442dedbf8a653970a6373cd34d4790" },
        { NGX_RF_LIST, "a b", "89162610bf32387e2458445845fbdf326ce94b76" },
        { NGX_RF_SET, "b a", "6879f8a4b2bb05810d889500379607433f32c4bb" },
        { NGX_RF_ZSET, "d 0.10000000000000001 c -0 b inf a 1.5",
          "831712dde3f40dca55c5ea4d838bc0c81a61c2a1" }
    };

    for (i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
        ngx_rf_record_t  *rec = replay_record(pool, is[i].type, NGX_RF_REPLACE,
                                              is[i].values);

        is_int(ngx_rf_digest_row(is[i].type, rec->values, rec->nvalues, sha1),
               NGX_OK, "has a digest");
        got.data = hex;
        got.len = ngx_hex_dump(hex, sha1, 20) - hex;
        is_str(&got, is[i].digest, 40, "%s", is[i].values);
    }
}


/* Redis makes the same digest of the same elements, and another one of others
 */

RF_UNIT(replay_compares_collections)
{
    replay_t          r;
    ngx_uint_t        i;
    ngx_rf_record_t  *rec, *gone;

    static struct {
        ngx_rf_type_e   type;
        const char     *values;
        const char     *change;
    } is[] = {
        { NGX_RF_HASH, "f 1 g 2 h 3", "HSET key g 3" },
        { NGX_RF_HASH, "f 1 g 2 h 3", "HDEL key g" },
        { NGX_RF_HASH, "f 1", "HSET key g 2" },
        { NGX_RF_HASH, "f gh", "RENAME other key" },
        { NGX_RF_LIST, "a b a c", "LSET key 1 c" },
        { NGX_RF_LIST, "a b c", "RPOPLPUSH key key" },
        { NGX_RF_LIST, "a b a", "LPOP key" },
        { NGX_RF_SET, "c a b 10 9", "SADD key d" },
        { NGX_RF_SET, "1 2 3", "SREM key 2" },
        { NGX_RF_ZSET, "a 1 b inf c -inf d -0 e 0.1 f 1e+300 g 5e-324 "
                       "h 3.0000000000000004 i -17 j 123456789012345678",
          "ZADD key 3.0000000000000008 h" },
        { NGX_RF_ZSET, "a 1 b inf", "ZADD key -inf b" },

        /* a member that takes it out of the compact encoding, where -0 is 0 */
        { NGX_RF_ZSET, "a-member-of-more-than-64-bytes-----------------------"
                       "---------------- 1 b -0", "ZADD key 1 b" },
        { NGX_RF_ZSET, "a 1 b 2", "ZREM key a" },
        { NGX_RF_SET, "a b", "SET key a" }
    };

    if (!replay_start(&r, pool, log)) {
        return;
    }

    r.remote = 1;
    r.same_run = 1;

    for (i = 0; i < sizeof(is) / sizeof(is[0]); i++) {
        freeReplyObject(redisCommand(r.d.redis, "HSET other fg h"));

        rec = replay_record(pool, is[i].type, NGX_RF_REPLACE, is[i].values);
        gone = replay_record(pool, NGX_RF_NONE, NGX_RF_REPLACE, "");
        gone->base = NGX_RF_BASE_COLL;

        is_int(ngx_rf_digest_row(rec->type, rec->values, rec->nvalues,
                                 gone->base_sha1),
               NGX_OK, "%s", is[i].values);

        is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "is there");
        freeReplyObject(redisCommand(r.d.redis, is[i].change));
        is_int(replay(&r, gone), NGX_RF_REPLAY_CONFLICT, "%s", is[i].change);
        is_int(replay_int(&r, "EXISTS key"), 1, "it stays");

        is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "is there again");
        is_int(replay(&r, gone), NGX_RF_REPLAY_APPLIED, "unchanged");
        is_int(replay_int(&r, "EXISTS key"), 0, "it goes");
    }

    /* what is to be there is what was there, and another collection */

    rec = replay_record(pool, NGX_RF_HASH, NGX_RF_REPLACE, "f 1");
    rec->base = NGX_RF_BASE_COLL;
    is_int(replay(&r, rec), NGX_RF_REPLAY_CONFLICT, "somebody has deleted it");

    freeReplyObject(redisCommand(r.d.redis, "HSET key f 1"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "the same as here");
    freeReplyObject(redisCommand(r.d.redis, "HSET key f 2"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_CONFLICT, "not the same");
    replay_is(&r, "HGETALL key", "f 2", "it stays");

    gone->type = NGX_RF_NONE;
    freeReplyObject(redisCommand(r.d.redis, "DEL key"));
    is_int(replay(&r, gone), NGX_RF_REPLAY_APPLIED, "deleted by both");

    replay_stop(&r);
}


RF_UNIT(replay_compares_no_more)
{
    replay_t          r;
    ngx_uint_t        n;
    ngx_rf_record_t  *rec, *gone;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    r.remote = 1;

    for (n = NGX_RF_DIGEST_ELTS; n <= NGX_RF_DIGEST_ELTS + 1; n++) {
        rec = replay_many(pool, NGX_RF_LIST, n, 10);
        gone = replay_record(pool, NGX_RF_NONE, NGX_RF_REPLACE, "");
        gone->base = NGX_RF_BASE_COLL;

        is_int(ngx_rf_digest_row(NGX_RF_LIST, rec->values, rec->nvalues,
                                 gone->base_sha1),
               n > NGX_RF_DIGEST_ELTS ? NGX_DECLINED : NGX_OK, "%d elements",
               (int) n);
        is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "are there");
        is_int(replay(&r, gone),
               n > NGX_RF_DIGEST_ELTS ? NGX_RF_REPLAY_CONFLICT
                                      : NGX_RF_REPLAY_APPLIED,
               "and compared");
    }

    replay_stop(&r);
}


RF_UNIT(replay_makes_large_ones)
{
    replay_t          r, other;
    ngx_int_t         rc;
    ngx_uint_t        type;
    ngx_rf_record_t  *rec;

    static const char  *count[] = {
        "", "", "HLEN key", "LLEN key", "SCARD key", "ZCARD key"
    };

    if (!replay_start(&r, pool, log)) {
        return;
    }

    for (type = NGX_RF_HASH; type <= NGX_RF_ZSET; type++) {
        rec = replay_many(pool, type, REPLAY_MANY, 10);
        rec->expire = ngx_rf_now() + 100000;

        freeReplyObject(redisCommand(r.d.redis, "SET key string"));

        for (r.cut = 1; r.cut < 4; r.cut++) {
            is_int(replay(&r, rec), NGX_ABORT, "broken off");
            replay_is(&r, "GET key", "string", "what was there, is");
            ok(r.rp.temp.len, "something is left behind");
            ok(replay_int(&r, "DBSIZE") == 1 + (int) r.cut, "for each");
        }

        r.cut = 0;
        is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "type %d", (int) type);
        ok(r.steps >= 6, "in %d steps", (int) r.steps);
        is_int(replay_int(&r, count[type]), REPLAY_MANY, "all of it");
        ok(replay_int(&r, "PTTL key") > 90000, "it expires");
        ok(r.rp.temp.len == 0, "nothing is left behind");

        freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    }

    replay_is(&r, "LINDEX key 12345", "-", "nothing");

    /* two at a time, as after a connection that was given up */

    rec = replay_many(pool, NGX_RF_LIST, REPLAY_MANY, 10);
    other = r;
    other.temp = NULL;

    rc = replay_begin(&other, rec);
    rc = replay_step(&other);
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "one");

    while (rc == NGX_AGAIN) {
        rc = replay_step(&other);
    }

    is_int(rc, NGX_OK, "the other");
    is_int(replay_int(&r, "LLEN key"), REPLAY_MANY, "all of it once");
    replay_is(&r, "LINDEX key 12345", "e012345", "in its order");

    /* evicted on the way */

    rc = replay_begin(&other, rec);
    rc = replay_step(&other);
    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    is_int(replay_step(&other), NGX_BUSY, "it has gone");
    is_int(replay_int(&r, "DBSIZE"), 0, "and is not begun in the middle");

    /* 10 MB, and 10 MB in one */

    is_int(replay(&r, replay_many(pool, NGX_RF_HASH, 100, 100000)),
           NGX_RF_REPLAY_APPLIED, "10 MB");
    ok(r.steps > 10, "in %d steps", (int) r.steps);
    is_int(replay_int(&r, "HSTRLEN key e000099"), 100000, "all of it");
    is_int(replay(&r, replay_many(pool, NGX_RF_HASH, 2, 10000000)),
           NGX_RF_REPLAY_APPLIED, "large ones");
    is_int(replay_int(&r, "HSTRLEN key e000001"), 10000000, "all of it");

    ngx_destroy_pool(other.temp);
    replay_stop(&r);
}


RF_UNIT(replay_applies_changes_once)
{
    replay_t          r;
    ngx_rf_record_t  *rec;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    freeReplyObject(redisCommand(r.d.redis, "HSET key a 1 b 2 c 3"));
    rec = replay_record(pool, NGX_RF_HASH, NGX_RF_DELTA, "a 5 d 7");
    replay_change(rec, pool, "HSET d 7");
    replay_change(rec, pool, "HINCRBY a 4");
    replay_change(rec, pool, "HDEL b nosuch");
    replay_change(rec, pool, "PERSIST");
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "a hash");
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "again");
    replay_is(&r, "HGETALL key", "a 5 c 3 d 7", "once");
    replay_is(&r, "GET key:redis_fallback:0000000000abcdef", "1", "a marker");
    ok(replay_int(&r, "TTL key:redis_fallback:0000000000abcdef") > 80000,
       "for a day");

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    freeReplyObject(redisCommand(r.d.redis, "RPUSH key a b c"));
    rec = replay_record(pool, NGX_RF_LIST, NGX_RF_DELTA, "");
    replay_change(rec, pool, "linsert before c x");
    replay_change(rec, pool, "LINSERT AFTER nosuch y");
    replay_change(rec, pool, "LSET 0 A");
    replay_change(rec, pool, "Lset 99 tail");
    replay_change(rec, pool, "LSET -99 head");
    replay_change(rec, pool, "LREM 1 b");
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "a list");
    replay_is(&r, "LRANGE key 0 -1", "head A x c y tail", "nothing is lost");

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "a list that is gone");
    replay_is(&r, "LRANGE key 0 -1", "head A y tail", "nothing is lost");

    /* expiries */

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    freeReplyObject(redisCommand(r.d.redis, "RPUSH key a"));
    freeReplyObject(redisCommand(r.d.redis, "EXPIRE key 100"));
    rec = replay_record(pool, NGX_RF_LIST, NGX_RF_DELTA, "");
    replay_change(rec, pool, "LREM 1 a");
    replay_change(rec, pool, "LPUSH b");
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "empty on the way");
    ok(replay_int(&r, "TTL key") > 90, "the expiry stays");

    rec->id++;
    replay_change(rec, pool, "PERSIST");
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "PERSIST");
    is_int(replay_int(&r, "TTL key"), -1, "it is gone");

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    rec = replay_record(pool, NGX_RF_LIST, NGX_RF_DELTA, "");
    replay_change(rec, pool, "PEXPIREAT 99999999999999");
    replay_change(rec, pool, "LPUSH b");
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "an expiry comes first");
    ok(replay_int(&r, "TTL key") > 90, "and stays");

    replay_stop(&r);
}


RF_UNIT(replay_refused_changes)
{
    replay_t          r;
    ngx_rf_record_t  *rec, *copy;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    freeReplyObject(redisCommand(r.d.redis, "HSET key a word b 2"));
    rec = replay_record(pool, NGX_RF_HASH, NGX_RF_DELTA, "");
    replay_change(rec, pool, "HINCRBY a 4");
    replay_change(rec, pool, "HINCRBY b 4");
    replay_change(rec, pool, "HSET c 1");
    replay_change(rec, pool, "RPUSH x y");

    is_int(replay(&r, rec), NGX_RF_REPLAY_PARTIAL, "two are refused");
    is_text(&r.rp.error, "ERR hash value is not an integer", "why");
    is_int(replay(&r, rec), NGX_RF_REPLAY_PARTIAL, "the same again");
    is_text(&r.rp.error, "ERR hash value is not an integer", "why");
    replay_is(&r, "HGETALL key", "a word b 6 c 1", "the others once");

    copy = ngx_rf_codec_clone(rec);
    ngx_rf_replay_rest(&r.rp, copy);
    is_int(copy->nchanges, 2, "those that were refused");
    is_text(&copy->changes[0].argv[0], "HINCRBY", "those");
    is_text(&copy->changes[0].argv[1], "a", "those");
    is_text(&copy->changes[1].argv[0], "RPUSH", "those");
    is_int(copy->id, 0, "without an id");
    free(copy);

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    freeReplyObject(redisCommand(r.d.redis, "SET key string"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_REFUSED, "all are refused");
    replay_is(&r, "GET key", "string", "as it was");
    is_int(replay_int(&r, "DBSIZE"), 1, "no marker");

    replay_stop(&r);
}


RF_UNIT(replay_stages_many_changes)
{
    replay_t          r;
    ngx_int_t         rc;
    ngx_uint_t        n, cut;
    ngx_rf_record_t  *rec, *less, *copy;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    rec = replay_many_changes(pool, 6000);

    /* what a file knew before */

    less = replay_record(pool, NGX_RF_HASH, NGX_RF_DELTA, "");
    replay_change(less, pool, "HINCRBY f0 1");

    for (cut = 1; cut < 100; cut++) {
        r.cut = cut;
        rc = replay(&r, rec);

        if (rc != NGX_ABORT) {
            break;
        }

        r.cut = 0;

        if (cut % 2 && replay_int(&r, "HLEN key")) {
            is_int(replay(&r, less), NGX_RF_REPLAY_PARTIAL, "all the same");
        }

        is_int(replay(&r, rec), NGX_RF_REPLAY_PARTIAL, "after %d steps",
               (int) cut);
        n = replay_int(&r, "HLEN key");
        is_int(n, 3000, "all fields");
        replay_is(&r, "HMGET key f0 f999 f1000 f1999 f2000 f2999",
                  "2 2 2 2 2 2", "once each");

        copy = ngx_rf_codec_clone(rec);
        ngx_rf_replay_rest(&r.rp, copy);
        is_int(copy->nchanges, 1, "one was refused");
        is_text(&copy->changes[0].argv[0], "RPUSH", "this one");
        free(copy);

        freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    }

    ok(cut > 10, "%d steps", (int) cut);
    is_int(rc, NGX_RF_REPLAY_PARTIAL, "in one go");
    is_int(replay_int(&r, "DBSIZE"), 2, "the key and the marker");

    /* no memory on the way, an error that goes away */

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    r.cut = 8;
    is_int(replay(&r, rec), NGX_ABORT, "broken off");
    freeReplyObject(redisCommand(r.d.redis, "CONFIG SET maxmemory 1"));
    r.cut = 0;
    is_int(replay(&r, rec), NGX_RF_REPLAY_REFUSED, "no memory");
    ok(ngx_strncmp(r.rp.error.data, "OOM ", 4) == 0, "%.*s",
       (int) r.rp.error.len, r.rp.error.data);
    freeReplyObject(redisCommand(r.d.redis, "CONFIG SET maxmemory 0"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_PARTIAL, "memory");
    replay_is(&r, "HMGET key f0 f999 f1000 f1999 f2000 f2999", "2 2 2 2 2 2",
              "once each");

    /* all are refused */

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    freeReplyObject(redisCommand(r.d.redis, "SET key string"));
    rec->changes[2001] = rec->changes[2002];
    is_int(replay(&r, rec), NGX_RF_REPLAY_REFUSED, "all are refused");
    is_int(replay_int(&r, "DBSIZE"), 1, "nothing is left behind");

    replay_stop(&r);
}


/* a popped element is taken from its end where it is there, else the list is
 * searched, but not for long in one script */

RF_UNIT(replay_bounds_the_work)
{
    char              line[64];
    replay_t          r;
    ngx_uint_t        i;
    ngx_rf_record_t  *rec;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    freeReplyObject(redisCommand(r.d.redis, "RPUSH key a b a c b a b d"));
    rec = replay_record(pool, NGX_RF_LIST, NGX_RF_DELTA, "");
    replay_change(rec, pool, "LREM 1 a");
    replay_change(rec, pool, "LREM -1 d");
    replay_change(rec, pool, "LREM -1 a");
    replay_change(rec, pool, "lrem 1 c");
    replay_change(rec, pool, "LREM 0 nosuch");
    replay_change(rec, pool, "LREM 1 nosuch");
    replay_change(rec, pool, "LREM -1 b");
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "popped");
    replay_is(&r, "LRANGE key 0 -1", "b a b", "the right ones");

    /* a list that was emptied, and another one that is there now */

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    rec = replay_record(pool, NGX_RF_NONE, NGX_RF_DELTA, "");
    rec->changes = ngx_pcalloc(pool, REPLAY_MANY * sizeof(ngx_rf_change_t));

    for (i = 0; i < 5000; i++) {
        sprintf(line, "LREM 1 e%d", (int) i);
        replay_change(rec, pool, line);
    }

    freeReplyObject(redisCommand(r.d.redis, "EVAL %s 1 key",
                                 "for i = 0, 4999 do redis.call('RPUSH', "
                                 "KEYS[1], 'e' .. i) end"));
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "all are there");
    ok(r.steps > 5 && r.steps < 20, "in %d steps", (int) r.steps);
    is_int(replay_int(&r, "EXISTS key"), 0, "they are gone");

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    freeReplyObject(redisCommand(r.d.redis, "EVAL %s 1 key",
                                 "for i = 1, 50000 do redis.call('RPUSH', "
                                 "KEYS[1], 'other') end "
                                 "redis.call('RPUSH', KEYS[1], 'e99')"));
    rec->nchanges = 101;
    rec->nsent = 101;
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "others are there");
    ok(r.steps > 20 && r.steps < 40, "in %d steps", (int) r.steps);
    is_int(replay_int(&r, "LLEN key"), 50000, "but for one they stay");

    replay_stop(&r);
}


/* the key is empty at the end of a script */

RF_UNIT(replay_keeps_the_expiry)
{
    char              line[64];
    replay_t          r;
    ngx_uint_t        i, said;
    ngx_rf_record_t  *rec;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    for (said = 0; said < 3; said++) {
        freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
        freeReplyObject(redisCommand(r.d.redis, "EVAL %s 1 key",
                                     "for i = 0, 2999 do redis.call('RPUSH', "
                                     "KEYS[1], 'e' .. i) end "
                                     "redis.call('EXPIRE', KEYS[1], 1000)"));
        rec = replay_record(pool, NGX_RF_LIST, NGX_RF_DELTA, "");
        rec->changes = ngx_pcalloc(pool,
                                   REPLAY_MANY * sizeof(ngx_rf_change_t));

        if (said == 1) {
            replay_change(rec, pool, "PEXPIREAT 99999999999999");

        } else if (said == 2) {
            replay_change(rec, pool, "PERSIST");
        }

        for (i = 0; i < 5000; i++) {
            sprintf(line, "LREM 1 e%d", (int) i);
            replay_change(rec, pool, line);
        }

        replay_change(rec, pool, "RPUSH new");

        is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "emptied and filled");
        replay_is(&r, "LRANGE key 0 -1", "new", "it holds");

        i = replay_int(&r, "TTL key");

        if (said == 2) {
            ok((ngx_int_t) i == -1, "it expires no more");

        } else {
            ok(said ? i > 100000000 : i > 900 && i <= 1000,
               "it expires in %d s", (int) i);
        }
    }

    replay_stop(&r);
}


RF_UNIT(replay_restores_with_changes)
{
    replay_t          r;
    ngx_uint_t        many;
    ngx_rf_record_t  *rec, *base;

    if (!replay_start(&r, pool, log)) {
        return;
    }

    for (many = 0; many < 2; many++) {

        if (many) {
            rec = replay_many_changes(pool, 6000);
            base = replay_many(pool, NGX_RF_HASH, REPLAY_MANY, 10);
            rec->values = base->values;
            rec->nvalues = base->nvalues;

        } else {
            rec = replay_record(pool, NGX_RF_HASH, NGX_RF_DELTA, "a 1 b 2");
            replay_change(rec, pool, "HINCRBY f0 1");
        }

        rec->restore = 1;
        rec->complete = 1;

        is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "restored");
        is_int(replay_int(&r, "HLEN key"), many ? REPLAY_MANY : 2, "all");
        is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "again");
        is_int(replay_int(&r, "HLEN key"), many ? REPLAY_MANY : 2, "once");
        is_int(replay_int(&r, "DBSIZE"), 2, "and a marker");

        freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
        freeReplyObject(redisCommand(r.d.redis, "HSET key f0 7"));
        is_int(replay(&r, rec),
               many ? NGX_RF_REPLAY_PARTIAL : NGX_RF_REPLAY_MERGED,
               "somebody was faster");
        replay_is(&r, "HGET key f0", many ? "9" : "8", "merged");
        is_int(replay_int(&r, "HEXISTS key e000001"), 0, "not restored");
        freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    }

    rec = replay_record(pool, NGX_RF_STRING, NGX_RF_DELTA, "15");
    replay_change(rec, pool, "INCRBY 5");
    rec->restore = 1;
    rec->complete = 1;
    rec->expire = ngx_rf_now() + 50000;
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "a string");
    replay_is(&r, "GET key", "15", "restored");
    ok(replay_int(&r, "PTTL key") > 40000, "it expires");

    /* sent once, and then there was one more: was it executed? */

    freeReplyObject(redisCommand(r.d.redis, "FLUSHALL"));
    rec = replay_record(pool, NGX_RF_STRING, NGX_RF_DELTA, "15");
    replay_change(rec, pool, "INCRBY 5");
    replay_change(rec, pool, "INCRBY 2");
    rec->restore = 1;
    rec->complete = 1;
    rec->nsent = 1;
    is_int(replay(&r, rec), NGX_RF_REPLAY_NOTHING, "it was not");
    is_int(replay_int(&r, "DBSIZE"), 0, "nor is anything now");

    rec->nsent = 2;
    is_int(replay(&r, rec), NGX_RF_REPLAY_APPLIED, "all of it");
    rec->nsent = 1;
    is_int(replay(&r, rec), NGX_RF_REPLAY_MERGED, "it was");
    replay_is(&r, "GET key", "15", "as it was");

    replay_stop(&r);
}
