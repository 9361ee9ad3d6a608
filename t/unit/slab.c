/*
 * A slab pool that is laid out again around the blocks that are marked, after
 * all that it knew of itself has been overwritten.
 */

#include "rf_unit.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


#define SLAB_SIZE    (512 * 1024)
#define SLAB_BLOCKS  8000
#define SLAB_ROUNDS  40


typedef struct {
    u_char               *p;
    size_t                size;
    ngx_uint_t            marked;
} slab_block_t;


typedef struct {
    ngx_slab_pool_t      *pool;
    ngx_uint_t            n;
    uint64_t              random;
    slab_block_t          blocks[SLAB_BLOCKS];
} slab_t;


static slab_t *slab_start(ngx_pool_t *pool, ngx_log_t *log);
static uint64_t slab_random(slab_t *s, uint64_t n);
static u_char slab_byte(slab_t *s, u_char *p);
static void slab_fill(slab_t *s);
static ngx_uint_t slab_mark(slab_t *s, ngx_rf_zone_slab_map_t *map,
    ngx_uint_t percent);
static void slab_tear(slab_t *s);
static ngx_uint_t slab_whole(slab_t *s);
static ngx_uint_t slab_used(slab_t *s);
static void slab_free(slab_t *s);


RF_UNIT(slab_is_laid_around_what_is_marked)
{
    slab_t                  *s;
    ngx_uint_t               i, all, wrong, used, lost, left, refused;
    ngx_rf_zone_slab_map_t  *map;

    s = slab_start(pool, log);
    all = s->pool->pfree;

    wrong = 0;
    used = 0;
    lost = 0;
    left = 0;
    refused = 0;

    for (i = 0; i < SLAB_ROUNDS; i++) {
        slab_fill(s);

        map = ngx_rf_zone_slab_map_create(s->pool);
        refused += slab_mark(s, map, i * 100 / (SLAB_ROUNDS - 1));

        /* a pool in any state: that of another round, or junk */

        slab_tear(s);

        if (ngx_rf_zone_slab_lay(map) != NGX_OK) {
            wrong++;
        }

        ngx_rf_zone_slab_map_destroy(map);

        used += !slab_used(s);
        lost += !slab_whole(s);

        /* what is given out now is nobody's */

        slab_fill(s);
        lost += !slab_whole(s);

        slab_free(s);
        left += (s->pool->pfree != all);
    }

    is_int(refused, 0, "all that a pool has given out can be marked");
    is_int(wrong, 0, "%d pools are laid out again", SLAB_ROUNDS);
    is_int(used, 0, "all that was marked is in use, and nothing else");
    is_int(lost, 0, "no byte of it is another");
    is_int(left, 0, "freed, it leaves nothing behind");
}


RF_UNIT(slab_takes_no_block_that_cannot_be)
{
    u_char                  *start, *end;
    slab_t                  *s;
    ngx_rf_zone_slab_map_t  *map;

    if (ngx_pagesize != 4096) {
        ok(1, "# SKIP pages of another size");
        return;
    }

    s = slab_start(pool, log);
    map = ngx_rf_zone_slab_map_create(s->pool);
    start = s->pool->start;
    end = s->pool->end;

    ok(!ngx_rf_zone_slab_mark(map, start - 8, 8), "before the pool");
    ok(!ngx_rf_zone_slab_mark(map, end, 8), "behind it");
    ok(!ngx_rf_zone_slab_mark(map, NULL, 8), "nowhere");
    ok(!ngx_rf_zone_slab_mark(map, start, (size_t) -1), "too large by far");
    ok(!ngx_rf_zone_slab_mark(map, end - 4096, 4097), "over its end");
    ok(!ngx_rf_zone_slab_mark(map, start + 8, 4096), "not a page");
    ok(!ngx_rf_zone_slab_mark(map, start + 8, 64), "not a slot");
    ok(!ngx_rf_zone_slab_mark(map, start, 16), "where the bitmap is");

    ok(ngx_rf_zone_slab_mark(map, start + 4096, 64), "a slot");
    ok(!ngx_rf_zone_slab_mark(map, start + 4096, 64), "twice");
    ok(!ngx_rf_zone_slab_mark(map, start + 4096 + 128, 128),
       "in a page of another size");
    ok(!ngx_rf_zone_slab_mark(map, start, 8192), "pages over it");
    ok(ngx_rf_zone_slab_mark(map, start + 2 * 4096, 8192), "pages");
    ok(!ngx_rf_zone_slab_mark(map, start + 3 * 4096, 64), "a slot in them");
    ok(!ngx_rf_zone_slab_mark(map, start + 3 * 4096, 4096), "a page of them");

    ok(ngx_rf_zone_slab_lay(map) == NGX_OK, "that is a pool");
    is_int(s->pool->stats[3].used, 1, "with one slot of 64 bytes");

    ngx_rf_zone_slab_map_destroy(map);
}


