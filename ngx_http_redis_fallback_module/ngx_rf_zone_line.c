/*
 * Lists of entries: the LRU list and others by state, and those by expiry.
 *
 * An entry's links are numbers of 32 bits, so that its header fits a small
 * slot.  Entries that expire are in NGX_RF_ZONE_DUE lists, each of a second or
 * so, which come again and again: linking costs the same however many there
 * are, and who expires in a later round is stepped over in this one.
 *
 * Guarantees: none where a process was killed; the salvage makes them anew.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


/* flying entries, and those of a later round, that a sweep steps over: bounds
 * the time that the lock is held */
#define NGX_RF_ZONE_LOOK        1024

/* nodes freed in a sweep */
#define NGX_RF_ZONE_TRASH       64

/* units that the clocks of processes may be apart */
#define NGX_RF_ZONE_APART       8


static ngx_rf_line_t *ngx_rf_line(ngx_rf_zone_sh_t *sh, uint32_t n,
    size_t offset);
static void ngx_rf_line_insert(ngx_rf_zone_sh_t *sh, uint32_t after,
    ngx_rf_entry_t *e, size_t offset);
static void ngx_rf_line_remove(ngx_rf_zone_sh_t *sh, ngx_rf_line_t *line,
    size_t offset);
static ngx_rf_entry_t *ngx_rf_line_entry(ngx_rf_zone_sh_t *sh, uint32_t n);
static void ngx_rf_zone_due_put(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e,
    int64_t at);
static ngx_uint_t ngx_rf_zone_due_look(ngx_rf_zone_t *zone, ngx_rf_entry_t *e,
    int64_t now);


static ngx_rf_line_t *
ngx_rf_line(ngx_rf_zone_sh_t *sh, uint32_t n, size_t offset)
{
    if (n & NGX_RF_ZONE_LINE) {
        return &sh->lines[n & ~NGX_RF_ZONE_LINE];
    }

    return (ngx_rf_line_t *) (void *)
           ((u_char *) ngx_rf_zone_at(sh, n) + offset);
}


static void
ngx_rf_line_insert(ngx_rf_zone_sh_t *sh, uint32_t after, ngx_rf_entry_t *e,
    size_t offset)
{
    uint32_t        n;
    ngx_rf_line_t  *line, *prev;

    n = ngx_rf_zone_number(sh, e);
    line = ngx_rf_line(sh, n, offset);
    prev = ngx_rf_line(sh, after, offset);

    line->prev = after;
    line->next = prev->next;
    ngx_rf_line(sh, line->next, offset)->prev = n;
    prev->next = n;
}


static void
ngx_rf_line_remove(ngx_rf_zone_sh_t *sh, ngx_rf_line_t *line, size_t offset)
{
    ngx_rf_line(sh, line->next, offset)->prev = line->prev;
    ngx_rf_line(sh, line->prev, offset)->next = line->next;
}


static ngx_rf_entry_t *
ngx_rf_line_entry(ngx_rf_zone_sh_t *sh, uint32_t n)
{
    return (n & NGX_RF_ZONE_LINE) ? NULL : ngx_rf_zone_at(sh, n);
}


void
ngx_rf_zone_line_head(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line,
    ngx_rf_entry_t *e)
{
    ngx_rf_line_insert(sh, NGX_RF_ZONE_LINE | line, e,
                       offsetof(ngx_rf_entry_t, queue));
}


void
ngx_rf_zone_line_tail(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line,
    ngx_rf_entry_t *e)
{
    ngx_rf_line_insert(sh, sh->lines[line].prev, e,
                       offsetof(ngx_rf_entry_t, queue));
}


void
ngx_rf_zone_line_remove(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    ngx_rf_line_remove(sh, &e->queue, offsetof(ngx_rf_entry_t, queue));
}


ngx_rf_entry_t *
ngx_rf_zone_line_first(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line)
{
    return ngx_rf_line_entry(sh, sh->lines[line].next);
}


ngx_rf_entry_t *
ngx_rf_zone_line_last(ngx_rf_zone_sh_t *sh, ngx_rf_line_e line)
{
    return ngx_rf_line_entry(sh, sh->lines[line].prev);
}


ngx_rf_entry_t *
ngx_rf_zone_line_next(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    return ngx_rf_line_entry(sh, e->queue.next);
}


