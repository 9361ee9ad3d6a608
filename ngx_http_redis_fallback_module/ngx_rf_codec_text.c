/*
 * Owns what the codec has to know of JSON as text, beside cJSON: which strings
 * it can hold, what to refuse before parsing, exact numbers.  Refuses to know
 * records.
 */

#include "ngx_rf_codec_parts.h"


/* cJSON's buffer for a number, until 1.7.18 */
#define NGX_RF_CODEC_DIGITS_MAX  63

/* eight of a byte */
#define NGX_RF_CODEC_EACH(c)     ((c) * 0x0101010101010101ULL)


typedef struct {
    u_char               *last;
    const char           *why;
    ngx_uint_t            depth;
    ngx_uint_t            nuls;
} ngx_rf_codec_scan_t;


static size_t ngx_rf_codec_utf8(u_char *p, u_char *last);
static u_char *ngx_rf_codec_scan_value(ngx_rf_codec_scan_t *scan, u_char *p);
static u_char *ngx_rf_codec_scan_container(ngx_rf_codec_scan_t *scan,
    u_char *p);
static u_char *ngx_rf_codec_scan_string(ngx_rf_codec_scan_t *scan, u_char *p);
static u_char *ngx_rf_codec_scan_escape(ngx_rf_codec_scan_t *scan, u_char *p);
static ngx_int_t ngx_rf_codec_scan_code(ngx_rf_codec_scan_t *scan, u_char *p);
static u_char *ngx_rf_codec_scan_number(ngx_rf_codec_scan_t *scan, u_char *p);
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

            p = ngx_rf_codec_skip_plain(p, last);

            if (p == last) {
                break;
            }

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


u_char *
ngx_rf_codec_skip_plain(u_char *p, u_char *last)
{
    uint64_t  w, odd;

    for ( /* void */ ; last - p >= 8; p += 8) {
        ngx_memcpy(&w, p, 8);

        /* bit 7 of bytes that are below 0x20, a quote, a backslash, or beyond
         * ASCII; a borrow that sets others' comes from one of them */

        odd = (w - NGX_RF_CODEC_EACH(0x20))
              | ((w ^ NGX_RF_CODEC_EACH('"')) - NGX_RF_CODEC_EACH(1))
              | ((w ^ NGX_RF_CODEC_EACH('\\')) - NGX_RF_CODEC_EACH(1))
              | w;

        if (odd & NGX_RF_CODEC_EACH(0x80)) {
            break;
        }
    }

    return p;
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
    u_char               *p, *last;
    ngx_rf_codec_scan_t   scan;

    last = data + len;

    scan.last = last;
    scan.nuls = 0;
    scan.depth = 0;
    scan.why = "not valid JSON";

    p = data;

    if (len >= 3 && ngx_memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
    }

    p = ngx_rf_codec_skip_space(p, last);

    if (p == last) {
        *why = "empty file";
        return NGX_DECLINED;
    }

    if (*p != '{') {
        *why = *p ? "not a JSON object" : "zero bytes in the text";
        return NGX_DECLINED;
    }

    p = ngx_rf_codec_scan_value(&scan, p);

    if (p == NULL) {
        *why = scan.why;
        return NGX_DECLINED;
    }

    if (ngx_rf_codec_skip_space(p, last) != last) {
        *why = "data after the JSON object";
        return NGX_DECLINED;
    }

    *nuls = scan.nuls;

    return NGX_OK;
}


/* these return the end of what begins at p, or NULL */

static u_char *
ngx_rf_codec_scan_value(ngx_rf_codec_scan_t *scan, u_char *p)
{
    ngx_uint_t   i;

    static ngx_str_t  words[] = {
        ngx_string("true"), ngx_string("false"), ngx_string("null")
    };

    p = ngx_rf_codec_skip_space(p, scan->last);

    if (p == scan->last) {
        return NULL;
    }

    switch (*p) {

    case '{':
    case '[':
        return ngx_rf_codec_scan_container(scan, p);

    case '"':
        return ngx_rf_codec_scan_string(scan, p);

    case '\0':
        scan->why = "zero bytes in the text";
        return NULL;
    }

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((size_t) (scan->last - p) >= words[i].len
            && ngx_memcmp(p, words[i].data, words[i].len) == 0)
        {
            return p + words[i].len;
        }
    }

    return ngx_rf_codec_scan_number(scan, p);
}


