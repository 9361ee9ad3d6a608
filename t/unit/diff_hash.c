/*
 * Hashes and sets against a real redis-server: the same random commands go to
 * both.  What comes in any order is compared so; what is random is looked at
 * with the eyes of Redis, which then loses what was popped here.
 */

#include "diff.h"


/* known from the begin; memory has never heard of the others */
#define HASH_KNOWN    10
#define HASH_UNKNOWN  6


/* how replies compare */

typedef enum {
    HASH_EXACT = 0,
    HASH_ANY,               /* elements in any order */
    HASH_PAIRS,             /* pairs in any order */
    HASH_SCAN,
    HASH_SCAN_PAIRS,
    HASH_PICK,              /* of the field, or fields and values */
    HASH_POP
} hash_order_e;


typedef struct {
    const char           *name;
    hash_order_e          order;
} hash_command_t;


/* the doubtful cases, in diff_hash_lines.c */
extern const char  *diff_hash_lines[];


static void hash_known(diff_t *d);
static ngx_uint_t hash_line(diff_t *d, const char *line);
static ngx_uint_t hash_one(diff_t *d, diff_cmd_t *c, ngx_uint_t *skipped);
static hash_order_e hash_order(diff_cmd_t *c);
static ngx_uint_t hash_same(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *ours,
    redisReply *theirs);
static ngx_uint_t hash_any(ngx_rf_reply_t *ours, redisReply *theirs,
    ngx_uint_t n);
static int hash_compare_ours(const void *one, const void *two);
static int hash_compare_theirs(const void *one, const void *two);
static ngx_uint_t hash_pick(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *ours,
    redisReply *theirs);
static ngx_uint_t hash_is(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *elt,
    ngx_rf_reply_t *value);
static ngx_uint_t hash_pop(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *ours);
static ngx_uint_t hash_gone(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *elt);
static int64_t hash_ask(diff_t *d, const char *verb, ngx_str_t *key,
    ngx_str_t *arg);
static ngx_uint_t hash_state(diff_t *d);
static ngx_uint_t hash_errors(diff_t *d);
static void hash_key(diff_t *d, diff_cmd_t *c);
static void hash_field(diff_t *d, diff_cmd_t *c);
static void hash_fields(diff_t *d, diff_cmd_t *c);
static void hash_make(diff_t *d, diff_cmd_t *c);
static void hash_make_hash(diff_t *d, diff_cmd_t *c);
static void hash_make_set(diff_t *d, diff_cmd_t *c);
static void hash_make_algebra(diff_t *d, diff_cmd_t *c);
static void hash_make_scan(diff_t *d, diff_cmd_t *c);
static void hash_make_random(diff_t *d, diff_cmd_t *c);
static void hash_make_other(diff_t *d, diff_cmd_t *c);


static hash_command_t  hash_commands[] = {
    { "hgetall", HASH_PAIRS },
    { "hkeys", HASH_ANY },
    { "hvals", HASH_ANY },
    { "hscan", HASH_SCAN_PAIRS },
    { "hrandfield", HASH_PICK },
    { "smembers", HASH_ANY },
    { "sscan", HASH_SCAN },
    { "spop", HASH_POP },
    { "srandmember", HASH_PICK },
    { "sinter", HASH_ANY },
    { "sunion", HASH_ANY },
    { "sdiff", HASH_ANY },
    { NULL, HASH_EXACT }
};


RF_UNIT(differential_hash)
{
    char        *env;
    diff_t       d;
    ngx_uint_t   i, n, failed, skipped;
    diff_cmd_t   c;

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    hash_known(&d);

    env = getenv("RF_UNIT_COMMANDS");
    n = env ? (ngx_uint_t) atoi(env) : DIFF_COMMANDS;

    failed = 0;
    skipped = 0;

    for (i = 0; i < n && failed < 10; i++) {
        hash_make(&d, &c);
        failed += !hash_one(&d, &c, &skipped);
    }

    ok(skipped < n / 20, "%d of them were for Redis alone", (int) skipped);
    is_int(failed, 0, "%d random commands (seed %llu) reply as Redis does",
           (int) (i - skipped), (unsigned long long) d.seed);
    is_int(hash_state(&d), 0, "and leave the same keys");

    i = hash_errors(&d);
    ok(i < n / 2, "%d of the replies are errors", (int) i);

    diff_stop(&d);
}


