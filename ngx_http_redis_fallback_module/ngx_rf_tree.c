/*
 * Owns reading trees, and the heap's books: which nodes a transaction made, and
 * which it took out of use.
 *
 * Guarantees: readers write nothing; between begin() and commit() no node that
 * was there before is freed, and after either end each node that is in no tree
 * is freed exactly once.  Refuses to know how a tree is changed.
 *
 * A node refers to none of a later owner: so what an earlier part of the
 * transaction made is whole again once its own nodes are taken back.
 */

#include "ngx_rf_tree.h"
#include "ngx_rf_tree_internal.h"


typedef struct {
    uint64_t              key;
    uint64_t              prefix;
    u_char               *name;
    size_t                len;
} ngx_rf_tree_target_t;


/* on the way to a target */

typedef struct {
    ngx_rf_tree_target_t  target;
    ngx_rf_node_t        *node;         /* NULL: the tree is empty */
    ngx_rf_node_t        *next;         /* behind it, on any level, or NULL */
    uint64_t              rank;         /* elements before the node */
} ngx_rf_descent_t;


static void ngx_rf_descent_begin(ngx_rf_descent_t *d, ngx_rf_tree_t *tree,
    uint64_t key, u_char *name, size_t len);
static void ngx_rf_descent_step(ngx_rf_descent_t *d);
static ngx_rf_elt_t *ngx_rf_descent_end(ngx_rf_descent_t *d);
static ngx_uint_t ngx_rf_tree_find_child(ngx_rf_node_t *node,
    ngx_rf_tree_target_t *target, uint64_t *rank);
static ngx_uint_t ngx_rf_tree_find_alike(ngx_rf_child_t *child, ngx_uint_t i,
    ngx_uint_t n, ngx_rf_tree_target_t *target);
static ngx_rf_elt_t *ngx_rf_tree_find_elt(ngx_rf_node_t *leaf,
    ngx_rf_tree_target_t *target, uint64_t *rank);
static ngx_int_t ngx_rf_tree_compare(ngx_rf_elt_t *elt,
    ngx_rf_tree_target_t *target);
static ngx_rf_elt_t *ngx_rf_tree_first(ngx_rf_node_t *node);

static ngx_rf_elt_t *ngx_rf_walk_enter(ngx_rf_walk_t *walk, ngx_uint_t level,
    ngx_uint_t last);
static void ngx_rf_walk_load(ngx_rf_walk_t *walk, ngx_rf_node_t *leaf);
static ngx_rf_elt_t *ngx_rf_walk_elt(ngx_rf_walk_t *walk);

static void ngx_rf_heap_free_aside(ngx_rf_heap_t *heap);
static void ngx_rf_heap_put_aside(ngx_rf_heap_t *heap, ngx_rf_node_t *node,
    ngx_uint_t whole);
static void ngx_rf_heap_free(ngx_rf_heap_t *heap, ngx_rf_node_t *node);

#define ngx_rf_descent_inner(d)  ((d)->node && (d)->node->level)

/* what one access brings into the cache */
#define NGX_RF_TREE_LINE       64

#if defined(__GNUC__)
#define ngx_rf_tree_prefetch(p)  __builtin_prefetch(p)
#else
#define ngx_rf_tree_prefetch(p)  (void) (p)
#endif

#define ngx_rf_heap_of(q)  ngx_queue_data(q, ngx_rf_node_t, queue)

/* a node that this transaction has made; after aside() there are later ones of
 * others */
#define ngx_rf_heap_made(heap, node)                                         \
    ((node)->owner >= (heap)->first && (node)->owner <= (heap)->owner)


void
ngx_rf_tree_search(ngx_rf_tree_t *tree, uint64_t key, u_char *name, size_t len,
    uint64_t *rank, ngx_rf_elt_t **elt)
{
    ngx_rf_descent_t  d;

    ngx_rf_descent_begin(&d, tree, key, name, len);

    while (ngx_rf_descent_inner(&d)) {
        ngx_rf_descent_step(&d);
    }

    *elt = ngx_rf_descent_end(&d);
    *rank = d.rank;
}


