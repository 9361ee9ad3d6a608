/*
 * Looks at all that is below the path, with the eyes of nginx, and at what
 * nginx would not look at.  "damage" is what loses or hides a record; "note" is
 * what somebody may want to know.
 */

#include "rf_files.h"


/* notes of one kind that are told; the others are counted */
#define RF_FILES_NOTES          20

#define RF_FILES_TRIES          5


typedef enum {
    RF_FILES_NOTE_MODE = 0,
    RF_FILES_NOTE_OWNER,
    RF_FILES_NOTE_LINKS,
    RF_FILES_NOTE_OTHER,
    RF_FILES_NOTE_JOURNAL,
    RF_FILES_NOTES_N
} rf_files_note_e;

typedef struct {
    rf_files_t           *run;
    rf_files_db_t         db;
    ngx_uint_t            damaged;
    ngx_uint_t            files;
    ngx_uint_t            segments;
    ngx_uint_t            handovers;
    ngx_uint_t            notes[RF_FILES_NOTES_N];
} rf_files_verify_t;


static void rf_files_verify_top(rf_files_verify_t *v);
static void rf_files_verify_db(rf_files_verify_t *v, ngx_uint_t database);
static void rf_files_verify_dir(rf_files_verify_t *v, ngx_fd_t at,
    const char *name, const char *path, ngx_uint_t depth);
static void rf_files_verify_entry(rf_files_verify_t *v, ngx_fd_t dir,
    const char *name, const char *path, ngx_uint_t depth);
static ngx_uint_t rf_files_verify_known(const char *name, ngx_uint_t depth);
static ngx_uint_t rf_files_verify_is_record(const char *name);
static void rf_files_verify_record(rf_files_verify_t *v, ngx_fd_t dir,
    const char *name, const char *path);
static ngx_uint_t rf_files_verify_placed(rf_files_verify_t *v,
    const u_char *hex, const char *path);
static void rf_files_verify_journal(rf_files_verify_t *v);
static void rf_files_verify_segment(rf_files_verify_t *v, ngx_fd_t dir,
    uint64_t number);
static void rf_files_verify_lines(rf_files_verify_t *v, const char *path,
    uint64_t number, ngx_uint_t acks);
static void rf_files_verify_handover(rf_files_verify_t *v);
static void rf_files_verify_names(rf_files_verify_t *v, ngx_fd_t at,
    const char *name, const char *path);
static void rf_files_verify_stat(rf_files_verify_t *v, ngx_fd_t at,
    const char *name, const char *path);
static void rf_files_verify_damage(rf_files_verify_t *v, const char *path,
    const char *what, ngx_err_t err);
static void rf_files_verify_note(rf_files_verify_t *v, rf_files_note_e kind,
    const char *path, const char *what);
static void rf_files_verify_print(rf_files_verify_t *v, const char *severity,
    const char *path, const char *what, const char *error);
static void rf_files_verify_end(rf_files_verify_t *v);


void
rf_files_verify(rf_files_t *run)
{
    ngx_uint_t         i;
    rf_files_verify_t  v;

    ngx_memzero(&v, sizeof(rf_files_verify_t));
    v.run = run;

    rf_files_verify_top(&v);

    for (i = 0; i < run->ndatabases; i++) {
        rf_files_verify_db(&v, run->databases[i]);
    }

    rf_files_verify_end(&v);
}


static void
rf_files_verify_top(rf_files_verify_t *v)
{
    ngx_fd_t      fd;
    ngx_uint_t    i;
    struct stat   st;

    static const char  *names[] = { "lock", "quarantine" };

    fd = open((char *) v->run->path.data,
              O_RDONLY|O_DIRECTORY|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        rf_files_verify_damage(v, ".", "open()", errno);
        return;
    }

    for (i = 0; i < 2; i++) {
        if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0) {
            rf_files_verify_stat(v, fd, names[i], names[i]);
        }
    }

    close(fd);
}


