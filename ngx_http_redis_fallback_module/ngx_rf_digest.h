/*
 * The digest of a collection: what Redis is asked at a recovery, whether a key
 * still holds what it held when it was first changed locally.  The same value
 * is made here and, by a script, in Redis.
 *
 * An element is a text: of a hash "length of the field:field value", of a list
 * "index from 1 on:value", of a set the member, of a sorted set
 * "score:member", the score with 17 digits and without the sign of a zero.
 * Their SHA-1 are taken as five numbers of 32 bits each, and added up: so the
 * order of elements does not matter, but of a list it does.  The digest is the
 * SHA-1 of the type, the number of elements and the five sums, with ":" in
 * between.
 *
 * It tells of what was changed, not of who has made an effort to hide it.  In
 * Lua numbers are doubles: 1,000 times 2^32 is still exact.
 */

#ifndef _NGX_RF_DIGEST_H_INCLUDED_
#define _NGX_RF_DIGEST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"


/* of a larger one there is none: under a millisecond here, and in Redis */
#define NGX_RF_DIGEST_ELTS      1000
#define NGX_RF_DIGEST_BYTES     262144

#define NGX_RF_DIGEST_LANES     5


typedef struct {
    ngx_rf_type_e         type;
    ngx_uint_t            n;            /* elements so far */
    uint32_t              sum[NGX_RF_DIGEST_LANES];
} ngx_rf_digest_t;


/* an element: "value" counts for a hash, "score" for a sorted set */
void ngx_rf_digest_init(ngx_rf_digest_t *digest, ngx_rf_type_e type);
void ngx_rf_digest_add(ngx_rf_digest_t *digest, ngx_str_t *name,
    ngx_str_t *value, double score);
void ngx_rf_digest_final(ngx_rf_digest_t *digest, u_char sha1[20]);

/* of a record's value; of a string it is the SHA-1 of its bytes.  NGX_DECLINED:
 * it has none */
ngx_int_t ngx_rf_digest_row(ngx_rf_type_e type, ngx_str_t *values,
    ngx_uint_t n, u_char sha1[20]);


/*
 * Lua: a function of a key and its type, in hexadecimal; where there is no
 * digest, the name of the type, which equals none.  A Lua that does not read
 * "inf" has it as text.
 */
#define ngx_rf_digest_lua                                                     \
    "local function digest(k, t) "                                            \
    "local size, verbs, v = 0, { hash = 'HLEN', list = 'LLEN', "              \
    "set = 'SCARD', zset = 'ZCARD' } "                                        \
    "if t == 'string' then return redis.sha1hex(redis.call('GET', k)) end "   \
    "if not verbs[t] or redis.call(verbs[t], k) > 1000 then return t end "    \
    "if t == 'hash' then v = redis.call('HGETALL', k) "                       \
    "elseif t == 'list' then v = redis.call('LRANGE', k, 0, -1) "             \
    "elseif t == 'set' then v = redis.call('SMEMBERS', k) "                   \
    "else v = redis.call('ZRANGE', k, 0, -1, 'WITHSCORES') end "              \
    "local w = (t == 'hash' or t == 'zset') and 2 or 1 "                      \
    "local s = { 0, 0, 0, 0, 0 } "                                            \
    "for i = 1, #v, w do "                                                    \
    "local e = v[i] "                                                         \
    "size = size + #e "                                                       \
    "if t == 'hash' then "                                                    \
    "size = size + #v[i + 1] "                                                \
    "e = string.format('%.0f:', #e) .. e .. v[i + 1] "                        \
    "elseif t == 'list' then e = string.format('%.0f:', i) .. e "             \
    "elseif t == 'zset' then "                                                \
    "local d = tonumber(v[i + 1]) "                                           \
    "e = (d and string.format('%.17g', d + 0) or v[i + 1]) .. ':' .. e end "  \
    "if size > 262144 then return t end "                                     \
    "local h = redis.sha1hex(e) "                                             \
    "for j = 1, 5 do "                                                        \
    "s[j] = s[j] + tonumber(string.sub(h, 8 * j - 7, 8 * j), 16) end end "    \
    "for j = 1, 5 do s[j] = string.format('%.0f', s[j] % 4294967296) end "    \
    "return redis.sha1hex(string.format('%s:%.0f:', t, #v / w) "              \
    ".. table.concat(s, ':')) end "


#endif /* _NGX_RF_DIGEST_H_INCLUDED_ */
