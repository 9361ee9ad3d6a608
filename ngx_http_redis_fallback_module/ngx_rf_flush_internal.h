/*
 * What the files of the flush room share: ngx_rf_flush.c writes files,
 * ngx_rf_flush_journal.c the journal in front of them.
 */

#ifndef _NGX_RF_FLUSH_INTERNAL_H_INCLUDED_
#define _NGX_RF_FLUSH_INTERNAL_H_INCLUDED_


#include "ngx_rf_flush.h"


/* ms between two tries while the disk fails */
#define NGX_RF_FLUSH_RETRY      1000


/* at exit: what could not be journaled */
ngx_uint_t ngx_rf_flush_log_exit(ngx_rf_flush_t *flush);

/* a batch has failed with this errno, or not: *failed is one of the zone's
 * words, "doing" for the log */
void ngx_rf_flush_failing(ngx_rf_flush_t *flush, ngx_atomic_t *failed,
    const char *doing, ngx_rf_file_error_t *error);
void ngx_rf_flush_well(ngx_rf_flush_t *flush, ngx_atomic_t *failed);


#endif /* _NGX_RF_FLUSH_INTERNAL_H_INCLUDED_ */
