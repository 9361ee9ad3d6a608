/*
 * Changes to one entry, and the undo log that makes the changes of one command
 * a whole: a command that is refused, or whose worker is killed, leaves its
 * keys as they were.
 *
 * While an entry is in the log, its old value and changes are not freed: the
 * commit does that (settle).
 *
 * A transaction of several commands saves an entry again for each command that
 * changes it.  The entry then refers to the newest record, and each record,
 * with the index that it saved, to the one before.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


static void ngx_rf_zone_end(ngx_rf_zone_t *zone);
static void ngx_rf_zone_join(ngx_rf_entry_t *a, ngx_rf_entry_t *b);
static void ngx_rf_zone_unwind(ngx_rf_zone_t *zone, ngx_uint_t to);
static void ngx_rf_zone_rollback_entry(ngx_rf_zone_t *zone, ngx_rf_undo_t *u);
static void ngx_rf_zone_place_expire(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t expire);
static void ngx_rf_zone_relink(ngx_rf_undo_t *u);
static void ngx_rf_zone_free_new(ngx_rf_zone_t *zone, ngx_rf_undo_t *u);
static void ngx_rf_zone_replace_value(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, void *value);
static void ngx_rf_zone_put_value(ngx_rf_entry_t *e, ngx_rf_type_e type,
    void *value);
static void ngx_rf_zone_changed(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t now);


ngx_int_t
ngx_rf_zone_begin_locked(ngx_rf_zone_t *zone, ngx_uint_t n)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    sh->undo = sh->undo_first;
    sh->undo_max = NGX_RF_ZONE_UNDO;

    zone->urgent = 1;

    if (ngx_rf_zone_work_reserve(zone, n, NULL, 0) != NGX_OK) {
        zone->urgent = 0;
        return NGX_RF_NEED_ROOM;
    }

    if (n > NGX_RF_ZONE_UNDO) {
        sh->undo = ngx_rf_zone_alloc_locked(zone, n * sizeof(ngx_rf_undo_t),
                                            NULL, 0);
        if (sh->undo == NULL) {
            sh->undo = sh->undo_first;
            zone->urgent = 0;
            ngx_rf_zone_work_trim(zone);
            return NGX_RF_NEED_ROOM;
        }

        sh->undo_max = n;
    }

    zone->undoing = 1;
    zone->savepoint = 0;

    zone->plain = 0;

    if (zone->prepared) {

        if (ngx_rf_heap_join(&zone->heap) != NGX_OK) {
            ngx_rf_zone_end(zone);
            return NGX_RF_NEED_ROOM;
        }

    } else {
        ngx_rf_heap_begin(&zone->heap, ++sh->owner);
    }

    return NGX_OK;
}


ngx_uint_t
ngx_rf_zone_prepare_locked(ngx_rf_zone_t *zone)
{
    if (!ngx_rf_zone_pin(zone, -ngx_pid)) {
        return 0;
    }

    ngx_rf_heap_begin(&zone->heap, ++zone->sh->owner);
    ngx_rf_heap_aside(&zone->heap);

    zone->prepared = 1;
    zone->plain = 1;

    return 1;
}


void
ngx_rf_zone_unprepare_locked(ngx_rf_zone_t *zone, ngx_uint_t lost)
{
    zone->prepared = 0;
    zone->plain = 0;

    if (lost) {
        ngx_rf_zone_heap_init(zone);
        return;
    }

    /* nothing is left of it after a commit or rollback */

    ngx_rf_heap_rollback(&zone->heap);
    ngx_rf_zone_unpin(zone, -ngx_pid);
}


static void
ngx_rf_zone_end(ngx_rf_zone_t *zone)
{
    ngx_rf_undo_t     *undo;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    undo = sh->undo;

    zone->undoing = 0;
    zone->urgent = 0;

    sh->undo = sh->undo_first;
    sh->undo_max = NGX_RF_ZONE_UNDO;

    if (undo != sh->undo_first) {
        ngx_slab_free_locked(zone->shpool, undo);
    }

    ngx_rf_zone_work_trim(zone);
}


