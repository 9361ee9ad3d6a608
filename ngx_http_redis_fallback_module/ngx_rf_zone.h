/*
 * The shared-memory tier: entries in a hash table, an LRU of what may be
 * evicted, lists by expiry, the pending list (what Redis has not acknowledged),
 * the lists of what the journal and the files lag behind on, counters.
 *
 * Guarantees: values are copied out under the lock, or lent, which keeps them
 * until they are returned; nothing blocks and nothing is called back while it
 * is held; the only lock is the slab pool's mutex, which nginx frees when its
 * holder dies.  An entry's value is an immutable
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
#include "ngx_rf_zone_layout.h"


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
    ngx_uint_t            lender;       /* this process' place in sh->lent,
                                           from 1; 0: none yet */
    ngx_rf_blob_t        *lent;         /* what it has there, or NULL */
    time_t                lender_looked;/* when there was no place for it */

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

/*
 * A string's value that is read after the lock was given away, until
 * returned(), which is called without it: it stays as it is, whatever becomes
 * of its entry.  A process has one at a time; lend() returns 0 where it cannot
 * be had.
 */
ngx_uint_t ngx_rf_zone_lend_locked(ngx_rf_zone_t *zone, ngx_rf_blob_t *value);
void ngx_rf_zone_returned(ngx_rf_zone_t *zone);
/* the process ends; without it its place is another's once it has ended */
void ngx_rf_zone_lender_leaves(ngx_rf_zone_t *zone);

/* whether lend() is likely to lend */
#define ngx_rf_zone_lends(zone)                                              \
    ((zone)->lender != 0 && (zone)->lent == NULL)

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
/* the same for the beginning of its value, a string, some time later */
void ngx_rf_zone_prefetch_value(ngx_rf_zone_t *zone, uint32_t hash);
/* the same, with a string's value of less than "max" bytes, and waits for all
 * but that: the lock is to be taken at once */
void ngx_rf_zone_warm(ngx_rf_zone_t *zone, uint32_t hash, size_t max);
/* the same as prefetch(), for when there is a little more time: only where the
 * search begins, but nothing is waited for */
void ngx_rf_zone_expect(ngx_rf_zone_t *zone, uint32_t hash);

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
 * of those only what has not changed since "version", and what is to be
 * removed.  dirty_done()
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
