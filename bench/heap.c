
/*
 * A heap for bench/callgrind, to be loaded before nginx: the C library's needs
 * up to 400 instructions more or less for a request, by what happened to be
 * freed before.  This one always needs the same: a list of free blocks for each
 * size, sizes are powers of two and three quarters of them, and what is free
 * stays with its size.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>


#define CLASSES  96
#define CHUNK    (64UL << 20)


typedef struct block_s  block_t;

/* right before what the caller gets; "next" is used while it is free */

struct block_s {
    union {
        block_t  *next;
        void     *start;
    };
    uint32_t      size_class;
    uint32_t      offset;           /* of the block before what was aligned */
};


static block_t  *lists[CLASSES];
static char     *chunk, *chunk_end;
static char      lock;


/* 2^n and 3 * 2^(n-1) in turn, from 32 bytes */

static uint32_t
class_of(size_t size, size_t *full)
{
    uint32_t  bits, c;

    if (size <= 32) {
        *full = 32;
        return 0;
    }

    bits = 63 - __builtin_clzl(size - 1);
    c = (bits - 5) * 2 + 1;
    *full = 3UL << (bits - 1);

    if (size > *full) {
        c++;
        *full = 2UL << bits;
    }

    return c;
}


static block_t *
more(size_t size)
{
    void  *p;

    if ((size_t) (chunk_end - chunk) < size) {
        p = mmap(NULL, size > CHUNK ? size : CHUNK, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            return NULL;
        }

        chunk = p;
        chunk_end = chunk + (size > CHUNK ? size : CHUNK);
    }

    p = chunk;
    chunk += size;

    return p;
}


void *
malloc(size_t size)
{
    size_t    full;
    block_t  *b;
    uint32_t  c;

    if (size > PTRDIFF_MAX / 4) {
        errno = ENOMEM;
        return NULL;
    }

    c = class_of(size + sizeof(block_t), &full);

    while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE)) { /* void */ }

    b = lists[c];

    if (b != NULL) {
        lists[c] = b->next;
    } else {
        b = more(full);
    }

    __atomic_clear(&lock, __ATOMIC_RELEASE);

    if (b == NULL) {
        errno = ENOMEM;
        return NULL;
    }

    b->size_class = c;
    b->offset = 0;

    return b + 1;
}


void
free(void *p)
{
    block_t  *b;

    if (p == NULL) {
        return;
    }

    b = (block_t *) p - 1;
    b = (block_t *) ((char *) b - b->offset);

    while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE)) { /* void */ }

    b->next = lists[b->size_class];
    lists[b->size_class] = b;

    __atomic_clear(&lock, __ATOMIC_RELEASE);
}


static size_t
usable(void *p)
{
    size_t    full;
    block_t  *b;
    uint32_t  c;

    b = (block_t *) p - 1;
    c = ((block_t *) ((char *) b - b->offset))->size_class;
    full = c == 0 ? 32 : c % 2 ? 3UL << ((c - 1) / 2 + 4) : 2UL << (c / 2 + 4);

    return full - sizeof(block_t) - b->offset;
}


void *
calloc(size_t n, size_t size)
{
    void    *p;
    size_t   sum;

    if (__builtin_mul_overflow(n, size, &sum)) {
        errno = ENOMEM;
        return NULL;
    }

    p = malloc(sum);

    return p ? memset(p, 0, sum) : NULL;
}


void *
realloc(void *old, size_t size)
{
    void    *p;
    size_t   n;

    if (old == NULL) {
        return malloc(size);
    }

    n = usable(old);

    if (size <= n) {
        return old;
    }

    p = malloc(size);

    if (p != NULL) {
        memcpy(p, old, n);
        free(old);
    }

    return p;
}


void *
memalign(size_t align, size_t size)
{
    char      *p, *q;
    block_t   *b;

    if (align <= 16) {
        return malloc(size);
    }

    p = malloc(size + align);

    if (p == NULL) {
        return NULL;
    }

    q = (char *) (((uintptr_t) p + align - 1) & ~(uintptr_t) (align - 1));

    if (q != p) {
        b = (block_t *) q - 1;
        b->offset = q - p;
    }

    return q;
}


int
posix_memalign(void **p, size_t align, size_t size)
{
    *p = memalign(align, size);

    return *p ? 0 : ENOMEM;
}


void *
aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}


size_t
malloc_usable_size(void *p)
{
    return p ? usable(p) : 0;
}
