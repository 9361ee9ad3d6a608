/*
 * The zone, its records and the commands on it, in the states that a store
 * brings them into.
 */

#include "zone_bed.h"


RF_UNIT(zone_pending)
{
    zt_t  *t;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_entry(t, "a")->pending, NGX_RF_REPLACE, "SET replaces");
    is_int(zt_entry(t, "a")->work->base, NGX_RF_BASE_UNKNOWN,
           "what, is unknown");
    is_reply(t, "INCR a", ":2");
    is_int(zt_entry(t, "a")->pending, NGX_RF_REPLACE, "it stays a replacement");

    is_reply(t, "INCR n", ":1");
    is_int(zt_entry(t, "n")->pending, NGX_RF_DELTA, "INCR merges");
    is_int(zt_entry(t, "n")->complete, 0, "and is not all of the value");
    is_reply(t, "INCRBY n 5", ":6");
    is_reply(t, "EXPIRE n 100", ":1");
    is_reply(t, "DECR n", ":5");
    is_reply(t, "EXPIRE n 200", ":1");
    is_reply(t, "DECR n", ":4");
    is_int(zt_entry(t, "n")->work->nchanges, 2, "compacted to two changes");
    is_reply(t, "RENAME n m", "+OK");

    is_reply(t, "DEL nosuch", ":0");
    is_int(zt_entry(t, "nosuch")->pending, NGX_RF_REPLACE,
           "a tombstone of what Redis may hold");
    is_int(t->l.version, zt_entry(t, "nosuch")->version, "counts as a change");

    zt_learn(t, "SET k v", "OK", -3, t->zone.sh->seq);
    is_reply(t, "SET k w", "+OK");
    is_int(zt_entry(t, "k")->work->base, NGX_RF_BASE_KNOWN,
           "a base that was seen");
    is_int(zt_entry(t, "k")->work->base_sha1[0], 0x7a, "its digest");

    is_reply(t, "SET e v EX 0", "-ERR invalid expire time in 'set' command");
    ok(zt_entry(t, "e") == NULL, "an error leaves no trace");
    is_reply(t, "INCR k", "-ERR value is not an integer or out of range");
    is_reply(t, "GET k", "w");

    is_int(t->zone.sh->npending, 4, "pending");
    is_int(t->zone.sh->nunlogged, 4, "to be journaled");
    is_int(t->zone.sh->ndirty, 0, "before there are files");
    is_int(zt_log(t, NGX_OK), 4, "journaled");
    is_int(t->zone.sh->ndirty, 4, "dirty");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_expiry)
{
    zt_t  *t;

    t = zt_start(pool, log, 1 << 20, 1);

    zt_learn(t, "SET clean v PX 1000", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET delta 1 PX 1000", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET local 1", "OK", -3, t->zone.sh->seq);
    is_reply(t, "INCR delta", ":2");
    is_reply(t, "PEXPIRE local 1000", ":1");
    is_reply(t, "SET replaced v PX 1000", "+OK");
    is_reply(t, "DBSIZE", ":4");
    is_int(zt_flush(t, NGX_OK), 3, "files written");

    t->later = 5000;

    is_reply(t, "GET clean", "nil");
    ok(zt_entry(t, "clean") == NULL, "clean: gone");
    is_reply(t, "GET delta", "nil");
    is_int(zt_entry(t, "delta")->pending, NGX_RF_CLEAN,
           "Redis' own expiry: nothing to be replayed");
    is_int(zt_entry(t, "delta")->work->where, NGX_RF_DISK_UNACKED,
           "which the disk is to know");
    is_reply(t, "GET local", "nil");
    is_int(zt_entry(t, "local")->pending, NGX_RF_REPLACE,
           "local expiry: a tombstone");
    is_int(zt_entry(t, "local")->type, NGX_RF_NONE, "without a value");
    is_reply(t, "DBSIZE", ":0");
    is_int(zt_entry(t, "replaced")->type, NGX_RF_NONE, "replaced: a tombstone");
    is_int(zt_entry(t, "replaced")->work->where, NGX_RF_DISK_UNLOGGED,
           "for the disk too");
    is_int(t->zone.sh->stat.expired, 3, "counted");

    is_int(zt_flush(t, NGX_OK), 3, "files written or removed");
    ok(zt_entry(t, "delta") == NULL, "the removed one is forgotten");
    is_int(t->zone.sh->stat.files, 2, "files");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_room)
{
    zt_t        *t;
    char         line[4096], big[2600];
    ngx_int_t    rc;
    ngx_uint_t   i, n;

    t = zt_start(pool, log, 1 << 20, 1);

    memset(big, 'x', sizeof(big));

    for (i = 0; i < 2000; i++) {
        sprintf(line, "SET clean%d %.*s", (int) i, 1000, big);
        zt_learn(t, line, "OK", -3, t->zone.sh->seq);
    }

    n = t->zone.sh->entries;
    ok(n > 300 && n < 1000, "clean entries: %d", (int) n);
    ok(t->zone.sh->stat.evictions >= 1000, "the rest was evicted");
    is_reply(t, "GET clean0", "nil");
    ok(t->l.unknown, "of which memory knows nothing");

    for (i = 0; ; i++) {
        sprintf(line, "SET p%d %.*s", (int) i, 1000, big);
        rc = zt_exec(t, line);
        if (rc != NGX_OK || i == 2000) {
            break;
        }
    }

    n = i;
    is_int(rc, NGX_RF_NEED_ROOM, "until there is no room, %d pending", (int) n);
    ok(sound_zone(&t->zone, 0), "sound");
    is_int(t->zone.sh->npending, n, "none is lost");

    sprintf(line, "SET p0 %.*s", (int) sizeof(big), big);
    is_int(zt_exec(t, line), NGX_RF_NEED_ROOM, "no room for a new value");
    is_int(strlen(zt(t, "GET p0")), 1000, "the old one is still there");

    sprintf(line, "MSET p1 1 p2 2 new 3 p3 %.*s p4 4", (int) sizeof(big), big);
    is_int(zt_exec(t, line), NGX_RF_NEED_ROOM, "no room in mid-command");
    is_int(strlen(zt(t, "GET p1")), 1000, "MSET: all or nothing");
    is_reply(t, "GET new", "nil");
    ok(zt_entry(t, "new") == NULL, "nothing");
    is_int(t->zone.sh->npending, n, "pending");
    ok(sound_zone(&t->zone, 0), "sound");

    /* what is on disk may go */

    zt_flush(t, NGX_OK);
    sprintf(line, "SET q %.*s", (int) sizeof(big), big);
    is_int(zt_exec(t, line), NGX_RF_NEED_ROOM, "files are not ours");
    t->zone.sh->files_ready = 1;
    is_int(zt_exec(t, line), NGX_OK, "durable keys make room");
    ok(t->zone.sh->spilled > 0, "%d spilled", (int) t->zone.sh->spilled);
    is_int(t->zone.sh->npending + t->zone.sh->spilled, n + 1, "none is lost");
    ok(sound_zone(&t->zone, 0), "sound");

    t->files = 1;
    is_int(zt_exec(t, "GET p0"), NGX_RF_NEED_FILE, "its file is to be read");
    is_int(t->l.need, 1, "which");

    /* a value that never fits evicts nobody */

    i = t->zone.sh->entries;
    memset(line, 'x', sizeof(line));
    t->files = 0;
    is_int(zt_exec(t, "SETRANGE far 3000000 x"), NGX_RF_NEED_ROOM, "too big");
    is_int(t->zone.sh->entries, i, "and nobody had to go");
}


