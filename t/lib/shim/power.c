/*
 * The file and journal rooms without what is around them, for
 * t/lib/PowerCut.pm: a library that is preloaded to an nginx, for its strings
 * and checksums, and runs instead of its main().  POWER in the environment says
 * what:
 *
 *     work DIR SEED STEPS     writes as nginx does (journal, files,
 *                             acknowledgements, marks, generations), and says
 *                             what was promised when
 *     oracle                  for each directory named on a line of its input:
 *                             what a start would find there
 *
 * Promises are lines "ack NS KEY VERSION LENGTH": from then on (it is
 * CLOCK_MONOTONIC) that version, or a later one, is to be found; "redis NS KEY
 * VERSION": Redis has it, so nothing older may be found, and nothing need be;
 * "done NS KEY VERSION": not even that version may be, it would be replayed
 * over newer ones.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_file.h"
#include "ngx_rf_journal.h"


#define POWER_KEYS      48
#define POWER_JOURNALS  2


typedef struct {
    char                  name[32];
    uint64_t              version;      /* 0: never written */
    uint64_t              log;          /* version in the journal, 0: none */
    ngx_uint_t            generation;   /* of that */
    uint64_t              file;
    unsigned              pending:1;
    unsigned              acked:1;      /* and the journal says so */
    unsigned              used:1;       /* by this batch */
} power_key_t;


typedef struct {
    ngx_rf_file_conf_t    conf;
    power_key_t           keys[POWER_KEYS];
    ngx_rf_journal_t      journals[POWER_JOURNALS];
    uint64_t              seq;
    uint64_t              segment;
    uint64_t              base;
    uint64_t              mark;
    ngx_uint_t            generation;
    ngx_uint_t            failed;
} power_t;


static uint64_t
power_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}


static size_t
power_len(uint64_t version)
{
    return version % 11 == 0 ? version * 7919 % 9000 : version * 7919 % 300;
}


static ngx_rf_record_t *
power_record(power_key_t *k, uint64_t version, ngx_uint_t removed)
{
    int               n;
    char             *value;
    size_t            len;
    ngx_rf_record_t  *rec;

    len = power_len(version);

    rec = calloc(1, sizeof(ngx_rf_record_t) + sizeof(ngx_str_t) + len + 64);
    if (rec == NULL) {
        abort();
    }

    rec->key.data = (u_char *) k->name;
    rec->key.len = strlen(k->name);
    rec->type = NGX_RF_STRING;
    rec->pending = NGX_RF_REPLACE;
    rec->version = version;
    rec->changed = 1700000000000;
    rec->complete = 1;
    rec->remove = removed;
    rec->nvalues = 1;
    rec->values = (ngx_str_t *) (rec + 1);

    value = (char *) (rec->values + 1);
    n = sprintf(value, "%s:%llu:", k->name, (unsigned long long) version);
    memset(value + n, 'x', len);

    rec->values[0].data = (u_char *) value;
    rec->values[0].len = n + len;

    return rec;
}


static void
power_free(ngx_rf_record_t *list)
{
    ngx_rf_record_t  *next;

    for ( /* void */ ; list; list = next) {
        next = list->next;
        free(list);
    }
}


static power_key_t *
power_find(power_t *p, ngx_rf_record_t *rec)
{
    ngx_uint_t  i;

    for (i = 0; i < POWER_KEYS; i++) {
        if ((char *) rec->key.data == p->keys[i].name) {
            return &p->keys[i];
        }
    }

    abort();
}


static void
power_said(const char *what, power_key_t *k, uint64_t version)
{
    printf("%s %llu %s %llu %u\n", what, (unsigned long long) power_now(),
           k->name, (unsigned long long) version,
           (unsigned) power_len(version));
    fflush(stdout);
}


static void
power_complain(power_t *p, ngx_rf_file_error_t *error)
{
    p->failed++;
    printf("# %s \"%s\": %s\n", error->what, error->name,
           strerror(error->err));
}


/* one batch to the journal: new values, or with "acks" what Redis has */

