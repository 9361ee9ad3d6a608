/*
 * The slab pool laid out again around the blocks that are still needed, after
 * a worker was killed somewhere inside of it.
 *
 * Guarantees: no block that was marked is moved or written to, so that it does
 * not matter if this is killed, too: the next one marks the same blocks and
 * begins again.  Refuses to know what is in them.
 *
 * The pool's own functions do it, on a pool that is new: what the old one said
 * is not looked at.  A new pool gives its pages in their order, and of a page
 * of slots all before it takes another: so each page is allocated as what it
 * was, and what nobody has marked is freed then.  Of a page of small slots the
 * first ones hold its bitmap, as before.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* what a page is: 0: free; the shift of its slots; or a block's first of so
 * many, or another of them */
#define NGX_RF_ZONE_SLAB_FIRST       0x80000000
#define NGX_RF_ZONE_SLAB_REST        0x40000000
#define NGX_RF_ZONE_SLAB_COUNT       0x3fffffff


struct ngx_rf_zone_slab_map_s {
    ngx_slab_pool_t      *pool;
    ngx_uint_t            npages;
    uint32_t             *pages;
    u_char               *blocks;       /* a bit for each place where a slot
                                           may begin: one that is marked does */
};


static ngx_uint_t ngx_rf_zone_slab_mark_pages(ngx_rf_zone_slab_map_t *map,
    ngx_uint_t page, ngx_uint_t n);
static ngx_uint_t ngx_rf_zone_slab_bit(ngx_rf_zone_slab_map_t *map,
    size_t offset, ngx_uint_t set);
static size_t ngx_rf_zone_slab_first(ngx_uint_t shift);
static ngx_uint_t ngx_rf_zone_slab_run(ngx_rf_zone_slab_map_t *map,
    ngx_uint_t page);
static void ngx_rf_zone_slab_init(ngx_slab_pool_t *pool);
static ngx_int_t ngx_rf_zone_slab_take(ngx_rf_zone_slab_map_t *map,
    ngx_uint_t page, ngx_uint_t n);
static void ngx_rf_zone_slab_give(ngx_rf_zone_slab_map_t *map,
    ngx_uint_t page);


ngx_rf_zone_slab_map_t *
ngx_rf_zone_slab_map_create(ngx_slab_pool_t *pool)
{
    size_t                   size;
    ngx_rf_zone_slab_map_t  *map;

    size = pool->end - pool->start;

    map = calloc(1, sizeof(ngx_rf_zone_slab_map_t));
    if (map == NULL) {
        return NULL;
    }

    map->pool = pool;
    map->npages = size >> ngx_pagesize_shift;
    map->pages = calloc(map->npages + 1, sizeof(uint32_t));
    map->blocks = calloc((size >> pool->min_shift) / 8 + 1, 1);

    if (map->pages == NULL || map->blocks == NULL) {
        ngx_rf_zone_slab_map_destroy(map);
        return NULL;
    }

    return map;
}


void
ngx_rf_zone_slab_map_destroy(ngx_rf_zone_slab_map_t *map)
{
    if (map != NULL) {
        free(map->pages);
        free(map->blocks);
        free(map);
    }
}


ngx_uint_t
ngx_rf_zone_slab_mark(ngx_rf_zone_slab_map_t *map, void *p, size_t size)
{
    size_t            offset;
    ngx_uint_t        page, shift;
    ngx_slab_pool_t  *pool;

    pool = map->pool;

    if ((u_char *) p < pool->start || (u_char *) p >= pool->end
        || size > (size_t) (pool->end - (u_char *) p))
    {
        return 0;
    }

    offset = (u_char *) p - pool->start;
    page = offset >> ngx_pagesize_shift;

    if (size > ngx_pagesize / 2) {
        return (offset & (ngx_pagesize - 1)) == 0
               && ngx_rf_zone_slab_mark_pages(map, page,
                        (size + ngx_pagesize - 1) >> ngx_pagesize_shift);
    }

    for (shift = pool->min_shift; ((size_t) 1 << shift) < size; shift++) {
        /* void */
    }

    if ((offset & (((size_t) 1 << shift) - 1)) != 0
        || (offset & (ngx_pagesize - 1)) < ngx_rf_zone_slab_first(shift)
        || (map->pages[page] != 0 && map->pages[page] != shift)
        || ngx_rf_zone_slab_bit(map, offset, 1))
    {
        return 0;
    }

    map->pages[page] = shift;

    return 1;
}


static ngx_uint_t
ngx_rf_zone_slab_mark_pages(ngx_rf_zone_slab_map_t *map, ngx_uint_t page,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    if (page + n > map->npages) {
        return 0;
    }

    for (i = 0; i < n; i++) {
        if (map->pages[page + i] != 0) {
            return 0;
        }
    }

    map->pages[page] = NGX_RF_ZONE_SLAB_FIRST | (uint32_t) n;

    for (i = 1; i < n; i++) {
        map->pages[page + i] = NGX_RF_ZONE_SLAB_REST;
    }

    return 1;
}


