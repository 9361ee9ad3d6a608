/*
 * What Redis sends.  The first byte says in how large pieces it comes, and when
 * replies are dropped or cut; all at once it must be the same replies.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "fuzz.h"
#include "ngx_http_rf_json.h"
#include "ngx_rf_resp.h"


#define RESP_REPLIES  256


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ngx_uint_t resp_parse(ngx_pool_t *pool, const uint8_t *data,
    size_t size, size_t piece, ngx_rf_reply_t **replies, ngx_uint_t *failed);
static void resp_drop(const uint8_t *data, size_t size, ngx_uint_t seed);
static void resp_look(ngx_pool_t *pool, ngx_rf_reply_t *reply);
static void resp_command(ngx_pool_t *pool, ngx_rf_reply_t *reply);
static ngx_uint_t resp_same(ngx_rf_reply_t *a, ngx_rf_reply_t *b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_uint_t       i, n, m, failed, broken;
    ngx_pool_t      *pool;
    ngx_rf_reply_t  *replies[RESP_REPLIES], *whole[RESP_REPLIES];

    if (size == 0) {
        return 0;
    }

    pool = ngx_create_pool(1024, &fuzz_log);
    fuzz_check(pool != NULL);

    n = resp_parse(pool, data + 1, size - 1, 1 + data[0] % 32, replies,
                   &failed);
    m = resp_parse(pool, data + 1, size - 1, size, whole, &broken);

    fuzz_check(n == m && failed == broken);

    for (i = 0; i < n; i++) {
        fuzz_check(resp_same(replies[i], whole[i]));
        resp_look(pool, replies[i]);
    }

    ngx_destroy_pool(pool);

    resp_drop(data + 1, size - 1, data[0]);

    return 0;
}


/* returns how many replies there were */

static ngx_uint_t
resp_parse(ngx_pool_t *pool, const uint8_t *data, size_t size, size_t piece,
    ngx_rf_reply_t **replies, ngx_uint_t *failed)
{
    u_char                *block;
    size_t                 len;
    ngx_int_t              rc;
    ngx_uint_t             n;
    const char            *err;
    const uint8_t         *last;
    ngx_rf_reply_t        *reply;
    ngx_rf_resp_reader_t  *reader;

    reader = ngx_rf_resp_reader_create();
    fuzz_check(reader != NULL);

    n = 0;
    rc = NGX_AGAIN;
    last = data + size;

    while (data < last && rc == NGX_AGAIN && n < RESP_REPLIES) {
        len = ngx_min(piece, (size_t) (last - data));

        block = malloc(len);
        fuzz_check(block != NULL);
        ngx_memcpy(block, data, len);
        data += len;

        rc = ngx_rf_resp_feed(reader, block, len);
        fuzz_check(rc == NGX_OK);

        while (rc == NGX_OK && n < RESP_REPLIES) {
            err = NULL;
            rc = ngx_rf_resp_next(reader, pool, &reply, &err);

            fuzz_check(rc == NGX_OK || rc == NGX_AGAIN
                       || (rc == NGX_ERROR && err != NULL));

            if (rc == NGX_OK) {
                replies[n++] = reply;
            }
        }

        /* from here on nobody may look at it */
        free(block);
    }

    *failed = (rc == NGX_ERROR);

    ngx_rf_resp_reader_destroy(reader);

    return n;
}


/* pools that go while their reply is read, replies that nobody wants */

static void
resp_drop(const uint8_t *data, size_t size, ngx_uint_t seed)
{
    ngx_int_t              rc;
    const char            *err;
    ngx_pool_t            *pool;
    ngx_rf_reply_t        *reply;
    const uint8_t         *last;
    ngx_rf_resp_reader_t  *reader;

    reader = ngx_rf_resp_reader_create();
    fuzz_check(reader != NULL);

    rc = NGX_OK;
    last = data + size;
    pool = NULL;

    for ( /* void */ ; data < last && rc != NGX_ERROR; data++) {

        if (pool == NULL && (seed & 1)) {
            pool = ngx_create_pool(1024, &fuzz_log);
        }

        rc = ngx_rf_resp_feed(reader, (u_char *) data, 1);

        if (rc == NGX_OK) {
            rc = ngx_rf_resp_next(reader, pool, &reply, &err);
        }

        seed = seed * 1103515245 + 12345;

        if (pool && (rc != NGX_AGAIN || (seed >> 16) % 5 == 0)) {

            if (rc == NGX_AGAIN) {
                ngx_rf_resp_cut(reader);
            }

            ngx_destroy_pool(pool);
            pool = NULL;
        }
    }

    ngx_rf_resp_reader_destroy(reader);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}


static void
resp_look(ngx_pool_t *pool, ngx_rf_reply_t *reply)
{
    size_t           len;
    ngx_str_t        json;
    ngx_uint_t       base64;
    ngx_rf_reply_t  *copy;

    copy = ngx_rf_resp_copy(pool, reply);
    fuzz_check(copy != NULL && resp_same(copy, reply));

    (void) ngx_rf_resp_outage(reply);

    for (base64 = 0; base64 < 2; base64++) {
        len = ngx_http_rf_json_value(NULL, reply, base64);
        json.data = ngx_pnalloc(pool, len);
        fuzz_check(json.data != NULL);
        fuzz_check(ngx_http_rf_json_value(json.data, reply, base64) == len);
    }

    fuzz_check(ngx_http_rf_json_reply(pool, reply, &json) == NGX_OK);
    fuzz_read(&json);

    resp_command(pool, reply);
}


/* an array of strings is a command, too, and the reply that it looks like */

static void
resp_command(ngx_pool_t *pool, ngx_rf_reply_t *reply)
{
    u_char                *p;
    size_t                 size;
    ngx_str_t             *argv;
    ngx_uint_t             i;
    const char            *err;
    ngx_rf_reply_t        *again;
    ngx_rf_resp_reader_t  *reader;

    if (reply->type != NGX_RF_REPLY_ARRAY || reply->nelts == 0) {
        return;
    }

    argv = ngx_palloc(pool, reply->nelts * sizeof(ngx_str_t));
    fuzz_check(argv != NULL);

    for (i = 0; i < reply->nelts; i++) {
        if (reply->elts[i].type != NGX_RF_REPLY_STRING) {
            return;
        }

        argv[i] = reply->elts[i].str;
    }

    size = ngx_rf_resp_size(reply->nelts, argv);
    p = ngx_pnalloc(pool, size);
    fuzz_check(p != NULL);
    fuzz_check(ngx_rf_resp_write(p, reply->nelts, argv) == p + size);

    reader = ngx_rf_resp_reader_create();
    fuzz_check(reader != NULL);
    fuzz_check(ngx_rf_resp_feed(reader, p, size) == NGX_OK);
    fuzz_check(ngx_rf_resp_next(reader, pool, &again, &err) == NGX_OK);
    fuzz_check(resp_same(reply, again));
    ngx_rf_resp_reader_destroy(reader);
}


static ngx_uint_t
resp_same(ngx_rf_reply_t *a, ngx_rf_reply_t *b)
{
    ngx_uint_t  i;

    if (a->type != b->type || a->integer != b->integer
        || !fuzz_same(&a->str, &b->str) || a->nelts != b->nelts)
    {
        return 0;
    }

    fuzz_read(&a->str);

    for (i = 0; i < a->nelts; i++) {
        if (!resp_same(&a->elts[i], &b->elts[i])) {
            return 0;
        }
    }

    return 1;
}
