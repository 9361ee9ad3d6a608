/*
 * The zone itself: creation and attachment, the lock, the table of entries and
 * their lists, expiry.
 *
 * Guarantees: an entry is linked into its chain by one store, when it is
 * complete, and leaves it by one store before it is freed, so the chains can
 * be walked after a holder of the lock was killed anywhere.  Everything else
 * (lists, the slab pool) is made anew then.
 *
 * Refuses to know: what commands mean, modes, Redis, files.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/rand.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


static ngx_int_t ngx_rf_zone_create(ngx_rf_zone_t *zone);
static ngx_int_t ngx_rf_zone_attach(ngx_rf_zone_t *zone);
static void ngx_rf_zone_repath_entry(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static ngx_rf_disk_e ngx_rf_zone_where(ngx_rf_zone_sh_t *sh,
    ngx_rf_entry_t *e);
static void ngx_rf_zone_touch(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static void ngx_rf_zone_remember(ngx_rf_zone_t *zone, uint32_t hash,
    uint64_t version);


ngx_int_t
ngx_rf_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_rf_zone_t  *zone;

    zone = shm_zone->data;

    zone->shm_zone = shm_zone;
    zone->log = shm_zone->shm.log;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    zone->undoing = 0;
    zone->urgent = 0;
    zone->plain = 0;
    zone->prepared = 0;
    zone->kept = NULL;
    zone->hashed = NULL;
    zone->lender = 0;
    zone->lent = NULL;

    ngx_rf_zone_heap_init(zone);

    if (data != NULL || shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;
        return ngx_rf_zone_attach(zone);
    }

    return ngx_rf_zone_create(zone);
}


static ngx_int_t
ngx_rf_zone_create(ngx_rf_zone_t *zone)
{
    ngx_uint_t         n;
    ngx_rf_zone_sh_t  *sh;

    if (zone->shm_zone->shm.size >> NGX_RF_ZONE_UNIT >= NGX_RF_ZONE_LINE) {
        ngx_log_error(NGX_LOG_EMERG, zone->log, 0,
                      "zone of store \"%V\" is too large", &zone->name);
        return NGX_ERROR;
    }

    for (n = 256; n * 2 <= zone->shm_zone->shm.size / 256; n *= 2) {
        /* void */
    }

    /* the first allocation of the pool: a rebuilt one gives the same address */

    sh = ngx_slab_calloc(zone->shpool, ngx_rf_zone_block_size(zone, n));
    if (sh == NULL) {
        ngx_log_error(NGX_LOG_EMERG, zone->log, 0,
                      "zone of store \"%V\" is too small", &zone->name);
        return NGX_ERROR;
    }

    if (RAND_bytes(sh->seed, sizeof(sh->seed)) != 1
        || RAND_bytes((u_char *) &sh->origin, sizeof(sh->origin)) != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, zone->log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    sh->magic = NGX_RF_ZONE_MAGIC;
    sh->layout = NGX_RF_ZONE_LAYOUT;
    sh->nbuckets = n;
    sh->mode_since = ngx_time();

    /* versions go on rising over restarts, as the durable mark needs it; in
     * microseconds they stay below 2^53, what JSON numbers hold */

    sh->seq = (uint64_t) ngx_rf_now() * 1000;

    sh->files = zone->files;

    if (zone->files) {
        ngx_memcpy(sh->path_sha1, zone->path_sha1, 20);
    }

    ngx_rf_zone_reset(sh);

    zone->sh = sh;
    zone->shpool->data = sh;

    ngx_rf_zone_log_ctx(zone);

    if (ngx_rf_zone_work_reserve(zone, NGX_RF_ZONE_UNDO, NULL, 0) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, zone->log, 0,
                      "zone of store \"%V\" is too small", &zone->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


size_t
ngx_rf_zone_block_size(ngx_rf_zone_t *zone, ngx_uint_t nbuckets)
{
    return sizeof(ngx_rf_zone_sh_t) + nbuckets * sizeof(uint32_t)
           + sizeof(" in redis fallback store \"\"") + zone->name.len;
}


void
ngx_rf_zone_reset(ngx_rf_zone_sh_t *sh)
{
    sh->buckets = (uint32_t *) (sh + 1);
    ngx_memzero(sh->buckets, sh->nbuckets * sizeof(uint32_t));

    ngx_rf_zone_reset_lists(sh);
}


void
ngx_rf_zone_reset_lists(ngx_rf_zone_sh_t *sh)
{
    ngx_uint_t  i;

    ngx_rf_zone_line_reset(sh);

    ngx_memzero(&sh->none, sizeof(ngx_rf_zwork_t));
    sh->spare = NULL;
    sh->nspare = 0;

    for (i = 0; i < NGX_RF_ZONE_LOGS; i++) {
        ngx_queue_init(&sh->unlogged[i]);
        ngx_queue_init(&sh->unacked[i]);
    }

    ngx_queue_init(&sh->logging);
    ngx_queue_init(&sh->dirty);
    ngx_queue_init(&sh->writing);
    ngx_queue_init(&sh->trash);

    sh->entries = 0;
    sh->live = 0;
    sh->npending = 0;
    sh->nunlogged = 0;
    sh->nunacked = 0;
    sh->nlogging = 0;
    sh->ndirty = 0;
    sh->nwriting = 0;
    sh->nrestoring = 0;
    sh->restore_at = 0;
    sh->undo = sh->undo_first;
    sh->undo_max = NGX_RF_ZONE_UNDO;
    sh->nundo = 0;
    sh->npins = 0;
    sh->orphaned = 0;
    ngx_memzero(sh->pins, sizeof(sh->pins));
}


void
ngx_rf_zone_log_ctx(ngx_rf_zone_t *zone)
{
    u_char  *p;

    p = (u_char *) &zone->sh->buckets[zone->sh->nbuckets];

    ngx_sprintf(p, " in redis fallback store \"%V\"%Z", &zone->name);

    zone->shpool->log_ctx = p;
    zone->shpool->log_nomem = 0;
}


static ngx_int_t
ngx_rf_zone_attach(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (sh == NULL || sh->magic != NGX_RF_ZONE_MAGIC
        || sh->layout != NGX_RF_ZONE_LAYOUT)
    {
        ngx_log_error(NGX_LOG_EMERG, zone->log, 0,
                      "zone of store \"%V\" was made by another version of "
                      "the module", &zone->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_rf_zone_elsewhere(ngx_rf_zone_t *zone, ngx_rf_zone_sh_t *sh)
{
    return sh->files != zone->files
           || (sh->files && ngx_memcmp(sh->path_sha1, zone->path_sha1, 20));
}


void
ngx_rf_zone_repath(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i;
    ngx_rf_entry_t    *e, *next;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    sh->files = zone->files;
    ngx_memzero(sh->path_sha1, 20);

    if (zone->files) {
        ngx_memcpy(sh->path_sha1, zone->path_sha1, 20);
    }

    for (i = 0; i < sh->nbuckets; i++) {
        for (e = ngx_rf_zone_at(sh, sh->buckets[i]); e; e = next) {
            next = ngx_rf_zone_next(sh, e);
            ngx_rf_zone_repath_entry(zone, e);
        }
    }

    sh->stat.files = 0;
    sh->spilled = 0;
    sh->disk_failed = 0;
    sh->files_failed = 0;
    sh->journal_full = 0;
    sh->journal_scan = 0;
    sh->journal_bytes = 0;
    sh->journal_base = 0;
    sh->turn = 0;

    ngx_rf_zone_unlock(zone);
}


void
ngx_rf_zone_overlap(ngx_rf_zone_t *from, ngx_rf_zone_t *to, ngx_msec_t time)
{
    ngx_time_update();

    from->sh->overlap = ngx_current_msec + time;
    to->sh->overlap = ngx_current_msec + time;
}


ngx_uint_t
ngx_rf_zone_overlaps(ngx_rf_zone_sh_t *sh)
{
    if (sh->overlap == 0) {
        return 0;
    }

    /* the time when this turn began is not good enough */

    ngx_time_update();

    if ((ngx_msec_int_t) (sh->overlap - ngx_current_msec) > 0) {
        return 1;
    }

    if (!sh->superseded) {
        sh->overlap = 0;
    }

    return 0;
}


static void
ngx_rf_zone_repath_entry(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->work != &zone->sh->none) {
        ngx_rf_zone_unplace(zone, e);

        if (e->work->writer) {
            zone->sh->nwriting--;
            e->work->writer = 0;
        }

        e->work->file_version = 0;
        e->work->log_version = 0;
        e->work->log_begun = 0;
        e->work->logged = 0;
        e->work->acked = 0;
    }

    if (e->pending == NGX_RF_CLEAN && !e->complete && !e->flying) {
        ngx_rf_zone_remove(zone, e);
        return;
    }

    ngx_rf_zone_requeue(zone, e);
    ngx_rf_zone_place(zone, e);
}


void
ngx_rf_zone_lock(ngx_rf_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->sh->busy || zone->sh->orphaned) {
        ngx_rf_zone_salvage(zone);
    }

    zone->sh->busy = ngx_pid;
    ngx_memory_barrier();
}


void
ngx_rf_zone_unlock(ngx_rf_zone_t *zone)
{
    ngx_memory_barrier();
    zone->sh->busy = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_rf_entry_t *
ngx_rf_zone_lookup_locked(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    uint32_t  hash;

    hash = (key == zone->hashed) ? zone->hash
                                 : ngx_rf_zone_hash(zone->sh, key);

    return ngx_rf_zone_lookup_hash_locked(zone, key, hash);
}


ngx_rf_entry_t *
ngx_rf_zone_lookup_hash_locked(ngx_rf_zone_t *zone, ngx_str_t *key,
    uint32_t hash)
{
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    for (e = ngx_rf_zone_at(sh, sh->buckets[hash & (sh->nbuckets - 1)]);
         e;
         e = ngx_rf_zone_next(sh, e))
    {
        if (e->hash == hash
            && e->key_len == key->len
            && ngx_memcmp(e->key, key->data, key->len) == 0)
        {
            ngx_rf_prefetch(e->value);
            return e;
        }
    }

    return NULL;
}


ngx_rf_entry_t *
ngx_rf_zone_find_locked(ngx_rf_zone_t *zone, ngx_str_t *key, int64_t now)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_lookup_locked(zone, key);

    return e ? ngx_rf_zone_found_locked(zone, e, now) : NULL;
}


ngx_rf_entry_t *
ngx_rf_zone_found_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, int64_t now)
{
    if (e->expire == 0 || e->expire > now) {
        ngx_rf_zone_touch(zone, e);
        return e;
    }

    if (e->flying) {
        return NULL;
    }

    return ngx_rf_zone_expired(zone, e, now);
}


/* at most once a second: a hot entry is near the head anyway */

static void
ngx_rf_zone_touch(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->used == (uint8_t) ngx_time()
        || e->pending != NGX_RF_CLEAN
        || e->flying
        || ngx_rf_zone_on_disk(e))
    {
        return;
    }

    ngx_rf_zone_requeue(zone, e);
}


ngx_rf_entry_t *
ngx_rf_zone_insert_locked(ngx_rf_zone_t *zone, ngx_str_t *key,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    uint32_t          *bucket;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    e = ngx_rf_zone_alloc_locked(zone, ngx_rf_entry_size(key->len), keep,
                                 nkeep);
    if (e == NULL) {
        return NULL;
    }

    /* the reserve stays for what is there already: a deletion must not be
     * refused because new keys have taken all */

    if (zone->undoing
        && ngx_rf_zone_work_reserve(zone, NGX_RF_ZONE_UNDO + 1, keep, nkeep)
           != NGX_OK)
    {
        ngx_slab_free_locked(zone->shpool, e);
        return NULL;
    }

    ngx_memzero(e, offsetof(ngx_rf_entry_t, key));

    e->work = &sh->none;
    e->magic = NGX_RF_ENTRY_MAGIC;
    e->hash = ngx_rf_zone_hash(sh, key);
    e->key_len = key->len;
    ngx_memcpy(e->key, key->data, key->len);

    bucket = &sh->buckets[e->hash & (sh->nbuckets - 1)];
    e->next = *bucket;

    ngx_memory_barrier();

    *bucket = ngx_rf_zone_number(sh, e);

    e->used = (uint8_t) ngx_time();
    ngx_rf_zone_line_head(sh, NGX_RF_LINE_CLEAN, e);
    sh->entries++;

    ngx_rf_zone_save(zone, e, 1);

    return e;
}


void
ngx_rf_zone_remove(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    uint32_t          *p, number;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    number = ngx_rf_zone_number(sh, e);

    for (p = &sh->buckets[e->hash & (sh->nbuckets - 1)];
         *p;
         p = &ngx_rf_zone_at(sh, *p)->next)
    {
        if (*p == number) {
            *p = e->next;
            break;
        }
    }

    ngx_memory_barrier();

    ngx_rf_zone_remember(zone, e->hash, e->version);

    ngx_rf_zone_ungroup(e);

    while (e->work->undo) {
        ngx_rf_zone_settle(zone, &sh->undo[e->work->undo - 1]);
    }

    if (e->expire) {
        ngx_rf_zone_due_unlink(sh, e);
    }

    ngx_rf_zone_line_remove(sh, e);

    ngx_rf_zone_unplace(zone, e);

    if (e->work->writer) {
        sh->nwriting--;
    }

    sh->entries--;
    sh->live -= (e->type != NGX_RF_NONE);

    if (e->pending != NGX_RF_CLEAN) {
        sh->npending--;

    } else if (e->flying) {
        sh->nrestoring--;
    }

    ngx_rf_zone_free_changes(zone, e->work->changes);
    ngx_rf_zone_free_value(zone, e->type, e->value);
    ngx_rf_zone_work_drop(zone, e);
    ngx_slab_free_locked(zone->shpool, e);
}


/* what was read in Redis before this version is not news any more */

static void
ngx_rf_zone_remember(ngx_rf_zone_t *zone, uint32_t hash, uint64_t version)
{
    uint64_t  *stamp;

    stamp = &zone->sh->removed[(hash >> 16) % NGX_RF_ZONE_STAMPS];

    if (*stamp < version) {
        *stamp = version;
    }
}


ngx_uint_t
ngx_rf_zone_changed_locked(ngx_rf_zone_t *zone, ngx_str_t *key,
    ngx_rf_entry_t *e, uint64_t seq)
{
    uint32_t  hash;

    if (e != NULL) {
        hash = e->hash;

        if (e->version > seq) {
            return 1;
        }

    } else {
        hash = ngx_rf_zone_hash(zone->sh, key);
    }

    return zone->sh->removed[(hash >> 16) % NGX_RF_ZONE_STAMPS] > seq;
}


void
ngx_rf_zone_forget_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->pending != NGX_RF_CLEAN) {
        return;
    }

    e->version = ++zone->sh->seq;

    if (!e->flying && !ngx_rf_zone_on_disk(e)) {
        ngx_rf_zone_remove(zone, e);
        return;
    }

    ngx_rf_zone_remember(zone, e->hash, e->version);

    ngx_rf_zone_set_locked(zone, e, NGX_RF_NONE, NULL);
    ngx_rf_zone_expire_locked(zone, e, 0);

    e->complete = 0;
    e->seen = 0;
}


