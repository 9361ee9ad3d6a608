/*
 * Long commands, which give the lock away on their way, beside others that
 * change the same keys, in processes of their own: each reply is one of a
 * moment, and what they leave is, too.  One of them is killed now and then.
 *
 * Two sets hold LONG_ELTS members together: SMOVE takes them from one to the
 * other all the time, so their union is always of that size.
 *
 * RF_UNIT_LONG in the environment: how often each is done.
 */

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "exec.h"
#include "sound.h"


#define LONG_ELTS   20000
#define LONG_TIMES  12
#define LONG_BATCH  1000


typedef struct {
    volatile ngx_uint_t   wrong;
    volatile ngx_uint_t   done;
    volatile ngx_uint_t   moved;
} long_t;


static long_t *long_begin(exec_t *e, ngx_pool_t *pool, ngx_log_t *log);
static void long_fill(exec_t *e, const char *verb, const char *key,
    ngx_uint_t first, ngx_uint_t n);
static pid_t long_fork(exec_t *e, long_t *t, void (*run)(exec_t *e,
    long_t *t));
static void long_move(exec_t *e, long_t *t);
static void long_store(exec_t *e, long_t *t);
static void long_remove(exec_t *e, long_t *t);
static ngx_uint_t long_run(exec_t *e, const char *line, int64_t *n);
static void long_expect(exec_t *e, long_t *t, const char *line, int64_t n);
static void long_end(exec_t *e, pid_t pid, int sig);


RF_UNIT(long_commands)
{
    int      status;
    pid_t    mover, other;
    exec_t   e;
    long_t  *t;

    t = long_begin(&e, pool, log);

    mover = long_fork(&e, t, long_move);
    other = long_fork(&e, t, long_remove);

    long_store(&e, t);

    (void) waitpid(other, &status, 0);
    long_end(&e, mover, SIGTERM);

    is_int(t->wrong, 0, "%d long commands: each sees one moment",
           (int) t->done);
    ok(t->moved > 100, "%d members were moved meanwhile", (int) t->moved);

    ngx_rf_zone_reclaim(e.zone);
    ok(sound_zone(e.zone, 0), "the zone is sound");
}


RF_UNIT(long_commands_killed)
{
    pid_t       pid;
    exec_t      e;
    long_t     *t;
    ngx_log_t   quiet;
    ngx_uint_t  i, unsound;

    t = long_begin(&e, pool, log);

    quiet = *log;
    quiet.log_level = NGX_LOG_EMERG;
    e.zone->log = &quiet;

    unsound = 0;

    for (i = 0; i < 40 && !unsound; i++) {
        pid = long_fork(&e, t, i % 2 ? long_remove : long_store);

        usleep(1000 + (i * 7919) % 20000);
        long_end(&e, pid, SIGKILL);

        /* a dead one is looked for once a second */

        e.zone->sh->pins_looked = 0;
        (void) exec_line(&e, "SADD other %d", (int) i);
        long_expect(&e, t, "SUNION a b", LONG_ELTS);

        unsound = !sound_zone(e.zone, 0);
    }

    is_int(unsound, 0, "killed on the way %d times: the zone is sound",
           (int) i);
    is_int(t->wrong, 0, "and all is there");
}


static long_t *
long_begin(exec_t *e, ngx_pool_t *pool, ngx_log_t *log)
{
    long_t  *t;

    t = mmap(NULL, sizeof(long_t), PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED,
             -1, 0);

    exec_init(e, pool, log, 64 << 20);

    long_fill(e, "SADD", "a", 0, LONG_ELTS / 2);
    long_fill(e, "SADD", "b", LONG_ELTS / 2, LONG_ELTS / 2);

    return t;
}


static void
long_fill(exec_t *e, const char *verb, const char *key, ngx_uint_t first,
    ngx_uint_t n)
{
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    pool = e->pool;

    for (i = 0; i < n; i++) {
        if (i % LONG_BATCH == 0) {
            if (e->pool != pool) {
                ngx_destroy_pool(e->pool);
            }

            e->pool = ngx_create_pool(16384, pool->log);
        }

        if (ngx_strcmp(verb, "ZADD") == 0) {
            (void) exec_line(e, "ZADD %s %d m%d", key, (int) i,
                             (int) (first + i));

        } else {
            (void) exec_line(e, "%s %s m%d", verb, key, (int) (first + i));
        }
    }

    ngx_destroy_pool(e->pool);
    e->pool = pool;
}


