#include "rf_unit.h"
#include "ngx_rf_zone_internal.h"
#include "sound.h"


#define SOUND_SLOTS  16


/* blocks that something in the zone refers to, by the slab pool's sizes */

typedef struct {
    ngx_rf_zone_t        *zone;
    ngx_uint_t            counters;
    ngx_uint_t            sound;

    ngx_uint_t            entries;
    ngx_uint_t            live;
    ngx_uint_t            pending;
    ngx_uint_t            disk[NGX_RF_DISK_WRITING + 1];
    ngx_uint_t            writing;
    ngx_uint_t            expiring;

    ngx_uint_t            slot[SOUND_SLOTS];
    ngx_uint_t            pages;
} sound_t;


static void sound_entry(sound_t *s, ngx_rf_entry_t *e);
static void sound_disk(sound_t *s, ngx_rf_entry_t *e);
static ngx_uint_t sound_queues(ngx_queue_t *queues);
static void sound_group(sound_t *s, ngx_rf_entry_t *e);
static ngx_uint_t sound_in_table(sound_t *s, ngx_rf_entry_t *e);
static void sound_value(sound_t *s, ngx_rf_entry_t *e);
static void sound_zset(sound_t *s, ngx_rf_content_t *content);
static void sound_changes(sound_t *s, ngx_rf_entry_t *e);
static long long sound_change(sound_t *s, ngx_rf_zchange_t *c);
static void sound_delta(sound_t *s, ngx_rf_zdelta_t *delta);
static void sound_line(sound_t *s, ngx_rf_zdelta_t *delta,
    ngx_rf_elt_t *line);
static ngx_uint_t sound_tree(sound_t *s, ngx_rf_tree_t *tree);
static ngx_uint_t sound_valid(void *ctx, void *p, size_t size);
static void sound_sorted(sound_t *s, ngx_rf_tree_t *tree, ngx_uint_t hashed);
static ngx_int_t sound_compare(ngx_rf_elt_t *a, ngx_rf_elt_t *b);
static void sound_lists(sound_t *s);
static void sound_expires(sound_t *s);
static void sound_memory(sound_t *s);
static void sound_nodes(sound_t *s, ngx_rf_node_t *node);
static void sound_block(sound_t *s, size_t size);
static void sound_wrong(sound_t *s, const char *what);
static ngx_uint_t sound_queue(ngx_queue_t *queue);
static ngx_uint_t sound_entries(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line);
static void sound_work(sound_t *s, ngx_rf_entry_t *e);
static void sound_spare(sound_t *s);


