/*
 * The zone, its records and the commands on it, in the states that a store
 * brings them into.
 */

#include "rf_unit.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_mode.h"
#include "sound.h"
#include "ngx_rf_zone_internal.h"


typedef struct {
    ngx_pool_t       *pool;
    ngx_log_t        *log;
    ngx_rf_zone_t     zone;
    ngx_rf_local_t    l;
    ngx_rf_scope_e    scope;
    ngx_uint_t        files;
    int64_t           later;    /* ms that the clock is ahead */
} zt_t;


static zt_t *zt_start(ngx_pool_t *pool, ngx_log_t *log, size_t size,
    ngx_uint_t files);
static ngx_int_t zt_exec(zt_t *t, const char *line);
static const char *zt(zt_t *t, const char *line);
static void zt_learn(zt_t *t, const char *line, const char *reply,
    int64_t pttl, uint64_t seq);
static ngx_rf_entry_t *zt_entry(zt_t *t, const char *key);
static ngx_rf_record_t *zt_record(zt_t *t, const char *key,
    const char *value, uint64_t version);
static ngx_uint_t zt_split(zt_t *t, const char *line, ngx_str_t *argv);
static ngx_uint_t zt_log(zt_t *t, ngx_int_t rc);
static ngx_uint_t zt_flush(zt_t *t, ngx_int_t status);
static ngx_uint_t zt_replay(zt_t *t, ngx_int_t rc, ngx_uint_t keep);
static void zt_free(ngx_rf_record_t *list);


#define is_reply(t, line, expected)                                          \
    do {                                                                     \
        ngx_str_t  got;                                                      \
        got.data = (u_char *) zt(t, line);                                   \
        got.len = strlen((char *) got.data);                                 \
        is_str(&got, expected, strlen(expected), "%s", line);                \
    } while (0)


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


/* a full journal: what is done with is for it, and what is pending is not */

RF_UNIT(zone_takes_acknowledgements_alone)
{
    zt_t               *t;
    ngx_str_t           key = ngx_string("a");
    ngx_rf_record_t    *rec;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   batch;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has it");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis, too");
    is_reply(t, "SET b 1", "+OK");
    is_int(sh->nunlogged, 2, "the journal is to know of both");
    is_int(sh->nunacked, 1, "of one that it is done with");
    is_int(ngx_rf_zone_unsaved(&t->zone), 1, "and one is not saved");

    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000,
                               NGX_RF_LOG_ALL|NGX_RF_LOG_ACKS, &batch);
    ok(rec && rec->remove && rec->next == NULL && rec->key.data[0] == 'a',
       "that alone");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, batch.generation);
    is_int(sh->nunlogged, 1, "the other is left");
    ok(ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ACKS, &batch)
       == NULL, "and nothing for it");
    ok(sound_zone(&t->zone, 0), "sound");

    /* one that a change has made pending is not among them */

    is_reply(t, "SET a 2", "+OK");
    is_int(zt_log(t, NGX_OK), 2, "the journal has both");
    is_int(zt_replay(t, NGX_OK, 2), 2, "and Redis");
    is_int(sh->nunacked, 2, "which it is to know");
    is_reply(t, "SET a 3", "+OK");
    is_int(sh->nunacked, 1, "but not of what has changed");
    ok(sound_zone(&t->zone, 0), "sound");

    /* the mark has made garbage of the lines before a batch: while that is
     * under way nobody knows what the journal has */

    sh->mark = sh->seq;
    is_reply(t, "SET a 4", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    ok(rec != NULL, "a batch is under way");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it before");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the journal may have it");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_ERROR, batch.generation);
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "also when that has failed");
    zt_log(t, NGX_OK);
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "until it is told");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* a mark that was decided on before a key changed, and written after a batch
 * had it: it says nothing of that batch */

RF_UNIT(zone_mark_in_a_batch)
{
    zt_t               *t;
    uint64_t            mark;
    ngx_str_t           key = ngx_string("a");
    ngx_rf_record_t    *rec, *late;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   batch;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has it");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis, too");
    mark = sh->seq++;

    is_reply(t, "SET a 2", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    ok(rec != NULL, "a batch is under way");
    sh->mark = mark;
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it before");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the journal may have it");
    is_int(zt_entry(t, "a")->work->where, NGX_RF_DISK_UNACKED,
           "and is to know better");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, batch.generation);
    is_int(zt_log(t, NGX_OK), 1, "which it is told");
    is_int(sh->nunlogged, 0, "all of it");

    /* a batch of before comes home in between */

    is_reply(t, "SET a 3", "+OK");
    late = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it");
    sh->mark = sh->seq++;
    is_reply(t, "SET a 4", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    ok(late != NULL && rec != NULL, "two batches");
    ngx_rf_zone_log_done(&t->zone, late, NGX_OK, batch.generation);
    is_int(zt_replay(t, NGX_OK, 1), 1, "and Redis");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the journal may have it");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, batch.generation);
    ok(sound_zone(&t->zone, 0), "sound");
}


/* what left memory for its file may have lines in the journal */

RF_UNIT(zone_lines_of_a_spilled_key)
{
    zt_t              *t;
    char               line[4096], big[1000];
    ngx_uint_t         i;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = 1;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_flush(t, NGX_OK), 1, "in the journal, and in a file");

    memset(big, 'x', sizeof(big));

    for (i = 0; zt_entry(t, "a") && i < 2000; i++) {
        sprintf(line, "SET b%d %.*s", (int) i, (int) sizeof(big), big);
        zt_exec(t, line);
    }

    ok(zt_entry(t, "a") == NULL && sh->spilled == 1, "it has left memory");
    zt_flush(t, NGX_OK);

    rec = zt_record(t, "a", "1", sh->seq);
    is_int(ngx_rf_zone_load(&t->zone, rec, sh->seq, 1, ngx_rf_now()), NGX_OK,
           "and is back");
    zt_free(rec);

    sh->disk_failed = NGX_ENOSPC;
    zt_replay(t, NGX_OK, 1);

    while ((rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1 << 20)) != NULL) {
        ok(rec->key.data[0] != 'a', "its file stays: its line may be older");
        rec->status = NGX_OK;
        ngx_rf_zone_dirty_done(&t->zone, rec);
    }

    /* the mark says it of all at once */

    sh->mark = sh->seq;
    sh->disk_failed = 0;
    (void) ngx_rf_zone_log_take(&t->zone, 1000, 1 << 20, NGX_RF_LOG_ALL,
                                &(ngx_rf_zone_log_t) { 0 });
    is_int(sh->nunlogged, 0, "after which there is nothing to be told");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* What came while a part was on its way has an id of its own.  After a crash
 * that is made anew from what the disk has, for whatever came next: so it is
 * not used before the disk has it. */

