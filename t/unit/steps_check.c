/*
 * The next process to lock a zone whose holder was killed, and what it is to
 * find.  See steps.c.
 */

#include <sys/mman.h>
#include "steps.h"
#include "ngx_rf_zone_internal.h"
#include "sound.h"


#define STEPS_ZONE      (1024 * 1024)
#define STEPS_REDIS     (4 * STEPS_ZONE)
#define STEPS_BUCKETS   4


static ngx_uint_t steps_zone(steps_t *s, ngx_rf_zone_t *zone, size_t size,
    const char *name);
static void steps_view_entry(steps_t *s, steps_view_t *view,
    ngx_rf_entry_t *e);
static uint64_t steps_said(steps_t *s, ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, uint64_t *content);
static void steps_told(uint64_t *hash, ngx_rf_record_t *rec);
static void steps_strings(uint64_t *hash, ngx_uint_t n, ngx_str_t *str);
static void steps_digest(uint64_t *hash, void *data, size_t len);
static void steps_number(uint64_t *hash, uint64_t n);
static void steps_follow(steps_t *s, steps_view_t *view);
static void steps_recorded(steps_t *s, steps_view_t *view);
static ngx_uint_t steps_compare_key(steps_t *s, const char *name,
    ngx_uint_t follow);
static void steps_compare_file(steps_t *s, const char *name,
    ngx_uint_t sides, steps_key_t *before, steps_key_t *after,
    steps_key_t *got);
static void steps_compare_words(steps_t *s);
static steps_key_t *steps_key(steps_view_t *view, const char *name,
    size_t len);
static steps_key_t *steps_key_or_none(steps_view_t *view, const char *name);


static steps_key_t  steps_none;


ngx_uint_t
steps_zones(steps_t *s)
{
    return steps_zone(s, &s->zone, STEPS_ZONE, "app")
           && steps_zone(s, &s->redis, STEPS_REDIS, "redis");
}


static ngx_uint_t
steps_zone(steps_t *s, ngx_rf_zone_t *zone, size_t size, const char *name)
{
    void            *copy;
    ngx_shm_zone_t  *shm;

    shm = rf_unit_shm(s->pool, s->log, size);

    if (shm == NULL) {
        return 0;
    }

    /* the same memory as a private one: a fork has its own */

    copy = malloc(size);

    if (copy == NULL) {
        return 0;
    }

    ngx_memcpy(copy, shm->shm.addr, size);

    if (mmap(shm->shm.addr, size, PROT_READ|PROT_WRITE,
             MAP_PRIVATE|MAP_ANON|MAP_FIXED, -1, 0)
        == MAP_FAILED)
    {
        return 0;
    }

    ngx_memcpy(shm->shm.addr, copy, size);
    free(copy);

    zone->name.data = (u_char *) name;
    zone->name.len = ngx_strlen(name);
    zone->files = (zone == &s->zone);
    ngx_memset(zone->path_sha1, 7, 20);
    shm->data = zone;

    if (ngx_rf_zone_init(shm, NULL) != NGX_OK) {
        return 0;
    }

    /* chains of more than one entry, and the same each time: it is made anew,
     * with a smaller table and no random seed */

    ngx_memset(zone->sh->seed, 7, sizeof(zone->sh->seed));
    zone->sh->origin = 7;
    zone->sh->nbuckets = STEPS_BUCKETS;
    zone->sh->busy = STEPS_DEAD;

    ngx_rf_zone_lock(zone);
    ngx_rf_zone_unlock(zone);

    return 1;
}


void
steps_reborn(steps_t *s)
{
    ngx_pid_t  dead;

    dead = *s->zone.shpool->mutex.lock;
    ngx_pid = getpid();

    /* nothing of its own */

    (void) ngx_rf_zone_init(s->zone.shm_zone, s);

    (void) ngx_shmtx_force_unlock(&s->zone.shpool->mutex, dead);
}


void
steps_look(steps_t *s, steps_view_t *view, ngx_uint_t salvage,
    ngx_uint_t follow)
{
    ngx_uint_t         rebuilds;
    ngx_rf_zone_sh_t  *sh;

    alarm(STEPS_ALARM);

    steps_reborn(s);

    sh = s->zone.sh;
    rebuilds = sh->rebuilds;

    if (salvage) {
        sh->busy = STEPS_DEAD;
    }

    /* a dead one may also have died without the lock, building */

    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_pins_look(&s->zone);
    ngx_rf_zone_unlock(&s->zone);

    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_sweep_locked(&s->zone, s->now, 1000);
    ngx_rf_zone_unlock(&s->zone);

    steps_view(s, view);
    view->salvaged = (sh->rebuilds != rebuilds);

    steps_recorded(s, view);

    if (!sound_zone(&s->zone, 0)) {
        steps_wrong(s, "the zone is not sound");
    }

    if (follow) {
        steps_follow(s, view);
    }
}