ngx_uint_t
sound_zone(ngx_rf_zone_t *zone, ngx_uint_t counters)
{
    sound_t            s;
    ngx_uint_t         i;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    ngx_memzero(&s, sizeof(sound_t));

    s.zone = zone;
    s.counters = counters;
    s.sound = 1;

    ngx_rf_zone_lock(zone);

    sh = zone->sh;

    for (i = 0; i < sh->nbuckets; i++) {
        for (e = ngx_rf_zone_at(sh, sh->buckets[i]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {
            sound_entry(&s, e);
        }
    }

    sound_lists(&s);
    sound_expires(&s);

    if (s.sound) {
        sound_memory(&s);
    }

    ngx_rf_zone_unlock(zone);

    return s.sound;
}


static void
sound_entry(sound_t *s, ngx_rf_entry_t *e)
{
    s->entries++;
    s->live += (e->type != NGX_RF_NONE);
    s->pending += (e->pending != NGX_RF_CLEAN);
    sound_disk(s, e);
    s->expiring += (e->expire != 0);

    sound_block(s, ngx_rf_entry_size(e->key_len));
    sound_work(s, e);

    if (e->work->undo) {
        sound_wrong(s, "entry in the undo log");
    }

    sound_group(s, e);
    sound_value(s, e);
    sound_changes(s, e);
}


static void
sound_work(sound_t *s, ngx_rf_entry_t *e)
{
    if (e->work == &s->zone->sh->none) {

        if (e->pending != NGX_RF_CLEAN) {
            sound_wrong(s, "a pending entry without work");
        }

        return;
    }

    sound_block(s, sizeof(ngx_rf_zwork_t));

    if (e->work->entry != e) {
        sound_wrong(s, "work of another entry");
    }

    if (e->pending == NGX_RF_CLEAN && !e->flying && !ngx_rf_zone_on_disk(e)) {
        sound_wrong(s, "work that says nothing");
    }
}


/* what the disk has to do with it, and whether it may have forgotten it */

static void
sound_disk(sound_t *s, ngx_rf_entry_t *e)
{
    s->disk[e->work->where]++;
    s->writing += (e->work->writer != 0);

    if (!s->zone->sh->files) {
        return;
    }

    if (e->work->where == NGX_RF_DISK_NONE
        && (e->pending != NGX_RF_CLEAN ? e->work->file_version != e->version
                                       : e->work->file_version
                                         || e->work->logged))
    {
        sound_wrong(s, "an entry that the disk lags behind, in no list");
    }

    if (e->work->where == (e->pending == NGX_RF_CLEAN ? NGX_RF_DISK_UNLOGGED
                                                      : NGX_RF_DISK_UNACKED))
    {
        sound_wrong(s, "an entry in a list for others");
    }

    if (e->pending != NGX_RF_CLEAN && e->work->acked) {
        sound_wrong(s, "a pending entry that is done with");
    }

    if (e->work->log_version > e->version) {
        sound_wrong(s, "the journal is ahead");
    }
}


static ngx_uint_t
sound_queues(ngx_queue_t *queues)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_RF_ZONE_LOGS; i++) {
        n += sound_queue(&queues[i]);
    }

    return n;
}


/* its ring comes back to it, and all in it is pending */

static void
sound_group(sound_t *s, ngx_rf_entry_t *e)
{
    ngx_uint_t       n;
    ngx_rf_entry_t  *p;

    if (e->work->peer == NULL) {
        return;
    }

    n = 0;
    p = e;

    do {
        p = p->work->peer;

        if (p == NULL || !sound_in_table(s, p)) {
            sound_wrong(s, "group: a member that is in no table");
            return;
        }

        if (p->pending == NGX_RF_CLEAN) {
            sound_wrong(s, "group: a member that is not pending");
        }

        if (++n > NGX_RF_ZONE_GROUP) {
            sound_wrong(s, "group: too many, or another's ring");
            return;
        }

    } while (p != e);

    if (n == 1) {
        sound_wrong(s, "group of one");
    }
}


static ngx_uint_t
sound_in_table(sound_t *s, ngx_rf_entry_t *e)
{
    ngx_rf_entry_t    *p;
    ngx_rf_zone_sh_t  *sh;

    sh = s->zone->sh;

    if (!ngx_rf_zone_valid(s->zone, e, ngx_rf_entry_size(0))) {
        return 0;
    }

    for (p = ngx_rf_zone_at(sh, sh->buckets[e->hash & (sh->nbuckets - 1)]);
         p;
         p = ngx_rf_zone_next(sh, p))
    {
        if (p == e) {
            return 1;
        }
    }

    return 0;
}


static void
sound_value(sound_t *s, ngx_rf_entry_t *e)
{
    ngx_rf_content_t  *content;

    if (e->type == NGX_RF_NONE) {

        if (e->value != NULL) {
            sound_wrong(s, "value without a type");
        }

        return;
    }

    if (e->type == NGX_RF_STRING) {
        sound_block(s, ngx_rf_blob_size(e->value->len));
        return;
    }

    content = ngx_rf_zone_content(e);
    sound_block(s, sizeof(ngx_rf_content_t));

    if (!sound_tree(s, &content->elts) || !sound_tree(s, &content->order)) {
        return;
    }

    if (content->elts.count == 0) {
        sound_wrong(s, "empty collection");
    }

    if (e->type == NGX_RF_ZSET) {
        sound_zset(s, content);

    } else if (content->order.root != NULL) {
        sound_wrong(s, "order in what is no sorted set");
    }

    if (e->type != NGX_RF_LIST) {
        sound_sorted(s, &content->elts, 1);
    }
}


