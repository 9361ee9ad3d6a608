/*
 * The lines of the block are a table: name, number of arguments, and a setter
 * with what it needs (an offset, a least value, the words it takes).
 *
 * Every message names the directive and the value; a secret is never in one.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_conf_store.h"
#include "ngx_http_rf_conf_store_internal.h"


#define NGX_HTTP_RF_STORE_JOURNAL_MIN (1024 * 1024)
#define NGX_HTTP_RF_STORE_ZONE_MIN    (1024 * 1024)

/* of a timer: 24 days, and the sum of two of them is still a number that a
 * 32-bit millisecond counter can hold */
#define NGX_HTTP_RF_STORE_TIME_MAX    2147483647

/* more would be for a Redis that is slow, not for replies that are */
#define NGX_HTTP_RF_STORE_CONNECTIONS_MAX  16

/* of a line in password_file */
#define NGX_HTTP_RF_STORE_SECRET_MAX  4096


static char *ngx_http_rf_conf_store_zone(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_journal(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_server(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_user(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_password(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_password_file(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_read_secret(ngx_conf_t *cf,
    ngx_str_t *name, ngx_str_t *secret);
static char *ngx_http_rf_conf_store_number(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_connections(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_time(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_levels(ngx_conf_t *cf,
    ngx_uint_t *levels, ngx_str_t *given);
static char *ngx_http_rf_conf_store_word(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_cache(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_conf_store_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *why);


static const ngx_conf_enum_t  ngx_http_rf_store_on_off[] = {
    { ngx_string("on"), 1 },
    { ngx_string("off"), 0 },
    { ngx_null_string, 0 }
};


static const ngx_conf_enum_t  ngx_http_rf_store_durability[] = {
    { ngx_string("memory"), 0 },
    { ngx_string("disk"), 1 },
    { ngx_null_string, 0 }
};


static const ngx_conf_enum_t  ngx_http_rf_store_on_conflict[] = {
    { ngx_string("local"), 0 },
    { ngx_string("remote"), 1 },
    { ngx_null_string, 0 }
};


#define ngx_http_rf_store_at(field)  offsetof(ngx_rf_store_conf_t, field)

const ngx_http_rf_store_line_t  ngx_http_rf_conf_store_lines[] = {

    { ngx_string("zone"), 1, ngx_http_rf_conf_store_zone, 0, 0, NULL },

    { ngx_string("server"), 1, ngx_http_rf_conf_store_server, 0, 0, NULL },

    { ngx_string("user"), 1, ngx_http_rf_conf_store_user, 0, 0, NULL },

    { ngx_string("password"), 1, ngx_http_rf_conf_store_password, 0, 0, NULL },

    { ngx_string("password_file"), 1, ngx_http_rf_conf_store_password_file,
      0, 0, NULL },

    { ngx_string("database"), 1, ngx_http_rf_conf_store_number,
      ngx_http_rf_store_at(redis.database), 0, NULL },

    { ngx_string("connect_timeout"), 1, ngx_http_rf_conf_store_time,
      ngx_http_rf_store_at(redis.connect_timeout), 0, NULL },

    { ngx_string("timeout"), 1, ngx_http_rf_conf_store_time,
      ngx_http_rf_store_at(redis.timeout), 0, NULL },

    { ngx_string("max_retries"), 1, ngx_http_rf_conf_store_number,
      ngx_http_rf_store_at(redis.max_retries), 1, NULL },

    { ngx_string("connections"), 1, ngx_http_rf_conf_store_connections, 0, 0,
      NULL },

    { ngx_string("check_interval"), 1, ngx_http_rf_conf_store_time,
      ngx_http_rf_store_at(check_interval), 0, NULL },

    { ngx_string("path"), 2, ngx_http_rf_conf_store_path, 0, 0, NULL },

    { ngx_string("journal_size"), 1, ngx_http_rf_conf_store_journal, 0, 0,
      NULL },

    { ngx_string("write_interval"), 1, ngx_http_rf_conf_store_time,
      ngx_http_rf_store_at(write_interval), 0, NULL },

    { ngx_string("write_queue"), 1, ngx_http_rf_conf_store_number,
      ngx_http_rf_store_at(write_queue), 1, NULL },

    { ngx_string("durability"), 1, ngx_http_rf_conf_store_word,
      ngx_http_rf_store_at(durability_disk), 0,
      ngx_http_rf_store_durability },

    { ngx_string("cache"), 1, ngx_http_rf_conf_store_cache, 0, 0, NULL },

    { ngx_string("restore"), 1, ngx_http_rf_conf_store_word,
      ngx_http_rf_store_at(restore), 0, ngx_http_rf_store_on_off },

    { ngx_string("on_conflict"), 1, ngx_http_rf_conf_store_word,
      ngx_http_rf_store_at(on_conflict_remote), 0,
      ngx_http_rf_store_on_conflict },

    { ngx_string("recovery_rate"), 1, ngx_http_rf_conf_store_number,
      ngx_http_rf_store_at(recovery_rate), 0, NULL },

    { ngx_null_string, 0, NULL, 0, 0, NULL }
};


static char *
ngx_http_rf_conf_store_zone(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    off_t       size;
    ngx_str_t  *value;

    value = cf->args->elts;

    /* unlike ngx_parse_size() it knows "g" */
    size = ngx_parse_offset(&value[1]);

    if (size == NGX_ERROR) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be a size");
    }

    if (size < NGX_HTTP_RF_STORE_ZONE_MIN) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be at least 1m");
    }

#if (NGX_PTR_SIZE == 4)

    if (size > NGX_MAX_SIZE_T_VALUE) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be less than 2g");
    }

#endif

    block->store.zone_size = (size_t) size;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_journal(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line)
{
    off_t       size;
    ngx_str_t  *value;

    value = cf->args->elts;

    size = ngx_parse_offset(&value[1]);

    if (size == NGX_ERROR) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be a size");
    }

    if (size < NGX_HTTP_RF_STORE_JOURNAL_MIN) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be at least 1m");
    }

    block->store.journal_size = size;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_server(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1], "no host");
    }

    return ngx_http_rf_conf_store_address(cf, &block->store.redis, &value[1]);
}


char *
ngx_http_rf_conf_store_address(ngx_conf_t *cf, ngx_rf_redis_conf_t *redis,
    ngx_str_t *address)
{
    u_char      ch;
    ngx_uint_t  i;
    ngx_url_t  *url;

    url = &redis->url;

    redis->address = *address;

    url->url = *address;
    url->default_port = 6379;

#if (NGX_THREADS)
    /* names are resolved at each connect, in a thread */
    url->no_resolve = 1;
#endif

    if (ngx_parse_url(cf->pool, url) != NGX_OK) {
        return ngx_http_rf_conf_store_invalid(cf, address,
                                    url->err ? url->err : "invalid address");
    }

    if (url->family == AF_UNIX || url->host.data[0] == '[') {
        return NGX_CONF_OK;
    }

    for (i = 0; i < url->host.len; i++) {
        ch = url->host.data[i];

        if (((ch | 0x20) < 'a' || (ch | 0x20) > 'z')
            && (ch < '0' || ch > '9')
            && ch != '.' && ch != '-' && ch != '_')
        {
            return ngx_http_rf_conf_store_invalid(cf, address, "invalid host");
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_user(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1], "it is empty");
    }

    block->store.redis.user = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_password(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (block->secrets++) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"password\" contradicts \"password_file\"");
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 0) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1], "it is empty");
    }

    block->store.redis.password = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_password_file(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (block->secrets++) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"password_file\" contradicts \"password\"");
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 0) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1], "it is empty");
    }

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_rf_conf_store_read_secret(cf, &value[1],
                                         &block->store.redis.password);
}


