/*
 * Random elements.  A number of different ones is a map with a bit for each
 * rank: drawing sets bits until there are enough of them, or, where more than
 * half are wanted, clears those of the ones that are not.  So each draw is at
 * least as likely as not to be new, whatever the count.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_coll_random.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


static ngx_int_t ngx_rf_coll_random_repeat(ngx_rf_local_t *l,
    ngx_rf_coll_t *c, ngx_uint_t n, ngx_uint_t values);
static ngx_int_t ngx_rf_coll_random_distinct(ngx_rf_local_t *l,
    ngx_rf_coll_t *c, ngx_uint_t n, ngx_uint_t values);
static ngx_int_t ngx_rf_coll_random_map(ngx_rf_local_t *l, uint64_t size,
    uint64_t n, u_char **map);
static ngx_int_t ngx_rf_coll_random_element(ngx_rf_local_t *l,
    ngx_rf_elt_t *elt, ngx_rf_reply_t **reply, ngx_uint_t values);


uint64_t
ngx_rf_coll_random(uint64_t n)
{
    /* of 31 bits each */

    return (((uint64_t) ngx_random() << 31) ^ (uint64_t) ngx_random()) % n;
}


ngx_int_t
ngx_rf_coll_random_count(ngx_rf_local_t *l, ngx_str_t *arg, int64_t *count)
{
    ngx_int_t  rc;

    if (ngx_rf_local_number(arg, count) != NGX_OK) {
        rc = ngx_rf_local_not_integer(l);
        return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    if (*count == INT64_MIN) {
        rc = ngx_rf_local_error(l, "ERR value is out of range, value must "
                                "between -9223372036854775807 and "
                                "9223372036854775807");
        return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_coll_random_reply(ngx_rf_local_t *l, ngx_rf_coll_t *c, int64_t count,
    ngx_uint_t values)
{
    if (count == 0 || c->elts.count == 0) {
        return ngx_rf_local_array(l, 0) ? NGX_OK : NGX_ERROR;
    }

    if (count > 0) {
        return ngx_rf_coll_random_distinct(l, c,
                                           ngx_min((uint64_t) count,
                                                   c->elts.count),
                                           values);
    }

    if (count < -NGX_RF_COLL_RANDOM_MAX
        || (c->elts.count
            && c->elts.bytes / c->elts.count * (uint64_t) -count
               > NGX_RF_COLL_RANDOM_BYTES))
    {
        return ngx_rf_local_error(l, "ERR value is out of range");
    }

    return ngx_rf_coll_random_repeat(l, c, -count, values);
}


static ngx_int_t
ngx_rf_coll_random_repeat(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t n,
    ngx_uint_t values)
{
    ngx_int_t        rc;
    ngx_rf_elt_t    *elt;
    ngx_rf_reply_t  *reply;

    rc = ngx_rf_coll_array(l, values ? 2 * n : n, &reply);

    for ( /* void */ ; n && rc == NGX_OK; n--) {
        elt = ngx_rf_tree_at(&c->elts, ngx_rf_coll_random(c->elts.count));
        rc = ngx_rf_coll_random_element(l, elt, &reply, values);
    }

    return rc;
}


static ngx_int_t
ngx_rf_coll_random_distinct(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t n,
    ngx_uint_t values)
{
    u_char          *map;
    uint64_t         rank;
    ngx_int_t        rc;
    ngx_rf_elt_t    *elt;
    ngx_rf_reply_t  *reply;

    rc = ngx_rf_coll_random_map(l, c->elts.count, n, &map);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_array(l, values ? 2 * n : n, &reply);
    }

    for (rank = 0; n && rc == NGX_OK; rank++) {

        if (!(map[rank / 8] & (1 << rank % 8))) {
            continue;
        }

        elt = ngx_rf_tree_at(&c->elts, rank);
        rc = ngx_rf_coll_random_element(l, elt, &reply, values);
        n--;
    }

    return rc;
}


/* n of "size" bits are set */

static ngx_int_t
ngx_rf_coll_random_map(ngx_rf_local_t *l, uint64_t size, uint64_t n,
    u_char **map)
{
    u_char     *p, bit, not;
    uint64_t    rank, draws;
    ngx_int_t   rc;

    *map = ngx_palloc(l->pool, size / 8 + 1);
    if (*map == NULL) {
        return NGX_ERROR;
    }

    not = (n > size / 2) ? 0xff : 0;
    draws = not ? size - n : n;

    ngx_memset(*map, not, size / 8 + 1);

    while (draws) {
        rank = ngx_rf_coll_random(size);

        p = &(*map)[rank / 8];
        bit = 1 << rank % 8;

        if ((*p ^ not) & bit) {
            continue;
        }

        *p ^= bit;
        draws--;

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_coll_random_element(ngx_rf_local_t *l, ngx_rf_elt_t *elt,
    ngx_rf_reply_t **reply, ngx_uint_t values)
{
    if (ngx_rf_local_element(l, (*reply)++, ngx_rf_elt_name(elt),
                             elt->name_len)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (values
        && ngx_rf_local_element(l, (*reply)++, ngx_rf_elt_value(elt),
                                elt->value_len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_rf_coll_breathe(l);
}
