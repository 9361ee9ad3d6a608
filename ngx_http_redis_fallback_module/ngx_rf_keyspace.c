/*
 * Commands about one or some keys, whatever they hold.  Those about all keys
 * are in ngx_rf_keyspace_scan.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_keyspace.h"
#include "ngx_rf_keyspace_internal.h"


#define NGX_RF_EXPIRE_NX        0x01
#define NGX_RF_EXPIRE_XX        0x02
#define NGX_RF_EXPIRE_GT        0x04
#define NGX_RF_EXPIRE_LT        0x08


static ngx_int_t ngx_rf_keyspace_del(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_exists(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_type(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_ttl(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_expire(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_expire_options(ngx_rf_local_t *l,
    ngx_uint_t *options);
static ngx_int_t ngx_rf_keyspace_expire_time(ngx_rf_local_t *l,
    int64_t *expire);
static ngx_uint_t ngx_rf_keyspace_expire_wanted(ngx_rf_entry_t *e,
    int64_t expire, ngx_uint_t options);
static ngx_int_t ngx_rf_keyspace_persist(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_rename(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_move(ngx_rf_local_t *l, ngx_rf_entry_t *e,
    ngx_str_t *to);
static ngx_int_t ngx_rf_keyspace_copy(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_keyspace_copy_options(ngx_rf_local_t *l,
    ngx_uint_t *replace, ngx_uint_t *db);
static ngx_int_t ngx_rf_keyspace_duplicate(ngx_rf_local_t *l,
    ngx_rf_entry_t *e, ngx_str_t *to);


/* in the order of ngx_rf_type_e */
const char  *ngx_rf_keyspace_types[] = {
    "none", "string", "hash", "list", "set", "zset"
};


ngx_rf_local_pt
ngx_rf_keyspace_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_DEL:
    case NGX_RF_CMD_UNLINK:
        return ngx_rf_keyspace_del;

    case NGX_RF_CMD_EXISTS:
    case NGX_RF_CMD_TOUCH:
        return ngx_rf_keyspace_exists;

    case NGX_RF_CMD_TYPE:
        return ngx_rf_keyspace_type;

    case NGX_RF_CMD_TTL:
    case NGX_RF_CMD_PTTL:
    case NGX_RF_CMD_EXPIRETIME:
    case NGX_RF_CMD_PEXPIRETIME:
        return ngx_rf_keyspace_ttl;

    case NGX_RF_CMD_EXPIRE:
    case NGX_RF_CMD_PEXPIRE:
    case NGX_RF_CMD_EXPIREAT:
    case NGX_RF_CMD_PEXPIREAT:
        return ngx_rf_keyspace_expire;

    case NGX_RF_CMD_PERSIST:
        return ngx_rf_keyspace_persist;

    case NGX_RF_CMD_RENAME:
    case NGX_RF_CMD_RENAMENX:
        return ngx_rf_keyspace_rename;

    case NGX_RF_CMD_COPY:
        return ngx_rf_keyspace_copy;

    case NGX_RF_CMD_KEYS:
        return ngx_rf_keyspace_keys;

    case NGX_RF_CMD_SCAN:
        return ngx_rf_keyspace_scan;

    case NGX_RF_CMD_DBSIZE:
        return ngx_rf_keyspace_dbsize;

    case NGX_RF_CMD_RANDOMKEY:
        return ngx_rf_keyspace_randomkey;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_rf_keyspace_del(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_uint_t       i, n;
    ngx_rf_entry_t  *e;

    n = 0;

    for (i = 1; i < l->argc; i++) {

        e = ngx_rf_local_find(l, &l->argv[i]);
        n += ngx_rf_local_exists(e);

        rc = ngx_rf_local_remove(l, &l->argv[i]);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_rf_local_integer(l, n);
}


static ngx_int_t
ngx_rf_keyspace_exists(ngx_rf_local_t *l)
{
    ngx_uint_t       i, n;
    ngx_rf_entry_t  *e;

    n = 0;

    for (i = 1; i < l->argc; i++) {
        e = ngx_rf_local_find(l, &l->argv[i]);
        n += ngx_rf_local_exists(e);
    }

    return ngx_rf_local_integer(l, n);
}


static ngx_int_t
ngx_rf_keyspace_type(ngx_rf_local_t *l)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_local_find(l, &l->argv[1]);

    return ngx_rf_local_status(l, ngx_rf_keyspace_types[e ? e->type : 0]);
}


