/*
 * Commands on a small zone, and what else befalls it: time that passes, files
 * that are written, a recovery, replies to be learned, a worker that is killed.
 *
 * The input is a byte code: the first byte is the zone's size and whether it
 * has files; then a byte below ZONE_COMMANDS is a command, whose arguments
 * follow, see zone_args.c, and any other one of what zt_events has.  At the end
 * all is acknowledged and forgotten: then nothing may be left in memory.
 */

#include <sanitizer/lsan_interface.h>
#include "fuzz.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_zone_internal.h"
#include "sound.h"
#include "zone_args.h"


#define ZT_PARTS    12

/* that do something at a time, all but one waiting for the lock */
#define ZT_WORKERS  3


typedef struct {
    fuzz_input_t              in;
    ngx_pool_t               *pool;     /* of one command or event */
    ngx_shm_zone_t            shm;
    ngx_rf_zone_t            *zone;     /* of the one who works */
    ngx_rf_zone_t             zones[ZT_WORKERS];
    ngx_rf_scope_e            scope;
    ngx_uint_t                files;
    ngx_uint_t                kill;     /* the next one, at this call */
    ngx_rf_record_t          *flying;   /* being replayed */
    ngx_rf_record_t          *writing;  /* being written */
    ngx_rf_record_t          *logging;  /* on its way to the journal */
    ngx_rf_zone_log_t         log;
    ngx_uint_t                turn_at;
    ngx_uint_t                turn_left;
    ngx_uint_t                others;   /* they do something meanwhile */
    ngx_uint_t                leading;  /* replays, or writes files */
    jmp_buf                   killed;
} zt_t;


typedef void (*zt_event_pt)(zt_t *t);


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void zt_start(zt_t *t);
static void zt_memory(ngx_shm_zone_t *shm, ngx_uint_t n);
static void zt_step(zt_t *t);
static void zt_event(zt_t *t, zt_event_pt event);
static void zt_event_killed(zt_t *t, zt_event_pt event,
    ngx_uint_t leading);
static void zt_others(void *data);
static void zt_finish(zt_t *t);
static void zt_exec(zt_t *t, zone_args_t *c);
static void zt_prepare(zt_t *t, ngx_rf_local_t *l);
static ngx_int_t zt_run(zt_t *t, ngx_rf_local_t *l,
    ngx_rf_local_part_t *parts, ngx_uint_t n);
static void zt_die(zt_t *t);
static void zt_look(ngx_rf_reply_t *reply);
static void zt_time(zt_t *t);
static void zt_multi(zt_t *t);
static void zt_replay(zt_t *t);
static void zt_groups(ngx_rf_record_t *list);
static void zt_replayed(zt_t *t);
static void zt_flush(zt_t *t);
static void zt_flushed(zt_t *t);
static void zt_log(zt_t *t);
static void zt_logged(zt_t *t);
static void zt_log_end(zt_t *t, ngx_int_t rc);
static void zt_turn(zt_t *t);
static void zt_mark(zt_t *t);
static void zt_learn(zt_t *t);
static void zt_reply(zt_t *t, ngx_rf_reply_t *reply, ngx_uint_t depth);
static void zt_forget(zt_t *t);
static void zt_scope(zt_t *t);
static void zt_lost(zt_t *t);
static void zt_load(zt_t *t);
static void zt_reset(zt_t *t);
static void zt_hurry(zt_t *t);
static void zt_kill(zt_t *t);
static void zt_dead(zt_t *t);
static void zt_sound(zt_t *t);
static void zt_copy(zt_t *t);
static void zt_repath(zt_t *t);
static void zt_drop(ngx_rf_record_t **list);


static zt_event_pt  zt_events[] = {
    zt_time, zt_multi, zt_replay, zt_replayed, zt_flush, zt_flushed, zt_learn,
    zt_forget, zt_scope, zt_lost, zt_load, zt_reset, zt_hurry, zt_kill,
    zt_dead, zt_sound, zt_copy, zt_repath, zt_log, zt_logged, zt_turn, zt_mark
};

