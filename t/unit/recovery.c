/*
 * Recovery's steps, without a Redis and without threads: records that are read
 * from files into a memory full of cached values, and what a worker that dies
 * between two of its looks leaves: no mark may lie over files that nobody has
 * looked at.
 */

#include "exec.h"
#include "remote.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_zone_internal.h"


#define RECOVERY_SIZE   (1024 * 1024)

/* one that holds more entries than may be evicted at once for a record; and one
 * that takes nearly all of it */
#define RECOVERY_WIDE   (32 * 1024 * 1024)
#define RECOVERY_LARGE  (27 * 1024 * 1024)

#define RECOVERY_STEPS  2000


typedef struct {
    exec_t                exec;
    ngx_rf_zone_sh_t     *sh;
    ngx_rf_relay_t        relay;
    remote_t              remote;
    ngx_rf_file_conf_t    file;
    ngx_rf_flush_t        flush;
    ngx_rf_disk_t        *disk;
    ngx_rf_recovery_t    *r;
} recovery_t;


/* called when nothing was left to be replayed, before the next look */
static void       (*recovery_hook)(recovery_t *t);
static recovery_t  *recovery_hooked;

ngx_rf_record_t *__real_ngx_rf_zone_replay_take(ngx_rf_zone_t *zone,
    ngx_uint_t n, size_t bytes, int64_t now, ngx_uint_t *restored);
ngx_rf_record_t *__wrap_ngx_rf_zone_replay_take(ngx_rf_zone_t *zone,
    ngx_uint_t n, size_t bytes, int64_t now, ngx_uint_t *restored);


ngx_rf_record_t *
__wrap_ngx_rf_zone_replay_take(ngx_rf_zone_t *zone, ngx_uint_t n, size_t bytes,
    int64_t now, ngx_uint_t *restored)
{
    ngx_rf_record_t  *list;

    list = __real_ngx_rf_zone_replay_take(zone, n, bytes, now, restored);

    if (list == NULL && recovery_hook) {
        recovery_hook(recovery_hooked);
        recovery_hook = NULL;
    }

    return list;
}


static void
recovery_start(recovery_t *t, ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    ngx_uint_t               epoch;
    ngx_rf_file_error_t      error;
    ngx_rf_recovery_conf_t   conf;

    ngx_memzero(t, sizeof(recovery_t));

    exec_init(&t->exec, pool, log, size);
    remote_begin(&t->remote, log);

    t->relay.sh = ngx_pcalloc(pool, sizeof(ngx_rf_relay_sh_t));

    ngx_queue_init(&ngx_posted_events);
    ngx_queue_init(&ngx_posted_next_events);

    t->sh = t->exec.zone->sh;
    t->exec.zone->log = log;
    t->exec.zone->files = 1;
    t->sh->files = 1;
    t->sh->files_ready = 1;
    ngx_memcpy(t->sh->path_sha1, t->exec.zone->path_sha1, 20);

    t->file.path.data = (u_char *) rf_unit_dir(pool);
    t->file.path.len = ngx_strlen(t->file.path.data);
    t->file.levels[0] = t->file.levels[1] = t->file.levels[2] = 2;
    is_int(ngx_rf_file_prepare(&t->file, (uid_t) -1, (gid_t) -1, &error),
           NGX_OK, "a path");

    t->disk = ngx_rf_disk_create(&t->file, NULL, log);

    t->flush.zone = t->exec.zone;
    t->flush.disk = t->disk;
    t->flush.conf = &t->file;
    t->flush.log = log;

    ngx_memzero(&conf, sizeof(ngx_rf_recovery_conf_t));
    ngx_str_set(&conf.name, "app");
    ngx_str_set(&conf.address, "127.0.0.1:6379");
    conf.zone = t->exec.zone;
    conf.relay = &t->relay;
    conf.disk = t->disk;
    conf.flush = &t->flush;
    conf.file = &t->file;

    t->remote.cycle.pool = pool;
    t->r = ngx_rf_recovery_start(&conf, &t->remote.cycle);

    /* it leads, Redis is there, and nobody has left anything */

    (void) ngx_rf_mode_lead(t->exec.zone, NULL);
    (void) ngx_rf_mode_get(t->exec.zone, &epoch);
    (void) ngx_rf_mode_set(t->exec.zone, epoch, NGX_RF_RECOVERING);
    (void) ngx_rf_mode_get(t->exec.zone, &epoch);
    t->r->epoch = epoch;
    t->r->probed = epoch;
    t->r->handed = 1;
}


