/*
 * One read per key: of the same reads that come while one is on its way to
 * Redis only that one goes; the others look into memory when it is back.  They
 * ask themselves if memory may not answer then, so nothing is promised to them
 * that memory would not have promised.
 *
 * With redis_fallback_lock the workers do so among each other: who reads puts
 * its pid and the time into a place that follows from the key, and takes it
 * out again; who finds one there looks again a little later.  Two keys in one
 * place wait for each other.  One that died is waited for in vain, once.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


/* ms that a read of another worker is waited for: more than Redis takes, and a
 * fraction of what a request has */
#define NGX_RF_FLIGHT_PATIENCE  200


static ngx_int_t ngx_rf_flight_again(ngx_rf_work_t *w);
static ngx_uint_t ngx_rf_flight_same(ngx_rf_work_t *w, ngx_rf_work_t *leader);


ngx_uint_t
ngx_rf_flight_join(ngx_rf_work_t *w)
{
    uint32_t         hash;
    ngx_queue_t     *q, *flights;
    ngx_rf_op_t     *op;
    ngx_rf_work_t   *leader;
    ngx_rf_store_t  *store;

    op = w->op;
    store = op->store;

    if (w->alone || w->leads || op->command->first != 1
        || op->command->last != 1)
    {
        return 0;
    }

    hash = ngx_rf_work_hash(w);
    flights = &store->flights[hash % NGX_RF_STORE_FLIGHTS];

    for (q = ngx_queue_head(flights);
         q != ngx_queue_sentinel(flights);
         q = ngx_queue_next(q))
    {
        leader = ngx_queue_data(q, ngx_rf_work_t, flight);

        if (!leader->closed && ngx_rf_flight_same(w, leader)) {
            w->waiting = 1;
            w->alone = 1;
            ngx_queue_insert_tail(&leader->followers, &w->queue);
            return 1;
        }
    }

    w->leads = 1;
    w->closed = 0;
    w->hash = hash;
    ngx_queue_init(&w->followers);
    ngx_queue_insert_tail(flights, &w->flight);

    return 0;
}


ngx_uint_t
ngx_rf_flight_wait(ngx_rf_work_t *w)
{
    ngx_msec_t          since;
    ngx_atomic_t       *place;
    ngx_atomic_uint_t   held;

    if (!w->leads || w->lock) {
        return 0;
    }

    place = &w->op->store->zone.sh->locks[w->hash % NGX_RF_ZONE_LOCKS];
    held = *place;

    since = (uint32_t) ngx_current_msec - (uint32_t) held;

    if (held && (ngx_pid_t) (held >> 32) != ngx_pid
        && (uint32_t) since < NGX_RF_FLIGHT_PATIENCE
        && (w->patience == 0
            || (ngx_msec_int_t) (w->patience - ngx_current_msec) > 0))
    {
        if (w->patience == 0) {
            w->patience = ngx_current_msec + NGX_RF_FLIGHT_PATIENCE;
        }

        (void) ngx_rf_work_wait(w, ngx_rf_flight_again, ngx_rf_flight_again);
        return 1;
    }

    w->lock = (ngx_atomic_uint_t) ngx_pid << 32 | (uint32_t) ngx_current_msec;

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
    ngx_rf_flight_landed(w, &followers);

    rc = ngx_rf_work_route(w);

    if (!ngx_queue_empty(&followers)) {

        if (w->leads) {
            ngx_queue_add(&w->followers, &followers);

        } else {
            ngx_rf_flight_resume(&followers);
        }
    }

    return rc;
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

    return 1;
}


void
ngx_rf_flight_landed(ngx_rf_work_t *w, ngx_queue_t *followers)
{
    w->leads = 0;
    ngx_queue_remove(&w->flight);

    if (w->lock) {
        (void) ngx_atomic_cmp_set(&w->op->store->zone.sh
                                   ->locks[w->hash % NGX_RF_ZONE_LOCKS],
                                  w->lock, 0);
        w->lock = 0;
    }

    if (!ngx_queue_empty(&w->followers)) {
        ngx_queue_add(followers, &w->followers);
    }
}


/* each may cancel others, which takes them out of the queue */

void
ngx_rf_flight_resume(ngx_queue_t *followers)
{
    ngx_queue_t    *q;
    ngx_rf_work_t  *w;

    while (!ngx_queue_empty(followers)) {
        q = ngx_queue_head(followers);
        ngx_queue_remove(q);

        w = ngx_queue_data(q, ngx_rf_work_t, queue);
        w->waiting = 0;

        ngx_rf_work_resume(w, ngx_rf_work_route(w));
    }
}


void
ngx_rf_flight_close(ngx_rf_store_t *store, ngx_str_t *key, uint32_t hash)
{
    ngx_str_t      *other;
    ngx_queue_t    *q, *flights;
    ngx_rf_work_t  *leader;

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
    ngx_rf_flight_landed(w, &followers);

    while (!ngx_queue_empty(&followers)) {
        q = ngx_queue_head(&followers);
        ngx_queue_remove(q);

        follower = ngx_queue_data(q, ngx_rf_work_t, queue);
        follower->alone = 0;

        (void) ngx_rf_work_wait(follower, ngx_rf_work_route,
                                ngx_rf_work_busy);
    }
}