static ngx_uint_t
power_log(power_t *p, ngx_rf_record_t *list)
{
    ngx_int_t                rc;
    power_key_t             *k;
    ngx_rf_record_t         *rec;
    ngx_rf_file_error_t      error;
    ngx_rf_journal_batch_t   batch;

    if (list == NULL) {
        return 1;
    }

    memset(&batch, 0, sizeof(batch));
    batch.number = ++p->segment;
    batch.base = p->base;
    batch.seq = p->seq;
    batch.generation = p->generation;
    batch.records = list;

    rc = ngx_rf_journal_append_thread(&p->journals[rand() % POWER_JOURNALS],
                                      &p->conf, &batch, &error);

    if (rc != NGX_OK) {
        power_complain(p, &error);
    }

    for (rec = list; rec && rc == NGX_OK; rec = rec->next) {
        k = power_find(p, rec);
        k->generation = p->generation;

        if (rec->remove) {
            k->acked = 1;
            power_said("done", k, rec->version);

        } else {
            k->log = rec->version;
            power_said("ack", k, rec->version);
        }
    }

    power_free(list);

    return rc == NGX_OK;
}


/* some keys that the handler takes, or all */

static ngx_rf_record_t *
power_some(power_t *p, ngx_uint_t n, ngx_rf_record_t *(*take)(power_t *p,
    power_key_t *k))
{
    ngx_uint_t        i, at;
    ngx_rf_record_t  *list, **last;

    list = NULL;
    last = &list;
    at = rand() % POWER_KEYS;

    for (i = 0; i < POWER_KEYS && n; i++) {
        *last = take(p, &p->keys[(at + i * 7) % POWER_KEYS]);

        if (*last) {
            last = &(*last)->next;
            n--;
        }
    }

    return list;
}


static ngx_rf_record_t *
power_take_new(power_t *p, power_key_t *k)
{
    if (rand() % 2) {
        return NULL;
    }

    k->version = ++p->seq;
    k->pending = 1;
    k->acked = 0;

    return power_record(k, k->version, 0);
}


/* to be journaled again, after a failure or in a new generation */

static ngx_rf_record_t *
power_take_old(power_t *p, power_key_t *k)
{
    if (k->pending && k->file != k->version
        && (k->log != k->version || k->generation != p->generation))
    {
        return power_record(k, k->version, 0);
    }

    return NULL;
}


static ngx_rf_record_t *
power_take_ack(power_t *p, power_key_t *k)
{
    if (k->pending || k->version <= p->mark
        || (k->log == 0 && k->file == 0))
    {
        return NULL;
    }

    if (k->acked && (k->generation == p->generation || k->file == 0)) {
        return NULL;
    }

    return power_record(k, k->version, 1);
}


static ngx_rf_record_t *
power_take_dirty(power_t *p, power_key_t *k)
{
    (void) p;

    if (k->pending) {
        return (k->log == k->version && k->file != k->version)
               ? power_record(k, k->version, 0) : NULL;
    }

    return (k->file && (k->acked || k->version <= p->mark))
           ? power_record(k, k->version, 1) : NULL;
}


static void
power_files(power_t *p, ngx_uint_t n)
{
    ngx_uint_t            wrote, removed;
    power_key_t          *k;
    ngx_rf_record_t      *list, *rec;
    ngx_rf_file_error_t   error;

    list = power_some(p, n, power_take_dirty);

    if (list == NULL) {
        return;
    }

    if (ngx_rf_file_write_thread(&p->conf, list, &wrote, &removed, &error)) {
        power_complain(p, &error);
    }

    for (rec = list; rec; rec = rec->next) {
        k = power_find(p, rec);

        if (rec->status == NGX_OK) {
            k->file = rec->remove ? 0 : rec->version;

        } else if (rec->filed && k->file == 0) {
            k->file = 1;
        }
    }

    power_free(list);
}


static void
power_redis(power_t *p, ngx_uint_t n)
{
    ngx_uint_t    i;
    power_key_t  *k;

    for (i = 0; i < POWER_KEYS && n; i++) {
        k = &p->keys[i];

        if (k->pending && k->log == k->version && rand() % 3) {
            k->pending = 0;
            power_said("redis", k, k->version);
            n--;
        }
    }
}


static void
power_mark(power_t *p)
{
    ngx_uint_t            i;
    ngx_rf_file_error_t   error;

    power_redis(p, POWER_KEYS);

    for (i = 0; i < POWER_KEYS; i++) {
        if (p->keys[i].pending) {
            return;
        }
    }

    if (ngx_rf_file_mark_write_thread(&p->conf, p->seq, &error) == NGX_OK) {
        p->mark = p->seq;

        for (i = 0; i < POWER_KEYS; i++) {
            if (p->keys[i].version) {
                power_said("done", &p->keys[i], p->keys[i].version);
            }
        }

    } else {
        power_complain(p, &error);
    }
}


