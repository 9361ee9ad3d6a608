/*
 * The lines of the block are a table: name, number of arguments, and a setter
 * with what it needs (an offset, a range, the words it takes).  What concerns
 * two of them is checked at the block's end, so their order does not matter.
 *
 * Every message names the directive and the value; a secret is never in one.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_store_conf.h"


#define NGX_HTTP_RF_STORE_NAME_MAX    64
#define NGX_HTTP_RF_STORE_ZONE_MIN    (1024 * 1024)

/* of a timer: 24 days, and the sum of two of them is still a number that a
 * 32-bit millisecond counter can hold */
#define NGX_HTTP_RF_STORE_TIME_MAX    2147483647

/* of a line in password_file */
#define NGX_HTTP_RF_STORE_SECRET_MAX  4096


typedef struct ngx_http_rf_store_line_s  ngx_http_rf_store_line_t;

typedef struct {
    ngx_rf_store_conf_t         store;
    uint64_t                    seen;       /* a bit for each line */
    ngx_uint_t                  path_off;
    ngx_uint_t                  secrets;    /* password, password_file */
    ngx_http_rf_main_conf_t    *main;
} ngx_http_rf_store_block_t;

typedef char *(*ngx_http_rf_store_set_pt)(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);

struct ngx_http_rf_store_line_s {
    ngx_str_t                   name;
    ngx_uint_t                  max;        /* arguments; at least 1 */
    ngx_http_rf_store_set_pt    set;
    size_t                      offset;     /* in ngx_rf_store_conf_t */
    ngx_int_t                   least;      /* of a number */
    const ngx_conf_enum_t      *words;
};


static char *ngx_http_rf_store_conf_name(ngx_conf_t *cf,
    ngx_http_rf_main_conf_t *mcf, ngx_str_t *name);
static void ngx_http_rf_store_conf_defaults(ngx_http_rf_store_block_t *block,
    ngx_str_t *name);
static char *ngx_http_rf_store_conf_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf);
static char *ngx_http_rf_store_conf_end(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block);
static char *ngx_http_rf_store_conf_default_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block);
static char *ngx_http_rf_store_conf_full_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, ngx_str_t *given);
static char *ngx_http_rf_store_conf_add(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block);
static char *ngx_http_rf_store_conf_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *why);

