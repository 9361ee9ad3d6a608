/*
 * Workers are killed in the middle of changes, over and over.  A child runs
 * random commands and keeps a model of what was acknowledged in shared memory;
 * the parent kills it, frees the mutex as nginx does, and compares.  Before
 * that it may kill some who salvage, too.
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
#include "ngx_rf_zone_internal.h"
#include "sound.h"


#define SALVAGE_KILLS  300
#define SALVAGE_KEYS   200
#define SALVAGE_LEN    64

/* collections: of each type four; from 8 on they are known in part, and Redis
 * is told changes */
#define SALVAGE_COLLS  16
#define SALVAGE_DELTAS 8
#define SALVAGE_ELTS   24
#define SALVAGE_BIG    3000

/* kills until all is acknowledged: changes that a rebuilt zone was given do
 * not merge with later ones */
#define SALVAGE_OUTAGE 100

/* those that salvage what one has left, and are killed, at most; and after how
 * many microseconds: a salvage takes some hundred */
#define SALVAGE_AGAIN  3
#define SALVAGE_USEC   1500


typedef struct {
    int64_t           number;   /* of keys that count */
    ngx_uint_t        len;      /* 0: absent */
    char              value[SALVAGE_LEN];
} salvage_key_t;

/* a hash or sorted set: a mask of fields or members, and their numbers; a set:
 * the mask; a list: n numbers, none twice */

typedef struct {
    uint64_t          mask;
    ngx_uint_t        n;
    int64_t           number[SALVAGE_ELTS];
} salvage_coll_t;

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

    ngx_uint_t           ncnext;
    ngx_uint_t           cnext[2];
    salvage_coll_t       cafter[2];
    salvage_coll_t       colls[SALVAGE_COLLS];
    int64_t              unique;
} salvage_model_t;

typedef struct {
    ngx_pool_t       *pool;
    ngx_log_t        *log;
    ngx_rf_zone_t     zone;
    ngx_rf_zone_t     redis;    /* what is told to Redis, tried here */
    salvage_model_t  *model;
    uint64_t          random;
} salvage_t;

typedef struct {
    char              text[512];
    char             *argv[8];
    ngx_uint_t        argc;
} salvage_line_t;


static ngx_uint_t salvage_start(salvage_t *s, ngx_pool_t *pool,
    ngx_log_t *log);
static uint64_t salvage_random(salvage_t *s, uint64_t n);
static void salvage_child(salvage_t *s);
static ngx_uint_t salvage_again(salvage_t *s);
static void salvage_command(salvage_t *s, ngx_pool_t *pool);
static void salvage_colls(salvage_t *s);
static void salvage_recovery(salvage_t *s);
static void salvage_coll(salvage_t *s, ngx_pool_t *pool);
static void salvage_hash(salvage_t *s, salvage_line_t *line, ngx_uint_t a,
    ngx_uint_t b);
static void salvage_list(salvage_t *s, salvage_line_t *line, ngx_uint_t a,
    ngx_uint_t b);
static void salvage_set(salvage_t *s, salvage_line_t *line, ngx_uint_t a,
    ngx_uint_t b);
static void salvage_zset(salvage_t *s, salvage_line_t *line, ngx_uint_t a,
    ngx_uint_t b);
