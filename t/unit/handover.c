/*
 * Between two instances: records of the one that goes without the path, merged
 * into what the other has pending, once; and which of both is later.
 */

#include "exec.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_learn.h"


static void ho_start(exec_t *e, ngx_pool_t *pool, ngx_log_t *log,
    ngx_uint_t ready);
static ngx_rf_record_t *ho_take(exec_t *e, ngx_uint_t n);
static ngx_int_t ho_in(exec_t *e, ngx_rf_record_t *rec);
static ngx_rf_record_t *ho_one(ngx_rf_record_t *list, const char *key);
static ngx_rf_entry_t *ho_entry(exec_t *e, const char *key);
static void ho_journal(exec_t *e);
static void ho_learn(exec_t *e, const char *verb, const char *key,
    const char *value, ngx_int_t integer, int64_t sent);
static void ho_learn_since(exec_t *e, const char *verb, const char *key,
    const char *value, ngx_int_t integer, int64_t sent, uint64_t seq);
static void ho_free(ngx_rf_record_t *list);


static void
ho_start(exec_t *e, ngx_pool_t *pool, ngx_log_t *log, ngx_uint_t ready)
{
    exec_init(e, pool, log, 2 * 1024 * 1024);

    e->zone->files = 1;
    e->zone->sh->files = 1;
    e->zone->sh->files_ready = ready;
    ngx_memcpy(e->zone->sh->path_sha1, e->zone->path_sha1, 20);
}


static ngx_rf_record_t *
ho_take(exec_t *e, ngx_uint_t n)
{
    ngx_uint_t        i, left;
    ngx_rf_record_t  *list, *rec;

    left = 0;
    list = ngx_rf_zone_hand_take(e->zone, 1000, 1 << 20, &left);

    for (i = 0, rec = list; rec; rec = rec->next) {
        i++;
    }

    is_int(i, n, "all of it");
    is_int(left, 0, "none is left");

    return list;
}


/* hand_in() changes the version only */

static ngx_int_t
ho_in(exec_t *e, ngx_rf_record_t *rec)
{
    return ngx_rf_zone_hand_in(e->zone, rec, ngx_rf_now());
}


static ngx_rf_record_t *
ho_one(ngx_rf_record_t *list, const char *key)
{
    while (list->key.len != strlen(key)
           || ngx_memcmp(list->key.data, key, list->key.len) != 0)
    {
        list = list->next;
    }

    return list;
}


static ngx_rf_entry_t *
ho_entry(exec_t *e, const char *key)
{
    ngx_str_t        name;
    ngx_rf_entry_t  *entry;

    name.data = (u_char *) key;
    name.len = strlen(key);

    ngx_rf_zone_lock(e->zone);
    entry = ngx_rf_zone_lookup_locked(e->zone, &name);
    ngx_rf_zone_unlock(e->zone);

    return entry;
}


static void
ho_journal(exec_t *e)
{
    ngx_rf_record_t    *list;
    ngx_rf_zone_log_t   log;

    list = ngx_rf_zone_log_take(e->zone, 1000, 1 << 20, 1, &log);
    ngx_rf_zone_log_done(e->zone, list, NGX_OK, log.generation);
}


static void
ho_learn(exec_t *e, const char *verb, const char *key, const char *value,
    ngx_int_t integer, int64_t sent)
{
    ho_learn_since(e, verb, key, value, integer, sent, e->zone->sh->seq);
}


/* sent when the zone was at "seq" */

static void
ho_learn_since(exec_t *e, const char *verb, const char *key, const char *value,
    ngx_int_t integer, int64_t sent, uint64_t seq)
{
    ngx_str_t        argv[3];
    ngx_uint_t       argc;
    ngx_rf_reply_t   r;

    argc = value ? 3 : 2;

    argv[0].data = (u_char *) verb;
    argv[0].len = strlen(verb);
    argv[1].data = (u_char *) key;
    argv[1].len = strlen(key);
    argv[2].data = (u_char *) value;
    argv[2].len = value ? strlen(value) : 0;

    ngx_memzero(&r, sizeof(ngx_rf_reply_t));

    r.type = integer >= 0 ? NGX_RF_REPLY_INTEGER : NGX_RF_REPLY_STATUS;
    r.integer = integer;
    ngx_str_set(&r.str, "OK");

    ngx_rf_learn(e->zone, e->pool, ngx_rf_command_find(&argv[0]), argc, argv,
                 &r, -1, seq, sent, 0);
}