static char *ngx_http_rf_store_conf_zone(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_server(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_address(ngx_conf_t *cf,
    ngx_rf_redis_conf_t *redis, ngx_str_t *address);
static char *ngx_http_rf_store_conf_user(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_password(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_password_file(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_read_secret(ngx_conf_t *cf,
    ngx_str_t *name, ngx_str_t *secret);
static char *ngx_http_rf_store_conf_number(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_time(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_levels(ngx_conf_t *cf,
    ngx_uint_t *levels, ngx_str_t *given);
static char *ngx_http_rf_store_conf_word(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);
static char *ngx_http_rf_store_conf_cache(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block, const ngx_http_rf_store_line_t *line);


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

static const ngx_http_rf_store_line_t  ngx_http_rf_store_lines[] = {

    { ngx_string("zone"), 1, ngx_http_rf_store_conf_zone, 0, 0, NULL },

    { ngx_string("server"), 1, ngx_http_rf_store_conf_server, 0, 0, NULL },

    { ngx_string("user"), 1, ngx_http_rf_store_conf_user, 0, 0, NULL },

    { ngx_string("password"), 1, ngx_http_rf_store_conf_password, 0, 0, NULL },

    { ngx_string("password_file"), 1, ngx_http_rf_store_conf_password_file,
      0, 0, NULL },

    { ngx_string("database"), 1, ngx_http_rf_store_conf_number,
      ngx_http_rf_store_at(redis.database), 0, NULL },

    { ngx_string("connect_timeout"), 1, ngx_http_rf_store_conf_time,
      ngx_http_rf_store_at(redis.connect_timeout), 0, NULL },

    { ngx_string("timeout"), 1, ngx_http_rf_store_conf_time,
      ngx_http_rf_store_at(redis.timeout), 0, NULL },

    { ngx_string("max_retries"), 1, ngx_http_rf_store_conf_number,
      ngx_http_rf_store_at(redis.max_retries), 1, NULL },

    { ngx_string("check_interval"), 1, ngx_http_rf_store_conf_time,
      ngx_http_rf_store_at(check_interval), 0, NULL },

    { ngx_string("path"), 2, ngx_http_rf_store_conf_path, 0, 0, NULL },

    { ngx_string("write_interval"), 1, ngx_http_rf_store_conf_time,
      ngx_http_rf_store_at(write_interval), 0, NULL },

    { ngx_string("write_queue"), 1, ngx_http_rf_store_conf_number,
      ngx_http_rf_store_at(write_queue), 1, NULL },

    { ngx_string("durability"), 1, ngx_http_rf_store_conf_word,
      ngx_http_rf_store_at(durability_disk), 0,
      ngx_http_rf_store_durability },

    { ngx_string("cache"), 1, ngx_http_rf_store_conf_cache, 0, 0, NULL },

    { ngx_string("restore"), 1, ngx_http_rf_store_conf_word,
      ngx_http_rf_store_at(restore), 0, ngx_http_rf_store_on_off },

    { ngx_string("on_conflict"), 1, ngx_http_rf_store_conf_word,
      ngx_http_rf_store_at(on_conflict_remote), 0,
      ngx_http_rf_store_on_conflict },

    { ngx_string("recovery_rate"), 1, ngx_http_rf_store_conf_number,
      ngx_http_rf_store_at(recovery_rate), 0, NULL },

    { ngx_null_string, 0, NULL, 0, 0, NULL }
};


char *
ngx_http_rf_store_conf_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_main_conf_t  *mcf = conf;

    char                       *rv;
    ngx_str_t                  *value;
    ngx_conf_t                  save;
    ngx_http_rf_store_block_t  *block;

    value = cf->args->elts;

    rv = ngx_http_rf_store_conf_name(cf, mcf, &value[1]);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    block = ngx_pcalloc(cf->pool, sizeof(ngx_http_rf_store_block_t));
    if (block == NULL) {
        return NGX_CONF_ERROR;
    }

    block->main = mcf;
    ngx_http_rf_store_conf_defaults(block, &value[1]);

    save = *cf;
    cf->handler = ngx_http_rf_store_conf_line;
    cf->handler_conf = (char *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_rf_store_conf_end(cf, block);
}


/* it becomes a directory's name, a zone's and a label */

static char *
ngx_http_rf_store_conf_name(ngx_conf_t *cf, ngx_http_rf_main_conf_t *mcf,
    ngx_str_t *name)
{
    u_char                ch;
    ngx_uint_t            i;
    ngx_http_rf_store_t  *stores;

    stores = mcf->stores.elts;

    for (i = 0; i < mcf->stores.nelts; i++) {

        if (stores[i].name.len == name->len
            && ngx_strncmp(stores[i].name.data, name->data, name->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate redis_fallback_store \"%V\"", name);
            return NGX_CONF_ERROR;
        }
    }

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if ((ch >= '0' && ch <= '9')
            || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')
            || ch == '_' || ch == '-' || (ch == '.' && i))
        {
            continue;
        }

        break;
    }

    if (i < name->len || name->len == 0
        || name->len > NGX_HTTP_RF_STORE_NAME_MAX)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" of redis_fallback_store: it "
                           "must be 1 to %d letters, digits, \"_\", \"-\" "
                           "and \".\", not beginning with \".\"",
                           name, NGX_HTTP_RF_STORE_NAME_MAX);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_rf_store_conf_defaults(ngx_http_rf_store_block_t *block,
    ngx_str_t *name)
{
    ngx_rf_store_conf_t  *store;

    store = &block->store;

    /*
     * set by ngx_pcalloc():
     *
     *     store->redis.user, password, database
     *     store->file.path, max_size
     *     store->durability_disk = 0;
     *     store->on_conflict_remote = 0;
     *     store->recovery_rate = 0;
     *     store->thread_pool = NULL;
     */

    store->name = *name;
    store->zone_size = 32 * 1024 * 1024;
    store->redis.store = *name;
    store->redis.connect_timeout = 500;
    store->redis.timeout = 1000;
    store->redis.max_retries = 3;
    store->check_interval = 60000;
    store->write_interval = 3000;
    store->write_queue = 1000;
    store->file.levels[0] = 2;
    store->file.levels[1] = 2;
    store->file.levels[2] = 2;
    store->cache = NGX_RF_CACHE_TRACKING;
    store->restore = 1;
}


static char *
ngx_http_rf_store_conf_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    ngx_http_rf_store_block_t  *block = conf;

    uint64_t                         bit;
    ngx_str_t                       *value;
    const ngx_http_rf_store_line_t  *line;

    value = cf->args->elts;

    if (value[0].len == 7 && ngx_strncmp(value[0].data, "include", 7) == 0) {

        if (cf->args->nelts != 2) {
            goto number;
        }

        return ngx_conf_include(cf, dummy, conf);
    }

    bit = 1;

    for (line = ngx_http_rf_store_lines; line->name.len; line++, bit <<= 1) {

        if (line->name.len != value[0].len
            || ngx_strncmp(line->name.data, value[0].data, value[0].len) != 0)
        {
            continue;
        }

        if (cf->args->nelts < 2 || cf->args->nelts - 1 > line->max) {
            goto number;
        }

        if (block->seen & bit) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" directive is duplicate", &value[0]);
            return NGX_CONF_ERROR;
        }

        block->seen |= bit;

        return line->set(cf, block, line);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in redis_fallback_store",
                       &value[0]);
    return NGX_CONF_ERROR;

number:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid number of arguments in \"%V\" directive",
                       &value[0]);
    return NGX_CONF_ERROR;
}


static char *
ngx_http_rf_store_conf_end(ngx_conf_t *cf, ngx_http_rf_store_block_t *block)
{
    ngx_str_t             server = ngx_string("127.0.0.1:6379");
    ngx_rf_store_conf_t  *store;

    store = &block->store;

    if (store->redis.address.len == 0
        && ngx_http_rf_store_conf_address(cf, &store->redis, &server)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (store->redis.user.len && !block->secrets) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"user\" needs \"password\" or \"password_file\" "
                           "in redis_fallback_store \"%V\"", &store->name);
        return NGX_CONF_ERROR;
    }

    if (block->path_off && store->durability_disk) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"durability disk\" contradicts \"path off\" "
                           "in redis_fallback_store \"%V\"", &store->name);
        return NGX_CONF_ERROR;
    }

    store->file.database = store->redis.database;

    if (!block->path_off && store->file.path.len == 0
        && ngx_http_rf_store_conf_default_path(cf, block) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

#if (NGX_THREADS)

    store->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (store->thread_pool == NULL) {
        return NGX_CONF_ERROR;
    }

#endif

    return ngx_http_rf_store_conf_add(cf, block);
}


