/*
 * What memory learns from a command that Redis executed: strings, expiries, and
 * which keys to forget.  Collections are in ngx_rf_learn_coll.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_learn_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


#define NGX_RF_LEARN_SWEEP      2


static void ngx_rf_learn_reply(ngx_rf_learn_t *ln);
static ngx_rf_learn_pt ngx_rf_learn_handler(ngx_rf_command_e id);
static void ngx_rf_learn_forget_key(ngx_rf_learn_t *ln, ngx_str_t *key);
static void ngx_rf_learn_put(ngx_rf_learn_t *ln, ngx_str_t *key,
    ngx_str_t *value, int64_t expire);
static void ngx_rf_learn_get(ngx_rf_learn_t *ln);
static void ngx_rf_learn_mget(ngx_rf_learn_t *ln);
static void ngx_rf_learn_compare(ngx_rf_learn_t *ln, ngx_str_t *key,
    ngx_rf_reply_t *reply);
static void ngx_rf_learn_set(ngx_rf_learn_t *ln);
static ngx_uint_t ngx_rf_learn_set_options(ngx_rf_learn_t *ln,
    ngx_uint_t *applied, ngx_uint_t *keep, int64_t *expire);
static ngx_uint_t ngx_rf_learn_time(ngx_rf_learn_t *ln, ngx_str_t *unit,
    ngx_str_t *text, int64_t *expire);
static void ngx_rf_learn_setex(ngx_rf_learn_t *ln);
static void ngx_rf_learn_setnx(ngx_rf_learn_t *ln);
static void ngx_rf_learn_getset(ngx_rf_learn_t *ln);
static void ngx_rf_learn_getex(ngx_rf_learn_t *ln);
static void ngx_rf_learn_mset(ngx_rf_learn_t *ln);
static void ngx_rf_learn_incr(ngx_rf_learn_t *ln);
static void ngx_rf_learn_append(ngx_rf_learn_t *ln);
static void ngx_rf_learn_expire(ngx_rf_learn_t *ln);
static void ngx_rf_learn_persist(ngx_rf_learn_t *ln);


void
ngx_rf_learn(ngx_rf_zone_t *zone, ngx_pool_t *pool,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv,
    ngx_rf_reply_t *reply, int64_t pttl, uint64_t seq, int64_t sent,
    uint64_t voucher)
{
    ngx_rf_learn_t  ln;

    ngx_memzero(&ln, sizeof(ngx_rf_learn_t));

    ln.zone = zone;
    ln.pool = pool;
    ln.command = command;
    ln.id = command->id;
    ln.argc = argc;
    ln.argv = argv;
    ln.reply = reply;
    ln.pttl = pttl;
    ln.seq = seq;
    ln.sent = sent;

    if (!(command->flags & NGX_RF_CMD_WRITE)) {
        ln.named = (voucher == NGX_RF_ZONE_NAMED);
        ln.voucher = ln.named ? 0 : voucher;
    }

    ngx_rf_learn_reply(&ln);
}


void
ngx_rf_learn_known(ngx_rf_zone_t *zone, ngx_pool_t *pool, ngx_uint_t argc,
    ngx_str_t *argv, ngx_rf_reply_t *reply, int64_t pttl, uint64_t seq,
    int64_t sent, uint64_t voucher)
{
    ngx_rf_learn_t  ln;

    ngx_memzero(&ln, sizeof(ngx_rf_learn_t));

    ln.zone = zone;
    ln.pool = pool;
    ln.command = ngx_rf_command_find(&argv[0]);
    ln.id = ln.command->id;
    ln.argc = argc;
    ln.argv = argv;
    ln.reply = reply;
    ln.pttl = pttl;
    ln.seq = seq;
    ln.sent = sent;
    ln.voucher = voucher;
    ln.known = 1;

    ngx_rf_learn_reply(&ln);
}


static void
ngx_rf_learn_reply(ngx_rf_learn_t *ln)
{
    ngx_rf_learn_pt  handler;

    handler = ngx_rf_learn_handler(ln->id);

    if (handler == NULL) {
        handler = ngx_rf_learn_coll_handler(ln->id);
    }

    if (ln->reply->type == NGX_RF_REPLY_ERROR
        || (handler == NULL && !(ln->command->flags & NGX_RF_CMD_WRITE)))
    {
        return;
    }

    if (ngx_rf_learn_prepare(ln) != NGX_OK) {
        /* no memory, or more than memory is for */
        handler = ngx_rf_learn_forget;
    }

    ngx_rf_zone_lock(ln->zone);

    ngx_rf_zone_sweep_locked(ln->zone, ngx_rf_now(), NGX_RF_LEARN_SWEEP);

    if (handler) {
        handler(ln);

    } else {
        ngx_rf_learn_forget_keys(ln);
    }

    ngx_rf_zone_unlock(ln->zone);
}


