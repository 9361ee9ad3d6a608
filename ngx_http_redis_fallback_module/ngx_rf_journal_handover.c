/*
 * Owns {path}/{db}/handover/: files of records that one instance leaves to
 * another, see ngx_rf_journal.h.
 *
 * A file is written beside, synced and renamed, so it is there whole or not at
 * all; whoever dies while writing leaves a temp file, which is removed in time.
 *
 * Runs in threads (and in the master, at its exit): malloc() only.
 */

#include "ngx_rf_journal.h"
#include "ngx_rf_journal_parts.h"
#include "ngx_rf_codec.h"


static ngx_int_t ngx_rf_hand_put(ngx_rf_journal_dir_t *hd, const char *name,
    ngx_rf_record_t *records, ngx_rf_file_error_t *error);
static ngx_int_t ngx_rf_hand_first(ngx_fd_t dir, const char *after,
    char *name);
static ngx_uint_t ngx_rf_hand_is_name(const char *name);
static ngx_int_t ngx_rf_hand_load(ngx_rf_journal_dir_t *hd,
    ngx_rf_journal_hand_t *hand, ngx_uint_t keep);
static ngx_int_t ngx_rf_hand_decode(ngx_rf_journal_dir_t *hd,
    ngx_rf_journal_hand_t *hand, u_char *text, size_t len);
static void ngx_rf_hand_free(ngx_rf_journal_hand_t *hand);
static ngx_int_t ngx_rf_hand_look(ngx_rf_file_conf_t *conf,
    ngx_rf_record_t *rec, ngx_uint_t *taken);
static ngx_int_t ngx_rf_hand_banish(ngx_rf_journal_dir_t *hd,
    ngx_rf_journal_hand_t *hand, ngx_uint_t move);


ngx_int_t
ngx_rf_journal_hand_write_thread(ngx_rf_file_conf_t *conf, uint64_t seq,
    ngx_rf_record_t *records, ngx_rf_file_error_t *error)
{
    char                name[NGX_RF_JOURNAL_HAND];
    ngx_int_t           rc;
    ngx_rf_journal_dir_t  hd;

    error->what = NULL;

    if (ngx_rf_journal_dir_open(&hd, conf, NGX_RF_JOURNAL_HAND_DIR, 1, error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) snprintf(name, sizeof(name), "%016llx-%08lx.log",
                    (unsigned long long) seq, (unsigned long) getpid());

    rc = ngx_rf_hand_put(&hd, name, records, error);

    ngx_rf_journal_dir_close(&hd);

    return rc;
}


ngx_int_t
ngx_rf_journal_hand_read_thread(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_hand_t *hand, ngx_uint_t keep)
{
    ngx_int_t           rc;
    ngx_rf_journal_dir_t  hd;

    hand->name[0] = '\0';
    hand->records = NULL;
    hand->nrecords = 0;
    hand->unknown = 0;
    hand->damaged = 0;
    hand->error.what = NULL;

    rc = ngx_rf_journal_dir_open(&hd, conf, NGX_RF_JOURNAL_HAND_DIR, 0,
                                 &hand->error);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_DONE : NGX_ERROR;
    }

    rc = ngx_rf_hand_first(hd.dir, hand->after, hand->name);

    if (rc == NGX_OK) {
        rc = ngx_rf_hand_load(&hd, hand, keep);

    } else if (rc == NGX_ERROR) {
        ngx_rf_file_fail(&hand->error, conf, ngx_errno, "readdir()",
                         "%ui/" NGX_RF_JOURNAL_HAND_DIR, conf->database);
    }

    ngx_rf_journal_dir_close(&hd);

    return rc;
}


