/*
 * Owns the layout of a record in memory, one block, so that one free() ends
 * it, and the way to its JSON form, which docs/files.md describes.
 *
 * Guarantees: what is encoded here decodes to the same bytes, whatever they
 * are: strings that JSON cannot hold go into fields named *_base64.  Refuses to
 * know files, and what a record is for.  Runs in threads: malloc() only.
 */

#include "ngx_rf_codec.h"
#include "ngx_rf_codec_parts.h"
#include <math.h>
#include <sys/mman.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif


/* bytes from which on memory is given back to the system */
#define NGX_RF_CODEC_LARGE      (1024 * 1024)

/* below what malloc() takes from the system by itself */
#define NGX_RF_CODEC_PLUG       (64 * 1024)


static ngx_int_t ngx_rf_codec_print(cJSON *root, u_char **out, size_t *len);
static cJSON *ngx_rf_codec_build(ngx_rf_record_t *rec);
static ngx_uint_t ngx_rf_codec_put_times(cJSON *root, ngx_rf_record_t *rec);
static ngx_uint_t ngx_rf_codec_put_state(cJSON *root, ngx_rf_record_t *rec);
static ngx_uint_t ngx_rf_codec_put_value(cJSON *root, ngx_rf_record_t *rec);
static ngx_uint_t ngx_rf_codec_put_changes(cJSON *root, ngx_rf_record_t *rec);
static cJSON *ngx_rf_codec_value(ngx_rf_record_t *rec, ngx_uint_t base64);
static cJSON *ngx_rf_codec_string(ngx_str_t *s, ngx_uint_t base64);
static cJSON *ngx_rf_codec_score(ngx_str_t *s);
static ngx_uint_t ngx_rf_codec_add(cJSON *object, const char *name,
    cJSON *item);
static ngx_uint_t ngx_rf_codec_append(cJSON *array, cJSON *item);
static ngx_uint_t ngx_rf_codec_put_int(cJSON *root, const char *name,
    int64_t n);


/* in the order of ngx_rf_type_e */
const char  *ngx_rf_codec_types[] = {
    "none", "string", "hash", "list", "set", "zset"
};


ngx_rf_record_t *
ngx_rf_codec_clone(ngx_rf_record_t *from)
{
    size_t            size;
    u_char           *p;
    ngx_str_t        *arg;
    ngx_uint_t        i, n, nargs;
    ngx_rf_record_t  *rec;

    size = from->key.len;
    nargs = 0;

    for (i = 0; i < from->nvalues; i++) {
        size += from->values[i].len;
    }

    for (i = 0; i < from->nchanges; i++) {
        nargs += from->changes[i].argc;

        for (n = 0; n < from->changes[i].argc; n++) {
            size += from->changes[i].argv[n].len;
        }
    }

    rec = ngx_rf_codec_record(from, nargs, size, &p);
    if (rec == NULL) {
        return NULL;
    }

    ngx_rf_codec_copy(&p, &rec->key, &from->key);

    for (i = 0; i < from->nvalues; i++) {
        ngx_rf_codec_copy(&p, &rec->values[i], &from->values[i]);
    }

    arg = rec->values + from->nvalues;

    for (i = 0; i < from->nchanges; i++) {
        rec->changes[i].argc = from->changes[i].argc;
        rec->changes[i].argv = arg;

        for (n = 0; n < from->changes[i].argc; n++) {
            ngx_rf_codec_copy(&p, arg++, &from->changes[i].argv[n]);
        }
    }

    return rec;
}


/* scalars and counts are taken from head; the strings are the caller's */

ngx_rf_record_t *
ngx_rf_codec_record(ngx_rf_record_t *head, ngx_uint_t nargs, size_t size,
    u_char **p)
{
    u_char           *block;
    ngx_rf_record_t  *rec;

    size += sizeof(ngx_rf_record_t)
            + head->nchanges * sizeof(ngx_rf_change_t)
            + (head->nvalues + nargs) * sizeof(ngx_str_t);

    block = malloc(size);
    if (block == NULL) {
        return NULL;
    }

    rec = (ngx_rf_record_t *) block;
    block += sizeof(ngx_rf_record_t);

    *rec = *head;
    rec->next = NULL;
    rec->size = size;

    rec->changes = (ngx_rf_change_t *) block;
    block += head->nchanges * sizeof(ngx_rf_change_t);

    rec->values = (ngx_str_t *) block;
    block += (head->nvalues + nargs) * sizeof(ngx_str_t);

    *p = block;

    return rec;
}


