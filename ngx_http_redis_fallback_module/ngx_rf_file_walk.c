/*
 * Owns going through all files of a store in the order of their digests, in
 * slices, and tidying up on the way: garbage below the mark, empty directories,
 * temp files of processes that are gone.
 *
 * Guarantees: a slice costs its files and the names in the directories above
 * them, wherever it begins; one descriptor for each level is open; a file that
 * is written meanwhile is never removed as what it was before.  Refuses to
 * know what happens to a record.  Runs in threads: malloc() only.
 */

#include "ngx_rf_file_parts.h"
#include <signal.h>


/* a slice of files where the caller does not say */
#define NGX_RF_FILE_WALK_N      1000

/* see ngx_rf_file.c */
#define NGX_RF_FILE_TRIES       5

/* directories that ngx_rf_file_any() looks into before it is in doubt */
#define NGX_RF_FILE_ANY_DIRS    1000

/* a temp file this old is no batch that is still being written, seconds */
#define NGX_RF_FILE_STALE       3600


typedef struct {
    char                  s[NGX_RF_FILE_HEX + 1];
} ngx_rf_file_entry_t;


typedef struct {
    ngx_rf_file_entry_t  *elts;
    size_t                n;
    size_t                size;
    ngx_uint_t            other;        /* anything else in the directory */
} ngx_rf_file_entries_t;


typedef struct {
    ngx_rf_file_walk_t   *walk;
    ngx_rf_file_conf_t   *conf;
    ngx_rf_record_t     **next;
    ngx_uint_t            seen;
    size_t                bytes;
} ngx_rf_file_slice_t;


static ngx_int_t ngx_rf_file_tree_dir(ngx_rf_file_tree_t *tree, ngx_fd_t fd,
    ngx_uint_t level, ngx_uint_t *empty);
static ngx_int_t ngx_rf_file_tree_sub(ngx_rf_file_tree_t *tree, ngx_fd_t fd,
    const char *name, ngx_uint_t level);
static void ngx_rf_file_tree_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name);
static ngx_int_t ngx_rf_file_list(ngx_rf_file_tree_t *tree, ngx_fd_t fd,
    ngx_uint_t digits, ngx_rf_file_entries_t *list);
static ngx_int_t ngx_rf_file_list_take(ngx_rf_file_tree_t *tree,
    const char *name, ngx_uint_t digits, ngx_rf_file_entries_t *list);
static ngx_int_t ngx_rf_file_list_add(ngx_rf_file_entries_t *list,
    const char *name, size_t len);
static int ngx_libc_cdecl ngx_rf_file_list_compare(const void *one,
    const void *two);

static ngx_int_t ngx_rf_file_walk_file(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex);
static ngx_int_t ngx_rf_file_walk_once(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex);
static ngx_int_t ngx_rf_file_walk_garbage(ngx_rf_file_tree_t *tree,
    ngx_fd_t dir, const u_char *hex, struct stat *st, const char *why);
static ngx_rf_file_error_t *ngx_rf_file_walk_error(ngx_rf_file_walk_t *walk);
static void ngx_rf_file_walk_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name);
static ngx_uint_t ngx_rf_file_walk_exhausted(ngx_err_t err);
static void ngx_rf_file_walk_stale(ngx_rf_file_root_t *root);

static ngx_int_t ngx_rf_file_any_file(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex);
static void ngx_rf_file_any_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name);


