/*
 * Owns reading the journal: which segments count, which of their batches are
 * whole, what is damaged.
 *
 * A segment is read as a whole (it has little more than
 * NGX_RF_JOURNAL_SEGMENT bytes) and given out in slices.  What lies behind its
 * last C that is whole itself was torn by a crash and never acknowledged.  A
 * line before that one which is not what it was is damage: the lines around it
 * are still given, each has a checksum of its own.
 *
 * Runs in threads: malloc() only.
 */

#include "ngx_rf_journal.h"
#include "ngx_rf_journal_parts.h"
#include "ngx_rf_codec.h"


typedef struct {
    u_char                kind;
    u_char               *json;
    size_t                len;
    u_char               *end;          /* behind the line feed */
} ngx_rf_journal_line_t;


static ngx_int_t ngx_rf_journal_open(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_read_t *rd);
static ngx_int_t ngx_rf_journal_single(ngx_rf_journal_read_t *rd);
static void ngx_rf_journal_heads(ngx_rf_journal_dir_t *jd,
    ngx_rf_journal_read_t *rd);
static void ngx_rf_journal_head(ngx_rf_journal_read_t *rd, u_char *text,
    size_t len);
static ngx_int_t ngx_rf_journal_next(ngx_rf_file_conf_t *conf,
    ngx_rf_journal_read_t *rd, ngx_uint_t keep);
static ngx_int_t ngx_rf_journal_load(ngx_rf_journal_dir_t *jd,
    ngx_rf_journal_read_t *rd, ngx_uint_t keep);
static u_char *ngx_rf_journal_start(ngx_rf_journal_line_t *line, u_char *text,
    u_char *end);
static ngx_int_t ngx_rf_journal_take(ngx_rf_journal_read_t *rd,
    ngx_rf_journal_line_t *line, ngx_rf_record_t **rec);
static ngx_int_t ngx_rf_journal_parse(u_char *p, u_char *last,
    ngx_rf_journal_line_t *line);
static uint64_t ngx_rf_journal_field(ngx_rf_journal_line_t *line,
    const char *name, int base);
static void ngx_rf_journal_free_records(ngx_rf_journal_read_t *rd);


