/*
 * A request that waits belongs to nobody's timer: the store answers within its
 * budget.  Reading is blocked meanwhile and the write handler is empty, so no
 * event of the client runs a handler twice.
 *
 * In a phase the request is suspended by the return code of its handler and
 * resumed by running the phases again, which calls the same handler.  A content
 * handler holds the request by its count and finalizes it when it resumes.
 *
 * The context is kept by a pool cleanup: an internal redirect clears the
 * module's slot, but not what $redis_fallback_result is to say in the log.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <nginx.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_request.h"


static void ngx_http_rf_request_run(ngx_http_rf_ctx_t *ctx);
static void ngx_http_rf_request_done(ngx_rf_op_t *op);
static void ngx_http_rf_request_remember(ngx_http_rf_ctx_t *ctx);
static ngx_int_t ngx_http_rf_request_suspend(ngx_http_rf_ctx_t *ctx);
static void ngx_http_rf_request_cancel(void *data);
static ngx_int_t ngx_http_rf_request_copy(ngx_http_request_t *r, ngx_buf_t *b,
    u_char *p, size_t size);
static ngx_int_t ngx_http_rf_request_retry_after(ngx_http_request_t *r,
    ngx_uint_t seconds);
static ngx_int_t ngx_http_rf_request_send_header(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, size_t len);
static ngx_int_t ngx_http_rf_request_send_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_rf_request_own(ngx_http_request_t *r,
    ngx_rf_op_t *op);
static void ngx_http_rf_request_sent(ngx_http_request_t *r, ngx_rf_op_t *op);


ngx_http_rf_ctx_t *
ngx_http_rf_request_ctx(ngx_http_request_t *r)
{
    ngx_http_rf_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_get_module_ctx(r, ngx_http_redis_fallback_module);

    if (ctx != NULL || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    /* subrequests share the pool, so there may be several contexts */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_rf_request_cancel) {
            continue;
        }

        ctx = cln->data;

        if (ctx->request == r) {
            ngx_http_set_ctx(r, ctx, ngx_http_redis_fallback_module);
            return ctx;
        }
    }

    return NULL;
}


ngx_http_rf_ctx_t *
ngx_http_rf_request_make(ngx_http_request_t *r)
{
    ngx_http_rf_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_rf_request_ctx(r);

    if (ctx != NULL) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_rf_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_rf_ctx_t));

    ctx->request = r;
    cln->handler = ngx_http_rf_request_cancel;

    ngx_http_set_ctx(r, ctx, ngx_http_redis_fallback_module);

    return ctx;
}


ngx_int_t
ngx_http_rf_request_submit(ngx_http_rf_ctx_t *ctx, ngx_rf_op_t *ops,
    ngx_uint_t n, ngx_http_rf_resume_pt resume)
{
    ngx_uint_t  i;

    /* all keys are looked for at once, before the first command is executed */

    for (i = 0; n > 1 && i < n; i++) {

        if (ops[i].argc > 1 && ops[i].nparts == 0) {
            ngx_rf_store_expect(ops[i].store, &ops[i].argv[1], &ops[i]);
        }
    }

    ctx->ops = ops;
    ctx->nops = n;
    ctx->next = 0;
    ctx->order = 0;
    ctx->deadline = 0;
    ctx->resume = resume;

    /* one more than there are, so that none of them is the last before all
     * of them are submitted */
    ctx->left = n + 1;

    ngx_http_rf_request_run(ctx);

    if (--ctx->left == 0) {
        ngx_http_rf_request_remember(ctx);
        return NGX_OK;
    }

    return ngx_http_rf_request_suspend(ctx);
}


/* commands that Redis was asked to execute are executed in order: the first
 * one's connection is that of all, which they leave on together; those behind
 * one that waits for something else are held back, or they would overtake it */

static void
ngx_http_rf_request_run(ngx_http_rf_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_rf_op_t         *op;
    ngx_http_request_t  *r;

    r = ctx->request;

    while (ctx->next < ctx->nops) {
        op = &ctx->ops[ctx->next++];

        op->pool = r->pool;
        op->log = r->connection->log;
        op->handler = ngx_http_rf_request_done;
        op->data = ctx;
        op->order = ctx->order;
        op->deadline = ctx->deadline;

        rc = ngx_rf_store_submit(op);

        ctx->order = op->order;

        if (rc == NGX_AGAIN) {

            if (ngx_rf_store_waits(op)) {
                break;
            }

            continue;
        }

        op->rc = rc;
        op->handler = NULL;
        ctx->left--;
    }
}


/* the handler of each operation; without one it is answered */

