/*
 * The FIFO of a connection: commands as bytes to be sent, and the calls whose
 * replies are to come, in the same order.  Pure: no I/O, no events.
 *
 * Guarantees: a reply finds its call or, if that was cut, nobody; it is known
 * of each call whether a byte of it has left.  Memory shrinks back once it is
 * empty.
 */

#ifndef _NGX_RF_PIPELINE_H_INCLUDED_
#define _NGX_RF_PIPELINE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf.h"


typedef struct ngx_rf_call_s   ngx_rf_call_t;

typedef struct {
    ngx_uint_t            argc;
    ngx_str_t            *argv;
    ngx_rf_reply_t       *reply;        /* set before the handler is called */
} ngx_rf_call_command_t;

/* outcomes of a call */

#define NGX_RF_CALL_DONE        0       /* each command has its reply */
#define NGX_RF_CALL_UNSENT      1       /* no byte of it reached a connection
                                           that was ready */
#define NGX_RF_CALL_UNSURE      2       /* sent, and the reply never came */

typedef void (*ngx_rf_call_pt)(ngx_rf_call_t *call, ngx_uint_t outcome);

/* the n-th of the replies that are to come next is this call's: what its
 * handler will read may be fetched into the caches of the processor while those
 * before it are handled.  Nothing is to be done in there that calls, cuts or
 * waits */
typedef void (*ngx_rf_call_soon_pt)(ngx_rf_call_t *call, ngx_uint_t n);

/* the n's: three, as a slot of a table says where an entry is, and that where
 * a value is; apart, as some replies are handled in less time than memory takes
 */
#define NGX_RF_CALL_FAR         6
#define NGX_RF_CALL_NEAR        4
#define NGX_RF_CALL_NEXT        2

/*
 * One or more commands that travel together.  The memory is the caller's and
 * stays, with all argv, until the handler was called or ngx_rf_redis_cut().
 * Replies are allocated in "pool".
 */
struct ngx_rf_call_s {
    ngx_uint_t            ncommands;
    ngx_rf_call_command_t *commands;
    ngx_pool_t           *pool;
    ngx_rf_call_pt        handler;
    ngx_rf_call_soon_pt   soon;         /* or NULL; once for each n, but those
                                           that too few were before it for */
    void                 *data;
    uint32_t              order;        /* calls of the same number are executed
                                           in the order of their submission */
    unsigned              repeat:1;     /* may be sent again after it was sent
                                           and the connection broke */
    unsigned              once:1;       /* one try only: probes, replay */

    /* private to the client */
    ngx_queue_t           queue;        /* while it is not in flight */
    ngx_msec_t            deadline;
    ngx_uint_t            tries;
    ngx_uint_t            nreplies;
    ngx_uint_t            link;         /* follows from "order" */
    ngx_uint_t            slot;         /* while it is in flight */
    unsigned              inflight:1;
    unsigned              sent:1;
};


typedef struct {
    ngx_rf_call_t        *call;         /* NULL: cut */
    ngx_uint_t            left;         /* replies that are still to come */
    ngx_msec_t            expires;
    uint64_t              start;        /* its first byte in the output */
} ngx_rf_slot_t;

typedef struct {
    ngx_log_t            *log;

    u_char               *start;        /* the output: pos to last is to be */
    u_char               *pos;          /* sent */
    u_char               *last;
    u_char               *end;
    uint64_t              nqueued;      /* bytes ever put in */
    uint64_t              nsent;        /* bytes ever taken out */

    ngx_rf_slot_t        *slots;        /* the ring; head and tail only grow */
    ngx_uint_t            nslots;
    ngx_uint_t            head;
    ngx_uint_t            tail;
} ngx_rf_pipeline_t;


#define ngx_rf_pipeline_inflight(p)     ((p)->tail - (p)->head)
#define ngx_rf_pipeline_head(p)                                               \
    (&(p)->slots[(p)->head & ((p)->nslots - 1)])


/* the memory of "p" is zeroed and the caller's */
void ngx_rf_pipeline_init(ngx_rf_pipeline_t *p, ngx_log_t *log);
void ngx_rf_pipeline_free(ngx_rf_pipeline_t *p);
/* overwrites the output, sent or not: it holds a password */
void ngx_rf_pipeline_wipe(ngx_rf_pipeline_t *p);

/* one command that is no call's.  NGX_OK or NGX_ERROR: no memory */
ngx_int_t ngx_rf_pipeline_command(ngx_rf_pipeline_t *p, ngx_uint_t argc,
    ngx_str_t *argv);
/* a call, to be answered by "expires" (of ngx_current_msec's clock).  NGX_OK,
 * or NGX_ERROR: no memory, nothing was queued */
ngx_int_t ngx_rf_pipeline_call(ngx_rf_pipeline_t *p, ngx_rf_call_t *call,
    ngx_msec_t expires);
/* n bytes from pos were sent */
void ngx_rf_pipeline_sent(ngx_rf_pipeline_t *p, size_t n);

/* where the next reply is to live; NULL: it is to be dropped */
ngx_pool_t *ngx_rf_pipeline_pool(ngx_rf_pipeline_t *p);
/* NGX_OK: *call has all its replies (NULL: it was cut); NGX_AGAIN: more are to
 * come; NGX_ERROR: nobody asked for this */
ngx_int_t ngx_rf_pipeline_reply(ngx_rf_pipeline_t *p, ngx_rf_reply_t *reply,
    ngx_rf_call_t **call);
/* a call has all its replies, and its handler is about to be called: tells
 * those behind it that theirs is soon */
void ngx_rf_pipeline_soon(ngx_rf_pipeline_t *p);
/* returns 1 if the next reply was to be this call's */
ngx_uint_t ngx_rf_pipeline_cut(ngx_rf_pipeline_t *p, ngx_rf_call_t *call);

/* a call in flight of which no byte has left */
ngx_uint_t ngx_rf_pipeline_unsent(ngx_rf_pipeline_t *p, ngx_rf_call_t *call);

/* moves the calls in flight to the empty queue, "sent" where a byte left */
void ngx_rf_pipeline_collect(ngx_rf_pipeline_t *p, ngx_queue_t *calls);


#endif /* _NGX_RF_PIPELINE_H_INCLUDED_ */