RF_UNIT(zone_second_id_is_on_disk_first)
{
    zt_t              *t, *to;
    uint64_t           first, second;
    ngx_rf_record_t   *rec, *none;
    ngx_rf_zone_sh_t  *sh;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = 1;

    is_reply(t, "INCR a", ":1");
    is_int(zt_log(t, NGX_OK), 1, "the journal has it");
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    first = rec->id;

    /* whether Redis has got it is not known */

    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    zt_free(rec);
    is_reply(t, "INCR a", ":2");
    is_int(zt_log(t, NGX_OK), 1, "and the next, under the same id");
    is_int(zt_entry(t, "a")->work->id, first, "so it is");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    is_int(rec->nsent, 1, "a part is sent");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    zt_free(rec);
    second = zt_entry(t, "a")->work->id;
    ok(second != first, "the rest has another id");
    ok(ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL) == NULL,
       "which the disk is to know first");

    /* another key does not wait for that */

    is_reply(t, "INCR b", ":1");
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->key.data[0] == 'b' && rec->next == NULL, "others go on");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    zt_free(rec);

    /* nor is it forgotten by a new zone */

    to = zt_start(pool, log, 2 << 20, 1);
    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &none), 0, "all fits");
    to->zone.sh->files_ready = 1;
    ok(ngx_rf_zone_replay_take(&to->zone, 10, 1000, ngx_rf_now(), NULL) == NULL,
       "neither by another zone");
    sh->superseded = 0;

    /* a disk that takes nothing: it ends nevertheless */

    sh->disk_failed = NGX_ENOSPC;
    sh->files_failed = NGX_ENOSPC;
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id == second, "a failing disk is not waited for");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    zt_free(rec);
    sh->disk_failed = 0;
    sh->files_failed = 0;
    zt_entry(t, "a")->work->nsent = 0;

    ok(zt_log(t, NGX_OK) >= 1, "the journal has it");
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id == second, "and Redis may");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    zt_free(rec);
    is_int(sh->npending, 0, "nothing is left");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* Redis lost its data after it had got a part of what is pending: all goes
 * under the id, and the disk has some of it as yet to be sent, under the next.
 * So the disk is to know first here, too. */

RF_UNIT(zone_restored_changes_are_on_disk_first)
{
    zt_t               *t;
    uint64_t            id;
    ngx_uint_t          i;
    ngx_rf_record_t    *rec, *old;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   log_old;

    for (i = 0; i < 3; i++) {
        t = zt_start(pool, log, 1 << 20, 1);
        sh = t->zone.sh;
        sh->files_ready = 1;

        zt_learn(t, "SET n 10", "OK", -3, sh->seq);
        is_reply(t, "INCR n", ":11");
        is_int(zt_log(t, NGX_OK), 1, "the journal has it");

        /* sent, and the connection breaks; then one more */

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
        id = rec->id;
        ngx_rf_zone_replay_reset(&t->zone);
        zt_free(rec);

        is_reply(t, "INCR n", ":12");

        old = ngx_rf_zone_log_take(&t->zone, 9, 1000, 1, &log_old);
        is_int(old->id, id, "under the same id");
        is_int(old->nsent, 1, "of which a part was sent");
        is_int(old->nchanges, 2, "and the rest was not");

        if (i != 1) {
            ngx_rf_zone_log_done(&t->zone, old, NGX_OK, log_old.generation);
        }

        /* Redis is empty */

        sh->run = 1;
        sh->restore = 1;

        ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL)
           == NULL, "not before the disk knows");

        if (i == 1) {
            ngx_rf_zone_log_done(&t->zone, old, NGX_OK, log_old.generation);
            ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL)
               == NULL, "which a batch of before does not say");
        }

        if (i == 2) {
            is_reply(t, "INCR n", ":13");
        }

        rec = ngx_rf_zone_log_take(&t->zone, 9, 1000, 1, &log_old);
        ok(rec && rec->id == id && rec->nsent == 2, "all of it");
        is_int(rec->nchanges, i == 2 ? 3 : 2, "but what came since");
        ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, log_old.generation);

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
        ok(rec && rec->restore && rec->id == id, "now it goes");
        is_int(rec->nsent, 2, "as the disk has it");

        if (i == 2) {

            /* Redis has nothing of it: again all of it */

            ngx_rf_zone_replay_done(&t->zone, rec, NGX_BUSY, 0, ngx_rf_now());
            zt_free(rec);
            ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL)
               == NULL, "the disk is first");
            is_int(zt_log(t, NGX_OK), 1, "it knows");
            rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                          NULL);
            ok(rec && rec->nsent == 3, "now all of it");
        }

        ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 1, ngx_rf_now());
        zt_free(rec);
        is_int(sh->npending, 0, "nothing is left");
        ok(sound_zone(&t->zone, 0), "sound");
    }
}


/* nor does a merged key's file go before the other's lines are done with */

RF_UNIT(zone_lines_of_another)
{
    zt_t              *t;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = 1;
    sh->disk_failed = NGX_ENOSPC;

    is_reply(t, "SET a 2", "+OK");

    rec = zt_record(t, "a", "1", ++sh->seq);
    rec->changed = 1;
    is_int(ngx_rf_zone_adopt(&t->zone, rec), NGX_OK, "another has changed it");
    zt_free(rec);

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && !rec->remove, "a file has both");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);

    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has both");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "the file stays: the other's line is older");

    sh->disk_failed = 0;
    is_int(zt_log(t, NGX_OK), 1, "the journal knows");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove, "then it goes");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(sh->nunlogged + sh->ndirty, 0, "nothing is left to be done");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* A generation is ending while the zone is replaced, or the journal is read
 * once more: what has lines only there is written once more before they go. */