static void
ngx_http_rf_request_done(ngx_rf_op_t *op)
{
    ngx_connection_t    *c;
    ngx_http_rf_ctx_t   *ctx;
    ngx_http_request_t  *r;

    ctx = op->data;
    op->handler = NULL;
    ctx->left--;

    if (op->rc == NGX_ERROR && op->failure != NGX_RF_FAILURE_REPLY) {

        /* those behind it do not wait for the same in vain, each as long */

        ctx->deadline = op->deadline;
    }

    if (op == &ctx->ops[ctx->next - 1]) {
        ngx_http_rf_request_run(ctx);
    }

    if (ctx->left) {
        return;
    }

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, c->log, 0,
                   "redis_fallback resume: \"%V?%V\"", &r->uri, &r->args);

    ngx_http_rf_request_remember(ctx);

    ctx->resume(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_rf_request_remember(ngx_http_rf_ctx_t *ctx)
{
    ngx_rf_op_t  *op;

    op = &ctx->ops[ctx->nops - 1];

    if (op->lent) {
        ctx->lender = op;
    }

    ctx->mode = op->mode;
    ctx->tier = op->tier;
    ctx->result = op->result;
    ctx->answered = 1;
}


static ngx_int_t
ngx_http_rf_request_suspend(ngx_http_rf_ctx_t *ctx)
{
    ngx_http_cleanup_t  *cln;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!ctx->guarded) {

        /* earlier than the pool's: a request that is terminated lives on for
         * a moment, but must not be resumed */

        cln = ngx_http_cleanup_add(r, 0);
        if (cln == NULL) {
            ngx_http_rf_request_cancel(ctx);
            return NGX_ERROR;
        }

        cln->handler = ngx_http_rf_request_cancel;
        cln->data = ctx;
        ctx->guarded = 1;
    }

    /* the rest of an unwanted body goes on being discarded */

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_block_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "redis_fallback waits for %ui", ctx->left);

    return NGX_AGAIN;
}


static void
ngx_http_rf_request_cancel(void *data)
{
    ngx_http_rf_ctx_t  *ctx = data;

    ngx_uint_t  i;

    if (ctx->lender) {
        ngx_rf_store_returned(ctx->lender);
        ctx->lender = NULL;
    }

    if (ctx->left == 0) {
        return;
    }

    ctx->left = 0;

    for (i = 0; i < ctx->nops; i++) {

        if (ctx->ops[i].handler != NULL) {
            ctx->ops[i].handler = NULL;
            ngx_rf_store_cancel(&ctx->ops[i]);
        }
    }
}


void
ngx_http_rf_request_phases(ngx_http_request_t *r)
{
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


ngx_int_t
ngx_http_rf_request_failure(ngx_http_request_t *r, ngx_rf_op_t *op)
{
    ngx_int_t  status;

    switch (op->failure) {

    case NGX_RF_FAILURE_REFUSED:
        return ngx_http_rf_request_retry_after(r, op->retry_after);

    case NGX_RF_FAILURE_REDIS_ONLY:
        status = ngx_http_rf_request_retry_after(r, op->retry_after);
        break;

    case NGX_RF_FAILURE_UNCERTAIN:
        status = NGX_HTTP_BAD_GATEWAY;
        break;

    case NGX_RF_FAILURE_NO_ROOM:
        status = NGX_HTTP_INSUFFICIENT_STORAGE;
        break;

    case NGX_RF_FAILURE_REPLY:

        if (op->reply->str.len >= sizeof("WRONGTYPE") - 1
            && ngx_strncmp(op->reply->str.data, "WRONGTYPE",
                           sizeof("WRONGTYPE") - 1)
               == 0)
        {
            return NGX_HTTP_CONFLICT;
        }

        status = NGX_HTTP_BAD_GATEWAY;
        break;

    default:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (op->reply) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "redis_fallback command \"%V\" failed: %V",
                      &op->argv[0], &op->reply->str);
    }

    return status;
}


