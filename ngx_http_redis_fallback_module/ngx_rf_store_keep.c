
/*
 * The zone's memory outlives nginx, see ngx_rf_keep.h: with "durability memory"
 * the disk lags behind by up to write_interval, and kill -9 of all of nginx
 * would lose that.  What a start finds is copied into the new zone as what a
 * reload replaces is (ngx_rf_zone_copy.c), which is why it need not have the
 * same size.
 *
 * Order: the old segment is copied, and what is on disk is read; then the lock
 * file names the new one, then the old one goes.  So one killed in between
 * leaves what it has found.  A segment that nobody names is left behind by who
 * is killed before that, or without the path.
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


/* ms that a start waits for the last one who has the memory attached */
#define NGX_RF_STORE_KEEP_WAIT  500


static void ngx_rf_store_keep_look(ngx_rf_store_t *store,
    ngx_rf_keep_t *found);
static ngx_int_t ngx_rf_store_keep_find(ngx_rf_store_t *store,
    ngx_rf_keep_t *found);
static ngx_int_t ngx_rf_store_keep_copy(ngx_rf_store_t *store,
    ngx_rf_keep_t *found);
static ngx_uint_t ngx_rf_store_keep_ours(ngx_rf_keep_t *found);


void
ngx_rf_store_keep_make(ngx_rf_store_t *store, ngx_shm_zone_t *shm_zone)
{
    ngx_err_t         err;
    ngx_uint_t        level;
    ngx_core_conf_t  *ccf;

    if (!store->zone.files || store->conf.durability_disk || ngx_test_config) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(store->cycle->conf_ctx,
                                           ngx_core_module);

    if (ngx_rf_keep_make(&store->keep, shm_zone, ccf->user, ccf->group, &err)
        != NGX_OK)
    {
        level = err ? NGX_LOG_WARN : NGX_LOG_INFO;

        ngx_log_error(level, store->cycle->log, err,
                      "redis_fallback store \"%V\": no System V shared "
                      "memory, if all of nginx is killed its writes of the "
                      "last write_interval are lost", &store->conf.name);
    }
}


/* of all who have the memory that the lock names one is left: a worker that
 * was killed and waits for the disk */

ngx_uint_t
ngx_rf_store_keep_dying(ngx_rf_store_t *store)
{
    u_char      name[NGX_MAX_PATH];
    ngx_fd_t    fd;
    ngx_uint_t  dying;

    /* neither in a binary upgrade nor in a reload */

    if (store->keep.id == -1 || getenv(NGINX_VAR) != NULL
        || !ngx_is_init_cycle(store->cycle->old_cycle))
    {
        return 0;
    }

    (void) ngx_snprintf(name, NGX_MAX_PATH, "%V/lock%Z",
                        &store->conf.file.path);

    fd = open((char *) name, O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {
        return 0;
    }

    dying = ngx_rf_keep_dying(fd);

    (void) ngx_close_file(fd);

    return dying;
}


void
ngx_rf_store_keep_init(ngx_rf_store_t *store, ngx_rf_store_t *old,
    ngx_rf_keep_t *found)
{
    found->id = -1;

    if (old && old->zone.sh == store->zone.sh) {
        store->keep = old->keep;
        store->keep.store = &store->conf.name;
        store->keep.path = &store->conf.file.path;
        old->keep.id = -1;
    }

    if (store->lock != NGX_INVALID_FILE && old == NULL
        && store->zone.sh->entries == 0)
    {
        ngx_rf_store_keep_look(store, found);
    }

    /* also for a worker that gets the path later */

    store->keep.origin = store->zone.sh->origin;
    store->keep.layout = NGX_RF_ZONE_LAYOUT;
}


static void
ngx_rf_store_keep_look(ngx_rf_store_t *store, ngx_rf_keep_t *found)
{
    ngx_int_t  rc;

    rc = ngx_rf_store_keep_find(store, found);

    ngx_rf_keep_fill(found, &store->keep, store->lock);

    if (rc != NGX_OK) {
        return;
    }

    rc = ngx_rf_store_keep_copy(store, found);

    ngx_rf_keep_detach(found);

    if (rc != NGX_OK) {
        found->id = -1;
    }
}


void
ngx_rf_store_keep_done(ngx_rf_store_t *store, ngx_rf_store_t *old,
    ngx_rf_keep_t *found)
{
    if (store->lock == NGX_INVALID_FILE) {
        return;
    }

    (void) ngx_rf_keep_note(&store->keep, store->lock, found->id,
                            store->cycle->log);
    ngx_rf_keep_drop(found);

    /* its workers have it until they go */

    if (old && old->zone.sh != store->zone.sh) {
        ngx_rf_keep_drop(&old->keep);
    }
}


static ngx_int_t
ngx_rf_store_keep_find(ngx_rf_store_t *store, ngx_rf_keep_t *found)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    found->layout = NGX_RF_ZONE_LAYOUT;

    rc = ngx_rf_keep_find(found, store->lock);

    /* somebody looks into /proc at one who was killed */

    for (i = 0; rc == NGX_BUSY && i < NGX_RF_STORE_KEEP_WAIT; i += 10) {
        ngx_msleep(10);
        rc = ngx_rf_keep_find(found, store->lock);
    }

    if (rc == NGX_ABORT || rc == NGX_BUSY) {
        ngx_log_error(NGX_LOG_WARN, store->cycle->log, 0,
                      "redis_fallback store \"%V\": its shared memory of "
                      "before, %d, cannot be read, what is on disk counts",
                      &store->conf.name, found->id);
    }

    if (rc == NGX_BUSY) {
        found->id = -1;
    }

    return rc;
}


