/*
 * Unit tests of the engine, one file for each room:
 *
 *     #include "rf_unit.h"
 *     #include "ngx_rf_codec.h"
 *
 *     RF_UNIT(codec_keeps_binary)
 *     {
 *         ok(ngx_rf_codec_encode(...) == NGX_OK, "encodes");
 *         is_str(&key, "a\0b", 3, "the key");
 *     }
 *
 * They run in nginx -t: pools, slabs, trees, times and logs are nginx's own;
 * there is no event loop.  "pool" and "log" are the test's.
 */

#ifndef _RF_UNIT_H_INCLUDED_
#define _RF_UNIT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* tests set the scene with system calls whose failure shows soon enough */
#pragma GCC diagnostic ignored "-Wunused-result"


typedef struct rf_unit_s  rf_unit_t;

typedef void (*rf_unit_pt)(ngx_pool_t *pool, ngx_log_t *log);

struct rf_unit_s {
    const char           *name;
    const char           *file;
    rf_unit_pt            run;
    rf_unit_t            *next;
};


void rf_unit_add(rf_unit_t *unit);

#define RF_UNIT(n)                                                           \
    static void rf_unit_##n(ngx_pool_t *pool, ngx_log_t *log);               \
    static rf_unit_t  rf_unit_node_##n =                                     \
        { #n, __FILE__, rf_unit_##n, NULL };                                 \
    __attribute__((constructor)) static void rf_unit_add_##n(void)           \
    {                                                                        \
        rf_unit_add(&rf_unit_node_##n);                                      \
    }                                                                        \
    static void rf_unit_##n(ngx_pool_t *pool, ngx_log_t *log)


/* each returns whether it passed; the name is a printf() format */

ngx_uint_t rf_unit_ok(const char *file, int line, ngx_uint_t passed,
    const char *name, ...) __attribute__((format(printf, 4, 5)));
ngx_uint_t rf_unit_is_int(const char *file, int line, int64_t got,
    int64_t expected, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
ngx_uint_t rf_unit_is_str(const char *file, int line, ngx_str_t *got,
    const char *expected, size_t len, const char *name, ...)
    __attribute__((format(printf, 6, 7)));

#define ok(passed, ...)                                                      \
    rf_unit_ok(__FILE__, __LINE__, (passed) ? 1 : 0, __VA_ARGS__)
#define is_int(got, expected, ...)                                           \
    rf_unit_is_int(__FILE__, __LINE__, (int64_t) (got),                      \
                   (int64_t) (expected), __VA_ARGS__)
/* ngx_str_t * and bytes */
#define is_str(got, expected, len, ...)                                      \
    rf_unit_is_str(__FILE__, __LINE__, got, expected, len, __VA_ARGS__)
/* ngx_str_t * and a literal */
#define is_text(got, expected, ...)                                          \
    rf_unit_is_str(__FILE__, __LINE__, got, expected,                        \
                   sizeof(expected) - 1, __VA_ARGS__)


/* a shared-memory zone as nginx makes them, with its slab pool; unmapped
 * after the test */
ngx_shm_zone_t *rf_unit_shm(ngx_pool_t *pool, ngx_log_t *log, size_t size);

/* a new directory, removed with all below it after the test */
char *rf_unit_dir(ngx_pool_t *pool);


#endif /* _RF_UNIT_H_INCLUDED_ */
