/*
 * What the client is put through.  Each row of steps is a scenario of its own,
 * with an nginx and, as run.sh says, a Redis of its own.
 */

#include "rf_client.h"
#include "rf_scenarios.h"


static u_char     *blob;
static size_t      blob_len;
static ngx_uint_t  number;
static size_t      rss;
static ngx_uint_t  fds;


/* n distinct commands in one turn, each with its own reply */

void
rf_submit_numbers(ngx_uint_t n)
{
    char         text[32];
    rf_call_t   *t;
    ngx_uint_t   i;

    for (i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "number %lu", (unsigned long) i);
        t = rf_submit(&rf_a, "ECHO", text, NULL);
        t->number = i;
    }
}


ngx_uint_t
rf_right_numbers(void)
{
    char         text[32];
    rf_call_t   *t;
    ngx_uint_t   n;

    n = 0;

    for (t = rf_calls; t; t = t->next) {
        snprintf(text, sizeof(text), "number %lu", (unsigned long) t->number);
        n += (t->fired == 1 && t->outcome == NGX_RF_CALL_DONE
              && rf_is(t->commands[0].reply, text));
    }

    return n;
}


static void
expect_done(const char *reply, const char *what)
{
    rf_ok(rf_calls && rf_calls->outcome == NGX_RF_CALL_DONE
          && rf_is(rf_calls->commands[0].reply, reply), "%s", what);

    if (rf_calls && rf_calls->outcome != NGX_RF_CALL_DONE) {
        printf("# %.*s\n", (int) ngx_rf_redis_failure(rf_a.redis)->len,
               ngx_rf_redis_failure(rf_a.redis)->data);
    }

    rf_free_calls();
}


ngx_msec_t
rf_step_ping(void)
{
    rf_submit(&rf_a, "PING", NULL);
    return 0;
}


ngx_msec_t
rf_step_pong(void)
{
    expect_done("PONG", "PONG");
    return 0;
}


/* hello: the handshake's info */

static ngx_msec_t
hello_check(void)
{
    rf_ok(rf_a.ups == 1 && rf_a.downs == 0, "up once");
    rf_ok(rf_a.run_id_len == 40, "run id");
    rf_ok(rf_a.version >= 60000 && rf_a.version < 100000, "version %lu",
          (unsigned long) rf_a.version);
    rf_ok(rf_a.dbsize == 0, "dbsize");
    rf_ok(rf_a.client > 0, "client id");
    rf_ok(ngx_rf_redis_connected(rf_a.redis), "connected");
    return 0;
}

static rf_step_pt  hello[] = { rf_step_ping, rf_step_pong, hello_check, NULL };
static rf_step_pt  ping[] = { rf_step_ping, rf_step_pong, NULL };


/* database */

static ngx_msec_t
database_ask(void)
{
    rf_submit(&rf_a, "CLIENT", "LIST", NULL);
    return 0;
}

static ngx_msec_t
database_check(void)
{
    ngx_str_t  *s = &rf_calls->commands[0].reply->str;

    rf_ok(ngx_strnstr(s->data, " db=3 ", s->len) != NULL, "database 3");
    rf_free_calls();
    return 0;
}

static rf_step_pt  database[] = { rf_step_ping, rf_step_pong, database_ask,
                                  database_check, NULL };


/* an ACL user who may neither INFO nor CLIENT nor DBSIZE */

static ngx_msec_t
noperm_check(void)
{
    rf_ok(rf_a.ups == 1, "is ready without INFO, CLIENT ID and DBSIZE");
    rf_ok(rf_a.run_id_len == 0 && rf_a.dbsize == -1 && rf_a.version == 0
          && rf_a.client == 0,
          "knows that it does not know");
    return 0;
}

static rf_step_pt  noperm[] = {
    rf_step_ping, rf_step_pong, noperm_check, NULL
};


/* many calls in one turn */

static uint64_t
stat_of(rf_call_t *t, const char *name)
{
    char       *p;
    ngx_str_t  *s;

    s = &t->commands[0].reply->str;
    p = (char *) ngx_strnstr(s->data, (char *) name, s->len);

    return p ? strtoull(p + strlen(name), NULL, 10) : 0;
}

