/*
 * Reads commands from JSON: an array of arguments, or an array of those.
 *
 * No tree is made of the text, and there is no recursion: what may come next
 * is known at each byte.  Numbers are taken as they are written, and strings
 * without a backslash stay where they are; so arguments are exact, NUL bytes
 * included, and cost nothing.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf_api_internal.h"


/* longest text of an error */
#define NGX_HTTP_RF_API_ERROR  128

#define NGX_HTTP_RF_API_COMMAND_EXPECTED                                      \
    "expected an array of a command and its arguments, such as "              \
    "[\"GET\",\"key\"]"

#define NGX_HTTP_RF_API_BATCH_EXPECTED                                        \
    "expected an array of commands, such as [[\"GET\",\"key\"]]"


typedef struct {
    u_char                     *start;
    u_char                     *pos;
    u_char                     *last;
    ngx_pool_t                 *pool;
    ngx_array_t                 args;       /* ngx_str_t, of all commands */
    ngx_array_t                 counts;     /* ngx_uint_t, of each command */
    ngx_uint_t                  max;        /* commands */
    ngx_str_t                  *err;
} ngx_http_rf_api_parser_t;


static ngx_int_t ngx_http_rf_api_json_batch(ngx_http_rf_api_parser_t *p);
static ngx_int_t ngx_http_rf_api_json_command(ngx_http_rf_api_parser_t *p,
    const char *expected);
static ngx_int_t ngx_http_rf_api_json_next(ngx_http_rf_api_parser_t *p,
    const char *expected);
static ngx_int_t ngx_http_rf_api_json_value(ngx_http_rf_api_parser_t *p);
static ngx_int_t ngx_http_rf_api_json_word(ngx_http_rf_api_parser_t *p,
    const char *word, ngx_str_t *value);
static ngx_int_t ngx_http_rf_api_json_number(ngx_http_rf_api_parser_t *p,
    ngx_str_t *value);
static ngx_uint_t ngx_http_rf_api_json_digits(ngx_http_rf_api_parser_t *p);
static ngx_int_t ngx_http_rf_api_json_string(ngx_http_rf_api_parser_t *p,
    ngx_str_t *value);
static ngx_int_t ngx_http_rf_api_json_unescape(ngx_http_rf_api_parser_t *p,
    ngx_str_t *value);
static u_char *ngx_http_rf_api_json_unicode(ngx_http_rf_api_parser_t *p,
    u_char *dst);
static ngx_int_t ngx_http_rf_api_json_hex(ngx_http_rf_api_parser_t *p);
static ngx_uint_t ngx_http_rf_api_json_is(ngx_http_rf_api_parser_t *p,
    u_char ch);
static ngx_int_t ngx_http_rf_api_json_error(ngx_http_rf_api_parser_t *p,
    const char *what);
static ngx_int_t ngx_http_rf_api_json_limit(ngx_http_rf_api_parser_t *p,
    const char *what, ngx_uint_t max);
static ngx_int_t ngx_http_rf_api_json_commands(ngx_http_rf_api_parser_t *p,
    ngx_http_rf_api_t *api);