static const char  *zt_names[] = {
    "time", "multi", "replay", "replayed", "flush", "flushed", "learn",
    "forget", "scope", "lost", "load", "reset", "hurry", "kill", "dead",
    "sound", "copy", "repath", "log", "logged", "turn", "mark"
};


static ngx_time_t  zt_clock;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static zt_t  t;

    ngx_memzero(&t, sizeof(zt_t));
    zone_tracing = (getenv("FUZZ_TRACE") != NULL);

    t.in.pos = data;
    t.in.last = data + size;

    zt_start(&t);

    while (fuzz_left(&t.in)) {
        t.pool = ngx_create_pool(1024, &fuzz_log);
        fuzz_check(t.pool != NULL);

        zt_step(&t);

        ngx_destroy_pool(t.pool);
    }

    fuzz_lock_hook(0, NULL, NULL);

    zt_sound(&t);
    zt_finish(&t);

    return 0;
}


static void
zt_start(zt_t *t)
{
    ngx_uint_t  flags;

    fuzz_random(1);
    fuzz_slab_kill(0, NULL);
    fuzz_lock_hook(0, NULL, NULL);

    zt_clock.sec = 1700000000;
    zt_clock.msec = 0;
    ngx_cached_time = &zt_clock;

    flags = fuzz_byte(&t->in);

    t->zone = &t->zones[0];
    t->shm.data = t->zone;

    zt_memory(&t->shm, flags & 3);

    ngx_str_set(&t->zone->name, "app");
    t->zone->files = (flags & 4) ? 1 : 0;

    fuzz_check(ngx_rf_zone_init(&t->shm, NULL) == NGX_OK);

    t->zone->sh->files_ready = (flags & 8) ? 1 : 0;
}


/* the one of two that is not in use, with a slab pool */

static void
zt_memory(ngx_shm_zone_t *shm, ngx_uint_t n)
{
    ngx_uint_t  i;

    static u_char  *memory[2];
    static size_t   sizes[] = { 1 << 18, 1 << 19, 1 << 20, 1 << 20 };

    for (i = 0; i < 2 && memory[i] == NULL; i++) {
        fuzz_check(posix_memalign((void **) &memory[i], 4096, 1 << 20) == 0);
    }

    shm->shm.addr = (shm->shm.addr == memory[0]) ? memory[1] : memory[0];
    shm->shm.size = sizes[n];
    shm->shm.log = &fuzz_log;

    fuzz_slab_init(shm);
}


static void
zt_step(zt_t *t)
{
    ngx_uint_t   code;
    zone_args_t  c;

    code = fuzz_byte(&t->in);

    if (code < ZONE_COMMANDS) {
        if (zone_args(&c, &t->in, t->pool, code) == NGX_OK) {
            zt_exec(t, &c);
        }

        return;
    }

    code = (code - ZONE_COMMANDS) % (sizeof(zt_events) / sizeof(zt_events[0]));

    if (zone_tracing) {
        fprintf(stderr, "%s, next byte %d\n", zt_names[code],
                fuzz_left(&t->in) ? t->in.pos[0] : -1);
    }

    zt_event(t, zt_events[code]);
}


static void
zt_event(zt_t *t, zt_event_pt event)
{
    ngx_uint_t  leads, leading;

    leads = (event == zt_replay || event == zt_replayed || event == zt_flush
             || event == zt_flushed || event == zt_reset || event == zt_log
             || event == zt_logged || event == zt_turn || event == zt_mark);

    /* there is one leader, and who gives the lock away keeps his zone */

    if (t->others
        && ((leads && t->leading) || event == zt_copy || event == zt_repath))
    {
        return;
    }

    leading = t->leading;
    t->leading |= leads;

    if (t->kill
        && (event == zt_replay || event == zt_replayed || event == zt_flushed
            || event == zt_logged || event == zt_learn || event == zt_forget
            || event == zt_load))
    {
        zt_event_killed(t, event, leading);

    } else {
        event(t);
    }

    t->leading = leading;
}


