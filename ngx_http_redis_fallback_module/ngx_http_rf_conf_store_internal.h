/*
 * What the two files of the store's block share: the block as it is read, and
 * the table of its lines.
 */

#ifndef _NGX_HTTP_RF_CONF_STORE_INTERNAL_H_INCLUDED_
#define _NGX_HTTP_RF_CONF_STORE_INTERNAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_rf.h"


typedef struct ngx_http_rf_store_line_s  ngx_http_rf_store_line_t;

typedef struct {
    ngx_rf_store_conf_t         store;
    uint64_t                    seen;       /* a bit for each line */
    ngx_uint_t                  path_off;
    ngx_uint_t                  secrets;    /* password, password_file */
    ngx_http_rf_main_conf_t    *main;
} ngx_http_rf_store_block_t;

typedef char *(*ngx_http_rf_store_set_pt)(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);

struct ngx_http_rf_store_line_s {
    ngx_str_t                   name;
    ngx_uint_t                  max;        /* arguments; at least 1 */
    ngx_http_rf_store_set_pt    set;
    size_t                      offset;     /* in ngx_rf_store_conf_t */
    ngx_int_t                   least;      /* of a number */
    const ngx_conf_enum_t      *words;
};


/* ends with an empty name */
extern const ngx_http_rf_store_line_t  ngx_http_rf_conf_store_lines[];


char *ngx_http_rf_conf_store_address(ngx_conf_t *cf,
    ngx_rf_redis_conf_t *redis, ngx_str_t *address);

/* completes a path against the prefix; leaves out empty parts and ".", so that
 * one path has one name */
char *ngx_http_rf_conf_store_full_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, ngx_str_t *given);


#endif /* _NGX_HTTP_RF_CONF_STORE_INTERNAL_H_INCLUDED_ */
