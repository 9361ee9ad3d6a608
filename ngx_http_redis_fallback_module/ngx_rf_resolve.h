/*
 * A host name to addresses, by getaddrinfo() in a thread of a pool: what the
 * machine says (files, DNS, whatever nsswitch.conf names), without blocking.
 *
 * Guarantees: one lookup at a time, however often it is started and cancelled
 * while the name service hangs; the handler fires at most once per start, and
 * never from inside it.
 *
 * Refuses to know: who connects, and which address is best.
 */

#ifndef _NGX_RF_RESOLVE_H_INCLUDED_
#define _NGX_RF_RESOLVE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* most addresses of a name that are looked at */
#define NGX_RF_RESOLVE_MAX      16

typedef struct {
    ngx_sockaddr_t        sockaddr;
    socklen_t             socklen;
} ngx_rf_addr_t;

typedef struct ngx_rf_resolve_s  ngx_rf_resolve_t;

/* n is 0 when the name could not be resolved: "failed" says why, statically;
 * "addrs" are gone when the handler returns */
typedef void (*ngx_rf_resolve_pt)(void *data, ngx_uint_t n,
    ngx_rf_addr_t *addrs, const char *failed);


/* "tp" is an ngx_thread_pool_t; NULL: no memory, or an nginx without threads.
 * "host" is copied */
ngx_rf_resolve_t *ngx_rf_resolve_create(ngx_str_t *host, in_port_t port,
    void *tp, ngx_log_t *log);
/* cancels; a lookup that is under way ends by itself and touches nothing */
void ngx_rf_resolve_destroy(ngx_rf_resolve_t *r);

/* NGX_AGAIN: the handler will be called; NGX_ERROR: it will not, no memory
 * or the pool's queue is full */
ngx_int_t ngx_rf_resolve_start(ngx_rf_resolve_t *r, ngx_rf_resolve_pt handler,
    void *data);
void ngx_rf_resolve_cancel(ngx_rf_resolve_t *r);


#endif /* _NGX_RF_RESOLVE_H_INCLUDED_ */
