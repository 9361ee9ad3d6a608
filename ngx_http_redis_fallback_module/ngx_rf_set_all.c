/*
 * Sets: commands about all members, or any.  Those that only read may take
 * long, so they let others have the lock now and then.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_coll_random.h"
#include "ngx_rf_keyspace.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_set_internal.h"


static ngx_int_t ngx_rf_set_scan_found(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_scan_t *scan, ngx_array_t *found);
static ngx_int_t ngx_rf_set_collect(ngx_rf_local_t *l, ngx_array_t *found,
    ngx_rf_elt_t *elt);
static ngx_int_t ngx_rf_set_pop_one(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_reply_t *reply);


ngx_int_t
ngx_rf_set_members(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_rf_elt_t    *elt;
    ngx_rf_coll_t    c;
    ngx_rf_walk_t    walk;
    ngx_rf_reply_t  *reply;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_SET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    rc = ngx_rf_coll_array(l, c.elts.count, &reply);

    for (elt = ngx_rf_walk_from(&walk, &c.elts, 0);
         elt != NULL && rc == NGX_OK;
         elt = ngx_rf_walk_next(&walk))
    {
        if (ngx_rf_local_element(l, reply++, ngx_rf_elt_name(elt),
                                 elt->name_len)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_rf_coll_breathe(l);
    }

    return rc;
}


ngx_int_t
ngx_rf_set_scan(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_array_t    found;
    ngx_rf_coll_t  c;
    ngx_rf_scan_t  scan;

    if (l->scope == NGX_RF_SCOPE_FRESH) {
        /* the cursor may be one of Redis', or go there */
        return NGX_RF_NEED_REDIS;
    }

    rc = ngx_rf_keyspace_scan_cursor(l, &l->argv[2], &scan);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_SET, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_keyspace_scan_reply(l, 0, NULL);
    }

    rc = ngx_rf_keyspace_scan_args(l, 3, &scan);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (ngx_array_init(&found, l->pool, 16, sizeof(ngx_rf_reply_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_rf_set_scan_found(l, &c, &scan, &found);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_rf_keyspace_scan_reply(l, scan.cursor, &found);
}


/*
 * The cursor is the key of the next member, plus 1: it says the same whatever
 * happens to the set, and 0 is free.  Members with one key go out together.
 */

static ngx_int_t
ngx_rf_set_scan_found(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_scan_t *scan, ngx_array_t *found)
{
    int64_t        n;
    uint64_t       rank, key;
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;
    ngx_rf_walk_t  walk;

    rank = 0;

    if (scan->cursor) {
        ngx_rf_tree_search(&c->elts, scan->cursor - 1, (u_char *) "", 0, &rank,
                           &elt);
    }

    n = 0;
    key = 0;

    for (elt = ngx_rf_walk_from(&walk, &c->elts, rank);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        if (n++ >= scan->count && elt->key != key) {
            scan->cursor = elt->key + 1;
            return NGX_OK;
        }

        key = elt->key;

        if (ngx_rf_keyspace_scan_match(scan, ngx_rf_elt_name(elt),
                                       elt->name_len)
            && ngx_rf_set_collect(l, found, elt) != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    scan->cursor = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_set_collect(ngx_rf_local_t *l, ngx_array_t *found, ngx_rf_elt_t *elt)
{
    ngx_rf_reply_t  *reply;

    reply = ngx_array_push(found);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(reply, sizeof(ngx_rf_reply_t));

    return ngx_rf_local_element(l, reply, ngx_rf_elt_name(elt),
                                elt->name_len);
}


ngx_int_t
ngx_rf_set_pop(ngx_rf_local_t *l)
{
    int64_t          count;
    ngx_int_t        rc;
    ngx_uint_t       i, n;
    ngx_rf_coll_t    c;
    ngx_rf_reply_t  *reply;

    if (l->argc > 3) {
        return ngx_rf_local_syntax(l);
    }

    count = 1;

    if (l->argc == 3
        && (ngx_rf_local_number(&l->argv[2], &count) != NGX_OK || count < 0))
    {
        return ngx_rf_local_error(l, "ERR value is out of range, must be "
                                  "positive");
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_SET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    n = ngx_min((uint64_t) count, c.elts.count);

    if (l->argc == 3) {
        rc = ngx_rf_coll_array(l, n, &reply);

    } else {
        rc = ngx_rf_local_nil(l);
        reply = l->reply;
    }

    for (i = 0; i < n && rc == NGX_OK; i++) {
        rc = ngx_rf_set_pop_one(l, &c, &reply[i]);
    }

    return rc == NGX_OK ? ngx_rf_coll_close(l, &c) : rc;
}


static ngx_int_t
ngx_rf_set_pop_one(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_reply_t *reply)
{
    ngx_rf_elt_t  *elt;

    elt = ngx_rf_tree_at(&c->elts, ngx_rf_coll_random(c->elts.count));

    if (ngx_rf_local_element(l, reply, ngx_rf_elt_name(elt), elt->name_len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_rf_coll_remove(l, c, &reply->str);
}


ngx_int_t
ngx_rf_set_random(ngx_rf_local_t *l)
{
    int64_t        count;
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;

    if (l->argc > 3) {
        return ngx_rf_local_syntax(l);
    }

    count = 0;

    if (l->argc == 3) {
        rc = ngx_rf_coll_random_count(l, &l->argv[2], &count);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
        }
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_SET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (l->argc == 3) {
        return ngx_rf_coll_random_reply(l, &c, count, 0);
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_nil(l);
    }

    elt = ngx_rf_tree_at(&c.elts, ngx_rf_coll_random(c.elts.count));

    return ngx_rf_local_string(l, ngx_rf_elt_name(elt), elt->name_len);
}
