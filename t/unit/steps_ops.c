/*
 * What is killed: scenes and operations, as lines of commands that are
 * separated by "; ".  A command is one of Redis', several of them with " | "
 * between are a transaction, and what begins with "@" is a word of
 * steps_words.c.  "%100" in an argument are 100 bytes.
 *
 * A new transition is a line in steps_words[] and one in steps_ops[].
 */

#include "steps.h"


/* see steps_op() */
#if defined(__SANITIZE_ADDRESS__)
#define STEPS_EACH      1
#else
#define STEPS_EACH      3
#endif

#define STEPS_STATES    (sizeof(steps_states) / sizeof(steps_states[0]))
#define STEPS_COMMANDS  (sizeof(steps_commands) / sizeof(steps_commands[0]))
#define STEPS_OPS       (sizeof(steps_ops) / sizeof(steps_ops[0]))


/* a command in several states of its keys; "init" makes these */

typedef struct {
    const char           *init;
    const char           *command;
} steps_command_t;

typedef struct {
    const char           *name;
    const char           *before;
    const char           *after;
    ngx_uint_t            flags;
} steps_state_t;


#define ALL  "DEL s1 s2 n1 h1 l1 t1 z1; SET s1 one EX 1000; SET s2 two; "      \
             "INCRBY n1 5; HSET h1 a 1 b 2; RPUSH l1 a b c; "                 \
             "SADD t1 a b c; ZADD z1 1 a 2 b"
#define SOME "APPEND s1 one; INCRBY n1 5; HINCRBY h1 a 1; RPUSH l1 a b; "     \
             "SADD t1 a b; ZINCRBY z1 1 a; EXPIRE n1 1000"
#define MORE "APPEND s1 more; INCRBY n1 6; HINCRBY h1 a 2; RPUSH l1 c; "      \
             "SADD t1 c; ZINCRBY z1 2 a"
#define THERE "@redis SET s1 zero; @redis SET n1 10; @redis HSET h1 a 4 c 5; " \
             "@redis RPUSH l1 x y; @redis SADD t1 x; @redis ZADD z1 7 a 8 x"
#define ACKED  "; @replay; @keep"
#define STALE  "; @write; @written; @replay; @keep"
#define DURABLE  "; @write; @written"