ngx_int_t
ngx_rf_journal_hand_done_thread(ngx_rf_file_conf_t *conf, const char *name,
    ngx_rf_record_t *records, ngx_rf_file_error_t *error)
{
    ngx_int_t           rc;
    const char         *what;
    ngx_rf_journal_dir_t  hd;

    error->what = NULL;

    rc = ngx_rf_journal_dir_open(&hd, conf, NGX_RF_JOURNAL_HAND_DIR, 0, error);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    if (records) {
        rc = ngx_rf_hand_put(&hd, name, records, error);

    } else {
        what = NULL;

        if (unlinkat(hd.dir, name, 0) != 0 && ngx_errno != NGX_ENOENT) {
            what = "unlinkat()";

        } else if (ngx_rf_file_dir_sync(hd.dir) != NGX_OK) {
            what = "fsync()";
        }

        if (what) {
            ngx_rf_file_fail(error, conf, ngx_errno, what,
                             "%ui/" NGX_RF_JOURNAL_HAND_DIR "/%s",
                             conf->database, name);
            rc = NGX_ERROR;
        }
    }

    ngx_rf_journal_dir_close(&hd);

    return rc;
}


static ngx_int_t
ngx_rf_hand_put(ngx_rf_journal_dir_t *hd, const char *name,
    ngx_rf_record_t *records, ngx_rf_file_error_t *error)
{
    ngx_int_t               rc;
    const char             *what;
    ngx_rf_codec_text_t     text;

    if (ngx_rf_journal_make(records, &text) != NGX_OK) {
        what = "malloc()";
        ngx_set_errno(NGX_ENOMEM);
        rc = NGX_ERROR;

    } else {
        rc = ngx_rf_file_put(&hd->root, hd->dir, name, text.data, text.len,
                             &what);

        ngx_rf_codec_drop(text.data, text.size);
    }

    if (rc != NGX_OK) {
        ngx_rf_file_fail(error, hd->root.conf, ngx_errno, what,
                         "%ui/" NGX_RF_JOURNAL_HAND_DIR "/%s",
                         hd->root.conf->database, name);
    }

    return rc;
}


/* NGX_DONE: none; NGX_ERROR: errno */

static ngx_int_t
ngx_rf_hand_first(ngx_fd_t dir, const char *after, char *name)
{
    DIR            *d;
    ngx_fd_t        copy;
    ngx_err_t       err;
    struct dirent  *de;

    name[0] = '\0';

    copy = openat(dir, ".", NGX_RF_FILE_DIR_FLAGS);
    d = (copy == NGX_INVALID_FILE) ? NULL : fdopendir(copy);

    if (d == NULL) {
        err = ngx_errno;

        if (copy != NGX_INVALID_FILE) {
            close(copy);
        }

        ngx_set_errno(err);
        return NGX_ERROR;
    }

    for ( ;; ) {
        ngx_set_errno(0);

        de = readdir(d);

        if (de == NULL) {
            err = ngx_errno;
            break;
        }

        if (ngx_rf_hand_is_name(de->d_name)
            && ngx_strcmp(de->d_name, after) > 0
            && (name[0] == '\0' || ngx_strcmp(de->d_name, name) < 0))
        {
            ngx_memcpy(name, de->d_name, NGX_RF_JOURNAL_HAND);
        }
    }

    (void) closedir(d);

    if (err) {
        ngx_set_errno(err);
        return NGX_ERROR;
    }

    return name[0] ? NGX_OK : NGX_DONE;
}


static ngx_uint_t
ngx_rf_hand_is_name(const char *name)
{
    return ngx_strlen(name) == NGX_RF_JOURNAL_HAND - 1
           && ngx_rf_file_is_hex(name, 16) && name[16] == '-'
           && ngx_rf_file_is_hex(name + 17, 8)
           && ngx_strcmp(name + 25, ".log") == 0;
}


static ngx_int_t
ngx_rf_hand_load(ngx_rf_journal_dir_t *hd, ngx_rf_journal_hand_t *hand,
    ngx_uint_t keep)
{
    size_t      len;
    u_char     *text;
    ngx_int_t   rc;
    ngx_err_t   err;

    text = ngx_rf_journal_content(hd->dir, hand->name, &len);

    if (text == NULL) {
        err = ngx_errno;

        ngx_rf_file_fail(&hand->error, hd->root.conf, err, "read()",
                         "%ui/" NGX_RF_JOURNAL_HAND_DIR "/%s",
                         hd->root.conf->database, hand->name);

        if (err != NGX_EINVAL && err != NGX_ELOOP) {
            return NGX_ERROR;
        }

        /* no file: it is in the way for ever */

        if (!keep && ngx_rf_hand_banish(hd, hand, 1) != NGX_OK) {
            return NGX_ERROR;
        }

        hand->damaged = 1;

        return NGX_OK;
    }

    rc = ngx_rf_hand_decode(hd, hand, text, len);

    ngx_rf_codec_drop(text, len);

    if (rc == NGX_OK && hand->damaged) {
        ngx_rf_file_fail(&hand->error, hd->root.conf, 0,
                         "damaged, what is whole of it is used",
                         "%ui/" NGX_RF_JOURNAL_HAND_DIR "/%s",
                         hd->root.conf->database, hand->name);

        if (!keep && ngx_rf_hand_banish(hd, hand, 0) != NGX_OK) {
            /* it must not go */
            hand->damaged = 0;
            ngx_rf_hand_free(hand);
            return NGX_ERROR;
        }
    }

    return rc;
}


