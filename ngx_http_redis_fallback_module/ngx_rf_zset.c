/*
 * Sorted sets: the commands about single members, and how scores are read and
 * printed.  Others are in ngx_rf_zset_add.c, _range.c, _remove.c, _some.c.
 *
 * A sorted set is two trees: "elts" finds a member and holds its score, "order"
 * is sorted by score and member, so that a rank is a matter of O(log n), and so
 * is the rank where a range of scores or of members begins.
 *
 * Replies, errors and the order of checks are those of Redis 7.0: syntax and
 * numbers first, then the type of the key, an absent key being an empty set.
 * A negative zero is kept as zero, as Redis does it in small sets.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_zset_internal.h"


/* integers below this have at most 15 digits: no exponent is printed */
#define NGX_RF_ZSET_INTEGER     1e15


static ngx_int_t ngx_rf_zset_card(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_zset_get(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_zset_mget(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_zset_rank(ngx_rf_local_t *l);


ngx_rf_local_pt
ngx_rf_zset_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_ZADD:
    case NGX_RF_CMD_ZINCRBY:
        return ngx_rf_zset_add;

    case NGX_RF_CMD_ZREM:
        return ngx_rf_zset_rem;

    case NGX_RF_CMD_ZSCORE:
        return ngx_rf_zset_get;

    case NGX_RF_CMD_ZMSCORE:
        return ngx_rf_zset_mget;

    case NGX_RF_CMD_ZCARD:
        return ngx_rf_zset_card;

    case NGX_RF_CMD_ZCOUNT:
    case NGX_RF_CMD_ZLEXCOUNT:
        return ngx_rf_zset_count;

    case NGX_RF_CMD_ZRANK:
    case NGX_RF_CMD_ZREVRANK:
        return ngx_rf_zset_rank;

    case NGX_RF_CMD_ZRANGE:
    case NGX_RF_CMD_ZREVRANGE:
    case NGX_RF_CMD_ZRANGEBYSCORE:
    case NGX_RF_CMD_ZREVRANGEBYSCORE:
    case NGX_RF_CMD_ZRANGEBYLEX:
    case NGX_RF_CMD_ZREVRANGEBYLEX:
        return ngx_rf_zset_range;

    case NGX_RF_CMD_ZPOPMIN:
    case NGX_RF_CMD_ZPOPMAX:
        return ngx_rf_zset_pop;

    case NGX_RF_CMD_ZRANDMEMBER:
        return ngx_rf_zset_randmember;

    case NGX_RF_CMD_ZREMRANGEBYSCORE:
    case NGX_RF_CMD_ZREMRANGEBYRANK:
    case NGX_RF_CMD_ZREMRANGEBYLEX:
        return ngx_rf_zset_remrange;

    case NGX_RF_CMD_ZSCAN:
        return ngx_rf_zset_scan;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_rf_zset_card(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    return ngx_rf_local_integer(l, c.elts.count);
}


static ngx_int_t
ngx_rf_zset_get(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    elt = ngx_rf_coll_get(l, &c, &l->argv[2]);

    if (ngx_rf_local_nil(l) != NGX_OK) {
        return NGX_ERROR;
    }

    if (elt == NULL) {
        return NGX_OK;
    }

    return ngx_rf_zset_reply_score(l, l->reply, ngx_rf_coll_score_of(elt));
}


static ngx_int_t
ngx_rf_zset_mget(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_elt_t    *elt;
    ngx_rf_coll_t    c;
    ngx_rf_reply_t  *elts;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

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
            && ngx_rf_zset_reply_score(l, &elts[i - 2],
                                       ngx_rf_coll_score_of(elt))
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zset_rank(ngx_rf_local_t *l)
{
    uint64_t       rank, key;
    ngx_int_t      rc;
    ngx_str_t     *name;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    name = &l->argv[2];
    elt = ngx_rf_coll_get(l, &c, name);

    if (elt == NULL) {
        return ngx_rf_local_nil(l);
    }

    key = ngx_rf_coll_score(ngx_rf_coll_score_of(elt));

    ngx_rf_tree_search(&c.order, key, name->data, name->len, &rank, &elt);

    if (l->command->id == NGX_RF_CMD_ZREVRANK) {
        rank = c.order.count - 1 - rank;
    }

    return ngx_rf_local_integer(l, rank);
}


char *
ngx_rf_zset_text(ngx_rf_local_t *l, ngx_str_t *text, char *buf, size_t size)
{
    if (text->len >= size) {

        buf = ngx_pnalloc(l->pool, text->len + 1);
        if (buf == NULL) {
            return NULL;
        }
    }

    ngx_memcpy(buf, text->data, text->len);
    buf[text->len] = '\0';

    return buf;
}


ngx_int_t
ngx_rf_zset_score(ngx_rf_local_t *l, ngx_str_t *text, double *score)
{
    char   buf[NGX_RF_ZSET_SCORE_LEN], *p, *end;

    p = ngx_rf_zset_text(l, text, buf, sizeof(buf));
    if (p == NULL) {
        return NGX_ERROR;
    }

    errno = 0;
    *score = strtod(p, &end);

    if (text->len == 0 || *p == ' ' || (*p >= '\t' && *p <= '\r')
        || (size_t) (end - p) != text->len
        || (errno == ERANGE
            && (isinf(*score) || fpclassify(*score) == FP_ZERO))
        || isnan(*score))
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


size_t
ngx_rf_zset_score_text(double score, u_char *buf)
{
    if (isinf(score)) {
        return ngx_sprintf(buf, score > 0 ? "inf" : "-inf") - buf;
    }

    if (score == trunc(score) && !signbit(score)
        && score < NGX_RF_ZSET_INTEGER)
    {
        return ngx_sprintf(buf, "%L", (int64_t) score) - buf;
    }

    /* nginx's own formats know no exponent */

    return snprintf((char *) buf, NGX_RF_ZSET_SCORE_LEN, "%.17g", score);
}


/* the inverse of ngx_rf_coll_score() */

double
ngx_rf_zset_score_at(ngx_rf_elt_t *elt)
{
    double    score;
    uint64_t  bits, sign;

    sign = (uint64_t) 1 << 63;
    bits = (elt->key & sign) ? elt->key & ~sign : ~elt->key;

    ngx_memcpy(&score, &bits, sizeof(double));

    return score;
}


ngx_int_t
ngx_rf_zset_reply_member(ngx_rf_local_t *l, ngx_rf_reply_t *reply,
    ngx_rf_elt_t *elt)
{
    return ngx_rf_local_element(l, reply, ngx_rf_elt_name(elt),
                                elt->name_len);
}


ngx_int_t
ngx_rf_zset_reply_score(ngx_rf_local_t *l, ngx_rf_reply_t *reply, double score)
{
    u_char  buf[NGX_RF_ZSET_SCORE_LEN];

    return ngx_rf_local_element(l, reply, buf,
                                ngx_rf_zset_score_text(score, buf));
}
