/*
 * The journal's side, see ngx_rf_flush.h.
 *
 * What could break it, and what holds against that:
 *   - a batch fails: its segment is given up (ngx_rf_journal), its entries are
 *     to be journaled again;
 *   - a hot key is journaled a thousand times: at half of the limit the
 *     generation ends, what is still needed of it is written once more, the
 *     rest goes;
 *   - what is still needed takes more than that: the journal is full, files
 *     take what is pending, and the journal needs what is in files no more.
 *     Acknowledgements have some room of their own: without them what the
 *     journal has of a key would be replayed over what Redis has got since;
 *   - clients that wait for a batch come back while the next one is under way
 *     with the others: each batch would have half of them, or, where a sync
 *     takes less time than their requests, a few.  So a worker waits while they
 *     come, and else for less than half of what a batch takes.  For all of them
 *     where the sync is what takes long; else for enough to share what a batch
 *     costs, and the others' requests are worked on meanwhile;
 *   - a worker that is killed in open() makes a segment after the next start
 *     has looked for them: the batch is written under the next number;
 *   - nginx dies while segments are removed: they became garbage in one step
 *     before, by the base in the new one's head.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_flush.h"
#include "ngx_rf_flush_internal.h"


/* records and bytes of one batch; those that wait share its sync, so it may be
 * large (PERFORMANCE.md: 350,000 records a second by 100) */
#define NGX_RF_FLUSH_LOG_RECORDS  1024
#define NGX_RF_FLUSH_LOG_BYTES    (4 * 1024 * 1024)

/* us that a batch waits for others to join, at most; how many of those that the
 * last one had make it worth it; and where they did not come, batches until
 * that is tried again */
#define NGX_RF_FLUSH_GATHER       4000
#define NGX_RF_FLUSH_GATHER_LEAST 4
#define NGX_RF_FLUSH_GATHER_SKIP  4

/* us of this process that a request takes, about: a batch that takes longer
 * than all of them is worth waiting for; and how many share its cost well
 * enough (it is 30 us of two threads that wake each other, and of a sync) */
#define NGX_RF_FLUSH_REQUEST      10
#define NGX_RF_FLUSH_GATHER_MANY  32

/* batches of entries that turned out to need nothing, at a time */
#define NGX_RF_FLUSH_LOOKS        16

/* buckets that are looked at under one hold of the lock */
#define NGX_RF_FLUSH_TURN         4096


static ngx_int_t ngx_rf_flush_log_batch(ngx_rf_flush_t *flush,
    ngx_uint_t all);
static void ngx_rf_flush_gather(ngx_rf_flush_t *flush);
static void ngx_rf_flush_gathered(ngx_event_t *ev);
static ngx_uint_t ngx_rf_flush_enough(ngx_rf_flush_t *flush);
static uint64_t ngx_rf_flush_us(void);
static ngx_int_t ngx_rf_flush_full(ngx_rf_flush_t *flush);
static void ngx_rf_flush_log_done(ngx_rf_disk_job_t *job);
static void ngx_rf_flush_log_result(ngx_rf_flush_t *flush,
    ngx_rf_record_t *list, ngx_int_t rc, ngx_rf_journal_batch_t *batch,
    ngx_rf_file_error_t *error);
static ngx_uint_t ngx_rf_flush_is_there(ngx_int_t rc,
    ngx_rf_file_error_t *error);
static void ngx_rf_flush_head(ngx_rf_journal_batch_t *batch,
    ngx_rf_zone_log_t *log);
static ngx_uint_t ngx_rf_flush_turn_due(ngx_rf_flush_t *flush,
    ngx_uint_t force);
static void ngx_rf_flush_turned(ngx_rf_disk_job_t *job);


ngx_uint_t
ngx_rf_flush_join(ngx_rf_flush_t *flush)
{
    flush->joined++;

    return flush->begun + 1;
}