/* by the leader, unless that is another one */

static void
zt_event_killed(zt_t *t, zt_event_pt event, ngx_uint_t leading)
{
    t->zone->sh->leader = leading ? 1 : ngx_pid;

    fuzz_slab_kill(t->kill, &t->killed);
    t->kill = 0;

    /* what it has allocated goes with it */
    __lsan_disable();

    if (setjmp(t->killed) == 0) {
        event(t);

    } else {
        zt_die(t);

        if (!leading) {
            zt_drop(&t->flying);
        }
    }

    __lsan_enable();

    fuzz_slab_kill(0, NULL);
    t->zone->sh->leader = 0;
}


/* where one gives the lock away, or waits for it */

static void
zt_others(void *data)
{
    zt_t *t = data;

    ngx_uint_t      n;
    ngx_rf_zone_t  *zone;

    if (t->others == ZT_WORKERS - 1) {
        return;
    }

    /* who waits is not killed */
    fuzz_slab_kill(0, NULL);

    zone = t->zone;

    t->others++;
    t->zone = &t->zones[t->others];

    ngx_memzero(t->zone, sizeof(ngx_rf_zone_t));
    t->zone->shm_zone = zone->shm_zone;
    t->zone->shpool = zone->shpool;
    t->zone->sh = zone->sh;
    t->zone->name = zone->name;
    t->zone->log = zone->log;
    t->zone->files = zone->files;
    ngx_memcpy(t->zone->path_sha1, zone->path_sha1, 20);

    ngx_rf_zone_heap_init(t->zone);

    for (n = 1 + (fuzz_byte(&t->in) & 3); n && fuzz_left(&t->in); n--) {
        zt_step(t);
    }

    t->zone = zone;
    t->others--;
}


static void
zt_finish(zt_t *t)
{
    ngx_uint_t        n;
    ngx_rf_record_t  *rec;

    t->zone->sh->restore = 0;

    zt_drop(&t->flying);
    ngx_rf_zone_replay_reset(t->zone);

    for (n = 0; n < 8; n++) {
        zt_log_end(t, NGX_OK);
        t->logging = ngx_rf_zone_log_take(t->zone, 100000, 1 << 30, 1,
                                          &t->log);
        zt_log_end(t, NGX_OK);

        ngx_rf_zone_dirty_done(t->zone, t->writing);
        t->writing = ngx_rf_zone_dirty_take(t->zone, 100000, 1 << 30);

        for (rec = t->writing; rec; rec = rec->next) {
            rec->status = NGX_OK;
        }

        t->flying = ngx_rf_zone_replay_take(t->zone, 100000, 1 << 30,
                                            ngx_rf_now(), NULL);

        for (rec = t->flying; rec; rec = rec->next) {
            ngx_rf_zone_replay_done(t->zone, rec, NGX_OK, 0, ngx_rf_now());
        }

        zt_drop(&t->flying);
    }

    fuzz_check(t->writing == NULL);
    fuzz_check(t->zone->sh->npending == 0 && t->zone->sh->ndirty == 0
               && t->zone->sh->nunlogged == 0 && t->zone->sh->nlogging == 0);

    ngx_rf_zone_lock(t->zone);
    ngx_rf_zone_forget_all_locked(t->zone);

    for (n = 0; n < 1000 && !ngx_queue_empty(&t->zone->sh->trash); n++) {
        ngx_rf_zone_sweep_locked(t->zone, ngx_rf_now(), 64);
    }

    ngx_rf_zone_unlock(t->zone);

    zt_sound(t);

    fuzz_check(t->zone->sh->entries == 0);

    /* the zone's header */
    fuzz_check(fuzz_slab_blocks(t->zone->shpool)
               == 1 + t->zone->sh->nspare);
}


