/*
 * Lists: the replies of single commands, a long list, and what Redis is told.
 * That all of it is as in Redis is seen by diff_list.c; here is what that
 * cannot see.
 */

#include "rf_unit.h"
#include "ngx_rf_command.h"
#include "ngx_rf_local.h"
#include "sound.h"


#define LIST_ARGS   300
#define LIST_TEXT   8192
#define LIST_LONG   20000


typedef struct {
    ngx_pool_t           *pool;         /* of the command */
    ngx_rf_zone_t        *zone;
    ngx_rf_reply_t       *reply;
} list_t;


static void list_init(list_t *t, ngx_pool_t *pool, ngx_log_t *log,
    size_t size);
static ngx_int_t list_exec(list_t *t, const char *line);
static void list_is(list_t *t, const char *line, const char *expected);
static u_char *list_text(u_char *p, u_char *last, ngx_rf_reply_t *reply);
static void list_fill(list_t *t, const char *command, ngx_uint_t from,
    ngx_uint_t to);
static ngx_uint_t list_holds(list_t *t, ngx_uint_t at, ngx_uint_t n,
    ngx_uint_t first);
static void list_told(list_t *t, const char *key, const char *expected);
static void list_forget(list_t *t);


RF_UNIT(list_replies)
{
    list_t       t;
    ngx_uint_t   i;

    static const char  *lines[][2] = {
        { "rpush k a b c", "3" },
        { "lpush k x y", "5" },
        { "lrange k 0 -1", "[y x a b c]" },
        { "lrange k -2 100", "[b c]" },
        { "lrange k 3 1", "[]" },
        { "lrange k -100 0", "[y]" },
        { "lrange k 0 -9223372036854775808", "[]" },
        { "lrange k -9223372036854775808 9223372036854775807",
          "[y x a b c]" },
        { "lindex k 0", "y" },
        { "lindex k -1", "c" },
        { "lindex k 5", "nil" },
        { "lindex k -6", "nil" },
        { "lindex k -9223372036854775808", "nil" },
        { "lindex k 9223372036854775807", "nil" },
        { "lset k -2 B", "OK" },
        { "lset k 5 z", "-ERR index out of range" },
        { "linsert k before B b1", "6" },
        { "linsert k AFTER B b2", "7" },
        { "linsert k after nosuch q", "-1" },
        { "linsert nosuch after a q", "0" },
        { "lrange k 0 -1", "[y x a b1 B b2 c]" },
        { "ltrim k 1 -2", "OK" },
        { "lpop k", "x" },
        { "rpop k 2", "[b2 B]" },
        { "lpop k 0", "[]" },
        { "lpop k 9223372036854775807", "[a b1]" },
        { "exists k", "0" },
        { "lpop k", "nil" },
        { "lpop k 1", "nil" },
        { "lpushx k a", "0" },
        { "exists k", "0" },
        { "rpush k a b a c a", "5" },
        { "rpushx k b", "6" },
        { "lpos k a", "0" },
        { "lpos k a rank 2", "2" },
        { "lpos k a rank -1 count 0", "[4 2 0]" },
        { "lpos k a count 2 maxlen 2", "[0]" },
        { "lpos k nosuch", "nil" },
        { "lpos k nosuch count 1", "[]" },
        { "lrem k -2 a", "2" },
        { "lrange k 0 -1", "[a b c b]" },
        { "lrem k 0 b", "2" },
        { "lrem k 1 nosuch", "0" },
        { "lmove k k left right", "a" },
        { "lmove k k left left", "c" },
        { "lrange k 0 -1", "[c a]" },
        { "rpoplpush k m", "a" },
        { "lmove k m RIGHT Left", "c" },
        { "exists k", "0" },
        { "lrange m 0 -1", "[c a]" },
        { "rpoplpush k m", "nil" },
        { "rpoplpush m m", "a" },
        { "lmove m m up left", "-ERR syntax error" },
        { "rpush e ", "1" },
        { "lpos e ", "0" },
        { "lrem e 0 ", "1" },
        { "exists e", "0" },
        { "set s 1", "OK" },
        { "rpush s a", "-WRONGTYPE Operation against a key holding the wrong "
                       "kind of value" },
        { "lmove m s left left", "-WRONGTYPE Operation against a key holding "
                                 "the wrong kind of value" },
        { "lrange m 0 -1", "[a c]" },
        { "get m", "-WRONGTYPE Operation against a key holding the wrong kind "
                   "of value" },
        { "type m", "list" }
    };

    list_init(&t, pool, log, 8 * 1024 * 1024);

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        list_is(&t, lines[i][0], lines[i][1]);
    }

    ok(sound_zone(t.zone, 0), "the zone is sound");
}


