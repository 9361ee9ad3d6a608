/*
 * Commands of redis_fallback_exec have no request: each has a pool of its own,
 * with copies of its arguments, which goes when it is answered.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_command.h"
#include "ngx_http_rf_request.h"


/* of the pool: an operation, its state in the store and a short reply */
#define NGX_HTTP_RF_COMMAND_POOL  2048


static ngx_int_t ngx_http_rf_command_log_handler(ngx_http_request_t *r);
static void ngx_http_rf_command_exec(ngx_http_request_t *r,
    ngx_http_rf_loc_conf_t *conf, uint32_t *order);
static ngx_rf_op_t *ngx_http_rf_command_copy(ngx_uint_t argc,
    ngx_str_t *argv);
static void ngx_http_rf_command_done(ngx_rf_op_t *op);


ngx_int_t
ngx_http_rf_command_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_rf_command_log_handler;

    return NGX_OK;
}


/* those of the server, and those of the location where the request ended */

static ngx_int_t
ngx_http_rf_command_log_handler(ngx_http_request_t *r)
{
    uint32_t                   order;
    ngx_http_rf_loc_conf_t    *conf, *server;
    ngx_http_core_srv_conf_t  *cscf;

    if (r != r->main) {
        return NGX_OK;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    server = cscf->ctx->loc_conf[ngx_http_redis_fallback_module.ctx_index];
    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    order = 0;

    if (server->execs) {
        ngx_http_rf_command_exec(r, server, &order);
    }

    if (conf != server && conf->execs) {
        ngx_http_rf_command_exec(r, conf, &order);
    }

    return NGX_OK;
}


static void
ngx_http_rf_command_exec(ngx_http_request_t *r, ngx_http_rf_loc_conf_t *conf,
    uint32_t *order)
{
    ngx_str_t           *argv;
    ngx_uint_t           i;
    ngx_rf_op_t         *op;
    ngx_http_rf_args_t  *execs;

    execs = conf->execs->elts;

    for (i = 0; i < conf->execs->nelts; i++) {

        if (ngx_http_rf_request_args(r, execs[i].argc, execs[i].argv, &argv)
            != NGX_OK)
        {
            return;
        }

        op = ngx_http_rf_command_copy(execs[i].argc, argv);
        if (op == NULL) {
            return;
        }

        op->store = conf->store;
        op->outage = conf->outage;
        op->log = ngx_cycle->log;
        op->handler = ngx_http_rf_command_done;

        op->order = *order;

        op->rc = ngx_rf_store_submit(op);

        *order = op->order;

        if (op->rc != NGX_AGAIN) {
            ngx_http_rf_command_done(op);
        }
    }
}


static ngx_rf_op_t *
ngx_http_rf_command_copy(ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_uint_t    i;
    ngx_pool_t   *pool;
    ngx_rf_op_t  *op;

    pool = ngx_create_pool(NGX_HTTP_RF_COMMAND_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    op = ngx_pcalloc(pool, sizeof(ngx_rf_op_t));
    if (op == NULL) {
        goto failed;
    }

    op->argv = ngx_palloc(pool, argc * sizeof(ngx_str_t));
    if (op->argv == NULL) {
        goto failed;
    }

    op->pool = pool;
    op->argc = argc;

    for (i = 0; i < argc; i++) {
        op->argv[i].len = argv[i].len;
        op->argv[i].data = ngx_pnalloc(pool, argv[i].len ? argv[i].len : 1);

        if (op->argv[i].data == NULL) {
            goto failed;
        }

        ngx_memcpy(op->argv[i].data, argv[i].data, argv[i].len);
    }

    return op;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static void
ngx_http_rf_command_done(ngx_rf_op_t *op)
{
    /* a refusal was asked for, and the mode's change is in the log */

    if (op->rc == NGX_ERROR && op->failure != NGX_RF_FAILURE_REFUSED) {

        if (op->reply) {
            ngx_log_error(NGX_LOG_ERR, op->log, 0,
                          "redis_fallback_exec \"%V\" failed: %V",
                          &op->argv[0], &op->reply->str);

        } else {
            ngx_log_error(NGX_LOG_ERR, op->log, 0,
                          "redis_fallback_exec \"%V\" failed", &op->argv[0]);
        }
    }

    ngx_destroy_pool(op->pool);
}
