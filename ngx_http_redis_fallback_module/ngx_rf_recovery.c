/*
 * The leader's work, see ngx_rf_recovery.h.
 *
 *   tick       lease -> path's lock -> dead writers -> journal -> files ->
 *              what others have left
 *              FALLBACK: probe when due          RECOVERING: next step
 *              NORMAL: what was given up without an outage is ended
 *   probe      -> connections that were given up are ended -> RECOVERING
 *   next       probed? -> slice of pending keys -> walk the files -> mark ->
 *              NORMAL; one step is under way at a time ("busy"), and its end
 *              calls next() again
 *
 * What could break it, and what holds against that:
 *   - Redis answers PING but cannot write: the probe is a SETRANGE of nothing,
 *     which is a write that may be denied for memory, and changes nothing.
 *   - a step's answer comes after the mode or the leader has changed: steps
 *     carry the epoch; verdicts are about a version of a record, and count
 *     while the same worker leads.
 *   - a command that was given up is executed after the replay: its connection
 *     is ended before.
 *   - a key that Redis refuses for ever: set aside in quarantine/.
 *   - a stale file outlives the recovery and is replayed after a crash: the
 *     mark is durable before the mode is NORMAL, and until then a write to a
 *     key whose file is stale waits for its removal (ngx_rf_local).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_zone.h"


/* ms between two looks of a leader with something to do, and of the others */
#define NGX_RF_RECOVERY_TICK        50
#define NGX_RF_RECOVERY_IDLE        500

/* ms between two looks for the claims of dead workers, and for the path's
 * lock; requests wait for the former */
#define NGX_RF_RECOVERY_CHORES      250

/* ms that the path's lock of another instance is free before it is taken: a
 * worker that has it may go, and the next leader of that instance is to have
 * it.  That one is found 2 s after the worker was killed (the lease), or half a
 * second (NGX_RF_RECOVERY_IDLE) later */
#define NGX_RF_RECOVERY_FREE        3000

/* ms between two batches for the journal that write_queue asks for: with that
 * many keys that change all the time, a thread would write all the time.  And
 * between two batches of what Redis has acknowledged: many a recovery has ended
 * before the first, and its mark says it of all */
#define NGX_RF_RECOVERY_QUEUE       250

/* ms between two PINGs (ngx_rf_tracking.c), and some more */
#define NGX_RF_RECOVERY_SILENCE     1500

/* the first probe after an outage began (INTERFACE.md: 250 ms) */
#define NGX_RF_RECOVERY_PROBE       250


