/*
 * Executes a command on the zone: the dispatcher over the rooms of the types
 * (ngx_rf_keyspace, ngx_rf_string, ...).
 *
 * Guarantees: one hold of the lock per command, so each is atomic; a return
 * other than NGX_OK leaves everything as it was; replies, errors and their
 * texts are those of Redis 7.
 *
 * Refuses to know: modes, Redis, files.  The caller says what may be answered
 * with "scope".
 */

#ifndef _NGX_RF_LOCAL_H_INCLUDED_
#define _NGX_RF_LOCAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"
#include "ngx_rf_zone.h"


typedef enum {
    NGX_RF_SCOPE_ANY = 0,   /* fallback: memory is all there is; a key without
                               an entry does not exist (or is in a file) */
    NGX_RF_SCOPE_PENDING,   /* recovering: only if all keys are pending (or
                               restoring, see zone); none: NEED_REDIS; some:
                               NEED_WAIT */
    NGX_RF_SCOPE_FRESH      /* normal: reads only, if every key is complete and
                               was seen in Redis not longer than max_age ago,
                               or with "vouched" Redis vouches for it; else
                               NEED_REDIS */
} ngx_rf_scope_e;


/* a key that a long write has read, and its entry then; version 0: none.  What
 * becomes of changes in the replay is no new version, nor is what memory learns
 * of single elements.  While it is pinned no other tree gets the root of one
 * that was there */

typedef struct {
    ngx_str_t                *key;
    uint64_t                  version;
    ngx_rf_zchange_t         *changes;
    ngx_rf_zchange_t         *last_change;
    ngx_rf_node_t            *roots[2];
    uint32_t                  nsent;
    unsigned                  complete:1;
} ngx_rf_opened_t;


typedef struct {
    ngx_rf_zone_t            *zone;
    const ngx_rf_command_t   *command;
    ngx_uint_t                argc;     /* checked against the arity */
    ngx_str_t                *argv;     /* with the name */
    ngx_pool_t               *pool;     /* for the reply */
    int64_t                   now;      /* wall clock, ms */
    ngx_rf_scope_e            scope;
    int64_t                   max_age;  /* ms, SCOPE_FRESH */
    unsigned                  files:1;  /* a key without an entry may be in a
                                           file: NEED_FILE, unless "read" says
                                           that its file was read already */
    ngx_atomic_t             *guard;    /* if set and not guard_value (looked
                                           at under the lock): NEED_RETRY,
                                           nothing done */
    ngx_atomic_uint_t         guard_value;
    unsigned                  vouched:1;

    u_char                   *read;     /* argc bytes, 1: file of argv[i] read,
                                           or NULL */

    unsigned                  mirror:1; /* a command that Redis has executed,
                                           done again on what memory knows:
                                           nothing becomes pending */

    unsigned                  late:1;   /* and one that was executed before
                                           what is pending here: of a
                                           collection it goes below that */

    unsigned                  lend:1;   /* the value of a GET need not be
                                           copied, see "lent"; 0 in a
                                           transaction */

    unsigned                  known:1;  /* "hash" is that of argv[1] */
    uint32_t                  hash;     /* of "hashed" */

    /* private */
    ngx_str_t                *hashed;   /* one of the keys, or NULL */
    unsigned                  partial:1; /* SCOPE_FRESH, of a key that is known
                                            in part */
    unsigned                  breathes:1; /* the lock may be given away */
    unsigned                  pinned:1;
    unsigned                  lost:1;     /* the zone was made anew then */
    unsigned                  slow:1;     /* a long write, nothing of which is
                                             in the zone yet */
    ngx_uint_t                breath;
    ngx_rf_opened_t          *opened;
    ngx_uint_t                nopened;

    /* results */
    ngx_rf_reply_t           *reply;
    ngx_uint_t                need;     /* NEED_FILE, NEED_WAIT: index of the
                                           key in argv */
    uint64_t                  version;  /* of the last change; 0: none made */
    unsigned                  unknown:1;/* some key has no entry at all: memory
                                           cannot tell whether it exists */
    unsigned                  lent:1;   /* the reply's text is in the zone,
                                           until ngx_rf_zone_returned() */
} ngx_rf_local_t;


/*
 * NGX_OK: "reply" is set (error replies included); NGX_RF_NEED_FILE,
 * NGX_RF_NEED_ROOM, NGX_RF_NEED_WAIT (a write to a key that is flying, or
 * SCOPE_PENDING with some keys pending), NGX_RF_NEED_REDIS (also: a value of a
 * type that memory cannot hold); NGX_ERROR: no memory in the pool.
 */
ngx_int_t ngx_rf_local_exec(ngx_rf_local_t *l);

/* bytes; a shorter value is copied in less time than it is lent */
#define NGX_RF_LOCAL_LEND       1024

/*
 * Several commands under one hold of the lock, each as NGX_RF_SCOPE_ANY or
 * _PENDING says; "argv" and "read" are those of all of them, one behind the
 * other, "need" is an index there; the flags of "command" say whether one of
 * them writes.  With SCOPE_PENDING: all keys pending are answered here, none is
 * NEED_REDIS, some are NEED_WAIT.
 *
 * NGX_OK: "reply" is an array of their replies; one that answers an error has
 * changed nothing, which does not concern the others.  Anything else: none of
 * them has changed anything; with NGX_RF_NEED_REDIS "command" is the one that
 * needs it.
 */

typedef struct {
    const ngx_rf_command_t   *command;
    ngx_uint_t                argc;
    ngx_uint_t                first;    /* index of its name in argv */
} ngx_rf_local_part_t;

ngx_int_t ngx_rf_local_exec_all(ngx_rf_local_t *l, ngx_rf_local_part_t *parts,
    ngx_uint_t n);

/* the rooms of the types; called under the lock with scope already checked */

typedef ngx_int_t (*ngx_rf_local_pt)(ngx_rf_local_t *l);

ngx_rf_local_pt ngx_rf_local_handler(ngx_rf_command_e id);
ngx_rf_local_pt ngx_rf_keyspace_handler(ngx_rf_command_e id);
ngx_rf_local_pt ngx_rf_string_handler(ngx_rf_command_e id);
ngx_rf_local_pt ngx_rf_hash_handler(ngx_rf_command_e id);
ngx_rf_local_pt ngx_rf_list_handler(ngx_rf_command_e id);
ngx_rf_local_pt ngx_rf_set_handler(ngx_rf_command_e id);
ngx_rf_local_pt ngx_rf_zset_handler(ngx_rf_command_e id);


#endif /* _NGX_RF_LOCAL_H_INCLUDED_ */
