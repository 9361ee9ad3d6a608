/*
 * Owns {path} itself: making it, its lock, and the list of layouts ("levels")
 * that its files may be in.
 *
 * Guarantees: run as root, it gives away nothing but what it has opened below
 * {path} without following a symlink; files written with other levels are
 * found again.  Refuses to know records.
 */

#include "ngx_rf_file_parts.h"
#include <sys/stat.h>


#define NGX_RF_FILE_LAYOUT_MAX  512


typedef struct {
    ngx_rf_file_error_t  *error;
    ngx_uint_t            failed;
} ngx_rf_file_adopt_t;


static ngx_int_t ngx_rf_file_prepare_path(ngx_rf_file_conf_t *conf,
    ngx_rf_file_error_t *error);
static ngx_int_t ngx_rf_file_prepare_make(char *path, char **first);
static ngx_int_t ngx_rf_file_prepare_sync(char *path, char *first);
static ngx_int_t ngx_rf_file_prepare_below(ngx_rf_file_conf_t *conf,
    ngx_fd_t base, uid_t uid, gid_t gid, ngx_rf_file_error_t *error);
static void ngx_rf_file_prepare_spare(ngx_rf_file_root_t *root, uid_t uid,
    gid_t gid);
static ngx_int_t ngx_rf_file_own(ngx_fd_t fd, uid_t uid, gid_t gid,
    ngx_uint_t *other);
static void ngx_rf_file_own_tree(ngx_fd_t at, ngx_uint_t depth, uid_t uid,
    gid_t gid);
static void ngx_rf_file_own_entry(ngx_fd_t at, const char *name,
    ngx_uint_t depth, uid_t uid, gid_t gid);

static ngx_int_t ngx_rf_file_layouts_write(ngx_rf_file_root_t *root,
    ngx_rf_file_layouts_t *list, uid_t uid, gid_t gid);
static void ngx_rf_file_layout_of(const ngx_uint_t *levels,
    ngx_uint_t *layout);
static ngx_uint_t ngx_rf_file_layout_find(ngx_rf_file_layouts_t *list,
    const ngx_uint_t *layout);
static ngx_int_t ngx_rf_file_adopt(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex);
static ngx_int_t ngx_rf_file_adopt_move(ngx_rf_file_tree_t *tree,
    ngx_fd_t dir, ngx_fd_t to, const u_char *hex);
static void ngx_rf_file_adopt_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name);


