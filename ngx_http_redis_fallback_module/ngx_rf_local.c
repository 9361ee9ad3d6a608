/*
 * The dispatcher: is this to be answered here, and by whom.
 *
 * Owns the hold of the lock and the transaction around a command.  Refuses to
 * know what any command does.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_command.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


/* due entries that each write removes on the way */
#define NGX_RF_LOCAL_SWEEP      2

/* a command with more arguments, or that is to pop more, is a long one */
#ifndef NGX_RF_LOCAL_LONG
#define NGX_RF_LOCAL_LONG       256
#endif

/* how often a long one is tried beside others that change its keys, before it
 * keeps the lock */
#define NGX_RF_LOCAL_TRIES      3

/* and a transaction with DBSIZE or its like, before it begins */
#define NGX_RF_LOCAL_SWEEP_ALL  10000


static ngx_int_t ngx_rf_local_allowed(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_local_all(ngx_rf_local_t *l,
    ngx_rf_local_part_t *parts, ngx_uint_t n);
static ngx_int_t ngx_rf_local_all_scope(ngx_rf_local_t *l,
    ngx_rf_local_part_t *parts, ngx_uint_t n);
static ngx_int_t ngx_rf_local_part(ngx_rf_local_t *l,
    ngx_rf_local_part_t *part, ngx_rf_reply_t *reply);
static ngx_uint_t ngx_rf_local_changes(ngx_rf_local_t *l,
    ngx_rf_local_part_t *parts, ngx_uint_t n);
static void ngx_rf_local_take(ngx_rf_local_t *l, ngx_rf_local_part_t *part,
    ngx_rf_local_t *one);
static void ngx_rf_local_clear(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_local_run(ngx_rf_local_t *l, ngx_rf_local_pt handler);
static ngx_int_t ngx_rf_local_write(ngx_rf_local_t *l,
    ngx_rf_local_pt handler);
static ngx_uint_t ngx_rf_local_long(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_local_slowly(ngx_rf_local_t *l,
    ngx_rf_local_pt handler);
static void ngx_rf_local_remember(ngx_rf_opened_t *o, ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_local_as_opened(ngx_rf_opened_t *o,
    ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_local_redis(ngx_rf_local_t *l, ngx_int_t rc,
    ngx_uint_t pending);
static ngx_int_t ngx_rf_local_scope(ngx_rf_local_t *l, ngx_uint_t *pending);
static ngx_int_t ngx_rf_local_scope_key(ngx_rf_local_t *l, ngx_uint_t i,
    ngx_uint_t *pending);
static ngx_uint_t ngx_rf_local_fresh(ngx_rf_local_t *l, ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_local_missing(ngx_rf_reply_t *reply);
static ngx_uint_t ngx_rf_local_keys(ngx_rf_local_t *l, ngx_uint_t *first,
    ngx_uint_t *step);
static ngx_int_t ngx_rf_local_server(ngx_rf_local_t *l);


ngx_int_t
ngx_rf_local_exec(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_rf_local_pt  handler;

    ngx_rf_local_clear(l);

    if (l->command->flags & NGX_RF_CMD_SERVER) {
        return ngx_rf_local_server(l);
    }

    handler = ngx_rf_local_handler(l->command->id);

    if (handler == NULL && l->scope != NGX_RF_SCOPE_PENDING) {
        return NGX_RF_NEED_REDIS;
    }

    if (l->command->first == 1) {

        /* before the lock is taken: others wait for that */

        l->hashed = &l->argv[1];

        if (!l->known) {
            l->hash = ngx_rf_zone_hash(l->zone->sh, l->hashed);
        }

        ngx_rf_zone_warm(l->zone, l->hash,
                         (l->lend && ngx_rf_zone_lends(l->zone))
                             ? NGX_RF_LOCAL_LEND : NGX_MAX_SIZE_T_VALUE);
    }

    ngx_rf_zone_lock(l->zone);

    rc = ngx_rf_local_allowed(l);

    if (rc == NGX_OK) {
        l->breathes = !(l->command->flags & NGX_RF_CMD_WRITE);
        rc = ngx_rf_local_run(l, handler);
    }

    if (l->pinned) {
        ngx_rf_zone_unpin_locked(l->zone);
    }

    ngx_rf_zone_unlock(l->zone);

    if (l->lent && rc != NGX_OK) {
        l->lent = 0;
        ngx_rf_zone_returned(l->zone);
    }

    return rc;
}


ngx_int_t
ngx_rf_local_exec_all(ngx_rf_local_t *l, ngx_rf_local_part_t *parts,
    ngx_uint_t n)
{
    ngx_int_t  rc;

    ngx_rf_local_clear(l);

    ngx_rf_zone_lock(l->zone);

    rc = ngx_rf_local_allowed(l);

    if (rc == NGX_OK) {
        rc = ngx_rf_local_all(l, parts, n);
    }

    ngx_rf_zone_unlock(l->zone);

    return rc;
}


/* whether the zone may still be asked: the mode is the one it was, and no newer
 * zone has taken over; or whether it may yet, and nobody asks an older one */

static ngx_int_t
ngx_rf_local_allowed(ngx_rf_local_t *l)
{
    ngx_uint_t         write;
    ngx_rf_zone_sh_t  *sh;

    if (l->guard && *l->guard != l->guard_value) {
        return NGX_RF_NEED_RETRY;
    }

    sh = l->zone->sh;
    write = l->command->flags & NGX_RF_CMD_WRITE;

    if (sh->superseded == 1
        && (write || (sh->overlap && !ngx_rf_zone_overlaps(sh))))
    {
        /* What is pending was carried over already: nobody would replay it,
         * and there it may have changed.  In a recovery it is not for Redis
         * either: what the newer zone holds pending of this key would be
         * replayed over it. */

        return (l->scope == NGX_RF_SCOPE_PENDING) ? NGX_RF_NEED_WAIT
                                                  : NGX_RF_NEED_REDIS;
    }

    if (write && sh->superseded == 0 && ngx_rf_zone_overlaps(sh)) {
        return NGX_RF_NEED_WAIT;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_local_all(ngx_rf_local_t *l, ngx_rf_local_part_t *parts, ngx_uint_t n)
{
    uint64_t         seq;
    ngx_int_t        rc;
    ngx_uint_t       i, due;
    ngx_rf_reply_t  *elts;

    elts = ngx_rf_local_array(l, n);
    if (elts == NULL) {
        return NGX_ERROR;
    }

    if (l->scope == NGX_RF_SCOPE_PENDING) {
        rc = ngx_rf_local_all_scope(l, parts, n);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    due = NGX_RF_LOCAL_SWEEP;

    for (i = 0; i < n; i++) {
        if (parts[i].command->flags & NGX_RF_CMD_KEYSPACE) {
            due = NGX_RF_LOCAL_SWEEP_ALL;
        }
    }

    ngx_rf_zone_sweep_locked(l->zone, l->now, due);

    rc = ngx_rf_zone_begin_locked(l->zone, ngx_rf_local_changes(l, parts, n));

    if (rc != NGX_OK) {
        return rc;
    }

    seq = l->zone->sh->seq;

    for (i = 0; i < n; i++) {
        ngx_rf_zone_savepoint_locked(l->zone);

        rc = ngx_rf_local_part(l, &parts[i], &elts[i]);

        if (rc != NGX_OK) {
            l->version = 0;
            ngx_rf_zone_rollback_locked(l->zone);
            return rc;
        }

        if (elts[i].type == NGX_RF_REPLY_ERROR) {
            ngx_rf_zone_rollback_to_locked(l->zone);
        }
    }

    ngx_rf_zone_group_locked(l->zone, seq);
    ngx_rf_zone_commit_locked(l->zone);

    return NGX_OK;
}


/* what is about all keys is Redis' to answer, once it knows all of them */

static ngx_int_t
ngx_rf_local_all_scope(ngx_rf_local_t *l, ngx_rf_local_part_t *parts,
    ngx_uint_t n)
{
    ngx_int_t       rc;
    ngx_uint_t      p, i, nkeys, step, is, pending, other;
    ngx_rf_local_t  one;

    pending = 0;
    other = 0;

    for (p = 0; p < n; p++) {

        if (parts[p].command->flags & NGX_RF_CMD_SERVER) {
            continue;
        }

        ngx_rf_local_take(l, &parts[p], &one);

        nkeys = ngx_rf_local_keys(&one, &i, &step);

        if (nkeys == 0 || ngx_rf_local_handler(one.command->id) == NULL) {
            other = 1;
        }

        for ( /* void */ ; nkeys; nkeys--, i += step) {

            rc = ngx_rf_local_scope_key(&one, i, &is);

            if (rc != NGX_OK) {
                l->need = parts[p].first + one.need;
                return rc;
            }

            if (!is) {
                other = 1;

            } else if (pending == 0) {
                pending = parts[p].first + i;
            }
        }
    }

    if (!other) {
        return NGX_OK;
    }

    if (pending == 0) {
        return NGX_RF_NEED_REDIS;
    }

    l->need = pending;

    return NGX_RF_NEED_WAIT;
}


static ngx_int_t
ngx_rf_local_part(ngx_rf_local_t *l, ngx_rf_local_part_t *part,
    ngx_rf_reply_t *reply)
{
    ngx_int_t        rc;
    ngx_uint_t       pending;
    ngx_rf_local_t   one;
    ngx_rf_local_pt  handler;

    ngx_rf_local_take(l, part, &one);

    handler = ngx_rf_local_handler(one.command->id);

    if (one.command->flags & NGX_RF_CMD_SERVER) {
        rc = ngx_rf_local_server(&one);

    } else if (handler == NULL) {
        rc = NGX_RF_NEED_REDIS;

    } else {
        rc = ngx_rf_local_scope(&one, &pending);

        if (rc == NGX_OK) {
            rc = ngx_rf_local_redis(&one, handler(&one), pending);
        }
    }

    if (rc != NGX_OK) {
        l->command = one.command;
        l->need = part->first + one.need;
        return rc;
    }

    *reply = *one.reply;

    if (reply->type != NGX_RF_REPLY_ERROR && one.version) {
        l->version = one.version;
    }

    l->unknown |= one.unknown;

    return NGX_OK;
}


/* the most that can change, one entry for each key of each command: reading
 * one that has expired changes it as well */

static ngx_uint_t
ngx_rf_local_changes(ngx_rf_local_t *l, ngx_rf_local_part_t *parts,
    ngx_uint_t n)
{
    ngx_uint_t      i, first, step, changes;
    ngx_rf_local_t  one;

    changes = 0;

    for (i = 0; i < n; i++) {
        ngx_rf_local_take(l, &parts[i], &one);
        changes += ngx_rf_local_keys(&one, &first, &step);
    }

    return changes;
}


static void
ngx_rf_local_take(ngx_rf_local_t *l, ngx_rf_local_part_t *part,
    ngx_rf_local_t *one)
{
    *one = *l;

    one->command = part->command;
    one->argc = part->argc;
    one->argv = &l->argv[part->first];
    one->read = l->read ? &l->read[part->first] : NULL;

    ngx_rf_local_clear(one);
}


static void
ngx_rf_local_clear(ngx_rf_local_t *l)
{
    l->reply = NULL;
    l->need = 0;
    l->version = 0;
    l->unknown = 0;
    l->lent = 0;

    l->hashed = NULL;
    l->breathes = 0;
    l->pinned = 0;
    l->lost = 0;
    l->slow = 0;
    l->breath = 0;
}


ngx_rf_local_pt
ngx_rf_local_handler(ngx_rf_command_e id)
{
    ngx_rf_local_pt  handler;

    if (id >= NGX_RF_CMD_ZADD) {
        return ngx_rf_zset_handler(id);
    }

    if (id >= NGX_RF_CMD_SADD) {
        return ngx_rf_set_handler(id);
    }

    if (id >= NGX_RF_CMD_LPUSH) {
        return ngx_rf_list_handler(id);
    }

    if (id >= NGX_RF_CMD_HSET) {
        return ngx_rf_hash_handler(id);
    }

    handler = ngx_rf_string_handler(id);

    return handler ? handler : ngx_rf_keyspace_handler(id);
}


static ngx_int_t
ngx_rf_local_run(ngx_rf_local_t *l, ngx_rf_local_pt handler)
{
    ngx_int_t   rc;
    ngx_uint_t  pending;

    if (handler != NULL && (l->command->flags & NGX_RF_CMD_WRITE)) {
        return ngx_rf_local_write(l, handler);
    }

    rc = ngx_rf_local_scope(l, &pending);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = handler ? handler(l) : NGX_RF_NEED_REDIS;

    if (rc == NGX_OK && l->partial && ngx_rf_local_missing(l->reply)) {
        return NGX_RF_NEED_REDIS;
    }

    return ngx_rf_local_redis(l, rc, pending);
}


/* an element that is not known may be there */

static ngx_uint_t
ngx_rf_local_missing(ngx_rf_reply_t *reply)
{
    ngx_uint_t  i;

    for (i = 0; i < reply->nelts; i++) {
        if (ngx_rf_local_missing(&reply->elts[i])) {
            return 1;
        }
    }

    return reply->type == NGX_RF_REPLY_NIL
           || (reply->type == NGX_RF_REPLY_INTEGER && reply->integer == 0);
}


static ngx_int_t
ngx_rf_local_write(ngx_rf_local_t *l, ngx_rf_local_pt handler)
{
    ngx_int_t   rc;
    ngx_uint_t  first, step, pending, tries;

    if (l->scope == NGX_RF_SCOPE_FRESH) {
        return NGX_RF_NEED_REDIS;
    }

    ngx_rf_zone_sweep_locked(l->zone, l->now, NGX_RF_LOCAL_SWEEP);

    if (ngx_rf_local_long(l)) {

        for (tries = NGX_RF_LOCAL_TRIES; tries; tries--) {
            rc = ngx_rf_local_slowly(l, handler);

            if (rc != NGX_BUSY) {
                return rc;
            }
        }
    }

    /* before anything is looked up: making room for the log may evict */

    rc = ngx_rf_zone_begin_locked(l->zone,
                                  ngx_rf_local_keys(l, &first, &step));
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_rf_local_scope(l, &pending);

    if (rc == NGX_OK) {
        rc = ngx_rf_local_redis(l, handler(l), pending);
    }

    if (rc == NGX_OK && l->reply->type != NGX_RF_REPLY_ERROR) {
        ngx_rf_zone_commit_locked(l->zone);

    } else {
        l->version = 0;
        ngx_rf_zone_rollback_locked(l->zone);
    }

    return rc;
}


/* whether a command may change so much that it takes longer than the lock is to
 * be held */

static ngx_uint_t
ngx_rf_local_long(ngx_rf_local_t *l)
{
    int64_t  n;

    switch (l->command->id) {

    case NGX_RF_CMD_COPY:
    case NGX_RF_CMD_LREM:
    case NGX_RF_CMD_LINSERT:
    case NGX_RF_CMD_SINTERSTORE:
    case NGX_RF_CMD_SUNIONSTORE:
    case NGX_RF_CMD_SDIFFSTORE:
    case NGX_RF_CMD_ZREMRANGEBYSCORE:
    case NGX_RF_CMD_ZREMRANGEBYRANK:
    case NGX_RF_CMD_ZREMRANGEBYLEX:
        return 1;

    case NGX_RF_CMD_LPOP:
    case NGX_RF_CMD_RPOP:
    case NGX_RF_CMD_SPOP:
    case NGX_RF_CMD_ZPOPMIN:
    case NGX_RF_CMD_ZPOPMAX:
        return l->argc == 3
               && ngx_rf_local_number(&l->argv[2], &n) == NGX_OK
               && n > NGX_RF_LOCAL_LONG;

    default:
        return l->command->id >= NGX_RF_CMD_HSET
               && l->argc > NGX_RF_LOCAL_LONG;
    }
}


/*
 * The command does its work beside what is published until it settles.
 * NGX_BUSY: it is to be done again, or in one hold of the lock: its keys have
 * changed meanwhile, or there is no memory without evicting something.
 */

static ngx_int_t
ngx_rf_local_slowly(ngx_rf_local_t *l, ngx_rf_local_pt handler)
{
    ngx_int_t   rc;
    ngx_uint_t  first, step, pending;

    l->nopened = 0;
    l->opened = ngx_palloc(l->pool, (ngx_rf_local_keys(l, &first, &step) + 2)
                                    * sizeof(ngx_rf_opened_t));

    if (l->opened == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_rf_local_scope(l, &pending);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_rf_zone_prepare_locked(l->zone)) {
        return NGX_BUSY;
    }

    l->slow = 1;
    l->breathes = 1;
    l->pinned = 1;
    l->lost = 0;
    l->breath = 0;

    rc = ngx_rf_local_redis(l, handler(l), pending);

    if (l->slow) {

        /* nothing of it is in the zone */

        l->version = 0;

        if (rc == NGX_RF_NEED_ROOM) {
            rc = NGX_BUSY;
        }

    } else if (rc == NGX_OK && l->reply->type != NGX_RF_REPLY_ERROR) {
        ngx_rf_zone_commit_locked(l->zone);

    } else {
        l->version = 0;
        ngx_rf_zone_rollback_locked(l->zone);
    }

    l->slow = 0;
    l->breathes = 0;
    l->pinned = 0;

    ngx_rf_zone_unprepare_locked(l->zone, l->lost);

    return rc;
}


void
ngx_rf_local_opened(ngx_rf_local_t *l, ngx_str_t *key, ngx_rf_entry_t *e)
{
    ngx_rf_opened_t  *o;

    if (!l->slow) {
        return;
    }

    o = &l->opened[l->nopened++];

    ngx_rf_local_remember(o, e);
    o->key = key;
}


static void
ngx_rf_local_remember(ngx_rf_opened_t *o, ngx_rf_entry_t *e)
{
    ngx_rf_content_t  *content;

    ngx_memzero(o, sizeof(ngx_rf_opened_t));

    if (e == NULL) {
        return;
    }

    o->version = e->version;
    o->changes = e->work->changes;
    o->last_change = e->work->last_change;
    o->nsent = e->work->nsent;
    o->complete = e->complete;

    if (e->type != NGX_RF_NONE && e->type != NGX_RF_STRING) {
        content = ngx_rf_zone_content(e);
        o->roots[0] = content->elts.root;
        o->roots[1] = content->order.root;
    }
}


static ngx_uint_t
ngx_rf_local_as_opened(ngx_rf_opened_t *o, ngx_rf_entry_t *e)
{
    ngx_rf_opened_t  now;

    ngx_rf_local_remember(&now, e);

    return now.version == o->version
           && now.changes == o->changes
           && now.last_change == o->last_change
           && now.roots[0] == o->roots[0]
           && now.roots[1] == o->roots[1]
           && now.nsent == o->nsent
           && now.complete == o->complete
           && (e == NULL || !e->flying);
}


ngx_int_t
ngx_rf_local_settle(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_uint_t       i, pending;
    ngx_rf_entry_t  *e;

    if (!l->slow) {
        return NGX_OK;
    }

    /* all that was decided may have changed since */

    rc = ngx_rf_local_allowed(l);

    if (rc == NGX_OK) {
        rc = ngx_rf_local_scope(l, &pending);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < l->nopened; i++) {
        e = ngx_rf_zone_lookup_locked(l->zone, l->opened[i].key);

        if (!ngx_rf_local_as_opened(&l->opened[i], e)) {
            return NGX_BUSY;
        }
    }

    rc = ngx_rf_zone_begin_locked(l->zone, l->nopened + 1);

    if (rc != NGX_OK) {
        return rc;
    }

    l->slow = 0;
    l->breathes = 0;

    for (i = 0; i < l->nopened; i++) {
        e = ngx_rf_zone_lookup_locked(l->zone, l->opened[i].key);

        if (e == NULL) {
            continue;
        }

        if (l->opened[i].version != e->version) {
            return NGX_BUSY;
        }

        ngx_rf_zone_keep_locked(l->zone, e);
    }

    return NGX_OK;
}


/* what only Redis can do waits until it knows the key as it is here */

static ngx_int_t
ngx_rf_local_redis(ngx_rf_local_t *l, ngx_int_t rc, ngx_uint_t pending)
{
    if (rc != NGX_RF_NEED_REDIS
        || l->scope != NGX_RF_SCOPE_PENDING || pending == 0)
    {
        return rc;
    }

    l->need = pending;

    return NGX_RF_NEED_WAIT;
}


/* "pending" is the index of the first key that is, 0: none */

static ngx_int_t
ngx_rf_local_scope(ngx_rf_local_t *l, ngx_uint_t *pending)
{
    ngx_int_t   rc;
    ngx_uint_t  i, n, nkeys, step, npending, is;

    *pending = 0;
    l->partial = 0;

    nkeys = ngx_rf_local_keys(l, &i, &step);

    if (nkeys == 0) {
        return l->scope == NGX_RF_SCOPE_ANY ? NGX_OK : NGX_RF_NEED_REDIS;
    }

    npending = 0;

    for (n = 0; n < nkeys; n++, i += step) {

        rc = ngx_rf_local_scope_key(l, i, &is);

        if (rc != NGX_OK) {
            return rc;
        }

        npending += is;

        if (is && *pending == 0) {
            *pending = i;
        }
    }

    if (l->scope != NGX_RF_SCOPE_PENDING || npending == n) {
        return NGX_OK;
    }

    if (npending == 0) {
        return NGX_RF_NEED_REDIS;
    }

    l->need = *pending;

    return NGX_RF_NEED_WAIT;
}


static ngx_int_t
ngx_rf_local_scope_key(ngx_rf_local_t *l, ngx_uint_t i, ngx_uint_t *pending)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_local_lookup(l, &l->argv[i]);

    if (e == NULL) {
        if (l->files && (l->read == NULL || !l->read[i])) {
            l->need = i;
            return NGX_RF_NEED_FILE;
        }

    } else if (!e->flying) {
        e = ngx_rf_zone_found_locked(l->zone, e, l->now);

    } else if (l->command->flags & NGX_RF_CMD_WRITE) {
        l->need = i;
        return NGX_RF_NEED_WAIT;
    }

    *pending = e != NULL
               && (e->pending != NGX_RF_CLEAN
                   || ngx_rf_zone_restoring(l->zone->sh, e));

    if (l->scope == NGX_RF_SCOPE_PENDING
        && (l->command->flags & NGX_RF_CMD_WRITE)
        && !*pending && e != NULL
        && ngx_rf_zone_unacked(l->zone->sh, e))
    {
        /* acknowledged, which the disk does not know yet: if this write went
         * to Redis and nginx crashed now, what was would be replayed over it */

        l->need = i;
        return NGX_RF_NEED_WAIT;
    }

    if (l->scope == NGX_RF_SCOPE_FRESH
        && !*pending && !ngx_rf_local_fresh(l, e))
    {
        return NGX_RF_NEED_REDIS;
    }

    if (!ngx_rf_zone_known(e)) {
        l->unknown = 1;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_rf_local_fresh(ngx_rf_local_t *l, ngx_rf_entry_t *e)
{
    if (e == NULL || e->run != l->zone->sh->run) {
        return 0;
    }

    if (!e->complete) {
        l->partial = 1;

        return l->vouched
               && e->type != NGX_RF_NONE
               && ngx_rf_command_by_element(l->command->id)
               && ngx_rf_zone_vouched_locked(l->zone, e);
    }

    return l->vouched ? ngx_rf_zone_vouched_locked(l->zone, e)
                      : l->now - e->seen <= l->max_age && !e->touched;
}


/* how many keys, the position of the first, and from one to the next */

static ngx_uint_t
ngx_rf_local_keys(ngx_rf_local_t *l, ngx_uint_t *first, ngx_uint_t *step)
{
    int64_t    n;
    ngx_int_t  last;

    if (l->command->id == NGX_RF_CMD_SINTERCARD) {

        /* SINTERCARD numkeys key ...; where the number is wrong it is an error
         * whatever the keys hold */

        if (ngx_rf_local_number(&l->argv[1], &n) != NGX_OK
            || n < 1 || n > (int64_t) l->argc - 2)
        {
            return 0;
        }

        *first = 2;
        *step = 1;

        return n;
    }

    if (l->command->first <= 0) {
        return 0;
    }

    *first = l->command->first;
    *step = l->command->step;

    last = l->command->last;

    if (last < 0) {
        last += l->argc;
    }

    last = ngx_min(last, (ngx_int_t) l->argc - 1);

    return last < (ngx_int_t) *first ? 0 : (last - *first) / *step + 1;
}


/* what needs neither a key nor Redis */

static ngx_int_t
ngx_rf_local_server(ngx_rf_local_t *l)
{
    u_char           buf[NGX_INT64_LEN], *p;
    ngx_rf_reply_t  *elts;
    struct timeval   tv;

    switch (l->command->id) {

    case NGX_RF_CMD_PING:
        if (l->argc > 2) {
            return ngx_rf_local_error(l, "ERR wrong number of arguments for "
                                      "'ping' command");
        }

        if (l->argc == 1) {
            return ngx_rf_local_status(l, "PONG");
        }

        return ngx_rf_local_string(l, l->argv[1].data, l->argv[1].len);

    case NGX_RF_CMD_ECHO:
        return ngx_rf_local_string(l, l->argv[1].data, l->argv[1].len);

    case NGX_RF_CMD_TIME:
        ngx_gettimeofday(&tv);

        elts = ngx_rf_local_array(l, 2);
        if (elts == NULL) {
            return NGX_ERROR;
        }

        p = ngx_sprintf(buf, "%T", tv.tv_sec);
        if (ngx_rf_local_element(l, &elts[0], buf, p - buf) != NGX_OK) {
            return NGX_ERROR;
        }

        p = ngx_sprintf(buf, "%uL", (uint64_t) tv.tv_usec);
        return ngx_rf_local_element(l, &elts[1], buf, p - buf);

    default:
        return NGX_RF_NEED_REDIS;
    }
}
