/*
 * The mode of a store and its leader, in words of the zone that change by
 * compare-and-swap.
 *
 * Refuses to know: why a mode is left, and what the leader does.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_mode.h"
#include "ngx_rf_zone.h"


#define ngx_rf_mode_word(epoch, mode)                                        \
    ((ngx_atomic_uint_t) (epoch) << 2 | (ngx_atomic_uint_t) (mode))


static ngx_uint_t ngx_rf_mode_vacant(ngx_rf_zone_sh_t *sh, ngx_pid_t leader,
    ngx_msec_t lease);


static ngx_str_t  ngx_rf_mode_names[] = {
    ngx_string("normal"),
    ngx_string("fallback"),
    ngx_string("recovering")
};


ngx_rf_mode_e
ngx_rf_mode_get(ngx_rf_zone_t *zone, ngx_uint_t *epoch)
{
    ngx_atomic_uint_t  word;

    word = zone->sh->mode;

    if (epoch != NULL) {
        *epoch = word;
    }

    return word & 3;
}


ngx_int_t
ngx_rf_mode_set(ngx_rf_zone_t *zone, ngx_uint_t epoch, ngx_rf_mode_e to)
{
    ngx_atomic_uint_t  word;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    word = sh->mode;

    if (word != epoch || (word & 3) == (ngx_atomic_uint_t) to) {
        return NGX_DECLINED;
    }

    /* what is acknowledged from here on is not known to workers of a zone that
     * was replaced; once too often does no harm */

    if ((word & 3) == NGX_RF_NORMAL && zone->outages) {
        (void) ngx_atomic_fetch_add(zone->outages, 1);
    }

    if (!ngx_atomic_cmp_set(&sh->mode, word,
                            ngx_rf_mode_word((word >> 2) + 1, to)))
    {
        return NGX_DECLINED;
    }

    sh->mode_since = ngx_time();

    if ((word & 3) == NGX_RF_NORMAL && to == NGX_RF_FALLBACK) {
        sh->outage_began = ngx_current_msec;
        (void) ngx_atomic_fetch_add(&sh->stat.outages, 1);
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_mode_finish(ngx_rf_zone_t *zone, ngx_uint_t epoch)
{
    ngx_int_t          rc;
    ngx_uint_t         current;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    if (ngx_rf_mode_get(zone, &current) != NGX_RF_RECOVERING
        || current != epoch)
    {
        rc = NGX_DECLINED;

    } else if (sh->npending || sh->spilled || sh->restore
               || ((sh->files_scan || sh->journal_scan) && sh->files_ready))
    {
        rc = NGX_AGAIN;

    } else {
        rc = ngx_rf_mode_set(zone, epoch, NGX_RF_NORMAL);
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


/*
 * The lease is taken first, the leader's word second: of two that see the same
 * lease run out only one gets as far as the second.
 */

ngx_int_t
ngx_rf_mode_lead(ngx_rf_zone_t *zone, ngx_uint_t *taken)
{
    ngx_msec_t          lease;
    ngx_atomic_uint_t   leader;
    ngx_rf_zone_sh_t   *sh;

    sh = zone->sh;

    if (taken != NULL) {
        *taken = 0;
    }

    lease = sh->lease;
    leader = sh->leader;

    if (leader != (ngx_atomic_uint_t) ngx_pid
        && !ngx_rf_mode_vacant(sh, (ngx_pid_t) leader, lease))
    {
        return NGX_DECLINED;
    }

    if (!ngx_atomic_cmp_set(&sh->lease, lease,
                            ngx_current_msec + NGX_RF_MODE_LEASE))
    {
        return (leader == (ngx_atomic_uint_t) ngx_pid && sh->leader == leader)
               ? NGX_OK : NGX_DECLINED;
    }

    if (leader == (ngx_atomic_uint_t) ngx_pid) {
        return sh->leader == leader ? NGX_OK : NGX_DECLINED;
    }

    if (!ngx_atomic_cmp_set(&sh->leader, leader, ngx_pid)) {
        return NGX_DECLINED;
    }

    if (taken != NULL) {
        *taken = 1;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_rf_mode_vacant(ngx_rf_zone_sh_t *sh, ngx_pid_t leader, ngx_msec_t lease)
{
    if (leader == 0 || (ngx_msec_int_t) (ngx_current_msec - lease) > 0) {
        return 1;
    }

    return kill(leader, 0) == -1 && ngx_errno == NGX_ESRCH;
}


void
ngx_rf_mode_resign(ngx_rf_zone_t *zone)
{
    (void) ngx_atomic_cmp_set(&zone->sh->leader, ngx_pid, 0);
}


ngx_str_t *
ngx_rf_mode_name(ngx_rf_mode_e mode)
{
    return &ngx_rf_mode_names[mode];
}
