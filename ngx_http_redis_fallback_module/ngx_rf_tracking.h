/*
 * Redis' word that what memory holds is still so (CLIENT TRACKING): a second
 * connection of this worker, over which Redis names the keys that somebody has
 * changed, and what follows for the entries of the zone.
 *
 * A value that was read over the data connection is vouched for until its key
 * is named, either connection is lost, or Redis is not heard of.  The voucher
 * is in the entry and good in all workers; another worker believes it for as
 * long as this one shows, every few ms, that it has read what Redis said.
 *
 * Guarantees: nothing is vouched for without both connections being those, to
 * the same Redis, through which it was read; losing one takes all of it back
 * at once; a name that overtakes the reply of a read is not forgotten.
 *
 * Refuses to know: modes, operations.  What memory knows it never changes.
 */

#ifndef _NGX_RF_TRACKING_H_INCLUDED_
#define _NGX_RF_TRACKING_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_zone.h"


typedef struct ngx_rf_tracking_s  ngx_rf_tracking_t;

/* when a read was sent */

typedef struct {
    uint64_t              news;         /* names that had come */
    uint32_t              epoch;        /* of the connections; 0: none */
} ngx_rf_tracking_mark_t;


/* one per worker and store.  "conf", "redis" (the data connection) and "zone"
 * are the caller's and outlive it; NULL: no memory */
ngx_rf_tracking_t *ngx_rf_tracking_create(ngx_rf_zone_t *zone,
    ngx_rf_redis_conf_t *conf, ngx_rf_redis_t *redis, ngx_cycle_t *cycle,
    void *tp);
void ngx_rf_tracking_destroy(ngx_rf_tracking_t *t);

/* from inside those of a data connection, see ngx_rf_redis_link() */
void ngx_rf_tracking_up(ngx_rf_tracking_t *t, ngx_uint_t link,
    ngx_rf_redis_info_t *info);
void ngx_rf_tracking_down(ngx_rf_tracking_t *t, ngx_uint_t link);

/* an operation begins: the other workers are told that this one is awake */
void ngx_rf_tracking_alive(ngx_rf_tracking_t *t);

/* whether Redis vouches for anything that this worker reads */
ngx_uint_t ngx_rf_tracking_vouches(ngx_rf_tracking_t *t);

/* a read is sent over that link */
void ngx_rf_tracking_mark(ngx_rf_tracking_t *t, ngx_uint_t link,
    ngx_rf_tracking_mark_t *mark);
/* its reply is here: the voucher for the key's entry, NGX_RF_ZONE_NAMED if it
 * was changed meanwhile, or 0 */
uint64_t ngx_rf_tracking_vouch(ngx_rf_tracking_t *t,
    ngx_rf_tracking_mark_t *mark, ngx_str_t *key);

/* a command that changes the key of this hash (ngx_rf_zone_hash()) is about to
 * be sent over the data connection: reads that were sent before it are not
 * vouched for any more */
void ngx_rf_tracking_touched(ngx_rf_tracking_t *t, uint32_t hash);

#endif /* _NGX_RF_TRACKING_H_INCLUDED_ */