void
ngx_rf_tree_search_two(ngx_rf_find_t *one, ngx_rf_find_t *other, u_char *name,
    size_t len)
{
    ngx_rf_descent_t  a, b;

    ngx_rf_descent_begin(&a, one->tree, one->key, name, len);
    ngx_rf_descent_begin(&b, other->tree, other->key, name, len);

    while (ngx_rf_descent_inner(&a)) {
        ngx_rf_descent_step(&a);

        if (ngx_rf_descent_inner(&b)) {
            ngx_rf_descent_step(&b);
        }
    }

    while (ngx_rf_descent_inner(&b)) {
        ngx_rf_descent_step(&b);
    }

    one->elt = ngx_rf_descent_end(&a);
    one->rank = a.rank;

    other->elt = ngx_rf_descent_end(&b);
    other->rank = b.rank;
}


static void
ngx_rf_descent_begin(ngx_rf_descent_t *d, ngx_rf_tree_t *tree, uint64_t key,
    u_char *name, size_t len)
{
    d->target.key = key;
    d->target.prefix = ngx_rf_tree_prefix(name, len);
    d->target.name = name;
    d->target.len = len;

    d->node = tree->root;
    d->next = NULL;
    d->rank = 0;
}


static void
ngx_rf_descent_step(ngx_rf_descent_t *d)
{
    u_char          *p;
    ngx_uint_t       found;
    ngx_rf_child_t  *child;

    child = ngx_rf_tree_child(d->node);
    found = ngx_rf_tree_find_child(d->node, &d->target, &d->rank);

    /* its first element follows the last one of this child */

    if (found + 1 < d->node->n) {
        d->next = child[found + 1].node;
    }

    d->node = child[found].node;

    /* all of it at once rather than line by line; behind its end there may be
     * other memory or none, which does no harm */

    for (p = (u_char *) d->node;
         p < (u_char *) d->node + NGX_RF_TREE_LEAF;
         p += NGX_RF_TREE_LINE)
    {
        ngx_rf_tree_prefetch(p);
    }
}


static ngx_rf_elt_t *
ngx_rf_descent_end(ngx_rf_descent_t *d)
{
    ngx_rf_elt_t  *elt;

    if (d->node == NULL) {
        return NULL;
    }

    elt = ngx_rf_tree_find_elt(d->node, &d->target, &d->rank);

    if (elt == NULL && d->next) {
        elt = ngx_rf_tree_first(d->next);
    }

    return elt && ngx_rf_tree_compare(elt, &d->target) == 0 ? elt : NULL;
}


/*
 * The last child that begins before the target, or the first one; adds the
 * elements of those before it to rank.  As these are to be summed up, the
 * children are looked at from the first one on: a node that is in no cache is
 * there sooner if it is read in order.
 */

static ngx_uint_t
ngx_rf_tree_find_child(ngx_rf_node_t *node, ngx_rf_tree_target_t *target,
    uint64_t *rank)
{
    ngx_uint_t       i, n, found;
    ngx_rf_child_t  *child;

    child = ngx_rf_tree_child(node);
    n = node->n;

    for (i = 1; i < n; i++) {

        if (child[i].key >= target->key
            && (child[i].key != target->key
                || child[i].prefix >= target->prefix))
        {
            break;
        }

        *rank += child[i - 1].count;
    }

    if (i == n
        || child[i].key != target->key || child[i].prefix != target->prefix)
    {
        return i - 1;
    }

    found = ngx_rf_tree_find_alike(child, i, n, target);

    for ( /* void */ ; i <= found; i++) {
        *rank += child[i - 1].count;
    }

    return found;
}


/* the same among children from i on, the first of which begins so much like
 * the target that only its first element tells */

static ngx_uint_t
ngx_rf_tree_find_alike(ngx_rf_child_t *child, ngx_uint_t i, ngx_uint_t n,
    ngx_rf_tree_target_t *target)
{
    ngx_uint_t  low, high, middle;

    low = i - 1;
    high = i;

    while (high < n
           && child[high].key == target->key
           && child[high].prefix == target->prefix)
    {
        high++;
    }

    while (high - low > 1) {
        middle = (low + high) / 2;

        if (ngx_rf_tree_compare(ngx_rf_tree_first(child[middle].node), target)
            < 0)
        {
            low = middle;

        } else {
            high = middle;
        }
    }

    return low;
}


