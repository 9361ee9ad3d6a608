/*
 * Commands on a zone of their own, as lines of words, and what they reply as
 * text: nil, 5, string, -ERR text, [a b [c]].
 */

#ifndef _EXEC_H_INCLUDED_
#define _EXEC_H_INCLUDED_


#include "rf_unit.h"
#include "ngx_rf_local.h"


#define EXEC_ARGS   32


typedef struct {
    ngx_pool_t           *pool;
    ngx_rf_zone_t        *zone;
    ngx_rf_reply_t       *reply;        /* of the last command */
} exec_t;


/* a zone of "size" bytes */
void exec_init(exec_t *e, ngx_pool_t *pool, ngx_log_t *log, size_t size);

/* words separated by single blanks, at most EXEC_ARGS, in the pool; how many */
ngx_uint_t exec_words(exec_t *e, const char *text, ngx_str_t *argv);

/* words separated by single blanks: what ngx_rf_local_exec() returns.  A number
 * of arguments that the command does not take is not looked at */
ngx_int_t exec_line(exec_t *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* a test: what the line replies.  any(): elements in groups of "n", and these
 * in any order; here they are to be given as strcmp() sorts them */
void exec_is(exec_t *e, const char *line, const char *expected);
void exec_is_any(exec_t *e, const char *line, ngx_uint_t n,
    const char *expected);

/* a test: what Redis is to be told of a key: its changes, each with a ";"
 * behind; or "= " and what it is to be replaced with */
void exec_told(exec_t *e, const char *key, const char *expected);


#endif /* _EXEC_H_INCLUDED_ */
