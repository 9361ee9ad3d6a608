#include "rf_unit.h"
#include "sound.h"


static ngx_uint_t sound_queue(ngx_queue_t *queue);


ngx_uint_t
sound_zone(ngx_rf_zone_t *zone, ngx_uint_t counters)
{
    long long          sum;
    ngx_str_t          arg;
    ngx_uint_t         i, entries, live, pending, dirty, sound, n;
    ngx_rf_entry_t    *e;
    ngx_rf_zchange_t  *c;
    ngx_rf_zone_sh_t  *sh;

    sh = zone->sh;
    sound = 1;
    entries = live = pending = dirty = 0;

    ngx_rf_zone_lock(zone);

    for (i = 0; i < sh->nbuckets; i++) {

        for (e = sh->buckets[i]; e; e = e->next) {
            entries++;
            live += (e->type != NGX_RF_NONE);
            pending += (e->pending != NGX_RF_CLEAN);
            dirty += e->dirty;

            if (e->undo) {
                printf("# entry in the undo log\n");
                sound = 0;
            }

            if (e->pending != NGX_RF_DELTA) {
                sound = sound && e->changes == NULL && e->nchanges == 0;
                continue;
            }

            sum = 0;
            n = 0;

            for (c = e->changes; c; c = c->next) {
                n++;

                if (ngx_rf_zone_change_str(c, 0, &arg) == NGX_OK
                    && arg.len == 6)
                {
                    ngx_rf_zone_change_str(c, 1, &arg);
                    sum += ngx_atoi(arg.data, arg.len);
                }

                if (c->next ? c->next->prev != c : e->last_change != c) {
                    printf("# links of changes\n");
                    sound = 0;
                }
            }

            if (n != e->nchanges
                || (counters && sum != ngx_atoi(e->value->data, e->value->len)))
            {
                printf("# changes of %.*s: %d of %d, sum %lld of %.*s\n",
                       (int) e->key_len, e->key, (int) n, (int) e->nchanges,
                       sum, (int) e->value->len, e->value->data);
                sound = 0;
            }
        }
    }

    n = sound_queue(&sh->clean) + sound_queue(&sh->stale)
        + sound_queue(&sh->pending_queue) + sound_queue(&sh->flying);

    if (entries != sh->entries || entries != n || live != sh->live
        || pending != sh->npending
        || pending != sound_queue(&sh->pending_queue)
                      + sound_queue(&sh->flying)
        || dirty != sh->ndirty || dirty != sound_queue(&sh->dirty)
        || sh->nwriting != sound_queue(&sh->writing) || sh->nundo)
    {
        printf("# entries %d of %d, in lists %d, live %d of %d, pending %d of "
               "%d, dirty %d of %d\n", (int) sh->entries, (int) entries,
               (int) n, (int) sh->live, (int) live, (int) sh->npending,
               (int) pending, (int) sh->ndirty, (int) dirty);
        sound = 0;
    }

    ngx_rf_zone_unlock(zone);

    return sound;
}


static ngx_uint_t
sound_queue(ngx_queue_t *queue)
{
    ngx_uint_t    n;
    ngx_queue_t  *q;

    n = 0;

    for (q = ngx_queue_head(queue);
         q != ngx_queue_sentinel(queue);
         q = ngx_queue_next(q))
    {
        if (ngx_queue_prev(ngx_queue_next(q)) != q) {
            return NGX_MAX_UINT32_VALUE;
        }

        n++;
    }

    return n;
}
