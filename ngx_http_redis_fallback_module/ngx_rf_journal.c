/*
 * Owns writing the journal: batches, segments, their end.
 *
 * A batch is made up in memory and leaves in one write() and one fdatasync().
 * A segment that has failed is never written again: after a failed sync nobody
 * knows what the disk has of it (fsync(2) tells an error once), and what was
 * synced before stays good.
 *
 * Runs in threads: malloc() only.
 */

#include "ngx_rf_journal.h"
#include "ngx_rf_journal_parts.h"


/* a batch's text grows by doubling from here */
#define NGX_RF_JOURNAL_BUFFER   16384

/* of a file system, or a multiple of it */
#define NGX_RF_JOURNAL_BLOCK    4096


static size_t ngx_rf_journal_open_line(ngx_rf_codec_text_t *text);
static void ngx_rf_journal_end_line(ngx_rf_codec_text_t *text, u_char kind,
    size_t start);
static void ngx_rf_journal_format(ngx_rf_codec_text_t *text, const char *fmt,
    ...) __attribute__((format(printf, 2, 3)));
static ngx_int_t ngx_rf_journal_begin(ngx_rf_journal_t *journal,
    ngx_rf_journal_dir_t *jd, ngx_rf_journal_batch_t *batch,
    const char **what);
static const char *ngx_rf_journal_write(ngx_rf_journal_t *journal,
    ngx_rf_codec_text_t *text, ngx_uint_t ahead);
static size_t ngx_rf_journal_ahead(ngx_rf_journal_t *journal, off_t end);
static void ngx_rf_journal_drop(ngx_rf_journal_dir_t *jd,
    ngx_rf_journal_batch_t *batch);
static int ngx_libc_cdecl ngx_rf_journal_compare(const void *one,
    const void *two);


void
ngx_rf_journal_init(ngx_rf_journal_t *journal)
{
    journal->fd = NGX_INVALID_FILE;
    journal->generation = 0;
    journal->size = 0;
    journal->end = 0;
}


void
ngx_rf_journal_close(ngx_rf_journal_t *journal)
{
    if (journal->fd != NGX_INVALID_FILE) {

        /* the room that was not used, if the disk wants it back */

        if (journal->end > journal->size
            && ftruncate(journal->fd, journal->size) == 0)
        {
            journal->end = journal->size;
        }

        close(journal->fd);
        journal->fd = NGX_INVALID_FILE;
    }
}


