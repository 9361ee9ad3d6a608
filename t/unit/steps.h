/*
 * Operations on a zone that are killed after each of their stores: what the
 * files of it share.  See steps.c.
 */

#ifndef _STEPS_H_INCLUDED_
#define _STEPS_H_INCLUDED_


#include "rf_unit.h"
#include "ngx_rf_zone.h"


/* process ids that nobody has: Linux gives none above 4194304 */
#define STEPS_DEAD      50000001
#define STEPS_DEAD_TOO  50000002

#define STEPS_KEYS      160
#define STEPS_MARKERS   256
#define STEPS_ARGS      800

/* seconds after which a process hangs */
#define STEPS_ALARM     20


/* of an operation */
#define STEPS_WHOLE     0x0001  /* all its keys change at one moment */
#define STEPS_SAME      0x0002  /* Redis is told the same before and after */
#define STEPS_REFUSED   0x0004  /* it may be refused, and changes nothing */


typedef struct {
    const char           *name;
    const char           *scene;
    const char           *op;
    ngx_uint_t            flags;
} steps_op_t;


/* of a key: what Redis is to be told (0: nothing), and what it holds when it
 * has been told all */

typedef struct {
    char                  name[32];
    uint64_t              said;
    uint64_t              content;      /* of that, whether or not it was sent
                                           before */
    uint64_t              end;
    uint64_t              version;
    uint64_t              id;
    ngx_uint_t            file;         /* there may be one */
    ngx_uint_t            durable;      /* it holds this version */
} steps_key_t;


typedef struct {
    ngx_uint_t            n;
    steps_key_t           keys[STEPS_KEYS];
    uint64_t              seq;
    ngx_uint_t            spilled;
    ngx_uint_t            npending;
    ngx_uint_t            nabandoned;
    uint64_t              abandoned[NGX_RF_ZONE_ABANDONED];
    ngx_uint_t            salvaged;     /* what was found needed it */
} steps_view_t;


/* what the processes of one operation share */

typedef struct {
    steps_view_t          base;         /* before, as it lies there */
    steps_view_t          before;
    steps_view_t          after;
    steps_view_t          got;
    ngx_uint_t            sides;        /* 1: as before, 2: as after */
    ngx_uint_t            wrong;
    ngx_uint_t            broken;       /* a process did not get to its end */
    ngx_uint_t            salvaged;
    ngx_uint_t            stores;
    ngx_uint_t            states;
    ngx_uint_t            checked;
    ngx_uint_t            refused;
    ngx_int_t             rc;           /* of the operation */

    /* those who find what another one has left, and are killed, too */
    ngx_uint_t            turn;         /* states that might have been */
    ngx_uint_t            again_stores;
    ngx_uint_t            again;        /* killed at one of these */
    ngx_uint_t            third;        /* salvages after which there was a
                                           third kill */
} steps_shared_t;


typedef struct {
    ngx_pool_t           *pool;
    ngx_log_t            *log;
    const steps_op_t     *op;
    steps_shared_t       *shared;

    ngx_rf_zone_t         zone;
    ngx_rf_zone_t         redis;        /* plays Redis */
    uint64_t              markers[STEPS_MARKERS];
    ngx_uint_t            nmarkers;

    int64_t               now;
    ngx_rf_record_t      *logging;
    ngx_rf_zone_log_t     head;         /* of what is logging */
    ngx_rf_record_t      *writing;
    ngx_rf_record_t      *flying;
    ngx_rf_record_t      *files;
    ngx_int_t             rc;           /* of the last command */
} steps_t;


/* steps_ops.c */

/* the n-th operation; NULL: there are no more */
const steps_op_t *steps_op(ngx_pool_t *pool, ngx_uint_t n);

/* steps_words.c */

/* the lines of a scene or an operation */
void steps_run(steps_t *s, const char *script);


/* steps_model.c */

/* its reply, or NULL */
ngx_rf_reply_t *steps_exec(steps_t *s, ngx_rf_zone_t *zone, ngx_uint_t argc,
    ngx_str_t *argv);
/* all that is pending is told to "redis", also what is in files only */
void steps_drain(steps_t *s);
/* Redis executes a record */
void steps_apply(steps_t *s, ngx_rf_record_t *rec);
/* what became of those that fly */
void steps_end(steps_t *s, ngx_int_t rc, ngx_uint_t keep);
/* a file is there from now on, or it goes; takes the record */
void steps_file(steps_t *s, ngx_rf_record_t *rec);
/* all files are read */
void steps_load(steps_t *s, ngx_uint_t spilled);


/* steps_check.c */

/* two zones whose memory is this process' own, and shared with none */
ngx_uint_t steps_zones(steps_t *s);
/* what is in the zone */
void steps_view(steps_t *s, steps_view_t *view);
/* this is another process, and those before are dead */
void steps_reborn(steps_t *s);
/* the next process to lock does its work on what a dead one has left; "salvage"
 * makes it look so in any case, "follow" goes on to the end of the outage */
void steps_look(steps_t *s, steps_view_t *view, ngx_uint_t salvage,
    ngx_uint_t follow);
/* what is seen against before and after; the sides that it agrees with */
ngx_uint_t steps_compare(steps_t *s, ngx_uint_t follow);
void steps_wrong(steps_t *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));


#endif /* _STEPS_H_INCLUDED_ */
