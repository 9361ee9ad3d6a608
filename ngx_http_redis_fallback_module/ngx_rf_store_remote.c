/*
 * The step of an operation that asks Redis, and what is made of the answer: an
 * answer, what memory learns from it, an outage, or uncertainty.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_relay.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


/* ms that local work has when Redis has used up the rest: a batch of files on a
 * busy disk, too */
#define NGX_RF_STORE_GRACE      250


static ngx_uint_t ngx_rf_work_overtakes(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_hold_back(ngx_rf_work_t *w);
static void ngx_rf_work_touch(ngx_rf_work_t *w);
static void ngx_rf_work_writes(ngx_rf_work_t *w, uint32_t hash);
static void ngx_rf_work_ask(ngx_rf_work_t *w);
static void ngx_rf_work_soon(ngx_rf_call_t *call, ngx_uint_t n);
static void ngx_rf_work_called(ngx_rf_call_t *call, ngx_uint_t outcome);
static ngx_rf_reply_t *ngx_rf_work_reply(ngx_rf_work_t *w,
    ngx_str_t **reason);
static void ngx_rf_work_learn(ngx_rf_work_t *w, ngx_rf_reply_t *reply);
static ngx_uint_t ngx_rf_work_unheard(ngx_rf_work_t *w,
    ngx_rf_reply_t *reply);
static ngx_uint_t ngx_rf_work_outdated(ngx_rf_work_t *w);
static void ngx_rf_work_unsure(ngx_rf_work_t *w);
static ngx_int_t ngx_rf_work_unanswered(ngx_rf_work_t *w, ngx_uint_t outcome);
static ngx_int_t ngx_rf_work_unreachable(ngx_rf_work_t *w, ngx_str_t *reason);


ngx_int_t
ngx_rf_work_remote(ngx_rf_work_t *w)
{
    ngx_rf_op_t     *op;
    ngx_rf_call_t   *call;
    ngx_rf_store_t  *store;

    op = w->op;
    store = op->store;
    call = &w->call;

    if (ngx_rf_work_overtakes(w)) {
        return ngx_rf_work_hold_back(w);
    }

    if (ngx_rf_work_outdated(w)) {
        return ngx_rf_work_fail(w, NGX_RF_FAILURE_REDIS_ONLY,
                                "FALLBACK '%V' is refused by an old worker: "
                                "newer ones have been without Redis");
    }

    if (ngx_rf_pop_begin(w) != NGX_OK) {
        return ngx_rf_work_route(w);
    }

    ngx_memzero(call, sizeof(ngx_rf_call_t));

    if (op->nparts == 0) {
        ngx_rf_work_ask(w);

    } else if (ngx_rf_multi_call(w) != NGX_OK) {
        ngx_rf_pop_end(w);
        return ngx_rf_work_internal(w);
    }

    call->pool = op->pool;
    call->handler = ngx_rf_work_called;
    call->soon = (op->command->first == 1 && op->nparts == 0)
                 ? ngx_rf_work_soon : NULL;
    call->data = w;
    call->order = op->order;

    w->seq = store->zone.sh->seq;
    w->sent = ngx_rf_now();

    if (ngx_rf_redis_call(store->redis, call) != NGX_AGAIN) {
        ngx_rf_pop_end(w);

        if (w->leads) {
            ngx_rf_flight_left(w);
        }

        return ngx_rf_work_internal(w);
    }

    w->calling = 1;

    if (store->tracking) {
        ngx_rf_tracking_mark(store->tracking, call->link, &w->mark);
    }

    if (op->command->flags & (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE)) {
        ngx_rf_work_touch(w);
    }

    return NGX_AGAIN;
}


/*
 * A write that Redis gets now might be executed before one that was given up,
 * and be lost: not before the recovery has ended those connections.  Where a
 * worker of this zone gave one up, an outage began with it, so that it matters
 * while there is a recovery only.
 */

static ngx_uint_t
ngx_rf_work_overtakes(ngx_rf_work_t *w)
{
    ngx_rf_store_t    *store;
    ngx_rf_zone_sh_t  *sh;

    store = w->op->store;
    sh = store->zone.sh;

    return (w->op->command->flags & (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE))
           && (ngx_rf_relay_late(&store->relay)
               || (w->mode == NGX_RF_RECOVERING && sh->nabandoned));
}


/* The leader ends them at its next tick, or after the probe.  A zone that was
 * replaced has no leader, but the new one has. */

static ngx_int_t
ngx_rf_work_hold_back(ngx_rf_work_t *w)
{
    ngx_rf_store_t  *store;

    store = w->op->store;

    if (w->mode == NGX_RF_RECOVERING || store->zone.sh->superseded) {
        return ngx_rf_work_wait(w, ngx_rf_work_route, ngx_rf_work_busy);
    }

    if (ngx_rf_mode_set(&store->zone, w->epoch, NGX_RF_FALLBACK) == NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, store->zone.log, 0,
                      "redis_fallback store \"%V\": an old worker gave up a "
                      "connection to redis %V, going on locally until that "
                      "has been ended", &store->conf.name,
                      &store->conf.redis.address);
    }

    return ngx_rf_work_route(w);
}


