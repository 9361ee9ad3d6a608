/*
 * The grammar of the directives of http, server and location, and how they are
 * inherited.  That of a store's block is in ngx_http_rf_conf_store.
 */

#ifndef _NGX_HTTP_RF_CONF_H_INCLUDED_
#define _NGX_HTTP_RF_CONF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


extern ngx_command_t  ngx_http_rf_conf_commands[];


void *ngx_http_rf_conf_create_main(ngx_conf_t *cf);
/* finds the stores that were named, now that all are known */
char *ngx_http_rf_conf_init_main(ngx_conf_t *cf, void *conf);
void *ngx_http_rf_conf_create_loc(ngx_conf_t *cf);
char *ngx_http_rf_conf_merge_loc(ngx_conf_t *cf, void *parent, void *child);


#endif /* _NGX_HTTP_RF_CONF_H_INCLUDED_ */
