/*
 * The shared-memory tier: entries in a hash table, an LRU of what may be
 * evicted, lists by expiry, the pending list (what Redis has not acknowledged),
 * the lists of what the journal and the files lag behind on, counters.
 *
 * Guarantees: values are copied out under the lock; nothing blocks and nothing
 * is called back while it is held; the only lock is the slab pool's mutex,
 * which nginx frees when its holder dies.  An entry's value is an immutable
 * block published by one pointer store, so a worker killed inside a change
 * leaves either the old or the new value: the next one to lock sees the mark,
 * salvages what is pending through the hash chains and makes the zone anew.
 *
 * Refuses to know: modes, Redis, files, HTTP.
 */

#ifndef _NGX_RF_ZONE_H_INCLUDED_
#define _NGX_RF_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"
#include "ngx_rf_tree.h"


/* changes whenever a struct in the zone does: an old zone is then copied,
 * not attached */
#define NGX_RF_ZONE_LAYOUT      12

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


typedef struct {
    ngx_shm_zone_t       *shm_zone;
    ngx_slab_pool_t      *shpool;
    ngx_rf_zone_sh_t     *sh;
    ngx_str_t             name;         /* of the store */
    ngx_log_t            *log;

    unsigned              files:1;      /* there is a file tier (path) */
    unsigned              digests:1;    /* collections are to be compared */
    u_char                path_sha1[20];/* of path and database */
    ngx_atomic_t         *outages;      /* counted when any zone of the store
                                           leaves normal mode; NULL: not yet */

    /* private */
    ngx_uint_t            undoing;      /* between begin and commit */
    ngx_uint_t            savepoint;    /* undo records before it are those of
                                           earlier commands */
    ngx_uint_t            urgent;       /* what is allocated is no cache */
    ngx_uint_t            plain;        /* nothing is evicted for it */
    ngx_rf_entry_t       *kept;         /* not to be evicted now */
    ngx_uint_t            prepared;     /* trees are built before begin() */
    ngx_rf_heap_t         heap;         /* of the trees that change */
    uint64_t              learned[NGX_RF_ZONE_LEARNED];
                                        /* by hash: the version that an entry
                                           got by what this process learned,
                                           and over which link */
    uint64_t              link;         /* of what is learned now, shifted to
                                           its place above a version */
    ngx_str_t            *hashed;       /* a key whose hash is known, or NULL */
    uint32_t              hash;

    /* of a leader that restores: what was read by workers who do not know yet
     * that Redis was another one, in the pass that is under way; until when
     * they are given time, in that run, and how much, ms */
    ngx_uint_t            unheard;
    ngx_msec_t            heard_until;
    uint32_t              heard_run;
    ngx_msec_t            patience;
} ngx_rf_zone_t;


/*
 * Life.  shm_zone->data is the ngx_rf_zone_t, filled by the caller up to
 * "name", "files", "digests" and "path_sha1"; this is its init handler.  An
 * existing zone of the same layout is attached.
 */
ngx_int_t ngx_rf_zone_init(ngx_shm_zone_t *shm_zone, void *data);

/*
 * Whether the files of what "sh" holds are at another path than the zone's
 * now.  repath() is for when that path is in force: no entry has a file any
 * more and all that is pending is dirty; workers of the old configuration
 * write no files from then on.
 */
ngx_uint_t ngx_rf_zone_elsewhere(ngx_rf_zone_t *zone, ngx_rf_zone_sh_t *sh);
void ngx_rf_zone_repath(ngx_rf_zone_t *zone);

/*
 * Copies what is pending, and then as many clean entries as fit (the most
 * recently used first; where it is no outage, those that are to be written back
 * to Redis), and run, run_id, seq, mode, origin from a zone that is being
 * replaced.  Returns the number of pending entries that did not fit;
 * they are in "left" (malloc()ed records) for the caller to write to files.
 */
