/*
 * What the file tier lags behind on, and what it gives back.
 *
 * Guarantees: a claim of a writer ends with dirty_done(), or with reclaim()
 * once that process is gone.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* entries of each list that one dirty_take() steps over: bounds the time that
 * the lock is held */
#define NGX_RF_ZONE_DIRTY_LOOK  1024

/* above all versions */
#define NGX_RF_ZONE_ANY         ((uint64_t) -1)


static ngx_rf_entry_t *ngx_rf_zone_dirty_next(ngx_rf_zone_sh_t *sh,
    ngx_uint_t looked[2 * NGX_RF_ZONE_LOGS]);
static ngx_rf_entry_t *ngx_rf_zone_dirty_look(ngx_rf_zone_sh_t *sh,
    ngx_queue_t *queue, ngx_uint_t *looked);
static ngx_uint_t ngx_rf_zone_dirty_may(ngx_rf_zone_sh_t *sh,
    ngx_rf_entry_t *e);
static void ngx_rf_zone_disclaim(ngx_rf_zone_t *zone,
    ngx_rf_record_t **list);
static void ngx_rf_zone_dirty_done_entry(ngx_rf_zone_t *zone,
    ngx_rf_record_t *rec);
static void ngx_rf_zone_release(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_dead(ngx_pid_t pid);


void
ngx_rf_zone_unpend(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    e->whole = (e->pending == NGX_RF_REPLACE);
    e->pending = NGX_RF_CLEAN;
    e->work->late = 0;
    e->work->renamed = 0;
    e->work->widened = 0;
    zone->sh->npending--;

    ngx_rf_zone_ungroup(e);

    ngx_memory_barrier();

    ngx_rf_zone_drop_changes(zone, e);
    e->work->base = NGX_RF_BASE_UNKNOWN;

    ngx_rf_zone_requeue(zone, e);
    ngx_rf_zone_place(zone, e);
}


ngx_rf_record_t *
ngx_rf_zone_dirty_take(ngx_rf_zone_t *zone, ngx_uint_t n, size_t bytes)
{
    return ngx_rf_zone_dirty_settled(zone, n, bytes, NGX_RF_ZONE_ANY);
}


ngx_rf_record_t *
ngx_rf_zone_dirty_settled(ngx_rf_zone_t *zone, ngx_uint_t n, size_t bytes,
    uint64_t version)
{
    size_t             size;
    ngx_int_t          rc;
    ngx_uint_t         looked[2 * NGX_RF_ZONE_LOGS];
    ngx_rf_entry_t    *e;
    ngx_rf_record_t   *list, **last, *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    list = NULL;
    last = &list;
    size = 0;
    ngx_memzero(looked, sizeof(looked));

    ngx_rf_zone_lock(zone);

    /* a worker of an older configuration knows another path */

    if (sh->superseded || ngx_rf_zone_elsewhere(zone, sh) || !sh->files) {
        n = 0;
    }

    while (n && size < bytes) {

        e = ngx_rf_zone_dirty_next(sh, looked);

        /* the list is in the order of changes, about; files that are to go
         * only need not wait */

        if (e == NULL
            || (e->pending != NGX_RF_CLEAN && e->version > version))
        {
            break;
        }

        ngx_rf_zone_unplace(zone, e);

        e->work->writer = ngx_pid;
        e->work->where = NGX_RF_DISK_WRITING;
        ngx_queue_insert_tail(&sh->writing, &e->work->disk);
        sh->nwriting++;

        size += e->key_len + ngx_rf_zone_weight(e);
        n--;

        rc = ngx_rf_zone_claim_record(zone, e, &rec);

        if (rc == NGX_ERROR && e->work->writer == ngx_pid) {
            ngx_rf_zone_release(zone, e);
        }

        if (rc == NGX_AGAIN) {
            ngx_rf_zone_disclaim(zone, &list);
        }

        if (rc != NGX_OK) {
            break;
        }

        *last = rec;
        last = &rec->next;
    }

    ngx_rf_zone_unlock(zone);

    return list;
}


/* where the journal takes no changes, what it lags behind on, too */

static ngx_rf_entry_t *
ngx_rf_zone_dirty_next(ngx_rf_zone_sh_t *sh,
    ngx_uint_t looked[2 * NGX_RF_ZONE_LOGS])
{
    ngx_uint_t       i;
    ngx_rf_entry_t  *e;

    if (!ngx_queue_empty(&sh->dirty)) {
        return ngx_rf_zone_disk_entry(ngx_queue_head(&sh->dirty));
    }

    if ((!sh->disk_failed && !sh->journal_full) || !sh->files_ready) {
        return NULL;
    }

    for (i = 0; i < NGX_RF_ZONE_LOGS; i++) {
        e = ngx_rf_zone_dirty_look(sh, &sh->unlogged[i], &looked[2 * i]);

        if (e == NULL) {
            e = ngx_rf_zone_dirty_look(sh, &sh->unacked[i],
                                       &looked[2 * i + 1]);
        }

        if (e) {
            return e;
        }
    }

    return NULL;
}


/* once around, and at the next time from there on */

static ngx_rf_entry_t *
ngx_rf_zone_dirty_look(ngx_rf_zone_sh_t *sh, ngx_queue_t *queue,
    ngx_uint_t *looked)
{
    ngx_queue_t     *q, *first;
    ngx_rf_entry_t  *e;

    first = NULL;

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue) && q != first
         && *looked < NGX_RF_ZONE_DIRTY_LOOK;
         q = ngx_queue_head(queue))
    {
        e = ngx_rf_zone_disk_entry(q);

        if (ngx_rf_zone_dirty_may(sh, e)) {
            return e;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(queue, q);

        if (first == NULL) {
            first = q;
        }

        (*looked)++;
    }

    return NULL;
}


