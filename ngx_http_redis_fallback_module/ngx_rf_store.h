/*
 * The facade: executes a command on a store.  The one place that knows which
 * tier may answer in which mode.
 *
 * Contract of an operation (ngx_rf_op_t): the memory is the caller's and stays,
 * with its argv, until the answer came or ngx_rf_store_cancel().  submit()
 * returns NGX_OK or NGX_DECLINED: answered now (DECLINED: nil, no such key),
 * the handler will not be called; NGX_AGAIN: the handler will be called,
 * exactly once, with op->rc set to NGX_OK or NGX_DECLINED or NGX_ERROR;
 * NGX_ERROR: failed now, "failure" says why.
 */

#ifndef _NGX_RF_STORE_H_INCLUDED_
#define _NGX_RF_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_keep.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_relay.h"
#include "ngx_rf_tracking.h"
#include "ngx_rf_zone.h"


#define NGX_RF_CACHE_OFF        0
#define NGX_RF_CACHE_TIME       1
#define NGX_RF_CACHE_TRACKING   2


typedef struct ngx_rf_store_s  ngx_rf_store_t;
typedef struct ngx_rf_op_s     ngx_rf_op_t;

/* what redis_fallback_store { } says; filled by the configuration */

typedef struct {
    ngx_str_t             name;
    size_t                zone_size;
    ngx_rf_redis_conf_t   redis;
    ngx_msec_t            check_interval;
    ngx_msec_t            write_interval;
    ngx_uint_t            write_queue;
    ngx_rf_file_conf_t    file;         /* path.len 0: path off */
    off_t                 journal_size; /* bytes of all segments, at most */
    ngx_uint_t            durability_disk;
    ngx_uint_t            cache;        /* NGX_RF_CACHE_* */
    ngx_msec_t            cache_time;
    ngx_flag_t            restore;
    ngx_uint_t            on_conflict_remote;
    ngx_uint_t            recovery_rate;    /* keys per second, 0: no limit */
    void                 *thread_pool;      /* ngx_thread_pool_t or NULL */
} ngx_rf_store_conf_t;


/* reads that are on their way to Redis, by hash of the key */
#define NGX_RF_STORE_FLIGHTS    256

/* places for keys that are being written; two keys in one cost a read of Redis
 * now and then */
#define NGX_RF_STORE_WRITES     1024

/* bits of what is being popped; the last one is for any key */
#define NGX_RF_STORE_POPS       (8 * sizeof(ngx_atomic_uint_t))

/* redis_fallback_outage */

#define NGX_RF_OUTAGE_LOCAL     0
#define NGX_RF_OUTAGE_READ_ONLY 1
#define NGX_RF_OUTAGE_REJECT    2

/* why an operation failed; each has an error reply beside it */

typedef enum {
    NGX_RF_FAILURE_NONE = 0,
    NGX_RF_FAILURE_REFUSED,     /* outage policy: 503 with Retry-After */
    NGX_RF_FAILURE_REDIS_ONLY,  /* "FALLBACK 'xadd' needs Redis, ...": 503 */
    NGX_RF_FAILURE_UNCERTAIN,   /* "UNCERTAIN ...": 502 */
    NGX_RF_FAILURE_NO_ROOM,     /* neither memory nor disk: 507 */
    NGX_RF_FAILURE_REPLY,       /* Redis, or the local execution, answered with
                                   an error: op->reply is that error */
    NGX_RF_FAILURE_INTERNAL     /* no memory: 500 */
} ngx_rf_failure_e;

typedef void (*ngx_rf_op_pt)(ngx_rf_op_t *op);

/*
 * A transaction is an operation that has parts: its commands, executed as one
 * by MULTI and EXEC or under one hold of the zone's lock.  The reply is an
 * array of theirs, errors among them.  If one of them cannot be executed
 * (unknown, wrong number of arguments, refused), none is: FAILURE_REPLY with
 * "EXECABORT ...".
 */