static void
rf_files_verify_db(rf_files_verify_t *v, ngx_uint_t database)
{
    char                 name[NGX_INT_T_LEN + 1], path[64];
    ngx_rf_file_root_t   root;
    ngx_rf_file_error_t  error;

    (void) snprintf(name, sizeof(name), "%lu", (unsigned long) database);

    if (rf_files_db_open(v->run, database, &v->db) != NGX_OK) {
        (void) snprintf(path, sizeof(path), "%s/layout", name);
        rf_files_verify_damage(v, path, "the database cannot be read", 0);
        return;
    }

    if (ngx_rf_file_mark_read_thread(&v->db.conf, &v->db.mark, &error)
        != NGX_OK)
    {
        (void) snprintf(path, sizeof(path), "%s/mark", name);
        rf_files_verify_damage(v, path, error.what, error.err);
    }

    rf_files_layout(&v->db, v->db.layouts.n - 1);

    error.what = NULL;

    if (ngx_rf_file_root_open(&root, &v->db.conf, 0, &error) == NGX_OK) {
        rf_files_verify_dir(v, root.base, name, name, 0);
        ngx_rf_file_root_close(&root);
    }

    rf_files_verify_journal(v);
    rf_files_verify_handover(v);
    rf_files_db_close(&v->db);
}


static void
rf_files_verify_dir(rf_files_verify_t *v, ngx_fd_t at, const char *name,
    const char *path, ngx_uint_t depth)
{
    DIR            *dir;
    ngx_fd_t        fd;
    struct dirent  *de;

    rf_files_verify_stat(v, at, name, path);

    fd = ngx_rf_file_dir_open(at, name, 0, NULL);
    dir = (fd == NGX_INVALID_FILE) ? NULL : fdopendir(fd);

    if (dir == NULL) {
        if (errno != NGX_ENOENT) {
            rf_files_verify_damage(v, path, "openat()", errno);
        }

        if (fd != NGX_INVALID_FILE) {
            close(fd);
        }

        return;
    }

    for ( ;; ) {
        errno = 0;
        de = readdir(dir);

        if (de == NULL) {
            if (errno) {
                rf_files_verify_damage(v, path, "readdir()", errno);
            }

            break;
        }

        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0
            && !rf_files_verify_known(de->d_name, depth))
        {
            rf_files_verify_entry(v, fd, de->d_name, path, depth);
        }
    }

    (void) closedir(dir);
}


static void
rf_files_verify_entry(rf_files_verify_t *v, ngx_fd_t dir, const char *name,
    const char *path, ngx_uint_t depth)
{
    char         *full;
    size_t        size;
    struct stat   st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return;
    }

    size = strlen(path) + strlen(name) + 2;
    full = malloc(size);

    if (full == NULL) {
        rf_files_oom();
    }

    (void) snprintf(full, size, "%s/%s", path, name);

    if (rf_files_verify_is_record(name)) {
        rf_files_verify_record(v, dir, name, full);

    } else if (S_ISDIR(st.st_mode) && depth < NGX_RF_FILE_LEVELS
               && ngx_rf_file_is_hex(name, strlen(name)))
    {
        rf_files_verify_dir(v, dir, name, full, depth + 1);

    } else {
        rf_files_verify_note(v, RF_FILES_NOTE_OTHER, full,
                             "nothing that nginx looks at");
    }

    free(full);
}


static ngx_uint_t
rf_files_verify_known(const char *name, ngx_uint_t depth)
{
    return depth == 0
           && (strcmp(name, "mark") == 0 || strcmp(name, "layout") == 0
               || strcmp(name, NGX_RF_FILE_SPARE) == 0
               || strcmp(name, "tmp") == 0
               || strcmp(name, NGX_RF_JOURNAL_DIR) == 0
               || strcmp(name, NGX_RF_JOURNAL_HAND_DIR) == 0);
}


