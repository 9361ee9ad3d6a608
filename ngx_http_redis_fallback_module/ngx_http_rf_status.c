/*
 * Both formats are written into one buffer, of which the size is an upper
 * bound: so much for each store or line, and its name and address at their
 * longest.
 *
 * The Prometheus side is a table of samples; those of one family stand
 * together, and so do the lines they become, stores inside samples.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_json.h"
#include "ngx_http_rf_request.h"
#include "ngx_http_rf_status.h"


/* what a store takes beside its name and address: about 800 characters of
 * words and 30 numbers */
#define NGX_HTTP_RF_STATUS_STORE   (1000 + 34 * NGX_INT64_LEN)

/* what a sample takes: a head of two lines once, a line for each store */
#define NGX_HTTP_RF_STATUS_HEAD    256
#define NGX_HTTP_RF_STATUS_LINE    (128 + NGX_INT64_LEN)


typedef enum {
    NGX_HTTP_RF_SAMPLE_NUMBER = 0,
    NGX_HTTP_RF_SAMPLE_SECONDS,         /* of a number of milliseconds */
    NGX_HTTP_RF_SAMPLE_MODE             /* 1 in mode "arg", else 0 */
} ngx_http_rf_sample_e;

typedef struct {
    const char                 *family;     /* without "redis_fallback_" */
    const char                 *type;
    const char                 *help;
    const char                 *label;      /* a further label, or "" */
    ngx_http_rf_sample_e        kind;
    size_t                      offset;     /* in ngx_rf_store_status_t */
    ngx_uint_t                  arg;
} ngx_http_rf_sample_t;


static ngx_int_t ngx_http_rf_status_not_allowed(ngx_http_request_t *r);
static ngx_uint_t ngx_http_rf_status_format(ngx_http_request_t *r);
static ngx_uint_t ngx_http_rf_status_accepts(ngx_http_request_t *r,
    const char *type);
static ngx_rf_store_status_t *ngx_http_rf_status_collect(
    ngx_http_request_t *r, ngx_uint_t *n);
static ngx_int_t ngx_http_rf_status_json(ngx_http_request_t *r,
    ngx_rf_store_status_t *st, ngx_uint_t n, ngx_str_t *out);
static u_char *ngx_http_rf_status_json_store(u_char *p, u_char *last,
    ngx_rf_store_status_t *st);
static ngx_int_t ngx_http_rf_status_prometheus(ngx_http_request_t *r,
    ngx_rf_store_status_t *st, ngx_uint_t n, ngx_str_t *out);
static u_char *ngx_http_rf_status_sample(u_char *p, u_char *last,
    ngx_http_rf_sample_t *s, ngx_rf_store_status_t *st);
static u_char *ngx_http_rf_status_label(u_char *p, ngx_str_t *value);


/* in the order of their enum */

static const char  *ngx_http_rf_status_modes[] = {
    "normal", "fallback", "recovering"
};


#define ngx_http_rf_number(family, type, label, field, help)                  \
    { family, type, help, label, NGX_HTTP_RF_SAMPLE_NUMBER,                   \
      offsetof(ngx_rf_store_status_t, field), 0 }

