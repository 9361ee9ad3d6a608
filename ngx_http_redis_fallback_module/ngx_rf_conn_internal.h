/*
 * Between the files of the connection.
 */

#ifndef _NGX_RF_CONN_INTERNAL_H_INCLUDED_
#define _NGX_RF_CONN_INTERNAL_H_INCLUDED_


#include "ngx_rf_conn.h"
#include "ngx_rf_resp.h"


#define NGX_RF_CONN_UNWATCHED   "could not watch the socket"


typedef void (*ngx_rf_conn_reply_pt)(ngx_rf_conn_t *conn,
    ngx_rf_reply_t *reply);

struct ngx_rf_conn_s {
    /* ngx_event_ident() of a debug log wants an fd here */
    void                 *dummy[3];
    ngx_socket_t          fd;

    ngx_rf_conn_peer_t   *peer;
    ngx_connection_t     *c;

    ngx_rf_addr_t         addrs[NGX_RF_RESOLVE_MAX];
    ngx_uint_t            naddrs;
    ngx_uint_t            ntried;

    ngx_rf_handshake_t   *handshake;
    ngx_rf_resp_reader_t *reader;
    ngx_rf_conn_reply_pt  reply;

    ngx_event_t           timer;        /* connect_timeout, then the head's */
    ngx_event_t           flush;        /* posted: the turn's last write, or
                                           that of the next turn */

    ngx_rf_pipeline_t     pipeline;
    ngx_uint_t            ncalls;       /* that were queued in this turn */
    ngx_uint_t            nheld;        /* and in those before it whose write
                                           is still to come */
    ngx_msec_t            held;         /* since when there are any */
    size_t                received;     /* bytes, since the call "counted" was
                                           the head */
    ngx_uint_t            counted;
    size_t                size;         /* of a call's replies, the average of
                                           those before "counted" */

    ngx_rf_conn_end_t     failure;      /* why and text, when it is known */

    ngx_uint_t            busy;
    unsigned              ready:1;
    unsigned              answered:1;
    unsigned              late:1;       /* the timer is the last */
    unsigned              closed:1;
};


/* around whatever may call a handler: the memory stays until the last leave()
 */
void ngx_rf_conn_enter(ngx_rf_conn_t *conn);
void ngx_rf_conn_leave(ngx_rf_conn_t *conn);

/* all that has come, replies' handlers included; it may be closed then */
void ngx_rf_conn_read(ngx_rf_conn_t *conn);
/* closes it: it is of no use any more, "text" says why, for the log; "err" is
 * an errno that belongs to that, or 0 */
void ngx_rf_conn_break(ngx_rf_conn_t *conn, ngx_err_t err, const char *text);


/* ngx_rf_conn_write.c */

/* the socket takes more */
void ngx_rf_conn_write_handler(ngx_event_t *wev);
/* "flush": what a turn brought leaves, or waits for the next turn */
void ngx_rf_conn_flush_handler(ngx_event_t *ev);
/* what there is leaves, as much as the socket takes; it may be closed then */
void ngx_rf_conn_flush(ngx_rf_conn_t *conn);


#endif /* _NGX_RF_CONN_INTERNAL_H_INCLUDED_ */
