/*
 * One operation for each request: it is prepared first (key, time to live), so
 * that a wrong one is refused before its body is read; then comes the body;
 * then the operation is submitted, and answered now or when the request is
 * resumed.  Each step returns what a content handler returns.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_request.h"
#include "ngx_http_rf_kv.h"


typedef struct {
    ngx_rf_op_t                 op;
    ngx_str_t                   argv[6];    /* SET key value PX ms NX */
    u_char                      px[NGX_INT64_LEN];
} ngx_http_rf_kv_t;


static ngx_int_t ngx_http_rf_kv_prepare(ngx_http_request_t *r,
    const char *command);
static ngx_int_t ngx_http_rf_kv_key(ngx_http_request_t *r,
    ngx_http_rf_loc_conf_t *conf, ngx_str_t *key);
static ngx_int_t ngx_http_rf_kv_prepare_set(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_kv_ttl(ngx_http_request_t *r, int64_t *ttl);
static void ngx_http_rf_kv_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_kv_submit(ngx_http_request_t *r);
static void ngx_http_rf_kv_resume(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_kv_answer(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_kv_answer_get(ngx_http_request_t *r,
    ngx_rf_op_t *op);
static ngx_int_t ngx_http_rf_kv_not_allowed(ngx_http_request_t *r);


ngx_int_t
ngx_http_rf_kv_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    if (r->method & (NGX_HTTP_PUT|NGX_HTTP_POST)) {

        rc = ngx_http_rf_kv_prepare_set(r);
        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_http_read_client_request_body(r, ngx_http_rf_kv_body_handler);

        return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
    }

    if (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)) {
        rc = ngx_http_rf_kv_prepare(r, "GET");

    } else if (r->method == NGX_HTTP_DELETE) {
        rc = ngx_http_rf_kv_prepare(r, "DEL");

    } else {
        rc = ngx_http_rf_kv_not_allowed(r);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_rf_kv_submit(r);

    if (rc == NGX_AGAIN) {
        r->main->count++;
        return NGX_DONE;
    }

    return rc;
}


static ngx_int_t
ngx_http_rf_kv_prepare(ngx_http_request_t *r, const char *command)
{
    ngx_int_t                rc;
    ngx_http_rf_kv_t        *kv;
    ngx_http_rf_ctx_t       *ctx;
    ngx_http_rf_loc_conf_t  *conf;

    kv = ngx_pcalloc(r->pool, sizeof(ngx_http_rf_kv_t));
    if (kv == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    rc = ngx_http_rf_kv_key(r, conf, &kv->argv[1]);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_rf_store_expect(conf->content_store, &kv->argv[1], &kv->op);

    ctx = ngx_http_rf_request_make(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    kv->argv[0].data = (u_char *) command;
    kv->argv[0].len = ngx_strlen(command);

    kv->op.store = conf->content_store;
    kv->op.outage = conf->outage;
    kv->op.lock = conf->lock;
    kv->op.lend = ngx_http_rf_request_lends(ctx);
    kv->op.argv = kv->argv;
    kv->op.argc = 2;

    ctx->content = kv;

    return NGX_OK;
}


static ngx_int_t
ngx_http_rf_kv_key(ngx_http_request_t *r, ngx_http_rf_loc_conf_t *conf,
    ngx_str_t *key)
{
    if (conf->key) {

        if (ngx_http_complex_value(r, conf->key, key) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

    } else {
        *key = r->uri;

        if (key->len >= conf->prefix.len
            && ngx_memcmp(key->data, conf->prefix.data, conf->prefix.len) == 0)
        {
            key->data += conf->prefix.len;
            key->len -= conf->prefix.len;

        } else if (key->len && key->data[0] == '/') {

            /* rewritten to what the location's name does not begin */

            key->data++;
            key->len--;
        }
    }

    if (key->len == 0) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "client sent a request with an empty "
                      "redis_fallback key");
        return NGX_HTTP_BAD_REQUEST;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_rf_kv_prepare_set(ngx_http_request_t *r)
{
    int64_t             ttl;
    ngx_int_t           rc;
    ngx_rf_op_t        *op;
    ngx_table_elt_t    *h;
    ngx_http_rf_kv_t   *kv;
    ngx_http_rf_ctx_t  *ctx;

    rc = ngx_http_rf_kv_prepare(r, "SET");
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_rf_kv_ttl(r, &ttl);
    if (rc != NGX_OK) {
        return rc;
    }

    ctx = ngx_http_rf_request_ctx(r);
    kv = ctx->content;
    op = &kv->op;

    op->argc = 3;

    if (ttl) {
        ngx_str_set(&kv->argv[op->argc], "PX");
        op->argc++;

        kv->argv[op->argc].data = kv->px;
        kv->argv[op->argc].len = ngx_sprintf(kv->px, "%L", ttl) - kv->px;
        op->argc++;
    }

    h = r->headers_in.if_none_match;

    if (h && h->value.len == 1 && h->value.data[0] == '*') {
        ngx_str_set(&kv->argv[op->argc], "NX");
        op->argc++;
    }

    return NGX_OK;
}


/* milliseconds; 0: none */

static ngx_int_t
ngx_http_rf_kv_ttl(ngx_http_request_t *r, int64_t *ttl)
{
    ngx_int_t                ms;
    ngx_str_t                value;
    ngx_http_rf_loc_conf_t  *conf;

    *ttl = 0;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    if (conf->ttl == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, conf->ttl, &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (value.len == 0) {
        return NGX_OK;
    }

    ms = ngx_parse_time(&value, 0);

    /* half of the range, so that the time of expiry cannot overflow */

    if (ms == NGX_ERROR || ms > NGX_MAX_INT_T_VALUE / 2) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "invalid redis_fallback_ttl \"%V\"", &value);
        return NGX_HTTP_BAD_REQUEST;
    }

    *ttl = ms;

    return NGX_OK;
}


static void
ngx_http_rf_kv_body_handler(ngx_http_request_t *r)
{
    ngx_int_t           rc;
    ngx_http_rf_kv_t   *kv;
    ngx_http_rf_ctx_t  *ctx;

    ctx = ngx_http_rf_request_ctx(r);
    kv = ctx->content;

    rc = ngx_http_rf_request_body(r, &kv->argv[2]);

    if (rc == NGX_OK) {
        rc = ngx_http_rf_kv_submit(r);
    }

    /* the count that reading the body took holds the request meanwhile */

    if (rc != NGX_AGAIN) {
        ngx_http_finalize_request(r, rc);
    }
}


/* NGX_AGAIN: the request is suspended, else what a content handler returns */

static ngx_int_t
ngx_http_rf_kv_submit(ngx_http_request_t *r)
{
    ngx_int_t           rc;
    ngx_http_rf_kv_t   *kv;
    ngx_http_rf_ctx_t  *ctx;

    ctx = ngx_http_rf_request_ctx(r);
    kv = ctx->content;

    rc = ngx_http_rf_request_submit(ctx, &kv->op, 1, ngx_http_rf_kv_resume);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    return ngx_http_rf_kv_answer(r);
}


static void
ngx_http_rf_kv_resume(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, ngx_http_rf_kv_answer(r));
}


static ngx_int_t
ngx_http_rf_kv_answer(ngx_http_request_t *r)
{
    ngx_rf_op_t        *op;
    ngx_http_rf_kv_t   *kv;
    ngx_http_rf_ctx_t  *ctx;

    ctx = ngx_http_rf_request_ctx(r);
    kv = ctx->content;
    op = &kv->op;

    if (op->rc == NGX_ERROR) {
        return ngx_http_rf_request_failure(r, op);
    }

    switch (op->argv[0].data[0]) {

    case 'G':
        return ngx_http_rf_kv_answer_get(r, op);

    case 'D':
        return (op->rc == NGX_OK && op->reply->integer) ? NGX_HTTP_NO_CONTENT
                                                        : NGX_HTTP_NOT_FOUND;

    default: /* SET */
        return (op->rc == NGX_OK) ? NGX_HTTP_NO_CONTENT
                                  : NGX_HTTP_PRECONDITION_FAILED;
    }
}


static ngx_int_t
ngx_http_rf_kv_answer_get(ngx_http_request_t *r, ngx_rf_op_t *op)
{
    ngx_http_core_loc_conf_t  *clcf;

    if (op->rc == NGX_DECLINED) {

        if (op->result == NGX_RF_RESULT_UNKNOWN) {
            return ngx_http_rf_request_unknown(r);
        }

        return NGX_HTTP_NOT_FOUND;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return ngx_http_rf_request_send_reply(r, &clcf->default_type, op);
}


static ngx_int_t
ngx_http_rf_kv_not_allowed(ngx_http_request_t *r)
{
    static ngx_str_t  methods = ngx_string("GET, HEAD, PUT, POST, DELETE");

    if (ngx_http_rf_request_header(r, "Allow", &methods) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NOT_ALLOWED;
}
