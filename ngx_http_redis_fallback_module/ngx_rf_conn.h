/*
 * One connection to one Redis, owned by nginx: resolve, connect, handshake,
 * then a FIFO pipeline of calls.
 *
 * Guarantees: what is sent in one turn of the event loop leaves in one write,
 * while many calls are in flight together with that of the next few turns;
 * replies reach their calls in order; a call whose reply does not come in time
 * ends the connection; there is one way to close, and it hands the calls that
 * were in flight to the owner, exactly once.
 *
 * Refuses to know: retries, budgets, other connections.
 */

#ifndef _NGX_RF_CONN_H_INCLUDED_
#define _NGX_RF_CONN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf.h"
#include "ngx_rf_handshake.h"
#include "ngx_rf_log.h"
#include "ngx_rf_pipeline.h"
#include "ngx_rf_resolve.h"


typedef struct {
    ngx_str_t             store;        /* name, for the log */
    ngx_str_t             address;      /* as configured, for the log */
    ngx_url_t             url;          /* parsed with no_resolve; addrs are
                                           there for addresses and unix: */
    ngx_str_t             user;
    ngx_str_t             password;     /* len 0: no AUTH */
    ngx_uint_t            database;
    ngx_msec_t            connect_timeout;
    ngx_msec_t            timeout;
    ngx_uint_t            max_retries;  /* tries, at least 1 */
    ngx_uint_t            connections;  /* at most, at least 1 */
} ngx_rf_redis_conf_t;


/* how a connection ended */

typedef enum {
    NGX_RF_CONN_IDLE = 0,       /* with nothing in flight: no failure */
    NGX_RF_CONN_BROKEN,
    NGX_RF_CONN_TIMEDOUT        /* a call that was sent got no reply in time */
} ngx_rf_conn_why_e;

typedef struct {
    ngx_rf_conn_why_e     why;
    ngx_str_t             text;         /* for the log; len 0: the owner closed
                                           it */
    ngx_err_t             err;          /* belongs to the text; 0: none */
    ngx_queue_t           calls;        /* were in flight, in order; "sent" is
                                           set where a byte left */
    unsigned              ready:1;      /* the handshake had succeeded */
    unsigned              answered:1;   /* a call had been answered */
    unsigned              inflight:1;   /* calls, cut ones too, had no reply */
} ngx_rf_conn_end_t;


/* what outlives a single connection; filled by the owner, who keeps it for as
 * long as there is a connection */

typedef struct {
    ngx_rf_redis_conf_t  *conf;
    ngx_rf_resolve_t     *resolve;      /* NULL: conf->url.addrs are used */
    ngx_rf_log_t         *log;
    ngx_uint_t            turn;         /* the address to begin with; moves on
                                           when a connection fails */

    /* the handshake succeeded: calls may be sent.  It may close */
    void                (*ready)(void *data, ngx_rf_redis_info_t *info);
    /* the connection is gone, and its memory when this returns */
    void                (*closed)(void *data, ngx_rf_conn_end_t *end);
    /* a reply that may not have been asked for: 1 if it was taken.  NULL: there
     * are none, one is an error.  With push() all replies are in "pool", which
     * lives until closed() */
    ngx_uint_t          (*push)(void *data, ngx_rf_reply_t *reply);
    ngx_pool_t           *pool;
    void                 *data;
} ngx_rf_conn_peer_t;


typedef struct ngx_rf_conn_s  ngx_rf_conn_t;

/* NULL: no memory */
ngx_rf_conn_t *ngx_rf_conn_create(ngx_rf_conn_peer_t *peer);
/* begins; closed() may be called before it returns */
void ngx_rf_conn_start(ngx_rf_conn_t *conn);
/* the owner's wish; closed() is called before it returns */
void ngx_rf_conn_close(ngx_rf_conn_t *conn);

ngx_uint_t ngx_rf_conn_ready(ngx_rf_conn_t *conn);
ngx_uint_t ngx_rf_conn_inflight(ngx_rf_conn_t *conn);

/* queues a call; only when ready.  NGX_OK: its handler will be called or it
 * will be among the calls of closed(); NGX_ERROR: no memory, neither */
ngx_int_t ngx_rf_conn_send(ngx_rf_conn_t *conn, ngx_rf_call_t *call);
/* what has come over a connection with push() is read now, and not only when
 * the event loop says so; also from inside of another one's handlers */
void ngx_rf_conn_poll(ngx_rf_conn_t *conn);
/* a call in flight of which no byte has left */
ngx_uint_t ngx_rf_conn_unsent(ngx_rf_conn_t *conn, ngx_rf_call_t *call);
/* a call in flight whose owner goes away: its reply will be dropped */
void ngx_rf_conn_cut(ngx_rf_conn_t *conn, ngx_rf_call_t *call);


#endif /* _NGX_RF_CONN_H_INCLUDED_ */
