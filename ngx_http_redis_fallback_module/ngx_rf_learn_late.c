/*
 * What memory learns of a key that has become pending since the command was
 * sent: Redis executed it before the local changes, which are replayed later,
 * but acknowledged it after them.
 *
 * A DELTA keeps its changes, and what memory knows below them becomes what
 * Redis has now.  Where that cannot be said, only what was put in here is kept,
 * and the key is known in part, so that no local change is taken for one that
 * changes nothing.
 *
 * A REPLACE that did not depend on what the key held comes after the command as
 * it is.  One that did came before it: then the command is executed here too,
 * or the replay would undo it.
 *
 * What was pending elsewhere before the command was sent, and came from the
 * disk or another instance since, gives way to it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_learn_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


/* what one reply says; the undo log is open */
typedef struct {
    ngx_rf_local_t        local;
    ngx_rf_entry_t       *entry;
    ngx_str_t            *key;
    ngx_str_t            *value;
    int64_t               expire;
} ngx_rf_late_t;

/* NGX_OK; anything else: it cannot be said what the key is */
typedef ngx_int_t (*ngx_rf_late_pt)(ngx_rf_learn_t *ln, ngx_rf_late_t *late);


static void ngx_rf_learn_late(ngx_rf_learn_t *ln, ngx_rf_late_t *late,
    ngx_rf_late_pt handler);
static void ngx_rf_learn_late_replaced(ngx_rf_learn_t *ln,
    ngx_rf_late_t *late);
static ngx_uint_t ngx_rf_learn_late_applied(ngx_rf_learn_t *ln);
static ngx_int_t ngx_rf_late_put(ngx_rf_learn_t *ln, ngx_rf_late_t *late);
static ngx_int_t ngx_rf_late_append(ngx_rf_learn_t *ln, ngx_rf_late_t *late);
static ngx_int_t ngx_rf_late_expire(ngx_rf_learn_t *ln, ngx_rf_late_t *late);
static ngx_int_t ngx_rf_late_some(ngx_rf_learn_t *ln, ngx_rf_late_t *late);
static ngx_int_t ngx_rf_late_push(ngx_rf_learn_t *ln, ngx_rf_late_t *late);
static ngx_int_t ngx_rf_late_unknown(ngx_rf_learn_t *ln, ngx_rf_late_t *late);
static ngx_int_t ngx_rf_late_redo(ngx_rf_late_t *late, ngx_str_t *value);
static ngx_int_t ngx_rf_late_redo_one(ngx_rf_late_t *late,
    ngx_rf_zchange_t *c);
static ngx_int_t ngx_rf_late_rebuild(ngx_rf_late_t *late);
static ngx_int_t ngx_rf_late_lines(ngx_rf_late_t *late, ngx_rf_coll_t *c,
    ngx_rf_zdelta_t *delta);
static ngx_int_t ngx_rf_late_line(ngx_rf_late_t *late, ngx_rf_coll_t *c,
    ngx_rf_elt_t *line);
static ngx_uint_t ngx_rf_late_one_delta(ngx_rf_entry_t *e,
    ngx_rf_coll_t *c);


void
ngx_rf_learn_late_put(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_str_t *value,
    int64_t expire)
{
    ngx_rf_late_t  late;

    late.key = key;
    late.value = value;
    late.expire = expire;

    ngx_rf_learn_late(ln, &late, ngx_rf_late_put);
}


void
ngx_rf_learn_late_append(ngx_rf_learn_t *ln)
{
    ngx_rf_late_t  late;

    late.key = &ln->argv[1];

    ngx_rf_learn_late(ln, &late, ngx_rf_late_append);
}


void
ngx_rf_learn_late_expire(ngx_rf_learn_t *ln, int64_t expire)
{
    ngx_rf_late_t  late;

    late.key = &ln->argv[1];
    late.expire = expire;

    ngx_rf_learn_late(ln, &late, ngx_rf_late_expire);
}