void
ngx_rf_zone_forget_key_locked(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_lookup_locked(zone, key);

    if (e != NULL) {
        ngx_rf_zone_forget_locked(zone, e);
        return;
    }

    ngx_rf_zone_remember(zone, ngx_rf_zone_hash(zone->sh, key),
                         ++zone->sh->seq);
}


void
ngx_rf_zone_forget_all_locked(ngx_rf_zone_t *zone)
{
    ngx_rf_entry_t    *e, *next;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    for (e = ngx_rf_zone_line_first(sh, NGX_RF_LINE_CLEAN); e; e = next) {
        next = ngx_rf_zone_line_next(sh, e);
        ngx_rf_zone_forget_locked(zone, e);
    }

    for (e = ngx_rf_zone_line_first(sh, NGX_RF_LINE_STALE);
         e;
         e = ngx_rf_zone_line_next(sh, e))
    {
        ngx_rf_zone_forget_locked(zone, e);
    }

    ngx_rf_zone_remember_all(zone);
}


void
ngx_rf_zone_remember_all(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    sh->seq++;

    for (i = 0; i < NGX_RF_ZONE_STAMPS; i++) {
        sh->removed[i] = sh->seq;
    }
}


void
ngx_rf_zone_requeue(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_line_remove(sh, e);

    if (e->flying) {
        ngx_rf_zone_line_tail(sh, NGX_RF_LINE_FLYING, e);

    } else if (e->pending != NGX_RF_CLEAN) {
        ngx_rf_zone_line_tail(sh, NGX_RF_LINE_PENDING, e);

    } else if (ngx_rf_zone_on_disk(e)) {
        ngx_rf_zone_line_tail(sh, NGX_RF_LINE_STALE, e);

    } else {
        e->used = (uint8_t) ngx_time();
        ngx_rf_zone_line_head(sh, NGX_RF_LINE_CLEAN, e);
        ngx_rf_zone_work_rid(zone, e);
    }
}


