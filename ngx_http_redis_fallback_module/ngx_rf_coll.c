/*
 * Opening, closing and reading of collections, see ngx_rf_coll.h; what changes
 * them is in ngx_rf_coll_edit.c.
 *
 * An opened collection is a copy of the roots of its trees.  Changes make new
 * nodes beside those that are published, and close() stores the new roots, so
 * whatever happens before leaves the key as it was.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_coll_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


/* elements between two offers of the lock: some 100 us of copying */
#ifndef NGX_RF_COLL_BREATH
#define NGX_RF_COLL_BREATH      1024
#endif

/* elements of a reply that take too long to be cleared under it */
#define NGX_RF_COLL_ARRAY       1024


static ngx_int_t ngx_rf_coll_copy_tree(ngx_rf_local_t *l, ngx_rf_tree_t *to,
    ngx_rf_tree_t *from);
static void ngx_rf_coll_notes(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_coll_settle(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_coll_entry(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_coll_gone(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_coll_tell(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_coll_tell_given(ngx_rf_local_t *l, ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_coll_let_go(ngx_rf_local_t *l, ngx_uint_t n,
    ngx_rf_reply_t **elts);


ngx_int_t
ngx_rf_coll_open(ngx_rf_local_t *l, ngx_str_t *key, ngx_rf_type_e type,
    ngx_rf_coll_t *c)
{
    ngx_rf_entry_t    *e;
    ngx_rf_content_t  *content;

    ngx_memzero(c, sizeof(ngx_rf_coll_t));

    e = ngx_rf_local_find(l, key);

    c->entry = e;
    c->key = key;
    c->type = type;
    c->delta.type = type;

    ngx_rf_local_opened(l, key, e);

    if (e == NULL) {
        return NGX_OK;
    }

    if (e->type != NGX_RF_NONE && e->type != type) {
        return ngx_rf_local_wrong_type(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    c->complete = e->complete;

    if (e->type == type) {
        content = ngx_rf_zone_content(e);
        c->elts = content->elts;
        c->order = content->order;
    }

    if (l->command->flags & NGX_RF_CMD_WRITE) {

        if (!l->slow) {
            /* nothing is evicted that the trees above are part of */
            ngx_rf_zone_keep_locked(l->zone, e);
        }

        ngx_rf_coll_notes(l, c);
    }

    return NGX_OK;
}


/* where Redis' notes of the key go on */

static void
ngx_rf_coll_notes(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_rf_entry_t   *e;
    ngx_rf_zdelta_t  *delta;

    e = c->entry;

    if (e->pending == NGX_RF_REPLACE
        || ngx_rf_zone_restoring(l->zone->sh, e))
    {
        c->replace = 1;
        return;
    }

    delta = ngx_rf_zone_delta_of(l->zone, e, c->type, &c->compact);

    if (delta != NULL) {
        c->delta = *delta;
        return;
    }

    c->compact = 0;

    if (e->pending == NGX_RF_DELTA && e->type == NGX_RF_NONE && e->complete) {
        /* it may have been of another type: changes of both do not merge */
        c->replace = 1;
    }
}


void
ngx_rf_coll_fresh(ngx_rf_local_t *l, ngx_str_t *key, ngx_rf_type_e type,
    ngx_rf_coll_t *c)
{
    ngx_rf_entry_t    *e;
    ngx_rf_content_t  *content;

    ngx_memzero(c, sizeof(ngx_rf_coll_t));

    e = ngx_rf_local_find(l, key);

    c->entry = e;
    c->key = key;
    c->type = type;
    c->complete = 1;
    c->replace = 1;
    c->changed = 1;
    c->fresh = 1;

    ngx_rf_local_opened(l, key, e);

    if (e == NULL) {
        return;
    }

    if (!l->slow) {
        ngx_rf_zone_keep_locked(l->zone, e);
    }

    if (e->type != NGX_RF_NONE && e->type != NGX_RF_STRING) {
        content = ngx_rf_zone_content(e);
        c->old[0] = content->elts;
        c->old[1] = content->order;
    }
}


ngx_int_t
ngx_rf_coll_copy(ngx_rf_local_t *l, ngx_rf_entry_t *e, ngx_str_t *to)
{
    int64_t            expire;
    ngx_int_t          rc;
    ngx_rf_coll_t      c;
    ngx_rf_content_t   content;

    ngx_rf_local_opened(l, &l->argv[1], e);

    if (!l->slow) {
        ngx_rf_zone_keep_locked(l->zone, e);
    }

    content = *ngx_rf_zone_content(e);
    expire = e->expire;

    ngx_rf_coll_fresh(l, to, e->type, &c);

    rc = ngx_rf_coll_copy_tree(l, &c.elts, &content.elts);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_copy_tree(l, &c.order, &content.order);
    }

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_close(l, &c);
    }

    if (rc == NGX_OK) {
        ngx_rf_zone_expire_locked(l->zone, c.entry, expire);
    }

    return rc;
}


static ngx_int_t
ngx_rf_coll_copy_tree(ngx_rf_local_t *l, ngx_rf_tree_t *to,
    ngx_rf_tree_t *from)
{
    ngx_int_t       rc;
    ngx_uint_t      n;
    ngx_rf_elt_t   *elt;
    ngx_rf_item_t   items[NGX_RF_TREE_BATCH];
    ngx_rf_walk_t   walk;

    elt = ngx_rf_walk_from(&walk, from, 0);

    while (elt != NULL) {

        for (n = 0; elt != NULL && n < NGX_RF_TREE_BATCH; n++) {
            items[n].key = elt->key;
            items[n].name.data = ngx_rf_elt_name(elt);
            items[n].name.len = elt->name_len;
            items[n].value.data = ngx_rf_elt_value(elt);
            items[n].value.len = elt->value_len;

            elt = ngx_rf_walk_next(&walk);
        }

        if (ngx_rf_tree_splice(&l->zone->heap, to, to->count, 0, items, n)
            != NGX_OK)
        {
            return NGX_RF_NEED_ROOM;
        }

        rc = ngx_rf_coll_pause(l, n / 4);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_coll_move(ngx_rf_local_t *l, ngx_rf_entry_t *e, ngx_str_t *to)
{
    int64_t            expire;
    ngx_int_t          rc;
    ngx_rf_coll_t      c;
    ngx_rf_content_t  *content;

    ngx_rf_zone_keep_locked(l->zone, e);

    content = ngx_rf_zone_content(e);
    expire = e->expire;

    ngx_rf_coll_fresh(l, to, e->type, &c);

    c.elts = content->elts;
    c.order = content->order;

    rc = ngx_rf_coll_close(l, &c);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_rf_zone_expire_locked(l->zone, c.entry, expire);

    if (e->complete) {
        ngx_rf_zone_replaced_locked(l->zone, e, 1, l->now);

    } else {
        ngx_rf_zone_cancel_locked(l->zone, e);
    }

    ngx_rf_zone_publish_locked(l->zone, e, NGX_RF_NONE, NULL);
    ngx_rf_zone_expire_locked(l->zone, e, 0);

    l->version = e->version;

    return NGX_OK;
}


ngx_int_t
ngx_rf_coll_close(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t          rc;
    ngx_rf_type_e      type;
    ngx_rf_entry_t    *e;
    ngx_rf_content_t  *content;

    if (!c->changed && !c->noted && !c->given) {
        return NGX_OK;
    }

    rc = ngx_rf_coll_settle(l, c);

    if (rc != NGX_OK) {
        return rc;
    }

    if (c->fresh && c->elts.count == 0) {
        return ngx_rf_local_remove(l, c->key);
    }

    content = NULL;
    type = NGX_RF_NONE;

    if (c->elts.count) {
        type = c->type;
        content = ngx_rf_zone_alloc_locked(l->zone, sizeof(ngx_rf_content_t),
                                           NULL, 0);
        if (content == NULL) {
            return NGX_RF_NEED_ROOM;
        }

        content->elts = c->elts;
        content->order = c->order;
    }

    rc = ngx_rf_coll_entry(l, c);
    e = c->entry;

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_tell(l, c);
    }

    if (rc != NGX_OK) {
        ngx_rf_zone_free_locked(l->zone, content);
        return rc;
    }

    if (c->fresh) {
        ngx_rf_tree_drop(&l->zone->heap, &c->old[0]);
        ngx_rf_tree_drop(&l->zone->heap, &c->old[1]);
    }

    ngx_rf_zone_publish_locked(l->zone, e, type, content);

    if (e->expire && (type == NGX_RF_NONE || c->fresh)) {
        rc = ngx_rf_coll_gone(l, c);
    }

    l->version = e->version;

    return rc;
}


/* with the last element goes the expiry, and Redis is to be told: what is put
 * in next does not expire, also where others keep the key alive */

static ngx_int_t
ngx_rf_coll_gone(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    if (!l->mirror && c->entry->pending == NGX_RF_DELTA
        && (c->entry->complete || ngx_rf_zone_expires_locally(c->entry)))
    {
        return ngx_rf_local_expire(l, c->entry, 0);
    }

    ngx_rf_zone_expire_locked(l->zone, c->entry, 0);

    return NGX_OK;
}


/* a long write ends here: it is published in one hold of the lock */

static ngx_int_t
ngx_rf_coll_settle(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t  rc;

    if (!l->slow) {
        return NGX_OK;
    }

    rc = ngx_rf_local_settle(l);

    if (rc == NGX_OK) {
        c->entry = ngx_rf_zone_lookup_locked(l->zone, c->key);
    }

    return rc;
}


static ngx_int_t
ngx_rf_coll_entry(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    if (c->entry == NULL) {
        c->entry = ngx_rf_zone_insert_locked(l->zone, c->key, NULL, 0);

        if (c->entry == NULL) {
            return NGX_RF_NEED_ROOM;
        }
    }

    return NGX_OK;
}


/* what Redis is to be told goes on record before the value changes, so that
 * what Redis held can be remembered */

static ngx_int_t
ngx_rf_coll_tell(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t  rc;

    if (l->mirror) {
        ngx_rf_zone_keep_locked(l->zone, c->entry);
        return NGX_OK;
    }

    if (c->replace) {
        ngx_rf_zone_replaced_locked(l->zone, c->entry, !c->fresh, l->now);
        return NGX_OK;
    }

    if (c->noted) {
        rc = ngx_rf_coll_flush(l, c);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return c->given ? ngx_rf_coll_tell_given(l, c) : NGX_OK;
}


static ngx_int_t
ngx_rf_coll_tell_given(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_str_t         *argv;
    ngx_uint_t         i;
    ngx_rf_zchange_t  *change;

    argv = ngx_palloc(l->pool, l->argc * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    argv[0] = l->command->name;

    for (i = 2; i < l->argc; i++) {
        argv[i - 1] = l->argv[i];
    }

    change = ngx_rf_zone_change_locked(l->zone, l->argc - 1, argv, NULL, 0);
    if (change == NULL) {
        return NGX_RF_NEED_ROOM;
    }

    ngx_rf_zone_delta_locked(l->zone, c->entry, change, 0, l->now);

    return NGX_OK;
}


/* the compacted changes so far become a change, behind which others go on */

ngx_int_t
ngx_rf_coll_flush(ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t          rc;
    ngx_rf_zchange_t  *change;

    if (c->noted) {
        rc = ngx_rf_coll_settle(l, c);

        if (rc == NGX_OK) {
            rc = ngx_rf_coll_entry(l, c);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        change = ngx_rf_zone_delta_change(l->zone, &c->delta);
        if (change == NULL) {
            return NGX_RF_NEED_ROOM;
        }

        ngx_rf_zone_delta_locked(l->zone, c->entry, change, c->compact,
                                 l->now);
    }

    ngx_memzero(c->delta.tree, sizeof(c->delta.tree));

    c->found = NULL;
    c->noted = 0;
    c->compact = 0;

    return NGX_OK;
}


uint64_t
ngx_rf_coll_hash(ngx_rf_local_t *l, ngx_str_t *name)
{
    return ngx_rf_zone_hash(l->zone->sh, name);
}


ngx_rf_elt_t *
ngx_rf_coll_get(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name)
{
    ngx_rf_find_t  elt, line;

    if (c->elts.root == NULL) {
        return NULL;
    }

    ngx_rf_coll_find(l, c, name, &elt, &line);

    return elt.elt;
}


void
ngx_rf_coll_find(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    ngx_rf_find_t *elt, ngx_rf_find_t *line)
{
    elt->tree = &c->elts;
    line->tree = &c->delta.tree[0];

    if (c->found != NULL
        && c->found->name_len == name->len
        && (name->len == 0
            || ngx_memcmp(ngx_rf_elt_name(c->found), name->data, name->len)
               == 0))
    {
        elt->key = c->found->key;
        elt->rank = c->found_rank;
        elt->elt = c->found;

        line->key = elt->key;
        line->rank = c->line_rank;
        line->elt = c->line;

        return;
    }

    elt->key = ngx_rf_coll_hash(l, name);
    line->key = elt->key;

    ngx_rf_tree_search_two(elt, line, name->data, name->len);

    c->found = elt->elt;
    c->found_rank = elt->rank;
    c->line = line->elt;
    c->line_rank = line->rank;
}


uint64_t
ngx_rf_coll_rank(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name)
{
    uint64_t       rank;
    ngx_rf_elt_t  *elt;

    ngx_rf_tree_search(&c->elts, ngx_rf_coll_hash(l, name), name->data,
                       name->len, &rank, &elt);

    return rank;
}


uint64_t
ngx_rf_coll_score(double score)
{
    return ngx_rf_zone_score(score);
}


double
ngx_rf_coll_score_of(ngx_rf_elt_t *elt)
{
    double  score;

    ngx_memcpy(&score, ngx_rf_elt_value(elt), sizeof(double));

    return score;
}


ngx_int_t
ngx_rf_coll_breathe(ngx_rf_local_t *l)
{
    return ngx_rf_coll_pause(l, 1);
}


ngx_int_t
ngx_rf_coll_pause(ngx_rf_local_t *l, ngx_uint_t n)
{
    l->breath += n;

    if (l->breath < NGX_RF_COLL_BREATH || !l->breathes) {
        return NGX_OK;
    }

    l->breath = 0;

    if (!l->pinned) {
        l->pinned = ngx_rf_zone_pin_locked(l->zone);

        if (!l->pinned) {
            return NGX_OK;
        }
    }

    return ngx_rf_coll_let_go(l, 0, NULL);
}


ngx_int_t
ngx_rf_coll_array(ngx_rf_local_t *l, ngx_uint_t n, ngx_rf_reply_t **elts)
{
    if (n < NGX_RF_COLL_ARRAY || !l->breathes
        || (!l->pinned && !(l->pinned = ngx_rf_zone_pin_locked(l->zone))))
    {
        *elts = ngx_rf_local_array(l, n);
        return *elts ? NGX_OK : NGX_ERROR;
    }

    return ngx_rf_coll_let_go(l, n, elts);
}


/* of the lock, for a moment; what trees are made of is kept by the pin */

static ngx_int_t
ngx_rf_coll_let_go(ngx_rf_local_t *l, ngx_uint_t n, ngx_rf_reply_t **elts)
{
    ngx_uint_t  rebuilds;

    rebuilds = l->zone->sh->rebuilds;

    ngx_rf_zone_unlock(l->zone);

    if (elts) {
        *elts = ngx_rf_local_array(l, n);
    }

    ngx_rf_zone_lock(l->zone);

    if (l->zone->sh->rebuilds != rebuilds) {
        /* and is no more: the zone was made anew */
        l->pinned = 0;
        l->lost = 1;
        return NGX_RF_NEED_RETRY;
    }

    return (elts && *elts == NULL) ? NGX_ERROR : NGX_OK;
}