ngx_uint_t
ngx_rf_flush_is_under_way(ngx_rf_flush_t *flush, ngx_uint_t batch)
{
    return (ngx_int_t) (batch - flush->ended) > 0
           && (flush->gather.posted || ngx_rf_disk_logging(flush->disk));
}


ngx_int_t
ngx_rf_flush_log(ngx_rf_flush_t *flush, ngx_uint_t all)
{
    ngx_int_t          rc, acks;
    ngx_rf_zone_sh_t  *sh;

    sh = flush->zone->sh;

    if (flush->disk == NULL || !sh->files_ready) {
        return NGX_DECLINED;
    }

    if (all) {

        if (flush->log_left == 0) {
            flush->log_began = ngx_current_msec;
        }

        flush->log_left = ngx_max(flush->log_left, sh->nunlogged);
    }

    if (ngx_rf_disk_logging(flush->disk)) {
        flush->log_more = 1;
        return NGX_AGAIN;
    }

    if (flush->log_retry
        && (ngx_msec_int_t) (flush->log_retry - ngx_current_msec) > 0
        && sh->disk_failed)
    {
        return NGX_DECLINED;
    }

    if (ngx_rf_flush_full(flush) != NGX_OK) {
        acks = ngx_rf_flush_log_batch(flush, all);

        ngx_rf_flush_urgent(flush);
        rc = ngx_rf_flush_start(flush);

        /* who waits for files only asks again after that */

        return (acks == NGX_AGAIN) ? NGX_AGAIN : rc;
    }

    if (all) {
        return ngx_rf_flush_log_batch(flush, all);
    }

    ngx_rf_flush_gather(flush);

    return NGX_AGAIN;
}


/* a batch begins when the event loop's turn ends, or some turns later */

static void
ngx_rf_flush_gather(ngx_rf_flush_t *flush)
{
    if (flush->gather.posted) {
        return;
    }

    flush->gather_start = ngx_rf_flush_us();
    flush->gather_seen = 0;

    flush->gather.handler = ngx_rf_flush_gathered;
    flush->gather.data = flush;
    flush->gather.log = flush->log;

    ngx_post_event(&flush->gather, &ngx_posted_events);
}


static void
ngx_rf_flush_gathered(ngx_event_t *ev)
{
    uint64_t         us;
    ngx_uint_t       n;
    ngx_rf_flush_t  *flush;

    flush = ev->data;

    if (ngx_rf_disk_logging(flush->disk)) {
        /* its end takes what is there */
        return;
    }

    n = flush->joined;
    us = ngx_rf_flush_us() - flush->gather_start;

    if (n < ngx_rf_flush_enough(flush) && us < NGX_RF_FLUSH_GATHER) {

        if (n > flush->gather_seen) {
            flush->gather_seen = n;
            ngx_post_event(ev, &ngx_posted_next_events);
            return;
        }

        if (flush->gather_skip) {
            flush->gather_skip--;

        } else if (us < flush->log_us / 2) {

            /* who is to send them may need this processor */
            ngx_sched_yield();

            ngx_post_event(ev, &ngx_posted_next_events);
            return;

        } else if (n < flush->gather_want / 4) {
            flush->gather_skip = NGX_RF_FLUSH_GATHER_SKIP;
        }
    }

    /* those for whom there is no batch look again by themselves: woken in here
     * they would ask for one at once, and this turn would never end */

    (void) ngx_rf_flush_log_batch(flush, 0);
}


static ngx_uint_t
ngx_rf_flush_enough(ngx_rf_flush_t *flush)
{
    ngx_uint_t  n;

    n = flush->gather_want;

    if (flush->log_us > n * NGX_RF_FLUSH_REQUEST) {
        return n;
    }

    return ngx_min(n, ngx_max(n / 2, NGX_RF_FLUSH_GATHER_MANY));
}


