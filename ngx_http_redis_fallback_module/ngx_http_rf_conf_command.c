/*
 * The directives that have commands in them: redis_fallback_set, _command and
 * _exec, which have one each, and redis_fallback_api and _commands, which say
 * what clients may run.
 *
 * Guarantees: a command whose name or number of arguments is wrong is found
 * here; a token is in no message.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_api.h"
#include "ngx_http_rf_command.h"
#include "ngx_http_rf_conf_internal.h"
#include "ngx_http_rf_variable.h"


static char *ngx_http_rf_conf_args(ngx_conf_t *cf, ngx_uint_t skip,
    ngx_http_rf_args_t *args);
static char *ngx_http_rf_conf_set_variable(ngx_conf_t *cf,
    ngx_http_rf_set_t *set, ngx_str_t *name);
static char *ngx_http_rf_conf_token(ngx_conf_t *cf, ngx_str_t *value,
    const char *name, ngx_str_t *token);


char *
ngx_http_rf_conf_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    ngx_str_t           *value;
    ngx_http_rf_set_t   *set;
    ngx_http_rf_args_t   args;

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

    if (ngx_http_rf_conf_args(cf, 2, &args) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    set->argc = args.argc;
    set->argv = args.argv;
    set->write = ngx_rf_store_is_write(&value[2]) ? 1 : 0;

    return ngx_http_rf_conf_set_variable(cf, set, &value[1]);
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


char *
ngx_http_rf_conf_command(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    char  *rv;

    rv = ngx_http_rf_conf_content(cf, cmd, lcf, ngx_http_rf_command_handler);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    lcf->command = ngx_palloc(cf->pool, sizeof(ngx_http_rf_args_t));
    if (lcf->command == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_rf_conf_args(cf, 1, lcf->command);
}


char *
ngx_http_rf_conf_exec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    ngx_http_rf_args_t  *args;

    if (lcf->execs == NULL) {
        lcf->execs = ngx_array_create(cf->pool, 2, sizeof(ngx_http_rf_args_t));
        if (lcf->execs == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_http_rf_conf_place(cf, &lcf->exec_place);
    }

    args = ngx_array_push(lcf->execs);
    if (args == NULL) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_rf_conf_args(cf, 1, args);
}


/* the command that begins behind the first "skip" words of the directive */

static char *
ngx_http_rf_conf_args(ngx_conf_t *cf, ngx_uint_t skip,
    ngx_http_rf_args_t *args)
{
    ngx_str_t                         *value, *directive, err;
    ngx_uint_t                         i;
    ngx_http_compile_complex_value_t   ccv;

    directive = cf->args->elts;
    value = directive + skip;

    args->argc = cf->args->nelts - skip;

    if (ngx_http_script_variables_count(&value[0])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the command \"%V\" of \"%V\" cannot have "
                           "variables", &value[0], directive);
        return NGX_CONF_ERROR;
    }

    if (ngx_rf_store_check(cf->pool, args->argc, value, &err) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid command \"%V\" in \"%V\" directive: %V",
                           &value[0], directive, &err);
        return NGX_CONF_ERROR;
    }

    args->argv = ngx_pcalloc(cf->pool,
                             args->argc * sizeof(ngx_http_complex_value_t));
    if (args->argv == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < args->argc; i++) {
        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &value[i];
        ccv.complex_value = &args->argv[i];

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_rf_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    rv = ngx_http_rf_conf_content(cf, cmd, lcf, ngx_http_rf_api_handler);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "token=", 6) == 0) {
            rv = ngx_http_rf_conf_token(cf, &value[i], "token", &lcf->token);

        } else if (ngx_strncmp(value[i].data, "read_only_token=", 16) == 0) {
            rv = ngx_http_rf_conf_token(cf, &value[i], "read_only_token",
                                        &lcf->read_only_token);

        } else if (i == 1
                   && ngx_strlchr(value[i].data, value[i].data + value[i].len,
                                  '=')
                      == NULL)
        {
            rv = ngx_http_rf_conf_ref(cf, &value[i], &lcf->content_store);

        } else {

            /* it may be a token whose name is misspelled, so it is not shown */

            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter number %ui in \"%V\" "
                               "directive: it must be \"token=\" or "
                               "\"read_only_token=\"", i, &cmd->name);
            return NGX_CONF_ERROR;
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_token(ngx_conf_t *cf, ngx_str_t *value, const char *name,
    ngx_str_t *token)
{
    size_t  len;

    if (token->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate \"%s\" in "
                           "\"redis_fallback_api\" directive", name);
        return NGX_CONF_ERROR;
    }

    len = ngx_strlen(name) + 1;

    if (value->len == len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "empty \"%s\" in "
                           "\"redis_fallback_api\" directive", name);
        return NGX_CONF_ERROR;
    }

    token->data = value->data + len;
    token->len = value->len - len;

    return NGX_CONF_OK;
}


char *
ngx_http_rf_conf_rules(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_loc_conf_t  *lcf = conf;

    const char             *err;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_rf_command_rule_t  *rule;

    if (lcf->rules) {
        return "is duplicate";
    }

    lcf->rules = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                  sizeof(ngx_rf_command_rule_t));
    if (lcf->rules == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rule = ngx_array_push(lcf->rules);
        if (rule == NULL) {
            return NGX_CONF_ERROR;
        }

        if (ngx_rf_command_rule(rule, &value[i], &err) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid rule \"%V\" in \"%V\" directive: %s",
                               &value[i], &cmd->name, err);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}