ngx_int_t
ngx_rf_file_walk_thread(ngx_rf_file_conf_t *conf, ngx_rf_file_walk_t *walk)
{
    u_char                after[NGX_RF_FILE_HEX + 1];
    ngx_int_t             rc;
    ngx_rf_file_root_t    root;
    ngx_rf_file_tree_t    tree;
    ngx_rf_file_slice_t   slice;

    walk->records = NULL;
    walk->nrecords = 0;
    walk->garbage = 0;
    walk->quarantined = 0;
    walk->unread = 0;
    walk->nerrors = 0;

    walk->errors[0].what = NULL;

    rc = ngx_rf_file_root_open(&root, conf, 0, &walk->errors[0]);

    if (rc != NGX_OK) {
        walk->nerrors = (rc == NGX_ERROR);
        return (rc == NGX_DECLINED) ? NGX_DONE : NGX_ERROR;
    }

    if (walk->after[0] == '\0') {
        ngx_rf_file_walk_stale(&root);

        if (ngx_rf_file_layout_adopt(&root, &walk->errors[0]) != NGX_OK) {
            /* the others are not kept waiting */
            walk->nerrors = 1;
            walk->unread = 1;
        }
    }

    ngx_memzero(&slice, sizeof(ngx_rf_file_slice_t));

    slice.walk = walk;
    slice.conf = conf;
    slice.next = &walk->records;

    ngx_memzero(&tree, sizeof(ngx_rf_file_tree_t));

    ngx_memcpy(tree.levels, conf->levels, sizeof(tree.levels));

    /* walk->after moves on under the walk */
    ngx_memcpy(after, walk->after, NGX_RF_FILE_HEX);
    after[NGX_RF_FILE_HEX] = '\0';

    tree.root = &root;
    tree.after = after;
    tree.data = &slice;
    tree.handler = ngx_rf_file_walk_file;
    tree.failed = ngx_rf_file_walk_failed;

    rc = ngx_rf_file_tree(&tree);

    ngx_rf_file_root_close(&root);

    if (rc == NGX_ERROR && walk->nrecords) {
        /* the next slice will tell, this one has something to give */
        return NGX_OK;
    }

    return (rc == NGX_BUSY) ? NGX_OK : rc;
}


/* NGX_BUSY: enough for a slice */

static ngx_int_t
ngx_rf_file_walk_file(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_rf_file_walk_t   *walk;
    ngx_rf_file_slice_t  *slice;

    slice = tree->data;
    walk = slice->walk;

    i = 0;

    do {
        rc = ngx_rf_file_walk_once(tree, dir, hex);

    } while (rc == NGX_AGAIN && ++i < NGX_RF_FILE_TRIES);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_memcpy(walk->after, hex, NGX_RF_FILE_HEX + 1);

    if (++slice->seen >= (walk->n ? walk->n : NGX_RF_FILE_WALK_N)
        || (walk->bytes && slice->bytes >= walk->bytes)
        || walk->nerrors >= sizeof(walk->errors) / sizeof(walk->errors[0]))
    {
        /* the last: each file that is set aside is to be named */
        return NGX_BUSY;
    }

    return NGX_OK;
}


/* NGX_AGAIN: the file has been replaced meanwhile.  NGX_ERROR: no use to go
 * on, and this file is still to be seen */

static ngx_int_t
ngx_rf_file_walk_once(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex)
{
    ngx_err_t             err;
    ngx_int_t             rc;
    const char           *why;
    struct stat           st;
    ngx_rf_record_t      *rec;
    ngx_rf_file_walk_t   *walk;
    ngx_rf_file_slice_t  *slice;

    slice = tree->data;
    walk = slice->walk;

    rc = ngx_rf_file_record_read(slice->conf, dir, hex, walk->mark, &rec, &st,
                                 &why);

    switch (rc) {

    case NGX_OK:
        *slice->next = rec;
        slice->next = &rec->next;
        slice->bytes += (size_t) st.st_size;
        walk->nrecords++;
        return NGX_OK;

    case NGX_DONE:
        return ngx_rf_file_walk_garbage(tree, dir, hex, &st, NULL);

    case NGX_ABORT:
        return ngx_rf_file_walk_garbage(tree, dir, hex, &st, why);

    case NGX_DECLINED:
        return NGX_OK;

    default:
        err = ngx_errno;

        /* a directory is no record: it is in the way, and nothing is lost */

        if (err != NGX_EISDIR) {
            walk->unread++;
        }

        ngx_rf_file_fail_hex(ngx_rf_file_walk_error(walk), slice->conf, err,
                             why, hex);
        return ngx_rf_file_walk_exhausted(err) ? NGX_ERROR : NGX_OK;
    }
}


/* removes a file that was found to be garbage, or, with a reason why, sets it
 * aside; only while it still is the one that was looked at */

