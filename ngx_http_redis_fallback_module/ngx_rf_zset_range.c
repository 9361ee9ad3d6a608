/*
 * Sorted sets: ranges by rank, score and member, and the commands that read
 * them.  A range is found in O(log n) as a rank and a number of elements; what
 * is then done with it does not depend on how it was given.
 *
 * Ranges of members assume that all scores are equal, as Redis does.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_zset_internal.h"


typedef struct {
    ngx_rf_zset_range_t   range;
    ngx_int_t             reverse;      /* -1: not said yet */
    ngx_uint_t            withscores;
    int64_t               offset;
    int64_t               limit;        /* negative: none */
} ngx_rf_zset_query_t;


static void ngx_rf_zset_query_kind(ngx_rf_local_t *l,
    ngx_rf_zset_query_t *query);
static ngx_int_t ngx_rf_zset_query_parse(ngx_rf_local_t *l,
    ngx_rf_zset_query_t *query);
static ngx_int_t ngx_rf_zset_query_options(ngx_rf_local_t *l,
    ngx_rf_zset_query_t *query);
static void ngx_rf_zset_query_find(ngx_rf_coll_t *c,
    ngx_rf_zset_query_t *query, uint64_t *first, uint64_t *n);
static ngx_int_t ngx_rf_zset_query_reply(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_query_t *query, uint64_t first, uint64_t n);
static ngx_int_t ngx_rf_zset_range_score(ngx_rf_local_t *l, ngx_str_t *text,
    ngx_rf_zset_bound_t *bound);
static ngx_int_t ngx_rf_zset_range_lex(ngx_str_t *text,
    ngx_rf_zset_bound_t *bound);
static void ngx_rf_zset_find_rank(ngx_rf_coll_t *c, ngx_rf_zset_range_t *range,
    uint64_t *from, uint64_t *to);
static uint64_t ngx_rf_zset_find_score(ngx_rf_coll_t *c, double score,
    ngx_uint_t beyond);
static uint64_t ngx_rf_zset_find_name(ngx_rf_coll_t *c,
    ngx_rf_zset_bound_t *bound, ngx_uint_t beyond);


/* ZRANGE and the five that it has replaced */

ngx_int_t
ngx_rf_zset_range(ngx_rf_local_t *l)
{
    uint64_t             first, n;
    ngx_int_t            rc;
    ngx_rf_coll_t        c;
    ngx_rf_zset_query_t  query;

    rc = ngx_rf_zset_query_parse(l, &query);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    ngx_rf_zset_query_find(&c, &query, &first, &n);

    return ngx_rf_zset_query_reply(l, &c, &query, first, n);
}


/* ZCOUNT, ZLEXCOUNT */

ngx_int_t
ngx_rf_zset_count(ngx_rf_local_t *l)
{
    uint64_t             first, n;
    ngx_int_t            rc;
    ngx_rf_coll_t        c;
    ngx_rf_zset_range_t  range;

    range.by = (l->command->id == NGX_RF_CMD_ZCOUNT) ? NGX_RF_ZSET_SCORE
                                                     : NGX_RF_ZSET_LEX;

    rc = ngx_rf_zset_range_parse(l, &l->argv[2], &l->argv[3], &range);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    ngx_rf_zset_range_find(&c, &range, &first, &n);

    return ngx_rf_local_integer(l, n);
}


/* what the command's name says already */