ngx_uint_t ngx_rf_zone_copy(ngx_rf_zone_t *from, ngx_rf_zone_t *to,
    ngx_rf_record_t **left);

/*
 * New workers are there before the old ones go, who would not see what those
 * change.  So the new zone does not change before a moment from which on the
 * old one is not asked any more: overlap() says in how many ms that is,
 * overlaps() whether it is to come.
 */
void ngx_rf_zone_overlap(ngx_rf_zone_t *from, ngx_rf_zone_t *to,
    ngx_msec_t time);
ngx_uint_t ngx_rf_zone_overlaps(ngx_rf_zone_sh_t *sh);

/* every access is between these; lock() salvages a zone whose holder died */
void ngx_rf_zone_lock(ngx_rf_zone_t *zone);
void ngx_rf_zone_unlock(ngx_rf_zone_t *zone);

/*
 * What Redis may still execute though it was given up.  abandon(): a
 * connection, by its id in the Redis of that run_id (40 bytes, or nothing is
 * kept); of more than NGX_RF_ZONE_ABANDONED the oldest are forgotten.
 * NGX_DECLINED: a newer zone has taken over, whose workers are to be told.
 * abandoned(): copies them, and returns how many; those of another Redis, or
 * of one that does not say which it is, are forgotten.
 * abandoned_done(): these are dealt with.
 */
ngx_int_t ngx_rf_zone_abandon(ngx_rf_zone_t *zone, ngx_str_t *run_id,
    uint64_t id);
ngx_uint_t ngx_rf_zone_abandoned(ngx_rf_zone_t *zone, ngx_str_t *run_id,
    uint64_t ids[NGX_RF_ZONE_ABANDONED]);
void ngx_rf_zone_abandoned_done(ngx_rf_zone_t *zone, uint64_t *ids,
    ngx_uint_t n);


/* the entry of that number, or NULL; the next one in its chain */

static ngx_inline ngx_rf_entry_t *
ngx_rf_zone_at(ngx_rf_zone_sh_t *sh, uint32_t n)
{
    return n ? (ngx_rf_entry_t *) (void *)
               ((u_char *) sh + ((size_t) n << NGX_RF_ZONE_UNIT))
             : NULL;
}

#define ngx_rf_zone_next(sh, e)  ngx_rf_zone_at(sh, (e)->next)


/*
 * For the rooms that execute commands; all under the lock.
 * "now" is wall-clock ms.  find() returns NULL for no entry, and for an
 * expired one that it removed or that is flying (a writer looks for that with
 * lookup() first).  An expired one that Redis must be told about, or that has
 * a file, is turned into an absent one and returned.  A found entry may be a
 * tombstone or an entry without a known value: see "type", "complete".
 * lookup() returns the entry as it is, expired or not; found() makes of one
 * that was looked up what find() would return.  lookup_hash() is for who knows
 * the key's hash.
 */
ngx_rf_entry_t *ngx_rf_zone_lookup_hash_locked(ngx_rf_zone_t *zone,
    ngx_str_t *key, uint32_t hash);
ngx_rf_entry_t *ngx_rf_zone_found_locked(ngx_rf_zone_t *zone,
    ngx_rf_entry_t *e, int64_t now);
ngx_rf_entry_t *ngx_rf_zone_lookup_locked(ngx_rf_zone_t *zone,
    ngx_str_t *key);
ngx_rf_entry_t *ngx_rf_zone_find_locked(ngx_rf_zone_t *zone, ngx_str_t *key,
    int64_t now);

/* an entry that says something about its key: a value, or its absence; one that
 * holds but changes for Redis says neither */
#define ngx_rf_zone_known(e)                                                 \
    ((e) != NULL                                                             \
     && ((e)->complete                                                       \
         || ((e)->pending != NGX_RF_CLEAN && (e)->type != NGX_RF_NONE)))

