/*
 * One read per key: of the same reads only one goes to Redis.  Those that come
 * before a byte of it has left, in the same turn of the event loop or in those
 * that share its write, get its reply as their own: Redis will say what holds
 * at a time when all of them had begun.  For those that come later it may be
 * too old: somebody's write may have been acknowledged in between.  They look
 * into memory when it is back, and what memory may not answer they ask
 * together, by one more command.
 *
 * Where memory would not answer ("cache off", or Redis does not track) there is
 * nothing to wait for: who finds it sent sends another one, for all that come
 * before that one leaves.
 *
 * Commands of an order of their own (a pipeline of the API with several
 * connections) join only what goes over the same connection: what the pipeline
 * has written is not to be overtaken.
 *
 * With redis_fallback_lock the workers do so among each other: who reads puts
 * who it is and the time into a place that follows from the key, and takes it
 * out again; who finds one there looks again a little later.  Two keys in one
 * place wait for each other.  One that died is waited for in vain, once.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_command.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


/* ms that a read of another worker is waited for: more than Redis takes, and a
 * fraction of what a request has */
#define NGX_RF_FLIGHT_PATIENCE  200

/* reads in one place: who finds so many asks by itself, since clients may
 * choose keys whose hashes collide */
#define NGX_RF_FLIGHT_CHAIN     32

/* a lock, in the 32 bits that an ngx_atomic_t has at least: the process' slot,
 * from 1, and ms, which begin anew after 35 minutes */
#define NGX_RF_FLIGHT_MS        0x1fffff
#define ngx_rf_flight_lock()                                                  \
    ((ngx_atomic_uint_t) (ngx_process_slot + 1) << 21                         \
     | (ngx_current_msec & NGX_RF_FLIGHT_MS))
#define ngx_rf_flight_slot(lock)    ((ngx_int_t) ((lock) >> 21) - 1)

#if (NGX_MAX_PROCESSES > 2047)
#error a process slot does not fit into 11 bits
#endif


static ngx_uint_t ngx_rf_flight_learns(ngx_rf_store_t *store);
static ngx_int_t ngx_rf_flight_again(ngx_rf_work_t *w);
static ngx_uint_t ngx_rf_flight_same(ngx_rf_work_t *w, ngx_rf_work_t *leader);


ngx_uint_t
ngx_rf_flight_join(ngx_rf_work_t *w)
{
    uint32_t         hash;
    ngx_uint_t       n;
    ngx_queue_t     *q, *flights;
    ngx_rf_op_t     *op;
    ngx_rf_work_t   *leader;
    ngx_rf_store_t  *store;

    op = w->op;
    store = op->store;

    if (w->leads || op->command->first != 1 || op->command->last != 1) {
        return 0;
    }

    /* each by itself */

    if (op->command->id == NGX_RF_CMD_SRANDMEMBER
        || op->command->id == NGX_RF_CMD_HRANDFIELD
        || op->command->id == NGX_RF_CMD_ZRANDMEMBER)
    {
        return 0;
    }

    hash = ngx_rf_work_hash(w);
    flights = &store->flights[hash % NGX_RF_STORE_FLIGHTS];
    n = 0;

    /* the last one first: those before it have left */

    for (q = ngx_queue_last(flights);
         q != ngx_queue_sentinel(flights);
         q = ngx_queue_prev(q))
    {
        leader = ngx_queue_data(q, ngx_rf_work_t, flight);

        if (++n == NGX_RF_FLIGHT_CHAIN) {
            return 0;
        }

        if (leader->closed || !ngx_rf_flight_same(w, leader)) {
            continue;
        }

        w->shares = !leader->calling
                    || ngx_rf_redis_unsent(store->redis, &leader->call);

        if (!w->shares && (w->alone || !ngx_rf_flight_learns(store))) {
            break;
        }

        w->waiting = 1;
        w->alone = 1;
        ngx_queue_insert_tail(&leader->followers, &w->queue);
        return 1;
    }

    store->nleads++;
    w->leads = 1;
    w->closed = 0;
    ngx_queue_init(&w->followers);
    ngx_queue_insert_tail(flights, &w->flight);

    return 0;
}


/* whether memory answers what it learns from the reply to a read */

static ngx_uint_t
ngx_rf_flight_learns(ngx_rf_store_t *store)
{
    return store->tracking ? ngx_rf_tracking_vouches(store->tracking)
                           : store->conf.cache != NGX_RF_CACHE_OFF;
}


ngx_uint_t
ngx_rf_flight_wait(ngx_rf_work_t *w)
{
    ngx_msec_t          since;
    ngx_atomic_t       *place;
    ngx_atomic_uint_t   held;

    if (!w->leads || w->lock || !ngx_rf_flight_learns(w->op->store)) {
        return 0;
    }

    w->hash = ngx_rf_work_hash(w);

    place = &w->op->store->zone.sh->locks[w->hash % NGX_RF_ZONE_LOCKS];
    held = *place;

    since = (ngx_current_msec - held) & NGX_RF_FLIGHT_MS;

    if (held && ngx_rf_flight_slot(held) != ngx_process_slot
        && since < NGX_RF_FLIGHT_PATIENCE
        && (w->patience == 0
            || (ngx_msec_int_t) (w->patience - ngx_current_msec) > 0))
    {
        if (w->patience == 0) {
            w->patience = ngx_current_msec + NGX_RF_FLIGHT_PATIENCE;
        }

        (void) ngx_rf_work_wait(w, ngx_rf_flight_again, ngx_rf_flight_again);
        return 1;
    }

    w->lock = ngx_rf_flight_lock();

    if (!ngx_atomic_cmp_set(place, held, w->lock)) {
        /* somebody else was faster, or is done */
        w->lock = 0;
    }

    return 0;
}