/* the path's files are closed by their process */

static void
recovery_stop(recovery_t *t)
{
    ngx_rf_recovery_stop(t->r);
    ngx_rf_disk_finish(t->disk);
    remote_end();
    ngx_free(t->disk);
}


/* jobs come home; what they have posted is the test's to go on with */

static void
recovery_jobs(recovery_t *t)
{
    ngx_rf_disk_finish(t->disk);

    if (t->r->posted.posted) {
        ngx_delete_posted_event(&t->r->posted);
    }
}


static ngx_rf_mode_e
recovery_mode(recovery_t *t)
{
    return ngx_rf_mode_get(t->exec.zone, NULL);
}


/* a file of a pending key, with a value of "len" bytes */

static void
recovery_file(recovery_t *t, const char *key, size_t len, uint64_t version)
{
    ngx_str_t             value;
    ngx_uint_t            wrote, removed;
    ngx_rf_record_t       rec;
    ngx_rf_file_error_t   error;

    value.len = len;
    value.data = ngx_palloc(t->exec.pool, len);
    ngx_memset(value.data, 'x', len);

    ngx_memzero(&rec, sizeof(ngx_rf_record_t));
    rec.key.data = (u_char *) key;
    rec.key.len = strlen(key);
    rec.type = NGX_RF_STRING;
    rec.pending = NGX_RF_REPLACE;
    rec.version = version;
    rec.changed = ngx_rf_now();
    rec.values = &value;
    rec.nvalues = 1;
    rec.complete = 1;

    is_int(ngx_rf_file_write_thread(&t->file, &rec, &wrote, &removed, &error),
           0, "a file of \"%s\"", key);
}


static ngx_rf_entry_t *
recovery_entry(recovery_t *t, const char *text)
{
    ngx_str_t  key;

    key.data = (u_char *) text;
    key.len = strlen(text);

    return ngx_rf_zone_lookup_locked(t->exec.zone, &key);
}


/* something that Redis has, and memory knows */

static void
recovery_cached(recovery_t *t, const char *line)
{
    ngx_str_t        argv[EXEC_ARGS];
    ngx_uint_t       argc;
    ngx_rf_reply_t   reply;
    static u_char    value[100];

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));
    reply.type = NGX_RF_REPLY_STRING;
    reply.str.data = value;
    reply.str.len = sizeof(value);

    argc = exec_words(&t->exec, line, argv);
    ngx_rf_learn(t->exec.zone, t->exec.pool, ngx_rf_command_find(&argv[0]),
                 argc, argv, &reply, -1, t->sh->seq, ngx_rf_now(), 0);
}


/* as much as there is room for, and more */

static void
recovery_warm(recovery_t *t)
{
    char        line[32];
    ngx_uint_t  i;

    for (i = 0; t->sh->stat.evictions == 0 && i < 1000000; i++) {
        snprintf(line, sizeof(line), "GET warm%d", (int) i);
        recovery_cached(t, line);
    }

    ok(t->sh->stat.evictions && i > 1000, "%d cached values", (int) i);
}


/* the walk, until it has ended; how often it needed room */