RF_UNIT(differential_hash_lines)
{
    diff_t        d;
    ngx_uint_t    failed;
    const char  **line;

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    failed = 0;

    for (line = diff_hash_lines; *line; line++) {
        failed += !hash_line(&d, *line);
    }

    is_int(failed, 0, "%d lines reply as Redis does",
           (int) (line - diff_hash_lines));
    is_int(hash_state(&d), 0, "and leave the same keys");

    diff_stop(&d);
}


/* deleted: what they hold from now on is all known */

static void
hash_known(diff_t *d)
{
    char        line[16];
    ngx_uint_t  i;

    for (i = 0; i < HASH_KNOWN; i++) {
        sprintf(line, "del k%d", (int) i);
        diff_line(d, line);
    }
}


static ngx_uint_t
hash_line(diff_t *d, const char *line)
{
    diff_cmd_t   c;
    ngx_uint_t   same, skipped;
    const char  *p;

    c.argc = 0;
    c.p = c.buf;

    for ( ;; ) {
        p = strchr(line, ' ');

        if (p == NULL) {
            diff_bytes(&c, line, strlen(line));
            break;
        }

        diff_bytes(&c, line, p - line);
        line = p + 1;
    }

    skipped = 0;
    same = hash_one(d, &c, &skipped);

    if (skipped) {
        printf("# for Redis alone\n");
        diff_print(&c, NULL, NULL);
    }

    return same && !skipped;
}


static ngx_uint_t
hash_one(diff_t *d, diff_cmd_t *c, ngx_uint_t *skipped)
{
    ngx_uint_t       same;
    ngx_pool_t      *temp;
    redisReply      *theirs;
    ngx_rf_reply_t  *ours;

    temp = ngx_create_pool(4096, d->log);
    ours = diff_local(d, temp, c);

    if (ours == &diff_needs_redis) {
        /* what is stored or renamed is known in part */
        ngx_destroy_pool(temp);
        (*skipped)++;
        return 1;
    }

    theirs = NULL;

    if (ours != NULL && hash_order(c) == HASH_POP
        && (ours->type == NGX_RF_REPLY_STRING || ours->nelts))
    {
        same = hash_pop(d, c, ours);

    } else {
        theirs = diff_redis(d, c);
        same = theirs && ours && hash_same(d, c, ours, theirs);
    }

    if (!same) {
        diff_print(c, ours, theirs);
    }

    freeReplyObject(theirs);
    ngx_destroy_pool(temp);

    return same;
}


static hash_order_e
hash_order(diff_cmd_t *c)
{
    hash_command_t  *command;

    for (command = hash_commands; command->name; command++) {
        if (c->argv[0].len == strlen(command->name)
            && ngx_strncasecmp(c->argv[0].data, (u_char *) command->name,
                               c->argv[0].len)
               == 0)
        {
            break;
        }
    }

    return command->order;
}


static ngx_uint_t
hash_same(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *ours, redisReply *theirs)
{
    hash_order_e  order;

    order = hash_order(c);

    if (order == HASH_PICK) {
        return hash_pick(d, c, ours, theirs);
    }

    if (theirs->type != REDIS_REPLY_ARRAY) {
        return diff_same(c, ours, theirs);
    }

    switch (order) {

    case HASH_ANY:
        return hash_any(ours, theirs, 1);

    case HASH_PAIRS:
        return hash_any(ours, theirs, 2);

    case HASH_SCAN:
    case HASH_SCAN_PAIRS:
        return diff_same(c, &ours->elts[0], theirs->element[0])
               && hash_any(&ours->elts[1], theirs->element[1],
                           order == HASH_SCAN ? 1 : 2);

    default:
        return diff_same(c, ours, theirs);
    }
}


/* groups of n strings */

static ngx_uint_t
hash_any(ngx_rf_reply_t *ours, redisReply *theirs, ngx_uint_t n)
{
    ngx_uint_t  i;

    if (ours->type != NGX_RF_REPLY_ARRAY || theirs->type != REDIS_REPLY_ARRAY
        || ours->nelts != theirs->elements)
    {
        return 0;
    }

    if (ours->nelts == 0) {
        return 1;
    }

    qsort(ours->elts, ours->nelts / n, n * sizeof(ngx_rf_reply_t),
          hash_compare_ours);
    qsort(theirs->element, theirs->elements / n, n * sizeof(redisReply *),
          hash_compare_theirs);

    for (i = 0; i < ours->nelts; i++) {
        if (ours->elts[i].type != NGX_RF_REPLY_STRING
            || ours->elts[i].str.len != (size_t) theirs->element[i]->len
            || ngx_memcmp(ours->elts[i].str.data, theirs->element[i]->str,
                          ours->elts[i].str.len)
               != 0)
        {
            return 0;
        }
    }

    return 1;
}