static void
sound_zset(sound_t *s, ngx_rf_content_t *content)
{
    double          score;
    uint64_t        rank;
    ngx_rf_elt_t   *elt, *other;
    ngx_rf_walk_t   walk;

    sound_sorted(s, &content->order, 0);

    if (content->elts.count != content->order.count) {
        sound_wrong(s, "sorted set: numbers of members");
    }

    for (elt = ngx_rf_walk_from(&walk, &content->elts, 0);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        if (elt->value_len != sizeof(double)) {
            sound_wrong(s, "sorted set: no score");
            return;
        }

        ngx_memcpy(&score, ngx_rf_elt_value(elt), sizeof(double));

        ngx_rf_tree_search(&content->order, ngx_rf_zone_score(score),
                           ngx_rf_elt_name(elt), elt->name_len, &rank,
                           &other);

        if (other == NULL || other->value_len) {
            sound_wrong(s, "sorted set: member or score not in its order");
            return;
        }
    }
}


static void
sound_changes(sound_t *s, ngx_rf_entry_t *e)
{
    long long          sum;
    ngx_uint_t         n;
    ngx_rf_zchange_t  *c;

    if (e->pending != NGX_RF_DELTA) {

        if (e->work->changes != NULL || e->work->nchanges || e->work->nsent) {
            sound_wrong(s, "changes of what is no delta");
        }

        return;
    }

    sum = 0;
    n = 0;

    for (c = e->work->changes; c; c = c->next) {
        n++;
        sum += sound_change(s, c);

        if (c->next ? c->next->prev != c : e->work->last_change != c) {
            sound_wrong(s, "links of changes");
        }
    }

    if (e->work->changes != NULL && e->work->changes->prev != NULL) {
        sound_wrong(s, "link before the first change");
    }

    if (n != e->work->nchanges || e->work->nsent > n) {
        printf("# changes of %.*s: %d of %d, sent %d\n", (int) e->key_len,
               e->key, (int) n, (int) e->work->nchanges, (int) e->work->nsent);
        s->sound = 0;
    }

    if (s->counters && e->type == NGX_RF_STRING
        && sum != ngx_atoi(e->value->data, e->value->len))
    {
        printf("# changes of %.*s: sum %lld of %.*s\n", (int) e->key_len,
               e->key, sum, (int) e->value->len, e->value->data);
        s->sound = 0;
    }
}


/* returns the amount of an INCRBY */

static long long
sound_change(sound_t *s, ngx_rf_zchange_t *c)
{
    ngx_str_t         arg;
    ngx_rf_zdelta_t  *delta;

    sound_block(s, ngx_rf_zchange_size(c->size));

    delta = ngx_rf_zone_delta(c);

    if (delta != NULL) {
        sound_delta(s, delta);
        return 0;
    }

    if (ngx_rf_zone_change_str(c, 0, &arg) != NGX_OK) {
        sound_wrong(s, "change without a verb");
        return 0;
    }

    if (!s->counters || arg.len != 6
        || ngx_memcmp(arg.data, "INCRBY", 6) != 0)
    {
        return 0;
    }

    ngx_rf_zone_change_str(c, 1, &arg);

    return ngx_atoi(arg.data, arg.len);
}


static void
sound_delta(sound_t *s, ngx_rf_zdelta_t *delta)
{
    ngx_uint_t      i;
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    for (i = 0; i < 3; i++) {
        if (!sound_tree(s, &delta->tree[i])) {
            return;
        }
    }

    if (delta->type == NGX_RF_LIST) {

        for (elt = ngx_rf_walk_from(&walk, &delta->tree[0], 0);
             elt != NULL;
             elt = ngx_rf_walk_next(&walk))
        {
            if (elt->key > 1 || elt->value_len) {
                sound_wrong(s, "list: what was popped");
            }
        }

        return;
    }

    if (delta->tree[1].root != NULL || delta->tree[2].root != NULL) {
        sound_wrong(s, "pushes of what is no list");
    }

    sound_sorted(s, &delta->tree[0], 1);

    for (elt = ngx_rf_walk_from(&walk, &delta->tree[0], 0);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        sound_line(s, delta, elt);
    }
}