static void
zt_exec(zt_t *t, zone_args_t *c)
{
    ngx_int_t                rc;
    ngx_str_t                err;
    ngx_rf_local_t           l;
    const ngx_rf_command_t  *command;

    if (ngx_rf_command_check(t->pool, c->argc, c->argv, &command, &err)
        != NGX_OK)
    {
        return;
    }

    zt_prepare(t, &l);
    zone_trace("exec", c->argc, c->argv);

    l.command = command;
    l.argc = c->argc;
    l.argv = c->argv;
    l.read = ngx_pcalloc(t->pool, c->argc);

    rc = zt_run(t, &l, NULL, 0);

    if (rc == NGX_RF_NEED_WAIT || rc == NGX_RF_NEED_FILE) {
        fuzz_check(l.need != 0 && l.need < c->argc);
    }
}


static void
zt_prepare(zt_t *t, ngx_rf_local_t *l)
{
    ngx_memzero(l, sizeof(ngx_rf_local_t));

    l->zone = t->zone;
    l->pool = t->pool;
    l->now = ngx_rf_now();
    l->scope = t->scope;
    l->max_age = 10000;
    l->files = t->files;
}


/* files that are wanted are not there */

static ngx_int_t
zt_run(zt_t *t, ngx_rf_local_t *l, ngx_rf_local_part_t *parts, ngx_uint_t n)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    const ngx_rf_command_t  *command;

    command = l->command;
    rc = NGX_RF_NEED_FILE;

    if (t->kill) {
        fuzz_slab_kill(t->kill, &t->killed);
        t->kill = 0;

        if (setjmp(t->killed)) {
            zt_die(t);
            return NGX_ABORT;
        }
    }

    for (i = 0; rc == NGX_RF_NEED_FILE && i <= l->argc; i++) {
        l->command = command;

        rc = n ? ngx_rf_local_exec_all(l, parts, n) : ngx_rf_local_exec(l);

        if (rc == NGX_RF_NEED_FILE) {
            fuzz_check(l->need < l->argc && l->read[l->need] == 0);
            l->read[l->need] = 1;
        }
    }

    fuzz_slab_kill(0, NULL);

    if (zone_tracing) {
        fprintf(stderr, "    %ld\n", (long) rc);
    }

    switch (rc) {

    case NGX_OK:
        fuzz_check(l->reply != NULL);
        zt_look(l->reply);
        break;

    case NGX_RF_NEED_ROOM:
    case NGX_RF_NEED_WAIT:
    case NGX_RF_NEED_RETRY:
    case NGX_RF_NEED_REDIS:
        fuzz_check(l->version == 0);
        break;

    default:
        fuzz_failed(__FILE__, __LINE__, "a known return code");
    }

    fuzz_check(t->zone->sh->nundo == 0);
    fuzz_check(t->others || t->zone->sh->npins == 0);

    return rc;
}


/* what nginx does when a worker has gone, and what the next one finds */

static void
zt_die(zt_t *t)
{
    ngx_uint_t  rebuilds;

    fuzz_slab_kill(0, NULL);
    fuzz_lock_hook(0, NULL, NULL);
    fuzz_slab_open(t->zone->shpool);

    rebuilds = t->zone->sh->rebuilds;

    fuzz_check(t->zone->sh->busy == (ngx_atomic_uint_t) ngx_pid);
    ngx_shmtx_unlock(&t->zone->shpool->mutex);

    ngx_rf_zone_lock(t->zone);
    ngx_rf_zone_unlock(t->zone);

    fuzz_check(t->zone->sh->rebuilds == rebuilds + 1);

    zt_sound(t);
}


static void
zt_look(ngx_rf_reply_t *reply)
{
    ngx_uint_t  i;

    fuzz_read(&reply->str);

    for (i = 0; i < reply->nelts; i++) {
        zt_look(&reply->elts[i]);
    }
}


static void
zt_time(zt_t *t)
{
    int64_t     now;
    ngx_uint_t  b;

    b = fuzz_byte(&t->in);
    now = ngx_rf_now() + (int64_t) (b * b * 10);

    zt_clock.sec = now / 1000;
    zt_clock.msec = now % 1000;
}