static int
hash_compare_ours(const void *one, const void *two)
{
    const ngx_rf_reply_t  *a = one;
    const ngx_rf_reply_t  *b = two;

    int  rc;

    rc = memcmp(a->str.data, b->str.data, ngx_min(a->str.len, b->str.len));

    return rc ? rc : (int) a->str.len - (int) b->str.len;
}


static int
hash_compare_theirs(const void *one, const void *two)
{
    const redisReply  *a = *(redisReply *const *) one;
    const redisReply  *b = *(redisReply *const *) two;

    int  rc;

    rc = memcmp(a->str, b->str, ngx_min(a->len, b->len));

    return rc ? rc : (int) a->len - (int) b->len;
}


/* HRANDFIELD, SRANDMEMBER: as many as Redis picks, and each is one that Redis
 * has */

static ngx_uint_t
hash_pick(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *ours, redisReply *theirs)
{
    ngx_uint_t       i, j, n, repeats;
    ngx_rf_reply_t  *elts;

    if (theirs->type == REDIS_REPLY_STRING) {
        return ours->type == NGX_RF_REPLY_STRING && hash_is(d, c, ours, NULL);
    }

    if (theirs->type != REDIS_REPLY_ARRAY) {
        return diff_same(c, ours, theirs);
    }

    if (ours->type != NGX_RF_REPLY_ARRAY || ours->nelts != theirs->elements) {
        return 0;
    }

    n = (c->argc > 3) ? 2 : 1;
    elts = ours->elts;
    repeats = (c->argv[2].data[0] == '-');

    for (i = 0; i < ours->nelts; i += n) {

        if (!hash_is(d, c, &elts[i], n == 2 ? &elts[i + 1] : NULL)) {
            return 0;
        }

        for (j = 0; j < i && !repeats; j += n) {
            if (hash_compare_ours(&elts[i], &elts[j]) == 0) {
                return 0;
            }
        }
    }

    return 1;
}


static ngx_uint_t
hash_is(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *elt, ngx_rf_reply_t *value)
{
    ngx_uint_t   is;
    redisReply  *reply;

    if (elt->type != NGX_RF_REPLY_STRING) {
        return 0;
    }

    if (value == NULL) {
        return hash_ask(d, (c->argv[0].data[0] | 0x20) == 'h' ? "HEXISTS"
                                                               : "SISMEMBER",
                        &c->argv[1], &elt->str)
               == 1;
    }

    reply = redisCommand(d->redis, "HGET %b %b", c->argv[1].data,
                         c->argv[1].len, elt->str.data, elt->str.len);
    is = diff_same(c, value, reply);
    freeReplyObject(reply);

    return is;
}


/* what is popped here is what Redis had, and as much of it as there was */

