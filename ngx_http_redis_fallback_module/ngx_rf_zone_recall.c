/*
 * What the disk has of an earlier run, or of another instance, comes back into
 * the zone: the journal, line by line, and what both instances have changed.
 *
 * Guarantees: of several records of a key the newest counts, in whatever order
 * they come; what was done with is not pending again; what two instances have
 * changed is merged as their changes would have been in Redis.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* changed since the journal was read, or not written to it yet */
#define ngx_rf_zone_mine(e)                                                  \
    ((e) != NULL && (e)->pending != NGX_RF_CLEAN && !(e)->work->logged       \
     && (e)->work->file_version == 0)

/* of the generation of lines that were read: while one is ending they may be of
 * that, and are written once more */
#define ngx_rf_zone_read_odd(sh)                                             \
    (((sh)->generation ^ ((sh)->turn != 0)) & 1)


static ngx_uint_t ngx_rf_zone_log_load_restores(ngx_rf_zone_sh_t *sh,
    ngx_rf_entry_t *e, ngx_rf_record_t *rec);
static ngx_int_t ngx_rf_zone_log_load_restored(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_zone_log_load_ack(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, ngx_rf_record_t *rec);
static ngx_int_t ngx_rf_zone_log_load_record(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, ngx_rf_record_t *rec, int64_t now);
static ngx_uint_t ngx_rf_zone_log_load_newer(ngx_rf_entry_t *e,
    ngx_rf_record_t *rec);
static void ngx_rf_zone_log_load_older(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, ngx_rf_record_t *rec);
static void ngx_rf_zone_unpend_old(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_replaces(ngx_rf_record_t *rec);
static ngx_rf_record_t *ngx_rf_zone_merged(ngx_rf_record_t *older,
    ngx_rf_record_t *newer);
static ngx_uint_t ngx_rf_zone_as_changes(ngx_rf_record_t *rec,
    ngx_rf_change_t *changes, ngx_str_t *args, u_char *text);


ngx_int_t
ngx_rf_zone_log_load(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    uint64_t seq, ngx_uint_t foreign, int64_t now)
{
    ngx_int_t          rc;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);

    rc = ngx_rf_zone_room(zone);

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    if (sh->seq < rec->version) {
        sh->seq = rec->version;
    }

    if (rec->version <= sh->mark) {
        rc = NGX_DECLINED;

    } else if (rc != NGX_OK) {
        /* as it is */

    } else if (ngx_rf_zone_mine(e)) {

        /* the journal knows nothing of it: it is newer, or another's */

        rc = foreign ? NGX_BUSY : NGX_DECLINED;

    } else if (e == NULL
               && ngx_rf_zone_changed_locked(zone, &rec->key, e, seq))
    {
        rc = NGX_RF_NEED_FILE;

    } else if (rec->remove) {
        rc = ngx_rf_zone_log_load_ack(zone, e, rec);

    } else if (foreign && ngx_rf_zone_log_load_restores(sh, e, rec)) {
        rc = ngx_rf_zone_log_load_restored(zone, e);

    } else {
        rc = ngx_rf_zone_log_load_record(zone, e, rec, now);
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


/*
 * Another instance has changed what Redis has lost since and what is to be
 * written back: the changes are for that value, and not in its place.
 */

static ngx_uint_t
ngx_rf_zone_log_load_restores(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    return rec->pending == NGX_RF_DELTA && e != NULL && !e->flying
           && ngx_rf_zone_restoring(sh, e) && !ngx_rf_zone_on_disk(e)
           && !ngx_rf_zone_beats(e, rec);
}


/* as if it had been changed here: it is a replacement from now on, and merged
 * like one.  Where it is not known since when it is the whole value, the
 * changes came later: an older one would leave nothing of them. */

static ngx_int_t
ngx_rf_zone_log_load_restored(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (ngx_rf_zone_begin_locked(zone, 1) != NGX_OK) {
        return NGX_RF_NEED_ROOM;
    }

    ngx_rf_zone_replaced_locked(zone, e, 1, e->whole ? e->changed : 1);
    ngx_rf_zone_commit_locked(zone);

    return NGX_BUSY;
}


static ngx_int_t
ngx_rf_zone_log_load_ack(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    if (e == NULL) {

        if (!rec->filed) {
            return NGX_DECLINED;
        }

        /* its file is to go */

        zone->urgent = 1;
        e = ngx_rf_zone_insert_locked(zone, &rec->key, NULL, 0);
        zone->urgent = 0;

        if (e == NULL) {
            return NGX_RF_NEED_ROOM;
        }

        (void) ngx_rf_zone_work(zone, e);

        e->version = rec->version;

    } else if (e->pending != NGX_RF_CLEAN) {

        /* a change that this process has made is not in that journal */

        if (e->version > rec->version || e->work->log_version != e->version) {
            return NGX_DECLINED;
        }

        e->version = rec->version;

        ngx_rf_zone_unpend(zone, e);
        ngx_rf_zone_forget_locked(zone, e);

        /* not removed: it is logged */

    } else if (e->version > rec->version || !ngx_rf_zone_on_disk(e)) {
        return NGX_DECLINED;
    }

    if (rec->filed && e->work->file_version == 0) {
        e->work->file_version = 1;
        (void) ngx_atomic_fetch_add(&zone->sh->stat.files, 1);
    }

    e->work->logged = 1;
    e->work->acked = 1;
    e->work->log_odd = ngx_rf_zone_read_odd(zone->sh);

    if (e->work->file_version == 0 && e->work->writer == 0) {
        ngx_rf_zone_unplace(zone, e);
        ngx_rf_zone_rid(zone, e);

    } else {
        ngx_rf_zone_requeue(zone, e);
        ngx_rf_zone_place(zone, e);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zone_log_load_record(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec, int64_t now)
{
    if (e != NULL && e->flying && e->pending == NGX_RF_CLEAN) {
        /* Redis is being told of it */
        return NGX_AGAIN;
    }

    if (e != NULL
        && (e->flying
            || ((e->pending != NGX_RF_CLEAN || ngx_rf_zone_on_disk(e))
                && e->version >= rec->version
                && !ngx_rf_zone_log_load_newer(e, rec))))
    {
        return NGX_DECLINED;
    }

    if (ngx_rf_zone_beats(e, rec)) {
        ngx_rf_zone_log_load_older(zone, e, rec);
        return NGX_DECLINED;
    }

    /* "e" may have been made by an older line of the same key */

    e = ngx_rf_zone_take_over(zone, e, rec, 1);

    if (e == NULL) {
        return NGX_RF_NEED_ROOM;
    }

    if (rec->filed && e->work->file_version == 0) {
        e->work->file_version = 1;
        (void) ngx_atomic_fetch_add(&zone->sh->stat.files, 1);
    }

    if (zone->sh->journal_top < rec->version) {
        zone->sh->journal_top = rec->version;
    }

    ngx_rf_zone_place(zone, e);

    if (e->expire && e->expire <= now) {
        ngx_rf_zone_expired(zone, e, now);
    }

    return NGX_OK;
}


/* of another instance's records an older one gave way to what Redis was told
 * here, whose version says nothing of this one */

static ngx_uint_t
ngx_rf_zone_log_load_newer(ngx_rf_entry_t *e, ngx_rf_record_t *rec)
{
    return e->pending == NGX_RF_CLEAN && e->changed
           && e->work->log_version && e->work->log_version < rec->version
           && e->changed < rec->changed;
}


/* Redis was told better: the journal is to say that this is done with */

static void
ngx_rf_zone_log_load_older(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    (void) ngx_rf_zone_work(zone, e);

    e->version = ngx_max(e->version, rec->version);

    if (rec->filed && e->work->file_version == 0) {
        e->work->file_version = 1;
        (void) ngx_atomic_fetch_add(&zone->sh->stat.files, 1);
    }

    e->work->logged = 1;
    e->work->acked = 0;
    e->work->log_version = ngx_max(e->work->log_version, rec->version);
    e->work->log_begun = ngx_max(e->work->log_begun, rec->version);
    e->work->log_odd = ngx_rf_zone_read_odd(zone->sh);

    ngx_rf_zone_requeue(zone, e);
    ngx_rf_zone_place(zone, e);
}


ngx_rf_entry_t *
ngx_rf_zone_take_over(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec, ngx_uint_t journaled)
{
    ngx_rf_zchange_t  *old;

    if (ngx_rf_zone_begin_locked(zone, 1) != NGX_OK) {
        return NULL;
    }

    old = NULL;

    if (e != NULL) {
        ngx_rf_zone_save(zone, e, 0);

        if (e->pending != NGX_RF_CLEAN) {
            old = e->work->changes;
            ngx_rf_zone_unpend_old(zone, e);
        }
    }

    e = ngx_rf_zone_take_in(zone, e, rec);

    if (e == NULL) {
        ngx_rf_zone_rollback_locked(zone);
        return NULL;
    }

    if (journaled) {
        e->work->logged = 1;
        e->work->acked = 0;
        e->work->log_version = rec->version;
        e->work->log_begun = ngx_max(e->work->log_begun, rec->version);
        e->work->log_odd = ngx_rf_zone_read_odd(zone->sh);
    }

    if (e->work->changes == NULL) {
        /* the commit frees them itself where there are none instead */
        old = NULL;
    }

    ngx_rf_zone_commit_locked(zone);

    ngx_rf_zone_free_changes(zone, old);

    return e;
}


/* as if there were none; its value stays */

static void
ngx_rf_zone_unpend_old(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    e->pending = NGX_RF_CLEAN;
    zone->sh->npending--;

    ngx_rf_zone_ungroup(e);

    ngx_memory_barrier();

    ngx_rf_zone_drop_changes(zone, e);
    e->work->base = NGX_RF_BASE_UNKNOWN;
}


ngx_uint_t
ngx_rf_zone_changed_here(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_uint_t       mine;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);
    mine = ngx_rf_zone_mine(e);

    ngx_rf_zone_unlock(zone);

    return mine;
}


ngx_int_t
ngx_rf_zone_adopt(ngx_rf_zone_t *zone, ngx_rf_record_t *rec)
{
    ngx_int_t        rc;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    rc = ngx_rf_zone_mine(e) ? ngx_rf_zone_merge(zone, e, rec) : NGX_DECLINED;

    ngx_rf_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_rf_zone_filed(ngx_rf_zone_t *zone, ngx_str_t *key)
{
    ngx_int_t        rc;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    rc = ngx_rf_zone_room(zone);

    e = ngx_rf_zone_lookup_locked(zone, key);

    if (rc != NGX_OK) {
        e = NULL;

    } else if (e == NULL) {
        zone->urgent = 1;
        e = ngx_rf_zone_insert_locked(zone, key, NULL, 0);
        zone->urgent = 0;

        if (e != NULL) {
            e->version = ++zone->sh->seq;

        } else {
            rc = NGX_RF_NEED_ROOM;
        }
    }

    if (e != NULL && e->work->file_version == 0) {
        (void) ngx_rf_zone_work(zone, e);

        e->work->file_version = 1;
        e->work->acked = 0;
        (void) ngx_atomic_fetch_add(&zone->sh->stat.files, 1);

        if (e->pending == NGX_RF_CLEAN && !e->flying) {
            ngx_rf_zone_requeue(zone, e);
        }

        ngx_rf_zone_place(zone, e);
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


ngx_int_t
ngx_rf_zone_adopt_file(ngx_rf_zone_t *zone, ngx_rf_record_t *rec, uint64_t seq)
{
    ngx_int_t        rc;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, &rec->key);

    if (e == NULL || e->pending == NGX_RF_CLEAN || e->work->file_version
        || e->work->writer)
    {
        rc = NGX_DECLINED;

    } else if (ngx_rf_zone_changed_locked(zone, &rec->key, e, seq)) {
        rc = NGX_BUSY;

    } else {
        rec->filed = 1;
        rc = ngx_rf_zone_merge(zone, e, rec);
    }

    ngx_rf_zone_unlock(zone);

    return rc;
}


/*
 * The record is another instance's.  What was changed later comes on top; a
 * replacement leaves nothing of what was before.
 */

ngx_int_t
ngx_rf_zone_merge(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    ngx_uint_t         later, sent;
    ngx_rf_record_t   *mine, *both;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (e->flying || (e->pending == NGX_RF_DELTA && e->work->nsent)) {
        return NGX_BUSY;
    }

    if (sh->seq < rec->version) {
        sh->seq = rec->version;
    }

    later = (rec->changed > e->changed);
    sent = e->work->sent;

    if (e->pending == NGX_RF_DELTA || later) {

        mine = ngx_rf_zone_record(zone, e);

        if (mine == NULL) {
            both = NULL;

        } else if (later && rec->pending == NGX_RF_REPLACE) {
            both = ngx_rf_codec_clone(rec);

        } else if (ngx_rf_zone_replaces(mine)
                   && (later || !ngx_rf_zone_replaces(rec)))
        {
            both = ngx_rf_zone_merged(mine, rec);

            if (both && rec->id) {
                both->id = ngx_rf_record_id_behind(rec->id);
            }

        } else {
            /* in this order, so that what was sent of it comes first */
            both = ngx_rf_zone_merged(rec, mine);
        }

        free(mine);

        if (both == NULL) {
            return NGX_ERROR;
        }

        e = ngx_rf_zone_take_over(zone, e, both, 0);

        free(both);

        if (e == NULL) {
            return NGX_RF_NEED_ROOM;
        }

        e->work->taken = 0;

        if (sent) {
            /* what was replaced may be what Redis holds */
            e->work->base = NGX_RF_BASE_UNKNOWN;
        }
    }

    /* newer than anything that the disk has of it */

    e->version = ++sh->seq;

    if (rec->filed && e->work->file_version == 0) {
        e->work->file_version = 1;
        (void) ngx_atomic_fetch_add(&sh->stat.files, 1);
    }

    ngx_rf_zone_may_be_logged(e, rec);

    ngx_rf_zone_place(zone, e);

    return NGX_OK;
}


/* nothing of what was before it stays; as changes, it was merged before */

static ngx_uint_t
ngx_rf_zone_replaces(ngx_rf_record_t *rec)
{
    ngx_str_t  *verb;

    if (rec->pending == NGX_RF_REPLACE) {
        return 1;
    }

    if (rec->nchanges == 0) {
        return 0;
    }

    verb = &rec->changes[0].argv[0];

    return verb->len == 3 && ngx_memcmp(verb->data, "del", 3) == 0;
}


/* one record of both, malloc()ed */

static ngx_rf_record_t *
ngx_rf_zone_merged(ngx_rf_record_t *older, ngx_rf_record_t *newer)
{
    u_char            text[NGX_INT64_LEN + 1];
    ngx_str_t        *args;
    ngx_uint_t        n;
    ngx_rf_record_t   both, *rec;
    ngx_rf_change_t  *changes;

    /* a replacement: DEL, commands of up to NGX_RF_RECORD_ELTS values each with
     * their name, and an expiry */

    n = older->nvalues / NGX_RF_RECORD_ELTS + 4;

    changes = malloc((older->nchanges + n + newer->nchanges)
                     * sizeof(ngx_rf_change_t));
    args = malloc((older->nvalues + n + 4) * sizeof(ngx_str_t));

    rec = NULL;

    if (changes && args) {
        both = *newer;

        if (older->pending == NGX_RF_DELTA) {
            n = older->nchanges;
            ngx_memcpy(changes, older->changes, n * sizeof(ngx_rf_change_t));

            both.id = older->id;
            both.nsent = older->nsent;

        } else {
            n = ngx_rf_zone_as_changes(older, changes, args, text);

            both.id = 0;
            both.nsent = 0;
        }

        ngx_memcpy(changes + n, newer->changes,
                   newer->nchanges * sizeof(ngx_rf_change_t));

        both.changes = changes;
        both.nchanges = n + newer->nchanges;

        /* what is seen here is not all that there will be */
        both.complete = 0;

        rec = ngx_rf_codec_clone(&both);
    }

    free(changes);
    free(args);

    return rec;
}


/* in lower case, as clients': each is executed as it is */

static ngx_uint_t
ngx_rf_zone_as_changes(ngx_rf_record_t *rec, ngx_rf_change_t *changes,
    ngx_str_t *args, u_char *text)
{
    ngx_uint_t        i, k, n;
    ngx_rf_change_t  *c;

    static ngx_str_t  del = ngx_string("del");
    static ngx_str_t  expire = ngx_string("pexpireat");
    static ngx_str_t  verbs[] = {
        ngx_null_string, ngx_string("set"), ngx_string("hset"),
        ngx_string("rpush"), ngx_string("sadd"), ngx_string("zadd")
    };

    c = changes;

    c->argc = 1;
    c->argv = &del;
    c++;

    for (i = 0; rec->type != NGX_RF_NONE && i < rec->nvalues; i += n) {

        n = ngx_min(rec->nvalues - i, NGX_RF_RECORD_ELTS);

        c->argc = n + 1;
        c->argv = args;
        c++;

        *args++ = verbs[rec->type];

        for (k = 0; k < n; k += 2) {

            if (rec->type == NGX_RF_ZSET) {
                args[0] = rec->values[i + k + 1];
                args[1] = rec->values[i + k];

            } else {
                args[0] = rec->values[i + k];

                if (k + 1 < n) {
                    args[1] = rec->values[i + k + 1];
                }
            }

            args += ngx_min(2, n - k);
        }
    }

    if (rec->expire && rec->type != NGX_RF_NONE) {
        c->argc = 2;
        c->argv = args;
        c++;

        args[0] = expire;
        args[1].data = text;
        args[1].len = ngx_sprintf(text, "%L", rec->expire) - text;
    }

    return c - changes;
}
