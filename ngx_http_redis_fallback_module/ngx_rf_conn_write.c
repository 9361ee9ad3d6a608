/*
 * When the commands of a connection leave: those of a turn of the event loop in
 * one write at its end, or with those of the next turns.
 */

#include "ngx_rf_conn.h"
#include "ngx_rf_conn_internal.h"


/* with more calls in flight than a few those of a turn wait for the next ones,
 * see ngx_rf_conn_hold().  Measured, docs/performance.md: with 8 clients that
 * takes time, with 16 it saves some; 32 in a write cost Redis less than 16,
 * but with replies of 4 KB no less, and clients wait longer */
#define NGX_RF_CONN_FEW         8       /* calls in flight */
#define NGX_RF_CONN_GROUP       32      /* calls that wait for no more */
#define NGX_RF_CONN_GROUP_BYTES 65536   /* nor do so many bytes, of theirs or
                                           of the replies that they may have */
#define NGX_RF_CONN_GROUP_TIME  2       /* nor for longer than that, ms */


static ngx_uint_t ngx_rf_conn_hold(ngx_rf_conn_t *conn);


void
ngx_rf_conn_write_handler(ngx_event_t *wev)
{
    ngx_rf_conn_t     *conn;
    ngx_connection_t  *c;

    c = wev->data;
    conn = c->data;

    if (conn->flush.posted) {
        /* epoll says with all that comes that the socket takes more, too */
        return;
    }

    ngx_rf_conn_enter(conn);
    ngx_rf_conn_flush(conn);
    ngx_rf_conn_leave(conn);
}


void
ngx_rf_conn_flush_handler(ngx_event_t *ev)
{
    ngx_rf_conn_t *conn = ev->data;

    if (ngx_rf_conn_hold(conn)) {
        /* the next turn begins with a look at the sockets, without sleep */
        ngx_post_event(ev, &ngx_posted_next_events);
        return;
    }

    ngx_rf_conn_enter(conn);
    ngx_rf_conn_flush(conn);
    ngx_rf_conn_leave(conn);
}


/* whether the write of this turn waits for what the next one brings: while the
 * loop has something to do */

static ngx_uint_t
ngx_rf_conn_hold(ngx_rf_conn_t *conn)
{
    ngx_uint_t          n, answered;
    ngx_rf_pipeline_t  *p;

    p = &conn->pipeline;
    n = conn->ncalls;
    conn->ncalls = 0;

    if (conn->nheld == 0) {
        conn->held = ngx_current_msec;
    }

    conn->nheld += n;

    answered = p->head - conn->counted;

    if (answered >= NGX_RF_CONN_FEW) {
        conn->size = conn->received / answered;
        conn->received = 0;
        conn->counted = p->head;
    }

    return n != 0
           && ngx_rf_conn_inflight(conn) > NGX_RF_CONN_FEW
           && conn->nheld < NGX_RF_CONN_GROUP
           && conn->size < NGX_RF_CONN_GROUP_BYTES / conn->nheld
           && p->last - p->pos < NGX_RF_CONN_GROUP_BYTES
           && ngx_current_msec - conn->held < NGX_RF_CONN_GROUP_TIME;
}


/* as much as the socket takes */

void
ngx_rf_conn_flush(ngx_rf_conn_t *conn)
{
    ssize_t             n;
    ngx_err_t           err;
    ngx_connection_t   *c;
    ngx_rf_pipeline_t  *p;

    c = conn->c;
    p = &conn->pipeline;

    conn->ncalls = 0;
    conn->nheld = 0;

    while (p->pos < p->last && c->write->ready) {
        n = c->send(c, p->pos, p->last - p->pos);

        if (n == NGX_ERROR) {
            err = ngx_socket_errno;

            /* what Redis said before it closed matters more */

            ngx_rf_conn_read(conn);

            if (!conn->closed) {
                ngx_rf_conn_break(conn, err, "send() failed");
            }

            return;
        }

        if (n <= 0) {
            break;
        }

        ngx_rf_pipeline_sent(p, n);
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        ngx_rf_conn_break(conn, 0, NGX_RF_CONN_UNWATCHED);
    }
}
