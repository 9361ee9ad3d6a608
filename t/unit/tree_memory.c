#include "rf_unit.h"
#include "ngx_rf_tree.h"
#include "tree_memory.h"


/* before each block; those that live are in a ring */

typedef struct {
    ngx_queue_t           queue;
    size_t                size;
    uint64_t              canary;
} block_t;


static void *memory_alloc(void *ctx, size_t size);
static void memory_free(void *ctx, ngx_rf_node_t *node);
static void memory_release(tree_memory_t *m, ngx_rf_node_t *node);


uint32_t  tree_random_state;


uint32_t
tree_random(uint32_t n)
{
    tree_random_state = tree_random_state * 1664525 + 1013904223;

    return (uint32_t) ((uint64_t) tree_random_state * n >> 32);
}


void
tree_memory_init(tree_memory_t *m)
{
    ngx_memzero(m, sizeof(tree_memory_t));

    m->heap.alloc = memory_alloc;
    m->heap.free = memory_free;
    m->heap.ctx = m;
    m->fail = -1;

    ngx_queue_init(&m->blocks);
    ngx_queue_init(&m->kept);
}


void
tree_memory_begin(tree_memory_t *m)
{
    ngx_rf_heap_begin(&m->heap, ++m->owner);
}


static void *
memory_alloc(void *ctx, size_t size)
{
    tree_memory_t  *m = ctx;
    block_t   *block;

    if (m->fail == 0 || (m->chance && tree_random(m->chance) == 0)) {
        return NULL;
    }

    if (m->fail > 0) {
        m->fail--;
    }

    block = malloc(sizeof(block_t) + size);
    block->size = size;
    block->canary = (uintptr_t) block;
    ngx_queue_insert_tail(&m->blocks, &block->queue);

    m->live++;
    m->touched++;
    m->bytes += size;
    ngx_memset(block + 1, 0xa5, size);

    return block + 1;
}


static void
memory_free(void *ctx, ngx_rf_node_t *node)
{
    tree_memory_t  *m = ctx;

    if (m->pinned) {
        ngx_queue_insert_tail(&m->kept, &node->queue);
        return;
    }

    memory_release(m, node);
}


static void
memory_release(tree_memory_t *m, ngx_rf_node_t *node)
{
    block_t        *block;
    ngx_uint_t      i, n;
    ngx_rf_node_t  *children[NGX_RF_TREE_CHILDREN];

    n = node->whole ? ngx_rf_tree_children(node, children) : 0;

    for (i = 0; i < n; i++) {
        children[i]->whole = 1;
        memory_release(m, children[i]);
    }

    block = (block_t *) node - 1;

    if (block->canary != (uintptr_t) block || block->size != node->size) {
        m->bad++;
        return;
    }

    m->live--;
    m->bytes -= block->size;
    ngx_queue_remove(&block->queue);
    ngx_memset(block, 0x5a, sizeof(block_t) + block->size);
    free(block);
}


void
tree_memory_unpin(tree_memory_t *m)
{
    ngx_queue_t  *q;

    m->pinned = 0;

    while (!ngx_queue_empty(&m->kept)) {
        q = ngx_queue_head(&m->kept);
        ngx_queue_remove(q);
        memory_release(m, ngx_queue_data(q, ngx_rf_node_t, queue));
    }
}


void
tree_memory_done(tree_memory_t *m, ngx_rf_tree_t *tree, const char *name)
{
    tree_memory_begin(m);
    ngx_rf_tree_drop(&m->heap, tree);
    ngx_rf_heap_commit(&m->heap);

    ok(tree->root == NULL && tree->count == 0 && tree->bytes == 0,
       "%s: dropped", name);
    is_int(m->live, 0, "%s: all is freed", name);
    is_int(m->bad, 0, "%s: once", name);
}


ngx_uint_t
tree_memory_valid(void *ctx, void *p, size_t size)
{
    block_t  *block;

    block = (block_t *) p - 1;

    return block->canary == (uintptr_t) block && block->size >= size;
}


ngx_uint_t
tree_memory_valid_wild(void *ctx, void *p, size_t size)
{
    tree_memory_t     *m = ctx;
    block_t      *block;
    ngx_queue_t  *q;

    for (q = ngx_queue_head(&m->blocks);
         q != ngx_queue_sentinel(&m->blocks);
         q = ngx_queue_next(q))
    {
        block = ngx_queue_data(q, block_t, queue);

        if ((void *) (block + 1) == p) {
            return block->size >= size;
        }
    }

    return 0;
}