static ngx_uint_t
recovery_walk(recovery_t *t)
{
    ngx_uint_t  i, most;

    most = 0;

    for (i = 0; i < RECOVERY_STEPS; i++) {
        t->r->crowded = 0;
        ngx_rf_recovery_walk(t->r);

        /* one file with its records, and what is set aside */

        recovery_jobs(t);
        most = ngx_max(most, t->r->squeezes);

        if (!t->r->walking) {
            break;
        }
    }

    ok(i < RECOVERY_STEPS, "the walk ends");

    return most;
}


/* what would fit by itself finds no room at first, since a look evicts no more
 * than others may wait for: that is not larger than the zone */

RF_UNIT(recovery_squeezes)
{
    recovery_t       t;
    ngx_uint_t       n;
    ngx_rf_entry_t  *e;

    recovery_start(&t, pool, log, RECOVERY_WIDE);
    recovery_file(&t, "large", RECOVERY_LARGE, t.sh->seq + 1000);
    recovery_warm(&t);

    n = recovery_walk(&t);

    ok(n > 0, "it was tried again, %d times", (int) n);
    is_int(t.sh->stat.quarantined, 0, "nothing is set aside");
    is_int(t.sh->npending, 1, "it is pending");

    e = recovery_entry(&t, "large");
    ok(e && e->pending == NGX_RF_REPLACE && e->value->len == RECOVERY_LARGE,
       "with its value");
    is_int(t.r->squeezes, 0, "the next one has its own tries");

    recovery_stop(&t);
}


/* and one that is: no cache, however large, keeps it from going */

RF_UNIT(recovery_too_large)
{
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_file(&t, "huge", RECOVERY_SIZE - 1024, t.sh->seq + 1000);
    recovery_warm(&t);

    (void) recovery_walk(&t);
    recovery_jobs(&t);

    is_int(t.sh->stat.quarantined, 1, "it is set aside");
    is_int(t.sh->npending, 0, "nothing is pending");
    is_int(t.sh->files_scan, 0, "the others need not wait");

    recovery_stop(&t);
}


/* in the middle of a change: what it leaves cannot be read */

static void
recovery_dies(recovery_t *t)
{
    recovery_entry(t, "cached")->magic = 0;
    t->sh->busy = 1;
}


static uint64_t
recovery_mark(recovery_t *t)
{
    uint64_t             mark;
    ngx_rf_file_error_t  error;

    mark = 0;
    (void) ngx_rf_file_mark_read_thread(&t->file, &mark, &error);

    return mark;
}


/* the files are looked at before the end */

static void
recovery_again(recovery_t *t)
{
    ngx_uint_t  i;

    is_int(recovery_mode(t), NGX_RF_RECOVERING, "the recovery goes on");
    is_int(t->sh->journal_scan, 1, "the journal is to be read");
    is_int(t->sh->files_scan, 1, "and the files");

    ngx_rf_recovery_next(t->r);
    ok(t->r->job == NULL, "not before the journal");

    ngx_rf_recovery_recall(t->r, 0);

    for (i = 0; t->r->recalling && i < RECOVERY_STEPS; i++) {
        recovery_jobs(t);
    }

    is_int(t->sh->journal_scan, 0, "the journal is read");
    is_int(recovery_mode(t), NGX_RF_RECOVERING, "which is not the end");

    ngx_rf_recovery_next(t->r);
    recovery_jobs(t);

    is_int(t->sh->files_scan, 0, "the files are looked at");
    is_int(t->sh->npending, 1, "what was there is pending");
    ok(recovery_entry(t, "lost") != NULL, "it is \"lost\"");
}


/* before the mark is decided on: the look under the lock is the one that finds
 * it out */

