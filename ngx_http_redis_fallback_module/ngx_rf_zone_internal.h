/*
 * What the files of the zone's room share; nobody else includes this.  All
 * functions run under the zone's lock.
 */

#ifndef _NGX_RF_ZONE_INTERNAL_H_INCLUDED_
#define _NGX_RF_ZONE_INTERNAL_H_INCLUDED_


#include "ngx_rf_zone.h"


#define NGX_RF_ZONE_MAGIC       0x72667a31
#define NGX_RF_ENTRY_MAGIC      5

#define ngx_rf_entry_size(len)  (offsetof(ngx_rf_entry_t, key) + (len))
#define ngx_rf_blob_size(len)   (offsetof(ngx_rf_blob_t, data) + (len))
#define ngx_rf_zchange_size(len)                                             \
    (offsetof(ngx_rf_zchange_t, data) + (len))

/* whether the disk may hold something of the entry */
#define ngx_rf_zone_on_disk(e)                                               \
    ((e)->work->file_version != 0 || (e)->work->writer != 0                  \
     || (e)->work->logged)


/* ngx_rf_zone_slab.c */

/*
 * map_create(): nothing is marked; NULL: no memory.  mark(): the block of that
 * size is needed; 0: there can be none, or it is marked already.  lay(): the
 * pool as if what is marked had been allocated, and nothing else; NGX_ERROR:
 * that cannot be had, the pool is no good.  A process killed in any of these
 * leaves the blocks as they are.
 */
typedef struct ngx_rf_zone_slab_map_s  ngx_rf_zone_slab_map_t;

ngx_rf_zone_slab_map_t *ngx_rf_zone_slab_map_create(ngx_slab_pool_t *pool);
void ngx_rf_zone_slab_map_destroy(ngx_rf_zone_slab_map_t *map);
ngx_uint_t ngx_rf_zone_slab_mark(ngx_rf_zone_slab_map_t *map, void *p,
    size_t size);
ngx_int_t ngx_rf_zone_slab_lay(ngx_rf_zone_slab_map_t *map);


/* ngx_rf_zone.c */

#define NGX_RF_ZONE_CACHED  64          /* a line of the processor's cache */

#if defined(__GNUC__)
#define ngx_rf_prefetch(p)  __builtin_prefetch(p)
#else
#define ngx_rf_prefetch(p)  (void) (p)
#endif

/* fills a header whose seed, counters and words are set already; "block" is
 * the header with the table behind it */
void ngx_rf_zone_reset(ngx_rf_zone_sh_t *sh);
/* all of it but the table */
void ngx_rf_zone_reset_lists(ngx_rf_zone_sh_t *sh);
size_t ngx_rf_zone_block_size(ngx_rf_zone_t *zone, ngx_uint_t nbuckets);
void ngx_rf_zone_log_ctx(ngx_rf_zone_t *zone);

/* puts the entry into the list that its state belongs to; where nothing lags
 * behind on it, its ngx_rf_zwork_t goes */
