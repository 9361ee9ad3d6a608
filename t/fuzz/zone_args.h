/*
 * Commands and their arguments out of a byte code, most of them such that the
 * command has something to do.
 */

#ifndef _ZONE_ARGS_H_INCLUDED_
#define _ZONE_ARGS_H_INCLUDED_


#include "fuzz.h"


/* commands of the code, and arguments that one has at most */
#define ZONE_COMMANDS  116
#define ZONE_ARGS      160


typedef struct {
    ngx_uint_t            argc;
    ngx_str_t             argv[ZONE_ARGS];
} zone_args_t;


/* NGX_DECLINED: there is no such command */
ngx_int_t zone_args(zone_args_t *c, fuzz_input_t *in, ngx_pool_t *pool,
    ngx_uint_t code);
/* one argument */
void zone_arg(ngx_str_t *arg, fuzz_input_t *in, ngx_pool_t *pool);
/* a key, constant: one of four, seldom another */
void zone_key(ngx_str_t *key, ngx_uint_t n);

/* with FUZZ_TRACE in the environment, what happens is printed: to read a
 * finding */
extern ngx_uint_t  zone_tracing;
void zone_trace(const char *what, ngx_uint_t argc, ngx_str_t *argv);


#endif /* _ZONE_ARGS_H_INCLUDED_ */
