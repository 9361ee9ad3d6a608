/*
 * Runs the lines of steps_ops.c: commands, and words for what else happens to a
 * zone.
 */

#include "steps.h"
#include "ngx_rf_codec.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_zone_internal.h"


#define STEPS_PARTS     16
#define STEPS_TEXT      16384


typedef struct {
    const char           *word;
    void                (*run)(steps_t *s, char *args);
} steps_word_t;


static void steps_line(steps_t *s, ngx_rf_zone_t *zone, char *line);
static ngx_uint_t steps_split(steps_t *s, char *line, ngx_str_t *argv);

static void steps_w_redis(steps_t *s, char *args);
static void steps_w_fill(steps_t *s, char *args);
static void steps_w_many(steps_t *s, char *args);
static void steps_w_learn(steps_t *s, char *args);
static void steps_w_crowd(steps_t *s, char *args);
static void steps_w_full(steps_t *s, char *args);
static void steps_w_later(steps_t *s, char *args);
static void steps_w_ready(steps_t *s, char *args);
static void steps_w_scan(steps_t *s, char *args);
static void steps_w_lead(steps_t *s, char *args);
static void steps_w_log(steps_t *s, char *args);
static void steps_w_logged(steps_t *s, char *args);
static void steps_w_unlogged(steps_t *s, char *args);
static void steps_w_turn(steps_t *s, char *args);
static void steps_w_write(steps_t *s, char *args);
static void steps_w_others_write(steps_t *s, char *args);
static void steps_w_written(steps_t *s, char *args);
static void steps_w_failed(steps_t *s, char *args);
static void steps_w_reclaim(steps_t *s, char *args);
static void steps_w_hurry(steps_t *s, char *args);
static void steps_w_take(steps_t *s, char *args);
static void steps_w_replay(steps_t *s, char *args);
static void steps_w_ack(steps_t *s, char *args);
static void steps_w_keep(steps_t *s, char *args);
static void steps_w_again(steps_t *s, char *args);
static void steps_w_decline(steps_t *s, char *args);
static void steps_w_reset(steps_t *s, char *args);
static void steps_w_first(steps_t *s, char *args);
static void steps_w_file(steps_t *s, char *args);
static void steps_w_spill(steps_t *s, char *args);
static void steps_w_load(steps_t *s, char *args);
static void steps_w_load_spilled(steps_t *s, char *args);
static void steps_w_forget(steps_t *s, char *args);
static void steps_w_forget_all(steps_t *s, char *args);
static void steps_w_sweep(steps_t *s, char *args);
static void steps_w_trash(steps_t *s, char *args);
static void steps_w_pin(steps_t *s, char *args);
static void steps_w_lend(steps_t *s, char *args);
static void steps_w_others_lend(steps_t *s, char *args);
static void steps_w_return(steps_t *s, char *args);
static void steps_w_lock(steps_t *s, char *args);
static void steps_w_restore(steps_t *s, char *args);
static void steps_w_abandon(steps_t *s, char *args);
static void steps_w_abandoned_done(steps_t *s, char *args);
static void steps_w_salvage(steps_t *s, char *args);


