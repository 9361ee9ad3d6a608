#include "zone_bed.h"


static ngx_uint_t zt_split(zt_t *t, const char *line, ngx_str_t *argv);


zt_t *
zt_start(ngx_pool_t *pool, ngx_log_t *log, size_t size, ngx_uint_t files)
{
    zt_t            *t;
    ngx_shm_zone_t  *shm;

    t = ngx_pcalloc(pool, sizeof(zt_t));

    t->pool = pool;
    t->log = log;

    ngx_str_set(&t->zone.name, "app");
    t->zone.files = files;
    ngx_memset(t->zone.path_sha1, 7, 20);

    shm = rf_unit_shm(pool, log, size);
    shm->data = &t->zone;

    ngx_time_update();

    is_int(ngx_rf_zone_init(shm, NULL), NGX_OK, "a zone");

    return t;
}


static ngx_uint_t
zt_split(zt_t *t, const char *line, ngx_str_t *argv)
{
    const char  *p;
    ngx_uint_t   n;

    for (n = 0; *line; n++) {
        p = strchr(line, ' ');
        if (p == NULL) {
            p = line + strlen(line);
        }

        argv[n].data = (u_char *) line;
        argv[n].len = p - line;
        line = *p ? p + 1 : p;
    }

    return n;
}


ngx_int_t
zt_exec(zt_t *t, const char *line)
{
    ngx_str_t  argv[32];

    t->l.argc = zt_split(t, line, argv);
    t->l.argv = argv;
    t->l.command = ngx_rf_command_find(&argv[0]);
    t->l.zone = &t->zone;
    t->l.pool = t->pool;
    t->l.now = ngx_rf_now() + t->later;
    t->l.scope = t->scope;
    t->l.files = t->files;

    return ngx_rf_local_exec(&t->l);
}


/* the reply as a text: "+OK", ":1", "-ERR ...", "nil", a string, [an array],
 * or the return code */

const char *
zt(zt_t *t, const char *line)
{
    char            *p, *text;
    ngx_int_t        rc;
    ngx_uint_t       i;
    ngx_rf_reply_t  *r;

    rc = zt_exec(t, line);
    r = t->l.reply;

    switch (rc) {
    case NGX_OK:            break;
    case NGX_RF_NEED_FILE:  return "NEED_FILE";
    case NGX_RF_NEED_ROOM:  return "NEED_ROOM";
    case NGX_RF_NEED_WAIT:  return "NEED_WAIT";
    case NGX_RF_NEED_REDIS: return "NEED_REDIS";
    case NGX_RF_NEED_RETRY: return "NEED_RETRY";
    default:                return "ERROR";
    }

    text = ngx_pcalloc(t->pool, 4096);
    p = text;

    switch (r->type) {

    case NGX_RF_REPLY_NIL:
        return "nil";

    case NGX_RF_REPLY_INTEGER:
        sprintf(text, ":%lld", (long long) r->integer);
        return text;

    case NGX_RF_REPLY_ARRAY:
        *p++ = '[';

        for (i = 0; i < r->nelts; i++) {
            p += sprintf(p, "%s%.*s", i ? " " : "", (int) r->elts[i].str.len,
                         r->elts[i].str.data);
        }

        *p = ']';
        return text;

    case NGX_RF_REPLY_STATUS:
        *p++ = '+';
        break;

    case NGX_RF_REPLY_ERROR:
        *p++ = '-';
        break;

    default:
        break;
    }

    ngx_memcpy(p, r->str.data, r->str.len);

    return text;
}


/* the reply is "nil", ":1", "OK", "-..." or a string */

