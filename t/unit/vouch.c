/*
 * When an entry counts as vouched for: its version, the epoch of the worker who
 * read it, that worker's signs of life, and what Redis named since; of a key
 * that is known in part, whether all that is known was read.
 */

#include "exec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_zone_internal.h"


#define VOUCH_OTHER     ((ngx_uint_t) ngx_process_slot + 1)


/* "wire" is what Redis answers */

static ngx_rf_reply_t *
vouch_reply(exec_t *e, const char *wire)
{
    const char            *err;
    ngx_rf_reply_t        *reply;
    ngx_rf_resp_reader_t  *reader;

    reader = ngx_rf_resp_reader_create();
    reply = NULL;

    (void) ngx_rf_resp_feed(reader, (u_char *) wire, strlen(wire));
    (void) ngx_rf_resp_next(reader, e->pool, &reply, &err);

    ngx_rf_resp_reader_destroy(reader);

    return reply;
}


/* the reply to what was sent at "seq" */

static void
vouch_late(exec_t *e, uint64_t seq, const char *text, const char *wire,
    int64_t pttl, uint64_t voucher)
{
    ngx_str_t   argv[EXEC_ARGS];
    ngx_uint_t  argc;

    argc = exec_words(e, text, argv);

    ngx_rf_learn(e->zone, e->pool, ngx_rf_command_find(&argv[0]), argc, argv,
                 vouch_reply(e, wire), pttl, seq, ngx_rf_now(), voucher);
}


static void
vouch_learn(exec_t *e, const char *text, const char *wire, int64_t pttl,
    uint64_t voucher)
{
    vouch_late(e, e->zone->sh->seq, text, wire, pttl, voucher);
}


/* what this process has learned is another one's from now on */

static void
vouch_elsewhere(exec_t *e)
{
    ngx_memzero(e->zone->learned, sizeof(e->zone->learned));
}


static ngx_rf_entry_t *
vouch_entry(exec_t *e, const char *text)
{
    ngx_str_t  key;

    key.data = (u_char *) text;
    key.len = strlen(text);

    return ngx_rf_zone_lookup_locked(e->zone, &key);
}


static ngx_uint_t
vouched(exec_t *e, const char *text)
{
    ngx_rf_entry_t  *entry;

    entry = vouch_entry(e, text);

    return entry && ngx_rf_zone_vouched_locked(e->zone, entry);
}


static void
vouch_named(exec_t *e, const char *text)
{
    ngx_str_t  key;

    key.data = (u_char *) text;
    key.len = strlen(text);

    ngx_rf_zone_invalidated(e->zone, &key);
}


/* epochs of this worker and another one */

static uint64_t
vouch_link(exec_t *e, ngx_uint_t slot, ngx_uint_t epoch)
{
    e->zone->sh->links[slot].epoch = epoch;
    e->zone->sh->links[slot].beat = ngx_current_msec;

    return ngx_rf_zone_voucher(slot, epoch);
}


