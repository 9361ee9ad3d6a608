/*
 * The client's outages: servers that die, hang, refuse or are none, and
 * handlers that do everything meanwhile.
 */

#include "rf_client.h"
#include "rf_scenarios.h"


static ngx_uint_t  number;


/* Redis dies with calls in flight */

static ngx_msec_t
kill_submit(void)
{
    rf_call_t  *t;

    rf_hook("stop");

    rf_submit(&rf_a, "INCR", "n", NULL);

    t = rf_prepare(&rf_a, "GET", "n", NULL);
    t->call.repeat = 1;
    rf_start(t);

    t = rf_prepare(&rf_a, "ECHO", "once", NULL);
    t->call.repeat = 1;
    t->call.once = 1;
    rf_start(t);

    rf_go_on = 1;
    return 50;
}

static ngx_msec_t
kill_now(void)
{
    rf_hook("kill");
    rf_hook("start");
    return 0;
}

static ngx_msec_t
kill_check(void)
{
    rf_call_t  *once = rf_calls, *get = once->next, *incr = get->next;

    rf_ok(incr->outcome == NGX_RF_CALL_UNSURE, "INCR that was sent: unsure");
    rf_ok(incr->call.tries == 1, "and not repeated");
    rf_ok(get->outcome == NGX_RF_CALL_DONE && get->call.tries >= 1,
          "GET that was sent: repeated");
    rf_ok(once->outcome == NGX_RF_CALL_UNSURE, "once is once");
    rf_ok(rf_a.ups == 2 && rf_a.downs == 1, "down and up again");
    rf_ok(rf_longest() <= 1600, "within the budget");
    rf_free_calls();
    return 0;
}

rf_step_pt  rf_row_killed[] = {
    rf_step_ping, rf_step_pong, kill_submit, kill_now, kill_check,
    rf_step_ping, rf_step_pong, NULL
};


/* Redis hangs */

static ngx_msec_t
stop_submit(void)
{
    ngx_uint_t  i;
    rf_call_t  *t;

    rf_hook("stop");

    for (i = 0; i < 100; i++) {
        t = rf_prepare(&rf_a, "GET", "n", NULL);
        t->call.repeat = i % 2;
        rf_start(t);
    }

    return 0;
}

static ngx_msec_t
stop_check(void)
{
    rf_ok(rf_count(NGX_RF_CALL_UNSURE) == 100, "all fail, %d",
          (int) rf_count(NGX_RF_CALL_UNSURE));
    rf_ok(rf_longest() >= 990 && rf_longest() < 1200, "after the timeout, %d",
          (int) rf_longest());
    rf_ok(rf_a.downs == 1 && !ngx_rf_redis_connected(rf_a.redis),
          "the connection is gone");
    rf_free_calls();

    rf_submit_numbers(100);
    return 0;
}

static ngx_msec_t
stop_check_again(void)
{
    rf_ok(rf_count(NGX_RF_CALL_UNSENT) == 100, "new calls are unsent");
    rf_ok(rf_longest() >= 990 && rf_longest() < 1600, "in the budget, %d",
          (int) rf_longest());
    rf_free_calls();

    rf_hook("cont");
    return 0;
}

static ngx_msec_t
stop_big(void)
{
    rf_call_t   *t;
    ngx_uint_t   i;

    rf_hook("stop");
    rf_set_blob(16 * 1024 * 1024);

    for (i = 0; i < 3; i++) {
        t = rf_prepare(&rf_a, "ECHO", "unsent", NULL);
        t->call.once = 1;
        rf_start(t);
    }

    return 0;
}

static ngx_msec_t
stop_big_check(void)
{
    rf_ok(rf_count(NGX_RF_CALL_UNSENT) == 3
          && rf_count(NGX_RF_CALL_UNSURE) == 1,
          "behind what did not fit: unsent");
    rf_free_calls();
    rf_free_blob();
    rf_hook("cont");
    return 0;
}

rf_step_pt  rf_row_stopped[] = {
    rf_step_ping, rf_step_pong, stop_submit, stop_check, stop_check_again,
    rf_step_ping, rf_step_pong, stop_big, stop_big_check, rf_step_ping,
    rf_step_pong, NULL
};


/* A process that slept itself finds the replies there; and who gets what was
 * sent when it woke up may take a moment to answer. */

static ngx_msec_t
sleep_submit(void)
{
    rf_submit_numbers(10);
    rf_go_on = 1;
    return 0;
}

static ngx_msec_t
sleep_now(void)
{
    rf_submit_numbers(10);
    ngx_msleep(1500);
    rf_hook("stop");
    rf_go_on = 1;
    return 50;
}

static ngx_msec_t
sleep_more(void)
{
    rf_submit_numbers(10);
    rf_go_on = 1;
    return 50;
}

static ngx_msec_t
sleep_cont(void)
{
    rf_hook("cont");
    return 0;
}

static ngx_msec_t
sleep_check(void)
{
    rf_ok(rf_right_numbers() == 30, "a worker that slept kills nothing");
    rf_free_calls();
    return 0;
}