/* the lines around a damaged one are used: each has a checksum of its own */

static ngx_int_t
ngx_rf_hand_decode(ngx_rf_journal_dir_t *hd, ngx_rf_journal_hand_t *hand,
    u_char *text, size_t len)
{
    ngx_int_t               rc;
    ngx_uint_t              taken;
    ngx_rf_record_t        *rec, **last;
    ngx_rf_journal_read_t   rd;

    ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));

    rd.n = (ngx_uint_t) -1;
    rd.files = hand->files;
    rd.pos = text;
    rd.last = text + len;

    hand->damaged = (ngx_rf_journal_check(&rd, text, len) != text + len
                     || rd.broken || len == 0);

    rc = ngx_rf_journal_slice(hd->root.conf, &rd);

    if (rc != NGX_OK) {
        hand->error = rd.errors[0];
    }

    hand->unknown = rd.unknown;
    last = &hand->records;

    while (rd.records) {
        rec = rd.records;
        rd.records = rec->next;
        rec->next = NULL;

        taken = 0;

        if (rc == NGX_OK && rec->filed) {
            rc = ngx_rf_hand_look(hd->root.conf, rec, &taken);
        }

        if (rc != NGX_OK || taken) {
            ngx_rf_codec_free(rec);
            continue;
        }

        *last = rec;
        last = &rec->next;
        hand->nrecords++;
    }

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    ngx_rf_hand_free(hand);

    return NGX_ERROR;
}


static void
ngx_rf_hand_free(ngx_rf_journal_hand_t *hand)
{
    ngx_rf_record_t  *rec;

    while (hand->records) {
        rec = hand->records;
        hand->records = rec->next;
        ngx_rf_codec_free(rec);
    }
}


/* A crash may have come between the taking in and the removal, and the key may
 * be in its file only by now. */

static ngx_int_t
ngx_rf_hand_look(ngx_rf_file_conf_t *conf, ngx_rf_record_t *rec,
    ngx_uint_t *taken)
{
    ngx_int_t             rc;
    ngx_rf_record_t      *file;
    ngx_rf_file_error_t   error;

    if (rec->pending != NGX_RF_DELTA) {
        return NGX_OK;
    }

    error.what = NULL;

    rc = ngx_rf_file_read_thread(conf, &rec->key, 0, &file, &error);

    if (rc == NGX_OK) {
        *taken = (file->pending == NGX_RF_DELTA
                  && (file->id == rec->id
                      || file->id == ngx_rf_record_id_behind(rec->id)));
        ngx_rf_codec_free(file);
    }

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_rf_hand_banish(ngx_rf_journal_dir_t *hd, ngx_rf_journal_hand_t *hand,
    ngx_uint_t move)
{
    int        rc;
    char       to[64];
    ngx_fd_t   quarantine;
    ngx_int_t  synced;

    (void) snprintf(to, sizeof(to), "handover-%s", hand->name);

    quarantine = ngx_rf_file_dir_open(hd->root.base, "quarantine", 1, NULL);

    if (quarantine == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    rc = move ? renameat(hd->dir, hand->name, quarantine, to)
              : linkat(hd->dir, hand->name, quarantine, to, 0);

    if (rc == -1 && ngx_errno == NGX_EEXIST) {
        /* as it was the last time */
        rc = 0;
    }

    synced = ngx_rf_file_dir_sync(quarantine);

    close(quarantine);

    return rc == 0 ? synced : NGX_ERROR;
}
