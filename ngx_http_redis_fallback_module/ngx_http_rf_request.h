/*
 * A request and the operations it waits for: suspends it, resumes it, and
 * remembers what the last operation said.
 *
 * Guarantees: a request goes on when all operations that were submitted
 * together are answered, once, and never from inside submit(); when the
 * request ends before that, the operations are cancelled and nothing of theirs
 * touches it any more.  Operations are bounded in time, so a client that goes
 * away does not end the wait.
 *
 * Refuses to know: what the operations do, and what is made of their replies.
 */

#ifndef _NGX_HTTP_RF_REQUEST_H_INCLUDED_
#define _NGX_HTTP_RF_REQUEST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_rf_store.h"


typedef void (*ngx_http_rf_resume_pt)(ngx_http_request_t *r);

typedef struct {
    ngx_http_request_t         *request;

    ngx_rf_op_t                *ops;        /* submitted together */
    ngx_uint_t                  nops;
    ngx_uint_t                  next;       /* to be submitted */
    uint32_t                    order;      /* of all of them */
    ngx_msec_t                  deadline;   /* of those, once one has failed;
                                               0: each has its own */
    ngx_uint_t                  left;       /* of them not answered yet */
    ngx_http_rf_resume_pt       resume;

    void                       *content;    /* of the content handler */
    ngx_uint_t                  set;        /* redis_fallback_set: the first
                                               that is not done */
    ngx_uint_t                  nset;       /* and how many are under way */

    ngx_rf_mode_e               mode;       /* of the last operation */
    ngx_rf_tier_e               tier;
    ngx_rf_result_e             result;

    ngx_rf_op_t                *lender;     /* its reply may have lent */

    unsigned                    answered:1; /* there was an operation */
    unsigned                    server:1;   /* the server's sets are done */
    unsigned                    guarded:1;  /* cancels when r ends */
} ngx_http_rf_ctx_t;


/* the request's context, which outlives internal redirects; NULL: there is
 * none yet, or with make() no memory */
ngx_http_rf_ctx_t *ngx_http_rf_request_ctx(ngx_http_request_t *r);
ngx_http_rf_ctx_t *ngx_http_rf_request_make(ngx_http_request_t *r);

/*
 * Submits n operations, in order; store, argc, argv, outage and lock of each
 * are set, the rest is zeroed; they and their argv stay in the request's pool.
 * NGX_OK: all are answered, see rc of each; NGX_AGAIN: resume() will be called
 * when they are; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_rf_request_submit(ngx_http_rf_ctx_t *ctx, ngx_rf_op_t *ops,
    ngx_uint_t n, ngx_http_rf_resume_pt resume);

/* the arguments of a command of the configuration */
ngx_int_t ngx_http_rf_request_args(ngx_http_request_t *r, ngx_uint_t argc,
    ngx_http_complex_value_t *values, ngx_str_t **argv);

/* the whole body, which was read, in one piece; without a copy where it is one
 * already */
ngx_int_t ngx_http_rf_request_body(ngx_http_request_t *r, ngx_str_t *value);

/* resume() of the phase handlers: runs the phase's handler again */
void ngx_http_rf_request_phases(ngx_http_request_t *r);


/* the http status of an operation with rc NGX_ERROR; sets Retry-After where it
 * belongs, and logs what is not a refusal */
ngx_int_t ngx_http_rf_request_failure(ngx_http_request_t *r, ngx_rf_op_t *op);

/* answers what the location says of a key that nobody knows; returns what a
 * content handler returns */
ngx_int_t ngx_http_rf_request_unknown(ngx_http_request_t *r);

/* a response header; the value stays the caller's and must live as long as r */
ngx_int_t ngx_http_rf_request_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/* sends the response; returns what a content handler returns */
ngx_int_t ngx_http_rf_request_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body);

/* whether the response may be sent out of memory that is lent: op->lend.  It
 * has to be nginx itself that reads it, and all of it at once */
ngx_uint_t ngx_http_rf_request_lends(ngx_http_rf_ctx_t *ctx);
/* the same as send(), of a reply's text, with status 200; what it has lent is
 * returned when it is sent, or copied where the client does not take it all */
ngx_int_t ngx_http_rf_request_send_reply(ngx_http_request_t *r,
    ngx_str_t *type, ngx_rf_op_t *op);


#endif /* _NGX_HTTP_RF_REQUEST_H_INCLUDED_ */
