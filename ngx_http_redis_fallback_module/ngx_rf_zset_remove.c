/*
 * Sorted sets: what removes members.  Those that are known are told to Redis
 * one by one.  A range of a set that is known in part may mean members in Redis
 * that memory has never seen: there the command itself is told.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_zset_internal.h"


static ngx_int_t ngx_rf_zset_pop_count(ngx_rf_local_t *l, int64_t *count);
static ngx_int_t ngx_rf_zset_pop_reply(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    uint64_t n, ngx_uint_t max);
static ngx_int_t ngx_rf_zset_discard(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    uint64_t first, uint64_t n);


ngx_int_t
ngx_rf_zset_rem(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_uint_t     i, n;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

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

    rc = ngx_rf_coll_close(l, &c);

    return rc == NGX_OK ? ngx_rf_local_integer(l, n) : rc;
}


/* ZPOPMIN, ZPOPMAX */

ngx_int_t
ngx_rf_zset_pop(ngx_rf_local_t *l)
{
    int64_t        count;
    uint64_t       n;
    ngx_int_t      rc;
    ngx_uint_t     max;
    ngx_rf_coll_t  c;

    rc = ngx_rf_zset_pop_count(l, &count);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    max = (l->command->id == NGX_RF_CMD_ZPOPMAX);
    n = ngx_min((uint64_t) count, c.order.count);

    rc = ngx_rf_zset_pop_reply(l, &c, n, max);

    if (rc == NGX_OK && n) {
        rc = ngx_rf_coll_remove_order(l, &c, max ? c.order.count - n : 0, n);
    }

    return rc == NGX_OK ? ngx_rf_coll_close(l, &c) : rc;
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_zset_pop_count(ngx_rf_local_t *l, int64_t *count)
{
    ngx_int_t  rc;

    *count = 1;

    if (l->argc > 3) {
        return ngx_rf_local_syntax(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    if (l->argc == 3
        && (ngx_rf_local_number(&l->argv[2], count) != NGX_OK || *count < 0))
    {
        rc = ngx_rf_local_error(l, "ERR value is out of range, must be "
                                "positive");
        return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zset_pop_reply(ngx_rf_local_t *l, ngx_rf_coll_t *c, uint64_t n,
    ngx_uint_t max)
{
    ngx_int_t        rc;
    ngx_rf_elt_t    *elt;
    ngx_rf_walk_t    walk;
    ngx_rf_reply_t  *elts, *last;

    rc = ngx_rf_coll_array(l, 2 * n, &elts);

    if (rc != NGX_OK || n == 0) {
        return rc;
    }

    elt = ngx_rf_walk_from(&walk, &c->order, max ? c->order.count - 1 : 0);

    for (last = elts + 2 * n; elts < last && elt; elts += 2) {

        if (ngx_rf_zset_reply_member(l, elts, elt) != NGX_OK
            || ngx_rf_zset_reply_score(l, &elts[1], ngx_rf_zset_score_at(elt))
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        elt = max ? ngx_rf_walk_prev(&walk) : ngx_rf_walk_next(&walk);
    }

    return NGX_OK;
}


/* ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX */

ngx_int_t
ngx_rf_zset_remrange(ngx_rf_local_t *l)
{
    uint64_t             first, n;
    ngx_int_t            rc;
    ngx_rf_coll_t        c;
    ngx_rf_zset_range_t  range;

    switch (l->command->id) {

    case NGX_RF_CMD_ZREMRANGEBYRANK:
        range.by = NGX_RF_ZSET_RANK;
        break;

    case NGX_RF_CMD_ZREMRANGEBYSCORE:
        range.by = NGX_RF_ZSET_SCORE;
        break;

    default: /* NGX_RF_CMD_ZREMRANGEBYLEX */
        range.by = NGX_RF_ZSET_LEX;
    }

    rc = ngx_rf_zset_range_parse(l, &l->argv[2], &l->argv[3], &range);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    ngx_rf_zset_range_find(&c, &range, &first, &n);

    rc = ngx_rf_zset_discard(l, &c, first, n);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_close(l, &c);
    }

    return rc == NGX_OK ? ngx_rf_local_integer(l, n) : rc;
}


static ngx_int_t
ngx_rf_zset_discard(ngx_rf_local_t *l, ngx_rf_coll_t *c, uint64_t first,
    uint64_t n)
{
    ngx_int_t  rc;

    rc = NGX_OK;

    if (c->complete) {
        return n ? ngx_rf_coll_remove_order(l, c, first, n) : NGX_OK;
    }

    if (n) {
        rc = ngx_rf_coll_discard_order(l, c, first, n);
    }

    if (rc == NGX_OK) {
        ngx_rf_coll_given(l, c, 1);
    }

    return rc;
}
