/*
 * Records out of the zone and back into it, and what the file tier lags
 * behind on.
 *
 * Guarantees: a claim of a writer ends with dirty_done(), or with reclaim()
 * once that process is gone.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


static ngx_uint_t ngx_rf_zone_rows(ngx_rf_entry_t *e, ngx_str_t *rows);
static ngx_rf_blob_t *ngx_rf_zone_pack(ngx_rf_zone_t *zone,
    ngx_rf_record_t *rec, ngx_rf_entry_t **keep, ngx_uint_t nkeep);
static ngx_int_t ngx_rf_zone_pack_changes(ngx_rf_zone_t *zone,
    ngx_rf_record_t *rec, ngx_rf_entry_t **keep, ngx_uint_t nkeep,
    ngx_rf_zchange_t **first, ngx_rf_zchange_t **last);
static uint64_t ngx_rf_zone_mix(uint64_t x);
static ngx_rf_record_t *ngx_rf_zone_dirty_record(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static void ngx_rf_zone_dirty_done_entry(ngx_rf_zone_t *zone,
    ngx_rf_record_t *rec);
static void ngx_rf_zone_release(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);


/* the value as a row of strings; counts them where "rows" is NULL */

static ngx_uint_t
ngx_rf_zone_rows(ngx_rf_entry_t *e, ngx_str_t *rows)
{
    u_char      *p, *last;
    uint32_t     len;
    ngx_uint_t   n;

    if (e->type == NGX_RF_NONE || e->value == NULL) {
        return 0;
    }

    p = e->value->data;
    last = p + e->value->len;

    if (e->type == NGX_RF_STRING) {
        if (rows) {
            rows[0].data = p;
            rows[0].len = e->value->len;
        }

        return 1;
    }

    for (n = 0; (size_t) (last - p) >= sizeof(uint32_t); n++) {
        ngx_memcpy(&len, p, sizeof(uint32_t));
        p += sizeof(uint32_t);

        if (len > (size_t) (last - p)) {
            break;
        }

        if (rows) {
            rows[n].data = p;
            rows[n].len = len;
        }

        p += len;
    }

    return n;
}


ngx_rf_record_t *
ngx_rf_zone_record(ngx_rf_entry_t *e)
{
    ngx_str_t         *str;
    ngx_uint_t         i, n;
    ngx_rf_change_t   *change;
    ngx_rf_record_t    rec, *copy;
    ngx_rf_zchange_t  *c;

    ngx_memzero(&rec, sizeof(ngx_rf_record_t));

    rec.key.data = e->key;
    rec.key.len = e->key_len;
    rec.type = e->type;
    rec.pending = e->pending;
    rec.version = e->version;
    rec.changed = e->changed;
    rec.expire = e->expire;
    rec.id = e->id;
    rec.nsent = e->nsent;
    rec.base = e->base;
    ngx_memcpy(rec.base_sha1, e->base_sha1, 20);
    rec.base_expires = e->base_expires;
    rec.complete = e->complete;
    rec.foreign = e->foreign;

    n = rec.nvalues = ngx_rf_zone_rows(e, NULL);

    for (c = e->changes; c; c = c->next) {
        rec.nchanges++;
        n += c->argc;
    }

    rec.changes = malloc(rec.nchanges * sizeof(ngx_rf_change_t)
                         + n * sizeof(ngx_str_t) + 1);
    if (rec.changes == NULL) {
        return NULL;
    }

    str = (ngx_str_t *) (rec.changes + rec.nchanges);

    rec.values = str;
    str += ngx_rf_zone_rows(e, rec.values);

    for (c = e->changes, change = rec.changes; c; c = c->next, change++) {
        change->argv = str;

        for (i = 0; i < c->argc; i++) {
            if (ngx_rf_zone_change_str(c, i, str) != NGX_OK) {
                break;
            }

            str++;
        }

        change->argc = i;
    }

    copy = ngx_rf_codec_clone(&rec);

    free(rec.changes);

    return copy;
}