/* neither memory nor the reply to an earlier one answers a read of it that
 * comes from now on: those that were sent to Redis come after this one, and so
 * must these.  Nor does it matter then whether anybody is still there when the
 * reply comes */

static void
ngx_rf_work_touch(ngx_rf_work_t *w)
{
    uint32_t              hash;
    ngx_str_t            *argv;
    ngx_uint_t            i, k;
    ngx_rf_op_t          *op;
    ngx_rf_store_t       *store;
    ngx_rf_local_part_t   one, *part;

    op = w->op;
    store = op->store;

    one.command = op->command;
    one.argc = op->argc;
    one.first = 0;

    for (i = 0; i < (op->nparts ? op->nparts : 1); i++) {
        part = op->nparts ? &w->parts[i] : &one;
        argv = &op->argv[part->first];

        if (!(part->command->flags & (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE))) {
            continue;
        }

        if (part->command->first == 0
            || (part->command->flags & NGX_RF_CMD_MOVABLE))
        {
            w->anywhere = 1;
            continue;
        }

        if (store->conf.cache == NGX_RF_CACHE_OFF && store->nleads == 0) {
            /* nobody is told */
            continue;
        }

        for (k = 1; k < part->argc; k++) {

            if (!ngx_rf_command_is_key(part->command, part->argc, k)) {
                continue;
            }

            hash = (argv == op->argv && k == 1)
                   ? ngx_rf_work_hash(w)
                   : ngx_rf_zone_hash(store->zone.sh, &argv[k]);

            ngx_rf_flight_close(store, &argv[k], hash);

            if (store->conf.cache == NGX_RF_CACHE_OFF) {
                continue;
            }

            ngx_rf_work_writes(w, hash);

            if (store->tracking) {
                ngx_rf_tracking_touched(store->tracking, hash);
            }

            ngx_rf_zone_touched(&store->zone, &argv[k], hash);
        }
    }

    store->nanywhere += w->anywhere;
}


/* what another worker reads meanwhile memory may have with a voucher of that
 * one's: it was read before this write, and so it is not for who comes behind
 * that */

static void
ngx_rf_work_writes(ngx_rf_work_t *w, uint32_t hash)
{
    ngx_rf_op_t  *op;

    op = w->op;

    if (w->writes == NULL) {
        w->writes = (op->nparts == 0 && op->command->last == 1)
                    ? &w->write
                    : ngx_palloc(op->pool, op->argc * sizeof(uint16_t));

        if (w->writes == NULL) {
            w->anywhere = 1;
            return;
        }
    }

    w->writes[w->nwrites] = hash % NGX_RF_STORE_WRITES;

    op->store->writing[w->writes[w->nwrites++]]++;
    op->store->nwriting++;
}


ngx_uint_t
ngx_rf_work_is_written(ngx_rf_work_t *w)
{
    uint32_t         hash;
    ngx_uint_t       i;
    ngx_rf_op_t     *op;
    ngx_rf_store_t  *store;

    op = w->op;
    store = op->store;

    if (store->nwriting == 0) {
        return 0;
    }

    if (op->nparts) {
        return 1;
    }

    for (i = 1; i < op->argc; i++) {

        if (!ngx_rf_command_is_key(op->command, op->argc, i)) {
            continue;
        }

        hash = (i == 1) ? ngx_rf_work_hash(w)
                        : ngx_rf_zone_hash(store->zone.sh, &op->argv[i]);

        if (store->writing[hash % NGX_RF_STORE_WRITES]) {
            return 1;
        }
    }

    return 0;
}


void
ngx_rf_work_uncalled(ngx_rf_work_t *w)
{
    w->calling = 0;

    while (w->nwrites) {
        w->op->store->writing[w->writes[--w->nwrites]]--;
        w->op->store->nwriting--;
    }

    if (w->anywhere) {
        w->anywhere = 0;
        w->op->store->nanywhere--;
    }
}


/* one command */

