/*
 * Sorted sets: the replies of single commands, ranges of a large set, what
 * Redis is told, random members and scans.  That all of it is as in Redis is
 * seen by diff_zset.c; here is what that cannot see.
 */

#include "rf_unit.h"
#include "ngx_rf_command.h"
#include "ngx_rf_local.h"
#include "sound.h"


#define ZSET_ARGS   16
#define ZSET_TEXT   4096
#define ZSET_LARGE  20000


typedef struct {
    ngx_pool_t           *pool;         /* of the command */
    ngx_log_t            *log;
    ngx_rf_zone_t        *zone;
    ngx_rf_reply_t       *reply;
} zset_t;


static void zset_init(zset_t *z, ngx_pool_t *pool, ngx_log_t *log,
    size_t size);
static ngx_int_t zset_exec(zset_t *z, const char *line);
static void zset_is(zset_t *z, const char *line, const char *expected);
static u_char *zset_text(u_char *p, u_char *last, ngx_rf_reply_t *reply);
static ngx_uint_t zset_range(zset_t *z, const char *line, ngx_uint_t from,
    ngx_uint_t n, ngx_uint_t reverse);
static void zset_told(zset_t *z, const char *key, const char *expected);


RF_UNIT(zset_replies)
{
    zset_t       z;
    ngx_uint_t   i;

    static const char  *lines[][2] = {
        { "zadd k 1 a 2 b 1 c", "3" },
        { "zadd k ch 1 a 3 b 4 d", "2" },
        { "zadd k nx ch 9 a 5 e", "1" },
        { "zadd k xx 9 x", "0" },
        { "zadd k gt ch 2 b 5 c", "1" },
        { "zadd k lt 2 b", "0" },
        { "zrange k 0 -1 withscores", "[a 1 b 2 d 4 c 5 e 5]" },
        { "zadd k incr 1.5 a", "2.5" },
        { "zadd k incr nx 1.5 a", "nil" },
        { "zadd k incr gt -1 a", "nil" },
        { "zincrby k -2.5 a", "0" },
        { "zincrby new 0.1 a", "0.10000000000000001" },
        { "zscore k a", "0" },
        { "zscore k nosuch", "nil" },
        { "zmscore k a nosuch c", "[0 nil 5]" },
        { "zmscore nosuch a b", "[nil nil]" },
        { "zcard k", "5" },
        { "zcount k (2 5", "3" },
        { "zcount k -inf +inf", "5" },
        { "zcount k (inf inf", "0" },
        { "zrank k d", "2" },
        { "zrevrank k d", "2" },
        { "zrank k a", "0" },
        { "zrevrank k a", "4" },
        { "zrank k x", "nil" },
        { "zrevrange k 0 1 withscores", "[e 5 c 5]" },
        { "zrangebyscore k (2 +inf limit 1 1", "[c]" },
        { "zrevrangebyscore k 5 2 limit 1 2", "[c d]" },
        { "zrange k 5 2 byscore rev limit 1 2 withscores", "[c 5 d 4]" },
        { "zadd inf inf a -inf b 1e308 c -1e308 d 0 e", "5" },
        { "zrange inf -inf (inf byscore", "[b d e c]" },
        { "zrange inf inf inf byscore", "[a]" },
        { "zcount inf -0 0", "1" },
        { "zincrby inf -inf a",
          "-ERR resulting score is not a number (NaN)" },
        { "zadd lex 0  0 a 0 aa 0 b 0 c", "5" },
        { "zrangebylex lex - +", "[ a aa b c]" },
        { "zrangebylex lex ( [b", "[a aa b]" },
        { "zrangebylex lex [ (b", "[ a aa]" },
        { "zrevrangebylex lex (b [a limit 0 1", "[aa]" },
        { "zrange lex + (a bylex rev limit 1 -1", "[b aa]" },
        { "zlexcount lex (a (c", "2" },
        { "zlexcount lex + -", "0" },
        { "zremrangebylex lex [a (b", "2" },
        { "zremrangebyrank lex -1 -1", "1" },
        { "zrange lex 0 -1", "[ b]" },
        { "zremrangebyscore lex 0 0", "2" },
        { "exists lex", "0" },
        { "zpopmin k", "[a 0]" },
        { "zpopmax k 2", "[e 5 c 5]" },
        { "zpopmax k 0", "[]" },
        { "zrem k a b nosuch d b", "2" },
        { "exists k", "0" },
        { "zpopmin k 5", "[]" },
        { "zrandmember k", "nil" },
        { "zrandmember k 5", "[]" },
        { "zadd k 1 only", "1" },
        { "zrandmember k -3 withscores", "[only 1 only 1 only 1]" },
        { "zrandmember k 3 withscores", "[only 1]" },
        { "zrandmember k -1000001", "-ERR value is out of range" },
        { "zscan k 0", "[0 [only 1]]" },
        { "zscan k 0 match x*", "[0 []]" },
        { "zscan k 4294967296", "[0 []]" },
        { "zscan k 18446744073709551615", "[0 []]" },
        { "set s 1", "OK" },
        { "zadd s 1 a", "-WRONGTYPE Operation against a key holding the wrong "
                        "kind of value" },
        { "get k", "-WRONGTYPE Operation against a key holding the wrong kind "
                   "of value" },
        { "type k", "zset" }
    };

    zset_init(&z, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        zset_is(&z, lines[i][0], lines[i][1]);
    }

    ok(sound_zone(z.zone, 0), "the zone is sound");
}


