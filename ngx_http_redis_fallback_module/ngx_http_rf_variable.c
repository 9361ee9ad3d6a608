/*
 * The sets of a block run in batches: a batch is as many of them, in order, as
 * do not depend on a reply that is not there yet.  The handler of the phase
 * submits a batch, is suspended, is called again, stores the replies in the
 * variables, and goes on with the next one; ctx->set counts those that are
 * done.
 *
 * A set depends on one before it when its arguments use a variable that may
 * come from there, which is known when the configuration was read; or when both
 * name the same key and one of them writes, which is known at run time.  (Any
 * equal argument is taken for a key: the worst that follows is a round trip.)
 *
 * The server's sets run once in a request: not again after an internal
 * redirect, and not in subrequests, which share the request's variables.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_json.h"
#include "ngx_http_rf_request.h"
#include "ngx_http_rf_variable.h"


#define NGX_HTTP_RF_VARIABLE_MODE    0
#define NGX_HTTP_RF_VARIABLE_TIER    1
#define NGX_HTTP_RF_VARIABLE_RESULT  2


static ngx_int_t ngx_http_rf_variable_server_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_variable_location_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_variable_run(ngx_http_request_t *r,
    ngx_http_rf_ctx_t *ctx, ngx_http_rf_loc_conf_t *conf);
static ngx_int_t ngx_http_rf_variable_submit(ngx_http_request_t *r,
    ngx_http_rf_ctx_t *ctx, ngx_http_rf_loc_conf_t *conf);
static ngx_uint_t ngx_http_rf_variable_clash(ngx_http_rf_set_t *sets,
    ngx_rf_op_t *ops, ngx_uint_t n);
static ngx_int_t ngx_http_rf_variable_store(ngx_http_request_t *r,
    ngx_http_rf_set_t *set, ngx_rf_op_t *op);
static ngx_int_t ngx_http_rf_variable_value(ngx_http_request_t *r,
    ngx_http_rf_set_t *set, ngx_rf_op_t *op, ngx_str_t *value);
static ngx_int_t ngx_http_rf_variable_get(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

static ngx_uint_t ngx_http_rf_variable_depends(ngx_conf_t *cf,
    ngx_http_rf_set_t *sets, ngx_uint_t i);
static ngx_uint_t ngx_http_rf_variable_next(ngx_str_t *rest, ngx_str_t *name);
static ngx_uint_t ngx_http_rf_variable_plain(ngx_conf_t *cf, ngx_str_t *name);


static ngx_http_variable_t  ngx_http_rf_variables[] = {

    { ngx_string("redis_fallback_mode"), NULL, ngx_http_rf_variable_get,
      NGX_HTTP_RF_VARIABLE_MODE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("redis_fallback_tier"), NULL, ngx_http_rf_variable_get,
      NGX_HTTP_RF_VARIABLE_TIER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("redis_fallback_result"), NULL, ngx_http_rf_variable_get,
      NGX_HTTP_RF_VARIABLE_RESULT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/* in the order of their enums */

static ngx_str_t  ngx_http_rf_mode_names[] = {
    ngx_string("normal"),
    ngx_string("fallback"),
    ngx_string("recovering")
};


static ngx_str_t  ngx_http_rf_tier_names[] = {
    ngx_string("none"),
    ngx_string("memory"),
    ngx_string("redis"),
    ngx_string("file")
};


static ngx_str_t  ngx_http_rf_result_names[] = {
    ngx_null_string,
    ngx_string("hit"),
    ngx_string("miss"),
    ngx_string("ok"),
    ngx_string("unknown"),
    ngx_string("rejected"),
    ngx_string("error")
};


/*
 * Variables that no command changes, so that using them does not mean waiting
 * for one; a "*" at the end stands for any rest.
 */

static ngx_str_t  ngx_http_rf_plain_variables[] = {
    ngx_string("arg_*"),
    ngx_string("args"),
    ngx_string("binary_remote_addr"),
    ngx_string("connection"),
    ngx_string("connection_requests"),
    ngx_string("content_length"),
    ngx_string("content_type"),
    ngx_string("cookie_*"),
    ngx_string("document_uri"),
    ngx_string("host"),
    ngx_string("hostname"),
    ngx_string("http_*"),
    ngx_string("https"),
    ngx_string("is_args"),
    ngx_string("msec"),
    ngx_string("nginx_version"),
    ngx_string("pid"),
    ngx_string("proxy_protocol_*"),
    ngx_string("query_string"),
    ngx_string("realip_remote_addr"),
    ngx_string("realip_remote_port"),
    ngx_string("remote_addr"),
    ngx_string("remote_port"),
    ngx_string("remote_user"),
    ngx_string("request"),
    ngx_string("request_id"),
    ngx_string("request_length"),
    ngx_string("request_method"),
    ngx_string("request_time"),
    ngx_string("request_uri"),
    ngx_string("scheme"),
    ngx_string("server_addr"),
    ngx_string("server_name"),
    ngx_string("server_port"),
    ngx_string("server_protocol"),
    ngx_string("ssl_*"),
    ngx_string("tcpinfo_*"),
    ngx_string("time_iso8601"),
    ngx_string("time_local"),
    ngx_string("uri"),
    ngx_null_string
};


