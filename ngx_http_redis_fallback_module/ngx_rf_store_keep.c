
/*
 * The zone's memory outlives nginx, see ngx_rf_keep.h: with "durability memory"
 * the disk lags behind by up to write_interval, and kill -9 of all of nginx
 * would lose that.  What a start finds is copied into the new zone as what a
 * reload replaces is (ngx_rf_zone_copy.c), which is why it need not have the
 * same size.
 *
 * Order: the old segment is copied, then the lock file names the new one, then
 * the old one goes; so one killed in between leaves what it has found.  Only a
 * start that is killed between zone_init and init leaves a segment that nobody
 * knows of.
 *
 * With "durability disk" all that was acknowledged is in the journal: the zone
 * is in nginx's own memory.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_keep.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"
#include "ngx_rf_zone.h"


static ngx_int_t ngx_rf_store_keep_find(ngx_rf_store_t *store,
    ngx_rf_keep_t *found);
static ngx_int_t ngx_rf_store_keep_copy(ngx_rf_store_t *store,
    ngx_rf_keep_t *found);
static void ngx_rf_store_keep_note(ngx_rf_store_t *store);


void
ngx_rf_store_keep_make(ngx_rf_store_t *store, ngx_shm_zone_t *shm_zone)
{
    ngx_err_t   err;
    ngx_uint_t  level;

    if (!store->zone.files || store->conf.durability_disk || ngx_test_config) {
        return;
    }

    if (ngx_rf_keep_make(&store->keep, shm_zone, &err) != NGX_OK) {
        level = err ? NGX_LOG_WARN : NGX_LOG_INFO;

        ngx_log_error(level, store->cycle->log, err,
                      "redis_fallback store \"%V\": no System V shared "
                      "memory, if all of nginx is killed its writes of the "
                      "last write_interval are lost", &store->conf.name);
    }
}


void
ngx_rf_store_keep_init(ngx_rf_store_t *store, ngx_rf_store_t *old)
{
    ngx_rf_keep_t  found;

    if (old && old->zone.sh == store->zone.sh) {
        store->keep = old->keep;
        old->keep.id = -1;
    }

    store->keep.origin = store->zone.sh->origin;
    store->keep.layout = NGX_RF_ZONE_LAYOUT;

    if (store->lock == NGX_INVALID_FILE) {
        return;
    }

    found.id = -1;

    if (old == NULL && store->zone.sh->entries == 0) {

        if (ngx_rf_store_keep_find(store, &found) == NGX_OK) {

            if (ngx_rf_store_keep_copy(store, &found) != NGX_OK) {
                found.id = -1;
            }

            ngx_rf_keep_detach(&found);
        }

        store->keep.origin = store->zone.sh->origin;
    }

    ngx_rf_store_keep_note(store);
    ngx_rf_keep_drop(&found);
}


static ngx_int_t
ngx_rf_store_keep_find(ngx_rf_store_t *store, ngx_rf_keep_t *found)
{
    ngx_int_t  rc;

    found->layout = NGX_RF_ZONE_LAYOUT;

    rc = ngx_rf_keep_find(found, store->lock);

    if (rc == NGX_ABORT) {
        ngx_log_error(NGX_LOG_WARN, store->cycle->log, 0,
                      "redis_fallback store \"%V\": its shared memory of "
                      "before cannot be read, what is on disk counts",
                      &store->conf.name);
    }

    return rc;
}


/* NGX_DECLINED: it is somebody else's */

static ngx_int_t
ngx_rf_store_keep_copy(ngx_rf_store_t *store, ngx_rf_keep_t *found)
{
    ngx_str_t         name;
    ngx_shm_zone_t    shm_zone;
    ngx_rf_store_t    old;
    ngx_slab_pool_t  *shpool;
    ngx_rf_zone_sh_t *sh;

    shpool = (ngx_slab_pool_t *) found->addr;
    sh = shpool->data;

    if (found->size < sizeof(ngx_slab_pool_t) + sizeof(ngx_rf_zone_sh_t)
        || shpool->addr != found->addr
        || (u_char *) sh < found->addr
        || (u_char *) (sh + 1) > found->addr + found->size
        || sh->layout != NGX_RF_ZONE_LAYOUT
        || sh->origin != found->origin
        || ngx_rf_zone_elsewhere(&store->zone, sh))
    {
        return NGX_DECLINED;
    }

    ngx_memzero(&old, sizeof(ngx_rf_store_t));
    ngx_memzero(&shm_zone, sizeof(ngx_shm_zone_t));

    ngx_str_set(&name, "before");

    shm_zone.shm.addr = found->addr;
    shm_zone.shm.size = found->size;
    shm_zone.shm.log = store->cycle->log;
    shm_zone.shm.name = name;
    shm_zone.shm.exists = 1;
    shm_zone.data = &old.zone;

    old.zone.name = store->zone.name;
    old.zone.files = store->zone.files;
    ngx_memcpy(old.zone.path_sha1, store->zone.path_sha1, 20);

    /* whoever held it is gone, and is found out by sh->busy */
    *shpool->mutex.lock = 0;

    if (ngx_rf_zone_init(&shm_zone, &old.zone) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_NOTICE, store->cycle->log, 0,
                  "redis_fallback store \"%V\": nginx did not end in order, "
                  "its shared memory is there still", &store->conf.name);

    ngx_rf_store_take_over(store, &old);

    /* no batch is under way, whoever has the pids of those who had some */
    ngx_memzero((void *) store->zone.sh->flights,
                sizeof(store->zone.sh->flights));

    return NGX_OK;
}


static void
ngx_rf_store_keep_note(ngx_rf_store_t *store)
{
    if (ngx_rf_keep_note(&store->keep, store->lock) != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, store->cycle->log, ngx_errno,
                      "redis_fallback store \"%V\": could not write to the "
                      "lock of path \"%V\", if all of nginx is killed its "
                      "writes of the last write_interval are lost",
                      &store->conf.name, &store->conf.file.path);
    }
}


void
ngx_rf_store_keep_exit(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    if (store->keep.id == -1 || store->lock == NGX_INVALID_FILE
        || ngx_rf_zone_unsaved(&store->zone) == 0)
    {
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                  "redis_fallback store \"%V\": what is not on disk stays in "
                  "shared memory, for the next start", &store->conf.name);

    (void) ngx_close_file(store->lock);

    store->lock = NGX_INVALID_FILE;
    store->keep.id = -1;
}


void
ngx_rf_store_keep_end(ngx_rf_store_t *store)
{
    if (ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_HELPER)
    {
        return;
    }

    ngx_rf_keep_drop(&store->keep);

    if (store->lock != NGX_INVALID_FILE) {
        ngx_rf_store_keep_note(store);
    }
}