static const steps_op_t  steps_ops[] = {

    /* the lock alone */

    { "lock", ALL, "@lock", STEPS_SAME },

    /* a salvage, killed itself.  Once, it lost what it had not put back yet */

    { "salvage", ALL, "@salvage", STEPS_SAME },
    { "salvage deltas", THERE "; " SOME "; @replay; @again; " MORE,
      "@salvage", STEPS_SAME },

    /* what several commands are, is one */

    { "transaction", "SET s1 a; DEL h1 l1", "SET s1 b | INCR n1 | "
      "HSET h1 a 1 | RPUSH l1 a | SADD t1 a | ZADD z1 1 a", STEPS_WHOLE },
    { "transaction that changes one key again", "DEL n1 h1",
      "INCR n1 | INCR n1 | EXPIRE n1 100 | INCR n1 | HSET h1 a 1 | HDEL h1 a |"
      " HSET h1 b 2", STEPS_WHOLE },
    { "transaction on a delta", THERE "; " SOME,
      "INCR n1 | HINCRBY h1 a 5 | INCR n1 | HINCRBY h1 b 5 | RPUSH l1 z | "
      "ZINCRBY z1 5 a | APPEND s1 x", STEPS_WHOLE },
    { "transaction with an error", ALL, "SET s1 b | INCR h1 | LPUSH h1 1 | "
      "INCR n1 | HSET s2 a 1", STEPS_WHOLE },
    { "transaction that is refused", ALL "; @take",
      "SET s3 b | SADD t3 a b | INCR n1", STEPS_WHOLE|STEPS_REFUSED },
    { "transaction of many keys", "DEL s1",
      "MSET k1 1 k2 2 k3 3 k4 4 k5 5 k6 6 k7 7 k8 8 k9 9 | "
      "MSET k10 1 k11 2 k12 3 k13 4 k14 5 k15 6 k16 7 k17 8 k18 9 | DEL s1",
      STEPS_WHOLE },
    { "transaction of many keys, stale", "DEL s1; MSET k1 1 k2 2 k3 3 k4 4 "
      "k5 5 k6 6 k7 7 k8 8 k9 9 k10 1 k11 2 k12 3" STALE,
      "MSET k1 a k2 b k3 c k4 4 k5 5 k6 6 k7 7 k8 8 k9 9 | "
      "MSET k10 1 k11 2 k12 3 k13 4 k14 5 k15 6 k16 7 k17 8 k18 9 | DEL s1",
      STEPS_WHOLE },
    { "transaction on a group", "SET s1 a | INCR n1 | SADD t1 a; "
      "SET s2 b | INCR n2",
      "SET s1 b | DEL n1 | INCR n2 | SADD t1 b", STEPS_WHOLE },

    /* many elements */

    { "tree: SADD", "DEL t1; @fill SADD t1 0 400", "SADD t1 new1 new2",
      STEPS_WHOLE },
    { "tree: SREM", "DEL t1; @fill SADD t1 0 400", "SREM t1 m1 m200",
      STEPS_WHOLE },
    { "tree: SADD, clean", "DEL t1; @fill SADD t1 0 400" ACKED,
      "SADD t1 new1 new2", STEPS_WHOLE },
    { "tree: SADD, delta", "@redis SADD t1 a; @fill SADD t1 0 400",
      "SADD t1 new1 new2", STEPS_WHOLE },
    { "tree: HSET", "DEL h1; @fill HSET h1 0 400", "HSET h1 m7 x new y",
      STEPS_WHOLE },
    { "tree: HINCRBY, delta", "@redis HSET h1 a 1; @fill HSET h1 0 400",
      "HINCRBY h1 m9 4", STEPS_WHOLE },
    { "tree: LINSERT", "DEL l1; @fill RPUSH l1 0 400",
      "LINSERT l1 BEFORE m200 x", STEPS_WHOLE },
    { "tree: LTRIM", "DEL l1; @fill RPUSH l1 0 400", "LTRIM l1 100 299",
      STEPS_WHOLE },
    { "tree: LREM", "DEL l1; @fill RPUSH l1 0 400", "LREM l1 0 m200",
      STEPS_WHOLE },
    { "tree: RPUSH, delta", "@redis RPUSH l1 a; @fill RPUSH l1 0 400",
      "LPUSH l1 x", STEPS_WHOLE },
    { "tree: ZADD", "DEL z1; @fill ZADD z1 0 400", "ZADD z1 7 m300 8 new",
      STEPS_WHOLE },
    { "tree: ZREMRANGEBYRANK", "DEL z1; @fill ZADD z1 0 400",
      "ZREMRANGEBYRANK z1 50 350", STEPS_WHOLE },
    { "tree: ZREMRANGEBYSCORE", "DEL z1; @fill ZADD z1 0 400" ACKED,
      "ZREMRANGEBYSCORE z1 50 350", STEPS_WHOLE },
    { "tree: ZPOPMIN", "DEL z1; @fill ZADD z1 0 400", "ZPOPMIN z1 30",
      STEPS_WHOLE },
    { "tree: DEL", "DEL t1; @fill SADD t1 0 400", "DEL t1", STEPS_WHOLE },
    { "tree: DEL, pinned", "DEL t1; @fill SADD t1 0 400; @pin", "DEL t1",
      STEPS_WHOLE },
    { "tree: SADD, pinned", "DEL t1; @fill SADD t1 0 400; @pin",
      "SADD t1 x y", STEPS_WHOLE },
    { "tree: its trash", "DEL t1; @fill SADD t1 0 400; DEL t1", "@trash",
      STEPS_SAME },
    { "tree: RENAME", "DEL t1 t2; @fill SADD t1 0 200; @fill SADD t2 100 200",
      "RENAME t1 t2", STEPS_WHOLE },

    /* long ones, that give the lock away */

    { "long: SUNIONSTORE", "DEL t1 t2; @fill SADD t1 0 900; "
      "@fill SADD t2 700 900", "SUNIONSTORE t1 t1 t2", STEPS_WHOLE },
    { "long: SINTERSTORE", "DEL t1 t2 d; @fill SADD t1 0 900; "
      "@fill SADD t2 600 900; SADD d x" STALE, "SINTERSTORE d t1 t2",
      STEPS_WHOLE },
    { "long: SDIFFSTORE to nothing", "DEL t1 t2; @fill SADD t1 0 1200; "
      "@fill SADD t2 0 1200", "SDIFFSTORE t1 t1 t2", STEPS_WHOLE },
    { "long: COPY", "DEL z1 z2; @fill ZADD z1 0 1300", "COPY z1 z2",
      STEPS_WHOLE },
    { "long: LREM", "DEL l1; @fill RPUSH l1 0 1300", "LREM l1 1 m1200",
      STEPS_WHOLE },
    { "long: ZREMRANGEBYSCORE", "DEL z1; @fill ZADD z1 0 1500",
      "ZREMRANGEBYSCORE z1 100 1400", STEPS_WHOLE },
    { "long: SPOP", "DEL t1; @fill SADD t1 0 1500", "SPOP t1 1400",
      STEPS_WHOLE|STEPS_REFUSED },
    { "long: SADD", "DEL t1; SADD t1 x", "@many SADD t1 0 600", STEPS_WHOLE },
    { "long: HSET", "DEL h1; HSET h1 x 1", "@many HSET h1 0 300",
      STEPS_WHOLE },
    { "long: RPUSH, delta", "@redis RPUSH l1 x; RPUSH l1 y",
      "@many RPUSH l1 0 600", STEPS_WHOLE },
    { "long: SMEMBERS", "DEL t1; @fill SADD t1 0 3000", "SMEMBERS t1",
      STEPS_SAME },
    { "long: the record of a large one", "DEL t1; @fill SADD t1 0 9000",
      "@write", STEPS_SAME },
    { "long: a large one is replayed", "DEL t1; @fill SADD t1 0 9000",
      "@take", STEPS_SAME },

    /* files */

    { "log", ALL, "@log", STEPS_SAME },
    { "log some", ALL, "@log 2", STEPS_SAME },
    { "log deltas", THERE "; " SOME, "@log", STEPS_SAME },
    { "logged", ALL "; @log", "@logged", STEPS_SAME },
    { "logged: deltas", THERE "; " SOME "; @log", "@logged", STEPS_SAME },
    { "logged: changed meanwhile", ALL "; @log; APPEND s1 x; INCR n1; "
      "HSET h1 c 3; DEL t1", "@logged", STEPS_SAME },
    { "logged: acknowledged meanwhile", ALL "; @log; @replay; @keep",
      "@logged", STEPS_SAME },
    { "not logged", ALL "; @log", "@unlogged", STEPS_SAME },
    { "log: acknowledgements", ALL STALE, "@log", STEPS_SAME },
    { "logged: acknowledgements", ALL STALE "; @log", "@logged", STEPS_SAME },
    { "logged: acknowledgements of what has no file",
      ALL "; @log; @logged; @replay; @keep; @log", "@logged", STEPS_SAME },
    { "logged: changed after its acknowledgement", ALL STALE "; @log; "
      "APPEND s1 x; DEL t1", "@logged", STEPS_SAME },
    { "turn", ALL "; @log; @logged", "@turn", STEPS_SAME },
    { "turn: with files", ALL "; @write; @written; " MORE, "@turn",
      STEPS_SAME },
    { "turn: acknowledged, with files", ALL STALE "; @log; @logged", "@turn",
      STEPS_SAME },
    { "write", ALL, "@write", STEPS_SAME },
    { "write some", ALL, "@write 2", STEPS_SAME },
    { "write deltas", THERE "; " SOME, "@write", STEPS_SAME },
    { "write what was sent", THERE "; " SOME "; @replay; @again; " MORE,
      "@write", STEPS_SAME },
    { "write: removals", ALL STALE, "@write", STEPS_SAME },
    { "written", ALL "; @write", "@written", STEPS_SAME },
    { "written: deltas", THERE "; " SOME "; @write", "@written", STEPS_SAME },
    { "written: changed meanwhile", ALL "; @write; APPEND s1 x; INCR n1; "
      "DEL h1; SADD t1 new", "@written", STEPS_SAME },
    { "written: acknowledged meanwhile", ALL "; @write; @replay; @keep",
      "@written", STEPS_SAME },
    { "written: forgotten meanwhile", ALL "; @write; @replay; @ack",
      "@written", STEPS_SAME },
    { "written: removals", ALL STALE "; @write", "@written", STEPS_SAME },
    { "written: removals of what is forgotten",
      ALL "; @write; @written; @replay; @ack; @write", "@written",
      STEPS_SAME },
    { "written: removals, changed meanwhile",
      ALL STALE "; @write; APPEND s1 x; DEL t1", "@written", STEPS_SAME },
    { "not written", ALL "; @write", "@failed", STEPS_SAME },
    { "not removed", ALL STALE "; @write", "@failed", STEPS_SAME },
    { "reclaim", ALL "; @others_write", "@reclaim", STEPS_SAME },
    { "reclaim removals", ALL STALE "; @others_write", "@reclaim",
      STEPS_SAME },
    { "hurry", ALL, "@hurry t1", STEPS_SAME },

    /* the replay */

    { "take", ALL, "@take", STEPS_SAME },
    { "take some", ALL, "@take 3", STEPS_SAME },
    { "take deltas", THERE "; " SOME, "@take", 0 },
    { "take deltas in files", THERE "; " SOME DURABLE, "@take", 0 },
    { "take a group", THERE "; INCR n1 | SADD t1 a | APPEND s1 x | INCR n2",
      "@take 1", 0 },
    { "take what is nothing", "@redis RPUSH l1 a; LPUSH l1 x; LPOP l1; "
      "EXPIRE l1 1000; PERSIST l1; RPUSH l2 x; RPOP l2", "@take",
      STEPS_REFUSED },
    { "take what has expired", "SET s1 a PX 10; APPEND s2 x; PEXPIRE s2 10; "
      "SET n1 5 PX 10" DURABLE "; SET s3 a PX 10; @later 20", "@take",
      STEPS_SAME },
    { "taken: leader dies", "@lead; " ALL, "@take", STEPS_SAME },
    { "acknowledged", ALL "; @replay", "@ack", 0 },
    { "acknowledged, kept", ALL "; @replay", "@keep", 0 },
    { "acknowledged, in files", ALL DURABLE "; @replay", "@ack", 0 },
    { "acknowledged, in files, kept", ALL DURABLE "; @replay", "@keep", 0 },
    { "acknowledged while written", ALL "; @write; @replay", "@ack", 0 },
    { "acknowledged deltas", THERE "; " SOME "; @replay", "@ack", 0 },
    { "acknowledged deltas, in files", THERE "; " SOME DURABLE "; @replay",
      "@ack", 0 },
    { "acknowledged in part", THERE "; " SOME "; @replay; @again; " MORE
      "; @replay", "@ack", 0 },
    { "acknowledged in part, in files", THERE "; " SOME "; @replay; @again; "
      MORE DURABLE "; @replay", "@ack", 0 },
    { "acknowledged in part, kept", THERE "; " SOME "; @replay; @again; "
      MORE "; @replay", "@keep", 0 },
    { "acknowledged a group", THERE "; INCR n1 | SADD t1 a | APPEND s1 x; "
      "@replay", "@ack", 0 },
    { "acknowledged a large one", "DEL t1; @fill SADD t1 0 400; @replay",
      "@ack", 0 },
    { "not acknowledged", ALL "; @replay", "@again", STEPS_SAME },
    { "not acknowledged, deltas", THERE "; " SOME "; @replay", "@again",
      STEPS_SAME },
    { "set aside", ALL "; @take", "@decline", 0 },
    { "set aside, in files", ALL DURABLE "; @take", "@decline", 0 },
    { "set aside deltas", THERE "; " SOME "; @take", "@decline", 0 },
    { "reset", ALL "; @replay", "@reset", STEPS_SAME },
    { "reset deltas", THERE "; " SOME "; @replay; @lead", "@reset",
      STEPS_SAME },
    { "replay first", ALL, "@first t1", STEPS_SAME },
    { "restore: take", ALL "; @replay; @keep; @restore", "@take",
      STEPS_SAME },
    { "restore: done", ALL "; @replay; @keep; @restore; @take", "@keep",
      STEPS_SAME },
    { "restore: failed", ALL "; @replay; @keep; @restore; @take", "@again",
      STEPS_SAME },
    { "restore: a write", ALL "; @replay; @keep; @restore", "APPEND s1 x",
      STEPS_WHOLE },

    /* files of an earlier run.  Once, an entry that had just been loaded knew
     * of no file, which was then replayed over later changes */

    { "load", ALL "; @scan; @file; @take; @decline", "@load", 0 },
    { "load deltas", THERE "; " SOME "; @scan; @file; @take; @decline",
      "@load", 0 },
    { "load over what is clean", ALL "; @scan; @file; @take; @decline; "
      "@learn GET s2 = x; @learn SMEMBERS t1 = x y", "@load", 0 },
    { "load what has expired", "SET s1 a PX 10; SET n1 1 PX 10; @scan; "
      "@file; @take; @decline; @later 20", "@load", 0 },
    { "load what was spilled", ALL "; @ready; @write; @written; @spill",
      "@load_spilled", 0 },
    { "load deltas that were spilled", THERE "; " SOME "; @ready; @write; "
      "@written; @spill", "@load_spilled", 0 },

    /* memory is short */

    { "evict what is clean", ALL "; @crowd 400 3000", "SET s1 %9000",
      STEPS_WHOLE },
    { "evict for a collection", ALL "; @crowd 400 3000",
      "RPUSH l1 %3000 %3000 %3000", STEPS_WHOLE },
    { "evict for a cached one", ALL "; @crowd 400 3000",
      "@learn GET c = %5000", STEPS_SAME },
    { "evict what is stale", "DEL s1; @ready; @full" STALE, "SET s1 %9000",
      0 },
    /* k9 is the oldest: room that is made before the command looks for its key
     * may be that of the oldest */

    { "evict what is durable", "SET k9 a; DEL s1; @ready; @full" DURABLE,
      "SET s1 %9000", 0 },
    { "evict what is durable for a collection", "SET k9 a; DEL l1; @ready; "
      "@full" DURABLE, "RPUSH l1 %3000 %3000 %3000", 0 },
    { "evict a durable group", "SET k9 a; DEL s1; @ready; SET k1 %8000 | "
      "SET k2 %8000 | SET k3 %8000; @full" DURABLE, "SET s1 %15000", 0 },
    { "no room", "DEL s1; SET k1 %300000; SET k2 %300000; SADD t1 a",
      "SET s1 %600000 | SADD t1 b", STEPS_WHOLE|STEPS_REFUSED },

    /* time.  Once, an expired key whose value was gone and whose type was still
     * there was not salvaged: no tombstone */

    { "sweep what is clean", "SET s1 a PX 10; SADD t1 a; PEXPIRE t1 10; "
      "SET s2 a" ACKED "; @later 20", "@sweep", STEPS_SAME },
    { "sweep what is stale", "SET s1 a PX 10; SADD t1 a; PEXPIRE t1 10; "
      "SET s2 a" STALE "; @later 20", "@sweep", STEPS_SAME },
    { "sweep what is pending", "SET s1 a PX 10; DEL t1; SADD t1 a; "
      "PEXPIRE t1 10; APPEND s2 x; PEXPIRE s2 10; DEL z1; ZADD z1 1 a; "
      "PEXPIRE z1 10; @later 20", "@sweep", STEPS_SAME },
    { "sweep what is durable", "SET s1 a PX 10; DEL t1; SADD t1 a; "
      "PEXPIRE t1 10; APPEND s2 x; PEXPIRE s2 10" DURABLE "; @later 20",
      "@sweep", STEPS_SAME },
    { "sweep what Redis lets expire", "@redis SET s1 a PX 10; "
      "@learn SET s1 a PX 10; APPEND s1 x; @later 20", "@sweep", STEPS_SAME },
    { "sweep and write", "SET s2 a PX 10; DEL s1; @later 20", "SET s1 a",
      STEPS_WHOLE },
    { "write what has expired", "SET s1 a PX 10; @later 20", "APPEND s1 b",
      STEPS_WHOLE },
    { "read what has expired", "SET s1 a PX 10; DEL s2; @later 20", "GET s1",
      STEPS_SAME },

    /* what memory learns and forgets.  Once, what was stale and half forgotten
     * was not salvaged: its file stayed.  And with the clean entries went the
     * record of when their keys were changed */

    { "learn", "SET s1 a; @learn SET s2 a", "@learn GET s2 = b", STEPS_SAME },
    { "learn a collection", "@learn HSET h1 a 1",
      "@learn HGETALL h1 = a 1 b 2 c 3", STEPS_SAME },
    { "learn an element", "@learn HGETALL h1 = a 1 b 2",
      "@learn HSET h1 c 3", STEPS_SAME },
    { "learn over what is stale", ALL STALE, "@learn SET s1 new",
      STEPS_SAME },
    { "learn another type over what is stale", ALL STALE,
      "@learn HGETALL s1 = a 1 b 2", STEPS_SAME },
    { "learn a string over what is stale", ALL STALE, "@learn GET t1 = x",
      STEPS_SAME },
    { "lend", ALL, "@lend s1; @return", STEPS_SAME },
    { "lend what is replaced", ALL, "@lend s1; SET s1 b; @return",
      STEPS_WHOLE },
    { "lend what is deleted, clean", ALL ACKED, "@lend s1; DEL s1; @return",
      STEPS_WHOLE },
    { "lend what is forgotten", ALL ACKED, "@lend s1; @forget s1; @return",
      STEPS_SAME },
    { "lend what one had who died", ALL "; @others_lend s1; SET s1 b",
      "@lend s1; SET s1 c; @return", STEPS_WHOLE },

    { "forget", ALL ACKED, "@forget t1", STEPS_SAME },
    { "forget what is stale", ALL STALE, "@forget t1", STEPS_SAME },
    { "forget what is not known", ALL, "@forget new", STEPS_SAME },
    { "forget all", ALL ACKED "; SET s3 a; SADD t3 b", "@forget_all",
      STEPS_SAME },
    { "forget all that is stale", ALL STALE "; SET s3 a; SADD t3 b",
      "@forget_all", STEPS_SAME },

    /* connections.  Once, the 65th pushed out others than the first */

    { "abandon", "SET s1 a; @abandon 5", "@abandon 6", STEPS_SAME },
    { "abandon one too many", "SET s1 a; @abandon 1 64", "@abandon 99",
      STEPS_SAME },
    { "abandoned: done", "SET s1 a; @abandon 1 20", "@abandoned_done 3 9",
      STEPS_SAME },
};


