/*
 * The per-worker client of one Redis, see ngx_rf_redis.h.
 *
 * A call is in one of two places: in flight on the connection, or in "waiting"
 * for one, which is sorted by deadline.  A connection is made when somebody
 * waits, never for its own sake.  Each try that fails is charged to all that
 * waited for it or were in flight; those who may try again stay, the others
 * fail.  Handlers are called from a queue that was set aside, so they may
 * submit, cut and reset as they like.
 *
 * A call that was sent is sent again only if it may be repeated, and never
 * after a timeout: it has had its time, and so have those behind it.
 */

#include "ngx_rf_redis.h"


/* longest text of a failure */
#define NGX_RF_REDIS_TEXT       256

#define NGX_RF_REDIS_RUN_ID     40


struct ngx_rf_redis_s {
    /* ngx_event_ident() of a debug log wants an fd here */
    void                 *dummy[3];
    ngx_socket_t          fd;

    ngx_rf_redis_conf_t  *conf;
    ngx_rf_conn_peer_t    peer;
    ngx_rf_conn_t        *conn;         /* NULL: none, none in the making */
    ngx_rf_log_t          log;

    ngx_rf_redis_up_pt    up;
    ngx_rf_redis_down_pt  down;
    void                 *data;

    ngx_queue_t           waiting;      /* ngx_rf_call_t */
    ngx_event_t           deadline;     /* of the first that waits */
    ngx_event_t           attempt;      /* the next try */

    ngx_uint_t            nfailures;    /* tries in a row */
    ngx_msec_t            next;         /* no try before, if nfailures */

    ngx_str_t             run_id;       /* of the Redis that is connected */
    u_char                run_id_text[NGX_RF_REDIS_RUN_ID];
    uint64_t              client;       /* the connection's id there */
    uint64_t              abandoned;    /* while down() is running */

    ngx_str_t             failure;
    u_char                text[NGX_RF_REDIS_TEXT];

    unsigned              greeting:1;   /* up() is running */
    unsigned              bounce:1;     /* up() wants nobody's call sent */
    unsigned              failing:1;    /* the failure was logged, and nothing
                                           has succeeded since */
    unsigned              destroyed:1;
};


static void ngx_rf_redis_wait(ngx_rf_redis_t *redis, ngx_rf_call_t *call);
static void ngx_rf_redis_schedule(ngx_rf_redis_t *redis);
static void ngx_rf_redis_attempt_handler(ngx_event_t *ev);
static void ngx_rf_redis_deadline_handler(ngx_event_t *ev);
static void ngx_rf_redis_ready(void *data, ngx_rf_redis_info_t *info);
static void ngx_rf_redis_known(ngx_rf_redis_t *redis,
    ngx_rf_redis_info_t *info);
static void ngx_rf_redis_closed(void *data, ngx_rf_conn_end_t *end);
static void ngx_rf_redis_down(ngx_rf_redis_t *redis, ngx_rf_conn_end_t *end);
static void ngx_rf_redis_failed(ngx_rf_redis_t *redis,
    ngx_rf_conn_end_t *end);
static ngx_uint_t ngx_rf_redis_again(ngx_rf_redis_t *redis,
    ngx_rf_call_t *call, ngx_rf_conn_why_e why);
