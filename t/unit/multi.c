/*
 * Transactions: what several commands do under one hold of the lock is what
 * they do one by one, down to the changes that Redis is to be told; and where
 * one of them cannot be executed, none has left a trace.
 */

#include "rf_unit.h"
#include "ngx_rf_command.h"
#include "ngx_rf_local.h"
#include "ngx_rf_zone_internal.h"
#include "sound.h"


#define MULTI_TYPES     5
#define MULTI_KEYS      (2 * MULTI_TYPES)
#define MULTI_PARTS     12
#define MULTI_ARGS      10
#define MULTI_ROUNDS    4000


typedef struct {
    ngx_uint_t            argc;
    ngx_str_t             argv[MULTI_ARGS];
    char                  text[MULTI_ARGS][24];
} multi_cmd_t;


static ngx_rf_zone_t *multi_zone(ngx_pool_t *pool, ngx_log_t *log);
static ngx_uint_t multi_random(ngx_uint_t n);
static void multi_make(multi_cmd_t *c);
static void multi_fill(char *line, const char *text, ngx_uint_t type);
static void multi_line(multi_cmd_t *c, const char *line);
static void multi_prepare(ngx_rf_local_t *l, ngx_rf_zone_t *zone,
    ngx_pool_t *pool, int64_t now);
static ngx_int_t multi_all(ngx_rf_zone_t *zone, ngx_pool_t *pool, int64_t now,
    multi_cmd_t *c, ngx_uint_t n, ngx_rf_reply_t **reply);
static ngx_uint_t multi_each(ngx_rf_zone_t *zone, ngx_pool_t *pool,
    int64_t now, multi_cmd_t *c, ngx_uint_t n, ngx_rf_reply_t *together);
static ngx_uint_t multi_same_reply(ngx_rf_reply_t *a, ngx_rf_reply_t *b);
static ngx_uint_t multi_same(ngx_rf_zone_t *a, ngx_rf_zone_t *b);
static ngx_uint_t multi_same_value(ngx_rf_entry_t *a, ngx_rf_entry_t *b);
static ngx_uint_t multi_same_tree(ngx_rf_tree_t *a, ngx_rf_tree_t *b);
static ngx_uint_t multi_same_changes(ngx_rf_entry_t *a, ngx_rf_entry_t *b);
static ngx_uint_t multi_same_change(ngx_rf_zchange_t *a, ngx_rf_zchange_t *b);
static void multi_replay(ngx_rf_zone_t *zone, ngx_int_t rc, ngx_uint_t keep,
    int64_t now);


static uint32_t  multi_seed;


RF_UNIT(multi_as_one_by_one)
{
    size_t           used;
    int64_t          now;
    ngx_int_t        rc;
    ngx_uint_t       i, n, at, round, wrong, keep, executed;
    ngx_pool_t      *temp;
    ngx_rf_zone_t   *a, *b;
    multi_cmd_t      c[MULTI_PARTS];
    ngx_rf_reply_t  *reply;

    multi_seed = (uint32_t) ngx_time();
    printf("# multi: seed %u\n", (unsigned) multi_seed);

    a = multi_zone(pool, log);
    b = multi_zone(pool, log);

    /* members come in the same order */

    ngx_memcpy(b->sh->seed, a->sh->seed, sizeof(a->sh->seed));

    used = ngx_rf_zone_used(a);
    wrong = 0;
    executed = 0;

    for (round = 0; round < MULTI_ROUNDS && !wrong; round++) {
        temp = ngx_create_pool(4096, log);
        now = ngx_rf_now() + round;

        n = 1 + multi_random(MULTI_PARTS - 1);
        at = multi_random(3) ? MULTI_PARTS : multi_random(n);

        for (i = 0; i < n; i++) {
            multi_make(&c[i]);
        }

        if (at < n) {
            multi_line(&c[at], "SETBIT k1 1 1");
        }

        rc = multi_all(a, temp, now, c, n, &reply);

        /* values that only Redis knows need it as well */

        if (rc == NGX_OK && at >= n) {
            wrong = !multi_each(b, temp, now, c, n, reply);
            executed++;

        } else if (rc != NGX_RF_NEED_REDIS) {
            printf("# multi: returned %ld\n", (long) rc);
            wrong = 1;
        }

        wrong |= !multi_same(a, b) || !sound_zone(a, 0) || !sound_zone(b, 0);

        if (multi_random(8) == 0) {
            keep = multi_random(2);
            rc = multi_random(3) ? NGX_OK : NGX_AGAIN;

            multi_replay(a, rc, keep, now);
            multi_replay(b, rc, keep, now);
        }

        ngx_destroy_pool(temp);
    }

    ok(!wrong, "transactions do what their commands do, round %lu",
       (unsigned long) round);

    ok(executed > MULTI_ROUNDS / 4, "%lu were executed",
       (unsigned long) executed);

    /* what came behind changes that were sent goes the next time */

    multi_replay(a, NGX_OK, 0, ngx_rf_now());
    multi_replay(a, NGX_OK, 0, ngx_rf_now());

    ngx_rf_zone_lock(a);
    ngx_rf_zone_forget_all_locked(a);

    while (ngx_rf_zone_trash(a, 1000)) {
        /* void */
    }

    ngx_rf_zone_unlock(a);

    /* what is in reserve may lie in a page each */

    ok(ngx_rf_zone_used(a) <= used + NGX_RF_ZONE_UNDO * ngx_pagesize,
       "no page is left in use");
    ok(sound_zone(a, 0), "and no block");
}


