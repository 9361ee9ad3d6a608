/* what a zone has for the journal: lines, acknowledgements, generations */

#include "zone_bed.h"


/* a full journal: what is done with is for it, and what is pending is not */

RF_UNIT(zone_takes_acknowledgements_alone)
{
    zt_t               *t;
    ngx_str_t           key = ngx_string("a");
    ngx_rf_record_t    *rec;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   batch;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has it");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis, too");
    is_reply(t, "SET b 1", "+OK");
    is_int(sh->nunlogged, 2, "the journal is to know of both");
    is_int(sh->nunacked, 1, "of one that it is done with");
    is_int(ngx_rf_zone_unsaved(&t->zone), 1, "and one is not saved");

    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000,
                               NGX_RF_LOG_ALL|NGX_RF_LOG_ACKS, &batch);
    ok(rec && rec->remove && rec->next == NULL && rec->key.data[0] == 'a',
       "that alone");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, batch.generation);
    is_int(sh->nunlogged, 1, "the other is left");
    ok(ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ACKS, &batch)
       == NULL, "and nothing for it");
    ok(sound_zone(&t->zone, 0), "sound");

    /* one that a change has made pending is not among them */

    is_reply(t, "SET a 2", "+OK");
    is_int(zt_log(t, NGX_OK), 2, "the journal has both");
    is_int(zt_replay(t, NGX_OK, 2), 2, "and Redis");
    is_int(sh->nunacked, 2, "which it is to know");
    is_reply(t, "SET a 3", "+OK");
    is_int(sh->nunacked, 1, "but not of what has changed");
    ok(sound_zone(&t->zone, 0), "sound");

    /* the mark has made garbage of the lines before a batch: while that is
     * under way nobody knows what the journal has */

    sh->mark = sh->seq;
    is_reply(t, "SET a 4", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    ok(rec != NULL, "a batch is under way");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it before");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the journal may have it");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_ERROR, batch.generation);
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "also when that has failed");
    zt_log(t, NGX_OK);
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "until it is told");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* a mark that was decided on before a key changed, and written after a batch
 * had it: it says nothing of that batch */

RF_UNIT(zone_mark_in_a_batch)
{
    zt_t               *t;
    uint64_t            mark;
    ngx_str_t           key = ngx_string("a");
    ngx_rf_record_t    *rec, *late;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   batch;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has it");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis, too");
    mark = sh->seq++;

    is_reply(t, "SET a 2", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    ok(rec != NULL, "a batch is under way");
    sh->mark = mark;
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it before");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the journal may have it");
    is_int(zt_entry(t, "a")->work->where, NGX_RF_DISK_UNACKED,
           "and is to know better");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, batch.generation);
    is_int(zt_log(t, NGX_OK), 1, "which it is told");
    is_int(sh->nunlogged, 0, "all of it");

    /* a batch of before comes home in between */

    is_reply(t, "SET a 3", "+OK");
    late = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it");
    sh->mark = sh->seq++;
    is_reply(t, "SET a 4", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &batch);
    ok(late != NULL && rec != NULL, "two batches");
    ngx_rf_zone_log_done(&t->zone, late, NGX_OK, batch.generation);
    is_int(zt_replay(t, NGX_OK, 1), 1, "and Redis");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the journal may have it");
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, batch.generation);
    ok(sound_zone(&t->zone, 0), "sound");
}


/* what left memory for its file may have lines in the journal */

RF_UNIT(zone_lines_of_a_spilled_key)
{
    zt_t              *t;
    char               line[4096], big[1000];
    ngx_uint_t         i;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = 1;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_flush(t, NGX_OK), 1, "in the journal, and in a file");

    memset(big, 'x', sizeof(big));

    for (i = 0; zt_entry(t, "a") && i < 2000; i++) {
        sprintf(line, "SET b%d %.*s", (int) i, (int) sizeof(big), big);
        zt_exec(t, line);
    }

    ok(zt_entry(t, "a") == NULL && sh->spilled == 1, "it has left memory");
    zt_flush(t, NGX_OK);

    rec = zt_record(t, "a", "1", sh->seq);
    is_int(ngx_rf_zone_load(&t->zone, rec, sh->seq, 1, ngx_rf_now()), NGX_OK,
           "and is back");
    zt_free(rec);

    sh->disk_failed = NGX_ENOSPC;
    zt_replay(t, NGX_OK, 1);

    while ((rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1 << 20)) != NULL) {
        ok(rec->key.data[0] != 'a', "its file stays: its line may be older");
        rec->status = NGX_OK;
        ngx_rf_zone_dirty_done(&t->zone, rec);
    }

    /* the mark says it of all at once */

    sh->mark = sh->seq;
    sh->disk_failed = 0;
    (void) ngx_rf_zone_log_take(&t->zone, 1000, 1 << 20, NGX_RF_LOG_ALL,
                                &(ngx_rf_zone_log_t) { 0 });
    is_int(sh->nunlogged, 0, "after which there is nothing to be told");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* What came while a part was on its way has an id of its own.  After a crash
 * that is made anew from what the disk has, for whatever came next: so it is
 * not used before the disk has it. */

