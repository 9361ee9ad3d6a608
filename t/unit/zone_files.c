/* what a zone has for files, and when they may go */

#include "zone_bed.h"


RF_UNIT(zone_stale)
{
    zt_t        *t;
    char         line[1200], big[1200];
    ngx_uint_t   i, n;

    t = zt_start(pool, log, 1 << 20, 1);
    memset(big, 'x', sizeof(big));

    for (n = 0; ; n++) {
        sprintf(line, "SET p%d %.*s", (int) n, 1000, big);
        if (zt_exec(t, line) != NGX_OK) {
            break;
        }
    }

    zt_flush(t, NGX_OK);
    zt_replay(t, NGX_OK, 1);
    is_int(t->zone.sh->nunlogged, n, "acknowledgements");
    is_int(zt_log(t, NGX_OK), n, "journaled");
    is_int(t->zone.sh->ndirty, n, "files to be removed");
    is_int(zt_exec(t, "GET p1"), NGX_OK, "memory still holds the values");

    for (i = 0; i < n / 2; i++) {
        sprintf(line, "SET q%d %.*s", (int) i, 1000, big);
        if (zt_exec(t, line) != NGX_OK) {
            break;
        }
    }

    is_int(i, n / 2, "new ones find room");
    is_int(t->zone.sh->stat.files, n, "the files are not forgotten");

    t->zone.sh->mark = t->zone.sh->seq;
    zt_flush(t, NGX_OK);

    /* pages of values may stay where another size is short */

    for (i = 0; i < n * 4 / 5; i++) {
        sprintf(line, "SET q%d %.*s", (int) i, 1000, big);
        if (zt_exec(t, line) != NGX_OK) {
            break;
        }
    }

    is_int(i, n * 4 / 5, "and more, now that the files are gone");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_files)
{
    zt_t             *t;
    ngx_str_t         key = ngx_string("a");
    ngx_rf_record_t  *rec, *rec2;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "SET a 1", "+OK");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "not on disk yet");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "the journal comes first");
    is_int(zt_log(t, NGX_ERROR), 1, "which fails");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "not on disk yet");
    is_int(zt_log(t, NGX_OK), 1, "and then does not");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "durable");

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->next == NULL, "one record");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "taken once");
    is_text(&rec->values[0], "1", "its value");

    is_reply(t, "SET a 2", "+OK");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "not while it is written");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "it is not durable");
    is_int(zt_log(t, NGX_OK), 1, "the journal does not wait for files");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "now it is");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->ndirty, 1, "it has changed meanwhile");

    is_int(zt_flush(t, NGX_ERROR), 1, "a batch that fails");
    is_int(t->zone.sh->ndirty, 1, "is to be done again");
    is_int(zt_flush(t, NGX_OK), 1, "and then does not");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "durable");
    is_int(t->zone.sh->stat.files, 1, "one file");

    /* acknowledged while it is written */

    is_reply(t, "SET a 3", "+OK");
    zt_log(t, NGX_OK);
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    is_int(zt_replay(t, NGX_OK, 1), 1, "replayed");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "Redis has it");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "its file stays until the disk knows");
    is_int(zt_log(t, NGX_OK), 1, "which it does");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove, "its file is to be removed");

    /* changed again while its file is removed */

    is_reply(t, "SET a 4", "+OK");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->stat.files, 0, "no file");
    zt_log(t, NGX_OK);
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && !rec->remove, "it is to be written again");

    /* the writer dies */

    zt_entry(t, "a")->work->writer = 999999;
    ngx_rf_zone_reclaim(&t->zone);
    is_int(t->zone.sh->nwriting, 0, "reclaimed");
    is_int(zt_entry(t, "a")->work->where, NGX_RF_DISK_DIRTY, "dirty again");
    ok(zt_entry(t, "a")->work->file_version != 0,
       "and perhaps there is a file");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(zt_entry(t, "a")->work->where, NGX_RF_DISK_DIRTY,
           "a claim that ended says nothing");

    zt_flush(t, NGX_OK);

    /* what memory knows better */

    rec = zt_record(t, "a", "old", 5);
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_DECLINED,
           "memory knows the key as pending");
    zt_replay(t, NGX_OK, 1);
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_DECLINED,
           "memory knows its file as stale");
    zt_flush(t, NGX_OK);
    rec->changed = 5;
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_DECLINED,
           "memory knows that it was acknowledged");
    is_reply(t, "GET a", "4");
    free(rec);

    zt_learn(t, "GET b", "seen", -1, t->zone.sh->seq);
    rec = zt_record(t, "b", "filed", 5);
    rec2 = zt_record(t, "c", "filed", t->zone.sh->seq + 1000);
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_OK,
           "a change of an earlier run is newer than what Redis holds");
    is_int(ngx_rf_zone_load(&t->zone, rec2, t->zone.sh->seq, 1,
                            ngx_rf_now()), NGX_DECLINED,
           "a key that is not spilled");
    t->zone.sh->spilled = 1;
    is_int(ngx_rf_zone_load(&t->zone, rec2, t->zone.sh->seq, 1,
                            ngx_rf_now()), NGX_OK,
           "one that is");
    is_int(t->zone.sh->spilled, 0, "and now is not");
    ok(t->zone.sh->seq >= rec2->version, "versions go on from there");
    is_reply(t, "MGET b c", "[filed filed]");
    is_int(t->zone.sh->ndirty, 0, "their files are up to date");
    free(rec);
    free(rec2);

    rec = zt_record(t, "d", "foreign", 0);
    rec->foreign = 1;
    is_int(ngx_rf_zone_load(&t->zone, rec, t->zone.sh->seq, 0,
                            ngx_rf_now()), NGX_OK,
           "a foreign record");
    is_int(t->zone.sh->nunlogged, 2,
           "is written in our own way, and that \"a\" was acknowledged");
    free(rec);

    ok(sound_zone(&t->zone, 0), "sound");
}


