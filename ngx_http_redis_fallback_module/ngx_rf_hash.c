/*
 * Hashes: single fields.  What is about all of them, HGETALL, HSCAN and their
 * like, is in ngx_rf_hash_all.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_hash_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_string.h"


static ngx_int_t ngx_rf_hash_open(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_hash_put(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *value, ngx_rf_delta_e how);
static ngx_rf_elt_t *ngx_rf_hash_field(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *value);
static ngx_int_t ngx_rf_hash_set(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_hash_setnx(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_hash_get(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_hash_mget(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_hash_len(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_hash_del(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_hash_incrby(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_hash_incrbyfloat(ngx_rf_local_t *l);


ngx_rf_local_pt
ngx_rf_hash_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_HSET:
    case NGX_RF_CMD_HMSET:
        return ngx_rf_hash_set;

    case NGX_RF_CMD_HSETNX:
        return ngx_rf_hash_setnx;

    case NGX_RF_CMD_HGET:
    case NGX_RF_CMD_HEXISTS:
    case NGX_RF_CMD_HSTRLEN:
        return ngx_rf_hash_get;

    case NGX_RF_CMD_HMGET:
        return ngx_rf_hash_mget;

    case NGX_RF_CMD_HLEN:
        return ngx_rf_hash_len;

    case NGX_RF_CMD_HDEL:
        return ngx_rf_hash_del;

    case NGX_RF_CMD_HINCRBY:
        return ngx_rf_hash_incrby;

    case NGX_RF_CMD_HINCRBYFLOAT:
        return ngx_rf_hash_incrbyfloat;

    case NGX_RF_CMD_HGETALL:
    case NGX_RF_CMD_HKEYS:
    case NGX_RF_CMD_HVALS:
        return ngx_rf_hash_all;

    case NGX_RF_CMD_HSCAN:
        return ngx_rf_hash_scan;

    case NGX_RF_CMD_HRANDFIELD:
        return ngx_rf_hash_random;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_rf_hash_open(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    return ngx_rf_coll_open(l, &l->argv[1], NGX_RF_HASH, c);
}


/* the field argv[2] and nothing else; what it is told by is argv[3] */

static ngx_int_t
ngx_rf_hash_put(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *value,
    ngx_rf_delta_e how)
{
    ngx_int_t  rc;

    rc = ngx_rf_coll_put(l, c, &l->argv[2], value, how,
                         how == NGX_RF_DELTA_SET ? NULL : &l->argv[3]);

    return rc == NGX_OK ? ngx_rf_coll_close(l, c) : rc;
}


/* the field argv[2], or NULL */

static ngx_rf_elt_t *
ngx_rf_hash_field(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *value)
{
    ngx_rf_elt_t  *elt;

    elt = ngx_rf_coll_get(l, c, &l->argv[2]);

    if (elt != NULL) {
        value->data = ngx_rf_elt_value(elt);
        value->len = elt->value_len;
    }

    return elt;
}