void
zt_learn(zt_t *t, const char *line, const char *text, int64_t pttl,
    uint64_t seq)
{
    ngx_str_t       argv[32];
    ngx_uint_t      argc;
    ngx_rf_reply_t  reply;

    argc = zt_split(t, line, argv);

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));
    reply.type = NGX_RF_REPLY_STRING;
    reply.str.data = (u_char *) text;
    reply.str.len = strlen(text);

    if (strcmp(text, "nil") == 0) {
        reply.type = NGX_RF_REPLY_NIL;

    } else if (strcmp(text, "OK") == 0) {
        reply.type = NGX_RF_REPLY_STATUS;

    } else if (text[0] == '-') {
        reply.type = NGX_RF_REPLY_ERROR;

    } else if (text[0] == ':') {
        reply.type = NGX_RF_REPLY_INTEGER;
        reply.integer = atoi(text + 1);
    }

    ngx_rf_learn(&t->zone, t->pool,
                 ngx_rf_command_find(&argv[0]), argc, argv,
                       &reply, pttl, seq, ngx_rf_now(), 0);
}


ngx_rf_entry_t *
zt_entry(zt_t *t, const char *key)
{
    ngx_str_t        name;
    ngx_rf_entry_t  *e;

    name.data = (u_char *) key;
    name.len = strlen(key);

    ngx_rf_zone_lock(&t->zone);
    e = ngx_rf_zone_lookup_locked(&t->zone, &name);
    ngx_rf_zone_unlock(&t->zone);

    return e;
}


ngx_rf_record_t *
zt_record(zt_t *t, const char *key, const char *value, uint64_t version)
{
    ngx_rf_record_t  *rec;

    rec = calloc(1, sizeof(ngx_rf_record_t) + sizeof(ngx_str_t));

    rec->key.data = (u_char *) key;
    rec->key.len = strlen(key);
    rec->type = NGX_RF_STRING;
    rec->pending = NGX_RF_REPLACE;
    rec->version = version;
    rec->changed = ngx_rf_now();
    rec->nvalues = 1;
    rec->values = (ngx_str_t *) (rec + 1);
    rec->values[0].data = (u_char *) value;
    rec->values[0].len = strlen(value);

    return rec;
}


/* all that the journal is to have, it gets, or it fails; returns how many */

ngx_uint_t
zt_log(zt_t *t, ngx_int_t rc)
{
    ngx_uint_t          n;
    ngx_rf_record_t    *list, *rec;
    ngx_rf_zone_log_t   log;

    list = ngx_rf_zone_log_take(&t->zone, 1000000, 1 << 30, 1, &log);

    for (n = 0, rec = list; rec; rec = rec->next) {
        n++;
    }

    ngx_rf_zone_log_done(&t->zone, list, rc, log.generation);

    return n;
}


/* all that is dirty goes to disk, or fails to; returns how many */

ngx_uint_t
zt_flush(zt_t *t, ngx_int_t status)
{
    ngx_uint_t        n;
    ngx_rf_record_t  *list, *rec;

    zt_log(t, NGX_OK);

    list = ngx_rf_zone_dirty_take(&t->zone, 1000000, 1 << 30);

    for (n = 0, rec = list; rec; rec = rec->next, n++) {
        rec->status = status;
    }

    ngx_rf_zone_dirty_done(&t->zone, list);

    return n;
}


/* all that is pending meets the same end; returns how many */

ngx_uint_t
zt_replay(zt_t *t, ngx_int_t rc, ngx_uint_t keep)
{
    ngx_uint_t        n;
    ngx_rf_record_t  *list, *rec;

    list = ngx_rf_zone_replay_take(&t->zone, 1000000, 1 << 30,
                                   ngx_rf_now() + t->later, NULL);

    for (n = 0, rec = list; rec; rec = rec->next, n++) {
        ngx_rf_zone_replay_done(&t->zone, rec, rc, keep, ngx_rf_now());
    }

    zt_free(list);

    return n;
}


void
zt_free(ngx_rf_record_t *list)
{
    ngx_rf_record_t  *rec;

    while (list) {
        rec = list;
        list = rec->next;
        free(rec);
    }
}
