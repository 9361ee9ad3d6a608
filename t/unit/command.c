#include "rf_unit.h"
#include "ngx_rf_command.h"


static const ngx_rf_command_t *find(const char *name);
static ngx_int_t check(ngx_pool_t *pool, const char *line,
    const ngx_rf_command_t **command, ngx_str_t *err);
static ngx_uint_t repeatable(ngx_pool_t *pool, const char *line);
static ngx_uint_t split(const char *line, ngx_str_t *argv, ngx_uint_t max);


RF_UNIT(command_find)
{
    u_char                   c;
    ngx_str_t                name;
    ngx_uint_t               i, n;
    const ngx_rf_command_t  *command;

    ngx_str_set(&name, "GeT");
    command = ngx_rf_command_find(&name);

    if (ok(command != NULL, "GET in any case")) {
        is_int(command->id, NGX_RF_CMD_GET, "its id");
        is_int(command->arity, 2, "its arity");
        is_int(command->first, 1, "where its key is");
        is_int(command->type, NGX_RF_STRING, "its type");
        is_int(command->flags,
               NGX_RF_CMD_READ|NGX_RF_CMD_REPEAT|NGX_RF_CMD_LOCAL,
               "its flags");
    }

    ngx_str_set(&name, "nosuch");
    ok(ngx_rf_command_find(&name) == NULL, "no such command");

    name.len = 0;
    ok(ngx_rf_command_find(&name) == NULL, "no name");

    ngx_str_set(&name, "get\0");
    ok(ngx_rf_command_find(&name) == NULL, "GET and a NUL");

    ngx_str_set(&name, "getgetgetgetgetgetgetgetgetgetgetgetget");
    ok(ngx_rf_command_find(&name) == NULL, "a long name");

    n = 0;

    for (i = 0; i < 256; i++) {
        c = (u_char) i;
        name.data = &c;
        name.len = 1;
        n += (ngx_rf_command_find(&name) != NULL);
    }

    is_int(n, 0, "no command is one byte long");

    /* the ends of the table */

    ok(find("acl") != NULL, "the first");
    ok(find("zunionstore") != NULL, "the last");
    ok(find("georadiusbymember_ro") != NULL, "the longest");
    ok(find("restore-asking") != NULL, "with a dash");
}


RF_UNIT(command_table)
{
    ngx_uint_t               i, bad;
    const char             **p;
    const ngx_rf_command_t  *command;

    /* all that has an id */
    static const char  *names[] = {
        "ping", "echo", "time",
        "del", "unlink", "exists", "type", "ttl", "pttl", "expiretime",
        "pexpiretime", "expire", "pexpire", "expireat", "pexpireat",
        "persist", "rename", "renamenx", "copy", "touch", "keys", "scan",
        "dbsize", "randomkey",
        "get", "set", "setnx", "setex", "psetex", "getset", "getdel",
        "getex", "incr", "incrby", "incrbyfloat", "decr", "decrby",
        "append", "strlen", "getrange", "setrange", "mget", "mset", "msetnx",
        NULL
    };

    i = NGX_RF_CMD_OTHER + 1;
    bad = 0;

    for (p = names; *p; p++, i++) {
        command = find(*p);

        if (command == NULL || command->id != i
            || !(command->flags & NGX_RF_CMD_LOCAL))
        {
            bad++;
        }
    }

    is_int(bad, 0, "each local command has its id");
    ok(i <= NGX_RF_CMD_MAX, "and there are no more ids than known");

    command = find("zunionstore");
    is_int(command->type, NGX_RF_ZSET, "ZUNIONSTORE works on sorted sets");
    ok(command->flags & NGX_RF_CMD_MOVABLE, "and its keys move");

    ok(find("ping")->flags & NGX_RF_CMD_SERVER, "PING needs no Redis");
    ok(find("keys")->flags & NGX_RF_CMD_KEYSPACE, "KEYS is about all keys");
    ok(find("flushall")->flags & NGX_RF_CMD_KEYSPACE, "so is FLUSHALL");
    ok(find("config")->flags & NGX_RF_CMD_ADMIN, "CONFIG administers");
    ok(find("eval")->flags & NGX_RF_CMD_WRITE, "EVAL may write");
    ok(find("eval")->flags & NGX_RF_CMD_MOVABLE, "and has keys somewhere");
    is_int(find("hset")->type, NGX_RF_HASH, "HSET is of the hashes");
    is_int(find("lpush")->type, NGX_RF_LIST, "LPUSH of the lists");
    is_int(find("sadd")->type, NGX_RF_SET, "SADD of the sets");
    is_int(find("del")->type, NGX_RF_NONE, "DEL of all types");
    is_int(find("xadd")->type, NGX_RF_NONE, "XADD of another");
}