static pid_t
long_fork(exec_t *e, long_t *t, void (*run)(exec_t *e, long_t *t))
{
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        ngx_pid = getpid();
        run(e, t);
        _exit(0);
    }

    return pid;
}


static void
long_move(exec_t *e, long_t *t)
{
    int64_t     n;
    ngx_uint_t  i;
    char        line[64];

    for (i = 0; /* void */; i++) {
        sprintf(line, "SMOVE %s m%d", i % 2 ? "a b" : "b a",
                (int) (i * 7919 % LONG_ELTS));

        if (long_run(e, line, &n)) {
            t->moved += n;
        }

        usleep(200);
    }
}


static void
long_store(exec_t *e, long_t *t)
{
    char        *env;
    ngx_uint_t   i, times;

    env = getenv("RF_UNIT_LONG");
    times = env ? (ngx_uint_t) atoi(env) : LONG_TIMES;

    for (i = 0; i < times; i++) {
        long_expect(e, t, "SUNIONSTORE u a b", LONG_ELTS);
        long_expect(e, t, "SCARD u", LONG_ELTS);
        long_expect(e, t, "SUNION a b", LONG_ELTS);
        long_expect(e, t, "SINTERSTORE i a b", 0);
        long_expect(e, t, "EXISTS i", 0);
        long_expect(e, t, "SDIFFSTORE d u a b", 0);
        long_expect(e, t, "COPY u c REPLACE", 1);
        long_expect(e, t, "SCARD c", LONG_ELTS);
        long_expect(e, t, "SPOP c 19000", 19000);
        long_expect(e, t, "SCARD c", LONG_ELTS - 19000);
    }
}


static void
long_remove(exec_t *e, long_t *t)
{
    char        *env;
    ngx_uint_t   i, times;

    env = getenv("RF_UNIT_LONG");
    times = (env ? (ngx_uint_t) atoi(env) : LONG_TIMES) / 4 + 1;

    for (i = 0; i < times; i++) {
        (void) exec_line(e, "DEL z l");
        long_fill(e, "ZADD", "z", 0, 5000);
        long_expect(e, t, "ZREMRANGEBYRANK z 0 -1001", 4000);
        long_expect(e, t, "ZCARD z", 1000);
        long_expect(e, t, "ZREMRANGEBYSCORE z -inf +inf", 1000);
        long_expect(e, t, "EXISTS z", 0);

        long_fill(e, "RPUSH", "l", 0, 5000);
        long_expect(e, t, "LREM l 0 m4999", 1);
        long_expect(e, t, "LINSERT l BEFORE m4998 x", 5000);
        long_expect(e, t, "LPOP l 4000", 4000);
        long_expect(e, t, "LLEN l", 1000);
    }
}


/* an integer, or the number of elements */

static ngx_uint_t
long_run(exec_t *e, const char *line, int64_t *n)
{
    ngx_int_t    rc;
    ngx_pool_t  *pool;

    pool = e->pool;
    e->pool = ngx_create_pool(16384, pool->log);

    do {
        rc = exec_line(e, "%s", line);
    } while (rc == NGX_RF_NEED_RETRY);

    if (rc == NGX_OK) {
        *n = e->reply->type == NGX_RF_REPLY_ARRAY ? (int64_t) e->reply->nelts
                                                  : e->reply->integer;
    }

    ngx_destroy_pool(e->pool);
    e->pool = pool;

    return rc == NGX_OK;
}


static void
long_expect(exec_t *e, long_t *t, const char *line, int64_t expected)
{
    int64_t  n;

    n = -1;

    if (!long_run(e, line, &n) || n != expected) {
        printf("# %s: %lld instead of %lld\n", line, (long long) n,
               (long long) expected);
        fflush(stdout);
        t->wrong++;
    }

    t->done++;
}


static void
long_end(exec_t *e, pid_t pid, int sig)
{
    int  status;

    /* not while it holds the lock, unless it is to be killed anywhere */

    if (sig != SIGKILL) {
        ngx_rf_zone_lock(e->zone);
    }

    kill(pid, SIGKILL);
    (void) waitpid(pid, &status, 0);

    if (sig != SIGKILL) {
        ngx_rf_zone_unlock(e->zone);

    } else {
        (void) ngx_shmtx_force_unlock(&e->zone->shpool->mutex, pid);
    }
}