static void salvage_push(salvage_coll_t *c, ngx_uint_t tail, int64_t number);
static int64_t salvage_pop(salvage_coll_t *c, ngx_uint_t tail);
static ngx_uint_t salvage_least(salvage_coll_t *c);
static void salvage_line(salvage_line_t *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void salvage_do(salvage_t *s, ngx_pool_t *pool, ngx_uint_t argc,
    char **argv);
static void salvage_big(salvage_t *s, ngx_pool_t *pool);
static void salvage_other(salvage_t *s);
static void salvage_learn(salvage_t *s);
static ngx_uint_t salvage_exec(salvage_t *s, ngx_pool_t *pool,
    ngx_uint_t argc, char **argv, ngx_rf_reply_t **reply);
static ngx_uint_t salvage_exec_in(ngx_rf_zone_t *zone, ngx_pool_t *pool,
    ngx_uint_t argc, ngx_str_t *args, ngx_rf_reply_t **reply);
static void salvage_next(salvage_t *s, ngx_uint_t key, const char *value);
static void salvage_copy(salvage_t *s);
static ngx_uint_t salvage_check(salvage_t *s);
static ngx_uint_t salvage_is(salvage_t *s, ngx_pool_t *pool, ngx_uint_t i,
    salvage_key_t *k);
static ngx_uint_t salvage_is_coll(ngx_rf_zone_t *zone, ngx_pool_t *pool,
    ngx_uint_t i, salvage_coll_t *c);
static ngx_uint_t salvage_is_element(ngx_uint_t type, ngx_rf_reply_t *elts,
    ngx_uint_t i, salvage_coll_t *c);
static int64_t salvage_number(ngx_str_t *str);
static ngx_uint_t salvage_told(salvage_t *s, ngx_pool_t *pool, ngx_uint_t i);


RF_UNIT(salvage_killed_workers)
{
    int              status;
    char            *env;
    pid_t            pid;
    salvage_t        s;
    ngx_log_t        quiet;
    ngx_uint_t       i, j, n, wrong, unsound, again;

    if (!salvage_start(&s, pool, log)) {
        return;
    }

    env = getenv("RF_UNIT_KILLS");
    n = env ? (ngx_uint_t) atoi(env) : SALVAGE_KILLS;

    wrong = 0;
    unsound = 0;
    again = 0;

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

        for (j = salvage_random(&s, SALVAGE_AGAIN + 1); j; j--) {
            again += salvage_again(&s);
        }

        /* as a new leader does */

        ngx_rf_zone_replay_reset(&s.zone);
        ngx_rf_zone_reclaim(&s.zone);

        wrong = salvage_check(&s);
        unsound = !sound_zone(&s.zone, 1);

        if (i % SALVAGE_OUTAGE == SALVAGE_OUTAGE - 1) {
            salvage_recovery(&s);
        }
    }

    is_int(wrong, 0, "%d kills: all that was acknowledged is there",
           (int) i);
    is_int(unsound, 0, "and the zone is sound");
    is_int(s.model->errors, 0, "no command failed");
    ok(s.model->commands > n, "%d commands were run",
       (int) s.model->commands);
    ok(s.zone.sh->rebuilds > 0, "the zone was rebuilt %d times",
       (int) s.zone.sh->rebuilds);
    ok(again > 0, "%d were killed while they rebuilt it", (int) again);
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

    shm = rf_unit_shm(pool, log, 1024 * 1024);

    ngx_str_set(&s->redis.name, "redis");
    shm->data = &s->redis;

    if (!ok(ngx_rf_zone_init(shm, NULL) == NGX_OK, "another one")) {
        return 0;
    }

    salvage_colls(s);

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

        switch (salvage_random(s, 8)) {

        case 0: case 1: case 2:
            salvage_command(s, pool);
            break;

        case 3: case 4: case 5:
            salvage_coll(s, pool);
            break;

        case 6:
            salvage_big(s, pool);
            break;

        default:
            salvage_other(s);
        }

        ngx_destroy_pool(pool);
        ngx_time_update();
    }
}


/* one that does nothing but salvage is killed; whether in the middle of it */

static ngx_uint_t
salvage_again(salvage_t *s)
{
    int         status;
    pid_t       pid;
    ngx_uint_t  middle;

    pid = fork();

    if (pid == 0) {
        ngx_pid = getpid();
        ngx_rf_zone_lock(&s->zone);
        ngx_rf_zone_unlock(&s->zone);
        _exit(0);
    }

    usleep((unsigned) salvage_random(s, SALVAGE_USEC));

    kill(pid, SIGKILL);
    (void) waitpid(pid, &status, 0);

    middle = (s->zone.sh->busy == (ngx_atomic_uint_t) pid);

    (void) ngx_shmtx_force_unlock(&s->zone.shpool->mutex, pid);

    return middle;
}


/* keys from 0: strings; from 100: counters, never replaced; from 150: pairs
 * that MSET and RENAME change together */

static void
salvage_command(salvage_t *s, ngx_pool_t *pool)
{
    char             key[3][16], value[2][SALVAGE_LEN], text[32], *argv[8];
    ngx_uint_t       a, b, argc, len;
    salvage_model_t *m;

    m = s->model;
    m->nnext = 0;
    m->ncnext = 0;

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

    salvage_do(s, pool, argc, argv);
}


/* the others are deleted, so that they are known as a whole */

