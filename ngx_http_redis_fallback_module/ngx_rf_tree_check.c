/*
 * Owns the proof that memory which others may have left behind holds a tree.
 *
 * Guarantees: nothing is read that "valid" has not let pass, and what inner
 * nodes say of their children is what is found there.  Refuses to know how it
 * came to be otherwise.
 */

#include "ngx_rf_tree.h"
#include "ngx_rf_tree_internal.h"


typedef struct {
    ngx_uint_t          (*valid)(void *ctx, void *p, size_t size);
    void                 *ctx;
} ngx_rf_tree_check_t;


static ngx_uint_t ngx_rf_tree_check_node(ngx_rf_tree_check_t *check,
    ngx_rf_child_t *node, ngx_uint_t level);
static ngx_uint_t ngx_rf_tree_check_leaf(ngx_rf_child_t *leaf);
static ngx_uint_t ngx_rf_tree_check_inner(ngx_rf_tree_check_t *check,
    ngx_rf_child_t *inner);


ngx_uint_t
ngx_rf_tree_check(ngx_rf_tree_t *tree,
    ngx_uint_t (*valid)(void *ctx, void *p, size_t size), void *ctx)
{
    ngx_rf_child_t       root;
    ngx_rf_tree_check_t  check;

    ngx_memzero(&root, sizeof(ngx_rf_child_t));
    root.node = tree->root;

    check.valid = valid;
    check.ctx = ctx;

    if (root.node
        && !ngx_rf_tree_check_node(&check, &root, NGX_RF_TREE_LEVELS))
    {
        return 0;
    }

    tree->count = root.count;
    tree->bytes = root.bytes;

    return 1;
}


/* a node of that level, or where it is NGX_RF_TREE_LEVELS of any; fills in what
 * an inner node should say of it */

static ngx_uint_t
ngx_rf_tree_check_node(ngx_rf_tree_check_t *check, ngx_rf_child_t *child,
    ngx_uint_t level)
{
    ngx_rf_node_t  *node;

    node = child->node;

    if (node == NULL
        || ((uintptr_t) node & 7)
        || !check->valid(check->ctx, node, NGX_RF_TREE_HEAD)
        || node->magic != NGX_RF_TREE_MAGIC
        || node->size < NGX_RF_TREE_HEAD
        || node->n == 0
        || !check->valid(check->ctx, node, node->size))
    {
        return 0;
    }

    if (level == NGX_RF_TREE_LEVELS ? node->level >= level
                                    : node->level != level)
    {
        return 0;
    }

    return node->level ? ngx_rf_tree_check_inner(check, child)
                       : ngx_rf_tree_check_leaf(child);
}


static ngx_uint_t
ngx_rf_tree_check_leaf(ngx_rf_child_t *leaf)
{
    size_t          offset, left;
    ngx_uint_t      i;
    ngx_rf_elt_t   *elt;
    ngx_rf_node_t  *node;

    node = leaf->node;

    if (node->n > NGX_RF_TREE_ELTS
        || (node->n > 1 && node->size > NGX_RF_TREE_LEAF))
    {
        return 0;
    }

    left = node->size - NGX_RF_TREE_HEAD;
    offset = 0;

    for (i = 0; i < node->n; i++) {
        elt = ngx_rf_tree_elt(node->data + offset);

        if (left < offsetof(ngx_rf_elt_t, data)
            || left < elt->name_len
            || left < elt->value_len
            || left < ngx_rf_elt_size(elt))
        {
            return 0;
        }

        offset += ngx_rf_elt_size(elt);
        left -= ngx_rf_elt_size(elt);
        leaf->bytes += ngx_rf_elt_len(elt);
    }

    elt = ngx_rf_tree_elt(node->data);
    leaf->count = node->n;
    leaf->key = elt->key;
    leaf->prefix = ngx_rf_tree_prefix(ngx_rf_elt_name(elt), elt->name_len);

    return left == 0;
}


static ngx_uint_t
ngx_rf_tree_check_inner(ngx_rf_tree_check_t *check, ngx_rf_child_t *inner)
{
    ngx_uint_t       i;
    ngx_rf_node_t   *node;
    ngx_rf_child_t  *said, found;

    node = inner->node;
    said = ngx_rf_tree_child(node);

    if (node->n > NGX_RF_TREE_CHILDREN
        || node->size != NGX_RF_TREE_HEAD + node->n * sizeof(ngx_rf_child_t))
    {
        return 0;
    }

    for (i = 0; i < node->n; i++) {
        ngx_memzero(&found, sizeof(ngx_rf_child_t));
        found.node = said[i].node;

        if (!ngx_rf_tree_check_node(check, &found, node->level - 1)
            || found.count != said[i].count
            || found.bytes != said[i].bytes
            || found.key != said[i].key
            || found.prefix != said[i].prefix)
        {
            return 0;
        }

        inner->count += found.count;
        inner->bytes += found.bytes;
    }

    inner->key = said[0].key;
    inner->prefix = said[0].prefix;

    return 1;
}
