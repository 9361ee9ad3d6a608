/*
 * A store may be named before it is defined.  So a directive only notes where
 * the store's pointer belongs; when all of http { } was read, init_main() fills
 * these in, and after it the locations are merged.  Errors found that late name
 * the line of the directive that caused them.
 *
 * Inherited are: redis_fallback, _key, _ttl, _commands, _outage, _lock.  Not
 * inherited are the content handlers, redis_fallback_set and
 * redis_fallback_exec, except that "if" and limit_except are parts of their
 * location: they take its content handler, its commands to be executed, and its
 * name for the key's default.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_conf.h"
#include "ngx_http_rf_conf_internal.h"
#include "ngx_http_rf_conf_store.h"
#include "ngx_http_rf_api.h"
#include "ngx_http_rf_kv.h"
#include "ngx_http_rf_status.h"
#include "ngx_http_rf_variable.h"


static char *ngx_http_rf_conf_store(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_rf_conf_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_rf_conf_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_rf_conf_outage(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

static void ngx_http_rf_conf_merge_content(ngx_conf_t *cf,
    ngx_http_rf_loc_conf_t *prev, ngx_http_rf_loc_conf_t *conf);
static char *ngx_http_rf_conf_check(ngx_conf_t *cf,
    ngx_http_rf_loc_conf_t *conf);
static char *ngx_http_rf_conf_no_store(ngx_conf_t *cf, const char *directive,
    ngx_http_rf_place_t *place);


ngx_command_t  ngx_http_rf_conf_commands[] = {

    { ngx_string("redis_fallback_store"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_rf_conf_store_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_rf_conf_store,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_pass"),
      NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_HTTP_LMT_CONF
                       |NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_rf_conf_pass,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_rf_loc_conf_t, key),
      NULL },

    { ngx_string("redis_fallback_ttl"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_rf_loc_conf_t, ttl),
      NULL },

    { ngx_string("redis_fallback_set"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_http_rf_conf_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_command"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_rf_conf_command,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_exec"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_rf_conf_exec,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_ANY,
      ngx_http_rf_conf_api,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_commands"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_rf_conf_rules,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_lock"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_rf_loc_conf_t, lock),
      NULL },

    { ngx_string("redis_fallback_outage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_rf_conf_outage,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("redis_fallback_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_rf_conf_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


void *
ngx_http_rf_conf_create_main(ngx_conf_t *cf)
{
    ngx_http_rf_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_rf_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->stores, cf->pool, 4, sizeof(ngx_http_rf_store_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&mcf->refs, cf->pool, 4, sizeof(ngx_http_rf_ref_t))
        != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


char *
ngx_http_rf_conf_init_main(ngx_conf_t *cf, void *conf)
{
    ngx_http_rf_main_conf_t  *mcf = conf;

    ngx_uint_t            i, j;
    ngx_http_rf_ref_t    *ref;
    ngx_http_rf_store_t  *stores;

    stores = mcf->stores.elts;

    if (mcf->stores.nelts == 1) {
        mcf->only = stores[0].store;
    }

    ref = mcf->refs.elts;

    for (i = 0; i < mcf->refs.nelts; i++) {

        for (j = 0; j < mcf->stores.nelts; j++) {

            if (ref[i].name.len == stores[j].name.len
                && ngx_strncmp(ref[i].name.data, stores[j].name.data,
                               stores[j].name.len)
                   == 0)
            {
                *ref[i].store = stores[j].store;
                break;
            }
        }

        if (j == mcf->stores.nelts) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown redis_fallback_store \"%V\" in %V:%ui",
                          &ref[i].name, &ref[i].place.file,
                          ref[i].place.line);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


void *
ngx_http_rf_conf_create_loc(ngx_conf_t *cf)
{
    ngx_http_rf_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_rf_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->store = NULL;
     *     conf->content_store = NULL;
     *     conf->key = NULL;
     *     conf->ttl = NULL;
     *     conf->sets = NULL;
     *     conf->execs = NULL;
     *     conf->command = NULL;
     *     conf->status = NGX_HTTP_RF_STATUS_ANY;
     *     conf->token = { 0, NULL };
     *     conf->read_only_token = { 0, NULL };
     *     conf->rules = NULL;
     *     conf->content = NULL;
     *     conf->prefix = { 0, NULL };
     *     conf->has_... = 0;
     */

    conf->outage = NGX_CONF_UNSET_UINT;
    conf->lock = NGX_CONF_UNSET;
    conf->unknown = NGX_CONF_UNSET_UINT;

    return conf;
}


