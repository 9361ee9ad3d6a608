/*
 * Redis acknowledges a write to a key that has become pending since it was
 * sent: what memory knows of the key is no older than that, and no later change
 * is taken for one that changes nothing.
 */

#include "exec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"


static void
late_learn(exec_t *e, const char *text, const char *reply, uint64_t seq)
{
    ngx_str_t        argv[EXEC_ARGS];
    ngx_uint_t       argc;
    ngx_rf_reply_t   r, member;

    argc = exec_words(e, text, argv);

    ngx_memzero(&r, sizeof(ngx_rf_reply_t));

    r.type = (*reply == ':') ? NGX_RF_REPLY_INTEGER : NGX_RF_REPLY_STRING;
    r.integer = (*reply == ':') ? atoi(reply + 1) : 0;
    r.str.data = (u_char *) reply;
    r.str.len = strlen(reply);

    if (*reply == '[') {
        /* of one */
        member = r;
        member.str.data++;
        member.str.len--;

        r.type = NGX_RF_REPLY_ARRAY;
        r.nelts = 1;
        r.elts = &member;
    }

    ngx_rf_learn(e->zone, e->pool, ngx_rf_command_find(&argv[0]), argc, argv,
                 &r, -1, seq, ngx_rf_now(), 0);
}


/* known before, sent, changed here, and acknowledged then */

static void
late_write(exec_t *e, const char *known, const char *known_reply,
    const char *local, const char *late, const char *reply)
{
    uint64_t  seq;

    late_learn(e, known, known_reply, e->zone->sh->seq);
    seq = e->zone->sh->seq;

    ok(exec_line(e, "%s", local) == NGX_OK, "%s", local);
    late_learn(e, late, reply, seq);
}


RF_UNIT(late_write)
{
    exec_t  e;

    exec_init(&e, pool, log, 1024 * 1024);

    late_write(&e, "RPUSH l a b", ":2", "LPUSH l y", "RPUSH l z", ":3");
    exec_is(&e, "LRANGE l 0 -1", "[y a b z]");
    exec_is(&e, "LREM l 0 z", "1");
    exec_told(&e, "l", "LPUSH y; lrem 0 z; ");

    late_write(&e, "SMEMBERS s", "[x", "EXPIRE s 1000", "SREM s x", ":1");
    exec_is(&e, "SADD s x", "1");
    exec_is(&e, "SISMEMBER s x", "1");

    late_write(&e, "SMEMBERS u", "[x", "SADD u y", "SREM u x", ":1");
    exec_is(&e, "SMEMBERS u", "[y]");
    exec_is(&e, "SREM u y", "1");
    exec_is(&e, "SADD u x", "1");
    exec_is(&e, "SMEMBERS u", "[x]");
    exec_told(&e, "u", "SREM y; SADD x; ");

    late_write(&e, "HSET h f 1", ":1", "HINCRBY h f 5", "HINCRBY h f 10",
               ":21");
    exec_is(&e, "HGET h f", "26");
    exec_told(&e, "h", "HINCRBY f 5; ");

    late_write(&e, "ZADD z 1 a", ":1", "ZADD z 2 b", "ZADD z 7 a", ":0");
    exec_is(&e, "ZSCORE z a", "7");
    exec_told(&e, "z", "ZADD 2 b; ");

    late_write(&e, "SET n 1", "OK", "INCRBY n 5", "INCRBY n 10", ":21");
    exec_is(&e, "GET n", "26");
    exec_told(&e, "n", "INCRBY 5; ");

    late_write(&e, "SET t old", "OK", "APPEND t 5", "SET t new", "OK");
    exec_is(&e, "GET t", "new5");
    exec_told(&e, "t", "APPEND 5; ");

    late_write(&e, "SET a a", "OK", "APPEND a c", "APPEND a b", ":2");
    exec_is(&e, "GET a", "abc");
    exec_told(&e, "a", "APPEND c; ");

    /* derived from what was older than what Redis had executed, or not */

    late_write(&e, "SET r aaaa", "OK", "SETRANGE r 0 x", "APPEND r b", ":5");
    exec_is(&e, "GET r", "xaaab");

    late_write(&e, "SET w 1", "OK", "SET w 2", "APPEND w b", ":2");
    exec_is(&e, "GET w", "2");

    /* what it did is not known: nor is the rest any more */

    late_write(&e, "RPUSH m a b", ":2", "RPUSH m y", "LTRIM m 1 -1", "OK");
    exec_is(&e, "LRANGE m 0 -1", "[y]");

    late_write(&e, "HSET d f 1", ":1", "HSET d g 2", "DEL d", ":1");
    exec_is(&e, "HGETALL d", "[g 2]");
}
