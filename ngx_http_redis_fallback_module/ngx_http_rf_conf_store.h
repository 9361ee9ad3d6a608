/*
 * The grammar of redis_fallback_store { }: each line of the block, its
 * default, and what contradicts what.
 */

#ifndef _NGX_HTTP_RF_CONF_STORE_H_INCLUDED_
#define _NGX_HTTP_RF_CONF_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* handler of the directive; conf is the ngx_http_rf_main_conf_t, to which it
 * adds the store */
char *ngx_http_rf_conf_store_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_RF_CONF_STORE_H_INCLUDED_ */
