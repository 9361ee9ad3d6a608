/* the replay, and what is restored in a Redis that has lost it */

#include "zone_bed.h"


RF_UNIT(zone_replay)
{
    zt_t             *t;
    uint64_t          id;
    ngx_str_t         key = ngx_string("n");
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "INCRBY n 5", ":5");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id && rec->nsent == 1, "a delta with an id");
    id = rec->id;

    is_int(zt_exec(t, "INCR n"), NGX_RF_NEED_WAIT, "a flying key waits");
    is_int(t->l.need, 1, "which");
    is_reply(t, "GET n", "5");

    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    free(rec);

    is_reply(t, "INCRBY n 7", ":12");
    is_reply(t, "INCRBY n 1", ":13");
    is_int(zt_entry(t, "n")->work->nchanges, 2,
           "what may have been sent is frozen");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec->id == id && rec->nsent == 1, "the same part under the same id");
    is_text(&rec->changes[0].argv[1], "5", "namely this");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    free(rec);

    is_int(t->zone.sh->npending, 1, "the rest is still pending");
    is_reply(t, "GET n", "13");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec->id && rec->id != id && rec->nsent == 1, "under another id");
    is_text(&rec->changes[0].argv[1], "8", "summed up");

    ngx_rf_zone_replay_reset(&t->zone);
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    is_int(t->zone.sh->npending, 1, "a reply after the reset says nothing");
    free(rec);

    is_reply(t, "SET n x", "+OK");
    is_int(zt_entry(t, "n")->work->nchanges, 0,
           "a replacement drops the changes");
    is_reply(t, "SET o 1 PX 1000", "+OK");
    is_reply(t, "DEL p", ":0");
    ngx_rf_zone_replay_hurry(&t->zone, &key);
    t->later = 2000;
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000,
                                  ngx_rf_now() + t->later, NULL);
    is_text(&rec->key, "n", "the one in a hurry");
    is_text(&rec->next->key, "p", "then in order of change");
    is_text(&rec->next->next->key, "o", "what expired changed last");
    is_int(rec->next->next->type, NGX_RF_NONE, "to a tombstone");

    ngx_rf_zone_replay_done(&t->zone, rec, NGX_DECLINED, 0, ngx_rf_now());
    ok(zt_entry(t, "n") == NULL, "set aside: forgotten");
    ngx_rf_zone_replay_done(&t->zone, rec->next, NGX_OK, 1, ngx_rf_now());
    ok(zt_entry(t, "p") == NULL, "an acknowledged tombstone: forgotten");
    ngx_rf_zone_replay_done(&t->zone, rec->next->next, NGX_OK, 0,
                            ngx_rf_now());
    is_int(t->zone.sh->npending, 0, "nothing is pending");
    zt_free(rec);

    is_int(t->zone.sh->nunlogged + t->zone.sh->ndirty, 0, "nor dirty");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_restore)
{
    zt_t             *t;
    ngx_uint_t        restored, i;
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 0);

    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET b 2", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET c 3 PX 1000", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET d 4", "OK", -3, t->zone.sh->seq);

    t->zone.sh->run++;
    t->zone.sh->restore = 1;
    t->later = 2000;
    t->scope = NGX_RF_SCOPE_PENDING;

    zt_learn(t, "SET e 5", "OK", -3, t->zone.sh->seq);

    is_reply(t, "GET a", "1");
    is_reply(t, "INCR d", ":5");
    is_int(zt_entry(t, "d")->pending, NGX_RF_REPLACE,
           "Redis has lost what the change would add to");
    is_int(zt_entry(t, "d")->work->base, NGX_RF_BASE_ABSENT, "which is absent");
    is_reply(t, "GET e", "NEED_REDIS");
    is_reply(t, "GET c", "NEED_REDIS");
    is_reply(t, "MGET a e", "NEED_WAIT");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now() + 2000,
                                  &restored);
    is_int(restored, 2, "two are restored");
    is_text(&rec->key, "d", "after what is pending");

    for (i = 0; i < 3; i++) {
        is_int(rec->base, NGX_RF_BASE_ABSENT, "if Redis has none");
        is_int(rec->version == 0, i > 0, "its version");
        ngx_rf_zone_replay_done(&t->zone, rec, i == 1 ? NGX_AGAIN : NGX_OK, 1,
                                ngx_rf_now());
        rec = rec->next;
    }

    is_int(t->zone.sh->restore, 1, "one is left");
    is_int(ngx_rf_mode_set(&t->zone, 0, NGX_RF_RECOVERING), NGX_OK,
           "recovering");
    ngx_rf_mode_get(&t->zone, &i);
    is_int(ngx_rf_mode_finish(&t->zone, i), NGX_AGAIN, "still");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now() + 2000,
                                  &restored);
    is_int(restored, 1, "one more");
    is_int(zt_exec(t, "SET a x"), rec->key.data[0] == 'a' ? NGX_RF_NEED_WAIT
                                                           : NGX_RF_NEED_REDIS,
           "flying or restored");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_DECLINED, 0, ngx_rf_now());
    ok(ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), &restored)
       == NULL, "no more");
    is_int(t->zone.sh->restore, 0, "done");
    is_int(ngx_rf_mode_finish(&t->zone, i), NGX_OK, "normal");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* Redis came back empty, and the connection broke while it was written to: what
 * was on its way is restored all the same, changes to it, too, that were made
 * before that or after. */