/* a change on record stays so, whether or not its entry does: what was read
 * before is not to be taken for news.  A pending key needs no record */

static void
steps_recorded(steps_t *s, steps_view_t *view)
{
    ngx_str_t      name;
    ngx_uint_t     i;
    steps_key_t   *key;
    steps_view_t  *before;

    before = &s->shared->base;

    for (i = 0; i < before->n; i++) {
        key = &before->keys[i];

        name.data = (u_char *) key->name;
        name.len = ngx_strlen(key->name);

        if (key->version
            && steps_key_or_none(view, key->name)->said == 0
            && !ngx_rf_zone_outdated(&s->zone, &name, key->version - 1))
        {
            steps_wrong(s, "%s: its last change is not on record", key->name);
        }
    }
}


/* as a new leader does, to the end of the outage */

static void
steps_follow(steps_t *s, steps_view_t *view)
{
    ngx_uint_t         i;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    static const char  *changes[] = {
        "APPEND s1 +", "APPEND s2 +", "INCRBY n1 7", "INCRBY n2 7",
        "HSET h1 zz 1", "HINCRBY h2 zz 1", "RPUSH l1 zz", "LPUSH l2 zz",
        "SADD t1 zz", "SADD t2 zz", "ZADD z1 5 zz", "ZINCRBY z2 5 zz"
    };

    sh = s->zone.sh;

    /* clean entries go in any case, so that all find the same */

    if (!view->salvaged) {
        sh->busy = STEPS_DEAD;
    }

    sh->leader = ngx_pid;

    ngx_rf_zone_replay_reset(&s->zone);
    ngx_rf_zone_reclaim(&s->zone);

    for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        steps_run(s, changes[i]);
    }

    steps_drain(s);

    if (sh->npending) {
        steps_wrong(s, "%d keys are pending after all", (int) sh->npending);
    }

    if (!sound_zone(&s->zone, 0)) {
        steps_wrong(s, "the zone is not sound in the end");
    }

    ngx_rf_zone_lock(&s->redis);

    sh = s->redis.sh;

    for (i = 0; i < sh->nbuckets; i++) {
        for (e = ngx_rf_zone_at(sh, sh->buckets[i]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {

            if (e->type != NGX_RF_NONE) {
                steps_key(view, (char *) e->key, e->key_len)->end
                    = steps_said(s, &s->redis, e, NULL);
            }
        }
    }

    ngx_rf_zone_unlock(&s->redis);
}


void
steps_view(steps_t *s, steps_view_t *view)
{
    ngx_str_t          run_id;
    ngx_uint_t         i;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    ngx_memzero(view, sizeof(steps_view_t));

    sh = s->zone.sh;

    ngx_rf_zone_lock(&s->zone);

    view->seq = sh->seq;
    view->spilled = sh->spilled;
    view->npending = sh->npending;

    /* those that matter first: a view has a limited number of keys */

    for (i = 0; i < 2 * sh->nbuckets; i++) {
        for (e = ngx_rf_zone_at(sh, sh->buckets[i % sh->nbuckets]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {

            if ((e->pending == NGX_RF_CLEAN && !ngx_rf_zone_on_disk(e))
                == (i >= sh->nbuckets))
            {
                steps_view_entry(s, view, e);
            }
        }
    }

    ngx_rf_zone_unlock(&s->zone);

    run_id.data = (u_char *) "0123456789012345678901234567890123456789";
    run_id.len = 40;

    view->nabandoned = ngx_rf_zone_abandoned(&s->zone, &run_id,
                                             view->abandoned);
}


static void
steps_view_entry(steps_t *s, steps_view_t *view, ngx_rf_entry_t *e)
{
    steps_key_t  *key;

    if (e->version > s->zone.sh->seq) {
        steps_wrong(s, "%.*s: a version that was not given yet",
                    (int) e->key_len, e->key);
    }

    if (e->pending == NGX_RF_CLEAN && !ngx_rf_zone_on_disk(e)
        && view->n >= STEPS_KEYS / 2)
    {
        return;
    }

    key = steps_key(view, (char *) e->key, e->key_len);

    key->version = e->version;
    key->file = ngx_rf_zone_on_disk(e);

    if (e->pending == NGX_RF_CLEAN) {

        if (e->work->file_version && !e->work->where && !e->work->writer) {
            steps_wrong(s, "%s: its file will stay", key->name);
        }

        return;
    }

    key->said = steps_said(s, &s->zone, e, &key->content);
    key->id = e->work->id;
    key->durable = (e->work->file_version == e->version);

    if (e->work->nsent && e->work->id == 0) {
        steps_wrong(s, "%s: sent under no id", key->name);
    }

    if (!key->durable && !e->work->where && !e->work->writer
        && s->zone.sh->files)
    {
        steps_wrong(s, "%s: nobody will write it", key->name);
    }
}


/* what Redis is to be told, and what is read meanwhile; of Redis the latter */

static uint64_t
steps_said(steps_t *s, ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    uint64_t *content)
{
    uint64_t          hash;
    ngx_rf_record_t  *rec;

    rec = ngx_rf_zone_record(zone, e);

    if (rec == NULL) {
        steps_wrong(s, "no memory");
        return 0;
    }

    hash = 0xcbf29ce484222325ULL;

    steps_number(&hash, rec->type);
    steps_strings(&hash, rec->nvalues, rec->values);

    if (rec->type != NGX_RF_NONE) {
        steps_number(&hash, rec->expire);
    }

    if (content) {
        steps_told(&hash, rec);
        *content = hash;

        steps_number(&hash, rec->nsent);
        steps_number(&hash, rec->nsent ? rec->id : 0);
    }

    free(rec);

    return hash + (hash == 0);
}


static void
steps_told(uint64_t *hash, ngx_rf_record_t *rec)
{
    ngx_uint_t  i;

    steps_number(hash, rec->pending);
    steps_number(hash, rec->complete);
    steps_number(hash, rec->partial);
    steps_number(hash, rec->foreign);

    if (rec->pending == NGX_RF_REPLACE) {
        steps_number(hash, rec->base);
        steps_number(hash, rec->base_expires);

        if (rec->base == NGX_RF_BASE_KNOWN
            || rec->base == NGX_RF_BASE_COLL)
        {
            steps_digest(hash, rec->base_sha1, 20);
        }
    }

    for (i = 0; i < rec->nchanges; i++) {
        steps_strings(hash, rec->changes[i].argc, rec->changes[i].argv);
    }
}


static void
steps_strings(uint64_t *hash, ngx_uint_t n, ngx_str_t *str)
{
    ngx_uint_t  i;

    steps_number(hash, n);

    for (i = 0; i < n; i++) {
        steps_number(hash, str[i].len);
        steps_digest(hash, str[i].data, str[i].len);
    }
}


static void
steps_number(uint64_t *hash, uint64_t n)
{
    steps_digest(hash, &n, sizeof(uint64_t));
}


/* FNV-1a */

static void
steps_digest(uint64_t *hash, void *data, size_t len)
{
    size_t   i;
    u_char  *p;

    p = data;

    for (i = 0; i < len; i++) {
        *hash = (*hash ^ p[i]) * 0x100000001b3ULL;
    }
}


ngx_uint_t
steps_compare(steps_t *s, ngx_uint_t follow)
{
    ngx_uint_t       i, sides, of;
    steps_view_t    *views[3];
    steps_shared_t  *shared;

    shared = s->shared;
    sides = 3;

    views[0] = &shared->before;
    views[1] = &shared->after;
    views[2] = &shared->got;

    for (i = 0; i < 3; i++) {
        ngx_uint_t  k;

        for (k = 0; k < views[i]->n; k++) {

            /* each once */

            if ((i > 0 && steps_key_or_none(views[0], views[i]->keys[k].name)
                          != &steps_none)
                || (i > 1
                    && steps_key_or_none(views[1], views[i]->keys[k].name)
                       != &steps_none))
            {
                continue;
            }

            of = steps_compare_key(s, views[i]->keys[k].name, follow);

            if (of == 0) {
                return 0;
            }

            sides &= of;
        }
    }

    if (sides == 0 && (s->op->flags & STEPS_WHOLE)) {
        steps_wrong(s, "it was done in part");
    }

    steps_compare_words(s);

    return sides;
}


/* a bit for each side that it agrees with */

static ngx_uint_t
steps_compare_key(steps_t *s, const char *name, ngx_uint_t follow)
{
    ngx_uint_t    sides;
    steps_key_t  *base, *before, *after, *got;

    base = steps_key_or_none(&s->shared->base, name);
    before = steps_key_or_none(&s->shared->before, name);
    after = steps_key_or_none(&s->shared->after, name);
    got = steps_key_or_none(&s->shared->got, name);

    sides = (got->said == before->said) | (got->said == after->said) << 1;

    if (sides == 0) {
        steps_wrong(s, "%s: Redis is told neither as before nor as after%s",
                    name, got->said ? "" : " (nothing)");
        return 0;
    }

    if (follow) {
        sides &= (got->end == before->end) | (got->end == after->end) << 1;

        if (sides == 0) {
            steps_wrong(s, "%s: in the end it is %s", name,
                        got->end ? "something else" : "not there");
            return 0;
        }
    }

    if (got->said && base->said && got->content != base->content
        && got->version <= base->version)
    {
        steps_wrong(s, "%s: changed, and the version has not risen", name);
    }

    if (got->version && got->version < base->version
        && !((sides & 2) && got->version == after->version))
    {
        steps_wrong(s, "%s: the version has fallen", name);
    }

    if (got->said) {
        if (!((sides & 1) && (before->id == 0 || got->id == before->id))
            && !((sides & 2) && (after->id == 0 || got->id == after->id)))
        {
            steps_wrong(s, "%s: another id", name);
        }
    }

    steps_compare_file(s, name, sides, before, after, got);

    return sides;
}


static void
steps_compare_file(steps_t *s, const char *name, ngx_uint_t sides,
    steps_key_t *before, steps_key_t *after, steps_key_t *got)
{
    if (got->durable
        && !((sides & 1) && before->durable)
        && !((sides & 2) && after->durable))
    {
        steps_wrong(s, "%s: its file does not hold this version", name);
    }

    /* one too many is but removed in vain */

    if (!got->file
        && !((sides & 1) && !before->file)
        && !((sides & 2) && !after->file))
    {
        steps_wrong(s, "%s: its file is forgotten", name);
    }
}


static void
steps_compare_words(steps_t *s)
{
    ngx_uint_t     i, j, k;
    steps_view_t  *before, *after, *got;

    before = &s->shared->before;
    after = &s->shared->after;
    got = &s->shared->got;

    if (got->seq < s->shared->base.seq) {
        steps_wrong(s, "the sequence number has fallen");
    }

    if (got->spilled != before->spilled && got->spilled != after->spilled
        && (s->op->flags & STEPS_WHOLE))
    {
        steps_wrong(s, "spilled keys: %d", (int) got->spilled);
    }

    if (before->spilled != after->spilled
        && got->spilled + got->npending < before->spilled + before->npending)
    {
        steps_wrong(s, "a spilled key is lost: %d and %d of %d and %d",
                    (int) got->spilled, (int) got->npending,
                    (int) before->spilled, (int) before->npending);
    }

    for (i = 0; i < before->nabandoned; i++) {

        for (j = 0; j < after->nabandoned; j++) {
            if (after->abandoned[j] == before->abandoned[i]) {
                break;
            }
        }

        for (k = 0; k < got->nabandoned; k++) {
            if (got->abandoned[k] == before->abandoned[i]) {
                break;
            }
        }

        if (j < after->nabandoned && k == got->nabandoned) {
            steps_wrong(s, "connection %d is forgotten",
                        (int) before->abandoned[i]);
        }
    }
}


static steps_key_t *
steps_key(steps_view_t *view, const char *name, size_t len)
{
    char          text[32];
    steps_key_t  *key;

    len = ngx_min(len, sizeof(text) - 1);
    ngx_memcpy(text, name, len);
    text[len] = '\0';

    key = steps_key_or_none(view, text);

    if (key != &steps_none) {
        return key;
    }

    if (view->n == STEPS_KEYS) {
        /* the last one stands for all that are too many */
        return &view->keys[view->n - 1];
    }

    key = &view->keys[view->n++];

    ngx_memzero(key, sizeof(steps_key_t));
    ngx_memcpy(key->name, text, sizeof(text));

    return key;
}


static steps_key_t *
steps_key_or_none(steps_view_t *view, const char *name)
{
    ngx_uint_t  i;

    for (i = 0; i < view->n; i++) {
        if (ngx_strcmp(view->keys[i].name, name) == 0) {
            return &view->keys[i];
        }
    }

    return &steps_none;
}


void
steps_wrong(steps_t *s, const char *fmt, ...)
{
    va_list  args;

    s->shared->wrong++;

    printf("# %s: ", s->op->name);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
    fflush(stdout);
}
