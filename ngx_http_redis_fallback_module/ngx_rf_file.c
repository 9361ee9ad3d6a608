/*
 * Owns writing and reading records as files: a batch that is made durable as
 * a whole, one key's file, the quarantine of what Redis refuses, the mark.
 *
 * Guarantees: a file appears whole or not at all, whatever fails, and what
 * could not be written leaves the old file as it was; NGX_OK means that it
 * survives a crash of the host.  Refuses to know why a record is written.
 * Runs in threads: malloc() only.
 */

#include "ngx_rf_file_parts.h"
#include "ngx_rf_codec.h"


/*
 * A small batch syncs each file and each directory that it touched; beyond
 * this, two syncfs() are cheaper, although they also flush what others wrote.
 */
#if (NGX_LINUX)
#define NGX_RF_FILE_SYNC_EACH   16
#else
#define NGX_RF_FILE_SYNC_EACH   NGX_MAX_INT_T_VALUE
#endif

/* directories to sync that are kept open: 3 levels and {db}, 16 records */
#define NGX_RF_FILE_DIRTY       64

/* a file may be replaced while it is looked at; more often is no accident */
#define NGX_RF_FILE_TRIES       5

/* of the spare mark: any file system's */
#define NGX_RF_FILE_BLOCK       4096

/* of the mark: decimal digits and a line feed */
#define NGX_RF_FILE_MARK_MAX    32


typedef struct {
    ngx_rf_record_t      *rec;
    ngx_uint_t            staged;       /* there is a temp file */
    char                  temp[NGX_RF_FILE_TEMP];
    u_char                hex[NGX_RF_FILE_HEX + 1];
} ngx_rf_file_item_t;


typedef struct {
    ngx_fd_t              fd;
    dev_t                 dev;
    ino_t                 ino;
} ngx_rf_file_dirty_t;


typedef struct {
    ngx_rf_file_root_t    root;
    ngx_fd_t              tmp;
    ngx_rf_file_error_t  *error;

    ngx_rf_file_item_t   *items;
    ngx_uint_t            n;
    ngx_uint_t            large;

    ngx_uint_t            failed;
    ngx_uint_t            wrote;
    ngx_uint_t            removed;

    ngx_rf_file_dirty_t   dirty[NGX_RF_FILE_DIRTY];
    ngx_uint_t            ndirty;
    ngx_uint_t            changed;      /* large: some directory was */
    ngx_err_t             sync_err;     /* of a directory, the first */
} ngx_rf_file_batch_t;


/* looked at before each change: a batch may take seconds, a change does not */
#define ngx_rf_file_taken(conf)  ((conf)->taken != NULL && *(conf)->taken == 1)


static ngx_int_t ngx_rf_file_batch_create(ngx_rf_file_batch_t *batch,
    ngx_rf_file_conf_t *conf, ngx_rf_record_t *list);
static ngx_int_t ngx_rf_file_batch_open(ngx_rf_file_batch_t *batch,
    ngx_rf_file_conf_t *conf);
static void ngx_rf_file_batch_run(ngx_rf_file_batch_t *batch);
static void ngx_rf_file_item_stage(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item);
static void ngx_rf_file_item_unstage(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item);
static void ngx_rf_file_item_commit(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item);
static const char *ngx_rf_file_item_rename(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item, ngx_rf_file_chain_t *chain);
static void ngx_rf_file_item_remove(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item);
static const char *ngx_rf_file_item_unlink(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item, ngx_rf_file_chain_t *chain);
static ngx_int_t ngx_rf_file_item_known(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item, ngx_fd_t dir, const char **why);
static void ngx_rf_file_item_fail(ngx_rf_file_batch_t *batch,
    ngx_rf_file_item_t *item, ngx_err_t err, const char *what);
static void ngx_rf_file_batch_touch(ngx_rf_file_batch_t *batch, ngx_fd_t fd);
static void ngx_rf_file_batch_sync_dirs(ngx_rf_file_batch_t *batch);
static void ngx_rf_file_batch_sync(ngx_rf_file_batch_t *batch);
static void ngx_rf_file_batch_fail_all(ngx_rf_file_batch_t *batch,
    ngx_err_t err, const char *what);

