/*
 * A library to be preloaded: makes the system calls of the processes it is in
 * fail, or take their time, records what they do to files, and moves their
 * clock; all of it below one directory, as t/lib/Shim.pm says by way of a file
 * that both have mapped.  RF_SHIM in the environment names that file.
 *
 * Which file a descriptor is, is asked of /proc each time: so there is no state
 * to go wrong with dup(), fork() and what was inherited.  Calls go to the
 * kernel directly, not to the next library: nothing has to be looked up, and a
 * sanitizer that is preloaded before this one works as ever.
 *
 * While operations are recorded each that changes something is done under one
 * lock of all processes, so that their order in the trace is the order in which
 * they were done.  Syncs are not: they have a place where they began and one
 * where they ended.  A process may be killed with the lock held; the trace ends
 * where "end" says, so that half a record does no harm.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "shim.h"


#define SHIM_PATH           4352

#define SHIM_EXPORT         __attribute__((visibility("default")))


typedef struct {
    int               fd;           /* of the directory, or one of ours */
    int               ours;
    uint64_t          ino;
    const char       *name;         /* the last part */
    char              path[SHIM_PATH];
} shim_at_t;


static shim_t  *shim;
static int      shim_fd = -1;       /* of the trace */
static int      shim_tried;


/* the plain calls */

static int
sys_openat(int at, const char *path, int flags, mode_t mode)
{
    return (int) syscall(SYS_openat, at, path, flags | O_LARGEFILE, mode);
}


static int
sys_fstat(int fd, struct stat *st)
{
#ifdef SYS_fstat
    return (int) syscall(SYS_fstat, fd, st);
#else
    return fstat(fd, st);
#endif
}


static int
sys_lstatat(int at, const char *path, struct stat *st)
{
    return (int) syscall(SYS_newfstatat, at, path, st, AT_SYMLINK_NOFOLLOW);
}


static int
sys_clock(clockid_t id, struct timespec *ts)
{
    return (int) syscall(SYS_clock_gettime, id, ts);
}


static void
sys_close(int fd)
{
    int  err;

    err = errno;
    (void) syscall(SYS_close, fd);
    errno = err;
}


__attribute__((constructor)) static void
shim_init(void)
{
    int          fd;
    char        *name;
    void        *p;

    if (shim_tried) {
        return;
    }

    shim_tried = 1;
    name = getenv("RF_SHIM");

    if (name == NULL) {
        return;
    }

    fd = sys_openat(AT_FDCWD, name, O_RDWR|O_CLOEXEC, 0);

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, SHIM_SIZE, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);
    sys_close(fd);

    if (p == MAP_FAILED || ((shim_t *) p)->magic != SHIM_MAGIC) {
        return;
    }

    shim = p;

    /* the first process is alone yet */

    if (!shim->ready) {
        pthread_mutexattr_t  attr;

        pthread_mutexattr_init(&attr);
        pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&shim->mutex, &attr);
        shim->ready = 1;
    }

    if (shim->file[0]) {
        /* high up, where no one looks for the lowest that is free */

        fd = sys_openat(AT_FDCWD, shim->file, O_WRONLY|O_CLOEXEC, 0);

        if (fd != -1) {
            shim_fd = (int) syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 500);

            if (shim_fd == -1) {
                shim_fd = fd;

            } else {
                sys_close(fd);
            }
        }
    }
}


static void
shim_lock(void)
{
    struct timespec  ts;

    while (shim->hold) {
        ts.tv_sec = 0;
        ts.tv_nsec = 1000000;
        (void) syscall(SYS_nanosleep, &ts, NULL);
    }

    if (pthread_mutex_lock(&shim->mutex) == EOWNERDEAD) {
        pthread_mutex_consistent(&shim->mutex);
    }
}


static void
shim_unlock(void)
{
    int  err;

    err = errno;
    pthread_mutex_unlock(&shim->mutex);
    errno = err;
}


/* whether anybody wants to know */

