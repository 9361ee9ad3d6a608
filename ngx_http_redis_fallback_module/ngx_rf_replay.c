/*
 * A pending record to the commands that tell Redis, see ngx_rf_replay.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_replay.h"
#include "ngx_rf_replay_internal.h"


static ngx_int_t ngx_rf_replay_start(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_replay_replace(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t left);
static ngx_int_t ngx_rf_replay_replaced(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_replay_careful(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t left);
static ngx_int_t ngx_rf_replay_cared(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_replay_hex(ngx_pool_t *pool, u_char sha1[20],
    ngx_str_t *str);


/*
 * KEYS: key.  ARGV: base, gone and own, see ngx_rf_replay_lua_conflict(); "set"
 * or "del"; the value; ms to live or "0".  Returns 1, or 0 for a conflict.
 */
static ngx_str_t  ngx_rf_replay_careful_script = ngx_string(
    ngx_rf_replay_lua_conflict("ARGV[1]", "ARGV[2]", "ARGV[3]", "return 0")
    "if ARGV[4] == 'del' then redis.call('DEL', KEYS[1]) "
    "elseif ARGV[6] == '0' then redis.call('SET', KEYS[1], ARGV[5]) "
    "else redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[6]) end "
    "return 1");


void
ngx_rf_replay_init(ngx_rf_replay_t *rp, ngx_rf_record_t *rec,
    ngx_uint_t remote, ngx_uint_t same_run)
{
    ngx_memzero(rp, sizeof(ngx_rf_replay_t));

    rp->rec = rec;
    rp->remote = remote;
    rp->same_run = same_run;
    rp->handler = ngx_rf_replay_start;
}


ngx_int_t
ngx_rf_replay_next(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_rf_reply_t *reply)
{
    if (reply && reply->type == NGX_RF_REPLY_ERROR) {
        rp->error = reply->str;
        return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_REFUSED);
    }

    return rp->handler(rp, pool, now, reply);
}


static ngx_int_t
ngx_rf_replay_start(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_rf_reply_t *reply)
{
    int64_t           left;
    ngx_rf_record_t  *rec;

    rec = rp->rec;

    if (rec->type > NGX_RF_ZSET) {
        return NGX_DECLINED;
    }

    if (rec->pending == NGX_RF_DELTA) {
        return ngx_rf_replay_delta(rp, pool, now);
    }

    left = 0;

    if (rec->expire) {
        left = rec->expire - now;

        if (left <= 0) {
            left = -1;
            rp->expired = 1;
        }
    }

    if (rec->type == NGX_RF_NONE || rec->nvalues == 0) {
        left = -1;
    }

    if (rec->version == 0 && left < 0) {
        /* it was to be restored, and there is nothing left of it */
        return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_MERGED);
    }

    if (rec->type > NGX_RF_STRING && left >= 0) {
        return ngx_rf_replay_make(rp, pool, now);
    }

    if (rp->remote && rec->base != NGX_RF_BASE_UNKNOWN && rec->version != 0) {
        return ngx_rf_replay_careful(rp, pool, left);
    }

    return ngx_rf_replay_replace(rp, pool, left);
}


/* left: ms to live; 0: for ever; -1: it does not exist */

