/*
 * What the module's codec, file and journal rooms need of nginx's core, and
 * nothing more.  A tree of nginx as it comes for building modules (Debian's
 * nginx-dev) has headers only, so that there is no source to compile; the
 * formats are those of RFC 1321, RFC 4648 and CRC-32.
 */

#include "rf_files.h"
#include <ngx_md5.h>
#include <ngx_crc32.h>
#include <openssl/evp.h>


uint32_t  ngx_crc32_table256[256];


static void rf_files_nginx_init(void) __attribute__((constructor));
static u_char *rf_files_nginx_put(u_char *p, u_char *last, const void *data,
    size_t len);


static EVP_MD_CTX  *rf_files_md5;


static void
rf_files_nginx_init(void)
{
    uint32_t    c;
    ngx_uint_t  i, k;

    for (i = 0; i < 256; i++) {
        c = i;

        for (k = 0; k < 8; k++) {
            c = (c & 1) ? 0xedb88320 ^ (c >> 1) : c >> 1;
        }

        ngx_crc32_table256[i] = c;
    }
}


/* one digest at a time; nginx's context is not used */

void
ngx_md5_init(ngx_md5_t *ctx)
{
    if (rf_files_md5 == NULL) {
        rf_files_md5 = EVP_MD_CTX_new();
    }

    if (rf_files_md5 == NULL
        || EVP_DigestInit_ex(rf_files_md5, EVP_md5(), NULL) != 1)
    {
        rf_files_say("libcrypto has no MD5");
        exit(RF_FILES_ERROR);
    }
}


void
ngx_md5_update(ngx_md5_t *ctx, const void *data, size_t size)
{
    (void) EVP_DigestUpdate(rf_files_md5, data, size);
}


void
ngx_md5_final(u_char result[16], ngx_md5_t *ctx)
{
    (void) EVP_DigestFinal_ex(rf_files_md5, result, NULL);
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    static const char  hex[] = "0123456789abcdef";

    while (len--) {
        *dst++ = hex[*src >> 4];
        *dst++ = hex[*src++ & 0xf];
    }

    return dst;
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    u_char     c;
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {

        if (value > (NGX_MAX_INT_T_VALUE >> 4)) {
            return NGX_ERROR;
        }

        c = *line | 0x20;

        if (*line >= '0' && *line <= '9') {
            value = value * 16 + (*line - '0');

        } else if (c >= 'a' && c <= 'f') {
            value = value * 16 + (c - 'a' + 10);

        } else {
            return NGX_ERROR;
        }
    }

    return value;
}


void
ngx_encode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    /* the NUL is the caller's room, too: no more than encoded_length() + 1 */

    dst->len = EVP_EncodeBlock(dst->data, src->data, src->len);
}


/* as nginx does it: ends at a "=", padding may be missing */

ngx_int_t
ngx_decode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    u_char      *p;
    size_t       i, len;
    uint32_t     bits;
    const char  *c;

    for (len = 0; len < src->len && src->data[len] != '='; len++) {
        if (src->data[len] == '\0' || !strchr(digits, src->data[len])) {
            return NGX_ERROR;
        }
    }

    if (len % 4 == 1) {
        return NGX_ERROR;
    }

    p = dst->data;
    bits = 0;

    for (i = 0; i < len; i++) {
        c = strchr(digits, src->data[i]);
        bits = bits << 6 | (uint32_t) (c - digits);

        /* 2, 3 and 4 digits end a byte */

        if (i % 4) {
            *p++ = (u_char) (bits >> (6 - 2 * (i % 4)));
        }
    }

    dst->len = p - dst->data;

    return NGX_OK;
}


u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, (u_char *) -1, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_slprintf(u_char *buf, u_char *last, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    return p;
}


/* %V, %s and %ui: there are no others in these rooms */

u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    char         number[NGX_INT64_LEN + 1];
    ngx_str_t   *v;
    const char  *s;

    for ( /* void */ ; *fmt && buf < last; fmt++) {

        if (*fmt != '%') {
            *buf++ = (u_char) *fmt;
            continue;
        }

        switch (*++fmt) {

        case 'V':
            v = va_arg(args, ngx_str_t *);
            buf = rf_files_nginx_put(buf, last, v->data, v->len);
            break;

        case 's':
            s = va_arg(args, const char *);
            buf = rf_files_nginx_put(buf, last, s, strlen(s));
            break;

        case 'u':
            if (*++fmt == 'i') {
                (void) snprintf(number, sizeof(number), "%lu",
                                (unsigned long) va_arg(args, ngx_uint_t));
                buf = rf_files_nginx_put(buf, last, number, strlen(number));
                break;
            }

            /* fall through */

        default:
            rf_files_say("a format that is not known here");
            abort();
        }
    }

    return buf;
}


static u_char *
rf_files_nginx_put(u_char *p, u_char *last, const void *data, size_t len)
{
    return ngx_cpymem(p, data, ngx_min(len, (size_t) (last - p)));
}
