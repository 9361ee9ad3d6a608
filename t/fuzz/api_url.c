/*
 * The URL form of the api.  The first byte says which prefix the location has
 * and where the paths come from: from nginx's own parser of a request line, or,
 * as after a rewrite, each on its own.  The rest is the URI, behind a NUL the
 * body, and behind another the path of the rewrite.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "fuzz.h"
#include "ngx_http_rf_api_internal.h"


#define API_URL_REWRITE  4


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ngx_int_t api_url_request(ngx_http_request_t *r, ngx_str_t *uri);
static void api_url_rewrite(ngx_http_request_t *r, ngx_str_t *uri,
    ngx_str_t *path);
static void api_url_parsed(ngx_http_request_t *r, ngx_http_rf_api_t *api,
    ngx_str_t *prefix);
static ngx_str_t api_url_joined(ngx_pool_t *pool, ngx_str_t *args,
    ngx_uint_t n);
static void api_url_squash(ngx_str_t *s);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t           rc;
    ngx_str_t           uri, body, path, err, *prefix;
    ngx_uint_t          flags;
    fuzz_input_t        in;
    ngx_http_rf_api_t   api;
    ngx_http_request_t  r;

    static ngx_str_t  prefixes[] = {
        ngx_string("/"), ngx_string("/api"), ngx_string("/api/"),
        ngx_string("")
    };

    in.pos = data;
    in.last = data + size;

    ngx_memzero(&r, sizeof(ngx_http_request_t));
    ngx_memzero(&api, sizeof(ngx_http_rf_api_t));
    ngx_memzero(&fuzz_sent, sizeof(fuzz_sent_t));
    ngx_str_null(&err);

    r.pool = ngx_create_pool(1024, &fuzz_log);
    fuzz_check(r.pool != NULL);

    flags = fuzz_byte(&in);
    prefix = &prefixes[flags & 3];

    uri = fuzz_until(&in, r.pool, '\0');
    body = fuzz_until(&in, r.pool, '\0');
    path = fuzz_bytes(&in, r.pool, size);

    if (flags & API_URL_REWRITE) {
        api_url_rewrite(&r, &uri, &path);

    } else if (api_url_request(&r, &uri) != NGX_OK) {
        ngx_destroy_pool(r.pool);
        return 0;
    }

    rc = ngx_http_rf_api_parse_url(&r, &api, prefix, &err);

    fuzz_check(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        if (api.path) {
            api_url_parsed(&r, &api, prefix);
        }

        rc = ngx_http_rf_api_parse(&r, &api, &body, &err);

        fuzz_check(rc == NGX_OK || (rc == NGX_DECLINED && err.len));
    }

    if (rc == NGX_OK) {
        fuzz_check(api.ncommands >= 1 && api.commands[0].argc >= 1);

        for (size = 0; size < api.commands[0].argc; size++) {
            fuzz_read(&api.commands[0].argv[size]);
        }

    } else if (err.len) {
        fuzz_check(ngx_http_rf_api_error(&r, NGX_HTTP_BAD_REQUEST, &err)
                   == NGX_OK);
    }

    ngx_destroy_pool(r.pool);

    return 0;
}


/* as ngx_http_process_request_uri() does it, which wants a connection.  What a
 * client sends has a space or a line's end nowhere in it */

static ngx_int_t
api_url_request(ngx_http_request_t *r, ngx_str_t *uri)
{
    u_char     *p;
    size_t      size;
    ngx_buf_t   b;

    size = sizeof("GET  HTTP/1.1\r\n") - 1 + uri->len;

    p = ngx_pnalloc(r->pool, size);
    fuzz_check(p != NULL);

    ngx_memzero(&b, sizeof(ngx_buf_t));
    b.start = p;
    b.pos = p;
    b.last = ngx_sprintf(p, "GET %V HTTP/1.1\r\n", uri);
    b.end = b.last;

    if (ngx_http_parse_request_line(r, &b) != NGX_OK
        || r->uri_start == NULL)
    {
        return NGX_DECLINED;
    }

    r->uri.len = (r->args_start ? r->args_start - 1 : r->uri_end)
                 - r->uri_start;

    if (r->complex_uri || r->quoted_uri) {
        r->uri.data = ngx_pnalloc(r->pool, r->uri.len + 1);
        fuzz_check(r->uri.data != NULL);

        if (ngx_http_parse_complex_uri(r, 1) != NGX_OK) {
            return NGX_DECLINED;
        }

    } else {
        r->uri.data = r->uri_start;
    }

    r->unparsed_uri.len = r->uri_end - r->uri_start;
    r->unparsed_uri.data = r->uri_start;

    if (r->args_start && r->uri_end > r->args_start) {
        r->args.len = r->uri_end - r->args_start;
        r->args.data = r->args_start;
    }

    return NGX_OK;
}


static void
api_url_rewrite(ngx_http_request_t *r, ngx_str_t *uri, ngx_str_t *path)
{
    u_char  *p;

    r->unparsed_uri = *uri;
    r->uri = *path;

    for (p = path->data; p < path->data + path->len; p++) {

        if (*p == '?') {
            r->uri.len = p - path->data;
            r->args.data = p + 1;
            r->args.len = path->data + path->len - (p + 1);
            break;
        }
    }
}


/* whichever path was taken apart: together the arguments are nginx's, runs of
 * slashes aside */

static void
api_url_parsed(ngx_http_request_t *r, ngx_http_rf_api_t *api,
    ngx_str_t *prefix)
{
    ngx_str_t  got, expected, slash, both[2];

    got = api_url_joined(r->pool, api->path->elts, api->path->nelts);

    expected = r->uri;

    if (r->uri.len >= prefix->len
        && ngx_memcmp(r->uri.data, prefix->data, prefix->len) == 0)
    {
        expected.data += prefix->len;
        expected.len -= prefix->len;
    }

    if (expected.len && expected.data[0] == '/') {
        expected.data++;
        expected.len--;
    }

    /* a slash before both: those that an argument begins with may be gone */

    ngx_str_set(&slash, "");

    both[0] = slash;
    both[1] = got;
    got = api_url_joined(r->pool, both, 2);

    both[1] = expected;
    expected = api_url_joined(r->pool, both, 2);

    api_url_squash(&got);
    api_url_squash(&expected);

    fuzz_check(fuzz_same(&got, &expected));
}


static ngx_str_t
api_url_joined(ngx_pool_t *pool, ngx_str_t *args, ngx_uint_t n)
{
    u_char      *p;
    size_t       len;
    ngx_str_t    s;
    ngx_uint_t   i;

    for (i = 0, len = 1; i < n; i++) {
        len += args[i].len + 1;
    }

    p = ngx_pnalloc(pool, len);
    fuzz_check(p != NULL);

    s.data = p;

    for (i = 0; i < n; i++) {

        if (i) {
            *p++ = '/';
        }

        if (args[i].len) {
            p = ngx_cpymem(p, args[i].data, args[i].len);
        }
    }

    s.len = p - s.data;

    return s;
}


static void
api_url_squash(ngx_str_t *s)
{
    u_char  *p, *d;

    d = s->data;

    for (p = s->data; p < s->data + s->len; p++) {

        if (*p == '/' && d > s->data && d[-1] == '/') {
            continue;
        }

        *d++ = *p;
    }

    s->len = d - s->data;
}