RF_UNIT(recovery_mark_refused)
{
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_cached(&t, "GET cached");

    /* below what would be the mark, and files are counted as being there */

    t.sh->seq += 1000;
    recovery_file(&t, "lost", 10, t.sh->seq - 10);
    t.sh->stat.files = 1;

    recovery_hook = recovery_dies;
    recovery_hooked = &t;
    ngx_rf_recovery_next(t.r);

    ok(recovery_hook == NULL, "a worker died");
    ok(t.r->job == NULL, "no mark is written");
    ok(t.r->posted.posted, "the next step follows");
    recovery_jobs(&t);
    is_int(recovery_mark(&t), 0, "nor is there one");
    is_int(t.sh->busy, 0, "the zone is in order");

    recovery_again(&t);
    recovery_stop(&t);
}


/* while it is being written: it stays, since all below it was done with, and
 * ends nothing */

RF_UNIT(recovery_marked_too_late)
{
    uint64_t    mark;
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_cached(&t, "GET cached");
    t.sh->stat.files = 1;
    mark = t.sh->seq;

    ngx_rf_recovery_next(t.r);
    ok(t.r->job != NULL, "a mark is being written");

    recovery_file(&t, "lost", 10, t.sh->seq + 10);
    recovery_dies(&t);
    recovery_jobs(&t);
    is_int(recovery_mark(&t), mark, "it is there");
    is_int(t.sh->mark, mark, "and known");

    recovery_again(&t);
    recovery_stop(&t);
}


/* where nobody dies, the mark is the end */

RF_UNIT(recovery_marked)
{
    uint64_t    mark;
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_cached(&t, "GET cached");
    t.sh->stat.files = 1;
    t.sh->seq += 1000;
    mark = t.sh->seq;

    ngx_rf_recovery_next(t.r);
    recovery_jobs(&t);
    is_int(recovery_mark(&t), mark, "a mark");
    is_int(recovery_mode(&t), NGX_RF_NORMAL, "and all is well");

    recovery_stop(&t);
}


/* a connection that was given up in a Redis that is connected */

static void
recovery_given_up(recovery_t *t, uint64_t id)
{
    ngx_str_set(&t->remote.run_id, "1111111111111111111111111111111111111111");
    ngx_memcpy(t->sh->run_id, t->remote.run_id.data, t->remote.run_id.len);

    is_int(ngx_rf_zone_abandon(t->exec.zone, &t->remote.run_id, id), NGX_OK,
           "given up");
}


/* Writes wait for it, so it comes before all else: a journal that is read for
 * minutes, what others have left, the pause after a record that Redis refused,
 * and the probe of a new epoch. */

RF_UNIT(recovery_ends_what_is_late_first)
{
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_given_up(&t, 7);

    t.r->recalling = 1;
    t.r->handed = 0;
    t.r->resume = ngx_current_msec + 1000;
    t.r->probed = 0;

    ngx_rf_recovery_next(t.r);
    is_int(t.remote.ncalls, 1, "Redis is asked");
    ok(strcmp(remote_words(t.remote.calls[0]), "CLIENT KILL ID 7") == 0,
       "to end it");

    remote_answer(&t.remote, pool, 0, ":1\r\n");
    is_int(t.sh->nabandoned, 0, "it is ended");
    is_int(t.r->probed, 0, "that is no probe");
    is_int(recovery_mode(&t), NGX_RF_RECOVERING, "nor the end");

    recovery_jobs(&t);
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.asked, 1, "all else waits");

    t.r->recalling = 0;
    recovery_stop(&t);
}


/* of a leader whose zone has been replaced it is not the business any more */

RF_UNIT(recovery_leaves_what_is_for_the_new_zone)
{
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_given_up(&t, 7);
    ngx_rf_relay_tell(&t.relay, &t.remote.run_id, 8);

    t.sh->superseded = 1;
    is_int(ngx_rf_recovery_kill(t.r, 1), NGX_ERROR, "not by this one");
    ngx_rf_recovery_bury(t.r);
    ok(ngx_rf_relay_late(&t.relay), "it is late still");
    is_int(t.remote.asked, 0, "Redis was asked nothing");

    t.sh->superseded = 0;
    is_int(ngx_rf_recovery_kill(t.r, 1), NGX_AGAIN, "the new one's leader");
    is_int(t.remote.calls[0]->ncommands, 2, "ends both");
    remote_answer(&t.remote, pool, 0, ":1\r\n:0\r\n");
    ok(!ngx_rf_relay_late(&t.relay), "and all is dealt with");

    recovery_jobs(&t);
    recovery_stop(&t);
}