/* slots of other sizes are what a full zone has free */

RF_UNIT(zone_fragments)
{
    zt_t        *t;
    char        *line, *big;
    ngx_uint_t   i, j, n, failed;

    static ngx_uint_t  sizes[] = { 10, 100, 1000, 3000, 10000, 100000, 500000 };

    t = zt_start(pool, log, 8 << 20, 0);
    line = ngx_alloc(600000, log);
    big = ngx_alloc(600000, log);
    memset(big, 'x', 600000);

    srandom(1);

    for (i = 0; i < 7; i++) {

        for (j = 0; j < 50000; j++) {
            n = (i & 1) ? 40 : 20 + random() % 2000;
            sprintf(line, "SET k%d %.*s", (int) (random() % 50000), (int) n,
                    big);
            zt_learn(t, line, "OK", -3, t->zone.sh->seq);
        }

        failed = 0;

        for (j = 0; j < 3; j++) {
            sprintf(line, "SET w%d:%d %.*s", (int) i, (int) j,
                    (int) sizes[i], big);
            failed += (zt_exec(t, line) != NGX_OK);
        }

        is_int(failed, 0, "writes of %d bytes find room", (int) sizes[i]);
    }

    is_int(t->zone.sh->npending, 21, "pending");
    ok(sound_zone(&t->zone, 0), "sound");

    ngx_free(line);
    ngx_free(big);
}


