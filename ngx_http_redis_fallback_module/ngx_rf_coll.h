/*
 * Collections: what hashes, lists, sets and sorted sets share.  A command opens
 * the collection of a key, reads and changes it, and closes it, which
 * publishes the change in the zone together with what Redis is to be told.
 * All under the zone's lock; an opened collection that is not closed has
 * changed nothing.
 *
 *     rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_HASH, &c);
 *     if (rc != NGX_OK) {
 *         return rc == NGX_DECLINED ? NGX_OK : rc;      (WRONGTYPE was replied)
 *     }
 *
 *     if (ngx_rf_coll_get(l, &c, &l->argv[2]) == NULL) { ... }
 *     rc = ngx_rf_coll_put(l, &c, &l->argv[2], &l->argv[3], NGX_RF_DELTA_SET,
 *                          NULL);
 *     if (rc == NGX_OK) {
 *         rc = ngx_rf_coll_close(l, &c);
 *     }
 *
 *     return rc == NGX_OK ? ngx_rf_local_integer(l, 1) : rc;
 *
 * Elements that get() and walks return stay good until the collection is
 * changed or breathe() is called: copy them into the reply before.
 *
 * An error reply after changes is fine: the dispatcher rolls them back.  So is
 * any return other than NGX_OK.
 *
 * What Redis is told merges with what others did there meanwhile: hash fields,
 * members and scores one by one, pushes in their order, popped elements as
 * removals.  Only given() and fresh() make a replacement.
 */

#ifndef _NGX_RF_COLL_H_INCLUDED_
#define _NGX_RF_COLL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"
#include "ngx_rf_local.h"
#include "ngx_rf_tree.h"
#include "ngx_rf_zone.h"


typedef struct {
    ngx_rf_entry_t       *entry;        /* NULL: memory has none */
    ngx_str_t            *key;
    ngx_rf_type_e         type;

    /* to be read by walks and by rank; changed by the functions below, or for
     * a list by ngx_rf_coll_splice().
     * elts: a list in its order (name: the element); a hash sorted by a hash of
     * the field (key: 32 bits of it; name: field; value); a set likewise
     * without values; a sorted set likewise, value: 8 bytes, the score as a
     * double of this host.
     * order: a sorted set by score and member; key: see ngx_rf_coll_score() */
    ngx_rf_tree_t         elts;
    ngx_rf_tree_t         order;

    unsigned              complete:1;   /* all elements are known */

    /* private */
    unsigned              changed:1;
    unsigned              noted:1;      /* "delta" has changed */
    unsigned              replace:1;    /* Redis is told all of it */
    unsigned              given:1;      /* and the command, behind delta */
    unsigned              fresh:1;      /* "old" is dropped at the end */
    ngx_uint_t            compact;      /* delta continues the change before */
    ngx_rf_zdelta_t       delta;
    ngx_rf_tree_t         old[2];

    /* what get() found last, until elts or notes change; NULL: nothing */
    ngx_rf_elt_t         *found;
    uint64_t              found_rank;
    ngx_rf_elt_t         *line;         /* and what the notes say of it */
    uint64_t              line_rank;
} ngx_rf_coll_t;


/*
 * The collection of a key, empty where there is none.  NGX_OK; NGX_DECLINED: it
 * holds another type, WRONGTYPE was replied; NGX_ERROR.
 */
ngx_int_t ngx_rf_coll_open(ngx_rf_local_t *l, ngx_str_t *key,
    ngx_rf_type_e type, ngx_rf_coll_t *c);

/* an empty one that replaces what the key holds, of whatever type (the STORE
 * forms); closed empty, it deletes the key */
void ngx_rf_coll_fresh(ngx_rf_local_t *l, ngx_str_t *key, ngx_rf_type_e type,
    ngx_rf_coll_t *c);

/* what is known of a collection to another key, with its expiry; move(): its
 * own key is gone then, in O(1), or unknown again if it was not known
 * completely.  NGX_OK, NGX_RF_NEED_ROOM */
ngx_int_t ngx_rf_coll_copy(ngx_rf_local_t *l, ngx_rf_entry_t *e,
    ngx_str_t *to);
ngx_int_t ngx_rf_coll_move(ngx_rf_local_t *l, ngx_rf_entry_t *e,
    ngx_str_t *to);