static ngx_msec_t
sleep_stopped(void)
{
    rf_submit_numbers(10);
    ngx_msleep(1500);
    rf_hook("stop");
    return 0;
}

static ngx_msec_t
sleep_stopped_check(void)
{
    /* submitted, 1500 asleep, and the 500 that were too much once more */

    rf_ok(rf_count(NGX_RF_CALL_UNSURE) + rf_count(NGX_RF_CALL_UNSENT) == 10,
          "nor does it wait for ever");
    rf_ok(rf_longest() >= 1900 && rf_longest() < 2400,
          "as long as it overslept, %d", (int) rf_longest());
    rf_free_calls();
    rf_hook("cont");
    return 0;
}

rf_step_pt  rf_row_slept[] = {
    rf_step_ping, rf_step_pong, sleep_submit, sleep_now, sleep_more,
    sleep_cont, sleep_check, rf_step_ping, rf_step_pong, sleep_stopped,
    sleep_stopped_check, NULL
};


/* nobody there */

static ngx_msec_t
dead_submit(void)
{
    rf_submit_numbers(50);
    return 0;
}

static ngx_msec_t
refused_check(void)
{
    ngx_str_t  *failure = ngx_rf_redis_failure(rf_a.redis);

    rf_ok(rf_count(NGX_RF_CALL_UNSENT) == 50, "all unsent");
    rf_ok(rf_calls->call.tries == 3, "3 tries");
    rf_ok(rf_longest() < 700, "soon, %d", (int) rf_longest());
    rf_ok(ngx_strncmp(failure->data, "connect() failed (", 18) == 0,
          "\"%.*s\"", (int) failure->len, failure->data);
    rf_ok(rf_a.ups == 0 && rf_a.downs == 0, "neither up nor down");
    rf_free_calls();
    return 0;
}

rf_step_pt  rf_row_refused[] = { dead_submit, refused_check, dead_submit,
                                 refused_check, NULL };

static ngx_msec_t
hole_check(void)
{
    ngx_str_t  *failure = ngx_rf_redis_failure(rf_a.redis);

    rf_ok(rf_count(NGX_RF_CALL_UNSENT) == 50, "all unsent");
    rf_ok(rf_longest() >= 450 && rf_longest() < 1560, "in the budget, %d",
          (int) rf_longest());
    rf_ok(ngx_strnstr(failure->data, "timed out", failure->len) != NULL,
          "\"%.*s\"", (int) failure->len, failure->data);
    rf_free_calls();
    return 0;
}

rf_step_pt  rf_row_hole[] = { dead_submit, hole_check, NULL };


/* Redis refuses */

static ngx_msec_t
refuse_submit(void)
{
    rf_submit(&rf_a, "PING", NULL)->call.once = 1;
    return 0;
}

static ngx_msec_t
refuse_check(void)
{
    const char  *text = rf_get("expect");
    ngx_str_t   *failure = ngx_rf_redis_failure(rf_a.redis);

    rf_ok(rf_calls->outcome == NGX_RF_CALL_UNSENT && rf_a.ups == 0,
          "no call is sent");
    rf_ok(ngx_strnstr(failure->data, (char *) text, failure->len) != NULL,
          "\"%.*s\"", (int) failure->len, failure->data);
    rf_free_calls();
    return 0;
}

rf_step_pt  rf_row_refuse[] = { refuse_submit, refuse_check, NULL };

static ngx_msec_t
maxclients_b(void)
{
    rf_client_create(&rf_b);
    rf_submit(&rf_b, "PING", NULL);
    return 0;
}

static ngx_msec_t
maxclients_b_check(void)
{
    rf_ok(rf_calls->outcome == NGX_RF_CALL_DONE, "the first is served");
    rf_free_calls();
    return 0;
}

rf_step_pt  rf_row_maxclients[] = { maxclients_b, maxclients_b_check,
                                    refuse_submit, refuse_check, refuse_submit,
                                    refuse_check, NULL };


/* servers that are none: see bogus.py */

static ngx_msec_t
bogus_submit(void)
{
    ngx_uint_t  i;

    for (i = 0; i < 3; i++) {
        rf_submit(&rf_a, "ECHO", "x", NULL);
    }

    return 0;
}

static ngx_msec_t
bogus_check(void)
{
    const char  *text = rf_get("expect");
    ngx_str_t   *failure = ngx_rf_redis_failure(rf_a.redis);

    rf_ok(rf_count(NGX_RF_CALL_DONE) <= 1 && rf_longest() < 1510,
          "nobody gets a false reply, %d", (int) rf_longest());
    rf_ok(ngx_strnstr(failure->data, (char *) text, failure->len) != NULL,
          "\"%.*s\"", (int) failure->len, failure->data);
    rf_ok(rf_a.ups == rf_a.downs, "and the connection is closed");
    rf_free_calls();
    return 0;
}

rf_step_pt  rf_row_bogus[] = { bogus_submit, bogus_check, bogus_submit,
                               bogus_check, NULL };


/* a link that was idle */

static ngx_msec_t
idle_kill(void)
{
    rf_client_create(&rf_b);
    rf_submit(&rf_b, "CLIENT", "KILL", "TYPE", "normal", NULL);
    return 100;
}

