/*
 * A segment of the journal, whatever is in it.  The first byte says what the
 * rest is: the segment as it is, or lines of which only the text is given and
 * the checksums are made here, so that more than those is tried.
 */

#include <sys/stat.h>
#include <fcntl.h>
#include "fuzz.h"
#include <ngx_crc32.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_journal.h"


#define JOURNAL_DIR    "/dev/shm/rf-fuzz-journal"
#define JOURNAL_TEXT   (64 * 1024)


typedef struct {
    u_char                data[JOURNAL_TEXT];
    size_t                len;
    ngx_uint_t            records;      /* that have to be found */
} journal_text_t;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void journal_prepare(ngx_rf_file_conf_t *conf);
static void journal_lines(journal_text_t *text, const uint8_t *data,
    size_t size);
static void journal_line(journal_text_t *text, u_char kind,
    const uint8_t *json, size_t len);
static void journal_end(journal_text_t *text, size_t from, ngx_uint_t lines);
static ngx_uint_t journal_read(ngx_rf_file_conf_t *conf, ngx_uint_t acks);


static char  journal_path[64];
static char  journal_file[128];


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_fd_t                   fd;
    static journal_text_t      text;
    static ngx_rf_file_conf_t  conf;

    if (conf.path.len == 0) {
        journal_prepare(&conf);
    }

    text.len = 0;
    text.records = 0;

    if (size && (data[0] & 1)) {
        journal_lines(&text, data + 1, size - 1);

    } else if (size) {
        text.len = ngx_min(size - 1, JOURNAL_TEXT);
        ngx_memcpy(text.data, data + 1, text.len);
    }

    fd = open(journal_file, O_WRONLY|O_CREAT|O_TRUNC, 0600);
    fuzz_check(fd != -1);
    fuzz_check(write(fd, text.data, text.len) == (ssize_t) text.len);
    close(fd);

    fuzz_check(journal_read(&conf, 0) >= text.records);
    (void) journal_read(&conf, 1);

    return 0;
}


static void
journal_prepare(ngx_rf_file_conf_t *conf)
{
    char  dir[128];

    (void) snprintf(journal_path, sizeof(journal_path), "%s-%d", JOURNAL_DIR,
                    (int) getpid());

    (void) mkdir(journal_path, 0700);
    (void) snprintf(dir, sizeof(dir), "%s/0", journal_path);
    (void) mkdir(dir, 0700);
    (void) snprintf(dir, sizeof(dir), "%s/0/journal", journal_path);
    (void) mkdir(dir, 0700);

    (void) snprintf(journal_file, sizeof(journal_file),
                    "%s/0/journal/0000000000000001.log", journal_path);

    conf->path.data = (u_char *) journal_path;
    conf->path.len = ngx_strlen(journal_path);
}


/* "kind text LF"; a C ends a batch, whatever its text is */

static void
journal_lines(journal_text_t *text, const uint8_t *data, size_t size)
{
    size_t           from, len;
    ngx_uint_t       lines, whole;
    const char      *why;
    const uint8_t   *end, *last;
    ngx_rf_record_t  *rec;

    from = 0;
    lines = 0;
    whole = 0;

    for (last = data + size; data < last; data = end + 1) {
        end = memchr(data, LF, last - data);

        if (end == NULL) {
            end = last;
        }

        if (end == data || text->len + (end - data) + 128 > JOURNAL_TEXT) {
            continue;
        }

        if (data[0] == 'C') {
            journal_end(text, from, lines);
            text->records += whole;
            from = text->len;
            lines = 0;
            whole = 0;
            continue;
        }

        if (data[0] == 'H') {
            /* bases are tried by the raw ones */
            continue;
        }

        len = end - data - 1;

        if (data[0] == 'R'
            && ngx_rf_codec_decode((u_char *) data + 1, len, &rec, &why)
               == NGX_OK)
        {
            whole++;
            free(rec);
        }

        journal_line(text, data[0], data + 1, len);
        lines++;
    }
}


static void
journal_end(journal_text_t *text, size_t from, ngx_uint_t lines)
{
    int     len;
    u_char  end[64];

    len = snprintf((char *) end, sizeof(end),
                   "{\"lines\":%lu,\"crc\":\"%08lx\"}", (unsigned long) lines,
                   (unsigned long) ngx_crc32_long(text->data + from,
                                                  text->len - from));
    journal_line(text, 'C', end, len);
}


static void
journal_line(journal_text_t *text, u_char kind, const uint8_t *json,
    size_t len)
{
    text->len += snprintf((char *) text->data + text->len, 16, "%c %08lx ",
                          kind, (unsigned long)
                                ngx_crc32_long((u_char *) json, len));

    ngx_memcpy(text->data + text->len, json, len);
    text->len += len;
    text->data[text->len++] = LF;
}


static ngx_uint_t
journal_read(ngx_rf_file_conf_t *conf, ngx_uint_t acks)
{
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_rf_record_t       *rec;
    ngx_rf_journal_read_t  rd;

    ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));

    rd.n = 3;
    rd.acks = acks;
    rd.files = 1;

    n = 0;

    do {
        rc = ngx_rf_journal_read_thread(conf, &rd, 1);
        fuzz_check(rc != NGX_ERROR);
        fuzz_check(rd.nrecords <= rd.n);

        for (rec = rd.records; rec; rec = rec->next) {
            fuzz_check(rec->remove == acks);
            n++;
        }

    } while (rc == NGX_OK);

    fuzz_check(rd.unread == 0);

    ngx_rf_journal_read_end(&rd);

    return n;
}