/* members are m00000 to m19999, the score of each is half of its number, less
 * 5000: so pairs share one */

RF_UNIT(zset_large)
{
    char        line[128], name[8];
    zset_t      z;
    ngx_str_t   key;
    ngx_uint_t  i, n, at, wrong;

    zset_init(&z, pool, log, 32 * 1024 * 1024);

    for (i = 0, wrong = 0; i < ZSET_LARGE; i++) {
        n = i * 7919 % ZSET_LARGE;
        sprintf(line, "zadd k %d m%05d", (int) n / 2 - 5000, (int) n);

        wrong += zset_exec(&z, line) != NGX_OK || z.reply->integer != 1;
    }

    is_int(wrong, 0, "%d members are there", ZSET_LARGE);

    for (i = 0, wrong = 0; i < ZSET_LARGE && wrong < 5; i += 61) {
        sprintf(line, "zrank k m%05d", (int) i);
        wrong += zset_exec(&z, line) != NGX_OK
                 || (ngx_uint_t) z.reply->integer != i;

        n = 1 + i % 300;

        sprintf(line, "zrange k %d %d", (int) i, (int) (i + n - 1));
        wrong += !zset_range(&z, line, i, ngx_min(n, ZSET_LARGE - i), 0);

        sprintf(line, "zrevrange k %d %d withscores", (int) i,
                (int) (i + n - 1));
        wrong += !zset_range(&z, line, ZSET_LARGE - 1 - i,
                             ngx_min(n, ZSET_LARGE - i), 1);

        at = i - i % 2;
        sprintf(line, "zrangebyscore k %d inf withscores limit 3 %d",
                (int) at / 2 - 5000, (int) n);
        n = at + 3 < ZSET_LARGE ? ngx_min(n, ZSET_LARGE - at - 3) : 0;
        wrong += !zset_range(&z, line, at + 3, n, 0);

        n = 1 + i % 300;
        sprintf(line, "zrange k (%d -inf byscore rev limit 2 %d",
                (int) at / 2 - 5000, (int) n);
        n = at > 2 ? ngx_min(n, at - 2) : 0;
        wrong += !zset_range(&z, line, at - 3, n, 1);

        sprintf(line, "zcount k -inf (%d", (int) at / 2 - 5000);
        wrong += zset_exec(&z, line) != NGX_OK
                 || (ngx_uint_t) z.reply->integer != at;
    }

    is_int(wrong, 0, "ranks and ranges are right");

    zset_is(&z, "zremrangebyrank k 100 19899", "19800");
    zset_is(&z, "zcard k", "200");
    zset_is(&z, "zrange k 99 100", "[m00099 m19900]");
    zset_is(&z, "zrank k m19900", "100");
    zset_is(&z, "zscore k m19900", "4950");
    zset_is(&z, "zscore k m10000", "nil");

    for (i = 0, wrong = 0; i < 50; i++) {
        zset_exec(&z, "zpopmax k 2");
        sprintf(name, "m%05d", (int) (ZSET_LARGE - 1 - 2 * i));
        key = z.reply->elts[0].str;

        wrong += z.reply->nelts != 4
                 || ngx_memcmp(key.data, name, 6) != 0;
    }

    is_int(wrong, 0, "the greatest go first");
    zset_is(&z, "zcard k", "100");
    zset_is(&z, "zremrangebyscore k -inf inf", "100");
    zset_is(&z, "exists k", "0");

    ok(sound_zone(z.zone, 0), "the zone is sound");
}


