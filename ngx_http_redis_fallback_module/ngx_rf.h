/*
 * Shared types of the engine: value, reply, command, record.  No prototypes.
 *
 * All times in these types are absolute wall-clock milliseconds since the
 * epoch unless a field says otherwise; 0 means "none".  Strings are ngx_str_t:
 * binary-safe, not NUL-terminated.
 */

#ifndef _NGX_RF_H_INCLUDED_
#define _NGX_RF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_RF_VERSION          "0.1.0"


/* return codes of the engine beside NGX_OK, NGX_DECLINED, NGX_AGAIN, ... */

#define NGX_RF_NEED_FILE        -20    /* the key's file must be read first */
#define NGX_RF_NEED_ROOM        -21    /* no memory left in the zone */
#define NGX_RF_NEED_WAIT        -22    /* the key is being replayed */
#define NGX_RF_NEED_REDIS       -23    /* only Redis can do this */
#define NGX_RF_NEED_RETRY       -24    /* the mode has changed meanwhile */


/* types of a value; the numbers are part of the zone's layout */

typedef enum {
    NGX_RF_NONE = 0,
    NGX_RF_STRING,
    NGX_RF_HASH,
    NGX_RF_LIST,
    NGX_RF_SET,
    NGX_RF_ZSET
} ngx_rf_type_e;


typedef enum {
    NGX_RF_NORMAL = 0,
    NGX_RF_FALLBACK,
    NGX_RF_RECOVERING
} ngx_rf_mode_e;


typedef enum {
    NGX_RF_TIER_NONE = 0,
    NGX_RF_TIER_MEMORY,
    NGX_RF_TIER_REDIS,
    NGX_RF_TIER_FILE
} ngx_rf_tier_e;


typedef enum {
    NGX_RF_RESULT_NONE = 0,
    NGX_RF_RESULT_HIT,
    NGX_RF_RESULT_MISS,
    NGX_RF_RESULT_OK,
    NGX_RF_RESULT_UNKNOWN,     /* neither memory nor files know the key */
    NGX_RF_RESULT_REJECTED,    /* refused by the outage policy */
    NGX_RF_RESULT_ERROR
} ngx_rf_result_e;


/*
 * A reply, from Redis or made locally.  Everything it points to lives in the
 * pool it was made with.  "str" of an error is the whole line without the
 * leading '-', such as "WRONGTYPE Operation against ...".
 */

typedef enum {
    NGX_RF_REPLY_NIL = 0,
    NGX_RF_REPLY_STATUS,
    NGX_RF_REPLY_ERROR,
    NGX_RF_REPLY_INTEGER,
    NGX_RF_REPLY_STRING,
    NGX_RF_REPLY_ARRAY
} ngx_rf_reply_e;

typedef struct ngx_rf_reply_s  ngx_rf_reply_t;

struct ngx_rf_reply_s {
    ngx_rf_reply_e        type;
    int64_t               integer;
    ngx_str_t             str;
    ngx_uint_t            nelts;
    ngx_rf_reply_t       *elts;
};


/* commands: one id for each that the engine executes locally */

