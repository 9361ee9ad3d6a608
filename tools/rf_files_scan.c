/*
 * What nginx would take from a path: of each key the newest version that is
 * neither below the mark nor acknowledged, wherever it is.
 *
 * Two passes: the first one notes versions, the second one gives the records
 * that count to a handler, one at a time.  Where nginx runs meanwhile, records
 * go from the journal to files, never the other way round; so the journal is
 * read before the files.
 */

#include <sys/ipc.h>
#include <sys/shm.h>
#include "rf_files.h"


/* records of the journal that are in memory at a time */
#define RF_FILES_SLICE          500

/* a file may be replaced while it is read */
#define RF_FILES_TRIES          5


static void rf_files_find_databases(rf_files_t *run);
static int rf_files_compare(const void *one, const void *two);
static void rf_files_look_in_use(rf_files_t *run);
static ngx_uint_t rf_files_kept(ngx_fd_t lock);
static void rf_files_journal(rf_files_db_t *db, ngx_uint_t acks);
static void rf_files_journal_counts(rf_files_db_t *db,
    ngx_rf_journal_read_t *rd, ngx_uint_t acks);
static void rf_files_files(rf_files_db_t *db);
static ngx_int_t rf_files_file(ngx_rf_file_tree_t *tree, ngx_fd_t dir,
    const u_char *hex);
static void rf_files_file_bad(rf_files_db_t *db, const u_char *hex,
    ngx_err_t err, const char *why);
static void rf_files_file_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name);
static void rf_files_ack(rf_files_db_t *db, ngx_rf_record_t *rec);
static void rf_files_record(rf_files_db_t *db, ngx_rf_record_t *rec,
    ngx_uint_t where);
static void rf_files_note(rf_files_key_t *key, ngx_rf_record_t *rec,
    ngx_uint_t where);


ngx_int_t
rf_files_open(rf_files_t *run)
{
    ngx_fd_t  fd;

    fd = open((char *) run->path.data,
              O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE || fstat(fd, &run->owner) != 0) {
        rf_files_say("%s: %s", run->path.data, strerror(errno));
        return NGX_ERROR;
    }

    close(fd);

    rf_files_look_in_use(run);

    if (!run->database_given) {
        rf_files_find_databases(run);
    }

    return NGX_OK;
}


static void
rf_files_find_databases(rf_files_t *run)
{
    DIR            *dir;
    uint64_t        n;
    struct dirent  *de;

    dir = opendir((char *) run->path.data);

    if (dir == NULL) {
        rf_files_say("%s: %s", run->path.data, strerror(errno));
        run->failed = 1;
        return;
    }

    while ((de = readdir(dir)) != NULL) {

        if (ngx_rf_codec_uint(de->d_name, 10, &n) != NGX_OK
            || (de->d_name[0] == '0' && de->d_name[1] != '\0'))
        {
            continue;
        }

        run->databases = realloc(run->databases, (run->ndatabases + 1)
                                                 * sizeof(ngx_uint_t));
        if (run->databases == NULL) {
            rf_files_oom();
        }

        run->databases[run->ndatabases++] = (ngx_uint_t) n;
    }

    (void) closedir(dir);

    if (run->ndatabases) {
        qsort(run->databases, run->ndatabases, sizeof(ngx_uint_t),
              rf_files_compare);
    }
}


static int
rf_files_compare(const void *one, const void *two)
{
    ngx_uint_t  a, b;

    a = *(const ngx_uint_t *) one;
    b = *(const ngx_uint_t *) two;

    return (a > b) - (a < b);
}


/*
 * The lock is tried, shared and for a moment: an nginx that starts just then
 * takes it a second later.
 */

