#include "rf_unit.h"
#include "ngx_rf_file.h"
#include <ngx_md5.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>


typedef struct {
    ngx_rf_file_conf_t    conf;
    ngx_rf_file_error_t   error;
    ngx_uint_t            wrote;
    ngx_uint_t            removed;
    ngx_pool_t           *pool;
} store_t;


static store_t *store(ngx_pool_t *pool, ngx_uint_t one, ngx_uint_t two,
    ngx_uint_t three);
static ngx_rf_record_t *record(ngx_pool_t *pool, const char *key,
    const char *value, uint64_t version);
static ngx_uint_t put(store_t *s, const char *key, const char *value,
    uint64_t version);
static ngx_uint_t del(store_t *s, const char *key, uint64_t version);
static ngx_int_t get(store_t *s, const char *key, uint64_t mark,
    ngx_str_t *value);
static ngx_uint_t is_value(store_t *s, const char *key, const char *value);
static ngx_rf_file_walk_t *walk(store_t *s, ngx_uint_t n, uint64_t mark,
    ngx_rf_file_walk_t *w, ngx_int_t *rc);
static ngx_uint_t walk_all(store_t *s, ngx_uint_t n, uint64_t mark,
    ngx_rf_file_walk_t *sum);
static void walk_free(ngx_rf_file_walk_t *w);
static char *text(store_t *s, ngx_str_t *v);
static char *path(store_t *s, const char *below);
static char *file(store_t *s, const char *key);
static ngx_uint_t spew(const char *name, const char *text, size_t len);
#define spew_text(name, text)  spew(name, text, sizeof(text) - 1)
static ngx_uint_t exists(const char *name);
static ngx_uint_t count(const char *dir);


RF_UNIT(file_write)
{
    DIR              *dir;
    store_t          *s;
    struct stat       st;
    ngx_str_t         v;
    ngx_uint_t        i, n;
    ngx_rf_record_t  *rec;

    s = store(pool, 2, 2, 2);

    is_int(get(s, "a", 0, &v), NGX_DECLINED, "no file yet");
    is_int(put(s, "a", "one", 1), 0, "a file");
    is_int(s->wrote, 1, "a new one");
    is_value(s, "a", "one");
    ok(exists(path(s, "3/0c/c1/75/0cc175b9c0f1b6a831c399e269772661.json")),
       "where go-redis-fallback would put it");
    is_int(stat(file(s, "a"), &st), 0, "it is there");
    is_int(st.st_mode & 07777, 0600, "its mode");
    is_int(stat(path(s, "3/0c/c1"), &st), 0, "its directory");
    is_int(st.st_mode & 07777, 0700, "and its mode");

    is_int(put(s, "a", "two", 2), 0, "again");
    is_int(s->wrote, 0, "not a new one");
    is_value(s, "a", "two");
    is_int(count(path(s, "3/tmp")), 0, "no temp files");

    is_int(del(s, "a", 1), 0, "an older version is to go");
    is_int(s->removed, 0, "but the file is newer");
    is_value(s, "a", "two");
    is_int(del(s, "a", 2), 0, "this version is to go");
    is_int(s->removed, 1, "it is gone");
    is_int(get(s, "a", 0, &v), NGX_DECLINED, "no file any more");
    ok(!exists(path(s, "3/0c")), "and no directories");
    ok(exists(path(s, "3")), "but the database's");
    is_int(del(s, "a", 2), 0, "gone already");
    is_int(s->removed, 0, "is no removal");

    /* two in one directory */

    put(s, "a", "one", 1);
    mkdir(path(s, "3/0c/c1/75/x"), 0700);
    is_int(del(s, "a", 0), 0, "any version");
    is_int(s->removed, 1, "is gone");
    ok(exists(path(s, "3/0c/c1/75")), "a directory in use stays");

    is_int(ngx_rf_file_write_thread(&s->conf, NULL, &s->wrote, &s->removed,
                                    &s->error), 0, "an empty batch");

    rec = record(pool, "", "", 1);
    rec->key.data = (u_char *) "\0\xff/..";
    rec->key.len = 5;
    rec->type = NGX_RF_NONE;
    rec->nvalues = 0;
    is_int(ngx_rf_file_write_thread(&s->conf, rec, &s->wrote, &s->removed,
                                    &s->error), 0, "a tombstone of any key");

    is_int(ngx_rf_file_read_thread(&s->conf, &rec->key, 0, &rec, &s->error),
           NGX_OK, "is read");
    is_int(rec->type, NGX_RF_NONE, "as one");
    free(rec);

    n = 0;
    dir = opendir("/proc/self/fd");

    while (dir && readdir(dir)) {
        n++;
    }

    for (i = 0; i < 100; i++) {
        put(s, "a", "one", i);
        get(s, "a", i == 50 ? 50 : 0, &v);
        del(s, "a", 0);
    }

    if (dir) {
        rewinddir(dir);

        while (readdir(dir)) {
            n--;
        }

        closedir(dir);
        is_int(n, 0, "no descriptor is left open");
    }
}