void
ngx_rf_learn_late_some(ngx_rf_learn_t *ln)
{
    ngx_rf_late_t  late;

    late.key = &ln->argv[1];

    ngx_rf_learn_late(ln, &late, ngx_rf_late_some);
}


void
ngx_rf_learn_late_push(ngx_rf_learn_t *ln)
{
    ngx_rf_late_t  late;

    late.key = &ln->argv[1];

    ngx_rf_learn_late(ln, &late, ngx_rf_late_push);
}


void
ngx_rf_learn_late_forget(ngx_rf_learn_t *ln, ngx_str_t *key)
{
    ngx_rf_late_t  late;

    late.key = key;

    ngx_rf_learn_late(ln, &late, ngx_rf_late_unknown);
}


static void
ngx_rf_learn_late(ngx_rf_learn_t *ln, ngx_rf_late_t *late,
    ngx_rf_late_pt handler)
{
    int64_t          seen;
    ngx_uint_t       complete;
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_lookup_locked(ln->zone, late->key);

    if (e == NULL || e->pending == NGX_RF_CLEAN
        || !(ln->command->flags & NGX_RF_CMD_WRITE))
    {
        return;
    }

    if (e->flying) {
        e->work->late = 1;
        return;
    }

    if (ngx_rf_learn_told(ln, late->key)) {
        return;
    }

    late->entry = e;
    ngx_rf_learn_local(ln, &late->local);

    if (e->pending == NGX_RF_REPLACE) {
        ngx_rf_learn_late_replaced(ln, late);
        return;
    }

    seen = e->complete ? e->seen : ln->sent;

    (void) ngx_rf_zone_begin_locked(ln->zone, 0);
    ngx_rf_zone_keep_locked(ln->zone, e);

    if (handler(ln, late) == NGX_OK) {
        complete = e->complete;

    } else {
        ngx_rf_zone_rollback_locked(ln->zone);

        (void) ngx_rf_zone_begin_locked(ln->zone, 0);
        ngx_rf_zone_keep_locked(ln->zone, e);

        complete = 0;

        if (ngx_rf_late_unknown(ln, late) != NGX_OK) {
            /* no room: reads are outdated then, but nothing is lost */
            ngx_rf_zone_rollback_locked(ln->zone);
            (void) ngx_rf_zone_begin_locked(ln->zone, 0);
        }
    }

    ngx_rf_zone_late_locked(ln->zone, e, complete,
                            complete ? seen : ln->sent);

    ngx_rf_zone_commit_locked(ln->zone);
}


static void
ngx_rf_learn_late_replaced(ngx_rf_learn_t *ln, ngx_rf_late_t *late)
{
    ngx_rf_entry_t  *e;
    ngx_rf_local_t  *l;

    e = late->entry;
    l = &late->local;

    /* what Redis held then is not what it holds now, by a change of our own */
    e->work->base = NGX_RF_BASE_UNKNOWN;

    if (!e->work->derived || ln->command->first != 1 || ln->command->last != 1
        || ngx_rf_local_handler(ln->id) == NULL
        || !ngx_rf_learn_late_applied(ln)
        || ngx_rf_zone_begin_locked(ln->zone, 1) != NGX_OK)
    {
        return;
    }

    l->mirror = 0;

    if (ngx_rf_local_handler(ln->id)(l) == NGX_OK
        && l->reply->type != NGX_RF_REPLY_ERROR)
    {
        ngx_rf_zone_commit_locked(ln->zone);

    } else {
        ngx_rf_zone_rollback_locked(ln->zone);
    }
}


/* a command with a condition that did not hold has changed nothing */

