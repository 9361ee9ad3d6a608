/*
 * What an instance that never had the path has pending when it ends, what
 * becomes of it in the zone of the one that has it, and how that knows what is
 * too old.
 *
 * A delta crosses with an id, which it was sent under or not.  The entry that
 * takes it in has that id from then on, or one made of it, and shows by that,
 * also after a crash, that it has been taken in: as long as the record that was
 * handed over is on disk nothing is replayed, so the id stays.  Of two
 * replacements the later stays, however often they meet.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


static ngx_rf_record_t *ngx_rf_zone_hand_record(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_zone_hand_new(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec, int64_t now);
static ngx_int_t ngx_rf_zone_hand_merge(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, ngx_rf_record_t *rec);


ngx_rf_record_t *
ngx_rf_zone_hand_take(ngx_rf_zone_t *zone, ngx_uint_t n, size_t bytes,
    ngx_uint_t *left)
{
    size_t             size;
    ngx_uint_t         i;
    ngx_queue_t       *queue;
    ngx_rf_entry_t    *e;
    ngx_rf_record_t   *list, **last, *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    list = NULL;
    last = &list;
    size = 0;
    i = 0;

    ngx_rf_zone_lock(zone);

    while (i < NGX_RF_ZONE_LOGS && n && size < bytes) {

        queue = &sh->unlogged[i];

        if (ngx_queue_empty(queue)) {
            i++;
            continue;
        }

        e = ngx_rf_zone_disk_entry(ngx_queue_head(queue));

        ngx_rf_zone_unplace(zone, e);

        /* of what came from the path itself an older version is there */

        rec = ngx_rf_zone_on_disk(e) ? NULL : ngx_rf_zone_hand_record(zone, e);

        if (rec == NULL) {
            (*left)++;
            continue;
        }

        size += e->key_len + ngx_rf_zone_weight(e);
        n--;

        *last = rec;
        last = &rec->next;
    }

    ngx_rf_zone_unlock(zone);

    return list;
}


static ngx_rf_record_t *
ngx_rf_zone_hand_record(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->pending == NGX_RF_DELTA) {
        ngx_rf_zone_identify(zone->sh, e);
    }

    return ngx_rf_zone_record(zone, e);
}


ngx_int_t
ngx_rf_zone_hand_in(ngx_rf_zone_t *zone, ngx_rf_record_t *rec, int64_t now)
{
    ngx_int_t          rc;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    if (sh->superseded || (e != NULL && e->flying)) {
        rc = NGX_BUSY;

    } else if (e != NULL && e->pending != NGX_RF_CLEAN) {
        rc = ngx_rf_zone_hand_merge(zone, e, rec);

    } else if (rec->filed && (sh->spilled || sh->files_scan)
               && (e == NULL || !ngx_rf_zone_on_disk(e)))
    {
        rc = NGX_BUSY;

    } else if (ngx_rf_zone_beats(e, rec)) {
        rc = NGX_DECLINED;

    } else {
        rc = ngx_rf_zone_hand_new(zone, e, rec, now);
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


static ngx_int_t
ngx_rf_zone_hand_new(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec, int64_t now)
{
    if (e != NULL && ngx_rf_zone_restoring(zone->sh, e)) {
        return NGX_BUSY;
    }

    if (zone->sh->seq < rec->version) {
        zone->sh->seq = rec->version;
    }

    /* newer than anything that the disk has of it, and than the mark */

    rec->version = ++zone->sh->seq;

    e = ngx_rf_zone_take_over(zone, e, rec, 0);

    if (e == NULL) {
        return NGX_RF_NEED_ROOM;
    }

    e->work->acked = 0;

    ngx_rf_zone_place(zone, e);

    if (e->expire && e->expire <= now) {
        e = ngx_rf_zone_expired(zone, e, now);
    }

    if (e != NULL) {
        rec->version = e->version;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zone_hand_merge(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    ngx_int_t  rc;

    if (rec->pending == NGX_RF_DELTA && e->pending == NGX_RF_DELTA
        && (e->work->id == rec->id
            || e->work->id == ngx_rf_record_id_behind(rec->id)))
    {
        /* a crash, or another leader, came between this and its end */
        rec->version = e->version;
        return NGX_OK;
    }

    rc = ngx_rf_zone_merge(zone, e, rec);

    if (rc != NGX_OK) {
        return rc;
    }

    rec->version = e->version;

    return NGX_OK;
}


ngx_uint_t
ngx_rf_zone_told_locked(ngx_rf_zone_t *zone, ngx_str_t *key, ngx_uint_t whole,
    int64_t now)
{
    ngx_uint_t         over;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    over = 0;
    e = ngx_rf_zone_lookup_locked(zone, key);

    if (e != NULL && e->pending != NGX_RF_CLEAN && !e->flying
        && e->work->taken && !e->work->foreign && e->changed < now
        && (whole || e->pending == NGX_RF_REPLACE))
    {
        /* it came while Redis was being told: as ngx_rf_zone_beats() */

        ngx_rf_zone_unpend(zone, e);
        ngx_rf_zone_forget_locked(zone, e);

        over = 1;
        e = ngx_rf_zone_lookup_locked(zone, key);
    }

    if (e == NULL && sh->files && (over || !sh->files_ready)) {
        e = ngx_rf_zone_insert_locked(zone, key, NULL, 0);

        if (e != NULL) {
            e->version = ++sh->seq;
        }
    }

    if (e == NULL || e->pending != NGX_RF_CLEAN || e->changed > now) {
        return over;
    }

    e->changed = now;
    e->whole = whole;

    return over;
}
