/*
 * One connection to one Redis, see ngx_rf_conn.h.
 *
 * The ladder: start -> resolve -> connect (each address in turn) -> connected
 * -> handshake -> ready; from any rung to finish(), the only close.  The rung
 * is the pair of nginx event handlers plus "reply", the step that takes the
 * next parsed reply.  connect_timeout covers everything up to ready.
 *
 * Handlers of calls may do anything to the client, closing included, so the
 * memory is freed only when no function of this room is left on the stack:
 * "busy" counts them.
 */

#include "ngx_rf_conn.h"
#include "ngx_rf_conn_internal.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_socket.h"


#define NGX_RF_CONN_READ        65536   /* bytes of one recv() */
#define NGX_RF_CONN_READS       16      /* recv()s before others have a turn */


static void ngx_rf_conn_resolved(void *data, ngx_uint_t n,
    ngx_rf_addr_t *addrs, const char *failed);
static void ngx_rf_conn_connect(ngx_rf_conn_t *conn);
static void ngx_rf_conn_shut(ngx_rf_conn_t *conn);
static void ngx_rf_conn_connect_handler(ngx_event_t *ev);
static void ngx_rf_conn_connected(ngx_rf_conn_t *conn);
static void ngx_rf_conn_handshake_reply(ngx_rf_conn_t *conn,
    ngx_rf_reply_t *reply);

static void ngx_rf_conn_read_handler(ngx_event_t *rev);
static void ngx_rf_conn_parse(ngx_rf_conn_t *conn);
static void ngx_rf_conn_call_reply(ngx_rf_conn_t *conn,
    ngx_rf_reply_t *reply);

static void ngx_rf_conn_watch(ngx_rf_conn_t *conn);

static void ngx_rf_conn_timer_handler(ngx_event_t *ev);
static void ngx_rf_conn_failed(ngx_rf_conn_t *conn, ngx_err_t err,
    const char *text);
static void ngx_rf_conn_lost(ngx_rf_conn_t *conn, ngx_err_t err,
    const char *text);
static void ngx_rf_conn_finish(ngx_rf_conn_t *conn, ngx_rf_conn_why_e why);
static void ngx_rf_conn_reset(ngx_rf_conn_t *conn);
static void ngx_rf_conn_free(ngx_rf_conn_t *conn);


static const char  ngx_rf_conn_unasked[] = "redis sent what nobody asked for";
static const char  ngx_rf_conn_timedout[] = "redis timed out";

/* nothing of it is needed once all that was read is parsed, and no handler of a
 * call reads, but by poll(); so one buffer serves all connections, and another
 * one those that are polled */

static u_char  ngx_rf_conn_buffer[NGX_RF_CONN_READ];
static u_char  ngx_rf_conn_polled[NGX_RF_CONN_READ];


ngx_rf_conn_t *
ngx_rf_conn_create(ngx_rf_conn_peer_t *peer)
{
    ngx_log_t      *log;
    ngx_rf_conn_t  *conn;

    log = &peer->log->log;

    conn = ngx_calloc(sizeof(ngx_rf_conn_t), log);
    if (conn == NULL) {
        return NULL;
    }

    conn->fd = (ngx_socket_t) -1;
    conn->peer = peer;
    ngx_rf_pipeline_init(&conn->pipeline, log);

    conn->timer.handler = ngx_rf_conn_timer_handler;
    conn->timer.data = conn;
    conn->timer.log = log;

    /* until it is ready nothing is in flight here, and whoever waits for it
     * has a timer of his own */
    conn->timer.cancelable = 1;

    conn->flush.handler = ngx_rf_conn_flush_handler;
    conn->flush.data = conn;
    conn->flush.log = log;

    return conn;
}


void
ngx_rf_conn_start(ngx_rf_conn_t *conn)
{
    ngx_uint_t            i;
    ngx_url_t            *url;
    ngx_rf_conn_peer_t   *peer;
    ngx_rf_redis_conf_t  *conf;

    peer = conn->peer;
    conf = peer->conf;
    url = &conf->url;

    ngx_rf_conn_enter(conn);

    ngx_rf_log_peer(peer->log, &conf->address);
    ngx_add_timer(&conn->timer, conf->connect_timeout);

    if (peer->resolve) {
        peer->log->log.action = "resolving redis";

        if (ngx_rf_resolve_start(peer->resolve, ngx_rf_conn_resolved, conn)
            != NGX_AGAIN)
        {
            ngx_rf_conn_break(conn, 0, "could not resolve redis");
        }

        goto done;
    }

    for (i = 0; i < url->naddrs && i < NGX_RF_RESOLVE_MAX; i++) {

        if (url->addrs[i].socklen > (socklen_t) sizeof(ngx_sockaddr_t)) {
            continue;
        }

        ngx_memcpy(&conn->addrs[conn->naddrs].sockaddr,
                   url->addrs[i].sockaddr, url->addrs[i].socklen);
        conn->addrs[conn->naddrs].socklen = url->addrs[i].socklen;
        conn->naddrs++;
    }

    ngx_rf_conn_connect(conn);

done:

    ngx_rf_conn_leave(conn);
}


