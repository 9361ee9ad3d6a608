/*
 * Sets: what single commands reply, what Redis is told, sets that are combined,
 * random members and scans.  That all of it is as in Redis is seen by
 * diff_hash.c; here is what that cannot see.
 */

#include "exec.h"
#include "ngx_rf_coll.h"
#include "sound.h"


#define SET_MEMBERS    5000
#define SET_KEYS       7
#define SET_ROUNDS     600
#define SET_NAMES      400000


typedef struct {
    ngx_uint_t        n;
    u_char            has[SET_MEMBERS];
} set_model_t;


static void set_model_make(exec_t *e, set_model_t *models);
static void set_model_round(set_model_t *models, char *line, char *keys,
    set_model_t *result);
static ngx_uint_t set_model_same(ngx_rf_reply_t *reply, set_model_t *model);
static ngx_int_t set_number(ngx_rf_reply_t *reply);
static ngx_uint_t set_twins(exec_t *e, char (*twin)[16]);
static int set_compare(const void *one, const void *two);


RF_UNIT(set_replies)
{
    exec_t      e;
    ngx_uint_t  i;

    static const char  *lines[][2] = {
        { "sadd s a b a", "2" },
        { "sadd s a c ", "2" },
        { "scard s", "4" },
        { "sismember s ", "1" },
        { "sismember s x", "0" },
        { "smismember s a x b", "[1 0 1]" },
        { "smismember nosuch a x", "[0 0]" },
        { "srem s  c c x", "2" },
        { "srem nosuch a", "0" },
        { "smove s t a", "1" },
        { "smove s t x", "0" },
        { "smove s s b", "1" },
        { "smove s s x", "0" },
        { "smove nosuch t a", "0" },
        { "smembers s", "[b]" },
        { "smembers t", "[a]" },
        { "smove t s a", "1" },
        { "exists t", "0" },
        { "srandmember nosuch", "nil" },
        { "srandmember nosuch 3", "[]" },
        { "srandmember nosuch x", "-ERR value is not an integer or out of "
                                  "range" },
        { "srandmember s 1 2", "-ERR syntax error" },
        { "srandmember s -9223372036854775808",
          "-ERR value is out of range, value must between "
          "-9223372036854775807 and 9223372036854775807" },
        { "srandmember s -1000001", "-ERR value is out of range" },
        { "srandmember s 0", "[]" },
        { "spop nosuch", "nil" },
        { "spop nosuch 3", "[]" },
        { "spop s 0", "[]" },
        { "spop s -1", "-ERR value is out of range, must be positive" },
        { "spop s x", "-ERR value is out of range, must be positive" },
        { "spop s 1 2", "-ERR syntax error" },
        { "srem s b", "1" },
        { "srandmember s", "a" },
        { "srandmember s -3", "[a a a]" },
        { "spop s", "a" },
        { "exists s", "0" },
        { "sadd s 1 2 3 4", "4" },
        { "sadd t 3 4 5", "3" },
        { "sinter s nosuch", "[]" },
        { "sdiff nosuch s", "[]" },
        { "sdiff s s", "[]" },
        { "sdiff t s", "[5]" },
        { "sintercard 2 s t", "2" },
        { "sintercard 2 s t limit 1", "1" },
        { "sintercard 2 s t limit 1 LIMIT 0", "2" },
        { "sintercard 2 s nosuch", "0" },
        { "sintercard 0 s", "-ERR numkeys should be greater than 0" },
        { "sintercard x s", "-ERR numkeys should be greater than 0" },
        { "sintercard 2 s", "-ERR Number of keys can't be greater than number "
                            "of args" },
        { "sintercard 1 s t", "-ERR syntax error" },
        { "sintercard 1 s limit", "-ERR syntax error" },
        { "sintercard 1 s limit -1", "-ERR LIMIT can't be negative" },
        { "sintercard 1 s limit x", "-ERR LIMIT can't be negative" },
        { "sscan nosuch x", "-ERR invalid cursor" },
        { "sscan nosuch 0 foo", "[0 []]" },
        { "sscan s 0 foo", "-ERR syntax error" },
        { "sscan s 0 match 2", "[0 [2]]" },
        { "set x 1", "OK" },
        { "sadd x a", "-WRONGTYPE Operation against a key holding the wrong "
                      "kind of value" },
        { "sinter s nosuch x", "-WRONGTYPE Operation against a key holding "
                               "the wrong kind of value" },
        { "smove nosuch x a", "0" },
        { "smove s x nosuch", "-WRONGTYPE Operation against a key holding the "
                              "wrong kind of value" },
        { "smove x s nosuch", "-WRONGTYPE Operation against a key holding the "
                              "wrong kind of value" },
        { "sunionstore d s x", "-WRONGTYPE Operation against a key holding "
                               "the wrong kind of value" },
        { "get x", "1" },
        { "scard s", "4" },
        { "del s t d", "2" },
        { "sadd s 1 2 3 4", "4" },
        { "sadd t 3 4 5", "3" },
        { "sunionstore x s t s", "5" },
        { "type x", "set" },
        { "sinterstore x s x t", "2" },
        { "scard x", "2" },
        { "sdiffstore x x s", "0" },
        { "exists x", "0" },
        { "sdiffstore x nosuch", "0" }
    };

    exec_init(&e, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        exec_is(&e, lines[i][0], lines[i][1]);
    }

    exec_is_any(&e, "smembers s", 1, "[1 2 3 4]");
    exec_is_any(&e, "sunion t nosuch s t", 1, "[1 2 3 4 5]");
    exec_is_any(&e, "sinter t s", 1, "[3 4]");
    exec_is_any(&e, "sdiff s nosuch t", 1, "[1 2]");
    exec_is_any(&e, "srandmember s 9", 1, "[1 2 3 4]");
    exec_is_any(&e, "spop s 9", 1, "[1 2 3 4]");
    exec_is(&e, "exists s", "0");

    ok(sound_zone(e.zone, 0), "the zone is sound");
}