static void ngx_rf_redis_log(ngx_rf_redis_t *redis, ngx_rf_conn_end_t *end);
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
    ngx_log_t       *log;
    ngx_rf_redis_t  *redis;

    redis = ngx_calloc(sizeof(ngx_rf_redis_t), cycle->log);
    if (redis == NULL) {
        return NULL;
    }

    redis->fd = (ngx_socket_t) -1;
    redis->conf = conf;
    redis->up = up;
    redis->down = down;
    redis->data = data;

    ngx_rf_log_init(&redis->log, cycle->log, &conf->store);
    ngx_rf_log_peer(&redis->log, &conf->address);

    log = &redis->log.log;

    if (conf->url.naddrs == 0 && tp) {
        redis->peer.resolve = ngx_rf_resolve_create(&conf->url.host,
                                                    conf->url.port, tp, log);
        if (redis->peer.resolve == NULL) {
            ngx_free(redis);
            return NULL;
        }
    }

    redis->peer.conf = conf;
    redis->peer.log = &redis->log;
    redis->peer.ready = ngx_rf_redis_ready;
    redis->peer.closed = ngx_rf_redis_closed;
    redis->peer.data = redis;

    ngx_queue_init(&redis->waiting);

    redis->attempt.handler = ngx_rf_redis_attempt_handler;
    redis->attempt.data = redis;
    redis->attempt.log = log;

    redis->deadline.handler = ngx_rf_redis_deadline_handler;
    redis->deadline.data = redis;
    redis->deadline.log = log;

    redis->failure.data = redis->text;
    redis->failure.len = ngx_sprintf(redis->text, "none") - redis->text;

    return redis;
}


void
ngx_rf_redis_destroy(ngx_rf_redis_t *redis)
{
    ngx_queue_t     calls, *q;
    ngx_rf_call_t  *call;

    redis->destroyed = 1;

    if (redis->conn) {
        /* its calls are put with those that wait */
        ngx_rf_conn_close(redis->conn);
    }

    ngx_queue_init(&calls);

    while (!ngx_queue_empty(&redis->waiting)) {
        q = ngx_queue_head(&redis->waiting);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_rf_call_t, queue);
        ngx_queue_insert_tail(&calls, &call->queue);
    }

    ngx_rf_redis_fail(&calls);

    ngx_rf_redis_schedule(redis);

    if (redis->peer.resolve) {
        ngx_rf_resolve_destroy(redis->peer.resolve);
    }

    ngx_free(redis);
}


ngx_int_t
ngx_rf_redis_call(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    if (redis->destroyed || call->ncommands == 0) {
        return NGX_ERROR;
    }

    call->deadline = ngx_current_msec + redis->conf->connect_timeout
                     + redis->conf->timeout;
    call->tries = 0;
    call->nreplies = 0;
    call->inflight = 0;
    call->sent = 0;

    if (ngx_rf_redis_direct(redis)) {
        return (ngx_rf_conn_send(redis->conn, call) == NGX_OK) ? NGX_AGAIN
                                                               : NGX_ERROR;
    }

    ngx_rf_redis_wait(redis, call);
    ngx_rf_redis_schedule(redis);

    return NGX_AGAIN;
}


void
ngx_rf_redis_cut(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    if (call->inflight) {
        ngx_rf_conn_cut(redis->conn, call);
        return;
    }

    ngx_queue_remove(&call->queue);

    ngx_rf_redis_schedule(redis);
}


ngx_str_t *
ngx_rf_redis_failure(ngx_rf_redis_t *redis)
{
    return &redis->failure;
}


ngx_uint_t
ngx_rf_redis_connected(ngx_rf_redis_t *redis)
{
    return redis->conn && ngx_rf_conn_ready(redis->conn);
}


ngx_uint_t
ngx_rf_redis_direct(ngx_rf_redis_t *redis)
{
    return ngx_rf_redis_connected(redis)
           && (redis->greeting || ngx_queue_empty(&redis->waiting));
}


ngx_str_t *
ngx_rf_redis_run_id(ngx_rf_redis_t *redis)
{
    return &redis->run_id;
}


uint64_t
ngx_rf_redis_abandoned(ngx_rf_redis_t *redis)
{
    return redis->abandoned;
}


void
ngx_rf_redis_reset(ngx_rf_redis_t *redis)
{
    if (redis->conn
        && ngx_rf_conn_inflight(redis->conn) == 0
        && ngx_queue_empty(&redis->waiting))
    {
        ngx_rf_conn_close(redis->conn);
    }
}


void
ngx_rf_redis_bounce(ngx_rf_redis_t *redis)
{
    redis->bounce = redis->greeting;
}


/* from the end, where it nearly always belongs */

