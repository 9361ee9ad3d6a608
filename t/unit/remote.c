/*
 * Redis as the unit tests have it, see remote.h.
 */

#include "remote.h"
#include "ngx_rf_resp.h"
#include "scarce.h"


static remote_t    *remote_now;
static ngx_uint_t   remote_timers;

/* a test only where it fails */
#define remote_needs(passed, name)  ((passed) ? 1 : ok(0, name))


ngx_int_t __real_ngx_rf_redis_call(ngx_rf_redis_t *redis, ngx_rf_call_t *call);
ngx_uint_t __real_ngx_rf_redis_unsent(ngx_rf_redis_t *redis,
    ngx_rf_call_t *call);
void __real_ngx_rf_redis_cut(ngx_rf_redis_t *redis, ngx_rf_call_t *call);
ngx_uint_t __real_ngx_rf_redis_connected(ngx_rf_redis_t *redis);
ngx_str_t *__real_ngx_rf_redis_run_id(ngx_rf_redis_t *redis);
ngx_rf_conn_t *__real_ngx_rf_conn_create(ngx_rf_conn_peer_t *peer);
void __real_ngx_rf_conn_start(ngx_rf_conn_t *conn);
void __real_ngx_rf_conn_close(ngx_rf_conn_t *conn);
ngx_int_t __real_ngx_rf_conn_send(ngx_rf_conn_t *conn, ngx_rf_call_t *call);

ngx_int_t __wrap_ngx_rf_redis_call(ngx_rf_redis_t *redis, ngx_rf_call_t *call);
ngx_uint_t __wrap_ngx_rf_redis_unsent(ngx_rf_redis_t *redis,
    ngx_rf_call_t *call);
void __wrap_ngx_rf_redis_cut(ngx_rf_redis_t *redis, ngx_rf_call_t *call);
ngx_uint_t __wrap_ngx_rf_redis_connected(ngx_rf_redis_t *redis);
ngx_str_t *__wrap_ngx_rf_redis_run_id(ngx_rf_redis_t *redis);
ngx_rf_conn_t *__wrap_ngx_rf_conn_create(ngx_rf_conn_peer_t *peer);
void __wrap_ngx_rf_conn_start(ngx_rf_conn_t *conn);
void __wrap_ngx_rf_conn_close(ngx_rf_conn_t *conn);
ngx_int_t __wrap_ngx_rf_conn_send(ngx_rf_conn_t *conn, ngx_rf_call_t *call);


void
remote_begin(remote_t *remote, ngx_log_t *log)
{
    ngx_memzero(remote, sizeof(remote_t));

    /* nginx -t has no event loop */

    if (!remote_timers) {
        (void) ngx_event_timer_init(log);
        remote_timers = 1;
    }

    ngx_time_update();

    remote->core.worker_processes = 2;
    remote->conf[ngx_core_module.index] = &remote->core;
    remote->cycle.conf_ctx = (void *) remote->conf;
    remote->cycle.log = log;

    remote_now = remote;
}


void
remote_end(void)
{
    remote_now = NULL;
    ngx_time_update();
}


void
remote_later(ngx_msec_t ms)
{
    ngx_current_msec += ms;
    ngx_event_expire_timers();
}


static ngx_rf_reply_t *
remote_reply(ngx_rf_resp_reader_t *reader, ngx_pool_t *pool)
{
    const char      *err;
    ngx_rf_reply_t  *reply;

    reply = NULL;
    (void) remote_needs(ngx_rf_resp_next(reader, pool, &reply, &err) == NGX_OK
                        && reply, "a reply for each command");

    return reply;
}


static void
remote_done(ngx_rf_call_t *call, ngx_pool_t *pool, const char *wire)
{
    ngx_uint_t             i;
    ngx_rf_resp_reader_t  *reader;

    reader = ngx_rf_resp_reader_create();
    (void) ngx_rf_resp_feed(reader, (u_char *) wire, strlen(wire));

    for (i = 0; i < call->ncommands; i++) {
        call->commands[i].reply = remote_reply(reader, pool);
    }

    ngx_rf_resp_reader_destroy(reader);
}


static void
remote_handle(remote_t *remote, ngx_rf_call_t *call)
{
    scarce_begin(remote->scarce);
    call->handler(call, NGX_RF_CALL_DONE);
    remote->hit = scarce_end();

    remote->scarce = 0;
}


static void
remote_remove(remote_t *remote, ngx_rf_call_t *call)
{
    ngx_uint_t  i;

    for (i = 0; i < remote->ncalls && remote->calls[i] != call; i++) {
        /* void */
    }

    if (i == remote->ncalls) {
        return;
    }

    remote->ncalls--;

    for ( /* void */ ; i < remote->ncalls; i++) {
        remote->calls[i] = remote->calls[i + 1];
    }
}


void
remote_answer(remote_t *remote, ngx_pool_t *pool, ngx_uint_t n,
    const char *wire)
{
    ngx_rf_call_t  *call;

    if (!remote_needs(n < remote->ncalls, "it was asked for")) {
        return;
    }

    call = remote->calls[n];
    remote_remove(remote, call);
    remote_done(call, pool, wire);
    remote_handle(remote, call);
}