ngx_int_t
ngx_rf_journal_read_thread(ngx_rf_file_conf_t *conf, ngx_rf_journal_read_t *rd,
    ngx_uint_t keep)
{
    ngx_int_t  rc;

    ngx_rf_journal_free_records(rd);

    rd->nerrors = 0;

    if (!rd->listed) {
        rc = ngx_rf_journal_open(conf, rd);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    for ( ;; ) {

        if (rd->text == NULL) {
            rc = ngx_rf_journal_next(conf, rd, keep);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        if (ngx_rf_journal_slice(conf, rd) != NGX_OK) {
            return NGX_ERROR;
        }

        if (rd->pos == rd->last) {
            ngx_rf_codec_drop(rd->text, rd->last - rd->text);
            rd->text = NULL;
        }

        if (rd->nrecords >= rd->n
            || rd->nerrors == NGX_RF_JOURNAL_ERRORS)
        {
            return NGX_OK;
        }
    }
}


void
ngx_rf_journal_read_end(ngx_rf_journal_read_t *rd)
{
    ngx_rf_journal_free_records(rd);

    free(rd->numbers);
    rd->numbers = NULL;
    rd->nnumbers = 0;

    free(rd->text);
    rd->text = NULL;

    free(rd->seen);
    rd->seen = NULL;
}


static void
ngx_rf_journal_free_records(ngx_rf_journal_read_t *rd)
{
    ngx_rf_record_t  *rec;

    while (rd->records) {
        rec = rd->records;
        rd->records = rec->next;
        ngx_rf_codec_free(rec);
    }

    rd->nrecords = 0;
}


/* NGX_DONE: there is no journal */

static ngx_int_t
ngx_rf_journal_open(ngx_rf_file_conf_t *conf, ngx_rf_journal_read_t *rd)
{
    ngx_int_t              rc;
    ngx_rf_journal_dir_t   jd;

    if (rd->single) {
        return ngx_rf_journal_single(rd);
    }

    rd->errors[0].what = NULL;

    rc = ngx_rf_journal_dir_open(&jd, conf, NGX_RF_JOURNAL_DIR, 0,
                                 &rd->errors[0]);

    if (rc != NGX_OK) {
        rd->nerrors = (rc == NGX_ERROR);
        return rc == NGX_DECLINED ? NGX_DONE : NGX_ERROR;
    }

    rc = ngx_rf_journal_list(jd.dir, &rd->numbers, &rd->nnumbers);

    if (rc == NGX_OK) {
        ngx_rf_journal_heads(&jd, rd);
        rd->listed = 1;

    } else {
        ngx_rf_journal_error(conf, rd, ngx_errno, "readdir()", "");
    }

    ngx_rf_journal_dir_close(&jd);

    return rc;
}


static ngx_int_t
ngx_rf_journal_single(ngx_rf_journal_read_t *rd)
{
    rd->numbers = malloc(sizeof(uint64_t));

    if (rd->numbers == NULL) {
        return NGX_ERROR;
    }

    rd->numbers[0] = rd->number;
    rd->nnumbers = 1;
    rd->nsegments = 1;
    rd->listed = 1;

    return NGX_OK;
}


/* the base is that of all heads, so they come first */

static void
ngx_rf_journal_heads(ngx_rf_journal_dir_t *jd, ngx_rf_journal_read_t *rd)
{
    char         name[NGX_RF_JOURNAL_NAME];
    u_char       text[NGX_RF_JOURNAL_HEAD];
    ssize_t      n;
    ngx_fd_t     fd;
    ngx_uint_t   i;
    struct stat  st;

    for (i = 0; i < rd->nnumbers; i++) {

        if (rd->next <= rd->numbers[i]) {
            rd->next = rd->numbers[i] + 1;
        }

        ngx_rf_journal_name(rd->numbers[i], name);

        fd = openat(jd->dir, name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

        if (fd == NGX_INVALID_FILE) {
            /* what holds against it shows when the segment's turn comes */
            continue;
        }

        n = pread(fd, text, sizeof(text), 0);

        if (n > 0) {
            ngx_rf_journal_head(rd, text, n);
        }

        if (fstat(fd, &st) == 0) {
            rd->bytes += st.st_size;
        }

        close(fd);
    }

    for (rd->at = 0; rd->at < rd->nnumbers; rd->at++) {
        if (rd->numbers[rd->at] >= rd->base) {
            break;
        }
    }

    rd->nsegments = rd->nnumbers - rd->at;
}


static void
ngx_rf_journal_head(ngx_rf_journal_read_t *rd, u_char *text, size_t len)
{
    uint64_t               n;
    ngx_rf_journal_line_t  line;

    if (ngx_rf_journal_parse(text, text + len, &line) != NGX_OK
        || line.kind != 'H')
    {
        return;
    }

    n = ngx_rf_journal_field(&line, "base", 10);

    if (rd->base < n) {
        rd->base = n;
    }

    n = ngx_rf_journal_field(&line, "seq", 10);

    if (rd->seq < n) {
        rd->seq = n;
    }
}


/* the next segment with something in it; NGX_DONE: there is none */

static ngx_int_t
ngx_rf_journal_next(ngx_rf_file_conf_t *conf, ngx_rf_journal_read_t *rd,
    ngx_uint_t keep)
{
    ngx_int_t              rc;
    ngx_rf_journal_dir_t   jd;

    if (rd->at == rd->nnumbers) {
        return NGX_DONE;
    }

    rd->errors[0].what = NULL;

    rc = ngx_rf_journal_dir_open(&jd, conf, NGX_RF_JOURNAL_DIR, 0,
                                 &rd->errors[0]);

    if (rc != NGX_OK) {
        rd->nerrors = (rc == NGX_ERROR);
        return rc == NGX_DECLINED ? NGX_DONE : NGX_ERROR;
    }

    for (rc = NGX_DONE; rc == NGX_DONE && rd->at < rd->nnumbers; rd->at++) {

        rc = ngx_rf_journal_load(&jd, rd, keep);

        if (rc == NGX_ERROR) {
            break;
        }
    }

    ngx_rf_journal_dir_close(&jd);

    return rc;
}


/* NGX_OK; NGX_DONE: nothing in it, or nothing to be had; NGX_ERROR: no
 * memory */

static ngx_int_t
ngx_rf_journal_load(ngx_rf_journal_dir_t *jd, ngx_rf_journal_read_t *rd,
    ngx_uint_t keep)
{
    char         name[NGX_RF_JOURNAL_NAME], copy[64];
    size_t       len;
    u_char      *text;
    ngx_fd_t     quarantine;

    ngx_rf_journal_name(rd->numbers[rd->at], name);

    text = ngx_rf_journal_content(jd->dir, name, &len);

    if (text == NULL) {

        if (ngx_errno == NGX_ENOENT) {
            return NGX_DONE;
        }

        ngx_rf_journal_error(jd->root.conf, rd, ngx_errno, "read()", name);

        if (ngx_errno == NGX_ENOMEM) {
            return NGX_ERROR;
        }

        rd->unread++;
        return NGX_DONE;
    }

    rd->last = ngx_rf_journal_check(rd, text, len);

    rd->torn += (rd->last != text + len && !rd->acks);

    if (rd->broken && !rd->acks) {
        rd->damaged++;

        ngx_rf_journal_error(jd->root.conf, rd, 0, "damaged, what is whole "
                             "of it is used", name);

        if (!keep) {
            (void) snprintf(copy, sizeof(copy), "journal-%s", name);

            quarantine = ngx_rf_file_dir_open(jd->root.base, "quarantine", 0,
                                              NULL);

            if (linkat(jd->dir, name, quarantine, copy, 0) == -1
                && ngx_errno != NGX_EEXIST)
            {
                ngx_rf_journal_error(jd->root.conf, rd, ngx_errno, "linkat()",
                                     name);
            }

            if (quarantine != NGX_INVALID_FILE) {
                close(quarantine);
            }
        }
    }

    if (rd->last == text) {
        ngx_rf_codec_drop(text, len);
        return NGX_DONE;
    }

    rd->text = text;
    rd->pos = text;
    rd->number = rd->numbers[rd->at];

    return NGX_OK;
}


u_char *
ngx_rf_journal_content(ngx_fd_t dir, const char *name, size_t *len)
{
    u_char      *text;
    ssize_t      n;
    ngx_fd_t     fd;
    ngx_err_t    err;
    struct stat  st;

    fd = openat(dir, name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        return NULL;
    }

    text = NULL;
    *len = 0;
    err = 0;

    if (fstat(fd, &st) != 0) {
        err = ngx_errno;

    } else if (!S_ISREG(st.st_mode)) {
        err = NGX_EINVAL;

    } else {
        text = malloc(st.st_size + 1);
        err = text ? 0 : NGX_ENOMEM;
    }

    while (err == 0 && *len < (size_t) st.st_size) {
        n = read(fd, text + *len, st.st_size - *len);

        if (n > 0) {
            *len += n;

        } else if (n == 0) {
            break;

        } else if (ngx_errno != NGX_EINTR) {
            err = ngx_errno;
        }
    }

    close(fd);

    if (err) {
        free(text);
        ngx_set_errno(err);
        return NULL;
    }

    /* room that was not used yet */

    while (*len && text[*len - 1] == '\0') {
        (*len)--;
    }

    return text;
}


/* something that is not whole, before the last batch that is, is damage: after
 * a failure nothing is appended any more */

u_char *
ngx_rf_journal_check(ngx_rf_journal_read_t *rd, u_char *text, size_t len)
{
    u_char                *p, *last, *end, *batch, *start;
    ngx_uint_t             bad;
    ngx_rf_journal_line_t  line;

    last = text + len;
    end = text;
    batch = text;
    bad = 0;

    rd->broken = 0;

    for (p = text; p < last; p = line.end) {

        if (ngx_rf_journal_parse(p, last, &line) != NGX_OK) {
            bad = 1;
            continue;
        }

        if (line.kind == 'H' && p == text) {
            batch = line.end;
            continue;
        }

        if (line.kind != 'C') {
            continue;
        }

        start = ngx_rf_journal_start(&line, text, p);

        if (start == NULL) {
            bad = 1;
            continue;
        }

        if (bad || start != batch) {
            rd->broken = 1;
            bad = 0;
        }

        end = line.end;
        batch = line.end;
    }

    return end;
}


/* where the batch that the line ends begins; NULL: it is not whole */

static u_char *
ngx_rf_journal_start(ngx_rf_journal_line_t *line, u_char *text, u_char *end)
{
    u_char    *p;
    uint64_t   lines;

    p = end;

    for (lines = ngx_rf_journal_field(line, "lines", 10); lines; lines--) {

        if (p == text) {
            return NULL;
        }

        for (p--; p > text && p[-1] != LF; p--) { /* void */ }
    }

    return ngx_rf_journal_field(line, "crc", 16)
           == ngx_rf_journal_crc(p, end - p)
           ? p : NULL;
}


ngx_int_t
ngx_rf_journal_slice(ngx_rf_file_conf_t *conf, ngx_rf_journal_read_t *rd)
{
    u_char                 *pos;
    ngx_int_t               rc;
    ngx_uint_t              n;
    ngx_rf_record_t        *rec, **next, **first;
    ngx_rf_journal_line_t   line;

    for (next = &rd->records; *next; next = &(*next)->next) { /* void */ }

    first = next;
    pos = rd->pos;
    n = rd->nrecords;
    rc = NGX_OK;

    while (rc == NGX_OK && rd->pos < rd->last && rd->nrecords < rd->n) {

        if (ngx_rf_journal_parse(rd->pos, rd->last, &line) == NGX_OK
            && line.kind == (rd->acks ? 'A' : 'R'))
        {
            rec = NULL;
            rc = ngx_rf_journal_take(rd, &line, &rec);

            if (rec) {
                *next = rec;
                next = &rec->next;
                rd->nrecords++;
            }
        }

        if (rc == NGX_OK) {
            rd->pos = line.end;
        }
    }

    if (rd->files && ngx_rf_journal_files_thread(conf, rd, first) != NGX_OK) {

        /* the same lines again, the next time */

        rd->pos = pos;
        rd->nrecords = n;

        while (*first) {
            rec = *first;
            *first = rec->next;
            ngx_rf_codec_free(rec);
        }

        return NGX_ERROR;
    }

    return rc;
}


/* NGX_ERROR: no memory */

static ngx_int_t
ngx_rf_journal_take(ngx_rf_journal_read_t *rd, ngx_rf_journal_line_t *line,
    ngx_rf_record_t **rec)
{
    uint64_t     version;
    ngx_int_t    rc;
    const char  *why;

    rd->lines++;

    if (ngx_rf_codec_version(line->json, line->len, &version) == NGX_OK
        && version && version <= rd->mark)
    {
        return NGX_OK;
    }

    rc = rd->acks ? ngx_rf_codec_decode_ack(line->json, line->len, rec, &why)
                  : ngx_rf_codec_decode(line->json, line->len, rec, &why);

    /* with a good checksum: a newer module's, or nobody's */

    rd->unknown += (rc == NGX_DECLINED);

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* NGX_DECLINED: not a line as it was written; line->end is where the next one
 * would begin in any case */

static ngx_int_t
ngx_rf_journal_parse(u_char *p, u_char *last, ngx_rf_journal_line_t *line)
{
    u_char     *end;
    ngx_int_t   crc;

    end = memchr(p, LF, last - p);

    line->end = end ? end + 1 : last;

    if (end == NULL || end - p < NGX_RF_JOURNAL_PREFIX
        || p[1] != ' ' || p[NGX_RF_JOURNAL_PREFIX - 1] != ' ')
    {
        return NGX_DECLINED;
    }

    line->kind = p[0];
    line->json = p + NGX_RF_JOURNAL_PREFIX;
    line->len = end - line->json;

    crc = ngx_hextoi(p + 2, 8);

    return (crc != NGX_ERROR
            && (uint32_t) crc == ngx_rf_journal_crc(line->json, line->len))
           ? NGX_OK : NGX_DECLINED;
}


/* of a line that we have made, whose checksum is right; 0: none */

static uint64_t
ngx_rf_journal_field(ngx_rf_journal_line_t *line, const char *name, int base)
{
    char     text[NGX_RF_JOURNAL_HEAD], *p;
    size_t   len;

    len = ngx_min(line->len, sizeof(text) - 1);
    ngx_memcpy(text, line->json, len);
    text[len] = '\0';

    for (p = strchr(text, '"'); p; p = strchr(p + 1, '"')) {

        len = ngx_strlen(name);

        if (ngx_strncmp(p + 1, name, len) == 0 && p[1 + len] == '"'
            && p[2 + len] == ':')
        {
            p += 3 + len;
            return strtoull(*p == '"' ? p + 1 : p, NULL, base);
        }
    }

    return 0;
}


void
ngx_rf_journal_error(ngx_rf_file_conf_t *conf, ngx_rf_journal_read_t *rd,
    ngx_err_t err, const char *what, const char *name)
{
    ngx_rf_file_error_t  *error;

    if (rd->nerrors == NGX_RF_JOURNAL_ERRORS) {
        return;
    }

    error = &rd->errors[rd->nerrors++];
    error->what = NULL;

    ngx_rf_file_fail(error, conf, err, what, "%ui/journal/%s", conf->database,
                     name);
    ngx_set_errno(err);
}