/* while old workers may answer from the zone that this one has replaced, what
 * memory has pending stays */

RF_UNIT(recovery_waits_for_old_readers)
{
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_given_up(&t, 7);

    t.sh->overlap = ngx_current_msec + 60000;
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.asked, 0, "Redis is asked nothing");

    t.sh->overlap = ngx_current_msec - 1;
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.asked, 1, "but then");
    remote_answer(&t.remote, pool, 0, ":1\r\n");

    recovery_jobs(&t);
    recovery_stop(&t);
}


/* what another instance has left is taken over: a file with one record */

static void
recovery_handed(recovery_t *t, const char *key)
{
    ngx_str_t            value;
    ngx_uint_t           i;
    ngx_rf_record_t      rec;
    ngx_rf_file_error_t  error;

    ngx_str_set(&value, "older");
    ngx_memzero(&rec, sizeof(ngx_rf_record_t));
    rec.key.data = (u_char *) key;
    rec.key.len = strlen(key);
    rec.type = NGX_RF_STRING;
    rec.pending = NGX_RF_REPLACE;
    rec.version = t->sh->seq;
    rec.changed = ngx_rf_now() - 1000;
    rec.values = &value;
    rec.nvalues = 1;
    rec.complete = 1;

    is_int(ngx_rf_journal_hand_write_thread(&t->file, rec.version, &rec,
                                            &error),
           NGX_OK, "left by another instance");

    t->flush.limit = 1024 * 1024;
    t->r->handed = 0;
    t->r->next_hand = ngx_current_msec;

    for (i = 0; !t->r->handed && i < RECOVERY_STEPS; i++) {
        ngx_rf_recovery_hand(t->r);
        recovery_jobs(t);
    }

    is_int(t->r->hand_step == NULL, 1, "all was looked at");
    is_int(recovery_entry(t, key)->pending, NGX_RF_REPLACE, "it is pending");
}


/* Another worker has asked Redis to set the key before it was pending, and is
 * told so when the record could be in flight already, or have landed: then what
 * is older would be the last. */

RF_UNIT(recovery_of_what_was_handed_over)
{
    uint64_t         seq;
    ngx_str_t        argv[3] = { ngx_string("SET"), ngx_string("k"),
                                 ngx_string("newer") };
    recovery_t       t;
    ngx_rf_reply_t   reply;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    t.r->conf.budget = 1500;

    seq = t.sh->seq;
    recovery_handed(&t, "k");
    recovery_handed(&t, "other");

    ngx_rf_recovery_next(t.r);
    is_int(t.remote.asked, 0, "nothing is replayed yet");

    remote_later(1400);
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.asked, 0, "nor then");

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));
    reply.type = NGX_RF_REPLY_STATUS;
    ngx_str_set(&reply.str, "OK");
    ngx_rf_learn(t.exec.zone, pool, ngx_rf_command_find(&argv[0]), 3, argv,
                 &reply, -1, seq, ngx_rf_now() - 500, 0);

    remote_later(1600);
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.ncalls, 1, "but then");
    ok(strcmp(remote_words(t.remote.calls[0]), "SET other older") == 0,
       "what nobody has set since");
    remote_answer(&t.remote, pool, 0, "+OK\r\n");
    is_int(t.sh->npending, 0, "nothing is left");

    recovery_jobs(&t);
    recovery_stop(&t);
}


/* A leader whose worker stood still for longer than its lease, with a slice on
 * its way, and what another one has done meanwhile.  "dies": it is gone by the
 * time at which the first one goes on. */

