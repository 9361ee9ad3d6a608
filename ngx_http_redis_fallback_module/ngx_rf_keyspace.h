/*
 * Commands about keys whatever they hold: DEL, EXPIRE, RENAME, SCAN, ...
 * Their handlers are reached through ngx_rf_keyspace_handler().
 */

#ifndef _NGX_RF_KEYSPACE_H_INCLUDED_
#define _NGX_RF_KEYSPACE_H_INCLUDED_


#include "ngx_rf.h"
#include "ngx_rf_local.h"


typedef struct {
    uint64_t              cursor;
    int64_t               count;
    ngx_str_t             pattern;      /* data NULL: none */
    ngx_str_t            *type;         /* NULL: any */
} ngx_rf_scan_t;


/* Redis' glob: * ? [a-z] [^a] \x; bytes, no locale */
ngx_uint_t ngx_rf_keyspace_match(ngx_str_t *pattern, ngx_str_t *str);

/*
 * For SCAN, and HSCAN and its like.  As Redis looks at them: the cursor first,
 * then whether there is such a key, and only then the options, those from
 * argv[first] on (TYPE with SCAN alone).  NGX_OK; NGX_DECLINED: an error was
 * replied; NGX_ERROR.
 */
ngx_int_t ngx_rf_keyspace_scan_cursor(ngx_rf_local_t *l, ngx_str_t *arg,
    ngx_rf_scan_t *scan);
ngx_int_t ngx_rf_keyspace_scan_args(ngx_rf_local_t *l, ngx_uint_t first,
    ngx_rf_scan_t *scan);

/* whether MATCH wants it */
ngx_uint_t ngx_rf_keyspace_scan_match(ngx_rf_scan_t *scan, u_char *data,
    size_t len);

/* the next cursor, and what was found: ngx_rf_reply_t; NULL: nothing */
ngx_int_t ngx_rf_keyspace_scan_reply(ngx_rf_local_t *l, uint64_t cursor,
    ngx_array_t *found);


#endif /* _NGX_RF_KEYSPACE_H_INCLUDED_ */
