/*
 * The changes of a DELTA, applied exactly once.
 *
 * Few of them go with their marker in one script.  Many are uploaded to a
 * temporary list, which is then renamed to a name that the record's id gives
 * ("staged"), and applied from there, some at a time: each of these scripts
 * takes out what it applies, and the last one sets the marker.  Wherever this
 * is broken off, the next try goes on from there; what it has to upload is not
 * looked at any more once something is staged, so a file that knows less than
 * memory did does no harm.
 *
 * A change that Redis refuses (the key has another type by now, a field is no
 * number) does not keep the others from being applied.  Which ones were refused
 * is in the marker as well, for somebody who asks again.  If all were refused,
 * nothing has happened, and there is no marker.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_replay.h"
#include "ngx_rf_replay_internal.h"


/* arguments and bytes that one script may have: a few milliseconds */
#define NGX_RF_REPLAY_DIRECT        10000
#define NGX_RF_REPLAY_DIRECT_BYTES  (1024 * 1024)

/* changes that may look through a list, in one script that does them all */
#define NGX_RF_REPLAY_SCANS         100

/* staged strings that one script applies, and elements of a list that it looks
 * through for them */
#define NGX_RF_REPLAY_STAGED        "5000"
#define NGX_RF_REPLAY_WORK          "200000"


/* how a script answers: the first of an array */

#define NGX_RF_REPLAY_BEFORE        0   /* applied already; nil, the marker */
#define NGX_RF_REPLAY_NOW           1   /* applied; the last reply, or nil and
                                           the marker */
#define NGX_RF_REPLAY_STAGED_MORE   2   /* something is staged */
#define NGX_RF_REPLAY_STAGED_NONE   3   /* nothing is */


static ngx_int_t ngx_rf_replay_look(ngx_rf_replay_t *rp, ngx_pool_t *pool);
static ngx_int_t ngx_rf_replay_looked(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);
static ngx_uint_t ngx_rf_replay_count(ngx_rf_record_t *rec, size_t *size);
static ngx_uint_t ngx_rf_replay_nchanges(ngx_rf_record_t *rec);
static ngx_uint_t ngx_rf_replay_scans(ngx_rf_record_t *rec);
static ngx_int_t ngx_rf_replay_flatten(ngx_rf_record_t *rec, ngx_pool_t *pool,
    ngx_str_t *row);
static ngx_int_t ngx_rf_replay_direct(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    ngx_uint_t n);
static ngx_int_t ngx_rf_replay_apply_staged(ngx_rf_replay_t *rp,
    ngx_pool_t *pool, int64_t now);
static ngx_int_t ngx_rf_replay_upload_changes(ngx_rf_replay_t *rp,
    ngx_pool_t *pool, int64_t now);
