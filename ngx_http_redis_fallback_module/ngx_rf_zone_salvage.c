/*
 * A zone made anew in place, after a worker was killed while it held the lock.
 *
 * The salvage trusts nothing but the chains and what they lead to, and checks
 * that too: of lists and slab pool any link may be half done.  It
 * undoes the interrupted command, takes out of the chains what neither Redis
 * nor the disk depend on, and makes the rest anew around what is left there and
 * what is lent.
 *
 * Guarantees: each store of a salvage may be its last.  What is pending stays
 * in its chain, and where it is; "busy" stays set until the end, so that the
 * next one begins anew, and finds at least as much.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


static void ngx_rf_zone_unreadable(ngx_rf_zone_t *zone, ngx_uint_t *lost);
static void ngx_rf_zone_undo_all(ngx_rf_zone_t *zone, ngx_uint_t *lost);
static void ngx_rf_zone_sort_out(ngx_rf_zone_t *zone, ngx_uint_t *lost);
static ngx_uint_t ngx_rf_zone_needed(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_uint_t *lost);
static void ngx_rf_zone_only_file(ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_blocks(ngx_rf_zone_t *zone, size_t size);
static ngx_uint_t ngx_rf_zone_valid_entry(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_valid_work(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_valid_content(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_zone_valid_changes(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static void ngx_rf_zone_rebuild(ngx_rf_zone_t *zone, ngx_uint_t *lost);
static void ngx_rf_zone_mark_all(ngx_rf_zone_t *zone,
    ngx_rf_zone_slab_map_t *map, ngx_uint_t *lost);
static ngx_uint_t ngx_rf_zone_mark_entry(ngx_rf_zone_t *zone,
    ngx_rf_zone_slab_map_t *map, ngx_rf_entry_t *e);
static void ngx_rf_zone_link_all(ngx_rf_zone_t *zone);
static void ngx_rf_zone_link_entry(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
static void ngx_rf_zone_give_up(ngx_rf_zone_t *zone);


void
ngx_rf_zone_salvage(ngx_rf_zone_t *zone)
{
    ngx_pid_t          dead;
    ngx_uint_t         lost;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    dead = sh->busy ? (ngx_pid_t) sh->busy : sh->orphaned;
    lost = 0;

    zone->undoing = 0;
    zone->urgent = 0;
    zone->plain = 0;
    zone->prepared = 0;

    ngx_rf_zone_heap_init(zone);

    /* from here on one that finds it half done does it again */

    sh->busy = ngx_pid;
    ngx_memory_barrier();

    ngx_rf_zone_undo_all(zone, &lost);
    ngx_rf_zone_sort_out(zone, &lost);
    ngx_rf_zone_rebuild(zone, &lost);
    ngx_rf_zone_link_all(zone);

    /* if it was the leader that died, what it had in flight and its claims on
     * files are for the next one, wherever it was killed */

    ngx_log_error(NGX_LOG_ERR, zone->log, 0,
                  "process %P died while changing the zone of store \"%V\", "
                  "rebuilt: %ui pending keys kept, %ui entries unreadable",
                  dead, &zone->name, sh->npending, lost);
}


/* said before it leaves its chain: what the table loses may be on disk */

static void
ngx_rf_zone_unreadable(ngx_rf_zone_t *zone, ngx_uint_t *lost)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (sh->files) {
        sh->files_scan = 1;
        sh->journal_scan = 1;
        ngx_memory_barrier();
    }

    (*lost)++;
}


