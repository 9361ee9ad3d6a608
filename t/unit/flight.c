/*
 * One read per key, where there is no memory for what those who wait are to
 * get: they ask for themselves, by one command, and each is answered once.
 */

#include "exec.h"
#include "remote.h"
#include "scarce.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


#define FLIGHT_OPS      4
#define FLIGHT_TRIES    60


typedef struct {
    ngx_rf_op_t           op;
    ngx_str_t             argv[4];
    ngx_uint_t            nelts;        /* of what it is to get; 0: a string */
    ngx_uint_t            answered;
    ngx_uint_t            well;
} flight_op_t;

typedef struct {
    exec_t                exec;
    remote_t              remote;
    ngx_rf_store_t       *store;
    ngx_pool_t           *pools[FLIGHT_OPS];
    flight_op_t           ops[FLIGHT_OPS];
} flight_t;


static ngx_uint_t flight_is(ngx_rf_op_t *op, ngx_uint_t nelts);


/* a request ends when it is answered, and takes its memory with it */

static void
flight_handler(ngx_rf_op_t *op)
{
    ngx_uint_t     i;
    flight_op_t   *f;

    f = op->data;

    f->answered++;
    f->well = flight_is(op, f->nelts);

    if (op->reply) {
        for (i = 0; i < op->reply->nelts; i++) {
            ngx_memset(op->reply->elts[i].str.data, '-',
                       op->reply->elts[i].str.len);
        }

        if (op->reply->str.len) {
            ngx_memset(op->reply->str.data, '-', op->reply->str.len);
        }

        op->reply->type = NGX_RF_REPLY_NIL;
    }

    ngx_destroy_pool(op->pool);
}


static void
flight_start(flight_t *f, ngx_pool_t *pool, ngx_log_t *log, ngx_uint_t cache)
{
    ngx_uint_t       i;
    ngx_rf_store_t  *store;

    ngx_memzero(f, sizeof(flight_t));
    exec_init(&f->exec, pool, log, 256 * 1024);
    remote_begin(&f->remote, log);

    store = ngx_pcalloc(pool, sizeof(ngx_rf_store_t));
    store->zone = *f->exec.zone;
    store->zone.log = log;
    store->conf.cache = cache;
    store->conf.cache_time = 60000;
    store->conf.redis.connections = 1;
    store->conf.redis.connect_timeout = 1000;
    store->conf.redis.timeout = 1000;

    ngx_queue_init(&store->waiting);
    store->wait_event.log = log;
    store->wait_event.data = store;

    for (i = 0; i < NGX_RF_STORE_FLIGHTS; i++) {
        ngx_queue_init(&store->flights[i]);
    }

    f->store = store;
}


static void
flight_submit(flight_t *f, ngx_uint_t n, const char *line, ngx_log_t *log)
{
    exec_t        e;
    ngx_rf_op_t  *op;

    f->pools[n] = ngx_create_pool(4096, log);
    e.pool = f->pools[n];

    op = &f->ops[n].op;
    op->store = f->store;
    op->pool = f->pools[n];
    op->log = log;
    op->argv = f->ops[n].argv;
    op->argc = exec_words(&e, line, op->argv);
    op->handler = flight_handler;
    op->data = &f->ops[n];

    if (ngx_rf_store_submit(op) != NGX_AGAIN) {
        ok(0, "submitted: %s", line);
    }
}


static ngx_uint_t
flight_is(ngx_rf_op_t *op, ngx_uint_t nelts)
{
    ngx_uint_t       i;
    ngx_rf_reply_t  *reply;

    reply = op->reply;

    if (op->rc != NGX_OK || reply == NULL) {
        return 0;
    }

    if (nelts == 0) {
        return reply->type == NGX_RF_REPLY_STRING && reply->str.len == 5
               && ngx_memcmp(reply->str.data, "value", 5) == 0;
    }

    if (reply->type != NGX_RF_REPLY_ARRAY || reply->nelts != nelts) {
        return 0;
    }

    for (i = 0; i < nelts; i++) {
        if (reply->elts[i].str.len != 1
            || reply->elts[i].str.data[0] != 'a' + i)
        {
            return 0;
        }
    }

    return 1;
}