RF_UNIT(vouch_values)
{
    exec_t      e;
    uint64_t    own, other;
    ngx_str_t   key = ngx_string("a");

    exec_init(&e, pool, log, 1024 * 1024);

    own = vouch_link(&e, ngx_process_slot, 7);
    other = vouch_link(&e, VOUCH_OTHER, 8);

    vouch_learn(&e, "GET a", "$1\r\n1\r\n", -1, own);
    ok(vouched(&e, "a"), "a value that was read");
    vouch_learn(&e, "GET a", "$1\r\n1\r\n", -1, own);
    ok(vouched(&e, "a"), "and once more, unchanged");
    vouch_learn(&e, "SET a 2", "+OK\r\n", -3, own);
    ok(!vouched(&e, "a"), "not one that was written");
    ok(!vouch_entry(&e, "a")->doubted, "which is no doubt");

    vouch_learn(&e, "GET a", "$1\r\n2\r\n", -1, own);
    ngx_rf_zone_touched(e.zone, &key, ngx_rf_zone_hash(e.zone->sh, &key));
    ok(!vouched(&e, "a"), "not while it is being written");

    vouch_learn(&e, "GET a", "$1\r\n2\r\n", -1, own);
    vouch_named(&e, "a");
    ok(!vouched(&e, "a"), "not when Redis has named it");
    ok(vouch_entry(&e, "a")->doubted, "it is doubted");
    vouch_learn(&e, "GET a", "$1\r\n3\r\n", -1, NGX_RF_ZONE_NAMED);
    ok(!vouched(&e, "a") && vouch_entry(&e, "a")->doubted,
       "nor when it was named before the reply came");
    vouch_learn(&e, "GET a", "$1\r\n3\r\n", -1, own);
    ok(vouched(&e, "a") && !vouch_entry(&e, "a")->doubted, "read again");

    e.zone->sh->links[ngx_process_slot].epoch = 9;
    ok(!vouched(&e, "a"), "not in another epoch");
    e.zone->sh->links[ngx_process_slot].epoch = 0;
    ok(!vouched(&e, "a"), "nor in none");

    /* by another worker */

    vouch_learn(&e, "GET a", "$1\r\n3\r\n", -1, other);
    ok(vouched(&e, "a"), "by another worker");
    vouch_named(&e, "a");
    ok(vouched(&e, "a"), "what this one is told does not concern that");
    e.zone->sh->links[VOUCH_OTHER].beat = ngx_current_msec
                                          - NGX_RF_ZONE_LEASE - 1;
    ok(!vouched(&e, "a"), "not when it sleeps");
    vouch_named(&e, "a");
    ok(vouch_entry(&e, "a")->doubted, "then it does");

    other = vouch_link(&e, VOUCH_OTHER, 8);
    vouch_learn(&e, "GET a", "$1\r\n3\r\n", -1, other);
    ngx_rf_zone_flushed(e.zone);
    ok(!vouched(&e, "a"), "not after FLUSHALL");
    e.zone->sh->restore = 1;
    ok(!ngx_rf_zone_restoring(e.zone->sh, vouch_entry(&e, "a")),
       "and it is not written back");
}


RF_UNIT(vouch_misses)
{
    exec_t    e;
    uint64_t  own;

    exec_init(&e, pool, log, 1024 * 1024);

    own = vouch_link(&e, ngx_process_slot, 7);

    vouch_learn(&e, "GET none", "$-1\r\n", -2, 0);
    ok(vouch_entry(&e, "none") == NULL, "a miss that nobody vouches for");
    vouch_learn(&e, "GET none", "$-1\r\n", -2, own);
    ok(vouched(&e, "none"), "one that is vouched for");
    exec_is(&e, "GET none", "nil");
    is_int(e.zone->sh->live, 0, "it does not exist");
    vouch_learn(&e, "HGETALL empty", "*0\r\n", -2, own);
    ok(vouched(&e, "empty"), "an empty hash");

    vouch_learn(&e, "GET value", "$1\r\n1\r\n", -1, own);
    vouch_learn(&e, "GET none2", "$-1\r\n", -2, own);
    ok(ngx_rf_zone_line_last(e.zone->sh, NGX_RF_LINE_CLEAN)
       == vouch_entry(&e, "none2"), "the first to be evicted");
}


/* what is asked along with a read, as text */

static const char *
vouch_ask(exec_t *e, const char *text)
{
    static char  out[512];

    ngx_str_t   argv[EXEC_ARGS], *ask;
    ngx_uint_t  argc, i, n;

    argc = exec_words(e, text, argv);
    ask = ngx_rf_learn_ask_known(e->zone, e->pool,
                                 ngx_rf_command_find(&argv[0]), argc, argv,
                                 &n);
    out[0] = '\0';

    for (i = 0; ask && i < n; i++) {
        snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%.*s",
                 i ? " " : "", (int) ask[i].len, (char *) ask[i].data);
    }

    return out;
}


static void
vouch_known(exec_t *e, const char *text, const char *wire, uint64_t voucher)
{
    ngx_str_t   argv[EXEC_ARGS];
    ngx_uint_t  argc;

    argc = exec_words(e, text, argv);

    ngx_rf_learn_known(e->zone, e->pool, argc, argv, vouch_reply(e, wire), -1,
                       e->zone->sh->seq, ngx_rf_now(), voucher);
}


