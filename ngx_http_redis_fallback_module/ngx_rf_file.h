/*
 * The file tier's blocking side: where a key's file is, writing a batch,
 * reading, walking, quarantine, the durable mark, the lock of the path.  Runs
 * in pool threads (and in the loop at exit, or where nginx has no threads): no
 * pools, no shared memory, no logging; errors are in the results.
 *
 * A file appears whole or not at all: temp file in {path}/{database}/tmp,
 * written, fsynced, renamed; then the directories are fsynced, once per
 * batch each.  Nothing below {path} is followed through a symlink.
 *
 * Layout: {path}/lock, {path}/quarantine/, {path}/{db}/mark,
 * {path}/{db}/mark.spare, {path}/{db}/tmp/, {path}/{db}/ab/cd/ef/{md5}.json
 */

#ifndef _NGX_RF_FILE_H_INCLUDED_
#define _NGX_RF_FILE_H_INCLUDED_


#include "ngx_rf.h"


typedef struct {
    ngx_str_t             path;         /* NUL-terminated, no trailing slash */
    ngx_uint_t            levels[3];    /* digits per level, 0: level unused */
    ngx_uint_t            database;
    size_t                max_size;     /* larger files are no records; 0: none
                                           refused up to 1 GB */
    ngx_atomic_t         *taken;        /* 1: others write here from now on, and
                                           no file is changed any more; NULL:
                                           that does not happen */
} ngx_rf_file_conf_t;


/* an error on its way home to the loop, which logs it */

typedef struct {
    ngx_err_t             err;
    const char           *what;         /* "open()", "rename()", or a reason */
    u_char                name[512];    /* the file, NUL-terminated */
} ngx_rf_file_error_t;


/*
 * Writes the records (removes the files of those with "remove") and makes all
 * of it durable.  Sets status, err and failed of each; returns the number of
 * records that failed and the first error in *error.  One that failed may be
 * in its file all the same, not synced, which "filed" says then.  Emptied
 * directories of removed files are removed too.  "wrote" and "removed" count
 * files that are new and files that are gone.
 */
ngx_uint_t ngx_rf_file_write_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_record_t *list, ngx_uint_t *wrote, ngx_uint_t *removed,
    ngx_rf_file_error_t *error);

/*
 * NGX_OK: *rec, free() it.  NGX_DECLINED: no file, or one with a version at or
 * below "mark" (garbage).  NGX_ABORT: not a record; it was moved to
 * quarantine, error names it.  NGX_ERROR: I/O error, the file stays.
 */
ngx_int_t ngx_rf_file_read_thread(ngx_rf_file_conf_t *conf, ngx_str_t *key,
    uint64_t mark, ngx_rf_record_t **rec, ngx_rf_file_error_t *error);

/*
 * Walks all files in the order of their digests, in slices.  "after" is where
 * to go on: 32 hex digits of the last file seen, zeroed at first.  Returns up
 * to n records (or about "bytes" of values); garbage at or below the mark is
 * unlinked on the way, what is no record is moved to quarantine, each with an
 * entry in "errors": 16 end a slice, so that each is named (of what is in the
 * way of a walk there may be more, counted in nerrors).  NGX_OK: more to come;
 * NGX_DONE: that was the last slice.  NGX_ERROR: cannot be walked.
 */
typedef struct {
    u_char                after[33];
    uint64_t              mark;
    ngx_uint_t            n;
    size_t                bytes;

    ngx_rf_record_t      *records;
    ngx_uint_t            nrecords;
    ngx_uint_t            garbage;      /* files unlinked */
    ngx_uint_t            quarantined;
    ngx_uint_t            unread;       /* files and directories that cannot
                                           be read and may be records */
    ngx_uint_t            nerrors;
    ngx_rf_file_error_t   errors[16];
} ngx_rf_file_walk_t;

ngx_int_t ngx_rf_file_walk_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_file_walk_t *walk);

/* keeps a record that Redis will never accept: {path}/quarantine/{md5}-
 * {version}.json with a further field "reason"; durable on return */
ngx_int_t ngx_rf_file_quarantine_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_record_t *rec, ngx_str_t *reason, ngx_rf_file_error_t *error);

/* the end of a recovery: records with a version up to the mark are garbage.  On
 * a full disk it takes the place of mark.spare, which is made in time: a
 * recovery could not end otherwise, nor give back the room that its files
 * take */
ngx_int_t ngx_rf_file_mark_write_thread(ngx_rf_file_conf_t *conf,
    uint64_t mark, ngx_rf_file_error_t *error);
/* *mark is 0 where there is none */
ngx_int_t ngx_rf_file_mark_read_thread(ngx_rf_file_conf_t *conf,
    uint64_t *mark, ngx_rf_file_error_t *error);

/*
 * Makes {path} and what belongs into it with mode 0700 (parents 0755 as far as
 * they are missing), owned by uid and gid if not -1.
 */
ngx_int_t ngx_rf_file_prepare(ngx_rf_file_conf_t *conf, uid_t uid, gid_t gid,
    ngx_rf_file_error_t *error);

/* the path's lock; *fd stays open while it is held (flock(2), close-on-exec).
 * NGX_OK, NGX_BUSY: somebody else holds it, NGX_ERROR */
ngx_int_t ngx_rf_file_lock(ngx_rf_file_conf_t *conf, ngx_fd_t *fd,
    ngx_rf_file_error_t *error);

/* whether there is any record file: a quick look, 1 when in doubt */
ngx_uint_t ngx_rf_file_any(ngx_rf_file_conf_t *conf);


#endif /* _NGX_RF_FILE_H_INCLUDED_ */