RF_UNIT(zset_tells)
{
    zset_t  z;

    zset_init(&z, pool, log, 8 * 1024 * 1024);

    /* nothing is known of these keys: it merges with what Redis has */

    zset_exec(&z, "zadd a 1 x");
    zset_exec(&z, "zincrby a 5 x");
    zset_told(&z, "a", "ZADD 6 x; ");

    zset_exec(&z, "zincrby b 1.5 x");
    zset_exec(&z, "zadd b incr 2 x");
    zset_told(&z, "b", "ZINCRBY 3.5 x; ");

    zset_exec(&z, "zadd c gt 3 x");
    zset_exec(&z, "zadd d lt 3 x");
    zset_told(&z, "c", "ZADD GT 3 x; ");
    zset_told(&z, "d", "ZADD LT 3 x; ");

    zset_exec(&z, "zrem e x");
    zset_told(&z, "e", "ZREM x; ");

    zset_exec(&z, "zadd f 3 x");
    zset_exec(&z, "zpopmin f");
    zset_told(&z, "f", "ZREM x; ");

    /* a range of what is known in part */

    zset_is(&z, "zremrangebyscore g (1 5", "0");
    zset_told(&z, "g", "zremrangebyscore (1 5; ");

    zset_exec(&z, "zadd h 3 x");
    zset_is(&z, "zremrangebyscore h 1 5", "1");
    zset_exec(&z, "zadd h 7 y");
    zset_is(&z, "zrange h 0 -1", "[y]");
    zset_told(&z, "h", "ZADD 3 x; zremrangebyscore 1 5; ZADD 7 y; ");

    /* what replaces: Redis gets the members that are there */

    zset_exec(&z, "del i");
    zset_exec(&z, "zadd i 3 x 7 y");
    zset_is(&z, "zremrangebyrank i 0 0", "1");
    zset_told(&z, "i", "= y 7 ");

    /* nothing to tell */

    zset_is(&z, "zadd j xx 1 x", "0");
    zset_is(&z, "zpopmax j", "[]");
    zset_told(&z, "j", "");

    ok(sound_zone(z.zone, 0), "the zone is sound");
}


RF_UNIT(zset_random)
{
    char             line[64];
    zset_t           z;
    u_char           seen[1000];
    ngx_int_t        m;
    ngx_uint_t       i, j, n, wrong, all;
    ngx_rf_reply_t  *elt;

    static const int  counts[] = { 1, 3, 99, 499, 500, 501, 990, 1000, 5000 };

    zset_init(&z, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < 1000; i++) {
        sprintf(line, "zadd k %d %d", (int) i * 2, (int) i);
        zset_exec(&z, line);
    }

    for (i = 0, wrong = 0; i < sizeof(counts) / sizeof(int); i++) {

        sprintf(line, "zrandmember k %d withscores", counts[i]);
        zset_exec(&z, line);

        n = ngx_min(counts[i], 1000);
        wrong += z.reply->nelts != 2 * n;
        ngx_memzero(seen, sizeof(seen));

        for (j = 0; j < z.reply->nelts; j += 2) {
            elt = &z.reply->elts[j];
            m = ngx_atoi(elt[0].str.data, elt[0].str.len);

            if (m < 0 || m > 999 || seen[m]++
                || ngx_atoi(elt[1].str.data, elt[1].str.len) != 2 * m)
            {
                wrong++;
                break;
            }
        }
    }

    is_int(wrong, 0, "as many as were asked for, none of them twice");

    zset_exec(&z, "zrandmember k -20000");
    is_int(z.reply->nelts, 20000, "some of them twice");

    ngx_memzero(seen, sizeof(seen));

    for (j = 0, all = 0; j < z.reply->nelts; j++) {
        elt = &z.reply->elts[j];
        m = ngx_atoi(elt->str.data, elt->str.len);
        all += (m >= 0 && m < 1000 && seen[m] == 0);
        seen[m] = 1;
    }

    is_int(all, 1000, "and each of them");
}