static u_char *
ngx_rf_codec_scan_container(ngx_rf_codec_scan_t *scan, u_char *p)
{
    u_char      *last, end;
    ngx_uint_t   first;

    last = scan->last;
    end = (*p == '{') ? '}' : ']';

    if (++scan->depth > NGX_RF_CODEC_DEPTH_MAX) {
        scan->why = "nested too deep";
        return NULL;
    }

    p++;

    for (first = 1; /* void */ ; first = 0) {

        p = ngx_rf_codec_skip_space(p, last);

        if (p < last && *p == end && first) {
            break;
        }

        if (end == '}') {
            p = ngx_rf_codec_scan_string(scan, p);
            if (p == NULL) {
                return NULL;
            }

            p = ngx_rf_codec_skip_space(p, last);

            if (p == last || *p++ != ':') {
                return NULL;
            }
        }

        p = ngx_rf_codec_scan_value(scan, p);
        if (p == NULL) {
            return NULL;
        }

        p = ngx_rf_codec_skip_space(p, last);

        if (p == last || (*p != ',' && *p != end)) {
            return NULL;
        }

        if (*p == end) {
            break;
        }

        p++;
    }

    scan->depth--;

    return p + 1;
}


static u_char *
ngx_rf_codec_scan_string(ngx_rf_codec_scan_t *scan, u_char *p)
{
    if (p == scan->last || *p != '"') {
        return NULL;
    }

    for (p++; p < scan->last; /* void */ ) {

        switch (*p) {

        case '"':
            return p + 1;

        case '\0':
            scan->why = "zero bytes in the text";
            return NULL;

        case '\\':
            p = ngx_rf_codec_scan_escape(scan, p);
            if (p == NULL) {
                return NULL;
            }

            break;

        default:
            p++;
        }
    }

    return NULL;
}


static u_char *
ngx_rf_codec_scan_escape(ngx_rf_codec_scan_t *scan, u_char *p)
{
    ngx_int_t  code;

    if (scan->last - p < 2) {
        return NULL;
    }

    if (p[1] != 'u') {
        return ngx_strlchr((u_char *) "\"\\/bfnrt", (u_char *) "\"\\/bfnrt" + 8,
                           p[1])
               ? p + 2 : NULL;
    }

    code = ngx_rf_codec_scan_code(scan, p);

    if (code == 0) {
        scan->nuls++;
    }

    if (code >= 0xd800 && code <= 0xdbff) {
        p += 6;
        code = ngx_rf_codec_scan_code(scan, p);

        return (code >= 0xdc00 && code <= 0xdfff) ? p + 6 : NULL;
    }

    if (code == NGX_ERROR || (code >= 0xdc00 && code <= 0xdfff)) {
        return NULL;
    }

    return p + 6;
}


/* what "\uXXXX" stands for */

static ngx_int_t
ngx_rf_codec_scan_code(ngx_rf_codec_scan_t *scan, u_char *p)
{
    if (scan->last - p < 6 || p[0] != '\\' || p[1] != 'u') {
        return NGX_ERROR;
    }

    return ngx_hextoi(p + 2, 4);
}


static u_char *
ngx_rf_codec_scan_number(ngx_rf_codec_scan_t *scan, u_char *p)
{
    u_char      *start;
    ngx_uint_t   part;

    start = p;

    if (*p == '-') {
        p++;
    }

    /* digits, then ".digits", then "e+digits" */

    for (part = 0; part < 3; part++) {

        if (part == 1) {
            if (p == scan->last || *p != '.') {
                continue;
            }

            p++;

        } else if (part == 2) {
            if (p == scan->last || (*p != 'e' && *p != 'E')) {
                continue;
            }

            p++;

            if (p < scan->last && (*p == '+' || *p == '-')) {
                p++;
            }
        }

        if (p == scan->last || *p < '0' || *p > '9') {
            return NULL;
        }

        while (p < scan->last && *p >= '0' && *p <= '9') {
            p++;
        }
    }

    /* cJSON would take only a part of it */

    return (p - start < NGX_RF_CODEC_DIGITS_MAX) ? p : NULL;
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
