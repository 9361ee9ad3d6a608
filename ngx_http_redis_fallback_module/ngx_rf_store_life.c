/*
 * The life of a store: zone and path at start and reload, the rooms of a
 * worker, what a new connection says about Redis, the status.
 *
 * Start and reload, in the master, in this order:
 *   create        the configuration is read: the zone is asked for
 *   zone_init     the zone exists (or is attached): directories are made.
 *                 This is the last place where failing is harmless: a reload
 *                 then goes on with the old configuration.
 *   init          the configuration is committed: the path's lock, what a
 *                 replaced zone still holds, the first mode.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "ngx_rf_codec.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_mode.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_relay.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"
#include "ngx_rf_zone.h"
#include <ngx_sha1.h>


/* ms that a reload waits for old workers' batches of files */
#define NGX_RF_STORE_FENCE      5000

/* ms that old workers answer from a zone that was replaced: nginx tells them to
 * quit 100 ms after it has started the new ones (ngx_master_process_cycle()),
 * later on a busy machine */
#define NGX_RF_STORE_OVERLAP    250

/* ms that a start waits for the path's lock; and where somebody who was killed
 * has it, waits for the disk, and has memory that is to be read */
#define NGX_RF_STORE_PATIENCE   500
#define NGX_RF_STORE_DYING      10000


static ngx_int_t ngx_rf_store_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static void ngx_rf_store_path_id(ngx_rf_store_t *store);
static void ngx_rf_store_cleanup(void *data);
static void ngx_rf_store_take_lock(ngx_rf_store_t *store, ngx_rf_store_t *old);
static void ngx_rf_store_fence(ngx_rf_zone_t *zone);
static void ngx_rf_store_replace(ngx_rf_store_t *store, ngx_rf_store_t *old);
static void ngx_rf_store_carry_left(ngx_rf_store_t *store, ngx_rf_store_t *old,
    ngx_rf_record_t *left, ngx_uint_t n);
static ngx_uint_t ngx_rf_store_same_path(ngx_rf_store_t *store,
    ngx_rf_store_t *old);
static ngx_int_t ngx_rf_store_first_mode(ngx_rf_store_t *store);
static void ngx_rf_store_up(void *data, ngx_rf_redis_info_t *info);
static void ngx_rf_store_down(void *data);
static void ngx_rf_store_disconnected(ngx_rf_store_t *store);
static ngx_uint_t ngx_rf_store_connected(ngx_rf_zone_sh_t *sh);
static ngx_uint_t ngx_rf_store_tracking(ngx_rf_zone_sh_t *sh);
static void ngx_rf_store_flushed(void *data);
static void ngx_rf_store_wait_handler(ngx_event_t *ev);


ngx_rf_store_t *
ngx_rf_store_create(ngx_conf_t *cf, ngx_rf_store_conf_t *conf, void *tag)
{
    ngx_str_t            name;
    ngx_shm_zone_t      *shm_zone;
    ngx_rf_store_t      *store;
    ngx_pool_cleanup_t  *cln;

    store = ngx_pcalloc(cf->pool, sizeof(ngx_rf_store_t));
    if (store == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_rf_store_cleanup;
    cln->data = store;

    store->layout = NGX_RF_STORE_LAYOUT;
    store->conf = *conf;
    store->cycle = cf->cycle;
    store->lock = NGX_INVALID_FILE;
    store->keep.id = -1;
    store->keep.next = -1;
    store->keep.store = &store->conf.name;
    store->keep.path = &store->conf.file.path;

    name.len = sizeof("redis_fallback__") - 1 + conf->name.len + NGX_INT_T_LEN;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NULL;
    }

    /* a build with another layout of the zone gets a zone of its own */

    name.len = ngx_sprintf(name.data, "redis_fallback_%V_%d", &conf->name,
                           NGX_RF_ZONE_LAYOUT)
               - name.data;

    shm_zone = ngx_shared_memory_add(cf, &name, conf->zone_size, tag);
    if (shm_zone == NULL) {
        return NULL;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate redis_fallback_store \"%V\"",
                           &conf->name);
        return NULL;
    }

    store->zone.shm_zone = shm_zone;
    store->zone.name = store->conf.name;
    store->zone.log = &cf->cycle->new_log;
    store->zone.files = (store->conf.file.path.len != 0);
    store->zone.digests = store->conf.on_conflict_remote;

    ngx_rf_store_path_id(store);

    if (ngx_rf_relay_add(cf, &store->relay, &store->conf.name, tag) != NGX_OK)
    {
        return NULL;
    }

    shm_zone->init = ngx_rf_store_zone_init;
    shm_zone->data = &store->zone;

    return store;
}