static void
ngx_rf_zset_query_kind(ngx_rf_local_t *l, ngx_rf_zset_query_t *query)
{
    ngx_memzero(query, sizeof(ngx_rf_zset_query_t));

    query->limit = -1;

    switch (l->command->id) {

    case NGX_RF_CMD_ZRANGE:
        query->reverse = -1;
        return;

    case NGX_RF_CMD_ZREVRANGE:
        query->range.by = NGX_RF_ZSET_RANK;
        query->reverse = 1;
        return;

    case NGX_RF_CMD_ZRANGEBYSCORE:
        query->range.by = NGX_RF_ZSET_SCORE;
        return;

    case NGX_RF_CMD_ZREVRANGEBYSCORE:
        query->range.by = NGX_RF_ZSET_SCORE;
        query->reverse = 1;
        return;

    case NGX_RF_CMD_ZRANGEBYLEX:
        query->range.by = NGX_RF_ZSET_LEX;
        return;

    default: /* NGX_RF_CMD_ZREVRANGEBYLEX */
        query->range.by = NGX_RF_ZSET_LEX;
        query->reverse = 1;
    }
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_zset_query_parse(ngx_rf_local_t *l, ngx_rf_zset_query_t *query)
{
    ngx_int_t    rc;
    ngx_str_t   *min, *max;
    const char  *text;

    ngx_rf_zset_query_kind(l, query);

    rc = ngx_rf_zset_query_options(l, query);
    if (rc != NGX_OK) {
        return rc;
    }

    if (query->reverse == -1) {
        query->reverse = 0;
    }

    if (query->range.by == NGX_RF_ZSET_AUTO) {
        query->range.by = NGX_RF_ZSET_RANK;
    }

    text = NULL;

    if (query->range.by == NGX_RF_ZSET_RANK && query->limit != -1) {
        text = "ERR syntax error, LIMIT is only supported in combination with "
               "either BYSCORE or BYLEX";

    } else if (query->range.by == NGX_RF_ZSET_LEX && query->withscores) {
        text = "ERR syntax error, WITHSCORES not supported in combination with "
               "BYLEX";
    }

    if (text) {
        rc = ngx_rf_local_error(l, text);
        return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    min = &l->argv[2];
    max = &l->argv[3];

    if (query->reverse && query->range.by != NGX_RF_ZSET_RANK) {
        min = &l->argv[3];
        max = &l->argv[2];
    }

    return ngx_rf_zset_range_parse(l, min, max, &query->range);
}


static ngx_int_t
ngx_rf_zset_query_options(ngx_rf_local_t *l, ngx_rf_zset_query_t *query)
{
    ngx_str_t   *arg;
    ngx_uint_t   i, is_auto;

    for (i = 4; i < l->argc; i++) {
        arg = &l->argv[i];
        is_auto = (query->range.by == NGX_RF_ZSET_AUTO);

        if (ngx_rf_local_is(arg, "withscores")) {
            query->withscores = 1;

        } else if (ngx_rf_local_is(arg, "limit") && i + 2 < l->argc) {

            if (ngx_rf_local_number(&arg[1], &query->offset) != NGX_OK
                || ngx_rf_local_number(&arg[2], &query->limit) != NGX_OK)
            {
                return ngx_rf_local_not_integer(l) == NGX_OK ? NGX_DECLINED
                                                             : NGX_ERROR;
            }

            i += 2;

        } else if (ngx_rf_local_is(arg, "rev") && query->reverse == -1) {
            query->reverse = 1;

        } else if (ngx_rf_local_is(arg, "bylex") && is_auto) {
            query->range.by = NGX_RF_ZSET_LEX;

        } else if (ngx_rf_local_is(arg, "byscore") && is_auto) {
            query->range.by = NGX_RF_ZSET_SCORE;

        } else {
            return ngx_rf_local_syntax(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* the elements of the reply, "first" being the one that is least */

static void
ngx_rf_zset_query_find(ngx_rf_coll_t *c, ngx_rf_zset_query_t *query,
    uint64_t *first, uint64_t *n)
{
    ngx_rf_zset_range_find(c, &query->range, first, n);

    if (query->range.by == NGX_RF_ZSET_RANK) {

        if (query->reverse) {
            *first = c->order.count - *first - *n;
        }

        return;
    }

    if (query->offset < 0 || (uint64_t) query->offset >= *n) {
        *n = 0;
        return;
    }

    *n -= query->offset;

    if (!query->reverse) {
        *first += query->offset;
    }

    if (query->limit >= 0 && (uint64_t) query->limit < *n) {

        if (query->reverse) {
            *first += *n - query->limit;
        }

        *n = query->limit;
    }
}


static ngx_int_t
ngx_rf_zset_query_reply(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_query_t *query, uint64_t first, uint64_t n)
{
    ngx_int_t        rc;
    ngx_uint_t       each;
    ngx_rf_elt_t    *elt;
    ngx_rf_walk_t    walk;
    ngx_rf_reply_t  *elts, *last;

    each = query->withscores ? 2 : 1;

    rc = ngx_rf_coll_array(l, n * each, &elts);

    if (rc != NGX_OK || n == 0) {
        return rc;
    }

    elt = ngx_rf_walk_from(&walk, &c->order,
                           query->reverse ? first + n - 1 : first);

    for (last = elts + n * each; elts < last && elt; elts += each) {

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }

        if (ngx_rf_zset_reply_member(l, elts, elt) != NGX_OK) {
            return NGX_ERROR;
        }

        if (query->withscores
            && ngx_rf_zset_reply_score(l, &elts[1], ngx_rf_zset_score_at(elt))
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        elt = query->reverse ? ngx_rf_walk_prev(&walk)
                             : ngx_rf_walk_next(&walk);
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_zset_range_parse(ngx_rf_local_t *l, ngx_str_t *min, ngx_str_t *max,
    ngx_rf_zset_range_t *range)
{
    ngx_int_t    rc;
    const char  *text;

    ngx_memzero(&range->min, sizeof(ngx_rf_zset_bound_t));
    ngx_memzero(&range->max, sizeof(ngx_rf_zset_bound_t));

    switch (range->by) {

    case NGX_RF_ZSET_SCORE:
        rc = ngx_rf_zset_range_score(l, min, &range->min);

        if (rc == NGX_OK) {
            rc = ngx_rf_zset_range_score(l, max, &range->max);
        }

        text = "ERR min or max is not a float";
        break;

    case NGX_RF_ZSET_LEX:
        rc = ngx_rf_zset_range_lex(min, &range->min);

        if (rc == NGX_OK) {
            rc = ngx_rf_zset_range_lex(max, &range->max);
        }

        text = "ERR min or max not valid string range item";
        break;

    default: /* NGX_RF_ZSET_RANK */
        rc = ngx_rf_local_number(min, &range->min.rank);

        if (rc == NGX_OK) {
            rc = ngx_rf_local_number(max, &range->max.rank);
        }

        text = "ERR value is not an integer or out of range";
    }

    if (rc == NGX_DECLINED && ngx_rf_local_error(l, text) != NGX_OK) {
        return NGX_ERROR;
    }

    return rc;
}


/*
 * More is a number here than for a score to be stored: what lies before it is
 * skipped, nothing at all is zero, and too large a one is infinite.  Redis
 * reads a C string: a zero byte ends it.
 */

static ngx_int_t
ngx_rf_zset_range_score(ngx_rf_local_t *l, ngx_str_t *text,
    ngx_rf_zset_bound_t *bound)
{
    char  buf[NGX_RF_ZSET_SCORE_LEN], *p, *end;

    p = ngx_rf_zset_text(l, text, buf, sizeof(buf));
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (*p == '(') {
        bound->exclusive = 1;
        p++;
    }

    bound->score = strtod(p, &end);

    return (*end != '\0' || isnan(bound->score)) ? NGX_DECLINED : NGX_OK;
}


static ngx_int_t
ngx_rf_zset_range_lex(ngx_str_t *text, ngx_rf_zset_bound_t *bound)
{
    u_char  *p;

    p = text->data;

    if (text->len == 0) {
        return NGX_DECLINED;
    }

    switch (*p) {

    case '+':
    case '-':
        if (text->len > 1 && p[1] != '\0') {
            return NGX_DECLINED;
        }

        bound->infinite = (*p == '+') ? 1 : -1;
        return NGX_OK;

    case '(':
    case '[':
        bound->exclusive = (*p == '(');
        bound->name.data = p + 1;
        bound->name.len = text->len - 1;
        return NGX_OK;

    default:
        return NGX_DECLINED;
    }
}


void
ngx_rf_zset_range_find(ngx_rf_coll_t *c, ngx_rf_zset_range_t *range,
    uint64_t *first, uint64_t *n)
{
    uint64_t              from, to;
    ngx_rf_zset_bound_t  *min, *max;

    min = &range->min;
    max = &range->max;

    switch (range->by) {

    case NGX_RF_ZSET_SCORE:
        from = ngx_rf_zset_find_score(c, min->score, min->exclusive);
        to = ngx_rf_zset_find_score(c, max->score, !max->exclusive);
        break;

    case NGX_RF_ZSET_LEX:
        from = ngx_rf_zset_find_name(c, min, min->exclusive);
        to = ngx_rf_zset_find_name(c, max, !max->exclusive);
        break;

    default: /* NGX_RF_ZSET_RANK */
        ngx_rf_zset_find_rank(c, range, &from, &to);
    }

    *first = from;
    *n = (from < to) ? to - from : 0;
}


static void
ngx_rf_zset_find_rank(ngx_rf_coll_t *c, ngx_rf_zset_range_t *range,
    uint64_t *from, uint64_t *to)
{
    int64_t  start, end, count;

    count = c->order.count;
    start = range->min.rank;
    end = range->max.rank;

    if (start < 0) {
        start = ngx_max(start + count, 0);
    }

    if (end < 0) {
        end = ngx_max(end + count, -1);
    }

    *from = ngx_min(start, count);
    *to = (end < count) ? end + 1 : count;
}


/* how many elements come before the score, with "beyond" those that have it
 * included: the key of infinity is not the greatest integer */

static uint64_t
ngx_rf_zset_find_score(ngx_rf_coll_t *c, double score, ngx_uint_t beyond)
{
    uint64_t       rank;
    ngx_rf_elt_t  *elt;

    ngx_rf_tree_search(&c->order, ngx_rf_coll_score(score) + beyond,
                       (u_char *) "", 0, &rank, &elt);

    return rank;
}


/* the same for a member */

static uint64_t
ngx_rf_zset_find_name(ngx_rf_coll_t *c, ngx_rf_zset_bound_t *bound,
    ngx_uint_t beyond)
{
    uint64_t       rank;
    ngx_str_t     *name;
    ngx_rf_elt_t  *elt;

    elt = ngx_rf_tree_at(&c->order, 0);

    if (elt == NULL || bound->infinite < 0) {
        return 0;
    }

    if (bound->infinite > 0) {
        return c->order.count;
    }

    name = &bound->name;

    ngx_rf_tree_search(&c->order, elt->key, name->data, name->len, &rank,
                       &elt);

    return rank + (beyond && elt != NULL);
}