RF_UNIT(vouch_parts)
{
    exec_t    e;
    uint64_t  own;

    exec_init(&e, pool, log, 1024 * 1024);

    own = vouch_link(&e, ngx_process_slot, 7);

    vouch_learn(&e, "HGET h a", "$1\r\n1\r\n", -1, own);
    ok(vouched(&e, "h"), "the first field of a hash");
    is_int(strlen(vouch_ask(&e, "HGET h b")), 0, "so nothing more is asked");
    vouch_learn(&e, "HGET h b", "$1\r\n2\r\n", -1, own);
    ok(vouched(&e, "h"), "and another one");

    vouch_named(&e, "h");
    ok(!vouched(&e, "h"), "changed by somebody");
    ok(strcmp(vouch_ask(&e, "HGET h a"), "HMGET h a b") == 0
       || strcmp(vouch_ask(&e, "HGET h a"), "HMGET h b a") == 0,
       "what is known is asked again: %s", vouch_ask(&e, "HGET h a"));
    vouch_learn(&e, "HGET h a", "$1\r\n3\r\n", -1, own);
    ok(!vouched(&e, "h"), "one field is not all that is known");
    vouch_known(&e, "HMGET h a b", "*2\r\n$1\r\n3\r\n$-1\r\n", own);
    ok(vouched(&e, "h"), "all of them are");
    exec_is(&e, "HGET h a", "3");
    exec_is(&e, "HGET h b", "nil");

    vouch_named(&e, "h");
    vouch_learn(&e, "HGET h c", "$1\r\n5\r\n", -1, 0);
    vouch_known(&e, "HMGET h a", "*1\r\n$1\r\n3\r\n", own);
    ok(!vouched(&e, "h"), "nor are they if one came in between");

    vouch_learn(&e, "HGETALL h", "*2\r\n$1\r\na\r\n$1\r\n9\r\n", -1, own);
    ok(vouched(&e, "h"), "read as a whole");
    vouch_learn(&e, "HSET h a 8", ":0\r\n", -1, own);
    vouch_learn(&e, "HGET h a", "$1\r\n8\r\n", -1, own);
    ok(!vouched(&e, "h"), "a field of a whole hash does not vouch for it");

    vouch_learn(&e, "SADD s x y", ":2\r\n", -1, own);
    ok(strncmp(vouch_ask(&e, "SISMEMBER s z"), "SMISMEMBER s ", 13) == 0,
       "a set: %s", vouch_ask(&e, "SISMEMBER s z"));
    vouch_known(&e, "SMISMEMBER s x y z", "*3\r\n:1\r\n:0\r\n:1\r\n", own);
    ok(vouched(&e, "s"), "its members");

    vouch_learn(&e, "ZADD z 1 m", ":1\r\n", -1, own);
    ok(strcmp(vouch_ask(&e, "ZSCORE z m"), "ZMSCORE z m") == 0,
       "a sorted set");
}


/*
 * An element that was read before somebody changed it, its reply late, and what
 * another worker has read of the key since.  That one watches the key, but says
 * nothing of what was before.
 */

static void
vouch_late_part(exec_t *e, const char *read, const char *older,
    const char *newer, const char *value, uint64_t own, uint64_t other)
{
    char        key[2] = { read[strcspn(read, " ") + 1], '\0' };
    uint64_t    seq;
    ngx_uint_t  i;

    static const char  *names[] = { "it was named", "it is vouched for, too" };

    for (i = 0; i < 2; i++) {
        seq = e->zone->sh->seq;

        vouch_learn(e, read, newer, -1, other);
        vouch_elsewhere(e);
        ok(vouched(e, key), "%s: another worker has read it", read);

        vouch_late(e, seq, read, older, -1, i ? own : NGX_RF_ZONE_NAMED);
        vouch_named(e, key);
        exec_is(e, read, value);
        ok(vouched(e, key), "%s: as it was; %s", read, names[i]);

        vouch_learn(e, "FLUSHALL", "+OK\r\n", -3, 0);
    }
}