#define STRING   "SET s1 10; SET s2 x EX 500"
#define HASH     "HSET h1 a 1 b 2 c 3"
#define LIST     "RPUSH l1 a b c b; RPUSH l2 x y"
#define SETS     "SADD t1 a b c; SADD t2 b c d"
#define ZSET     "ZADD z1 1 a 2 b 3 c"


static const steps_command_t  steps_commands[] = {
    { STRING, "SET s1 new" },
    { STRING, "SET s1 new EX 1000" },
    { STRING, "SET s2 y KEEPTTL" },
    { "SET s2 x", "SET s1 %2500" },
    { STRING, "GETSET s1 new" },
    { STRING, "GETDEL s1" },
    { "INCRBY n1 10", "INCR n1" },
    { "INCRBY n1 10; EXPIRE n1 500", "INCRBY n1 3" },
    { "INCRBY n1 10", "INCRBYFLOAT n1 1.5" },
    { "APPEND s1 abc", "APPEND s1 def" },
    { "APPEND s1 abc", "SETRANGE s1 1 xyz" },
    { STRING, "DEL s1" },
    { STRING, "DEL s1 s2 s3" },
    { STRING, "EXPIRE s1 100" },
    { "APPEND s1 a; EXPIRE s1 500", "PERSIST s1" },
    { STRING, "MSET s1 a s2 b s3 c" },
    { "SET s2 x", "MSETNX s1 a s3 c" },
    { STRING, "RENAME s1 s2" },
    { STRING, "RENAME s2 s3" },
    { STRING, "COPY s1 s2 REPLACE" },
    { "SET h1 x", "DEL h1" },
    { HASH, "HSET h1 a 7 d 8" },
    { HASH, "HDEL h1 a b" },
    { HASH, "HDEL h1 a b c" },
    { HASH, "HINCRBY h1 a 5" },
    { HASH, "HINCRBYFLOAT h1 a 1.5" },
    { HASH, "EXPIRE h1 100" },
    { HASH, "SET h1 x" },
    { HASH, "RENAME h1 h2" },
    { LIST, "LPUSH l1 x y" },
    { LIST, "RPOP l1" },
    { LIST, "LPOP l1 4" },
    { LIST, "LINSERT l1 BEFORE b x" },
    { LIST, "LTRIM l1 1 2" },
    { LIST, "LSET l1 1 x" },
    { LIST, "LREM l1 1 b" },
    { LIST, "LMOVE l1 l2 LEFT RIGHT" },
    { LIST, "RENAME l1 l2" },
    { SETS, "SADD t1 x y" },
    { SETS, "SREM t1 a x" },
    { SETS, "SREM t1 a b c" },
    { SETS, "SMOVE t1 t2 a" },
    { SETS, "SUNIONSTORE t1 t1 t2" },
    { SETS, "SINTERSTORE t3 t1 t2" },
    { SETS, "SDIFFSTORE t2 t1 t2" },
    { SETS, "COPY t1 t2 REPLACE" },
    { ZSET, "ZADD z1 5 a 6 x" },
    { ZSET, "ZADD z1 GT CH 5 a 0 b" },
    { ZSET, "ZINCRBY z1 5 a" },
    { ZSET, "ZREM z1 a b" },
    { ZSET, "ZPOPMIN z1" },
    { ZSET, "ZREMRANGEBYSCORE z1 2 9" },
    { ZSET, "ZREMRANGEBYRANK z1 0 0" },
    { ZSET, "RENAME z1 z2" },
};