RF_UNIT(set_tells)
{
    exec_t     e;
    ngx_str_t  key;

    exec_init(&e, pool, log, 8 * 1024 * 1024);

    /* nothing is known of these keys: it merges with what Redis has */

    exec_line(&e, "sadd a x x");
    exec_is(&e, "sadd a x", "0");
    exec_told(&e, "a", "SADD x; ");

    exec_is(&e, "srem b x", "0");
    exec_told(&e, "b", "SREM x; ");

    exec_line(&e, "sadd c x");
    exec_is(&e, "spop c", "x");
    exec_told(&e, "c", "SREM x; ");

    exec_line(&e, "sadd d x");
    exec_is(&e, "smove d e x", "1");
    exec_told(&e, "d", "SREM x; ");
    exec_told(&e, "e", "SADD x; ");

    /* a set that began here is what is known of it; one that Redis was seen to
     * hold more of is not */

    exec_is(&e, "sunionstore f e", "1");
    exec_told(&e, "f", "= x");

    exec_line(&e, "sadd k x");

    ngx_str_set(&key, "k");
    ngx_rf_zone_lock(e.zone);
    ngx_rf_zone_lookup_locked(e.zone, &key)->seen = ngx_rf_now();
    ngx_rf_zone_unlock(e.zone);

    is_int(exec_line(&e, "sunionstore l e k"), NGX_RF_NEED_REDIS,
           "what is known in part cannot be stored");
    exec_told(&e, "l", "");

    /* what replaces */

    exec_line(&e, "del g");
    exec_line(&e, "sadd g x y");
    exec_line(&e, "srem g x");
    exec_told(&e, "g", "= y");

    exec_is(&e, "sunionstore h g", "1");
    exec_told(&e, "h", "= y");
    exec_is(&e, "sinterstore h g nosuch", "0");
    exec_told(&e, "h", "=");

    /* nothing to tell */

    exec_is(&e, "spop i 3", "[]");
    exec_is(&e, "smove i j x", "0");
    exec_told(&e, "i", "");
    exec_told(&e, "j", "");

    ok(sound_zone(e.zone, 0), "the zone is sound");
}


/* sets of numbers, from none to many, against the same as arrays */