/* files that are but to be removed do not keep memory */

/* two zones, one has replaced the other */

RF_UNIT(zone_overlap)
{
    zt_t              *t;
    ngx_rf_zone_t      other;
    ngx_rf_zone_sh_t  *sh, old;

    t = zt_start(pool, log, 1 << 20, 0);
    sh = t->zone.sh;

    ngx_memzero(&old, sizeof(ngx_rf_zone_sh_t));
    other = t->zone;
    other.sh = &old;

    is_reply(t, "SET a 1", "+OK");
    is_int(ngx_rf_zone_overlaps(sh), 0, "it has replaced none");

    ngx_rf_zone_overlap(&other, &t->zone, 60000);
    is_int(ngx_rf_zone_overlaps(&old), 1, "it begins");
    is_reply(t, "GET a", "1");
    is_int(zt_exec(t, "SET a 2"), NGX_RF_NEED_WAIT, "the new one stays");
    is_reply(t, "GET a", "1");

    sh->overlap = ngx_current_msec - 1;
    is_reply(t, "SET a 3", "+OK");
    is_int(sh->overlap, 0, "it is over, for good");

    /* the old one */

    sh->superseded = 1;
    is_reply(t, "GET a", "3");
    is_int(zt_exec(t, "SET a 4"), NGX_RF_NEED_REDIS, "it does not change");

    ngx_rf_zone_overlap(&t->zone, &other, 60000);
    is_reply(t, "GET a", "3");

    sh->overlap = ngx_current_msec - 1;
    is_int(zt_exec(t, "GET a"), NGX_RF_NEED_REDIS, "nor is it asked then");
    is_int(zt_exec(t, "GET a"), NGX_RF_NEED_REDIS, "nor later");
    sh->superseded = 0;
}


/* reading a key again within a second writes nothing at all: neither the list
 * nor the entry, which another worker may be reading */

RF_UNIT(zone_hit)
{
    zt_t            *t;
    size_t           size;
    u_char          *before;
    int64_t          now;
    ngx_str_t        key = ngx_string("a");
    ngx_rf_entry_t  *e;

    t = zt_start(pool, log, 1 << 20, 0);
    now = ngx_rf_now();

    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET b 1", "OK", -3, t->zone.sh->seq);

    size = t->zone.shpool->end - (u_char *) t->zone.shpool;
    before = ngx_alloc(size, log);

    ngx_rf_zone_lock(&t->zone);

    e = ngx_rf_zone_lookup_locked(&t->zone, &key);
    e->used--;

    ngx_memcpy(before, t->zone.shpool, size);
    ok(ngx_rf_zone_find_locked(&t->zone, &key, now) == e, "found");
    ok(ngx_memcmp(before, t->zone.shpool, size) != 0, "moves in its list");
    ok(ngx_rf_zone_line_first(t->zone.sh, NGX_RF_LINE_CLEAN) == e, "first");

    ngx_memcpy(before, t->zone.shpool, size);
    key.data = (u_char *) "b";
    ok(ngx_rf_zone_find_locked(&t->zone, &key, now) != NULL, "the other one");
    ok(ngx_memcmp(before, t->zone.shpool, size) == 0, "nothing is written");

    ngx_rf_zone_unlock(&t->zone);

    ok(offsetof(ngx_rf_entry_t, key) <= 88 && sizeof(ngx_rf_zwork_t) <= 128,
       "slots of 128");
    ok(offsetof(ngx_rf_entry_t, expire) + sizeof(int64_t) <= 64,
       "one line says whether it may be used");

    ngx_free(before);
}


/* an entry's header and an ordinary name fit a slot of 128 */

