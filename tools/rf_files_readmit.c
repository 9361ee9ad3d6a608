/*
 * A record that was set aside becomes pending again: the only command that
 * writes.  It holds the path's lock, as an nginx would.
 *
 * Guarantees: first the record's file is durable, then the one in quarantine
 * goes; whatever happens in between, nothing is lost, and doing it again
 * finds that it was done.  What is newer is never replaced: neither a pending
 * record, nor what the journal knows Redis to have acknowledged since.
 *
 * By then a record is mostly at or below the mark, which is written when a
 * recovery ends, and would be garbage.  So it gets a version above the mark and
 * above what was acknowledged of its key.
 *
 * Of a delta only the changes come back: its value is what reads saw when it
 * was set aside, and Redis may have taken the other changes since.
 */

#include "rf_files_quarantine.h"


typedef struct {
    const char           *name;
    uint64_t              version;
} rf_files_item_t;


static int rf_files_readmit_prepare(rf_files_t *run, rf_files_db_t *db);
static int rf_files_readmit_layout(rf_files_t *run, rf_files_db_t *db);
static void rf_files_readmit_all(rf_files_db_t *db, rf_files_names_t *names);
static rf_files_item_t *rf_files_readmit_order(rf_files_db_t *db,
    rf_files_names_t *names, ngx_uint_t *n);
static int rf_files_item_compare(const void *one, const void *two);
static void rf_files_readmit_one(rf_files_db_t *db, rf_files_names_t *names,
    const char *name);
static void rf_files_readmit_record(rf_files_db_t *db,
    rf_files_names_t *names, const char *name, ngx_rf_record_t *rec);
static const char *rf_files_readmit_refuse(rf_files_db_t *db,
    rf_files_key_t *key, ngx_rf_record_t *rec);
static ngx_uint_t rf_files_readmit_done(rf_files_db_t *db,
    rf_files_key_t *key, ngx_rf_record_t *rec);
static ngx_uint_t rf_files_readmit_equal(ngx_rf_record_t *one,
    ngx_rf_record_t *two);
static void rf_files_readmit_version(rf_files_db_t *db, rf_files_key_t *key,
    ngx_rf_record_t *rec);
static ngx_int_t rf_files_readmit_write(rf_files_db_t *db,
    ngx_rf_record_t *rec);
static ngx_int_t rf_files_readmit_unlink(rf_files_db_t *db,
    rf_files_names_t *names, const char *name);
static void rf_files_as_owner(rf_files_t *run, ngx_uint_t yes);


int
rf_files_readmit(rf_files_t *run)
{
    int                   code;
    ngx_fd_t              lock;
    ngx_int_t             rc;
    rf_files_db_t         db;
    rf_files_names_t      names;
    ngx_rf_file_conf_t    conf;
    ngx_rf_file_error_t   error;

    run->writes = 1;

    if (rf_files_open(run) != NGX_OK) {
        return RF_FILES_ERROR;
    }

    ngx_memzero(&conf, sizeof(ngx_rf_file_conf_t));
    conf.path = run->path;

    rc = run->in_use ? NGX_BUSY : ngx_rf_file_lock(&conf, &lock, &error);

    if (rc == NGX_BUSY) {
        rf_files_say("%s is in use: stop nginx first", run->path.data);
        return RF_FILES_IN_USE;
    }

    if (rc != NGX_OK) {
        rf_files_error(run, &error);
        return RF_FILES_ERROR;
    }

    if (run->kept) {
        rf_files_say("nginx was killed, and has changes of %s in shared "
                     "memory: start it, and stop it", run->path.data);
        close(lock);
        return RF_FILES_IN_USE;
    }

    code = rf_files_readmit_prepare(run, &db);

    if (code == RF_FILES_OK) {

        if (rf_files_quarantine_open(run, &names) == NGX_OK) {
            rf_files_readmit_all(&db, &names);
        }

        rf_files_quarantine_close(&names);
    }

    rf_files_db_close(&db);
    close(lock);

    return code;
}


static int
rf_files_readmit_prepare(rf_files_t *run, rf_files_db_t *db)
{
    int  code;

    ngx_memzero(db, sizeof(rf_files_db_t));

    if (run->ndatabases != 1) {
        rf_files_say(run->ndatabases
                     ? "quarantine does not say which database a record is "
                       "of: --database"
                     : "there is no database in %s", run->path.data);

        return run->ndatabases ? RF_FILES_USAGE : RF_FILES_ERROR;
    }

    if (rf_files_db_open(run, run->databases[0], db) != NGX_OK) {
        return RF_FILES_ERROR;
    }

    code = rf_files_readmit_layout(run, db);

    if (code != RF_FILES_OK) {
        return code;
    }

    db->keep_acks = 1;
    rf_files_index(db);

    if (run->failed) {
        rf_files_say("not all of the path can be read, so nothing is done: it "
                     "may hold something newer");
        return RF_FILES_ERROR;
    }

    /* damage elsewhere was told, and is not what this command is about */

    run->problem = 0;

    /* any of them will do: nginx moves the files of all but the present one */

    rf_files_layout(db, db->layouts.n - 1);

    return RF_FILES_OK;
}


