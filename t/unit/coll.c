/*
 * Collections in an outage: what Redis is told of them makes of what it held
 * what memory says, or, of keys that memory does not know, what the commands
 * would have made of it themselves.
 *
 * Three zones: "local" takes the commands as in an outage; "remote" stands for
 * Redis, and is told the changes; "direct" is the Redis that was never away.
 *
 * Each run is another one.  COLL_SEED in the environment repeats one, which the
 * output has the seed of; RF_UNIT_COMMANDS says how many commands.
 */

#include <sys/wait.h>
#include "rf_unit.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_local.h"
#include "ngx_rf_zone_internal.h"
#include "sound.h"


#define COLL_COMMANDS   20000
#define COLL_TYPES      4
#define COLL_ARGS       16
#define COLL_APPLIED    4096
#define COLL_SMALL      (256 * 1024)
#define COLL_FILL       2000        /* bytes of what takes the rest */
#define COLL_ROOM       8           /* of them that are left free */
#define COLL_LOOP       100000


typedef struct {
    ngx_uint_t            argc;
    ngx_str_t             argv[COLL_ARGS];
    char                  text[4096];
} coll_cmd_t;


typedef struct {
    ngx_pool_t           *pool;
    ngx_log_t            *log;
    ngx_rf_zone_t        *local;
    ngx_rf_zone_t        *remote;
    ngx_rf_zone_t        *direct;
    ngx_rf_zone_t        *loaded;
    int64_t               now;
    uint64_t              random;
    ngx_uint_t            wrong;
    ngx_uint_t            redis;        /* commands that only Redis can do */
    ngx_uint_t            refused;      /* without room */

    uint64_t              applied[COLL_APPLIED];
    ngx_uint_t            napplied;
} coll_t;


static coll_t *coll_start(ngx_pool_t *pool, ngx_log_t *log, size_t size);
static uint64_t coll_seed(void);
static ngx_rf_zone_t *coll_zone(ngx_pool_t *pool, ngx_log_t *log,
    size_t size);
static void coll_fill_up(coll_t *t, ngx_uint_t room);
static uint64_t coll_random(coll_t *t, uint64_t n);
static void coll_base(coll_t *t);
static void coll_absent(coll_t *t, ngx_rf_zone_t *zone);
static void coll_fill(coll_t *t, ngx_rf_zone_t *zone, char kind);
static void coll_known(coll_t *t);
static void coll_unknown(coll_t *t);
static void coll_make(coll_t *t, coll_cmd_t *c, const char *text,
    ngx_uint_t type);
static void coll_line(coll_cmd_t *c);
static ngx_rf_reply_t *coll_exec(coll_t *t, ngx_rf_zone_t *zone,
    ngx_pool_t *pool, ngx_uint_t argc, ngx_str_t *argv);
static void coll_run(coll_t *t, ngx_rf_zone_t *zone, const char *line);
static void coll_replay(coll_t *t, ngx_uint_t lose);
static void coll_apply(coll_t *t, ngx_rf_record_t *rec);
static void coll_apply_values(coll_t *t, ngx_rf_record_t *rec);
static void coll_apply_expire(coll_t *t, ngx_str_t *key, int64_t expire);
static ngx_rf_entry_t *coll_remote(coll_t *t, ngx_str_t *key);
static void coll_apply_argv(coll_t *t, ngx_str_t *key, ngx_uint_t argc,
    ngx_str_t *argv);
static void coll_files(coll_t *t);
static void coll_file(coll_t *t, ngx_rf_record_t *rec, ngx_rf_entry_t *from);
static void coll_print_record(ngx_rf_record_t *rec);
static ngx_uint_t coll_same_changes(coll_t *t, ngx_rf_record_t *a,
    ngx_rf_record_t *b);
static void coll_single(coll_t *t, ngx_rf_record_t *rec, ngx_rf_record_t *to);
static ngx_uint_t coll_same_record(ngx_rf_record_t *a, ngx_rf_record_t *b);
static ngx_uint_t coll_sums(ngx_rf_record_t *rec, ngx_uint_t first);
static ngx_uint_t coll_count(ngx_rf_record_t *rec, ngx_uint_t first,
    ngx_uint_t n, ngx_rf_change_t *change);
static ngx_uint_t coll_same_strings(ngx_uint_t n, ngx_str_t *a, ngx_str_t *b);
static ngx_uint_t coll_same_reply(ngx_rf_reply_t *a, ngx_rf_reply_t *b);
static ngx_uint_t coll_differ(coll_t *t, ngx_rf_zone_t *a, ngx_rf_zone_t *b,
    const char *kinds);
static ngx_uint_t coll_same(ngx_rf_entry_t *a, ngx_rf_entry_t *b);
static ngx_uint_t coll_same_tree(ngx_rf_tree_t *a, ngx_rf_tree_t *b);
static void coll_print(const char *what, ngx_rf_zone_t *zone, const char *key);
static ngx_rf_entry_t *coll_entry(ngx_rf_zone_t *zone, const char *key);
static ngx_uint_t coll_changes(coll_t *t, const char *key);


/* kinds of keys: 'k': known; 'u': Redis has it and memory does not know it;
 * 'n': neither has it, and memory does not know that.  Then a digit and the
 * type */

static const char  coll_types[] = "hlsz";


