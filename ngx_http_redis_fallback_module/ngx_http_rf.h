/*
 * Shared types of the http glue: what the configuration says, and what the
 * features read.  No prototypes.
 *
 * The layer of the features reads these and never writes them; the layer of
 * the configuration fills them and never reads a request.
 */

#ifndef _NGX_HTTP_RF_H_INCLUDED_
#define _NGX_HTTP_RF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_rf_command_rules.h"
#include "ngx_rf_store.h"


#define NGX_HTTP_RF_STATUS_ANY         0  /* the request says */
#define NGX_HTTP_RF_STATUS_JSON        1
#define NGX_HTTP_RF_STATUS_PROMETHEUS  2


/* where a directive stands, for errors found after it was read */

typedef struct {
    ngx_str_t                   file;
    ngx_uint_t                  line;
} ngx_http_rf_place_t;


typedef struct {
    ngx_str_t                   name;
    ngx_str_t                   path;       /* empty: path off */
    ngx_rf_store_t             *store;
    struct ngx_rf_recovery_s   *recovery;   /* of this worker */
} ngx_http_rf_store_t;


/* a store was named: it may be defined further down */

typedef struct {
    ngx_str_t                   name;
    ngx_rf_store_t            **store;      /* to be set */
    ngx_http_rf_place_t         place;
} ngx_http_rf_ref_t;


typedef struct {
    ngx_array_t                 stores;     /* ngx_http_rf_store_t */
    ngx_array_t                 refs;       /* ngx_http_rf_ref_t */
    ngx_rf_store_t             *only;       /* NULL: none, or several */
} ngx_http_rf_main_conf_t;


/* one redis_fallback_set */

typedef struct {
    ngx_str_t                   name;       /* without "$", lower case */
    ngx_int_t                   index;
    ngx_http_set_variable_pt    set_handler;
    uintptr_t                   data;       /* of set_handler */
    ngx_uint_t                  argc;
    ngx_http_complex_value_t   *argv;       /* with the command's name */
    unsigned                    write:1;
    unsigned                    wait:1;     /* its arguments may depend on those
                                               before it */
} ngx_http_rf_set_t;


/* a redis_fallback_command or redis_fallback_exec */

typedef struct {
    ngx_uint_t                  argc;
    ngx_http_complex_value_t   *argv;       /* with the command's name */
} ngx_http_rf_args_t;


typedef struct {
    ngx_rf_store_t             *store;
    ngx_rf_store_t             *content_store;  /* of _pass or _api */
    ngx_http_complex_value_t   *key;
    ngx_http_complex_value_t   *ttl;
    ngx_uint_t                  outage;     /* NGX_RF_OUTAGE_* */
    ngx_flag_t                  lock;
    ngx_uint_t                  unknown;    /* http status */
    ngx_array_t                *sets;       /* ngx_http_rf_set_t */
    ngx_array_t                *execs;      /* ngx_http_rf_args_t */
    ngx_http_rf_args_t         *command;    /* of redis_fallback_command */
    ngx_uint_t                  status;     /* NGX_HTTP_RF_STATUS_* */
    ngx_str_t                   token;      /* of redis_fallback_api; len 0: */
    ngx_str_t                   read_only_token;    /* none */
    ngx_array_t                *rules;      /* ngx_rf_command_rule_t; NULL:
                                               the default */

    ngx_str_t                   prefix;     /* of the key's default: the name
                                               of a prefix location */
    unsigned                    has_prefix:1;
    unsigned                    has_store:1;

    ngx_http_handler_pt         content;    /* ours; NULL: none */
    const char                 *content_name;   /* of its directive */
    ngx_http_rf_place_t         content_place;
    ngx_http_rf_place_t         set_place;
    ngx_http_rf_place_t         exec_place;
} ngx_http_rf_loc_conf_t;


extern ngx_module_t  ngx_http_redis_fallback_module;


#endif /* _NGX_HTTP_RF_H_INCLUDED_ */
