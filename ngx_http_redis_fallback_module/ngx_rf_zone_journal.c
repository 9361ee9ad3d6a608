/*
 * What the journal lags behind on, what it has, and the end of a generation of
 * its segments.
 *
 * A change makes an entry UNLOGGED; a worker takes it (LOGGING), and when the
 * batch is durable the entry's log_version says so and the file's turn comes
 * (DIRTY).  A change in between makes it UNLOGGED again, and what is on its
 * way is older then: versions in the journal tell, so that nobody has to wait
 * for a batch of another worker.
 *
 * What Redis has acknowledged may still be in the journal or in a file, and
 * would be replayed after a crash, over newer values.  So such an entry is
 * UNACKED, until the journal says that it is done with ("acked"); then its file
 * may go at leisure.  The mark that ends a recovery says it of all at once.
 *
 * Guarantees: an entry stays as long as the disk may hold something of it that
 * nothing there contradicts.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


#define ngx_rf_zone_odd(sh)     ((sh)->generation & 1)


static ngx_rf_entry_t *ngx_rf_zone_log_next(ngx_rf_zone_sh_t *sh,
    ngx_uint_t what, ngx_uint_t ack);
static ngx_rf_entry_t *ngx_rf_zone_log_first(ngx_queue_t *queues,
    ngx_uint_t all);
static ngx_uint_t ngx_rf_zone_log_settled(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_zone_log_claim(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t **rec);
static void ngx_rf_zone_log_disclaim(ngx_rf_zone_t *zone,
    ngx_rf_record_t **list);
static void ngx_rf_zone_log_head(ngx_rf_zone_sh_t *sh,
    ngx_rf_zone_log_t *log);
static void ngx_rf_zone_log_done_entry(ngx_rf_zone_t *zone,
    ngx_rf_record_t *rec, ngx_int_t rc, ngx_uint_t odd);
static ngx_uint_t ngx_rf_zone_turn_busy(ngx_rf_zone_sh_t *sh);
static ngx_uint_t ngx_rf_zone_turn_needs(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);


ngx_uint_t
ngx_rf_zone_unacked(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    if (e->work->acked) {
        return 0;
    }

    /* versions of which the disk may have more than is known count as new */

    return ngx_rf_zone_unacked_lines(sh, e)
           || e->work->file_version == 1 || e->work->file_version > sh->mark
           || (e->work->writer && e->version > sh->mark);
}


ngx_uint_t
ngx_rf_zone_unacked_lines(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    return e->work->logged && !e->work->acked
           && e->work->log_begun > sh->mark;
}


ngx_rf_record_t *
ngx_rf_zone_log_take(ngx_rf_zone_t *zone, ngx_uint_t n, size_t bytes,
    ngx_uint_t what, ngx_rf_zone_log_t *log)
{
    size_t             size;
    ngx_int_t          rc;
    ngx_rf_entry_t    *e;
    ngx_rf_record_t   *list, **last, *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    list = NULL;
    last = &list;
    size = 0;

    ngx_rf_zone_lock(zone);

    /* a worker of an older configuration knows another path */

    if (sh->superseded || ngx_rf_zone_elsewhere(zone, sh) || !sh->files) {
        n = 0;
    }

    /* before the lock may be given away: a generation that ends waits */

    ngx_rf_zone_log_head(sh, log);

    for ( /* void */ ; n && size < bytes; n--) {

        e = ngx_rf_zone_log_next(sh, what, n & 1);

        if (e == NULL) {
            break;
        }

        if (ngx_rf_zone_log_settled(zone, e)) {
            continue;
        }

        size += e->key_len + ngx_rf_zone_weight(e);

        rc = ngx_rf_zone_log_claim(zone, e, &rec);

        if (rc == NGX_AGAIN) {
            ngx_rf_zone_log_disclaim(zone, &list);
        }

        if (rc != NGX_OK) {
            break;
        }

        *last = rec;
        last = &rec->next;
    }

    if (list == NULL) {
        sh->flights[ngx_process_slot] = 0;
    }

    ngx_rf_zone_unlock(zone);

    return list;
}


/* changes and acknowledgements in turn: somebody may wait for either */