void
ngx_rf_learn_forget_keys(ngx_rf_learn_t *ln)
{
    ngx_uint_t               i;
    const ngx_rf_command_t  *command;

    command = ln->command;

    if (command->first == 0) {

        if (command->flags & NGX_RF_CMD_KEYSPACE) {
            /* FLUSHALL and its like */
            ngx_rf_zone_forget_all_locked(ln->zone);
        }

        return;
    }

    for (i = 1; i < ln->argc; i++) {

        if (ngx_rf_command_is_key(command, ln->argc, i)) {
            ngx_rf_learn_forget_key(ln, &ln->argv[i]);
        }
    }
}


void
ngx_rf_learn_unsure(ngx_rf_zone_t *zone, const ngx_rf_command_t *command,
    ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_uint_t  i;

    if (command->first == 0 || !(command->flags & NGX_RF_CMD_WRITE)) {
        return;
    }

    ngx_rf_zone_lock(zone);

    for (i = 1; i < argc; i++) {

        if (ngx_rf_command_is_key(command, argc, i)) {
            ngx_rf_zone_unsure_locked(zone, &argv[i]);
        }
    }

    ngx_rf_zone_unlock(zone);
}


ngx_uint_t
ngx_rf_learn_pttl(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_str_t *argv)
{
    switch (command->id) {

    case NGX_RF_CMD_GET:
    case NGX_RF_CMD_INCR:
    case NGX_RF_CMD_INCRBY:
    case NGX_RF_CMD_INCRBYFLOAT:
    case NGX_RF_CMD_DECR:
    case NGX_RF_CMD_DECRBY:
        return 1;

    default:
        return ngx_rf_learn_coll_pttl(command->id, argc, argv);
    }
}


static ngx_rf_learn_pt
ngx_rf_learn_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_GET:
        return ngx_rf_learn_get;

    case NGX_RF_CMD_MGET:
        return ngx_rf_learn_mget;

    case NGX_RF_CMD_SET:
        return ngx_rf_learn_set;

    case NGX_RF_CMD_SETEX:
    case NGX_RF_CMD_PSETEX:
        return ngx_rf_learn_setex;

    case NGX_RF_CMD_SETNX:
        return ngx_rf_learn_setnx;

    case NGX_RF_CMD_GETSET:
        return ngx_rf_learn_getset;

    case NGX_RF_CMD_GETEX:
        return ngx_rf_learn_getex;

    case NGX_RF_CMD_MSET:
    case NGX_RF_CMD_MSETNX:
        return ngx_rf_learn_mset;

    case NGX_RF_CMD_INCR:
    case NGX_RF_CMD_INCRBY:
    case NGX_RF_CMD_INCRBYFLOAT:
    case NGX_RF_CMD_DECR:
    case NGX_RF_CMD_DECRBY:
        return ngx_rf_learn_incr;

    case NGX_RF_CMD_APPEND:
        return ngx_rf_learn_append;

    case NGX_RF_CMD_EXPIRE:
    case NGX_RF_CMD_PEXPIRE:
    case NGX_RF_CMD_EXPIREAT:
    case NGX_RF_CMD_PEXPIREAT:
        return ngx_rf_learn_expire;

    case NGX_RF_CMD_PERSIST:
        return ngx_rf_learn_persist;

    default:
        return NULL;
    }
}


/* looked up first: one in flight that has expired would not be found, but is
 * there */

