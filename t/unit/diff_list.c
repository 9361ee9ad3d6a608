/*
 * Lists in the zone against a real redis-server, see differential.c.
 */

#include "diff.h"
#include "ngx_rf_zone.h"
#include "sound.h"


#define DIFF_LISTS  5


static void diff_list_make(diff_t *d, diff_cmd_t *c);
static void diff_list_edit(diff_t *d, diff_cmd_t *c);
static void diff_list_read(diff_t *d, diff_cmd_t *c);
static void diff_list_key(diff_t *d, diff_cmd_t *c);
static void diff_list_element(diff_t *d, diff_cmd_t *c);
static void diff_list_index(diff_t *d, diff_cmd_t *c);
static ngx_uint_t diff_list_state(diff_t *d);


RF_UNIT(differential_lists)
{
    char            *env;
    diff_t           d;
    ngx_uint_t       i, n, failed, skipped;
    ngx_pool_t      *temp;
    diff_cmd_t       c;
    redisReply      *theirs;
    ngx_rf_reply_t  *ours;

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    env = getenv("RF_UNIT_COMMANDS");
    n = env ? (ngx_uint_t) atoi(env) : DIFF_COMMANDS;

    failed = 0;
    skipped = 0;

    for (i = 0; i < n && failed < 10; i++) {

        temp = ngx_create_pool(4096, log);

        diff_list_make(&d, &c);

        ours = diff_local(&d, temp, &c);

        if (ours == &diff_needs_redis) {
            /* RENAME or COPY of a key that is known in part */
            ngx_destroy_pool(temp);
            skipped++;
            continue;
        }

        theirs = diff_redis(&d, &c);

        if (theirs == NULL || ours == NULL || !diff_same(&c, ours, theirs)) {
            diff_print(&c, ours, theirs);
            failed++;
        }

        freeReplyObject(theirs);
        ngx_destroy_pool(temp);

        if (i % 1000 == 999 && !sound_zone(&d.zone, 0)) {
            failed++;
        }
    }

    ok(skipped < n / 20, "%d of them were for Redis alone", (int) skipped);
    is_int(failed, 0, "%d random commands (seed %llu) reply as Redis does",
           (int) n, (unsigned long long) d.seed);
    is_int(diff_list_state(&d), 0, "and leave the same lists");
    ok(sound_zone(&d.zone, 0), "the zone is sound");

    diff_stop(&d);
}