static ngx_uint_t
hash_pop(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *ours)
{
    int64_t      n, count;
    ngx_uint_t   i;
    redisReply  *reply;

    if (ours->type == NGX_RF_REPLY_STRING) {
        return c->argc == 2 && hash_gone(d, c, ours);
    }

    reply = redisCommand(d->redis, "SCARD %b", c->argv[1].data,
                         c->argv[1].len);
    n = reply->integer;
    freeReplyObject(reply);

    count = ngx_atoi(c->argv[2].data, c->argv[2].len);

    if ((int64_t) ours->nelts != ngx_min(n, count)) {
        return 0;
    }

    for (i = 0; i < ours->nelts; i++) {
        if (!hash_gone(d, c, &ours->elts[i])) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
hash_gone(diff_t *d, diff_cmd_t *c, ngx_rf_reply_t *elt)
{
    return hash_ask(d, "SREM", &c->argv[1], &elt->str) == 1;
}


static int64_t
hash_ask(diff_t *d, const char *verb, ngx_str_t *key, ngx_str_t *arg)
{
    int64_t      n;
    redisReply  *reply;

    reply = redisCommand(d->redis, "%s %b %b", verb, key->data, key->len,
                         arg->data, arg->len);
    n = reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
    freeReplyObject(reply);

    return n;
}


/* the number of keys that differ */

static ngx_uint_t
hash_state(diff_t *d)
{
    ngx_uint_t   i, n;
    redisReply  *keys, *type;
    const char  *name, *read;
    char         line[64];

    n = !diff_line(d, "dbsize") + !diff_line(d, "keys *");

    keys = redisCommand(d->redis, "KEYS *");

    for (i = 0; i < keys->elements; i++) {
        name = keys->element[i]->str;
        type = redisCommand(d->redis, "TYPE %s", name);

        read = strcmp(type->str, "hash") == 0 ? "hgetall"
               : strcmp(type->str, "set") == 0 ? "smembers" : "get";

        freeReplyObject(type);

        sprintf(line, "%s %s", read, name);
        n += !hash_line(d, line);

        sprintf(line, "pttl %s", name);
        n += !diff_line(d, line);
    }

    freeReplyObject(keys);

    return n;
}


/* the number of error replies that Redis has made */

static ngx_uint_t
hash_errors(diff_t *d)
{
    char        *p;
    ngx_uint_t   n;
    redisReply  *reply;

    reply = redisCommand(d->redis, "INFO stats");
    p = strstr(reply->str, "total_error_replies:");
    n = p ? strtoul(p + sizeof("total_error_replies:") - 1, NULL, 10) : 0;
    freeReplyObject(reply);

    return n;
}


/* mostly of the type that the command is for, or of one with the key before:
 * odd ones are hashes */

static void
hash_key(diff_t *d, diff_cmd_t *c)
{
    ngx_uint_t   odd, n;
    ngx_str_t   *before;

    n = diff_random(d, 12) ? HASH_KNOWN : HASH_UNKNOWN;
    before = &c->argv[c->argc - 1];

    if (c->argc > 1 && before->len == 2) {
        odd = before->data[1] & 1;

    } else if ((c->argv[0].data[0] | 0x20) == 'h') {
        odd = 1;

    } else {
        odd = ((c->argv[0].data[0] | 0x20) == 's') ? 0 : diff_random(d, 2);
    }

    odd ^= (diff_random(d, 30) == 0);

    diff_arg(c, "%c%d", n == HASH_KNOWN ? 'k' : 'u',
             (int) (diff_random(d, n / 2) * 2 + odd));
}


static void
hash_field(diff_t *d, diff_cmd_t *c)
{
    u_char      buf[200];
    ngx_uint_t  i, n;

    switch (diff_random(d, 12)) {

    case 0:
        diff_value(d, c);
        return;

    case 1:
        /* the same few */
        n = diff_random(d, 5) * 40;

        for (i = 0; i < n; i++) {
            buf[i] = (u_char) (i * n);
        }

        diff_bytes(c, buf, n);
        return;

    case 2: case 3: case 4:
        diff_arg(c, "%d", (int) diff_random(d, 300) - 100);
        return;

    default:
        diff_arg(c, "f%d", (int) diff_random(d, 40));
    }
}


static void
hash_fields(diff_t *d, diff_cmd_t *c)
{
    ngx_uint_t  n;

    for (n = 1 + diff_random(d, 6); n; n--) {
        hash_field(d, c);
    }
}


static void
hash_make(diff_t *d, diff_cmd_t *c)
{
    c->argc = 0;
    c->p = c->buf;

    switch (diff_random(d, 16)) {

    case 0: case 1: case 2: case 3: case 4: case 5:
        hash_make_hash(d, c);
        return;

    case 6: case 7: case 8: case 9:
        hash_make_set(d, c);
        return;

    case 10: case 11:
        hash_make_algebra(d, c);
        return;

    case 12:
        hash_make_scan(d, c);
        return;

    case 13: case 14:
        hash_make_random(d, c);
        return;

    default:
        hash_make_other(d, c);
    }
}


static void
hash_make_hash(diff_t *d, diff_cmd_t *c)
{
    ngx_uint_t  n;

    switch (diff_random(d, 9)) {

    case 0: case 1:
        diff_option(d, c, "hset hmset");
        hash_key(d, c);

        for (n = 1 + diff_random(d, 5); n; n--) {
            hash_field(d, c);
            diff_value(d, c);
        }

        if (diff_random(d, 20) == 0) {
            hash_field(d, c);
        }

        return;

    case 2:
        diff_option(d, c, "hsetnx");
        hash_key(d, c);
        hash_field(d, c);
        diff_value(d, c);
        return;

    case 3:
        diff_option(d, c, "hget hexists hstrlen");
        hash_key(d, c);
        hash_field(d, c);
        return;

    case 4:
        diff_option(d, c, "hmget hdel");
        hash_key(d, c);
        hash_fields(d, c);
        return;

    case 5:
        diff_option(d, c, "hgetall hkeys hvals hlen");
        hash_key(d, c);
        return;

    default:
        diff_option(d, c, "hincrby hincrbyfloat");
        hash_key(d, c);
        hash_field(d, c);
        diff_number(d, c);
    }
}


static void
hash_make_set(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 6)) {

    case 0: case 1:
        diff_option(d, c, "sadd");
        hash_key(d, c);
        hash_fields(d, c);
        return;

    case 2:
        diff_option(d, c, "srem smismember");
        hash_key(d, c);
        hash_fields(d, c);
        return;

    case 3:
        diff_option(d, c, "smembers scard");
        hash_key(d, c);
        return;

    case 4:
        diff_option(d, c, "sismember");
        hash_key(d, c);
        hash_field(d, c);
        return;

    default:
        diff_option(d, c, "smove");
        hash_key(d, c);
        hash_key(d, c);
        hash_field(d, c);
    }
}