static ngx_int_t
ngx_rf_replay_replace(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t left)
{
    ngx_str_t        *argv;
    ngx_rf_record_t  *rec;

    rec = rp->rec;

    argv = ngx_palloc(pool, 6 * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    rp->argv = argv;
    rp->handler = ngx_rf_replay_replaced;
    argv[1] = rec->key;

    if (left < 0) {
        ngx_str_set(&argv[0], "DEL");
        rp->argc = 2;
        return NGX_AGAIN;
    }

    ngx_str_set(&argv[0], "SET");
    argv[2] = rec->values[0];
    rp->argc = 3;

    if (left) {
        ngx_str_set(&argv[3], "PX");

        if (ngx_rf_replay_number(pool, left, &argv[4]) != NGX_OK) {
            return NGX_ERROR;
        }

        rp->argc = 5;
    }

    if (rec->version == 0) {
        /* restored after a loss of data: only if nobody was faster */
        ngx_str_set(&argv[rp->argc], "NX");
        rp->argc++;
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_rf_replay_replaced(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_rf_reply_t *reply)
{
    /* nil is SET's answer to NX */

    return ngx_rf_replay_verdict(rp, reply->type == NGX_RF_REPLY_NIL
                                     ? NGX_RF_REPLAY_MERGED
                                     : NGX_RF_REPLAY_APPLIED);
}


static ngx_int_t
ngx_rf_replay_careful(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t left)
{
    ngx_str_t        *argv;
    ngx_rf_record_t  *rec;

    rec = rp->rec;

    argv = ngx_pcalloc(pool, 10 * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_replay_careful_script;
    ngx_str_set(&argv[2], "1");
    argv[3] = rec->key;

    if (ngx_rf_replay_base(rp, pool, left >= 0, &argv[4]) != NGX_OK) {
        return NGX_ERROR;
    }

    if (left < 0) {
        ngx_str_set(&argv[7], "del");
        ngx_str_set(&argv[9], "0");
        argv[8].data = (u_char *) "";

    } else {
        ngx_str_set(&argv[7], "set");
        argv[8] = rec->values[0];

        if (ngx_rf_replay_number(pool, left, &argv[9]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    rp->argv = argv;
    rp->argc = 10;
    rp->handler = ngx_rf_replay_cared;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_rf_replay_cared(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_rf_reply_t *reply)
{
    if (reply->type == NGX_RF_REPLY_INTEGER && reply->integer == 0) {
        return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_CONFLICT);
    }

    return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_APPLIED);
}


ngx_int_t
ngx_rf_replay_base(ngx_rf_replay_t *rp, ngx_pool_t *pool, ngx_uint_t exists,
    ngx_str_t *argv)
{
    u_char            sha1[20];
    ngx_rf_record_t  *rec;

    rec = rp->rec;

    if (rec->base == NGX_RF_BASE_ABSENT) {
        ngx_str_set(&argv[0], "absent");

    } else if (ngx_rf_replay_hex(pool, rec->base_sha1, &argv[0]) != NGX_OK) {
        return NGX_ERROR;
    }

    if (rp->same_run && !rec->base_expires) {
        ngx_str_set(&argv[1], "1");
    } else {
        ngx_str_set(&argv[1], "0");
    }

    if (!exists) {
        ngx_str_set(&argv[2], "absent");
        return NGX_OK;
    }

    if (ngx_rf_digest_row(rec->type, rec->values, rec->nvalues, sha1)
        != NGX_OK)
    {
        ngx_str_set(&argv[2], "");
        return NGX_OK;
    }

    return ngx_rf_replay_hex(pool, sha1, &argv[2]);
}


static ngx_int_t
ngx_rf_replay_hex(ngx_pool_t *pool, u_char sha1[20], ngx_str_t *str)
{
    str->data = ngx_pnalloc(pool, 40);
    if (str->data == NULL) {
        return NGX_ERROR;
    }

    str->len = ngx_hex_dump(str->data, sha1, 20) - str->data;

    return NGX_OK;
}


ngx_int_t
ngx_rf_replay_name(ngx_pool_t *pool, ngx_rf_record_t *rec, uint64_t id,
    const char *suffix, ngx_str_t *name)
{
    name->data = ngx_pnalloc(pool, rec->key.len + sizeof(":redis_fallback:")
                                   + 16 + ngx_strlen(suffix));
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    name->len = ngx_sprintf(name->data, "%V:redis_fallback:%016xL%s",
                            &rec->key, id, suffix)
                - name->data;

    return NGX_OK;
}


ngx_int_t
ngx_rf_replay_number(ngx_pool_t *pool, int64_t n, ngx_str_t *str)
{
    str->data = ngx_pnalloc(pool, NGX_INT64_LEN);
    if (str->data == NULL) {
        return NGX_ERROR;
    }

    str->len = ngx_sprintf(str->data, "%L", n) - str->data;

    return NGX_OK;
}


/* the end */

ngx_int_t
ngx_rf_replay_verdict(ngx_rf_replay_t *rp, ngx_rf_replay_verdict_e verdict)
{
    rp->verdict = verdict;
    rp->handler = NULL;

    return NGX_OK;
}


/* no Redis answers like that */

ngx_int_t
ngx_rf_replay_unexpected(ngx_rf_replay_t *rp)
{
    ngx_str_set(&rp->error, "an unexpected reply");

    return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_REFUSED);
}
