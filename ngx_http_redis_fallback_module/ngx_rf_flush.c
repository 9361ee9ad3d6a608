/*
 * The files' side, see ngx_rf_flush.h.
 *
 * Files are slow to make, and what they hold is in the journal already: so a
 * batch is followed by a pause, but where memory or an exit waits for them.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_flush.h"
#include "ngx_rf_flush_internal.h"


/* records and bytes of one batch: large enough for one syncfs() to be cheap,
 * small enough for a waiting write to get its turn (PERFORMANCE.md: 100 files
 * a batch reach the disk's full rate) */
#define NGX_RF_FLUSH_RECORDS    256
#define NGX_RF_FLUSH_BYTES      (4 * 1024 * 1024)

/* a batch that took a time is followed by a pause of so many times that, at
 * most so many ms */
#define NGX_RF_FLUSH_REST       3
#define NGX_RF_FLUSH_REST_MAX   1000

/* ms that an exit goes on with files of what is in the journal */
#define NGX_RF_FLUSH_EXIT       1000

/* what an exit tries, in turn with files, while the journal takes nothing */
#define NGX_RF_FLUSH_EXIT_TRIES 3

/* ms between two tries when some names cannot be written and others can */
#define NGX_RF_FLUSH_PAUSE      20

/* ms between two log lines about a name that cannot be written */
#define NGX_RF_FLUSH_LOG        60000


static ngx_int_t ngx_rf_flush_batch(ngx_rf_flush_t *flush);
static void ngx_rf_flush_done(ngx_rf_disk_job_t *job);
static void ngx_rf_flush_result(ngx_rf_flush_t *flush, ngx_rf_record_t *list,
    ngx_uint_t failed, ngx_rf_file_error_t *error);
static ngx_uint_t ngx_rf_flush_one_file(ngx_err_t err);


ngx_int_t
ngx_rf_flush_start(ngx_rf_flush_t *flush)
{
    ngx_msec_int_t  left;

    if (flush->disk == NULL
        || (!flush->zone->sh->files_ready && !flush->early))
    {
        return NGX_DECLINED;
    }

    /* once a pass: those that change all the time would keep it going */

    if (flush->left == 0) {
        flush->left = flush->zone->sh->ndirty;
    }

    if (ngx_rf_disk_writing(flush->disk)) {
        return NGX_AGAIN;
    }

    left = flush->retry ? (ngx_msec_int_t) (flush->retry - ngx_current_msec)
                        : 0;

    if (left > 0) {

        if (flush->zone->sh->files_failed) {
            return NGX_DECLINED;
        }

        /* a longer one is for a disk that another worker found well again */

        if (left <= NGX_RF_FLUSH_PAUSE) {
            return NGX_AGAIN;
        }
    }

    if (!flush->urgent && flush->pause
        && (ngx_msec_int_t) (flush->pause - ngx_current_msec) > 0)
    {
        return NGX_AGAIN;
    }

    return ngx_rf_flush_batch(flush);
}


void
ngx_rf_flush_urgent(ngx_rf_flush_t *flush)
{
    flush->urgent = 1;
    flush->left = ngx_max(flush->left, flush->zone->sh->ndirty);
}


static ngx_int_t
ngx_rf_flush_batch(ngx_rf_flush_t *flush)
{
    ngx_uint_t         n;
    ngx_rf_record_t   *list, *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = flush->zone->sh;

    /* while files fail, all, too: the next batch tells that they do not */

    if (flush->urgent || sh->disk_failed || sh->files_failed
        || sh->journal_full)
    {
        list = ngx_rf_zone_dirty_take(flush->zone, NGX_RF_FLUSH_RECORDS,
                                      NGX_RF_FLUSH_BYTES);

    } else {
        list = ngx_rf_zone_dirty_settled(flush->zone, NGX_RF_FLUSH_RECORDS,
                                         NGX_RF_FLUSH_BYTES, flush->settled);
    }

    if (list == NULL) {
        flush->left = 0;
        flush->urgent = 0;
        return NGX_DONE;
    }

    for (n = 0, rec = list; rec; rec = rec->next) {
        n++;
    }

    flush->left -= ngx_min(flush->left, n);

    if (ngx_rf_disk_write(flush->disk, list, ngx_rf_flush_done, flush)
        == NULL)
    {
        /* as if the disk had refused them: they are dirty again */

        flush->left = 0;
        ngx_rf_zone_dirty_done(flush->zone, list);
        return NGX_DECLINED;
    }

    return NGX_AGAIN;
}


