/*
 * Tracking, with a Redis that says what the test wants: what becomes of it
 * where the second connection has died, where Redis refuses, where memory ends,
 * and where the numbers of epochs do.
 */

#include "exec.h"
#include "remote.h"
#include "scarce.h"
#include "ngx_rf_tracking.h"
#include "ngx_rf_zone_internal.h"


#define TRACKING_RUN_ID  "0123456789012345678901234567890123456789"
#define TRACKING_OTHER   "9876543210987654321098765432109876543210"
#define TRACKING_GONE                                                         \
    "-ERR The client ID you want redirect to does not exist\r\n"
#define TRACKING_SUBSCRIBED                                                   \
    "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"

/* more than the longest pause between two tries, doubled by chance */
#define TRACKING_LONG    (60 * 1000)


typedef struct {
    exec_t                exec;
    remote_t              remote;
    ngx_rf_redis_conf_t   conf;
    ngx_rf_tracking_t    *tracking;
    ngx_rf_zone_sh_t     *sh;
} tracking_t;


static void
tracking_conf(tracking_t *t, ngx_uint_t connections)
{
    ngx_str_set(&t->conf.store, "app");
    ngx_str_set(&t->conf.address, "127.0.0.1:6379");
    ngx_str_set(&t->conf.url.host, "localhost");
    t->conf.url.naddrs = 1;
    t->conf.connect_timeout = 1000;
    t->conf.timeout = 1000;
    t->conf.connections = connections;
}


static void
tracking_start(tracking_t *t, ngx_pool_t *pool, ngx_log_t *log,
    ngx_uint_t connections)
{
    ngx_memzero(t, sizeof(tracking_t));

    exec_init(&t->exec, pool, log, 1024 * 1024);
    remote_begin(&t->remote, log);
    tracking_conf(t, connections);

    t->sh = t->exec.zone->sh;
    t->tracking = ngx_rf_tracking_create(t->exec.zone, &t->conf, NULL,
                                         &t->remote.cycle, NULL);
    ok(t->tracking != NULL, "tracking");
}


static void
tracking_stop(tracking_t *t)
{
    ngx_rf_tracking_destroy(t->tracking);

    ok(t->remote.peer == NULL && t->remote.ncalls == 0, "nothing is left open");
    ok(ngx_event_find_timer() == NGX_TIMER_INFINITE, "nor is a timer");
    remote_end();
}


static void
tracking_up_to(tracking_t *t, ngx_uint_t link, const char *run_id)
{
    ngx_rf_redis_info_t  info;

    ngx_memzero(&info, sizeof(ngx_rf_redis_info_t));
    info.run_id.data = (u_char *) run_id;
    info.run_id.len = strlen(run_id);
    info.client = 10 + link;
    info.version = 70000;

    ngx_rf_tracking_up(t->tracking, link, &info);
}


static void
tracking_up(tracking_t *t, ngx_uint_t link)
{
    tracking_up_to(t, link, TRACKING_RUN_ID);
}


/* the second connection is there, of that id */

static void
tracking_hears(tracking_t *t, uint64_t client)
{
    remote_ready(&t->remote, TRACKING_RUN_ID, client);
    remote_heard(&t->remote, t->exec.pool, TRACKING_SUBSCRIBED);
}


static void
tracking_answer(tracking_t *t, const char *wire)
{
    remote_answer(&t->remote, t->exec.pool, 0, wire);
}


/* the voucher of what is read over the link now */

static uint64_t
tracking_read(tracking_t *t, ngx_uint_t link)
{
    ngx_str_t               key = ngx_string("k");
    ngx_rf_tracking_mark_t  mark;

    ngx_rf_tracking_mark(t->tracking, link, &mark);

    return ngx_rf_tracking_vouch(t->tracking, &mark, &key);
}


static void
tracking_none(tracking_t *t, const char *name)
{
    ok(!ngx_rf_tracking_vouches(t->tracking)
       && t->sh->links[ngx_process_slot].epoch == 0
       && tracking_read(t, 0) == 0, "%s: nothing is vouched for", name);
    is_int(t->sh->untracked, 0, "%s: and it is not said that Redis does not "
           "track", name);
}


