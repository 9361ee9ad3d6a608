/*
 * What the files of the store share: ngx_rf_store.c executes,
 * ngx_rf_store_remote.c asks Redis, ngx_rf_store_flight.c once for all who ask
 * the same, ngx_rf_store_pop.c lets no element be removed twice,
 * ngx_rf_store_multi.c knows what a transaction is made of,
 * ngx_rf_store_answer.c answers, ngx_rf_store_life.c creates, starts, stops,
 * counts, ngx_rf_store_recall.c reads the journal.
 */

#ifndef _NGX_RF_STORE_INTERNAL_H_INCLUDED_
#define _NGX_RF_STORE_INTERNAL_H_INCLUDED_


#include "ngx_rf_disk.h"
#include "ngx_rf_local.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_store.h"


/* how often waiting operations look again, ms; a batch that ends wakes them at
 * once, so this is for what other workers do */
#define NGX_RF_STORE_POLL       3


typedef struct ngx_rf_work_s  ngx_rf_work_t;

typedef ngx_int_t (*ngx_rf_step_pt)(ngx_rf_work_t *w);

/* an operation under way */

struct ngx_rf_work_s {
    ngx_rf_op_t           *op;
    ngx_rf_mode_e          mode;
    ngx_uint_t             epoch;
    ngx_msec_t             deadline;
    ngx_uint_t             routes;
    ngx_uint_t             reads;       /* files read */

    ngx_rf_local_t         local;

    ngx_rf_local_part_t   *parts;       /* of a transaction, op->nparts */
    ngx_rf_command_t      *multi;       /* what they are together */

    ngx_rf_call_t          call;
    ngx_rf_call_command_t  commands[3];
    ngx_str_t              pttl[2];
    uint64_t               seq;
    int64_t                sent;
    ngx_rf_tracking_mark_t mark;

    ngx_queue_t            flight;      /* store->flights, of one that leads */
    ngx_queue_t            followers;   /* their "queue" */
    uint32_t               hash;        /* of its key */
    ngx_rf_reply_t        *shared;      /* the leader's, of one that shares */
    ngx_atomic_uint_t      lock;        /* what it has put into sh->locks */
    ngx_msec_t             patience;    /* until when it waits for another
                                           worker's lock; 0: it did not yet */

    uint16_t              *writes;      /* places in store->writing that have
                                           it, */
    ngx_uint_t             nwrites;
    uint16_t               write;       /* one of them needs no memory */

    ngx_atomic_uint_t      pops;        /* what the zone shows of it, */
    ngx_uint_t             popped;      /* and where: 0, or 1 in a recovery */

    ngx_rf_disk_job_t     *job;
    ngx_uint_t             batch;       /* see ngx_rf_flush_join() */

    ngx_queue_t            queue;       /* store->waiting */
    ngx_rf_step_pt         step;        /* to be tried again */
    ngx_rf_step_pt         expired;     /* when the deadline has passed */

    unsigned               calling:1;
    unsigned               waiting:1;
    unsigned               late:1;      /* waited for a key in vain */
    unsigned               file:1;      /* a file had the answer */
    unsigned               executed:1;  /* only its file is to come yet */
    unsigned               unsure:1;    /* Redis may have executed it */
    unsigned               leads:1;     /* others wait for its reply */
    unsigned               closed:1;    /* it leads, and nobody may join */
    unsigned               alone:1;     /* it has waited for another's */
    unsigned               shares:1;    /* it waits, and the leader's reply is
                                           its own */
    unsigned               anywhere:1;  /* it is in flight, and nobody knows
                                           which keys it changes */
};


/* ngx_rf_store.c */

/* of argv[1], once for an operation */
uint32_t ngx_rf_work_hash(ngx_rf_work_t *w);

/* the mode decides who may answer; entered again whenever it has changed */
ngx_int_t ngx_rf_work_route(ngx_rf_work_t *w);
/* rc is that of a step; calls the handler unless it is NGX_AGAIN */
void ngx_rf_work_resume(ngx_rf_work_t *w, ngx_int_t rc);

/* "step" is tried again now and then, and after the deadline "expired".  They
 * may also return NGX_DONE: its handler was called, or it waits; it may be gone
 */
ngx_int_t ngx_rf_work_wait(ngx_rf_work_t *w, ngx_rf_step_pt step,
    ngx_rf_step_pt expired);

/* ngx_rf_store_remote.c: a step */

ngx_int_t ngx_rf_work_remote(ngx_rf_work_t *w);
/* its call has ended */
void ngx_rf_work_uncalled(ngx_rf_work_t *w);
/* 1: a write of one of its keys is in flight, or may be */
ngx_uint_t ngx_rf_work_is_written(ngx_rf_work_t *w);


/*
 * ngx_rf_store_flight.c: one read per key.  join(): 1 if the same read is under
 * way, and this one waits for its reply, or for what memory learns from it;
 * otherwise it leads, unless it is one that nobody shares.
 * landed(): memory has learned the leader's reply, or there is none (NULL);
 * those who waited are in *followers, whom resume() answers, or lets look
 * again, once the leader was answered.  left(): the leader was cancelled, or
 * could not be sent.  close(): the key is about to be changed, what comes from
 * now on is another read.
 */
ngx_uint_t ngx_rf_flight_join(ngx_rf_work_t *w);
/* for one that leads, with op->lock: 1 if another worker has sent a read of the
 * key to Redis, which this one waits for, for some time */
ngx_uint_t ngx_rf_flight_wait(ngx_rf_work_t *w);
void ngx_rf_flight_landed(ngx_rf_work_t *w, ngx_rf_reply_t *reply,
    ngx_queue_t *followers);
