/*
 * Which commands may be run: the command rules of Redis' ACLs, "+get",
 * "-flushall", "+@read", "-@dangerous", "+config|get", "allcommands",
 * "nocommands".  Pure.
 */

#ifndef _NGX_RF_COMMAND_RULES_H_INCLUDED_
#define _NGX_RF_COMMAND_RULES_H_INCLUDED_


#include "ngx_rf.h"


typedef struct {
    ngx_uint_t                allow;
    const ngx_rf_command_t   *command;      /* NULL: a category */
    ngx_str_t                 subcommand;   /* len 0: all of the command */
    uint32_t                  categories;
} ngx_rf_command_rule_t;


/* NGX_OK, or NGX_DECLINED with what is wrong in *err, a constant.  The rule
 * refers to the text */
ngx_int_t ngx_rf_command_rule(ngx_rf_command_rule_t *rule, ngx_str_t *text,
    const char **err);

/*
 * Whether the rules allow a command, the last one that is about it deciding.
 * Rules that begin with a "-" begin with what is allowed without any: the
 * commands that read or write data, PING, ECHO and TIME; not those that
 * administrate, empty a database, block, publish or subscribe.  Rules that
 * begin with a "+" begin with nothing.
 */
ngx_uint_t ngx_rf_command_allowed(ngx_rf_command_rule_t *rules, ngx_uint_t n,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv);


#endif /* _NGX_RF_COMMAND_RULES_H_INCLUDED_ */