RF_UNIT(file_batch)
{
    store_t          *s;
    char              key[32];
    ngx_str_t         v;
    ngx_uint_t        i, n, bad, round;
    ngx_rf_record_t  *list, *rec;

    static const ngx_uint_t  sizes[] = { 1, 2, 16, 17, 300 };

    s = store(pool, 2, 2, 2);

    for (round = 0; round < 5; round++) {
        n = sizes[round];
        list = NULL;

        for (i = 0; i < n; i++) {
            sprintf(key, "%d-%d", (int) round, (int) i);
            rec = record(pool, key, key, 1);
            rec->next = list;
            list = rec;
        }

        is_int(ngx_rf_file_write_thread(&s->conf, list, &s->wrote,
                                        &s->removed, &s->error),
               0, "%d records", (int) n);
        is_int(s->wrote, n, "so many files");

        bad = 0;

        for (i = 0; i < n; i++) {
            sprintf(key, "%d-%d", (int) round, (int) i);
            bad += (get(s, key, 0, &v) != NGX_OK || v.len != strlen(key)
                    || memcmp(v.data, key, v.len) != 0);
        }

        is_int(bad, 0, "all right");

        /* half of them go, the others change */

        i = 0;

        for (rec = list; rec; rec = rec->next) {
            rec->remove = (i++ % 2 == 0);
            rec->version = 2;
            rec->status = 77;
            ngx_str_set(&rec->values[0], "new");
        }

        is_int(ngx_rf_file_write_thread(&s->conf, list, &s->wrote,
                                        &s->removed, &s->error),
               0, "half of them go");
        is_int(s->wrote, 0, "none is new");
        is_int(s->removed, (n + 1) / 2, "so many are gone");

        bad = 0;

        for (rec = list; rec; rec = rec->next) {
            bad += (rec->status != NGX_OK);
            sprintf(key, "%.*s", (int) rec->key.len, rec->key.data);

            if (rec->remove) {
                bad += (get(s, key, 0, &v) != NGX_DECLINED);

            } else {
                bad += (get(s, key, 0, &v) != NGX_OK || v.len != 3);
            }
        }

        is_int(bad, 0, "all right again");
        is_int(count(path(s, "3/tmp")), 0, "no temp files");
    }
}


RF_UNIT(file_in_the_way)
{
    store_t          *s;
    ngx_str_t         v;
    ngx_uint_t        i, bad;
    ngx_rf_record_t  *list, *rec;
    char              key[32];

    s = store(pool, 2, 2, 2);

    /* a directory in place of the file */

    put(s, "a", "one", 1);
    unlink(file(s, "a"));
    mkdir(file(s, "a"), 0700);

    for (i = 1; i < 25; i += 23) {
        list = NULL;

        for (bad = 0; bad < i; bad++) {
            sprintf(key, "k%d", (int) bad);
            rec = record(pool, bad == i / 2 ? "a" : key, "v", 1);
            rec->next = list;
            list = rec;
        }

        is_int(ngx_rf_file_write_thread(&s->conf, list, &s->wrote,
                                        &s->removed, &s->error),
               1, "a directory in the way of one of %d", (int) i);
        is_int(s->error.err, EISDIR, "the error");
        ok(strcmp((char *) s->error.name, file(s, "a")) == 0, "names it: %s",
           s->error.name);
        is_int(s->wrote, i - 1, "the others are written");

        bad = 0;

        for (rec = list; rec; rec = rec->next) {
            bad += ((rec->status == NGX_OK)
                    != (rec->key.len != 1 || rec->key.data[0] != 'a'));
        }

        is_int(bad, 0, "and say so");
    }

    is_int(count(path(s, "3/tmp")), 0, "no temp files");
    is_int(get(s, "a", 0, &v), NGX_DECLINED, "it is no record");
    is_int(del(s, "a", 5), 0, "nothing of ours to remove");
    ok(exists(file(s, "a")), "and it stays");
    rmdir(file(s, "a"));

    /* symlinks: not followed, wherever they are */

    symlink("/etc/passwd", file(s, "a"));
    is_int(get(s, "a", 0, &v), NGX_ABORT, "a symlink is no record");
    ok(!exists(file(s, "a")), "it is set aside");
    is_int(count(path(s, "quarantine")), 1, "in quarantine");

    symlink(path(s, "victim"), file(s, "a"));
    is_int(put(s, "a", "one", 1), 0, "it is replaced by a write");
    ok(!exists(path(s, "victim")), "what it points to is not touched");
    is_value(s, "a", "one");

    del(s, "a", 0);
    mkdir(path(s, "elsewhere"), 0700);
    symlink(path(s, "elsewhere"), path(s, "3/0c"));
    is_int(put(s, "a", "one", 1), 1, "a symlink in place of a directory");
    ok(s->error.err == ELOOP || s->error.err == ENOTDIR, "is an error");
    is_int(count(path(s, "elsewhere")), 0, "and nothing is written there");
    is_int(get(s, "a", 0, &v), NGX_DECLINED, "nor read");
    is_int(del(s, "a", 1), 0, "nor removed");
    is_int(s->removed, 0, "there is nothing of ours");
    ok(exists(path(s, "3/0c")), "the symlink stays");
    is_int(count(path(s, "3/tmp")), 0, "no temp files");
    unlink(path(s, "3/0c"));

    rename(path(s, "3/tmp"), path(s, "3/tmp-"));
    symlink(path(s, "elsewhere"), path(s, "3/tmp"));
    is_int(put(s, "a", "one", 1), 1, "nor is tmp one");
    is_int(count(path(s, "elsewhere")), 0, "and nothing is written there");
    unlink(path(s, "3/tmp"));
    is_int(put(s, "a", "one", 1), 0, "tmp is made again");

    /* a file in place of a directory */

    del(s, "a", 0);
    spew(path(s, "3/0c"), "x", 1);
    is_int(put(s, "a", "one", 1), 1, "a file in place of a directory");
    is_int(s->error.err, ENOTDIR, "is an error");
    unlink(path(s, "3/0c"));

    /* a FIFO must not hold the thread */

    put(s, "a", "one", 1);
    unlink(file(s, "a"));
    mkfifo(file(s, "a"), 0600);
    is_int(get(s, "a", 0, &v), NGX_ABORT, "a FIFO is no record");

    /* the path is gone */

    ngx_str_set(&s->conf.path, "/nonexistent/path");
    is_int(put(s, "a", "one", 1), 1, "no path");
    is_int(s->error.err, ENOENT, "is an error");
    is_int(get(s, "a", 0, &v), NGX_DECLINED, "there is no file in it");
}


