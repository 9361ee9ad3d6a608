/*
 * Commands about all keys: KEYS, SCAN, DBSIZE, RANDOMKEY, and the glob.
 *
 * They see what memory holds.  SCAN goes bucket by bucket: the table never
 * grows, so a bucket's number is a cursor that stays good, and each key that
 * is there all the time is returned exactly once.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_keyspace.h"
#include "ngx_rf_keyspace_internal.h"
#include "ngx_rf_local_op.h"


/* due entries removed first: those beyond are skipped, or counted by DBSIZE */
#define NGX_RF_KEYSPACE_SWEEP   10000


static ngx_uint_t ngx_rf_keyspace_live(ngx_rf_local_t *l, ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_keyspace_collect(ngx_rf_local_t *l,
    ngx_array_t *found, ngx_rf_entry_t *e);
static ngx_int_t ngx_rf_keyspace_cursor(ngx_str_t *text, uint64_t *cursor);
static ngx_uint_t ngx_rf_keyspace_wanted(ngx_rf_scan_t *scan,
    ngx_rf_entry_t *e);
static ngx_uint_t ngx_rf_keyspace_glob(u_char *p, u_char *pend, u_char *s,
    u_char *send, ngx_uint_t *skip);
static u_char *ngx_rf_keyspace_class(u_char *p, u_char *pend, u_char c,
    ngx_uint_t *match);


static ngx_uint_t
ngx_rf_keyspace_live(ngx_rf_local_t *l, ngx_rf_entry_t *e)
{
    return e->type != NGX_RF_NONE && (e->expire == 0 || e->expire > l->now);
}


static ngx_int_t
ngx_rf_keyspace_collect(ngx_rf_local_t *l, ngx_array_t *found,
    ngx_rf_entry_t *e)
{
    ngx_rf_reply_t  *reply;

    reply = ngx_array_push(found);
    if (reply == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(reply, sizeof(ngx_rf_reply_t));

    return ngx_rf_local_element(l, reply, e->key, e->key_len);
}


ngx_int_t
ngx_rf_keyspace_keys(ngx_rf_local_t *l)
{
    ngx_str_t          key;
    ngx_uint_t         i;
    ngx_array_t        found;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = l->zone->sh;

    if (ngx_array_init(&found, l->pool, 64, sizeof(ngx_rf_reply_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < sh->nbuckets; i++) {

        for (e = ngx_rf_zone_at(sh, sh->buckets[i]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {

            key.data = e->key;
            key.len = e->key_len;

            if (ngx_rf_keyspace_live(l, e)
                && ngx_rf_keyspace_match(&l->argv[1], &key)
                && ngx_rf_keyspace_collect(l, &found, e) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    if (ngx_rf_local_array(l, 0) == NULL) {
        return NGX_ERROR;
    }

    l->reply->elts = found.elts;
    l->reply->nelts = found.nelts;

    return NGX_OK;
}


ngx_int_t
ngx_rf_keyspace_scan(ngx_rf_local_t *l)
{
    int64_t            visited;
    ngx_int_t          rc;
    ngx_array_t        found;
    ngx_rf_scan_t      scan;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = l->zone->sh;

    rc = ngx_rf_keyspace_scan_cursor(l, &l->argv[1], &scan);

    if (rc == NGX_OK) {
        rc = ngx_rf_keyspace_scan_args(l, 2, &scan);
    }

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    if (ngx_array_init(&found, l->pool, 16, sizeof(ngx_rf_reply_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    visited = 0;

    while (scan.cursor < sh->nbuckets && visited < scan.count) {

        for (e = ngx_rf_zone_at(sh, sh->buckets[scan.cursor]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {

            if (!ngx_rf_keyspace_live(l, e)) {
                continue;
            }

            visited++;

            if (ngx_rf_keyspace_wanted(&scan, e)
                && ngx_rf_keyspace_collect(l, &found, e) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        scan.cursor++;
    }

    if (scan.cursor >= sh->nbuckets) {
        scan.cursor = 0;
    }

    return ngx_rf_keyspace_scan_reply(l, scan.cursor, &found);
}


ngx_int_t
ngx_rf_keyspace_scan_cursor(ngx_rf_local_t *l, ngx_str_t *arg,
    ngx_rf_scan_t *scan)
{
    ngx_int_t  rc;

    if (ngx_rf_keyspace_cursor(arg, &scan->cursor) == NGX_OK) {
        return NGX_OK;
    }

    rc = ngx_rf_local_error(l, "ERR invalid cursor");

    return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


ngx_int_t
ngx_rf_keyspace_scan_args(ngx_rf_local_t *l, ngx_uint_t first,
    ngx_rf_scan_t *scan)
{
    ngx_int_t    rc;
    ngx_str_t   *arg;
    ngx_uint_t   i;

    scan->count = 10;
    scan->type = NULL;
    ngx_str_null(&scan->pattern);

    for (i = first; i < l->argc; i += 2) {
        arg = &l->argv[i];

        if (i + 1 == l->argc) {
            goto syntax;
        }

        if (ngx_rf_local_is(arg, "count")) {

            if (ngx_rf_local_number(&arg[1], &scan->count) != NGX_OK) {
                rc = ngx_rf_local_not_integer(l);
                return rc == NGX_OK ? NGX_DECLINED : NGX_ERROR;
            }

            if (scan->count < 1) {
                goto syntax;
            }

        } else if (ngx_rf_local_is(arg, "match")) {
            scan->pattern = arg[1];

        } else if (ngx_rf_local_is(arg, "type")
                   && l->command->id == NGX_RF_CMD_SCAN)
        {
            scan->type = &arg[1];

        } else {
            goto syntax;
        }
    }

    return NGX_OK;

syntax:

    return ngx_rf_local_syntax(l) == NGX_OK ? NGX_DECLINED : NGX_ERROR;
}


ngx_uint_t
ngx_rf_keyspace_scan_match(ngx_rf_scan_t *scan, u_char *data, size_t len)
{
    ngx_str_t  str;

    str.data = data;
    str.len = len;

    return scan->pattern.data == NULL
           || ngx_rf_keyspace_match(&scan->pattern, &str);
}


ngx_int_t
ngx_rf_keyspace_scan_reply(ngx_rf_local_t *l, uint64_t cursor,
    ngx_array_t *found)
{
    u_char           text[NGX_INT64_LEN];
    ngx_rf_reply_t  *elts;

    elts = ngx_rf_local_array(l, 2);
    if (elts == NULL) {
        return NGX_ERROR;
    }

    elts[1].type = NGX_RF_REPLY_ARRAY;

    if (found != NULL) {
        elts[1].elts = found->elts;
        elts[1].nelts = found->nelts;
    }

    return ngx_rf_local_element(l, &elts[0], text,
                                ngx_sprintf(text, "%uL", cursor) - text);
}


/* what strtoul() takes whole, as Redis reads it */

static ngx_int_t
ngx_rf_keyspace_cursor(ngx_str_t *text, uint64_t *cursor)
{
    char  buf[64], *end;

    if (text->len >= sizeof(buf)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(buf, text->data, text->len);
    buf[text->len] = '\0';

    errno = 0;
    *cursor = strtoull(buf, &end, 10);

    if (buf[0] == ' ' || (buf[0] >= '\t' && buf[0] <= '\r')
        || *end != '\0' || errno == ERANGE)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_rf_keyspace_wanted(ngx_rf_scan_t *scan, ngx_rf_entry_t *e)
{
    size_t       len;
    const char  *type;

    if (scan->type) {
        type = ngx_rf_keyspace_types[e->type];
        len = ngx_strlen(type);

        if (scan->type->len != len
            || ngx_strncasecmp(scan->type->data, (u_char *) type, len) != 0)
        {
            return 0;
        }
    }

    return ngx_rf_keyspace_scan_match(scan, e->key, e->key_len);
}


ngx_int_t
ngx_rf_keyspace_dbsize(ngx_rf_local_t *l)
{
    ngx_rf_zone_sweep_locked(l->zone, l->now, NGX_RF_KEYSPACE_SWEEP);

    return ngx_rf_local_integer(l, l->zone->sh->live);
}


ngx_int_t
ngx_rf_keyspace_randomkey(ngx_rf_local_t *l)
{
    ngx_uint_t         i, n, at, start, pick;
    ngx_rf_entry_t    *e;
    ngx_rf_zone_sh_t  *sh;

    sh = l->zone->sh;

    if (sh->live == 0) {
        return ngx_rf_local_nil(l);
    }

    start = ngx_random();

    for (i = 0; i < sh->nbuckets; i++) {

        n = 0;
        at = (start + i) & (sh->nbuckets - 1);

        for (e = ngx_rf_zone_at(sh, sh->buckets[at]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {
            n += ngx_rf_keyspace_live(l, e);
        }

        if (n == 0) {
            continue;
        }

        pick = ngx_random() % n;

        for (e = ngx_rf_zone_at(sh, sh->buckets[at]);
             e;
             e = ngx_rf_zone_next(sh, e))
        {
            if (ngx_rf_keyspace_live(l, e) && pick-- == 0) {
                return ngx_rf_local_string(l, e->key, e->key_len);
            }
        }
    }

    return ngx_rf_local_nil(l);
}


ngx_uint_t
ngx_rf_keyspace_match(ngx_str_t *pattern, ngx_str_t *str)
{
    ngx_uint_t  skip;

    skip = 0;

    return ngx_rf_keyspace_glob(pattern->data, pattern->data + pattern->len,
                                str->data, str->data + str->len, &skip);
}


/*
 * "skip": the string ran out under an inner star, so that no outer star can
 * match by giving way further.  With it the time is bounded by the product of
 * the lengths; the depth is that of the stars.
 */

static ngx_uint_t
ngx_rf_keyspace_glob(u_char *p, u_char *pend, u_char *s, u_char *send,
    ngx_uint_t *skip)
{
    ngx_uint_t  match;

    while (p < pend && s < send) {

        switch (*p) {

        case '*':
            while (p + 1 < pend && p[1] == '*') {
                p++;
            }

            if (p + 1 == pend) {
                return 1;
            }

            for ( /* void */ ; s < send; s++) {
                if (ngx_rf_keyspace_glob(p + 1, pend, s, send, skip)) {
                    return 1;
                }

                if (*skip) {
                    return 0;
                }
            }

            *skip = 1;
            return 0;

        case '?':
            break;

        case '[':
            p = ngx_rf_keyspace_class(p + 1, pend, *s, &match);

            if (!match) {
                return 0;
            }

            break;

        case '\\':
            if (p + 1 < pend) {
                p++;
            }

            /* fall through */

        default:
            if (*p != *s) {
                return 0;
            }
        }

        s++;

        if (p < pend) {
            p++;
        }
    }

    if (s == send) {
        while (p < pend && *p == '*') {
            p++;
        }
    }

    return p >= pend && s == send;
}


/* past the '['; returns where the ']' is, or the last byte without one */

static u_char *
ngx_rf_keyspace_class(u_char *p, u_char *pend, u_char c, ngx_uint_t *match)
{
    u_char      from, to;
    ngx_uint_t  not, found;

    not = (p < pend && *p == '^');
    found = 0;

    if (not) {
        p++;
    }

    for ( /* void */ ; p < pend; p++) {

        if (*p == '\\' && pend - p >= 2) {
            p++;
            found |= (*p == c);

        } else if (*p == ']') {
            break;

        } else if (pend - p >= 3 && p[1] == '-') {
            from = ngx_min(p[0], p[2]);
            to = ngx_max(p[0], p[2]);
            p += 2;
            found |= (c >= from && c <= to);

        } else {
            found |= (*p == c);
        }
    }

    *match = (found != not);

    return p < pend ? p : pend - 1;
}