static int
shim_busy(unsigned calls)
{
    int  i;

    /* power.c's constructor may come first; a sanitizer's may not have us at
     * work before it is ready itself */

    if (!shim_tried && getenv("POWER")) {
        shim_init();
    }

    if (shim == NULL) {
        return 0;
    }

    if (shim->trace && calls & ~(SHIM_OPEN|SHIM_READ|SHIM_CLOSE|SHIM_LOCK)) {
        return 1;
    }

    for (i = 0; i < SHIM_FAULTS; i++) {
        if (shim->faults[i].calls & calls) {
            return 1;
        }
    }

    return 0;
}


static int
shim_below(const char *path)
{
    size_t  len;

    len = strlen(shim->dir);

    return len && strncmp(path, shim->dir, len) == 0
           && (path[len] == '/' || path[len] == '\0' || path[len] == ' ');
}


/* whether the descriptor is of ours; its path goes to "path" */

static int
shim_ours(int fd, char *path)
{
    int      err;
    char     name[32], digits[12], *p, *d;
    ssize_t  n;

    if (fd < 0) {
        return 0;
    }

    err = errno;

    /* without snprintf(), which a sanitizer has its own of */

    strcpy(name, "/proc/self/fd/");
    p = name + strlen(name);
    d = digits;

    do {
        *d++ = '0' + fd % 10;
        fd /= 10;
    } while (fd);

    while (d > digits) {
        *p++ = *--d;
    }

    *p = '\0';

    n = syscall(SYS_readlinkat, AT_FDCWD, name, path, SHIM_PATH - 1);

    errno = err;

    if (n <= 0) {
        return 0;
    }

    path[n] = '\0';

    return path[0] == '/' && shim_below(path);
}


/* where a name is, to be closed by shim_leave(); 0: not of ours */

static int
shim_at(int at, const char *path, shim_at_t *a)
{
    int          err;
    char         dir[SHIM_PATH];
    size_t       len;
    const char  *slash;
    struct stat  st;

    a->ours = 0;
    a->fd = at;
    a->name = path;
    err = errno;

    slash = strrchr(path, '/');

    if (slash != NULL || at == AT_FDCWD) {

        if (slash == NULL) {
            strcpy(dir, ".");

        } else if ((size_t) (slash - path) >= sizeof(dir) - 1) {
            return 0;

        } else {
            len = slash - path;
            memcpy(dir, path, len + 1);
            dir[len ? len : 1] = '\0';
            a->name = slash + 1;
        }

        a->fd = sys_openat(at, dir, O_PATH|O_DIRECTORY|O_CLOEXEC, 0);

        if (a->fd == -1) {
            errno = err;
            return 0;
        }

        a->ours = 1;
    }

    errno = err;

    if (!shim_ours(a->fd, a->path) || sys_fstat(a->fd, &st) == -1) {
        if (a->ours) {
            sys_close(a->fd);
            a->ours = 0;
        }

        errno = err;
        return 0;
    }

    a->ino = st.st_ino;

    len = strlen(a->path);

    if (len + 1 + strlen(a->name) < sizeof(a->path)) {
        a->path[len] = '/';
        strcpy(a->path + len + 1, a->name);
    }

    return 1;
}


static void
shim_leave(shim_at_t *a)
{
    if (a->ours) {
        sys_close(a->fd);
        a->ours = 0;
    }
}


/* 1: fails, with errno */

static int
shim_fault(unsigned calls, const char *path, size_t *len)
{
    int              i, err;
    uint32_t         n, left;
    shim_fault_t    *f;
    struct timespec  ts;

    err = 0;

    for (i = 0; i < SHIM_FAULTS; i++) {
        f = &shim->faults[i];

        if (!(f->calls & calls)
            || (f->match[0] && strstr(path, f->match) == NULL))
        {
            continue;
        }

        n = __atomic_add_fetch(&f->seen, 1, __ATOMIC_SEQ_CST);

        if (f->every > 1 && n % f->every) {
            continue;
        }

        left = f->left;

        if (left) {
            if (left == 1) {
                f->calls = 0;
            }

            f->left = left - 1;
        }

        __atomic_add_fetch(&f->hits, 1, __ATOMIC_SEQ_CST);

        if (f->delay) {
            ts.tv_sec = f->delay / 1000;
            ts.tv_nsec = f->delay % 1000 * 1000000L;

            while (syscall(SYS_nanosleep, &ts, &ts) == -1 && errno == EINTR) {
                /* void */
            }
        }

        if (f->partial && len && *len > f->partial) {
            *len = f->partial;
        }

        if (f->err) {
            err = f->err;
        }
    }

    if (err) {
        errno = err;
        return 1;
    }

    return 0;
}


