/*
 * The digest of a collection, see ngx_rf_digest.h.  Pure.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_sha1.h>
#include "ngx_rf_digest.h"


/* a score with 17 digits, or a length, and ":" */
#define NGX_RF_DIGEST_HEAD      40


static ngx_int_t ngx_rf_digest_score(ngx_str_t *text, double *score);


/* as Redis calls them, in the order of ngx_rf_type_e */

static const char  *ngx_rf_digest_types[] = {
    "none", "string", "hash", "list", "set", "zset"
};


void
ngx_rf_digest_init(ngx_rf_digest_t *digest, ngx_rf_type_e type)
{
    ngx_memzero(digest, sizeof(ngx_rf_digest_t));

    digest->type = type;
}


void
ngx_rf_digest_add(ngx_rf_digest_t *digest, ngx_str_t *name, ngx_str_t *value,
    double score)
{
    int          len;
    char         head[NGX_RF_DIGEST_HEAD];
    u_char       sha1[20];
    ngx_uint_t   i;
    ngx_sha1_t   ctx;

    digest->n++;

    switch (digest->type) {

    case NGX_RF_HASH:
        len = snprintf(head, sizeof(head), "%lu:", (unsigned long) name->len);
        break;

    case NGX_RF_LIST:
        len = snprintf(head, sizeof(head), "%lu:", (unsigned long) digest->n);
        break;

    case NGX_RF_ZSET:
        /* both zeros are one */
        len = snprintf(head, sizeof(head), "%.17g:", score == 0 ? 0 : score);
        break;

    default:
        len = 0;
    }

    ngx_sha1_init(&ctx);
    ngx_sha1_update(&ctx, head, len);
    ngx_sha1_update(&ctx, name->data, name->len);

    if (digest->type == NGX_RF_HASH) {
        ngx_sha1_update(&ctx, value->data, value->len);
    }

    ngx_sha1_final(sha1, &ctx);

    for (i = 0; i < NGX_RF_DIGEST_LANES; i++) {
        digest->sum[i] += (uint32_t) sha1[4 * i] << 24
                          | (uint32_t) sha1[4 * i + 1] << 16
                          | (uint32_t) sha1[4 * i + 2] << 8
                          | (uint32_t) sha1[4 * i + 3];
    }
}


void
ngx_rf_digest_final(ngx_rf_digest_t *digest, u_char sha1[20])
{
    u_char      *p;
    u_char       text[128];
    ngx_uint_t   i;
    ngx_sha1_t   ctx;

    p = ngx_sprintf(text, "%s:%ui", ngx_rf_digest_types[digest->type],
                    digest->n);

    for (i = 0; i < NGX_RF_DIGEST_LANES; i++) {
        p = ngx_sprintf(p, ":%uD", digest->sum[i]);
    }

    ngx_sha1_init(&ctx);
    ngx_sha1_update(&ctx, text, p - text);
    ngx_sha1_final(sha1, &ctx);
}


ngx_int_t
ngx_rf_digest_row(ngx_rf_type_e type, ngx_str_t *values, ngx_uint_t n,
    u_char sha1[20])
{
    size_t            size;
    double            score;
    ngx_uint_t        i, width;
    ngx_sha1_t        ctx;
    ngx_rf_digest_t   digest;

    if (type == NGX_RF_NONE || type > NGX_RF_ZSET || n == 0) {
        return NGX_DECLINED;
    }

    if (type == NGX_RF_STRING) {
        ngx_sha1_init(&ctx);
        ngx_sha1_update(&ctx, values[0].data, values[0].len);
        ngx_sha1_final(sha1, &ctx);
        return NGX_OK;
    }

    width = (type == NGX_RF_HASH || type == NGX_RF_ZSET) ? 2 : 1;

    if (n % width || n / width > NGX_RF_DIGEST_ELTS) {
        return NGX_DECLINED;
    }

    ngx_rf_digest_init(&digest, type);

    size = 0;
    score = 0;

    for (i = 0; i < n; i += width) {
        size += values[i].len + values[i + width - 1].len;

        if (size > NGX_RF_DIGEST_BYTES) {
            return NGX_DECLINED;
        }

        if (type == NGX_RF_ZSET
            && ngx_rf_digest_score(&values[i + 1], &score) != NGX_OK)
        {
            return NGX_DECLINED;
        }

        ngx_rf_digest_add(&digest, &values[i], &values[i + width - 1], score);
    }

    ngx_rf_digest_final(&digest, sha1);

    return NGX_OK;
}


static ngx_int_t
ngx_rf_digest_score(ngx_str_t *text, double *score)
{
    char  *end;
    char   s[NGX_RF_DIGEST_HEAD];

    if (text->len == 0 || text->len >= sizeof(s)) {
        return NGX_DECLINED;
    }

    *ngx_cpymem(s, text->data, text->len) = '\0';
    *score = strtod(s, &end);

    return *end == '\0' ? NGX_OK : NGX_DECLINED;
}