/* the configuration goes away: the lock, unless a newer one took it over */

static void
ngx_rf_store_cleanup(void *data)
{
    ngx_rf_store_t  *store = data;

    ngx_rf_store_keep_end(store);

    if (store->lock != NGX_INVALID_FILE) {
        (void) ngx_close_file(store->lock);
    }
}


/* what file_version in the zone refers to */

static void
ngx_rf_store_path_id(ngx_rf_store_t *store)
{
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, store->conf.file.path.data,
                    store->conf.file.path.len);
    ngx_sha1_update(&sha1, store->conf.file.levels,
                    sizeof(store->conf.file.levels));
    ngx_sha1_update(&sha1, &store->conf.file.database, sizeof(ngx_uint_t));
    ngx_sha1_final(store->zone.path_sha1, &sha1);
}


static ngx_int_t
ngx_rf_store_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_rf_zone_t        *zone;
    ngx_rf_store_t       *store;
    ngx_core_conf_t      *ccf;
    ngx_rf_file_error_t   error;

    zone = shm_zone->data;
    store = (ngx_rf_store_t *) ((u_char *) zone
                                - offsetof(ngx_rf_store_t, zone));

    store->fresh = (data == NULL && !shm_zone->shm.exists);

    if (data && ngx_rf_zone_elsewhere(zone, ((ngx_rf_zone_t *) data)->sh)) {

        if (((ngx_rf_zone_t *) data)->sh->spilled) {
            ngx_log_error(NGX_LOG_EMERG, store->cycle->log, 0,
                          "redis_fallback store \"%V\": its path or database "
                          "cannot be changed while pending keys are on disk "
                          "only", &store->conf.name);
            return NGX_ERROR;
        }

        /* the new path may hold records of its own */
        store->fresh = 1;
    }

    if (zone->files) {
        ccf = (ngx_core_conf_t *) ngx_get_conf(store->cycle->conf_ctx,
                                               ngx_core_module);

        ngx_memzero(&error, sizeof(ngx_rf_file_error_t));

        if (ngx_rf_file_prepare(&store->conf.file,
                                geteuid() ? (uid_t) -1 : ccf->user,
                                geteuid() ? (gid_t) -1 : ccf->group,
                                &error)
            != NGX_OK)
        {
            ngx_rf_store_log_file(store, NGX_LOG_EMERG,
                                  "could not make its directory", &error);
            return NGX_ERROR;
        }
    }

    if (data == NULL) {
        ngx_rf_store_keep_make(store, shm_zone);
    }

    return ngx_rf_zone_init(shm_zone, data);
}


ngx_int_t
ngx_rf_store_init(ngx_rf_store_t *store, ngx_cycle_t *cycle,
    ngx_rf_store_t *old)
{
    ngx_int_t          rc;
    ngx_rf_keep_t      found;
    ngx_rf_zone_sh_t  *sh;

    if (old && old->layout != NGX_RF_STORE_LAYOUT) {
        old = NULL;
    }

    sh = store->zone.sh;

    store->init = ngx_atomic_fetch_add(&sh->inits, 1) + 1;

    if (ngx_rf_zone_elsewhere(&store->zone, sh)) {
        ngx_rf_zone_repath(&store->zone);
    }

    ngx_rf_store_take_lock(store, old);

    if (old && old->zone.sh && old->zone.sh != sh) {
        ngx_rf_store_replace(store, old);
    }

    ngx_rf_store_keep_init(store, old, &found);

    rc = ngx_rf_store_first_mode(store);

    /* the zone has all that the path has: who is killed before does it again */

    if (rc == NGX_OK || !store->fresh) {
        ngx_rf_store_keep_done(store, old, &found);
    }

    if (rc != NGX_OK && store->lock != NGX_INVALID_FILE) {
        (void) ngx_close_file(store->lock);
        store->lock = NGX_INVALID_FILE;
    }

    store->zone.outages = &store->relay.sh->outages;

    return NGX_OK;
}


