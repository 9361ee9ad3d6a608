/*
 * Connections that were given up: their ids, in the order in which they came,
 * of one process of Redis at a time.
 */

#include "exec.h"


static ngx_str_t  abandoned_one =
    ngx_string("1111111111111111111111111111111111111111");
static ngx_str_t  abandoned_two =
    ngx_string("2222222222222222222222222222222222222222");


RF_UNIT(abandoned_are_kept_until_they_are_done)
{
    exec_t     e, copy;
    uint64_t   ids[NGX_RF_ZONE_ABANDONED], done[2];
    ngx_str_t  unknown = ngx_null_string;

    ngx_rf_record_t  *left;

    exec_init(&e, pool, log, 1024 * 1024);

    (void) ngx_rf_zone_abandon(e.zone, &unknown, 7);
    is_int(e.zone->sh->nabandoned, 0, "nobody knows whose id it is");

    (void) ngx_rf_zone_abandon(e.zone, &abandoned_one, 7);
    (void) ngx_rf_zone_abandon(e.zone, &abandoned_one, 8);
    (void) ngx_rf_zone_abandon(e.zone, &abandoned_one, 9);

    is_int(ngx_rf_zone_abandoned(e.zone, &abandoned_one, ids), 3, "three");
    ok(ids[0] == 7 && ids[1] == 8 && ids[2] == 9, "in order");

    done[0] = 9;
    done[1] = 7;
    ngx_rf_zone_abandoned_done(e.zone, done, 2);
    is_int(ngx_rf_zone_abandoned(e.zone, &abandoned_one, ids), 1, "one left");
    is_int(ids[0], 8, "the one that came meanwhile");

    exec_init(&copy, pool, log, 2 * 1024 * 1024);
    is_int(ngx_rf_zone_copy(e.zone, copy.zone, &left), 0, "another zone");
    is_int(ngx_rf_zone_abandoned(copy.zone, &abandoned_one, ids), 1,
           "has it, too");
    is_int(ngx_rf_zone_abandon(e.zone, &abandoned_one, 10), NGX_DECLINED,
           "the old one takes no more");
    is_int(ngx_rf_zone_abandoned(copy.zone, &abandoned_two, ids), 0,
           "another Redis has nothing to do with it");
    is_int(copy.zone->sh->nabandoned, 0, "the one before is gone");

    (void) ngx_rf_zone_abandon(copy.zone, &abandoned_one, 11);
    is_int(ngx_rf_zone_abandoned(copy.zone, &unknown, ids), 0,
           "nor has one that does not say which it is");
    is_int(copy.zone->sh->nabandoned, 0, "gone, too");
}


RF_UNIT(abandoned_have_an_end)
{
    exec_t      e;
    uint64_t    ids[NGX_RF_ZONE_ABANDONED];
    ngx_uint_t  i, n;

    exec_init(&e, pool, log, 1024 * 1024);

    n = NGX_RF_ZONE_ABANDONED + 10;

    for (i = 1; i <= n; i++) {
        (void) ngx_rf_zone_abandon(e.zone, &abandoned_one, i);
    }

    is_int(ngx_rf_zone_abandoned(e.zone, &abandoned_one, ids),
           NGX_RF_ZONE_ABANDONED, "as many as there is room for");
    is_int(ids[0], 11, "the oldest are forgotten");
    is_int(ids[NGX_RF_ZONE_ABANDONED - 1], n, "the last is there");

    (void) ngx_rf_zone_abandon(e.zone, &abandoned_two, 1);
    is_int(ngx_rf_zone_abandoned(e.zone, &abandoned_two, ids), 1,
           "of another Redis: it alone");
    is_int(ids[0], 1, "its id");
}