static void
zt_multi(zt_t *t)
{
    ngx_str_t                *argv, err;
    ngx_uint_t                i, n, parts, argc;
    zone_args_t               c;
    ngx_rf_local_t            l;
    ngx_rf_local_part_t       part[ZT_PARTS];
    const ngx_rf_command_t   *command;

    argv = ngx_palloc(t->pool, ZT_PARTS * ZONE_ARGS * sizeof(ngx_str_t));
    fuzz_check(argv != NULL);

    zt_prepare(t, &l);

    parts = 0;
    argc = 0;

    for (n = 1 + fuzz_byte(&t->in) % ZT_PARTS; n; n--) {

        if (zone_args(&c, &t->in, t->pool, fuzz_byte(&t->in) % ZONE_COMMANDS)
            != NGX_OK
            || ngx_rf_command_check(t->pool, c.argc, c.argv, &command, &err)
               != NGX_OK)
        {
            continue;
        }

        zone_trace("    part", c.argc, c.argv);

        part[parts].command = command;
        part[parts].argc = c.argc;
        part[parts].first = argc;
        parts++;

        if (l.command == NULL || (command->flags & NGX_RF_CMD_WRITE)) {
            l.command = command;
        }

        for (i = 0; i < c.argc; i++) {
            argv[argc++] = c.argv[i];
        }
    }

    if (parts == 0) {
        return;
    }

    if (l.scope == NGX_RF_SCOPE_FRESH) {
        l.scope = NGX_RF_SCOPE_ANY;
    }

    l.argc = argc;
    l.argv = argv;
    l.read = ngx_pcalloc(t->pool, argc);

    if (zt_run(t, &l, part, parts) == NGX_OK) {
        fuzz_check(l.reply->type == NGX_RF_REPLY_ARRAY);
        fuzz_check(l.reply->nelts == parts);
    }
}


static void
zt_replay(zt_t *t)
{
    ngx_uint_t        b;
    ngx_rf_record_t  *list, **last;

    b = fuzz_byte(&t->in);

    list = ngx_rf_zone_replay_take(t->zone, 1 + b % 8, 1 << 20, ngx_rf_now(),
                                   (b & 0x80) ? &b : NULL);

    zt_groups(list);

    for (last = &t->flying; *last; last = &(*last)->next) { /* void */ }

    *last = list;
}


/* none is alone, and none is larger than a group may be */

static void
zt_groups(ngx_rf_record_t *list)
{
    ngx_uint_t        n;
    ngx_rf_record_t  *rec;

    n = 1;

    for (rec = list; rec; rec = rec->next) {

        if (rec->group && rec->next && rec->next->group == rec->group) {
            n++;
            continue;
        }

        fuzz_check(n <= NGX_RF_ZONE_GROUP && (n > 1 || rec->group == 0));
        n = 1;
    }
}


static void
zt_replayed(zt_t *t)
{
    ngx_uint_t        b;
    ngx_rf_record_t  *rec;

    static ngx_int_t  codes[] = { NGX_OK, NGX_OK, NGX_AGAIN, NGX_DECLINED };

    b = fuzz_byte(&t->in);
    rec = t->flying;

    if (rec == NULL) {
        return;
    }

    ngx_rf_zone_replay_done(t->zone, rec, codes[b & 3], (b >> 2) & 1,
                            ngx_rf_now());
    t->flying = rec->next;
    free(rec);
}


static void
zt_flush(zt_t *t)
{
    ngx_rf_record_t  **last;

    for (last = &t->writing; *last; last = &(*last)->next) { /* void */ }

    *last = ngx_rf_zone_dirty_take(t->zone, 1 + fuzz_byte(&t->in) % 8,
                                   1 << 20);
}


