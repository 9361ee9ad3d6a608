/*
 * Owns the way from JSON, as docs/files.md describes it, to a record.
 *
 * Guarantees: anything that is not a record is declined with a reason, whatever
 * it holds; records of go-redis-fallback are taken too.  Refuses to know files,
 * and what a record is for.  Runs in threads: malloc() only.
 */

#include "ngx_rf_codec.h"
#include "ngx_rf_codec_parts.h"
#include <math.h>


typedef struct {
    cJSON                *root;
    u_char               *data;         /* the text as it was given */
    size_t                len;
    u_char               *text;         /* a copy without \u0000, or NULL */
    const char           *why;

    ngx_rf_record_t       head;         /* scalar fields, then the counts */
    ngx_rf_record_t      *rec;          /* NULL while measuring */
    ngx_str_t            *next;
    u_char               *p;
    size_t                size;
    ngx_uint_t            nargs;
} ngx_rf_codec_ctx_t;


static ngx_int_t ngx_rf_codec_check_scores(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_parse(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_head(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_type(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_times(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_state(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_base(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_strings(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_value(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_elements(ngx_rf_codec_ctx_t *ctx,
    cJSON *data, ngx_uint_t base64);
static ngx_int_t ngx_rf_codec_get_foreign(ngx_rf_codec_ctx_t *ctx,
    cJSON *data);
static ngx_int_t ngx_rf_codec_get_changes(ngx_rf_codec_ctx_t *ctx);
static ngx_int_t ngx_rf_codec_get_member(ngx_rf_codec_ctx_t *ctx,
    cJSON *pair, ngx_uint_t base64);
static ngx_int_t ngx_rf_codec_take(ngx_rf_codec_ctx_t *ctx, ngx_str_t *to,
    const char *s, ngx_uint_t base64);
static ngx_int_t ngx_rf_codec_take_item(ngx_rf_codec_ctx_t *ctx,
    cJSON *item, ngx_uint_t base64);
static ngx_int_t ngx_rf_codec_take_next(ngx_rf_codec_ctx_t *ctx,
    const char *s, ngx_uint_t base64);
static ngx_int_t ngx_rf_codec_get_int(cJSON *item, int64_t *n);

#define ngx_rf_codec_get(ctx, name)                                           \
    cJSON_GetObjectItemCaseSensitive((ctx)->root, name)


ngx_int_t
ngx_rf_codec_version(u_char *head, size_t len, uint64_t *version)
{
    char        digits[NGX_RF_CODEC_NUMBER];
    u_char     *p, *last;
    ngx_uint_t  i;

    static const u_char  first[] = "{\"version\":\"";

    if (len < sizeof(first) - 1
        || ngx_memcmp(head, first, sizeof(first) - 1) != 0)
    {
        return NGX_DECLINED;
    }

    last = head + len;
    i = 0;

    for (p = head + sizeof(first) - 1; p < last && *p != '"'; p++) {
        if (i == sizeof(digits) - 1) {
            return NGX_DECLINED;
        }

        digits[i++] = (char) *p;
    }

    digits[i] = '\0';

    if (p == last) {
        return NGX_DECLINED;
    }

    return ngx_rf_codec_uint(digits, 10, version);
}


ngx_int_t
ngx_rf_codec_decode(u_char *data, size_t len, ngx_rf_record_t **rec,
    const char **why)
{
    ngx_int_t           rc;
    ngx_rf_codec_ctx_t  ctx;

    ngx_memzero(&ctx, sizeof(ngx_rf_codec_ctx_t));

    ctx.data = data;
    ctx.len = len;
    ctx.why = "unknown reason";

    *rec = NULL;

    rc = ngx_rf_codec_parse(&ctx);

    if (rc == NGX_OK) {
        rc = ngx_rf_codec_get_head(&ctx);
    }

    /* once to measure and check, once to copy */

    if (rc == NGX_OK) {
        rc = ngx_rf_codec_get_strings(&ctx);
    }

    if (rc == NGX_OK) {
        ctx.rec = ngx_rf_codec_record(&ctx.head, ctx.nargs, ctx.size, &ctx.p);

        if (ctx.rec == NULL) {
            rc = NGX_ERROR;

        } else {
            ctx.next = ctx.rec->values;
            rc = ngx_rf_codec_get_strings(&ctx);
        }
    }

    if (rc == NGX_OK && ctx.rec->type == NGX_RF_ZSET) {
        rc = ngx_rf_codec_check_scores(&ctx);
    }

    ngx_rf_codec_delete(ctx.root, ctx.len);
    free(ctx.text);

    if (rc != NGX_OK) {
        ngx_rf_codec_free(ctx.rec);
        *why = (rc == NGX_ERROR) ? "no memory" : ctx.why;
        return rc;
    }

    *rec = ctx.rec;

    return NGX_OK;
}


ngx_int_t
ngx_rf_codec_decode_ack(u_char *data, size_t len, ngx_rf_record_t **rec,
    const char **why)
{
    cJSON               *item;
    ngx_int_t            rc;
    ngx_uint_t           base64;
    ngx_rf_codec_ctx_t   ctx;

    ngx_memzero(&ctx, sizeof(ngx_rf_codec_ctx_t));

    ctx.data = data;
    ctx.len = len;
    ctx.why = "no acknowledgement";

    *rec = NULL;

    rc = ngx_rf_codec_parse(&ctx);

    if (rc != NGX_OK) {
        goto done;
    }

    rc = NGX_DECLINED;

    item = ngx_rf_codec_get(&ctx, "version");

    if (!cJSON_IsString(item)
        || ngx_rf_codec_uint(item->valuestring, 10, &ctx.head.version)
           != NGX_OK)
    {
        goto done;
    }

    ctx.head.remove = 1;

    item = ngx_rf_codec_get(&ctx, "key");
    base64 = (item == NULL);

    if (base64) {
        item = ngx_rf_codec_get(&ctx, "key_base64");
    }

    if (!cJSON_IsString(item)) {
        goto done;
    }

    (void) ngx_rf_codec_take(&ctx, NULL, item->valuestring, base64);

    ctx.rec = ngx_rf_codec_record(&ctx.head, 0, ctx.size, &ctx.p);

    rc = ctx.rec ? ngx_rf_codec_take(&ctx, &ctx.rec->key, item->valuestring,
                                     base64)
                 : NGX_ERROR;

    if (rc == NGX_OK) {
        *rec = ctx.rec;

    } else {
        ngx_rf_codec_free(ctx.rec);
    }

done:

    ngx_rf_codec_delete(ctx.root, ctx.len);
    free(ctx.text);

    *why = (rc == NGX_ERROR) ? "no memory" : ctx.why;

    return rc;
}


/* what a sorted set can be sorted by, an infinite number among it */

static ngx_int_t
ngx_rf_codec_check_scores(ngx_rf_codec_ctx_t *ctx)
{
    char         text[NGX_RF_CODEC_NUMBER], *end;
    double       score;
    ngx_str_t   *value;
    ngx_uint_t   i;

    for (i = 1; i < ctx->rec->nvalues; i += 2) {
        value = &ctx->rec->values[i];

        if (value->len == 0 || value->len >= sizeof(text)) {
            goto bad;
        }

        ngx_memcpy(text, value->data, value->len);
        text[value->len] = '\0';

        score = strtod(text, &end);

        if (end != text + value->len || isnan(score)) {
            goto bad;
        }
    }

    return NGX_OK;

bad:

    ctx->why = "a score is no number";

    return NGX_DECLINED;
}


static ngx_int_t
ngx_rf_codec_parse(ngx_rf_codec_ctx_t *ctx)
{
    size_t       len;
    ngx_int_t    rc;
    ngx_uint_t   nuls;
    const char  *text;

    rc = ngx_rf_codec_scan(ctx->data, ctx->len, &nuls, &ctx->why);
    if (rc != NGX_OK) {
        return rc;
    }

    if (nuls) {
        rc = ngx_rf_codec_hide_nuls(ctx->data, ctx->len, &ctx->text,
                                    &ctx->why);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    text = (char *) (ctx->text ? ctx->text : ctx->data);
    len = ctx->len - nuls * (sizeof("\\u0000") - 2);

    ctx->root = cJSON_ParseWithLengthOpts(text, len, NULL, 0);

    return ctx->root ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_rf_codec_get_head(ngx_rf_codec_ctx_t *ctx)
{
    cJSON  *item;

    item = ngx_rf_codec_get(ctx, "version");

    if (item == NULL) {
        ctx->head.foreign = 1;

    } else if (!cJSON_IsString(item)
               || ngx_rf_codec_uint(item->valuestring, 10,
                                        &ctx->head.version)
                  != NGX_OK)
    {
        ctx->why = "bad \"version\"";
        return NGX_DECLINED;
    }

    if (ngx_rf_codec_get_type(ctx) != NGX_OK
        || ngx_rf_codec_get_times(ctx) != NGX_OK
        || ngx_rf_codec_get_state(ctx) != NGX_OK
        || ngx_rf_codec_get_base(ctx) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_codec_get_type(ngx_rf_codec_ctx_t *ctx)
{
    cJSON       *item;
    ngx_uint_t   i;

    item = ngx_rf_codec_get(ctx, "type");

    if (!cJSON_IsString(item)) {
        ctx->why = "no \"type\"";
        return NGX_DECLINED;
    }

    for (i = NGX_RF_NONE; i <= NGX_RF_ZSET; i++) {
        if (ngx_strcmp(item->valuestring, ngx_rf_codec_types[i]) == 0) {
            ctx->head.type = i;
            return NGX_OK;
        }
    }

    /* a foreign record names a type of Go */

    if (!ctx->head.foreign) {
        ctx->why = "unknown \"type\"";
        return NGX_DECLINED;
    }

    ctx->head.type = NGX_RF_STRING;

    return NGX_OK;
}


static ngx_int_t
ngx_rf_codec_get_times(ngx_rf_codec_ctx_t *ctx)
{
    cJSON   *item, *ttl;
    double   ms;

    item = ngx_rf_codec_get(ctx, "timestamp");

    if (!cJSON_IsNumber(item)) {
        ctx->why = "no \"timestamp\"";
        return NGX_DECLINED;
    }

    ms = item->valuedouble * 1000;

    if (!(ms >= 0 && ms < NGX_RF_CODEC_EXACT)) {
        ctx->why = "bad \"timestamp\"";
        return NGX_DECLINED;
    }

    ctx->head.changed = (int64_t) ms;

    ttl = ngx_rf_codec_get(ctx, "ttl");

    if (ttl) {
        if (!cJSON_IsNumber(ttl)) {
            ctx->why = "bad \"ttl\"";
            return NGX_DECLINED;
        }

        if (ttl->valuedouble > 0) {
            ms += ttl->valuedouble * 1000;
            ms = ngx_min(ms, NGX_RF_CODEC_EXACT);
            ctx->head.expire = (int64_t) ms;
        }
    }

    item = ngx_rf_codec_get(ctx, "changed_ms");

    if (item && ngx_rf_codec_get_int(item, &ctx->head.changed) != NGX_OK) {
        ctx->why = "bad \"changed_ms\"";
        return NGX_DECLINED;
    }

    item = ngx_rf_codec_get(ctx, "expire_ms");

    if (item && ngx_rf_codec_get_int(item, &ctx->head.expire) != NGX_OK) {
        ctx->why = "bad \"expire_ms\"";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_codec_get_state(ngx_rf_codec_ctx_t *ctx)
{
    cJSON    *item;
    int64_t   n;

    ctx->head.pending = NGX_RF_REPLACE;

    item = ngx_rf_codec_get(ctx, "pending");

    if (item) {
        if (cJSON_IsString(item) && ngx_strcmp(item->valuestring, "delta") == 0)
        {
            ctx->head.pending = NGX_RF_DELTA;

        } else if (!cJSON_IsString(item)
                   || ngx_strcmp(item->valuestring, "replace") != 0)
        {
            ctx->why = "bad \"pending\"";
            return NGX_DECLINED;
        }
    }

    item = ngx_rf_codec_get(ctx, "complete");

    ctx->head.complete = item ? cJSON_IsTrue(item)
                              : ctx->head.pending == NGX_RF_REPLACE;

    item = ngx_rf_codec_get(ctx, "partial");

    ctx->head.partial = (item && cJSON_IsTrue(item));

    item = ngx_rf_codec_get(ctx, "id");

    if (item
        && (!cJSON_IsString(item)
            || ngx_rf_codec_uint(item->valuestring, 16, &ctx->head.id)
               != NGX_OK))
    {
        ctx->why = "bad \"id\"";
        return NGX_DECLINED;
    }

    item = ngx_rf_codec_get(ctx, "sent");

    if (item) {
        if (ngx_rf_codec_get_int(item, &n) != NGX_OK || n < 0) {
            ctx->why = "bad \"sent\"";
            return NGX_DECLINED;
        }

        /* without the id nobody could tell whether they were applied */
        ctx->head.nsent = ctx->head.id ? (ngx_uint_t) n : 0;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_codec_get_base(ngx_rf_codec_ctx_t *ctx)
{
    cJSON      *item;
    u_char     *p;
    size_t      i;
    ngx_int_t   n;

    item = ngx_rf_codec_get(ctx, "base_expires");
    ctx->head.base_expires = cJSON_IsTrue(item);

    item = ngx_rf_codec_get(ctx, "base");

    if (item == NULL) {
        return NGX_OK;
    }

    if (!cJSON_IsString(item)) {
        goto bad;
    }

    if (ngx_strcmp(item->valuestring, "absent") == 0) {
        ctx->head.base = NGX_RF_BASE_ABSENT;
        return NGX_OK;
    }

    p = (u_char *) item->valuestring;

    if (ngx_strlen(p) != 2 * sizeof(ctx->head.base_sha1)) {
        goto bad;
    }

    for (i = 0; i < sizeof(ctx->head.base_sha1); i++) {
        n = ngx_hextoi(&p[2 * i], 2);

        if (n == NGX_ERROR) {
            goto bad;
        }

        ctx->head.base_sha1[i] = (u_char) n;
    }

    ctx->head.base = NGX_RF_BASE_KNOWN;

    return NGX_OK;

bad:

    ctx->why = "bad \"base\"";

    return NGX_DECLINED;
}


static ngx_int_t
ngx_rf_codec_get_strings(ngx_rf_codec_ctx_t *ctx)
{
    cJSON       *item;
    ngx_int_t    rc;
    ngx_uint_t   base64;

    base64 = 1;
    item = ngx_rf_codec_get(ctx, "key_base64");

    if (item == NULL) {
        base64 = 0;
        item = ngx_rf_codec_get(ctx, "key");
    }

    if (!cJSON_IsString(item)) {
        ctx->why = "no \"key\"";
        return NGX_DECLINED;
    }

    rc = ngx_rf_codec_take(ctx, ctx->rec ? &ctx->rec->key : NULL,
                           item->valuestring, base64);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_rf_codec_get_value(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_rf_codec_get_changes(ctx);
}


static ngx_int_t
ngx_rf_codec_get_value(ngx_rf_codec_ctx_t *ctx)
{
    cJSON       *data;
    ngx_uint_t   base64;

    if (ctx->head.type == NGX_RF_NONE) {
        return NGX_OK;
    }

    base64 = 1;
    data = ngx_rf_codec_get(ctx, "data_base64");

    if (data == NULL) {
        base64 = 0;
        data = ngx_rf_codec_get(ctx, "data");
    }

    if (data == NULL) {
        if (ctx->head.pending == NGX_RF_DELTA) {
            return NGX_OK;
        }

        ctx->why = "no \"data\"";
        return NGX_DECLINED;
    }

    if (ctx->head.type == NGX_RF_STRING) {
        if (ctx->head.foreign && !base64 && !cJSON_IsString(data)) {
            return ngx_rf_codec_get_foreign(ctx, data);
        }

        return ngx_rf_codec_take_item(ctx, data, base64);
    }

    if (ctx->head.type == NGX_RF_HASH ? !cJSON_IsObject(data)
                                      : !cJSON_IsArray(data))
    {
        ctx->why = "\"data\" does not fit \"type\"";
        return NGX_DECLINED;
    }

    return ngx_rf_codec_get_elements(ctx, data, base64);
}


static ngx_int_t
ngx_rf_codec_get_elements(ngx_rf_codec_ctx_t *ctx, cJSON *data,
    ngx_uint_t base64)
{
    cJSON      *item;
    ngx_int_t   rc;

    cJSON_ArrayForEach(item, data) {

        switch (ctx->head.type) {

        case NGX_RF_HASH:
            rc = ngx_rf_codec_take_next(ctx, item->string, base64);

            if (rc == NGX_OK) {
                rc = ngx_rf_codec_take_item(ctx, item, base64);
            }

            break;

        case NGX_RF_ZSET:
            rc = ngx_rf_codec_get_member(ctx, item, base64);
            break;

        default:
            rc = ngx_rf_codec_take_item(ctx, item, base64);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* the text in the file, not cJSON's idea of it: that would round integers */

static ngx_int_t
ngx_rf_codec_get_foreign(ngx_rf_codec_ctx_t *ctx, cJSON *data)
{
    ngx_str_t  raw;

    if (!ngx_rf_codec_raw(ctx->data, ctx->len, "data", &raw)) {
        ctx->why = "no \"data\"";
        return NGX_DECLINED;
    }

    if (ctx->rec == NULL) {
        ctx->head.nvalues++;
        ctx->size += raw.len;
        return NGX_OK;
    }

    ngx_rf_codec_copy(&ctx->p, ctx->next++, &raw);

    return NGX_OK;
}


static ngx_int_t
ngx_rf_codec_get_changes(ngx_rf_codec_ctx_t *ctx)
{
    cJSON            *changes, *change, *arg;
    ngx_int_t         rc;
    ngx_uint_t        base64, i, nvalues;
    ngx_rf_change_t  *to;

    base64 = 1;
    changes = ngx_rf_codec_get(ctx, "changes_base64");

    if (changes == NULL) {
        base64 = 0;
        changes = ngx_rf_codec_get(ctx, "changes");
    }

    if (changes && !cJSON_IsArray(changes)) {
        ctx->why = "bad \"changes\"";
        return NGX_DECLINED;
    }

    i = 0;
    nvalues = ctx->head.nvalues;

    cJSON_ArrayForEach(change, changes) {

        if (!cJSON_IsArray(change) || change->child == NULL) {
            ctx->why = "bad \"changes\"";
            return NGX_DECLINED;
        }

        to = ctx->rec ? &ctx->rec->changes[i] : NULL;

        if (to) {
            to->argv = ctx->next;
        }

        cJSON_ArrayForEach(arg, change) {
            rc = ngx_rf_codec_take_item(ctx, arg, base64);
            if (rc != NGX_OK) {
                return rc;
            }
        }

        if (to) {
            to->argc = ctx->next - to->argv;
        }

        i++;
    }

    if (ctx->rec == NULL) {
        /* measuring has counted the arguments as if they were values */
        ctx->nargs = ctx->head.nvalues - nvalues;
        ctx->head.nvalues = nvalues;
        ctx->head.nchanges = i;

        if (ctx->head.nsent > i) {
            ctx->why = "bad \"sent\"";
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_codec_get_member(ngx_rf_codec_ctx_t *ctx, cJSON *pair,
    ngx_uint_t base64)
{
    char        text[NGX_RF_CODEC_NUMBER];
    cJSON      *score;
    ngx_int_t   rc;

    if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) != 2) {
        ctx->why = "an element is no [member, score]";
        return NGX_DECLINED;
    }

    rc = ngx_rf_codec_take_item(ctx, pair->child, base64);
    if (rc != NGX_OK) {
        return rc;
    }

    score = pair->child->next;

    if (!cJSON_IsNumber(score)) {
        return ngx_rf_codec_take_item(ctx, score, base64);
    }

    ngx_rf_codec_number(score->valuedouble, text);

    return ngx_rf_codec_take_next(ctx, text, 0);
}


/*
 * A string of the text: measured, or copied to the end of the block.  "to" is
 * NULL while measuring.
 */

static ngx_int_t
ngx_rf_codec_take(ngx_rf_codec_ctx_t *ctx, ngx_str_t *to, const char *s,
    ngx_uint_t base64)
{
    size_t     i;
    ngx_str_t  from;

    from.data = (u_char *) s;
    from.len = ngx_strlen(s);

    if (to == NULL) {
        ctx->size += base64 ? ngx_base64_decoded_length(from.len) : from.len;
        return NGX_OK;
    }

    if (base64) {
        to->data = ctx->p;
        to->len = 0;

        if (ngx_decode_base64(to, &from) != NGX_OK) {
            ctx->why = "bad base64";
            return NGX_DECLINED;
        }

        ctx->p += to->len;

        return NGX_OK;
    }

    ngx_rf_codec_copy(&ctx->p, to, &from);

    if (ctx->text) {
        for (i = 0; i < to->len; i++) {
            if (to->data[i] == NGX_RF_CODEC_NUL) {
                to->data[i] = '\0';
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_codec_take_item(ngx_rf_codec_ctx_t *ctx, cJSON *item,
    ngx_uint_t base64)
{
    if (!cJSON_IsString(item)) {
        ctx->why = "a string was expected";
        return NGX_DECLINED;
    }

    return ngx_rf_codec_take_next(ctx, item->valuestring, base64);
}


static ngx_int_t
ngx_rf_codec_take_next(ngx_rf_codec_ctx_t *ctx, const char *s,
    ngx_uint_t base64)
{
    if (ctx->rec == NULL) {
        ctx->head.nvalues++;
        return ngx_rf_codec_take(ctx, NULL, s, base64);
    }

    return ngx_rf_codec_take(ctx, ctx->next++, s, base64);
}


/* NGX_DECLINED: neither an exact number nor decimal digits, or negative */

static ngx_int_t
ngx_rf_codec_get_int(cJSON *item, int64_t *n)
{
    uint64_t  u;

    if (cJSON_IsNumber(item)) {
        if (!(item->valuedouble >= 0
              && item->valuedouble <= NGX_RF_CODEC_EXACT))
        {
            return NGX_DECLINED;
        }

        *n = (int64_t) item->valuedouble;

        return ((double) *n == item->valuedouble) ? NGX_OK : NGX_DECLINED;
    }

    if (!cJSON_IsString(item)
        || ngx_rf_codec_uint(item->valuestring, 10, &u) != NGX_OK
        || u > INT64_MAX)
    {
        return NGX_DECLINED;
    }

    *n = (int64_t) u;

    return NGX_OK;
}
