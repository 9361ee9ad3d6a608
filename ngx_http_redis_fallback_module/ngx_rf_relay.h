/*
 * Which connections to Redis the workers of a store have, in shared memory that
 * outlives its zone: so that somebody learns of those that were given up with
 * commands in flight by a worker that was killed, or by one of an earlier
 * configuration.
 *
 * A reload with another zone size makes a new zone, and the old one is known to
 * old workers only.  This is a few pages beside it, which every configuration
 * that has the store uses.  There old workers also see that newer ones have had
 * an outage.  A binary upgrade has shared memory of its own, so
 * nothing is told from one binary to the other.
 *
 * Guarantees: without locks, so nobody has to wait for somebody who was killed;
 * what was told is there until it was taken; told() has changed before a
 * teller's client may get its answer.  Of more than NGX_RF_RELAY_SLOTS
 * connections some are not known.
 */

#ifndef _NGX_RF_RELAY_H_INCLUDED_
#define _NGX_RF_RELAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_RF_RELAY_SLOTS      1024


/* of a slot */

#define NGX_RF_RELAY_FILLING    0
#define NGX_RF_RELAY_HELD       1       /* its owner has the connection */
#define NGX_RF_RELAY_TOLD       2       /* it is given up */

typedef struct {
    ngx_atomic_t          owner;        /* pid of who filled it; 0: free */
    ngx_atomic_t          state;
    uint64_t              id;           /* CLIENT ID, in the Redis of that */
    u_char                run_id[40];
} ngx_rf_relay_slot_t;

typedef struct {
    ngx_atomic_t          told;         /* ever */
    ngx_atomic_t          done;         /* that much of it is dealt with */
    ngx_atomic_t          outages;      /* how often a zone of the store has
                                           left normal mode */
    ngx_rf_relay_slot_t   slots[NGX_RF_RELAY_SLOTS];
} ngx_rf_relay_sh_t;

typedef struct {
    ngx_rf_relay_sh_t    *sh;           /* NULL until the zone exists */
    ngx_str_t             store;        /* its name */
} ngx_rf_relay_t;

typedef ngx_int_t (*ngx_rf_relay_pt)(void *data, ngx_str_t *run_id,
    uint64_t id);


/* at configuration time; "relay" stays.  NGX_ERROR: no memory */
ngx_int_t ngx_rf_relay_add(ngx_conf_t *cf, ngx_rf_relay_t *relay,
    ngx_str_t *store, void *tag);

/* this process has a connection; it has it no more; it has given it up, and
 * its zone has been replaced.  run_id has 40 bytes */
void ngx_rf_relay_hold(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id);
void ngx_rf_relay_drop(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id);
void ngx_rf_relay_tell(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id);
/* this process has none any more, and gave none up */
void ngx_rf_relay_leave(ngx_rf_relay_t *relay);

/* how often tell() was called, and that all this is dealt with; late(): not all
 * is, commands that were given up may yet be executed */
#define ngx_rf_relay_told(relay)        ((ngx_uint_t) (relay)->sh->told)
#define ngx_rf_relay_done(relay, told)  (relay)->sh->done = (told)
#define ngx_rf_relay_late(relay)        ((relay)->sh->told != (relay)->sh->done)

/* the handler is called for each that was told, or was held by a process that
 * has died (and whose pid nobody has got since); it is forgotten when that
 * returns NGX_OK, and whoever is killed before leaves it to the next one */
void ngx_rf_relay_take(ngx_rf_relay_t *relay, ngx_rf_relay_pt handler,
    void *data);
/* the handler is called for each that this process has, and keeps */
void ngx_rf_relay_held(ngx_rf_relay_t *relay, ngx_pid_t pid,
    ngx_rf_relay_pt handler, void *data);


#endif /* _NGX_RF_RELAY_H_INCLUDED_ */
