/*
 * Everything that is known of one key: all copies, the newest first, and what
 * is with each of them.
 */

#include "rf_files.h"


typedef struct {
    ngx_rf_record_t      *rec;
    char                  name[256];    /* of file or segment, below {path} */
    unsigned              journal:1;
    unsigned              garbage:1;    /* of a segment below the base */
    ngx_uint_t            at;           /* later ones in the journal last */
} rf_files_copy_t;

typedef struct {
    rf_files_db_t        *db;
    ngx_str_t             key;
    rf_files_copy_t      *copies;
    ngx_uint_t            n;
    cJSON                *acks;
    uint64_t              ack;
} rf_files_show_t;


static ngx_uint_t rf_files_show_db(rf_files_t *run, ngx_uint_t database,
    ngx_str_t *key);
static void rf_files_show_files(rf_files_show_t *show);
static void rf_files_show_journal(rf_files_show_t *show);
static void rf_files_show_segment(rf_files_show_t *show, uint64_t number,
    ngx_uint_t acks);
static void rf_files_show_line(rf_files_show_t *show, ngx_rf_record_t *rec,
    uint64_t number);
static ngx_uint_t rf_files_show_same(rf_files_show_t *show,
    ngx_rf_record_t *rec);
static rf_files_copy_t *rf_files_show_add(rf_files_show_t *show,
    ngx_rf_record_t *rec);
static int rf_files_show_compare(const void *one, const void *two);
static void rf_files_show_print(rf_files_show_t *show);
static cJSON *rf_files_show_copy(rf_files_show_t *show,
    rf_files_copy_t *copy, ngx_uint_t *counts);


void
rf_files_show(rf_files_t *run)
{
    ngx_str_t   key;
    ngx_uint_t  i, found;

    key.data = (u_char *) run->args[0];
    key.len = ngx_strlen(key.data);

    if (run->escaped && rf_files_unescape(&key) != NGX_OK) {
        rf_files_say("\"%s\" is not written as \\xHH and \\\\", run->args[0]);
        exit(RF_FILES_USAGE);
    }

    found = 0;

    for (i = 0; i < run->ndatabases; i++) {
        found += rf_files_show_db(run, run->databases[i], &key);
    }

    if (!found) {
        rf_files_say("there is nothing of this key");
        run->problem = 1;
    }
}


static ngx_uint_t
rf_files_show_db(rf_files_t *run, ngx_uint_t database, ngx_str_t *key)
{
    ngx_uint_t       i, found;
    rf_files_db_t    db;
    rf_files_show_t  show;

    if (rf_files_db_open(run, database, &db) != NGX_OK) {
        return 0;
    }

    ngx_memzero(&show, sizeof(rf_files_show_t));

    show.db = &db;
    show.key = *key;
    show.acks = cJSON_CreateArray();

    if (show.acks == NULL) {
        rf_files_oom();
    }

    rf_files_show_journal(&show);
    rf_files_show_files(&show);

    found = (show.n || show.ack);

    if (found) {
        rf_files_show_print(&show);

    } else {
        cJSON_Delete(show.acks);
    }

    for (i = 0; i < show.n; i++) {
        free(show.copies[i].rec);
    }

    free(show.copies);
    rf_files_db_close(&db);

    return found;
}


