/*
 * The dispatcher: is this to be answered here, and by whom.
 *
 * Owns the hold of the lock and the transaction around a command.  Refuses to
 * know what any command does.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


/* due entries that each write removes on the way */
#define NGX_RF_LOCAL_SWEEP      2


static ngx_int_t ngx_rf_local_run(ngx_rf_local_t *l, ngx_rf_local_pt handler);
static ngx_int_t ngx_rf_local_write(ngx_rf_local_t *l,
    ngx_rf_local_pt handler);
static ngx_int_t ngx_rf_local_redis(ngx_rf_local_t *l, ngx_int_t rc,
    ngx_uint_t pending);
static ngx_int_t ngx_rf_local_scope(ngx_rf_local_t *l, ngx_uint_t *pending);
static ngx_int_t ngx_rf_local_scope_key(ngx_rf_local_t *l, ngx_uint_t i,
    ngx_uint_t *pending);
static ngx_uint_t ngx_rf_local_fresh(ngx_rf_local_t *l, ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_local_last(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_local_server(ngx_rf_local_t *l);


ngx_int_t
ngx_rf_local_exec(ngx_rf_local_t *l)
{
    ngx_int_t        rc;
    ngx_rf_local_pt  handler;

    l->reply = NULL;
    l->need = 0;
    l->version = 0;
    l->unknown = 0;

    if (l->command->flags & NGX_RF_CMD_SERVER) {
        return ngx_rf_local_server(l);
    }

    handler = ngx_rf_string_handler(l->command->id);

    if (handler == NULL) {
        handler = ngx_rf_keyspace_handler(l->command->id);
    }

    if (handler == NULL && l->scope != NGX_RF_SCOPE_PENDING) {
        return NGX_RF_NEED_REDIS;
    }

    ngx_rf_zone_lock(l->zone);

    if (l->guard && *l->guard != l->guard_value) {
        rc = NGX_RF_NEED_RETRY;

    } else if (l->zone->sh->superseded == 1
               && (l->command->flags & NGX_RF_CMD_WRITE))
    {
        /* What is pending was carried over already: nobody would replay it.
         * In a recovery it is not for Redis either: what the newer zone holds
         * pending of this key would be replayed over it. */

        rc = (l->scope == NGX_RF_SCOPE_PENDING) ? NGX_RF_NEED_WAIT
                                                : NGX_RF_NEED_REDIS;

    } else {
        rc = ngx_rf_local_run(l, handler);
    }

    ngx_rf_zone_unlock(l->zone);

    return rc;
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

    return ngx_rf_local_redis(l, rc, pending);
}


static ngx_int_t
ngx_rf_local_write(ngx_rf_local_t *l, ngx_rf_local_pt handler)
{
    ngx_int_t   rc;
    ngx_uint_t  pending;

    if (l->scope == NGX_RF_SCOPE_FRESH) {
        return NGX_RF_NEED_REDIS;
    }

    ngx_rf_zone_sweep_locked(l->zone, l->now, NGX_RF_LOCAL_SWEEP);

    /* before anything is looked up: making room for the log may evict */

    rc = ngx_rf_zone_begin_locked(l->zone, (ngx_rf_local_last(l)
                                            - l->command->first)
                                           / l->command->step + 1);
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
    ngx_int_t   rc, i, last;
    ngx_uint_t  n, npending, is;

    *pending = 0;

    if (l->command->first == 0) {
        return l->scope == NGX_RF_SCOPE_ANY ? NGX_OK : NGX_RF_NEED_REDIS;
    }

    n = 0;
    npending = 0;
    last = ngx_rf_local_last(l);

    for (i = l->command->first; i <= last; i += l->command->step) {

        rc = ngx_rf_local_scope_key(l, i, &is);

        if (rc != NGX_OK) {
            return rc;
        }

        n++;
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

    e = ngx_rf_zone_lookup_locked(l->zone, &l->argv[i]);

    if (e == NULL) {
        if (l->files && (l->read == NULL || !l->read[i])) {
            l->need = i;
            return NGX_RF_NEED_FILE;
        }

    } else if (!e->flying) {
        e = ngx_rf_local_find(l, &l->argv[i]);

    } else if (l->command->flags & NGX_RF_CMD_WRITE) {
        l->need = i;
        return NGX_RF_NEED_WAIT;
    }

    *pending = e != NULL
               && (e->pending != NGX_RF_CLEAN
                   || ngx_rf_zone_restoring(l->zone->sh, e));

    if (l->scope == NGX_RF_SCOPE_PENDING
        && (l->command->flags & NGX_RF_CMD_WRITE)
        && !*pending && e != NULL && (e->file_version || e->writer))
    {
        /* acknowledged, and its file still there: if this write went to Redis
         * and nginx crashed now, the file would be replayed over it */

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
    return e != NULL
           && e->complete
           && e->run == l->zone->sh->run
           && l->now - e->seen <= l->max_age;
}


/* the position of the last key */

static ngx_int_t
ngx_rf_local_last(ngx_rf_local_t *l)
{
    ngx_int_t  last;

    last = l->command->last;

    if (last < 0) {
        last += l->argc;
    }

    return ngx_min(last, (ngx_int_t) l->argc - 1);
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
