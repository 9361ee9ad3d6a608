/*
 * Commands about all pending keys: list, count, export.
 */

#include "rf_files.h"


#define RF_FILES_TYPES          (NGX_RF_ZSET + 1)


typedef struct {
    ngx_uint_t            pending;
    ngx_uint_t            types[RF_FILES_TYPES];
    ngx_uint_t            replace;
    ngx_uint_t            delta;
    ngx_uint_t            tombstone;
    ngx_uint_t            sent;         /* deltas with an id */
    ngx_uint_t            expired;
    ngx_uint_t            in_file;
    ngx_uint_t            in_journal;
} rf_files_totals_t;

typedef struct {
    ngx_uint_t            sent;
    ngx_uint_t            deltas;
    ngx_int_t             database;     /* that was selected, -1: none */
} rf_files_export_t;


static void rf_files_each(rf_files_t *run, rf_files_handler_pt handler,
    void *data);
static const char *rf_files_where(ngx_uint_t where);
static ngx_int_t rf_files_list_text(rf_files_db_t *db, ngx_rf_record_t *rec,
    ngx_uint_t where, void *data);
static ngx_int_t rf_files_list_json(rf_files_db_t *db, ngx_rf_record_t *rec,
    ngx_uint_t where, void *data);
static ngx_int_t rf_files_count_one(rf_files_db_t *db, ngx_rf_record_t *rec,
    ngx_uint_t where, void *data);
static cJSON *rf_files_count_json(rf_files_db_t *db, rf_files_totals_t *t);
static cJSON *rf_files_count_pending(rf_files_totals_t *t);
static cJSON *rf_files_count_journal(rf_files_db_t *db);
static void rf_files_count_text(cJSON *json, const char *prefix);
static ngx_int_t rf_files_export_json(rf_files_db_t *db, ngx_rf_record_t *rec,
    ngx_uint_t where, void *data);
static ngx_int_t rf_files_export_redis(rf_files_db_t *db,
    ngx_rf_record_t *rec, ngx_uint_t where, void *data);


static void
rf_files_each(rf_files_t *run, rf_files_handler_pt handler, void *data)
{
    ngx_uint_t     i;
    rf_files_db_t  db;

    for (i = 0; i < run->ndatabases; i++) {

        if (rf_files_db_open(run, run->databases[i], &db) == NGX_OK) {
            rf_files_index(&db);
            (void) rf_files_pending(&db, handler, data);
        }

        rf_files_db_close(&db);
    }
}


static const char *
rf_files_where(ngx_uint_t where)
{
    switch (where) {

    case RF_FILES_IN_FILE:
        return "file";

    case RF_FILES_IN_JOURNAL:
        return "journal";

    case RF_FILES_IN_HANDOVER:
        return "handover";

    default:
        return "both";
    }
}


void
rf_files_list(rf_files_t *run)
{
    rf_files_each(run, run->json ? rf_files_list_json : rf_files_list_text,
                  NULL);
}


static ngx_int_t
rf_files_list_text(rf_files_db_t *db, ngx_rf_record_t *rec, ngx_uint_t where,
    void *data)
{
    char  changed[32], expire[32];

    rf_files_put_escaped(stdout, rec->key.data, rec->key.len);

    printf("\t%s\t%s\t%llu\t%s\t%s\t%s\t%lu\n",
           ngx_rf_codec_types[rec->type], rf_files_kind(rec),
           (unsigned long long) rec->version,
           rf_files_time(changed, rec->changed),
           rec->expire ? rf_files_time(expire, rec->expire) : "-",
           rf_files_where(where), (unsigned long) db->conf.database);

    return NGX_OK;
}


