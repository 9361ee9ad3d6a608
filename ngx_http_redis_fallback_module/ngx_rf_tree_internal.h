/*
 * What the files of the tree share: how nodes look inside, and the bookkeeping
 * of the heap.  Not for other rooms.
 */

#ifndef _NGX_RF_TREE_INTERNAL_H_INCLUDED_
#define _NGX_RF_TREE_INTERNAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_tree.h"


/* in an inner node.  What is said of a child here need not be fetched from
 * it: on the way down only the nodes of the path are touched */

typedef struct {
    ngx_rf_node_t        *node;
    uint64_t              count;        /* of elements below */
    uint64_t              bytes;        /* of their names and values */
    uint64_t              key;          /* of the first one of them */
    uint64_t              prefix;       /* of its name, see below */
} ngx_rf_child_t;


#define NGX_RF_TREE_HEAD       offsetof(ngx_rf_node_t, data)
#define NGX_RF_TREE_ROOM       (NGX_RF_TREE_LEAF - NGX_RF_TREE_HEAD)

#define ngx_rf_tree_child(node)  ((ngx_rf_child_t *) (node)->data)
#define ngx_rf_tree_elt(p)       ((ngx_rf_elt_t *) (p))

/* of an element in its leaf; "len": of name and value together */
#define ngx_rf_tree_size(len)                                                 \
    ngx_align(offsetof(ngx_rf_elt_t, data) + (size_t) (len), 8)
#define ngx_rf_elt_len(elt)                                                   \
    ((size_t) (elt)->name_len + (elt)->value_len)
#define ngx_rf_elt_size(elt)  ngx_rf_tree_size(ngx_rf_elt_len(elt))


/* the first 8 bytes of a name as a number that is ordered like them */
uint64_t ngx_rf_tree_prefix(u_char *name, size_t len);

/* a new node, fresh, with its head filled in; NULL: no room */
ngx_rf_node_t *ngx_rf_heap_node(ngx_rf_heap_t *heap, ngx_uint_t level,
    ngx_uint_t n, size_t size);

/* a node, or with "whole" all below it too, is not part of the tree any more.
 * One that was made in this part is freed at once */
void ngx_rf_heap_kill(ngx_rf_heap_t *heap, ngx_rf_node_t *node,
    ngx_uint_t whole);


#endif /* _NGX_RF_TREE_INTERNAL_H_INCLUDED_ */
