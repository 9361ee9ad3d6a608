/*
 * Executes a command on a store, see ngx_rf_store.h.
 *
 * An operation is a row of steps.  Each step returns NGX_AGAIN (something will
 * resume it: a call to Redis, a disk job, the waiting list) or the final code.
 * submit() runs the first steps in the caller's stack and returns what they
 * return; whatever resumes an operation later ends in ngx_rf_work_resume(),
 * the only place that calls the handler.
 *
 *   normal      memory if fresh (cache TIME) or vouched for -> Redis
 *   fallback    policy -> memory -> file -> memory
 *   recovering  memory if the key is pending -> Redis
 *
 * A call that fails reports its epoch to the mode and goes on in the mode that
 * is then, unless its command was sent and must not be repeated.
 *
 * Local changes are only made while the mode is the one in which that was
 * decided: the zone looks at the mode's word under its lock ("guard").
 * Otherwise a change could be left pending in normal mode, where nobody would
 * replay it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_command.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_local.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


/* tries of one operation in changing modes before it gives up */
#define NGX_RF_STORE_ROUTES     8


/* into memory at once, and not only when Redis has answered */

#define ngx_rf_store_looks(store, mode)                                       \
    ((mode) != NGX_RF_NORMAL || (store)->conf.cache != NGX_RF_CACHE_OFF)


