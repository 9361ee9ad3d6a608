/*
 * The harness of the client's tests: scenarios are rows of steps; a step
 * submits calls and the next one runs once all were answered.
 */

#ifndef _RF_CLIENT_H_INCLUDED_
#define _RF_CLIENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_redis.h"


#define RF_MAX_COMMANDS     4
#define RF_MAX_ARGS         8


typedef struct rf_call_s  rf_call_t;

typedef void (*rf_call_pt)(rf_call_t *t);

/* a call of the tests: malloc()ed, freed by the next step */

struct rf_call_s {
    ngx_rf_call_t           call;
    ngx_rf_call_command_t   commands[RF_MAX_COMMANDS];
    ngx_str_t               argv[RF_MAX_COMMANDS][RF_MAX_ARGS];
    ngx_rf_redis_t         *redis;
    ngx_pool_t             *pool;
    ngx_msec_t              began;
    ngx_msec_t              took;
    ngx_uint_t              outcome;
    ngx_uint_t              fired;
    ngx_uint_t              soon;       /* the digits of what it was told */
    ngx_uint_t              number;
    rf_call_pt              then;
    rf_call_t              *next;
};


/* NULL ends a row; a step's number is ms to wait at least before the next */
typedef ngx_msec_t (*rf_step_pt)(void);

typedef struct {
    const char             *name;
    rf_step_pt             *steps;
} rf_scenario_t;

extern rf_scenario_t   rf_scenarios[];


/* what happened to a client */

typedef struct {
    ngx_rf_redis_conf_t     conf;
    ngx_rf_redis_t         *redis;
    ngx_uint_t              ups;
    ngx_uint_t              downs;
    ngx_uint_t              links;      /* a bit for each that is up */
    ngx_uint_t              abandoned;  /* with calls in flight */
    int64_t                 dbsize;
    uint64_t                client;     /* its id in Redis */
    ngx_uint_t              version;
    u_char                  run_id[64];
    size_t                  run_id_len;
    void                  (*up)(void);
} rf_client_t;

extern rf_client_t     rf_a;
extern rf_client_t     rf_b;
extern rf_call_t      *rf_calls;        /* the newest first */
extern ngx_uint_t      rf_outstanding;
extern ngx_uint_t      rf_go_on;        /* the next step does not wait */
extern ngx_cycle_t    *rf_cycle;


void rf_client_create(rf_client_t *client);
void rf_client_destroy(rf_client_t *client);

/* arguments end with NULL */
rf_call_t *rf_submit(rf_client_t *client, ...);
/* one more command for a call that was made with rf_prepare() */
rf_call_t *rf_prepare(rf_client_t *client, ...);
void rf_add(rf_call_t *t, ...);
ngx_int_t rf_start(rf_call_t *t);
void rf_cut(rf_call_t *t);
void rf_free_calls(void);

/* how many calls ended so, and how long the longest took */
ngx_uint_t rf_count(ngx_uint_t outcome);
ngx_msec_t rf_longest(void);

void rf_ok(ngx_uint_t ok, const char *fmt, ...);
ngx_uint_t rf_is(ngx_rf_reply_t *reply, const char *text);
const char *rf_get(const char *name);
/* runs the hook of run.sh: "start", "kill", "stop", "cont" ... */
void rf_hook(const char *what);
ngx_uint_t rf_nfds(void);
size_t rf_rss(void);


#endif /* _RF_CLIENT_H_INCLUDED_ */
