/*
 * A pending record to the commands that tell Redis, and their reply to a
 * verdict.  Pure: no zone, no connection.
 *
 * REPLACE: SET with what is left of the time to live, or DEL: repeating it is
 * harmless.  With "remote", and where it is known what Redis held when the
 * outage began, a script that leaves alone what somebody else has changed.
 * DELTA: a script that applies the changes together with a marker that carries
 * the record's id; where the marker is, they were applied already.
 */

#ifndef _NGX_RF_REPLAY_H_INCLUDED_
#define _NGX_RF_REPLAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"


/* seconds after which a marker that nobody removed is gone (rule 8: a day) */
#define NGX_RF_REPLAY_MARKER_TTL  "86400"


typedef struct {
    ngx_uint_t            argc;
    ngx_str_t            *argv;
    ngx_str_t             marker;       /* key of a DELTA's marker */
    unsigned              expired:1;    /* nothing is left of its time */
    unsigned              careful:1;    /* answers 0 for a conflict */
} ngx_rf_replay_command_t;

typedef enum {
    NGX_RF_REPLAY_APPLIED = 0,  /* Redis holds what memory holds */
    NGX_RF_REPLAY_MERGED,       /* applied, but the result is not known here */
    NGX_RF_REPLAY_CONFLICT,     /* somebody else's value was left alone */
    NGX_RF_REPLAY_REFUSED       /* an error that will not go away */
} ngx_rf_replay_verdict_e;


/*
 * "now" is wall-clock ms.  "same_run" says that Redis has been the same process
 * since before the outage, so that a key that is missing there was deleted.
 * The arguments point into the record and the pool.  NGX_ERROR: no memory.
 * NGX_DECLINED: a type that cannot be replayed.
 */
ngx_int_t ngx_rf_replay_command(ngx_pool_t *pool, ngx_rf_record_t *rec,
    int64_t now, ngx_uint_t remote, ngx_uint_t same_run,
    ngx_rf_replay_command_t *command);

ngx_rf_replay_verdict_e ngx_rf_replay_verdict(
    ngx_rf_replay_command_t *command, ngx_rf_record_t *rec,
    ngx_rf_reply_t *reply);


#endif /* _NGX_RF_REPLAY_H_INCLUDED_ */
