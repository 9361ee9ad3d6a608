/*
 * The answer of an operation: what its owner is told, and what is counted.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


static void ngx_rf_work_count(ngx_rf_work_t *w, ngx_uint_t flags,
    ngx_rf_tier_e tier, ngx_uint_t miss);


ngx_int_t
ngx_rf_work_answer(ngx_rf_work_t *w, ngx_rf_reply_t *reply,
    ngx_rf_tier_e tier)
{
    ngx_uint_t    i, nil;
    ngx_rf_op_t  *op;

    op = w->op;

    op->reply = reply;
    op->mode = w->mode;
    op->tier = tier;
    op->work = NULL;

    if (reply->type == NGX_RF_REPLY_ERROR) {
        op->failure = NGX_RF_FAILURE_REPLY;
        op->result = NGX_RF_RESULT_ERROR;
        return NGX_ERROR;
    }

    nil = (reply->type == NGX_RF_REPLY_NIL);

    for (i = 0; i < op->nparts; i++) {
        ngx_rf_work_count(w, w->parts[i].command->flags, tier,
                          reply->elts[i].type == NGX_RF_REPLY_NIL);
    }

    if (op->nparts == 0) {
        ngx_rf_work_count(w, op->command->flags, tier, nil);
    }

    if (op->command->flags & NGX_RF_CMD_READ) {

        if (!nil) {
            op->result = NGX_RF_RESULT_HIT;

        } else if (tier != NGX_RF_TIER_REDIS && w->local.unknown) {
            op->tier = NGX_RF_TIER_NONE;
            op->result = NGX_RF_RESULT_UNKNOWN;

        } else {
            op->result = NGX_RF_RESULT_MISS;
        }

    } else {
        op->result = NGX_RF_RESULT_OK;
    }

    return nil ? NGX_DECLINED : NGX_OK;
}


static void
ngx_rf_work_count(ngx_rf_work_t *w, ngx_uint_t flags, ngx_rf_tier_e tier,
    ngx_uint_t miss)
{
    ngx_atomic_t   *counter;
    ngx_rf_stat_t  *stat;

    stat = &w->op->store->zone.sh->stat;

    if (flags & NGX_RF_CMD_WRITE) {
        counter = (tier == NGX_RF_TIER_REDIS) ? &stat->writes_redis
                                              : &stat->writes_local;

    } else if (miss) {
        counter = &stat->reads_miss;

    } else if (tier == NGX_RF_TIER_REDIS) {
        counter = &stat->reads_redis;

    } else if (tier == NGX_RF_TIER_FILE) {
        counter = &stat->reads_file;

    } else {
        counter = &stat->reads_memory;
    }

    (void) ngx_atomic_fetch_add(counter, 1);
}


/* "fmt" is an error line with one %V for the command's name */

ngx_int_t
ngx_rf_work_fail(ngx_rf_work_t *w, ngx_rf_failure_e failure, const char *fmt)
{
    u_char          *p;
    size_t           len;
    ngx_rf_op_t     *op;
    ngx_rf_reply_t  *reply;

    op = w->op;

    /* not refused: what can be repeated was sent to Redis before */

    if (w->unsure && (op->command->flags & NGX_RF_CMD_WRITE)
        && (failure == NGX_RF_FAILURE_REFUSED
            || failure == NGX_RF_FAILURE_REDIS_ONLY))
    {
        return ngx_rf_work_uncertain(w);
    }

    len = ngx_strlen(fmt) + op->command->name.len;

    reply = ngx_pcalloc(op->pool, sizeof(ngx_rf_reply_t) + len);
    if (reply == NULL) {
        return ngx_rf_work_internal(w);
    }

    p = (u_char *) reply + sizeof(ngx_rf_reply_t);

    reply->type = NGX_RF_REPLY_ERROR;
    reply->str.data = p;
    reply->str.len = ngx_snprintf(p, len, fmt, &op->command->name) - p;

    op->reply = reply;
    op->failure = failure;
    op->mode = w->mode;
    op->tier = NGX_RF_TIER_NONE;
    op->work = NULL;
    op->result = (failure == NGX_RF_FAILURE_REFUSED) ? NGX_RF_RESULT_REJECTED
                                                     : NGX_RF_RESULT_ERROR;
    op->retry_after = ngx_rf_store_retry_after(op->store);

    return NGX_ERROR;
}


ngx_int_t
ngx_rf_work_uncertain(ngx_rf_work_t *w)
{
    return ngx_rf_work_fail(w, NGX_RF_FAILURE_UNCERTAIN,
                            "UNCERTAIN the connection to Redis broke before "
                            "the reply to '%V', which may have been "
                            "executed");
}


ngx_int_t
ngx_rf_work_no_room(ngx_rf_work_t *w)
{
    return ngx_rf_work_fail(w, NGX_RF_FAILURE_NO_ROOM,
                            "FALLBACK no room left for '%V', neither in "
                            "memory nor on disk");
}


ngx_int_t
ngx_rf_work_no_path(ngx_rf_work_t *w)
{
    return ngx_rf_work_fail(w, NGX_RF_FAILURE_NO_ROOM,
                            "FALLBACK '%V' cannot be made durable, the path is "
                            "not ours");
}


ngx_int_t
ngx_rf_work_busy(ngx_rf_work_t *w)
{
    return ngx_rf_work_fail(w, NGX_RF_FAILURE_REDIS_ONLY,
                            "FALLBACK '%V' could not be executed in time "
                            "while the store recovers");
}


ngx_int_t
ngx_rf_work_popping(ngx_rf_work_t *w)
{
    return ngx_rf_work_fail(w, NGX_RF_FAILURE_REDIS_ONLY,
                            "FALLBACK '%V' could not be executed in time: "
                            "Redis may be removing the same element");
}


ngx_int_t
ngx_rf_work_internal(ngx_rf_work_t *w)
{
    w->op->failure = NGX_RF_FAILURE_INTERNAL;
    w->op->result = NGX_RF_RESULT_ERROR;
    w->op->mode = w->mode;
    w->op->work = NULL;

    return NGX_ERROR;
}