static ngx_http_rf_sample_t  ngx_http_rf_samples[] = {

    { "mode", "gauge", "Mode of the store: 1 for the current one.",
      ",mode=\"normal\"", NGX_HTTP_RF_SAMPLE_MODE, 0, NGX_RF_NORMAL },
    { "mode", "gauge", "", ",mode=\"fallback\"",
      NGX_HTTP_RF_SAMPLE_MODE, 0, NGX_RF_FALLBACK },
    { "mode", "gauge", "", ",mode=\"recovering\"",
      NGX_HTTP_RF_SAMPLE_MODE, 0, NGX_RF_RECOVERING },

    ngx_http_rf_number("mode_since_timestamp_seconds", "gauge", "", mode_since,
                       "Unix time at which the current mode began."),
    ngx_http_rf_number("outages_total", "counter", "", outages,
                       "Times the store fell back."),
    ngx_http_rf_number("pending", "gauge", "", pending,
                       "Keys that Redis has not yet acknowledged."),

    ngx_http_rf_number("redis_connected", "gauge", "", connected,
                       "Workers connected to Redis."),
    ngx_http_rf_number("redis_tracking", "gauge", "", tracking,
                       "1 where Redis invalidates what memory holds."),

    ngx_http_rf_number("memory_size_bytes", "gauge", "", size,
                       "Size of the shared memory zone."),
    ngx_http_rf_number("memory_used_bytes", "gauge", "", used,
                       "Shared memory in use."),
    ngx_http_rf_number("memory_entries", "gauge", "", entries,
                       "Entries in shared memory."),
    ngx_http_rf_number("memory_evictions_total", "counter", "", evictions,
                       "Entries evicted from shared memory."),

    ngx_http_rf_number("files", "gauge", "", files, "Records on disk."),
    ngx_http_rf_number("file_errors_total", "counter", "", file_errors,
                       "Errors of the file tier."),
    ngx_http_rf_number("files_quarantined_total", "counter", "", quarantined,
                       "Files and records moved to quarantine."),

    ngx_http_rf_number("journal_bytes", "gauge", "", journal_size,
                       "Bytes in the journal."),
    ngx_http_rf_number("journal_limit_bytes", "gauge", "", journal_limit,
                       "Bytes that it may have."),
    ngx_http_rf_number("journal_behind", "gauge", "", journal_behind,
                       "Keys that it does not have yet."),
    ngx_http_rf_number("journal_failing", "gauge", "", journal_failing,
                       "1 while it cannot be written."),

    ngx_http_rf_number("reads_total", "counter", ",source=\"memory\"",
                       reads_memory, "Reads by what answered them."),
    ngx_http_rf_number("reads_total", "counter", ",source=\"redis\"",
                       reads_redis, ""),
    ngx_http_rf_number("reads_total", "counter", ",source=\"file\"",
                       reads_file, ""),
    ngx_http_rf_number("reads_total", "counter", ",source=\"miss\"",
                       reads_miss, ""),

    ngx_http_rf_number("writes_total", "counter", ",target=\"redis\"",
                       writes_redis, "Writes by where they went."),
    ngx_http_rf_number("writes_total", "counter", ",target=\"local\"",
                       writes_local, ""),

    ngx_http_rf_number("recovery_running", "gauge", "", rec_running,
                       "1 while a recovery runs."),
    ngx_http_rf_number("recovery_keys", "gauge", "", rec_total,
                       "Keys of the current or last recovery."),
    ngx_http_rf_number("recovery_keys_done", "gauge", "", rec_done,
                       "Keys that it has dealt with."),
    ngx_http_rf_number("recovery_replayed_total", "counter", "", replayed,
                       "Keys replayed to Redis."),
    ngx_http_rf_number("recovery_expired_total", "counter", "", expired,
                       "Keys that had expired before they were replayed."),
    ngx_http_rf_number("recovery_conflicts_total", "counter", "", conflicts,
                       "Keys that had also changed in Redis."),
    ngx_http_rf_number("recovery_failed_total", "counter", "", failed,
                       "Keys that Redis refused for good."),

    { "recovery_last_seconds", "gauge",
      "Duration of the current or last recovery.", "",
      NGX_HTTP_RF_SAMPLE_SECONDS, offsetof(ngx_rf_store_status_t, rec_ms), 0 }
};

#define NGX_HTTP_RF_SAMPLES                                                   \
    (sizeof(ngx_http_rf_samples) / sizeof(ngx_http_rf_sample_t))


