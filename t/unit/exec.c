/* Commands as lines, see exec.h. */

#include "exec.h"
#include "ngx_rf_command.h"


#define EXEC_TEXT   8192


static u_char *exec_text(u_char *p, u_char *last, ngx_rf_reply_t *reply);
static u_char *exec_record(u_char *p, ngx_rf_record_t *rec);
static int exec_compare(const void *one, const void *two);


void
exec_init(exec_t *e, ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    ngx_shm_zone_t  *shm;

    ngx_time_update();

    shm = rf_unit_shm(pool, log, size);

    e->pool = pool;
    e->reply = NULL;
    e->zone = ngx_pcalloc(pool, sizeof(ngx_rf_zone_t));

    ngx_str_set(&e->zone->name, "app");
    shm->data = e->zone;

    ok(ngx_rf_zone_init(shm, NULL) == NGX_OK, "a zone");
}


ngx_uint_t
exec_words(exec_t *e, const char *text, ngx_str_t *argv)
{
    char        *line, *p;
    ngx_uint_t   argc;

    line = ngx_pnalloc(e->pool, strlen(text) + 1);
    strcpy(line, text);

    for (argc = 0; argc < EXEC_ARGS && line != NULL; argc++, line = p) {
        p = strchr(line, ' ');

        argv[argc].data = (u_char *) line;
        argv[argc].len = p ? (size_t) (p - line) : strlen(line);

        p = p ? p + 1 : NULL;
    }

    return argc;
}


ngx_int_t
exec_line(exec_t *e, const char *fmt, ...)
{
    char            *line;
    va_list          args;
    ngx_int_t        rc;
    ngx_str_t        argv[EXEC_ARGS];
    ngx_uint_t       argc;
    ngx_rf_local_t   l;

    line = ngx_pnalloc(e->pool, EXEC_TEXT);

    va_start(args, fmt);
    vsnprintf(line, EXEC_TEXT, fmt, args);
    va_end(args);

    argc = exec_words(e, line, argv);

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = e->zone;
    l.pool = e->pool;
    l.now = ngx_rf_now();
    l.scope = NGX_RF_SCOPE_ANY;
    l.command = ngx_rf_command_find(&argv[0]);
    l.argc = argc;
    l.argv = argv;

    rc = ngx_rf_local_exec(&l);
    e->reply = l.reply;

    return rc;
}


void
exec_is(exec_t *e, const char *line, const char *expected)
{
    exec_is_any(e, line, 0, expected);
}


void
exec_is_any(exec_t *e, const char *line, ngx_uint_t n, const char *expected)
{
    u_char      buf[EXEC_TEXT];
    ngx_int_t   rc;
    ngx_str_t   text;

    rc = exec_line(e, "%s", line);

    if (rc != NGX_OK) {
        is_int(rc, NGX_OK, "%s", line);
        return;
    }

    if (n) {
        ngx_qsort(e->reply->elts, e->reply->nelts / n,
                  n * sizeof(ngx_rf_reply_t), exec_compare);
    }

    text.data = buf;
    text.len = exec_text(buf, buf + sizeof(buf), e->reply) - buf;

    is_str(&text, expected, strlen(expected), "%s", line);
}


static int
exec_compare(const void *one, const void *two)
{
    const ngx_rf_reply_t  *a = one;
    const ngx_rf_reply_t  *b = two;

    int  rc;

    rc = memcmp(a->str.data, b->str.data, ngx_min(a->str.len, b->str.len));

    return rc ? rc : (int) a->str.len - (int) b->str.len;
}


static u_char *
exec_text(u_char *p, u_char *last, ngx_rf_reply_t *reply)
{
    ngx_uint_t  i;

    switch (reply->type) {

    case NGX_RF_REPLY_NIL:
        return ngx_slprintf(p, last, "nil");

    case NGX_RF_REPLY_INTEGER:
        return ngx_slprintf(p, last, "%L", reply->integer);

    case NGX_RF_REPLY_ERROR:
        return ngx_slprintf(p, last, "-%V", &reply->str);

    case NGX_RF_REPLY_ARRAY:
        p = ngx_slprintf(p, last, "[");

        for (i = 0; i < reply->nelts; i++) {
            p = ngx_slprintf(p, last, i ? " " : "");
            p = exec_text(p, last, &reply->elts[i]);
        }

        return ngx_slprintf(p, last, "]");

    default:
        return ngx_slprintf(p, last, "%V", &reply->str);
    }
}


void
exec_told(exec_t *e, const char *key, const char *expected)
{
    u_char            buf[EXEC_TEXT], *p;
    ngx_str_t         text;
    ngx_rf_record_t  *rec, *next;

    p = buf;
    rec = ngx_rf_zone_replay_take(e->zone, 1000, 1 << 20, ngx_rf_now(), NULL);

    for ( /* void */ ; rec; rec = next) {
        next = rec->next;

        if (rec->key.len == strlen(key)
            && ngx_memcmp(rec->key.data, key, rec->key.len) == 0)
        {
            p = exec_record(p, rec);
        }

        ngx_rf_zone_replay_done(e->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
        free(rec);
    }

    text.data = buf;
    text.len = p - buf;

    is_str(&text, expected, strlen(expected), "Redis is told of %s", key);
}


static u_char *
exec_record(u_char *p, ngx_rf_record_t *rec)
{
    ngx_uint_t  i, j;

    if (rec->pending == NGX_RF_REPLACE) {
        p = ngx_sprintf(p, "=");

        for (i = 0; i < rec->nvalues; i++) {
            p = ngx_sprintf(p, " %V", &rec->values[i]);
        }

        return p;
    }

    for (i = 0; i < rec->nchanges; i++) {

        for (j = 0; j < rec->changes[i].argc; j++) {
            p = ngx_sprintf(p, j ? " %V" : "%V", &rec->changes[i].argv[j]);
        }

        p = ngx_sprintf(p, "; ");
    }

    return p;
}
