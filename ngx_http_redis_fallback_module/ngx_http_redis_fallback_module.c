/*
 * The composition root: the module, and which room is started and stopped
 * when.  No logic.
 *
 * A store's zone outlives a reload, and so may its pending keys: each store is
 * told who bore its name in the cycle before.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_command.h"
#include "ngx_http_rf_conf.h"
#include "ngx_http_rf_variable.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_store.h"


static ngx_int_t ngx_http_redis_fallback_phases(ngx_conf_t *cf);
static ngx_int_t ngx_http_redis_fallback_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_redis_fallback_init_process(ngx_cycle_t *cycle);
static void ngx_http_redis_fallback_exit_process(ngx_cycle_t *cycle);
static ngx_http_rf_main_conf_t *ngx_http_redis_fallback_conf(
    ngx_cycle_t *cycle);
static void ngx_http_redis_fallback_exit_master(ngx_cycle_t *cycle);
static ngx_rf_recovery_t *ngx_http_redis_fallback_recovery(
    ngx_rf_store_t *store, ngx_cycle_t *cycle);
static ngx_rf_store_t *ngx_http_redis_fallback_find(
    ngx_http_rf_main_conf_t *mcf, ngx_str_t *name);


static ngx_http_module_t  ngx_http_redis_fallback_module_ctx = {
    ngx_http_rf_variable_add,              /* preconfiguration */
    ngx_http_redis_fallback_phases,        /* postconfiguration */

    ngx_http_rf_conf_create_main,          /* create main configuration */
    ngx_http_rf_conf_init_main,            /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_rf_conf_create_loc,           /* create location configuration */
    ngx_http_rf_conf_merge_loc             /* merge location configuration */
};


ngx_module_t  ngx_http_redis_fallback_module = {
    NGX_MODULE_V1,
    &ngx_http_redis_fallback_module_ctx,   /* module context */
    ngx_http_rf_conf_commands,             /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_redis_fallback_init_module,   /* init module */
    ngx_http_redis_fallback_init_process,  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_redis_fallback_exit_process,  /* exit process */
    ngx_http_redis_fallback_exit_master,   /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_redis_fallback_phases(ngx_conf_t *cf)
{
    if (ngx_http_rf_variable_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_rf_command_init(cf);
}


static ngx_int_t
ngx_http_redis_fallback_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                i;
    ngx_rf_store_t           *old;
    ngx_http_rf_store_t      *stores;
    ngx_http_rf_main_conf_t  *mcf, *before;

    mcf = ngx_http_redis_fallback_conf(cycle);

    if (mcf == NULL || ngx_test_config) {
        return NGX_OK;
    }

    before = ngx_http_redis_fallback_conf(cycle->old_cycle);
    stores = mcf->stores.elts;

    for (i = 0; i < mcf->stores.nelts; i++) {
        old = before ? ngx_http_redis_fallback_find(before, &stores[i].name)
                     : NULL;

        if (ngx_rf_store_init(stores[i].store, cycle, old) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (before == NULL) {
        return NGX_OK;
    }

    stores = before->stores.elts;

    for (i = 0; i < before->stores.nelts; i++) {

        if (ngx_http_redis_fallback_find(mcf, &stores[i].name) == NULL) {
            ngx_rf_store_dropped(stores[i].store);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_redis_fallback_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                i;
    ngx_http_rf_store_t      *stores;
    ngx_http_rf_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_redis_fallback_conf(cycle);

    if (mcf == NULL) {
        return NGX_OK;
    }

    stores = mcf->stores.elts;

    for (i = 0; i < mcf->stores.nelts; i++) {

        if (ngx_rf_store_start(stores[i].store, cycle) != NGX_OK) {
            return NGX_ERROR;
        }

        stores[i].recovery = ngx_http_redis_fallback_recovery(stores[i].store,
                                                              cycle);
        if (stores[i].recovery == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_redis_fallback_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                i;
    ngx_http_rf_store_t      *stores;
    ngx_http_rf_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    mcf = ngx_http_redis_fallback_conf(cycle);

    if (mcf == NULL) {
        return;
    }

    stores = mcf->stores.elts;

    for (i = 0; i < mcf->stores.nelts; i++) {

        if (stores[i].recovery) {
            ngx_rf_recovery_stop(stores[i].recovery);
        }

        ngx_rf_store_stop(stores[i].store, cycle);
    }
}


static void
ngx_http_redis_fallback_exit_master(ngx_cycle_t *cycle)
{
    ngx_uint_t                i;
    ngx_http_rf_store_t      *stores;
    ngx_http_rf_main_conf_t  *mcf;

    mcf = ngx_http_redis_fallback_conf(cycle);

    if (mcf == NULL) {
        return;
    }

    stores = mcf->stores.elts;

    for (i = 0; i < mcf->stores.nelts; i++) {
        ngx_rf_store_exit(stores[i].store, cycle);
    }
}


/* the store and its recovery share the rooms below, and do not know each
 * other */

static ngx_rf_recovery_t *
ngx_http_redis_fallback_recovery(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    ngx_rf_recovery_conf_t  conf;

    conf.name = store->conf.name;
    conf.address = store->conf.redis.address;
    conf.zone = &store->zone;
    conf.relay = &store->relay;
    conf.redis = store->redis;
    conf.disk = store->disk;
    conf.flush = &store->flush;
    conf.file = &store->conf.file;
    conf.keep = &store->keep;
    conf.check_interval = store->conf.check_interval;
    conf.budget = store->conf.redis.connect_timeout
                  + store->conf.redis.timeout;
    conf.write_interval = store->conf.write_interval;
    conf.write_queue = store->conf.write_queue;
    conf.rate = store->conf.recovery_rate;
    conf.remote = store->conf.on_conflict_remote;

    return ngx_rf_recovery_start(&conf, cycle);
}


/*
 * NULL: this cycle has no http, or not this module.  The module's index says
 * nothing in a cycle that has not loaded it: an array may be too short for it,
 * so the cycle's modules are asked first.
 */

static ngx_http_rf_main_conf_t *
ngx_http_redis_fallback_conf(ngx_cycle_t *cycle)
{
    ngx_uint_t            i;
    ngx_http_conf_ctx_t  *ctx;

    if (cycle == NULL || cycle->conf_ctx == NULL || cycle->modules == NULL) {
        return NULL;
    }

    for (i = 0; cycle->modules[i]; i++) {

        if (cycle->modules[i] == &ngx_http_redis_fallback_module) {
            break;
        }
    }

    if (cycle->modules[i] == NULL) {
        return NULL;
    }

    ctx = (ngx_http_conf_ctx_t *) ngx_get_conf(cycle->conf_ctx,
                                               ngx_http_module);
    if (ctx == NULL) {
        return NULL;
    }

    return ctx->main_conf[ngx_http_redis_fallback_module.ctx_index];
}


static ngx_rf_store_t *
ngx_http_redis_fallback_find(ngx_http_rf_main_conf_t *mcf, ngx_str_t *name)
{
    ngx_uint_t            i;
    ngx_http_rf_store_t  *stores;

    stores = mcf->stores.elts;

    for (i = 0; i < mcf->stores.nelts; i++) {

        if (stores[i].name.len == name->len
            && ngx_strncmp(stores[i].name.data, name->data, name->len) == 0)
        {
            return stores[i].store;
        }
    }

    return NULL;
}