typedef enum {
    NGX_RF_CMD_OTHER = 0,       /* known to the table, not executed locally */

    NGX_RF_CMD_PING, NGX_RF_CMD_ECHO, NGX_RF_CMD_TIME,

    NGX_RF_CMD_DEL, NGX_RF_CMD_UNLINK, NGX_RF_CMD_EXISTS, NGX_RF_CMD_TYPE,
    NGX_RF_CMD_TTL, NGX_RF_CMD_PTTL, NGX_RF_CMD_EXPIRETIME,
    NGX_RF_CMD_PEXPIRETIME, NGX_RF_CMD_EXPIRE, NGX_RF_CMD_PEXPIRE,
    NGX_RF_CMD_EXPIREAT, NGX_RF_CMD_PEXPIREAT, NGX_RF_CMD_PERSIST,
    NGX_RF_CMD_RENAME, NGX_RF_CMD_RENAMENX, NGX_RF_CMD_COPY,
    NGX_RF_CMD_TOUCH, NGX_RF_CMD_KEYS, NGX_RF_CMD_SCAN, NGX_RF_CMD_DBSIZE,
    NGX_RF_CMD_RANDOMKEY,

    NGX_RF_CMD_GET, NGX_RF_CMD_SET, NGX_RF_CMD_SETNX, NGX_RF_CMD_SETEX,
    NGX_RF_CMD_PSETEX, NGX_RF_CMD_GETSET, NGX_RF_CMD_GETDEL,
    NGX_RF_CMD_GETEX, NGX_RF_CMD_INCR, NGX_RF_CMD_INCRBY,
    NGX_RF_CMD_INCRBYFLOAT, NGX_RF_CMD_DECR, NGX_RF_CMD_DECRBY,
    NGX_RF_CMD_APPEND, NGX_RF_CMD_STRLEN, NGX_RF_CMD_GETRANGE,
    NGX_RF_CMD_SETRANGE, NGX_RF_CMD_MGET, NGX_RF_CMD_MSET, NGX_RF_CMD_MSETNX,

    NGX_RF_CMD_HSET, NGX_RF_CMD_HMSET, NGX_RF_CMD_HSETNX, NGX_RF_CMD_HGET,
    NGX_RF_CMD_HMGET, NGX_RF_CMD_HGETALL, NGX_RF_CMD_HKEYS, NGX_RF_CMD_HVALS,
    NGX_RF_CMD_HLEN, NGX_RF_CMD_HSTRLEN, NGX_RF_CMD_HDEL, NGX_RF_CMD_HEXISTS,
    NGX_RF_CMD_HINCRBY, NGX_RF_CMD_HINCRBYFLOAT, NGX_RF_CMD_HSCAN,
    NGX_RF_CMD_HRANDFIELD,

    NGX_RF_CMD_LPUSH, NGX_RF_CMD_RPUSH, NGX_RF_CMD_LPUSHX, NGX_RF_CMD_RPUSHX,
    NGX_RF_CMD_LPOP, NGX_RF_CMD_RPOP, NGX_RF_CMD_LRANGE, NGX_RF_CMD_LLEN,
    NGX_RF_CMD_LINDEX, NGX_RF_CMD_LSET, NGX_RF_CMD_LREM, NGX_RF_CMD_LTRIM,
    NGX_RF_CMD_LINSERT, NGX_RF_CMD_LPOS, NGX_RF_CMD_LMOVE,
    NGX_RF_CMD_RPOPLPUSH,

    NGX_RF_CMD_SADD, NGX_RF_CMD_SREM, NGX_RF_CMD_SMEMBERS, NGX_RF_CMD_SCARD,
    NGX_RF_CMD_SISMEMBER, NGX_RF_CMD_SMISMEMBER, NGX_RF_CMD_SPOP,
    NGX_RF_CMD_SRANDMEMBER, NGX_RF_CMD_SMOVE, NGX_RF_CMD_SINTER,
    NGX_RF_CMD_SUNION, NGX_RF_CMD_SDIFF, NGX_RF_CMD_SINTERSTORE,
    NGX_RF_CMD_SUNIONSTORE, NGX_RF_CMD_SDIFFSTORE, NGX_RF_CMD_SINTERCARD,
    NGX_RF_CMD_SSCAN,

    NGX_RF_CMD_ZADD, NGX_RF_CMD_ZREM, NGX_RF_CMD_ZSCORE, NGX_RF_CMD_ZMSCORE,
    NGX_RF_CMD_ZINCRBY, NGX_RF_CMD_ZCARD, NGX_RF_CMD_ZCOUNT,
    NGX_RF_CMD_ZLEXCOUNT, NGX_RF_CMD_ZRANK, NGX_RF_CMD_ZREVRANK,
    NGX_RF_CMD_ZRANGE, NGX_RF_CMD_ZREVRANGE, NGX_RF_CMD_ZRANGEBYSCORE,
    NGX_RF_CMD_ZREVRANGEBYSCORE, NGX_RF_CMD_ZRANGEBYLEX,
    NGX_RF_CMD_ZREVRANGEBYLEX, NGX_RF_CMD_ZPOPMIN, NGX_RF_CMD_ZPOPMAX,
    NGX_RF_CMD_ZRANDMEMBER, NGX_RF_CMD_ZREMRANGEBYSCORE,
    NGX_RF_CMD_ZREMRANGEBYRANK, NGX_RF_CMD_ZREMRANGEBYLEX, NGX_RF_CMD_ZSCAN,

    NGX_RF_CMD_MAX
} ngx_rf_command_e;


#define NGX_RF_CMD_READ         0x0001
#define NGX_RF_CMD_WRITE        0x0002
#define NGX_RF_CMD_REPEAT       0x0004  /* repeating it changes neither the
                                           data nor the reply */
