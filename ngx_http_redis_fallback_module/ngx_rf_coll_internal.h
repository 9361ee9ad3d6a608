/* What the files of this room share. */

#ifndef _NGX_RF_COLL_INTERNAL_H_INCLUDED_
#define _NGX_RF_COLL_INTERNAL_H_INCLUDED_


#include "ngx_rf_coll.h"


/* a name in elts, and in the notes if there are any: "tree" need not be set.
 * It is looked for once if get() is followed by a change */
void ngx_rf_coll_find(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    ngx_rf_find_t *elt, ngx_rf_find_t *line);

/* what has been noted for Redis becomes a change; what follows is the next */
ngx_int_t ngx_rf_coll_flush(ngx_rf_local_t *l, ngx_rf_coll_t *c);


/* gives the lock away after work that is worth that of n elements read */
ngx_int_t ngx_rf_coll_pause(ngx_rf_local_t *l, ngx_uint_t n);


#endif /* _NGX_RF_COLL_INTERNAL_H_INCLUDED_ */