static ngx_uint_t
rf_files_verify_is_record(const char *name)
{
    return strlen(name) == NGX_RF_FILE_NAME - 1
           && ngx_rf_file_is_hex(name, NGX_RF_FILE_HEX)
           && strcmp(name + NGX_RF_FILE_HEX, ".json") == 0;
}


static void
rf_files_verify_record(rf_files_verify_t *v, ngx_fd_t dir, const char *name,
    const char *path)
{
    u_char            hex[NGX_RF_FILE_HEX + 1];
    ngx_err_t         err;
    ngx_int_t         rc;
    ngx_uint_t        i;
    const char       *why;
    struct stat       st;
    ngx_rf_record_t  *rec;

    ngx_memcpy(hex, name, NGX_RF_FILE_HEX);
    hex[NGX_RF_FILE_HEX] = '\0';

    v->files++;

    i = 0;

    do {
        rc = ngx_rf_file_record_read(&v->db.conf, dir, hex, 0, &rec, &st,
                                     &why);
        err = errno;

    } while (rc == NGX_ABORT && v->run->in_use
             && !ngx_rf_file_record_same(dir, hex, &st)
             && ++i < RF_FILES_TRIES);

    switch (rc) {

    case NGX_OK:
        free(rec);
        break;

    case NGX_ABORT:
        rf_files_verify_damage(v, path, why, 0);
        break;

    case NGX_ERROR:
        rf_files_verify_damage(v, path, why, err);
        return;

    default:
        return;
    }

    rf_files_verify_stat(v, dir, name, path);

    if (!rf_files_verify_placed(v, hex, path)) {
        rf_files_verify_damage(v, path, "not where its name says, nginx does "
                               "not find it", 0);
    }
}


/* in a directory of any of the layouts? */

static ngx_uint_t
rf_files_verify_placed(rf_files_verify_t *v, const u_char *hex,
    const char *path)
{
    char         place[NGX_RF_FILE_TEMP];
    ngx_uint_t   i;
    const char  *below;

    below = strchr(path, '/') + 1;

    for (i = 0; i < v->db.layouts.n; i++) {
        rf_files_place(v->db.layouts.levels[i], hex, place);

        if (strcmp(place, below) == 0) {
            return 1;
        }
    }

    return 0;
}


static void
rf_files_verify_journal(rf_files_verify_t *v)
{
    char                   path[64];
    uint64_t              *numbers;
    ngx_int_t              rc;
    ngx_uint_t             i, n;
    ngx_rf_journal_dir_t   jd;
    ngx_rf_file_error_t    error;

    (void) snprintf(path, sizeof(path), "%lu/" NGX_RF_JOURNAL_DIR,
                    (unsigned long) v->db.conf.database);

    error.what = NULL;

    rc = ngx_rf_journal_dir_open(&jd, &v->db.conf, NGX_RF_JOURNAL_DIR, 0,
                                 &error);

    if (rc != NGX_OK) {
        if (rc == NGX_ERROR) {
            rf_files_verify_damage(v, path, error.what, error.err);
        }

        return;
    }

    rf_files_verify_stat(v, jd.root.db, NGX_RF_JOURNAL_DIR, path);
    rf_files_verify_names(v, jd.root.db, NGX_RF_JOURNAL_DIR, path);

    if (ngx_rf_journal_list(jd.dir, &numbers, &n) != NGX_OK) {
        rf_files_verify_damage(v, path, "readdir()", errno);
        ngx_rf_journal_dir_close(&jd);
        return;
    }

    for (i = 0; i < n; i++) {
        rf_files_verify_segment(v, jd.dir, numbers[i]);
    }

    free(numbers);
    ngx_rf_journal_dir_close(&jd);
}


static void
rf_files_verify_segment(rf_files_verify_t *v, ngx_fd_t dir, uint64_t number)
{
    char  name[NGX_RF_JOURNAL_NAME], path[128];

    ngx_rf_journal_name(number, name);
    (void) snprintf(path, sizeof(path), "%lu/" NGX_RF_JOURNAL_DIR "/%s",
                    (unsigned long) v->db.conf.database, name);

    v->segments++;

    rf_files_verify_stat(v, dir, name, path);
    rf_files_verify_lines(v, path, number, 0);
    rf_files_verify_lines(v, path, number, 1);
}


