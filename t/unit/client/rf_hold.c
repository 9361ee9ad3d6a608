/*
 * While more than a few calls are in flight those of a turn wait for those of
 * the next ones, until one brings none, or there are enough.  What is seen is
 * seen at the beginning of a turn, before its writes.
 */

#include "rf_client.h"
#include "rf_scenarios.h"


#define HOLD_TRIES  5               /* of a row, where the machine is slow */


typedef struct {
    ngx_uint_t      first;          /* calls of the first turn */
    ngx_uint_t      more;           /* turns after it that bring one each */
    ngx_msec_t      slow;           /* what each of these takes */
    size_t          size;           /* of a value that is set besides */
    ngx_uint_t      get;            /* the first ask for that value */
    ngx_uint_t      turns;          /* after which all have left */
    const char     *name;
} hold_row_t;

static const hold_row_t  hold_rows[] = {
    { 8, 0, 0, 0, 0, 1, "8 calls leave at the end of their turn" },
    { 9, 0, 0, 0, 0, 2, "9 wait for the next turn, which brings none" },
    { 9, 3, 0, 0, 0, 5, "9 and 3 more, one in each turn, leave together" },
    { 28, 9, 0, 0, 0, 5, "32 wait for nobody" },
    { 40, 0, 0, 0, 0, 1, "nor do 40" },
    { 8, 0, 0, 10000, 0, 2, "9 with 10 KB wait" },
    { 8, 9, 0, 70000, 0, 1, "those with 70 KB do not" },
    { 9, 0, 0, 0, 1, 2, "9 that nobody knows to have large replies wait" },
    { 9, 0, 0, 0, 1, 1, "when it is known they do not wait" },
    { 8, 0, 0, 0, 0, 1, "8 with small ones" },
    { 9, 0, 0, 0, 0, 2, "then 9 wait again" },
    { 9, 9, 3, 0, 0, 2, "but not for more than 2 ms" },
    { 0, 0, 0, 0, 0, 0, NULL }
};

/* with 4 links, which take turns */

static const hold_row_t  hold_links_rows[] = {
    { 32, 0, 0, 0, 0, 1, "8 on each of 4 links leave" },
    { 40, 0, 0, 0, 0, 2, "10 on each wait, and go together" },
    { 33, 0, 0, 0, 0, 2, "9 on one of them wait" },
    { 0, 0, 0, 0, 0, 0, NULL }
};

static ngx_event_t        hold_event;
static const hold_row_t  *hold_row;
static ngx_uint_t         hold_turns, hold_tries;

/* in the next turns; the step is not over before the last one */

static void
hold_watch(ngx_event_handler_pt handler)
{
    hold_event.handler = handler;
    hold_event.log = rf_cycle->log;
    hold_turns = 0;
    rf_outstanding++;

    ngx_post_event(&hold_event, &ngx_posted_next_events);
}

static ngx_uint_t
hold_unsent(void)
{
    rf_call_t   *t;
    ngx_uint_t   n;

    n = 0;

    for (t = rf_calls; t; t = t->next) {
        n += !t->fired && ngx_rf_redis_unsent(t->redis, &t->call);
    }

    return n;
}

static void
hold_turn(ngx_event_t *ev)
{
    ngx_uint_t  began;

    hold_turns++;

    if (hold_unsent() == 0) {
        rf_outstanding--;
        return;
    }

    if (hold_turns <= hold_row->more) {
        rf_submit(&rf_a, "ECHO", "one more", NULL);

        began = ngx_current_msec;

        while (ngx_current_msec - began < hold_row->slow) {
            ngx_time_update();
        }
    }

    ngx_post_event(ev, &ngx_posted_next_events);
}

static ngx_uint_t
hold_done(void)
{
    ngx_uint_t  n, slow;

    /* a machine that takes 2 ms for a few turns is given another try */

    slow = hold_turns < hold_row->turns && rf_longest() >= 2;

    if (slow && ++hold_tries < HOLD_TRIES) {
        return 0;
    }

    if (slow) {
        printf("# %s: not seen in %d tries\n", hold_row->name, HOLD_TRIES);

    } else {
        rf_ok(hold_turns == hold_row->turns, "%s: after %d turns of %d",
              hold_row->name, (int) hold_turns, (int) hold_row->turns);
    }

    n = hold_row->first + (hold_row->size != 0)
        + ngx_min(hold_turns - 1, hold_row->more);
    rf_ok(rf_count(NGX_RF_CALL_DONE) == n, "%d are answered", (int) n);

    hold_tries = 0;
    return 1;
}

static ngx_msec_t
hold_next(const hold_row_t *rows)
{
    ngx_uint_t   n;
    static char  value[100000];

    if (hold_row == NULL) {
        hold_row = rows;

    } else if (hold_row->name && hold_done()) {
        hold_row++;
    }

    if (hold_row->name == NULL) {
        return 0;
    }

    rf_free_calls();

    if (hold_row->size) {
        ngx_memset(value, 'x', hold_row->size);
        value[hold_row->size] = '\0';
        rf_submit(&rf_a, "SET", "value", value, NULL);
    }

    for (n = 0; hold_row->get && n < hold_row->first; n++) {
        rf_submit(&rf_a, "GET", "value", NULL);
    }

    rf_submit_numbers(hold_row->first - n);
    hold_watch(hold_turn);

    return 0;
}


static ngx_msec_t
hold_step(void)
{
    return hold_next(hold_rows);
}

static ngx_msec_t
hold_links_step(void)
{
    return hold_next(hold_links_rows);
}

static ngx_msec_t
hold_links_make(void)
{
    rf_submit_numbers(4);
    return 0;
}


