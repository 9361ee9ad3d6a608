/*
 * Hashes: what single commands reply, what Redis is told, random fields and
 * scans.  That all of it is as in Redis is seen by diff_hash.c; here is what
 * that cannot see.
 */

#include "exec.h"
#include "sound.h"


#define HASH_FIELDS  1000


static ngx_int_t hash_number(ngx_rf_reply_t *reply);


RF_UNIT(hash_replies)
{
    exec_t      e;
    ngx_uint_t  i;

    static const char  *lines[][2] = {
        { "hset h a 1 b 2 a 3", "2" },
        { "hset h a 4 c 5", "1" },
        { "hset h a", "-ERR wrong number of arguments for 'hset' command" },
        { "hmset h a 4 d", "-ERR wrong number of arguments for 'hmset' "
                           "command" },
        { "hmset h a 4 d ", "OK" },
        { "hlen h", "4" },
        { "hget h a", "4" },
        { "hget h d", "" },
        { "hget h x", "nil" },
        { "hget nosuch x", "nil" },
        { "hexists h d", "1" },
        { "hexists h x", "0" },
        { "hstrlen h a", "1" },
        { "hstrlen h d", "0" },
        { "hstrlen h x", "0" },
        { "hmget h b x a b", "[2 nil 4 2]" },
        { "hmget nosuch a b", "[nil nil]" },
        { "hsetnx h a 9", "0" },
        { "hsetnx h e 9", "1" },
        { "hdel h e e x", "1" },
        { "hdel nosuch e", "0" },
        { "hincrby h a -5", "-1" },
        { "hincrby h n 7", "7" },
        { "hincrby h n 9223372036854775801",
          "-ERR increment or decrement would overflow" },
        { "hincrby h d 1", "-ERR hash value is not an integer" },
        { "hincrby h d x", "-ERR value is not an integer or out of range" },
        { "hincrbyfloat h n 0.5", "7.5" },
        { "hincrbyfloat h n 1e2", "107.5" },
        { "hincrbyfloat h f -0.1", "-0.1" },
        { "hincrbyfloat h d 1", "-ERR hash value is not a float" },
        { "hincrbyfloat h d x", "-ERR value is not a valid float" },
        { "hincrbyfloat h d nan", "-ERR value is not a valid float" },
        { "hincrbyfloat h d inf", "-ERR value is NaN or Infinity" },
        { "hset h i inf", "1" },
        { "hincrbyfloat h i 1", "-ERR increment would produce NaN or "
                                "Infinity" },
        { "hdel h n f i d", "4" },
        { "hscan nosuch x", "-ERR invalid cursor" },
        { "hscan nosuch 0 foo", "[0 []]" },
        { "hscan h 0 foo", "-ERR syntax error" },
        { "hscan h 0 type hash", "-ERR syntax error" },
        { "hscan h 0 count 0", "-ERR syntax error" },
        { "hscan h 0 count x", "-ERR value is not an integer or out of "
                               "range" },
        { "hscan h 0 match b", "[0 [b 2]]" },
        { "hscan h 4294967297", "[0 []]" },
        { "hscan h 18446744073709551615", "[0 []]" },
        { "hdel h a c", "2" },
        { "hgetall h", "[b 2]" },
        { "hkeys h", "[b]" },
        { "hvals h", "[2]" },
        { "hrandfield h", "b" },
        { "hrandfield h 5", "[b]" },
        { "hrandfield h 5 WITHVALUES", "[b 2]" },
        { "hrandfield h -2 withvalues", "[b 2 b 2]" },
        { "hrandfield h 0", "[]" },
        { "hrandfield h x foo", "-ERR value is not an integer or out of "
                                "range" },
        { "hrandfield h 1 foo", "-ERR syntax error" },
        { "hrandfield h 1 withvalues foo", "-ERR syntax error" },
        { "hrandfield h -9223372036854775808",
          "-ERR value is out of range, value must between "
          "-9223372036854775807 and 9223372036854775807" },
        { "hrandfield h 4611686018427387904 withvalues",
          "-ERR value is out of range" },
        { "hrandfield h -1000001", "-ERR value is out of range" },
        { "hrandfield nosuch -1000001", "[]" },
        { "hrandfield nosuch", "nil" },
        { "hdel h b", "1" },
        { "exists h", "0" },
        { "hgetall h", "[]" },
        { "hlen h", "0" },
        { "set s 1", "OK" },
        { "hset s a 1", "-WRONGTYPE Operation against a key holding the wrong "
                        "kind of value" },
        { "hset s a", "-ERR wrong number of arguments for 'hset' command" },
        { "hincrby s a x", "-ERR value is not an integer or out of range" },
        { "hincrby s a 1", "-WRONGTYPE Operation against a key holding the "
                           "wrong kind of value" },
        { "hscan s x", "-ERR invalid cursor" },
        { "hscan s 0 foo", "-WRONGTYPE Operation against a key holding the "
                           "wrong kind of value" },
        { "get s", "1" }
    };

    exec_init(&e, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        exec_is(&e, lines[i][0], lines[i][1]);
    }

    exec_line(&e, "hset h c 1 b 2 a 1");
    exec_is_any(&e, "hgetall h", 2, "[a 1 b 2 c 1]");
    exec_is_any(&e, "hkeys h", 1, "[a b c]");
    exec_is_any(&e, "hvals h", 1, "[1 1 2]");
    exec_is_any(&e, "hrandfield h 3 withvalues", 2, "[a 1 b 2 c 1]");

    ok(sound_zone(e.zone, 0), "the zone is sound");
}


