/*
 * Recovery: a slice of pending records on its way to Redis, and what became of
 * each of them.
 *
 * The records of a slice go side by side, each by one command or by several,
 * one after the other: a large one lets requests pass between its steps.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_replay.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_zone.h"


typedef struct {
    ngx_rf_call_t             call;
    ngx_rf_call_command_t     command;
    ngx_rf_replay_t           replay;
    ngx_rf_record_t          *rec;
    ngx_rf_slice_t           *slice;
} ngx_rf_slice_item_t;

/* records that are one transaction */

typedef struct {
    ngx_rf_call_t             call;
    ngx_rf_slice_item_t      *items;
    ngx_uint_t                n;
} ngx_rf_slice_group_t;

struct ngx_rf_slice_s {
    ngx_rf_recovery_t        *r;
    ngx_pool_t               *pool;
    ngx_rf_record_t          *records;
    ngx_uint_t                left;     /* items without an outcome */
    ngx_uint_t                epoch;
    ngx_uint_t                failed;
    ngx_str_t                 reason;
};


static void ngx_rf_recovery_group(ngx_rf_slice_item_t *end);
static ngx_int_t ngx_rf_recovery_send_group(ngx_rf_slice_item_t *items,
    ngx_uint_t n);
static void ngx_rf_recovery_group_replied(ngx_rf_call_t *call,
    ngx_uint_t outcome);
static void ngx_rf_recovery_step(ngx_rf_slice_item_t *item,
    ngx_rf_reply_t *reply);
static void ngx_rf_recovery_go(ngx_rf_slice_item_t *item, ngx_int_t rc);
static void ngx_rf_recovery_failed(ngx_rf_slice_item_t *item,
    ngx_str_t *reason);
static ngx_int_t ngx_rf_recovery_send(ngx_rf_slice_item_t *item);
static void ngx_rf_recovery_later(ngx_rf_slice_item_t *item);
static ngx_uint_t ngx_rf_recovery_not_now(ngx_rf_reply_t *reply);
static void ngx_rf_recovery_replied(ngx_rf_call_t *call, ngx_uint_t outcome);
static void ngx_rf_recovery_verdict(ngx_rf_slice_item_t *item);
static void ngx_rf_recovery_item_end(ngx_rf_slice_item_t *item);
static void ngx_rf_recovery_slice_end(ngx_rf_slice_t *slice);
static void ngx_rf_recovery_refused(ngx_rf_recovery_t *r,
    ngx_rf_record_t *rec, ngx_rf_replay_t *rp, ngx_str_t *reason);


void
ngx_rf_recovery_slice(ngx_rf_recovery_t *r, ngx_rf_record_t *records,
    ngx_uint_t epoch)
{
    ngx_uint_t            n, same_run;
    ngx_pool_t           *pool;
    ngx_rf_slice_t       *slice;
    ngx_rf_record_t      *rec;
    ngx_rf_slice_item_t  *item;

    n = 0;

    for (rec = records; rec; rec = rec->next) {
        n++;
    }

    slice = NULL;
    item = NULL;

    pool = ngx_create_pool(16384, r->log);

    if (pool) {
        slice = ngx_pcalloc(pool, sizeof(ngx_rf_slice_t));
        item = ngx_pcalloc(pool, n * sizeof(ngx_rf_slice_item_t));
    }

    if (slice == NULL || item == NULL) {
        goto failed;
    }

    slice->r = r;
    slice->pool = pool;
    slice->records = records;
    slice->epoch = epoch;
    slice->left = 1;

    r->slice = slice;
    r->busy = 1;
    r->rate_used += n;

    same_run = ngx_memcmp(r->run_id, r->conf.zone->sh->run_id,
                          sizeof(r->run_id))
               == 0;

    for (rec = records; rec; rec = rec->next) {
        item->rec = rec;
        item->slice = slice;
        slice->left++;

        ngx_rf_replay_init(&item->replay, rec, r->conf.remote, same_run);

        if (rec->group == 0) {
            ngx_rf_recovery_step(item++, NULL);
            continue;
        }

        item++;

        if (rec->next == NULL || rec->next->group != rec->group) {
            ngx_rf_recovery_group(item);
        }
    }

    if (--slice->left == 0) {
        ngx_rf_recovery_slice_end(slice);
    }

    return;

failed:

    if (pool) {
        ngx_destroy_pool(pool);
    }

    ngx_rf_zone_replay_reset(r->conf.zone);
    r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;

    while (records) {
        rec = records;
        records = rec->next;
        ngx_rf_codec_free(rec);
    }
}


/*
 * The items before "end" that are of one group: MULTI and EXEC around their
 * commands, where each has just one.  Others go by themselves.
 */