static ngx_int_t ngx_rf_replay_applied(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now, ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_replay_merged(ngx_rf_replay_t *rp,
    ngx_rf_reply_t *reply);
static ngx_uint_t ngx_rf_replay_equal(ngx_rf_record_t *rec,
    ngx_rf_reply_t *last);
static ngx_uint_t ngx_rf_replay_bad(ngx_rf_replay_t *rp, ngx_uint_t n,
    u_char **pos);


/*
 * Lua: one change, a[i] to a[j].  A list may have shrunk meanwhile, and what
 * was acknowledged is not lost for that: an insertion whose pivot is gone goes
 * to the tail, and so does an element set at an index that is gone, or to the
 * head if it was counted from there.
 *
 * What was popped is mostly still at that end of the list, and needs no search.
 * "work" counts the elements that were looked through for the others.
 *
 * expiry(), when all are done: the last one that is among the changes counts,
 * else the one that the key had.  Changes are compacted, so that a key may have
 * been empty, and without an expiry, on the way, though it never was before.
 */
#define NGX_RF_REPLAY_LUA_CHANGE                                              \
    "local ttl, till = redis.call('PTTL', KEYS[1]), false "                   \
    "local work = 0 "                                                         \
    "local function scan(v, a, i, j) "                                        \
    "local n = v == 'LREM' and j == i + 2 and a[i + 1] "                      \
    "if n == '1' or n == '-1' then "                                          \
    "local at = n == '1' and '0' or n "                                       \
    "if redis.pcall('LINDEX', KEYS[1], at) == a[j] and type(redis.pcall("     \
    "n == '1' and 'LPOP' or 'RPOP', KEYS[1])) == 'string' then "              \
    "return 1 end end "                                                       \
    "n = redis.pcall('LLEN', KEYS[1]) "                                       \
    "work = work + (type(n) == 'number' and n or 0) end "                     \
    "local function change(a, i, j) "                                         \
    "if j - i > 7000 then return {err = 'ERR too many arguments'} end "       \
    "local v = string.upper(a[i]) "                                           \
    "local r = (v == 'LREM' or v == 'LINSERT') and scan(v, a, i, j) "         \
    "if r then return r end "                                                 \
    "r = redis.pcall(a[i], KEYS[1], unpack(a, i + 1, j)) "                    \
    "if v == 'LINSERT' and type(r) == 'number' and r < 1 then "               \
    "return redis.pcall('RPUSH', KEYS[1], a[j]) end "                         \
    "if v == 'LSET' and type(r) == 'table' and r.err "                        \
    "and (string.find(r.err, 'no such key', 1, true) "                        \
    "or string.find(r.err, 'index out of range', 1, true)) then "             \
    "v = tonumber(a[i + 1]) < 0 and 'LPUSH' or 'RPUSH' "                      \
    "return redis.pcall(v, KEYS[1], a[j]) end "                               \
    "if v == 'PEXPIREAT' then till = a[i + 1] "                               \
    "elseif v == 'PERSIST' then ttl = -1 till = false end "                   \
    "return r end "                                                           \
    "local function expiry() "                                                \
    "if redis.call('PTTL', KEYS[1]) ~= -1 then return end "                   \
    "if till then redis.pcall('PEXPIREAT', KEYS[1], till) "                   \
    "elseif ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) end end "


/*
 * KEYS: key, marker, staged.  ARGV: the marker's time to live; then for each
 * change its length and itself.
 */
static ngx_str_t  ngx_rf_replay_direct_script = ngx_string(
    NGX_RF_REPLAY_LUA_CHANGE
    "local v = redis.call('GET', KEYS[2]) "
    "if v then return {0, false, v} end "
    "if redis.call('EXISTS', KEYS[3]) == 1 then return {2} end "
    "redis.call('SET', KEYS[2], '1', 'EX', ARGV[1]) "
    "local i, at, bad, err, r = 2, 0, {}, false, false "
    "while i <= #ARGV do "
    "local n = tonumber(ARGV[i]) "
    "r = change(ARGV, i + 1, i + n) "
    "if type(r) == 'table' and r.err then "
    "bad[#bad + 1] = at err = err or r end "
    "at = at + 1 i = i + n + 1 end "
    "expiry() "
    "if not err then return {1, r} end "
    "if #bad == at then redis.call('DEL', KEYS[2]) return err end "
    "v = table.concat(bad, ' ') .. ';' .. err.err "
    "redis.call('SET', KEYS[2], v, 'EX', ARGV[1]) "
    "return {1, false, v}");


/* KEYS: marker, staged, after an upload also the temporary key.  ARGV: seconds
 * to live */
static ngx_str_t  ngx_rf_replay_stage_script = ngx_string(
    "local v = redis.call('GET', KEYS[1]) "
    "local s = redis.call('EXISTS', KEYS[2]) "
    "if KEYS[3] and (v or s == 1) then redis.call('UNLINK', KEYS[3]) end "
    "if v then return {0, false, v} end "
    "if s == 1 then return {2} end "
    "if not KEYS[3] or redis.call('EXISTS', KEYS[3]) == 0 "
    "then return {3} end "
    "redis.call('RENAME', KEYS[3], KEYS[2]) "
    "redis.call('EXPIRE', KEYS[2], ARGV[1]) "
    "return {2}");


/*
 * KEYS: key, marker, staged.  ARGV: the marker's time to live, how many strings
 * to look at, the time in ms.  What is staged begins with a head, "next
 * change;how many were applied;refused ones;first error"; then for each change
 * its length and itself.  LSET is there to be refused, for want of memory,
 * before anything else is done.
 *
 * From the second script on two times are in the head, before the error: when
 * the key expires, and what a change has said of that.  The key may be empty
 * between two scripts, too.
 */
static ngx_str_t  ngx_rf_replay_staged_script = ngx_string(
    NGX_RF_REPLAY_LUA_CHANGE
    "local v = redis.call('GET', KEYS[2]) "
    "if v then return {0, false, v} end "
    "local s = KEYS[3] "
    "local head = redis.call('LINDEX', s, 0) "
    "if not head then return {3} end "
    "redis.call('LSET', s, 0, head) "
    "local at, good, bad, was, told, err = string.match(head, "
    "'^(%d+);(%d+);([%d ]*);(%d*);(%-?%d*);(.*)$') "
    "if not at then at, good, bad, err "
    "= string.match(head, '^(%d+);(%d+);([%d ]*);(.*)$') end "
    "local now = tonumber(ARGV[3]) "
    "if ttl == -2 and was and was ~= '' then "
    "ttl = math.max(tonumber(was) - now, 1) end "
    "if told and told ~= '' then till = told end "
    "at = tonumber(at) good = tonumber(good) "
    "bad = bad ~= '' and {bad} or {} "
    "local row = redis.call('LRANGE', s, 1, ARGV[2]) "
    "if #row > 0 and tonumber(row[1]) >= #row then "
    "row = redis.call('LRANGE', s, 1, tonumber(row[1]) + 1) end "
    "local i = 1 "
    "while i <= #row do "
    "local n = tonumber(row[i]) "
    "if i + n > #row then break end "
    "local r = change(row, i + 1, i + n) "
    "if type(r) == 'table' and r.err then "
    "bad[#bad + 1] = at if err == '' then err = r.err end "
    "else good = good + 1 end "
    "at = at + 1 i = i + n + 1 "
    "if work > " NGX_RF_REPLAY_WORK " then break end end "
    "expiry() "
    "bad = table.concat(bad, ' ') "
    "if redis.call('LLEN', s) > i then "
    "redis.call('LTRIM', s, i, -1) "
    "was = ttl > 0 and string.format('%.0f', now + ttl) or '' "
    "redis.call('LPUSH', s, table.concat("
    "{at, good, bad, was, till or '', err}, ';')) "
    "return {2} end "
    "redis.call('UNLINK', s) "
    "if good == 0 and err ~= '' then return {err = err} end "
    "v = bad == '' and '1' or bad .. ';' .. err "
    "redis.call('SET', KEYS[2], v, 'EX', ARGV[1]) "
    "return {1, false, v}");


ngx_int_t
ngx_rf_replay_delta(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    ngx_rf_record_t  *rec;

    rec = rp->rec;

    if (ngx_rf_replay_name(pool, rec, rec->id, "", &rp->marker) != NGX_OK
        || ngx_rf_replay_name(pool, rec, rec->id, ":staged", &rp->staged)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (rec->restore && rec->type != NGX_RF_NONE && rec->nvalues
        && (rec->expire == 0 || rec->expire > now))
    {
        if (ngx_rf_replay_nchanges(rec) < rec->nchanges) {
            return ngx_rf_replay_look(rp, pool);
        }

        return ngx_rf_replay_make(rp, pool, now);
    }

    return ngx_rf_replay_apply(rp, pool, now);
}


/*
 * The value is that of all changes, and some were made after the others had
 * been sent together with what it was then.  Nobody knows whether Redis got
 * that; it is asked.  Nor does it come late: its connection was ended.
 */

static ngx_int_t
ngx_rf_replay_look(ngx_rf_replay_t *rp, ngx_pool_t *pool)
{
    ngx_str_t  *argv;

    argv = ngx_palloc(pool, 4 * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "EXISTS");
    argv[1] = rp->rec->key;
    argv[2] = rp->marker;
    argv[3] = rp->staged;

    rp->argc = 4;
    rp->argv = argv;
    rp->handler = ngx_rf_replay_looked;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_rf_replay_looked(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_rf_reply_t *reply)
{
    if (reply->type != NGX_RF_REPLY_INTEGER) {
        return ngx_rf_replay_unexpected(rp);
    }

    if (reply->integer == 0) {
        rp->marker.len = 0;
        return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_NOTHING);
    }

    return ngx_rf_replay_apply(rp, pool, now);
}


ngx_int_t
ngx_rf_replay_apply(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    size_t            size;
    ngx_uint_t        n;
    ngx_rf_record_t  *rec;

    rec = rp->rec;
    n = ngx_rf_replay_count(rec, &size);

    /* a collection that was emptied has no type */

    if (rec->type == NGX_RF_STRING || ngx_rf_replay_nchanges(rec) == 1
        || (n <= NGX_RF_REPLAY_DIRECT && size <= NGX_RF_REPLAY_DIRECT_BYTES
            && ngx_rf_replay_scans(rec) <= NGX_RF_REPLAY_SCANS))
    {
        return ngx_rf_replay_direct(rp, pool, n);
    }

    /* first: has this been done already? */

    return ngx_rf_replay_stage(rp, pool);
}


/* what goes under this id: the first nsent changes */

static ngx_uint_t
ngx_rf_replay_nchanges(ngx_rf_record_t *rec)
{
    return rec->nsent ? ngx_min(rec->nsent, rec->nchanges) : rec->nchanges;
}


/* changes whose work grows with the length of the list */

static ngx_uint_t
ngx_rf_replay_scans(ngx_rf_record_t *rec)
{
    ngx_str_t   *verb;
    ngx_uint_t   i, n, nchanges;

    n = 0;
    nchanges = ngx_rf_replay_nchanges(rec);

    for (i = 0; i < nchanges; i++) {
        verb = &rec->changes[i].argv[0];

        if ((verb->len == 4
             && ngx_strncasecmp(verb->data, (u_char *) "LREM", 4) == 0)
            || (verb->len == 7
                && ngx_strncasecmp(verb->data, (u_char *) "LINSERT", 7) == 0))
        {
            n++;
        }
    }

    return n;
}


/* the number of strings: for each change its length and itself */

static ngx_uint_t
ngx_rf_replay_count(ngx_rf_record_t *rec, size_t *size)
{
    ngx_uint_t        i, j, n, nchanges;
    ngx_rf_change_t  *change;

    n = 0;
    *size = 0;
    nchanges = ngx_rf_replay_nchanges(rec);

    for (i = 0; i < nchanges; i++) {
        change = &rec->changes[i];
        n += 1 + change->argc;

        for (j = 0; j < change->argc; j++) {
            *size += change->argv[j].len;
        }
    }

    return n;
}


static ngx_int_t
ngx_rf_replay_flatten(ngx_rf_record_t *rec, ngx_pool_t *pool, ngx_str_t *row)
{
    ngx_uint_t        i, j, nchanges;
    ngx_rf_change_t  *change;

    nchanges = ngx_rf_replay_nchanges(rec);

    for (i = 0; i < nchanges; i++) {
        change = &rec->changes[i];

        if (ngx_rf_replay_number(pool, change->argc, row++) != NGX_OK) {
            return NGX_ERROR;
        }

        for (j = 0; j < change->argc; j++) {
            *row++ = change->argv[j];
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_replay_direct(ngx_rf_replay_t *rp, ngx_pool_t *pool, ngx_uint_t n)
{
    ngx_str_t  *argv;

    argv = ngx_palloc(pool, (7 + n) * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_replay_direct_script;
    ngx_str_set(&argv[2], "3");
    argv[3] = rp->rec->key;
    argv[4] = rp->marker;
    argv[5] = rp->staged;
    ngx_str_set(&argv[6], NGX_RF_REPLAY_MARKER_TTL);

    if (ngx_rf_replay_flatten(rp->rec, pool, &argv[7]) != NGX_OK) {
        return NGX_ERROR;
    }

    rp->argc = 7 + n;
    rp->argv = argv;
    rp->handler = ngx_rf_replay_applied;

    return NGX_AGAIN;
}


ngx_int_t
ngx_rf_replay_stage(ngx_rf_replay_t *rp, ngx_pool_t *pool)
{
    ngx_str_t   *argv;
    ngx_uint_t   n;

    argv = ngx_palloc(pool, 7 * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_replay_stage_script;
    ngx_str_set(&argv[2], "2");
    argv[3] = rp->marker;
    argv[4] = rp->staged;
    n = 5;

    if (rp->uploaded) {
        argv[2].data = (u_char *) "3";
        argv[n++] = rp->making;
    }

    ngx_str_set(&argv[n], NGX_RF_REPLAY_MARKER_TTL);

    rp->argc = n + 1;
    rp->argv = argv;
    rp->handler = ngx_rf_replay_applied;

    return NGX_AGAIN;
}


/* some of what is staged is applied */

static ngx_int_t
ngx_rf_replay_apply_staged(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now)
{
    ngx_str_t  *argv;

    argv = ngx_palloc(pool, 9 * sizeof(ngx_str_t));

    if (argv == NULL || ngx_rf_replay_number(pool, now, &argv[8]) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = ngx_rf_replay_staged_script;
    ngx_str_set(&argv[2], "3");
    argv[3] = rp->rec->key;
    argv[4] = rp->marker;
    argv[5] = rp->staged;
    ngx_str_set(&argv[6], NGX_RF_REPLAY_MARKER_TTL);
    ngx_str_set(&argv[7], NGX_RF_REPLAY_STAGED);

    rp->argc = 9;
    rp->argv = argv;
    rp->handler = ngx_rf_replay_applied;
    rp->uploaded = 1;
    rp->temp.len = 0;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_rf_replay_upload_changes(ngx_rf_replay_t *rp, ngx_pool_t *pool,
    int64_t now)
{
    size_t  size;

    rp->nrow = 1 + ngx_rf_replay_count(rp->rec, &size);

    rp->row = ngx_palloc(pool, rp->nrow * sizeof(ngx_str_t));
    if (rp->row == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&rp->row[0], "0;0;;");

    if (ngx_rf_replay_flatten(rp->rec, pool, &rp->row[1]) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_rf_replay_upload(rp, pool, now);
}


/* the reply of any of the scripts */

static ngx_int_t
ngx_rf_replay_applied(ngx_rf_replay_t *rp, ngx_pool_t *pool, int64_t now,
    ngx_rf_reply_t *reply)
{
    if (reply->type != NGX_RF_REPLY_ARRAY || reply->nelts == 0
        || reply->elts[0].type != NGX_RF_REPLY_INTEGER)
    {
        return ngx_rf_replay_unexpected(rp);
    }

    switch (reply->elts[0].integer) {

    case NGX_RF_REPLAY_STAGED_MORE:
        return ngx_rf_replay_apply_staged(rp, pool, now);

    case NGX_RF_REPLAY_STAGED_NONE:

        if (rp->uploaded) {
            /* evicted, expired, or the Redis of before has gone */
            return NGX_BUSY;
        }

        return ngx_rf_replay_upload_changes(rp, pool, now);

    default:
        rp->temp.len = 0;
        return ngx_rf_replay_merged(rp, reply);
    }
}


static ngx_int_t
ngx_rf_replay_merged(ngx_rf_replay_t *rp, ngx_rf_reply_t *reply)
{
    u_char           *p, *last;
    ngx_str_t        *marker;
    ngx_rf_record_t  *rec;

    rec = rp->rec;

    if (reply->nelts == 3 && reply->elts[2].type == NGX_RF_REPLY_STRING) {
        marker = &reply->elts[2].str;
        last = marker->data + marker->len;

        p = ngx_strlchr(marker->data, last, ';');

        if (p == NULL) {
            return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_MERGED);
        }

        rp->bad.data = marker->data;
        rp->bad.len = p - marker->data;
        rp->error.data = p + 1;
        rp->error.len = last - rp->error.data;

        return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_PARTIAL);
    }

    if (reply->elts[0].integer == NGX_RF_REPLAY_NOW && reply->nelts == 2
        && rec->complete && rec->nchanges
        && ngx_rf_replay_nchanges(rec) == rec->nchanges
        && ngx_rf_replay_equal(rec, &reply->elts[1]))
    {
        return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_APPLIED);
    }

    return ngx_rf_replay_verdict(rp, NGX_RF_REPLAY_MERGED);
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


void
ngx_rf_replay_rest(ngx_rf_replay_t *rp, ngx_rf_record_t *copy)
{
    u_char      *p;
    ngx_uint_t   i, n, sent;

    p = rp->bad.data;
    sent = ngx_rf_replay_nchanges(copy);
    n = 0;

    for (i = 0; i < sent; i++) {
        if (ngx_rf_replay_bad(rp, i, &p)) {
            copy->changes[n++] = copy->changes[i];
        }
    }

    /* an earlier run had others: better too many than too few */

    copy->nchanges = n ? n : sent;
    copy->nsent = 0;
    copy->id = 0;
}


/* whether n is the next of numbers that rise, separated by blanks */

static ngx_uint_t
ngx_rf_replay_bad(ngx_rf_replay_t *rp, ngx_uint_t n, u_char **pos)
{
    u_char      *p, *last;
    ngx_uint_t   value;

    last = rp->bad.data + rp->bad.len;
    value = 0;

    for (p = *pos; p < last && *p != ' '; p++) {
        value = value * 10 + (*p - '0');
    }

    if (p == *pos || value != n) {
        return 0;
    }

    *pos = (p < last) ? p + 1 : p;

    return 1;
}
