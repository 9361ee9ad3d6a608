/*
 * Keys that are made under a temporary name, in as many steps as it takes, and
 * then put into place: collections, what Redis lost, and changes that are to be
 * staged.
 *
 * The name is one that nobody had before, so that a temporary key that is there
 * at a step holds what the steps before have put there, and nothing else:
 * late commands of an earlier try, on a connection that was given up, have a
 * key of their own.  It expires soon after the last step.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_replay.h"
#include "ngx_rf_replay_internal.h"


/* a step: a millisecond or two of Redis, and a fraction of one on the wire */
#define NGX_RF_REPLAY_STEP          5000
#define NGX_RF_REPLAY_STEP_BYTES    (512 * 1024)

#define NGX_RF_REPLAY_STEP_HEAD     15


static ngx_int_t ngx_rf_replay_name_making(ngx_rf_replay_t *rp,
    ngx_pool_t *pool, int64_t now);
static ngx_int_t ngx_rf_replay_step(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now);
static ngx_int_t ngx_rf_replay_step_head(ngx_rf_replay_t *rp,
    ngx_pool_t *pool, int64_t now, ngx_uint_t last, ngx_str_t *argv);
static ngx_uint_t ngx_rf_replay_step_size(ngx_rf_replay_t *rp);
static ngx_int_t ngx_rf_replay_stepped(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_replay_conflict(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now);


/*
 * KEYS: key, temporary key; for a DELTA also its marker and where its changes
 * are staged.  ARGV: "1" for the first step; "1" for the one that puts the key
 * into place; what the key has to hold for that, base, gone and own of
 * lua_conflict(), or 'absent', or ''; ms to live or "0"; the marker's time to
 * live; the command that adds; what it adds.  Returns 1; 0 for a conflict; 2 if
 * the changes were applied or staged already; -1 if the temporary key has gone.
 * Where nothing is to be compared the shorter one will do.
 */
#define ngx_rf_replay_lua_step(conflict)                                      \
    "local k, x = KEYS[1], KEYS[2] "                                          \
    "if KEYS[3] and redis.call('EXISTS', KEYS[3], KEYS[4]) > 0 then "         \
    "redis.call('UNLINK', x) return 2 end "                                   \
    "if ARGV[1] == '0' and redis.call('EXISTS', x) == 0 then return -1 end "  \
    "if ARGV[3] ~= '' and (ARGV[1] == '1' or ARGV[2] == '1') then "           \
    conflict                                                                  \
    "end "                                                                    \
    "local i, n = 9, #ARGV "                                                  \
    "while i <= n do "                                                        \
    "local j = math.min(i + 999, n) "                                         \
    "local r = redis.pcall(ARGV[8], x, unpack(ARGV, i, j)) "                  \
    "if type(r) == 'table' and r.err then redis.call('UNLINK', x) "           \
    "return r end "                                                           \
    "i = j + 1 end "                                                          \
    "if ARGV[2] == '0' then redis.call('PEXPIRE', x, 60000) return 1 end "    \
    "redis.call('UNLINK', k) "                                                \
    "redis.call('RENAME', x, k) "                                             \
    "if ARGV[6] == '0' then redis.call('PERSIST', k) "                        \
    "else redis.call('PEXPIRE', k, ARGV[6]) end "                             \
    "if KEYS[3] then redis.call('SET', KEYS[3], '1', 'EX', ARGV[7]) end "     \
    "return 1"

#define NGX_RF_REPLAY_NO        "redis.call('UNLINK', x) return 0"

static ngx_str_t  ngx_rf_replay_step_script = ngx_string(
    ngx_rf_replay_lua_step(ngx_rf_replay_lua_present(NGX_RF_REPLAY_NO)));

static ngx_str_t  ngx_rf_replay_careful_step_script = ngx_string(
    ngx_rf_replay_lua_step(
        ngx_rf_replay_lua_conflict("ARGV[3]", "ARGV[4]", "ARGV[5]",
                                   NGX_RF_REPLAY_NO)));


/* in the order of ngx_rf_type_e; each takes any number of them */

static ngx_str_t  ngx_rf_replay_adds[] = {
    ngx_null_string,
    ngx_string("SET"),
    ngx_string("HSET"),
    ngx_string("RPUSH"),
    ngx_string("SADD"),
    ngx_string("ZADD")
};


#define ngx_rf_replay_uploading(rp)  ((rp)->row != (rp)->rec->values)
#define ngx_rf_replay_pairs(rp)                                               \
    (!ngx_rf_replay_uploading(rp)                                             \
     && ((rp)->rec->type == NGX_RF_HASH || (rp)->rec->type == NGX_RF_ZSET))


ngx_int_t
ngx_rf_replay_make(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    rp->row = rp->rec->values;
    rp->nrow = rp->rec->nvalues;

    if (ngx_rf_replay_pairs(rp) && rp->nrow % 2) {
        return NGX_DECLINED;
    }

    return ngx_rf_replay_name_making(rp, pool, now);
}


ngx_int_t
ngx_rf_replay_upload(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    rp->uploaded = 1;

    return ngx_rf_replay_name_making(rp, pool, now);
}


static ngx_int_t
ngx_rf_replay_name_making(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    uint64_t  id;

    id = ((uint64_t) ngx_random() << 33) ^ ((uint64_t) ngx_random() << 2)
         ^ rp->rec->version ^ ((uint64_t) now << 20);

    if (ngx_rf_replay_name(pool, rp->rec, id, "", &rp->making) != NGX_OK) {
        return NGX_ERROR;
    }

    rp->at = 0;
    rp->handler = ngx_rf_replay_stepped;

    return ngx_rf_replay_step(rp, pool, now);
}


static ngx_int_t
ngx_rf_replay_step(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    ngx_str_t   *argv, *from;
    ngx_uint_t   i, n, argc, last, swap;

    n = ngx_rf_replay_step_size(rp);
    last = (rp->at + n == rp->nrow && !ngx_rf_replay_uploading(rp));

    argv = ngx_palloc(pool, (NGX_RF_REPLAY_STEP_HEAD + n)
                            * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    argc = ngx_rf_replay_step_head(rp, pool, now, last, argv);
    if (argc == 0) {
        return NGX_ERROR;
    }

    /* ZADD wants the score first, a record has the member first */

    swap = (!ngx_rf_replay_uploading(rp) && rp->rec->type == NGX_RF_ZSET);
    from = &rp->row[rp->at];

    for (i = 0; i < n; i++) {
        argv[argc++] = from[i ^ swap];
    }

    rp->at += n;
    rp->argc = argc;
    rp->argv = argv;

    if (!last) {
        rp->temp = rp->making;
    }

    return NGX_AGAIN;
}


/* returns their number, 0: no memory */

static ngx_int_t
ngx_rf_replay_step_head(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_uint_t last, ngx_str_t *argv)
{
    int64_t           left;
    ngx_uint_t        i, n;
    ngx_rf_record_t  *rec;

    rec = rp->rec;
    left = 0;

    if (rec->expire) {
        left = rec->expire - now;

        if (left <= 0) {
            /* it has run out on the way, and there it does so as well */
            left = 1;
            rp->expired = 1;
        }
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_replay_step_script;
    ngx_str_set(&argv[2], "2");
    argv[3] = rec->key;
    argv[4] = rp->making;
    n = 5;

    if (rec->pending == NGX_RF_DELTA && !ngx_rf_replay_uploading(rp)) {
        ngx_str_set(&argv[2], "4");
        argv[n++] = rp->marker;
        argv[n++] = rp->staged;
    }

    ngx_str_set(&argv[n], "0");
    ngx_str_set(&argv[n + 1], "0");

    if (rp->at == 0) {
        argv[n].data = (u_char *) "1";
    }

    if (last) {
        argv[n + 1].data = (u_char *) "1";
    }

    for (i = n + 2; i < n + 2 + NGX_RF_REPLAY_BASE; i++) {
        ngx_str_set(&argv[i], "");
    }

    if (ngx_rf_replay_uploading(rp)) {
        argv[n + 7] = ngx_rf_replay_adds[NGX_RF_LIST];

    } else {
        argv[n + 7] = ngx_rf_replay_adds[rec->type];

        if (rec->version == 0 || rec->pending == NGX_RF_DELTA) {

            /* restored after a loss of data: only if nobody was faster */

            ngx_str_set(&argv[n + 2], "absent");

        } else if (rp->remote && rec->base != NGX_RF_BASE_UNKNOWN) {
            argv[1] = ngx_rf_replay_careful_step_script;

            if (ngx_rf_replay_base(rp, pool, 1, &argv[n + 2]) != NGX_OK) {
                return 0;
            }
        }
    }

    if (ngx_rf_replay_number(pool, left, &argv[n + 5]) != NGX_OK) {
        return 0;
    }

    ngx_str_set(&argv[n + 6], NGX_RF_REPLAY_MARKER_TTL);

    return n + 8;
}


/* how many of the row go next */

static ngx_uint_t
ngx_rf_replay_step_size(ngx_rf_replay_t *rp)
{
    size_t      size;
    ngx_uint_t  n, width;

    width = ngx_rf_replay_pairs(rp) ? 2 : 1;
    size = 0;

    for (n = 0; rp->at + n < rp->nrow && n < NGX_RF_REPLAY_STEP; n += width) {
        size += rp->row[rp->at + n].len + rp->row[rp->at + n + width - 1].len;

        if (n && size > NGX_RF_REPLAY_STEP_BYTES) {
            break;
        }
    }

    return n;
}


static ngx_int_t
ngx_rf_replay_stepped(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_rf_reply_t *reply)
{
    if (reply->type != NGX_RF_REPLY_INTEGER) {
        return ngx_rf_replay_unexpected(rp);
    }

    switch (reply->integer) {

    case 1:
        break;

    case -1:
        return NGX_BUSY;

    default:
        rp->temp.len = 0;
        return ngx_rf_replay_conflict(rp, pool, now);
    }

    if (rp->at < rp->nrow) {
        return ngx_rf_replay_step(rp, pool, now);
    }

    if (ngx_rf_replay_uploading(rp)) {
        return ngx_rf_replay_stage(rp, pool);
    }

    rp->temp.len = 0;

    return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_APPLIED);
}


static ngx_int_t
ngx_rf_replay_conflict(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    if (rp->rec->pending == NGX_RF_DELTA) {

        /* the key is there, or the changes are: no value of ours */

        return ngx_rf_replay_apply(rp, pool, now);
    }

    return ngx_rf_replay_verdict(rp, rp->rec->version == 0
                                     ? NGX_RF_REPLAY_MERGED
                                     : NGX_RF_REPLAY_CONFLICT);
}