static ngx_rf_entry_t *
ngx_rf_zone_log_next(ngx_rf_zone_sh_t *sh, ngx_uint_t what, ngx_uint_t ack)
{
    ngx_uint_t       all;
    ngx_rf_entry_t  *e;

    all = what & NGX_RF_LOG_ALL;

    if (what & NGX_RF_LOG_ACKS) {
        return ngx_rf_zone_log_first(sh->unacked, all);
    }

    e = ngx_rf_zone_log_first(ack ? sh->unacked : sh->unlogged, all);

    return e ? e : ngx_rf_zone_log_first(ack ? sh->unlogged : sh->unacked, all);
}


static ngx_rf_entry_t *
ngx_rf_zone_log_first(ngx_queue_t *queues, ngx_uint_t all)
{
    ngx_uint_t    i;
    ngx_queue_t  *queue;

    queue = &queues[ngx_process_slot % NGX_RF_ZONE_LOGS];

    for (i = 0; ngx_queue_empty(queue) && all && i < NGX_RF_ZONE_LOGS; i++) {
        queue = &queues[i];
    }

    return ngx_queue_empty(queue)
           ? NULL
           : ngx_rf_zone_disk_entry(ngx_queue_head(queue));
}


/* the mark, or a file, has made it needless */

static ngx_uint_t
ngx_rf_zone_log_settled(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_disk_e  where;

    where = e->work->where;

    if (e->pending != NGX_RF_CLEAN || ngx_rf_zone_unacked(zone->sh, e)) {
        ngx_rf_zone_place(zone, e);
        return e->work->where != where;
    }

    ngx_rf_zone_unplace(zone, e);

    if (e->work->file_version == 0 && e->work->writer == 0) {
        ngx_rf_zone_rid(zone, e);

    } else {
        ngx_rf_zone_place(zone, e);
    }

    return 1;
}


/* NGX_OK; NGX_ERROR: no memory; NGX_AGAIN: the zone was made anew */

static ngx_int_t
ngx_rf_zone_log_claim(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t **rec)
{
    ngx_int_t          rc;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_unplace(zone, e);

    if (e->pending != NGX_RF_CLEAN) {
        e->work->log_begun = e->version;
    }

    e->work->logged = 1;
    e->work->logger = ngx_pid;
    e->work->where = NGX_RF_DISK_LOGGING;
    ngx_queue_insert_tail(&sh->logging, &e->work->disk);
    sh->nlogging++;

    rc = ngx_rf_zone_claim_record(zone, e, rec);

    if (rc == NGX_ERROR && e->work->where == NGX_RF_DISK_LOGGING
        && e->work->logger == ngx_pid)
    {
        ngx_rf_zone_unplace(zone, e);
        ngx_rf_zone_place(zone, e);
    }

    if (rc == NGX_OK) {
        /* it is in our own words from now on, with a version */
        (*rec)->foreign = 0;
    }

    return rc;
}


/*
 * The zone was made anew while a record was written: none of this batch
 * stands.  Its entries have been made UNLOGGED again by that.
 */

static void
ngx_rf_zone_log_disclaim(ngx_rf_zone_t *zone, ngx_rf_record_t **list)
{
    ngx_rf_record_t  *rec;

    while (*list) {
        rec = *list;
        *list = rec->next;
        ngx_rf_codec_free(rec);
    }
}


static void
ngx_rf_zone_log_head(ngx_rf_zone_sh_t *sh, ngx_rf_zone_log_t *log)
{
    log->number = ++sh->segment;
    log->base = sh->journal_base;
    log->seq = sh->seq;
    log->generation = sh->generation;

    sh->flights[ngx_process_slot] = ((ngx_atomic_uint_t) ngx_pid << 1)
                                    | ngx_rf_zone_odd(sh);
}


void
ngx_rf_zone_log_done(ngx_rf_zone_t *zone, ngx_rf_record_t *list, ngx_int_t rc,
    ngx_uint_t generation)
{
    ngx_rf_record_t  *rec;

    ngx_rf_zone_lock(zone);

    for (rec = list; rec; rec = rec->next) {

        if (!rec->remove && zone->sh->journal_top < rec->version) {
            zone->sh->journal_top = rec->version;
        }

        ngx_rf_zone_log_done_entry(zone, rec, rc, generation & 1);
    }

    zone->sh->flights[ngx_process_slot] = 0;

    ngx_rf_zone_unlock(zone);

    while (list) {
        rec = list;
        list = rec->next;
        ngx_rf_codec_free(rec);
    }
}