/* publishes the changes, if there are any; a collection that has become empty
 * is gone.  Nothing of c may be used afterwards.  NGX_OK, NGX_RF_NEED_ROOM */
ngx_int_t ngx_rf_coll_close(ngx_rf_local_t *l, ngx_rf_coll_t *c);


/* hashes, sets, sorted sets: an element by name, or NULL; its rank in elts */
ngx_rf_elt_t *ngx_rf_coll_get(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name);
uint64_t ngx_rf_coll_rank(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name);

/*
 * Hashes and sets: the element has this value now ("value" is NULL for sets),
 * and Redis is told "how", with "amount" as text for INCR and INCRFLOAT.
 * NGX_OK, NGX_RF_NEED_ROOM.
 */
ngx_int_t ngx_rf_coll_put(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_str_t *name,
    ngx_str_t *value, ngx_rf_delta_e how, ngx_str_t *amount);

/* sorted sets: the same for a score; "amount" for INCR */
ngx_int_t ngx_rf_coll_put_score(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name, double score, ngx_rf_delta_e how, double amount);

/* hashes, sets, sorted sets.  NGX_DECLINED: there was none; where not all
 * elements are known Redis is told all the same */
ngx_int_t ngx_rf_coll_remove(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_str_t *name);

/*
 * An element with a line of the notes on top of what Redis has of it, which is
 * *value (data NULL: nothing).  NGX_OK: it has *value then; NGX_DECLINED: there
 * is none; NGX_ERROR: the two do not go together.
 */
ngx_int_t ngx_rf_coll_noted(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_elt_t *line, ngx_str_t *value);

/* sorted sets: n elements from "rank" in "order" on */
ngx_int_t ngx_rf_coll_remove_order(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    uint64_t rank, uint64_t n);

/* the same without telling Redis: for a command that is given() */
ngx_int_t ngx_rf_coll_discard_order(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    uint64_t rank, uint64_t n);

/* hashes, sets and lists in the making, see fresh(): items behind all that
 * are there, at most NGX_RF_TREE_BATCH; those of a set or hash sorted as in the
 * collection that they come from, keys included */
ngx_int_t ngx_rf_coll_append(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_rf_item_t *items, ngx_uint_t n);


/* lists.  The head is 0 as "tail", the tail 1.  push(): one element; pop(): the
 * element of that end goes (copy it first), NGX_DECLINED: the list is empty */
ngx_int_t ngx_rf_coll_push(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_uint_t tail, ngx_str_t *value);
ngx_int_t ngx_rf_coll_pop(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_uint_t tail);

/* elts as ngx_rf_tree_splice() does it, only names counting.  Redis is not
 * told: that is for given() */
ngx_int_t ngx_rf_coll_splice(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    uint64_t rank, uint64_t ndel, ngx_str_t *values, ngx_uint_t n);

/*
 * Redis is told the command as it was given (argv[0], and argv from 2 on: the
 * key is argv[1]), in its place among the other changes.  A command that does
 * not merge (LSET, LTRIM, LINSERT) makes a replacement of a key whose elements
 * are all known instead.
 */
void ngx_rf_coll_given(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t merges);


/* the order of scores as that of integers, and the least of those that are
 * greater */
uint64_t ngx_rf_coll_score(double score);
double ngx_rf_coll_score_of(ngx_rf_elt_t *elt);     /* of an element of elts */

/* the hash that elts of hashes, sets and sorted sets are sorted by: 32 bits, a
 * good cursor for their SCAN */
uint64_t ngx_rf_coll_hash(ngx_rf_local_t *l, ngx_str_t *name);


/*
 * Long replies.  A reader calls breathe() for each element, and it gives the
 * lock to others now and then (not within a transaction, not in a write): all
 * it holds pointers to after that are trees, walks and elements, which stay as
 * they were; entries do not.  So open all collections first.  NGX_OK; else
 * return it.  array() is ngx_rf_local_array() for many elements, and breathes.
 */
ngx_int_t ngx_rf_coll_breathe(ngx_rf_local_t *l);
ngx_int_t ngx_rf_coll_array(ngx_rf_local_t *l, ngx_uint_t n,
    ngx_rf_reply_t **elts);


#endif /* _NGX_RF_COLL_H_INCLUDED_ */
