/*
 * The file that a test, the shim in nginx and the replayer share, and the
 * records of a trace.  t/lib/Shim.pm and t/lib/PowerCut.pm have the same by
 * offset: change them together.
 */

#ifndef _RF_SHIM_H_INCLUDED_
#define _RF_SHIM_H_INCLUDED_


#include <stdint.h>
#include <pthread.h>


#define SHIM_MAGIC          0x52465332      /* "RFS2" */
#define SHIM_FAULTS         16
#define SHIM_SIZE           16384


/* classes of calls, bits of a fault's "calls" */

#define SHIM_WRITE          0x0001
#define SHIM_SYNC           0x0002          /* fsync, fdatasync, syncfs */
#define SHIM_OPEN_WRITE     0x0004          /* creating, or open for writing */
#define SHIM_OPEN           0x0008          /* any other open */
#define SHIM_RENAME         0x0010
#define SHIM_UNLINK         0x0020          /* rmdir, too */
#define SHIM_MKDIR          0x0040
#define SHIM_LINK           0x0080
#define SHIM_TRUNCATE       0x0100
#define SHIM_READ           0x0200
#define SHIM_CLOSE          0x0400
#define SHIM_LOCK           0x0800          /* flock */
#define SHIM_SYNC_FILE      0x1000          /* of a file: fdatasync, fsync */
#define SHIM_SYNC_DIR       0x2000
#define SHIM_SYNC_FS        0x4000


typedef struct {
    uint32_t          calls;        /* 0: none; written last */
    int32_t           err;          /* errno; 0: none */
    uint32_t          every;        /* the n-th only; 0 and 1: each */
    uint32_t          left;         /* so many times yet; 0: no end */
    uint32_t          delay;        /* ms, before the call */
    uint32_t          partial;      /* writes: at most so many bytes; 0: all */
    uint32_t          seen;
    uint32_t          hits;
    char              match[96];    /* only paths with this in them */
} shim_fault_t;


typedef struct {
    uint32_t          magic;
    uint32_t          trace;        /* 1: operations are recorded */
    int64_t           clock;        /* seconds on top of the real time */
    uint64_t          seq;          /* of the last operation that began or
                                       ended */
    uint64_t          end;          /* of the trace, bytes */
    uint32_t          ready;        /* the mutex is made */
    uint32_t          hold;         /* 1: what changes something waits */
    char              dir[1024];    /* without symlinks and final slash */
    char              file[1024];   /* of the trace */
    shim_fault_t      faults[SHIM_FAULTS];
    pthread_mutex_t   mutex;        /* shared, robust */
} shim_t;


typedef enum {
    SHIM_OP_CREATE = 1,
    SHIM_OP_WRITE,
    SHIM_OP_RENAME,
    SHIM_OP_UNLINK,
    SHIM_OP_MKDIR,
    SHIM_OP_RMDIR,
    SHIM_OP_LINK,
    SHIM_OP_TRUNCATE,
    SHIM_OP_FSYNC,                  /* of a file or a directory */
    SHIM_OP_SYNCFS,
    SHIM_OP_FSYNC_FAILED,           /* "err": what was not synced of this file
                                       may never be */
    SHIM_OP_SYNCFS_FAILED
} shim_op_e;


/* followed by name, name2 and data */

typedef struct {
    uint32_t          len;          /* of all of it */
    uint32_t          op;
    uint64_t          begin;        /* of the global sequence: syncs cover what
                                       ended before they began */
    uint64_t          end;
    uint64_t          ns;           /* CLOCK_MONOTONIC at the end */
    uint32_t          pid;
    uint32_t          tid;
    uint64_t          ino;          /* what it is about */
    uint64_t          dir;          /* where its name is */
    uint64_t          dir2;         /* rename: where it goes */
    int64_t           offset;       /* write; truncate: the new size */
    uint32_t          is_dir;
    uint32_t          nname;
    uint32_t          nname2;
    uint32_t          ndata;
} shim_record_t;


#endif /* _RF_SHIM_H_INCLUDED_ */
