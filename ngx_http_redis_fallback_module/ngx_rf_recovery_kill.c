/*
 * Before anything is replayed: Redis ends the connections that were given up
 * with commands in flight, so that none of these is executed any more.  Their
 * ids are in the zone; those of workers that were killed, or whose zone was
 * replaced, come there from the relay.  Until those of the latter are ended no
 * write is sent to Redis, and in a recovery until all are.
 *
 * It is best effort.  Who may not CLIENT ID has no ids, and who may not CLIENT
 * KILL is told so once; an id that Redis does not know any more is as good as
 * one that it killed.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_mode.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_zone.h"


/* ids and their commands */
#define NGX_RF_RECOVERY_KILL_POOL   4096

#define NGX_RF_RECOVERY_KILL_ARGC   4


static ngx_int_t ngx_rf_recovery_kill_told(void *data, ngx_str_t *run_id,
    uint64_t id);
static void ngx_rf_recovery_kill_told_done(ngx_rf_recovery_t *r);
static ngx_int_t ngx_rf_recovery_kill_command(ngx_pool_t *pool,
    ngx_rf_call_command_t *command, uint64_t id);
static void ngx_rf_recovery_killed(ngx_rf_call_t *call, ngx_uint_t outcome);
static ngx_str_t *ngx_rf_recovery_kill_verdict(ngx_rf_recovery_t *r,
    ngx_rf_call_t *call);
static void ngx_rf_recovery_kill_done(ngx_rf_recovery_t *r);


ngx_uint_t
ngx_rf_recovery_late(ngx_rf_recovery_t *r)
{
    return r->conf.zone->sh->nabandoned || ngx_rf_relay_late(r->conf.relay);
}


ngx_int_t
ngx_rf_recovery_kill(ngx_rf_recovery_t *r, ngx_uint_t probed)
{
    uint64_t                ids[NGX_RF_ZONE_ABANDONED];
    ngx_uint_t              i, n;
    ngx_rf_call_t          *call;
    ngx_rf_zone_sh_t       *sh;
    ngx_rf_call_command_t  *commands;

    sh = r->conf.zone->sh;

    if (sh->superseded) {
        /* it is the new zone's leader who has to know */
        return NGX_ERROR;
    }

    r->kill_probed = probed;
    r->told = ngx_rf_relay_told(r->conf.relay);

    ngx_rf_recovery_bury(r);

    n = 0;

    if (sh->nabandoned) {
        n = ngx_rf_zone_abandoned(r->conf.zone,
                                  ngx_rf_redis_run_id(r->conf.redis), ids);
    }

    if (n == 0) {
        ngx_rf_recovery_kill_told_done(r);
        return NGX_OK;
    }

    r->probe_pool = ngx_create_pool(NGX_RF_RECOVERY_KILL_POOL, r->log);
    if (r->probe_pool == NULL) {
        return NGX_ERROR;
    }

    r->nkilling = n;
    r->killing = ngx_palloc(r->probe_pool, n * sizeof(uint64_t));
    commands = ngx_pcalloc(r->probe_pool, n * sizeof(ngx_rf_call_command_t));

    if (r->killing == NULL || commands == NULL) {
        goto failed;
    }

    ngx_memcpy(r->killing, ids, n * sizeof(uint64_t));

    for (i = 0; i < n; i++) {

        if (ngx_rf_recovery_kill_command(r->probe_pool, &commands[i], ids[i])
            != NGX_OK)
        {
            goto failed;
        }
    }

    call = &r->probe;
    ngx_memzero(call, sizeof(ngx_rf_call_t));

    call->ncommands = n;
    call->commands = commands;
    call->pool = r->probe_pool;
    call->handler = ngx_rf_recovery_killed;
    call->data = r;

    /* the ids are those of the Redis that is connected now */
    call->once = 1;

    if (ngx_rf_redis_call(r->conf.redis, call) != NGX_AGAIN) {
        goto failed;
    }

    r->busy = 1;

    return NGX_AGAIN;

failed:

    ngx_rf_recovery_kill_done(r);

    return NGX_ERROR;
}


void
ngx_rf_recovery_bury(ngx_rf_recovery_t *r)
{
    r->untaken = 0;
    ngx_rf_relay_take(r->conf.relay, ngx_rf_recovery_kill_told, r);
}


/*
 * A leader that stood still for longer than its lease may have a part of its
 * slice before it yet that no socket has taken, and would send it over what has
 * been written since.  So its connections are ended, too; those of one that has
 * died are in bury().  In normal mode all was answered.
 */

void
ngx_rf_recovery_fence(ngx_rf_recovery_t *r, ngx_pid_t pid)
{
    if (pid == 0 || pid == ngx_pid
        || ngx_rf_mode_get(r->conf.zone, NULL) == NGX_RF_NORMAL
        || (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH))
    {
        return;
    }

    ngx_rf_relay_held(r->conf.relay, pid, ngx_rf_recovery_kill_told, r);
}


