/*
 * What the files of the file room share, the journal beside it, tools/, and
 * nobody else: directories of the tree, one file of a key, errors on their way
 * home.
 */

#ifndef _NGX_RF_FILE_PARTS_H_INCLUDED_
#define _NGX_RF_FILE_PARTS_H_INCLUDED_


#include "ngx_rf_file.h"
#include <sys/file.h>
#include <dirent.h>


#define NGX_RF_FILE_HEX         32                      /* digits of MD5 */
#define NGX_RF_FILE_LEVELS      3
#define NGX_RF_FILE_NAME        (NGX_RF_FILE_HEX + sizeof(".json"))
#define NGX_RF_FILE_TEMP        128

/* that a database may have; one is usual */
#define NGX_RF_FILE_LAYOUTS     16

/* larger files are no records, where the configuration does not say */
#define NGX_RF_FILE_SIZE_MAX    (1024 * 1024 * 1024)

/* a mark that has its room before it is needed */
#define NGX_RF_FILE_SPARE       "mark.spare"

#define NGX_RF_FILE_DIR_MODE    0700
#define NGX_RF_FILE_MODE        0600

#define NGX_RF_FILE_DIR_FLAGS                                                 \
    (O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC)


/* {path} and {path}/{database}, open */

typedef struct {
    ngx_rf_file_conf_t   *conf;
    ngx_fd_t              base;
    ngx_fd_t              db;
} ngx_rf_file_root_t;


/* the directories of a digest: fd[0] is the root's db, fd[n] holds the file */

typedef struct {
    ngx_fd_t              fd[NGX_RF_FILE_LEVELS + 1];
    ngx_uint_t            n;
    ngx_uint_t            made;         /* bit i: fd[i + 1] is new in fd[i] */
    char                  name[NGX_RF_FILE_LEVELS][NGX_RF_FILE_HEX + 1];
} ngx_rf_file_chain_t;


/* 33 bytes of hex digits with the final NUL */
void ngx_rf_file_digest(ngx_str_t *key, u_char *hex);
ngx_uint_t ngx_rf_file_is_hex(const char *s, size_t len);
void ngx_rf_file_name(const u_char *hex, char *name);

/* keeps the errno of the moment it is called, and what failed on which file;
 * a second error does not replace the first; the name is below {path} */
void ngx_rf_file_fail(ngx_rf_file_error_t *error, ngx_rf_file_conf_t *conf,
    ngx_err_t err, const char *what, const char *fmt, ...);
/* the same for the file of a digest */
void ngx_rf_file_fail_hex(ngx_rf_file_error_t *error,
    ngx_rf_file_conf_t *conf, ngx_err_t err, const char *what,
    const u_char *hex);

/* NGX_DECLINED: does not exist, only without "create" */
ngx_int_t ngx_rf_file_root_open(ngx_rf_file_root_t *root,
    ngx_rf_file_conf_t *conf, ngx_uint_t create, ngx_rf_file_error_t *error);
void ngx_rf_file_root_close(ngx_rf_file_root_t *root);

/*
 * A directory within one; *made, which may be NULL, is set if it had to be
 * created.  NGX_INVALID_FILE: errno says why.
 */
ngx_fd_t ngx_rf_file_dir_open(ngx_fd_t at, const char *name,
    ngx_uint_t create, ngx_uint_t *made);

/* NGX_OK; NGX_DECLINED: does not exist, only without "create"; NGX_ERROR,
 * errno says why */
ngx_int_t ngx_rf_file_chain_open(ngx_rf_file_root_t *root, const u_char *hex,
    ngx_uint_t create, ngx_rf_file_chain_t *chain);
void ngx_rf_file_chain_close(ngx_rf_file_chain_t *chain);
/* removes what is empty of it, from the leaf up; returns the index of the
 * lowest that stays */
ngx_uint_t ngx_rf_file_chain_prune(ngx_rf_file_chain_t *chain);

/*
 * Between looking at a file and replacing or removing it, nobody else may
 * replace it: threads and, around a reload, processes exclude each other with
 * flock() on a directory that each has opened for itself.
 */
void ngx_rf_file_busy(ngx_rf_file_root_t *root);
void ngx_rf_file_idle(ngx_rf_file_root_t *root);

/* unique among processes and threads */
void ngx_rf_file_temp_name(char *name, const char *hint);
/* a temp file with this content, data synced if "sync"; NULL, or the call that
 * failed, with errno; nothing is left behind then */