/* Of what is done with only a file can be removed; that it is done with is for
 * the journal to say.  While that has lines which do not say so the file stays:
 * they may be older, and would be replayed without it. */

static ngx_uint_t
ngx_rf_zone_dirty_may(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    return e->work->writer == 0
           && (e->pending != NGX_RF_CLEAN
               || (e->work->file_version != 0
                   && !ngx_rf_zone_unacked_lines(sh, e)));
}


/*
 * The zone was made anew while a record was written, and has kept the claim of
 * an entry that no record will give back: none of this batch stands.
 */

static void
ngx_rf_zone_disclaim(ngx_rf_zone_t *zone, ngx_rf_record_t **list)
{
    ngx_queue_t       *q, *next;
    ngx_rf_entry_t    *e;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    while (*list) {
        rec = *list;
        *list = rec->next;
        ngx_rf_codec_free(rec);
    }

    for (q = ngx_queue_head(&sh->writing);
         q != ngx_queue_sentinel(&sh->writing);
         q = next)
    {
        next = ngx_queue_next(q);
        e = ngx_rf_zone_disk_entry(q);

        if (e->work->writer == ngx_pid) {
            ngx_rf_zone_release(zone, e);
        }
    }
}


ngx_int_t
ngx_rf_zone_claim_record(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t **rec)
{
    ngx_int_t        rc;
    ngx_rf_record_t  remove;

    if (e->pending == NGX_RF_CLEAN) {
        ngx_memzero(&remove, sizeof(ngx_rf_record_t));

        remove.key.data = e->key;
        remove.key.len = e->key_len;
        remove.version = e->version;
        remove.remove = 1;

        *rec = ngx_rf_codec_clone(&remove);

        return *rec ? NGX_OK : NGX_ERROR;
    }

    if (e->pending == NGX_RF_DELTA) {

        /*
         * The id under which these changes will be sent, alone or with those
         * that are still to come: should all of nginx be gone before Redis'
         * acknowledgement is on record, the file says what to ask Redis for.
         */

        ngx_rf_zone_identify(zone->sh, e);
    }

    rc = ngx_rf_zone_record_slowly(zone, e, rec);

    if (rc == NGX_OK && (*rec)->pending == NGX_RF_DELTA
        && (*rec)->nsent == 0)
    {
        (*rec)->nsent = (*rec)->nchanges;
    }

    return rc;
}


void
ngx_rf_zone_dirty_done(ngx_rf_zone_t *zone, ngx_rf_record_t *list)
{
    ngx_rf_record_t  *rec;

    ngx_rf_zone_lock(zone);

    for (rec = list; rec; rec = rec->next) {
        ngx_rf_zone_dirty_done_entry(zone, rec);
    }

    ngx_rf_zone_unlock(zone);

    while (list) {
        rec = list;
        list = rec->next;
        ngx_rf_codec_free(rec);
    }
}