/* held by the master and, through fork(), by its workers; a reload hands the
 * descriptor on */

static void
ngx_rf_store_take_lock(ngx_rf_store_t *store, ngx_rf_store_t *old)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_rf_zone_sh_t     *sh;
    ngx_rf_file_error_t   error;

    sh = store->zone.sh;

    if (!store->zone.files) {
        sh->files_ready = 0;
        return;
    }

    if (old && old->lock != NGX_INVALID_FILE
        && old->conf.file.path.len == store->conf.file.path.len
        && ngx_strncmp(old->conf.file.path.data, store->conf.file.path.data,
                       store->conf.file.path.len)
           == 0)
    {
        store->lock = old->lock;
        old->lock = NGX_INVALID_FILE;
        sh->files_ready = 1;
        return;
    }

    ngx_memzero(&error, sizeof(ngx_rf_file_error_t));

    rc = ngx_rf_file_lock(&store->conf.file, &store->lock, &error);

    /* what was killed a moment ago may still be going: without its journal a
     * start would answer from nothing until the leader gets the path */

    for (i = 0;
         rc == NGX_BUSY && old == NULL
         && (i < NGX_RF_STORE_PATIENCE
             || (i < NGX_RF_STORE_DYING && ngx_rf_store_keep_dying(store)));
         i += 10)
    {
        ngx_msleep(10);
        rc = ngx_rf_file_lock(&store->conf.file, &store->lock, &error);
    }

    if (rc == NGX_OK) {
        sh->files_ready = 1;
        return;
    }

    store->lock = NGX_INVALID_FILE;

    if (sh->files_ready > 1) {
        /* a worker of this instance took it, and a new one will again */
        return;
    }

    sh->files_ready = 0;

    if (rc == NGX_BUSY) {
        ngx_log_error(NGX_LOG_ERR, store->cycle->log, 0,
                      "redis_fallback store \"%V\": path \"%V\" is used by "
                      "another nginx instance, going on without files until "
                      "it lets go", &store->conf.name, &store->conf.file.path);
        return;
    }

    ngx_rf_store_log_file(store, NGX_LOG_ERR, "could not lock its path",
                          &error);
}


/*
 * A batch that old workers have under way holds older versions than those the
 * new zone's workers will write, and must not come after them.  Blocks the
 * master for as long as a batch takes; not for ever, a disk may hang.  What is
 * left then stops when it sees that the zone is superseded, before the next
 * file.
 */

static void
ngx_rf_store_fence(ngx_rf_zone_t *zone)
{
    ngx_uint_t         i;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    ngx_rf_zone_lock(zone);
    sh->outages = zone->outages ? *zone->outages : 0;
    sh->superseded = 2;
    ngx_rf_zone_unlock(zone);

    for (i = 0; sh->nwriting && i < NGX_RF_STORE_FENCE; i++) {
        ngx_msleep(1);
    }
}


/* rule 14: a zone of another size or layout replaces one that may still hold
 * what Redis has not seen */

static void
ngx_rf_store_replace(ngx_rf_store_t *store, ngx_rf_store_t *old)
{
    if (old->zone.sh->layout != NGX_RF_ZONE_LAYOUT) {
        return;
    }

    ngx_rf_store_fence(&old->zone);
    ngx_rf_store_take_over(store, old);
    ngx_rf_zone_overlap(&old->zone, &store->zone, NGX_RF_STORE_OVERLAP);
}