RF_UNIT(zone_capacity)
{
    zt_t        *t;
    char         line[200];
    ngx_uint_t   n, clean;

    t = zt_start(pool, log, 32 << 20, 0);

    for (n = 0; t->zone.sh->stat.evictions == 0; n++) {
        sprintf(line, "SET a-name-of-20b%07lx %0100d", (unsigned long) n, 1);
        zt_learn(t, line, "OK", -3, t->zone.sh->seq);
    }

    clean = n;

    t = zt_start(pool, log, 32 << 20, 0);

    for (n = 0; ; n++) {
        sprintf(line, "SET a-name-of-20b%07lx %0100d", (unsigned long) n, 1);

        if (zt_exec(t, line) != NGX_OK) {
            break;
        }
    }

    printf("# 32 MB: %lu keys, %lu pending keys\n", (unsigned long) clean,
           (unsigned long) n);

    ok(clean > 115000, "cached keys");
    ok(n > 75000, "pending keys");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_scope)
{
    zt_t               *t;
    ngx_atomic_t        word;

    t = zt_start(pool, log, 1 << 20, 0);

    t->scope = NGX_RF_SCOPE_FRESH;
    t->l.max_age = 1000;

    is_reply(t, "GET a", "NEED_REDIS");
    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET b 2", "OK", -3, t->zone.sh->seq);
    is_reply(t, "GET a", "1");
    is_reply(t, "MGET a b", "[1 2]");
    is_reply(t, "MGET a b c", "NEED_REDIS");
    is_reply(t, "SET a 2", "NEED_REDIS");
    is_reply(t, "DBSIZE", "NEED_REDIS");
    t->later = 2000;
    is_reply(t, "GET a", "NEED_REDIS");
    t->later = 0;

    word = 5;
    t->l.guard = &word;
    t->l.guard_value = 4;
    is_reply(t, "GET a", "NEED_RETRY");
    t->l.guard_value = 5;
    is_reply(t, "GET a", "1");
    t->l.guard = NULL;

    t->scope = NGX_RF_SCOPE_ANY;
    is_reply(t, "SET p 1", "+OK");
    is_reply(t, "GETBIT p 1", "NEED_REDIS");

    t->scope = NGX_RF_SCOPE_PENDING;
    is_reply(t, "GET a", "NEED_REDIS");
    is_reply(t, "GET p", "1");
    is_reply(t, "SET p 2", "+OK");
    is_reply(t, "MGET a p", "NEED_WAIT");
    is_int(t->l.need, 2, "for the one that is pending");
    is_reply(t, "GETBIT p 1", "NEED_WAIT");
    is_reply(t, "GETBIT q 1", "NEED_REDIS");
    is_reply(t, "COPY p p2 DB 3", "NEED_WAIT");
    is_reply(t, "PING", "+PONG");
}


