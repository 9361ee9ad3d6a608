/* What the files of this room share. */

#ifndef _NGX_RF_STRING_INTERNAL_H_INCLUDED_
#define _NGX_RF_STRING_INTERNAL_H_INCLUDED_


#include "ngx_rf_local.h"
#include "ngx_rf_string.h"


/*
 * The string of a key.  NGX_OK: *e is its entry (or NULL), *str its value,
 * with data NULL for an absent key; NGX_DECLINED: WRONGTYPE was replied;
 * NGX_ERROR.
 */
ngx_int_t ngx_rf_string_find(ngx_rf_local_t *l, ngx_str_t *key,
    ngx_rf_entry_t **e, ngx_str_t *str);

ngx_int_t ngx_rf_string_incr(ngx_rf_local_t *l);
ngx_int_t ngx_rf_string_incrbyfloat(ngx_rf_local_t *l);
ngx_int_t ngx_rf_string_append(ngx_rf_local_t *l);
ngx_int_t ngx_rf_string_setrange(ngx_rf_local_t *l);


#endif /* _NGX_RF_STRING_INTERNAL_H_INCLUDED_ */