RF_UNIT(hash_tells)
{
    exec_t  e;

    exec_init(&e, pool, log, 8 * 1024 * 1024);

    /* nothing is known of these keys: it merges with what Redis has */

    exec_line(&e, "hset a f 1 f 2");
    exec_told(&e, "a", "HSET f 2; ");

    exec_line(&e, "hincrby b f 5");
    exec_line(&e, "hincrby b f -7");
    exec_told(&e, "b", "HINCRBY f -2; ");

    exec_line(&e, "hincrbyfloat c f 0.5");
    exec_line(&e, "hincrbyfloat c f 1");
    exec_told(&e, "c", "HINCRBYFLOAT f 1.5; ");

    exec_line(&e, "hsetnx d f 5");
    exec_line(&e, "hincrby d f 1");
    exec_told(&e, "d", "HSET f 6; ");

    exec_is(&e, "hdel e f", "0");
    exec_told(&e, "e", "HDEL f; ");

    exec_is(&e, "hincrby g f 1", "1");
    exec_is(&e, "hset g f x", "0");
    exec_is(&e, "hincrby g f 1", "-ERR hash value is not an integer");
    exec_told(&e, "g", "HSET f x; ");

    /* what replaces */

    exec_line(&e, "del h");
    exec_line(&e, "hset h f 1 g 2");
    exec_line(&e, "hdel h f");
    exec_told(&e, "h", "= g 2");

    /* nothing to tell */

    exec_is(&e, "hset i f", "-ERR wrong number of arguments for 'hset' "
            "command");
    exec_is(&e, "hincrby i f x", "-ERR value is not an integer or out of "
            "range");
    exec_told(&e, "i", "");

    ok(sound_zone(e.zone, 0), "the zone is sound");
}


RF_UNIT(hash_random)
{
    u_char           seen[HASH_FIELDS];
    exec_t           e;
    ngx_int_t        m;
    ngx_uint_t       i, j, n, wrong, all;

    static const int  counts[] = { 1, 3, 99, 499, 500, 501, 990, 1000, 5000 };

    exec_init(&e, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < HASH_FIELDS; i++) {
        exec_line(&e, "hset h %d %d", (int) i, (int) i * 2);
    }

    for (i = 0, wrong = 0; i < sizeof(counts) / sizeof(int); i++) {

        exec_line(&e, "hrandfield h %d withvalues", counts[i]);

        n = ngx_min(counts[i], HASH_FIELDS);
        wrong += (e.reply->nelts != 2 * n);
        ngx_memzero(seen, sizeof(seen));

        for (j = 0; j < e.reply->nelts; j += 2) {
            m = hash_number(&e.reply->elts[j]);

            wrong += (m < 0 || seen[m]++
                      || hash_number(&e.reply->elts[j + 1]) != 2 * m);
        }
    }

    is_int(wrong, 0, "as many as were asked for, none of them twice");

    exec_line(&e, "hrandfield h -20000");
    is_int(e.reply->nelts, 20000, "some of them twice");

    ngx_memzero(seen, sizeof(seen));

    for (j = 0, all = 0; j < e.reply->nelts; j++) {
        m = hash_number(&e.reply->elts[j]);
        all += (m >= 0 && seen[m] == 0);
        seen[m < 0 ? 0 : m] = 1;
    }

    is_int(all, HASH_FIELDS, "and each of them");
}


/* the numbered fields are there all the time, others come and go */

RF_UNIT(hash_scan)
{
    char             cursor[32];
    u_char           seen[HASH_FIELDS];
    exec_t           e;
    ngx_int_t        m;
    ngx_uint_t       i, wrong, calls, all;
    ngx_rf_reply_t  *elts;

    exec_init(&e, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < HASH_FIELDS; i++) {
        exec_line(&e, "hset h %d v", (int) i);
    }

    ngx_memzero(seen, sizeof(seen));
    strcpy(cursor, "0");
    wrong = 0;

    for (calls = 1; calls < 2000; calls++) {

        exec_line(&e, "hscan h %s count 7", cursor);
        elts = e.reply->elts[1].elts;

        for (i = 0; i < e.reply->elts[1].nelts; i += 2) {
            m = hash_number(&elts[i]);
            wrong += (m >= 0 && seen[m]++);
        }

        sprintf(cursor, "%.*s", (int) e.reply->elts[0].str.len,
                e.reply->elts[0].str.data);

        if (strcmp(cursor, "0") == 0) {
            break;
        }

        exec_line(&e, "hset h x%d v", (int) calls);
        exec_line(&e, "hdel h x%d", (int) calls - 3);
        exec_line(&e, "hset h %d w", (int) calls % HASH_FIELDS);
    }

    for (i = 0, all = 0; i < HASH_FIELDS; i++) {
        all += seen[i];
    }

    is_int(wrong, 0, "none comes twice");
    is_int(all, HASH_FIELDS, "each comes");
    ok(calls > HASH_FIELDS / 10 && calls < 200, "in %d calls", (int) calls);
}


/* the number of a field, or -1 */

static ngx_int_t
hash_number(ngx_rf_reply_t *reply)
{
    ngx_int_t  n;

    n = ngx_atoi(reply->str.data, reply->str.len);

    return n < 2 * HASH_FIELDS ? n : -1;
}