static ngx_rf_record_t *
recovery_led_meanwhile(recovery_t *t, ngx_uint_t dies)
{
    ngx_rf_record_t  *list;

    exec_line(&t->exec, "SET key 1");

    ngx_rf_recovery_next(t->r);
    is_int(t->remote.ncalls, 1, "on its way");
    ok(strcmp(remote_words(t->remote.calls[0]), "SET key 1") == 0, "to Redis");

    exec_line(&t->exec, "SET other 1");

    ngx_rf_zone_replay_reset(t->exec.zone);
    list = ngx_rf_zone_replay_take(t->exec.zone, 10, 1 << 20, ngx_rf_now(),
                                   NULL);
    ok(list && list->next && list->next->next == NULL, "both once more");

    /* no process has that number; or the one that is always there */

    t->sh->leader = dies ? 0x7ffffff0 : 1;

    return list;
}


/* what it is told then does not count: the key is on its way again, and a write
 * that went to Redis because it is not pending any more would be overwritten */

RF_UNIT(recovery_verdict_of_an_old_leader)
{
    recovery_t        t;
    ngx_rf_record_t  *list, *rec;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    list = recovery_led_meanwhile(&t, 0);

    remote_answer(&t.remote, pool, 0, "+OK\r\n");
    ok(t.r->slice == NULL, "that was all of it");
    is_int(t.sh->npending, 2, "both are pending");
    is_int(recovery_entry(&t, "key")->flying, 1, "and in flight");

    /* nor where it led when it looked, and not any more when it has the lock */

    ngx_rf_zone_replay_done(t.exec.zone, list, NGX_OK, 1, ngx_rf_now());
    is_int(t.sh->npending, 2, "as before");
    is_int(recovery_entry(&t, "key")->flying, 1, "in flight, too");

    t.sh->leader = ngx_pid;

    while (list) {
        rec = list;
        list = rec->next;
        ngx_rf_zone_replay_done(t.exec.zone, rec, NGX_OK, 1, ngx_rf_now());
        ngx_rf_codec_free(rec);
    }

    is_int(t.sh->npending, 0, "until the new leader says so");

    recovery_jobs(&t);
    recovery_stop(&t);
}


/* what it has not sent yet must not come after that: its connections are ended
 * before anything else is sent */

RF_UNIT(recovery_of_a_stopped_leader)
{
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_given_up(&t, 7);
    t.sh->nabandoned = 0;

    ngx_rf_relay_hold(&t.relay, &t.remote.run_id, 8);
    ngx_rf_relay_hold(&t.relay, &t.remote.run_id, 9);
    ngx_rf_relay_hold(&t.relay, &t.remote.run_id, 10);

    /* a process that is always there */

    t.relay.sh->slots[0].owner = 1;
    t.relay.sh->slots[1].owner = 1;
    t.sh->leader = 1;
    t.sh->lease = ngx_current_msec + 1000;

    exec_line(&t.exec, "SET key 1");

    t.r->timer.handler(&t.r->timer);
    is_int(t.sh->leader, 1, "it leads while its lease lasts");
    is_int(t.remote.asked, 0, "and the other one asks Redis nothing");

    t.sh->lease = ngx_current_msec - 1;

    t.r->timer.handler(&t.r->timer);
    is_int(t.sh->leader, ngx_pid, "but then");
    is_int(t.remote.ncalls, 1, "Redis is asked");
    is_int(t.remote.calls[0]->ncommands, 2, "about both, and no other");
    ok(strcmp(remote_words(t.remote.calls[0]), "CLIENT KILL ID 8") == 0,
       "to end them");

    recovery_jobs(&t);
    t.r->handed = 1;
    t.r->hand_step = NULL;
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.ncalls, 1, "all else waits");

    remote_answer(&t.remote, pool, 0, ":1\r\n:1\r\n");
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.ncalls, 1, "and then");
    ok(strcmp(remote_words(t.remote.calls[0]), "SET key 1") == 0,
       "it is sent");
    remote_answer(&t.remote, pool, 0, "+OK\r\n");

    recovery_jobs(&t);
    recovery_stop(&t);
}