/* its first line, without the line's end */

static char *
ngx_http_rf_conf_store_read_secret(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *secret)
{
    size_t     len;
    u_char    *buf;
    ssize_t    n;
    ngx_fd_t   fd;

    buf = ngx_pnalloc(cf->pool, NGX_HTTP_RF_STORE_SECRET_MAX);
    if (buf == NULL) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"password_file\": " ngx_open_file_n
                           " \"%V\" failed", name);
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, buf, NGX_HTTP_RF_STORE_SECRET_MAX);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "\"password_file\": " ngx_read_fd_n
                           " \"%V\" failed", name);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    if (n == -1) {
        return NGX_CONF_ERROR;
    }

    for (len = 0; len < (size_t) n; len++) {
        if (buf[len] == '\n') {
            break;
        }
    }

    if (len == NGX_HTTP_RF_STORE_SECRET_MAX) {
        return ngx_http_rf_conf_store_invalid(cf, name,
                                         "its first line is too long");
    }

    if (len && buf[len - 1] == '\r') {
        len--;
    }

    if (len == 0) {
        return ngx_http_rf_conf_store_invalid(cf, name,
                                         "its first line is empty");
    }

    secret->data = buf;
    secret->len = len;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_number(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;
    n = ngx_atoi(value[1].data, value[1].len);

    /* NGX_ERROR is below any least one */

    if (n < line->least || n > (ngx_int_t) NGX_MAX_INT32_VALUE) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                        line->least ? "it must be a number of at least 1"
                                    : "it must be a number of at least 0");
    }

    *(ngx_uint_t *) ((u_char *) &block->store + line->offset) = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_connections(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;
    n = ngx_atoi(value[1].data, value[1].len);

    if (n < 1 || n > NGX_HTTP_RF_STORE_CONNECTIONS_MAX) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be a number from 1 to 16");
    }

    block->store.redis.connections = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_time(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_int_t   ms;
    ngx_str_t  *value;

    value = cf->args->elts;
    ms = ngx_parse_time(&value[1], 0);

    if (ms == NGX_ERROR) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be a time");
    }

    if (ms == 0 || ms > NGX_HTTP_RF_STORE_TIME_MAX) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                                         "it must be between 1ms and 24d");
    }

    *(ngx_msec_t *) ((u_char *) &block->store + line->offset) = ms;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_path(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value, levels;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1], "it is empty");
    }

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {

        if (cf->args->nelts == 3) {
            return ngx_http_rf_conf_store_invalid(cf, &value[2],
                                             "\"path off\" has no parameter");
        }

        block->path_off = 1;

        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 3) {

        if (value[2].len < 7 || ngx_strncmp(value[2].data, "levels=", 7) != 0) {
            return ngx_http_rf_conf_store_invalid(cf, &value[2],
                                             "unknown parameter");
        }

        levels.data = value[2].data + 7;
        levels.len = value[2].len - 7;

        if (ngx_http_rf_conf_store_levels(cf, block->store.file.levels,
                                          &levels)
            != NGX_CONF_OK)
        {
            return ngx_http_rf_conf_store_invalid(cf, &value[2],
                                 "levels are one to three digits from 1 to 4, "
                                 "such as 2:2:2");
        }
    }

    return ngx_http_rf_conf_store_full_path(cf, block, &value[1]);
}