/* the record of an operation that has just ended; locked */

static void
shim_record(shim_record_t *r, const char *name, const char *name2,
    const struct iovec *data, int ndata)
{
    int              i, n, err;
    size_t           left, len;
    struct iovec     iov[16];
    struct timespec  ts;

    if (shim_fd == -1 || !shim->trace) {
        return;
    }

    err = errno;

    (void) sys_clock(CLOCK_MONOTONIC, &ts);

    r->end = ++shim->seq;

    if (r->begin == 0) {
        r->begin = r->end;
    }

    r->ns = (uint64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
    r->pid = getpid();
    r->tid = (uint32_t) syscall(SYS_gettid);
    r->nname = name ? strlen(name) : 0;
    r->nname2 = name2 ? strlen(name2) : 0;
    r->len = sizeof(*r) + r->nname + r->nname2 + r->ndata;

    iov[0].iov_base = r;
    iov[0].iov_len = sizeof(*r);
    iov[1].iov_base = (void *) name;
    iov[1].iov_len = r->nname;
    iov[2].iov_base = (void *) name2;
    iov[2].iov_len = r->nname2;

    n = 3;
    left = r->ndata;

    for (i = 0; i < ndata && left && n < 16; i++) {
        len = data[i].iov_len < left ? data[i].iov_len : left;
        iov[n].iov_base = data[i].iov_base;
        iov[n].iov_len = len;
        left -= len;
        n++;
    }

    if (syscall(SYS_pwritev, shim_fd, iov, n, (long) shim->end, 0L)
        == (long) r->len)
    {
        shim->end += r->len;
    }

    errno = err;
}


static int
shim_open(int at, const char *path, int flags, mode_t mode)
{
    int            fd, made, size;
    unsigned       calls;
    shim_at_t      a;
    struct stat    st;
    shim_record_t  r;

    calls = (flags & O_CREAT || (flags & O_ACCMODE) != O_RDONLY)
            ? SHIM_OPEN_WRITE : SHIM_OPEN;

    if ((flags & O_PATH) || !shim_busy(calls) || !shim_at(at, path, &a)) {
        return sys_openat(at, path, flags, mode);
    }

    if (shim_fault(calls, a.path, NULL)) {
        shim_leave(&a);
        return -1;
    }

    if (!shim->trace || calls == SHIM_OPEN
        || (flags & O_TMPFILE) == O_TMPFILE)
    {
        fd = sys_openat(at, path, flags, mode);
        shim_leave(&a);
        return fd;
    }

    shim_lock();

    made = (flags & O_CREAT) && sys_lstatat(a.fd, a.name, &st) == -1;
    size = made ? 0 : (int) st.st_size;

    fd = sys_openat(at, path, flags, mode);

    if (fd != -1 && (made || (flags & O_TRUNC && size))
        && sys_fstat(fd, &st) == 0)
    {
        memset(&r, 0, sizeof(r));
        r.op = made ? SHIM_OP_CREATE : SHIM_OP_TRUNCATE;
        r.ino = st.st_ino;
        r.dir = a.ino;
        shim_record(&r, made ? a.name : NULL, NULL, NULL, 0);
    }

    shim_unlock();
    shim_leave(&a);

    return fd;
}


static mode_t
shim_mode(int flags, va_list args)
{
    return (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
           ? (mode_t) va_arg(args, int) : 0;
}


#define SHIM_OPEN_CALL(name)                                                 \
    SHIM_EXPORT int                                                          \
    name(const char *path, int flags, ...)                                   \
    {                                                                        \
        mode_t   mode;                                                       \
        va_list  args;                                                       \
                                                                             \
        va_start(args, flags);                                               \
        mode = shim_mode(flags, args);                                       \
        va_end(args);                                                        \
                                                                             \
        return shim_open(AT_FDCWD, path, flags, mode);                       \
    }

#define SHIM_OPENAT_CALL(name)                                               \
    SHIM_EXPORT int                                                          \
    name(int at, const char *path, int flags, ...)                           \
    {                                                                        \
        mode_t   mode;                                                       \
        va_list  args;                                                       \
                                                                             \
        va_start(args, flags);                                               \
        mode = shim_mode(flags, args);                                       \
        va_end(args);                                                        \
                                                                             \
        return shim_open(at, path, flags, mode);                             \
    }

SHIM_OPEN_CALL(open)
SHIM_OPEN_CALL(open64)
SHIM_OPENAT_CALL(openat)
SHIM_OPENAT_CALL(openat64)

/* of _FORTIFY_SOURCE */

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

SHIM_EXPORT int
__open_2(const char *path, int flags)
{
    return shim_open(AT_FDCWD, path, flags, 0);
}


SHIM_EXPORT int
__open64_2(const char *path, int flags)
{
    return shim_open(AT_FDCWD, path, flags, 0);
}


SHIM_EXPORT int
__openat_2(int at, const char *path, int flags)
{
    return shim_open(at, path, flags, 0);
}


SHIM_EXPORT int
__openat64_2(int at, const char *path, int flags)
{
    return shim_open(at, path, flags, 0);
}


SHIM_EXPORT int
creat(const char *path, mode_t mode)
{
    return shim_open(AT_FDCWD, path, O_CREAT|O_WRONLY|O_TRUNC, mode);
}


/* offset -1: where the descriptor is */

static ssize_t
shim_write(int fd, const struct iovec *iov, int n, off_t offset)
{
    int            i, flags;
    char           path[SHIM_PATH];
    size_t         len, all;
    ssize_t        rc;
    struct stat    st;
    struct iovec   cut;
    shim_record_t  r;

    if (!shim_busy(SHIM_WRITE) || !shim_ours(fd, path)) {
        goto plain;
    }

    all = 0;

    for (i = 0; i < n; i++) {
        all += iov[i].iov_len;
    }

    len = all;

    if (shim_fault(SHIM_WRITE, path, &len)) {
        return -1;
    }

    if (len < all) {
        /* within the first, for simplicity */
        cut.iov_base = iov[0].iov_base;
        cut.iov_len = iov[0].iov_len < len ? iov[0].iov_len : len;
        iov = &cut;
        n = 1;
    }

    if (!shim->trace || sys_fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
        goto plain;
    }

    shim_lock();

    memset(&r, 0, sizeof(r));
    r.op = SHIM_OP_WRITE;
    r.ino = st.st_ino;
    r.offset = offset;

    if (offset == -1) {
        flags = (int) syscall(SYS_fcntl, fd, F_GETFL);

        if (flags & O_APPEND) {
            (void) sys_fstat(fd, &st);
            r.offset = st.st_size;

        } else {
            r.offset = syscall(SYS_lseek, fd, 0L, SEEK_CUR);
        }

        rc = syscall(SYS_writev, fd, iov, n);

    } else {
        rc = syscall(SYS_pwritev, fd, iov, n, (long) offset, 0L);
    }

    if (rc > 0) {
        r.ndata = rc;
        shim_record(&r, NULL, NULL, iov, n);
    }

    shim_unlock();

    return rc;

plain:

    if (offset == -1) {
        return n == 1 ? syscall(SYS_write, fd, iov->iov_base, iov->iov_len)
                      : syscall(SYS_writev, fd, iov, n);
    }

    return syscall(SYS_pwritev, fd, iov, n, (long) offset, 0L);
}


SHIM_EXPORT ssize_t
write(int fd, const void *buf, size_t len)
{
    struct iovec  iov;

    iov.iov_base = (void *) buf;
    iov.iov_len = len;

    return shim_write(fd, &iov, 1, -1);
}


SHIM_EXPORT ssize_t
writev(int fd, const struct iovec *iov, int n)
{
    return shim_write(fd, iov, n, -1);
}


SHIM_EXPORT ssize_t
pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    struct iovec  iov;

    iov.iov_base = (void *) buf;
    iov.iov_len = len;

    return shim_write(fd, &iov, 1, offset);
}


SHIM_EXPORT ssize_t
pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
    return pwrite(fd, buf, len, offset);
}


