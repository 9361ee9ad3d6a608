/*
 * The body of a request to the api.  The first byte says of which kind the
 * request is and whether its reply is to be encoded; the rest is the JSON.
 *
 * What was parsed is written as JSON again, as the reply of a Redis that echoes
 * each command: cJSON must find the same in it, and the parser too.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <cjson/cJSON.h>
#include "fuzz.h"
#include "ngx_http_rf_api_internal.h"
#include "ngx_http_rf_json.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void api_json_parsed(ngx_http_request_t *r, ngx_http_rf_api_t *api);
static void api_json_answer(ngx_http_request_t *r, ngx_http_rf_api_t *api);
static void api_json_answer_error(ngx_http_request_t *r, ngx_str_t *err);
static void api_json_result(ngx_http_request_t *r, cJSON *item,
    ngx_rf_op_part_t *command, ngx_uint_t base64);
static ngx_uint_t api_json_plain(ngx_str_t *s);
static void api_json_again(ngx_http_request_t *r, ngx_http_rf_api_t *api);
static ngx_str_t api_json_write(ngx_pool_t *pool, ngx_http_rf_api_t *api);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t           rc;
    ngx_str_t           text, err;
    ngx_uint_t          flags;
    fuzz_input_t        in;
    ngx_http_rf_api_t   api;
    ngx_http_request_t  r;

    in.pos = data;
    in.last = data + size;

    ngx_memzero(&r, sizeof(ngx_http_request_t));
    ngx_memzero(&api, sizeof(ngx_http_rf_api_t));
    ngx_memzero(&fuzz_sent, sizeof(fuzz_sent_t));
    ngx_str_null(&err);

    r.pool = ngx_create_pool(1024, &fuzz_log);
    fuzz_check(r.pool != NULL);

    flags = fuzz_byte(&in);
    api.kind = (flags & 3) % 3;
    api.base64 = (flags & 4) ? 1 : 0;

    text = fuzz_bytes(&in, r.pool, size);

    rc = ngx_http_rf_api_json(r.pool, &api, &text, &err);

    fuzz_check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        api_json_parsed(&r, &api);
        api_json_answer(&r, &api);
        api_json_again(&r, &api);

    } else {
        api_json_answer_error(&r, &err);
    }

    ngx_destroy_pool(r.pool);

    return 0;
}


static void
api_json_parsed(ngx_http_request_t *r, ngx_http_rf_api_t *api)
{
    ngx_uint_t  i, j;

    fuzz_check(api->ncommands >= 1);
    fuzz_check(api->kind != NGX_HTTP_RF_API_SINGLE || api->ncommands == 1);

    for (i = 0; i < api->ncommands; i++) {
        fuzz_check(api->commands[i].argc >= 1);

        for (j = 0; j < api->commands[i].argc; j++) {
            fuzz_read(&api->commands[i].argv[j]);
        }
    }
}


static void
api_json_answer(ngx_http_request_t *r, ngx_http_rf_api_t *api)
{
    cJSON           *json, *item;
    ngx_uint_t       i, j;
    ngx_rf_op_t      op;
    ngx_rf_reply_t  *replies, all;

    replies = ngx_pcalloc(r->pool, api->ncommands * sizeof(ngx_rf_reply_t));
    api->replies = ngx_pcalloc(r->pool,
                               api->ncommands * sizeof(ngx_rf_reply_t *));

    for (i = 0; i < api->ncommands; i++) {
        replies[i].type = NGX_RF_REPLY_ARRAY;
        replies[i].nelts = api->commands[i].argc;
        replies[i].elts = ngx_pcalloc(r->pool, replies[i].nelts
                                               * sizeof(ngx_rf_reply_t));

        for (j = 0; j < replies[i].nelts; j++) {
            replies[i].elts[j].type = NGX_RF_REPLY_STRING;
            replies[i].elts[j].str = api->commands[i].argv[j];
        }

        if (api->kind == NGX_HTTP_RF_API_BATCH) {
            api->replies[i] = &replies[i];
        }
    }

    ngx_memzero(&all, sizeof(ngx_rf_reply_t));
    ngx_memzero(&op, sizeof(ngx_rf_op_t));

    all.type = NGX_RF_REPLY_ARRAY;
    all.nelts = api->ncommands;
    all.elts = replies;

    op.rc = NGX_OK;
    op.reply = (api->kind == NGX_HTTP_RF_API_SINGLE) ? replies : &all;

    api->ops = &op;
    api->nops = 1;

    fuzz_check(ngx_http_rf_api_answer(r, api) == NGX_OK);
    fuzz_check(fuzz_sent.status == NGX_HTTP_OK);

    json = cJSON_ParseWithLength((char *) fuzz_sent.body.data,
                                 fuzz_sent.body.len);
    fuzz_check(json != NULL);

    if (api->kind == NGX_HTTP_RF_API_SINGLE) {
        api_json_result(r, json, api->commands, api->base64);

    } else {
        fuzz_check(cJSON_IsArray(json));

        i = 0;

        cJSON_ArrayForEach(item, json) {
            fuzz_check(i < api->ncommands);
            api_json_result(r, item, &api->commands[i++], api->base64);
        }

        fuzz_check(i == api->ncommands);
    }

    cJSON_Delete(json);
}


static void
api_json_answer_error(ngx_http_request_t *r, ngx_str_t *err)
{
    cJSON  *json;

    fuzz_check(err->len > 4 && ngx_strncmp(err->data, "ERR ", 4) == 0);
    fuzz_check(ngx_http_rf_api_error(r, NGX_HTTP_BAD_REQUEST, err) == NGX_OK);

    json = cJSON_ParseWithLength((char *) fuzz_sent.body.data,
                                 fuzz_sent.body.len);

    fuzz_check(json != NULL);
    fuzz_check(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json,
                                                               "error")));

    cJSON_Delete(json);
}


static void
api_json_result(ngx_http_request_t *r, cJSON *item, ngx_rf_op_part_t *command,
    ngx_uint_t base64)
{
    char        *value;
    cJSON       *result, *arg;
    ngx_str_t    got, decoded;
    ngx_uint_t   i;

    result = cJSON_GetObjectItemCaseSensitive(item, "result");
    fuzz_check(cJSON_IsArray(result));

    i = 0;

    cJSON_ArrayForEach(arg, result) {
        fuzz_check(i < command->argc);

        value = cJSON_GetStringValue(arg);
        fuzz_check(value != NULL);

        got.data = (u_char *) value;
        got.len = ngx_strlen(value);

        if (base64) {
            decoded.data = ngx_pnalloc(r->pool,
                                       ngx_base64_decoded_length(got.len) + 1);

            fuzz_check(ngx_decode_base64(&decoded, &got) == NGX_OK);
            fuzz_check(fuzz_same(&decoded, &command->argv[i]));

        } else if (api_json_plain(&command->argv[i])) {
            fuzz_check(fuzz_same(&got, &command->argv[i]));
        }

        i++;
    }

    fuzz_check(i == command->argc);
}


/* nothing that the reply replaces, and no NUL, where cJSON's strings end */