static void
power_turn(power_t *p)
{
    uint64_t                 turn;
    ngx_rf_file_error_t      error;
    ngx_rf_journal_batch_t   batch;

    turn = p->segment + 1;
    p->generation++;

    if (!power_log(p, power_some(p, POWER_KEYS, power_take_old))
        || !power_log(p, power_some(p, POWER_KEYS, power_take_ack)))
    {
        return;
    }

    memset(&batch, 0, sizeof(batch));
    batch.number = ++p->segment;
    batch.base = turn;
    batch.seq = p->seq;
    batch.generation = p->generation;

    if (ngx_rf_journal_base_thread(&p->journals[rand() % POWER_JOURNALS],
                                   &p->conf, &batch, &error)
        == NGX_OK)
    {
        p->base = turn;

    } else {
        power_complain(p, &error);
    }
}


static void
power_conf(ngx_rf_file_conf_t *conf, char *dir)
{
    memset(conf, 0, sizeof(*conf));

    conf->path.data = (u_char *) dir;
    conf->path.len = strlen(dir);
    conf->levels[0] = 2;
    conf->levels[1] = 2;
    conf->levels[2] = 2;
}


static int
power_work(char *dir, unsigned seed, int steps)
{
    int                   i;
    power_t               p;
    ngx_rf_file_error_t   error;

    memset(&p, 0, sizeof(p));
    memset(&error, 0, sizeof(error));
    power_conf(&p.conf, dir);
    srand(seed);

    for (i = 0; i < POWER_KEYS; i++) {
        sprintf(p.keys[i].name, "key%d", i);
    }

    for (i = 0; i < POWER_JOURNALS; i++) {
        ngx_rf_journal_init(&p.journals[i]);
    }

    p.generation = 1;

    for (i = 0; ngx_rf_file_prepare(&p.conf, (uid_t) -1, (gid_t) -1, &error)
                != NGX_OK; i++)
    {
        power_complain(&p, &error);

        if (i == 10) {
            return 1;
        }
    }

    for (i = 0; i < steps; i++) {
        switch (rand() % 16) {

        case 0: case 1: case 2: case 3: case 4: case 5:
            power_log(&p, power_some(&p, 1 + rand() % 8, power_take_new));
            break;

        case 6:
            power_log(&p, power_some(&p, 8, power_take_old));
            break;

        case 7: case 8: case 9:
            power_files(&p, rand() % 5 ? 1 + rand() % 5 : 40);
            break;

        case 10: case 11:
            power_redis(&p, 1 + rand() % 12);
            break;

        case 12: case 13:
            power_log(&p, power_some(&p, 12, power_take_ack));
            break;

        case 14:
            power_mark(&p);
            break;

        case 15:
            power_turn(&p);
            break;
        }
    }

    printf("end %llu %u\n", (unsigned long long) power_now(),
           (unsigned) p.failed);

    return 0;
}


/* the oracle */

typedef struct power_found_s  power_found_t;

struct power_found_s {
    power_found_t        *next;
    ngx_rf_record_t      *rec;
    uint64_t              acked;        /* with rec NULL or not */
    size_t                len;
    char                  key[256];
};


static power_found_t *
power_lookup(power_found_t **all, ngx_str_t *key)
{
    power_found_t  *f;

    for (f = *all; f; f = f->next) {
        if (f->len == key->len && memcmp(f->key, key->data, f->len) == 0) {
            return f;
        }
    }

    f = calloc(1, sizeof(power_found_t));
    if (f == NULL || key->len > sizeof(f->key)) {
        abort();
    }

    f->len = key->len;
    memcpy(f->key, key->data, key->len);
    f->next = *all;
    *all = f;

    return f;
}


static void
power_take(power_found_t **all, ngx_rf_record_t *list)
{
    power_found_t    *f;
    ngx_rf_record_t  *rec, *next;

    for (rec = list; rec; rec = next) {
        next = rec->next;

        f = power_lookup(all, &rec->key);

        if (rec->remove) {
            f->acked = ngx_max(f->acked, rec->version);
            free(rec);

        } else if (f->rec == NULL || f->rec->version < rec->version) {
            free(f->rec);
            f->rec = rec;

        } else {
            free(rec);
        }
    }
}


static void
power_print(ngx_str_t *s)
{
    size_t  i;

    putchar('\t');

    for (i = 0; i < s->len; i++) {
        if (s->data[i] <= ' ' || s->data[i] > '~' || s->data[i] == '\\') {
            printf("\\x%02x", s->data[i]);

        } else {
            putchar(s->data[i]);
        }
    }
}


static void
power_problem(ngx_rf_file_error_t *error)
{
    printf("E\t%s \"%s\" (%d)\n", error->what, error->name, error->err);
}