static void
zt_flushed(zt_t *t)
{
    u_char           *text;
    size_t            len;
    ngx_uint_t        b;
    const char       *why;
    ngx_rf_record_t  *rec, *read;

    b = fuzz_byte(&t->in);

    for (rec = t->writing; rec; rec = rec->next) {
        rec->status = (b & 1) ? NGX_ERROR : NGX_OK;
        b >>= 1;

        if (rec->remove) {
            continue;
        }

        /* what is written can be read */

        fuzz_check(ngx_rf_codec_encode(rec, &text, &len) == NGX_OK);
        fuzz_check(ngx_rf_codec_decode(text, len, &read, &why) == NGX_OK);
        fuzz_check(read->type == rec->type && read->nvalues == rec->nvalues);
        free(read);
        free(text);
    }

    ngx_rf_zone_dirty_done(t->zone, t->writing);
    t->writing = NULL;
}


static void
zt_log(zt_t *t)
{
    ngx_uint_t  b;

    b = fuzz_byte(&t->in);

    if (t->logging == NULL) {
        t->logging = ngx_rf_zone_log_take(t->zone, 1 + (b & 7), 1 << 20,
                                          b & 8, &t->log);
    }
}


static void
zt_logged(zt_t *t)
{
    zt_log_end(t, (fuzz_byte(&t->in) & 1) ? NGX_ERROR : NGX_OK);
}


static void
zt_log_end(zt_t *t, ngx_int_t rc)
{
    ngx_rf_record_t  *list;

    if (t->logging) {
        list = t->logging;
        t->logging = NULL;
        ngx_rf_zone_log_done(t->zone, list, rc, t->log.generation);
    }
}


/* the end of a generation of the journal's segments */

static void
zt_turn(zt_t *t)
{
    ngx_int_t          rc;
    ngx_rf_zone_log_t  log;

    if (t->zone->sh->turn == 0) {
        ngx_rf_zone_turn(t->zone);
        t->turn_at = 0;
        t->turn_left = 0;
        return;
    }

    if (t->logging) {
        return;
    }

    rc = ngx_rf_zone_turn_scan(t->zone, 1 + fuzz_byte(&t->in), &t->turn_at,
                               &t->turn_left, &log);

    if (rc == NGX_DONE) {
        ngx_rf_zone_turned(t->zone, (fuzz_byte(&t->in) & 1) ? 0 : log.base);
    }

    if (rc == NGX_DONE || t->turn_at >= t->zone->sh->nbuckets) {
        t->turn_at = 0;
        t->turn_left = 0;
    }
}


/* a recovery has ended */

static void
zt_mark(zt_t *t)
{
    if (t->zone->sh->npending == 0) {
        t->zone->sh->mark = t->zone->sh->seq;
    }
}


static void
zt_learn(zt_t *t)
{
    int64_t                  pttl;
    uint64_t                 seq;
    ngx_str_t                err;
    ngx_uint_t               b, n;
    zone_args_t              c;
    ngx_rf_reply_t           reply;
    const ngx_rf_command_t  *command;

    if (zone_args(&c, &t->in, t->pool, fuzz_byte(&t->in) % ZONE_COMMANDS)
        != NGX_OK
        || ngx_rf_command_check(t->pool, c.argc, c.argv, &command, &err)
           != NGX_OK)
    {
        return;
    }

    zt_reply(t, &reply, 0);

    b = fuzz_byte(&t->in);
    pttl = b < 3 ? (int64_t) b - 3 : (int64_t) b * 100;
    seq = t->zone->sh->seq - (b & 1);

    zone_trace("    learned", c.argc, c.argv);

    for (n = 0; n < reply.nelts; n++) {
        zone_trace("        element", 1, &reply.elts[n].str);
    }

    ngx_rf_learn(t->zone, t->pool, command, c.argc, c.argv, &reply, pttl, seq,
                 ngx_rf_now(), 0);
}