void
ngx_rf_zone_commit_locked(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i, n;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    n = sh->nundo;

    /* from this store on the command has happened */

    ngx_memory_barrier();
    sh->nundo = 0;
    ngx_memory_barrier();

    ngx_rf_heap_commit(&zone->heap);

    for (i = n; i > 0; i--) {
        ngx_rf_zone_settle(zone, &sh->undo[i - 1]);
    }

    ngx_rf_zone_end(zone);
}


void
ngx_rf_zone_savepoint_locked(ngx_rf_zone_t *zone)
{
    zone->savepoint = zone->sh->nundo;

    ngx_rf_heap_savepoint(&zone->heap, ++zone->sh->owner);
}


void
ngx_rf_zone_rollback_to_locked(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_unwind(zone, zone->savepoint);
    ngx_rf_heap_rollback_to(&zone->heap);
}


void
ngx_rf_zone_keep_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zone_save(zone, e, 0);
}


void
ngx_rf_zone_group_locked(ngx_rf_zone_t *zone, uint64_t seq)
{
    ngx_uint_t         i;
    ngx_rf_entry_t    *e, *first;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    first = NULL;

    for (i = 0; i < sh->nundo; i++) {
        e = sh->undo[i].entry;

        if (e == NULL || e->version <= seq || e->pending == NGX_RF_CLEAN) {
            continue;
        }

        if (first == NULL) {
            first = e;

        } else {
            ngx_rf_zone_join(first, e);
        }
    }
}


/* two rings become one where each lets go at one place */

static void
ngx_rf_zone_join(ngx_rf_entry_t *a, ngx_rf_entry_t *b)
{
    ngx_uint_t       n;
    ngx_rf_entry_t  *e, *next;

    n = 0;

    for (e = a; n == 0 || e != a; e = e->work->peer) {

        if (e == b) {
            return;
        }

        n++;

        if (e->work->peer == NULL) {
            break;
        }
    }

    for (e = b->work->peer, n++; e != NULL && e != b; e = e->work->peer) {
        n++;
    }

    if (n > NGX_RF_ZONE_GROUP) {
        return;
    }

    next = a->work->peer ? a->work->peer : a;
    a->work->peer = b->work->peer ? b->work->peer : b;
    b->work->peer = next;
}


void
ngx_rf_zone_ungroup(ngx_rf_entry_t *e)
{
    ngx_rf_entry_t  *p;

    if (e->work->peer == NULL) {
        return;
    }

    for (p = e->work->peer; p->work->peer != e; p = p->work->peer) {
        /* void */
    }

    p->work->peer = (e->work->peer == p) ? NULL : e->work->peer;
    e->work->peer = NULL;
}


void
ngx_rf_zone_settle(ngx_rf_zone_t *zone, ngx_rf_undo_t *u)
{
    ngx_rf_blob_t     *value;
    ngx_rf_entry_t    *e;
    ngx_rf_zchange_t  *changes;

    e = u->entry;

    if (e == NULL) {
        return;
    }

    value = u->again ? u->value : e->value;
    changes = u->again ? u->changes : e->work->changes;

    u->entry = NULL;
    e->work->undo = u->work.undo;

    if (e->pending == NGX_RF_CLEAN) {
        /* a rollback could not have put it back into its ring */
        ngx_rf_zone_ungroup(e);
    }

    if (u->saved.value != value) {
        /* of a collection only this: its trees have been dealt with */
        ngx_rf_zone_free_locked(zone, u->saved.value);
    }

    if (changes == NULL) {
        ngx_rf_zone_free_changes(zone, u->work.changes);

    } else {
        ngx_rf_zone_free_locked(zone, u->swapped);
    }

    ngx_rf_zone_work_rid(zone, e);
}


void
ngx_rf_zone_rollback_locked(ngx_rf_zone_t *zone)
{
    ngx_rf_zone_unwind(zone, 0);
    ngx_rf_heap_rollback(&zone->heap);
    ngx_rf_zone_end(zone);
}


