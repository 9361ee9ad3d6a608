/*
 * A request is refused as early as possible: by its method, its token, its
 * path, before the body is read; by the rules before anything is submitted.
 * The commands of a pipeline that are refused have their error as an answer,
 * the others are submitted together.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <openssl/crypto.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_api.h"
#include "ngx_http_rf_api_internal.h"
#include "ngx_http_rf_request.h"
#include "ngx_rf_command.h"
#include "ngx_rf_command_rules.h"


static ngx_int_t ngx_http_rf_api_not_allowed(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_api_unauthorized(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_api_refuse(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *text);
static ngx_int_t ngx_http_rf_api_authorize(ngx_http_request_t *r,
    ngx_http_rf_loc_conf_t *conf, ngx_http_rf_api_t *api);
static ngx_int_t ngx_http_rf_api_token(ngx_http_request_t *r,
    ngx_str_t *token);
static ngx_int_t ngx_http_rf_api_token_arg(ngx_http_request_t *r,
    ngx_str_t *token);
static void ngx_http_rf_api_mask(ngx_str_t *s, ngx_str_t *arg);
static ngx_uint_t ngx_http_rf_api_same(ngx_str_t *token, ngx_str_t *given);
static ngx_uint_t ngx_http_rf_api_base64(ngx_http_request_t *r);
static void ngx_http_rf_api_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_api_run(ngx_http_request_t *r);
static ngx_int_t ngx_http_rf_api_prepare(ngx_http_request_t *r,
    ngx_http_rf_api_t *api);
static ngx_int_t ngx_http_rf_api_check(ngx_http_request_t *r,
    ngx_http_rf_api_t *api, ngx_rf_op_part_t *command,
    ngx_rf_reply_t **reply);
static void ngx_http_rf_api_resume(ngx_http_request_t *r);


ngx_int_t
ngx_http_rf_api_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_str_t                err;
    ngx_http_rf_api_t       *api;
    ngx_http_rf_ctx_t       *ctx;
    ngx_http_rf_loc_conf_t  *conf;

    static ngx_str_t  not_found = ngx_string("Not Found");

    if (!(r->method
          & (NGX_HTTP_GET|NGX_HTTP_HEAD|NGX_HTTP_POST|NGX_HTTP_PUT)))
    {
        return ngx_http_rf_api_not_allowed(r);
    }

    ctx = ngx_http_rf_request_make(r);
    api = ngx_pcalloc(r->pool, sizeof(ngx_http_rf_api_t));

    if (ctx == NULL || api == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->content = api;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    rc = ngx_http_rf_api_authorize(r, conf, api);

    if (rc == NGX_DECLINED) {
        return ngx_http_rf_api_unauthorized(r);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    api->base64 = ngx_http_rf_api_base64(r);

    ngx_str_null(&err);

    rc = ngx_http_rf_api_parse_url(r, api, &conf->prefix, &err);

    if (rc == NGX_DECLINED) {
        return err.len ? ngx_http_rf_api_refuse(r, NGX_HTTP_BAD_REQUEST, &err)
                       : ngx_http_rf_api_refuse(r, NGX_HTTP_NOT_FOUND,
                                                &not_found);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_rf_api_body_handler);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static ngx_int_t
ngx_http_rf_api_not_allowed(ngx_http_request_t *r)
{
    static ngx_str_t  methods = ngx_string("GET, HEAD, POST, PUT");
    static ngx_str_t  text = ngx_string("Method Not Allowed");

    if (ngx_http_rf_request_header(r, "Allow", &methods) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_rf_api_refuse(r, NGX_HTTP_NOT_ALLOWED, &text);
}


static ngx_int_t
ngx_http_rf_api_unauthorized(ngx_http_request_t *r)
{
    static ngx_str_t  scheme = ngx_string("Bearer");
    static ngx_str_t  text = ngx_string("Unauthorized");

    if (ngx_http_rf_request_header(r, "WWW-Authenticate", &scheme) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "redis_fallback_api: no token, or a wrong one");

    return ngx_http_rf_api_refuse(r, NGX_HTTP_UNAUTHORIZED, &text);
}


static ngx_int_t
ngx_http_rf_api_refuse(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *text)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_rf_api_error(r, status, text);
}


/* NGX_DECLINED: no */

