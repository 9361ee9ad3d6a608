/*
 * A client with 4 links: each is a connection that is made when somebody needs
 * it, and what breaks or stalls one does not touch the others.
 */

#include "rf_client.h"
#include "rf_scenarios.h"


static rf_call_t  *lost;
static rf_call_t  *repeated;


static rf_call_t *
on_link(ngx_uint_t link, rf_call_t *t)
{
    t->call.order = (uint32_t) link;

    if (rf_start(t) != NGX_OK) {
        rf_ok(0, "link %d takes it", (int) link);
    }

    return t;
}


/* one is made for one call */

static ngx_msec_t
one(void)
{
    on_link(6, rf_prepare(&rf_a, "PING", NULL));
    return 0;
}

static ngx_msec_t
one_check(void)
{
    rf_ok(rf_calls->outcome == NGX_RF_CALL_DONE, "a call of order 6");
    rf_ok(rf_a.links == 1 << 2 && rf_a.ups == 1
          && !ngx_rf_redis_connected(rf_a.redis)
          && ngx_rf_redis_nconnected(rf_a.redis) == 1,
          "makes the third link, and no other");
    rf_free_calls();
    return 0;
}


/* what up() submits for its own link goes first */

static char *
seq(ngx_uint_t link)
{
    static char  name[8];

    snprintf(name, sizeof(name), "seq%d", (int) link);

    return name;
}

static void
from_up(void)
{
    ngx_uint_t  link;

    link = ngx_rf_redis_link(rf_a.redis);
    on_link(link, rf_prepare(&rf_a, "RPUSH", seq(link), "up", NULL));
}

static ngx_msec_t
others(void)
{
    ngx_uint_t  i;

    rf_a.up = from_up;

    for (i = 0; i < 4; i++) {
        on_link(i, rf_prepare(&rf_a, "RPUSH", seq(i), "call", NULL))->number
            = i + 1;
    }

    return 0;
}

static ngx_msec_t
others_check(void)
{
    rf_call_t   *t;
    ngx_uint_t   n;

    rf_a.up = NULL;
    n = 0;

    for (t = rf_calls; t; t = t->next) {
        n += (t->number && t->outcome == NGX_RF_CALL_DONE
              && t->commands[0].reply->integer == (t->number == 3 ? 1 : 2));
    }

    rf_ok(n == 4, "what up() submits goes before what waits, on its link");
    rf_ok(rf_a.links == 0xf && rf_a.ups == 4
          && ngx_rf_redis_nconnected(rf_a.redis) == 4, "all links are up");
    rf_free_calls();
    return 0;
}

static ngx_msec_t
numbers(void)
{
    rf_submit_numbers(1001);
    return 0;
}

static ngx_msec_t
numbers_check(void)
{
    rf_ok(rf_right_numbers() == 1001, "each reply finds its call");
    rf_free_calls();
    return 0;
}


/* idle ones are closed by Redis */

static ngx_msec_t
kill_idle(void)
{
    on_link(0, rf_prepare(&rf_a, "CLIENT", "KILL", "TYPE", "normal", NULL));
    return 100;
}

static ngx_msec_t
kill_idle_check(void)
{
    rf_ok(rf_calls->commands[0].reply->integer == 3, "3 links are killed");
    rf_ok(rf_a.links == 1 && rf_a.downs == 3
          && ngx_rf_redis_connected(rf_a.redis)
          && ngx_rf_redis_nconnected(rf_a.redis) == 1,
          "down() was told of each, and the first is still up");
    rf_ok(rf_a.abandoned == 0, "nothing was in flight");
    rf_free_calls();
    return 0;
}

static ngx_msec_t
up_again(void)
{
    rf_ok(rf_a.links == 0xf && rf_a.ups == 7, "they are made again");
    return 0;
}


/* two are killed with a call in flight each */

static ngx_msec_t
block(void)
{
    lost = on_link(1, rf_prepare(&rf_a, "BLPOP", "none", "0", NULL));

    repeated = rf_prepare(&rf_a, "BLPOP", "some", "0", NULL);
    repeated->call.repeat = 1;
    on_link(2, repeated);

    rf_go_on = 1;
    return 100;
}

static ngx_msec_t
kill_busy(void)
{
    rf_ok(!lost->fired && !repeated->fired, "two links are blocked");
    on_link(0, rf_prepare(&rf_a, "CLIENT", "KILL", "TYPE", "normal", NULL));
    rf_go_on = 1;
    return 100;
}

static ngx_msec_t
release(void)
{
    rf_ok(lost->outcome == NGX_RF_CALL_UNSURE && lost->call.tries == 1,
          "what must not be repeated is lost");
    rf_ok(!repeated->fired && repeated->call.tries == 1,
          "the other is repeated");
    rf_ok(rf_a.downs == 6 && rf_a.abandoned == 2,
          "down() was told of two that were given up");
    on_link(0, rf_prepare(&rf_a, "RPUSH", "some", "x", NULL));
    return 0;
}

static ngx_msec_t
release_check(void)
{
    rf_ok(repeated->outcome == NGX_RF_CALL_DONE, "on the same link");
    rf_ok(rf_a.links == 5 && rf_a.ups == 8, "which was made again");
    rf_free_calls();
    return 0;
}


/* one stalls until it is given up */

static ngx_msec_t
stall(void)
{
    ngx_uint_t  i;

    lost = on_link(1, rf_prepare(&rf_a, "BLPOP", "none", "0", NULL));

    for (i = 0; i < 400; i++) {
        on_link(i - i % 4 + (i % 4 == 1 ? 2 : i % 4),
                rf_prepare(&rf_a, "PING", NULL));
    }

    rf_go_on = 1;
    return 300;
}

static ngx_msec_t
stall_check(void)
{
    rf_ok(!lost->fired && rf_count(NGX_RF_CALL_DONE) == 400,
          "a link stalls, the others do not: %d",
          (int) rf_count(NGX_RF_CALL_DONE));
    return 0;
}

static ngx_msec_t
stall_end(void)
{
    rf_ok(lost->outcome == NGX_RF_CALL_UNSURE && lost->took >= 990,
          "it is given up after the timeout");
    rf_ok(rf_a.links == 0xd && rf_a.downs == 7 && rf_a.abandoned == 3,
          "and only it");
    rf_free_calls();
    return 0;
}


/* reset() is for all that are idle */

static ngx_msec_t
reset(void)
{
    repeated = on_link(3, rf_prepare(&rf_a, "BLPOP", "some", "0", NULL));
    ngx_rf_redis_reset(rf_a.redis);

    rf_ok(rf_a.links == 8 && rf_a.abandoned == 3, "reset spares who is busy");

    on_link(0, rf_prepare(&rf_a, "RPUSH", "some", "x", NULL));
    return 0;
}

static ngx_msec_t
reset_check(void)
{
    rf_ok(rf_count(NGX_RF_CALL_DONE) == 2, "and the rest is made again");
    rf_free_calls();

    on_link(0, rf_prepare(&rf_a, "FLUSHALL", NULL));
    return 0;
}

static ngx_msec_t
reset_end(void)
{
    rf_free_calls();
    return 0;
}


rf_step_pt  rf_row_links[] = {
    one, one_check, others, others_check, numbers, numbers_check, kill_idle,
    kill_idle_check, numbers, numbers_check, up_again, block, kill_busy,
    release, release_check, stall, stall_check, stall_end, reset, reset_check,
    reset_end, NULL
};
