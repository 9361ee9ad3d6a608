/* What the files of this room share. */

#ifndef _NGX_RF_ZSET_INTERNAL_H_INCLUDED_
#define _NGX_RF_ZSET_INTERNAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_local.h"


/* the longest text of a score: of -1.2345678901234567e-308, and some room */
#define NGX_RF_ZSET_SCORE_LEN   32


/* an argument as a C string: in "buf", or in the pool if it is too long;
 * NULL: no memory */
char *ngx_rf_zset_text(ngx_rf_local_t *l, ngx_str_t *text, char *buf,
    size_t size);

/* scores: as Redis reads those to be stored (NGX_DECLINED: not one), and as it
 * prints them in RESP2; returns the length */
ngx_int_t ngx_rf_zset_score(ngx_rf_local_t *l, ngx_str_t *text, double *score);
size_t ngx_rf_zset_score_text(double score, u_char *buf);

/* the score of an element of "order" */
double ngx_rf_zset_score_at(ngx_rf_elt_t *elt);

/* a member, or a score, into an element of a reply: NGX_OK, NGX_ERROR */
ngx_int_t ngx_rf_zset_reply_member(ngx_rf_local_t *l, ngx_rf_reply_t *reply,
    ngx_rf_elt_t *elt);
ngx_int_t ngx_rf_zset_reply_score(ngx_rf_local_t *l, ngx_rf_reply_t *reply,
    double score);


/* ranges */

typedef enum {
    NGX_RF_ZSET_AUTO = 0,       /* ZRANGE, until it says which */
    NGX_RF_ZSET_RANK,
    NGX_RF_ZSET_SCORE,
    NGX_RF_ZSET_LEX
} ngx_rf_zset_by_e;

typedef struct {
    int64_t               rank;         /* negative: from the end */
    double                score;
    ngx_str_t             name;
    ngx_int_t             infinite;     /* LEX: -1 or 1 for "-" and "+" */
    ngx_uint_t            exclusive;    /* 0 or 1 */
} ngx_rf_zset_bound_t;

typedef struct {
    ngx_rf_zset_by_e      by;
    ngx_rf_zset_bound_t   min;
    ngx_rf_zset_bound_t   max;
} ngx_rf_zset_range_t;

/* from its two arguments, "by" being set; NGX_DECLINED: an error was replied */
ngx_int_t ngx_rf_zset_range_parse(ngx_rf_local_t *l, ngx_str_t *min,
    ngx_str_t *max, ngx_rf_zset_range_t *range);
/* the n elements from "first" in "order" on that it means */
void ngx_rf_zset_range_find(ngx_rf_coll_t *c, ngx_rf_zset_range_t *range,
    uint64_t *first, uint64_t *n);


ngx_int_t ngx_rf_zset_add(ngx_rf_local_t *l);

ngx_int_t ngx_rf_zset_range(ngx_rf_local_t *l);
ngx_int_t ngx_rf_zset_count(ngx_rf_local_t *l);

ngx_int_t ngx_rf_zset_rem(ngx_rf_local_t *l);
ngx_int_t ngx_rf_zset_pop(ngx_rf_local_t *l);
ngx_int_t ngx_rf_zset_remrange(ngx_rf_local_t *l);

ngx_int_t ngx_rf_zset_randmember(ngx_rf_local_t *l);
ngx_int_t ngx_rf_zset_scan(ngx_rf_local_t *l);


#endif /* _NGX_RF_ZSET_INTERNAL_H_INCLUDED_ */
