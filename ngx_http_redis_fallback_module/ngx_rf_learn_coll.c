/*
 * What memory learns of collections.
 *
 * All of one: from a reply that says all of it.  Some elements: from those that
 * were read or written one by one, which makes a key known in part, or adds to
 * what is known.  A change of a list, and others that depend on what was there,
 * are done again on a collection that is known completely, where the reply
 * must be the one that Redis gave; otherwise the key is forgotten.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_learn_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


/* elements of a collection that is learned as a whole: building it takes the
 * lock for about a millisecond */
#define NGX_RF_LEARN_ELTS       10000

/* arguments of a command that is learned element by element */
#define NGX_RF_LEARN_ARGS       1000


static ngx_uint_t ngx_rf_learn_whole_type(ngx_rf_learn_t *ln,
    ngx_rf_type_e *type);
static int ngx_libc_cdecl ngx_rf_learn_compare_items(const void *one,
    const void *two);
static void ngx_rf_learn_whole(ngx_rf_learn_t *ln);
static void ngx_rf_learn_all(ngx_rf_learn_t *ln, ngx_rf_type_e type);
static ngx_int_t ngx_rf_learn_whole_put(ngx_rf_learn_t *ln, ngx_rf_local_t *l,
    ngx_rf_coll_t *c);
static void ngx_rf_learn_zadd(ngx_rf_learn_t *ln);
static void ngx_rf_learn_some(ngx_rf_learn_t *ln);
static ngx_int_t ngx_rf_learn_popped(ngx_rf_learn_t *ln, ngx_rf_local_t *l,
    ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_learn_pairs(ngx_rf_learn_t *ln, ngx_rf_local_t *l,
    ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_learn_scores(ngx_rf_learn_t *ln, ngx_rf_local_t *l,
    ngx_rf_coll_t *c);
static ngx_int_t ngx_rf_learn_one(ngx_rf_learn_t *ln, ngx_rf_local_t *l,
    ngx_rf_coll_t *c, ngx_str_t *name, ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_learn_score(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name, ngx_str_t *text);
static void ngx_rf_learn_again(ngx_rf_learn_t *ln);
static ngx_uint_t ngx_rf_learn_same(ngx_rf_reply_t *a, ngx_rf_reply_t *b);
static void ngx_rf_learn_push(ngx_rf_learn_t *ln);
static ngx_uint_t ngx_rf_learn_unknown(ngx_rf_learn_t *ln,
    ngx_rf_entry_t *e);
static void ngx_rf_learn_seen(ngx_rf_learn_t *ln, ngx_str_t *key,
    ngx_uint_t complete);


ngx_rf_learn_pt
ngx_rf_learn_coll_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_HGETALL:
    case NGX_RF_CMD_SMEMBERS:
    case NGX_RF_CMD_LRANGE:
    case NGX_RF_CMD_ZRANGE:
        return ngx_rf_learn_whole;

    case NGX_RF_CMD_HGET:
    case NGX_RF_CMD_HMGET:
    case NGX_RF_CMD_HSET:
    case NGX_RF_CMD_HMSET:
    case NGX_RF_CMD_HSETNX:
    case NGX_RF_CMD_HDEL:
    case NGX_RF_CMD_HINCRBY:
    case NGX_RF_CMD_HINCRBYFLOAT:
    case NGX_RF_CMD_SISMEMBER:
    case NGX_RF_CMD_SMISMEMBER:
    case NGX_RF_CMD_SADD:
    case NGX_RF_CMD_SREM:
    case NGX_RF_CMD_SPOP:
    case NGX_RF_CMD_ZSCORE:
    case NGX_RF_CMD_ZMSCORE:
    case NGX_RF_CMD_ZINCRBY:
    case NGX_RF_CMD_ZREM:
        return ngx_rf_learn_some;

    case NGX_RF_CMD_ZADD:
        return ngx_rf_learn_zadd;

    case NGX_RF_CMD_LPUSH:
    case NGX_RF_CMD_RPUSH:
        return ngx_rf_learn_push;

    case NGX_RF_CMD_LPUSHX:
    case NGX_RF_CMD_RPUSHX:
    case NGX_RF_CMD_LPOP:
    case NGX_RF_CMD_RPOP:
    case NGX_RF_CMD_LSET:
    case NGX_RF_CMD_LREM:
    case NGX_RF_CMD_LTRIM:
    case NGX_RF_CMD_LINSERT:
    case NGX_RF_CMD_LMOVE:
    case NGX_RF_CMD_RPOPLPUSH:
    case NGX_RF_CMD_SMOVE:
    case NGX_RF_CMD_ZPOPMIN:
    case NGX_RF_CMD_ZPOPMAX:
    case NGX_RF_CMD_ZREMRANGEBYSCORE:
    case NGX_RF_CMD_ZREMRANGEBYRANK:
    case NGX_RF_CMD_ZREMRANGEBYLEX:
        return ngx_rf_learn_again;

    default:
        return NULL;
    }
}


ngx_uint_t
ngx_rf_learn_coll_pttl(ngx_rf_command_e id, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_rf_learn_t  ln;
    ngx_rf_type_e   type;
    ngx_rf_reply_t  reply;

    switch (id) {

    case NGX_RF_CMD_HGETALL:
    case NGX_RF_CMD_SMEMBERS:
    case NGX_RF_CMD_LRANGE:
    case NGX_RF_CMD_ZRANGE:
        reply.type = NGX_RF_REPLY_ARRAY;
        ln.id = id;
        ln.argc = argc;
        ln.argv = argv;
        ln.reply = &reply;
        return ngx_rf_learn_whole_type(&ln, &type);

    case NGX_RF_CMD_HGET:
    case NGX_RF_CMD_HMGET:
    case NGX_RF_CMD_HSET:
    case NGX_RF_CMD_HMSET:
    case NGX_RF_CMD_HSETNX:
    case NGX_RF_CMD_HINCRBY:
    case NGX_RF_CMD_HINCRBYFLOAT:
    case NGX_RF_CMD_SISMEMBER:
    case NGX_RF_CMD_SMISMEMBER:
    case NGX_RF_CMD_SADD:
    case NGX_RF_CMD_ZSCORE:
    case NGX_RF_CMD_ZMSCORE:
    case NGX_RF_CMD_ZADD:
    case NGX_RF_CMD_ZINCRBY:
        return 1;

    default:
        return 0;
    }
}


/* whether the reply says all of a collection, and of what type */

static ngx_uint_t
ngx_rf_learn_whole_type(ngx_rf_learn_t *ln, ngx_rf_type_e *type)
{
    *type = ngx_rf_learn_type(ln->id);

    switch (ln->id) {

    case NGX_RF_CMD_HGETALL:
    case NGX_RF_CMD_SMEMBERS:
        break;

    case NGX_RF_CMD_LRANGE:
    case NGX_RF_CMD_ZRANGE:
        if (ln->argv[2].len != 1 || ln->argv[2].data[0] != '0'
            || ln->argv[3].len != 2
            || ngx_memcmp(ln->argv[3].data, "-1", 2) != 0)
        {
            return 0;
        }

        if (ln->id == NGX_RF_CMD_ZRANGE
            && (ln->argc != 5 || !ngx_rf_local_is(&ln->argv[4], "withscores")))
        {
            return 0;
        }

        break;

    default:
        return 0;
    }

    return ln->reply->type == NGX_RF_REPLY_ARRAY;
}


/* the elements in the order of the tree: sorting takes longer than the lock is
 * held for */

ngx_int_t
ngx_rf_learn_prepare(ngx_rf_learn_t *ln)
{
    size_t           size;
    ngx_str_t       *name;
    ngx_uint_t       i, step;
    ngx_rf_item_t   *item;
    ngx_rf_type_e    type;
    ngx_rf_reply_t  *elts;

    ln->items = NULL;
    ln->nitems = 0;

    if (!ngx_rf_learn_whole_type(ln, &type)) {
        return NGX_OK;
    }

    step = (type == NGX_RF_HASH || type == NGX_RF_ZSET) ? 2 : 1;
    elts = ln->reply->elts;
    size = 0;

    ln->nitems = ln->reply->nelts / step;

    if (ln->nitems > NGX_RF_LEARN_ELTS) {
        return NGX_DECLINED;
    }

    ln->items = ngx_pcalloc(ln->pool,
                            (ln->nitems + 1) * sizeof(ngx_rf_item_t));
    if (ln->items == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < ln->nitems * step; i++) {
        if (elts[i].type != NGX_RF_REPLY_STRING) {
            return NGX_DECLINED;
        }
    }

    for (i = 0; i < ln->nitems; i++) {
        item = &ln->items[i];
        name = &elts[i * step].str;

        item->name = *name;

        if (step == 2) {
            item->value = elts[i * step + 1].str;
        }

        if (type != NGX_RF_LIST) {
            item->key = ngx_rf_zone_hash(ln->zone->sh, name);
        }

        size += item->name.len + item->value.len + sizeof(ngx_rf_elt_t);
    }

    if (size > (size_t) (ln->zone->shpool->end - ln->zone->shpool->start)
               / NGX_RF_LEARN_PART)
    {
        return NGX_DECLINED;
    }

    if (type == NGX_RF_HASH || type == NGX_RF_SET) {
        ngx_qsort(ln->items, ln->nitems, sizeof(ngx_rf_item_t),
                  ngx_rf_learn_compare_items);

        for (i = 1; i < ln->nitems; i++) {
            if (ngx_rf_learn_compare_items(&ln->items[i - 1], &ln->items[i])
                == 0)
            {
                return NGX_DECLINED;
            }
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_rf_learn_compare_items(const void *one, const void *two)
{
    const ngx_rf_item_t  *a = one;
    const ngx_rf_item_t  *b = two;

    int     rc;
    size_t  len;

    if (a->key != b->key) {
        return a->key < b->key ? -1 : 1;
    }

    len = ngx_min(a->name.len, b->name.len);
    rc = ngx_memcmp(a->name.data, b->name.data, len);

    if (rc != 0) {
        return rc;
    }

    return (a->name.len > b->name.len) - (a->name.len < b->name.len);
}


static void
ngx_rf_learn_whole(ngx_rf_learn_t *ln)
{
    ngx_str_t       *key;
    ngx_rf_type_e    type;
    ngx_rf_entry_t  *e;

    key = &ln->argv[1];

    if (!ngx_rf_learn_whole_type(ln, &type)) {
        return;
    }

    if (ngx_rf_learn_entry(ln, key, &e) != NGX_OK
        || ngx_rf_learn_changed(ln, key, e))
    {
        return;
    }

    if (ln->nitems == 0 && ln->voucher) {
        ngx_rf_learn_absent(ln);
        return;
    }

    if (ln->nitems == 0 || ln->pttl < -1 || ln->pttl == 0) {
        ngx_rf_learn_forget(ln);
        return;
    }

    ngx_rf_learn_all(ln, type);
}


static void
ngx_rf_learn_all(ngx_rf_learn_t *ln, ngx_rf_type_e type)
{
    ngx_str_t       *key;
    ngx_rf_coll_t    c;
    ngx_rf_local_t   l;

    key = &ln->argv[1];

    if (ngx_rf_zone_begin_locked(ln->zone, 1) != NGX_OK) {
        ngx_rf_learn_forget(ln);
        return;
    }

    ln->zone->urgent = 0;

    ngx_rf_learn_local(ln, &l);
    ngx_rf_coll_fresh(&l, key, type, &c);

    if (ngx_rf_learn_whole_put(ln, &l, &c) != NGX_OK
        || ngx_rf_coll_close(&l, &c) != NGX_OK)
    {
        ngx_rf_zone_rollback_locked(ln->zone);
        ngx_rf_learn_forget(ln);
        return;
    }

    ngx_rf_zone_commit_locked(ln->zone);

    ngx_rf_learn_seen(ln, key, 1);
}


static ngx_int_t
ngx_rf_learn_whole_put(ngx_rf_learn_t *ln, ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    rc = NGX_OK;

    if (c->type == NGX_RF_ZSET) {

        for (i = 0; i < ln->nitems && rc == NGX_OK; i++) {
            rc = ngx_rf_learn_score(l, c, &ln->items[i].name,
                                    &ln->items[i].value);
        }

        return rc;
    }

    for (i = 0; i < ln->nitems && rc == NGX_OK; i += n) {
        n = ngx_min(ln->nitems - i, NGX_RF_TREE_BATCH);
        rc = ngx_rf_coll_append(l, c, &ln->items[i], n);
    }

    return rc;
}


/* with conditions it depends on what was there */

static void
ngx_rf_learn_zadd(ngx_rf_learn_t *ln)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_learn_find(ln, &ln->argv[1]);

    if (e != NULL && e->complete) {
        ngx_rf_learn_again(ln);

    } else {
        ngx_rf_learn_some(ln);
    }
}


/* what was read adds to what is known of the key; so does what was written,
 * unless somebody else wrote meanwhile */

static void
ngx_rf_learn_some(ngx_rf_learn_t *ln)
{
    ngx_str_t       *key;
    ngx_uint_t       complete, write, fresh;
    ngx_rf_coll_t    c;
    ngx_rf_entry_t  *e;
    ngx_rf_local_t   l;

    key = &ln->argv[1];
    write = ln->command->flags & NGX_RF_CMD_WRITE;

    if (ngx_rf_learn_many(ln)) {

        if (write) {
            ngx_rf_learn_forget(ln);
        }

        return;
    }

    if (ngx_rf_learn_entry(ln, key, &e) != NGX_OK) {
        ngx_rf_learn_late_some(ln);
        return;
    }

    if (ngx_rf_learn_changed(ln, key, e)) {

        if (write) {
            ngx_rf_learn_forget(ln);
        }

        return;
    }

    if (e != NULL && e->type != NGX_RF_NONE
        && e->type != ngx_rf_learn_type(ln->id))
    {
        ngx_rf_learn_forget(ln);
        return;
    }

    if (ngx_rf_learn_unknown(ln, e)) {

        if (write) {
            ngx_rf_learn_forget(ln);
        }

        return;
    }

    fresh = !ngx_rf_local_exists(e);
    complete = !fresh && e->complete;

    if (ngx_rf_zone_begin_locked(ln->zone, 1) != NGX_OK) {
        ngx_rf_learn_forget(ln);
        return;
    }

    ln->zone->urgent = 0;

    ngx_rf_learn_local(ln, &l);

    if (e != NULL) {
        /* a read does not see to it that its trees stay while they change */
        ngx_rf_zone_keep_locked(ln->zone, e);
    }

    if (ngx_rf_coll_open(&l, key, ngx_rf_learn_type(ln->id), &c) != NGX_OK
        || ngx_rf_learn_elements(ln, &l, &c) != NGX_OK
        || c.elts.bytes > (size_t) (ln->zone->shpool->end
                                    - ln->zone->shpool->start)
                          / NGX_RF_LEARN_PART
        || ngx_rf_coll_close(&l, &c) != NGX_OK)
    {
        ngx_rf_zone_rollback_locked(ln->zone);
        ngx_rf_learn_forget(ln);
        return;
    }

    ngx_rf_zone_commit_locked(ln->zone);

    if (write) {
        ngx_rf_learn_seen(ln, key, complete);

    } else {
        ngx_rf_learn_read(ln, key, fresh);
    }
}


ngx_uint_t
ngx_rf_learn_many(ngx_rf_learn_t *ln)
{
    return ln->argc > NGX_RF_LEARN_ARGS;
}


/* whether the key's time to live is not known, so that memory could outlive it,
 * or nothing would be known of it after all */

static ngx_uint_t
ngx_rf_learn_unknown(ngx_rf_learn_t *ln, ngx_rf_entry_t *e)
{
    if (ln->pttl >= -1 && ln->pttl != 0) {
        return 0;
    }

    return ln->pttl != -3 || !ngx_rf_local_exists(e);
}


ngx_int_t
ngx_rf_learn_elements(ngx_rf_learn_t *ln, ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_reply_t  *reply, nil, one;

    reply = ln->reply;

    ngx_memzero(&nil, sizeof(ngx_rf_reply_t));
    ngx_memzero(&one, sizeof(ngx_rf_reply_t));

    one.type = NGX_RF_REPLY_INTEGER;
    one.integer = 1;

    switch (ln->id) {

    case NGX_RF_CMD_HSET:
    case NGX_RF_CMD_HMSET:
        return ngx_rf_learn_pairs(ln, l, c);

    case NGX_RF_CMD_HSETNX:
        return reply->integer == 1 ? ngx_rf_learn_pairs(ln, l, c)
                                   : NGX_DECLINED;

    case NGX_RF_CMD_ZADD:
        return ngx_rf_learn_scores(ln, l, c);

    case NGX_RF_CMD_ZINCRBY:
        return ngx_rf_learn_one(ln, l, c, &ln->argv[3], reply);

    case NGX_RF_CMD_HGET:
    case NGX_RF_CMD_HINCRBY:
    case NGX_RF_CMD_HINCRBYFLOAT:
    case NGX_RF_CMD_SISMEMBER:
    case NGX_RF_CMD_ZSCORE:
        return ngx_rf_learn_one(ln, l, c, &ln->argv[2], reply);

    case NGX_RF_CMD_SADD:
        reply = &one;
        break;

    case NGX_RF_CMD_HDEL:
    case NGX_RF_CMD_SREM:
    case NGX_RF_CMD_ZREM:
        reply = &nil;
        break;

    case NGX_RF_CMD_SPOP:
        return ngx_rf_learn_popped(ln, l, c);

    default:
        if (reply->type != NGX_RF_REPLY_ARRAY
            || reply->nelts != ln->argc - 2)
        {
            return NGX_DECLINED;
        }
    }

    rc = NGX_OK;

    for (i = 2; i < ln->argc && rc == NGX_OK; i++) {
        rc = ngx_rf_learn_one(ln, l, c, &ln->argv[i],
                              reply->type == NGX_RF_REPLY_ARRAY
                              ? &reply->elts[i - 2] : reply);
    }

    return rc;
}


/* the reply names them */

static ngx_int_t
ngx_rf_learn_popped(ngx_rf_learn_t *ln, ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t        rc;
    ngx_uint_t       i, n;
    ngx_rf_reply_t  *elts;

    elts = ln->reply;
    n = 1;

    if (elts->type == NGX_RF_REPLY_ARRAY) {
        n = elts->nelts;
        elts = elts->elts;
    }

    if (n > NGX_RF_LEARN_ARGS) {
        return NGX_DECLINED;
    }

    for (i = 0; i < n; i++) {

        if (elts[i].type != NGX_RF_REPLY_STRING) {
            return elts[i].type == NGX_RF_REPLY_NIL ? NGX_OK : NGX_DECLINED;
        }

        rc = ngx_rf_coll_remove(l, c, &elts[i].str);

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_learn_pairs(ngx_rf_learn_t *ln, ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = NGX_OK;

    for (i = 2; i + 1 < ln->argc && rc == NGX_OK; i += 2) {
        rc = ngx_rf_coll_put(l, c, &ln->argv[i], &ln->argv[i + 1],
                             NGX_RF_DELTA_SET, NULL);
    }

    return rc;
}


/* ZADD with conditions may or may not have done it: these members are not known
 * any more */

static ngx_int_t
ngx_rf_learn_scores(ngx_rf_learn_t *ln, ngx_rf_local_t *l, ngx_rf_coll_t *c)
{
    ngx_int_t   rc;
    ngx_uint_t  i, unsure;

    unsure = 0;

    for (i = 2; i < ln->argc; i++) {

        if (ngx_rf_local_is(&ln->argv[i], "nx")
            || ngx_rf_local_is(&ln->argv[i], "xx")
            || ngx_rf_local_is(&ln->argv[i], "gt")
            || ngx_rf_local_is(&ln->argv[i], "lt")
            || ngx_rf_local_is(&ln->argv[i], "incr"))
        {
            unsure = 1;

        } else if (!ngx_rf_local_is(&ln->argv[i], "ch")) {
            break;
        }
    }

    if ((ln->argc - i) % 2 != 0) {
        return NGX_DECLINED;
    }

    rc = NGX_OK;

    for ( /* void */ ; i + 1 < ln->argc && rc == NGX_OK; i += 2) {

        if (!unsure) {
            rc = ngx_rf_learn_score(l, c, &ln->argv[i + 1], &ln->argv[i]);
            continue;
        }

        rc = ngx_rf_coll_remove(l, c, &ln->argv[i + 1]);

        if (rc == NGX_DECLINED) {
            rc = NGX_OK;
        }
    }

    return rc;
}


/* an element's value as the reply says it; nil or 0: there is none */

static ngx_int_t
ngx_rf_learn_one(ngx_rf_learn_t *ln, ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name, ngx_rf_reply_t *reply)
{
    u_char     text[NGX_INT64_LEN];
    ngx_int_t  rc;
    ngx_str_t  value;

    if (reply->type == NGX_RF_REPLY_NIL
        || (c->type == NGX_RF_SET && reply->integer == 0))
    {
        rc = ngx_rf_coll_remove(l, c, name);
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c->type == NGX_RF_SET) {
        return ngx_rf_coll_put(l, c, name, NULL, NGX_RF_DELTA_SET, NULL);
    }

    value = reply->str;

    if (reply->type == NGX_RF_REPLY_INTEGER) {
        value.data = text;
        value.len = ngx_sprintf(text, "%L", reply->integer) - text;

    } else if (reply->type != NGX_RF_REPLY_STRING) {
        return NGX_DECLINED;
    }

    if (c->type == NGX_RF_ZSET) {
        return ngx_rf_learn_score(l, c, name, &value);
    }

    return ngx_rf_coll_put(l, c, name, &value, NGX_RF_DELTA_SET, NULL);
}


static ngx_int_t
ngx_rf_learn_score(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    ngx_str_t *text)
{
    char    buf[64], *end;
    double  score;

    if (text->len == 0 || text->len >= sizeof(buf)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(buf, text->data, text->len);
    buf[text->len] = '\0';

    score = strtod(buf, &end);

    if (*end != '\0' || score != score) {
        return NGX_DECLINED;
    }

    return ngx_rf_coll_put_score(l, c, name, score, NGX_RF_DELTA_SET, 0);
}


/* the command once more on what memory knows, which must be all of it, but for
 * one that goes by what the elements are */

static void
ngx_rf_learn_again(ngx_rf_learn_t *ln)
{
    ngx_int_t        i, last;
    ngx_uint_t       n, complete, partial;
    ngx_rf_entry_t  *e;
    ngx_rf_local_t   l;

    last = ngx_min(ln->command->last, (ngx_int_t) ln->argc - 1);
    n = 0;
    complete = 1;

    partial = (ln->id == NGX_RF_CMD_ZREMRANGEBYSCORE
               || ln->id == NGX_RF_CMD_ZREMRANGEBYLEX);

    for (i = 1; i <= last; i++, n++) {
        e = ngx_rf_learn_find(ln, &ln->argv[i]);

        if (e == NULL || !(e->complete || partial)) {
            ngx_rf_learn_forget_keys(ln);
            return;
        }

        complete = e->complete;
    }

    if (ngx_rf_zone_begin_locked(ln->zone, n) != NGX_OK) {
        ngx_rf_learn_forget_keys(ln);
        return;
    }

    ln->zone->urgent = 0;

    ngx_rf_learn_local(ln, &l);

    if (ngx_rf_local_handler(ln->id)(&l) != NGX_OK
        || (complete && !ngx_rf_learn_same(l.reply, ln->reply)))
    {
        ngx_rf_zone_rollback_locked(ln->zone);
        ngx_rf_learn_forget_keys(ln);
        return;
    }

    ngx_rf_zone_commit_locked(ln->zone);

    for (i = 1; i <= last; i++) {
        ngx_rf_learn_seen(ln, &ln->argv[i], complete);
    }
}


static ngx_uint_t
ngx_rf_learn_same(ngx_rf_reply_t *a, ngx_rf_reply_t *b)
{
    ngx_uint_t  i;

    if (a->type != b->type || a->integer != b->integer
        || a->str.len != b->str.len || a->nelts != b->nelts
        || (a->str.len
            && ngx_memcmp(a->str.data, b->str.data, a->str.len) != 0))
    {
        return 0;
    }

    if (a->type != NGX_RF_REPLY_ARRAY) {
        return 1;
    }

    for (i = 0; i < a->nelts; i++) {
        if (!ngx_rf_learn_same(&a->elts[i], &b->elts[i])) {
            return 0;
        }
    }

    return 1;
}


/* a list that has as many elements as were pushed holds nothing else */

static void
ngx_rf_learn_push(ngx_rf_learn_t *ln)
{
    ngx_str_t       *key;
    ngx_uint_t       i;
    ngx_rf_item_t   *item;
    ngx_rf_entry_t  *e;

    key = &ln->argv[1];

    if (ngx_rf_learn_entry(ln, key, &e) != NGX_OK) {
        ngx_rf_learn_late_push(ln);
        return;
    }

    if (ln->reply->integer != (int64_t) ln->argc - 2
        || ngx_rf_learn_changed(ln, key, e)
        || ln->argc > NGX_RF_LEARN_ELTS)
    {
        ngx_rf_learn_again(ln);
        return;
    }

    ln->items = ngx_pcalloc(ln->pool, ln->argc * sizeof(ngx_rf_item_t));

    if (ln->items == NULL) {
        ngx_rf_learn_forget(ln);
        return;
    }

    for (i = 2; i < ln->argc; i++) {
        item = &ln->items[ln->id == NGX_RF_CMD_RPUSH ? i - 2
                                                     : ln->argc - 1 - i];
        item->name = ln->argv[i];
    }

    /* as if it had been read: new, so without an expiry */

    ln->nitems = ln->argc - 2;
    ln->pttl = -1;

    ngx_rf_learn_all(ln, NGX_RF_LIST);
}


void
ngx_rf_learn_local(ngx_rf_learn_t *ln, ngx_rf_local_t *l)
{
    ngx_memzero(l, sizeof(ngx_rf_local_t));

    l->zone = ln->zone;
    l->command = ln->command;
    l->argc = ln->argc;
    l->argv = ln->argv;
    l->pool = ln->pool;
    l->now = ngx_rf_now();
    l->scope = NGX_RF_SCOPE_ANY;
    l->mirror = 1;
}


ngx_rf_type_e
ngx_rf_learn_type(ngx_rf_command_e id)
{
    if (id >= NGX_RF_CMD_ZADD) {
        return NGX_RF_ZSET;
    }

    if (id >= NGX_RF_CMD_SADD) {
        return NGX_RF_SET;
    }

    return id >= NGX_RF_CMD_LPUSH ? NGX_RF_LIST : NGX_RF_HASH;
}


/* what has been put in is Redis' now */

static void
ngx_rf_learn_seen(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_uint_t complete)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_learn_filled(ln, key);

    if (e != NULL) {
        ngx_rf_learn_mark(ln, e, complete);
    }
}


ngx_rf_entry_t *
ngx_rf_learn_filled(ngx_rf_learn_t *ln, ngx_str_t *key)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_lookup_locked(ln->zone, key);

    if (e == NULL) {
        return NULL;
    }

    if (e->type == NGX_RF_NONE) {
        ngx_rf_zone_forget_locked(ln->zone, e);
        return NULL;
    }

    if (ln->pttl >= -1) {
        ngx_rf_zone_expire_locked(ln->zone, e, ln->pttl == -1 ? 0
                                               : ln->sent + ln->pttl);
    }

    return e;
}
