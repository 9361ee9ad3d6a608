/*
 * Changes of a record into the zone.
 *
 * A record says of compacted changes what Redis is to be told, one thing after
 * the other.  Here they are compacted again as they are read: a record takes
 * in the zone what it took there before, not one block for each element.
 *
 * Guarantees: what was sent and what was not stay apart, and written again the
 * changes do what they did.  Refuses to know: what else is in a record.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* verbs as ngx_rf_zone_record.c writes them: those of clients are in lower
 * case */

typedef struct {
    const char           *name;
    const char           *flag;         /* its first argument, or NULL */
    ngx_rf_type_e         type;
    ngx_rf_delta_e        how;
    ngx_uint_t            place;        /* verbs of one delta come in order; of
                                           a list: in this tree */
    ngx_uint_t            step;         /* arguments for each element */
    unsigned              single:1;     /* a change of one element */
} ngx_rf_delta_verb_t;


typedef struct {
    ngx_rf_zone_t        *zone;
    ngx_rf_zpacked_t     *packed;

    /* read now; of type NONE: there is none */
    ngx_rf_zdelta_t       delta;
    ngx_uint_t            place;        /* of its last verb */
    ngx_uint_t            nelts;        /* of that verb */
} ngx_rf_reader_t;


static ngx_int_t ngx_rf_delta_read(ngx_rf_reader_t *r, ngx_rf_record_t *rec);
static ngx_rf_delta_verb_t *ngx_rf_delta_verb(ngx_rf_change_t *change);
static ngx_uint_t ngx_rf_delta_is(ngx_str_t *str, const char *text);
static ngx_uint_t ngx_rf_delta_exact(ngx_rf_change_t *change,
    ngx_rf_delta_verb_t *verb);
static ngx_uint_t ngx_rf_delta_score(ngx_str_t *str, double *score);
static ngx_int_t ngx_rf_delta_plain(ngx_rf_reader_t *r,
    ngx_rf_change_t *change);
static ngx_int_t ngx_rf_delta_change(ngx_rf_reader_t *r,
    ngx_rf_change_t *change, ngx_rf_delta_verb_t *verb);
static ngx_int_t ngx_rf_delta_push(ngx_rf_reader_t *r, ngx_str_t *value,
    ngx_rf_delta_verb_t *verb);
static ngx_int_t ngx_rf_delta_line(ngx_rf_reader_t *r, ngx_str_t *arg,
    ngx_rf_delta_verb_t *verb);
static ngx_int_t ngx_rf_delta_splice(ngx_rf_reader_t *r, uint64_t rank,
    ngx_rf_item_t *item, ngx_rf_delta_verb_t *verb, ngx_str_t *operand);
static ngx_int_t ngx_rf_delta_end(ngx_rf_reader_t *r);
static ngx_int_t ngx_rf_delta_add(ngx_rf_reader_t *r, ngx_rf_zchange_t *c);


static ngx_rf_delta_verb_t  ngx_rf_delta_verbs[] = {

    { "HDEL", NULL, NGX_RF_HASH, NGX_RF_DELTA_DEL, 0, 1, 0 },
    { "HSET", NULL, NGX_RF_HASH, NGX_RF_DELTA_SET, 1, 2, 0 },
    { "HINCRBY", NULL, NGX_RF_HASH, NGX_RF_DELTA_INCR, 2, 2, 1 },
    { "HINCRBYFLOAT", NULL, NGX_RF_HASH, NGX_RF_DELTA_INCRFLOAT, 3, 2, 1 },

    { "SREM", NULL, NGX_RF_SET, NGX_RF_DELTA_DEL, 0, 1, 0 },
    { "SADD", NULL, NGX_RF_SET, NGX_RF_DELTA_SET, 1, 1, 0 },

    { "ZREM", NULL, NGX_RF_ZSET, NGX_RF_DELTA_DEL, 0, 1, 0 },
    { "ZADD", "GT", NGX_RF_ZSET, NGX_RF_DELTA_GT, 4, 2, 0 },
    { "ZADD", "LT", NGX_RF_ZSET, NGX_RF_DELTA_LT, 5, 2, 0 },
    { "ZADD", NULL, NGX_RF_ZSET, NGX_RF_DELTA_SET, 1, 2, 0 },
    { "ZINCRBY", NULL, NGX_RF_ZSET, NGX_RF_DELTA_INCR, 2, 2, 1 },

    { "LREM", "1", NGX_RF_LIST, NGX_RF_DELTA_NONE, 0, 1, 1 },
    { "LREM", "-1", NGX_RF_LIST, NGX_RF_DELTA_NONE, 0, 1, 1 },
    { "LPUSH", NULL, NGX_RF_LIST, NGX_RF_DELTA_NONE, 1, 1, 0 },
    { "RPUSH", NULL, NGX_RF_LIST, NGX_RF_DELTA_NONE, 2, 1, 0 },

    { NULL, NULL, NGX_RF_NONE, NGX_RF_DELTA_NONE, 0, 0, 0 }
};