RF_UNIT(multi_compacts)
{
    ngx_uint_t       i, wrong;
    ngx_str_t        key;
    ngx_rf_zone_t   *zone;
    multi_cmd_t      c[3];
    ngx_rf_entry_t  *e;
    ngx_rf_reply_t  *reply;

    zone = multi_zone(pool, log);
    wrong = 0;

    multi_line(&c[0], "INCR k0");
    multi_line(&c[1], "EXPIRE k0 100");
    multi_line(&c[2], "INCRBY k0 2");

    for (i = 0; i < 1000; i++) {
        wrong |= multi_all(zone, pool, ngx_rf_now(), c, 3, &reply) != NGX_OK;
    }

    ok(!wrong, "a rate limit, a thousand times");

    ngx_str_set(&key, "k0");

    ngx_rf_zone_lock(zone);
    e = ngx_rf_zone_lookup_locked(zone, &key);
    ngx_rf_zone_unlock(zone);

    ok(e->work->nchanges <= 3, "is a few changes, not thousands: %u",
       (unsigned) e->work->nchanges);
}


/* a transaction larger than the log's first part, in a full zone */

RF_UNIT(multi_without_room)
{
    ngx_int_t        rc;
    ngx_uint_t       i, n, live;
    multi_cmd_t      c[MULTI_PARTS];
    ngx_pool_t      *temp;
    ngx_rf_zone_t   *zone;
    ngx_rf_reply_t  *reply;

    zone = multi_zone(pool, log);
    rc = NGX_OK;
    n = 0;

    for (i = 0; i < MULTI_PARTS; i++) {
        multi_line(&c[i], "SETRANGE k0 10000 x");
    }

    while (rc == NGX_OK && n < 10000) {
        temp = ngx_create_pool(4096, log);

        for (i = 0; i < MULTI_PARTS; i++) {
            c[i].argv[1].len = sprintf(c[i].text[1], "full%lu",
                                       (unsigned long) (n * MULTI_PARTS + i));
        }

        live = zone->sh->live;
        rc = multi_all(zone, temp, ngx_rf_now(), c, MULTI_PARTS, &reply);
        ngx_destroy_pool(temp);
        n++;
    }

    is_int(rc, NGX_RF_NEED_ROOM, "memory is full at last");
    is_int(zone->sh->live, live, "no part of the last one was done");
    ok(sound_zone(zone, 0), "the zone is in order");
}


static ngx_rf_zone_t *
multi_zone(ngx_pool_t *pool, ngx_log_t *log)
{
    ngx_rf_zone_t   *zone;
    ngx_shm_zone_t  *shm;

    zone = ngx_pcalloc(pool, sizeof(ngx_rf_zone_t));

    ngx_str_set(&zone->name, "app");

    shm = rf_unit_shm(pool, log, 1024 * 1024);
    shm->data = zone;

    ngx_time_update();

    is_int(ngx_rf_zone_init(shm, NULL), NGX_OK, "a zone");

    return zone;
}