static void
ngx_rf_zone_dirty_done_entry(ngx_rf_zone_t *zone, ngx_rf_record_t *rec)
{
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    /* the claim may be void: the path has changed, the zone was rebuilt */

    if (e == NULL || e->work->writer != ngx_pid) {
        return;
    }

    if (rec->status == NGX_OK) {

        if (e->work->file_version == 0 && !rec->remove) {
            (void) ngx_atomic_fetch_add(&sh->stat.files, 1);

        } else if (e->work->file_version != 0 && rec->remove
                   && sh->stat.files)
        {
            (void) ngx_atomic_fetch_add(&sh->stat.files, -1);
        }

        e->work->file_version = rec->remove ? 0 : rec->version;

        ngx_rf_zone_replay_on_disk(zone, e, rec);

        if (rec->remove && e->pending == NGX_RF_CLEAN) {
            /* who has read the file before is to know, even from the stamp
             * that outlives the entry */
            e->version = ++sh->seq;
        }

    } else if (rec->filed && e->work->file_version == 0) {

        /* renamed, but not synced: it may be there */

        e->work->file_version = 1;
        (void) ngx_atomic_fetch_add(&sh->stat.files, 1);
    }

    ngx_rf_zone_release(zone, e);
}


/* ends a claim: back to the dirty list, or nothing is left to be done */

static void
ngx_rf_zone_release(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    zone->sh->nwriting--;
    e->work->writer = 0;

    if (e->work->where == NGX_RF_DISK_WRITING) {
        ngx_rf_zone_unplace(zone, e);
    }

    if (e->pending == NGX_RF_CLEAN) {

        if (e->work->file_version == 0 && !ngx_rf_zone_unacked(zone->sh, e)) {
            ngx_rf_zone_rid(zone, e);
            return;
        }

        if (!e->flying) {
            ngx_rf_zone_requeue(zone, e);
        }
    }

    ngx_rf_zone_place(zone, e);
}


void
ngx_rf_zone_rid(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    e->work->log_version = 0;
    e->work->log_begun = 0;
    e->work->logged = 0;
    e->work->acked = 0;

    if (e->flying) {
        return;
    }

    if (e->type == NGX_RF_NONE) {
        ngx_rf_zone_remove(zone, e);
        return;
    }

    ngx_rf_zone_requeue(zone, e);
}


void
ngx_rf_zone_reclaim(ngx_rf_zone_t *zone)
{
    ngx_queue_t       *q, *next;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    for (q = ngx_queue_head(&sh->writing);
         q != ngx_queue_sentinel(&sh->writing);
         q = next)
    {
        next = ngx_queue_next(q);
        e = ngx_rf_zone_disk_entry(q);

        if (!ngx_rf_zone_dead(e->work->writer)) {
            continue;
        }

        if (e->work->file_version == 0) {
            /* perhaps there is one: a version that no entry has */
            e->work->file_version = 1;
            (void) ngx_atomic_fetch_add(&sh->stat.files, 1);
        }

        ngx_rf_zone_release(zone, e);
    }

    for (q = ngx_queue_head(&sh->logging);
         q != ngx_queue_sentinel(&sh->logging);
         q = next)
    {
        next = ngx_queue_next(q);
        e = ngx_rf_zone_disk_entry(q);

        if (ngx_rf_zone_dead(e->work->logger)) {
            ngx_rf_zone_unplace(zone, e);
            ngx_rf_zone_place(zone, e);
        }
    }

    ngx_rf_zone_unlock(zone);
}


ngx_uint_t
ngx_rf_zone_unsaved(ngx_rf_zone_t *zone)
{
    ngx_uint_t  n;

    ngx_rf_zone_lock(zone);

    n = zone->sh->nunlogged - zone->sh->nunacked;

    ngx_rf_zone_unlock(zone);

    return n;
}


static ngx_uint_t
ngx_rf_zone_dead(ngx_pid_t pid)
{
    return kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH;
}