void
ngx_rf_conn_close(ngx_rf_conn_t *conn)
{
    conn->failure.text.len = 0;
    conn->failure.err = 0;

    ngx_rf_conn_finish(conn, ngx_rf_conn_inflight(conn) ? NGX_RF_CONN_BROKEN
                                                        : NGX_RF_CONN_IDLE);
}


ngx_uint_t
ngx_rf_conn_ready(ngx_rf_conn_t *conn)
{
    return conn->ready;
}


ngx_uint_t
ngx_rf_conn_inflight(ngx_rf_conn_t *conn)
{
    return ngx_rf_pipeline_inflight(&conn->pipeline);
}


ngx_int_t
ngx_rf_conn_send(ngx_rf_conn_t *conn, ngx_rf_call_t *call)
{
    ngx_msec_t  expires;

    expires = ngx_current_msec + conn->peer->conf->timeout;

    if ((ngx_msec_int_t) (call->deadline - expires) < 0) {
        expires = call->deadline;
    }

    if (ngx_rf_pipeline_call(&conn->pipeline, call, expires) != NGX_OK) {
        return NGX_ERROR;
    }

    conn->ncalls++;
    conn->c->idle = 0;
    conn->timer.cancelable = 0;

    ngx_rf_conn_watch(conn);

    ngx_post_event(&conn->flush, &ngx_posted_events);

    return NGX_OK;
}


ngx_uint_t
ngx_rf_conn_unsent(ngx_rf_conn_t *conn, ngx_rf_call_t *call)
{
    return ngx_rf_pipeline_unsent(&conn->pipeline, call);
}


void
ngx_rf_conn_cut(ngx_rf_conn_t *conn, ngx_rf_call_t *call)
{
    if (ngx_rf_pipeline_cut(&conn->pipeline, call)) {
        /* a part of its reply may be in the pool that goes away */
        ngx_rf_resp_cut(conn->reader);
    }
}


void
ngx_rf_conn_poll(ngx_rf_conn_t *conn)
{
    if (!conn->ready || conn->closed || conn->busy) {
        return;
    }

    /* or nginx would not ask the kernel before that says so */

    if (ngx_event_flags & NGX_USE_EPOLL_EVENT) {
        conn->c->read->available = -1;
    }

    ngx_rf_conn_enter(conn);
    ngx_rf_conn_read(conn);
    ngx_rf_conn_leave(conn);
}


static void
ngx_rf_conn_resolved(void *data, ngx_uint_t n, ngx_rf_addr_t *addrs,
    const char *failed)
{
    ngx_rf_conn_t *conn = data;

    ngx_rf_conn_enter(conn);

    if (n == 0) {
        ngx_rf_conn_break(conn, 0, failed);

    } else {
        ngx_memcpy(conn->addrs, addrs, n * sizeof(ngx_rf_addr_t));
        conn->naddrs = n;

        ngx_rf_conn_connect(conn);
    }

    ngx_rf_conn_leave(conn);
}


/* a try may go through all the addresses that its time allows: "localhost" is
 * two, and often only the second one listens */

static void
ngx_rf_conn_connect(ngx_rf_conn_t *conn)
{
    ngx_int_t               rc;
    ngx_rf_addr_t          *addr;
    ngx_rf_conn_peer_t     *peer;
    ngx_rf_socket_error_t   e;

    peer = conn->peer;
    peer->log->log.action = "connecting to redis";

    if (conn->naddrs == 0) {
        ngx_rf_conn_break(conn, 0, "redis has no address");
        return;
    }

    while (conn->ntried < conn->naddrs) {
        addr = &conn->addrs[(peer->turn + conn->ntried) % conn->naddrs];
        conn->ntried++;

        ngx_rf_log_sockaddr(peer->log, &addr->sockaddr.sockaddr,
                            addr->socklen);

        rc = ngx_rf_socket_connect(addr, ngx_rf_conn_connect_handler,
                                   &peer->log->log, &conn->c, &e);

        if (rc == NGX_ERROR) {
            ngx_rf_conn_failed(conn, e.err, e.text);
            continue;
        }

        conn->c->data = conn;

        if (rc == NGX_OK) {
            ngx_rf_conn_connected(conn);
        }

        return;
    }

    ngx_rf_conn_finish(conn, NGX_RF_CONN_BROKEN);
}