RF_UNIT(differential_list_lines)
{
    diff_t        d;
    ngx_uint_t    failed;
    const char  **line;

    static const char  *lines[] = {
        "del s l m t q no one other", "set s x", "rpush l a b c a b c a",
        "lpop l 0", "lpop no 0", "lpop no 1", "lpop no", "lpop s 0", "lpop s",
        "lpop l -1", "lpop s -1", "lpop no x", "lpop l 1 2", "rpop s 1 2",
        "lpop l 9223372036854775808", "lpop l 01", "rpop l 9999999999",
        "rpush l a b c a b c a", "exists l",
        "lindex s x", "lindex no x", "lindex l x", "lindex l -0",
        "lset no x v", "lset s x v", "lset l x v", "lset l 100 v",
        "lset l -100 v", "lset l 7 v", "lset l -8 v", "lset no 0 v",
        "lset l 9223372036854775808 v", "lset l -9223372036854775808 v",
        "lpos l a RANK 0", "lpos s a RANK 0", "lpos no a RANK 0",
        "lpos l a COUNT -1", "lpos l a COUNT x", "lpos l a MAXLEN -1",
        "lpos l a MAXLEN x", "lpos l a RANK -9223372036854775808",
        "lpos l a RANK -9223372036854775808 COUNT 2",
        "lpos l a RANK 9223372036854775807",
        "lpos l a RANK -9223372036854775807", "lpos l a RANK", "lpos l a FOO",
        "lpos no a FOO", "lpos no a COUNT 1", "lpos no a", "lpos s a FOO",
        "lpos s a", "lpos l a COUNT 0", "lpos l a COUNT 2 RANK -1",
        "lpos l a COUNT 0 MAXLEN 3", "lpos l z COUNT 0", "lpos l a RANK x",
        "lpos l a RANK 1 RANK 2", "lpos l a COUNT 1 RANK 0 FOO",
        "lpos l a RANK 2 COUNT 0 MAXLEN 0", "lpos l a maxlen 1 rank -1",
        "lmove l m foo left", "lmove s m left foo", "lmove no s left left",
        "lmove no m left left", "lmove l s left right",
        "lmove s l left right", "lmove l l left right", "lmove l l left left",
        "lmove l l right right", "lmove l l RIGHT Left", "lrange l 0 -1",
        "rpoplpush l s", "rpoplpush no s", "rpoplpush s no",
        "rpoplpush no no", "lmove s s left left", "rpush one 1",
        "expire one 1000", "rpoplpush one one", "ttl one",
        "lmove one other left left", "ttl other", "exists one",
        "rpoplpush other one", "exists other", "ttl one",
        "linsert no foo a b", "linsert s foo a b", "linsert s before a b",
        "linsert no before a b", "linsert l before zz b",
        "linsert l AFTER a b", "linsert l before a B", "lrange l 0 -1",
        "lrange s x y", "lrange s 0 y", "lrange s 0 1", "lrange no x 1",
        "lrange no 0 1", "lrem s x a", "lrem s 1 a", "lrem no 1 a",
        "lrem l x a", "lrem l -9223372036854775808 a", "lrange l 0 -1",
        "lrem l 9223372036854775807 b", "lrange l 0 -1",
        "ltrim s x 1", "ltrim s 1 1", "ltrim no 1 1", "ltrim no 1 x",
        "lpushx s a", "lpushx no a b", "rpushx l x y", "lpush s a", "llen s",
        "llen no", "llen l", "ltrim l -3 -2", "lrange l 0 -1", "ltrim l 5 1",
        "exists l", "rpush l a", "expire l 1000", "lpop l", "rpush l a",
        "ttl l", "expire l 1000", "ltrim l 0 0", "lset l 0 b", "ttl l",
        "rename l s", "lrange s 0 -1", "ttl s", "rpush s c d", "copy s t",
        "rpush t e", "lrange s 0 -1", "lrange t 0 -1", "ttl t",
        "set t 1", "lpush t 1", "getset s 1", "incr s", "append s 1",
        "mget s t", "set s 1", "lpush q ", "lrange q 0 -1", "lpos q ",
        "lrem q 0 ", "exists q", "lpush", "lpush l", "rpop", "lindex l",
        "lset l 0", "lrem l 0", "ltrim l 0", "linsert l before a", "lpos l",
        "lmove l l left", "rpoplpush l", "llen l l", NULL
    };

    if (!diff_start(&d, pool, log, 16 * 1024 * 1024)) {
        ok(1, "differential # SKIP no redis-server");
        return;
    }

    failed = 0;

    for (line = lines; *line; line++) {
        failed += !diff_line(&d, *line);
    }

    is_int(failed, 0, "%d lines reply as Redis does",
           (int) (sizeof(lines) / sizeof(lines[0]) - 1));

    diff_stop(&d);
}


static void
diff_list_make(diff_t *d, diff_cmd_t *c)
{
    c->argc = 0;
    c->p = c->buf;

    switch (diff_random(d, 24)) {

    case 0: case 1: case 2: case 3: case 4: case 5: case 6:
        diff_option(d, c, "lpush rpush lpush rpush lpushx rpushx");
        diff_list_key(d, c);

        do {
            diff_list_element(d, c);
        } while (diff_random(d, 4));

        return;

    case 7: case 8: case 9: case 10:
        diff_option(d, c, "lpop rpop");
        diff_list_key(d, c);

        if (diff_random(d, 2)) {
            diff_list_index(d, c);
        }

        return;

    case 11: case 12:
        diff_option(d, c, "lmove");
        diff_list_key(d, c);
        diff_list_key(d, c);
        diff_option(d, c, "left right left right left right foo");
        diff_option(d, c, "left right");
        return;

    case 13:
        diff_option(d, c, "rpoplpush rpoplpush rename renamenx copy");
        diff_list_key(d, c);
        diff_list_key(d, c);
        return;

    case 14: case 15: case 16: case 17: case 18:
        diff_list_edit(d, c);
        return;

    case 19:
        diff_option(d, c, "exists type llen ttl persist");
        diff_list_key(d, c);
        return;

    case 20:
        if (diff_random(d, 8) == 0) {
            diff_option(d, c, "del");
            diff_list_key(d, c);

        } else {
            diff_arg(c, "expire");
            diff_list_key(d, c);
            diff_arg(c, "%d", 10000 + (int) diff_random(d, 9) * 5000);
        }

        return;

    default:
        diff_list_read(d, c);
    }
}