static ngx_int_t
ngx_rf_keyspace_ttl(ngx_rf_local_t *l)
{
    int64_t          ms;
    ngx_rf_entry_t  *e;

    e = ngx_rf_local_find(l, &l->argv[1]);

    if (!ngx_rf_local_exists(e)) {
        return ngx_rf_local_integer(l, -2);
    }

    if (e->expire == 0) {
        return ngx_rf_local_integer(l, -1);
    }

    ms = e->expire;

    if (l->scope == NGX_RF_SCOPE_FRESH
        && (l->command->id == NGX_RF_CMD_EXPIRETIME
            || l->command->id == NGX_RF_CMD_PEXPIRETIME))
    {
        /* memory counts from when it asked: up to a round trip too early */
        return NGX_RF_NEED_REDIS;
    }

    if (l->command->id == NGX_RF_CMD_TTL || l->command->id == NGX_RF_CMD_PTTL) {
        ms = ngx_max(ms - l->now, 0);
    }

    if (l->command->id == NGX_RF_CMD_TTL
        || l->command->id == NGX_RF_CMD_EXPIRETIME)
    {
        return ngx_rf_local_integer(l, ((uint64_t) ms + 500) / 1000);
    }

    return ngx_rf_local_integer(l, ms);
}


/* NGX_DECLINED: an error reply was made */