static void
ngx_rf_zone_unwind(ngx_rf_zone_t *zone, ngx_uint_t to)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    while (sh->nundo > to) {
        ngx_rf_zone_rollback_entry(zone, &sh->undo[sh->nundo - 1]);
        ngx_memory_barrier();
        sh->nundo--;
    }
}


static void
ngx_rf_zone_rollback_entry(ngx_rf_zone_t *zone, ngx_rf_undo_t *u)
{
    ngx_rf_blob_t     *value;
    ngx_rf_entry_t    *e, *saved;
    ngx_rf_pending_e   pending;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    e = u->entry;
    saved = &u->saved;

    if (e == NULL) {
        return;
    }

    value = e->value;
    pending = e->pending;

    sh->live += (saved->type != NGX_RF_NONE);
    sh->live -= (e->type != NGX_RF_NONE);

    sh->npending += (saved->pending != NGX_RF_CLEAN);
    sh->npending -= (pending != NGX_RF_CLEAN);

    ngx_rf_zone_place_expire(zone, e, saved->expire);

    if (e->work->changes != NULL) {
        ngx_rf_zone_free_new(zone, u);
    }

    ngx_rf_zone_undo_fields(u);

    if (value != e->value) {
        ngx_rf_zone_free_locked(zone, value);
    }

    e->work->undo = u->work.undo;
    u->entry = NULL;

    if (e->work->undo) {
        sh->undo[e->work->undo - 1].again = 0;
    }

    if (u->fresh) {
        ngx_rf_zone_remove(zone, e);
        return;
    }

    if (pending != e->pending) {
        ngx_rf_zone_requeue(zone, e);
    }

    ngx_rf_zone_place(zone, e);
    ngx_rf_zone_work_rid(zone, e);
}


void
ngx_rf_zone_save(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, ngx_uint_t fresh)
{
    ngx_rf_undo_t     *u;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (!zone->undoing || e->work->undo > zone->savepoint) {
        return;
    }

    if (sh->nundo == sh->undo_max) {
        ngx_log_error(NGX_LOG_ALERT, zone->log, 0,
                      "undo log of store \"%V\" is full", &zone->name);
        return;
    }

    if (e->work->undo) {
        u = &sh->undo[e->work->undo - 1];
        u->again = 1;
        u->value = e->value;
        u->changes = e->work->changes;
    }

    (void) ngx_rf_zone_work(zone, e);

    u = &sh->undo[sh->nundo];

    u->entry = e;
    u->swapped = NULL;
    u->fresh = fresh;
    u->again = 0;
    ngx_memcpy(&u->saved, e, offsetof(ngx_rf_entry_t, key));
    u->work = *e->work;

    ngx_memory_barrier();

    e->work->undo = ++sh->nundo;

    ngx_memory_barrier();
}


void
ngx_rf_zone_undo_fields(ngx_rf_undo_t *u)
{
    ngx_rf_entry_t  *e, *saved;

    e = u->entry;
    saved = &u->saved;

    ngx_rf_zone_relink(u);

    e->version = saved->version;
    e->changed = saved->changed;
    e->expire = saved->expire;
    e->seen = saved->seen;
    e->run = saved->run;

    e->type = saved->type;
    e->value = saved->value;
    e->complete = saved->complete;
    e->work->foreign = u->work.foreign;

    e->pending = saved->pending;
    e->work->id = u->work.id;
    e->work->nsent = u->work.nsent;
    e->work->sent_run = u->work.sent_run;
    e->work->nchanges = u->work.nchanges;
    e->work->changes = u->work.changes;
    e->work->last_change = u->work.last_change;

    e->work->log_version = u->work.log_version;
    e->work->log_begun = u->work.log_begun;
    e->work->logged = u->work.logged;
    e->work->acked = u->work.acked;
    e->work->log_odd = u->work.log_odd;
    e->work->renamed = u->work.renamed;
    e->work->widened = u->work.widened;
    e->work->derived = u->work.derived;
    e->work->taken = u->work.taken;

    e->work->base = u->work.base;
    e->work->base_expires = u->work.base_expires;
    e->work->sent = u->work.sent;
    ngx_memcpy(e->work->base_sha1, u->work.base_sha1, 20);
}


