/*
 * Sorted sets: ZRANDMEMBER and ZSCAN, which answer some of the members, in no
 * order.
 *
 * ZSCAN walks "elts", which is sorted by a hash of 32 bits that a member never
 * loses: the hash of the next one is a cursor that stays good, and members of
 * the same hash go out together.  So each that is there all the time is
 * returned exactly once.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_keyspace.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_zset_internal.h"


/* with a negative count members repeat: a reply of more is a mistake, and would
 * take all memory */
#define NGX_RF_ZSET_RANDOM_MAX  1000000


/* ranks that were drawn: a hash table that is at most half full */

typedef struct {
    uint64_t             *slots;        /* rank + 1; 0: free */
    uint64_t              mask;
} ngx_rf_zset_drawn_t;

typedef struct {
    uint64_t              n;
    ngx_uint_t            withscores;
    ngx_rf_reply_t       *elts;         /* the next one */
} ngx_rf_zset_draw_t;


static ngx_int_t ngx_rf_zset_rand_one(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_zset_rand_parse(ngx_rf_local_t *l, int64_t *count,
    ngx_uint_t *withscores);
static ngx_int_t ngx_rf_zset_rand_emit(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw, uint64_t rank);
static ngx_int_t ngx_rf_zset_rand_any(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw);
static ngx_int_t ngx_rf_zset_rand_few(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw);
static ngx_int_t ngx_rf_zset_rand_most(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw);
static ngx_int_t ngx_rf_zset_drawn_init(ngx_rf_local_t *l,
    ngx_rf_zset_drawn_t *drawn, uint64_t n);
static uint64_t *ngx_rf_zset_drawn_slot(ngx_rf_zset_drawn_t *drawn,
    uint64_t rank);
static uint64_t ngx_rf_zset_draw_new(ngx_rf_zset_drawn_t *drawn, uint64_t n);
static ngx_int_t ngx_rf_zset_scan_from(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_scan_t *scan, ngx_array_t *found, uint64_t *cursor);
static ngx_int_t ngx_rf_zset_scan_found(ngx_rf_local_t *l, ngx_array_t *found,
    ngx_rf_elt_t *elt);


ngx_int_t
ngx_rf_zset_randmember(ngx_rf_local_t *l)
{
    int64_t             count;
    ngx_int_t           rc;
    ngx_rf_coll_t       c;
    ngx_rf_zset_draw_t  draw;

    if (l->argc == 2) {
        return ngx_rf_zset_rand_one(l);
    }

    rc = ngx_rf_zset_rand_parse(l, &count, &draw.withscores);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        draw.n = 0;

    } else if (count < 0) {
        draw.n = -count;

        if (draw.n > NGX_RF_ZSET_RANDOM_MAX) {
            return ngx_rf_local_error(l, "ERR value is out of range");
        }

    } else {
        draw.n = ngx_min((uint64_t) count, c.elts.count);
    }

    rc = ngx_rf_coll_array(l, draw.withscores ? 2 * draw.n : draw.n,
                           &draw.elts);

    if (rc != NGX_OK || draw.n == 0) {
        return rc;
    }

    if (count < 0) {
        return ngx_rf_zset_rand_any(l, &c, &draw);
    }

    return draw.n <= c.elts.count / 2 ? ngx_rf_zset_rand_few(l, &c, &draw)
                                      : ngx_rf_zset_rand_most(l, &c, &draw);
}


