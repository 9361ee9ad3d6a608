/*
 * Changes of a record are compacted again where they are taken in, and written
 * again they are what they were.
 */

#include "rf_unit.h"
#include "ngx_rf_zone_internal.h"
#include "sound.h"


#define DELTA_POPS      100000
#define DELTA_ARGS      8
#define DELTA_LINES     16


typedef struct {
    ngx_uint_t            nchanges;     /* in the zone */
    const char           *lines[DELTA_LINES];
} delta_case_t;


static ngx_rf_zone_t *delta_zone(ngx_pool_t *pool, ngx_log_t *log,
    size_t size);
static ngx_rf_record_t *delta_record(ngx_pool_t *pool, ngx_uint_t nchanges);
static void delta_change(ngx_pool_t *pool, ngx_rf_change_t *change,
    const char *line);
static void delta_pushes(ngx_pool_t *pool, ngx_rf_change_t *change,
    const char *verb, ngx_uint_t n);
static ngx_rf_record_t *delta_pops(ngx_pool_t *pool, ngx_uint_t n);
static ngx_rf_entry_t *delta_entry(ngx_rf_zone_t *zone, ngx_rf_record_t *rec);
static ngx_uint_t delta_round(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_uint_t *nchanges, ngx_uint_t *nsent);
static ngx_uint_t delta_same(ngx_rf_record_t *a, ngx_rf_record_t *b);


/* elements of one change come by their hash: here there is but one */

static const delta_case_t  delta_cases[] = {

    { 1, { "HDEL a", "HSET d ''", "HINCRBY e 5", "HINCRBYFLOAT f .5" } },
    { 1, { "SREM a", "SADD b" } },
    { 1, { "ZREM a", "ZADD 1.5 c", "ZINCRBY -2 e", "ZADD GT 3 f",
           "ZADD LT -inf g" } },
    { 1, { "LREM 1 a", "LREM -1 b", "LREM 1 a", "LPUSH c c d", "RPUSH e" } },

    /* out of order, or one that is not full before another */

    { 2, { "HSET a 1", "HDEL b" } },
    { 2, { "HSET a 1", "HSET b 1" } },
    { 2, { "RPUSH a", "LPUSH b" } },
    { 2, { "RPUSH a", "RPUSH b" } },
    { 2, { "LPUSH a", "LREM 1 b" } },
    { 2, { "ZADD LT 1 a", "ZADD GT 1 b" } },

    /* an element again */

    { 2, { "HSET a 1", "HINCRBY a 1" } },
    { 3, { "HINCRBY a 1", "HINCRBY a 1", "HINCRBY a 1" } },
    { 2, { "SREM a", "SADD a" } },
    { 2, { "ZADD GT 1 a", "ZADD LT 2 a" } },

    /* other types, and what stays as it is */

    { 3, { "SADD a", "HSET a 1", "RPUSH a" } },
    { 3, { "SADD a", "PEXPIREAT 1", "SADD b" } },
    { 2, { "sadd a", "hset a 1" } },
    { 4, { "LREM 2 a", "LREM 1", "LREM 1 a b", "LREM" } },
    { 3, { "HSET a", "HSET a 1 b", "HINCRBY a 1 b 2" } },
    { 5, { "ZADD 1.50 a", "ZADD nan a", "ZADD '' a", "ZADD GT", "ZADD 1x a" } },
    { 2, { "INCRBY 1", "PERSIST" } },

    { 0, { NULL } }
};


RF_UNIT(delta_cases)
{
    ngx_uint_t           i, n, nsent, sent, same;
    ngx_rf_zone_t       *zone;
    ngx_rf_record_t     *rec;
    const delta_case_t  *c;

    zone = delta_zone(pool, log, 1024 * 1024);

    for (c = delta_cases; c->nchanges; c++) {

        for (n = 0; c->lines[n]; n++) { /* void */ }

        rec = delta_record(pool, n);

        for (i = 0; i < n; i++) {
            delta_change(pool, &rec->changes[i], c->lines[i]);
        }

        ok(delta_round(zone, rec, &n, &nsent), "%s", c->lines[0]);
        is_int(n, c->nchanges, "%s: changes", c->lines[0]);

        same = 1;

        for (sent = 1; sent <= rec->nchanges; sent++) {
            rec->nsent = sent;

            same = same && delta_round(zone, rec, &n, &nsent)
                   && nsent > 0 && nsent <= n
                   && (sent == rec->nchanges) == (nsent == n);
        }

        ok(same, "%s: what was sent", c->lines[0]);
    }

    ok(sound_zone(zone, 0), "the zone is sound");
}