static ngx_int_t
ngx_rf_keyspace_expire(ngx_rf_local_t *l)
{
    int64_t          expire;
    ngx_int_t        rc;
    ngx_uint_t       options;
    ngx_rf_entry_t  *e;

    expire = 0;
    rc = ngx_rf_keyspace_expire_options(l, &options);

    if (rc == NGX_OK) {
        rc = ngx_rf_keyspace_expire_time(l, &expire);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    e = ngx_rf_local_find(l, &l->argv[1]);

    if (!ngx_rf_local_exists(e)
        || !ngx_rf_keyspace_expire_wanted(e, expire, options))
    {
        return ngx_rf_local_integer(l, 0);
    }

    if (expire <= l->now) {
        rc = ngx_rf_local_remove(l, &l->argv[1]);

    } else {
        rc = ngx_rf_local_expire(l, e, expire);
    }

    return rc == NGX_OK ? ngx_rf_local_integer(l, 1) : rc;
}


static ngx_int_t
ngx_rf_keyspace_expire_options(ngx_rf_local_t *l, ngx_uint_t *options)
{
    ngx_int_t    rc;
    ngx_str_t   *arg;
    ngx_uint_t   i, o;

    o = 0;

    for (i = 3; i < l->argc; i++) {
        arg = &l->argv[i];

        if (ngx_rf_local_is(arg, "nx")) {
            o |= NGX_RF_EXPIRE_NX;

        } else if (ngx_rf_local_is(arg, "xx")) {
            o |= NGX_RF_EXPIRE_XX;

        } else if (ngx_rf_local_is(arg, "gt")) {
            o |= NGX_RF_EXPIRE_GT;

        } else if (ngx_rf_local_is(arg, "lt")) {
            o |= NGX_RF_EXPIRE_LT;

        } else {
            rc = ngx_rf_local_error_about(l, "ERR Unsupported option %V", arg);
            return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
        }
    }

    *options = o;

    if ((o & NGX_RF_EXPIRE_NX) && o != NGX_RF_EXPIRE_NX) {
        rc = ngx_rf_local_error(l, "ERR NX and XX, GT or LT options at the "
                                "same time are not compatible");

    } else if ((o & NGX_RF_EXPIRE_GT) && (o & NGX_RF_EXPIRE_LT)) {
        rc = ngx_rf_local_error(l, "ERR GT and LT options at the same time "
                                "are not compatible");

    } else {
        return NGX_OK;
    }

    return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


static ngx_int_t
ngx_rf_keyspace_expire_time(ngx_rf_local_t *l, int64_t *expire)
{
    int64_t           n, base;
    ngx_int_t         rc;
    ngx_rf_command_e  id;

    if (ngx_rf_local_number(&l->argv[2], &n) != NGX_OK) {
        return ngx_rf_local_not_integer(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    id = l->command->id;

    base = (id == NGX_RF_CMD_EXPIRE || id == NGX_RF_CMD_PEXPIRE) ? l->now : 0;

    if (id == NGX_RF_CMD_EXPIRE || id == NGX_RF_CMD_EXPIREAT) {

        if (n > INT64_MAX / 1000 || n < INT64_MIN / 1000) {
            goto invalid;
        }

        n *= 1000;
    }

    if (n > INT64_MAX - base) {
        goto invalid;
    }

    *expire = n + base;

    return NGX_OK;

invalid:

    rc = ngx_rf_local_error_about(l, "ERR invalid expire time in '%V' command",
                                  (ngx_str_t *) &l->command->name);

    return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


/* no expiry counts as an infinite one */

static ngx_uint_t
ngx_rf_keyspace_expire_wanted(ngx_rf_entry_t *e, int64_t expire,
    ngx_uint_t options)
{
    if ((options & NGX_RF_EXPIRE_NX) && e->expire) {
        return 0;
    }

    if ((options & NGX_RF_EXPIRE_XX) && e->expire == 0) {
        return 0;
    }

    if ((options & NGX_RF_EXPIRE_GT)
        && (e->expire == 0 || expire <= e->expire))
    {
        return 0;
    }

    if ((options & NGX_RF_EXPIRE_LT) && e->expire && expire >= e->expire) {
        return 0;
    }

    return 1;
}


static ngx_int_t
ngx_rf_keyspace_persist(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_uint_t       had;
    ngx_rf_entry_t  *e;

    e = ngx_rf_local_find(l, &l->argv[1]);

    if (!ngx_rf_local_exists(e)) {
        return ngx_rf_local_integer(l, 0);
    }

    had = (e->expire != 0);

    /* of a key that is known in part only Redis knows whether it expires */

    if (had || !e->complete) {
        rc = ngx_rf_local_expire(l, e, 0);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_rf_local_integer(l, had);
}


static ngx_int_t
ngx_rf_keyspace_rename(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_str_t       *from, *to;
    ngx_uint_t       nx;
    ngx_rf_entry_t  *e;

    from = &l->argv[1];
    to = &l->argv[2];
    nx = (l->command->id == NGX_RF_CMD_RENAMENX);

    e = ngx_rf_local_find(l, from);

    if (!ngx_rf_local_exists(e)) {
        return ngx_rf_local_error(l, "ERR no such key");
    }

    if (from->len == to->len
        && ngx_memcmp(from->data, to->data, to->len) == 0)
    {
        return nx ? ngx_rf_local_integer(l, 0) : ngx_rf_local_status(l, "OK");
    }

    if (nx && ngx_rf_local_exists(ngx_rf_local_find(l, to))) {
        return ngx_rf_local_integer(l, 0);
    }

    rc = ngx_rf_keyspace_move(l, e, to);

    if (rc != NGX_OK) {
        return rc;
    }

    return nx ? ngx_rf_local_integer(l, 1) : ngx_rf_local_status(l, "OK");
}


/*
 * Of a key that Redis may hold more of, what was put in here moves, and the
 * rest stays where it is: Redis is not told of the old name.
 */

static ngx_int_t
ngx_rf_keyspace_move(ngx_rf_local_t *l, ngx_rf_entry_t *e, ngx_str_t *to)
{
    ngx_int_t  rc;

    if (ngx_rf_zone_partial(e) || (!e->complete && e->work->nsent)) {
        return NGX_RF_NEED_REDIS;
    }

    if (e->type != NGX_RF_STRING) {
        return ngx_rf_coll_move(l, e, to);
    }

    rc = ngx_rf_keyspace_duplicate(l, e, to);

    if (rc != NGX_OK) {
        return rc;
    }

    if (e->complete) {
        return ngx_rf_local_remove(l, &l->argv[1]);
    }

    ngx_rf_zone_cancel_locked(l->zone, e);
    ngx_rf_zone_set_locked(l->zone, e, NGX_RF_NONE, NULL);
    ngx_rf_zone_expire_locked(l->zone, e, 0);

    return NGX_OK;
}


static ngx_int_t
ngx_rf_keyspace_copy(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_str_t       *from, *to;
    ngx_uint_t       replace, db;
    ngx_rf_entry_t  *e;

    rc = ngx_rf_keyspace_copy_options(l, &replace, &db);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    if (db) {
        /* of all databases memory holds one, and does not know which */
        return NGX_RF_NEED_REDIS;
    }

    from = &l->argv[1];
    to = &l->argv[2];

    if (from->len == to->len
        && ngx_memcmp(from->data, to->data, to->len) == 0)
    {
        return ngx_rf_local_error(l, "ERR source and destination objects are "
                                  "the same");
    }

    e = ngx_rf_local_find(l, from);

    if (!ngx_rf_local_exists(e)) {
        return ngx_rf_local_integer(l, 0);
    }

    if (!replace && ngx_rf_local_exists(ngx_rf_local_find(l, to))) {
        return ngx_rf_local_integer(l, 0);
    }

    rc = ngx_rf_keyspace_duplicate(l, e, to);

    return rc == NGX_OK ? ngx_rf_local_integer(l, 1) : rc;
}


static ngx_int_t
ngx_rf_keyspace_copy_options(ngx_rf_local_t *l, ngx_uint_t *replace,
    ngx_uint_t *db)
{
    int64_t     n;
    ngx_int_t   rc;
    ngx_uint_t  i;

    *replace = 0;
    *db = 0;

    for (i = 3; i < l->argc; i++) {

        if (ngx_rf_local_is(&l->argv[i], "replace")) {
            *replace = 1;

        } else if (ngx_rf_local_is(&l->argv[i], "db") && i + 1 < l->argc) {
            i++;

            if (ngx_rf_local_number(&l->argv[i], &n) != NGX_OK
                || n < INT32_MIN || n > INT32_MAX)
            {
                rc = ngx_rf_local_not_integer(l);
                return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
            }

            *db = 1;

        } else {
            return ngx_rf_local_syntax(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_keyspace_duplicate(ngx_rf_local_t *l, ngx_rf_entry_t *e, ngx_str_t *to)
{
    ngx_str_t  data;

    if (ngx_rf_zone_partial(e)) {
        return NGX_RF_NEED_REDIS;
    }

    if (e->type != NGX_RF_STRING) {
        return ngx_rf_coll_copy(l, e, to);
    }

    data.data = e->value->data;
    data.len = e->value->len;

    return ngx_rf_local_replace(l, to, e->type, &data, e->expire, e);
}