ngx_int_t
ngx_rf_zone_pack_changes(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_rf_entry_t *keep, ngx_rf_zpacked_t *packed)
{
    ngx_int_t          rc;
    ngx_rf_reader_t    r;
    ngx_rf_zchange_t  *c, *next;

    ngx_memzero(packed, sizeof(ngx_rf_zpacked_t));
    ngx_memzero(&r, sizeof(ngx_rf_reader_t));

    r.zone = zone;
    r.packed = packed;

    ngx_rf_heap_begin(&zone->heap, ++zone->sh->owner);
    zone->kept = keep;

    rc = ngx_rf_delta_read(&r, rec);

    zone->kept = NULL;

    if (rc == NGX_OK) {
        ngx_rf_heap_commit(&zone->heap);
        return NGX_OK;
    }

    /* all their trees are the heap's */

    ngx_rf_heap_rollback(&zone->heap);

    for (c = packed->first; c; c = next) {
        next = c->next;
        ngx_rf_zone_free_locked(zone, c);
    }

    return NGX_RF_NEED_ROOM;
}


static ngx_int_t
ngx_rf_delta_read(ngx_rf_reader_t *r, ngx_rf_record_t *rec)
{
    ngx_int_t             rc;
    ngx_uint_t            i, nsent;
    ngx_rf_change_t      *change;
    ngx_rf_delta_verb_t  *verb;

    nsent = ngx_min(rec->nsent, rec->nchanges);

    for (i = 0; i < rec->nchanges; i++) {
        change = &rec->changes[i];
        verb = ngx_rf_delta_verb(change);

        if (verb != NULL && ngx_rf_delta_exact(change, verb)) {
            rc = ngx_rf_delta_change(r, change, verb);

        } else {
            rc = ngx_rf_delta_plain(r, change);
        }

        if (rc == NGX_OK && i + 1 == nsent) {
            rc = ngx_rf_delta_end(r);
            r->packed->nsent = r->packed->n;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_rf_delta_end(r);
}


static ngx_rf_delta_verb_t *
ngx_rf_delta_verb(ngx_rf_change_t *change)
{
    ngx_rf_delta_verb_t  *verb;

    if (change->argc < 2) {
        return NULL;
    }

    for (verb = ngx_rf_delta_verbs; verb->name; verb++) {

        if (ngx_rf_delta_is(&change->argv[0], verb->name)
            && (verb->flag == NULL
                || ngx_rf_delta_is(&change->argv[1], verb->flag)))
        {
            return verb;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_rf_delta_is(ngx_str_t *str, const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    return str->len == len && ngx_memcmp(str->data, text, len) == 0;
}


/* whether it would be written again as it is */

static ngx_uint_t
ngx_rf_delta_exact(ngx_rf_change_t *change, ngx_rf_delta_verb_t *verb)
{
    double      score;
    ngx_uint_t  i, n;

    i = verb->flag ? 2 : 1;
    n = change->argc - i;

    if (n == 0 || n % verb->step
        || n / verb->step > (verb->single ? 1 : NGX_RF_RECORD_ELTS))
    {
        return 0;
    }

    if (verb->type != NGX_RF_ZSET || verb->step == 1) {
        return 1;
    }

    for ( /* void */ ; i < change->argc; i += 2) {
        if (!ngx_rf_delta_score(&change->argv[i], &score)) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_rf_delta_score(ngx_str_t *str, double *score)
{
    char  text[NGX_RF_RECORD_SCORE], again[NGX_RF_RECORD_SCORE];

    if (str->len == 0 || str->len >= sizeof(text)) {
        return 0;
    }

    ngx_memcpy(text, str->data, str->len);
    text[str->len] = '\0';

    *score = strtod(text, NULL);

    (void) snprintf(again, sizeof(again), "%.17g", *score);

    return *score == *score && ngx_rf_delta_is(str, again);
}


static ngx_int_t
ngx_rf_delta_plain(ngx_rf_reader_t *r, ngx_rf_change_t *change)
{
    if (ngx_rf_delta_end(r) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_rf_delta_add(r, ngx_rf_zone_change_locked(r->zone, change->argc,
                                                         change->argv, NULL,
                                                         0));
}


static ngx_int_t
ngx_rf_delta_change(ngx_rf_reader_t *r, ngx_rf_change_t *change,
    ngx_rf_delta_verb_t *verb)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    /* one that is not full is the last of its verb */

    if (r->delta.type != NGX_RF_NONE
        && (r->delta.type != verb->type
            || verb->place < r->place
            || (verb->place == r->place && !verb->single
                && r->nelts % NGX_RF_RECORD_ELTS != 0))
        && ngx_rf_delta_end(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = verb->flag ? 2 : 1; i < change->argc; i += verb->step) {

        if (verb->type == NGX_RF_LIST) {
            rc = ngx_rf_delta_push(r, &change->argv[i], verb);

        } else {
            rc = ngx_rf_delta_line(r, &change->argv[i], verb);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_delta_push(ngx_rf_reader_t *r, ngx_str_t *value,
    ngx_rf_delta_verb_t *verb)
{
    ngx_rf_item_t  item;

    ngx_memzero(&item, sizeof(ngx_rf_item_t));

    item.key = (verb->flag != NULL && verb->flag[0] == '-');
    item.name = *value;

    return ngx_rf_delta_splice(r, r->delta.tree[verb->place].count, &item,
                               verb, NULL);
}


/* an element once in each delta */

static ngx_int_t
ngx_rf_delta_line(ngx_rf_reader_t *r, ngx_str_t *arg,
    ngx_rf_delta_verb_t *verb)
{
    double          score;
    uint64_t        rank;
    ngx_str_t       operand;
    ngx_rf_elt_t   *elt;
    ngx_rf_item_t   item;

    ngx_memzero(&item, sizeof(ngx_rf_item_t));
    ngx_str_null(&operand);

    item.name = arg[0];

    if (verb->type == NGX_RF_ZSET && verb->step == 2) {
        item.name = arg[1];
        (void) ngx_rf_delta_score(&arg[0], &score);
        operand.data = (u_char *) &score;
        operand.len = sizeof(double);

    } else if (verb->step == 2) {
        operand = arg[1];
    }

    item.key = ngx_rf_zone_hash(r->zone->sh, &item.name);

    ngx_rf_tree_search(&r->delta.tree[0], item.key, item.name.data,
                       item.name.len, &rank, &elt);

    if (elt != NULL) {
        if (ngx_rf_delta_end(r) != NGX_OK) {
            return NGX_ERROR;
        }

        rank = 0;
    }

    return ngx_rf_delta_splice(r, rank, &item, verb, &operand);
}


/* with an operand, its value is that behind a byte of ngx_rf_delta_e */

static ngx_int_t
ngx_rf_delta_splice(ngx_rf_reader_t *r, uint64_t rank, ngx_rf_item_t *item,
    ngx_rf_delta_verb_t *verb, ngx_str_t *operand)
{
    u_char         *p, buf[256];
    ngx_int_t       rc;
    ngx_rf_tree_t  *tree;

    p = buf;

    if (operand != NULL) {
        item->value.len = 1 + operand->len;

        if (item->value.len > sizeof(buf)) {
            p = malloc(item->value.len);
            if (p == NULL) {
                return NGX_ERROR;
            }
        }

        item->value.data = p;
        p[0] = verb->how;

        if (operand->len) {
            ngx_memcpy(p + 1, operand->data, operand->len);
        }
    }

    if (r->delta.type == NGX_RF_NONE || r->place != verb->place) {
        r->nelts = 0;
    }

    r->delta.type = verb->type;
    r->place = verb->place;
    r->nelts++;

    tree = &r->delta.tree[verb->type == NGX_RF_LIST ? verb->place : 0];

    rc = ngx_rf_tree_splice(&r->zone->heap, tree, rank, 0, item, 1);

    if (p != buf) {
        free(p);
    }

    return rc;
}


static ngx_int_t
ngx_rf_delta_end(ngx_rf_reader_t *r)
{
    ngx_rf_zchange_t  *c;

    if (r->delta.type == NGX_RF_NONE) {
        return NGX_OK;
    }

    c = ngx_rf_zone_delta_change(r->zone, &r->delta);

    ngx_memzero(&r->delta, sizeof(ngx_rf_zdelta_t));

    return ngx_rf_delta_add(r, c);
}


static ngx_int_t
ngx_rf_delta_add(ngx_rf_reader_t *r, ngx_rf_zchange_t *c)
{
    ngx_rf_zpacked_t  *packed;

    packed = r->packed;

    if (c == NULL) {
        return NGX_ERROR;
    }

    c->prev = packed->last;

    if (packed->last) {
        packed->last->next = c;

    } else {
        packed->first = c;
    }

    packed->last = c;
    packed->n++;

    return NGX_OK;
}
