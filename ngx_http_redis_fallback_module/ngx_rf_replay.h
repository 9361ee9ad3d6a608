/*
 * A pending record to the commands that tell Redis, and their replies to a
 * verdict.  Pure: no zone, no connection.
 *
 * REPLACE: SET with what is left of the time to live, or DEL; a collection is
 * made under a temporary key, in one step or in several, and renamed: what
 * others see is the old value or the new one.  Repeating it is harmless.  With
 * "remote", and where it is known what Redis held when the outage began, what
 * somebody else has changed is left alone.
 * DELTA: a script that applies the changes together with a marker that carries
 * the record's id; where the marker is, they were applied already.  Many
 * changes are first put beside the key ("staged") and applied from there,
 * step by step: from the moment they are there, they are what the id stands
 * for.
 *
 * Guarantees: no command has more than some thousands of arguments or keeps
 * Redis busy for more than some milliseconds; a step whose reply was lost can
 * be taken again from the first.
 */

#ifndef _NGX_RF_REPLAY_H_INCLUDED_
#define _NGX_RF_REPLAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"


typedef struct ngx_rf_replay_s  ngx_rf_replay_t;

typedef ngx_int_t (*ngx_rf_replay_pt)(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);


typedef enum {
    NGX_RF_REPLAY_APPLIED = 0,  /* Redis holds what memory holds */
    NGX_RF_REPLAY_MERGED,       /* applied, but the result is not known here */
    NGX_RF_REPLAY_NOTHING,      /* of a DELTA to be restored only a part was
                                   sent, and it is not there: all of it is to
                                   be */
    NGX_RF_REPLAY_CONFLICT,     /* somebody else's value was left alone */
    NGX_RF_REPLAY_PARTIAL,      /* MERGED, but for some changes that Redis will
                                   never take: see ngx_rf_replay_rest() */
    NGX_RF_REPLAY_REFUSED       /* an error that will not go away */
} ngx_rf_replay_verdict_e;


struct ngx_rf_replay_s {

    /* NGX_AGAIN: the command to be sent */
    ngx_uint_t               argc;
    ngx_str_t               *argv;

    /* NGX_OK: the end; "error" of REFUSED and PARTIAL is what Redis said */
    ngx_rf_replay_verdict_e  verdict;
    ngx_str_t                error;

    ngx_str_t                marker;    /* keys to be removed, if they have a
                                           length: the marker of a DELTA once
                                           the record is gone for good, what */
    ngx_str_t                temp;      /* was half made if it goes no further;
                                           both expire */
    unsigned                 expired:1; /* nothing is left of its time */

    /* private */
    unsigned                 remote:1;
    unsigned                 same_run:1;
    unsigned                 uploaded:1;
    ngx_rf_record_t         *rec;
    ngx_rf_replay_pt         handler;   /* of the next reply */
    ngx_str_t                bad;       /* of PARTIAL: which ones */
    ngx_str_t                making;    /* the temporary key */
    ngx_str_t                staged;
    ngx_str_t               *row;       /* what is put under it, */
    ngx_uint_t               nrow;
    ngx_uint_t               at;        /* up to here by now */
};


/*
 * A record, which stays as it is until the end.  "remote": on_conflict remote.
 * "same_run" says that Redis has been the same process since before the outage,
 * so that a key that is missing there was deleted.
 */
void ngx_rf_replay_init(ngx_rf_replay_t *rp, ngx_rf_record_t *rec,
    ngx_uint_t remote, ngx_uint_t same_run);

/*
 * One step.  "reply" is that of the last command, NULL at first; errors about
 * Redis as a whole (LOADING and such) are the caller's.  "now" is wall-clock
 * ms.  NGX_AGAIN: argc and argv are to be sent, they point into the record and
 * the pool.  NGX_OK: "verdict" is there.  NGX_BUSY: what was half made is gone,
 * so from init() on again, after a while.  NGX_DECLINED: a type that cannot be
 * replayed.  NGX_ERROR: no memory.
 */
ngx_int_t ngx_rf_replay_next(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);

/* PARTIAL: takes out of a copy of the record all changes that were applied, and
 * its id: these will not be sent again */
void ngx_rf_replay_rest(ngx_rf_replay_t *rp, ngx_rf_record_t *copy);


#endif /* _NGX_RF_REPLAY_H_INCLUDED_ */
