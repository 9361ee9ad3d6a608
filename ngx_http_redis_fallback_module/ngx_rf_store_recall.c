/*
 * What the journal of an earlier run holds, at a start: the master reads it
 * into the zone before there are workers, so that no request is answered from
 * less than all of it.
 *
 * Where the zone is too small for all of it, what is loaded goes to files on
 * the way.  What cannot be read now is left to the leader (ngx_rf_recovery).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_file.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"
#include "ngx_rf_zone.h"


/* records of a slice; of a batch of files */
#define NGX_RF_STORE_RECALL         1024
#define NGX_RF_STORE_RECALL_FILES   256
#define NGX_RF_STORE_RECALL_BYTES   (4 * 1024 * 1024)

/* nobody else makes entries leave memory, and what is read is held against
 * files as soon as there are new ones */
#define NGX_RF_STORE_ALONE          ((uint64_t) -1)


static ngx_int_t ngx_rf_store_recall_pass(ngx_rf_store_t *store,
    ngx_rf_journal_read_t *rd);
static ngx_int_t ngx_rf_store_recall_one(ngx_rf_store_t *store,
    ngx_rf_journal_read_t *rd, ngx_rf_record_t *rec);
static ngx_int_t ngx_rf_store_recall_room(ngx_rf_store_t *store);


void
ngx_rf_store_recall(ngx_rf_store_t *store)
{
    ngx_int_t               rc;
    ngx_uint_t              any;
    ngx_rf_zone_sh_t       *sh;
    ngx_rf_journal_read_t   rd;

    sh = store->zone.sh;
    any = ngx_rf_file_any(&store->conf.file);

    ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));

    rd.mark = sh->mark;
    rd.n = NGX_RF_STORE_RECALL;
    rd.files = any;

    rc = ngx_rf_store_recall_pass(store, &rd);

    sh->seq = ngx_max(sh->seq, rd.seq);
    sh->journal_base = rd.base;
    sh->journal_bytes = rd.bytes;

    if (sh->segment + 1 < rd.next) {
        sh->segment = rd.next - 1;
    }

    (void) ngx_atomic_fetch_add(&sh->stat.quarantined, rd.damaged);

    if (rd.unknown) {
        ngx_log_error(NGX_LOG_CRIT, store->cycle->log, 0,
                      "redis_fallback store \"%V\": %ui lines of the journal "
                      "are not understood and left out", &store->conf.name,
                      rd.unknown);
    }

    if (rd.unread) {
        rc = NGX_ERROR;
    }

    /* where files had all records there may be acknowledgements alone */

    if (rc == NGX_OK && rd.nsegments) {

        ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));

        rd.mark = sh->mark;
        rd.n = NGX_RF_STORE_RECALL;
        rd.files = any || sh->stat.files || sh->spilled;
        rd.acks = 1;

        rc = ngx_rf_store_recall_pass(store, &rd);

        if (rd.unread) {
            rc = NGX_ERROR;
        }
    }

    if (rc != NGX_OK) {
        sh->journal_scan = 1;
    }
}


static ngx_int_t
ngx_rf_store_recall_pass(ngx_rf_store_t *store, ngx_rf_journal_read_t *rd)
{
    ngx_int_t         rc;
    ngx_uint_t        i;
    ngx_rf_record_t  *rec;

    do {
        rc = ngx_rf_journal_read_thread(&store->conf.file, rd, 0);

        for (i = 0; i < rd->nerrors; i++) {
            ngx_rf_store_log_file(store, NGX_LOG_CRIT,
                                  "could not read all of the journal",
                                  &rd->errors[i]);
        }

        for (rec = rd->records; rec && rc != NGX_ERROR; rec = rec->next) {

            if (ngx_rf_store_recall_one(store, rd, rec) != NGX_OK) {
                rc = NGX_ERROR;
            }
        }

    } while (rc == NGX_OK);

    ngx_rf_journal_read_end(rd);

    return rc == NGX_DONE ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_rf_store_recall_one(ngx_rf_store_t *store, ngx_rf_journal_read_t *rd,
    ngx_rf_record_t *rec)
{
    ngx_int_t  rc;

    for ( ;; ) {

        rc = ngx_rf_zone_log_load(&store->zone, rec, NGX_RF_STORE_ALONE, 0,
                                  ngx_rf_now());

        if (rc == NGX_OK || rc == NGX_DECLINED) {
            return NGX_OK;
        }

        if (rc != NGX_RF_NEED_ROOM
            || ngx_rf_store_recall_room(store) != NGX_OK)
        {
            ngx_log_error(NGX_LOG_CRIT, store->cycle->log, 0,
                          "redis_fallback store \"%V\": no room for what the "
                          "journal has of key \"%V\", it stays there",
                          &store->conf.name, &rec->key);
            return NGX_ERROR;
        }

        /* there are files now, which older lines of their keys may follow */

        rd->files = 1;

        if (ngx_rf_journal_files_thread(&store->conf.file, rd, &rec->next)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }
}


/* what is in a file may leave the zone */

static ngx_int_t
ngx_rf_store_recall_room(ngx_rf_store_t *store)
{
    ngx_uint_t            failed, wrote, removed;
    ngx_rf_record_t      *list;
    ngx_rf_file_error_t   error;

    list = ngx_rf_zone_dirty_take(&store->zone, NGX_RF_STORE_RECALL_FILES,
                                  NGX_RF_STORE_RECALL_BYTES);
    if (list == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&error, sizeof(ngx_rf_file_error_t));

    ngx_rf_store_become(store, 1);

    failed = ngx_rf_file_write_thread(&store->conf.file, list, &wrote,
                                      &removed, &error);

    ngx_rf_store_become(store, 0);

    ngx_rf_zone_dirty_done(&store->zone, list);

    if (failed) {
        ngx_rf_store_log_file(store, NGX_LOG_CRIT,
                              "could not write pending records", &error);
        return NGX_ERROR;
    }

    return NGX_OK;
}
