/*
 * redis_fallback_pass: a location that is a key/value resource.  GET, HEAD,
 * PUT, POST and DELETE become GET, SET and DEL of one key.
 *
 * Guarantees: keys and values byte for byte; a refusal or failure is a status,
 * so that error_page works; works in subrequests.
 *
 * Refuses to know: tiers and modes.
 */

#ifndef _NGX_HTTP_RF_KV_H_INCLUDED_
#define _NGX_HTTP_RF_KV_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* the content handler */
ngx_int_t ngx_http_rf_kv_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_RF_KV_H_INCLUDED_ */
