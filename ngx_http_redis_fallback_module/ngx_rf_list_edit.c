/*
 * Lists: changes in their middle, and finding elements.
 *
 * Redis is told such a change as it was given, where it does not become a
 * replacement: ranks here and there may differ once others wrote to the list.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_list_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


/* neighbours that are removed by one splice */

typedef struct {
    uint64_t              rank;
    uint64_t              n;
} ngx_rf_list_run_t;


/* what LPOS looks for */

typedef struct {
    int64_t               rank;
    int64_t               count;        /* -1: one, not as an array */
    int64_t               max;          /* elements looked at; 0: all */
    ngx_uint_t            backward;
} ngx_rf_list_pos_t;


static ngx_array_t *ngx_rf_list_runs(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    int64_t count, ngx_str_t *value, uint64_t *found);
static ngx_int_t ngx_rf_list_run(ngx_array_t *runs, uint64_t rank);
static ngx_int_t ngx_rf_list_remove(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_array_t *runs, ngx_uint_t descending);
static ngx_int_t ngx_rf_list_pos_options(ngx_rf_local_t *l,
    ngx_rf_list_pos_t *pos);
static ngx_int_t ngx_rf_list_pos_option(ngx_rf_local_t *l, ngx_uint_t i,
    ngx_rf_list_pos_t *pos);
static ngx_int_t ngx_rf_list_find(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_list_pos_t *pos, ngx_array_t *ranks);
static ngx_int_t ngx_rf_list_pos_reply(ngx_rf_local_t *l,
    ngx_rf_list_pos_t *pos, ngx_array_t *ranks);
static ngx_uint_t ngx_rf_list_is(ngx_rf_elt_t *elt, ngx_str_t *value);


ngx_int_t
ngx_rf_list_set(ngx_rf_local_t *l)
{
    int64_t        index;
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_error(l, "ERR no such key");
    }

    if (ngx_rf_local_number(&l->argv[2], &index) != NGX_OK) {
        return ngx_rf_local_not_integer(l);
    }

    if (ngx_rf_list_rank(&c, &index) != NGX_OK) {
        return ngx_rf_local_error(l, "ERR index out of range");
    }

    rc = ngx_rf_coll_splice(l, &c, index, 1, &l->argv[3], 1);

    if (rc == NGX_OK) {
        ngx_rf_coll_given(l, &c, 0);
        rc = ngx_rf_coll_close(l, &c);
    }

    return rc == NGX_OK ? ngx_rf_local_status(l, "OK") : rc;
}


