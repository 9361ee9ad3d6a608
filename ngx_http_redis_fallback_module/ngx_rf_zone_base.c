/*
 * What Redis held when a key was first changed locally, as far as memory knows
 * that: what on_conflict remote compares with.
 *
 * It is known of a value, or an absence, that was read or written as a whole
 * and to which nothing has happened since that is not known here.  Memory does
 * not keep misses, so of a key that was not there it is mostly unknown.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include "ngx_rf_digest.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


static void ngx_rf_zone_base_coll(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);


void
ngx_rf_zone_base(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_sha1_t  sha1;

    e->work->base = NGX_RF_BASE_UNKNOWN;
    e->work->base_expires = (e->expire != 0);
    e->work->sent = 0;

    if (!e->complete || e->seen == 0) {
        return;

    } else if (ngx_rf_zone_restoring(zone->sh, e)) {
        e->work->base = NGX_RF_BASE_ABSENT;

    } else if (e->type == NGX_RF_NONE) {
        e->work->base = NGX_RF_BASE_ABSENT;

    } else if (e->type == NGX_RF_STRING) {
        ngx_sha1_init(&sha1);
        ngx_sha1_update(&sha1, e->value->data, e->value->len);
        ngx_sha1_final(e->work->base_sha1, &sha1);

        e->work->base = NGX_RF_BASE_KNOWN;

    } else if (zone->digests) {
        ngx_rf_zone_base_coll(zone, e);
    }
}


static void
ngx_rf_zone_base_coll(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    double            score;
    ngx_str_t         name, value;
    ngx_rf_elt_t     *elt;
    ngx_rf_walk_t     walk;
    ngx_rf_tree_t    *elts;
    ngx_rf_digest_t   digest;

    elts = &ngx_rf_zone_content(e)->elts;

    if (elts->count > NGX_RF_DIGEST_ELTS || elts->bytes > NGX_RF_DIGEST_BYTES) {
        return;
    }

    ngx_rf_digest_init(&digest, e->type);
    score = 0;

    for (elt = ngx_rf_walk_from(&walk, elts, 0);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        name.data = ngx_rf_elt_name(elt);
        name.len = elt->name_len;
        value.data = ngx_rf_elt_value(elt);
        value.len = elt->value_len;

        if (e->type == NGX_RF_ZSET) {
            ngx_memcpy(&score, value.data, sizeof(double));
        }

        ngx_rf_digest_add(&digest, &name, &value, score);
    }

    ngx_rf_digest_final(&digest, e->work->base_sha1);

    e->work->base = NGX_RF_BASE_COLL;
}


void
ngx_rf_zone_unsure_locked(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_lookup_locked(zone, key);

    if (e == NULL) {
        return;
    }

    if (e->pending == NGX_RF_CLEAN) {
        e->seen = 0;
        return;
    }

    e->work->base = NGX_RF_BASE_UNKNOWN;
}