static void
diff_list_edit(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 6)) {

    case 0: case 1:
        diff_option(d, c, "lset");
        diff_list_key(d, c);
        diff_list_index(d, c);
        diff_list_element(d, c);
        return;

    case 2: case 3:
        diff_option(d, c, "lrem");
        diff_list_key(d, c);
        diff_list_index(d, c);
        diff_list_element(d, c);
        return;

    case 4:
        diff_option(d, c, "linsert");
        diff_list_key(d, c);
        diff_option(d, c, "before after before after foo");
        diff_list_element(d, c);
        diff_list_element(d, c);
        return;

    default:
        diff_option(d, c, "ltrim");
        diff_list_key(d, c);

        if (diff_random(d, 2)) {
            diff_arg(c, "%d", (int) diff_random(d, 3));
            diff_arg(c, "%d", -1 - (int) diff_random(d, 3));

        } else {
            diff_list_index(d, c);
            diff_list_index(d, c);
        }
    }
}


static void
diff_list_read(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 5)) {

    case 0:
        diff_option(d, c, "lindex");
        diff_list_key(d, c);
        diff_list_index(d, c);
        return;

    case 1:
        diff_option(d, c, "lrange");
        diff_list_key(d, c);
        diff_list_index(d, c);
        diff_list_index(d, c);
        return;

    case 2:
        diff_arg(c, "LRANGE");
        diff_list_key(d, c);
        diff_arg(c, "0");
        diff_arg(c, "-1");
        return;

    default:
        diff_option(d, c, "lpos");
        diff_list_key(d, c);
        diff_list_element(d, c);

        while (diff_random(d, 2)) {
            diff_option(d, c, "rank count maxlen rank count maxlen foo");
            diff_list_index(d, c);
        }
    }
}


/* and a string now and then */

static void
diff_list_key(diff_t *d, diff_cmd_t *c)
{
    int  n;

    n = (int) diff_random(d, DIFF_LISTS);

    if (c->argc == 1 && n == 0 && diff_random(d, 20) == 0) {
        c->argc = 0;
        diff_arg(c, "set");
    }

    diff_arg(c, "l%d", n);
}


static void
diff_list_element(diff_t *d, diff_cmd_t *c)
{
    switch (diff_random(d, 8)) {

    case 0:
        diff_value(d, c);
        return;

    case 1:
        diff_arg(c, "%d", (int) diff_random(d, 10));
        return;

    default:
        diff_arg(c, "e%d", (int) diff_random(d, 8));
    }
}


static void
diff_list_index(diff_t *d, diff_cmd_t *c)
{
    if (diff_random(d, 12) == 0) {
        diff_number(d, c);

    } else {
        diff_arg(c, "%d", (int) diff_random(d, 24) - 10);
    }
}


/* the number of lists that differ */

static ngx_uint_t
diff_list_state(diff_t *d)
{
    char        line[64];
    ngx_uint_t  i, n;

    n = !diff_line(d, "dbsize") + !diff_line(d, "keys *");

    for (i = 0; i < DIFF_LISTS; i++) {
        sprintf(line, "type l%d", (int) i);
        n += !diff_line(d, line);
        sprintf(line, "lrange l%d 0 -1", (int) i);
        n += !diff_line(d, line);
        sprintf(line, "pttl l%d", (int) i);
        n += !diff_line(d, line);
    }

    return n;
}