ngx_int_t
ngx_rf_list_insert(ngx_rf_local_t *l)
{
    uint64_t       rank, count;
    ngx_int_t      rc;
    ngx_uint_t     after;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;
    ngx_rf_walk_t  walk;

    after = ngx_rf_local_is(&l->argv[2], "after");

    if (!after && !ngx_rf_local_is(&l->argv[2], "before")) {
        return ngx_rf_local_syntax(l);
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_integer(l, 0);
    }

    rank = 0;
    elt = ngx_rf_walk_from(&walk, &c.elts, 0);

    while (elt != NULL && !ngx_rf_list_is(elt, &l->argv[3])) {
        rank++;
        elt = ngx_rf_walk_next(&walk);

        rc = ngx_rf_coll_breathe(l);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (elt == NULL) {
        return ngx_rf_local_integer(l, -1);
    }

    rc = ngx_rf_coll_splice(l, &c, rank + after, 0, &l->argv[4], 1);

    if (rc != NGX_OK) {
        return rc;
    }

    count = c.elts.count;

    ngx_rf_coll_given(l, &c, 0);
    rc = ngx_rf_coll_close(l, &c);

    return rc == NGX_OK ? ngx_rf_local_integer(l, count) : rc;
}


ngx_int_t
ngx_rf_list_rem(ngx_rf_local_t *l)
{
    int64_t        count;
    uint64_t       found;
    ngx_int_t      rc;
    ngx_array_t   *runs;
    ngx_rf_coll_t  c;

    if (ngx_rf_local_number(&l->argv[2], &count) != NGX_OK) {
        return ngx_rf_local_not_integer(l);
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    runs = ngx_rf_list_runs(l, &c, count, &l->argv[3], &found);
    if (runs == NULL) {
        return l->lost ? NGX_RF_NEED_RETRY : NGX_ERROR;
    }

    rc = ngx_rf_list_remove(l, &c, runs, count < 0);

    if (rc == NGX_OK && (found || !c.complete)) {
        ngx_rf_coll_given(l, &c, 1);
        rc = ngx_rf_coll_close(l, &c);
    }

    return rc == NGX_OK ? ngx_rf_local_integer(l, found) : rc;
}


/* where the elements are that LREM removes: from the end on if "count" is
 * negative, all of them if it is 0.  NULL: no memory, or the zone was lost */

static ngx_array_t *
ngx_rf_list_runs(ngx_rf_local_t *l, ngx_rf_coll_t *c, int64_t count,
    ngx_str_t *value, uint64_t *found)
{
    uint64_t       rank, most;
    ngx_array_t   *runs;
    ngx_rf_elt_t  *elt;
    ngx_rf_walk_t  walk;

    runs = ngx_array_create(l->pool, 4, sizeof(ngx_rf_list_run_t));
    if (runs == NULL) {
        return NULL;
    }

    *found = 0;

    most = (count == 0) ? c->elts.count
                        : (count < 0) ? 0 - (uint64_t) count
                                      : (uint64_t) count;

    if (c->elts.count == 0) {
        return runs;
    }

    rank = (count < 0) ? c->elts.count - 1 : 0;
    elt = ngx_rf_walk_from(&walk, &c->elts, rank);

    while (elt != NULL && *found < most) {

        if (ngx_rf_list_is(elt, value)) {

            if (ngx_rf_list_run(runs, rank) != NGX_OK) {
                return NULL;
            }

            (*found)++;
        }

        if (ngx_rf_coll_breathe(l) != NGX_OK) {
            return NULL;
        }

        if (count < 0) {
            rank--;
            elt = ngx_rf_walk_prev(&walk);

        } else {
            rank++;
            elt = ngx_rf_walk_next(&walk);
        }
    }

    return runs;
}


static ngx_int_t
ngx_rf_list_run(ngx_array_t *runs, uint64_t rank)
{
    ngx_rf_list_run_t  *run;

    if (runs->nelts) {
        run = (ngx_rf_list_run_t *) runs->elts + runs->nelts - 1;

        if (rank == run->rank + run->n) {
            run->n++;
            return NGX_OK;
        }

        if (rank + 1 == run->rank) {
            run->rank--;
            run->n++;
            return NGX_OK;
        }
    }

    run = ngx_array_push(runs);
    if (run == NULL) {
        return NGX_ERROR;
    }

    run->rank = rank;
    run->n = 1;

    return NGX_OK;
}


/* the last ones first, so that the ranks of the others stay */

static ngx_int_t
ngx_rf_list_remove(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_array_t *runs,
    ngx_uint_t descending)
{
    ngx_int_t           rc;
    ngx_uint_t          i;
    ngx_rf_list_run_t  *run;

    for (i = 0; i < runs->nelts; i++) {

        run = runs->elts;
        run += descending ? i : runs->nelts - 1 - i;

        rc = ngx_rf_coll_splice(l, c, run->rank, run->n, NULL, 0);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_list_trim(ngx_rf_local_t *l)
{
    int64_t        start, end;
    uint64_t       n, count;
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    if (ngx_rf_local_number(&l->argv[2], &start) != NGX_OK
        || ngx_rf_local_number(&l->argv[3], &end) != NGX_OK)
    {
        return ngx_rf_local_not_integer(l);
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    count = c.elts.count;
    n = ngx_rf_list_limits(&c, &start, &end);

    if (n == count && c.complete) {
        return ngx_rf_local_status(l, "OK");
    }

    if (start + n < count) {
        rc = ngx_rf_coll_splice(l, &c, start + n, count - start - n, NULL, 0);
    }

    if (rc == NGX_OK && start > 0) {
        rc = ngx_rf_coll_splice(l, &c, 0, start, NULL, 0);
    }

    if (rc == NGX_OK) {
        ngx_rf_coll_given(l, &c, 0);
        rc = ngx_rf_coll_close(l, &c);
    }

    return rc == NGX_OK ? ngx_rf_local_status(l, "OK") : rc;
}


ngx_int_t
ngx_rf_list_pos(ngx_rf_local_t *l)
{
    ngx_int_t          rc;
    ngx_array_t        ranks;
    ngx_rf_coll_t      c;
    ngx_rf_list_pos_t  pos;

    rc = ngx_rf_list_pos_options(l, &pos);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (ngx_array_init(&ranks, l->pool, 4, sizeof(int64_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_rf_list_find(l, &c, &pos, &ranks);

    return rc == NGX_OK ? ngx_rf_list_pos_reply(l, &pos, &ranks) : rc;
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_list_pos_options(ngx_rf_local_t *l, ngx_rf_list_pos_t *pos)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    pos->rank = 1;
    pos->count = -1;
    pos->max = 0;

    for (i = 3; i < l->argc; i += 2) {

        rc = ngx_rf_list_pos_option(l, i, pos);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    pos->backward = (pos->rank < 0);

    if (pos->rank == INT64_MIN) {
        /* in Redis it stays negative, so that all matches are beyond it, and
         * more of them than any COUNT */
        pos->count = ngx_min(pos->count, 0);

    } else if (pos->backward) {
        pos->rank = -pos->rank;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_list_pos_option(ngx_rf_local_t *l, ngx_uint_t i, ngx_rf_list_pos_t *pos)
{
    ngx_int_t   rc;
    ngx_str_t  *arg, *value;

    arg = &l->argv[i];
    value = &l->argv[i + 1];

    if (i + 1 == l->argc) {
        rc = ngx_rf_local_syntax(l);

    } else if (ngx_rf_local_is(arg, "rank")) {

        if (ngx_rf_local_number(value, &pos->rank) != NGX_OK) {
            rc = ngx_rf_local_not_integer(l);

        } else if (pos->rank == 0) {
            rc = ngx_rf_local_error(l, "ERR RANK can't be zero: use 1 to start "
                                    "from the first match, 2 from the second "
                                    "... or use negative to start from the end "
                                    "of the list");
        } else {
            return NGX_OK;
        }

    } else if (ngx_rf_local_is(arg, "count")) {

        if (ngx_rf_local_number(value, &pos->count) == NGX_OK
            && pos->count >= 0)
        {
            return NGX_OK;
        }

        rc = ngx_rf_local_error(l, "ERR COUNT can't be negative");

    } else if (ngx_rf_local_is(arg, "maxlen")) {

        if (ngx_rf_local_number(value, &pos->max) == NGX_OK && pos->max >= 0) {
            return NGX_OK;
        }

        rc = ngx_rf_local_error(l, "ERR MAXLEN can't be negative");

    } else {
        rc = ngx_rf_local_syntax(l);
    }

    return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


static ngx_int_t
ngx_rf_list_find(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_list_pos_t *pos,
    ngx_array_t *ranks)
{
    int64_t        count, matches, n, most, *rank;
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;
    ngx_rf_walk_t  walk;

    count = c->elts.count;
    matches = 0;

    if (count == 0) {
        return NGX_OK;
    }

    /* 0: all there are */
    most = (pos->count < 0) ? 1 : pos->count;

    elt = ngx_rf_walk_from(&walk, &c->elts, pos->backward ? count - 1 : 0);

    for (n = 0; elt != NULL && (pos->max == 0 || n < pos->max); n++) {

        if (ngx_rf_list_is(elt, &l->argv[2]) && ++matches >= pos->rank) {

            rank = ngx_array_push(ranks);
            if (rank == NULL) {
                return NGX_ERROR;
            }

            *rank = pos->backward ? count - 1 - n : n;

            if (most && ranks->nelts >= (uint64_t) most) {
                break;
            }
        }

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }

        elt = pos->backward ? ngx_rf_walk_prev(&walk)
                            : ngx_rf_walk_next(&walk);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_list_pos_reply(ngx_rf_local_t *l, ngx_rf_list_pos_t *pos,
    ngx_array_t *ranks)
{
    int64_t         *rank;
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_reply_t  *elts;

    rank = ranks->elts;

    if (pos->count < 0) {
        return ranks->nelts ? ngx_rf_local_integer(l, rank[0])
                            : ngx_rf_local_nil(l);
    }

    rc = ngx_rf_coll_array(l, ranks->nelts, &elts);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < ranks->nelts; i++) {
        elts[i].type = NGX_RF_REPLY_INTEGER;
        elts[i].integer = rank[i];
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_rf_list_is(ngx_rf_elt_t *elt, ngx_str_t *value)
{
    return elt->name_len == value->len
           && ngx_memcmp(ngx_rf_elt_name(elt), value->data, value->len) == 0;
}
