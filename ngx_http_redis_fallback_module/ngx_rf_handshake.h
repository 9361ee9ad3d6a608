/*
 * The first words on a new connection: AUTH, SELECT, INFO server, CLIENT ID,
 * DBSIZE, and what their replies mean.  Pure: no I/O.
 *
 * Guarantees: a Redis that cannot serve yet (wrong password, no such database,
 * LOADING, MASTERDOWN, too many clients) is told from one that merely does not
 * let us ask the rest; the text of a failure carries no secret.
 */

#ifndef _NGX_RF_HANDSHAKE_H_INCLUDED_
#define _NGX_RF_HANDSHAKE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"


#define NGX_RF_HANDSHAKE_MAX    5       /* commands */
#define NGX_RF_HANDSHAKE_TEXT   160     /* longest text of a failure */


/* what INFO said (run_id.len 0 where it may not be asked), CLIENT ID (0) and
 * DBSIZE (-1); lives as long as the handshake */

typedef struct {
    ngx_str_t             run_id;       /* 40 hex digits */
    uint64_t              client;       /* this connection's id in Redis */
    int64_t               dbsize;
    ngx_uint_t            version;      /* 70015 for 7.0.15; 0: unknown */
} ngx_rf_redis_info_t;


typedef struct ngx_rf_handshake_s  ngx_rf_handshake_t;

/* NGX_OK, or NGX_ERROR: no connection can be had, h->failed says why */
typedef ngx_int_t (*ngx_rf_handshake_pt)(ngx_rf_handshake_t *h,
    ngx_rf_reply_t *reply);

typedef struct {
    ngx_uint_t            argc;
    ngx_str_t             argv[3];
    ngx_rf_handshake_pt   reply;
} ngx_rf_handshake_command_t;

struct ngx_rf_handshake_s {
    ngx_pool_t           *pool;         /* of the replies */
    ngx_rf_redis_info_t   info;

    ngx_uint_t            ncommands;
    ngx_rf_handshake_command_t  commands[NGX_RF_HANDSHAKE_MAX];
    ngx_uint_t            nreplies;

    u_char                database[NGX_INT_T_LEN];

    ngx_str_t             failed;
    u_char                text[NGX_RF_HANDSHAKE_TEXT];
};


/* the strings stay the caller's and outlive the handshake; NULL: no memory */
ngx_rf_handshake_t *ngx_rf_handshake_create(ngx_str_t *user,
    ngx_str_t *password, ngx_uint_t database, ngx_log_t *log);
void ngx_rf_handshake_destroy(ngx_rf_handshake_t *h);

/* the reply to the next of the commands: NGX_AGAIN more are to come, NGX_OK it
 * was the last and h->info is complete, NGX_ERROR see h->failed */
ngx_int_t ngx_rf_handshake_reply(ngx_rf_handshake_t *h, ngx_rf_reply_t *reply);


#endif /* _NGX_RF_HANDSHAKE_H_INCLUDED_ */