void
ngx_rf_codec_free(ngx_rf_record_t *rec)
{
    if (rec) {
        ngx_rf_codec_drop(rec, rec->size);
    }
}


void
ngx_rf_codec_drop(void *p, size_t size)
{
    u_char  *start, *end;
    size_t   page;

    if (p && size > NGX_RF_CODEC_LARGE) {
        page = sysconf(_SC_PAGESIZE);

        start = ngx_align_ptr(p, page);
        end = (u_char *) (((uintptr_t) p + size) & ~((uintptr_t) page - 1));

        (void) madvise(start, end - start, MADV_DONTNEED);
    }

    free(p);
}


/* malloc_trim() leaves the end of an arena alone: so the tree must not be
 * there when it goes */

void
ngx_rf_codec_delete(cJSON *root, size_t len)
{
    void  *volatile  plug;

    plug = (len > NGX_RF_CODEC_LARGE) ? malloc(NGX_RF_CODEC_PLUG) : NULL;

    cJSON_Delete(root);

#if defined(__GLIBC__)

    if (plug) {
        (void) malloc_trim(0);
    }

#endif

    free(plug);
}


void
ngx_rf_codec_copy(u_char **p, ngx_str_t *to, ngx_str_t *from)
{
    to->len = from->len;
    to->data = *p;

    if (from->len && from->data) {
        ngx_memcpy(*p, from->data, from->len);
    }

    *p += from->len;
}


ngx_int_t
ngx_rf_codec_encode(ngx_rf_record_t *rec, u_char **out, size_t *len)
{
    return ngx_rf_codec_print(ngx_rf_codec_build(rec), out, len);
}


ngx_int_t
ngx_rf_codec_encode_rejected(ngx_rf_record_t *rec, ngx_str_t *reason,
    u_char **out, size_t *len)
{
    cJSON       *root;
    ngx_uint_t   base64;

    root = ngx_rf_codec_build(rec);
    if (root == NULL) {
        return NGX_ERROR;
    }

    base64 = !ngx_rf_codec_plain(reason, 1);

    if (!ngx_rf_codec_add(root, base64 ? "reason_base64" : "reason",
                          ngx_rf_codec_string(reason, base64)))
    {
        cJSON_Delete(root);
        return NGX_ERROR;
    }

    return ngx_rf_codec_print(root, out, len);
}


ngx_int_t
ngx_rf_codec_encode_ack(ngx_rf_record_t *rec, u_char **out, size_t *len)
{
    char         version[NGX_RF_CODEC_NUMBER];
    cJSON       *root;
    ngx_uint_t   base64;

    root = cJSON_CreateObject();
    if (root == NULL) {
        return NGX_ERROR;
    }

    (void) snprintf(version, sizeof(version), "%llu",
                    (unsigned long long) rec->version);

    base64 = !ngx_rf_codec_plain(&rec->key, 1);

    if (cJSON_AddStringToObject(root, "version", version) == NULL
        || !ngx_rf_codec_add(root, base64 ? "key_base64" : "key",
                             ngx_rf_codec_string(&rec->key, base64)))
    {
        cJSON_Delete(root);
        return NGX_ERROR;
    }

    return ngx_rf_codec_print(root, out, len);
}


/* takes root, which may be NULL */

static ngx_int_t
ngx_rf_codec_print(cJSON *root, u_char **out, size_t *len)
{
    char  *text;

    if (root == NULL) {
        return NGX_ERROR;
    }

    text = cJSON_PrintUnformatted(root);

    ngx_rf_codec_delete(root, text ? ngx_strlen(text) : 0);

    if (text == NULL) {
        return NGX_ERROR;
    }

    *out = (u_char *) text;
    *len = ngx_strlen(text);

    return NGX_OK;
}


static cJSON *
ngx_rf_codec_build(ngx_rf_record_t *rec)
{
    char         version[NGX_RF_CODEC_NUMBER];
    cJSON       *root;
    ngx_uint_t   base64, ok;

    root = cJSON_CreateObject();
    if (root == NULL) {
        return NULL;
    }

    ok = 1;

    /* the version comes first: see ngx_rf_codec_version() */

    if (!rec->foreign) {
        (void) snprintf(version, sizeof(version), "%llu",
                        (unsigned long long) rec->version);
        ok = cJSON_AddStringToObject(root, "version", version) != NULL;
    }

    base64 = !ngx_rf_codec_plain(&rec->key, 1);

    ok = ok
         && ngx_rf_codec_add(root, base64 ? "key_base64" : "key",
                             ngx_rf_codec_string(&rec->key, base64))
         && ngx_rf_codec_put_value(root, rec)
         && cJSON_AddStringToObject(root, "type",
                                    ngx_rf_codec_types[rec->type])
         && ngx_rf_codec_put_times(root, rec)
         && ngx_rf_codec_put_state(root, rec)
         && ngx_rf_codec_put_changes(root, rec);

    if (!ok) {
        cJSON_Delete(root);
        return NULL;
    }

    return root;
}


