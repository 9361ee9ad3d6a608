/*
 * What is beside the zone, see steps.c: Redis, played by a second zone, and the
 * files, a list of records.
 */

#include "steps.h"
#include "ngx_rf_command.h"
#include "ngx_rf_local.h"


static void steps_load_key(steps_t *s, ngx_str_t *key);
static void steps_apply_value(steps_t *s, ngx_rf_record_t *rec);
static void steps_apply_one(steps_t *s, const char *verb, ngx_str_t *key,
    ngx_str_t *arg, ngx_uint_t n);


ngx_rf_reply_t *
steps_exec(steps_t *s, ngx_rf_zone_t *zone, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_int_t       rc;
    ngx_rf_local_t  l;

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = zone;
    l.pool = s->pool;
    l.now = s->now;
    l.command = ngx_rf_command_find(&argv[0]);
    l.argc = argc;
    l.argv = argv;

    if (l.command == NULL) {
        steps_wrong(s, "no command \"%.*s\"", (int) argv[0].len, argv[0].data);
        return NULL;
    }

    /* as the store does it: a key that memory does not know may be in a file */

    if (zone == &s->zone) {
        l.files = (zone->sh->spilled || zone->sh->files_scan);
        l.read = ngx_pcalloc(s->pool, argc);
    }

    for ( ;; ) {
        rc = ngx_rf_local_exec(&l);

        if (rc != NGX_RF_NEED_FILE) {
            break;
        }

        steps_load_key(s, &argv[l.need]);
        l.read[l.need] = 1;
    }

    if (zone == &s->zone) {
        s->rc = rc;

    } else if (rc != NGX_OK) {
        steps_wrong(s, "%.*s: the second zone says %d", (int) argv[1].len,
                    argv[1].data, (int) rc);
    }

    return rc == NGX_OK ? l.reply : NULL;
}


void
steps_drain(steps_t *s)
{
    ngx_uint_t          i;
    ngx_rf_record_t    *rec;
    ngx_rf_zone_log_t   log;

    /* more than one round: what was changed after it was sent, for which the
     * disk is first, and what comes from files */

    for (i = 0; i < 8; i++) {

        if (s->zone.sh->npending == 0) {

            if (s->zone.sh->spilled == 0) {
                break;
            }

            steps_load(s, 1);
        }

        s->flying = ngx_rf_zone_replay_take(&s->zone, 1000, 1 << 30, s->now,
                                            NULL);

        if (s->flying == NULL) {
            rec = ngx_rf_zone_log_take(&s->zone, 1000, 1 << 30,
                                       NGX_RF_LOG_ALL, &log);
            ngx_rf_zone_log_done(&s->zone, rec, NGX_OK, log.generation);
        }

        for (rec = s->flying; rec; rec = rec->next) {
            steps_apply(s, rec);
        }

        steps_end(s, NGX_OK, 0);
    }
}


void
steps_end(steps_t *s, ngx_int_t rc, ngx_uint_t keep)
{
    ngx_rf_record_t  *rec;

    while (s->flying) {
        rec = s->flying;
        s->flying = rec->next;

        ngx_rf_zone_replay_done(&s->zone, rec, rc, keep, s->now);
        free(rec);
    }
}


/* as the scripts that Redis is sent */

void
steps_apply(steps_t *s, ngx_rf_record_t *rec)
{
    ngx_str_t         argv[STEPS_ARGS];
    ngx_uint_t        i, n;
    ngx_rf_change_t  *c;

    if (rec->version == 0) {
        return;
    }

    if (rec->pending == NGX_RF_REPLACE) {
        steps_apply_value(s, rec);
        return;
    }

    for (i = 0; i < s->nmarkers; i++) {
        if (s->markers[i] == rec->id) {
            return;
        }
    }

    if (rec->id == 0 || s->nmarkers == STEPS_MARKERS) {
        steps_wrong(s, "%.*s: a delta without an id", (int) rec->key.len,
                    rec->key.data);
        return;
    }

    s->markers[s->nmarkers++] = rec->id;

    n = rec->nsent ? ngx_min(rec->nsent, rec->nchanges) : rec->nchanges;

    for (i = 0; i < n; i++) {
        c = &rec->changes[i];

        if (c->argc + 1 > STEPS_ARGS) {
            continue;
        }

        argv[0] = c->argv[0];
        argv[1] = rec->key;
        ngx_memcpy(&argv[2], &c->argv[1], (c->argc - 1) * sizeof(ngx_str_t));

        (void) steps_exec(s, &s->redis, c->argc + 1, argv);
    }
}


