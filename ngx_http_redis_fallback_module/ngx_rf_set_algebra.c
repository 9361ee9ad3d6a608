/*
 * Sets: SINTER, SUNION, SDIFF and what they are stored or counted by.
 *
 * All sets have one order, so the result comes out of walking through them side
 * by side, in that order again: next() gives its members one by one, whatever
 * is done with them.  Where a set is much larger than the one that leads, its
 * members are looked up instead.
 *
 * The walks are over trees, which stay as they were when the sets change: a
 * reader lets others have the lock now and then, and the result may be stored
 * in one of the sets that it comes from.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_set_internal.h"


/* a lookup costs as much as so many steps of a walk */
#define NGX_RF_SET_LOOKUP       16


typedef struct {
    ngx_rf_tree_t              tree;
    ngx_rf_walk_t              walk;
    ngx_rf_elt_t              *elt;     /* where the walk is; NULL: its end */
    ngx_uint_t                 lookup;  /* instead of a walk */
} ngx_rf_set_source_t;


typedef struct ngx_rf_set_algebra_s  ngx_rf_set_algebra_t;

typedef ngx_int_t (*ngx_rf_set_next_pt)(ngx_rf_set_algebra_t *a,
    ngx_rf_elt_t **elt);

struct ngx_rf_set_algebra_s {
    ngx_rf_local_t            *l;
    ngx_rf_set_next_pt         next;    /* NGX_DONE: no more */
    ngx_rf_set_source_t       *sources; /* the first one leads */
    ngx_uint_t                 n;       /* 0: the result is empty */
    ngx_rf_set_source_t      **heap;    /* SUNION: the least first */
    ngx_uint_t                 nheap;
    ngx_uint_t                 partial; /* not all of some set is known */
};


static ngx_int_t ngx_rf_set_algebra(ngx_rf_local_t *l,
    ngx_rf_set_algebra_t *a, ngx_uint_t first, ngx_uint_t n);
static ngx_int_t ngx_rf_set_source(ngx_rf_set_algebra_t *a, ngx_str_t *key);
static void ngx_rf_set_order(ngx_rf_set_algebra_t *a);
static void ngx_rf_set_start(ngx_rf_set_algebra_t *a);
static ngx_int_t ngx_rf_set_next_inter(ngx_rf_set_algebra_t *a,
    ngx_rf_elt_t **elt);
static ngx_int_t ngx_rf_set_next_diff(ngx_rf_set_algebra_t *a,
    ngx_rf_elt_t **elt);
static ngx_int_t ngx_rf_set_next_selected(ngx_rf_set_algebra_t *a,
    ngx_uint_t wanted, ngx_rf_elt_t **elt);
static ngx_int_t ngx_rf_set_next_union(ngx_rf_set_algebra_t *a,
    ngx_rf_elt_t **elt);
static ngx_int_t ngx_rf_set_has(ngx_rf_set_algebra_t *a,
    ngx_rf_set_source_t *s, ngx_rf_elt_t *elt, ngx_uint_t *has);
static ngx_int_t ngx_rf_set_step(ngx_rf_set_algebra_t *a,
    ngx_rf_set_source_t *s);
static void ngx_rf_set_sift(ngx_rf_set_algebra_t *a, ngx_uint_t i);
static ngx_int_t ngx_rf_set_compare(ngx_rf_elt_t *one, ngx_rf_elt_t *two);
static ngx_int_t ngx_rf_set_count(ngx_rf_set_algebra_t *a, uint64_t limit,
    uint64_t *count);
static ngx_int_t ngx_rf_set_store_all(ngx_rf_set_algebra_t *a,
    ngx_rf_coll_t *to);
static ngx_int_t ngx_rf_set_intercard_args(ngx_rf_local_t *l, int64_t *n,
    int64_t *limit);


/* SINTER, SUNION, SDIFF */