static void
zt_reply(zt_t *t, ngx_rf_reply_t *reply, ngx_uint_t depth)
{
    ngx_uint_t  i, b;

    ngx_memzero(reply, sizeof(ngx_rf_reply_t));

    b = fuzz_byte(&t->in);

    switch (b & 7) {

    case 0:
        break;

    case 1:
        reply->type = NGX_RF_REPLY_STATUS;
        ngx_str_set(&reply->str, "OK");
        break;

    case 2:
        reply->type = NGX_RF_REPLY_INTEGER;
        reply->integer = (int64_t) (b >> 3) - 4;
        break;

    case 3:
        reply->type = NGX_RF_REPLY_INTEGER;
        reply->integer = (b & 0x80) ? INT64_MIN : INT64_MAX;
        break;

    case 4:
    case 5:
        reply->type = NGX_RF_REPLY_STRING;
        zone_arg(&reply->str, &t->in, t->pool);
        break;

    default:
        if (depth == 2) {
            break;
        }

        reply->type = NGX_RF_REPLY_ARRAY;
        reply->nelts = b >> 3;
        reply->elts = ngx_pcalloc(t->pool, (reply->nelts + 1)
                                           * sizeof(ngx_rf_reply_t));
        fuzz_check(reply->elts != NULL);

        for (i = 0; i < reply->nelts; i++) {
            zt_reply(t, &reply->elts[i], depth + 1);
        }
    }
}


static void
zt_forget(zt_t *t)
{
    ngx_str_t   key;
    ngx_uint_t  b;

    b = fuzz_byte(&t->in);

    ngx_rf_zone_lock(t->zone);

    if (b == 0) {
        ngx_rf_zone_forget_all_locked(t->zone);

    } else if (b & 1) {
        zone_key(&key, b >> 1);
        ngx_rf_zone_forget_key_locked(t->zone, &key);

    } else {
        ngx_rf_zone_sweep_locked(t->zone, ngx_rf_now(), b);
    }

    ngx_rf_zone_unlock(t->zone);
}


static void
zt_scope(zt_t *t)
{
    ngx_uint_t  b;

    b = fuzz_byte(&t->in);

    t->scope = (b & 3) % 3;
    t->files = t->zone->files && (b & 4);
    t->zone->sh->files_ready = (b >> 3) & 1;
}


/* Redis came back without its data */

static void
zt_lost(zt_t *t)
{
    if (fuzz_byte(&t->in) & 1) {
        t->zone->sh->run++;
        t->zone->sh->restore = 1;

    } else {
        t->zone->sh->restore = 0;
    }
}


/* a record of a file, such as one that somebody has edited */

static void
zt_load(zt_t *t)
{
    u_char           *text;
    size_t            len;
    ngx_str_t         values[8];
    ngx_int_t         rc;
    ngx_uint_t        i, b;
    const char       *why;
    ngx_rf_record_t   from, *rec;
    ngx_rf_change_t   change;

    if (!t->zone->files) {
        return;
    }

    ngx_memzero(&from, sizeof(ngx_rf_record_t));

    b = fuzz_byte(&t->in);
    from.type = (b & 7) % (NGX_RF_ZSET + 1);
    from.pending = (b & 8) ? NGX_RF_DELTA : NGX_RF_REPLACE;
    from.complete = (b >> 4) & 1;
    from.foreign = (b >> 5) & 1;
    from.expire = (b & 0x40) ? ngx_rf_now() + 1000 : 0;
    from.changed = ngx_rf_now();

    b = fuzz_byte(&t->in);
    zone_key(&from.key, b);
    from.version = from.foreign ? 0 : t->zone->sh->seq - (b >> 4) + 8;

    from.nvalues = fuzz_byte(&t->in) % 8;
    from.values = values;

    if (from.type == NGX_RF_NONE) {
        from.nvalues = 0;

    } else if (from.type == NGX_RF_STRING) {
        from.nvalues = from.complete || from.pending == NGX_RF_REPLACE
                       || (from.nvalues & 1);

    } else if (from.type == NGX_RF_HASH || from.type == NGX_RF_ZSET) {
        from.nvalues &= ~1;
    }

    for (i = 0; i < from.nvalues; i++) {
        zone_arg(&values[i], &t->in, t->pool);
    }

    if (from.pending == NGX_RF_DELTA) {
        change.argv = ngx_palloc(t->pool, 4 * sizeof(ngx_str_t));
        change.argc = 1 + fuzz_byte(&t->in) % 4;
        fuzz_check(change.argv != NULL);

        for (i = 0; i < change.argc; i++) {
            zone_arg(&change.argv[i], &t->in, t->pool);
        }

        from.nchanges = 1;
        from.changes = &change;
    }

    zone_trace("    values", from.nvalues, values);

    /* what is no record does not come as far as the zone */

    fuzz_check(ngx_rf_codec_encode(&from, &text, &len) == NGX_OK);
    rc = ngx_rf_codec_decode(text, len, &rec, &why);
    free(text);

    if (rc != NGX_OK) {
        fuzz_check(rc == NGX_DECLINED);
        return;
    }

    rec->foreign = from.foreign;

    rc = ngx_rf_zone_load(t->zone, rec, t->zone->sh->seq, 0, ngx_rf_now());

    fuzz_check(rc == NGX_OK || rc == NGX_DECLINED || rc == NGX_BUSY
               || rc == NGX_RF_NEED_ROOM);

    free(rec);
}


