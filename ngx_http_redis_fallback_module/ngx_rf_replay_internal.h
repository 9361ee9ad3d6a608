/*
 * What the parts of replay share: ngx_rf_replay.c begins and deals with
 * strings, ngx_rf_replay_make.c makes keys in steps, ngx_rf_replay_delta.c
 * applies changes.
 */

#ifndef _NGX_RF_REPLAY_INTERNAL_H_INCLUDED_
#define _NGX_RF_REPLAY_INTERNAL_H_INCLUDED_


#include "ngx_rf_digest.h"
#include "ngx_rf_replay.h"


/* seconds after which a marker that nobody removed is gone (rule 8: a day) */
#define NGX_RF_REPLAY_MARKER_TTL    "86400"


/*
 * Lua: what to do if the key does not hold what it held when the outage began.
 * "base": its digest, or 'absent'; "gone": '1' if a missing key means that
 * somebody deleted it; "own": the digest of what it is to hold, which is no
 * conflict, 'absent', or '' where there is none.
 */
#define ngx_rf_replay_lua_conflict(base, gone, own, action)                   \
    ngx_rf_digest_lua                                                         \
    "local t = redis.call('TYPE', KEYS[1]).ok "                               \
    "if t == 'none' then "                                                    \
    "if " base " ~= 'absent' and " own " ~= 'absent' and " gone " == '1' "    \
    "then " action " end "                                                    \
    "else local d = digest(KEYS[1], t) "                                      \
    "if d ~= " base " and d ~= " own " then " action " end end "

/* the same, where nothing but a missing key will do */
#define ngx_rf_replay_lua_present(action)                                     \
    "if redis.call('EXISTS', KEYS[1]) == 1 then " action " end "

/* how many arguments ngx_rf_replay_base() makes */
#define NGX_RF_REPLAY_BASE      3


/* makes the record's value: REPLACE of a collection, or a DELTA whose key was
 * lost by Redis, which goes on with apply() if the key is there */
ngx_int_t ngx_rf_replay_make(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now);

/* puts rp->row into a list, rp->making, and goes on with stage() */
ngx_int_t ngx_rf_replay_upload(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now);

ngx_int_t ngx_rf_replay_delta(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now);
ngx_int_t ngx_rf_replay_apply(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now);
/* is it staged?  What has been uploaded is then */
ngx_int_t ngx_rf_replay_stage(ngx_rf_replay_t *rp, ngx_pool_t *pool);

/* names beside the key, so that the key's permissions cover them */
ngx_int_t ngx_rf_replay_name(ngx_pool_t *pool, ngx_rf_record_t *rec,
    uint64_t id, const char *suffix, ngx_str_t *name);
/* "base", "gone" and "own" of ngx_rf_replay_lua_conflict(); "exists": it is to
 * hold the record's value */
ngx_int_t ngx_rf_replay_base(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    ngx_uint_t exists, ngx_str_t *argv);
ngx_int_t ngx_rf_replay_number(ngx_pool_t *pool, int64_t n, ngx_str_t *str);

ngx_int_t ngx_rf_replay_verdict(ngx_rf_replay_t *rp,
    ngx_rf_replay_verdict_e verdict);
ngx_int_t ngx_rf_replay_unexpected(ngx_rf_replay_t *rp);


#endif /* _NGX_RF_REPLAY_INTERNAL_H_INCLUDED_ */