static void ngx_rf_recovery_tick(ngx_event_t *ev);
static ngx_uint_t ngx_rf_recovery_lead(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_chores(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_take_lock(ngx_rf_recovery_t *r);
static ngx_uint_t ngx_rf_recovery_lock_is_free(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_give_up_lock(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_drop_lock(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_disk(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_journal(ngx_rf_recovery_t *r, ngx_rf_mode_e mode);
static void ngx_rf_recovery_files(ngx_rf_recovery_t *r, ngx_rf_mode_e mode);
static void ngx_rf_recovery_normal(ngx_rf_recovery_t *r, ngx_uint_t epoch);
static void ngx_rf_recovery_fallback(ngx_rf_recovery_t *r, ngx_uint_t epoch);
static ngx_uint_t ngx_rf_recovery_ready(ngx_rf_reply_t *reply);
static void ngx_rf_recovery_probed(ngx_rf_call_t *call, ngx_uint_t outcome);
static void ngx_rf_recovery_begin(ngx_rf_recovery_t *r);


ngx_rf_recovery_t *
ngx_rf_recovery_start(ngx_rf_recovery_conf_t *conf, ngx_cycle_t *cycle)
{
    ngx_rf_recovery_t  *r;

    r = ngx_pcalloc(cycle->pool, sizeof(ngx_rf_recovery_t));
    if (r == NULL) {
        return NULL;
    }

    r->conf = *conf;
    r->log = cycle->log;
    r->lock = NGX_INVALID_FILE;
    r->probed = (ngx_uint_t) -1;
    r->epoch = (ngx_uint_t) -1;

    /* until a worker has found out at the latest that a connection is dead */
    conf->zone->patience = conf->budget + NGX_RF_RECOVERY_SILENCE;

    r->timer.handler = ngx_rf_recovery_tick;
    r->timer.data = r;
    r->timer.log = cycle->log;
    r->timer.cancelable = 1;

    r->posted.handler = ngx_rf_recovery_posted;
    r->posted.data = r;
    r->posted.log = cycle->log;

    ngx_add_timer(&r->timer, 1);

    return r;
}


void
ngx_rf_recovery_stop(ngx_rf_recovery_t *r)
{
    r->stopping = 1;

    if (r->timer.timer_set) {
        ngx_del_timer(&r->timer);
    }

    if (r->posted.posted) {
        ngx_delete_posted_event(&r->posted);
    }

    if (r->job) {
        ngx_rf_disk_cut(r->job);
        r->job = NULL;
    }

    ngx_rf_recovery_recall_stop(r);
    ngx_rf_recovery_hand_stop(r);
    ngx_rf_recovery_learn_drop(r);

    if (r->slice == NULL) {
        ngx_rf_mode_resign(r->conf.zone);
    }

    ngx_rf_recovery_drop_lock(r);
}


static void
ngx_rf_recovery_tick(ngx_event_t *ev)
{
    ngx_uint_t          epoch, delay;
    ngx_rf_mode_e       mode;
    ngx_rf_recovery_t  *r;

    r = ev->data;

    if (r->stopping) {
        return;
    }

    if (ngx_exiting || ngx_quit || ngx_terminate) {

        /* somebody of the next generation may lead, but not before what this
         * one has sent is answered: it could overtake what comes next */

        if (r->slice && ngx_rf_recovery_lead(r)) {
            ngx_add_timer(&r->timer, NGX_RF_RECOVERY_TICK);
            return;
        }

        ngx_rf_mode_resign(r->conf.zone);
        return;
    }

    delay = NGX_RF_RECOVERY_IDLE;

    if (r->conf.disk) {
        ngx_rf_disk_log_close(r->conf.disk, r->conf.zone->sh->generation);
    }

    if (ngx_rf_recovery_lead(r)) {
        ngx_rf_recovery_chores(r);
        ngx_rf_recovery_disk(r);
        ngx_rf_recovery_hand(r);

        mode = ngx_rf_mode_get(r->conf.zone, &epoch);

        if (mode == NGX_RF_FALLBACK) {
            ngx_rf_recovery_fallback(r, epoch);

        } else if (mode == NGX_RF_RECOVERING) {
            ngx_rf_recovery_next(r);

        } else {
            ngx_rf_recovery_normal(r, epoch);
        }

        delay = NGX_RF_RECOVERY_TICK;

    } else if (r->recalling && r->recall_job == NULL) {

        if (r->conf.zone->sh->files_ready == 0) {
            ngx_rf_recovery_give_up_lock(r);

        } else {
            ngx_rf_recovery_recall_stop(r);
        }
    }

    if (!r->timer.timer_set) {
        ngx_add_timer(&r->timer, delay);
    }
}


static ngx_uint_t
ngx_rf_recovery_lead(ngx_rf_recovery_t *r)
{
    ngx_uint_t         taken;
    ngx_atomic_uint_t  before;

    if (r->conf.zone->sh->superseded) {
        return 0;
    }

    taken = 0;
    before = r->conf.zone->sh->leader;

    if (ngx_rf_mode_lead(r->conf.zone, &taken) != NGX_OK) {
        return 0;
    }

    if (taken) {
        /* whoever led before may have died with keys in flight */
        r->next_chore = ngx_current_msec;
        r->next_flush = ngx_current_msec;
        r->next_queue = ngx_current_msec;
        r->next_files = ngx_current_msec;
        r->conf.flush->turn_at = 0;
        r->conf.flush->turn_left = 0;
        r->walking = 0;

        ngx_rf_recovery_hand_stop(r);
        r->handed = 0;

        ngx_rf_recovery_fence(r, (ngx_pid_t) before);

        /* what this worker itself has on its way is sent once more, too */
        ngx_rf_zone_replay_reset(r->conf.zone);
    }

    return 1;
}


static void
ngx_rf_recovery_chores(ngx_rf_recovery_t *r)
{
    if ((ngx_msec_int_t) (ngx_current_msec - r->next_chore) < 0) {
        return;
    }

    r->next_chore = ngx_current_msec + NGX_RF_RECOVERY_CHORES;

    ngx_rf_recovery_bury(r);

    if (r->conf.disk == NULL) {
        return;
    }

    if (r->conf.zone->sh->nwriting || r->conf.zone->sh->nlogging) {
        ngx_rf_zone_reclaim(r->conf.zone);
    }

    if (r->recalling) {
        ngx_rf_recovery_recall_again(r);
        return;
    }

    ngx_rf_recovery_take_lock(r);

    if (!r->recalling && r->conf.zone->sh->journal_scan
        && r->conf.zone->sh->files_ready)
    {
        ngx_rf_recovery_recall(r, 0);
    }
}


/* the path belonged to another instance, or the worker that had it died */

static void
ngx_rf_recovery_take_lock(ngx_rf_recovery_t *r)
{
    uint64_t              mark;
    ngx_uint_t            epoch, foreign;
    ngx_rf_zone_sh_t     *sh;
    ngx_rf_file_error_t   error;

    sh = r->conf.zone->sh;

    if (sh->files_ready == 1 || sh->files_ready == (ngx_atomic_uint_t) ngx_pid)
    {
        return;
    }

    ngx_memzero(&error, sizeof(ngx_rf_file_error_t));

    if (ngx_rf_file_lock(r->conf.file, &r->lock, &error) != NGX_OK) {
        r->lock = NGX_INVALID_FILE;
        r->lock_waits = 0;
        return;
    }

    if (sh->files_ready == 0 && !ngx_rf_recovery_lock_is_free(r)) {
        ngx_rf_recovery_give_up_lock(r);
        return;
    }

    if (ngx_rf_file_mark_read_thread(r->conf.file, &mark, &error) != NGX_OK) {
        ngx_rf_recovery_give_up_lock(r);
        return;
    }

    if (sh->files_ready) {
        (void) ngx_rf_keep_note(r->conf.keep, r->lock, -1, r->log);
    }

    ngx_rf_zone_lock(r->conf.zone);

    if (sh->mark < mark) {
        sh->mark = mark;
    }

    if (sh->seq < mark) {
        sh->seq = mark;
    }

    /* nobody finishes a recovery before it is ours and read */
    sh->files_scan = 1;

    foreign = (sh->files_ready == 0);

    if (!foreign) {
        /* a worker of this instance had it, others write there as before */
        sh->journal_scan = 1;
        sh->files_ready = ngx_pid;
    }

    ngx_rf_zone_unlock(r->conf.zone);

    if (ngx_rf_mode_get(r->conf.zone, &epoch) == NGX_RF_NORMAL) {
        (void) ngx_rf_mode_set(r->conf.zone, epoch, NGX_RF_RECOVERING);
    }

    if (foreign) {
        ngx_rf_recovery_recall(r, 1);
    }
}


/* and not only between two leaders of another instance, who would both write
 * there then */

static ngx_uint_t
ngx_rf_recovery_lock_is_free(ngx_rf_recovery_t *r)
{
    if (!r->lock_waits) {
        r->lock_waits = 1;
        r->lock_free = ngx_current_msec;
    }

    return (ngx_msec_int_t) (ngx_current_msec - r->lock_free)
           >= NGX_RF_RECOVERY_FREE;
}


/* it is not ours yet, and whoever leads now is to get it */

static void
ngx_rf_recovery_give_up_lock(ngx_rf_recovery_t *r)
{
    ngx_rf_recovery_recall_stop(r);

    (void) ngx_close_file(r->lock);
    r->lock = NGX_INVALID_FILE;
}


static void
ngx_rf_recovery_drop_lock(ngx_rf_recovery_t *r)
{
    if (r->lock == NGX_INVALID_FILE) {
        return;
    }

    /* not while this worker's exit still writes: the descriptor goes with the
     * process, and the next leader finds out */

    (void) ngx_atomic_cmp_set(&r->conf.zone->sh->files_ready,
                              (ngx_atomic_uint_t) ngx_pid, 2);
}


static void
ngx_rf_recovery_disk(ngx_rf_recovery_t *r)
{
    ngx_uint_t         epoch;
    ngx_rf_mode_e      mode;
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (r->conf.disk == NULL) {
        return;
    }

    mode = ngx_rf_mode_get(r->conf.zone, &epoch);

    ngx_rf_recovery_journal(r, mode);

    if (mode != NGX_RF_FALLBACK || epoch == r->epoch) {
        /* else the outage is news: see ngx_rf_recovery_fallback() */
        ngx_rf_recovery_files(r, mode);
    }

    ngx_rf_flush_turn(r->conf.flush,
                      mode == NGX_RF_NORMAL && sh->npending == 0);
}


static void
ngx_rf_recovery_journal(ngx_rf_recovery_t *r, ngx_rf_mode_e mode)
{
    ngx_msec_t         took;
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (sh->nunlogged == 0) {

        if (sh->disk_failed && sh->nlogging == 0) {
            /* nothing is left to be tried: the next write tells */
            ngx_rf_flush_settled(r->conf.flush);
        }

        return;
    }

    if ((ngx_msec_int_t) (ngx_current_msec - r->next_flush) < 0
        && ((sh->nunlogged < r->conf.write_queue && mode == NGX_RF_FALLBACK)
            || (ngx_msec_int_t) (ngx_current_msec - r->next_queue) < 0))
    {
        return;
    }

    /* what a pass takes is part of the interval: a change is in the journal
     * after write_interval, not only on its way */

    took = ngx_min(r->conf.flush->log_took, r->conf.write_interval / 2);

    r->next_flush = ngx_current_msec + r->conf.write_interval - took;
    r->next_queue = ngx_current_msec + NGX_RF_RECOVERY_QUEUE;

    (void) ngx_rf_flush_log(r->conf.flush, 1);
}


/* in a recovery none are written that the replay makes needless in a moment,
 * and those that are stale go when it has ended */

static void
ngx_rf_recovery_files(ngx_rf_recovery_t *r, ngx_rf_mode_e mode)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (sh->ndirty == 0 && !sh->disk_failed && !sh->journal_full) {

        if (sh->files_failed && sh->nwriting == 0) {
            sh->files_failed = 0;
        }

        return;
    }

    if (mode == NGX_RF_RECOVERING && !sh->disk_failed && !sh->journal_full) {
        return;
    }

    if (r->conf.flush->left == 0) {

        if ((ngx_msec_int_t) (ngx_current_msec - r->next_files) < 0) {
            return;
        }

        r->next_files = ngx_current_msec + r->conf.write_interval;

        /* what has not changed since the last time */
        r->conf.flush->settled = r->settled;
        r->settled = sh->seq;

        if (mode == NGX_RF_NORMAL) {
            /* stale ones, of which a batch for the journal may have had some
             * when the last pass began */
            r->next_files = ngx_current_msec
                            + ngx_min(r->conf.write_interval,
                                      NGX_RF_RECOVERY_RETRY);
        }
    }

    (void) ngx_rf_flush_start(r->conf.flush);
}


/* NORMAL: what was given up without an outage, as nobody waited for it any
 * more, or by a worker of an earlier zone, for which the next write would be an
 * outage.  Who is not connected does not know yet which Redis this is. */

static void
ngx_rf_recovery_normal(ngx_rf_recovery_t *r, ngx_uint_t epoch)
{
    if (!ngx_rf_recovery_late(r)) {
        r->late_at = 0;
        return;
    }

    if (r->busy
        || (r->late_at
            && (ngx_msec_int_t) (ngx_current_msec - r->late_at) < 0))
    {
        return;
    }

    if (ngx_rf_redis_connected(r->conf.redis)) {
        (void) ngx_rf_recovery_kill(r, 0);

    } else {
        ngx_rf_recovery_probe(r, epoch);
    }
}


/* FALLBACK: 250 ms after the outage began, then twice as long each time, up
 * to check_interval; a fifth of it is jitter, so that many hosts do not come
 * at once */

static void
ngx_rf_recovery_fallback(ngx_rf_recovery_t *r, ngx_uint_t epoch)
{
    if (r->epoch != epoch) {
        r->epoch = epoch;
        r->pause = ngx_min(NGX_RF_RECOVERY_PROBE, r->conf.check_interval);
        r->next_probe = ngx_current_msec + r->pause;

        /* a short outage needs no files: the first pass makes none */
        r->next_files = ngx_current_msec + r->conf.write_interval;
        r->settled = 0;

        ngx_memcpy(r->run_id, r->conf.zone->sh->run_id, sizeof(r->run_id));
    }

    if (r->busy || (ngx_msec_int_t) (ngx_current_msec - r->next_probe) < 0
        || ngx_rf_zone_overlaps(r->conf.zone->sh))
    {
        return;
    }

    r->pause = ngx_min(r->pause * 2, r->conf.check_interval);
    r->next_probe = ngx_current_msec + r->pause - r->pause / 5
                    + (r->pause / 5 ? (ngx_msec_t) ngx_random()
                                      % (r->pause / 5)
                                    : 0);

    ngx_rf_redis_reset(r->conf.redis);
    ngx_rf_recovery_probe(r, epoch);
}


/* a write that is denied when writes are, and changes nothing when not */

void
ngx_rf_recovery_probe(ngx_rf_recovery_t *r, ngx_uint_t epoch)
{
    ngx_rf_call_t     *call;
    static ngx_str_t   argv[] = {
        ngx_string("SETRANGE"),
        ngx_string("redis_fallback:probe"),
        ngx_string("0"),
        ngx_string("")
    };

    r->probe_pool = ngx_create_pool(1024, r->log);
    if (r->probe_pool == NULL) {
        return;
    }

    r->epoch = epoch;
    r->probe_command.argc = 4;
    r->probe_command.argv = argv;
    r->probe_command.reply = NULL;

    call = &r->probe;
    ngx_memzero(call, sizeof(ngx_rf_call_t));

    call->ncommands = 1;
    call->commands = &r->probe_command;
    call->pool = r->probe_pool;
    call->handler = ngx_rf_recovery_probed;
    call->data = r;
    call->once = 1;

    if (ngx_rf_redis_call(r->conf.redis, call) != NGX_AGAIN) {
        ngx_destroy_pool(r->probe_pool);
        r->probe_pool = NULL;
        return;
    }

    r->busy = 1;
}


/* a user who may write, but not with SETRANGE or that key, is told so */

static ngx_uint_t
ngx_rf_recovery_ready(ngx_rf_reply_t *reply)
{
    return reply->type != NGX_RF_REPLY_ERROR
           || (reply->str.len > 6
               && ngx_strncmp(reply->str.data, "NOPERM", 6) == 0);
}


static void
ngx_rf_recovery_probed(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_str_t          *failed;
    ngx_rf_reply_t     *reply;
    ngx_rf_recovery_t  *r;

    r = call->data;
    reply = r->probe_command.reply;
    failed = NULL;
    r->busy = 0;

    if (outcome != NGX_RF_CALL_DONE) {
        failed = ngx_rf_redis_failure(r->conf.redis);

    } else if (!ngx_rf_recovery_ready(reply)) {
        failed = &reply->str;
    }

    if (failed && !r->stopping) {
        ngx_rf_recovery_not_ready(r, failed);
    }

    ngx_destroy_pool(r->probe_pool);
    r->probe_pool = NULL;

    if (failed == NULL && !r->stopping
        && ngx_rf_recovery_kill(r, 1) == NGX_OK)
    {
        ngx_rf_recovery_proceed(r);
    }
}


void
ngx_rf_recovery_not_ready(ngx_rf_recovery_t *r, ngx_str_t *reason)
{
    ngx_uint_t     epoch;
    ngx_rf_mode_e  mode;

    mode = ngx_rf_mode_get(r->conf.zone, &epoch);

    if (mode == NGX_RF_RECOVERING) {
        ngx_rf_recovery_outage(r, epoch, reason);

    } else if (mode == NGX_RF_NORMAL) {
        r->late_at = ngx_current_msec + r->conf.check_interval;
    }

    ngx_log_error(NGX_LOG_INFO, r->log, 0,
                  "redis_fallback store \"%V\": redis %V is not ready: %V",
                  &r->conf.name, &r->conf.address, reason);
}


void
ngx_rf_recovery_proceed(ngx_rf_recovery_t *r)
{
    ngx_uint_t     epoch;
    ngx_rf_mode_e  mode;

    mode = ngx_rf_mode_get(r->conf.zone, &epoch);

    if (mode == NGX_RF_FALLBACK) {

        if (ngx_rf_mode_set(r->conf.zone, epoch, NGX_RF_RECOVERING) != NGX_OK)
        {
            return;
        }

        mode = ngx_rf_mode_get(r->conf.zone, &epoch);
    }

    if (mode != NGX_RF_RECOVERING) {
        return;
    }

    if (r->probed != epoch) {
        r->probed = epoch;
        ngx_rf_recovery_begin(r);
    }

    ngx_rf_recovery_post(r);
}


static void
ngx_rf_recovery_begin(ngx_rf_recovery_t *r)
{
    ngx_uint_t         n;
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;
    n = sh->npending + sh->spilled;

    r->began = ngx_current_msec;
    r->done = 0;
    r->resume = 0;
    r->rate_since = ngx_current_msec;
    r->rate_used = 0;
    r->walking = 0;
    r->walk_logged = 0;
    r->crowded = 0;

    sh->stat.rec_total = n;
    sh->stat.rec_done = 0;
    sh->stat.rec_ms = 0;

    ngx_log_error(NGX_LOG_NOTICE, r->log, 0,
                  "redis_fallback store \"%V\": redis %V is ready for writes, "
                  "replaying %ui pending keys", &r->conf.name,
                  &r->conf.address, n);
}


void
ngx_rf_recovery_outage(ngx_rf_recovery_t *r, ngx_uint_t epoch,
    ngx_str_t *reason)
{
    if (r->conf.zone->sh->leader != (ngx_atomic_uint_t) ngx_pid) {
        /* what is in flight now is another one's, whom Redis may answer */
        return;
    }

    ngx_rf_zone_replay_reset(r->conf.zone);

    if (r->stopping) {
        /* it is this worker that goes, not Redis */
        return;
    }

    if (ngx_rf_mode_set(r->conf.zone, epoch, NGX_RF_FALLBACK) == NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, r->log, 0,
                      "redis_fallback store \"%V\": redis %V is unreachable, "
                      "going on locally: %V", &r->conf.name,
                      &r->conf.address, reason);
    }
}