/* Of another Redis it is gone with it.  Of those that are in the zone already
 * none is to be forgotten for one that may have had nothing in flight. */

static ngx_int_t
ngx_rf_recovery_kill_told(void *data, ngx_str_t *run_id, uint64_t id)
{
    ngx_rf_zone_t      *zone;
    ngx_rf_recovery_t  *r = data;

    zone = r->conf.zone;

    if (ngx_memcmp(zone->sh->run_id, run_id->data, run_id->len) != 0) {
        return NGX_OK;
    }

    if (zone->sh->nabandoned >= NGX_RF_ZONE_ABANDONED) {
        r->untaken = 1;
        return NGX_AGAIN;
    }

    return ngx_rf_zone_abandon(zone, run_id, id);
}


/* unless some had no room: the next kill() has them */

static void
ngx_rf_recovery_kill_told_done(ngx_rf_recovery_t *r)
{
    if (!r->untaken && !r->conf.zone->sh->superseded) {
        ngx_rf_relay_done(r->conf.relay, r->told);
    }
}


static ngx_int_t
ngx_rf_recovery_kill_command(ngx_pool_t *pool, ngx_rf_call_command_t *command,
    uint64_t id)
{
    ngx_str_t  *argv;

    argv = ngx_palloc(pool, NGX_RF_RECOVERY_KILL_ARGC * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "CLIENT");
    ngx_str_set(&argv[1], "KILL");
    ngx_str_set(&argv[2], "ID");

    argv[3].data = ngx_pnalloc(pool, NGX_INT64_LEN);
    if (argv[3].data == NULL) {
        return NGX_ERROR;
    }

    argv[3].len = ngx_sprintf(argv[3].data, "%uL", id) - argv[3].data;

    command->argc = NGX_RF_RECOVERY_KILL_ARGC;
    command->argv = argv;

    return NGX_OK;
}


static void
ngx_rf_recovery_killed(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_str_t          *failed;
    ngx_rf_recovery_t  *r;

    r = call->data;
    r->busy = 0;

    if (r->stopping) {
        ngx_rf_recovery_kill_done(r);
        return;
    }

    failed = (outcome == NGX_RF_CALL_DONE)
             ? ngx_rf_recovery_kill_verdict(r, call)
             : ngx_rf_redis_failure(r->conf.redis);

    if (failed) {
        ngx_rf_recovery_not_ready(r, failed);
        ngx_rf_recovery_kill_done(r);
        return;
    }

    ngx_rf_zone_abandoned_done(r->conf.zone, r->killing, r->nkilling);
    ngx_rf_recovery_kill_done(r);

    ngx_rf_recovery_kill_told_done(r);

    if (r->kill_probed) {
        ngx_rf_recovery_proceed(r);

    } else {
        /* Redis was not asked whether it takes writes */
        ngx_rf_recovery_post(r);
    }
}


/* NULL, or why Redis is not ready after all */

static ngx_str_t *
ngx_rf_recovery_kill_verdict(ngx_rf_recovery_t *r, ngx_rf_call_t *call)
{
    ngx_uint_t        i, n;
    ngx_rf_reply_t   *reply;
    static ngx_str_t  noperm = ngx_string("NOPERM");

    n = 0;

    for (i = 0; i < call->ncommands; i++) {
        reply = call->commands[i].reply;

        if (reply->type != NGX_RF_REPLY_ERROR) {
            n += (reply->type == NGX_RF_REPLY_INTEGER && reply->integer > 0);
            continue;
        }

        if (ngx_rf_resp_outage(reply)) {
            return &reply->str;
        }

        if (!r->kill_denied && reply->str.len >= noperm.len
            && ngx_memcmp(reply->str.data, noperm.data, noperm.len) == 0)
        {
            r->kill_denied = 1;
            ngx_log_error(NGX_LOG_WARN, r->log, 0,
                          "redis_fallback store \"%V\": connections that "
                          "were given up cannot be ended, redis may yet "
                          "execute what they carried: %V",
                          &r->conf.name, &reply->str);
        }
    }

    if (n) {
        ngx_log_error(NGX_LOG_NOTICE, r->log, 0,
                      "redis_fallback store \"%V\": redis %V ended %ui "
                      "connections that had been given up", &r->conf.name,
                      &r->conf.address, n);
    }

    return NULL;
}


static void
ngx_rf_recovery_kill_done(ngx_rf_recovery_t *r)
{
    ngx_destroy_pool(r->probe_pool);
    r->probe_pool = NULL;
    r->killing = NULL;
    r->nkilling = 0;
}
