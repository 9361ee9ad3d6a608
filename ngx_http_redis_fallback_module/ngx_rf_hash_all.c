/*
 * Hashes: commands about all fields.  They read, and may take long, so they
 * let others have the lock now and then.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_coll_random.h"
#include "ngx_rf_hash_internal.h"
#include "ngx_rf_keyspace.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


static ngx_int_t ngx_rf_hash_scan_found(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_scan_t *scan, ngx_array_t *found);
static ngx_int_t ngx_rf_hash_collect(ngx_rf_local_t *l, ngx_array_t *found,
    ngx_rf_elt_t *elt);


ngx_int_t
ngx_rf_hash_all(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_uint_t       names, values;
    ngx_rf_elt_t    *elt;
    ngx_rf_coll_t    c;
    ngx_rf_walk_t    walk;
    ngx_rf_reply_t  *reply;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_HASH, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    names = (l->command->id != NGX_RF_CMD_HVALS);
    values = (l->command->id != NGX_RF_CMD_HKEYS);

    rc = ngx_rf_coll_array(l, c.elts.count * (names + values), &reply);

    if (rc != NGX_OK) {
        return rc;
    }

    for (elt = ngx_rf_walk_from(&walk, &c.elts, 0);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        if (names
            && ngx_rf_local_element(l, reply++, ngx_rf_elt_name(elt),
                                    elt->name_len)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (values
            && ngx_rf_local_element(l, reply++, ngx_rf_elt_value(elt),
                                    elt->value_len)
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_hash_scan(ngx_rf_local_t *l)
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
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_HASH, &c);
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

    if (ngx_array_init(&found, l->pool, 32, sizeof(ngx_rf_reply_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_rf_hash_scan_found(l, &c, &scan, &found);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_rf_keyspace_scan_reply(l, scan.cursor, &found);
}


/*
 * The cursor is the key of the next field, plus 1: it says the same whatever
 * happens to the hash, and 0 is free.  Fields with one key go out together.
 */

static ngx_int_t
ngx_rf_hash_scan_found(ngx_rf_local_t *l, ngx_rf_coll_t *c,
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
            && ngx_rf_hash_collect(l, found, elt) != NGX_OK)
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
ngx_rf_hash_collect(ngx_rf_local_t *l, ngx_array_t *found, ngx_rf_elt_t *elt)
{
    ngx_rf_reply_t  *reply;

    reply = ngx_array_push_n(found, 2);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(reply, 2 * sizeof(ngx_rf_reply_t));

    if (ngx_rf_local_element(l, &reply[0], ngx_rf_elt_name(elt),
                             elt->name_len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_rf_local_element(l, &reply[1], ngx_rf_elt_value(elt),
                                elt->value_len);
}


ngx_int_t
ngx_rf_hash_random(ngx_rf_local_t *l)
{
    int64_t        count;
    ngx_int_t      rc;
    ngx_uint_t     values;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;

    count = 0;
    values = (l->argc == 4);

    if (l->argc > 2) {
        rc = ngx_rf_coll_random_count(l, &l->argv[2], &count);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
        }

        if (l->argc > 4
            || (values && !ngx_rf_local_is(&l->argv[3], "withvalues")))
        {
            return ngx_rf_local_syntax(l);
        }

        if (values && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
            return ngx_rf_local_error(l, "ERR value is out of range");
        }
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_HASH, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (l->argc > 2) {
        return ngx_rf_coll_random_reply(l, &c, count, values);
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_nil(l);
    }

    elt = ngx_rf_tree_at(&c.elts, ngx_rf_coll_random(c.elts.count));

    return ngx_rf_local_string(l, ngx_rf_elt_name(elt), elt->name_len);
}
