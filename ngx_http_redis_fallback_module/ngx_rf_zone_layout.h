/*
 * What is in the shared memory of a zone, see ngx_rf_zone.h, which includes it.
 * A change of any struct is a change of NGX_RF_ZONE_LAYOUT.
 */

#ifndef _NGX_RF_ZONE_LAYOUT_H_INCLUDED_
#define _NGX_RF_ZONE_LAYOUT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"
#include "ngx_rf_tree.h"


/* changes whenever a struct in the zone does: an old zone is then copied,
 * not attached */
#define NGX_RF_ZONE_LAYOUT      13

#define NGX_RF_ZONE_STAMPS      1024

#define NGX_RF_ZONE_LEARNED     256

/* ms that a worker's voucher is good after it has shown to be awake.  A change
 * is to be seen everywhere 10 ms after it was acknowledged */
#define NGX_RF_ZONE_LEASE       8

/* versions begin at the clock, in microseconds: for 2,000 years they need no
 * more bits */
#define NGX_RF_ZONE_LINK        56

/* reads that workers have sent to Redis and others may wait for, by hash */
#define NGX_RF_ZONE_LOCKS       1024

/* lists of what is to be journaled: each worker takes from its own, so that it
 * finds what its own requests wait for */
#define NGX_RF_ZONE_LOGS        16


/* processes that may read without the lock at a time; others keep it */
#define NGX_RF_ZONE_PINS        64

/* processes that may lend a value; others copy it */
#define NGX_RF_ZONE_LENDERS     64


typedef struct {
    size_t                len;
    u_char                data[1];
} ngx_rf_blob_t;


/* the value of a collection, immutable like a blob; what the trees hold is said
 * in ngx_rf_coll.h */

typedef struct {
    ngx_rf_tree_t         elts;
    ngx_rf_tree_t         order;        /* of a sorted set */
} ngx_rf_content_t;

#define ngx_rf_zone_content(e)  ((ngx_rf_content_t *) (void *) (e)->value)


/*
 * Changes of a collection's elements, compacted: what is to be done to each
 * element, whatever the order.  tree[0] of a hash, a set or a sorted set has
 * the elements with a byte of ngx_rf_delta_e and its operand as value.  Of a
 * list: tree[0] what was popped (key 0: at the head, 1: at the tail), tree[1]
 * what was pushed at the head and tree[2] at the tail, in this order.
 */

typedef struct {
    ngx_rf_tree_t         tree[3];
    uint64_t              type;         /* ngx_rf_type_e */
} ngx_rf_zdelta_t;


/* how Redis is told of an element */

typedef enum {
    NGX_RF_DELTA_NONE = 0,
    NGX_RF_DELTA_SET,       /* it has this value, whatever it had */
    NGX_RF_DELTA_DEL,
    NGX_RF_DELTA_INCR,      /* HINCRBY or ZINCRBY by an amount */
    NGX_RF_DELTA_INCRFLOAT, /* HINCRBYFLOAT */
    NGX_RF_DELTA_GT,        /* ZADD GT, ZADD LT with a score */
    NGX_RF_DELTA_LT
} ngx_rf_delta_e;


/* a change of a DELTA: argc times (uint32_t length, bytes), or with argc 0 an
 * ngx_rf_zdelta_t; immutable */

typedef struct ngx_rf_zchange_s  ngx_rf_zchange_t;

struct ngx_rf_zchange_s {
    ngx_rf_zchange_t     *next;
    ngx_rf_zchange_t     *prev;
    uint32_t              argc;
    uint32_t              size;         /* of data */
    u_char                data[1];
};


typedef struct ngx_rf_entry_s  ngx_rf_entry_t;

/* where the disk's tiers are with an entry: one list at a time */

typedef enum {
    NGX_RF_DISK_NONE = 0,
    NGX_RF_DISK_UNLOGGED,   /* pending, and the journal is to have it */
    NGX_RF_DISK_UNACKED,    /* clean, and the journal is to have that */
    NGX_RF_DISK_LOGGING,    /* "logger" writes it there */
    NGX_RF_DISK_DIRTY,      /* its file is to be written, or to go */
    NGX_RF_DISK_WRITING     /* "writer" does that */
} ngx_rf_disk_e;