static ngx_uint_t
ngx_rf_codec_put_times(cJSON *root, ngx_rf_record_t *rec)
{
    int64_t  timestamp, ttl;

    timestamp = rec->changed / 1000;

    if (!ngx_rf_codec_put_int(root, "timestamp", timestamp)
        || !ngx_rf_codec_put_int(root, "changed_ms", rec->changed))
    {
        return 0;
    }

    if (rec->expire == 0) {
        return 1;
    }

    /* a ttl of 0 would mean that the key does not expire */

    ttl = rec->expire / 1000 - timestamp + (rec->expire % 1000 > 0);
    ttl = ngx_max(ttl, 1);
    ttl = ngx_min(ttl, (int64_t) NGX_RF_CODEC_EXACT);

    return ngx_rf_codec_put_int(root, "ttl", ttl)
           && ngx_rf_codec_put_int(root, "expire_ms", rec->expire);
}


static ngx_uint_t
ngx_rf_codec_put_state(cJSON *root, ngx_rf_record_t *rec)
{
    char    text[NGX_RF_CODEC_NUMBER];
    u_char  sha1[2 * sizeof(rec->base_sha1) + 1];

    if (!cJSON_AddStringToObject(root, "pending",
                         rec->pending == NGX_RF_DELTA ? "delta" : "replace")
        || !cJSON_AddBoolToObject(root, "complete", rec->complete)
        || (rec->partial && !cJSON_AddTrueToObject(root, "partial")))
    {
        return 0;
    }

    if (rec->id) {
        (void) snprintf(text, sizeof(text), "%llx",
                        (unsigned long long) rec->id);

        if (!cJSON_AddStringToObject(root, "id", text)
            || !ngx_rf_codec_put_int(root, "sent", (int64_t) rec->nsent))
        {
            return 0;
        }
    }

    if (rec->base_expires
        && !cJSON_AddBoolToObject(root, "base_expires", 1))
    {
        return 0;
    }

    switch (rec->base) {

    case NGX_RF_BASE_ABSENT:
        return cJSON_AddStringToObject(root, "base", "absent") != NULL;

    case NGX_RF_BASE_KNOWN:
        *ngx_hex_dump(sha1, rec->base_sha1, sizeof(rec->base_sha1)) = '\0';
        return cJSON_AddStringToObject(root, "base", (char *) sha1) != NULL;

    default:
        return 1;
    }
}


static ngx_uint_t
ngx_rf_codec_put_value(cJSON *root, ngx_rf_record_t *rec)
{
    ngx_uint_t  base64;

    if (rec->type == NGX_RF_NONE
        || (rec->nvalues == 0 && rec->pending == NGX_RF_DELTA))
    {
        return 1;
    }

    base64 = !ngx_rf_codec_plain(rec->values, rec->nvalues);

    return ngx_rf_codec_add(root, base64 ? "data_base64" : "data",
                            ngx_rf_codec_value(rec, base64));
}


static ngx_uint_t
ngx_rf_codec_put_changes(cJSON *root, ngx_rf_record_t *rec)
{
    cJSON       *array, *change;
    ngx_uint_t   i, n, base64;

    if (rec->nchanges == 0) {
        return 1;
    }

    base64 = 0;

    for (i = 0; i < rec->nchanges; i++) {
        if (!ngx_rf_codec_plain(rec->changes[i].argv, rec->changes[i].argc)) {
            base64 = 1;
            break;
        }
    }

    array = cJSON_CreateArray();

    if (!ngx_rf_codec_add(root, base64 ? "changes_base64" : "changes",
                          array))
    {
        return 0;
    }

    for (i = 0; i < rec->nchanges; i++) {
        change = cJSON_CreateArray();

        if (!ngx_rf_codec_append(array, change)) {
            return 0;
        }

        for (n = 0; n < rec->changes[i].argc; n++) {
            if (!ngx_rf_codec_append(change,
                      ngx_rf_codec_string(&rec->changes[i].argv[n], base64)))
            {
                return 0;
            }
        }
    }

    return 1;
}