/* what Redis may have taken already is no base, nor is what is in doubt */


RF_UNIT(zone_settled_files)
{
    zt_t             *t;
    uint64_t          seq;
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "SET cold 1", "+OK");
    is_reply(t, "SET hot 1", "+OK");
    is_int(zt_log(t, NGX_OK), 2, "both are journaled");
    seq = t->zone.sh->seq;

    ok(ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, 0) == NULL,
       "both have changed since the beginning");

    is_reply(t, "SET hot 2", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "again");

    rec = ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, seq);
    ok(rec && rec->next == NULL, "one has not changed since");
    is_text(&rec->key, "cold", "which it is");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);

    ok(ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, seq) == NULL,
       "and no other");
    is_int(t->zone.sh->ndirty, 1, "which is dirty yet");

    rec = ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, t->zone.sh->seq);
    ok(rec && rec->next == NULL, "it has not changed since the next look");
    is_text(&rec->values[0], "2", "its value");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->stat.files, 2, "two files");

    is_int(zt_replay(t, NGX_OK, 1), 2, "Redis has both");
    is_int(zt_log(t, NGX_OK), 2, "which the disk is told");
    rec = ngx_rf_zone_dirty_settled(&t->zone, 10, 1000, 0);
    ok(rec && rec->remove && rec->next && rec->next->remove,
       "files that are to go need not wait");
    rec->status = NGX_OK;
    rec->next->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(t->zone.sh->stat.files, 0, "no file");
    ok(sound_zone(&t->zone, 0), "sound");
}