RF_UNIT(coll_delta)
{
    char        *env;
    coll_t      *t;
    ngx_uint_t   i, n;

    t = coll_start(pool, log, 8 * 1024 * 1024);
    coll_base(t);

    env = getenv("RF_UNIT_COMMANDS");
    n = env ? (ngx_uint_t) atoi(env) : COLL_COMMANDS;

    for (i = 0; i < n && !t->wrong; i++) {

        if (coll_random(t, 3)) {
            coll_known(t);

        } else {
            coll_unknown(t);
        }

        if (coll_random(t, 100) == 0) {
            coll_replay(t, 1);
        }

        if (coll_random(t, 100) == 0) {
            coll_files(t);
        }

        if (coll_random(t, 50) == 0) {
            t->wrong += !sound_zone(t->local, 0);
            t->wrong += coll_differ(t, t->local, t->direct, "k");
        }
    }

    is_int(t->wrong, 0, "%d commands, %d of them for Redis alone", (int) i,
           (int) t->redis);
    is_int(t->refused, 0, "there was room");

    for (i = 0; i < 10 && t->local->sh->npending; i++) {
        coll_replay(t, 0);
    }

    is_int(t->local->sh->npending, 0, "all is replayed");
    is_int(coll_differ(t, t->local, t->direct, "k"), 0, "memory is right");
    is_int(coll_differ(t, t->remote, t->direct, "kun"), 0, "Redis is right");
    ok(sound_zone(t->local, 0), "the zone is sound");
    ok(sound_zone(t->loaded, 0), "and that of the files");
}


RF_UNIT(coll_compacts)
{
    size_t       used;
    coll_t      *t;
    char         line[64];
    ngx_uint_t   i;

    t = coll_start(pool, log, 8 * 1024 * 1024);
    used = 0;

    for (i = 0; i < COLL_LOOP; i++) {

        sprintf(line, "HINCRBY u0h f%d 3", (int) (i % 10));
        coll_run(t, t->local, line);

        sprintf(line, "ZINCRBY u0z 0.5 m%d", (int) (i % 10));
        coll_run(t, t->local, line);

        sprintf(line, "%s u0s m%d", i / 10 % 2 ? "SREM" : "SADD",
                (int) (i % 10));
        coll_run(t, t->local, line);

        coll_run(t, t->local, i % 2 ? "LPOP u0l" : "LPUSH u0l a");
        coll_run(t, t->local, i % 2 ? "LPOP u1l" : "RPUSH u1l a");

        if (i % 100 == 0) {
            coll_run(t, t->local, "EXPIRE u0h 1000");
        }

        if (i == 1000) {
            used = ngx_rf_zone_used(t->local);
        }
    }

    ok(coll_changes(t, "u0h") <= 3, "HINCRBY: %d changes",
       (int) coll_changes(t, "u0h"));
    ok(coll_changes(t, "u0z") <= 2, "ZINCRBY: %d changes",
       (int) coll_changes(t, "u0z"));
    ok(coll_changes(t, "u0s") <= 2, "SADD and SREM: %d changes",
       (int) coll_changes(t, "u0s"));
    ok(coll_changes(t, "u0l") <= 2, "LPUSH and LPOP: %d changes",
       (int) coll_changes(t, "u0l"));
    ok(coll_changes(t, "u1l") <= 2, "RPUSH and LPOP: %d changes",
       (int) coll_changes(t, "u1l"));
    ok(ngx_rf_zone_used(t->local) <= used + 16 * ngx_pagesize,
       "memory: %d KB, then %d KB", (int) used / 1024,
       (int) ngx_rf_zone_used(t->local) / 1024);
    ok(sound_zone(t->local, 0), "the zone is sound");
}


/* where memory is short a command is done or it is not, and leaves no trace
 * then */

RF_UNIT(coll_without_room)
{
    coll_t      *t;
    ngx_uint_t   i;

    t = coll_start(pool, log, COLL_SMALL);

    coll_absent(t, t->local);
    coll_absent(t, t->direct);
    coll_fill_up(t, COLL_ROOM);

    for (i = 0; i < COLL_COMMANDS && !t->wrong; i++) {

        coll_known(t);

        if (i % 20 == 0) {
            t->wrong += !sound_zone(t->local, 0);
            t->wrong += coll_differ(t, t->local, t->direct, "k");
        }
    }

    is_int(t->wrong, 0, "%d commands, %d of them without room", (int) i,
           (int) t->refused);
    ok(t->refused > 0, "memory was short");
}


RF_UNIT(coll_delta_without_room)
{
    coll_t      *t;
    ngx_uint_t   i, room;

    t = coll_start(pool, log, COLL_SMALL);

    coll_base(t);
    room = COLL_ROOM;
    coll_fill_up(t, room);

    for (i = 0; i < COLL_COMMANDS && !t->wrong; i++) {

        /* what lies between the pages may do for all of them */

        if (i && i % (COLL_COMMANDS / 4) == 0 && t->refused == 0) {
            room /= 2;
            coll_fill_up(t, room);
        }

        coll_unknown(t);

        if (coll_random(t, 2000) == 0) {
            coll_replay(t, 1);
        }

        if (i % 20 == 0) {
            t->wrong += !sound_zone(t->local, 0);
        }
    }

    is_int(t->wrong, 0, "%d commands, %d of them without room", (int) i,
           (int) t->refused);
    ok(t->refused > 0, "memory was short");

    for (i = 0; i < 10 && t->local->sh->npending; i++) {
        coll_replay(t, 0);
    }

    is_int(coll_differ(t, t->remote, t->direct, "un"), 0, "Redis is right");
    ok(sound_zone(t->local, 0), "the zone is sound");
}


/* a reader that was killed without the lock has left its pin: what it may have
 * read is freed as soon as memory is short */

