/*
 * Workers are killed in the middle of changes, over and over.  A child runs
 * random commands and keeps a model of what was acknowledged in shared memory;
 * the parent kills it, frees the mutex as nginx does, and compares.
 *
 * RF_UNIT_KILLS in the environment: how often.
 */

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "rf_unit.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "sound.h"


#define SALVAGE_KILLS  300
#define SALVAGE_KEYS   200
#define SALVAGE_LEN    64


typedef struct {
    int64_t           number;   /* of keys that count */
    ngx_uint_t        len;      /* 0: absent */
    char              value[SALVAGE_LEN];
} salvage_key_t;

/* phase 1: the command runs, next[] says how its keys will be; 2: it was
 * acknowledged, next[] is being copied to keys[] */

typedef struct {
    volatile ngx_uint_t  phase;
    volatile ngx_uint_t  commands;
    volatile ngx_uint_t  errors;
    ngx_uint_t           nnext;
    ngx_uint_t           next[8];
    salvage_key_t        after[8];
    salvage_key_t        keys[SALVAGE_KEYS];
} salvage_model_t;

typedef struct {
    ngx_pool_t       *pool;
    ngx_log_t        *log;
    ngx_rf_zone_t     zone;
    salvage_model_t  *model;
    uint64_t          random;
} salvage_t;


static ngx_uint_t salvage_start(salvage_t *s, ngx_pool_t *pool,
    ngx_log_t *log);
static uint64_t salvage_random(salvage_t *s, uint64_t n);
static void salvage_child(salvage_t *s);
static void salvage_command(salvage_t *s, ngx_pool_t *pool);
static void salvage_other(salvage_t *s);
static void salvage_learn(salvage_t *s);
static ngx_uint_t salvage_exec(salvage_t *s, ngx_pool_t *pool,
    ngx_uint_t argc, char **argv, ngx_rf_reply_t **reply);
static void salvage_next(salvage_t *s, ngx_uint_t key, const char *value);
static void salvage_copy(salvage_t *s);
static ngx_uint_t salvage_check(salvage_t *s);
static ngx_uint_t salvage_is(salvage_t *s, ngx_pool_t *pool, ngx_uint_t i,
    salvage_key_t *k);


RF_UNIT(salvage_killed_workers)
{
    int              status;
    char            *env;
    pid_t            pid;
    salvage_t        s;
    ngx_log_t        quiet;
    ngx_uint_t       i, n, wrong, unsound;

    if (!salvage_start(&s, pool, log)) {
        return;
    }

    env = getenv("RF_UNIT_KILLS");
    n = env ? (ngx_uint_t) atoi(env) : SALVAGE_KILLS;

    wrong = 0;
    unsound = 0;

    quiet = *log;
    quiet.log_level = NGX_LOG_EMERG;
    s.zone.log = &quiet;

    for (i = 0; i < n && wrong == 0 && unsound == 0; i++) {

        pid = fork();

        if (pid == 0) {
            salvage_child(&s);
        }

        /* at least one command each, so that all of them get somewhere */

        usleep(300 + (unsigned) salvage_random(&s, 3000));

        kill(pid, SIGKILL);
        (void) waitpid(pid, &status, 0);

        (void) ngx_shmtx_force_unlock(&s.zone.shpool->mutex, pid);

        /* as a new leader does */

        ngx_rf_zone_replay_reset(&s.zone);
        ngx_rf_zone_reclaim(&s.zone);

        wrong = salvage_check(&s);
        unsound = !sound_zone(&s.zone, 1);
    }

    is_int(wrong, 0, "%d kills: all that was acknowledged is there",
           (int) i);
    is_int(unsound, 0, "and the zone is sound");
    is_int(s.model->errors, 0, "no command failed");
    ok(s.model->commands > n, "%d commands were run",
       (int) s.model->commands);
    ok(s.zone.sh->rebuilds > 0, "the zone was rebuilt %d times",
       (int) s.zone.sh->rebuilds);
}


static ngx_uint_t
salvage_start(salvage_t *s, ngx_pool_t *pool, ngx_log_t *log)
{
    ngx_shm_zone_t  *shm;

    ngx_memzero(s, sizeof(salvage_t));

    s->pool = pool;
    s->log = log;
    s->random = (uint64_t) time(NULL) * 0x9e3779b97f4a7c15ULL + 1;

    s->model = mmap(NULL, sizeof(salvage_model_t), PROT_READ|PROT_WRITE,
                    MAP_ANON|MAP_SHARED, -1, 0);
    if (s->model == MAP_FAILED) {
        return 0;
    }

    shm = rf_unit_shm(pool, log, 1024 * 1024);

    ngx_str_set(&s->zone.name, "app");
    s->zone.files = 1;
    ngx_memset(s->zone.path_sha1, 7, 20);
    shm->data = &s->zone;

    if (!ok(ngx_rf_zone_init(shm, NULL) == NGX_OK, "a zone")) {
        return 0;
    }

    return 1;
}