RF_UNIT(zone_generation_ends_in_another_zone)
{
    zt_t               *t, *to;
    ngx_uint_t          at, left;
    ngx_rf_record_t    *rec;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   old, new, end;

    t = zt_start(pool, log, 1 << 20, 1);
    to = zt_start(pool, log, 2 << 20, 1);
    sh = to->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &old);
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, old.generation);

    ngx_rf_zone_turn(&t->zone);
    is_reply(t, "SET b 1", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &new);
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, new.generation);

    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &rec), 0, "all fits");

    ngx_rf_zone_turn(&to->zone);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_AGAIN, "something is needed");
    is_int(zt_entry(to, "a")->work->where, NGX_RF_DISK_UNLOGGED,
           "what the old generation has");
    ok(zt_entry(to, "b")->work->where == NGX_RF_DISK_UNLOGGED
       || new.number >= sh->turn, "and the new one, unless that stays");
    zt_log(to, NGX_OK);

    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_DONE, "nothing any more");
    ok(end.base > old.number, "the old segment goes");
    ngx_rf_zone_turned(&to->zone, end.base);
    ok(sound_zone(&to->zone, 0), "sound");

    /* read while the next one ends: nobody knows which of them had it */

    ngx_rf_zone_turn(&to->zone);
    rec = zt_record(to, "c", "1", ++sh->seq);
    is_int(ngx_rf_zone_log_load(&to->zone, rec, sh->seq, 0, ngx_rf_now()),
           NGX_OK, "a line is read");
    zt_free(rec);

    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_AGAIN, "something is needed");
    is_int(zt_entry(to, "c")->work->where, NGX_RF_DISK_UNLOGGED,
           "what was read, too");
}


/* an old worker's batch is on its way while the new zone's first generation
 * would end: to which of its segments nobody knows */

RF_UNIT(zone_batch_of_an_old_worker)
{
    zt_t               *t, *to;
    ngx_uint_t          at, left;
    ngx_rf_record_t    *rec, *none;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   old, end;

    t = zt_start(pool, log, 1 << 20, 1);
    to = zt_start(pool, log, 2 << 20, 1);
    sh = to->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &old);
    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &none), 0, "all fits");

    ngx_rf_zone_turn(&to->zone);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_BUSY, "it is waited for");

    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, old.generation);
    zt_log(to, NGX_OK);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_DONE, "and then it ends");
}


RF_UNIT(zone_stale)
{
    zt_t        *t;
    char         line[1200], big[1200];
    ngx_uint_t   i, n;

    t = zt_start(pool, log, 1 << 20, 1);
    memset(big, 'x', sizeof(big));

    for (n = 0; ; n++) {
        sprintf(line, "SET p%d %.*s", (int) n, 1000, big);
        if (zt_exec(t, line) != NGX_OK) {
            break;
        }
    }

    zt_flush(t, NGX_OK);
    zt_replay(t, NGX_OK, 1);
    is_int(t->zone.sh->nunlogged, n, "acknowledgements");
    is_int(zt_log(t, NGX_OK), n, "journaled");
    is_int(t->zone.sh->ndirty, n, "files to be removed");
    is_int(zt_exec(t, "GET p1"), NGX_OK, "memory still holds the values");

    for (i = 0; i < n / 2; i++) {
        sprintf(line, "SET q%d %.*s", (int) i, 1000, big);
        if (zt_exec(t, line) != NGX_OK) {
            break;
        }
    }

    is_int(i, n / 2, "new ones find room");
    is_int(t->zone.sh->stat.files, n, "the files are not forgotten");

    t->zone.sh->mark = t->zone.sh->seq;
    zt_flush(t, NGX_OK);

    /* pages of values may stay where another size is short */

    for (i = 0; i < n * 4 / 5; i++) {
        sprintf(line, "SET q%d %.*s", (int) i, 1000, big);
        if (zt_exec(t, line) != NGX_OK) {
            break;
        }
    }

    is_int(i, n * 4 / 5, "and more, now that the files are gone");
    ok(sound_zone(&t->zone, 0), "sound");
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


RF_UNIT(zone_files)
{
    zt_t             *t;
    ngx_str_t         key = ngx_string("a");
    ngx_rf_record_t  *rec, *rec2;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "SET a 1", "+OK");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "not on disk yet");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "the journal comes first");
    is_int(zt_log(t, NGX_ERROR), 1, "which fails");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "not on disk yet");
    is_int(zt_log(t, NGX_OK), 1, "and then does not");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "durable");

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->next == NULL, "one record");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "taken once");
    is_text(&rec->values[0], "1", "its value");

    is_reply(t, "SET a 2", "+OK");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "not while it is written");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "it is not durable");
    is_int(zt_log(t, NGX_OK), 1, "the journal does not wait for files");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "now it is");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->ndirty, 1, "it has changed meanwhile");

    is_int(zt_flush(t, NGX_ERROR), 1, "a batch that fails");
    is_int(t->zone.sh->ndirty, 1, "is to be done again");
    is_int(zt_flush(t, NGX_OK), 1, "and then does not");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "durable");
    is_int(t->zone.sh->stat.files, 1, "one file");

    /* acknowledged while it is written */

    is_reply(t, "SET a 3", "+OK");
    zt_log(t, NGX_OK);
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    is_int(zt_replay(t, NGX_OK, 1), 1, "replayed");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "Redis has it");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "its file stays until the disk knows");
    is_int(zt_log(t, NGX_OK), 1, "which it does");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove, "its file is to be removed");

    /* changed again while its file is removed */

    is_reply(t, "SET a 4", "+OK");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->stat.files, 0, "no file");
    zt_log(t, NGX_OK);
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && !rec->remove, "it is to be written again");

    /* the writer dies */

    zt_entry(t, "a")->work->writer = 999999;
    ngx_rf_zone_reclaim(&t->zone);
    is_int(t->zone.sh->nwriting, 0, "reclaimed");
    is_int(zt_entry(t, "a")->work->where, NGX_RF_DISK_DIRTY, "dirty again");
    ok(zt_entry(t, "a")->work->file_version != 0,
       "and perhaps there is a file");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(zt_entry(t, "a")->work->where, NGX_RF_DISK_DIRTY,
           "a claim that ended says nothing");

    zt_flush(t, NGX_OK);

    /* what memory knows better */

    rec = zt_record(t, "a", "old", 5);
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_DECLINED,
           "memory knows the key as pending");
    zt_replay(t, NGX_OK, 1);
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_DECLINED,
           "memory knows its file as stale");
    zt_flush(t, NGX_OK);
    rec->changed = 5;
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_DECLINED,
           "memory knows that it was acknowledged");
    is_reply(t, "GET a", "4");
    free(rec);

    zt_learn(t, "GET b", "seen", -1, t->zone.sh->seq);
    rec = zt_record(t, "b", "filed", 5);
    rec2 = zt_record(t, "c", "filed", t->zone.sh->seq + 1000);
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_OK,
           "a change of an earlier run is newer than what Redis holds");
    is_int(ngx_rf_zone_load(&t->zone, rec2, t->zone.sh->seq, 1,
                            ngx_rf_now()), NGX_DECLINED,
           "a key that is not spilled");
    t->zone.sh->spilled = 1;
    is_int(ngx_rf_zone_load(&t->zone, rec2, t->zone.sh->seq, 1,
                            ngx_rf_now()), NGX_OK,
           "one that is");
    is_int(t->zone.sh->spilled, 0, "and now is not");
    ok(t->zone.sh->seq >= rec2->version, "versions go on from there");
    is_reply(t, "MGET b c", "[filed filed]");
    is_int(t->zone.sh->ndirty, 0, "their files are up to date");
    free(rec);
    free(rec2);

    rec = zt_record(t, "d", "foreign", 0);
    rec->foreign = 1;
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_OK,
           "a foreign record");
    is_int(t->zone.sh->nunlogged, 2,
           "is written in our own way, and that \"a\" was acknowledged");
    free(rec);

    ok(sound_zone(&t->zone, 0), "sound");
}