static void
ngx_rf_flush_done(ngx_rf_disk_job_t *job)
{
    ngx_msec_t        rest;
    ngx_rf_flush_t   *flush;
    ngx_rf_record_t  *list;

    flush = job->data;

    list = job->records;
    job->records = NULL;

    ngx_rf_flush_result(flush, list, job->failed, &job->error);

    if (job->failed) {
        flush->left = 0;
    }

    rest = (ngx_current_msec - job->began) * NGX_RF_FLUSH_REST;

    flush->pause = ngx_current_msec + ngx_min(rest, NGX_RF_FLUSH_REST_MAX);

    if (flush->left == 0) {
        flush->urgent = 0;

    } else if (flush->urgent) {
        (void) ngx_rf_flush_batch(flush);
    }

    if (flush->handler) {
        flush->handler(flush->data);
    }
}


static void
ngx_rf_flush_result(ngx_rf_flush_t *flush, ngx_rf_record_t *list,
    ngx_uint_t failed, ngx_rf_file_error_t *error)
{
    ngx_err_t          err;
    ngx_rf_zone_sh_t  *sh;

    sh = flush->zone->sh;

    ngx_rf_zone_dirty_done(flush->zone, list);

    if (failed == 0) {
        flush->retry = 0;
        flush->took = (sh->disk_failed != 0);
        ngx_rf_flush_well(flush, &sh->files_failed);
        return;
    }

    if (sh->superseded == 1) {
        /* what failed, or was left, is written by the new zone's workers */
        return;
    }

    (void) ngx_atomic_fetch_add(&sh->stat.file_errors, failed);

    err = error->err;

    if (ngx_rf_flush_one_file(err)) {

        /* the disk is well, only that name is not: others go on */

        if ((ngx_msec_int_t) (ngx_current_msec - flush->logged) >= 0) {
            flush->logged = ngx_current_msec + NGX_RF_FLUSH_LOG;
            ngx_rf_flush_log_error(flush, NGX_LOG_CRIT,
                                   "could not write a pending record", error);
        }

        flush->retry = ngx_current_msec + NGX_RF_FLUSH_PAUSE;

        return;
    }

    flush->retry = ngx_current_msec + NGX_RF_FLUSH_RETRY;

    ngx_rf_flush_failing(flush, &sh->files_failed,
                         "could not write pending records", error);
}


void
ngx_rf_flush_failing(ngx_rf_flush_t *flush, ngx_atomic_t *failed,
    const char *doing, ngx_rf_file_error_t *error)
{
    ngx_rf_zone_sh_t   *sh;
    ngx_atomic_uint_t   err;

    err = error->err ? error->err : NGX_EINVAL;

    sh = flush->zone->sh;

    /* one line for one disk: what keeps the journal from it keeps files, too */

    if (sh->disk_failed != err && sh->files_failed != err) {
        ngx_rf_flush_log_error(flush, NGX_LOG_CRIT, doing, error);
    }

    *failed = err;
}


