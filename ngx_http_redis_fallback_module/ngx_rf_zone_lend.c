/*
 * Values that are read after the lock was given away, which need not be copied
 * then: a response is sent right out of the zone.
 *
 * A process lends one at a time, and has a place where its address is.  Who
 * gives a block up looks there, under the lock: a block that is lent gets a
 * mark instead of being freed, and is freed by who takes it back, the last of
 * them if they are several.  Without the mark it is taken back without the
 * lock, by the same compare-and-set that would have failed with it.
 *
 * A process that dies leaves its place: whoever looks for one next, or looks
 * after those who died, frees what is marked there.  A salvage keeps what is
 * lent, in an entry or not, where it is.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* in place of the lowest bit of an address: no entry has it any more */
#define NGX_RF_ZONE_GIVEN_UP    1

#define ngx_rf_zone_lent_blob(value)                                         \
    ((ngx_rf_blob_t *) ((value) & ~(ngx_atomic_uint_t) NGX_RF_ZONE_GIVEN_UP))


static ngx_uint_t ngx_rf_zone_lender(ngx_rf_zone_t *zone);
static void ngx_rf_zone_take_back(ngx_rf_zone_t *zone, ngx_uint_t i);


ngx_uint_t
ngx_rf_zone_lend_locked(ngx_rf_zone_t *zone, ngx_rf_blob_t *value)
{
    if (zone->lent != NULL) {
        return 0;
    }

    if (zone->lender == 0 && !ngx_rf_zone_lender(zone)) {
        return 0;
    }

    zone->lent = value;
    zone->sh->lent[zone->lender - 1] = (ngx_atomic_uint_t) value;

    return 1;
}


static void
ngx_rf_zone_take_back(ngx_rf_zone_t *zone, ngx_uint_t i)
{
    ngx_uint_t         n;
    ngx_atomic_uint_t  value;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    value = sh->lent[i];

    sh->lent[i] = 0;

    if (!(value & NGX_RF_ZONE_GIVEN_UP)) {
        return;
    }

    for (n = 0; n < sh->nlenders; n++) {
        if (sh->lent[n] == value) {
            return;
        }
    }

    ngx_slab_free_locked(zone->shpool, ngx_rf_zone_lent_blob(value));
}


void
ngx_rf_zone_returned(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  value;

    value = (ngx_atomic_uint_t) zone->lent;

    if (value == 0) {
        return;
    }

    i = zone->lender - 1;
    zone->lent = NULL;

    if (ngx_atomic_cmp_set(&zone->sh->lent[i], value, 0)) {
        return;
    }

    ngx_rf_zone_lock(zone);
    ngx_rf_zone_take_back(zone, i);
    ngx_rf_zone_unlock(zone);
}


/* One that a dead process has left is as good as one that nobody ever had.  It
 * may have had the number that is this one's now. */

static ngx_uint_t
ngx_rf_zone_lender(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    if (zone->lender_looked == ngx_time()) {
        return 0;
    }

    sh = zone->sh;

    for (i = 0; i < sh->nlenders; i++) {

        if (sh->lenders[i] == ngx_pid || ngx_rf_zone_died(sh->lenders[i])) {
            ngx_rf_zone_take_back(zone, i);
            sh->lenders[i] = 0;
        }
    }

    for (i = 0; i < NGX_RF_ZONE_LENDERS; i++) {

        if (sh->lenders[i] == 0) {
            sh->lenders[i] = ngx_pid;
            sh->nlenders = ngx_max(sh->nlenders, i + 1);
            zone->lender = i + 1;

            return 1;
        }
    }

    zone->lender_looked = ngx_time();

    return 0;
}


void
ngx_rf_zone_lender_leaves(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_sh_t  *sh;

    if (zone->lender == 0) {
        return;
    }

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    ngx_rf_zone_take_back(zone, zone->lender - 1);
    sh->lenders[zone->lender - 1] = 0;

    while (sh->nlenders && sh->lenders[sh->nlenders - 1] == 0) {
        sh->nlenders--;
    }

    ngx_rf_zone_unlock(zone);

    zone->lender = 0;
    zone->lent = NULL;
}


ngx_uint_t
ngx_rf_zone_is_lent(ngx_rf_zone_t *zone, void *p)
{
    ngx_uint_t         i, lent;
    ngx_atomic_uint_t  value;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    value = (ngx_atomic_uint_t) p;
    lent = 0;

    for (i = 0; i < sh->nlenders; i++) {

        if (sh->lent[i] == value
            && ngx_atomic_cmp_set(&sh->lent[i], value,
                                  value | NGX_RF_ZONE_GIVEN_UP))
        {
            lent = 1;
        }
    }

    return lent;
}


void
ngx_rf_zone_lenders_look(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    for (i = 0; i < sh->nlenders; i++) {

        if (sh->lent[i] && ngx_rf_zone_died(sh->lenders[i])) {
            ngx_rf_zone_take_back(zone, i);
            sh->lenders[i] = 0;
        }
    }
}


/* marked as given up first: who takes one back then waits for the lock */

void
ngx_rf_zone_mark_lent(ngx_rf_zone_t *zone, ngx_rf_zone_slab_map_t *map)
{
    ngx_uint_t          i, n;
    ngx_rf_blob_t      *blob;
    ngx_rf_zone_sh_t   *sh;
    ngx_atomic_uint_t   value;

    sh = zone->sh;
    sh->nlenders = ngx_min(sh->nlenders, NGX_RF_ZONE_LENDERS);

    for (i = 0; i < sh->nlenders; i++) {

        value = sh->lent[i];

        if (value == 0
            || (!(value & NGX_RF_ZONE_GIVEN_UP)
                && !ngx_atomic_cmp_set(&sh->lent[i], value,
                                       value | NGX_RF_ZONE_GIVEN_UP)))
        {
            continue;
        }

        value |= NGX_RF_ZONE_GIVEN_UP;
        blob = ngx_rf_zone_lent_blob(value);

        if (!ngx_rf_zone_valid(zone, blob, ngx_rf_blob_size(0))
            || !ngx_rf_zone_valid(zone, blob, ngx_rf_blob_size(blob->len)))
        {
            sh->lent[i] = 0;
            continue;
        }

        for (n = 0; n < i && sh->lent[n] != value; n++) {
            /* void */
        }

        if (n == i
            && !ngx_rf_zone_slab_mark(map, blob, ngx_rf_blob_size(blob->len)))
        {
            /* an entry has it */
            sh->lent[i] = (ngx_atomic_uint_t) blob;
        }
    }
}
