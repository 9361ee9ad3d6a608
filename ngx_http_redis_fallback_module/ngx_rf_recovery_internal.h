/*
 * What the parts of recovery share: ngx_rf_recovery.c leads and probes,
 * ngx_rf_recovery_kill.c ends connections that were given up,
 * ngx_rf_recovery_replay.c takes the steps from RECOVERING to NORMAL,
 * ngx_rf_recovery_slice.c sends records, ngx_rf_recovery_learn.c reads back
 * what became of them, ngx_rf_recovery_walk.c reads files,
 * ngx_rf_recovery_recall.c the journal, ngx_rf_recovery_handover.c what other
 * instances have left.
 */

#ifndef _NGX_RF_RECOVERY_INTERNAL_H_INCLUDED_
#define _NGX_RF_RECOVERY_INTERNAL_H_INCLUDED_


#include "ngx_rf_journal.h"
#include "ngx_rf_recovery.h"


/* ms until what failed on disk, or for want of memory, is tried
 * again */
#define NGX_RF_RECOVERY_RETRY       1000

#define NGX_RF_RECOVERY_HELD        1024


typedef struct ngx_rf_slice_s   ngx_rf_slice_t;
typedef struct ngx_rf_marker_s  ngx_rf_marker_t;
typedef struct ngx_rf_wanted_s  ngx_rf_wanted_t;
typedef struct ngx_rf_held_s    ngx_rf_held_t;

typedef void (*ngx_rf_recovery_pt)(ngx_rf_recovery_t *r);

struct ngx_rf_recovery_s {
    ngx_rf_recovery_conf_t    conf;
    ngx_log_t                *log;
    ngx_event_t               timer;
    ngx_event_t               posted;

    ngx_uint_t                epoch;        /* of the mode seen last */
    ngx_uint_t                probed;       /* epoch whose probe succeeded */
    ngx_msec_t                next_probe;
    ngx_msec_t                pause;        /* between probes */
    ngx_msec_t                next_flush;
    ngx_msec_t                next_queue;   /* for write_queue, and for what
                                               Redis has acknowledged */
    ngx_msec_t                next_files;
    uint64_t                  settled;      /* sh->seq at the last pass over
                                               files */
    ngx_msec_t                next_chore;
    ngx_msec_t                resume;       /* no step before; 0: at once */

    ngx_msec_t                began;        /* this recovery */
    ngx_uint_t                done;
    ngx_msec_t                rate_since;
    ngx_uint_t                rate_used;

    ngx_pool_t               *probe_pool;
    ngx_rf_call_t             probe;
    ngx_rf_call_command_t     probe_command;
    uint64_t                 *killing;      /* ids, in probe_pool */
    ngx_uint_t                nkilling;
    ngx_uint_t                told;         /* by the relay, of those */
    ngx_uint_t                untaken;      /* some of those had no room */
    ngx_uint_t                kill_probed;  /* a probe came before */
    ngx_msec_t                late_at;      /* NORMAL: not to be tried before;
                                               0: at once */

    ngx_rf_slice_t           *slice;
    ngx_rf_disk_job_t        *job;          /* walk or mark */
    ngx_uint_t                quarantining;
    ngx_rf_file_walk_t        walk;
    uint64_t                  walk_seq;     /* sh->seq before its slice */
    ngx_uint_t                unread;       /* records left behind by it */
    ngx_uint_t                squeezes;     /* loads that made some room for
                                               one, and not enough */
    ngx_msec_t                walk_logged;

    ngx_rf_journal_read_t     recall;       /* of the job while there is one */
    uint64_t                  recall_seq;   /* sh->seq before its slice was held
                                               against files */
    ngx_rf_file_walk_t        adopt;
    ngx_rf_disk_job_t        *recall_job;
    ngx_rf_held_t            *held[NGX_RF_RECOVERY_HELD];
                                            /* by CRC-32: keys that both have
                                               changed */

    ngx_rf_recovery_pt        hand_step;    /* of what another has left; NULL:
                                               the next look is due at */
    ngx_msec_t                next_hand;
    ngx_event_t               hand_event;
    ngx_rf_journal_hand_t     hand;         /* of the job while there is one */
    ngx_rf_disk_job_t        *hand_job;
    ngx_rf_record_t          *hand_list;    /* to be taken in */
    ngx_rf_record_t          *hand_wait;    /* and to be durable */
    ngx_rf_record_t          *hand_rest;    /* and for another time */
    ngx_uint_t                hand_taken;
    ngx_msec_t                hand_logged;
    ngx_msec_t                hand_until;   /* nothing is replayed before; 0:
                                               at once */

    ngx_rf_marker_t          *markers;
    ngx_uint_t                nmarkers;

    ngx_rf_wanted_t          *wanted;       /* keys that memory is to know */
    ngx_uint_t                nwanted;
    ngx_uint_t                nlearning;    /* such that are asked for */

    ngx_fd_t                  lock;         /* of the path, if the master did
                                               not get it */
    ngx_msec_t                lock_free;    /* of another instance: since
                                               then */
    unsigned                  lock_waits:1;
    u_char                    run_id[40];   /* when the outage began */

