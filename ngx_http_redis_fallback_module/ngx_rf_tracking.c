/*
 * CLIENT TRACKING, see ngx_rf_tracking.h.
 *
 * The order of things: the data connection is up, and says who Redis is
 * (run_id) -> the second connection, whose handshake must tell of the same
 * Redis -> SUBSCRIBE there -> CLIENT TRACKING ON REDIRECT on the data
 * connection -> its OK begins an epoch.  Reads sent from then on are vouched
 * for.
 *
 * Not NOLOOP: with that Redis says nothing, either, of what it did in the
 * course of a command of this worker for other reasons: keys that it evicted to
 * make room, or no longer watches since its table of them is full.  The echo of
 * one's own write finds nothing to take back: before it was sent its entry lost
 * the voucher.  Redis stops watching a key when it is changed, by whomever, so
 * what this worker has written is not vouched for until it is read.
 *
 * Connections die in silence, too: a PING a second, and no answer within
 * "timeout" is the end.
 *
 * Vouchers of others: a worker may be stopped, or busy, and not have read yet
 * what Redis told it.  So each shows the time up to which it has: that of the
 * turn of the event loop before the present one, since all that had come before
 * a turn began was read in it.  Others believe that for NGX_RF_ZONE_LEASE ms.
 * After more than that it reads first, before it believes itself: in a turn
 * behind a long one what Redis has said since may be behind requests that are
 * later than that.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_conn.h"
#include "ngx_rf_log.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_resolve.h"
#include "ngx_rf_tracking.h"
#include "ngx_rf_zone.h"


/* names that came or were touched, by hash; two keys in one place cost a
 * voucher now and then */
#define NGX_RF_TRACKING_NEWS    1024

/* ms between two PINGs */
#define NGX_RF_TRACKING_PING    1000

/* ms between two signs of life, and how long they are given after the last
 * operation: an idle worker sleeps */
#define NGX_RF_TRACKING_BEAT    3
#define NGX_RF_TRACKING_AWAKE   2000

/* ms before the second connection is tried again, doubled each time */
#define NGX_RF_TRACKING_PAUSE   50
#define NGX_RF_TRACKING_PAUSES  7

/* Redis 6.0, for what says its version */
#define NGX_RF_TRACKING_SINCE   60000

#define NGX_RF_TRACKING_RUN_ID  40
#define NGX_RF_TRACKING_WORDS   5
#define NGX_RF_TRACKING_POOL    4096
#define NGX_RF_TRACKING_EPOCHS  0x3fffff


/* one of the data connections */

typedef struct {
    ngx_rf_tracking_t    *tracking;
    ngx_rf_call_t         call;         /* CLIENT TRACKING */
    ngx_rf_call_command_t command;
    ngx_pool_t           *pool;
    u_char                run_id[NGX_RF_TRACKING_RUN_ID];
                                        /* of its Redis; zeroes: not known */
    unsigned              up:1;
    unsigned              asking:1;     /* "call" is in flight */
    unsigned              tracked:1;    /* of this epoch */
} ngx_rf_tracking_link_t;


struct ngx_rf_tracking_s {
    /* ngx_event_ident() of a debug log wants an fd here */
    void                 *dummy[3];
    ngx_socket_t          fd;

    ngx_rf_zone_t        *zone;
    ngx_rf_redis_t       *redis;        /* the data connections */

    ngx_rf_conn_peer_t    peer;
    ngx_rf_conn_t        *conn;         /* NULL: none, none in the making */
    ngx_rf_log_t          log;
    ngx_pool_t           *pool;         /* of the replies; lives with conn */

    ngx_event_t           timer;        /* the next try, or PING */
    ngx_event_t           beat;
    ngx_uint_t            nfailures;

    u_char                run_id[NGX_RF_TRACKING_RUN_ID];
    uint64_t              client;       /* id of conn in Redis; 0: not there */

    ngx_rf_call_t         hear;         /* SUBSCRIBE, then PINGs: on conn */
    ngx_rf_call_command_t hear_command;
    ngx_str_t             hear_argv[2];

    ngx_rf_tracking_link_t *links;
    ngx_uint_t            nlinks;
    ngx_uint_t            nup;
    ngx_str_t             words[NGX_RF_TRACKING_WORDS];
    u_char                id[NGX_INT64_LEN];

    uint32_t              epoch;        /* 0: nothing is vouched for */
    uint64_t              news;
    uint64_t              flushed;      /* news then */
    uint64_t              named[NGX_RF_TRACKING_NEWS];

