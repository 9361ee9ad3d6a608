/*
 * What one worker, the leader, does by timer for all: keeps the lease, writes
 * local changes to files, looks whether Redis is back, replays what it missed.
 *
 * Guarantees: nothing is replayed before a write probe succeeded; a record is
 * removed only after Redis acknowledged that version of it; replay can stop at
 * any point (Redis, worker or nginx dies) and goes on where it was; the store
 * is NORMAL again only when nothing is pending, in memory or on disk, and what
 * files are left is marked as garbage, durably.
 *
 * Refuses to know: requests and operations.  It meets them in the zone.
 */

#ifndef _NGX_RF_RECOVERY_H_INCLUDED_
#define _NGX_RF_RECOVERY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"
#include "ngx_rf_disk.h"
#include "ngx_rf_file.h"
#include "ngx_rf_flush.h"
#include "ngx_rf_keep.h"
#include "ngx_rf_redis.h"
#include "ngx_rf_relay.h"
#include "ngx_rf_zone.h"


typedef struct {
    ngx_str_t             name;         /* of the store */
    ngx_str_t             address;      /* of Redis, for the log */
    ngx_rf_zone_t        *zone;
    ngx_rf_relay_t       *relay;
    ngx_rf_redis_t       *redis;
    ngx_rf_disk_t        *disk;         /* NULL: no file tier */
    ngx_rf_flush_t       *flush;
    ngx_rf_file_conf_t   *file;
    ngx_rf_keep_t        *keep;         /* what the path's lock is to name */
    ngx_msec_t            check_interval;
    ngx_msec_t            budget;       /* of a call to Redis */
    ngx_msec_t            write_interval;
    ngx_uint_t            write_queue;
    ngx_uint_t            rate;         /* keys per second; 0: no limit */
    ngx_uint_t            remote;       /* on_conflict remote */
} ngx_rf_recovery_conf_t;

typedef struct ngx_rf_recovery_s  ngx_rf_recovery_t;


/* in a worker; NULL: no memory */
ngx_rf_recovery_t *ngx_rf_recovery_start(ngx_rf_recovery_conf_t *conf,
    ngx_cycle_t *cycle);
/* in exit_process, before the rooms it was given are stopped */
void ngx_rf_recovery_stop(ngx_rf_recovery_t *r);


#endif /* _NGX_RF_RECOVERY_H_INCLUDED_ */