const char *ngx_rf_file_temp_write(ngx_fd_t dir, const char *name,
    const u_char *data, size_t len, ngx_uint_t sync);

/* a whole file in a directory, durable on return; errno as *what left it */
ngx_int_t ngx_rf_file_put(ngx_rf_file_root_t *root, ngx_fd_t dir,
    const char *name, const u_char *data, size_t len, const char **what);

/* makes room for a mark, if there is none */
void ngx_rf_file_spare(ngx_rf_file_root_t *root);

/* of a directory; file systems that cannot do that are content without */
ngx_int_t ngx_rf_file_dir_sync(ngx_fd_t fd);

/*
 * The record in a directory's {hex}.json.  NGX_OK; NGX_DECLINED: no such file;
 * NGX_DONE: garbage, at or below the mark; NGX_ABORT: not a record, *why says
 * so; NGX_ERROR: *why is the call that failed, with errno.  "st" tells which
 * file it was that was looked at.
 */
ngx_int_t ngx_rf_file_record_read(ngx_rf_file_conf_t *conf, ngx_fd_t dir,
    const u_char *hex, uint64_t mark, ngx_rf_record_t **rec, struct stat *st,
    const char **why);

/* whether {hex}.json is still the file that was looked at; while busy only */
ngx_uint_t ngx_rf_file_record_same(ngx_fd_t dir, const u_char *hex,
    struct stat *st);

/* the version in a directory's {hex}.json, read off its first bytes;
 * NGX_DECLINED: it takes ngx_rf_file_record_read() to know */
ngx_int_t ngx_rf_file_record_version(ngx_fd_t dir, const u_char *hex,
    uint64_t *version);

/* moves that file to quarantine; while busy only; NGX_ERROR: it stays, *why
 * is the call that failed, with errno */
ngx_int_t ngx_rf_file_record_banish(ngx_rf_file_root_t *root, ngx_fd_t dir,
    const u_char *hex, const char **why);

/*
 * Layouts that files may be in: after "levels" was changed, those of before
 * too.  note() adds the present one; foreign() says whether there are others;
 * adopt() moves the files of all others to where they belong now; NGX_ERROR:
 * some could not be moved, and are for the next time.
 */
ngx_int_t ngx_rf_file_layout_note(ngx_rf_file_root_t *root, uid_t uid,
    gid_t gid);
ngx_uint_t ngx_rf_file_layout_foreign(ngx_rf_file_root_t *root);
ngx_int_t ngx_rf_file_layout_adopt(ngx_rf_file_root_t *root,
    ngx_rf_file_error_t *error);

/* the list of them: NGX_OK, NGX_ERROR with errno */

typedef struct {
    ngx_uint_t            levels[NGX_RF_FILE_LAYOUTS][NGX_RF_FILE_LEVELS];
    ngx_uint_t            n;
} ngx_rf_file_layouts_t;

ngx_int_t ngx_rf_file_layouts_read(ngx_rf_file_root_t *root,
    ngx_rf_file_layouts_t *list);

/*
 * Calls the handler for each {hex}.json in the directories of a layout, in
 * the order of digests, beginning after one; it returns NGX_OK to go on, what
 * else it returns ends the walk.  NGX_DONE: no more files.  What is in the
 * way of the walk goes to *failed.  Directories found empty are removed.
 */
typedef struct ngx_rf_file_tree_s  ngx_rf_file_tree_t;

struct ngx_rf_file_tree_s {
    ngx_rf_file_root_t   *root;
    ngx_uint_t            levels[NGX_RF_FILE_LEVELS];
    const u_char         *after;        /* 33 bytes */
    ngx_uint_t            budget;       /* directories to look into, 0: any;
                                           NGX_AGAIN when it is used up */
    void                 *data;
    ngx_int_t           (*handler)(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
                                   const u_char *hex);
    void                (*failed)(ngx_rf_file_tree_t *tree, ngx_err_t err,
                                  const char *what, const char *name);

    char                  prefix[NGX_RF_FILE_HEX + 1];
    size_t                len;
    ngx_uint_t            dirs;
    ngx_uint_t            gone;         /* files that the handler removed */
};

ngx_int_t ngx_rf_file_tree(ngx_rf_file_tree_t *tree);

#endif /* _NGX_RF_FILE_PARTS_H_INCLUDED_ */