static ngx_rf_blob_t *
ngx_rf_zone_pack(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    u_char         *p;
    size_t          size;
    uint32_t        len;
    ngx_uint_t      i;
    ngx_rf_blob_t  *blob;

    if (rec->type == NGX_RF_STRING) {
        if (rec->nvalues == 0) {
            return ngx_rf_zone_blob_locked(zone, NULL, 0, keep, nkeep);
        }

        return ngx_rf_zone_blob_locked(zone, rec->values[0].data,
                                       rec->values[0].len, keep, nkeep);
    }

    size = 0;

    for (i = 0; i < rec->nvalues; i++) {
        size += sizeof(uint32_t) + rec->values[i].len;
    }

    blob = ngx_rf_zone_blob_locked(zone, NULL, size, keep, nkeep);

    if (blob == NULL) {
        return NULL;
    }

    p = blob->data;

    for (i = 0; i < rec->nvalues; i++) {
        len = rec->values[i].len;
        p = ngx_cpymem(p, &len, sizeof(uint32_t));
        p = ngx_cpymem(p, rec->values[i].data, len);
    }

    return blob;
}


static ngx_int_t
ngx_rf_zone_pack_changes(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep, ngx_rf_zchange_t **first,
    ngx_rf_zchange_t **last)
{
    ngx_uint_t         i;
    ngx_rf_change_t   *change;
    ngx_rf_zchange_t  *c;

    *first = NULL;
    *last = NULL;

    for (i = 0; i < rec->nchanges; i++) {
        change = &rec->changes[i];

        c = ngx_rf_zone_change_locked(zone, change->argc, change->argv, keep,
                                      nkeep);
        if (c == NULL) {
            ngx_rf_zone_free_changes(zone, *first);
            return NGX_RF_NEED_ROOM;
        }

        c->prev = *last;

        if (*last) {
            (*last)->next = c;

        } else {
            *first = c;
        }

        *last = c;
    }

    return NGX_OK;
}


ngx_rf_entry_t *
ngx_rf_zone_take_in(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    ngx_uint_t         nkeep;
    ngx_rf_blob_t     *blob;
    ngx_rf_zchange_t  *first, *last;

    nkeep = (e != NULL);
    blob = NULL;

    if (rec->type != NGX_RF_NONE) {
        blob = ngx_rf_zone_pack(zone, rec, &e, nkeep);
        if (blob == NULL) {
            return NULL;
        }
    }

    if (ngx_rf_zone_pack_changes(zone, rec, &e, nkeep, &first, &last)
        != NGX_OK)
    {
        ngx_rf_zone_free_locked(zone, blob);
        return NULL;
    }

    if (e == NULL) {
        e = ngx_rf_zone_insert_locked(zone, &rec->key, NULL, 0);

        if (e == NULL) {
            ngx_rf_zone_free_changes(zone, first);
            ngx_rf_zone_free_locked(zone, blob);
            return NULL;
        }
    }

    ngx_rf_zone_set_locked(zone, e, rec->type, blob);
    ngx_rf_zone_expire_locked(zone, e, rec->expire);

    e->version = rec->version ? rec->version : ++zone->sh->seq;

    if (zone->sh->seq < e->version) {
        zone->sh->seq = e->version;
    }

    e->changed = rec->changed;
    e->foreign = rec->foreign;
    e->base = rec->base;
    ngx_memcpy(e->base_sha1, rec->base_sha1, 20);
    e->base_expires = rec->base_expires;

    e->changes = first;
    e->last_change = last;
    e->nchanges = rec->nchanges;
    e->id = rec->id;
    e->nsent = ngx_min(rec->nsent, rec->nchanges);
    e->complete = rec->pending == NGX_RF_DELTA ? rec->complete : 1;

    ngx_memory_barrier();

    e->pending = rec->pending == NGX_RF_DELTA ? NGX_RF_DELTA : NGX_RF_REPLACE;
    zone->sh->npending++;

    ngx_rf_zone_requeue(zone, e);

    return e;
}


void
ngx_rf_zone_unpend(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    e->pending = NGX_RF_CLEAN;
    zone->sh->npending--;

    ngx_memory_barrier();

    ngx_rf_zone_drop_changes(zone, e);
    e->base = NGX_RF_BASE_UNKNOWN;

    ngx_rf_zone_undirty(zone, e);
    ngx_rf_zone_requeue(zone, e);
    ngx_rf_zone_dirty(zone, e);
}