static ngx_uint_t
multi_random(ngx_uint_t n)
{
    multi_seed = multi_seed * 1103515245 + 12345;

    return (multi_seed >> 8) % n;
}


static void
multi_make(multi_cmd_t *c)
{
    char        line[128];
    ngx_uint_t  i, n, type;

    /* %k: a key that is likely to be of this type; %n: a number */

    static const char  *lines[MULTI_TYPES][26] = {
        { "SET %k v%n", "SET %k %n", "SET %k v%n PX 90000", "INCR %k",
          "INCRBY %k %n", "APPEND %k %n", "DEL %k", "GETDEL %k",
          "EXPIRE %k 1%n", "PERSIST %k", "GET %k", "SETRANGE %k 2 %n",
          "INCRBYFLOAT %k %n.5", "STRLEN %k", "SET %k %n KEEPTTL",
          "PEXPIRE %k -1%n", "GETEX %k PERSIST", "GETSET %k %n",
          "MSET %k %n %k 7" },

        { "HSET %k f%n %n", "HSET %k f%n v f%n w", "HDEL %k f%n f%n",
          "HINCRBY %k f%n %n", "HINCRBYFLOAT %k f%n %n.5", "HSETNX %k f%n 1",
          "HGET %k f%n", "HGETALL %k", "EXPIRE %k 1%n", "PERSIST %k",
          "DEL %k", "HLEN %k", "HMGET %k f%n f%n" },

        { "LPUSH %k e%n e%n", "RPUSH %k e%n", "LPOP %k", "RPOP %k",
          "LPOP %k 2", "LREM %k 1 e%n", "LREM %k -2 e%n", "LREM %k 0 e%n",
          "LTRIM %k 1 -2", "LTRIM %k 0 %n", "LSET %k 1 e%n",
          "LINSERT %k BEFORE e%n x%n", "LMOVE %k %k LEFT RIGHT",
          "LMOVE %k %k RIGHT LEFT", "RPOPLPUSH %k %k", "LRANGE %k 0 -1",
          "RPUSHX %k e%n", "EXPIRE %k 1%n", "DEL %k", "LLEN %k" },

        { "SADD %k m%n m%n", "SADD %k m%n", "SREM %k m%n m%n",
          "SMOVE %k %k m%n", "SUNIONSTORE %k %k %k", "SINTERSTORE %k %k %k",
          "SDIFFSTORE %k %k %k", "SISMEMBER %k m%n", "SMEMBERS %k",
          "SUNION %k %k", "EXPIRE %k 1%n", "PERSIST %k", "SCARD %k",
          "DEL %k" },

        { "ZADD %k %n m%n %n m%n", "ZADD %k %n m%n", "ZADD %k GT %n m%n",
          "ZADD %k LT CH %n m%n", "ZADD %k NX %n m%n", "ZADD %k XX %n m%n",
          "ZADD %k INCR %n m%n", "ZADD %k GT INCR %n m%n",
          "ZINCRBY %k %n m%n", "ZINCRBY %k -%n.25 m%n", "ZREM %k m%n m%n",
          "ZREMRANGEBYRANK %k 0 1", "ZREMRANGEBYRANK %k 1 -2",
          "ZREMRANGEBYSCORE %k 1%n (2%n", "ZPOPMIN %k", "ZPOPMAX %k 2",
          "ZRANGE %k 0 -1 WITHSCORES", "ZSCORE %k m%n", "EXPIRE %k 1%n",
          "DEL %k" }
    };

    static const char  *any[] = {
        "RENAME %k %k", "RENAMENX %k %k", "COPY %k %k REPLACE", "COPY %k %k",
        "DEL %k %k", "TYPE %k", "PEXPIRE %k 5%n000"
    };

    type = multi_random(MULTI_TYPES);

    if (multi_random(8) == 0) {
        n = multi_random(sizeof(any) / sizeof(any[0]));
        multi_fill(line, any[n], type);

    } else {

        for (i = 0; i < 26 && lines[type][i]; i++) { /* void */ }

        multi_fill(line, lines[type][multi_random(i)], type);
    }

    multi_line(c, line);
}