    unsigned                  busy:1;
    unsigned                  walking:1;    /* a walk has begun */
    unsigned                  crowded:1;    /* no room for what was read */
    unsigned                  foreign:1;    /* met files without a version */
    unsigned                  recalling:1;  /* the journal is being read */
    unsigned                  recall_end:1; /* that was its last slice */
    unsigned                  recall_read:1; /* a slice is there, or what is
                                                left of it */
    unsigned                  merging:1;    /* and was another instance's */
    unsigned                  adopting:1;   /* as were the files */
    unsigned                  adopted:1;    /* which are read, too */
    unsigned                  handed:1;     /* all that others had left was
                                               looked at once */
    unsigned                  hand_left:1;  /* some of it is for later */
    unsigned                  hand_cut:1;   /* its job is none of ours now */
    unsigned                  stopping:1;
    unsigned                  kill_denied:1; /* has been logged */
};


/* RECOVERING: takes one step, if none is under way */
void ngx_rf_recovery_next(ngx_rf_recovery_t *r);

/* the same in a turn of its own, so that requests get theirs */
void ngx_rf_recovery_post(ngx_rf_recovery_t *r);
void ngx_rf_recovery_posted(ngx_event_t *ev);

/* sends them, takes them over */
void ngx_rf_recovery_slice(ngx_rf_recovery_t *r, ngx_rf_record_t *records,
    ngx_uint_t epoch);

/* the disk lags behind on something, which may keep memory */
ngx_uint_t ngx_rf_recovery_lags(ngx_rf_zone_sh_t *sh);

/* a key that is to be removed from Redis at the end */
void ngx_rf_recovery_remember(ngx_rf_recovery_t *r, ngx_str_t *key);

/* memory is to know what has become of it in Redis, if that is not much; not
 * now, and maybe never */
void ngx_rf_recovery_learn(ngx_rf_recovery_t *r, ngx_rf_record_t *rec);
/* those that were not asked for yet */
void ngx_rf_recovery_learn_drop(ngx_rf_recovery_t *r);

/* reads the next slice of files into the zone */
void ngx_rf_recovery_walk(ngx_rf_recovery_t *r);

/*
 * Reads the journal into the zone; "merge": it was another instance's, and the
 * path becomes ours at the end.  Nothing is replayed meanwhile ("recalling").
 * again(): at each tick, what had to wait; stop(): at exit.
 */
void ngx_rf_recovery_recall(ngx_rf_recovery_t *r, ngx_uint_t merge);
void ngx_rf_recovery_recall_again(ngx_rf_recovery_t *r);
void ngx_rf_recovery_recall_stop(ngx_rf_recovery_t *r);

/*
 * What other instances have left to whoever has the path becomes pending here:
 * at each tick of the leader.  Before all of it was looked at once, and while
 * some is being taken in, nothing is replayed: ready() says so.
 * stop(): at exit, and where another has led meanwhile.
 */
void ngx_rf_recovery_hand(ngx_rf_recovery_t *r);
ngx_uint_t ngx_rf_recovery_hand_ready(ngx_rf_recovery_t *r);
void ngx_rf_recovery_hand_stop(ngx_rf_recovery_t *r);
/* records of another instance have come into the zone: nothing is replayed
 * before what Redis may have been asked until now is answered */
void ngx_rf_recovery_hand_taken(ngx_rf_recovery_t *r);

/* a record has been set aside, or could not be: a job's handler */
void ngx_rf_recovery_quarantined(ngx_rf_disk_job_t *job);

void ngx_rf_recovery_probe(ngx_rf_recovery_t *r, ngx_uint_t epoch);

/* what dead workers and those of an earlier zone have left is in the zone */
void ngx_rf_recovery_bury(ngx_rf_recovery_t *r);
/* "pid" led before, and may have something to send yet */
void ngx_rf_recovery_fence(ngx_rf_recovery_t *r, ngx_pid_t pid);
/* 1: a command that was given up may come late, so that kill() has work */
ngx_uint_t ngx_rf_recovery_late(ngx_rf_recovery_t *r);
/* NGX_OK: there is nothing to end, or nobody to ask; NGX_AGAIN: under way,
 * proceed() (if a probe came before, else the next step) or not_ready() follow;
 * NGX_ERROR: no memory, or not its business any more */
ngx_int_t ngx_rf_recovery_kill(ngx_rf_recovery_t *r, ngx_uint_t probed);

/* Redis is ready: RECOVERING, if it is not that already, and the next step */
void ngx_rf_recovery_proceed(ngx_rf_recovery_t *r);
void ngx_rf_recovery_not_ready(ngx_rf_recovery_t *r, ngx_str_t *reason);

/* Redis failed the leader in that epoch: to FALLBACK, with one log line */
void ngx_rf_recovery_outage(ngx_rf_recovery_t *r, ngx_uint_t epoch,
    ngx_str_t *reason);


#endif /* _NGX_RF_RECOVERY_INTERNAL_H_INCLUDED_ */