/* the saved list of changes again as it was; what was put in falls out */

static void
ngx_rf_zone_relink(ngx_rf_undo_t *u)
{
    ngx_rf_zchange_t  *c;

    c = u->swapped;

    if (c != NULL) {
        /* its own links are still those of the time before */

        if (c->prev) {
            c->prev->next = c;
        }

        if (c->next) {
            c->next->prev = c;
        }
    }

    if (u->work.last_change) {
        u->work.last_change->next = NULL;
    }
}


/* frees the changes that the entry has and the saved one has not */

static void
ngx_rf_zone_free_new(ngx_rf_zone_t *zone, ngx_rf_undo_t *u)
{
    ngx_rf_entry_t    *e;
    ngx_rf_zchange_t  *c, *added;

    e = u->entry;
    added = u->work.last_change ? u->work.last_change->next : e->work->changes;

    if (u->swapped) {
        c = u->swapped->prev ? u->swapped->prev->next : e->work->changes;

        if (u->swapped == u->work.last_change) {
            added = c->next;
        }

        ngx_slab_free_locked(zone->shpool, c);
    }

    /* their trees are the heap's to roll back */

    for (c = added; c; c = added) {
        added = c->next;
        ngx_slab_free_locked(zone->shpool, c);
    }
}


void
ngx_rf_zone_free_changes(ngx_rf_zone_t *zone, ngx_rf_zchange_t *c)
{
    ngx_rf_zchange_t  *next;

    for ( /* void */ ; c; c = next) {
        next = c->next;
        ngx_rf_zone_free_change(zone, c);
    }
}


void
ngx_rf_zone_drop_changes(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_undo_t     *u;
    ngx_rf_zchange_t  *changes;

    changes = e->work->changes;

    if (changes == NULL) {
        return;
    }

    if (e->work->undo) {
        u = &zone->sh->undo[e->work->undo - 1];

        ngx_rf_zone_free_new(zone, u);
        ngx_rf_zone_relink(u);
        u->swapped = NULL;
        changes = NULL;
    }

    e->work->changes = NULL;
    e->work->last_change = NULL;
    e->work->nchanges = 0;
    e->work->nsent = 0;
    e->work->id = 0;

    ngx_memory_barrier();

    ngx_rf_zone_free_changes(zone, changes);
}


void
ngx_rf_zone_set_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, void *value)
{
    ngx_rf_zone_save(zone, e, 0);

    if (e->work->undo) {
        ngx_rf_zone_drop_value(zone, e->type, e->value);

    } else if (ngx_rf_zone_is_coll(e->type)) {
        ngx_rf_zone_replace_value(zone, e, type, value);
        return;
    }

    ngx_rf_zone_publish_locked(zone, e, type, value);
}


/* the old one is freed once the new one is in its place */

static void
ngx_rf_zone_replace_value(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, void *value)
{
    void           *old;
    ngx_rf_type_e   old_type;

    old = e->value;
    old_type = e->type;

    zone->sh->live -= (type == NGX_RF_NONE);

    ngx_rf_zone_put_value(e, type, value);

    ngx_rf_zone_free_value(zone, old_type, old);
}


/* a salvage finds a type only with its value, also where no undo log would put
 * back what was half done */

static void
ngx_rf_zone_put_value(ngx_rf_entry_t *e, ngx_rf_type_e type, void *value)
{
    if (type == NGX_RF_NONE) {
        e->type = type;
        ngx_memory_barrier();
        e->value = value;

    } else {
        e->value = value;
        ngx_memory_barrier();
        e->type = type;
    }

    ngx_memory_barrier();
}