ngx_int_t
ngx_http_rf_status_handler(ngx_http_request_t *r)
{
    ngx_int_t               rc;
    ngx_str_t               type, body;
    ngx_uint_t              n;
    ngx_rf_store_status_t  *st;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_rf_status_not_allowed(r);
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    st = ngx_http_rf_status_collect(r, &n);
    if (st == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_rf_status_format(r) == NGX_HTTP_RF_STATUS_PROMETHEUS) {
        ngx_str_set(&type, "text/plain; version=0.0.4");
        rc = ngx_http_rf_status_prometheus(r, st, n, &body);

    } else {
        ngx_str_set(&type, "application/json");
        rc = ngx_http_rf_status_json(r, st, n, &body);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_rf_request_send(r, NGX_HTTP_OK, &type, &body);
}


static ngx_int_t
ngx_http_rf_status_not_allowed(ngx_http_request_t *r)
{
    static ngx_str_t  methods = ngx_string("GET, HEAD");

    if (ngx_http_rf_request_header(r, "Allow", &methods) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_HTTP_NOT_ALLOWED;
}


/* the directive's parameter, ?format=, Accept, JSON */

static ngx_uint_t
ngx_http_rf_status_format(ngx_http_request_t *r)
{
    ngx_str_t                value;
    ngx_http_rf_loc_conf_t  *conf;

    conf = ngx_http_get_module_loc_conf(r, ngx_http_redis_fallback_module);

    if (conf->status != NGX_HTTP_RF_STATUS_ANY) {
        return conf->status;
    }

    if (ngx_http_arg(r, (u_char *) "format", 6, &value) == NGX_OK) {

        if (value.len == 4 && ngx_strncmp(value.data, "json", 4) == 0) {
            return NGX_HTTP_RF_STATUS_JSON;
        }

        if (value.len == 10 && ngx_strncmp(value.data, "prometheus", 10) == 0) {
            return NGX_HTTP_RF_STATUS_PROMETHEUS;
        }
    }

    if (!ngx_http_rf_status_accepts(r, "application/json")
        && (ngx_http_rf_status_accepts(r, "text/plain")
            || ngx_http_rf_status_accepts(r, "application/openmetrics-text")))
    {
        return NGX_HTTP_RF_STATUS_PROMETHEUS;
    }

    return NGX_HTTP_RF_STATUS_JSON;
}


/* headers_in.accept is there only in some builds of nginx */

static ngx_uint_t
ngx_http_rf_status_accepts(ngx_http_request_t *r, const char *type)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h;
    ngx_list_part_t  *part;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len == 6
                && ngx_strncasecmp(h[i].key.data, (u_char *) "accept", 6) == 0
                && ngx_strlcasestrn(h[i].value.data,
                                    h[i].value.data + h[i].value.len,
                                    (u_char *) type, ngx_strlen(type) - 1))
            {
                return 1;
            }
        }
    }

    return 0;
}


static ngx_rf_store_status_t *
ngx_http_rf_status_collect(ngx_http_request_t *r, ngx_uint_t *n)
{
    ngx_uint_t                i;
    ngx_http_rf_store_t      *stores;
    ngx_rf_store_status_t    *st;
    ngx_http_rf_main_conf_t  *mcf;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_redis_fallback_module);
    stores = mcf->stores.elts;
    *n = mcf->stores.nelts;

    /* one more: there may be none */

    st = ngx_pcalloc(r->pool, (*n + 1) * sizeof(ngx_rf_store_status_t));
    if (st == NULL) {
        return NULL;
    }

    for (i = 0; i < *n; i++) {
        ngx_rf_store_status(stores[i].store, &st[i]);
    }

    return st;
}


static ngx_int_t
ngx_http_rf_status_json(ngx_http_request_t *r, ngx_rf_store_status_t *st,
    ngx_uint_t n, ngx_str_t *out)
{
    size_t       size;
    u_char      *p, *last;
    ngx_uint_t   i;

    size = sizeof("{\"version\": \"" NGX_RF_VERSION "\", \"stores\": {}}\n");

    for (i = 0; i < n; i++) {
        size += NGX_HTTP_RF_STATUS_STORE
                + ngx_http_rf_json_string(NULL, &st[i].name)
                + ngx_http_rf_json_string(NULL, &st[i].address);
    }

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;
    last = p + size;

    p = ngx_slprintf(p, last, "{\"version\": \"%s\", \"stores\": {",
                     NGX_RF_VERSION);

    for (i = 0; i < n; i++) {

        if (i) {
            p = ngx_slprintf(p, last, ", ");
        }

        p = ngx_http_rf_status_json_store(p, last, &st[i]);
    }

    p = ngx_slprintf(p, last, "}}\n");

    out->len = p - out->data;

    return NGX_OK;
}


