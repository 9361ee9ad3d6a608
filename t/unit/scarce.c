/*
 * Each allocation of what is done here fails once, and in another round it and
 * all that follow: records that come back from a journal or from another
 * instance, what memory learns, with vouchers and late, lines of a journal, a
 * salvage.  Nothing is left half done, nothing is lost that was said to be
 * taken, and no block is forgotten.
 */

#include "exec.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_journal.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_zone_internal.h"
#include "scarce.h"
#include "sound.h"
#include <cjson/cJSON.h>


#define SCARCE_SIZE     (1024 * 1024)
#define SCARCE_TRIES    4000


static ngx_uint_t  scarce_n;
static ngx_uint_t  scarce_on;
static ngx_uint_t  scarce_hit;
static ngx_uint_t  scarce_apart;        /* slabs do not fail */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_ngx_alloc(size_t size, ngx_log_t *log);
void *__real_ngx_calloc(size_t size, ngx_log_t *log);
void *__real_ngx_palloc(ngx_pool_t *pool, size_t size);
void *__real_ngx_pnalloc(ngx_pool_t *pool, size_t size);
void *__real_ngx_pcalloc(ngx_pool_t *pool, size_t size);
ngx_pool_t *__real_ngx_create_pool(size_t size, ngx_log_t *log);
void *__real_ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_ngx_alloc(size_t size, ngx_log_t *log);
void *__wrap_ngx_calloc(size_t size, ngx_log_t *log);
void *__wrap_ngx_palloc(ngx_pool_t *pool, size_t size);
void *__wrap_ngx_pnalloc(ngx_pool_t *pool, size_t size);
void *__wrap_ngx_pcalloc(ngx_pool_t *pool, size_t size);
ngx_pool_t *__wrap_ngx_create_pool(size_t size, ngx_log_t *log);
void *__wrap_ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size);


static ngx_uint_t
scarce(void)
{
    if (scarce_n == 0) {
        return 0;
    }

    if (scarce_n > 1) {
        scarce_n--;
        return 0;
    }

    scarce_n = scarce_on;
    scarce_hit = 1;

    return 1;
}


void
scarce_begin(ngx_uint_t n)
{
    scarce_on = (n & SCARCE_ON) != 0;
    scarce_n = n & ~SCARCE_ON;
    scarce_hit = 0;
}


ngx_uint_t
scarce_end(void)
{
    scarce_n = 0;

    return scarce_hit;
}


void *
__wrap_malloc(size_t size)
{
    return scarce() ? NULL : __real_malloc(size);
}


void *
__wrap_calloc(size_t n, size_t size)
{
    return scarce() ? NULL : __real_calloc(n, size);
}


void *
__wrap_realloc(void *p, size_t size)
{
    return scarce() ? NULL : __real_realloc(p, size);
}


void *
__wrap_ngx_alloc(size_t size, ngx_log_t *log)
{
    return scarce() ? NULL : __real_ngx_alloc(size, log);
}


void *
__wrap_ngx_calloc(size_t size, ngx_log_t *log)
{
    return scarce() ? NULL : __real_ngx_calloc(size, log);
}


void *
__wrap_ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return scarce() ? NULL : __real_ngx_palloc(pool, size);
}


void *
__wrap_ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return scarce() ? NULL : __real_ngx_pnalloc(pool, size);
}


void *
__wrap_ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    return scarce() ? NULL : __real_ngx_pcalloc(pool, size);
}


ngx_pool_t *
__wrap_ngx_create_pool(size_t size, ngx_log_t *log)
{
    return scarce() ? NULL : __real_ngx_create_pool(size, log);
}


void *
__wrap_ngx_slab_alloc_locked(ngx_slab_pool_t *pool, size_t size)
{
    return (!scarce_apart && scarce())
           ? NULL : __real_ngx_slab_alloc_locked(pool, size);
}


/*
 * One scene in a zone of its own for each allocation, until none fails.  "act"
 * sets the scene itself and calls scarce_begin(n) and scarce_end(); it returns
 * what that said.
 */

