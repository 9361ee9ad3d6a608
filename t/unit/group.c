/*
 * Groups: what one transaction has changed is taken together for the replay,
 * also after changes that were refused, and without keys that went away.
 */

#include "exec.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_command.h"
#include "sound.h"


#define GROUP_PARTS  (2 * NGX_RF_ZONE_GROUP)


static ngx_int_t group_all(exec_t *e, ngx_uint_t n, const char **lines);
static ngx_uint_t group_taken(exec_t *e, ngx_uint_t n);
static void group_journal(exec_t *e);
static void group_replay(exec_t *e, ngx_int_t rc);


RF_UNIT(group_is_taken_together)
{
    exec_t  e;

    static const char  *three[] = { "INCR a", "RPUSH b x", "SADD c x" };
    static const char  *more[] = { "INCR c", "INCR a", "INCR d" };
    static const char  *chain[] = { "INCR a", "INCR d" };

    exec_init(&e, pool, log, 1024 * 1024);

    is_int(group_all(&e, 3, three), NGX_OK, "a transaction");
    exec_is(&e, "INCR e", "1");
    is_int(group_taken(&e, 1), 3, "one is asked for: it comes with its group");
    is_int(group_taken(&e, 10), 3, "and again, and nobody else with it");

    is_int(group_all(&e, 3, more), NGX_OK, "one command of it fails");
    is_int(group_all(&e, 2, chain), NGX_OK, "another one");
    is_int(group_taken(&e, 10), 4, "they have a key in common");
    ok(sound_zone(e.zone, 0), "the zone is in order");
}


RF_UNIT(group_loses_what_is_renamed)
{
    exec_t  e;

    static const char  *three[] = { "INCR a", "RPUSH b x", "SADD c x" };

    exec_init(&e, pool, log, 1024 * 1024);

    is_int(group_all(&e, 3, three), NGX_OK, "a transaction");

    exec_is(&e, "RENAME a g", "OK");
    ok(sound_zone(e.zone, 0), "a string was renamed");

    exec_is(&e, "INCR a", "1");
    is_int(group_taken(&e, 10), 2, "what comes anew is not of the group");
}


RF_UNIT(group_loses_what_a_transaction_renames)
{
    exec_t  e;

    static const char  *three[] = { "INCR a", "RPUSH b x", "SADD c x" };
    static const char  *refused[] = { "RENAME b d", "SETBIT b 1 1" };
    static const char  *renamed[] = { "RENAME b d", "INCR f" };

    exec_init(&e, pool, log, 1024 * 1024);

    is_int(group_all(&e, 3, three), NGX_OK, "a transaction");
    is_int(group_all(&e, 2, refused), NGX_RF_NEED_REDIS, "one that is refused");
    ok(sound_zone(e.zone, 0), "the zone is in order");

    is_int(group_all(&e, 2, renamed), NGX_OK, "and one that is not");
    ok(sound_zone(e.zone, 0), "the zone is in order");

    exec_is(&e, "RPUSH b y", "1");
    is_int(group_taken(&e, 10), 4, "two groups, and one of neither");
}


/* its replay is still one */

RF_UNIT(group_outlives_what_is_refused)
{
    exec_t  e;

    static const char  *three[] = { "INCR a", "RPUSH b x", "SADD c x" };
    static const char  *refused[] = { "RENAME b d", "SETBIT b 1 1" };

    exec_init(&e, pool, log, 1024 * 1024);

    is_int(group_all(&e, 3, three), NGX_OK, "a transaction");
    is_int(group_all(&e, 2, refused), NGX_RF_NEED_REDIS, "one that is refused");
    is_int(group_taken(&e, 1), 3, "has not taken the group apart");
}


/* One key of it waits until the disk has it under its second id.  So does the
 * group, whoever comes first in the list: a part of it would go alone, or under
 * an id that a start would give once more. */