static ngx_msec_t
stats(void)
{
    rf_submit(&rf_a, "INFO", "stats", NULL);
    return 0;
}

static ngx_msec_t
turn_submit(void)
{
    number = stat_of(rf_calls, "total_reads_processed:");
    rf_free_calls();

    rf_submit_numbers(1000);
    return 0;
}

static ngx_msec_t
turn_check(void)
{
    rf_ok(rf_right_numbers() == 1000, "1000 calls in one turn, 1000 replies");
    rf_free_calls();
    return 0;
}

static ngx_msec_t
turn_reads(void)
{
    uint64_t  n = stat_of(rf_calls, "total_reads_processed:") - number;

    rf_ok(n <= 6, "40 KB of commands in %d reads of Redis", (int) n);
    rf_free_calls();
    return 0;
}

static ngx_msec_t
turn_big(void)
{
    rf_submit_numbers(50000);
    return 0;
}

static ngx_msec_t
turn_big_check(void)
{
    rf_ok(rf_right_numbers() == 50000, "50000 calls in one turn");
    rf_free_calls();
    return 0;
}

static rf_step_pt  turn[] = {
    rf_step_ping, rf_step_pong, stats, turn_submit, turn_check, stats,
    turn_reads, turn_big, turn_big_check, stats, rf_step_ping, rf_step_pong,
    NULL
};


/* who is soon to be answered is told so while others are, one that was cut is
 * not: its replies count all the same */

static void
soon_cut(rf_call_t *t)
{
    rf_call_t  *other;

    for (other = rf_calls; other->number != 5; other = other->next) {
        /* void */
    }

    rf_ok(other->soon == 4, "told 4 replies before its own");
    rf_cut(other);
}

static ngx_msec_t
soon_submit(void)
{
    rf_call_t  *t;

    rf_submit_numbers(8);

    for (t = rf_calls; t->number != 1; t = t->next) {
        /* void */
    }

    t->then = soon_cut;

    return 0;
}

static ngx_msec_t
soon_check(void)
{
    rf_call_t          *t;
    static ngx_uint_t   told[] = { 0, 0, 2, 2, 42, 0, 642, 642 };

    for (t = rf_calls; t; t = t->next) {
        rf_ok(t->soon == told[t->number], "call %lu was told %lu",
              (unsigned long) t->number, (unsigned long) t->soon);
    }

    rf_ok(rf_right_numbers() == 7, "and all have their own replies");
    rf_free_calls();
    return 0;
}

static rf_step_pt  soon[] = {
    rf_step_ping, rf_step_pong, soon_submit, soon_check, NULL
};


/* binary values, large values */

void
rf_free_blob(void)
{
    free(blob);
    blob = NULL;
}


void
rf_set_blob(size_t len)
{
    size_t      i;
    rf_call_t  *t;

    free(blob);
    blob = malloc(len + 1);
    blob_len = len;

    for (i = 0; i < len; i++) {
        blob[i] = (u_char) (i * 7 + i / 251);
    }

    t = rf_prepare(&rf_a, "SET", "blob", "", NULL);
    t->argv[0][2].data = blob;
    t->argv[0][2].len = len;
    rf_add(t, "GET", "blob", NULL);
    rf_add(t, "STRLEN", "blob", NULL);
    rf_start(t);
}

static void
check_blob(void)
{
    ngx_rf_call_command_t  *c = rf_calls->commands;

    rf_ok(rf_calls->outcome == NGX_RF_CALL_DONE
          && rf_is(c[0].reply, "OK")
          && c[1].reply->str.len == blob_len
          && ngx_memcmp(c[1].reply->str.data, blob, blob_len) == 0
          && c[2].reply->type == NGX_RF_REPLY_INTEGER
          && c[2].reply->integer == (int64_t) blob_len,
          "%lu binary bytes there and back", (unsigned long) blob_len);
    rf_free_calls();
}

