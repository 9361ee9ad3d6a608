/* What the files of this room share. */

#ifndef _NGX_RF_HASH_INTERNAL_H_INCLUDED_
#define _NGX_RF_HASH_INTERNAL_H_INCLUDED_


#include "ngx_rf_local.h"


ngx_int_t ngx_rf_hash_all(ngx_rf_local_t *l);
ngx_int_t ngx_rf_hash_scan(ngx_rf_local_t *l);
ngx_int_t ngx_rf_hash_random(ngx_rf_local_t *l);


#endif /* _NGX_RF_HASH_INTERNAL_H_INCLUDED_ */