static void
ho_free(ngx_rf_record_t *list)
{
    ngx_rf_record_t  *rec;

    while (list) {
        rec = list;
        list = rec->next;
        ngx_rf_codec_free(rec);
    }
}


RF_UNIT(handover_merges_once)
{
    exec_t            from, to;
    ngx_uint_t        i;
    ngx_rf_record_t  *list, *rec;

    ho_start(&from, pool, log, 0);
    ho_start(&to, pool, log, 1);

    exec_line(&to, "INCRBY both 70");
    exec_line(&to, "SET base 100");
    exec_line(&to, "SET older mine");
    exec_line(&to, "SADD set a");

    exec_line(&from, "INCRBY both 5");
    exec_line(&from, "INCRBY base 7");
    exec_line(&from, "INCRBY only 3");
    exec_line(&from, "SET older theirs");
    exec_line(&from, "SET alone theirs");
    exec_line(&from, "SADD set b");

    list = ho_take(&from, 6);

    for (rec = list; rec; rec = rec->next) {
        /* by the clock of both */
        rec->changed += 10;
        ok((rec->id != 0) == (rec->pending == NGX_RF_DELTA),
           "a delta has an id");
        is_int(rec->nsent, 0, "it was not sent");
    }

    /* as often as it comes: crashes are between, before and after it is
     * journaled */

    for (i = 0; i < 4; i++) {

        for (rec = list; rec; rec = rec->next) {
            is_int(ho_in(&to, rec), NGX_OK, "taken in");
        }

        if (i == 1) {
            rec = ho_one(list, "both");
            is_int(ngx_rf_zone_durable(to.zone, &rec->key, rec->version),
                   NGX_AGAIN, "not durable");

            ho_journal(&to);

            for (rec = list; rec; rec = rec->next) {
                is_int(ngx_rf_zone_durable(to.zone, &rec->key, rec->version),
                       NGX_OK, "durable");
            }
        }
    }

    ho_free(list);

    /* what comes later is on top, under the same id */

    exec_line(&to, "INCRBY both 600");

    exec_told(&to, "both", "INCRBY 5; INCRBY 670; ");
    exec_told(&to, "base", "del; set 100; INCRBY 7; ");
    exec_told(&to, "only", "INCRBY 3; ");
    exec_told(&to, "older", "= theirs");
    exec_told(&to, "alone", "= theirs");
    exec_told(&to, "set", "SADD b; SADD a; ");
}


/* Three instances: a replacement, and changes that came after it, twice.  What
 * comes second must not get below the replacement that the first one was put
 * upon. */

RF_UNIT(handover_behind_a_replacement)
{
    exec_t            one, two, to;
    ngx_uint_t        i;
    ngx_rf_record_t  *list[2];

    ho_start(&one, pool, log, 0);
    ho_start(&two, pool, log, 0);
    ho_start(&to, pool, log, 1);

    exec_line(&to, "SET n 100");
    exec_line(&one, "INCRBY n 7");
    exec_line(&two, "INCRBY n 5");

    list[0] = ho_take(&one, 1);
    list[1] = ho_take(&two, 1);

    for (i = 0; i < 2; i++) {
        list[i]->changed += 10 + i;
        is_int(ho_in(&to, list[i]), NGX_OK, "taken in");
        is_int(ho_in(&to, list[i]), NGX_OK, "again");
        ho_free(list[i]);
    }

    exec_told(&to, "n", "del; set 100; INCRBY 7; INCRBY 5; ");
}