/* what Redis may have taken already is no base, nor is what is in doubt */


RF_UNIT(zone_settled_files)
{
    zt_t             *t;
    uint64_t          seq;
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "SET cold 1", "+OK");
    is_reply(t, "SET hot 1", "+OK");
    is_int(zt_log(t, NGX_OK), 2, "both are journaled");
    seq = t->zone.sh->seq;

    ok(ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, 0) == NULL,
       "both have changed since the beginning");

    is_reply(t, "SET hot 2", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "again");

    rec = ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, seq);
    ok(rec && rec->next == NULL, "one has not changed since");
    is_text(&rec->key, "cold", "which it is");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);

    ok(ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, seq) == NULL,
       "and no other");
    is_int(t->zone.sh->ndirty, 1, "which is dirty yet");

    rec = ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, t->zone.sh->seq);
    ok(rec && rec->next == NULL, "it has not changed since the next look");
    is_text(&rec->values[0], "2", "its value");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->stat.files, 2, "two files");

    is_int(zt_replay(t, NGX_OK, 1), 2, "Redis has both");
    is_int(zt_log(t, NGX_OK), 2, "which the disk is told");
    rec = ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, 0);
    ok(rec && rec->remove && rec->next && rec->next->remove,
       "files that are to go need not wait");
    rec->status = NGX_OK;
    rec->next->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->stat.files, 0, "no file");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_base_unsure)
{
    zt_t             *t;
    ngx_str_t         key = ngx_string("u");
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    zt_learn(t, "SET k v", "OK", -3, t->zone.sh->seq);
    is_reply(t, "SET k w", "+OK");
    is_reply(t, "SET k x", "+OK");
    is_int(zt_entry(t, "k")->work->base, NGX_RF_BASE_KNOWN,
           "the first one counts");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    is_int(rec->base, NGX_RF_BASE_KNOWN, "it is sent with it");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    free(rec);
    is_int(zt_entry(t, "k")->work->base, NGX_RF_BASE_KNOWN, "and again");

    is_reply(t, "SET k y", "+OK");
    is_int(zt_entry(t, "k")->work->base, NGX_RF_BASE_UNKNOWN,
           "but what follows may find the one before");

    zt_learn(t, "SET u v", "OK", -3, t->zone.sh->seq);
    ngx_rf_zone_lock(&t->zone);
    ngx_rf_zone_unsure_locked(&t->zone, &key);
    ngx_rf_zone_unlock(&t->zone);
    is_reply(t, "GET u", "v");
    is_reply(t, "SET u w", "+OK");
    is_int(zt_entry(t, "u")->work->base, NGX_RF_BASE_UNKNOWN,
           "what was in doubt");
}


RF_UNIT(zone_replay)
{
    zt_t             *t;
    uint64_t          id;
    ngx_str_t         key = ngx_string("n");
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "INCRBY n 5", ":5");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id && rec->nsent == 1, "a delta with an id");
    id = rec->id;

    is_int(zt_exec(t, "INCR n"), NGX_RF_NEED_WAIT, "a flying key waits");
    is_int(t->l.need, 1, "which");
    is_reply(t, "GET n", "5");

    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    free(rec);

    is_reply(t, "INCRBY n 7", ":12");
    is_reply(t, "INCRBY n 1", ":13");
    is_int(zt_entry(t, "n")->work->nchanges, 2,
           "what may have been sent is frozen");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec->id == id && rec->nsent == 1, "the same part under the same id");
    is_text(&rec->changes[0].argv[1], "5", "namely this");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    free(rec);

    is_int(t->zone.sh->npending, 1, "the rest is still pending");
    is_reply(t, "GET n", "13");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec->id && rec->id != id && rec->nsent == 1, "under another id");
    is_text(&rec->changes[0].argv[1], "8", "summed up");

    ngx_rf_zone_replay_reset(&t->zone);
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    is_int(t->zone.sh->npending, 1, "a reply after the reset says nothing");
    free(rec);

    is_reply(t, "SET n x", "+OK");
    is_int(zt_entry(t, "n")->work->nchanges, 0,
           "a replacement drops the changes");
    is_reply(t, "SET o 1 PX 1000", "+OK");
    is_reply(t, "DEL p", ":0");
    ngx_rf_zone_replay_hurry(&t->zone, &key);
    t->later = 2000;
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000,
                                  ngx_rf_now() + t->later, NULL);
    is_text(&rec->key, "n", "the one in a hurry");
    is_text(&rec->next->key, "p", "then in order of change");
    is_text(&rec->next->next->key, "o", "what expired changed last");
    is_int(rec->next->next->type, NGX_RF_NONE, "to a tombstone");

    ngx_rf_zone_replay_done(&t->zone, rec, NGX_DECLINED, 0, ngx_rf_now());
    ok(zt_entry(t, "n") == NULL, "set aside: forgotten");
    ngx_rf_zone_replay_done(&t->zone, rec->next, NGX_OK, 1, ngx_rf_now());
    ok(zt_entry(t, "p") == NULL, "an acknowledged tombstone: forgotten");
    ngx_rf_zone_replay_done(&t->zone, rec->next->next, NGX_OK, 0,
                            ngx_rf_now());
    is_int(t->zone.sh->npending, 0, "nothing is pending");
    zt_free(rec);

    is_int(t->zone.sh->nunlogged + t->zone.sh->ndirty, 0, "nor dirty");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* The journal takes nothing more, and has what is older than a file: when Redis
 * has acknowledged the key, that file is what a start believes. */