RF_UNIT(file_read)
{
    char         *name;
    store_t      *s;
    ngx_str_t     v;
    ngx_uint_t    i;

    static ngx_str_t  bad[] = {
        ngx_string(""), ngx_string("{"), ngx_string("\0\0\0\0\0\0\0\0"),
        ngx_string("{\"version\":\"1\"}"),
        ngx_string("{\"version\":\"7\",\"key\":\"b\",\"data\":\"v\","
                   "\"type\":\"string\",\"timestamp\":1}")
    };

    s = store(pool, 2, 2, 2);

    for (i = 0; i < 5; i++) {
        put(s, "a", "one", 1);
        spew(file(s, "a"), (char *) bad[i].data, bad[i].len);

        is_int(get(s, "a", 0, &v), NGX_ABORT, "no record: %s", s->error.what);
        is_int(s->error.err, 0, "not an error of the system");
        ok(strcmp((char *) s->error.name, file(s, "a")) == 0, "named");
        is_int(count(path(s, "quarantine")), i + 1, "set aside");
        is_int(get(s, "a", 0, &v), NGX_DECLINED, "and gone");
    }

    name = path(s, "quarantine/0cc175b9c0f1b6a831c399e269772661-2.json");
    ok(exists(name), "none replaces another");

    /* the mark */

    put(s, "a", "one", 5);
    is_int(get(s, "a", 4, &v), NGX_OK, "newer than the mark");
    is_int(get(s, "a", 5, &v), NGX_DECLINED, "as old as the mark");
    is_int(get(s, "a", 6, &v), NGX_DECLINED, "older");
    ok(exists(file(s, "a")), "reading removes nothing");

    spew_text(file(s, "a"), "{\"key\":\"a\",\"version\":\"5\",\"data\":\"v\","
              "\"type\":\"string\",\"timestamp\":1}");
    is_int(get(s, "a", 4, &v), NGX_OK, "fields in another order");
    is_int(get(s, "a", 5, &v), NGX_DECLINED, "do not matter");
    is_int(del(s, "a", 4), 0, "nor when it is to go");
    is_int(s->removed, 0, "it is newer");
    is_int(del(s, "a", 5), 0, "it is not");
    is_int(s->removed, 1, "and is gone");

    put(s, "a", "one", 1);
    spew(file(s, "a"), "torn", 4);
    i = count(path(s, "quarantine"));
    is_int(del(s, "a", 5), 0, "what cannot be read is to go");
    is_int(count(path(s, "quarantine")), i + 1, "but is never deleted");

    /* of the Go library */

    put(s, "a", "one", 1);
    spew_text(file(s, "a"), "{\"key\":\"a\",\"data\":[1,2],\"type\":"
              "\"[]int\",\"timestamp\":1700000000}");
    is_int(get(s, "a", 1000, &v), NGX_OK, "a foreign record is no garbage");
    is_text(&v, "[1,2]", "its value");
    is_int(del(s, "a", 1), 0, "it is to go");
    is_int(s->removed, 1, "and does");

    /* size */

    put(s, "a", "0123456789", 1);
    s->conf.max_size = 20;
    is_int(get(s, "a", 0, &v), NGX_ABORT, "too large");
    s->conf.max_size = 0;
}


RF_UNIT(file_full)
{
    char             *big;
    store_t          *s;
    ngx_str_t         v;
    ngx_uint_t        i, n, bad;
    ngx_rf_record_t  *list, *rec;
    char              key[32];

    s = store(pool, 2, 2, 2);

    if (geteuid() != 0
        || mount("tmpfs", path(s, "3"), "tmpfs", 0, "size=600k,mode=700") != 0)
    {
        ok(1, "# SKIP no small file system to fill");
        return;
    }

    big = ngx_palloc(pool, 350001);
    memset(big, 'x', 350000);
    big[350000] = '\0';

    is_int(put(s, "a", "one", 1), 0, "a small value");
    is_int(put(s, "b", big, 1), 0, "a large one");
    is_int(put(s, "a", big, 2), 1, "another does not fit");
    is_int(s->error.err, ENOSPC, "the error");
    is_value(s, "a", "one");
    is_int(count(path(s, "3/tmp")), 0, "no temp file takes room");
    is_int(put(s, "c", "small", 1), 0, "a small one still fits");

    for (n = 3; n < 40; n += 30) {
        list = NULL;

        for (i = 0; i < n; i++) {
            sprintf(key, "k%d", (int) i);
            rec = record(pool, key, i == 1 ? big : "v", 1);
            rec->next = list;
            list = rec;
        }

        is_int(ngx_rf_file_write_thread(&s->conf, list, &s->wrote,
                                        &s->removed, &s->error),
               1, "one of %d is too large", (int) n);

        bad = 0;

        for (rec = list; rec; rec = rec->next) {
            bad += ((rec->status == NGX_OK) != (rec->values[0].len == 1));
        }

        is_int(bad, 0, "the others are written");
        is_int(count(path(s, "3/tmp")), 0, "no temp files");
    }

    is_int(del(s, "b", 0), 0, "room again");
    is_int(put(s, "a", big, 2), 0, "now it fits");
    is_int(get(s, "a", 0, &v), NGX_OK, "it is there");
    is_int(v.len, 350000, "whole");

    umount2(path(s, "3"), MNT_DETACH);
}