typedef ngx_uint_t (*scarce_pt)(exec_t *e, ngx_uint_t n);


static void
scarce_path(exec_t *e)
{
    e->zone->files = 1;
    e->zone->sh->files = 1;
    e->zone->sh->files_ready = 1;
    ngx_memcpy(e->zone->sh->path_sha1, e->zone->path_sha1, 20);
}


static void
scarce_walk(const char *name, scarce_pt act, ngx_uint_t zone, ngx_pool_t *pool,
    ngx_log_t *log)
{
    exec_t        e;
    ngx_uint_t    i, hit, on, wrong;
    ngx_pool_t   *own;
    cJSON_Hooks   hooks;

    ngx_shm_zone_t  *shm;

    hooks.malloc_fn = __wrap_malloc;
    hooks.free_fn = free;
    cJSON_InitHooks(&hooks);

    for (on = 0; on < 2; on++) {

        wrong = 0;
        hit = 1;

        for (i = 1; hit && i < SCARCE_TRIES && wrong < 3; i++) {

            own = ngx_create_pool(4096, log);

            ngx_time_update();
            ngx_memzero(&e, sizeof(exec_t));
            e.pool = own;

            if (zone) {
                e.zone = ngx_pcalloc(own, sizeof(ngx_rf_zone_t));
                ngx_str_set(&e.zone->name, "app");

                shm = rf_unit_shm(own, log, SCARCE_SIZE);
                shm->data = e.zone;
                (void) ngx_rf_zone_init(shm, NULL);

                scarce_path(&e);
            }

            hit = act(&e, on ? (i | SCARCE_ON) : i);

            if (zone && !sound_zone(e.zone, 0)) {
                ok(0, "%s: allocation %d: the zone is in order", name,
                   (int) i);
                wrong++;
            }

            ngx_destroy_pool(own);
        }

        ok(wrong == 0 && i > 2 && i < SCARCE_TRIES,
           "%s: %d allocations that fail%s", name, (int) i - 2,
           on ? ", with all that follow" : "");
    }

    cJSON_InitHooks(NULL);
}


static void
scarce_free(ngx_rf_record_t *list)
{
    ngx_rf_record_t  *rec;

    while (list) {
        rec = list;
        list = rec->next;
        ngx_rf_codec_free(rec);
    }
}


/* what another instance has pending, in the order in which it was written */

static ngx_rf_record_t *
scarce_records(exec_t *e)
{
    ngx_uint_t        left;
    ngx_rf_record_t  *list, *rec;

    exec_line(e, "INCRBY both 5");
    exec_line(e, "SET base 7");
    exec_line(e, "SET alone theirs");
    exec_line(e, "HSET hash f 1 g 2");
    exec_line(e, "HSET hash2 f theirs");
    exec_line(e, "RPUSH list a b c");
    exec_line(e, "ZADD zset 1 a 2 b");
    exec_line(e, "APPEND text x");
    exec_line(e, "DEL gone");

    left = 0;
    list = ngx_rf_zone_hand_take(e->zone, 1000, 1 << 20, &left);

    for (rec = list; rec; rec = rec->next) {
        rec->changed += 10;
    }

    return list;
}


static void
scarce_mine(exec_t *e)
{
    exec_line(e, "INCRBY both 70");
    exec_line(e, "INCRBY base 100");
    exec_line(e, "HSET hash h 3");
    exec_line(e, "SADD other a");
    exec_line(e, "RPUSH list d");
}


static ngx_rf_record_t  *scarce_list;


/* one after the other, and what was not taken once more */

