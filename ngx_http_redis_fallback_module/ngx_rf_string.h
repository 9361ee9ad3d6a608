/*
 * Commands on strings.  Their handlers are reached through
 * ngx_rf_string_handler(); here is their arithmetic on long doubles.
 */

#ifndef _NGX_RF_STRING_H_INCLUDED_
#define _NGX_RF_STRING_H_INCLUDED_


#include "ngx_rf.h"


/* the longest text that float_text() makes: of 1e4932 */
#define NGX_RF_STRING_FLOAT_LEN  5120

/* NGX_DECLINED: not a number in Redis' eyes */
ngx_int_t ngx_rf_string_float(ngx_str_t *text, long double *value);
/* as Redis shows it to people: 17 decimals at most, no trailing zeros;
 * returns the length */
size_t ngx_rf_string_float_text(long double value, u_char *buf);
/* adds "before" to *arg, whose text is in buf then, of the above length; 0: not
 * numbers, or decimals would be lost */
ngx_uint_t ngx_rf_string_float_sum(ngx_str_t *before, ngx_str_t *arg,
    u_char *buf);


#endif /* _NGX_RF_STRING_H_INCLUDED_ */
