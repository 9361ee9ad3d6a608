/*
 * Shared memory that outlives a store's zone, see ngx_rf_relay.h.
 *
 * A slot belongs to whoever changed its owner from 0; what is in it counts when
 * the state says so, and it is free again when the owner is 0.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_relay.h"


/* of what is in shared memory; another one gets other pages */
#define NGX_RF_RELAY_LAYOUT     2


static ngx_int_t ngx_rf_relay_init(ngx_shm_zone_t *shm_zone, void *data);
static void ngx_rf_relay_fill(ngx_rf_relay_t *relay, ngx_str_t *run_id,
    uint64_t id, ngx_uint_t state);
static ngx_rf_relay_slot_t *ngx_rf_relay_own(ngx_rf_relay_t *relay,
    ngx_str_t *run_id, uint64_t id);
static void ngx_rf_relay_free(ngx_rf_relay_slot_t *slot);


ngx_int_t
ngx_rf_relay_add(ngx_conf_t *cf, ngx_rf_relay_t *relay, ngx_str_t *store,
    void *tag)
{
    size_t           size;
    ngx_str_t        name;
    ngx_shm_zone_t  *shm_zone;

    name.len = sizeof("redis_fallback_relay__") - 1 + store->len
               + NGX_INT_T_LEN;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NGX_ERROR;
    }

    name.len = ngx_sprintf(name.data, "redis_fallback_relay_%V_%d", store,
                           NGX_RF_RELAY_LAYOUT)
               - name.data;

    /* what the slots need, and as much again for the slab pool around them */

    size = 2 * NGX_RF_RELAY_SLOTS * sizeof(ngx_rf_relay_slot_t);
    size = ngx_max(size, 8 * ngx_pagesize);

    shm_zone = ngx_shared_memory_add(cf, &name, size, tag);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    relay->sh = NULL;
    relay->store = *store;

    shm_zone->init = ngx_rf_relay_init;
    shm_zone->data = relay;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_relay_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_rf_relay_t   *relay;
    ngx_slab_pool_t  *shpool;

    relay = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data != NULL || shm_zone->shm.exists) {
        relay->sh = shpool->data;
        return NGX_OK;
    }

    relay->sh = ngx_slab_calloc(shpool, sizeof(ngx_rf_relay_sh_t));
    if (relay->sh == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "redis_fallback store \"%V\": no shared memory for what "
                      "workers tell each other", &relay->store);
        return NGX_ERROR;
    }

    shpool->data = relay->sh;

    return NGX_OK;
}


void
ngx_rf_relay_hold(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id)
{
    ngx_rf_relay_fill(relay, run_id, id, NGX_RF_RELAY_HELD);
}


static void
ngx_rf_relay_fill(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id,
    ngx_uint_t state)
{
    ngx_uint_t            i;
    ngx_rf_relay_slot_t  *slot;

    for (i = 0; i < NGX_RF_RELAY_SLOTS; i++) {
        slot = &relay->sh->slots[i];

        if (slot->owner == 0
            && ngx_atomic_cmp_set(&slot->owner, 0, (ngx_atomic_uint_t) ngx_pid))
        {
            slot->id = id;
            ngx_memcpy(slot->run_id, run_id->data, sizeof(slot->run_id));
            ngx_memory_barrier();
            slot->state = state;
            return;
        }
    }
}


void
ngx_rf_relay_drop(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id)
{
    ngx_rf_relay_slot_t  *slot;

    slot = ngx_rf_relay_own(relay, run_id, id);

    if (slot) {
        ngx_rf_relay_free(slot);
    }
}


void
ngx_rf_relay_leave(ngx_rf_relay_t *relay)
{
    ngx_uint_t            i;
    ngx_rf_relay_slot_t  *slot;

    for (i = 0; i < NGX_RF_RELAY_SLOTS; i++) {
        slot = &relay->sh->slots[i];

        if (slot->owner == (ngx_atomic_uint_t) ngx_pid
            && slot->state == NGX_RF_RELAY_HELD)
        {
            ngx_rf_relay_free(slot);
        }
    }
}