static ngx_int_t
ngx_http_rf_api_authorize(ngx_http_request_t *r, ngx_http_rf_loc_conf_t *conf,
    ngx_http_rf_api_t *api)
{
    ngx_str_t   token;
    ngx_uint_t  full, read_only;

    if (ngx_http_rf_api_token(r, &token) != NGX_OK) {
        return NGX_ERROR;
    }

    if (conf->token.len == 0 && conf->read_only_token.len == 0) {
        return NGX_OK;
    }

    full = ngx_http_rf_api_same(&conf->token, &token);
    read_only = ngx_http_rf_api_same(&conf->read_only_token, &token);

    if (full) {
        return NGX_OK;
    }

    api->read_only = 1;

    return read_only ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_rf_api_token(ngx_http_request_t *r, ngx_str_t *token)
{
    ngx_int_t         rc;
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    ngx_str_null(token);

    /* that of the query is looked for in any case: it is to be masked */

    rc = ngx_http_rf_api_token_arg(r, token);

    h = r->headers_in.authorization;

    if (rc != NGX_OK || h == NULL) {
        return rc;
    }

    value = h->value;

    if (value.len < sizeof("Bearer ") - 1
        || ngx_strncasecmp(value.data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return NGX_OK;
    }

    value.data += sizeof("Bearer ") - 1;
    value.len -= sizeof("Bearer ") - 1;

    while (value.len && value.data[0] == ' ') {
        value.data++;
        value.len--;
    }

    while (value.len && value.data[value.len - 1] == ' ') {
        value.len--;
    }

    *token = value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_rf_api_token_arg(ngx_http_request_t *r, ngx_str_t *token)
{
    u_char     *p, *dst, *src;
    ngx_str_t   arg, raw;

    if (ngx_http_arg(r, (u_char *) "_token", sizeof("_token") - 1, &arg)
        != NGX_OK)
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 2 * arg.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    /* as it was sent, and decoded */

    raw.data = p;
    raw.len = arg.len;
    ngx_memcpy(raw.data, arg.data, arg.len);

    dst = p + arg.len;
    src = raw.data;
    token->data = dst;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    token->len = dst - token->data;

    ngx_http_rf_api_mask(&r->args, &raw);
    ngx_http_rf_api_mask(&r->unparsed_uri, &raw);
    ngx_http_rf_api_mask(&r->request_line, &raw);

    return NGX_OK;
}


/* overwrites the token: lines of the logs have the request in them */

static void
ngx_http_rf_api_mask(ngx_str_t *s, ngx_str_t *arg)
{
    u_char  *p, *last;
    size_t   len;

    static u_char  name[] = "_token=";

    len = sizeof(name) - 1;

    if (s->len < len + arg->len) {
        return;
    }

    last = s->data + s->len - len - arg->len;

    for (p = s->data; p <= last; p++) {

        if (ngx_strncasecmp(p, name, len) == 0
            && ngx_memcmp(p + len, arg->data, arg->len) == 0)
        {
            ngx_memset(p + len, '*', arg->len);
        }
    }
}


/* the time it takes says nothing but whether the lengths are equal */

static ngx_uint_t
ngx_http_rf_api_same(ngx_str_t *token, ngx_str_t *given)
{
    return token->len != 0
           && token->len == given->len
           && CRYPTO_memcmp(token->data, given->data, given->len) == 0;
}


static ngx_uint_t
ngx_http_rf_api_base64(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  name = ngx_string("upstash-encoding");

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == name.len
                && ngx_strncasecmp(h[i].key.data, name.data, name.len) == 0)
            {
                return h[i].value.len == 6
                       && ngx_strncasecmp(h[i].value.data,
                                          (u_char *) "base64", 6)
                          == 0;
            }
        }
    }

    return 0;
}


static void
ngx_http_rf_api_body_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_rf_api_run(r);

    /* the count that reading the body took holds the request meanwhile */

    if (rc != NGX_AGAIN) {
        ngx_http_finalize_request(r, rc);
    }
}


/* NGX_AGAIN: the request is suspended, else what a content handler returns */