typedef struct {
    ngx_uint_t                argc;
    ngx_str_t                *argv;     /* with the command's name */
} ngx_rf_op_part_t;

struct ngx_rf_op_s {
    /* set by the caller; the rest is zeroed */
    ngx_rf_store_t           *store;
    ngx_pool_t               *pool;     /* replies and private state */
    ngx_log_t                *log;
    ngx_uint_t                argc;
    ngx_str_t                *argv;     /* with the command's name */
    ngx_uint_t                nparts;   /* a transaction: instead of argc and */
    ngx_rf_op_part_t         *parts;    /* argv, which the store fills */
    ngx_uint_t                outage;   /* NGX_RF_OUTAGE_* */
    ngx_uint_t                lock;     /* a read that another worker sends to
                                           Redis is waited for */
    uint32_t                  order;    /* operations of the same number that
                                           Redis is asked to execute are
                                           executed in the order in which they
                                           were submitted; 0: submit() sets it,
                                           by the first key */
    ngx_msec_t                deadline; /* of waiting, of ngx_current_msec's
                                           clock; 0: submit() sets it */
    uint32_t                  hash;     /* of argv[1], set by expect() */
    unsigned                  hashed:1;
    unsigned                  lend:1;   /* a GET, and the caller will read the
                                           reply's text at once, see "lent" */
    ngx_rf_op_pt              handler;
    void                     *data;

    /* the answer */
    ngx_int_t                 rc;
    ngx_rf_reply_t           *reply;    /* errors too; NULL only with
                                           FAILURE_INTERNAL */
    ngx_rf_failure_e          failure;
    ngx_rf_mode_e             mode;     /* in which it was answered */
    ngx_rf_tier_e             tier;
    ngx_rf_result_e           result;
    ngx_uint_t                retry_after;  /* seconds, with FAILURE_REFUSED
                                               and FAILURE_REDIS_ONLY */
    unsigned                  lent:1;   /* the reply's text is in the zone, and
                                           there until returned() */

    /* private to the store */
    const ngx_rf_command_t   *command;
    void                     *work;
};


/* before submit(), as soon as the key is known: the operation is one whose only
 * key is argv[1] */
void ngx_rf_store_expect(ngx_rf_store_t *store, ngx_str_t *key,
    ngx_rf_op_t *op);
ngx_int_t ngx_rf_store_submit(ngx_rf_op_t *op);
/* what an operation's reply had lent is not read any more; nothing, where it
 * had lent nothing */
void ngx_rf_store_returned(ngx_rf_op_t *op);
/* of one that submit() answered with NGX_AGAIN: whether one that is submitted
 * now could be executed before it.  Not so if it is executed and its file is to
 * come, or if it is on its way to Redis, where those behind it stay there */
ngx_uint_t ngx_rf_store_waits(ngx_rf_op_t *op);
/* the caller goes away: the handler will not be called */
void ngx_rf_store_cancel(ngx_rf_op_t *op);

/* name, arity and refusal of a command, for the configuration: NGX_OK, or
 * NGX_ERROR with Redis' error line in *err */
ngx_int_t ngx_rf_store_check(ngx_pool_t *pool, ngx_uint_t argc,
    ngx_str_t *argv, ngx_str_t *err);
ngx_uint_t ngx_rf_store_is_write(ngx_str_t *name);


/*
 * Life.  create() at configuration time: adds the shared zone "tag" is the
 * module.  init() once per start and reload in the master (ngx_test_config
 * excluded): takes the path's lock, carries pending keys over from a zone that
 * is being replaced.  start() and stop() in each worker.
 */
ngx_rf_store_t *ngx_rf_store_create(ngx_conf_t *cf, ngx_rf_store_conf_t *conf,
    void *tag);
ngx_int_t ngx_rf_store_init(ngx_rf_store_t *store, ngx_cycle_t *cycle,
    ngx_rf_store_t *old);