/* what only an entry has that Redis or the disk lag behind on; others have
 * sh->none, which is all zeros, in its place.  While a command may be undone,
 * what it has changed has one as well */

typedef struct {
    ngx_queue_t           disk;         /* of "where" */
    ngx_rf_entry_t       *entry;

    uint64_t              file_version; /* what the file holds; 0: no file; 1:
                                           perhaps there is one */
    uint64_t              log_version;  /* what the journal has, durably */
    uint64_t              log_begun;    /* no line of a newer version was begun:
                                           the journal may have this one */
    uint64_t              id;           /* see ngx_rf_record_t */

    ngx_rf_entry_t       *peer;         /* ring of the entries that one
                                           transaction has changed; NULL:
                                           alone */
    ngx_rf_zchange_t     *changes;
    ngx_rf_zchange_t     *last_change;

    uint32_t              nsent;
    uint32_t              nchanges;
    uint32_t              sent_run;     /* sh->run when nsent changes went */
    uint32_t              undo;         /* index + 1 in the undo log */
    int32_t               writer;       /* pid that writes the file; 0: none.
                                           The entry may be in another list by
                                           now */
    int32_t               logger;       /* LOGGING: pid */

    uint8_t               base;         /* ngx_rf_base_e */
    u_char                base_sha1[20];

    uint8_t               foreign:1;
    uint8_t               base_expires:1;
    uint8_t               where:3;      /* ngx_rf_disk_e */

    uint8_t               logged:1;     /* the journal may have something of
                                           it, or get it: a batch is on its
                                           way */
    uint8_t               acked:1;      /* and it has, or the mark says, that
                                           all of it is done with */
    uint8_t               log_odd:1;    /* of log_version's segment: the lowest
                                           bit of its generation */
    uint8_t               sent:1;       /* a REPLACE that Redis may have taken
                                           already */

    uint8_t               late:1;       /* while it was in flight, Redis
                                           acknowledged another write to it */
    uint8_t               derived:1;    /* REPLACE: made from what memory knew
                                           before, not in spite of it */
    uint8_t               taken:1;      /* pending: from the disk or another
                                           instance, and nothing was changed
                                           here since */
    uint8_t               renamed:1;    /* DELTA: the disk may have it under
                                           the id of what is done with by now */
    uint8_t               widened:1;    /* DELTA: the disk may have some of the
                                           nsent changes as not sent yet */
} ngx_rf_zwork_t;


/* a place in a list of entries.  Entries are known by numbers here, of units
 * of 64 bytes from the zone's header on, which is half of a pointer; a slot
 * for one begins at such a unit.  Numbers with NGX_RF_ZONE_LINE are those of
 * lists, sh->lines */

typedef struct {
    uint32_t              next;
    uint32_t              prev;
} ngx_rf_line_t;

#define NGX_RF_ZONE_UNIT        6
#define NGX_RF_ZONE_LINE        0x80000000

typedef enum {
    NGX_RF_LINE_CLEAN = 0,  /* head: most recently used */
    NGX_RF_LINE_STALE,      /* clean, but a file is to go yet */
    NGX_RF_LINE_PENDING,    /* head: first to be replayed */
    NGX_RF_LINE_FLYING,
    NGX_RF_LINE_DUE         /* this one and those behind it: by expiry */
} ngx_rf_line_e;

/* lists by expiry: a second or so each, and again from the first */
#define NGX_RF_ZONE_DUE         2048
#define NGX_RF_ZONE_DUE_SHIFT   10


/* ordered so that the header takes 88 bytes: with a key of up to 40 bytes an
 * entry fits a slab slot of 128.  What a lookup compares, and what tells
 * whether the value may be used, is in the first 64; the rest and the key
 * follow in the next */

struct ngx_rf_entry_s {
    uint32_t              next;         /* hash chain: a number, 0: the last */
    uint32_t              hash;
    uint32_t              key_len;
    uint32_t              run;          /* sh->run when last seen in Redis */