void ngx_rf_flight_resume(ngx_queue_t *followers);
void ngx_rf_flight_left(ngx_rf_work_t *w);
void ngx_rf_flight_close(ngx_rf_store_t *store, ngx_str_t *key, uint32_t hash);


/*
 * ngx_rf_store_pop.c.  start(): in a worker.  begin(): before Redis is asked;
 * NGX_DECLINED: the mode has changed, it is not to be asked.  end(): memory has
 * learned the reply, or there will be none; as often as one likes.  waits():
 * what is to be executed here has to wait for the end of another one.
 */
void ngx_rf_pop_start(ngx_rf_store_t *store);
ngx_int_t ngx_rf_pop_begin(ngx_rf_work_t *w);
void ngx_rf_pop_end(ngx_rf_work_t *w);
ngx_uint_t ngx_rf_pop_waits(ngx_rf_work_t *w);


/* ngx_rf_store_multi.c */

/* checks the parts and makes them one: op->argc, argv, command, w->parts.
 * NGX_OK, or NGX_ERROR with the error line in *err; its len is 0 without
 * memory */
ngx_int_t ngx_rf_multi_prepare(ngx_rf_work_t *w, ngx_str_t *err);
/* the commands to be sent; NGX_ERROR: no memory */
ngx_int_t ngx_rf_multi_call(ngx_rf_work_t *w);
/* EXEC's reply, or NULL if it did not come, or says nothing (scattered()); also
 * if Redis could not execute it now, which is *reason */
ngx_rf_reply_t *ngx_rf_multi_reply(ngx_rf_work_t *w, ngx_str_t **reason);
/* 1: MULTI was refused, by an ACL or by a server that was loading, and not what
 * came behind it: each was executed by itself */
ngx_uint_t ngx_rf_multi_scattered(ngx_rf_work_t *w);
void ngx_rf_multi_learn(ngx_rf_work_t *w, ngx_rf_reply_t *reply);
/* the first of the commands that is not executed locally gives its name to the
 * error */
void ngx_rf_multi_blame(ngx_rf_work_t *w);



/* ngx_rf_store_answer.c */

/*
 * All return the operation's code.  answer(): a reply, errors of Redis
 * included; fail(): "fmt" is an error line with one %V for the command's name.
 * A write that Redis may have executed is not refused, but uncertain.
 */
ngx_int_t ngx_rf_work_answer(ngx_rf_work_t *w, ngx_rf_reply_t *reply,
    ngx_rf_tier_e tier);
ngx_int_t ngx_rf_work_fail(ngx_rf_work_t *w, ngx_rf_failure_e failure,
    const char *fmt);
ngx_int_t ngx_rf_work_uncertain(ngx_rf_work_t *w);
ngx_int_t ngx_rf_work_no_room(ngx_rf_work_t *w);
ngx_int_t ngx_rf_work_no_path(ngx_rf_work_t *w);
ngx_int_t ngx_rf_work_busy(ngx_rf_work_t *w);
ngx_int_t ngx_rf_work_popping(ngx_rf_work_t *w);
ngx_int_t ngx_rf_work_internal(ngx_rf_work_t *w);


/* ngx_rf_store_handover.c: at a worker's exit: what is pending stays in the
 * zone, for other workers, or for the master to hand over */
ngx_uint_t ngx_rf_store_hands_over(ngx_rf_store_t *store);

/* ngx_rf_store_recall.c: in the master, when the path is ours */

void ngx_rf_store_recall(ngx_rf_store_t *store);


/* ngx_rf_store_keep.c, in the master.  make(): the zone is new, and nobody has
 * used it; dying(): the lock is not ours, and is with somebody who was killed;
 * init(): what memory of before is *found is in the zone; done(): and
 * what is on disk; exit(): what the disk does not take stays in memory; end():
 * the configuration goes away, and its memory with it, unless another one has
 * got that */

void ngx_rf_store_keep_make(ngx_rf_store_t *store, ngx_shm_zone_t *shm_zone);
ngx_uint_t ngx_rf_store_keep_dying(ngx_rf_store_t *store);
void ngx_rf_store_keep_init(ngx_rf_store_t *store, ngx_rf_store_t *old,
    ngx_rf_keep_t *found);
void ngx_rf_store_keep_done(ngx_rf_store_t *store, ngx_rf_store_t *old,
    ngx_rf_keep_t *found);
void ngx_rf_store_keep_exit(ngx_rf_store_t *store, ngx_cycle_t *cycle);
void ngx_rf_store_keep_end(ngx_rf_store_t *store);


/* ngx_rf_store_life.c, but for wake() */

/* into the zone of "store" goes what depends on the disk or on Redis in that of
 * "old" */
void ngx_rf_store_take_over(ngx_rf_store_t *store, ngx_rf_store_t *old);

/* what the master writes must be the workers': becomes one for that, and the
 * master again */
void ngx_rf_store_become(ngx_rf_store_t *store, ngx_uint_t worker);
/* what writes to the path, of a worker or of the master at its exit */
void ngx_rf_store_flush(ngx_rf_store_t *store, ngx_cycle_t *cycle);
void ngx_rf_store_log_file(ngx_rf_store_t *store, ngx_uint_t level,
    const char *doing, ngx_rf_file_error_t *error);

/* Redis failed somebody who knew the mode of that epoch: to FALLBACK, with
 * one log line by whoever comes first */
void ngx_rf_store_outage(ngx_rf_store_t *store, ngx_uint_t epoch,
    ngx_str_t *reason);

/* seconds for Retry-After: probes double their distance, so the next one comes
 * within about the time that the outage has lasted */
ngx_uint_t ngx_rf_store_retry_after(ngx_rf_store_t *store);

/* lets each waiting operation look again */
void ngx_rf_store_wake(ngx_rf_store_t *store);


#endif /* _NGX_RF_STORE_INTERNAL_H_INCLUDED_ */