RF_UNIT(file_walk)
{
    char                 key[32];
    store_t             *s;
    ngx_int_t            rc;
    ngx_uint_t           i, n, bad, total;
    ngx_rf_record_t     *list, *rec;
    ngx_rf_file_walk_t   w, sum;

    static const ngx_uint_t  levels[][3] = {
        { 2, 2, 2 }, { 1, 0, 0 }, { 0, 0, 0 }, { 0, 3, 1 }, { 1, 2, 0 }
    };

    total = 5000;

    for (n = 0; n < 5; n++) {
        s = store(pool, levels[n][0], levels[n][1], levels[n][2]);

        ngx_memzero(&w, sizeof(w));
        walk(s, 100, 0, &w, &rc);
        is_int(rc, NGX_DONE, "an empty store");
        is_int(w.nrecords, 0, "has no records");
        is_int(ngx_rf_file_any(&s->conf), 0, "none at all");

        list = NULL;

        for (i = 0; i < total; i++) {
            sprintf(key, "key%d", (int) i);
            rec = record(pool, key, "v", i + 1);
            rec->next = list;
            list = rec;
        }

        bad = ngx_rf_file_write_thread(&s->conf, list, &s->wrote, &s->removed,
                                       &s->error);
        is_int(bad, 0, "%d files in levels %d:%d:%d", (int) total,
               (int) levels[n][0], (int) levels[n][1], (int) levels[n][2]);
        is_int(ngx_rf_file_any(&s->conf), 1, "there are some");

        is_int(walk_all(s, 300, 0, &sum), total, "each is seen once");
        is_int(sum.nerrors, 0, "no errors");
        is_int(sum.n, (total + 299) / 300, "in so many slices");

        is_int(walk_all(s, 1000, total / 2, &sum), total / 2,
               "half are below the mark");
        is_int(sum.garbage, total / 2, "and are removed");
        is_int(walk_all(s, 1000, 0, &sum), total / 2, "for good");

        is_int(walk_all(s, 1000, total, &sum), 0, "all are below the mark");
        is_int(sum.garbage, total / 2, "and are removed");
        is_int(ngx_rf_file_any(&s->conf), 0, "none is left");
        is_int(count(path(s, "3")) - exists(path(s, "3/layout")), 4,
               "nor their directories");

        total = 500;
    }
}


RF_UNIT(file_walk_bytes)
{
    char                 big[10001], key[32];
    store_t             *s;
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_rf_file_walk_t   w;

    s = store(pool, 2, 2, 2);

    memset(big, 'x', 10000);
    big[10000] = '\0';

    for (i = 0; i < 10; i++) {
        sprintf(key, "%d", (int) i);
        put(s, key, big, 1);
    }

    ngx_memzero(&w, sizeof(w));
    w.bytes = 30000;
    walk(s, 100, 0, &w, &rc);
    is_int(rc, NGX_OK, "a slice by bytes");
    is_int(w.nrecords, 3, "of about so many");
    walk_free(&w);

    ngx_memzero(&w, sizeof(w));
    walk(s, 10, 0, &w, &rc);
    is_int(w.nrecords, 10, "all in a slice");
    walk_free(&w);
    walk(s, 10, 0, &w, &rc);
    is_int(rc, NGX_DONE, "no more");
    is_int(w.nrecords, 0, "at all");
}


