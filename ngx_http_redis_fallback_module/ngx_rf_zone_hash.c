/*
 * The hash of keys, and of names in collections, and what can be done with it
 * before the lock is taken.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_zone.h"
#include "ngx_rf_zone_internal.h"


#define ngx_rf_rotl(x, n)       (((x) << (n)) | ((x) >> (64 - (n))))

#define ngx_rf_sip_round(v0, v1, v2, v3)                                     \
    v0 += v1; v1 = ngx_rf_rotl(v1, 13); v1 ^= v0; v0 = ngx_rf_rotl(v0, 32);  \
    v2 += v3; v3 = ngx_rf_rotl(v3, 16); v3 ^= v2;                            \
    v0 += v3; v3 = ngx_rf_rotl(v3, 21); v3 ^= v0;                            \
    v2 += v1; v1 = ngx_rf_rotl(v1, 17); v1 ^= v2; v2 = ngx_rf_rotl(v2, 32)


/* bytes that are fetched: of an entry, of a value, and of one whose length
 * nobody has read yet */
#define NGX_RF_ZONE_HEAD        128
#define NGX_RF_ZONE_WARM        4096
#define NGX_RF_ZONE_VALUE       256

/* entries of a chain that are looked at */
#define NGX_RF_ZONE_WALK        3

/* what another process may be writing: read once, and looked at before it is
 * followed.  All of the zone stays mapped */

#define ngx_rf_zone_unlocked(x)  (*(volatile __typeof__(x) *) &(x))

#define ngx_rf_zone_inside(zone, p, size)                                     \
    ((u_char *) (p) >= (zone)->shpool->start                                  \
     && (u_char *) (p) < (zone)->shpool->end - (size)                         \
     && ((uintptr_t) (p) & (sizeof(void *) - 1)) == 0)


static uint64_t ngx_rf_zone_word(u_char *p);
static ngx_rf_blob_t *ngx_rf_zone_fetch_value(ngx_rf_zone_t *zone,
    uint32_t hash);
static ngx_rf_entry_t *ngx_rf_zone_fetch(ngx_rf_zone_t *zone, uint32_t hash);
static uint32_t *ngx_rf_zone_bucket(ngx_rf_zone_t *zone, uint32_t hash);


/* SipHash-2-4 */

uint32_t
ngx_rf_zone_hash(ngx_rf_zone_sh_t *sh, ngx_str_t *key)
{
    u_char     *p, *end;
    size_t      left;
    uint64_t    k0, k1, v0, v1, v2, v3, m;
    ngx_uint_t  i;

    k0 = ngx_rf_zone_word(sh->seed);
    k1 = ngx_rf_zone_word(sh->seed + 8);

    v0 = k0 ^ 0x736f6d6570736575ULL;
    v1 = k1 ^ 0x646f72616e646f6dULL;
    v2 = k0 ^ 0x6c7967656e657261ULL;
    v3 = k1 ^ 0x7465646279746573ULL;

    left = key->len & 7;
    end = key->data + (key->len - left);

    for (p = key->data; p != end; p += 8) {
        m = ngx_rf_zone_word(p);
        v3 ^= m;
        ngx_rf_sip_round(v0, v1, v2, v3);
        ngx_rf_sip_round(v0, v1, v2, v3);
        v0 ^= m;
    }

    m = (uint64_t) key->len << 56;

    for (i = 0; i < left; i++) {
        m |= (uint64_t) end[i] << (8 * i);
    }

    v3 ^= m;
    ngx_rf_sip_round(v0, v1, v2, v3);
    ngx_rf_sip_round(v0, v1, v2, v3);
    v0 ^= m;

    v2 ^= 0xff;

    for (i = 0; i < 4; i++) {
        ngx_rf_sip_round(v0, v1, v2, v3);
    }

    m = v0 ^ v1 ^ v2 ^ v3;

    return (uint32_t) (m ^ (m >> 32));
}


static uint64_t
ngx_rf_zone_word(u_char *p)
{
    uint64_t  word;

    /* in the order of this host, which the zone never leaves */

    ngx_memcpy(&word, p, sizeof(word));

    return word;
}


