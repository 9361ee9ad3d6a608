/*
 * A pending record to the commands that tell Redis, see ngx_rf_replay.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_replay.h"


static ngx_int_t ngx_rf_replay_replace(ngx_pool_t *pool, ngx_rf_record_t *rec,
    int64_t left, ngx_rf_replay_command_t *command);
static ngx_int_t ngx_rf_replay_careful(ngx_pool_t *pool, ngx_rf_record_t *rec,
    int64_t left, ngx_uint_t same_run, ngx_rf_replay_command_t *command);
static ngx_int_t ngx_rf_replay_delta(ngx_pool_t *pool, ngx_rf_record_t *rec,
    int64_t now, ngx_rf_replay_command_t *command);
static ngx_int_t ngx_rf_replay_restore(ngx_pool_t *pool, ngx_rf_record_t *rec,
    int64_t now, ngx_str_t *argv);
static ngx_int_t ngx_rf_replay_number(ngx_pool_t *pool, int64_t n,
    ngx_str_t *str);
static ngx_uint_t ngx_rf_replay_equal(ngx_rf_record_t *rec,
    ngx_rf_reply_t *last);


/*
 * KEYS: key.  ARGV: sha1 of the value at the outage's begin, or "absent";
 * "1" if a missing key means that somebody deleted it; "set" or "del"; the
 * value; ms to live or "0".  Returns 1, or 0 for a conflict.
 */
static ngx_str_t  ngx_rf_replay_careful_script = ngx_string(
    "local t = redis.call('TYPE', KEYS[1]).ok "
    "if t == 'none' then "
    "if ARGV[1] ~= 'absent' and ARGV[2] == '1' then return 0 end "
    "elseif ARGV[1] == 'absent' or t ~= 'string' "
    "or redis.sha1hex(redis.call('GET', KEYS[1])) ~= ARGV[1] "
    "then return 0 end "
    "if ARGV[3] == 'del' then redis.call('DEL', KEYS[1]) "
    "elseif ARGV[5] == '0' then redis.call('SET', KEYS[1], ARGV[4]) "
    "else redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5]) end "
    "return 1");


/*
 * KEYS: key, marker.  ARGV: the marker's time to live, "1" if Redis lost its
 * data; then the value and ms to live or "0", for the case that the key is
 * among what was lost; then for each change its length and itself.  Returns
 * {1, reply of the last change}, or {0} if the marker was there.  An error of
 * the first change takes the marker back.
 */
static ngx_str_t  ngx_rf_replay_delta_script = ngx_string(
    "if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) "
    "then return {0} end "
    "if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 0 then "
    "if ARGV[4] == '0' then redis.call('SET', KEYS[1], ARGV[3]) "
    "else redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) end "
    "return {1, false} end "
    "local i, r = 5, false "
    "while i <= #ARGV do "
    "local n = tonumber(ARGV[i]) "
    "r = redis.pcall(ARGV[i + 1], KEYS[1], unpack(ARGV, i + 2, i + n)) "
    "if type(r) == 'table' and r.err then "
    "if i == 5 then redis.call('DEL', KEYS[2]) end "
    "return r end "
    "i = i + n + 1 end "
    "return {1, r}");


ngx_int_t
ngx_rf_replay_command(ngx_pool_t *pool, ngx_rf_record_t *rec, int64_t now,
    ngx_uint_t remote, ngx_uint_t same_run, ngx_rf_replay_command_t *command)
{
    int64_t  left;

    ngx_memzero(command, sizeof(ngx_rf_replay_command_t));

    if (rec->pending == NGX_RF_DELTA) {
        return ngx_rf_replay_delta(pool, rec, now, command);
    }

    if (rec->type != NGX_RF_NONE && rec->type != NGX_RF_STRING) {
        return NGX_DECLINED;
    }

    left = 0;

    if (rec->expire) {
        left = rec->expire - now;

        if (left <= 0) {
            left = -1;
            command->expired = 1;
        }
    }

    if (remote && rec->base != NGX_RF_BASE_UNKNOWN && rec->version != 0) {
        return ngx_rf_replay_careful(pool, rec, left, same_run, command);
    }

    return ngx_rf_replay_replace(pool, rec, left, command);
}