/* Redis may hold what was replaced by theirs: what it held before says nothing
 * of that */

RF_UNIT(handover_of_what_was_sent)
{
    exec_t            from, to;
    ngx_rf_record_t  *list, *flown;

    ho_start(&from, pool, log, 0);
    ho_start(&to, pool, log, 1);

    ho_learn(&from, "SET", "k", "1", -1, ngx_rf_now());
    exec_line(&from, "SET k theirs");
    exec_line(&to, "SET k mine");

    list = ho_take(&from, 1);
    is_int(list->base, NGX_RF_BASE_KNOWN, "what Redis held");
    list->changed += 10;

    flown = ngx_rf_zone_replay_take(to.zone, 10, 1 << 20, ngx_rf_now(), NULL);
    ngx_rf_zone_replay_reset(to.zone);
    ho_free(flown);

    is_int(ho_in(&to, list), NGX_OK, "taken in");
    is_int(ho_entry(&to, "k")->work->base, NGX_RF_BASE_UNKNOWN,
           "it may hold ours");

    ho_free(list);
    exec_told(&to, "k", "= theirs");
}


RF_UNIT(handover_waits)
{
    exec_t            from, to;
    ngx_rf_record_t  *list, *rec, *flown;

    ho_start(&from, pool, log, 0);
    ho_start(&to, pool, log, 1);

    exec_line(&to, "INCRBY n 70");
    exec_line(&from, "INCRBY n 5");
    exec_line(&from, "INCRBY filed 5");

    list = ho_take(&from, 2);
    rec = ho_one(list, "n");

    /* in flight, and in doubt */

    flown = ngx_rf_zone_replay_take(to.zone, 10, 1 << 20, ngx_rf_now(), NULL);
    is_int(ho_in(&to, rec), NGX_BUSY, "it is being replayed");
    ngx_rf_zone_replay_done(to.zone, flown, NGX_AGAIN, 0, ngx_rf_now());
    is_int(ho_in(&to, rec), NGX_BUSY, "Redis may have a part");
    ho_free(flown);

    flown = ngx_rf_zone_replay_take(to.zone, 10, 1 << 20, ngx_rf_now(), NULL);
    ngx_rf_zone_replay_done(to.zone, flown, NGX_OK, 0, ngx_rf_now());
    ho_free(flown);

    is_int(ho_in(&to, rec), NGX_OK, "after that it is its turn");
    exec_told(&to, "n", "INCRBY 5; ");

    /* a file that was not read yet */

    rec = ho_one(list, "filed");
    rec->filed = 1;
    to.zone->sh->files_scan = 1;
    is_int(ho_in(&to, rec), NGX_BUSY, "its file comes first");
    to.zone->sh->files_scan = 0;
    is_int(ho_in(&to, rec), NGX_OK, "or is of no account");

    ho_free(list);
}


/* what Redis was told here */

RF_UNIT(handover_older)
{
    exec_t            from, to;
    int64_t           now;
    ngx_rf_record_t  *list, *rec;

    ho_start(&from, pool, log, 0);
    ho_start(&to, pool, log, 0);

    now = ngx_rf_now();

    exec_line(&from, "SET value theirs");
    exec_line(&from, "SET gone theirs");
    exec_line(&from, "SET count 5");
    exec_line(&from, "SET read theirs");
    exec_line(&from, "INCRBY sum 5");
    exec_line(&from, "INCRBY reset 5");

    list = ho_take(&from, 6);

    ho_learn(&to, "SET", "value", "mine", -1, now + 10);
    ho_learn(&to, "DEL", "gone", NULL, 1, now + 10);
    ho_learn(&to, "INCRBY", "count", "7", 7, now + 10);
    ho_learn(&to, "INCRBY", "sum", "70", 70, now + 10);
    ho_learn(&to, "SET", "reset", "1", -1, now + 10);

    ok(ho_entry(&to, "gone") != NULL, "it is known when it was removed");

    is_int(ho_in(&to, ho_one(list, "value")), NGX_DECLINED, "a value");
    is_int(ho_in(&to, ho_one(list, "gone")), NGX_DECLINED, "a removal");
    is_int(ho_in(&to, ho_one(list, "count")), NGX_DECLINED,
           "a value that was counted up");
    is_int(ho_in(&to, ho_one(list, "reset")), NGX_DECLINED,
           "changes of what was then replaced");
    is_int(ho_in(&to, ho_one(list, "read")), NGX_OK, "nothing is known");
    is_int(ho_in(&to, ho_one(list, "sum")), NGX_OK, "changes add up");
    exec_told(&to, "sum", "INCRBY 5; ");

    /* the other way round */

    rec = ho_one(list, "value");
    rec->changed = now + 20;
    is_int(ho_in(&to, rec), NGX_OK, "theirs was later");
    exec_told(&to, "value", "= theirs");

    ho_free(list);

    /* where the path is its own there is no need to remember removals */

    to.zone->sh->files_ready = 1;
    ho_learn(&to, "DEL", "none", NULL, 1, now);
    ok(ho_entry(&to, "none") == NULL, "no entry");
}