/* what Redis says */

static const char *
flight_wire(ngx_rf_call_t *call, ngx_uint_t nelts)
{
    if (nelts) {
        return call->ncommands == 1
               ? "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"
               : "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n:-1\r\n";
    }

    return call->ncommands == 1 ? "$5\r\nvalue\r\n" : "$5\r\nvalue\r\n:-1\r\n";
}


/* returns whether an allocation failed; *wrong counts, *more the rounds in
 * which Redis was asked once more */

static ngx_uint_t
flight_round(const char *line, ngx_uint_t nelts, ngx_uint_t cache,
    ngx_uint_t n, ngx_uint_t *wrong, ngx_uint_t *more, ngx_log_t *log)
{
    flight_t     f;
    ngx_uint_t   i, hit, internal, asked;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, log);

    flight_start(&f, pool, log, cache);

    for (i = 0; i < FLIGHT_OPS; i++) {
        f.ops[i].nelts = nelts;
        flight_submit(&f, i, line, log);
    }

    asked = f.remote.asked;

    f.remote.scarce = n;
    remote_answer(&f.remote, f.pools[0], 0,
                  flight_wire(f.remote.calls[0], nelts));
    hit = f.remote.hit;

    *more += (f.remote.asked > asked);

    /* more than one command for all of them is none for each key */

    *wrong += (asked != 1 || f.remote.asked > 2);

    if (f.remote.ncalls) {
        remote_answer(&f.remote, f.remote.calls[0]->pool, 0,
                      flight_wire(f.remote.calls[0], nelts));
    }

    *wrong += (f.remote.ncalls != 0 || f.store->nleads != 0);

    for (i = 0, internal = 0; i < FLIGHT_OPS; i++) {
        *wrong += (f.ops[i].answered != 1);

        if (f.ops[i].op.failure == NGX_RF_FAILURE_INTERNAL) {
            internal++;

        } else {
            *wrong += !f.ops[i].well;
        }
    }

    /* a request that has no memory of its own fails, and no other */

    *wrong += (internal > ((n & SCARCE_ON) ? FLIGHT_OPS : hit));

    if (*wrong) {
        printf("# allocation %d: %d asked, %d internal, %d left, %d leads\n",
               (int) n, (int) f.remote.asked, (int) internal,
               (int) f.remote.ncalls, (int) f.store->nleads);
    }

    remote_end();

    ngx_destroy_pool(pool);

    return hit;
}


static void
flight_walk(const char *line, ngx_uint_t nelts, ngx_uint_t cache,
    ngx_log_t *log)
{
    ngx_uint_t  i, on, hit, wrong, more;

    for (on = 0; on < 2; on++) {

        wrong = 0;
        more = 0;
        hit = 1;

        for (i = 1; hit && i < FLIGHT_TRIES && wrong == 0; i++) {
            hit = flight_round(line, nelts, cache, on ? (i | SCARCE_ON) : i,
                               &wrong, &more, log);
        }

        ok(wrong == 0 && !hit, "%s, cache %s: %d allocations that fail%s", line,
           cache == NGX_RF_CACHE_OFF ? "off" : "TIME", (int) i - 2,
           on ? ", with all that follow" : "");

        if (cache == NGX_RF_CACHE_OFF) {
            ok(more > 0, "those that have no reply ask, %d times", (int) more);
        }
    }
}


RF_UNIT(flight_without_memory)
{
    flight_walk("GET k", 0, NGX_RF_CACHE_OFF, log);
    flight_walk("GET k", 0, NGX_RF_CACHE_TIME, log);
    flight_walk("LRANGE l 0 -1", 3, NGX_RF_CACHE_OFF, log);
    flight_walk("LRANGE l 0 -1", 3, NGX_RF_CACHE_TIME, log);
}


/* another worker's lock */