void ngx_rf_zone_requeue(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
/* links the entry into the list of what the disk lags behind on in it; where it
 * is in that list it stays there.  unplace() takes it out of any */
void ngx_rf_zone_place(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
void ngx_rf_zone_unplace(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
/* what was read before this is not news any more, whatever its key */
void ngx_rf_zone_remember_all(ngx_rf_zone_t *zone);
/* unlinks and frees */
void ngx_rf_zone_remove(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
/* what an expired entry becomes; NULL: removed */
ngx_rf_entry_t *ngx_rf_zone_expired(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t now);


/* ngx_rf_zone_line.c */

/* at the head, or the tail, of a list; out of it; the first or last of a list,
 * NULL: it is empty; who is before or behind it, NULL: nobody */
void ngx_rf_zone_line_head(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line,
    ngx_rf_entry_t *e);
void ngx_rf_zone_line_tail(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line,
    ngx_rf_entry_t *e);
void ngx_rf_zone_line_remove(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e);
ngx_rf_entry_t *ngx_rf_zone_line_first(ngx_rf_zone_sh_t *sh,
    ngx_rf_line_e line);
ngx_rf_entry_t *ngx_rf_zone_line_last(ngx_rf_zone_sh_t *sh,
    ngx_rf_line_e line);
ngx_rf_entry_t *ngx_rf_zone_line_next(ngx_rf_zone_sh_t *sh,
    ngx_rf_entry_t *e);
ngx_rf_entry_t *ngx_rf_zone_line_prev(ngx_rf_zone_sh_t *sh,
    ngx_rf_entry_t *e);
/* as one that is in no list, where that of before is not to be trusted */
void ngx_rf_zone_line_init(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e);
/* all lists are empty */
void ngx_rf_zone_line_reset(ngx_rf_zone_sh_t *sh);

/* an entry that expires, into the list of its time; and out of it */
void ngx_rf_zone_due_link(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e);
void ngx_rf_zone_due_unlink(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e);

/* the entry's number */
#define ngx_rf_zone_number(sh, e)                                            \
    ((uint32_t) ((size_t) ((u_char *) (e) - (u_char *) (sh))                 \
                 >> NGX_RF_ZONE_UNIT))

/* the same of disk's lists */
#define ngx_rf_zone_disk_entry(q)                                            \
    ((ngx_queue_data(q, ngx_rf_zwork_t, disk))->entry)


/* ngx_rf_zone_work.c */

/* there is room for n entries' work: NGX_OK, or NGX_RF_NEED_ROOM.  Nothing but
 * work() takes it away.  None of "keep" is evicted for it */
ngx_int_t ngx_rf_zone_work_reserve(ngx_rf_zone_t *zone, ngx_uint_t n,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);
/* for one that comes from the disk: it may evict as a write may */
ngx_int_t ngx_rf_zone_room(ngx_rf_zone_t *zone);
/* the entry's own; if it has none, of what was reserved */
ngx_rf_zwork_t *ngx_rf_zone_work(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
/* takes it away where it says nothing any more; or whatever it says */
void ngx_rf_zone_work_rid(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
void ngx_rf_zone_work_drop(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
/* what is too many in reserve goes back into the pool */
void ngx_rf_zone_work_trim(ngx_rf_zone_t *zone);


/* ngx_rf_zone_tree.c */

#define ngx_rf_zone_is_coll(type)                                            \
    ((type) != NGX_RF_NONE && (type) != NGX_RF_STRING)

void ngx_rf_zone_heap_init(ngx_rf_zone_t *zone);
/* frees n nodes of the trash, as far as nobody may read them; returns how
 * many */
ngx_uint_t ngx_rf_zone_trash(ngx_rf_zone_t *zone, ngx_uint_t n);
/* takes the pins of processes that have died, and what they had lent */
void ngx_rf_zone_pins_look(ngx_rf_zone_t *zone);
/* whether there was a process of that number, which may be 0, and is none */
ngx_uint_t ngx_rf_zone_died(ngx_pid_t pid);
/* a value with all that belongs to it; and the trees of one that a command does
 * without, which may still be undone */
void ngx_rf_zone_free_value(ngx_rf_zone_t *zone, ngx_rf_type_e type,
    void *value);
void ngx_rf_zone_drop_value(ngx_rf_zone_t *zone, ngx_rf_type_e type,
    void *value);
void ngx_rf_zone_free_change(ngx_rf_zone_t *zone, ngx_rf_zchange_t *c);
ngx_uint_t ngx_rf_zone_pin(ngx_rf_zone_t *zone, int32_t pin);
void ngx_rf_zone_unpin(ngx_rf_zone_t *zone, int32_t pin);
/* for the salvage */
ngx_uint_t ngx_rf_zone_valid_coll(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
ngx_uint_t ngx_rf_zone_valid_change(ngx_rf_zone_t *zone, ngx_rf_zchange_t *c);
ngx_uint_t ngx_rf_zone_mark_coll(ngx_rf_zone_slab_map_t *map,
    ngx_rf_content_t *content);
ngx_uint_t ngx_rf_zone_mark_change(ngx_rf_zone_slab_map_t *map,
    ngx_rf_zchange_t *c);


/* ngx_rf_zone_lend.c */

/* whether a block that is given up is lent: it will be freed when it is
 * returned */
ngx_uint_t ngx_rf_zone_is_lent(ngx_rf_zone_t *zone, void *p);
/* takes back what processes that have died had lent */
void ngx_rf_zone_lenders_look(ngx_rf_zone_t *zone);
/* for the salvage: when the entries' blocks are marked */
void ngx_rf_zone_mark_lent(ngx_rf_zone_t *zone, ngx_rf_zone_slab_map_t *map);


/* ngx_rf_zone_change.c */

/* as it was, lists and counters aside */
void ngx_rf_zone_undo_fields(ngx_rf_undo_t *u);
void ngx_rf_zone_save(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_uint_t fresh);
/* out of its group */
void ngx_rf_zone_ungroup(ngx_rf_entry_t *e);
/* frees what the entry no longer uses and ends its undo */
void ngx_rf_zone_settle(ngx_rf_zone_t *zone, ngx_rf_undo_t *u);
void ngx_rf_zone_drop_changes(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
void ngx_rf_zone_free_changes(ngx_rf_zone_t *zone, ngx_rf_zchange_t *c);


/* ngx_rf_zone_base.c */

/* remembers what Redis holds, before the first local change */
void ngx_rf_zone_base(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);


/* ngx_rf_zone_record.c */

/* elements in one change: Redis' scripts take some thousand arguments */
#define NGX_RF_RECORD_ELTS      400

/* a score as text: 17 digits, sign, point, exponent */
#define NGX_RF_RECORD_SCORE     32

/* a malloc()ed copy; NULL: no memory.  record_slowly() gives the lock away
 * meanwhile if it is a large one: NGX_OK; NGX_ERROR; NGX_AGAIN: the zone was
 * made anew, no entry is what it was */
ngx_rf_record_t *ngx_rf_zone_record(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
ngx_int_t ngx_rf_zone_record_slowly(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t **rec);
/* what "nsent" of its record would be */
ngx_uint_t ngx_rf_zone_record_nsent(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);
/* the record's value; NULL: no room */
void *ngx_rf_zone_pack(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_rf_entry_t **keep, ngx_uint_t nkeep);
/* value, expiry and changes of the record into an entry ("e" NULL: a new
 * one), which becomes pending; NULL: no room */
ngx_rf_entry_t *ngx_rf_zone_take_in(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec);
/* the id of the changes that Redis has not acknowledged: unique among all zones
 * that may write to one Redis, never 0.  It stays until they are, so that it
 * does not matter which of them the file has; what comes after them has the
 * next one, which follows from it */
void ngx_rf_zone_identify(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e);
uint64_t ngx_rf_zone_next_id(uint64_t id);


/* ngx_rf_zone_delta.c */

typedef struct {
    ngx_rf_zchange_t     *first;
    ngx_rf_zchange_t     *last;
    ngx_uint_t            n;
    ngx_uint_t            nsent;        /* of them */
} ngx_rf_zpacked_t;

/* the record's changes, compacted again as they were; NGX_RF_NEED_ROOM.  "keep"
 * is not evicted for them */
ngx_int_t ngx_rf_zone_pack_changes(ngx_rf_zone_t *zone, ngx_rf_record_t *rec,
    ngx_rf_entry_t *keep, ngx_rf_zpacked_t *packed);


/* ngx_rf_zone_journal.c */

/* the journal has lines of the entry, and not that they are done with */
ngx_uint_t ngx_rf_zone_unacked_lines(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e);


/* ngx_rf_zone_pending.c */

/* the record of an entry that this process has claimed, for the disk; as
 * ngx_rf_zone_record_slowly() */
ngx_int_t ngx_rf_zone_claim_record(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t **rec);
/* what becomes of a clean entry that the disk has nothing of any more */
void ngx_rf_zone_rid(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);

/* Redis was told by this store, after the record was made, what the record
 * would undo */
ngx_uint_t ngx_rf_zone_beats(ngx_rf_entry_t *e, ngx_rf_record_t *rec);

/* no longer pending; its file, if any, is to go */
void ngx_rf_zone_unpend(ngx_rf_zone_t *zone, ngx_rf_entry_t *e);


/* ngx_rf_zone_replay.c */

/* the disk has the record: what had to wait for that may be sent */
void ngx_rf_zone_replay_on_disk(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec);


/* ngx_rf_zone_recall.c */

/* the record instead of what is pending in the entry, or in a new one ("e"
 * NULL); as a whole, also where the process is killed.  NULL: no room, all is
 * as it was */
ngx_rf_entry_t *ngx_rf_zone_take_over(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec, ngx_uint_t journaled);
/* into what is pending in the entry; codes of ngx_rf_zone_adopt() */
/* what left memory for its file, or was found on disk, may have lines in the
 * journal, and older ones; but nothing of another program's has */
void ngx_rf_zone_may_be_logged(ngx_rf_entry_t *e, ngx_rf_record_t *rec);

ngx_int_t ngx_rf_zone_merge(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    ngx_rf_record_t *rec);


/* ngx_rf_zone_salvage.c */

void ngx_rf_zone_salvage(ngx_rf_zone_t *zone);
/* whether size bytes at p lie in the zone, as a block does */
ngx_uint_t ngx_rf_zone_valid(ngx_rf_zone_t *zone, void *p, size_t size);


#endif /* _NGX_RF_ZONE_INTERNAL_H_INCLUDED_ */
