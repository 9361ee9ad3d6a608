/*
 * Redis as the unit tests have it: nothing is sent.  What the engine asks the
 * client for comes by here (ld's --wrap, t/unit/config) while there is one, and
 * the test answers it.  Without one the client is as ever.
 *
 *     remote_begin(&remote, log);
 *     (void) ngx_rf_store_submit(&op);
 *     remote_answer(&remote, pool, 0, "$5\r\nvalue\r\n");
 *     remote_end();
 */

#ifndef _REMOTE_H_INCLUDED_
#define _REMOTE_H_INCLUDED_


#include "rf_unit.h"
#include <ngx_event.h>
#include "ngx_rf_conn.h"
#include "ngx_rf_redis.h"


#define REMOTE_CALLS    16


typedef struct {
    /* over the data connections: calls without an answer, in order */
    ngx_rf_call_t        *calls[REMOTE_CALLS];
    ngx_uint_t            ncalls;
    ngx_uint_t            asked;        /* calls ever */
    ngx_str_t             run_id;       /* len 0: none is connected */

    /* the second connection */
    ngx_rf_conn_peer_t   *peer;         /* NULL: there is none */
    ngx_rf_call_t        *heard;        /* sent over it */
    ngx_uint_t            made;         /* connections ever */

    ngx_uint_t            scarce;       /* for scarce_begin(): while the next
                                           handler runs */
    ngx_uint_t            hit;          /* and what scarce_end() said */

    ngx_cycle_t           cycle;        /* for who wants one */
    ngx_core_conf_t       core;
    void                 *conf[64];
} remote_t;


/* with a clock of its own, which stands still, and timers */
void remote_begin(remote_t *remote, ngx_log_t *log);
void remote_end(void);

/* the n-th of the calls gets its replies, one for each command, as Redis writes
 * them, and its handler is called */
void remote_answer(remote_t *remote, ngx_pool_t *pool, ngx_uint_t n,
    const char *wire);
/* the same for what was sent over the second connection, and for its handshake:
 * the id that Redis knows it by */
void remote_heard(remote_t *remote, ngx_pool_t *pool, const char *wire);
void remote_ready(remote_t *remote, const char *run_id, uint64_t client);
/* Redis says something there; 1: it was taken */
ngx_uint_t remote_push(remote_t *remote, ngx_pool_t *pool, const char *wire);
/* it is lost */
void remote_lost(remote_t *remote);

/* the words of the n-th call's first command */
const char *remote_words(ngx_rf_call_t *call);

/* that many ms later; timers that are due by then are over */
void remote_later(ngx_msec_t ms);


#endif /* _REMOTE_H_INCLUDED_ */
