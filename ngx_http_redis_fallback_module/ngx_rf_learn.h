/*
 * What memory learns from a command that Redis executed.
 *
 * Guarantees: an entry holds a value only if nothing else is known to have
 * happened to the key since that value was Redis'; in doubt it is forgotten.
 * Expiries are counted from when the command was sent, so no entry outlives
 * its key.  Of a pending entry only what it rests on changes, by a write:
 * what is to be replayed comes after it.
 *
 * Of a collection memory may know some elements only, see "complete" of an
 * entry: those that were read or written one by one.  It knows all of one that
 * was read as a whole.
 */

#ifndef _NGX_RF_LEARN_H_INCLUDED_
#define _NGX_RF_LEARN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"
#include "ngx_rf_zone.h"


/*
 * Tells memory what Redis answered to the command (a non-error reply).  "seq"
 * is sh->seq of the time the command was sent: entries changed since then are
 * left alone (a read) or forgotten (a write).  "pttl" is the reply of the
 * PTTL sent along, see below, or -3.  "sent" is the wall-clock ms when it was
 * sent: expiries are counted from there, so that nothing outlives its TTL.
 * "voucher" is ngx_rf_tracking_vouch()'s for argv[1], or 0: a read's entry
 * gets it.
 * "pool" is for what is needed meanwhile.
 * A read never touches pending entries.  Out of memory just forgets.
 */
void ngx_rf_learn(ngx_rf_zone_t *zone, ngx_pool_t *pool,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv,
    ngx_rf_reply_t *reply, int64_t pttl, uint64_t seq, int64_t sent,
    uint64_t voucher);

/*
 * A read of elements by a key that memory knows in part, and that nobody
 * vouches for: what is to be asked along with it, so that somebody does.  It
 * is the elements that are known and those that are read, in "pool".  NULL:
 * nothing, or too much.  learn_known() takes the reply.
 */
ngx_str_t *ngx_rf_learn_ask_known(ngx_rf_zone_t *zone, ngx_pool_t *pool,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv,
    ngx_uint_t *n);
void ngx_rf_learn_known(ngx_rf_zone_t *zone, ngx_pool_t *pool, ngx_uint_t argc,
    ngx_str_t *argv, ngx_rf_reply_t *reply, int64_t pttl, uint64_t seq,
    int64_t sent, uint64_t voucher);

/*
 * Which link of this process' client (ngx_rf_call_t) the replies came over that
 * are told next: replies come in the order of their commands on one link, but
 * not on two.  Without it they are those of the first.
 */
#define ngx_rf_learn_link(zone, n)                                           \
    (zone)->link = (uint64_t) (n) << NGX_RF_ZONE_LINK

/* it was sent, and may have been executed: of what it changes memory does
 * not know any more what Redis holds */
void ngx_rf_learn_unsure(ngx_rf_zone_t *zone, const ngx_rf_command_t *command,
    ngx_uint_t argc, ngx_str_t *argv);

/* whether the reply is worth a PTTL of argv[1] that is sent along: it says the
 * value or a part of it, but not how long it lives */
ngx_uint_t ngx_rf_learn_pttl(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_str_t *argv);


#endif /* _NGX_RF_LEARN_H_INCLUDED_ */