static void
rf_files_verify_lines(rf_files_verify_t *v, const char *path, uint64_t number,
    ngx_uint_t acks)
{
    ngx_err_t               err;
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_rf_journal_read_t   rd;

    ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));

    rd.n = 1000;
    rd.acks = acks;
    rd.single = 1;
    rd.number = number;

    do {
        rc = ngx_rf_journal_read_thread(&v->db.conf, &rd, 1);

        for (i = 0; i < rd.nerrors && !acks; i++) {
            err = rd.errors[i].err;
            rf_files_verify_damage(v, path, err ? rd.errors[i].what
                                   : "damaged before its end", err);
        }

    } while (rc == NGX_OK);

    if (rc == NGX_ERROR) {
        v->run->failed = 1;
    }

    if (rd.torn) {
        rf_files_verify_note(v, RF_FILES_NOTE_JOURNAL, path,
                             "a torn end, which was never acknowledged");
    }

    if (rd.unknown) {
        rf_files_verify_damage(v, path, acks
            ? "whole lines that are no acknowledgements of this version"
            : "whole lines that are no records of this version", 0);
    }

    ngx_rf_journal_read_end(&rd);
}


static void
rf_files_verify_handover(rf_files_verify_t *v)
{
    char                    path[128];
    ngx_fd_t                dir;
    ngx_int_t               rc;
    ngx_rf_record_t        *rec;
    ngx_rf_file_root_t      root;
    ngx_rf_file_error_t     error;
    ngx_rf_journal_hand_t   hand;

    ngx_memzero(&hand, sizeof(ngx_rf_journal_hand_t));
    error.what = NULL;

    if (ngx_rf_file_root_open(&root, &v->db.conf, 0, &error) != NGX_OK) {
        return;
    }

    dir = ngx_rf_file_dir_open(root.db, NGX_RF_JOURNAL_HAND_DIR, 0, NULL);

    while (dir != NGX_INVALID_FILE) {
        rc = ngx_rf_journal_hand_read_thread(&v->db.conf, &hand, 1);

        if (rc == NGX_DONE || hand.name[0] == '\0') {
            break;
        }

        (void) snprintf(path, sizeof(path), "%lu/" NGX_RF_JOURNAL_HAND_DIR
                        "/%s", (unsigned long) v->db.conf.database, hand.name);

        rf_files_verify_stat(v, dir, hand.name, path);

        if (rc == NGX_ERROR || (hand.damaged && hand.error.err)) {
            rf_files_verify_damage(v, path, hand.error.what, hand.error.err);

        } else if (hand.damaged) {
            rf_files_verify_damage(v, path, "damaged", 0);
        }

        if (hand.unknown) {
            rf_files_verify_damage(v, path, "whole lines that are no records "
                                   "of this version", 0);
        }

        v->handovers++;

        while (hand.records) {
            rec = hand.records;
            hand.records = rec->next;
            ngx_rf_codec_free(rec);
        }

        ngx_memcpy(hand.after, hand.name, NGX_RF_JOURNAL_HAND);
    }

    if (dir != NGX_INVALID_FILE) {
        close(dir);
    }

    ngx_rf_file_root_close(&root);
}


/* what is in the directory of the journal and is no segment */

