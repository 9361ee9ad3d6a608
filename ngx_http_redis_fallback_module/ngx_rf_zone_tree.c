/*
 * Collections in the zone: where the nodes of their trees come from and go, and
 * what a salvage may trust.
 *
 * A tree that is given up goes to the trash as a whole, in O(1), and is freed
 * from there a little at a time, so that no collection is too large to be
 * deleted.  The trash also keeps what processes with a pin may still read.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* seconds between two looks at whether processes with a pin are alive */
#define NGX_RF_ZONE_PINS_LOOK   1


static void *ngx_rf_zone_node_alloc(void *ctx, size_t size);
static void ngx_rf_zone_node_free(void *ctx, ngx_rf_node_t *node);
static void ngx_rf_zone_discard(ngx_rf_zone_t *zone, ngx_rf_node_t *node);
static uint64_t ngx_rf_zone_oldest_pin(ngx_rf_zone_sh_t *sh);
static void ngx_rf_zone_trash_tree(ngx_rf_zone_t *zone, ngx_rf_tree_t *tree);
static ngx_uint_t ngx_rf_zone_mark_node(ngx_rf_zone_slab_map_t *map,
    ngx_rf_node_t *node);


void
ngx_rf_zone_heap_init(ngx_rf_zone_t *zone)
{
    zone->heap.alloc = ngx_rf_zone_node_alloc;
    zone->heap.free = ngx_rf_zone_node_free;
    zone->heap.ctx = zone;

    ngx_rf_heap_forget(&zone->heap);
}


/* what the command reads is in the undo log, and so is not evicted for it */

static void *
ngx_rf_zone_node_alloc(void *ctx, size_t size)
{
    return ngx_rf_zone_alloc_locked(ctx, size, NULL, 0);
}


static void
ngx_rf_zone_node_free(void *ctx, ngx_rf_node_t *node)
{
    ngx_rf_zone_t  *zone = ctx;

    /* what was made in this change nobody else has ever seen */

    if (node->whole
        || (zone->sh->npins && node->owner != zone->heap.owner))
    {
        ngx_rf_zone_discard(zone, node);
        return;
    }

    ngx_slab_free_locked(zone->shpool, node);
}


static void
ngx_rf_zone_discard(ngx_rf_zone_t *zone, ngx_rf_node_t *node)
{
    /* nobody's, who may be building beside it, and older than the next pin */

    node->owner = ++zone->sh->owner;
    ngx_queue_insert_tail(&zone->sh->trash, &node->queue);
}


/* what was given up before this is nobody's any more */

static uint64_t
ngx_rf_zone_oldest_pin(ngx_rf_zone_sh_t *sh)
{
    uint64_t    oldest;
    ngx_uint_t  i;

    oldest = (uint64_t) -1;

    for (i = 0; sh->npins && i < NGX_RF_ZONE_PINS; i++) {
        if (sh->pins[i].pid) {
            oldest = ngx_min(oldest, sh->pins[i].stamp);
        }
    }

    return oldest;
}


ngx_uint_t
ngx_rf_zone_trash(ngx_rf_zone_t *zone, ngx_uint_t n)
{
    uint64_t           oldest;
    ngx_uint_t         i, freed, nchildren;
    ngx_queue_t       *q;
    ngx_rf_node_t     *node, *children[NGX_RF_TREE_CHILDREN];
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if ((sh->npins || sh->nlenders)
        && ngx_time() - sh->pins_looked >= NGX_RF_ZONE_PINS_LOOK)
    {
        ngx_rf_zone_pins_look(zone);
    }

    oldest = ngx_rf_zone_oldest_pin(sh);

    for (freed = 0; freed < n && !ngx_queue_empty(&sh->trash); freed++) {

        q = ngx_queue_head(&sh->trash);
        node = ngx_queue_data(q, ngx_rf_node_t, queue);

        if (node->owner >= oldest) {
            break;
        }

        ngx_queue_remove(q);

        nchildren = node->whole ? ngx_rf_tree_children(node, children) : 0;

        for (i = 0; i < nchildren; i++) {
            children[i]->whole = 1;
            children[i]->owner = node->owner;
            ngx_queue_insert_head(&sh->trash, &children[i]->queue);
        }

        ngx_slab_free_locked(zone->shpool, node);
    }

    return freed;
}


static void
ngx_rf_zone_trash_tree(ngx_rf_zone_t *zone, ngx_rf_tree_t *tree)
{
    if (tree->root != NULL) {
        tree->root->whole = 1;
        ngx_rf_zone_discard(zone, tree->root);
        ngx_memzero(tree, sizeof(ngx_rf_tree_t));
    }
}


