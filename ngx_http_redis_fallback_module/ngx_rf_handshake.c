/*
 * The handshake, see ngx_rf_handshake.h.
 *
 * DBSIZE is more than a number: unlike AUTH, SELECT and INFO it is refused by
 * a Redis that loads its data or has lost its master, so its reply tells
 * whether reads will be served.
 */

#include "ngx_rf_handshake.h"
#include "ngx_rf_resp.h"


/* INFO server takes some 600 bytes, and its lines are not copied */
#define NGX_RF_HANDSHAKE_POOL   2048


static ngx_rf_handshake_command_t *ngx_rf_handshake_add(ngx_rf_handshake_t *h,
    char *name, ngx_rf_handshake_pt reply);
static ngx_int_t ngx_rf_handshake_auth(ngx_rf_handshake_t *h,
    ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_handshake_select(ngx_rf_handshake_t *h,
    ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_handshake_info(ngx_rf_handshake_t *h,
    ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_handshake_client(ngx_rf_handshake_t *h,
    ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_handshake_dbsize(ngx_rf_handshake_t *h,
    ngx_rf_reply_t *reply);
static ngx_uint_t ngx_rf_handshake_field(ngx_str_t *info, char *name,
    ngx_str_t *value);
static ngx_uint_t ngx_rf_handshake_version(ngx_str_t *text);
static ngx_int_t ngx_rf_handshake_fail(ngx_rf_handshake_t *h, char *what,
    ngx_str_t *why);


/* errors of AUTH that do not repeat their arguments, as "unknown command" of
 * a proxy or of a renamed AUTH does: only these are quoted whole */

static ngx_str_t  ngx_rf_handshake_safe[] = {
    ngx_string("WRONGPASS "),
    ngx_string("NOAUTH "),
    ngx_string("LOADING "),
    ngx_string("MASTERDOWN "),
    ngx_string("ERR invalid password"),
    ngx_string("ERR max number of clients"),
    ngx_string("ERR Client sent AUTH"),
    ngx_string("ERR AUTH <password> called without"),
    ngx_null_string
};


ngx_rf_handshake_t *
ngx_rf_handshake_create(ngx_str_t *user, ngx_str_t *password,
    ngx_uint_t database, ngx_log_t *log)
{
    ngx_pool_t                  *pool;
    ngx_rf_handshake_t          *h;
    ngx_rf_handshake_command_t  *command;

    pool = ngx_create_pool(NGX_RF_HANDSHAKE_POOL, log);
    if (pool == NULL) {
        return NULL;
    }

    h = ngx_pcalloc(pool, sizeof(ngx_rf_handshake_t));
    if (h == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    h->pool = pool;
    h->info.dbsize = -1;

    if (password->len) {
        command = ngx_rf_handshake_add(h, "AUTH", ngx_rf_handshake_auth);

        if (user->len) {
            command->argv[command->argc++] = *user;
        }

        command->argv[command->argc++] = *password;
    }

    if (database) {
        command = ngx_rf_handshake_add(h, "SELECT", ngx_rf_handshake_select);

        command->argv[1].data = h->database;
        command->argv[1].len = ngx_sprintf(h->database, "%ui", database)
                               - h->database;
        command->argc++;
    }

    command = ngx_rf_handshake_add(h, "INFO", ngx_rf_handshake_info);
    ngx_str_set(&command->argv[1], "server");
    command->argc++;

    command = ngx_rf_handshake_add(h, "CLIENT", ngx_rf_handshake_client);
    ngx_str_set(&command->argv[1], "ID");
    command->argc++;

    (void) ngx_rf_handshake_add(h, "DBSIZE", ngx_rf_handshake_dbsize);

    return h;
}


void
ngx_rf_handshake_destroy(ngx_rf_handshake_t *h)
{
    ngx_destroy_pool(h->pool);
}


ngx_int_t
ngx_rf_handshake_reply(ngx_rf_handshake_t *h, ngx_rf_reply_t *reply)
{
    ngx_rf_handshake_command_t  *command;

    command = &h->commands[h->nreplies++];

    if (command->reply(h, reply) != NGX_OK) {
        return NGX_ERROR;
    }

    return (h->nreplies == h->ncommands) ? NGX_OK : NGX_AGAIN;
}


static ngx_rf_handshake_command_t *
ngx_rf_handshake_add(ngx_rf_handshake_t *h, char *name,
    ngx_rf_handshake_pt reply)
{
    ngx_rf_handshake_command_t  *command;

    command = &h->commands[h->ncommands++];

    command->argc = 1;
    command->argv[0].len = ngx_strlen(name);
    command->argv[0].data = (u_char *) name;
    command->reply = reply;

    return command;
}


static ngx_int_t
ngx_rf_handshake_auth(ngx_rf_handshake_t *h, ngx_rf_reply_t *reply)
{
    u_char     *p;
    ngx_str_t   why, *safe;

    if (reply->type != NGX_RF_REPLY_ERROR) {
        return NGX_OK;
    }

    why = reply->str;

    for (safe = ngx_rf_handshake_safe; safe->len; safe++) {

        if (why.len >= safe->len
            && ngx_strncmp(why.data, safe->data, safe->len) == 0)
        {
            return ngx_rf_handshake_fail(h, "redis refused AUTH", &why);
        }
    }

    p = ngx_strlchr(why.data, why.data + why.len, ' ');
    if (p) {
        why.len = p - why.data;
    }

    return ngx_rf_handshake_fail(h, "redis refused AUTH", &why);
}


static ngx_int_t
ngx_rf_handshake_select(ngx_rf_handshake_t *h, ngx_rf_reply_t *reply)
{
    if (reply->type != NGX_RF_REPLY_ERROR) {
        return NGX_OK;
    }

    return ngx_rf_handshake_fail(h, "redis refused SELECT", &reply->str);
}


static ngx_int_t
ngx_rf_handshake_info(ngx_rf_handshake_t *h, ngx_rf_reply_t *reply)
{
    ngx_str_t  value;

    if (reply->type == NGX_RF_REPLY_ERROR) {
        return ngx_rf_resp_outage(reply)
               ? ngx_rf_handshake_fail(h, "redis refused", &reply->str)
               : NGX_OK;
    }

    if (reply->type != NGX_RF_REPLY_STRING) {
        return NGX_OK;
    }

    if (ngx_rf_handshake_field(&reply->str, "run_id:", &value)) {
        h->info.run_id = value;
    }

    if (ngx_rf_handshake_field(&reply->str, "redis_version:", &value)) {
        h->info.version = ngx_rf_handshake_version(&value);
    }

    return NGX_OK;
}


/* who may not ask, or asks a Redis before 5, does without */

static ngx_int_t
ngx_rf_handshake_client(ngx_rf_handshake_t *h, ngx_rf_reply_t *reply)
{
    if (reply->type == NGX_RF_REPLY_INTEGER && reply->integer > 0) {
        h->info.client = (uint64_t) reply->integer;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_rf_handshake_dbsize(ngx_rf_handshake_t *h, ngx_rf_reply_t *reply)
{
    if (reply->type == NGX_RF_REPLY_INTEGER) {
        h->info.dbsize = reply->integer;
        return NGX_OK;
    }

    if (reply->type == NGX_RF_REPLY_ERROR && ngx_rf_resp_outage(reply)) {
        return ngx_rf_handshake_fail(h, "redis refused", &reply->str);
    }

    return NGX_OK;
}


/* the value of a line "name:value" */

static ngx_uint_t
ngx_rf_handshake_field(ngx_str_t *info, char *name, ngx_str_t *value)
{
    size_t   len;
    u_char  *p, *last, *line, *eol;

    len = ngx_strlen(name);
    line = info->data;
    last = info->data + info->len;

    while (line < last) {
        eol = ngx_strlchr(line, last, '\n');
        if (eol == NULL) {
            eol = last;
        }

        if ((size_t) (eol - line) >= len
            && ngx_strncmp(line, name, len) == 0)
        {
            p = line + len;

            while (eol > p && (eol[-1] == CR || eol[-1] == ' ')) {
                eol--;
            }

            value->data = p;
            value->len = eol - p;

            return 1;
        }

        line = eol + 1;
    }

    return 0;
}


static ngx_uint_t
ngx_rf_handshake_version(ngx_str_t *text)
{
    u_char      *p, *last;
    ngx_uint_t   i, n, version;

    version = 0;
    p = text->data;
    last = text->data + text->len;

    for (i = 0; i < 3; i++) {

        for (n = 0; p < last && *p >= '0' && *p <= '9'; p++) {
            n = n * 10 + (*p - '0');

            if (n > 99) {
                n = 99;
            }
        }

        version = version * 100 + n;

        if (p < last && *p == '.') {
            p++;
        }
    }

    return version;
}


static ngx_int_t
ngx_rf_handshake_fail(ngx_rf_handshake_t *h, char *what, ngx_str_t *why)
{
    u_char  *p, *last;

    last = ngx_snprintf(h->text, NGX_RF_HANDSHAKE_TEXT, "%s: %V", what, why);

    /* it goes to the log */

    for (p = h->text; p < last; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            *p = '?';
        }
    }

    h->failed.data = h->text;
    h->failed.len = last - h->text;

    return NGX_ERROR;
}