RF_UNIT(delta_of_pops)
{
    ngx_uint_t        n, nsent;
    ngx_rf_zone_t    *zone;
    ngx_rf_record_t  *rec;

    zone = delta_zone(pool, log, 8 * 1024 * 1024);
    rec = delta_pops(pool, DELTA_POPS);

    ok(delta_round(zone, rec, &n, &nsent), "pops");
    is_int(n, 1, "one change");
    is_int(nsent, 0, "which was not sent");

    rec->nsent = DELTA_POPS / 3;

    ok(delta_round(zone, rec, &n, &nsent), "some of them sent");
    is_int(n, 2, "two changes");
    is_int(nsent, 1, "one was sent");

    rec->nsent = DELTA_POPS;

    ok(delta_round(zone, rec, &n, &nsent), "all of them sent");
    is_int(n, 1, "one change");
    is_int(nsent, 1, "which was sent");
    ok(sound_zone(zone, 0), "the zone is sound");
}


/* a change that is full goes on in the next */

RF_UNIT(delta_of_pushes)
{
    ngx_uint_t        i, n, nsent;
    ngx_rf_zone_t    *zone;
    ngx_rf_record_t  *rec;

    zone = delta_zone(pool, log, 8 * 1024 * 1024);
    rec = delta_record(pool, 5);

    delta_pushes(pool, &rec->changes[0], "LPUSH", NGX_RF_RECORD_ELTS);
    delta_pushes(pool, &rec->changes[1], "LPUSH", NGX_RF_RECORD_ELTS);
    delta_pushes(pool, &rec->changes[2], "LPUSH", 3);
    delta_pushes(pool, &rec->changes[3], "RPUSH", NGX_RF_RECORD_ELTS);
    delta_pushes(pool, &rec->changes[4], "RPUSH", 1);

    ok(delta_round(zone, rec, &n, &nsent), "pushes");
    is_int(n, 1, "one change");

    for (i = 1; i < 5; i++) {
        rec->nsent = i;

        ok(delta_round(zone, rec, &n, &nsent), "%d of them sent", (int) i);
        is_int(n, 2, "two changes");
        is_int(nsent, 1, "one was sent");
    }

    rec->nsent = 0;
    rec->changes[1].argc--;

    ok(delta_round(zone, rec, &n, &nsent), "one that is not full");
    is_int(n, 2, "two changes");

    delta_pushes(pool, &rec->changes[1], "LPUSH", NGX_RF_RECORD_ELTS + 1);

    ok(delta_round(zone, rec, &n, &nsent), "one that is too long");
    is_int(n, 3, "three changes");
}


RF_UNIT(delta_without_room)
{
    size_t            used;
    ngx_uint_t        n;
    ngx_rf_zone_t    *zone;
    ngx_rf_record_t  *rec;

    zone = delta_zone(pool, log, 1024 * 1024);
    rec = delta_pops(pool, DELTA_POPS);
    used = ngx_rf_zone_used(zone);

    for (n = 0; n < 3; n++) {
        rec->nsent = n * 1000;

        is_int(ngx_rf_zone_load(zone, rec, zone->sh->seq, 0, ngx_rf_now()),
               NGX_RF_NEED_ROOM, "no room");
        ok(delta_entry(zone, rec) == NULL, "no entry");
        ok(ngx_rf_zone_used(zone) <= used + 8 * ngx_pagesize,
           "all is given back");
        ok(sound_zone(zone, 0), "the zone is sound");
    }
}


static ngx_rf_zone_t *
delta_zone(ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    ngx_rf_zone_t   *zone;
    ngx_shm_zone_t  *shm;

    ngx_time_update();

    zone = ngx_pcalloc(pool, sizeof(ngx_rf_zone_t));

    ngx_str_set(&zone->name, "app");

    shm = rf_unit_shm(pool, log, size);
    shm->data = zone;

    ok(ngx_rf_zone_init(shm, NULL) == NGX_OK, "a zone");

    zone->shpool->log_nomem = 0;

    return zone;
}