void
ngx_rf_zone_free_value(ngx_rf_zone_t *zone, ngx_rf_type_e type, void *value)
{
    ngx_rf_content_t  *content;

    if (value == NULL) {
        return;
    }

    if (ngx_rf_zone_is_coll(type)) {
        content = value;
        ngx_rf_zone_trash_tree(zone, &content->elts);
        ngx_rf_zone_trash_tree(zone, &content->order);
    }

    ngx_rf_zone_free_locked(zone, value);
}


/* what a change being made does without; it is freed once that is final */

void
ngx_rf_zone_drop_value(ngx_rf_zone_t *zone, ngx_rf_type_e type, void *value)
{
    ngx_rf_content_t  content;

    if (value != NULL && ngx_rf_zone_is_coll(type)) {
        content = *(ngx_rf_content_t *) value;
        ngx_rf_tree_drop(&zone->heap, &content.elts);
        ngx_rf_tree_drop(&zone->heap, &content.order);
    }
}


void
ngx_rf_zone_free_change(ngx_rf_zone_t *zone, ngx_rf_zchange_t *c)
{
    ngx_uint_t        i;
    ngx_rf_zdelta_t  *delta;

    delta = ngx_rf_zone_delta(c);

    for (i = 0; delta != NULL && i < 3; i++) {
        ngx_rf_zone_trash_tree(zone, &delta->tree[i]);
    }

    ngx_slab_free_locked(zone->shpool, c);
}


ngx_uint_t
ngx_rf_zone_pin_locked(ngx_rf_zone_t *zone)
{
    return ngx_rf_zone_pin(zone, ngx_pid);
}


void
ngx_rf_zone_unpin_locked(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_unpin(zone, ngx_pid);
}


ngx_uint_t
ngx_rf_zone_pin(ngx_rf_zone_t *zone, int32_t pin)
{
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    for (i = 0; i < NGX_RF_ZONE_PINS; i++) {
        if (sh->pins[i].pid == 0) {
            sh->pins[i].pid = pin;
            sh->pins[i].stamp = ++sh->owner;
            sh->npins++;
            return 1;
        }
    }

    return 0;
}


void
ngx_rf_zone_unpin(ngx_rf_zone_t *zone, int32_t pin)
{
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    for (i = 0; i < NGX_RF_ZONE_PINS; i++) {
        if (sh->pins[i].pid == pin) {
            sh->pins[i].pid = 0;
            sh->npins--;
            return;
        }
    }
}


void
ngx_rf_zone_pins_look(ngx_rf_zone_t *zone)
{
    ngx_pid_t          pid;
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    sh->pins_looked = ngx_time();

    for (i = 0; i < NGX_RF_ZONE_PINS; i++) {

        pid = sh->pins[i].pid;
        pid = pid < 0 ? -pid : pid;

        if (!ngx_rf_zone_died(pid)) {
            continue;
        }

        if (sh->pins[i].pid < 0) {
            /* nobody knows the nodes that it had made */
            sh->orphaned = pid;
        }

        sh->pins[i].pid = 0;
        sh->npins--;
    }

    ngx_rf_zone_lenders_look(zone);
}


ngx_uint_t
ngx_rf_zone_died(ngx_pid_t pid)
{
    return pid != 0 && kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH;
}


size_t
ngx_rf_zone_weight(ngx_rf_entry_t *e)
{
    ngx_rf_tree_t  *elts;

    if (e->type == NGX_RF_NONE) {
        return 0;
    }

    if (!ngx_rf_zone_is_coll(e->type)) {
        return e->value->len;
    }

    elts = &ngx_rf_zone_content(e)->elts;

    return elts->bytes + elts->count * sizeof(ngx_str_t);
}


uint64_t
ngx_rf_zone_score(double score)
{
    uint64_t  n;

    if (score == 0) {
        score = 0;      /* of both signs */
    }

    ngx_memcpy(&n, &score, sizeof(n));

    /* the greater a negative number, the less its bits say; below all positive
     * ones */

    return (n >> 63) ? ~n : n | ((uint64_t) 1 << 63);
}


ngx_rf_zdelta_t *
ngx_rf_zone_delta(ngx_rf_zchange_t *c)
{
    return c->argc == 0 ? (ngx_rf_zdelta_t *) (void *) c->data : NULL;
}


ngx_rf_zdelta_t *
ngx_rf_zone_delta_of(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, ngx_uint_t *compact)
{
    ngx_rf_undo_t     *u;
    ngx_rf_zdelta_t   *delta;
    ngx_rf_zchange_t  *c;

    u = e->work->undo ? &zone->sh->undo[e->work->undo - 1] : NULL;

    if (e->pending != NGX_RF_DELTA
        || (u != NULL
            && (u->swapped || u->work.nchanges != e->work->nchanges)))
    {
        return NULL;
    }

    *compact = 1;
    c = ngx_rf_zone_mergeable(e, 1);

    if (c != NULL && ngx_rf_zone_about_expiry(c)) {
        *compact = 2;
        c = ngx_rf_zone_mergeable(e, 2);
    }

    delta = c ? ngx_rf_zone_delta(c) : NULL;

    if (delta == NULL || delta->type != type) {
        *compact = 0;
        return NULL;
    }

    return delta;
}


