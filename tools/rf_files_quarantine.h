/*
 * The directory of what was set aside, for looking at it and for taking it
 * back.
 */

#ifndef _RF_FILES_QUARANTINE_H_INCLUDED_
#define _RF_FILES_QUARANTINE_H_INCLUDED_


#include "rf_files.h"


typedef struct {
    ngx_fd_t              dir;          /* NGX_INVALID_FILE: there is none */
    char                **elts;         /* in order */
    ngx_uint_t            n;
} rf_files_names_t;


typedef struct {
    struct stat           st;
    u_char               *data;
    size_t                len;
    ngx_rf_record_t      *rec;          /* NULL: no record, "why" says it */
    const char           *why;
    char                 *reason;       /* with which Redis refused it; NULL:
                                           there is none in it */
} rf_files_set_aside_t;


/* NGX_ERROR: said.  Without a quarantine there are no names */
ngx_int_t rf_files_quarantine_open(rf_files_t *run, rf_files_names_t *names);
void rf_files_quarantine_close(rf_files_names_t *names);

/* NGX_ERROR: errno */
ngx_int_t rf_files_aside_read(rf_files_names_t *names, const char *name,
    rf_files_set_aside_t *aside);
void rf_files_aside_free(rf_files_set_aside_t *aside);


#endif /* _RF_FILES_QUARANTINE_H_INCLUDED_ */
