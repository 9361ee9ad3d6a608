/*
 * Recovery: what became of keys whose changes Redis has merged with its own
 * value is read back, so that memory knows it in the next outage.
 *
 * Guarantees: at leisure.  Some are under way at a time, large ones are left
 * alone, no failure matters, and no recovery waits for it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_recovery.h"
#include "ngx_rf_recovery_internal.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_zone.h"


/* under way at a time, and waiting */
#define NGX_RF_RECOVERY_LEARNING    16
#define NGX_RF_RECOVERY_WANTED      100000

/* elements and bytes of one that is read */
#define NGX_RF_RECOVERY_ELTS        1000
#define NGX_RF_RECOVERY_LEARN_ELTS  "1000"
#define NGX_RF_RECOVERY_LEARN_BYTES "1000000"

/* EVAL, script, 1, key, elements, bytes, what says the length; then the
 * command without its key */
#define NGX_RF_RECOVERY_LEARN_ARGC  7


struct ngx_rf_wanted_s {
    ngx_rf_wanted_t          *next;
    ngx_rf_type_e             type;
    ngx_str_t                 key;
};


typedef struct {
    ngx_str_t                 length;   /* the command that says it */
    ngx_uint_t                argc;     /* of the one that reads all */
    ngx_str_t                 argv[5];  /* [1] is the key */
} ngx_rf_recovery_read_t;

typedef struct {
    ngx_rf_call_t             call;
    ngx_rf_call_command_t     command;
    ngx_rf_recovery_t        *r;
    ngx_uint_t                argc;
    ngx_str_t                *argv;     /* what the script does */
    uint64_t                  seq;
    int64_t                   sent;
} ngx_rf_recovery_learn_t;


static void ngx_rf_recovery_learn_next(ngx_rf_recovery_t *r);
static ngx_int_t ngx_rf_recovery_learn_send(ngx_rf_recovery_t *r,
    ngx_rf_wanted_t *wanted);
static ngx_rf_recovery_learn_t *ngx_rf_recovery_learn_make(
    ngx_rf_recovery_t *r, ngx_pool_t *pool, ngx_rf_wanted_t *wanted);
static void ngx_rf_recovery_learned(ngx_rf_call_t *call, ngx_uint_t outcome);
static void ngx_rf_recovery_learn_reply(ngx_rf_recovery_learn_t *ln);


static ngx_rf_recovery_read_t  ngx_rf_recovery_reads[] = {

    [NGX_RF_STRING] = { ngx_string("STRLEN"), 2,
                        { ngx_string("GET") } },

    [NGX_RF_HASH] = { ngx_string("HLEN"), 2,
                      { ngx_string("HGETALL") } },

    [NGX_RF_LIST] = { ngx_string("LLEN"), 4,
                      { ngx_string("LRANGE"), ngx_null_string,
                        ngx_string("0"), ngx_string("-1") } },

    [NGX_RF_SET] = { ngx_string("SCARD"), 2,
                     { ngx_string("SMEMBERS") } },

    [NGX_RF_ZSET] = { ngx_string("ZCARD"), 5,
                      { ngx_string("ZRANGE"), ngx_null_string,
                        ngx_string("0"), ngx_string("-1"),
                        ngx_string("WITHSCORES") } }
};


/* somebody else may have made it much larger */

static ngx_str_t  ngx_rf_recovery_learn_script = ngx_string(
    "local bytes = tonumber(ARGV[2]) "
    "local most = ARGV[3] == 'STRLEN' and bytes or tonumber(ARGV[1]) "
    "if redis.call(ARGV[3], KEYS[1]) > most then return false end "
    "local v = redis.call(ARGV[4], KEYS[1], unpack(ARGV, 5)) "
    "for _, part in ipairs(type(v) == 'table' and v or {}) do "
    "bytes = bytes - #part end "
    "if bytes < 0 then return false end "
    "return {v, redis.call('PTTL', KEYS[1])}");


void
ngx_rf_recovery_learn(ngx_rf_recovery_t *r, ngx_rf_record_t *rec)
{
    ngx_rf_wanted_t  *wanted;

    /* an emptied one: its type is not known any more */

    if (rec->type < NGX_RF_STRING || rec->type > NGX_RF_ZSET
        || rec->nvalues > 2 * NGX_RF_RECOVERY_ELTS
        || r->nwanted == NGX_RF_RECOVERY_WANTED || r->stopping)
    {
        return;
    }

    wanted = ngx_alloc(sizeof(ngx_rf_wanted_t) + rec->key.len, r->log);
    if (wanted == NULL) {
        return;
    }

    wanted->type = rec->type;
    wanted->key.len = rec->key.len;
    wanted->key.data = (u_char *) wanted + sizeof(ngx_rf_wanted_t);
    ngx_memcpy(wanted->key.data, rec->key.data, rec->key.len);

    wanted->next = r->wanted;
    r->wanted = wanted;
    r->nwanted++;

    ngx_rf_recovery_learn_next(r);
}