ngx_int_t
ngx_http_rf_variable_add(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_rf_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_rf_variable_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_SERVER_REWRITE_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_rf_variable_server_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_rf_variable_location_handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_rf_variable_server_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_rf_ctx_t       *ctx;
    ngx_http_rf_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    if (conf->sets == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_rf_request_make(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->server) {
        return NGX_DECLINED;
    }

    rc = ngx_http_rf_variable_run(r, ctx, conf);

    if (rc == NGX_DECLINED) {
        ctx->server = 1;
    }

    return rc;
}


static ngx_int_t
ngx_http_rf_variable_location_handler(ngx_http_request_t *r)
{
    ngx_http_rf_ctx_t         *ctx;
    ngx_http_rf_loc_conf_t    *conf;
    ngx_http_core_srv_conf_t  *cscf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    if (conf->sets == NULL) {
        return NGX_DECLINED;
    }

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    if (r->loc_conf == cscf->ctx->loc_conf) {

        /* no location was found: these are the server's */

        return NGX_DECLINED;
    }

    ctx = ngx_http_rf_request_make(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_rf_variable_run(r, ctx, conf);
}


static ngx_int_t
ngx_http_rf_variable_run(ngx_http_request_t *r, ngx_http_rf_ctx_t *ctx,
    ngx_http_rf_loc_conf_t *conf)
{
    ngx_int_t           rc;
    ngx_uint_t          i;
    ngx_http_rf_set_t  *sets;

    if (ctx->left) {

        /* some event woke the request while it waits */

        return NGX_DONE;
    }

    sets = conf->sets->elts;

    for ( ;; ) {

        for (i = 0; i < ctx->nset; i++) {

            if (ngx_http_rf_variable_store(r, &sets[ctx->set + i],
                                           &ctx->ops[i])
                != NGX_OK)
            {
                goto failed;
            }
        }

        ctx->set += ctx->nset;
        ctx->nset = 0;

        if (ctx->set == conf->sets->nelts) {
            ctx->set = 0;
            return NGX_DECLINED;
        }

        rc = ngx_http_rf_variable_submit(r, ctx, conf);

        if (rc == NGX_AGAIN) {
            return NGX_DONE;
        }

        if (rc == NGX_ERROR) {
            goto failed;
        }
    }

failed:

    /* an error page may run the sets of its location */

    ctx->set = 0;
    ctx->nset = 0;

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_rf_variable_submit(ngx_http_request_t *r, ngx_http_rf_ctx_t *ctx,
    ngx_http_rf_loc_conf_t *conf)
{
    ngx_uint_t          n, max;
    ngx_rf_op_t        *ops;
    ngx_http_rf_set_t  *sets;

    sets = conf->sets->elts;
    sets += ctx->set;

    for (max = 1; ctx->set + max < conf->sets->nelts; max++) {
        if (sets[max].wait) {
            break;
        }
    }

    ops = ngx_pcalloc(r->pool, max * sizeof(ngx_rf_op_t));
    if (ops == NULL) {
        return NGX_ERROR;
    }

    for (n = 0; n < max; n++) {
        ops[n].store = conf->store;
        ops[n].outage = conf->outage;
        ops[n].lock = conf->lock;

        ops[n].argc = sets[n].argc;

        if (ngx_http_rf_request_args(r, sets[n].argc, sets[n].argv,
                                     &ops[n].argv)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (ngx_http_rf_variable_clash(sets, ops, n)) {
            break;
        }
    }

    ctx->nset = n;

    return ngx_http_rf_request_submit(ctx, ops, n, ngx_http_rf_request_phases);
}


/* whether command n and one before it may concern the same key, and one of
 * them writes */

static ngx_uint_t
ngx_http_rf_variable_clash(ngx_http_rf_set_t *sets, ngx_rf_op_t *ops,
    ngx_uint_t n)
{
    ngx_uint_t  i, j, k;
    ngx_str_t  *a, *b;

    for (i = 0; i < n; i++) {

        if (!sets[i].write && !sets[n].write) {
            continue;
        }

        for (j = 1; j < ops[n].argc; j++) {
            a = &ops[n].argv[j];

            for (k = 1; k < ops[i].argc; k++) {
                b = &ops[i].argv[k];

                if (a->len == b->len
                    && ngx_memcmp(a->data, b->data, a->len) == 0)
                {
                    return 1;
                }
            }
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_rf_variable_store(ngx_http_request_t *r, ngx_http_rf_set_t *set,
    ngx_rf_op_t *op)
{
    ngx_str_t                   value;
    ngx_http_variable_value_t  *v, vv;

    if (ngx_http_rf_variable_value(r, set, op, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(&vv, sizeof(ngx_http_variable_value_t));

    v = set->set_handler ? &vv : &r->variables[set->index];

    v->len = value.len;
    v->data = value.data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    if (set->set_handler) {
        set->set_handler(r, v, set->data);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_rf_variable_value(ngx_http_request_t *r, ngx_http_rf_set_t *set,
    ngx_rf_op_t *op, ngx_str_t *value)
{
    ngx_str_set(value, "");

    if (op->rc == NGX_ERROR) {

        /* a refusal was asked for, and the mode's change is in the log */

        if (op->failure != NGX_RF_FAILURE_REFUSED) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "redis_fallback_set \"$%V\" failed: %V",
                          &set->name, op->reply ? &op->reply->str : value);
        }

        return NGX_OK;
    }

    if (op->rc == NGX_DECLINED) {
        return NGX_OK;
    }

    switch (op->reply->type) {

    case NGX_RF_REPLY_NIL:
        return NGX_OK;

    case NGX_RF_REPLY_INTEGER:
    case NGX_RF_REPLY_ARRAY:
        return ngx_http_rf_json_reply(r->pool, op->reply, value);

    default:
        *value = op->reply->str;
        return NGX_OK;
    }
}


static ngx_int_t
ngx_http_rf_variable_get(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t          *name;
    ngx_http_rf_ctx_t  *ctx;

    ctx = ngx_http_rf_request_ctx(r);

    if (ctx == NULL || !ctx->answered) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (data) {

    case NGX_HTTP_RF_VARIABLE_MODE:
        name = &ngx_http_rf_mode_names[ctx->mode];
        break;

    case NGX_HTTP_RF_VARIABLE_TIER:
        name = &ngx_http_rf_tier_names[ctx->tier];
        break;

    default:
        name = &ngx_http_rf_result_names[ctx->result];
    }

    v->len = name->len;
    v->data = name->data;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


ngx_int_t
ngx_http_rf_variable_unset(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    v->not_found = 1;

    return NGX_OK;
}


void
ngx_http_rf_variable_order(ngx_conf_t *cf, ngx_array_t *sets)
{
    ngx_uint_t          i;
    ngx_http_rf_set_t  *set;

    set = sets->elts;

    for (i = 1; i < sets->nelts; i++) {
        set[i].wait = ngx_http_rf_variable_depends(cf, set, i);
    }
}


static ngx_uint_t
ngx_http_rf_variable_depends(ngx_conf_t *cf, ngx_http_rf_set_t *sets,
    ngx_uint_t i)
{
    ngx_str_t   rest, name;
    ngx_uint_t  j, k;

    for (j = 1; j < sets[i].argc; j++) {
        rest = sets[i].argv[j].value;

        while (ngx_http_rf_variable_next(&rest, &name)) {

            for (k = 0; k < i; k++) {

                if (sets[k].set_handler) {

                    /* such as $args, on which others rest */

                    return 1;
                }

                if (name.len == sets[k].name.len
                    && ngx_strncasecmp(name.data, sets[k].name.data, name.len)
                       == 0)
                {
                    return 1;
                }
            }

            if (!ngx_http_rf_variable_plain(cf, &name)) {
                return 1;
            }
        }
    }

    return 0;
}


/* the next variable in a value; 0: none.  A value that compiled has no wrong
 * ones; captures ($1) are no variables of ours and are passed over */

static ngx_uint_t
ngx_http_rf_variable_next(ngx_str_t *rest, ngx_str_t *name)
{
    u_char  *p, *last, ch;

    p = rest->data;
    last = p + rest->len;

    while (p < last) {

        if (*p++ != '$') {
            continue;
        }

        if (p < last && *p == '{') {
            p++;
        }

        name->data = p;

        while (p < last) {
            ch = *p | 0x20;

            if ((ch < 'a' || ch > 'z') && (*p < '0' || *p > '9')
                && *p != '_')
            {
                break;
            }

            p++;
        }

        name->len = p - name->data;

        if (name->len && (name->data[0] < '0' || name->data[0] > '9')) {
            rest->data = p;
            rest->len = last - p;
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_rf_variable_plain(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_str_t                  *plain;
    ngx_uint_t                  i;
    ngx_hash_key_t             *key;
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    for (plain = ngx_http_rf_plain_variables; plain->len; plain++) {

        if (plain->data[plain->len - 1] == '*') {

            if (name->len >= plain->len
                && ngx_strncasecmp(name->data, plain->data, plain->len - 1)
                   == 0)
            {
                return 1;
            }

            continue;
        }

        if (name->len == plain->len
            && ngx_strncasecmp(name->data, plain->data, name->len) == 0)
        {
            return 1;
        }
    }

    /* only "set" and redis_fallback_set make weak variables: those of another
     * block have their value already */

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    key = cmcf->variables_keys->keys.elts;

    for (i = 0; i < cmcf->variables_keys->keys.nelts; i++) {

        if (name->len == key[i].key.len
            && ngx_strncasecmp(name->data, key[i].key.data, name->len) == 0)
        {
            v = key[i].value;
            return (v->flags & NGX_HTTP_VAR_WEAK) ? 1 : 0;
        }
    }

    return 0;
}
