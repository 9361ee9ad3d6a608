#include "rf_unit.h"
#include "ngx_rf_resp.h"


static ngx_rf_reply_t *parse(ngx_pool_t *pool, const char *text, size_t len,
    size_t step, const char **err);
static ngx_uint_t same(ngx_rf_reply_t *a, ngx_rf_reply_t *b);
static ngx_uint_t outage(const char *line);

#define parse_text(pool, text, step, err)                                    \
    parse(pool, text, sizeof(text) - 1, step, err)


RF_UNIT(resp_write)
{
    u_char     *p, *last, big[100000];
    size_t      size, n;
    ngx_str_t   argv[3], got;

    ngx_str_set(&argv[0], "SET");
    ngx_str_set(&argv[1], "");
    ngx_str_set(&argv[2], "a\0\r\nb");

    size = ngx_rf_resp_size(3, argv);
    p = ngx_palloc(pool, size);
    last = ngx_rf_resp_write(p, 3, argv);

    is_int(last - p, size, "the size is right");
    got.data = p;
    got.len = size;
    is_text(&got, "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$5\r\na\0\r\nb\r\n",
            "and the bytes");

    argv[1].data = NULL;
    last = ngx_rf_resp_write(p, 3, argv);
    is_int(last - p, size, "an empty string may be NULL");

    for (n = 9; n <= sizeof(big); n = n * 10 + (n % 10 == 9 ? 1 : -1)) {
        argv[0].data = big;
        argv[0].len = n;
        ngx_memset(big, 'x', n);
        size = ngx_rf_resp_size(1, argv);
        p = ngx_palloc(pool, size);
        is_int(ngx_rf_resp_write(p, 1, argv) - p, size, "%d bytes", (int) n);
    }
}