    ngx_msec_t            turn;         /* of the event loop, and the last
                                           operation's */
    ngx_msec_t            active;

    unsigned              refused:1;    /* by this Redis */
    unsigned              hearing:1;    /* "hear" is in flight */
    unsigned              shared:1;     /* with other workers */
    unsigned              failing:1;    /* and it was logged */
    unsigned              destroyed:1;
};


static void ngx_rf_tracking_connect(ngx_rf_tracking_t *t);
static void ngx_rf_tracking_timer_handler(ngx_event_t *ev);
static void ngx_rf_tracking_ready(void *data, ngx_rf_redis_info_t *info);
static void ngx_rf_tracking_closed(void *data, ngx_rf_conn_end_t *end);
static ngx_int_t ngx_rf_tracking_hear(ngx_rf_tracking_t *t, char *name,
    char *arg);
static void ngx_rf_tracking_heard(ngx_rf_call_t *call, ngx_uint_t outcome);
static void ngx_rf_tracking_ask(ngx_rf_tracking_t *t, ngx_uint_t n);
static void ngx_rf_tracking_asked(ngx_rf_call_t *call, ngx_uint_t outcome);
static void ngx_rf_tracking_begin(ngx_rf_tracking_t *t);
static void ngx_rf_tracking_end(ngx_rf_tracking_t *t);
static void ngx_rf_tracking_refused(ngx_rf_tracking_t *t, ngx_str_t *why);
static ngx_uint_t ngx_rf_tracking_push(void *data, ngx_rf_reply_t *reply);
static void ngx_rf_tracking_named(ngx_rf_tracking_t *t, ngx_rf_reply_t *keys);
static void ngx_rf_tracking_beat_handler(ngx_event_t *ev);


ngx_rf_tracking_t *
ngx_rf_tracking_create(ngx_rf_zone_t *zone, ngx_rf_redis_conf_t *conf,
    ngx_rf_redis_t *redis, ngx_cycle_t *cycle, void *tp)
{
    ngx_log_t          *log;
    ngx_core_conf_t    *ccf;
    ngx_rf_tracking_t  *t;

    t = ngx_calloc(sizeof(ngx_rf_tracking_t), cycle->log);
    if (t == NULL) {
        return NULL;
    }

    ngx_rf_log_init(&t->log, cycle->log, &conf->store);
    ngx_rf_log_peer(&t->log, &conf->address);

    log = &t->log.log;

    t->fd = (ngx_socket_t) -1;
    t->zone = zone;
    t->redis = redis;
    t->nlinks = conf->connections;

    t->links = ngx_calloc(t->nlinks * sizeof(ngx_rf_tracking_link_t), log);
    if (t->links == NULL) {
        ngx_free(t);
        return NULL;
    }

    if (conf->url.naddrs == 0 && tp) {
        t->peer.resolve = ngx_rf_resolve_create(&conf->url.host,
                                                conf->url.port, tp, log);
        if (t->peer.resolve == NULL) {
            ngx_free(t->links);
            ngx_free(t);
            return NULL;
        }
    }

    t->peer.conf = conf;
    t->peer.log = &t->log;
    t->peer.ready = ngx_rf_tracking_ready;
    t->peer.closed = ngx_rf_tracking_closed;
    t->peer.push = ngx_rf_tracking_push;
    t->peer.data = t;

    t->timer.handler = ngx_rf_tracking_timer_handler;
    t->timer.data = t;
    t->timer.log = log;
    t->timer.cancelable = 1;

    t->beat.handler = ngx_rf_tracking_beat_handler;
    t->beat.data = t;
    t->beat.log = log;
    t->beat.cancelable = 1;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    /* with "timer_resolution" nobody's clock says when a turn began: each
     * worker believes only itself then */

    t->shared = (ccf->worker_processes > 1 && ccf->timer_resolution == 0);

    /* one that had this slot before may have been killed */

    zone->sh->links[ngx_process_slot].epoch = 0;

    return t;
}


