/*
 * What the files of the journal share, and tools/, and nobody else.
 */

#ifndef _NGX_RF_JOURNAL_PARTS_H_INCLUDED_
#define _NGX_RF_JOURNAL_PARTS_H_INCLUDED_


#include "ngx_rf_journal.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_file_parts.h"


#define NGX_RF_JOURNAL_DIR      "journal"

/* "X CCCCCCCC " */
#define NGX_RF_JOURNAL_PREFIX   11

/* a head's line is shorter */
#define NGX_RF_JOURNAL_HEAD     256

/* "0123456789abcdef.log" and NUL */
#define NGX_RF_JOURNAL_NAME     21


#define NGX_RF_JOURNAL_HAND_DIR "handover"


typedef struct {
    ngx_rf_file_root_t    root;
    ngx_fd_t              dir;
} ngx_rf_journal_dir_t;


/* {path}/{db}/NAME, one of the two; NGX_DECLINED: there is none, only without
 * "create" */
ngx_int_t ngx_rf_journal_dir_open(ngx_rf_journal_dir_t *jd,
    ngx_rf_file_conf_t *conf, const char *name, ngx_uint_t create,
    ngx_rf_file_error_t *error);
void ngx_rf_journal_dir_close(ngx_rf_journal_dir_t *jd);

void ngx_rf_journal_name(uint64_t number, char *name);

/* a batch; NGX_ERROR: no memory, nothing is to be freed */
ngx_int_t ngx_rf_journal_make(ngx_rf_record_t *records,
    ngx_rf_codec_text_t *text);

/* CRC-32, as ngx_crc32_long(), at several times its speed */
uint32_t ngx_rf_journal_crc(u_char *p, size_t len);

/* a file without the zeros at its end, malloc()ed; NULL: errno */
u_char *ngx_rf_journal_content(ngx_fd_t dir, const char *name, size_t *len);
/* the end of the last batch that is whole; rd->broken: there is damage before
 * that */
u_char *ngx_rf_journal_check(ngx_rf_journal_read_t *rd, u_char *text,
    size_t len);
/* the next rd->n records of rd->pos to rd->last; NGX_ERROR: no memory */
ngx_int_t ngx_rf_journal_slice(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_read_t *rd);

/* the numbers of all segments in order, malloc()ed; NGX_ERROR with errno */
ngx_int_t ngx_rf_journal_list(ngx_fd_t dir, uint64_t **numbers,
    ngx_uint_t *n);

/* one more error of the slice, if there is room for it */
void ngx_rf_journal_error(ngx_rf_file_conf_t *conf, ngx_rf_journal_read_t *rd,
    ngx_err_t err, const char *what, const char *name);


#endif /* _NGX_RF_JOURNAL_PARTS_H_INCLUDED_ */