void
ngx_rf_zone_identify(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    if (e->id == 0) {
        e->id = ngx_rf_zone_mix(sh->origin
                                ^ (e->version * 0x9e3779b97f4a7c15ULL));
    }
}


uint64_t
ngx_rf_zone_next_id(uint64_t id)
{
    return ngx_rf_zone_mix(id + 0x9e3779b97f4a7c15ULL);
}


static uint64_t
ngx_rf_zone_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33;

    return x ? x : 1;
}


ngx_rf_record_t *
ngx_rf_zone_dirty_take(ngx_rf_zone_t *zone, ngx_uint_t n, size_t bytes)
{
    size_t             size;
    ngx_queue_t       *q;
    ngx_rf_entry_t    *e;
    ngx_rf_record_t   *list, **last, *rec;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    list = NULL;
    last = &list;
    size = 0;

    ngx_rf_zone_lock(zone);

    /* a worker of an older configuration knows another path */

    if (sh->superseded || ngx_rf_zone_elsewhere(zone, sh) || !sh->files) {
        n = 0;
    }

    while (n && size < bytes && !ngx_queue_empty(&sh->dirty)) {

        q = ngx_queue_head(&sh->dirty);
        e = ngx_queue_data(q, ngx_rf_entry_t, disk);

        rec = ngx_rf_zone_dirty_record(zone, e);
        if (rec == NULL) {
            break;
        }

        ngx_rf_zone_undirty(zone, e);

        e->writer = ngx_pid;
        ngx_queue_insert_tail(&sh->writing, &e->disk);
        sh->nwriting++;

        *last = rec;
        last = &rec->next;

        size += e->key_len + (e->value ? e->value->len : 0);
        n--;
    }

    ngx_rf_zone_unlock(zone);

    return list;
}


static ngx_rf_record_t *
ngx_rf_zone_dirty_record(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_record_t  remove, *rec;

    if (e->pending == NGX_RF_CLEAN) {
        ngx_memzero(&remove, sizeof(ngx_rf_record_t));

        remove.key.data = e->key;
        remove.key.len = e->key_len;
        remove.version = e->version;
        remove.remove = 1;

        rec = ngx_rf_codec_clone(&remove);

        if (rec) {
            rec->remove = 1;
        }

        return rec;
    }

    if (e->pending == NGX_RF_DELTA) {

        /*
         * The id under which these changes will be sent, alone or with those
         * that are still to come: should all of nginx be gone before Redis'
         * acknowledgement is on record, the file says what to ask Redis for.
         */

        ngx_rf_zone_identify(zone->sh, e);
    }

    rec = ngx_rf_zone_record(e);

    if (rec && e->pending == NGX_RF_DELTA && e->nsent == 0) {
        rec->nsent = rec->nchanges;
    }

    return rec;
}


void
ngx_rf_zone_dirty_done(ngx_rf_zone_t *zone, ngx_rf_record_t *list)
{
    ngx_rf_record_t  *rec;

    ngx_rf_zone_lock(zone);

    for (rec = list; rec; rec = rec->next) {
        ngx_rf_zone_dirty_done_entry(zone, rec);
    }

    ngx_rf_zone_unlock(zone);

    while (list) {
        rec = list;
        list = rec->next;
        free(rec);
    }
}


static void
ngx_rf_zone_dirty_done_entry(ngx_rf_zone_t *zone, ngx_rf_record_t *rec)
{
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    /* the claim may be void: the path has changed, the zone was rebuilt */

    if (e == NULL || e->writer != ngx_pid) {
        return;
    }

    if (rec->status == NGX_OK) {

        if (e->file_version == 0 && !rec->remove) {
            (void) ngx_atomic_fetch_add(&sh->stat.files, 1);

        } else if (e->file_version != 0 && rec->remove && sh->stat.files) {
            (void) ngx_atomic_fetch_add(&sh->stat.files, -1);
        }

        e->file_version = rec->remove ? 0 : rec->version;

        if (rec->remove && e->pending == NGX_RF_CLEAN) {
            /* who has read the file before is to know, even from the stamp
             * that outlives the entry */
            e->version = ++sh->seq;
        }
    }

    ngx_rf_zone_release(zone, e);
}


