/*
 * The per-worker client of one Redis: picks one of its connections, queues
 * calls, retries within a budget.
 *
 * Guarantees: a call that was accepted gets its handler called exactly once,
 * never from inside ngx_rf_redis_call(), and no later than connect_timeout +
 * timeout after it was accepted; calls of one "order" go over one connection,
 * in the order in which they were submitted, and their replies come so; a
 * connection carries calls only after its handshake (AUTH, SELECT, INFO)
 * succeeded; there are at most conf->connections of them, made one at a time;
 * nothing blocks, names included.
 *
 * Refuses to know: keys, modes, memory, files, requests.
 */

#ifndef _NGX_RF_REDIS_H_INCLUDED_
#define _NGX_RF_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf.h"
#include "ngx_rf_conn.h"


typedef struct ngx_rf_redis_s  ngx_rf_redis_t;


/*
 * ngx_rf_redis_conf_t is in ngx_rf_conn.h, ngx_rf_call_t with its outcomes in
 * ngx_rf_pipeline.h, ngx_rf_redis_info_t in ngx_rf_handshake.h.
 */


/* up: after each successful handshake, before the first call is sent; calls
 * that are submitted in there for the same link go first.  "info" is gone when
 * it returns.
 * down: a ready connection is gone, for whatever reason: lost with calls in
 * flight, closed by Redis while idle, or reset.  Not called by destroy */

typedef void (*ngx_rf_redis_up_pt)(void *data, ngx_rf_redis_info_t *info);
typedef void (*ngx_rf_redis_down_pt)(void *data);


/* one per worker and store; "tp" resolves names (NULL: only addresses work,
 * names are resolved once at configuration time) */
ngx_rf_redis_t *ngx_rf_redis_create(ngx_rf_redis_conf_t *conf,
    ngx_cycle_t *cycle, void *tp, ngx_rf_redis_up_pt up,
    ngx_rf_redis_down_pt down, void *data);
/* closes all connections without an [alert]; calls in flight fail, and none is
 * accepted any more.  Not from inside a handler, up or down */
void ngx_rf_redis_destroy(ngx_rf_redis_t *redis);

/* NGX_AGAIN: the handler will be called; NGX_ERROR: no memory, no commands, or
 * too long for Redis, it will not */
ngx_int_t ngx_rf_redis_call(ngx_rf_redis_t *redis, ngx_rf_call_t *call);
/* a call whose handler is to come: its commands are still to be sent, so their
 * replies will tell of no time before now */
ngx_uint_t ngx_rf_redis_unsent(ngx_rf_redis_t *redis, ngx_rf_call_t *call);
/* the caller goes away: the handler will not be called, a command that was
 * sent completes and its reply is dropped */
void ngx_rf_redis_cut(ngx_rf_redis_t *redis, ngx_rf_call_t *call);

/* why the last try failed, for the log: "connect() failed (111: ...)",
 * "timed out", "LOADING ..."; never NULL, never a secret */
ngx_str_t *ngx_rf_redis_failure(ngx_rf_redis_t *redis);

/* whether the first link is: that of calls with "order" 0 */
ngx_uint_t ngx_rf_redis_connected(ngx_rf_redis_t *redis);
/* how many links are; inside down() without the one that it is about */
ngx_uint_t ngx_rf_redis_nconnected(ngx_rf_redis_t *redis);
/* from inside up() or down(): which link it is about, from 0; it is that of
 * calls which have this number as their "order" */
ngx_uint_t ngx_rf_redis_link(ngx_rf_redis_t *redis);

/* from inside up(): this is not the Redis that those who wait were sent to;
 * all but the "once" calls of this link fail as UNSENT, so that they are
 * decided again */
void ngx_rf_redis_bounce(ngx_rf_redis_t *redis);

/* of the Redis that the first link is connected to, or from inside up() and
 * down() theirs, until down() returns; len 0: none, or it may not be asked */
ngx_str_t *ngx_rf_redis_run_id(ngx_rf_redis_t *redis);
/* from inside down(): the id that Redis knows the connection by, if it was
 * given up with commands in flight, which Redis may still get; 0: none were,
 * or the id is unknown */
uint64_t ngx_rf_redis_abandoned(ngx_rf_redis_t *redis);

/* from inside down(): the id that Redis knows the connection by, 0: unknown */
uint64_t ngx_rf_redis_client(ngx_rf_redis_t *redis);
/* whether any link has commands in flight */
ngx_uint_t ngx_rf_redis_inflight(ngx_rf_redis_t *redis);

/* closes each connection that has nothing in flight, so that the next call
 * makes (and resolves) a new one */
void ngx_rf_redis_reset(ngx_rf_redis_t *redis);


#endif /* _NGX_RF_REDIS_H_INCLUDED_ */