static ngx_int_t
ngx_http_rf_api_run(ngx_http_request_t *r)
{
    ngx_int_t           rc;
    ngx_str_t           body, err;
    ngx_http_rf_api_t  *api;
    ngx_http_rf_ctx_t  *ctx;

    ctx = ngx_http_rf_request_ctx(r);
    api = ctx->content;

    if (ngx_http_rf_request_body(r, &body) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_rf_api_parse(r, api, &body, &err);

    if (rc == NGX_DECLINED) {
        return ngx_http_rf_api_error(r, NGX_HTTP_BAD_REQUEST, &err);
    }

    if (rc != NGX_OK || ngx_http_rf_api_prepare(r, api) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (api->nops) {
        rc = ngx_http_rf_request_submit(ctx, api->ops, api->nops,
                                        ngx_http_rf_api_resume);

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_rf_api_answer(r, api);
}


/* the operations, and the replies that are known before */

static ngx_int_t
ngx_http_rf_api_prepare(ngx_http_request_t *r, ngx_http_rf_api_t *api)
{
    ngx_uint_t               i, refused;
    ngx_rf_op_t             *op;
    ngx_http_rf_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    api->replies = ngx_pcalloc(r->pool,
                               api->ncommands * sizeof(ngx_rf_reply_t *));
    if (api->replies == NULL) {
        return NGX_ERROR;
    }

    refused = 0;

    for (i = 0; i < api->ncommands; i++) {

        if (ngx_http_rf_api_check(r, api, &api->commands[i], &api->replies[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (api->replies[i]) {
            refused++;
        }
    }

    if (api->kind == NGX_HTTP_RF_API_TRANSACTION) {
        api->nops = refused ? 0 : 1;

    } else {
        api->nops = api->ncommands - refused;
    }

    op = ngx_pcalloc(r->pool, (api->nops + 1) * sizeof(ngx_rf_op_t));
    if (op == NULL) {
        return NGX_ERROR;
    }

    api->ops = op;

    for (i = 0; i < api->nops; i++) {
        op[i].store = conf->content_store;
        op[i].outage = conf->outage;
        op[i].lock = conf->lock;
    }

    if (api->kind == NGX_HTTP_RF_API_TRANSACTION) {
        op->nparts = api->ncommands;
        op->parts = api->commands;
        return NGX_OK;
    }

    for (i = 0; i < api->ncommands; i++) {

        if (api->replies[i] == NULL) {
            op->argc = api->commands[i].argc;
            op->argv = api->commands[i].argv;
            op++;
        }
    }

    return NGX_OK;
}


/* *reply is set if the command may not run; what is unknown is the store's to
 * say */

static ngx_int_t
ngx_http_rf_api_check(ngx_http_request_t *r, ngx_http_rf_api_t *api,
    ngx_rf_op_part_t *command, ngx_rf_reply_t **reply)
{
    u_char                  *p;
    size_t                   size;
    ngx_array_t             *rules;
    ngx_rf_reply_t          *error;
    const ngx_rf_command_t  *known;
    ngx_http_rf_loc_conf_t  *conf;

    known = ngx_rf_command_find(&command->argv[0]);

    if (known == NULL) {
        return NGX_OK;
    }

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);
    rules = conf->rules;

    if (ngx_rf_command_allowed(rules ? rules->elts : NULL,
                               rules ? rules->nelts : 0, known,
                               command->argc, command->argv)
        && (!api->read_only
            || (known->flags & (NGX_RF_CMD_READ|NGX_RF_CMD_SERVER))))
    {
        return NGX_OK;
    }

    size = sizeof("NOPERM this user has no permissions to run the '' command")
           + known->name.len;

    error = ngx_pcalloc(r->pool, sizeof(ngx_rf_reply_t) + size);
    if (error == NULL) {
        return NGX_ERROR;
    }

    p = (u_char *) error + sizeof(ngx_rf_reply_t);

    error->type = NGX_RF_REPLY_ERROR;
    error->str.data = p;
    error->str.len = ngx_snprintf(p, size, "NOPERM this user has no "
                                  "permissions to run the '%V' command",
                                  &known->name)
                     - p;

    *reply = error;

    return NGX_OK;
}


static void
ngx_http_rf_api_resume(ngx_http_request_t *r)
{
    ngx_http_rf_ctx_t  *ctx;

    ctx = ngx_http_rf_request_ctx(r);

    ngx_http_finalize_request(r, ngx_http_rf_api_answer(r, ctx->content));
}