void
ngx_rf_zone_expect(ngx_rf_zone_t *zone, uint32_t hash)
{
    uint32_t  *bucket;

    bucket = ngx_rf_zone_bucket(zone, hash);

    if (bucket) {
        ngx_rf_prefetch(bucket);
    }
}


/*
 * An entry's header is some lines of the cache, and they are read one after the
 * other.  Whoever has the lock may be changing the chain or making the zone
 * anew: then the wrong lines are fetched, or none, which does no harm.
 */

void
ngx_rf_zone_prefetch(ngx_rf_zone_t *zone, uint32_t hash)
{
    (void) ngx_rf_zone_fetch(zone, hash);
}


void
ngx_rf_zone_prefetch_value(ngx_rf_zone_t *zone, uint32_t hash)
{
    size_t   i;
    u_char  *p;

    p = (u_char *) ngx_rf_zone_fetch_value(zone, hash);

    for (i = 0; p && i < NGX_RF_ZONE_VALUE; i += NGX_RF_ZONE_CACHED) {
        ngx_rf_prefetch(p + i);
    }
}


void
ngx_rf_zone_warm(ngx_rf_zone_t *zone, uint32_t hash, size_t max)
{
    size_t          i, n;
    u_char         *p;
    ngx_rf_blob_t  *value;

    value = ngx_rf_zone_fetch_value(zone, hash);

    if (value == NULL) {
        return;
    }

    n = ngx_rf_zone_unlocked(value->len);
    n = (n < max) ? ngx_min(n, NGX_RF_ZONE_WARM) : 0;
    p = (u_char *) value;

    for (i = NGX_RF_ZONE_CACHED; i < n + sizeof(ngx_rf_blob_t);
         i += NGX_RF_ZONE_CACHED)
    {
        ngx_rf_prefetch(p + i);
    }
}


/* the string of the first in the chain that has the hash, or NULL */

static ngx_rf_blob_t *
ngx_rf_zone_fetch_value(ngx_rf_zone_t *zone, uint32_t hash)
{
    ngx_uint_t       walked;
    ngx_rf_blob_t   *value;
    ngx_rf_entry_t  *e;

    e = ngx_rf_zone_fetch(zone, hash);

    for (walked = 0; /* void */ ; walked++) {

        if (walked == NGX_RF_ZONE_WALK
            || !ngx_rf_zone_inside(zone, e, sizeof(ngx_rf_entry_t)))
        {
            return NULL;
        }

        if (ngx_rf_zone_unlocked(e->hash) == hash) {
            break;
        }

        e = ngx_rf_zone_at(zone->sh, ngx_rf_zone_unlocked(e->next));
    }

    value = ngx_rf_zone_unlocked(e->value);

    if (e->type != NGX_RF_STRING
        || !ngx_rf_zone_inside(zone, value, sizeof(ngx_rf_blob_t)))
    {
        return NULL;
    }

    return value;
}


/* the first of the chain */

static ngx_rf_entry_t *
ngx_rf_zone_fetch(ngx_rf_zone_t *zone, uint32_t hash)
{
    u_char      *p;
    uint32_t    *bucket;
    ngx_uint_t   i;

    bucket = ngx_rf_zone_bucket(zone, hash);

    if (bucket == NULL) {
        return NULL;
    }

    p = (u_char *) ngx_rf_zone_at(zone->sh, ngx_rf_zone_unlocked(*bucket));

    if (p) {
        for (i = 0; i < NGX_RF_ZONE_HEAD; i += NGX_RF_ZONE_CACHED) {
            ngx_rf_prefetch(p + i);
        }
    }

    return (ngx_rf_entry_t *) p;
}


/* NULL: the zone is being made */

static uint32_t *
ngx_rf_zone_bucket(ngx_rf_zone_t *zone, uint32_t hash)
{
    uint32_t    *buckets;
    ngx_uint_t   n;

    buckets = ngx_rf_zone_unlocked(zone->sh->buckets);
    n = ngx_rf_zone_unlocked(zone->sh->nbuckets);

    return (buckets != NULL && n != 0) ? &buckets[hash & (n - 1)] : NULL;
}