static ngx_msec_t
idle_check(void)
{
    rf_ok(rf_calls->commands[0].reply->integer == 1, "the other was closed");
    rf_free_calls();

    rf_ok(rf_a.downs == 1 && !ngx_rf_redis_connected(rf_a.redis),
          "an idle connection that Redis closes is closed");
    return 0;
}

static ngx_msec_t
idle_up(void)
{
    rf_ok(rf_a.ups == 2, "the next call makes another");
    return 0;
}

rf_step_pt  rf_row_idle[] = {
    rf_step_ping, rf_step_pong, idle_kill, idle_check, rf_step_ping,
    rf_step_pong, idle_up, NULL
};


/* more replies than commands */

static ngx_msec_t
monitor(void)
{
    rf_submit(&rf_a, "MONITOR", NULL);
    return 0;
}

static ngx_msec_t
monitor_b(void)
{
    rf_free_calls();
    rf_client_create(&rf_b);
    rf_submit(&rf_b, "PING", NULL);
    return 50;
}

static ngx_msec_t
monitor_check(void)
{
    rf_free_calls();
    rf_ok(rf_a.downs == 1, "what nobody asked for ends the connection");
    return 0;
}

rf_step_pt  rf_row_unasked[] = {
    monitor, monitor_b, monitor_check, rf_step_ping, rf_step_pong, NULL
};


/* handlers that do everything */

static void
nest_again(rf_call_t *t)
{
    rf_call_t  *other;

    if (number++ < 2000) {
        other = rf_submit(&rf_a, "ECHO", "nested", NULL);
        other->then = nest_again;

        if (number % 3 == 0) {
            rf_cut(rf_submit(&rf_a, "ECHO", "cut", NULL));
        }
    }

    ngx_rf_redis_reset(rf_a.redis);
}

static void
nest_up(void)
{
    if (rf_a.ups < 20) {
        rf_submit(&rf_a, "ECHO", "from up", NULL);
    }
}

static ngx_msec_t
nest_submit(void)
{
    ngx_uint_t  i;

    rf_a.up = nest_up;

    for (i = 0; i < 20; i++) {
        rf_submit(&rf_a, "ECHO", "first", NULL)->then = nest_again;
    }

    return 0;
}

static ngx_msec_t
nest_check(void)
{
    rf_call_t   *t;
    ngx_uint_t   n = 0, bad = 0;

    for (t = rf_calls; t; t = t->next) {
        n++;
        bad += (t->outcome != NGX_RF_CALL_DONE);
    }

    rf_ok(n > 2000 && bad == 0, "%d calls from handlers, %d failed", (int) n,
          (int) bad);
    rf_free_calls();
    rf_a.up = NULL;
    number = 0;
    return 0;
}

static void
nest_fail(rf_call_t *t)
{
    rf_call_t  *other, *next;

    /* one of those that are about to fail too goes away meanwhile */

    for (other = rf_calls; other; other = next) {
        next = other->next;

        if (!other->fired) {
            rf_cut(other);
            number++;
            break;
        }
    }

    if (number < 30) {
        rf_submit(&rf_a, "ECHO", "again", NULL)->call.once = 1;
    }

    ngx_rf_redis_reset(rf_a.redis);
}

static ngx_msec_t
nest_kill(void)
{
    ngx_uint_t  i;

    rf_hook("stop");
    number = 0;

    for (i = 0; i < 100; i++) {
        rf_submit(&rf_a, "ECHO", "first", NULL)->then = nest_fail;
    }

    rf_go_on = 1;
    return 20;
}

static ngx_msec_t
nest_kill_now(void)
{
    rf_hook("kill");
    return 0;
}

static ngx_msec_t
nest_kill_check(void)
{
    /* of several links one is there, the others were to be made */

    rf_ok(number >= 40 && rf_count(NGX_RF_CALL_DONE) == 0
          && rf_count(NGX_RF_CALL_UNSURE) > 30 / rf_a.conf.connections,
          "handlers of a failure cut, submit and reset, %d unsure",
          (int) rf_count(NGX_RF_CALL_UNSURE));
    rf_free_calls();
    rf_hook("start");
    return 300;
}

rf_step_pt  rf_row_nest[] = {
    rf_step_ping, rf_step_pong, nest_submit, nest_check, rf_step_ping,
    rf_step_pong, nest_kill, nest_kill_now, nest_kill_check, rf_step_ping,
    rf_step_pong, NULL
};


/* restarted, and empty */

static u_char  first_id[40];

static ngx_msec_t
restart(void)
{
    ngx_memcpy(first_id, rf_a.run_id, 40);
    rf_hook("kill");
    rf_hook("start");
    return 300;
}

static ngx_msec_t
restart_check(void)
{
    rf_ok(rf_a.ups == 2 && rf_a.downs == 1, "down and up");
    rf_ok(ngx_memcmp(first_id, rf_a.run_id, 40) != 0, "another run id");
    return 0;
}

rf_step_pt  rf_row_restarted[] = {
    rf_step_ping, rf_step_pong, restart, rf_step_ping, rf_step_pong,
    restart_check, NULL
};
