
/*
 * See ngx_rf_keep.h.
 *
 * A zone is full of pointers into itself, so a segment is of use at its old
 * address only.  Where nginx's own mappings go is drawn anew for each start, by
 * the system; a segment has an address of its own, drawn from a range that
 * nothing else is in: on x86-64 and aarch64 with 47 bits of addresses and more
 * programs are above 0x500000000000, and what a sanitizer takes is below
 * 0x180000000000.  Where that fails (fewer bits, valgrind) the system chooses.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/rand.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include "ngx_rf_keep.h"


/* munmap(2), which is how nginx gives up a zone, has to detach a segment */
#define NGX_RF_KEEP_WORKS       (NGX_LINUX && NGX_PTR_SIZE == 8                \
                                 && NGX_HAVE_ATOMIC_OPS)

#define NGX_RF_KEEP_FROM        0x200000000000
#define NGX_RF_KEEP_SPAN        0x200000000000

/* attempts at an address; two zones of 1 GB meet once in 16,000 */
#define NGX_RF_KEEP_TRIES       4

/* all of a note, which is written in one piece */
#define NGX_RF_KEEP_NOTE        192


#if (NGX_RF_KEEP_WORKS)

static u_char *ngx_rf_keep_attach(int id);
static void ngx_rf_keep_pool(ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_rf_keep_write(ngx_rf_keep_t *keep, ngx_fd_t lock);
static ngx_uint_t ngx_rf_keep_ours(int id, u_char *addr);
static ngx_int_t ngx_rf_keep_read(ngx_rf_keep_t *keep, ngx_fd_t lock,
    ngx_uint_t *same);


ngx_int_t
ngx_rf_keep_make(ngx_rf_keep_t *keep, ngx_shm_zone_t *shm_zone, uid_t uid,
    gid_t gid, ngx_err_t *err)
{
    int               id;
    u_char           *addr;
    struct shmid_ds   st;

    keep->id = -1;

    id = shmget(IPC_PRIVATE, shm_zone->shm.size, IPC_CREAT|0600);

    if (id == -1) {
        *err = ngx_errno;
        return NGX_DECLINED;
    }

    addr = ngx_rf_keep_attach(id);

    if (addr == NULL) {
        *err = ngx_errno;
        (void) shmctl(id, IPC_RMID, NULL);
        return NGX_DECLINED;
    }

    if (geteuid() == 0 && shmctl(id, IPC_STAT, &st) == 0) {
        st.shm_perm.uid = uid;
        st.shm_perm.gid = gid;

        /* without it workers see less, and do the same */
        (void) shmctl(id, IPC_SET, &st);
    }

    ngx_shm_free(&shm_zone->shm);

    shm_zone->shm.addr = addr;
    ngx_rf_keep_pool(shm_zone);

    keep->id = id;
    keep->next = -1;
    keep->addr = addr;
    keep->size = shm_zone->shm.size;

    return NGX_OK;
}


static u_char *
ngx_rf_keep_attach(int id)
{
    void        *addr;
    uint64_t     r;
    ngx_uint_t   i;

    for (i = 0; i < NGX_RF_KEEP_TRIES; i++) {

        if (RAND_bytes((u_char *) &r, sizeof(r)) != 1) {
            break;
        }

        r = (NGX_RF_KEEP_FROM + r % NGX_RF_KEEP_SPAN)
            & ~((uint64_t) 0xfffff);

        addr = shmat(id, (void *) (uintptr_t) r, 0);

        if (addr != (void *) -1) {
            return addr;
        }
    }

    addr = shmat(id, NULL, 0);

    return (addr == (void *) -1) ? NULL : addr;
}


/* as ngx_init_zone_pool(), which is not for modules */

static void
ngx_rf_keep_pool(ngx_shm_zone_t *shm_zone)
{
    ngx_slab_pool_t  *sp;

    sp = (ngx_slab_pool_t *) shm_zone->shm.addr;

    sp->end = shm_zone->shm.addr + shm_zone->shm.size;
    sp->min_shift = 3;
    sp->addr = shm_zone->shm.addr;

    /* with atomic operations there is no file, and it cannot fail */
    (void) ngx_shmtx_create(&sp->mutex, &sp->lock, NULL);

    ngx_slab_init(sp);
}


ngx_int_t
ngx_rf_keep_note(ngx_rf_keep_t *keep, ngx_fd_t lock, int known, ngx_log_t *log)
{
    ngx_int_t        rc;
    ngx_uint_t       same;
    ngx_rf_keep_t    before;
    struct shmid_ds  st;

    before.layout = 0;

    if (ngx_rf_keep_read(&before, lock, &same) == NGX_OK
        && before.id != keep->id && before.id != known
        && shmctl(before.id, IPC_STAT, &st) == 0
        && st.shm_segsz == before.size
        && st.shm_nattch == 0)
    {
        ngx_log_error(NGX_LOG_CRIT, log, 0,
                      "redis_fallback store \"%V\": path \"%V\" comes from "
                      "an nginx that was killed, or could not write all, and "
                      "what only its shared memory %d has is lost",
                      keep->store, keep->path, before.id);
    }

    rc = ngx_rf_keep_write(keep, lock);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (keep->id != -1) {
        ngx_log_error(NGX_LOG_WARN, log, ngx_errno,
                      "redis_fallback store \"%V\": could not write to the "
                      "lock of path \"%V\", if all of nginx is killed its "
                      "writes of the last write_interval are lost",
                      keep->store, keep->path);
    }

    (void) !ftruncate(lock, 0);

    return rc;
}


void
ngx_rf_keep_fill(ngx_rf_keep_t *found, ngx_rf_keep_t *next, ngx_fd_t lock)
{
    ngx_rf_keep_t  both;

    both = *found;
    both.next = next->id;
    both.next_addr = next->addr;

    /* without it the next one may be left behind: the file says what it said */
    (void) ngx_rf_keep_write(&both, lock);
}


/* NGX_ERROR, with ngx_errno: the file is as it was */

static ngx_int_t
ngx_rf_keep_write(ngx_rf_keep_t *keep, ngx_fd_t lock)
{
    u_char  text[NGX_RF_KEEP_NOTE], is[NGX_RF_KEEP_NOTE], *p;

    /* as long as any other, also of none: on a full disk it has its room */

    ngx_memset(text, ' ', sizeof(text));

    if (keep->id == -1) {
        p = ngx_cpymem(text, "none", 4);

    } else {
        p = ngx_snprintf(text, sizeof(text) - 1, "shm %d at %uL of %uL "
                         "origin %uL nginx %d layout %ui", keep->id,
                         (uint64_t) (uintptr_t) keep->addr,
                         (uint64_t) keep->size, keep->origin,
                         (int) nginx_version, keep->layout);
    }

    if (keep->next != -1) {
        (void) ngx_snprintf(p, text + sizeof(text) - 1 - p,
                            " next %d at %uL", keep->next,
                            (uint64_t) (uintptr_t) keep->next_addr);
    }

    text[sizeof(text) - 1] = LF;

    if (pread(lock, is, sizeof(is), 0) == (ssize_t) sizeof(is)
        && ngx_memcmp(is, text, sizeof(is)) == 0)
    {
        return NGX_OK;
    }

    return pwrite(lock, text, sizeof(text), 0) == (ssize_t) sizeof(text)
           ? NGX_OK : NGX_ERROR;
}


ngx_uint_t
ngx_rf_keep_dying(ngx_fd_t lock)
{
    ngx_uint_t       same;
    ngx_rf_keep_t    keep;
    struct shmid_ds  st;

    keep.layout = 0;

    if (ngx_rf_keep_read(&keep, lock, &same) != NGX_OK
        || shmctl(keep.id, IPC_STAT, &st) == -1
        || st.shm_segsz != keep.size)
    {
        return 0;
    }

    return st.shm_nattch <= 1;
}


ngx_int_t
ngx_rf_keep_find(ngx_rf_keep_t *keep, ngx_fd_t lock)
{
    void             *addr;
    ngx_int_t         rc;
    ngx_uint_t        same;
    struct shmid_ds   st;

    rc = ngx_rf_keep_read(keep, lock, &same);

    if (keep->next != -1 && ngx_rf_keep_ours(keep->next, keep->next_addr)) {
        (void) shmctl(keep->next, IPC_RMID, NULL);
    }

    keep->next = -1;

    if (rc != NGX_OK) {
        keep->id = -1;
        return NGX_DECLINED;
    }

    /* numbers are given anew after a reboot, so it may be anybody's */

    if (shmctl(keep->id, IPC_STAT, &st) == -1) {
        rc = (ngx_errno == NGX_EACCES) ? NGX_BUSY : NGX_DECLINED;

        if (rc == NGX_DECLINED) {
            keep->id = -1;
        }

        return rc;
    }

    /* a number that this start was given for its own zone */

    if (st.shm_segsz != keep->size
        || (st.shm_cpid == ngx_getpid() && st.shm_nattch != 0))
    {
        keep->id = -1;
        return NGX_DECLINED;
    }

    if (st.shm_perm.cuid != geteuid() || st.shm_nattch != 0) {
        return NGX_BUSY;
    }

    if (same) {
        addr = shmat(keep->id, keep->addr, 0);

        if (addr != (void *) -1) {
            return NGX_OK;
        }
    }

    if (!ngx_rf_keep_ours(keep->id, keep->addr)) {
        keep->id = -1;
        return NGX_DECLINED;
    }

    return NGX_ABORT;
}


/* attached by nobody; and what begins with a slab pool that was there is a zone
 * of a store, and of this one: addresses are not drawn twice */

static ngx_uint_t
ngx_rf_keep_ours(int id, u_char *addr)
{
    ngx_uint_t        ours;
    struct shmid_ds   st;
    ngx_slab_pool_t  *sp;

    if (shmctl(id, IPC_STAT, &st) == -1 || st.shm_nattch != 0
        || st.shm_segsz < sizeof(ngx_slab_pool_t))
    {
        return 0;
    }

    sp = shmat(id, NULL, SHM_RDONLY);

    if (sp == (void *) -1) {
        return 0;
    }

    ours = (sp->addr == addr);

    (void) shmdt(sp);

    return ours;
}


static ngx_int_t
ngx_rf_keep_read(ngx_rf_keep_t *keep, ngx_fd_t lock, ngx_uint_t *same)
{
    int            version;
    char           text[NGX_RF_KEEP_NOTE];
    ssize_t        n;
    unsigned long  addr, size, origin, layout;
    const char    *next;

    keep->next = -1;

    n = pread(lock, text, sizeof(text), 0);

    if (n != (ssize_t) sizeof(text)) {
        return NGX_DECLINED;
    }

    text[n - 1] = '\0';

    next = strstr(text, " next ");

    if (next && sscanf(next, " next %d at %lu", &keep->next, &addr) == 2) {
        keep->next_addr = (u_char *) (uintptr_t) addr;

    } else {
        keep->next = -1;
    }

    if (sscanf(text, "shm %d at %lu of %lu origin %lu nginx %d layout %lu",
               &keep->id, &addr, &size, &origin, &version, &layout)
        != 6)
    {
        return NGX_DECLINED;
    }

    keep->addr = (u_char *) (uintptr_t) addr;
    keep->size = size;
    keep->origin = origin;

    *same = (version == nginx_version && layout == keep->layout);

    return NGX_OK;
}


void
ngx_rf_keep_detach(ngx_rf_keep_t *keep)
{
    (void) shmdt(keep->addr);
}


void
ngx_rf_keep_drop(ngx_rf_keep_t *keep)
{
    if (keep->id != -1) {
        (void) shmctl(keep->id, IPC_RMID, NULL);
        keep->id = -1;
    }
}


#else


ngx_int_t
ngx_rf_keep_make(ngx_rf_keep_t *keep, ngx_shm_zone_t *shm_zone, uid_t uid,
    gid_t gid, ngx_err_t *err)
{
    keep->id = -1;
    *err = 0;

    return NGX_DECLINED;
}


ngx_int_t
ngx_rf_keep_note(ngx_rf_keep_t *keep, ngx_fd_t lock, int known, ngx_log_t *log)
{
    return NGX_OK;
}


ngx_uint_t
ngx_rf_keep_dying(ngx_fd_t lock)
{
    return 0;
}


ngx_int_t
ngx_rf_keep_find(ngx_rf_keep_t *keep, ngx_fd_t lock)
{
    return NGX_DECLINED;
}


void
ngx_rf_keep_fill(ngx_rf_keep_t *found, ngx_rf_keep_t *next, ngx_fd_t lock)
{
}


void
ngx_rf_keep_detach(ngx_rf_keep_t *keep)
{
}


void
ngx_rf_keep_drop(ngx_rf_keep_t *keep)
{
}

#endif
