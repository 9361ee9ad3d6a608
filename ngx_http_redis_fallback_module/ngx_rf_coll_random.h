/*
 * Random elements, as HRANDFIELD, SRANDMEMBER and SPOP want them: each as
 * likely as any other.  Under the zone's lock, see ngx_rf_coll.h.
 */

#ifndef _NGX_RF_COLL_RANDOM_H_INCLUDED_
#define _NGX_RF_COLL_RANDOM_H_INCLUDED_


#include "ngx_rf_coll.h"


/* the most that a reply repeats elements: Redis would go on until its memory
 * is full */
#define NGX_RF_COLL_RANDOM_MAX  1000000
#define NGX_RF_COLL_RANDOM_BYTES (64 * 1024 * 1024)


/* less than n, which is not 0 */
uint64_t ngx_rf_coll_random(uint64_t n);

/* the argument "count"; NGX_DECLINED: an error was replied */
ngx_int_t ngx_rf_coll_random_count(ngx_rf_local_t *l, ngx_str_t *arg,
    int64_t *count);

/* replies "count" different elements at most, or with a negative count so many
 * that may be the same; with "values" each is followed by its value */
ngx_int_t ngx_rf_coll_random_reply(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    int64_t count, ngx_uint_t values);


#endif /* _NGX_RF_COLL_RANDOM_H_INCLUDED_ */