static void
ngx_rf_recovery_group(ngx_rf_slice_item_t *end)
{
    ngx_int_t             *rc;
    ngx_uint_t             i, n, together;
    ngx_rf_slice_t        *slice;
    ngx_rf_slice_item_t   *items;

    slice = end[-1].slice;

    for (n = 1, items = end - 1;
         items->rec != slice->records
         && items[-1].rec->group == items->rec->group;
         n++)
    {
        items--;
    }

    rc = ngx_palloc(slice->pool, n * sizeof(ngx_int_t));
    together = (rc != NULL);

    for (i = 0; i < n && rc != NULL; i++) {
        rc[i] = ngx_rf_replay_next(&items[i].replay, slice->pool,
                                   ngx_rf_now(), NULL);

        together &= (rc[i] == NGX_AGAIN
                     && items[i].replay.temp.len == 0
                     && !items[i].replay.uploaded);
    }

    if (together && ngx_rf_recovery_send_group(items, n) == NGX_OK) {
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_rf_recovery_go(&items[i], rc ? rc[i] : NGX_ERROR);
    }
}


static ngx_int_t
ngx_rf_recovery_send_group(ngx_rf_slice_item_t *items, ngx_uint_t n)
{
    ngx_uint_t              i;
    ngx_pool_t             *pool;
    ngx_rf_call_command_t  *commands;
    ngx_rf_slice_group_t   *group;

    static ngx_str_t        words[] = { ngx_string("MULTI"),
                                        ngx_string("EXEC") };

    pool = items->slice->pool;

    group = ngx_pcalloc(pool, sizeof(ngx_rf_slice_group_t));
    commands = ngx_pcalloc(pool, (n + 2) * sizeof(ngx_rf_call_command_t));

    if (group == NULL || commands == NULL) {
        return NGX_ERROR;
    }

    commands[0].argc = 1;
    commands[0].argv = &words[0];
    commands[n + 1].argc = 1;
    commands[n + 1].argv = &words[1];

    for (i = 0; i < n; i++) {
        commands[i + 1].argc = items[i].replay.argc;
        commands[i + 1].argv = items[i].replay.argv;
    }

    group->items = items;
    group->n = n;

    group->call.ncommands = n + 2;
    group->call.commands = commands;
    group->call.pool = pool;
    group->call.handler = ngx_rf_recovery_group_replied;
    group->call.data = group;
    group->call.once = 1;

    return ngx_rf_redis_call(items->slice->r->conf.redis, &group->call)
           == NGX_AGAIN ? NGX_OK : NGX_ERROR;
}


static void
ngx_rf_recovery_group_replied(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_uint_t             i;
    ngx_rf_reply_t        *exec, *reply;
    ngx_rf_slice_item_t   *item;
    ngx_rf_slice_group_t  *group;

    group = call->data;
    exec = call->commands[group->n + 1].reply;

    for (i = 0; i < group->n; i++) {
        item = &group->items[i];

        if (outcome != NGX_RF_CALL_DONE) {
            ngx_rf_recovery_failed(item, NULL);
            continue;
        }

        /* without MULTI, which a user may not be allowed, each was executed by
         * itself; and so it goes after one of them was not even queued */

        reply = call->commands[i + 1].reply;

        if (exec->type == NGX_RF_REPLY_ARRAY && exec->nelts == group->n) {
            reply = &exec->elts[i];

        } else if (call->commands[0].reply->type != NGX_RF_REPLY_ERROR
                   && reply->type != NGX_RF_REPLY_ERROR)
        {
            ngx_rf_recovery_go(item, NGX_AGAIN);
            continue;
        }

        if (ngx_rf_recovery_not_now(reply)) {
            ngx_rf_recovery_failed(item, &reply->str);

        } else {
            ngx_rf_recovery_step(item, reply);
        }
    }
}


/* a record's next command, or its end */

static void
ngx_rf_recovery_step(ngx_rf_slice_item_t *item, ngx_rf_reply_t *reply)
{
    ngx_rf_recovery_go(item, ngx_rf_replay_next(&item->replay,
                                                item->slice->pool,
                                                ngx_rf_now(), reply));
}


/* "rc" as of ngx_rf_replay_next() */

static void
ngx_rf_recovery_go(ngx_rf_slice_item_t *item, ngx_int_t rc)
{
    ngx_rf_slice_t   *slice;
    static ngx_str_t  type = ngx_string("a type that cannot be replayed");

    slice = item->slice;

    if (slice->r->conf.zone->sh->leader != (ngx_atomic_uint_t) ngx_pid) {

        /* whoever leads now began anew: the record is not this slice's any
         * more, and may be on its way again */

    } else if (rc == NGX_AGAIN) {

        if (ngx_rf_recovery_send(item) == NGX_OK) {
            return;
        }

        ngx_rf_recovery_later(item);

    } else if (rc == NGX_OK) {
        ngx_rf_recovery_verdict(item);

    } else if (rc == NGX_DECLINED) {
        ngx_rf_recovery_refused(slice->r, item->rec, NULL, &type);

    } else {
        ngx_rf_recovery_later(item);
    }

    ngx_rf_recovery_item_end(item);
}


