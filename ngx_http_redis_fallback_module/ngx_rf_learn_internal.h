/* What the files of this room share. */

#ifndef _NGX_RF_LEARN_INTERNAL_H_INCLUDED_
#define _NGX_RF_LEARN_INTERNAL_H_INCLUDED_


#include "ngx_rf_coll.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_tree.h"


/* a value may take this part of the zone: caching it must not cost the rest */
#define NGX_RF_LEARN_PART       8


typedef struct {
    ngx_rf_zone_t            *zone;
    ngx_pool_t               *pool;
    const ngx_rf_command_t   *command;
    ngx_rf_command_e          id;
    ngx_uint_t                argc;
    ngx_str_t                *argv;
    ngx_rf_reply_t           *reply;
    int64_t                   pttl;
    uint64_t                  seq;
    int64_t                   sent;
    uint64_t                  voucher;

    ngx_rf_item_t            *items;    /* of a whole collection, sorted */
    ngx_uint_t                nitems;

    unsigned                  named:1;  /* the reply is old already */
    unsigned                  known:1;  /* it asked for all elements that memory
                                           knows */
} ngx_rf_learn_t;

typedef void (*ngx_rf_learn_pt)(ngx_rf_learn_t *ln);


/* the entry of a key, or NULL; NGX_DECLINED: it is pending or in flight, so
 * what Redis says does not matter */
ngx_int_t ngx_rf_learn_entry(ngx_rf_learn_t *ln, ngx_str_t *key,
    ngx_rf_entry_t **e);

/*
 * Whether somebody else has changed the key since the command was sent.  What
 * this process has learned since over the same link is no such change: replies
 * come in the order of their commands there, so this one is the later.
 */
ngx_uint_t ngx_rf_learn_changed(ngx_rf_learn_t *ln, ngx_str_t *key,
    ngx_rf_entry_t *e);

/* it was this process that has made the version, of what it learns now */
void ngx_rf_learn_note(ngx_rf_learn_t *ln, ngx_str_t *key, uint64_t version);

/* an entry that exists and that nobody has changed since, or NULL */
ngx_rf_entry_t *ngx_rf_learn_find(ngx_rf_learn_t *ln, ngx_str_t *key);

/* the entry is as Redis has it now, or with "complete" 0 a part of it */
void ngx_rf_learn_mark(ngx_rf_learn_t *ln, ngx_rf_entry_t *e,
    ngx_uint_t complete);

/* a read says that there is no argv[1], and Redis vouches for that */
void ngx_rf_learn_absent(ngx_rf_learn_t *ln);

/* where the command has set the key's value, what is older gives way to that;
 * 1: what was pending has, and is not any more */
ngx_uint_t ngx_rf_learn_told(ngx_rf_learn_t *ln, ngx_str_t *key);

/* argv[1], or all keys of the command */
void ngx_rf_learn_forget(ngx_rf_learn_t *ln);
void ngx_rf_learn_forget_keys(ngx_rf_learn_t *ln);


/*
 * ngx_rf_learn_late.c: each is for a key that has become pending since the
 * command was sent, and does nothing with any other, nor for a read.
 * put(): the string that it has in Redis; expire(): its expiry there, 0: none;
 * forget(): what it is there is not known.
 */
void ngx_rf_learn_late_put(ngx_rf_learn_t *ln, ngx_str_t *key,
    ngx_str_t *value, int64_t expire);
void ngx_rf_learn_late_append(ngx_rf_learn_t *ln);
void ngx_rf_learn_late_expire(ngx_rf_learn_t *ln, int64_t expire);
void ngx_rf_learn_late_some(ngx_rf_learn_t *ln);
void ngx_rf_learn_late_push(ngx_rf_learn_t *ln);
void ngx_rf_learn_late_forget(ngx_rf_learn_t *ln, ngx_str_t *key);


/* ngx_rf_learn_part.c: elements were read, and put into the key's entry, which
 * has nothing else if it is "fresh" */
void ngx_rf_learn_read(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_uint_t fresh);


/* ngx_rf_learn_coll.c */

/* a collection's entry that elements were put into, with its expiry; NULL: none
 * of them is there */
ngx_rf_entry_t *ngx_rf_learn_filled(ngx_rf_learn_t *ln, ngx_str_t *key);

/* what a command that goes by elements has done to them; NGX_DECLINED: that is
 * not known */
ngx_int_t ngx_rf_learn_elements(ngx_rf_learn_t *ln, ngx_rf_local_t *l,
    ngx_rf_coll_t *c);
/* more arguments than are learned element by element */
ngx_uint_t ngx_rf_learn_many(ngx_rf_learn_t *ln);
void ngx_rf_learn_local(ngx_rf_learn_t *ln, ngx_rf_local_t *l);
ngx_rf_type_e ngx_rf_learn_type(ngx_rf_command_e id);

ngx_rf_learn_pt ngx_rf_learn_coll_handler(ngx_rf_command_e id);
ngx_uint_t ngx_rf_learn_coll_pttl(ngx_rf_command_e id, ngx_uint_t argc,
    ngx_str_t *argv);
/* work to be done before the lock is taken; NGX_DECLINED: the value is not for
 * memory; NGX_ERROR */
ngx_int_t ngx_rf_learn_prepare(ngx_rf_learn_t *ln);


#endif /* _NGX_RF_LEARN_INTERNAL_H_INCLUDED_ */