/*
 * A command that changes up to n entries is put between begin(), which may
 * return NGX_RF_NEED_ROOM, and commit() or rollback(), which puts all entries
 * back as they were.  A worker killed before the commit leaves no trace of it.
 * With n 0, which always works, it changes some few that are pending already.
 */
ngx_int_t ngx_rf_zone_begin_locked(ngx_rf_zone_t *zone, ngx_uint_t n);
void ngx_rf_zone_commit_locked(ngx_rf_zone_t *zone);
void ngx_rf_zone_rollback_locked(ngx_rf_zone_t *zone);

/*
 * Before begin(), trees may be built for some time, the lock being given away
 * now and then: prepare() pins, and returns 0 where that cannot be had;
 * begin() then goes on with what was built, and unprepare() ends it, whether or
 * not there was a begin().  Nothing is evicted meanwhile.  A process that dies
 * while it builds leaves nodes that nobody knows of: the zone is made anew
 * then.
 * "lost": the zone was made anew meanwhile.
 */
ngx_uint_t ngx_rf_zone_prepare_locked(ngx_rf_zone_t *zone);
void ngx_rf_zone_unprepare_locked(ngx_rf_zone_t *zone, ngx_uint_t lost);

/* several commands in one transaction: each but the first begins with
 * savepoint(), and n is the number of entries that they change all together,
 * one that two of them change counted twice.  rollback_to() puts back what has
 * changed since the savepoint */
void ngx_rf_zone_savepoint_locked(ngx_rf_zone_t *zone);
void ngx_rf_zone_rollback_to_locked(ngx_rf_zone_t *zone);

/* before the commit of a transaction: what it has changed since "seq" (sh->seq
 * of before) is to be replayed in one, as long as not too many keys hang
 * together by that */
void ngx_rf_zone_group_locked(ngx_rf_zone_t *zone, uint64_t seq);

/* an entry that the command holds pointers into is not evicted before its end;
 * it counts as one that changes */
void ngx_rf_zone_keep_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);

/* memory with eviction of clean, and of pending and durable, entries;
 * NULL: no room (NGX_RF_NEED_ROOM).  "keep" entries are never evicted while
 * they are in use: the caller passes those it holds pointers to. */
void *ngx_rf_zone_alloc_locked(ngx_rf_zone_t *zone, size_t size,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);
void ngx_rf_zone_free_locked(ngx_rf_zone_t *zone, void *p);
ngx_rf_blob_t *ngx_rf_zone_blob_locked(ngx_rf_zone_t *zone, u_char *data,
    size_t len, ngx_rf_entry_t **keep, ngx_uint_t nkeep);

/* a new entry, linked into the table, absent, clean; NULL: no room */
ngx_rf_entry_t *ngx_rf_zone_insert_locked(ngx_rf_zone_t *zone, ngx_str_t *key,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);
/* forgets a clean entry; of one whose file is still to go only the value */
void ngx_rf_zone_forget_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);

/* swaps in a value (takes ownership of the blob or content, frees the old one);
 * type NGX_RF_NONE with NULL makes the entry absent.  publish() is for content
 * whose trees came out of those that the entry has, or go elsewhere: what it
 * leaves out is dead already */
void ngx_rf_zone_set_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, void *value);
void ngx_rf_zone_publish_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, void *value);
void ngx_rf_zone_expire_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t expire);

/*
 * Marks a local change that has just been made to the entry: version, lists,
 * counters.  replaced(): the record is a REPLACE from now on, its changes
 * (if any) are dropped; "derived": it depends on what memory knew of the key.
 * Called before set_locked() so that the base (what
 * Redis held) is still there to be remembered.  delta(): appends "change",
 * made by change_locked(), or keeps REPLACE where the entry is already one
 * (the change is then freed).  Consecutive INCRBY, INCRBYFLOAT, APPEND,
 * PEXPIREAT/PERSIST that were not sent yet are compacted by the caller, who
 * allocates the combined change and passes it with "compact" 1, so that it
 * takes the last one's place, or 2: that of the one before (a sum hops over an
 * expiry).  mergeable() is the last change, or the one before it, if it was
 * not sent yet; NULL if there is none.  change_str() is one of its arguments.
 */
