/*
 * redis_fallback_set, and the variables $redis_fallback_mode, _tier and
 * _result.
 *
 * Guarantees: the commands of a server or a location run before its own "set"
 * and "if", in order, without blocking, and those that do not depend on each
 * other travel together; a command that fails leaves an empty variable and a
 * line in the log, never a failed request.
 *
 * Refuses to know: tiers and modes.
 */

#ifndef _NGX_HTTP_RF_VARIABLE_H_INCLUDED_
#define _NGX_HTTP_RF_VARIABLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* before the configuration is read: adds the three variables */
ngx_int_t ngx_http_rf_variable_add(ngx_conf_t *cf);

/* after it was read: adds the phase handlers */
ngx_int_t ngx_http_rf_variable_init(ngx_conf_t *cf);

/* get_handler of a variable that redis_fallback_set defines: not found, until
 * the command has run */
ngx_int_t ngx_http_rf_variable_unset(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);

/* when all of the configuration was read: which of the sets have to wait for
 * those before them; "sets" are of ngx_http_rf_set_t */
void ngx_http_rf_variable_order(ngx_conf_t *cf, ngx_array_t *sets);


#endif /* _NGX_HTTP_RF_VARIABLE_H_INCLUDED_ */