void
ngx_rf_zone_place(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_queue_t       *queue;
    ngx_rf_disk_e      where;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    where = ngx_rf_zone_where(sh, e);

    if (e->work->where == where) {
        return;
    }

    ngx_rf_zone_unplace(zone, e);

    switch (where) {

    case NGX_RF_DISK_UNLOGGED:
        queue = &sh->unlogged[ngx_process_slot % NGX_RF_ZONE_LOGS];
        sh->nunlogged++;
        break;

    case NGX_RF_DISK_UNACKED:
        queue = &sh->unacked[ngx_process_slot % NGX_RF_ZONE_LOGS];
        sh->nunlogged++;
        sh->nunacked++;
        break;

    case NGX_RF_DISK_DIRTY:
        queue = &sh->dirty;
        sh->ndirty++;
        break;

    case NGX_RF_DISK_WRITING:
        queue = &sh->writing;
        break;

    default: /* NGX_RF_DISK_NONE; LOGGING is for log_take() */
        return;
    }

    e->work->where = where;
    ngx_queue_insert_tail(queue, &e->work->disk);
}


static ngx_rf_disk_e
ngx_rf_zone_where(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    if (!sh->files) {
        return NGX_RF_DISK_NONE;
    }

    if (e->pending == NGX_RF_CLEAN) {

        if (ngx_rf_zone_unacked(sh, e)) {
            return NGX_RF_DISK_UNACKED;
        }

    } else if (e->work->file_version != e->version
               && e->work->log_version < e->version)
    {
        return NGX_RF_DISK_UNLOGGED;
    }

    /* one that is being written comes back when the writer is done */

    if (e->work->writer) {
        return NGX_RF_DISK_WRITING;
    }

    if (e->pending == NGX_RF_CLEAN ? e->work->file_version != 0
                                   : e->work->file_version != e->version)
    {
        return NGX_RF_DISK_DIRTY;
    }

    return NGX_RF_DISK_NONE;
}