static ngx_int_t
ngx_rf_zset_rand_one(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_nil(l);
    }

    elt = ngx_rf_tree_at(&c.elts, ngx_random() % c.elts.count);

    return ngx_rf_local_string(l, ngx_rf_elt_name(elt), elt->name_len);
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_zset_rand_parse(ngx_rf_local_t *l, int64_t *count,
    ngx_uint_t *withscores)
{
    ngx_int_t  rc;

    *withscores = (l->argc == 4);

    if (ngx_rf_local_number(&l->argv[2], count) != NGX_OK) {
        rc = ngx_rf_local_not_integer(l);

    } else if (*count == INT64_MIN) {
        rc = ngx_rf_local_error(l, "ERR value is out of range, value must "
                                "between -9223372036854775807 and "
                                "9223372036854775807");

    } else if (l->argc > 4
               || (*withscores
                   && !ngx_rf_local_is(&l->argv[3], "withscores")))
    {
        rc = ngx_rf_local_syntax(l);

    } else if (*withscores
               && (*count < -INT64_MAX / 2 || *count > INT64_MAX / 2))
    {
        rc = ngx_rf_local_error(l, "ERR value is out of range");

    } else {
        return NGX_OK;
    }

    return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


static ngx_int_t
ngx_rf_zset_rand_emit(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw, uint64_t rank)
{
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;

    rc = ngx_rf_coll_breathe(l);
    if (rc != NGX_OK) {
        return rc;
    }

    elt = ngx_rf_tree_at(&c->elts, rank);

    if (ngx_rf_zset_reply_member(l, draw->elts++, elt) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!draw->withscores) {
        return NGX_OK;
    }

    return ngx_rf_zset_reply_score(l, draw->elts++, ngx_rf_coll_score_of(elt));
}


/* members repeat */

static ngx_int_t
ngx_rf_zset_rand_any(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw)
{
    uint64_t   i;
    ngx_int_t  rc;

    for (i = 0; i < draw->n; i++) {

        rc = ngx_rf_zset_rand_emit(l, c, draw, ngx_random() % c->elts.count);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* up to half of the members: every second draw at least is a new one */

static ngx_int_t
ngx_rf_zset_rand_few(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw)
{
    uint64_t             i, rank;
    ngx_int_t            rc;
    ngx_rf_zset_drawn_t  drawn;

    if (ngx_rf_zset_drawn_init(l, &drawn, draw->n) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < draw->n; i++) {
        rank = ngx_rf_zset_draw_new(&drawn, c->elts.count);

        rc = ngx_rf_zset_rand_emit(l, c, draw, rank);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* more than half: those that are left out are drawn */

static ngx_int_t
ngx_rf_zset_rand_most(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_draw_t *draw)
{
    uint64_t             i, n;
    ngx_int_t            rc;
    ngx_rf_zset_drawn_t  drawn;

    n = c->elts.count - draw->n;

    if (ngx_rf_zset_drawn_init(l, &drawn, n) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }

        (void) ngx_rf_zset_draw_new(&drawn, c->elts.count);
    }

    for (i = 0; i < c->elts.count; i++) {

        if (*ngx_rf_zset_drawn_slot(&drawn, i)) {
            continue;
        }

        rc = ngx_rf_zset_rand_emit(l, c, draw, i);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zset_drawn_init(ngx_rf_local_t *l, ngx_rf_zset_drawn_t *drawn,
    uint64_t n)
{
    uint64_t  size;

    for (size = 8; size < 2 * n; size *= 2) { /* void */ }

    drawn->mask = size - 1;
    drawn->slots = ngx_pcalloc(l->pool, size * sizeof(uint64_t));

    return drawn->slots ? NGX_OK : NGX_ERROR;
}


/* where the rank is, or would be */

static uint64_t *
ngx_rf_zset_drawn_slot(ngx_rf_zset_drawn_t *drawn, uint64_t rank)
{
    uint64_t  i;

    /* ranks are random or all of them: neither wants a better hash */

    for (i = rank & drawn->mask;
         drawn->slots[i] && drawn->slots[i] != rank + 1;
         i = (i + 1) & drawn->mask)
    {
        /* void */
    }

    return &drawn->slots[i];
}


static uint64_t
ngx_rf_zset_draw_new(ngx_rf_zset_drawn_t *drawn, uint64_t n)
{
    uint64_t  rank, *slot;

    do {
        rank = ngx_random() % n;
        slot = ngx_rf_zset_drawn_slot(drawn, rank);
    } while (*slot);

    *slot = rank + 1;

    return rank;
}


ngx_int_t
ngx_rf_zset_scan(ngx_rf_local_t *l)
{
    uint64_t       cursor;
    ngx_int_t      rc;
    ngx_array_t    found;
    ngx_rf_coll_t  c;
    ngx_rf_scan_t  scan;

    rc = ngx_rf_keyspace_scan_cursor(l, &l->argv[2], &scan);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_keyspace_scan_reply(l, 0, NULL);
    }

    rc = ngx_rf_keyspace_scan_args(l, 3, &scan);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (ngx_array_init(&found, l->pool, 16, sizeof(ngx_rf_reply_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_rf_zset_scan_from(l, &c, &scan, &found, &cursor);

    return rc == NGX_OK ? ngx_rf_keyspace_scan_reply(l, cursor, &found) : rc;
}


/* a cursor is the hash to go on with plus one: 0 is both begin and end */

static ngx_int_t
ngx_rf_zset_scan_from(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_rf_scan_t *scan,
    ngx_array_t *found, uint64_t *cursor)
{
    int64_t         n;
    uint64_t        rank, hash;
    ngx_int_t       rc;
    ngx_rf_elt_t   *elt;
    ngx_rf_walk_t   walk;

    rank = 0;
    hash = 0;

    if (scan->cursor) {
        ngx_rf_tree_search(&c->elts, scan->cursor - 1, (u_char *) "", 0, &rank,
                           &elt);
    }

    elt = ngx_rf_walk_from(&walk, &c->elts, rank);

    for (n = 0; elt && (n < scan->count || elt->key == hash); n++) {

        rc = ngx_rf_coll_breathe(l);

        if (rc == NGX_OK
            && ngx_rf_keyspace_scan_match(scan, ngx_rf_elt_name(elt),
                                          elt->name_len))
        {
            rc = ngx_rf_zset_scan_found(l, found, elt);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        hash = elt->key;
        elt = ngx_rf_walk_next(&walk);
    }

    *cursor = elt ? elt->key + 1 : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_zset_scan_found(ngx_rf_local_t *l, ngx_array_t *found,
    ngx_rf_elt_t *elt)
{
    ngx_rf_reply_t  *reply;

    reply = ngx_array_push_n(found, 2);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(reply, 2 * sizeof(ngx_rf_reply_t));

    if (ngx_rf_zset_reply_member(l, reply, elt) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_rf_zset_reply_score(l, &reply[1], ngx_rf_coll_score_of(elt));
}
