/* The zone's lock, and what others do before one gets it. */

#include "fuzz.h"
#include "ngx_rf_zone.h"


void __real_ngx_rf_zone_lock(ngx_rf_zone_t *zone);
void __wrap_ngx_rf_zone_lock(ngx_rf_zone_t *zone);


static ngx_uint_t   fuzz_lock_calls;
static void       (*fuzz_lock_others)(void *data);
static void        *fuzz_lock_data;


void
fuzz_lock_hook(ngx_uint_t n, void (*hook)(void *data), void *data)
{
    fuzz_lock_calls = n;
    fuzz_lock_others = hook;
    fuzz_lock_data = data;
}


void
__wrap_ngx_rf_zone_lock(ngx_rf_zone_t *zone)
{
    if (fuzz_lock_calls && --fuzz_lock_calls == 0) {
        fuzz_lock_others(fuzz_lock_data);
    }

    __real_ngx_rf_zone_lock(zone);
}