static ngx_uint_t
ngx_rf_learn_late_applied(ngx_rf_learn_t *ln)
{
    switch (ln->id) {

    case NGX_RF_CMD_HSETNX:
    case NGX_RF_CMD_LPUSHX:
    case NGX_RF_CMD_RPUSHX:
    case NGX_RF_CMD_LINSERT:
    case NGX_RF_CMD_EXPIRE:
    case NGX_RF_CMD_PEXPIRE:
    case NGX_RF_CMD_EXPIREAT:
    case NGX_RF_CMD_PEXPIREAT:
        return ln->reply->integer > 0;

    default:
        return 1;
    }
}


static ngx_int_t
ngx_rf_late_put(ngx_rf_learn_t *ln, ngx_rf_late_t *late)
{
    ngx_int_t        rc;
    ngx_rf_entry_t  *e;

    e = late->entry;

    if (e->type != NGX_RF_STRING && e->type != NGX_RF_NONE) {
        return NGX_DECLINED;
    }

    rc = ngx_rf_late_redo(late, late->value);

    if (rc == NGX_OK && !ngx_rf_zone_expires_locally(e)) {
        ngx_rf_zone_expire_locked(ln->zone, e, late->expire);
    }

    e->complete = 1;

    return rc;
}


/* where all that was done here is to append as well, it is at the end */

static ngx_int_t
ngx_rf_late_append(ngx_rf_learn_t *ln, ngx_rf_late_t *late)
{
    size_t             added, len;
    ngx_int_t          rc;
    ngx_str_t          str, value, *part;
    ngx_uint_t         complete;
    ngx_rf_entry_t    *e;
    ngx_rf_zchange_t  *c;

    e = late->entry;
    part = &ln->argv[2];
    complete = e->complete;
    added = 0;

    if (e->type != NGX_RF_STRING) {
        return NGX_DECLINED;
    }

    for (c = e->work->changes; c; c = c->next) {

        if (ngx_rf_zone_about_expiry(c)) {
            continue;
        }

        if (ngx_rf_zone_change_str(c, 0, &str) != NGX_OK
            || !ngx_rf_local_is(&str, "append")
            || ngx_rf_zone_change_str(c, 1, &str) != NGX_OK)
        {
            return NGX_DECLINED;
        }

        added += str.len;
    }

    if (e->value->len < added
        || ln->reply->integer != (int64_t) (e->value->len - added + part->len))
    {
        return NGX_DECLINED;
    }

    len = e->value->len - added;

    value.len = len + part->len;
    value.data = ngx_pnalloc(ln->pool, value.len + 1);

    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(value.data, e->value->data, len), part->data,
               part->len);

    rc = ngx_rf_late_redo(late, &value);

    e->complete = complete;

    return rc;
}


