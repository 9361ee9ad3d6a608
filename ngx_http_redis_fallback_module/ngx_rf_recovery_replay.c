/*
 * The steps from RECOVERING to NORMAL, see ngx_rf_recovery.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_disk.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_zone.h"


/* a slice of the replay: large enough to fill a round trip, small enough to
 * keep requests waiting for less than a few milliseconds */
#define NGX_RF_RECOVERY_SLICE       512
#define NGX_RF_RECOVERY_SLICE_BYTES (1024 * 1024)

/* ms until the next look at a batch that recovery waits for */
#define NGX_RF_RECOVERY_SOON        3

/* markers remembered for removal; the others expire */
#define NGX_RF_RECOVERY_MARKERS     100000
#define NGX_RF_RECOVERY_UNLINK      256


struct ngx_rf_marker_s {
    ngx_rf_marker_t          *next;
    ngx_str_t                 key;
};


static void ngx_rf_recovery_flush(ngx_rf_recovery_t *r);
static ngx_uint_t ngx_rf_recovery_allowance(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_mark(ngx_rf_recovery_t *r);
static ngx_uint_t ngx_rf_recovery_is_done(ngx_rf_zone_sh_t *sh);
static void ngx_rf_recovery_marked(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_finish(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_unlink(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_unlinked(ngx_rf_call_t *call, ngx_uint_t outcome);


/* RECOVERING: one step, if none is under way */

void
ngx_rf_recovery_next(ngx_rf_recovery_t *r)
{
    ngx_uint_t         n, epoch, restored;
    ngx_rf_record_t   *records;
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (r->busy || r->stopping || sh->superseded || ngx_exiting
        || ngx_rf_zone_overlaps(sh)
        || ngx_rf_mode_get(r->conf.zone, &epoch) != NGX_RF_RECOVERING
        || sh->leader != (ngx_atomic_uint_t) ngx_pid)
    {
        return;
    }

    if (ngx_rf_recovery_late(r)) {

        /* by another worker, whose call was late or who was killed, or by one
         * of an earlier zone: writes wait for that, whatever else is to do */

        if (!ngx_rf_redis_connected(r->conf.redis)) {
            ngx_rf_recovery_probe(r, epoch);
            return;
        }

        if (ngx_rf_recovery_kill(r, 0) != NGX_OK) {
            return;
        }
    }

    if (r->recalling || !ngx_rf_recovery_hand_ready(r)
        || (r->resume
            && (ngx_msec_int_t) (ngx_current_msec - r->resume) < 0))
    {
        return;
    }

    r->resume = 0;

    if (r->probed != epoch) {
        ngx_rf_recovery_probe(r, epoch);
        return;
    }

    n = ngx_rf_recovery_allowance(r);
    if (n == 0) {
        return;
    }

    restored = 0;
    records = ngx_rf_zone_replay_take(r->conf.zone, n,
                                      NGX_RF_RECOVERY_SLICE_BYTES,
                                      ngx_rf_now(), &restored);
    if (records) {
        sh->stat.rec_total += restored;
        ngx_rf_recovery_slice(r, records, epoch);
        return;
    }

    if (r->quarantining) {
        return;
    }

    if (sh->npending) {

        /* the disk is first, or there is no memory for a record: the next
         * tick */

        if (sh->nunlogged) {
            (void) ngx_rf_flush_log(r->conf.flush, 1);
        }

        return;
    }

    if (sh->restore && r->conf.zone->unheard) {
        /* another worker is to say something: the next tick */
        return;
    }

    if (r->crowded) {

        if (ngx_rf_recovery_lags(sh)) {
            ngx_rf_recovery_flush(r);
            return;
        }

        r->crowded = 0;
    }

    if (sh->journal_scan && sh->files_ready) {
        /* a chore of the next tick */
        return;
    }

    if (r->conf.disk && sh->files_ready && (sh->files_scan || sh->spilled)) {
        ngx_rf_recovery_walk(r);
        return;
    }

    if (r->foreign && ngx_rf_recovery_lags(sh)) {

        /* their files have no version, so no mark covers them */

        ngx_rf_recovery_flush(r);
        return;
    }

    if (r->conf.disk && sh->files_ready
        && (sh->stat.files || ngx_rf_recovery_lags(sh)
            || sh->journal_bytes > NGX_RF_JOURNAL_REST))
    {
        ngx_rf_recovery_mark(r);
        return;
    }

    ngx_rf_recovery_finish(r);
}


ngx_uint_t
ngx_rf_recovery_lags(ngx_rf_zone_sh_t *sh)
{
    return sh->nunlogged || sh->nlogging || sh->ndirty || sh->nwriting;
}


/* the next step in a turn of its own, so that requests get theirs */

void
ngx_rf_recovery_post(ngx_rf_recovery_t *r)
{
    ngx_post_event(&r->posted, &ngx_posted_next_events);
}


/* files first; other workers may have a part in it, so looks again */

static void
ngx_rf_recovery_flush(ngx_rf_recovery_t *r)
{
    ngx_int_t  rc;

    ngx_rf_flush_urgent(r->conf.flush);

    rc = ngx_rf_flush_log(r->conf.flush, 1);

    if (ngx_rf_flush_start(r->conf.flush) == NGX_DECLINED
        || rc == NGX_DECLINED)
    {
        r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    if (r->timer.timer_set) {
        ngx_del_timer(&r->timer);
    }

    ngx_add_timer(&r->timer, NGX_RF_RECOVERY_SOON);
}


void
ngx_rf_recovery_posted(ngx_event_t *ev)
{
    ngx_rf_recovery_next(ev->data);
}


static ngx_uint_t
ngx_rf_recovery_allowance(ngx_rf_recovery_t *r)
{
    ngx_uint_t  n;
    ngx_msec_t  elapsed;

    if (r->conf.rate == 0) {
        return NGX_RF_RECOVERY_SLICE;
    }

    /* over the last second or so; at least one key per look */

    elapsed = ngx_current_msec - r->rate_since;

    if (elapsed > 2000) {
        r->rate_since += 1000;
        r->rate_used -= ngx_min(r->rate_used, r->conf.rate);
        elapsed -= 1000;
    }

    n = (ngx_uint_t) ((uint64_t) elapsed * r->conf.rate / 1000);

    if (n <= r->rate_used) {
        return 0;
    }

    return ngx_min(n - r->rate_used, NGX_RF_RECOVERY_SLICE);
}


/* what is on disk now is garbage; durable before the mode says NORMAL */

static void
ngx_rf_recovery_mark(ngx_rf_recovery_t *r)
{
    uint64_t           mark;
    ngx_uint_t         well;
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    ngx_rf_zone_lock(r->conf.zone);

    /* decided in one: what is pending must not lie below the mark, nor the
     * version before its own, see ngx_rf_zone_turn_scan() */

    mark = sh->seq++;
    well = (ngx_rf_recovery_is_done(sh) && sh->mode == r->probed);

    ngx_rf_zone_unlock(r->conf.zone);

    if (!well) {
        ngx_rf_recovery_post(r);
        return;
    }

    r->job = ngx_rf_disk_mark(r->conf.disk, mark, ngx_rf_recovery_marked, r);

    if (r->job == NULL) {
        r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    r->busy = 1;
}


/* a zone salvaged a moment ago may have lost sight of what is on disk */

static ngx_uint_t
ngx_rf_recovery_is_done(ngx_rf_zone_sh_t *sh)
{
    return sh->npending == 0 && sh->spilled == 0
           && !sh->files_scan && !sh->journal_scan;
}


static void
ngx_rf_recovery_marked(ngx_rf_disk_job_t *job)
{
    ngx_uint_t          well;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_recovery_t  *r;

    r = job->data;
    sh = r->conf.zone->sh;

    r->job = NULL;
    r->busy = 0;

    if (job->rc != NGX_OK) {
        ngx_rf_flush_log_error(r->conf.flush, NGX_LOG_CRIT,
                               "could not write the mark that ends a recovery",
                               &job->error);
        (void) ngx_atomic_fetch_add(&sh->stat.file_errors, 1);
        r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    /* a key that became pending meanwhile has a version above the mark */

    ngx_rf_zone_lock(r->conf.zone);

    well = ngx_rf_recovery_is_done(sh);

    if (sh->mark < job->mark) {
        sh->mark = job->mark;
    }

    ngx_rf_zone_unlock(r->conf.zone);

    if (well) {
        ngx_rf_recovery_finish(r);

    } else {
        ngx_rf_recovery_post(r);
    }
}


static void
ngx_rf_recovery_finish(ngx_rf_recovery_t *r)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    switch (ngx_rf_mode_finish(r->conf.zone, r->probed)) {

    case NGX_OK:
        break;

    default:
        /* something became pending meanwhile: the next tick goes on */
        return;
    }

    sh->stat.rec_ms = ngx_current_msec - r->began;
    r->foreign = 0;

    ngx_log_error(NGX_LOG_NOTICE, r->log, 0,
                  "redis_fallback store \"%V\": back to normal, %ui keys "
                  "replayed in %M ms", &r->conf.name, r->done,
                  (ngx_msec_t) sh->stat.rec_ms);

    ngx_rf_recovery_unlink(r);

    /* stale files go at leisure */
    r->next_flush = ngx_current_msec;
    r->next_files = ngx_current_msec;
}


/* markers of deltas that are gone for good, and what was half made */

void
ngx_rf_recovery_remember(ngx_rf_recovery_t *r, ngx_str_t *marker)
{
    ngx_rf_marker_t  *m;

    if (r->nmarkers == NGX_RF_RECOVERY_MARKERS) {
        return;
    }

    m = ngx_alloc(sizeof(ngx_rf_marker_t) + marker->len, r->log);
    if (m == NULL) {
        return;
    }

    m->key.len = marker->len;
    m->key.data = (u_char *) m + sizeof(ngx_rf_marker_t);
    ngx_memcpy(m->key.data, marker->data, marker->len);

    m->next = r->markers;
    r->markers = m;
    r->nmarkers++;
}


static void
ngx_rf_recovery_unlink(ngx_rf_recovery_t *r)
{
    ngx_uint_t              n;
    ngx_str_t              *argv;
    ngx_pool_t             *pool;
    ngx_rf_call_t          *call;
    ngx_rf_marker_t        *m;
    ngx_rf_call_command_t  *command;

    while (r->markers) {

        pool = ngx_create_pool(16384, r->log);
        if (pool == NULL) {
            return;
        }

        call = ngx_pcalloc(pool, sizeof(ngx_rf_call_t));
        command = ngx_pcalloc(pool, sizeof(ngx_rf_call_command_t));
        argv = ngx_palloc(pool, (NGX_RF_RECOVERY_UNLINK + 1)
                                * sizeof(ngx_str_t));

        if (call == NULL || command == NULL || argv == NULL) {
            ngx_destroy_pool(pool);
            return;
        }

        ngx_str_set(&argv[0], "UNLINK");

        for (n = 1; r->markers && n <= NGX_RF_RECOVERY_UNLINK; n++) {
            m = r->markers;
            r->markers = m->next;
            r->nmarkers--;

            argv[n].len = m->key.len;
            argv[n].data = ngx_pstrdup(pool, &m->key);

            if (argv[n].data == NULL) {
                argv[n].len = 0;
            }

            ngx_free(m);
        }

        command->argc = n;
        command->argv = argv;
        call->ncommands = 1;
        call->commands = command;
        call->pool = pool;
        call->handler = ngx_rf_recovery_unlinked;
        call->once = 1;

        if (ngx_rf_redis_call(r->conf.redis, call) != NGX_AGAIN) {
            ngx_destroy_pool(pool);
            return;
        }
    }
}


static void
ngx_rf_recovery_unlinked(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    /* done or not: they expire */

    ngx_destroy_pool(call->pool);
}