void ngx_rf_zone_replaced_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_uint_t derived, int64_t now);
void ngx_rf_zone_delta_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_zchange_t *change, ngx_uint_t compact, int64_t now);
ngx_rf_zchange_t *ngx_rf_zone_change_locked(ngx_rf_zone_t *zone,
    ngx_uint_t argc, ngx_str_t *argv, ngx_rf_entry_t **keep, ngx_uint_t nkeep);
ngx_rf_zchange_t *ngx_rf_zone_mergeable(ngx_rf_entry_t *e, ngx_uint_t compact);
ngx_int_t ngx_rf_zone_change_str(ngx_rf_zchange_t *change, ngx_uint_t n,
    ngx_str_t *str);

/* as if nothing had been done to the key here: what Redis was to be told, it is
 * not.  The value is the caller's to take away */
void ngx_rf_zone_cancel_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);

/* Redis acknowledged a write that it had executed before the changes that are
 * pending here: what memory knows of the key is another thing now, or with
 * "complete" 0 a part of it */
void ngx_rf_zone_late_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_uint_t complete, int64_t seen);

/* a key that Redis was seen to hold more of than memory knows */
#define ngx_rf_zone_partial(e)                                               \
    ((e) != NULL && (e)->type != NGX_RF_NONE && !(e)->complete               \
     && (e)->seen != 0)

/* Redis has acknowledged a write, sent at "now", that set the key's value or
 * (with "whole") replaced whatever it was: what is older is not to come over
 * it.  A key without an entry gets one, if the path is another's, whose records
 * may be older.  1: one that is older was pending already, and is not any
 * more */
ngx_uint_t ngx_rf_zone_told_locked(ngx_rf_zone_t *zone, ngx_str_t *key,
    ngx_uint_t whole, int64_t now);

/* marks a clean entry as just seen in Redis: version, run, seen, LRU */
void ngx_rf_zone_seen_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t now);

/*
 * Tracking.  vouch(): of a clean entry that was just marked as seen; 0: nobody
 * does.  vouched(): whether Redis is known not to have changed it since.
 * invalidated(): Redis told this worker that the key was changed; flushed():
 * that all of them were.
 */
void ngx_rf_zone_vouch_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    uint64_t voucher);
ngx_uint_t ngx_rf_zone_vouched_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
void ngx_rf_zone_invalidated(ngx_rf_zone_t *zone, ngx_str_t *key);
/* a command that changes the key is about to be sent: what memory knows is old
 * to whoever asks from now on */
void ngx_rf_zone_touched(ngx_rf_zone_t *zone, ngx_str_t *key, uint32_t hash);
void ngx_rf_zone_flushed(ngx_rf_zone_t *zone);

/* to the end of the LRU list: first to be evicted */
void ngx_rf_zone_last_locked(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);

/*
 * While a process has a pin, no node of a tree is freed: it may read on without
 * the lock.  pin() returns 0 where it cannot be had.  "rebuilds" of the zone's
 * header, compared under the lock, tells whether the zone was made anew
 * meanwhile: then nothing that was held is good any more, the pin included.
 */
ngx_uint_t ngx_rf_zone_pin_locked(ngx_rf_zone_t *zone);
void ngx_rf_zone_unpin_locked(ngx_rf_zone_t *zone);

/* a command that changes the key was sent to Redis, and nobody knows whether it
 * was executed: what Redis holds is not known any more */
void ngx_rf_zone_unsure_locked(ngx_rf_zone_t *zone, ngx_str_t *key);

/* bytes of an entry's value, roughly what its record takes */
size_t ngx_rf_zone_weight(ngx_rf_entry_t *e);

