/*
 * Owns changing trees.
 *
 * Guarantees: what is published is only read; a node that is replaced is put
 * aside only after what replaces it is there; neighbours of which one is less
 * than a quarter full, and which fit one node, become one, so that no sequence
 * of changes leaves a tree that is much higher than its elements need.
 *
 * An edit of a node yields any number of nodes of its level (none: all of it is
 * gone), and its parent takes those in its place.
 */

#include "ngx_rf_tree.h"
#include "ngx_rf_tree_internal.h"


/* children of a parent while it is edited: its own, one of them replaced by as
 * many leaves as the elements of one and the items fill, another by one */
#define NGX_RF_TREE_LIST                                                      \
    (NGX_RF_TREE_CHILDREN + NGX_RF_TREE_ELTS + NGX_RF_TREE_BATCH)

#define NGX_RF_TREE_PIECES     (NGX_RF_TREE_ELTS + NGX_RF_TREE_BATCH)

/* items of a splice together, in bytes; sizes of nodes have 32 bits */
#define NGX_RF_TREE_LONGEST    0x7fffff00


typedef enum {
    NGX_RF_TREE_EVEN = 0,
    NGX_RF_TREE_APPEND,     /* at the end: nodes left behind are full */
    NGX_RF_TREE_PREPEND     /* the same for the other end */
} ngx_rf_tree_pack_e;


typedef struct {
    ngx_rf_heap_t        *heap;
    ngx_rf_item_t        *items;
    ngx_uint_t            n;            /* 0 once they are in a leaf */
    ngx_rf_tree_pack_e    pack;
} ngx_rf_edit_t;


/* a leaf and what becomes of it */

typedef struct {
    ngx_rf_child_t       *old;
    u_char               *data;
    size_t                head;         /* bytes before those deleted */
    size_t                tail;         /* where those after them begin */
    size_t                end;
    size_t                added;        /* bytes of the items */
    ngx_uint_t            before;       /* elements */
    ngx_uint_t            after;
} ngx_rf_leaf_t;


/* an element of several leaves to be */

typedef struct {
    ngx_rf_elt_t         *elt;          /* NULL: it is an item */
    ngx_rf_item_t        *item;
    size_t                size;
    ngx_uint_t            begins;       /* a leaf */
} ngx_rf_piece_t;