static void
steps_apply_value(steps_t *s, ngx_rf_record_t *rec)
{
    ngx_str_t    arg[2];
    ngx_uint_t   i, n;
    u_char       text[NGX_INT64_LEN];

    static const char  *verbs[] = { NULL, "SET", "HSET", "RPUSH", "SADD",
                                    "ZADD" };

    steps_apply_one(s, "DEL", &rec->key, NULL, 0);

    if (rec->type == NGX_RF_NONE) {
        return;
    }

    n = (rec->type == NGX_RF_HASH || rec->type == NGX_RF_ZSET) ? 2 : 1;

    for (i = 0; i + n <= rec->nvalues; i += n) {
        arg[0] = rec->values[i];

        if (n == 2) {
            arg[1] = rec->values[i + 1];
        }

        if (rec->type == NGX_RF_ZSET) {
            arg[0] = rec->values[i + 1];
            arg[1] = rec->values[i];
        }

        steps_apply_one(s, verbs[rec->type], &rec->key, arg, n);
    }

    if (rec->expire) {
        arg[0].data = text;
        arg[0].len = ngx_sprintf(text, "%L", rec->expire) - text;
        steps_apply_one(s, "PEXPIREAT", &rec->key, arg, 1);
    }
}


static void
steps_apply_one(steps_t *s, const char *verb, ngx_str_t *key, ngx_str_t *arg,
    ngx_uint_t n)
{
    ngx_str_t  argv[4];

    argv[0].data = (u_char *) verb;
    argv[0].len = ngx_strlen(verb);
    argv[1] = *key;

    if (n) {
        ngx_memcpy(&argv[2], arg, n * sizeof(ngx_str_t));
    }

    (void) steps_exec(s, &s->redis, n + 2, argv);
}


/* a file is there from now on, or it goes; takes the record */

void
steps_file(steps_t *s, ngx_rf_record_t *rec)
{
    ngx_rf_record_t  *old, **p;

    for (p = &s->files; *p; p = &(*p)->next) {
        old = *p;

        if (old->key.len == rec->key.len
            && ngx_memcmp(old->key.data, rec->key.data, rec->key.len) == 0)
        {
            *p = old->next;
            free(old);
            break;
        }
    }

    if (rec->remove) {
        free(rec);
        return;
    }

    rec->next = s->files;
    s->files = rec;
}


static void
steps_load_key(steps_t *s, ngx_str_t *key)
{
    ngx_rf_record_t  *rec;

    for (rec = s->files; rec; rec = rec->next) {

        if (rec->key.len == key->len
            && ngx_memcmp(rec->key.data, key->data, key->len) == 0)
        {
            (void) ngx_rf_zone_load(&s->zone, rec, s->zone.sh->seq,
                                    s->zone.sh->spilled != 0, s->now);
        }
    }
}


void
steps_load(steps_t *s, ngx_uint_t spilled)
{
    uint64_t          seq;
    ngx_int_t         rc;
    ngx_rf_record_t  *rec;

    for (rec = s->files; rec; rec = rec->next) {
        seq = s->zone.sh->seq;
        rc = ngx_rf_zone_load(&s->zone, rec, seq, spilled, s->now);

        if (rc != NGX_OK) {
            s->rc = rc;
        }
    }
}