static ngx_int_t ngx_rf_work_check(ngx_rf_work_t *w, ngx_str_t *err);
static uint32_t ngx_rf_work_order(ngx_rf_op_t *op);
static ngx_int_t ngx_rf_work_quiet(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_normal(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_fallback(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_local(ngx_rf_work_t *w, ngx_rf_scope_e scope);
static ngx_int_t ngx_rf_work_changed(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_durable(ngx_rf_work_t *w);
static ngx_uint_t ngx_rf_work_is_durable(ngx_rf_work_t *w,
    ngx_rf_local_part_t *part);
static ngx_int_t ngx_rf_work_read_file(ngx_rf_work_t *w);
static void ngx_rf_work_file(ngx_rf_disk_job_t *job);
static ngx_int_t ngx_rf_work_loaded(ngx_rf_work_t *w, ngx_rf_disk_job_t *job);
static ngx_int_t ngx_rf_work_room(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_hurry(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_late(ngx_rf_work_t *w);


ngx_int_t
ngx_rf_store_submit(ngx_rf_op_t *op)
{
    ngx_str_t       err;
    ngx_rf_work_t  *w;

    w = ngx_pcalloc(op->pool, sizeof(ngx_rf_work_t));
    if (w == NULL) {
        op->failure = NGX_RF_FAILURE_INTERNAL;
        op->result = NGX_RF_RESULT_ERROR;
        return NGX_ERROR;
    }

    op->work = w;
    w->op = op;
    w->mode = ngx_rf_mode_get(&op->store->zone, &w->epoch);

    if (op->hashed && ngx_rf_store_looks(op->store, w->mode)) {
        ngx_rf_zone_prefetch(&op->store->zone, op->hash);
    }

    if (op->deadline == 0) {
        op->deadline = ngx_current_msec
                       + op->store->conf.redis.connect_timeout
                       + op->store->conf.redis.timeout;
    }

    w->deadline = op->deadline;

    if (ngx_rf_work_check(w, &err) != NGX_OK) {

        if (err.len == 0) {
            return ngx_rf_work_internal(w);
        }

        op->reply = ngx_pcalloc(op->pool, sizeof(ngx_rf_reply_t));
        if (op->reply == NULL) {
            return ngx_rf_work_internal(w);
        }

        op->reply->type = NGX_RF_REPLY_ERROR;
        op->reply->str = err;

        return ngx_rf_work_answer(w, op->reply, NGX_RF_TIER_NONE);
    }

    if (op->store->conf.redis.connections > 1 && op->order == 0) {
        op->order = ngx_rf_work_order(op);
    }

    op->rc = ngx_rf_work_route(w);

    return op->rc;
}


static ngx_int_t
ngx_rf_work_check(ngx_rf_work_t *w, ngx_str_t *err)
{
    ngx_rf_op_t  *op;

    op = w->op;

    if (op->nparts) {
        return ngx_rf_multi_prepare(w, err);
    }

    return ngx_rf_command_check(op->pool, op->argc, op->argv, &op->command,
                                err);
}


/*
 * So commands of one key are executed in the order in which this worker asked
 * for them, whatever the connections.  Of several keys it is the first that
 * decides; where the table does not know it, what is a key of EVAL; then the
 * first argument, and the name.  Never 0.
 */

static uint32_t
ngx_rf_work_order(ngx_rf_op_t *op)
{
    uint32_t                 hash;
    ngx_uint_t               i;
    const ngx_rf_command_t  *command;

    command = op->command;

    i = (command->first > 0) ? (ngx_uint_t) command->first
                             : (command->flags & NGX_RF_CMD_MOVABLE) ? 3 : 1;

    if (i >= op->argc) {
        i = (op->argc > 1);
    }

    hash = ngx_murmur_hash2(op->argv[i].data, op->argv[i].len);

    return hash ? hash : 1;
}


uint32_t
ngx_rf_work_hash(ngx_rf_work_t *w)
{
    ngx_str_t       *key;
    ngx_rf_local_t  *l;

    l = &w->local;
    key = &w->op->argv[1];

    if (l->hashed != key) {
        l->hashed = key;
        l->hash = w->op->hashed ? w->op->hash
                                : ngx_rf_zone_hash(w->op->store->zone.sh, key);
    }

    return l->hash;
}


void
ngx_rf_store_expect(ngx_rf_store_t *store, ngx_str_t *key, ngx_rf_op_t *op)
{
    op->hash = ngx_rf_zone_hash(store->zone.sh, key);
    op->hashed = 1;

    if (ngx_rf_store_looks(store, ngx_rf_mode_get(&store->zone, NULL))) {
        ngx_rf_zone_expect(&store->zone, op->hash);
    }
}


void
ngx_rf_store_returned(ngx_rf_op_t *op)
{
    if (op->lent) {
        op->lent = 0;
        ngx_str_null(&op->reply->str);
        ngx_rf_zone_returned(&op->store->zone);
    }
}


ngx_uint_t
ngx_rf_store_waits(ngx_rf_op_t *op)
{
    ngx_rf_work_t  *w;

    w = op->work;

    return !w->calling && !w->executed;
}


void
ngx_rf_store_cancel(ngx_rf_op_t *op)
{
    ngx_rf_work_t  *w;

    w = op->work;

    if (w == NULL) {
        return;
    }

    if (w->calling) {
        ngx_rf_work_uncalled(w);
        ngx_rf_pop_end(w);
        ngx_rf_redis_cut(op->store->redis, &w->call);
    }

    if (w->leads) {
        ngx_rf_flight_left(w);
    }

    if (w->job) {
        ngx_rf_disk_cut(w->job);
        w->job = NULL;
    }

    if (w->waiting) {
        w->waiting = 0;
        ngx_queue_remove(&w->queue);
    }

    op->work = NULL;
}


ngx_int_t
ngx_rf_store_check(ngx_pool_t *pool, ngx_uint_t argc, ngx_str_t *argv,
    ngx_str_t *err)
{
    const ngx_rf_command_t  *command;

    return ngx_rf_command_check(pool, argc, argv, &command, err);
}


ngx_uint_t
ngx_rf_store_is_write(ngx_str_t *name)
{
    const ngx_rf_command_t  *command;

    command = ngx_rf_command_find(name);

    return command && (command->flags & NGX_RF_CMD_WRITE);
}


ngx_int_t
ngx_rf_work_route(ngx_rf_work_t *w)
{
    if (w->routes++ == NGX_RF_STORE_ROUTES) {
        return ngx_rf_work_busy(w);
    }

    w->mode = ngx_rf_mode_get(&w->op->store->zone, &w->epoch);

    switch (w->mode) {

    case NGX_RF_NORMAL:
        return ngx_rf_work_normal(w);

    case NGX_RF_FALLBACK:
        return ngx_rf_work_fallback(w);

    default: /* NGX_RF_RECOVERING */

        /* commands that are not executed locally too: they have to wait for
         * the replay of their keys */

        if (w->op->command->first > 0
            || w->op->command->id == NGX_RF_CMD_SINTERCARD)
        {
            return ngx_rf_work_local(w, NGX_RF_SCOPE_PENDING);
        }

        return ngx_rf_work_quiet(w);
    }
}


/*
 * RECOVERING, and the table does not know the command's keys (EVAL) or it
 * concerns all of them (FLUSHALL): a key that is still to be replayed would
 * undo it, so it waits until there is none.
 */

static ngx_int_t
ngx_rf_work_quiet(ngx_rf_work_t *w)
{
    ngx_rf_zone_sh_t  *sh;

    sh = w->op->store->zone.sh;

    if ((w->op->command->flags & (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE))
        && (sh->npending || sh->spilled || sh->restore
            || (sh->files_scan && sh->files_ready)))
    {
        return ngx_rf_work_wait(w, ngx_rf_work_route, ngx_rf_work_busy);
    }

    return ngx_rf_work_remote(w);
}


static ngx_int_t
ngx_rf_work_normal(ngx_rf_work_t *w)
{
    ngx_uint_t       flags;
    ngx_rf_op_t     *op;
    ngx_rf_store_t  *store;

    op = w->op;
    store = op->store;
    flags = op->command->flags;

    if (store->tracking) {
        ngx_rf_tracking_alive(store->tracking);
    }

    if (store->nanywhere == 0
        && (flags & (NGX_RF_CMD_READ|NGX_RF_CMD_LOCAL))
           == (NGX_RF_CMD_READ|NGX_RF_CMD_LOCAL)
        && op->command->first > 0)
    {
        if (store->conf.cache != NGX_RF_CACHE_OFF
            && !ngx_rf_work_is_written(w))
        {
            return ngx_rf_work_local(w, NGX_RF_SCOPE_FRESH);
        }

        if (op->nparts == 0 && ngx_rf_flight_join(w)) {
            return NGX_AGAIN;
        }
    }

    return ngx_rf_work_remote(w);
}


static ngx_int_t
ngx_rf_work_fallback(ngx_rf_work_t *w)
{
    ngx_uint_t         flags;
    ngx_rf_op_t       *op;
    ngx_rf_zone_sh_t  *sh;

    op = w->op;
    flags = op->command->flags;
    sh = op->store->zone.sh;

    if (op->outage == NGX_RF_OUTAGE_REJECT
        || (op->outage == NGX_RF_OUTAGE_READ_ONLY
            && (flags & NGX_RF_CMD_WRITE)))
    {
        return ngx_rf_work_fail(w, NGX_RF_FAILURE_REFUSED,
                                "FALLBACK '%V' is refused here while Redis "
                                "is unreachable");
    }

    if (!(flags & NGX_RF_CMD_LOCAL)) {
        ngx_rf_multi_blame(w);
        return ngx_rf_work_fail(w, NGX_RF_FAILURE_REDIS_ONLY,
                                "FALLBACK '%V' needs Redis, which is "
                                "unreachable");
    }

    if ((flags & NGX_RF_CMD_WRITE)
        && op->store->conf.durability_disk
        && (sh->disk_failed || !sh->files_ready))
    {
        return sh->files_ready ? ngx_rf_work_no_room(w)
                               : ngx_rf_work_no_path(w);
    }

    return ngx_rf_work_local(w, NGX_RF_SCOPE_ANY);
}


/* memory, and files where it says so */

static ngx_int_t
ngx_rf_work_local(ngx_rf_work_t *w, ngx_rf_scope_e scope)
{
    ngx_int_t          rc;
    ngx_rf_op_t       *op;
    ngx_rf_local_t    *l;
    ngx_rf_zone_sh_t  *sh;

    op = w->op;
    l = &w->local;
    sh = op->store->zone.sh;

    if (scope != NGX_RF_SCOPE_FRESH && ngx_rf_pop_waits(w)) {
        return ngx_rf_work_wait(w, ngx_rf_work_route, ngx_rf_work_popping);
    }

    l->zone = &op->store->zone;
    l->command = op->command;
    l->argc = op->argc;
    l->argv = op->argv;
    l->pool = op->pool;
    l->now = ngx_rf_now();
    l->scope = scope;
    l->max_age = op->store->conf.cache_time;
    l->vouched = (op->store->tracking != NULL);
    l->files = (scope != NGX_RF_SCOPE_FRESH && sh->files_ready
                && (sh->spilled || sh->files_scan));
    l->guard = &sh->mode;
    l->guard_value = w->epoch;
    l->lend = (op->lend && op->nparts == 0);

    if (op->hashed) {
        l->known = 1;
        l->hash = op->hash;
    }

    rc = op->nparts ? ngx_rf_local_exec_all(l, w->parts, op->nparts)
                    : ngx_rf_local_exec(l);

    switch (rc) {

    case NGX_OK:
        op->lent = l->lent;
        return ngx_rf_work_changed(w);

    case NGX_RF_NEED_REDIS:
        if (scope == NGX_RF_SCOPE_ANY) {
            ngx_rf_multi_blame(w);
            return ngx_rf_work_fail(w, NGX_RF_FAILURE_REDIS_ONLY,
                                    "FALLBACK '%V' needs Redis, which is "
                                    "unreachable");
        }

        if (scope == NGX_RF_SCOPE_FRESH && op->nparts == 0
            && ngx_rf_flight_join(w))
        {
            return NGX_AGAIN;
        }

        if (op->lock && ngx_rf_flight_wait(w)) {
            return NGX_AGAIN;
        }

        return ngx_rf_work_remote(w);

    case NGX_RF_NEED_FILE:
        return ngx_rf_work_read_file(w);

    case NGX_RF_NEED_ROOM:
        return ngx_rf_work_room(w);

    case NGX_RF_NEED_WAIT:
        return ngx_rf_work_hurry(w);

    case NGX_RF_NEED_RETRY:
        return ngx_rf_work_route(w);

    default:
        return ngx_rf_work_internal(w);
    }
}


/* executed locally: a change may still have to reach the journal */

static ngx_int_t
ngx_rf_work_changed(ngx_rf_work_t *w)
{
    ngx_rf_store_t  *store;

    store = w->op->store;

    if (w->local.version == 0) {
        return ngx_rf_work_answer(w, w->local.reply,
                                  w->file ? NGX_RF_TIER_FILE
                                          : NGX_RF_TIER_MEMORY);
    }

    if (store->disk && store->conf.durability_disk) {
        return ngx_rf_work_durable(w);
    }

    /* without: the leader writes it, see ngx_rf_recovery_journal() */

    return ngx_rf_work_answer(w, w->local.reply, NGX_RF_TIER_MEMORY);
}


static ngx_int_t
ngx_rf_work_durable(ngx_rf_work_t *w)
{
    ngx_uint_t            i;
    ngx_rf_op_t          *op;
    ngx_rf_store_t       *store;
    ngx_rf_local_part_t   one;

    op = w->op;
    store = op->store;

    if (w->executed && !store->polling
        && ngx_rf_flush_is_under_way(&store->flush, w->batch))
    {
        /* another worker may have it on disk: the poll tells */
        return ngx_rf_work_wait(w, ngx_rf_work_durable, ngx_rf_work_no_room);
    }

    one.command = op->command;
    one.argc = op->argc;
    one.first = 0;

    for (i = 0; i < (op->nparts ? op->nparts : 1); i++) {

        if (ngx_rf_work_is_durable(w, op->nparts ? &w->parts[i] : &one)) {
            continue;
        }

        if (ngx_rf_flush_log(&store->flush, 0) == NGX_DECLINED) {
            return ngx_rf_work_no_room(w);
        }

        if (!w->executed) {
            w->executed = 1;
            w->batch = ngx_rf_flush_join(&store->flush);
        }

        return ngx_rf_work_wait(w, ngx_rf_work_durable, ngx_rf_work_no_room);
    }

    return ngx_rf_work_answer(w, w->local.reply, NGX_RF_TIER_FILE);
}


static ngx_uint_t
ngx_rf_work_is_durable(ngx_rf_work_t *w, ngx_rf_local_part_t *part)
{
    ngx_int_t        rc;
    ngx_str_t       *argv;
    ngx_uint_t       i;
    ngx_rf_store_t  *store;

    store = w->op->store;
    argv = &w->op->argv[part->first];

    if (!(part->command->flags & NGX_RF_CMD_WRITE)) {
        return 1;
    }

    for (i = 1; i < part->argc; i++) {

        if (!ngx_rf_command_is_key(part->command, part->argc, i)) {
            continue;
        }

        rc = ngx_rf_zone_durable(&store->zone, &argv[i], w->local.version);

        if (rc == NGX_DECLINED
            || (rc == NGX_AGAIN && store->zone.sh->journal_full))
        {
            /* our next batch says that it is done with; or its file does not
             * come behind all that no file is written of */
            ngx_rf_zone_hurry(&store->zone, &argv[i]);
        }

        if (rc != NGX_OK) {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_rf_work_read_file(ngx_rf_work_t *w)
{
    ngx_rf_op_t     *op;
    ngx_rf_local_t  *l;

    op = w->op;
    l = &w->local;

    if (l->read == NULL) {
        l->read = ngx_pcalloc(op->pool, op->argc);
        if (l->read == NULL) {
            return ngx_rf_work_internal(w);
        }
    }

    /* with many keys and little memory they could evict each other for ever */

    if (w->reads++ > 2 * op->argc) {
        return ngx_rf_work_no_room(w);
    }

    w->seq = op->store->zone.sh->seq;

    w->job = ngx_rf_disk_read(op->store->disk, &op->argv[l->need],
                              op->store->zone.sh->mark, ngx_rf_work_file, w);
    if (w->job == NULL) {
        return ngx_rf_work_internal(w);
    }

    return NGX_AGAIN;
}


static void
ngx_rf_work_file(ngx_rf_disk_job_t *job)
{
    ngx_rf_work_t  *w;

    w = job->data;
    w->job = NULL;

    if (w->op->store->stopping) {
        /* the process exits, nobody waits any more */
        return;
    }

    ngx_rf_work_resume(w, ngx_rf_work_loaded(w, job));
}


static ngx_int_t
ngx_rf_work_loaded(ngx_rf_work_t *w, ngx_rf_disk_job_t *job)
{
    ngx_str_t       *key;
    ngx_rf_store_t  *store;

    store = w->op->store;

    switch (job->rc) {

    case NGX_OK:
        w->file = 1;

        /* without files of an earlier run it can only be a spilled one */

        switch (ngx_rf_zone_load(&store->zone, job->records, w->seq,
                                 !store->zone.sh->files_scan, ngx_rf_now()))
        {
        case NGX_RF_NEED_ROOM:

            /* it was read in vain: the wait is bounded by the deadline */

            w->reads--;
            return ngx_rf_work_room(w);

        default:
            /* NGX_BUSY: it has changed meanwhile, and is read again */
            break;
        }

        break;

    case NGX_ABORT:
        (void) ngx_atomic_fetch_add(&store->zone.sh->stat.quarantined, 1);
        ngx_rf_flush_log_error(&store->flush, NGX_LOG_CRIT,
                               "a file was moved to quarantine", &job->error);

        /* fall through */

    case NGX_DECLINED:
        key = &w->op->argv[w->local.need];

        /* else it came and went while the file was looked for */

        if (!ngx_rf_zone_outdated(&store->zone, key, w->seq)) {
            w->local.read[w->local.need] = 1;
        }

        break;

    default:
        (void) ngx_atomic_fetch_add(&store->zone.sh->stat.file_errors, 1);
        ngx_rf_flush_log_error(&store->flush, NGX_LOG_ERR,
                               "could not read a record", &job->error);

        return ngx_rf_work_internal(w);
    }

    /* "reads" is the bound here */
    w->routes = 0;

    return ngx_rf_work_route(w);
}


/* memory is full of what may not be evicted yet: a batch makes room */

static ngx_int_t
ngx_rf_work_room(ngx_rf_work_t *w)
{
    ngx_rf_store_t    *store;
    ngx_rf_zone_sh_t  *sh;

    store = w->op->store;
    sh = store->zone.sh;

    if (store->disk == NULL
        || (sh->nunlogged == 0 && sh->nlogging == 0
            && sh->ndirty == 0 && sh->nwriting == 0))
    {
        return ngx_rf_work_no_room(w);
    }

    /* what is in a file may leave; what is not goes there by the journal */

    ngx_rf_flush_urgent(&store->flush);

    if ((sh->nunlogged && ngx_rf_flush_log(&store->flush, 1) == NGX_DECLINED)
        || ngx_rf_flush_start(&store->flush) == NGX_DECLINED)
    {
        return ngx_rf_work_no_room(w);
    }

    return ngx_rf_work_wait(w, ngx_rf_work_route, ngx_rf_work_no_room);
}


/* the key is on its way to Redis, or the disk is to learn that it was */

static ngx_int_t
ngx_rf_work_hurry(ngx_rf_work_t *w)
{
    ngx_str_t       *key;
    ngx_rf_store_t  *store;

    store = w->op->store;
    key = &w->op->argv[w->local.need];

    if (w->late) {
        return ngx_rf_work_busy(w);
    }

    ngx_rf_zone_replay_hurry(&store->zone, key);

    if (store->disk) {
        ngx_rf_zone_hurry(&store->zone, key);
        (void) ngx_rf_flush_log(&store->flush, 0);
    }

    return ngx_rf_work_wait(w, ngx_rf_work_route, ngx_rf_work_late);
}


/*
 * The disk did not learn it in time.  A command that needs to know nothing of
 * what was before makes the key pending once more: what the disk has of it is
 * older then, and the replay has one key more.
 */

static ngx_int_t
ngx_rf_work_late(ngx_rf_work_t *w)
{
    ngx_uint_t         blind;
    ngx_rf_command_e   id;

    w->late = 1;
    w->mode = ngx_rf_mode_get(&w->op->store->zone, &w->epoch);

    if (w->mode != NGX_RF_RECOVERING) {
        return ngx_rf_work_route(w);
    }

    id = w->op->command->id;

    /* SET key value, and SET key value PX ms */

    blind = (id == NGX_RF_CMD_SET && (w->op->argc == 3 || w->op->argc == 5))
            || id == NGX_RF_CMD_SETEX || id == NGX_RF_CMD_PSETEX
            || id == NGX_RF_CMD_DEL || id == NGX_RF_CMD_UNLINK;

    return blind ? ngx_rf_work_local(w, NGX_RF_SCOPE_ANY)
                 : ngx_rf_work_busy(w);
}


ngx_int_t
ngx_rf_work_wait(ngx_rf_work_t *w, ngx_rf_step_pt step, ngx_rf_step_pt expired)
{
    ngx_rf_store_t  *store;

    store = w->op->store;

    w->step = step;
    w->expired = expired;
    w->waiting = 1;
    w->routes = 0;

    ngx_queue_insert_tail(&store->waiting, &w->queue);

    if (!store->wait_event.timer_set) {
        ngx_add_timer(&store->wait_event, NGX_RF_STORE_POLL);
    }

    return NGX_AGAIN;
}


/* looks at each waiting operation once; a timer's and a batch's handler */

void
ngx_rf_store_wake(ngx_rf_store_t *store)
{
    ngx_int_t       rc;
    ngx_queue_t     queue, *q;
    ngx_rf_work_t  *w;

    if (ngx_queue_empty(&store->waiting) || store->stopping) {
        return;
    }

    ngx_queue_init(&queue);
    ngx_queue_add(&queue, &store->waiting);
    ngx_queue_init(&store->waiting);

    while (!ngx_queue_empty(&queue)) {
        q = ngx_queue_head(&queue);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_rf_work_t, queue);
        w->waiting = 0;

        rc = w->step(w);

        if (rc == NGX_AGAIN && w->waiting
            && (ngx_msec_int_t) (w->deadline - ngx_current_msec) <= 0)
        {
            w->waiting = 0;
            ngx_queue_remove(&w->queue);

            rc = w->expired(w);
        }

        ngx_rf_work_resume(w, rc);
    }
}


void
ngx_rf_work_resume(ngx_rf_work_t *w, ngx_int_t rc)
{
    ngx_rf_op_t  *op;

    if (rc == NGX_AGAIN || rc == NGX_DONE) {
        return;
    }

    op = w->op;

    op->work = NULL;
    op->rc = rc;
    op->handler(op);
}