RF_UNIT(zone_base_unsure)
{
    zt_t             *t;
    ngx_str_t         key = ngx_string("u");
    ngx_rf_record_t  *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    zt_learn(t, "SET k v", "OK", -3, t->zone.sh->seq);
    is_reply(t, "SET k w", "+OK");
    is_reply(t, "SET k x", "+OK");
    is_int(zt_entry(t, "k")->work->base, NGX_RF_BASE_KNOWN,
           "the first one counts");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    is_int(rec->base, NGX_RF_BASE_KNOWN, "it is sent with it");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    free(rec);
    is_int(zt_entry(t, "k")->work->base, NGX_RF_BASE_KNOWN, "and again");

    is_reply(t, "SET k y", "+OK");
    is_int(zt_entry(t, "k")->work->base, NGX_RF_BASE_UNKNOWN,
           "but what follows may find the one before");

    zt_learn(t, "SET u v", "OK", -3, t->zone.sh->seq);
    ngx_rf_zone_lock(&t->zone);
    ngx_rf_zone_unsure_locked(&t->zone, &key);
    ngx_rf_zone_unlock(&t->zone);
    is_reply(t, "GET u", "v");
    is_reply(t, "SET u w", "+OK");
    is_int(zt_entry(t, "u")->work->base, NGX_RF_BASE_UNKNOWN,
           "what was in doubt");
}


/* The journal takes nothing more, and has what is older than a file: when Redis
 * has acknowledged the key, that file is what a start believes. */

RF_UNIT(zone_files_full)
{
    zt_t               *t;
    ngx_str_t           key = ngx_string("a");
    ngx_str_t           other = ngx_string("b");
    ngx_uint_t          at, left;
    ngx_rf_record_t    *rec;
    ngx_rf_zone_sh_t   *sh;
    ngx_rf_zone_log_t   end;

    t = zt_start(pool, log, 1 << 20, 1);
    sh = t->zone.sh;
    sh->files_ready = ngx_pid;

    is_reply(t, "SET a 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has the first");
    sh->journal_full = 1;
    is_reply(t, "SET a 2", "+OK");

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->next == NULL && !rec->remove, "and a file the second");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "durable");

    is_reply(t, "SET b 1", "+OK");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->next == NULL, "another key has a file alone");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);

    is_int(zt_replay(t, NGX_OK, 1), 2, "Redis has both");
    is_int(sh->nunlogged, 2, "which the disk does not know");

    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove && rec->next == NULL
       && rec->key.data[0] == other.data[0],
       "only the file that no line is against goes");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "and no other");
    is_int(sh->nunlogged, 1, "the journal is to know of it");
    ok(sound_zone(&t->zone, 0), "sound");

    /* it was changed once more, of which the disk has nothing */

    is_reply(t, "SET a 3", "+OK");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_AGAIN,
           "a third is not durable");
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "and the disk would put the second over it");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL,
       "its file stays");

    /* the journal takes lines again */

    sh->journal_full = 0;
    is_int(zt_log(t, NGX_OK), 1, "the journal knows");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "that is durable");
    rec = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(rec && rec->remove && rec->next == NULL, "the file goes");
    rec->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, rec);
    is_int(sh->stat.files, 0, "no file");

    /* or the recovery ends */

    is_reply(t, "SET a 4", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has another");
    sh->journal_full = 1;
    is_reply(t, "SET a 5", "+OK");
    is_int(zt_replay(t, NGX_OK, 1), 1, "and Redis the next");
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_DECLINED,
           "the disk does not know");
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "no file to go");
    sh->mark = sh->seq++;
    is_int(ngx_rf_zone_durable(&t->zone, &key, t->l.version), NGX_OK,
           "but by the mark");

    /* which is above what a generation's end would have written once more */

    sh->journal_full = 0;
    zt_flush(t, NGX_OK);
    is_reply(t, "SET a 6", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "the journal has another");
    ngx_rf_zone_turn(&t->zone);
    at = 0;
    left = 0;
    is_int(ngx_rf_zone_turn_scan(&t->zone, sh->nbuckets, &at, &left, &end),
           NGX_AGAIN, "the generation ends");
    is_int(sh->nunlogged, 1, "which it is needed for");
    sh->journal_full = 1;
    is_int(zt_replay(t, NGX_OK, 1), 1, "Redis has it");
    ok(ngx_rf_zone_unacked(sh, zt_entry(t, "a")), "the disk does not know");
    sh->mark = sh->seq;
    ok(!ngx_rf_zone_unacked(sh, zt_entry(t, "a")), "but by the mark");
    zt_flush(t, NGX_OK);
    is_int(sh->nunlogged + sh->ndirty, 0, "nothing is left to be done");
    ok(sound_zone(&t->zone, 0), "sound");
}


