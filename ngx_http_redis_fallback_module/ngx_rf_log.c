/*
 * The contextual log, see ngx_rf_log.h.
 */

#include "ngx_rf_log.h"


static u_char *ngx_rf_log_handler(ngx_log_t *log, u_char *buf, size_t len);


void
ngx_rf_log_init(ngx_rf_log_t *l, ngx_log_t *parent, ngx_str_t *store)
{
    l->log = *parent;
    l->log.connection = 0;
    l->log.handler = ngx_rf_log_handler;
    l->log.data = l;
    l->log.action = NULL;

    l->store = *store;
    ngx_str_null(&l->peer);
}


void
ngx_rf_log_peer(ngx_rf_log_t *l, ngx_str_t *peer)
{
    l->peer = *peer;
}


void
ngx_rf_log_sockaddr(ngx_rf_log_t *l, struct sockaddr *sockaddr,
    socklen_t socklen)
{
    l->peer.data = l->text;
    l->peer.len = ngx_sock_ntop(sockaddr, socklen, l->text,
                                NGX_SOCKADDR_STRLEN, 1);
}


static u_char *
ngx_rf_log_handler(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char        *p, *last;
    ngx_rf_log_t  *l;

    l = log->data;
    p = buf;
    last = buf + len;

    if (log->action) {
        p = ngx_slprintf(p, last, " while %s", log->action);
    }

    p = ngx_slprintf(p, last, ", store \"%V\"", &l->store);

    if (l->peer.len) {
        p = ngx_slprintf(p, last, ", peer: %V", &l->peer);
    }

    return p;
}