static void
ngx_rf_zone_undo_all(ngx_rf_zone_t *zone, ngx_uint_t *lost)
{
    ngx_uint_t         n;
    ngx_rf_undo_t     *u;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    n = sh->nundo;

    if (n == 0) {
        return;
    }

    if (n > sh->undo_max
        || (sh->undo != sh->undo_first
            && !ngx_rf_zone_valid(zone, sh->undo, n * sizeof(ngx_rf_undo_t))))
    {
        ngx_rf_zone_unreadable(zone, lost);
        n = 0;
    }

    /* all of it, as often as it takes: it says how it was, not what to do */

    while (n--) {
        u = &sh->undo[n];

        if (u->entry == NULL) {
            continue;
        }

        if (!ngx_rf_zone_valid_entry(zone, u->entry)) {
            ngx_rf_zone_unreadable(zone, lost);
            continue;
        }

        ngx_rf_zone_undo_fields(u);
    }

    ngx_memory_barrier();
    sh->nundo = 0;
    ngx_memory_barrier();
}


/* what is not needed, or cannot be read, leaves its chain */

static void
ngx_rf_zone_sort_out(ngx_rf_zone_t *zone, ngx_uint_t *lost)
{
    uint32_t          *p;
    ngx_uint_t         i, left;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    left = ngx_rf_zone_blocks(zone, ngx_rf_entry_size(0));

    for (i = 0; i < sh->nbuckets; i++) {

        p = &sh->buckets[i];

        while ((e = ngx_rf_zone_at(sh, *p)) != NULL) {

            if (left == 0 || !ngx_rf_zone_valid_entry(zone, e)
                || (e->hash & (sh->nbuckets - 1)) != i)
            {
                ngx_rf_zone_unreadable(zone, lost);
                *p = 0;
                break;
            }

            left--;

            if (ngx_rf_zone_needed(zone, e, lost)) {
                p = &e->next;

            } else {
                *p = e->next;
            }
        }
    }

    ngx_memory_barrier();
}


static ngx_uint_t
ngx_rf_zone_needed(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, ngx_uint_t *lost)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (e->pending == NGX_RF_CLEAN) {

        if (!ngx_rf_zone_on_disk(e)
            || (e->work->file_version == 0 && e->work->writer == 0
                && !ngx_rf_zone_unacked(sh, e)))
        {
            return 0;
        }

        ngx_rf_zone_only_file(e);
        return 1;
    }

    if (!ngx_rf_zone_valid_content(zone, e)) {
        ngx_rf_zone_unreadable(zone, lost);
        return 0;
    }

    if (!ngx_rf_zone_on_disk(e) && sh->files
        && (sh->spilled || sh->files_scan))
    {
        /* it may be the one that was just loaded from a file, which is to go
         * with it: a version that no entry has */

        e->work->file_version = 1;
    }

    return 1;
}


/* clean: what it was for is its file, the value may be half gone */

static void
ngx_rf_zone_only_file(ngx_rf_entry_t *e)
{
    e->type = NGX_RF_NONE;
    e->value = NULL;
    e->work->changes = NULL;
    e->work->last_change = NULL;
    e->work->nchanges = 0;
    e->work->nsent = 0;
    e->work->id = 0;
    e->expire = 0;
    e->seen = 0;
    e->work->base = NGX_RF_BASE_UNKNOWN;
    e->complete = 0;
    e->flying = 0;
    e->work->late = 0;
}


ngx_uint_t
ngx_rf_zone_valid(ngx_rf_zone_t *zone, void *p, size_t size)
{
    u_char           *data;
    ngx_slab_pool_t  *shpool;

    data = p;
    shpool = zone->shpool;

    return data >= shpool->start
           && data < shpool->end
           && ((uintptr_t) data & (sizeof(void *) - 1)) == 0
           && size <= (size_t) (shpool->end - data);
}


/* how many of that size the zone may hold, at most: a bound for walks */

static ngx_uint_t
ngx_rf_zone_blocks(ngx_rf_zone_t *zone, size_t size)
{
    return (zone->shpool->end - zone->shpool->start) / size;
}