RF_UNIT(command_check)
{
    u_char                   big[300];
    ngx_str_t                argv[3], err;
    const char             **p;
    const ngx_rf_command_t  *command;

    static const char  *refused[] = {
        "BLPOP a 0", "brpoplpush a b 0", "BLMPOP 0 1 a LEFT", "BZMPOP 0 1 a "
        "MIN", "bzpopmin a 0", "SUBSCRIBE a", "UNSUBSCRIBE", "psubscribe a",
        "PUNSUBSCRIBE", "ssubscribe a", "sunsubscribe", "SELECT 1", "AUTH x",
        "WATCH a", "UNWATCH", "MULTI", "EXEC", "DISCARD", "CLIENT ID",
        "MONITOR", "HELLO 3", "RESET", "QUIT", "SYNC", "PSYNC ? -1",
        "REPLCONF", "ASKING", "READONLY", "READWRITE", "WAIT 1 0", NULL
    };

    is_int(check(pool, "GET a", &command, &err), NGX_OK, "GET a");
    ok(command == find("get"), "it is GET");

    is_int(check(pool, "GET a b", &command, &err), NGX_ERROR, "GET a b");
    is_text(&err, "ERR wrong number of arguments for 'get' command",
            "in Redis' words");
    ok(command == NULL, "no command then");

    is_int(check(pool, "MGET", &command, &err), NGX_ERROR, "MGET");
    is_text(&err, "ERR wrong number of arguments for 'mget' command",
            "at least one");
    is_int(check(pool, "MGET a b c", &command, &err), NGX_OK, "MGET a b c");

    is_int(check(pool, "NOSUCH a b", &command, &err), NGX_ERROR,
           "NOSUCH a b");
    is_text(&err, "ERR unknown command 'NOSUCH', with args beginning with: "
                  "'a' 'b' ", "in Redis' words");

    is_int(check(pool, "", &command, &err), NGX_ERROR, "nothing at all");

    ngx_str_set(&argv[0], "no\r\nsuch\0name");
    ngx_str_set(&argv[1], "a\nb");
    is_int(ngx_rf_command_check(pool, 2, argv, &command, &err), NGX_ERROR,
           "line breaks and a NUL");
    is_text(&err, "ERR unknown command 'no  such', with args beginning with: "
                  "'a b' ", "cannot break a reply");

    ngx_memset(big, 'x', sizeof(big));
    argv[0].data = argv[1].data = argv[2].data = big;
    argv[0].len = argv[1].len = argv[2].len = sizeof(big);
    is_int(ngx_rf_command_check(pool, 3, argv, &command, &err), NGX_ERROR,
           "long words");
    is_int(err.len, sizeof("ERR unknown command '', with args beginning "
                           "with: '' ") - 1 + 256, "are quoted in part");

    argv[1].len = 126;
    is_int(ngx_rf_command_check(pool, 3, argv, &command, &err), NGX_ERROR,
           "two long words");
    is_int(err.len, sizeof("ERR unknown command '', with args beginning "
                           "with: '' ") - 1 + 128 + 126,
           "the second is one too many");

    for (p = refused; *p; p++) {
        is_int(check(pool, *p, &command, &err), NGX_ERROR, "%s", *p);
        ok(ngx_strnstr(err.data, "is not available on a shared connection",
                       err.len)
           != NULL, "is refused");
    }

    is_int(check(pool, "blpop a 0", &command, &err), NGX_ERROR, "blpop");
    is_text(&err, "ERR 'blpop' is not available on a shared connection",
            "by name");

    is_int(check(pool, "XREAD COUNT 1 STREAMS block 0", &command, &err),
           NGX_OK, "XREAD of a stream called block");
    is_int(check(pool, "XREAD BLOCK 0 STREAMS a $", &command, &err),
           NGX_ERROR, "XREAD that blocks");
    is_int(check(pool, "XREADGROUP GROUP block block STREAMS a >", &command,
                 &err), NGX_OK, "a consumer called block");
    is_int(check(pool, "XREADGROUP GROUP g c BLOCK 1 STREAMS a >", &command,
                 &err), NGX_ERROR, "XREADGROUP that blocks");
}


RF_UNIT(command_keys)
{
    const ngx_rf_command_t  *c;

    c = find("get");
    ok(!ngx_rf_command_is_key(c, 2, 0), "the name is no key");
    ok(ngx_rf_command_is_key(c, 2, 1), "GET's key");
    ok(!ngx_rf_command_is_key(c, 2, 2), "beyond the end");

    c = find("mset");
    ok(ngx_rf_command_is_key(c, 5, 1), "MSET's first key");
    ok(!ngx_rf_command_is_key(c, 5, 2), "its value");
    ok(ngx_rf_command_is_key(c, 5, 3), "the second key");
    ok(!ngx_rf_command_is_key(c, 5, 4), "its value");

    c = find("rename");
    ok(ngx_rf_command_is_key(c, 3, 1) && ngx_rf_command_is_key(c, 3, 2),
       "RENAME has two");

    c = find("del");
    ok(ngx_rf_command_is_key(c, 4, 3), "DEL's last");

    c = find("bitop");
    ok(!ngx_rf_command_is_key(c, 4, 1) && ngx_rf_command_is_key(c, 4, 2),
       "BITOP's begin at the second argument");

    c = find("ping");
    ok(!ngx_rf_command_is_key(c, 2, 1), "PING has none");
}