void
ngx_rf_tracking_destroy(ngx_rf_tracking_t *t)
{
    ngx_uint_t               i;
    ngx_rf_tracking_link_t  *link;

    t->destroyed = 1;

    ngx_rf_tracking_end(t);

    if (t->conn) {
        ngx_rf_conn_close(t->conn);
    }

    for (i = 0; i < t->nlinks; i++) {
        link = &t->links[i];

        if (link->asking) {
            ngx_rf_redis_cut(t->redis, &link->call);
        }

        if (link->pool) {
            ngx_destroy_pool(link->pool);
        }
    }

    if (t->timer.timer_set) {
        ngx_del_timer(&t->timer);
    }

    if (t->beat.timer_set) {
        ngx_del_timer(&t->beat);
    }

    if (t->peer.resolve) {
        ngx_rf_resolve_destroy(t->peer.resolve);
    }

    ngx_free(t->links);
    ngx_free(t);
}


void
ngx_rf_tracking_up(ngx_rf_tracking_t *t, ngx_uint_t n,
    ngx_rf_redis_info_t *info)
{
    ngx_str_t                why;
    ngx_rf_tracking_link_t  *link;

    link = &t->links[n];

    ngx_memzero(link->run_id, NGX_RF_TRACKING_RUN_ID);
    link->up = 1;
    t->nup++;
    t->refused = 0;
    t->nfailures = 0;

    if (info->version && info->version < NGX_RF_TRACKING_SINCE) {
        ngx_str_set(&why, "it is older than 6.0");
        ngx_rf_tracking_refused(t, &why);
        return;
    }

    /* two connections to one address need not end in one Redis */

    if (info->run_id.len != NGX_RF_TRACKING_RUN_ID) {
        ngx_str_set(&why, "INFO is not allowed, so it cannot be told from "
                    "another");
        ngx_rf_tracking_refused(t, &why);
        return;
    }

    /* nor will the second one be told who it is */

    if (info->client == 0) {
        ngx_str_set(&why, "CLIENT ID is not allowed");
        ngx_rf_tracking_refused(t, &why);
        return;
    }

    if (t->conn
        && ngx_memcmp(t->run_id, info->run_id.data, NGX_RF_TRACKING_RUN_ID)
           != 0)
    {
        ngx_rf_conn_close(t->conn);
    }

    ngx_memcpy(link->run_id, info->run_id.data, NGX_RF_TRACKING_RUN_ID);
    ngx_memcpy(t->run_id, info->run_id.data, NGX_RF_TRACKING_RUN_ID);

    if (t->client) {
        ngx_rf_tracking_ask(t, n);

    } else {
        ngx_rf_tracking_connect(t);
    }
}


/* what was read over it nobody watches any more; that is not to be told from
 * what was read over the others */

void
ngx_rf_tracking_down(ngx_rf_tracking_t *t, ngx_uint_t n)
{
    ngx_uint_t               i, left;
    ngx_rf_tracking_link_t  *link;

    link = &t->links[n];

    if (link->up) {
        link->up = 0;
        t->nup--;
    }

    if (!link->tracked) {
        return;
    }

    link->tracked = 0;
    left = 0;

    for (i = 0; i < t->nlinks; i++) {
        left += t->links[i].tracked;
    }

    if (left) {
        ngx_rf_tracking_begin(t);

    } else {
        ngx_rf_tracking_end(t);
    }
}


static void
ngx_rf_tracking_connect(ngx_rf_tracking_t *t)
{
    if (t->conn || t->nup == 0 || t->refused || t->destroyed || ngx_exiting
        || ngx_quit)
    {
        return;
    }

    if (t->timer.timer_set) {
        ngx_del_timer(&t->timer);
    }

    t->pool = ngx_create_pool(NGX_RF_TRACKING_POOL, &t->log.log);

    if (t->pool) {
        t->peer.pool = t->pool;
        t->conn = ngx_rf_conn_create(&t->peer);
    }

    if (t->conn) {
        ngx_rf_conn_start(t->conn);
        return;
    }

    if (t->pool) {
        ngx_destroy_pool(t->pool);
        t->pool = NULL;
    }

    ngx_add_timer(&t->timer, NGX_RF_TRACKING_PING);
}


/* the next PING, if there is a connection, or the next try.  A data connection
 * that could not be told, for want of memory, is now */

static void
ngx_rf_tracking_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t          i;
    ngx_rf_tracking_t  *t;

    t = ev->data;

    if (t->conn == NULL) {
        ngx_rf_tracking_connect(t);
        return;
    }

    for (i = 0; i < t->nlinks; i++) {
        if (!t->links[i].tracked && !t->links[i].asking) {
            ngx_rf_tracking_ask(t, i);
        }
    }

    if (t->client && !t->hearing) {
        (void) ngx_rf_tracking_hear(t, "PING", NULL);
    }

    ngx_add_timer(ev, NGX_RF_TRACKING_PING);
}


