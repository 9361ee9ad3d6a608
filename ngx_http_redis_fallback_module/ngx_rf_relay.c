/*
 * Shared memory that outlives a store's zone, see ngx_rf_relay.h.
 *
 * A slot belongs to whoever changed its owner from 0; it is read when "ready"
 * is set, and free again when the owner is 0.  An owner that died before it was
 * ready has told nothing: its client got no answer either.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_relay.h"


/* of what is in shared memory; another one gets other pages */
#define NGX_RF_RELAY_LAYOUT     1


static ngx_int_t ngx_rf_relay_init(ngx_shm_zone_t *shm_zone, void *data);


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

    /* as many pages as the slots need, and as many again for the slab pool */

    size = 2 * ngx_align(sizeof(ngx_rf_relay_sh_t), ngx_pagesize);

    shm_zone = ngx_shared_memory_add(cf, &name, ngx_max(size,
                                                        8 * ngx_pagesize),
                                     tag);
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
ngx_rf_relay_tell(ngx_rf_relay_t *relay, ngx_str_t *run_id, uint64_t id)
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
            slot->ready = 1;
            break;
        }
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

        if (owner == 0) {
            continue;
        }

        if (slot->ready) {
            run_id.len = sizeof(slot->run_id);
            run_id.data = slot->run_id;

            handler(data, &run_id, slot->id);

            slot->ready = 0;
            ngx_memory_barrier();

        } else if (kill((ngx_pid_t) owner, 0) == 0 || ngx_errno != NGX_ESRCH) {
            /* it counts when it has told */
            continue;
        }

        (void) ngx_atomic_cmp_set(&slot->owner, owner, 0);
    }
}
