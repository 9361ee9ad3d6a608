/*
 * What the files of redis-fallback-files share: one run of the program, one
 * database of the path, output.
 *
 * The program is single-threaded and ends soon.  It reads with the module's own
 * codec, file and journal rooms, and never with code of its own; nginx itself
 * is not in it, see rf_files_nginx.c.
 */

#ifndef _RF_FILES_H_INCLUDED_
#define _RF_FILES_H_INCLUDED_


#include "ngx_rf.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_codec_parts.h"
#include "ngx_rf_file_parts.h"
#include "ngx_rf_journal_parts.h"
#include <cjson/cJSON.h>


#define RF_FILES_NAME           "redis-fallback-files"

/* exit codes */
#define RF_FILES_OK             0
#define RF_FILES_PROBLEM        1
#define RF_FILES_USAGE          2
#define RF_FILES_ERROR          3
#define RF_FILES_IN_USE         4


typedef struct {
    ngx_str_t             path;         /* NUL-terminated, no trailing slash */
    struct stat           owner;        /* of the path */
    char                **args;         /* of the command, after the path */
    ngx_uint_t            nargs;

    ngx_uint_t           *databases;    /* those of the path, in order */
    ngx_uint_t            ndatabases;

    int64_t               now;          /* ms */

    ngx_uint_t            levels[NGX_RF_FILE_LEVELS];
    unsigned              levels_given:1;
    unsigned              database_given:1;
    unsigned              json:1;
    unsigned              redis:1;
    unsigned              all:1;
    unsigned              escaped:1;
    unsigned              writes:1;     /* the command does */

    unsigned              in_use:1;     /* by a running nginx */
    unsigned              kept:1;       /* nginx was killed, and has changes in
                                           shared memory */
    unsigned              problem:1;    /* damage was met */
    unsigned              failed:1;     /* something could not be read */
} rf_files_t;


/* where a copy of a record is */

#define RF_FILES_IN_FILE        0x01
#define RF_FILES_IN_JOURNAL     0x02
#define RF_FILES_IN_HANDOVER    0x20    /* left by an instance without the path:
                                           merged with the others */

/* what the table knows of a key */

#define RF_FILES_SEEN           0x04    /* given to the handler */
#define RF_FILES_USED           0x08
#define RF_FILES_HELD           0x10    /* there is a copy, not only an
                                           acknowledgement */

typedef struct {
    u_char                id[15];       /* of the key, see rf_files_table.c */
    u_char                flags;
    uint64_t              version;      /* the newest of all copies */
    uint64_t              ack;
} rf_files_key_t;

typedef struct {
    rf_files_key_t       *slots;
    size_t                size;
    size_t                used;
} rf_files_table_t;


typedef struct {
    ngx_uint_t            files;
    ngx_uint_t            files_below;  /* at or below the mark */
    ngx_uint_t            files_done;   /* acknowledged in the journal */
    ngx_uint_t            files_older;  /* a newer copy counts */
    ngx_uint_t            files_bad;    /* no records */

    ngx_uint_t            segments;
    ngx_uint_t            segments_below;   /* below the base */
    ngx_uint_t            segments_torn;
    ngx_uint_t            segments_damaged;
    off_t                 bytes;        /* of all segments */
    ngx_uint_t            records;
    ngx_uint_t            acks;

    ngx_uint_t            handovers;    /* files */
    ngx_uint_t            handovers_damaged;
    ngx_uint_t            handed;       /* their records */
} rf_files_counts_t;


typedef struct rf_files_db_s  rf_files_db_t;

/* a pending record, once for each key, and then those that are handed over, of
 * which a key may have several; NGX_OK to go on */
typedef ngx_int_t (*rf_files_handler_pt)(rf_files_db_t *db,
    ngx_rf_record_t *rec, ngx_uint_t where, void *data);

struct rf_files_db_s {
    rf_files_t            *run;
    ngx_rf_file_conf_t     conf;        /* levels: of the layout that is being
                                           looked at */
    ngx_rf_file_layouts_t  layouts;
    uint64_t               mark;
    uint64_t               base;        /* of the journal, after index() */