RF_UNIT(command_repeatable)
{
    const char  **p;

    static const char  *yes[] = {
        "GET a", "SET a b", "SET a b EX 10", "set a b px 10 keepttl",
        "SETEX a 1 b", "MSET a b", "DEL a", "UNLINK a b", "EXPIRE a 1",
        "PEXPIREAT a 1", "PERSIST a", "HSET a b c", "HDEL a b", "SADD a b",
        "SREM a b", "ZADD a 1 b", "ZADD a NX CH 1 b", "ZADD a 1 incr",
        "ZREM a b", "SETRANGE a 0 b", "GETEX a EX 1", "LRANGE a 0 -1",
        "PING", "SUNIONSTORE a a b", "XREAD STREAMS a 0", NULL
    };

    static const char  *no[] = {
        "INCR a", "INCRBY a 1", "APPEND a b", "SETNX a b", "MSETNX a b",
        "GETSET a b", "GETDEL a", "RENAME a b", "RENAMENX a b", "COPY a b",
        "SET a b NX", "SET a b EX 1 xx", "SET a b GET", "EXPIRE a 1 NX",
        "PEXPIRE a 1 gt", "ZADD a INCR 1 b", "ZADD a XX CH INCR 1 b",
        "LPUSH a b", "LPOP a", "SPOP a", "LTRIM a 1 -1", "LREM a 1 b",
        "ZUNIONSTORE a 1 a", "SDIFFSTORE a b a", "HINCRBY a b 1", "EVAL x 0",
        "FLUSHALL", "XADD a * b c", NULL
    };

    for (p = yes; *p; p++) {
        ok(repeatable(pool, *p), "%s may be repeated", *p);
    }

    for (p = no; *p; p++) {
        ok(!repeatable(pool, *p), "%s may not", *p);
    }
}


RF_UNIT(command_categories)
{
    uint32_t   read, write, string, dangerous;
    ngx_str_t  name;

    ngx_str_set(&name, "read");
    read = ngx_rf_command_category(&name);
    ngx_str_set(&name, "WRITE");
    write = ngx_rf_command_category(&name);
    ngx_str_set(&name, "string");
    string = ngx_rf_command_category(&name);
    ngx_str_set(&name, "dangerous");
    dangerous = ngx_rf_command_category(&name);

    ok(read && write && string && dangerous, "four categories");
    ok(read != write, "different ones");

    is_int(ngx_rf_command_categories(find("get")) & (read|write|string),
           read|string, "GET is @read and @string");
    is_int(ngx_rf_command_categories(find("keys")) & (read|dangerous),
           read|dangerous, "KEYS is @dangerous");
    ok(ngx_rf_command_categories(find("config")) & dangerous,
       "CONFIG is what its subcommands are");

    ngx_str_set(&name, "all");
    ok(ngx_rf_command_categories(find("acl"))
       & ngx_rf_command_category(&name), "@all is all");

    ngx_str_set(&name, "rea");
    is_int(ngx_rf_command_category(&name), 0, "no such category");

    ngx_str_set(&name, "");
    is_int(ngx_rf_command_category(&name), 0, "no name");
}


static const ngx_rf_command_t *
find(const char *name)
{
    ngx_str_t  s;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    return ngx_rf_command_find(&s);
}


static ngx_int_t
check(ngx_pool_t *pool, const char *line, const ngx_rf_command_t **command,
    ngx_str_t *err)
{
    ngx_str_t   argv[16];
    ngx_uint_t  argc;

    argc = split(line, argv, 16);
    ngx_str_null(err);

    return ngx_rf_command_check(pool, argc, argv, command, err);
}


static ngx_uint_t
repeatable(ngx_pool_t *pool, const char *line)
{
    ngx_str_t   argv[16];
    ngx_uint_t  argc;

    argc = split(line, argv, 16);

    return ngx_rf_command_repeatable(ngx_rf_command_find(&argv[0]), argc,
                                     argv);
}


static ngx_uint_t
split(const char *line, ngx_str_t *argv, ngx_uint_t max)
{
    size_t      len;
    ngx_uint_t  n;

    for (n = 0; *line && n < max; n++) {
        len = strcspn(line, " ");
        argv[n].data = (u_char *) line;
        argv[n].len = len;
        line += len;
        line += (*line == ' ');
    }

    return n;
}