/* nor does it begin an outage, and take back what the other one has sent */

RF_UNIT(recovery_outage_of_an_old_leader)
{
    recovery_t        t;
    ngx_rf_record_t  *list, *rec;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    list = recovery_led_meanwhile(&t, 0);

    remote_answer(&t.remote, pool, 0, "-LOADING Redis is loading\r\n");
    ok(t.r->slice == NULL, "that was all of it");
    is_int(recovery_mode(&t), NGX_RF_RECOVERING, "the other one goes on");
    is_int(recovery_entry(&t, "key")->flying, 1, "with what it has sent");

    while (list) {
        rec = list;
        list = rec->next;
        ngx_rf_codec_free(rec);
    }

    recovery_jobs(&t);
    recovery_stop(&t);
}


/* nobody else will give back what the other one had in flight */

RF_UNIT(recovery_leads_again)
{
    recovery_t        t;
    ngx_rf_record_t  *list, *rec;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    list = recovery_led_meanwhile(&t, 1);

    t.r->timer.handler(&t.r->timer);
    is_int(t.sh->leader, ngx_pid, "it leads again");
    is_int(recovery_entry(&t, "other")->flying, 0, "not in flight any more");

    remote_answer(&t.remote, pool, 0, "+OK\r\n");
    is_int(t.sh->npending, 2, "both are pending");

    while (list) {
        rec = list;
        list = rec->next;
        ngx_rf_codec_free(rec);
    }

    recovery_jobs(&t);
    t.r->handed = 1;
    t.r->hand_step = NULL;
    ngx_rf_recovery_next(t.r);
    is_int(t.remote.ncalls, 2, "and sent");
    remote_answer(&t.remote, pool, 0, "+OK\r\n");
    remote_answer(&t.remote, pool, 0, "+OK\r\n");
    is_int(t.sh->npending, 0, "nothing is left");

    recovery_jobs(&t);
    recovery_stop(&t);
}


/* more than there is room for: those that are left are late still */

RF_UNIT(recovery_ends_all_that_was_told)
{
    char        wire[NGX_RF_ZONE_ABANDONED * 4 + 1];
    ngx_uint_t  i;
    recovery_t  t;

    recovery_start(&t, pool, log, RECOVERY_SIZE);
    recovery_given_up(&t, 1);

    for (i = 2; i <= NGX_RF_ZONE_ABANDONED; i++) {
        (void) ngx_rf_zone_abandon(t.exec.zone, &t.remote.run_id, i);
    }

    for (i = 0; i < NGX_RF_ZONE_ABANDONED; i++) {
        ngx_memcpy(wire + i * 4, ":0\r\n", 5);
    }

    ngx_rf_relay_tell(&t.relay, &t.remote.run_id, 1000);

    is_int(ngx_rf_recovery_kill(t.r, 1), NGX_AGAIN, "as many as fit");
    is_int(t.remote.calls[0]->ncommands, NGX_RF_ZONE_ABANDONED, "of them");
    remote_answer(&t.remote, pool, 0, wire);
    ok(ngx_rf_relay_late(&t.relay), "one is late still");

    recovery_jobs(&t);
    is_int(ngx_rf_recovery_kill(t.r, 1), NGX_AGAIN, "again");
    ok(strcmp(remote_words(t.remote.calls[0]), "CLIENT KILL ID 1000") == 0,
       "that one");
    remote_answer(&t.remote, pool, 0, ":1\r\n");
    ok(!ngx_rf_relay_late(&t.relay), "all is dealt with");

    recovery_jobs(&t);
    recovery_stop(&t);
}