/* the first element that is not before the target; adds those before to rank */

static ngx_rf_elt_t *
ngx_rf_tree_find_elt(ngx_rf_node_t *leaf, ngx_rf_tree_target_t *target,
    uint64_t *rank)
{
    u_char        *p;
    ngx_uint_t     i;
    ngx_rf_elt_t  *elt;

    p = leaf->data;

    for (i = 0; i < leaf->n; i++) {
        elt = ngx_rf_tree_elt(p);

        if (elt->key > target->key
            || (elt->key == target->key
                && ngx_rf_tree_compare(elt, target) >= 0))
        {
            *rank += i;
            return elt;
        }

        p += ngx_rf_elt_size(elt);
    }

    *rank += i;

    return NULL;
}


static ngx_int_t
ngx_rf_tree_compare(ngx_rf_elt_t *elt, ngx_rf_tree_target_t *target)
{
    size_t     len;
    ngx_int_t  rc;

    if (elt->key != target->key) {
        return elt->key < target->key ? -1 : 1;
    }

    len = ngx_min(elt->name_len, target->len);

    if (len) {
        rc = ngx_memcmp(ngx_rf_elt_name(elt), target->name, len);
        if (rc) {
            return rc;
        }
    }

    if (elt->name_len == target->len) {
        return 0;
    }

    return elt->name_len < target->len ? -1 : 1;
}


static ngx_rf_elt_t *
ngx_rf_tree_first(ngx_rf_node_t *node)
{
    while (node->level) {
        node = ngx_rf_tree_child(node)->node;
    }

    return ngx_rf_tree_elt(node->data);
}


uint64_t
ngx_rf_tree_prefix(u_char *name, size_t len)
{
    size_t    i;
    uint64_t  prefix;

    prefix = 0;

    for (i = 0; i < 8; i++) {
        prefix = prefix << 8 | (i < len ? name[i] : 0);
    }

    return prefix;
}


ngx_rf_elt_t *
ngx_rf_tree_at(ngx_rf_tree_t *tree, uint64_t rank)
{
    u_char          *p;
    ngx_rf_node_t   *node;
    ngx_rf_child_t  *child;

    if (rank >= tree->count) {
        return NULL;
    }

    node = tree->root;

    while (node->level) {
        child = ngx_rf_tree_child(node);

        for ( /* void */ ; rank >= child->count; child++) {
            rank -= child->count;
        }

        node = child->node;
    }

    for (p = node->data; rank; rank--) {
        p += ngx_rf_elt_size(ngx_rf_tree_elt(p));
    }

    return ngx_rf_tree_elt(p);
}


ngx_uint_t
ngx_rf_tree_children(ngx_rf_node_t *node, ngx_rf_node_t **children)
{
    ngx_uint_t       i;
    ngx_rf_child_t  *child;

    if (node == NULL || node->level == 0) {
        return 0;
    }

    child = ngx_rf_tree_child(node);

    for (i = 0; i < node->n; i++) {
        children[i] = child[i].node;
    }

    return node->n;
}


ngx_rf_elt_t *
ngx_rf_walk_from(ngx_rf_walk_t *walk, ngx_rf_tree_t *tree, uint64_t rank)
{
    ngx_uint_t       i;
    ngx_rf_node_t   *node;
    ngx_rf_child_t  *child;

    walk->levels = 0;

    if (rank >= tree->count) {
        return NULL;
    }

    node = tree->root;
    walk->levels = node->level + 1;

    while (node->level) {
        child = ngx_rf_tree_child(node);

        for (i = 0; rank >= child[i].count; i++) {
            rank -= child[i].count;
        }

        walk->path[node->level] = node;
        walk->index[node->level] = i;

        node = child[i].node;
    }

    ngx_rf_walk_load(walk, node);
    walk->index[0] = rank;

    return ngx_rf_walk_elt(walk);
}


ngx_rf_elt_t *
ngx_rf_walk_next(ngx_rf_walk_t *walk)
{
    ngx_uint_t  level;

    for (level = 0; level < walk->levels; level++) {

        if (walk->index[level] + 1 < walk->path[level]->n) {
            walk->index[level]++;
            return ngx_rf_walk_enter(walk, level, 0);
        }
    }

    return NULL;
}