RF_UNIT(coll_pin_of_the_dead)
{
    int          status;
    char         line[64];
    pid_t        pid;
    coll_t      *t;
    ngx_uint_t   i, n;

    t = coll_start(pool, log, COLL_SMALL);

    coll_fill_up(t, COLL_ROOM);

    for (n = 0; n < 1000; n++) {
        sprintf(line, "DEL fill%d", (int) n);

        if (coll_entry(t->local, line + 4) == NULL) {
            break;
        }

        coll_run(t, t->local, line);
    }

    for (i = 0; i < 1000; i++) {
        sprintf(line, "SADD one member%d", (int) i);
        coll_run(t, t->local, line);
    }

    pid = fork();

    if (pid == 0) {
        ngx_pid = getpid();

        ngx_rf_zone_lock(t->local);
        (void) ngx_rf_zone_pin_locked(t->local);
        ngx_rf_zone_unlock(t->local);

        _exit(0);
    }

    (void) waitpid(pid, &status, 0);

    is_int(t->local->sh->npins, 1, "a pin is left");
    t->local->sh->pins_looked = ngx_time();

    for (n = 0; n < 50; n++) {
        coll_run(t, t->local, "DEL one");

        for (i = 0; i < 200; i++) {
            sprintf(line, "SADD one member%d", (int) i);
            coll_run(t, t->local, line);
        }
    }

    is_int(t->wrong, 0, "there is room again");
    is_int(t->local->sh->npins, 0, "the pin is gone");
    ok(sound_zone(t->local, 0), "the zone is sound");
}


static coll_t *
coll_start(ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    coll_t  *t;

    t = ngx_pcalloc(pool, sizeof(coll_t));

    ngx_time_update();

    t->pool = pool;
    t->log = log;
    t->now = ngx_rf_now();
    t->random = coll_seed();

    printf("# COLL_SEED=%llu\n", (unsigned long long) t->random);

    t->local = coll_zone(pool, log, size);
    t->remote = coll_zone(pool, log, 8 * 1024 * 1024);
    t->direct = coll_zone(pool, log, 8 * 1024 * 1024);
    t->loaded = coll_zone(pool, log, 8 * 1024 * 1024);

    /* elements lie in the same order everywhere, and so whenever a seed is
     * given again */

    ngx_memcpy(t->local->sh->seed, &t->random, 8);
    ngx_memcpy(t->local->sh->seed + 8, &t->random, 8);

    ngx_memcpy(t->remote->sh->seed, t->local->sh->seed, 16);
    ngx_memcpy(t->direct->sh->seed, t->local->sh->seed, 16);
    ngx_memcpy(t->loaded->sh->seed, t->local->sh->seed, 16);

    return t;
}


