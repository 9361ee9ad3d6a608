/*
 * Changes of collections: to their trees, and to the notes of what Redis is to
 * be told.
 *
 * The notes hold one line for each element, so that a million changes of one
 * counter are one.  What a line says already and what is to be said now make
 * one line again, where that is exact; where not, the notes are closed and new
 * ones begun.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_coll_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_string.h"


#define ngx_rf_coll_splice_one(l, tree, rank, ndel, item)                    \
    (ngx_rf_tree_splice(&(l)->zone->heap, tree, rank, ndel, item, 1)         \
     == NGX_OK ? NGX_OK : NGX_RF_NEED_ROOM)

#define ngx_rf_coll_cut(l, tree, rank, ndel)                                 \
    (ngx_rf_tree_splice(&(l)->zone->heap, tree, rank, ndel, NULL, 0)         \
     == NGX_OK ? NGX_OK : NGX_RF_NEED_ROOM)


static ngx_int_t ngx_rf_coll_store(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_find_t *place, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_rf_coll_unstore(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    uint64_t rank);
static ngx_int_t ngx_rf_coll_store_order(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name, double score);
static ngx_int_t ngx_rf_coll_unstore_order(ngx_rf_local_t *l,
    ngx_rf_coll_t *c, ngx_str_t *name, double score);
static ngx_int_t ngx_rf_coll_move_order(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name, double from, double to);
static ngx_int_t ngx_rf_coll_remove_below(ngx_rf_local_t *l,
    ngx_rf_coll_t *c, ngx_str_t *name, ngx_rf_elt_t *line);
static ngx_int_t ngx_rf_coll_note(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_find_t *line, ngx_str_t *name, ngx_str_t *value,
    ngx_rf_delta_e how, ngx_str_t *amount);
static ngx_uint_t ngx_rf_coll_combine(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_elt_t *line, ngx_rf_delta_e *how, ngx_str_t *value,
    ngx_str_t *amount);
static ngx_uint_t ngx_rf_coll_sum(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_elt_t *line, ngx_str_t *amount);
static ngx_int_t ngx_rf_coll_note_line(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_find_t *line, ngx_str_t *name, ngx_rf_delta_e how,
    ngx_str_t *operand);
static ngx_int_t ngx_rf_coll_note_pop(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_uint_t tail, ngx_rf_elt_t *elt);


/* what a change of one element, or of a batch, weighs against reading one */
#define NGX_RF_COLL_WORK        8
#define NGX_RF_COLL_WORK_BATCH  16

#define ngx_rf_coll_notes_wanted(l, c)  (!(c)->replace && !(l)->mirror)


ngx_int_t
ngx_rf_coll_put(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    ngx_str_t *value, ngx_rf_delta_e how, ngx_str_t *amount)
{
    ngx_int_t      rc;
    ngx_str_t      below, none = ngx_string("");
    ngx_rf_find_t  place, line;

    if (value == NULL) {
        value = &none;
    }

    ngx_rf_coll_find(l, c, name, &place, &line);

    if (l->late && line.elt != NULL) {
        below = *value;
        rc = ngx_rf_coll_noted(l, c, line.elt, &below);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : rc;
        }

        value = &below;
    }

    rc = ngx_rf_coll_store(l, c, &place, name, value);

    if (rc == NGX_OK && ngx_rf_coll_notes_wanted(l, c)) {
        rc = ngx_rf_coll_note(l, c, &line, name, value, how, amount);
    }

    return rc == NGX_OK ? ngx_rf_coll_pause(l, NGX_RF_COLL_WORK) : rc;
}


