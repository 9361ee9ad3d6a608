/*
 * Commands that remove what they return, and that Redis has been asked for: its
 * reply may be on the way when an outage begins.  Memory does not know yet what
 * it has removed, and would give the same element to somebody else.  So what is
 * executed here meanwhile, of the same key, waits for that reply, or for the
 * end of its connection.
 *
 * Each worker shows in the zone which keys that is about, by a bit of their
 * hash, and then looks at the mode once more before it asks; who executes
 * something here has seen the outage, and then looks at the bits.  Those of a
 * process that has died count no more.
 *
 * In a recovery Redis is asked for what is not pending, and what is pending is
 * executed here: the two are other keys.  So only those count then that were
 * asked for in normal mode, or there would be no end of it.
 *
 * Refuses to know: which element it is.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_mode.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"
#include "ngx_rf_zone.h"


#define ngx_rf_pop_bit(n)       ((ngx_atomic_uint_t) 1 << (n))


static void ngx_rf_pop_count(ngx_rf_work_t *w, ngx_int_t by);
static ngx_atomic_uint_t ngx_rf_pop_keys(ngx_rf_work_t *w);
static ngx_atomic_uint_t ngx_rf_pop_key(ngx_rf_store_t *store,
    const ngx_rf_command_t *command, ngx_str_t *argv);


void
ngx_rf_pop_start(ngx_rf_store_t *store)
{
    ngx_rf_popping_t  *p;

    p = &store->zone.sh->popping[ngx_process_slot];

    p->keys[0] = 0;
    p->keys[1] = 0;
    ngx_memory_barrier();
    p->pid = ngx_pid;
}


ngx_int_t
ngx_rf_pop_begin(ngx_rf_work_t *w)
{
    w->pops = ngx_rf_pop_keys(w);

    if (w->pops == 0) {
        return NGX_OK;
    }

    w->popped = (w->mode != NGX_RF_NORMAL);

    ngx_rf_pop_count(w, 1);

    if (w->op->store->zone.sh->mode != w->epoch) {
        ngx_rf_pop_end(w);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_rf_pop_end(ngx_rf_work_t *w)
{
    if (w->pops) {
        ngx_rf_pop_count(w, -1);
        w->pops = 0;
    }
}


/* nobody else writes there; atomic, for it is a barrier, too */

static void
ngx_rf_pop_count(ngx_rf_work_t *w, ngx_int_t by)
{
    ngx_uint_t          i, *n;
    ngx_rf_store_t     *store;
    ngx_atomic_uint_t   bits;

    store = w->op->store;
    n = store->npops[w->popped];
    bits = 0;

    for (i = 0; i < NGX_RF_STORE_POPS; i++) {

        if (!(w->pops & ngx_rf_pop_bit(i))) {
            continue;
        }

        n[i] += by;

        /* the first has come, or the last has gone */

        if (n[i] == (ngx_uint_t) (by > 0)) {
            bits |= ngx_rf_pop_bit(i);
        }
    }

    (void) ngx_atomic_fetch_add(
               &store->zone.sh->popping[ngx_process_slot].keys[w->popped],
               (ngx_atomic_int_t) (by > 0 ? bits : 0 - bits));
}


ngx_uint_t
ngx_rf_pop_waits(ngx_rf_work_t *w)
{
    ngx_uint_t          i;
    ngx_rf_popping_t   *p;
    ngx_atomic_uint_t   keys, shown;

    keys = ngx_rf_pop_keys(w);

    if (keys == 0) {
        return 0;
    }

    keys |= ngx_rf_pop_bit(NGX_RF_STORE_POPS - 1);

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        p = &w->op->store->zone.sh->popping[i];

        shown = p->keys[0];

        if (w->mode == NGX_RF_FALLBACK) {
            shown |= p->keys[1];
        }

        if ((shown & keys)
            && (kill((ngx_pid_t) p->pid, 0) == 0 || ngx_errno != NGX_ESRCH))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_atomic_uint_t
ngx_rf_pop_keys(ngx_rf_work_t *w)
{
    ngx_uint_t           i;
    ngx_rf_op_t         *op;
    ngx_atomic_uint_t    keys;

    op = w->op;

    if (op->nparts == 0) {
        return ngx_rf_pop_key(op->store, op->command, op->argv);
    }

    for (i = 0, keys = 0; i < op->nparts; i++) {
        keys |= ngx_rf_pop_key(op->store, w->parts[i].command,
                               &op->argv[w->parts[i].first]);
    }

    return keys;
}


/* the last bit is for what may remove anything: scripts, LMPOP */

static ngx_atomic_uint_t
ngx_rf_pop_key(ngx_rf_store_t *store, const ngx_rf_command_t *command,
    ngx_str_t *argv)
{
    switch (command->id) {

    case NGX_RF_CMD_LPOP:
    case NGX_RF_CMD_RPOP:
    case NGX_RF_CMD_LMOVE:
    case NGX_RF_CMD_RPOPLPUSH:
    case NGX_RF_CMD_SPOP:
    case NGX_RF_CMD_ZPOPMIN:
    case NGX_RF_CMD_ZPOPMAX:
    case NGX_RF_CMD_GETDEL:
        return ngx_rf_pop_bit(ngx_rf_zone_hash(store->zone.sh,
                                               &argv[command->first])
                              % (NGX_RF_STORE_POPS - 1));

    default:
        if ((command->flags & (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE))
            == (NGX_RF_CMD_WRITE|NGX_RF_CMD_MOVABLE))
        {
            return ngx_rf_pop_bit(NGX_RF_STORE_POPS - 1);
        }

        return 0;
    }
}
