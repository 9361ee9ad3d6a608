/*
 * The per-worker client of one Redis, see ngx_rf_redis.h.
 *
 * A call belongs to one of N links (connections N; one of them by default), by
 * its "order": what is to be executed in the order in which it was submitted
 * has the same number, so it has the same link.  Which number that is, the
 * caller knows; between two links nothing is in order, as between two workers.
 *
 * A call is in one of two places: in flight on the link's connection, or in
 * the link's "waiting" for one, which is sorted by deadline.  A connection is
 * made when somebody waits, never for its own sake, and one at a time: the
 * links take turns, and they share the pauses.  So Redis sees no more tries of
 * a worker with many links than of one with one; a try that fails is charged
 * to all that wait, whatever their link, as Redis could not be had.  A
 * connection that breaks is charged to those in flight on it; the other links
 * go on.  Those who may try again stay, the others fail.  Handlers are called
 * from a queue that was set aside, so they may submit, cut and reset as they
 * like.
 *
 * A call that was sent is sent again only if it may be repeated, and never
 * after a timeout: it has had its time, and so have those behind it.
 *
 * up() and down() are about one link, and ngx_rf_redis_link() says which.
 * Whoever needs a step of a link's own before any call (CLIENT TRACKING) has
 * two places for it: one more command of the handshake, where its failure is
 * that of the connection; or a call submitted from inside up(), with the link
 * as its "order", which goes before those that wait.
 */

#include "ngx_rf_redis.h"


/* longest text of a failure */
#define NGX_RF_REDIS_TEXT       256

#define NGX_RF_REDIS_RUN_ID     40


typedef struct {
    /* ngx_event_ident() of a debug log wants an fd here */
    void                 *dummy[3];
    ngx_socket_t          fd;

    ngx_rf_redis_t       *redis;
    ngx_rf_conn_peer_t    peer;
    ngx_rf_conn_t        *conn;         /* NULL: none, none in the making */
    ngx_rf_log_t          log;

    ngx_queue_t           waiting;      /* ngx_rf_call_t */
    ngx_event_t           deadline;     /* of the first that waits */

    ngx_str_t             run_id;       /* of the Redis that is connected */
    u_char                run_id_text[NGX_RF_REDIS_RUN_ID];
    uint64_t              client;       /* the connection's id there */

    unsigned              greeting:1;   /* up() is running */
    unsigned              bounce:1;     /* up() wants nobody's call sent */
} ngx_rf_redis_link_t;


struct ngx_rf_redis_s {
    /* as above */
    void                 *dummy[3];
    ngx_socket_t          fd;

    ngx_rf_redis_conf_t  *conf;

    ngx_rf_redis_up_pt    up;
    ngx_rf_redis_down_pt  down;
    void                 *data;

    ngx_event_t           attempt;      /* the next try */
    ngx_rf_redis_link_t  *making;       /* whose connection is not ready yet */
    ngx_uint_t            tried;        /* the link that it was last */

    ngx_uint_t            nfailures;    /* tries in a row */
    ngx_msec_t            next;         /* no try before, if nfailures */

    ngx_rf_redis_link_t  *about;        /* of which up() or down() is told;
                                           else the first */
    uint64_t              abandoned;    /* while down() is running */

    ngx_str_t             failure;
    u_char                text[NGX_RF_REDIS_TEXT];

    unsigned              failing:1;    /* the failure was logged, and nothing
                                           has succeeded since */
    unsigned              destroyed:1;

    ngx_uint_t            nlinks;
    ngx_rf_redis_link_t   links[1];     /* more behind it */
};


static ngx_int_t ngx_rf_redis_link_init(ngx_rf_redis_t *redis,
    ngx_rf_redis_link_t *link, ngx_log_t *log, void *tp);
static void ngx_rf_redis_wait(ngx_rf_redis_link_t *link, ngx_rf_call_t *call);
static void ngx_rf_redis_schedule(ngx_rf_redis_link_t *link);
static void ngx_rf_redis_schedule_attempt(ngx_rf_redis_t *redis);
static ngx_rf_redis_link_t *ngx_rf_redis_wanted(ngx_rf_redis_t *redis);
static void ngx_rf_redis_attempt_handler(ngx_event_t *ev);
static void ngx_rf_redis_deadline_handler(ngx_event_t *ev);
static ngx_uint_t ngx_rf_redis_ready_link(ngx_rf_redis_link_t *link);
static void ngx_rf_redis_ready(void *data, ngx_rf_redis_info_t *info);
static void ngx_rf_redis_up(ngx_rf_redis_link_t *link,
    ngx_rf_redis_info_t *info);
