/*
 * Replies, numbers, and changes to a key.
 *
 * A change allocates first and publishes then; should there be no room in the
 * middle of a command, the dispatcher rolls back what came before.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_command.h"
#include "ngx_rf_local_op.h"


static ngx_rf_reply_t *ngx_rf_local_reply(ngx_rf_local_t *l,
    ngx_rf_reply_e type);
static ngx_uint_t ngx_rf_local_verb_is(ngx_rf_zchange_t *c, const char *verb);


static ngx_rf_reply_t *
ngx_rf_local_reply(ngx_rf_local_t *l, ngx_rf_reply_e type)
{
    l->reply = ngx_pcalloc(l->pool, sizeof(ngx_rf_reply_t));

    if (l->reply != NULL) {
        l->reply->type = type;
    }

    return l->reply;
}


ngx_int_t
ngx_rf_local_nil(ngx_rf_local_t *l)
{
    return ngx_rf_local_reply(l, NGX_RF_REPLY_NIL) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_rf_local_integer(ngx_rf_local_t *l, int64_t n)
{
    if (ngx_rf_local_reply(l, NGX_RF_REPLY_INTEGER) == NULL) {
        return NGX_ERROR;
    }

    l->reply->integer = n;

    return NGX_OK;
}


/* "text" is static */

ngx_int_t
ngx_rf_local_status(ngx_rf_local_t *l, const char *text)
{
    if (ngx_rf_local_reply(l, NGX_RF_REPLY_STATUS) == NULL) {
        return NGX_ERROR;
    }

    l->reply->str.len = ngx_strlen(text);
    l->reply->str.data = (u_char *) text;

    return NGX_OK;
}


ngx_int_t
ngx_rf_local_error(ngx_rf_local_t *l, const char *text)
{
    if (ngx_rf_local_status(l, text) != NGX_OK) {
        return NGX_ERROR;
    }

    l->reply->type = NGX_RF_REPLY_ERROR;

    return NGX_OK;
}


