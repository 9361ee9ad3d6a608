/*
 * What the files of the api's room share.
 */

#ifndef _NGX_HTTP_RF_API_INTERNAL_H_INCLUDED_
#define _NGX_HTTP_RF_API_INTERNAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_rf_store.h"


/* as many as Redis takes in a command; of all commands of a request */
#define NGX_HTTP_RF_API_ARGS        (1024 * 1024)

/* commands of a batch.  A transaction holds the zone's lock meanwhile */
#define NGX_HTTP_RF_API_PIPELINE    10000
#define NGX_HTTP_RF_API_MULTI       1000


typedef enum {
    NGX_HTTP_RF_API_SINGLE = 0,
    NGX_HTTP_RF_API_BATCH,          /* /pipeline */
    NGX_HTTP_RF_API_TRANSACTION     /* /multi-exec */
} ngx_http_rf_api_kind_e;


typedef struct {
    ngx_http_rf_api_kind_e      kind;
    ngx_array_t                *path;       /* ngx_str_t: arguments; NULL: the
                                               body is JSON */
    ngx_uint_t                  ncommands;
    ngx_rf_op_part_t           *commands;

    ngx_uint_t                  nops;
    ngx_rf_op_t                *ops;        /* a transaction is one */
    ngx_rf_reply_t            **replies;    /* of each command; NULL: of the
                                               next of the ops */

    unsigned                    read_only:1;
    unsigned                    base64:1;
} ngx_http_rf_api_t;


/* ngx_http_rf_api_request.c: NGX_OK; NGX_DECLINED: *err says what is wrong;
 * NGX_ERROR: no memory */

/* the URL's part: kind and path; NGX_DECLINED without *err: not found */
ngx_int_t ngx_http_rf_api_parse_url(ngx_http_request_t *r,
    ngx_http_rf_api_t *api, ngx_str_t *prefix, ngx_str_t *err);
/* the commands */
ngx_int_t ngx_http_rf_api_parse(ngx_http_request_t *r, ngx_http_rf_api_t *api,
    ngx_str_t *body, ngx_str_t *err);


/* ngx_http_rf_api_json.c: the commands of a JSON text */

ngx_int_t ngx_http_rf_api_json(ngx_pool_t *pool, ngx_http_rf_api_t *api,
    ngx_str_t *text, ngx_str_t *err);


/* ngx_http_rf_api_reply.c: they return what a content handler returns */

ngx_int_t ngx_http_rf_api_answer(ngx_http_request_t *r,
    ngx_http_rf_api_t *api);
ngx_int_t ngx_http_rf_api_error(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *text);


#endif /* _NGX_HTTP_RF_API_INTERNAL_H_INCLUDED_ */
