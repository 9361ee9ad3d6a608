/*
 * A log whose lines end with " while ACTION, store "NAME", peer: ADDRESS".
 *
 * Guarantees: the owner's words stay short, the context is always there.
 * Refuses to know: keys, values and secrets; nobody can hand it one.
 */

#ifndef _NGX_RF_LOG_H_INCLUDED_
#define _NGX_RF_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_log_t             log;          /* log.action: a static string or
                                           NULL, set by the owner */
    ngx_str_t             store;
    ngx_str_t             peer;         /* len 0: no peer */
    u_char                text[NGX_SOCKADDR_STRLEN];
} ngx_rf_log_t;


/* "store" stays the caller's and must outlive the log; so must "parent",
 * whose writers, level and files are used */
void ngx_rf_log_init(ngx_rf_log_t *l, ngx_log_t *parent, ngx_str_t *store);

/* the peer as configured; not copied */
void ngx_rf_log_peer(ngx_rf_log_t *l, ngx_str_t *peer);
/* the peer as an address; copied */
void ngx_rf_log_sockaddr(ngx_rf_log_t *l, struct sockaddr *sockaddr,
    socklen_t socklen);


#endif /* _NGX_RF_LOG_H_INCLUDED_ */