/* a recovery ends early */

static void
zt_reset(zt_t *t)
{
    zt_drop(&t->flying);
    ngx_rf_zone_replay_reset(t->zone);
}


static void
zt_hurry(zt_t *t)
{
    ngx_str_t   key;
    ngx_uint_t  b;

    b = fuzz_byte(&t->in);
    zone_key(&key, b);

    ngx_rf_zone_hurry(t->zone, &key);
    ngx_rf_zone_replay_hurry(t->zone, &key);

    (void) ngx_rf_zone_durable(t->zone, &key, t->zone->sh->seq - (b >> 4));
    (void) ngx_rf_zone_outdated(t->zone, &key, t->zone->sh->seq - (b >> 4));
}


static void
zt_kill(zt_t *t)
{
    ngx_uint_t  b;

    b = fuzz_byte(&t->in);

    if (b < 0xe0) {
        t->kill = 1 + b;

    } else {
        fuzz_lock_hook(1 + (b & 0x1f), zt_others, t);
    }
}


/* between two commands */

static void
zt_dead(zt_t *t)
{
    ngx_rf_zone_lock(t->zone);
    zt_die(t);
}


static void
zt_sound(zt_t *t)
{
    if (t->others) {
        /* one who waits may be building trees */
        return;
    }

    fuzz_check(sound_zone(t->zone, 0));
}


/* a reload with another size: a new zone, and records of the old one are lost
 * with those who have them */

static void
zt_copy(zt_t *t)
{
    ngx_uint_t        b, ready;
    ngx_rf_zone_t     zone;
    ngx_shm_zone_t    shm;
    ngx_rf_record_t  *left;

    b = fuzz_byte(&t->in);

    /* it holds the locks of both */
    fuzz_lock_hook(0, NULL, NULL);

    zt_drop(&t->flying);
    zt_drop(&t->writing);
    zt_drop(&t->logging);

    ngx_memzero(&zone, sizeof(ngx_rf_zone_t));
    zone.name = t->zone->name;
    zone.files = (b >> 2) & 1;

    shm = t->shm;
    shm.data = &zone;

    zt_memory(&shm, b & 3);
    fuzz_check(ngx_rf_zone_init(&shm, NULL) == NGX_OK);

    (void) ngx_rf_zone_copy(t->zone, &zone, &left);
    zt_drop(&left);

    ready = t->zone->sh->files_ready;

    t->shm = shm;
    t->shm.data = t->zone;
    t->zone->files = zone.files;
    t->files = 0;

    fuzz_check(ngx_rf_zone_init(&t->shm, t) == NGX_OK);

    t->zone->sh->files_ready = ready && zone.files;

    zt_sound(t);
}


static void
zt_repath(zt_t *t)
{
    t->zone->files = fuzz_byte(&t->in) & 1;
    t->files = 0;

    ngx_rf_zone_repath(t->zone);
}


static void
zt_drop(ngx_rf_record_t **list)
{
    ngx_rf_record_t  *rec;

    while (*list) {
        rec = *list;
        *list = rec->next;
        free(rec);
    }
}