#define NGX_RF_CMD_LOCAL        0x0008  /* executed in every mode */
#define NGX_RF_CMD_SERVER       0x0010  /* needs no key and no Redis: PING */
#define NGX_RF_CMD_KEYSPACE     0x0020  /* about all keys: KEYS, DBSIZE */
#define NGX_RF_CMD_REFUSED      0x0040  /* blocking, subscription, connection
                                           state: would break a shared
                                           connection */
#define NGX_RF_CMD_ADMIN        0x0080
#define NGX_RF_CMD_MOVABLE      0x0100  /* its keys are not where first, last
                                           and step say (EVAL, XREAD) */

typedef struct {
    ngx_str_t             name;         /* lower case */
    ngx_rf_command_e      id;
    ngx_rf_type_e         type;         /* of the values it works on, or
                                           NGX_RF_NONE for any */
    ngx_int_t             arity;        /* as in COMMAND INFO: with the name;
                                           negative: at least */
    ngx_int_t             first;        /* key positions as in COMMAND INFO */
    ngx_int_t             last;
    ngx_int_t             step;
    ngx_uint_t            flags;
} ngx_rf_command_t;


/*
 * A record is what a pending key is outside of the zone: what a file holds
 * and what is replayed.
 *
 * REPLACE: the key's final state is known (a value, or none at all, a
 * tombstone: type NGX_RF_NONE).
 * DELTA: "changes" are to be applied, in order, to whatever Redis holds; the
 * value is what reads see meanwhile, and says with "complete" whether it
 * rests on a known base.
 *
 * A value is a row of strings: string 1, list and set n, hash n pairs
 * (field, value), zset n pairs (member, score as text).
 *
 * A record is one block of malloc()ed memory, "next" aside: free() it.  So it
 * may cross to a thread and back.
 */

typedef enum {
    NGX_RF_CLEAN = 0,
    NGX_RF_REPLACE,
    NGX_RF_DELTA
} ngx_rf_pending_e;

typedef enum {
    NGX_RF_BASE_UNKNOWN = 0,   /* what Redis held at the outage's begin */
    NGX_RF_BASE_ABSENT,
    NGX_RF_BASE_KNOWN,         /* a string with "base_sha1" */
    NGX_RF_BASE_COLL           /* a collection with that as its digest */
} ngx_rf_base_e;

typedef struct {
    ngx_uint_t            argc;         /* verb and arguments, without the key:
                                           "INCRBY" "5" */
    ngx_str_t            *argv;
} ngx_rf_change_t;

typedef struct ngx_rf_record_s  ngx_rf_record_t;

/* of changes that were handed over under an id, and have come behind a
 * replacement: another one, as it undoes what was sent of them */
#define ngx_rf_record_id_behind(id)  ((id) ^ 1)

struct ngx_rf_record_s {
    ngx_rf_record_t      *next;

    ngx_str_t             key;
    ngx_rf_type_e         type;
    ngx_rf_pending_e      pending;

    uint64_t              version;      /* the zone's sequence number of its
                                           last change; 0: a foreign record */
    int64_t               changed;      /* time of the last local change, ms */
    int64_t               expire;       /* absolute, ms; 0: none */

    ngx_uint_t            nvalues;
    ngx_str_t            *values;

    ngx_uint_t            nchanges;     /* DELTA */
    ngx_rf_change_t      *changes;

    uint64_t              id;           /* DELTA: marks the first "nsent"
                                           changes as sent to Redis under this
                                           id, acknowledged or not; 0: none */
    ngx_uint_t            nsent;

    uint32_t              group;        /* replay: of those that go in one
                                           transaction, side by side in the
                                           list; 0: alone */

    ngx_rf_base_e         base;         /* REPLACE: for on_conflict remote */
    u_char                base_sha1[20];

    unsigned              complete:1;
    unsigned              partial:1;    /* Redis was seen to hold more */
    unsigned              base_expires:1; /* REPLACE: the base had an expiry */
    unsigned              restore:1;    /* DELTA, all of it sent: Redis lost
                                           the key, the value holds its base */
    unsigned              remove:1;     /* disk: remove the file instead;
                                           journal: an acknowledgement */
    unsigned              filed:1;      /* journal: the key has a file, too;
                                           disk: it is there, synced or not */
    unsigned              foreign:1;    /* written by go-redis-fallback */

    ngx_int_t             status;       /* disk: NGX_OK or NGX_ERROR */
    ngx_err_t             err;          /* disk: errno of a failure */
    const char           *failed;       /* disk: the call that failed */

    size_t                size;         /* of its block of memory */
};


#endif /* _NGX_RF_H_INCLUDED_ */