RF_UNIT(zone_learn)
{
    zt_t      *t;
    uint64_t   seq;

    t = zt_start(pool, log, 1 << 20, 0);
    seq = t->zone.sh->seq;

#define learn(line, reply, pttl)                                             \
    zt_learn(t, line, reply, pttl, t->zone.sh->seq)

    learn("GET a", "1", 5000);
    is_reply(t, "GET a", "1");
    is_reply(t, "PTTL a", ":5000");
    learn("GET a", "2", -1);
    is_reply(t, "TTL a", ":-1");
    learn("GET a", "2", -3);
    is_reply(t, "GET a", "2");
    learn("GET a", "3", -3);
    ok(zt_entry(t, "a") == NULL, "a value of unknown time to live");
    learn("GET a", "1", -1);
    learn("GET a", "nil", -2);
    ok(zt_entry(t, "a") == NULL, "nil");

    /* of one process: the replies are in the order of the commands */

    learn("SET a 1", "OK", -3);
    zt_learn(t, "SET a 2", "OK", -3, seq);
    is_reply(t, "GET a", "2");
    zt_learn(t, "GET a", "3", -1, seq);
    is_reply(t, "GET a", "3");

    /* of two */

    learn("SET a 1", "OK", -3);
    ngx_memzero(t->zone.learned, sizeof(t->zone.learned));
    zt_learn(t, "GET a", "0", -1, seq);
    is_reply(t, "GET a", "1");
    zt_learn(t, "SET a 2", "OK", -3, seq);
    ok(zt_entry(t, "a") == NULL, "two writes in unknown order");
    zt_learn(t, "GET a", "0", -1, seq);
    ok(zt_entry(t, "a") == NULL, "a read that was sent before");
    learn("GET a", "2", -1);
    is_reply(t, "GET a", "2");

    learn("SET a 3 NX", "nil", -3);
    is_reply(t, "GET a", "2");
    learn("SET a 3 XX GET", "2", -3);
    is_reply(t, "GET a", "3");
    learn("SET a 4 NX GET", "3", -3);
    is_reply(t, "GET a", "3");
    learn("SET a 4 EX 100", "OK", -3);
    learn("SET a 5 KEEPTTL", "OK", -3);
    is_reply(t, "GET a", "5");
    is_reply(t, "TTL a", ":100");
    learn("SET b 5 KEEPTTL", "OK", -3);
    ok(zt_entry(t, "b") == NULL, "of unknown time to live");
    learn("INCRBY a 7", ":12", -3);
    is_reply(t, "GET a", "12");
    is_reply(t, "TTL a", ":100");
    learn("INCR b", ":12", -3);
    ok(zt_entry(t, "b") == NULL, "of unknown time to live");
    learn("APPEND a x", ":3", -3);
    is_reply(t, "GET a", "12x");
    learn("APPEND a x", ":9", -3);
    ok(zt_entry(t, "a") == NULL, "memory was wrong");

    learn("MSET a 1 b 2", "OK", -3);
    is_reply(t, "MGET a b", "[1 2]");
    learn("EXPIRE a 50", ":1", -3);
    is_reply(t, "TTL a", ":50");
    learn("EXPIRE a 60 GT", ":0", -3);
    is_reply(t, "TTL a", ":50");
    learn("PERSIST a", ":1", -3);
    is_reply(t, "TTL a", ":-1");
    learn("EXPIRE a 60", ":0", -3);
    ok(zt_entry(t, "a") == NULL, "there is no such key");
    learn("RENAME b c", "OK", -3);
    ok(zt_entry(t, "b") == NULL, "renamed");
    learn("SETEX a 10 v", "OK", -3);
    is_reply(t, "TTL a", ":10");
    learn("GETEX a PERSIST", "v", -3);
    is_reply(t, "TTL a", ":-1");
    learn("GETSET a w", "v", -3);
    is_reply(t, "GET a", "w");
    learn("HSET a f v", "-WRONGTYPE", -3);
    is_reply(t, "GET a", "w");
    learn("SETBIT a 1 1", ":0", -3);
    ok(zt_entry(t, "a") == NULL, "a command that is not understood");
    learn("SET a 1", "OK", -3);
    learn("SET b 1", "OK", -3);
    seq = t->zone.sh->seq;
    learn("FLUSHALL", "OK", -3);
    is_int(t->zone.sh->entries, 0, "flushed");
    zt_learn(t, "GET z", "1", -1, seq);
    is_int(t->zone.sh->entries, 0, "a read that was sent before");

    is_reply(t, "SET p local", "+OK");
    learn("SET p remote", "OK", -3);
    learn("DEL p", ":1", -3);
    is_reply(t, "GET p", "local");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_copy)
{
    zt_t             *t, *to;
    char              line[2000], big[1500];
    ngx_uint_t        i, n, left;
    ngx_rf_record_t  *list, *rec;

    t = zt_start(pool, log, 4 << 20, 1);
    to = zt_start(pool, log, 1 << 20, 1);

    memset(big, 'x', sizeof(big));

    for (i = 0; i < 1000; i++) {
        sprintf(line, "SET c%d %.*s", (int) i, 1000, big);
        zt_learn(t, line, "OK", -3, t->zone.sh->seq);
    }

    is_reply(t, "INCR n", ":1");
    is_reply(t, "SET gone 1", "+OK");
    is_reply(t, "SET kept 1 EX 100", "+OK");
    zt_flush(t, NGX_OK);
    list = ngx_rf_zone_replay_take(&t->zone, 1, 100, ngx_rf_now(), NULL);
    t->zone.sh->run = 3;

    /* Redis answers: others than what is pending are its, and may change */

    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &rec), 0, "all fits");
    is_int(to->zone.sh->entries, 3, "what is pending, in normal mode");
    ok(rec == NULL, "nothing left");

    to = zt_start(pool, log, 1 << 20, 1);
    t->zone.sh->mode = NGX_RF_FALLBACK;

    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &rec), 0, "all fits");
    ok(rec == NULL, "nothing left");
    zt_free(list);

    is_int(to->zone.sh->npending, 3, "pending");
    is_int(to->zone.sh->ndirty, 0, "with their files");
    is_int(zt_entry(to, "n")->flying, 0, "none of them flies");
    ok(zt_entry(to, "n")->work->id != 0, "the id is kept");
    is_int(t->zone.sh->superseded, 1, "superseded");
    is_int(to->zone.sh->run, 3, "the run");
    is_reply(to, "TTL kept", ":100");
    is_reply(to, "GET n", "1");

    n = to->zone.sh->entries;
    ok(n > 300 && n < 1000, "and %d entries in all", (int) n);
    is_int(strlen(zt(to, "GET c999")), 1000, "the most recent ones");
    is_reply(to, "GET c0", "nil");
    ok(sound_zone(&to->zone, 1), "sound");

    /* more than fits */

    to = zt_start(pool, log, 1 << 20, 1);

    is_int(ngx_rf_zone_outdated(&t->zone, &(ngx_str_t) ngx_string("n"), 0), 1,
           "outdated");
    zt_exec(t, "SET refused 1");
    ok(zt_entry(t, "refused") == NULL, "a superseded zone takes no writes");
    t->zone.sh->superseded = 0;

    for (i = 0; i < 1500; i++) {
        sprintf(line, "SET c%d %.*s", (int) i, 1000, big);
        ngx_rf_zone_lock(&t->zone);
        ngx_rf_zone_unlock(&t->zone);
        zt_exec(t, line);
    }

    n = t->zone.sh->npending;
    left = ngx_rf_zone_copy(&t->zone, &to->zone, &rec);
    ok(left > 0, "%d are left", (int) left);
    is_int(to->zone.sh->npending + left, n, "none is lost");

    for (i = 0, list = rec; list; list = list->next) {
        i++;
    }

    is_int(i, left, "they are in the list");
    zt_free(rec);
    ok(sound_zone(&to->zone, 0), "sound");
}