    ngx_rf_blob_t        *value;        /* NGX_RF_STRING: its bytes; other
                                           types: an ngx_rf_content_t */
    ngx_rf_zwork_t        *work;         /* never NULL */
    uint64_t              version;      /* sequence number of the last change,
                                           local or acknowledged */
    uint64_t              voucher;      /* see ngx_rf_zone_voucher(); 0: none */
    int64_t               expire;       /* ms; 0: never */
    ngx_rf_line_t         queue;        /* of clean, stale, pending, flying */

    int64_t               seen:48;      /* last seen in Redis, ms; 0: never */
    uint64_t              type:8;       /* ngx_rf_type_e; NONE: absent */
    uint64_t              pending:8;    /* ngx_rf_pending_e */

    int64_t               changed:48;   /* last local change, or the last write
                                           that Redis acknowledged to have set
                                           the whole value, ms */
    uint64_t              used:8;       /* second of the last LRU move */
    uint64_t              magic:3;
    uint64_t              complete:1;
    uint64_t              flying:1;     /* being replayed */
    uint64_t              whole:1;      /* CLEAN: the change at "changed" left
                                           nothing of what was before */
    uint64_t              doubted:1;    /* Redis said that it was changed, and
                                           it was not read since */
    uint64_t              touched:1;    /* a command that changes it was sent,
                                           and nothing was learned since */

    ngx_rf_line_t         due;          /* linked while expire != 0 */

    u_char                key[1];
};


/*
 * What a command has changed since begin_locked(): how the entry was.  It
 * lies in the zone, so that it undoes a command that was refused as well as
 * one whose worker was killed.
 */

typedef struct {
    ngx_rf_entry_t       *entry;        /* NULL: gone, nothing to undo */
    ngx_rf_entry_t        saved;        /* without the key */
    ngx_rf_zwork_t         work;
    ngx_rf_zchange_t     *swapped;      /* taken out by a compaction */
    ngx_uint_t            fresh;        /* inserted by this command */

    /* in a transaction: a later command saved the entry again */
    ngx_uint_t            again;
    ngx_rf_blob_t        *value;        /* what this command left */
    ngx_rf_zchange_t     *changes;
} ngx_rf_undo_t;

#define NGX_RF_ZONE_UNDO        16      /* without an allocation */

/* entries that are replayed in one transaction, at most */
#define NGX_RF_ZONE_GROUP       64


/* a process that reads without the lock: nodes that were given up since
 * "stamp", of sh->owner, are kept for it */

typedef struct {
    uint64_t              stamp;
    int32_t               pid;          /* 0: free; negative: it builds trees */
} ngx_rf_pin_t;


typedef struct {
    ngx_atomic_t          reads_memory;
    ngx_atomic_t          reads_redis;
    ngx_atomic_t          reads_file;
    ngx_atomic_t          reads_miss;
    ngx_atomic_t          writes_redis;
    ngx_atomic_t          writes_local;
    ngx_atomic_t          evictions;
    ngx_atomic_t          outages;
    ngx_atomic_t          file_errors;
    ngx_atomic_t          quarantined;
    ngx_atomic_t          files;        /* records on disk now, those of spilled
                                           keys aside */
    ngx_atomic_t          replayed;     /* since start */
    ngx_atomic_t          expired;
    ngx_atomic_t          conflicts;
    ngx_atomic_t          failed;
    ngx_atomic_t          rec_total;    /* of the current or last recovery */
    ngx_atomic_t          rec_done;
    ngx_atomic_t          rec_ms;       /* its duration, ms */
} ngx_rf_stat_t;


/* 16 workers with 16 connections each */
#define NGX_RF_ZONE_ABANDONED   256


/* a worker's connections to a Redis that tracks: what it has read through them
 * is vouched for while "epoch" is that of the voucher.  By ngx_process_slot */

typedef struct {
    ngx_atomic_t          epoch;        /* 0: none */
    ngx_atomic_t          beat;         /* ngx_current_msec up to which it has
                                           read what Redis said */
} ngx_rf_link_t;

/* keys of which a worker has asked Redis for an element that is removed by
 * that, see ngx_rf_store_pop.c; it may have died since */

typedef struct {
    ngx_atomic_t          pid;
    ngx_atomic_t          keys[2];      /* asked for in normal mode, and in
                                           recoveries */
} ngx_rf_popping_t;

