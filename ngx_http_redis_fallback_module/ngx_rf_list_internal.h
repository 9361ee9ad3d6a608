/*
 * Between the files of the lists.
 */

#ifndef _NGX_RF_LIST_INTERNAL_H_INCLUDED_
#define _NGX_RF_LIST_INTERNAL_H_INCLUDED_


#include "ngx_rf_coll.h"


/* an index as users give it, from the end if negative, to a rank; NGX_DECLINED:
 * there is no such element */
ngx_int_t ngx_rf_list_rank(ngx_rf_coll_t *c, int64_t *index);

/* the same for a range, both ends included: how many elements there are, from
 * *start on; where there are none both limits are behind the last */
uint64_t ngx_rf_list_limits(ngx_rf_coll_t *c, int64_t *start, int64_t *end);


/* commands in ngx_rf_list_edit.c */

ngx_int_t ngx_rf_list_set(ngx_rf_local_t *l);
ngx_int_t ngx_rf_list_insert(ngx_rf_local_t *l);
ngx_int_t ngx_rf_list_rem(ngx_rf_local_t *l);
ngx_int_t ngx_rf_list_trim(ngx_rf_local_t *l);
ngx_int_t ngx_rf_list_pos(ngx_rf_local_t *l);


#endif /* _NGX_RF_LIST_INTERNAL_H_INCLUDED_ */