RF_UNIT(zone_restore_goes_on)
{
    zt_t             *t;
    ngx_uint_t        i, restored;
    ngx_rf_record_t  *rec;

    for (i = 0; i < 2; i++) {
        t = zt_start(pool, log, 1 << 20, 0);

        zt_learn(t, "SET n 10", "OK", -3, t->zone.sh->seq);
        is_reply(t, "INCR n", ":11");

        t->zone.sh->run = 1;
        t->zone.sh->restore = 1;

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                      &restored);
        ok(rec != NULL && rec->restore && rec->nsent == 1, "its value, too");
        ngx_rf_zone_replay_reset(&t->zone);
        zt_free(rec);

        if (i) {
            is_reply(t, "INCR n", ":12");
        }

        is_int(t->zone.sh->restore, 1, "that was not all");

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                      &restored);
        ok(rec != NULL && rec->restore, "again");
        is_int(rec->nsent, 1, "what may have been sent");

        if (i) {

            /* Redis has nothing of it */

            ngx_rf_zone_replay_done(&t->zone, rec, NGX_BUSY, 0, ngx_rf_now());
            zt_free(rec);

            rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                          &restored);
            ok(rec != NULL && rec->restore && rec->nsent == 2, "all of it");
        }

        ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 1, ngx_rf_now());
        zt_free(rec);

        is_int(t->zone.sh->npending, 0, "done");
        ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), &restored)
           == NULL, "nothing is left");
        is_int(t->zone.sh->restore, 0, "of anything");
    }
}


/* the zone is replaced while what Redis has lost is being written back: old
 * workers do not change that any more, and the new ones go on with it */

RF_UNIT(zone_restore_in_another_zone)
{
    zt_t             *t, *to;
    ngx_uint_t        i;
    ngx_rf_record_t  *rec, *left, *next;

    t = zt_start(pool, log, 1 << 20, 0);
    to = zt_start(pool, log, 2 << 20, 0);

    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    zt_learn(t, "SET b 2", "OK", -3, t->zone.sh->seq);

    t->zone.sh->mode = NGX_RF_RECOVERING;
    t->zone.sh->run = 1;
    t->zone.sh->restore = 1;

    /* these may change in Redis */

    zt_learn(t, "SET c 3", "OK", -3, t->zone.sh->seq);

    rec = ngx_rf_zone_replay_take(&t->zone, 1, 1000, ngx_rf_now(), NULL);
    ok(rec != NULL && rec->version == 0, "one is on its way");
    zt_free(rec);

    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &left), 0, "it fits");
    is_int(to->zone.sh->entries, 2, "what was not written back for sure");

    to->scope = NGX_RF_SCOPE_PENDING;
    is_reply(to, "MGET a b", "[1 2]");
    is_reply(to, "GET c", "NEED_REDIS");

    rec = ngx_rf_zone_replay_take(&to->zone, 9, 1000, ngx_rf_now(), NULL);

    for (i = 0, next = rec; next; next = next->next) {
        i++;
        ngx_rf_zone_replay_done(&to->zone, next, NGX_OK, 1, ngx_rf_now());
    }

    is_int(i, 2, "both");
    zt_free(rec);
    ok(sound_zone(&to->zone, 0), "sound");
}


/* what another instance has of a key is not passed over because that is being
 * written back */

RF_UNIT(zone_restore_while_it_is_read)
{
    zt_t             *t;
    ngx_rf_record_t  *flown, *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    zt_learn(t, "SET a 1", "OK", -3, t->zone.sh->seq);
    t->zone.sh->run = 1;
    t->zone.sh->restore = 1;

    flown = ngx_rf_zone_replay_take(&t->zone, 1, 1000, ngx_rf_now(), NULL);
    ok(flown != NULL, "on its way");

    rec = zt_record(t, "a", "theirs", t->zone.sh->seq + 10);
    rec->changed = ngx_rf_now() + 1000;

    is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                ngx_rf_now()),
           NGX_AGAIN, "later");

    ngx_rf_zone_replay_done(&t->zone, flown, NGX_OK, 1, ngx_rf_now());
    zt_free(flown);

    is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                ngx_rf_now()),
           NGX_OK, "and then it is");
    is_reply(t, "GET a", "theirs");
    is_int(t->zone.sh->npending, 1, "pending");
}


