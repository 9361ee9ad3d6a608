
/*
 * The memory of a zone in a System V segment, which is there still when all of
 * nginx was killed: the next start takes out of it what is not on disk.  The
 * shared memory that nginx makes is anonymous, and goes with the last process.
 *
 * Where the segment is says the path's lock file, to whoever holds the lock:
 * its id, address and size, and the zone's "origin".  A reboot takes the
 * segment away, and what the file says then names nothing, or somebody else's
 * segment, which is not touched.
 *
 * Guarantees: whatever cannot be had (no such memory, a limit of the system, an
 * address that is taken) leaves things as they would be without this room.
 *
 * Refuses to know: what is in a zone.
 */

#ifndef _NGX_RF_KEEP_H_INCLUDED_
#define _NGX_RF_KEEP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    int                   id;           /* of shmget(); -1: none */
    u_char               *addr;         /* where it is, or was, attached */
    size_t                size;         /* bytes */
    int                   next;         /* one that is being filled, and will
                                           take its place; -1: none */
    u_char               *next_addr;
    uint64_t              origin;       /* of the zone, by the caller */
    ngx_uint_t            layout;       /* of what is in it, by the caller */
    ngx_str_t            *store;        /* names, for the log */
    ngx_str_t            *path;
} ngx_rf_keep_t;


/*
 * Puts the zone that nginx has just made, and nobody has used, into a segment:
 * the address of shm_zone changes, the slab pool is made anew.  Root gives it
 * to the workers' uid and gid, who are to see how many have it attached.
 * NGX_OK; NGX_DECLINED: it is as it was, and *err says why, 0 where there is no
 * such memory.
 */
ngx_int_t ngx_rf_keep_make(ngx_rf_keep_t *keep, ngx_shm_zone_t *shm_zone,
    uid_t uid, gid_t gid, ngx_err_t *err);

/* writes into the lock file where the segment is, or that there is none; the
 * lock is held.  The log says when that fails, and when the file has named
 * another segment that nobody has attached, but for the one with the id
 * "known".  NGX_OK, NGX_ERROR: the file names none */
ngx_int_t ngx_rf_keep_note(ngx_rf_keep_t *keep, ngx_fd_t lock, int known,
    ngx_log_t *log);

/*
 * What the lock file speaks of, where it can be ours: of this user, of that
 * size, and attached by nobody.  NGX_OK: it is attached where it was.
 * NGX_DECLINED: there is none.  NGX_BUSY: it is attached, or another user's,
 * and is to be left alone.  NGX_ABORT: it cannot be used (its address is taken,
 * or it was made by another nginx, or keep->layout is another one), and is for
 * ngx_rf_keep_drop().
 */
ngx_int_t ngx_rf_keep_find(ngx_rf_keep_t *keep, ngx_fd_t lock);
/* the same lock file, of what was found, says that "next" is being filled: if
 * that comes to no end, the next find() removes it */
void ngx_rf_keep_fill(ngx_rf_keep_t *found, ngx_rf_keep_t *next,
    ngx_fd_t lock);

/* whether the lock file, which somebody holds, names a segment that at most one
 * process has attached: one that ends loses its memory before its files */
ngx_uint_t ngx_rf_keep_dying(ngx_fd_t lock);

/* out of this process, which has found it */
void ngx_rf_keep_detach(ngx_rf_keep_t *keep);
/* the segment goes, with the last process that has it attached */
void ngx_rf_keep_drop(ngx_rf_keep_t *keep);


#endif /* _NGX_RF_KEEP_H_INCLUDED_ */
