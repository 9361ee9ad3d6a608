/*
 * redis_fallback_api: commands over HTTP and JSON, by the REST protocol of
 * Upstash, so that its clients work with it.
 *
 * Guarantees: tokens are compared in constant time, and are in no line of the
 * logs; a command runs only if the rules and the token allow it; a batch
 * is bounded, its answer has an element for each of its commands; /multi-exec
 * happens as one or not at all.
 *
 * Refuses to know: tiers and modes.
 */

#ifndef _NGX_HTTP_RF_API_H_INCLUDED_
#define _NGX_HTTP_RF_API_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* the content handler */
ngx_int_t ngx_http_rf_api_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_RF_API_H_INCLUDED_ */
