/*
 * Connections that were given up with commands in flight.
 *
 * A command that nginx gave up may still be in the receive buffer of a Redis
 * that was stopped, or in a proxy: it would be executed after the replay, over
 * newer values.  So whoever leads ends these connections first.  Their ids
 * mean something to one process of Redis only: after a restart they would be
 * somebody else's.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"


ngx_int_t
ngx_rf_zone_abandon(ngx_rf_zone_t *zone, ngx_str_t *run_id, uint64_t id)
{
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (run_id->len != sizeof(sh->abandoned_run_id)) {
        return NGX_OK;
    }

    ngx_rf_zone_lock(zone);

    if (sh->superseded == 1) {

        /* what was here is in the new zone, and nobody looks here any more */

        ngx_rf_zone_unlock(zone);
        return NGX_DECLINED;
    }

    if (ngx_memcmp(sh->abandoned_run_id, run_id->data, run_id->len) != 0) {
        sh->nabandoned = 0;
        ngx_memcpy(sh->abandoned_run_id, run_id->data, run_id->len);
    }

    if (sh->nabandoned < NGX_RF_ZONE_ABANDONED) {
        sh->abandoned[sh->nabandoned] = id;
        ngx_memory_barrier();
        sh->nabandoned++;

    } else {

        /* one by one, and none out of count: whoever is killed here loses the
         * first one only */

        for (i = 1; i < NGX_RF_ZONE_ABANDONED; i++) {
            sh->abandoned[i - 1] = sh->abandoned[i];
            ngx_memory_barrier();
        }

        sh->abandoned[i - 1] = id;
    }

    ngx_rf_zone_unlock(zone);

    return NGX_OK;
}


ngx_uint_t
ngx_rf_zone_abandoned(ngx_rf_zone_t *zone, ngx_str_t *run_id,
    uint64_t ids[NGX_RF_ZONE_ABANDONED])
{
    ngx_uint_t         n;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    if (run_id->len != sizeof(sh->abandoned_run_id)
        || ngx_memcmp(sh->abandoned_run_id, run_id->data, run_id->len) != 0)
    {
        sh->nabandoned = 0;
    }

    n = sh->nabandoned;
    ngx_memcpy(ids, sh->abandoned, n * sizeof(uint64_t));

    ngx_rf_zone_unlock(zone);

    return n;
}


void
ngx_rf_zone_abandoned_done(ngx_rf_zone_t *zone, uint64_t *ids, ngx_uint_t n)
{
    ngx_uint_t         i, j, left;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    left = 0;

    ngx_rf_zone_lock(zone);

    for (i = 0; i < sh->nabandoned; i++) {

        for (j = 0; j < n && ids[j] != sh->abandoned[i]; j++) { /* void */ }

        if (j == n) {
            sh->abandoned[left++] = sh->abandoned[i];
        }
    }

    sh->nabandoned = left;

    ngx_rf_zone_unlock(zone);
}