static void
rf_files_look_in_use(rf_files_t *run)
{
    ngx_fd_t  base, fd;

    base = open((char *) run->path.data,
                O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (base == NGX_INVALID_FILE) {
        return;
    }

    fd = openat(base, "lock", O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd != NGX_INVALID_FILE) {

        if (flock(fd, LOCK_SH|LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            run->in_use = 1;

            if (!run->writes) {
                rf_files_say("%s is in use, this is a snapshot",
                             run->path.data);
            }

        } else if (rf_files_kept(fd)) {
            run->kept = 1;

            if (!run->writes) {
                rf_files_say("nginx was killed, and has changes of %s in "
                             "shared memory, for its next start",
                             run->path.data);
            }
        }

        close(fd);
    }

    close(base);
}


/* see ngx_rf_keep.h, which is nginx's */

static ngx_uint_t
rf_files_kept(ngx_fd_t lock)
{
    int              id;
    char             text[192];
    size_t           size;
    ssize_t          n;
    struct shmid_ds  st;

    n = pread(lock, text, sizeof(text) - 1, 0);

    if (n <= 0) {
        return 0;
    }

    text[n] = '\0';

    return sscanf(text, "shm %d at %*u of %zu", &id, &size) == 2
           && shmctl(id, IPC_STAT, &st) == 0
           && st.shm_segsz == size
           && st.shm_nattch == 0;
}


ngx_int_t
rf_files_db_open(rf_files_t *run, ngx_uint_t database, rf_files_db_t *db)
{
    ngx_int_t            rc;
    ngx_rf_file_root_t   root;
    ngx_rf_file_error_t  error;

    ngx_memzero(db, sizeof(rf_files_db_t));

    db->run = run;
    db->conf.path = run->path;
    db->conf.database = database;

    error.what = NULL;

    rc = ngx_rf_file_root_open(&root, &db->conf, 0, &error);

    if (rc != NGX_OK) {
        if (rc == NGX_DECLINED) {
            rf_files_say("%s has no database %lu", run->path.data,
                         (unsigned long) database);
            run->failed = 1;
        }

        rf_files_error(run, &error);
        return NGX_ERROR;
    }

    if (run->levels_given) {
        ngx_memcpy(db->layouts.levels[0], run->levels, sizeof(run->levels));
        db->layouts.n = 1;
        rc = NGX_OK;

    } else {
        rc = ngx_rf_file_layouts_read(&root, &db->layouts);

        if (rc != NGX_OK) {
            rf_files_say("%s/%lu/layout: %s; --levels says it instead",
                         run->path.data, (unsigned long) database,
                         errno == EINVAL ? "not a list of levels"
                                         : strerror(errno));
            run->failed = 1;
        }
    }

    ngx_rf_file_root_close(&root);

    if (rc == NGX_OK
        && ngx_rf_file_mark_read_thread(&db->conf, &db->mark, &error)
           != NGX_OK)
    {
        /* nginx would not touch the files; here all of them count */
        rf_files_error(run, &error);
    }

    return rc;
}


void
rf_files_db_close(rf_files_db_t *db)
{
    rf_files_table_free(&db->table);
}


void
rf_files_layout(rf_files_db_t *db, ngx_uint_t i)
{
    ngx_memcpy(db->conf.levels, db->layouts.levels[i],
               sizeof(db->conf.levels));
}


void
rf_files_place(ngx_uint_t *levels, const u_char *hex, char *name)
{
    ngx_uint_t     i;
    const u_char  *from;

    from = hex;

    for (i = 0; i < NGX_RF_FILE_LEVELS; i++) {
        if (levels[i]) {
            ngx_memcpy(name, from, levels[i]);
            from += levels[i];
            name += levels[i];
            *name++ = '/';
        }
    }

    ngx_rf_file_name(hex, name);
}


void
rf_files_index(rf_files_db_t *db)
{
    db->second = 0;

    rf_files_journal(db, 0);
    rf_files_files(db);
    rf_files_journal(db, 1);
}


ngx_int_t
rf_files_pending(rf_files_db_t *db, rf_files_handler_pt handler, void *data)
{
    db->second = 1;
    db->handler = handler;
    db->data = data;
    db->rc = NGX_OK;

    rf_files_journal(db, 0);
    rf_files_files(db);

    if (db->rc == NGX_OK) {
        rf_files_handover(db, handler, data);
    }

    return db->rc;
}


static void
rf_files_journal(rf_files_db_t *db, ngx_uint_t acks)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_rf_record_t        *rec;
    ngx_rf_journal_read_t   rd;

    ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));

    rd.mark = acks ? 0 : db->mark;
    rd.n = RF_FILES_SLICE;
    rd.acks = acks;

    do {
        rc = ngx_rf_journal_read_thread(&db->conf, &rd, 1);

        for (i = 0; i < rd.nerrors && !db->second; i++) {

            if (!acks || rc == NGX_ERROR) {
                rf_files_error(db->run, &rd.errors[i]);
            }
        }

        for (rec = rd.records; rec && db->rc == NGX_OK; rec = rec->next) {

            if (acks) {
                rf_files_ack(db, rec);

            } else {
                rf_files_record(db, rec, RF_FILES_IN_JOURNAL);
            }
        }

    } while (rc == NGX_OK && db->rc == NGX_OK);

    if (rc == NGX_ERROR) {
        db->run->failed = 1;
    }

    if (!db->second) {
        rf_files_journal_counts(db, &rd, acks);
    }

    ngx_rf_journal_read_end(&rd);
}


static void
rf_files_journal_counts(rf_files_db_t *db, ngx_rf_journal_read_t *rd,
    ngx_uint_t acks)
{
    rf_files_counts_t  *c;

    c = &db->counts;

    if (rd->unknown) {
        db->run->problem = 1;
        rf_files_say("%s/%lu/journal: %lu lines hold no %s of this version",
                     db->run->path.data, (unsigned long) db->conf.database,
                     (unsigned long) rd->unknown,
                     acks ? "acknowledgement" : "record");
    }

    if (acks) {
        c->acks = rd->lines;
        return;
    }

    db->base = rd->base;

    c->segments = rd->nnumbers;
    c->segments_below = rd->nnumbers - rd->nsegments;
    c->segments_torn = rd->torn;
    c->segments_damaged = rd->damaged;
    c->bytes = rd->bytes;
    c->records = rd->lines;
}