static void
sound_line(sound_t *s, ngx_rf_zdelta_t *delta, ngx_rf_elt_t *line)
{
    size_t          len;
    ngx_rf_delta_e  how;

    if (line->value_len == 0) {
        sound_wrong(s, "delta: a line says nothing");
        return;
    }

    how = ngx_rf_elt_value(line)[0];
    len = line->value_len - 1;

    if (how == NGX_RF_DELTA_DEL) {
        s->sound = s->sound && len == 0;
        return;
    }

    switch (delta->type) {

    case NGX_RF_HASH:
        if (how != NGX_RF_DELTA_SET && how != NGX_RF_DELTA_INCR
            && how != NGX_RF_DELTA_INCRFLOAT)
        {
            sound_wrong(s, "delta of a hash");
        }

        break;

    case NGX_RF_SET:
        if (how != NGX_RF_DELTA_SET || len) {
            sound_wrong(s, "delta of a set");
        }

        break;

    case NGX_RF_ZSET:
        if (how == NGX_RF_DELTA_NONE || how == NGX_RF_DELTA_INCRFLOAT
            || len != sizeof(double))
        {
            sound_wrong(s, "delta of a sorted set");
        }

        break;

    default:
        sound_wrong(s, "delta of no type");
    }
}


/* whether it can be walked */

static ngx_uint_t
sound_tree(sound_t *s, ngx_rf_tree_t *tree)
{
    if (!ngx_rf_tree_check(tree, sound_valid, s->zone)) {
        sound_wrong(s, "tree");
        return 0;
    }

    if (tree->root != NULL && tree->root->whole) {
        sound_wrong(s, "tree that is dead");
    }

    sound_nodes(s, tree->root);

    return 1;
}


static ngx_uint_t
sound_valid(void *ctx, void *p, size_t size)
{
    return ngx_rf_zone_valid(ctx, p, size);
}


static void
sound_sorted(sound_t *s, ngx_rf_tree_t *tree, ngx_uint_t hashed)
{
    ngx_str_t       name;
    ngx_rf_elt_t   *elt, *before;
    ngx_rf_walk_t   walk;

    before = NULL;

    for (elt = ngx_rf_walk_from(&walk, tree, 0);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        name.data = ngx_rf_elt_name(elt);
        name.len = elt->name_len;

        if (hashed && elt->key != ngx_rf_zone_hash(s->zone->sh, &name)) {
            sound_wrong(s, "tree: hash of a name");
            return;
        }

        if (before != NULL && sound_compare(before, elt) >= 0) {
            sound_wrong(s, "tree: not sorted");
            return;
        }

        before = elt;
    }
}


static ngx_int_t
sound_compare(ngx_rf_elt_t *a, ngx_rf_elt_t *b)
{
    ngx_int_t  rc;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }

    rc = ngx_memcmp(ngx_rf_elt_name(a), ngx_rf_elt_name(b),
                    ngx_min(a->name_len, b->name_len));

    return rc ? rc : (ngx_int_t) a->name_len - (ngx_int_t) b->name_len;
}