static ngx_int_t
ngx_rf_file_walk_garbage(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex, struct stat *st, const char *why)
{
    char                  name[NGX_RF_FILE_NAME];
    ngx_err_t             err;
    const char           *what;
    ngx_rf_file_walk_t   *walk;
    ngx_rf_file_slice_t  *slice;

    slice = tree->data;
    walk = slice->walk;

    ngx_rf_file_busy(tree->root);

    if (!ngx_rf_file_record_same(dir, hex, st)) {
        ngx_rf_file_idle(tree->root);
        return NGX_AGAIN;
    }

    err = 0;

    if (why) {
        what = why;

        if (ngx_rf_file_record_banish(tree->root, dir, hex, &what) == NGX_OK) {
            what = why;
            walk->quarantined++;
            tree->gone++;

        } else {
            err = ngx_errno;
        }

    } else {
        what = NULL;
        ngx_rf_file_name(hex, name);

        if (unlinkat(dir, name, 0) == 0) {
            walk->garbage++;
            tree->gone++;

        } else {
            what = "unlinkat()";
            err = ngx_errno;
        }
    }

    ngx_rf_file_idle(tree->root);

    if (what) {
        ngx_rf_file_fail_hex(ngx_rf_file_walk_error(walk), slice->conf, err,
                             what, hex);
    }

    return NGX_OK;
}


/* all are counted; the last place takes those that have none */

static ngx_rf_file_error_t *
ngx_rf_file_walk_error(ngx_rf_file_walk_t *walk)
{
    ngx_uint_t            n;
    ngx_rf_file_error_t  *error;

    n = sizeof(walk->errors) / sizeof(walk->errors[0]);

    error = &walk->errors[ngx_min(walk->nerrors, n - 1)];
    error->what = NULL;

    walk->nerrors++;

    return error;
}


static void
ngx_rf_file_walk_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name)
{
    ngx_rf_file_slice_t  *slice;

    slice = tree->data;

    if (err && err != NGX_ELOOP && err != NGX_ENOTDIR) {
        /* neither in the wrong place nor something else than a directory */
        slice->walk->unread++;
    }

    ngx_rf_file_fail(ngx_rf_file_walk_error(slice->walk), slice->conf, err,
                     what, "%ui/%s", slice->conf->database, name);
}


/* what will hit the next file too, so that skipping this one is no answer */

static ngx_uint_t
ngx_rf_file_walk_exhausted(ngx_err_t err)
{
    return err == NGX_ENOMEM || err == NGX_EMFILE || err == NGX_ENFILE;
}


/* temp files of processes that died, and all old ones */

static void
ngx_rf_file_walk_stale(ngx_rf_file_root_t *root)
{
    DIR            *dir;
    pid_t           pid;
    time_t          now;
    ngx_fd_t        fd;
    struct stat     st;
    struct dirent  *de;

    fd = ngx_rf_file_dir_open(root->db, "tmp", 0, NULL);
    if (fd == NGX_INVALID_FILE) {
        return;
    }

    dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return;
    }

    now = time(NULL);

    for ( ;; ) {
        de = readdir(dir);
        if (de == NULL) {
            break;
        }

        if (de->d_name[0] == '.'
            || fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0
            || S_ISDIR(st.st_mode))
        {
            continue;
        }

        pid = (pid_t) strtol(de->d_name, NULL, 10);

        if ((pid > 0 && kill(pid, 0) != 0 && ngx_errno == NGX_ESRCH)
            || st.st_mtime + NGX_RF_FILE_STALE < now)
        {
            (void) unlinkat(fd, de->d_name, 0);
        }
    }

    (void) closedir(dir);
}


ngx_uint_t
ngx_rf_file_any(ngx_rf_file_conf_t *conf)
{
    u_char                after[NGX_RF_FILE_HEX + 1];
    ngx_int_t             rc;
    ngx_uint_t            doubt;
    ngx_rf_file_root_t    root;
    ngx_rf_file_tree_t    tree;
    ngx_rf_file_error_t   error;

    error.what = NULL;

    rc = ngx_rf_file_root_open(&root, conf, 0, &error);

    if (rc != NGX_OK) {
        return rc != NGX_DECLINED;
    }

    doubt = ngx_rf_file_layout_foreign(&root);

    if (!doubt) {
        ngx_memzero(after, sizeof(after));
        ngx_memzero(&tree, sizeof(ngx_rf_file_tree_t));

        ngx_memcpy(tree.levels, conf->levels, sizeof(tree.levels));

        tree.root = &root;
        tree.after = after;
        tree.budget = NGX_RF_FILE_ANY_DIRS;
        tree.data = &doubt;
        tree.handler = ngx_rf_file_any_file;
        tree.failed = ngx_rf_file_any_failed;

        if (ngx_rf_file_tree(&tree) != NGX_DONE) {
            doubt = 1;
        }
    }

    ngx_rf_file_root_close(&root);

    return doubt;
}