void
ngx_rf_store_take_over(ngx_rf_store_t *store, ngx_rf_store_t *old)
{
    ngx_uint_t         n;
    ngx_rf_record_t   *left;
    ngx_rf_zone_sh_t  *sh;

    sh = store->zone.sh;
    left = NULL;

    n = ngx_rf_zone_copy(&old->zone, &store->zone, &left);

    if (ngx_rf_store_same_path(store, old)) {
        /* all that its journal has is here now */
        store->fresh = 0;
    }

    if (sh->seq < old->zone.sh->seq) {
        sh->seq = old->zone.sh->seq;
    }

    /* old workers may still write files that this zone has not heard of */
    sh->files_scan = (store->zone.files && sh->files_ready);

    ngx_log_error(NGX_LOG_NOTICE, store->cycle->log, 0,
                  "redis_fallback store \"%V\": %ui pending keys were carried "
                  "over to a new zone, %ui of them to files",
                  &store->conf.name, sh->npending + n, n);

    if (left) {
        ngx_rf_store_carry_left(store, old, left, n);
    }
}


/* what the new zone has no room for */

static void
ngx_rf_store_carry_left(ngx_rf_store_t *store, ngx_rf_store_t *old,
    ngx_rf_record_t *left, ngx_uint_t n)
{
    ngx_uint_t            wrote, removed;
    ngx_rf_record_t      *rec;
    ngx_rf_zone_sh_t     *sh;
    ngx_rf_file_error_t   error;

    sh = store->zone.sh;

    if (store->zone.files && sh->files_ready) {
        ngx_memzero(&error, sizeof(ngx_rf_file_error_t));
        sh->spilled += n;

        ngx_rf_store_become(store, 1);

        if (ngx_rf_file_write_thread(&store->conf.file, left, &wrote,
                                     &removed, &error))
        {
            ngx_rf_store_log_file(store, NGX_LOG_CRIT,
                                  "could not write pending records", &error);

            /* the journal has them, or will never have them */
            sh->journal_scan = ngx_rf_store_same_path(store, old);
        }

        ngx_rf_store_become(store, 0);

    } else {
        ngx_log_error(NGX_LOG_CRIT, store->cycle->log, 0,
                      "redis_fallback store \"%V\": the new zone is too small "
                      "and there are no files, %ui pending keys are lost",
                      &store->conf.name, n);
    }

    while (left) {
        rec = left;
        left = rec->next;
        ngx_rf_codec_free(rec);
    }
}


static ngx_uint_t
ngx_rf_store_same_path(ngx_rf_store_t *store, ngx_rf_store_t *old)
{
    return store->zone.files && old->zone.files
           && ngx_memcmp(store->zone.path_sha1, old->zone.path_sha1, 20) == 0;
}


/* what the master writes must be the workers' */

void
ngx_rf_store_become(ngx_rf_store_t *store, ngx_uint_t worker)
{
    ngx_core_conf_t  *ccf;

    if (getuid() != 0) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(store->cycle->conf_ctx,
                                           ngx_core_module);

    if ((worker && (setegid(ccf->group) == -1 || seteuid(ccf->user) == -1))
        || (!worker && (seteuid(0) == -1 || setegid(getgid()) == -1)))
    {
        ngx_log_error(NGX_LOG_ALERT, store->cycle->log, ngx_errno,
                      "seteuid() failed");
    }
}


/* NGX_DECLINED: the path cannot be used.
 * Rule 11: files that are found are pending records; nothing found is a fresh
 * start, in which Redis is believed to be there until it fails somebody */