char *
ngx_http_rf_conf_store_full_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, ngx_str_t *given)
{
    u_char     *p, *dst, *last;
    size_t      len;
    ngx_str_t   full;

    full = *given;

    if (ngx_conf_full_name(cf->cycle, &full, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    dst = ngx_pnalloc(cf->pool, full.len + 2);
    if (dst == NULL) {
        return NGX_CONF_ERROR;
    }

    block->store.file.path.data = dst;

    p = full.data;
    last = p + full.len;

    if (*p != '/') {
        /* the prefix itself may be relative: -p . */
        *dst++ = '.';
    }

    while (p < last) {

        while (p < last && *p == '/') {
            p++;
        }

        for (len = 0; p + len < last && p[len] != '/'; len++) {
            /* void */
        }

        if (len && !(len == 1 && *p == '.')) {
            *dst++ = '/';
            dst = ngx_cpymem(dst, p, len);
        }

        p += len;
    }

    *dst = '\0';

    block->store.file.path.len = dst - block->store.file.path.data;

    if (block->store.file.path.len == 0) {
        return ngx_http_rf_conf_store_invalid(cf, given,
                                         "it is the root directory");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_levels(ngx_conf_t *cf, ngx_uint_t *levels,
    ngx_str_t *given)
{
    u_char      ch;
    ngx_uint_t  i;

    /* "2", "2:2" or "2:2:2" */

    if (given->len == 0 || given->len > 5 || given->len % 2 == 0) {
        return NGX_CONF_ERROR;
    }

    levels[0] = levels[1] = levels[2] = 0;

    for (i = 0; i < given->len; i++) {
        ch = given->data[i];

        if (i % 2) {

            if (ch != ':') {
                return NGX_CONF_ERROR;
            }

        } else {

            if (ch < '1' || ch > '4') {
                return NGX_CONF_ERROR;
            }

            levels[i / 2] = ch - '0';
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_conf_store_word(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_str_t              *value;
    const ngx_conf_enum_t  *word;

    value = cf->args->elts;

    for (word = line->words; word->name.len; word++) {

        if (word->name.len == value[1].len
            && ngx_strncmp(word->name.data, value[1].data, value[1].len) == 0)
        {
            *(ngx_uint_t *) ((u_char *) &block->store + line->offset) =
                                                                  word->value;
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive: "
                       "it must be \"%V\" or \"%V\"",
                       &value[1], &value[0], &line->words[0].name,
                       &line->words[1].name);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_rf_conf_store_cache(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_int_t   ms;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 8 && ngx_strncmp(value[1].data, "tracking", 8) == 0) {
        block->store.cache = NGX_RF_CACHE_TRACKING;
        return NGX_CONF_OK;
    }

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {
        block->store.cache = NGX_RF_CACHE_OFF;
        return NGX_CONF_OK;
    }

    ms = ngx_parse_time(&value[1], 0);

    if (ms == NGX_ERROR || ms == 0) {
        return ngx_http_rf_conf_store_invalid(cf, &value[1],
                         "it must be \"tracking\", \"off\" or a time above 0");
    }

    block->store.cache = NGX_RF_CACHE_TIME;
    block->store.cache_time = ms;

    return NGX_CONF_OK;
}


/* what is wrong with a value of the directive that is read now */

static char *
ngx_http_rf_conf_store_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *why)
{
    ngx_str_t  *args;

    args = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive: %s",
                       value, &args[0], why);

    return NGX_CONF_ERROR;
}
