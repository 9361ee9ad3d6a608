/*
 * Rules are few and short: they are walked for each command.
 */

#include "ngx_rf_command.h"
#include "ngx_rf_command_rules.h"


static ngx_uint_t ngx_rf_command_default(const ngx_rf_command_t *command);
static ngx_uint_t ngx_rf_command_concerns(ngx_rf_command_rule_t *rule,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv);


static ngx_str_t  ngx_rf_command_all = ngx_string("all");
static ngx_str_t  ngx_rf_command_pubsub = ngx_string("pubsub");


ngx_int_t
ngx_rf_command_rule(ngx_rf_command_rule_t *rule, ngx_str_t *text,
    const char **err)
{
    u_char     *p;
    ngx_str_t   name;

    ngx_memzero(rule, sizeof(ngx_rf_command_rule_t));

    if (text->len == 11 && ngx_strncmp(text->data, "allcommands", 11) == 0) {
        rule->allow = 1;
        rule->categories = ngx_rf_command_category(&ngx_rf_command_all);
        return NGX_OK;
    }

    if (text->len == 10 && ngx_strncmp(text->data, "nocommands", 10) == 0) {
        rule->categories = ngx_rf_command_category(&ngx_rf_command_all);
        return NGX_OK;
    }

    if (text->len < 2 || (text->data[0] != '+' && text->data[0] != '-')) {
        *err = "it must begin with \"+\" or \"-\"";
        return NGX_DECLINED;
    }

    rule->allow = (text->data[0] == '+');

    name.data = text->data + 1;
    name.len = text->len - 1;

    if (name.data[0] == '@') {
        name.data++;
        name.len--;

        rule->categories = ngx_rf_command_category(&name);

        if (rule->categories == 0) {
            *err = "there is no such category";
            return NGX_DECLINED;
        }

        return NGX_OK;
    }

    p = ngx_strlchr(name.data, name.data + name.len, '|');

    if (p) {
        rule->subcommand.data = p + 1;
        rule->subcommand.len = name.data + name.len - (p + 1);
        name.len = p - name.data;

        if (rule->subcommand.len == 0) {
            *err = "there is nothing behind the \"|\"";
            return NGX_DECLINED;
        }
    }

    rule->command = ngx_rf_command_find(&name);

    if (rule->command == NULL) {
        *err = "there is no such command";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_rf_command_allowed(ngx_rf_command_rule_t *rules, ngx_uint_t n,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_uint_t  i;

    for (i = n; i > 0; i--) {

        if (ngx_rf_command_concerns(&rules[i - 1], command, argc, argv)) {
            return rules[i - 1].allow;
        }
    }

    if (n && rules[0].allow) {
        return 0;
    }

    return ngx_rf_command_default(command);
}


static ngx_uint_t
ngx_rf_command_concerns(ngx_rf_command_rule_t *rule,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv)
{
    if (rule->command == NULL) {
        return (rule->categories & ngx_rf_command_categories(command)) != 0;
    }

    if (rule->command != command) {
        return 0;
    }

    if (rule->subcommand.len == 0) {
        return 1;
    }

    return argc > 1
           && argv[1].len == rule->subcommand.len
           && ngx_strncasecmp(argv[1].data, rule->subcommand.data,
                              argv[1].len)
              == 0;
}


static ngx_uint_t
ngx_rf_command_default(const ngx_rf_command_t *command)
{
    ngx_uint_t  i;

    static ngx_str_t  empties[] = {
        ngx_string("flushall"),
        ngx_string("flushdb"),
        ngx_string("swapdb"),
        ngx_null_string
    };

    if (!(command->flags
          & (NGX_RF_CMD_READ|NGX_RF_CMD_WRITE|NGX_RF_CMD_SERVER))
        || (command->flags & (NGX_RF_CMD_ADMIN|NGX_RF_CMD_REFUSED))
        || (ngx_rf_command_categories(command)
            & ngx_rf_command_category(&ngx_rf_command_pubsub)))
    {
        return 0;
    }

    for (i = 0; empties[i].len; i++) {

        if (command->name.len == empties[i].len
            && ngx_memcmp(command->name.data, empties[i].data,
                          empties[i].len)
               == 0)
        {
            return 0;
        }
    }

    return 1;
}