RF_UNIT(zone_files_full)
{
    zt_t               *t;
    ngx_str_t           key = ngx_string("a");
    ngx_str_t           other = ngx_string("b");
    ngx_uint_t          at, left;
    ngx_rf_record_t    *rec;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   end;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = ngx_pid;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has the first");
    sh->journal_full = 1;
    is_reply(t, "SET a 2", "+OK");

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->next == NULL && !rec->remove, "and a file the second");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "durable");

    is_reply(t, "SET b 1", "+OK");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->next == NULL, "another key has a file alone");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);

    is_int(zt_replay(t, NGX_OK, 1), 2, "Redis has both");
    is_int(sh->nunlogged, 2, "which the disk does not know");

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove && rec->next == NULL
       && rec->key.data[0] == other.data[0],
       "only the file that no line is against goes");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "and no other");
    is_int(sh->nunlogged, 1, "the journal is to know of it");
    ok(sound_zone(&t->zone, 0), "sound");

    /* it was changed once more, of which the disk has nothing */

    is_reply(t, "SET a 3", "+OK");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "a third is not durable");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "and the disk would put the second over it");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "its file stays");

    /* the journal takes lines again */

    sh->journal_full = 0;
    is_int(zt_log(t, NGX_OK), 1, "the journal knows");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "that is durable");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove && rec->next == NULL, "the file goes");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(sh->stat.files, 0, "no file");

    /* or the recovery ends */

    is_reply(t, "SET a 4", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has another");
    sh->journal_full = 1;
    is_reply(t, "SET a 5", "+OK");
    is_int(zt_replay(t, NGX_OK, 1), 1, "and Redis the next");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the disk does not know");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "no file to go");
    sh->mark = sh->seq++;
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "but by the mark");

    /* which is above what a generation's end would have written once more */

    sh->journal_full = 0;
    zt_flush(t, NGX_OK);
    is_reply(t, "SET a 6", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has another");
    ngx_rf_zone_turn(&t->zone);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&t->zone, sh->nbuckets, &at, &left, &end),
           NGX_AGAIN, "the generation ends");
    is_int(sh->nunlogged, 1, "which it is needed for");
    sh->journal_full = 1;
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it");
    ok(ngx_rf_zone_unacked(sh, zt_entry(t, "a")), "the disk does not know");
    sh->mark = sh->seq;
    ok(!ngx_rf_zone_unacked(sh, zt_entry(t, "a")), "but by the mark");
    zt_flush(t, NGX_OK);
    is_int(sh->nunlogged + sh->ndirty, 0, "nothing is left to be done");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* whatever of the changes a file has, it is under the id that Redis is asked
 * for: a crash after the replay does not apply them again */

RF_UNIT(zone_replay_file)
{
    zt_t             *t;
    uint64_t          id, next;
    ngx_rf_record_t  *file, *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "INCRBY n 5", ":5");

    zt_log(t, NGX_OK);
    file = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(file->id && file->nsent == 1, "the file has an id");
    id = file->id;

    is_reply(t, "INCRBY n 7", ":12");
    ngx_rf_zone_dirty_done(&t->zone, file);
    is_int(t->zone.sh->nunlogged, 1, "and is behind");
    is_int(zt_entry(t, "n")->work->nchanges, 1,
           "what is in a file only is merged");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id == id, "nothing waits for it, the id is the same");
    is_text(&rec->changes[0].argv[1], "12", "for all of it");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    free(rec);

    /* the file has a part that was sent, and one that was not */

    is_reply(t, "INCR n", ":13");
    zt_log(t, NGX_OK);
    file = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(file->id == id && file->nsent == 1 && file->nchanges == 2, "both");
    ngx_rf_zone_dirty_done(&t->zone, file);

    zt_replay(t, NGX_OK, 0);
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    next = rec->id;
    ok(next && next != id, "the second part has an id of its own");
    free(rec);

    /* another nginx, with that file */

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "INCRBY n 12", ":12");
    zt_entry(t, "n")->work->id = id;
    zt_entry(t, "n")->work->nsent = 1;
    is_reply(t, "INCR n", ":13");
    zt_replay(t, NGX_OK, 0);

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec->id == next, "which follows from the first");
    free(rec);

    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_restore)
{
    zt_t             *t;
    ngx_uint_t        restored, i;
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 0);

    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET b 2", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET c 3 PX 1000", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET d 4", "OK", -3, t->zone.sh->seq);

    t->zone.sh->run++;
    t->zone.sh->restore = 1;
    t->later = 2000;
    t->scope = NGX_RF_SCOPE_PENDING;

    zt_learn(t, "SET e 5", "OK", -3, t->zone.sh->seq);

    is_reply(t, "GET a", "1");
    is_reply(t, "INCR d", ":5");
    is_int(zt_entry(t, "d")->pending, NGX_RF_REPLACE,
           "Redis has lost what the change would add to");
    is_int(zt_entry(t, "d")->work->base, NGX_RF_BASE_ABSENT, "which is absent");
    is_reply(t, "GET e", "NEED_REDIS");
    is_reply(t, "GET c", "NEED_REDIS");
    is_reply(t, "MGET a e", "NEED_WAIT");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now() + 2000,
                                  &restored);
    is_int(restored, 2, "two are restored");
    is_text(&rec->key, "d", "after what is pending");

    for (i = 0; i < 3; i++) {
        is_int(rec->base, NGX_RF_BASE_ABSENT, "if Redis has none");
        is_int(rec->version == 0, i > 0, "its version");
        ngx_rf_zone_replay_done(&t->zone, rec, i == 1 ? NGX_AGAIN : NGX_OK, 1,
                                ngx_rf_now());
        rec = rec->next;
    }

    is_int(t->zone.sh->restore, 1, "one is left");
    is_int(ngx_rf_mode_set(&t->zone, 0, NGX_RF_RECOVERING), NGX_OK,
           "recovering");
    ngx_rf_mode_get(&t->zone, &i);
    is_int(ngx_rf_mode_finish(&t->zone, i), NGX_AGAIN, "still");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now() + 2000,
                                  &restored);
    is_int(restored, 1, "one more");
    is_int(zt_exec(t, "SET a x"), rec->key.data[0] == 'a' ? NGX_RF_NEED_WAIT
                                                           : NGX_RF_NEED_REDIS,
           "flying or restored");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_DECLINED, 0, ngx_rf_now());
    ok(ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), &restored)
       == NULL, "no more");
    is_int(t->zone.sh->restore, 0, "done");
    is_int(ngx_rf_mode_finish(&t->zone, i), NGX_OK, "normal");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* Redis came back empty, and the connection broke while it was written to: what
 * was on its way is restored all the same, changes to it, too, that were made
 * before that or after. */

