/*
 * The journal in front of the files: local changes and acknowledgements, one
 * line of text each, appended and synced in batches.  Runs in pool threads
 * (and in the loop at exit, in the master at start): malloc() only, no shared
 * memory, no logging; errors are in the results.
 *
 * Layout: {path}/{db}/journal/{number, 16 hex digits}.log, a segment.  Each
 * worker appends to one of its own.  Lines are "X CCCCCCCC JSON\n", X saying
 * what it is and C being the CRC-32 of the JSON in hex:
 *
 *   H  the segment's head: number, base, seq
 *   R  a record, as in a file
 *   A  an acknowledgement: records of that key up to that version are done with
 *   C  the end of a batch: its number of lines and the CRC-32 of all of them
 *
 * Guarantees: what append_thread() has returned NGX_OK for survives a crash of
 * the host.  A batch counts as a whole or not at all, if it is the last of its
 * segment: what lies behind the last C was torn and is cut.  Zeros at the end
 * are room for more.  Segments with a number below the base, the highest that
 * any head has, are garbage.
 *
 * Refuses to know: which records are still needed, and what for.
 */

#ifndef _NGX_RF_JOURNAL_H_INCLUDED_
#define _NGX_RF_JOURNAL_H_INCLUDED_


#include "ngx_rf.h"
#include "ngx_rf_file.h"


/* bytes from which on a segment is full */
#define NGX_RF_JOURNAL_SEGMENT  (16 * 1024 * 1024)

/* bytes of zeros that a segment has ahead of what is written, at most: a sync
 * of blocks that the file already has takes half as long as one that has to
 * make it longer (ext4: 115 and 250 us, docs/performance.md) */
#define NGX_RF_JOURNAL_AHEAD    (256 * 1024)

/* a journal of fewer bytes than this has but heads of segments in it, one for
 * each of a few workers */
#define NGX_RF_JOURNAL_REST     1024


/* a writer; belongs to whoever calls, one call at a time */

typedef struct {
    ngx_fd_t              fd;           /* NGX_INVALID_FILE: none is open */
    ngx_uint_t            generation;
    off_t                 size;         /* written */
    off_t                 end;          /* of the file: zeros from size on */
} ngx_rf_journal_t;


typedef struct {
    /* for the head, where a segment has to be begun: number is new */
    uint64_t              number;
    uint64_t              base;
    uint64_t              seq;          /* no version is higher */
    ngx_uint_t            generation;   /* another one than that of the open
                                           segment begins a new one */

    ngx_rf_record_t      *records;      /* with "remove": acknowledgements */
    ngx_uint_t            garbage;      /* base: what is below it is garbage as
                                           it is, by the mark */

    /* results */
    off_t                 bytes;        /* appended */
} ngx_rf_journal_batch_t;


void ngx_rf_journal_init(ngx_rf_journal_t *journal);
/* without a sync: nothing is open but what was synced */
void ngx_rf_journal_close(ngx_rf_journal_t *journal);

/*
 * Appends the batch and syncs it.  NGX_OK: all of it is durable.  NGX_ERROR:
 * nothing of it counts; the segment is closed, so that the next batch does not
 * come behind what is left of this one.
 */
ngx_int_t ngx_rf_journal_append_thread(ngx_rf_journal_t *journal,
    ngx_rf_file_conf_t *conf, ngx_rf_journal_batch_t *batch,
    ngx_rf_file_error_t *error);

/*
 * All segments below batch->base become garbage, in one step, and are removed.
 * On return the journal is open at batch->number, and batch->bytes is what all
 * segments take now, -1: nobody could look, and none was removed.  NGX_ERROR:
 * the base is not durable, nothing is removed, unless the mark says that it may
 * be: then it is, which may give the disk the room for the next try.  What
 * cannot be removed stays and is garbage.
 */
ngx_int_t ngx_rf_journal_base_thread(ngx_rf_journal_t *journal,
    ngx_rf_file_conf_t *conf, ngx_rf_journal_batch_t *batch,
    ngx_rf_file_error_t *error);


/*
 * Reads all segments, slice by slice.  Zeroed at first, but for what the caller
 * sets; read_end() frees what it holds.  Read records first and then, with
 * "acks" and a new read, acknowledgements: of segments that were written side
 * by side no order is the right one.
 */

#define NGX_RF_JOURNAL_ERRORS   4