static ngx_int_t
ngx_rf_file_any_file(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex)
{
    return NGX_BUSY;
}


static void
ngx_rf_file_any_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name)
{
    ngx_uint_t  *doubt = tree->data;

    *doubt = 1;
}


ngx_int_t
ngx_rf_file_tree(ngx_rf_file_tree_t *tree)
{
    ngx_int_t   rc;
    ngx_uint_t  empty;

    tree->len = 0;
    tree->prefix[0] = '\0';
    tree->dirs = 0;
    tree->gone = 0;

    rc = ngx_rf_file_tree_dir(tree, tree->root->db, 0, &empty);

    return (rc == NGX_OK) ? NGX_DONE : rc;
}


static ngx_int_t
ngx_rf_file_tree_dir(ngx_rf_file_tree_t *tree, ngx_fd_t fd, ngx_uint_t level,
    ngx_uint_t *empty)
{
    size_t                  i;
    ngx_int_t               rc;
    ngx_uint_t              digits;
    ngx_rf_file_entries_t   list;

    while (level < NGX_RF_FILE_LEVELS && tree->levels[level] == 0) {
        level++;
    }

    /* 0: this is where the files are */

    digits = (level < NGX_RF_FILE_LEVELS) ? tree->levels[level] : 0;

    rc = ngx_rf_file_list(tree, fd, digits, &list);

    *empty = (rc == NGX_OK && list.n == 0 && !list.other);

    for (i = 0; rc == NGX_OK && i < list.n; i++) {

        if (digits) {
            rc = ngx_rf_file_tree_sub(tree, fd, list.elts[i].s, level + 1);

        } else {
            rc = tree->handler(tree, fd, (u_char *) list.elts[i].s);
        }
    }

    free(list.elts);

    return rc;
}


static ngx_int_t
ngx_rf_file_tree_sub(ngx_rf_file_tree_t *tree, ngx_fd_t fd, const char *name,
    ngx_uint_t level)
{
    size_t      len;
    ngx_fd_t    sub;
    ngx_err_t   err;
    ngx_int_t   rc;
    ngx_uint_t  empty, gone;

    if (tree->budget && ++tree->dirs > tree->budget) {
        return NGX_AGAIN;
    }

    sub = ngx_rf_file_dir_open(fd, name, 0, NULL);

    if (sub == NGX_INVALID_FILE) {
        err = ngx_errno;

        if (err == NGX_ENOENT) {
            return NGX_OK;
        }

        ngx_rf_file_tree_failed(tree, err, "openat()", name);

        return ngx_rf_file_walk_exhausted(err) ? NGX_ERROR : NGX_OK;
    }

    len = ngx_strlen(name);
    gone = tree->gone;

    ngx_memcpy(tree->prefix + tree->len, name, len + 1);
    tree->len += len;

    rc = ngx_rf_file_tree_dir(tree, sub, level, &empty);

    tree->len -= len;
    tree->prefix[tree->len] = '\0';

    close(sub);

    if ((empty || tree->gone != gone) && !tree->budget) {
        /* "busy", since a batch may have opened it for a new file */
        ngx_rf_file_busy(tree->root);

        if (unlinkat(fd, name, AT_REMOVEDIR) == 0) {
            /* so that the directory above is tried too */
            tree->gone++;
        }

        ngx_rf_file_idle(tree->root);
    }

    return rc;
}


static void
ngx_rf_file_tree_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name)
{
    char        path[2 * NGX_RF_FILE_HEX + NGX_RF_FILE_LEVELS + 2], *p;
    char       *from;
    size_t      left, n;
    ngx_uint_t  i;

    p = path;
    from = tree->prefix;
    left = tree->len;

    for (i = 0; i < NGX_RF_FILE_LEVELS && left; i++) {
        n = ngx_min(tree->levels[i], left);

        if (n) {
            p = (char *) ngx_cpymem(p, from, n);
            *p++ = '/';
            from += n;
            left -= n;
        }
    }

    ngx_memcpy(p, name, ngx_strlen(name) + 1);

    tree->failed(tree, err, what, path);
}


/*
 * The names in a directory that are to be visited, sorted: directories of so
 * many digits, or, without, the digests of files.  The list is to be freed,
 * whatever is returned.
 */

