/*
 * What a request asks for.
 *
 * In the URL form each part of the path is an argument, decoded on its own, so
 * that "%2F" is a slash in one.  nginx has decoded all of the path already, and
 * chosen the location by that; so what was sent is taken apart only if it
 * leads to the same path, and otherwise (after a rewrite, or with "..") the
 * decoded path is.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf_api_internal.h"


static ngx_int_t ngx_http_rf_api_parse_path(ngx_http_request_t *r,
    ngx_array_t *args, size_t from);
static ngx_int_t ngx_http_rf_api_parse_raw(ngx_http_request_t *r,
    ngx_array_t *args, size_t from);
static ngx_uint_t ngx_http_rf_api_same_path(u_char *path, u_char *end,
    ngx_str_t *uri);
static ngx_int_t ngx_http_rf_api_parse_query(ngx_http_request_t *r,
    ngx_array_t *args);
static ngx_int_t ngx_http_rf_api_decode(ngx_http_request_t *r, u_char *start,
    u_char *end, ngx_str_t *value);
static ngx_uint_t ngx_http_rf_api_is(ngx_str_t *s, const char *word);


ngx_int_t
ngx_http_rf_api_parse_url(ngx_http_request_t *r, ngx_http_rf_api_t *api,
    ngx_str_t *prefix, ngx_str_t *err)
{
    size_t        from;
    ngx_int_t     rc;
    ngx_str_t    *first;
    ngx_array_t  *args;

    args = ngx_array_create(r->pool, 8, sizeof(ngx_str_t));
    if (args == NULL) {
        return NGX_ERROR;
    }

    /* a rewrite may leave a path without its slash */

    from = (r->uri.len && r->uri.data[0] == '/') ? 1 : 0;

    if (r->uri.len >= prefix->len
        && ngx_memcmp(r->uri.data, prefix->data, prefix->len) == 0)
    {
        from = prefix->len;

        if (from == 0 || prefix->data[from - 1] != '/') {

            if (from < r->uri.len && r->uri.data[from] != '/') {
                return NGX_DECLINED;
            }

            from++;
        }
    }

    if (from >= r->uri.len) {
        return NGX_OK;
    }

    rc = ngx_http_rf_api_parse_raw(r, args, from);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_rf_api_parse_path(r, args, from);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    first = args->elts;

    if (args->nelts == 1 && ngx_http_rf_api_is(first, "pipeline")) {
        api->kind = NGX_HTTP_RF_API_BATCH;
        return NGX_OK;
    }

    if (args->nelts == 1 && ngx_http_rf_api_is(first, "multi-exec")) {
        api->kind = NGX_HTTP_RF_API_TRANSACTION;
        return NGX_OK;
    }

    if (first->len == 0) {
        ngx_str_set(err, "ERR empty command: expected its name in the path, "
                    "such as /get/key");
        return NGX_DECLINED;
    }

    api->path = args;

    return NGX_OK;
}


/* the path as nginx has it */

static ngx_int_t
ngx_http_rf_api_parse_path(ngx_http_request_t *r, ngx_array_t *args,
    size_t from)
{
    u_char     *p, *last;
    ngx_str_t  *value;

    p = r->uri.data + from;
    last = r->uri.data + r->uri.len;

    for ( ;; ) {
        value = ngx_array_push(args);
        if (value == NULL) {
            return NGX_ERROR;
        }

        value->data = p;

        while (p < last && *p != '/') {
            p++;
        }

        value->len = p - value->data;

        if (p == last) {
            return NGX_OK;
        }

        p++;
    }
}


/* the path as it was sent; NGX_DECLINED if it is not the same */