static ngx_uint_t
api_json_plain(ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] == '\0' || s->data[i] >= 0x80) {
            return 0;
        }
    }

    return 1;
}


/* parsed, written, parsed, written: the same text.  Replacing bytes that are no
 * UTF-8 is done the first time */

static void
api_json_again(ngx_http_request_t *r, ngx_http_rf_api_t *api)
{
    ngx_str_t          text, again, err;
    ngx_uint_t         i;
    ngx_http_rf_api_t  second;

    ngx_memzero(&second, sizeof(ngx_http_rf_api_t));
    second.kind = api->kind;

    text = api_json_write(r->pool, api);

    fuzz_check(ngx_http_rf_api_json(r->pool, &second, &text, &err) == NGX_OK);
    fuzz_check(second.ncommands == api->ncommands);

    for (i = 0; i < api->ncommands; i++) {
        fuzz_check(second.commands[i].argc == api->commands[i].argc);
    }

    again = api_json_write(r->pool, &second);

    fuzz_check(fuzz_same(&text, &again));
}


static ngx_str_t
api_json_write(ngx_pool_t *pool, ngx_http_rf_api_t *api)
{
    u_char            *p;
    size_t             len;
    ngx_str_t          text;
    ngx_uint_t         i, j;
    ngx_rf_op_part_t  *command;

    len = 2;

    for (i = 0; i < api->ncommands; i++) {
        len += 3;

        for (j = 0; j < api->commands[i].argc; j++) {
            len += 1 + ngx_http_rf_json_string(NULL,
                                               &api->commands[i].argv[j]);
        }
    }

    p = ngx_pnalloc(pool, len);
    fuzz_check(p != NULL);
    text.data = p;

    if (api->kind != NGX_HTTP_RF_API_SINGLE) {
        *p++ = '[';
    }

    for (i = 0; i < api->ncommands; i++) {
        command = &api->commands[i];

        if (i) {
            *p++ = ',';
        }

        *p++ = '[';

        for (j = 0; j < command->argc; j++) {
            if (j) {
                *p++ = ',';
            }

            p += ngx_http_rf_json_string(p, &command->argv[j]);
        }

        *p++ = ']';
    }

    if (api->kind != NGX_HTTP_RF_API_SINGLE) {
        *p++ = ']';
    }

    text.len = p - text.data;

    return text;
}