ngx_int_t
ngx_rf_learn_entry(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_rf_entry_t **e)
{
    *e = ngx_rf_zone_lookup_locked(ln->zone, key);

    if (*e == NULL) {
        return NGX_OK;
    }

    if ((*e)->flying) {
        return NGX_DECLINED;
    }

    *e = ngx_rf_zone_found_locked(ln->zone, *e, ngx_rf_now());

    if (*e != NULL && (*e)->pending != NGX_RF_CLEAN) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_rf_entry_t *
ngx_rf_learn_find(ngx_rf_learn_t *ln, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    if (ngx_rf_learn_entry(ln, key, &e) != NGX_OK
        || !ngx_rf_local_exists(e)
        || ngx_rf_learn_changed(ln, key, e))
    {
        return NULL;
    }

    return e;
}


ngx_uint_t
ngx_rf_learn_changed(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_rf_entry_t *e)
{
    uint32_t  hash;
    uint64_t  version, removed;

    hash = e ? e->hash : ngx_rf_zone_hash(ln->zone->sh, key);

    removed = ln->zone->sh->removed[(hash >> 16) % NGX_RF_ZONE_STAMPS];
    version = e ? e->version : removed;

    if (version > ln->seq && version >= removed
        && ln->zone->learned[hash % NGX_RF_ZONE_LEARNED]
           == (version | ln->zone->link))
    {
        return 0;
    }

    return ngx_rf_zone_changed_locked(ln->zone, key, e, ln->seq);
}


void
ngx_rf_learn_mark(ngx_rf_learn_t *ln, ngx_rf_entry_t *e, ngx_uint_t complete)
{
    ngx_rf_zone_seen_locked(ln->zone, e, ln->sent);

    e->complete = complete;

    ngx_rf_zone_vouch_locked(ln->zone, e, complete ? ln->voucher : 0);

    if (ln->named) {
        e->doubted = 1;
    }

    ln->zone->learned[e->hash % NGX_RF_ZONE_LEARNED] = e->version
                                                       | ln->zone->link;
}


static void
ngx_rf_learn_put(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_str_t *value,
    int64_t expire)
{
    size_t           limit;
    ngx_rf_blob_t   *blob;
    ngx_rf_zone_t   *zone;
    ngx_rf_entry_t  *e;

    zone = ln->zone;
    limit = (zone->shpool->end - zone->shpool->start) / NGX_RF_LEARN_PART;

    if (ngx_rf_learn_entry(ln, key, &e) != NGX_OK) {
        ngx_rf_learn_late_put(ln, key, value, expire);
        return;
    }

    if (ngx_rf_learn_changed(ln, key, e)) {

        /* which of the two came first is not known.  A read says nothing
         * new then; after a write nobody knows the value */

        if (ln->id != NGX_RF_CMD_GET) {
            ngx_rf_zone_forget_key_locked(zone, key);
            (void) ngx_rf_learn_told(ln, key);
        }

        return;
    }

    if (e != NULL && e->type == NGX_RF_STRING
        && e->value->len == value->len
        && (expire == 0 || expire > ngx_rf_now())
        && (value->len == 0
            || ngx_memcmp(e->value->data, value->data, value->len) == 0))
    {
        /* as it was */
        ngx_rf_zone_expire_locked(zone, e, expire);
        ngx_rf_learn_mark(ln, e, 1);
        return;
    }

    blob = NULL;

    if (value->len < limit && (expire == 0 || expire > ngx_rf_now())) {
        blob = ngx_rf_zone_blob_locked(zone, value->data, value->len, &e, 1);
    }

    if (blob == NULL) {
        ngx_rf_zone_forget_key_locked(zone, key);
        (void) ngx_rf_learn_told(ln, key);
        return;
    }

    if (e == NULL) {
        e = ngx_rf_zone_insert_locked(zone, key, NULL, 0);

        if (e == NULL) {
            ngx_rf_zone_free_locked(zone, blob);
            ngx_rf_zone_forget_key_locked(zone, key);
            return;
        }
    }

    ngx_rf_zone_set_locked(zone, e, NGX_RF_STRING, blob);
    ngx_rf_zone_expire_locked(zone, e, expire);
    ngx_rf_learn_mark(ln, e, 1);
    (void) ngx_rf_learn_told(ln, key);
}


/* a miss is worth less than any value */

void
ngx_rf_learn_absent(ngx_rf_learn_t *ln)
{
    ngx_str_t       *key;
    ngx_rf_entry_t  *e;

    key = &ln->argv[1];

    if (ngx_rf_learn_entry(ln, key, &e) != NGX_OK
        || ngx_rf_learn_changed(ln, key, e))
    {
        return;
    }

    if (e == NULL) {
        e = ngx_rf_zone_insert_locked(ln->zone, key, NULL, 0);

        if (e == NULL) {
            ngx_rf_zone_forget_key_locked(ln->zone, key);
            return;
        }
    }

    ngx_rf_zone_set_locked(ln->zone, e, NGX_RF_NONE, NULL);
    ngx_rf_zone_expire_locked(ln->zone, e, 0);
    ngx_rf_learn_mark(ln, e, 1);
    ngx_rf_zone_last_locked(ln->zone, e);
}


void
ngx_rf_learn_forget(ngx_rf_learn_t *ln)
{
    ngx_rf_learn_forget_key(ln, &ln->argv[1]);
}


/* what it was is not known, but that nobody else has changed it meanwhile */

static void
ngx_rf_learn_forget_key(ngx_rf_learn_t *ln, ngx_str_t *key)
{
    ngx_uint_t       changed;
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_lookup_locked(ln->zone, key);

    if (e != NULL && e->pending != NGX_RF_CLEAN) {
        ngx_rf_learn_late_forget(ln, key);
        return;
    }

    changed = ngx_rf_learn_changed(ln, key, e);

    ngx_rf_zone_forget_key_locked(ln->zone, key);
    (void) ngx_rf_learn_told(ln, key);

    if (!changed) {
        ngx_rf_learn_note(ln, key, ln->zone->sh->seq);
    }
}


/* what another instance has on disk may be older than that */

ngx_uint_t
ngx_rf_learn_told(ngx_rf_learn_t *ln, ngx_str_t *key)
{
    switch (ln->id) {

    case NGX_RF_CMD_DEL:
    case NGX_RF_CMD_UNLINK:
    case NGX_RF_CMD_SET:
    case NGX_RF_CMD_SETNX:
    case NGX_RF_CMD_SETEX:
    case NGX_RF_CMD_PSETEX:
    case NGX_RF_CMD_GETSET:
    case NGX_RF_CMD_GETDEL:
    case NGX_RF_CMD_MSET:
    case NGX_RF_CMD_MSETNX:
        return ngx_rf_zone_told_locked(ln->zone, key, 1, ln->sent);

    case NGX_RF_CMD_INCR:
    case NGX_RF_CMD_INCRBY:
    case NGX_RF_CMD_INCRBYFLOAT:
    case NGX_RF_CMD_DECR:
    case NGX_RF_CMD_DECRBY:
    case NGX_RF_CMD_APPEND:
        return ngx_rf_zone_told_locked(ln->zone, key, 0, ln->sent);

    default:
        return 0;
    }
}


void
ngx_rf_learn_note(ngx_rf_learn_t *ln, ngx_str_t *key, uint64_t version)
{
    uint32_t  hash;

    hash = ngx_rf_zone_hash(ln->zone->sh, key);

    ln->zone->learned[hash % NGX_RF_ZONE_LEARNED] = version | ln->zone->link;
}


static void
ngx_rf_learn_get(ngx_rf_learn_t *ln)
{
    if (ln->reply->type == NGX_RF_REPLY_NIL && ln->voucher) {
        ngx_rf_learn_absent(ln);
        return;
    }

    if (ln->reply->type == NGX_RF_REPLY_STRING && ln->pttl >= -1) {
        ngx_rf_learn_put(ln, &ln->argv[1], &ln->reply->str,
                         ln->pttl == -1 ? 0 : ln->sent + ln->pttl);
        return;
    }

    ngx_rf_learn_compare(ln, &ln->argv[1], ln->reply);
}


static void
ngx_rf_learn_mget(ngx_rf_learn_t *ln)
{
    ngx_uint_t  i;

    if (ln->reply->type != NGX_RF_REPLY_ARRAY) {
        return;
    }

    for (i = 0; i < ln->reply->nelts && i + 1 < ln->argc; i++) {
        ngx_rf_learn_compare(ln, &ln->argv[i + 1], &ln->reply->elts[i]);
    }
}


/* a value without its time to live: good for finding out that memory is wrong
 */

static void
ngx_rf_learn_compare(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_rf_reply_t *reply)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_learn_find(ln, key);

    if (e == NULL
        || (reply->type == NGX_RF_REPLY_STRING
            && e->type == NGX_RF_STRING
            && e->value->len == reply->str.len
            && ngx_memcmp(e->value->data, reply->str.data, reply->str.len)
               == 0))
    {
        return;
    }

    ngx_rf_zone_forget_locked(ln->zone, e);
}