char *
ngx_http_rf_conf_merge_loc(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_rf_loc_conf_t *prev = parent;
    ngx_http_rf_loc_conf_t *conf = child;

    ngx_http_rf_main_conf_t  *mcf;

    if (conf->store == NULL) {
        mcf = ngx_http_conf_get_module_main_conf(cf,
                                               ngx_http_redis_fallback_module);

        conf->store = prev->store ? prev->store : mcf->only;
    }

    if (conf->key == NULL) {
        conf->key = prev->key;
    }

    if (conf->ttl == NULL) {
        conf->ttl = prev->ttl;
    }

    if (conf->rules == NULL) {
        conf->rules = prev->rules;
    }

    ngx_conf_merge_value(conf->lock, prev->lock, 0);
    ngx_conf_merge_uint_value(conf->outage, prev->outage,
                              NGX_RF_OUTAGE_LOCAL);
    ngx_conf_merge_uint_value(conf->unknown, prev->unknown,
                              NGX_HTTP_NOT_FOUND);

    ngx_http_rf_conf_merge_content(cf, prev, conf);

    return ngx_http_rf_conf_check(cf, conf);
}


static void
ngx_http_rf_conf_merge_content(ngx_conf_t *cf, ngx_http_rf_loc_conf_t *prev,
    ngx_http_rf_loc_conf_t *conf)
{
    ngx_uint_t                 prefix;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (!clcf->noname) {
        prefix = !clcf->named && !clcf->exact_match;

#if (NGX_PCRE)
        if (clcf->regex) {
            prefix = 0;
        }
#endif

        conf->prefix = clcf->name;
        conf->has_prefix = prefix;

    } else {

        /* "if" and limit_except */

        conf->prefix = prev->prefix;
        conf->has_prefix = prev->has_prefix;

        conf->execs = prev->execs;

        if (conf->content == NULL) {
            conf->content = prev->content;
            conf->content_name = prev->content_name;
            conf->content_store = prev->content_store;
            conf->content_place = prev->content_place;
            conf->command = prev->command;
            conf->status = prev->status;
            conf->token = prev->token;
            conf->read_only_token = prev->read_only_token;
        }

        if (clcf->lmt_excpt && clcf->handler == NULL) {
            clcf->handler = conf->content;
        }
    }

    if (conf->content_store == NULL) {
        conf->content_store = conf->store;
    }
}


static char *
ngx_http_rf_conf_check(ngx_conf_t *cf, ngx_http_rf_loc_conf_t *conf)
{
    if (conf->content && conf->content != ngx_http_rf_status_handler
        && conf->content_store == NULL)
    {
        return ngx_http_rf_conf_no_store(cf, conf->content_name,
                                         &conf->content_place);
    }

    if (conf->content == ngx_http_rf_kv_handler
        && conf->key == NULL && !conf->has_prefix)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"redis_fallback_pass\" needs \"redis_fallback_key\" in "
                      "a location that is not a prefix, in %V:%ui",
                      &conf->content_place.file, conf->content_place.line);
        return NGX_CONF_ERROR;
    }

    if (conf->content == ngx_http_rf_api_handler && !conf->has_prefix) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"redis_fallback_api\" needs a location that is a "
                      "prefix, in %V:%ui",
                      &conf->content_place.file, conf->content_place.line);
        return NGX_CONF_ERROR;
    }

    if (conf->execs && conf->store == NULL) {
        return ngx_http_rf_conf_no_store(cf, "redis_fallback_exec",
                                         &conf->exec_place);
    }

    if (conf->sets) {

        if (conf->store == NULL) {
            return ngx_http_rf_conf_no_store(cf, "redis_fallback_set",
                                             &conf->set_place);
        }

        ngx_http_rf_variable_order(cf, conf->sets);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_no_store(ngx_conf_t *cf, const char *directive,
    ngx_http_rf_place_t *place)
{
    ngx_http_rf_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_redis_fallback_module);

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%s\" needs %s in %V:%ui", directive,
                  mcf->stores.nelts ? "\"redis_fallback\": there are several "
                                      "stores"
                                    : "a \"redis_fallback_store\"",
                  &place->file, place->line);

    return NGX_CONF_ERROR;
}


