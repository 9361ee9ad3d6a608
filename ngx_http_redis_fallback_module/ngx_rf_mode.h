/*
 * NORMAL, FALLBACK, RECOVERING in shared memory: transitions by
 * compare-and-swap of one word that holds an epoch as well, so that a failure
 * that was seen in an earlier epoch changes nothing; and the leader's lease.
 */

#ifndef _NGX_RF_MODE_H_INCLUDED_
#define _NGX_RF_MODE_H_INCLUDED_


#include "ngx_rf.h"
#include "ngx_rf_zone.h"


/* the lease of a leader that stops renewing it ends after this; ms */
#define NGX_RF_MODE_LEASE       2000


/* *epoch (may be NULL) identifies this stay in the mode: the whole word, so
 * that others can look whether it is still the same under their own lock */
ngx_rf_mode_e ngx_rf_mode_get(ngx_rf_zone_t *zone, ngx_uint_t *epoch);

/* from the mode of "epoch" to another: NGX_OK if this call did it,
 * NGX_DECLINED if the epoch had ended */
ngx_int_t ngx_rf_mode_set(ngx_rf_zone_t *zone, ngx_uint_t epoch,
    ngx_rf_mode_e to);

/* RECOVERING to NORMAL if nothing is pending or to be restored, decided under
 * the zone's lock: NGX_OK, NGX_AGAIN something is pending, NGX_DECLINED */
ngx_int_t ngx_rf_mode_finish(ngx_rf_zone_t *zone, ngx_uint_t epoch);

/* takes or renews the lease: NGX_OK this process leads, NGX_DECLINED another
 * does; *taken is set when it was just taken over */
ngx_int_t ngx_rf_mode_lead(ngx_rf_zone_t *zone, ngx_uint_t *taken);
void ngx_rf_mode_resign(ngx_rf_zone_t *zone);

/* "normal", "fallback", "recovering" */
ngx_str_t *ngx_rf_mode_name(ngx_rf_mode_e mode);


#endif /* _NGX_RF_MODE_H_INCLUDED_ */