void
ngx_rf_zone_unplace(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    switch (e->work->where) {

    case NGX_RF_DISK_NONE:
        return;

    case NGX_RF_DISK_UNLOGGED:
        sh->nunlogged--;
        break;

    case NGX_RF_DISK_UNACKED:
        sh->nunlogged--;
        sh->nunacked--;
        break;

    case NGX_RF_DISK_LOGGING:
        sh->nlogging--;
        break;

    case NGX_RF_DISK_DIRTY:
        sh->ndirty--;
        break;

    default: /* NGX_RF_DISK_WRITING: counted with the claim */
        break;
    }

    e->work->where = NGX_RF_DISK_NONE;
    ngx_queue_remove(&e->work->disk);
}


ngx_rf_entry_t *
ngx_rf_zone_expired(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, int64_t now)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (e->pending == NGX_RF_DELTA && !ngx_rf_zone_expires_locally(e)) {

        /* it was Redis' own expiry: there is nothing left to be changed */

        (void) ngx_atomic_fetch_add(&sh->stat.expired, 1);
        ngx_rf_zone_unpend(zone, e);
    }

    if (e->pending == NGX_RF_CLEAN) {
        if (!ngx_rf_zone_on_disk(e)) {
            ngx_rf_zone_remove(zone, e);
            return NULL;
        }

        ngx_rf_zone_forget_locked(zone, e);
        return e;
    }

    (void) ngx_atomic_fetch_add(&sh->stat.expired, 1);

    ngx_rf_zone_set_locked(zone, e, NGX_RF_NONE, NULL);
    ngx_rf_zone_replaced_locked(zone, e, 0, now);
    ngx_rf_zone_expire_locked(zone, e, 0);

    return e;
}


ngx_uint_t
ngx_rf_zone_expires_locally(ngx_rf_entry_t *e)
{
    ngx_str_t          verb;
    ngx_rf_zchange_t  *c;

    for (c = e->work->changes; c; c = c->next) {

        if (ngx_rf_zone_change_str(c, 0, &verb) == NGX_OK
            && verb.len == sizeof("PEXPIREAT") - 1
            && ngx_memcmp(verb.data, "PEXPIREAT", verb.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