void
ngx_http_rf_conf_place(ngx_conf_t *cf, ngx_http_rf_place_t *place)
{
    place->file = cf->conf_file->file.name;
    place->line = cf->conf_file->line;
}


char *
ngx_http_rf_conf_ref(ngx_conf_t *cf, ngx_str_t *name, ngx_rf_store_t **store)
{
    ngx_http_rf_ref_t        *ref;
    ngx_http_rf_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_redis_fallback_module);

    ref = ngx_array_push(&mcf->refs);
    if (ref == NULL) {
        return NGX_CONF_ERROR;
    }

    ref->name = *name;
    ref->store = store;
    ngx_http_rf_conf_place(cf, &ref->place);

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->has_store) {
        return "is duplicate";
    }

    lcf->has_store = 1;

    value = cf->args->elts;

    return ngx_http_rf_conf_ref(cf, &value[1], &lcf->store);
}


char *
ngx_http_rf_conf_content(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_rf_loc_conf_t *lcf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    if (lcf->content == handler) {
        return "is duplicate";
    }

    if (lcf->content) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" directive contradicts \"%s\" of the same "
                           "location", &cmd->name, lcf->content_name);
        return NGX_CONF_ERROR;
    }

    lcf->content = handler;
    lcf->content_name = (char *) cmd->name.data;
    ngx_http_rf_conf_place(cf, &lcf->content_place);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    char       *rv;
    ngx_str_t  *value;

    rv = ngx_http_rf_conf_content(cf, cmd, lcf, ngx_http_rf_kv_handler);

    if (rv != NGX_CONF_OK || cf->args->nelts == 1) {
        return rv;
    }

    value = cf->args->elts;

    return ngx_http_rf_conf_ref(cf, &value[1], &lcf->content_store);
}


static char *
ngx_http_rf_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    char       *rv;
    ngx_str_t  *value;

    rv = ngx_http_rf_conf_content(cf, cmd, lcf, ngx_http_rf_status_handler);

    if (rv != NGX_CONF_OK || cf->args->nelts == 1) {
        return rv;
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "json") == 0) {
        lcf->status = NGX_HTTP_RF_STATUS_JSON;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "prometheus") == 0) {
        lcf->status = NGX_HTTP_RF_STATUS_PROMETHEUS;
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive: it must be "
                       "\"json\" or \"prometheus\"",
                       &value[1], &cmd->name);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_rf_conf_outage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    ngx_int_t   code;
    ngx_str_t  *value;

    if (lcf->outage != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "local") == 0) {
        lcf->outage = NGX_RF_OUTAGE_LOCAL;

    } else if (ngx_strcmp(value[1].data, "read_only") == 0) {
        lcf->outage = NGX_RF_OUTAGE_READ_ONLY;

    } else if (ngx_strcmp(value[1].data, "reject") == 0) {
        lcf->outage = NGX_RF_OUTAGE_REJECT;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive: it must "
                           "be \"local\", \"read_only\" or \"reject\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    /* the directive is inherited as a whole */

    lcf->unknown = NGX_HTTP_NOT_FOUND;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    code = NGX_ERROR;

    if (value[2].len > 8 && ngx_strncmp(value[2].data, "unknown=", 8) == 0) {
        code = ngx_atoi(value[2].data + 8, value[2].len - 8);
    }

    if (code < 200 || code > 599) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\" directive: it must "
                           "be \"unknown=\" and a status from 200 to 599",
                           &value[2], &cmd->name);
        return NGX_CONF_ERROR;
    }

    lcf->unknown = code;

    return NGX_CONF_OK;
}
