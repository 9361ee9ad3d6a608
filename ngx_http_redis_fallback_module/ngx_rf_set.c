/*
 * Sets: single members.  What is about all or any of them is in
 * ngx_rf_set_all.c, what combines several sets in ngx_rf_set_algebra.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_set_internal.h"


static ngx_int_t ngx_rf_set_open(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_set_add(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_set_rem(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_set_card(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_set_ismember(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_set_mismember(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_set_move(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_set_move_to(ngx_rf_local_t *l, ngx_rf_coll_t *from);


ngx_rf_local_pt
ngx_rf_set_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_SADD:
        return ngx_rf_set_add;

    case NGX_RF_CMD_SREM:
        return ngx_rf_set_rem;

    case NGX_RF_CMD_SCARD:
        return ngx_rf_set_card;

    case NGX_RF_CMD_SISMEMBER:
        return ngx_rf_set_ismember;

    case NGX_RF_CMD_SMISMEMBER:
        return ngx_rf_set_mismember;

    case NGX_RF_CMD_SMOVE:
        return ngx_rf_set_move;

    case NGX_RF_CMD_SMEMBERS:
        return ngx_rf_set_members;

    case NGX_RF_CMD_SSCAN:
        return ngx_rf_set_scan;

    case NGX_RF_CMD_SPOP:
        return ngx_rf_set_pop;

    case NGX_RF_CMD_SRANDMEMBER:
        return ngx_rf_set_random;

    case NGX_RF_CMD_SINTER:
    case NGX_RF_CMD_SUNION:
    case NGX_RF_CMD_SDIFF:
        return ngx_rf_set_combine;

    case NGX_RF_CMD_SINTERSTORE:
    case NGX_RF_CMD_SUNIONSTORE:
    case NGX_RF_CMD_SDIFFSTORE:
        return ngx_rf_set_store;

    case NGX_RF_CMD_SINTERCARD:
        return ngx_rf_set_intercard;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_rf_set_open(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    return ngx_rf_coll_open(l, &l->argv[1], NGX_RF_SET, c);
}


ngx_int_t
ngx_rf_set_put(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *member,
    ngx_uint_t *added)
{
    ngx_uint_t  is;

    is = (ngx_rf_coll_get(l, c, member) != NULL);

    if (is && c->complete) {
        return NGX_OK;
    }

    *added += !is;

    return ngx_rf_coll_put(l, c, member, NULL, NGX_RF_DELTA_SET, NULL);
}


static ngx_int_t
ngx_rf_set_add(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_uint_t     i, added;
    ngx_rf_coll_t  c;

    rc = ngx_rf_set_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    added = 0;

    for (i = 2; i < l->argc; i++) {

        rc = ngx_rf_set_put(l, &c, &l->argv[i], &added);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_rf_coll_close(l, &c);

    return rc == NGX_OK ? ngx_rf_local_integer(l, added) : rc;
}


static ngx_int_t
ngx_rf_set_rem(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_uint_t     i, n;
    ngx_rf_coll_t  c;

    rc = ngx_rf_set_open(l, &c);

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

    /* of members that memory does not know Redis is told as well */

    rc = ngx_rf_coll_close(l, &c);

    return rc == NGX_OK ? ngx_rf_local_integer(l, n) : rc;
}


static ngx_int_t
ngx_rf_set_card(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_set_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    return ngx_rf_local_integer(l, c.elts.count);
}


static ngx_int_t
ngx_rf_set_ismember(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_uint_t     is;
    ngx_rf_coll_t  c;

    rc = ngx_rf_set_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    is = (ngx_rf_coll_get(l, &c, &l->argv[2]) != NULL);

    return ngx_rf_local_integer(l, is);
}


static ngx_int_t
ngx_rf_set_mismember(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_coll_t    c;
    ngx_rf_reply_t  *elts;

    rc = ngx_rf_set_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    elts = ngx_rf_local_array(l, l->argc - 2);
    if (elts == NULL) {
        return NGX_ERROR;
    }

    for (i = 2; i < l->argc; i++) {
        elts[i - 2].type = NGX_RF_REPLY_INTEGER;
        elts[i - 2].integer = (ngx_rf_coll_get(l, &c, &l->argv[i]) != NULL);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_set_move(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_str_t       *from, *to;
    ngx_uint_t       is;
    ngx_rf_coll_t    c;
    ngx_rf_entry_t  *e;

    from = &l->argv[1];
    to = &l->argv[2];

    rc = ngx_rf_set_open(l, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        /* whatever the other key holds */
        return ngx_rf_local_integer(l, 0);
    }

    e = ngx_rf_local_find(l, to);

    if (ngx_rf_local_exists(e) && e->type != NGX_RF_SET) {
        return ngx_rf_local_wrong_type(l);
    }

    is = (ngx_rf_coll_get(l, &c, &l->argv[3]) != NULL);

    if (!is
        || (from->len == to->len
            && ngx_memcmp(from->data, to->data, to->len) == 0))
    {
        return ngx_rf_local_integer(l, is);
    }

    rc = ngx_rf_set_move_to(l, &c);

    return rc == NGX_OK ? ngx_rf_local_integer(l, 1) : rc;
}


static ngx_int_t
ngx_rf_set_move_to(ngx_rf_local_t *l, ngx_rf_coll_t *from)
{
    ngx_int_t      rc;
    ngx_uint_t     added;
    ngx_rf_coll_t  to;

    rc = ngx_rf_coll_remove(l, from, &l->argv[3]);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_close(l, from);
    }

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[2], NGX_RF_SET, &to);
    }

    if (rc == NGX_OK) {
        added = 0;
        rc = ngx_rf_set_put(l, &to, &l->argv[3], &added);
    }

    return rc == NGX_OK ? ngx_rf_coll_close(l, &to) : rc;
}
