/*
 * Each function runs twice over its input: without a destination it measures,
 * with one it writes, so both always agree.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_http_rf_json.h"


static size_t ngx_http_rf_json_base64(u_char *dst, ngx_str_t *s);
static size_t ngx_http_rf_json_put(u_char *dst, size_t at, const void *src,
    size_t len);
static size_t ngx_http_rf_json_escape(u_char *esc, u_char ch);
static size_t ngx_http_rf_json_utf8(u_char *p, u_char *last);


ngx_int_t
ngx_http_rf_json_reply(ngx_pool_t *pool, ngx_rf_reply_t *reply, ngx_str_t *out)
{
    out->len = ngx_http_rf_json_value(NULL, reply, 0);

    out->data = ngx_pnalloc(pool, out->len);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_http_rf_json_value(out->data, reply, 0);

    return NGX_OK;
}


size_t
ngx_http_rf_json_value(u_char *dst, ngx_rf_reply_t *reply, ngx_uint_t base64)
{
    size_t      n;
    u_char      number[NGX_INT64_LEN];
    ngx_uint_t  i;

    switch (reply->type) {

    case NGX_RF_REPLY_NIL:
        return ngx_http_rf_json_put(dst, 0, "null", 4);

    case NGX_RF_REPLY_INTEGER:
        n = ngx_sprintf(number, "%L", reply->integer) - number;
        return ngx_http_rf_json_put(dst, 0, number, n);

    case NGX_RF_REPLY_ARRAY:
        break;

    default:
        return base64 ? ngx_http_rf_json_base64(dst, &reply->str)
                      : ngx_http_rf_json_string(dst, &reply->str);
    }

    n = ngx_http_rf_json_put(dst, 0, "[", 1);

    for (i = 0; i < reply->nelts; i++) {

        if (i) {
            n += ngx_http_rf_json_put(dst, n, ",", 1);
        }

        n += ngx_http_rf_json_value(dst ? dst + n : NULL, &reply->elts[i],
                                    base64);
    }

    return n + ngx_http_rf_json_put(dst, n, "]", 1);
}


static size_t
ngx_http_rf_json_base64(u_char *dst, ngx_str_t *s)
{
    ngx_str_t  encoded;

    encoded.len = ngx_base64_encoded_length(s->len);

    if (dst) {
        *dst++ = '"';

        encoded.data = dst;
        ngx_encode_base64(&encoded, s);

        dst[encoded.len] = '"';
    }

    return encoded.len + 2;
}


size_t
ngx_http_rf_json_string(u_char *dst, ngx_str_t *s)
{
    size_t   n, len;
    u_char  *p, *last, esc[6];

    n = ngx_http_rf_json_put(dst, 0, "\"", 1);

    p = s->data;
    last = p + s->len;

    while (p < last) {

        if (*p < 0x80) {
            len = ngx_http_rf_json_escape(esc, *p++);
            n += ngx_http_rf_json_put(dst, n, esc, len);
            continue;
        }

        len = ngx_http_rf_json_utf8(p, last);

        if (len == 0) {
            n += ngx_http_rf_json_put(dst, n, "\xef\xbf\xbd", 3);
            p++;
            continue;
        }

        n += ngx_http_rf_json_put(dst, n, p, len);
        p += len;
    }

    return n + ngx_http_rf_json_put(dst, n, "\"", 1);
}


static size_t
ngx_http_rf_json_put(u_char *dst, size_t at, const void *src, size_t len)
{
    if (dst) {
        ngx_memcpy(dst + at, src, len);
    }

    return len;
}


static size_t
ngx_http_rf_json_escape(u_char *esc, u_char ch)
{
    static const u_char  hex[] = "0123456789abcdef";

    esc[0] = '\\';

    switch (ch) {

    case '"':
    case '\\':
        esc[1] = ch;
        return 2;

    case '\n':
        esc[1] = 'n';
        return 2;

    case '\r':
        esc[1] = 'r';
        return 2;

    case '\t':
        esc[1] = 't';
        return 2;
    }

    if (ch >= 0x20 && ch != 0x7f) {
        esc[0] = ch;
        return 1;
    }

    esc[1] = 'u';
    esc[2] = '0';
    esc[3] = '0';
    esc[4] = hex[ch >> 4];
    esc[5] = hex[ch & 0xf];

    return 6;
}


/*
 * The length of the UTF-8 sequence at p, which is not ASCII; 0: it is none.
 * Overlong forms, surrogates and what lies beyond U+10FFFF are none: the second
 * byte's range says so (Unicode, table 3-7).
 */

static size_t
ngx_http_rf_json_utf8(u_char *p, u_char *last)
{
    u_char  low, high;
    size_t  i, len;

    low = 0x80;
    high = 0xbf;

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;

    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        low = (p[0] == 0xe0) ? 0xa0 : 0x80;
        high = (p[0] == 0xed) ? 0x9f : 0xbf;

    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = (p[0] == 0xf0) ? 0x90 : 0x80;
        high = (p[0] == 0xf4) ? 0x8f : 0xbf;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < len || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return len;
}