static void
ngx_rf_redis_wait(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    ngx_queue_t    *q;
    ngx_rf_call_t  *other;

    for (q = ngx_queue_last(&redis->waiting);
         q != ngx_queue_sentinel(&redis->waiting);
         q = ngx_queue_prev(q))
    {
        other = ngx_queue_data(q, ngx_rf_call_t, queue);

        if ((ngx_msec_int_t) (other->deadline - call->deadline) <= 0) {
            break;
        }
    }

    ngx_queue_insert_after(q, &call->queue);
}


/* sets the two timers as those who wait need them; both are there only while
 * somebody waits, so they do not hold up an exit for nothing */

static void
ngx_rf_redis_schedule(ngx_rf_redis_t *redis)
{
    ngx_msec_int_t   left;
    ngx_rf_call_t   *call;

    if (ngx_queue_empty(&redis->waiting)) {

        if (redis->deadline.timer_set) {
            ngx_del_timer(&redis->deadline);
        }

        if (redis->attempt.timer_set) {
            ngx_del_timer(&redis->attempt);
        }

        return;
    }

    if (!redis->deadline.timer_set) {
        call = ngx_queue_data(ngx_queue_head(&redis->waiting), ngx_rf_call_t,
                              queue);

        left = (ngx_msec_int_t) (call->deadline - ngx_current_msec);

        ngx_add_timer(&redis->deadline, (ngx_msec_t) ngx_max(left, 0));
    }

    if (redis->conn == NULL && !redis->attempt.timer_set) {
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
}


static void
ngx_rf_redis_attempt_handler(ngx_event_t *ev)
{
    ngx_rf_redis_t     *redis;
    ngx_rf_conn_end_t   end;

    redis = ev->data;

    redis->conn = ngx_rf_conn_create(&redis->peer);

    if (redis->conn) {
        ngx_rf_conn_start(redis->conn);
        return;
    }

    ngx_memzero(&end, sizeof(ngx_rf_conn_end_t));
    end.why = NGX_RF_CONN_BROKEN;
    ngx_str_set(&end.text, "no memory");
    ngx_queue_init(&end.calls);

    ngx_rf_redis_closed(redis, &end);
}


static void
ngx_rf_redis_deadline_handler(ngx_event_t *ev)
{
    ngx_queue_t      calls, *q;
    ngx_rf_call_t   *call;
    ngx_rf_redis_t  *redis;

    redis = ev->data;

    ngx_queue_init(&calls);

    while (!ngx_queue_empty(&redis->waiting)) {
        q = ngx_queue_head(&redis->waiting);
        call = ngx_queue_data(q, ngx_rf_call_t, queue);

        if ((ngx_msec_int_t) (call->deadline - ngx_current_msec) > 0) {
            break;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&calls, q);
    }

    ngx_rf_redis_schedule(redis);

    ngx_rf_redis_fail(&calls);
}


static void
ngx_rf_redis_ready(void *data, ngx_rf_redis_info_t *info)
{
    ngx_rf_redis_t *redis = data;

    ngx_uint_t      level;
    ngx_queue_t     calls, *q;
    ngx_rf_call_t  *call;

    level = redis->failing ? NGX_LOG_NOTICE : NGX_LOG_INFO;
    redis->failing = 0;

    ngx_log_error(level, &redis->log.log, 0, "redis is ready, version %ui",
                  info->version);

    ngx_rf_redis_known(redis, info);

    if (redis->up) {
        redis->greeting = 1;
        redis->up(redis->data, info);
        redis->greeting = 0;
    }

    ngx_queue_init(&calls);

    /* up() may have closed it again */

    while (ngx_rf_redis_connected(redis)
           && !ngx_queue_empty(&redis->waiting))
    {
        q = ngx_queue_head(&redis->waiting);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_rf_call_t, queue);

        if ((redis->bounce && !call->once)
            || ngx_rf_conn_send(redis->conn, call) != NGX_OK)
        {
            ngx_queue_insert_tail(&calls, q);
        }
    }

    redis->bounce = 0;

    ngx_rf_redis_schedule(redis);

    ngx_rf_redis_fail(&calls);
}