RF_UNIT(tracking_of_a_dead_connection)
{
    ngx_uint_t   i;
    tracking_t   t;

    tracking_start(&t, pool, log, 1);
    tracking_up(&t, 0);
    is_int(t.remote.made, 1, "a second connection");
    tracking_hears(&t, 21);

    for (i = 0; i < 5; i++) {
        ok(t.remote.ncalls == 1, "Redis is asked to track, %d", (int) i);
        tracking_answer(&t, TRACKING_GONE);

        tracking_none(&t, "it has died");
        ok(t.remote.peer == NULL, "it is closed");
        is_int(t.remote.ncalls, 0, "nothing is asked without one");

        remote_later(TRACKING_LONG);
        is_int(t.remote.made, 2 + i, "another one is made");
        tracking_none(&t, "before it is there");
        tracking_hears(&t, 22 + i);
        tracking_none(&t, "before Redis tracks");
    }

    ok(strcmp(remote_words(t.remote.calls[0]),
              "CLIENT TRACKING ON REDIRECT 26") == 0, "the new one: %s",
       remote_words(t.remote.calls[0]));
    tracking_answer(&t, "+OK\r\n");
    ok(ngx_rf_tracking_vouches(t.tracking) && tracking_read(&t, 0),
       "Redis vouches");

    tracking_stop(&t);
}


/* one of two connections is told that it is there, and the other that it is
 * not */

RF_UNIT(tracking_dies_in_between)
{
    tracking_t  t;

    tracking_start(&t, pool, log, 2);
    tracking_up(&t, 0);
    tracking_up(&t, 1);
    tracking_hears(&t, 21);
    is_int(t.remote.ncalls, 2, "both are to be tracked");

    tracking_answer(&t, "+OK\r\n");
    ok(tracking_read(&t, 0) != 0, "the first is");
    ok(tracking_read(&t, 1) == 0, "the second is not yet");
    tracking_answer(&t, TRACKING_GONE);
    tracking_none(&t, "it has died");
    ok(tracking_read(&t, 1) == 0, "over none of them");

    remote_later(TRACKING_LONG);
    tracking_hears(&t, 22);
    is_int(t.remote.ncalls, 2, "both are asked again");
    tracking_answer(&t, "+OK\r\n");
    tracking_answer(&t, "+OK\r\n");
    ok(tracking_read(&t, 0) && tracking_read(&t, 1), "Redis vouches");

    tracking_stop(&t);
}


/* Redis has agreed to tell the second connection, which has died since; its
 * reply comes when there is another one already */

RF_UNIT(tracking_late_agreement)
{
    ngx_uint_t      i;
    tracking_t      t;
    ngx_rf_call_t  *asked;

    for (i = 0; i < 2; i++) {
        tracking_start(&t, pool, log, 1);
        tracking_up(&t, 0);
        tracking_hears(&t, 21);
        asked = t.remote.calls[0];

        remote_lost(&t.remote);
        remote_later(TRACKING_LONG);
        is_int(t.remote.made, 2, "another one");
        remote_ready(&t.remote, TRACKING_RUN_ID, 22);

        if (t.remote.ncalls && t.remote.calls[0] == asked) {
            tracking_answer(&t, i ? TRACKING_GONE : "+OK\r\n");
        }

        tracking_none(&t, "Redis would tell the one that has died");
        ok(t.remote.peer != NULL, "the other one stays");
        remote_heard(&t.remote, pool, TRACKING_SUBSCRIBED);
        tracking_none(&t, "it was not told of the other one yet");
        is_int(t.remote.ncalls, 1, "now it is");
        tracking_answer(&t, "+OK\r\n");
        ok(tracking_read(&t, 0) != 0, "Redis vouches");

        tracking_stop(&t);
    }
}


/* an address may lead to several, which do not know each other's connections,
 * but have some of the same ids */