static void
ngx_rf_work_ask(ngx_rf_work_t *w)
{
    ngx_rf_op_t    *op;
    ngx_rf_call_t  *call;

    op = w->op;
    call = &w->call;

    ngx_memzero(w->commands, sizeof(w->commands));

    w->commands[0].argc = op->argc;
    w->commands[0].argv = op->argv;

    call->commands = w->commands;
    call->ncommands = 1;
    call->repeat = ngx_rf_command_repeatable(op->command, op->argc, op->argv);

    if (ngx_rf_learn_pttl(op->command, op->argc, op->argv)) {

        /* the reply is the value, but not how long it lives: memory must not
         * outlive it */

        ngx_str_set(&w->pttl[0], "PTTL");
        w->pttl[1] = op->argv[1];
        w->commands[1].argc = 2;
        w->commands[1].argv = w->pttl;
        call->ncommands = 2;
    }

    if (call->ncommands == 2 && op->store->tracking
        && ngx_rf_command_by_element(op->command->id))
    {
        w->commands[2].argv = ngx_rf_learn_ask_known(&op->store->zone,
                                                     op->pool, op->command,
                                                     op->argc, op->argv,
                                                     &w->commands[2].argc);
        if (w->commands[2].argv) {
            call->ncommands = 3;
        }
    }
}


/* What is learned of the reply begins with a look-up: of the table's slot,
 * which says where the entry is, which says where the value is.  Each is asked
 * for while the reply before is handled, so nobody waits for it, least of all
 * with the lock. */

static void
ngx_rf_work_soon(ngx_rf_call_t *call, ngx_uint_t n)
{
    uint32_t        hash;
    ngx_rf_work_t  *w;
    ngx_rf_zone_t  *zone;

    w = call->data;
    zone = &w->op->store->zone;
    hash = ngx_rf_work_hash(w);

    switch (n) {

    case NGX_RF_CALL_FAR:
        ngx_rf_zone_expect(zone, hash);
        break;

    case NGX_RF_CALL_NEAR:
        ngx_rf_zone_prefetch(zone, hash);
        break;

    default:
        ngx_rf_zone_prefetch_value(zone, hash);
    }
}


static void
ngx_rf_work_called(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_int_t        rc;
    ngx_str_t       *reason;
    ngx_queue_t      followers;
    ngx_rf_work_t   *w;
    ngx_rf_reply_t  *reply;

    w = call->data;

    ngx_rf_work_uncalled(w);

    if (w->op->store->stopping) {
        /* the process exits, nobody waits any more */
        return;
    }

    reason = NULL;
    reply = w->op->nparts ? ngx_rf_multi_reply(w, &reason)
                          : ngx_rf_work_reply(w, &reason);

    if (reply) {
        ngx_rf_work_learn(w, reply);
    }

    ngx_rf_pop_end(w);

    ngx_queue_init(&followers);

    if (w->leads) {
        ngx_rf_flight_landed(w, reply, &followers);
    }

    if (reply && ngx_rf_work_unheard(w, reply)) {
        rc = ngx_rf_work_uncertain(w);

    } else if (reply) {
        rc = ngx_rf_work_answer(w, reply, NGX_RF_TIER_REDIS);

    } else if (reason) {
        rc = ngx_rf_work_unreachable(w, reason);

    } else {
        rc = ngx_rf_work_unanswered(w, outcome);
    }

    ngx_rf_work_resume(w, rc);

    if (!ngx_queue_empty(&followers)) {
        ngx_rf_flight_resume(&followers);
    }
}


/* NULL: none, or one that says that the command was not executed, which is
 * *reason */

static ngx_rf_reply_t *
ngx_rf_work_reply(ngx_rf_work_t *w, ngx_str_t **reason)
{
    ngx_rf_reply_t  *reply;

    reply = w->commands[0].reply;

    if (reply && ngx_rf_resp_outage(reply)) {
        *reason = &reply->str;
        return NULL;
    }

    return reply;
}


static void
ngx_rf_work_learn(ngx_rf_work_t *w, ngx_rf_reply_t *reply)
{
    int64_t          pttl;
    uint64_t         voucher;
    ngx_rf_op_t     *op;
    ngx_rf_reply_t  *second;

    op = w->op;
    voucher = 0;

    if (op->store->tracking && (op->command->flags & NGX_RF_CMD_READ)
        && op->command->first == 1 && op->nparts == 0)
    {
        voucher = ngx_rf_tracking_vouch(op->store->tracking, &w->mark,
                                        &op->argv[1]);
    }

    if (reply->type == NGX_RF_REPLY_ERROR) {
        return;
    }

    ngx_rf_learn_link(&op->store->zone, w->call.link);

    if (op->nparts) {
        ngx_rf_multi_learn(w, reply);
        return;
    }

    second = (w->call.ncommands > 1) ? w->commands[1].reply : NULL;

    pttl = (second && second->type == NGX_RF_REPLY_INTEGER) ? second->integer
                                                            : -3;

    if (op->command->first == 1) {
        op->store->zone.hash = ngx_rf_work_hash(w);
        op->store->zone.hashed = &op->argv[1];

        ngx_rf_zone_warm(&op->store->zone, op->store->zone.hash,
                         NGX_MAX_SIZE_T_VALUE);
    }

    ngx_rf_learn(&op->store->zone, op->pool, op->command, op->argc, op->argv,
                 reply, pttl, w->seq, w->sent, voucher);

    op->store->zone.hashed = NULL;

    if (w->call.ncommands == 3 && voucher && voucher != NGX_RF_ZONE_NAMED) {
        ngx_rf_learn_known(&op->store->zone, op->pool, w->commands[2].argc,
                           w->commands[2].argv, w->commands[2].reply, pttl,
                           w->seq, w->sent, voucher);
    }
}