static void
ngx_rf_redis_known(ngx_rf_redis_t *redis, ngx_rf_redis_info_t *info)
{
    redis->client = info->client;
    redis->run_id.len = 0;

    if (info->run_id.len == NGX_RF_REDIS_RUN_ID) {
        redis->run_id.data = redis->run_id_text;
        redis->run_id.len = NGX_RF_REDIS_RUN_ID;
        ngx_memcpy(redis->run_id_text, info->run_id.data, NGX_RF_REDIS_RUN_ID);
    }
}


static void
ngx_rf_redis_closed(void *data, ngx_rf_conn_end_t *end)
{
    ngx_rf_redis_t *redis = data;

    ngx_msec_t      pause;
    ngx_queue_t    *q;
    ngx_rf_call_t  *call;

    redis->conn = NULL;

    if (redis->destroyed) {

        while (!ngx_queue_empty(&end->calls)) {
            q = ngx_queue_head(&end->calls);
            ngx_queue_remove(q);

            call = ngx_queue_data(q, ngx_rf_call_t, queue);
            ngx_rf_redis_wait(redis, call);
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

    ngx_rf_redis_log(redis, end);

    if (end->ready) {
        ngx_rf_redis_down(redis, end);
    }

    ngx_rf_redis_failed(redis, end);
}


static void
ngx_rf_redis_down(ngx_rf_redis_t *redis, ngx_rf_conn_end_t *end)
{
    if (end->inflight) {
        redis->abandoned = redis->client;
    }

    if (redis->down) {
        redis->down(redis->data);
    }

    redis->abandoned = 0;
    redis->client = 0;
    redis->run_id.len = 0;
}


/* charges a try that failed to those who took part in it */

static void
ngx_rf_redis_failed(ngx_rf_redis_t *redis, ngx_rf_conn_end_t *end)
{
    ngx_queue_t     calls, *q, *next;
    ngx_rf_call_t  *call;

    ngx_queue_init(&calls);

    if (!end->ready && end->why != NGX_RF_CONN_IDLE) {

        for (q = ngx_queue_head(&redis->waiting);
             q != ngx_queue_sentinel(&redis->waiting);
             q = next)
        {
            next = ngx_queue_next(q);
            call = ngx_queue_data(q, ngx_rf_call_t, queue);

            if (!ngx_rf_redis_again(redis, call, end->why)) {
                ngx_queue_remove(q);
                ngx_queue_insert_tail(&calls, q);
            }
        }
    }

    while (!ngx_queue_empty(&end->calls)) {
        q = ngx_queue_head(&end->calls);
        ngx_queue_remove(q);

        call = ngx_queue_data(q, ngx_rf_call_t, queue);

        if (ngx_rf_redis_again(redis, call, end->why)) {
            ngx_rf_redis_wait(redis, call);

        } else {
            ngx_queue_insert_tail(&calls, q);
        }
    }

    ngx_rf_redis_schedule(redis);

    ngx_rf_redis_fail(&calls);
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
 * again is for those who debug */

static void
ngx_rf_redis_log(ngx_rf_redis_t *redis, ngx_rf_conn_end_t *end)
{
    u_char      *p, *last, text[NGX_RF_REDIS_TEXT];
    ngx_uint_t   level;

    if (end->text.len == 0) {
        goto done;
    }

    if (end->why == NGX_RF_CONN_IDLE) {
        ngx_log_error(NGX_LOG_INFO, &redis->log.log, end->err, "%V",
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
        && redis->failure.len == (size_t) (p - text)
        && ngx_memcmp(redis->failure.data, text, p - text) == 0)
    {
        level = NGX_LOG_INFO;
    }

    redis->failing = 1;
    redis->failure.len = p - text;
    ngx_memcpy(redis->text, text, p - text);

    ngx_log_error(level, &redis->log.log, end->err, "%V", &end->text);

done:

    redis->log.log.action = NULL;
    ngx_rf_log_peer(&redis->log, &redis->conf->address);
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