static void
sound_lists(sound_t *s)
{
    ngx_uint_t         n;
    ngx_rf_zone_sh_t  *sh;

    sh = s->zone->sh;

    n = sound_entries(sh, NGX_RF_LINE_CLEAN)
        + sound_entries(sh, NGX_RF_LINE_STALE)
        + sound_entries(sh, NGX_RF_LINE_PENDING)
        + sound_entries(sh, NGX_RF_LINE_FLYING);

    if (s->entries != sh->entries || s->entries != n || s->live != sh->live
        || s->pending != sh->npending
        || s->pending != sound_entries(sh, NGX_RF_LINE_PENDING)
                         + sound_entries(sh, NGX_RF_LINE_FLYING)
                         - sh->nrestoring
        || s->disk[NGX_RF_DISK_UNLOGGED] != sh->nunlogged - sh->nunacked
        || s->disk[NGX_RF_DISK_UNLOGGED] != sound_queues(sh->unlogged)
        || s->disk[NGX_RF_DISK_UNACKED] != sh->nunacked
        || s->disk[NGX_RF_DISK_UNACKED] != sound_queues(sh->unacked)
        || s->disk[NGX_RF_DISK_LOGGING] != sh->nlogging
        || s->disk[NGX_RF_DISK_LOGGING] != sound_queue(&sh->logging)
        || s->disk[NGX_RF_DISK_DIRTY] != sh->ndirty
        || s->disk[NGX_RF_DISK_DIRTY] != sound_queue(&sh->dirty)
        || s->disk[NGX_RF_DISK_WRITING] != sound_queue(&sh->writing)
        || s->writing != sh->nwriting)
    {
        printf("# entries %d of %d, in lists %d, live %d of %d, pending %d of "
               "%d, unlogged %d of %d, unacked %d of %d, logging %d of %d, "
               "dirty %d of %d, writing %d of %d\n",
               (int) sh->entries, (int) s->entries, (int) n, (int) sh->live,
               (int) s->live, (int) sh->npending, (int) s->pending,
               (int) (sh->nunlogged - sh->nunacked),
               (int) s->disk[NGX_RF_DISK_UNLOGGED],
               (int) sh->nunacked, (int) s->disk[NGX_RF_DISK_UNACKED],
               (int) sh->nlogging, (int) s->disk[NGX_RF_DISK_LOGGING],
               (int) sh->ndirty, (int) s->disk[NGX_RF_DISK_DIRTY],
               (int) sh->nwriting, (int) s->writing);
        s->sound = 0;
    }

    if (sh->nundo || sh->undo != sh->undo_first || s->zone->undoing) {
        sound_wrong(s, "undo log in use");
    }

    if (!ngx_queue_empty(&s->zone->heap.fresh)
        || !ngx_queue_empty(&s->zone->heap.dead))
    {
        sound_wrong(s, "heap in use");
    }

    if (s->zone->kept != NULL || s->zone->urgent || s->zone->plain) {
        sound_wrong(s, "words of a command");
    }
}


static void
sound_expires(sound_t *s)
{
    uint32_t           i, at, prev, line;
    ngx_uint_t         n;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    n = 0;
    sh = s->zone->sh;

    for (i = 0; i < NGX_RF_ZONE_DUE; i++) {
        line = NGX_RF_LINE_DUE + i;
        prev = NGX_RF_ZONE_LINE | line;

        for (at = sh->lines[line].next;
             !(at & NGX_RF_ZONE_LINE) && n <= s->expiring;
             at = e->due.next)
        {
            e = ngx_rf_zone_at(sh, at);
            n++;

            if (!sound_in_table(s, e) || e->expire == 0 || e->due.prev != prev)
            {
                sound_wrong(s, "list by expiry");
                return;
            }

            prev = at;
        }

        if (at != (NGX_RF_ZONE_LINE | line) || sh->lines[line].prev != prev) {
            sound_wrong(s, "end of a list by expiry");
            return;
        }
    }

    if (n != s->expiring) {
        printf("# %d entries expire, in the lists are %d\n",
               (int) s->expiring, (int) n);
        s->sound = 0;
    }
}


static void
sound_spare(sound_t *s)
{
    ngx_uint_t         i, n;
    ngx_rf_zwork_t     *work;
    ngx_rf_zone_sh_t  *sh;

    sh = s->zone->sh;
    n = 0;

    for (work = sh->spare; work; work = (void *) work->entry) {
        sound_block(s, sizeof(ngx_rf_zwork_t));

        if (++n > sh->nspare) {
            break;
        }
    }

    if (n != sh->nspare || n > NGX_RF_ZONE_UNDO) {
        sound_wrong(s, "work in reserve");
    }

    for (i = 0; i < sizeof(ngx_rf_zwork_t); i++) {
        if (((u_char *) &sh->none)[i]) {
            sound_wrong(s, "work of all who have none");
            break;
        }
    }
}