RF_UNIT(file_walk_trouble)
{
    char                 name[600];
    store_t             *s;
    pid_t                pid;
    ngx_int_t            rc;
    ngx_uint_t           i, bad, named;
    ngx_rf_file_walk_t   w;
    struct timespec      old[2];

    s = store(pool, 2, 2, 2);

    put(s, "a", "1", 1);
    put(s, "b", "2", 2);
    put(s, "c", "3", 3);
    put(s, "d", "4", 4);

    spew(file(s, "a"), "torn", 4);
    unlink(file(s, "b"));
    mkdir(file(s, "b"), 0700);
    mkdir(path(s, "3/zz"), 0700);
    mkdir(path(s, "3/ab"), 0700);
    mkdir(path(s, "3/ab/cd"), 0700);
    symlink("/", path(s, "3/00"));
    spew(path(s, "3/notes.txt"), "x", 1);

    /* in a directory that is not its own */
    sprintf(name, "%s", path(s, "3/0c/c1/75/"));
    strcat(name, "e1671797c52e15f763380b45e841ec32.json");
    spew(name, "{}", 2);

    ngx_memzero(&w, sizeof(w));
    walk(s, 100, 0, &w, &rc);
    is_int(rc, NGX_DONE, "a walk through a mess");
    is_int(w.nrecords, 2, "finds the records");
    is_int(w.quarantined, 1, "sets aside what is none");
    is_int(w.nerrors, 4, "and reports four");

    named = 0;

    for (i = 0; i < w.nerrors; i++) {
        named += (strcmp((char *) w.errors[i].name, file(s, "a")) == 0
                  || strcmp((char *) w.errors[i].name, file(s, "b")) == 0
                  || strcmp((char *) w.errors[i].name, name) == 0
                  || strcmp((char *) w.errors[i].name, path(s, "3/00")) == 0);
    }

    is_int(named, 4, "by name");
    ok(exists(file(s, "b")), "a directory stays");
    ok(exists(name), "what is in a wrong place stays");
    ok(!exists(path(s, "3/ab")), "empty directories go");
    ok(exists(path(s, "3/zz")), "what is not ours stays");
    ok(exists(path(s, "quarantine/0cc175b9c0f1b6a831c399e269772661.json")),
       "in quarantine");
    walk_free(&w);

    /* more than are kept */

    for (i = 0; i < 40; i++) {
        sprintf(name, "bad%d", (int) i);
        put(s, name, "1", 1);
        spew(file(s, name), "torn", 4);
    }

    ngx_memzero(&w, sizeof(w));
    bad = 0;

    do {
        walk(s, 100, 0, &w, &rc);
        bad += w.quarantined;
        ok(w.nerrors <= 16, "each of %d is named", (int) w.nerrors);
        walk_free(&w);

    } while (rc == NGX_OK);

    is_int(rc, NGX_DONE, "in as many slices as it takes");
    is_int(bad, 40, "forty are set aside");

    /* temp files */

    pid = fork();

    if (pid == 0) {
        _exit(0);
    }

    waitpid(pid, NULL, 0);

    sprintf(name, "3/tmp/%d-1-x", (int) pid);
    spew(path(s, name), "x", 1);
    sprintf(name, "3/tmp/%d-1-x", (int) getpid());
    spew(path(s, name), "x", 1);
    sprintf(name, "3/tmp/%d-2-x", (int) getpid());
    spew(path(s, name), "x", 1);

    ngx_memzero(old, sizeof(old));
    old[0].tv_sec = old[1].tv_sec = time(NULL) - 7200;
    utimensat(AT_FDCWD, path(s, name), old, 0);

    ngx_memzero(&w, sizeof(w));
    walk(s, 100, 0, &w, &rc);
    walk_free(&w);
    is_int(count(path(s, "3/tmp")), 1, "stale temp files go, others do not");

    /* no database directory at all */

    s->conf.database = 9;
    ngx_memzero(&w, sizeof(w));
    walk(s, 100, 0, &w, &rc);
    is_int(rc, NGX_DONE, "nothing to walk");
    is_int(ngx_rf_file_any(&s->conf), 0, "nor any");
}


/* files are written and removed while others walk: nobody loses anything */

RF_UNIT(file_walk_races)
{
    char                 key[32];
    store_t             *s;
    pid_t                pid;
    int                  status;
    ngx_str_t            v;
    ngx_uint_t           i, n, bad;
    ngx_rf_file_walk_t   sum;

    s = store(pool, 1, 0, 0);

    pid = fork();

    if (pid == 0) {
        for (i = 0; i < 30; i++) {
            walk_all(s, 7, 1, &sum);
        }

        _exit(sum.nerrors ? 1 : 0);
    }

    bad = 0;

    for (n = 0; n < 10; n++) {
        for (i = 0; i < 20; i++) {
            sprintf(key, "%d", (int) i);
            /* garbage at once, then what must stay */
            bad += put(s, key, "old", 1);
            bad += put(s, key, "new", 2);
        }

        for (i = 0; i < 20; i++) {
            sprintf(key, "%d", (int) i);
            bad += (get(s, key, 1, &v) != NGX_OK || v.len != 3
                    || memcmp(v.data, "new", 3) != 0);
            bad += del(s, key, 2);
        }
    }

    is_int(bad, 0, "200 files, each of them garbage at first");
    waitpid(pid, &status, 0);
    is_int(status, 0, "no errors on the other side");
}


RF_UNIT(file_mark)
{
    store_t   *s;
    uint64_t   mark;

    s = store(pool, 2, 2, 2);

    mark = 7;
    is_int(ngx_rf_file_mark_read_thread(&s->conf, &mark, &s->error), NGX_OK,
           "no mark");
    is_int(mark, 0, "is none");
    is_int(ngx_rf_file_mark_write_thread(&s->conf, UINT64_MAX, &s->error),
           NGX_OK, "a mark");
    is_int(ngx_rf_file_mark_read_thread(&s->conf, &mark, &s->error), NGX_OK,
           "is read");
    ok(mark == UINT64_MAX, "as it was");
    is_int(ngx_rf_file_mark_write_thread(&s->conf, 5, &s->error), NGX_OK,
           "another");
    is_int(ngx_rf_file_mark_read_thread(&s->conf, &mark, &s->error), NGX_OK,
           "is read");
    is_int(mark, 5, "too");
    is_int(count(path(s, "3/tmp")), 0, "no temp files");

    spew(path(s, "3/mark"), "x", 1);
    is_int(ngx_rf_file_mark_read_thread(&s->conf, &mark, &s->error),
           NGX_ERROR, "a mark that is none");
    is_int(mark, 0, "is not guessed");
    spew(path(s, "3/mark"), "", 0);
    is_int(ngx_rf_file_mark_read_thread(&s->conf, &mark, &s->error),
           NGX_ERROR, "nor an empty one");
    spew(path(s, "3/mark"), "-1\n", 3);
    is_int(ngx_rf_file_mark_read_thread(&s->conf, &mark, &s->error),
           NGX_ERROR, "nor a negative one");

    unlink(path(s, "3/mark"));
    mkdir(path(s, "3/mark"), 0700);
    is_int(ngx_rf_file_mark_write_thread(&s->conf, 5, &s->error), NGX_ERROR,
           "a directory in its place");
    is_int(s->error.err, EISDIR, "is an error");
    is_int(count(path(s, "3/tmp")), 0, "no temp files");

    s->conf.database = 9;
    is_int(ngx_rf_file_mark_read_thread(&s->conf, &mark, &s->error), NGX_OK,
           "no directory");
    is_int(mark, 0, "no mark");
}