static void ngx_rf_redis_closed(void *data, ngx_rf_conn_end_t *end);
static void ngx_rf_redis_down(ngx_rf_redis_link_t *link,
    ngx_rf_conn_end_t *end);
static void ngx_rf_redis_failed(ngx_rf_redis_link_t *link,
    ngx_rf_conn_end_t *end);
static void ngx_rf_redis_charge(ngx_rf_redis_t *redis, ngx_rf_conn_end_t *end,
    ngx_queue_t *calls);
static ngx_uint_t ngx_rf_redis_again(ngx_rf_redis_t *redis,
    ngx_rf_call_t *call, ngx_rf_conn_why_e why);
static void ngx_rf_redis_log(ngx_rf_redis_link_t *link,
    ngx_rf_conn_end_t *end);
static void ngx_rf_redis_fail(ngx_queue_t *calls);


/* pauses before a try, by the number of tries that have failed in a row, ms:
 * the first is for a Redis that was restarted.  Halved to doubled by chance,
 * or all workers would come at once */

static ngx_msec_t  ngx_rf_redis_pauses[] = { 0, 0, 20, 50, 100 };

#define NGX_RF_REDIS_PAUSE_MAX  200     /* the last of them, doubled */

#define NGX_RF_REDIS_PAUSES                                                   \
    (sizeof(ngx_rf_redis_pauses) / sizeof(ngx_msec_t))


ngx_rf_redis_t *
ngx_rf_redis_create(ngx_rf_redis_conf_t *conf, ngx_cycle_t *cycle, void *tp,
    ngx_rf_redis_up_pt up, ngx_rf_redis_down_pt down, void *data)
{
    ngx_uint_t       i;
    ngx_rf_redis_t  *redis;

    redis = ngx_calloc(sizeof(ngx_rf_redis_t)
                       + (conf->connections - 1) * sizeof(ngx_rf_redis_link_t),
                       cycle->log);
    if (redis == NULL) {
        return NULL;
    }

    redis->fd = (ngx_socket_t) -1;
    redis->conf = conf;
    redis->up = up;
    redis->down = down;
    redis->data = data;
    redis->about = redis->links;
    redis->nlinks = conf->connections;

    for (i = 0; i < redis->nlinks; i++) {

        if (ngx_rf_redis_link_init(redis, &redis->links[i], cycle->log, tp)
            != NGX_OK)
        {
            goto failed;
        }
    }

    redis->attempt.handler = ngx_rf_redis_attempt_handler;
    redis->attempt.data = redis;
    redis->attempt.log = &redis->links[0].log.log;

    redis->failure.data = redis->text;
    redis->failure.len = ngx_sprintf(redis->text, "none") - redis->text;

    return redis;

failed:

    while (i) {
        ngx_rf_resolve_destroy(redis->links[--i].peer.resolve);
    }

    ngx_free(redis);

    return NULL;
}


static ngx_int_t
ngx_rf_redis_link_init(ngx_rf_redis_t *redis, ngx_rf_redis_link_t *link,
    ngx_log_t *log, void *tp)
{
    ngx_rf_redis_conf_t  *conf;

    conf = redis->conf;

    link->fd = (ngx_socket_t) -1;
    link->redis = redis;

    ngx_rf_log_init(&link->log, log, &conf->store);
    ngx_rf_log_peer(&link->log, &conf->address);

    if (conf->url.naddrs == 0 && tp) {
        link->peer.resolve = ngx_rf_resolve_create(&conf->url.host,
                                                   conf->url.port, tp,
                                                   &link->log.log);
        if (link->peer.resolve == NULL) {
            return NGX_ERROR;
        }
    }

    link->peer.conf = conf;
    link->peer.log = &link->log;
    link->peer.ready = ngx_rf_redis_ready;
    link->peer.closed = ngx_rf_redis_closed;
    link->peer.data = link;

    ngx_queue_init(&link->waiting);

    link->deadline.handler = ngx_rf_redis_deadline_handler;
    link->deadline.data = link;
    link->deadline.log = &link->log.log;

    return NGX_OK;
}


