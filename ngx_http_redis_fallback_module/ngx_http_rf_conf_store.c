/*
 * The block as a whole: its name, its defaults, which line is which, and what
 * concerns two lines, which is checked at the end, so that their order does not
 * matter.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_rf.h"
#include "ngx_http_rf_conf_store.h"
#include "ngx_http_rf_conf_store_internal.h"


#define NGX_HTTP_RF_STORE_NAME_MAX    64

/* the journal's size in sizes of the zone: at half of it what is still needed,
 * which is at most what is in the zone, is written once more and the rest goes;
 * text takes somewhat more than memory */
#define NGX_HTTP_RF_STORE_JOURNAL     4


static char *ngx_http_rf_conf_store_name(ngx_conf_t *cf,
    ngx_http_rf_main_conf_t *mcf, ngx_str_t *name);
static void ngx_http_rf_conf_store_defaults(ngx_http_rf_store_block_t *block,
    ngx_str_t *name);
static char *ngx_http_rf_conf_store_line(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static char *ngx_http_rf_conf_store_end(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block);
static char *ngx_http_rf_conf_store_default_path(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block);
static char *ngx_http_rf_conf_store_add(ngx_conf_t *cf,
    ngx_http_rf_store_block_t *block);


char *
ngx_http_rf_conf_store_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_rf_main_conf_t  *mcf = conf;

    char                       *rv;
    ngx_str_t                  *value;
    ngx_conf_t                  save;
    ngx_http_rf_store_block_t  *block;

    value = cf->args->elts;

    rv = ngx_http_rf_conf_store_name(cf, mcf, &value[1]);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    block = ngx_pcalloc(cf->pool, sizeof(ngx_http_rf_store_block_t));
    if (block == NULL) {
        return NGX_CONF_ERROR;
    }

    block->main = mcf;
    ngx_http_rf_conf_store_defaults(block, &value[1]);

    save = *cf;
    cf->handler = ngx_http_rf_conf_store_line;
    cf->handler_conf = (char *) block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_rf_conf_store_end(cf, block);
}


/* it becomes a directory's name, a zone's and a label */

static char *
ngx_http_rf_conf_store_name(ngx_conf_t *cf, ngx_http_rf_main_conf_t *mcf,
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
ngx_http_rf_conf_store_defaults(ngx_http_rf_store_block_t *block,
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
     *     store->journal_size: by the zone's
     *     store->thread_pool = NULL;
     */

    store->name = *name;
    store->zone_size = 32 * 1024 * 1024;
    store->redis.store = *name;
    store->redis.connect_timeout = 500;
    store->redis.timeout = 1000;
    store->redis.max_retries = 3;
    store->redis.connections = 1;
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
ngx_http_rf_conf_store_line(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
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

    for (line = ngx_http_rf_conf_store_lines; line->name.len; line++) {

        if (line->name.len != value[0].len
            || ngx_strncmp(line->name.data, value[0].data, value[0].len) != 0)
        {
            continue;
        }

        if (cf->args->nelts < 2 || cf->args->nelts - 1 > line->max) {
            goto number;
        }

        bit = (uint64_t) 1 << (line - ngx_http_rf_conf_store_lines);

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
ngx_http_rf_conf_store_end(ngx_conf_t *cf, ngx_http_rf_store_block_t *block)
{
    ngx_str_t             server = ngx_string("127.0.0.1:6379");
    ngx_rf_store_conf_t  *store;

    store = &block->store;

    if (store->redis.address.len == 0
        && ngx_http_rf_conf_store_address(cf, &store->redis, &server)
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

    if (store->journal_size == 0) {
        store->journal_size = (off_t) store->zone_size
                              * NGX_HTTP_RF_STORE_JOURNAL;
    }

#if (NGX_PTR_SIZE == 4)

    /* its bytes are counted in a word, with what a batch brings */

    store->journal_size = ngx_min(store->journal_size, NGX_MAX_SIZE_T_VALUE);

#endif

    store->file.database = store->redis.database;

    if (!block->path_off && store->file.path.len == 0
        && ngx_http_rf_conf_store_default_path(cf, block) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

#if (NGX_THREADS)

    store->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (store->thread_pool == NULL) {
        return NGX_CONF_ERROR;
    }

#endif

    return ngx_http_rf_conf_store_add(cf, block);
}


/* beside nginx's own temp paths, wherever they were configured to be */

static char *
ngx_http_rf_conf_store_default_path(ngx_conf_t *cf,
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

    return ngx_http_rf_conf_store_full_path(cf, block, &path);
}


static char *
ngx_http_rf_conf_store_add(ngx_conf_t *cf, ngx_http_rf_store_block_t *block)
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

    ngx_memzero(s, sizeof(ngx_http_rf_store_t));

    s->name = block->store.name;
    s->path = *path;

    s->store = ngx_rf_store_create(cf, &block->store,
                                   &ngx_http_redis_fallback_module);

    return s->store ? NGX_CONF_OK : NGX_CONF_ERROR;
}