/* what the pool has given out is what can be reached, no more and no less */

static void
sound_memory(sound_t *s)
{
    ngx_uint_t         i, shift, used, all, chunks;
    ngx_queue_t       *q;
    ngx_rf_node_t     *node;
    ngx_slab_pool_t   *pool;
    ngx_rf_zone_sh_t  *sh;

    sh = s->zone->sh;
    pool = s->zone->shpool;

    sound_block(s, ngx_rf_zone_block_size(s->zone, sh->nbuckets));
    sound_spare(s);

    for (q = ngx_queue_head(&sh->trash);
         q != ngx_queue_sentinel(&sh->trash);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_rf_node_t, queue);

        if (node->whole) {
            sound_nodes(s, node);

        } else {
            sound_block(s, node->size);
        }
    }

    used = s->pages;

    for (i = 0; i < ngx_pagesize_shift - pool->min_shift; i++) {

        if (s->slot[i] != pool->stats[i].used) {
            printf("# blocks of %d bytes: %d in use, %d can be reached\n",
                   1 << (i + pool->min_shift), (int) pool->stats[i].used,
                   (int) s->slot[i]);
            s->sound = 0;
        }

        /* of a page, the chunks; smaller ones share it with their bitmap */

        shift = i + pool->min_shift;
        chunks = ngx_pagesize >> shift;

        if (((size_t) 1 << shift) < ngx_pagesize / (8 * sizeof(uintptr_t))) {
            chunks -= ngx_max(chunks / (((size_t) 1 << shift) * 8), 1);
        }

        used += pool->stats[i].total / chunks;
    }

    all = pool->last - pool->pages;

    if (all - pool->pfree != used) {
        printf("# pages: %d in use, %d can be reached\n",
               (int) (all - pool->pfree), (int) used);
        s->sound = 0;
    }
}


static void
sound_nodes(sound_t *s, ngx_rf_node_t *node)
{
    ngx_uint_t      i, n;
    ngx_rf_node_t  *children[NGX_RF_TREE_CHILDREN];

    if (node == NULL) {
        return;
    }

    sound_block(s, node->size);

    n = ngx_rf_tree_children(node, children);

    for (i = 0; i < n; i++) {
        sound_nodes(s, children[i]);
    }
}


/* as ngx_slab_alloc_locked() counts it */

static void
sound_block(sound_t *s, size_t size)
{
    ngx_uint_t        shift;
    ngx_slab_pool_t  *pool;

    pool = s->zone->shpool;

    if (size > ngx_pagesize / 2) {
        s->pages += (size + ngx_pagesize - 1) >> ngx_pagesize_shift;
        return;
    }

    for (shift = pool->min_shift; ((size_t) 1 << shift) < size; shift++) {
        /* void */
    }

    s->slot[shift - pool->min_shift]++;
}


static void
sound_wrong(sound_t *s, const char *what)
{
    printf("# unsound: %s\n", what);
    s->sound = 0;
}


static ngx_uint_t
sound_queue(ngx_queue_t *queue)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    n = 0;

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue);
         q = ngx_queue_next(q))
    {
        if (ngx_queue_prev(ngx_queue_next(q)) != q) {
            return NGX_MAX_UINT32_VALUE;
        }

        n++;
    }

    return n;
}


static ngx_uint_t
sound_entries(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line)
{
    uint32_t         prev;
    ngx_uint_t       n;
    ngx_rf_entry_t  *e;

    n = 0;
    prev = NGX_RF_ZONE_LINE | line;

    for (e = ngx_rf_zone_line_first(sh, line);
         e;
         e = ngx_rf_zone_line_next(sh, e))
    {
        if (e->queue.prev != prev) {
            return NGX_MAX_UINT32_VALUE;
        }

        prev = ngx_rf_zone_number(sh, e);
        n++;
    }

    return sh->lines[line].prev == prev ? n : NGX_MAX_UINT32_VALUE;
}