ngx_int_t
ngx_rf_set_combine(ngx_rf_local_t *l)
{
    uint64_t               count;
    ngx_int_t              rc;
    ngx_rf_elt_t          *elt;
    ngx_rf_reply_t        *reply;
    ngx_rf_set_algebra_t   a;

    rc = ngx_rf_set_algebra(l, &a, 1, l->argc - 1);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    /* going through the sets is cheap; elements of a reply are not */

    reply = NULL;

    rc = ngx_rf_set_count(&a, 0, &count);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_array(l, count, &reply);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_rf_set_start(&a);

    while (count-- && rc == NGX_OK) {

        rc = a.next(&a, &elt);

        if (rc == NGX_OK) {
            rc = ngx_rf_local_element(l, reply++, ngx_rf_elt_name(elt),
                                      elt->name_len);
        }
    }

    return rc;
}


/* SINTERSTORE, SUNIONSTORE, SDIFFSTORE */

ngx_int_t
ngx_rf_set_store(ngx_rf_local_t *l)
{
    uint64_t              count;
    ngx_int_t             rc;
    ngx_rf_coll_t         to;
    ngx_rf_set_algebra_t  a;

    rc = ngx_rf_set_algebra(l, &a, 2, l->argc - 2);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (a.partial) {
        /* the result would replace what the key holds, wrongly */
        return NGX_RF_NEED_REDIS;
    }

    ngx_rf_coll_fresh(l, &l->argv[1], NGX_RF_SET, &to);

    rc = ngx_rf_set_store_all(&a, &to);

    if (rc != NGX_OK) {
        return rc;
    }

    count = to.elts.count;
    rc = ngx_rf_coll_close(l, &to);

    return rc == NGX_OK ? ngx_rf_local_integer(l, count) : rc;
}


static ngx_int_t
ngx_rf_set_store_all(ngx_rf_set_algebra_t *a, ngx_rf_coll_t *to)
{
    ngx_int_t       rc, stored;
    ngx_uint_t      n;
    ngx_rf_elt_t   *elt;
    ngx_rf_item_t   items[NGX_RF_TREE_BATCH];

    ngx_memzero(items, sizeof(items));
    ngx_rf_set_start(a);

    do {
        n = 0;
        rc = NGX_OK;

        while (n < NGX_RF_TREE_BATCH) {
            rc = a->next(a, &elt);

            if (rc != NGX_OK) {
                break;
            }

            items[n].key = elt->key;
            items[n].name.data = ngx_rf_elt_name(elt);
            items[n].name.len = elt->name_len;
            n++;
        }

        if (rc != NGX_OK && rc != NGX_DONE) {
            return rc;
        }

        if (n) {
            stored = ngx_rf_coll_append(a->l, to, items, n);
            if (stored != NGX_OK) {
                return stored;
            }
        }

    } while (rc == NGX_OK);

    return NGX_OK;
}