ngx_uint_t
ngx_rf_zone_about_expiry(ngx_rf_zchange_t *c)
{
    ngx_str_t  verb;

    return ngx_rf_zone_change_str(c, 0, &verb) == NGX_OK
           && ((verb.len == sizeof("PEXPIREAT") - 1
                && ngx_memcmp(verb.data, "PEXPIREAT", verb.len) == 0)
               || (verb.len == sizeof("PERSIST") - 1
                   && ngx_memcmp(verb.data, "PERSIST", verb.len) == 0));
}


ngx_rf_zchange_t *
ngx_rf_zone_delta_change(ngx_rf_zone_t *zone, ngx_rf_zdelta_t *delta)
{
    ngx_rf_zchange_t  *change;

    change = ngx_rf_zone_alloc_locked(zone,
                               ngx_rf_zchange_size(sizeof(ngx_rf_zdelta_t)),
                               NULL, 0);
    if (change == NULL) {
        return NULL;
    }

    change->next = NULL;
    change->prev = NULL;
    change->argc = 0;
    change->size = sizeof(ngx_rf_zdelta_t);
    ngx_memcpy(change->data, delta, sizeof(ngx_rf_zdelta_t));

    return change;
}


/* for the salvage: what does not hold is not read */

static ngx_uint_t
ngx_rf_zone_valid_block(void *ctx, void *p, size_t size)
{
    return ngx_rf_zone_valid(ctx, p, size);
}


ngx_uint_t
ngx_rf_zone_valid_coll(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_content_t  *content;

    content = ngx_rf_zone_content(e);

    return ngx_rf_zone_valid(zone, content, sizeof(ngx_rf_content_t))
           && ngx_rf_tree_check(&content->elts, ngx_rf_zone_valid_block, zone)
           && ngx_rf_tree_check(&content->order, ngx_rf_zone_valid_block,
                                zone);
}


ngx_uint_t
ngx_rf_zone_valid_change(ngx_rf_zone_t *zone, ngx_rf_zchange_t *c)
{
    ngx_uint_t        i;
    ngx_rf_zdelta_t  *delta;

    if (!ngx_rf_zone_valid(zone, c, ngx_rf_zchange_size(0))
        || !ngx_rf_zone_valid(zone, c, ngx_rf_zchange_size(c->size)))
    {
        return 0;
    }

    delta = ngx_rf_zone_delta(c);

    if (delta == NULL) {
        return 1;
    }

    if (c->size != sizeof(ngx_rf_zdelta_t)) {
        return 0;
    }

    for (i = 0; i < 3; i++) {
        if (!ngx_rf_tree_check(&delta->tree[i], ngx_rf_zone_valid_block,
                               zone))
        {
            return 0;
        }
    }

    return 1;
}


/* of what is valid: as deep as a tree, at most */

static ngx_uint_t
ngx_rf_zone_mark_node(ngx_rf_zone_slab_map_t *map, ngx_rf_node_t *node)
{
    ngx_uint_t      i, n;
    ngx_rf_node_t  *children[NGX_RF_TREE_CHILDREN];

    if (node == NULL) {
        return 1;
    }

    if (!ngx_rf_zone_slab_mark(map, node, node->size)) {
        return 0;
    }

    /* the command that was undone may have given it up */

    node->whole = 0;

    n = ngx_rf_tree_children(node, children);

    for (i = 0; i < n; i++) {
        if (!ngx_rf_zone_mark_node(map, children[i])) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_rf_zone_mark_coll(ngx_rf_zone_slab_map_t *map, ngx_rf_content_t *content)
{
    return ngx_rf_zone_slab_mark(map, content, sizeof(ngx_rf_content_t))
           && ngx_rf_zone_mark_node(map, content->elts.root)
           && ngx_rf_zone_mark_node(map, content->order.root);
}


ngx_uint_t
ngx_rf_zone_mark_change(ngx_rf_zone_slab_map_t *map, ngx_rf_zchange_t *c)
{
    ngx_uint_t        i;
    ngx_rf_zdelta_t  *delta;

    if (!ngx_rf_zone_slab_mark(map, c, ngx_rf_zchange_size(c->size))) {
        return 0;
    }

    delta = ngx_rf_zone_delta(c);

    for (i = 0; delta != NULL && i < 3; i++) {
        if (!ngx_rf_zone_mark_node(map, delta->tree[i].root)) {
            return 0;
        }
    }

    return 1;
}
