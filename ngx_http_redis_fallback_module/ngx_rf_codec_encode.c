/*
 * Owns the way of a record to its JSON form, which docs/files.md describes.
 *
 * Written as text at once, without a tree: with durability disk this is what a
 * write costs beside its request.
 *
 * Guarantees: what is encoded here decodes to the same bytes, whatever they
 * are: strings that JSON cannot hold go into fields named *_base64.  One object
 * is one line.  Runs in threads: malloc() only.
 */

#include "ngx_rf_codec.h"
#include "ngx_rf_codec_parts.h"
#include <math.h>


/* a text grows by doubling from here */
#define NGX_RF_CODEC_TEXT       512


/* a literal */
#define ngx_rf_codec_lit(text, s)                                             \
    ngx_rf_codec_bytes(text, (u_char *) s, sizeof(s) - 1)


static ngx_int_t ngx_rf_codec_finish(ngx_rf_codec_text_t *text, u_char **out,
    size_t *len);
static void ngx_rf_codec_put(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec,
    ngx_str_t *reason);
static void ngx_rf_codec_put_head(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);
static void ngx_rf_codec_put_value(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);
static void ngx_rf_codec_put_pairs(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec, ngx_uint_t base64);
static void ngx_rf_codec_put_times(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);
static void ngx_rf_codec_put_state(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);
static void ngx_rf_codec_put_base(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);
static void ngx_rf_codec_put_changes(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);
static void ngx_rf_codec_array(ngx_rf_codec_text_t *text, ngx_str_t *s,
    ngx_uint_t n, ngx_uint_t base64);
static void ngx_rf_codec_string(ngx_rf_codec_text_t *text, ngx_str_t *s,
    ngx_uint_t base64);
static u_char *ngx_rf_codec_escape(u_char *p, ngx_str_t *s);
static void ngx_rf_codec_score(ngx_rf_codec_text_t *text, ngx_str_t *s);
static void ngx_rf_codec_bytes(ngx_rf_codec_text_t *text, const u_char *data,
    size_t len);
static void ngx_rf_codec_int(ngx_rf_codec_text_t *text, int64_t n);
static void ngx_rf_codec_digits(ngx_rf_codec_text_t *text, uint64_t n);


ngx_int_t
ngx_rf_codec_encode(ngx_rf_record_t *rec, u_char **out, size_t *len)
{
    ngx_rf_codec_text_t  text;

    ngx_memzero(&text, sizeof(ngx_rf_codec_text_t));
    ngx_rf_codec_put(&text, rec, NULL);

    return ngx_rf_codec_finish(&text, out, len);
}


ngx_int_t
ngx_rf_codec_encode_rejected(ngx_rf_record_t *rec, ngx_str_t *reason,
    u_char **out, size_t *len)
{
    ngx_rf_codec_text_t  text;

    ngx_memzero(&text, sizeof(ngx_rf_codec_text_t));
    ngx_rf_codec_put(&text, rec, reason);

    return ngx_rf_codec_finish(&text, out, len);
}


ngx_int_t
ngx_rf_codec_encode_ack(ngx_rf_record_t *rec, u_char **out, size_t *len)
{
    ngx_rf_codec_text_t  text;

    ngx_memzero(&text, sizeof(ngx_rf_codec_text_t));
    (void) ngx_rf_codec_append_ack(&text, rec);

    return ngx_rf_codec_finish(&text, out, len);
}


static ngx_int_t
ngx_rf_codec_finish(ngx_rf_codec_text_t *text, u_char **out, size_t *len)
{
    u_char  *p;

    p = ngx_rf_codec_room(text, 1);

    if (p == NULL) {
        ngx_rf_codec_drop(text->data, text->size);
        return NGX_ERROR;
    }

    *p = '\0';

    *out = text->data;
    *len = text->len;

    return NGX_OK;
}