/* what another instance has changed is changed in what is being written back,
 * and does not take its place */

RF_UNIT(zone_restore_and_changes_of_another)
{
    zt_t              *t;
    ngx_str_t          argv[2];
    ngx_uint_t         i;
    ngx_rf_change_t    change;
    ngx_rf_record_t   *rec, *got;
    ngx_rf_zone_sh_t  *sh;

    static const char  *known[] = { "SET a 100", "INCR a" };

    ngx_str_set(&argv[0], "INCRBY");
    ngx_str_set(&argv[1], "1");
    change.argc = 2;
    change.argv = argv;

    for (i = 0; i < 2; i++) {
        t = zt_start(pool, log, 1 << 20, 1);
        sh = t->zone.sh;

        zt_learn(t, known[0], "OK", -3, sh->seq);

        if (i) {
            zt_learn(t, known[1], ":101", -3, sh->seq);
        }

        sh->run = 1;
        sh->restore = 1;

        rec = zt_record(t, "a", "1", sh->seq + 10);
        rec->changed = ngx_rf_now() + (i ? -1000 : 1000);
        rec->pending = NGX_RF_DELTA;
        rec->id = 7;
        rec->nchanges = 1;
        rec->nsent = 1;
        rec->changes = &change;

        is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                    ngx_rf_now()),
               NGX_BUSY, "to be merged");
        is_reply(t, "GET a", i ? "101" : "100");
        is_int(zt_entry(t, "a")->work->base, NGX_RF_BASE_ABSENT,
               "Redis has none");
        is_int(ngx_rf_zone_log_load(&t->zone, rec, (uint64_t) -1, 1,
                                    ngx_rf_now()),
               NGX_BUSY, "once more");
        is_int(ngx_rf_zone_adopt(&t->zone, rec), NGX_OK, "merged");

        got = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
        is_int(got->pending, NGX_RF_DELTA, "changes");
        is_int(got->nchanges, 3, "three");
        is_text(&got->changes[1].argv[0], "set", "the value");
        is_str(&got->changes[1].argv[1], i ? "101" : "100", 3, "%s",
               "what it was");
        is_text(&got->changes[2].argv[0], "INCRBY", "and what is new");

        ngx_rf_zone_replay_done(&t->zone, got, NGX_OK, 0, ngx_rf_now());
        zt_free(got);
        is_int(sh->npending, 0, "done");
        ok(sound_zone(&t->zone, 0), "sound");
        free(rec);
    }
}


/* What Redis may have got from here is not somebody else's: a digest of what it
 * held before, or that it held nothing, says nothing then. */

RF_UNIT(zone_base_of_what_was_sent)
{
    zt_t             *t, *to;
    ngx_rf_record_t  *rec, *left;

    t = zt_start(pool, log, 1 << 20, 0);
    t->zone.digests = 1;

    /* restored, and nobody knows whether it was */

    zt_learn(t, "SET r 1", "OK", -3, t->zone.sh->seq);
    t->zone.sh->run = 1;
    t->zone.sh->restore = 1;

    rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
    ok(rec != NULL && rec->version == 0, "on its way");
    ngx_rf_zone_replay_reset(&t->zone);
    zt_free(rec);

    is_reply(t, "SET r 2", "+OK");
    is_int(zt_entry(t, "r")->work->base, NGX_RF_BASE_UNKNOWN,
           "it may be there");

    /* another write to it was acknowledged while it was on its way */

    zt_learn(t, "SET l 1", "OK", -3, t->zone.sh->seq);
    is_reply(t, "SET l 2", "+OK");
    is_int(zt_entry(t, "l")->work->base, NGX_RF_BASE_KNOWN, "known");

    rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
    zt_learn(t, "APPEND l x", ":2", -3, t->zone.sh->seq);
    is_int(zt_entry(t, "l")->work->late, 1, "late");
    ngx_rf_zone_replay_reset(&t->zone);
    zt_free(rec);

    is_int(zt_entry(t, "l")->work->base, NGX_RF_BASE_UNKNOWN,
           "not any more");

    /* a reload to another size, and then one more change */

    zt_learn(t, "SET c 1", "OK", -3, t->zone.sh->seq);
    is_reply(t, "SET c 2", "+OK");
    rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
    zt_free(rec);

    to = zt_start(pool, log, 2 << 20, 0);
    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &left), 0, "it fits");
    is_int(zt_entry(to, "c")->work->base, NGX_RF_BASE_KNOWN, "or was not");
    is_reply(to, "SET c 3", "+OK");
    is_int(zt_entry(to, "c")->work->base, NGX_RF_BASE_UNKNOWN,
           "Redis may hold the one before");
}
