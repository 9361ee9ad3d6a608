/*
 * redis_fallback_command: a location that answers with the reply to one
 * command.  redis_fallback_exec: commands that run when the response was sent.
 *
 * Guarantees: a refusal or failure of a content handler's command is a status,
 * so that error_page works; a command of redis_fallback_exec outlives its
 * request, and its failure is one line in the log.
 *
 * Refuses to know: tiers and modes.
 */

#ifndef _NGX_HTTP_RF_COMMAND_H_INCLUDED_
#define _NGX_HTTP_RF_COMMAND_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* the content handler */
ngx_int_t ngx_http_rf_command_handler(ngx_http_request_t *r);

/* after the configuration was read: adds the log phase's handler */
ngx_int_t ngx_http_rf_command_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_RF_COMMAND_H_INCLUDED_ */