static ngx_int_t ngx_rf_file_read_once(ngx_rf_file_root_t *root,
    const u_char *hex, uint64_t mark, ngx_rf_record_t **rec,
    ngx_rf_file_error_t *error);
static ngx_int_t ngx_rf_file_mark_spare(ngx_rf_file_root_t *root,
    const char *text, size_t len, const char **what);


ngx_uint_t
ngx_rf_file_write_thread(ngx_rf_file_conf_t *conf, ngx_rf_record_t *list,
    ngx_uint_t *wrote, ngx_uint_t *removed, ngx_rf_file_error_t *error)
{
    ngx_uint_t            failed;
    ngx_rf_record_t      *rec;
    ngx_rf_file_batch_t   batch;

    ngx_memzero(&batch, sizeof(ngx_rf_file_batch_t));
    error->what = NULL;
    batch.error = error;

    *wrote = 0;
    *removed = 0;

    if (list == NULL) {
        return 0;
    }

    if (ngx_rf_file_batch_create(&batch, conf, list) != NGX_OK) {
        failed = 0;

        for (rec = list; rec; rec = rec->next) {
            rec->status = NGX_ERROR;
            rec->err = error->err;
            rec->failed = error->what;
            failed++;
        }

        return failed;
    }

    ngx_rf_file_batch_run(&batch);

    close(batch.tmp);
    ngx_rf_file_root_close(&batch.root);
    free(batch.items);

    *wrote = batch.wrote;
    *removed = batch.removed;

    return batch.failed;
}