RF_UNIT(vouch_late_parts)
{
    exec_t    e;
    uint64_t  own, other, seq;

    exec_init(&e, pool, log, 1024 * 1024);

    own = vouch_link(&e, ngx_process_slot, 7);
    other = vouch_link(&e, VOUCH_OTHER, 8);

    vouch_late_part(&e, "HGET h a", "$1\r\n1\r\n", "$1\r\n2\r\n", "2", own,
                    other);
    vouch_late_part(&e, "HMGET i a", "*1\r\n$1\r\n1\r\n",
                    "*1\r\n$1\r\n2\r\n", "[2]", own, other);
    vouch_late_part(&e, "SISMEMBER s a", ":0\r\n", ":1\r\n", "1", own, other);
    vouch_late_part(&e, "ZSCORE z a", "$1\r\n1\r\n", "$1\r\n2\r\n", "2", own,
                    other);

    /* all that is known, read anew */

    vouch_learn(&e, "HGET h a", "$1\r\n1\r\n", -1, own);
    vouch_named(&e, "h");
    seq = e.zone->sh->seq;
    vouch_known(&e, "HMGET h a b", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n", other);
    vouch_elsewhere(&e);
    vouch_late(&e, seq, "HGET h a", "$1\r\n2\r\n", -1, own);
    ok(vouched(&e, "h"), "vouched for anew");
    exec_is(&e, "HGET h a", "3");

    /* but what this worker has asked for at the same time */

    vouch_learn(&e, "HGETALL h", "*0\r\n", -2, own);
    seq = e.zone->sh->seq;
    vouch_late(&e, seq, "HGET h a", "$1\r\n1\r\n", -1, own);
    vouch_late(&e, seq, "HGET h b", "$1\r\n2\r\n", -1, own);
    ok(vouched(&e, "h"), "elements that were asked for at the same time");
    exec_is(&e, "HMGET h a b", "[1 2]");
}


/* Redis comes back without its data */

static void
vouch_lost(exec_t *e, const char *key, ngx_uint_t back)
{
    ngx_rf_entry_t    *entry;
    ngx_rf_zone_sh_t  *sh;

    sh = e->zone->sh;
    entry = vouch_entry(e, key);

    sh->run++;
    sh->restore = 1;
    is_int(entry && ngx_rf_zone_restoring(sh, entry), back,
           "%s is %swritten back", key, back ? "" : "not ");
    sh->restore = 0;
    sh->run--;
}


/* FLUSHALL, of which Redis told before the reply came to what was executed
 * before it, or after it: nobody knows */

RF_UNIT(vouch_late_flushed)
{
    exec_t      e;
    uint64_t    seq;
    ngx_uint_t  i;

    static const char  *lines[][3] = {
        { "a", "GET a", "$1\r\n1\r\n" },
        { "b", "SET b 1", "+OK\r\n" },
        { "c", "ZRANGE c 0 -1 WITHSCORES", "*2\r\n$1\r\nm\r\n$1\r\n1\r\n" },
        { "d", "HGETALL d", "*2\r\n$1\r\nf\r\n$1\r\n1\r\n" },
        { "e", "INCR e", ":1\r\n" },
        { "f", "RPUSH f x", ":1\r\n" }
    };

    exec_init(&e, pool, log, 1024 * 1024);

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        seq = e.zone->sh->seq;
        ngx_rf_zone_flushed(e.zone);
        vouch_late(&e, seq, lines[i][1], lines[i][2], -1, 0);
        vouch_lost(&e, lines[i][0], 0);
    }

    /* another reply about the key was there before */

    seq = e.zone->sh->seq;
    vouch_learn(&e, "SET k 1", "+OK\r\n", -3, 0);
    ngx_rf_zone_flushed(e.zone);
    vouch_late(&e, seq, "SET k 2", "+OK\r\n", -3, 0);
    vouch_lost(&e, "k", 0);

    vouch_learn(&e, "GET a", "$1\r\n1\r\n", -1, 0);
    vouch_learn(&e, "SET k 3", "+OK\r\n", -3, 0);
    vouch_lost(&e, "a", 1);
    vouch_lost(&e, "k", 1);
}