static uint64_t
salvage_random(salvage_t *s, uint64_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;

    return (s->random >> 11) % n;
}


static void
salvage_child(salvage_t *s)
{
    ngx_pool_t  *pool;

    ngx_pid = getpid();
    s->random += (uint64_t) ngx_pid << 20;

    for ( ;; ) {
        pool = ngx_create_pool(1024, s->log);

        if (salvage_random(s, 4)) {
            salvage_command(s, pool);

        } else {
            salvage_other(s);
        }

        ngx_destroy_pool(pool);
        ngx_time_update();
    }
}


/* keys from 0: strings; from 100: counters, never replaced; from 150: pairs
 * that MSET and RENAME change together */

static void
salvage_command(salvage_t *s, ngx_pool_t *pool)
{
    char             key[3][16], value[2][SALVAGE_LEN], text[32], *argv[8];
    ngx_uint_t       a, b, argc, len;
    salvage_model_t *m;
    ngx_rf_reply_t  *reply;

    m = s->model;
    m->nnext = 0;

    a = salvage_random(s, 100);
    argv[1] = key[0];
    sprintf(key[0], "key:%d", (int) a);

    len = salvage_random(s, SALVAGE_LEN - 10);
    memset(value[0], 'a' + (int) salvage_random(s, 26), len);
    sprintf(value[0] + len, "%d", (int) salvage_random(s, 100000));

    switch (salvage_random(s, 8)) {

    case 0:
        argv[0] = "DEL";
        argc = 2;
        salvage_next(s, a, NULL);
        break;

    case 1:
        argv[0] = "SET";
        argv[2] = value[0];
        argv[3] = "EX";
        argv[4] = "1000";
        argc = 5;
        salvage_next(s, a, value[0]);
        break;

    case 2:
    case 3:
        a = 100 + a / 2;
        sprintf(key[0], "count:%d", (int) a);
        b = salvage_random(s, 1000);
        argv[0] = "INCRBY";
        argv[2] = text;
        sprintf(text, "%d", (int) b);
        argc = 3;

        sprintf(value[0], "%lld", (long long) m->keys[a].number + (int) b);
        salvage_next(s, a, value[0]);
        m->after[0].number = m->keys[a].number + b;
        break;

    case 4:
        a = 100 + a / 2;

        if (m->keys[a].len == 0) {
            return;
        }

        sprintf(key[0], "count:%d", (int) a);
        argv[0] = "EXPIRE";
        argv[2] = "1000";
        argc = 3;
        break;

    case 5:
        /* both, or none */
        a = 150 + a % 20;
        b = 170 + a % 20;
        sprintf(key[0], "pair:%d", (int) a);
        sprintf(key[1], "pair:%d", (int) b);
        argv[0] = "MSET";
        argv[2] = value[0];
        argv[3] = key[1];
        argv[4] = value[0];
        argc = 5;
        salvage_next(s, a, value[0]);
        salvage_next(s, b, value[0]);
        break;

    case 6:
        a = 150 + a % 20;
        b = 170 + salvage_random(s, 20);

        if (m->keys[a].len == 0) {
            return;
        }

        sprintf(key[0], "pair:%d", (int) a);
        sprintf(key[1], "pair:%d", (int) b);
        argv[0] = "RENAME";
        argv[2] = key[1];
        argc = 3;
        memcpy(value[0], m->keys[a].value, SALVAGE_LEN);
        salvage_next(s, b, value[0]);
        salvage_next(s, a, NULL);
        break;

    default:
        argv[0] = "SET";
        argv[2] = value[0];
        argc = 3;
        salvage_next(s, a, value[0]);
    }

    ngx_memory_barrier();
    m->phase = 1;
    ngx_memory_barrier();

    if (!salvage_exec(s, pool, argc, argv, &reply)
        || reply->type == NGX_RF_REPLY_ERROR)
    {
        m->errors++;
    }

    ngx_memory_barrier();
    m->phase = 2;
    ngx_memory_barrier();

    salvage_copy(s);
    m->commands++;
}


/* what the file tier, the replay and reads in normal mode do to the zone */

