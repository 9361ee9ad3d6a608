/*
 * nginx's slab allocator as the module calls it, each block fenced off by the
 * sanitizer: the rest of its slot, free slots and free pages are poisoned.
 * nginx's ngx_slab.c is built without the sanitizer, and sees nothing of it;
 * what it calls memset() is fuzz_slab_memset().
 *
 * Two pools at a time.
 */

#include <sanitizer/asan_interface.h>
#include "fuzz.h"


/* the largest pool, and the shortest slot */
#define FUZZ_SLAB_MAX   (1024 * 1024)
#define FUZZ_SLAB_SLOT  8


typedef struct {
    ngx_slab_pool_t  *pool;
    ngx_uint_t        blocks;
    uint32_t          size[FUZZ_SLAB_MAX / FUZZ_SLAB_SLOT];
} fuzz_slab_t;


void __real_ngx_slab_init(ngx_slab_pool_t *pool);
void *__real_ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size);
void __real_ngx_slab_free_locked(ngx_slab_pool_t *pool, void *p);

void *fuzz_slab_memset(void *p, int ch, size_t n);
void __wrap_ngx_slab_init(ngx_slab_pool_t *pool);
void *__wrap_ngx_slab_calloc(ngx_slab_pool_t *pool, size_t size);
void *__wrap_ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size);
void __wrap_ngx_slab_free_locked(ngx_slab_pool_t *pool, void *p);

static void fuzz_slab_call(void);
static void *fuzz_slab_made(ngx_slab_pool_t *pool, void *p, size_t size);
static fuzz_slab_t *fuzz_slab_of(ngx_slab_pool_t *pool);
static uint32_t *fuzz_slab_size(fuzz_slab_t *slab, void *p);


static fuzz_slab_t  fuzz_slabs[2];
static ngx_uint_t   fuzz_slab_calls;
static jmp_buf     *fuzz_slab_where;


void
fuzz_slab_init(ngx_shm_zone_t *shm)
{
    ngx_slab_pool_t  *pool;

    fuzz_check(shm->shm.size <= FUZZ_SLAB_MAX);

    ASAN_UNPOISON_MEMORY_REGION(shm->shm.addr, shm->shm.size);

    pool = (ngx_slab_pool_t *) shm->shm.addr;
    ngx_memzero(pool, sizeof(ngx_slab_pool_t));

    pool->end = shm->shm.addr + shm->shm.size;
    pool->min_shift = 3;
    pool->addr = shm->shm.addr;

    fuzz_check(ngx_shmtx_create(&pool->mutex, &pool->lock, NULL) == NGX_OK);

    ngx_slab_init(pool);

    /* not in one that is laid out again: there what was in use stays */

    ASAN_POISON_MEMORY_REGION(pool->start, pool->end - pool->start);
}


ngx_uint_t
fuzz_slab_blocks(ngx_slab_pool_t *pool)
{
    return fuzz_slab_of(pool)->blocks;
}


void
fuzz_slab_kill(ngx_uint_t n, jmp_buf *where)
{
    fuzz_slab_calls = n;
    fuzz_slab_where = where;
}


static void
fuzz_slab_call(void)
{
    if (fuzz_slab_calls && --fuzz_slab_calls == 0) {
        longjmp(*fuzz_slab_where, 1);
    }
}


void
fuzz_slab_open(ngx_slab_pool_t *pool)
{
    ASAN_UNPOISON_MEMORY_REGION(pool->start, pool->end - pool->start);
}


/* by words: it overwrites all of a pool, and each block that is freed */

__attribute__((no_sanitize("address")))
void *
fuzz_slab_memset(void *p, int ch, size_t n)
{
    uint64_t            word;
    volatile u_char    *byte;
    volatile uint64_t  *words;

    byte = p;

    for ( /* void */ ; n && (uintptr_t) byte % sizeof(uint64_t); n--) {
        *byte++ = (u_char) ch;
    }

    word = (u_char) ch * 0x0101010101010101ULL;
    words = (volatile uint64_t *) (void *) (uintptr_t) byte;

    for ( /* void */ ; n >= sizeof(uint64_t); n -= sizeof(uint64_t)) {
        *words++ = word;
    }

    for (byte = (volatile u_char *) words; n; n--) {
        *byte++ = (u_char) ch;
    }

    return p;
}


void
__wrap_ngx_slab_init(ngx_slab_pool_t *pool)
{
    fuzz_slab_t  *slab;

    ASAN_UNPOISON_MEMORY_REGION(pool, pool->end - (u_char *) pool);

    __real_ngx_slab_init(pool);

    slab = fuzz_slab_of(pool);

    slab->blocks = 0;
    ngx_memzero(slab->size, (pool->end - pool->start) / FUZZ_SLAB_SLOT
                            * sizeof(uint32_t));
}


/* without the lock, which nobody else could hold */

void *
__wrap_ngx_slab_calloc(ngx_slab_pool_t *pool, size_t size)
{
    void  *p;

    p = fuzz_slab_made(pool, __real_ngx_slab_alloc_locked(pool, size), size);

    if (p != NULL) {
        ngx_memzero(p, size);
    }

    return p;
}


void *
__wrap_ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size)
{
    fuzz_slab_call();

    return fuzz_slab_made(pool, __real_ngx_slab_alloc_locked(pool, size),
                          size);
}


static void *
fuzz_slab_made(ngx_slab_pool_t *pool, void *p, size_t size)
{
    fuzz_slab_t  *slab;

    if (p == NULL) {
        return NULL;
    }

    slab = fuzz_slab_of(pool);
    slab->blocks++;

    *fuzz_slab_size(slab, p) = size;

    ASAN_UNPOISON_MEMORY_REGION(p, size);

    return p;
}


void
__wrap_ngx_slab_free_locked(ngx_slab_pool_t *pool, void *p)
{
    uint32_t     *size;
    fuzz_slab_t  *slab;

    fuzz_slab_call();

    slab = fuzz_slab_of(pool);
    size = fuzz_slab_size(slab, p);

    /* freed twice, or never allocated */
    fuzz_check(*size != 0);

    slab->blocks--;

    __real_ngx_slab_free_locked(pool, p);

    ASAN_POISON_MEMORY_REGION(p, *size);
    *size = 0;
}


/* the pool's, or one that nobody has */

static fuzz_slab_t *
fuzz_slab_of(ngx_slab_pool_t *pool)
{
    ngx_uint_t  i;

    for (i = 0; i < 2; i++) {

        if (fuzz_slabs[i].pool == NULL || fuzz_slabs[i].pool == pool) {
            fuzz_slabs[i].pool = pool;
            return &fuzz_slabs[i];
        }
    }

    fuzz_failed(__FILE__, __LINE__, "a pool that is known");
}


static uint32_t *
fuzz_slab_size(fuzz_slab_t *slab, void *p)
{
    u_char  *start;

    start = slab->pool->start;

    fuzz_check((u_char *) p >= start && (u_char *) p < slab->pool->end);
    fuzz_check(((u_char *) p - start) % FUZZ_SLAB_SLOT == 0);

    return &slab->size[((u_char *) p - start) / FUZZ_SLAB_SLOT];
}
