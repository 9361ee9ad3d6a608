/*
 * The FIFO of a connection, see ngx_rf_pipeline.h.
 *
 * A slot stands for a call, so that a call whose owner went away leaves
 * something behind for its replies to be counted against.
 */

#include "ngx_rf_pipeline.h"
#include "ngx_rf_resp.h"


#define NGX_RF_PIPELINE_OUT         4096    /* bytes of output at first */
#define NGX_RF_PIPELINE_OUT_KEEP    262144  /* an empty one above is freed */
#define NGX_RF_PIPELINE_OUT_MAX     (2 * (size_t) NGX_RF_RESP_MAX)
#define NGX_RF_PIPELINE_SLOTS       64      /* at first; a power of two */
#define NGX_RF_PIPELINE_SLOTS_KEEP  8192    /* an empty ring above is freed */


#define ngx_rf_pipeline_slot(p, n)      (&(p)->slots[(n) & ((p)->nslots - 1)])


static ngx_int_t ngx_rf_pipeline_reserve(ngx_rf_pipeline_t *p, size_t size);
static void ngx_rf_pipeline_append(ngx_rf_pipeline_t *p, ngx_uint_t argc,
    ngx_str_t *argv);
static ngx_int_t ngx_rf_pipeline_grow(ngx_rf_pipeline_t *p);
static void ngx_rf_pipeline_expires(ngx_rf_pipeline_t *p, ngx_msec_t expires);


void
ngx_rf_pipeline_init(ngx_rf_pipeline_t *p, ngx_log_t *log)
{
    p->log = log;
}


void
ngx_rf_pipeline_free(ngx_rf_pipeline_t *p)
{
    if (p->start) {
        ngx_free(p->start);
    }

    if (p->slots) {
        ngx_free(p->slots);
    }
}


void
ngx_rf_pipeline_wipe(ngx_rf_pipeline_t *p)
{
    if (p->start) {
        ngx_explicit_memzero(p->start, p->last - p->start);
    }
}