void
ngx_rf_redis_destroy(ngx_rf_redis_t *redis)
{
    ngx_uint_t            i;
    ngx_queue_t           calls, *q;
    ngx_rf_call_t        *call;
    ngx_rf_redis_link_t  *link;

    redis->destroyed = 1;

    ngx_queue_init(&calls);

    for (i = 0; i < redis->nlinks; i++) {
        link = &redis->links[i];

        if (link->conn) {
            /* its calls are put with those that wait */
            ngx_rf_conn_close(link->conn);
        }

        while (!ngx_queue_empty(&link->waiting)) {
            q = ngx_queue_head(&link->waiting);
            ngx_queue_remove(q);

            call = ngx_queue_data(q, ngx_rf_call_t, queue);
            ngx_queue_insert_tail(&calls, &call->queue);
        }
    }

    ngx_rf_redis_fail(&calls);

    for (i = 0; i < redis->nlinks; i++) {
        link = &redis->links[i];

        ngx_rf_redis_schedule(link);

        if (link->peer.resolve) {
            ngx_rf_resolve_destroy(link->peer.resolve);
        }
    }

    ngx_free(redis);
}


ngx_int_t
ngx_rf_redis_call(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    ngx_rf_redis_link_t  *link;

    if (redis->destroyed || call->ncommands == 0) {
        return NGX_ERROR;
    }

    call->deadline = ngx_current_msec + redis->conf->connect_timeout
                     + redis->conf->timeout;
    call->tries = 0;
    call->nreplies = 0;
    call->inflight = 0;
    call->sent = 0;
    call->link = (redis->nlinks > 1) ? call->order % redis->nlinks : 0;

    link = &redis->links[call->link];

    if (ngx_rf_redis_ready_link(link)
        && (link->greeting || ngx_queue_empty(&link->waiting)))
    {
        return (ngx_rf_conn_send(link->conn, call) == NGX_OK) ? NGX_AGAIN
                                                              : NGX_ERROR;
    }

    ngx_rf_redis_wait(link, call);
    ngx_rf_redis_schedule(link);

    return NGX_AGAIN;
}


ngx_uint_t
ngx_rf_redis_unsent(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    return !call->inflight
           || ngx_rf_conn_unsent(redis->links[call->link].conn, call);
}


void
ngx_rf_redis_cut(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    ngx_rf_redis_link_t  *link;

    link = &redis->links[call->link];

    if (call->inflight) {
        ngx_rf_conn_cut(link->conn, call);
        return;
    }

    ngx_queue_remove(&call->queue);

    ngx_rf_redis_schedule(link);
}


ngx_str_t *
ngx_rf_redis_failure(ngx_rf_redis_t *redis)
{
    return &redis->failure;
}


ngx_uint_t
ngx_rf_redis_connected(ngx_rf_redis_t *redis)
{
    return ngx_rf_redis_ready_link(redis->links);
}


static ngx_uint_t
ngx_rf_redis_ready_link(ngx_rf_redis_link_t *link)
{
    return link->conn && ngx_rf_conn_ready(link->conn);
}


ngx_uint_t
ngx_rf_redis_nconnected(ngx_rf_redis_t *redis)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < redis->nlinks; i++) {
        n += ngx_rf_redis_ready_link(&redis->links[i]);
    }

    return n;
}


ngx_uint_t
ngx_rf_redis_link(ngx_rf_redis_t *redis)
{
    return redis->about - redis->links;
}


ngx_str_t *
ngx_rf_redis_run_id(ngx_rf_redis_t *redis)
{
    return &redis->about->run_id;
}


uint64_t
ngx_rf_redis_client(ngx_rf_redis_t *redis)
{
    return redis->about->client;
}


ngx_uint_t
ngx_rf_redis_inflight(ngx_rf_redis_t *redis)
{
    ngx_uint_t  i;

    for (i = 0; i < redis->nlinks; i++) {

        if (redis->links[i].conn && ngx_rf_conn_inflight(redis->links[i].conn))
        {
            return 1;
        }
    }

    return 0;
}


uint64_t
ngx_rf_redis_abandoned(ngx_rf_redis_t *redis)
{
    return redis->abandoned;
}