static ngx_msec_t values_0(void) { rf_set_blob(0); return 0; }
static ngx_msec_t values_1(void) { rf_set_blob(1000); return 0; }
static ngx_msec_t values_2(void) { rf_set_blob(1024 * 1024); return 0; }
static ngx_msec_t values_3(void) { rf_set_blob(40 * 1024 * 1024); return 0; }
static ngx_msec_t values_check(void) { check_blob(); return 0; }

static ngx_msec_t
values_many(void)
{
    ngx_uint_t  i;

    for (i = 0; i < 20; i++) {
        rf_submit(&rf_a, "GET", "blob", NULL);
    }

    return 0;
}

static ngx_msec_t
values_many_check(void)
{
    rf_call_t   *t;
    ngx_uint_t   n = 0;

    for (t = rf_calls; t; t = t->next) {
        n += (t->outcome == NGX_RF_CALL_DONE
              && t->commands[0].reply->str.len == blob_len
              && ngx_memcmp(t->commands[0].reply->str.data, blob, blob_len)
                 == 0);
    }

    rf_ok(n == 20, "20 values of 1 MB at once");
    rf_free_calls();
    return 0;
}

static ngx_msec_t
values_errors(void)
{
    rf_call_t  *t;

    t = rf_prepare(&rf_a, "LPUSH", "list", "a", NULL);
    rf_add(t, "GET", "list", NULL);
    rf_add(t, "GET", "none", NULL);
    rf_add(t, "CONFIG", "GET", "maxmemory*", NULL);
    rf_start(t);

    return 0;
}

static ngx_msec_t
values_errors_check(void)
{
    ngx_rf_call_command_t  *c = rf_calls->commands;

    rf_ok(c[0].reply->integer == 1, "an integer");
    rf_ok(c[1].reply->type == NGX_RF_REPLY_ERROR
          && ngx_strncmp(c[1].reply->str.data, "WRONGTYPE ", 10) == 0,
          "an error is a reply");
    rf_ok(c[2].reply->type == NGX_RF_REPLY_NIL, "nil");
    rf_ok(c[3].reply->type == NGX_RF_REPLY_ARRAY && c[3].reply->nelts > 1,
          "an array");
    rf_free_calls();
    rf_free_blob();
    return 0;
}

static rf_step_pt  values[] = { values_0, values_check, values_1, values_check,
                                values_3, values_check, values_2, values_check,
                                values_many, values_many_check, values_errors,
                                values_errors_check, NULL };


/* owners go away */

static ngx_msec_t
cut_submit(void)
{
    rf_call_t   *t, *next;

    rf_submit_numbers(1000);

    for (t = rf_calls; t; t = next) {
        next = t->next;

        if (t->number % 2) {
            rf_cut(t);
        }
    }

    return 0;
}

static ngx_msec_t
cut_check(void)
{
    rf_ok(rf_right_numbers() == 500, "cut at once: the others get their own");
    rf_free_calls();

    rf_set_blob(30 * 1024 * 1024);
    return 0;
}

static void
cut_the_big(rf_call_t *t)
{
    rf_call_t  *other, *next;

    /* the others' replies come right behind: they are cut before the parser
     * gets there, and between two replies */

    for (other = rf_calls; other; other = next) {
        next = other->next;

        if (other->number == 77) {
            rf_cut(other);
        }
    }
}

static ngx_msec_t
cut_middle(void)
{
    ngx_uint_t   i;
    rf_call_t   *t;

    check_blob();

    for (i = 0; i < 3; i++) {
        rf_submit(&rf_a, "GET", "blob", NULL)->number = 88;
        t = rf_submit(&rf_a, "ECHO", "behind", NULL);
    }

    t->then = cut_the_big;
    t = rf_submit(&rf_a, "GET", "blob", NULL);
    t->number = 77;
    t = rf_submit(&rf_a, "ECHO", "x", NULL);
    t->number = 77;
    rf_submit(&rf_a, "ECHO", "behind", NULL);

    /* the next steps are there in mid-reply */
    rf_go_on = 1;
    return 3;
}

static ngx_msec_t
cut_now(void)
{
    rf_call_t  *t, *next;

    for (t = rf_calls; t; t = next) {
        next = t->next;

        if (t->number == 88 && !t->fired) {
            rf_cut(t);
            break;
        }
    }

    rf_go_on = 1;
    return 4;
}