/* the hash that names are sorted by in collections.  A zone keeps its seed */
uint32_t ngx_rf_zone_hash(ngx_rf_zone_sh_t *sh, ngx_str_t *key);

/* a key of that hash is soon looked for: what that reads is fetched into the
 * processor's caches meanwhile.  Needs no lock */
void ngx_rf_zone_prefetch(ngx_rf_zone_t *zone, uint32_t hash);
/* the same, with a string's value, and waits for all but that: the lock is to
 * be taken at once */
void ngx_rf_zone_warm(ngx_rf_zone_t *zone, uint32_t hash);

/* the order of scores as that of integers: both zeros are one */
uint64_t ngx_rf_zone_score(double score);

/* whether an expiry is among the changes that Redis is to be told of */
ngx_uint_t ngx_rf_zone_expires_locally(ngx_rf_entry_t *e);

/* the compacted changes that the entry's next ones go into, and "compact" for
 * delta_locked(); NULL: they begin anew */
ngx_rf_zdelta_t *ngx_rf_zone_delta_of(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_type_e type, ngx_uint_t *compact);
/* the compacted changes of a change, or NULL; whether it sets or takes away an
 * expiry and nothing else */
ngx_rf_zdelta_t *ngx_rf_zone_delta(ngx_rf_zchange_t *c);
ngx_uint_t ngx_rf_zone_about_expiry(ngx_rf_zchange_t *c);
/* a change that holds them; NULL: no room */
ngx_rf_zchange_t *ngx_rf_zone_delta_change(ngx_rf_zone_t *zone,
    ngx_rf_zdelta_t *delta);

/* whether a change of the key since "seq" is on record, e being its entry or
 * NULL; forget_key(): puts a change on record, and forgets the entry if it is
 * clean; forget_all(): every clean one, as FLUSHALL does */
ngx_uint_t ngx_rf_zone_changed_locked(ngx_rf_zone_t *zone, ngx_str_t *key,
    ngx_rf_entry_t *e, uint64_t seq);
void ngx_rf_zone_forget_key_locked(ngx_rf_zone_t *zone, ngx_str_t *key);
void ngx_rf_zone_forget_all_locked(ngx_rf_zone_t *zone);

/* removes what has expired, at most n entries, and nothing in a transaction;
 * not while the caller holds pointers to entries */
void ngx_rf_zone_sweep_locked(ngx_rf_zone_t *zone, int64_t now, ngx_uint_t n);

/* an entry of an older run while sh->restore is set: it is to be written
 * back, and counts as pending for readers and writers */
#define ngx_rf_zone_restoring(sh, e)                                         \
    ((sh)->restore && (e)->pending == NGX_RF_CLEAN && (e)->complete          \
     && (e)->type != NGX_RF_NONE && (e)->run != (sh)->run                    \
     && !(e)->doubted && (e)->run >= (sh)->flushed_run)


/*
 * For the journal.  log_take() claims what it is to have, at most n entries (or
 * about "bytes" of values), and says what a new segment's head needs.  The
 * records are malloc()ed; those with "remove" are acknowledgements: the key's
 * records up to that version are done with.  NULL: nothing to be written.
 * log_done(): all of them are durable (NGX_OK), or none is; frees them.
 * An entry that changes in between is to be journaled again, as is what is
 * claimed by a process that dies (reclaim()).
 */
#define NGX_RF_LOG_ALL          1   /* of any process, not only of this one */
#define NGX_RF_LOG_ACKS         2   /* only acknowledgements */

typedef struct {
    uint64_t              number;
    uint64_t              base;
    uint64_t              seq;
    ngx_uint_t            generation;
} ngx_rf_zone_log_t;

ngx_rf_record_t *ngx_rf_zone_log_take(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes, ngx_uint_t what, ngx_rf_zone_log_t *log);
void ngx_rf_zone_log_done(ngx_rf_zone_t *zone, ngx_rf_record_t *list,
    ngx_int_t rc, ngx_uint_t generation);