ngx_int_t
ngx_rf_journal_append_thread(ngx_rf_journal_t *journal,
    ngx_rf_file_conf_t *conf, ngx_rf_journal_batch_t *batch,
    ngx_rf_file_error_t *error)
{
    off_t                   end;
    ngx_err_t               err;
    const char             *what;
    ngx_rf_journal_dir_t    jd;
    ngx_rf_codec_text_t     text;

    error->what = NULL;
    batch->bytes = 0;

    if (ngx_rf_journal_make(batch->records, &text) != NGX_OK) {
        ngx_rf_file_fail(error, conf, NGX_ENOMEM, "malloc()", "%ui/journal",
                         conf->database);
        return NGX_ERROR;
    }

    what = NULL;

    if (journal->fd == NGX_INVALID_FILE
        || journal->generation != batch->generation
        || journal->size >= NGX_RF_JOURNAL_SEGMENT)
    {
        ngx_rf_journal_close(journal);

        if (ngx_rf_journal_dir_open(&jd, conf, NGX_RF_JOURNAL_DIR, 1, error)
            != NGX_OK)
        {
            free(text.data);
            return NGX_ERROR;
        }

        (void) ngx_rf_journal_begin(journal, &jd, batch, &what);

        err = ngx_errno;
        ngx_rf_journal_dir_close(&jd);
        ngx_set_errno(err);
    }

    end = journal->end;

    if (what == NULL) {
        what = ngx_rf_journal_write(journal, &text, 1);
    }

    if (what) {
        ngx_rf_file_fail(error, conf, ngx_errno, what, "%ui/journal",
                         conf->database);

        /* nothing is done to it any more, cutting off its zeros neither */
        journal->end = journal->size;

        ngx_rf_journal_close(journal);
        batch->bytes = 0;

    } else {
        batch->bytes += journal->end - end;
    }

    ngx_rf_codec_drop(text.data, text.size);

    return what ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_rf_journal_make(ngx_rf_record_t *records, ngx_rf_codec_text_t *text)
{
    size_t            start;
    ngx_uint_t        n;
    uint32_t          crc;
    ngx_rf_record_t  *rec;

    ngx_memzero(text, sizeof(ngx_rf_codec_text_t));

    (void) ngx_rf_codec_room(text, NGX_RF_JOURNAL_BUFFER);

    n = 0;

    for (rec = records; rec; rec = rec->next) {

        start = ngx_rf_journal_open_line(text);

        if (rec->remove) {
            (void) ngx_rf_codec_append_ack(text, rec);

        } else {
            (void) ngx_rf_codec_append(text, rec);
        }

        ngx_rf_journal_end_line(text, rec->remove ? 'A' : 'R', start);
        n++;
    }

    crc = text->failed ? 0 : ngx_rf_journal_crc(text->data, text->len);

    start = ngx_rf_journal_open_line(text);

    ngx_rf_journal_format(text, "{\"lines\":%lu,\"crc\":\"%08lx\"}",
                          (unsigned long) n, (unsigned long) crc);

    ngx_rf_journal_end_line(text, 'C', start);

    if (text->failed) {
        ngx_rf_codec_drop(text->data, text->size);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* where the line begins; its JSON comes behind the prefix, which end_line()
 * fills in */

static size_t
ngx_rf_journal_open_line(ngx_rf_codec_text_t *text)
{
    size_t  start;

    start = text->len;

    if (ngx_rf_codec_room(text, NGX_RF_JOURNAL_PREFIX)) {
        text->len += NGX_RF_JOURNAL_PREFIX;
    }

    return start;
}


static void
ngx_rf_journal_end_line(ngx_rf_codec_text_t *text, u_char kind, size_t start)
{
    u_char      *p, *json;
    uint32_t     crc;
    ngx_uint_t   i;

    p = ngx_rf_codec_room(text, 1);

    if (p == NULL) {
        return;
    }

    json = text->data + start + NGX_RF_JOURNAL_PREFIX;
    crc = ngx_rf_journal_crc(json, p - json);

    *p = LF;
    text->len++;

    p = text->data + start;

    *p++ = kind;
    *p++ = ' ';

    for (i = 0; i < 8; i++) {
        *p++ = "0123456789abcdef"[crc >> 28];
        crc <<= 4;
    }

    *p = ' ';
}


/* shorter than a head */

static void
ngx_rf_journal_format(ngx_rf_codec_text_t *text, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    p = ngx_rf_codec_room(text, NGX_RF_JOURNAL_HEAD);

    if (p) {
        va_start(args, fmt);
        text->len += vsnprintf((char *) p, NGX_RF_JOURNAL_HEAD, fmt, args);
        va_end(args);
    }
}


/* errno as *what left it */

static ngx_int_t
ngx_rf_journal_begin(ngx_rf_journal_t *journal, ngx_rf_journal_dir_t *jd,
    ngx_rf_journal_batch_t *batch, const char **what)
{
    char                    name[NGX_RF_JOURNAL_NAME];
    size_t                  start;
    ngx_err_t               err;
    ngx_rf_codec_text_t     text;

    ngx_rf_journal_name(batch->number, name);

    /* never one that is there: its batches would be taken for ours */

    journal->fd = openat(jd->dir, name,
                         O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC,
                         NGX_RF_FILE_MODE);

    if (journal->fd == NGX_INVALID_FILE) {
        *what = "openat()";
        return NGX_ERROR;
    }

    journal->generation = batch->generation;
    journal->size = 0;
    journal->end = 0;

    ngx_memzero(&text, sizeof(ngx_rf_codec_text_t));

    start = ngx_rf_journal_open_line(&text);

    ngx_rf_journal_format(&text, "{\"journal\":1,\"number\":\"%llu\","
                          "\"base\":\"%llu\",\"seq\":\"%llu\"}",
                          (unsigned long long) batch->number,
                          (unsigned long long) batch->base,
                          (unsigned long long) batch->seq);

    ngx_rf_journal_end_line(&text, 'H', start);

    if (text.failed) {
        ngx_set_errno(NGX_ENOMEM);
        *what = "malloc()";

    } else {
        *what = ngx_rf_journal_write(journal, &text, 0);
    }

    if (*what == NULL && ngx_rf_file_dir_sync(jd->dir) != NGX_OK) {
        *what = "fsync()";
    }

    batch->bytes = text.len;
    free(text.data);

    if (*what == NULL) {
        return NGX_OK;
    }

    err = ngx_errno;
    ngx_rf_journal_close(journal);
    (void) unlinkat(jd->dir, name, 0);
    ngx_set_errno(err);

    return NGX_ERROR;
}


static const char *
ngx_rf_journal_write(ngx_rf_journal_t *journal, ngx_rf_codec_text_t *text,
    ngx_uint_t ahead)
{
    off_t     end;
    u_char   *p, *last;
    ssize_t   n;

    p = text->data;
    last = p + text->len;
    end = journal->size;

    while (p < last) {
        n = pwrite(journal->fd, p, last - p, end);

        if (n != -1) {
            p += n;
            end += n;

        } else if (ngx_errno != NGX_EINTR) {
            return "pwrite()";
        }
    }

    if (end > journal->end) {
        journal->end = end + (ahead ? ngx_rf_journal_ahead(journal, end) : 0);
    }

    if (fdatasync(journal->fd) != 0) {
        return "fdatasync()";
    }

    journal->size = end;

    return NULL;
}


/* zeros behind what was written, in its sync; as much again as there is, up to
 * a limit.  They are no must: a full disk may refuse them. */

static size_t
ngx_rf_journal_ahead(ngx_rf_journal_t *journal, off_t end)
{
    size_t   len;
    ssize_t  n;

    static const u_char  zeros[NGX_RF_JOURNAL_AHEAD + NGX_RF_JOURNAL_BLOCK];

    len = ngx_align(end + ngx_min(end, NGX_RF_JOURNAL_AHEAD),
                    NGX_RF_JOURNAL_BLOCK) - end;

    n = pwrite(journal->fd, zeros, len, end);

    return n > 0 ? n : 0;
}


ngx_int_t
ngx_rf_journal_base_thread(ngx_rf_journal_t *journal,
    ngx_rf_file_conf_t *conf, ngx_rf_journal_batch_t *batch,
    ngx_rf_file_error_t *error)
{
    ngx_err_t              err;
    ngx_int_t              rc;
    const char            *what;
    ngx_rf_journal_dir_t   jd;

    error->what = NULL;

    ngx_rf_journal_close(journal);

    if (ngx_rf_journal_dir_open(&jd, conf, NGX_RF_JOURNAL_DIR, 1, error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_rf_journal_begin(journal, &jd, batch, &what);

    if (rc == NGX_OK || batch->garbage) {
        err = ngx_errno;
        ngx_rf_journal_drop(&jd, batch);
        ngx_set_errno(err);
    }

    if (rc != NGX_OK) {
        ngx_rf_file_fail(error, conf, ngx_errno, what, "%ui/journal",
                         conf->database);
    }

    ngx_rf_journal_dir_close(&jd);

    return rc;
}


static void
ngx_rf_journal_drop(ngx_rf_journal_dir_t *jd, ngx_rf_journal_batch_t *batch)
{
    char         name[NGX_RF_JOURNAL_NAME];
    uint64_t    *numbers;
    ngx_uint_t   i, n;
    struct stat  st;

    if (ngx_rf_journal_list(jd->dir, &numbers, &n) != NGX_OK) {
        /* all of them are there yet */
        batch->bytes = -1;
        return;
    }

    batch->bytes = 0;

    for (i = 0; i < n; i++) {
        ngx_rf_journal_name(numbers[i], name);

        if (numbers[i] < batch->base && unlinkat(jd->dir, name, 0) == 0) {
            continue;
        }

        if (fstatat(jd->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            batch->bytes += st.st_size;
        }
    }

    free(numbers);
}


ngx_int_t
ngx_rf_journal_dir_open(ngx_rf_journal_dir_t *jd, ngx_rf_file_conf_t *conf,
    const char *name, ngx_uint_t create, ngx_rf_file_error_t *error)
{
    ngx_err_t   err;
    ngx_int_t   rc;
    ngx_uint_t  made;

    rc = ngx_rf_file_root_open(&jd->root, conf, create, error);
    if (rc != NGX_OK) {
        return rc;
    }

    made = 0;
    jd->dir = ngx_rf_file_dir_open(jd->root.db, name, create, &made);

    if (jd->dir != NGX_INVALID_FILE
        && (!made || ngx_rf_file_dir_sync(jd->root.db) == NGX_OK))
    {
        return NGX_OK;
    }

    err = ngx_errno;

    if (jd->dir != NGX_INVALID_FILE) {
        close(jd->dir);

        /* or the next one would take it for durable */
        (void) unlinkat(jd->root.db, name, AT_REMOVEDIR);

    } else if (err == NGX_ENOENT && !create) {
        ngx_rf_file_root_close(&jd->root);
        return NGX_DECLINED;
    }

    ngx_rf_file_root_close(&jd->root);
    ngx_rf_file_fail(error, conf, err, "openat()", "%ui/%s", conf->database,
                     name);

    return NGX_ERROR;
}


void
ngx_rf_journal_dir_close(ngx_rf_journal_dir_t *jd)
{
    close(jd->dir);
    ngx_rf_file_root_close(&jd->root);
}


void
ngx_rf_journal_name(uint64_t number, char *name)
{
    (void) snprintf(name, NGX_RF_JOURNAL_NAME, "%016llx.log",
                    (unsigned long long) number);
}


ngx_int_t
ngx_rf_journal_list(ngx_fd_t dir, uint64_t **numbers, ngx_uint_t *n)
{
    DIR            *d;
    size_t          size;
    uint64_t       *p;
    ngx_fd_t        copy;
    ngx_err_t       err;
    struct dirent  *de;

    *numbers = NULL;
    *n = 0;
    size = 0;

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

    err = 0;

    for ( ;; ) {
        ngx_set_errno(0);

        de = readdir(d);

        if (de == NULL) {
            err = ngx_errno;
            break;
        }

        if (ngx_strlen(de->d_name) != NGX_RF_JOURNAL_NAME - 1
            || !ngx_rf_file_is_hex(de->d_name, 16)
            || ngx_strcmp(de->d_name + 16, ".log") != 0)
        {
            continue;
        }

        if (*n == size) {
            size = size ? 2 * size : 16;
            p = realloc(*numbers, size * sizeof(uint64_t));

            if (p == NULL) {
                err = NGX_ENOMEM;
                break;
            }

            *numbers = p;
        }

        (*numbers)[(*n)++] = strtoull(de->d_name, NULL, 16);
    }

    (void) closedir(d);

    if (err) {
        free(*numbers);
        *numbers = NULL;
        ngx_set_errno(err);
        return NGX_ERROR;
    }

    if (*n) {
        qsort(*numbers, *n, sizeof(uint64_t), ngx_rf_journal_compare);
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_rf_journal_compare(const void *one, const void *two)
{
    uint64_t  a, b;

    a = *(const uint64_t *) one;
    b = *(const uint64_t *) two;

    return (a > b) - (a < b);
}