static void
ngx_rf_zone_log_done_entry(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_int_t rc, ngx_uint_t odd)
{
    ngx_uint_t       claimed;
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    /* one that was not "logged" any more has been done with, or is another */

    if (e == NULL || !e->work->logged) {
        return;
    }

    claimed = (e->work->where == NGX_RF_DISK_LOGGING
               && e->work->logger == ngx_pid);

    if (claimed) {
        ngx_rf_zone_unplace(zone, e);
    }

    if (rc == NGX_OK) {

        if (!rec->remove) {

            ngx_rf_zone_replay_on_disk(zone, e, rec);

            if (e->work->log_version < rec->version
                && rec->version <= e->version)
            {
                e->work->log_version = rec->version;
                e->work->log_odd = odd;
            }

        } else if (claimed && e->pending == NGX_RF_CLEAN) {

            /* without the claim: it may have been pending in between */

            e->work->acked = 1;
            e->work->log_odd = odd;

            if (e->work->file_version == 0 && e->work->writer == 0) {
                ngx_rf_zone_rid(zone, e);
                return;
            }
        }
    }

    if (e->work->where == NGX_RF_DISK_NONE) {
        ngx_rf_zone_place(zone, e);
    }
}


void
ngx_rf_zone_turn(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    if (sh->turn == 0 && sh->files && !sh->superseded
        && !ngx_rf_zone_elsewhere(zone, sh))
    {
        sh->turn = sh->segment + 1;
        sh->generation++;
    }

    ngx_rf_zone_unlock(zone);
}


ngx_int_t
ngx_rf_zone_turn_scan(ngx_rf_zone_t *zone, ngx_uint_t n, ngx_uint_t *at,
    ngx_uint_t *left, ngx_rf_zone_log_t *log)
{
    ngx_int_t          rc;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    if (ngx_rf_zone_turn_busy(sh)) {
        *at = 0;
        *left = 0;
        ngx_rf_zone_unlock(zone);
        return NGX_BUSY;
    }

    for ( /* void */ ; n && *at < sh->nbuckets; n--, (*at)++) {

        for (e = ngx_rf_zone_at(sh, sh->buckets[*at]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {
            *left += ngx_rf_zone_turn_needs(zone, e);
        }
    }

    rc = (*at < sh->nbuckets || *left) ? NGX_AGAIN : NGX_DONE;

    if (rc == NGX_DONE) {
        ngx_rf_zone_log_head(sh, log);
        log->base = sh->turn;
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


/* a batch that began in the generation that is to end */

static ngx_uint_t
ngx_rf_zone_turn_busy(ngx_rf_zone_sh_t *sh)
{
    ngx_pid_t           pid;
    ngx_uint_t          i;
    ngx_atomic_uint_t   flight;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        flight = sh->flights[i];

        if (flight == 0 || (flight & 1) == ngx_rf_zone_odd(sh)) {
            continue;
        }

        pid = (ngx_pid_t) (flight >> 1);

        if (kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH) {
            return 1;
        }

        sh->flights[i] = 0;
    }

    return 0;
}


static ngx_uint_t
ngx_rf_zone_turn_needs(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (!e->work->logged || e->work->log_odd == ngx_rf_zone_odd(zone->sh)) {
        return 0;
    }

    if (e->work->where == NGX_RF_DISK_LOGGING) {
        return 1;
    }

    if (e->pending != NGX_RF_CLEAN) {

        if (e->work->file_version == e->version) {
            return 0;
        }

        /* to be written once more */

        if (e->work->log_version >= e->version) {
            e->work->log_version = e->version - 1;
        }

    } else if (e->work->file_version == 0 && e->work->writer == 0) {

        /* the records go with the generation, all at once */

        if (!ngx_rf_zone_unacked(zone->sh, e)) {
            return 0;
        }

    } else if (e->work->acked) {
        e->work->acked = 0;
    }

    ngx_rf_zone_place(zone, e);

    return e->work->where == NGX_RF_DISK_UNLOGGED
           || e->work->where == NGX_RF_DISK_UNACKED;
}


void
ngx_rf_zone_turned(ngx_rf_zone_t *zone, uint64_t base)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    sh->flights[ngx_process_slot] = 0;

    if (base) {
        sh->journal_base = base;

        if (sh->turn == base) {
            sh->turn = 0;
        }
    }

    ngx_rf_zone_unlock(zone);
}
