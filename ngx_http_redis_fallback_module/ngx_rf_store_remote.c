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
#include "ngx_rf_resp.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


/* ms that local work has when Redis has used up the rest: a batch of files on a
 * busy disk, too */
#define NGX_RF_STORE_GRACE      250


static void ngx_rf_work_ask(ngx_rf_work_t *w);
static void ngx_rf_work_called(ngx_rf_call_t *call, ngx_uint_t outcome);
static ngx_rf_reply_t *ngx_rf_work_reply(ngx_rf_work_t *w,
    ngx_str_t **reason);
static void ngx_rf_work_learn(ngx_rf_work_t *w, ngx_rf_reply_t *reply);
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

    ngx_memzero(call, sizeof(ngx_rf_call_t));

    if (op->nparts == 0) {
        ngx_rf_work_ask(w);

    } else if (ngx_rf_multi_call(w) != NGX_OK) {
        return ngx_rf_work_internal(w);
    }

    call->pool = op->pool;
    call->handler = ngx_rf_work_called;
    call->data = w;
    call->order = op->order;

    w->seq = store->zone.sh->seq;
    w->sent = ngx_rf_now();

    if (ngx_rf_redis_call(store->redis, call) != NGX_AGAIN) {
        return ngx_rf_work_internal(w);
    }

    w->calling = 1;

    return NGX_AGAIN;
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
}


static void
ngx_rf_work_called(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_int_t        rc;
    ngx_str_t       *reason;
    ngx_rf_work_t   *w;
    ngx_rf_reply_t  *reply;

    w = call->data;

    w->calling = 0;

    if (w->op->store->stopping) {
        /* the process exits, nobody waits any more */
        return;
    }

    reason = NULL;
    reply = w->op->nparts ? ngx_rf_multi_reply(w, &reason)
                          : ngx_rf_work_reply(w, &reason);

    if (reply) {
        ngx_rf_work_learn(w, reply);
        rc = ngx_rf_work_answer(w, reply, NGX_RF_TIER_REDIS);

    } else if (reason) {
        rc = ngx_rf_work_unreachable(w, reason);

    } else {
        rc = ngx_rf_work_unanswered(w, outcome);
    }

    ngx_rf_work_resume(w, rc);
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
    ngx_rf_op_t     *op;
    ngx_rf_reply_t  *second;

    op = w->op;

    if (reply->type == NGX_RF_REPLY_ERROR) {
        return;
    }

    ngx_rf_learn_link(&op->store->zone, w->call.link);

    if (op->nparts) {
        ngx_rf_multi_learn(w, reply);
        return;
    }

    second = (w->call.ncommands == 2) ? w->commands[1].reply : NULL;

    pttl = (second && second->type == NGX_RF_REPLY_INTEGER) ? second->integer
                                                            : -3;

    ngx_rf_learn(&op->store->zone, op->pool, op->command, op->argc, op->argv,
                 reply, pttl, w->seq, w->sent);
}


static ngx_int_t
ngx_rf_work_unanswered(ngx_rf_work_t *w, ngx_uint_t outcome)
{
    ngx_str_t       *reason;
    ngx_uint_t       epoch;
    ngx_rf_store_t  *store;

    store = w->op->store;
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