/* a reply that comes while others wait takes nothing along: epoll says with it
 * that the socket takes more */

static void
hold_reply_turn(ngx_event_t *ev)
{
    if (hold_turns++) {
        rf_ok(hold_unsent() == 9, "a reply comes, and 9 wait on");
        rf_outstanding--;
        return;
    }

    rf_submit_numbers(9);
    usleep(1000);

    ngx_post_event(ev, &ngx_posted_next_events);
}

static ngx_msec_t
hold_reply(void)
{
    rf_free_calls();

    rf_submit(&rf_a, "PING", NULL);
    hold_watch(hold_reply_turn);

    return 0;
}


/* those who wait go away, and the client, too */

static void
hold_cut_turn(ngx_event_t *ev)
{
    rf_call_t   *t, *next;
    ngx_uint_t   n;

    n = 0;

    for (t = rf_calls; t; t = next) {
        next = t->next;

        if (n++ % 2) {
            rf_cut(t);
        }
    }

    rf_outstanding--;
}

static ngx_msec_t
hold_cut(void)
{
    rf_ok(rf_count(NGX_RF_CALL_DONE) == 10, "10 are answered");
    rf_free_calls();

    rf_submit_numbers(9);
    hold_watch(hold_cut_turn);

    return 0;
}

static void
hold_destroy_turn(ngx_event_t *ev)
{
    rf_client_destroy(&rf_b);
    rf_outstanding--;
}

static ngx_msec_t
hold_destroy_make(void)
{
    rf_ok(rf_right_numbers() == 5, "5 of 9 are left, with their own replies");
    rf_free_calls();

    rf_client_create(&rf_b);
    rf_submit(&rf_b, "PING", NULL);

    return 0;
}

static ngx_msec_t
hold_destroy(void)
{
    ngx_uint_t  i;

    rf_free_calls();

    for (i = 0; i < 9; i++) {
        rf_submit(&rf_b, "PING", NULL);
    }

    hold_watch(hold_destroy_turn);

    return 0;
}

static ngx_msec_t
hold_destroyed(void)
{
    rf_ok(rf_count(NGX_RF_CALL_UNSENT) == 9, "of a client that ends none is "
          "in doubt");
    rf_free_calls();
    return 0;
}


/* more than the socket takes: the rest follows.  Redis is gone: those that wait
 * are tried anew, and those whose write fails are told */

static ngx_msec_t
hold_large(void)
{
    static char  large[8 * 1024 * 1024];

    ngx_memset(large, 'x', sizeof(large) - 1);
    rf_submit_numbers(9);
    rf_submit(&rf_a, "SET", "large", large, NULL);
    rf_submit(&rf_a, "STRLEN", "large", NULL);
    return 0;
}

static ngx_msec_t
hold_gone(void)
{
    rf_ok(rf_calls->outcome == NGX_RF_CALL_DONE
          && rf_calls->commands[0].reply->integer == 8 * 1024 * 1024 - 1,
          "a large one arrives as a whole");
    rf_free_calls();

    rf_hook("kill");
    rf_hook("start");

    rf_submit_numbers(9);
    return 0;
}

static ngx_msec_t
hold_gone_few(void)
{
    rf_ok(rf_right_numbers() == 9, "Redis was gone: those that wait are tried "
          "anew");
    rf_ok(rf_a.downs == 1, "and who was told that it was up is told of it");
    rf_free_calls();

    rf_hook("kill");
    rf_hook("start");

    rf_submit_numbers(2);
    return 0;
}

static ngx_msec_t
hold_gone_check(void)
{
    rf_ok(rf_count(NGX_RF_CALL_DONE) + rf_count(NGX_RF_CALL_UNSURE) == 2,
          "those of a write that fails are told, once");
    rf_free_calls();
    return 0;
}

/* a step for each row, one more, and the tries of one */

rf_step_pt  rf_row_hold[] = {
    rf_step_ping, rf_step_pong,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_step, hold_step, hold_step, hold_step, hold_step, hold_step,
    hold_reply, hold_cut, hold_destroy_make, hold_destroy, hold_destroyed,
    hold_large, hold_gone, hold_gone_few, hold_gone_check,
    rf_step_ping, rf_step_pong, NULL
};

rf_step_pt  rf_row_hold_links[] = {
    hold_links_make,
    hold_links_step, hold_links_step, hold_links_step, hold_links_step,
    hold_links_step, hold_links_step, hold_links_step, hold_links_step,
    hold_links_step, hold_links_step, hold_links_step, hold_links_step,
    hold_links_step, hold_links_step, hold_links_step, hold_links_step,
    NULL
};


/* a worker that is told to go while some wait: they leave, and it waits for
 * their replies */

static void
hold_quit_done(rf_call_t *t)
{
    if (rf_outstanding == 0) {
        rf_ok(ngx_exiting && rf_right_numbers() == 9,
              "a worker that goes sends what waits, and stays for the replies");
    }
}

static void
hold_quit_turn(ngx_event_t *ev)
{
    rf_call_t  *t;

    for (t = rf_calls; t; t = t->next) {
        t->then = hold_quit_done;
    }

    rf_ok(hold_unsent() == 9, "9 wait");
    rf_outstanding--;

    /* the master first, or it would make another worker */

    if (kill(getppid(), SIGQUIT) != 0) {
        rf_ok(0, "the master is told");
        return;
    }

    (void) raise(SIGQUIT);
}

static ngx_msec_t
hold_quit(void)
{
    rf_submit_numbers(9);
    hold_watch(hold_quit_turn);

    return 0;
}

rf_step_pt  rf_row_hold_quit[] = {
    rf_step_ping, rf_step_pong, hold_quit, NULL
};