static ngx_int_t
ngx_rf_store_first_mode(ngx_rf_store_t *store)
{
    uint64_t              mark;
    ngx_int_t             rc;
    ngx_uint_t            epoch;
    ngx_rf_zone_sh_t     *sh;
    ngx_rf_file_error_t   error;

    sh = store->zone.sh;
    rc = NGX_OK;

    if (store->zone.files && (store->fresh || sh->files_scan)) {
        ngx_memzero(&error, sizeof(ngx_rf_file_error_t));

        if (ngx_rf_file_mark_read_thread(&store->conf.file, &mark, &error)
            == NGX_OK)
        {
            sh->mark = mark;

            if (sh->seq < mark) {
                sh->seq = mark;
            }

            if (store->fresh && sh->files_ready) {
                ngx_rf_store_recall(store);
            }

            if (ngx_rf_file_any(&store->conf.file)) {
                sh->files_scan = 1;
            }

        } else {

            /* without it garbage would be replayed: no files before it can be
             * read, which the leader looks after */

            ngx_rf_store_log_file(store, NGX_LOG_CRIT, "could not read its "
                                  "mark, going on without files", &error);
            sh->files_ready = 0;
            rc = NGX_DECLINED;
        }
    }

    if (ngx_rf_mode_get(&store->zone, &epoch) == NGX_RF_NORMAL
        && (sh->files_scan || sh->journal_scan || sh->npending
            || sh->spilled))
    {
        (void) ngx_rf_mode_set(&store->zone, epoch, NGX_RF_RECOVERING);
    }

    return rc;
}


void
ngx_rf_store_log_file(ngx_rf_store_t *store, ngx_uint_t level,
    const char *doing, ngx_rf_file_error_t *error)
{
    if (error->err == 0 && error->what) {
        /* a reason, not a call */

        ngx_log_error(level, store->cycle->log, 0,
                      "redis_fallback store \"%V\": %s, \"%s\": %s",
                      &store->conf.name, doing, error->name, error->what);
        return;
    }

    ngx_log_error(level, store->cycle->log, error->err,
                  "redis_fallback store \"%V\": %s, %s \"%s\" failed",
                  &store->conf.name, doing, error->what ? error->what : "?",
                  error->name);
}