static void
multi_fill(char *line, const char *text, ngx_uint_t type)
{
    ngx_uint_t  n;

    for ( /* void */ ; *text; text++) {

        if (*text != '%') {
            *line++ = *text;
            continue;
        }

        text++;
        n = multi_random(12);

        if (*text == 'k') {
            n = multi_random(6) ? type + MULTI_TYPES * multi_random(2)
                                : multi_random(MULTI_KEYS);
            *line++ = 'k';
        }

        line += sprintf(line, "%lu", (unsigned long) n);
    }

    *line = '\0';
}


static void
multi_line(multi_cmd_t *c, const char *line)
{
    const char  *p;

    for (c->argc = 0; *line; c->argc++) {
        p = strchr(line, ' ');
        if (p == NULL) {
            p = line + strlen(line);
        }

        ngx_memcpy(c->text[c->argc], line, p - line);
        c->argv[c->argc].data = (u_char *) c->text[c->argc];
        c->argv[c->argc].len = p - line;

        line = *p ? p + 1 : p;
    }
}


static void
multi_prepare(ngx_rf_local_t *l, ngx_rf_zone_t *zone, ngx_pool_t *pool,
    int64_t now)
{
    ngx_memzero(l, sizeof(ngx_rf_local_t));

    l->zone = zone;
    l->pool = pool;
    l->now = now;
    l->scope = NGX_RF_SCOPE_ANY;
}


static ngx_int_t
multi_all(ngx_rf_zone_t *zone, ngx_pool_t *pool, int64_t now, multi_cmd_t *c,
    ngx_uint_t n, ngx_rf_reply_t **reply)
{
    ngx_int_t            rc;
    ngx_str_t            argv[MULTI_PARTS * MULTI_ARGS];
    ngx_uint_t           i, j, argc;
    ngx_rf_local_t       l;
    ngx_rf_local_part_t  parts[MULTI_PARTS];

    multi_prepare(&l, zone, pool, now);

    for (i = 0, argc = 0; i < n; i++) {
        parts[i].command = ngx_rf_command_find(&c[i].argv[0]);
        parts[i].argc = c[i].argc;
        parts[i].first = argc;

        for (j = 0; j < c[i].argc; j++) {
            argv[argc++] = c[i].argv[j];
        }
    }

    l.command = parts[0].command;
    l.argc = argc;
    l.argv = argv;

    rc = ngx_rf_local_exec_all(&l, parts, n);
    *reply = l.reply;

    return rc;
}


