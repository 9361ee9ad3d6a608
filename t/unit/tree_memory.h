/*
 * Memory for trees that counts its blocks, keeps them while it is pinned, and
 * fails on demand.
 */

#ifndef _TREE_MEMORY_H_INCLUDED_
#define _TREE_MEMORY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_tree.h"


typedef struct {
    ngx_rf_heap_t         heap;
    ngx_queue_t           blocks;
    ngx_queue_t           kept;         /* freed while pinned */
    ngx_uint_t            live;
    ngx_uint_t            touched;      /* blocks allocated */
    size_t                bytes;
    ngx_int_t             fail;         /* allocations before one fails; -1 */
    ngx_uint_t            chance;       /* one in that many fails */
    ngx_uint_t            pinned;
    ngx_uint_t            bad;
    uint64_t              owner;
} tree_memory_t;


void tree_memory_init(tree_memory_t *m);
void tree_memory_begin(tree_memory_t *m);
void tree_memory_unpin(tree_memory_t *m);

/* the tree goes, and with it all memory */
void tree_memory_done(tree_memory_t *m, ngx_rf_tree_t *tree,
    const char *name);

/* for ngx_rf_tree_check(): whether there is a block that is long enough.  By
 * what stands before it, or where p may be anything, by looking at all */
ngx_uint_t tree_memory_valid(void *ctx, void *p, size_t size);
ngx_uint_t tree_memory_valid_wild(void *ctx, void *p, size_t size);

/* less than n, from a sequence that is the same each time */
uint32_t tree_random(uint32_t n);

extern uint32_t  tree_random_state;


#endif /* _TREE_MEMORY_H_INCLUDED_ */