ngx_int_t
ngx_rf_store_start(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    ngx_uint_t  i;

    ngx_queue_init(&store->waiting);

    for (i = 0; i < NGX_RF_STORE_FLIGHTS; i++) {
        ngx_queue_init(&store->flights[i]);
    }

    ngx_rf_pop_start(store);

    store->zone.log = cycle->log;

    store->wait_event.handler = ngx_rf_store_wait_handler;
    store->wait_event.data = store;
    store->wait_event.log = cycle->log;

    if (store->zone.files) {
        store->conf.file.taken = &store->zone.sh->superseded;

        store->disk = ngx_rf_disk_create(&store->conf.file,
                                         store->conf.thread_pool, cycle->log);
        if (store->disk == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_rf_store_flush(store, cycle);
    store->flush.handler = ngx_rf_store_flushed;
    store->flush.data = store;

    store->redis = ngx_rf_redis_create(&store->conf.redis, cycle,
                                       store->conf.thread_pool,
                                       ngx_rf_store_up, ngx_rf_store_down,
                                       store);
    if (store->redis == NULL) {
        return NGX_ERROR;
    }

    if (store->conf.cache == NGX_RF_CACHE_TRACKING) {
        store->tracking = ngx_rf_tracking_create(&store->zone,
                                                 &store->conf.redis,
                                                 store->redis, cycle,
                                                 store->conf.thread_pool);
        if (store->tracking == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_rf_store_flush(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    store->flush.zone = &store->zone;
    store->flush.disk = store->disk;
    store->flush.conf = &store->conf.file;
    store->flush.log = cycle->log;
    store->flush.limit = store->conf.journal_size;
}


/* rule 28: in exit_process, after the event loop and the pool threads */

void
ngx_rf_store_stop(ngx_rf_store_t *store, ngx_cycle_t *cycle)
{
    ngx_uint_t  left;

    store->stopping = 1;

    ngx_rf_zone_lender_leaves(&store->zone);

    if (store->tracking) {
        ngx_rf_tracking_destroy(store->tracking);
        store->tracking = NULL;
    }

    if (store->redis) {
        ngx_rf_store_disconnected(store);

        if (!ngx_rf_redis_inflight(store->redis)) {
            ngx_rf_relay_leave(&store->relay);
        }

        ngx_rf_redis_destroy(store->redis);
        store->redis = NULL;
    }

    if (store->disk == NULL) {
        return;
    }

    /* the pool's threads are gone: no batch after the one that returns */

    store->flush.handler = NULL;
    store->flush.left = 0;
    store->flush.log_left = 0;
    store->flush.log_more = 0;
    ngx_rf_disk_finish(store->disk);

    if (store->zone.sh->superseded) {
        /* the new zone has it all, and the files are its workers' now */
        return;
    }

    if (ngx_rf_store_hands_over(store)) {
        return;
    }

    left = ngx_rf_flush_exit(&store->flush);

    /* after a reload the zone goes on, and its new workers with it */

    if (left && store->init == store->zone.sh->inits) {
        ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                      "redis_fallback store \"%V\": %ui pending keys are not "
                      "on disk at exit", &store->conf.name, left);
    }
}


void
ngx_rf_store_outage(ngx_rf_store_t *store, ngx_uint_t epoch, ngx_str_t *reason)
{
    if (ngx_rf_mode_set(&store->zone, epoch, NGX_RF_FALLBACK) == NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, store->zone.log, 0,
                      "redis_fallback store \"%V\": redis %V is unreachable, "
                      "going on locally: %V", &store->conf.name,
                      &store->conf.redis.address, reason);
    }
}


ngx_uint_t
ngx_rf_store_retry_after(ngx_rf_store_t *store)
{
    ngx_msec_t  since;

    since = ngx_current_msec - (ngx_msec_t) store->zone.sh->outage_began;

    if (since > store->conf.check_interval) {
        since = store->conf.check_interval;
    }

    return since / 1000 + 1;
}


/* a link has come up: is this still the Redis that memory knows? */

static void
ngx_rf_store_up(void *data, ngx_rf_redis_info_t *info)
{
    ngx_uint_t         lost, epoch;
    ngx_rf_store_t    *store = data;
    ngx_rf_zone_sh_t  *sh;

    sh = store->zone.sh;

    sh->connected[ngx_process_slot] = ngx_pid;

    if (store->tracking) {
        ngx_rf_tracking_up(store->tracking, ngx_rf_redis_link(store->redis),
                           info);
    }

    if (info->run_id.len != sizeof(sh->run_id)) {
        return;
    }

    if (info->client) {
        ngx_rf_relay_hold(&store->relay, &info->run_id, info->client);
    }

    lost = 0;

    ngx_rf_zone_lock(&store->zone);

    if (ngx_memcmp(sh->run_id, info->run_id.data, sizeof(sh->run_id)) != 0) {

        /* another process than before (all zeroes: the first one seen), and
         * an empty one: what it held is lost */

        if (store->conf.restore && sh->run_id[0] != '\0'
            && info->dbsize == 0 && !sh->superseded)
        {
            lost = 1;
            sh->run++;
            sh->restore = 1;

            if (ngx_rf_mode_get(&store->zone, &epoch) == NGX_RF_NORMAL) {
                (void) ngx_rf_mode_set(&store->zone, epoch, NGX_RF_RECOVERING);
            }
        }

        ngx_memcpy(sh->run_id, info->run_id.data, sizeof(sh->run_id));
    }

    ngx_rf_zone_unlock(&store->zone);

    if (sh->restore) {

        /* whoever waits was sent to a Redis that had the data: a nil from
         * this one would make memory forget what is to be written back */

        ngx_rf_redis_bounce(store->redis);
    }

    if (lost) {
        ngx_log_error(NGX_LOG_WARN, store->zone.log, 0,
                      "redis_fallback store \"%V\": redis %V came back "
                      "without its data, writing back what memory holds",
                      &store->conf.name, &store->conf.redis.address);
    }
}


static void
ngx_rf_store_down(void *data)
{
    uint64_t         client;
    ngx_str_t       *run_id;
    ngx_rf_store_t  *store = data;

    if (store->tracking) {
        ngx_rf_tracking_down(store->tracking,
                             ngx_rf_redis_link(store->redis));
    }

    client = ngx_rf_redis_abandoned(store->redis);
    run_id = ngx_rf_redis_run_id(store->redis);

    if (client
        && ngx_rf_zone_abandon(&store->zone, run_id, client) != NGX_OK)
    {
        ngx_rf_relay_tell(&store->relay, run_id, client);

    } else if (ngx_rf_redis_client(store->redis)) {
        ngx_rf_relay_drop(&store->relay, run_id,
                          ngx_rf_redis_client(store->redis));
    }

    if (ngx_rf_redis_nconnected(store->redis) == 0) {
        ngx_rf_store_disconnected(store);
    }
}


/* a worker counts as connected while one of its links is: they are made when
 * they are needed, so that some are not says nothing */

static void
ngx_rf_store_disconnected(ngx_rf_store_t *store)
{
    (void) ngx_atomic_cmp_set(&store->zone.sh->connected[ngx_process_slot],
                              ngx_pid, 0);
}


static ngx_uint_t
ngx_rf_store_connected(ngx_rf_zone_sh_t *sh)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        if (sh->connected[i]
            && (kill((ngx_pid_t) sh->connected[i], 0) == 0
                || ngx_errno != NGX_ESRCH))
        {
            n++;
        }
    }

    return n;
}


/* by all workers that are connected */

static ngx_uint_t
ngx_rf_store_tracking(ngx_rf_zone_sh_t *sh)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {

        if (sh->connected[i] == 0
            || (kill((ngx_pid_t) sh->connected[i], 0) == -1
                && ngx_errno == NGX_ESRCH))
        {
            continue;
        }

        if (sh->links[i].epoch == 0) {
            return 0;
        }

        n++;
    }

    return n != 0;
}