static int
rf_files_readmit_layout(rf_files_t *run, rf_files_db_t *db)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_rf_file_root_t      root;
    ngx_rf_file_error_t     error;
    ngx_rf_file_layouts_t   list;

    if (!run->levels_given) {
        return RF_FILES_OK;
    }

    error.what = NULL;

    rc = ngx_rf_file_root_open(&root, &db->conf, 0, &error);

    if (rc == NGX_OK) {
        rc = ngx_rf_file_layouts_read(&root, &list);
        ngx_rf_file_root_close(&root);
    }

    for (i = 0; rc == NGX_OK && i < list.n; i++) {
        if (ngx_memcmp(list.levels[i], run->levels, sizeof(run->levels)) == 0)
        {
            return RF_FILES_OK;
        }
    }

    rf_files_say("nginx would not look where --levels says");

    return RF_FILES_USAGE;
}


static void
rf_files_readmit_all(rf_files_db_t *db, rf_files_names_t *names)
{
    ngx_uint_t        i, n;
    rf_files_item_t  *items;

    if (names->dir == NGX_INVALID_FILE) {
        rf_files_say("%s has no quarantine", db->run->path.data);
        db->run->problem = !db->run->all;
        return;
    }

    items = rf_files_readmit_order(db, names, &n);

    for (i = 0; i < n && !db->run->failed; i++) {
        rf_files_readmit_one(db, names, items[i].name);
    }

    free(items);
}


/* the newest first: of two records of one key, that is the one to take */

static rf_files_item_t *
rf_files_readmit_order(rf_files_db_t *db, rf_files_names_t *names,
    ngx_uint_t *n)
{
    ngx_uint_t            i;
    rf_files_item_t      *items;
    rf_files_set_aside_t  aside;

    *n = db->run->all ? names->n : db->run->nargs;

    items = calloc(*n + 1, sizeof(rf_files_item_t));

    if (items == NULL) {
        rf_files_oom();
    }

    for (i = 0; i < *n; i++) {
        items[i].name = db->run->all ? names->elts[i] : db->run->args[i];

        if (rf_files_aside_read(names, items[i].name, &aside) == NGX_OK) {
            items[i].version = aside.rec ? aside.rec->version : 0;
            rf_files_aside_free(&aside);
        }
    }

    qsort(items, *n, sizeof(rf_files_item_t), rf_files_item_compare);

    return items;
}


static int
rf_files_item_compare(const void *one, const void *two)
{
    const rf_files_item_t  *a = one, *b = two;

    if (a->version != b->version) {
        return a->version < b->version ? 1 : -1;
    }

    return strcmp(a->name, b->name);
}


static void
rf_files_readmit_one(rf_files_db_t *db, rf_files_names_t *names,
    const char *name)
{
    rf_files_set_aside_t  aside;

    if (rf_files_aside_read(names, name, &aside) != NGX_OK) {
        rf_files_say("%s: %s", name, strerror(errno));

        if (errno == NGX_ENOENT) {
            db->run->problem = 1;

        } else {
            db->run->failed = 1;
        }

        return;
    }

    if (aside.rec) {
        rf_files_readmit_record(db, names, name, aside.rec);

    } else {
        rf_files_say("%s: not a record: %s", name, aside.why);
        db->run->problem |= !db->run->all;
    }

    rf_files_aside_free(&aside);
}


static void
rf_files_readmit_record(rf_files_db_t *db, rf_files_names_t *names,
    const char *name, ngx_rf_record_t *rec)
{
    ngx_uint_t       done;
    const char      *why;
    rf_files_key_t  *key;

    if (rec->pending == NGX_RF_DELTA) {
        rec->nvalues = 0;
        rec->complete = 0;
    }

    key = rf_files_table_find(&db->table, &rec->key, 1);

    done = rf_files_readmit_done(db, key, rec);

    if (!done) {
        why = rf_files_readmit_refuse(db, key, rec);

        if (why) {
            rf_files_say("%s: %s", name, why);
            db->run->problem = 1;
            return;
        }

        rf_files_readmit_version(db, key, rec);

        if (rf_files_readmit_write(db, rec) != NGX_OK) {
            return;
        }

        key->version = rec->version;
        key->flags |= RF_FILES_HELD|RF_FILES_IN_FILE;
    }

    if (rf_files_readmit_unlink(db, names, name) != NGX_OK) {
        return;
    }

    rf_files_put_escaped(stdout, (u_char *) name, strlen(name));
    printf("\t%s\t%llu\t", done ? "was pending already" : "pending",
           (unsigned long long) rec->version);
    rf_files_put_escaped(stdout, rec->key.data, rec->key.len);
    putchar('\n');
}