/* whatever of the changes a file has, it is under the id that Redis is asked
 * for: a crash after the replay does not apply them again */

RF_UNIT(zone_replay_file)
{
    zt_t             *t;
    uint64_t          id, next;
    ngx_rf_record_t  *file, *rec;

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "INCRBY n 5", ":5");

    zt_log(t, NGX_OK);
    file = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(file->id && file->nsent == 1, "the file has an id");
    id = file->id;

    is_reply(t, "INCRBY n 7", ":12");
    ngx_rf_zone_dirty_done(&t->zone, file);
    is_int(t->zone.sh->nunlogged, 1, "and is behind");
    is_int(zt_entry(t, "n")->work->nchanges, 1,
           "what is in a file only is merged");

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec && rec->id == id, "nothing waits for it, the id is the same");
    is_text(&rec->changes[0].argv[1], "12", "for all of it");
    ngx_rf_zone_replay_done(&t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
    free(rec);

    /* the file has a part that was sent, and one that was not */

    is_reply(t, "INCR n", ":13");
    zt_log(t, NGX_OK);
    file = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(file->id == id && file->nsent == 1 && file->nchanges == 2, "both");
    ngx_rf_zone_dirty_done(&t->zone, file);

    zt_replay(t, NGX_OK, 0);
    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    next = rec->id;
    ok(next && next != id, "the second part has an id of its own");
    free(rec);

    /* another nginx, with that file */

    t = zt_start(pool, log, 1 << 20, 1);

    is_reply(t, "INCRBY n 12", ":12");
    zt_entry(t, "n")->work->id = id;
    zt_entry(t, "n")->work->nsent = 1;
    is_reply(t, "INCR n", ":13");
    zt_replay(t, NGX_OK, 0);

    rec = ngx_rf_zone_replay_take(&t->zone, 10, 1000, ngx_rf_now(), NULL);
    ok(rec->id == next, "which follows from the first");
    free(rec);

    ok(sound_zone(&t->zone, 0), "sound");
}


/* The journal takes nothing.  What Redis has acknowledged is to be journaled
 * all the same, and no file can be made or removed for it: an exit that goes on
 * while there is something for files must come to its end. */

RF_UNIT(zone_acknowledged_is_nothing_for_files)
{
    zt_t             *t;
    ngx_rf_record_t  *list;

    t = zt_start(pool, log, 1 << 20, 1);
    t->zone.sh->files_ready = 1;

    is_reply(t, "SET k 1", "+OK");
    is_int(zt_log(t, NGX_OK), 1, "journaled");
    is_int(zt_replay(t, NGX_OK, 1), 1, "acknowledged");
    is_int(t->zone.sh->nunlogged, 1, "which is to be journaled");

    t->zone.sh->disk_failed = NGX_ENOSPC;

    for (list = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
         list != NULL && t->zone.sh->stat.file_errors < 5;
         list = ngx_rf_zone_dirty_take(&t->zone, 10, 1000))
    {
        /* it is done, and there again */
        t->zone.sh->stat.file_errors++;
        ngx_rf_zone_dirty_done(&t->zone, list);
    }

    ok(list == NULL, "nothing for files");

    /* what is pending is */

    is_reply(t, "SET other 1", "+OK");
    list = ngx_rf_zone_dirty_take(&t->zone, 10, 1000);
    ok(list != NULL && list->next == NULL && !list->remove, "another key");
    list->status = NGX_OK;
    ngx_rf_zone_dirty_done(&t->zone, list);
    ok(ngx_rf_zone_dirty_take(&t->zone, 10, 1000) == NULL, "and no more");
}