typedef struct {
    /* set by the caller */
    uint64_t              mark;         /* records up to it are left out */
    ngx_uint_t            n;            /* records in a slice, at least 1 */
    unsigned              acks:1;
    unsigned              files:1;      /* says of each record whether its key
                                           has a file ("filed"), and gives
                                           that file's instead if it is newer;
                                           of an acknowledgement whether it is
                                           of that file, too */
    unsigned              single:1;     /* only the segment "number", garbage or
                                           not; base, seq and next stay 0 */
    uint64_t              number;       /* else of the segment that the slice
                                           has ended in */

    /* the slice; records are the caller's to take, or freed by the next */
    ngx_rf_record_t      *records;
    ngx_uint_t            nrecords;
    ngx_uint_t            nerrors;      /* of this slice; see damaged, unread */
    ngx_rf_file_error_t   errors[NGX_RF_JOURNAL_ERRORS];

    /* totals */
    uint64_t              base;
    uint64_t              seq;          /* no version of an earlier run is
                                           higher, as far as heads tell */
    uint64_t              next;         /* numbers from here on are new */
    off_t                 bytes;        /* of all segments */
    ngx_uint_t            nsegments;    /* that are no garbage */
    ngx_uint_t            lines;        /* records and acknowledgements */
    ngx_uint_t            torn;         /* segments with a torn tail */
    ngx_uint_t            damaged;      /* segments that are damaged before
                                           their tail */
    ngx_uint_t            unread;       /* segments that cannot be read now */
    ngx_uint_t            unknown;      /* lines with a good checksum that hold
                                           no record, or no acknowledgement */

    /* private */
    uint64_t             *numbers;
    ngx_uint_t            nnumbers;
    ngx_uint_t            at;           /* index of the segment */
    u_char               *text;         /* of that segment */
    u_char               *pos;
    u_char               *last;         /* end of its last whole batch */
    unsigned              listed:1;
    unsigned              broken:1;     /* this segment is damaged */
    struct ngx_rf_journal_seen_s  *seen;        /* files */
} ngx_rf_journal_read_t;

/*
 * NGX_OK: a slice, more is to come.  NGX_DONE: that was the last one.
 * NGX_ERROR: the directory cannot be read, or there is no memory; again later.
 * A damaged segment gives what is whole of it, and an error; unless "keep" it
 * is linked into quarantine/ as journal-NUMBER.log.
 */
ngx_int_t ngx_rf_journal_read_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_read_t *rd, ngx_uint_t keep);
void ngx_rf_journal_read_end(ngx_rf_journal_read_t *rd);

/*
 * What "files" does, for a rest of rd->records: where files have come since
 * they were read.  NGX_ERROR: the directory cannot be read, or no memory.
 */
ngx_int_t ngx_rf_journal_files_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_read_t *rd, ngx_rf_record_t **list);


/*
 * What an instance that does not have the path leaves to the one that has it:
 * {path}/{db}/handover/{16 and 8 hex digits}.log, one batch of the lines above,
 * without a head.  Files appear whole, and in the order of their names.
 *
 * hand_write(): the records, durable; "seq" is of the time, and makes the name.
 * hand_read(): the first file whose name is above hand->after ("": any), all of
 * it.  NGX_OK; NGX_DONE: there is none; NGX_ERROR: cannot be read, now.  Of one
 * that is damaged what is whole is used, and it is linked into quarantine/ as
 * handover-NAME, unless "keep"; what is no file goes there.
 * hand_done(): the file has only these records from now on, or is removed;
 * durable on return.
 */

#define NGX_RF_JOURNAL_HAND     30      /* a name, and NUL */

typedef struct {
    /* set by the caller */
    char                  after[NGX_RF_JOURNAL_HAND];
    unsigned              files:1;      /* as of ngx_rf_journal_read_t; a record
                                           that its key's file has taken in
                                           already is left out */

    char                  name[NGX_RF_JOURNAL_HAND];
    ngx_rf_record_t      *records;      /* the caller's */
    ngx_uint_t            nrecords;
    ngx_uint_t            unknown;      /* see ngx_rf_journal_read_t */
    ngx_uint_t            damaged;      /* 1: "error" says which */
    ngx_rf_file_error_t   error;
} ngx_rf_journal_hand_t;

ngx_int_t ngx_rf_journal_hand_write_thread(ngx_rf_file_conf_t *conf,
    uint64_t seq, ngx_rf_record_t *records, ngx_rf_file_error_t *error);
ngx_int_t ngx_rf_journal_hand_read_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_hand_t *hand, ngx_uint_t keep);
ngx_int_t ngx_rf_journal_hand_done_thread(ngx_rf_file_conf_t *conf,
    const char *name, ngx_rf_record_t *records, ngx_rf_file_error_t *error);


#endif /* _NGX_RF_JOURNAL_H_INCLUDED_ */