static ngx_uint_t
scarce_hand(exec_t *e, ngx_uint_t n)
{
    ngx_int_t         rc;
    ngx_uint_t        hit, bad;
    ngx_rf_record_t  *rec, *copy;

    scarce_mine(e);

    bad = 0;
    hit = 0;
    scarce_begin(n);

    for (rec = scarce_list; rec; rec = rec->next) {
        copy = ngx_rf_codec_clone(rec);

        rc = copy ? ngx_rf_zone_hand_in(e->zone, copy, ngx_rf_now())
                  : NGX_ERROR;
        free(copy);

        if (rc == NGX_OK) {
            continue;
        }

        hit = scarce_end();
        copy = ngx_rf_codec_clone(rec);
        bad += (ngx_rf_zone_hand_in(e->zone, copy, ngx_rf_now()) != NGX_OK);
        free(copy);
    }

    hit |= scarce_end();

    if (bad) {
        is_int(bad, 0, "allocation %d: taken in at the second time", (int) n);
    }

    exec_told(e, "both", "INCRBY 5; INCRBY 70; ");
    exec_told(e, "alone", "= theirs");

    return hit;
}


static ngx_uint_t
scarce_recall(exec_t *e, ngx_uint_t n)
{
    ngx_int_t         rc;
    ngx_uint_t        hit;
    ngx_rf_record_t  *rec, *copy;

    e->zone->sh->files_ready = 0;
    scarce_mine(e);

    hit = 0;
    scarce_begin(n);

    for (rec = scarce_list; rec; rec = rec->next) {

        do {
            copy = ngx_rf_codec_clone(rec);

            rc = copy ? ngx_rf_zone_log_load(e->zone, copy, (uint64_t) -1, 1,
                                             ngx_rf_now())
                      : NGX_ERROR;

            if (rc == NGX_BUSY) {
                rc = ngx_rf_zone_adopt(e->zone, copy);
            }

            free(copy);

            if (rc != NGX_OK && rc != NGX_DECLINED) {
                hit |= scarce_end();
            }

        } while (rc != NGX_OK && rc != NGX_DECLINED && scarce_n == 0 && hit--);
    }

    hit = scarce_end() | scarce_hit;
    e->zone->sh->files_ready = 1;

    exec_told(e, "both", "INCRBY 5; INCRBY 70; ");
    exec_told(e, "alone", "= theirs");

    return hit;
}


/* claimed for the journal and for files: what could not be made is claimed
 * again */

static ngx_uint_t
scarce_take(exec_t *e, ngx_uint_t n)
{
    ngx_uint_t          hit, i;
    ngx_rf_record_t    *list;
    ngx_rf_zone_log_t   log;

    scarce_mine(e);
    exec_line(e, "SET value x");
    hit = 0;
    scarce_begin(n);

    for (i = 0; i < 20; i++) {
        list = ngx_rf_zone_log_take(e->zone, 2, 1 << 20, 1, &log);

        if (list) {
            ngx_rf_zone_log_done(e->zone, list, NGX_OK, log.generation);
        }
    }

    for (i = 0; i < 10; i++) {
        list = ngx_rf_zone_dirty_take(e->zone, 2, 1 << 20);

        if (list) {
            ngx_rf_zone_dirty_done(e->zone, list);
        }
    }

    hit = scarce_end();

    for (i = 0; i < 20; i++) {
        list = ngx_rf_zone_log_take(e->zone, 100, 1 << 20, 1, &log);

        if (list == NULL) {
            break;
        }

        ngx_rf_zone_log_done(e->zone, list, NGX_OK, log.generation);
    }

    if (e->zone->sh->nunlogged || e->zone->sh->nlogging
        || e->zone->sh->nwriting)
    {
        ok(0, "allocation %d: all of it is journaled in the end", (int) n);
    }

    return hit;
}


/* what Redis answers, in the order in which it does; some of it late, as the
 * keys are pending by then */