static ngx_int_t
ngx_rf_work_unanswered(ngx_rf_work_t *w, ngx_uint_t outcome)
{
    ngx_str_t       *reason;
    ngx_uint_t       epoch;
    ngx_rf_store_t  *store;

    store = w->op->store;

    if (outcome == NGX_RF_CALL_DONE && ngx_rf_multi_scattered(w)) {
        ngx_rf_work_unsure(w);

        return ngx_rf_work_fail(w, NGX_RF_FAILURE_UNCERTAIN,
                                "UNCERTAIN Redis refused the MULTI of '%V' "
                                "and has executed its commands one by one");
    }

    reason = ngx_rf_redis_failure(store->redis);

    if (outcome == NGX_RF_CALL_UNSURE) {
        ngx_rf_work_unsure(w);

        /* another connection's outage may have come and gone meanwhile.  This
         * command may yet be executed, over what is written next, so there has
         * to be one more: it ends the connection that was given up */

        if (ngx_rf_mode_get(&store->zone, &epoch) == NGX_RF_NORMAL) {
            w->epoch = epoch;
        }
    }

    if (outcome != NGX_RF_CALL_UNSURE || w->call.repeat) {
        return ngx_rf_work_unreachable(w, reason);
    }

    ngx_rf_store_outage(store, w->epoch, reason);

    return ngx_rf_work_uncertain(w);
}


/*
 * A write of before an outage, in which a newer zone has taken over: what
 * memory has learned of it is not known there, where changes are made from what
 * was known before.  So it is not acknowledged.  What was learned before the
 * zone was copied is known there, so this looks afterwards.
 */

static ngx_uint_t
ngx_rf_work_unheard(ngx_rf_work_t *w, ngx_rf_reply_t *reply)
{
    ngx_rf_store_t  *store;

    store = w->op->store;

    return (w->op->command->flags & (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE))
           && reply->type != NGX_RF_REPLY_ERROR
           && store->zone.sh->superseded == 1
           && (ngx_rf_mode_get(&store->zone, NULL) == NGX_RF_FALLBACK
               || ngx_rf_work_outdated(w));
}


/*
 * A write by a worker whose zone was replaced, after an outage of the newer
 * one: what that has acknowledged meanwhile would be replayed over it.  Nobody
 * tells this worker when that has ended, and it is about to go.
 */

static ngx_uint_t
ngx_rf_work_outdated(ngx_rf_work_t *w)
{
    ngx_rf_zone_t  *zone;

    zone = &w->op->store->zone;

    return (w->op->command->flags & (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE))
           && zone->sh->superseded == 1
           && zone->outages && *zone->outages != zone->sh->outages;
}


/* what Redis holds of the keys is not known any more */

static void
ngx_rf_work_unsure(ngx_rf_work_t *w)
{
    ngx_uint_t            i;
    ngx_rf_op_t          *op;
    ngx_rf_local_part_t  *part;

    op = w->op;
    w->unsure = 1;

    if (op->nparts == 0) {
        ngx_rf_learn_unsure(&op->store->zone, op->command, op->argc,
                            op->argv);
        return;
    }

    for (i = 0; i < op->nparts; i++) {
        part = &w->parts[i];

        ngx_rf_learn_unsure(&op->store->zone, part->command, part->argc,
                            &op->argv[part->first]);
    }
}


static ngx_int_t
ngx_rf_work_unreachable(ngx_rf_work_t *w, ngx_str_t *reason)
{
    ngx_msec_t  deadline;

    ngx_rf_store_outage(w->op->store, w->epoch, reason);

    /* Redis may have used up all of the time */

    deadline = ngx_current_msec + NGX_RF_STORE_GRACE;

    if ((ngx_msec_int_t) (w->deadline - deadline) < 0) {
        w->deadline = deadline;
    }

    return ngx_rf_work_route(w);
}