RF_UNIT(zone_second_id_is_on_disk_first)
{
    zt_t              *t, *to;
    uint64_t           first, second;
    ngx_rf_record_t   *rec, *none;
    ngx_rf_zone_sh_t  *sh;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = 1;

    is_reply(t, "INCR a", ":1");
    is_int(zt_log(t, NGX_OK), 1, "the journal has it");
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    first = rec->id;

    /* whether Redis has got it is not known */

    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    zt_free(rec);
    is_reply(t, "INCR a", ":2");
    is_int(zt_log(t, NGX_OK), 1, "and the next, under the same id");
    is_int(zt_entry(t, "a")->work->id, first, "so it is");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    is_int(rec->nsent, 1, "a part is sent");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    zt_free(rec);
    second = zt_entry(t, "a")->work->id;
    ok(second != first, "the rest has another id");
    ok(ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL) == NULL,
       "which the disk is to know first");

    /* another key does not wait for that */

    is_reply(t, "INCR b", ":1");
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->key.data[0] == 'b' && rec->next == NULL, "others go on");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    zt_free(rec);

    /* nor is it forgotten by a new zone */

    to = zt_start(pool, log, 2 << 20, 1);
    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &none), 0, "all fits");
    to->zone.sh->files_ready = 1;
    ok(ngx_rf_zone_replay_take(&to->zone, 10, 1000, ngx_rf_now(), NULL) == NULL,
       "neither by another zone");
    sh->superseded = 0;

    /* a disk that takes nothing: it ends nevertheless */

    sh->disk_failed = NGX_ENOSPC;
    sh->files_failed = NGX_ENOSPC;
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id == second, "a failing disk is not waited for");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    zt_free(rec);
    sh->disk_failed = 0;
    sh->files_failed = 0;
    zt_entry(t, "a")->work->nsent = 0;

    ok(zt_log(t, NGX_OK) >= 1, "the journal has it");
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id == second, "and Redis may");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 0, ngx_rf_now());
    zt_free(rec);
    is_int(sh->npending, 0, "nothing is left");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* Redis lost its data after it had got a part of what is pending: all goes
 * under the id, and the disk has some of it as yet to be sent, under the next.
 * So the disk is to know first here, too. */

RF_UNIT(zone_restored_changes_are_on_disk_first)
{
    zt_t               *t;
    uint64_t            id;
    ngx_uint_t          i;
    ngx_rf_record_t    *rec, *old;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   log_old;

    for (i = 0; i < 3; i++) {
        t = zt_start(pool, log, 1 << 20, 1);
        sh = t->zone.sh;
        sh->files_ready = 1;

        zt_learn(t, "SET n 10", "OK", -3, sh->seq);
        is_reply(t, "INCR n", ":11");
        is_int(zt_log(t, NGX_OK), 1, "the journal has it");

        /* sent, and the connection breaks; then one more */

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
        id = rec->id;
        ngx_rf_zone_replay_reset(&t->zone);
        zt_free(rec);

        is_reply(t, "INCR n", ":12");

        old = ngx_rf_zone_log_take(&t->zone, 9, 1000, 1, &log_old);
        is_int(old->id, id, "under the same id");
        is_int(old->nsent, 1, "of which a part was sent");
        is_int(old->nchanges, 2, "and the rest was not");

        if (i != 1) {
            ngx_rf_zone_log_done(&t->zone, old, NGX_OK, log_old.generation);
        }

        /* Redis is empty */

        sh->run = 1;
        sh->restore = 1;

        ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL)
           == NULL, "not before the disk knows");

        if (i == 1) {
            ngx_rf_zone_log_done(&t->zone, old, NGX_OK, log_old.generation);
            ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL)
               == NULL, "which a batch of before does not say");
        }

        if (i == 2) {
            is_reply(t, "INCR n", ":13");
        }

        rec = ngx_rf_zone_log_take(&t->zone, 9, 1000, 1, &log_old);
        ok(rec && rec->id == id && rec->nsent == 2, "all of it");
        is_int(rec->nchanges, i == 2 ? 3 : 2, "but what came since");
        ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, log_old.generation);

        rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL);
        ok(rec && rec->restore && rec->id == id, "now it goes");
        is_int(rec->nsent, 2, "as the disk has it");

        if (i == 2) {

            /* Redis has nothing of it: again all of it */

            ngx_rf_zone_replay_done(&t->zone, rec, NGX_BUSY, 0, ngx_rf_now());
            zt_free(rec);
            ok(ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(), NULL)
               == NULL, "the disk is first");
            is_int(zt_log(t, NGX_OK), 1, "it knows");
            rec = ngx_rf_zone_replay_take(&t->zone, 9, 1000, ngx_rf_now(),
                                          NULL);
            ok(rec && rec->nsent == 3, "now all of it");
        }

        ngx_rf_zone_replay_done(&t->zone, rec, NGX_OK, 1, ngx_rf_now());
        zt_free(rec);
        is_int(sh->npending, 0, "nothing is left");
        ok(sound_zone(&t->zone, 0), "sound");
    }
}


