/*
 * A non-blocking stream socket on its way to an address, as an nginx
 * connection.  What ngx_event_connect_peer() does, except that it logs each
 * refusal at [error] by itself, and an outage is to be one line.
 */

#ifndef _NGX_RF_SOCKET_H_INCLUDED_
#define _NGX_RF_SOCKET_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_resolve.h"


typedef struct {
    const char           *text;         /* static */
    ngx_err_t             err;
} ngx_rf_socket_error_t;


/*
 * NGX_OK: connected; NGX_AGAIN: "handler" will be called as the handler of both
 * events, and asks ngx_rf_socket_test(); *cp is the caller's to close.
 * NGX_ERROR: *e says why, there is no connection.
 */
ngx_int_t ngx_rf_socket_connect(ngx_rf_addr_t *addr,
    ngx_event_handler_pt handler, ngx_log_t *log, ngx_connection_t **cp,
    ngx_rf_socket_error_t *e);

/* 0, or why the connect failed */
ngx_err_t ngx_rf_socket_test(ngx_connection_t *c);


#endif /* _NGX_RF_SOCKET_H_INCLUDED_ */
