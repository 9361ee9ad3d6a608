/*
 * Sorted sets: the replies of single commands, ranges of a large set, what
 * Redis is told, random members and scans.  That all of it is as in Redis is
 * seen by diff_zset.c; here is what that cannot see.
 */

#include "exec.h"
#include "sound.h"


#define ZSET_LARGE  20000


static ngx_uint_t zset_range(exec_t *e, const char *line, ngx_uint_t from,
    ngx_uint_t n, ngx_uint_t reverse);


RF_UNIT(zset_replies)
{
    exec_t       z;
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

    exec_init(&z, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        exec_is(&z, lines[i][0], lines[i][1]);
    }

    ok(sound_zone(z.zone, 0), "the zone is sound");
}


/* members are m00000 to m19999, the score of each is half of its number, less
 * 5000: so pairs share one */

RF_UNIT(zset_large)
{
    char        line[128], name[8];
    exec_t      z;
    ngx_str_t   key;
    ngx_uint_t  i, n, at, wrong;

    exec_init(&z, pool, log, 32 * 1024 * 1024);

    for (i = 0, wrong = 0; i < ZSET_LARGE; i++) {
        z.pool = ngx_create_pool(1024, log);

        n = i * 7919 % ZSET_LARGE;
        wrong += exec_line(&z, "zadd k %d m%05d", (int) n / 2 - 5000, (int) n)
                 != NGX_OK
                 || z.reply->integer != 1;

        ngx_destroy_pool(z.pool);
    }

    z.pool = pool;

    is_int(wrong, 0, "%d members are there", ZSET_LARGE);

    for (i = 0, wrong = 0; i < ZSET_LARGE && wrong < 5; i += 61) {
        wrong += exec_line(&z, "zrank k m%05d", (int) i) != NGX_OK
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

        wrong += exec_line(&z, "zcount k -inf (%d", (int) at / 2 - 5000)
                 != NGX_OK
                 || (ngx_uint_t) z.reply->integer != at;
    }

    is_int(wrong, 0, "ranks and ranges are right");

    exec_is(&z, "zremrangebyrank k 100 19899", "19800");
    exec_is(&z, "zcard k", "200");
    exec_is(&z, "zrange k 99 100", "[m00099 m19900]");
    exec_is(&z, "zrank k m19900", "100");
    exec_is(&z, "zscore k m19900", "4950");
    exec_is(&z, "zscore k m10000", "nil");

    for (i = 0, wrong = 0; i < 50; i++) {
        exec_line(&z, "zpopmax k 2");
        sprintf(name, "m%05d", (int) (ZSET_LARGE - 1 - 2 * i));
        key = z.reply->elts[0].str;

        wrong += z.reply->nelts != 4
                 || ngx_memcmp(key.data, name, 6) != 0;
    }

    is_int(wrong, 0, "the greatest go first");
    exec_is(&z, "zcard k", "100");
    exec_is(&z, "zremrangebyscore k -inf inf", "100");
    exec_is(&z, "exists k", "0");

    ok(sound_zone(z.zone, 0), "the zone is sound");
}