ngx_int_t
ngx_rf_pipeline_command(ngx_rf_pipeline_t *p, ngx_uint_t argc,
    ngx_str_t *argv)
{
    if (ngx_rf_pipeline_reserve(p, ngx_rf_resp_size(argc, argv)) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_rf_pipeline_append(p, argc, argv);

    return NGX_OK;
}


ngx_int_t
ngx_rf_pipeline_call(ngx_rf_pipeline_t *p, ngx_rf_call_t *call,
    ngx_msec_t expires)
{
    size_t                  size, n;
    ngx_uint_t              i;
    ngx_rf_slot_t          *slot;
    ngx_rf_call_command_t  *command;

    size = 0;

    for (i = 0; i < call->ncommands; i++) {
        command = &call->commands[i];
        n = ngx_rf_resp_size(command->argc, command->argv);

        if (n > NGX_RF_PIPELINE_OUT_MAX - size) {
            return NGX_ERROR;
        }

        size += n;
    }

    if (ngx_rf_pipeline_grow(p) != NGX_OK
        || ngx_rf_pipeline_reserve(p, size) != NGX_OK)
    {
        return NGX_ERROR;
    }

    slot = ngx_rf_pipeline_slot(p, p->tail);
    slot->call = call;
    slot->left = call->ncommands;
    slot->start = p->nqueued;

    call->nreplies = 0;
    call->inflight = 1;
    call->slot = p->tail++;

    for (i = 0; i < call->ncommands; i++) {
        command = &call->commands[i];
        command->reply = NULL;
        ngx_rf_pipeline_append(p, command->argc, command->argv);
    }

    ngx_rf_pipeline_expires(p, expires);

    return NGX_OK;
}


void
ngx_rf_pipeline_sent(ngx_rf_pipeline_t *p, size_t n)
{
    p->pos += n;
    p->nsent += n;

    if (p->pos != p->last) {
        return;
    }

    if (p->end - p->start <= NGX_RF_PIPELINE_OUT_KEEP) {
        /* the bytes stay for ngx_rf_pipeline_wipe(); reserve() goes back */
        return;
    }

    ngx_free(p->start);

    p->start = NULL;
    p->pos = NULL;
    p->last = NULL;
    p->end = NULL;
}


ngx_pool_t *
ngx_rf_pipeline_pool(ngx_rf_pipeline_t *p)
{
    ngx_rf_call_t  *call;

    if (ngx_rf_pipeline_inflight(p) == 0) {
        return NULL;
    }

    call = ngx_rf_pipeline_head(p)->call;

    return call ? call->pool : NULL;
}


ngx_int_t
ngx_rf_pipeline_reply(ngx_rf_pipeline_t *p, ngx_rf_reply_t *reply,
    ngx_rf_call_t **call)
{
    ngx_rf_slot_t  *slot;

    if (ngx_rf_pipeline_inflight(p) == 0) {
        return NGX_ERROR;
    }

    slot = ngx_rf_pipeline_head(p);

    if (p->nsent <= slot->start) {
        /* the call has not left yet, so this cannot be its reply */
        return NGX_ERROR;
    }

    *call = slot->call;

    if (slot->call) {

        if (reply == NULL) {
            /* it began before there was a call to take it */
            return NGX_ERROR;
        }

        slot->call->commands[slot->call->nreplies++].reply = reply;
    }

    if (--slot->left) {
        return NGX_AGAIN;
    }

    p->head++;

    if (slot->call) {
        slot->call->inflight = 0;
    }

    if (ngx_rf_pipeline_inflight(p) == 0
        && p->nslots > NGX_RF_PIPELINE_SLOTS_KEEP)
    {
        ngx_free(p->slots);
        p->slots = NULL;
        p->nslots = 0;
    }

    return NGX_OK;
}


void
ngx_rf_pipeline_soon(ngx_rf_pipeline_t *p)
{
    ngx_uint_t               i, n;
    ngx_rf_call_t           *call;
    static const ngx_uint_t  soon[] = { NGX_RF_CALL_NEXT, NGX_RF_CALL_NEAR,
                                        NGX_RF_CALL_FAR };

    for (i = 0; i < 3 && soon[i] <= ngx_rf_pipeline_inflight(p); i++) {
        n = soon[i];
        call = ngx_rf_pipeline_slot(p, p->head + n - 1)->call;

        if (call && call->soon) {
            call->soon(call, n);
        }
    }
}


ngx_uint_t
ngx_rf_pipeline_cut(ngx_rf_pipeline_t *p, ngx_rf_call_t *call)
{
    ngx_rf_pipeline_slot(p, call->slot)->call = NULL;
    call->inflight = 0;

    return call->slot == p->head;
}


ngx_uint_t
ngx_rf_pipeline_unsent(ngx_rf_pipeline_t *p, ngx_rf_call_t *call)
{
    return p->nsent <= ngx_rf_pipeline_slot(p, call->slot)->start;
}


void
ngx_rf_pipeline_collect(ngx_rf_pipeline_t *p, ngx_queue_t *calls)
{
    ngx_rf_call_t  *call;
    ngx_rf_slot_t  *slot;

    for ( /* void */ ; p->head != p->tail; p->head++) {
        slot = ngx_rf_pipeline_head(p);
        call = slot->call;

        if (call == NULL) {
            continue;
        }

        if (p->nsent > slot->start) {
            call->sent = 1;
        }

        call->inflight = 0;
        ngx_queue_insert_tail(calls, &call->queue);
    }
}


static ngx_int_t
ngx_rf_pipeline_reserve(ngx_rf_pipeline_t *p, size_t size)
{
    size_t   used, room;
    u_char  *start;

    used = p->last - p->pos;

    if (used == 0) {
        p->pos = p->start;
        p->last = p->start;
    }

    if (size <= (size_t) (p->end - p->last)) {
        return NGX_OK;
    }

    if (size > NGX_RF_PIPELINE_OUT_MAX
        || used > NGX_RF_PIPELINE_OUT_MAX - size)
    {
        return NGX_ERROR;
    }

    room = p->end - p->start;

    /* moving pays only if it wins at least as much as it moves */

    if (used + size <= room && used <= room / 2) {
        ngx_memmove(p->start, p->pos, used);
        p->pos = p->start;
        p->last = p->start + used;
        return NGX_OK;
    }

    room = ngx_max(ngx_max(used + size, 2 * used), NGX_RF_PIPELINE_OUT);

    start = ngx_alloc(room, p->log);
    if (start == NULL) {
        return NGX_ERROR;
    }

    if (p->start) {
        ngx_memcpy(start, p->pos, used);
        ngx_free(p->start);
    }

    p->start = start;
    p->pos = start;
    p->last = start + used;
    p->end = start + room;

    return NGX_OK;
}


static void
ngx_rf_pipeline_append(ngx_rf_pipeline_t *p, ngx_uint_t argc, ngx_str_t *argv)
{
    u_char  *last;

    last = ngx_rf_resp_write(p->last, argc, argv);

    p->nqueued += last - p->last;
    p->last = last;
}


/* makes room for one more slot */

static ngx_int_t
ngx_rf_pipeline_grow(ngx_rf_pipeline_t *p)
{
    ngx_uint_t      i, n;
    ngx_rf_slot_t  *slots;

    if (ngx_rf_pipeline_inflight(p) < p->nslots) {
        return NGX_OK;
    }

    n = p->nslots ? p->nslots * 2 : NGX_RF_PIPELINE_SLOTS;

    slots = ngx_alloc(n * sizeof(ngx_rf_slot_t), p->log);
    if (slots == NULL) {
        return NGX_ERROR;
    }

    for (i = p->head; i != p->tail; i++) {
        slots[i & (n - 1)] = *ngx_rf_pipeline_slot(p, i);
    }

    if (p->slots) {
        ngx_free(p->slots);
    }

    p->slots = slots;
    p->nslots = n;

    return NGX_OK;
}


/*
 * When the call that was queued last must be answered.  Those before it must
 * be answered first, so theirs cannot be later; then only the head needs a
 * timer.
 */

static void
ngx_rf_pipeline_expires(ngx_rf_pipeline_t *p, ngx_msec_t expires)
{
    ngx_uint_t      i;
    ngx_rf_slot_t  *slot;

    ngx_rf_pipeline_slot(p, p->tail - 1)->expires = expires;

    for (i = p->tail - 1; i != p->head; i--) {
        slot = ngx_rf_pipeline_slot(p, i - 1);

        if ((ngx_msec_int_t) (slot->expires - expires) <= 0) {
            break;
        }

        slot->expires = expires;
    }
}
