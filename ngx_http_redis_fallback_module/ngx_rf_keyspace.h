/*
 * Commands about keys whatever they hold: DEL, EXPIRE, RENAME, SCAN, ...
 * Their handlers are reached through ngx_rf_keyspace_handler().
 */

#ifndef _NGX_RF_KEYSPACE_H_INCLUDED_
#define _NGX_RF_KEYSPACE_H_INCLUDED_


#include "ngx_rf.h"


/* Redis' glob: * ? [a-z] [^a] \x; bytes, no locale */
ngx_uint_t ngx_rf_keyspace_match(ngx_str_t *pattern, ngx_str_t *str);


#endif /* _NGX_RF_KEYSPACE_H_INCLUDED_ */
