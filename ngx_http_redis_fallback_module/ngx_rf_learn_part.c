/*
 * What memory learns of a collection by reading some of its elements, and when
 * Redis vouches for a key that is known in part: when all that is known was
 * read while it was watched.
 *
 * So it is if these are all there are ("fresh"), and stays so if it was and the
 * read was sent since: a voucher comes with a version of its own.
 * Otherwise what is known already is asked for along with what is read, which
 * needs no more than one command for each change of the key.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_learn_internal.h"
#include "ngx_rf_local_op.h"
#include "ngx_rf_tree.h"


/* elements, and bytes of their names, that are asked for along with others */
#define NGX_RF_LEARN_KNOWN      64
#define NGX_RF_LEARN_NAMES      4096


static void ngx_rf_learn_name(ngx_str_t *names, ngx_uint_t *n, ngx_str_t *name);
static ngx_uint_t ngx_rf_learn_found(ngx_rf_reply_t *reply);


void
ngx_rf_learn_read(ngx_rf_learn_t *ln, ngx_str_t *key, ngx_uint_t fresh)
{
    ngx_rf_entry_t  *e;

    e = ngx_rf_learn_filled(ln, key);

    /* an element that was read is no news about the others: what was asked for
     * at the same time may be learned, too */

    if (e == NULL || (!fresh && e->complete)) {
        return;
    }

    e->run = ln->zone->sh->run;
    e->seen = ln->sent;
    e->complete = 0;

    if (ln->voucher
        && (fresh
            || (ln->known
                && ngx_rf_zone_content(e)->elts.count
                   == ngx_rf_learn_found(ln->reply))))
    {
        /* it says nothing of an earlier reply that is yet to come */

        e->version = ++ln->zone->sh->seq;

        ngx_rf_zone_vouch_locked(ln->zone, e, ln->voucher);
        ngx_rf_learn_note(ln, key, e->version);
    }
}


static ngx_uint_t
ngx_rf_learn_found(ngx_rf_reply_t *reply)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < reply->nelts; i++) {

        if (reply->elts[i].type != NGX_RF_REPLY_NIL
            && (reply->elts[i].type != NGX_RF_REPLY_INTEGER
                || reply->elts[i].integer))
        {
            n++;
        }
    }

    return n;
}


ngx_str_t *
ngx_rf_learn_ask_known(ngx_rf_zone_t *zone, ngx_pool_t *pool,
    const ngx_rf_command_t *command, ngx_uint_t argc, ngx_str_t *argv,
    ngx_uint_t *n)
{
    u_char          *p;
    ngx_str_t       *names, name;
    ngx_uint_t       i;
    ngx_rf_elt_t    *elt;
    ngx_rf_walk_t    walk;
    ngx_rf_tree_t   *elts;
    ngx_rf_entry_t  *e;

    if (argc > NGX_RF_LEARN_KNOWN) {
        return NULL;
    }

    names = NULL;

    ngx_rf_zone_lock(zone);

    e = ngx_rf_zone_lookup_locked(zone, &argv[1]);

    if (e == NULL || e->complete || e->pending != NGX_RF_CLEAN
        || e->type != ngx_rf_learn_type(command->id)
        || ngx_rf_zone_vouched_locked(zone, e))
    {
        goto done;
    }

    elts = &ngx_rf_zone_content(e)->elts;

    if (elts->count > NGX_RF_LEARN_KNOWN || elts->bytes > NGX_RF_LEARN_NAMES) {
        goto done;
    }

    p = ngx_palloc(pool, sizeof(ngx_str_t) * (elts->count + argc)
                         + elts->bytes + 1);
    if (p == NULL) {
        goto done;
    }

    names = (ngx_str_t *) (void *) p;
    p += sizeof(ngx_str_t) * (elts->count + argc);

    names[1] = argv[1];
    *n = 2;

    for (elt = ngx_rf_walk_from(&walk, elts, 0);
         elt;
         elt = ngx_rf_walk_next(&walk))
    {
        name.data = p;
        name.len = elt->name_len;
        p = ngx_cpymem(p, ngx_rf_elt_name(elt), elt->name_len);

        names[(*n)++] = name;
    }

done:

    ngx_rf_zone_unlock(zone);

    if (names == NULL) {
        return NULL;
    }

    switch (ngx_rf_learn_type(command->id)) {

    case NGX_RF_HASH:
        ngx_str_set(&names[0], "HMGET");
        break;

    case NGX_RF_SET:
        ngx_str_set(&names[0], "SMISMEMBER");
        break;

    default:
        ngx_str_set(&names[0], "ZMSCORE");
    }

    for (i = 2; i < argc; i++) {
        ngx_rf_learn_name(names, n, &argv[i]);
    }

    return names;
}


static void
ngx_rf_learn_name(ngx_str_t *names, ngx_uint_t *n, ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 2; i < *n; i++) {

        if (names[i].len == name->len
            && ngx_memcmp(names[i].data, name->data, name->len) == 0)
        {
            return;
        }
    }

    names[(*n)++] = *name;
}