static void
power_journal(ngx_rf_file_conf_t *conf, uint64_t mark, power_found_t **all)
{
    ngx_int_t               rc;
    ngx_uint_t              i, acks;
    ngx_rf_journal_read_t   rd;

    for (acks = 0; acks < 2; acks++) {
        memset(&rd, 0, sizeof(rd));
        rd.mark = mark;
        rd.n = 64;
        rd.acks = acks;

        do {
            rc = ngx_rf_journal_read_thread(conf, &rd, 0);

            for (i = 0; i < rd.nerrors; i++) {
                power_problem(&rd.errors[i]);
            }

            power_take(all, rd.records);
            rd.records = NULL;

        } while (rc == NGX_OK);

        if (rc == NGX_ERROR || rd.unread || rd.damaged) {
            printf("E\tjournal: rc %d, %d unread, %d damaged\n", (int) rc,
                   (int) rd.unread, (int) rd.damaged);
        }

        if (!acks) {
            printf("J\t%llu\t%llu\t%llu\t%d\n", (unsigned long long) rd.base,
                   (unsigned long long) rd.seq, (unsigned long long) rd.next,
                   (int) rd.torn);
        }

        ngx_rf_journal_read_end(&rd);
    }
}


static void
power_walk(ngx_rf_file_conf_t *conf, uint64_t mark, power_found_t **all)
{
    ngx_int_t            rc;
    ngx_uint_t           i;
    ngx_rf_file_walk_t   walk;

    memset(&walk, 0, sizeof(walk));
    walk.mark = mark;

    do {
        walk.n = 64;
        rc = ngx_rf_file_walk_thread(conf, &walk);

        for (i = 0; i < walk.nerrors && i < 16; i++) {
            power_problem(&walk.errors[i]);
        }

        if (walk.unread || walk.quarantined || rc == NGX_ERROR) {
            printf("E\tfiles: rc %d, %d unread, %d quarantined\n", (int) rc,
                   (int) walk.unread, (int) walk.quarantined);
        }

        if (walk.garbage) {
            printf("G\t%d\n", (int) walk.garbage);
        }

        power_take(all, walk.records);

    } while (rc == NGX_OK);
}


static void
power_state(char *dir)
{
    uint64_t              mark;
    ngx_uint_t            i, k;
    power_found_t        *all, *f, *next;
    ngx_rf_file_conf_t    conf;
    ngx_rf_file_error_t   error;

    power_conf(&conf, dir);
    memset(&error, 0, sizeof(error));
    all = NULL;

    if (ngx_rf_file_prepare(&conf, (uid_t) -1, (gid_t) -1, &error) != NGX_OK) {
        power_problem(&error);
    }

    if (ngx_rf_file_mark_read_thread(&conf, &mark, &error) != NGX_OK) {
        power_problem(&error);
    }

    printf("M\t%llu\n", (unsigned long long) mark);

    power_journal(&conf, mark, &all);
    power_walk(&conf, mark, &all);

    for (f = all; f; f = next) {
        next = f->next;

        if (f->rec && f->rec->version > f->acked) {
            printf("K");
            power_print(&f->rec->key);
            printf("\t%llu\t%d\t%d", (unsigned long long) f->rec->version,
                   (int) f->rec->pending, (int) f->rec->type);

            for (i = 0; i < f->rec->nvalues; i++) {
                power_print(&f->rec->values[i]);
            }

            for (i = 0; i < f->rec->nchanges; i++) {
                printf("\t|");

                for (k = 0; k < f->rec->changes[i].argc; k++) {
                    power_print(&f->rec->changes[i].argv[k]);
                }
            }

            putchar('\n');
        }

        free(f->rec);
        free(f);
    }

    puts(".");
    fflush(stdout);
}


static int
power_oracle(void)
{
    char    line[4096];
    size_t  len;

    while (fgets(line, sizeof(line), stdin)) {
        len = strcspn(line, "\n");
        line[len] = '\0';
        power_state(line);
    }

    return 0;
}


__attribute__((constructor)) static void
power_main(void)
{
    int        n, code, steps;
    char      *what, dir[2048];
    unsigned   seed;

    what = getenv("POWER");

    if (what == NULL) {
        return;
    }

    ngx_pid = ngx_getpid();
    ngx_cacheline_size = 64;

    n = sscanf(what, "work %2047s %u %d", dir, &seed, &steps);

    if (n == 3) {
        code = power_work(dir, seed, steps);

    } else if (strcmp(what, "oracle") == 0) {
        code = power_oracle();

    } else {
        fprintf(stderr, "POWER=\"%s\"?\n", what);
        code = 2;
    }

    fflush(stdout);
    _exit(code);
}