static steps_word_t  steps_words[] = {

    /* scenes */

    { "@redis", steps_w_redis },        /* a command that Redis got */
    { "@fill", steps_w_fill },          /* VERB key from n */
    { "@many", steps_w_many },          /* the same in one command */
    { "@crowd", steps_w_crowd },        /* n clean strings of a size */
    { "@full", steps_w_full },          /* of pending strings */
    { "@later", steps_w_later },        /* ms */
    { "@ready", steps_w_ready },        /* this nginx has the files */
    { "@scan", steps_w_scan },          /* files were found at the start */
    { "@lead", steps_w_lead },          /* who dies is the leader */
    { "@pin", steps_w_pin },            /* one reads without the lock */
    { "@file", steps_w_file },          /* remember what files would hold */
    { "@spill", steps_w_spill },        /* it is in the files only */
    { "@replay", steps_w_replay },      /* Redis has executed it */
    { "@restore", steps_w_restore },    /* Redis has lost its data */
    { "@others_write", steps_w_others_write },
    { "@others_lend", steps_w_others_lend },

    /* both */

    { "@learn", steps_w_learn },        /* command [= reply] */
    { "@log", steps_w_log },            /* n: log_take() */
    { "@logged", steps_w_logged },      /* log_done() */
    { "@unlogged", steps_w_unlogged },
    { "@turn", steps_w_turn },
    { "@write", steps_w_write },        /* n: what is journaled, dirty_take() */
    { "@written", steps_w_written },    /* dirty_done() */
    { "@failed", steps_w_failed },
    { "@reclaim", steps_w_reclaim },
    { "@hurry", steps_w_hurry },
    { "@take", steps_w_take },          /* n: replay_take() */
    { "@ack", steps_w_ack },            /* replay_done() */
    { "@keep", steps_w_keep },
    { "@again", steps_w_again },
    { "@decline", steps_w_decline },
    { "@reset", steps_w_reset },
    { "@first", steps_w_first },        /* replay_hurry() */
    { "@load", steps_w_load },
    { "@load_spilled", steps_w_load_spilled },
    { "@forget", steps_w_forget },
    { "@forget_all", steps_w_forget_all },
    { "@sweep", steps_w_sweep },
    { "@trash", steps_w_trash },
    { "@lend", steps_w_lend },          /* the key's value */
    { "@return", steps_w_return },
    { "@lock", steps_w_lock },
    { "@abandon", steps_w_abandon },
    { "@abandoned_done", steps_w_abandoned_done },
    { "@salvage", steps_w_salvage },

    { NULL, NULL }
};


void
steps_run(steps_t *s, const char *script)
{
    char          *copy, *line, *next, *args;
    steps_word_t  *word;

    copy = strdup(script);

    for (line = copy; line && *line; line = next) {

        next = strstr(line, "; ");

        if (next) {
            *next = '\0';
            next += 2;
        }

        if (line[0] != '@') {
            steps_line(s, &s->zone, line);
            continue;
        }

        args = strchr(line, ' ');

        if (args) {
            *args++ = '\0';

        } else {
            args = line + ngx_strlen(line);
        }

        for (word = steps_words; word->word; word++) {
            if (ngx_strcmp(word->word, line) == 0) {
                word->run(s, args);
                break;
            }
        }

        if (word->word == NULL) {
            steps_wrong(s, "no word \"%s\"", line);
        }
    }

    free(copy);
}


/* a command, or a transaction */

static void
steps_line(steps_t *s, ngx_rf_zone_t *zone, char *line)
{
    char                 *next;
    ngx_str_t             argv[STEPS_ARGS];
    ngx_uint_t            n, argc;
    ngx_rf_local_t        l;
    ngx_rf_command_t      command;
    ngx_rf_local_part_t   parts[STEPS_PARTS];

    if (strstr(line, " | ") == NULL) {
        argc = steps_split(s, line, argv);
        (void) steps_exec(s, zone, argc, argv);
        return;
    }

    argc = 0;

    for (n = 0; line && n < STEPS_PARTS; n++, line = next) {
        next = strstr(line, " | ");

        if (next) {
            *next = '\0';
            next += 3;
        }

        parts[n].first = argc;
        parts[n].argc = steps_split(s, line, &argv[argc]);
        parts[n].command = ngx_rf_command_find(&argv[argc]);
        argc += parts[n].argc;
    }

    ngx_memzero(&command, sizeof(ngx_rf_command_t));
    command.flags = NGX_RF_CMD_WRITE;

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    l.zone = zone;
    l.pool = s->pool;
    l.now = s->now;
    l.command = &command;
    l.argc = argc;
    l.argv = argv;

    s->rc = ngx_rf_local_exec_all(&l, parts, n);
}


static ngx_uint_t
steps_split(steps_t *s, char *line, ngx_str_t *argv)
{
    char        *p, *save;
    ngx_uint_t   argc;

    argc = 0;

    for (p = strtok_r(line, " ", &save);
         p && argc < STEPS_ARGS;
         p = strtok_r(NULL, " ", &save))
    {
        argv[argc].data = (u_char *) p;
        argv[argc].len = ngx_strlen(p);

        if (p[0] == '%') {
            argv[argc].len = atoi(p + 1);
            argv[argc].data = ngx_palloc(s->pool, argv[argc].len);
            ngx_memset(argv[argc].data, 'v', argv[argc].len);
        }

        argc++;
    }

    return argc;
}


