/*
 * Memory of the zone.  When it is short, clean entries go, the least recently
 * used first, then pending ones whose file is durable; the work of one call is
 * bounded, as the lock is held.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* what one allocation may evict, and look at for each */
#define NGX_RF_ZONE_EVICT       256
#define NGX_RF_ZONE_LOOK        64


static ngx_int_t ngx_rf_zone_evict(ngx_rf_zone_t *zone, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep);
static ngx_uint_t ngx_rf_zone_kept(ngx_rf_entry_t *e, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep);


void *
ngx_rf_zone_alloc_locked(ngx_rf_zone_t *zone, size_t size,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    void             *p;
    ngx_uint_t        n;
    ngx_slab_pool_t  *shpool;

    shpool = zone->shpool;

    if (size >= (size_t) (shpool->end - shpool->start)) {
        return NULL;
    }

    for (n = 0; /* void */; n++) {

        p = ngx_slab_alloc_locked(shpool, size);

        if (p != NULL
            || n == NGX_RF_ZONE_EVICT
            || ngx_rf_zone_evict(zone, keep, nkeep) != NGX_OK)
        {
            return p;
        }
    }
}


static ngx_int_t
ngx_rf_zone_evict(ngx_rf_zone_t *zone, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep)
{
    ngx_uint_t         n;
    ngx_queue_t       *q;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    q = ngx_queue_last(&sh->clean);

    for (n = 0; n < NGX_RF_ZONE_LOOK + nkeep; n++) {

        if (q == ngx_queue_sentinel(&sh->clean)) {
            break;
        }

        e = ngx_queue_data(q, ngx_rf_entry_t, queue);
        q = ngx_queue_prev(q);

        if (e->undo == 0 && !ngx_rf_zone_kept(e, keep, nkeep)) {
            ngx_rf_zone_remove(zone, e);
            (void) ngx_atomic_fetch_add(&sh->stat.evictions, 1);
            return NGX_OK;
        }
    }

    if (!sh->files || !sh->files_ready) {
        return NGX_DECLINED;
    }

    /* oldest changes first: they are the likeliest to be in their files */

    q = ngx_queue_head(&sh->pending_queue);

    for (n = 0; n < NGX_RF_ZONE_LOOK + nkeep; n++) {

        if (q == ngx_queue_sentinel(&sh->pending_queue)) {
            break;
        }

        e = ngx_queue_data(q, ngx_rf_entry_t, queue);
        q = ngx_queue_next(q);

        if (e->file_version == e->version
            && e->writer == 0
            && !e->dirty
            && e->undo == 0
            && !ngx_rf_zone_kept(e, keep, nkeep))
        {
            /* counted first: a kill in between must not lose sight of it */
            sh->spilled++;
            ngx_memory_barrier();

            ngx_rf_zone_remove(zone, e);
            (void) ngx_atomic_fetch_add(&sh->stat.evictions, 1);

            if (sh->stat.files) {
                (void) ngx_atomic_fetch_add(&sh->stat.files, -1);
            }

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_rf_zone_kept(ngx_rf_entry_t *e, ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    ngx_uint_t  i;

    for (i = 0; i < nkeep; i++) {
        if (keep[i] == e) {
            return 1;
        }
    }

    return 0;
}


void
ngx_rf_zone_free_locked(ngx_rf_zone_t *zone, void *p)
{
    if (p != NULL) {
        ngx_slab_free_locked(zone->shpool, p);
    }
}


ngx_rf_blob_t *
ngx_rf_zone_blob_locked(ngx_rf_zone_t *zone, u_char *data, size_t len,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    ngx_rf_blob_t  *blob;

    blob = ngx_rf_zone_alloc_locked(zone, ngx_rf_blob_size(len), keep, nkeep);

    if (blob != NULL) {
        blob->len = len;

        if (data != NULL) {
            ngx_memcpy(blob->data, data, len);
        }
    }

    return blob;
}


size_t
ngx_rf_zone_used(ngx_rf_zone_t *zone)
{
    ngx_slab_pool_t  *shpool;

    shpool = zone->shpool;

    return (size_t) (shpool->end - shpool->start)
           - shpool->pfree * ngx_pagesize;
}