static int
shim_truncate(int fd, off_t size)
{
    int            rc;
    char           path[SHIM_PATH];
    struct stat    st;
    shim_record_t  r;

    if (!shim_busy(SHIM_TRUNCATE) || !shim_ours(fd, path)) {
        return (int) syscall(SYS_ftruncate, fd, size);
    }

    if (shim_fault(SHIM_TRUNCATE, path, NULL)) {
        return -1;
    }

    if (!shim->trace || sys_fstat(fd, &st) == -1) {
        return (int) syscall(SYS_ftruncate, fd, size);
    }

    shim_lock();

    rc = (int) syscall(SYS_ftruncate, fd, size);

    if (rc == 0) {
        memset(&r, 0, sizeof(r));
        r.op = SHIM_OP_TRUNCATE;
        r.ino = st.st_ino;
        r.offset = size;
        shim_record(&r, NULL, NULL, NULL, 0);
    }

    shim_unlock();

    return rc;
}


SHIM_EXPORT int
ftruncate(int fd, off_t size)
{
    return shim_truncate(fd, size);
}


SHIM_EXPORT int
ftruncate64(int fd, off64_t size)
{
    return shim_truncate(fd, size);
}


static int
shim_rename(int at, const char *from, int to_at, const char *to,
    unsigned flags)
{
    int            rc;
    shim_at_t      a, b;
    struct stat    st;
    shim_record_t  r;

    if (!shim_busy(SHIM_RENAME) || !shim_at(at, from, &a)) {
        return (int) syscall(SYS_renameat2, at, from, to_at, to, flags);
    }

    if (!shim_at(to_at, to, &b)) {
        shim_leave(&a);
        return (int) syscall(SYS_renameat2, at, from, to_at, to, flags);
    }

    rc = -1;

    if (shim_fault(SHIM_RENAME, b.path, NULL)) {
        goto done;
    }

    shim_lock();

    if (sys_lstatat(a.fd, a.name, &st) == 0) {
        rc = (int) syscall(SYS_renameat2, at, from, to_at, to, flags);

        if (rc == 0) {
            memset(&r, 0, sizeof(r));
            r.op = SHIM_OP_RENAME;
            r.ino = st.st_ino;
            r.dir = a.ino;
            r.dir2 = b.ino;
            r.is_dir = S_ISDIR(st.st_mode);
            shim_record(&r, a.name, b.name, NULL, 0);
        }
    }

    shim_unlock();

done:

    shim_leave(&a);
    shim_leave(&b);

    return rc;
}


