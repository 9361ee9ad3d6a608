/*
 * What a request is answered.  Results are measured first and written then,
 * into one buffer.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf_api_internal.h"
#include "ngx_http_rf_json.h"
#include "ngx_http_rf_request.h"


static ngx_int_t ngx_http_rf_api_answer_array(ngx_http_request_t *r,
    ngx_http_rf_api_t *api);
static ngx_int_t ngx_http_rf_api_failure(ngx_http_request_t *r,
    ngx_rf_op_t *op);
static ngx_int_t ngx_http_rf_api_aborted(ngx_http_request_t *r,
    ngx_http_rf_api_t *api);
static void ngx_http_rf_api_collect(ngx_http_rf_api_t *api);
static size_t ngx_http_rf_api_array(u_char *dst, ngx_http_rf_api_t *api);
static size_t ngx_http_rf_api_element(u_char *dst, ngx_rf_reply_t *reply,
    ngx_uint_t base64);
static size_t ngx_http_rf_api_put(u_char *dst, size_t at, const char *text);
static ngx_int_t ngx_http_rf_api_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *body);


static ngx_rf_reply_t  ngx_http_rf_api_no_memory = {
    NGX_RF_REPLY_ERROR, 0, ngx_string("ERR out of memory"), 0, NULL
};


ngx_int_t
ngx_http_rf_api_answer(ngx_http_request_t *r, ngx_http_rf_api_t *api)
{
    ngx_str_t        body;
    ngx_rf_op_t     *op;
    ngx_rf_reply_t  *reply;

    op = api->ops;

    if (api->kind == NGX_HTTP_RF_API_BATCH) {
        return ngx_http_rf_api_answer_array(r, api);
    }

    if (api->nops == 0) {
        return ngx_http_rf_api_aborted(r, api);
    }

    if (op->rc == NGX_ERROR) {
        return ngx_http_rf_api_failure(r, op);
    }

    if (api->kind == NGX_HTTP_RF_API_TRANSACTION) {
        return ngx_http_rf_api_answer_array(r, api);
    }

    reply = op->reply;

    body.len = ngx_http_rf_api_element(NULL, reply, api->base64);

    body.data = ngx_pnalloc(r->pool, body.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_http_rf_api_element(body.data, reply, api->base64);

    return ngx_http_rf_api_send(r, NGX_HTTP_OK, &body);
}


static ngx_int_t
ngx_http_rf_api_answer_array(ngx_http_request_t *r, ngx_http_rf_api_t *api)
{
    ngx_str_t  body;

    ngx_http_rf_api_collect(api);

    body.len = ngx_http_rf_api_array(NULL, api);

    body.data = ngx_pnalloc(r->pool, body.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_http_rf_api_array(body.data, api);

    return ngx_http_rf_api_send(r, NGX_HTTP_OK, &body);
}


static ngx_int_t
ngx_http_rf_api_failure(ngx_http_request_t *r, ngx_rf_op_t *op)
{
    ngx_int_t        status;
    ngx_rf_reply_t  *reply;

    status = (op->failure == NGX_RF_FAILURE_REPLY)
             ? NGX_HTTP_BAD_REQUEST : ngx_http_rf_request_failure(r, op);

    reply = op->reply ? op->reply : &ngx_http_rf_api_no_memory;

    return ngx_http_rf_api_error(r, status, &reply->str);
}


/* a command may not run: nor then may the others of its transaction */

static ngx_int_t
ngx_http_rf_api_aborted(ngx_http_request_t *r, ngx_http_rf_api_t *api)
{
    u_char      *p;
    ngx_str_t    text, *cause;
    ngx_uint_t   i;

    for (i = 0; api->replies[i] == NULL; i++) { /* void */ }

    cause = &api->replies[i]->str;

    if (api->kind == NGX_HTTP_RF_API_SINGLE) {
        return ngx_http_rf_api_error(r, NGX_HTTP_BAD_REQUEST, cause);
    }

    p = ngx_pnalloc(r->pool,
                    sizeof("EXECABORT Transaction discarded because of: ")
                    + cause->len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    text.data = p;
    text.len = ngx_sprintf(p, "EXECABORT Transaction discarded because of: %V",
                           cause)
               - p;

    return ngx_http_rf_api_error(r, NGX_HTTP_BAD_REQUEST, &text);
}


/* the reply of each command, in their order */

static void
ngx_http_rf_api_collect(ngx_http_rf_api_t *api)
{
    ngx_uint_t       i;
    ngx_rf_op_t     *op;

    op = api->ops;

    for (i = 0; i < api->ncommands; i++) {

        if (api->kind == NGX_HTTP_RF_API_TRANSACTION) {
            api->replies[i] = &op->reply->elts[i];

        } else if (api->replies[i] == NULL) {
            api->replies[i] = op->reply ? op->reply
                                        : &ngx_http_rf_api_no_memory;
            op++;
        }
    }
}


static size_t
ngx_http_rf_api_array(u_char *dst, ngx_http_rf_api_t *api)
{
    size_t      n;
    ngx_uint_t  i;

    n = ngx_http_rf_api_put(dst, 0, "[");

    for (i = 0; i < api->ncommands; i++) {

        if (i) {
            n += ngx_http_rf_api_put(dst, n, ",");
        }

        n += ngx_http_rf_api_element(dst ? dst + n : NULL, api->replies[i],
                                     api->base64);
    }

    return n + ngx_http_rf_api_put(dst, n, "]");
}


/* an error is never encoded, nor is the status OK */

static size_t
ngx_http_rf_api_element(u_char *dst, ngx_rf_reply_t *reply, ngx_uint_t base64)
{
    size_t  n;

    if (reply->type == NGX_RF_REPLY_ERROR) {
        n = ngx_http_rf_api_put(dst, 0, "{\"error\":");
        n += ngx_http_rf_json_string(dst ? dst + n : NULL, &reply->str);

        return n + ngx_http_rf_api_put(dst, n, "}");
    }

    if (reply->type == NGX_RF_REPLY_STATUS
        && reply->str.len == 2
        && ngx_strncmp(reply->str.data, "OK", 2) == 0)
    {
        base64 = 0;
    }

    n = ngx_http_rf_api_put(dst, 0, "{\"result\":");
    n += ngx_http_rf_json_value(dst ? dst + n : NULL, reply, base64);

    return n + ngx_http_rf_api_put(dst, n, "}");
}


static size_t
ngx_http_rf_api_put(u_char *dst, size_t at, const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    if (dst) {
        ngx_memcpy(dst + at, text, len);
    }

    return len;
}


ngx_int_t
ngx_http_rf_api_error(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *text)
{
    ngx_str_t       body;
    ngx_rf_reply_t  reply;

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));

    reply.type = NGX_RF_REPLY_ERROR;
    reply.str = *text;

    body.len = ngx_http_rf_api_element(NULL, &reply, 0);

    body.data = ngx_pnalloc(r->pool, body.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_http_rf_api_element(body.data, &reply, 0);

    return ngx_http_rf_api_send(r, status, &body);
}


static ngx_int_t
ngx_http_rf_api_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *body)
{
    static ngx_str_t  type = ngx_string("application/json");

    return ngx_http_rf_request_send(r, status, &type, body);
}