RF_UNIT(set_algebra)
{
    char          line[256], keys[128];
    exec_t        e;
    ngx_int_t     rc;
    ngx_uint_t    i, n, limit, wrong;
    set_model_t  *models, *result;

    exec_init(&e, pool, log, 32 * 1024 * 1024);

    models = ngx_pcalloc(pool, SET_KEYS * sizeof(set_model_t));
    result = ngx_palloc(pool, sizeof(set_model_t));

    set_model_make(&e, models);

    for (i = 0, wrong = 0; i < SET_ROUNDS && wrong < 5; i++) {

        /* what is stored goes to memory that the commands before left */

        e.pool = ngx_create_pool(4096, log);

        set_model_round(models, line, keys, result);

        rc = exec_line(&e, "%s%s", line, keys);
        n = (rc == NGX_OK && set_model_same(e.reply, result));

        /* the result takes the place of one that it may be made of */

        if (n && i % 3 == 0) {
            limit = 3 + ngx_random() % (SET_KEYS - 3);

            rc = exec_line(&e, "%sSTORE k%d%s", line, (int) limit, keys);
            n = (rc == NGX_OK && e.reply->integer == (int64_t) result->n);
            models[limit] = *result;

            rc = exec_line(&e, "smembers k%d", (int) limit);
            n &= (rc == NGX_OK && set_model_same(e.reply, result));
        }

        if (n && strcmp(line, "SINTER") == 0 && i % 3) {

            for (n = 0, limit = 0; keys[limit]; limit++) {
                n += (keys[limit] == 'k');
            }

            limit = ngx_random() % 100;
            rc = exec_line(&e, "sintercard %d%s limit %d", (int) n, keys,
                           (int) limit);

            limit = limit ? limit : SET_MEMBERS;
            n = (rc == NGX_OK
                 && e.reply->integer == (int64_t) ngx_min(limit, result->n));
        }

        ngx_destroy_pool(e.pool);

        if (!n) {
            printf("# round %d: %s%s\n", (int) i, line, keys);
            wrong++;
        }
    }

    is_int(wrong, 0, "%d combinations are right", (int) i);
    ok(sound_zone(e.zone, 0), "the zone is sound");
}


RF_UNIT(set_random)
{
    u_char       seen[SET_MEMBERS];
    exec_t       e;
    ngx_int_t    m;
    ngx_uint_t   i, j, n, left, wrong, all, tally[10];

    static const int  counts[] = { 1, 3, 99, 1249, 2500, 2501, 4990, 9999 };
    static const int  pops[] = { 1, 3, 700, 0, 2000, 2290, 4, 9 };

    exec_init(&e, pool, log, 16 * 1024 * 1024);

    for (i = 0; i < SET_MEMBERS; i++) {
        exec_line(&e, "sadd s %d", (int) i);
    }

    for (i = 0, wrong = 0; i < sizeof(counts) / sizeof(int); i++) {

        exec_line(&e, "srandmember s %d", counts[i]);

        n = ngx_min(counts[i], SET_MEMBERS);
        wrong += (e.reply->nelts != n);
        ngx_memzero(seen, sizeof(seen));

        for (j = 0; j < e.reply->nelts; j++) {
            m = set_number(&e.reply->elts[j]);
            wrong += (m < 0 || seen[m]++);
        }
    }

    is_int(wrong, 0, "as many as were asked for, none of them twice");

    exec_line(&e, "srandmember s -100000");
    is_int(e.reply->nelts, 100000, "some of them twice");

    ngx_memzero(seen, sizeof(seen));

    for (j = 0, all = 0; j < e.reply->nelts; j++) {
        m = set_number(&e.reply->elts[j]);
        all += (m >= 0 && seen[m] == 0);
        seen[m < 0 ? 0 : m] = 1;
    }

    is_int(all, SET_MEMBERS, "and each of them");

    /* popped: each once, until none is left */

    ngx_memzero(seen, sizeof(seen));
    left = SET_MEMBERS;

    for (i = 0, wrong = 0; i < sizeof(pops) / sizeof(int); i++) {

        exec_line(&e, "spop s %d", pops[i]);

        n = ngx_min((ngx_uint_t) pops[i], left);
        left -= n;
        wrong += (e.reply->nelts != n);

        for (j = 0; j < e.reply->nelts; j++) {
            m = set_number(&e.reply->elts[j]);
            wrong += (m < 0 || seen[m]++);
        }

        exec_line(&e, "scard s");
        wrong += (e.reply->integer != (int64_t) left);
    }

    is_int(wrong, 0, "what was popped is gone");

    /* each is as likely: 10 of 1000 times, give or take five sigma */

    ngx_memzero(tally, sizeof(tally));
    exec_line(&e, "sadd s 0 1 2 3 4 5 6 7 8 9");

    for (i = 0; i < 2000; i++) {
        exec_line(&e, "srandmember s 5");

        for (j = 0; j < 5; j++) {
            tally[set_number(&e.reply->elts[j])]++;
        }
    }

    for (i = 0, wrong = 0; i < 10; i++) {
        wrong += (tally[i] < 888 || tally[i] > 1112);
    }

    is_int(wrong, 0, "each is as likely");
    ok(sound_zone(e.zone, 0), "the zone is sound");
}