RF_UNIT(zone_restore_goes_on)
{
    zt_t             *t;
    ngx_uint_t        i, restored;
    ngx_rf_record_t  *rec;

    for (i = 0; i < 2; i++) {
        t = zt_start(pool, log, 1 << 20, 0);

        zt_learn(t, "SET n 10", "OK", -3, t->zone.sh->seq);
        is_reply(t, "INCR n", ":11");

        t->zone.sh->run = 1;
        t->zone.sh->restore = 1;

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                      &restored);
        ok(rec != NULL && rec->restore && rec->nsent == 1, "its value, too");
        ngx_rf_zone_replay_reset(&t->zone);
        zt_free(rec);

        if (i) {
            is_reply(t, "INCR n", ":12");
        }

        is_int(t->zone.sh->restore, 1, "that was not all");

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                      &restored);
        ok(rec != NULL && rec->restore, "again");
        is_int(rec->nsent, 1, "what may have been sent");

        if (i) {

            /* Redis has nothing of it */

            ngx_rf_zone_replay_done(&t->zone, rec, NGX_BUSY, 0, ngx_rf_now());
            zt_free(rec);

            rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                          &restored);
            ok(rec != NULL && rec->restore && rec->nsent == 2, "all of it");
        }

        ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 1, ngx_rf_now());
        zt_free(rec);

        is_int(t->zone.sh->npending, 0, "done");
        ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), &restored)
           == NULL, "nothing is left");
        is_int(t->zone.sh->restore, 0, "of anything");
    }
}


/* the zone is replaced while what Redis has lost is being written back: old
 * workers do not change that any more, and the new ones go on with it */

RF_UNIT(zone_restore_in_another_zone)
{
    zt_t             *t, *to;
    ngx_uint_t        i;
    ngx_rf_record_t  *rec, *left, *next;

    t = zt_start(pool, log, 1 << 20, 0);
    to = zt_start(pool, log, 2 << 20, 0);

    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET b 2", "OK", -3, t->zone.sh->seq);

    t->zone.sh->mode = NGX_RF_RECOVERING;
    t->zone.sh->run = 1;
    t->zone.sh->restore = 1;

    /* these may change in Redis */

    zt_learn(t, "SET c 3", "OK", -3, t->zone.sh->seq);

    rec = ngx_rf_zone_replay_take(&t->zone, 1, 1000, ngx_rf_now(), NULL);
    ok(rec != NULL && rec->version == 0, "one is on its way");
    zt_free(rec);

    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &left), 0, "it fits");
    is_int(to->zone.sh->entries, 2, "what was not written back for sure");

    to->scope = NGX_RF_SCOPE_PENDING;
    is_reply(to, "MGET a b", "[1 2]");
    is_reply(to, "GET c", "NEED_REDIS");

    rec = ngx_rf_zone_replay_take(&to->zone, 9, 1000, ngx_rf_now(), NULL);

    for (i = 0, next = rec; next; next = next->next) {
        i++;
        ngx_rf_zone_replay_done(&to->zone, next, NGX_OK, 1, ngx_rf_now());
    }

    is_int(i, 2, "both");
    zt_free(rec);
    ok(sound_zone(&to->zone, 0), "sound");
}


/* what another instance has of a key is not passed over because that is being
 * written back */

RF_UNIT(zone_restore_while_it_is_read)
{
    zt_t             *t;
    ngx_rf_record_t  *flown, *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    t->zone.sh->run = 1;
    t->zone.sh->restore = 1;

    flown = ngx_rf_zone_replay_take(&t->zone, 1, 1000, ngx_rf_now(), NULL);
    ok(flown != NULL, "on its way");

    rec = zt_record(t, "a", "theirs", t->zone.sh->seq + 10);
    rec->changed = ngx_rf_now() + 1000;

    is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                ngx_rf_now()),
           NGX_AGAIN, "later");

    ngx_rf_zone_replay_done(&t->zone, flown, NGX_OK, 1, ngx_rf_now());
    zt_free(flown);

    is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                ngx_rf_now()),
           NGX_OK, "and then it is");
    is_reply(t, "GET a", "theirs");
    is_int(t->zone.sh->npending, 1, "pending");
}


/* what another instance has changed is changed in what is being written back,
 * and does not take its place */