static ngx_uint_t
scarce_learn(exec_t *e, ngx_uint_t n)
{
    uint64_t               voucher, seq;
    ngx_str_t              all[16][EXEC_ARGS], *argv;
    ngx_uint_t             i, argc, nknown, words[16];
    const char            *err;
    ngx_rf_reply_t        *reply[16];
    ngx_rf_resp_reader_t  *reader;

    static const char  *lines[][2] = {
        { "GET a", "$1\r\n1\r\n" },
        { "SET a 2", "+OK\r\n" },
        { "GET none", "$-1\r\n" },
        { "HGETALL h", "*4\r\n$1\r\nf\r\n$1\r\n1\r\n$1\r\ng\r\n$1\r\n2\r\n" },
        { "HSET h f 3", ":0\r\n" },
        { "HGET part f", "$1\r\n1\r\n" },
        { "HMGET part g h", "*2\r\n$1\r\n2\r\n$-1\r\n" },
        { "SMEMBERS s", "*2\r\n$1\r\na\r\n$1\r\nb\r\n" },
        { "SPOP s", "$1\r\na\r\n" },
        { "LRANGE l 0 -1", "*2\r\n$1\r\na\r\n$1\r\nb\r\n" },
        { "LPOP l", "$1\r\na\r\n" },
        { "ZADD z 3 c", ":1\r\n" },
        { "INCRBY late 5", ":5\r\n" },
        { "HSET lateh f 1", ":1\r\n" },
        { "APPEND latet x", ":1\r\n" },
        { "SADD lates x", ":1\r\n" },
    };

    e->zone->sh->links[ngx_process_slot].epoch = 7;
    e->zone->sh->links[ngx_process_slot].beat = ngx_current_msec;
    voucher = ngx_rf_zone_voucher(ngx_process_slot, 7);

    reader = ngx_rf_resp_reader_create();

    for (i = 0; i < 16; i++) {
        (void) ngx_rf_resp_feed(reader, (u_char *) lines[i][1],
                                strlen(lines[i][1]));
        (void) ngx_rf_resp_next(reader, e->pool, &reply[i], &err);
        words[i] = exec_words(e, lines[i][0], all[i]);
    }

    ngx_rf_resp_reader_destroy(reader);

    seq = e->zone->sh->seq;

    exec_line(e, "INCRBY late 1");
    exec_line(e, "HSET lateh g 1");
    exec_line(e, "APPEND latet y");
    exec_line(e, "SADD lates y");

    for (i = 0; i < 16; i++) {

        argc = words[i];
        argv = all[i];

        if (i == 0) {
            scarce_begin(n);
        }

        ngx_rf_learn(e->zone, e->pool, ngx_rf_command_find(&argv[0]), argc,
                     argv, reply[i], -1, i < 12 ? e->zone->sh->seq : seq,
                     ngx_rf_now(), i < 12 ? voucher : 0);

        if (argc > 2 && argv[0].data[0] == 'H') {
            (void) ngx_rf_learn_ask_known(e->zone, e->pool,
                                          ngx_rf_command_find(&argv[0]), argc,
                                          argv, &nknown);
        }

    }

    i = scarce_end();

    /* what could not be learned is not what it was before */

    exec_line(e, "GET a");

    if (e->reply == NULL
        || (e->reply->type == NGX_RF_REPLY_STRING
            && e->reply->str.data[0] == '1'))
    {
        ok(0, "allocation %d: a is not what it was before", (int) n);
    }

    exec_line(e, "HGET h f");

    if (e->reply == NULL
        || (e->reply->type == NGX_RF_REPLY_STRING
            && e->reply->str.data[0] == '1'))
    {
        ok(0, "allocation %d: h is not what it was before", (int) n);
    }

    exec_line(e, "SISMEMBER s a");

    if (e->reply == NULL || e->reply->integer != 0) {
        ok(0, "allocation %d: s does not have what was popped", (int) n);
    }

    exec_told(e, "late", "INCRBY 1; ");

    return i;
}