static void
steps_w_redis(steps_t *s, char *args)
{
    steps_line(s, &s->redis, args);
}


static void
steps_fill(steps_t *s, char *args, ngx_uint_t batch)
{
    char  verb[16], key[16], line[STEPS_TEXT], *p;
    int   i, from, n, pairs;

    sscanf(args, "%15s %15s %d %d", verb, key, &from, &n);

    pairs = (verb[0] == 'H' || verb[0] == 'Z');
    p = line;

    for (i = from; i < from + n; i++) {

        if (p == line) {
            p += sprintf(p, "%s %s", verb, key);
        }

        p += verb[0] == 'Z' ? sprintf(p, " %d m%d", i, i)
             : pairs ? sprintf(p, " m%d %d", i, i)
                     : sprintf(p, " m%d", i);

        if ((i - from + 1) % batch == 0 || i == from + n - 1) {
            steps_line(s, &s->zone, line);
            p = line;
        }
    }
}


static void
steps_w_fill(steps_t *s, char *args)
{
    steps_fill(s, args, 50);
}


static void
steps_w_many(steps_t *s, char *args)
{
    steps_fill(s, args, 1000);
}


static void
steps_w_learn(steps_t *s, char *args)
{
    char            *answer;
    ngx_str_t        argv[STEPS_ARGS], values[STEPS_ARGS];
    ngx_uint_t       i, argc;
    ngx_rf_reply_t   reply, *elts;

    answer = strstr(args, " = ");

    if (answer) {
        *answer = '\0';
        answer += 3;
    }

    argc = steps_split(s, args, argv);

    ngx_memzero(&reply, sizeof(ngx_rf_reply_t));

    if (answer == NULL) {
        reply.type = argv[0].data[0] == 'S' ? NGX_RF_REPLY_STATUS
                                            : NGX_RF_REPLY_INTEGER;
        reply.integer = 1;

    } else {
        reply.type = NGX_RF_REPLY_ARRAY;
        reply.nelts = steps_split(s, answer, values);

        elts = ngx_pcalloc(s->pool, reply.nelts * sizeof(ngx_rf_reply_t));

        for (i = 0; i < reply.nelts; i++) {
            elts[i].type = NGX_RF_REPLY_STRING;
            elts[i].str = values[i];
        }

        reply.elts = elts;

        if (reply.nelts == 1 && argv[0].data[0] == 'G') {
            reply = elts[0];
        }
    }

    ngx_rf_learn(&s->zone, s->pool, ngx_rf_command_find(&argv[0]), argc, argv,
                 &reply, -1, s->zone.sh->seq, s->now, 0);
}


static void
steps_w_crowd(steps_t *s, char *args)
{
    int   i, n, size;
    char  line[64];

    sscanf(args, "%d %d", &n, &size);

    for (i = 0; i < n; i++) {
        sprintf(line, "GET c%d = %%%d", i, size);
        steps_w_learn(s, line);
    }
}


static void
steps_w_full(steps_t *s, char *args)
{
    int   i;
    char  line[64];

    for (i = 0; i < STEPS_KEYS; i++) {
        sprintf(line, "SET f%d %%8000", i);
        steps_line(s, &s->zone, line);

        if (s->rc != NGX_OK) {
            break;
        }
    }

    s->rc = NGX_OK;
}


static void
steps_w_later(steps_t *s, char *args)
{
    s->now += atoi(args);
}


static void
steps_w_ready(steps_t *s, char *args)
{
    s->zone.sh->files_ready = 1;
}


static void
steps_w_scan(steps_t *s, char *args)
{
    s->zone.sh->files_scan = 1;
}


static void
steps_w_lead(steps_t *s, char *args)
{
    s->zone.sh->leader = STEPS_DEAD;
}


