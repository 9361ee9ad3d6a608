/*
 * Owns what files have to say while the journal is read: whether a key has one,
 * and whether it is newer.
 *
 * While the journal was failing or full, files took what was pending: so a
 * key's file may be newer than all lines of it.  Then its record is given in
 * the place of the first of them, and the others are left out.  Of that file
 * an acknowledgement says nothing.
 *
 * Refuses to know lines and segments.  Runs in threads: malloc() only.
 */

#include "ngx_rf_journal.h"
#include "ngx_rf_journal_parts.h"
#include "ngx_rf_codec.h"


/* versions of files that were looked at last, by their digests: a hot key has
 * a thousand lines */

#define NGX_RF_JOURNAL_SEEN     4096

/* of a key's file, below the database's directory */
#define NGX_RF_JOURNAL_PATH                                                   \
    (NGX_RF_FILE_HEX + NGX_RF_FILE_LEVELS + NGX_RF_FILE_NAME + 1)

struct ngx_rf_journal_seen_s {
    uint64_t              version;      /* 0: nothing is known */
    u_char                hex[NGX_RF_FILE_HEX];
};


static void ngx_rf_journal_file_path(ngx_rf_file_root_t *root, u_char *hex,
    char *path);
static ngx_int_t ngx_rf_journal_look(ngx_rf_file_root_t *root,
    ngx_rf_journal_read_t *rd, ngx_rf_record_t **rec);
static ngx_int_t ngx_rf_journal_file_version(ngx_rf_file_root_t *root,
    char *path, uint64_t *version);
static ngx_int_t ngx_rf_journal_newer(ngx_rf_file_root_t *root,
    ngx_rf_journal_read_t *rd, ngx_rf_record_t **rec, uint64_t *version);
static void ngx_rf_journal_file_error(ngx_rf_journal_read_t *rd,
    ngx_rf_file_error_t *error);


ngx_int_t
ngx_rf_journal_files_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_read_t *rd, ngx_rf_record_t **list)
{
    ngx_int_t             rc;
    ngx_rf_record_t      *next;
    ngx_rf_file_root_t    root;
    ngx_rf_file_error_t   error;

    error.what = NULL;

    if (ngx_rf_file_root_open(&root, conf, 0, &error) != NGX_OK) {
        ngx_rf_journal_error(conf, rd, error.err, error.what, "");
        return NGX_ERROR;
    }

    /* others may have written them since the last time */

    if (rd->seen) {
        ngx_memzero(rd->seen, NGX_RF_JOURNAL_SEEN
                              * sizeof(struct ngx_rf_journal_seen_s));

    } else {
        rd->seen = calloc(NGX_RF_JOURNAL_SEEN,
                          sizeof(struct ngx_rf_journal_seen_s));
    }

    rc = rd->seen ? NGX_OK : NGX_ERROR;

    while (rc == NGX_OK && *list) {

        rc = ngx_rf_journal_look(&root, rd, list);

        if (rc == NGX_DECLINED) {
            next = (*list)->next;
            ngx_rf_codec_free(*list);
            *list = next;
            rd->nrecords--;
            rc = NGX_OK;
            continue;
        }

        list = &(*list)->next;
    }

    ngx_rf_file_root_close(&root);

    return rc;
}


/*
 * NGX_OK: as the line has it, or the file's in its place.  NGX_DECLINED: the
 * line is older than what was given in the place of another one.  NGX_ERROR: no
 * memory.
 */