static void
ngx_rf_conn_shut(ngx_rf_conn_t *conn)
{
    if (conn->c) {
        ngx_close_connection(conn->c);
        conn->c = NULL;
    }
}


static void
ngx_rf_conn_connect_handler(ngx_event_t *ev)
{
    ngx_err_t          err;
    ngx_rf_conn_t     *conn;
    ngx_connection_t  *c;

    c = ev->data;
    conn = c->data;

    err = ngx_rf_socket_test(c);

    ngx_rf_conn_enter(conn);

    if (err) {
        ngx_rf_conn_failed(conn, err, "connect() failed");
        ngx_rf_conn_shut(conn);
        ngx_rf_conn_connect(conn);

    } else if (ev->write) {
        ngx_rf_conn_connected(conn);
    }

    ngx_rf_conn_leave(conn);
}


static void
ngx_rf_conn_connected(ngx_rf_conn_t *conn)
{
    ngx_uint_t                   i;
    ngx_connection_t            *c;
    ngx_rf_redis_conf_t         *conf;
    ngx_rf_handshake_command_t  *command;

    c = conn->c;
    conf = conn->peer->conf;
    conn->peer->log->log.action = "greeting redis";

    c->read->handler = ngx_rf_conn_read_handler;
    c->write->handler = ngx_rf_conn_write_handler;
    conn->reply = ngx_rf_conn_handshake_reply;

    conn->reader = ngx_rf_resp_reader_create();
    conn->handshake = ngx_rf_handshake_create(&conf->user, &conf->password,
                                              conf->database, c->log);

    if (conn->reader == NULL || conn->handshake == NULL) {
        ngx_rf_conn_break(conn, 0, "no memory");
        return;
    }

    for (i = 0; i < conn->handshake->ncommands; i++) {
        command = &conn->handshake->commands[i];

        if (ngx_rf_pipeline_command(&conn->pipeline, command->argc,
                                    command->argv)
            != NGX_OK)
        {
            ngx_rf_conn_break(conn, 0, "no memory");
            return;
        }
    }

    if (c->read->ready) {
        /* an edge that was spent on the connect: "max number of clients" */
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_rf_conn_flush(conn);
}


static void
ngx_rf_conn_handshake_reply(ngx_rf_conn_t *conn, ngx_rf_reply_t *reply)
{
    ngx_int_t            rc;
    ngx_rf_conn_peer_t  *peer;
    ngx_rf_handshake_t  *h;

    peer = conn->peer;
    h = conn->handshake;

    rc = ngx_rf_handshake_reply(h, reply);

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc == NGX_ERROR) {
        conn->failure.text = h->failed;
        conn->failure.err = 0;
        ngx_rf_conn_finish(conn, NGX_RF_CONN_BROKEN);
        return;
    }

    if (conn->pipeline.pos != conn->pipeline.last) {
        ngx_rf_conn_break(conn, 0, ngx_rf_conn_unasked);
        return;
    }

    ngx_rf_pipeline_wipe(&conn->pipeline);

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    peer->log->log.action = "talking to redis";
    peer->turn = (peer->turn + conn->ntried - 1) % conn->naddrs;

    conn->ready = 1;
    conn->late = 0;
    conn->reply = ngx_rf_conn_call_reply;
    conn->c->idle = 1;

    peer->ready(peer->data, &h->info);

    /* if it was closed in there, the handshake goes with the rest */

    if (!conn->closed) {
        ngx_rf_handshake_destroy(h);
        conn->handshake = NULL;
    }
}


static void
ngx_rf_conn_read_handler(ngx_event_t *rev)
{
    ngx_rf_conn_t     *conn;
    ngx_connection_t  *c;

    c = rev->data;
    conn = c->data;

    if (c->close) {
        /* nginx closes its idle connections */
        ngx_rf_conn_close(conn);
        return;
    }

    ngx_rf_conn_enter(conn);
    ngx_rf_conn_read(conn);
    ngx_rf_conn_leave(conn);
}