ngx_int_t
ngx_rf_file_prepare(ngx_rf_file_conf_t *conf, uid_t uid, gid_t gid,
    ngx_rf_file_error_t *error)
{
    ngx_fd_t   base;
    ngx_int_t  rc;

    error->what = NULL;

    if (ngx_rf_file_prepare_path(conf, error) != NGX_OK) {
        return NGX_ERROR;
    }

    base = open((char *) conf->path.data,
                O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (base == NGX_INVALID_FILE) {
        ngx_rf_file_fail(error, conf, ngx_errno, "open()", "");
        return NGX_ERROR;
    }

    if (ngx_rf_file_own(base, uid, gid, NULL) != NGX_OK) {
        ngx_rf_file_fail(error, conf, ngx_errno, "fchown()", "");
        rc = NGX_ERROR;

    } else {
        rc = ngx_rf_file_prepare_below(conf, base, uid, gid, error);
    }

    close(base);

    return rc;
}


/* {path} and what is missing above it */

static ngx_int_t
ngx_rf_file_prepare_path(ngx_rf_file_conf_t *conf, ngx_rf_file_error_t *error)
{
    char        *path, *first;
    ngx_int_t    rc;
    const char  *what;

    path = malloc(conf->path.len + 1);
    if (path == NULL) {
        ngx_rf_file_fail(error, conf, NGX_ENOMEM, "malloc()", "");
        return NGX_ERROR;
    }

    ngx_memcpy(path, conf->path.data, conf->path.len);
    path[conf->path.len] = '\0';

    what = "mkdir()";
    rc = ngx_rf_file_prepare_make(path, &first);

    if (rc == NGX_OK) {
        what = "fsync()";
        rc = ngx_rf_file_prepare_sync(path, first);
    }

    if (rc != NGX_OK) {
        ngx_rf_file_fail(error, conf, ngx_errno, what, "");
    }

    free(path);

    return rc;
}


/* *first: behind the name of the uppermost directory that was made */

static ngx_int_t
ngx_rf_file_prepare_make(char *path, char **first)
{
    char       *p;
    ngx_err_t   err;
    ngx_int_t   rc;

    *first = path + ngx_strlen(path);

    if (mkdir(path, NGX_RF_FILE_DIR_MODE) == 0 || ngx_errno == NGX_EEXIST) {
        return NGX_OK;
    }

    rc = NGX_OK;

    for (p = path + 1; rc == NGX_OK && *p; p++) {
        if (*p != '/') {
            continue;
        }

        *p = '\0';

        if (mkdir(path, 0755) == 0) {
            *first = ngx_min(*first, p);

        } else if (ngx_errno != NGX_EEXIST) {

            /* where one may not write, what is above may exist all the same */
            err = ngx_errno;

            if (access(path, F_OK) != 0) {
                ngx_set_errno(err);
                rc = NGX_ERROR;
            }
        }

        *p = '/';
    }

    if (rc == NGX_OK && mkdir(path, NGX_RF_FILE_DIR_MODE) != 0
        && ngx_errno != NGX_EEXIST)
    {
        rc = NGX_ERROR;
    }

    return rc;
}


/*
 * Without their names, all that is below would be lost when the host crashes.
 * That of {path} is synced even if it was there: whoever made it may not have
 * come to this.  What cannot be opened is not ours to have changed.
 */

static ngx_int_t
ngx_rf_file_prepare_sync(char *path, char *first)
{
    char       *p;
    ngx_fd_t    fd;
    ngx_err_t   err;
    ngx_int_t   rc;

    do {
        p = strrchr(path, '/');

        if (p == NULL) {
            break;
        }

        *p = '\0';

        fd = open(p == path ? "/" : path,
                  O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

        if (fd == NGX_INVALID_FILE) {
            continue;
        }

        rc = ngx_rf_file_dir_sync(fd);

        err = ngx_errno;
        close(fd);

        if (rc != NGX_OK) {
            ngx_set_errno(err);
            return NGX_ERROR;
        }

    } while (p >= first);

    return NGX_OK;
}


static ngx_int_t
ngx_rf_file_prepare_below(ngx_rf_file_conf_t *conf, ngx_fd_t base, uid_t uid,
    gid_t gid, ngx_rf_file_error_t *error)
{
    char                 db[NGX_INT_T_LEN + 1];
    ngx_fd_t             fd, at;
    ngx_int_t            rc;
    ngx_uint_t           i, other;
    const char          *name;
    ngx_rf_file_root_t   root;

    *ngx_sprintf((u_char *) db, "%ui", conf->database) = '\0';

    root.conf = conf;
    root.base = base;
    root.db = NGX_INVALID_FILE;

    rc = NGX_OK;

    for (i = 0; rc == NGX_OK && i < 5; i++) {

        name = (i == 0) ? "quarantine" : (i == 1) ? db
                        : (i == 2) ? "tmp" : (i == 3) ? "journal"
                                                      : "handover";
        at = (i >= 2) ? root.db : base;
        other = 0;

        fd = ngx_rf_file_dir_open(at, name, i != 4, NULL);

        if (i == 4 && fd == NGX_INVALID_FILE) {
            /* most have none; where it cannot be opened a reader will tell */
            break;
        }

        if (fd == NGX_INVALID_FILE
            || ngx_rf_file_own(fd, uid, gid, &other) != NGX_OK)
        {
            ngx_rf_file_fail(error, conf, ngx_errno,
                             fd == NGX_INVALID_FILE ? "openat()" : "fchown()",
                             "%s%s%s", i >= 2 ? db : "", i >= 2 ? "/" : "",
                             name);
            rc = NGX_ERROR;
        }

        if (i == 3 && rc == NGX_OK) {
            ngx_rf_file_prepare_spare(&root, uid, gid);
        }

        if (i >= 3 && other) {
            /* what is in them has names as of hex digits, too */
            ngx_rf_file_own_tree(fd, 0, uid, gid);
        }

        if (i != 1) {
            if (fd != NGX_INVALID_FILE) {
                close(fd);
            }

            continue;
        }

        root.db = fd;

        if (other) {
            /* left behind by somebody else, such as go-redis-fallback */
            ngx_rf_file_own_tree(fd, NGX_RF_FILE_LEVELS, uid, gid);
        }
    }

    if (rc == NGX_OK) {
        if (ngx_rf_file_layout_note(&root, uid, gid) != NGX_OK) {
            ngx_rf_file_fail(error, conf, ngx_errno, "writing", "%s/layout",
                             db);
            rc = NGX_ERROR;

        } else if (ngx_rf_file_dir_sync(root.db) != NGX_OK
                   || ngx_rf_file_dir_sync(base) != NGX_OK)
        {
            ngx_rf_file_fail(error, conf, ngx_errno, "fsync()", "");
            rc = NGX_ERROR;
        }
    }

    if (root.db != NGX_INVALID_FILE) {
        close(root.db);
    }

    return rc;
}


static void
ngx_rf_file_prepare_spare(ngx_rf_file_root_t *root, uid_t uid, gid_t gid)
{
    ngx_fd_t      fd;
    ngx_uint_t    i;
    const char   *what;
    struct stat   st;

    static const char  *names[] = { "mark", NGX_RF_FILE_SPARE };

    /* a first mark, so that the spare one replaces something, whose room is
     * that of the next spare one */

    if (fstatat(root->db, "mark", &st, AT_SYMLINK_NOFOLLOW) != 0
        && ngx_errno == NGX_ENOENT)
    {
        (void) ngx_rf_file_put(root, root->db, "mark", (u_char *) "0\n", 2,
                               &what);
    }

    ngx_rf_file_spare(root);

    for (i = 0; i < 2; i++) {
        fd = openat(root->db, names[i],
                    O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

        if (fd != NGX_INVALID_FILE) {
            (void) ngx_rf_file_own(fd, uid, gid, NULL);
            close(fd);
        }
    }
}


static ngx_int_t
ngx_rf_file_own(ngx_fd_t fd, uid_t uid, gid_t gid, ngx_uint_t *other)
{
    struct stat  st;

    if (uid == (uid_t) -1) {
        return NGX_OK;
    }

    if (fstat(fd, &st) != 0) {
        return NGX_ERROR;
    }

    if (st.st_uid == uid) {
        return NGX_OK;
    }

    if (other) {
        *other = 1;
    }

    return (fchown(fd, uid, gid) == 0) ? NGX_OK : NGX_ERROR;
}


/* what this cannot give away shows when the file is to be read or removed */

static void
ngx_rf_file_own_tree(ngx_fd_t at, ngx_uint_t depth, uid_t uid, gid_t gid)
{
    DIR            *dir;
    ngx_fd_t        copy;
    struct dirent  *de;

    copy = openat(at, ".", NGX_RF_FILE_DIR_FLAGS);
    dir = (copy == NGX_INVALID_FILE) ? NULL : fdopendir(copy);

    if (dir == NULL) {
        if (copy != NGX_INVALID_FILE) {
            close(copy);
        }

        return;
    }

    for ( ;; ) {
        de = readdir(dir);
        if (de == NULL) {
            break;
        }

        if (ngx_rf_file_is_hex(de->d_name, 1)) {
            ngx_rf_file_own_entry(at, de->d_name, depth, uid, gid);
        }
    }

    (void) closedir(dir);
}


static void
ngx_rf_file_own_entry(ngx_fd_t at, const char *name, ngx_uint_t depth,
    uid_t uid, gid_t gid)
{
    ngx_fd_t     fd;
    struct stat  st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return;
    }

    if (S_ISDIR(st.st_mode)) {
        if (depth == 0) {
            return;
        }

        fd = ngx_rf_file_dir_open(at, name, 0, NULL);

        if (fd != NGX_INVALID_FILE) {
            (void) ngx_rf_file_own(fd, uid, gid, NULL);
            ngx_rf_file_own_tree(fd, depth - 1, uid, gid);
            close(fd);
        }

        return;
    }

    /* another name of the file could be anywhere; a file that stays somebody
     * else's is found out when it is read */

    if (S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid != uid
        && fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW) == -1)
    {
        return;
    }
}


ngx_int_t
ngx_rf_file_lock(ngx_rf_file_conf_t *conf, ngx_fd_t *fd,
    ngx_rf_file_error_t *error)
{
    ngx_fd_t      base, lock;
    ngx_err_t     err;
    struct stat   st;

    error->what = NULL;
    *fd = NGX_INVALID_FILE;

    base = open((char *) conf->path.data,
                O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (base == NGX_INVALID_FILE) {
        ngx_rf_file_fail(error, conf, ngx_errno, "open()", "");
        return NGX_ERROR;
    }

    lock = openat(base, "lock", O_RDWR|O_CREAT|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC,
                  NGX_RF_FILE_MODE);
    err = ngx_errno;

    /* the master makes it, a worker may have to open it */

    if (lock != NGX_INVALID_FILE && geteuid() == 0 && fstat(base, &st) == 0) {
        (void) ngx_rf_file_own(lock, st.st_uid, st.st_gid, NULL);
    }

    close(base);

    if (lock == NGX_INVALID_FILE) {
        ngx_rf_file_fail(error, conf, err, "openat()", "lock");
        return NGX_ERROR;
    }

    if (flock(lock, LOCK_EX|LOCK_NB) == 0) {
        *fd = lock;
        return NGX_OK;
    }

    err = ngx_errno;
    close(lock);

    if (err == EWOULDBLOCK) {
        return NGX_BUSY;
    }

    ngx_rf_file_fail(error, conf, err, "flock()", "lock");

    return NGX_ERROR;
}


ngx_int_t
ngx_rf_file_layout_note(ngx_rf_file_root_t *root, uid_t uid, gid_t gid)
{
    ngx_uint_t              layout[NGX_RF_FILE_LEVELS];
    ngx_rf_file_layouts_t   list;

    if (ngx_rf_file_layouts_read(root, &list) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_rf_file_layout_of(root->conf->levels, layout);

    if (ngx_rf_file_layout_find(&list, layout)) {
        return NGX_OK;
    }

    if (list.n == NGX_RF_FILE_LAYOUTS) {
        ngx_set_errno(NGX_ENOSPC);
        return NGX_ERROR;
    }

    ngx_memcpy(list.levels[list.n++], layout, sizeof(layout));

    return ngx_rf_file_layouts_write(root, &list, uid, gid);
}


ngx_uint_t
ngx_rf_file_layout_foreign(ngx_rf_file_root_t *root)
{
    ngx_uint_t              layout[NGX_RF_FILE_LEVELS];
    ngx_rf_file_layouts_t   list;

    if (ngx_rf_file_layouts_read(root, &list) != NGX_OK) {
        return 1;
    }

    ngx_rf_file_layout_of(root->conf->levels, layout);

    return list.n != 1 || !ngx_rf_file_layout_find(&list, layout);
}


ngx_int_t
ngx_rf_file_layout_adopt(ngx_rf_file_root_t *root, ngx_rf_file_error_t *error)
{
    u_char                  after[NGX_RF_FILE_HEX + 1];
    ngx_uint_t              i, layout[NGX_RF_FILE_LEVELS];
    ngx_rf_file_tree_t      tree;
    ngx_rf_file_adopt_t     adopt;
    ngx_rf_file_layouts_t   list;

    if (!ngx_rf_file_layout_foreign(root)) {
        return NGX_OK;
    }

    adopt.error = error;
    adopt.failed = 0;
    error->what = NULL;

    if (ngx_rf_file_layouts_read(root, &list) != NGX_OK) {
        ngx_rf_file_fail(error, root->conf, ngx_errno, "reading", "%ui/layout",
                         root->conf->database);
        return NGX_ERROR;
    }

    ngx_rf_file_layout_of(root->conf->levels, layout);

    for (i = 0; i < list.n; i++) {

        if (ngx_memcmp(list.levels[i], layout, sizeof(layout)) == 0) {
            continue;
        }

        ngx_memzero(&tree, sizeof(ngx_rf_file_tree_t));
        ngx_memzero(after, sizeof(after));

        ngx_memcpy(tree.levels, list.levels[i], sizeof(tree.levels));

        tree.root = root;
        tree.after = after;
        tree.data = &adopt;
        tree.handler = ngx_rf_file_adopt;
        tree.failed = ngx_rf_file_adopt_failed;

        if (ngx_rf_file_tree(&tree) != NGX_DONE) {
            adopt.failed = 1;
        }
    }

    if (adopt.failed) {
        /* the list stays, the next walk tries again */
        return NGX_ERROR;
    }

#if (NGX_LINUX)

    if (syncfs(root->db) != 0) {
        ngx_rf_file_fail(error, root->conf, ngx_errno, "syncfs()", "");
        return NGX_ERROR;
    }

#endif

    ngx_memcpy(list.levels[0], layout, sizeof(layout));
    list.n = 1;

    if (ngx_rf_file_layouts_write(root, &list, (uid_t) -1, (gid_t) -1)
        != NGX_OK)
    {
        ngx_rf_file_fail(error, root->conf, ngx_errno, "writing", "%ui/layout",
                         root->conf->database);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_file_adopt(ngx_rf_file_tree_t *tree, ngx_fd_t dir, const u_char *hex)
{
    ngx_err_t             err;
    ngx_int_t             rc;
    ngx_rf_file_adopt_t  *adopt;
    ngx_rf_file_chain_t   chain;

    adopt = tree->data;

    ngx_rf_file_busy(tree->root);

    rc = ngx_rf_file_chain_open(tree->root, hex, 1, &chain);
    err = ngx_errno;

    if (rc == NGX_OK) {
        rc = ngx_rf_file_adopt_move(tree, dir, chain.fd[chain.n], hex);
        err = ngx_errno;
        ngx_rf_file_chain_close(&chain);
    }

    ngx_rf_file_idle(tree->root);

    if (rc != NGX_OK) {
        adopt->failed = 1;
        ngx_rf_file_fail_hex(adopt->error, tree->root->conf, err,
                             "moving it to its place", hex);
        return NGX_OK;
    }

    tree->gone++;

    return NGX_OK;
}


/* where both places have one, the file with the higher version stays */

static ngx_int_t
ngx_rf_file_adopt_move(ngx_rf_file_tree_t *tree, ngx_fd_t dir, ngx_fd_t to,
    const u_char *hex)
{
    char         name[NGX_RF_FILE_NAME];
    uint64_t     here, there;
    struct stat  st;

    ngx_rf_file_name(hex, name);

    if (fstatat(to, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {

        if (ngx_rf_file_record_version(dir, hex, &here) != NGX_OK) {
            here = 0;
        }

        if (ngx_rf_file_record_version(to, hex, &there) == NGX_OK
            && there >= here)
        {
            return (unlinkat(dir, name, 0) == 0) ? NGX_OK : NGX_ERROR;
        }
    }

    return (renameat(dir, name, to, name) == 0) ? NGX_OK : NGX_ERROR;
}


static void
ngx_rf_file_adopt_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name)
{
    ngx_rf_file_adopt_t  *adopt;

    adopt = tree->data;

    ngx_rf_file_fail(adopt->error, tree->root->conf, err, what, "%ui/%s",
                     tree->root->conf->database, name);

    /* a file in a wrong place is none of this layout's, and behind something
     * else than a directory there is none */

    if (err && err != NGX_ENOTDIR && err != NGX_ELOOP) {
        adopt->failed = 1;
    }
}


/* one "2:2:2" a line; without the file it is this one, go-redis-fallback's */

ngx_int_t
ngx_rf_file_layouts_read(ngx_rf_file_root_t *root, ngx_rf_file_layouts_t *list)
{
    char         text[NGX_RF_FILE_LAYOUT_MAX + 1], *p;
    ssize_t      n;
    ngx_fd_t     fd;
    ngx_err_t    err;
    ngx_uint_t   levels[NGX_RF_FILE_LEVELS];
    unsigned     one, two, three;

    list->n = 0;

    fd = openat(root->db, "layout",
                O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        if (ngx_errno != NGX_ENOENT) {
            return NGX_ERROR;
        }

        n = snprintf(text, sizeof(text), "2:2:2\n");

    } else {
        n = read(fd, text, NGX_RF_FILE_LAYOUT_MAX);
        err = ngx_errno;
        close(fd);
        ngx_set_errno(err);

        if (n == -1) {
            return NGX_ERROR;
        }
    }

    text[n] = '\0';

    for (p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {

        if (sscanf(p, "%2u:%2u:%2u", &one, &two, &three) != 3
            || one + two + three > NGX_RF_FILE_HEX
            || list->n == NGX_RF_FILE_LAYOUTS)
        {
            ngx_set_errno(NGX_EINVAL);
            return NGX_ERROR;
        }

        levels[0] = one;
        levels[1] = two;
        levels[2] = three;

        ngx_rf_file_layout_of(levels, list->levels[list->n++]);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_file_layouts_write(ngx_rf_file_root_t *root,
    ngx_rf_file_layouts_t *list, uid_t uid, gid_t gid)
{
    char         text[NGX_RF_FILE_LAYOUT_MAX], temp[NGX_RF_FILE_TEMP];
    size_t       len;
    ngx_fd_t     tmp;
    ngx_err_t    err;
    ngx_int_t    rc;
    ngx_uint_t   i;

    len = 0;

    for (i = 0; i < list->n; i++) {
        len += snprintf(text + len, sizeof(text) - len, "%u:%u:%u\n",
                        (unsigned) list->levels[i][0],
                        (unsigned) list->levels[i][1],
                        (unsigned) list->levels[i][2]);
    }

    tmp = ngx_rf_file_dir_open(root->db, "tmp", 1, NULL);
    if (tmp == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    ngx_rf_file_temp_name(temp, "layout");

    rc = NGX_ERROR;

    if (ngx_rf_file_temp_write(tmp, temp, (u_char *) text, len, 1) == NULL) {

        if ((uid == (uid_t) -1
             || fchownat(tmp, temp, uid, gid, AT_SYMLINK_NOFOLLOW) == 0)
            && renameat(tmp, temp, root->db, "layout") == 0
            && ngx_rf_file_dir_sync(root->db) == NGX_OK)
        {
            rc = NGX_OK;

        } else {
            err = ngx_errno;
            (void) unlinkat(tmp, temp, 0);
            ngx_set_errno(err);
        }
    }

    err = ngx_errno;
    close(tmp);
    ngx_set_errno(err);

    return rc;
}


/* unused levels last, so that equal layouts compare equal */

static void
ngx_rf_file_layout_of(const ngx_uint_t *levels, ngx_uint_t *layout)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_RF_FILE_LEVELS; i++) {
        if (levels[i]) {
            layout[n++] = levels[i];
        }
    }

    while (n < NGX_RF_FILE_LEVELS) {
        layout[n++] = 0;
    }
}


static ngx_uint_t
ngx_rf_file_layout_find(ngx_rf_file_layouts_t *list, const ngx_uint_t *layout)
{
    ngx_uint_t  i;

    for (i = 0; i < list->n; i++) {
        if (ngx_memcmp(list->levels[i], layout,
                       NGX_RF_FILE_LEVELS * sizeof(ngx_uint_t))
            == 0)
        {
            return 1;
        }
    }

    return 0;
}