static ngx_int_t
ngx_http_rf_request_retry_after(ngx_http_request_t *r, ngx_uint_t seconds)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%ui", ngx_max(seconds, 1))
                - value.data;

    if (ngx_http_rf_request_header(r, "Retry-After", &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_SERVICE_UNAVAILABLE;
}


ngx_int_t
ngx_http_rf_request_args(ngx_http_request_t *r, ngx_uint_t argc,
    ngx_http_complex_value_t *values, ngx_str_t **argv)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    s = ngx_palloc(r->pool, argc * sizeof(ngx_str_t));
    if (s == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < argc; i++) {

        if (ngx_http_complex_value(r, &values[i], &s[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    *argv = s;

    return NGX_OK;
}


ngx_int_t
ngx_http_rf_request_body(ngx_http_request_t *r, ngx_str_t *value)
{
    off_t         size, total;
    u_char       *p;
    ngx_chain_t  *cl;

    ngx_str_set(value, "");

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL && ngx_buf_in_memory(cl->buf)) {
        value->data = cl->buf->pos;
        value->len = cl->buf->last - cl->buf->pos;
        return NGX_OK;
    }

    total = 0;

    for ( /* void */ ; cl; cl = cl->next) {
        total += ngx_buf_size(cl->buf);
    }

    if (total == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, (size_t) total);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    value->data = p;
    value->len = (size_t) total;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        size = ngx_buf_size(cl->buf);

        if (ngx_http_rf_request_copy(r, cl->buf, p, (size_t) size) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        p += size;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_rf_request_copy(ngx_http_request_t *r, ngx_buf_t *b, u_char *p,
    size_t size)
{
    off_t    offset;
    ssize_t  n;

    if (ngx_buf_in_memory(b)) {
        ngx_memcpy(p, b->pos, size);
        return NGX_OK;
    }

    offset = b->file_pos;

    while (size) {
        n = ngx_read_file(b->file, p, size, offset);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n == 0) {
            ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                          "request body file \"%V\" is shorter than the "
                          "request body", &b->file->name);
            return NGX_ERROR;
        }

        p += n;
        offset += n;
        size -= n;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_rf_request_unknown(ngx_http_request_t *r)
{
    ngx_str_t                empty;
    ngx_http_rf_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    if (conf->unknown >= NGX_HTTP_SPECIAL_RESPONSE
        || conf->unknown == NGX_HTTP_CREATED
        || conf->unknown == NGX_HTTP_NO_CONTENT)
    {
        return conf->unknown;
    }

    /* nginx has no special response for a success */

    ngx_str_null(&empty);

    return ngx_http_rf_request_send(r, conf->unknown, &empty, &empty);
}


ngx_int_t
ngx_http_rf_request_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_rf_request_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body)
{
    ngx_int_t  rc;

    rc = ngx_http_rf_request_send_header(r, status, type, body->len);

    return (rc == NGX_AGAIN) ? ngx_http_rf_request_send_body(r, body) : rc;
}


/* NGX_AGAIN: the body is to follow */

static ngx_int_t
ngx_http_rf_request_send_header(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, size_t len)
{
    ngx_int_t  rc;

    r->headers_out.status = status;
    r->headers_out.content_length_n = len;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    return r->header_only ? NGX_OK : NGX_AGAIN;
}


static ngx_int_t
ngx_http_rf_request_send_body(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    /* an empty body of a subrequest: not a buffer to be sent */
    b->sync = (b->last_buf || b->memory) ? 0 : 1;

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_output_filter(r, &out);

    /* what the client has not taken yet is r->buffered, and nginx sends it;
     * NGX_AGAIN is for an operation that is suspended */

    return (rc == NGX_AGAIN) ? NGX_OK : rc;
}


/*
 * Neither TLS nor HTTP/2: they keep addresses of what they are given.  In a
 * process that is master and worker in one, a reload may unmap the zone.  One
 * for each request, which may have answered before, and then be redirected.
 */

ngx_uint_t
ngx_http_rf_request_lends(ngx_http_rf_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    return (ctx->lender == NULL || !ctx->lender->lent)
           && r == r->main
           && r->method == NGX_HTTP_GET
           && r->http_version <= NGX_HTTP_VERSION_11
#if (NGX_SSL || NGX_COMPAT)
           && r->connection->ssl == NULL
#endif
           && ngx_process == NGX_PROCESS_WORKER;
}


ngx_int_t
ngx_http_rf_request_send_reply(ngx_http_request_t *r, ngx_str_t *type,
    ngx_rf_op_t *op)
{
    ngx_int_t   rc;
    ngx_str_t  *body;

    body = &op->reply->str;

    rc = ngx_http_rf_request_send_header(r, NGX_HTTP_OK, type, body->len);

    /* filters that look at the text may keep some of it */

    if (rc == NGX_AGAIN && op->lent
        && (r->filter_need_in_memory || r->main_filter_need_in_memory
            || r->filter_need_temporary)
        && ngx_http_rf_request_own(r, op) != NGX_OK)
    {
        rc = NGX_ERROR;
    }

    if (rc != NGX_AGAIN) {
        ngx_rf_store_returned(op);
        return rc;
    }

    rc = ngx_http_rf_request_send_body(r, body);

    if (op->lent && rc == NGX_OK) {
        ngx_http_rf_request_sent(r, op);
    }

    return rc;
}


/* a copy of the text instead */

static ngx_int_t
ngx_http_rf_request_own(ngx_http_request_t *r, ngx_rf_op_t *op)
{
    ngx_str_t  text;

    text.len = op->reply->str.len;
    text.data = ngx_pnalloc(r->pool, text.len);

    if (text.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text.data, op->reply->str.data, text.len);

    ngx_rf_store_returned(op);
    op->reply->str = text;

    return NGX_OK;
}


/* What waits for the client is copied.  Where it waits elsewhere it remains
 * lent until the request ends: no other response is sent without a copy by this
 * process until then. */

static void
ngx_http_rf_request_sent(ngx_http_request_t *r, ngx_rf_op_t *op)
{
    u_char       *p;
    size_t        size;
    ngx_buf_t    *b;
    ngx_str_t    *text;
    ngx_chain_t  *cl;

    if (r->buffered || r->postponed
        || (r->connection->buffered & ~NGX_HTTP_WRITE_BUFFERED))
    {
        return;
    }

    text = &op->reply->str;

    for (cl = r->out; cl; cl = cl->next) {
        b = cl->buf;

        if (!ngx_buf_in_memory(b)
            || b->pos < text->data || b->pos >= text->data + text->len)
        {
            continue;
        }

        size = b->last - b->pos;
        p = ngx_pnalloc(r->pool, size);

        if (p == NULL) {
            return;
        }

        b->pos = ngx_cpymem(p, b->pos, size) - size;
        b->last = p + size;
    }

    ngx_rf_store_returned(op);
}