static void
hash_make_algebra(diff_t *d, diff_cmd_t *c)
{
    ngx_uint_t  i, n;

    n = 1 + diff_random(d, 3);

    switch (diff_random(d, 5)) {

    case 0:
        diff_arg(c, "SInterCard");

        if (diff_random(d, 10)) {
            diff_arg(c, "%d", (int) n);

        } else {
            diff_number(d, c);
        }

        break;

    case 1: case 2:
        diff_option(d, c, "sinterstore sunionstore sdiffstore");
        n++;
        break;

    default:
        diff_option(d, c, "sinter sunion sdiff");
    }

    for (i = 0; i < n; i++) {
        hash_key(d, c);
    }

    if (c->argv[0].len == 10 && diff_random(d, 2)
        && (c->argv[0].data[9] | 0x20) == 'd')
    {
        diff_arg(c, "limit");
        diff_number(d, c);
    }
}


static void
hash_make_scan(diff_t *d, diff_cmd_t *c)
{
    diff_option(d, c, "hscan sscan");
    hash_key(d, c);
    diff_arg(c, "0");
    diff_arg(c, "count");
    diff_arg(c, "100000");

    if (diff_random(d, 2)) {
        diff_option(d, c, "match match match type foo");
        diff_option(d, c, "f1* * *3 [f1]* 1? ");
    }
}


static void
hash_make_random(diff_t *d, diff_cmd_t *c)
{
    diff_option(d, c, "hrandfield hrandfield srandmember srandmember spop");
    hash_key(d, c);

    if (diff_random(d, 3) == 0) {
        return;
    }

    if (diff_random(d, 20)) {
        diff_arg(c, "%d", (int) diff_random(d, 12) * (int) diff_random(d, 6)
                          - (int) diff_random(d, 10));

    } else {
        diff_option(d, c, "x 01 9223372036854775807 -9223372036854775808 +1");
    }

    if (diff_random(d, 4) == 0) {
        diff_option(d, c, "withvalues withvalues withvalues foo");
    }
}


static void
hash_make_other(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 8)) {

    case 0:
        diff_option(d, c, "set");
        hash_key(d, c);
        diff_value(d, c);
        return;

    case 1:
        diff_option(d, c, "del del exists");
        hash_key(d, c);
        hash_key(d, c);
        return;

    case 2:
        diff_option(d, c, "rename renamenx copy");
        hash_key(d, c);
        hash_key(d, c);
        return;

    case 3:
        diff_arg(c, "copy");
        hash_key(d, c);
        hash_key(d, c);
        diff_arg(c, "replace");
        return;

    case 4:
        diff_arg(c, "expire");
        hash_key(d, c);
        diff_arg(c, "%d", diff_random(d, 5) ? 100000 : -1);
        return;

    case 5:
        diff_option(d, c, "get del strlen");
        hash_key(d, c);
        return;

    default:
        diff_option(d, c, "ttl persist type");
        hash_key(d, c);
    }
}