RF_UNIT(zone_restore_and_changes_of_another)
{
    zt_t              *t;
    ngx_str_t          argv[2];
    ngx_uint_t         i;
    ngx_rf_change_t    change;
    ngx_rf_record_t   *rec, *got;
    ngx_rf_zone_sh_t  *sh;

    static const char  *known[] = { "SET a 100", "INCR a" };

    ngx_str_set(&argv[0], "INCRBY");
    ngx_str_set(&argv[1], "1");
    change.argc = 2;
    change.argv = argv;

    for (i = 0; i < 2; i++) {
        t = zt_start(pool, log, 1 << 20, 1);
        sh = t->zone.sh;

        zt_learn(t, known[0], "OK", -3, sh->seq);

        if (i) {
            zt_learn(t, known[1], ":101", -3, sh->seq);
        }

        sh->run = 1;
        sh->restore = 1;

        rec = zt_record(t, "a", "1", sh->seq + 10);
        rec->changed = ngx_rf_now() + (i ? -1000 : 1000);
        rec->pending = NGX_RF_DELTA;
        rec->id = 7;
        rec->nchanges = 1;
        rec->nsent = 1;
        rec->changes = &change;

        is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                    ngx_rf_now()),
               NGX_BUSY, "to be merged");
        is_reply(t, "GET a", i ? "101" : "100");
        is_int(zt_entry(t, "a")->work->base, NGX_RF_BASE_ABSENT,
               "Redis has none");
        is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                    ngx_rf_now()),
               NGX_BUSY, "once more");
        is_int(ngx_rf_zone_adopt(&t->zone, rec), NGX_OK, "merged");

        got = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
        is_int(got->pending, NGX_RF_DELTA, "changes");
        is_int(got->nchanges, 3, "three");
        is_text(&got->changes[1].argv[0], "set", "the value");
        is_str(&got->changes[1].argv[1], i ? "101" : "100", 3, "%s",
               "what it was");
        is_text(&got->changes[2].argv[0], "INCRBY", "and what is new");

        ngx_rf_zone_replay_done(&t->zone, got, NGX_OK, 0, ngx_rf_now());
        zt_free(got);
        is_int(sh->npending, 0, "done");
        ok(sound_zone(&t->zone, 0), "sound");
        free(rec);
    }
}


/* What Redis may have got from here is not somebody else's: a digest of what it
 * held before, or that it held nothing, says nothing then. */

RF_UNIT(zone_base_of_what_was_sent)
{
    zt_t             *t, *to;
    ngx_rf_record_t  *rec, *left;

    t = zt_start(pool, log, 1 << 20, 0);
    t->zone.digests = 1;

    /* restored, and nobody knows whether it was */

    zt_learn(t, "SET r 1", "OK", -3, t->zone.sh->seq);
    t->zone.sh->run = 1;
    t->zone.sh->restore = 1;

    rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
    ok(rec != NULL && rec->version == 0, "on its way");
    ngx_rf_zone_replay_reset(&t->zone);
    zt_free(rec);

    is_reply(t, "SET r 2", "+OK");
    is_int(zt_entry(t, "r")->work->base, NGX_RF_BASE_UNKNOWN,
           "it may be there");

    /* another write to it was acknowledged while it was on its way */

    zt_learn(t, "SET l 1", "OK", -3, t->zone.sh->seq);
    is_reply(t, "SET l 2", "+OK");
    is_int(zt_entry(t, "l")->work->base, NGX_RF_BASE_KNOWN, "known");

    rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
    zt_learn(t, "APPEND l x", ":2", -3, t->zone.sh->seq);
    is_int(zt_entry(t, "l")->work->late, 1, "late");
    ngx_rf_zone_replay_reset(&t->zone);
    zt_free(rec);

    is_int(zt_entry(t, "l")->work->base, NGX_RF_BASE_UNKNOWN,
           "not any more");

    /* a reload to another size, and then one more change */

    zt_learn(t, "SET c 1", "OK", -3, t->zone.sh->seq);
    is_reply(t, "SET c 2", "+OK");
    rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
    zt_free(rec);

    to = zt_start(pool, log, 2 << 20, 0);
    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &left), 0, "it fits");
    is_int(zt_entry(to, "c")->work->base, NGX_RF_BASE_KNOWN, "or was not");
    is_reply(to, "SET c 3", "+OK");
    is_int(zt_entry(to, "c")->work->base, NGX_RF_BASE_UNKNOWN,
           "Redis may hold the one before");
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


/* The journal takes nothing.  What Redis has acknowledged is to be journaled
 * all the same, and no file can be made or removed for it: an exit that goes on
 * while there is something for files must come to its end. */

RF_UNIT(zone_acknowledged_is_nothing_for_files)
{
    zt_t             *t;
    ngx_rf_record_t  *list;

    t = zt_start(pool, log, 1 << 20, 1);
    t->zone.sh->files_ready = 1;

    is_reply(t, "SET k 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "journaled");
    is_int(zt_replay(t, NGX_OK, 1), 1, "acknowledged");
    is_int(t->zone.sh->nunlogged, 1, "which is to be journaled");

    t->zone.sh->disk_failed = NGX_ENOSPC;

    for (list = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
         list != NULL && t->zone.sh->stat.file_errors < 5;
         list = ngx_rf_zone_dirty_take(&t->zone, 10, 1000))
    {
        /* it is done, and there again */
        t->zone.sh->stat.file_errors++;
        ngx_rf_zone_dirty_done(&t->zone, list);
    }

    ok(list == NULL, "nothing for files");

    /* what is pending is */

    is_reply(t, "SET other 1", "+OK");
    list = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(list != NULL && list->next == NULL && !list->remove, "another key");
    list->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, list);
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "and no more");
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


static zt_t *
zt_start(ngx_pool_t *pool, ngx_log_t *log, size_t size, ngx_uint_t files)
{
    zt_t            *t;
    ngx_shm_zone_t  *shm;

    t = ngx_pcalloc(pool, sizeof(zt_t));

    t->pool = pool;
    t->log = log;

    ngx_str_set(&t->zone.name, "app");
    t->zone.files = files;
    ngx_memset(t->zone.path_sha1, 7, 20);

    shm = rf_unit_shm(pool, log, size);
    shm->data = &t->zone;

    ngx_time_update();

    is_int(ngx_rf_zone_init(shm, NULL), NGX_OK, "a zone");

    return t;
}


static ngx_uint_t
zt_split(zt_t *t, const char *line, ngx_str_t *argv)
{
    const char  *p;
    ngx_uint_t   n;

    for (n = 0; *line; n++) {
        p = strchr(line, ' ');
        if (p == NULL) {
            p = line + strlen(line);
        }

        argv[n].data = (u_char *) line;
        argv[n].len = p - line;
        line = *p ? p + 1 : p;
    }

    return n;
}