/* NULL: may be taken */

static const char *
rf_files_readmit_refuse(rf_files_db_t *db, rf_files_key_t *key,
    ngx_rf_record_t *rec)
{
    /* the acknowledgement alone says nothing: what was set aside has one, too,
     * with a version of that moment */

    if (key->ack > rec->version && key->version > rec->version) {
        return "Redis has acknowledged something newer of this key";
    }

    if (!(key->flags & RF_FILES_HELD)
        || (key->ack && key->version <= key->ack))
    {
        return NULL;
    }

    if (key->version > rec->version) {
        return "something newer is pending of this key";
    }

    if (key->version == rec->version) {
        return "something else of the same version is pending of this key";
    }

    return NULL;
}


/* a run before this one got no further than to write the file */

static ngx_uint_t
rf_files_readmit_done(rf_files_db_t *db, rf_files_key_t *key,
    ngx_rf_record_t *rec)
{
    u_char                hex[NGX_RF_FILE_HEX + 1];
    ngx_int_t             rc;
    ngx_uint_t            same;
    const char           *why;
    struct stat           st;
    ngx_rf_record_t      *there;
    ngx_rf_file_root_t    root;
    ngx_rf_file_chain_t   chain;
    ngx_rf_file_error_t   error;

    if (!(key->flags & RF_FILES_IN_FILE)
        || (key->ack && key->version <= key->ack))
    {
        return 0;
    }

    error.what = NULL;
    same = 0;

    if (ngx_rf_file_root_open(&root, &db->conf, 0, &error) != NGX_OK) {
        return 0;
    }

    ngx_rf_file_digest(&rec->key, hex);

    if (ngx_rf_file_chain_open(&root, hex, 0, &chain) == NGX_OK) {

        rc = ngx_rf_file_record_read(&db->conf, chain.fd[chain.n], hex,
                                     db->mark, &there, &st, &why);
        ngx_rf_file_chain_close(&chain);

        if (rc == NGX_OK) {
            same = rf_files_readmit_equal(rec, there);
            free(there);
        }
    }

    ngx_rf_file_root_close(&root);

    return same;
}


/* but for the version, which the first one then has, too */

static ngx_uint_t
rf_files_readmit_equal(ngx_rf_record_t *one, ngx_rf_record_t *two)
{
    size_t       len[2];
    u_char      *text[2];
    uint64_t     version;
    ngx_uint_t   same;

    if (one->foreign != two->foreign || one->version > two->version) {
        return 0;
    }

    version = one->version;
    one->version = two->version;

    if (ngx_rf_codec_encode(one, &text[0], &len[0]) != NGX_OK
        || ngx_rf_codec_encode(two, &text[1], &len[1]) != NGX_OK)
    {
        rf_files_oom();
    }

    same = (len[0] == len[1] && ngx_memcmp(text[0], text[1], len[0]) == 0);

    free(text[0]);
    free(text[1]);

    if (!same) {
        one->version = version;
    }

    return same;
}


static void
rf_files_readmit_version(rf_files_db_t *db, rf_files_key_t *key,
    ngx_rf_record_t *rec)
{
    uint64_t  top;

    top = ngx_max(db->mark, key->ack);

    if (rec->version && rec->version <= top) {
        rec->version = top + 1;
    }
}


static ngx_int_t
rf_files_readmit_write(rf_files_db_t *db, ngx_rf_record_t *rec)
{
    ngx_uint_t           failed, wrote, removed;
    ngx_rf_file_error_t  error;

    rec->next = NULL;

    rf_files_as_owner(db->run, 1);

    failed = ngx_rf_file_write_thread(&db->conf, rec, &wrote, &removed,
                                      &error);

    rf_files_as_owner(db->run, 0);

    if (failed) {
        rf_files_error(db->run, &error);
        db->run->failed = 1;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
rf_files_readmit_unlink(rf_files_db_t *db, rf_files_names_t *names,
    const char *name)
{
    if ((unlinkat(names->dir, name, 0) != 0 && errno != NGX_ENOENT)
        || ngx_rf_file_dir_sync(names->dir) != NGX_OK)
    {
        rf_files_say("quarantine/%s: %s", name, strerror(errno));
        db->run->failed = 1;
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* root's files would be of no use to nginx' workers */

static void
rf_files_as_owner(rf_files_t *run, ngx_uint_t yes)
{
    struct stat  *st;

    st = &run->owner;

    if (getuid() != 0 || st->st_uid == 0) {
        return;
    }

    if (yes ? setegid(st->st_gid) != 0 || seteuid(st->st_uid) != 0
            : seteuid(0) != 0 || setegid(getgid()) != 0)
    {
        rf_files_say("becoming the owner of %s: %s", run->path.data,
                     strerror(errno));
        exit(RF_FILES_ERROR);
    }
}