static ngx_int_t
rf_files_list_json(rf_files_db_t *db, ngx_rf_record_t *rec, ngx_uint_t where,
    void *data)
{
    cJSON  *json;

    json = rf_files_json_object();

    rf_files_json_string(json, "key", &rec->key);
    rf_files_json_add(json, "type",
                 cJSON_CreateString(ngx_rf_codec_types[rec->type]));
    rf_files_json_add(json, "kind", cJSON_CreateString(rf_files_kind(rec)));
    rf_files_json_version(json, "version", rec->version);
    rf_files_json_number(json, "changed_ms", rec->changed);

    if (rec->expire) {
        rf_files_json_number(json, "expire_ms", rec->expire);
    }

    rf_files_json_add(json, "where", cJSON_CreateString(rf_files_where(where)));
    rf_files_json_number(json, "database", db->conf.database);

    rf_files_json_print(json, 0);

    return NGX_OK;
}


void
rf_files_count(rf_files_t *run)
{
    char                name[NGX_INT_T_LEN + 1];
    cJSON              *json, *all, *item;
    ngx_uint_t          i;
    rf_files_db_t       db;
    rf_files_totals_t   totals;

    json = rf_files_json_object();
    all = rf_files_json_object();
    rf_files_json_add(json, "databases", all);

    for (i = 0; i < run->ndatabases; i++) {

        if (rf_files_db_open(run, run->databases[i], &db) == NGX_OK) {
            ngx_memzero(&totals, sizeof(rf_files_totals_t));

            rf_files_index(&db);
            (void) rf_files_pending(&db, rf_files_count_one, &totals);

            (void) snprintf(name, sizeof(name), "%lu",
                            (unsigned long) run->databases[i]);
            rf_files_json_add(all, name, rf_files_count_json(&db, &totals));
        }

        rf_files_db_close(&db);
    }

    rf_files_json_number(json, "quarantined", rf_files_quarantined(run));

    if (run->json) {
        rf_files_json_print(json, 1);
        return;
    }

    cJSON_ArrayForEach(item, all) {
        printf("database %s\n", item->string);
        rf_files_count_text(item, "");
    }

    printf("quarantined %.0f\n",
           cJSON_GetObjectItemCaseSensitive(json, "quarantined")->valuedouble);

    cJSON_Delete(json);
}


static ngx_int_t
rf_files_count_one(rf_files_db_t *db, ngx_rf_record_t *rec, ngx_uint_t where,
    void *data)
{
    rf_files_totals_t  *t = data;

    if (where & RF_FILES_IN_HANDOVER) {
        /* its key may be among the others */
        return NGX_OK;
    }

    t->pending++;
    t->types[rec->type]++;

    if (rec->pending == NGX_RF_DELTA) {
        t->delta++;
        t->sent += (rec->id != 0);

    } else if (rec->type == NGX_RF_NONE) {
        t->tombstone++;

    } else {
        t->replace++;
    }

    t->expired += (rec->expire && rec->expire <= db->run->now);
    t->in_file += (where & RF_FILES_IN_FILE) ? 1 : 0;
    t->in_journal += (where & RF_FILES_IN_JOURNAL) ? 1 : 0;

    return NGX_OK;
}


static cJSON *
rf_files_count_json(rf_files_db_t *db, rf_files_totals_t *t)
{
    cJSON              *json, *files, *handover;
    rf_files_counts_t  *c;

    c = &db->counts;

    json = rf_files_json_object();
    rf_files_json_add(json, "pending", rf_files_count_pending(t));

    files = rf_files_json_object();
    rf_files_json_add(json, "files", files);

    rf_files_json_number(files, "all", c->files);
    rf_files_json_number(files, "below_mark", c->files_below);
    rf_files_json_number(files, "acknowledged", c->files_done);
    rf_files_json_number(files, "older", c->files_older);
    rf_files_json_number(files, "no_records", c->files_bad);

    rf_files_json_add(json, "journal", rf_files_count_journal(db));

    handover = rf_files_json_object();
    rf_files_json_add(json, "handover", handover);

    rf_files_json_number(handover, "files", c->handovers);
    rf_files_json_number(handover, "damaged", c->handovers_damaged);
    rf_files_json_number(handover, "records", c->handed);

    return json;
}