static ngx_rf_record_t *
delta_record(ngx_pool_t *pool, ngx_uint_t nchanges)
{
    ngx_rf_record_t  *rec;

    rec = ngx_pcalloc(pool, sizeof(ngx_rf_record_t));

    ngx_str_set(&rec->key, "key");

    rec->pending = NGX_RF_DELTA;
    rec->id = 1;
    rec->nchanges = nchanges;
    rec->changes = ngx_pcalloc(pool, nchanges * sizeof(ngx_rf_change_t));

    return rec;
}


static void
delta_change(ngx_pool_t *pool, ngx_rf_change_t *change, const char *line)
{
    size_t   len;
    u_char  *p;

    p = ngx_pnalloc(pool, strlen(line) + 1);
    strcpy((char *) p, line);

    change->argc = 0;
    change->argv = ngx_pcalloc(pool, DELTA_ARGS * sizeof(ngx_str_t));

    while (*p) {
        len = strcspn((char *) p, " ");

        change->argv[change->argc].data = p;
        change->argv[change->argc].len = len == 2 && p[0] == '\'' ? 0 : len;
        change->argc++;

        p += len + (p[len] == ' ');
    }
}


static void
delta_pushes(ngx_pool_t *pool, ngx_rf_change_t *change, const char *verb,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    change->argc = n + 1;
    change->argv = ngx_pcalloc(pool, (n + 1) * sizeof(ngx_str_t));

    change->argv[0].data = (u_char *) verb;
    change->argv[0].len = strlen(verb);

    for (i = 1; i <= n; i++) {
        change->argv[i].data = ngx_pnalloc(pool, NGX_INT_T_LEN);
        change->argv[i].len = ngx_sprintf(change->argv[i].data, "%ui", i)
                              - change->argv[i].data;
    }
}


static ngx_rf_record_t *
delta_pops(ngx_pool_t *pool, ngx_uint_t n)
{
    char              line[64];
    ngx_uint_t        i;
    ngx_rf_record_t  *rec;

    rec = delta_record(pool, n);

    for (i = 0; i < n; i++) {
        sprintf(line, "LREM %s job-%05d", i % 7 ? "1" : "-1", (int) i);
        delta_change(pool, &rec->changes[i], line);
    }

    return rec;
}


static ngx_rf_entry_t *
delta_entry(ngx_rf_zone_t *zone, ngx_rf_record_t *rec)
{
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);
    e = ngx_rf_zone_lookup_locked(zone, &rec->key);
    ngx_rf_zone_unlock(zone);

    return e;
}


/* into the zone, out of it, and forgotten */

static ngx_uint_t
delta_round(ngx_rf_zone_t *zone, ngx_rf_record_t *rec, ngx_uint_t *nchanges,
    ngx_uint_t *nsent)
{
    ngx_int_t         rc;
    ngx_uint_t        same;
    ngx_rf_entry_t   *e;
    ngx_rf_record_t  *taken;

    *nchanges = 0;
    *nsent = 0;

    rc = ngx_rf_zone_load(zone, rec, zone->sh->seq, 0, ngx_rf_now());
    e = delta_entry(zone, rec);

    if (rc != NGX_OK || e == NULL) {
        printf("# not loaded: %d\n", (int) rc);
        return 0;
    }

    *nchanges = e->work->nchanges;
    *nsent = e->work->nsent;

    same = sound_zone(zone, 0);

    ngx_rf_zone_lock(zone);

    taken = ngx_rf_zone_record(zone, e);
    ngx_rf_zone_unpend(zone, e);
    ngx_rf_zone_remove(zone, e);

    while (ngx_rf_zone_trash(zone, 1000)) { /* void */ }

    ngx_rf_zone_unlock(zone);

    same = same && delta_same(rec, taken);

    free(taken);

    return same;
}


static ngx_uint_t
delta_same(ngx_rf_record_t *a, ngx_rf_record_t *b)
{
    ngx_str_t   *x, *y;
    ngx_uint_t   i, j, same;

    same = a->nchanges == b->nchanges && a->nsent == b->nsent;

    for (i = 0; same && i < a->nchanges; i++) {
        same = a->changes[i].argc == b->changes[i].argc;

        for (j = 0; same && j < a->changes[i].argc; j++) {
            x = &a->changes[i].argv[j];
            y = &b->changes[i].argv[j];

            same = x->len == y->len
                   && ngx_memcmp(x->data, y->data, x->len) == 0;
        }
    }

    if (!same) {
        printf("# %d changes, %d sent, became %d and %d\n", (int) a->nchanges,
               (int) a->nsent, (int) b->nchanges, (int) b->nsent);
    }

    return same;
}