/*
 * The end of a generation.  turn(): begins it, unless one is ending.
 * turn_scan(): looks at the entries of n buckets from *at on and has what is
 * needed of the old generation journaled again; NGX_AGAIN: there are more
 * buckets, or *left is not 0: so many entries still need it; begin again when
 * these are journaled.  NGX_BUSY: a batch of the old generation is under way.
 * NGX_DONE: nothing needs it any more; the base may become sh->turn, and "log"
 * is for the segment that says so.  turned(): it is durable.
 */
void ngx_rf_zone_turn(ngx_rf_zone_t *zone);
ngx_int_t ngx_rf_zone_turn_scan(ngx_rf_zone_t *zone, ngx_uint_t n,
    ngx_uint_t *at, ngx_uint_t *left, ngx_rf_zone_log_t *log);
void ngx_rf_zone_turned(ngx_rf_zone_t *zone, uint64_t base);

/*
 * What the journal of an earlier run holds, line by line, all records before
 * the first acknowledgement.  NGX_OK; NGX_DECLINED: memory knows better;
 * NGX_RF_NEED_ROOM; NGX_RF_NEED_FILE: since "seq", sh->seq of before the record
 * was held against its key's file, an entry may have left memory for that file,
 * with something newer: look there again.
 * Where journal and files were another instance's ("foreign"), what was changed
 * there and here becomes one record: log_load() returns NGX_BUSY for such a key
 * (changed_here() says which), and the newest of its records that is not done
 * with is for adopt(): NGX_OK; NGX_DECLINED: the key is not pending here any
 * more; NGX_BUSY: not now, Redis may have a part of what was changed here;
 * NGX_RF_NEED_ROOM, NGX_ERROR.  The record stays the caller's.
 */
ngx_int_t ngx_rf_zone_log_load(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    uint64_t seq, ngx_uint_t foreign, int64_t now);
ngx_uint_t ngx_rf_zone_changed_here(ngx_rf_zone_t *zone, ngx_str_t *key);
ngx_int_t ngx_rf_zone_adopt(ngx_rf_zone_t *zone, ngx_rf_record_t *rec);

/* the key has a file, of which nothing is needed; NGX_RF_NEED_ROOM */
ngx_int_t ngx_rf_zone_filed(ngx_rf_zone_t *zone, ngx_str_t *key);

/*
 * A record read from a file that load() has declined, of a key that was changed
 * here before the path was ours: as adopt().  NGX_DECLINED: it is not such a
 * key; NGX_BUSY: also where it has changed since "seq".
 */
ngx_int_t ngx_rf_zone_adopt_file(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    uint64_t seq);

/*
 * What an instance that never had the path leaves to whoever has it.
 * hand_take(): when nobody else uses the zone any more, the next of what is
 * pending, as malloc()ed records, at most n or about "bytes" of values; NULL:
 * that was all.  *left counts those that cannot be handed over.
 * hand_in(): one of another instance's is merged with what is known here.
 * NGX_OK: it is pending, and rec->version the version that is to be durable
 * before the record may go, and before anything is replayed; NGX_DECLINED: what
 * Redis has been told here is newer; NGX_BUSY: not now, Redis may have a part
 * of what was changed here, or ("filed") its file is to be read first;
 * NGX_RF_NEED_ROOM, NGX_ERROR.  The same record again changes nothing.
 */
ngx_rf_record_t *ngx_rf_zone_hand_take(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes, ngx_uint_t *left);
ngx_int_t ngx_rf_zone_hand_in(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    int64_t now);


/*
 * For the file tier.  dirty_take() claims up to n dirty entries (or about
 * "bytes" of values) for this process and returns malloc()ed records, "remove"
 * set for files that are no longer needed; NULL: nothing dirty.  What is to be
 * journaled first is not, unless the journal takes nothing.  dirty_settled():
 * of those only the ones that have not changed since "version".  dirty_done()
 * takes them back with their status, frees them, and requeues what failed or
 * has changed meanwhile.  reclaim() requeues the claims of dead processes.
 * durable(): NGX_OK when the key's change with that version is in the journal,
 * in its file, or no longer needed there; NGX_DECLINED: Redis has it, but the
 * disk has what was before, and not that this is done with; else NGX_AGAIN.
 */
