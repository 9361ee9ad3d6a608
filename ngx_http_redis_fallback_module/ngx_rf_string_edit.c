/*
 * Strings: commands that change a part of a value.  Their effect adds up with
 * whatever Redis holds, so on a key that was not replaced locally they are
 * recorded as changes, and combined: a million INCRs are one number.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_string.h"
#include "ngx_rf_string_internal.h"


/* APPENDs are combined up to this length: each time all of it is copied */
#define NGX_RF_STRING_COMBINE   4096

/* what a sum of two INCRBYFLOATs may be off by: less than anybody reads */
#define NGX_RF_STRING_LOSS      1e-12L


static ngx_int_t ngx_rf_string_amount(ngx_rf_local_t *l, int64_t *n);
static ngx_uint_t ngx_rf_string_add(int64_t a, int64_t b, int64_t *sum);
static ngx_uint_t ngx_rf_string_sum_float(ngx_rf_entry_t *e,
    ngx_str_t *arg, u_char *buf);


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_string_amount(ngx_rf_local_t *l, int64_t *n)
{
    ngx_int_t  rc;

    switch (l->command->id) {

    case NGX_RF_CMD_INCR:
        *n = 1;
        return NGX_OK;

    case NGX_RF_CMD_DECR:
        *n = -1;
        return NGX_OK;

    default:
        break;
    }

    if (ngx_rf_local_number(&l->argv[2], n) != NGX_OK) {
        rc = ngx_rf_local_not_integer(l);
        return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    if (l->command->id == NGX_RF_CMD_DECRBY) {

        if (*n == INT64_MIN) {
            rc = ngx_rf_local_error(l, "ERR decrement would overflow");
            return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
        }

        *n = -*n;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_rf_string_add(int64_t a, int64_t b, int64_t *sum)
{
    if ((b > 0 && a > INT64_MAX - b) || (b < 0 && a < INT64_MIN - b)) {
        return 0;
    }

    *sum = a + b;

    return 1;
}


ngx_int_t
ngx_rf_string_incr(ngx_rf_local_t *l)
{
    u_char           text[NGX_INT64_LEN], change[NGX_INT64_LEN];
    int64_t          n, value, before;
    ngx_int_t        rc;
    ngx_str_t        str, argv[2];
    ngx_uint_t       compact;
    ngx_rf_entry_t  *e;

    e = NULL;
    rc = ngx_rf_string_amount(l, &n);

    if (rc == NGX_OK) {
        rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    value = 0;

    if (str.data != NULL && ngx_rf_local_number(&str, &value) != NGX_OK) {
        return ngx_rf_local_not_integer(l);
    }

    if (!ngx_rf_string_add(value, n, &value)) {
        return ngx_rf_local_error(l, "ERR increment or decrement would "
                                  "overflow");
    }

    compact = ngx_rf_local_combines(e, "INCRBY", &argv[1]);

    if (compact
        && (ngx_rf_local_number(&argv[1], &before) != NGX_OK
            || !ngx_rf_string_add(before, n, &n)))
    {
        compact = 0;
    }

    ngx_str_set(&argv[0], "INCRBY");
    argv[1].data = change;
    argv[1].len = ngx_sprintf(change, "%L", n) - change;

    str.data = text;
    str.len = ngx_sprintf(text, "%L", value) - text;

    rc = ngx_rf_local_merge(l, &l->argv[1], &str, 2, argv, compact);

    return rc == NGX_OK ? ngx_rf_local_integer(l, value) : rc;
}


ngx_int_t
ngx_rf_string_float(ngx_str_t *text, long double *value)
{
    char    buf[NGX_RF_STRING_FLOAT_LEN], *end;

    if (text->len == 0 || text->len >= sizeof(buf)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(buf, text->data, text->len);
    buf[text->len] = '\0';

    errno = 0;
    *value = strtold(buf, &end);

    if (buf[0] == ' ' || (buf[0] >= '\t' && buf[0] <= '\r')
        || (size_t) (end - buf) != text->len
        || (errno == ERANGE
            && (isinf(*value) || fpclassify(*value) == FP_ZERO))
        || errno == EINVAL
        || isnan(*value))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


size_t
ngx_rf_string_float_text(long double value, u_char *buf)
{
    size_t  len;

    /* nginx's own formats know no long double */

    len = snprintf((char *) buf, NGX_RF_STRING_FLOAT_LEN, "%.17Lf", value);

    while (buf[len - 1] == '0') {
        len--;
    }

    if (buf[len - 1] == '.') {
        len--;
    }

    if (len == 2 && buf[0] == '-' && buf[1] == '0') {
        buf[0] = '0';
        len = 1;
    }

    return len;
}


ngx_int_t
ngx_rf_string_incrbyfloat(ngx_rf_local_t *l)
{
    u_char           text[NGX_RF_STRING_FLOAT_LEN];
    u_char           change[NGX_RF_STRING_FLOAT_LEN];
    ngx_int_t        rc;
    ngx_str_t        str, argv[2];
    ngx_uint_t       compact;
    long double      value, n;
    ngx_rf_entry_t  *e;

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    value = 0;

    if ((str.data != NULL && ngx_rf_string_float(&str, &value) != NGX_OK)
        || ngx_rf_string_float(&l->argv[2], &n) != NGX_OK)
    {
        return ngx_rf_local_error(l, "ERR value is not a valid float");
    }

    value += n;

    if (isnan(value) || isinf(value)) {
        return ngx_rf_local_error(l, "ERR increment would produce NaN or "
                                  "Infinity");
    }

    str.data = text;
    str.len = ngx_rf_string_float_text(value, text);

    ngx_str_set(&argv[0], "INCRBYFLOAT");
    argv[1] = l->argv[2];
    compact = ngx_rf_string_sum_float(e, &argv[1], change);

    rc = ngx_rf_local_merge(l, &l->argv[1], &str, 2, argv, compact);

    return rc == NGX_OK ? ngx_rf_local_string(l, text, str.len) : rc;
}


/* adds what the last change says to *arg; 0: it is to be a change of its own */

static ngx_uint_t
ngx_rf_string_sum_float(ngx_rf_entry_t *e, ngx_str_t *arg, u_char *buf)
{
    ngx_str_t   before;
    ngx_uint_t  compact;

    compact = ngx_rf_local_combines(e, "INCRBYFLOAT", &before);

    return compact && ngx_rf_string_float_sum(&before, arg, buf) ? compact : 0;
}


ngx_uint_t
ngx_rf_string_float_sum(ngx_str_t *before, ngx_str_t *arg, u_char *buf)
{
    long double  a, b;

    if (ngx_rf_string_float(before, &a) != NGX_OK
        || ngx_rf_string_float(arg, &b) != NGX_OK)
    {
        return 0;
    }

    /* where decimals would be lost, the parts are more than their sum */

    if (isinf(a + b)
        || fabsl((a + b) - b - a) > NGX_RF_STRING_LOSS
        || fabsl((a + b) - a - b) > NGX_RF_STRING_LOSS)
    {
        return 0;
    }

    arg->data = buf;
    arg->len = ngx_rf_string_float_text(a + b, buf);

    return 1;
}


ngx_int_t
ngx_rf_string_append(ngx_rf_local_t *l)
{
    u_char          *p;
    ngx_int_t        rc;
    ngx_str_t        str, value, argv[2], before;
    ngx_uint_t       compact;
    ngx_rf_entry_t  *e;

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    value.len = str.len + l->argv[2].len;

    if (str.data != NULL && value.len > NGX_RF_LOCAL_MAX) {
        return ngx_rf_local_error(l, "ERR string exceeds maximum allowed size "
                                  "(proto-max-bulk-len)");
    }

    value.data = ngx_pnalloc(l->pool, value.len + 1);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(value.data, str.data ? str.data : (u_char *) "", str.len);
    ngx_memcpy(p, l->argv[2].data, l->argv[2].len);

    ngx_str_set(&argv[0], "APPEND");
    argv[1] = l->argv[2];

    compact = ngx_rf_local_combines(e, "APPEND", &before);

    if (compact && before.len + argv[1].len <= NGX_RF_STRING_COMBINE) {

        p = ngx_pnalloc(l->pool, before.len + argv[1].len + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(ngx_cpymem(p, before.data, before.len), argv[1].data,
                   argv[1].len);

        argv[1].data = p;
        argv[1].len += before.len;

    } else {
        compact = 0;
    }

    rc = ngx_rf_local_merge(l, &l->argv[1], &value, 2, argv, compact);

    return rc == NGX_OK ? ngx_rf_local_integer(l, value.len) : rc;
}


ngx_int_t
ngx_rf_string_setrange(ngx_rf_local_t *l)
{
    int64_t          offset;
    ngx_int_t        rc;
    ngx_str_t        str, value, *part, argv[3];
    ngx_rf_entry_t  *e;

    if (ngx_rf_local_number(&l->argv[2], &offset) != NGX_OK) {
        return ngx_rf_local_not_integer(l);
    }

    if (offset < 0) {
        return ngx_rf_local_error(l, "ERR offset is out of range");
    }

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    part = &l->argv[3];

    if (part->len == 0) {
        return ngx_rf_local_integer(l, str.len);
    }

    if (offset > NGX_RF_LOCAL_MAX
        || offset + part->len > NGX_RF_LOCAL_MAX)
    {
        return ngx_rf_local_error(l, "ERR string exceeds maximum allowed size "
                                  "(proto-max-bulk-len)");
    }

    value.len = ngx_max(str.len, offset + part->len);

    if (value.len >= (size_t) (l->zone->shpool->end - l->zone->shpool->start)) {
        return NGX_RF_NEED_ROOM;
    }

    value.data = ngx_pcalloc(l->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(value.data, str.data ? str.data : (u_char *) "", str.len);
    ngx_memcpy(value.data + offset, part->data, part->len);

    if (e != NULL && e->complete) {
        rc = ngx_rf_local_replace(l, &l->argv[1], NGX_RF_STRING, &value,
                                  e->expire, NULL);

    } else {
        ngx_str_set(&argv[0], "SETRANGE");
        argv[1] = l->argv[2];
        argv[2] = *part;

        rc = ngx_rf_local_merge(l, &l->argv[1], &value, 3, argv, 0);
    }

    return rc == NGX_OK ? ngx_rf_local_integer(l, value.len) : rc;
}