/* beside nginx's own temp paths, wherever they were configured to be */

static char *
ngx_http_rf_store_conf_default_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block)
{
    static ngx_str_t  temp = ngx_string(NGX_HTTP_CLIENT_TEMP_PATH);

    size_t      len;
    ngx_str_t   path, *name;

    name = &block->store.name;

    for (len = temp.len; len && temp.data[len - 1] != '/'; len--) {
        /* void */
    }

    path.data = ngx_pnalloc(cf->pool,
                            len + sizeof("redis_fallback/") + name->len);
    if (path.data == NULL) {
        return NGX_CONF_ERROR;
    }

    path.len = ngx_sprintf(path.data, "%*sredis_fallback/%V%Z",
                           len, temp.data, name)
               - path.data - 1;

    return ngx_http_rf_store_conf_full_path(cf, block, &path);
}


/* completes it against the prefix; leaves out empty parts and ".", so that one
 * path has one name */

static char *
ngx_http_rf_store_conf_full_path(ngx_conf_t *cf,
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
        return ngx_http_rf_store_conf_invalid(cf, given,
                                         "it is the root directory");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_add(ngx_conf_t *cf, ngx_http_rf_store_block_t *block)
{
    ngx_str_t            *path;
    ngx_uint_t            i;
    ngx_http_rf_store_t  *s;

    path = &block->store.file.path;
    s = block->main->stores.elts;

    for (i = 0; i < block->main->stores.nelts; i++) {

        if (path->len && s[i].path.len == path->len
            && ngx_strncmp(s[i].path.data, path->data, path->len) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"path\" \"%V\" of redis_fallback_store "
                               "\"%V\" is already that of \"%V\"",
                               path, &block->store.name, &s[i].name);
            return NGX_CONF_ERROR;
        }
    }

    s = ngx_array_push(&block->main->stores);
    if (s == NULL) {
        return NGX_CONF_ERROR;
    }

    s->name = block->store.name;
    s->path = *path;

    s->store = ngx_rf_store_create(cf, &block->store,
                                   &ngx_http_redis_fallback_module);

    return s->store ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* what is wrong with a value of the directive that is read now */

static char *
ngx_http_rf_store_conf_invalid(ngx_conf_t *cf, ngx_str_t *value,
    const char *why)
{
    ngx_str_t  *args;

    args = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\" directive: %s",
                       value, &args[0], why);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_rf_store_conf_zone(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ssize_t     size;
    ngx_str_t  *value;

    value = cf->args->elts;
    size = ngx_parse_size(&value[1]);

    if (size == NGX_ERROR) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1],
                                         "it must be a size");
    }

    if (size < NGX_HTTP_RF_STORE_ZONE_MIN) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1],
                                         "it must be at least 1m");
    }

    block->store.zone_size = size;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_server(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1], "no host");
    }

    return ngx_http_rf_store_conf_address(cf, &block->store.redis, &value[1]);
}


