/*
 * A sequence of elements in shared memory: a counted B+tree whose nodes are
 * never changed once they are published.  A change makes copies of the nodes
 * on its path, and its result is published by whoever stores the root: so a
 * process killed at any instruction leaves the old tree whole, going back is
 * storing the old root, and a reader that holds a root reads on without the
 * lock, as long as the heap keeps the nodes.
 *
 * Elements are addressed by rank (0 is the first), and found by order where
 * they are sorted: by "key", then by the bytes of "name".
 *
 * Guarantees: finding is O(log n), a change touches O(log n) nodes, and those
 * it removes; no recursion deeper than the tree.  Refuses to know: what
 * elements mean, locks, where memory comes from.
 */

#ifndef _NGX_RF_TREE_H_INCLUDED_
#define _NGX_RF_TREE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a leaf holds as many elements as fit this many bytes, or one longer one; an
 * inner node 50 children, each of them 40 bytes.  So a change copies a few KB,
 * and a collection of 100,000 small elements has 3 inner levels */
#define NGX_RF_TREE_LEAF        1024
#define NGX_RF_TREE_INNER       2048
#define NGX_RF_TREE_CHILDREN    50

/* levels, that of the leaves too; more than any number of elements that memory
 * holds needs */
#define NGX_RF_TREE_LEVELS      10

/* items that one splice takes */
#define NGX_RF_TREE_BATCH       64

/* elements of a leaf: the shortest takes 16 bytes */
#define NGX_RF_TREE_ELTS        64

#define NGX_RF_TREE_MAGIC       0x72667431


typedef struct {
    ngx_queue_t           queue;        /* of fresh, dead, or the heap's */
    uint64_t              owner;
    uint32_t              magic;
    uint32_t              size;         /* of all of it, in bytes */
    uint16_t              n;            /* elements, or children */
    uint8_t               level;        /* 0: a leaf */
    uint8_t               whole;        /* dead with all below it */
    uint32_t              reserved;
    u_char                data[1];
} ngx_rf_node_t;


/* in a leaf, at a multiple of 8 bytes */

typedef struct {
    uint64_t              key;
    uint32_t              name_len;
    uint32_t              value_len;
    u_char                data[1];      /* name, then value */
} ngx_rf_elt_t;

#define ngx_rf_elt_name(elt)   ((elt)->data)
#define ngx_rf_elt_value(elt)  ((elt)->data + (elt)->name_len)


/* by value; all zeros is an empty one */

typedef struct {
    ngx_rf_node_t        *root;
    uint64_t              count;        /* of elements */
    uint64_t              bytes;        /* of their names and values */
} ngx_rf_tree_t;


/* an element to be */

typedef struct {
    uint64_t              key;
    ngx_str_t             name;
    ngx_str_t             value;
} ngx_rf_item_t;


/*
 * Where nodes come from.  Between begin() and commit() or rollback() nodes that
 * were there before are only put aside ("dead"), those that are new are
 * remembered ("fresh").  commit() hands the dead ones to free(), rollback() the
 * fresh ones; a dead node with "whole" set is to be freed with all below it,
 * see ngx_rf_tree_children().  savepoint() and rollback_to() are the same for
 * a part of it.  "owner" is a number never used before.
 *
 * aside() after begin(): others may change the same trees until join(), so that
 * no node that was there before is written to; what dies is kept in mind.
 * join() says that they have not, and goes on as after begin(); NGX_ERROR:
 * there was no memory for that.  forget() gives up what was done since, without
 * a look at nodes: they are no more.
 */

typedef struct {
    ngx_rf_node_t         *node;
    ngx_uint_t             whole;
} ngx_rf_heap_aside_t;

typedef struct {
    void                *(*alloc)(void *ctx, size_t size);  /* NULL: no room */
    void                 (*free)(void *ctx, ngx_rf_node_t *node);
    void                  *ctx;

    /* private */
    uint64_t               first;       /* owner given to begin() */
    uint64_t               owner;       /* of nodes that are made now */
    ngx_queue_t            fresh;
    ngx_queue_t            dead;
    ngx_queue_t           *mark;        /* last dead one of the savepoint */

    ngx_rf_heap_aside_t   *aside;       /* what has died since aside() */
    ngx_uint_t             naside;
    ngx_uint_t             aside_max;
    unsigned               is_aside:1;
    unsigned               failed:1;
} ngx_rf_heap_t;