RF_UNIT(resp_types)
{
    size_t           step;
    const char      *err;
    ngx_rf_reply_t  *r;

    for (step = 1; step < 100; step += 7) {

        r = parse_text(pool, "+OK\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_STATUS, "a status by %d", (int) step);
        is_text(&r->str, "OK", "OK");

        r = parse_text(pool, "+PONG\r\n", step, &err);
        is_text(&r->str, "PONG", "PONG");

        r = parse_text(pool, "-ERR no\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_ERROR, "an error");
        is_text(&r->str, "ERR no", "its line");

        r = parse_text(pool, ":-9223372036854775808\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_INTEGER, "an integer");
        ok(r->integer == INT64_MIN, "the smallest");

        r = parse_text(pool, "$-1\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_NIL, "nil");

        r = parse_text(pool, "*-1\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_NIL, "a nil array");

        r = parse_text(pool, "$0\r\n\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_STRING, "an empty string");
        is_text(&r->str, "", "is empty");

        r = parse_text(pool, "$6\r\na\0\r\n\xff" "b\r\n", step, &err);
        is_text(&r->str, "a\0\r\n\xff" "b", "a binary one");
        is_int(r->str.data[r->str.len], 0, "with a NUL behind it");

        r = parse_text(pool, "*0\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_ARRAY, "an empty array");
        is_int(r->nelts, 0, "is empty");

        r = parse_text(pool, "*4\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n$-1\r\n"
                       "+OK\r\n", step, &err);
        is_int(r->type, NGX_RF_REPLY_ARRAY, "an array");
        is_int(r->nelts, 4, "of four");
        is_text(&r->elts[0].str, "a", "a string");
        is_int(r->elts[1].nelts, 2, "an array in it");
        is_int(r->elts[1].elts[0].integer, 1, "with a number");
        is_int(r->elts[1].elts[1].type, NGX_RF_REPLY_ARRAY, "and an array");
        is_int(r->elts[2].type, NGX_RF_REPLY_NIL, "nil");
        is_text(&r->elts[3].str, "OK", "a status");
    }
}


/* arrays grow while they are read, also while others grow in them */

RF_UNIT(resp_arrays)
{
    u_char          *text, *p;
    ngx_uint_t       i, n, bad;
    const char      *err;
    ngx_rf_reply_t  *r, *inner;

    static const ngx_uint_t  sizes[] = { 1, 63, 64, 65, 127, 128, 129, 1000,
                                         4096, 5000, 0 };

    for (i = 0; sizes[i]; i++) {

        text = ngx_palloc(pool, sizes[i] * 200 + 100);
        p = ngx_sprintf(text, "*%ui\r\n", sizes[i]);

        for (n = 0; n < sizes[i]; n++) {
            p = ngx_sprintf(p, "*2\r\n:%ui\r\n$4\r\nabcd\r\n", n);
        }

        r = parse(pool, (char *) text, p - text, 1000, &err);

        if (!ok(r && r->nelts == sizes[i], "%d elements", (int) sizes[i])) {
            continue;
        }

        bad = 0;

        for (n = 0; n < r->nelts; n++) {
            inner = &r->elts[n];
            bad += (inner->nelts != 2
                    || inner->elts[0].integer != (int64_t) n
                    || inner->elts[1].str.len != 4);
        }

        is_int(bad, 0, "all of them right");
        ok(same(r, ngx_rf_resp_copy(pool, r)), "and a copy is the same");
    }
}


RF_UNIT(resp_copy)
{
    const char      *err;
    ngx_pool_t      *other;
    ngx_rf_reply_t  *r, *copy;

    other = ngx_create_pool(1024, log);

    r = parse_text(other, "*3\r\n$1\r\na\r\n*1\r\n+OK\r\n$-1\r\n", 100, &err);
    copy = ngx_rf_resp_copy(pool, r);
    ok(same(r, copy), "a copy is the same");

    ngx_destroy_pool(other);

    is_text(&copy->elts[0].str, "a", "and outlives the original");
    is_text(&copy->elts[1].elts[0].str, "OK", "all of it");
}


RF_UNIT(resp_hostile)
{
    const char            *err;
    ngx_pool_t            *small;
    ngx_uint_t             i;
    ngx_rf_reply_t        *r;
    ngx_pool_large_t      *large;
    ngx_rf_resp_reader_t  *reader;

    static const char  *bad[] = {
        "hello\r\n", "*a\r\n", "$a\r\n", "$-2\r\n", "*-2\r\n",
        "*99999999999999999999\r\n", "HTTP/1.1 400 Bad Request\r\n",
        "*9000000\r\n",
        "*8000000\r\n*8000000\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        NULL
    };

    for (i = 0; bad[i]; i++) {
        err = NULL;
        r = parse(pool, bad[i], ngx_strlen(bad[i]), 100, &err);
        ok(r == NULL && err != NULL, "%s", err ? err : bad[i]);
    }

    /* what was announced is not allocated */

    small = ngx_create_pool(1024, log);
    reader = ngx_rf_resp_reader_create();

    ngx_rf_resp_feed(reader, (u_char *) "*8000000\r\n:1\r\n$500000000\r\n",
                     sizeof("*8000000\r\n:1\r\n$500000000\r\n") - 1);
    is_int(ngx_rf_resp_next(reader, small, &r, &err), NGX_AGAIN,
           "a large array, begun");

    i = 0;

    for (large = small->large; large; large = large->next) {
        i++;
    }

    ok(i <= 1, "takes little memory");

    ngx_rf_resp_reader_destroy(reader);
    ngx_destroy_pool(small);

    /* an error stays one */

    reader = ngx_rf_resp_reader_create();
    ngx_rf_resp_feed(reader, (u_char *) "*9000000\r\n", 10);
    is_int(ngx_rf_resp_next(reader, pool, &r, &err), NGX_ERROR, "too many");
    is_int(ngx_rf_resp_next(reader, pool, &r, &err), NGX_ERROR, "still");
    is_int(ngx_rf_resp_feed(reader, (u_char *) "+OK\r\n", 5), NGX_ERROR,
           "no more bytes");
    ngx_rf_resp_reader_destroy(reader);

    ngx_rf_resp_reader_destroy(NULL);
    ok(1, "destroying nothing");
}


RF_UNIT(resp_pipeline)
{
    u_char                *p, text[8192];
    const char            *err;
    ngx_uint_t             i, bad;
    ngx_pool_t            *pools[3];
    ngx_rf_reply_t        *r;
    ngx_rf_resp_reader_t  *reader;

    reader = ngx_rf_resp_reader_create();

    is_int(ngx_rf_resp_next(reader, pool, &r, &err), NGX_AGAIN, "nothing yet");

    p = text;

    for (i = 0; i < 300; i++) {
        p = ngx_sprintf(p, "$3\r\n%03ui\r\n", i);
    }

    ngx_rf_resp_feed(reader, text, p - text - 1);
    bad = 0;

    for (i = 0; i < 299; i++) {
        if (ngx_rf_resp_next(reader, pool, &r, &err) != NGX_OK
            || (ngx_uint_t) ngx_atoi(r->str.data, r->str.len) != i)
        {
            bad++;
        }
    }

    is_int(bad, 0, "299 replies in order");
    is_int(ngx_rf_resp_next(reader, pool, &r, &err), NGX_AGAIN,
           "the last lacks a byte");
    ngx_rf_resp_feed(reader, (u_char *) "\n", 1);
    is_int(ngx_rf_resp_next(reader, pool, &r, &err), NGX_OK, "now");
    is_text(&r->str, "299", "it is right");

    /* dropped, cut, kept */

    for (i = 0; i < 3; i++) {
        pools[i] = ngx_create_pool(1024, log);
    }

#define FIRST  "*3\r\n$1\r\na\r\n*2\r\n:1\r\n"
#define REST   ":2\r\n$1\r\nb\r\n"

    ngx_rf_resp_feed(reader, (u_char *) FIRST REST FIRST,
                     sizeof(FIRST REST FIRST) - 1);
    is_int(ngx_rf_resp_next(reader, NULL, &r, &err), NGX_OK, "dropped");
    ok(r == NULL, "is nothing");

    is_int(ngx_rf_resp_next(reader, pools[0], &r, &err), NGX_AGAIN, "begun");
    ngx_rf_resp_cut(reader);
    ngx_destroy_pool(pools[0]);

    ngx_rf_resp_feed(reader, (u_char *) REST FIRST, sizeof(REST FIRST) - 1);
    is_int(ngx_rf_resp_next(reader, pools[1], &r, &err), NGX_OK,
           "the rest of it");
    ok(r == NULL, "is dropped, whatever pool is offered");

    is_int(ngx_rf_resp_next(reader, pools[1], &r, &err), NGX_AGAIN,
           "the next begins");
    ngx_rf_resp_feed(reader, (u_char *) REST, sizeof(REST) - 1);
    is_int(ngx_rf_resp_next(reader, pools[2], &r, &err), NGX_OK,
           "and is whole");
    ngx_destroy_pool(pools[2]);
    is_text(&r->elts[2].str, "b", "in the pool that it began with");
    is_int(r->elts[1].elts[1].integer, 2, "all of it");
    ngx_destroy_pool(pools[1]);

    /* a reader may go in mid-reply */

    ngx_rf_resp_feed(reader, (u_char *) FIRST, sizeof(FIRST) - 1);
    is_int(ngx_rf_resp_next(reader, pool, &r, &err), NGX_AGAIN, "begun");
    ngx_rf_resp_reader_destroy(reader);
}


RF_UNIT(resp_large)
{
    u_char          *text, *p;
    size_t           len;
    const char      *err;
    ngx_rf_reply_t  *r;

    len = 3 * 1024 * 1024;
    text = ngx_palloc(pool, len + 100);
    p = ngx_sprintf(text, "$%uz\r\n", len);
    ngx_memset(p, 'x', len);
    p[0] = 'a';
    p[len - 1] = 'z';
    p += len;
    *p++ = CR;
    *p++ = LF;

    r = parse(pool, (char *) text, p - text, 16384, &err);

    if (ok(r != NULL && r->str.len == len, "3 MB")) {
        ok(r->str.data[0] == 'a' && r->str.data[len - 1] == 'z', "whole");
    }
}


RF_UNIT(resp_outage)
{
    const char     **p;
    ngx_rf_reply_t   r;

    static const char  *yes[] = {
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down", "NOAUTH Authentication "
        "required.", "WRONGPASS invalid username-password pair", "OOM command "
        "not allowed", "MISCONF Redis is configured to save", "NOREPLICAS Not "
        "enough", "CLUSTERDOWN Hash slot not served", "CLUSTERDOWN",
        "ERR max number of clients reached", NULL
    };

    static const char  *no[] = {
        "ERR unknown command", "WRONGTYPE Operation", "LOADINGS", "OO", "",
        "NOSCRIPT", "ERR max number", " LOADING", "loading x", NULL
    };

    for (p = yes; *p; p++) {
        ok(outage(*p), "%s", *p);
    }

    for (p = no; *p; p++) {
        ok(!outage(*p), "not \"%s\"", *p);
    }

    r.type = NGX_RF_REPLY_STRING;
    ngx_str_set(&r.str, "OOM");
    ok(!ngx_rf_resp_outage(&r), "a value is no error");
}


/*
 * What is whole is taken out of the fed bytes, what is not goes to hiredis, and
 * it must not matter where it is cut.  The bytes are gone as soon as the reader
 * has asked for more.
 */

RF_UNIT(resp_taken)
{
    u_char                *p, *text, *piece;
    size_t                 size, cut, at, len, bad;
    const char            *err;
    ngx_int_t              rc;
    ngx_pool_t            *mine;
    ngx_uint_t             i, n, drop;
    ngx_rf_reply_t        *r, *whole[16];
    ngx_rf_resp_reader_t  *reader;

#define TAKEN                                                                 \
    "$3\r\na\r\n\r\n:-5\r\n$-1\r\n+OK\r\n$0\r\n\r\n+PONG\r\n:0\r\n"            \
    "*2\r\n$1\r\na\r\n:1\r\n-ERR no\r\n:999999999999999999\r\n"               \
    ":9223372036854775807\r\n$1200\r\n"

    text = ngx_pnalloc(pool, 4096);
    p = ngx_cpymem(text, TAKEN, sizeof(TAKEN) - 1);
    ngx_memset(p, 'x', 1200);
    p = ngx_cpymem(p + 1200, "\r\n$2\r\nno\r\n",
                   sizeof("\r\n$2\r\nno\r\n") - 1);
    size = p - text;

    reader = ngx_rf_resp_reader_create();
    ngx_rf_resp_feed(reader, text, size);

    for (n = 0; n < 16; n++) {
        if (ngx_rf_resp_next(reader, pool, &whole[n], &err) != NGX_OK) {
            break;
        }
    }

    ngx_rf_resp_reader_destroy(reader);

    is_int(n, 13, "all of them");
    is_int(whole[0]->str.len, 3, "a string");
    is_int(whole[1]->integer, -5, "a number");
    is_int(whole[2]->type, NGX_RF_REPLY_NIL, "nil");
    is_int(whole[3]->type, NGX_RF_REPLY_STATUS, "a status");
    is_text(&whole[3]->str, "OK", "that is OK");
    is_int(whole[4]->str.len, 0, "an empty string");
    is_int(whole[4]->type, NGX_RF_REPLY_STRING, "is a string");
    is_text(&whole[5]->str, "PONG", "another status");
    is_int(whole[9]->integer, 999999999999999999, "a number that is taken");
    ok(whole[10]->integer == 9223372036854775807, "one that is not");
    is_int(whole[11]->str.len, 1200, "a long string");
    ok(whole[11]->str.data[1200] == '\0' && whole[0]->str.data[3] == '\0',
       "a NUL behind it");
    is_text(&whole[12]->str, "no", "and the last");

    for (drop = 0; drop < 2; drop++) {
        bad = 0;

        for (cut = 1; cut <= size; cut++) {
            mine = ngx_create_pool(1024, log);
            reader = ngx_rf_resp_reader_create();
            i = 0;

            for (at = 0; at < size; at += len) {
                len = ngx_min(cut, size - at);
                piece = malloc(len);
                ngx_memcpy(piece, text + at, len);
                ngx_rf_resp_feed(reader, piece, len);

                for ( ;; ) {
                    rc = ngx_rf_resp_next(reader, drop ? NULL : mine, &r,
                                          &err);
                    if (rc != NGX_OK) {
                        break;
                    }

                    bad += (i == n || (drop ? r != NULL
                                            : !same(r, whole[i])));
                    i++;
                }

                bad += (rc != NGX_AGAIN);

                ngx_memset(piece, '#', len);
                free(piece);
            }

            bad += (i != n);

            ngx_rf_resp_reader_destroy(reader);
            ngx_destroy_pool(mine);
        }

        is_int(bad, 0, "the same, however it is cut%s",
               drop ? ", and dropped" : "");
    }

    /* fed twice without a question in between */

    reader = ngx_rf_resp_reader_create();
    ngx_rf_resp_feed(reader, (u_char *) ":1\r\n:", 5);
    ngx_rf_resp_feed(reader, (u_char *) "2\r\n:3\r\n", 7);

    for (i = 1; i <= 3; i++) {
        is_int(ngx_rf_resp_next(reader, pool, &r, &err), NGX_OK, "one more");
        is_int(r->integer, i, "in order");
    }

    ngx_rf_resp_reader_destroy(reader);
}


static ngx_uint_t
outage(const char *line)
{
    ngx_rf_reply_t  r;

    r.type = NGX_RF_REPLY_ERROR;
    r.str.data = (u_char *) line;
    r.str.len = ngx_strlen(line);

    return ngx_rf_resp_outage(&r);
}


/* feeds by "step" bytes, asking after each; exactly one reply is in the text */

static ngx_rf_reply_t *
parse(ngx_pool_t *pool, const char *text, size_t len, size_t step,
    const char **err)
{
    size_t                 n;
    ngx_int_t              rc;
    ngx_rf_reply_t        *r;
    ngx_rf_resp_reader_t  *reader;

    reader = ngx_rf_resp_reader_create();
    rc = NGX_AGAIN;
    r = NULL;

    while (len) {
        n = ngx_min(step, len);

        if (ngx_rf_resp_feed(reader, (u_char *) text, n) != NGX_OK) {
            break;
        }

        text += n;
        len -= n;

        rc = ngx_rf_resp_next(reader, pool, &r, err);

        if (rc == NGX_ERROR) {
            *err = (char *) ngx_pstrdup(pool, &(ngx_str_t) {
                                     ngx_strlen(*err) + 1, (u_char *) *err });
            break;
        }

        if (rc == NGX_OK) {
            break;
        }
    }

    if (rc == NGX_OK && len) {
        ok(0, "a reply ended too early");
    }

    ngx_rf_resp_reader_destroy(reader);

    return rc == NGX_OK ? r : NULL;
}


static ngx_uint_t
same(ngx_rf_reply_t *a, ngx_rf_reply_t *b)
{
    ngx_uint_t  i;

    if (a->type != b->type || a->nelts != b->nelts || a->str.len != b->str.len
        || (a->type == NGX_RF_REPLY_INTEGER && a->integer != b->integer)
        || (a->str.len
            && ngx_memcmp(a->str.data, b->str.data, a->str.len) != 0))
    {
        return 0;
    }

    for (i = 0; i < a->nelts; i++) {
        if (!same(&a->elts[i], &b->elts[i])) {
            return 0;
        }
    }

    return 1;
}