/* these return the number of nodes in "out", or NGX_ERROR */
static ngx_int_t ngx_rf_tree_edit(ngx_rf_edit_t *e, ngx_rf_child_t *old,
    uint64_t rank, uint64_t ndel, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_edit_inner(ngx_rf_edit_t *e, ngx_rf_child_t *old,
    uint64_t rank, uint64_t ndel, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_edit_leaf(ngx_rf_edit_t *e, ngx_rf_child_t *old,
    uint64_t rank, uint64_t ndel, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_replace(ngx_rf_edit_t *e, ngx_rf_child_t *old,
    ngx_uint_t i, ngx_rf_child_t *child, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_pack(ngx_rf_edit_t *e, ngx_rf_child_t *list,
    ngx_uint_t n, ngx_uint_t level, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_inner(ngx_rf_edit_t *e, ngx_rf_child_t *list,
    ngx_uint_t n, ngx_uint_t level, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_join(ngx_rf_edit_t *e, ngx_rf_child_t *list,
    ngx_uint_t n, ngx_uint_t from, ngx_uint_t to);
static ngx_int_t ngx_rf_tree_merge(ngx_rf_edit_t *e, ngx_rf_child_t *a,
    ngx_rf_child_t *b, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_merge_inner(ngx_rf_edit_t *e, ngx_rf_child_t *a,
    ngx_rf_child_t *b, ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_leaf(ngx_rf_edit_t *e, ngx_rf_leaf_t *leaf,
    ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_leaves(ngx_rf_edit_t *e, ngx_rf_leaf_t *leaf,
    ngx_rf_child_t *out);
static ngx_int_t ngx_rf_tree_leaf_of(ngx_rf_edit_t *e, ngx_rf_piece_t *piece,
    ngx_uint_t n, ngx_rf_child_t *out);

static ngx_int_t ngx_rf_tree_measure(ngx_rf_edit_t *e, size_t *added);
static void ngx_rf_tree_cut(ngx_rf_leaf_t *leaf, uint64_t rank, uint64_t ndel);
static ngx_uint_t ngx_rf_tree_pieces(ngx_rf_edit_t *e, ngx_rf_leaf_t *leaf,
    ngx_rf_piece_t *piece);
static ngx_uint_t ngx_rf_tree_pieces_of(u_char *p, ngx_uint_t n,
    ngx_rf_piece_t *piece);
static void ngx_rf_tree_divide(ngx_rf_piece_t *piece, ngx_uint_t n,
    size_t most);
static void ngx_rf_tree_divide_back(ngx_rf_piece_t *piece, ngx_uint_t n);
static size_t ngx_rf_tree_fair(ngx_rf_piece_t *piece, ngx_uint_t n);
static ngx_uint_t ngx_rf_tree_joins(ngx_rf_node_t *a, ngx_rf_node_t *b);
static ngx_uint_t ngx_rf_tree_sparse(ngx_rf_node_t *node);
static u_char *ngx_rf_tree_put(u_char *p, ngx_rf_item_t *item);
static u_char *ngx_rf_tree_copy(u_char *p, void *data, size_t len);
static void ngx_rf_tree_describe(ngx_rf_child_t *child, ngx_rf_node_t *leaf,
    uint64_t bytes);


ngx_int_t
ngx_rf_tree_splice(ngx_rf_heap_t *heap, ngx_rf_tree_t *tree, uint64_t rank,
    uint64_t ndel, ngx_rf_item_t *items, ngx_uint_t n)
{
    ngx_int_t       k;
    ngx_uint_t      level;
    ngx_rf_edit_t   e;
    ngx_rf_node_t  *root;
    ngx_rf_child_t  old, list[NGX_RF_TREE_LIST];

    if (rank > tree->count || ndel > tree->count - rank
        || n > NGX_RF_TREE_BATCH)
    {
        return NGX_ERROR;
    }

    if (ndel == 0 && n == 0) {
        return NGX_OK;
    }

    e.heap = heap;
    e.items = items;
    e.n = n;
    e.pack = rank + ndel == tree->count ? NGX_RF_TREE_APPEND
             : rank == 0 ? NGX_RF_TREE_PREPEND : NGX_RF_TREE_EVEN;

    ngx_memzero(&old, sizeof(ngx_rf_child_t));
    old.node = tree->root;
    old.count = tree->count;
    old.bytes = tree->bytes;

    level = old.node ? old.node->level : 0;
    k = ngx_rf_tree_edit(&e, &old, rank, ndel, list);

    while (k > 1 && ++level < NGX_RF_TREE_LEVELS) {
        k = ngx_rf_tree_pack(&e, list, k, level, list);
    }

    if (k == NGX_ERROR || k > 1) {
        return NGX_ERROR;
    }

    if (k == 0) {
        ngx_memzero(tree, sizeof(ngx_rf_tree_t));
        return NGX_OK;
    }

    /* the counts of a root are those of its only child */

    root = list[0].node;

    while (root->level && root->n == 1) {
        list[0].node = ngx_rf_tree_child(root)->node;
        ngx_rf_heap_kill(heap, root, 0);
        root = list[0].node;
    }

    tree->root = root;
    tree->count = list[0].count;
    tree->bytes = list[0].bytes;

    return NGX_OK;
}


void
ngx_rf_tree_drop(ngx_rf_heap_t *heap, ngx_rf_tree_t *tree)
{
    if (tree->root) {
        ngx_rf_heap_kill(heap, tree->root, 1);
    }

    ngx_memzero(tree, sizeof(ngx_rf_tree_t));
}


/* the items go to the first node that is edited */

static ngx_int_t
ngx_rf_tree_edit(ngx_rf_edit_t *e, ngx_rf_child_t *old, uint64_t rank,
    uint64_t ndel, ngx_rf_child_t *out)
{
    if (ndel == old->count && e->n == 0) {
        ngx_rf_heap_kill(e->heap, old->node, 1);
        return 0;
    }

    if (old->node && old->node->level) {
        return ngx_rf_tree_edit_inner(e, old, rank, ndel, out);
    }

    return ngx_rf_tree_edit_leaf(e, old, rank, ndel, out);
}


static ngx_int_t
ngx_rf_tree_edit_inner(ngx_rf_edit_t *e, ngx_rf_child_t *old, uint64_t rank,
    uint64_t ndel, ngx_rf_child_t *out)
{
    uint64_t         part;
    ngx_int_t        rc, k;
    ngx_uint_t       first, next, n;
    ngx_rf_node_t   *node;
    ngx_rf_child_t  *child, list[NGX_RF_TREE_LIST];

    node = old->node;
    child = ngx_rf_tree_child(node);

    /* what is only inserted goes to the end of a child rather than to the
     * begin of the next one */

    for (first = 0; rank >= child[first].count + (ndel == 0); first++) {
        rank -= child[first].count;
    }

    next = first;
    k = 0;

    do {
        part = ngx_min(ndel, child[next].count - rank);

        rc = ngx_rf_tree_edit(e, &child[next], rank, part, &list[first + k]);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        k += rc;
        ndel -= part;
        rank = 0;
        next++;

    } while (ndel);

    if (k == 1 && next == first + 1 && !ngx_rf_tree_sparse(list[first].node)) {
        return ngx_rf_tree_replace(e, old, first, &list[first], out);
    }

    ngx_memcpy(list, child, first * sizeof(ngx_rf_child_t));
    ngx_memcpy(&list[first + k], &child[next],
               (node->n - next) * sizeof(ngx_rf_child_t));
    n = first + k + node->n - next;

    rc = ngx_rf_tree_join(e, list, n, first, first + k);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    rc = ngx_rf_tree_pack(e, list, rc, node->level, out);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_rf_heap_kill(e->heap, node, 0);

    return rc;
}


/* the commonest change: one child gives way to another */

static ngx_int_t
ngx_rf_tree_replace(ngx_rf_edit_t *e, ngx_rf_child_t *old, ngx_uint_t i,
    ngx_rf_child_t *child, ngx_rf_child_t *out)
{
    ngx_rf_node_t   *node, *was;
    ngx_rf_child_t  *place;

    was = old->node;
    place = &ngx_rf_tree_child(was)[i];

    *out = *old;
    out->count += child->count - place->count;
    out->bytes += child->bytes - place->bytes;

    if (i == 0) {
        out->key = child->key;
        out->prefix = child->prefix;
    }

    if (was->owner == e->heap->owner) {
        *place = *child;
        return 1;
    }

    node = ngx_rf_heap_node(e->heap, was->level, was->n, was->size);
    if (node == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(node->data, was->data, was->size - NGX_RF_TREE_HEAD);
    ngx_rf_tree_child(node)[i] = *child;
    out->node = node;

    ngx_rf_heap_kill(e->heap, was, 0);

    return 1;
}


/* "out" may be the list itself */

static ngx_int_t
ngx_rf_tree_pack(ngx_rf_edit_t *e, ngx_rf_child_t *list, ngx_uint_t n,
    ngx_uint_t level, ngx_rf_child_t *out)
{
    ngx_uint_t  i, k, size;

    k = (n + NGX_RF_TREE_CHILDREN - 1) / NGX_RF_TREE_CHILDREN;

    for (i = 0; i < k; i++) {

        if (e->pack == NGX_RF_TREE_APPEND) {
            size = ngx_min(n, NGX_RF_TREE_CHILDREN);

        } else if (e->pack == NGX_RF_TREE_PREPEND) {
            size = n - (k - i - 1) * NGX_RF_TREE_CHILDREN;

        } else {
            size = n / (k - i);
        }

        if (ngx_rf_tree_inner(e, list, size, level, &out[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        list += size;
        n -= size;
    }

    return k;
}


static ngx_int_t
ngx_rf_tree_inner(ngx_rf_edit_t *e, ngx_rf_child_t *list, ngx_uint_t n,
    ngx_uint_t level, ngx_rf_child_t *out)
{
    ngx_uint_t      i;
    ngx_rf_node_t  *node;
    ngx_rf_child_t  child;

    node = ngx_rf_heap_node(e->heap, level, n,
                            NGX_RF_TREE_HEAD + n * sizeof(ngx_rf_child_t));
    if (node == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(node->data, list, n * sizeof(ngx_rf_child_t));

    child = list[0];
    child.node = node;

    for (i = 1; i < n; i++) {
        child.count += list[i].count;
        child.bytes += list[i].bytes;
    }

    *out = child;

    return NGX_OK;
}


/* merges those of n neighbours that should be one, where the ones in
 * [from, to) are new; returns how many are left */

static ngx_int_t
ngx_rf_tree_join(ngx_rf_edit_t *e, ngx_rf_child_t *list, ngx_uint_t n,
    ngx_uint_t from, ngx_uint_t to)
{
    ngx_uint_t  i;

    i = from ? from - 1 : 0;

    while (i < to && i + 1 < n) {

        if (!ngx_rf_tree_joins(list[i].node, list[i + 1].node)) {
            i++;
            continue;
        }

        if (ngx_rf_tree_merge(e, &list[i], &list[i + 1], &list[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        n--;
        to--;

        ngx_memmove(&list[i + 1], &list[i + 2],
                    (n - i - 1) * sizeof(ngx_rf_child_t));
    }

    return n;
}


static ngx_uint_t
ngx_rf_tree_joins(ngx_rf_node_t *a, ngx_rf_node_t *b)
{
    if (!ngx_rf_tree_sparse(a) && !ngx_rf_tree_sparse(b)) {
        return 0;
    }

    if (a->level) {
        return a->n + b->n <= NGX_RF_TREE_CHILDREN;
    }

    return (uint64_t) a->size + b->size - NGX_RF_TREE_HEAD
           <= NGX_RF_TREE_LEAF;
}


static ngx_uint_t
ngx_rf_tree_sparse(ngx_rf_node_t *node)
{
    return node->level ? node->n < NGX_RF_TREE_CHILDREN / 4
                       : node->size < NGX_RF_TREE_LEAF / 4;
}


/* "out" may be one of them */

static ngx_int_t
ngx_rf_tree_merge(ngx_rf_edit_t *e, ngx_rf_child_t *a, ngx_rf_child_t *b,
    ngx_rf_child_t *out)
{
    u_char         *p;
    ngx_rf_node_t  *node, *first, *second;

    first = a->node;
    second = b->node;

    if (first->level) {
        if (ngx_rf_tree_merge_inner(e, a, b, out) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        node = ngx_rf_heap_node(e->heap, 0, first->n + second->n,
                                first->size + second->size - NGX_RF_TREE_HEAD);
        if (node == NULL) {
            return NGX_ERROR;
        }

        p = ngx_rf_tree_copy(node->data, first->data,
                             first->size - NGX_RF_TREE_HEAD);
        ngx_rf_tree_copy(p, second->data, second->size - NGX_RF_TREE_HEAD);

        ngx_rf_tree_describe(out, node, a->bytes + b->bytes);
    }

    ngx_rf_heap_kill(e->heap, first, 0);
    ngx_rf_heap_kill(e->heap, second, 0);

    return NGX_OK;
}


/* the last child of one becomes a neighbour of the other's first */

static ngx_int_t
ngx_rf_tree_merge_inner(ngx_rf_edit_t *e, ngx_rf_child_t *a, ngx_rf_child_t *b,
    ngx_rf_child_t *out)
{
    ngx_int_t        n;
    ngx_rf_node_t   *first, *second;
    ngx_rf_child_t   list[NGX_RF_TREE_CHILDREN];

    first = a->node;
    second = b->node;

    ngx_memcpy(list, first->data, first->n * sizeof(ngx_rf_child_t));
    ngx_memcpy(&list[first->n], second->data,
               second->n * sizeof(ngx_rf_child_t));

    n = ngx_rf_tree_join(e, list, first->n + second->n, first->n, first->n);
    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    return ngx_rf_tree_inner(e, list, n, first->level, out);
}


static ngx_int_t
ngx_rf_tree_edit_leaf(ngx_rf_edit_t *e, ngx_rf_child_t *old, uint64_t rank,
    uint64_t ndel, ngx_rf_child_t *out)
{
    size_t         size;
    ngx_int_t      k;
    ngx_rf_leaf_t  leaf;

    leaf.old = old;
    ngx_rf_tree_cut(&leaf, rank, ndel);

    if (ngx_rf_tree_measure(e, &leaf.added) != NGX_OK) {
        return NGX_ERROR;
    }

    size = leaf.head + leaf.added + leaf.end - leaf.tail;

    if (size <= NGX_RF_TREE_ROOM || leaf.before + e->n + leaf.after == 1) {
        k = ngx_rf_tree_leaf(e, &leaf, out);

    } else {
        k = ngx_rf_tree_leaves(e, &leaf, out);
    }

    if (k == NGX_ERROR) {
        return NGX_ERROR;
    }

    e->n = 0;

    if (old->node) {
        ngx_rf_heap_kill(e->heap, old->node, 0);
    }

    return k;
}


/* where the deleted elements are in the leaf */

static void
ngx_rf_tree_cut(ngx_rf_leaf_t *leaf, uint64_t rank, uint64_t ndel)
{
    size_t          offset;
    uint64_t        i;
    ngx_rf_node_t  *node;

    node = leaf->old->node;

    leaf->data = node ? node->data : (u_char *) "";
    leaf->end = node ? node->size - NGX_RF_TREE_HEAD : 0;
    leaf->before = rank;
    leaf->after = leaf->old->count - rank - ndel;
    leaf->head = leaf->end;
    leaf->tail = leaf->end;

    if (ndel == 0 && leaf->after == 0) {
        return;
    }

    offset = 0;

    for (i = 0; i < rank; i++) {
        offset += ngx_rf_elt_size(ngx_rf_tree_elt(node->data + offset));
    }

    leaf->head = offset;

    for (i = 0; i < ndel; i++) {
        offset += ngx_rf_elt_size(ngx_rf_tree_elt(node->data + offset));
    }

    leaf->tail = offset;
}


static ngx_int_t
ngx_rf_tree_measure(ngx_rf_edit_t *e, size_t *added)
{
    size_t          left, size;
    ngx_uint_t      i;
    ngx_rf_item_t  *item;

    left = NGX_RF_TREE_LONGEST;

    for (i = 0; i < e->n; i++) {
        item = &e->items[i];

        if (item->name.len > left || item->value.len > left - item->name.len) {
            return NGX_ERROR;
        }

        size = ngx_rf_tree_size(item->name.len + item->value.len);

        if (size > left) {
            return NGX_ERROR;
        }

        left -= size;
    }

    *added = NGX_RF_TREE_LONGEST - left;

    return NGX_OK;
}


/* it remains one leaf */

static ngx_int_t
ngx_rf_tree_leaf(ngx_rf_edit_t *e, ngx_rf_leaf_t *leaf, ngx_rf_child_t *out)
{
    u_char         *p;
    size_t          offset;
    uint64_t        bytes;
    ngx_uint_t      i;
    ngx_rf_node_t  *node;
    ngx_rf_elt_t   *elt;

    node = ngx_rf_heap_node(e->heap, 0, leaf->before + e->n + leaf->after,
                            NGX_RF_TREE_HEAD + leaf->head + leaf->added
                            + leaf->end - leaf->tail);
    if (node == NULL) {
        return NGX_ERROR;
    }

    bytes = leaf->old->bytes;

    for (offset = leaf->head; offset < leaf->tail; /* void */ ) {
        elt = ngx_rf_tree_elt(leaf->data + offset);
        bytes -= ngx_rf_elt_len(elt);
        offset += ngx_rf_elt_size(elt);
    }

    p = ngx_rf_tree_copy(node->data, leaf->data, leaf->head);

    for (i = 0; i < e->n; i++) {
        p = ngx_rf_tree_put(p, &e->items[i]);
        bytes += e->items[i].name.len + e->items[i].value.len;
    }

    ngx_rf_tree_copy(p, leaf->data + leaf->tail, leaf->end - leaf->tail);

    ngx_rf_tree_describe(out, node, bytes);

    return 1;
}


/* it does not fit one leaf */

static ngx_int_t
ngx_rf_tree_leaves(ngx_rf_edit_t *e, ngx_rf_leaf_t *leaf, ngx_rf_child_t *out)
{
    ngx_int_t       k;
    ngx_uint_t      i, n, end;
    ngx_rf_piece_t  piece[NGX_RF_TREE_PIECES];

    n = ngx_rf_tree_pieces(e, leaf, piece);

    if (e->pack == NGX_RF_TREE_PREPEND) {
        ngx_rf_tree_divide_back(piece, n);

    } else {
        ngx_rf_tree_divide(piece, n, e->pack == NGX_RF_TREE_APPEND
                                     ? NGX_RF_TREE_ROOM
                                     : ngx_rf_tree_fair(piece, n));
    }

    k = 0;

    for (i = 0; i < n; i = end) {
        for (end = i + 1; end < n && !piece[end].begins; end++) { /* void */ }

        if (ngx_rf_tree_leaf_of(e, &piece[i], end - i, &out[k++]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return k;
}


static ngx_uint_t
ngx_rf_tree_pieces(ngx_rf_edit_t *e, ngx_rf_leaf_t *leaf,
    ngx_rf_piece_t *piece)
{
    ngx_uint_t      i, n;
    ngx_rf_item_t  *item;

    n = ngx_rf_tree_pieces_of(leaf->data, leaf->before, piece);

    for (i = 0; i < e->n; i++) {
        item = &e->items[i];
        piece[n].elt = NULL;
        piece[n].item = item;
        piece[n].size = ngx_rf_tree_size(item->name.len + item->value.len);
        n++;
    }

    n += ngx_rf_tree_pieces_of(leaf->data + leaf->tail, leaf->after,
                               &piece[n]);

    return n;
}


static ngx_uint_t
ngx_rf_tree_pieces_of(u_char *p, ngx_uint_t n, ngx_rf_piece_t *piece)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        piece[i].elt = ngx_rf_tree_elt(p);
        piece[i].item = NULL;
        piece[i].size = ngx_rf_elt_size(ngx_rf_tree_elt(p));
        p += piece[i].size;
    }

    return n;
}


/* leaves get about "most" bytes each, the last one what is left */

static void
ngx_rf_tree_divide(ngx_rf_piece_t *piece, ngx_uint_t n, size_t most)
{
    size_t      used;
    ngx_uint_t  i;

    used = 0;

    for (i = 0; i < n; i++) {
        piece[i].begins = used && (used >= most
                                   || used + piece[i].size > NGX_RF_TREE_ROOM);
        if (piece[i].begins) {
            used = 0;
        }

        used += piece[i].size;
    }
}


/* the same from the end: full ones, and the first one gets what is left */

static void
ngx_rf_tree_divide_back(ngx_rf_piece_t *piece, ngx_uint_t n)
{
    size_t      used;
    ngx_uint_t  i;

    used = 0;

    for (i = n; i > 0; i--) {
        piece[i - 1].begins = 0;

        if (used && used + piece[i - 1].size > NGX_RF_TREE_ROOM) {
            piece[i].begins = 1;
            used = 0;
        }

        used += piece[i - 1].size;
    }
}


/* bytes for each leaf when they are to be equally full.  What is longer than a
 * leaf is one of its own */

static size_t
ngx_rf_tree_fair(ngx_rf_piece_t *piece, ngx_uint_t n)
{
    size_t      total;
    ngx_uint_t  i;

    total = 0;

    for (i = 0; i < n; i++) {
        if (piece[i].size <= NGX_RF_TREE_ROOM) {
            total += piece[i].size;
        }
    }

    n = (total + NGX_RF_TREE_ROOM - 1) / NGX_RF_TREE_ROOM;

    return n ? (total + n - 1) / n : NGX_RF_TREE_ROOM;
}


static ngx_int_t
ngx_rf_tree_leaf_of(ngx_rf_edit_t *e, ngx_rf_piece_t *piece, ngx_uint_t n,
    ngx_rf_child_t *out)
{
    size_t          size;
    u_char         *p;
    uint64_t        bytes;
    ngx_uint_t      i;
    ngx_rf_elt_t   *elt;
    ngx_rf_node_t  *node;

    size = NGX_RF_TREE_HEAD;

    for (i = 0; i < n; i++) {
        size += piece[i].size;
    }

    node = ngx_rf_heap_node(e->heap, 0, n, size);
    if (node == NULL) {
        return NGX_ERROR;
    }

    p = node->data;
    bytes = 0;

    for (i = 0; i < n; i++) {
        elt = ngx_rf_tree_elt(p);

        p = piece[i].elt ? ngx_rf_tree_copy(p, piece[i].elt, piece[i].size)
                         : ngx_rf_tree_put(p, piece[i].item);

        bytes += ngx_rf_elt_len(elt);
    }

    ngx_rf_tree_describe(out, node, bytes);

    return NGX_OK;
}


static u_char *
ngx_rf_tree_put(u_char *p, ngx_rf_item_t *item)
{
    u_char        *end;
    ngx_rf_elt_t  *elt;

    elt = ngx_rf_tree_elt(p);
    elt->key = item->key;
    elt->name_len = (uint32_t) item->name.len;
    elt->value_len = (uint32_t) item->value.len;

    end = p + ngx_rf_elt_size(elt);

    p = ngx_rf_tree_copy(elt->data, item->name.data, item->name.len);
    p = ngx_rf_tree_copy(p, item->value.data, item->value.len);

    while (p < end) {
        *p++ = 0;
    }

    return end;
}


/* of nothing there may be no address */

static u_char *
ngx_rf_tree_copy(u_char *p, void *data, size_t len)
{
    return len ? ngx_cpymem(p, data, len) : p;
}


static void
ngx_rf_tree_describe(ngx_rf_child_t *child, ngx_rf_node_t *leaf,
    uint64_t bytes)
{
    ngx_rf_elt_t  *elt;

    elt = ngx_rf_tree_elt(leaf->data);

    child->node = leaf;
    child->count = leaf->n;
    child->bytes = bytes;
    child->key = elt->key;
    child->prefix = ngx_rf_tree_prefix(ngx_rf_elt_name(elt), elt->name_len);
}