static void
ngx_rf_recovery_learn_next(ngx_rf_recovery_t *r)
{
    ngx_int_t         rc;
    ngx_rf_wanted_t  *wanted;

    while (r->wanted && r->nlearning < NGX_RF_RECOVERY_LEARNING) {
        wanted = r->wanted;
        r->wanted = wanted->next;
        r->nwanted--;

        rc = ngx_rf_recovery_learn_send(r, wanted);
        ngx_free(wanted);

        if (rc != NGX_OK) {
            ngx_rf_recovery_learn_drop(r);
            return;
        }
    }
}


void
ngx_rf_recovery_learn_drop(ngx_rf_recovery_t *r)
{
    ngx_rf_wanted_t  *wanted;

    while (r->wanted) {
        wanted = r->wanted;
        r->wanted = wanted->next;
        ngx_free(wanted);
    }

    r->nwanted = 0;
}


static ngx_int_t
ngx_rf_recovery_learn_send(ngx_rf_recovery_t *r, ngx_rf_wanted_t *wanted)
{
    ngx_pool_t               *pool;
    ngx_rf_recovery_learn_t  *ln;

    pool = ngx_create_pool(4096, r->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    ln = ngx_rf_recovery_learn_make(r, pool, wanted);

    if (ln == NULL
        || ngx_rf_redis_call(r->conf.redis, &ln->call) != NGX_AGAIN)
    {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    r->nlearning++;

    return NGX_OK;
}


static ngx_rf_recovery_learn_t *
ngx_rf_recovery_learn_make(ngx_rf_recovery_t *r, ngx_pool_t *pool,
    ngx_rf_wanted_t *wanted)
{
    ngx_str_t                *argv;
    ngx_uint_t                i, n;
    ngx_rf_recovery_read_t   *read;
    ngx_rf_recovery_learn_t  *ln;

    read = &ngx_rf_recovery_reads[wanted->type];

    ln = ngx_pcalloc(pool, sizeof(ngx_rf_recovery_learn_t));
    argv = ngx_palloc(pool, (NGX_RF_RECOVERY_LEARN_ARGC + 2 * read->argc)
                            * sizeof(ngx_str_t));

    if (ln == NULL || argv == NULL) {
        return NULL;
    }

    ln->r = r;
    ln->argc = read->argc;
    ln->argv = &argv[NGX_RF_RECOVERY_LEARN_ARGC + read->argc];

    ngx_memcpy(ln->argv, read->argv, read->argc * sizeof(ngx_str_t));

    ln->argv[1].len = wanted->key.len;
    ln->argv[1].data = ngx_pstrdup(pool, &wanted->key);

    if (ln->argv[1].data == NULL) {
        return NULL;
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_recovery_learn_script;
    ngx_str_set(&argv[2], "1");
    argv[3] = ln->argv[1];
    ngx_str_set(&argv[4], NGX_RF_RECOVERY_LEARN_ELTS);
    ngx_str_set(&argv[5], NGX_RF_RECOVERY_LEARN_BYTES);
    argv[6] = read->length;
    n = NGX_RF_RECOVERY_LEARN_ARGC;

    for (i = 0; i < read->argc; i++) {
        if (i != 1) {
            argv[n++] = read->argv[i];
        }
    }

    ln->command.argc = n;
    ln->command.argv = argv;

    ln->call.ncommands = 1;
    ln->call.commands = &ln->command;
    ln->call.pool = pool;
    ln->call.handler = ngx_rf_recovery_learned;
    ln->call.data = ln;
    ln->call.once = 1;

    ln->seq = r->conf.zone->sh->seq;
    ln->sent = ngx_rf_now();

    return ln;
}


static void
ngx_rf_recovery_learned(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    ngx_rf_recovery_t        *r;
    ngx_rf_recovery_learn_t  *ln;

    ln = call->data;
    r = ln->r;

    r->nlearning--;

    if (outcome != NGX_RF_CALL_DONE || r->stopping || ngx_exiting) {
        /* it is not the time for it */
        ngx_rf_recovery_learn_drop(r);

    } else {
        ngx_rf_recovery_learn_reply(ln);
        ngx_rf_recovery_learn_next(r);
    }

    ngx_destroy_pool(call->pool);
}


static void
ngx_rf_recovery_learn_reply(ngx_rf_recovery_learn_t *ln)
{
    ngx_rf_reply_t          *reply;
    const ngx_rf_command_t  *command;

    reply = ln->command.reply;
    command = ngx_rf_command_find(&ln->argv[0]);

    if (command == NULL || reply->type != NGX_RF_REPLY_ARRAY
        || reply->nelts != 2
        || reply->elts[1].type != NGX_RF_REPLY_INTEGER)
    {
        return;
    }

    ngx_rf_learn_link(ln->r->conf.zone, ln->call.link);

    ngx_rf_learn(ln->r->conf.zone, ln->call.pool, command, ln->argc,
                 ln->argv, &reply->elts[0], reply->elts[1].integer, ln->seq,
                 ln->sent, 0);
}