/* "known" ones first: what follows is known in part */

static const steps_state_t  steps_states[] = {
    { "pending", "DEL s1 s2 s3 n1 h1 h2 l1 l2 t1 t2 t3 z1 z2; ", "",
      STEPS_WHOLE },
    { "clean", "", ACKED, STEPS_WHOLE|STEPS_REFUSED },
    { "durable", "DEL s1 s2 s3 n1 h1 h2 l1 l2 t1 t2 t3 z1 z2; ", DURABLE,
      STEPS_WHOLE },
    { "stale", "DEL s1 s2 n1 h1 l1 t1 z1; ", STALE,
      STEPS_WHOLE|STEPS_REFUSED },
    { "being written", "DEL s1 s2 s3 n1 h1 h2 l1 l2 t1 t2 t3 z1 z2; ",
      "; @write", STEPS_WHOLE },
    { "in part", THERE "; ", "", STEPS_WHOLE|STEPS_REFUSED },
    { "in part, sent", THERE "; ", "; @replay; @again",
      STEPS_WHOLE|STEPS_REFUSED },
    { "in part, durable", THERE "; ", DURABLE, STEPS_WHOLE|STEPS_REFUSED },
    { "in part, being removed", THERE "; ", STALE "; @write",
      STEPS_WHOLE|STEPS_REFUSED },
    { "flying", "", "; @replay", STEPS_WHOLE|STEPS_REFUSED },
};