static void
ngx_rf_tracking_ready(void *data, ngx_rf_redis_info_t *info)
{
    ngx_rf_tracking_t *t = data;

    if (info->run_id.len != NGX_RF_TRACKING_RUN_ID
        || info->client == 0
        || ngx_memcmp(t->run_id, info->run_id.data, NGX_RF_TRACKING_RUN_ID)
           != 0)
    {
        /* another Redis, or one that came back: the data connection will be
         * lost, too, or is on its way to it */

        ngx_rf_conn_close(t->conn);
        return;
    }

    t->client = info->client;

    if (ngx_rf_tracking_hear(t, "SUBSCRIBE", "__redis__:invalidate")
        != NGX_OK)
    {
        ngx_rf_conn_close(t->conn);
    }
}


static void
ngx_rf_tracking_closed(void *data, ngx_rf_conn_end_t *end)
{
    ngx_rf_tracking_t *t = data;

    ngx_uint_t               i, level;
    ngx_msec_t               pause;
    ngx_rf_tracking_link_t  *link;

    t->conn = NULL;
    t->client = 0;
    t->hearing = 0;

    ngx_rf_tracking_end(t);

    /* that Redis will tell this one may be heard when there is the next */

    for (i = 0; i < t->nlinks; i++) {
        link = &t->links[i];

        if (link->asking) {
            ngx_rf_redis_cut(t->redis, &link->call);
            link->asking = 0;
        }
    }

    ngx_destroy_pool(t->pool);
    t->pool = NULL;

    if (end->text.len) {
        /* the first time Redis may be gone altogether, which is said by the
         * data connection */

        level = (t->nfailures && t->nup && !t->failing) ? NGX_LOG_WARN
                                                       : NGX_LOG_INFO;
        t->failing = (level == NGX_LOG_WARN || t->failing) && t->nup != 0;

        ngx_log_error(level, &t->log.log, end->err,
                      "lost the connection for invalidations: %V", &end->text);
    }

    t->log.log.action = NULL;

    if (t->destroyed || t->nup == 0 || t->refused) {
        return;
    }

    /* halved to doubled by chance, or all workers would come at once */

    pause = NGX_RF_TRACKING_PAUSE
            << ngx_min(t->nfailures, NGX_RF_TRACKING_PAUSES);

    t->nfailures++;

    if (t->timer.timer_set) {
        ngx_del_timer(&t->timer);
    }

    ngx_add_timer(&t->timer, pause / 2 + ngx_random() % (pause + pause / 2));
}


