#include "rf_unit.h"
#include "ngx_rf_zone.h"
ngx_rf_record_t *__real_ngx_rf_zone_replay_take(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes, int64_t now, ngx_uint_t *restored);
ngx_rf_record_t *__wrap_ngx_rf_zone_replay_take(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes, int64_t now, ngx_uint_t *restored);
ngx_rf_record_t *__wrap_ngx_rf_zone_replay_take(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes, int64_t now, ngx_uint_t *restored)
{ return __real_ngx_rf_zone_replay_take(zone, n, bytes, now, restored); }
