/*
 * Records out of the zone and back into it.
 *
 * A record is written twice by the same functions: first they only count what
 * it takes, then they fill it in.  For a large one the lock is given away now
 * and then: it is of the moment when it was begun.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* elements between two offers of the lock; so many in all make it worth it */
#ifndef NGX_RF_RECORD_BREATH
#define NGX_RF_RECORD_BREATH    2048
#define NGX_RF_RECORD_HEAVY     8192
#endif


/*
 * What an entry held when its record was begun.  Where the lock is given away
 * meanwhile, the changes are copies, and a pin keeps the trees.
 */

typedef struct {
    ngx_rf_zone_t        *zone;
    ngx_rf_entry_t       *entry;
    ngx_rf_type_e         type;
    ngx_rf_tree_t         elts;
    ngx_rf_zchange_t     *changes;
    ngx_uint_t            nsent;        /* of them */

    unsigned              breathes:1;
    unsigned              lost:1;       /* the zone was made anew */
    ngx_uint_t            breath;

    /* counted first, then filled */
    ngx_rf_record_t       head;
    ngx_rf_record_t      *rec;          /* NULL: nothing is written yet */
    ngx_uint_t            nargs;
    size_t                size;
    u_char               *p;
    ngx_str_t            *str;          /* the next one */
    ngx_uint_t            nchanges;
    ngx_uint_t            open;         /* elements in the last change */
} ngx_rf_writer_t;