static cJSON *
ngx_rf_codec_value(ngx_rf_record_t *rec, ngx_uint_t base64)
{
    cJSON       *data, *item, *pair;
    ngx_str_t   *v;
    ngx_uint_t   i, ok, step;

    if (rec->type == NGX_RF_STRING) {
        return rec->nvalues ? ngx_rf_codec_string(&rec->values[0], base64)
                            : NULL;
    }

    data = (rec->type == NGX_RF_HASH) ? cJSON_CreateObject()
                                      : cJSON_CreateArray();
    if (data == NULL) {
        return NULL;
    }

    step = (rec->type == NGX_RF_HASH || rec->type == NGX_RF_ZSET) ? 2 : 1;

    for (i = 0; i + step <= rec->nvalues; i += step) {
        v = &rec->values[i];
        item = ngx_rf_codec_string(v, base64);

        switch (rec->type) {

        case NGX_RF_HASH:
            ok = item
                 && ngx_rf_codec_add(data, item->valuestring,
                                     ngx_rf_codec_string(&v[1], base64));
            cJSON_Delete(item);
            break;

        case NGX_RF_ZSET:
            pair = cJSON_CreateArray();
            ok = ngx_rf_codec_append(pair, item)
                 && ngx_rf_codec_append(pair,
                              base64 ? ngx_rf_codec_string(&v[1], 1)
                                     : ngx_rf_codec_score(&v[1]));
            ok = ngx_rf_codec_append(data, pair) && ok;
            break;

        default:
            ok = ngx_rf_codec_append(data, item);
        }

        if (!ok) {
            cJSON_Delete(data);
            return NULL;
        }
    }

    return data;
}


/* a string item around one copy: cJSON_CreateString() would make a second */

static cJSON *
ngx_rf_codec_string(ngx_str_t *s, ngx_uint_t base64)
{
    cJSON      *item;
    ngx_str_t   text;

    item = cJSON_CreateNull();
    if (item == NULL) {
        return NULL;
    }

    text.data = cJSON_malloc((base64 ? ngx_base64_encoded_length(s->len)
                                     : s->len) + 1);
    if (text.data == NULL) {
        cJSON_Delete(item);
        return NULL;
    }

    text.len = 0;

    if (base64) {
        ngx_encode_base64(&text, s);

    } else if (s->len) {
        text.len = s->len;
        ngx_memcpy(text.data, s->data, s->len);
    }

    text.data[text.len] = '\0';

    item->type = cJSON_String;
    item->valuestring = (char *) text.data;

    return item;
}


/*
 * A number only where reading it back gives the same digits: scores are exact
 * texts ("0.10000000000000001" is what Redis 7.0 makes of 0.1), and infinity
 * is no number in JSON.
 */

static cJSON *
ngx_rf_codec_score(ngx_str_t *s)
{
    char    given[NGX_RF_CODEC_NUMBER], text[NGX_RF_CODEC_NUMBER], *end;
    double  d;

    if (s->len == 0 || s->len >= sizeof(given)) {
        return ngx_rf_codec_string(s, 0);
    }

    ngx_memcpy(given, s->data, s->len);
    given[s->len] = '\0';

    d = strtod(given, &end);

    if (*end != '\0' || !isfinite(d)) {
        return ngx_rf_codec_string(s, 0);
    }

    ngx_rf_codec_number(d, text);

    if (ngx_strcmp(given, text) != 0) {
        return ngx_rf_codec_string(s, 0);
    }

    return cJSON_CreateRaw(text);
}


/* these two take the item, also when they fail, and pass on its absence */

static ngx_uint_t
ngx_rf_codec_add(cJSON *object, const char *name, cJSON *item)
{
    if (item == NULL) {
        return 0;
    }

    if (!cJSON_AddItemToObject(object, name, item)) {
        cJSON_Delete(item);
        return 0;
    }

    return 1;
}


static ngx_uint_t
ngx_rf_codec_append(cJSON *array, cJSON *item)
{
    if (item == NULL) {
        return 0;
    }

    if (!cJSON_AddItemToArray(array, item)) {
        cJSON_Delete(item);
        return 0;
    }

    return 1;
}


static ngx_uint_t
ngx_rf_codec_put_int(cJSON *root, const char *name, int64_t n)
{
    char  text[NGX_RF_CODEC_NUMBER];

    (void) snprintf(text, sizeof(text), "%lld", (long long) n);

    if (n > (int64_t) NGX_RF_CODEC_EXACT || n < (int64_t) -NGX_RF_CODEC_EXACT)
    {
        return cJSON_AddStringToObject(root, name, text) != NULL;
    }

    return cJSON_AddRawToObject(root, name, text) != NULL;
}