void
remote_heard(remote_t *remote, ngx_pool_t *pool, const char *wire)
{
    ngx_rf_call_t  *call;

    if (!remote_needs(remote->heard != NULL, "it was sent")) {
        return;
    }

    call = remote->heard;
    remote->heard = NULL;
    remote_done(call, pool, wire);
    remote_handle(remote, call);
}


void
remote_ready(remote_t *remote, const char *run_id, uint64_t client)
{
    ngx_rf_redis_info_t  info;

    if (!remote_needs(remote->peer != NULL, "there is a connection")) {
        return;
    }

    ngx_memzero(&info, sizeof(ngx_rf_redis_info_t));
    info.run_id.data = (u_char *) run_id;
    info.run_id.len = strlen(run_id);
    info.client = client;
    info.version = 70000;

    remote->peer->ready(remote->peer->data, &info);
}


ngx_uint_t
remote_push(remote_t *remote, ngx_pool_t *pool, const char *wire)
{
    ngx_uint_t             rc;
    ngx_rf_reply_t        *reply;
    ngx_rf_resp_reader_t  *reader;

    reader = ngx_rf_resp_reader_create();
    (void) ngx_rf_resp_feed(reader, (u_char *) wire, strlen(wire));
    reply = remote_reply(reader, pool);

    rc = (reply && remote->peer)
         ? remote->peer->push(remote->peer->data, reply) : 0;

    ngx_rf_resp_reader_destroy(reader);

    return rc;
}


static void
remote_closed(remote_t *remote, const char *text)
{
    ngx_rf_conn_end_t    end;
    ngx_rf_conn_peer_t  *peer;

    ngx_memzero(&end, sizeof(ngx_rf_conn_end_t));
    end.text.data = (u_char *) text;
    end.text.len = strlen(text);
    ngx_queue_init(&end.calls);

    peer = remote->peer;
    remote->peer = NULL;
    remote->heard = NULL;

    peer->closed(peer->data, &end);
}


void
remote_lost(remote_t *remote)
{
    if (remote_needs(remote->peer != NULL, "there is a connection")) {
        remote_closed(remote, "redis closed the connection");
    }
}


const char *
remote_words(ngx_rf_call_t *call)
{
    static char  out[256];

    ngx_uint_t   i;
    ngx_str_t   *argv;

    out[0] = '\0';
    argv = call->commands[0].argv;

    for (i = 0; i < call->commands[0].argc; i++) {
        snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%.*s",
                 i ? " " : "", (int) argv[i].len, (char *) argv[i].data);
    }

    return out;
}


ngx_int_t
__wrap_ngx_rf_redis_call(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    remote_t  *remote;

    remote = remote_now;

    if (remote == NULL) {
        return __real_ngx_rf_redis_call(redis, call);
    }

    if (!remote_needs(remote->ncalls < REMOTE_CALLS, "not too many calls")) {
        return NGX_ERROR;
    }

    call->link = call->order;
    remote->calls[remote->ncalls++] = call;
    remote->asked++;

    return NGX_AGAIN;
}


ngx_uint_t
__wrap_ngx_rf_redis_unsent(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    return remote_now ? 1 : __real_ngx_rf_redis_unsent(redis, call);
}


void
__wrap_ngx_rf_redis_cut(ngx_rf_redis_t *redis, ngx_rf_call_t *call)
{
    if (remote_now == NULL) {
        __real_ngx_rf_redis_cut(redis, call);
        return;
    }

    remote_remove(remote_now, call);
}


ngx_uint_t
__wrap_ngx_rf_redis_connected(ngx_rf_redis_t *redis)
{
    return remote_now ? remote_now->run_id.len != 0
                      : __real_ngx_rf_redis_connected(redis);
}


ngx_str_t *
__wrap_ngx_rf_redis_run_id(ngx_rf_redis_t *redis)
{
    return remote_now ? &remote_now->run_id
                      : __real_ngx_rf_redis_run_id(redis);
}


ngx_rf_conn_t *
__wrap_ngx_rf_conn_create(ngx_rf_conn_peer_t *peer)
{
    if (remote_now == NULL) {
        return __real_ngx_rf_conn_create(peer);
    }

    (void) remote_needs(remote_now->peer == NULL,
                        "one second connection at a time");
    remote_now->peer = peer;
    remote_now->made++;

    return (ngx_rf_conn_t *) (void *) remote_now;
}


void
__wrap_ngx_rf_conn_start(ngx_rf_conn_t *conn)
{
    if (remote_now == NULL) {
        __real_ngx_rf_conn_start(conn);
    }
}


void
__wrap_ngx_rf_conn_close(ngx_rf_conn_t *conn)
{
    if (remote_now == NULL) {
        __real_ngx_rf_conn_close(conn);
        return;
    }

    remote_closed(remote_now, "");
}


ngx_int_t
__wrap_ngx_rf_conn_send(ngx_rf_conn_t *conn, ngx_rf_call_t *call)
{
    if (remote_now == NULL) {
        return __real_ngx_rf_conn_send(conn, call);
    }

    remote_now->heard = call;

    return NGX_OK;
}
