/*
 * Owns the table of all commands of Redis 7.0, as COMMAND INFO gives it, with
 * what this module adds: which ones it executes itself, which may be repeated
 * and which would break a connection that requests share.
 *
 * Guarantees: names in any case, no allocation but of an error's text, the
 * error texts of Redis 7.  Refuses to know any data, store or connection.
 */

#include "ngx_rf_command.h"


/* the longest command name of the table and some room */
#define NGX_RF_COMMAND_NAME_MAX   32

/* how much of a name and of the arguments Redis quotes in an error */
#define NGX_RF_COMMAND_QUOTE_MAX  128


typedef struct {
    ngx_rf_command_t         command;   /* must be first, see _categories() */
    uint32_t                 categories;
} ngx_rf_command_entry_t;


typedef struct {
    ngx_str_t                name;
    uint32_t                 bits;
} ngx_rf_command_category_t;


static ngx_uint_t ngx_rf_command_named(const ngx_str_t *with,
    ngx_str_t *name);
static ngx_int_t ngx_rf_command_compare(u_char *name, size_t len,
    const ngx_str_t *with);
static ngx_uint_t ngx_rf_command_arg_is(ngx_str_t *arg, const char *word,
    size_t len);
static ngx_uint_t ngx_rf_command_blocks(const ngx_rf_command_t *command,
    ngx_uint_t argc, ngx_str_t *argv);
static ngx_int_t ngx_rf_command_unknown(ngx_pool_t *pool, ngx_uint_t argc,
    ngx_str_t *argv, ngx_str_t *err);
static ngx_int_t ngx_rf_command_error(ngx_pool_t *pool, ngx_str_t *err,
    const char *fmt, const ngx_str_t *name);
static u_char *ngx_rf_command_quote(u_char *p, ngx_str_t *s, size_t max);


#define ngx_rf_command_is(arg, word)                                         \
    ngx_rf_command_arg_is(arg, word, sizeof(word) - 1)


/* short forms that keep a line of the table readable */

#define F_RD      NGX_RF_CMD_READ
#define F_WR      NGX_RF_CMD_WRITE
#define F_REP     NGX_RF_CMD_REPEAT
#define F_LOC     NGX_RF_CMD_LOCAL
#define F_SRV     NGX_RF_CMD_SERVER
#define F_KSP     NGX_RF_CMD_KEYSPACE
#define F_REF     NGX_RF_CMD_REFUSED
#define F_ADM     NGX_RF_CMD_ADMIN
#define F_MOV     NGX_RF_CMD_MOVABLE

#define C_KEYS    0x00000001
#define C_READ    0x00000002
#define C_WRITE   0x00000004
#define C_SET     0x00000008
#define C_ZSET    0x00000010
#define C_LIST    0x00000020
#define C_HASH    0x00000040
#define C_STR     0x00000080
#define C_BIT     0x00000100
#define C_HLL     0x00000200
#define C_GEO     0x00000400
#define C_STREAM  0x00000800
#define C_PUB     0x00001000
#define C_ADMIN   0x00002000
#define C_FAST    0x00004000
#define C_SLOW    0x00008000
#define C_BLOCK   0x00010000
#define C_DANGER  0x00020000
#define C_CONN    0x00040000
#define C_TRANS   0x00080000
#define C_SCRIPT  0x00100000

#define CMD(name, id, type, arity, first, last, step, flags, categories)      \
    { { ngx_string(name), NGX_RF_CMD_##id, NGX_RF_##type,                     \
        arity, first, last, step, flags }, categories }


static const ngx_rf_command_category_t  ngx_rf_command_category_names[] = {
    { ngx_string("all"), 0xffffffff },
    { ngx_string("keyspace"), C_KEYS },
    { ngx_string("read"), C_READ },
    { ngx_string("write"), C_WRITE },
    { ngx_string("set"), C_SET },
    { ngx_string("sortedset"), C_ZSET },
    { ngx_string("list"), C_LIST },
    { ngx_string("hash"), C_HASH },
    { ngx_string("string"), C_STR },
    { ngx_string("bitmap"), C_BIT },
    { ngx_string("hyperloglog"), C_HLL },
    { ngx_string("geo"), C_GEO },
    { ngx_string("stream"), C_STREAM },
    { ngx_string("pubsub"), C_PUB },
    { ngx_string("admin"), C_ADMIN },
    { ngx_string("fast"), C_FAST },
    { ngx_string("slow"), C_SLOW },
    { ngx_string("blocking"), C_BLOCK },
    { ngx_string("dangerous"), C_DANGER },
    { ngx_string("connection"), C_CONN },
    { ngx_string("transaction"), C_TRANS },
    { ngx_string("scripting"), C_SCRIPT }
};


/*
 * Sorted by name, for the binary search.  REP of a write means that doing it
 * twice leaves the same data; a count in the reply may differ (DEL, HSET,
 * SADD).  Not REP although they look so: SDIFFSTORE and ZUNIONSTORE, whose
 * destination may be one of the sources, LTRIM, and FLUSHDB, which would take
 * with it what others wrote meanwhile.
 */

