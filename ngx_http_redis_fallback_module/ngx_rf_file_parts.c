/*
 * Owns what every call of the file room is made of: opening directories
 * without following symlinks, temp files, one record's file, errors on their
 * way home.
 *
 * Guarantees: nothing below {path} is reached through a symlink; a file that
 * was looked at is replaced or removed only if it is still the same.  Runs in
 * threads: malloc() only.
 */

#include "ngx_rf_file_parts.h"
#include <ngx_md5.h>
#include "ngx_rf_codec.h"


static ngx_int_t ngx_rf_file_record_open(ngx_fd_t dir, const u_char *hex,
    ngx_fd_t *fd, struct stat *st, const char **why);
static ngx_int_t ngx_rf_file_record_load(ngx_fd_t fd, size_t size,
    u_char **data, size_t *len, const char **why);
static ngx_int_t ngx_rf_file_record_decode(u_char *data, size_t len,
    const u_char *hex, ngx_rf_record_t **rec, const char **why);
static ssize_t ngx_rf_file_read(ngx_fd_t fd, u_char *buf, size_t size,
    off_t offset);


void
ngx_rf_file_digest(ngx_str_t *key, u_char *hex)
{
    u_char     digest[16];
    ngx_md5_t  md5;

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, key->data, key->len);
    ngx_md5_final(digest, &md5);

    *ngx_hex_dump(hex, digest, sizeof(digest)) = '\0';
}


ngx_uint_t
ngx_rf_file_is_hex(const char *s, size_t len)
{
    return strspn(s, "0123456789abcdef") >= len;
}


void
ngx_rf_file_name(const u_char *hex, char *name)
{
    ngx_memcpy(name, hex, NGX_RF_FILE_HEX);
    ngx_memcpy(name + NGX_RF_FILE_HEX, ".json", sizeof(".json"));
}


void
ngx_rf_file_fail(ngx_rf_file_error_t *error, ngx_rf_file_conf_t *conf,
    ngx_err_t err, const char *what, const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    if (error->what) {
        return;
    }

    error->err = err;
    error->what = what;

    last = error->name + sizeof(error->name) - 1;

    p = ngx_slprintf(error->name, last, "%V", &conf->path);

    if (*fmt && p < last) {
        *p++ = '/';

        va_start(args, fmt);
        p = ngx_vslprintf(p, last, fmt, args);
        va_end(args);
    }

    *p = '\0';
}


void
ngx_rf_file_fail_hex(ngx_rf_file_error_t *error, ngx_rf_file_conf_t *conf,
    ngx_err_t err, const char *what, const u_char *hex)
{
    u_char        dirs[NGX_RF_FILE_HEX + NGX_RF_FILE_LEVELS + 1], *p;
    ngx_uint_t    i;
    const u_char *from;

    p = dirs;
    from = hex;

    for (i = 0; i < NGX_RF_FILE_LEVELS; i++) {
        if (conf->levels[i]) {
            p = ngx_cpymem(p, from, conf->levels[i]);
            *p++ = '/';
            from += conf->levels[i];
        }
    }

    *p = '\0';

    ngx_rf_file_fail(error, conf, err, what, "%ui/%s%s.json", conf->database,
                     dirs, hex);
}