static ngx_msec_t
cut_end(void)
{
    /* waits for the rest */
    return 0;
}

static ngx_msec_t
cut_end_check(void)
{
    rf_call_t   *t;
    ngx_uint_t   n = 0;

    for (t = rf_calls; t; t = t->next) {
        n += rf_is(t->commands[0].reply, "behind");
    }

    rf_ok(n == 4, "cut in mid-reply: those behind get their own");
    rf_ok(rf_a.ups == 1 && rf_a.downs == 0, "on the same connection");
    rf_free_calls();
    rf_free_blob();
    return 0;
}

static ngx_msec_t
cut_waiting(void)
{
    rf_call_t  *t;

    ngx_rf_redis_reset(rf_a.redis);

    t = rf_submit(&rf_a, "ECHO", "never", NULL);
    rf_cut(t);
    t = rf_submit(&rf_a, "ECHO", "never", NULL);
    rf_submit(&rf_a, "ECHO", "behind", NULL);
    rf_cut(t);
    return 0;
}

static ngx_msec_t
cut_waiting_check(void)
{
    expect_done("behind", "cut while waiting");
    return 0;
}

static rf_step_pt  cut[] = {
    rf_step_ping, rf_step_pong, cut_submit, cut_check, cut_middle, cut_now,
    cut_now, cut_end, cut_end_check, rf_step_ping, rf_step_pong, cut_waiting,
    cut_waiting_check, NULL
};


/* thousands of connections */

static ngx_msec_t
many(void)
{
    rf_free_calls();

    if (number == 200) {
        rss = rf_rss();
        fds = rf_nfds();
    }

    if (number++ < (ngx_uint_t) atoi(rf_get("cycles"))) {
        ngx_rf_redis_reset(rf_a.redis);
        rf_submit_numbers(3);
    }

    return 0;
}

static ngx_msec_t
many_next(void)
{
    ngx_uint_t  failed;

    failed = rf_count(NGX_RF_CALL_UNSENT) + rf_count(NGX_RF_CALL_UNSURE);

    if (failed) {
        rf_ok(0, "cycle %d: %.*s", (int) number,
              (int) ngx_rf_redis_failure(rf_a.redis)->len,
              ngx_rf_redis_failure(rf_a.redis)->data);
        number = (ngx_uint_t) -2;
    }

    return 0;
}

static ngx_msec_t
many_check(void)
{
    if (number != (ngx_uint_t) -2) {
        rf_ok(rf_a.ups == (ngx_uint_t) atoi(rf_get("cycles")),
              "%d connections", (int) rf_a.ups);
    }

    rf_ok(rf_nfds() <= fds, "descriptors: %d, then %d", (int) fds,
          (int) rf_nfds());
    rf_ok(rf_get("sanitize") || rf_rss() <= rss + 512 * 1024,
          "memory: %d KB, then %d KB", (int) (rss / 1024),
          (int) (rf_rss() / 1024));
    return 0;
}

/* filled in below: a row of "cycles" pairs would be long */

static rf_step_pt  reconnects[10000];


static ngx_msec_t
calls_many(void)
{
    rf_free_calls();

    if (number == 10) {
        rss = rf_rss();
    }

    number++;
    rf_submit_numbers(10000);
    return 0;
}

static ngx_msec_t
calls_check(void)
{
    rf_ok(rf_right_numbers() == 10000, "the last 10000 of %d calls",
          (int) number * 10000);
    rf_free_calls();
    rf_ok(rf_get("sanitize") || rf_rss() <= rss + 1024 * 1024,
          "memory: %d KB, then %d KB", (int) (rss / 1024),
          (int) (rf_rss() / 1024));
    return 0;
}

static rf_step_pt  millions[210];


/* dead Redis again and again: nothing may be left of a try that failed */

static ngx_msec_t
fails(void)
{
    rf_free_calls();

    if (number == 50) {
        rss = rf_rss();
        fds = rf_nfds();
    }

    number++;
    rf_submit(&rf_a, "PING", NULL)->call.once = 1;
    return 0;
}