static ngx_int_t
ngx_rf_tracking_hear(ngx_rf_tracking_t *t, char *name, char *arg)
{
    ngx_rf_call_t  *call;

    call = &t->hear;

    ngx_memzero(call, sizeof(ngx_rf_call_t));

    t->hear_argv[0].data = (u_char *) name;
    t->hear_argv[0].len = ngx_strlen(name);
    t->hear_command.argv = t->hear_argv;
    t->hear_command.argc = 1;

    if (arg) {
        t->hear_argv[1].data = (u_char *) arg;
        t->hear_argv[1].len = ngx_strlen(arg);
        t->hear_command.argc = 2;
    }

    call->commands = &t->hear_command;
    call->ncommands = 1;
    call->pool = t->pool;
    call->handler = ngx_rf_tracking_heard;
    call->data = t;
    call->deadline = ngx_current_msec + t->peer.conf->connect_timeout
                     + t->peer.conf->timeout;

    t->hearing = 1;

    if (ngx_rf_conn_send(t->conn, call) != NGX_OK) {
        t->hearing = 0;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_rf_tracking_heard(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_str_t           why;
    ngx_uint_t          i;
    ngx_rf_reply_t     *reply;
    ngx_rf_tracking_t  *t;

    t = call->data;
    t->hearing = 0;

    reply = t->hear_command.reply;

    if (reply->type == NGX_RF_REPLY_ERROR) {
        why = reply->str;
        ngx_rf_tracking_refused(t, &why);
        return;
    }

    ngx_reset_pool(t->pool);

    if (t->hear_command.argc == 1) {
        /* PING */
        return;
    }

    if (!t->timer.timer_set) {
        ngx_add_timer(&t->timer, NGX_RF_TRACKING_PING);
    }

    for (i = 0; i < t->nlinks; i++) {
        ngx_rf_tracking_ask(t, i);
    }
}


static void
ngx_rf_tracking_ask(ngx_rf_tracking_t *t, ngx_uint_t n)
{
    ngx_rf_call_t           *call;
    ngx_rf_tracking_link_t  *link;

    link = &t->links[n];

    if (!link->up || t->client == 0 || t->hearing || t->destroyed) {
        return;
    }

    /* another Redis may have that id, too, and would tell it to somebody */

    if (ngx_memcmp(link->run_id, t->run_id, NGX_RF_TRACKING_RUN_ID) != 0) {
        return;
    }

    if (link->asking) {
        ngx_rf_redis_cut(t->redis, &link->call);
        link->asking = 0;
    }

    if (link->pool == NULL) {
        link->pool = ngx_create_pool(NGX_RF_TRACKING_POOL, &t->log.log);
        if (link->pool == NULL) {
            return;
        }
    }

    ngx_str_set(&t->words[0], "CLIENT");
    ngx_str_set(&t->words[1], "TRACKING");
    ngx_str_set(&t->words[2], "ON");
    ngx_str_set(&t->words[3], "REDIRECT");
    t->words[4].data = t->id;
    t->words[4].len = ngx_sprintf(t->id, "%uL", t->client) - t->id;

    link->tracking = t;

    call = &link->call;

    ngx_memzero(call, sizeof(ngx_rf_call_t));

    link->command.argv = t->words;
    link->command.argc = NGX_RF_TRACKING_WORDS;

    call->commands = &link->command;
    call->ncommands = 1;
    call->pool = link->pool;
    call->handler = ngx_rf_tracking_asked;
    call->data = link;
    call->order = n;
    call->once = 1;

    link->asking = (ngx_rf_redis_call(t->redis, call) == NGX_AGAIN);
}


static void
ngx_rf_tracking_asked(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_rf_reply_t          *reply;
    ngx_rf_tracking_t       *t;
    ngx_rf_tracking_link_t  *link;

    link = call->data;
    link->asking = 0;

    t = link->tracking;
    reply = link->command.reply;

    if (outcome != NGX_RF_CALL_DONE || !link->up || t->client == 0) {
        return;
    }

    if (reply->type == NGX_RF_REPLY_ERROR
        && ngx_strnstr(reply->str.data, "does not exist", reply->str.len))
    {
        /* the second connection, for Redis; we have not heard of it yet */

        ngx_rf_conn_close(t->conn);

    } else if (reply->type == NGX_RF_REPLY_ERROR) {
        ngx_rf_tracking_refused(t, &reply->str);

    } else {
        link->tracked = 1;
        t->nfailures = 0;

        if (t->epoch == 0) {

            /* only now: another worker whose epoch begins anew with what it
             * has left says nothing of what Redis would allow */

            t->zone->sh->untracked = 0;
            ngx_rf_tracking_begin(t);
        }
    }

    ngx_reset_pool(link->pool);
}


static void
ngx_rf_tracking_begin(ngx_rf_tracking_t *t)
{
    ngx_rf_zone_sh_t  *sh;

    sh = t->zone->sh;

    /* A number comes again after 4 million epochs of all workers.  A voucher
     * that has lain since would be good once more if that is of its own slot,
     * as long as that epoch lasts, and if nobody has changed the entry or read
     * it from Redis in between */

    do {
        t->epoch = (ngx_atomic_fetch_add(&sh->link_epoch, 1) + 1)
                   & NGX_RF_TRACKING_EPOCHS;
    } while (t->epoch == 0);

    t->failing = 0;

    sh->links[ngx_process_slot].epoch = t->epoch;
    sh->links[ngx_process_slot].beat = t->shared ? t->turn : 0;

    ngx_log_debug1(NGX_LOG_DEBUG_CORE, &t->log.log, 0,
                   "redis vouches, epoch %uD", t->epoch);
}


static void
ngx_rf_tracking_end(ngx_rf_tracking_t *t)
{
    ngx_uint_t  i;

    for (i = 0; i < t->nlinks; i++) {
        t->links[i].tracked = 0;
    }

    t->epoch = 0;
    t->zone->sh->links[ngx_process_slot].epoch = 0;
}


/* once in the log, until it works again */

static void
ngx_rf_tracking_refused(ngx_rf_tracking_t *t, ngx_str_t *why)
{
    t->refused = 1;

    if (ngx_atomic_cmp_set(&t->zone->sh->untracked, 0, 1)) {
        ngx_log_error(NGX_LOG_WARN, &t->log.log, 0,
                      "redis does not track, \"cache tracking\" acts as "
                      "\"off\": %V", why);
    }

    ngx_rf_tracking_end(t);

    if (t->conn) {
        ngx_rf_conn_close(t->conn);
    }
}


/* whether it is one: [ "message", channel, keys or nil ] */

static ngx_uint_t
ngx_rf_tracking_push(void *data, ngx_rf_reply_t *reply)
{
    ngx_rf_tracking_t *t = data;

    ngx_rf_reply_t  *elts;

    elts = reply->elts;

    if (reply->type != NGX_RF_REPLY_ARRAY || reply->nelts != 3
        || elts[0].str.len != sizeof("message") - 1
        || ngx_memcmp(elts[0].str.data, "message", elts[0].str.len) != 0)
    {
        return 0;
    }

    ngx_rf_tracking_named(t, &elts[2]);

    ngx_reset_pool(t->pool);

    return 1;
}


static void
ngx_rf_tracking_named(ngx_rf_tracking_t *t, ngx_rf_reply_t *keys)
{
    ngx_uint_t  i, n;
    ngx_str_t  *key;

    t->news++;

    if (keys->type != NGX_RF_REPLY_ARRAY) {

        /* nil: FLUSHALL or FLUSHDB, perhaps of another database */

        t->flushed = t->news;
        ngx_rf_zone_flushed(t->zone);

        if (t->epoch) {
            ngx_rf_tracking_begin(t);
        }

        return;
    }

    for (i = 0; i < keys->nelts; i++) {
        key = &keys->elts[i].str;

        n = ngx_rf_zone_hash(t->zone->sh, key) % NGX_RF_TRACKING_NEWS;
        t->named[n] = t->news;

        ngx_rf_zone_invalidated(t->zone, key);
    }
}


ngx_uint_t
ngx_rf_tracking_vouches(ngx_rf_tracking_t *t)
{
    return t->epoch != 0;
}


void
ngx_rf_tracking_mark(ngx_rf_tracking_t *t, ngx_uint_t link,
    ngx_rf_tracking_mark_t *mark)
{
    mark->news = t->news;
    mark->epoch = t->links[link].tracked ? t->epoch : 0;
}


uint64_t
ngx_rf_tracking_vouch(ngx_rf_tracking_t *t, ngx_rf_tracking_mark_t *mark,
    ngx_str_t *key)
{
    ngx_uint_t  n;

    if (mark->epoch == 0 || mark->epoch != t->epoch
        || t->flushed > mark->news)
    {
        return 0;
    }

    if (t->news != mark->news) {
        n = ngx_rf_zone_hash(t->zone->sh, key) % NGX_RF_TRACKING_NEWS;

        if (t->named[n] > mark->news) {
            return NGX_RF_ZONE_NAMED;
        }
    }

    return ngx_rf_zone_voucher(ngx_process_slot, t->epoch);
}


void
ngx_rf_tracking_touched(ngx_rf_tracking_t *t, uint32_t hash)
{
    t->named[hash % NGX_RF_TRACKING_NEWS] = ++t->news;
}


void
ngx_rf_tracking_alive(ngx_rf_tracking_t *t)
{
    ngx_rf_link_t  *link;

    if (t->turn == ngx_current_msec) {
        return;
    }

    if (t->conn && ngx_current_msec - t->turn > NGX_RF_ZONE_LEASE) {
        ngx_rf_conn_poll(t->conn);
    }

    /* up to the last turn everything was read */

    link = &t->zone->sh->links[ngx_process_slot];

    if (t->shared && t->epoch) {
        link->beat = t->turn;
    }

    /* it is gone if the zone was made anew */

    link->epoch = t->epoch;

    t->turn = ngx_current_msec;
    t->active = t->turn;

    if (t->shared && t->epoch && !t->beat.timer_set) {
        ngx_add_timer(&t->beat, NGX_RF_TRACKING_BEAT);
    }
}


static void
ngx_rf_tracking_beat_handler(ngx_event_t *ev)
{
    ngx_msec_t          active;
    ngx_rf_tracking_t  *t;

    t = ev->data;

    if (t->epoch == 0
        || ngx_current_msec - t->active > NGX_RF_TRACKING_AWAKE)
    {
        return;
    }

    active = t->active;
    ngx_rf_tracking_alive(t);
    t->active = active;

    if (!ev->timer_set) {
        ngx_add_timer(ev, NGX_RF_TRACKING_BEAT);
    }
}
