/*
 * What the fuzz targets share: nginx set up as far as its core needs it, pools,
 * input, and stand-ins for what ends outside of the process.
 *
 * A target is one LLVMFuzzerTestOneInput(), linked with all of nginx but its
 * main().  It may use the names of the module as any file of it does.
 */

#ifndef _FUZZ_H_INCLUDED_
#define _FUZZ_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <setjmp.h>


/* what must hold; a finding if it does not */
#define fuzz_check(condition)                                                \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fuzz_failed(__FILE__, __LINE__, #condition);                     \
        }                                                                    \
    } while (0)

void fuzz_failed(const char *file, int line, const char *condition)
    __attribute__((noreturn));


extern ngx_log_t  fuzz_log;
extern u_char     fuzz_sink;


/* what is left of the input; where there is nothing left it is zeros */

typedef struct {
    const uint8_t        *pos;
    const uint8_t        *last;
} fuzz_input_t;

ngx_uint_t fuzz_byte(fuzz_input_t *in);
/* up to n bytes in a block of memory of just that size */
ngx_str_t fuzz_bytes(fuzz_input_t *in, ngx_pool_t *pool, size_t n);
/* all up to a byte, which is skipped, or to the end */
ngx_str_t fuzz_until(fuzz_input_t *in, ngx_pool_t *pool, u_char end);

#define fuzz_left(in)  ((size_t) ((in)->last - (in)->pos))


/* reads all of it, so that what is not memory shows */
void fuzz_read(ngx_str_t *s);

ngx_uint_t fuzz_same(ngx_str_t *a, ngx_str_t *b);


/* fuzz.c: what the module sends to the client; status 0: nothing yet */

typedef struct {
    ngx_uint_t            status;
    ngx_str_t             body;
} fuzz_sent_t;

extern fuzz_sent_t  fuzz_sent;

/* fuzz.c: where the random bytes of OpenSSL and of nginx begin again, so that
 * an input does the same each time */
void fuzz_random(ngx_uint_t seed);


/*
 * slab.c: of the zone's memory only what is allocated may be touched; the
 * sanitizer says who touches anything else.
 */

/* a slab pool at shm.addr, of shm.size bytes */
void fuzz_slab_init(ngx_shm_zone_t *shm);
/* blocks that are allocated */
ngx_uint_t fuzz_slab_blocks(ngx_slab_pool_t *pool);
/* the n-th call of the allocator from now on jumps to *where instead, as if a
 * worker was killed there; n 0: none does */
void fuzz_slab_kill(ngx_uint_t n, jmp_buf *where);
/* all of it may be read, until the pool is made anew: for those who look at
 * what a killed worker left */
void fuzz_slab_open(ngx_slab_pool_t *pool);


/*
 * lock.c: the n-th time from now on that the zone's lock is wanted, hook() runs
 * before, as if others had come first; n 0: never.  Within the zone's own room
 * it is not noticed.
 */
void fuzz_lock_hook(ngx_uint_t n, void (*hook)(void *data), void *data);


#endif /* _FUZZ_H_INCLUDED_ */