/* Redis came back empty; a change was sent to it, and it may have executed
 * that; then another one was made, and the zone replaced.  The two stay apart:
 * under the id of the first Redis would not execute the second. */

RF_UNIT(zone_copy_keeps_what_was_sent)
{
    zt_t             *t, *to;
    ngx_rf_record_t  *rec, *left;

    t = zt_start(pool, log, 1 << 20, 0);
    to = zt_start(pool, log, 2 << 20, 0);

    zt_learn(t, "SET n 10", "OK", -3, t->zone.sh->seq);
    t->zone.sh->mode = NGX_RF_FALLBACK;
    is_reply(t, "INCR n", ":11");

    t->zone.sh->run = 1;
    t->zone.sh->restore = 1;
    rec = ngx_rf_zone_replay_take(&t->zone, 1, 1000, ngx_rf_now(), NULL);
    ok(rec != NULL && rec->nsent == 1 && rec->restore, "sent");
    zt_free(rec);
    ngx_rf_zone_replay_reset(&t->zone);
    is_reply(t, "INCR n", ":12");

    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &left), 0, "it fits");
    rec = ngx_rf_zone_replay_take(&to->zone, 1, 1000, ngx_rf_now(), NULL);
    ok(rec != NULL && rec->nchanges == 2 && rec->nsent == 1,
       "the first is sent once more, the second is not");
    is_int(zt_entry(to, "n")->run, 0, "the run in which it was seen");
    zt_free(rec);
}


