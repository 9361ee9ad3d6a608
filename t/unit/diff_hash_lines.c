/*
 * Hashes and sets against a real redis-server: the doubtful cases.  Which of
 * several checks comes first, what is an integer, a float, a range, a cursor.
 */

#include "diff.h"


extern const char  *diff_hash_lines[];


const char  *diff_hash_lines[] = {
    /* what is stored or renamed is to be known here */
    "del h n f new s t u d s2 s3 str str2 set hash no",
    "set str x", "sadd set x", "hset hash x 1",

    "hset h a 1 b x c 1.5 d 9223372036854775807 e",
    "hset h a 1 b x c 1.5 d 9223372036854775807 e 1",
    "HSet h a", "hset str a", "hset str a 1", "hset set a 1",
    "hset h a 1 a 2 z 1 z 2", "hmset h a", "hmset h a 1 b",
    "hmset str a 1 b", "hmset str a 1", "hmset f q 1 z 2", "hsetnx str a 1",
    "hsetnx h a 1", "hsetnx n a 1", "hset h  empty", "hget h ",
    "hset h", "hget h", "hget h a b", "hdel h", "hincrby h a",
    "hincrby h a 1 2", "hmget h", "hlen h a", "hgetall h a",

    "hincrby h b 1", "hincrby h b x", "hincrby str b x", "hincrby str b 1",
    "hincrby h d 1", "hincrby h d -1", "hincrby h c 1", "hincrby h a 01",
    "hincrby h a 9223372036854775807", "hincrby h a -9223372036854775808",
    "hincrby h a -9223372036854775808", "hincrby h  1", "hincrby new a 0",
    "hincrby h a 9223372036854775808", "hget h a", "hincrby h m -0",
    "hset h s +1", "hincrby h s 1", "hset h s -0", "hincrby h s 1",

    "hincrbyfloat h b 1", "hincrbyfloat h b x", "hincrbyfloat str b x",
    "hincrbyfloat str b 1", "hincrbyfloat h b nan", "hincrbyfloat h b inf",
    "hincrbyfloat str b inf", "hincrbyfloat h b -inf",
    "hincrbyfloat h f 1e4931", "hincrbyfloat h f 1e4932",
    "hincrbyfloat h c 1.5", "hset h g 1e4932", "hincrbyfloat h g 1e4932",
    "hincrbyfloat h f 1e-4950", "hincrbyfloat h y 1e-4950",
    "hset h w  1", "hincrbyfloat h w 1", "hset h i inf",
    "hincrbyfloat h i 1", "hincrbyfloat h i -inf", "hset h i nan",
    "hincrbyfloat h i 1", "hincrbyfloat h x 0x10", "hincrbyfloat h x 0.1",
    "hincrbyfloat h x -16.1", "hincrbyfloat h ", "hincrbyfloat h  1",
    "hincrbyfloat h x 1e", "hincrbyfloat h x 5.0e3",

    "hrandfield h x", "hrandfield str x", "hrandfield no x",
    "hrandfield str 1 foo", "hrandfield h 1 foo",
    "hrandfield h 1 withvalues foo", "hrandfield h x foo",
    "hrandfield h x withvalues", "hrandfield h x withvalues foo",
    "hrandfield h -9223372036854775808",
    "hrandfield h -9223372036854775809",
    "hrandfield h -4611686018427387904 withvalues",
    "hrandfield h 4611686018427387904 withvalues",
    "hrandfield no -9223372036854775808", "hrandfield h",
    "hrandfield no 4611686018427387905 withvalues", "hrandfield no 1",
    "hrandfield no -5 withvalues", "hrandfield no", "hrandfield h 0",
    "hrandfield h 0 withvalues", "hrandfield str", "hrandfield str 0",
    "hrandfield h 9223372036854775807", "hrandfield hash -3 WithValues",

    "hscan h x", "hscan str x", "hscan no x", "hscan no 0 foo",
    "hscan no 0 count x", "hscan no 0 count 0", "hscan str 0 foo",
    "hscan str 0 count 0", "hscan hash 0 type hash", "hscan hash 0 type",
    "hscan hash 0 match", "hscan hash 0 match x count",
    "hscan hash 0 match x* COUNT 1", "hscan hash ", "hscan hash  0",
    "hscan no 17", "hscan no -5", "hscan h 99999999999999999999",
    "hscan hash 0 match y", "hscan hash 0 count -1", "hscan hash",
    "hscan hash 0 novalues",

    "hmget str a b", "hmget no a b", "hmget h a nosuch a", "hgetall str",
    "hgetall no", "hkeys str", "hkeys no", "hvals no", "hlen str",
    "hlen no", "hstrlen str a", "hstrlen no a", "hstrlen h nosuch",
    "hstrlen h b", "hexists str a", "hexists no a", "hdel str a",
    "hdel no a", "hdel hash a a", "hdel hash x x", "exists hash",
    "hgetall h", "del h f n new",

    "sadd s a b a c", "sadd s c d", "sadd s", "sadd str a", "sadd s ",
    "srem s a a nosuch", "srem s", "srem str a", "srem no a", "scard s",
    "scard str", "scard no", "sismember s b", "sismember s nosuch",
    "sismember str b", "sismember no b", "smismember s b x c",
    "smismember str b", "smismember no b c", "smismember s",
    "smembers s", "smembers str", "smembers no",

    "smove s t b", "smove s t b", "smove s s c", "smove s s nosuch",
    "smove no str b", "smove s str nosuch", "smove s str c",
    "smove str s c", "smove str str c", "smove no no c", "smove s no c",
    "smove s t d", "smove s t ", "exists s", "smembers t", "smembers no",
    "smove t t x y", "smove t",

    "del s t no", "sadd s 1 2 3 4 5", "sadd t 4 5 6", "sadd u 5 6 7",
    "sinter", "sinter s", "sinter s t", "sinter s t u", "sinter s no",
    "sinter s no str", "sinter str no", "sinter s s s", "sunion s t u",
    "sunion no", "sunion s no str", "sunion s s", "sdiff s t u",
    "sdiff s", "sdiff no s", "sdiff no str", "sdiff s s", "sdiff s no s",
    "sdiff s t s", "sdiff u t", "sinterstore s", "sinterstore d s t",
    "smembers d", "sinterstore d s no", "exists d", "sinterstore str s str",
    "sunionstore d s t u", "smembers d", "sunionstore d d d", "scard d",
    "sdiffstore d d s", "smembers d", "sdiffstore d d d", "exists d",
    "sdiffstore d str", "expire s 1000", "sunionstore s s t", "ttl s",
    "sinterstore str2 s t", "set str2 x", "sinterstore str2 s t",
    "type str2", "set str2 x", "sinterstore str2 s no", "exists str2",

    "sintercard 2 s t", "sintercard 0 s", "sintercard -1 s",
    "sintercard x s", "sintercard 3 s t", "sintercard 2 s t limit",
    "sintercard 2 s t limit -1", "sintercard 2 s t limit x",
    "sintercard 2 s t limit 1", "sintercard 2 s t limit 0",
    "sintercard 2 s t LIMIT 1 limit 2", "sintercard 1 s t",
    "sintercard 2 s str", "sintercard 2 s str limit -1",
    "sintercard 2 no str", "sintercard 1 str foo", "sintercard 2",
    "sintercard 9223372036854775807 s", "sintercard 2 s limit 3",

    "spop no", "spop no 1", "spop no 0", "spop str", "spop str 0",
    "spop s 0", "spop s -1", "spop s x", "spop str -1", "spop s 1 2",
    "spop str 1 2", "spop s x y", "spop",
    "spop s -9223372036854775808", "spop s 9223372036854775808",

    "srandmember no", "srandmember no 1", "srandmember no -1",
    "srandmember str", "srandmember str 0", "srandmember str x",
    "srandmember s 0", "srandmember s 1 2", "srandmember s x y",
    "srandmember s 9223372036854775808", "srandmember s 100",
    "srandmember s -9223372036854775808", "srandmember str 1 2",

    "sscan s x", "sscan no x", "sscan str x", "sscan str 0",
    "sscan no 0 foo", "sscan no 5 foo", "sscan s 0 foo",
    "sscan s 0 count 0", "sscan s 0 count 100 match [1-3]",
    "sscan s 0 type set", "sscan s 0 count 1 foo",

    "type s", "rename s s2", "smembers s2", "copy s2 s3", "smembers s3",
    "sadd s3 new", "smembers s2", "del s2", "exists s2", "dbsize",
    NULL
};