static slab_t *
slab_start(ngx_pool_t *pool, ngx_log_t *log)
{
    slab_t          *s;
    ngx_shm_zone_t  *shm;

    s = ngx_pcalloc(pool, sizeof(slab_t));
    shm = rf_unit_shm(pool, log, SLAB_SIZE);

    s->pool = (ngx_slab_pool_t *) shm->shm.addr;
    s->pool->log_nomem = 0;
    s->random = 0x9e3779b97f4a7c15ULL;

    return s;
}


static uint64_t
slab_random(slab_t *s, uint64_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;

    return (s->random >> 11) % n;
}


/* what the block there is filled with */

static u_char
slab_byte(slab_t *s, u_char *p)
{
    return (u_char) ((p - s->pool->start) / 8 * 37);
}


/* of all sizes, until there is no room, and a third of them freed again */

static void
slab_fill(slab_t *s)
{
    u_char      *p;
    size_t       size;
    ngx_uint_t   i, failed;

    s->pool->log_nomem = 0;

    for (failed = 0; failed < 20 && s->n < SLAB_BLOCKS; /* void */) {

        size = 1 + slab_random(s, (size_t) 1 << (1 + slab_random(s, 14)));
        p = ngx_slab_alloc_locked(s->pool, size);

        if (p == NULL) {
            failed++;
            continue;
        }

        ngx_memset(p, slab_byte(s, p), size);

        s->blocks[s->n].p = p;
        s->blocks[s->n].size = size;
        s->blocks[s->n].marked = 0;
        s->n++;
    }

    for (i = 0; i < s->n; /* void */) {

        if (s->blocks[i].marked || slab_random(s, 3)) {
            i++;
            continue;
        }

        ngx_slab_free_locked(s->pool, s->blocks[i].p);
        s->blocks[i] = s->blocks[--s->n];
    }
}


/* returns how many could not be */

static ngx_uint_t
slab_mark(slab_t *s, ngx_rf_zone_slab_map_t *map, ngx_uint_t percent)
{
    ngx_uint_t  i, refused;

    refused = 0;

    for (i = 0; i < s->n; /* void */) {

        if (slab_random(s, 100) >= percent) {
            s->blocks[i] = s->blocks[--s->n];
            continue;
        }

        refused += !ngx_rf_zone_slab_mark(map, s->blocks[i].p,
                                          s->blocks[i].size);
        s->blocks[i].marked = 1;
        i++;
    }

    return refused;
}


/* lists, descriptors, bitmaps */

static void
slab_tear(slab_t *s)
{
    u_char  *p;
    size_t   size;

    p = (u_char *) (s->pool + 1);
    size = (u_char *) s->pool->last - p;

    while (size--) {
        *p++ = (u_char) slab_random(s, 256);
    }

    ngx_memset(&s->pool->free, 0xa5, sizeof(ngx_slab_page_t));
    s->pool->pfree = slab_random(s, 1000000);
}


static ngx_uint_t
slab_whole(slab_t *s)
{
    size_t         j;
    ngx_uint_t     i;
    slab_block_t  *b;

    for (i = 0; i < s->n; i++) {
        b = &s->blocks[i];

        for (j = 0; j < b->size; j++) {
            if (b->p[j] != slab_byte(s, b->p)) {
                return 0;
            }
        }
    }

    return 1;
}


/* the pool's own numbers against those of the blocks */

static ngx_uint_t
slab_used(slab_t *s)
{
    ngx_uint_t  i, j, slots, used[16];

    slots = ngx_pagesize_shift - s->pool->min_shift;
    ngx_memzero(used, sizeof(used));

    for (i = 0; i < s->n; i++) {

        if (s->blocks[i].size > ngx_pagesize / 2) {
            continue;
        }

        for (j = 0;
             s->blocks[i].size > (size_t) 1 << (j + s->pool->min_shift);
             j++)
        {
            /* void */
        }

        used[j]++;
    }

    for (i = 0; i < slots; i++) {
        if (used[i] != s->pool->stats[i].used) {
            return 0;
        }
    }

    return 1;
}


static void
slab_free(slab_t *s)
{
    while (s->n) {
        ngx_slab_free_locked(s->pool, s->blocks[--s->n].p);
    }
}