ngx_rf_elt_t *
ngx_rf_walk_prev(ngx_rf_walk_t *walk)
{
    ngx_uint_t  level;

    for (level = 0; level < walk->levels; level++) {

        if (walk->index[level]) {
            walk->index[level]--;
            return ngx_rf_walk_enter(walk, level, 1);
        }
    }

    return NULL;
}


/* to the first or the last element below where this level points to */

static ngx_rf_elt_t *
ngx_rf_walk_enter(ngx_rf_walk_t *walk, ngx_uint_t level, ngx_uint_t last)
{
    ngx_rf_node_t  *node;

    while (level) {
        node = walk->path[level];
        node = ngx_rf_tree_child(node)[walk->index[level]].node;

        level--;
        walk->index[level] = last ? node->n - 1 : 0;

        if (level) {
            walk->path[level] = node;

        } else {
            ngx_rf_walk_load(walk, node);
        }
    }

    return ngx_rf_walk_elt(walk);
}


static void
ngx_rf_walk_load(ngx_rf_walk_t *walk, ngx_rf_node_t *leaf)
{
    size_t      offset;
    ngx_uint_t  i;

    walk->path[0] = leaf;
    offset = 0;

    /* only the last one may end where 16 bits do not reach */

    for (i = 0; i < leaf->n; i++) {
        walk->offset[i] = (uint16_t) offset;
        offset += ngx_rf_elt_size(ngx_rf_tree_elt(leaf->data + offset));
    }
}


static ngx_rf_elt_t *
ngx_rf_walk_elt(ngx_rf_walk_t *walk)
{
    return ngx_rf_tree_elt(walk->path[0]->data
                           + walk->offset[walk->index[0]]);
}


void
ngx_rf_heap_begin(ngx_rf_heap_t *heap, uint64_t owner)
{
    heap->first = owner;
    heap->owner = owner;

    ngx_queue_init(&heap->fresh);
    ngx_queue_init(&heap->dead);

    heap->mark = &heap->dead;

    heap->is_aside = 0;
    heap->failed = 0;
}


void
ngx_rf_heap_aside(ngx_rf_heap_t *heap)
{
    heap->is_aside = 1;
}


ngx_int_t
ngx_rf_heap_join(ngx_rf_heap_t *heap)
{
    ngx_uint_t           i;
    ngx_rf_heap_aside_t  *a;

    if (heap->failed) {
        return NGX_ERROR;
    }

    heap->is_aside = 0;

    for (i = 0; i < heap->naside; i++) {
        a = &heap->aside[i];

        a->node->whole = a->whole ? 1 : 0;
        ngx_queue_insert_tail(&heap->dead, &a->node->queue);
    }

    ngx_rf_heap_free_aside(heap);

    return NGX_OK;
}


void
ngx_rf_heap_forget(ngx_rf_heap_t *heap)
{
    ngx_rf_heap_free_aside(heap);

    ngx_queue_init(&heap->fresh);
    ngx_queue_init(&heap->dead);

    heap->mark = &heap->dead;
}


static void
ngx_rf_heap_free_aside(ngx_rf_heap_t *heap)
{
    free(heap->aside);

    heap->aside = NULL;
    heap->naside = 0;
    heap->aside_max = 0;
}


void
ngx_rf_heap_savepoint(ngx_rf_heap_t *heap, uint64_t owner)
{
    heap->owner = owner;
    heap->mark = heap->dead.prev;
}


void
ngx_rf_heap_rollback_to(ngx_rf_heap_t *heap)
{
    ngx_queue_t    *q;
    ngx_rf_node_t  *node;

    /* what this part made is at the end of fresh */

    while (!ngx_queue_empty(&heap->fresh)) {
        node = ngx_rf_heap_of(ngx_queue_last(&heap->fresh));

        if (node->owner != heap->owner) {
            break;
        }

        ngx_queue_remove(&node->queue);
        ngx_rf_heap_free(heap, node);
    }

    while (heap->dead.prev != heap->mark) {
        q = heap->dead.prev;
        node = ngx_rf_heap_of(q);

        ngx_queue_remove(q);
        node->whole = 0;

        if (ngx_rf_heap_made(heap, node)) {
            ngx_queue_insert_head(&heap->fresh, q);
        }
    }
}


