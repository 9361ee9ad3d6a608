/*
 * The command table: name, arity, where the keys are, read or write, whether
 * it may be repeated, and the checks of arguments that need no data.  Pure.
 */

#ifndef _NGX_RF_COMMAND_H_INCLUDED_
#define _NGX_RF_COMMAND_H_INCLUDED_


#include "ngx_rf.h"


/* by name in any case; NULL: no data command of Redis 7 has this name */
const ngx_rf_command_t *ngx_rf_command_find(ngx_str_t *name);

/*
 * Checks name, arity, and refusal (blocking, connection state).  NGX_OK sets
 * *command; NGX_ERROR sets *err to Redis' error line without '-', allocated in
 * the pool ("ERR unknown command 'foo', with args beginning with: 'a' 'b' ",
 * "ERR wrong number of arguments for 'get' command").
 */
ngx_int_t ngx_rf_command_check(ngx_pool_t *pool, ngx_uint_t argc,
    ngx_str_t *argv, const ngx_rf_command_t **command, ngx_str_t *err);

/* whether it reads elements of a collection that it names: from argv[2] on */
ngx_uint_t ngx_rf_command_by_element(ngx_rf_command_e id);

/* whether argv[i] is a key, by first, last and step */
ngx_uint_t ngx_rf_command_is_key(const ngx_rf_command_t *command,
    ngx_uint_t argc, ngx_uint_t i);

/*
 * Whether this very command may be sent again when its reply was lost: the
 * table's REPEAT, less SET with NX, XX or GET and their like.
 */
ngx_uint_t ngx_rf_command_repeatable(const ngx_rf_command_t *command,
    ngx_uint_t argc, ngx_str_t *argv);

/* whether it is a write that does the same whatever the key holds: SET without
 * conditions, DEL, the STORE forms */
ngx_uint_t ngx_rf_command_blind(const ngx_rf_command_t *command,
    ngx_uint_t argc, ngx_str_t *argv);

/*
 * ACL categories, for rules such as "+@read".  A category is one bit, by its
 * name without '@' in any case; 0: there is none of this name; "all" is every
 * bit.  A command's categories are those of Redis 7, of a container command
 * (CONFIG, OBJECT) those of all of its subcommands.  "command" must come from
 * ngx_rf_command_find() or ngx_rf_command_check().
 */
uint32_t ngx_rf_command_category(ngx_str_t *name);
uint32_t ngx_rf_command_categories(const ngx_rf_command_t *command);


#endif /* _NGX_RF_COMMAND_H_INCLUDED_ */