void ngx_rf_heap_begin(ngx_rf_heap_t *heap, uint64_t owner);
void ngx_rf_heap_aside(ngx_rf_heap_t *heap);
ngx_int_t ngx_rf_heap_join(ngx_rf_heap_t *heap);
void ngx_rf_heap_forget(ngx_rf_heap_t *heap);
void ngx_rf_heap_savepoint(ngx_rf_heap_t *heap, uint64_t owner);
void ngx_rf_heap_rollback_to(ngx_rf_heap_t *heap);
void ngx_rf_heap_rollback(ngx_rf_heap_t *heap);
void ngx_rf_heap_commit(ngx_rf_heap_t *heap);


/*
 * Replaces "ndel" elements from "rank" on by the n items (at most
 * NGX_RF_TREE_BATCH), in their order; rank + ndel may not exceed the count.
 * Where the tree is sorted it is the caller who keeps it so.  NGX_OK;
 * NGX_ERROR: no room, *tree is as it was, and the caller has to roll back
 * before it reads or changes the tree again.
 *
 * Nodes made since begin(), or since the last savepoint(), are freed as soon as
 * they are replaced, and inner ones of them may be changed in place: elements
 * and walks found in them end with the next change.  The items may point to
 * elements of the tree.
 */
ngx_int_t ngx_rf_tree_splice(ngx_rf_heap_t *heap, ngx_rf_tree_t *tree,
    uint64_t rank, uint64_t ndel, ngx_rf_item_t *items, ngx_uint_t n);

/* all of it is dead, *tree empty */
void ngx_rf_tree_drop(ngx_rf_heap_t *heap, ngx_rf_tree_t *tree);

/* the children of an inner node, at most NGX_RF_TREE_CHILDREN, into an array of
 * the caller's; their number, 0 for a leaf or NULL */
ngx_uint_t ngx_rf_tree_children(ngx_rf_node_t *node, ngx_rf_node_t **children);


/*
 * In a sorted tree: *rank is the number of elements before (key, name), *elt
 * the element that equals both, or NULL.  So with an empty name *rank is that
 * of the first element of the key, or where it would be.
 */
void ngx_rf_tree_search(ngx_rf_tree_t *tree, uint64_t key, u_char *name,
    size_t len, uint64_t *rank, ngx_rf_elt_t **elt);

/*
 * The same for two at once, in one tree or in two: so that the one is fetched
 * from memory while the other one is looked at.
 */

typedef struct {
    ngx_rf_tree_t        *tree;
    uint64_t              key;
    uint64_t              rank;         /* the results */
    ngx_rf_elt_t         *elt;
} ngx_rf_find_t;

void ngx_rf_tree_search_two(ngx_rf_find_t *one, ngx_rf_find_t *other,
    u_char *name, size_t len);

/* the element of a rank, or NULL */
ngx_rf_elt_t *ngx_rf_tree_at(ngx_rf_tree_t *tree, uint64_t rank);

/*
 * A walk in either direction: from() goes to the element of "rank" and returns
 * it, next() and prev() to its neighbours; NULL: there is none.  It stays good
 * while the heap keeps the nodes, whatever happens to the tree.
 */

typedef struct {
    ngx_rf_node_t        *path[NGX_RF_TREE_LEVELS];     /* [0]: the leaf */
    uint16_t              index[NGX_RF_TREE_LEVELS];
    ngx_uint_t            levels;
    uint16_t              offset[NGX_RF_TREE_ELTS];     /* in the leaf */
} ngx_rf_walk_t;

ngx_rf_elt_t *ngx_rf_walk_from(ngx_rf_walk_t *walk, ngx_rf_tree_t *tree,
    uint64_t rank);
ngx_rf_elt_t *ngx_rf_walk_next(ngx_rf_walk_t *walk);
ngx_rf_elt_t *ngx_rf_walk_prev(ngx_rf_walk_t *walk);


/*
 * Trusts nothing: whether the tree is one, "valid" saying of each block whether
 * it lies in memory.  Counts the elements and bytes anew.
 */
ngx_uint_t ngx_rf_tree_check(ngx_rf_tree_t *tree,
    ngx_uint_t (*valid)(void *ctx, void *p, size_t size), void *ctx);


#endif /* _NGX_RF_TREE_H_INCLUDED_ */