static ngx_uint_t
scarce_salvage(exec_t *e, ngx_uint_t n)
{
    ngx_uint_t  hit;

    scarce_mine(e);
    exec_line(e, "SET value x");

    /* the first slab of a new pool is there, and what was there has room */

    ngx_shmtx_lock(&e->zone->shpool->mutex);

    scarce_apart = 1;
    scarce_begin(n);
    ngx_rf_zone_salvage(e->zone);
    hit = scarce_end();
    scarce_apart = 0;

    e->zone->sh->busy = 0;
    ngx_shmtx_unlock(&e->zone->shpool->mutex);

    if (e->zone->sh->npending < 6 && !e->zone->sh->journal_scan) {
        ok(0, "allocation %d: it is to be read again", (int) n);
    }

    return hit;
}


static ngx_rf_file_conf_t  scarce_conf;


/* lines to a journal, and back; a file that one of them gives way to */

static ngx_uint_t
scarce_journal(exec_t *e, ngx_uint_t n)
{
    ngx_int_t                rc;
    ngx_uint_t               hit, total, tries, wrote, removed, expected;
    ngx_rf_record_t         *rec, *one;
    ngx_rf_journal_t         journal;
    ngx_rf_file_error_t      error;
    ngx_rf_journal_read_t    rd;
    ngx_rf_journal_batch_t   batch;

    static uint64_t  number;

    ngx_rf_journal_init(&journal);
    ngx_memzero(&batch, sizeof(ngx_rf_journal_batch_t));

    for (expected = 0, rec = scarce_list; rec; rec = rec->next) {
        expected++;
    }

    batch.records = scarce_list;
    batch.seq = 1;

    scarce_begin(n);

    for (tries = 0; tries < 3; tries++) {
        batch.number = ++number;
        batch.base = number;

        if (ngx_rf_journal_append_thread(&journal, &scarce_conf, &batch,
                                         &error)
            == NGX_OK)
        {
            break;
        }

        (void) scarce_end();
        hit = 1;
    }

    hit = scarce_hit;

    one = scarce_list->next;
    scarce_list->next = NULL;
    error.what = NULL;
    (void) ngx_rf_file_write_thread(&scarce_conf, scarce_list, &wrote, &removed,
                                    &error);
    scarce_list->next = one;

    for (tries = 0; tries < 3; tries++) {

        ngx_memzero(&rd, sizeof(ngx_rf_journal_read_t));
        rd.n = 3;
        rd.files = 1;
        total = 0;

        do {
            rc = ngx_rf_journal_read_thread(&scarce_conf, &rd, 1);
            total += (rc == NGX_ERROR) ? 0 : rd.nrecords;
        } while (rc == NGX_OK);

        tries += (rc == NGX_DONE && rd.unread == 0) ? 3 : 0;

        ngx_rf_journal_read_end(&rd);

        if (tries < 3) {
            hit |= scarce_end();
        }
    }

    hit |= scarce_end();

    if (total != expected) {
        is_int(total, expected, "allocation %d: all lines", (int) n);
    }

    ngx_rf_journal_close(&journal);

    return hit;
}


static ngx_uint_t
scarce_handover(exec_t *e, ngx_uint_t n)
{
    ngx_int_t               rc;
    ngx_uint_t              hit, tries;
    ngx_rf_file_error_t     error;
    ngx_rf_journal_hand_t   hand;

    hit = 0;
    scarce_begin(n);

    for (tries = 0; tries < 3; tries++) {
        rc = ngx_rf_journal_hand_write_thread(&scarce_conf, n & 0xffff,
                                              scarce_list, &error);
        if (rc == NGX_OK) {
            break;
        }

        hit |= scarce_end();
    }

    ngx_memzero(&hand, sizeof(ngx_rf_journal_hand_t));
    hand.files = 1;

    for (tries = 0; tries < 3; tries++) {
        rc = ngx_rf_journal_hand_read_thread(&scarce_conf, &hand, 0);

        if (rc == NGX_OK) {
            break;
        }

        hit |= scarce_end();
    }

    hit |= scarce_end();

    if (rc != NGX_OK || hand.nrecords == 0 || hand.damaged || hand.unknown) {
        ok(0, "allocation %d: it is read whole: %d, %d, %d", (int) n, (int) rc,
           (int) hand.damaged, (int) hand.unknown);
    }

    scarce_free(hand.records);

    hit |= scarce_end();
    (void) ngx_rf_journal_hand_done_thread(&scarce_conf, hand.name, NULL,
                                           &error);
    return hit;
}