void
ngx_rf_redis_reset(ngx_rf_redis_t *redis)
{
    ngx_uint_t            i;
    ngx_rf_redis_link_t  *link;

    for (i = 0; i < redis->nlinks; i++) {
        link = &redis->links[i];

        if (link->conn
            && ngx_rf_conn_inflight(link->conn) == 0
            && ngx_queue_empty(&link->waiting))
        {
            ngx_rf_conn_close(link->conn);
        }
    }
}


void
ngx_rf_redis_bounce(ngx_rf_redis_t *redis)
{
    redis->about->bounce = redis->about->greeting;
}


/* from the end, where it nearly always belongs */

static void
ngx_rf_redis_wait(ngx_rf_redis_link_t *link, ngx_rf_call_t *call)
{
    ngx_queue_t    *q;
    ngx_rf_call_t  *other;

    for (q = ngx_queue_last(&link->waiting);
         q != ngx_queue_sentinel(&link->waiting);
         q = ngx_queue_prev(q))
    {
        other = ngx_queue_data(q, ngx_rf_call_t, queue);

        if ((ngx_msec_int_t) (other->deadline - call->deadline) <= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &call->queue);
}


/* sets the link's timer and that of the next try as those who wait need them;
 * both are there only while somebody waits, so they do not hold up an exit for
 * nothing */

static void
ngx_rf_redis_schedule(ngx_rf_redis_link_t *link)
{
    ngx_msec_int_t   left;
    ngx_rf_call_t   *call;

    if (ngx_queue_empty(&link->waiting)) {

        if (link->deadline.timer_set) {
            ngx_del_timer(&link->deadline);
        }

    } else if (!link->deadline.timer_set) {
        call = ngx_queue_data(ngx_queue_head(&link->waiting), ngx_rf_call_t,
                              queue);

        left = (ngx_msec_int_t) (call->deadline - ngx_current_msec);

        ngx_add_timer(&link->deadline, (ngx_msec_t) ngx_max(left, 0));
    }

    ngx_rf_redis_schedule_attempt(link->redis);
}


static void
ngx_rf_redis_schedule_attempt(ngx_rf_redis_t *redis)
{
    ngx_msec_int_t  left;

    if (ngx_rf_redis_wanted(redis) == NULL) {

        if (redis->attempt.timer_set) {
            ngx_del_timer(&redis->attempt);
        }

        return;
    }

    if (redis->making || redis->attempt.timer_set) {
        return;
    }

    left = 0;

    if (redis->nfailures) {
        left = (ngx_msec_int_t) (redis->next - ngx_current_msec);

        if (left > NGX_RF_REDIS_PAUSE_MAX) {
            /* so long ago that the clock has turned over */
            left = 0;
        }
    }

    /* with no pause either, so that no handler is called from inside of
     * ngx_rf_redis_call() */

    ngx_add_timer(&redis->attempt, (ngx_msec_t) ngx_max(left, 0));
}


/* the link whose turn it is to have a connection made, or NULL */

static ngx_rf_redis_link_t *
ngx_rf_redis_wanted(ngx_rf_redis_t *redis)
{
    ngx_uint_t            i;
    ngx_rf_redis_link_t  *link;

    for (i = 1; i <= redis->nlinks; i++) {
        link = &redis->links[(redis->tried + i) % redis->nlinks];

        if (link->conn == NULL && !ngx_queue_empty(&link->waiting)) {
            return link;
        }
    }

    return NULL;
}


static void
ngx_rf_redis_attempt_handler(ngx_event_t *ev)
{
    ngx_rf_redis_t       *redis;
    ngx_rf_conn_end_t     end;
    ngx_rf_redis_link_t  *link;

    redis = ev->data;
    link = ngx_rf_redis_wanted(redis);

    if (link == NULL || redis->making) {
        return;
    }

    redis->tried = link - redis->links;
    redis->making = link;

    link->conn = ngx_rf_conn_create(&link->peer);

    if (link->conn) {
        ngx_rf_conn_start(link->conn);
        return;
    }

    ngx_memzero(&end, sizeof(ngx_rf_conn_end_t));
    end.why = NGX_RF_CONN_BROKEN;
    ngx_str_set(&end.text, "no memory");
    ngx_queue_init(&end.calls);

    ngx_rf_redis_closed(link, &end);
}


static void
ngx_rf_redis_deadline_handler(ngx_event_t *ev)
{
    ngx_queue_t           calls, *q;
    ngx_rf_call_t        *call;
    ngx_rf_redis_link_t  *link;

    link = ev->data;

    ngx_queue_init(&calls);

    while (!ngx_queue_empty(&link->waiting)) {
        q = ngx_queue_head(&link->waiting);
        call = ngx_queue_data(q, ngx_rf_call_t, queue);

        if ((ngx_msec_int_t) (call->deadline - ngx_current_msec) > 0) {
            break;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&calls, q);
    }

    ngx_rf_redis_schedule(link);

    ngx_rf_redis_fail(&calls);
}


static void
ngx_rf_redis_ready(void *data, ngx_rf_redis_info_t *info)
{
    ngx_rf_redis_link_t *link = data;

    ngx_uint_t       level;
    ngx_queue_t      calls, *q;
    ngx_rf_call_t   *call;
    ngx_rf_redis_t  *redis;

    redis = link->redis;
    redis->making = NULL;

    level = redis->failing ? NGX_LOG_NOTICE : NGX_LOG_INFO;
    redis->failing = 0;

    ngx_log_error(level, &link->log.log, 0, "redis is ready, version %ui",
                  info->version);

    ngx_rf_redis_up(link, info);

    ngx_queue_init(&calls);

    /* up() may have closed it again */

    while (ngx_rf_redis_ready_link(link)
           && !ngx_queue_empty(&link->waiting))
    {
        q = ngx_queue_head(&link->waiting);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_rf_call_t, queue);

        if ((link->bounce && !call->once)
            || ngx_rf_conn_send(link->conn, call) != NGX_OK)
        {
            ngx_queue_insert_tail(&calls, q);
        }
    }

    link->bounce = 0;

    ngx_rf_redis_schedule(link);

    ngx_rf_redis_fail(&calls);
}