SHIM_EXPORT int
rename(const char *from, const char *to)
{
    return shim_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}


SHIM_EXPORT int
renameat(int at, const char *from, int to_at, const char *to)
{
    return shim_rename(at, from, to_at, to, 0);
}


SHIM_EXPORT int
renameat2(int at, const char *from, int to_at, const char *to, unsigned flags)
{
    return shim_rename(at, from, to_at, to, flags);
}


static int
shim_unlink(int at, const char *path, int flags)
{
    int            rc;
    shim_at_t      a;
    struct stat    st;
    shim_record_t  r;

    if (!shim_busy(SHIM_UNLINK) || !shim_at(at, path, &a)) {
        return (int) syscall(SYS_unlinkat, at, path, flags);
    }

    rc = -1;

    if (shim_fault(SHIM_UNLINK, a.path, NULL)) {
        goto done;
    }

    shim_lock();

    if (sys_lstatat(a.fd, a.name, &st) == 0) {
        rc = (int) syscall(SYS_unlinkat, at, path, flags);

        if (rc == 0) {
            memset(&r, 0, sizeof(r));
            r.op = S_ISDIR(st.st_mode) ? SHIM_OP_RMDIR : SHIM_OP_UNLINK;
            r.ino = st.st_ino;
            r.dir = a.ino;
            r.is_dir = S_ISDIR(st.st_mode);
            shim_record(&r, a.name, NULL, NULL, 0);
        }
    }

    shim_unlock();

done:

    shim_leave(&a);

    return rc;
}


