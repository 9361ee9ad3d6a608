/*
 * Recovery: what instances without the path have left in it when they ended
 * becomes pending here, file by file, oldest first.
 *
 *   read    the next file, whole
 *   merge   its records, into the zone
 *   settle  they are in our journal, or in files
 *   done    the file is removed; or has only those records from now on that
 *           could not be merged yet, for the next look
 *
 * What could break it, and what holds against that:
 *   - a crash between settle and done, or another leader: the file is read once
 *     more.  What is in the zone already is told by its id, as long as it is
 *     pending (ngx_rf_zone_handover).  So nothing is replayed from merge to
 *     done, nor before whoever leads now has looked at all files once;
 *   - Redis may have a part of what was changed here: that key waits for the
 *     replay of it;
 *   - a write of such a key is on its way to Redis, by a worker that did not
 *     find it pending: if that is newer, its reply takes the record out again
 *     (ngx_rf_zone_told_locked), so the replay waits for as long as a call may
 *     take;
 *   - the disk is failing: nothing is merged;
 *   - normal mode: nothing may be pending there, so it ends before the merge.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_zone.h"


/* records that are merged in a turn of the event loop */
#define NGX_RF_RECOVERY_HAND        512

/* ms between two looks, and where something had to wait: it is read anew */
#define NGX_RF_RECOVERY_HAND_LOOK   500
#define NGX_RF_RECOVERY_HAND_WAIT   2000

/* ms between two log lines about what cannot be read */
#define NGX_RF_RECOVERY_HAND_LOG    60000

/* ms that a call has beside its budget: who is late is looked at once more */
#define NGX_RF_RECOVERY_HAND_LATE   50


