/*
 * Values that are lent stay as they are, whatever becomes of their entries, of
 * the zone, and of others who have lent them; and are freed in the end.
 *
 * RF_UNIT_KILLS in the environment: how often workers are killed.
 */

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "exec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_zone_internal.h"
#include "sound.h"


#define LEND_ZONE    (512 * 1024)
#define LEND_SIZE    2000       /* of values */
#define LEND_KEYS    7
#define LEND_KILLS   200


/* what all processes of lend_killed share */

typedef struct {
    volatile ngx_uint_t   lent;
    volatile ngx_uint_t   given_up;     /* replaced while it was lent */
    volatile ngx_uint_t   wrong;
} lend_count_t;


static void lend_set(exec_t *e, const char *key, int c);
static ngx_rf_blob_t *lend(ngx_rf_zone_t *zone, const char *text);
static ngx_uint_t lend_is(ngx_rf_blob_t *blob, int c);
static void lend_fill(exec_t *e);
static void lend_die(exec_t *e, const char *key);
static void lend_reader(exec_t *e, lend_count_t *count);
static void lend_writer(exec_t *e);
static void lend_kill(exec_t *e, pid_t pid);


/* the key's value is LEND_SIZE times "c" */

static void
lend_set(exec_t *e, const char *key, int c)
{
    char  value[LEND_SIZE + 1];

    ngx_memset(value, c, LEND_SIZE);
    value[LEND_SIZE] = '\0';

    is_int(exec_line(e, "SET %s %s", key, value), NGX_OK, "SET %s", key);
}


/* its value, or NULL: it is not lent */

static ngx_rf_blob_t *
lend(ngx_rf_zone_t *zone, const char *text)
{
    ngx_str_t        key;
    ngx_rf_blob_t   *blob;
    ngx_rf_entry_t  *entry;

    key.data = (u_char *) text;
    key.len = strlen(text);

    ngx_rf_zone_lock(zone);

    entry = ngx_rf_zone_lookup_locked(zone, &key);
    blob = entry ? entry->value : NULL;

    if (blob != NULL && !ngx_rf_zone_lend_locked(zone, blob)) {
        blob = NULL;
    }

    ngx_rf_zone_unlock(zone);

    return blob;
}


static ngx_uint_t
lend_is(ngx_rf_blob_t *blob, int c)
{
    size_t  i;

    if (blob->len != LEND_SIZE) {
        return 0;
    }

    for (i = 0; i < LEND_SIZE && blob->data[i] == c; i++) {
        /* void */
    }

    return i == LEND_SIZE;
}


/* every block of the zone that is free gets something else */

static void
lend_fill(exec_t *e)
{
    char         key[32];
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    pool = e->pool;

    for (i = 0; i < 2 * LEND_ZONE / LEND_SIZE; i++) {
        e->pool = ngx_create_pool(4096, e->zone->log);

        ngx_sprintf((u_char *) key, "fill%ui%Z", i);

        if (exec_line(e, "SET %s %0*d", key, LEND_SIZE, 0) != NGX_OK) {
            i = 2 * LEND_ZONE / LEND_SIZE;
        }

        ngx_destroy_pool(e->pool);
    }

    e->pool = pool;
}


RF_UNIT(lend_one)
{
    exec_t          e;
    ngx_rf_blob_t  *blob;

    exec_init(&e, pool, log, LEND_ZONE);
    lend_set(&e, "k", 'a');
    lend_set(&e, "other", 'x');

    blob = lend(e.zone, "k");

    ok(blob != NULL, "it is lent");
    ok(lend(e.zone, "other") == NULL, "one at a time");

    ngx_rf_zone_returned(e.zone);
    ok(sound_zone(e.zone, 0), "taken back: as it was");

    blob = lend(e.zone, "k");
    ok(blob != NULL, "lent again");

    lend_set(&e, "k", 'b');
    lend_fill(&e);
    ok(lend_is(blob, 'a'), "what was replaced meanwhile is still there");

    ngx_rf_zone_returned(e.zone);
    ok(sound_zone(e.zone, 0), "and is freed when it is returned");

    ngx_rf_zone_returned(e.zone);
    ok(sound_zone(e.zone, 0), "once");

    blob = lend(e.zone, "k");
    ok(blob && lend_is(blob, 'b'), "the key has its new value");

    exec_is(&e, "DEL k", "1");
    lend_fill(&e);
    ok(lend_is(blob, 'b'), "deleted, and still there");

    ngx_rf_zone_returned(e.zone);
    ok(sound_zone(e.zone, 0), "and freed");
}