/* ends a claim: back to the dirty list, or nothing is left to be done */

static void
ngx_rf_zone_release(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_queue_remove(&e->disk);
    zone->sh->nwriting--;
    e->writer = 0;

    if (e->pending == NGX_RF_CLEAN && !e->flying) {

        if (e->file_version == 0 && e->type == NGX_RF_NONE) {
            ngx_rf_zone_remove(zone, e);
            return;
        }

        ngx_rf_zone_requeue(zone, e);
    }

    ngx_rf_zone_dirty(zone, e);
}


void
ngx_rf_zone_reclaim(ngx_rf_zone_t *zone)
{
    ngx_queue_t       *q, *next;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    for (q = ngx_queue_head(&sh->writing);
         q != ngx_queue_sentinel(&sh->writing);
         q = next)
    {
        next = ngx_queue_next(q);
        e = ngx_queue_data(q, ngx_rf_entry_t, disk);

        if (kill(e->writer, 0) == 0 || ngx_errno != NGX_ESRCH) {
            continue;
        }

        if (e->file_version == 0) {
            /* perhaps there is one: a version that no entry has */
            e->file_version = 1;
            (void) ngx_atomic_fetch_add(&sh->stat.files, 1);
        }

        ngx_rf_zone_release(zone, e);
    }

    ngx_rf_zone_unlock(zone);
}


ngx_int_t
ngx_rf_zone_durable(ngx_rf_zone_t *zone, ngx_str_t *key, uint64_t version)
{
    ngx_int_t        rc;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);

    /* versions rise: a newer one in the file includes this one; the version
     * of a command with several keys is that of the last */

    if (!zone->sh->files
        || e == NULL
        || e->pending == NGX_RF_CLEAN
        || e->file_version >= ngx_min(version, e->version))
    {
        rc = NGX_OK;

    } else {
        rc = NGX_AGAIN;
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


void
ngx_rf_zone_hurry(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);

    if (e != NULL && e->dirty) {
        ngx_queue_remove(&e->disk);
        ngx_queue_insert_head(&zone->sh->dirty, &e->disk);
    }

    ngx_rf_zone_unlock(zone);
}


ngx_int_t
ngx_rf_zone_load(ngx_rf_zone_t *zone, ngx_rf_record_t *rec, uint64_t seq,
    ngx_uint_t was_spilled, int64_t now)
{
    ngx_int_t          rc;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    rc = NGX_DECLINED;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    if (e != NULL
        && (e->pending != NGX_RF_CLEAN
            || e->flying
            || ngx_rf_zone_has_file(e)))
    {
        goto done;
    }

    if (ngx_rf_zone_changed_locked(zone, &rec->key, e, seq)) {
        rc = NGX_BUSY;
        goto done;
    }

    if (e != NULL
        && rec->version && e->version >= rec->version
        && e->changed && e->changed >= rec->changed)
    {
        /* acknowledged since the file was read: only local changes set the
         * time */
        goto done;
    }

    if (was_spilled && sh->spilled == 0) {
        /* it was taken in, replayed and acknowledged since the file was read */
        goto done;
    }

    zone->urgent = 1;
    e = ngx_rf_zone_take_in(zone, e, rec);
    zone->urgent = 0;

    if (e == NULL) {
        rc = NGX_RF_NEED_ROOM;
        goto done;
    }

    e->file_version = rec->version ? rec->version : 1;

    if (was_spilled) {
        sh->spilled--;
    }

    (void) ngx_atomic_fetch_add(&sh->stat.files, 1);

    ngx_rf_zone_dirty(zone, e);

    if (e->expire && e->expire <= now) {
        ngx_rf_zone_expired(zone, e, now);
    }

    rc = NGX_OK;

done:

    ngx_rf_zone_unlock(zone);

    return rc;
}


ngx_uint_t
ngx_rf_zone_outdated(ngx_rf_zone_t *zone, ngx_str_t *key, uint64_t seq)
{
    ngx_uint_t  outdated;

    ngx_rf_zone_lock(zone);

    outdated = ngx_rf_zone_changed_locked(zone, key,
                                          ngx_rf_zone_lookup_locked(zone, key),
                                          seq);
    ngx_rf_zone_unlock(zone);

    return outdated;
}