ngx_rf_record_t *ngx_rf_zone_dirty_take(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes);
ngx_rf_record_t *ngx_rf_zone_dirty_settled(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes, uint64_t version);
void ngx_rf_zone_dirty_done(ngx_rf_zone_t *zone, ngx_rf_record_t *list);
void ngx_rf_zone_reclaim(ngx_rf_zone_t *zone);
/* pending entries whose last change is neither in the journal nor in a file,
 * nor on its way there */
ngx_uint_t ngx_rf_zone_unsaved(ngx_rf_zone_t *zone);
ngx_int_t ngx_rf_zone_durable(ngx_rf_zone_t *zone, ngx_str_t *key,
    uint64_t version);

/* of a clean entry: whether the disk has what would be replayed after a
 * crash */
ngx_uint_t ngx_rf_zone_unacked(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e);

/* moves the key's disk work to the head of its list, and of this process' if
 * it is to be journaled */
void ngx_rf_zone_hurry(ngx_rf_zone_t *zone, ngx_str_t *key);


/*
 * For recovery.  load(): a record read from a file becomes a pending entry
 * unless memory already knows the key as pending or its file as stale; NGX_OK,
 * NGX_DECLINED (memory knows better), NGX_BUSY (the key has changed since
 * "seq", sh->seq of before the file was read: read it again, which outdated()
 * says of a file that was not there), NGX_RF_NEED_ROOM.  "spilled" is lowered
 * by one if it was a spilled key's.  The record stays the caller's.
 *
 * replay_take(): up to n pending entries, marked as flying, as malloc()ed
 * records (id and nsent set for a DELTA; those of one group side by side, which
 * may make it a few more); with sh->restore also clean entries
 * of an older run, as REPLACE records with "base" ABSENT and version 0, in
 * which case *restored counts them.  replay_done(): one record back: NGX_OK
 * acknowledged (a DELTA with further changes stays pending), NGX_DECLINED set
 * aside (no longer pending; the caller keeps it in quarantine), NGX_AGAIN to
 * be sent again, NGX_BUSY so too, and Redis, which lost its data, has nothing
 * of what may have been sent of a DELTA to be restored.  "keep" says that the
 * local value is known to equal what Redis holds now; without it the entry's
 * value is forgotten.  The record stays the caller's.  replay_reset():
 * everything flying is pending again.
 */
ngx_int_t ngx_rf_zone_load(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    uint64_t seq, ngx_uint_t was_spilled, int64_t now);
ngx_uint_t ngx_rf_zone_outdated(ngx_rf_zone_t *zone, ngx_str_t *key,
    uint64_t seq);
ngx_rf_record_t *ngx_rf_zone_replay_take(ngx_rf_zone_t *zone, ngx_uint_t n,
    size_t bytes, int64_t now, ngx_uint_t *restored);
void ngx_rf_zone_replay_done(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_int_t rc, ngx_uint_t keep, int64_t now);
void ngx_rf_zone_replay_reset(ngx_rf_zone_t *zone);
/* moves a pending key to the head of the replay order */
void ngx_rf_zone_replay_hurry(ngx_rf_zone_t *zone, ngx_str_t *key);

/* bytes in use in the zone, for the status page */
size_t ngx_rf_zone_used(ngx_rf_zone_t *zone);

/* wall clock in ms, from nginx's cached time */
#define ngx_rf_now()                                                         \
    ((int64_t) ngx_cached_time->sec * 1000                                   \
     + (int64_t) ngx_cached_time->msec)


#endif /* _NGX_RF_ZONE_H_INCLUDED_ */