/* what finds no room leaves all as it was */

RF_UNIT(set_room)
{
    exec_t      e;
    ngx_int_t   rc;
    ngx_uint_t  i, n, left;

    exec_init(&e, pool, log, 512 * 1024);
    exec_line(&e, "del s d");
    exec_line(&e, "sadd d x y");

    for (n = 0; n < 100000; n++) {
        rc = exec_line(&e, "sadd s member%06d other%06d", (int) n, (int) n);

        if (rc != NGX_OK) {
            break;
        }
    }

    is_int(rc, NGX_RF_NEED_ROOM, "there is room for %d members", (int) n * 2);

    rc = exec_line(&e, "sunionstore d s d");
    is_int(rc, NGX_RF_NEED_ROOM, "and not for their union with others");

    exec_is_any(&e, "smembers d", 1, "[x y]");
    exec_line(&e, "scard s");
    is_int(e.reply->integer, n * 2, "all are there");

    /* what removes copies nodes as well, and may find no room for them */

    for (i = 0, left = n * 2; i < 1000; i++) {
        rc = exec_line(&e, i % 10 ? "spop s" : "spop s 100");

        if (rc == NGX_OK) {
            left -= e.reply->nelts ? e.reply->nelts : 1;

        } else if (rc != NGX_RF_NEED_ROOM) {
            break;
        }
    }

    is_int(i, 1000, "members are popped, or there is no room for that");

    exec_line(&e, "scard s");
    is_int(e.reply->integer, left, "the others are there");

    is_int(exec_line(&e, "del s"), NGX_OK, "all of them can go");
    is_int(exec_line(&e, "sunionstore s d"), NGX_OK, "for new ones");

    ok(sound_zone(e.zone, 0), "the zone is sound");
}


/* two with one hash are never parted, and none comes twice */

RF_UNIT(set_scan)
{
    char             cursor[32], twin[2][16], *name;
    u_char           seen[200];
    exec_t           e;
    ngx_int_t        m;
    ngx_uint_t       i, wrong, calls, all, twins;
    ngx_rf_reply_t  *page, *elt;

    exec_init(&e, pool, log, 8 * 1024 * 1024);

    ok(set_twins(&e, twin), "two members have one hash");
    exec_line(&e, "sadd s %s %s", twin[0], twin[1]);

    for (i = 0; i < sizeof(seen); i++) {
        exec_line(&e, "sadd s %d", (int) i);
    }

    ngx_memzero(seen, sizeof(seen));
    strcpy(cursor, "0");
    wrong = 0;
    all = 0;
    twins = 0;

    for (calls = 1; calls < 1000; calls++) {

        exec_line(&e, "sscan s %s count 1", cursor);

        sprintf(cursor, "%.*s", (int) e.reply->elts[0].str.len,
                e.reply->elts[0].str.data);

        page = &e.reply->elts[1];

        for (i = 0; i < page->nelts; i++) {
            elt = &page->elts[i];

            if (elt->str.data[0] == 'n') {
                name = twin[twins++ % 2];
                wrong += (page->nelts != 2
                          || elt->str.len != strlen(name));
                continue;
            }

            m = set_number(elt);
            all++;
            wrong += (m < 0 || m >= (ngx_int_t) sizeof(seen) || seen[m]++);
        }

        if (strcmp(cursor, "0") == 0) {
            break;
        }
    }

    is_int(wrong, 0, "none comes twice");
    is_int(all, sizeof(seen), "each comes");
    is_int(twins, 2, "the two come together");
    is_int(calls, sizeof(seen) + 1, "one for each call");
}