static void
rf_files_show_files(rf_files_show_t *show)
{
    char                  place[NGX_RF_FILE_TEMP];
    u_char                hex[NGX_RF_FILE_HEX + 1];
    ngx_err_t             err;
    ngx_int_t             rc;
    ngx_uint_t            i;
    const char           *why;
    struct stat           st;
    rf_files_db_t        *db;
    rf_files_copy_t      *copy;
    ngx_rf_record_t      *rec;
    ngx_rf_file_root_t    root;
    ngx_rf_file_chain_t   chain;
    ngx_rf_file_error_t   error;

    db = show->db;
    ngx_rf_file_digest(&show->key, hex);

    for (i = 0; i < db->layouts.n; i++) {

        rf_files_layout(db, i);

        error.what = NULL;

        if (ngx_rf_file_root_open(&root, &db->conf, 0, &error) != NGX_OK) {
            rf_files_error(db->run, &error);
            return;
        }

        why = "openat()";
        rc = ngx_rf_file_chain_open(&root, hex, 0, &chain);
        err = ngx_errno;

        if (rc == NGX_OK) {
            rc = ngx_rf_file_record_read(&db->conf, chain.fd[chain.n], hex, 0,
                                         &rec, &st, &why);
            err = (rc == NGX_ABORT) ? 0 : ngx_errno;
            ngx_rf_file_chain_close(&chain);
        }

        ngx_rf_file_root_close(&root);

        if (rc == NGX_OK && rf_files_show_same(show, rec)) {
            copy = rf_files_show_add(show, rec);
            rf_files_place(db->conf.levels, hex, place);
            (void) snprintf(copy->name, sizeof(copy->name), "%lu/%s",
                            (unsigned long) db->conf.database, place);

        } else if (rc == NGX_OK) {
            /* another key with this MD5 */
            free(rec);

        } else if (rc != NGX_DECLINED) {
            ngx_rf_file_fail_hex(&error, &db->conf, err, why, hex);
            rf_files_error(db->run, &error);
        }
    }
}


static void
rf_files_show_journal(rf_files_show_t *show)
{
    ngx_int_t               rc;
    uint64_t               *numbers;
    ngx_uint_t              i, n;
    rf_files_db_t          *db;
    ngx_rf_journal_dir_t    jd;
    ngx_rf_file_error_t     error;
    ngx_rf_journal_read_t   rd;

    db = show->db;
    error.what = NULL;

    rc = ngx_rf_journal_dir_open(&jd, &db->conf, NGX_RF_JOURNAL_DIR, 0,
                                 &error);

    if (rc != NGX_OK) {
        rf_files_error(db->run, &error);
        return;
    }

    /* which segments count is said by all of them together */

    ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));
    rd.n = 1;

    (void) ngx_rf_journal_read_thread(&db->conf, &rd, 1);
    db->base = rd.base;
    ngx_rf_journal_read_end(&rd);

    rc = ngx_rf_journal_list(jd.dir, &numbers, &n);
    ngx_rf_journal_dir_close(&jd);

    if (rc != NGX_OK) {
        rf_files_say("journal: %s", strerror(errno));
        db->run->failed = 1;
        return;
    }

    for (i = 0; i < n; i++) {
        rf_files_show_segment(show, numbers[i], 0);
        rf_files_show_segment(show, numbers[i], 1);
    }

    free(numbers);
}


static void
rf_files_show_segment(rf_files_show_t *show, uint64_t number, ngx_uint_t acks)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_rf_record_t        *rec;
    ngx_rf_journal_read_t   rd;

    ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));

    rd.n = 1000;
    rd.acks = acks;
    rd.single = 1;
    rd.number = number;

    do {
        rc = ngx_rf_journal_read_thread(&show->db->conf, &rd, 1);

        for (i = 0; i < rd.nerrors && !acks; i++) {
            rf_files_error(show->db->run, &rd.errors[i]);
        }

        while (rd.records) {
            rec = rd.records;
            rd.records = rec->next;
            rf_files_show_line(show, rec, number);
        }

    } while (rc == NGX_OK);

    ngx_rf_journal_read_end(&rd);
}


/* takes the record */