/* Redis was being told when they came, and has said so since */

RF_UNIT(handover_older_than_what_was_sent)
{
    exec_t            from, to;
    int64_t           now;
    uint64_t          seq;
    ngx_rf_record_t  *list, *rec;

    ho_start(&from, pool, log, 0);
    ho_start(&to, pool, log, 1);

    exec_line(&from, "SET value theirs");
    exec_line(&from, "SET gone theirs");
    exec_line(&from, "SET count 5");
    exec_line(&from, "INCRBY sum 5");
    exec_line(&from, "INCRBY reset 5");
    exec_line(&from, "SET later theirs");
    exec_line(&from, "SET mine theirs");

    list = ho_take(&from, 7);
    seq = to.zone->sh->seq;
    now = ngx_rf_now() + 10;

    for (rec = list; rec; rec = rec->next) {
        is_int(ho_in(&to, rec), NGX_OK, "taken in");
    }

    /* "mine" is changed here, and then the clock is set */

    exec_line(&to, "SET mine new");

    ho_entry(&to, "later")->changed = now + 10;

    ho_learn_since(&to, "SET", "value", "mine", -1, now, seq);
    ho_learn_since(&to, "DEL", "gone", NULL, 1, now, seq);
    ho_learn_since(&to, "INCRBY", "count", "7", 7, now, seq);
    ho_learn_since(&to, "INCRBY", "sum", "70", 70, now, seq);
    ho_learn_since(&to, "SET", "reset", "1", -1, now, seq);
    ho_learn_since(&to, "SET", "later", "1", -1, now, seq);
    ho_learn_since(&to, "SET", "mine", "1", -1, now, seq);

    exec_told(&to, "value", "");
    exec_told(&to, "gone", "");
    exec_told(&to, "count", "");
    exec_told(&to, "sum", "INCRBY 5; ");
    exec_told(&to, "reset", "");
    exec_told(&to, "later", "= theirs");
    exec_told(&to, "mine", "= new");
    is_int(to.zone->sh->npending, 3, "no more");

    for (rec = list; rec; rec = rec->next) {

        if (rec->key.len == 5 && ngx_memcmp(rec->key.data, "value", 5) == 0) {
            is_int(ngx_rf_zone_durable(to.zone, &rec->key, rec->version),
                   NGX_OK, "nothing is waited for");
            is_int(ho_in(&to, rec), NGX_DECLINED, "nor is it taken in again");
        }
    }

    ho_free(list);
}