static void
rf_files_verify_names(rf_files_verify_t *v, ngx_fd_t at, const char *name,
    const char *path)
{
    DIR            *dir;
    char            full[512];
    ngx_fd_t        fd;
    struct dirent  *de;

    fd = ngx_rf_file_dir_open(at, name, 0, NULL);
    dir = (fd == NGX_INVALID_FILE) ? NULL : fdopendir(fd);

    if (dir == NULL) {
        if (fd != NGX_INVALID_FILE) {
            close(fd);
        }

        return;
    }

    while ((de = readdir(dir)) != NULL) {

        if (de->d_name[0] == '.'
            || (strlen(de->d_name) == NGX_RF_JOURNAL_NAME - 1
                && ngx_rf_file_is_hex(de->d_name, 16)
                && strcmp(de->d_name + 16, ".log") == 0))
        {
            continue;
        }

        (void) snprintf(full, sizeof(full), "%s/%s", path, de->d_name);
        rf_files_verify_note(v, RF_FILES_NOTE_OTHER, full,
                             "nothing that nginx looks at");
    }

    (void) closedir(dir);
}


static void
rf_files_verify_stat(rf_files_verify_t *v, ngx_fd_t at, const char *name,
    const char *path)
{
    struct stat  st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0
        || S_ISLNK(st.st_mode))
    {
        return;
    }

    if (st.st_mode & 0077) {
        rf_files_verify_note(v, RF_FILES_NOTE_MODE, path,
                             "others may have access to it");
    }

    if (st.st_uid != v->run->owner.st_uid) {
        rf_files_verify_note(v, RF_FILES_NOTE_OWNER, path,
                             "its owner is not that of the path");
    }

    if (S_ISREG(st.st_mode) && st.st_nlink > 1) {
        rf_files_verify_note(v, RF_FILES_NOTE_LINKS, path,
                             "it has another name somewhere");
    }
}


static void
rf_files_verify_damage(rf_files_verify_t *v, const char *path,
    const char *what, ngx_err_t err)
{
    if (err == NGX_ENOENT) {
        /* gone meanwhile */
        return;
    }

    v->damaged++;
    v->run->problem = 1;

    rf_files_verify_print(v, "damage", path, what, err ? strerror(err) : NULL);
}


static void
rf_files_verify_note(rf_files_verify_t *v, rf_files_note_e kind,
    const char *path, const char *what)
{
    if (++v->notes[kind] <= RF_FILES_NOTES) {
        rf_files_verify_print(v, "note", path, what, NULL);
    }
}


static void
rf_files_verify_print(rf_files_verify_t *v, const char *severity,
    const char *path, const char *what, const char *error)
{
    cJSON      *json;
    ngx_str_t   s;

    if (!v->run->json) {
        printf("%s: ", severity);
        rf_files_put_escaped(stdout, (u_char *) path, strlen(path));
        printf(error ? ": %s failed: %s\n" : ": %s\n", what, error);
        return;
    }

    json = rf_files_json_object();

    s.data = (u_char *) path;
    s.len = strlen(path);

    rf_files_json_text(json, "severity", severity);
    rf_files_json_string(json, "file", &s);
    rf_files_json_text(json, "what", what);

    if (error) {
        rf_files_json_text(json, "error", error);
    }

    rf_files_json_print(json, 0);
}


static void
rf_files_verify_end(rf_files_verify_t *v)
{
    cJSON       *json;
    ngx_uint_t   i, notes, quarantined;

    notes = 0;

    for (i = 0; i < RF_FILES_NOTES_N; i++) {
        notes += v->notes[i];
    }

    quarantined = rf_files_quarantined(v->run);

    if (!v->run->json) {
        printf("%lu files, %lu segments of the journal, %lu handed over, "
               "%lu files in quarantine: damage %lu, notes %lu\n",
               (unsigned long) v->files, (unsigned long) v->segments,
               (unsigned long) v->handovers, (unsigned long) quarantined,
               (unsigned long) v->damaged, (unsigned long) notes);
        return;
    }

    json = rf_files_json_object();

    rf_files_json_text(json, "severity", "summary");
    rf_files_json_number(json, "files", v->files);
    rf_files_json_number(json, "segments", v->segments);
    rf_files_json_number(json, "handovers", v->handovers);
    rf_files_json_number(json, "quarantined", quarantined);
    rf_files_json_number(json, "damage", v->damaged);
    rf_files_json_number(json, "notes", notes);

    rf_files_json_print(json, 0);
}