static void
steps_w_log(steps_t *s, char *args)
{
    s->logging = ngx_rf_zone_log_take(&s->zone, *args ? atoi(args) : 1000,
                                      1 << 30, 1, &s->head);
}


static void
steps_w_logged(steps_t *s, char *args)
{
    ngx_rf_zone_log_done(&s->zone, s->logging, NGX_OK, s->head.generation);
    s->logging = NULL;
}


static void
steps_w_unlogged(steps_t *s, char *args)
{
    ngx_rf_zone_log_done(&s->zone, s->logging, NGX_ERROR, s->head.generation);
    s->logging = NULL;
}


/* all that the old generation has is needed once more */

static void
steps_w_turn(steps_t *s, char *args)
{
    ngx_uint_t  at, left;

    at = 0;
    left = 0;

    ngx_rf_zone_turn(&s->zone);
    (void) ngx_rf_zone_turn_scan(&s->zone, 1000000, &at, &left, &s->head);
}


static void
steps_w_write(steps_t *s, char *args)
{
    steps_w_log(s, "");
    steps_w_logged(s, "");

    s->writing = ngx_rf_zone_dirty_take(&s->zone, *args ? atoi(args) : 1000,
                                        1 << 30);
}


static void
steps_w_others_write(steps_t *s, char *args)
{
    ngx_pid = STEPS_DEAD_TOO;
    steps_w_write(s, args);
    ngx_pid = STEPS_DEAD;
}


static void
steps_written(steps_t *s, ngx_int_t status)
{
    ngx_rf_record_t  *rec;

    for (rec = s->writing; rec; rec = rec->next) {
        rec->status = status;

        if (status == NGX_OK) {
            steps_file(s, ngx_rf_codec_clone(rec));
        }
    }

    ngx_rf_zone_dirty_done(&s->zone, s->writing);
    s->writing = NULL;
}


static void
steps_w_written(steps_t *s, char *args)
{
    steps_written(s, NGX_OK);
}


static void
steps_w_failed(steps_t *s, char *args)
{
    steps_written(s, NGX_ERROR);
}


static void
steps_w_reclaim(steps_t *s, char *args)
{
    ngx_rf_zone_reclaim(&s->zone);
}


static void
steps_w_hurry(steps_t *s, char *args)
{
    ngx_str_t  key;

    (void) steps_split(s, args, &key);
    ngx_rf_zone_hurry(&s->zone, &key);
}


static void
steps_w_take(steps_t *s, char *args)
{
    ngx_uint_t  restored;

    s->flying = ngx_rf_zone_replay_take(&s->zone, *args ? atoi(args) : 1000,
                                        1 << 30, s->now, &restored);
}


static void
steps_w_replay(steps_t *s, char *args)
{
    ngx_rf_record_t  *rec;

    steps_w_take(s, args);

    for (rec = s->flying; rec; rec = rec->next) {
        steps_apply(s, rec);
    }
}


static void
steps_w_ack(steps_t *s, char *args)
{
    steps_end(s, NGX_OK, 0);
}


static void
steps_w_keep(steps_t *s, char *args)
{
    steps_end(s, NGX_OK, 1);
}


static void
steps_w_again(steps_t *s, char *args)
{
    steps_end(s, NGX_AGAIN, 0);
}


static void
steps_w_decline(steps_t *s, char *args)
{
    steps_end(s, NGX_DECLINED, 0);
}


static void
steps_w_reset(steps_t *s, char *args)
{
    ngx_rf_zone_replay_reset(&s->zone);
}


static void
steps_w_first(steps_t *s, char *args)
{
    ngx_str_t  key;

    (void) steps_split(s, args, &key);
    ngx_rf_zone_replay_hurry(&s->zone, &key);
}


/* all that is pending, as files hold it */

static void
steps_w_file(steps_t *s, char *args)
{
    ngx_rf_entry_t  *e;

    for (e = ngx_rf_zone_line_first(s->zone.sh, NGX_RF_LINE_PENDING);
         e;
         e = ngx_rf_zone_line_next(s->zone.sh, e))
    {
        steps_file(s, ngx_rf_zone_record(&s->zone, e));
    }
}