RF_UNIT(file_quarantine)
{
    char              text[4096];
    FILE             *f;
    size_t            n;
    store_t          *s;
    ngx_str_t         reason;
    ngx_rf_record_t  *rec;

    s = store(pool, 2, 2, 2);

    rec = record(pool, "a", "one", 17);
    ngx_str_set(&reason, "WRONGTYPE Operation");
    is_int(ngx_rf_file_quarantine_thread(&s->conf, rec, &reason, &s->error),
           NGX_OK, "set aside");

    f = fopen(path(s, "quarantine/0cc175b9c0f1b6a831c399e269772661-17.json"),
              "r");
    ok(f != NULL, "it is there");

    if (f) {
        n = fread(text, 1, sizeof(text) - 1, f);
        text[n] = '\0';
        ok(strstr(text, "\"reason\":\"WRONGTYPE Operation\"") != NULL,
           "with its reason");
        ok(strstr(text, "\"data\":\"one\"") != NULL, "and its data");
        fclose(f);
    }

    is_int(ngx_rf_file_quarantine_thread(&s->conf, rec, &reason, &s->error),
           NGX_OK, "again");
    is_int(count(path(s, "quarantine")), 1, "the same one");
    is_int(count(path(s, "3/tmp")), 0, "no temp files");
}


RF_UNIT(file_lock)
{
    store_t    *s;
    ngx_fd_t    one, two;

    s = store(pool, 2, 2, 2);

    is_int(ngx_rf_file_lock(&s->conf, &one, &s->error), NGX_OK, "the lock");
    ok(fcntl(one, F_GETFD) & FD_CLOEXEC, "ends with exec()");
    is_int(ngx_rf_file_lock(&s->conf, &two, &s->error), NGX_BUSY,
           "is held");
    is_int(two, NGX_INVALID_FILE, "no second");
    close(one);
    is_int(ngx_rf_file_lock(&s->conf, &two, &s->error), NGX_OK,
           "and let go");
    close(two);

    unlink(path(s, "lock"));
    symlink(path(s, "victim"), path(s, "lock"));
    is_int(ngx_rf_file_lock(&s->conf, &two, &s->error), NGX_ERROR,
           "a symlink is no lock");
    ok(!exists(path(s, "victim")), "and not followed");

    ngx_str_set(&s->conf.path, "/nonexistent/path");
    is_int(ngx_rf_file_lock(&s->conf, &two, &s->error), NGX_ERROR, "no path");
    is_int(s->error.err, ENOENT, "is an error");
}


RF_UNIT(file_prepare)
{
    char         *dir;
    store_t      *s;
    struct stat   st;
    uid_t         uid;

    s = store(pool, 2, 2, 2);

    s->conf.path.data = (u_char *) path(s, "some/where/deep");
    s->conf.path.len = strlen((char *) s->conf.path.data);

    uid = geteuid() ? (uid_t) -1 : 65534;

    is_int(ngx_rf_file_prepare(&s->conf, uid, uid, &s->error), NGX_OK,
           "three directories deep");
    is_int(stat(path(s, ""), &st), 0, "it is there");
    is_int(st.st_mode & 0777, 0700, "private");
    ok(uid == (uid_t) -1 || st.st_uid == uid, "and the worker's");
    is_int(stat(path(s, ".."), &st), 0, "its parent");
    is_int(st.st_mode & 0777, 0755, "is not private");
    ok(uid == (uid_t) -1 || st.st_uid == 0, "nor the worker's");
    is_int(stat(path(s, "3/tmp"), &st), 0, "with what belongs into it");
    ok(uid == (uid_t) -1 || st.st_uid == uid, "the worker's, too");
    is_int(stat(path(s, "quarantine"), &st), 0, "quarantine");
    is_int(ngx_rf_file_prepare(&s->conf, uid, uid, &s->error), NGX_OK,
           "again");

    if (uid != (uid_t) -1) {

        /* what another user left behind, and what is not to be given away */

        put(s, "a", "one", 1);
        put(s, "b", "one", 1);
        spew(path(s, "secret"), "x", 1);
        link(path(s, "secret"), path(s, "3/0c/secret.json"));
        spew(path(s, "3/0c/0secret"), "x", 1);
        symlink(path(s, "secret"),
                path(s, "3/0c/00000000000000000000000000000000.json"));
        link(path(s, "secret"),
             path(s, "3/0c/00000000000000000000000000000001.json"));
        is_int(chown(path(s, "3"), 12345, 12345), 0, "another's database");
        is_int(ngx_rf_file_prepare(&s->conf, uid, uid, &s->error), NGX_OK,
               "is taken over");
        stat(file(s, "a"), &st);
        is_int(st.st_uid, uid, "with its files");
        stat(path(s, "3/0c/c1"), &st);
        is_int(st.st_uid, uid, "and directories");
        stat(path(s, "secret"), &st);
        is_int(st.st_uid, 0, "but not through links");

        dir = path(s, "3/tmp");
        rmdir(dir);
        symlink("/etc", dir);
        is_int(ngx_rf_file_prepare(&s->conf, uid, uid, &s->error), NGX_ERROR,
               "a symlink in place of tmp");
        stat("/etc", &st);
        is_int(st.st_uid, 0, "is not followed");
    }

    spew(path(s, "plain"), "x", 1);
    s->conf.path.data = (u_char *) path(s, "plain");
    s->conf.path.len = strlen((char *) s->conf.path.data);
    is_int(ngx_rf_file_prepare(&s->conf, -1, -1, &s->error), NGX_ERROR,
           "a file in place of the path");
    is_int(s->error.err, ENOTDIR, "is an error");
}


