/*
 * Owns the bytes of RESP: a command's on their way out, and those of replies
 * until they are whole.
 *
 * Nearly all replies are a string, a number, nil or OK, and have arrived as a
 * whole: take() copies them out of the caller's read buffer into the pool, and
 * nobody else touches them.  All the rest, what is there of a reply in part
 * included, goes to hiredis' redisReader, in pieces, with functions that build
 * the same replies in the pool.  When that has nothing left the next reply is
 * for take() again; so it gets no more than what it has begun, where that is
 * known ("want").
 *
 * Guarantees: whatever the server sends, memory grows only with bytes that
 * have arrived, never with a length or a count that was merely announced, and
 * both are limited.  Refuses to know sockets, commands and what a reply means,
 * errors that tell of an outage aside.
 */

#include "ngx_rf_resp.h"
#include <hiredis/hiredis.h>


/* an array's first elements are allocated at once; must be a power of two */
#define NGX_RF_RESP_ELTS_FIRST  64

/* elements of a reply, of all its arrays: some 450 MB of ngx_rf_reply_t */
#define NGX_RF_RESP_ELTS_MAX    (8 * 1024 * 1024)

/* Redis nests at most 4 deep (COMMAND DOCS); hiredis 0.14 takes 7 */
#define NGX_RF_RESP_DEPTH_MAX   7

/* an idle read buffer above this is given back to malloc() */
#define NGX_RF_RESP_BUF_MAX     (64 * 1024)

/* bytes that hiredis gets at a time: after each reply of 1 KB and more it
 * moves all that it has to the front */
#define NGX_RF_RESP_PIECE       8192

/* digits of a number that take() reads; no sum of them overflows */
#define NGX_RF_RESP_DIGITS      18

/* a string up to this is in one block with its reply */
#define NGX_RF_RESP_SHORT       1024


#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_rf_resp_count_t;
#else
typedef int     ngx_rf_resp_count_t;
#endif


struct ngx_rf_resp_reader_s {
    redisReader              *reader;
    u_char                   *pos;      /* of what was fed, and nobody has */
    u_char                   *last;     /* looked at yet: the caller's */
    size_t                    want;     /* bytes that are missing of what
                                           hiredis has; 0: not known */
    ngx_pool_t               *pool;     /* of the reply being parsed */
    const char               *refused;  /* a limit that the reply exceeds */
    size_t                    fed;      /* bytes since the reply began */
    size_t                    nelts;    /* elements announced so far */
};


static ngx_int_t ngx_rf_resp_take(ngx_rf_resp_reader_t *r, ngx_pool_t *pool,
    ngx_rf_reply_t **reply);
static u_char *ngx_rf_resp_number(u_char *p, u_char *last, int64_t *n);
static ngx_int_t ngx_rf_resp_spill(ngx_rf_resp_reader_t *r);
static ngx_rf_reply_t *ngx_rf_resp_slot(const redisReadTask *task,
    ngx_rf_reply_e type);
static ngx_int_t ngx_rf_resp_grow(ngx_pool_t *pool, ngx_rf_reply_t *array);
static void *ngx_rf_resp_create_string(const redisReadTask *task, char *data,
    size_t len);
static void *ngx_rf_resp_create_array(const redisReadTask *task,
    ngx_rf_resp_count_t n);
static void *ngx_rf_resp_create_integer(const redisReadTask *task,
    long long n);
