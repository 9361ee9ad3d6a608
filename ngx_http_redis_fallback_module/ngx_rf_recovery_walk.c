/*
 * Recovery: files that memory does not know become pending keys.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_zone.h"


/* records loaded from files at a time */
#define NGX_RF_RECOVERY_WALK        512
#define NGX_RF_RECOVERY_WALK_BYTES  (4 * 1024 * 1024)

/* ms between two reports of files that cannot be read */
#define NGX_RF_RECOVERY_LOG         60000

/* loads that may make some room for a record, each as much as one may, and not
 * enough of it: what is left of a warm cache lies scattered */
#define NGX_RF_RECOVERY_SQUEEZES    1000


static void ngx_rf_recovery_walked(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_walk_log(ngx_rf_recovery_t *r,
    ngx_rf_file_walk_t *walk);
static ngx_int_t ngx_rf_recovery_load(ngx_rf_recovery_t *r,
    ngx_rf_file_walk_t *walk);
static ngx_uint_t ngx_rf_recovery_holds(ngx_rf_zone_sh_t *sh);
static void ngx_rf_recovery_oversized(ngx_rf_recovery_t *r,
    ngx_rf_record_t *rec);


/* files that memory does not know: of an earlier run, or spilled */

void
ngx_rf_recovery_walk(ngx_rf_recovery_t *r)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (!r->walking) {
        r->walking = 1;
        ngx_memzero(&r->walk, sizeof(ngx_rf_file_walk_t));
        r->unread = 0;
        r->squeezes = 0;
        r->walk.n = NGX_RF_RECOVERY_WALK;
        r->walk.bytes = ngx_min(NGX_RF_RECOVERY_WALK_BYTES,
                                r->conf.zone->shm_zone->shm.size / 8);

        /* what is spilled from now on needs another walk */

        ngx_rf_zone_lock(r->conf.zone);
        sh->files_scan = 1;
        sh->stat.rec_total -= ngx_min(sh->stat.rec_total, sh->spilled);
        sh->spilled = 0;
        ngx_rf_zone_unlock(r->conf.zone);
    }

    r->walk.mark = sh->mark;
    r->walk_seq = sh->seq;

    r->job = ngx_rf_disk_walk(r->conf.disk, &r->walk, ngx_rf_recovery_walked,
                              r);
    if (r->job == NULL) {
        r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    r->busy = 1;
}


static void
ngx_rf_recovery_walked(ngx_rf_disk_job_t *job)
{
    ngx_rf_zone_sh_t    *sh;
    ngx_rf_recovery_t   *r;
    ngx_rf_file_walk_t  *walk;

    r = job->data;
    walk = job->walk;
    sh = r->conf.zone->sh;

    r->job = NULL;
    r->busy = 0;

    (void) ngx_atomic_fetch_add(&sh->stat.quarantined, walk->quarantined);

    ngx_rf_recovery_walk_log(r, walk);
    r->unread += walk->unread;

    if (job->rc == NGX_ERROR) {
        (void) ngx_atomic_fetch_add(&sh->stat.file_errors, 1);
        r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    if (!r->walking) {
        /* somebody else led meanwhile: that walk is none of ours any more */
        return;
    }

    if (ngx_rf_recovery_load(r, walk) != NGX_OK) {

        /* acknowledged keys have to leave their files before they can leave
         * memory; then the same slice again */

        r->crowded = 1;
        ngx_rf_recovery_post(r);
        return;
    }

    ngx_memcpy(r->walk.after, walk->after, sizeof(walk->after));

    if (job->rc == NGX_DONE) {
        r->walking = 0;

        if (r->unread) {

            /* a mark would make garbage of them: no end before they are read */

            r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
            return;
        }

        ngx_rf_zone_lock(r->conf.zone);
        sh->files_scan = 0;
        ngx_rf_zone_unlock(r->conf.zone);
    }

    ngx_rf_recovery_post(r);
}


/* what was set aside always, the rest now and then: it is tried again and
 * again */

static void
ngx_rf_recovery_walk_log(ngx_rf_recovery_t *r, ngx_rf_file_walk_t *walk)
{
    ngx_uint_t  i;

    if (walk->nerrors == 0) {
        return;
    }

    if (walk->quarantined == 0 && r->walk_logged
        && (ngx_msec_int_t) (ngx_current_msec - r->walk_logged)
           < NGX_RF_RECOVERY_LOG)
    {
        return;
    }

    if (walk->quarantined == 0) {
        r->walk_logged = ngx_current_msec;
    }

    for (i = 0; i < ngx_min(walk->nerrors, 16); i++) {
        ngx_rf_flush_log_error(r->conf.flush, NGX_LOG_CRIT,
                               "a file is no record or cannot be read",
                               &walk->errors[i]);
    }
}


/*
 * NGX_AGAIN: there was no room for some, and there may be later.
 *
 * A record is larger than the zone only where nothing held memory before it was
 * tried, and nothing does now: between the two another worker's batch may have
 * ended, and made the room.
 */

static ngx_int_t
ngx_rf_recovery_load(ngx_rf_recovery_t *r, ngx_rf_file_walk_t *walk)
{
    ngx_int_t           rc;
    ngx_uint_t          held, loaded;
    ngx_rf_record_t    *rec;
    ngx_rf_zone_sh_t   *sh;
    ngx_atomic_uint_t   evictions;

    sh = r->conf.zone->sh;
    loaded = 0;

    for (rec = walk->records; rec; rec = rec->next) {

        if (rec->foreign) {
            r->foreign = 1;
        }

        held = loaded || ngx_rf_recovery_holds(sh);
        evictions = sh->stat.evictions;

        rc = ngx_rf_zone_load(r->conf.zone, rec, r->walk_seq, 0,
                              ngx_rf_now());

        if (rc == NGX_DECLINED) {
            rc = ngx_rf_zone_adopt_file(r->conf.zone, rec, r->walk_seq);
        }

        if (rc == NGX_BUSY) {
            /* another walk reads it again */
            r->unread++;

        } else if (rc == NGX_OK) {
            (void) ngx_atomic_fetch_add(&sh->stat.rec_total, 1);
            loaded = 1;
            r->squeezes = 0;

        } else if (rc == NGX_RF_NEED_ROOM
                   && (held || ngx_rf_recovery_holds(sh)))
        {
            return NGX_AGAIN;

        } else if (rc == NGX_RF_NEED_ROOM
                   && sh->stat.evictions != evictions
                   && r->squeezes++ < NGX_RF_RECOVERY_SQUEEZES)
        {
            return NGX_AGAIN;

        } else if (rc != NGX_DECLINED) {
            r->squeezes = 0;
            ngx_rf_recovery_oversized(r, rec);
        }
    }

    return NGX_OK;
}


/* what is there will go, at the latest when the journal has its
 * acknowledgement */

static ngx_uint_t
ngx_rf_recovery_holds(ngx_rf_zone_sh_t *sh)
{
    return sh->npending || ngx_rf_recovery_lags(sh);
}


/* it will never fit into this zone, and others must not wait for it */

static void
ngx_rf_recovery_oversized(ngx_rf_recovery_t *r, ngx_rf_record_t *rec)
{
    ngx_rf_record_t   *copy;
    static ngx_str_t   reason = ngx_string("larger than the zone");

    copy = ngx_rf_codec_clone(rec);

    if (copy) {
        /* the file goes once the copy is in quarantine */
        copy->remove = 1;
    }

    if (copy == NULL
        || ngx_rf_disk_quarantine(r->conf.disk, copy, &reason,
                                  ngx_rf_recovery_quarantined, r)
           == NULL)
    {
        free(copy);
        r->unread++;
        return;
    }

    r->quarantining++;
}
