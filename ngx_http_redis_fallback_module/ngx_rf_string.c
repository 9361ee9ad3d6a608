/*
 * Strings: setting and getting.  Commands that change a part of a value are in
 * ngx_rf_string_edit.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_string.h"
#include "ngx_rf_string_internal.h"


/* options of SET and GETEX */

#define NGX_RF_SET_NX           0x001
#define NGX_RF_SET_XX           0x002
#define NGX_RF_SET_GET          0x004
#define NGX_RF_SET_KEEPTTL      0x008
#define NGX_RF_SET_PERSIST      0x010
#define NGX_RF_SET_EX           0x020
#define NGX_RF_SET_PX           0x040
#define NGX_RF_SET_EXAT         0x080
#define NGX_RF_SET_PXAT         0x100

#define NGX_RF_SET_TIME                                                      \
    (NGX_RF_SET_EX|NGX_RF_SET_PX|NGX_RF_SET_EXAT|NGX_RF_SET_PXAT)


typedef struct {
    ngx_uint_t            flags;
    ngx_str_t            *time;         /* of EX and its like */
} ngx_rf_set_t;


static ngx_int_t ngx_rf_string_get(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_set(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_set_keepttl(ngx_rf_local_t *l,
    ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_string_options(ngx_rf_local_t *l, ngx_uint_t first,
    ngx_rf_set_t *set);
static ngx_uint_t ngx_rf_string_option(ngx_rf_local_t *l, ngx_str_t *arg,
    ngx_uint_t flags);
static ngx_int_t ngx_rf_string_time(ngx_rf_local_t *l, ngx_rf_set_t *set,
    int64_t *expire);
static ngx_int_t ngx_rf_string_setnx(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_setex(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_getset(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_getdel(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_getex(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_strlen(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_getrange(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_mget(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_mset(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_string_reply(ngx_rf_local_t *l, ngx_str_t *str);


ngx_rf_local_pt
ngx_rf_string_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_GET:
        return ngx_rf_string_get;

    case NGX_RF_CMD_SET:
        return ngx_rf_string_set;

    case NGX_RF_CMD_SETNX:
        return ngx_rf_string_setnx;

    case NGX_RF_CMD_SETEX:
    case NGX_RF_CMD_PSETEX:
        return ngx_rf_string_setex;

    case NGX_RF_CMD_GETSET:
        return ngx_rf_string_getset;

    case NGX_RF_CMD_GETDEL:
        return ngx_rf_string_getdel;

    case NGX_RF_CMD_GETEX:
        return ngx_rf_string_getex;

    case NGX_RF_CMD_INCR:
    case NGX_RF_CMD_INCRBY:
    case NGX_RF_CMD_DECR:
    case NGX_RF_CMD_DECRBY:
        return ngx_rf_string_incr;

    case NGX_RF_CMD_INCRBYFLOAT:
        return ngx_rf_string_incrbyfloat;

    case NGX_RF_CMD_APPEND:
        return ngx_rf_string_append;

    case NGX_RF_CMD_STRLEN:
        return ngx_rf_string_strlen;

    case NGX_RF_CMD_GETRANGE:
        return ngx_rf_string_getrange;

    case NGX_RF_CMD_SETRANGE:
        return ngx_rf_string_setrange;

    case NGX_RF_CMD_MGET:
        return ngx_rf_string_mget;

    case NGX_RF_CMD_MSET:
    case NGX_RF_CMD_MSETNX:
        return ngx_rf_string_mset;

    default:
        return NULL;
    }
}


ngx_int_t
ngx_rf_string_find(ngx_rf_local_t *l, ngx_str_t *key, ngx_rf_entry_t **e,
    ngx_str_t *str)
{
    ngx_str_null(str);

    *e = ngx_rf_local_find(l, key);

    if (!ngx_rf_local_exists(*e)) {
        return NGX_OK;
    }

    if ((*e)->type != NGX_RF_STRING) {
        return ngx_rf_local_wrong_type(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    str->data = (*e)->value->data;
    str->len = (*e)->value->len;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_string_reply(ngx_rf_local_t *l, ngx_str_t *str)
{
    if (str->data == NULL) {
        return ngx_rf_local_nil(l);
    }

    return ngx_rf_local_string(l, str->data, str->len);
}


static ngx_int_t
ngx_rf_string_get(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_str_t        str;
    ngx_rf_entry_t  *e;

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    return str.data ? ngx_rf_local_blob(l, e->value) : ngx_rf_local_nil(l);
}


static ngx_int_t
ngx_rf_string_set(ngx_rf_local_t *l)
{
    int64_t          expire;
    ngx_int_t        rc;
    ngx_str_t        old;
    ngx_uint_t       exists;
    ngx_rf_set_t     set;
    ngx_rf_entry_t  *e;

    expire = 0;
    rc = ngx_rf_string_options(l, 3, &set);

    if (rc == NGX_OK) {
        rc = ngx_rf_string_time(l, &set, &expire);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    e = ngx_rf_local_find(l, &l->argv[1]);
    exists = ngx_rf_local_exists(e);

    if (set.flags & NGX_RF_SET_GET) {

        /* before the change: afterwards the old value is no more */

        rc = ngx_rf_string_find(l, &l->argv[1], &e, &old);

        if (rc == NGX_OK) {
            rc = ngx_rf_string_reply(l, &old) == NGX_OK ? NGX_OK : NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
        }
    }

    if (((set.flags & NGX_RF_SET_NX) && exists)
        || ((set.flags & NGX_RF_SET_XX) && !exists))
    {
        return (set.flags & NGX_RF_SET_GET) ? NGX_OK : ngx_rf_local_nil(l);
    }

    if (set.flags & NGX_RF_SET_KEEPTTL) {
        rc = ngx_rf_string_set_keepttl(l, e);

    } else {
        rc = ngx_rf_local_replace(l, &l->argv[1], NGX_RF_STRING, &l->argv[2],
                                  expire, NULL);
    }

    if (rc != NGX_OK || (set.flags & NGX_RF_SET_GET)) {
        return rc;
    }

    return ngx_rf_local_status(l, "OK");
}


static ngx_int_t
ngx_rf_string_set_keepttl(ngx_rf_local_t *l, ngx_rf_entry_t *e)
{
    ngx_str_t   argv[3], arg;
    ngx_uint_t  compact;

    if (e != NULL && e->complete) {
        return ngx_rf_local_replace(l, &l->argv[1], NGX_RF_STRING,
                                    &l->argv[2], e->expire, NULL);
    }

    /* the expiry that is to be kept is known to Redis alone */

    ngx_str_set(&argv[0], "SET");
    argv[1] = l->argv[2];
    ngx_str_set(&argv[2], "KEEPTTL");

    compact = (ngx_rf_local_combines(e, "SET", &arg) == 1);

    return ngx_rf_local_merge(l, &l->argv[1], &l->argv[2], 3, argv, compact);
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_string_options(ngx_rf_local_t *l, ngx_uint_t first, ngx_rf_set_t *set)
{
    ngx_uint_t  i, flag;

    set->flags = 0;
    set->time = NULL;

    for (i = first; i < l->argc; i++) {

        flag = ngx_rf_string_option(l, &l->argv[i], set->flags);

        if (flag == 0 || ((flag & NGX_RF_SET_TIME) && i + 1 == l->argc)) {
            return ngx_rf_local_syntax(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
        }

        set->flags |= flag;

        if (flag & NGX_RF_SET_TIME) {
            set->time = &l->argv[++i];
        }
    }

    return NGX_OK;
}


/* which option it is; 0: none, or one that contradicts those before */

static ngx_uint_t
ngx_rf_string_option(ngx_rf_local_t *l, ngx_str_t *arg, ngx_uint_t flags)
{
    ngx_uint_t  flag, against;

    if (l->command->id == NGX_RF_CMD_SET) {

        if (ngx_rf_local_is(arg, "nx")) {
            return (flags & NGX_RF_SET_XX) ? 0 : NGX_RF_SET_NX;
        }

        if (ngx_rf_local_is(arg, "xx")) {
            return (flags & NGX_RF_SET_NX) ? 0 : NGX_RF_SET_XX;
        }

        if (ngx_rf_local_is(arg, "get")) {
            return NGX_RF_SET_GET;
        }

        if (ngx_rf_local_is(arg, "keepttl")) {
            return (flags & NGX_RF_SET_TIME) ? 0 : NGX_RF_SET_KEEPTTL;
        }

    } else if (ngx_rf_local_is(arg, "persist")) {
        return (flags & NGX_RF_SET_TIME) ? 0 : NGX_RF_SET_PERSIST;
    }

    if (ngx_rf_local_is(arg, "ex")) {
        flag = NGX_RF_SET_EX;

    } else if (ngx_rf_local_is(arg, "px")) {
        flag = NGX_RF_SET_PX;

    } else if (ngx_rf_local_is(arg, "exat")) {
        flag = NGX_RF_SET_EXAT;

    } else if (ngx_rf_local_is(arg, "pxat")) {
        flag = NGX_RF_SET_PXAT;

    } else {
        return 0;
    }

    /* the same one twice is allowed, the last counts */

    against = NGX_RF_SET_TIME | NGX_RF_SET_KEEPTTL | NGX_RF_SET_PERSIST;

    return (flags & against & ~flag) ? 0 : flag;
}


/* *expire is 0 without EX and its like; NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_string_time(ngx_rf_local_t *l, ngx_rf_set_t *set, int64_t *expire)
{
    int64_t    n;
    ngx_int_t  rc;

    *expire = 0;

    if (set->time == NULL) {
        return NGX_OK;
    }

    if (ngx_rf_local_number(set->time, &n) != NGX_OK) {
        return ngx_rf_local_not_integer(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    if (n <= 0) {
        goto invalid;
    }

    if (set->flags & (NGX_RF_SET_EX|NGX_RF_SET_EXAT)) {

        if (n > INT64_MAX / 1000) {
            goto invalid;
        }

        n *= 1000;
    }

    if (set->flags & (NGX_RF_SET_EX|NGX_RF_SET_PX)) {

        if (n > INT64_MAX - l->now) {
            goto invalid;
        }

        n += l->now;
    }

    *expire = n;

    return NGX_OK;

invalid:

    rc = ngx_rf_local_error_about(l, "ERR invalid expire time in '%V' command",
                                  (ngx_str_t *) &l->command->name);

    return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


static ngx_int_t
ngx_rf_string_setnx(ngx_rf_local_t *l)
{
    ngx_int_t  rc;

    if (ngx_rf_local_exists(ngx_rf_local_find(l, &l->argv[1]))) {
        return ngx_rf_local_integer(l, 0);
    }

    rc = ngx_rf_local_replace(l, &l->argv[1], NGX_RF_STRING, &l->argv[2], 0,
                              NULL);

    return rc == NGX_OK ? ngx_rf_local_integer(l, 1) : rc;
}


static ngx_int_t
ngx_rf_string_setex(ngx_rf_local_t *l)
{
    int64_t       expire;
    ngx_int_t     rc;
    ngx_rf_set_t  set;

    set.flags = (l->command->id == NGX_RF_CMD_SETEX) ? NGX_RF_SET_EX
                                                     : NGX_RF_SET_PX;
    set.time = &l->argv[2];

    rc = ngx_rf_string_time(l, &set, &expire);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    rc = ngx_rf_local_replace(l, &l->argv[1], NGX_RF_STRING, &l->argv[3],
                              expire, NULL);

    return rc == NGX_OK ? ngx_rf_local_status(l, "OK") : rc;
}


static ngx_int_t
ngx_rf_string_getset(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_str_t        old;
    ngx_rf_entry_t  *e;

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &old);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    if (ngx_rf_string_reply(l, &old) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_rf_local_replace(l, &l->argv[1], NGX_RF_STRING, &l->argv[2], 0,
                                NULL);
}


static ngx_int_t
ngx_rf_string_getdel(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_str_t        old;
    ngx_rf_entry_t  *e;

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &old);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    if (ngx_rf_string_reply(l, &old) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_rf_local_remove(l, &l->argv[1]);
}


static ngx_int_t
ngx_rf_string_getex(ngx_rf_local_t *l)
{
    int64_t          expire;
    ngx_int_t        rc;
    ngx_str_t        str;
    ngx_rf_set_t     set;
    ngx_rf_entry_t  *e;

    e = NULL;
    rc = ngx_rf_string_options(l, 2, &set);

    if (rc == NGX_OK) {
        rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    if (str.data == NULL) {
        return ngx_rf_local_nil(l);
    }

    rc = ngx_rf_string_time(l, &set, &expire);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    if (ngx_rf_string_reply(l, &str) != NGX_OK) {
        return NGX_ERROR;
    }

    if (set.time) {
        return expire <= l->now ? ngx_rf_local_remove(l, &l->argv[1])
                                : ngx_rf_local_expire(l, e, expire);
    }

    if ((set.flags & NGX_RF_SET_PERSIST) && (e->expire || !e->complete)) {
        return ngx_rf_local_expire(l, e, 0);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_string_strlen(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_str_t        str;
    ngx_rf_entry_t  *e;

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    return ngx_rf_local_integer(l, str.len);
}


static ngx_int_t
ngx_rf_string_getrange(ngx_rf_local_t *l)
{
    int64_t          start, end, len;
    ngx_int_t        rc;
    ngx_str_t        str;
    ngx_rf_entry_t  *e;

    if (ngx_rf_local_number(&l->argv[2], &start) != NGX_OK
        || ngx_rf_local_number(&l->argv[3], &end) != NGX_OK)
    {
        return ngx_rf_local_not_integer(l);
    }

    rc = ngx_rf_string_find(l, &l->argv[1], &e, &str);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    len = str.len;

    if (start < 0 && end < 0 && start > end) {
        return ngx_rf_local_string(l, (u_char *) "", 0);
    }

    if (start < 0) {
        start = ngx_max(start + len, 0);
    }

    if (end < 0) {
        end = ngx_max(end + len, 0);
    }

    if (end >= len) {
        end = len - 1;
    }

    if (start > end || len == 0) {
        return ngx_rf_local_string(l, (u_char *) "", 0);
    }

    return ngx_rf_local_string(l, str.data + start, end - start + 1);
}


static ngx_int_t
ngx_rf_string_mget(ngx_rf_local_t *l)
{
    ngx_uint_t       i;
    ngx_rf_entry_t  *e;
    ngx_rf_reply_t  *elts;

    elts = ngx_rf_local_array(l, l->argc - 1);
    if (elts == NULL) {
        return NGX_ERROR;
    }

    for (i = 1; i < l->argc; i++) {

        e = ngx_rf_local_find(l, &l->argv[i]);

        if (e != NULL && e->type == NGX_RF_STRING
            && ngx_rf_local_element(l, &elts[i - 1], e->value->data,
                                    e->value->len)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_string_mset(ngx_rf_local_t *l)
{
    ngx_int_t   rc;
    ngx_uint_t  i, nx;

    if (l->argc % 2 == 0) {
        return ngx_rf_local_error_about(l, "ERR wrong number of arguments for "
                                        "'%V' command",
                                        (ngx_str_t *) &l->command->name);
    }

    nx = (l->command->id == NGX_RF_CMD_MSETNX);

    for (i = 1; nx && i < l->argc; i += 2) {
        if (ngx_rf_local_exists(ngx_rf_local_find(l, &l->argv[i]))) {
            return ngx_rf_local_integer(l, 0);
        }
    }

    for (i = 1; i < l->argc; i += 2) {

        rc = ngx_rf_local_replace(l, &l->argv[i], NGX_RF_STRING,
                                  &l->argv[i + 1], 0, NULL);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return nx ? ngx_rf_local_integer(l, 1) : ngx_rf_local_status(l, "OK");
}