/* members 0 to 999 are there all the time, others come and go */

RF_UNIT(zset_scan)
{
    char             line[64];
    zset_t           z;
    u_char           seen[1000];
    ngx_int_t        m;
    ngx_uint_t       i, wrong, calls, all;
    ngx_rf_reply_t  *elts;

    zset_init(&z, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < 1000; i++) {
        sprintf(line, "zadd k %d %d", (int) i, (int) i);
        zset_exec(&z, line);
    }

    ngx_memzero(seen, sizeof(seen));
    sprintf(line, "zscan k 0");
    wrong = 0;

    for (calls = 0; calls < 2000; calls++) {
        zset_exec(&z, line);
        elts = z.reply->elts[1].elts;

        for (i = 0; i < z.reply->elts[1].nelts; i += 2) {
            m = ngx_atoi(elts[i].str.data, elts[i].str.len);
            wrong += (m >= 0 && m < 1000 && seen[m]++);
        }

        sprintf(line, "zscan k %.*s count 7", (int) z.reply->elts[0].str.len,
                z.reply->elts[0].str.data);

        if (ngx_strncmp(line, "zscan k 0 ", 10) == 0) {
            break;
        }

        sprintf(line + 32, "zadd k %d x%d", (int) calls, (int) calls);
        zset_exec(&z, line + 32);
        sprintf(line + 32, "zrem k x%d", (int) calls - 3);
        zset_exec(&z, line + 32);
        sprintf(line + 32, "zincrby k 0.5 %d", (int) calls % 1000);
        zset_exec(&z, line + 32);
    }

    for (i = 0, all = 0; i < 1000; i++) {
        all += seen[i];
    }

    is_int(wrong, 0, "none comes twice");
    is_int(all, 1000, "each comes");
    ok(calls > 1000 / 10 && calls < 200, "in %d calls", (int) calls);
}


static void
zset_init(zset_t *z, ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    ngx_shm_zone_t  *shm;

    ngx_time_update();

    shm = rf_unit_shm(pool, log, size);
    z->zone = ngx_pcalloc(pool, sizeof(ngx_rf_zone_t));
    z->pool = pool;
    z->log = log;

    ngx_str_set(&z->zone->name, "app");
    shm->data = z->zone;

    ok(ngx_rf_zone_init(shm, NULL) == NGX_OK, "a zone");
}


/* words are separated by single blanks */

static ngx_int_t
zset_exec(zset_t *z, const char *line)
{
    ngx_int_t        rc;
    ngx_str_t        argv[ZSET_ARGS];
    ngx_uint_t       argc;
    const char      *p;
    ngx_rf_local_t   l;

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    for (argc = 0; argc < ZSET_ARGS; argc++) {
        p = strchr(line, ' ');
        p = p ? p : line + strlen(line);

        /* out of the line's own memory: what is stored is a copy */

        argv[argc].len = p - line;
        argv[argc].data = ngx_pnalloc(z->pool, argv[argc].len + 1);
        ngx_memcpy(argv[argc].data, line, argv[argc].len);

        if (*p == '\0') {
            argc++;
            break;
        }

        line = p + 1;
    }

    l.zone = z->zone;
    l.pool = z->pool;
    l.now = ngx_rf_now();
    l.scope = NGX_RF_SCOPE_ANY;
    l.command = ngx_rf_command_find(&argv[0]);
    l.argc = argc;
    l.argv = argv;

    rc = ngx_rf_local_exec(&l);
    z->reply = l.reply;

    return rc;
}