void
ngx_rf_heap_rollback(ngx_rf_heap_t *heap)
{
    ngx_queue_t    *q;
    ngx_rf_node_t  *node;

    while (!ngx_queue_empty(&heap->dead)) {
        q = ngx_queue_last(&heap->dead);
        node = ngx_rf_heap_of(q);

        ngx_queue_remove(q);
        node->whole = 0;

        /* only itself: below are nodes that are fresh, and are freed as such,
         * and others that stay */

        if (ngx_rf_heap_made(heap, node)) {
            ngx_rf_heap_free(heap, node);
        }
    }

    while (!ngx_queue_empty(&heap->fresh)) {
        q = ngx_queue_last(&heap->fresh);

        ngx_queue_remove(q);
        ngx_rf_heap_free(heap, ngx_rf_heap_of(q));
    }

    heap->mark = &heap->dead;

    ngx_rf_heap_free_aside(heap);
}


void
ngx_rf_heap_commit(ngx_rf_heap_t *heap)
{
    ngx_queue_t  *q;

    /* some fresh nodes may be freed below, with those above them: they are
     * not to be touched any more */

    ngx_queue_init(&heap->fresh);
    heap->mark = &heap->dead;

    while (!ngx_queue_empty(&heap->dead)) {
        q = ngx_queue_head(&heap->dead);

        ngx_queue_remove(q);
        heap->free(heap->ctx, ngx_rf_heap_of(q));
    }
}


ngx_rf_node_t *
ngx_rf_heap_node(ngx_rf_heap_t *heap, ngx_uint_t level, ngx_uint_t n,
    size_t size)
{
    ngx_rf_node_t  *node;

    node = heap->alloc(heap->ctx, size);
    if (node == NULL) {
        return NULL;
    }

    node->owner = heap->owner;
    node->magic = NGX_RF_TREE_MAGIC;
    node->size = (uint32_t) size;
    node->n = (uint16_t) n;
    node->level = (uint8_t) level;
    node->whole = 0;
    node->reserved = 0;

    ngx_queue_insert_tail(&heap->fresh, &node->queue);

    return node;
}


void
ngx_rf_heap_kill(ngx_rf_heap_t *heap, ngx_rf_node_t *node, ngx_uint_t whole)
{
    ngx_uint_t       i;
    ngx_rf_child_t  *child;

    if (heap->is_aside && node->owner != heap->owner) {
        ngx_rf_heap_put_aside(heap, node, whole);
        return;
    }

    if (ngx_rf_heap_made(heap, node)) {
        ngx_queue_remove(&node->queue);
    }

    if (node->owner != heap->owner) {
        node->whole = whole ? 1 : 0;
        ngx_queue_insert_tail(&heap->dead, &node->queue);
        return;
    }

    if (whole && node->level) {
        child = ngx_rf_tree_child(node);

        for (i = 0; i < node->n; i++) {
            ngx_rf_heap_kill(heap, child[i].node, 1);
        }
    }

    ngx_rf_heap_free(heap, node);
}


static void
ngx_rf_heap_put_aside(ngx_rf_heap_t *heap, ngx_rf_node_t *node,
    ngx_uint_t whole)
{
    size_t                n;
    ngx_rf_heap_aside_t  *aside;

    if (heap->naside == heap->aside_max) {
        n = heap->aside_max ? heap->aside_max * 2 : 64;
        aside = realloc(heap->aside, n * sizeof(ngx_rf_heap_aside_t));

        if (aside == NULL) {
            heap->failed = 1;
            return;
        }

        heap->aside = aside;
        heap->aside_max = n;
    }

    aside = &heap->aside[heap->naside++];
    aside->node = node;
    aside->whole = whole;
}


/* without what is below */

static void
ngx_rf_heap_free(ngx_rf_heap_t *heap, ngx_rf_node_t *node)
{
    node->whole = 0;
    heap->free(heap->ctx, node);
}
