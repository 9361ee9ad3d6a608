/*
 * Recovery: what the journal of a path holds becomes pending keys, when the
 * path was another instance's until now, or when a zone that was repaired may
 * have lost entries.  (At a start the master does it, ngx_rf_store_recall.c.)
 *
 * Records first, then acknowledgements: nothing is replayed before both are
 * read.  Of another instance's path the files are looked through as well.  Keys
 * that were changed there and here are held back until all is read: then the
 * newest of their records, if it is not done with, is merged with what was
 * changed here.  Other keys' files are left for the walk.  Only then is the
 * path ours.
 *
 * Where the zone is too small for all of that, what is loaded goes to files
 * meanwhile, and leaves memory.  A line that follows may be older than such a
 * file: the zone tells (NGX_RF_NEED_FILE), and what is left of the slice is
 * held against files once more.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_crc32.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_zone.h"


/* records of a slice */
#define NGX_RF_RECOVERY_RECALL  512


/* a key that was changed by both */

struct ngx_rf_held_s {
    ngx_rf_held_t            *next;
    uint64_t                  acked;    /* records up to it are done with */
    ngx_rf_record_t          *record;   /* the newest, or NULL */
    ngx_uint_t                filed;    /* there is a file */
    ngx_str_t                 key;
};


static void ngx_rf_recovery_recall_read(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recalled(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_recall_look(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_looked(ngx_rf_disk_job_t *job);
static void ngx_rf_recovery_recall_room(ngx_rf_recovery_t *r);
static ngx_rf_recovery_t *ngx_rf_recovery_recall_home(
    ngx_rf_disk_job_t *job);
static ngx_int_t ngx_rf_recovery_recall_load(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_next(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_walk(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_walked(ngx_rf_disk_job_t *job);
static ngx_int_t ngx_rf_recovery_hold(ngx_rf_recovery_t *r,
    ngx_rf_record_t *rec);
static ngx_int_t ngx_rf_recovery_merge(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_held_free(ngx_rf_recovery_t *r);
static void ngx_rf_recovery_recall_done(ngx_rf_recovery_t *r);


void
ngx_rf_recovery_recall(ngx_rf_recovery_t *r, ngx_uint_t merge)
{
    r->recalling = 1;
    r->merging = merge;
    r->adopting = 0;
    r->adopted = 0;
    r->recall_read = 0;
    r->adopt.after[0] = '\0';

    ngx_rf_journal_read_end(&r->recall);
    ngx_memzero(&r->recall, sizeof(ngx_rf_journal_read_t));

    ngx_rf_recovery_recall_read(r);
}


void
ngx_rf_recovery_recall_again(ngx_rf_recovery_t *r)
{
    if (!r->recalling || r->recall_job) {
        return;
    }

    if (r->adopted) {
        ngx_rf_recovery_recall_done(r);

    } else if (r->adopting) {
        ngx_rf_recovery_recall_walk(r);

    } else if (r->recall_read) {
        ngx_rf_recovery_recall_next(r);

    } else {
        ngx_rf_recovery_recall_read(r);
    }
}


void
ngx_rf_recovery_recall_stop(ngx_rf_recovery_t *r)
{
    if (r->recall_job) {
        /* what it reads is its own until it is home, which nobody sees */
        ngx_rf_disk_cut(r->recall_job);
        r->recall_job = NULL;

    } else {
        ngx_rf_journal_read_end(&r->recall);
    }

    ngx_rf_recovery_held_free(r);

    r->conf.flush->early = 0;
    r->recalling = 0;
}


static void
ngx_rf_recovery_recall_read(ngx_rf_recovery_t *r)
{
    r->recall_read = 0;
    r->recall_seq = r->conf.zone->sh->seq;

    r->recall.n = NGX_RF_RECOVERY_RECALL;
    r->recall.mark = r->conf.zone->sh->mark;
    r->recall.files = 1;

    r->recall_job = ngx_rf_disk_log_read(r->conf.disk, &r->recall,
                                         ngx_rf_recovery_recalled, r);

    /* where that failed, the next tick tries again */
}


static void
ngx_rf_recovery_recalled(ngx_rf_disk_job_t *job)
{
    ngx_rf_recovery_t  *r;

    r = ngx_rf_recovery_recall_home(job);

    r->recall_end = (job->rc == NGX_DONE);

    if (job->rc == NGX_ERROR) {
        return;
    }

    r->recall_read = 1;

    ngx_rf_recovery_recall_next(r);
}


static void
ngx_rf_recovery_recall_look(ngx_rf_recovery_t *r)
{
    r->recall.nerrors = 0;
    r->recall_seq = r->conf.zone->sh->seq;

    r->recall_job = ngx_rf_disk_log_look(r->conf.disk, &r->recall,
                                         ngx_rf_recovery_recall_looked, r);
}


static void
ngx_rf_recovery_recall_looked(ngx_rf_disk_job_t *job)
{
    ngx_rf_recovery_t  *r;

    r = ngx_rf_recovery_recall_home(job);

    if (job->rc == NGX_ERROR) {
        /* nothing is known of those that were not reached */
        r->recall_seq = 0;
        return;
    }

    ngx_rf_recovery_recall_next(r);
}


/* a job that has read the journal, or files for it, and may have failed */

static ngx_rf_recovery_t *
ngx_rf_recovery_recall_home(ngx_rf_disk_job_t *job)
{
    ngx_uint_t          i;
    ngx_rf_recovery_t  *r;

    r = job->data;

    r->recall_job = NULL;

    for (i = 0; i < r->recall.nerrors; i++) {
        ngx_rf_flush_log_error(r->conf.flush, NGX_LOG_CRIT,
                               "could not read all of the journal",
                               &r->recall.errors[i]);
    }

    if (job->rc == NGX_ERROR) {
        (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.file_errors, 1);
    }

    return r;
}


/* NGX_AGAIN: for want of room or memory, or files are to be looked at */

static ngx_int_t
ngx_rf_recovery_recall_load(ngx_rf_recovery_t *r)
{
    ngx_int_t         rc;
    ngx_rf_record_t  *rec;

    while (r->recall.records) {

        rec = r->recall.records;

        rc = ngx_rf_zone_log_load(r->conf.zone, rec, r->recall_seq,
                                  r->merging, ngx_rf_now());

        if (rc == NGX_BUSY) {
            rc = ngx_rf_recovery_hold(r, rec);
        }

        if (rc == NGX_RF_NEED_FILE) {
            ngx_rf_recovery_recall_look(r);
            return NGX_AGAIN;
        }

        if (rc == NGX_RF_NEED_ROOM) {
            ngx_rf_recovery_recall_room(r);
            return NGX_AGAIN;
        }

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            return NGX_AGAIN;
        }

        if (rc == NGX_OK && r->merging) {
            ngx_rf_recovery_hand_taken(r);
        }

        /* it may leave memory from now on, and is not to be loaded again */

        r->recall.records = rec->next;
        r->recall.nrecords--;

        ngx_rf_codec_free(rec);
    }

    return NGX_OK;
}


/*
 * What is loaded has to go to files.  What was changed here has not been merged
 * yet, and stays; only where that alone fills the zone the path becomes ours
 * without.
 */

static void
ngx_rf_recovery_recall_room(ngx_rf_recovery_t *r)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (!sh->files_ready) {

        if (sh->journal_scan == 2 && sh->ndirty == 0 && sh->nwriting == 0) {
            (void) ngx_rf_keep_note(r->conf.keep, r->lock, -1, r->log);
            sh->files_scan = 1;
            sh->files_ready = ngx_pid;

            ngx_log_error(NGX_LOG_WARN, r->log, 0,
                          "redis_fallback store \"%V\": memory is full of what "
                          "was changed here, path \"%V\" is ours now, without "
                          "what it has of the same keys",
                          &r->conf.name, &r->conf.file->path);

        } else {
            sh->journal_scan = 2;
            r->conf.flush->early = 1;
        }
    }

    ngx_rf_flush_urgent(r->conf.flush);
    (void) ngx_rf_flush_start(r->conf.flush);

    /* the next tick looks */
    r->next_chore = ngx_current_msec;
}


static void
ngx_rf_recovery_recall_next(ngx_rf_recovery_t *r)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (ngx_rf_recovery_recall_load(r) != NGX_OK) {
        return;
    }

    r->recall_read = 0;

    if (!r->recall_end) {
        ngx_rf_recovery_recall_read(r);
        return;
    }

    ngx_rf_zone_lock(r->conf.zone);

    sh->seq = ngx_max(sh->seq, r->recall.seq);
    sh->journal_base = ngx_max(sh->journal_base, r->recall.base);

    if (sh->segment + 1 < r->recall.next) {
        sh->segment = r->recall.next - 1;
    }

    if (!r->recall.acks) {
        sh->journal_bytes = r->recall.bytes;
        (void) ngx_atomic_fetch_add(&sh->stat.quarantined, r->recall.damaged);
    }

    ngx_rf_zone_unlock(r->conf.zone);

    if (r->recall.unread) {
        /* all of it again */
        ngx_rf_recovery_recall_stop(r);
        r->next_chore = ngx_current_msec + NGX_RF_RECOVERY_RETRY;
        return;
    }

    if (!r->recall.acks) {
        ngx_rf_journal_read_end(&r->recall);
        ngx_memzero(&r->recall, sizeof(ngx_rf_journal_read_t));
        r->recall.acks = 1;
        ngx_rf_recovery_recall_read(r);
        return;
    }

    ngx_rf_journal_read_end(&r->recall);

    if (r->merging) {
        r->adopting = 1;
        ngx_rf_recovery_recall_walk(r);
        return;
    }

    ngx_rf_recovery_recall_done(r);
}


static void
ngx_rf_recovery_recall_walk(ngx_rf_recovery_t *r)
{
    r->adopt.n = NGX_RF_RECOVERY_RECALL;
    r->adopt.bytes = 0;
    r->adopt.mark = r->conf.zone->sh->mark;

    r->recall_job = ngx_rf_disk_walk(r->conf.disk, &r->adopt,
                                     ngx_rf_recovery_recall_walked, r);
}


static void
ngx_rf_recovery_recall_walked(ngx_rf_disk_job_t *job)
{
    ngx_rf_record_t    *rec;
    ngx_rf_recovery_t  *r;

    r = job->data;
    r->recall_job = NULL;

    (void) ngx_atomic_fetch_add(&r->conf.zone->sh->stat.quarantined,
                                job->walk->quarantined);

    if (job->rc == NGX_ERROR) {
        return;
    }

    for (rec = job->walk->records; rec; rec = rec->next) {

        if (!ngx_rf_zone_changed_here(r->conf.zone, &rec->key)) {
            continue;
        }

        rec->filed = 1;

        if (ngx_rf_recovery_hold(r, rec) != NGX_OK) {
            /* the slice again, at the next tick */
            return;
        }
    }

    ngx_memcpy(r->adopt.after, job->walk->after, sizeof(r->adopt.after));

    if (job->rc != NGX_DONE) {
        ngx_rf_recovery_recall_walk(r);
        return;
    }

    r->adopted = 1;

    ngx_rf_recovery_recall_done(r);
}


/* the record stays the caller's; NGX_ERROR: no memory */

static ngx_int_t
ngx_rf_recovery_hold(ngx_rf_recovery_t *r, ngx_rf_record_t *rec)
{
    ngx_rf_held_t    *held, **bucket;
    ngx_rf_record_t  *copy;

    bucket = &r->held[ngx_crc32_long(rec->key.data, rec->key.len)
                      % NGX_RF_RECOVERY_HELD];

    for (held = *bucket; held; held = held->next) {

        if (held->key.len == rec->key.len
            && ngx_memcmp(held->key.data, rec->key.data, rec->key.len) == 0)
        {
            break;
        }
    }

    if (held == NULL) {
        held = ngx_calloc(sizeof(ngx_rf_held_t) + rec->key.len, r->log);
        if (held == NULL) {
            return NGX_ERROR;
        }

        held->key.len = rec->key.len;
        held->key.data = (u_char *) (held + 1);
        ngx_memcpy(held->key.data, rec->key.data, rec->key.len);

        held->next = *bucket;
        *bucket = held;
    }

    held->filed |= rec->filed;

    if (rec->remove) {
        held->acked = ngx_max(held->acked, rec->version);
        return NGX_OK;
    }

    if (held->record && held->record->version >= rec->version) {
        return NGX_OK;
    }

    copy = ngx_rf_codec_clone(rec);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    free(held->record);
    held->record = copy;

    return NGX_OK;
}


/* NGX_AGAIN: for want of room or memory, or because Redis may have a part of
 * what was changed here */

static ngx_int_t
ngx_rf_recovery_merge(ngx_rf_recovery_t *r)
{
    ngx_int_t       rc;
    ngx_uint_t      i;
    ngx_rf_held_t  *held;

    for (i = 0; i < NGX_RF_RECOVERY_HELD; i++) {

        for (held = r->held[i]; held; held = held->next) {

            if (held->record == NULL || held->record->version <= held->acked) {

                /* nothing of it is needed, its file is to go */

                if (held->filed
                    && ngx_rf_zone_filed(r->conf.zone, &held->key) != NGX_OK)
                {
                    ngx_rf_recovery_recall_room(r);
                    return NGX_AGAIN;
                }

                held->filed = 0;
                continue;
            }

            held->record->filed = held->filed;

            rc = ngx_rf_zone_adopt(r->conf.zone, held->record);

            if (rc == NGX_DECLINED) {
                /* the newest that there is, files are among them */
                rc = ngx_rf_zone_log_load(r->conf.zone, held->record,
                                          (uint64_t) -1, 0, ngx_rf_now());
            }

            if (rc == NGX_RF_NEED_ROOM) {
                ngx_rf_recovery_recall_room(r);
            }

            if (rc != NGX_OK && rc != NGX_DECLINED) {
                return NGX_AGAIN;
            }

            if (rc == NGX_OK) {
                ngx_rf_recovery_hand_taken(r);
            }

            free(held->record);
            held->record = NULL;
            held->filed = 0;
        }
    }

    return NGX_OK;
}


static void
ngx_rf_recovery_held_free(ngx_rf_recovery_t *r)
{
    ngx_uint_t      i;
    ngx_rf_held_t  *held;

    for (i = 0; i < NGX_RF_RECOVERY_HELD; i++) {

        while (r->held[i]) {
            held = r->held[i];
            r->held[i] = held->next;

            free(held->record);
            ngx_free(held);
        }
    }
}


static void
ngx_rf_recovery_recall_done(ngx_rf_recovery_t *r)
{
    ngx_rf_zone_sh_t  *sh;

    sh = r->conf.zone->sh;

    if (sh->files_ready) {
        ngx_rf_recovery_recall_stop(r);
        sh->journal_scan = 0;
        return;
    }

    if (ngx_rf_recovery_merge(r) != NGX_OK) {
        return;
    }

    ngx_rf_recovery_recall_stop(r);
    (void) ngx_rf_keep_note(r->conf.keep, r->lock, -1, r->log);

    ngx_rf_zone_lock(r->conf.zone);

    sh->files_scan = 1;
    sh->journal_scan = 0;
    sh->files_ready = ngx_pid;

    ngx_rf_zone_unlock(r->conf.zone);

    ngx_log_error(NGX_LOG_NOTICE, r->log, 0,
                  "redis_fallback store \"%V\": path \"%V\" is ours now",
                  &r->conf.name, &r->conf.file->path);
}
