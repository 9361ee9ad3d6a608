/*
 * What an entry has beside its header while Redis or the disk lag behind on
 * it.
 *
 * It is allocated before anything is changed, into a reserve: between the
 * beginning of a change and its end nothing can fail.
 *
 * Guarantees: an entry refers to a whole one, or to that of all zeros, at any
 * instruction; what is pending, or on disk, refers to one of its own.  Of a
 * block that nobody refers to the salvage makes free memory.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* kept in reserve: what is pending changes by ones and twos */
#define NGX_RF_ZONE_SPARE       NGX_RF_ZONE_UNDO


static void ngx_rf_zone_work_spare(ngx_rf_zone_sh_t *sh, ngx_rf_zwork_t *work);


ngx_int_t
ngx_rf_zone_work_reserve(ngx_rf_zone_t *zone, ngx_uint_t n,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    ngx_rf_zwork_t     *work;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    while (sh->nspare < n) {

        work = ngx_rf_zone_alloc_locked(zone, sizeof(ngx_rf_zwork_t), keep,
                                        nkeep);

        if (work == NULL) {
            ngx_rf_zone_work_trim(zone);
            return NGX_RF_NEED_ROOM;
        }

        ngx_rf_zone_work_spare(sh, work);
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_zone_room(ngx_rf_zone_t *zone)
{
    ngx_int_t  rc;

    zone->urgent = 1;
    rc = ngx_rf_zone_work_reserve(zone, 1, NULL, 0);
    zone->urgent = 0;

    return rc;
}


static void
ngx_rf_zone_work_spare(ngx_rf_zone_sh_t *sh, ngx_rf_zwork_t *work)
{
    work->entry = (ngx_rf_entry_t *) (void *) sh->spare;
    sh->spare = work;
    sh->nspare++;
}


void
ngx_rf_zone_work_trim(ngx_rf_zone_t *zone)
{
    ngx_rf_zwork_t     *work;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    while (sh->nspare > NGX_RF_ZONE_SPARE) {
        work = sh->spare;
        sh->spare = (ngx_rf_zwork_t *) (void *) work->entry;
        sh->nspare--;

        ngx_slab_free_locked(zone->shpool, work);
    }
}


ngx_rf_zwork_t *
ngx_rf_zone_work(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zwork_t     *work;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (e->work != &sh->none) {
        return e->work;
    }

    if (sh->spare == NULL) {
        ngx_log_error(NGX_LOG_ALERT, zone->log, 0,
                      "no room was reserved in store \"%V\"", &zone->name);

        if (ngx_rf_zone_work_reserve(zone, 1, NULL, 0) != NGX_OK) {
            /* as if it were killed: whoever comes next undoes the command */
            ngx_abort();
        }
    }

    work = sh->spare;

    sh->spare = (ngx_rf_zwork_t *) (void *) work->entry;
    sh->nspare--;

    ngx_memzero(work, sizeof(ngx_rf_zwork_t));
    work->entry = e;

    ngx_memory_barrier();

    e->work = work;

    ngx_memory_barrier();

    return work;
}


void
ngx_rf_zone_work_rid(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->work != &zone->sh->none
        && e->work->undo == 0
        && e->pending == NGX_RF_CLEAN
        && !e->flying
        && !ngx_rf_zone_on_disk(e))
    {
        ngx_rf_zone_ungroup(e);
        ngx_rf_zone_unplace(zone, e);
        ngx_rf_zone_work_drop(zone, e);
    }
}


void
ngx_rf_zone_work_drop(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zwork_t     *work;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    work = e->work;

    if (work == &sh->none) {
        return;
    }

    e->work = &sh->none;

    ngx_memory_barrier();

    if (sh->nspare < NGX_RF_ZONE_SPARE) {
        ngx_rf_zone_work_spare(sh, work);

    } else {
        ngx_slab_free_locked(zone->shpool, work);
    }
}