/* whether it was set */

static ngx_uint_t
ngx_rf_zone_slab_bit(ngx_rf_zone_slab_map_t *map, size_t offset,
    ngx_uint_t set)
{
    u_char      bit;
    size_t      n;
    ngx_uint_t  was;

    n = offset >> map->pool->min_shift;
    bit = (u_char) (1 << (n & 7));

    was = (map->blocks[n >> 3] & bit) != 0;

    if (set) {
        map->blocks[n >> 3] |= bit;
    }

    return was;
}


/* where slots begin in a page: those of less than 64 bytes, where an address
 * has 64 bits, share it with a bit for each of them */

static size_t
ngx_rf_zone_slab_first(ngx_uint_t shift)
{
    ngx_uint_t  n;

    if (((size_t) 1 << shift) >= ngx_pagesize / (8 * sizeof(uintptr_t))) {
        return 0;
    }

    n = (ngx_pagesize >> shift) / (((size_t) 1 << shift) * 8);

    return ngx_max(n, 1) << shift;
}


/* pages from this one on that belong together: a block, or free ones */

static ngx_uint_t
ngx_rf_zone_slab_run(ngx_rf_zone_slab_map_t *map, ngx_uint_t page)
{
    ngx_uint_t  n;

    if (map->pages[page] & NGX_RF_ZONE_SLAB_FIRST) {
        return map->pages[page] & NGX_RF_ZONE_SLAB_COUNT;
    }

    if (map->pages[page] != 0) {
        return 1;
    }

    for (n = 1; page + n < map->npages && map->pages[page + n] == 0; n++) {
        /* void */
    }

    return n;
}


ngx_int_t
ngx_rf_zone_slab_lay(ngx_rf_zone_slab_map_t *map)
{
    u_char           *start;
    ngx_uint_t        page, n;
    ngx_slab_pool_t  *pool;

    pool = map->pool;
    start = pool->start;

    ngx_rf_zone_slab_init(pool);

    if (pool->start != start) {
        return NGX_ERROR;
    }

    /* the last ones may be too many to have a descriptor */

    map->npages = ngx_min(map->npages,
                          (ngx_uint_t) (pool->last - pool->pages));

    for (page = 0; page < map->npages; page += n) {
        n = ngx_rf_zone_slab_run(map, page);

        if (ngx_rf_zone_slab_take(map, page, n) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    for (page = 0; page < map->npages; page += n) {
        n = ngx_rf_zone_slab_run(map, page);
        ngx_rf_zone_slab_give(map, page);
    }

    return NGX_OK;
}


static void
ngx_rf_zone_slab_init(ngx_slab_pool_t *pool)
{
#if (NGX_DEBUG_MALLOC || NGX_HAVE_DEBUG_MALLOC)

    size_t   size;
    u_char  *start, *copy;

    /* one made for debugging fills a new pool with junk: there a kill in
     * between is not survived */

    start = pool->start;
    size = pool->end - start;
    copy = malloc(size);

    if (copy == NULL) {
        ngx_abort();
    }

    ngx_memcpy(copy, start, size);
    ngx_slab_init(pool);
    ngx_memcpy(start, copy, size);

    free(copy);

#else

    ngx_slab_init(pool);

#endif
}


static ngx_int_t
ngx_rf_zone_slab_take(ngx_rf_zone_slab_map_t *map, ngx_uint_t page,
    ngx_uint_t n)
{
    u_char      *at, *p;
    size_t       offset, size;
    ngx_uint_t   shift;

    at = map->pool->start + (page << ngx_pagesize_shift);
    shift = map->pages[page];

    if (shift == 0 || (shift & NGX_RF_ZONE_SLAB_FIRST)) {
        p = ngx_slab_alloc_locked(map->pool, n << ngx_pagesize_shift);
        return p == at ? NGX_OK : NGX_ERROR;
    }

    size = (size_t) 1 << shift;

    for (offset = ngx_rf_zone_slab_first(shift);
         offset < ngx_pagesize;
         offset += size)
    {
        p = ngx_slab_alloc_locked(map->pool, size);

        if (p != at + offset) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* what nobody has marked, of the page or from it on */

static void
ngx_rf_zone_slab_give(ngx_rf_zone_slab_map_t *map, ngx_uint_t page)
{
    size_t      offset, at;
    ngx_uint_t  shift;

    at = page << ngx_pagesize_shift;
    shift = map->pages[page];

    if (shift == 0) {
        ngx_slab_free_locked(map->pool, map->pool->start + at);
        return;
    }

    if (shift & NGX_RF_ZONE_SLAB_FIRST) {
        return;
    }

    for (offset = ngx_rf_zone_slab_first(shift);
         offset < ngx_pagesize;
         offset += (size_t) 1 << shift)
    {
        if (!ngx_rf_zone_slab_bit(map, at + offset, 0)) {
            ngx_slab_free_locked(map->pool, map->pool->start + at + offset);
        }
    }
}