static ngx_int_t
ngx_rf_file_list(ngx_rf_file_tree_t *tree, ngx_fd_t fd, ngx_uint_t digits,
    ngx_rf_file_entries_t *list)
{
    DIR            *dir;
    ngx_fd_t        copy;
    ngx_err_t       err;
    ngx_int_t       rc;
    struct dirent  *de;

    ngx_memzero(list, sizeof(ngx_rf_file_entries_t));

    /* not dup(): the position would be shared */

    copy = openat(fd, ".", NGX_RF_FILE_DIR_FLAGS);
    dir = (copy == NGX_INVALID_FILE) ? NULL : fdopendir(copy);

    if (dir == NULL) {
        err = ngx_errno;

        if (copy != NGX_INVALID_FILE) {
            close(copy);
        }

        ngx_rf_file_tree_failed(tree, err, "opendir()", "");
        list->other = 1;

        return ngx_rf_file_walk_exhausted(err) ? NGX_ERROR : NGX_OK;
    }

    rc = NGX_OK;

    while (rc == NGX_OK) {
        ngx_set_errno(0);

        de = readdir(dir);

        if (de == NULL) {
            if (ngx_errno) {
                ngx_rf_file_tree_failed(tree, ngx_errno, "readdir()", "");
                list->other = 1;
            }

            break;
        }

        rc = ngx_rf_file_list_take(tree, de->d_name, digits, list);
    }

    (void) closedir(dir);

    if (rc != NGX_OK) {
        ngx_rf_file_tree_failed(tree, NGX_ENOMEM, "realloc()", "");
        return rc;
    }

    if (list->n > 1) {
        qsort(list->elts, list->n, sizeof(ngx_rf_file_entry_t),
              ngx_rf_file_list_compare);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_file_list_take(ngx_rf_file_tree_t *tree, const char *name,
    ngx_uint_t digits, ngx_rf_file_entries_t *list)
{
    int          rc;
    char         full[2 * NGX_RF_FILE_HEX + 1];
    size_t       len;

    if (name[0] == '.' && (name[1] == '\0'
                           || (name[1] == '.' && name[2] == '\0')))
    {
        return NGX_OK;
    }

    len = ngx_strlen(name);

    if (digits) {
        if (len != digits || !ngx_rf_file_is_hex(name, len)) {
            list->other = 1;
            return NGX_OK;
        }

        ngx_memcpy(full, tree->prefix, tree->len);
        ngx_memcpy(full + tree->len, name, len);

        rc = ngx_memcmp(full, tree->after, tree->len + len);

        if (rc < 0) {
            list->other = 1;
            return NGX_OK;
        }

        return ngx_rf_file_list_add(list, name, len);
    }

    if (len != NGX_RF_FILE_NAME - 1
        || !ngx_rf_file_is_hex(name, NGX_RF_FILE_HEX)
        || ngx_strcmp(name + NGX_RF_FILE_HEX, ".json") != 0
        || ngx_memcmp(name, tree->after, NGX_RF_FILE_HEX) <= 0)
    {
        list->other = 1;
        return NGX_OK;
    }

    if (ngx_memcmp(name, tree->prefix, tree->len) != 0) {
        /* put there by hand: it would never be found by its key */
        ngx_rf_file_tree_failed(tree, 0, "in the wrong directory", name);
        list->other = 1;
        return NGX_OK;
    }

    return ngx_rf_file_list_add(list, name, NGX_RF_FILE_HEX);
}


static ngx_int_t
ngx_rf_file_list_add(ngx_rf_file_entries_t *list, const char *name,
    size_t len)
{
    size_t                size;
    ngx_rf_file_entry_t  *elts;

    if (list->n == list->size) {
        size = list->size ? 2 * list->size : 16;

        elts = realloc(list->elts, size * sizeof(ngx_rf_file_entry_t));
        if (elts == NULL) {
            return NGX_ERROR;
        }

        list->elts = elts;
        list->size = size;
    }

    ngx_memcpy(list->elts[list->n].s, name, len);
    list->elts[list->n].s[len] = '\0';
    list->n++;

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_rf_file_list_compare(const void *one, const void *two)
{
    return ngx_strcmp(((ngx_rf_file_entry_t *) one)->s,
                      ((ngx_rf_file_entry_t *) two)->s);
}
