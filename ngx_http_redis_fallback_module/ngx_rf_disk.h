/*
 * The loop's side of the disk: wraps the blocking calls of ngx_rf_file and
 * ngx_rf_journal into jobs for nginx's thread pool and brings their results
 * home.  Owns this process' segment of the journal.
 *
 * Guarantees: a job's handler is called exactly once, from the event loop, or
 * from ngx_rf_disk_finish() at exit; at most one batch of files is in flight,
 * so the versions of a key cannot overtake each other, and beside it one for
 * the journal; a job points to nothing but its own memory, the immutable
 * ngx_rf_file_conf_t, and the segment, which is its alone meanwhile.
 *
 * Refuses to know: the zone, modes, Redis.  Where nginx has no threads, jobs
 * run at once, in the loop.
 */

#ifndef _NGX_RF_DISK_H_INCLUDED_
#define _NGX_RF_DISK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf.h"
#include "ngx_rf_file.h"
#include "ngx_rf_journal.h"


typedef struct ngx_rf_disk_s      ngx_rf_disk_t;
typedef struct ngx_rf_disk_job_s  ngx_rf_disk_job_t;

typedef void (*ngx_rf_disk_pt)(ngx_rf_disk_job_t *job);

/*
 * One job and its results.  The handler reads the results and takes what it
 * wants to keep (it clears the pointer); the rest is freed after it returned.
 */
struct ngx_rf_disk_job_s {
    ngx_rf_disk_pt        handler;      /* NULL: the owner went away */
    void                 *data;

    ngx_int_t             rc;           /* of the call in ngx_rf_file.h */
    ngx_rf_file_error_t   error;

    ngx_rf_record_t      *records;      /* write: the batch; read: the record
                                           or NULL; quarantine: the record */
    ngx_uint_t            failed;       /* write: records that failed */
    ngx_uint_t            wrote;        /* write: files that are new */
    ngx_uint_t            removed;      /* write: files that are gone */
    ngx_rf_file_walk_t   *walk;
    ngx_rf_journal_read_t  *read;       /* the caller's */
    ngx_rf_journal_hand_t  *hand;       /* the caller's */
    ngx_rf_journal_batch_t  batch;      /* log, base: results; its records are
                                           "records" */
    ngx_msec_t            began;        /* ngx_current_msec of the start */
    uint64_t              mark;
    ngx_str_t             text;         /* read: the key; quarantine: reason;
                                           hand_done: name, with NUL */
};


/* NULL: no memory.  "tp" is an ngx_thread_pool_t or NULL */
ngx_rf_disk_t *ngx_rf_disk_create(ngx_rf_file_conf_t *conf, void *tp,
    ngx_log_t *log);

/*
 * All return the job (NGX_AGAIN in spirit: the handler will be called), or
 * NULL: it will not (no memory, queue overflow, or, for write, a batch is in
 * flight), and what was passed stays the caller's.  Records passed become the
 * job's.
 */
ngx_rf_disk_job_t *ngx_rf_disk_write(ngx_rf_disk_t *disk,
    ngx_rf_record_t *batch, ngx_rf_disk_pt handler, void *data);
ngx_rf_disk_job_t *ngx_rf_disk_read(ngx_rf_disk_t *disk, ngx_str_t *key,
    uint64_t mark, ngx_rf_disk_pt handler, void *data);
ngx_rf_disk_job_t *ngx_rf_disk_walk(ngx_rf_disk_t *disk,
    ngx_rf_file_walk_t *from, ngx_rf_disk_pt handler, void *data);
/* with rec->remove the key's file is removed once it is in quarantine */
ngx_rf_disk_job_t *ngx_rf_disk_quarantine(ngx_rf_disk_t *disk,
    ngx_rf_record_t *rec, ngx_str_t *reason, ngx_rf_disk_pt handler,
    void *data);
ngx_rf_disk_job_t *ngx_rf_disk_mark(ngx_rf_disk_t *disk, uint64_t mark,
    ngx_rf_disk_pt handler, void *data);

/*
 * The journal.  log() appends batch->records, which become the job's, base()
 * makes garbage of the segments below batch->base; NULL also while one of them
 * is in flight.  log_read() reads the next slice of "read", which is the job's
 * until it is home; what it holds is the caller's to free then.  log_look()
 * holds what is left of that slice against files once more.
 */
ngx_rf_disk_job_t *ngx_rf_disk_log(ngx_rf_disk_t *disk,
    ngx_rf_journal_batch_t *batch, ngx_rf_disk_pt handler, void *data);
ngx_rf_disk_job_t *ngx_rf_disk_base(ngx_rf_disk_t *disk,
    ngx_rf_journal_batch_t *batch, ngx_rf_disk_pt handler, void *data);
ngx_rf_disk_job_t *ngx_rf_disk_log_read(ngx_rf_disk_t *disk,
    ngx_rf_journal_read_t *read, ngx_rf_disk_pt handler, void *data);
ngx_rf_disk_job_t *ngx_rf_disk_log_look(ngx_rf_disk_t *disk,
    ngx_rf_journal_read_t *read, ngx_rf_disk_pt handler, void *data);

/*
 * What another instance has left: hand_read() fills "hand", which is the job's
 * until it is home; hand_done() takes the records that are to stay.
 */
ngx_rf_disk_job_t *ngx_rf_disk_hand_read(ngx_rf_disk_t *disk,
    ngx_rf_journal_hand_t *hand, ngx_rf_disk_pt handler, void *data);
ngx_rf_disk_job_t *ngx_rf_disk_hand_done(ngx_rf_disk_t *disk, const char *name,
    ngx_rf_record_t *rest, ngx_rf_disk_pt handler, void *data);

/* closes the segment if it is of another generation; nothing in flight */
void ngx_rf_disk_log_close(ngx_rf_disk_t *disk, ngx_uint_t generation);

/* the job's owner goes away: its handler will not be called */
#define ngx_rf_disk_cut(job)    (job)->handler = NULL

ngx_uint_t ngx_rf_disk_writing(ngx_rf_disk_t *disk);
ngx_uint_t ngx_rf_disk_logging(ngx_rf_disk_t *disk);

/* at exit, when nothing is in flight: blocking */
ngx_int_t ngx_rf_disk_log_now(ngx_rf_disk_t *disk,
    ngx_rf_journal_batch_t *batch, ngx_rf_file_error_t *error);

/* at exit, when the threads have ended: brings home what they had finished */
void ngx_rf_disk_finish(ngx_rf_disk_t *disk);


#endif /* _NGX_RF_DISK_H_INCLUDED_ */