RF_UNIT(zone_attach)
{
    zt_t           *t;
    ngx_rf_zone_t   zone;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "SET a 1", "+OK");
    is_reply(t, "SET b 1", "+OK");
    zt_flush(t, NGX_OK);
    zt_replay(t, NGX_OK, 1);
    is_reply(t, "SET b 2", "+OK");
    is_int(zt_log(t, NGX_OK), 2, "journaled");
    is_int(t->zone.sh->ndirty, 2, "a file to remove, one to write");

    /* a reload */

    zone = t->zone;
    zone.sh = NULL;
    zone.shm_zone->data = &zone;
    is_int(ngx_rf_zone_init(zone.shm_zone, &t->zone), NGX_OK, "attached");
    ok(zone.sh == t->zone.sh, "to the same");
    is_int(zone.sh->ndirty, 2, "nothing has changed");

    /* to another path */

    zone.path_sha1[0] ^= 1;
    is_int(ngx_rf_zone_init(zone.shm_zone, &t->zone), NGX_OK, "attached");
    is_int(zone.sh->ndirty, 2, "nothing has changed before it is in force");
    is_int(ngx_rf_zone_elsewhere(&zone, t->zone.sh), 1, "elsewhere");
    ngx_rf_zone_repath(&zone);
    is_int(ngx_rf_zone_elsewhere(&zone, t->zone.sh), 0, "here");
    is_int(zone.sh->ndirty, 0, "no file is dirty");
    is_int(zone.sh->nunlogged, 1, "what is pending is to be journaled");
    is_int(zone.sh->stat.files, 0, "there is no file");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "an old worker writes no more");

    /* and to none */

    zone.files = 0;
    is_int(ngx_rf_zone_init(zone.shm_zone, &t->zone), NGX_OK, "attached");
    ngx_rf_zone_repath(&zone);
    is_int(zone.sh->ndirty, 0, "nothing is dirty without files");
    is_reply(t, "SET c 1", "+OK");
    is_int(zone.sh->ndirty, 0, "nor becomes it");
    ok(sound_zone(&zone, 0), "sound");

    zone.sh->layout++;
    is_int(ngx_rf_zone_init(zone.shm_zone, &t->zone), NGX_ERROR,
           "another layout is not attached");
}


RF_UNIT(zone_mode)
{
    zt_t        *t;
    pid_t        pid;
    ngx_uint_t   epoch, old, taken;

    t = zt_start(pool, log, 1 << 20, 0);

    is_int(ngx_rf_mode_get(&t->zone, &epoch), NGX_RF_NORMAL, "normal");
    old = epoch;
    is_int(ngx_rf_mode_set(&t->zone, epoch, NGX_RF_FALLBACK), NGX_OK,
           "an outage");
    is_int(ngx_rf_mode_set(&t->zone, old, NGX_RF_FALLBACK), NGX_DECLINED,
           "reported twice");
    is_int(t->zone.sh->stat.outages, 1, "counts once");
    is_int(ngx_rf_mode_get(&t->zone, &epoch), NGX_RF_FALLBACK, "fallback");
    is_int(ngx_rf_mode_finish(&t->zone, epoch), NGX_DECLINED,
           "not from fallback");
    is_int(ngx_rf_mode_set(&t->zone, epoch, NGX_RF_RECOVERING), NGX_OK,
           "recovering");
    ngx_rf_mode_get(&t->zone, &epoch);
    is_reply(t, "SET a 1", "+OK");
    is_int(ngx_rf_mode_finish(&t->zone, epoch), NGX_AGAIN, "one is pending");
    zt_replay(t, NGX_OK, 1);
    is_int(ngx_rf_mode_finish(&t->zone, old), NGX_DECLINED, "an old epoch");
    is_int(ngx_rf_mode_finish(&t->zone, epoch), NGX_OK, "normal");

    is_int(ngx_rf_mode_lead(&t->zone, &taken), NGX_OK, "leads");
    is_int(taken, 1, "for the first time");
    is_int(ngx_rf_mode_lead(&t->zone, &taken), NGX_OK, "still");
    is_int(taken, 0, "not for the first time");

    pid = ngx_pid;
    ngx_pid = getppid();
    is_int(ngx_rf_mode_lead(&t->zone, &taken), NGX_DECLINED, "another");
    t->zone.sh->lease = ngx_current_msec - 1;
    is_int(ngx_rf_mode_lead(&t->zone, &taken), NGX_OK,
           "once the lease has run out");
    is_int(taken, 1, "taken over");
    ngx_pid = pid;
    is_int(ngx_rf_mode_lead(&t->zone, &taken), NGX_DECLINED, "lost");
    t->zone.sh->leader = 999999;
    is_int(ngx_rf_mode_lead(&t->zone, &taken), NGX_OK, "at once from the dead");
    ngx_rf_mode_resign(&t->zone);
    is_int(t->zone.sh->leader, 0, "resigned");
}