/* each command in each state; by default in three of them, or in one where each
 * takes long */

const steps_op_t *
steps_op(ngx_pool_t *pool, ngx_uint_t n)
{
    char                   *env, *name, *scene;
    ngx_uint_t              i, each;
    steps_op_t             *op;
    const steps_state_t    *state;
    const steps_command_t  *command;

    if (n < STEPS_OPS) {
        return &steps_ops[n];
    }

    n -= STEPS_OPS;

    env = getenv("RF_STEPS");
    each = (env || getenv("RF_STEPS_ONLY")) ? STEPS_STATES : STEPS_EACH;

    if (n >= STEPS_COMMANDS * each) {
        return NULL;
    }

    i = n / each;
    command = &steps_commands[i];
    state = &steps_states[(n % each * STEPS_STATES / each + i) % STEPS_STATES];

    op = ngx_pcalloc(pool, sizeof(steps_op_t));
    name = ngx_pcalloc(pool, 128);
    scene = ngx_pcalloc(pool, 1024);

    if (op == NULL || name == NULL || scene == NULL) {
        return NULL;
    }

    snprintf(name, 128, "%s, %s", command->command, state->name);
    snprintf(scene, 1024, "%s%s%s", state->before, command->init,
             state->after);

    op->name = name;
    op->scene = scene;
    op->op = command->command;
    op->flags = state->flags;

    return op;
}
