/*
 * A zone copied into another one, when a reload replaces it.
 *
 * What is pending comes along as records, and whatever depends on the disk or
 * on Redis with it; in an outage, or while Redis' data are restored, so does
 * the rest, for as long as there is room.  From the copy on the old zone takes
 * no writes.
 *
 * Guarantees: what is pending is in the new zone, or in the list of what had no
 * room there, which is for the disk.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* an entry on its way from the old zone into the new one */

typedef struct ngx_rf_salvage_s  ngx_rf_salvage_t;

struct ngx_rf_salvage_s {
    ngx_rf_salvage_t     *next;
    ngx_rf_record_t      *record;       /* "remove": only its file matters */
    uint64_t              file_version;
    uint64_t              log_version;
    uint64_t              log_begun;
    int32_t               writer;
    uint32_t              run;
    uint32_t              sent_run;
    unsigned              flying:1;
    unsigned              sent:1;
    unsigned              renamed:1;
    unsigned              widened:1;
    unsigned              taken:1;
    unsigned              logged:1;
    unsigned              acked:1;
    unsigned              log_odd:1;
};


static void ngx_rf_zone_copy_words(ngx_rf_zone_sh_t *from,
    ngx_rf_zone_sh_t *to);
static ngx_rf_salvage_t *ngx_rf_zone_copy_pending(ngx_rf_zone_t *from);
static ngx_rf_salvage_t *ngx_rf_zone_rescue(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_zone_put_back(ngx_rf_zone_t *zone,
    ngx_rf_salvage_t *s);
static void ngx_rf_zone_copy_clean(ngx_rf_zone_t *from, ngx_rf_zone_t *to,
    ngx_uint_t all);
static ngx_int_t ngx_rf_zone_copy_entry(ngx_rf_zone_t *to,
    ngx_rf_entry_t *e);


ngx_uint_t
ngx_rf_zone_copy(ngx_rf_zone_t *from, ngx_rf_zone_t *to,
    ngx_rf_record_t **left)
{
    ngx_uint_t          n, same;
    ngx_rf_salvage_t   *list, *s;
    ngx_rf_zone_sh_t   *sh;

    n = 0;
    *left = NULL;
    sh = to->sh;

    ngx_rf_zone_lock(from);

    /* from here on the old workers write to the files */

    from->sh->superseded = 1;

    list = ngx_rf_zone_copy_pending(from);

    same = from->sh->files == sh->files
           && ngx_memcmp(from->sh->path_sha1, sh->path_sha1, 20) == 0;

    ngx_rf_zone_lock(to);

    ngx_rf_zone_copy_words(from->sh, sh);

    if (same) {
        sh->spilled = from->sh->spilled;
        sh->stat.files = from->sh->stat.files;

        /* a generation that is ending goes on to: of three nobody could tell
         * which one has an entry's lines */
        sh->generation = from->sh->generation;
        sh->turn = from->sh->turn;

        /* a batch of an old worker may be on its way to one of them */
        ngx_memcpy((void *) sh->flights, (void *) from->sh->flights,
                   sizeof(sh->flights));

        sh->segment = ngx_max(sh->segment, from->sh->segment);
        sh->journal_base = from->sh->journal_base;
        sh->journal_top = from->sh->journal_top;
        sh->journal_bytes = from->sh->journal_bytes;
        sh->journal_scan = from->sh->journal_scan;

    } else {
        sh->files_scan = 0;
        sh->mark = 0;
    }

    while (list) {
        s = list;
        list = s->next;

        /* the old zone's claims do not reach into the new one */

        if (s->writer) {
            s->writer = 0;
            s->file_version = s->file_version ? s->file_version : 1;
        }

        if (!same) {
            s->file_version = 0;
            s->log_version = 0;
            s->log_begun = 0;
            s->logged = 0;
        }

        s->flying = 0;

        if (s->record->remove && s->file_version == 0 && !s->logged) {
            free(s->record);

        } else if (ngx_rf_zone_put_back(to, s) == NGX_OK) {
            free(s->record);

        } else {
            n += !s->record->remove;
            s->record->next = *left;
            *left = s->record;
        }

        free(s);
    }

    /* While Redis answers, old workers go on to change there what they are
     * asked to, and the new zone never hears of it: what it knew would be wrong
     * in the next outage, and then a change that seems to change nothing would
     * be lost.  What is being written back to Redis they do not change.  The
     * low bits of the word are the mode, see ngx_rf_mode.c. */

    ngx_rf_zone_copy_clean(from, to,
                           (from->sh->mode & 3) == NGX_RF_FALLBACK);

    ngx_rf_zone_unlock(to);
    ngx_rf_zone_unlock(from);

    return n;
}


static void
ngx_rf_zone_copy_words(ngx_rf_zone_sh_t *from, ngx_rf_zone_sh_t *to)
{
    to->origin = from->origin;
    to->seq = ngx_max(from->seq, to->seq);
    to->mark = ngx_max(from->mark, to->mark);
    to->run = from->run;
    to->flushed_run = from->flushed_run;
    ngx_memcpy(to->run_id, from->run_id, 40);

    to->mode = from->mode;
    to->mode_since = from->mode_since;
    to->outage_began = from->outage_began;
    to->restore = from->restore;
    to->files_scan = from->files_scan;
    to->stat = from->stat;

    ngx_memcpy(to->abandoned, from->abandoned, sizeof(to->abandoned));
    ngx_memcpy(to->abandoned_run_id, from->abandoned_run_id, 40);
    to->nabandoned = from->nabandoned;

    /* counted by those who have them */
    to->stat.files = 0;
}


static ngx_rf_salvage_t *
ngx_rf_zone_copy_pending(ngx_rf_zone_t *from)
{
    ngx_uint_t         i;
    ngx_rf_entry_t    *e;
    ngx_rf_salvage_t  *list, *s;

    static ngx_rf_line_e  lines[] = {
        NGX_RF_LINE_FLYING, NGX_RF_LINE_PENDING, NGX_RF_LINE_STALE
    };

    list = NULL;

    /* each to the head, so from the last to the first */

    for (i = 3; i-- > 0; /* void */) {

        for (e = ngx_rf_zone_line_last(from->sh, lines[i]);
             e;
             e = ngx_rf_zone_line_prev(from->sh, e))
        {
            if (e->pending == NGX_RF_CLEAN && !ngx_rf_zone_on_disk(e)) {
                continue;
            }

            s = ngx_rf_zone_rescue(from, e);

            if (s == NULL) {
                ngx_log_error(NGX_LOG_ALERT, from->log, ngx_errno,
                              "malloc() failed while copying the zone of "
                              "store \"%V\"", &from->name);
                continue;
            }

            s->next = list;
            list = s;
        }
    }

    return list;
}


static ngx_rf_salvage_t *
ngx_rf_zone_rescue(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_record_t    remove;
    ngx_rf_salvage_t  *s;

    s = malloc(sizeof(ngx_rf_salvage_t));
    if (s == NULL) {
        return NULL;
    }

    if (e->pending == NGX_RF_CLEAN) {

        /* what it was for is its file: the value may be half gone */

        ngx_memzero(&remove, sizeof(ngx_rf_record_t));

        remove.key.data = e->key;
        remove.key.len = e->key_len;
        remove.version = e->version;
        remove.remove = 1;

        s->record = ngx_rf_codec_clone(&remove);

    } else {
        s->record = ngx_rf_zone_record(zone, e);
    }

    if (s->record == NULL) {
        free(s);
        return NULL;
    }

    if (e->work->late) {
        /* as where it lands, see ngx_rf_zone_replay.c */
        s->record->base = NGX_RF_BASE_UNKNOWN;

        if (s->record->pending == NGX_RF_DELTA) {
            s->record->complete = 0;
        }
    }

    s->file_version = e->work->file_version;
    s->log_version = e->work->log_version;
    s->log_begun = e->work->log_begun;
    s->writer = e->work->writer;
    s->run = e->run;
    s->sent_run = e->work->sent_run;
    s->flying = e->flying;
    s->sent = e->work->sent;
    s->renamed = e->work->renamed;
    s->widened = e->work->widened;
    s->taken = e->work->taken;
    s->logged = e->work->logged;
    s->acked = e->work->acked;
    s->log_odd = e->work->log_odd;

    return s;
}


static ngx_int_t
ngx_rf_zone_put_back(ngx_rf_zone_t *zone, ngx_rf_salvage_t *s)
{
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (ngx_rf_zone_work_reserve(zone, 1, NULL, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (s->record->remove) {
        e = ngx_rf_zone_insert_locked(zone, &s->record->key, NULL, 0);

        if (e) {
            (void) ngx_rf_zone_work(zone, e);
            e->version = s->record->version;
        }

    } else {
        e = ngx_rf_zone_take_in(zone, NULL, s->record);
    }

    if (e == NULL) {
        return NGX_ERROR;
    }

    /* which Redis has seen it, and what was sent: one that has lost its data
     * has lost neither what it was sent since nor the marker of that */

    e->run = s->run;
    e->work->sent_run = s->sent_run;
    e->work->sent = s->sent;
    e->work->renamed = s->renamed;
    e->work->widened = s->widened;
    e->work->taken = s->taken;

    e->work->file_version = s->file_version;
    e->work->log_version = s->log_version;
    e->work->log_begun = s->log_begun;
    e->work->logged = s->logged;
    e->work->acked = s->acked;
    e->work->log_odd = s->log_odd;

    if (s->writer) {
        e->work->writer = s->writer;
        sh->nwriting++;
    }

    e->flying = s->flying && !s->record->remove;

    ngx_rf_zone_requeue(zone, e);
    ngx_rf_zone_place(zone, e);

    return NGX_OK;
}


/* until the new zone is full: nothing is evicted for a copy */

static void
ngx_rf_zone_copy_clean(ngx_rf_zone_t *from, ngx_rf_zone_t *to, ngx_uint_t all)
{
    ngx_uint_t       i;
    ngx_rf_entry_t  *e;

    static ngx_rf_line_e  lines[] = { NGX_RF_LINE_FLYING, NGX_RF_LINE_CLEAN };

    for (i = 0; i < 2; i++) {

        for (e = ngx_rf_zone_line_first(from->sh, lines[i]);
             e;
             e = ngx_rf_zone_line_next(from->sh, e))
        {
            if (e->pending != NGX_RF_CLEAN || ngx_rf_zone_on_disk(e)
                || !e->complete || e->type == NGX_RF_NONE
                || (!all && !ngx_rf_zone_restoring(from->sh, e)))
            {
                continue;
            }

            if (ngx_rf_zone_copy_entry(to, e) != NGX_OK) {
                return;
            }
        }
    }
}


static ngx_int_t
ngx_rf_zone_copy_entry(ngx_rf_zone_t *to, ngx_rf_entry_t *e)
{
    void             *value;
    size_t            size;
    ngx_rf_entry_t   *copy;
    ngx_rf_record_t  *rec;

    /* room first, plain: insert() would evict what was copied before */

    size = ngx_rf_entry_size(e->key_len) + 2 * ngx_rf_zone_weight(e);

    if (to->shpool->pfree * ngx_pagesize < size + 4 * ngx_pagesize) {
        return NGX_DECLINED;
    }

    rec = ngx_rf_zone_record(to, e);
    if (rec == NULL) {
        return NGX_DECLINED;
    }

    to->plain = 1;
    copy = NULL;

    value = ngx_rf_zone_pack(to, rec, NULL, 0);

    if (value != NULL) {
        copy = ngx_rf_zone_insert_locked(to, &rec->key, NULL, 0);
    }

    to->plain = 0;

    ngx_rf_codec_free(rec);

    if (copy == NULL) {
        ngx_rf_zone_free_value(to, e->type, value);
        return NGX_DECLINED;
    }

    ngx_rf_zone_set_locked(to, copy, e->type, value);
    ngx_rf_zone_expire_locked(to, copy, e->expire);
    ngx_rf_zone_seen_locked(to, copy, e->seen);

    if (e->flying) {
        /* as where it lands */
        copy->seen = 0;
    }

    copy->run = e->run;
    copy->doubted = e->doubted;
    copy->changed = e->changed;
    copy->whole = e->whole;

    /* walked from the most recently used: each goes behind the ones before */

    ngx_rf_zone_last_locked(to, copy);

    return NGX_OK;
}