static ngx_int_t
ngx_rf_journal_look(ngx_rf_file_root_t *root, ngx_rf_journal_read_t *rd,
    ngx_rf_record_t **rec)
{
    char                           path[NGX_RF_JOURNAL_PATH];
    u_char                         hex[NGX_RF_FILE_HEX + 1];
    uint64_t                       version;
    ngx_int_t                      rc;
    struct ngx_rf_journal_seen_s  *seen;

    ngx_rf_file_digest(&(*rec)->key, hex);
    ngx_rf_journal_file_path(root, hex, path);

    if (rd->acks) {
        rc = ngx_rf_journal_file_version(root, path, &version);

        /* one that is newer was made after that, and is pending */
        (*rec)->filed = (rc == NGX_OK && version <= (*rec)->version);

        if (rc == NGX_ERROR) {
            rd->unread++;
            ngx_rf_journal_error(root->conf, rd, ngx_errno, "read()", path);
        }

        return NGX_OK;
    }

    seen = &rd->seen[ngx_hextoi(hex, 3) % NGX_RF_JOURNAL_SEEN];

    if (seen->version && ngx_memcmp(seen->hex, hex, NGX_RF_FILE_HEX) == 0) {
        (*rec)->filed = 1;
        return (seen->version > (*rec)->version) ? NGX_DECLINED : NGX_OK;
    }

    rc = ngx_rf_journal_file_version(root, path, &version);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    (*rec)->filed = 1;

    if (rc == NGX_ERROR) {
        /* it may be the newer one: not before it can be read */
        rd->unread++;
        ngx_rf_journal_error(root->conf, rd, ngx_errno, "read()", path);
        return NGX_OK;
    }

    if (version > (*rec)->version) {
        rc = ngx_rf_journal_newer(root, rd, rec, &version);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
        }
    }

    seen->version = version;
    ngx_memcpy(seen->hex, hex, NGX_RF_FILE_HEX);

    return NGX_OK;
}


/* NGX_DECLINED: there is none; NGX_ERROR, with errno: nobody knows.  One that
 * is no record has version 0, as one of another program */

static ngx_int_t
ngx_rf_journal_file_version(ngx_rf_file_root_t *root, char *path,
    uint64_t *version)
{
    u_char     head[NGX_RF_CODEC_HEAD];
    ssize_t    n;
    ngx_fd_t   fd;
    ngx_err_t  err;

    *version = 0;

    fd = openat(root->db, path, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {

        if (ngx_errno == NGX_ENOENT || ngx_errno == NGX_ENOTDIR) {
            return NGX_DECLINED;
        }

        return (ngx_errno == NGX_ELOOP || ngx_errno == ENXIO) ? NGX_OK
                                                              : NGX_ERROR;
    }

    do {
        n = pread(fd, head, sizeof(head), 0);
    } while (n == -1 && ngx_errno == NGX_EINTR);

    err = ngx_errno;
    close(fd);
    ngx_set_errno(err);

    if (n == -1) {
        return (err == NGX_EISDIR || err == ESPIPE) ? NGX_OK : NGX_ERROR;
    }

    if (ngx_rf_codec_version(head, (size_t) n, version) != NGX_OK) {
        *version = 0;
    }

    return NGX_OK;
}


/* NGX_DECLINED: the line stays what counts; NGX_ERROR: no memory */

static ngx_int_t
ngx_rf_journal_newer(ngx_rf_file_root_t *root, ngx_rf_journal_read_t *rd,
    ngx_rf_record_t **rec, uint64_t *version)
{
    ngx_rf_record_t      *file;
    ngx_rf_file_error_t   error;

    switch (ngx_rf_file_read_thread(root->conf, &(*rec)->key, rd->mark, &file,
                                    &error))
    {
    case NGX_OK:
        break;

    case NGX_DECLINED:
        /* it is gone, or another key's with the same digest */
        return NGX_DECLINED;

    case NGX_ABORT:
        rd->damaged++;
        ngx_rf_journal_file_error(rd, &error);
        return NGX_DECLINED;

    default:
        if (error.err == NGX_ENOMEM) {
            return NGX_ERROR;
        }

        rd->unread++;
        ngx_rf_journal_file_error(rd, &error);
        return NGX_DECLINED;
    }

    if (file->version <= (*rec)->version) {
        ngx_rf_codec_free(file);
        return NGX_DECLINED;
    }

    *version = file->version;

    file->filed = 1;
    file->next = (*rec)->next;

    ngx_rf_codec_free(*rec);
    *rec = file;

    return NGX_OK;
}


static void
ngx_rf_journal_file_path(ngx_rf_file_root_t *root, u_char *hex, char *path)
{
    u_char      *from;
    ngx_uint_t   i;

    from = hex;

    for (i = 0; i < NGX_RF_FILE_LEVELS; i++) {
        if (root->conf->levels[i]) {
            path = (char *) ngx_cpymem(path, from, root->conf->levels[i]);
            *path++ = '/';
            from += root->conf->levels[i];
        }
    }

    ngx_rf_file_name(hex, path);
}


static void
ngx_rf_journal_file_error(ngx_rf_journal_read_t *rd,
    ngx_rf_file_error_t *error)
{
    if (rd->nerrors < NGX_RF_JOURNAL_ERRORS) {
        rd->errors[rd->nerrors++] = *error;
    }
}
