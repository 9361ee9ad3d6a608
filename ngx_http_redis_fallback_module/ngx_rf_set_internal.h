/* What the files of this room share. */

#ifndef _NGX_RF_SET_INTERNAL_H_INCLUDED_
#define _NGX_RF_SET_INTERNAL_H_INCLUDED_


#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"


/* the member from now on; *added is raised if it is new.  NGX_OK,
 * NGX_RF_NEED_ROOM */
ngx_int_t ngx_rf_set_put(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *member, ngx_uint_t *added);

ngx_int_t ngx_rf_set_members(ngx_rf_local_t *l);
ngx_int_t ngx_rf_set_scan(ngx_rf_local_t *l);
ngx_int_t ngx_rf_set_pop(ngx_rf_local_t *l);
ngx_int_t ngx_rf_set_random(ngx_rf_local_t *l);

ngx_int_t ngx_rf_set_combine(ngx_rf_local_t *l);
ngx_int_t ngx_rf_set_store(ngx_rf_local_t *l);
ngx_int_t ngx_rf_set_intercard(ngx_rf_local_t *l);


#endif /* _NGX_RF_SET_INTERNAL_H_INCLUDED_ */