static ngx_int_t
ngx_rf_recovery_send(ngx_rf_slice_item_t *item)
{
    ngx_rf_call_t  *call;

    item->command.argc = item->replay.argc;
    item->command.argv = item->replay.argv;

    call = &item->call;
    call->ncommands = 1;
    call->commands = &item->command;
    call->pool = item->slice->pool;
    call->handler = ngx_rf_recovery_replied;
    call->data = item;
    call->once = 1;

    if (ngx_rf_redis_call(item->slice->r->conf.redis, call) != NGX_AGAIN) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* no memory, or what was half made has gone: from the beginning again */

static void
ngx_rf_recovery_later(ngx_rf_slice_item_t *item)
{
    ngx_rf_recovery_t  *r;

    r = item->slice->r;

    ngx_rf_zone_replay_done(r->conf.zone, item->rec, NGX_AGAIN, 0,
                            ngx_rf_now());
    r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
}


/* an answer to all keys, not to this one: a user who lost the right to a
 * command may get it back */

static ngx_uint_t
ngx_rf_recovery_not_now(ngx_rf_reply_t *reply)
{
    u_char            *last;
    static ngx_str_t   noperm = ngx_string("NOPERM ");
    static ngx_str_t   run = ngx_string("permissions to run");

    if (ngx_rf_resp_outage(reply)) {
        return 1;
    }

    if (reply->type != NGX_RF_REPLY_ERROR || reply->str.len < noperm.len
        || ngx_memcmp(reply->str.data, noperm.data, noperm.len) != 0)
    {
        return 0;
    }

    last = reply->str.data + reply->str.len;

    return ngx_strlcasestrn(reply->str.data, last, run.data, run.len - 1)
           != NULL;
}


static void
ngx_rf_recovery_replied(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_rf_reply_t       *reply;
    ngx_rf_slice_item_t  *item;

    item = call->data;
    reply = item->command.reply;

    if (outcome != NGX_RF_CALL_DONE) {
        ngx_rf_recovery_failed(item, NULL);

    } else if (ngx_rf_recovery_not_now(reply)) {
        ngx_rf_recovery_failed(item, &reply->str);

    } else {
        ngx_rf_recovery_step(item, reply);
    }
}


/* "reason" is Redis' own; NULL: there was no answer */

static void
ngx_rf_recovery_failed(ngx_rf_slice_item_t *item, ngx_str_t *reason)
{
    ngx_rf_slice_t  *slice;

    slice = item->slice;

    if (!slice->failed) {
        slice->failed = 1;

        if (reason == NULL) {
            reason = ngx_rf_redis_failure(slice->r->conf.redis);
        }

        slice->reason.data = ngx_pstrdup(slice->pool, reason);
        slice->reason.len = slice->reason.data ? reason->len : 0;
    }

    ngx_rf_recovery_item_end(item);
}


static void
ngx_rf_recovery_verdict(ngx_rf_slice_item_t *item)
{
    ngx_uint_t          keep;
    ngx_rf_stat_t      *stat;
    ngx_rf_replay_t    *rp;
    ngx_rf_recovery_t  *r;

    r = item->slice->r;
    rp = &item->replay;
    stat = &r->conf.zone->sh->stat;
    keep = (rp->verdict == NGX_RF_REPLAY_APPLIED && !rp->expired);

    switch (rp->verdict) {

    case NGX_RF_REPLAY_REFUSED:
        ngx_rf_recovery_refused(r, item->rec, NULL, &rp->error);
        return;

    case NGX_RF_REPLAY_PARTIAL:
        ngx_rf_recovery_refused(r, item->rec, rp, &rp->error);
        return;

    case NGX_RF_REPLAY_NOTHING:
        ngx_rf_zone_replay_done(r->conf.zone, item->rec, NGX_BUSY, 0,
                                ngx_rf_now());
        return;

    case NGX_RF_REPLAY_CONFLICT:
        (void) ngx_atomic_fetch_add(&stat->conflicts, 1);

        ngx_log_error(NGX_LOG_WARN, r->log, 0,
                      "redis_fallback store \"%V\": key \"%V\" was changed "
                      "differently in redis meanwhile, the local change was "
                      "dropped", &r->conf.name, &item->rec->key);
        break;

    default:
        if (rp->expired) {
            (void) ngx_atomic_fetch_add(&stat->expired, 1);
        } else {
            (void) ngx_atomic_fetch_add(&stat->replayed, 1);
        }
    }

    ngx_rf_zone_replay_done(r->conf.zone, item->rec, NGX_OK, keep,
                            ngx_rf_now());

    if (rp->verdict == NGX_RF_REPLAY_MERGED && !rp->expired) {
        ngx_rf_recovery_learn(r, item->rec);
    }

    (void) ngx_atomic_fetch_add(&stat->rec_done, 1);
    r->done++;

    if (rp->marker.len) {
        ngx_rf_recovery_remember(r, &rp->marker);
    }
}


static void
ngx_rf_recovery_item_end(ngx_rf_slice_item_t *item)
{
    if (item->replay.temp.len) {
        ngx_rf_recovery_remember(item->slice->r, &item->replay.temp);
    }

    if (--item->slice->left == 0) {
        ngx_rf_recovery_slice_end(item->slice);
    }
}


static void
ngx_rf_recovery_slice_end(ngx_rf_slice_t *slice)
{
    ngx_rf_record_t    *rec, *next;
    ngx_rf_recovery_t  *r;

    r = slice->r;

    r->slice = NULL;
    r->busy = 0;

    for (rec = slice->records; rec; rec = next) {
        next = rec->next;
        ngx_rf_codec_free(rec);
    }

    r->conf.zone->sh->stat.rec_ms = ngx_current_msec - r->began;

    if (slice->failed) {
        ngx_rf_recovery_outage(r, slice->epoch, &slice->reason);

    } else if (!r->stopping) {
        ngx_rf_recovery_post(r);
    }

    ngx_destroy_pool(slice->pool);
}


/* Redis will never take this one, or with "rp" these changes of it; the record
 * stays the slice's */

static void
ngx_rf_recovery_refused(ngx_rf_recovery_t *r, ngx_rf_record_t *rec,
    ngx_rf_replay_t *rp, ngx_str_t *reason)
{
    ngx_rf_record_t  *copy;

    (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.failed, 1);

    if (r->conf.disk == NULL || !r->conf.zone->sh->files_ready) {
        ngx_log_error(NGX_LOG_CRIT, r->log, 0,
                      "redis_fallback store \"%V\": redis refused %skey "
                      "\"%V\" and there are no files to keep it in, it is "
                      "lost: %V", &r->conf.name, rp ? "changes of " : "",
                      &rec->key, reason);

        ngx_rf_zone_replay_done(r->conf.zone, rec, rp ? NGX_OK : NGX_DECLINED,
                                0, ngx_rf_now());

        if (rp) {
            ngx_rf_recovery_learn(r, rec);
        }

        return;
    }

    copy = ngx_rf_codec_clone(rec);

    if (copy && rp) {
        ngx_rf_replay_rest(rp, copy);
    }

    if (copy == NULL
        || ngx_rf_disk_quarantine(r->conf.disk, copy, reason,
                                  ngx_rf_recovery_quarantined, r)
           == NULL)
    {
        free(copy);
        ngx_rf_zone_replay_done(r->conf.zone, rec, NGX_AGAIN, 0, ngx_rf_now());
        r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    r->quarantining++;
}


void
ngx_rf_recovery_quarantined(ngx_rf_disk_job_t *job)
{
    ngx_uint_t          partial;
    ngx_rf_record_t    *rec;
    ngx_rf_recovery_t  *r;

    r = job->data;
    rec = job->records;

    r->quarantining--;

    if (job->rc != NGX_OK) {
        ngx_rf_flush_log_error(r->conf.flush, NGX_LOG_CRIT,
                               "could not set a refused key aside",
                               &job->error);

        ngx_rf_zone_replay_done(r->conf.zone, rec, NGX_AGAIN, 0, ngx_rf_now());
        r->resume = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.quarantined, 1);

    /* what is sent has an id; without, it is what ngx_rf_replay_rest() left:
     * the others were applied, and what came after them is still to go */

    partial = (rec->pending == NGX_RF_DELTA && rec->id == 0 && !rec->remove);

    if (partial) {
        ngx_log_error(NGX_LOG_CRIT, r->log, 0,
                      "redis_fallback store \"%V\": %ui changes of key \"%V\" "
                      "cannot be replayed, they were set aside in "
                      "\"%V/quarantine\", its other changes were applied: %V",
                      &r->conf.name, rec->nchanges, &rec->key,
                      &r->conf.file->path, &job->text);

    } else {
        ngx_log_error(NGX_LOG_CRIT, r->log, 0,
                      "redis_fallback store \"%V\": key \"%V\" cannot be "
                      "replayed, it was set aside in \"%V/quarantine\": %V",
                      &r->conf.name, &rec->key, &r->conf.file->path,
                      &job->text);
    }

    ngx_rf_zone_replay_done(r->conf.zone, rec,
                            partial ? NGX_OK : NGX_DECLINED, 0, ngx_rf_now());

    if (partial) {
        ngx_rf_recovery_learn(r, rec);
    }

    if (!r->stopping) {
        ngx_rf_recovery_post(r);
    }
}