void
ngx_rf_conn_read(ngx_rf_conn_t *conn)
{
    u_char            *buffer;
    ssize_t            n;
    ngx_uint_t         i;
    ngx_connection_t  *c;

    c = conn->c;
    buffer = conn->peer->push ? ngx_rf_conn_polled : ngx_rf_conn_buffer;

    for (i = 0; i < NGX_RF_CONN_READS; i++) {
        n = c->recv(c, buffer, NGX_RF_CONN_READ);

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
                ngx_rf_conn_break(conn, 0, NGX_RF_CONN_UNWATCHED);
            }

            return;
        }

        if (n == 0) {
            ngx_rf_conn_lost(conn, 0, "redis closed the connection");
            return;
        }

        if (n == NGX_ERROR) {
            ngx_rf_conn_lost(conn, ngx_socket_errno, "recv() failed");
            return;
        }

        if (conn->ready && ngx_rf_conn_inflight(conn) == 0
            && conn->peer->push == NULL)
        {
            ngx_rf_conn_break(conn, 0, ngx_rf_conn_unasked);
            return;
        }

        conn->received += n;

        /* a failure of feed() stays in the reader, and parse() gets it */

        (void) ngx_rf_resp_feed(conn->reader, buffer, n);

        ngx_rf_conn_parse(conn);

        if (conn->closed) {
            return;
        }
    }

    ngx_post_event(c->read, &ngx_posted_next_events);
}


static void
ngx_rf_conn_parse(ngx_rf_conn_t *conn)
{
    ngx_int_t        rc;
    ngx_pool_t      *pool;
    const char      *err;
    ngx_rf_reply_t  *reply;

    while (!conn->closed) {
        err = NULL;
        reply = NULL;

        if (!conn->ready) {
            pool = conn->handshake->pool;

        } else if (conn->peer->push) {
            pool = conn->peer->pool;

        } else {
            pool = ngx_rf_pipeline_pool(&conn->pipeline);
        }

        rc = ngx_rf_resp_next(conn->reader, pool, &reply, &err);

        if (rc == NGX_AGAIN) {
            return;
        }

        if (rc != NGX_OK) {
            ngx_rf_conn_break(conn, 0, err ? err : "protocol error");
            return;
        }

        conn->reply(conn, reply);
    }
}


static void
ngx_rf_conn_call_reply(ngx_rf_conn_t *conn, ngx_rf_reply_t *reply)
{
    ngx_int_t       rc;
    ngx_rf_call_t  *call;

    if (conn->peer->push && conn->peer->push(conn->peer->data, reply)) {
        return;
    }

    rc = ngx_rf_pipeline_reply(&conn->pipeline, reply, &call);

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc != NGX_OK) {
        ngx_rf_conn_break(conn, 0, ngx_rf_conn_unasked);
        return;
    }

    conn->answered = 1;

    if (ngx_rf_conn_inflight(conn) == 0) {
        conn->c->idle = 1;
        conn->late = 0;

        /* the timer stays set: taking it out and putting it back for each
         * call would cost two operations on nginx' timer tree */
        conn->timer.cancelable = 1;
    }

    ngx_rf_pipeline_soon(&conn->pipeline);

    if (call) {
        call->handler(call, NGX_RF_CALL_DONE);
    }
}


/*
 * The head's timer.  One that goes off too early sets itself again, so only
 * one that would be late is moved, unless it is to be: see below.
 */

static void
ngx_rf_conn_watch(ngx_rf_conn_t *conn)
{
    ngx_msec_t      expires;
    ngx_msec_int_t  left;

    expires = ngx_rf_pipeline_head(&conn->pipeline)->expires;

    if (conn->timer.timer_set) {

        if (conn->late
            || (ngx_msec_int_t) (conn->timer.timer.key - expires) <= 0)
        {
            return;
        }

        ngx_del_timer(&conn->timer);
    }

    left = (ngx_msec_int_t) (expires - ngx_current_msec);

    ngx_add_timer(&conn->timer, (ngx_msec_t) ngx_max(left, 0));
}


/*
 * Time is up, unless it was this process that slept: what came meanwhile is
 * read in the next turn, and what was sent only when it woke up has the time
 * that it overslept, so only those who are late then are late.
 */