static ngx_int_t
ngx_rf_late_expire(ngx_rf_learn_t *ln, ngx_rf_late_t *late)
{
    if (!ngx_rf_zone_expires_locally(late->entry)) {
        ngx_rf_zone_expire_locked(ln->zone, late->entry, late->expire);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_late_some(ngx_rf_learn_t *ln, ngx_rf_late_t *late)
{
    ngx_int_t        rc;
    ngx_rf_coll_t    c;
    ngx_rf_local_t  *l;
    ngx_rf_entry_t  *e;

    e = late->entry;
    l = &late->local;

    if (ln->id == NGX_RF_CMD_HSETNX && ln->reply->integer == 0) {
        return NGX_OK;
    }

    /* with conditions a ZADD may have done something else */

    if (ln->id == NGX_RF_CMD_ZADD && ln->argc != 4) {
        return NGX_DECLINED;
    }

    l->late = 1;

    rc = ngx_rf_coll_open(l, late->key, ngx_rf_learn_type(ln->id), &c);

    if (rc == NGX_OK && !ngx_rf_late_one_delta(e, &c)) {
        rc = NGX_DECLINED;
    }

    if (rc == NGX_OK) {
        rc = ngx_rf_learn_elements(ln, l, &c);
    }

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_close(l, &c);
    }

    if (rc == NGX_OK && ln->pttl >= -1 && e->type != NGX_RF_NONE
        && !ngx_rf_zone_expires_locally(e))
    {
        ngx_rf_zone_expire_locked(ln->zone, e, ln->pttl == -1 ? 0
                                               : ln->sent + ln->pttl);
    }

    return rc;
}


static ngx_int_t
ngx_rf_late_push(ngx_rf_learn_t *ln, ngx_rf_late_t *late)
{
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_coll_t    c;
    ngx_rf_local_t  *l;

    l = &late->local;
    l->late = 1;

    rc = ngx_rf_coll_open(l, late->key, NGX_RF_LIST, &c);

    if (rc == NGX_OK && !ngx_rf_late_one_delta(late->entry, &c)) {
        rc = NGX_DECLINED;
    }

    for (i = 2; i < ln->argc && rc == NGX_OK; i++) {
        rc = ngx_rf_coll_push(l, &c, ln->id == NGX_RF_CMD_RPUSH,
                              &ln->argv[i]);
    }

    return rc == NGX_OK ? ngx_rf_coll_close(l, &c) : rc;
}


/* whether all that is to be replayed, but for expiries, are these notes */

static ngx_uint_t
ngx_rf_late_one_delta(ngx_rf_entry_t *e, ngx_rf_coll_t *c)
{
    ngx_uint_t         n;
    ngx_rf_zchange_t  *change;

    n = 0;

    for (change = e->work->changes; change; change = change->next) {
        n += !ngx_rf_zone_about_expiry(change);
    }

    return n == (c->compact != 0);
}


/* nothing but what was put in here; after a DEL that is all there is */

static ngx_int_t
ngx_rf_late_unknown(ngx_rf_learn_t *ln, ngx_rf_late_t *late)
{
    ngx_int_t        rc;
    ngx_rf_entry_t  *e;

    e = late->entry;

    ngx_rf_learn_local(ln, &late->local);

    rc = (e->type == NGX_RF_NONE) ? NGX_OK
         : (e->type == NGX_RF_STRING) ? ngx_rf_late_redo(late, NULL)
                                      : ngx_rf_late_rebuild(late);

    if (rc != NGX_OK) {
        return rc;
    }

    /* it may have lost it, and must not be gone here before */

    if (!ngx_rf_zone_expires_locally(e)) {
        ngx_rf_zone_expire_locked(ln->zone, e, 0);
    }

    e->complete = (ln->id == NGX_RF_CMD_DEL || ln->id == NGX_RF_CMD_UNLINK
                   || ln->id == NGX_RF_CMD_GETDEL);

    return NGX_OK;
}


/* the changes of a string once more, on this value or none */

static ngx_int_t
ngx_rf_late_redo(ngx_rf_late_t *late, ngx_str_t *value)
{
    ngx_int_t          rc;
    ngx_rf_blob_t     *blob;
    ngx_rf_zone_t     *zone;
    ngx_rf_entry_t    *e;
    ngx_rf_zchange_t  *c;

    e = late->entry;
    zone = late->local.zone;
    blob = NULL;

    if (value != NULL) {
        blob = ngx_rf_zone_blob_locked(zone, value->data, value->len, &e, 1);

        if (blob == NULL) {
            return NGX_RF_NEED_ROOM;
        }
    }

    ngx_rf_zone_set_locked(zone, e, blob ? NGX_RF_STRING : NGX_RF_NONE, blob);

    e->complete = 0;

    for (c = e->work->changes; c; c = c->next) {

        if (ngx_rf_zone_about_expiry(c)) {
            continue;
        }

        rc = ngx_rf_late_redo_one(late, c);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_late_redo_one(ngx_rf_late_t *late, ngx_rf_zchange_t *c)
{
    ngx_str_t         argv[8];
    ngx_uint_t        i;
    ngx_rf_local_t    l;
    ngx_rf_local_pt   handler;

    if (c->argc == 0 || c->argc > 7
        || ngx_rf_zone_change_str(c, 0, &argv[0]) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    argv[1] = *late->key;

    for (i = 1; i < c->argc; i++) {
        (void) ngx_rf_zone_change_str(c, i, &argv[i + 1]);
    }

    l = late->local;
    l.argc = c->argc + 1;
    l.argv = argv;
    l.command = ngx_rf_command_find(&argv[0]);

    handler = l.command ? ngx_rf_string_handler(l.command->id) : NULL;

    /* an error is one in Redis, too */

    return handler ? handler(&l) : NGX_DECLINED;
}


/* a collection of what was put in here */

static ngx_int_t
ngx_rf_late_rebuild(ngx_rf_late_t *late)
{
    int64_t            expire;
    ngx_int_t          rc;
    ngx_rf_coll_t      c;
    ngx_rf_entry_t    *e;
    ngx_rf_zdelta_t   *delta;
    ngx_rf_zchange_t  *change;

    e = late->entry;
    expire = e->expire;
    rc = NGX_OK;

    ngx_rf_coll_fresh(&late->local, late->key, e->type, &c);

    for (change = e->work->changes;
         change && rc == NGX_OK;
         change = change->next)
    {

        delta = ngx_rf_zone_delta(change);

        if (delta != NULL && delta->type == e->type) {
            rc = ngx_rf_late_lines(late, &c, delta);
        }
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (c.elts.count == 0) {
        ngx_rf_zone_set_locked(late->local.zone, e, NGX_RF_NONE, NULL);
        return NGX_OK;
    }

    rc = ngx_rf_coll_close(&late->local, &c);

    if (rc == NGX_OK) {
        ngx_rf_zone_expire_locked(late->local.zone, e, expire);
    }

    return rc;
}


static ngx_int_t
ngx_rf_late_lines(ngx_rf_late_t *late, ngx_rf_coll_t *c,
    ngx_rf_zdelta_t *delta)
{
    ngx_int_t       rc;
    ngx_str_t       name;
    ngx_uint_t      i, list;
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    rc = NGX_OK;
    list = (c->type == NGX_RF_LIST);

    for (i = list; i < (list ? 3 : 1); i++) {

        for (elt = ngx_rf_walk_from(&walk, &delta->tree[i], 0);
             elt != NULL && rc == NGX_OK;
             elt = ngx_rf_walk_next(&walk))
        {
            if (!list) {
                rc = ngx_rf_late_line(late, c, elt);
                continue;
            }

            name.data = ngx_rf_elt_name(elt);
            name.len = elt->name_len;

            rc = ngx_rf_coll_push(&late->local, c, i == 2, &name);
        }
    }

    return rc;
}


static ngx_int_t
ngx_rf_late_line(ngx_rf_late_t *late, ngx_rf_coll_t *c, ngx_rf_elt_t *line)
{
    double           score;
    ngx_int_t        rc;
    ngx_str_t        name, value;
    ngx_rf_elt_t    *elt;
    ngx_rf_local_t  *l;

    l = &late->local;

    name.data = ngx_rf_elt_name(line);
    name.len = line->name_len;

    ngx_str_null(&value);

    elt = ngx_rf_coll_get(l, c, &name);

    if (elt != NULL) {
        value.data = ngx_rf_elt_value(elt);
        value.len = elt->value_len;
    }

    rc = ngx_rf_coll_noted(l, c, line, &value);

    if (rc == NGX_DECLINED) {
        rc = ngx_rf_coll_remove(l, c, &name);
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (c->type == NGX_RF_ZSET) {
        ngx_memcpy(&score, value.data, sizeof(double));
        return ngx_rf_coll_put_score(l, c, &name, score, NGX_RF_DELTA_SET, 0);
    }

    return ngx_rf_coll_put(l, c, &name, &value, NGX_RF_DELTA_SET, NULL);
}