static void
salvage_colls(salvage_t *s)
{
    ngx_uint_t      i;
    ngx_pool_t     *pool;
    salvage_line_t  line;

    pool = ngx_create_pool(4096, s->log);

    s->model->nnext = 0;
    s->model->ncnext = 0;

    for (i = 0; i < SALVAGE_DELTAS; i++) {
        salvage_line(&line, "DEL coll:%d", (int) i);
        salvage_do(s, pool, line.argc, line.argv);
    }

    for (i = 0; i < SALVAGE_BIG; i += 5) {
        salvage_line(&line, "SADD big m%d m%d m%d m%d m%d", (int) i,
                     (int) i + 1, (int) i + 2, (int) i + 3, (int) i + 4);
        salvage_do(s, pool, line.argc, line.argv);
    }

    ngx_destroy_pool(pool);
}


/* Redis has taken all of it, and memory begins anew */

static void
salvage_recovery(salvage_t *s)
{
    ngx_rf_record_t  *list, *rec;

    while (s->zone.sh->npending) {
        list = ngx_rf_zone_replay_take(&s->zone, 1000, 1 << 30, ngx_rf_now(),
                                       NULL);

        while (list) {
            rec = list;
            list = rec->next;

            ngx_rf_zone_replay_done(&s->zone, rec, NGX_OK, 0, ngx_rf_now());
            free(rec);
        }
    }

    ngx_memzero(s->model->keys, sizeof(s->model->keys));
    ngx_memzero(s->model->colls, sizeof(s->model->colls));

    salvage_colls(s);
}


static void
salvage_coll(salvage_t *s, ngx_pool_t *pool)
{
    ngx_uint_t        a, b;
    salvage_line_t    line;
    salvage_model_t  *m;

    m = s->model;

    a = salvage_random(s, SALVAGE_COLLS);
    b = (a + 4) % SALVAGE_DELTAS;

    m->nnext = 0;
    m->ncnext = 1;
    m->cnext[0] = a;
    m->cafter[0] = m->colls[a];

    /* a command of two keys sets ncnext */

    m->cnext[1] = b;
    m->cafter[1] = m->colls[b];

    line.argc = 0;

    if (salvage_random(s, 20) == 0) {
        salvage_line(&line, "EXPIRE coll:%d 100%d", (int) a,
                     (int) salvage_random(s, 10));

    } else if (a < SALVAGE_DELTAS && salvage_random(s, 20) == 0
               && (m->colls[a].mask || m->colls[a].n))
    {
        m->ncnext = 2;
        m->cafter[1] = m->colls[a];
        ngx_memzero(&m->cafter[0], sizeof(salvage_coll_t));
        salvage_line(&line, "RENAME coll:%d coll:%d", (int) a, (int) b);

    } else {

        switch (a % 4) {

        case 0:
            salvage_hash(s, &line, a, b);
            break;

        case 1:
            salvage_list(s, &line, a, b);
            break;

        case 2:
            salvage_set(s, &line, a, b);
            break;

        default:
            salvage_zset(s, &line, a, b);
        }
    }

    if (line.argc) {
        salvage_do(s, pool, line.argc, line.argv);
    }
}


static void
salvage_hash(salvage_t *s, salvage_line_t *line, ngx_uint_t a, ngx_uint_t b)
{
    int64_t          n;
    ngx_uint_t       f, g;
    salvage_coll_t  *c;

    c = &s->model->cafter[0];
    f = salvage_random(s, SALVAGE_ELTS);
    g = salvage_random(s, SALVAGE_ELTS);
    n = salvage_random(s, 2000) - 1000;

    switch (salvage_random(s, 5)) {

    case 0:
        salvage_line(line, "HSET coll:%d %d %d %d %d", (int) a, (int) f,
                     (int) n, (int) g, (int) n + 1);
        c->number[f] = n;
        c->number[g] = n + 1;
        c->mask |= 1ull << f | 1ull << g;
        return;

    case 1:
        salvage_line(line, "HDEL coll:%d %d %d", (int) a, (int) f, (int) g);
        c->mask &= ~(1ull << f | 1ull << g);
        c->number[f] = 0;
        c->number[g] = 0;
        return;

    default:
        salvage_line(line, "HINCRBY coll:%d %d %d", (int) a, (int) f, (int) n);
        c->number[f] += n;
        c->mask |= 1ull << f;
    }
}