static void
ngx_rf_conn_timer_handler(ngx_event_t *ev)
{
    ngx_msec_t      expires, overslept;
    ngx_rf_conn_t  *conn;

    conn = ev->data;
    overslept = 0;

    if (conn->ready) {

        if (ngx_rf_conn_inflight(conn) == 0) {
            return;
        }

        expires = ngx_rf_pipeline_head(&conn->pipeline)->expires;

        if ((ngx_msec_int_t) (expires - ngx_current_msec) > 0) {
            conn->late = 0;
            ngx_rf_conn_watch(conn);
            return;
        }

        overslept = ngx_min(ngx_current_msec - expires,
                            conn->peer->conf->timeout);
    }

    if (!conn->late) {
        conn->late = 1;
        ngx_add_timer(&conn->timer, ngx_max(overslept, 1));
        return;
    }

    ngx_rf_conn_failed(conn, NGX_ETIMEDOUT, ngx_rf_conn_timedout);
    ngx_rf_conn_finish(conn, conn->ready ? NGX_RF_CONN_TIMEDOUT
                                         : NGX_RF_CONN_BROKEN);
}


static void
ngx_rf_conn_failed(ngx_rf_conn_t *conn, ngx_err_t err, const char *text)
{
    conn->failure.text.data = (u_char *) text;
    conn->failure.text.len = ngx_strlen(text);
    conn->failure.err = err;
}


void
ngx_rf_conn_break(ngx_rf_conn_t *conn, ngx_err_t err, const char *text)
{
    ngx_rf_conn_failed(conn, err, text);
    ngx_rf_conn_finish(conn, NGX_RF_CONN_BROKEN);
}


/* the other side went away: its right while nothing is in flight */

static void
ngx_rf_conn_lost(ngx_rf_conn_t *conn, ngx_err_t err, const char *text)
{
    ngx_rf_conn_failed(conn, err, text);

    if (conn->ready && ngx_rf_conn_inflight(conn) == 0) {
        ngx_rf_conn_finish(conn, NGX_RF_CONN_IDLE);
        return;
    }

    ngx_rf_conn_finish(conn, NGX_RF_CONN_BROKEN);
}


static void
ngx_rf_conn_finish(ngx_rf_conn_t *conn, ngx_rf_conn_why_e why)
{
    ngx_rf_conn_end_t    end;
    ngx_rf_conn_peer_t  *peer;

    if (conn->closed) {
        return;
    }

    ngx_rf_conn_enter(conn);

    conn->closed = 1;
    peer = conn->peer;

    if (peer->resolve) {
        ngx_rf_resolve_cancel(peer->resolve);
    }

    if (why != NGX_RF_CONN_IDLE) {
        ngx_rf_conn_reset(conn);
    }

    ngx_rf_conn_shut(conn);

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->flush.posted) {
        ngx_delete_posted_event(&conn->flush);
    }

    if (!conn->ready && why != NGX_RF_CONN_IDLE) {
        peer->turn += conn->ntried;
    }

    end.why = why;
    end.text = conn->failure.text;
    end.err = conn->failure.err;
    end.ready = conn->ready;
    end.answered = conn->answered;
    end.inflight = (ngx_rf_conn_inflight(conn) != 0);

    ngx_queue_init(&end.calls);
    ngx_rf_pipeline_collect(&conn->pipeline, &end.calls);

    peer->closed(peer->data, &end);

    ngx_rf_conn_leave(conn);
}


/*
 * What is still in the socket's buffer must not arrive: the kernel would send
 * it again and again, and a command that was given up would be executed after
 * newer ones of another connection.
 */

static void
ngx_rf_conn_reset(ngx_rf_conn_t *conn)
{
    struct linger  linger;

    if (conn->c == NULL) {
        return;
    }

    linger.l_onoff = 1;
    linger.l_linger = 0;

    if (setsockopt(conn->c->fd, SOL_SOCKET, SO_LINGER,
                   (const void *) &linger, sizeof(struct linger))
        == -1)
    {
        ngx_log_error(NGX_LOG_ERR, conn->c->log, ngx_socket_errno,
                      "setsockopt(SO_LINGER) failed");
    }
}


void
ngx_rf_conn_enter(ngx_rf_conn_t *conn)
{
    conn->busy++;
}


void
ngx_rf_conn_leave(ngx_rf_conn_t *conn)
{
    if (--conn->busy == 0 && conn->closed) {
        ngx_rf_conn_free(conn);
    }
}


static void
ngx_rf_conn_free(ngx_rf_conn_t *conn)
{
    if (conn->handshake) {
        ngx_rf_handshake_destroy(conn->handshake);
    }

    if (conn->reader) {
        ngx_rf_resp_reader_destroy(conn->reader);
    }

    if (!conn->ready) {
        ngx_rf_pipeline_wipe(&conn->pipeline);
    }

    ngx_rf_pipeline_free(&conn->pipeline);
    ngx_free(conn);
}