RF_UNIT(lend_get)
{
    exec_t          e;
    ngx_str_t       argv[2];
    ngx_rf_local_t  l;

    exec_init(&e, pool, log, LEND_ZONE);
    lend_set(&e, "k", 'a');
    exec_is(&e, "SET short v", "OK");

    ngx_str_set(&argv[0], "GET");
    ngx_str_set(&argv[1], "k");

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = e.zone;
    l.pool = pool;
    l.scope = NGX_RF_SCOPE_ANY;
    l.command = ngx_rf_command_find(&argv[0]);
    l.argc = 2;
    l.argv = argv;

    is_int(ngx_rf_local_exec(&l), NGX_OK, "GET");
    ok(!l.lent && !ngx_rf_zone_valid(e.zone, l.reply->str.data, 1),
       "who does not ask for it gets a copy");

    l.lend = 1;

    is_int(ngx_rf_local_exec(&l), NGX_OK, "GET");
    ok(l.lent && l.reply->str.len == LEND_SIZE
       && ngx_rf_zone_valid(e.zone, l.reply->str.data, 0)
       && l.reply->str.data[LEND_SIZE - 1] == 'a', "who does, none");

    is_int(ngx_rf_local_exec(&l), NGX_OK, "GET");
    ok(!l.lent && l.reply->str.len == LEND_SIZE
       && l.reply->str.data[LEND_SIZE - 1] == 'a', "a second one a copy");

    ngx_rf_zone_returned(e.zone);

    ngx_str_set(&argv[1], "short");

    is_int(ngx_rf_local_exec(&l), NGX_OK, "GET");
    ok(!l.lent && l.reply->str.len == 1, "and a short one");
    ok(sound_zone(e.zone, 0), "the zone is sound");
}


/* two processes; the one that the second is said to be lives */

RF_UNIT(lend_both)
{
    exec_t          e;
    ngx_pid_t       pid;
    ngx_rf_zone_t   other;
    ngx_rf_blob_t  *blob;

    exec_init(&e, pool, log, LEND_ZONE);
    lend_set(&e, "k", 'a');

    pid = ngx_pid;
    other = *e.zone;

    blob = lend(e.zone, "k");

    ngx_pid = getppid();
    ok(lend(&other, "k") == blob && blob, "both have it");
    ok(other.lender != e.zone->lender, "each at a place of its own");
    ngx_pid = pid;

    lend_set(&e, "k", 'b');

    ngx_rf_zone_returned(e.zone);
    lend_fill(&e);
    ok(lend_is(blob, 'a'), "one has returned it, the other one has it");

    ngx_rf_zone_returned(&other);
    ok(sound_zone(e.zone, 0), "both have");
}


/* a process lends the key's value, and dies */

static void
lend_die(exec_t *e, const char *key)
{
    int    status;
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        ngx_pid = getpid();
        e->zone->lender = 0;
        _exit(lend(e->zone, key) == NULL);
    }

    (void) waitpid(pid, &status, 0);

    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "one has died with %s",
       key);
}


RF_UNIT(lend_died)
{
    exec_t  e;

    exec_init(&e, pool, log, LEND_ZONE);
    lend_set(&e, "k", 'a');

    lend_die(&e, "k");
    lend_set(&e, "k", 'b');
    ok(lend(e.zone, "k") != NULL, "another one takes its place");
    is_int(e.zone->sh->nlenders, 1, "which is the only one");
    ngx_rf_zone_returned(e.zone);
    ok(sound_zone(e.zone, 0), "what it had is freed");

    lend_die(&e, "k");
    is_int(e.zone->sh->nlenders, 2, "it had a place beside this process");
    lend_set(&e, "k", 'c');
    ngx_rf_zone_lock(e.zone);
    ngx_rf_zone_pins_look(e.zone);
    ngx_rf_zone_unlock(e.zone);
    ok(sound_zone(e.zone, 0), "a look at who has died frees it, too");
}