ngx_int_t
ngx_http_rf_api_json(ngx_pool_t *pool, ngx_http_rf_api_t *api,
    ngx_str_t *text, ngx_str_t *err)
{
    ngx_int_t                 rc;
    ngx_http_rf_api_parser_t  p;

    p.start = text->data;
    p.pos = text->data;
    p.last = text->data + text->len;
    p.pool = pool;
    p.err = err;
    p.max = (api->kind == NGX_HTTP_RF_API_TRANSACTION)
            ? NGX_HTTP_RF_API_MULTI : NGX_HTTP_RF_API_PIPELINE;

    if (ngx_array_init(&p.args, pool, 8, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&p.counts, pool, 8, sizeof(ngx_uint_t)) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (api->kind == NGX_HTTP_RF_API_SINGLE) {
        rc = ngx_http_rf_api_json_command(&p,
                                          NGX_HTTP_RF_API_COMMAND_EXPECTED);

    } else {
        rc = ngx_http_rf_api_json_batch(&p);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    (void) ngx_http_rf_api_json_is(&p, '\0');

    if (p.pos != p.last) {
        return ngx_http_rf_api_json_error(&p, "expected the end");
    }

    return ngx_http_rf_api_json_commands(&p, api);
}


static ngx_int_t
ngx_http_rf_api_json_batch(ngx_http_rf_api_parser_t *p)
{
    ngx_int_t  rc;

    if (!ngx_http_rf_api_json_is(p, '[')) {
        return ngx_http_rf_api_json_error(p, NGX_HTTP_RF_API_BATCH_EXPECTED);
    }

    do {
        if (p->counts.nelts == p->max) {
            return ngx_http_rf_api_json_limit(p, "commands", p->max);
        }

        rc = ngx_http_rf_api_json_command(p, NGX_HTTP_RF_API_BATCH_EXPECTED);

        if (rc == NGX_OK) {
            rc = ngx_http_rf_api_json_next(p, "expected \",\" or \"]\" behind "
                                              "a command");
        }

    } while (rc == NGX_AGAIN);

    return rc;
}


static ngx_int_t
ngx_http_rf_api_json_command(ngx_http_rf_api_parser_t *p,
    const char *expected)
{
    ngx_int_t    rc;
    ngx_uint_t   first, *count;

    if (!ngx_http_rf_api_json_is(p, '[')) {
        return ngx_http_rf_api_json_error(p, expected);
    }

    if (ngx_http_rf_api_json_is(p, ']')) {
        return ngx_http_rf_api_json_error(p, "an empty command, "
                                          NGX_HTTP_RF_API_COMMAND_EXPECTED);
    }

    first = p->args.nelts;

    do {
        rc = ngx_http_rf_api_json_value(p);

        if (rc == NGX_OK) {
            rc = ngx_http_rf_api_json_next(p, "expected \",\" or \"]\" behind "
                                              "an argument");
        }

    } while (rc == NGX_AGAIN);

    if (rc != NGX_OK) {
        return rc;
    }

    count = ngx_array_push(&p->counts);
    if (count == NULL) {
        return NGX_ERROR;
    }

    *count = p->args.nelts - first;

    return NGX_OK;
}


/* NGX_AGAIN: another element follows; NGX_OK: that was the last one */

static ngx_int_t
ngx_http_rf_api_json_next(ngx_http_rf_api_parser_t *p, const char *expected)
{
    if (ngx_http_rf_api_json_is(p, ',')) {
        return NGX_AGAIN;
    }

    if (ngx_http_rf_api_json_is(p, ']')) {
        return NGX_OK;
    }

    return ngx_http_rf_api_json_error(p, expected);
}


static ngx_int_t
ngx_http_rf_api_json_value(ngx_http_rf_api_parser_t *p)
{
    ngx_str_t  *value;

    if (p->args.nelts == NGX_HTTP_RF_API_ARGS) {
        return ngx_http_rf_api_json_limit(p, "arguments",
                                          NGX_HTTP_RF_API_ARGS);
    }

    value = ngx_array_push(&p->args);
    if (value == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_rf_api_json_is(p, '"')) {
        return ngx_http_rf_api_json_string(p, value);
    }

    if (p->pos == p->last) {
        return ngx_http_rf_api_json_error(p, "expected an argument");
    }

    switch (*p->pos) {

    case 't':
        return ngx_http_rf_api_json_word(p, "true", value);

    case 'f':
        return ngx_http_rf_api_json_word(p, "false", value);

    case 'n':
        return ngx_http_rf_api_json_error(p, "null is no argument: expected "
                                          "a string, a number or a boolean");

    case '[':
    case '{':
        return ngx_http_rf_api_json_error(p, "nested too deeply: expected a "
                                          "string, a number or a boolean");

    default:
        return ngx_http_rf_api_json_number(p, value);
    }
}


static ngx_int_t
ngx_http_rf_api_json_word(ngx_http_rf_api_parser_t *p, const char *word,
    ngx_str_t *value)
{
    value->data = p->pos;
    value->len = ngx_strlen(word);

    if ((size_t) (p->last - p->pos) < value->len
        || ngx_memcmp(p->pos, word, value->len) != 0)
    {
        return ngx_http_rf_api_json_error(p, "expected an argument");
    }

    p->pos += value->len;

    return NGX_OK;
}


/* RFC 8259, 6: no leading zero, no plus sign, digits around a point */

static ngx_int_t
ngx_http_rf_api_json_number(ngx_http_rf_api_parser_t *p, ngx_str_t *value)
{
    u_char  *start;

    start = p->pos;

    if (*p->pos == '-') {
        p->pos++;
    }

    if (p->pos < p->last && *p->pos == '0') {
        p->pos++;

    } else if (!ngx_http_rf_api_json_digits(p)) {
        p->pos = start;
        return ngx_http_rf_api_json_error(p, "expected an argument");
    }

    if (p->pos < p->last && *p->pos == '.') {
        p->pos++;

        if (!ngx_http_rf_api_json_digits(p)) {
            return ngx_http_rf_api_json_error(p, "expected a digit");
        }
    }

    if (p->pos < p->last && (*p->pos == 'e' || *p->pos == 'E')) {
        p->pos++;

        if (p->pos < p->last && (*p->pos == '+' || *p->pos == '-')) {
            p->pos++;
        }

        if (!ngx_http_rf_api_json_digits(p)) {
            return ngx_http_rf_api_json_error(p, "expected a digit");
        }
    }

    value->data = start;
    value->len = p->pos - start;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_rf_api_json_digits(ngx_http_rf_api_parser_t *p)
{
    u_char  *start;

    start = p->pos;

    while (p->pos < p->last && *p->pos >= '0' && *p->pos <= '9') {
        p->pos++;
    }

    return p->pos != start;
}


/* from behind the quote */

static ngx_int_t
ngx_http_rf_api_json_string(ngx_http_rf_api_parser_t *p, ngx_str_t *value)
{
    u_char      *s;
    ngx_uint_t   escaped;

    escaped = 0;

    for (s = p->pos; s < p->last; s++) {

        if (*s == '"') {
            value->data = p->pos;
            value->len = s - p->pos;

            if (escaped) {
                return ngx_http_rf_api_json_unescape(p, value);
            }

            p->pos = s + 1;

            return NGX_OK;
        }

        if (*s < 0x20) {
            p->pos = s;
            return ngx_http_rf_api_json_error(p, "a control character in a "
                                              "string");
        }

        if (*s == '\\') {
            escaped = 1;
            s++;
        }
    }

    p->pos = p->last;

    return ngx_http_rf_api_json_error(p, "expected the end of a string");
}


/* what is written is never longer than what was read */

static ngx_int_t
ngx_http_rf_api_json_unescape(ngx_http_rf_api_parser_t *p, ngx_str_t *value)
{
    u_char  *d, *end;

    end = value->data + value->len;

    d = ngx_pnalloc(p->pool, value->len);
    if (d == NULL) {
        return NGX_ERROR;
    }

    value->data = d;

    while (p->pos < end) {

        if (*p->pos != '\\') {
            *d++ = *p->pos++;
            continue;
        }

        p->pos++;

        switch (*p->pos++) {

        case '"':
            *d++ = '"';
            break;

        case '\\':
            *d++ = '\\';
            break;

        case '/':
            *d++ = '/';
            break;

        case 'b':
            *d++ = '\b';
            break;

        case 'f':
            *d++ = '\f';
            break;

        case 'n':
            *d++ = '\n';
            break;

        case 'r':
            *d++ = '\r';
            break;

        case 't':
            *d++ = '\t';
            break;

        case 'u':
            d = ngx_http_rf_api_json_unicode(p, d);
            if (d != NULL) {
                break;
            }

            /* fall through */

        default:
            return ngx_http_rf_api_json_error(p, "a wrong escape sequence in "
                                              "a string");
        }
    }

    value->len = d - value->data;
    p->pos++;

    return NGX_OK;
}


/* from behind "\u"; NULL: no hexadecimal digits.  Half of a surrogate pair
 * becomes U+FFFD, as where text is made UTF-8 elsewhere */

static u_char *
ngx_http_rf_api_json_unicode(ngx_http_rf_api_parser_t *p, u_char *dst)
{
    u_char     *back;
    ngx_int_t   code, low;

    code = ngx_http_rf_api_json_hex(p);

    if (code == NGX_ERROR) {
        return NULL;
    }

    if (code >= 0xd800 && code <= 0xdbff
        && p->last - p->pos > 6 && p->pos[0] == '\\' && p->pos[1] == 'u')
    {
        back = p->pos;
        p->pos += 2;

        low = ngx_http_rf_api_json_hex(p);

        if (low == NGX_ERROR) {
            return NULL;
        }

        if (low >= 0xdc00 && low <= 0xdfff) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);

        } else {
            p->pos = back;
        }
    }

    if (code >= 0xd800 && code <= 0xdfff) {
        code = 0xfffd;
    }

    if (code < 0x80) {
        *dst++ = (u_char) code;

    } else if (code < 0x800) {
        *dst++ = (u_char) (0xc0 | (code >> 6));
        *dst++ = (u_char) (0x80 | (code & 0x3f));

    } else if (code < 0x10000) {
        *dst++ = (u_char) (0xe0 | (code >> 12));
        *dst++ = (u_char) (0x80 | ((code >> 6) & 0x3f));
        *dst++ = (u_char) (0x80 | (code & 0x3f));

    } else {
        *dst++ = (u_char) (0xf0 | (code >> 18));
        *dst++ = (u_char) (0x80 | ((code >> 12) & 0x3f));
        *dst++ = (u_char) (0x80 | ((code >> 6) & 0x3f));
        *dst++ = (u_char) (0x80 | (code & 0x3f));
    }

    return dst;
}


static ngx_int_t
ngx_http_rf_api_json_hex(ngx_http_rf_api_parser_t *p)
{
    ngx_int_t  code;

    if (p->last - p->pos < 4) {
        return NGX_ERROR;
    }

    code = ngx_hextoi(p->pos, 4);

    if (code != NGX_ERROR) {
        p->pos += 4;
    }

    return code;
}


/* steps over blanks, and over the character if it is the next one */

static ngx_uint_t
ngx_http_rf_api_json_is(ngx_http_rf_api_parser_t *p, u_char ch)
{
    while (p->pos < p->last
           && (*p->pos == ' ' || *p->pos == '\t'
               || *p->pos == CR || *p->pos == LF))
    {
        p->pos++;
    }

    if (p->pos == p->last || *p->pos != ch) {
        return 0;
    }

    p->pos++;

    return 1;
}


static ngx_int_t
ngx_http_rf_api_json_error(ngx_http_rf_api_parser_t *p, const char *what)
{
    u_char  *end;
    size_t   size;

    size = NGX_HTTP_RF_API_ERROR + ngx_strlen(what);

    p->err->data = ngx_pnalloc(p->pool, size);
    if (p->err->data == NULL) {
        return NGX_ERROR;
    }

    end = ngx_snprintf(p->err->data, size, "ERR malformed JSON at byte %uz: %s",
                       (size_t) (p->pos - p->start), what);

    p->err->len = end - p->err->data;

    return NGX_DECLINED;
}


/* what goes on after "max" of them */

static ngx_int_t
ngx_http_rf_api_json_limit(ngx_http_rf_api_parser_t *p, const char *what,
    ngx_uint_t max)
{
    u_char  *end;

    p->err->data = ngx_pnalloc(p->pool, NGX_HTTP_RF_API_ERROR);
    if (p->err->data == NULL) {
        return NGX_ERROR;
    }

    end = ngx_snprintf(p->err->data, NGX_HTTP_RF_API_ERROR,
                       "ERR too many %s: a request has at most %ui of them "
                       "here", what, max);

    p->err->len = end - p->err->data;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_rf_api_json_commands(ngx_http_rf_api_parser_t *p,
    ngx_http_rf_api_t *api)
{
    ngx_str_t         *args;
    ngx_uint_t         i, *counts;
    ngx_rf_op_part_t  *command;

    command = ngx_palloc(p->pool, p->counts.nelts * sizeof(ngx_rf_op_part_t));
    if (command == NULL) {
        return NGX_ERROR;
    }

    api->commands = command;
    api->ncommands = p->counts.nelts;

    args = p->args.elts;
    counts = p->counts.elts;

    for (i = 0; i < api->ncommands; i++) {
        command[i].argc = counts[i];
        command[i].argv = args;
        args += counts[i];
    }

    return NGX_OK;
}