static void
salvage_other(salvage_t *s)
{
    ngx_rf_record_t  *list, *rec, *next;

    switch (salvage_random(s, 4)) {

    case 0:
        list = ngx_rf_zone_dirty_take(&s->zone, salvage_random(s, 20), 10000);

        for (rec = list; rec; rec = rec->next) {
            rec->status = salvage_random(s, 5) ? NGX_OK : NGX_ERROR;
        }

        ngx_rf_zone_dirty_done(&s->zone, list);
        return;

    case 1:
        ngx_rf_zone_reclaim(&s->zone);

        list = ngx_rf_zone_replay_take(&s->zone, salvage_random(s, 20), 10000,
                                       ngx_rf_now(), NULL);

        for (rec = list; rec; rec = next) {
            next = rec->next;
            ngx_rf_zone_replay_done(&s->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
            free(rec);
        }

        ngx_rf_zone_replay_reset(&s->zone);
        return;

    default:
        salvage_learn(s);
    }
}


static void
salvage_learn(salvage_t *s)
{
    char                     key[32], value[3000];
    ngx_str_t                argv[3];
    ngx_rf_reply_t           reply;

    argv[0].data = (u_char *) "SET";
    argv[0].len = 3;
    argv[1].data = (u_char *) key;
    argv[1].len = sprintf(key, "clean:%d", (int) salvage_random(s, 3000));
    argv[2].data = (u_char *) value;
    argv[2].len = salvage_random(s, sizeof(value));

    memset(value, 'x', argv[2].len);
    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));
    reply.type = NGX_RF_REPLY_STATUS;

    ngx_rf_learn(&s->zone, s->pool,
                 ngx_rf_command_find(&argv[0]), 3, argv,
                       &reply, -3, s->zone.sh->seq, ngx_rf_now());
}


static ngx_uint_t
salvage_exec(salvage_t *s, ngx_pool_t *pool, ngx_uint_t argc, char **argv,
    ngx_rf_reply_t **reply)
{
    ngx_uint_t      i;
    ngx_str_t       args[8];
    ngx_rf_local_t  l;

    for (i = 0; i < argc; i++) {
        args[i].data = (u_char *) argv[i];
        args[i].len = strlen(argv[i]);
    }

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = &s->zone;
    l.command = ngx_rf_command_find(&args[0]);
    l.argc = argc;
    l.argv = args;
    l.pool = pool;
    l.now = ngx_rf_now();
    l.scope = NGX_RF_SCOPE_ANY;

    if (ngx_rf_local_exec(&l) != NGX_OK) {
        return 0;
    }

    *reply = l.reply;

    return 1;
}


static void
salvage_next(salvage_t *s, ngx_uint_t key, const char *value)
{
    salvage_key_t    *k;
    salvage_model_t  *m;

    m = s->model;
    k = &m->after[m->nnext];

    ngx_memzero(k, sizeof(salvage_key_t));

    if (value) {
        k->len = strlen(value);
        memcpy(k->value, value, k->len);
    }

    m->next[m->nnext++] = key;
}


static void
salvage_copy(salvage_t *s)
{
    ngx_uint_t        i;
    salvage_model_t  *m;

    m = s->model;

    for (i = 0; i < m->nnext; i++) {
        m->keys[m->next[i]] = m->after[i];
    }

    ngx_memory_barrier();
    m->phase = 0;
}


/* the number of keys that are wrong */

static ngx_uint_t
salvage_check(salvage_t *s)
{
    ngx_uint_t        i, n, before, after;
    ngx_pool_t       *pool;
    salvage_model_t  *m;

    m = s->model;
    n = 0;

    ngx_time_update();

    pool = ngx_create_pool(4096, s->log);

    if (m->phase == 1 && m->nnext) {

        /* not acknowledged: it happened as a whole, or not at all */

        before = 0;
        after = 0;

        for (i = 0; i < m->nnext; i++) {
            after += salvage_is(s, pool, m->next[i], &m->after[i]);
            before += salvage_is(s, pool, m->next[i], &m->keys[m->next[i]]);
        }

        if (after == m->nnext) {
            m->phase = 2;

        } else if (before != m->nnext) {
            printf("# a command was done in part: %d and %d of %d\n",
                   (int) before, (int) after, (int) m->nnext);
            n++;
        }
    }

    if (m->phase == 2) {
        salvage_copy(s);
    }

    m->phase = 0;

    for (i = 0; i < SALVAGE_KEYS; i++) {
        if (!salvage_is(s, pool, i, &m->keys[i])) {
            printf("# key %d is wrong, not \"%.*s\"\n", (int) i,
                   (int) m->keys[i].len, m->keys[i].value);
            n++;
        }
    }

    ngx_destroy_pool(pool);

    return n;
}


static ngx_uint_t
salvage_is(salvage_t *s, ngx_pool_t *pool, ngx_uint_t i, salvage_key_t *k)
{
    char             key[16], *argv[2];
    ngx_rf_reply_t  *reply;

    sprintf(key, i < 100 ? "key:%d" : i < 150 ? "count:%d" : "pair:%d",
            (int) i);

    argv[0] = "GET";
    argv[1] = key;

    if (!salvage_exec(s, pool, 2, argv, &reply)) {
        return 0;
    }

    if (k->len == 0) {
        return reply->type == NGX_RF_REPLY_NIL;
    }

    return reply->type == NGX_RF_REPLY_STRING
           && reply->str.len == k->len
           && memcmp(reply->str.data, k->value, k->len) == 0;
}