static void ngx_rf_recovery_hand_read(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_hand_loaded(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_hand_end(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_hand_log(ngx_rf_recovery_t *r, ngx_int_t rc);
static void ngx_rf_recovery_hand_merge(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_hand_again(ngx_event_t *ev);
static void ngx_rf_recovery_hand_settle(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_hand_done(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_hand_removed(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_hand_skip(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_hand_free(ngx_rf_record_t **list);


void
ngx_rf_recovery_hand(ngx_rf_recovery_t *r)
{
    if (r->conf.disk == NULL || !r->conf.zone->sh->files_ready || r->recalling
        || r->hand_job
        || (ngx_msec_int_t) (ngx_current_msec - r->next_hand) < 0)
    {
        return;
    }

    if (r->hand_step) {
        r->hand_step(r);
        return;
    }

    ngx_rf_recovery_hand_read(r);
}


ngx_uint_t
ngx_rf_recovery_hand_ready(ngx_rf_recovery_t *r)
{
    if (r->hand_until) {

        if ((ngx_msec_int_t) (ngx_current_msec - r->hand_until) < 0) {
            return 0;
        }

        r->hand_until = 0;
    }

    return r->conf.disk == NULL || !r->conf.zone->sh->files_ready
           || (r->handed && r->hand_step == NULL);
}


void
ngx_rf_recovery_hand_taken(ngx_rf_recovery_t *r)
{
    r->hand_until = ngx_current_msec + r->conf.budget
                    + NGX_RF_RECOVERY_HAND_LATE;
    r->hand_until += (r->hand_until == 0);
}


void
ngx_rf_recovery_hand_stop(ngx_rf_recovery_t *r)
{
    if (r->hand_event.posted) {
        ngx_delete_posted_event(&r->hand_event);
    }

    if (r->hand_job) {

        if (r->stopping) {
            /* what it reads is its own until it is home, which nobody sees */
            ngx_rf_disk_cut(r->hand_job);
            r->hand_job = NULL;

        } else {
            r->hand_cut = 1;
        }

    } else {
        r->hand.after[0] = '\0';
    }

    ngx_rf_recovery_hand_skip(r);

    r->hand_left = 0;
    r->next_hand = ngx_current_msec;
}


static void
ngx_rf_recovery_hand_read(ngx_rf_recovery_t *r)
{
    r->hand.files = 1;

    r->hand_job = ngx_rf_disk_hand_read(r->conf.disk, &r->hand,
                                        ngx_rf_recovery_hand_loaded, r);

    /* where that failed, the next tick tries again */
}


static void
ngx_rf_recovery_hand_loaded(ngx_rf_disk_job_t *job)
{
    ngx_rf_recovery_t  *r;

    r = job->data;
    r->hand_job = NULL;

    if (r->hand_cut) {
        r->hand_cut = 0;
        ngx_rf_recovery_hand_free(&r->hand.records);
        r->hand.after[0] = '\0';
        return;
    }

    ngx_rf_recovery_hand_log(r, job->rc);

    if (job->rc == NGX_OK) {
        r->hand_list = r->hand.records;
        r->hand.records = NULL;
        r->hand_taken = 0;
        r->hand_step = ngx_rf_recovery_hand_merge;
        r->hand_step(r);
        return;
    }

    if (job->rc == NGX_ERROR && r->hand.error.err != NGX_ENOMEM
        && r->hand.error.err != NGX_EMFILE && r->hand.error.err != NGX_ENFILE)
    {
        r->hand_left = 1;

        if (r->hand.name[0]) {
            /* the others need not wait for it */
            ngx_memcpy(r->hand.after, r->hand.name, NGX_RF_JOURNAL_HAND);
            return;
        }

        ngx_rf_recovery_hand_end(r);
        return;
    }

    if (job->rc == NGX_ERROR) {
        r->next_hand = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    ngx_rf_recovery_hand_end(r);
}


/* all have been looked at */

static void
ngx_rf_recovery_hand_end(ngx_rf_recovery_t *r)
{
    r->next_hand = ngx_current_msec + (r->hand_left
                                       ? NGX_RF_RECOVERY_HAND_WAIT
                                       : NGX_RF_RECOVERY_HAND_LOOK);
    r->hand.after[0] = '\0';
    r->hand_left = 0;
    r->handed = 1;

    ngx_rf_recovery_post(r);
}


/* what is damaged at once, what cannot be read now and then */

static void
ngx_rf_recovery_hand_log(ngx_rf_recovery_t *r, ngx_int_t rc)
{
    if (r->hand.unknown) {
        ngx_log_error(NGX_LOG_CRIT, r->log, 0,
                      "redis_fallback store \"%V\": %ui lines of \"%s\" are "
                      "not understood and left out", &r->conf.name,
                      r->hand.unknown, r->hand.name);
    }

    if (r->hand.damaged) {
        (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.quarantined, 1);

    } else if (rc != NGX_ERROR
               || (r->hand_logged
                   && (ngx_msec_int_t) (ngx_current_msec - r->hand_logged)
                      < NGX_RF_RECOVERY_HAND_LOG))
    {
        return;
    }

    r->hand_logged = ngx_current_msec;

    ngx_rf_flush_log_error(r->conf.flush, NGX_LOG_CRIT,
                           "could not read all of what another instance has "
                           "left", &r->hand.error);
}


static void
ngx_rf_recovery_hand_merge(ngx_rf_recovery_t *r)
{
    ngx_int_t          rc;
    ngx_uint_t         n, epoch;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (r->slice || r->job) {
        /* what is under way first */
        return;
    }

    if (sh->disk_failed) {

        if (r->handed && r->hand_taken == 0 && r->hand_rest == NULL) {
            r->hand_left = 1;
            ngx_rf_recovery_hand_skip(r);
            ngx_rf_recovery_hand_end(r);
        }

        return;
    }

    if (r->hand_list && ngx_rf_mode_get(r->conf.zone, &epoch) == NGX_RF_NORMAL)
    {
        (void) ngx_rf_mode_set(r->conf.zone, epoch, NGX_RF_RECOVERING);
    }

    for (n = 0; r->hand_list && n < NGX_RF_RECOVERY_HAND; n++) {

        rec = r->hand_list;
        r->hand_list = rec->next;

        rc = ngx_rf_zone_hand_in(r->conf.zone, rec, ngx_rf_now());

        if (rc == NGX_OK) {
            rec->next = r->hand_wait;
            r->hand_wait = rec;
            r->hand_taken++;
            ngx_rf_recovery_hand_taken(r);

        } else if (rc == NGX_DECLINED) {
            ngx_rf_codec_free(rec);
            r->hand_taken++;

        } else {

            if (rc == NGX_RF_NEED_ROOM) {
                ngx_rf_flush_urgent(r->conf.flush);
                (void) ngx_rf_flush_start(r->conf.flush);
            }

            rec->next = r->hand_rest;
            r->hand_rest = rec;
        }
    }

    if (r->hand_list) {
        r->hand_event.handler = ngx_rf_recovery_hand_again;
        r->hand_event.data = r;
        r->hand_event.log = r->log;

        ngx_post_event(&r->hand_event, &ngx_posted_next_events);
        return;
    }

    r->hand_step = ngx_rf_recovery_hand_settle;
    r->hand_step(r);
}


static void
ngx_rf_recovery_hand_again(ngx_event_t *ev)
{
    ngx_rf_recovery_t  *r;

    r = ev->data;

    if (!ngx_exiting && r->hand_step == ngx_rf_recovery_hand_merge) {
        ngx_rf_recovery_hand(r);
    }
}


static void
ngx_rf_recovery_hand_settle(ngx_rf_recovery_t *r)
{
    ngx_rf_record_t  *rec;

    if (r->hand_wait && r->conf.zone->sh->nunlogged) {
        (void) ngx_rf_flush_log(r->conf.flush, 1);
    }

    while (r->hand_wait) {
        rec = r->hand_wait;

        if (ngx_rf_zone_durable(r->conf.zone, &rec->key, rec->version)
            == NGX_AGAIN)
        {
            /* the next tick looks again */
            return;
        }

        r->hand_wait = rec->next;
        ngx_rf_codec_free(rec);
    }

    r->hand_step = ngx_rf_recovery_hand_done;
    r->hand_step(r);
}


static void
ngx_rf_recovery_hand_done(ngx_rf_recovery_t *r)
{
    if (r->hand_rest && r->hand_taken == 0) {

        /* the file is as it should be */

        r->hand_left = 1;
        ngx_rf_recovery_hand_skip(r);
        ngx_memcpy(r->hand.after, r->hand.name, NGX_RF_JOURNAL_HAND);
        return;
    }

    r->hand_job = ngx_rf_disk_hand_done(r->conf.disk, r->hand.name,
                                        r->hand_rest,
                                        ngx_rf_recovery_hand_removed, r);
    if (r->hand_job) {
        /* they are the job's */
        r->hand_left |= (r->hand_rest != NULL);
        r->hand_rest = NULL;
    }
}


static void
ngx_rf_recovery_hand_removed(ngx_rf_disk_job_t *job)
{
    ngx_rf_recovery_t  *r;

    r = job->data;
    r->hand_job = NULL;

    if (r->hand_cut) {
        r->hand_cut = 0;
        r->hand.after[0] = '\0';
        return;
    }

    if (job->rc != NGX_OK) {
        (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.file_errors, 1);

        if (r->hand_logged == 0
            || (ngx_msec_int_t) (ngx_current_msec - r->hand_logged)
               >= NGX_RF_RECOVERY_HAND_LOG)
        {
            r->hand_logged = ngx_current_msec;
            ngx_rf_flush_log_error(r->conf.flush, NGX_LOG_CRIT,
                                   "could not remove what another instance "
                                   "has left", &job->error);
        }

        if (r->hand_taken) {
            r->hand_rest = job->records;
            job->records = NULL;
            r->next_hand = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
            return;
        }

    } else if (r->hand_taken) {
        ngx_log_error(NGX_LOG_NOTICE, r->log, 0,
                      "redis_fallback store \"%V\": took over %ui keys that "
                      "another nginx instance has left", &r->conf.name,
                      r->hand_taken);
    }

    ngx_memcpy(r->hand.after, r->hand.name, NGX_RF_JOURNAL_HAND);
    ngx_rf_recovery_hand_skip(r);
    ngx_rf_recovery_hand(r);
}


static void
ngx_rf_recovery_hand_skip(ngx_rf_recovery_t *r)
{
    ngx_rf_recovery_hand_free(&r->hand_list);
    ngx_rf_recovery_hand_free(&r->hand_wait);
    ngx_rf_recovery_hand_free(&r->hand_rest);

    r->hand_step = NULL;
}


static void
ngx_rf_recovery_hand_free(ngx_rf_record_t **list)
{
    ngx_rf_record_t  *rec;

    while (*list) {
        rec = *list;
        *list = rec->next;
        ngx_rf_codec_free(rec);
    }
}