static void
rf_files_files(rf_files_db_t *db)
{
    u_char               after[NGX_RF_FILE_HEX + 1];
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_rf_file_root_t   root;
    ngx_rf_file_tree_t   tree;
    ngx_rf_file_error_t  error;

    for (i = 0; i < db->layouts.n && db->rc == NGX_OK; i++) {

        rf_files_layout(db, i);

        error.what = NULL;
        rc = ngx_rf_file_root_open(&root, &db->conf, 0, &error);

        if (rc != NGX_OK) {
            rf_files_error(db->run, &error);
            return;
        }

        ngx_memzero(after, sizeof(after));
        ngx_memzero(&tree, sizeof(ngx_rf_file_tree_t));

        ngx_memcpy(tree.levels, db->conf.levels, sizeof(tree.levels));

        tree.root = &root;
        tree.after = after;
        tree.data = db;
        tree.handler = rf_files_file;
        tree.failed = rf_files_file_failed;

        /* with a budget, empty directories stay */
        tree.budget = NGX_MAX_INT_T_VALUE;

        rc = ngx_rf_file_tree(&tree);

        if (rc == NGX_ERROR) {
            db->run->failed = 1;
        }

        ngx_rf_file_root_close(&root);
    }
}


static ngx_int_t
rf_files_file(ngx_rf_file_tree_t *tree, ngx_fd_t dir, const u_char *hex)
{
    ngx_err_t         err;
    ngx_int_t         rc;
    ngx_uint_t        i;
    const char       *why;
    struct stat       st;
    rf_files_db_t    *db;
    ngx_rf_record_t  *rec;

    db = tree->data;
    i = 0;

    do {
        rc = ngx_rf_file_record_read(&db->conf, dir, hex, db->mark, &rec, &st,
                                     &why);
        err = ngx_errno;

        /* what is no record may have been replaced while it was read */

    } while (rc == NGX_ABORT && db->run->in_use
             && !ngx_rf_file_record_same(dir, hex, &st)
             && ++i < RF_FILES_TRIES);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (!db->second) {
        db->counts.files++;
        db->counts.files_below += (rc == NGX_DONE);
    }

    if (rc == NGX_OK) {
        rf_files_record(db, rec, RF_FILES_IN_FILE);
        free(rec);

    } else if (rc != NGX_DONE && !db->second) {
        rf_files_file_bad(db, hex, rc == NGX_ABORT ? 0 : err, why);
    }

    return db->rc;
}


static void
rf_files_file_bad(rf_files_db_t *db, const u_char *hex, ngx_err_t err,
    const char *why)
{
    ngx_rf_file_error_t  error;

    db->counts.files_bad += (err == 0);

    error.what = NULL;
    ngx_rf_file_fail_hex(&error, &db->conf, err, why, hex);
    rf_files_error(db->run, &error);
}


static void
rf_files_file_failed(ngx_rf_file_tree_t *tree, ngx_err_t err,
    const char *what, const char *name)
{
    rf_files_db_t        *db;
    ngx_rf_file_error_t   error;

    db = tree->data;

    if (db->second || err == NGX_ENOTDIR) {
        /* no directory, and so nothing of nginx's: see "verify" */
        return;
    }

    error.what = NULL;
    ngx_rf_file_fail(&error, &db->conf, err, what, "%ui/%s",
                     db->conf.database, name);
    rf_files_error(db->run, &error);
}


static void
rf_files_ack(rf_files_db_t *db, ngx_rf_record_t *rec)
{
    rf_files_key_t  *key;

    key = rf_files_table_find(&db->table, &rec->key, db->keep_acks);

    if (key && key->ack < rec->version) {
        key->ack = rec->version;
    }
}


static void
rf_files_record(rf_files_db_t *db, ngx_rf_record_t *rec, ngx_uint_t where)
{
    rf_files_key_t  *key;

    key = rf_files_table_find(&db->table, &rec->key, 1);

    if (!db->second) {
        rf_files_note(key, rec, where);
        return;
    }

    if (!(key->flags & RF_FILES_HELD)) {
        /* new since the first pass */
        rf_files_note(key, rec, where);
    }

    if (key->ack && rec->version <= key->ack) {
        db->counts.files_done += (where == RF_FILES_IN_FILE);
        return;
    }

    if (rec->version < key->version) {
        db->counts.files_older += (where == RF_FILES_IN_FILE);
        return;
    }

    if (key->flags & RF_FILES_SEEN) {
        return;
    }

    key->flags |= RF_FILES_SEEN;

    /* newer than what was there a moment ago: it is here */

    if (rec->version == key->version) {
        where = key->flags & (RF_FILES_IN_FILE|RF_FILES_IN_JOURNAL);
    }

    db->rc = db->handler(db, rec, where, db->data);
}


static void
rf_files_note(rf_files_key_t *key, ngx_rf_record_t *rec, ngx_uint_t where)
{
    if ((key->flags & RF_FILES_HELD) && rec->version < key->version) {
        return;
    }

    if (rec->version > key->version) {
        key->flags &= ~(RF_FILES_IN_FILE|RF_FILES_IN_JOURNAL);
    }

    key->version = rec->version;
    key->flags |= RF_FILES_HELD | where;
}