static ngx_uint_t
ngx_rf_store_keep_ours(ngx_rf_keep_t *found)
{
    ngx_slab_pool_t   *shpool;
    ngx_rf_zone_sh_t  *sh;

    shpool = (ngx_slab_pool_t *) found->addr;

    if (found->size < sizeof(ngx_slab_pool_t) + sizeof(ngx_rf_zone_sh_t)) {
        return 0;
    }

    sh = shpool->data;

    return shpool->addr == found->addr
           && (u_char *) sh > found->addr
           && (u_char *) (sh + 1) <= found->addr + found->size
           && sh->layout == NGX_RF_ZONE_LAYOUT
           && sh->origin == found->origin;
}


/* NGX_DECLINED: it is somebody else's, and is left alone */

static ngx_int_t
ngx_rf_store_keep_copy(ngx_rf_store_t *store, ngx_rf_keep_t *found)
{
    ngx_shm_zone_t     shm_zone;
    ngx_rf_store_t     old;
    ngx_slab_pool_t   *shpool;
    ngx_rf_zone_sh_t  *sh;

    if (!ngx_rf_store_keep_ours(found)) {
        return NGX_DECLINED;
    }

    shpool = (ngx_slab_pool_t *) found->addr;
    sh = shpool->data;

    if (ngx_rf_zone_elsewhere(&store->zone, sh)) {
        ngx_log_error(NGX_LOG_CRIT, store->cycle->log, 0,
                      "redis_fallback store \"%V\": its shared memory of "
                      "before is of another database, or other levels, what "
                      "only that has is lost", &store->conf.name);
        return NGX_OK;
    }

    if (sh->superseded) {
        /* the last one who copied it did not come to the end */
        sh->busy = ngx_pid;
    }

    ngx_memzero(&old, sizeof(ngx_rf_store_t));
    ngx_memzero(&shm_zone, sizeof(ngx_shm_zone_t));

    shm_zone.shm.addr = found->addr;
    shm_zone.shm.size = found->size;
    shm_zone.shm.log = store->cycle->log;
    shm_zone.shm.name = store->conf.name;
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


void
ngx_rf_store_keep_exit(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    if (store->keep.id == -1 || store->lock == NGX_INVALID_FILE
        || ngx_rf_zone_unsaved(&store->zone) == 0
        || ngx_rf_keep_note(&store->keep, store->lock, -1, cycle->log)
           != NGX_OK)
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
        (void) ngx_rf_keep_note(&store->keep, store->lock, -1,
                                store->cycle->log);
    }
}