static void
ngx_rf_learn_set(ngx_rf_learn_t *ln)
{
    int64_t          expire;
    ngx_uint_t       applied, keep;
    ngx_rf_entry_t  *e;

    if (!ngx_rf_learn_set_options(ln, &applied, &keep, &expire)) {
        ngx_rf_learn_forget(ln);
        return;
    }

    if (!applied) {
        return;
    }

    if (keep) {
        e = ngx_rf_learn_find(ln, &ln->argv[1]);

        if (e == NULL) {
            ngx_rf_learn_forget(ln);
            return;
        }

        expire = e->expire;
    }

    ngx_rf_learn_put(ln, &ln->argv[1], &ln->argv[2], expire);
}


/* whether they were understood */

static ngx_uint_t
ngx_rf_learn_set_options(ngx_rf_learn_t *ln, ngx_uint_t *applied,
    ngx_uint_t *keep, int64_t *expire)
{
    ngx_str_t   *arg;
    ngx_uint_t   i, nx, xx, get, nil;

    nx = xx = get = 0;
    *keep = 0;
    *expire = 0;

    for (i = 3; i < ln->argc; i++) {
        arg = &ln->argv[i];

        if (ngx_rf_local_is(arg, "nx")) {
            nx = 1;

        } else if (ngx_rf_local_is(arg, "xx")) {
            xx = 1;

        } else if (ngx_rf_local_is(arg, "get")) {
            get = 1;

        } else if (ngx_rf_local_is(arg, "keepttl")) {
            *keep = 1;

        } else if (i + 1 == ln->argc
                   || !ngx_rf_learn_time(ln, arg, &ln->argv[++i], expire))
        {
            return 0;
        }
    }

    nil = (ln->reply->type == NGX_RF_REPLY_NIL);

    if (get) {
        /* the old value: none for NX, some for XX, anything without both */
        *applied = nx ? nil : (xx ? !nil : 1);

    } else {
        *applied = !nil;
    }

    return 1;
}