/* as an eviction does it */

static void
steps_w_spill(steps_t *s, char *args)
{
    ngx_rf_entry_t  *e;

    ngx_rf_zone_lock(&s->zone);

    while ((e = ngx_rf_zone_line_first(s->zone.sh, NGX_RF_LINE_PENDING))
           != NULL)
    {
        s->zone.sh->spilled++;
        ngx_rf_zone_remove(&s->zone, e);
    }

    ngx_rf_zone_unlock(&s->zone);
}


static void
steps_w_load(steps_t *s, char *args)
{
    steps_load(s, 0);
}


static void
steps_w_load_spilled(steps_t *s, char *args)
{
    steps_load(s, 1);
}


static void
steps_w_forget(steps_t *s, char *args)
{
    ngx_str_t  key;

    (void) steps_split(s, args, &key);

    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_forget_key_locked(&s->zone, &key);
    ngx_rf_zone_unlock(&s->zone);
}


static void
steps_w_forget_all(steps_t *s, char *args)
{
    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_forget_all_locked(&s->zone);
    ngx_rf_zone_unlock(&s->zone);
}


static void
steps_w_sweep(steps_t *s, char *args)
{
    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_sweep_locked(&s->zone, s->now, 1000);
    ngx_rf_zone_unlock(&s->zone);
}


static void
steps_w_trash(steps_t *s, char *args)
{
    ngx_rf_zone_lock(&s->zone);
    (void) ngx_rf_zone_trash(&s->zone, 1000);
    ngx_rf_zone_unlock(&s->zone);
}


/* of a process that lives */

static void
steps_w_pin(steps_t *s, char *args)
{
    ngx_rf_zone_lock(&s->zone);
    (void) ngx_rf_zone_pin(&s->zone, getppid());
    ngx_rf_zone_unlock(&s->zone);
}


static void
steps_w_lend(steps_t *s, char *args)
{
    ngx_str_t        key;
    ngx_rf_entry_t  *e;

    (void) steps_split(s, args, &key);

    ngx_rf_zone_lock(&s->zone);

    e = ngx_rf_zone_lookup_locked(&s->zone, &key);

    if (e != NULL && e->value != NULL) {
        (void) ngx_rf_zone_lend_locked(&s->zone, e->value);
    }

    ngx_rf_zone_unlock(&s->zone);
}


/* and died */

static void
steps_w_others_lend(steps_t *s, char *args)
{
    ngx_pid = STEPS_DEAD_TOO;
    steps_w_lend(s, args);
    ngx_pid = STEPS_DEAD;

    s->zone.lender = 0;
    s->zone.lent = NULL;
}


static void
steps_w_return(steps_t *s, char *args)
{
    ngx_rf_zone_returned(&s->zone);
}


static void
steps_w_lock(steps_t *s, char *args)
{
    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_unlock(&s->zone);
}


static void
steps_w_restore(steps_t *s, char *args)
{
    s->zone.sh->run++;
    s->zone.sh->restore = 1;
}


/* id, or first id and number */

static void
steps_w_abandon(steps_t *s, char *args)
{
    int        i, first, n;
    ngx_str_t  run_id;

    n = 1;
    sscanf(args, "%d %d", &first, &n);

    run_id.data = (u_char *) "0123456789012345678901234567890123456789";
    run_id.len = 40;

    for (i = 0; i < n; i++) {
        (void) ngx_rf_zone_abandon(&s->zone, &run_id, first + i);
    }
}


static void
steps_w_abandoned_done(steps_t *s, char *args)
{
    int       a, b;
    uint64_t  ids[2];

    sscanf(args, "%d %d", &a, &b);

    ids[0] = a;
    ids[1] = b;
    ngx_rf_zone_abandoned_done(&s->zone, ids, 2);
}


/* one who finds what another one has left is killed, too */

static void
steps_w_salvage(steps_t *s, char *args)
{
    s->zone.sh->busy = STEPS_DEAD_TOO;
    ngx_rf_zone_lock(&s->zone);
    ngx_rf_zone_unlock(&s->zone);
}