static uint64_t
ngx_rf_flush_us(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/* NGX_OK: not yet.  NGX_DECLINED: but for acknowledgements, which may take half
 * as much again.  NGX_ERROR: for them, too */

static ngx_int_t
ngx_rf_flush_full(ngx_rf_flush_t *flush)
{
    off_t              limit, bytes;
    ngx_rf_zone_sh_t  *sh;

    sh = flush->zone->sh;
    bytes = (off_t) sh->journal_bytes;

    /* a generation's end writes what it needs before it gives room */

    limit = sh->turn ? 2 * flush->limit : flush->limit;

    if (bytes < limit) {
        sh->journal_full = 0;
        return NGX_OK;
    }

    if (!sh->journal_full) {
        sh->journal_full = bytes;
        ngx_log_error(NGX_LOG_WARN, flush->log, 0,
                      "redis_fallback store \"%V\": the journal has %O bytes "
                      "and takes no more, files are written instead",
                      &flush->zone->name, bytes);
    }

    /* a batch may have gone far above the limit; and a generation that ends
     * needs them to end, each key's once */

    return (sh->turn
            || bytes - (off_t) sh->journal_full < flush->limit / 2)
           ? NGX_DECLINED : NGX_ERROR;
}


static ngx_int_t
ngx_rf_flush_log_batch(ngx_rf_flush_t *flush, ngx_uint_t all)
{
    ngx_uint_t               i, n, what;
    ngx_rf_record_t         *list, *rec;
    ngx_rf_zone_sh_t        *sh;
    ngx_rf_zone_log_t        log;
    ngx_rf_journal_batch_t   batch;

    sh = flush->zone->sh;

    flush->log_more = 0;
    flush->answering = flush->joined;
    flush->joined = 0;

    what = all ? NGX_RF_LOG_ALL : 0;
    n = NGX_RF_FLUSH_LOG_RECORDS;

    switch (ngx_rf_flush_full(flush)) {

    case NGX_DECLINED:
        what |= NGX_RF_LOG_ACKS;
        break;

    case NGX_ERROR:
        n = 0;
        break;

    default:
        break;
    }

    i = 0;

    do {
        list = ngx_rf_zone_log_take(flush->zone, n, NGX_RF_FLUSH_LOG_BYTES,
                                    what, &log);

        /* all of them may have needed nothing but a look */

    } while (list == NULL && n && all && ++i < NGX_RF_FLUSH_LOOKS
             && (what & NGX_RF_LOG_ACKS ? sh->nunacked : sh->nunlogged));

    if (list == NULL) {
        flush->log_left = 0;
        return NGX_DONE;
    }

    for (n = 0, rec = list; rec; rec = rec->next) {
        n++;
    }

    flush->begun++;
    flush->log_left -= ngx_min(flush->log_left, n);
    flush->log_start = ngx_rf_flush_us();

    ngx_rf_flush_head(&batch, &log);
    batch.records = list;

    if (ngx_rf_disk_log(flush->disk, &batch, ngx_rf_flush_log_done, flush)
        == NULL)
    {
        /* as if the disk had refused them */

        flush->ended = flush->begun;
        flush->log_left = 0;
        ngx_rf_zone_log_done(flush->zone, list, NGX_ERROR, log.generation);
        return NGX_DECLINED;
    }

    return NGX_AGAIN;
}


static void
ngx_rf_flush_head(ngx_rf_journal_batch_t *batch, ngx_rf_zone_log_t *log)
{
    ngx_memzero(batch, sizeof(ngx_rf_journal_batch_t));

    batch->number = log->number;
    batch->base = log->base;
    batch->seq = log->seq;
    batch->generation = log->generation;
}


static void
ngx_rf_flush_log_done(ngx_rf_disk_job_t *job)
{
    ngx_rf_flush_t   *flush;
    ngx_rf_record_t  *list;

    flush = job->data;

    list = job->records;
    job->records = NULL;

    flush->ended = flush->begun;

    ngx_rf_flush_log_result(flush, list, job->rc, &job->batch, &job->error);

    if (flush->log_left == 0) {
        flush->log_took = ngx_current_msec - flush->log_began;
    }

    /* those of this batch are answered now, and may come back */

    flush->log_us = ngx_rf_flush_us() - flush->log_start;
    flush->gather_want = flush->answering + flush->joined;

    if (flush->gather_want < NGX_RF_FLUSH_GATHER_LEAST) {
        flush->gather_want = 0;
    }

    if (job->rc == NGX_OK && flush->log_left) {
        (void) ngx_rf_flush_log_batch(flush, 1);

    } else if (job->rc == NGX_OK && flush->log_more) {
        (void) ngx_rf_flush_log(flush, 0);

    } else if (flush->handler
               && ngx_rf_flush_is_there(job->rc, &job->error))
    {
        /* at exit it is ngx_rf_flush_log_exit() that goes on */
        (void) ngx_rf_flush_log(flush, 1);
    }

    if (flush->handler) {
        flush->handler(flush->data);
    }
}


static void
ngx_rf_flush_log_result(ngx_rf_flush_t *flush, ngx_rf_record_t *list,
    ngx_int_t rc, ngx_rf_journal_batch_t *batch, ngx_rf_file_error_t *error)
{
    ngx_rf_zone_sh_t  *sh;

    sh = flush->zone->sh;

    ngx_rf_zone_log_done(flush->zone, list, rc, batch->generation);

    if (rc == NGX_OK) {
        (void) ngx_atomic_fetch_add(&sh->journal_bytes, batch->bytes);
        flush->log_retry = 0;
        ngx_rf_flush_well(flush, &sh->disk_failed);
        return;
    }

    flush->log_left = 0;

    if (ngx_rf_flush_is_there(rc, error)) {
        return;
    }

    flush->log_retry = ngx_current_msec + NGX_RF_FLUSH_RETRY;

    (void) ngx_atomic_fetch_add(&sh->stat.file_errors, 1);

    ngx_rf_flush_failing(flush, &sh->disk_failed,
                         "could not write pending records", error);
}


/* the number has a segment already; each is tried once */

static ngx_uint_t
ngx_rf_flush_is_there(ngx_int_t rc, ngx_rf_file_error_t *error)
{
    return rc != NGX_OK && error->err == NGX_EEXIST;
}


ngx_uint_t
ngx_rf_flush_log_exit(ngx_rf_flush_t *flush)
{
    ngx_int_t                rc;
    ngx_uint_t               i, n, before, taken;
    ngx_rf_record_t         *list, *rec;
    ngx_rf_zone_sh_t        *sh;
    ngx_rf_zone_log_t        log;
    ngx_rf_file_error_t      error;
    ngx_rf_journal_batch_t   batch;

    sh = flush->zone->sh;

    if (flush->gather.posted) {
        ngx_delete_posted_event(&flush->gather);
    }

    /* as much as there is now: what others change meanwhile is theirs */

    n = sh->nunlogged;

    for (i = 0; n && i < NGX_RF_FLUSH_LOOKS; /* void */ ) {

        before = sh->nunlogged;

        list = ngx_rf_zone_log_take(flush->zone, NGX_RF_FLUSH_LOG_RECORDS,
                                    NGX_RF_FLUSH_LOG_BYTES, 1, &log);
        if (list == NULL) {

            if (sh->nunlogged < before) {
                /* they needed nothing but a look: there may be any number of
                 * those in front of one that needs more */
                n -= ngx_min(n, before - sh->nunlogged);

            } else {
                i++;
            }

            continue;
        }

        for (taken = 0, rec = list; rec; rec = rec->next) {
            taken++;
        }

        ngx_rf_flush_head(&batch, &log);
        batch.records = list;

        rc = ngx_rf_disk_log_now(flush->disk, &batch, &error);

        ngx_rf_flush_log_result(flush, list, rc, &batch, &error);

        if (rc == NGX_OK) {
            n -= ngx_min(n, taken);

        } else if (!ngx_rf_flush_is_there(rc, &error)) {
            return sh->nunlogged;
        }
    }

    return 0;
}


void
ngx_rf_flush_turn(ngx_rf_flush_t *flush, ngx_uint_t force)
{
    ngx_int_t                rc;
    ngx_rf_zone_sh_t        *sh;
    ngx_rf_zone_log_t        log;
    ngx_rf_journal_batch_t   batch;

    sh = flush->zone->sh;

    if (flush->disk == NULL || !sh->files_ready || flush->turning) {
        return;
    }

    if (sh->journal_scan) {
        /* of what is read nothing was looked at */
        flush->turn_at = 0;
        flush->turn_left = 0;
        return;
    }

    if (sh->turn == 0) {

        if (!ngx_rf_flush_turn_due(flush, force)
            || (flush->turn_retry
                && (ngx_msec_int_t) (flush->turn_retry - ngx_current_msec)
                   > 0))
        {
            return;
        }

        flush->turn_retry = 0;

        ngx_rf_zone_turn(flush->zone);

        flush->turn_at = 0;
        flush->turn_left = 0;
    }

    if (ngx_rf_disk_logging(flush->disk)) {
        return;
    }

    rc = ngx_rf_zone_turn_scan(flush->zone, NGX_RF_FLUSH_TURN,
                               &flush->turn_at, &flush->turn_left, &log);

    if (rc == NGX_DONE) {
        ngx_rf_flush_head(&batch, &log);
        batch.garbage = (sh->journal_top <= sh->mark);

        if (ngx_rf_disk_base(flush->disk, &batch, ngx_rf_flush_turned, flush)
            == NULL)
        {
            ngx_rf_zone_turned(flush->zone, 0);
            return;
        }

        flush->turning = 1;
        return;
    }

    if (rc == NGX_AGAIN && flush->turn_at == sh->nbuckets) {
        /* another look, once they are journaled */
        flush->turn_at = 0;
        flush->turn_left = 0;
    }

    (void) ngx_rf_flush_log(flush, 1);
}


static ngx_uint_t
ngx_rf_flush_turn_due(ngx_rf_flush_t *flush, ngx_uint_t force)
{
    off_t  bytes;

    bytes = (off_t) flush->zone->sh->journal_bytes;

    if (force) {
        return bytes > NGX_RF_JOURNAL_REST;
    }

    /* as much again as was left the last time: each byte is written twice on
     * the average */

    return bytes >= flush->limit / 2
           && bytes - ngx_min(flush->turned, bytes) >= flush->limit / 4;
}


static void
ngx_rf_flush_turned(ngx_rf_disk_job_t *job)
{
    ngx_rf_flush_t    *flush;
    ngx_rf_zone_sh_t  *sh;

    flush = job->data;
    sh = flush->zone->sh;

    flush->turning = 0;

    /* the next one begins with a look at everything */
    flush->turn_at = 0;
    flush->turn_left = 0;

    if (job->rc != NGX_OK) {
        ngx_rf_zone_turned(flush->zone, 0);

        if (ngx_rf_flush_is_there(job->rc, &job->error)) {
            return;
        }

        flush->log_retry = ngx_current_msec + NGX_RF_FLUSH_RETRY;
        (void) ngx_atomic_fetch_add(&sh->stat.file_errors, 1);
        ngx_rf_flush_failing(flush, &sh->disk_failed,
                             "could not write to the journal", &job->error);
        return;
    }

    ngx_rf_zone_turned(flush->zone, job->batch.base);

    if (job->batch.bytes < 0) {
        /* they take what they took, and the next one is due when they have
         * grown by as much as ever */
        flush->turned = sh->journal_bytes;
        flush->turn_retry = ngx_current_msec + NGX_RF_FLUSH_RETRY;
        return;
    }

    /* What others have appended since that was looked at is not counted, or
     * twice, until the next one ends. */

    sh->journal_bytes = job->batch.bytes;
    flush->turned = job->batch.bytes;

    if (sh->journal_full) {
        /* as much again: what comes until the next one is due has room */
        sh->journal_full = job->batch.bytes;
    }
}