/* after "levels" was changed, what is in the old places is found */

RF_UNIT(file_levels)
{
    char                 key[32];
    store_t             *s;
    ngx_str_t            v;
    ngx_int_t            rc;
    ngx_uint_t           i, n, bad;
    ngx_rf_file_walk_t   sum, w;

    static const ngx_uint_t  levels[][3] = {
        { 2, 2, 2 }, { 1, 2, 0 }, { 2, 0, 0 }, { 2, 1, 1 }, { 0, 0, 0 },
        { 2, 2, 2 }
    };

    s = store(pool, 2, 2, 2);

    for (i = 0; i < 50; i++) {
        sprintf(key, "%d", (int) i);
        put(s, key, "v", i + 1);
    }

    for (n = 1; n < 6; n++) {
        memcpy(s->conf.levels, levels[n], sizeof(levels[n]));

        is_int(ngx_rf_file_prepare(&s->conf, -1, -1, &s->error), NGX_OK,
               "levels %d:%d:%d", (int) levels[n][0], (int) levels[n][1],
               (int) levels[n][2]);
        is_int(ngx_rf_file_any(&s->conf), 1, "there may be files");

        if (n == 2) {
            /* one that was written since is newer, one is older */
            put(s, "7", "newer", 1000);
            put(s, "8", "older", 1);
        }

        is_int(walk_all(s, 1000, 0, &sum), 50, "all are found");
        is_int(sum.nerrors, 0, "without errors");

        bad = 0;

        for (i = 0; i < 50; i++) {
            sprintf(key, "%d", (int) i);
            bad += (get(s, key, 0, &v) != NGX_OK);
        }

        is_int(bad, 0, "and are where they belong");
        is_value(s, "7", n < 2 ? "v" : "newer");
        is_value(s, "8", "v");
    }

    /* one that cannot be moved does not keep the others waiting */

    memcpy(s->conf.levels, levels[1], sizeof(levels[1]));
    ngx_rf_file_prepare(&s->conf, -1, -1, &s->error);
    mkdir(path(s, "3/8"), 0700);
    mkdir(path(s, "3/8/f1"), 0700);
    mkdir(path(s, "3/8/f1/8f14e45fceea167a5a36dedd4bea2543.json"), 0700);
    symlink("/", path(s, "3/ff"));
    ngx_memzero(&w, sizeof(w));
    walk(s, 1000, 0, &w, &rc);
    is_int(w.nrecords, 49, "a directory is in the way of one");
    is_int(w.unread, 1, "which is said");
    walk_free(&w);
    rmdir(path(s, "3/8/f1/8f14e45fceea167a5a36dedd4bea2543.json"));
    is_int(walk_all(s, 1000, 0, &sum), 50, "and moved the next time");
    unlink(path(s, "3/ff"));

    /* not walked in between */

    memcpy(s->conf.levels, levels[1], sizeof(levels[1]));
    ngx_rf_file_prepare(&s->conf, -1, -1, &s->error);
    put(s, "60", "v", 1);
    memcpy(s->conf.levels, levels[2], sizeof(levels[2]));
    ngx_rf_file_prepare(&s->conf, -1, -1, &s->error);
    put(s, "61", "v", 1);
    memcpy(s->conf.levels, levels[3], sizeof(levels[3]));
    ngx_rf_file_prepare(&s->conf, -1, -1, &s->error);
    is_int(walk_all(s, 1000, 0, &sum), 52, "of three layouts at once");
    is_int(walk_all(s, 1000, 1000, &sum), 0, "all garbage now");
    is_int(ngx_rf_file_any(&s->conf), 0, "none is left");
}


static store_t *
store(ngx_pool_t *pool, ngx_uint_t one, ngx_uint_t two, ngx_uint_t three)
{
    store_t  *s;

    s = ngx_pcalloc(pool, sizeof(store_t));

    s->pool = pool;
    s->conf.path.data = (u_char *) rf_unit_dir(pool);
    s->conf.path.len = ngx_strlen(s->conf.path.data);
    s->conf.levels[0] = one;
    s->conf.levels[1] = two;
    s->conf.levels[2] = three;
    s->conf.database = 3;

    if (ngx_rf_file_prepare(&s->conf, -1, -1, &s->error) != NGX_OK) {
        ok(0, "a store: %s \"%s\": %s", s->error.what, s->error.name,
           strerror(s->error.err));
    }

    /* as after the first walk */

    if (one != 2 || two != 2 || three != 2) {
        walk_all(s, 1, 0, NULL);
    }

    return s;
}


static ngx_rf_record_t *
record(ngx_pool_t *pool, const char *key, const char *value,
    uint64_t version)
{
    ngx_rf_record_t  *rec;

    rec = ngx_pcalloc(pool, sizeof(ngx_rf_record_t));

    rec->key.len = strlen(key);
    rec->key.data = ngx_pnalloc(pool, rec->key.len + 1);
    memcpy(rec->key.data, key, rec->key.len + 1);

    rec->values = ngx_pcalloc(pool, sizeof(ngx_str_t));
    rec->values[0].len = strlen(value);
    rec->values[0].data = ngx_pnalloc(pool, rec->values[0].len + 1);
    memcpy(rec->values[0].data, value, rec->values[0].len + 1);
    rec->nvalues = 1;

    rec->type = NGX_RF_STRING;
    rec->pending = NGX_RF_REPLACE;
    rec->complete = 1;
    rec->version = version;
    rec->changed = 1700000000000;

    return rec;
}