static const ngx_rf_command_entry_t  ngx_rf_command_table[] = {
    CMD("acl", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("append", APPEND, STRING, 3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("asking", OTHER, NONE, 1, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("auth", OTHER, NONE, -2, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("bgrewriteaof", OTHER, NONE, 1, 0, 0, 0,
        F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("bgsave", OTHER, NONE, -1, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("bitcount", OTHER, NONE, -2, 1, 1, 1, F_RD|F_REP, C_READ|C_BIT|C_SLOW),
    CMD("bitfield", OTHER, NONE, -2, 1, 1, 1, F_WR, C_WRITE|C_BIT|C_SLOW),
    CMD("bitfield_ro", OTHER, NONE, -2, 1, 1, 1,
        F_RD|F_REP, C_READ|C_BIT|C_FAST),
    CMD("bitop", OTHER, NONE, -4, 2, -1, 1, F_WR, C_WRITE|C_BIT|C_SLOW),
    CMD("bitpos", OTHER, NONE, -3, 1, 1, 1, F_RD|F_REP, C_READ|C_BIT|C_SLOW),
    CMD("blmove", OTHER, LIST, 6, 1, 2, 1,
        F_WR|F_REF, C_WRITE|C_LIST|C_SLOW|C_BLOCK),
    CMD("blmpop", OTHER, LIST, -5, 0, 0, 0,
        F_WR|F_REF|F_MOV, C_WRITE|C_LIST|C_SLOW|C_BLOCK),
    CMD("blpop", OTHER, LIST, -3, 1, -2, 1,
        F_WR|F_REF, C_WRITE|C_LIST|C_SLOW|C_BLOCK),
    CMD("brpop", OTHER, LIST, -3, 1, -2, 1,
        F_WR|F_REF, C_WRITE|C_LIST|C_SLOW|C_BLOCK),
    CMD("brpoplpush", OTHER, LIST, 4, 1, 2, 1,
        F_WR|F_REF, C_WRITE|C_LIST|C_SLOW|C_BLOCK),
    CMD("bzmpop", OTHER, ZSET, -5, 0, 0, 0,
        F_WR|F_REF|F_MOV, C_WRITE|C_ZSET|C_SLOW|C_BLOCK),
    CMD("bzpopmax", OTHER, ZSET, -3, 1, -2, 1,
        F_WR|F_REF, C_WRITE|C_ZSET|C_FAST|C_BLOCK),
    CMD("bzpopmin", OTHER, ZSET, -3, 1, -2, 1,
        F_WR|F_REF, C_WRITE|C_ZSET|C_FAST|C_BLOCK),
    CMD("client", OTHER, NONE, -2, 0, 0, 0,
        F_REF, C_ADMIN|C_SLOW|C_DANGER|C_CONN),
    CMD("cluster", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("command", OTHER, NONE, -1, 0, 0, 0, F_REP, C_SLOW|C_CONN),
    CMD("config", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("copy", COPY, NONE, -3, 1, 2, 1, F_WR|F_LOC, C_KEYS|C_WRITE|C_SLOW),
    CMD("dbsize", DBSIZE, NONE, 1, 0, 0, 0,
        F_RD|F_REP|F_LOC|F_KSP, C_KEYS|C_READ|C_FAST),
    CMD("debug", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("decr", DECR, STRING, 2, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("decrby", DECRBY, STRING, 3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("del", DEL, NONE, -2, 1, -1, 1,
        F_WR|F_REP|F_LOC, C_KEYS|C_WRITE|C_SLOW),
    CMD("discard", OTHER, NONE, 1, 0, 0, 0, F_REF, C_FAST|C_TRANS),
    CMD("dump", OTHER, NONE, 2, 1, 1, 1, F_RD|F_REP, C_KEYS|C_READ|C_SLOW),
    CMD("echo", ECHO, NONE, 2, 0, 0, 0, F_REP|F_LOC|F_SRV, C_FAST|C_CONN),
    CMD("eval", OTHER, NONE, -3, 0, 0, 0, F_WR|F_MOV, C_SLOW|C_SCRIPT),
    CMD("eval_ro", OTHER, NONE, -3, 0, 0, 0, F_RD|F_REP|F_MOV, C_SLOW|C_SCRIPT),
    CMD("evalsha", OTHER, NONE, -3, 0, 0, 0, F_WR|F_MOV, C_SLOW|C_SCRIPT),
    CMD("evalsha_ro", OTHER, NONE, -3, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_SLOW|C_SCRIPT),
    CMD("exec", OTHER, NONE, 1, 0, 0, 0, F_REF, C_SLOW|C_TRANS),
    CMD("exists", EXISTS, NONE, -2, 1, -1, 1,
        F_RD|F_REP|F_LOC, C_KEYS|C_READ|C_FAST),
    CMD("expire", EXPIRE, NONE, -3, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_KEYS|C_WRITE|C_FAST),
    CMD("expireat", EXPIREAT, NONE, -3, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_KEYS|C_WRITE|C_FAST),
    CMD("expiretime", EXPIRETIME, NONE, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_KEYS|C_READ|C_FAST),
    CMD("failover", OTHER, NONE, -1, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("fcall", OTHER, NONE, -3, 0, 0, 0, F_WR|F_MOV, C_SLOW|C_SCRIPT),
    CMD("fcall_ro", OTHER, NONE, -3, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_SLOW|C_SCRIPT),
    CMD("flushall", OTHER, NONE, -1, 0, 0, 0,
        F_WR|F_KSP, C_KEYS|C_WRITE|C_SLOW|C_DANGER),
    CMD("flushdb", OTHER, NONE, -1, 0, 0, 0,
        F_WR|F_KSP, C_KEYS|C_WRITE|C_SLOW|C_DANGER),
    CMD("function", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_WRITE|C_SLOW|C_SCRIPT),
    CMD("geoadd", OTHER, NONE, -5, 1, 1, 1, F_WR|F_REP, C_WRITE|C_GEO|C_SLOW),
    CMD("geodist", OTHER, NONE, -4, 1, 1, 1, F_RD|F_REP, C_READ|C_GEO|C_SLOW),
    CMD("geohash", OTHER, NONE, -2, 1, 1, 1, F_RD|F_REP, C_READ|C_GEO|C_SLOW),
    CMD("geopos", OTHER, NONE, -2, 1, 1, 1, F_RD|F_REP, C_READ|C_GEO|C_SLOW),
    CMD("georadius", OTHER, NONE, -6, 1, 1, 1,
        F_WR|F_MOV, C_WRITE|C_GEO|C_SLOW),
    CMD("georadius_ro", OTHER, NONE, -6, 1, 1, 1,
        F_RD|F_REP, C_READ|C_GEO|C_SLOW),
    CMD("georadiusbymember", OTHER, NONE, -5, 1, 1, 1,
        F_WR|F_MOV, C_WRITE|C_GEO|C_SLOW),
    CMD("georadiusbymember_ro", OTHER, NONE, -5, 1, 1, 1,
        F_RD|F_REP, C_READ|C_GEO|C_SLOW),
    CMD("geosearch", OTHER, NONE, -7, 1, 1, 1, F_RD|F_REP, C_READ|C_GEO|C_SLOW),
    CMD("geosearchstore", OTHER, NONE, -8, 1, 2, 1, F_WR, C_WRITE|C_GEO|C_SLOW),
    CMD("get", GET, STRING, 2, 1, 1, 1, F_RD|F_REP|F_LOC, C_READ|C_STR|C_FAST),
    CMD("getbit", OTHER, NONE, 3, 1, 1, 1, F_RD|F_REP, C_READ|C_BIT|C_FAST),
    CMD("getdel", GETDEL, STRING, 2, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("getex", GETEX, STRING, -2, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("getrange", GETRANGE, STRING, 4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_STR|C_SLOW),
    CMD("getset", GETSET, STRING, 3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("hdel", HDEL, HASH, -3, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_HASH|C_FAST),
    CMD("hello", OTHER, NONE, -1, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("hexists", HEXISTS, HASH, 3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_FAST),
    CMD("hget", HGET, HASH, 3, 1, 1, 1, F_RD|F_REP|F_LOC, C_READ|C_HASH|C_FAST),
    CMD("hgetall", HGETALL, HASH, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_SLOW),
    CMD("hincrby", HINCRBY, HASH, 4, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_HASH|C_FAST),
    CMD("hincrbyfloat", HINCRBYFLOAT, HASH, 4, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_HASH|C_FAST),
    CMD("hkeys", HKEYS, HASH, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_SLOW),
    CMD("hlen", HLEN, HASH, 2, 1, 1, 1, F_RD|F_REP|F_LOC, C_READ|C_HASH|C_FAST),
    CMD("hmget", HMGET, HASH, -3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_FAST),
    CMD("hmset", HMSET, HASH, -4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_HASH|C_FAST),
    CMD("hrandfield", HRANDFIELD, HASH, -2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_SLOW),
    CMD("hscan", HSCAN, HASH, -3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_SLOW),
    CMD("hset", HSET, HASH, -4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_HASH|C_FAST),
    CMD("hsetnx", HSETNX, HASH, 4, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_HASH|C_FAST),
    CMD("hstrlen", HSTRLEN, HASH, 3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_FAST),
    CMD("hvals", HVALS, HASH, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_HASH|C_SLOW),
    CMD("incr", INCR, STRING, 2, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("incrby", INCRBY, STRING, 3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("incrbyfloat", INCRBYFLOAT, STRING, 3, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("info", OTHER, NONE, -1, 0, 0, 0, F_REP|F_ADM, C_SLOW|C_DANGER),
    CMD("keys", KEYS, NONE, 2, 0, 0, 0,
        F_RD|F_REP|F_LOC|F_KSP, C_KEYS|C_READ|C_SLOW|C_DANGER),
    CMD("lastsave", OTHER, NONE, 1, 0, 0, 0,
        F_REP|F_ADM, C_ADMIN|C_FAST|C_DANGER),
    CMD("latency", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("lcs", OTHER, STRING, -3, 1, 2, 1, F_RD|F_REP, C_READ|C_STR|C_SLOW),
    CMD("lindex", LINDEX, LIST, 3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_LIST|C_SLOW),
    CMD("linsert", LINSERT, LIST, 5, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_LIST|C_SLOW),
    CMD("llen", LLEN, LIST, 2, 1, 1, 1, F_RD|F_REP|F_LOC, C_READ|C_LIST|C_FAST),
    CMD("lmove", LMOVE, LIST, 5, 1, 2, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_SLOW),
    CMD("lmpop", OTHER, LIST, -4, 0, 0, 0, F_WR|F_MOV, C_WRITE|C_LIST|C_SLOW),
    CMD("lolwut", OTHER, NONE, -1, 0, 0, 0, F_RD|F_REP, C_READ|C_FAST),
    CMD("lpop", LPOP, LIST, -2, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_FAST),
    CMD("lpos", LPOS, LIST, -3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_LIST|C_SLOW),
    CMD("lpush", LPUSH, LIST, -3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_FAST),
    CMD("lpushx", LPUSHX, LIST, -3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_FAST),
    CMD("lrange", LRANGE, LIST, 4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_LIST|C_SLOW),
    CMD("lrem", LREM, LIST, 4, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_SLOW),
    CMD("lset", LSET, LIST, 4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_LIST|C_SLOW),
    CMD("ltrim", LTRIM, LIST, 4, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_SLOW),
    CMD("memory", OTHER, NONE, -2, 0, 0, 0,
        F_RD|F_REP|F_ADM|F_MOV, C_READ|C_SLOW),
    CMD("mget", MGET, STRING, -2, 1, -1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_STR|C_FAST),
    CMD("migrate", OTHER, NONE, -6, 3, 3, 1,
        F_WR|F_ADM|F_MOV, C_KEYS|C_WRITE|C_SLOW|C_DANGER),
    CMD("module", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("monitor", OTHER, NONE, 1, 0, 0, 0,
        F_REF|F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("move", OTHER, NONE, 3, 1, 1, 1, F_WR, C_KEYS|C_WRITE|C_FAST),
    CMD("mset", MSET, STRING, -3, 1, -1, 2,
        F_WR|F_REP|F_LOC, C_WRITE|C_STR|C_SLOW),
    CMD("msetnx", MSETNX, STRING, -3, 1, -1, 2,
        F_WR|F_LOC, C_WRITE|C_STR|C_SLOW),
    CMD("multi", OTHER, NONE, 1, 0, 0, 0, F_REF, C_FAST|C_TRANS),
    CMD("object", OTHER, NONE, -2, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_KEYS|C_READ|C_SLOW),
    CMD("persist", PERSIST, NONE, 2, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_KEYS|C_WRITE|C_FAST),
    CMD("pexpire", PEXPIRE, NONE, -3, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_KEYS|C_WRITE|C_FAST),
    CMD("pexpireat", PEXPIREAT, NONE, -3, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_KEYS|C_WRITE|C_FAST),
    CMD("pexpiretime", PEXPIRETIME, NONE, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_KEYS|C_READ|C_FAST),
    CMD("pfadd", OTHER, NONE, -2, 1, 1, 1, F_WR|F_REP, C_WRITE|C_HLL|C_FAST),
    CMD("pfcount", OTHER, NONE, -2, 1, -1, 1, F_RD|F_REP, C_READ|C_HLL|C_SLOW),
    CMD("pfdebug", OTHER, NONE, 3, 2, 2, 1,
        F_WR|F_ADM, C_WRITE|C_HLL|C_ADMIN|C_SLOW|C_DANGER),
    CMD("pfmerge", OTHER, NONE, -2, 1, -1, 1, F_WR|F_REP, C_WRITE|C_HLL|C_SLOW),
    CMD("pfselftest", OTHER, NONE, 1, 0, 0, 0,
        F_ADM, C_HLL|C_ADMIN|C_SLOW|C_DANGER),
    CMD("ping", PING, NONE, -1, 0, 0, 0, F_REP|F_LOC|F_SRV, C_FAST|C_CONN),
    CMD("psetex", PSETEX, STRING, 4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_STR|C_SLOW),
    CMD("psubscribe", OTHER, NONE, -2, 0, 0, 0, F_REF, C_PUB|C_SLOW),
    CMD("psync", OTHER, NONE, -3, 0, 0, 0,
        F_REF|F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("pttl", PTTL, NONE, 2, 1, 1, 1, F_RD|F_REP|F_LOC, C_KEYS|C_READ|C_FAST),
    CMD("publish", OTHER, NONE, 3, 0, 0, 0, F_WR, C_PUB|C_FAST),
    CMD("pubsub", OTHER, NONE, -2, 0, 0, 0, F_RD|F_REP, C_PUB|C_SLOW),
    CMD("punsubscribe", OTHER, NONE, -1, 0, 0, 0, F_REF, C_PUB|C_SLOW),
    CMD("quit", OTHER, NONE, -1, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("randomkey", RANDOMKEY, NONE, 1, 0, 0, 0,
        F_RD|F_REP|F_LOC|F_KSP, C_KEYS|C_READ|C_SLOW),
    CMD("readonly", OTHER, NONE, 1, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("readwrite", OTHER, NONE, 1, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("rename", RENAME, NONE, 3, 1, 2, 1, F_WR|F_LOC, C_KEYS|C_WRITE|C_SLOW),
    CMD("renamenx", RENAMENX, NONE, 3, 1, 2, 1,
        F_WR|F_LOC, C_KEYS|C_WRITE|C_FAST),
    CMD("replconf", OTHER, NONE, -1, 0, 0, 0,
        F_REF|F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("replicaof", OTHER, NONE, 3, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("reset", OTHER, NONE, 1, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("restore", OTHER, NONE, -4, 1, 1, 1,
        F_WR, C_KEYS|C_WRITE|C_SLOW|C_DANGER),
    CMD("restore-asking", OTHER, NONE, -4, 1, 1, 1,
        F_WR|F_ADM, C_KEYS|C_WRITE|C_SLOW|C_DANGER),
    CMD("role", OTHER, NONE, 1, 0, 0, 0, F_REP|F_ADM, C_ADMIN|C_FAST|C_DANGER),
    CMD("rpop", RPOP, LIST, -2, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_FAST),
    CMD("rpoplpush", RPOPLPUSH, LIST, 3, 1, 2, 1,
        F_WR|F_LOC, C_WRITE|C_LIST|C_SLOW),
    CMD("rpush", RPUSH, LIST, -3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_FAST),
    CMD("rpushx", RPUSHX, LIST, -3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_LIST|C_FAST),
    CMD("sadd", SADD, SET, -3, 1, 1, 1, F_WR|F_REP|F_LOC, C_WRITE|C_SET|C_FAST),
    CMD("save", OTHER, NONE, 1, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("scan", SCAN, NONE, -2, 0, 0, 0,
        F_RD|F_REP|F_LOC|F_KSP, C_KEYS|C_READ|C_SLOW),
    CMD("scard", SCARD, SET, 2, 1, 1, 1, F_RD|F_REP|F_LOC, C_READ|C_SET|C_FAST),
    CMD("script", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_SLOW|C_SCRIPT),
    CMD("sdiff", SDIFF, SET, -2, 1, -1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_SLOW),
    CMD("sdiffstore", SDIFFSTORE, SET, -3, 1, -1, 1,
        F_WR|F_LOC, C_WRITE|C_SET|C_SLOW),
    CMD("select", OTHER, NONE, 2, 0, 0, 0, F_REF, C_FAST|C_CONN),
    CMD("set", SET, STRING, -3, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_STR|C_SLOW),
    CMD("setbit", OTHER, NONE, 4, 1, 1, 1, F_WR, C_WRITE|C_BIT|C_SLOW),
    CMD("setex", SETEX, STRING, 4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_STR|C_SLOW),
    CMD("setnx", SETNX, STRING, 3, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_STR|C_FAST),
    CMD("setrange", SETRANGE, STRING, 4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_STR|C_SLOW),
    CMD("shutdown", OTHER, NONE, -1, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("sinter", SINTER, SET, -2, 1, -1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_SLOW),
    CMD("sintercard", SINTERCARD, SET, -3, 0, 0, 0,
        F_RD|F_REP|F_MOV|F_LOC, C_READ|C_SET|C_SLOW),
    CMD("sinterstore", SINTERSTORE, SET, -3, 1, -1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_SET|C_SLOW),
    CMD("sismember", SISMEMBER, SET, 3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_FAST),
    CMD("slaveof", OTHER, NONE, 3, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("slowlog", OTHER, NONE, -2, 0, 0, 0, F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("smembers", SMEMBERS, SET, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_SLOW),
    CMD("smismember", SMISMEMBER, SET, -3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_FAST),
    CMD("smove", SMOVE, SET, 4, 1, 2, 1, F_WR|F_LOC, C_WRITE|C_SET|C_FAST),
    CMD("sort", OTHER, NONE, -2, 1, 1, 1,
        F_WR|F_MOV, C_WRITE|C_SET|C_ZSET|C_LIST|C_SLOW|C_DANGER),
    CMD("sort_ro", OTHER, NONE, -2, 1, 1, 1,
        F_RD|F_REP|F_MOV, C_READ|C_SET|C_ZSET|C_LIST|C_SLOW|C_DANGER),
    CMD("spop", SPOP, SET, -2, 1, 1, 1, F_WR|F_LOC, C_WRITE|C_SET|C_FAST),
    CMD("spublish", OTHER, NONE, 3, 1, 1, 1, F_WR, C_PUB|C_FAST),
    CMD("srandmember", SRANDMEMBER, SET, -2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_SLOW),
    CMD("srem", SREM, SET, -3, 1, 1, 1, F_WR|F_REP|F_LOC, C_WRITE|C_SET|C_FAST),
    CMD("sscan", SSCAN, SET, -3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_SLOW),
    CMD("ssubscribe", OTHER, NONE, -2, 1, -1, 1, F_REF, C_PUB|C_SLOW),
    CMD("strlen", STRLEN, STRING, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_STR|C_FAST),
    CMD("subscribe", OTHER, NONE, -2, 0, 0, 0, F_REF, C_PUB|C_SLOW),
    CMD("substr", OTHER, STRING, 4, 1, 1, 1, F_RD|F_REP, C_READ|C_STR|C_SLOW),
    CMD("sunion", SUNION, SET, -2, 1, -1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_SET|C_SLOW),
    CMD("sunionstore", SUNIONSTORE, SET, -3, 1, -1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_SET|C_SLOW),
    CMD("sunsubscribe", OTHER, NONE, -1, 1, -1, 1, F_REF, C_PUB|C_SLOW),
    CMD("swapdb", OTHER, NONE, 3, 0, 0, 0,
        F_WR|F_KSP, C_KEYS|C_WRITE|C_FAST|C_DANGER),
    CMD("sync", OTHER, NONE, 1, 0, 0, 0, F_REF|F_ADM, C_ADMIN|C_SLOW|C_DANGER),
    CMD("time", TIME, NONE, 1, 0, 0, 0, F_REP|F_LOC|F_SRV, C_FAST),
    CMD("touch", TOUCH, NONE, -2, 1, -1, 1,
        F_RD|F_REP|F_LOC, C_KEYS|C_READ|C_FAST),
    CMD("ttl", TTL, NONE, 2, 1, 1, 1, F_RD|F_REP|F_LOC, C_KEYS|C_READ|C_FAST),
    CMD("type", TYPE, NONE, 2, 1, 1, 1, F_RD|F_REP|F_LOC, C_KEYS|C_READ|C_FAST),
    CMD("unlink", UNLINK, NONE, -2, 1, -1, 1,
        F_WR|F_REP|F_LOC, C_KEYS|C_WRITE|C_FAST),
    CMD("unsubscribe", OTHER, NONE, -1, 0, 0, 0, F_REF, C_PUB|C_SLOW),
    CMD("unwatch", OTHER, NONE, 1, 0, 0, 0, F_REF, C_FAST|C_TRANS),
    CMD("wait", OTHER, NONE, 3, 0, 0, 0, F_REF, C_SLOW|C_CONN),
    CMD("watch", OTHER, NONE, -2, 1, -1, 1, F_REF, C_FAST|C_TRANS),
    CMD("xack", OTHER, NONE, -4, 1, 1, 1, F_WR|F_REP, C_WRITE|C_STREAM|C_FAST),
    CMD("xadd", OTHER, NONE, -5, 1, 1, 1, F_WR, C_WRITE|C_STREAM|C_FAST),
    CMD("xautoclaim", OTHER, NONE, -6, 1, 1, 1, F_WR, C_WRITE|C_STREAM|C_FAST),
    CMD("xclaim", OTHER, NONE, -6, 1, 1, 1, F_WR, C_WRITE|C_STREAM|C_FAST),
    CMD("xdel", OTHER, NONE, -3, 1, 1, 1, F_WR|F_REP, C_WRITE|C_STREAM|C_FAST),
    CMD("xgroup", OTHER, NONE, -2, 0, 0, 0,
        F_WR|F_MOV, C_WRITE|C_STREAM|C_SLOW),
    CMD("xinfo", OTHER, NONE, -2, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_READ|C_STREAM|C_SLOW),
    CMD("xlen", OTHER, NONE, 2, 1, 1, 1, F_RD|F_REP, C_READ|C_STREAM|C_FAST),
    CMD("xpending", OTHER, NONE, -3, 1, 1, 1,
        F_RD|F_REP, C_READ|C_STREAM|C_SLOW),
    CMD("xrange", OTHER, NONE, -4, 1, 1, 1, F_RD|F_REP, C_READ|C_STREAM|C_SLOW),
    CMD("xread", OTHER, NONE, -4, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_READ|C_STREAM|C_SLOW|C_BLOCK),
    CMD("xreadgroup", OTHER, NONE, -7, 0, 0, 0,
        F_WR|F_MOV, C_WRITE|C_STREAM|C_SLOW|C_BLOCK),
    CMD("xrevrange", OTHER, NONE, -4, 1, 1, 1,
        F_RD|F_REP, C_READ|C_STREAM|C_SLOW),
    CMD("xsetid", OTHER, NONE, -3, 1, 1, 1,
        F_WR|F_REP, C_WRITE|C_STREAM|C_FAST),
    CMD("xtrim", OTHER, NONE, -4, 1, 1, 1, F_WR|F_REP, C_WRITE|C_STREAM|C_SLOW),
    CMD("zadd", ZADD, ZSET, -4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_ZSET|C_FAST),
    CMD("zcard", ZCARD, ZSET, 2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_FAST),
    CMD("zcount", ZCOUNT, ZSET, 4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_FAST),
    CMD("zdiff", OTHER, ZSET, -3, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_READ|C_ZSET|C_SLOW),
    CMD("zdiffstore", OTHER, ZSET, -4, 1, 1, 1,
        F_WR|F_MOV, C_WRITE|C_ZSET|C_SLOW),
    CMD("zincrby", ZINCRBY, ZSET, 4, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_ZSET|C_FAST),
    CMD("zinter", OTHER, ZSET, -3, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_READ|C_ZSET|C_SLOW),
    CMD("zintercard", OTHER, ZSET, -3, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_READ|C_ZSET|C_SLOW),
    CMD("zinterstore", OTHER, ZSET, -4, 1, 1, 1,
        F_WR|F_MOV, C_WRITE|C_ZSET|C_SLOW),
    CMD("zlexcount", ZLEXCOUNT, ZSET, 4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_FAST),
    CMD("zmpop", OTHER, ZSET, -4, 0, 0, 0, F_WR|F_MOV, C_WRITE|C_ZSET|C_SLOW),
    CMD("zmscore", ZMSCORE, ZSET, -3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_FAST),
    CMD("zpopmax", ZPOPMAX, ZSET, -2, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_ZSET|C_FAST),
    CMD("zpopmin", ZPOPMIN, ZSET, -2, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_ZSET|C_FAST),
    CMD("zrandmember", ZRANDMEMBER, ZSET, -2, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zrange", ZRANGE, ZSET, -4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zrangebylex", ZRANGEBYLEX, ZSET, -4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zrangebyscore", ZRANGEBYSCORE, ZSET, -4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zrangestore", OTHER, ZSET, -5, 1, 2, 1, F_WR, C_WRITE|C_ZSET|C_SLOW),
    CMD("zrank", ZRANK, ZSET, 3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_FAST),
    CMD("zrem", ZREM, ZSET, -3, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_ZSET|C_FAST),
    CMD("zremrangebylex", ZREMRANGEBYLEX, ZSET, 4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_ZSET|C_SLOW),
    CMD("zremrangebyrank", ZREMRANGEBYRANK, ZSET, 4, 1, 1, 1,
        F_WR|F_LOC, C_WRITE|C_ZSET|C_SLOW),
    CMD("zremrangebyscore", ZREMRANGEBYSCORE, ZSET, 4, 1, 1, 1,
        F_WR|F_REP|F_LOC, C_WRITE|C_ZSET|C_SLOW),
    CMD("zrevrange", ZREVRANGE, ZSET, -4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zrevrangebylex", ZREVRANGEBYLEX, ZSET, -4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zrevrangebyscore", ZREVRANGEBYSCORE, ZSET, -4, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zrevrank", ZREVRANK, ZSET, 3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_FAST),
    CMD("zscan", ZSCAN, ZSET, -3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_SLOW),
    CMD("zscore", ZSCORE, ZSET, 3, 1, 1, 1,
        F_RD|F_REP|F_LOC, C_READ|C_ZSET|C_FAST),
    CMD("zunion", OTHER, ZSET, -3, 0, 0, 0,
        F_RD|F_REP|F_MOV, C_READ|C_ZSET|C_SLOW),
    CMD("zunionstore", OTHER, ZSET, -4, 1, 1, 1,
        F_WR|F_MOV, C_WRITE|C_ZSET|C_SLOW)
};


#define NGX_RF_COMMAND_N                                                      \
    (sizeof(ngx_rf_command_table) / sizeof(ngx_rf_command_table[0]))


/* what was found last, by the name's first and last letters and its length: a
 * server is asked for a handful of commands, again and again */

#define NGX_RF_COMMAND_RECENT   64

static const ngx_rf_command_entry_t  *ngx_rf_command_recent[
    NGX_RF_COMMAND_RECENT];


const ngx_rf_command_t *
ngx_rf_command_find(ngx_str_t *name)
{
    u_char                          lower[NGX_RF_COMMAND_NAME_MAX];
    ngx_int_t                       rc;
    ngx_uint_t                      low, high, mid;
    const ngx_rf_command_entry_t   *entry, **recent;

    if (name->len == 0 || name->len > NGX_RF_COMMAND_NAME_MAX) {
        return NULL;
    }

    recent = &ngx_rf_command_recent[((name->data[0] | 0x20)
                                    + 8 * (name->data[name->len - 1] | 0x20)
                                    + name->len)
                                    % NGX_RF_COMMAND_RECENT];

    if (*recent && ngx_rf_command_named(&(*recent)->command.name, name)) {
        return &(*recent)->command;
    }

    ngx_strlow(lower, name->data, name->len);

    low = 0;
    high = NGX_RF_COMMAND_N;

    while (low < high) {
        mid = low + (high - low) / 2;
        entry = &ngx_rf_command_table[mid];

        rc = ngx_rf_command_compare(lower, name->len, &entry->command.name);

        if (rc == 0) {
            *recent = entry;
            return &entry->command;
        }

        if (rc < 0) {
            high = mid;

        } else {
            low = mid + 1;
        }
    }

    return NULL;
}


ngx_int_t
ngx_rf_command_check(ngx_pool_t *pool, ngx_uint_t argc, ngx_str_t *argv,
    const ngx_rf_command_t **command, ngx_str_t *err)
{
    const ngx_rf_command_t  *cmd;

    *command = NULL;

    if (argc == 0) {
        ngx_str_set(err, "ERR empty command");
        return NGX_ERROR;
    }

    cmd = ngx_rf_command_find(&argv[0]);

    if (cmd == NULL) {
        return ngx_rf_command_unknown(pool, argc, argv, err);
    }

    if ((cmd->arity > 0 && (ngx_uint_t) cmd->arity != argc)
        || (cmd->arity < 0 && argc < (ngx_uint_t) -cmd->arity))
    {
        return ngx_rf_command_error(pool, err,
                       "ERR wrong number of arguments for '%V' command",
                       &cmd->name);
    }

    if ((cmd->flags & NGX_RF_CMD_REFUSED)
        || ngx_rf_command_blocks(cmd, argc, argv))
    {
        return ngx_rf_command_error(pool, err,
                       "ERR '%V' is not available on a shared connection",
                       &cmd->name);
    }

    *command = cmd;

    return NGX_OK;
}


ngx_uint_t
ngx_rf_command_by_element(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_HGET:
    case NGX_RF_CMD_HMGET:
    case NGX_RF_CMD_HEXISTS:
    case NGX_RF_CMD_HSTRLEN:
    case NGX_RF_CMD_SISMEMBER:
    case NGX_RF_CMD_SMISMEMBER:
    case NGX_RF_CMD_ZSCORE:
    case NGX_RF_CMD_ZMSCORE:
        return 1;

    default:
        return 0;
    }
}


ngx_uint_t
ngx_rf_command_is_key(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_uint_t i)
{
    ngx_int_t  last, n;

    if (command->first <= 0 || i >= argc) {
        return 0;
    }

    n = (ngx_int_t) i;
    last = command->last;

    if (last < 0) {
        last += (ngx_int_t) argc;
    }

    if (n < command->first || n > last) {
        return 0;
    }

    if (command->step > 1) {
        return (n - command->first) % command->step == 0;
    }

    return 1;
}


ngx_uint_t
ngx_rf_command_blind(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_str_t *argv)
{
    switch (command->id) {

    case NGX_RF_CMD_SET:
        /* SET key value, and SET key value PX ms */
        return argc == 3
               || (argc == 5 && argv[4].len
                   && argv[4].data[0] >= '1' && argv[4].data[0] <= '9');

    case NGX_RF_CMD_SETEX:
    case NGX_RF_CMD_PSETEX:
    case NGX_RF_CMD_MSET:
    case NGX_RF_CMD_DEL:
    case NGX_RF_CMD_UNLINK:
    case NGX_RF_CMD_SINTERSTORE:
    case NGX_RF_CMD_SUNIONSTORE:
    case NGX_RF_CMD_SDIFFSTORE:
        return 1;

    default:
        return 0;
    }
}


ngx_uint_t
ngx_rf_command_repeatable(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_uint_t  i;

    if (!(command->flags & NGX_RF_CMD_REPEAT)) {
        return 0;
    }

    if (!(command->flags & NGX_RF_CMD_WRITE)) {
        return 1;
    }

    switch (command->id) {

    case NGX_RF_CMD_SET:
    case NGX_RF_CMD_EXPIRE:
    case NGX_RF_CMD_PEXPIRE:
    case NGX_RF_CMD_EXPIREAT:
    case NGX_RF_CMD_PEXPIREAT:

        for (i = 3; i < argc; i++) {
            if (ngx_rf_command_is(&argv[i], "nx")
                || ngx_rf_command_is(&argv[i], "xx")
                || ngx_rf_command_is(&argv[i], "gt")
                || ngx_rf_command_is(&argv[i], "lt")
                || ngx_rf_command_is(&argv[i], "get"))
            {
                return 0;
            }
        }

        return 1;

    default:
        break;
    }

    if (command->name.len != 4
        || ngx_strncmp(command->name.data, "zadd", 4) != 0)
    {
        return 1;
    }

    /* the options of ZADD are the words of two letters and INCR, up to the
     * first score; a score of two digits is taken for one of them, harmlessly
     */

    for (i = 2; i < argc; i++) {
        if (ngx_rf_command_is(&argv[i], "incr")) {
            return 0;
        }

        if (argv[i].len != 2) {
            break;
        }
    }

    return 1;
}


uint32_t
ngx_rf_command_category(ngx_str_t *name)
{
    ngx_uint_t                        i, n;
    const ngx_rf_command_category_t  *category;

    n = sizeof(ngx_rf_command_category_names)
        / sizeof(ngx_rf_command_category_names[0]);

    for (i = 0; i < n; i++) {
        category = &ngx_rf_command_category_names[i];

        if (category->name.len == name->len
            && ngx_strncasecmp(category->name.data, name->data, name->len)
               == 0)
        {
            return category->bits;
        }
    }

    return 0;
}


uint32_t
ngx_rf_command_categories(const ngx_rf_command_t *command)
{
    /* every ngx_rf_command_t given out is the head of its table entry */

    return ((const ngx_rf_command_entry_t *) command)->categories;
}


/* in any case; "with" is in lower case */

static ngx_uint_t
ngx_rf_command_named(const ngx_str_t *with, ngx_str_t *name)
{
    ngx_uint_t  i;

    if (with->len != name->len) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {

        if (ngx_tolower(name->data[i]) != with->data[i]) {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_rf_command_compare(u_char *name, size_t len, const ngx_str_t *with)
{
    int  rc;

    rc = ngx_memcmp(name, with->data, ngx_min(len, with->len));

    if (rc != 0) {
        return rc;
    }

    return (ngx_int_t) len - (ngx_int_t) with->len;
}


static ngx_uint_t
ngx_rf_command_arg_is(ngx_str_t *arg, const char *word, size_t len)
{
    return arg->len == len
           && ngx_strncasecmp(arg->data, (u_char *) word, len) == 0;
}


/* XREAD and XREADGROUP wait only with BLOCK, an option before STREAMS */

static ngx_uint_t
ngx_rf_command_blocks(const ngx_rf_command_t *command, ngx_uint_t argc,
    ngx_str_t *argv)
{
    ngx_uint_t  i;

    if (command->name.len < 5
        || ngx_strncmp(command->name.data, "xread", 5) != 0)
    {
        return 0;
    }

    i = 1;

    if (ngx_rf_command_is(&argv[1], "group")) {
        /* the names of a group and its consumer are no options */
        i = 4;
    }

    for ( /* void */ ; i < argc; i++) {
        if (ngx_rf_command_is(&argv[i], "streams")) {
            return 0;
        }

        if (ngx_rf_command_is(&argv[i], "block")) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_rf_command_unknown(ngx_pool_t *pool, ngx_uint_t argc, ngx_str_t *argv,
    ngx_str_t *err)
{
    u_char      *p, *args;
    size_t       size;
    ngx_uint_t   i;

    /* an argument is begun below the limit, and adds quotes and a space */

    size = sizeof("ERR unknown command '', with args beginning with: ")
           + 2 * NGX_RF_COMMAND_QUOTE_MAX + 3;

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        ngx_str_set(err, "ERR out of memory");
        return NGX_ERROR;
    }

    err->data = p;

    p = ngx_cpymem(p, "ERR unknown command '",
                   sizeof("ERR unknown command '") - 1);
    p = ngx_rf_command_quote(p, &argv[0], NGX_RF_COMMAND_QUOTE_MAX);
    p = ngx_cpymem(p, "', with args beginning with: ",
                   sizeof("', with args beginning with: ") - 1);

    args = p;

    for (i = 1; i < argc && p - args < NGX_RF_COMMAND_QUOTE_MAX; i++) {
        size = NGX_RF_COMMAND_QUOTE_MAX - (p - args);

        *p++ = '\'';
        p = ngx_rf_command_quote(p, &argv[i], size);
        *p++ = '\'';
        *p++ = ' ';
    }

    err->len = p - err->data;

    return NGX_ERROR;
}


static ngx_int_t
ngx_rf_command_error(ngx_pool_t *pool, ngx_str_t *err, const char *fmt,
    const ngx_str_t *name)
{
    size_t  size;

    size = ngx_strlen(fmt) + name->len;

    err->data = ngx_pnalloc(pool, size);
    if (err->data == NULL) {
        ngx_str_set(err, "ERR out of memory");
        return NGX_ERROR;
    }

    err->len = ngx_snprintf(err->data, size, fmt, name) - err->data;

    return NGX_ERROR;
}


/* as Redis quotes: up to a NUL, and no line breaks, which would end a reply */

static u_char *
ngx_rf_command_quote(u_char *p, ngx_str_t *s, size_t max)
{
    size_t  i;

    for (i = 0; i < s->len && i < max && s->data[i] != '\0'; i++) {
        *p++ = (s->data[i] == CR || s->data[i] == LF) ? ' ' : s->data[i];
    }

    return p;
}
