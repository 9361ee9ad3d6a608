/*
 * The replay's side of the pending list: entries in flight and what became of
 * them.
 *
 * Guarantees: a flying entry does not change, but for its end: it lands as
 * clean, or goes back into the list.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* buckets that one replay_take() looks through for entries to be restored */
#define NGX_RF_ZONE_SLICE       65536

/* keys that are not to be sent yet, looked at in a slice */
#define NGX_RF_ZONE_LOOK        1024


static void ngx_rf_zone_restore_anew(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_restores(ngx_rf_zone_sh_t *sh,
    ngx_rf_entry_t *e);
static void ngx_rf_zone_widen(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_disk_first(ngx_rf_zone_sh_t *sh,
    ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_prune(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_fly_peers(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, ngx_rf_record_t *first, ngx_rf_record_t ***last,
    int64_t now, size_t *size);
static ngx_rf_record_t *ngx_rf_zone_fly(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static void ngx_rf_zone_restore_take(ngx_rf_zone_t *zone,
    ngx_rf_record_t ***last, ngx_uint_t n, size_t bytes, int64_t now,
    ngx_uint_t *restored);
static ngx_uint_t ngx_rf_zone_unheard(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_rf_record_t *ngx_rf_zone_restore_fly(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static void ngx_rf_zone_restore_done(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_int_t rc, ngx_uint_t keep, int64_t now);
static void ngx_rf_zone_acknowledged(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec, ngx_uint_t keep, int64_t now);
static void ngx_rf_zone_acknowledged_part(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, ngx_uint_t keep);
static void ngx_rf_zone_land(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static void ngx_rf_zone_land_all(ngx_rf_zone_t *zone);


ngx_rf_record_t *
ngx_rf_zone_replay_take(ngx_rf_zone_t *zone, ngx_uint_t n, size_t bytes,
    int64_t now, ngx_uint_t *restored)
{
    size_t             size;
    ngx_uint_t         i, look, rebuilds;
    ngx_rf_entry_t    *e, *waits;
    ngx_rf_record_t   *list, **last, *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    list = NULL;
    last = &list;
    size = 0;
    look = 0;
    waits = NULL;

    if (restored) {
        *restored = 0;
    }

    ngx_rf_zone_lock(zone);

    i = 0;
    rebuilds = sh->rebuilds;

    while (i < n && size < bytes) {

        e = ngx_rf_zone_line_first(sh, NGX_RF_LINE_PENDING);

        if (e == NULL) {
            break;
        }

        if (e->expire && e->expire <= now) {
            /* gone, or a tombstone at the tail now */
            ngx_rf_zone_expired(zone, e, now);
            continue;
        }

        ngx_rf_zone_restore_anew(zone, e);

        if (ngx_rf_zone_disk_first(sh, e)) {

            if (e == waits || look++ == NGX_RF_ZONE_LOOK) {
                break;
            }

            waits = waits ? waits : e;
            ngx_rf_zone_requeue(zone, e);
            continue;
        }

        if (ngx_rf_zone_prune(zone, e)) {
            continue;
        }

        rec = ngx_rf_zone_fly(zone, e);
        if (rec == NULL) {
            goto done;
        }

        *last = rec;
        last = &rec->next;

        size += e->key_len + ngx_rf_zone_weight(e);
        i++;

        if (e->work->peer) {
            i += ngx_rf_zone_fly_peers(zone, e, rec, &last, now, &size);
        }
    }

    if (sh->restore && i < n && size < bytes) {
        ngx_rf_zone_restore_take(zone, &last, n - i, bytes - size, now,
                                 restored);
    }

done:

    if (sh->rebuilds != rebuilds) {

        /* the zone was made anew while a record was written, and one is in
         * flight there that has none: all of it again */

        while (list) {
            rec = list;
            list = rec->next;
            ngx_rf_codec_free(rec);
        }

        ngx_rf_zone_land_all(zone);
    }

    ngx_rf_zone_unlock(zone);

    return list;
}


/*
 * Of all of its group: with its data Redis has lost what was sent, and the
 * marker of it.  All changes go under the id now.
 */

static void
ngx_rf_zone_restore_anew(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_entry_t  *p;

    if (!zone->sh->restore) {
        return;
    }

    for (p = e; p != NULL; p = p->work->peer) {

        if (ngx_rf_zone_restores(zone->sh, p) && p->work->nsent
            && !p->flying && p->work->sent_run != zone->sh->run)
        {
            p->work->sent_run = zone->sh->run;
            ngx_memory_barrier();
            ngx_rf_zone_widen(zone, p);
        }

        if (p->work->peer == e) {
            break;
        }
    }
}


/* changes whose value is to be restored as well */

static ngx_uint_t
ngx_rf_zone_restores(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    return sh->restore && e->pending == NGX_RF_DELTA && e->complete
           && e->type != NGX_RF_NONE && e->run != sh->run;
}


static void
ngx_rf_zone_widen(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->work->nsent == e->work->nchanges) {
        return;
    }

    if (e->work->logged || ngx_rf_zone_on_disk(e)) {
        e->work->widened = 1;
        e->version = ++zone->sh->seq;
    }

    ngx_memory_barrier();

    e->work->nsent = e->work->nchanges;

    ngx_rf_zone_place(zone, e);
}


/*
 * Its first changes are done with, and the others have an id of their own.
 * Were they sent now, and the disk did not know that id after a crash, then
 * what came next would be sent under it together with them, and Redis would
 * take all of it for done.  Or more of them are sent under the id than the disk
 * has as sent: after a crash the rest would be sent once more, under another
 * id.  So the disk is first, unless it takes nothing.
 */

static ngx_uint_t
ngx_rf_zone_disk_first(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    ngx_rf_entry_t  *p;

    if (!sh->files_ready
        || (sh->files_failed && (sh->disk_failed || sh->journal_full)))
    {
        return 0;
    }

    for (p = e; p != NULL; p = p->work->peer) {

        if ((p->work->renamed || p->work->widened)
            && p->pending == NGX_RF_DELTA)
        {
            return 1;
        }

        if (p->work->peer == e) {
            break;
        }
    }

    return 0;
}


void
ngx_rf_zone_replay_on_disk(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    if (rec->id != e->work->id) {
        return;
    }

    e->work->renamed = 0;

    /* a batch may have begun before: that one has fewer */

    if (e->work->widened && rec->nsent >= ngx_rf_zone_record_nsent(zone, e)) {
        e->work->widened = 0;
    }
}


/*
 * Compacted changes that have come to nothing, as pushes that were popped, are
 * dropped before they are sent: nothing can be sent under an id, nor be told
 * from what is not sent yet.  1: there is nothing else to be sent, the key is
 * not pending any more.
 */

static ngx_uint_t
ngx_rf_zone_prune(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zdelta_t   *delta;
    ngx_rf_zchange_t  *c, *next;

    if (e->pending != NGX_RF_DELTA || e->work->nsent) {
        return 0;
    }

    for (c = e->work->changes; c; c = next) {
        next = c->next;
        delta = ngx_rf_zone_delta(c);

        if (delta == NULL || delta->tree[0].count || delta->tree[1].count
            || delta->tree[2].count)
        {
            continue;
        }

        if (c->prev) {
            c->prev->next = next;

        } else {
            e->work->changes = next;
        }

        if (next) {
            next->prev = c->prev;

        } else {
            e->work->last_change = c->prev;
        }

        e->work->nchanges--;

        ngx_memory_barrier();

        ngx_rf_zone_free_change(zone, c);
    }

    if (e->work->nchanges) {
        return 0;
    }

    ngx_rf_zone_unpend(zone, e);

    if (!e->complete || e->seen == 0
        || (e->type == NGX_RF_NONE && !ngx_rf_zone_on_disk(e)))
    {
        ngx_rf_zone_forget_locked(zone, e);
    }

    return 1;
}


/* the others of its group, behind it in the list; returns how many */

static ngx_uint_t
ngx_rf_zone_fly_peers(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *first, ngx_rf_record_t ***last, int64_t now,
    size_t *size)
{
    ngx_uint_t        flown;
    ngx_rf_entry_t   *p;
    ngx_rf_record_t  *rec;

    flown = 0;

    for ( ;; ) {

        /* from the beginning each time: some leave the ring on the way, and
         * others may while the lock is given away */

        for (p = e->work->peer; p != NULL && p != e; p = p->work->peer) {
            if (p->pending != NGX_RF_CLEAN && !p->flying
                && (p->expire == 0 || p->expire > now))
            {
                break;
            }
        }

        if (p == NULL || p == e) {
            return flown;
        }

        if (ngx_rf_zone_prune(zone, p)) {
            continue;
        }

        rec = ngx_rf_zone_fly(zone, p);
        if (rec == NULL) {
            return flown;
        }

        first->group = (uint32_t) first->version | 1;
        rec->group = first->group;

        **last = rec;
        *last = &rec->next;

        *size += p->key_len + ngx_rf_zone_weight(p);
        flown++;
    }
}


/* in flight first: it does not change then, also where the lock is given away;
 * NULL: no memory, or the zone was made anew */

static ngx_rf_record_t *
ngx_rf_zone_fly(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_int_t         rc;
    ngx_uint_t        restore;
    ngx_rf_record_t  *rec;

    /* while the lock was given away for one of its group */
    ngx_rf_zone_restore_anew(zone, e);

    if (e->pending == NGX_RF_DELTA && e->work->nsent == 0) {
        ngx_rf_zone_identify(zone->sh, e);
        e->work->sent_run = zone->sh->run;
        ngx_memory_barrier();
        e->work->nsent = e->work->nchanges;
    }

    restore = ngx_rf_zone_restores(zone->sh, e);

    e->work->sent = (e->pending == NGX_RF_REPLACE);

    e->flying = 1;
    ngx_rf_zone_requeue(zone, e);

    rc = ngx_rf_zone_record_slowly(zone, e, &rec);

    if (rc == NGX_OK) {
        rec->restore = restore;
        return rec;
    }

    if (rc == NGX_ERROR) {
        ngx_rf_zone_land(zone, e);
    }

    return NULL;
}


/* goes through the table bucket by bucket: the order of the LRU would change
 * under a walk that is spread over many calls */

static void
ngx_rf_zone_restore_take(ngx_rf_zone_t *zone, ngx_rf_record_t ***last,
    ngx_uint_t n, size_t bytes, int64_t now, ngx_uint_t *restored)
{
    size_t             size;
    ngx_uint_t         taken, look;
    ngx_rf_entry_t    *e, *next;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    size = 0;
    taken = 0;

    if (sh->restore_run != sh->run) {
        sh->restore_run = sh->run;
        sh->restore_at = 0;
    }

    if (zone->heard_run != sh->run) {
        zone->heard_run = sh->run;
        zone->heard_until = ngx_current_msec + zone->patience;
    }

    if (sh->restore_at == 0) {
        zone->unheard = 0;
    }

    for (look = 0; look < NGX_RF_ZONE_SLICE; look++) {

        if (sh->restore_at == sh->nbuckets) {

            if (zone->unheard) {
                sh->restore_at = 0;

            } else if (sh->nrestoring == 0 && sh->npending == 0) {
                /* of what is pending the value may be to be restored, too */
                sh->restore = 0;
            }

            break;
        }

        for (e = ngx_rf_zone_at(sh, sh->buckets[sh->restore_at]);
             e;
             e = next)
        {
            next = ngx_rf_zone_next(sh, e);

            if (!ngx_rf_zone_restoring(sh, e) || e->flying) {
                continue;
            }

            if (e->expire && e->expire <= now) {
                ngx_rf_zone_expired(zone, e, now);
                continue;
            }

            if (ngx_rf_zone_unheard(zone, e)) {
                continue;
            }

            if (taken == n || size >= bytes) {
                goto done;
            }

            rec = ngx_rf_zone_restore_fly(zone, e);
            if (rec == NULL) {
                goto done;
            }

            /* the lock may have been given away */
            next = ngx_rf_zone_at(sh, sh->buckets[sh->restore_at]);

            **last = rec;
            *last = &rec->next;

            size += e->key_len + ngx_rf_zone_weight(e);
            taken++;
        }

        sh->restore_at++;
    }

done:

    if (restored) {
        *restored = taken;
    }
}


/*
 * It was read by a worker that has not seen yet that this Redis' predecessor is
 * gone: it is stopped, or its connection died in silence.  It may have been
 * told that somebody deleted the key, and says so when it goes on; until then
 * that is not known.  Who takes too long has the key doubted.
 */

static ngx_uint_t
ngx_rf_zone_unheard(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->voucher == 0
        || zone->sh->links[ngx_rf_zone_voucher_slot(e->voucher)].epoch
           != ngx_rf_zone_voucher_epoch(e->voucher))
    {
        return 0;
    }

    if ((ngx_msec_int_t) (ngx_current_msec - zone->heard_until) >= 0) {
        e->doubted = 1;

    } else {
        zone->unheard++;
    }

    return 1;
}


static ngx_rf_record_t *
ngx_rf_zone_restore_fly(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_int_t         rc;
    ngx_rf_record_t  *rec;

    e->flying = 1;
    zone->sh->nrestoring++;
    ngx_rf_zone_requeue(zone, e);

    rc = ngx_rf_zone_record_slowly(zone, e, &rec);

    if (rc == NGX_ERROR) {
        ngx_rf_zone_land(zone, e);
    }

    if (rc != NGX_OK) {
        return NULL;
    }

    rec->pending = NGX_RF_REPLACE;
    rec->base = NGX_RF_BASE_ABSENT;
    rec->version = 0;

    return rec;
}


void
ngx_rf_zone_replay_done(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_int_t rc, ngx_uint_t keep, int64_t now)
{
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    if (zone->sh->leader != 0
        && zone->sh->leader != (ngx_atomic_uint_t) ngx_pid)
    {
        /* Another one leads since that was asked last, and has taken back what
         * was in flight, or will: what it sends is its own.  As that needs the
         * lock, who finds itself leading here is the only one who has sent it.
         */
        goto done;
    }

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    if (e == NULL || !e->flying) {
        goto done;
    }

    if (rec->version == 0) {
        if (e->pending == NGX_RF_CLEAN) {
            ngx_rf_zone_restore_done(zone, e, rc, keep, now);
        }

        goto done;
    }

    if (e->pending == NGX_RF_CLEAN) {
        goto done;
    }

    if (e->work->late) {
        /* what it equals is what was before that */
        keep = 0;
    }

    ngx_rf_zone_land(zone, e);

    if (rc == NGX_AGAIN || e->version != rec->version) {
        goto done;
    }

    if (rc == NGX_OK) {
        ngx_rf_zone_acknowledged(zone, e, rec, keep, now);
        goto done;
    }

    if (rc == NGX_BUSY) {
        /* Redis has nothing of what was sent: all of it is to be restored */
        ngx_rf_zone_widen(zone, e);
        goto done;
    }

    ngx_rf_zone_unpend(zone, e);
    ngx_rf_zone_forget_locked(zone, e);

done:

    ngx_rf_zone_unlock(zone);
}


static void
ngx_rf_zone_restore_done(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, ngx_int_t rc,
    ngx_uint_t keep, int64_t now)
{
    ngx_rf_zone_land(zone, e);

    if (rc == NGX_AGAIN) {
        zone->sh->restore_at = 0;

    } else if (rc == NGX_OK && keep && e->type != NGX_RF_NONE) {
        ngx_rf_zone_seen_locked(zone, e, now);

    } else {
        ngx_rf_zone_forget_locked(zone, e);
    }
}


static void
ngx_rf_zone_acknowledged(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec, ngx_uint_t keep, int64_t now)
{
    if (e->pending == NGX_RF_DELTA && e->work->nchanges > e->work->nsent) {
        ngx_rf_zone_acknowledged_part(zone, e, keep);
        return;
    }

    ngx_rf_zone_unpend(zone, e);

    if (!keep || (e->type == NGX_RF_NONE && !ngx_rf_zone_on_disk(e))) {
        ngx_rf_zone_forget_locked(zone, e);
        return;
    }

    ngx_rf_zone_seen_locked(zone, e, now);
}


/*
 * What came after the changes that were sent is still to go.  The undo log
 * makes it one step: under the old id Redis would not take it.
 */

static void
ngx_rf_zone_acknowledged_part(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_uint_t keep)
{
    ngx_uint_t         n;
    ngx_rf_zchange_t  *c, *first;

    first = e->work->changes;

    for (c = first, n = e->work->nsent; n > 1; n--) {
        c = c->next;
    }

    (void) ngx_rf_zone_begin_locked(zone, 0);
    ngx_rf_zone_save(zone, e, 0);

    e->work->changes = c->next;
    e->work->nchanges -= e->work->nsent;
    e->work->nsent = 0;
    e->work->id = ngx_rf_zone_next_id(e->work->id);
    e->work->renamed = (e->work->logged || ngx_rf_zone_on_disk(e));
    e->work->base = NGX_RF_BASE_UNKNOWN;
    e->version = ++zone->sh->seq;

    if (!e->complete) {
        /* Redis holds what was acknowledged, and perhaps more */
        e->seen = 1;

    } else if (!keep) {
        e->seen = 0;
    }

    ngx_rf_zone_commit_locked(zone);

    ngx_rf_zone_ungroup(e);

    e->work->changes->prev = NULL;
    c->next = NULL;
    ngx_rf_zone_free_changes(zone, first);

    ngx_rf_zone_place(zone, e);
}


/* no longer in flight; the entry goes behind all that are waiting */

static void
ngx_rf_zone_land(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    e->flying = 0;

    if (e->pending == NGX_RF_CLEAN) {
        zone->sh->nrestoring--;

        /* whether Redis has it now is not known */
        e->seen = 0;

    } else if (e->work->late) {

        /* nor what it held before that other write */
        e->work->base = NGX_RF_BASE_UNKNOWN;

        if (e->pending == NGX_RF_DELTA) {
            e->complete = 0;
        }
    }

    ngx_rf_zone_requeue(zone, e);
}


void
ngx_rf_zone_replay_reset(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_lock(zone);
    ngx_rf_zone_land_all(zone);
    ngx_rf_zone_unlock(zone);
}


static void
ngx_rf_zone_land_all(ngx_rf_zone_t *zone)
{
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    sh->restore_at = 0;

    /* from the tail, each to the head: the order of before */

    while ((e = ngx_rf_zone_line_last(sh, NGX_RF_LINE_FLYING)) != NULL) {

        ngx_rf_zone_land(zone, e);

        if (e->pending != NGX_RF_CLEAN) {
            ngx_rf_zone_line_remove(sh, e);
            ngx_rf_zone_line_head(sh, NGX_RF_LINE_PENDING, e);
        }
    }
}


void
ngx_rf_zone_replay_hurry(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);

    if (e != NULL && e->pending != NGX_RF_CLEAN && !e->flying) {
        ngx_rf_zone_line_remove(zone->sh, e);
        ngx_rf_zone_line_head(zone->sh, NGX_RF_LINE_PENDING, e);
    }

    ngx_rf_zone_unlock(zone);
}