static void
zset_is(zset_t *z, const char *line, const char *expected)
{
    u_char      buf[ZSET_TEXT];
    ngx_int_t   rc;
    ngx_str_t   text;

    rc = zset_exec(z, line);

    if (rc != NGX_OK) {
        is_int(rc, NGX_OK, "%s", line);
        return;
    }

    text.data = buf;
    text.len = zset_text(buf, buf + sizeof(buf), z->reply) - buf;

    is_str(&text, expected, strlen(expected), "%s", line);
}


static u_char *
zset_text(u_char *p, u_char *last, ngx_rf_reply_t *reply)
{
    ngx_uint_t  i;

    switch (reply->type) {

    case NGX_RF_REPLY_NIL:
        return ngx_slprintf(p, last, "nil");

    case NGX_RF_REPLY_INTEGER:
        return ngx_slprintf(p, last, "%L", reply->integer);

    case NGX_RF_REPLY_ERROR:
        return ngx_slprintf(p, last, "-%V", &reply->str);

    case NGX_RF_REPLY_ARRAY:
        p = ngx_slprintf(p, last, "[");

        for (i = 0; i < reply->nelts; i++) {
            p = ngx_slprintf(p, last, i ? " " : "");
            p = zset_text(p, last, &reply->elts[i]);
        }

        return ngx_slprintf(p, last, "]");

    default:
        return ngx_slprintf(p, last, "%V", &reply->str);
    }
}


/* whether these are the n members from number "from" on, and their scores
 * where the command says so */

static ngx_uint_t
zset_range(zset_t *z, const char *line, ngx_uint_t from, ngx_uint_t n,
    ngx_uint_t reverse)
{
    int             m;
    char            text[32];
    ngx_str_t      *str;
    ngx_uint_t      i, each;

    each = strstr(line, "withscores") ? 2 : 1;

    if (zset_exec(z, line) != NGX_OK || z->reply->nelts != n * each) {
        printf("# %s: not %d elements\n", line, (int) n);
        return 0;
    }

    for (i = 0; i < n; i++) {
        m = (int) (reverse ? from - i : from + i);

        str = &z->reply->elts[i * each].str;
        sprintf(text, "m%05d", m);

        if (str->len != 6 || ngx_memcmp(str->data, text, 6) != 0) {
            printf("# %s: %.*s is not %s\n", line, (int) str->len, str->data,
                   text);
            return 0;
        }

        if (each == 1) {
            continue;
        }

        str = &z->reply->elts[i * each + 1].str;
        sprintf(text, "%d", m / 2 - 5000);

        if (str->len != strlen(text)
            || ngx_memcmp(str->data, text, str->len) != 0)
        {
            printf("# %s: score %.*s is not %s\n", line, (int) str->len,
                   str->data, text);
            return 0;
        }
    }

    return 1;
}


/* the changes of the key as they are replayed, or "= " and what replaces it */

static void
zset_told(zset_t *z, const char *key, const char *expected)
{
    u_char           buf[ZSET_TEXT], *p;
    ngx_str_t        text;
    ngx_uint_t       i, j;
    ngx_rf_record_t *rec, *next;

    p = buf;
    rec = ngx_rf_zone_replay_take(z->zone, 1000, 1 << 20, ngx_rf_now(), NULL);

    for ( /* void */ ; rec; rec = next) {
        next = rec->next;

        if (rec->key.len == strlen(key)
            && ngx_memcmp(rec->key.data, key, rec->key.len) == 0)
        {
            if (rec->pending == NGX_RF_REPLACE) {
                p = ngx_cpymem(p, "= ", 2);
            }

            for (i = 0; rec->pending == NGX_RF_REPLACE && i < rec->nvalues;
                 i++)
            {
                p = ngx_sprintf(p, "%V ", &rec->values[i]);
            }

            for (i = 0; i < rec->nchanges; i++) {
                for (j = 0; j < rec->changes[i].argc; j++) {
                    p = ngx_sprintf(p, j ? " %V" : "%V",
                                    &rec->changes[i].argv[j]);
                }

                p = ngx_cpymem(p, "; ", 2);
            }
        }

        ngx_rf_zone_replay_done(z->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
        free(rec);
    }

    text.data = buf;
    text.len = p - buf;

    is_str(&text, expected, strlen(expected), "Redis is told of %s", key);
}