static char *
ngx_http_rf_store_conf_address(ngx_conf_t *cf, ngx_rf_redis_conf_t *redis,
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
        return ngx_http_rf_store_conf_invalid(cf, address,
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
            return ngx_http_rf_store_conf_invalid(cf, address, "invalid host");
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_user(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1], "it is empty");
    }

    block->store.redis.user = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_password(ngx_conf_t *cf,
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
        return ngx_http_rf_store_conf_invalid(cf, &value[1], "it is empty");
    }

    block->store.redis.password = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_password_file(ngx_conf_t *cf,
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
        return ngx_http_rf_store_conf_invalid(cf, &value[1], "it is empty");
    }

    if (ngx_conf_full_name(cf->cycle, &value[1], 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_rf_store_conf_read_secret(cf, &value[1],
                                         &block->store.redis.password);
}


/* its first line, without the line's end */

static char *
ngx_http_rf_store_conf_read_secret(ngx_conf_t *cf, ngx_str_t *name,
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
        return ngx_http_rf_store_conf_invalid(cf, name,
                                         "its first line is too long");
    }

    if (len && buf[len - 1] == '\r') {
        len--;
    }

    if (len == 0) {
        return ngx_http_rf_store_conf_invalid(cf, name,
                                         "its first line is empty");
    }

    secret->data = buf;
    secret->len = len;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_number(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;
    n = ngx_atoi(value[1].data, value[1].len);

    /* NGX_ERROR is below any least one */

    if (n < line->least || n > NGX_MAX_INT32_VALUE) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1],
                        line->least ? "it must be a number of at least 1"
                                    : "it must be a number of at least 0");
    }

    *(ngx_uint_t *) ((u_char *) &block->store + line->offset) = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_time(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_int_t   ms;
    ngx_str_t  *value;

    value = cf->args->elts;
    ms = ngx_parse_time(&value[1], 0);

    if (ms == NGX_ERROR) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1],
                                         "it must be a time");
    }

    if (ms == 0 || ms > NGX_HTTP_RF_STORE_TIME_MAX) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1],
                                         "it must be between 1ms and 24d");
    }

    *(ngx_msec_t *) ((u_char *) &block->store + line->offset) = ms;

    return NGX_CONF_OK;
}


static char *
ngx_http_rf_store_conf_path(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
    const ngx_http_rf_store_line_t *line)
{
    ngx_str_t  *value, levels;

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_rf_store_conf_invalid(cf, &value[1], "it is empty");
    }

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {

        if (cf->args->nelts == 3) {
            return ngx_http_rf_store_conf_invalid(cf, &value[2],
                                             "\"path off\" has no parameter");
        }

        block->path_off = 1;

        return NGX_CONF_OK;
    }

    if (cf->args->nelts == 3) {

        if (value[2].len < 7 || ngx_strncmp(value[2].data, "levels=", 7) != 0) {
            return ngx_http_rf_store_conf_invalid(cf, &value[2],
                                             "unknown parameter");
        }

        levels.data = value[2].data + 7;
        levels.len = value[2].len - 7;

        if (ngx_http_rf_store_conf_levels(cf, block->store.file.levels,
                                          &levels)
            != NGX_CONF_OK)
        {
            return ngx_http_rf_store_conf_invalid(cf, &value[2],
                                 "levels are one to three digits from 1 to 4, "
                                 "such as 2:2:2");
        }
    }

    return ngx_http_rf_store_conf_full_path(cf, block, &value[1]);
}


static char *
ngx_http_rf_store_conf_levels(ngx_conf_t *cf, ngx_uint_t *levels,
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
ngx_http_rf_store_conf_word(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
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
ngx_http_rf_store_conf_cache(ngx_conf_t *cf, ngx_http_rf_store_block_t *block,
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
        return ngx_http_rf_store_conf_invalid(cf, &value[1],
                         "it must be \"tracking\", \"off\" or a time above 0");
    }

    block->store.cache = NGX_RF_CACHE_TIME;
    block->store.cache_time = ms;

    return NGX_CONF_OK;
}
