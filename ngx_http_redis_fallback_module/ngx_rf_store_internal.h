/*
 * What the two halves of the store share: ngx_rf_store.c executes, and
 * ngx_rf_store_life.c creates, starts, stops, counts.
 */

#ifndef _NGX_RF_STORE_INTERNAL_H_INCLUDED_
#define _NGX_RF_STORE_INTERNAL_H_INCLUDED_


#include "ngx_rf_store.h"


/* how often waiting operations look again, ms; a batch that ends wakes them at
 * once, so this is for what other workers do */
#define NGX_RF_STORE_POLL       3


/* Redis failed somebody who knew the mode of that epoch: to FALLBACK, with
 * one log line by whoever comes first */
void ngx_rf_store_outage(ngx_rf_store_t *store, ngx_uint_t epoch,
    ngx_str_t *reason);

/* seconds for Retry-After: probes double their distance, so the next one comes
 * within about the time that the outage has lasted */
ngx_uint_t ngx_rf_store_retry_after(ngx_rf_store_t *store);

/* lets each waiting operation look again */
void ngx_rf_store_wake(ngx_rf_store_t *store);


#endif /* _NGX_RF_STORE_INTERNAL_H_INCLUDED_ */