static u_char *
ngx_http_rf_status_json_store(u_char *p, u_char *last,
    ngx_rf_store_status_t *st)
{
    p += ngx_http_rf_json_string(p, &st->name);

    p = ngx_slprintf(p, last,
                     ": {\"mode\": \"%s\", \"mode_since\": %T, "
                     "\"outages\": %ui, \"pending\": %ui, "
                     "\"redis\": {\"address\": ",
                     ngx_http_rf_status_modes[st->mode], st->mode_since,
                     st->outages, st->pending);

    p += ngx_http_rf_json_string(p, &st->address);

    p = ngx_slprintf(p, last, ", \"connected\": %ui, \"tracking\": %s}, ",
                     st->connected, st->tracking ? "true" : "false");

    p = ngx_slprintf(p, last,
                     "\"memory\": {\"size\": %uz, \"used\": %uz, "
                     "\"entries\": %ui, \"evictions\": %ui}, "
                     "\"files\": {\"count\": %ui, \"errors\": %ui, "
                     "\"quarantined\": %ui}, ",
                     st->size, st->used, st->entries, st->evictions,
                     st->files, st->file_errors, st->quarantined);

    p = ngx_slprintf(p, last,
                     "\"journal\": {\"size\": %uz, \"limit\": %uz, "
                     "\"behind\": %ui, \"failing\": %s}, ",
                     st->journal_size, st->journal_limit, st->journal_behind,
                     st->journal_failing ? "true" : "false");

    p = ngx_slprintf(p, last,
                     "\"reads\": {\"memory\": %ui, \"redis\": %ui, "
                     "\"file\": %ui, \"miss\": %ui}, "
                     "\"writes\": {\"redis\": %ui, \"local\": %ui}, ",
                     st->reads_memory, st->reads_redis, st->reads_file,
                     st->reads_miss, st->writes_redis, st->writes_local);

    return ngx_slprintf(p, last,
                        "\"recovery\": {\"running\": %s, \"total\": %ui, "
                        "\"done\": %ui, \"replayed\": %ui, \"expired\": %ui, "
                        "\"conflicts\": %ui, \"failed\": %ui, "
                        "\"last_seconds\": %M.%03M}}",
                        st->rec_running ? "true" : "false", st->rec_total,
                        st->rec_done, st->replayed, st->expired,
                        st->conflicts, st->failed,
                        st->rec_ms / 1000, st->rec_ms % 1000);
}


static ngx_int_t
ngx_http_rf_status_prometheus(ngx_http_request_t *r, ngx_rf_store_status_t *st,
    ngx_uint_t n, ngx_str_t *out)
{
    size_t                 size, line;
    u_char                *p, *last;
    ngx_uint_t             i, j;
    ngx_http_rf_sample_t  *s;

    line = 0;

    for (i = 0; i < n; i++) {
        line += NGX_HTTP_RF_STATUS_LINE + 2 * st[i].name.len;
    }

    size = (NGX_HTTP_RF_SAMPLES + 1) * (NGX_HTTP_RF_STATUS_HEAD + line);

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;
    last = p + size;

    p = ngx_slprintf(p, last,
                     "# HELP redis_fallback_info The module's version.\n"
                     "# TYPE redis_fallback_info gauge\n"
                     "redis_fallback_info{version=\"%s\"} 1\n",
                     NGX_RF_VERSION);

    for (i = 0; n && i < NGX_HTTP_RF_SAMPLES; i++) {
        s = &ngx_http_rf_samples[i];

        if (i == 0 || ngx_strcmp(s->family, s[-1].family) != 0) {
            p = ngx_slprintf(p, last,
                             "# HELP redis_fallback_%s %s\n"
                             "# TYPE redis_fallback_%s %s\n",
                             s->family, s->help, s->family, s->type);
        }

        for (j = 0; j < n; j++) {
            p = ngx_http_rf_status_sample(p, last, s, &st[j]);
        }
    }

    out->len = p - out->data;

    return NGX_OK;
}


static u_char *
ngx_http_rf_status_sample(u_char *p, u_char *last, ngx_http_rf_sample_t *s,
    ngx_rf_store_status_t *st)
{
    ngx_uint_t  value;

    p = ngx_slprintf(p, last, "redis_fallback_%s{store=\"", s->family);
    p = ngx_http_rf_status_label(p, &st->name);
    p = ngx_slprintf(p, last, "\"%s} ", s->label);

    if (s->kind == NGX_HTTP_RF_SAMPLE_MODE) {
        return ngx_slprintf(p, last, "%d\n",
                            (ngx_uint_t) st->mode == s->arg ? 1 : 0);
    }

    /* size_t, time_t and ngx_msec_t are as wide */

    value = *(ngx_uint_t *) ((u_char *) st + s->offset);

    if (s->kind == NGX_HTTP_RF_SAMPLE_SECONDS) {
        return ngx_slprintf(p, last, "%ui.%03ui\n", value / 1000, value % 1000);
    }

    return ngx_slprintf(p, last, "%ui\n", value);
}


static u_char *
ngx_http_rf_status_label(u_char *p, ngx_str_t *value)
{
    size_t  i;

    for (i = 0; i < value->len; i++) {

        switch (value->data[i]) {

        case '\\':
        case '"':
            *p++ = '\\';
            *p++ = value->data[i];
            break;

        case '\n':
            *p++ = '\\';
            *p++ = 'n';
            break;

        default:
            *p++ = value->data[i];
        }
    }

    return p;
}