static void
ngx_rf_store_flushed(void *data)
{
    ngx_rf_store_wake(data);
}


static void
ngx_rf_store_wait_handler(ngx_event_t *ev)
{
    ngx_rf_store_t  *store;

    store = ev->data;

    store->polling = 1;
    ngx_rf_store_wake(store);
    store->polling = 0;

    if (!ngx_queue_empty(&store->waiting) && !ev->timer_set) {
        ngx_add_timer(ev, NGX_RF_STORE_POLL);
    }
}


void
ngx_rf_store_status(ngx_rf_store_t *store, ngx_rf_store_status_t *st)
{
    ngx_rf_stat_t     *stat;
    ngx_rf_zone_sh_t  *sh;

    sh = store->zone.sh;
    stat = &sh->stat;

    st->name = store->conf.name;
    st->address = store->conf.redis.address;
    st->mode = ngx_rf_mode_get(&store->zone, NULL);
    st->mode_since = (time_t) sh->mode_since;
    st->outages = stat->outages;
    st->connected = ngx_rf_store_connected(sh);
    st->tracking = ngx_rf_store_tracking(sh);
    st->size = store->conf.zone_size;
    st->used = ngx_rf_zone_used(&store->zone);
    st->evictions = stat->evictions;
    st->file_errors = stat->file_errors;
    st->quarantined = stat->quarantined;
    st->reads_memory = stat->reads_memory;
    st->reads_redis = stat->reads_redis;
    st->reads_file = stat->reads_file;
    st->reads_miss = stat->reads_miss;
    st->writes_redis = stat->writes_redis;
    st->writes_local = stat->writes_local;
    st->rec_running = (st->mode == NGX_RF_RECOVERING);
    st->rec_total = stat->rec_total;
    st->rec_done = stat->rec_done;
    st->replayed = stat->replayed;
    st->expired = stat->expired;
    st->conflicts = stat->conflicts;
    st->failed = stat->failed;
    st->rec_ms = stat->rec_ms;
    st->journal_size = sh->journal_bytes;
    st->journal_limit = store->conf.journal_size;
    st->journal_failing = (sh->disk_failed != 0);

    ngx_rf_zone_lock(&store->zone);
    st->journal_behind = sh->nunlogged + sh->nlogging;
    st->pending = sh->npending + sh->spilled;
    st->files = stat->files + sh->spilled;
    st->entries = sh->live;
    ngx_rf_zone_unlock(&store->zone);
}