static void *ngx_rf_resp_create_nil(const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_rf_resp_create_double(const redisReadTask *task, double d,
    char *data, size_t len);
static void *ngx_rf_resp_create_bool(const redisReadTask *task, int b);
#endif
static void ngx_rf_resp_free_object(void *obj);
static u_char *ngx_rf_resp_head(u_char *p, u_char type, size_t n);
static size_t ngx_rf_resp_head_size(size_t n);
static ngx_int_t ngx_rf_resp_copy_into(ngx_pool_t *pool, ngx_rf_reply_t *to,
    ngx_rf_reply_t *from);


static redisReplyObjectFunctions  ngx_rf_resp_functions = {
    ngx_rf_resp_create_string,
    ngx_rf_resp_create_array,
    ngx_rf_resp_create_integer,
#if (HIREDIS_MAJOR >= 1)
    ngx_rf_resp_create_double,
#endif
    ngx_rf_resp_create_nil,
#if (HIREDIS_MAJOR >= 1)
    ngx_rf_resp_create_bool,
#endif
    ngx_rf_resp_free_object
};


/* stands for every part of a reply that nobody wants; never written to */
static ngx_rf_reply_t  ngx_rf_resp_dropped;


size_t
ngx_rf_resp_size(ngx_uint_t argc, ngx_str_t *argv)
{
    size_t      size;
    ngx_uint_t  i;

    size = ngx_rf_resp_head_size(argc);

    for (i = 0; i < argc; i++) {
        size += ngx_rf_resp_head_size(argv[i].len) + argv[i].len + 2;
    }

    return size;
}


u_char *
ngx_rf_resp_write(u_char *p, ngx_uint_t argc, ngx_str_t *argv)
{
    ngx_uint_t  i;

    p = ngx_rf_resp_head(p, '*', argc);

    for (i = 0; i < argc; i++) {
        p = ngx_rf_resp_head(p, '$', argv[i].len);

        if (argv[i].len) {
            p = ngx_cpymem(p, argv[i].data, argv[i].len);
        }

        *p++ = CR;
        *p++ = LF;
    }

    return p;
}


ngx_rf_resp_reader_t *
ngx_rf_resp_reader_create(void)
{
    ngx_rf_resp_reader_t  *r;

    r = calloc(1, sizeof(ngx_rf_resp_reader_t));
    if (r == NULL) {
        return NULL;
    }

    r->reader = redisReaderCreateWithFunctions(&ngx_rf_resp_functions);
    if (r->reader == NULL) {
        free(r);
        return NULL;
    }

    r->reader->maxbuf = NGX_RF_RESP_BUF_MAX;
    r->reader->privdata = r;

    return r;
}


void
ngx_rf_resp_reader_destroy(ngx_rf_resp_reader_t *r)
{
    if (r) {
        redisReaderFree(r->reader);
        free(r);
    }
}


ngx_int_t
ngx_rf_resp_feed(ngx_rf_resp_reader_t *r, u_char *data, size_t len)
{
    /* what nobody has asked for yet must not get lost */

    while (r->pos != r->last) {

        if (ngx_rf_resp_spill(r) != NGX_OK) {
            break;
        }
    }

    if (r->refused) {
        return NGX_ERROR;
    }

    r->pos = data;
    r->last = data + len;

    return NGX_OK;
}


ngx_int_t
ngx_rf_resp_next(ngx_rf_resp_reader_t *r, ngx_pool_t *pool,
    ngx_rf_reply_t **reply, const char **err)
{
    void         *obj;
    ngx_int_t     rc;
    redisReader  *reader;

    *reply = NULL;
    reader = r->reader;
    obj = NULL;

    while (r->refused == NULL && obj == NULL) {

        if (reader->ridx == -1) {

            if (reader->len == reader->pos) {
                rc = ngx_rf_resp_take(r, pool, reply);

                if (rc == NGX_OK || rc == NGX_AGAIN) {
                    return rc;
                }
            }

            r->pool = pool;
            r->nelts = 0;
        }

        if (reader->ridx != -1 || reader->len == reader->pos) {

            if (r->pos == r->last) {
                return NGX_AGAIN;
            }

            if (ngx_rf_resp_spill(r) != NGX_OK) {
                break;
            }
        }

        if (redisReaderGetReply(reader, &obj) != REDIS_OK
            && r->refused == NULL)
        {
            r->refused = reader->errstr;
        }
    }

    if (r->refused) {
        r->pool = NULL;

        *err = r->refused;
        return NGX_ERROR;
    }

    if (r->pool) {
        *reply = obj;
        r->pool = NULL;
    }

    r->want = 0;
    r->fed = reader->len - reader->pos;

    return NGX_OK;
}


/*
 * A whole reply that needs no parser, out of what was fed.  NGX_DECLINED: it
 * is for hiredis; NGX_AGAIN: there is nothing.
 */

static ngx_int_t
ngx_rf_resp_take(ngx_rf_resp_reader_t *r, ngx_pool_t *pool,
    ngx_rf_reply_t **reply)
{
    u_char           type, *p, *data;
    int64_t          n;
    ngx_uint_t       str;
    ngx_rf_reply_t  *taken;

    if (r->pos == r->last) {
        return NGX_AGAIN;
    }

    p = r->pos;
    type = *p++;
    data = (u_char *) "OK";
    n = 2;

    switch (type) {

    case '+':

        if (r->last - p < 4 || ngx_memcmp(p, "OK" CRLF, 4) != 0) {
            return NGX_DECLINED;
        }

        p += 4;
        break;

    case '$':
    case ':':
        p = ngx_rf_resp_number(p, r->last, &n);

        if (p == NULL || (type == '$' && n < -1)) {
            return NGX_DECLINED;
        }

        break;

    default:
        return NGX_DECLINED;
    }

    str = (type == '$' && n >= 0);

    if (str) {

        if (r->last - p < n + 2) {
            r->want = (p - r->pos) + n + 2;
            return NGX_DECLINED;
        }

        data = p;
        p += n;

        if (p[0] != CR || p[1] != LF) {
            return NGX_DECLINED;
        }

        p += 2;
    }

    if (pool) {
        taken = ngx_palloc(pool, sizeof(ngx_rf_reply_t)
                           + (str && n < NGX_RF_RESP_SHORT ? n + 1 : 0));
        if (taken == NULL) {
            r->refused = "no memory for a reply";
            return NGX_ERROR;
        }

        ngx_memzero(taken, sizeof(ngx_rf_reply_t));

        if (type == ':') {
            taken->type = NGX_RF_REPLY_INTEGER;
            taken->integer = n;

        } else if (n < 0) {
            taken->type = NGX_RF_REPLY_NIL;

        } else {
            taken->type = str ? NGX_RF_REPLY_STRING : NGX_RF_REPLY_STATUS;
            taken->str.data = data;
            taken->str.len = n;
        }

        if (str) {
            data = (u_char *) (taken + 1);

            if (n >= NGX_RF_RESP_SHORT) {
                data = ngx_pnalloc(pool, n + 1);
                if (data == NULL) {
                    r->refused = "no memory for a reply";
                    return NGX_ERROR;
                }
            }

            ngx_memcpy(data, taken->str.data, n);
            data[n] = '\0';
            taken->str.data = data;
        }

        *reply = taken;
    }

    r->pos = p;

    return NGX_OK;
}


/* what a line of nothing but a number says, as hiredis takes it; returns what
 * is behind the line, or NULL: another one, or a part of one */

static u_char *
ngx_rf_resp_number(u_char *p, u_char *last, int64_t *n)
{
    u_char      *start;
    int64_t      value;
    ngx_uint_t   minus;

    minus = (p < last && *p == '-');
    p += minus;

    value = 0;

    for (start = p; p < last && *p >= '0' && *p <= '9'; p++) {

        if (p - start == NGX_RF_RESP_DIGITS) {
            return NULL;
        }

        value = value * 10 + (*p - '0');
    }

    if (last - p < 2 || p[0] != CR || p[1] != LF || p == start
        || (*start == '0' && (minus || p - start > 1)))
    {
        return NULL;
    }

    *n = minus ? -value : value;

    return p + 2;
}


/* a piece of what was fed is for hiredis */

static ngx_int_t
ngx_rf_resp_spill(ngx_rf_resp_reader_t *r)
{
    size_t  n;

    if (r->refused) {
        return NGX_ERROR;
    }

    if (r->fed > NGX_RF_RESP_MAX) {
        r->refused = "reply is too long";
        return NGX_ERROR;
    }

    n = (r->want != 0) ? r->want : NGX_RF_RESP_PIECE;
    n = ngx_min(n, (size_t) (r->last - r->pos));

    if (redisReaderFeed(r->reader, (char *) r->pos, n) != REDIS_OK) {
        r->refused = "no memory for a reply";
        return NGX_ERROR;
    }

    r->pos += n;
    r->fed += n;

    if (r->want) {
        r->want -= n;
    }

    return NGX_OK;
}


void
ngx_rf_resp_cut(ngx_rf_resp_reader_t *r)
{
    r->pool = NULL;
}


ngx_rf_reply_t *
ngx_rf_resp_copy(ngx_pool_t *pool, ngx_rf_reply_t *reply)
{
    ngx_rf_reply_t  *copy;

    copy = ngx_palloc(pool, sizeof(ngx_rf_reply_t));
    if (copy == NULL) {
        return NULL;
    }

    if (ngx_rf_resp_copy_into(pool, copy, reply) != NGX_OK) {
        return NULL;
    }

    return copy;
}


ngx_uint_t
ngx_rf_resp_outage(ngx_rf_reply_t *reply)
{
    size_t      len;
    u_char     *p, *start, *last;
    ngx_str_t  *word;

    static ngx_str_t  script =
        ngx_string("ERR Error running script");

    static ngx_str_t  max =
        ngx_string("ERR max number of clients reached");

    static ngx_str_t  words[] = {
        ngx_string("LOADING"),
        ngx_string("READONLY"),
        ngx_string("MASTERDOWN"),
        ngx_string("NOAUTH"),
        ngx_string("WRONGPASS"),
        ngx_string("OOM"),
        ngx_string("MISCONF"),
        ngx_string("NOREPLICAS"),
        ngx_string("CLUSTERDOWN"),
        ngx_string("TRYAGAIN"),
        ngx_string("BUSY"),
        ngx_null_string
    };

    if (reply->type != NGX_RF_REPLY_ERROR) {
        return 0;
    }

    if (reply->str.len >= max.len
        && ngx_memcmp(reply->str.data, max.data, max.len) == 0)
    {
        return 1;
    }

    start = reply->str.data;
    last = start + reply->str.len;

    if (reply->str.len > script.len
        && ngx_memcmp(start, script.data, script.len) == 0)
    {
        /* Redis 6 and older: "ERR Error running script (call to f_...):
         * @user_script:1: ... -OOM command not allowed ..." */

        p = ngx_strnstr(start, " -", last - start);

        if (p) {
            start = p + 2;
        }
    }

    p = ngx_strlchr(start, last, ' ');

    len = (p ? p : last) - start;

    for (word = words; word->len; word++) {
        if (word->len == len && ngx_memcmp(word->data, start, len) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * The place of the next object: alone, or the array's next element.  Arrays
 * grow by doubling, so that "*1000000000" costs nothing before its elements
 * arrive; "integer" keeps the announced count meanwhile.  Growing moves only
 * finished elements: while one is in the making, its array does not grow.
 */

static ngx_rf_reply_t *
ngx_rf_resp_slot(const redisReadTask *task, ngx_rf_reply_e type)
{
    ngx_rf_reply_t        *reply, *array;
    ngx_rf_resp_reader_t  *r;

    r = task->privdata;

    if (r->pool == NULL) {
        return &ngx_rf_resp_dropped;
    }

    if (task->parent == NULL) {
        reply = ngx_palloc(r->pool, sizeof(ngx_rf_reply_t));
        if (reply == NULL) {
            return NULL;
        }

    } else {
        array = task->parent->obj;

        if (ngx_rf_resp_grow(r->pool, array) != NGX_OK) {
            return NULL;
        }

        reply = &array->elts[array->nelts++];
    }

    ngx_memzero(reply, sizeof(ngx_rf_reply_t));
    reply->type = type;

    return reply;
}


static ngx_int_t
ngx_rf_resp_grow(ngx_pool_t *pool, ngx_rf_reply_t *array)
{
    ngx_uint_t       n, size;
    ngx_rf_reply_t  *elts;

    n = array->nelts;

    if (n < NGX_RF_RESP_ELTS_FIRST || (n & (n - 1)) != 0) {
        return NGX_OK;
    }

    size = ngx_min(2 * n, (ngx_uint_t) array->integer);

    elts = ngx_palloc(pool, size * sizeof(ngx_rf_reply_t));
    if (elts == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(elts, array->elts, n * sizeof(ngx_rf_reply_t));

    (void) ngx_pfree(pool, array->elts);

    array->elts = elts;

    return NGX_OK;
}


static void *
ngx_rf_resp_create_string(const redisReadTask *task, char *data, size_t len)
{
    u_char                *p;
    ngx_rf_reply_e         type;
    ngx_rf_reply_t        *reply;
    ngx_rf_resp_reader_t  *r;

    switch (task->type) {

    case REDIS_REPLY_STATUS:
        type = NGX_RF_REPLY_STATUS;
        break;

    case REDIS_REPLY_ERROR:
        type = NGX_RF_REPLY_ERROR;
        break;

    default:
        type = NGX_RF_REPLY_STRING;
    }

    reply = ngx_rf_resp_slot(task, type);

    if (reply == NULL || reply == &ngx_rf_resp_dropped) {
        return reply;
    }

    if (type == NGX_RF_REPLY_STATUS
        && len == 2 && data[0] == 'O' && data[1] == 'K')
    {
        ngx_str_set(&reply->str, "OK");
        return reply;
    }

    r = task->privdata;

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NULL;
    }

    ngx_memcpy(p, data, len);
    p[len] = '\0';

    reply->str.data = p;
    reply->str.len = len;

    return reply;
}


static void *
ngx_rf_resp_create_array(const redisReadTask *task, ngx_rf_resp_count_t n)
{
    size_t                 nelts;
    ngx_uint_t             depth;
    ngx_rf_reply_t        *reply;
    const redisReadTask   *t;
    ngx_rf_resp_reader_t  *r;

    r = task->privdata;
    nelts = (size_t) n;

    if (nelts > NGX_RF_RESP_ELTS_MAX - r->nelts) {
        r->refused = "reply has too many elements";
        return NULL;
    }

    r->nelts += nelts;

    depth = 1;

    for (t = task->parent; t; t = t->parent) {
        depth++;
    }

    if (depth > NGX_RF_RESP_DEPTH_MAX) {
        r->refused = "reply is nested too deep";
        return NULL;
    }

    reply = ngx_rf_resp_slot(task, NGX_RF_REPLY_ARRAY);

    if (reply == NULL || reply == &ngx_rf_resp_dropped) {
        return reply;
    }

    reply->integer = (int64_t) nelts;

    if (nelts) {
        nelts = ngx_min(nelts, NGX_RF_RESP_ELTS_FIRST);

        reply->elts = ngx_palloc(r->pool, nelts * sizeof(ngx_rf_reply_t));
        if (reply->elts == NULL) {
            return NULL;
        }
    }

    return reply;
}


static void *
ngx_rf_resp_create_integer(const redisReadTask *task, long long n)
{
    ngx_rf_reply_t  *reply;

    reply = ngx_rf_resp_slot(task, NGX_RF_REPLY_INTEGER);

    if (reply && reply != &ngx_rf_resp_dropped) {
        reply->integer = n;
    }

    return reply;
}


static void *
ngx_rf_resp_create_nil(const redisReadTask *task)
{
    return ngx_rf_resp_slot(task, NGX_RF_REPLY_NIL);
}


#if (HIREDIS_MAJOR >= 1)

/* types of RESP3, which is not asked for: as RESP2 would have sent them */

static void *
ngx_rf_resp_create_double(const redisReadTask *task, double d, char *data,
    size_t len)
{
    (void) d;

    return ngx_rf_resp_create_string(task, data, len);
}


static void *
ngx_rf_resp_create_bool(const redisReadTask *task, int b)
{
    return ngx_rf_resp_create_integer(task, b ? 1 : 0);
}

#endif


/* objects belong to their pool, and may be gone when hiredis frees */

static void
ngx_rf_resp_free_object(void *obj)
{
    (void) obj;
}


static u_char *
ngx_rf_resp_head(u_char *p, u_char type, size_t n)
{
    u_char   digits[NGX_SIZE_T_LEN];
    u_char  *last;

    *p++ = type;

    if (n < 10) {
        *p++ = (u_char) ('0' + n);

    } else if (n < 100) {
        *p++ = (u_char) ('0' + n / 10);
        *p++ = (u_char) ('0' + n % 10);

    } else {
        last = digits + sizeof(digits);

        do {
            *--last = (u_char) ('0' + n % 10);
            n /= 10;
        } while (n);

        p = ngx_cpymem(p, last, digits + sizeof(digits) - last);
    }

    *p++ = CR;
    *p++ = LF;

    return p;
}


static size_t
ngx_rf_resp_head_size(size_t n)
{
    size_t  size;

    /* type, a digit, CR, LF */
    size = 4;

    while (n >= 10) {
        n /= 10;
        size++;
    }

    return size;
}


/* recurses as deep as a reply may nest */

static ngx_int_t
ngx_rf_resp_copy_into(ngx_pool_t *pool, ngx_rf_reply_t *to,
    ngx_rf_reply_t *from)
{
    ngx_uint_t  i;

    *to = *from;

    if (from->str.len) {
        to->str.data = ngx_pnalloc(pool, from->str.len + 1);
        if (to->str.data == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(to->str.data, from->str.data, from->str.len);
        to->str.data[from->str.len] = '\0';

    } else {
        to->str.data = (u_char *) "";
    }

    to->elts = NULL;

    if (from->nelts) {
        to->elts = ngx_palloc(pool, from->nelts * sizeof(ngx_rf_reply_t));
        if (to->elts == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < from->nelts; i++) {
            if (ngx_rf_resp_copy_into(pool, &to->elts[i], &from->elts[i])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}