    rf_files_table_t       table;
    rf_files_counts_t      counts;
    unsigned               keep_acks:1; /* of keys without a copy, too */

    /* private */
    unsigned               second:1;    /* errors were told the first time */
    rf_files_handler_pt    handler;
    void                  *data;
    ngx_int_t              rc;
};


/* redis_fallback_files.c */

void rf_files_say(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
void rf_files_oom(void) __attribute__((noreturn));

/* an error of the module's rooms; ENOENT, from which a path in use may suffer
 * at any time, is none there */
void rf_files_error(rf_files_t *run, ngx_rf_file_error_t *error);

/* bytes that a terminal cannot misunderstand: \xHH for all but printable
 * ASCII, \\ for a backslash */
void rf_files_put_escaped(FILE *out, const u_char *data, size_t len);
/* the way back, in place; NGX_DECLINED: not of this form */
ngx_int_t rf_files_unescape(ngx_str_t *s);

/* "2026-11-23T07:08:22.123Z"; room for 32 bytes */
char *rf_files_time(char *text, int64_t ms);

const char *rf_files_kind(ngx_rf_record_t *rec);


/* rf_files_json.c */

cJSON *rf_files_json_object(void);
/* takes the item, NULL too: that is a lack of memory */
void rf_files_json_add(cJSON *to, const char *name, cJSON *item);
void rf_files_json_number(cJSON *to, const char *name, double n);
void rf_files_json_text(cJSON *to, const char *name, const char *text);
/* to a cJSON object: name, or name_base64 */
void rf_files_json_string(cJSON *to, const char *name, ngx_str_t *s);
void rf_files_json_version(cJSON *to, const char *name, uint64_t version);
/* the record as it would be in a file */
cJSON *rf_files_json_record(ngx_rf_record_t *rec);
/* prints it, and deletes it */
void rf_files_json_print(cJSON *json, ngx_uint_t pretty);


/* rf_files_table.c */

/* NULL: not there, without "create" */
rf_files_key_t *rf_files_table_find(rf_files_table_t *table, ngx_str_t *key,
    ngx_uint_t create);
void rf_files_table_free(rf_files_table_t *table);


/* rf_files_scan.c */

/* NGX_ERROR: said */
ngx_int_t rf_files_open(rf_files_t *run);
ngx_int_t rf_files_db_open(rf_files_t *run, ngx_uint_t database,
    rf_files_db_t *db);
void rf_files_db_close(rf_files_db_t *db);

/* what there is, into the table and the counts; what is in the way is said */
void rf_files_index(rf_files_db_t *db);
/* then all that is pending */
ngx_int_t rf_files_pending(rf_files_db_t *db, rf_files_handler_pt handler,
    void *data);

/* the levels of a layout into conf */
void rf_files_layout(rf_files_db_t *db, ngx_uint_t i);
/* a layout and a digest as the name of a file below {path}/{db} */
void rf_files_place(ngx_uint_t *levels, const u_char *hex, char *name);


/* rf_files_handover.c: what is handed over, and counts as far as is known here:
 * a replacement that is older than what else there is of its key does not */
void rf_files_handover(rf_files_db_t *db, rf_files_handler_pt handler,
    void *data);

/* commands; the exit code comes from run->problem and run->failed */

void rf_files_list(rf_files_t *run);
void rf_files_count(rf_files_t *run);
void rf_files_export(rf_files_t *run);
void rf_files_show(rf_files_t *run);
void rf_files_verify(rf_files_t *run);
void rf_files_quarantine_list(rf_files_t *run);
void rf_files_quarantine_show(rf_files_t *run);
int rf_files_readmit(rf_files_t *run);

/* rf_files_quarantine.c: how many files are there */
ngx_uint_t rf_files_quarantined(rf_files_t *run);

/* rf_files_redis.c: one record as commands, in the protocol of Redis */
void rf_files_redis_select(ngx_uint_t database);
void rf_files_redis_record(ngx_rf_record_t *rec, int64_t now);


#endif /* _RF_FILES_H_INCLUDED_ */
