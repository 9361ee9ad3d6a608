/*
 * t/unit/sound.c looks at lists and counters; this is about what entries hold.
 */

#include <sanitizer/asan_interface.h>
#include "fuzz.h"
#include "ngx_rf_tree.h"
#include "zone_check.h"


static void zone_check_entry(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static void zone_check_tree(ngx_rf_tree_t *tree);
static ngx_uint_t zone_check_valid(void *ctx, void *p, size_t size);
static void zone_check_sorted(ngx_rf_tree_t *tree);
static void zone_check_elts(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_content_t *content);
static void zone_check_scores(ngx_rf_zone_t *zone, ngx_rf_content_t *content);


void
zone_check(ngx_rf_zone_t *zone)
{
    ngx_uint_t       i;
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(zone);

    for (i = 0; i < zone->sh->nbuckets; i++) {
        for (e = zone->sh->buckets[i]; e; e = e->next) {
            zone_check_entry(zone, e);
        }
    }

    ngx_rf_zone_unlock(zone);
}


static void
zone_check_entry(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_uint_t         i;
    ngx_rf_zdelta_t    delta;
    ngx_rf_zchange_t  *c;
    ngx_rf_content_t  *content;

    for (c = e->changes; c; c = c->next) {

        if (c->argc) {
            continue;
        }

        fuzz_check(c->size == sizeof(ngx_rf_zdelta_t));
        ngx_memcpy(&delta, c->data, sizeof(ngx_rf_zdelta_t));

        for (i = 0; i < 3; i++) {
            zone_check_tree(&delta.tree[i]);
        }

        if (delta.type != NGX_RF_LIST) {
            zone_check_sorted(&delta.tree[0]);
        }
    }

    fuzz_check(e->type != NGX_RF_NONE || e->value == NULL);

    if (e->type == NGX_RF_NONE || e->value == NULL) {
        return;
    }

    if (e->type == NGX_RF_STRING) {
        fuzz_check(zone_check_valid(zone, e->value, sizeof(size_t)));
        fuzz_check(zone_check_valid(zone, e->value->data, e->value->len));
        return;
    }

    content = ngx_rf_zone_content(e);

    zone_check_tree(&content->elts);
    zone_check_tree(&content->order);

    fuzz_check(!e->complete || content->elts.count != 0);

    if (e->type != NGX_RF_LIST) {
        zone_check_sorted(&content->elts);
        zone_check_elts(zone, e, content);
    }

    if (e->type == NGX_RF_ZSET) {
        zone_check_sorted(&content->order);
        zone_check_scores(zone, content);

    } else {
        fuzz_check(content->order.root == NULL);
    }
}


static void
zone_check_tree(ngx_rf_tree_t *tree)
{
    ngx_rf_tree_t  copy;

    copy = *tree;

    fuzz_check(ngx_rf_tree_check(&copy, zone_check_valid, NULL));
    fuzz_check(copy.count == tree->count);
    fuzz_check(copy.bytes == tree->bytes);
}


static ngx_uint_t
zone_check_valid(void *ctx, void *p, size_t size)
{
    return size == 0 || __asan_region_is_poisoned(p, size) == NULL;
}


/* each element behind the one before, and where a search finds it */

static void
zone_check_sorted(ngx_rf_tree_t *tree)
{
    uint64_t        rank, n;
    ngx_int_t       rc;
    ngx_rf_elt_t   *elt, *last, *found;
    ngx_rf_walk_t   walk;

    last = NULL;
    n = 0;

    for (elt = ngx_rf_walk_from(&walk, tree, 0);
         elt;
         elt = ngx_rf_walk_next(&walk))
    {
        if (last) {
            rc = ngx_memcmp(ngx_rf_elt_name(last), ngx_rf_elt_name(elt),
                            ngx_min(last->name_len, elt->name_len));

            fuzz_check(last->key < elt->key
                       || (last->key == elt->key
                           && (rc < 0
                               || (rc == 0
                                   && last->name_len < elt->name_len))));
        }

        ngx_rf_tree_search(tree, elt->key, ngx_rf_elt_name(elt),
                           elt->name_len, &rank, &found);

        fuzz_check(found == elt && rank == n);

        last = elt;
        n++;
    }

    fuzz_check(n == tree->count);
}


static void
zone_check_elts(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_content_t *content)
{
    ngx_str_t       name;
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    for (elt = ngx_rf_walk_from(&walk, &content->elts, 0);
         elt;
         elt = ngx_rf_walk_next(&walk))
    {
        name.data = ngx_rf_elt_name(elt);
        name.len = elt->name_len;

        fuzz_check(elt->key == ngx_rf_zone_hash(zone->sh, &name));
        fuzz_check(e->type != NGX_RF_SET || elt->value_len == 0);
        fuzz_check(e->type != NGX_RF_ZSET
                   || elt->value_len == sizeof(double));
    }
}


/* both trees of a sorted set have the same members, with the same scores */

static void
zone_check_scores(ngx_rf_zone_t *zone, ngx_rf_content_t *content)
{
    double          score;
    uint64_t        rank;
    ngx_str_t       name;
    ngx_rf_elt_t   *elt, *found;
    ngx_rf_walk_t   walk;

    fuzz_check(content->elts.count == content->order.count);

    for (elt = ngx_rf_walk_from(&walk, &content->order, 0);
         elt;
         elt = ngx_rf_walk_next(&walk))
    {
        name.data = ngx_rf_elt_name(elt);
        name.len = elt->name_len;

        ngx_rf_tree_search(&content->elts, ngx_rf_zone_hash(zone->sh, &name),
                           name.data, name.len, &rank, &found);

        fuzz_check(found != NULL);

        ngx_memcpy(&score, ngx_rf_elt_value(found), sizeof(double));

        fuzz_check(score == score);     /* a number */
        fuzz_check(ngx_rf_zone_score(score) == elt->key);
    }
}