ngx_int_t ngx_rf_store_start(ngx_rf_store_t *store, ngx_cycle_t *cycle);
void ngx_rf_store_stop(ngx_rf_store_t *store, ngx_cycle_t *cycle);
/* in the master, when all workers have gone: what they have not written;
 * without the path, what is pending is left to whoever has it */
void ngx_rf_store_exit(ngx_rf_store_t *store, ngx_cycle_t *cycle);
/* the configuration that is committed now has no such store */
void ngx_rf_store_dropped(ngx_rf_store_t *store);


/* what the status page shows; a copy */

typedef struct {
    ngx_str_t             name;
    ngx_str_t             address;
    ngx_rf_mode_e         mode;
    time_t                mode_since;   /* unix seconds */
    ngx_uint_t            outages;
    ngx_uint_t            pending;
    ngx_uint_t            connected;
    ngx_uint_t            tracking;
    size_t                size;         /* bytes */
    size_t                used;
    ngx_uint_t            entries;
    ngx_uint_t            evictions;
    ngx_uint_t            files;
    size_t                journal_size; /* bytes */
    size_t                journal_limit;
    ngx_uint_t            journal_behind;   /* keys it does not have yet */
    ngx_uint_t            journal_failing;
    ngx_uint_t            file_errors;
    ngx_uint_t            quarantined;
    ngx_uint_t            reads_memory;
    ngx_uint_t            reads_redis;
    ngx_uint_t            reads_file;
    ngx_uint_t            reads_miss;
    ngx_uint_t            writes_redis;
    ngx_uint_t            writes_local;
    ngx_uint_t            rec_running;
    ngx_uint_t            rec_total;
    ngx_uint_t            rec_done;
    ngx_uint_t            replayed;
    ngx_uint_t            expired;
    ngx_uint_t            conflicts;
    ngx_uint_t            failed;
    ngx_msec_t            rec_ms;       /* of the last or current recovery */
} ngx_rf_store_status_t;

void ngx_rf_store_status(ngx_rf_store_t *store, ngx_rf_store_status_t *st);


/* for the composition root, which hands these rooms to recovery as well */

struct ngx_rf_store_s {
    ngx_uint_t            layout;       /* NGX_RF_STORE_LAYOUT: a reload may
                                           bring a new build */
    ngx_rf_store_conf_t   conf;
    ngx_cycle_t          *cycle;
    ngx_rf_zone_t         zone;
    ngx_rf_relay_t        relay;
    ngx_fd_t              lock;         /* of the path; NGX_INVALID_FILE */
    ngx_rf_keep_t         keep;         /* where the zone's memory is */
    ngx_uint_t            fresh;        /* the zone, or its path, is new */
    ngx_uint_t            init;         /* sh->inits then */

    /* in a worker */
    ngx_rf_redis_t       *redis;
    ngx_rf_tracking_t    *tracking;     /* NULL: not wanted */
    ngx_queue_t           flights[NGX_RF_STORE_FLIGHTS];
    ngx_uint_t            nleads;       /* works in "flights" */
    ngx_uint_t            nanywhere;    /* commands in flight that may change
                                           any key */
    ngx_uint_t            npops[2][NGX_RF_STORE_POPS];
                                        /* commands in flight, by the bit that
                                           is shown of them in the zone */
    ngx_rf_disk_t        *disk;         /* NULL: no file tier */
    ngx_rf_flush_t        flush;
    ngx_queue_t           waiting;      /* operations that wait */
    ngx_event_t           wait_event;
    ngx_uint_t            polling;      /* by time, not after a batch */
    ngx_uint_t            stopping;
    uint32_t              writing[NGX_RF_STORE_WRITES];
                                        /* keys that writes in flight name, by
                                           hash; and all of them */
    ngx_uint_t            nwriting;
};

#define NGX_RF_STORE_LAYOUT     10


#endif /* _NGX_RF_STORE_H_INCLUDED_ */