RF_UNIT(tracking_of_two_servers)
{
    tracking_t  t;

    tracking_start(&t, pool, log, 2);
    tracking_up(&t, 0);
    tracking_hears(&t, 21);
    tracking_answer(&t, "+OK\r\n");
    ok(tracking_read(&t, 0) != 0, "the first is watched");

    tracking_up_to(&t, 1, TRACKING_OTHER);
    tracking_none(&t, "the second is another Redis");
    remote_ready(&t.remote, TRACKING_OTHER, 21);
    remote_heard(&t.remote, pool, TRACKING_SUBSCRIBED);
    is_int(t.remote.ncalls, 1, "only that is asked");
    ok(t.remote.calls[0]->order == 1, "over its connection");
    tracking_answer(&t, "+OK\r\n");
    ok(tracking_read(&t, 1) != 0, "it vouches");
    remote_later(1001);
    remote_heard(&t.remote, pool, "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    is_int(t.remote.ncalls, 0, "nor is the first asked later");
    ok(tracking_read(&t, 0) == 0, "which says nothing any more");

    ngx_rf_tracking_down(t.tracking, 0);
    ok(tracking_read(&t, 1) != 0, "nor does it take anything back");
    tracking_up_to(&t, 0, TRACKING_OTHER);
    tracking_answer(&t, "+OK\r\n");
    ok(tracking_read(&t, 0) && tracking_read(&t, 1), "both vouch");

    tracking_stop(&t);
}


/* the other errors: for good, until another connection comes */

RF_UNIT(tracking_is_refused)
{
    tracking_t  t;

    tracking_start(&t, pool, log, 1);
    tracking_up(&t, 0);
    tracking_hears(&t, 21);
    tracking_answer(&t, "-NOPERM this user has no permissions\r\n");
    is_int(t.sh->untracked, 1, "it is said");
    ok(t.remote.peer == NULL && tracking_read(&t, 0) == 0,
       "nothing is vouched for");
    remote_later(TRACKING_LONG);
    is_int(t.remote.made, 1, "nor is it tried again");

    ngx_rf_tracking_down(t.tracking, 0);
    tracking_up(&t, 0);
    is_int(t.remote.made, 2, "until there is another connection");
    tracking_hears(&t, 22);
    tracking_answer(&t, "+OK\r\n");
    ok(tracking_read(&t, 0) && t.sh->untracked == 0, "Redis vouches");

    tracking_stop(&t);
}


RF_UNIT(tracking_of_an_old_server)
{
    tracking_t           t;
    ngx_rf_redis_info_t  info;

    tracking_start(&t, pool, log, 1);

    ngx_memzero(&info, sizeof(ngx_rf_redis_info_t));
    ngx_str_set(&info.run_id, TRACKING_RUN_ID);
    info.client = 10;
    info.version = 50014;

    ngx_rf_tracking_up(t.tracking, 0, &info);

    is_int(t.sh->untracked, 1, "it is said");
    ok(t.remote.made == 0 && t.remote.ncalls == 0, "it is asked nothing");
    ok(tracking_read(&t, 0) == 0, "nothing is vouched for");
    remote_later(TRACKING_LONG);
    is_int(t.remote.made, 0, "nor later");

    ngx_rf_tracking_down(t.tracking, 0);
    tracking_up(&t, 0);
    tracking_hears(&t, 21);
    tracking_answer(&t, "+OK\r\n");
    ok(tracking_read(&t, 0) && t.sh->untracked == 0, "a newer one vouches");

    tracking_stop(&t);
}


/* each new epoch, by a connection of two that comes and goes */

static ngx_uint_t
tracking_next(tracking_t *t)
{
    ngx_rf_tracking_down(t->tracking, 1);
    ok(ngx_rf_tracking_vouches(t->tracking), "the other one is as good");
    tracking_up(t, 1);
    tracking_answer(t, "+OK\r\n");

    return t->sh->links[ngx_process_slot].epoch;
}


static void
tracking_over(tracking_t *t, ngx_atomic_uint_t from)
{
    uint64_t         voucher[6];
    ngx_str_t        key = ngx_string("k");
    ngx_uint_t       i, k, epoch, last;
    ngx_rf_entry_t  *e;

    /* of another slot, which an epoch too large would reach into */

    exec_line(&t->exec, "SET k v");
    e = ngx_rf_zone_lookup_locked(t->exec.zone, &key);
    e->pending = NGX_RF_CLEAN;
    e->run = t->sh->run;

    t->sh->link_epoch = from - 3;
    last = 0;

    for (i = 0; i < 6; i++) {
        epoch = tracking_next(t);
        voucher[i] = tracking_read(t, 0);

        ok(epoch != 0 && epoch != last, "an epoch, not %d again", (int) last);
        is_int(ngx_rf_zone_voucher_slot(voucher[i]), ngx_process_slot,
               "its vouchers are this worker's");
        is_int(ngx_rf_zone_voucher_epoch(voucher[i]), epoch,
               "and of epoch %d", (int) epoch);

        for (k = 0; k <= i; k++) {
            ngx_rf_zone_vouch_locked(t->exec.zone, e, voucher[k]);
            is_int(ngx_rf_zone_vouched_locked(t->exec.zone, e), k == i,
                   "what was read %d epochs ago", (int) (i - k));
        }

        last = epoch;
    }

    ok(last < 8, "they have begun anew");
    e->pending = NGX_RF_REPLACE;
}


RF_UNIT(tracking_epochs_end)
{
    tracking_t  t;

    tracking_start(&t, pool, log, 2);
    tracking_up(&t, 0);
    tracking_up(&t, 1);
    tracking_hears(&t, 21);
    tracking_answer(&t, "+OK\r\n");
    tracking_answer(&t, "+OK\r\n");

    /* of 22 bits, in a word of 32 or 64 */

    tracking_over(&t, 0x400000);
    tracking_over(&t, (ngx_atomic_uint_t) 7 << 22);
    tracking_over(&t, 0);

    tracking_stop(&t);
}


/* FLUSHALL ends an epoch, too: what was asked before and is answered after */

RF_UNIT(tracking_flushed)
{
    uint64_t                before;
    tracking_t              t;
    ngx_str_t               key = ngx_string("k");
    ngx_rf_tracking_mark_t  mark;

    tracking_start(&t, pool, log, 1);
    tracking_up(&t, 0);
    tracking_hears(&t, 21);
    tracking_answer(&t, "+OK\r\n");
    before = tracking_read(&t, 0);

    ngx_rf_tracking_mark(t.tracking, 0, &mark);
    ok(remote_push(&t.remote, pool, "*3\r\n$7\r\nmessage\r\n"
                   "$20\r\n__redis__:invalidate\r\n*-1\r\n"), "FLUSHALL");
    ok(ngx_rf_tracking_vouch(t.tracking, &mark, &key) == 0,
       "what was asked before");
    ok(tracking_read(&t, 0) && tracking_read(&t, 0) != before,
       "an epoch of its own");

    tracking_stop(&t);
}


RF_UNIT(tracking_without_memory)
{
    ngx_uint_t   i, hit;
    tracking_t   t;

    ngx_memzero(&t, sizeof(tracking_t));
    exec_init(&t.exec, pool, log, 1024 * 1024);
    remote_begin(&t.remote, log);
    tracking_conf(&t, 3);
    t.sh = t.exec.zone->sh;

    /* a name to be resolved; nobody asks for it here */

    t.conf.url.naddrs = 0;
    hit = 1;

    for (i = 1; hit && i < 10; i++) {
        scarce_begin(i);
        t.tracking = ngx_rf_tracking_create(t.exec.zone, &t.conf, NULL,
                                            &t.remote.cycle, &t);
        hit = scarce_end();

        ok((t.tracking == NULL) == hit, "allocation %d: %s", (int) i,
           hit ? "none" : "there is one");
    }

    is_int(i, 5, "three allocations, and each may fail");
    tracking_stop(&t);

    /* a second connection, and what Redis is asked by */

    tracking_start(&t, pool, log, 1);
    scarce_begin(1);
    tracking_up(&t, 0);
    ok(scarce_end(), "no memory for a connection");
    is_int(t.remote.made, 0, "there is none");
    remote_later(TRACKING_LONG);
    is_int(t.remote.made, 1, "later");

    remote_ready(&t.remote, TRACKING_RUN_ID, 21);
    t.remote.scarce = 1;
    remote_heard(&t.remote, pool, TRACKING_SUBSCRIBED);
    hit = t.remote.hit;

    if (ok(hit && t.remote.ncalls == 0, "no memory to ask by")) {
        tracking_none(&t, "it was not asked");
        remote_later(1001);
        tracking_answer(&t, "+OK\r\n");
    }

    ok(tracking_read(&t, 0) != 0, "asked a second later");
    tracking_stop(&t);
}