static ngx_rf_relay_slot_t *
ngx_rf_relay_own(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id)
{
    ngx_uint_t            i;
    ngx_rf_relay_slot_t  *slot;

    for (i = 0; i < NGX_RF_RELAY_SLOTS; i++) {
        slot = &relay->sh->slots[i];

        if (slot->owner == (ngx_atomic_uint_t) ngx_pid
            && slot->state == NGX_RF_RELAY_HELD && slot->id == id
            && ngx_memcmp(slot->run_id, run_id->data, run_id->len) == 0)
        {
            return slot;
        }
    }

    return NULL;
}


/* of this process */

static void
ngx_rf_relay_free(ngx_rf_relay_slot_t *slot)
{
    slot->state = NGX_RF_RELAY_FILLING;
    ngx_memory_barrier();
    slot->owner = 0;
}


void
ngx_rf_relay_tell(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id)
{
    ngx_rf_relay_slot_t  *slot;

    slot = ngx_rf_relay_own(relay, run_id, id);

    if (slot) {
        slot->state = NGX_RF_RELAY_TOLD;

    } else {
        ngx_rf_relay_fill(relay, run_id, id, NGX_RF_RELAY_TOLD);
    }

    (void) ngx_atomic_fetch_add(&relay->sh->told, 1);
}


void
ngx_rf_relay_take(ngx_rf_relay_t *relay, ngx_rf_relay_pt handler, void *data)
{
    ngx_str_t             run_id;
    ngx_uint_t            i;
    ngx_atomic_uint_t     owner;
    ngx_rf_relay_slot_t  *slot;

    for (i = 0; i < NGX_RF_RELAY_SLOTS; i++) {
        slot = &relay->sh->slots[i];
        owner = slot->owner;

        if (owner == 0
            || (slot->state != NGX_RF_RELAY_TOLD
                && (kill((ngx_pid_t) owner, 0) == 0 || ngx_errno != NGX_ESRCH)))
        {
            continue;
        }

        if (!ngx_atomic_cmp_set(&slot->owner, owner,
                                (ngx_atomic_uint_t) ngx_pid))
        {
            /* somebody else has it */
            continue;
        }

        ngx_memory_barrier();

        /* who died while it filled the slot had sent nothing yet, or its client
         * got no answer */

        if (slot->state != NGX_RF_RELAY_FILLING) {
            run_id.len = sizeof(slot->run_id);
            run_id.data = slot->run_id;

            if (handler(data, &run_id, slot->id) != NGX_OK) {
                slot->state = NGX_RF_RELAY_TOLD;
                continue;
            }
        }

        ngx_rf_relay_free(slot);
    }
}


void
ngx_rf_relay_held(ngx_rf_relay_t *relay, ngx_pid_t pid,
    ngx_rf_relay_pt handler, void *data)
{
    u_char                copy[sizeof(relay->sh->slots[0].run_id)];
    uint64_t              id;
    ngx_str_t             run_id;
    ngx_uint_t            i;
    ngx_rf_relay_slot_t  *slot;

    for (i = 0; i < NGX_RF_RELAY_SLOTS; i++) {
        slot = &relay->sh->slots[i];

        if (slot->owner != (ngx_atomic_uint_t) pid
            || slot->state != NGX_RF_RELAY_HELD)
        {
            continue;
        }

        id = slot->id;
        ngx_memcpy(copy, slot->run_id, sizeof(copy));
        ngx_memory_barrier();

        /* else it gives it back just now */

        if (slot->owner == (ngx_atomic_uint_t) pid
            && slot->state == NGX_RF_RELAY_HELD)
        {
            run_id.len = sizeof(copy);
            run_id.data = copy;
            (void) handler(data, &run_id, id);
        }
    }
}
