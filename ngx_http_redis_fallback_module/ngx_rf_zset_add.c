/*
 * Sorted sets: ZADD and ZINCRBY, which are one.  Redis is told what was asked
 * for, a sum as a sum and a maximum as a maximum, so that it merges with what
 * others did there meanwhile.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <math.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_zset_internal.h"


#define NGX_RF_ZSET_NX          0x01
#define NGX_RF_ZSET_XX          0x02
#define NGX_RF_ZSET_GT          0x04
#define NGX_RF_ZSET_LT          0x08
#define NGX_RF_ZSET_CH          0x10
#define NGX_RF_ZSET_INCR        0x20


typedef struct {
    ngx_uint_t            flags;
    ngx_uint_t            first;        /* index of the first score in argv */
    ngx_uint_t            n;            /* pairs */
    double               *scores;

    /* results */
    ngx_uint_t            added;
    ngx_uint_t            updated;
    ngx_uint_t            processed;
    double                score;        /* of the last one processed */
} ngx_rf_zset_add_t;


static ngx_int_t ngx_rf_zset_add_parse(ngx_rf_local_t *l,
    ngx_rf_zset_add_t *add);
static ngx_uint_t ngx_rf_zset_add_option(ngx_str_t *arg);
static const char *ngx_rf_zset_add_conflict(ngx_rf_zset_add_t *add);
static ngx_int_t ngx_rf_zset_add_one(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_add_t *add, ngx_uint_t i);


ngx_int_t
ngx_rf_zset_add(ngx_rf_local_t *l)
{
    ngx_int_t          rc;
    ngx_uint_t         i;
    ngx_rf_coll_t      c;
    ngx_rf_zset_add_t  add;

    rc = ngx_rf_zset_add_parse(l, &add);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_ZSET, &c);
    }

    for (i = 0; rc == NGX_OK && i < add.n; i++) {
        rc = ngx_rf_zset_add_one(l, &c, &add, i);
    }

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_close(l, &c);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (!(add.flags & NGX_RF_ZSET_INCR)) {
        return ngx_rf_local_integer(l, (add.flags & NGX_RF_ZSET_CH)
                                       ? add.added + add.updated : add.added);
    }

    if (ngx_rf_local_nil(l) != NGX_OK) {
        return NGX_ERROR;
    }

    return add.processed ? ngx_rf_zset_reply_score(l, l->reply, add.score)
                         : NGX_OK;
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_zset_add_parse(ngx_rf_local_t *l, ngx_rf_zset_add_t *add)
{
    ngx_int_t    rc;
    ngx_uint_t   i, flag;
    const char  *text;

    ngx_memzero(add, sizeof(ngx_rf_zset_add_t));

    if (l->command->id == NGX_RF_CMD_ZINCRBY) {
        add->flags = NGX_RF_ZSET_INCR;
    }

    for (i = 2; i < l->argc; i++) {

        flag = ngx_rf_zset_add_option(&l->argv[i]);
        if (flag == 0) {
            break;
        }

        add->flags |= flag;
    }

    if (i == l->argc || (l->argc - i) % 2) {
        return ngx_rf_local_syntax(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    add->first = i;
    add->n = (l->argc - i) / 2;

    text = ngx_rf_zset_add_conflict(add);

    if (text) {
        rc = ngx_rf_local_error(l, text);
        return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
    }

    add->scores = ngx_palloc(l->pool, add->n * sizeof(double));
    if (add->scores == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < add->n; i++) {

        rc = ngx_rf_zset_score(l, &l->argv[add->first + 2 * i],
                               &add->scores[i]);

        if (rc == NGX_DECLINED
            && ngx_rf_local_error(l, "ERR value is not a valid float")
               != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* 0: none; ZINCRBY knows them too, but has no place for any */

static ngx_uint_t
ngx_rf_zset_add_option(ngx_str_t *arg)
{
    if (ngx_rf_local_is(arg, "nx")) {
        return NGX_RF_ZSET_NX;
    }

    if (ngx_rf_local_is(arg, "xx")) {
        return NGX_RF_ZSET_XX;
    }

    if (ngx_rf_local_is(arg, "gt")) {
        return NGX_RF_ZSET_GT;
    }

    if (ngx_rf_local_is(arg, "lt")) {
        return NGX_RF_ZSET_LT;
    }

    if (ngx_rf_local_is(arg, "ch")) {
        return NGX_RF_ZSET_CH;
    }

    if (ngx_rf_local_is(arg, "incr")) {
        return NGX_RF_ZSET_INCR;
    }

    return 0;
}


static const char *
ngx_rf_zset_add_conflict(ngx_rf_zset_add_t *add)
{
    ngx_uint_t  nx, gt, lt;

    nx = add->flags & NGX_RF_ZSET_NX;
    gt = add->flags & NGX_RF_ZSET_GT;
    lt = add->flags & NGX_RF_ZSET_LT;

    if (nx && (add->flags & NGX_RF_ZSET_XX)) {
        return "ERR XX and NX options at the same time are not compatible";
    }

    if ((gt && nx) || (lt && nx) || (gt && lt)) {
        return "ERR GT, LT, and/or NX options at the same time are not "
               "compatible";
    }

    if ((add->flags & NGX_RF_ZSET_INCR) && add->n > 1) {
        return "ERR INCR option supports a single increment-element pair";
    }

    return NULL;
}


/* NGX_DECLINED: an error was replied */

static ngx_int_t
ngx_rf_zset_add_one(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_zset_add_t *add, ngx_uint_t i)
{
    double           score, before;
    ngx_int_t        rc;
    ngx_str_t       *name;
    ngx_rf_elt_t    *elt;
    ngx_rf_delta_e   how;

    name = &l->argv[add->first + 2 * i + 1];
    score = add->scores[i];
    before = 0;

    elt = ngx_rf_coll_get(l, c, name);

    if ((elt != NULL && (add->flags & NGX_RF_ZSET_NX))
        || (elt == NULL && (add->flags & NGX_RF_ZSET_XX)))
    {
        return NGX_OK;
    }

    if (elt != NULL) {

        before = ngx_rf_coll_score_of(elt);

        if (add->flags & NGX_RF_ZSET_INCR) {
            score += before;
        }

        if (isnan(score)) {
            rc = ngx_rf_local_error(l, "ERR resulting score is not a number "
                                    "(NaN)");
            return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
        }

        if (((add->flags & NGX_RF_ZSET_GT) && score <= before)
            || ((add->flags & NGX_RF_ZSET_LT) && score >= before))
        {
            return NGX_OK;
        }
    }

    if (add->flags & NGX_RF_ZSET_INCR) {
        how = NGX_RF_DELTA_INCR;

    } else if (add->flags & NGX_RF_ZSET_GT) {
        how = NGX_RF_DELTA_GT;

    } else if (add->flags & NGX_RF_ZSET_LT) {
        how = NGX_RF_DELTA_LT;

    } else {
        how = NGX_RF_DELTA_SET;
    }

    /* even where the score is as it was: it may be another one in Redis.  The
     * sum makes a negative zero zero */

    rc = ngx_rf_coll_put_score(l, c, name, score + 0.0, how, add->scores[i]);
    if (rc != NGX_OK) {
        return rc;
    }

    add->added += (elt == NULL);
    add->updated += (elt != NULL && score != before);
    add->processed++;
    add->score = score;

    return NGX_OK;
}