ngx_rf_entry_t *
ngx_rf_zone_line_prev(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    return ngx_rf_line_entry(sh, e->queue.prev);
}


void
ngx_rf_zone_line_init(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    e->queue.next = ngx_rf_zone_number(sh, e);
    e->queue.prev = e->queue.next;
}


void
ngx_rf_zone_line_reset(ngx_rf_zone_sh_t *sh)
{
    uint32_t  i;

    for (i = 0; i < NGX_RF_LINE_DUE + NGX_RF_ZONE_DUE; i++) {
        sh->lines[i].next = NGX_RF_ZONE_LINE | i;
        sh->lines[i].prev = NGX_RF_ZONE_LINE | i;
    }

    sh->due_at = 0;
    sh->due_next = 0;
}


void
ngx_rf_zone_due_link(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    int64_t  at;

    /* of a time that has been looked for already: to be found at once */

    at = ngx_max(e->expire, 0) >> NGX_RF_ZONE_DUE_SHIFT;

    ngx_rf_zone_due_put(sh, e, ngx_max(at, sh->due_at));
}


static void
ngx_rf_zone_due_put(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e, int64_t at)
{
    uint32_t  line;

    line = NGX_RF_LINE_DUE + (uint32_t) (at & (NGX_RF_ZONE_DUE - 1));

    ngx_rf_line_insert(sh, sh->lines[line].prev, e,
                       offsetof(ngx_rf_entry_t, due));
}


void
ngx_rf_zone_due_unlink(ngx_rf_zone_sh_t *sh, ngx_rf_entry_t *e)
{
    if (sh->due_next == ngx_rf_zone_number(sh, e)) {
        sh->due_next = e->due.next;
    }

    ngx_rf_line_remove(sh, &e->due, offsetof(ngx_rf_entry_t, due));
}


void
ngx_rf_zone_sweep_locked(ngx_rf_zone_t *zone, int64_t now, ngx_uint_t n)
{
    int64_t            end;
    uint32_t           next, line;
    ngx_uint_t         look;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (zone->undoing) {
        return;
    }

    (void) ngx_rf_zone_trash(zone, NGX_RF_ZONE_TRASH);

    end = now >> NGX_RF_ZONE_DUE_SHIFT;
    look = n + NGX_RF_ZONE_LOOK;

    if (sh->due_at < end - NGX_RF_ZONE_DUE + 1
        || sh->due_at > end + NGX_RF_ZONE_APART)
    {
        /* once around: nobody has looked for long, or the clock was wrong */
        sh->due_at = end - NGX_RF_ZONE_DUE + 1;
        sh->due_next = 0;
    }

    /* of the time that has passed each is looked at once */

    for ( /* void */ ; sh->due_at < end; sh->due_at++) {

        if (sh->due_next == 0) {
            line = NGX_RF_LINE_DUE + (sh->due_at & (NGX_RF_ZONE_DUE - 1));
            sh->due_next = sh->lines[line].next;
        }

        while (!(sh->due_next & NGX_RF_ZONE_LINE)) {

            if (n == 0 || look-- == 0) {
                return;
            }

            e = ngx_rf_zone_at(sh, sh->due_next);
            sh->due_next = e->due.next;

            n -= ngx_rf_zone_due_look(zone, e, now);
        }

        sh->due_next = 0;
    }

    if (sh->due_at > end) {
        return;
    }

    line = NGX_RF_LINE_DUE + (end & (NGX_RF_ZONE_DUE - 1));

    for (next = sh->lines[line].next;
         !(next & NGX_RF_ZONE_LINE) && n && look;
         look--)
    {
        e = ngx_rf_zone_at(sh, next);
        next = e->due.next;

        n -= ngx_rf_zone_due_look(zone, e, now);
    }
}


/* 1: it had expired, and was dealt with */

static ngx_uint_t
ngx_rf_zone_due_look(ngx_rf_zone_t *zone, ngx_rf_entry_t *e, int64_t now)
{
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;

    if (e->expire > now) {
        return 0;
    }

    if (e->flying) {
        /* it stays as it is until it has landed */
        ngx_rf_zone_due_unlink(sh, e);
        ngx_rf_zone_due_put(sh, e, ngx_max(sh->due_at,
                                          now >> NGX_RF_ZONE_DUE_SHIFT) + 1);
        return 0;
    }

    ngx_rf_zone_expired(zone, e, now);

    return 1;
}
