/*
 * What the master writes when the last worker has gone and nothing changes any
 * more.
 *
 * Of a store that never had its path (the new generation of an upgrade that was
 * given up, or a second instance): what is pending, for whoever has the path
 * (ngx_rf_recovery_handover.c).  A worker could not: others of its zone may
 * still change the same keys, and each change would be handed over twice.
 *
 * Of one that has it: what no worker has written.  Each writes all that there
 * is at its own exit; but the last one may be killed in the middle of that (the
 * master does it itself, a second and a half after SIGTERM), and what another
 * one had under way when it was killed is claimed until it has been reaped.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_file.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"
#include "ngx_rf_zone.h"


/* records and bytes of a file */
#define NGX_RF_STORE_HAND           65536
#define NGX_RF_STORE_HAND_BYTES     (16 * 1024 * 1024)


static ngx_int_t ngx_rf_store_rest(ngx_rf_store_t *store, ngx_cycle_t *cycle);
static ngx_uint_t ngx_rf_store_hand(ngx_rf_store_t *store,
    ngx_uint_t *handed);


ngx_uint_t
ngx_rf_store_hands_over(ngx_rf_store_t *store)
{
    ngx_rf_zone_sh_t  *sh;

    sh = store->zone.sh;

    return store->zone.files && !sh->files_ready && !sh->dropped
           && !ngx_rf_zone_elsewhere(&store->zone, sh)
           && (ngx_process == NGX_PROCESS_SINGLE
               || ngx_getppid() == ngx_parent);
}


void
ngx_rf_store_dropped(ngx_rf_store_t *store)
{
    if (store->layout == NGX_RF_STORE_LAYOUT && store->zone.sh
        && store->zone.sh->layout == NGX_RF_ZONE_LAYOUT)
    {
        store->zone.sh->dropped = 1;
    }
}


void
ngx_rf_store_exit(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    ngx_uint_t         left, handed;
    ngx_rf_zone_sh_t  *sh;

    sh = store->zone.sh;

    if (sh == NULL || !store->zone.files || sh->superseded
        || ngx_rf_zone_elsewhere(&store->zone, sh))
    {
        return;
    }

    if (sh->files_ready) {

        if (ngx_rf_store_rest(store, cycle) == NGX_OK) {
            ngx_rf_store_keep_exit(store, cycle);
            return;
        }

        /* another instance has the path by now */
    }

    if (sh->npending == 0) {
        return;
    }

    handed = 0;

    ngx_rf_store_become(store, 1);
    left = ngx_rf_store_hand(store, &handed);
    ngx_rf_store_become(store, 0);

    if (handed) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "redis_fallback store \"%V\": %ui pending keys are left "
                      "to the nginx instance that has path \"%V\"",
                      &store->conf.name, handed, &store->conf.file.path);
    }

    if (left) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                      "redis_fallback store \"%V\": %ui pending keys are not "
                      "on disk at exit", &store->conf.name, left);
    }
}


/* NGX_DECLINED: the path is not ours any more */

static ngx_int_t
ngx_rf_store_rest(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    ngx_uint_t            left;
    ngx_rf_zone_sh_t     *sh;
    ngx_rf_file_error_t   error;

    sh = store->zone.sh;

    if ((sh->nunlogged == 0 && sh->nlogging == 0 && sh->nwriting == 0)
        || ngx_process == NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    ngx_rf_zone_reclaim(&store->zone);

    /* where a worker had the path, that has gone with it */

    ngx_memzero(&error, sizeof(ngx_rf_file_error_t));

    if (store->lock == NGX_INVALID_FILE
        && ngx_rf_file_lock(&store->conf.file, &store->lock, &error)
           == NGX_BUSY)
    {
        store->lock = NGX_INVALID_FILE;
        return NGX_DECLINED;
    }

    store->disk = ngx_rf_disk_create(&store->conf.file, NULL, cycle->log);

    if (store->disk == NULL) {
        left = sh->nunlogged;

    } else {
        ngx_rf_store_flush(store, cycle);
        ngx_rf_store_become(store, 1);
        left = ngx_rf_flush_exit(&store->flush);
        ngx_rf_store_become(store, 0);
    }

    if (left) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                      "redis_fallback store \"%V\": %ui pending keys are not "
                      "on disk at exit", &store->conf.name, left);
    }

    return NGX_OK;
}


/* how many could not be handed over */

static ngx_uint_t
ngx_rf_store_hand(ngx_rf_store_t *store, ngx_uint_t *handed)
{
    uint64_t              seq;
    ngx_int_t             rc;
    ngx_uint_t            n, left;
    ngx_rf_record_t      *list, *rec;
    ngx_rf_file_error_t   error;

    left = 0;
    rc = NGX_OK;
    seq = store->zone.sh->seq;

    for ( ;; ) {
        list = ngx_rf_zone_hand_take(&store->zone, NGX_RF_STORE_HAND,
                                     NGX_RF_STORE_HAND_BYTES, &left);
        if (list == NULL) {
            return left;
        }

        if (rc == NGX_OK) {
            rc = ngx_rf_journal_hand_write_thread(&store->conf.file, ++seq,
                                                  list, &error);

            if (rc != NGX_OK) {
                ngx_rf_store_log_file(store, NGX_LOG_CRIT,
                                      "could not write pending records",
                                      &error);
            }
        }

        for (n = 0; list; n++) {
            rec = list;
            list = rec->next;
            ngx_rf_codec_free(rec);
        }

        if (rc == NGX_OK) {
            *handed += n;

        } else {
            left += n;
        }
    }
}