void
ngx_rf_zone_publish_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, void *value)
{
    ngx_rf_blob_t     *old;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_save(zone, e, 0);

    old = e->value;

    sh->live += (type != NGX_RF_NONE);
    sh->live -= (e->type != NGX_RF_NONE);

    ngx_rf_zone_put_value(e, type, value);

    if (e->work->undo == 0
        || sh->undo[e->work->undo - 1].saved.value != old)
    {
        ngx_rf_zone_free_locked(zone, old);
    }
}


void
ngx_rf_zone_expire_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t expire)
{
    if (e->expire != expire) {
        ngx_rf_zone_save(zone, e, 0);
        ngx_rf_zone_place_expire(zone, e, expire);
    }
}


static void
ngx_rf_zone_place_expire(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t expire)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (e->expire == expire) {
        return;
    }

    if (e->expire) {
        ngx_rf_zone_due_unlink(sh, e);
    }

    e->expire = expire;

    if (expire) {
        ngx_rf_zone_due_link(sh, e);
    }
}


void
ngx_rf_zone_replaced_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_uint_t derived, int64_t now)
{
    ngx_rf_zone_save(zone, e, 0);

    if (e->pending != NGX_RF_REPLACE || !derived) {
        /* what it was replaced with before is not derived from anything */
        e->work->derived = derived;
    }

    if (e->pending == NGX_RF_CLEAN) {
        ngx_rf_zone_base(zone, e);
        zone->sh->npending++;

    } else if ((e->pending == NGX_RF_DELTA && e->work->nsent)
               || e->work->sent)
    {
        /* what was sent may have been applied */
        e->work->base = NGX_RF_BASE_UNKNOWN;
    }

    e->pending = NGX_RF_REPLACE;
    e->complete = 1;

    ngx_rf_zone_drop_changes(zone, e);
    ngx_rf_zone_changed(zone, e, now);
}


void
ngx_rf_zone_delta_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_zchange_t *change, ngx_uint_t compact, int64_t now)
{
    ngx_rf_undo_t     *u;
    ngx_rf_zchange_t  *old;

    if (e->pending == NGX_RF_REPLACE || ngx_rf_zone_restoring(zone->sh, e)) {
        ngx_rf_zone_free_locked(zone, change);
        ngx_rf_zone_replaced_locked(zone, e, 1, now);
        return;
    }

    ngx_rf_zone_save(zone, e, 0);

    if (e->pending == NGX_RF_CLEAN) {
        ngx_rf_zone_base(zone, e);
        e->pending = NGX_RF_DELTA;
        zone->sh->npending++;
    }

    u = e->work->undo ? &zone->sh->undo[e->work->undo - 1] : NULL;

    old = compact ? ngx_rf_zone_mergeable(e, compact) : NULL;

    if (old != NULL && u != NULL
        && (u->swapped || u->work.nchanges != e->work->nchanges))
    {
        /* the undo log knows one change per entry and command */
        old = NULL;
    }

    if (old == NULL) {
        change->prev = e->work->last_change;
        change->next = NULL;
        e->work->nchanges++;

    } else {
        change->prev = old->prev;
        change->next = old->next;

        if (u != NULL) {
            u->swapped = old;
        }
    }

    ngx_memory_barrier();

    if (change->prev) {
        change->prev->next = change;

    } else {
        e->work->changes = change;
    }

    if (change->next) {
        change->next->prev = change;

    } else {
        e->work->last_change = change;
    }

    if (old != NULL && u == NULL) {
        ngx_slab_free_locked(zone->shpool, old);
    }

    ngx_rf_zone_changed(zone, e, now);
}


void
ngx_rf_zone_cancel_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_zone_save(zone, e, 0);

    if (e->pending != NGX_RF_CLEAN) {
        e->pending = NGX_RF_CLEAN;
        e->whole = 0;
        e->changed = 0;
        zone->sh->npending--;

        ngx_rf_zone_drop_changes(zone, e);
    }

    e->work->base = NGX_RF_BASE_UNKNOWN;
    e->complete = 0;
    e->version = ++zone->sh->seq;

    ngx_rf_zone_requeue(zone, e);
    ngx_rf_zone_place(zone, e);
}