RF_UNIT(group_waits_for_the_disk)
{
    exec_t      e;
    ngx_uint_t  i;

    static const char  *groups[][3] = {
        { "INCR a", "INCR b", "RPUSH c x" },
        { "INCR b", "RPUSH c x", "INCR a" },
        { "RPUSH c x", "INCR a", "INCR b" }
    };

    for (i = 0; i < 3; i++) {
        exec_init(&e, pool, log, 1024 * 1024);

        e.zone->files = 1;
        e.zone->sh->files = 1;
        e.zone->sh->files_ready = 1;

        /* the first part is sent, and nobody knows what became of it; with the
         * rest it is sent once more */

        exec_is(&e, "INCR a", "1");
        group_journal(&e);
        group_replay(&e, NGX_AGAIN);
        exec_is(&e, "INCR a", "2");
        group_journal(&e);
        group_replay(&e, NGX_OK);
        is_int(e.zone->sh->npending, 1, "the rest is pending");

        is_int(group_all(&e, 3, groups[i]), NGX_OK, "a transaction");
        exec_is(&e, "INCR d", "1");
        is_int(e.zone->sh->npending, 4, "four keys");

        is_int(group_taken(&e, 10), 0, "none of the group is sent");
        is_int(e.zone->sh->npending, 4, "all are pending");
        group_replay(&e, NGX_OK);
        is_int(e.zone->sh->npending, 3, "one of no group is");
        ok(sound_zone(e.zone, 0), "the zone is in order");

        group_journal(&e);
        is_int(group_taken(&e, 1), 3, "the disk has it: all of the group");
        group_replay(&e, NGX_OK);
        is_int(e.zone->sh->npending, 0, "nothing is left");
        ok(sound_zone(e.zone, 0), "the zone is in order");
    }
}


RF_UNIT(group_has_an_end)
{
    char         text[GROUP_PARTS][16];
    exec_t       e;
    ngx_uint_t   i;
    const char  *lines[GROUP_PARTS];

    exec_init(&e, pool, log, 1024 * 1024);

    for (i = 0; i < GROUP_PARTS; i++) {
        sprintf(text[i], "INCR k%u", (unsigned) i);
        lines[i] = text[i];
    }

    is_int(group_all(&e, GROUP_PARTS, lines), NGX_OK, "many keys");
    ok(sound_zone(e.zone, 0), "the zone is in order");
    is_int(group_taken(&e, 1), NGX_RF_ZONE_GROUP, "as many as may be");
}


static ngx_int_t
group_all(exec_t *e, ngx_uint_t n, const char **lines)
{
    char                 *line, *p;
    ngx_str_t             argv[3 * GROUP_PARTS];
    ngx_uint_t            i, argc;
    ngx_rf_local_t        l;
    ngx_rf_local_part_t   parts[GROUP_PARTS];

    argc = 0;

    for (i = 0; i < n; i++) {
        parts[i].first = argc;

        line = ngx_pnalloc(e->pool, strlen(lines[i]) + 1);
        strcpy(line, lines[i]);

        for ( /* void */ ; line != NULL; argc++, line = p) {
            p = strchr(line, ' ');

            argv[argc].data = (u_char *) line;
            argv[argc].len = p ? (size_t) (p - line) : strlen(line);

            p = p ? p + 1 : NULL;
        }

        parts[i].argc = argc - parts[i].first;
        parts[i].command = ngx_rf_command_find(&argv[parts[i].first]);
    }

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = e->zone;
    l.pool = e->pool;
    l.now = ngx_rf_now();
    l.scope = NGX_RF_SCOPE_ANY;
    l.command = parts[0].command;
    l.argc = argc;
    l.argv = argv;

    return ngx_rf_local_exec_all(&l, parts, n);
}


/* of the first n to be replayed, those in a group: they stay pending */

static ngx_uint_t
group_taken(exec_t *e, ngx_uint_t n)
{
    ngx_uint_t        taken;
    ngx_rf_record_t  *list, *rec;

    list = ngx_rf_zone_replay_take(e->zone, n, 1 << 20, ngx_rf_now(), NULL);
    taken = 0;

    while (list) {
        rec = list;
        list = rec->next;

        taken += (rec->group != 0);
        free(rec);
    }

    ngx_rf_zone_replay_reset(e->zone);

    return taken;
}


static void
group_journal(exec_t *e)
{
    ngx_rf_record_t    *list;
    ngx_rf_zone_log_t   log;

    list = ngx_rf_zone_log_take(e->zone, 1000, 1 << 20, 1, &log);
    ngx_rf_zone_log_done(e->zone, list, NGX_OK, log.generation);
}


/* all that may be sent meets that end */

static void
group_replay(exec_t *e, ngx_int_t rc)
{
    ngx_rf_record_t  *list, *rec;

    list = ngx_rf_zone_replay_take(e->zone, 1000, 1 << 20, ngx_rf_now(), NULL);

    while (list) {
        rec = list;
        list = rec->next;

        ngx_rf_zone_replay_done(e->zone, rec, rc, 1, ngx_rf_now());
        ngx_rf_codec_free(rec);
    }
}