static void
salvage_list(salvage_t *s, salvage_line_t *line, ngx_uint_t a, ngx_uint_t b)
{
    int64_t          n;
    ngx_uint_t       tail;
    salvage_coll_t  *c, *other;

    c = &s->model->cafter[0];
    other = &s->model->cafter[1];
    tail = salvage_random(s, 2);
    s->model->unique += 2;
    n = s->model->unique;

    switch (salvage_random(s, a < SALVAGE_DELTAS ? 6 : 4)) {

    case 0:
        salvage_line(line, "%s coll:%d", tail ? "RPOP" : "LPOP", (int) a);
        (void) salvage_pop(c, tail);
        return;

    case 4:
        if (c->n == 0 || other->n > SALVAGE_ELTS - 2) {
            return;
        }

        s->model->ncnext = 2;
        salvage_line(line, "LMOVE coll:%d coll:%d %s RIGHT", (int) a, (int) b,
                     tail ? "RIGHT" : "LEFT");
        salvage_push(other, 1, salvage_pop(c, tail));
        return;

    case 5:
        if (c->n == 0) {
            return;
        }

        salvage_line(line, "LSET coll:%d -1 %lld", (int) a, (long long) n);
        c->number[c->n - 1] = n;
        return;

    default:
        if (c->n > SALVAGE_ELTS - 2) {
            salvage_line(line, "%s coll:%d 3", tail ? "RPOP" : "LPOP",
                         (int) a);

            for (n = 0; n < 3; n++) {
                (void) salvage_pop(c, tail);
            }

            return;
        }

        salvage_line(line, "%s coll:%d %lld %lld", tail ? "RPUSH" : "LPUSH",
                     (int) a, (long long) n, (long long) n + 1);
        salvage_push(c, tail, n);
        salvage_push(c, tail, n + 1);
    }
}


static void
salvage_push(salvage_coll_t *c, ngx_uint_t tail, int64_t number)
{
    if (tail) {
        c->number[c->n++] = number;
        return;
    }

    memmove(&c->number[1], &c->number[0], c->n * sizeof(int64_t));
    c->number[0] = number;
    c->n++;
}


static int64_t
salvage_pop(salvage_coll_t *c, ngx_uint_t tail)
{
    int64_t  number;

    if (c->n == 0) {
        return 0;
    }

    c->n--;
    number = c->number[tail ? c->n : 0];

    if (!tail) {
        memmove(&c->number[0], &c->number[1], c->n * sizeof(int64_t));
    }

    return number;
}


static void
salvage_set(salvage_t *s, salvage_line_t *line, ngx_uint_t a, ngx_uint_t b)
{
    ngx_uint_t       f, g;
    salvage_coll_t  *c, *other;

    c = &s->model->cafter[0];
    other = &s->model->cafter[1];
    f = salvage_random(s, SALVAGE_ELTS);
    g = salvage_random(s, SALVAGE_ELTS);

    switch (salvage_random(s, a < SALVAGE_DELTAS ? 6 : 4)) {

    case 0:
        salvage_line(line, "SREM coll:%d %d %d", (int) a, (int) f, (int) g);
        c->mask &= ~(1ull << f | 1ull << g);
        return;

    case 4:
        s->model->ncnext = 2;
        salvage_line(line, "SMOVE coll:%d coll:%d %d", (int) a, (int) b,
                     (int) f);
        other->mask |= c->mask & 1ull << f;
        c->mask &= ~(1ull << f);
        return;

    case 5:
        salvage_line(line, "SUNIONSTORE coll:%d coll:%d coll:%d", (int) a,
                     (int) a, (int) b);
        c->mask |= other->mask;
        return;

    default:
        salvage_line(line, "SADD coll:%d %d %d", (int) a, (int) f, (int) g);
        c->mask |= 1ull << f | 1ull << g;
    }
}


static void
salvage_zset(salvage_t *s, salvage_line_t *line, ngx_uint_t a, ngx_uint_t b)
{
    int64_t          n;
    ngx_uint_t       f, g;
    salvage_coll_t  *c;

    c = &s->model->cafter[0];
    f = salvage_random(s, SALVAGE_ELTS);
    g = salvage_random(s, SALVAGE_ELTS);
    n = salvage_random(s, 2000) - 1000;

    switch (salvage_random(s, 6)) {

    case 0:
        salvage_line(line, "ZREM coll:%d %02d %02d", (int) a, (int) f,
                     (int) g);
        c->mask &= ~(1ull << f | 1ull << g);
        c->number[f] = 0;
        c->number[g] = 0;
        return;

    case 1:
        salvage_line(line, "ZPOPMIN coll:%d", (int) a);

        if (c->mask) {
            f = salvage_least(c);
            c->mask &= ~(1ull << f);
            c->number[f] = 0;
        }

        return;

    case 2:
    case 3:
        salvage_line(line, "ZINCRBY coll:%d %d %02d", (int) a, (int) n,
                     (int) f);
        c->number[f] += n;
        c->mask |= 1ull << f;
        return;

    default:
        salvage_line(line, "ZADD coll:%d %d %02d %d %02d", (int) a, (int) n,
                     (int) f, (int) n + 1, (int) g);
        c->number[f] = n;
        c->number[g] = n + 1;
        c->mask |= 1ull << f | 1ull << g;
    }
}