static cJSON *
rf_files_count_pending(rf_files_totals_t *t)
{
    cJSON       *json;
    ngx_uint_t   i;

    json = rf_files_json_object();

    rf_files_json_number(json, "keys", t->pending);

    for (i = NGX_RF_NONE + 1; i < RF_FILES_TYPES; i++) {
        rf_files_json_number(json, ngx_rf_codec_types[i], t->types[i]);
    }

    rf_files_json_number(json, "none", t->types[NGX_RF_NONE]);
    rf_files_json_number(json, "replace", t->replace);
    rf_files_json_number(json, "delta", t->delta);
    rf_files_json_number(json, "tombstone", t->tombstone);
    rf_files_json_number(json, "perhaps_sent", t->sent);
    rf_files_json_number(json, "expired", t->expired);
    rf_files_json_number(json, "in_file", t->in_file);
    rf_files_json_number(json, "in_journal", t->in_journal);

    return json;
}


static cJSON *
rf_files_count_journal(rf_files_db_t *db)
{
    cJSON              *json;
    rf_files_counts_t  *c;

    c = &db->counts;
    json = rf_files_json_object();

    rf_files_json_number(json, "segments", c->segments);
    rf_files_json_number(json, "below_base", c->segments_below);
    rf_files_json_number(json, "torn", c->segments_torn);
    rf_files_json_number(json, "damaged", c->segments_damaged);
    rf_files_json_number(json, "bytes", c->bytes);
    rf_files_json_number(json, "records", c->records);
    rf_files_json_number(json, "acknowledgements", c->acks);

    return json;
}


static void
rf_files_count_text(cJSON *json, const char *prefix)
{
    cJSON  *item;

    cJSON_ArrayForEach(item, json) {

        if (cJSON_IsObject(item)) {
            rf_files_count_text(item, item->string);

        } else {
            printf("    %-8s %-18s %.0f\n", prefix, item->string,
                   item->valuedouble);
        }
    }
}


void
rf_files_export(rf_files_t *run)
{
    rf_files_export_t  ex;

    ngx_memzero(&ex, sizeof(rf_files_export_t));
    ex.database = -1;

    rf_files_each(run, run->redis ? rf_files_export_redis
                                  : rf_files_export_json, &ex);

    if (ex.deltas) {
        rf_files_say("%lu keys have changes that are applied to what Redis "
                     "holds: pipe this once", (unsigned long) ex.deltas);
    }

    if (ex.sent) {
        rf_files_say("warning: the changes of %lu of them were perhaps sent "
                     "already, which only nginx can ask for",
                     (unsigned long) ex.sent);
    }
}


/* the text of a file, with one field more, which no reader of files minds */

static ngx_int_t
rf_files_export_json(rf_files_db_t *db, ngx_rf_record_t *rec,
    ngx_uint_t where, void *data)
{
    size_t   len;
    u_char  *text;

    if (ngx_rf_codec_encode(rec, &text, &len) != NGX_OK) {
        rf_files_oom();
    }

    printf("%.*s,\"database\":%lu}\n", (int) (len - 1), text,
           (unsigned long) db->conf.database);

    free(text);

    return NGX_OK;
}


static ngx_int_t
rf_files_export_redis(rf_files_db_t *db, ngx_rf_record_t *rec,
    ngx_uint_t where, void *data)
{
    rf_files_export_t  *ex = data;

    if (ex->database != (ngx_int_t) db->conf.database) {
        ex->database = (ngx_int_t) db->conf.database;
        rf_files_redis_select(db->conf.database);
    }

    if (rec->pending == NGX_RF_DELTA) {
        ex->deltas++;
        ex->sent += (rec->id != 0);
    }

    rf_files_redis_record(rec, db->run->now);

    return NGX_OK;
}