static ngx_uint_t
ngx_rf_learn_time(ngx_rf_learn_t *ln, ngx_str_t *unit, ngx_str_t *text,
    int64_t *expire)
{
    int64_t  n;

    if (ngx_rf_local_number(text, &n) != NGX_OK
        || n <= 0 || n > INT64_MAX / 1000 - ln->sent / 1000 - 1)
    {
        return 0;
    }

    if (ngx_rf_local_is(unit, "ex")) {
        *expire = ln->sent + n * 1000;

    } else if (ngx_rf_local_is(unit, "px")) {
        *expire = ln->sent + n;

    } else if (ngx_rf_local_is(unit, "exat")) {
        *expire = n * 1000;

    } else if (ngx_rf_local_is(unit, "pxat")) {
        *expire = n;

    } else {
        return 0;
    }

    return 1;
}


static void
ngx_rf_learn_setex(ngx_rf_learn_t *ln)
{
    int64_t    expire;
    ngx_str_t  ex = ngx_string("ex");
    ngx_str_t  px = ngx_string("px");

    if (!ngx_rf_learn_time(ln, ln->id == NGX_RF_CMD_SETEX ? &ex : &px,
                           &ln->argv[2], &expire))
    {
        ngx_rf_learn_forget(ln);
        return;
    }

    ngx_rf_learn_put(ln, &ln->argv[1], &ln->argv[3], expire);
}


static void
ngx_rf_learn_setnx(ngx_rf_learn_t *ln)
{
    if (ln->reply->integer == 1) {
        ngx_rf_learn_put(ln, &ln->argv[1], &ln->argv[2], 0);
    }
}


static void
ngx_rf_learn_getset(ngx_rf_learn_t *ln)
{
    ngx_rf_learn_put(ln, &ln->argv[1], &ln->argv[2], 0);
}


static void
ngx_rf_learn_getex(ngx_rf_learn_t *ln)
{
    int64_t  expire;

    if (ln->reply->type != NGX_RF_REPLY_STRING) {
        ngx_rf_learn_forget(ln);

    } else if (ln->argc == 2) {
        ngx_rf_learn_compare(ln, &ln->argv[1], ln->reply);

    } else if (ln->argc == 3 && ngx_rf_local_is(&ln->argv[2], "persist")) {
        ngx_rf_learn_put(ln, &ln->argv[1], &ln->reply->str, 0);

    } else if (ln->argc == 4
               && ngx_rf_learn_time(ln, &ln->argv[2], &ln->argv[3], &expire))
    {
        ngx_rf_learn_put(ln, &ln->argv[1], &ln->reply->str, expire);

    } else {
        ngx_rf_learn_forget(ln);
    }
}


static void
ngx_rf_learn_mset(ngx_rf_learn_t *ln)
{
    ngx_uint_t  i;

    if (ln->id == NGX_RF_CMD_MSETNX && ln->reply->integer != 1) {
        return;
    }

    /* a key given twice looks changed, and is forgotten */

    for (i = 1; i + 1 < ln->argc; i += 2) {
        ngx_rf_learn_put(ln, &ln->argv[i], &ln->argv[i + 1], 0);
    }
}


