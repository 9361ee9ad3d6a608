/*
 * Text for a string, a status or a number; JSON for an array; a status for
 * everything else.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_command.h"
#include "ngx_http_rf_json.h"
#include "ngx_http_rf_request.h"


static void ngx_http_rf_command_resume(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_command_answer(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_command_failure(ngx_http_request_t *r,
    ngx_rf_op_t *op);


ngx_int_t
ngx_http_rf_command_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_rf_op_t             *op;
    ngx_http_rf_ctx_t       *ctx;
    ngx_http_rf_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_rf_request_make(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op = ngx_pcalloc(r->pool, sizeof(ngx_rf_op_t));
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op->store = conf->content_store;
    op->outage = conf->outage;
    op->lock = conf->lock;
    op->argc = conf->command->argc;

    if (ngx_http_rf_request_args(r, op->argc, conf->command->argv, &op->argv)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->content = op;

    rc = ngx_http_rf_request_submit(ctx, op, 1, ngx_http_rf_command_resume);

    if (rc == NGX_AGAIN) {
        r->main->count++;
        return NGX_DONE;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_rf_command_answer(r);
}


static void
ngx_http_rf_command_resume(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, ngx_http_rf_command_answer(r));
}


static ngx_int_t
ngx_http_rf_command_answer(ngx_http_request_t *r)
{
    ngx_str_t                  body, type;
    ngx_rf_op_t               *op;
    ngx_http_rf_ctx_t         *ctx;
    ngx_http_core_loc_conf_t  *clcf;

    ctx = ngx_http_rf_request_ctx(r);
    op = ctx->content;

    if (op->rc == NGX_ERROR) {
        return ngx_http_rf_command_failure(r, op);
    }

    if (op->rc == NGX_DECLINED) {

        if (op->result == NGX_RF_RESULT_UNKNOWN) {
            return ngx_http_rf_request_unknown(r);
        }

        return NGX_HTTP_NOT_FOUND;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    type = clcf->default_type;

    switch (op->reply->type) {

    case NGX_RF_REPLY_ARRAY:
        ngx_str_set(&type, "application/json");

        /* fall through */

    case NGX_RF_REPLY_INTEGER:

        if (ngx_http_rf_json_reply(r->pool, op->reply, &body) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        break;

    default:
        body = op->reply->str;
    }

    return ngx_http_rf_request_send(r, NGX_HTTP_OK, &type, &body);
}


/* the arguments come from the client, so what is wrong with them is its */

static ngx_int_t
ngx_http_rf_command_failure(ngx_http_request_t *r, ngx_rf_op_t *op)
{
    if (op->failure == NGX_RF_FAILURE_REPLY
        && op->reply->str.len > sizeof("ERR ") - 1
        && ngx_strncmp(op->reply->str.data, "ERR ", sizeof("ERR ") - 1) == 0)
    {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "redis_fallback command \"%V\" failed: %V",
                      &op->argv[0], &op->reply->str);

        return NGX_HTTP_BAD_REQUEST;
    }

    return ngx_http_rf_request_failure(r, op);
}