static ngx_int_t
ngx_http_rf_api_parse_raw(ngx_http_request_t *r, ngx_array_t *args,
    size_t from)
{
    u_char     *p, *last, *start, *path, *d;
    ngx_str_t  *value;

    p = r->unparsed_uri.data;
    last = p + r->unparsed_uri.len;

    path = ngx_pnalloc(r->pool, r->unparsed_uri.len + 1);
    if (path == NULL) {
        return NGX_ERROR;
    }

    d = path;

    if (p == last || *p != '/') {
        return NGX_DECLINED;
    }

    while (p < last && *p == '/') {
        *d++ = *p++;
        start = p;

        while (p < last && *p != '/' && *p != '?' && *p != '#') {
            p++;
        }

        value = NULL;

        if ((size_t) (d - path) >= from) {

            if (args->nelts == 0
                && ((size_t) (d - path) != from
                    || ngx_memcmp(path, r->uri.data, from) != 0))
            {
                return NGX_DECLINED;
            }

            value = ngx_array_push(args);
            if (value == NULL) {
                return NGX_ERROR;
            }

            value->data = d;
        }

        ngx_unescape_uri(&d, &start, p - start, 0);

        if (value) {
            value->len = d - value->data;
        }
    }

    value = args->elts;

    if (args->nelts && value->len
        && ngx_http_rf_api_same_path(path, d, &r->uri))
    {
        return NGX_OK;
    }

    args->nelts = 0;

    return NGX_DECLINED;
}


/* nginx may have made one slash of several: of an argument that begins with
 * one, or of two around an empty argument */

static ngx_uint_t
ngx_http_rf_api_same_path(u_char *path, u_char *end, ngx_str_t *uri)
{
    u_char  *p, *last;

    p = uri->data;
    last = p + uri->len;

    /* what was sent begins with a slash */

    if (p == last || *p != '/') {
        return 0;
    }

    for ( /* void */ ; path < end; path++) {

        if (p < last && *path == *p) {
            p++;
            continue;
        }

        if (*path != '/' || path[-1] != '/') {
            return 0;
        }
    }

    return p == last;
}


ngx_int_t
ngx_http_rf_api_parse(ngx_http_request_t *r, ngx_http_rf_api_t *api,
    ngx_str_t *body, ngx_str_t *err)
{
    ngx_int_t   rc;
    ngx_str_t  *value;

    if (api->path == NULL) {
        return ngx_http_rf_api_json(r->pool, api, body, err);
    }

    if (body->len) {
        value = ngx_array_push(api->path);
        if (value == NULL) {
            return NGX_ERROR;
        }

        *value = *body;
    }

    rc = ngx_http_rf_api_parse_query(r, api->path);
    if (rc != NGX_OK) {
        return rc;
    }

    api->commands = ngx_palloc(r->pool, sizeof(ngx_rf_op_part_t));
    if (api->commands == NULL) {
        return NGX_ERROR;
    }

    api->ncommands = 1;
    api->commands->argc = api->path->nelts;
    api->commands->argv = api->path->elts;

    return NGX_OK;
}


/* name and value are an argument each: EX=100, NX */

static ngx_int_t
ngx_http_rf_api_parse_query(ngx_http_request_t *r, ngx_array_t *args)
{
    u_char     *p, *last, *end, *equal;
    ngx_int_t   rc;
    ngx_str_t   name, value, *arg;

    p = r->args.data;
    last = p + r->args.len;

    for ( /* void */ ; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;
        }

        equal = ngx_strlchr(p, end, '=');

        rc = ngx_http_rf_api_decode(r, p, equal ? equal : end, &name);
        if (rc != NGX_OK) {
            return rc;
        }

        if (name.len == 0 || ngx_http_rf_api_is(&name, "_token")) {
            continue;
        }

        arg = ngx_array_push(args);
        if (arg == NULL) {
            return NGX_ERROR;
        }

        *arg = name;

        if (equal == NULL || equal + 1 == end) {
            continue;
        }

        rc = ngx_http_rf_api_decode(r, equal + 1, end, &value);
        if (rc != NGX_OK) {
            return rc;
        }

        arg = ngx_array_push(args);
        if (arg == NULL) {
            return NGX_ERROR;
        }

        *arg = value;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_rf_api_decode(ngx_http_request_t *r, u_char *start, u_char *end,
    ngx_str_t *value)
{
    u_char  *src, *dst, *p;
    size_t   len;

    len = end - start;

    src = ngx_pnalloc(r->pool, 2 * len + 1);
    if (src == NULL) {
        return NGX_ERROR;
    }

    dst = src + len;
    value->data = dst;

    for (p = start; p < end; p++) {
        src[p - start] = (*p == '+') ? ' ' : *p;
    }

    ngx_unescape_uri(&dst, &src, len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_rf_api_is(ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_memcmp(s->data, word, s->len) == 0;
}