static void ngx_rf_record_begin(ngx_rf_writer_t *w, ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_record_hold(ngx_rf_writer_t *w);
static void ngx_rf_record_let_go(ngx_rf_writer_t *w);
static ngx_uint_t ngx_rf_record_weight(ngx_rf_writer_t *w);
static void ngx_rf_record_breathe(ngx_rf_writer_t *w);
static ngx_rf_record_t *ngx_rf_record_write(ngx_rf_writer_t *w);
static void ngx_rf_record_values(ngx_rf_writer_t *w);
static void ngx_rf_record_changes(ngx_rf_writer_t *w);
static void ngx_rf_record_delta(ngx_rf_writer_t *w, ngx_rf_zdelta_t *delta);
static void ngx_rf_record_delta_list(ngx_rf_writer_t *w,
    ngx_rf_zdelta_t *delta);
static void ngx_rf_record_delta_how(ngx_rf_writer_t *w,
    ngx_rf_zdelta_t *delta, ngx_rf_delta_e how);
static void ngx_rf_record_element(ngx_rf_writer_t *w, ngx_rf_type_e type,
    ngx_rf_delta_e how, ngx_rf_elt_t *elt);
static void ngx_rf_record_change(ngx_rf_writer_t *w, const char *verb);
static void ngx_rf_record_str(ngx_rf_writer_t *w, void *data, size_t len);
static void ngx_rf_record_score(ngx_rf_writer_t *w, void *data);
static ngx_rf_content_t *ngx_rf_zone_pack_coll(ngx_rf_zone_t *zone,
    ngx_rf_record_t *rec);
static ngx_int_t ngx_rf_zone_pack_element(ngx_rf_zone_t *zone,
    ngx_rf_type_e type, ngx_rf_content_t *content, ngx_str_t *value);
static ngx_int_t ngx_rf_zone_pack_member(ngx_rf_zone_t *zone,
    ngx_rf_content_t *content, ngx_str_t *value);
static uint64_t ngx_rf_zone_mix(uint64_t x);


/* by type and ngx_rf_delta_e */

static const char  *ngx_rf_record_verbs[][NGX_RF_DELTA_LT + 1] = {
    { NULL },
    { NULL },
    { NULL, "HSET", "HDEL", "HINCRBY", "HINCRBYFLOAT", NULL, NULL },
    { NULL },
    { NULL, "SADD", "SREM", NULL, NULL, NULL, NULL },
    { NULL, "ZADD", "ZREM", "ZINCRBY", NULL, "ZADD", "ZADD" }
};


ngx_rf_record_t *
ngx_rf_zone_record(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_writer_t  w;

    ngx_rf_record_begin(&w, zone, e);

    return ngx_rf_record_write(&w);
}


ngx_int_t
ngx_rf_zone_record_slowly(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t **rec)
{
    ngx_uint_t       pinned;
    ngx_rf_writer_t  w;

    ngx_rf_record_begin(&w, zone, e);

    pinned = 0;

    if (ngx_rf_record_weight(&w) > NGX_RF_RECORD_HEAVY) {
        pinned = ngx_rf_zone_pin_locked(zone);

        if (pinned && ngx_rf_record_hold(&w) != NGX_OK) {
            ngx_rf_zone_unpin_locked(zone);
            *rec = NULL;
            return NGX_ERROR;
        }

        w.breathes = pinned;
    }

    *rec = ngx_rf_record_write(&w);

    if (pinned) {
        ngx_rf_record_let_go(&w);
    }

    if (w.lost) {
        ngx_rf_codec_free(*rec);
        *rec = NULL;
        return NGX_AGAIN;
    }

    if (pinned) {
        ngx_rf_zone_unpin_locked(zone);
    }

    return *rec ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_rf_zone_record_nsent(ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_writer_t  w;

    ngx_rf_record_begin(&w, zone, e);
    ngx_rf_record_changes(&w);

    return w.head.nsent;
}


static void
ngx_rf_record_begin(ngx_rf_writer_t *w, ngx_rf_zone_t *zone, ngx_rf_entry_t *e)
{
    ngx_rf_record_t  *head;

    ngx_memzero(w, sizeof(ngx_rf_writer_t));

    w->zone = zone;
    w->entry = e;
    w->type = e->value ? e->type : NGX_RF_NONE;
    w->changes = e->work->changes;
    w->nsent = e->work->nsent;

    if (ngx_rf_zone_is_coll(w->type)) {
        w->elts = ngx_rf_zone_content(e)->elts;
    }

    head = &w->head;

    head->key.data = e->key;
    head->key.len = e->key_len;
    head->type = e->type;
    head->pending = e->pending;
    head->version = e->version;
    head->changed = e->changed;
    head->expire = e->expire;
    head->id = e->work->id;
    head->base = e->work->base;
    ngx_memcpy(head->base_sha1, e->work->base_sha1, 20);
    head->base_expires = e->work->base_expires;
    head->complete = e->complete;
    head->partial = ngx_rf_zone_partial(e);
    head->foreign = e->work->foreign;
}


static ngx_uint_t
ngx_rf_record_weight(ngx_rf_writer_t *w)
{
    ngx_uint_t         i, n;
    ngx_rf_zdelta_t   *delta;
    ngx_rf_zchange_t  *c;

    n = w->elts.count;

    for (c = w->changes; c; c = c->next) {
        delta = ngx_rf_zone_delta(c);
        n += 1 + c->argc;

        for (i = 0; delta != NULL && i < 3; i++) {
            n += delta->tree[i].count;
        }
    }

    return n;
}


/* copies of the changes and of the key: only trees are kept by a pin */

static ngx_int_t
ngx_rf_record_hold(ngx_rf_writer_t *w)
{
    u_char            *key;
    ngx_rf_zchange_t  *c, *copy, **last;

    key = malloc(w->head.key.len + 1);
    if (key == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(key, w->head.key.data, w->head.key.len);
    w->head.key.data = key;

    c = w->changes;
    w->changes = NULL;
    last = &w->changes;

    for ( /* void */ ; c; c = c->next) {
        copy = malloc(ngx_rf_zchange_size(c->size));

        if (copy == NULL) {
            ngx_rf_record_let_go(w);
            return NGX_ERROR;
        }

        ngx_memcpy(copy, c, ngx_rf_zchange_size(c->size));
        copy->next = NULL;

        *last = copy;
        last = &copy->next;
    }

    return NGX_OK;
}


static void
ngx_rf_record_let_go(ngx_rf_writer_t *w)
{
    ngx_rf_zchange_t  *c, *next;

    for (c = w->changes; c; c = next) {
        next = c->next;
        free(c);
    }

    free(w->head.key.data);
}


static void
ngx_rf_record_breathe(ngx_rf_writer_t *w)
{
    ngx_uint_t  rebuilds;

    if (!w->breathes || ++w->breath < NGX_RF_RECORD_BREATH) {
        return;
    }

    w->breath = 0;
    rebuilds = w->zone->sh->rebuilds;

    ngx_rf_zone_unlock(w->zone);
    ngx_rf_zone_lock(w->zone);

    w->lost |= (w->zone->sh->rebuilds != rebuilds);
}


static ngx_rf_record_t *
ngx_rf_record_write(ngx_rf_writer_t *w)
{
    w->size = w->head.key.len;

    ngx_rf_record_values(w);
    w->head.nvalues = w->nargs;
    w->nargs = 0;

    ngx_rf_record_changes(w);
    w->head.nchanges = w->nchanges;

    if (w->lost) {
        return NULL;
    }

    w->rec = ngx_rf_codec_record(&w->head, w->nargs, w->size, &w->p);
    if (w->rec == NULL) {
        return NULL;
    }

    w->nchanges = 0;

    w->str = &w->rec->key;
    ngx_rf_record_str(w, w->head.key.data, w->head.key.len);

    w->str = w->rec->values;

    ngx_rf_record_values(w);
    ngx_rf_record_changes(w);

    return w->rec;
}


static void
ngx_rf_record_values(ngx_rf_writer_t *w)
{
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    if (w->type == NGX_RF_STRING) {
        ngx_rf_record_str(w, w->entry->value->data, w->entry->value->len);
        return;
    }

    for (elt = ngx_rf_walk_from(&walk, &w->elts, 0);
         elt != NULL && !w->lost;
         elt = ngx_rf_walk_next(&walk))
    {
        ngx_rf_record_str(w, ngx_rf_elt_name(elt), elt->name_len);

        if (w->type == NGX_RF_HASH) {
            ngx_rf_record_str(w, ngx_rf_elt_value(elt), elt->value_len);

        } else if (w->type == NGX_RF_ZSET) {
            ngx_rf_record_score(w, ngx_rf_elt_value(elt));
        }

        ngx_rf_record_breathe(w);

        if (w->lost) {
            return;
        }
    }
}


/* a row of compacted changes becomes several; "nsent" counts what they have
 * become */

static void
ngx_rf_record_changes(ngx_rf_writer_t *w)
{
    ngx_str_t          str;
    ngx_uint_t         i, n;
    ngx_rf_zchange_t  *c;

    n = 0;

    for (c = w->changes; c && !w->lost; c = c->next) {

        if (c->argc == 0) {
            ngx_rf_record_delta(w, ngx_rf_zone_delta(c));

        } else {
            ngx_rf_record_change(w, NULL);

            for (i = 0; i < c->argc; i++) {
                if (ngx_rf_zone_change_str(c, i, &str) != NGX_OK) {
                    break;
                }

                ngx_rf_record_str(w, str.data, str.len);
            }
        }

        if (++n == w->nsent) {
            w->head.nsent = w->nchanges;
        }
    }
}


static void
ngx_rf_record_delta(ngx_rf_writer_t *w, ngx_rf_zdelta_t *delta)
{
    if (delta->type == NGX_RF_LIST) {
        ngx_rf_record_delta_list(w, delta);
        return;
    }

    ngx_rf_record_delta_how(w, delta, NGX_RF_DELTA_DEL);
    ngx_rf_record_delta_how(w, delta, NGX_RF_DELTA_SET);
    ngx_rf_record_delta_how(w, delta, NGX_RF_DELTA_INCR);
    ngx_rf_record_delta_how(w, delta, NGX_RF_DELTA_INCRFLOAT);
    ngx_rf_record_delta_how(w, delta, NGX_RF_DELTA_GT);
    ngx_rf_record_delta_how(w, delta, NGX_RF_DELTA_LT);
}


static void
ngx_rf_record_delta_list(ngx_rf_writer_t *w, ngx_rf_zdelta_t *delta)
{
    ngx_uint_t      i;
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    for (i = 0; i < 3 && !w->lost; i++) {
        w->open = 0;

        for (elt = ngx_rf_walk_from(&walk, &delta->tree[i], 0);
             elt != NULL;
             elt = ngx_rf_walk_next(&walk))
        {
            if (i == 0) {
                /* popped there: the first that is equal, seen from that end */

                ngx_rf_record_change(w, "LREM");
                ngx_rf_record_str(w, elt->key ? "-1" : "1", elt->key ? 2 : 1);

            } else if (w->open++ % NGX_RF_RECORD_ELTS == 0) {
                ngx_rf_record_change(w, i == 1 ? "LPUSH" : "RPUSH");
            }

            ngx_rf_record_str(w, ngx_rf_elt_name(elt), elt->name_len);
            ngx_rf_record_breathe(w);

            if (w->lost) {
                return;
            }
        }
    }
}


static void
ngx_rf_record_delta_how(ngx_rf_writer_t *w, ngx_rf_zdelta_t *delta,
    ngx_rf_delta_e how)
{
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    if (w->lost) {
        return;
    }

    w->open = 0;

    for (elt = ngx_rf_walk_from(&walk, &delta->tree[0], 0);
         elt != NULL;
         elt = ngx_rf_walk_next(&walk))
    {
        if (ngx_rf_elt_value(elt)[0] == how) {
            ngx_rf_record_element(w, delta->type, how, elt);
        }

        ngx_rf_record_breathe(w);

        if (w->lost) {
            return;
        }
    }
}


static void
ngx_rf_record_element(ngx_rf_writer_t *w, ngx_rf_type_e type,
    ngx_rf_delta_e how, ngx_rf_elt_t *elt)
{
    u_char      *value;
    ngx_uint_t   one;

    value = ngx_rf_elt_value(elt) + 1;
    one = (how == NGX_RF_DELTA_INCR || how == NGX_RF_DELTA_INCRFLOAT);

    if (one || w->open++ % NGX_RF_RECORD_ELTS == 0) {
        ngx_rf_record_change(w, ngx_rf_record_verbs[type][how]);

        if (how == NGX_RF_DELTA_GT) {
            ngx_rf_record_str(w, "GT", 2);

        } else if (how == NGX_RF_DELTA_LT) {
            ngx_rf_record_str(w, "LT", 2);
        }
    }

    if (type == NGX_RF_ZSET && how != NGX_RF_DELTA_DEL) {
        ngx_rf_record_score(w, value);
    }

    ngx_rf_record_str(w, ngx_rf_elt_name(elt), elt->name_len);

    if (type == NGX_RF_HASH && how != NGX_RF_DELTA_DEL) {
        ngx_rf_record_str(w, value, elt->value_len - 1);
    }
}


/* a change, whose arguments follow */

static void
ngx_rf_record_change(ngx_rf_writer_t *w, const char *verb)
{
    if (w->rec) {
        w->rec->changes[w->nchanges].argc = 0;
        w->rec->changes[w->nchanges].argv = w->str;
    }

    w->nchanges++;

    if (verb) {
        ngx_rf_record_str(w, (void *) verb, ngx_strlen(verb));
    }
}


static void
ngx_rf_record_str(ngx_rf_writer_t *w, void *data, size_t len)
{
    if (w->rec == NULL) {
        w->nargs++;
        w->size += len;
        return;
    }

    w->str->data = w->p;
    w->str->len = len;
    w->str++;

    if (len) {
        w->p = ngx_cpymem(w->p, data, len);
    }

    if (w->nchanges) {
        w->rec->changes[w->nchanges - 1].argc++;
    }
}


/* with 17 digits it comes back as it was */

static void
ngx_rf_record_score(ngx_rf_writer_t *w, void *data)
{
    int     len;
    char    text[NGX_RF_RECORD_SCORE];
    double  score;

    ngx_memcpy(&score, data, sizeof(double));

    len = snprintf(text, NGX_RF_RECORD_SCORE, "%.17g", score);

    ngx_rf_record_str(w, text, len);
}


void *
ngx_rf_zone_pack(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep)
{
    if (rec->type != NGX_RF_STRING) {
        return ngx_rf_zone_pack_coll(zone, rec);
    }

    if (rec->nvalues == 0) {
        return ngx_rf_zone_blob_locked(zone, NULL, 0, keep, nkeep);
    }

    return ngx_rf_zone_blob_locked(zone, rec->values[0].data,
                                   rec->values[0].len, keep, nkeep);
}


/* what the record says twice counts once: it may come from a file */

static ngx_rf_content_t *
ngx_rf_zone_pack_coll(ngx_rf_zone_t *zone, ngx_rf_record_t *rec)
{
    ngx_uint_t         i, step;
    ngx_rf_content_t   content, *copy;

    ngx_memzero(&content, sizeof(ngx_rf_content_t));

    ngx_rf_heap_begin(&zone->heap, ++zone->sh->owner);

    copy = ngx_rf_zone_alloc_locked(zone, sizeof(ngx_rf_content_t), NULL, 0);
    if (copy == NULL) {
        goto failed;
    }

    step = (rec->type == NGX_RF_HASH || rec->type == NGX_RF_ZSET) ? 2 : 1;

    for (i = 0; i + step <= rec->nvalues; i += step) {
        if (ngx_rf_zone_pack_element(zone, rec->type, &content,
                                     &rec->values[i])
            != NGX_OK)
        {
            goto failed;
        }
    }

    ngx_rf_heap_commit(&zone->heap);

    *copy = content;

    return copy;

failed:

    ngx_rf_heap_rollback(&zone->heap);
    ngx_rf_zone_free_locked(zone, copy);

    return NULL;
}


static ngx_int_t
ngx_rf_zone_pack_element(ngx_rf_zone_t *zone, ngx_rf_type_e type,
    ngx_rf_content_t *content, ngx_str_t *value)
{
    uint64_t        rank;
    ngx_rf_elt_t   *elt;
    ngx_rf_item_t   item;

    if (type == NGX_RF_ZSET) {
        return ngx_rf_zone_pack_member(zone, content, value);
    }

    ngx_memzero(&item, sizeof(ngx_rf_item_t));

    item.name = value[0];
    elt = NULL;
    rank = content->elts.count;

    if (type != NGX_RF_LIST) {
        item.key = ngx_rf_zone_hash(zone->sh, &item.name);
        ngx_rf_tree_search(&content->elts, item.key, item.name.data,
                           item.name.len, &rank, &elt);
    }

    if (type == NGX_RF_HASH) {
        item.value = value[1];
    }

    return ngx_rf_tree_splice(&zone->heap, &content->elts, rank, elt != NULL,
                              &item, 1);
}


static ngx_int_t
ngx_rf_zone_pack_member(ngx_rf_zone_t *zone, ngx_rf_content_t *content,
    ngx_str_t *value)
{
    char            text[NGX_RF_RECORD_SCORE];
    double          score;
    uint64_t        rank;
    ngx_rf_elt_t   *elt;
    ngx_rf_item_t   item;

    ngx_memcpy(text, value[1].data,
               ngx_min(value[1].len, NGX_RF_RECORD_SCORE - 1));
    text[ngx_min(value[1].len, NGX_RF_RECORD_SCORE - 1)] = '\0';

    score = strtod(text, NULL);

    item.name = value[0];
    item.key = ngx_rf_zone_hash(zone->sh, &item.name);
    item.value.data = (u_char *) &score;
    item.value.len = sizeof(double);

    ngx_rf_tree_search(&content->elts, item.key, item.name.data,
                       item.name.len, &rank, &elt);

    if (elt != NULL) {
        return NGX_OK;
    }

    if (ngx_rf_tree_splice(&zone->heap, &content->elts, rank, 0, &item, 1)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    item.key = ngx_rf_zone_score(score);
    item.value.len = 0;

    ngx_rf_tree_search(&content->order, item.key, item.name.data,
                       item.name.len, &rank, &elt);

    return ngx_rf_tree_splice(&zone->heap, &content->order, rank, 0, &item, 1);
}


ngx_rf_entry_t *
ngx_rf_zone_take_in(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec)
{
    ngx_uint_t         nkeep;
    void              *value;
    ngx_rf_type_e      type;
    ngx_rf_zpacked_t   packed;

    nkeep = (e != NULL);
    value = NULL;
    type = rec->type;

    if (ngx_rf_zone_is_coll(type) && rec->nvalues == 0) {
        /* there are no empty ones */
        type = NGX_RF_NONE;
    }

    if (type != NGX_RF_NONE) {
        zone->kept = e;
        value = ngx_rf_zone_pack(zone, rec, &e, nkeep);
        zone->kept = NULL;

        if (value == NULL) {
            return NULL;
        }
    }

    zone->kept = e;

    if (((e == NULL || e->work == &zone->sh->none)
         && ngx_rf_zone_work_reserve(zone, 1, NULL, 0) != NGX_OK)
        || ngx_rf_zone_pack_changes(zone, rec, e, &packed) != NGX_OK)
    {
        zone->kept = NULL;
        ngx_rf_zone_free_value(zone, type, value);
        return NULL;
    }

    if (e == NULL) {
        e = ngx_rf_zone_insert_locked(zone, &rec->key, NULL, 0);

        if (e == NULL) {
            ngx_rf_zone_free_changes(zone, packed.first);
            ngx_rf_zone_free_value(zone, type, value);
            return NULL;
        }
    }

    (void) ngx_rf_zone_work(zone, e);

    ngx_rf_zone_set_locked(zone, e, type, value);
    ngx_rf_zone_expire_locked(zone, e, rec->expire);

    e->version = rec->version ? rec->version : ++zone->sh->seq;

    if (zone->sh->seq < e->version) {
        zone->sh->seq = e->version;
    }

    e->changed = rec->changed;
    e->work->foreign = rec->foreign;
    e->work->base = rec->base;
    ngx_memcpy(e->work->base_sha1, rec->base_sha1, 20);
    e->work->base_expires = rec->base_expires;
    e->work->sent = 0;
    e->work->taken = 1;

    e->work->changes = packed.first;
    e->work->last_change = packed.last;
    e->work->nchanges = packed.n;
    e->work->id = rec->id;
    e->work->nsent = packed.nsent;

    /* nobody knows; that the present Redis has it is what loses nothing */
    e->work->sent_run = zone->sh->run;

    e->complete = rec->pending == NGX_RF_DELTA ? rec->complete : 1;

    if (rec->partial) {
        /* some time ago */
        e->seen = 1;
    }

    ngx_memory_barrier();

    e->pending = rec->pending == NGX_RF_DELTA ? NGX_RF_DELTA : NGX_RF_REPLACE;
    zone->sh->npending++;

    ngx_rf_zone_requeue(zone, e);

    return e;
}


void
ngx_rf_zone_identify(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    if (e->work->id == 0) {
        e->work->id = ngx_rf_zone_mix(sh->origin
                                ^ (e->version * 0x9e3779b97f4a7c15ULL));
    }
}


uint64_t
ngx_rf_zone_next_id(uint64_t id)
{
    return ngx_rf_zone_mix(id + 0x9e3779b97f4a7c15ULL);
}


static uint64_t
ngx_rf_zone_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    x ^= x >> 33;

    return x ? x : 1;
}
