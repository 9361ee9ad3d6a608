/*
 * A reply as JSON: arrays become arrays, integers numbers, nil null; statuses,
 * strings and errors become strings.  What is not UTF-8 in them is replaced by
 * U+FFFD, byte by byte, so that the result always is JSON.
 */

#ifndef _NGX_HTTP_RF_JSON_H_INCLUDED_
#define _NGX_HTTP_RF_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"


/* NGX_ERROR: no memory */
ngx_int_t ngx_http_rf_json_reply(ngx_pool_t *pool, ngx_rf_reply_t *reply,
    ngx_str_t *out);

/* the same in two steps: writes it, and returns its length; dst NULL: only
 * that.  With "base64" every string is encoded so */
size_t ngx_http_rf_json_value(u_char *dst, ngx_rf_reply_t *reply,
    ngx_uint_t base64);

/* the string with its quotes: writes it, and returns its length; dst NULL:
 * only that */
size_t ngx_http_rf_json_string(u_char *dst, ngx_str_t *s);


#endif /* _NGX_HTTP_RF_JSON_H_INCLUDED_ */