static void
rf_files_show_line(rf_files_show_t *show, ngx_rf_record_t *rec,
    uint64_t number)
{
    char              name[NGX_RF_JOURNAL_NAME];
    cJSON            *ack;
    rf_files_copy_t  *copy;

    if (!rf_files_show_same(show, rec)) {
        free(rec);
        return;
    }

    ngx_rf_journal_name(number, name);

    if (!rec->remove) {
        copy = rf_files_show_add(show, rec);
        copy->journal = 1;
        copy->garbage = (number < show->db->base);
        (void) snprintf(copy->name, sizeof(copy->name), "%lu/journal/%s",
                        (unsigned long) show->db->conf.database, name);
        return;
    }

    ack = rf_files_json_object();

    rf_files_json_version(ack, "version", rec->version);
    rf_files_json_add(ack, "segment", cJSON_CreateString(name));

    if (number < show->db->base) {
        rf_files_json_add(ack, "below_base", cJSON_CreateTrue());

    } else if (show->ack < rec->version) {
        show->ack = rec->version;
    }

    if (!cJSON_AddItemToArray(show->acks, ack)) {
        rf_files_oom();
    }

    free(rec);
}


static ngx_uint_t
rf_files_show_same(rf_files_show_t *show, ngx_rf_record_t *rec)
{
    return rec->key.len == show->key.len
           && ngx_memcmp(rec->key.data, show->key.data, show->key.len) == 0;
}


static rf_files_copy_t *
rf_files_show_add(rf_files_show_t *show, ngx_rf_record_t *rec)
{
    rf_files_copy_t  *copy;

    show->copies = realloc(show->copies,
                           (show->n + 1) * sizeof(rf_files_copy_t));

    if (show->copies == NULL) {
        rf_files_oom();
    }

    copy = &show->copies[show->n];
    ngx_memzero(copy, sizeof(rf_files_copy_t));

    rec->next = NULL;
    copy->rec = rec;
    copy->at = show->n++;

    return copy;
}


/* the newest first; of the same version, files, then the journal from its
 * end */

static int
rf_files_show_compare(const void *one, const void *two)
{
    const rf_files_copy_t  *a = one, *b = two;

    if (a->rec->version != b->rec->version) {
        return a->rec->version < b->rec->version ? 1 : -1;
    }

    if (a->garbage != b->garbage) {
        return a->garbage ? 1 : -1;
    }

    if (a->journal != b->journal) {
        return a->journal ? 1 : -1;
    }

    return a->at < b->at ? 1 : -1;
}


static void
rf_files_show_print(rf_files_show_t *show)
{
    cJSON       *json, *copies;
    ngx_uint_t   i, counts;

    if (show->n) {
        qsort(show->copies, show->n, sizeof(rf_files_copy_t),
              rf_files_show_compare);
    }

    json = cJSON_CreateObject();
    copies = cJSON_CreateArray();

    if (json == NULL || copies == NULL) {
        rf_files_oom();
    }

    rf_files_json_string(json, "key", &show->key);
    rf_files_json_add(json, "database",
                      cJSON_CreateNumber(show->db->conf.database));
    rf_files_json_version(json, "mark", show->db->mark);

    counts = 0;

    for (i = 0; i < show->n; i++) {
        if (!cJSON_AddItemToArray(copies, rf_files_show_copy(show,
                                                  &show->copies[i], &counts)))
        {
            rf_files_oom();
        }
    }

    rf_files_json_add(json, "pending", cJSON_CreateBool(counts != 0));
    rf_files_json_add(json, "copies", copies);
    rf_files_json_add(json, "acknowledgements", show->acks);

    rf_files_json_print(json, 1);
}


static cJSON *
rf_files_show_copy(rf_files_show_t *show, rf_files_copy_t *copy,
    ngx_uint_t *counts)
{
    cJSON       *json;
    uint64_t     version;
    const char  *status;

    version = copy->rec->version;

    if (copy->garbage) {
        status = "garbage: the segment is below the base";

    } else if (version && version <= show->db->mark) {
        status = "garbage: not above the mark";

    } else if (show->ack && version <= show->ack) {
        status = "garbage: acknowledged";

    } else if (!*counts) {
        *counts = 1;
        status = "counts";

    } else {
        status = "garbage: there is a newer copy, or the same";
    }

    json = rf_files_json_object();

    rf_files_json_add(json, "where", cJSON_CreateString(copy->name));
    rf_files_json_add(json, "status", cJSON_CreateString(status));
    rf_files_json_add(json, "record", rf_files_json_record(copy->rec));

    return json;
}
