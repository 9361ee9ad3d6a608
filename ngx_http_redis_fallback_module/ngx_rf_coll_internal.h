/* What the files of this room share. */

#ifndef _NGX_RF_COLL_INTERNAL_H_INCLUDED_
#define _NGX_RF_COLL_INTERNAL_H_INCLUDED_


#include "ngx_rf_coll.h"


/* what has been noted for Redis becomes a change; what follows is the next */
ngx_int_t ngx_rf_coll_flush(ngx_rf_local_t *l, ngx_rf_coll_t *c);


#endif /* _NGX_RF_COLL_INTERNAL_H_INCLUDED_ */
