/*
 * Which entries Redis vouches for: a voucher in the entry, and in the zone's
 * header what the vouchers of each worker are worth now.
 *
 * A voucher is good for one version of its entry, and as long as its worker
 * has the epoch that it was given in.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


void
ngx_rf_zone_vouch_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    uint64_t voucher)
{
    if (e->pending == NGX_RF_CLEAN) {
        e->voucher = voucher ? voucher | (uint32_t) e->version : 0;
        e->doubted = 0;
    }
}


ngx_uint_t
ngx_rf_zone_vouched_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_uint_t      slot;
    ngx_rf_link_t  *link;

    if (e->voucher == 0
        || (uint32_t) e->voucher != (uint32_t) e->version
        || e->pending != NGX_RF_CLEAN
        || e->run != zone->sh->run)
    {
        return 0;
    }

    slot = ngx_rf_zone_voucher_slot(e->voucher);
    link = &zone->sh->links[slot];

    if (link->epoch != ngx_rf_zone_voucher_epoch(e->voucher)) {
        return 0;
    }

    return slot == (ngx_uint_t) ngx_process_slot
           || (ngx_msec_int_t) (ngx_current_msec - (ngx_msec_t) link->beat)
              <= NGX_RF_ZONE_LEASE;
}


/*
 * One that another worker has read since is not concerned: Redis tells that
 * worker of what comes after.  Nor is one without a voucher: what was read lost
 * it when somebody here wrote the key, and this is the echo.
 */

void
ngx_rf_zone_invalidated(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_uint_t       slot;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);

    if (e != NULL && e->voucher) {
        slot = ngx_rf_zone_voucher_slot(e->voucher);

        if (slot == (ngx_uint_t) ngx_process_slot
            || !ngx_rf_zone_vouched_locked(zone, e))
        {
            e->voucher = 0;
            e->doubted = 1;
        }
    }

    ngx_rf_zone_unlock(zone);
}


void
ngx_rf_zone_touched(ngx_rf_zone_t *zone, ngx_str_t *key, uint32_t hash)
{
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_hash_locked(zone, key, hash);

    if (e != NULL) {
        e->voucher = 0;
        e->touched = 1;
    }

    ngx_rf_zone_unlock(zone);
}


/* as if Redis had been another one before; but what it held then is not to be
 * written back, nor what is said of it by replies that are yet to come */

void
ngx_rf_zone_flushed(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    if (!sh->restore) {
        sh->run++;
        sh->flushed_run = sh->run;
        ngx_rf_zone_remember_all(zone);
    }

    ngx_rf_zone_unlock(zone);
}