static uint64_t
coll_seed(void)
{
    char             *env;
    struct timespec   now;

    env = getenv("COLL_SEED");

    if (env) {
        return strtoull(env, NULL, 10);
    }

    (void) clock_gettime(CLOCK_REALTIME, &now);

    return (uint64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}


static ngx_rf_zone_t *
coll_zone(ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    ngx_rf_zone_t   *zone;
    ngx_shm_zone_t  *shm;

    zone = ngx_pcalloc(pool, sizeof(ngx_rf_zone_t));

    ngx_str_set(&zone->name, "app");

    shm = rf_unit_shm(pool, log, size);
    shm->data = zone;

    if (ngx_rf_zone_init(shm, NULL) != NGX_OK) {
        ok(0, "a zone");
    }

    zone->shpool->log_nomem = 0;

    return zone;
}


/* leaves room for a few nodes of trees, "room" times COLL_FILL bytes */

static void
coll_fill_up(coll_t *t, ngx_uint_t room)
{
    char         line[64];
    ngx_str_t    argv[3];
    ngx_uint_t   i;
    ngx_pool_t  *temp;

    temp = ngx_create_pool(1024, t->log);

    ngx_str_set(&argv[0], "SET");
    argv[1].data = (u_char *) line;
    argv[2].len = COLL_FILL;
    argv[2].data = ngx_pcalloc(temp, COLL_FILL);

    for (i = 0; t->refused == 0; i++) {
        argv[1].len = sprintf(line, "fill%d", (int) i);
        (void) coll_exec(t, t->local, temp, 3, argv);
    }

    for (i = 0; i < room; i++) {
        sprintf(line, "DEL fill%d", (int) i);
        coll_run(t, t->local, line);
    }

    t->refused = 0;

    ngx_destroy_pool(temp);
}


static uint64_t
coll_random(coll_t *t, uint64_t n)
{
    uint64_t  x;

    /* splitmix64: any seed is a good one */

    t->random += 0x9e3779b97f4a7c15ULL;

    x = t->random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    x ^= x >> 31;

    return x % n;
}


static void
coll_base(coll_t *t)
{
    coll_absent(t, t->direct);
    coll_absent(t, t->remote);

    coll_fill(t, t->local, 'k');
    coll_fill(t, t->direct, 'k');
    coll_fill(t, t->direct, 'u');
    coll_fill(t, t->remote, 'u');

    /* acknowledged, so they are complete and clean */

    coll_replay(t, 0);

    is_int(t->local->sh->npending, 0, "all is clean");
    is_int(coll_differ(t, t->remote, t->direct, "kun"), 0, "a base");
}


/* a Redis knows what it does not hold */

static void
coll_absent(coll_t *t, ngx_rf_zone_t *zone)
{
    char         line[16];
    ngx_uint_t   i, k;
    const char  *kind;

    for (kind = "kun"; *kind; kind++) {
        for (k = 0; k < 3; k++) {
            for (i = 0; i < COLL_TYPES; i++) {
                sprintf(line, "DEL %c%d%c", *kind, (int) k, coll_types[i]);
                coll_run(t, zone, line);
            }
        }
    }
}


static void
coll_fill(coll_t *t, ngx_rf_zone_t *zone, char kind)
{
    char        line[64];
    ngx_uint_t  i, k;

    for (k = 0; k < 2; k++) {
        for (i = 0; i < 8; i++) {
            sprintf(line, "HSET %c%dh f%d %d", kind, (int) k, (int) i,
                    (int) i * 10);
            coll_run(t, zone, line);

            sprintf(line, "RPUSH %c%dl e%d e%d", kind, (int) k, (int) i % 4,
                    (int) i);
            coll_run(t, zone, line);

            sprintf(line, "SADD %c%ds m%d", kind, (int) k, (int) i);
            coll_run(t, zone, line);

            sprintf(line, "ZADD %c%dz %d m%d", kind, (int) k, (int) i * 7 - 20,
                    (int) i);
            coll_run(t, zone, line);
        }
    }
}


/* the same command for both, and the same reply.  %k: a key of the type; %n: a
 * number; %q: with quarters, exact as doubles; %v: something longer */

static void
coll_known(coll_t *t)
{
    ngx_uint_t        n, type;
    coll_cmd_t        c;
    ngx_pool_t       *temp;
    ngx_rf_reply_t   *a, *b;

    static const char  *lines[COLL_TYPES][30] = {
        { "HSET %k f%n %n", "HSET %k f%n v%n f%n %q", "HDEL %k f%n",
          "HDEL %k f%n f%n f%n f%n f%n f%n", "HINCRBY %k f%n %n",
          "HINCRBY %k f%n -%n", "HINCRBYFLOAT %k f%n %q", "HSETNX %k f%n %n",
          "HSET %k f%n %v", "HGETALL %k",
          "EXPIRE %k 1%n", "PERSIST %k", "HMSET %k f%n %n" },

        { "LPUSH %k e%n e%n", "RPUSH %k e%n e%n e%n", "LPOP %k", "RPOP %k",
          "LPOP %k 3", "RPOP %k %n", "LREM %k 1 e%n", "LREM %k -2 e%n",
          "LREM %k 0 e%n", "LTRIM %k 1 -2", "LTRIM %k %n %n", "LSET %k 1 x%n",
          "LINSERT %k BEFORE e%n x%n", "LINSERT %k AFTER e%n x%n",
          "LMOVE %k %k LEFT RIGHT", "LMOVE %k %k RIGHT LEFT",
          "LMOVE %k %k LEFT LEFT", "RPOPLPUSH %k %k", "LPUSHX %k e%n",
          "RPUSHX %k e%n", "LPUSH %k %v %v", "LREM %k 0 %v",
          "LRANGE %k 0 -1", "EXPIRE %k 1%n", "PERSIST %k" },

        { "SADD %k m%n m%n m%n", "SADD %k m%n", "SREM %k m%n", "SREM %k m%n",
          "SREM %k m%n m%n m%n m%n m%n", "SMOVE %k %k m%n",
          "SUNIONSTORE %k %k %k", "SINTERSTORE %k %k %k",
          "SDIFFSTORE %k %k %k", "SADD %k %v %v", "SREM %k %v",
          "SMEMBERS %k", "EXPIRE %k 1%n",
          "PERSIST %k" },

        { "ZADD %k %n m%n %q m%n", "ZADD %k %n m%n", "ZADD %k GT %n m%n",
          "ZADD %k LT CH -%q m%n", "ZADD %k NX %n m%n", "ZADD %k XX %n m%n",
          "ZADD %k INCR %q m%n", "ZADD %k GT INCR %n m%n",
          "ZADD %k XX LT %n m%n %n m%n", "ZINCRBY %k %q m%n",
          "ZINCRBY %k -%q m%n", "ZINCRBY %k -%n m%n", "ZREM %k m%n m%n",
          "ZREM %k m%n", "ZREMRANGEBYRANK %k 0 1", "ZREMRANGEBYRANK %k 1 -2",
          "ZREMRANGEBYSCORE %k %n (1%n", "ZPOPMIN %k", "ZPOPMAX %k 2",
          "ZREMRANGEBYRANK %k -1 -1", "ZREMRANGEBYLEX %k [m%n [m%n",
          "ZADD %k %n %v",
          "ZREM %k %v", "ZADD %k inf m%n", "ZADD %k -0 m%n",
          "ZADD %k -inf m%n",
          "ZRANGE %k 0 -1 WITHSCORES", "EXPIRE %k 1%n", "PERSIST %k" }
    };

    static const char  *any[] = {
        "RENAME %k %k", "RENAMENX %k %k", "COPY %k %k REPLACE", "COPY %k %k",
        "DEL %k", "DEL %k", "SET %k v", "TYPE %k", "PERSIST %k",
        "EXPIRE %k -1", "PEXPIRE %k 1%n000"
    };

    type = coll_random(t, COLL_TYPES);

    if (coll_random(t, 15) == 0) {
        n = coll_random(t, sizeof(any) / sizeof(any[0]));
        coll_make(t, &c, any[n], type);

    } else {

        for (n = 0; n < 30 && lines[type][n]; n++) { /* void */ }

        coll_make(t, &c, lines[type][coll_random(t, n)], type);
    }

    temp = ngx_create_pool(4096, t->log);

    a = coll_exec(t, t->local, temp, c.argc, c.argv);

    if (a == NULL) {
        ngx_destroy_pool(temp);
        return;
    }

    b = coll_exec(t, t->direct, temp, c.argc, c.argv);

    if (b == NULL || !coll_same_reply(a, b)) {
        printf("# replies differ: %s\n", c.text);
        t->wrong++;
    }

    ngx_destroy_pool(temp);
}


/* commands whose effect merges with whatever is there */

static void
coll_unknown(coll_t *t)
{
    ngx_uint_t   n, i, type;
    coll_cmd_t   c, two;
    ngx_pool_t  *temp;

    /* GT and LT decide by what memory knows (docs/commands.md), so those that
     * they are for get scores by nothing else, and none that a range takes by
     * its score; and nothing is taken by rank where they are (the lowest that
     * memory knows may be another one than the lowest that there is) */

    static const char  *lines[COLL_TYPES][14] = {
        { "HSET %u f%n %n", "HSET %u f%n %n f%n %n", "HDEL %u f%n g%n",
          "HDEL %u f%n", "HINCRBY %u f%n %n", "HINCRBY %u f%n -%n",
          "HINCRBYFLOAT %u g%n %q", "HINCRBYFLOAT %u g%n -%q",
          "HSET %u g%n %q" },
        { "LPUSH %u e%n e%n", "RPUSH %u e%n", "RPUSH %u e%n e%n",
          "LREM %u 0 e%n", "LREM %u 1 e%n", "LTRIM %u 1 -1" },
        { "SADD %u m%n m%n", "SADD %u m%n", "SREM %u m%n m%n m%n",
          "SREM %u m%n" },
        { "ZADD %u %n m%n %n m%n", "ZADD %u %q m%n", "ZADD %g GT 2%n g%n",
          "ZADD %g LT -%n l%n", "ZINCRBY %u %q m%n", "ZINCRBY %u -%n m%n",
          "ZREM %u m%n m%n", "ZREMRANGEBYSCORE %u (%n 1%n",
          "ZREMRANGEBYRANK %r 0 0", "ZADD %u -%q m%n" }
    };

    type = coll_random(t, COLL_TYPES);

    for (n = 0; n < 14 && lines[type][n]; n++) { /* void */ }

    two.argc = 0;

    if (coll_random(t, 40) == 0) {
        coll_make(t, &c, "DEL %u", type);

    } else if (type == 1 && coll_random(t, 10) == 0) {

        /* what was just pushed is what is popped, whatever there is */

        i = coll_random(t, 2);
        coll_make(t, &c, i ? "LPUSH %u p%n" : "RPUSH %u p%n", type);

        two.argc = 2;
        two.argv[0].data = (u_char *) (i ? "LPOP" : "RPOP");
        two.argv[0].len = 4;
        two.argv[1] = c.argv[1];

    } else {
        coll_make(t, &c, lines[type][coll_random(t, n)], type);
    }

    temp = ngx_create_pool(4096, t->log);

    if (coll_exec(t, t->local, temp, c.argc, c.argv)) {
        (void) coll_exec(t, t->direct, temp, c.argc, c.argv);

        if (two.argc
            && coll_exec(t, t->local, temp, two.argc, two.argv) != NULL)
        {
            (void) coll_exec(t, t->direct, temp, two.argc, two.argv);
        }
    }

    ngx_destroy_pool(temp);
}


static void
coll_make(coll_t *t, coll_cmd_t *c, const char *text, ngx_uint_t type)
{
    char        *p;
    ngx_uint_t   n;

    p = c->text;

    for ( /* void */ ; *text; text++) {

        if (*text != '%') {
            *p++ = *text;
            continue;
        }

        switch (*++text) {

        case 'k':
            p += sprintf(p, "k%d%c", (int) coll_random(t, 3),
                         coll_types[coll_random(t, 30)
                                    ? type : coll_random(t, COLL_TYPES)]);
            break;

        case 'u':
        case 'r':
        case 'g':
            p += sprintf(p, "%c%d%c", "un"[coll_random(t, 2)],
                         *text == 'u' ? (int) coll_random(t, 2) : *text == 'g',
                         coll_types[type]);
            break;

        case 'q':
            p += sprintf(p, "%d.%d", (int) coll_random(t, 30),
                         (int) (coll_random(t, 3) + 1) * 25);
            break;

        case 'v':
            n = coll_random(t, 10);
            memset(p, 'a' + (int) n, n * 70 + 1);
            p += n * 70 + 1;
            break;

        default:
            p += sprintf(p, "%d", (int) coll_random(t, 10));
        }
    }

    *p = '\0';

    coll_line(c);
}


static void
coll_line(coll_cmd_t *c)
{
    char  *p;

    c->argc = 0;

    for (p = c->text; ; p++) {
        c->argv[c->argc].data = (u_char *) p;

        while (*p && *p != ' ') {
            p++;
        }

        c->argv[c->argc].len = (u_char *) p - c->argv[c->argc].data;
        c->argc++;

        if (*p == '\0') {
            return;
        }
    }
}


static ngx_rf_reply_t *
coll_exec(coll_t *t, ngx_rf_zone_t *zone, ngx_pool_t *pool, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_int_t       rc;
    ngx_uint_t      i;
    ngx_rf_local_t  l;

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = zone;
    l.command = ngx_rf_command_find(&argv[0]);
    l.argc = argc;
    l.argv = argv;
    l.pool = pool;
    l.now = t->now;
    l.scope = NGX_RF_SCOPE_ANY;

    rc = ngx_rf_local_exec(&l);

    if (rc == NGX_OK) {
        return l.reply;
    }

    if (rc == NGX_RF_NEED_ROOM) {
        t->refused++;

    } else if (rc == NGX_RF_NEED_REDIS && zone == t->local) {
        t->redis++;

    } else {
        printf("# returned %d:", (int) rc);

        for (i = 0; i < argc; i++) {
            printf(" %.*s", (int) argv[i].len, argv[i].data);
        }

        printf("\n");
        t->wrong++;
    }

    return NULL;
}


static void
coll_run(coll_t *t, ngx_rf_zone_t *zone, const char *line)
{
    coll_cmd_t       c;
    ngx_pool_t      *temp;
    ngx_rf_reply_t  *reply;

    strcpy(c.text, line);
    coll_line(&c);

    temp = ngx_create_pool(1024, t->log);
    reply = coll_exec(t, zone, temp, c.argc, c.argv);

    if (reply == NULL || reply->type == NGX_RF_REPLY_ERROR) {
        printf("# failed: %s\n", line);
        t->wrong++;
    }

    ngx_destroy_pool(temp);
}


/* with "lose" the connection breaks now and then, before or after Redis has
 * applied the changes */

static void
coll_replay(coll_t *t, ngx_uint_t lose)
{
    ngx_uint_t        i, keep;
    ngx_rf_record_t  *rec, *next;

    rec = ngx_rf_zone_replay_take(t->local,
                                  lose ? 1 + coll_random(t, 20) : 1000,
                                  1 << 20, t->now, NULL);

    for ( /* void */ ; rec; rec = next) {
        next = rec->next;

        for (i = 0; i < t->napplied; i++) {
            if (rec->id && t->applied[i] == rec->id) {
                break;
            }
        }

        if (lose && coll_random(t, 4) == 0) {
            ngx_rf_zone_replay_done(t->local, rec, NGX_AGAIN, 0, t->now);
            free(rec);
            continue;
        }

        if (i == t->napplied) {
            coll_apply(t, rec);

            if (rec->id && t->napplied < COLL_APPLIED) {
                t->applied[t->napplied++] = rec->id;
            }
        }

        keep = (rec->key.data[0] == 'k');

        ngx_rf_zone_replay_done(t->local, rec,
                                lose && coll_random(t, 4) == 0 ? NGX_AGAIN
                                                               : NGX_OK,
                                keep, t->now);

        free(rec);
    }
}


/* as the replay's script does it, with what it says of the expiry: the last one
 * among the changes, else the one that was, even if the key was empty on the
 * way */

static void
coll_apply(coll_t *t, ngx_rf_record_t *rec)
{
    int64_t           expire;
    ngx_str_t         del, *argv;
    ngx_uint_t        i, n;
    ngx_rf_entry_t   *e;

    if (rec->pending == NGX_RF_REPLACE) {
        ngx_str_set(&del, "DEL");
        coll_apply_argv(t, &rec->key, 1, &del);
        coll_apply_values(t, rec);
        return;
    }

    e = coll_remote(t, &rec->key);
    expire = e ? e->expire : 0;

    n = rec->nsent ? rec->nsent : rec->nchanges;

    for (i = 0; i < n; i++) {
        argv = rec->changes[i].argv;

        coll_apply_argv(t, &rec->key, rec->changes[i].argc, argv);

        if (argv[0].len == 9 && ngx_memcmp(argv[0].data, "PEXPIREAT", 9) == 0) {
            expire = ngx_atoof(argv[1].data, argv[1].len);

        } else if (argv[0].len == 7
                   && ngx_memcmp(argv[0].data, "PERSIST", 7) == 0)
        {
            expire = 0;
        }
    }

    e = coll_remote(t, &rec->key);

    if (e && e->type != NGX_RF_NONE && e->expire == 0 && expire) {
        coll_apply_expire(t, &rec->key, expire);
    }
}


static void
coll_apply_values(coll_t *t, ngx_rf_record_t *rec)
{
    ngx_str_t   argv[3];
    ngx_uint_t  i, step;

    static const char  *verbs[] = {
        NULL, "SET", "HSET", "RPUSH", "SADD", "ZADD"
    };

    if (rec->type == NGX_RF_NONE) {
        return;
    }

    step = (rec->type == NGX_RF_HASH || rec->type == NGX_RF_ZSET) ? 2 : 1;

    for (i = 0; i + step <= rec->nvalues; i += step) {
        argv[0].data = (u_char *) verbs[rec->type];
        argv[0].len = strlen(verbs[rec->type]);
        argv[1] = rec->values[i];

        if (rec->type == NGX_RF_HASH) {
            argv[2] = rec->values[i + 1];

        } else if (rec->type == NGX_RF_ZSET) {
            argv[1] = rec->values[i + 1];
            argv[2] = rec->values[i];
        }

        coll_apply_argv(t, &rec->key, 1 + step, argv);
    }

    if (rec->expire) {
        coll_apply_expire(t, &rec->key, rec->expire);
    }
}


static void
coll_apply_expire(coll_t *t, ngx_str_t *key, int64_t expire)
{
    ngx_str_t  argv[2];
    u_char     text[NGX_INT64_LEN];

    ngx_str_set(&argv[0], "PEXPIREAT");
    argv[1].data = text;
    argv[1].len = ngx_sprintf(text, "%L", expire) - text;

    coll_apply_argv(t, key, 2, argv);
}


static ngx_rf_entry_t *
coll_remote(coll_t *t, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(t->remote);
    e = ngx_rf_zone_lookup_locked(t->remote, key);
    ngx_rf_zone_unlock(t->remote);

    return e;
}


static void
coll_apply_argv(coll_t *t, ngx_str_t *key, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_str_t       *args;
    ngx_pool_t      *temp;
    ngx_rf_reply_t  *reply;

    temp = ngx_create_pool(4096, t->log);

    args = ngx_palloc(temp, (argc + 1) * sizeof(ngx_str_t));

    args[0] = argv[0];
    args[1] = *key;
    ngx_memcpy(&args[2], &argv[1], (argc - 1) * sizeof(ngx_str_t));

    reply = coll_exec(t, t->remote, temp, argc + 1, args);

    if (reply == NULL || reply->type == NGX_RF_REPLY_ERROR) {
        printf("# Redis refuses %.*s %.*s: %.*s\n", (int) argv[0].len,
               argv[0].data, (int) key->len, key->data,
               reply ? (int) reply->str.len : 0,
               reply ? (char *) reply->str.data : "");
        t->wrong++;
    }

    ngx_destroy_pool(temp);
}


/* what is pending now, in files and back from there */

static void
coll_files(coll_t *t)
{
    ngx_uint_t        i;
    ngx_rf_entry_t   *e;
    ngx_rf_record_t  *rec;
    ngx_rf_zone_sh_t *sh;

    sh = t->local->sh;

    for (i = 0; i < sh->nbuckets; i++) {
        for (e = ngx_rf_zone_at(sh, sh->buckets[i]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {

            if (e->pending == NGX_RF_CLEAN) {
                continue;
            }

            rec = ngx_rf_zone_record(t->local, e);
            coll_file(t, rec, e);
            free(rec);
        }
    }
}


static void
coll_file(coll_t *t, ngx_rf_record_t *rec, ngx_rf_entry_t *from)
{
    size_t            len;
    u_char           *text;
    ngx_int_t         rc;
    const char       *why;
    ngx_rf_entry_t   *e;
    ngx_rf_record_t  *read, *taken;

    why = "";
    taken = NULL;

    if (ngx_rf_codec_encode(rec, &text, &len) != NGX_OK
        || ngx_rf_codec_decode(text, len, &read, &why) != NGX_OK)
    {
        printf("# not a record: %s\n", why);
        t->wrong++;
        return;
    }

    free(text);

    rc = ngx_rf_zone_load(t->loaded, read, t->loaded->sh->seq, 0, t->now);

    if (rc == NGX_OK) {
        ngx_rf_zone_lock(t->loaded);
        e = ngx_rf_zone_lookup_locked(t->loaded, &rec->key);
        taken = e ? ngx_rf_zone_record(t->loaded, e) : NULL;

        if (e && (e->work->nchanges > from->work->nchanges
                  || e->work->nsent > from->work->nsent))
        {
            printf("# %d changes, %d of them sent: from %d and %d\n",
                   (int) e->work->nchanges, (int) e->work->nsent,
                   (int) from->work->nchanges, (int) from->work->nsent);
            t->wrong++;
        }

        ngx_rf_zone_unlock(t->loaded);
    }

    if (taken == NULL || !coll_same_changes(t, rec, taken)) {
        printf("# %.*s is not what it was: %d\n", (int) rec->key.len,
               rec->key.data, (int) rc);
        coll_print_record(rec);

        if (taken) {
            coll_print_record(taken);
        }

        t->wrong++;
    }

    free(taken);

    /* as if it were acknowledged */

    taken = ngx_rf_zone_replay_take(t->loaded, 1, 1 << 20, t->now, NULL);

    while (taken) {
        ngx_rf_zone_replay_done(t->loaded, taken, NGX_OK, 0, t->now);
        free(taken);
        taken = ngx_rf_zone_replay_take(t->loaded, 1, 1 << 20, t->now, NULL);
    }

    /* nor is its file remembered */

    ngx_rf_zone_lock(t->loaded);

    e = ngx_rf_zone_lookup_locked(t->loaded, &rec->key);

    if (e != NULL) {
        ngx_rf_zone_remove(t->loaded, e);
    }

    ngx_rf_zone_unlock(t->loaded);

    free(read);
}


/* two elements in one ZADD GT may be two of them when read: what one of them
 * was told before decides that */

static ngx_uint_t
coll_same_changes(coll_t *t, ngx_rf_record_t *a, ngx_rf_record_t *b)
{
    ngx_rf_record_t  x, y;

    coll_single(t, a, &x);
    coll_single(t, b, &y);

    return coll_same_record(&x, &y);
}


static void
coll_single(coll_t *t, ngx_rf_record_t *rec, ngx_rf_record_t *to)
{
    ngx_str_t        *argv;
    ngx_uint_t        i, k, n, first;
    ngx_rf_change_t  *c;

    *to = *rec;

    for (n = 0, i = 0; i < rec->nchanges; i++) {
        n += rec->changes[i].argc;
    }

    to->changes = ngx_palloc(t->pool, n * sizeof(ngx_rf_change_t));
    to->nchanges = 0;

    for (i = 0; i < rec->nchanges; i++) {

        if (i == rec->nsent) {
            to->nsent = to->nchanges;
        }

        c = &rec->changes[i];
        first = (c->argc > 4 && c->argv[0].len == 4
                 && ngx_memcmp(c->argv[0].data, "ZADD", 4) == 0)
                ? c->argc % 2 ? 1 : 2 : c->argc;

        for (k = first; k == first || k < c->argc; k += 2) {
            argv = ngx_palloc(t->pool, (first + 2) * sizeof(ngx_str_t));
            ngx_memcpy(argv, c->argv, first * sizeof(ngx_str_t));

            to->changes[to->nchanges].argv = argv;
            to->changes[to->nchanges].argc = first;

            if (k < c->argc) {
                argv[first] = c->argv[k];
                argv[first + 1] = c->argv[k + 1];
                to->changes[to->nchanges].argc += 2;
            }

            to->nchanges++;
        }
    }

    if (rec->nsent == rec->nchanges) {
        to->nsent = to->nchanges;
    }
}


static void
coll_print_record(ngx_rf_record_t *rec)
{
    size_t   len;
    u_char  *text;

    if (ngx_rf_codec_encode(rec, &text, &len) == NGX_OK) {
        printf("# %.*s\n", (int) len, text);
        free(text);
    }
}


static ngx_uint_t
coll_same_record(ngx_rf_record_t *a, ngx_rf_record_t *b)
{
    ngx_uint_t  i, j, n;

    if (a->type != b->type || a->pending != b->pending
        || a->expire != b->expire || a->id != b->id || a->nsent != b->nsent
        || a->version != b->version || a->base != b->base
        || (a->pending == NGX_RF_DELTA && a->complete != b->complete)
        || a->nvalues != b->nvalues || a->nchanges != b->nchanges
        || !coll_same_strings(a->nvalues, a->values, b->values))
    {
        return 0;
    }

    for (i = 0; i < a->nchanges; i += n) {
        n = coll_sums(a, i);

        for (j = i; j < i + n; j++) {
            if (coll_count(a, i, n, &a->changes[j])
                != coll_count(b, i, n, &a->changes[j]))
            {
                return 0;
            }
        }
    }

    return 1;
}


/* how many from "first" on may come in any order: sums of one verb */

static ngx_uint_t
coll_sums(ngx_rf_record_t *rec, ngx_uint_t first)
{
    ngx_str_t   *verb;
    ngx_uint_t   n;

    verb = rec->changes[first].argv;

    if (rec->changes[first].argc != 3
        || ngx_strlchr(verb->data, verb->data + verb->len, 'I') == NULL)
    {
        return 1;
    }

    for (n = 1; first + n < rec->nchanges && first + n != rec->nsent; n++) {
        if (!coll_same_strings(1, verb, rec->changes[first + n].argv)) {
            break;
        }
    }

    return n;
}


static ngx_uint_t
coll_count(ngx_rf_record_t *rec, ngx_uint_t first, ngx_uint_t n,
    ngx_rf_change_t *change)
{
    ngx_uint_t  i, found;

    found = 0;

    for (i = first; i < first + n; i++) {
        found += rec->changes[i].argc == change->argc
                 && coll_same_strings(change->argc, change->argv,
                                      rec->changes[i].argv);
    }

    return found;
}


static ngx_uint_t
coll_same_strings(ngx_uint_t n, ngx_str_t *a, ngx_str_t *b)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (a[i].len != b[i].len
            || ngx_memcmp(a[i].data, b[i].data, a[i].len) != 0)
        {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
coll_same_reply(ngx_rf_reply_t *a, ngx_rf_reply_t *b)
{
    ngx_uint_t  i;

    if (a->type != b->type || a->integer != b->integer
        || a->nelts != b->nelts || a->str.len != b->str.len
        || (a->str.len
            && ngx_memcmp(a->str.data, b->str.data, a->str.len) != 0))
    {
        return 0;
    }

    for (i = 0; i < a->nelts; i++) {
        if (!coll_same_reply(&a->elts[i], &b->elts[i])) {
            return 0;
        }
    }

    return 1;
}


/* how many keys of these kinds are not the same in both */

static ngx_uint_t
coll_differ(coll_t *t, ngx_rf_zone_t *a, ngx_rf_zone_t *b, const char *kinds)
{
    char         key[8];
    ngx_uint_t   i, k, n;

    n = 0;

    for ( /* void */ ; *kinds; kinds++) {
        for (k = 0; k < 3; k++) {
            for (i = 0; i < COLL_TYPES; i++) {
                sprintf(key, "%c%d%c", *kinds, (int) k, coll_types[i]);

                if (!coll_same(coll_entry(a, key), coll_entry(b, key))) {
                    printf("# %s differs\n", key);
                    coll_print("one", a, key);
                    coll_print("other", b, key);
                    n++;
                }
            }
        }
    }

    return n;
}


static ngx_uint_t
coll_same(ngx_rf_entry_t *a, ngx_rf_entry_t *b)
{
    if (a == NULL || b == NULL || a->type == NGX_RF_NONE) {
        return (a == NULL || a->type == NGX_RF_NONE)
               && (b == NULL || b->type == NGX_RF_NONE);
    }

    if (a->type != b->type || a->expire != b->expire) {
        return 0;
    }

    if (a->type == NGX_RF_STRING) {
        return a->value->len == b->value->len
               && ngx_memcmp(a->value->data, b->value->data, a->value->len)
                  == 0;
    }

    return coll_same_tree(&ngx_rf_zone_content(a)->elts,
                          &ngx_rf_zone_content(b)->elts)
           && coll_same_tree(&ngx_rf_zone_content(a)->order,
                             &ngx_rf_zone_content(b)->order);
}


static ngx_uint_t
coll_same_tree(ngx_rf_tree_t *a, ngx_rf_tree_t *b)
{
    ngx_rf_elt_t   *x, *y;
    ngx_rf_walk_t   one, other;

    if (a->count != b->count || a->bytes != b->bytes) {
        return 0;
    }

    x = ngx_rf_walk_from(&one, a, 0);
    y = ngx_rf_walk_from(&other, b, 0);

    while (x && y) {

        if (x->key != y->key || x->name_len != y->name_len
            || x->value_len != y->value_len
            || ngx_memcmp(x->data, y->data, x->name_len + x->value_len) != 0)
        {
            return 0;
        }

        x = ngx_rf_walk_next(&one);
        y = ngx_rf_walk_next(&other);
    }

    return x == NULL && y == NULL;
}


static void
coll_print(const char *what, ngx_rf_zone_t *zone, const char *key)
{
    double           score;
    ngx_rf_elt_t    *elt;
    ngx_rf_walk_t    walk;
    ngx_rf_entry_t  *e;

    e = coll_entry(zone, key);

    if (e == NULL || e->type == NGX_RF_NONE || e->type == NGX_RF_STRING) {
        printf("# %s: type %d\n", what, e ? (int) e->type : -1);
        return;
    }

    printf("# %s: type %d, complete %d, expires %lld, %d elements:", what,
           (int) e->type, (int) e->complete, (long long) e->expire,
           (int) ngx_rf_zone_content(e)->elts.count);

    for (elt = ngx_rf_walk_from(&walk, &ngx_rf_zone_content(e)->elts, 0);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        printf(" %.*s", (int) elt->name_len, ngx_rf_elt_name(elt));

        if (e->type == NGX_RF_ZSET) {
            ngx_memcpy(&score, ngx_rf_elt_value(elt), sizeof(double));
            printf("=%g", score);

        } else if (e->type == NGX_RF_HASH) {
            printf("=%.*s", (int) elt->value_len, ngx_rf_elt_value(elt));
        }
    }

    printf("\n");
}


static ngx_rf_entry_t *
coll_entry(ngx_rf_zone_t *zone, const char *key)
{
    ngx_str_t        name;
    ngx_rf_entry_t  *e;

    name.data = (u_char *) key;
    name.len = strlen(key);

    ngx_rf_zone_lock(zone);
    e = ngx_rf_zone_lookup_locked(zone, &name);
    ngx_rf_zone_unlock(zone);

    return e;
}


static ngx_uint_t
coll_changes(coll_t *t, const char *key)
{
    ngx_rf_entry_t  *e;

    e = coll_entry(t->local, key);

    return e ? e->work->nchanges : 0;
}
