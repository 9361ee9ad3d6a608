/*
 * What the rooms of the types share: making replies, reading numbers, and the
 * few ways in which a command changes a key.  All under the zone's lock.
 */

#ifndef _NGX_RF_LOCAL_OP_H_INCLUDED_
#define _NGX_RF_LOCAL_OP_H_INCLUDED_


#include "ngx_rf_local.h"


/* Redis' proto-max-bulk-len: no value is longer */
#define NGX_RF_LOCAL_MAX        (512 * 1024 * 1024)

#define ngx_rf_local_exists(e)  ((e) != NULL && (e)->type != NGX_RF_NONE)


/* replies: NGX_OK, or NGX_ERROR without memory; strings are copied */

ngx_int_t ngx_rf_local_nil(ngx_rf_local_t *l);
ngx_int_t ngx_rf_local_integer(ngx_rf_local_t *l, int64_t n);
ngx_int_t ngx_rf_local_status(ngx_rf_local_t *l, const char *text);
ngx_int_t ngx_rf_local_error(ngx_rf_local_t *l, const char *text);
ngx_int_t ngx_rf_local_string(ngx_rf_local_t *l, u_char *data, size_t len);
/* as they are in the zone, if the caller may have them so; else a copy */
ngx_int_t ngx_rf_local_blob(ngx_rf_local_t *l, ngx_rf_blob_t *blob);
/* an error about an argument or the command's name: "text" has one %V */
ngx_int_t ngx_rf_local_error_about(ngx_rf_local_t *l, const char *text,
    ngx_str_t *about);
/* n elements, nil at first; NULL: no memory */
ngx_rf_reply_t *ngx_rf_local_array(ngx_rf_local_t *l, ngx_uint_t n);
/* one element */
ngx_int_t ngx_rf_local_element(ngx_rf_local_t *l, ngx_rf_reply_t *reply,
    u_char *data, size_t len);

#define ngx_rf_local_syntax(l)                                               \
    ngx_rf_local_error(l, "ERR syntax error")
#define ngx_rf_local_not_integer(l)                                          \
    ngx_rf_local_error(l, "ERR value is not an integer or out of range")
#define ngx_rf_local_wrong_type(l)                                           \
    ngx_rf_local_error(l, "WRONGTYPE Operation against a key holding the "   \
                       "wrong kind of value")


/* whether an argument is this word, in any case */
#define ngx_rf_local_is(arg, word)                                           \
    ((arg)->len == sizeof(word) - 1                                          \
     && ngx_strncasecmp((arg)->data, (u_char *) word, sizeof(word) - 1) == 0)

/* as strictly as Redis: NGX_DECLINED for anything but an integer's own text */
ngx_int_t ngx_rf_local_number(ngx_str_t *text, int64_t *n);


/* a key of argv: as the zone's functions of that name, but its hash is taken
 * once */
ngx_rf_entry_t *ngx_rf_local_lookup(ngx_rf_local_t *l, ngx_str_t *key);
ngx_rf_entry_t *ngx_rf_local_find(ngx_rf_local_t *l, ngx_str_t *key);


/* changes: NGX_OK, NGX_RF_NEED_ROOM */

/* the key's value from now on; "source": the entry that data lies in, or
 * NULL */
ngx_int_t ngx_rf_local_replace(ngx_rf_local_t *l, ngx_str_t *key,
    ngx_rf_type_e type, ngx_str_t *data, int64_t expire,
    ngx_rf_entry_t *source);
/* a tombstone, unless the key is known to be absent from Redis */
ngx_int_t ngx_rf_local_remove(ngx_rf_local_t *l, ngx_str_t *key);
/* what reads see from now on, and the change (verb and arguments) that Redis
 * is to be told; "compact" as in ngx_rf_zone_delta_locked() */
ngx_int_t ngx_rf_local_merge(ngx_rf_local_t *l, ngx_str_t *key,
    ngx_str_t *data, ngx_uint_t argc, ngx_str_t *argv, ngx_uint_t compact);
/* of an existing key; 0: it does not expire */
ngx_int_t ngx_rf_local_expire(ngx_rf_local_t *l, ngx_rf_entry_t *e,
    int64_t expire);

/*
 * Long writes.  A command that may take longer than the lock is to be held does
 * its work beside what is published, giving the lock away now and then, and
 * publishes it in one step at the end.  opened() remembers what it has read;
 * settle(), before anything is published, finds out whether that is still so:
 * NGX_OK, and from there on it is a write like any other; NGX_BUSY: it is to be
 * begun again; or what ngx_rf_local_exec() returns.
 */
void ngx_rf_local_opened(ngx_rf_local_t *l, ngx_str_t *key,
    ngx_rf_entry_t *e);
ngx_int_t ngx_rf_local_settle(ngx_rf_local_t *l);

/* whether the last change of a DELTA (return 1), or the one before an expiry
 * that is the last (2), has this verb, was not sent yet, and so can be
 * combined with another; *arg is its argument.  0: no */
ngx_uint_t ngx_rf_local_combines(ngx_rf_entry_t *e, const char *verb,
    ngx_str_t *arg);


#endif /* _NGX_RF_LOCAL_OP_H_INCLUDED_ */