SHIM_EXPORT int
unlink(const char *path)
{
    return shim_unlink(AT_FDCWD, path, 0);
}


SHIM_EXPORT int
rmdir(const char *path)
{
    return shim_unlink(AT_FDCWD, path, AT_REMOVEDIR);
}


SHIM_EXPORT int
unlinkat(int at, const char *path, int flags)
{
    return shim_unlink(at, path, flags);
}


static int
shim_mkdir(int at, const char *path, mode_t mode)
{
    int            rc;
    shim_at_t      a;
    struct stat    st;
    shim_record_t  r;

    if (!shim_busy(SHIM_MKDIR) || !shim_at(at, path, &a)) {
        return (int) syscall(SYS_mkdirat, at, path, mode);
    }

    rc = -1;

    if (shim_fault(SHIM_MKDIR, a.path, NULL)) {
        goto done;
    }

    shim_lock();

    rc = (int) syscall(SYS_mkdirat, at, path, mode);

    if (rc == 0 && sys_lstatat(a.fd, a.name, &st) == 0) {
        memset(&r, 0, sizeof(r));
        r.op = SHIM_OP_MKDIR;
        r.ino = st.st_ino;
        r.dir = a.ino;
        r.is_dir = 1;
        shim_record(&r, a.name, NULL, NULL, 0);
    }

    shim_unlock();

done:

    shim_leave(&a);

    return rc;
}


SHIM_EXPORT int
mkdir(const char *path, mode_t mode)
{
    return shim_mkdir(AT_FDCWD, path, mode);
}


SHIM_EXPORT int
mkdirat(int at, const char *path, mode_t mode)
{
    return shim_mkdir(at, path, mode);
}


static int
shim_link(int at, const char *from, int to_at, const char *to, int flags)
{
    int            rc;
    shim_at_t      b;
    struct stat    st;
    shim_record_t  r;

    if (!shim_busy(SHIM_LINK) || !shim_at(to_at, to, &b)) {
        return (int) syscall(SYS_linkat, at, from, to_at, to, flags);
    }

    rc = -1;

    if (shim_fault(SHIM_LINK, b.path, NULL)) {
        goto done;
    }

    shim_lock();

    rc = (int) syscall(SYS_linkat, at, from, to_at, to, flags);

    if (rc == 0 && sys_lstatat(b.fd, b.name, &st) == 0) {
        memset(&r, 0, sizeof(r));
        r.op = SHIM_OP_LINK;
        r.ino = st.st_ino;
        r.dir = b.ino;
        shim_record(&r, b.name, NULL, NULL, 0);
    }

    shim_unlock();

done:

    shim_leave(&b);

    return rc;
}


SHIM_EXPORT int
link(const char *from, const char *to)
{
    return shim_link(AT_FDCWD, from, AT_FDCWD, to, 0);
}


SHIM_EXPORT int
linkat(int at, const char *from, int to_at, const char *to, int flags)
{
    return shim_link(at, from, to_at, to, flags);
}


static int
shim_sync(int fd, long call)
{
    int            rc;
    char           path[SHIM_PATH];
    unsigned       calls;
    struct stat    st;
    shim_record_t  r;

    if (!shim_busy(SHIM_SYNC|SHIM_SYNC_FILE|SHIM_SYNC_DIR|SHIM_SYNC_FS)
        || !shim_ours(fd, path) || sys_fstat(fd, &st) == -1)
    {
        return (int) syscall(call, fd);
    }

    calls = SHIM_SYNC | (call == SYS_syncfs ? SHIM_SYNC_FS
                         : S_ISDIR(st.st_mode) ? SHIM_SYNC_DIR
                                               : SHIM_SYNC_FILE);

    memset(&r, 0, sizeof(r));
    r.ino = st.st_ino;
    r.is_dir = S_ISDIR(st.st_mode);

    if (shim->trace) {
        shim_lock();
        r.begin = ++shim->seq;
        shim_unlock();
    }

    if (shim_fault(calls, path, NULL)) {
        rc = -1;
        r.op = (call == SYS_syncfs) ? SHIM_OP_SYNCFS_FAILED
                                    : SHIM_OP_FSYNC_FAILED;
    } else {
        rc = (int) syscall(call, fd);
        r.op = (call == SYS_syncfs) ? SHIM_OP_SYNCFS : SHIM_OP_FSYNC;
    }

    if (shim->trace && (rc == 0 || r.op == SHIM_OP_FSYNC_FAILED
                        || r.op == SHIM_OP_SYNCFS_FAILED))
    {
        shim_lock();
        shim_record(&r, NULL, NULL, NULL, 0);
        shim_unlock();
    }

    return rc;
}


