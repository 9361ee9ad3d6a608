/*
 * Trees against plain arrays.
 */

#include "rf_unit.h"
#include "ngx_rf_tree.h"
#include "tree_memory.h"


#define MODEL_MAX   4000


/* an element by its number: key, name and value follow from it */

typedef struct {
    uint32_t              id[MODEL_MAX];
    ngx_uint_t            n;
    uint64_t              bytes;
} model_t;


static void bytes_fill(void) __attribute__((constructor));
static size_t item_sizes(uint32_t id, size_t *value);
static void item_of(uint32_t id, ngx_rf_item_t *item);
static ngx_uint_t is_elt(ngx_rf_elt_t *elt, uint32_t id);
static void model_splice(model_t *model, ngx_uint_t rank, ngx_uint_t ndel,
    uint32_t *ids, ngx_uint_t n);
static ngx_uint_t model_differs(tree_memory_t *m, model_t *model,
    ngx_rf_tree_t *tree);
static ngx_uint_t walk_differs(model_t *model, ngx_rf_tree_t *tree);
static ngx_int_t change(tree_memory_t *m, model_t *model, ngx_rf_tree_t *tree);
static ngx_uint_t transaction(tree_memory_t *m, model_t *model,
    ngx_rf_tree_t *tree);
static ngx_uint_t part(tree_memory_t *m, model_t *model, ngx_rf_tree_t *tree);
static void append(tree_memory_t *m, ngx_rf_tree_t *tree, uint64_t rank,
    ngx_uint_t i);
static void sorted_item(ngx_uint_t i, u_char *buf, ngx_rf_item_t *item);
static int sorted_compare(const void *a, const void *b);
static ngx_uint_t search_differs(ngx_rf_tree_t *tree, ngx_rf_item_t *items,
    ngx_uint_t n, ngx_rf_item_t *item);


static uint32_t  next_id;
static u_char    bytes_of_all[8192];


RF_UNIT(tree_changes)
{
    ngx_uint_t     i, bad;
    tree_memory_t  m;
    model_t       *model;
    ngx_rf_tree_t  tree;

    model = ngx_pcalloc(pool, sizeof(model_t));
    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
    tree_memory_init(&m);
    tree_random_state = 1;
    bad = 0;

    for (i = 0; i < 6000 && bad == 0; i++) {

        /* times of want, times of plenty, and none of either */
        m.chance = i / 500 % 3 == 1 ? 20 : 0;

        bad = transaction(&m, model, &tree);
    }

    is_int(bad, 0, "the tree is as the array after %d transactions", (int) i);
    tree_memory_done(&m, &tree, "random");
}


/* parts of transactions, of which some are taken back */

static ngx_uint_t
transaction(tree_memory_t *m, model_t *model, ngx_rf_tree_t *tree)
{
    ngx_uint_t      i, n, bad, failed;
    static model_t  was;
    ngx_rf_tree_t   old;

    was = *model;
    old = *tree;
    bad = 0;

    tree_memory_begin(m);
    n = tree_random(4) ? 1 : 1 + tree_random(4);
    failed = part(m, model, tree);

    if (failed) {
        n = 0;
    }

    for (i = 1; i < n; i++) {
        model_t        *before;
        ngx_rf_tree_t   saved;

        before = malloc(sizeof(model_t));
        *before = *model;
        saved = *tree;
        ngx_rf_heap_savepoint(&m->heap, ++m->owner);

        if (part(m, model, tree) || tree_random(3) == 0) {
            ngx_rf_heap_rollback_to(&m->heap);
            *model = *before;
            *tree = saved;
            bad += model_differs(m, model, tree);

            if (tree_random(2) && part(m, model, tree)) {
                failed = 1;
                i = n;
            }
        }

        free(before);
    }

    if (failed || tree_random(4) == 0) {
        ngx_rf_heap_rollback(&m->heap);
        *model = was;
        *tree = old;

    } else {
        ngx_rf_heap_commit(&m->heap);
    }

    return bad + model_differs(m, model, tree);
}


