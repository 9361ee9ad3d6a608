/*
 * Brings the file tier after the zone: takes what is dirty in batches, writes
 * it, marks it durable.  Any worker may flush; entries are claimed in the
 * zone, so two workers never write the same key.
 *
 * Guarantees: one batch in flight per worker; while batches fail, the zone's
 * disk_failed holds the errno and the next try is a second later; each change
 * between well and failing is one log line.
 *
 * This is where the journal of rule 27 has its place: in front of the files,
 * fed by the same dirty list.
 */

#ifndef _NGX_RF_FLUSH_H_INCLUDED_
#define _NGX_RF_FLUSH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_zone.h"


typedef void (*ngx_rf_flush_pt)(void *data);

typedef struct {
    ngx_rf_zone_t        *zone;
    ngx_rf_disk_t        *disk;
    ngx_rf_file_conf_t   *conf;
    ngx_log_t            *log;
    ngx_rf_flush_pt       handler;      /* called after each batch */
    void                 *data;

    ngx_msec_t            retry;        /* no batch before this time;
                                           0: at once */
    ngx_msec_t            logged;       /* no line about one file before */
    ngx_uint_t            left;         /* to be written yet: what was dirty at
                                           the last start */
    unsigned              hurry:1;      /* the next batches are small: somebody
                                           waits for the first of the list */
} ngx_rf_flush_t;


/* starts batches and goes on until as many are written as are dirty now (those
 * that change all the time would keep it going for ever): NGX_AGAIN a batch is
 * under way, or will be in a moment, NGX_DONE nothing to do, NGX_DECLINED the
 * disk is failing or the path is not ours */
ngx_int_t ngx_rf_flush_start(ngx_rf_flush_t *flush);

/* at exit: writes all that is dirty, blocking; the number of records that
 * could not be written */
ngx_uint_t ngx_rf_flush_exit(ngx_rf_flush_t *flush);

/* one log line for an error that came home from ngx_rf_file */
void ngx_rf_flush_log_error(ngx_rf_flush_t *flush, ngx_uint_t level,
    const char *doing, ngx_rf_file_error_t *error);


#endif /* _NGX_RF_FLUSH_H_INCLUDED_ */
