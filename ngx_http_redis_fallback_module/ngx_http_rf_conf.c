/*
 * A store may be named before it is defined.  So a directive only notes where
 * the store's pointer belongs; when all of http { } was read, init_main() fills
 * these in, and after it the locations are merged.  Errors found that late name
 * the line of the directive that caused them.
 *
 * Inherited are: redis_fallback, _key, _ttl, _outage.  Not inherited are the
 * content handlers and redis_fallback_set, except that "if" and limit_except
 * are parts of their location: they take its content handler, and its name for
 * the key's default.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_conf.h"
#include "ngx_http_rf_conf_store.h"
#include "ngx_http_rf_kv.h"
#include "ngx_http_rf_status.h"
#include "ngx_http_rf_variable.h"


static char *ngx_http_rf_conf_store(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_rf_conf_pass(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_rf_conf_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_rf_conf_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_rf_conf_set_command(ngx_conf_t *cf,
    ngx_http_rf_set_t *set);
static char *ngx_http_rf_conf_set_variable(ngx_conf_t *cf,
    ngx_http_rf_set_t *set, ngx_str_t *name);
static char *ngx_http_rf_conf_outage(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

static void ngx_http_rf_conf_place(ngx_conf_t *cf, ngx_http_rf_place_t *place);
static char *ngx_http_rf_conf_ref(ngx_conf_t *cf, ngx_str_t *name,
    ngx_rf_store_t **store);
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
     *     conf->pass_store = NULL;
     *     conf->key = NULL;
     *     conf->ttl = NULL;
     *     conf->sets = NULL;
     *     conf->status = NGX_HTTP_RF_STATUS_ANY;
     *     conf->prefix = { 0, NULL };
     *     conf->has_... = 0;
     */

    conf->outage = NGX_CONF_UNSET_UINT;
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

        if (!conf->has_pass && !conf->has_status) {
            conf->has_pass = prev->has_pass;
            conf->pass_store = prev->pass_store;
            conf->pass_place = prev->pass_place;
            conf->has_status = prev->has_status;
            conf->status = prev->status;
        }

        if (clcf->lmt_excpt && clcf->handler == NULL) {

            if (conf->has_pass) {
                clcf->handler = ngx_http_rf_kv_handler;

            } else if (conf->has_status) {
                clcf->handler = ngx_http_rf_status_handler;
            }
        }
    }

    if (conf->pass_store == NULL) {
        conf->pass_store = conf->store;
    }
}


static char *
ngx_http_rf_conf_check(ngx_conf_t *cf, ngx_http_rf_loc_conf_t *conf)
{
    if (conf->has_pass) {

        if (conf->pass_store == NULL) {
            return ngx_http_rf_conf_no_store(cf, "redis_fallback_pass",
                                             &conf->pass_place);
        }

        if (conf->key == NULL && !conf->has_prefix) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"redis_fallback_pass\" needs "
                          "\"redis_fallback_key\" in a location that is not "
                          "a prefix, in %V:%ui",
                          &conf->pass_place.file, conf->pass_place.line);
            return NGX_CONF_ERROR;
        }
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


static void
ngx_http_rf_conf_place(ngx_conf_t *cf, ngx_http_rf_place_t *place)
{
    place->file = cf->conf_file->file.name;
    place->line = cf->conf_file->line;
}


/* *store is set once all stores are known */

static char *
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


static char *
ngx_http_rf_conf_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (lcf->has_pass) {
        return "is duplicate";
    }

    if (lcf->has_status) {
        return "contradicts \"redis_fallback_status\" of the same location";
    }

    lcf->has_pass = 1;
    ngx_http_rf_conf_place(cf, &lcf->pass_place);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_rf_kv_handler;

    if (cf->args->nelts == 1) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    return ngx_http_rf_conf_ref(cf, &value[1], &lcf->pass_store);
}


static char *
ngx_http_rf_conf_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (lcf->has_status) {
        return "is duplicate";
    }

    if (lcf->has_pass) {
        return "contradicts \"redis_fallback_pass\" of the same location";
    }

    if (cf->args->nelts == 2) {
        value = cf->args->elts;

        if (ngx_strcmp(value[1].data, "json") == 0) {
            lcf->status = NGX_HTTP_RF_STATUS_JSON;

        } else if (ngx_strcmp(value[1].data, "prometheus") == 0) {
            lcf->status = NGX_HTTP_RF_STATUS_PROMETHEUS;

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" in \"%V\" directive: "
                               "it must be \"json\" or \"prometheus\"",
                               &value[1], &cmd->name);
            return NGX_CONF_ERROR;
        }
    }

    lcf->has_status = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_rf_status_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    ngx_str_t          *value;
    ngx_http_rf_set_t  *set;

    value = cf->args->elts;

    if (lcf->sets == NULL) {
        lcf->sets = ngx_array_create(cf->pool, 4, sizeof(ngx_http_rf_set_t));
        if (lcf->sets == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_http_rf_conf_place(cf, &lcf->set_place);
    }

    set = ngx_array_push(lcf->sets);
    if (set == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(set, sizeof(ngx_http_rf_set_t));

    if (ngx_http_rf_conf_set_command(cf, set) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_rf_conf_set_variable(cf, set, &value[1]);
}


static char *
ngx_http_rf_conf_set_command(ngx_conf_t *cf, ngx_http_rf_set_t *set)
{
    ngx_str_t                         *value, err;
    ngx_uint_t                         i;
    ngx_http_compile_complex_value_t   ccv;

    value = cf->args->elts;
    value += 2;

    set->argc = cf->args->nelts - 2;

    if (ngx_http_script_variables_count(&value[0])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the command \"%V\" of \"redis_fallback_set\" "
                           "cannot have variables", &value[0]);
        return NGX_CONF_ERROR;
    }

    if (ngx_rf_store_check(cf->pool, set->argc, value, &err) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid command \"%V\" in \"redis_fallback_set\" "
                           "directive: %V", &value[0], &err);
        return NGX_CONF_ERROR;
    }

    set->write = ngx_rf_store_is_write(&value[0]) ? 1 : 0;

    set->argv = ngx_pcalloc(cf->pool,
                            set->argc * sizeof(ngx_http_complex_value_t));
    if (set->argv == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < set->argc; i++) {
        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = &set->argv[i];

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_set_variable(ngx_conf_t *cf, ngx_http_rf_set_t *set,
    ngx_str_t *name)
{
    ngx_http_variable_t  *v;

    if (name->len < 2 || name->data[0] != '$') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid variable name \"%V\" in "
                           "\"redis_fallback_set\" directive", name);
        return NGX_CONF_ERROR;
    }

    name->len--;
    name->data++;

    v = ngx_http_add_variable(cf, name,
                              NGX_HTTP_VAR_CHANGEABLE|NGX_HTTP_VAR_WEAK);
    if (v == NULL) {
        return NGX_CONF_ERROR;
    }

    set->index = ngx_http_get_variable_index(cf, name);
    if (set->index == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (v->get_handler == NULL) {
        v->get_handler = ngx_http_rf_variable_unset;
    }

    set->name = v->name;
    set->set_handler = v->set_handler;
    set->data = v->data;

    return NGX_CONF_OK;
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