/* the elements are e00000 to e19999, in their order */

RF_UNIT(list_long)
{
    char        line[64];
    size_t      used;
    list_t      t;
    ngx_uint_t  i, wrong;

    list_init(&t, pool, log, 32 * 1024 * 1024);
    used = ngx_rf_zone_used(t.zone);

    list_fill(&t, "rpush k", LIST_LONG / 2, LIST_LONG);

    for (i = LIST_LONG / 2; i > 0; i--) {
        sprintf(line, "lpush k e%05d", (int) i - 1);
        list_exec(&t, line);
    }

    list_is(&t, "llen k", "20000");

    for (i = 0, wrong = 0; i < LIST_LONG; i += 37) {
        wrong += !list_holds(&t, i, 1 + i % 500, i);
    }

    is_int(wrong, 0, "all of it is there, in order");

    list_is(&t, "lindex k 12345", "e12345");
    list_is(&t, "lindex k -1", "e19999");
    list_is(&t, "lpos k e15000", "15000");
    list_is(&t, "lpos k e15000 rank -1 maxlen 4999", "nil");
    list_is(&t, "lpos k e15000 rank -1 maxlen 5000", "15000");

    list_is(&t, "ltrim k 1000 -1001", "OK");
    list_is(&t, "llen k", "18000");
    ok(list_holds(&t, 0, 18000, 1000), "the middle is left");

    /* each third one is the same */

    for (i = 0; i < 3000; i += 3) {
        sprintf(line, "lset k %d same", (int) i);
        list_exec(&t, line);
    }

    list_is(&t, "lrem k -400 same", "400");
    list_is(&t, "llen k", "17600");
    list_is(&t, "lpos k same rank -1", "1797");
    list_is(&t, "lrem k 100 same", "100");
    list_is(&t, "lpos k same", "200");
    list_is(&t, "lrem k 0 same", "500");
    list_is(&t, "lrange k 0 3", "[e01001 e01002 e01004 e01005]");
    ok(list_holds(&t, 2000, 15000, 4000), "others are left");

    list_is(&t, "linsert k before e10000 here", "17001");
    list_is(&t, "lindex k 8000", "here");
    list_is(&t, "lindex k 8001", "e10000");

    list_exec(&t, "lpop k 8000");
    is_int(t.reply->nelts, 8000, "a long pop");
    list_is(&t, "rpop k", "e18999");

    while (list_exec(&t, "lmove k m left right") == NGX_OK
           && t.reply->type == NGX_RF_REPLY_STRING)
    {
        /* one by one */
    }

    list_is(&t, "llen m", "9000");
    list_is(&t, "exists k", "0");
    list_is(&t, "lpop m", "here");
    ok(list_holds(&t, 0, 0, 0), "the other one is empty");

    ok(sound_zone(t.zone, 0), "the zone is sound");

    list_is(&t, "del k m", "1");

    list_forget(&t);

    is_int(ngx_rf_zone_used(t.zone), used, "nothing is left in memory");
}