/* both return the number of failures */

static ngx_uint_t
put(store_t *s, const char *key, const char *value, uint64_t version)
{
    return ngx_rf_file_write_thread(&s->conf,
                                    record(s->pool, key, value, version),
                                    &s->wrote, &s->removed, &s->error);
}


static ngx_uint_t
del(store_t *s, const char *key, uint64_t version)
{
    ngx_rf_record_t  *rec;

    rec = record(s->pool, key, "", version);
    rec->remove = 1;

    return ngx_rf_file_write_thread(&s->conf, rec, &s->wrote, &s->removed,
                                    &s->error);
}


static ngx_int_t
get(store_t *s, const char *key, uint64_t mark, ngx_str_t *value)
{
    ngx_int_t         rc;
    ngx_str_t         k;
    ngx_rf_record_t  *rec;

    k.data = (u_char *) key;
    k.len = strlen(key);

    rc = ngx_rf_file_read_thread(&s->conf, &k, mark, &rec, &s->error);

    if (rc == NGX_OK) {
        value->len = rec->values[0].len;
        value->data = ngx_pnalloc(s->pool, value->len);
        memcpy(value->data, rec->values[0].data, value->len);
        free(rec);
    }

    return rc;
}


static ngx_uint_t
is_value(store_t *s, const char *key, const char *value)
{
    ngx_str_t  v;

    if (get(s, key, 0, &v) != NGX_OK) {
        return ok(0, "\"%s\" is \"%s\"", key, value);
    }

    return is_str(&v, value, strlen(value), "\"%s\" is \"%s\"", key, value);
}


static ngx_rf_file_walk_t *
walk(store_t *s, ngx_uint_t n, uint64_t mark, ngx_rf_file_walk_t *w,
    ngx_int_t *rc)
{
    w->n = n;
    w->mark = mark;
    *rc = ngx_rf_file_walk_thread(&s->conf, w);

    return w;
}


/* returns the records found, 0 if they were not in order; sum->n: slices */

static ngx_uint_t
walk_all(store_t *s, ngx_uint_t n, uint64_t mark, ngx_rf_file_walk_t *sum)
{
    char                 last[33], *name;
    ngx_int_t            rc;
    ngx_uint_t           total, slices, garbage, errors, bad;
    ngx_rf_record_t     *rec;
    ngx_rf_file_walk_t   w;

    ngx_memzero(&w, sizeof(w));
    ngx_memzero(last, sizeof(last));
    total = slices = garbage = errors = bad = 0;

    do {
        walk(s, n, mark, &w, &rc);

        for (rec = w.records; rec; rec = rec->next) {
            name = file(s, text(s, &rec->key));
            name += strlen(name) - 37;
            bad += (memcmp(name, last, 32) <= 0);
            memcpy(last, name, 32);
            total++;
        }

        garbage += w.garbage;
        errors += w.nerrors;
        slices += (w.nrecords || w.garbage);
        walk_free(&w);

    } while (rc == NGX_OK);

    if (sum) {
        ngx_memzero(sum, sizeof(*sum));
        sum->garbage = garbage;
        sum->nerrors = errors;
        sum->n = slices;
    }

    return (rc == NGX_DONE && bad == 0) ? total : (ngx_uint_t) -1;
}


static void
walk_free(ngx_rf_file_walk_t *w)
{
    ngx_rf_record_t  *rec;

    while (w->records) {
        rec = w->records;
        w->records = rec->next;
        free(rec);
    }
}


static char *
text(store_t *s, ngx_str_t *v)
{
    char  *p;

    p = ngx_pnalloc(s->pool, v->len + 1);
    memcpy(p, v->data, v->len);
    p[v->len] = '\0';

    return p;
}


static char *
path(store_t *s, const char *below)
{
    u_char  *p;

    p = ngx_pcalloc(s->pool, s->conf.path.len + strlen(below) + 2);
    ngx_sprintf(p, "%V/%s", &s->conf.path, below);

    return (char *) p;
}


static char *
file(store_t *s, const char *key)
{
    char        below[128], *p;
    u_char      digest[16], hex[33];
    ngx_uint_t  i;
    ngx_md5_t   md5;
    u_char     *from;

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, key, strlen(key));
    ngx_md5_final(digest, &md5);
    *ngx_hex_dump(hex, digest, 16) = '\0';

    p = below + sprintf(below, "%d/", (int) s->conf.database);
    from = hex;

    for (i = 0; i < 3; i++) {
        if (s->conf.levels[i]) {
            p += sprintf(p, "%.*s/", (int) s->conf.levels[i], from);
            from += s->conf.levels[i];
        }
    }

    sprintf(p, "%s.json", hex);

    return path(s, below);
}


static ngx_uint_t
spew(const char *name, const char *text, size_t len)
{
    FILE  *f;

    f = fopen(name, "w");

    if (f == NULL) {
        return ok(0, "writing %s", name);
    }

    fwrite(text, 1, len, f);

    return fclose(f) == 0;
}


static ngx_uint_t
exists(const char *name)
{
    struct stat  st;

    return lstat(name, &st) == 0;
}


static ngx_uint_t
count(const char *dir)
{
    DIR            *d;
    ngx_uint_t      n;
    struct dirent  *de;

    d = opendir(dir);
    n = 0;

    while (d && (de = readdir(d)) != NULL) {
        n += (de->d_name[0] != '.');
    }

    if (d) {
        closedir(d);
    }

    return n;
}
