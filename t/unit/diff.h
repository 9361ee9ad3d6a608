/*
 * What the differential tests share: a zone and a redis-server side by side,
 * commands for both, and the comparison of their replies.  differential.c has
 * the keys and strings, diff_*.c the other types.
 */

#ifndef _DIFF_H_INCLUDED_
#define _DIFF_H_INCLUDED_


#include <hiredis/hiredis.h>
#include "rf_unit.h"
#include "ngx_rf_local.h"


#define DIFF_COMMANDS  20000
#define DIFF_ARGS      32


typedef struct {
    ngx_pool_t       *pool;
    ngx_log_t        *log;
    ngx_rf_zone_t     zone;
    redisContext     *redis;
    pid_t             server;
    uint64_t          seed;
    int64_t           epoch;    /* ms, when it began */
} diff_t;

typedef struct {
    ngx_uint_t        argc;
    ngx_str_t         argv[DIFF_ARGS];
    u_char            buf[8192];
    u_char           *p;
} diff_cmd_t;


/* 0: there is no redis-server */
ngx_uint_t diff_start(diff_t *d, ngx_pool_t *pool, ngx_log_t *log,
    size_t size);
void diff_stop(diff_t *d);

/* 0 to n - 1, by the seed */
uint64_t diff_random(diff_t *d, uint64_t n);

/* the next argument of a command that began with argc 0 and p at buf: printed;
 * bytes; any value; a number, or something like it; one of the words that
 * blanks separate, in some case */
void diff_arg(diff_cmd_t *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void diff_bytes(diff_cmd_t *c, const void *data, size_t len);
void diff_value(diff_t *d, diff_cmd_t *c);
void diff_number(diff_t *d, diff_cmd_t *c);
void diff_option(diff_t *d, diff_cmd_t *c, const char *options);

/* NULL: it failed, which was printed; &diff_needs_redis: it is for Redis */
ngx_rf_reply_t *diff_local(diff_t *d, ngx_pool_t *pool, diff_cmd_t *c);
redisReply *diff_redis(diff_t *d, diff_cmd_t *c);

extern ngx_rf_reply_t  diff_needs_redis;

/* same_keys(): in any order */
ngx_uint_t diff_same(diff_cmd_t *c, ngx_rf_reply_t *ours, redisReply *theirs);
ngx_uint_t diff_same_keys(ngx_rf_reply_t *ours, redisReply *theirs);
void diff_print(diff_cmd_t *c, ngx_rf_reply_t *ours, redisReply *theirs);

/* a whole command, words separated by single blanks: whether both reply the
 * same */
ngx_uint_t diff_line(diff_t *d, const char *line);


#endif /* _DIFF_H_INCLUDED_ */