/* memory may know it by now */

static ngx_int_t
ngx_rf_flight_again(ngx_rf_work_t *w)
{
    ngx_int_t    rc;
    ngx_queue_t  followers;

    ngx_queue_init(&followers);
    ngx_rf_flight_landed(w, NULL, &followers);

    rc = ngx_rf_work_route(w);

    if (ngx_queue_empty(&followers)) {
        return rc;
    }

    if (w->leads) {
        ngx_queue_add(&w->followers, &followers);
        return rc;
    }

    /* those who are answered may take this one with them, so it is the first */

    ngx_rf_work_resume(w, rc);
    ngx_rf_flight_resume(&followers);

    return NGX_DONE;
}


static ngx_uint_t
ngx_rf_flight_same(ngx_rf_work_t *w, ngx_rf_work_t *leader)
{
    ngx_uint_t    i;
    ngx_rf_op_t  *a, *b;

    a = w->op;
    b = leader->op;

    if (a->command != b->command || a->argc != b->argc) {
        return 0;
    }

    for (i = 1; i < a->argc; i++) {

        if (a->argv[i].len != b->argv[i].len
            || ngx_memcmp(a->argv[i].data, b->argv[i].data, a->argv[i].len)
               != 0)
        {
            return 0;
        }
    }

    return a->order == b->order
           || a->order % a->store->conf.redis.connections
              == b->order % a->store->conf.redis.connections;
}


void
ngx_rf_flight_landed(ngx_rf_work_t *w, ngx_rf_reply_t *reply,
    ngx_queue_t *followers)
{
    ngx_queue_t    *q;
    ngx_rf_work_t  *follower;

    w->leads = 0;
    w->op->store->nleads--;
    ngx_queue_remove(&w->flight);

    if (w->lock) {
        (void) ngx_atomic_cmp_set(&w->op->store->zone.sh
                                   ->locks[w->hash % NGX_RF_ZONE_LOCKS],
                                  w->lock, 0);
        w->lock = 0;
    }

    if (ngx_queue_empty(&w->followers)) {
        return;
    }

    /* the leader's pool may go before they are answered.  Without memory they
     * ask themselves */

    for (q = ngx_queue_head(&w->followers);
         reply && q != ngx_queue_sentinel(&w->followers);
         q = ngx_queue_next(q))
    {
        follower = ngx_queue_data(q, ngx_rf_work_t, queue);

        if (follower->shares) {
            follower->shared = ngx_rf_resp_copy(follower->op->pool, reply);
        }
    }

    ngx_queue_add(followers, &w->followers);
}


/* each may cancel others, which takes them out of the queue */

void
ngx_rf_flight_resume(ngx_queue_t *followers)
{
    ngx_queue_t     *q;
    ngx_rf_work_t   *w;
    ngx_rf_reply_t  *reply;

    while (!ngx_queue_empty(followers)) {
        q = ngx_queue_head(followers);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_rf_work_t, queue);
        w->waiting = 0;

        reply = w->shared;
        w->shared = NULL;

        ngx_rf_work_resume(w, reply ? ngx_rf_work_answer(w, reply,
                                                         NGX_RF_TIER_REDIS)
                                    : ngx_rf_work_route(w));
    }
}


void
ngx_rf_flight_close(ngx_rf_store_t *store, ngx_str_t *key, uint32_t hash)
{
    ngx_str_t      *other;
    ngx_queue_t    *q, *flights;
    ngx_rf_work_t  *leader;

    if (store->nleads == 0) {
        return;
    }

    flights = &store->flights[hash % NGX_RF_STORE_FLIGHTS];

    for (q = ngx_queue_head(flights);
         q != ngx_queue_sentinel(flights);
         q = ngx_queue_next(q))
    {
        leader = ngx_queue_data(q, ngx_rf_work_t, flight);
        other = &leader->op->argv[1];

        if (other->len == key->len
            && ngx_memcmp(other->data, key->data, key->len) == 0)
        {
            leader->closed = 1;
        }
    }
}


/* not from inside of a request that goes away, or begins: soon, as those who
 * wait */

void
ngx_rf_flight_left(ngx_rf_work_t *w)
{
    ngx_queue_t     followers, *q;
    ngx_rf_work_t  *follower;

    ngx_queue_init(&followers);
    ngx_rf_flight_landed(w, NULL, &followers);

    while (!ngx_queue_empty(&followers)) {
        q = ngx_queue_head(&followers);
        ngx_queue_remove(q);

        follower = ngx_queue_data(q, ngx_rf_work_t, queue);
        follower->alone = 0;

        (void) ngx_rf_work_wait(follower, ngx_rf_work_route,
                                ngx_rf_work_busy);
    }
}