static void
ngx_rf_redis_up(ngx_rf_redis_link_t *link, ngx_rf_redis_info_t *info)
{
    ngx_rf_redis_t       *redis;
    ngx_rf_redis_link_t  *about;

    redis = link->redis;

    link->client = info->client;
    link->run_id.len = 0;

    if (info->run_id.len == NGX_RF_REDIS_RUN_ID) {
        link->run_id.data = link->run_id_text;
        link->run_id.len = NGX_RF_REDIS_RUN_ID;
        ngx_memcpy(link->run_id_text, info->run_id.data, NGX_RF_REDIS_RUN_ID);
    }

    if (redis->up == NULL) {
        return;
    }

    about = redis->about;
    redis->about = link;

    link->greeting = 1;
    redis->up(redis->data, info);
    link->greeting = 0;

    redis->about = about;
}


static void
ngx_rf_redis_closed(void *data, ngx_rf_conn_end_t *end)
{
    ngx_rf_redis_link_t *link = data;

    ngx_msec_t       pause;
    ngx_queue_t     *q;
    ngx_rf_call_t   *call;
    ngx_rf_redis_t  *redis;

    redis = link->redis;
    link->conn = NULL;

    if (redis->making == link) {
        redis->making = NULL;
    }

    if (redis->destroyed) {

        while (!ngx_queue_empty(&end->calls)) {
            q = ngx_queue_head(&end->calls);
            ngx_queue_remove(q);

            call = ngx_queue_data(q, ngx_rf_call_t, queue);
            ngx_rf_redis_wait(link, call);
        }

        return;
    }

    if (end->answered) {
        redis->nfailures = 0;
    }

    if (end->why != NGX_RF_CONN_IDLE) {
        redis->nfailures++;

        pause = ngx_rf_redis_pauses[ngx_min(redis->nfailures,
                                            NGX_RF_REDIS_PAUSES - 1)];

        redis->next = ngx_current_msec + pause / 2
                      + ngx_random() % (pause + pause / 2 + 1);
    }

    ngx_rf_redis_log(link, end);

    if (end->ready) {
        ngx_rf_redis_down(link, end);
    }

    ngx_rf_redis_failed(link, end);
}


static void
ngx_rf_redis_down(ngx_rf_redis_link_t *link, ngx_rf_conn_end_t *end)
{
    ngx_rf_redis_t       *redis;
    ngx_rf_redis_link_t  *about;

    redis = link->redis;

    if (end->inflight) {
        redis->abandoned = link->client;
    }

    if (redis->down) {
        about = redis->about;
        redis->about = link;

        redis->down(redis->data);

        redis->about = about;
    }

    redis->abandoned = 0;
    link->client = 0;
    link->run_id.len = 0;
}