ngx_int_t
ngx_rf_codec_append(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    ngx_rf_codec_put(text, rec, NULL);

    return text->failed ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_rf_codec_append_ack(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    ngx_rf_codec_put_head(text, rec);
    ngx_rf_codec_lit(text, "}");

    return text->failed ? NGX_ERROR : NGX_OK;
}


u_char *
ngx_rf_codec_room(ngx_rf_codec_text_t *text, size_t size)
{
    u_char  *p;

    if (size <= text->size - text->len && text->data && !text->failed) {
        return text->data + text->len;
    }

    size = ngx_max(text->len + size, ngx_max(2 * text->size,
                                             NGX_RF_CODEC_TEXT));

    /* as all memory of the codec it may be made to fail by cJSON's hooks */

    p = text->failed ? NULL : cJSON_malloc(size);

    if (p == NULL) {
        text->failed = 1;
        return NULL;
    }

    if (text->len) {
        ngx_memcpy(p, text->data, text->len);
    }

    ngx_rf_codec_drop(text->data, text->size);

    text->data = p;
    text->size = size;

    return p + text->len;
}


static void
ngx_rf_codec_put(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec,
    ngx_str_t *reason)
{
    ngx_uint_t  base64;

    ngx_rf_codec_put_head(text, rec);
    ngx_rf_codec_put_value(text, rec);

    ngx_rf_codec_lit(text, ",\"type\":\"");
    ngx_rf_codec_bytes(text, (u_char *) ngx_rf_codec_types[rec->type],
                       ngx_strlen(ngx_rf_codec_types[rec->type]));
    ngx_rf_codec_lit(text, "\"");

    ngx_rf_codec_put_times(text, rec);
    ngx_rf_codec_put_state(text, rec);
    ngx_rf_codec_put_base(text, rec);
    ngx_rf_codec_put_changes(text, rec);

    if (reason) {
        base64 = !ngx_rf_codec_plain(reason, 1);

        if (base64) {
            ngx_rf_codec_lit(text, ",\"reason_base64\":");

        } else {
            ngx_rf_codec_lit(text, ",\"reason\":");
        }

        ngx_rf_codec_string(text, reason, base64);
    }

    ngx_rf_codec_lit(text, "}");
}


/* the version comes first: see ngx_rf_codec_version() */

static void
ngx_rf_codec_put_head(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    ngx_uint_t  base64;

    ngx_rf_codec_lit(text, "{");

    if (!rec->foreign) {
        ngx_rf_codec_lit(text, "\"version\":\"");
        ngx_rf_codec_digits(text, rec->version);
        ngx_rf_codec_lit(text, "\",");
    }

    base64 = !ngx_rf_codec_plain(&rec->key, 1);

    if (base64) {
        ngx_rf_codec_lit(text, "\"key_base64\":");

    } else {
        ngx_rf_codec_lit(text, "\"key\":");
    }

    ngx_rf_codec_string(text, &rec->key, base64);
}


static void
ngx_rf_codec_put_value(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    ngx_uint_t  base64;

    if (rec->type == NGX_RF_NONE
        || (rec->nvalues == 0 && rec->pending == NGX_RF_DELTA))
    {
        return;
    }

    base64 = !ngx_rf_codec_plain(rec->values, rec->nvalues);

    if (base64) {
        ngx_rf_codec_lit(text, ",\"data_base64\":");

    } else {
        ngx_rf_codec_lit(text, ",\"data\":");
    }

    switch (rec->type) {

    case NGX_RF_STRING:

        if (rec->nvalues == 0) {
            /* no record: its value is nowhere */
            text->failed = 1;
            return;
        }

        ngx_rf_codec_string(text, &rec->values[0], base64);
        break;

    case NGX_RF_HASH:
    case NGX_RF_ZSET:
        ngx_rf_codec_put_pairs(text, rec, base64);
        break;

    default:
        ngx_rf_codec_array(text, rec->values, rec->nvalues, base64);
    }
}


static void
ngx_rf_codec_put_pairs(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec,
    ngx_uint_t base64)
{
    ngx_str_t   *v;
    ngx_uint_t   i, hash;

    hash = (rec->type == NGX_RF_HASH);

    ngx_rf_codec_bytes(text, (u_char *) (hash ? "{" : "["), 1);

    for (i = 0; i + 2 <= rec->nvalues; i += 2) {
        v = &rec->values[i];

        if (i) {
            ngx_rf_codec_lit(text, ",");
        }

        if (hash) {
            ngx_rf_codec_string(text, &v[0], base64);
            ngx_rf_codec_lit(text, ":");
            ngx_rf_codec_string(text, &v[1], base64);
            continue;
        }

        ngx_rf_codec_lit(text, "[");
        ngx_rf_codec_string(text, &v[0], base64);
        ngx_rf_codec_lit(text, ",");

        if (base64) {
            ngx_rf_codec_string(text, &v[1], 1);

        } else {
            ngx_rf_codec_score(text, &v[1]);
        }

        ngx_rf_codec_lit(text, "]");
    }

    ngx_rf_codec_bytes(text, (u_char *) (hash ? "}" : "]"), 1);
}


static void
ngx_rf_codec_put_times(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    int64_t  timestamp, ttl;

    timestamp = rec->changed / 1000;

    ngx_rf_codec_lit(text, ",\"timestamp\":");
    ngx_rf_codec_int(text, timestamp);
    ngx_rf_codec_lit(text, ",\"changed_ms\":");
    ngx_rf_codec_int(text, rec->changed);

    if (rec->expire == 0) {
        return;
    }

    /* a ttl of 0 would mean that the key does not expire */

    ttl = rec->expire / 1000 - timestamp + (rec->expire % 1000 > 0);
    ttl = ngx_max(ttl, 1);
    ttl = ngx_min(ttl, (int64_t) NGX_RF_CODEC_EXACT);

    ngx_rf_codec_lit(text, ",\"ttl\":");
    ngx_rf_codec_int(text, ttl);
    ngx_rf_codec_lit(text, ",\"expire_ms\":");
    ngx_rf_codec_int(text, rec->expire);
}


static void
ngx_rf_codec_put_state(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    char  id[NGX_RF_CODEC_NUMBER];

    if (rec->pending == NGX_RF_DELTA) {
        ngx_rf_codec_lit(text, ",\"pending\":\"delta\"");

    } else {
        ngx_rf_codec_lit(text, ",\"pending\":\"replace\"");
    }

    if (rec->complete) {
        ngx_rf_codec_lit(text, ",\"complete\":true");

    } else {
        ngx_rf_codec_lit(text, ",\"complete\":false");
    }

    if (rec->partial) {
        ngx_rf_codec_lit(text, ",\"partial\":true");
    }

    if (rec->id) {
        (void) snprintf(id, sizeof(id), "%llx", (unsigned long long) rec->id);

        ngx_rf_codec_lit(text, ",\"id\":\"");
        ngx_rf_codec_bytes(text, (u_char *) id, ngx_strlen(id));
        ngx_rf_codec_lit(text, "\",\"sent\":");
        ngx_rf_codec_int(text, (int64_t) rec->nsent);
    }
}


static void
ngx_rf_codec_put_base(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    u_char  hex[2 * sizeof(rec->base_sha1)];

    if (rec->base_expires) {
        ngx_rf_codec_lit(text, ",\"base_expires\":true");
    }

    switch (rec->base) {

    case NGX_RF_BASE_ABSENT:
        ngx_rf_codec_lit(text, ",\"base\":\"absent\"");
        return;

    case NGX_RF_BASE_KNOWN:
        ngx_rf_codec_lit(text, ",\"base\":\"");
        break;

    case NGX_RF_BASE_COLL:
        /* not "base": an older version would take it for a string's */
        ngx_rf_codec_lit(text, ",\"base_digest\":\"");
        break;

    default:
        return;
    }

    (void) ngx_hex_dump(hex, rec->base_sha1, sizeof(rec->base_sha1));

    ngx_rf_codec_bytes(text, hex, sizeof(hex));
    ngx_rf_codec_lit(text, "\"");
}


static void
ngx_rf_codec_put_changes(ngx_rf_codec_text_t *text, ngx_rf_record_t *rec)
{
    ngx_uint_t  i, base64;

    if (rec->nchanges == 0) {
        return;
    }

    base64 = 0;

    for (i = 0; i < rec->nchanges && !base64; i++) {
        base64 = !ngx_rf_codec_plain(rec->changes[i].argv,
                                     rec->changes[i].argc);
    }

    if (base64) {
        ngx_rf_codec_lit(text, ",\"changes_base64\":[");

    } else {
        ngx_rf_codec_lit(text, ",\"changes\":[");
    }

    for (i = 0; i < rec->nchanges; i++) {

        if (i) {
            ngx_rf_codec_lit(text, ",");
        }

        ngx_rf_codec_array(text, rec->changes[i].argv, rec->changes[i].argc,
                           base64);
    }

    ngx_rf_codec_lit(text, "]");
}


static void
ngx_rf_codec_array(ngx_rf_codec_text_t *text, ngx_str_t *s, ngx_uint_t n,
    ngx_uint_t base64)
{
    ngx_uint_t  i;

    ngx_rf_codec_lit(text, "[");

    for (i = 0; i < n; i++) {

        if (i) {
            ngx_rf_codec_lit(text, ",");
        }

        ngx_rf_codec_string(text, &s[i], base64);
    }

    ngx_rf_codec_lit(text, "]");
}


/* all strings of a record are plain, or all of their row are encoded */

static void
ngx_rf_codec_string(ngx_rf_codec_text_t *text, ngx_str_t *s, ngx_uint_t base64)
{
    size_t      size;
    u_char     *p, *last;
    ngx_str_t   encoded;

    if (base64) {
        size = ngx_base64_encoded_length(s->len);

    } else {
        size = s->len;

        p = s->data;
        last = p + s->len;

        for (p = ngx_rf_codec_skip_plain(p, last); p < last; p++) {
            if (*p < 0x20) {
                size += sizeof("\\u0000") - 2;

            } else if (*p == '"' || *p == '\\') {
                size++;
            }
        }
    }

    p = ngx_rf_codec_room(text, size + 2);

    if (p == NULL) {
        return;
    }

    *p++ = '"';

    if (base64) {
        encoded.data = p;
        ngx_encode_base64(&encoded, s);
        p += encoded.len;

    } else if (size != s->len) {
        p = ngx_rf_codec_escape(p, s);

    } else if (s->len) {
        p = ngx_cpymem(p, s->data, s->len);
    }

    *p++ = '"';

    text->len = p - text->data;
}


static u_char *
ngx_rf_codec_escape(u_char *p, ngx_str_t *s)
{
    u_char      ch, c;
    ngx_uint_t  i;

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];

        if (ch >= 0x20) {
            if (ch == '"' || ch == '\\') {
                *p++ = '\\';
            }

            *p++ = ch;
            continue;
        }

        *p++ = '\\';

        switch (ch) {

        case '\b': c = 'b'; break;
        case '\f': c = 'f'; break;
        case '\n': c = 'n'; break;
        case '\r': c = 'r'; break;
        case '\t': c = 't'; break;

        default:
            p = ngx_cpymem(p, "u00", 3);
            *p++ = '0' + (ch >> 4);
            c = "0123456789abcdef"[ch & 0xf];
        }

        *p++ = c;
    }

    return p;
}