static ngx_uint_t
part(tree_memory_t *m, model_t *model, ngx_rf_tree_t *tree)
{
    ngx_uint_t  i, n;

    n = tree_random(8) ? 1 : 1 + tree_random(10);

    for (i = 0; i < n; i++) {
        if (change(m, model, tree) != NGX_OK) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
change(tree_memory_t *m, model_t *model, ngx_rf_tree_t *tree)
{
    uint32_t       ids[NGX_RF_TREE_BATCH];
    ngx_int_t      rc;
    ngx_uint_t     i, n, rank, ndel;
    ngx_rf_tree_t  was;
    ngx_rf_item_t  items[NGX_RF_TREE_BATCH];

    if (tree_random(1500) == 0) {
        ngx_rf_tree_drop(&m->heap, tree);
        model_splice(model, 0, model->n, ids, 0);
        return NGX_OK;
    }

    rank = tree_random(8) == 0 ? 0
           : tree_random(8) == 0 ? model->n : tree_random(model->n + 1);
    ndel = tree_random(3) ? tree_random(3)
           : tree_random(20) ? tree_random(20)
           : tree_random(model->n + 1);
    n = tree_random(3) ? tree_random(4)
        : tree_random(NGX_RF_TREE_BATCH + 1);

    ndel = ngx_min(ndel, model->n - rank);

    if (model->n - ndel + n > MODEL_MAX) {
        n = 0;
        ndel = (model->n - rank) / 2;
    }

    for (i = 0; i < n; i++) {
        ids[i] = next_id++;
        item_of(ids[i], &items[i]);
    }

    was = *tree;
    rc = ngx_rf_tree_splice(&m->heap, tree, rank, ndel, items, n);

    if (rc == NGX_OK) {
        model_splice(model, rank, ndel, ids, n);

    } else if (tree->root != was.root || tree->count != was.count
               || tree->bytes != was.bytes)
    {
        m->bad++;
    }

    return rc;
}


RF_UNIT(tree_elements_of_all_sizes)
{
    ngx_uint_t     i;
    tree_memory_t  m;
    ngx_rf_elt_t  *elt;
    ngx_rf_tree_t  tree;
    ngx_rf_item_t  item;

    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
    tree_memory_init(&m);

    tree_memory_begin(&m);

    for (i = 0; i < 3000; i++) {
        ngx_memzero(&item, sizeof(ngx_rf_item_t));
        item.key = i;
        item.value.data = bytes_of_all;
        item.value.len = i;
        ngx_rf_tree_splice(&m.heap, &tree, i, 0, &item, 1);
    }

    ngx_rf_heap_commit(&m.heap);

    for (i = 0; i < 3000; i++) {
        elt = ngx_rf_tree_at(&tree, i);

        if (elt == NULL || elt->key != i || elt->value_len != i
            || ngx_memcmp(ngx_rf_elt_value(elt), bytes_of_all, i) != 0)
        {
            break;
        }
    }

    is_int(i, 3000, "elements of 0 to 2999 bytes");
    ok(ngx_rf_tree_at(&tree, 3000) == NULL, "none behind the last one");

    tree_memory_begin(&m);
    is_int(ngx_rf_tree_splice(&m.heap, &tree, 3001, 0, &item, 1), NGX_ERROR,
           "no rank behind the end");
    is_int(ngx_rf_tree_splice(&m.heap, &tree, 2999, 2, NULL, 0), NGX_ERROR,
           "nothing to be deleted there");

    item.value.len = (size_t) 1 << 31;
    is_int(ngx_rf_tree_splice(&m.heap, &tree, 0, 0, &item, 1), NGX_ERROR,
           "2 GB are too long");
    ngx_rf_heap_rollback(&m.heap);

    tree_memory_done(&m, &tree, "all sizes");
}


RF_UNIT(tree_search)
{
    u_char         *buf;
    uint64_t        rank;
    ngx_uint_t      i, n, bad;
    tree_memory_t   m;
    ngx_rf_elt_t   *elt;
    ngx_rf_tree_t   tree;
    ngx_rf_item_t  *items, *all, item;

    n = 3000;
    all = malloc(2 * n * sizeof(ngx_rf_item_t));
    buf = malloc(2 * n * 32);

    for (i = 0; i < 2 * n; i++) {
        sorted_item(i, buf + i * 32, &all[i]);
    }

    qsort(all, 2 * n, sizeof(ngx_rf_item_t), sorted_compare);

    /* every second one is in the tree */

    items = malloc(n * sizeof(ngx_rf_item_t));
    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
    tree_memory_init(&m);

    ngx_rf_tree_search(&tree, 1, (u_char *) "x", 1, &rank, &elt);
    ok(rank == 0 && elt == NULL, "nothing in an empty tree");

    tree_memory_begin(&m);

    for (i = 0; i < n; i++) {
        items[i] = all[2 * i];
        ngx_rf_tree_splice(&m.heap, &tree, i, 0, &items[i], 1);
    }

    ngx_rf_heap_commit(&m.heap);
    bad = 0;

    for (i = 0; i < 2 * n; i++) {
        bad += search_differs(&tree, items, n, &all[i]);
        item = all[i];
        ngx_str_null(&item.name);
        bad += search_differs(&tree, items, n, &item);
        item.key++;
        bad += search_differs(&tree, items, n, &item);
    }

    item.key = (uint64_t) -1;
    bad += search_differs(&tree, items, n, &item);
    is_int(bad, 0, "searches in %d elements", (int) n);

    tree_memory_done(&m, &tree, "search");
    free(all);
    free(items);
    free(buf);
}


/* few keys, few begins, names with zeros at the end, names that begin others */

static void
sorted_item(ngx_uint_t i, u_char *buf, ngx_rf_item_t *item)
{
    ngx_memzero(item, sizeof(ngx_rf_item_t));
    ngx_memzero(buf, 32);

    item->key = i % 7 * 1000;
    item->name.data = buf;

    switch (i % 4) {

    case 0:
        ngx_memcpy(buf, "prefix__", 8);
        buf[8] = (u_char) (i >> 8);
        buf[9] = (u_char) i;
        item->name.len = 10 + i % 5;
        break;

    case 1:
        ngx_memcpy(buf, "pre", 3);
        item->name.len = 3 + i / 28 % 29;
        break;

    default:
        buf[0] = (u_char) (i >> 8);
        buf[1] = (u_char) i;
        item->name.len = 2 + i % 3;
    }
}


static int
sorted_compare(const void *a, const void *b)
{
    int                   rc;
    const ngx_rf_item_t  *one = a, *two = b;

    if (one->key != two->key) {
        return one->key < two->key ? -1 : 1;
    }

    rc = ngx_min(one->name.len, two->name.len)
         ? ngx_memcmp(one->name.data, two->name.data,
                      ngx_min(one->name.len, two->name.len))
         : 0;

    return rc ? rc : (one->name.len > two->name.len)
                     - (one->name.len < two->name.len);
}


static ngx_uint_t
search_differs(ngx_rf_tree_t *tree, ngx_rf_item_t *items, ngx_uint_t n,
    ngx_rf_item_t *item)
{
    uint64_t       rank;
    ngx_uint_t     low, high, middle;
    ngx_rf_elt_t  *elt;

    ngx_rf_tree_search(tree, item->key, item->name.data, item->name.len,
                       &rank, &elt);

    for (low = 0, high = n; low < high; /* void */ ) {
        middle = (low + high) / 2;

        if (sorted_compare(&items[middle], item) < 0) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    if (rank != low) {
        return 1;
    }

    if (low == n || sorted_compare(&items[low], item) != 0) {
        return elt != NULL;
    }

    return elt == NULL || elt != ngx_rf_tree_at(tree, rank);
}


RF_UNIT(tree_old_roots_stay)
{
    uint32_t        id;
    ngx_int_t       rc;
    ngx_uint_t      i, bad;
    tree_memory_t   m;
    model_t        *model, *was;
    ngx_rf_item_t   item;
    ngx_rf_walk_t   walk;
    ngx_rf_tree_t   tree, old;

    model = ngx_pcalloc(pool, sizeof(model_t));
    was = ngx_pcalloc(pool, sizeof(model_t));
    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
    tree_memory_init(&m);
    tree_random_state = 2;

    for (i = 0; i < 2000; i++) {
        id = next_id++;
        item_of(id, &item);
        tree_memory_begin(&m);
        ngx_rf_tree_splice(&m.heap, &tree, i, 0, &item, 1);
        ngx_rf_heap_commit(&m.heap);
        model_splice(model, i, 0, &id, 1);
    }

    *was = *model;
    old = tree;
    m.pinned = 1;
    rc = NGX_OK;
    bad = !is_elt(ngx_rf_walk_from(&walk, &old, 0), was->id[0]);

    for (i = 1; i < 1000; i++) {
        tree_memory_begin(&m);
        rc |= change(&m, model, &tree);
        ngx_rf_heap_commit(&m.heap);
        bad += !is_elt(ngx_rf_walk_next(&walk), was->id[i]);

        if (i % 50 == 0) {
            bad += model_differs(&m, was, &old);
            bad += model_differs(&m, model, &tree);
        }
    }

    is_int(rc, NGX_OK, "changes");
    is_int(bad, 0, "a pinned tree stays, and a walk in it");

    tree_memory_unpin(&m);
    is_int(model_differs(&m, model, &tree), 0, "the new one too");
    tree_memory_done(&m, &tree, "old roots");
}


RF_UNIT(tree_pushes)
{
    size_t         payload, before;
    ngx_uint_t     i, n, tail;
    tree_memory_t  m;
    ngx_rf_tree_t  tree;

    n = 100000;

    for (tail = 0; tail < 2; tail++) {
        ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
        tree_memory_init(&m);

        for (i = 0; i < n; i++) {
            append(&m, &tree, tail ? i : 0, i);
        }

        payload = n * 32;
        is_int(tree.count, n, "%d pushes at the %s", (int) n,
               tail ? "tail" : "head");
        is_int(tree.bytes, n * 16, "bytes are counted");
        ok(m.bytes < payload * 135 / 100, "%d bytes for %d of elements",
           (int) m.bytes, (int) payload);
        ok(ngx_rf_tree_check(&tree, tree_memory_valid, &m), "it is a tree");
        is_int(tree.root->level, 3, "levels");

        before = m.touched;
        append(&m, &tree, n / 2, n);
        ok(m.touched - before <= 8, "%d blocks for one more element",
           (int) (m.touched - before));

        tree_memory_done(&m, &tree, "pushes");
    }
}


static void
append(tree_memory_t *m, ngx_rf_tree_t *tree, uint64_t rank, ngx_uint_t i)
{
    u_char         buf[16];
    ngx_rf_item_t  item;

    ngx_memset(buf, 'a' + i % 26, 16);
    item.key = i;
    item.name.data = buf;
    item.name.len = 10;
    item.value.data = buf;
    item.value.len = 6;

    tree_memory_begin(m);
    ngx_rf_tree_splice(&m->heap, tree, rank, 0, &item, 1);
    ngx_rf_heap_commit(&m->heap);
}


/* popping what was pushed, from either end or in the middle, keeps the tree
 * dense */

RF_UNIT(tree_shrinks)
{
    size_t         most;
    ngx_uint_t     i, n, where, bad;
    tree_memory_t  m;
    ngx_rf_tree_t  tree;

    n = 20000;
    bad = 0;

    for (where = 0; where < 3; where++) {
        ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
        tree_memory_init(&m);
        tree_random_state = 3;

        for (i = 0; i < n; i++) {
            append(&m, &tree, i, i);
        }

        while (tree.count) {
            tree_memory_begin(&m);
            ngx_rf_tree_splice(&m.heap, &tree,
                               where == 0 ? 0
                               : where == 1 ? tree.count - 1
                               : tree_random(tree.count), 1, NULL, 0);
            ngx_rf_heap_commit(&m.heap);

            most = 4096 + (size_t) tree.count * 32 * 4;
            bad += m.bytes > most;
        }

        is_int(m.live, 0, "an emptied tree takes no memory");
        tree_memory_done(&m, &tree, "shrinks");
    }

    is_int(bad, 0, "and less while it was emptied");

    /* one element of a hundred stays: the rest goes in ranges */

    for (i = 0; i < n; i++) {
        append(&m, &tree, i, i);
    }

    for (i = 0; i + 100 <= tree.count; i++) {
        tree_memory_begin(&m);
        ngx_rf_tree_splice(&m.heap, &tree, i, 99, NULL, 0);
        ngx_rf_heap_commit(&m.heap);
    }

    is_int(tree.count, n / 100, "ranges are gone");
    ok(ngx_rf_tree_check(&tree, tree_memory_valid, &m), "it is a tree");
    ok(tree.root->level <= 1, "of %d levels", tree.root->level + 1);
    tree_memory_done(&m, &tree, "ranges");
}


RF_UNIT(tree_every_failure)
{
    uint32_t        state;
    ngx_int_t       rc;
    ngx_uint_t      i, round, bad, points;
    tree_memory_t   m;
    model_t        *model, *was;
    ngx_rf_tree_t   tree, old;

    model = ngx_pcalloc(pool, sizeof(model_t));
    was = ngx_pcalloc(pool, sizeof(model_t));
    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
    tree_memory_init(&m);
    tree_random_state = 4;
    bad = 0;
    points = 0;

    for (round = 0; round < 150; round++) {
        state = tree_random_state;
        *was = *model;
        old = tree;
        rc = NGX_ERROR;

        for (i = 0; rc != NGX_OK; i++) {
            tree_random_state = state;
            m.fail = i;
            tree_memory_begin(&m);
            rc = change(&m, model, &tree);

            if (rc == NGX_OK) {
                ngx_rf_heap_commit(&m.heap);
                break;
            }

            points++;
            ngx_rf_heap_rollback(&m.heap);
            bad += tree.root != old.root;
            bad += model_differs(&m, was, &tree);
        }

        m.fail = -1;
        bad += model_differs(&m, model, &tree);
    }

    is_int(bad, 0, "%d failures leave the tree", (int) points);
    tree_memory_done(&m, &tree, "failures");
}


/* what is not a tree */

RF_UNIT(tree_check)
{
    u_char          saved[256];
    size_t          size;
    ngx_uint_t      i, bad, bit;
    tree_memory_t   m;
    ngx_rf_node_t  *node, *children[NGX_RF_TREE_CHILDREN];
    ngx_rf_tree_t   tree;

    ngx_memzero(&tree, sizeof(ngx_rf_tree_t));
    tree_memory_init(&m);
    ok(ngx_rf_tree_check(&tree, tree_memory_valid_wild, &m),
       "nothing is a tree");
    is_int(ngx_rf_tree_children(NULL, children), 0, "it has no children");

    for (i = 0; i < 3000; i++) {
        append(&m, &tree, i, i);
    }

    tree.count = 5;
    tree.bytes = 7;
    ok(ngx_rf_tree_check(&tree, tree_memory_valid_wild, &m), "a tree is one");
    is_int(tree.count, 3000, "counted anew");
    is_int(tree.bytes, 3000 * 16, "its bytes too");

    ok(ngx_rf_tree_children(tree.root, children) > 1, "it has children");

    for (node = tree.root; node; node = children[0]) {
        size = ngx_min(node->size, sizeof(saved));
        ngx_memcpy(saved, node, size);
        bad = 0;

        /* links and "whole" aside, no bit of the heads may be wrong */

        for (bit = 24 * 8; bit < 32 * 8 + 16 + 8; bit++) {
            ((u_char *) node)[bit / 8] ^= 1 << bit % 8;
            bad += ngx_rf_tree_check(&tree, tree_memory_valid_wild, &m);
            ngx_memcpy(node, saved, size);
        }

        is_int(bad, 0, "damaged heads are found, level %d", node->level);

        for (bit = 40 * 8; bit < size * 8; bit++) {
            ((u_char *) node)[bit / 8] ^= 1 << bit % 8;
            bad += ngx_rf_tree_check(&tree, tree_memory_valid_wild, &m);
            ngx_memcpy(node, saved, size);
        }

        if (node->level) {
            is_int(bad, 0, "and children");
        }

        if (ngx_rf_tree_children(node, children) == 0) {
            break;
        }
    }

    ok(ngx_rf_tree_check(&tree, tree_memory_valid_wild, &m), "a tree again");
    tree_memory_done(&m, &tree, "check");
}


static void
model_splice(model_t *model, ngx_uint_t rank, ngx_uint_t ndel, uint32_t *ids,
    ngx_uint_t n)
{
    size_t      value;
    ngx_uint_t  i;

    for (i = 0; i < ndel; i++) {
        model->bytes -= item_sizes(model->id[rank + i], &value);
        model->bytes -= value;
    }

    for (i = 0; i < n; i++) {
        model->bytes += item_sizes(ids[i], &value);
        model->bytes += value;
    }

    memmove(&model->id[rank + n], &model->id[rank + ndel],
            (model->n - rank - ndel) * sizeof(uint32_t));
    ngx_memcpy(&model->id[rank], ids, n * sizeof(uint32_t));
    model->n += n - ndel;
}


static ngx_uint_t
model_differs(tree_memory_t *m, model_t *model, ngx_rf_tree_t *tree)
{
    ngx_uint_t     i, rank;
    ngx_rf_tree_t  checked;

    checked = *tree;

    if (!ngx_rf_tree_check(&checked, tree_memory_valid, m)
        || checked.count != tree->count || checked.bytes != tree->bytes
        || tree->count != model->n || tree->bytes != model->bytes
        || (tree->count == 0) != (tree->root == NULL))
    {
        return 1;
    }

    for (i = 0; i < 20 && model->n; i++) {
        rank = tree_random(model->n);

        if (!is_elt(ngx_rf_tree_at(tree, rank), model->id[rank])) {
            return 1;
        }
    }

    return ngx_rf_tree_at(tree, model->n) != NULL
           || walk_differs(model, tree);
}


static ngx_uint_t
walk_differs(model_t *model, ngx_rf_tree_t *tree)
{
    ngx_uint_t      i, from;
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    if (model->n == 0) {
        return ngx_rf_walk_from(&walk, tree, 0) != NULL
               || ngx_rf_walk_next(&walk) != NULL
               || ngx_rf_walk_prev(&walk) != NULL;
    }

    from = tree_random(2) ? 0 : tree_random(model->n);
    elt = ngx_rf_walk_from(&walk, tree, from);

    for (i = from; i < model->n; i++) {
        if (!is_elt(elt, model->id[i])) {
            return 1;
        }

        elt = ngx_rf_walk_next(&walk);
    }

    if (elt != NULL) {
        return 1;
    }

    /* it is still on the last one */

    for (i = model->n - 1; i > 0; i--) {
        if (!is_elt(ngx_rf_walk_prev(&walk), model->id[i - 1])) {
            return 1;
        }
    }

    return ngx_rf_walk_prev(&walk) != NULL;
}


static void
bytes_fill(void)
{
    ngx_uint_t  i;

    for (i = 0; i < sizeof(bytes_of_all); i++) {
        bytes_of_all[i] = (u_char) (i * 7 + i / 256);
    }
}


/* mostly small */

static size_t
item_sizes(uint32_t id, size_t *value)
{
    uint32_t  n;

    n = id * 2654435761U >> 8;

    *value = n % 50 == 0 ? n / 50 % 3000 : n % 3 == 0 ? n / 3 % 60 : 0;

    return n % 7 == 0 ? 0 : n % 97 == 1 ? n / 97 % 1200 : n % 24;
}


static void
item_of(uint32_t id, ngx_rf_item_t *item)
{
    item->key = id;
    item->name.len = item_sizes(id, &item->value.len);
    item->name.data = item->name.len ? bytes_of_all + id % 251 : NULL;
    item->value.data = item->value.len ? bytes_of_all + id % 241 : NULL;
}


static ngx_uint_t
is_elt(ngx_rf_elt_t *elt, uint32_t id)
{
    ngx_rf_item_t  item;

    item_of(id, &item);

    return elt != NULL
           && elt->key == item.key
           && elt->name_len == item.name.len
           && elt->value_len == item.value.len
           && (item.name.len == 0
               || ngx_memcmp(ngx_rf_elt_name(elt), item.name.data,
                             item.name.len) == 0)
           && (item.value.len == 0
               || ngx_memcmp(ngx_rf_elt_value(elt), item.value.data,
                             item.value.len) == 0);
}