RF_UNIT(list_tells)
{
    list_t  t;

    list_init(&t, pool, log, 8 * 1024 * 1024);

    /* nothing is known of these keys: it merges with what Redis has */

    list_exec(&t, "rpush a x y");
    list_exec(&t, "lpush a z");
    list_exec(&t, "rpush a w");
    list_told(&t, "a", "LPUSH z; RPUSH x y w; ");

    list_exec(&t, "rpush b x y");
    list_exec(&t, "rpop b");
    list_exec(&t, "lpush b v w");
    list_is(&t, "lpop b 5", "[w v x]");
    list_told(&t, "b", "");

    list_is(&t, "lrem c -2 x", "0");
    list_told(&t, "c", "lrem -2 x; ");

    list_is(&t, "ltrim d 1 -2", "OK");
    list_told(&t, "d", "ltrim 1 -2; ");

    list_exec(&t, "rpush e x y x");
    list_is(&t, "lrem e 1 x", "1");
    list_exec(&t, "lpush e v");
    list_is(&t, "lset e -1 w", "OK");
    list_is(&t, "linsert e before w u", "4");
    list_is(&t, "lrange e 0 -1", "[v y u w]");
    list_is(&t, "rpop e", "w");
    list_told(&t, "e", "RPUSH x y x; lrem 1 x; LPUSH v; lset -1 w; "
                       "linsert before w u; LREM -1 w; ");

    /* what is not here changes nothing */

    list_is(&t, "lpushx f x", "0");
    list_is(&t, "linsert f before x y", "0");
    list_is(&t, "lset f 0 x", "-ERR no such key");
    list_is(&t, "rpop f", "nil");
    list_is(&t, "rpoplpush f g", "nil");
    list_told(&t, "f", "");
    list_told(&t, "g", "");

    /* moved: removed there, pushed here */

    list_exec(&t, "rpush h x");
    list_told(&t, "h", "RPUSH x; ");
    list_exec(&t, "lmove h i right right");
    list_told(&t, "i", "RPUSH x; ");

    list_exec(&t, "rpush j x y z");
    list_exec(&t, "rpoplpush j j");
    list_is(&t, "lrange j 0 -1", "[z x y]");
    list_told(&t, "j", "LPUSH z; RPUSH x y; ");

    /* what replaces: Redis gets the elements that are there */

    list_exec(&t, "del r");
    list_exec(&t, "rpush r a b c d");
    list_is(&t, "ltrim r 1 -1", "OK");
    list_is(&t, "lset r 0 B", "OK");
    list_is(&t, "lrem r 1 c", "1");
    list_told(&t, "r", "= B d ");

    list_is(&t, "ltrim r 5 6", "OK");
    list_is(&t, "exists r", "0");
    list_told(&t, "r", "= ");

    ok(sound_zone(t.zone, 0), "the zone is sound");
}


static void
list_init(list_t *t, ngx_pool_t *pool, ngx_log_t *log, size_t size)
{
    ngx_shm_zone_t  *shm;

    ngx_time_update();

    shm = rf_unit_shm(pool, log, size);
    t->zone = ngx_pcalloc(pool, sizeof(ngx_rf_zone_t));
    t->pool = pool;

    ngx_str_set(&t->zone->name, "app");
    shm->data = t->zone;

    ok(ngx_rf_zone_init(shm, NULL) == NGX_OK, "a zone");
}


/* words are separated by single blanks */

static ngx_int_t
list_exec(list_t *t, const char *line)
{
    ngx_int_t        rc;
    ngx_str_t        argv[LIST_ARGS];
    ngx_uint_t       argc;
    const char      *p;
    ngx_rf_local_t   l;

    ngx_memzero(&l, sizeof(ngx_rf_local_t));

    for (argc = 0; argc < LIST_ARGS; argc++) {
        p = strchr(line, ' ');
        p = p ? p : line + strlen(line);

        /* out of the line's own memory: what is stored is a copy */

        argv[argc].len = p - line;
        argv[argc].data = ngx_pnalloc(t->pool, argv[argc].len + 1);
        ngx_memcpy(argv[argc].data, line, argv[argc].len);

        if (*p == '\0') {
            argc++;
            break;
        }

        line = p + 1;
    }

    l.zone = t->zone;
    l.pool = t->pool;
    l.now = ngx_rf_now();
    l.scope = NGX_RF_SCOPE_ANY;
    l.command = ngx_rf_command_find(&argv[0]);
    l.argc = argc;
    l.argv = argv;

    rc = ngx_rf_local_exec(&l);
    t->reply = l.reply;

    return rc;
}


static void
list_is(list_t *t, const char *line, const char *expected)
{
    u_char      buf[LIST_TEXT];
    ngx_int_t   rc;
    ngx_str_t   text;

    rc = list_exec(t, line);

    if (rc != NGX_OK) {
        is_int(rc, NGX_OK, "%s", line);
        return;
    }

    text.data = buf;
    text.len = list_text(buf, buf + sizeof(buf), t->reply) - buf;

    is_str(&text, expected, strlen(expected), "%s", line);
}


static u_char *
list_text(u_char *p, u_char *last, ngx_rf_reply_t *reply)
{
    ngx_uint_t  i;

    switch (reply->type) {

    case NGX_RF_REPLY_NIL:
        return ngx_slprintf(p, last, "nil");

    case NGX_RF_REPLY_INTEGER:
        return ngx_slprintf(p, last, "%L", reply->integer);

    case NGX_RF_REPLY_ERROR:
        return ngx_slprintf(p, last, "-%V", &reply->str);

    case NGX_RF_REPLY_ARRAY:
        p = ngx_slprintf(p, last, "[");

        for (i = 0; i < reply->nelts; i++) {
            p = ngx_slprintf(p, last, i ? " " : "");
            p = list_text(p, last, &reply->elts[i]);
        }

        return ngx_slprintf(p, last, "]");

    default:
        return ngx_slprintf(p, last, "%V", &reply->str);
    }
}


