/*
 * Brings the disk after the zone: what has changed goes to the journal in
 * batches, and from there, at a pace of their own, to files.
 *
 * Any worker may do it.  For the journal nothing is claimed against others,
 * versions tell; for files entries are claimed in the zone, so two workers
 * never write the same key.  The leader also ends generations of segments, so
 * that the journal does not grow for ever.
 *
 * Guarantees: for each of the two, one batch in flight per worker; while
 * batches fail, the zone's disk_failed or files_failed holds the errno and the
 * next try is a second later; each change between well and failing is one log
 * line.  While the journal is full or failing, files take what is pending.
 */

#ifndef _NGX_RF_FLUSH_H_INCLUDED_
#define _NGX_RF_FLUSH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_zone.h"


typedef void (*ngx_rf_flush_pt)(void *data);

typedef struct {
    ngx_rf_zone_t        *zone;
    ngx_rf_disk_t        *disk;
    ngx_rf_file_conf_t   *conf;
    ngx_log_t            *log;
    ngx_rf_flush_pt       handler;      /* called after each batch */
    void                 *data;

    off_t                 limit;        /* bytes of all segments */

    /* the journal */
    ngx_msec_t            log_retry;    /* no batch before this time; 0: at
                                           once */
    ngx_uint_t            log_left;     /* to be journaled yet, of any list */
    ngx_msec_t            log_began;    /* when that was not 0 */
    ngx_msec_t            log_took;     /* until it was, the last time */
    unsigned              log_more:1;   /* and what is in our own */

    ngx_event_t           gather;       /* before a batch, see
                                           ngx_rf_flush_gather() */
    uint64_t              gather_start; /* us, of the monotonic clock */
    ngx_uint_t            gather_want;  /* writes; 0: no need to wait */
    ngx_uint_t            gather_seen;  /* writes at the last look */
    ngx_uint_t            gather_skip;  /* batches before it is tried again */
    ngx_uint_t            joined;       /* writes that wait for the next one */
    ngx_uint_t            answering;    /* for the one under way */
    ngx_uint_t            begun;        /* number of the last batch */
    ngx_uint_t            ended;        /* of the last that is home */
    uint64_t              log_start;    /* us, of the last batch */
    uint64_t              log_us;       /* that it took */

    unsigned              turning:1;    /* the base is being written */
    ngx_uint_t            turn_at;
    ngx_uint_t            turn_left;
    off_t                 turned;       /* bytes after the last generation's
                                           end */
    ngx_msec_t            turn_retry;   /* none ends before this time; 0: at
                                           once */

    /* files */
    ngx_msec_t            retry;
    ngx_msec_t            pause;        /* no batch before, unless urgent */
    ngx_msec_t            logged;       /* no line about one file before */
    ngx_uint_t            left;         /* to be written yet: what was dirty at
                                           the pass' start */
    uint64_t              settled;      /* version: what has changed since has
                                           no file made, as it may change again.
                                           The journal has it */
    unsigned              urgent:1;     /* memory waits for them */
    unsigned              took:1;       /* they were written while the journal
                                           was failing */
    unsigned              early:1;      /* of another instance's journal, while
                                           the path is not ours yet */
} ngx_rf_flush_t;


/*
 * The journal: starts batches and goes on until as much is journaled as was to
 * be, "all": by any worker, else by this one.  NGX_AGAIN: a batch is under way;
 * NGX_DONE: nothing to do; NGX_DECLINED: the disk is failing or the path is not
 * ours.  Where the journal is full it is the files' turn, with their codes; it
 * has room for acknowledgements then.
 */
ngx_int_t ngx_rf_flush_log(ngx_rf_flush_t *flush, ngx_uint_t all);
/* one more write of this worker will wait for a batch, whose number is
 * returned: once for each, before its ngx_rf_flush_log() or after it.  Batches
 * wait a moment for as many as the last ones had */
ngx_uint_t ngx_rf_flush_join(ngx_rf_flush_t *flush);

/* that batch is under way or about to begin: what has joined it is not durable,
 * but by another worker's */
ngx_uint_t ngx_rf_flush_is_under_way(ngx_rf_flush_t *flush, ngx_uint_t batch);

/*
 * The leader, now and then: ends a generation of segments, one step at a time,
 * if there are many bytes of it or with "force" (all is done with).
 */
void ngx_rf_flush_turn(ngx_rf_flush_t *flush, ngx_uint_t force);

/* files: starts batches and goes on until as many are written as are dirty now
 * (those that change all the time would keep it going for ever): NGX_AGAIN a
 * batch is under way, or will be in a moment, NGX_DONE nothing to do,
 * NGX_DECLINED the disk is failing or the path is not ours */
ngx_int_t ngx_rf_flush_start(ngx_rf_flush_t *flush);

/* before start(): somebody waits for files, of all that is dirty now, so there
 * are no pauses until they are written */
void ngx_rf_flush_urgent(ngx_rf_flush_t *flush);

/* at exit, blocking: all to the journal, and to files what can be written in a
 * moment; the number of records that are in neither */
ngx_uint_t ngx_rf_flush_exit(ngx_rf_flush_t *flush);

/* the journal was failing, and has nothing to take any more: files have it, or
 * it is done with */
void ngx_rf_flush_settled(ngx_rf_flush_t *flush);

/* one log line for an error that came home from ngx_rf_file */
void ngx_rf_flush_log_error(ngx_rf_flush_t *flush, ngx_uint_t level,
    const char *doing, ngx_rf_file_error_t *error);


#endif /* _NGX_RF_FLUSH_H_INCLUDED_ */
