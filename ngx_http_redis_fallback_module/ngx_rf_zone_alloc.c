/*
 * Memory of the zone.  When it is short, clean entries go, the least recently
 * used first, then values whose file is but to be removed, then pending
 * entries whose file is durable.
 *
 * Slab pages are of one size of slots each, so many entries may have to go
 * until a page is free for another size.  A cached value is not worth that: it
 * may evict a few.  A write must not be refused for the sake of cached values:
 * it may evict many, once; those who come next find the pages free.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* evictions for one allocation; the larger one takes some 30 ms */
#define NGX_RF_ZONE_EVICT       256
#define NGX_RF_ZONE_EVICT_WRITE 65536

/* entries that one eviction looks at in each list */
#define NGX_RF_ZONE_LOOK        64
#define NGX_RF_ZONE_LOOK_DISK   512

/* nodes freed before anything is evicted */
#define NGX_RF_ZONE_TRASH       64

/* for more than a page, whose search is slow, evictions between two tries */
#define NGX_RF_ZONE_BATCH       32


static ngx_int_t ngx_rf_zone_evict(ngx_rf_zone_t *zone, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep);
static ngx_int_t ngx_rf_zone_evict_clean(ngx_rf_zone_t *zone,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);
static ngx_int_t ngx_rf_zone_evict_stale(ngx_rf_zone_t *zone,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);
static ngx_int_t ngx_rf_zone_evict_durable(ngx_rf_zone_t *zone,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);
static ngx_uint_t ngx_rf_zone_kept(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);


void *
ngx_rf_zone_alloc_locked(ngx_rf_zone_t *zone, size_t size,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    void             *p;
    ngx_uint_t        n, max, batch;
    ngx_slab_pool_t  *shpool;

    shpool = zone->shpool;

    if (size >= (size_t) (shpool->end - shpool->start)) {
        return NULL;
    }

    max = zone->urgent ? NGX_RF_ZONE_EVICT_WRITE : NGX_RF_ZONE_EVICT;
    batch = size > ngx_pagesize ? NGX_RF_ZONE_BATCH : 1;

    for (n = 0; /* void */; n++) {

        if (n % batch == 0) {
            p = ngx_slab_alloc_locked(shpool, size);

            if (p != NULL || n >= max) {
                return p;
            }
        }

        if (n == 0 && zone->sh->npins) {
            /* one that was left behind would cost all the cache */
            ngx_rf_zone_pins_look(zone);
        }

        if (ngx_rf_zone_trash(zone, NGX_RF_ZONE_TRASH) != 0) {
            continue;
        }

        if (zone->plain || ngx_rf_zone_evict(zone, keep, nkeep) != NGX_OK) {
            return ngx_slab_alloc_locked(shpool, size);
        }
    }
}


static ngx_int_t
ngx_rf_zone_evict(ngx_rf_zone_t *zone, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep)
{
    if (ngx_rf_zone_evict_clean(zone, keep, nkeep) != NGX_OK
        && ngx_rf_zone_evict_stale(zone, keep, nkeep) != NGX_OK
        && ngx_rf_zone_evict_durable(zone, keep, nkeep) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    (void) ngx_atomic_fetch_add(&zone->sh->stat.evictions, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zone_evict_clean(ngx_rf_zone_t *zone, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep)
{
    ngx_uint_t       n;
    ngx_rf_entry_t  *e, *next;

    next = ngx_rf_zone_line_last(zone->sh, NGX_RF_LINE_CLEAN);

    for (n = NGX_RF_ZONE_LOOK + nkeep; n && next; n--) {

        e = next;
        next = ngx_rf_zone_line_prev(zone->sh, e);

        if (e->work->undo == 0 && !ngx_rf_zone_kept(zone, e, keep, nkeep)) {
            ngx_rf_zone_remove(zone, e);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* the value, not the entry: the file would be left behind.  What has no value
 * any more gathers at the tail */

static ngx_int_t
ngx_rf_zone_evict_stale(ngx_rf_zone_t *zone, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep)
{
    ngx_uint_t       n, undoing;
    ngx_rf_entry_t  *e, *next;

    next = ngx_rf_zone_line_first(zone->sh, NGX_RF_LINE_STALE);

    for (n = NGX_RF_ZONE_LOOK + nkeep; n && next; n--) {

        e = next;
        next = ngx_rf_zone_line_next(zone->sh, e);

        if (e->work->undo || ngx_rf_zone_kept(zone, e, keep, nkeep)) {
            continue;
        }

        if (e->type != NGX_RF_NONE) {

            /* nothing of the command that needs the room */

            undoing = zone->undoing;
            zone->undoing = 0;
            ngx_rf_zone_forget_locked(zone, e);
            zone->undoing = undoing;

            ngx_rf_zone_requeue(zone, e);
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* oldest changes first: they are the likeliest to be in their files */

static ngx_int_t
ngx_rf_zone_evict_durable(ngx_rf_zone_t *zone, ngx_rf_entry_t **keep,
    ngx_uint_t nkeep)
{
    ngx_uint_t         n;
    ngx_rf_entry_t    *e, *next;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (!sh->files || (!sh->files_ready && sh->journal_scan != 2)) {
        return NGX_DECLINED;
    }

    next = ngx_rf_zone_line_first(sh, NGX_RF_LINE_PENDING);

    for (n = NGX_RF_ZONE_LOOK_DISK + nkeep; n && next; n--) {

        e = next;
        next = ngx_rf_zone_line_next(sh, e);

        if (e->work->file_version == e->version
            && e->work->writer == 0
            && e->work->undo == 0
            && !ngx_rf_zone_kept(zone, e, keep, nkeep))
        {
            /* counted first: a kill in between must not lose sight of it */
            sh->spilled++;
            ngx_memory_barrier();

            if (sh->journal_scan) {
                /* who reads the journal is to know, see log_load() */
                e->version = ++sh->seq;
            }

            ngx_rf_zone_remove(zone, e);

            if (sh->stat.files) {
                (void) ngx_atomic_fetch_add(&sh->stat.files, -1);
            }

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_rf_zone_kept(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    ngx_uint_t  i;

    if (e == zone->kept) {
        return 1;
    }

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
    if (p != NULL && !ngx_rf_zone_is_lent(zone, p)) {
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