/*
 * A number only where reading it back gives the same digits: scores are exact
 * texts ("0.10000000000000001" is what Redis 7.0 makes of 0.1), and infinity
 * is no number in JSON.
 */

static void
ngx_rf_codec_score(ngx_rf_codec_text_t *text, ngx_str_t *s)
{
    char    given[NGX_RF_CODEC_NUMBER], number[NGX_RF_CODEC_NUMBER], *end;
    double  d;

    if (s->len == 0 || s->len >= sizeof(given)) {
        ngx_rf_codec_string(text, s, 0);
        return;
    }

    ngx_memcpy(given, s->data, s->len);
    given[s->len] = '\0';

    d = strtod(given, &end);

    if (*end != '\0' || !isfinite(d)) {
        ngx_rf_codec_string(text, s, 0);
        return;
    }

    ngx_rf_codec_number(d, number);

    if (ngx_strcmp(given, number) != 0) {
        ngx_rf_codec_string(text, s, 0);
        return;
    }

    ngx_rf_codec_bytes(text, s->data, s->len);
}


static void
ngx_rf_codec_bytes(ngx_rf_codec_text_t *text, const u_char *data, size_t len)
{
    u_char  *p;

    p = ngx_rf_codec_room(text, len);

    if (p) {
        ngx_memcpy(p, data, len);
        text->len += len;
    }
}


/* what is not exact in a double becomes a string */

static void
ngx_rf_codec_int(ngx_rf_codec_text_t *text, int64_t n)
{
    ngx_uint_t  quoted;

    quoted = (n > (int64_t) NGX_RF_CODEC_EXACT
              || n < (int64_t) -NGX_RF_CODEC_EXACT);

    if (quoted) {
        ngx_rf_codec_lit(text, "\"");
    }

    if (n < 0) {
        ngx_rf_codec_lit(text, "-");
    }

    ngx_rf_codec_digits(text, n < 0 ? 0 - (uint64_t) n : (uint64_t) n);

    if (quoted) {
        ngx_rf_codec_lit(text, "\"");
    }
}


static void
ngx_rf_codec_digits(ngx_rf_codec_text_t *text, uint64_t n)
{
    u_char  digits[NGX_RF_CODEC_NUMBER], *p;

    p = digits + sizeof(digits);

    do {
        *--p = (u_char) ('0' + n % 10);
        n /= 10;
    } while (n);

    ngx_rf_codec_bytes(text, p, digits + sizeof(digits) - p);
}