static void
flight_lock(flight_t *f, ngx_uint_t place)
{
    f->store->zone.sh->locks[place] =
        (ngx_atomic_uint_t) (ngx_process_slot + 2) << 21
        | (ngx_current_msec & 0x1fffff);
}


/* it is waited for where it is the key's, and nowhere else; what this one puts
 * there goes with the reply */

RF_UNIT(flight_lock_of_a_key)
{
    flight_t           f;
    ngx_str_t          key = ngx_string("k");
    ngx_uint_t         i, place;
    ngx_atomic_uint_t  held;

    flight_start(&f, pool, log, NGX_RF_CACHE_TIME);
    place = ngx_rf_zone_hash(f.store->zone.sh, &key) % NGX_RF_ZONE_LOCKS;

    for (i = 0; i < NGX_RF_ZONE_LOCKS; i++) {
        if (i != place) {
            flight_lock(&f, i);
        }
    }

    f.ops[0].op.lock = 1;
    flight_submit(&f, 0, "GET k", log);
    is_int(f.remote.asked, 1, "locks of other keys");

    held = f.store->zone.sh->locks[place];
    is_int((held >> 21), ngx_process_slot + 1, "it is locked");

    if (f.remote.ncalls) {
        remote_answer(&f.remote, f.pools[0], 0,
                      flight_wire(f.remote.calls[0], 0));
    }

    is_int(f.ops[0].answered, 1, "answered");
    is_int(f.store->zone.sh->locks[place], 0, "and not any more");

    flight_lock(&f, place);
    f.ops[1].op.lock = 1;
    f.store->conf.cache_time = -1;
    flight_submit(&f, 1, "GET k", log);
    is_int(f.remote.asked, 1, "its own lock");

    ngx_current_msec += 201;
    ngx_rf_store_wake(f.store);
    is_int(f.remote.asked, 2, "not for ever");
    remote_answer(&f.remote, f.pools[1], 0, flight_wire(f.remote.calls[0], 0));
    is_int(f.ops[1].answered, 1, "answered, too");

    if (f.store->wait_event.timer_set) {
        ngx_del_timer(&f.store->wait_event);
    }

    remote_end();
}


/* The first waits for another worker, and then memory knows it; a second one
 * waits for the first.  Whoever is answered may take others with it. */

typedef struct {
    flight_t              flight;
    ngx_uint_t            gone;
} flight_lock_t;


static void
flight_first(ngx_rf_op_t *op)
{
    flight_lock_t  *f = op->data;

    f->flight.ops[0].answered++;
    f->flight.ops[0].well = (!f->gone && flight_is(op, 0));
}


static void
flight_second(ngx_rf_op_t *op)
{
    ngx_rf_op_t    *first;
    flight_lock_t  *f = op->data;

    f->flight.ops[1].answered++;
    f->flight.ops[1].well = flight_is(op, 0);

    if (!f->flight.ops[0].answered) {
        first = &f->flight.ops[0].op;
        ngx_rf_store_cancel(first);
        ngx_destroy_pool(first->pool);
        f->gone = 1;
    }
}