static ngx_int_t
zt_exec(zt_t *t, const char *line)
{
    ngx_str_t  argv[32];

    t->l.argc = zt_split(t, line, argv);
    t->l.argv = argv;
    t->l.command = ngx_rf_command_find(&argv[0]);
    t->l.zone = &t->zone;
    t->l.pool = t->pool;
    t->l.now = ngx_rf_now() + t->later;
    t->l.scope = t->scope;
    t->l.files = t->files;

    return ngx_rf_local_exec(&t->l);
}


/* the reply as a text: "+OK", ":1", "-ERR ...", "nil", a string, [an array],
 * or the return code */

static const char *
zt(zt_t *t, const char *line)
{
    char            *p, *text;
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_reply_t  *r;

    rc = zt_exec(t, line);
    r = t->l.reply;

    switch (rc) {
    case NGX_OK:            break;
    case NGX_RF_NEED_FILE:  return "NEED_FILE";
    case NGX_RF_NEED_ROOM:  return "NEED_ROOM";
    case NGX_RF_NEED_WAIT:  return "NEED_WAIT";
    case NGX_RF_NEED_REDIS: return "NEED_REDIS";
    case NGX_RF_NEED_RETRY: return "NEED_RETRY";
    default:                return "ERROR";
    }

    text = ngx_pcalloc(t->pool, 4096);
    p = text;

    switch (r->type) {

    case NGX_RF_REPLY_NIL:
        return "nil";

    case NGX_RF_REPLY_INTEGER:
        sprintf(text, ":%lld", (long long) r->integer);
        return text;

    case NGX_RF_REPLY_ARRAY:
        *p++ = '[';

        for (i = 0; i < r->nelts; i++) {
            p += sprintf(p, "%s%.*s", i ? " " : "", (int) r->elts[i].str.len,
                         r->elts[i].str.data);
        }

        *p = ']';
        return text;

    case NGX_RF_REPLY_STATUS:
        *p++ = '+';
        break;

    case NGX_RF_REPLY_ERROR:
        *p++ = '-';
        break;

    default:
        break;
    }

    ngx_memcpy(p, r->str.data, r->str.len);

    return text;
}


/* the reply is "nil", ":1", "OK", "-..." or a string */

static void
zt_learn(zt_t *t, const char *line, const char *text, int64_t pttl,
    uint64_t seq)
{
    ngx_str_t       argv[32];
    ngx_uint_t      argc;
    ngx_rf_reply_t  reply;

    argc = zt_split(t, line, argv);

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));
    reply.type = NGX_RF_REPLY_STRING;
    reply.str.data = (u_char *) text;
    reply.str.len = strlen(text);

    if (strcmp(text, "nil") == 0) {
        reply.type = NGX_RF_REPLY_NIL;

    } else if (strcmp(text, "OK") == 0) {
        reply.type = NGX_RF_REPLY_STATUS;

    } else if (text[0] == '-') {
        reply.type = NGX_RF_REPLY_ERROR;

    } else if (text[0] == ':') {
        reply.type = NGX_RF_REPLY_INTEGER;
        reply.integer = atoi(text + 1);
    }

    ngx_rf_learn(&t->zone, t->pool,
                 ngx_rf_command_find(&argv[0]), argc, argv,
                       &reply, pttl, seq, ngx_rf_now(), 0);
}


static ngx_rf_entry_t *
zt_entry(zt_t *t, const char *key)
{
    ngx_str_t        name;
    ngx_rf_entry_t  *e;

    name.data = (u_char *) key;
    name.len = strlen(key);

    ngx_rf_zone_lock(&t->zone);
    e = ngx_rf_zone_lookup_locked(&t->zone, &name);
    ngx_rf_zone_unlock(&t->zone);

    return e;
}


static ngx_rf_record_t *
zt_record(zt_t *t, const char *key, const char *value, uint64_t version)
{
    ngx_rf_record_t  *rec;

    rec = calloc(1, sizeof(ngx_rf_record_t) + sizeof(ngx_str_t));

    rec->key.data = (u_char *) key;
    rec->key.len = strlen(key);
    rec->type = NGX_RF_STRING;
    rec->pending = NGX_RF_REPLACE;
    rec->version = version;
    rec->changed = ngx_rf_now();
    rec->nvalues = 1;
    rec->values = (ngx_str_t *) (rec + 1);
    rec->values[0].data = (u_char *) value;
    rec->values[0].len = strlen(value);

    return rec;
}


/* all that the journal is to have, it gets, or it fails; returns how many */

static ngx_uint_t
zt_log(zt_t *t, ngx_int_t rc)
{
    ngx_uint_t          n;
    ngx_rf_record_t    *list, *rec;
    ngx_rf_zone_log_t   log;

    list = ngx_rf_zone_log_take(&t->zone, 1000000, 1 << 30, 1, &log);

    for (n = 0, rec = list; rec; rec = rec->next) {
        n++;
    }

    ngx_rf_zone_log_done(&t->zone, list, rc, log.generation);

    return n;
}


/* all that is dirty goes to disk, or fails to; returns how many */

static ngx_uint_t
zt_flush(zt_t *t, ngx_int_t status)
{
    ngx_uint_t        n;
    ngx_rf_record_t  *list, *rec;

    zt_log(t, NGX_OK);

    list = ngx_rf_zone_dirty_take(&t->zone, 1000000, 1 << 30);

    for (n = 0, rec = list; rec; rec = rec->next, n++) {
        rec->status = status;
    }

    ngx_rf_zone_dirty_done(&t->zone, list);

    return n;
}


/* all that is pending meets the same end; returns how many */

static ngx_uint_t
zt_replay(zt_t *t, ngx_int_t rc, ngx_uint_t keep)
{
    ngx_uint_t        n;
    ngx_rf_record_t  *list, *rec;

    list = ngx_rf_zone_replay_take(&t->zone, 1000000, 1 << 30,
                                   ngx_rf_now() + t->later, NULL);

    for (n = 0, rec = list; rec; rec = rec->next, n++) {
        ngx_rf_zone_replay_done(&t->zone, rec, rc, keep, ngx_rf_now());
    }

    zt_free(list);

    return n;
}


static void
zt_free(ngx_rf_record_t *list)
{
    ngx_rf_record_t  *rec;

    while (list) {
        rec = list;
        list = rec->next;
        free(rec);
    }
}
