/*
 * Which connections workers have, and what of that those who come later learn.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_relay.h"
#include "rf_unit.h"


#define RELAY_MANY  (NGX_RF_RELAY_SLOTS + 10)


typedef struct {
    ngx_uint_t  n;
    uint64_t    ids[RELAY_MANY];
    ngx_uint_t  strange;        /* with another run_id */
    ngx_uint_t  refuses;
} relay_seen_t;


static ngx_str_t  relay_run_id =
    ngx_string("1111111111111111111111111111111111111111");
static ngx_str_t  relay_other =
    ngx_string("2222222222222222222222222222222222222222");


static ngx_int_t
relay_see(void *data, ngx_str_t *run_id, uint64_t id)
{
    relay_seen_t  *seen = data;

    seen->ids[seen->n++] = id;
    seen->strange += (run_id->len != relay_run_id.len
                      || ngx_memcmp(run_id->data, relay_run_id.data,
                                    run_id->len) != 0);

    return seen->refuses ? NGX_DECLINED : NGX_OK;
}


/* a process that has ended, and was waited for */

static ngx_pid_t
relay_dead(void)
{
    ngx_pid_t  pid;

    pid = fork();

    if (pid == 0) {
        _exit(0);
    }

    (void) waitpid(pid, NULL, 0);

    return pid;
}


RF_UNIT(relay_tells_once)
{
    relay_seen_t    seen;
    ngx_rf_relay_t  relay;

    relay.sh = ngx_pcalloc(pool, sizeof(ngx_rf_relay_sh_t));
    ngx_memzero(&seen, sizeof(relay_seen_t));

    is_int(ngx_rf_relay_told(&relay), 0, "nothing yet");
    ngx_rf_relay_take(&relay, relay_see, &seen);
    is_int(seen.n, 0, "nothing to take");

    ngx_rf_relay_tell(&relay, &relay_run_id, 7);
    ngx_rf_relay_tell(&relay, &relay_run_id, 8);
    is_int(ngx_rf_relay_told(&relay), 2, "told");

    ok(ngx_rf_relay_late(&relay), "they are late");

    seen.refuses = 1;
    ngx_rf_relay_take(&relay, relay_see, &seen);
    is_int(seen.n, 2, "who takes them may leave them");

    ngx_memzero(&seen, sizeof(relay_seen_t));
    ngx_rf_relay_take(&relay, relay_see, &seen);
    ok(seen.n == 2 && seen.ids[0] == 7 && seen.ids[1] == 8
       && seen.strange == 0, "both, whole");
    ngx_rf_relay_done(&relay, 2);
    ok(!ngx_rf_relay_late(&relay), "dealt with");

    ngx_rf_relay_take(&relay, relay_see, &seen);
    is_int(seen.n, 2, "once");
    is_int(ngx_rf_relay_told(&relay), 2, "that is no news");
}


RF_UNIT(relay_has_an_end)
{
    ngx_uint_t      i;
    relay_seen_t    seen;
    ngx_rf_relay_t  relay;

    relay.sh = ngx_pcalloc(pool, sizeof(ngx_rf_relay_sh_t));
    ngx_memzero(&seen, sizeof(relay_seen_t));

    for (i = 1; i <= RELAY_MANY; i++) {
        ngx_rf_relay_tell(&relay, &relay_run_id, i);
    }

    is_int(ngx_rf_relay_told(&relay), RELAY_MANY, "all count");

    ngx_rf_relay_take(&relay, relay_see, &seen);
    is_int(seen.n, NGX_RF_RELAY_SLOTS, "as many as there is room for");

    ngx_rf_relay_tell(&relay, &relay_run_id, 999);
    ngx_rf_relay_take(&relay, relay_see, &seen);
    ok(seen.n == NGX_RF_RELAY_SLOTS + 1 && seen.ids[seen.n - 1] == 999,
       "there is room again");
}


RF_UNIT(relay_outlives_tellers)
{
    relay_seen_t          seen;
    ngx_rf_relay_t        relay;
    ngx_rf_relay_slot_t  *slots;

    relay.sh = ngx_pcalloc(pool, sizeof(ngx_rf_relay_sh_t));
    slots = relay.sh->slots;
    ngx_memzero(&seen, sizeof(relay_seen_t));

    /* killed before it had told; still about to; told, and killed then; killed
     * with a connection; and one that lives on with its own */

    slots[0].owner = relay_dead();
    slots[1].owner = ngx_pid;

    ngx_rf_relay_tell(&relay, &relay_run_id, 7);
    slots[2].owner = relay_dead();
    ngx_rf_relay_hold(&relay, &relay_run_id, 8);
    slots[3].owner = relay_dead();
    ngx_rf_relay_hold(&relay, &relay_run_id, 9);

    ngx_rf_relay_take(&relay, relay_see, &seen);
    ok(seen.n == 2 && seen.ids[0] == 7 && seen.ids[1] == 8,
       "what was told, or held");
    ok(slots[0].owner == 0 && slots[2].owner == 0 && slots[3].owner == 0,
       "the dead own nothing");
    ok(slots[1].owner == (ngx_atomic_uint_t) ngx_pid
       && slots[4].owner == (ngx_atomic_uint_t) ngx_pid, "the living do");
    is_int(ngx_rf_relay_told(&relay), 1, "told once");
}


RF_UNIT(relay_knows_who_has_what)
{
    relay_seen_t    seen;
    ngx_rf_relay_t  relay;

    relay.sh = ngx_pcalloc(pool, sizeof(ngx_rf_relay_sh_t));
    ngx_memzero(&seen, sizeof(relay_seen_t));

    ngx_rf_relay_hold(&relay, &relay_run_id, 7);
    ngx_rf_relay_hold(&relay, &relay_run_id, 8);
    ngx_rf_relay_hold(&relay, &relay_run_id, 9);
    is_int(ngx_rf_relay_told(&relay), 0, "nothing was told");

    /* its end, in peace and not */

    ngx_rf_relay_drop(&relay, &relay_run_id, 7);
    ngx_rf_relay_tell(&relay, &relay_run_id, 8);
    ngx_rf_relay_drop(&relay, &relay_run_id, 10);
    ngx_rf_relay_drop(&relay, &relay_other, 9);

    relay.sh->slots[1].owner = relay_dead();
    relay.sh->slots[2].owner = relay_dead();
    ngx_rf_relay_take(&relay, relay_see, &seen);
    ok(seen.n == 2 && seen.ids[0] == 8 && seen.ids[1] == 9,
       "one slot each, and none of what ended well");

    ngx_rf_relay_hold(&relay, &relay_run_id, 11);
    ngx_rf_relay_tell(&relay, &relay_run_id, 12);
    ngx_rf_relay_leave(&relay);
    is_int(relay.sh->slots[0].owner, 0, "nothing is held any more");
    is_int(relay.sh->slots[1].state, NGX_RF_RELAY_TOLD, "what was told stays");
}