ngx_int_t
ngx_rf_set_intercard(ngx_rf_local_t *l)
{
    int64_t               n, limit;
    uint64_t              count;
    ngx_int_t             rc;
    ngx_rf_set_algebra_t  a;

    rc = ngx_rf_set_intercard_args(l, &n, &limit);

    if (rc == NGX_OK) {
        rc = ngx_rf_set_algebra(l, &a, 2, n);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    rc = ngx_rf_set_count(&a, limit, &count);

    return rc == NGX_OK ? ngx_rf_local_integer(l, count) : rc;
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_set_intercard_args(ngx_rf_local_t *l, int64_t *n, int64_t *limit)
{
    ngx_int_t    rc;
    ngx_uint_t   i;
    const char  *error;

    *limit = 0;

    if (ngx_rf_local_number(&l->argv[1], n) != NGX_OK || *n < 1) {
        error = "ERR numkeys should be greater than 0";
        goto failed;
    }

    if (*n > (int64_t) l->argc - 2) {
        error = "ERR Number of keys can't be greater than number of args";
        goto failed;
    }

    for (i = 2 + *n; i < l->argc; i += 2) {

        if (!ngx_rf_local_is(&l->argv[i], "limit") || i + 1 == l->argc) {
            error = "ERR syntax error";
            goto failed;
        }

        if (ngx_rf_local_number(&l->argv[i + 1], limit) != NGX_OK
            || *limit < 0)
        {
            error = "ERR LIMIT can't be negative";
            goto failed;
        }
    }

    return NGX_OK;

failed:

    rc = ngx_rf_local_error(l, error);

    return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


/* of the n sets of argv[first] and so on.  NGX_DECLINED: WRONGTYPE was
 * replied */

static ngx_int_t
ngx_rf_set_algebra(ngx_rf_local_t *l, ngx_rf_set_algebra_t *a,
    ngx_uint_t first, ngx_uint_t n)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    ngx_memzero(a, sizeof(ngx_rf_set_algebra_t));

    a->l = l;

    switch (l->command->id) {

    case NGX_RF_CMD_SUNION:
    case NGX_RF_CMD_SUNIONSTORE:
        a->next = ngx_rf_set_next_union;
        break;

    case NGX_RF_CMD_SDIFF:
    case NGX_RF_CMD_SDIFFSTORE:
        a->next = ngx_rf_set_next_diff;
        break;

    default:
        a->next = ngx_rf_set_next_inter;
        break;
    }

    a->sources = ngx_palloc(l->pool, n * sizeof(ngx_rf_set_source_t));
    a->heap = ngx_palloc(l->pool, n * sizeof(ngx_rf_set_source_t *));

    if (a->sources == NULL || a->heap == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        rc = ngx_rf_set_source(a, &l->argv[first + i]);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_rf_set_order(a);

    return NGX_OK;
}


static ngx_int_t
ngx_rf_set_source(ngx_rf_set_algebra_t *a, ngx_str_t *key)
{
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(a->l, key, NGX_RF_SET, &c);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_rf_zone_partial(c.entry)) {
        a->partial = 1;
    }

    a->sources[a->n++].tree = c.elts;

    return NGX_OK;
}


/* the smallest one leads an intersection; empty ones have no part in anything,
 * or have decided it */

static void
ngx_rf_set_order(ngx_rf_set_algebra_t *a)
{
    ngx_uint_t            i, n, empty, least;
    ngx_rf_tree_t         tree;
    ngx_rf_set_source_t  *s;

    s = a->sources;
    empty = (s[0].tree.count == 0);
    least = 0;

    for (i = 1, n = 1; i < a->n; i++) {

        if (s[i].tree.count == 0) {
            empty |= (a->next == ngx_rf_set_next_inter);
            continue;
        }

        s[n].tree = s[i].tree;

        if (s[n].tree.count < s[least].tree.count) {
            least = n;
        }

        n++;
    }

    a->n = n;

    if (a->next == ngx_rf_set_next_union) {
        return;
    }

    if (empty) {
        a->n = 0;
        return;
    }

    if (a->next == ngx_rf_set_next_inter) {
        tree = s[0].tree;
        s[0].tree = s[least].tree;
        s[least].tree = tree;
    }

    for (i = 0; i < n; i++) {
        s[i].lookup = (s[i].tree.count / NGX_RF_SET_LOOKUP > s[0].tree.count);
    }
}


/* from the first member on, or again */

static void
ngx_rf_set_start(ngx_rf_set_algebra_t *a)
{
    ngx_uint_t            i;
    ngx_rf_set_source_t  *s;

    a->nheap = 0;

    for (i = 0; i < a->n; i++) {
        s = &a->sources[i];
        s->elt = ngx_rf_walk_from(&s->walk, &s->tree, 0);

        if (s->elt != NULL) {
            a->heap[a->nheap++] = s;
        }
    }

    if (a->next == ngx_rf_set_next_union) {
        for (i = a->nheap / 2; i-- > 0; /* void */ ) {
            ngx_rf_set_sift(a, i);
        }
    }
}


static ngx_int_t
ngx_rf_set_next_inter(ngx_rf_set_algebra_t *a, ngx_rf_elt_t **elt)
{
    return ngx_rf_set_next_selected(a, 1, elt);
}


static ngx_int_t
ngx_rf_set_next_diff(ngx_rf_set_algebra_t *a, ngx_rf_elt_t **elt)
{
    return ngx_rf_set_next_selected(a, 0, elt);
}


/* the next one of the set that leads that all others have, or none */

static ngx_int_t
ngx_rf_set_next_selected(ngx_rf_set_algebra_t *a, ngx_uint_t wanted,
    ngx_rf_elt_t **elt)
{
    ngx_int_t   rc;
    ngx_uint_t  i, has;

    if (a->n == 0) {
        return NGX_DONE;
    }

    for ( ;; ) {
        *elt = a->sources[0].elt;

        if (*elt == NULL) {
            return NGX_DONE;
        }

        has = wanted;

        for (i = 1; i < a->n && has == wanted; i++) {
            rc = ngx_rf_set_has(a, &a->sources[i], *elt, &has);

            if (rc != NGX_OK) {
                return rc;
            }
        }

        rc = ngx_rf_set_step(a, &a->sources[0]);

        if (rc != NGX_OK || has == wanted) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_rf_set_next_union(ngx_rf_set_algebra_t *a, ngx_rf_elt_t **elt)
{
    ngx_int_t             rc;
    ngx_rf_set_source_t  *s;

    if (a->nheap == 0) {
        return NGX_DONE;
    }

    *elt = a->heap[0]->elt;

    do {
        s = a->heap[0];

        rc = ngx_rf_set_step(a, s);
        if (rc != NGX_OK) {
            return rc;
        }

        if (s->elt == NULL) {
            a->heap[0] = a->heap[--a->nheap];
        }

        ngx_rf_set_sift(a, 0);

    } while (a->nheap && ngx_rf_set_compare(a->heap[0]->elt, *elt) == 0);

    return NGX_OK;
}


/* asked for members in their order */

static ngx_int_t
ngx_rf_set_has(ngx_rf_set_algebra_t *a, ngx_rf_set_source_t *s,
    ngx_rf_elt_t *elt, ngx_uint_t *has)
{
    uint64_t       rank;
    ngx_int_t      rc, order;
    ngx_rf_elt_t  *found;

    if (s->lookup) {
        ngx_rf_tree_search(&s->tree, elt->key, ngx_rf_elt_name(elt),
                           elt->name_len, &rank, &found);
        *has = (found != NULL);
        return NGX_OK;
    }

    *has = 0;

    while (s->elt != NULL) {

        order = ngx_rf_set_compare(s->elt, elt);

        if (order >= 0) {
            *has = (order == 0);
            break;
        }

        rc = ngx_rf_set_step(a, s);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_set_step(ngx_rf_set_algebra_t *a, ngx_rf_set_source_t *s)
{
    s->elt = ngx_rf_walk_next(&s->walk);

    return ngx_rf_coll_breathe(a->l);
}


/* the heap is in order, but for what the one at "i" has below it */

static void
ngx_rf_set_sift(ngx_rf_set_algebra_t *a, ngx_uint_t i)
{
    ngx_uint_t            child;
    ngx_rf_set_source_t  *s;

    s = a->heap[i];

    for (child = 2 * i + 1; child < a->nheap; child = 2 * i + 1) {

        if (child + 1 < a->nheap
            && ngx_rf_set_compare(a->heap[child + 1]->elt,
                                  a->heap[child]->elt)
               < 0)
        {
            child++;
        }

        if (ngx_rf_set_compare(s->elt, a->heap[child]->elt) <= 0) {
            break;
        }

        a->heap[i] = a->heap[child];
        i = child;
    }

    a->heap[i] = s;
}


/* the order of trees */

static ngx_int_t
ngx_rf_set_compare(ngx_rf_elt_t *one, ngx_rf_elt_t *two)
{
    ngx_int_t  rc;

    if (one->key != two->key) {
        return one->key < two->key ? -1 : 1;
    }

    rc = ngx_memcmp(ngx_rf_elt_name(one), ngx_rf_elt_name(two),
                    ngx_min(one->name_len, two->name_len));

    return rc ? rc : (ngx_int_t) one->name_len - (ngx_int_t) two->name_len;
}


/* up to "limit", unless that is 0 */

static ngx_int_t
ngx_rf_set_count(ngx_rf_set_algebra_t *a, uint64_t limit, uint64_t *count)
{
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;

    *count = 0;
    ngx_rf_set_start(a);

    for ( ;; ) {
        rc = a->next(a, &elt);

        if (rc != NGX_OK) {
            return rc == NGX_DONE ? NGX_OK : rc;
        }

        if (++*count == limit) {
            return NGX_OK;
        }
    }
}