static ngx_msec_t
fails_check(void)
{
    rf_ok(rf_calls->outcome == NGX_RF_CALL_UNSENT, "%d tries fail",
          (int) number);
    rf_free_calls();
    rf_ok(rf_nfds() <= fds, "descriptors: %d, then %d", (int) fds,
          (int) rf_nfds());
    rf_ok(rf_get("sanitize") || rf_rss() <= rss + 512 * 1024,
          "memory: %d KB, then %d KB", (int) (rss / 1024),
          (int) (rf_rss() / 1024));
    return 0;
}

static rf_step_pt  failures[210];


/* destroyed at any moment, a lookup in a thread included */

static ngx_msec_t
destroy_make(void)
{
    rf_free_calls();
    rf_client_create(&rf_b);
    rf_submit(&rf_b, "PING", NULL);
    rf_submit(&rf_b, "PING", NULL);

    rf_go_on = 1;
    return number++ % 5;
}

static ngx_msec_t
destroy_now(void)
{
    rf_client_destroy(&rf_b);

    if (rf_count(NGX_RF_CALL_UNSENT) + rf_count(NGX_RF_CALL_UNSURE)
        + rf_count(NGX_RF_CALL_DONE) != 2)
    {
        rf_ok(0, "destroy answers");
    }

    return 0;
}

static ngx_msec_t
destroy_check(void)
{
    rf_free_calls();
    rf_ok(1, "destroyed %d times", (int) number);
    return 20;
}

static rf_step_pt  destroys[410];


/* exits: what is left for destroy */

static ngx_msec_t
leave_blocked(void)
{
    rf_submit_numbers(3);
    rf_submit(&rf_a, "BLPOP", "none", "0", NULL);
    rf_go_on = 1;
    return 20;
}

static rf_step_pt  leave[] = {
    rf_step_ping, rf_step_pong, leave_blocked, NULL
};

static ngx_msec_t
quit_block(void)
{
    rf_submit(&rf_a, "BLPOP", "none", "0", NULL);
    return 0;
}

static ngx_msec_t
quit_check(void)
{
    rf_ok(rf_calls->outcome == NGX_RF_CALL_UNSURE && rf_longest() > 900,
          "a graceful exit waits for calls in flight");
    return 0;
}

static rf_step_pt  quit[] = {
    rf_step_ping, rf_step_pong, quit_block, quit_check, NULL
};


rf_scenario_t  rf_scenarios[] = {
    { "hello", hello },
    { "ping", ping },
    { "database", database },
    { "noperm", noperm },
    { "turn", turn },
    { "soon", soon },
    { "hold", rf_row_hold },
    { "hold_links", rf_row_hold_links },
    { "hold_quit", rf_row_hold_quit },
    { "values", values },
    { "cut", cut },
    { "killed", rf_row_killed },
    { "stopped", rf_row_stopped },
    { "slept", rf_row_slept },
    { "refused", rf_row_refused },
    { "hole", rf_row_hole },
    { "refuse", rf_row_refuse },
    { "maxclients", rf_row_maxclients },
    { "bogus", rf_row_bogus },
    { "idle", rf_row_idle },
    { "unasked", rf_row_unasked },
    { "nest", rf_row_nest },
    { "restarted", rf_row_restarted },
    { "links", rf_row_links },
    { "reconnects", reconnects },
    { "millions", millions },
    { "failures", failures },
    { "destroys", destroys },
    { "leave", leave },
    { "quit", quit },
    { NULL, NULL }
};


static void __attribute__((constructor))
fill_rows(void)
{
    ngx_uint_t  i;

    for (i = 0; i < 9990; i += 2) {
        reconnects[i] = many;
        reconnects[i + 1] = many_next;
    }

    reconnects[i] = many_check;

    for (i = 0; i < 200; i++) {
        millions[i] = calls_many;
        failures[i] = fails;
    }

    millions[i] = calls_check;
    failures[i] = fails_check;

    for (i = 0; i < 400; i += 2) {
        destroys[i] = destroy_make;
        destroys[i + 1] = destroy_now;
    }

    destroys[i] = destroy_check;
}