ngx_int_t
ngx_rf_local_error_about(ngx_rf_local_t *l, const char *text, ngx_str_t *about)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   arg;

    if (ngx_rf_local_reply(l, NGX_RF_REPLY_ERROR) == NULL) {
        return NGX_ERROR;
    }

    /* Redis prints it as a C string */

    arg = *about;

    for (len = 0; len < arg.len && arg.data[len] != '\0'; len++) {
        /* void */
    }

    arg.len = len;

    p = ngx_pnalloc(l->pool, ngx_strlen(text) + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    l->reply->str.data = p;
    l->reply->str.len = ngx_sprintf(p, text, &arg) - p;

    /* an error is one line */

    for (len = 0; len < l->reply->str.len; len++) {
        if (p[len] == CR || p[len] == LF) {
            p[len] = ' ';
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_local_string(ngx_rf_local_t *l, u_char *data, size_t len)
{
    if (ngx_rf_local_reply(l, NGX_RF_REPLY_NIL) == NULL) {
        return NGX_ERROR;
    }

    return ngx_rf_local_element(l, l->reply, data, len);
}


ngx_int_t
ngx_rf_local_blob(ngx_rf_local_t *l, ngx_rf_blob_t *blob)
{
    ngx_rf_reply_t  *reply;

    if (!l->lend || blob->len < NGX_RF_LOCAL_LEND) {
        return ngx_rf_local_string(l, blob->data, blob->len);
    }

    reply = ngx_rf_local_reply(l, NGX_RF_REPLY_STRING);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    if (!ngx_rf_zone_lend_locked(l->zone, blob)) {
        return ngx_rf_local_element(l, reply, blob->data, blob->len);
    }

    reply->str.data = blob->data;
    reply->str.len = blob->len;
    l->lent = 1;

    return NGX_OK;
}


ngx_int_t
ngx_rf_local_element(ngx_rf_local_t *l, ngx_rf_reply_t *reply, u_char *data,
    size_t len)
{
    reply->str.data = ngx_pnalloc(l->pool, len ? len : 1);

    if (reply->str.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(reply->str.data, data, len);
    reply->str.len = len;
    reply->type = NGX_RF_REPLY_STRING;

    return NGX_OK;
}


ngx_rf_reply_t *
ngx_rf_local_array(ngx_rf_local_t *l, ngx_uint_t n)
{
    if (ngx_rf_local_reply(l, NGX_RF_REPLY_ARRAY) == NULL) {
        return NULL;
    }

    l->reply->elts = ngx_pcalloc(l->pool, (n ? n : 1) * sizeof(ngx_rf_reply_t));
    l->reply->nelts = n;

    return l->reply->elts;
}


ngx_int_t
ngx_rf_local_number(ngx_str_t *text, int64_t *n)
{
    u_char     *p, *last;
    uint64_t    value, limit;
    ngx_uint_t  minus;

    p = text->data;
    last = p + text->len;
    minus = 0;

    if (text->len == 1 && *p == '0') {
        *n = 0;
        return NGX_OK;
    }

    if (p < last && *p == '-') {
        minus = 1;
        p++;
    }

    if (p == last || last - p > 19 || *p < '1' || *p > '9') {
        return NGX_DECLINED;
    }

    /* 19 digits fit an unsigned 64-bit number */

    for (value = 0; p < last; p++) {
        if (*p < '0' || *p > '9') {
            return NGX_DECLINED;
        }

        value = value * 10 + (*p - '0');
    }

    limit = (uint64_t) INT64_MAX + minus;

    if (value > limit) {
        return NGX_DECLINED;
    }

    *n = minus ? (int64_t) (0 - value) : (int64_t) value;

    return NGX_OK;
}


ngx_rf_entry_t *
ngx_rf_local_find(ngx_rf_local_t *l, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_local_lookup(l, key);

    return e ? ngx_rf_zone_found_locked(l->zone, e, l->now) : NULL;
}


ngx_rf_entry_t *
ngx_rf_local_lookup(ngx_rf_local_t *l, ngx_str_t *key)
{
    if (key != l->hashed) {
        l->hashed = key;
        l->hash = ngx_rf_zone_hash(l->zone->sh, key);
    }

    return ngx_rf_zone_lookup_hash_locked(l->zone, key, l->hash);
}


ngx_int_t
ngx_rf_local_replace(ngx_rf_local_t *l, ngx_str_t *key, ngx_rf_type_e type,
    ngx_str_t *data, int64_t expire, ngx_rf_entry_t *source)
{
    ngx_int_t        rc;
    ngx_rf_blob_t   *blob;
    ngx_rf_entry_t  *e, *keep[2];

    rc = ngx_rf_local_settle(l);

    if (rc != NGX_OK) {
        return rc;
    }

    e = ngx_rf_local_find(l, key);

    keep[0] = e;
    keep[1] = source;

    blob = NULL;

    if (type != NGX_RF_NONE) {
        blob = ngx_rf_zone_blob_locked(l->zone, data->data, data->len, keep,
                                       2);
        if (blob == NULL) {
            return NGX_RF_NEED_ROOM;
        }
    }

    if (e == NULL) {
        e = ngx_rf_zone_insert_locked(l->zone, key, keep, 2);

        if (e == NULL) {
            ngx_rf_zone_free_locked(l->zone, blob);
            return NGX_RF_NEED_ROOM;
        }
    }

    ngx_rf_zone_replaced_locked(l->zone, e,
                                !ngx_rf_command_blind(l->command, l->argc,
                                                      l->argv),
                                l->now);
    ngx_rf_zone_set_locked(l->zone, e, type, blob);
    ngx_rf_zone_expire_locked(l->zone, e, expire);

    l->version = e->version;

    return NGX_OK;
}


ngx_int_t
ngx_rf_local_remove(ngx_rf_local_t *l, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_local_find(l, key);

    /* a DELTA that has lost all that is known of it may have more in Redis */

    if (e != NULL && e->type == NGX_RF_NONE && ngx_rf_zone_known(e)
        && (e->pending != NGX_RF_DELTA || e->complete))
    {
        return NGX_OK;
    }

    return ngx_rf_local_replace(l, key, NGX_RF_NONE, NULL, 0, NULL);
}


ngx_int_t
ngx_rf_local_merge(ngx_rf_local_t *l, ngx_str_t *key, ngx_str_t *data,
    ngx_uint_t argc, ngx_str_t *argv, ngx_uint_t compact)
{
    ngx_rf_blob_t     *blob;
    ngx_rf_entry_t    *e;
    ngx_rf_zchange_t  *change;

    e = ngx_rf_local_find(l, key);

    blob = ngx_rf_zone_blob_locked(l->zone, data->data, data->len, &e, 1);
    if (blob == NULL) {
        return NGX_RF_NEED_ROOM;
    }

    change = NULL;

    if ((e == NULL || e->pending != NGX_RF_REPLACE) && !l->mirror) {
        change = ngx_rf_zone_change_locked(l->zone, argc, argv, &e, 1);
        if (change == NULL) {
            goto failed;
        }
    }

    if (e == NULL) {
        e = ngx_rf_zone_insert_locked(l->zone, key, NULL, 0);
        if (e == NULL) {
            goto failed;
        }
    }

    if (!l->mirror) {
        ngx_rf_zone_delta_locked(l->zone, e, change, compact, l->now);
    }

    ngx_rf_zone_set_locked(l->zone, e, NGX_RF_STRING, blob);

    l->version = e->version;

    return NGX_OK;

failed:

    ngx_rf_zone_free_locked(l->zone, change);
    ngx_rf_zone_free_locked(l->zone, blob);

    return NGX_RF_NEED_ROOM;
}


ngx_int_t
ngx_rf_local_expire(ngx_rf_local_t *l, ngx_rf_entry_t *e, int64_t expire)
{
    u_char             text[NGX_INT64_LEN];
    ngx_str_t          argv[2];
    ngx_uint_t         compact;
    ngx_rf_zchange_t  *change, *last;

    change = NULL;
    compact = 0;

    if (e->pending != NGX_RF_REPLACE) {

        if (expire) {
            ngx_str_set(&argv[0], "PEXPIREAT");
            argv[1].data = text;
            argv[1].len = ngx_sprintf(text, "%L", expire) - text;

        } else {
            ngx_str_set(&argv[0], "PERSIST");
        }

        change = ngx_rf_zone_change_locked(l->zone, expire ? 2 : 1, argv, &e,
                                           1);
        if (change == NULL) {
            return NGX_RF_NEED_ROOM;
        }

        last = ngx_rf_zone_mergeable(e, 1);

        compact = last != NULL
                  && (ngx_rf_local_verb_is(last, "PEXPIREAT")
                      || ngx_rf_local_verb_is(last, "PERSIST"));
    }

    ngx_rf_zone_delta_locked(l->zone, e, change, compact, l->now);
    ngx_rf_zone_expire_locked(l->zone, e, expire);

    l->version = e->version;

    return NGX_OK;
}


ngx_uint_t
ngx_rf_local_combines(ngx_rf_entry_t *e, const char *verb, ngx_str_t *arg)
{
    ngx_uint_t         compact;
    ngx_rf_zchange_t  *c;

    if (e == NULL || e->pending != NGX_RF_DELTA) {
        return 0;
    }

    compact = 1;
    c = ngx_rf_zone_mergeable(e, 1);

    if (c != NULL
        && (ngx_rf_local_verb_is(c, "PEXPIREAT")
            || ngx_rf_local_verb_is(c, "PERSIST")))
    {
        compact = 2;
        c = ngx_rf_zone_mergeable(e, 2);
    }

    if (c == NULL
        || !ngx_rf_local_verb_is(c, verb)
        || ngx_rf_zone_change_str(c, 1, arg) != NGX_OK)
    {
        return 0;
    }

    return compact;
}


static ngx_uint_t
ngx_rf_local_verb_is(ngx_rf_zchange_t *c, const char *verb)
{
    ngx_str_t  str;

    return ngx_rf_zone_change_str(c, 0, &str) == NGX_OK
           && str.len == ngx_strlen(verb)
           && ngx_memcmp(str.data, verb, str.len) == 0;
}