static ngx_int_t
ngx_rf_replay_replace(ngx_pool_t *pool, ngx_rf_record_t *rec, int64_t left,
    ngx_rf_replay_command_t *command)
{
    ngx_str_t  *argv;

    argv = ngx_palloc(pool, 6 * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    command->argv = argv;
    argv[1] = rec->key;

    if (rec->type == NGX_RF_NONE || left < 0) {
        ngx_str_set(&argv[0], "DEL");
        command->argc = 2;
        return NGX_OK;
    }

    ngx_str_set(&argv[0], "SET");
    argv[2] = rec->values[0];
    command->argc = 3;

    if (left) {
        ngx_str_set(&argv[3], "PX");

        if (ngx_rf_replay_number(pool, left, &argv[4]) != NGX_OK) {
            return NGX_ERROR;
        }

        command->argc = 5;
    }

    if (rec->version == 0) {
        /* restored after a loss of data: only if nobody was faster */
        ngx_str_set(&argv[command->argc], "NX");
        command->argc++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_replay_careful(ngx_pool_t *pool, ngx_rf_record_t *rec, int64_t left,
    ngx_uint_t same_run, ngx_rf_replay_command_t *command)
{
    u_char     *p;
    ngx_str_t  *argv;

    argv = ngx_pcalloc(pool, 9 * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_replay_careful_script;
    ngx_str_set(&argv[2], "1");
    argv[3] = rec->key;

    if (rec->base == NGX_RF_BASE_ABSENT) {
        ngx_str_set(&argv[4], "absent");

    } else {
        p = ngx_pnalloc(pool, 2 * sizeof(rec->base_sha1));
        if (p == NULL) {
            return NGX_ERROR;
        }

        argv[4].data = p;
        argv[4].len = ngx_hex_dump(p, rec->base_sha1, sizeof(rec->base_sha1))
                      - p;
    }

    if (same_run && !rec->base_expires) {
        ngx_str_set(&argv[5], "1");
    } else {
        ngx_str_set(&argv[5], "0");
    }

    if (rec->type == NGX_RF_NONE || left < 0) {
        ngx_str_set(&argv[6], "del");
        ngx_str_set(&argv[8], "0");
        argv[7].data = (u_char *) "";

    } else {
        ngx_str_set(&argv[6], "set");
        argv[7] = rec->values[0];

        if (ngx_rf_replay_number(pool, left, &argv[8]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    command->argv = argv;
    command->argc = 9;
    command->careful = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_replay_delta(ngx_pool_t *pool, ngx_rf_record_t *rec, int64_t now,
    ngx_rf_replay_command_t *command)
{
    u_char           *p;
    ngx_str_t        *argv;
    ngx_uint_t        i, j, n, argc;
    ngx_rf_change_t  *change;

    /* what goes under this id: the first nsent changes */

    n = rec->nsent ? rec->nsent : rec->nchanges;
    argc = 9;

    for (i = 0; i < n; i++) {
        argc += 1 + rec->changes[i].argc;
    }

    argv = ngx_palloc(pool, argc * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    /* beside the key, so that the key's permissions cover it */

    p = ngx_pnalloc(pool, rec->key.len + sizeof(":redis_fallback:") - 1 + 16);
    if (p == NULL) {
        return NGX_ERROR;
    }

    command->marker.data = p;
    command->marker.len = ngx_sprintf(p, "%V:redis_fallback:%016xL", &rec->key,
                                      rec->id)
                          - p;

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_replay_delta_script;
    ngx_str_set(&argv[2], "2");
    argv[3] = rec->key;
    argv[4] = command->marker;
    ngx_str_set(&argv[5], NGX_RF_REPLAY_MARKER_TTL);

    if (ngx_rf_replay_restore(pool, rec, now, &argv[6]) != NGX_OK) {
        return NGX_ERROR;
    }

    argc = 9;

    for (i = 0; i < n; i++) {
        change = &rec->changes[i];

        if (ngx_rf_replay_number(pool, change->argc, &argv[argc++])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (j = 0; j < change->argc; j++) {
            argv[argc++] = change->argv[j];
        }
    }

    command->argv = argv;
    command->argc = argc;

    return NGX_OK;
}


/* three arguments: whether, the value, its time to live */

static ngx_int_t
ngx_rf_replay_restore(ngx_pool_t *pool, ngx_rf_record_t *rec, int64_t now,
    ngx_str_t *argv)
{
    if (!rec->restore || rec->nvalues != 1
        || (rec->expire && rec->expire <= now))
    {
        ngx_str_set(&argv[0], "0");
        ngx_str_set(&argv[1], "");
        ngx_str_set(&argv[2], "0");

        return NGX_OK;
    }

    ngx_str_set(&argv[0], "1");
    argv[1] = rec->values[0];

    return ngx_rf_replay_number(pool, rec->expire ? rec->expire - now : 0,
                                &argv[2]);
}


ngx_rf_replay_verdict_e
ngx_rf_replay_verdict(ngx_rf_replay_command_t *command, ngx_rf_record_t *rec,
    ngx_rf_reply_t *reply)
{
    if (reply->type == NGX_RF_REPLY_ERROR) {
        return NGX_RF_REPLAY_REFUSED;
    }

    if (rec->pending == NGX_RF_DELTA) {

        if (reply->type == NGX_RF_REPLY_ARRAY && reply->nelts == 2
            && rec->complete && rec->nchanges
            && (rec->nsent == 0 || rec->nsent == rec->nchanges)
            && ngx_rf_replay_equal(rec, &reply->elts[1]))
        {
            return NGX_RF_REPLAY_APPLIED;
        }

        return NGX_RF_REPLAY_MERGED;
    }

    if (rec->version == 0) {
        /* SET NX */
        return (reply->type == NGX_RF_REPLY_NIL) ? NGX_RF_REPLAY_MERGED
                                                 : NGX_RF_REPLAY_APPLIED;
    }

    if (command->careful && reply->type == NGX_RF_REPLY_INTEGER
        && reply->integer == 0)
    {
        return NGX_RF_REPLAY_CONFLICT;
    }

    return NGX_RF_REPLAY_APPLIED;
}


/* whether the reply to the last change shows that nobody else has changed the
 * value meanwhile */

static ngx_uint_t
ngx_rf_replay_equal(ngx_rf_record_t *rec, ngx_rf_reply_t *last)
{
    ngx_str_t        *value;
    ngx_rf_change_t  *change;
    u_char            buf[NGX_INT64_LEN];

    if (rec->type != NGX_RF_STRING || rec->nvalues != 1) {
        return 0;
    }

    value = &rec->values[0];
    change = &rec->changes[rec->nchanges - 1];

    if (last->type == NGX_RF_REPLY_STRING) {
        return last->str.len == value->len
               && ngx_memcmp(last->str.data, value->data, value->len) == 0;
    }

    if (last->type != NGX_RF_REPLY_INTEGER) {
        return 0;
    }

    if (change->argv[0].len == 6
        && ngx_strncasecmp(change->argv[0].data, (u_char *) "INCRBY", 6) == 0)
    {
        return (size_t) (ngx_sprintf(buf, "%L", last->integer) - buf)
               == value->len
               && ngx_memcmp(buf, value->data, value->len) == 0;
    }

    return 0;
}


static ngx_int_t
ngx_rf_replay_number(ngx_pool_t *pool, int64_t n, ngx_str_t *str)
{
    str->data = ngx_pnalloc(pool, NGX_INT64_LEN);
    if (str->data == NULL) {
        return NGX_ERROR;
    }

    str->len = ngx_sprintf(str->data, "%L", n) - str->data;

    return NGX_OK;
}
