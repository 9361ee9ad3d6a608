/* What the files of this room share. */

#ifndef _NGX_RF_KEYSPACE_INTERNAL_H_INCLUDED_
#define _NGX_RF_KEYSPACE_INTERNAL_H_INCLUDED_


#include "ngx_rf_keyspace.h"
#include "ngx_rf_local.h"


extern const char  *ngx_rf_keyspace_types[];

ngx_int_t ngx_rf_keyspace_keys(ngx_rf_local_t *l);
ngx_int_t ngx_rf_keyspace_scan(ngx_rf_local_t *l);
ngx_int_t ngx_rf_keyspace_dbsize(ngx_rf_local_t *l);
ngx_int_t ngx_rf_keyspace_randomkey(ngx_rf_local_t *l);


#endif /* _NGX_RF_KEYSPACE_INTERNAL_H_INCLUDED_ */
