/*
 * nginx without its main(): clock, pages, log.  Refuses to know any target.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "fuzz.h"


int LLVMFuzzerInitialize(int *argc, char ***argv);
int __wrap_RAND_bytes(unsigned char *buf, int num);
ngx_int_t __wrap_ngx_http_rf_request_send(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *body);


ngx_log_t    fuzz_log;
fuzz_sent_t  fuzz_sent;

/* public, so that nobody may leave out what goes there */
u_char       fuzz_sink;


static ngx_cycle_t  fuzz_cycle;
static uint64_t     fuzz_seed;


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_cycle.log = &fuzz_log;
    ngx_cycle = &fuzz_cycle;

    ngx_pid = ngx_getpid();
    ngx_ncpu = 1;
    ngx_pagesize = getpagesize();
    ngx_cacheline_size = NGX_CPU_CACHE_LINE;

    for (ngx_pagesize_shift = 0;
         (ngx_pagesize >> ngx_pagesize_shift) > 1;
         ngx_pagesize_shift++)
    {
        /* void */
    }

    ngx_time_init();
    ngx_slab_sizes_init();

    if (ngx_crc32_table_init() != NGX_OK) {
        return 1;
    }

    return 0;
}


void
fuzz_failed(const char *file, int line, const char *condition)
{
    fflush(stdout);         /* of what t/unit/sound.c has said */
    fprintf(stderr, "fuzz: %s:%d: not so: %s\n", file, line, condition);
    abort();
}


ngx_uint_t
fuzz_byte(fuzz_input_t *in)
{
    return in->pos < in->last ? *in->pos++ : 0;
}


ngx_str_t
fuzz_bytes(fuzz_input_t *in, ngx_pool_t *pool, size_t n)
{
    ngx_str_t  s;

    s.len = ngx_min(n, fuzz_left(in));
    s.data = ngx_pnalloc(pool, s.len ? s.len : 1);

    fuzz_check(s.data != NULL);

    if (s.len) {
        ngx_memcpy(s.data, in->pos, s.len);
    }

    in->pos += s.len;

    return s;
}


ngx_str_t
fuzz_until(fuzz_input_t *in, ngx_pool_t *pool, u_char end)
{
    ngx_str_t       s;
    const uint8_t  *p;

    for (p = in->pos; p < in->last && *p != end; p++) { /* void */ }

    s = fuzz_bytes(in, pool, p - in->pos);

    if (in->pos < in->last) {
        in->pos++;
    }

    return s;
}


void
fuzz_read(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        fuzz_sink += s->data[i];
    }
}


ngx_uint_t
fuzz_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || ngx_memcmp(a->data, b->data, a->len) == 0);
}


void
fuzz_random(ngx_uint_t seed)
{
    fuzz_seed = seed;
    srandom(seed);
}


int
__wrap_RAND_bytes(unsigned char *buf, int num)
{
    int  i;

    for (i = 0; i < num; i++) {
        fuzz_seed = fuzz_seed * 6364136223846793005ULL
                    + 1442695040888963407ULL;
        buf[i] = (unsigned char) (fuzz_seed >> 56);
    }

    return 1;
}


ngx_int_t
__wrap_ngx_http_rf_request_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body)
{
    fuzz_check(fuzz_sent.status == 0);

    fuzz_sent.status = status;
    fuzz_sent.body = *body;

    return NGX_OK;
}