ngx_int_t
ngx_rf_file_root_open(ngx_rf_file_root_t *root, ngx_rf_file_conf_t *conf,
    ngx_uint_t create, ngx_rf_file_error_t *error)
{
    char       db[NGX_INT_T_LEN + 1];
    ngx_err_t  err;

    root->conf = conf;

    /* {path} itself may be a symlink: it is the administrator's */

    root->base = open((char *) conf->path.data,
                      O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (root->base == NGX_INVALID_FILE) {
        err = ngx_errno;

        if (err == NGX_ENOENT && !create) {
            return NGX_DECLINED;
        }

        ngx_rf_file_fail(error, conf, err, "open()", "");
        return NGX_ERROR;
    }

    *ngx_sprintf((u_char *) db, "%ui", conf->database) = '\0';

    root->db = ngx_rf_file_dir_open(root->base, db, create, NULL);

    if (root->db == NGX_INVALID_FILE) {
        err = ngx_errno;
        close(root->base);

        if (err == NGX_ENOENT && !create) {
            return NGX_DECLINED;
        }

        ngx_rf_file_fail(error, conf, err, "openat()", "%s", db);
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_rf_file_root_close(ngx_rf_file_root_t *root)
{
    close(root->db);
    close(root->base);
}


ngx_fd_t
ngx_rf_file_dir_open(ngx_fd_t at, const char *name, ngx_uint_t create,
    ngx_uint_t *made)
{
    ngx_fd_t  fd;

    fd = openat(at, name, NGX_RF_FILE_DIR_FLAGS);

    if (fd != NGX_INVALID_FILE || !create || ngx_errno != NGX_ENOENT) {
        return fd;
    }

    if (mkdirat(at, name, NGX_RF_FILE_DIR_MODE) == 0) {
        if (made) {
            *made = 1;
        }

    } else if (ngx_errno != NGX_EEXIST) {
        return NGX_INVALID_FILE;
    }

    return openat(at, name, NGX_RF_FILE_DIR_FLAGS);
}


ngx_int_t
ngx_rf_file_chain_open(ngx_rf_file_root_t *root, const u_char *hex,
    ngx_uint_t create, ngx_rf_file_chain_t *chain)
{
    char        *name;
    ngx_fd_t     fd;
    ngx_err_t    err;
    ngx_uint_t   i, made;

    chain->fd[0] = root->db;
    chain->n = 0;
    chain->made = 0;

    for (i = 0; i < NGX_RF_FILE_LEVELS; i++) {

        if (root->conf->levels[i] == 0) {
            continue;
        }

        name = chain->name[chain->n];
        ngx_memcpy(name, hex, root->conf->levels[i]);
        name[root->conf->levels[i]] = '\0';
        hex += root->conf->levels[i];

        made = 0;
        fd = ngx_rf_file_dir_open(chain->fd[chain->n], name, create, &made);

        if (made) {
            chain->made |= (ngx_uint_t) 1 << chain->n;
        }

        if (fd == NGX_INVALID_FILE) {
            err = ngx_errno;
            ngx_rf_file_chain_close(chain);
            ngx_set_errno(err);

            /* behind something else than a directory there is no file */

            return (!create && (err == NGX_ENOENT || err == NGX_ENOTDIR
                                || err == NGX_ELOOP))
                   ? NGX_DECLINED : NGX_ERROR;
        }

        chain->fd[++chain->n] = fd;
    }

    return NGX_OK;
}


void
ngx_rf_file_chain_close(ngx_rf_file_chain_t *chain)
{
    while (chain->n) {
        close(chain->fd[chain->n--]);
    }
}


ngx_uint_t
ngx_rf_file_chain_prune(ngx_rf_file_chain_t *chain)
{
    ngx_uint_t  i;

    for (i = chain->n; i; i--) {
        if (unlinkat(chain->fd[i - 1], chain->name[i - 1], AT_REMOVEDIR) != 0)
        {
            break;
        }
    }

    return i;
}


void
ngx_rf_file_busy(ngx_rf_file_root_t *root)
{
    /* a file system without flock() still works, only less strictly */

    while (flock(root->db, LOCK_EX) != 0 && ngx_errno == NGX_EINTR) {
        /* void */
    }
}


void
ngx_rf_file_idle(ngx_rf_file_root_t *root)
{
    ngx_err_t  err;

    err = ngx_errno;
    (void) flock(root->db, LOCK_UN);
    ngx_set_errno(err);
}


void
ngx_rf_file_temp_name(char *name, const char *hint)
{
    static ngx_atomic_t  counter;

    /* the pid comes first: leftovers of a dead process are told by it */

    (void) snprintf(name, NGX_RF_FILE_TEMP, "%lu-%lu-%s",
                    (unsigned long) getpid(),
                    (unsigned long) ngx_atomic_fetch_add(&counter, 1), hint);
}


const char *
ngx_rf_file_temp_write(ngx_fd_t dir, const char *name, const u_char *data,
    size_t len, ngx_uint_t sync)
{
    int          flags;
    ssize_t      n;
    ngx_fd_t     fd;
    ngx_err_t    err;
    const char  *failed;

    flags = O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC;

    fd = openat(dir, name, flags, NGX_RF_FILE_MODE);

    if (fd == NGX_INVALID_FILE && ngx_errno == NGX_EEXIST) {
        /* of an earlier process with this pid */
        (void) unlinkat(dir, name, 0);
        fd = openat(dir, name, flags, NGX_RF_FILE_MODE);
    }

    if (fd == NGX_INVALID_FILE) {
        return "openat()";
    }

    failed = NULL;

    while (len) {
        n = write(fd, data, len);

        if (n == -1) {
            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            failed = "write()";
            break;
        }

        data += n;
        len -= n;
    }

    if (failed == NULL && sync && fdatasync(fd) != 0) {
        failed = "fdatasync()";
    }

    err = ngx_errno;

    /* where writing is delayed (NFS, quota), close() is what fails */

    if (close(fd) != 0 && failed == NULL) {
        err = ngx_errno;
        failed = "close()";
    }

    if (failed) {
        (void) unlinkat(dir, name, 0);
        ngx_set_errno(err);
    }

    return failed;
}


ngx_int_t
ngx_rf_file_dir_sync(ngx_fd_t fd)
{
    if (fsync(fd) == 0 || ngx_errno == NGX_EINVAL || ngx_errno == ENOTSUP) {
        return NGX_OK;
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_rf_file_record_read(ngx_rf_file_conf_t *conf, ngx_fd_t dir,
    const u_char *hex, uint64_t mark, ngx_rf_record_t **rec, struct stat *st,
    const char **why)
{
    size_t      len;
    u_char     *data, head[NGX_RF_CODEC_HEAD];
    ssize_t     n;
    uint64_t    version;
    ngx_fd_t    fd;
    ngx_err_t   err;
    ngx_int_t   rc;

    *rec = NULL;
    data = NULL;
    len = 0;

    rc = ngx_rf_file_record_open(dir, hex, &fd, st, why);
    if (rc != NGX_OK) {
        return rc;
    }

    if (st->st_size > (off_t) (conf->max_size ? conf->max_size
                                              : NGX_RF_FILE_SIZE_MAX))
    {
        *why = "too large for a record";
        close(fd);
        return NGX_ABORT;
    }

    /* garbage after a recovery is told without reading it */

    if (mark) {
        n = ngx_rf_file_read(fd, head, sizeof(head), 0);

        if (n > 0
            && ngx_rf_codec_version(head, (size_t) n, &version) == NGX_OK
            && version && version <= mark)
        {
            close(fd);
            return NGX_DONE;
        }
    }

    rc = ngx_rf_file_record_load(fd, (size_t) st->st_size, &data, &len, why);

    err = ngx_errno;
    close(fd);

    if (rc == NGX_OK) {
        rc = ngx_rf_file_record_decode(data, len, hex, rec, why);
        err = NGX_ENOMEM;
        ngx_rf_codec_drop(data, len);
    }

    if (rc == NGX_OK && (*rec)->version && (*rec)->version <= mark) {
        ngx_rf_codec_free(*rec);
        *rec = NULL;
        rc = NGX_DONE;
    }

    ngx_set_errno(err);

    return rc;
}


static ngx_int_t
ngx_rf_file_record_open(ngx_fd_t dir, const u_char *hex, ngx_fd_t *fd,
    struct stat *st, const char **why)
{
    char       name[NGX_RF_FILE_NAME];
    ngx_err_t  err;

    ngx_rf_file_name(hex, name);

    /* O_NONBLOCK: a FIFO must not hold the thread */

    *fd = openat(dir, name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (*fd == NGX_INVALID_FILE) {
        err = ngx_errno;
        *why = "openat()";

        if (err == NGX_ENOENT) {
            return NGX_DECLINED;
        }

        /* a symlink, a socket */

        if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0
            && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        {
            *why = "not a regular file";
            return NGX_ABORT;
        }

        ngx_set_errno(err);
        return NGX_ERROR;
    }

    if (fstat(*fd, st) != 0) {
        *why = "fstat()";
        err = ngx_errno;

    } else if (S_ISREG(st->st_mode)) {
        return NGX_OK;

    } else if (S_ISDIR(st->st_mode)) {
        *why = "openat()";
        err = NGX_EISDIR;

    } else {
        *why = "not a regular file";
        err = 0;
    }

    close(*fd);
    ngx_set_errno(err);

    return err ? NGX_ERROR : NGX_ABORT;
}


static ngx_int_t
ngx_rf_file_record_load(ngx_fd_t fd, size_t size, u_char **data, size_t *len,
    const char **why)
{
    u_char   *buf;
    ssize_t   n;

    buf = malloc(size + 1);
    if (buf == NULL) {
        *why = "malloc()";
        ngx_set_errno(NGX_ENOMEM);
        return NGX_ERROR;
    }

    n = ngx_rf_file_read(fd, buf, size, 0);

    if (n == -1) {
        *why = "read()";
        free(buf);
        return NGX_ERROR;
    }

    buf[n] = '\0';

    *data = buf;
    *len = (size_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_file_record_decode(u_char *data, size_t len, const u_char *hex,
    ngx_rf_record_t **rec, const char **why)
{
    u_char     digest[NGX_RF_FILE_HEX + 1];
    ngx_int_t  rc;

    rc = ngx_rf_codec_decode(data, len, rec, why);

    if (rc == NGX_DECLINED) {
        return NGX_ABORT;
    }

    if (rc != NGX_OK) {
        *why = "malloc()";
        return NGX_ERROR;
    }

    ngx_rf_file_digest(&(*rec)->key, digest);

    if (ngx_memcmp(digest, hex, NGX_RF_FILE_HEX) != 0) {
        ngx_rf_codec_free(*rec);
        *rec = NULL;
        *why = "the file's name is not that of its key";
        return NGX_ABORT;
    }

    return NGX_OK;
}


/* reads until size or the end of the file */

static ssize_t
ngx_rf_file_read(ngx_fd_t fd, u_char *buf, size_t size, off_t offset)
{
    size_t   done;
    ssize_t  n;

    done = 0;

    while (done < size) {
        n = pread(fd, buf + done, size - done, offset + (off_t) done);

        if (n == -1) {
            if (ngx_errno == NGX_EINTR) {
                continue;
            }

            return -1;
        }

        if (n == 0) {
            break;
        }

        done += n;
    }

    return (ssize_t) done;
}


ngx_int_t
ngx_rf_file_record_version(ngx_fd_t dir, const u_char *hex, uint64_t *version)
{
    u_char        head[NGX_RF_CODEC_HEAD];
    ssize_t       n;
    ngx_fd_t      fd;
    const char   *why;
    struct stat   st;

    if (ngx_rf_file_record_open(dir, hex, &fd, &st, &why) != NGX_OK) {
        return NGX_DECLINED;
    }

    n = ngx_rf_file_read(fd, head, sizeof(head), 0);

    close(fd);

    if (n <= 0) {
        return NGX_DECLINED;
    }

    return ngx_rf_codec_version(head, (size_t) n, version);
}


ngx_uint_t
ngx_rf_file_record_same(ngx_fd_t dir, const u_char *hex, struct stat *st)
{
    char         name[NGX_RF_FILE_NAME];
    struct stat  now;

    ngx_rf_file_name(hex, name);

    if (fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) != 0) {
        return 0;
    }

    /* the number of an inode may have been used again already, hence the
     * times; a rename changes ctime */

    return now.st_ino == st->st_ino
           && now.st_size == st->st_size
           && now.st_ctim.tv_sec == st->st_ctim.tv_sec
           && now.st_ctim.tv_nsec == st->st_ctim.tv_nsec;
}


ngx_int_t
ngx_rf_file_record_banish(ngx_rf_file_root_t *root, ngx_fd_t dir,
    const u_char *hex, const char **why)
{
    char          name[NGX_RF_FILE_NAME], to[NGX_RF_FILE_TEMP];
    ngx_fd_t      fd;
    ngx_err_t     err;
    ngx_uint_t    i;
    struct stat   st;

    ngx_rf_file_name(hex, name);

    fd = ngx_rf_file_dir_open(root->base, "quarantine", 1, NULL);

    if (fd == NGX_INVALID_FILE) {
        *why = "openat(quarantine)";
        return NGX_ERROR;
    }

    /* nothing that was set aside before is ever replaced */

    (void) snprintf(to, sizeof(to), "%s", name);

    for (i = 2; fstatat(fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0; i++) {
        (void) snprintf(to, sizeof(to), "%s-%lu.json", (const char *) hex,
                        (unsigned long) i);
    }

    err = (renameat(dir, name, fd, to) == 0) ? 0 : ngx_errno;

    if (err == 0
        && (ngx_rf_file_dir_sync(fd) != NGX_OK
            || ngx_rf_file_dir_sync(dir) != NGX_OK))
    {
        err = ngx_errno;
        *why = "fsync(quarantine)";

    } else if (err) {
        *why = "renameat(quarantine)";
    }

    close(fd);
    ngx_set_errno(err);

    return err ? NGX_ERROR : NGX_OK;
}