/* nor does a merged key's file go before the other's lines are done with */

RF_UNIT(zone_lines_of_another)
{
    zt_t              *t;
    ngx_rf_record_t   *rec;
    ngx_rf_zone_sh_t  *sh;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = 1;
    sh->disk_failed = NGX_ENOSPC;

    is_reply(t, "SET a 2", "+OK");

    rec = zt_record(t, "a", "1", ++sh->seq);
    rec->changed = 1;
    is_int(ngx_rf_zone_adopt(&t->zone, rec), NGX_OK, "another has changed it");
    zt_free(rec);

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && !rec->remove, "a file has both");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);

    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has both");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "the file stays: the other's line is older");

    sh->disk_failed = 0;
    is_int(zt_log(t, NGX_OK), 1, "the journal knows");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove, "then it goes");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(sh->nunlogged + sh->ndirty, 0, "nothing is left to be done");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* A generation is ending while the zone is replaced, or the journal is read
 * once more: what has lines only there is written once more before they go. */

RF_UNIT(zone_generation_ends_in_another_zone)
{
    zt_t               *t, *to;
    ngx_uint_t          at, left;
    ngx_rf_record_t    *rec;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   old, new, end;

    t = zt_start(pool, log, 1 << 20, 1);
    to = zt_start(pool, log, 2 << 20, 1);
    sh = to->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &old);
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, old.generation);

    ngx_rf_zone_turn(&t->zone);
    is_reply(t, "SET b 1", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &new);
    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, new.generation);

    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &rec), 0, "all fits");

    ngx_rf_zone_turn(&to->zone);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_AGAIN, "something is needed");
    is_int(zt_entry(to, "a")->work->where, NGX_RF_DISK_UNLOGGED,
           "what the old generation has");
    ok(zt_entry(to, "b")->work->where == NGX_RF_DISK_UNLOGGED
       || new.number >= sh->turn, "and the new one, unless that stays");
    zt_log(to, NGX_OK);

    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_DONE, "nothing any more");
    ok(end.base > old.number, "the old segment goes");
    ngx_rf_zone_turned(&to->zone, end.base);
    ok(sound_zone(&to->zone, 0), "sound");

    /* read while the next one ends: nobody knows which of them had it */

    ngx_rf_zone_turn(&to->zone);
    rec = zt_record(to, "c", "1", ++sh->seq);
    is_int(ngx_rf_zone_log_load(&to->zone, rec, sh->seq, 0, ngx_rf_now()),
           NGX_OK, "a line is read");
    zt_free(rec);

    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_AGAIN, "something is needed");
    is_int(zt_entry(to, "c")->work->where, NGX_RF_DISK_UNLOGGED,
           "what was read, too");
}


/* an old worker's batch is on its way while the new zone's first generation
 * would end: to which of its segments nobody knows */

RF_UNIT(zone_batch_of_an_old_worker)
{
    zt_t               *t, *to;
    ngx_uint_t          at, left;
    ngx_rf_record_t    *rec, *none;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   old, end;

    t = zt_start(pool, log, 1 << 20, 1);
    to = zt_start(pool, log, 2 << 20, 1);
    sh = to->zone.sh;

    is_reply(t, "SET a 1", "+OK");
    rec = ngx_rf_zone_log_take(&t->zone, 10, 1000, NGX_RF_LOG_ALL, &old);
    is_int(ngx_rf_zone_copy(&t->zone, &to->zone, &none), 0, "all fits");

    ngx_rf_zone_turn(&to->zone);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_BUSY, "it is waited for");

    ngx_rf_zone_log_done(&t->zone, rec, NGX_OK, old.generation);
    zt_log(to, NGX_OK);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&to->zone, sh->nbuckets, &at, &left, &end),
           NGX_DONE, "and then it ends");
}