RF_UNIT(lend_places)
{
    exec_t       e;
    ngx_uint_t   i;

    exec_init(&e, pool, log, LEND_ZONE);
    lend_set(&e, "k", 'a');

    for (i = 0; i < NGX_RF_ZONE_LENDERS; i++) {
        e.zone->sh->lenders[i] = getppid();
    }

    e.zone->sh->nlenders = NGX_RF_ZONE_LENDERS;

    ok(lend(e.zone, "k") == NULL, "no place is left");

    e.zone->sh->lenders[NGX_RF_ZONE_LENDERS - 1] = 0;

    ok(lend(e.zone, "k") == NULL, "which is believed for a second");

    e.zone->lender_looked--;

    ok(lend(e.zone, "k") != NULL, "then there is one");
    is_int(e.zone->lender, NGX_RF_ZONE_LENDERS, "the last");

    lend_set(&e, "k", 'b');
    ngx_rf_zone_lender_leaves(e.zone);

    ok(sound_zone(e.zone, 0), "who leaves returns what it has");
    is_int(e.zone->sh->nlenders, NGX_RF_ZONE_LENDERS - 1, "and its place");

    /* one of an earlier process, whose number this one has got */

    e.zone->sh->lenders[3] = ngx_pid;
    e.zone->sh->lenders[9] = ngx_pid;

    ok(lend(e.zone, "k") != NULL, "and may come again");
    is_int(e.zone->lender, 4, "to the first place");
    is_int(e.zone->sh->lenders[9], 0, "the other one is free");

    ngx_rf_zone_returned(e.zone);
}


/* somebody dies with the lock: clean entries are lost by that, others not */

RF_UNIT(lend_salvaged)
{
    int             status;
    pid_t           pid;
    exec_t          e;
    ngx_uint_t      i;
    ngx_rf_zone_t   others[3];
    ngx_rf_blob_t  *blob, *clean;
    ngx_rf_entry_t *entry;
    ngx_str_t       key = ngx_string("clean");

    exec_init(&e, pool, log, LEND_ZONE);
    lend_set(&e, "k", 'a');
    lend_set(&e, "clean", 'c');

    ngx_rf_zone_lock(e.zone);
    entry = ngx_rf_zone_lookup_locked(e.zone, &key);
    ngx_rf_zone_cancel_locked(e.zone, entry);
    ngx_rf_zone_unlock(e.zone);

    pid = ngx_pid;
    blob = NULL;
    clean = NULL;

    for (i = 0; i < 3; i++) {
        others[i] = *e.zone;

        /* three that live, as far as anybody can tell */
        ngx_pid = (i == 0) ? getppid() : (i == 1) ? 1 : pid;

        if (i == 0) {
            blob = lend(&others[i], "k");
        } else {
            clean = lend(&others[i], "clean");
        }
    }

    ngx_pid = pid;
    ok(blob && clean && e.zone->sh->nlenders == 3, "three have lent two");

    pid = fork();

    if (pid == 0) {
        ngx_pid = getpid();
        ngx_rf_zone_lock(e.zone);
        _exit(0);
    }

    (void) waitpid(pid, &status, 0);
    (void) ngx_shmtx_force_unlock(&e.zone->shpool->mutex, pid);

    lend_fill(&e);
    is_int(e.zone->sh->rebuilds, 1, "the zone was made anew, and filled");

    ok(lend_is(blob, 'a'), "what is pending is there");
    ok(lend_is(clean, 'c'), "and so is what no entry has any more");

    ngx_rf_zone_returned(&others[0]);
    ngx_rf_zone_returned(&others[1]);
    lend_fill(&e);
    ok(lend_is(clean, 'c'), "until the last one has returned it");

    ngx_rf_zone_returned(&others[2]);
    ok(sound_zone(e.zone, 0), "and all of it is accounted for");

    blob = lend(e.zone, "k");
    ok(blob && lend_is(blob, 'a'), "the pending key has its value");
    ngx_rf_zone_returned(e.zone);
}