/* charges a try that failed to those who took part in it */

static void
ngx_rf_redis_failed(ngx_rf_redis_link_t *link, ngx_rf_conn_end_t *end)
{
    ngx_queue_t      calls, *q;
    ngx_rf_call_t   *call;
    ngx_rf_redis_t  *redis;

    redis = link->redis;

    ngx_queue_init(&calls);

    if (!end->ready && end->why != NGX_RF_CONN_IDLE) {
        ngx_rf_redis_charge(redis, end, &calls);
    }

    while (!ngx_queue_empty(&end->calls)) {
        q = ngx_queue_head(&end->calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_rf_call_t, queue);

        if (ngx_rf_redis_again(redis, call, end->why)) {
            ngx_rf_redis_wait(link, call);

        } else {
            ngx_queue_insert_tail(&calls, q);
        }
    }

    ngx_rf_redis_schedule(link);

    ngx_rf_redis_fail(&calls);
}


/* to all that wait, for this link or another */

static void
ngx_rf_redis_charge(ngx_rf_redis_t *redis, ngx_rf_conn_end_t *end,
    ngx_queue_t *calls)
{
    ngx_uint_t            i;
    ngx_queue_t          *q, *next;
    ngx_rf_call_t        *call;
    ngx_rf_redis_link_t  *link;

    for (i = 0; i < redis->nlinks; i++) {
        link = &redis->links[i];

        for (q = ngx_queue_head(&link->waiting);
             q != ngx_queue_sentinel(&link->waiting);
             q = next)
        {
            next = ngx_queue_next(q);
            call = ngx_queue_data(q, ngx_rf_call_t, queue);

            if (!ngx_rf_redis_again(redis, call, end->why)) {
                ngx_queue_remove(q);
                ngx_queue_insert_tail(calls, q);
            }
        }

        ngx_rf_redis_schedule(link);
    }
}


static ngx_uint_t
ngx_rf_redis_again(ngx_rf_redis_t *redis, ngx_rf_call_t *call,
    ngx_rf_conn_why_e why)
{
    call->tries++;

    if (call->once || call->tries >= redis->conf->max_retries) {
        return 0;
    }

    if (call->sent && (!call->repeat || why == NGX_RF_CONN_TIMEDOUT)) {
        return 0;
    }

    return (ngx_msec_int_t) (call->deadline - redis->next) > 0;
}


/* one [error] for an outage, however often it is tried; the same failure
 * again, and how other links end, is for those who debug */

static void
ngx_rf_redis_log(ngx_rf_redis_link_t *link, ngx_rf_conn_end_t *end)
{
    u_char          *p, *last, text[NGX_RF_REDIS_TEXT];
    ngx_uint_t       level;
    ngx_rf_redis_t  *redis;

    redis = link->redis;

    if (end->text.len == 0) {
        goto done;
    }

    if (end->why == NGX_RF_CONN_IDLE) {
        ngx_log_error(NGX_LOG_INFO, &link->log.log, end->err, "%V",
                      &end->text);
        goto done;
    }

    last = text + NGX_RF_REDIS_TEXT;
    p = ngx_slprintf(text, last, "%V", &end->text);

    if (end->err) {
        p = ngx_log_errno(p, last, end->err);
    }

    level = NGX_LOG_ERR;

    if (redis->failing
        && (end->ready
            || (redis->failure.len == (size_t) (p - text)
                && ngx_memcmp(redis->failure.data, text, p - text) == 0)))
    {
        level = NGX_LOG_INFO;
    }

    redis->failing = 1;
    redis->failure.len = p - text;
    ngx_memcpy(redis->text, text, p - text);

    ngx_log_error(level, &link->log.log, end->err, "%V", &end->text);

done:

    link->log.log.action = NULL;
    ngx_rf_log_peer(&link->log, &redis->conf->address);
}


/* calls the handlers.  They may cut others, in this queue too */

static void
ngx_rf_redis_fail(ngx_queue_t *calls)
{
    ngx_queue_t    *q;
    ngx_rf_call_t  *call;

    while (!ngx_queue_empty(calls)) {
        q = ngx_queue_head(calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_rf_call_t, queue);
        call->handler(call, call->sent ? NGX_RF_CALL_UNSURE
                                       : NGX_RF_CALL_UNSENT);
    }
}