static ngx_uint_t
multi_each(ngx_rf_zone_t *zone, ngx_pool_t *pool, int64_t now, multi_cmd_t *c,
    ngx_uint_t n, ngx_rf_reply_t *together)
{
    ngx_uint_t      i, j;
    ngx_rf_local_t  l;

    for (i = 0; i < n; i++) {
        multi_prepare(&l, zone, pool, now);

        l.command = ngx_rf_command_find(&c[i].argv[0]);
        l.argc = c[i].argc;
        l.argv = c[i].argv;

        if (ngx_rf_local_exec(&l) != NGX_OK
            || !multi_same_reply(&together->elts[i], l.reply))
        {
            printf("# multi: number %lu of %lu:", (unsigned long) i,
                    (unsigned long) n);

            for (j = 0; j < c[i].argc; j++) {
                printf(" %.*s", (int) c[i].argv[j].len,
                        c[i].argv[j].data);
            }

            printf("\n");

            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
multi_same_reply(ngx_rf_reply_t *a, ngx_rf_reply_t *b)
{
    ngx_uint_t  i;

    if (a->type != b->type
        || a->integer != b->integer
        || a->nelts != b->nelts
        || a->str.len != b->str.len
        || (a->str.len
            && ngx_memcmp(a->str.data, b->str.data, a->str.len) != 0))
    {
        return 0;
    }

    for (i = 0; i < a->nelts; i++) {
        if (!multi_same_reply(&a->elts[i], &b->elts[i])) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
multi_same(ngx_rf_zone_t *a, ngx_rf_zone_t *b)
{
    char             text[8];
    ngx_str_t        key;
    ngx_uint_t       i;
    ngx_rf_entry_t  *x, *y;

    for (i = 0; i < MULTI_KEYS; i++) {
        key.data = (u_char *) text;
        key.len = sprintf(text, "k%lu", (unsigned long) i);

        ngx_rf_zone_lock(a);
        x = ngx_rf_zone_lookup_locked(a, &key);
        ngx_rf_zone_unlock(a);

        ngx_rf_zone_lock(b);
        y = ngx_rf_zone_lookup_locked(b, &key);
        ngx_rf_zone_unlock(b);

        if (x == NULL && y == NULL) {
            continue;
        }

        if (x == NULL || y == NULL
            || x->type != y->type || x->pending != y->pending
            || x->expire != y->expire || x->complete != y->complete
            || x->work->base != y->work->base
            || x->work->base_expires != y->work->base_expires
            || x->work->undo != 0
            || !multi_same_value(x, y)
            || !multi_same_changes(x, y))
        {
            printf("# multi: key %s differs\n", text);
            return 0;
        }
    }

    return a->sh->npending == b->sh->npending && a->sh->live == b->sh->live;
}


static ngx_uint_t
multi_same_value(ngx_rf_entry_t *a, ngx_rf_entry_t *b)
{
    if (a->value == NULL || b->value == NULL) {
        return a->value == b->value;
    }

    if (a->type == NGX_RF_STRING) {
        return a->value->len == b->value->len
               && ngx_memcmp(a->value->data, b->value->data, a->value->len)
                  == 0;
    }

    return multi_same_tree(&ngx_rf_zone_content(a)->elts,
                           &ngx_rf_zone_content(b)->elts)
           && multi_same_tree(&ngx_rf_zone_content(a)->order,
                              &ngx_rf_zone_content(b)->order);
}


static ngx_uint_t
multi_same_tree(ngx_rf_tree_t *a, ngx_rf_tree_t *b)
{
    ngx_rf_elt_t   *x, *y;
    ngx_rf_walk_t   one, other;

    if (a->count != b->count || a->bytes != b->bytes) {
        return 0;
    }

    x = ngx_rf_walk_from(&one, a, 0);
    y = ngx_rf_walk_from(&other, b, 0);

    while (x && y) {

        if (x->key != y->key
            || x->name_len != y->name_len
            || x->value_len != y->value_len
            || ngx_memcmp(x->data, y->data, x->name_len + x->value_len) != 0)
        {
            return 0;
        }

        x = ngx_rf_walk_next(&one);
        y = ngx_rf_walk_next(&other);
    }

    return x == NULL && y == NULL;
}


static ngx_uint_t
multi_same_changes(ngx_rf_entry_t *a, ngx_rf_entry_t *b)
{
    ngx_rf_zchange_t  *x, *y;

    if (a->work->nchanges != b->work->nchanges
        || a->work->nsent != b->work->nsent)
    {
        printf("# multi: %lu and %lu changes\n",
               (unsigned long) a->work->nchanges,
               (unsigned long) b->work->nchanges);
        return 0;
    }

    x = a->work->changes;
    y = b->work->changes;

    while (x && y) {

        if (!multi_same_change(x, y)) {
            return 0;
        }

        x = x->next;
        y = y->next;
    }

    return x == NULL && y == NULL;
}


static ngx_uint_t
multi_same_change(ngx_rf_zchange_t *a, ngx_rf_zchange_t *b)
{
    ngx_uint_t        i;
    ngx_rf_zdelta_t  *x, *y;

    if (a->argc != b->argc || a->size != b->size) {
        return 0;
    }

    x = ngx_rf_zone_delta(a);
    y = ngx_rf_zone_delta(b);

    if (x == NULL) {
        return ngx_memcmp(a->data, b->data, a->size) == 0;
    }

    for (i = 0; i < 3; i++) {
        if (!multi_same_tree(&x->tree[i], &y->tree[i])) {
            return 0;
        }
    }

    return x->type == y->type;
}


static void
multi_replay(ngx_rf_zone_t *zone, ngx_int_t rc, ngx_uint_t keep, int64_t now)
{
    ngx_rf_record_t  *list, *rec;

    list = ngx_rf_zone_replay_take(zone, 1000000, 1 << 30, now, NULL);

    while (list) {
        rec = list;
        list = rec->next;

        ngx_rf_zone_replay_done(zone, rec, rc, keep, now);
        free(rec);
    }
}
