/*
 * Recovery: what the journal of a path holds becomes pending keys, when the
 * path was another instance's until now, or when a zone that was repaired may
 * have lost entries.  (At a start the master does it, ngx_rf_store_life.c.)
 *
 * Records first, then acknowledgements: nothing is replayed before both are
 * read.  Of another instance's path its files are looked through as well: keys
 * that were changed there and here are merged, others are left for the walk.
 * Only then is the path ours.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_zone.h"


/* records of a slice */
#define NGX_RF_RECOVERY_RECALL  512


static void ngx_rf_recovery_recall_read(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recalled(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_recall_log(ngx_rf_recovery_t *r);
static ngx_int_t ngx_rf_recovery_recall_load(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_next(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_walk(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_walked(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_recall_done(ngx_rf_recovery_t *r);


void
ngx_rf_recovery_recall(ngx_rf_recovery_t *r, ngx_uint_t merge)
{
    r->recalling = 1;
    r->merging = merge;
    r->adopting = 0;
    r->adopt.after[0] = '\0';

    ngx_rf_journal_read_end(&r->recall);
    ngx_memzero(&r->recall, sizeof(ngx_rf_journal_read_t));

    ngx_rf_recovery_recall_read(r);
}


void
ngx_rf_recovery_recall_again(ngx_rf_recovery_t *r)
{
    if (!r->recalling || r->recall_job) {
        return;
    }

    if (r->adopting) {
        ngx_rf_recovery_recall_walk(r);

    } else if (r->recall.records) {
        ngx_rf_recovery_recall_next(r);

    } else {
        ngx_rf_recovery_recall_read(r);
    }
}


void
ngx_rf_recovery_recall_stop(ngx_rf_recovery_t *r)
{
    if (r->recall_job) {
        /* what it reads is its own until it is home, which nobody sees */
        ngx_rf_disk_cut(r->recall_job);
        r->recall_job = NULL;

    } else {
        ngx_rf_journal_read_end(&r->recall);
    }

    r->recalling = 0;
}


static void
ngx_rf_recovery_recall_read(ngx_rf_recovery_t *r)
{
    r->recall.n = NGX_RF_RECOVERY_RECALL;
    r->recall.mark = r->conf.zone->sh->mark;
    r->recall.files = 1;

    r->recall_job = ngx_rf_disk_log_read(r->conf.disk, &r->recall,
                                         ngx_rf_recovery_recalled, r);

    /* where that failed, the next tick tries again */
}


static void
ngx_rf_recovery_recalled(ngx_rf_disk_job_t *job)
{
    ngx_rf_recovery_t  *r;

    r = job->data;

    r->recall_job = NULL;
    r->recall_end = (job->rc == NGX_DONE);

    ngx_rf_recovery_recall_log(r);

    if (job->rc == NGX_ERROR) {
        (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.file_errors, 1);
        return;
    }

    ngx_rf_recovery_recall_next(r);
}


static void
ngx_rf_recovery_recall_log(ngx_rf_recovery_t *r)
{
    ngx_uint_t  i;

    for (i = 0; i < r->recall.nerrors; i++) {
        ngx_rf_flush_log_error(r->conf.flush, NGX_LOG_CRIT,
                               "could not read all of the journal",
                               &r->recall.errors[i]);
    }
}


/* NGX_AGAIN: for want of room, or because Redis may have a part of it */

static ngx_int_t
ngx_rf_recovery_recall_load(ngx_rf_recovery_t *r)
{
    ngx_int_t          rc;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    for (rec = r->recall.records; rec; rec = rec->next) {

        rc = ngx_rf_zone_log_load(r->conf.zone, rec, r->merging,
                                  ngx_rf_now());

        if (rc == NGX_OK || rc == NGX_DECLINED) {
            continue;
        }

        if (rc == NGX_RF_NEED_ROOM) {

            /* what is loaded has to go to files, which the path must be ours
             * for */

            if (!sh->files_ready) {
                sh->journal_scan = 1;
                sh->files_scan = 1;
                sh->files_ready = ngx_pid;
            }

            r->conf.flush->urgent = 1;
            (void) ngx_rf_flush_start(r->conf.flush);
        }

        return NGX_AGAIN;
    }

    return NGX_OK;
}


static void
ngx_rf_recovery_recall_next(ngx_rf_recovery_t *r)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (ngx_rf_recovery_recall_load(r) != NGX_OK) {
        return;
    }

    if (!r->recall_end) {
        ngx_rf_recovery_recall_read(r);
        return;
    }

    ngx_rf_zone_lock(r->conf.zone);

    sh->seq = ngx_max(sh->seq, r->recall.seq);
    sh->journal_base = ngx_max(sh->journal_base, r->recall.base);

    if (sh->segment + 1 < r->recall.next) {
        sh->segment = r->recall.next - 1;
    }

    if (!r->recall.acks) {
        sh->journal_bytes = r->recall.bytes;
        (void) ngx_atomic_fetch_add(&sh->stat.quarantined, r->recall.damaged);
    }

    ngx_rf_zone_unlock(r->conf.zone);

    if (r->recall.unread) {
        /* all of it again */
        ngx_rf_recovery_recall_stop(r);
        r->next_chore = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    if (!r->recall.acks) {
        ngx_rf_journal_read_end(&r->recall);
        ngx_memzero(&r->recall, sizeof(ngx_rf_journal_read_t));
        r->recall.acks = 1;
        ngx_rf_recovery_recall_read(r);
        return;
    }

    ngx_rf_journal_read_end(&r->recall);

    if (r->merging) {
        r->adopting = 1;
        ngx_rf_recovery_recall_walk(r);
        return;
    }

    ngx_rf_recovery_recall_done(r);
}


static void
ngx_rf_recovery_recall_walk(ngx_rf_recovery_t *r)
{
    r->adopt.n = NGX_RF_RECOVERY_RECALL;
    r->adopt.bytes = 0;
    r->adopt.mark = r->conf.zone->sh->mark;

    r->recall_job = ngx_rf_disk_walk(r->conf.disk, &r->adopt,
                                     ngx_rf_recovery_recall_walked, r);
}


static void
ngx_rf_recovery_recall_walked(ngx_rf_disk_job_t *job)
{
    ngx_int_t           rc;
    ngx_rf_record_t    *rec;
    ngx_rf_recovery_t  *r;

    r = job->data;
    r->recall_job = NULL;

    (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.quarantined,
                                job->walk->quarantined);

    if (job->rc == NGX_ERROR) {
        return;
    }

    for (rec = job->walk->records; rec; rec = rec->next) {

        rc = ngx_rf_zone_adopt(r->conf.zone, rec, ngx_rf_now());

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            /* the slice again, at the next tick */
            return;
        }
    }

    ngx_memcpy(r->adopt.after, job->walk->after, sizeof(r->adopt.after));

    if (job->rc != NGX_DONE) {
        ngx_rf_recovery_recall_walk(r);
        return;
    }

    ngx_rf_recovery_recall_done(r);
}


static void
ngx_rf_recovery_recall_done(ngx_rf_recovery_t *r)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    r->recalling = 0;

    if (!r->merging) {
        sh->journal_scan = 0;
        return;
    }

    ngx_rf_zone_lock(r->conf.zone);

    sh->files_scan = 1;
    sh->journal_scan = 0;
    sh->files_ready = ngx_pid;

    ngx_rf_zone_unlock(r->conf.zone);

    ngx_log_error(NGX_LOG_NOTICE, r->log, 0,
                  "redis_fallback store \"%V\": path \"%V\" is ours now",
                  &r->conf.name, &r->conf.file->path);
}
