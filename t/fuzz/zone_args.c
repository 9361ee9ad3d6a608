/*
 * A command is a byte; its key is a byte; each further argument is what
 * zone_arg() makes of one or some.  Where there may be more arguments than the
 * least, a byte says how many more, or that there are many numbers.
 */

#include "zone_args.h"
#include "ngx_rf.h"
#include "ngx_rf_command.h"
#include "ngx_rf_zone.h"


/* "how many more" from here on: many numbers */
#define ZONE_MANY  0xf0


static void zone_text(ngx_str_t *arg, const char *text);
static void zone_number(ngx_str_t *arg, ngx_pool_t *pool, int64_t n);
static void zone_fill(ngx_str_t *arg, ngx_pool_t *pool, u_char ch, size_t n);


/* of the table those that are executed locally */

static const char  *zone_names[ZONE_COMMANDS] = {
    "append", "copy", "dbsize", "decr", "decrby", "del", "echo", "exists",
    "expire", "expireat", "expiretime", "get", "getdel", "getex", "getrange",
    "getset", "hdel", "hexists", "hget", "hgetall", "hincrby", "hincrbyfloat",
    "hkeys", "hlen", "hmget", "hmset", "hrandfield", "hscan", "hset",
    "hsetnx", "hstrlen", "hvals", "incr", "incrby", "incrbyfloat", "keys",
    "lindex", "linsert", "llen", "lmove", "lpop", "lpos", "lpush", "lpushx",
    "lrange", "lrem", "lset", "ltrim", "mget", "mset", "msetnx", "persist",
    "pexpire", "pexpireat", "pexpiretime", "ping", "psetex", "pttl",
    "randomkey", "rename", "renamenx", "rpop", "rpoplpush", "rpush", "rpushx",
    "sadd", "scan", "scard", "sdiff", "sdiffstore", "set", "setex", "setnx",
    "setrange", "sinter", "sintercard", "sinterstore", "sismember",
    "smembers", "smismember", "smove", "spop", "srandmember", "srem", "sscan",
    "strlen", "sunion", "sunionstore", "time", "touch", "ttl", "type",
    "unlink", "zadd", "zcard", "zcount", "zincrby", "zlexcount", "zmscore",
    "zpopmax", "zpopmin", "zrandmember", "zrange", "zrangebylex",
    "zrangebyscore", "zrank", "zrem", "zremrangebylex", "zremrangebyrank",
    "zremrangebyscore", "zrevrange", "zrevrangebylex", "zrevrangebyscore",
    "zrevrank", "zscan", "zscore"
};


static const char  *zone_words[64] = {
    "NX", "XX", "GT", "LT", "CH", "INCR", "GET", "EX", "PX", "EXAT", "PXAT",
    "KEEPTTL", "PERSIST", "REPLACE", "DB", "0", "MATCH", "COUNT", "TYPE",
    "string", "hash", "list", "set", "zset", "LIMIT", "WITHSCORES",
    "WITHVALUES", "BYSCORE", "BYLEX", "REV", "LEFT", "RIGHT", "BEFORE",
    "AFTER", "RANK", "MAXLEN", "ALPHA", "1", "2", "3", "4", "-1", "-2", "10",
    "100", "1000", "100000", "-100", "f", "g", "h", "m", "a", "b", "c", "d",
    "1.5", "-1.5", "3.0e3", "5e-1", "inf", "-inf", "", "x"
};

static const char  *zone_scores[16] = {
    "0", "-0", "0.1", "1e308", "-1e308", "inf", "-inf", "+inf", "nan",
    "1e-320", "(1", "(inf", "(-inf", "9007199254740993", "0x10", "1e400"
};

static const char  *zone_integers[16] = {
    "9223372036854775807", "-9223372036854775808", "9223372036854775808",
    "4294967296", "2147483648", "-2147483649", "10000000000000", "01", "1 ",
    "+1", "-0", "1e3", "65536", "1000000", "536870911", "1700000100"
};

static const char  *zone_patterns[16] = {
    "[a", "(a", "-", "+", "[", "(", "*", "?", "a*", "[a-c]", "[^a]", "\\", "[c",
    "(h", "[a-", "**?*"
};


ngx_uint_t  zone_tracing;


