/*
 * redis_fallback_status: state and counters of all stores, as JSON or as
 * Prometheus text (version 0.0.4).
 *
 * Refuses to know: where the figures come from.
 */

#ifndef _NGX_HTTP_RF_STATUS_H_INCLUDED_
#define _NGX_HTTP_RF_STATUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* the content handler */
ngx_int_t ngx_http_rf_status_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_RF_STATUS_H_INCLUDED_ */