RF_UNIT(flight_behind_a_lock)
{
    ngx_uint_t        i;
    ngx_str_t         argv[2] = { ngx_string("GET"), ngx_string("k") };
    flight_t         *f;
    flight_lock_t     lock;
    ngx_rf_reply_t    reply;
    ngx_rf_zone_sh_t *sh;

    ngx_memzero(&lock, sizeof(flight_lock_t));
    f = &lock.flight;

    flight_start(f, pool, log, NGX_RF_CACHE_TIME);
    sh = f->store->zone.sh;

    flight_lock(f, ngx_rf_zone_hash(sh, &argv[1]) % NGX_RF_ZONE_LOCKS);

    for (i = 0; i < 2; i++) {
        f->ops[i].op.lock = 1;
        flight_submit(f, i, "GET k", log);
        f->ops[i].op.handler = i ? flight_second : flight_first;
        f->ops[i].op.data = &lock;
    }

    is_int(f->remote.asked, 0, "both wait");

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));
    reply.type = NGX_RF_REPLY_STRING;
    ngx_str_set(&reply.str, "value");

    ngx_rf_learn(&f->store->zone, pool, ngx_rf_command_find(&argv[0]), 2, argv,
                 &reply, -1, sh->seq, ngx_rf_now(), 0);

    ngx_rf_store_wake(f->store);

    is_int(f->remote.asked, 0, "memory knows it");
    ok(f->ops[1].answered == 1 && f->ops[1].well, "the second is answered");
    ok(lock.gone ? f->ops[0].answered == 0
                 : f->ops[0].answered == 1 && f->ops[0].well,
       "so is the first, if it is there");

    ngx_destroy_pool(f->pools[1]);

    if (!lock.gone) {
        ngx_destroy_pool(f->pools[0]);
    }

    if (f->store->wait_event.timer_set) {
        ngx_del_timer(&f->store->wait_event);
    }

    remote_end();
}


/* what another worker has read before this one's write, memory learns of it
 * meanwhile */

static void
flight_elsewhere(flight_t *f, const char *line)
{
    exec_t          e;
    ngx_str_t       argv[4];
    ngx_uint_t      argc;
    ngx_rf_reply_t  reply;

    e.pool = f->exec.pool;
    argc = exec_words(&e, line, argv);

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));
    reply.type = NGX_RF_REPLY_STRING;
    ngx_str_set(&reply.str, "older");

    ngx_rf_learn(&f->store->zone, f->exec.pool, ngx_rf_command_find(&argv[0]),
                 argc, argv, &reply, -1, f->store->zone.sh->seq,
                 ngx_rf_now(), 0);

    ngx_memzero(f->store->zone.learned, sizeof(f->store->zone.learned));
}


static ngx_uint_t
flight_writing(flight_t *f)
{
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < NGX_RF_STORE_WRITES; i++) {
        n += f->store->writing[i];
    }

    return n == f->store->nwriting ? n : (ngx_uint_t) -1;
}


static void
flight_wrote(ngx_rf_op_t *op)
{
    flight_op_t  *f = op->data;

    f->answered++;
    ngx_destroy_pool(op->pool);
}


/* a read behind a write, of one pipeline, must see it */

RF_UNIT(flight_behind_a_write)
{
    flight_t  f;

    flight_start(&f, pool, log, NGX_RF_CACHE_TIME);
    f.store->relay.sh = ngx_pcalloc(pool, sizeof(ngx_rf_relay_sh_t));

    flight_submit(&f, 0, "SET k value", log);
    f.ops[0].op.handler = flight_wrote;
    is_int(flight_writing(&f), 1, "a write is in flight");

    flight_elsewhere(&f, "GET k");
    flight_submit(&f, 1, "GET k", log);
    is_int(f.remote.asked, 2, "a read behind it asks Redis");

    remote_answer(&f.remote, f.pools[0], 0, "+OK\r\n");
    is_int(f.ops[0].answered, 1, "the write is answered");
    is_int(flight_writing(&f), 0, "and in flight no more");
    remote_answer(&f.remote, f.pools[1], 0,
                  flight_wire(f.remote.calls[0], 0));
    ok(f.ops[1].answered == 1 && f.ops[1].well, "the read sees it");

    /* several keys, and one that is given up */

    flight_submit(&f, 2, "DEL j k", log);
    is_int(flight_writing(&f), 2, "both");
    flight_elsewhere(&f, "GET k");
    flight_submit(&f, 3, "GET k", log);
    is_int(f.remote.asked, 4, "nor is the second of them read from memory");

    ngx_rf_store_cancel(&f.ops[2].op);
    ngx_destroy_pool(f.pools[2]);
    is_int(flight_writing(&f), 0, "nothing is in flight");

    remote_answer(&f.remote, f.pools[3], 0,
                  flight_wire(f.remote.calls[0], 0));
    is_int(f.ops[3].answered, 1, "answered");

    remote_end();
}