RF_UNIT(handover_file)
{
    char                   *dir, path[512], *p;
    u_char                  text[8192];
    exec_t                  from;
    ssize_t                 n;
    ngx_fd_t                fd;
    ngx_uint_t              i;
    ngx_rf_record_t        *list, *rest;
    ngx_rf_file_conf_t      conf;
    ngx_rf_file_error_t     error;
    ngx_rf_journal_hand_t   hand;

    dir = rf_unit_dir(pool);

    ngx_memzero(&conf, sizeof(ngx_rf_file_conf_t));
    conf.path.data = (u_char *) dir;
    conf.path.len = strlen(dir);
    conf.levels[0] = conf.levels[1] = conf.levels[2] = 2;

    is_int(ngx_rf_file_prepare(&conf, (uid_t) -1, (gid_t) -1, &error), NGX_OK,
           "a path");

    ngx_memzero(&hand, sizeof(ngx_rf_journal_hand_t));
    is_int(ngx_rf_journal_hand_read_thread(&conf, &hand, 0), NGX_DONE,
           "nothing there");

    ho_start(&from, pool, log, 0);

    for (i = 0; i < 5; i++) {
        exec_line(&from, "INCRBY key%d 5", (int) i);
    }

    list = ho_take(&from, 5);

    for (i = 2; i > 0; i--) {
        is_int(ngx_rf_journal_hand_write_thread(&conf, i, list, &error),
               NGX_OK, "written");
    }

    ho_free(list);

    for (i = 1; i <= 2; i++) {
        is_int(ngx_rf_journal_hand_read_thread(&conf, &hand, 0), NGX_OK,
               "read");
        ok(hand.name[15] == (char) ('0' + i), "in order");
        is_int(hand.nrecords, 5, "all of it");
        is_int(hand.damaged, 0, "as it was");
        ok(hand.records->id != 0 && hand.records->nsent == 0
           && hand.records->nchanges == 1, "ids without having been sent");
        ngx_memcpy(hand.after, hand.name, sizeof(hand.after));
        ho_free(hand.records);
    }

    is_int(ngx_rf_journal_hand_read_thread(&conf, &hand, 0), NGX_DONE,
           "that was all");

    /* a part of it stays */

    hand.after[0] = '\0';
    (void) ngx_rf_journal_hand_read_thread(&conf, &hand, 0);
    rest = hand.records;
    list = rest->next->next;
    rest->next->next = NULL;

    is_int(ngx_rf_journal_hand_done_thread(&conf, hand.name, rest, &error),
           NGX_OK, "done with some");
    ho_free(list);
    ho_free(rest);
    is_int(ngx_rf_journal_hand_read_thread(&conf, &hand, 0), NGX_OK, "read");
    is_int(hand.nrecords, 2, "two of them");
    ho_free(hand.records);

    /* a byte that is not what it was */

    (void) snprintf(path, sizeof(path), "%s/0/handover/%s", dir, hand.name);
    fd = open(path, O_RDWR);
    n = read(fd, text, sizeof(text) - 1);
    text[ngx_max(n, 0)] = '\0';
    p = strstr((char *) text, "INCRBY");
    ok(p != NULL && pwrite(fd, "X", 1, (u_char *) p - text) == 1,
       "it is damaged");
    close(fd);

    is_int(ngx_rf_journal_hand_read_thread(&conf, &hand, 1), NGX_OK, "read");
    is_int(hand.damaged, 1, "found");
    is_int(hand.nrecords, 1, "the other one");
    ho_free(hand.records);
    (void) snprintf(path, sizeof(path), "%s/quarantine/handover-%s", dir,
                    hand.name);
    ok(access(path, F_OK) != 0, "only looked at");
    is_int(ngx_rf_journal_hand_read_thread(&conf, &hand, 0), NGX_OK, "read");
    ho_free(hand.records);
    ok(access(path, F_OK) == 0, "in quarantine");

    is_int(ngx_rf_journal_hand_done_thread(&conf, hand.name, NULL, &error),
           NGX_OK, "done with");
    is_int(ngx_rf_journal_hand_done_thread(&conf, hand.name, NULL, &error),
           NGX_OK, "twice");
    ok(access(path, F_OK) == 0, "still in quarantine");
    is_int(ngx_rf_journal_hand_read_thread(&conf, &hand, 0), NGX_OK,
           "the next one");
    is_int(hand.nrecords, 5, "all of it");
    ho_free(hand.records);
}
