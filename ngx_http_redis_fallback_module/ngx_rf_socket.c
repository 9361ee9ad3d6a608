/*
 * A socket on its way to an address, see ngx_rf_socket.h.
 */

#include "ngx_rf_socket.h"


static ngx_connection_t *ngx_rf_socket_open(int family, ngx_log_t *log,
    ngx_rf_socket_error_t *e);
static void ngx_rf_socket_options(ngx_connection_t *c, int family);
static ngx_int_t ngx_rf_socket_watch(ngx_connection_t *c, ngx_int_t rc);


ngx_int_t
ngx_rf_socket_connect(ngx_rf_addr_t *addr, ngx_event_handler_pt handler,
    ngx_log_t *log, ngx_connection_t **cp, ngx_rf_socket_error_t *e)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    *cp = NULL;

    c = ngx_rf_socket_open(addr->sockaddr.sockaddr.sa_family, log, e);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->read->handler = handler;
    c->write->handler = handler;

    ngx_rf_socket_options(c, addr->sockaddr.sockaddr.sa_family);

    e->err = 0;
    e->text = "could not watch the socket";

    if (ngx_add_conn && ngx_add_conn(c) == NGX_ERROR) {
        goto failed;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, log, 0, "redis connect fd:%d #%uA",
                   c->fd, c->number);

    rc = NGX_OK;

    if (connect(c->fd, &addr->sockaddr.sockaddr, addr->socklen) == -1) {

        if (ngx_socket_errno != NGX_EINPROGRESS) {
            e->err = ngx_socket_errno;
            e->text = "connect() failed";
            goto failed;
        }

        rc = NGX_AGAIN;
    }

    if (ngx_rf_socket_watch(c, rc) != NGX_OK) {
        goto failed;
    }

    *cp = c;

    return rc;

failed:

    ngx_close_connection(c);

    return NGX_ERROR;
}


ngx_err_t
ngx_rf_socket_test(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    /* BSDs and Linux return 0 and set the error; Solaris returns -1 */

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    return err;
}


static ngx_connection_t *
ngx_rf_socket_open(int family, ngx_log_t *log, ngx_rf_socket_error_t *e)
{
    ngx_socket_t       s;
    ngx_connection_t  *c;

    s = ngx_socket(family, SOCK_STREAM, 0);

    if (s == (ngx_socket_t) -1) {
        e->err = ngx_socket_errno;
        e->text = ngx_socket_n " failed";
        return NULL;
    }

    if (ngx_nonblocking(s) == -1) {
        e->err = ngx_socket_errno;
        e->text = ngx_nonblocking_n " failed";
        goto failed;
    }

    c = ngx_get_connection(s, log);

    if (c == NULL) {
        e->err = 0;
        e->text = "no worker connection is left";
        goto failed;
    }

    c->type = SOCK_STREAM;
    c->recv = ngx_recv;
    c->send = ngx_send;
    c->log_error = NGX_ERROR_INFO;
    c->start_time = ngx_current_msec;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    c->read->log = log;
    c->write->log = log;

    return c;

failed:

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    return NULL;
}


/* not having these is no reason to be without Redis */

static void
ngx_rf_socket_options(ngx_connection_t *c, int family)
{
    int  value;

    if (family == AF_UNIX) {
        c->tcp_nopush = NGX_TCP_NOPUSH_DISABLED;
        c->tcp_nodelay = NGX_TCP_NODELAY_DISABLED;
        return;
    }

    (void) ngx_tcp_nodelay(c);

    value = 1;

    if (setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, (const void *) &value,
                   sizeof(int))
        == -1)
    {
        ngx_log_error(NGX_LOG_ALERT, c->log, ngx_socket_errno,
                      "setsockopt(SO_KEEPALIVE) failed, ignored");
    }
}


static ngx_int_t
ngx_rf_socket_watch(ngx_connection_t *c, ngx_int_t rc)
{
    ngx_int_t  event;

    if (rc == NGX_OK) {
        c->write->ready = 1;
    }

    if (ngx_add_conn) {
        return NGX_OK;
    }

    event = (ngx_event_flags & NGX_USE_CLEAR_EVENT) ? NGX_CLEAR_EVENT
                                                    : NGX_LEVEL_EVENT;

    if (ngx_add_event(c->read, NGX_READ_EVENT, event) != NGX_OK) {
        return NGX_ERROR;
    }

    if (rc == NGX_AGAIN
        && ngx_add_event(c->write, NGX_WRITE_EVENT, event) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