static ngx_uint_t
salvage_least(salvage_coll_t *c)
{
    ngx_uint_t  f, least;

    least = SALVAGE_ELTS;

    for (f = 0; f < SALVAGE_ELTS; f++) {
        if ((c->mask & 1ull << f)
            && (least == SALVAGE_ELTS || c->number[f] < c->number[least]))
        {
            least = f;
        }
    }

    return least;
}


static void
salvage_line(salvage_line_t *line, const char *fmt, ...)
{
    char     *p;
    va_list   args;

    va_start(args, fmt);
    vsnprintf(line->text, sizeof(line->text), fmt, args);
    va_end(args);

    line->argc = 0;

    for (p = strtok(line->text, " "); p; p = strtok(NULL, " ")) {
        line->argv[line->argc++] = p;
    }
}


static void
salvage_do(salvage_t *s, ngx_pool_t *pool, ngx_uint_t argc, char **argv)
{
    ngx_rf_reply_t   *reply;
    salvage_model_t  *m;

    m = s->model;

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


/* a long reply gives the lock away on the way */

static void
salvage_big(salvage_t *s, ngx_pool_t *pool)
{
    salvage_line_t   line;
    ngx_rf_reply_t  *reply;

    salvage_line(&line, "SMEMBERS big");

    if (!salvage_exec(s, pool, line.argc, line.argv, &reply)
        || reply->nelts != SALVAGE_BIG)
    {
        s->model->errors++;
    }
}


/* what the file tier, the replay and reads in normal mode do to the zone */

static void
salvage_other(salvage_t *s)
{
    ngx_rf_record_t    *list, *rec, *next;
    ngx_rf_zone_log_t   log;

    switch (salvage_random(s, 5)) {

    case 4:
        list = ngx_rf_zone_log_take(&s->zone, salvage_random(s, 20), 10000, 1,
                                    &log);
        ngx_rf_zone_log_done(&s->zone, list,
                             salvage_random(s, 5) ? NGX_OK : NGX_ERROR,
                             log.generation);
        return;

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
                       &reply, -3, s->zone.sh->seq, ngx_rf_now(), 0);
}


static ngx_uint_t
salvage_exec(salvage_t *s, ngx_pool_t *pool, ngx_uint_t argc, char **argv,
    ngx_rf_reply_t **reply)
{
    ngx_str_t   args[8];
    ngx_uint_t  i;

    for (i = 0; i < argc; i++) {
        args[i].data = (u_char *) argv[i];
        args[i].len = strlen(argv[i]);
    }

    return salvage_exec_in(&s->zone, pool, argc, args, reply);
}


static ngx_uint_t
salvage_exec_in(ngx_rf_zone_t *zone, ngx_pool_t *pool, ngx_uint_t argc,
    ngx_str_t *args, ngx_rf_reply_t **reply)
{
    ngx_rf_local_t  l;

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = zone;
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

    for (i = 0; i < m->ncnext; i++) {
        m->colls[m->cnext[i]] = m->cafter[i];
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

    if (m->phase == 1 && m->nnext + m->ncnext) {

        /* not acknowledged: it happened as a whole, or not at all */

        before = 0;
        after = 0;

        for (i = 0; i < m->nnext; i++) {
            after += salvage_is(s, pool, m->next[i], &m->after[i]);
            before += salvage_is(s, pool, m->next[i], &m->keys[m->next[i]]);
        }

        for (i = 0; i < m->ncnext; i++) {
            after += salvage_is_coll(&s->zone, pool, m->cnext[i],
                                     &m->cafter[i]);
            before += salvage_is_coll(&s->zone, pool, m->cnext[i],
                                      &m->colls[m->cnext[i]]);
        }

        if (after == m->nnext + m->ncnext) {
            m->phase = 2;

        } else if (before != m->nnext + m->ncnext) {
            printf("# a command was done in part: %d and %d of %d\n",
                   (int) before, (int) after, (int) (m->nnext + m->ncnext));
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

    for (i = 0; i < SALVAGE_COLLS; i++) {
        if (!salvage_is_coll(&s->zone, pool, i, &m->colls[i])) {
            printf("# collection %d is wrong\n", (int) i);
            n++;
        }

        if (i >= SALVAGE_DELTAS && !salvage_told(s, pool, i)) {
            printf("# changes of collection %d are wrong\n", (int) i);
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


static ngx_uint_t
salvage_is_coll(ngx_rf_zone_t *zone, ngx_pool_t *pool, ngx_uint_t i,
    salvage_coll_t *c)
{
    ngx_str_t        args[5];
    ngx_uint_t       j, n, step, type;
    salvage_line_t   line;
    ngx_rf_reply_t  *reply;

    static const char  *reads[] = {
        "HGETALL coll:%d", "LRANGE coll:%d 0 -1", "SMEMBERS coll:%d",
        "ZRANGE coll:%d 0 -1 WITHSCORES"
    };

    type = i % 4;
    step = (type == 0 || type == 3) ? 2 : 1;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    salvage_line(&line, reads[type], (int) i);
#pragma GCC diagnostic pop

    for (j = 0; j < line.argc; j++) {
        args[j].data = (u_char *) line.argv[j];
        args[j].len = strlen(line.argv[j]);
    }

    if (!salvage_exec_in(zone, pool, line.argc, args, &reply)
        || reply->type != NGX_RF_REPLY_ARRAY)
    {
        return 0;
    }

    n = type == 1 ? c->n : (ngx_uint_t) __builtin_popcountll(c->mask);

    if (reply->nelts != n * step) {
        return 0;
    }

    for (j = 0; j < n; j++) {
        if (!salvage_is_element(type, &reply->elts[j * step], j, c)) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
salvage_is_element(ngx_uint_t type, ngx_rf_reply_t *elts, ngx_uint_t i,
    salvage_coll_t *c)
{
    int64_t  name, number;

    name = salvage_number(&elts[0].str);

    if (type == 1) {
        return name == c->number[i];
    }

    if (name < 0 || name >= SALVAGE_ELTS || !(c->mask & 1ull << name)) {
        return 0;
    }

    if (type == 2) {
        return 1;
    }

    number = salvage_number(&elts[1].str);

    return number == c->number[name];
}


static int64_t
salvage_number(ngx_str_t *str)
{
    char  text[32];

    ngx_cpystrn((u_char *) text, str->data,
                ngx_min(str->len + 1, sizeof(text)));

    return strtoll(text, NULL, 10);
}


/* what Redis is to be told makes the collection out of nothing */

static ngx_uint_t
salvage_told(salvage_t *s, ngx_pool_t *pool, ngx_uint_t i)
{
    char              text[32];
    ngx_str_t         key, *args;
    ngx_uint_t        j, told;
    ngx_rf_entry_t   *e;
    ngx_rf_reply_t   *reply;
    ngx_rf_record_t  *rec;
    ngx_rf_change_t  *c;

    key.data = (u_char *) text;
    key.len = sprintf(text, "coll:%d", (int) i);

    ngx_rf_zone_lock(&s->zone);

    e = ngx_rf_zone_lookup_locked(&s->zone, &key);
    rec = e ? ngx_rf_zone_record(&s->zone, e) : NULL;

    ngx_rf_zone_unlock(&s->zone);

    told = 1;

    for (j = 0; rec && j < rec->nchanges; j++) {
        c = &rec->changes[j];

        args = ngx_palloc(pool, (c->argc + 1) * sizeof(ngx_str_t));

        args[0] = c->argv[0];
        args[1] = key;
        ngx_memcpy(&args[2], &c->argv[1], (c->argc - 1) * sizeof(ngx_str_t));

        told &= salvage_exec_in(&s->redis, pool, c->argc + 1, args, &reply)
                && reply->type != NGX_RF_REPLY_ERROR;
    }

    told &= salvage_is_coll(&s->redis, pool, i, &s->model->colls[i]);

    free(rec);

    ngx_rf_zone_lock(&s->redis);

    e = ngx_rf_zone_lookup_locked(&s->redis, &key);

    if (e) {
        ngx_rf_zone_remove(&s->redis, e);
    }

    ngx_rf_zone_unlock(&s->redis);

    return told;
}
