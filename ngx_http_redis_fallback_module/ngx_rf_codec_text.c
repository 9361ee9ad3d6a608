/*
 * Owns what the codec has to know of JSON as text, beside cJSON: which strings
 * it can hold, what to refuse before parsing, exact numbers.  Refuses to know
 * records.
 */

#include "ngx_rf_codec_parts.h"


static size_t ngx_rf_codec_utf8(u_char *p, u_char *last);
static u_char *ngx_rf_codec_skip(u_char *p, u_char *last);


ngx_uint_t
ngx_rf_codec_plain(ngx_str_t *s, ngx_uint_t n)
{
    u_char  *p, *last;
    size_t   len;

    for ( /* void */ ; n; n--, s++) {

        p = s->data;
        last = p + s->len;

        while (p < last) {
            if (*p < 0x80) {
                if (*p == '\0') {
                    return 0;
                }

                p++;
                continue;
            }

            len = ngx_rf_codec_utf8(p, last);
            if (len == 0) {
                return 0;
            }

            p += len;
        }
    }

    return 1;
}


/* length of the character at p beyond ASCII; 0: no shortest-form character,
 * a surrogate, or above U+10FFFF (RFC 3629, section 4) */

static size_t
ngx_rf_codec_utf8(u_char *p, u_char *last)
{
    u_char  low, high;
    size_t  len, i;

    low = 0x80;
    high = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        len = 2;

    } else if (*p >= 0xe0 && *p <= 0xef) {
        len = 3;
        low = (*p == 0xe0) ? 0xa0 : 0x80;
        high = (*p == 0xed) ? 0x9f : 0xbf;

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        len = 4;
        low = (*p == 0xf0) ? 0x90 : 0x80;
        high = (*p == 0xf4) ? 0x8f : 0xbf;

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


ngx_int_t
ngx_rf_codec_scan(u_char *data, size_t len, ngx_uint_t *nuls,
    const char **why)
{
    u_char      *p, *last;
    ngx_uint_t   depth, string;

    *nuls = 0;
    depth = 0;
    string = 0;

    p = data;
    last = p + len;

    if (len == 0) {
        *why = "empty file";
        return NGX_DECLINED;
    }

    for ( /* void */ ; p < last; p++) {

        switch (*p) {

        case '\0':
            *why = "zero bytes in the text";
            return NGX_DECLINED;

        case '"':
            string = !string;
            break;

        case '\\':
            if (last - p >= 6 && ngx_strncmp(p, "\\u0000", 6) == 0) {
                (*nuls)++;
            }

            if (last - p > 1 && p[1] != '\0') {
                p++;
            }

            break;

        case '{':
        case '[':
            if (!string && ++depth > NGX_RF_CODEC_DEPTH_MAX) {
                *why = "nested too deep";
                return NGX_DECLINED;
            }

            break;

        case '}':
        case ']':
            if (!string && depth) {
                depth--;
            }

            break;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_codec_hide_nuls(u_char *data, size_t len, u_char **text,
    const char **why)
{
    u_char  *p, *to, *last;

    if (memchr(data, NGX_RF_CODEC_NUL, len)) {
        *why = "not valid UTF-8";
        return NGX_DECLINED;
    }

    *text = malloc(len + 1);
    if (*text == NULL) {
        return NGX_ERROR;
    }

    to = *text;
    last = data + len;

    for (p = data; p < last; p++) {

        if (*p != '\\' || last - p < 2) {
            *to++ = *p;
            continue;
        }

        if (last - p >= 6 && ngx_strncmp(p, "\\u0000", 6) == 0) {
            *to++ = NGX_RF_CODEC_NUL;
            p += 5;
            continue;
        }

        *to++ = *p++;
        *to++ = *p;
    }

    *to = '\0';

    return NGX_OK;
}


ngx_uint_t
ngx_rf_codec_raw(u_char *text, size_t len, const char *name, ngx_str_t *raw)
{
    u_char  *p, *last, *key, *end;

    last = text + len;

    p = ngx_strlchr(text, last, '{');

    while (p && p < last && *p != '}') {
        key = ngx_rf_codec_skip_space(p + 1, last);
        end = ngx_rf_codec_skip(key, last);

        p = ngx_rf_codec_skip_space(end, last);     /* the colon */

        if (p >= last) {
            return 0;
        }

        raw->data = ngx_rf_codec_skip_space(p + 1, last);
        p = ngx_rf_codec_skip(raw->data, last);
        raw->len = p - raw->data;

        if ((size_t) (end - key) == ngx_strlen(name) + 2
            && ngx_strncmp(key + 1, name, ngx_strlen(name)) == 0)
        {
            return 1;
        }

        p = ngx_rf_codec_skip_space(p, last);       /* a comma or the end */
    }

    return 0;
}


/* the end of the value at p */

static u_char *
ngx_rf_codec_skip(u_char *p, u_char *last)
{
    ngx_uint_t  depth, string;

    depth = 0;
    string = 0;

    for ( /* void */ ; p < last; p++) {

        if (string) {
            if (*p == '\\') {
                p++;

            } else if (*p == '"') {
                string = 0;

                if (depth == 0) {
                    return ngx_min(p + 1, last);
                }
            }

            continue;
        }

        switch (*p) {

        case '"':
            string = 1;
            break;

        case '{':
        case '[':
            depth++;
            break;

        case '}':
        case ']':
            if (depth == 0) {
                return p;
            }

            if (--depth == 0) {
                return p + 1;
            }

            break;

        case ',':
        case ':':
        case ' ':
        case '\t':
        case CR:
        case LF:
            if (depth == 0) {
                return p;
            }

            break;
        }
    }

    return last;
}


u_char *
ngx_rf_codec_skip_space(u_char *p, u_char *last)
{
    while (p < last && *p <= ' ') {
        p++;
    }

    return p;
}


void
ngx_rf_codec_number(double d, char *text)
{
    (void) snprintf(text, NGX_RF_CODEC_NUMBER, "%.15g", d);

    if (strtod(text, NULL) != d) {
        (void) snprintf(text, NGX_RF_CODEC_NUMBER, "%.17g", d);
    }
}


ngx_int_t
ngx_rf_codec_uint(const char *s, int base, uint64_t *n)
{
    char                *end;
    unsigned long long   u;

    /* strtoull() would take a sign, a space or a "0x" */

    if (strspn(s, base == 16 ? "0123456789abcdefABCDEF" : "0123456789")
        != ngx_strlen(s)
        || *s == '\0')
    {
        return NGX_DECLINED;
    }

    ngx_set_errno(0);

    u = strtoull(s, &end, base);

    if (ngx_errno != 0 || *end != '\0') {
        return NGX_DECLINED;
    }

    *n = u;

    return NGX_OK;
}