static ngx_uint_t
ngx_rf_zone_valid_entry(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    return ngx_rf_zone_valid(zone, e, ngx_rf_entry_size(0))
           && e->magic == NGX_RF_ENTRY_MAGIC
           && ngx_rf_zone_valid(zone, e, ngx_rf_entry_size(e->key_len))
           && e->type <= NGX_RF_ZSET
           && e->pending <= NGX_RF_DELTA
           && ngx_rf_zone_valid_work(zone, e);
}


static ngx_uint_t
ngx_rf_zone_valid_work(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->work == &zone->sh->none) {
        return e->pending == NGX_RF_CLEAN;
    }

    return ngx_rf_zone_valid(zone, e->work, sizeof(ngx_rf_zwork_t))
           && e->work->entry == e;
}


static ngx_uint_t
ngx_rf_zone_valid_content(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->type == NGX_RF_NONE) {
        e->value = NULL;

    } else if (ngx_rf_zone_is_coll(e->type)) {

        if (!ngx_rf_zone_valid_coll(zone, e)) {
            return 0;
        }

        if (ngx_rf_zone_content(e)->elts.count == 0) {

            /* there are no empty ones */

            e->type = NGX_RF_NONE;
            ngx_memory_barrier();
            e->value = NULL;
        }

    } else if (!ngx_rf_zone_valid(zone, e->value, ngx_rf_blob_size(0))
               || !ngx_rf_zone_valid(zone, e->value,
                                     ngx_rf_blob_size(e->value->len)))
    {
        return 0;
    }

    if (e->pending == NGX_RF_DELTA) {
        return ngx_rf_zone_valid_changes(zone, e);
    }

    e->work->changes = NULL;
    e->work->last_change = NULL;
    e->work->nchanges = 0;
    e->work->nsent = 0;
    e->work->id = 0;
    e->complete = 1;

    return 1;
}


/* of their list the way forth is sound, that back need not be */

static ngx_uint_t
ngx_rf_zone_valid_changes(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_uint_t         n, max;
    ngx_rf_zchange_t  *c, *prev;

    n = 0;
    max = ngx_min(e->work->nchanges,
                  ngx_rf_zone_blocks(zone, ngx_rf_zchange_size(0)));

    for (c = e->work->changes; c; c = c->next) {

        if (!ngx_rf_zone_valid_change(zone, c) || ++n > max) {
            return 0;
        }
    }

    if (n != e->work->nchanges && e->work->nsent) {
        return 0;
    }

    /* one that said nothing was being dropped */

    e->work->nchanges = n;

    prev = NULL;

    for (c = e->work->changes; c; c = c->next) {
        c->prev = prev;
        prev = c;
    }

    e->work->last_change = prev;

    return 1;
}


static void
ngx_rf_zone_rebuild(ngx_rf_zone_t *zone, ngx_uint_t *lost)
{
    ngx_rf_zone_sh_t        *sh;
    ngx_rf_zone_slab_map_t  *map;

    sh = zone->sh;
    map = ngx_rf_zone_slab_map_create(zone->shpool);

    if (map != NULL) {
        ngx_rf_zone_mark_all(zone, map, lost);
    }

    if (map == NULL || ngx_rf_zone_slab_lay(map) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, zone->log, map ? 0 : ngx_errno,
                      "could not repair the zone of store \"%V\"",
                      &zone->name);

        ngx_rf_zone_unreadable(zone, lost);
        ngx_rf_zone_give_up(zone);
    }

    ngx_rf_zone_slab_map_destroy(map);

    ngx_rf_zone_reset_lists(sh);
    ngx_rf_zone_log_ctx(zone);

    /* clean entries are gone, and with them what they said of their keys:
     * what was read before this is not to be learned */

    ngx_rf_zone_remember_all(zone);

    sh->rebuilds++;
}


/* all that there is, the header with the table first.  A block that seems to
 * be in two entries is the first one's, and the other one leaves its chain */

