/*
 * Sorted sets: ZRANDMEMBER and ZSCAN, which answer some of the members, in no
 * order.
 *
 * ZSCAN walks "elts", which is sorted by a hash of 32 bits that a member never
 * loses: the hash of the next one is a cursor that stays good, and members of
 * the same hash go out together.  So each that is there all the time is
 * returned exactly once.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_coll_random.h"
#include "ngx_rf_keyspace.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_zset_internal.h"


static ngx_int_t ngx_rf_zset_rand_one(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_zset_rand_scores(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_zset_scan_from(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_scan_t *scan, ngx_array_t *found, uint64_t *cursor);
static ngx_int_t ngx_rf_zset_scan_found(ngx_rf_local_t *l, ngx_array_t *found,
    ngx_rf_elt_t *elt);


ngx_int_t
ngx_rf_zset_randmember(ngx_rf_local_t *l)
{
    int64_t        count;
    ngx_int_t      rc;
    ngx_uint_t     withscores;
    ngx_rf_coll_t  c;

    if (l->argc == 2) {
        return ngx_rf_zset_rand_one(l);
    }

    rc = ngx_rf_coll_random_count(l, &l->argv[2], &count);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    withscores = (l->argc == 4);

    if (l->argc > 4
        || (withscores && !ngx_rf_local_is(&l->argv[3], "withscores")))
    {
        return ngx_rf_local_syntax(l);
    }

    if (withscores && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
        return ngx_rf_local_error(l, "ERR value is out of range");
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    rc = ngx_rf_coll_random_reply(l, &c, count, withscores);

    return (rc == NGX_OK && withscores) ? ngx_rf_zset_rand_scores(l) : rc;
}


static ngx_int_t
ngx_rf_zset_rand_one(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_nil(l);
    }

    elt = ngx_rf_tree_at(&c.elts, ngx_rf_coll_random(c.elts.count));

    return ngx_rf_local_string(l, ngx_rf_elt_name(elt), elt->name_len);
}


/* every second element is a score as it is kept: a double */

static ngx_int_t
ngx_rf_zset_rand_scores(ngx_rf_local_t *l)
{
    double           score;
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_reply_t  *reply;

    for (i = 1; i < l->reply->nelts; i += 2) {

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }

        reply = &l->reply->elts[i];
        ngx_memcpy(&score, reply->str.data, sizeof(double));

        if (ngx_rf_zset_reply_score(l, reply, score) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_zset_scan(ngx_rf_local_t *l)
{
    uint64_t       cursor;
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
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
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

    rc = ngx_rf_zset_scan_from(l, &c, &scan, &found, &cursor);

    return rc == NGX_OK ? ngx_rf_keyspace_scan_reply(l, cursor, &found) : rc;
}


/* a cursor is the hash to go on with plus one: 0 is both begin and end */

static ngx_int_t
ngx_rf_zset_scan_from(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_scan_t *scan,
    ngx_array_t *found, uint64_t *cursor)
{
    int64_t         n;
    uint64_t        rank, hash;
    ngx_int_t       rc;
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    rank = 0;
    hash = 0;

    if (scan->cursor) {
        ngx_rf_tree_search(&c->elts, scan->cursor - 1, (u_char *) "", 0, &rank,
                           &elt);
    }

    elt = ngx_rf_walk_from(&walk, &c->elts, rank);

    for (n = 0; elt && (n < scan->count || elt->key == hash); n++) {

        rc = ngx_rf_coll_breathe(l);

        if (rc == NGX_OK
            && ngx_rf_keyspace_scan_match(scan, ngx_rf_elt_name(elt),
                                          elt->name_len))
        {
            rc = ngx_rf_zset_scan_found(l, found, elt);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        hash = elt->key;
        elt = ngx_rf_walk_next(&walk);
    }

    *cursor = elt ? elt->key + 1 : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zset_scan_found(ngx_rf_local_t *l, ngx_array_t *found,
    ngx_rf_elt_t *elt)
{
    ngx_rf_reply_t  *reply;

    reply = ngx_array_push_n(found, 2);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(reply, 2 * sizeof(ngx_rf_reply_t));

    if (ngx_rf_zset_reply_member(l, reply, elt) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_rf_zset_reply_score(l, &reply[1], ngx_rf_coll_score_of(elt));
}