/* the new value is the reply; whether the key expires is known of an entry
 * that was complete before */

static void
ngx_rf_learn_incr(ngx_rf_learn_t *ln)
{
    u_char           text[NGX_INT64_LEN];
    int64_t          expire;
    ngx_str_t        value;
    ngx_rf_entry_t  *e;

    if (ln->pttl >= -1) {
        expire = ln->pttl == -1 ? 0 : ln->sent + ln->pttl;

    } else {
        e = ngx_rf_learn_find(ln, &ln->argv[1]);

        if (e == NULL) {
            ngx_rf_learn_forget(ln);
            return;
        }

        expire = e->expire;
    }

    if (ln->reply->type == NGX_RF_REPLY_INTEGER) {
        value.data = text;
        value.len = ngx_sprintf(text, "%L", ln->reply->integer) - text;

    } else {
        value = ln->reply->str;
    }

    ngx_rf_learn_put(ln, &ln->argv[1], &value, expire);
}


static void
ngx_rf_learn_append(ngx_rf_learn_t *ln)
{
    size_t           len;
    ngx_str_t       *part;
    ngx_rf_blob_t   *blob;
    ngx_rf_entry_t  *e;

    if (ngx_rf_learn_entry(ln, &ln->argv[1], &e) != NGX_OK) {
        ngx_rf_learn_late_append(ln);
        return;
    }

    part = &ln->argv[2];
    e = ngx_rf_learn_find(ln, &ln->argv[1]);

    if (e == NULL || e->type != NGX_RF_STRING
        || ln->reply->integer != (int64_t) (e->value->len + part->len))
    {
        ngx_rf_learn_forget(ln);
        return;
    }

    len = e->value->len + part->len;

    blob = ngx_rf_zone_blob_locked(ln->zone, NULL, len, &e, 1);

    if (blob == NULL) {
        ngx_rf_learn_forget(ln);
        return;
    }

    ngx_memcpy(ngx_cpymem(blob->data, e->value->data, e->value->len),
               part->data, part->len);

    ngx_rf_zone_set_locked(ln->zone, e, NGX_RF_STRING, blob);
    ngx_rf_learn_mark(ln, e, 1);
    ngx_rf_learn_told(ln, &ln->argv[1]);
}


static void
ngx_rf_learn_expire(ngx_rf_learn_t *ln)
{
    int64_t          n;
    ngx_rf_entry_t  *e;

    if (ln->reply->integer != 1) {

        if (ln->argc == 3) {
            /* without conditions: there is no such key */
            ngx_rf_learn_forget(ln);
        }

        return;
    }

    if (ngx_rf_local_number(&ln->argv[2], &n) != NGX_OK
        || n <= 0 || n > INT64_MAX / 1000 - ln->sent / 1000 - 1)
    {
        ngx_rf_learn_forget(ln);
        return;
    }

    if (ln->id == NGX_RF_CMD_EXPIRE || ln->id == NGX_RF_CMD_EXPIREAT) {
        n *= 1000;
    }

    if (ln->id == NGX_RF_CMD_EXPIRE || ln->id == NGX_RF_CMD_PEXPIRE) {
        n += ln->sent;
    }

    if (ngx_rf_learn_entry(ln, &ln->argv[1], &e) != NGX_OK) {
        ngx_rf_learn_late_expire(ln, n);
        return;
    }

    e = ngx_rf_learn_find(ln, &ln->argv[1]);

    if (e == NULL || n <= ngx_rf_now()) {
        ngx_rf_learn_forget(ln);
        return;
    }

    ngx_rf_zone_expire_locked(ln->zone, e, n);
    ngx_rf_learn_mark(ln, e, e->complete);
}


static void
ngx_rf_learn_persist(ngx_rf_learn_t *ln)
{
    ngx_rf_entry_t  *e;

    if (ln->reply->integer != 1) {
        return;
    }

    if (ngx_rf_learn_entry(ln, &ln->argv[1], &e) != NGX_OK) {
        ngx_rf_learn_late_expire(ln, 0);
        return;
    }

    e = ngx_rf_learn_find(ln, &ln->argv[1]);

    if (e == NULL) {
        ngx_rf_learn_forget(ln);
        return;
    }

    ngx_rf_zone_expire_locked(ln->zone, e, 0);
    ngx_rf_learn_mark(ln, e, e->complete);
}