SHIM_EXPORT int
fsync(int fd)
{
    return shim_sync(fd, SYS_fsync);
}


SHIM_EXPORT int
fdatasync(int fd)
{
    return shim_sync(fd, SYS_fdatasync);
}


SHIM_EXPORT int
syncfs(int fd)
{
    return shim_sync(fd, SYS_syncfs);
}


static ssize_t
shim_read(int fd, void *buf, size_t len, off_t offset)
{
    char  path[SHIM_PATH];

    if (shim_busy(SHIM_READ) && shim_ours(fd, path)
        && shim_fault(SHIM_READ, path, &len))
    {
        return -1;
    }

    return offset == -1 ? syscall(SYS_read, fd, buf, len)
                        : syscall(SYS_pread64, fd, buf, len, (long) offset);
}


SHIM_EXPORT ssize_t
read(int fd, void *buf, size_t len)
{
    return shim_read(fd, buf, len, -1);
}


SHIM_EXPORT ssize_t
pread(int fd, void *buf, size_t len, off_t offset)
{
    return shim_read(fd, buf, len, offset);
}


SHIM_EXPORT ssize_t
pread64(int fd, void *buf, size_t len, off64_t offset)
{
    return shim_read(fd, buf, len, offset);
}


ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t size);
ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset,
    size_t size);


SHIM_EXPORT ssize_t
__read_chk(int fd, void *buf, size_t len, size_t size)
{
    if (len > size) {
        abort();
    }

    return shim_read(fd, buf, len, -1);
}


SHIM_EXPORT ssize_t
__pread_chk(int fd, void *buf, size_t len, off_t offset, size_t size)
{
    if (len > size) {
        abort();
    }

    return shim_read(fd, buf, len, offset);
}


SHIM_EXPORT ssize_t
__pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t size)
{
    return __pread_chk(fd, buf, len, offset, size);
}


/* as with NFS, what fails is the writing of before: it is closed in any case */

SHIM_EXPORT int
close(int fd)
{
    int   rc, err;
    char  path[SHIM_PATH];

    if (shim_busy(SHIM_CLOSE) && shim_ours(fd, path)
        && shim_fault(SHIM_CLOSE, path, NULL))
    {
        err = errno;
        (void) syscall(SYS_close, fd);
        errno = err;
        return -1;
    }

    rc = (int) syscall(SYS_close, fd);

    return rc;
}


SHIM_EXPORT int
flock(int fd, int how)
{
    char  path[SHIM_PATH];

    if (shim_busy(SHIM_LOCK) && shim_ours(fd, path)
        && shim_fault(SHIM_LOCK, path, NULL))
    {
        return -1;
    }

    return (int) syscall(SYS_flock, fd, how);
}


/* the clock */

SHIM_EXPORT int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int  rc;

    rc = sys_clock(id, ts);

    if (rc == 0 && shim != NULL
        && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
    {
        ts->tv_sec += shim->clock;
    }

    return rc;
}


SHIM_EXPORT int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec  ts;

    (void) tz;

    if (sys_clock(CLOCK_REALTIME, &ts) == -1) {
        return -1;
    }

    if (tv) {
        tv->tv_sec = ts.tv_sec + (shim ? shim->clock : 0);
        tv->tv_usec = ts.tv_nsec / 1000;
    }

    return 0;
}


SHIM_EXPORT time_t
time(time_t *t)
{
    time_t           now;
    struct timespec  ts;

    (void) sys_clock(CLOCK_REALTIME, &ts);

    now = ts.tv_sec + (shim ? shim->clock : 0);

    if (t) {
        *t = now;
    }

    return now;
}