/* values of which each byte is the same */

static void
lend_reader(exec_t *e, lend_count_t *count)
{
    int             c;
    char            key[8];
    size_t          i;
    ngx_uint_t      n;
    ngx_rf_blob_t  *blob;

    for (n = 0; /* void */ ; n++) {
        ngx_sprintf((u_char *) key, "k%ui%Z", n % LEND_KEYS);

        blob = lend(e->zone, key);

        if (blob == NULL) {
            continue;
        }

        /* twice: the second time some will have been replaced */

        c = blob->data[0];

        for (i = 0; i < 2 * blob->len; i++) {
            if (blob->data[i % blob->len] != c) {
                count->wrong++;
                break;
            }
        }

        count->lent++;
        count->given_up += (e->zone->sh->lent[e->zone->lender - 1] & 1);

        ngx_rf_zone_returned(e->zone);
    }
}


static void
lend_writer(exec_t *e)
{
    char        value[LEND_SIZE + 1];
    ngx_uint_t  n;

    for (n = 0; /* void */ ; n++) {
        e->pool = ngx_create_pool(4096, e->zone->log);

        ngx_memset(value, 'a' + n % 23, LEND_SIZE);
        value[LEND_SIZE - n % 5 * 300] = '\0';

        (void) exec_line(e, n % 11 ? "SET k%d %s" : "DEL k%d",
                         (int) (n % LEND_KEYS), value);

        ngx_destroy_pool(e->pool);
    }
}


static void
lend_kill(exec_t *e, pid_t pid)
{
    int  status;

    kill(pid, SIGKILL);
    (void) waitpid(pid, &status, 0);
    (void) ngx_shmtx_force_unlock(&e->zone->shpool->mutex, pid);
}


RF_UNIT(lend_killed)
{
    char          *env;
    pid_t          pids[3];
    exec_t         e;
    ngx_log_t      quiet;
    ngx_uint_t     i, n, k, unsound;
    lend_count_t  *count;

    exec_init(&e, pool, log, LEND_ZONE);

    quiet = *log;
    quiet.log_level = NGX_LOG_EMERG;
    e.zone->log = &quiet;

    count = mmap(NULL, sizeof(lend_count_t), PROT_READ|PROT_WRITE,
                 MAP_ANON|MAP_SHARED, -1, 0);
    if (!ok(count != MAP_FAILED, "mmap()")) {
        return;
    }

    env = getenv("RF_UNIT_KILLS");
    n = env ? (ngx_uint_t) atoi(env) : LEND_KILLS;
    unsound = 0;

    ngx_memzero(pids, sizeof(pids));

    for (i = 0; i < n && !count->wrong && !unsound; i++) {

        /* a writer and two readers; one or all of them die */

        for (k = 0; k < 3; k++) {

            if (pids[k] == 0) {
                pids[k] = fork();
            }

            if (pids[k] == 0) {
                ngx_pid = getpid();

                if (k == 0) {
                    lend_writer(&e);
                } else {
                    lend_reader(&e, count);
                }
            }
        }

        usleep(500 + i * 37 % 3000);

        for (k = 0; k < 3; k++) {
            if (i % 4 == 3 || k == i % 3) {
                lend_kill(&e, pids[k]);
                pids[k] = 0;
            }
        }

        if (i % 4 == 3) {
            ngx_rf_zone_lock(e.zone);
            ngx_rf_zone_pins_look(e.zone);
            ngx_rf_zone_unlock(e.zone);

            unsound = !sound_zone(e.zone, 0);
        }
    }

    for (k = 0; k < 3; k++) {
        if (pids[k]) {
            lend_kill(&e, pids[k]);
        }
    }

    is_int(count->wrong, 0, "%d kills: no value changed while it was lent",
           (int) i);
    is_int(unsound, 0, "and the zone is sound");
    ok(count->lent > 100 && count->given_up > 10,
       "%d were lent, %d of them replaced meanwhile", (int) count->lent,
       (int) count->given_up);
    ok(e.zone->sh->rebuilds > 0, "the zone was rebuilt %d times",
       (int) e.zone->sh->rebuilds);

    (void) munmap(count, sizeof(lend_count_t));
}
