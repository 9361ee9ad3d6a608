/*
 * What the files of the locations' grammar share.
 */

#ifndef _NGX_HTTP_RF_CONF_INTERNAL_H_INCLUDED_
#define _NGX_HTTP_RF_CONF_INTERNAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"


/* ngx_http_rf_conf.c */

void ngx_http_rf_conf_place(ngx_conf_t *cf, ngx_http_rf_place_t *place);

/* *store is set once all stores are known */
char *ngx_http_rf_conf_ref(ngx_conf_t *cf, ngx_str_t *name,
    ngx_rf_store_t **store);

/* the location's content handler, of which there can be one */
char *ngx_http_rf_conf_content(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_rf_loc_conf_t *lcf, ngx_http_handler_pt handler);


/* ngx_http_rf_conf_command.c: handlers of directives that have commands */

char *ngx_http_rf_conf_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_rf_conf_command(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_rf_conf_exec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_rf_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_rf_conf_rules(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


#endif /* _NGX_HTTP_RF_CONF_INTERNAL_H_INCLUDED_ */