/* A generation of segments ends, and for want of memory nobody can look what is
 * there: that is not taken for nothing. */

RF_UNIT(scarce_journal_counts)
{
    char                    *dir;
    off_t                    least;
    exec_t                   from;
    ngx_int_t                rc;
    ngx_uint_t               n, hit, unknown, known;
    ngx_rf_journal_t         journal;
    ngx_rf_file_conf_t       conf;
    ngx_rf_file_error_t      error;
    ngx_rf_journal_batch_t   batch;

    dir = rf_unit_dir(pool);

    ngx_memzero(&conf, sizeof(ngx_rf_file_conf_t));
    conf.path.data = (u_char *) dir;
    conf.path.len = strlen(dir);
    conf.levels[0] = conf.levels[1] = conf.levels[2] = 2;

    is_int(ngx_rf_file_prepare(&conf, (uid_t) -1, (gid_t) -1, &error),
           NGX_OK, "a path");

    exec_init(&from, pool, log, SCARCE_SIZE);
    scarce_path(&from);

    ngx_rf_journal_init(&journal);
    ngx_memzero(&batch, sizeof(ngx_rf_journal_batch_t));
    batch.records = scarce_records(&from);
    batch.number = 1;

    is_int(ngx_rf_journal_append_thread(&journal, &conf, &batch, &error),
           NGX_OK, "a segment");
    scarce_free(batch.records);
    batch.records = NULL;
    least = journal.size;

    unknown = 0;
    known = 0;

    for (n = 1, hit = 1; hit && n < SCARCE_TRIES; n++) {
        batch.number = n + 1;

        scarce_begin(n);
        rc = ngx_rf_journal_base_thread(&journal, &conf, &batch, &error);
        hit = scarce_end();

        if (rc != NGX_OK) {
            continue;
        }

        unknown += (batch.bytes == -1);
        known += (batch.bytes > least);

        if (batch.bytes != -1 && batch.bytes <= least) {
            ok(0, "allocation %d: %d bytes", (int) n, (int) batch.bytes);
        }
    }

    ok(unknown > 0, "it says that it does not know");
    is_int(known, 1, "or what there is");

    ngx_rf_journal_close(&journal);
}


RF_UNIT(scarce_memory)
{
    char                 *dir;
    exec_t                from;
    ngx_rf_record_t      *left;
    ngx_rf_file_error_t   error;

    dir = rf_unit_dir(pool);

    ngx_memzero(&scarce_conf, sizeof(ngx_rf_file_conf_t));
    scarce_conf.path.data = (u_char *) dir;
    scarce_conf.path.len = strlen(dir);
    scarce_conf.levels[0] = scarce_conf.levels[1] = scarce_conf.levels[2] = 2;

    is_int(ngx_rf_file_prepare(&scarce_conf, (uid_t) -1, (gid_t) -1, &error),
           NGX_OK, "a path");

    exec_init(&from, pool, log, SCARCE_SIZE);
    scarce_path(&from);
    scarce_list = scarce_records(&from);

    scarce_walk("of another instance", scarce_hand, 1, pool, log);
    scarce_walk("a journal that comes back", scarce_recall, 1, pool, log);
    scarce_walk("claims", scarce_take, 1, pool, log);
    scarce_walk("what Redis answers", scarce_learn, 1, pool, log);
    scarce_walk("a salvage", scarce_salvage, 1, pool, log);
    /* of three records these need as many as of all */

    left = scarce_list->next->next->next;
    scarce_list->next->next->next = NULL;

    scarce_walk("lines", scarce_journal, 0, pool, log);
    scarce_walk("a file for another instance", scarce_handover, 0, pool, log);

    scarce_free(scarce_list);
    scarce_free(left);
    scarce_list = NULL;
}
