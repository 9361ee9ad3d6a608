
/*
 * Counts the calls of malloc() and its like, to be loaded before nginx: in the
 * first eight bytes of the file $RF_COUNT, which nginx' processes share.  For
 * glibc, whose own functions have names of their own.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>


extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);


static uint64_t   before;           /* there is a file to count in */
static uint64_t  *count = &before;


__attribute__((constructor)) static void
count_init(void)
{
    int          fd;
    void        *p;
    const char  *name;

    name = getenv("RF_COUNT");
    if (name == NULL) {
        return;
    }

    fd = open(name, O_RDWR|O_CLOEXEC);
    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(uint64_t), PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);

    if (p != MAP_FAILED) {
        count = p;
    }
}


static void
count_one(void)
{
    __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}


void *
malloc(size_t size)
{
    count_one();
    return __libc_malloc(size);
}


void *
calloc(size_t n, size_t size)
{
    count_one();
    return __libc_calloc(n, size);
}


void *
realloc(void *p, size_t size)
{
    count_one();
    return __libc_realloc(p, size);
}


void *
memalign(size_t alignment, size_t size)
{
    count_one();
    return __libc_memalign(alignment, size);
}


void *
aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}


int
posix_memalign(void **p, size_t alignment, size_t size)
{
    *p = memalign(alignment, size);
    return *p ? 0 : ENOMEM;
}