ngx_int_t
ngx_rf_coll_put_score(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    double score, ngx_rf_delta_e how, double amount)
{
    double         old;
    ngx_int_t      rc;
    ngx_str_t      value, operand;
    ngx_uint_t     was;
    ngx_rf_find_t  place, line;

    ngx_rf_coll_find(l, c, name, &place, &line);

    if (l->late && line.elt != NULL) {
        value.data = (u_char *) &score;
        value.len = sizeof(double);

        rc = ngx_rf_coll_noted(l, c, line.elt, &value);

        if (rc != NGX_OK) {
            return rc == NGX_DECLINED ? NGX_OK : rc;
        }

        ngx_memmove(&score, value.data, sizeof(double));
    }

    was = (place.elt != NULL);
    old = was ? ngx_rf_coll_score_of(place.elt) : 0;

    value.data = (u_char *) &score;
    value.len = sizeof(double);

    operand.data = (u_char *) &amount;
    operand.len = sizeof(double);

    if (!was || ngx_memcmp(&old, &score, sizeof(double)) != 0) {

        rc = ngx_rf_coll_store(l, c, &place, name, &value);

        if (rc == NGX_OK) {
            rc = was ? ngx_rf_coll_move_order(l, c, name, old, score)
                     : ngx_rf_coll_store_order(l, c, name, score);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = NGX_OK;

    if (ngx_rf_coll_notes_wanted(l, c)) {
        rc = ngx_rf_coll_note(l, c, &line, name, &value, how,
                              how == NGX_RF_DELTA_INCR ? &operand : &value);
    }

    return rc == NGX_OK ? ngx_rf_coll_pause(l, 2 * NGX_RF_COLL_WORK) : rc;
}


ngx_int_t
ngx_rf_coll_remove(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name)
{
    double         score;
    ngx_int_t      rc;
    ngx_uint_t     was;
    ngx_rf_find_t  place, line;

    ngx_rf_coll_find(l, c, name, &place, &line);

    if (l->late && line.elt != NULL) {
        return ngx_rf_coll_remove_below(l, c, name, line.elt);
    }

    was = (place.elt != NULL);
    rc = NGX_OK;

    if (was) {
        score = c->type == NGX_RF_ZSET ? ngx_rf_coll_score_of(place.elt)
                                      : 0;
        rc = ngx_rf_coll_unstore(l, c, place.rank);

        if (rc == NGX_OK && c->type == NGX_RF_ZSET) {
            rc = ngx_rf_coll_unstore_order(l, c, name, score);
        }
    }

    if (rc == NGX_OK
        && (was || !c->complete) && ngx_rf_coll_notes_wanted(l, c))
    {
        rc = ngx_rf_coll_note(l, c, &line, name, NULL, NGX_RF_DELTA_DEL,
                              NULL);
    }

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_pause(l, NGX_RF_COLL_WORK);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return was ? NGX_OK : NGX_DECLINED;
}


/* Redis has no such element: what is noted of it is all there is */

static ngx_int_t
ngx_rf_coll_remove_below(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    ngx_rf_elt_t *line)
{
    double     score;
    ngx_int_t  rc;
    ngx_str_t  value;

    ngx_str_null(&value);

    rc = ngx_rf_coll_noted(l, c, line, &value);

    if (rc != NGX_OK) {
        return rc;
    }

    /* as its own value, over which the note is not to be put again */

    l->late = 0;

    if (c->type == NGX_RF_ZSET) {
        ngx_memcpy(&score, value.data, sizeof(double));
        rc = ngx_rf_coll_put_score(l, c, name, score, NGX_RF_DELTA_SET, 0);

    } else {
        rc = ngx_rf_coll_put(l, c, name, &value, NGX_RF_DELTA_SET, NULL);
    }

    l->late = 1;

    return rc;
}


ngx_int_t
ngx_rf_coll_noted(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_elt_t *line,
    ngx_str_t *value)
{
    double          score, noted;
    ngx_str_t       operand;
    ngx_rf_delta_e  how;

    how = ngx_rf_elt_value(line)[0];

    operand.data = ngx_rf_elt_value(line) + 1;
    operand.len = line->value_len - 1;

    if (how == NGX_RF_DELTA_DEL) {
        return NGX_DECLINED;
    }

    if (how == NGX_RF_DELTA_SET || value->data == NULL) {
        *value = operand;
        return NGX_OK;
    }

    if (how == NGX_RF_DELTA_GT || how == NGX_RF_DELTA_LT) {
        ngx_memcpy(&score, value->data, sizeof(double));
        ngx_memcpy(&noted, operand.data, sizeof(double));

        if ((how == NGX_RF_DELTA_GT) == (noted > score)) {
            *value = operand;
        }

        return NGX_OK;
    }

    return ngx_rf_coll_sum(l, c, line, value) ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_rf_coll_remove_order(ngx_rf_local_t *l, ngx_rf_coll_t *c, uint64_t rank,
    uint64_t n)
{
    uint64_t        i;
    ngx_int_t       rc;
    ngx_str_t       name;
    ngx_rf_elt_t   *elt;
    ngx_rf_find_t   line;
    ngx_rf_walk_t   walk;

    if (ngx_rf_coll_notes_wanted(l, c)) {

        elt = ngx_rf_walk_from(&walk, &c->order, rank);

        for (i = 0; i < n && elt != NULL; i++) {
            name.data = ngx_rf_elt_name(elt);
            name.len = elt->name_len;

            line.key = ngx_rf_coll_hash(l, &name);
            ngx_rf_tree_search(&c->delta.tree[0], line.key, name.data,
                               name.len, &line.rank, &line.elt);

            rc = ngx_rf_coll_note(l, c, &line, &name, NULL, NGX_RF_DELTA_DEL,
                                  NULL);

            if (rc == NGX_OK) {
                rc = ngx_rf_coll_pause(l, NGX_RF_COLL_WORK);
            }

            if (rc != NGX_OK) {
                return rc;
            }

            elt = ngx_rf_walk_next(&walk);
        }
    }

    return ngx_rf_coll_discard_order(l, c, rank, n);
}


ngx_int_t
ngx_rf_coll_discard_order(ngx_rf_local_t *l, ngx_rf_coll_t *c, uint64_t rank,
    uint64_t n)
{
    uint64_t        i, place;
    ngx_int_t       rc;
    ngx_str_t       name;
    ngx_rf_elt_t   *elt, *was;
    ngx_rf_walk_t   walk;

    elt = ngx_rf_walk_from(&walk, &c->order, rank);

    for (i = 0; i < n && elt != NULL; i++) {
        name.data = ngx_rf_elt_name(elt);
        name.len = elt->name_len;

        ngx_rf_tree_search(&c->elts, ngx_rf_coll_hash(l, &name), name.data,
                           name.len, &place, &was);

        rc = was ? ngx_rf_coll_unstore(l, c, place) : NGX_OK;

        if (rc == NGX_OK) {
            rc = ngx_rf_coll_pause(l, NGX_RF_COLL_WORK);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        elt = ngx_rf_walk_next(&walk);
    }

    return i ? ngx_rf_coll_cut(l, &c->order, rank, i) : NGX_OK;
}


ngx_int_t
ngx_rf_coll_append(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_item_t *items,
    ngx_uint_t n)
{
    c->changed = 1;

    if (ngx_rf_tree_splice(&l->zone->heap, &c->elts, c->elts.count, 0, items,
                           n)
        != NGX_OK)
    {
        return NGX_RF_NEED_ROOM;
    }

    return ngx_rf_coll_pause(l, NGX_RF_COLL_WORK_BATCH);
}


ngx_int_t
ngx_rf_coll_push(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t tail,
    ngx_str_t *value)
{
    uint64_t        rank;
    ngx_int_t       rc;
    ngx_rf_item_t   item;
    ngx_rf_tree_t  *notes;

    ngx_memzero(&item, sizeof(ngx_rf_item_t));

    item.name = *value;
    c->changed = 1;

    notes = &c->delta.tree[tail ? 2 : 1];
    rank = tail ? c->elts.count : 0;

    if (l->late) {
        /* what is noted was pushed later, and is at the end */
        rank = tail ? rank - ngx_min(rank, notes->count)
                    : ngx_min(notes->count, c->elts.count);
    }

    rc = ngx_rf_coll_splice_one(l, &c->elts, rank, 0, &item);

    if (rc == NGX_OK && ngx_rf_coll_notes_wanted(l, c)) {
        c->noted = 1;

        rc = ngx_rf_coll_splice_one(l, notes, notes->count, 0, &item);
    }

    return rc == NGX_OK ? ngx_rf_coll_pause(l, NGX_RF_COLL_WORK) : rc;
}


ngx_int_t
ngx_rf_coll_pop(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t tail)
{
    uint64_t       rank;
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;

    if (c->elts.count == 0) {
        return NGX_DECLINED;
    }

    rank = tail ? c->elts.count - 1 : 0;

    if (ngx_rf_coll_notes_wanted(l, c)) {
        elt = ngx_rf_tree_at(&c->elts, rank);
        rc = ngx_rf_coll_note_pop(l, c, tail, elt);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    c->changed = 1;

    rc = ngx_rf_coll_cut(l, &c->elts, rank, 1);

    return rc == NGX_OK ? ngx_rf_coll_pause(l, NGX_RF_COLL_WORK) : rc;
}


/*
 * What was pushed here and is popped again Redis need not know.  It was if it
 * is the last that was pushed at this end; or the first pushed at the other
 * one, if nothing but that is left.  All else was there before: it is to be
 * removed.
 */

static ngx_int_t
ngx_rf_coll_note_pop(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t tail,
    ngx_rf_elt_t *elt)
{
    ngx_rf_item_t   item;
    ngx_rf_tree_t  *near, *far, *popped;

    popped = &c->delta.tree[0];
    near = &c->delta.tree[tail ? 2 : 1];
    far = &c->delta.tree[tail ? 1 : 2];

    c->noted = 1;

    if (near->count) {
        return ngx_rf_coll_cut(l, near, near->count - 1, 1);
    }

    if (far->count == c->elts.count) {
        return ngx_rf_coll_cut(l, far, 0, 1);
    }

    ngx_memzero(&item, sizeof(ngx_rf_item_t));

    item.key = tail;
    item.name.data = ngx_rf_elt_name(elt);
    item.name.len = elt->name_len;

    return ngx_rf_coll_splice_one(l, popped, popped->count, 0, &item);
}


ngx_int_t
ngx_rf_coll_splice(ngx_rf_local_t *l, ngx_rf_coll_t *c, uint64_t rank,
    uint64_t ndel, ngx_str_t *values, ngx_uint_t n)
{
    ngx_uint_t     i;
    ngx_rf_item_t  items[NGX_RF_TREE_BATCH];

    ngx_memzero(items, n * sizeof(ngx_rf_item_t));

    for (i = 0; i < n; i++) {
        items[i].name = values[i];
    }

    c->changed = 1;

    return ngx_rf_tree_splice(&l->zone->heap, &c->elts, rank, ndel, items, n)
           == NGX_OK ? NGX_OK : NGX_RF_NEED_ROOM;
}


void
ngx_rf_coll_given(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t merges)
{
    c->given = 1;

    if (c->complete && !merges && !l->mirror) {
        c->replace = 1;
    }
}


static ngx_int_t
ngx_rf_coll_store(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_find_t *place,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_rf_elt_t   *elt;
    ngx_rf_item_t   item;

    elt = place->elt;
    c->changed = 1;

    if (elt != NULL
        && elt->value_len == value->len
        && (value->len == 0
            || ngx_memcmp(ngx_rf_elt_value(elt), value->data, value->len)
               == 0))
    {
        return NGX_OK;
    }

    item.key = place->key;
    item.name = *name;
    item.value = *value;

    c->found = NULL;

    return ngx_rf_coll_splice_one(l, &c->elts, place->rank, elt != NULL,
                                  &item);
}


static ngx_int_t
ngx_rf_coll_unstore(ngx_rf_local_t *l, ngx_rf_coll_t *c, uint64_t rank)
{
    c->changed = 1;
    c->found = NULL;

    return ngx_rf_coll_cut(l, &c->elts, rank, 1);
}


static ngx_int_t
ngx_rf_coll_store_order(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    double score)
{
    uint64_t        rank;
    ngx_rf_elt_t   *elt;
    ngx_rf_item_t   item;

    ngx_memzero(&item, sizeof(ngx_rf_item_t));

    item.key = ngx_rf_coll_score(score);
    item.name = *name;

    ngx_rf_tree_search(&c->order, item.key, name->data, name->len, &rank,
                       &elt);

    return ngx_rf_coll_splice_one(l, &c->order, rank, 0, &item);
}


static ngx_int_t
ngx_rf_coll_unstore_order(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name, double score)
{
    uint64_t       rank;
    ngx_rf_elt_t  *elt;

    ngx_rf_tree_search(&c->order, ngx_rf_coll_score(score), name->data,
                       name->len, &rank, &elt);

    return elt ? ngx_rf_coll_cut(l, &c->order, rank, 1) : NGX_OK;
}


/* both places are looked for at once, before either changes */

static ngx_int_t
ngx_rf_coll_move_order(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    double from, double to)
{
    uint64_t        rank;
    ngx_int_t       rc;
    ngx_rf_find_t   was, is;
    ngx_rf_item_t   item;

    was.tree = &c->order;
    was.key = ngx_rf_coll_score(from);

    is.tree = &c->order;
    is.key = ngx_rf_coll_score(to);

    ngx_rf_tree_search_two(&was, &is, name->data, name->len);

    ngx_memzero(&item, sizeof(ngx_rf_item_t));

    item.key = is.key;
    item.name = *name;
    rank = is.rank;

    if (was.elt == NULL) {
        return ngx_rf_coll_splice_one(l, &c->order, rank, 0, &item);
    }

    if (rank == was.rank || rank == was.rank + 1) {
        return ngx_rf_coll_splice_one(l, &c->order, was.rank, 1, &item);
    }

    rc = ngx_rf_coll_cut(l, &c->order, was.rank, 1);

    if (rc != NGX_OK) {
        return rc;
    }

    rank -= (rank > was.rank);

    return ngx_rf_coll_splice_one(l, &c->order, rank, 0, &item);
}


/* "value" is the element's from now on, "amount" what the command says */

static ngx_int_t
ngx_rf_coll_note(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_find_t *line,
    ngx_str_t *name, ngx_str_t *value, ngx_rf_delta_e how, ngx_str_t *amount)
{
    ngx_int_t  rc;
    ngx_str_t  operand;

    ngx_str_null(&operand);

    if (amount != NULL) {
        operand = *amount;
    }

    if (line->elt != NULL
        && !ngx_rf_coll_combine(l, c, line->elt, &how, value, &operand))
    {
        rc = ngx_rf_coll_flush(l, c);

        if (rc != NGX_OK) {
            return rc;
        }

        line->rank = 0;
        line->elt = NULL;
    }

    if (how == NGX_RF_DELTA_SET) {
        operand = *value;

    } else if (how == NGX_RF_DELTA_DEL) {
        ngx_str_null(&operand);
    }

    return ngx_rf_coll_note_line(l, c, line, name, how, &operand);
}


/* 0: the two do not make one */

static ngx_uint_t
ngx_rf_coll_combine(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_elt_t *line,
    ngx_rf_delta_e *how, ngx_str_t *value, ngx_str_t *amount)
{
    double          a, b;
    ngx_rf_delta_e  was;

    was = ngx_rf_elt_value(line)[0];

    if (*how == NGX_RF_DELTA_SET || *how == NGX_RF_DELTA_DEL) {
        return 1;
    }

    if (was == NGX_RF_DELTA_SET || was == NGX_RF_DELTA_DEL) {

        /* Redis' own value does not matter any more, so ours is known */

        *how = NGX_RF_DELTA_SET;
        return value != NULL;
    }

    if (was != *how) {
        return 0;
    }

    if (was == NGX_RF_DELTA_GT || was == NGX_RF_DELTA_LT) {

        ngx_memcpy(&a, ngx_rf_elt_value(line) + 1, sizeof(double));
        ngx_memcpy(&b, amount->data, sizeof(double));

        if ((was == NGX_RF_DELTA_GT && a > b)
            || (was == NGX_RF_DELTA_LT && a < b))
        {
            amount->data = ngx_rf_elt_value(line) + 1;
        }

        return 1;
    }

    return ngx_rf_coll_sum(l, c, line, amount);
}


/* of two amounts; 0: it would not be exact, or is no number */

static ngx_uint_t
ngx_rf_coll_sum(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_elt_t *line,
    ngx_str_t *amount)
{
    u_char     *p;
    double      x, y;
    int64_t     a, b;
    ngx_str_t   before;

    before.data = ngx_rf_elt_value(line) + 1;
    before.len = line->value_len - 1;

    if (c->type == NGX_RF_ZSET) {
        ngx_memcpy(&x, before.data, sizeof(double));
        ngx_memcpy(&y, amount->data, sizeof(double));

        if ((x + y) - y != x || (x + y) - x != y || isinf(x + y)) {
            return 0;
        }

        x += y;
        p = ngx_palloc(l->pool, sizeof(double));

        if (p == NULL) {
            return 0;
        }

        ngx_memcpy(p, &x, sizeof(double));
        amount->data = p;

        return 1;
    }

    if (ngx_rf_elt_value(line)[0] == NGX_RF_DELTA_INCRFLOAT) {
        p = ngx_pnalloc(l->pool, NGX_RF_STRING_FLOAT_LEN);

        return p ? ngx_rf_string_float_sum(&before, amount, p) : 0;
    }

    if (ngx_rf_local_number(&before, &a) != NGX_OK
        || ngx_rf_local_number(amount, &b) != NGX_OK
        || (b > 0 && a > INT64_MAX - b) || (b < 0 && a < INT64_MIN - b))
    {
        return 0;
    }

    p = ngx_pnalloc(l->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return 0;
    }

    amount->data = p;
    amount->len = ngx_sprintf(p, "%L", a + b) - p;

    return 1;
}


static ngx_int_t
ngx_rf_coll_note_line(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_find_t *line, ngx_str_t *name, ngx_rf_delta_e how,
    ngx_str_t *operand)
{
    u_char         *p, buf[256];
    ngx_rf_item_t   item;

    item.key = line->key;
    item.name = *name;
    item.value.len = 1 + operand->len;

    p = buf;

    if (item.value.len > sizeof(buf)) {
        p = ngx_pnalloc(l->pool, item.value.len);
        if (p == NULL) {
            return NGX_ERROR;
        }
    }

    item.value.data = p;
    *p++ = how;

    if (operand->len) {
        ngx_memcpy(p, operand->data, operand->len);
    }

    c->found = NULL;
    c->noted = 1;

    return ngx_rf_coll_splice_one(l, &c->delta.tree[0], line->rank,
                                  line->elt != NULL, &item);
}