ngx_int_t
ngx_rf_zone_durable(ngx_rf_zone_t *zone, ngx_str_t *key, uint64_t version)
{
    ngx_int_t        rc;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);

    /* versions rise: a newer one in the file includes this one; the version
     * of a command with several keys is that of the last */

    if (!zone->sh->files
        || e == NULL
        || e->work->log_version >= ngx_min(version, e->version)
        || e->work->file_version >= ngx_min(version, e->version))
    {
        rc = NGX_OK;

    } else if (e->pending != NGX_RF_CLEAN) {
        rc = NGX_AGAIN;

    } else {
        /* what the disk has instead would be replayed after a crash */
        rc = ngx_rf_zone_unacked(zone->sh, e) ? NGX_DECLINED : NGX_OK;
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


void
ngx_rf_zone_hurry(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_uint_t         own;
    ngx_queue_t       *queue;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    own = ngx_process_slot % NGX_RF_ZONE_LOGS;
    queue = NULL;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);

    switch (e ? e->work->where : NGX_RF_DISK_NONE) {

    case NGX_RF_DISK_UNLOGGED:
        queue = &sh->unlogged[own];
        break;

    case NGX_RF_DISK_UNACKED:
        queue = &sh->unacked[own];
        break;

    case NGX_RF_DISK_DIRTY:
        queue = &sh->dirty;
        break;

    default:
        break;
    }

    if (queue) {
        ngx_queue_remove(&e->work->disk);
        ngx_queue_insert_head(queue, &e->work->disk);
    }

    ngx_rf_zone_unlock(zone);
}


ngx_int_t
ngx_rf_zone_load(ngx_rf_zone_t *zone, ngx_rf_record_t *rec, uint64_t seq,
    ngx_uint_t was_spilled, int64_t now)
{
    ngx_int_t          rc;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    rc = NGX_DECLINED;

    ngx_rf_zone_lock(zone);

    if (ngx_rf_zone_room(zone) != NGX_OK) {
        rc = NGX_RF_NEED_ROOM;
        goto done;
    }

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    if (e != NULL
        && (e->pending != NGX_RF_CLEAN
            || e->flying
            || ngx_rf_zone_on_disk(e)))
    {
        goto done;
    }

    if (ngx_rf_zone_changed_locked(zone, &rec->key, e, seq)) {
        rc = NGX_BUSY;
        goto done;
    }

    if (ngx_rf_zone_beats(e, rec)) {

        /* the file is to go */

        (void) ngx_rf_zone_work(zone, e);

        e->version = ngx_max(e->version, rec->version);
        sh->seq = ngx_max(sh->seq, e->version);

        e->work->acked = 0;
        e->work->file_version = rec->version;
        (void) ngx_atomic_fetch_add(&sh->stat.files, 1);

        ngx_rf_zone_may_be_logged(e, rec);

        ngx_rf_zone_requeue(zone, e);
        ngx_rf_zone_place(zone, e);
        goto done;
    }

    if (was_spilled && sh->spilled == 0) {
        /* it was taken in, replayed and acknowledged since the file was read */
        goto done;
    }

    zone->urgent = 1;
    e = ngx_rf_zone_take_in(zone, e, rec);
    zone->urgent = 0;

    if (e == NULL) {
        rc = NGX_RF_NEED_ROOM;
        goto done;
    }

    e->work->file_version = rec->version ? rec->version : 1;

    ngx_rf_zone_may_be_logged(e, rec);

    if (was_spilled) {
        sh->spilled--;
    }

    (void) ngx_atomic_fetch_add(&sh->stat.files, 1);

    ngx_rf_zone_place(zone, e);

    if (e->expire && e->expire <= now) {
        ngx_rf_zone_expired(zone, e, now);
    }

    rc = NGX_OK;

done:

    ngx_rf_zone_unlock(zone);

    return rc;
}


void
ngx_rf_zone_may_be_logged(ngx_rf_entry_t *e, ngx_rf_record_t *rec)
{
    if (rec->version == 0) {
        return;
    }

    e->work->logged = 1;

    if (e->work->log_begun < rec->version) {
        e->work->log_begun = rec->version;
    }
}


/*
 * A replacement gives way to any value that is newer, changes only to one that
 * left nothing of what was before: they add up with others.  Versions are a
 * clock, too, and finer.
 */

ngx_uint_t
ngx_rf_zone_beats(ngx_rf_entry_t *e, ngx_rf_record_t *rec)
{
    if (e == NULL || e->pending != NGX_RF_CLEAN || e->changed == 0
        || rec->version == 0
        || (rec->pending == NGX_RF_DELTA && !e->whole))
    {
        return 0;
    }

    return e->changed > rec->changed
           || (e->changed == rec->changed && e->version >= rec->version);
}


ngx_uint_t
ngx_rf_zone_outdated(ngx_rf_zone_t *zone, ngx_str_t *key, uint64_t seq)
{
    ngx_uint_t  outdated;

    ngx_rf_zone_lock(zone);

    outdated = ngx_rf_zone_changed_locked(zone, key,
                                          ngx_rf_zone_lookup_locked(zone, key),
                                          seq);
    ngx_rf_zone_unlock(zone);

    return outdated;
}