RF_UNIT(zset_tells)
{
    exec_t  z;

    exec_init(&z, pool, log, 8 * 1024 * 1024);

    /* nothing is known of these keys: it merges with what Redis has */

    exec_line(&z, "zadd a 1 x");
    exec_line(&z, "zincrby a 5 x");
    exec_told(&z, "a", "ZADD 6 x; ");

    exec_line(&z, "zincrby b 1.5 x");
    exec_line(&z, "zadd b incr 2 x");
    exec_told(&z, "b", "ZINCRBY 3.5 x; ");

    exec_line(&z, "zadd c gt 3 x");
    exec_line(&z, "zadd d lt 3 x");
    exec_told(&z, "c", "ZADD GT 3 x; ");
    exec_told(&z, "d", "ZADD LT 3 x; ");

    exec_line(&z, "zrem e x");
    exec_told(&z, "e", "ZREM x; ");

    exec_line(&z, "zadd f 3 x");
    exec_line(&z, "zpopmin f");
    exec_told(&z, "f", "ZREM x; ");

    /* a range of what is known in part */

    exec_is(&z, "zremrangebyscore g (1 5", "0");
    exec_told(&z, "g", "zremrangebyscore (1 5; ");

    exec_line(&z, "zadd h 3 x");
    exec_is(&z, "zremrangebyscore h 1 5", "1");
    exec_line(&z, "zadd h 7 y");
    exec_is(&z, "zrange h 0 -1", "[y]");
    exec_told(&z, "h", "ZADD 3 x; zremrangebyscore 1 5; ZADD 7 y; ");

    /* what replaces: Redis gets the members that are there */

    exec_line(&z, "del i");
    exec_line(&z, "zadd i 3 x 7 y");
    exec_is(&z, "zremrangebyrank i 0 0", "1");
    exec_told(&z, "i", "= y 7");

    /* nothing to tell */

    exec_is(&z, "zadd j xx 1 x", "0");
    exec_is(&z, "zpopmax j", "[]");
    exec_told(&z, "j", "");

    ok(sound_zone(z.zone, 0), "the zone is sound");
}


RF_UNIT(zset_random)
{
    exec_t           z;
    u_char           seen[1000];
    ngx_int_t        m;
    ngx_uint_t       i, j, n, wrong, all;
    ngx_rf_reply_t  *elt;

    static const int  counts[] = { 1, 3, 99, 499, 500, 501, 990, 1000, 5000 };

    exec_init(&z, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < 1000; i++) {
        exec_line(&z, "zadd k %d %d", (int) i * 2, (int) i);
    }

    for (i = 0, wrong = 0; i < sizeof(counts) / sizeof(int); i++) {

        exec_line(&z, "zrandmember k %d withscores", counts[i]);

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

    exec_line(&z, "zrandmember k -20000");
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
    exec_t           z;
    u_char           seen[1000];
    ngx_int_t        m;
    ngx_uint_t       i, wrong, calls, all;
    ngx_rf_reply_t  *elts;

    exec_init(&z, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < 1000; i++) {
        exec_line(&z, "zadd k %d %d", (int) i, (int) i);
    }

    ngx_memzero(seen, sizeof(seen));
    sprintf(line, "zscan k 0");
    wrong = 0;

    for (calls = 0; calls < 2000; calls++) {
        exec_line(&z, "%s", line);
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

        exec_line(&z, "zadd k %d x%d", (int) calls, (int) calls);
        exec_line(&z, "zrem k x%d", (int) calls - 3);
        exec_line(&z, "zincrby k 0.5 %d", (int) calls % 1000);
    }

    for (i = 0, all = 0; i < 1000; i++) {
        all += seen[i];
    }

    is_int(wrong, 0, "none comes twice");
    is_int(all, 1000, "each comes");
    ok(calls > 1000 / 10 && calls < 200, "in %d calls", (int) calls);
}


/* whether these are the n members from number "from" on, and their scores
 * where the command says so */

static ngx_uint_t
zset_range(exec_t *e, const char *line, ngx_uint_t from, ngx_uint_t n,
    ngx_uint_t reverse)
{
    int             m;
    char            text[32];
    ngx_str_t      *str;
    ngx_uint_t      i, each;

    each = strstr(line, "withscores") ? 2 : 1;

    if (exec_line(e, "%s", line) != NGX_OK || e->reply->nelts != n * each) {
        printf("# %s: not %d elements\n", line, (int) n);
        return 0;
    }

    for (i = 0; i < n; i++) {
        m = (int) (reverse ? from - i : from + i);

        str = &e->reply->elts[i * each].str;
        sprintf(text, "m%05d", m);

        if (str->len != 6 || ngx_memcmp(str->data, text, 6) != 0) {
            printf("# %s: %.*s is not %s\n", line, (int) str->len, str->data,
                   text);
            return 0;
        }

        if (each == 1) {
            continue;
        }

        str = &e->reply->elts[i * each + 1].str;
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