ngx_int_t
zone_args(zone_args_t *c, fuzz_input_t *in, ngx_pool_t *pool, ngx_uint_t code)
{
    int64_t                  base;
    ngx_uint_t               i, more, many;
    const ngx_rf_command_t  *command;

    zone_text(&c->argv[0], zone_names[code]);

    command = ngx_rf_command_find(&c->argv[0]);
    if (command == NULL) {
        return NGX_DECLINED;
    }

    many = 0;
    base = 0;
    c->argc = command->arity;

    if (command->arity < 0) {
        more = fuzz_byte(in);
        c->argc = -command->arity;

        if (more < ZONE_MANY) {
            c->argc += more & 7;

        } else {
            many = 1;
            c->argc += (more & 15) * 8 + 4;
            base = (int64_t) fuzz_byte(in) * 16;
        }
    }

    for (i = 1; i < c->argc; i++) {

        if (many && i > 1) {
            zone_number(&c->argv[i], pool, base + i);

        } else if (ngx_rf_command_is_key(command, c->argc, i)) {
            zone_key(&c->argv[i], fuzz_byte(in));

        } else {
            zone_arg(&c->argv[i], in, pool);
        }
    }

    return NGX_OK;
}


void
zone_arg(ngx_str_t *arg, fuzz_input_t *in, ngx_pool_t *pool)
{
    ngx_uint_t  b, low;

    b = fuzz_byte(in);
    low = b & 15;

    switch (b >> 4) {

    case 0:
    case 1:
    case 2:
    case 3:
        zone_text(arg, zone_words[b]);
        return;

    case 4:
    case 5:
        zone_fill(arg, pool, 'a' + (b & 7), 1 + ((b >> 3) & 1));
        return;

    case 6:
    case 7:
        zone_number(arg, pool, (int64_t) (b & 31) - 16);
        return;

    case 8:
        zone_text(arg, zone_scores[low]);
        return;

    case 9:
        zone_text(arg, zone_integers[low]);
        return;

    case 10:
        zone_text(arg, zone_patterns[low]);
        return;

    case 11:
        /* a time, near */
        zone_number(arg, pool, (ngx_rf_now() + ((int64_t) fuzz_byte(in) - 64)
                                               * 1000)
                               / ((low & 1) ? 1 : 1000));
        return;

    case 12:
        *arg = fuzz_bytes(in, pool, low);
        return;

    case 13:
        zone_fill(arg, pool, 'x', (low + 1) * 4096 - 100);
        return;

    case 14:
        zone_fill(arg, pool, 'y', low * 17 + fuzz_byte(in));
        return;

    default:
        zone_key(arg, low);
        return;
    }
}


void
zone_key(ngx_str_t *key, ngx_uint_t n)
{
    static const char  *keys[] = {
        "a", "b", "c", "d", "a", "b", "c", "d", "a", "b", "c", "d",
        "e", "", "a key of more than 44 bytes, which takes more of the slab",
        "f"
    };

    zone_text(key, keys[n & 15]);
}


void
zone_trace(const char *what, ngx_uint_t argc, ngx_str_t *argv)
{
    size_t      n;
    ngx_uint_t  i;

    if (!zone_tracing) {
        return;
    }

    fprintf(stderr, "%s", what);

    for (i = 0; i < argc; i++) {
        fprintf(stderr, " \"");

        for (n = 0; n < argv[i].len && n < 40; n++) {
            fprintf(stderr, argv[i].data[n] < 0x20 || argv[i].data[n] > 0x7e
                            ? "\\x%02x" : "%c", argv[i].data[n]);
        }

        fprintf(stderr, n < argv[i].len ? "\"(%d)" : "\"",
                (int) argv[i].len);
    }

    fprintf(stderr, "\n");
}


static void
zone_text(ngx_str_t *arg, const char *text)
{
    arg->data = (u_char *) text;
    arg->len = ngx_strlen(text);
}


static void
zone_number(ngx_str_t *arg, ngx_pool_t *pool, int64_t n)
{
    u_char  buf[NGX_INT64_LEN];

    arg->len = ngx_sprintf(buf, "%L", n) - buf;
    arg->data = ngx_pnalloc(pool, arg->len);

    fuzz_check(arg->data != NULL);
    ngx_memcpy(arg->data, buf, arg->len);
}


static void
zone_fill(ngx_str_t *arg, ngx_pool_t *pool, u_char ch, size_t n)
{
    arg->len = n;
    arg->data = ngx_pnalloc(pool, n ? n : 1);

    fuzz_check(arg->data != NULL);
    ngx_memset(arg->data, ch, n);
}
