/*
 * Runs the unit tests from within nginx -t and prints TAP.  RF_UNIT_ONLY in
 * the environment names the tests to run, by the begin of their name.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ftw.h>
#include "rf_unit.h"


static ngx_int_t rf_unit_init_module(ngx_cycle_t *cycle);
static ngx_uint_t rf_unit_run(rf_unit_t *unit, ngx_log_t *log);
static ngx_uint_t rf_unit_result(const char *file, int line,
    ngx_uint_t passed, const char *name, va_list args);
static void rf_unit_print(const char *what, const u_char *data, size_t len);
static void rf_unit_shm_free(void *data);
static void rf_unit_dir_remove(void *data);
static int rf_unit_remove(const char *name, const struct stat *sb, int type,
    struct FTW *ftw);


static rf_unit_t   *rf_units;
static ngx_uint_t   rf_unit_count;
static ngx_uint_t   rf_unit_failed;


static ngx_core_module_t  ngx_rf_unit_module_ctx = {
    ngx_string("rf_unit"),
    NULL,
    NULL
};


ngx_module_t  ngx_rf_unit_module = {
    NGX_MODULE_V1,
    &ngx_rf_unit_module_ctx,               /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    rf_unit_init_module,                   /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


void
rf_unit_add(rf_unit_t *unit)
{
    rf_unit_t  **next;

    for (next = &rf_units; *next; next = &(*next)->next) { /* void */ }

    *next = unit;
}


static ngx_int_t
rf_unit_init_module(ngx_cycle_t *cycle)
{
    char       *only;
    rf_unit_t  *unit;
    ngx_uint_t  n;

    n = 0;
    only = getenv("RF_UNIT_ONLY");

    for (unit = rf_units; unit; unit = unit->next) {
        if (only && ngx_strncmp(unit->name, only, ngx_strlen(only)) != 0) {
            continue;
        }

        n++;
        printf("# %s\n", unit->name);
        fflush(stdout);

        if (rf_unit_run(unit, cycle->log) == 0) {
            rf_unit_ok(unit->file, 0, 0, "%s tested something", unit->name);
        }
    }

    if (n == 0) {
        printf("1..0 # SKIP no tests\n");

    } else {
        printf("# %d units, %d tests, %d failed\n", (int) n,
               (int) rf_unit_count, (int) rf_unit_failed);
        printf("1..%d\n", (int) rf_unit_count);
    }

    fflush(stdout);

    return NGX_OK;
}


/* returns the number of its tests */

static ngx_uint_t
rf_unit_run(rf_unit_t *unit, ngx_log_t *log)
{
    ngx_uint_t   before;
    ngx_pool_t  *pool;

    before = rf_unit_count;

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        return 0;
    }

    unit->run(pool, log);

    ngx_destroy_pool(pool);

    return rf_unit_count - before;
}


ngx_uint_t
rf_unit_ok(const char *file, int line, ngx_uint_t passed, const char *name,
    ...)
{
    va_list  args;

    va_start(args, name);
    passed = rf_unit_result(file, line, passed, name, args);
    va_end(args);

    return passed;
}


ngx_uint_t
rf_unit_is_int(const char *file, int line, int64_t got, int64_t expected,
    const char *name, ...)
{
    va_list     args;
    ngx_uint_t  passed;

    va_start(args, name);
    passed = rf_unit_result(file, line, got == expected, name, args);
    va_end(args);

    if (!passed) {
        printf("#      got: %lld\n# expected: %lld\n", (long long) got,
               (long long) expected);
        fflush(stdout);
    }

    return passed;
}


ngx_uint_t
rf_unit_is_str(const char *file, int line, ngx_str_t *got,
    const char *expected, size_t len, const char *name, ...)
{
    va_list     args;
    ngx_uint_t  passed;

    passed = (got->len == len
              && (len == 0 || ngx_memcmp(got->data, expected, len) == 0));

    va_start(args, name);
    rf_unit_result(file, line, passed, name, args);
    va_end(args);

    if (!passed) {
        rf_unit_print("     got", got->data, got->len);
        rf_unit_print("expected", (const u_char *) expected, len);
    }

    return passed;
}


static ngx_uint_t
rf_unit_result(const char *file, int line, ngx_uint_t passed,
    const char *name, va_list args)
{
    rf_unit_count++;

    printf("%s %d - ", passed ? "ok" : "not ok", (int) rf_unit_count);
    vprintf(name, args);
    printf("\n");

    if (!passed) {
        rf_unit_failed++;
        printf("# at %s:%d\n", file, line);
    }

    /* a crash shall not take what was said before */
    fflush(stdout);

    return passed;
}


static void
rf_unit_print(const char *what, const u_char *data, size_t len)
{
    size_t  i;

    printf("# %s: \"", what);

    for (i = 0; i < len && i < 300; i++) {
        if (data[i] >= 0x20 && data[i] < 0x7f) {
            printf("%c", data[i]);

        } else {
            printf("\\x%02x", data[i]);
        }
    }

    printf("\" (%d bytes)\n", (int) len);
    fflush(stdout);
}


/* as ngx_init_zone_pool() does it, which is not public */

ngx_shm_zone_t *
rf_unit_shm(ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    ngx_shm_zone_t      *zone;
    ngx_slab_pool_t     *sp;
    ngx_pool_cleanup_t  *cln;

    zone = ngx_pcalloc(pool, sizeof(ngx_shm_zone_t));
    cln = ngx_pool_cleanup_add(pool, 0);

    if (zone == NULL || cln == NULL) {
        return NULL;
    }

    zone->shm.size = size;
    zone->shm.log = log;
    ngx_str_set(&zone->shm.name, "rf_unit");

    if (ngx_shm_alloc(&zone->shm) != NGX_OK) {
        return NULL;
    }

    cln->handler = rf_unit_shm_free;
    cln->data = zone;

    sp = (ngx_slab_pool_t *) zone->shm.addr;

    sp->end = zone->shm.addr + size;
    sp->min_shift = 3;
    sp->addr = zone->shm.addr;

    if (ngx_shmtx_create(&sp->mutex, &sp->lock, NULL) != NGX_OK) {
        return NULL;
    }

    ngx_slab_init(sp);

    return zone;
}


static void
rf_unit_shm_free(void *data)
{
    ngx_shm_zone_t  *zone = data;

    ngx_shm_free(&zone->shm);
}


char *
rf_unit_dir(ngx_pool_t *pool)
{
    char                *dir, *tmp;
    ngx_pool_cleanup_t  *cln;

    tmp = getenv("TMPDIR");
    if (tmp == NULL) {
        tmp = "/tmp";
    }

    dir = ngx_pcalloc(pool, strlen(tmp) + sizeof("/rf-unit-XXXXXX"));
    cln = ngx_pool_cleanup_add(pool, 0);

    if (dir == NULL || cln == NULL) {
        return NULL;
    }

    sprintf(dir, "%s/rf-unit-XXXXXX", tmp);

    if (mkdtemp(dir) == NULL) {
        return NULL;
    }

    cln->handler = rf_unit_dir_remove;
    cln->data = dir;

    return dir;
}


static void
rf_unit_dir_remove(void *data)
{
    (void) nftw(data, rf_unit_remove, 16, FTW_DEPTH|FTW_PHYS);
}


static int
rf_unit_remove(const char *name, const struct stat *sb, int type,
    struct FTW *ftw)
{
    return remove(name);
}
