/*
 * RESP2: a command to bytes, bytes to replies through hiredis' redisReader,
 * with limits.  Pure: no I/O.
 */

#ifndef _NGX_RF_RESP_H_INCLUDED_
#define _NGX_RF_RESP_H_INCLUDED_


#include "ngx_rf.h"
#include <hiredis/read.h>


/* the longest command or reply taken, bytes: Redis' proto-max-bulk-len */
#define NGX_RF_RESP_MAX         (512 * 1024 * 1024)


/* bytes that the command takes in RESP, and writing it; returns the end */
size_t ngx_rf_resp_size(ngx_uint_t argc, ngx_str_t *argv);
u_char *ngx_rf_resp_write(u_char *p, ngx_uint_t argc, ngx_str_t *argv);

/*
 * A reader whose replies are ngx_rf_reply_t in the pool named by the target.
 * next(): NGX_OK a whole reply was parsed into *reply, allocated in *pool
 * (pool NULL: parsed and dropped); NGX_AGAIN more bytes are needed; NGX_ERROR
 * protocol error or no memory, *err says which.  The pool must be given before
 * the first byte of its reply is parsed and stay until the reply is whole.
 * What is fed is not copied at once: the bytes have to stay until next() says
 * NGX_AGAIN, or until more is fed.  If
 * its owner goes away in mid-reply, ngx_rf_resp_cut() makes the rest of that
 * reply be dropped.
 */
typedef struct ngx_rf_resp_reader_s  ngx_rf_resp_reader_t;

ngx_rf_resp_reader_t *ngx_rf_resp_reader_create(void);
void ngx_rf_resp_reader_destroy(ngx_rf_resp_reader_t *r);
ngx_int_t ngx_rf_resp_feed(ngx_rf_resp_reader_t *r, u_char *data, size_t len);
ngx_int_t ngx_rf_resp_next(ngx_rf_resp_reader_t *r, ngx_pool_t *pool,
    ngx_rf_reply_t **reply, const char **err);
void ngx_rf_resp_cut(ngx_rf_resp_reader_t *r);

/* a copy of a reply in another pool; NULL: no memory */
ngx_rf_reply_t *ngx_rf_resp_copy(ngx_pool_t *pool, ngx_rf_reply_t *reply);

/*
 * Whether an error reply says that this Redis cannot serve now (LOADING,
 * READONLY, MASTERDOWN, NOAUTH, WRONGPASS, OOM, MISCONF, NOREPLICAS,
 * CLUSTERDOWN, "ERR max number of clients reached"): an outage, not an answer.
 */
ngx_uint_t ngx_rf_resp_outage(ngx_rf_reply_t *reply);


#endif /* _NGX_RF_RESP_H_INCLUDED_ */
