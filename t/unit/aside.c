/*
 * Changes of a tree beside those of others: nothing that both know is written
 * to before it is certain that the others have left it as it was.
 */

#include "rf_unit.h"
#include "ngx_rf_tree.h"
#include "tree_memory.h"


#define ASIDE_ELTS  4000


static ngx_int_t aside_splice(ngx_rf_heap_t *heap, ngx_rf_tree_t *tree,
    ngx_uint_t from, ngx_uint_t ndel, ngx_uint_t n);
static ngx_uint_t aside_sound(tree_memory_t *m, ngx_rf_tree_t *tree,
    ngx_uint_t count);


RF_UNIT(aside_of_others)
{
    ngx_int_t       rc;
    ngx_rf_heap_t   other;
    tree_memory_t   m;
    ngx_rf_tree_t   tree, mine, theirs;

    tree_memory_init(&m);
    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));

    tree_memory_begin(&m);
    rc = aside_splice(&m.heap, &tree, 0, 0, ASIDE_ELTS);
    ngx_rf_heap_commit(&m.heap);

    ok(rc == NGX_OK && aside_sound(&m, &tree, ASIDE_ELTS), "a tree");

    m.pinned = 1;

    tree_memory_begin(&m);
    ngx_rf_heap_aside(&m.heap);

    mine = tree;
    rc = aside_splice(&m.heap, &mine, 100, 500, 50);
    ok(rc == NGX_OK && aside_sound(&m, &mine, ASIDE_ELTS - 450),
       "it is changed aside");
    ok(aside_sound(&m, &tree, ASIDE_ELTS), "and as it was");

    /* somebody else changes the same elements, and is done first */

    other = m.heap;
    other.aside = NULL;
    ngx_rf_heap_begin(&other, ++m.owner);

    theirs = tree;
    rc = aside_splice(&other, &theirs, 90, 600, 0);
    ngx_rf_heap_commit(&other);

    ok(rc == NGX_OK && aside_sound(&m, &theirs, ASIDE_ELTS - 600),
       "others change it");

    /* what they have made is younger, and none of this one's */

    mine = theirs;
    rc = aside_splice(&m.heap, &mine, 0, 200, 10);
    ok(rc == NGX_OK && aside_sound(&m, &mine, ASIDE_ELTS - 790),
       "theirs is changed aside");

    ngx_rf_tree_drop(&m.heap, &mine);
    ngx_rf_heap_rollback(&m.heap);
    tree_memory_unpin(&m);

    ok(aside_sound(&m, &theirs, ASIDE_ELTS - 600), "theirs is left");
    is_int(m.bad, 0, "nothing was freed twice");

    tree_memory_done(&m, &theirs, "aside");
}


RF_UNIT(aside_alone)
{
    ngx_int_t       rc;
    tree_memory_t   m;
    ngx_rf_tree_t   tree, mine;

    tree_memory_init(&m);
    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));

    tree_memory_begin(&m);
    rc = aside_splice(&m.heap, &tree, 0, 0, ASIDE_ELTS);
    ngx_rf_heap_commit(&m.heap);

    tree_memory_begin(&m);
    ngx_rf_heap_aside(&m.heap);

    mine = tree;
    rc |= aside_splice(&m.heap, &mine, 100, 500, 50);
    ok(rc == NGX_OK && ngx_rf_heap_join(&m.heap) == NGX_OK, "nobody else");

    rc = aside_splice(&m.heap, &mine, 3000, 50, 0);
    ngx_rf_heap_rollback(&m.heap);
    ok(rc == NGX_OK && aside_sound(&m, &tree, ASIDE_ELTS), "is undone");

    tree_memory_begin(&m);
    ngx_rf_heap_aside(&m.heap);

    rc = aside_splice(&m.heap, &tree, 100, 500, 50);
    ok(rc == NGX_OK && ngx_rf_heap_join(&m.heap) == NGX_OK, "nobody else");

    rc = aside_splice(&m.heap, &tree, 3000, 50, 0);
    ngx_rf_heap_commit(&m.heap);
    ok(rc == NGX_OK && aside_sound(&m, &tree, ASIDE_ELTS - 500), "is done");

    tree_memory_done(&m, &tree, "aside");
}


static ngx_int_t
aside_splice(ngx_rf_heap_t *heap, ngx_rf_tree_t *tree, ngx_uint_t from,
    ngx_uint_t ndel, ngx_uint_t n)
{
    ngx_uint_t     i;
    ngx_rf_item_t  item;

    for (i = 0; i < ndel; i++) {
        if (ngx_rf_tree_splice(heap, tree, from, 1, NULL, 0) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_memzero(&item, sizeof(ngx_rf_item_t));
    ngx_str_set(&item.name, "an element");

    for (i = 0; i < n; i++) {
        if (ngx_rf_tree_splice(heap, tree, from, 0, &item, 1) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
aside_sound(tree_memory_t *m, ngx_rf_tree_t *tree, ngx_uint_t count)
{
    return tree->count == count && !tree->root->whole
           && ngx_rf_tree_check(tree, tree_memory_valid, m);
}