void
ngx_rf_zone_late_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_uint_t complete, int64_t seen)
{
    ngx_rf_zone_save(zone, e, 0);

    e->work->base = NGX_RF_BASE_UNKNOWN;
    e->complete = complete;
    e->seen = seen;

    /* the disk is to have it as well: there it says what is known, too */

    ngx_rf_zone_changed(zone, e, e->changed);
}


static void
ngx_rf_zone_changed(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, int64_t now)
{
    e->version = ++zone->sh->seq;
    e->changed = now;
    e->work->foreign = 0;
    e->work->taken = 0;
    e->work->acked = 0;

    ngx_rf_zone_requeue(zone, e);

    if (e->work->where == NGX_RF_DISK_UNLOGGED
        || e->work->where == NGX_RF_DISK_LOGGING)
    {
        /* to be journaled by this process, which may have to wait for it */
        ngx_rf_zone_unplace(zone, e);
    }

    ngx_rf_zone_place(zone, e);
}


ngx_rf_zchange_t *
ngx_rf_zone_change_locked(ngx_rf_zone_t *zone, ngx_uint_t argc,
    ngx_str_t *argv, ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    u_char            *p;
    size_t             size;
    uint32_t           len;
    ngx_uint_t         i;
    ngx_rf_zchange_t  *change;

    size = 0;

    for (i = 0; i < argc; i++) {
        size += sizeof(uint32_t) + argv[i].len;
    }

    change = ngx_rf_zone_alloc_locked(zone, ngx_rf_zchange_size(size), keep,
                                      nkeep);
    if (change == NULL) {
        return NULL;
    }

    change->next = NULL;
    change->prev = NULL;
    change->argc = argc;
    change->size = size;

    p = change->data;

    for (i = 0; i < argc; i++) {
        len = argv[i].len;
        p = ngx_cpymem(p, &len, sizeof(uint32_t));
        p = ngx_cpymem(p, argv[i].data, len);
    }

    return change;
}


ngx_rf_zchange_t *
ngx_rf_zone_mergeable(ngx_rf_entry_t *e, ngx_uint_t compact)
{
    if (e->work->nchanges < e->work->nsent + compact) {
        return NULL;
    }

    return compact == 2 ? e->work->last_change->prev : e->work->last_change;
}


ngx_int_t
ngx_rf_zone_change_str(ngx_rf_zchange_t *change, ngx_uint_t n, ngx_str_t *str)
{
    u_char    *p, *last;
    uint32_t   len;

    if (n >= change->argc) {
        return NGX_DECLINED;
    }

    p = change->data;
    last = p + change->size;

    while ((size_t) (last - p) >= sizeof(uint32_t)) {

        ngx_memcpy(&len, p, sizeof(uint32_t));
        p += sizeof(uint32_t);

        if (len > (size_t) (last - p)) {
            break;
        }

        if (n-- == 0) {
            str->len = len;
            str->data = p;
            return NGX_OK;
        }

        p += len;
    }

    return NGX_DECLINED;
}


void
ngx_rf_zone_seen_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, int64_t now)
{
    if (e->pending != NGX_RF_CLEAN) {
        return;
    }

    e->version = ++zone->sh->seq;
    e->run = zone->sh->run;
    e->seen = now;
    e->complete = 1;
    e->doubted = 0;
    e->touched = 0;

    ngx_rf_zone_requeue(zone, e);
}


void
ngx_rf_zone_last_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    if (e->pending == NGX_RF_CLEAN && !e->flying && !ngx_rf_zone_on_disk(e)) {
        ngx_rf_zone_line_remove(zone->sh, e);
        ngx_rf_zone_line_tail(zone->sh, NGX_RF_LINE_CLEAN, e);
    }
}