static ngx_int_t
ngx_rf_file_batch_create(ngx_rf_file_batch_t *batch, ngx_rf_file_conf_t *conf,
    ngx_rf_record_t *list)
{
    ngx_uint_t           n;
    ngx_rf_record_t     *rec;
    ngx_rf_file_item_t  *item;

    n = 0;

    for (rec = list; rec; rec = rec->next) {
        n++;
    }

    batch->n = n;
    batch->large = (n > NGX_RF_FILE_SYNC_EACH);

    batch->items = malloc(n * sizeof(ngx_rf_file_item_t));
    if (batch->items == NULL) {
        ngx_rf_file_fail(batch->error, conf, NGX_ENOMEM, "malloc()", "");
        return NGX_ERROR;
    }

    item = batch->items;

    for (rec = list; rec; rec = rec->next, item++) {
        rec->status = NGX_OK;
        rec->err = 0;
        rec->failed = NULL;
        rec->filed = 0;

        item->rec = rec;
        item->staged = 0;
        ngx_rf_file_digest(&rec->key, item->hex);
    }

    if (ngx_rf_file_batch_open(batch, conf) != NGX_OK) {
        free(batch->items);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_file_batch_open(ngx_rf_file_batch_t *batch, ngx_rf_file_conf_t *conf)
{
    ngx_err_t  err;

    if (ngx_rf_file_root_open(&batch->root, conf, 1, batch->error) != NGX_OK) {
        return NGX_ERROR;
    }

    batch->tmp = ngx_rf_file_dir_open(batch->root.db, "tmp", 1, NULL);

    if (batch->tmp == NGX_INVALID_FILE) {
        err = ngx_errno;
        ngx_rf_file_root_close(&batch->root);
        ngx_rf_file_fail(batch->error, conf, err, "openat()", "%ui/tmp",
                         conf->database);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_rf_file_batch_run(ngx_rf_file_batch_t *batch)
{
    ngx_rf_file_item_t  *item, *last;

    last = batch->items + batch->n;

    for (item = batch->items; item < last; item++) {
        if (!item->rec->remove) {
            ngx_rf_file_item_stage(batch, item);
        }
    }

#if (NGX_LINUX)

    /* the data must be on disk before a name points to it */

    if (batch->large && syncfs(batch->root.db) != 0) {
        ngx_rf_file_batch_fail_all(batch, ngx_errno, "syncfs()");
        return;
    }

#endif

    ngx_rf_file_busy(&batch->root);

    for (item = batch->items; item < last; item++) {
        if (ngx_rf_file_taken(batch->root.conf)) {
            ngx_rf_file_item_unstage(batch, item);
            ngx_rf_file_item_fail(batch, item, 0, "another process writes now");

        } else if (item->rec->remove) {
            ngx_rf_file_item_remove(batch, item);

        } else if (item->staged) {
            ngx_rf_file_item_commit(batch, item);
        }
    }

    ngx_rf_file_idle(&batch->root);

    ngx_rf_file_batch_sync(batch);
}


static void
ngx_rf_file_item_stage(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item)
{
    size_t       len;
    u_char      *data;
    const char  *failed;

    if (ngx_rf_codec_encode(item->rec, &data, &len) != NGX_OK) {
        ngx_rf_file_item_fail(batch, item, NGX_ENOMEM, "malloc()");
        return;
    }

    ngx_rf_file_temp_name(item->temp, (char *) item->hex);

    failed = ngx_rf_file_temp_write(batch->tmp, item->temp, data, len,
                                    !batch->large);

    if (failed) {
        ngx_rf_file_item_fail(batch, item, ngx_errno, failed);

    } else {
        item->staged = 1;
    }

    ngx_rf_codec_drop(data, len);
}


static void
ngx_rf_file_item_unstage(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item)
{
    if (item->staged) {
        (void) unlinkat(batch->tmp, item->temp, 0);
        item->staged = 0;
    }
}


static void
ngx_rf_file_item_commit(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item)
{
    ngx_err_t             err;
    ngx_uint_t            i;
    const char           *failed;
    ngx_rf_file_chain_t   chain;

    if (ngx_rf_file_chain_open(&batch->root, item->hex, 1, &chain) != NGX_OK) {
        err = ngx_errno;
        failed = "openat()";

    } else {
        failed = ngx_rf_file_item_rename(batch, item, &chain);
        err = ngx_errno;

        if (failed == NULL) {

            /* also those that were there: whoever made them may not have
             * synced their names yet, or have failed to */

            for (i = 0; i <= chain.n; i++) {
                ngx_rf_file_batch_touch(batch, chain.fd[i]);
            }

        } else if (chain.made) {
            (void) ngx_rf_file_chain_prune(&chain);
        }

        ngx_rf_file_chain_close(&chain);
    }

    if (failed) {
        ngx_rf_file_item_unstage(batch, item);
        ngx_rf_file_item_fail(batch, item, err, failed);
    }
}


static const char *
ngx_rf_file_item_rename(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item,
    ngx_rf_file_chain_t *chain)
{
    char          name[NGX_RF_FILE_NAME];
    ngx_fd_t      dir;
    ngx_uint_t    fresh;
    struct stat   st;

    dir = chain->fd[chain->n];
    ngx_rf_file_name(item->hex, name);

    fresh = (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0);

    /* rename() would say so too, unless the directory is empty somewhere */

    if (!fresh && S_ISDIR(st.st_mode)) {
        ngx_set_errno(NGX_EISDIR);
        return "renameat()";
    }

    if (renameat(batch->tmp, item->temp, dir, name) != 0) {
        return "renameat()";
    }

    item->staged = 0;
    item->rec->filed = 1;
    batch->wrote += fresh;

    return NULL;
}


static void
ngx_rf_file_item_remove(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item)
{
    ngx_err_t             err;
    ngx_int_t             rc;
    const char           *failed;
    ngx_rf_file_chain_t   chain;

    rc = ngx_rf_file_chain_open(&batch->root, item->hex, 0, &chain);

    if (rc == NGX_DECLINED) {
        return;
    }

    if (rc != NGX_OK) {
        ngx_rf_file_item_fail(batch, item, ngx_errno, "openat()");
        return;
    }

    failed = ngx_rf_file_item_unlink(batch, item, &chain);
    err = ngx_errno;

    ngx_rf_file_chain_close(&chain);

    if (failed) {
        ngx_rf_file_item_fail(batch, item, err, failed);
    }
}


static const char *
ngx_rf_file_item_unlink(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item,
    ngx_rf_file_chain_t *chain)
{
    char         name[NGX_RF_FILE_NAME];
    ngx_fd_t     dir;
    ngx_int_t    rc;
    const char  *why;

    dir = chain->fd[chain->n];

    rc = ngx_rf_file_item_known(batch, item, dir, &why);

    if (rc == NGX_ERROR) {
        return why;
    }

    if (rc == NGX_DECLINED) {
        return NULL;
    }

    if (rc == NGX_OK) {
        ngx_rf_file_name(item->hex, name);

        if (unlinkat(dir, name, 0) != 0) {
            return (ngx_errno == NGX_ENOENT) ? NULL : "unlinkat()";
        }
    }

    batch->removed++;

    /* the lowest directory that stays has changed */

    ngx_rf_file_batch_touch(batch, chain->fd[ngx_rf_file_chain_prune(chain)]);

    return NULL;
}


/*
 * NGX_OK: the file may go.  NGX_DECLINED: there is none, or it holds a newer
 * version, written by another process during a reload.  NGX_DONE: it was no
 * record, and is in quarantine now.
 */

static ngx_int_t
ngx_rf_file_item_known(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item,
    ngx_fd_t dir, const char **why)
{
    uint64_t          version;
    ngx_int_t         rc;
    struct stat       st;
    ngx_rf_record_t  *rec;

    if (item->rec->version == 0) {
        return NGX_OK;
    }

    if (ngx_rf_file_record_version(dir, item->hex, &version) != NGX_OK) {

        rc = ngx_rf_file_record_read(batch->root.conf, dir, item->hex, 0, &rec,
                                     &st, why);

        if (rc == NGX_ABORT) {
            rc = ngx_rf_file_record_banish(&batch->root, dir, item->hex, why);
            return (rc == NGX_OK) ? NGX_DONE : NGX_ERROR;
        }

        if (rc != NGX_OK) {
            /* what is a directory is not this record's file */
            return (rc == NGX_DECLINED || ngx_errno == NGX_EISDIR)
                   ? NGX_DECLINED : NGX_ERROR;
        }

        version = rec->version;
        ngx_rf_codec_free(rec);
    }

    return (version <= item->rec->version) ? NGX_OK : NGX_DECLINED;
}


static void
ngx_rf_file_item_fail(ngx_rf_file_batch_t *batch, ngx_rf_file_item_t *item,
    ngx_err_t err, const char *what)
{
    item->rec->status = NGX_ERROR;
    item->rec->err = err;
    item->rec->failed = what;

    batch->failed++;

    ngx_rf_file_fail_hex(batch->error, batch->root.conf, err, what, item->hex);
}


static void
ngx_rf_file_batch_touch(ngx_rf_file_batch_t *batch, ngx_fd_t fd)
{
    ngx_fd_t              copy;
    ngx_uint_t            i;
    struct stat           st;
    ngx_rf_file_dirty_t  *dirty;

    batch->changed = 1;

    if (batch->large) {
        return;
    }

    if (fstat(fd, &st) != 0) {
        ngx_memzero(&st, sizeof(struct stat));
    }

    for (i = 0; i < batch->ndirty; i++) {
        dirty = &batch->dirty[i];

        if (dirty->ino == st.st_ino && dirty->dev == st.st_dev) {
            return;
        }
    }

    if (batch->ndirty == NGX_RF_FILE_DIRTY) {
        ngx_rf_file_batch_sync_dirs(batch);
    }

    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy == NGX_INVALID_FILE) {
        /* no descriptor to wait with: now, then */

        if (ngx_rf_file_dir_sync(fd) != NGX_OK && batch->sync_err == 0) {
            batch->sync_err = ngx_errno;
        }

        return;
    }

    dirty = &batch->dirty[batch->ndirty++];
    dirty->fd = copy;
    dirty->dev = st.st_dev;
    dirty->ino = st.st_ino;
}


static void
ngx_rf_file_batch_sync_dirs(ngx_rf_file_batch_t *batch)
{
    ngx_fd_t  fd;

    while (batch->ndirty) {
        fd = batch->dirty[--batch->ndirty].fd;

        if (ngx_rf_file_dir_sync(fd) != NGX_OK && batch->sync_err == 0) {
            batch->sync_err = ngx_errno;
        }

        close(fd);
    }
}


static void
ngx_rf_file_batch_sync(ngx_rf_file_batch_t *batch)
{
#if (NGX_LINUX)

    if (batch->large && batch->changed && syncfs(batch->root.db) != 0) {
        batch->sync_err = ngx_errno;
    }

#endif

    ngx_rf_file_batch_sync_dirs(batch);

    /* which of the records a directory is about does not matter any more */

    if (batch->sync_err) {
        ngx_rf_file_batch_fail_all(batch, batch->sync_err,
                                   batch->large ? "syncfs()" : "fsync()");
    }
}


static void
ngx_rf_file_batch_fail_all(ngx_rf_file_batch_t *batch, ngx_err_t err,
    const char *what)
{
    ngx_uint_t  i;

    for (i = 0; i < batch->n; i++) {
        ngx_rf_file_item_unstage(batch, &batch->items[i]);

        if (batch->items[i].rec->status == NGX_OK) {
            ngx_rf_file_item_fail(batch, &batch->items[i], err, what);
        }
    }
}


ngx_int_t
ngx_rf_file_read_thread(ngx_rf_file_conf_t *conf, ngx_str_t *key,
    uint64_t mark, ngx_rf_record_t **rec, ngx_rf_file_error_t *error)
{
    u_char               hex[NGX_RF_FILE_HEX + 1];
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_rf_file_root_t   root;

    *rec = NULL;
    error->what = NULL;

    rc = ngx_rf_file_root_open(&root, conf, 0, error);
    if (rc != NGX_OK) {
        return rc;
    }

    ngx_rf_file_digest(key, hex);

    i = 0;

    do {
        rc = ngx_rf_file_read_once(&root, hex, mark, rec, error);

    } while (rc == NGX_AGAIN && ++i < NGX_RF_FILE_TRIES);

    ngx_rf_file_root_close(&root);

    if (rc == NGX_AGAIN) {
        ngx_rf_file_fail_hex(error, conf, NGX_EAGAIN, "read()", hex);
        return NGX_ERROR;
    }

    if (rc == NGX_OK
        && ((*rec)->key.len != key->len
            || ngx_memcmp((*rec)->key.data, key->data, key->len) != 0))
    {
        /* two keys of one MD5: this one has no file, see docs/files.md */
        ngx_rf_codec_free(*rec);
        *rec = NULL;
        return NGX_DECLINED;
    }

    return rc;
}


/* NGX_AGAIN: the file has been replaced meanwhile */

static ngx_int_t
ngx_rf_file_read_once(ngx_rf_file_root_t *root, const u_char *hex,
    uint64_t mark, ngx_rf_record_t **rec, ngx_rf_file_error_t *error)
{
    ngx_fd_t              dir;
    ngx_int_t             rc;
    const char           *why, *failed;
    struct stat           st;
    ngx_rf_file_chain_t   chain;

    rc = ngx_rf_file_chain_open(root, hex, 0, &chain);

    if (rc != NGX_OK) {
        if (rc == NGX_ERROR) {
            ngx_rf_file_fail_hex(error, root->conf, ngx_errno, "openat()",
                                 hex);
        }

        return rc;
    }

    dir = chain.fd[chain.n];

    rc = ngx_rf_file_record_read(root->conf, dir, hex, mark, rec, &st, &why);

    switch (rc) {

    case NGX_ERROR:
        if (ngx_errno == NGX_EISDIR) {
            /* not this record's file */
            rc = NGX_DECLINED;
            break;
        }

        ngx_rf_file_fail_hex(error, root->conf, ngx_errno, why, hex);
        break;

    case NGX_DONE:
        rc = NGX_DECLINED;
        break;

    case NGX_ABORT:
        ngx_rf_file_busy(root);

        if (!ngx_rf_file_record_same(dir, hex, &st)) {
            rc = NGX_AGAIN;

        } else if (ngx_rf_file_record_banish(root, dir, hex, &failed)
                   != NGX_OK)
        {
            rc = NGX_ERROR;
            ngx_rf_file_fail_hex(error, root->conf, ngx_errno, failed, hex);

        } else {
            ngx_rf_file_fail_hex(error, root->conf, 0, why, hex);
        }

        ngx_rf_file_idle(root);
        break;
    }

    ngx_rf_file_chain_close(&chain);

    return rc;
}


ngx_int_t
ngx_rf_file_quarantine_thread(ngx_rf_file_conf_t *conf, ngx_rf_record_t *rec,
    ngx_str_t *reason, ngx_rf_file_error_t *error)
{
    char                 name[NGX_RF_FILE_TEMP];
    size_t               len;
    u_char               hex[NGX_RF_FILE_HEX + 1], *data;
    ngx_fd_t             dir;
    ngx_int_t            rc;
    const char          *what;
    ngx_rf_file_root_t   root;

    error->what = NULL;

    if (ngx_rf_codec_encode_rejected(rec, reason, &data, &len) != NGX_OK) {
        ngx_rf_file_fail(error, conf, NGX_ENOMEM, "malloc()", "quarantine");
        return NGX_ERROR;
    }

    if (ngx_rf_file_root_open(&root, conf, 1, error) != NGX_OK) {
        ngx_rf_codec_drop(data, len);
        return NGX_ERROR;
    }

    ngx_rf_file_digest(&rec->key, hex);
    (void) snprintf(name, sizeof(name), "%s-%llu.json", (char *) hex,
                    (unsigned long long) rec->version);

    rc = NGX_ERROR;
    what = "openat()";

    dir = ngx_rf_file_dir_open(root.base, "quarantine", 1, NULL);

    if (dir != NGX_INVALID_FILE) {
        rc = ngx_rf_file_put(&root, dir, name, data, len, &what);
    }

    if (rc != NGX_OK) {
        ngx_rf_file_fail(error, conf, ngx_errno, what, "quarantine/%s", name);
    }

    if (dir != NGX_INVALID_FILE) {
        close(dir);
    }

    ngx_rf_file_root_close(&root);
    ngx_rf_codec_drop(data, len);

    return rc;
}


ngx_int_t
ngx_rf_file_mark_write_thread(ngx_rf_file_conf_t *conf, uint64_t mark,
    ngx_rf_file_error_t *error)
{
    char                 text[NGX_RF_FILE_MARK_MAX];
    int                  len;
    ngx_int_t            rc;
    const char          *what;
    ngx_rf_file_root_t   root;

    error->what = NULL;

    if (ngx_rf_file_root_open(&root, conf, 1, error) != NGX_OK) {
        return NGX_ERROR;
    }

    len = snprintf(text, sizeof(text), "%llu\n", (unsigned long long) mark);

    rc = ngx_rf_file_put(&root, root.db, "mark", (u_char *) text, (size_t) len,
                         &what);

    if (rc == NGX_OK) {
        ngx_rf_file_spare(&root);

    } else if (ngx_errno == NGX_ENOSPC || ngx_errno == EDQUOT) {
        rc = ngx_rf_file_mark_spare(&root, text, (size_t) len, &what);
    }

    if (rc != NGX_OK) {
        ngx_rf_file_fail(error, conf, ngx_errno, what, "%ui/mark",
                         conf->database);
    }

    ngx_rf_file_root_close(&root);

    return rc;
}


/* into room that is ours already; what follows the line feed does not count */

static ngx_int_t
ngx_rf_file_mark_spare(ngx_rf_file_root_t *root, const char *text, size_t len,
    const char **what)
{
    ngx_fd_t   fd;
    ngx_err_t  err;

    *what = NULL;

    fd = openat(root->db, NGX_RF_FILE_SPARE, O_WRONLY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        *what = "openat()";
        return NGX_ERROR;
    }

    if (pwrite(fd, text, len, 0) != (ssize_t) len) {
        *what = "pwrite()";

    } else if (fdatasync(fd) != 0) {
        *what = "fdatasync()";

    } else if (renameat(root->db, NGX_RF_FILE_SPARE, root->db, "mark") != 0) {
        *what = "renameat()";

    } else if (ngx_rf_file_dir_sync(root->db) != NGX_OK) {
        *what = "fsync()";
    }

    err = ngx_errno;
    close(fd);

    if (*what == NULL) {
        /* in the room of the old mark */
        ngx_rf_file_spare(root);
    }

    ngx_set_errno(err);

    return *what ? NGX_ERROR : NGX_OK;
}


/* in time is when there is room: what fails is tried again at the next mark */

void
ngx_rf_file_spare(ngx_rf_file_root_t *root)
{
    u_char       block[NGX_RF_FILE_BLOCK];
    const char  *what;
    struct stat  st;

    if (fstatat(root->db, NGX_RF_FILE_SPARE, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return;
    }

    ngx_memset(block, LF, sizeof(block));

    (void) ngx_rf_file_put(root, root->db, NGX_RF_FILE_SPARE, block,
                           sizeof(block), &what);
}


ngx_int_t
ngx_rf_file_mark_read_thread(ngx_rf_file_conf_t *conf, uint64_t *mark,
    ngx_rf_file_error_t *error)
{
    char                 text[NGX_RF_FILE_MARK_MAX], *end;
    ssize_t              n;
    ngx_fd_t             fd;
    ngx_err_t            err;
    ngx_int_t            rc;
    const char          *what;
    ngx_rf_file_root_t   root;

    *mark = 0;
    error->what = NULL;

    rc = ngx_rf_file_root_open(&root, conf, 0, error);
    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    what = "openat()";
    n = -1;

    fd = openat(root.db, "mark", O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);
    err = ngx_errno;

    if (fd != NGX_INVALID_FILE) {
        what = "read()";
        n = read(fd, text, sizeof(text) - 1);
        err = ngx_errno;
        close(fd);
    }

    ngx_rf_file_root_close(&root);

    if (fd == NGX_INVALID_FILE && err == NGX_ENOENT) {
        return NGX_OK;
    }

    if (n != -1) {
        text[n] = '\0';
        ngx_set_errno(0);

        *mark = strtoull(text, &end, 10);

        if (text[0] >= '0' && text[0] <= '9' && ngx_errno == 0
            && (*end == '\n' || *end == '\0'))
        {
            return NGX_OK;
        }

        /* not 0: that would replay what Redis has */

        *mark = 0;
        err = 0;
        what = "not a number";
    }

    ngx_rf_file_fail(error, conf, err, what, "%ui/mark", conf->database);

    return NGX_ERROR;
}


ngx_int_t
ngx_rf_file_put(ngx_rf_file_root_t *root, ngx_fd_t dir, const char *name,
    const u_char *data, size_t len, const char **what)
{
    char        temp[NGX_RF_FILE_TEMP];
    ngx_fd_t    tmp;
    ngx_err_t   err;

    *what = "openat(tmp)";

    tmp = ngx_rf_file_dir_open(root->db, "tmp", 1, NULL);
    if (tmp == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    ngx_rf_file_temp_name(temp, "put");

    *what = ngx_rf_file_temp_write(tmp, temp, data, len, 1);

    if (*what == NULL && renameat(tmp, temp, dir, name) != 0) {
        *what = "renameat()";

        err = ngx_errno;
        (void) unlinkat(tmp, temp, 0);
        ngx_set_errno(err);
    }

    if (*what == NULL && ngx_rf_file_dir_sync(dir) != NGX_OK) {
        *what = "fsync()";
    }

    err = ngx_errno;
    close(tmp);
    ngx_set_errno(err);

    return *what ? NGX_ERROR : NGX_OK;
}