/* k0 is empty, k1 and k2 stay small and large */

static void
set_model_make(exec_t *e, set_model_t *models)
{
    ngx_uint_t  i, k;

    static const ngx_uint_t  percent[SET_KEYS] = { 0, 1, 95, 2, 40, 60, 10 };

    for (k = 0; k < SET_KEYS; k++) {
        exec_line(e, "del k%d", (int) k);

        for (i = 0; i < SET_MEMBERS; i++) {

            if ((ngx_uint_t) ngx_random() % 100 < percent[k]) {
                exec_line(e, "sadd k%d %d", (int) k, (int) i);
                models[k].has[i] = 1;
                models[k].n++;
            }
        }
    }
}


static void
set_model_round(set_model_t *models, char *line, char *keys,
    set_model_t *result)
{
    ngx_uint_t    i, k, n, op;
    set_model_t  *model;

    static const char  *names[] = { "SINTER", "SUNION", "SDIFF" };

    op = ngx_random() % 3;
    n = 1 + ngx_random() % 5;

    strcpy(line, names[op]);

    for (k = 0; k < n; k++) {
        model = &models[ngx_random() % SET_KEYS];
        keys += sprintf(keys, " k%d", (int) (model - models));

        for (i = 0; i < SET_MEMBERS; i++) {

            if (k == 0) {
                result->has[i] = model->has[i];

            } else if (op == 0) {
                result->has[i] &= model->has[i];

            } else if (op == 1) {
                result->has[i] |= model->has[i];

            } else {
                result->has[i] &= !model->has[i];
            }
        }
    }

    for (i = 0, result->n = 0; i < SET_MEMBERS; i++) {
        result->n += result->has[i];
    }
}


static ngx_uint_t
set_model_same(ngx_rf_reply_t *reply, set_model_t *model)
{
    u_char      seen[SET_MEMBERS];
    ngx_int_t   m;
    ngx_uint_t  i;

    if (reply->type != NGX_RF_REPLY_ARRAY || reply->nelts != model->n) {
        return 0;
    }

    ngx_memzero(seen, sizeof(seen));

    for (i = 0; i < reply->nelts; i++) {
        m = set_number(&reply->elts[i]);

        if (m < 0 || seen[m]++ || !model->has[m]) {
            return 0;
        }
    }

    return 1;
}


/* the number of a member, or -1 */

static ngx_int_t
set_number(ngx_rf_reply_t *reply)
{
    ngx_int_t  n;

    n = ngx_atoi(reply->str.data, reply->str.len);

    return n < SET_MEMBERS ? n : -1;
}


static ngx_uint_t
set_twins(exec_t *e, char (*twin)[16])
{
    char             text[16];
    uint64_t        *keys;
    ngx_str_t        name;
    ngx_uint_t       i, n;
    ngx_rf_local_t   l;

    ngx_memzero(&l, sizeof(ngx_rf_local_t));
    l.zone = e->zone;

    keys = ngx_palloc(e->pool, SET_NAMES * sizeof(uint64_t));
    name.data = (u_char *) text;

    for (i = 0; i < SET_NAMES; i++) {
        name.len = sprintf(text, "n%06lu", (unsigned long) i);
        keys[i] = ngx_rf_coll_hash(&l, &name) << 32 | i;
    }

    qsort(keys, SET_NAMES, sizeof(uint64_t), set_compare);

    for (i = 1; i < SET_NAMES; i++) {

        if (keys[i] >> 32 == keys[i - 1] >> 32) {

            for (n = 0; n < 2; n++) {
                sprintf(twin[n], "n%06lu",
                        (unsigned long) (uint32_t) keys[i - n]);
            }

            return 1;
        }
    }

    return 0;
}


static int
set_compare(const void *one, const void *two)
{
    uint64_t  a = *(const uint64_t *) one;
    uint64_t  b = *(const uint64_t *) two;

    return a < b ? -1 : a > b;
}