/* pushes e(from) to e(to - 1), a hundred at once */

static void
list_fill(list_t *t, const char *command, ngx_uint_t from, ngx_uint_t to)
{
    char        line[1024], *p;
    ngx_uint_t  n;

    while (from < to) {
        p = line + sprintf(line, "%s", command);

        for (n = 0; n < 100 && from < to; n++) {
            p += sprintf(p, " e%05d", (int) from++);
        }

        list_exec(t, line);
    }
}


/* whether k holds n elements from e(first) on at this index, or as many as
 * there are behind it */

static ngx_uint_t
list_holds(list_t *t, ngx_uint_t at, ngx_uint_t n, ngx_uint_t first)
{
    char             line[64], text[16];
    ngx_str_t       *str;
    ngx_uint_t       i;

    list_exec(t, "llen k");

    n = ngx_min(n, (ngx_uint_t) t->reply->integer - at);

    sprintf(line, "lrange k %d %d", (int) at, (int) (at + n) - 1);

    if (n == 0) {
        return t->reply->integer == 0;
    }

    if (list_exec(t, line) != NGX_OK || t->reply->nelts != n) {
        printf("# %s: not %d elements\n", line, (int) n);
        return 0;
    }

    for (i = 0; i < n; i++) {
        str = &t->reply->elts[i].str;
        sprintf(text, "e%05d", (int) (first + i));

        if (str->len != 6 || ngx_memcmp(str->data, text, 6) != 0) {
            printf("# %s: %.*s is not %s\n", line, (int) str->len, str->data,
                   text);
            return 0;
        }
    }

    return 1;
}


/* the changes of the key as they are replayed, or "= " and what replaces it */

static void
list_told(list_t *t, const char *key, const char *expected)
{
    u_char           buf[LIST_TEXT], *p;
    ngx_str_t        text;
    ngx_uint_t       i, j;
    ngx_rf_record_t *rec, *next;

    p = buf;
    rec = ngx_rf_zone_replay_take(t->zone, 1000, 1 << 20, ngx_rf_now(), NULL);

    for ( /* void */ ; rec; rec = next) {
        next = rec->next;

        if (rec->key.len == strlen(key)
            && ngx_memcmp(rec->key.data, key, rec->key.len) == 0)
        {
            if (rec->pending == NGX_RF_REPLACE) {
                p = ngx_cpymem(p, "= ", 2);
            }

            for (i = 0; rec->pending == NGX_RF_REPLACE && i < rec->nvalues;
                 i++)
            {
                p = ngx_sprintf(p, "%V ", &rec->values[i]);
            }

            for (i = 0; i < rec->nchanges; i++) {
                for (j = 0; j < rec->changes[i].argc; j++) {
                    p = ngx_sprintf(p, j ? " %V" : "%V",
                                    &rec->changes[i].argv[j]);
                }

                p = ngx_cpymem(p, "; ", 2);
            }
        }

        ngx_rf_zone_replay_done(t->zone, rec, NGX_AGAIN, 0, ngx_rf_now());
        free(rec);
    }

    text.data = buf;
    text.len = p - buf;

    is_str(&text, expected, strlen(expected), "Redis is told of %s", key);
}


/* all of it is replayed, and evicted then; trees go a little at a time */

static void
list_forget(list_t *t)
{
    ngx_uint_t        i;
    ngx_rf_record_t  *rec, *next;

    rec = ngx_rf_zone_replay_take(t->zone, 1000, 1 << 30, ngx_rf_now(), NULL);

    for ( /* void */ ; rec; rec = next) {
        next = rec->next;
        ngx_rf_zone_replay_done(t->zone, rec, NGX_OK, 0, ngx_rf_now());
        free(rec);
    }

    ngx_rf_zone_lock(t->zone);
    ngx_rf_zone_forget_all_locked(t->zone);

    for (i = 0; i < 1000; i++) {
        ngx_rf_zone_sweep_locked(t->zone, ngx_rf_now(), 1);
    }

    ngx_rf_zone_unlock(t->zone);
}