static void
ngx_rf_zone_mark_all(ngx_rf_zone_t *zone, ngx_rf_zone_slab_map_t *map,
    ngx_uint_t *lost)
{
    uint32_t          *p;
    ngx_uint_t         i;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    (void) ngx_rf_zone_slab_mark(map, sh,
                                 ngx_rf_zone_block_size(zone, sh->nbuckets));

    for (i = 0; i < sh->nbuckets; i++) {

        p = &sh->buckets[i];

        while ((e = ngx_rf_zone_at(sh, *p)) != NULL) {

            if (ngx_rf_zone_mark_entry(zone, map, e)) {
                p = &e->next;

            } else {
                ngx_rf_zone_unreadable(zone, lost);
                *p = e->next;
            }
        }
    }

    ngx_rf_zone_mark_lent(zone, map);
}


static ngx_uint_t
ngx_rf_zone_mark_entry(ngx_rf_zone_t *zone, ngx_rf_zone_slab_map_t *map,
    ngx_rf_entry_t *e)
{
    ngx_rf_zchange_t  *c;

    if (!ngx_rf_zone_slab_mark(map, e, ngx_rf_entry_size(e->key_len))) {
        return 0;
    }

    if (e->work != &zone->sh->none
        && !ngx_rf_zone_slab_mark(map, e->work, sizeof(ngx_rf_zwork_t)))
    {
        return 0;
    }

    if (ngx_rf_zone_is_coll(e->type)) {

        if (!ngx_rf_zone_mark_coll(map, ngx_rf_zone_content(e))) {
            return 0;
        }

    } else if (e->value != NULL
               && !ngx_rf_zone_slab_mark(map, e->value,
                                         ngx_rf_blob_size(e->value->len)))
    {
        return 0;
    }

    for (c = e->work->changes; c; c = c->next) {
        if (!ngx_rf_zone_mark_change(map, c)) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_rf_zone_link_all(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i, files;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    files = 0;

    for (i = 0; i < sh->nbuckets; i++) {
        for (e = ngx_rf_zone_at(sh, sh->buckets[i]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {
            ngx_rf_zone_link_entry(zone, e);
            files += (e->work->file_version != 0);
        }
    }

    /* counted under the lock only */

    sh->stat.files = files;
}


/* nothing that its lists, or counters, say of it holds */

static void
ngx_rf_zone_link_entry(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    e->work->peer = NULL;
    e->work->undo = 0;
    e->work->where = NGX_RF_DISK_NONE;
    e->used = (uint8_t) ngx_time();

    sh->entries++;
    sh->live += (e->type != NGX_RF_NONE);
    sh->npending += (e->pending != NGX_RF_CLEAN);
    sh->nwriting += (e->work->writer != 0);

    if (e->expire) {
        ngx_rf_zone_due_link(sh, e);
    }

    ngx_rf_zone_line_init(sh, e);

    ngx_rf_zone_requeue(zone, e);
    ngx_rf_zone_place(zone, e);
}


/* an empty zone, as at creation: what files hold is what there is */

static void
ngx_rf_zone_give_up(ngx_rf_zone_t *zone)
{
    void              *p;
    ngx_rf_zone_sh_t  *sh, copy;

    sh = zone->sh;
    copy = *sh;

    ngx_slab_init(zone->shpool);

    /* the pool's first allocation: it lies where it lay */

    p = ngx_slab_alloc_locked(zone->shpool,
                              ngx_rf_zone_block_size(zone, copy.nbuckets));

    if (p != sh) {
        ngx_log_error(NGX_LOG_ALERT, zone->log, 0,
                      "header of the zone of store \"%V\" has moved",
                      &zone->name);
        ngx_debug_point();
    }

    if (sh->magic != copy.magic) {
        /* an nginx made for debugging fills a new pool with junk; otherwise
         * the words stay untouched, as others go on changing them */
        *sh = copy;
    }

    /* who reads on reads what comes next in its place */

    ngx_memzero((void *) sh->lent, sizeof(sh->lent));

    ngx_rf_zone_reset(sh);
}