static ngx_int_t
ngx_rf_hash_set(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_uint_t     i, created;
    ngx_rf_coll_t  c;

    if (l->argc % 2 == 1) {
        return ngx_rf_local_error_about(l, "ERR wrong number of arguments for "
                                        "'%V' command",
                                        (ngx_str_t *) &l->command->name);
    }

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    created = 0;

    for (i = 2; i < l->argc; i += 2) {

        created += (ngx_rf_coll_get(l, &c, &l->argv[i]) == NULL);

        rc = ngx_rf_coll_put(l, &c, &l->argv[i], &l->argv[i + 1],
                             NGX_RF_DELTA_SET, NULL);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_rf_coll_close(l, &c);

    if (rc != NGX_OK) {
        return rc;
    }

    return l->command->id == NGX_RF_CMD_HSET ? ngx_rf_local_integer(l, created)
                                             : ngx_rf_local_status(l, "OK");
}


static ngx_int_t
ngx_rf_hash_setnx(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (ngx_rf_coll_get(l, &c, &l->argv[2]) != NULL) {
        return ngx_rf_local_integer(l, 0);
    }

    rc = ngx_rf_hash_put(l, &c, &l->argv[3], NGX_RF_DELTA_SET);

    return rc == NGX_OK ? ngx_rf_local_integer(l, 1) : rc;
}


static ngx_int_t
ngx_rf_hash_get(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_str_t      value;
    ngx_uint_t     exists;
    ngx_rf_coll_t  c;

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    ngx_str_null(&value);
    exists = (ngx_rf_hash_field(l, &c, &value) != NULL);

    switch (l->command->id) {

    case NGX_RF_CMD_HEXISTS:
        return ngx_rf_local_integer(l, exists);

    case NGX_RF_CMD_HSTRLEN:
        return ngx_rf_local_integer(l, value.len);

    default:
        break;
    }

    return exists ? ngx_rf_local_string(l, value.data, value.len)
                  : ngx_rf_local_nil(l);
}


static ngx_int_t
ngx_rf_hash_mget(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_elt_t    *elt;
    ngx_rf_coll_t    c;
    ngx_rf_reply_t  *elts;

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    elts = ngx_rf_local_array(l, l->argc - 2);
    if (elts == NULL) {
        return NGX_ERROR;
    }

    for (i = 2; i < l->argc; i++) {

        elt = ngx_rf_coll_get(l, &c, &l->argv[i]);

        if (elt != NULL
            && ngx_rf_local_element(l, &elts[i - 2], ngx_rf_elt_value(elt),
                                    elt->value_len)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_hash_len(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    return ngx_rf_local_integer(l, c.elts.count);
}


static ngx_int_t
ngx_rf_hash_del(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_uint_t     i, n;
    ngx_rf_coll_t  c;

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    n = 0;

    for (i = 2; i < l->argc; i++) {

        rc = ngx_rf_coll_remove(l, &c, &l->argv[i]);

        if (rc == NGX_OK) {
            n++;

        } else if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    /* of fields that memory does not know Redis is told as well */

    rc = ngx_rf_coll_close(l, &c);

    return rc == NGX_OK ? ngx_rf_local_integer(l, n) : rc;
}


static ngx_int_t
ngx_rf_hash_incrby(ngx_rf_local_t *l)
{
    u_char         text[NGX_INT64_LEN];
    int64_t        n, value;
    ngx_int_t      rc;
    ngx_str_t      str;
    ngx_rf_coll_t  c;

    if (ngx_rf_local_number(&l->argv[3], &n) != NGX_OK) {
        return ngx_rf_local_not_integer(l);
    }

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    value = 0;

    if (ngx_rf_hash_field(l, &c, &str)
        && ngx_rf_local_number(&str, &value) != NGX_OK)
    {
        return ngx_rf_local_error(l, "ERR hash value is not an integer");
    }

    if ((n > 0 && value > INT64_MAX - n) || (n < 0 && value < INT64_MIN - n)) {
        return ngx_rf_local_error(l, "ERR increment or decrement would "
                                  "overflow");
    }

    value += n;

    str.data = text;
    str.len = ngx_sprintf(text, "%L", value) - text;

    rc = ngx_rf_hash_put(l, &c, &str, NGX_RF_DELTA_INCR);

    return rc == NGX_OK ? ngx_rf_local_integer(l, value) : rc;
}


static ngx_int_t
ngx_rf_hash_incrbyfloat(ngx_rf_local_t *l)
{
    u_char         text[NGX_RF_STRING_FLOAT_LEN];
    ngx_int_t      rc;
    ngx_str_t      str;
    long double    n, value;
    ngx_rf_coll_t  c;

    if (ngx_rf_string_float(&l->argv[3], &n) != NGX_OK) {
        return ngx_rf_local_error(l, "ERR value is not a valid float");
    }

    if (isinf(n)) {
        return ngx_rf_local_error(l, "ERR value is NaN or Infinity");
    }

    rc = ngx_rf_hash_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    value = 0;

    if (ngx_rf_hash_field(l, &c, &str)
        && ngx_rf_string_float(&str, &value) != NGX_OK)
    {
        return ngx_rf_local_error(l, "ERR hash value is not a float");
    }

    value += n;

    if (isnan(value) || isinf(value)) {
        return ngx_rf_local_error(l, "ERR increment would produce NaN or "
                                  "Infinity");
    }

    str.data = text;
    str.len = ngx_rf_string_float_text(value, text);

    rc = ngx_rf_hash_put(l, &c, &str, NGX_RF_DELTA_INCRFLOAT);

    return rc == NGX_OK ? ngx_rf_local_string(l, text, str.len) : rc;
}