/* an entry's voucher: 10 bits of the worker's slot, 22 of the epoch, the lower
 * 32 of the version that it is for */

#define ngx_rf_zone_voucher(slot, epoch)                                     \
    ((uint64_t) (slot) << 54 | (uint64_t) (epoch) << 32)
#define ngx_rf_zone_voucher_slot(v)     ((ngx_uint_t) ((v) >> 54))
#define ngx_rf_zone_voucher_epoch(v)    ((ngx_uint_t) ((v) >> 32 & 0x3fffff))

/* in place of one: the key was changed after it was read, or at that time */
#define NGX_RF_ZONE_NAMED               1

#if (NGX_MAX_PROCESSES > 1024)
#error "a voucher has 10 bits for the slot"
#endif


/* in shared memory; what is below "words" is changed without the lock */

typedef struct {
    uint32_t              magic;
    uint32_t              layout;
    ngx_atomic_t          busy;         /* pid that changes the zone now */

    u_char                seed[16];     /* of the hash of keys */
    uint64_t              origin;       /* random: makes record ids unique */
    uint64_t              seq;          /* last version given */
    uint64_t              mark;         /* files with a version up to this
                                           are garbage: acknowledged */
    uint32_t              run;          /* counts the times Redis came back
                                           without its data, or was flushed */
    uint32_t              flushed_run;  /* what was seen before this run is not
                                           to be written back */
    u_char                run_id[40];   /* of the Redis last seen */
    u_char                path_sha1[20];/* where file_version refers to */

    ngx_uint_t            files;        /* there is a file tier */

    ngx_uint_t            nbuckets;     /* a power of two */
    uint32_t             *buckets;      /* numbers of entries */

    ngx_rf_zwork_t         none;         /* of entries that have none */
    ngx_rf_zwork_t        *spare;        /* not in use, linked by "entry" */
    ngx_uint_t            nspare;

    ngx_rf_line_t         lines[NGX_RF_LINE_DUE + NGX_RF_ZONE_DUE];
    int64_t               due_at;       /* all expiries before it, in units of
                                           2^NGX_RF_ZONE_DUE_SHIFT ms, have
                                           been looked for */
    uint32_t              due_next;     /* who is next there; 0: the first */

    ngx_queue_t           unlogged[NGX_RF_ZONE_LOGS];
    ngx_queue_t           unacked[NGX_RF_ZONE_LOGS];
    ngx_queue_t           logging;
    ngx_queue_t           dirty;        /* head: first to be written */
    ngx_queue_t           writing;

    ngx_uint_t            entries;      /* all, tombstones included */
    ngx_uint_t            live;         /* those that exist */
    ngx_uint_t            npending;     /* flying ones included */
    ngx_uint_t            nunlogged;    /* unacked ones included */
    ngx_uint_t            nunacked;
    ngx_uint_t            nlogging;
    ngx_uint_t            ndirty;
    ngx_uint_t            nwriting;     /* entries with a "writer" */
    ngx_uint_t            spilled;      /* pending keys that are on disk only */
    ngx_uint_t            rebuilds;
    ngx_uint_t            nrestoring;   /* clean entries that are flying */
    ngx_uint_t            restore_at;   /* bucket where to look for the next */
    uint32_t              restore_run;  /* sh->run that restore_at belongs to */

    ngx_rf_undo_t        *undo;         /* undo_first, or allocated */
    ngx_uint_t            nundo;
    ngx_uint_t            undo_max;
    ngx_rf_undo_t         undo_first[NGX_RF_ZONE_UNDO];

    uint64_t              owner;        /* last given to a heap of trees */
    ngx_queue_t           trash;        /* nodes of trees to be freed, the
                                           oldest first; their "owner" is
                                           sh->owner of that time */
    ngx_uint_t            npins;
    time_t                pins_looked;  /* when it was last looked whether
                                           these processes are alive */
    ngx_rf_pin_t          pins[NGX_RF_ZONE_PINS];
    int32_t               orphaned;     /* one that died building */

    ngx_uint_t            nlenders;     /* places from here on are free */
    int32_t               lenders[NGX_RF_ZONE_LENDERS];
                                        /* pids; 0: free */

    /* by hash: no entry that was removed had a newer version; what was read
     * before that is not to be learned */
    uint64_t              removed[NGX_RF_ZONE_STAMPS];

    /* the journal's segments.  A generation ends when all that is still needed
     * of it has been written to the next one; the segments below "turn" are
     * those of the last one then */
    uint64_t              segment;      /* last number given */
    uint64_t              journal_base; /* below it they are garbage, durably */
    uint64_t              turn;         /* what the base is to be; 0: no
                                           generation is ending */
    uint64_t              journal_top;  /* the newest record's version */
    ngx_uint_t            generation;

    /* connections that workers gave up with commands in flight, by the ids
     * that the Redis of that run_id knows them by */
    uint64_t              abandoned[NGX_RF_ZONE_ABANDONED];
    u_char                abandoned_run_id[40];

    /* words */
    ngx_atomic_t          nabandoned;   /* changed under the lock */
    ngx_atomic_t          mode;         /* epoch << 2 | ngx_rf_mode_e */
    ngx_atomic_t          mode_since;   /* unix seconds */
    ngx_atomic_t          outage_began; /* ngx_current_msec */
    ngx_atomic_t          leader;       /* pid; 0: nobody */
    ngx_atomic_t          lease;        /* ngx_current_msec of its end */
    ngx_atomic_t          files_ready;  /* pid that holds the path's lock */
    ngx_atomic_t          files_scan;   /* 1: files of an earlier run have not
                                           all been read yet */
    ngx_atomic_t          disk_failed;  /* errno of the last batch for the
                                           journal, 0: well */
    ngx_atomic_t          disk_doubt;   /* 1: it failed, and then nothing was
                                           left to be tried */
    ngx_atomic_t          files_failed; /* disk_failed, for files */
    ngx_atomic_t          journal_full; /* not 0: since it had so many bytes it
                                           takes acknowledgements only, files
                                           are written instead */
    ngx_atomic_t          journal_scan; /* 1: it has to be read once more; 2:
                                           it is read, and what comes of it may
                                           go to files, though the path is not
                                           ours yet */
    ngx_atomic_t          journal_bytes;
    ngx_atomic_t          flights[NGX_MAX_PROCESSES];
                                        /* by ngx_process_slot: the batch that
                                           is on its way to the journal, as pid
                                           << 1 | lowest bit of its
                                           generation; its process may have
                                           died since */
    ngx_atomic_t          restore;      /* 1: entries of an older run are to be
                                           written back */
    ngx_atomic_t          superseded;   /* 1: a newer zone has taken over;
                                           2: it is about to, no batch of
                                           files begins */
    ngx_atomic_t          outages;      /* *zone->outages when that began */
    ngx_atomic_t          overlap;      /* ngx_current_msec until which a zone
                                           that was replaced answers, and the
                                           one that has replaced it does not
                                           change; 0: not begun, or over */
    ngx_atomic_t          dropped;      /* 1: the configuration has no such
                                           store any more */
    ngx_atomic_t          connected[NGX_MAX_PROCESSES];
                                        /* by ngx_process_slot: the worker that
                                           is connected to Redis; it may have
                                           died since */

    ngx_atomic_t          lent[NGX_RF_ZONE_LENDERS];
                                        /* the block that each of "lenders" has
                                           lent, see ngx_rf_zone_lend.c; its
                                           lowest bit is set under the lock */

    ngx_atomic_t          inits;        /* configurations that have used it */
    ngx_atomic_t          link_epoch;   /* last given */
    ngx_atomic_t          untracked;    /* 1: that Redis does not track is in
                                           the log */
    ngx_rf_link_t         links[NGX_MAX_PROCESSES];
    ngx_rf_popping_t      popping[NGX_MAX_PROCESSES];
                                        /* by ngx_process_slot */
    ngx_atomic_t          locks[NGX_RF_ZONE_LOCKS];
                                        /* slot and time of its
                                           read; 0: none */

    ngx_rf_stat_t         stat;
} ngx_rf_zone_sh_t;


#endif /* _NGX_RF_ZONE_LAYOUT_H_INCLUDED_ */