void
ngx_rf_flush_well(ngx_rf_flush_t *flush, ngx_atomic_t *failed)
{
    ngx_rf_zone_sh_t  *sh;

    sh = flush->zone->sh;

    if (*failed == 0 && (failed != &sh->disk_failed || !sh->disk_doubt)) {
        return;
    }

    *failed = 0;

    if (failed == &sh->disk_failed) {
        sh->disk_doubt = 0;

        /* files have not been tried since, or will say so anew */
        sh->files_failed = 0;
    }

    if (!sh->disk_failed) {
        ngx_log_error(NGX_LOG_NOTICE, flush->log, 0,
                      "redis_fallback store \"%V\": writing to \"%V\" works "
                      "again", &flush->zone->name, &flush->conf->path);
    }
}


void
ngx_rf_flush_settled(ngx_rf_flush_t *flush)
{
    if (!flush->took) {
        /* it is not known to be well: nothing needs it any more.  The next
         * batch tells */
        flush->zone->sh->disk_doubt = 1;
        flush->zone->sh->disk_failed = 0;
        return;
    }

    flush->took = 0;
    ngx_rf_flush_well(flush, &flush->zone->sh->disk_failed);
}


/* errors that concern one name in the tree, not the disk */

static ngx_uint_t
ngx_rf_flush_one_file(ngx_err_t err)
{
    return err == 0 || err == NGX_EISDIR || err == NGX_ENOTDIR
           || err == NGX_ELOOP || err == NGX_ENAMETOOLONG
           || err == NGX_EEXIST || err == ENOTEMPTY;
}


ngx_uint_t
ngx_rf_flush_exit(ngx_rf_flush_t *flush)
{
    ngx_uint_t            left, failed, wrote, removed, tries;
    ngx_msec_t            end;
    ngx_rf_record_t      *list;
    ngx_rf_zone_sh_t     *sh;
    ngx_rf_file_error_t   error;

    sh = flush->zone->sh;

    if (flush->disk == NULL || !sh->files_ready) {
        return sh->npending;
    }

    /* a worker that was killed a moment ago had some of it, and the leader
     * that would have noticed is on its way out, too */

    if (sh->nlogging || sh->nwriting) {
        ngx_rf_zone_reclaim(flush->zone);
    }

    left = ngx_rf_flush_log_exit(flush);

    tries = 0;
    ngx_time_update();
    end = ngx_current_msec + NGX_RF_FLUSH_EXIT;

    /* without the journal they have as long as it takes */

    while (left || (ngx_msec_int_t) (end - ngx_current_msec) > 0) {

        list = ngx_rf_zone_dirty_take(flush->zone, NGX_RF_FLUSH_RECORDS,
                                      NGX_RF_FLUSH_BYTES);
        if (list == NULL && left && sh->nunlogged
            && tries++ < NGX_RF_FLUSH_EXIT_TRIES)
        {
            /* they are for the journal again, which another worker has found
             * well */
            left = ngx_rf_flush_log_exit(flush);
            continue;
        }

        if (list == NULL) {
            /* what the journal did not take, they did */
            left = sh->nunlogged ? left : 0;
            break;
        }

        ngx_memzero(&error, sizeof(ngx_rf_file_error_t));

        failed = ngx_rf_file_write_thread(flush->conf, list, &wrote, &removed,
                                          &error);

        ngx_rf_flush_result(flush, list, failed, &error);

        if (failed) {
            break;
        }

        ngx_time_update();
    }

    return left ? ngx_rf_zone_unsaved(flush->zone) : 0;
}


void
ngx_rf_flush_log_error(ngx_rf_flush_t *flush, ngx_uint_t level,
    const char *doing, ngx_rf_file_error_t *error)
{
    if (error->err == 0 && error->what) {
        /* a reason, not a call */

        ngx_log_error(level, flush->log, 0,
                      "redis_fallback store \"%V\": %s, \"%s\": %s",
                      &flush->zone->name, doing, error->name, error->what);
        return;
    }

    ngx_log_error(level, flush->log, error->err,
                  "redis_fallback store \"%V\": %s, %s \"%s\" failed",
                  &flush->zone->name, doing,
                  error->what ? error->what : "?", error->name);
}
