/*
 * The harness of the client's tests, see rf_client.h: a core module that runs
 * one scenario in its (only) process and ends nginx.  Prints TAP lines without
 * numbers.
 */

#include "rf_client.h"
#include <ngx_thread_pool.h>
#include <dirent.h>


#define RF_HANG     60000       /* ms that a step may take */


typedef struct {
    ngx_array_t             settings;   /* ngx_keyval_t */
    ngx_thread_pool_t      *tp;
} rf_conf_t;


static void *rf_create_conf(ngx_cycle_t *cycle);
static char *rf_setting(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static ngx_int_t rf_init_process(ngx_cycle_t *cycle);
static void rf_exit_process(ngx_cycle_t *cycle);
static void rf_tick(ngx_event_t *ev);
static void rf_handler(ngx_rf_call_t *call, ngx_uint_t outcome);
static void rf_soon(ngx_rf_call_t *call, ngx_uint_t n);
static void rf_up(void *data, ngx_rf_redis_info_t *info);
static void rf_down(void *data);
static rf_call_t *rf_vprepare(rf_client_t *client, va_list args);
static void rf_vadd(rf_call_t *t, va_list args);


static ngx_command_t  rf_commands[] = {

    { ngx_string("rf"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE2,
      rf_setting,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_core_module_t  rf_module_ctx = {
    ngx_string("rf_client"),
    rf_create_conf,
    NULL
};



/* calls go over the links by turns, if there are several */

static uint32_t  rf_order;

ngx_module_t  rf_client_module = {
    NGX_MODULE_V1,
    &rf_module_ctx,
    rf_commands,
    NGX_CORE_MODULE,
    NULL,
    NULL,
    rf_init_process,
    NULL,
    NULL,
    rf_exit_process,
    NULL,
    NGX_MODULE_V1_PADDING
};


ngx_module_t  *ngx_modules[] = { &rf_client_module, NULL };
char          *ngx_module_names[] = { "rf_client_module", NULL };
char          *ngx_module_order[] = { NULL };


rf_client_t    rf_a;
rf_client_t    rf_b;
rf_call_t     *rf_calls;
ngx_uint_t     rf_outstanding;
ngx_uint_t     rf_go_on;
ngx_cycle_t   *rf_cycle;

static rf_conf_t      *rf_conf;
static rf_step_pt     *rf_steps;
static ngx_event_t     rf_timer;
static ngx_connection_t  rf_dummy;
static ngx_msec_t      rf_wake;
static ngx_msec_t      rf_hang;


static void *
rf_create_conf(ngx_cycle_t *cycle)
{
    rf_conf_t  *conf;

    conf = ngx_pcalloc(cycle->pool, sizeof(rf_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&conf->settings, cycle->pool, 8, sizeof(ngx_keyval_t))
        != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


static char *
rf_setting(ngx_conf_t *cf, ngx_command_t *cmd, void *data)
{
    static ngx_str_t  name = ngx_string("default");

    ngx_str_t     *value;
    rf_conf_t     *conf;
    ngx_keyval_t  *kv;

    conf = data;
    value = cf->args->elts;

    kv = ngx_array_push(&conf->settings);
    if (kv == NULL) {
        return NGX_CONF_ERROR;
    }

    kv->key = value[1];
    kv->value = value[2];

    /* event methods but epoll and kqueue go without */

    if (ngx_strcmp(value[1].data, "threads") == 0) {
        conf->tp = ngx_thread_pool_add(cf, &name);
    }

    return NGX_CONF_OK;
}


const char *
rf_get(const char *name)
{
    ngx_uint_t     i;
    ngx_keyval_t  *kv;

    kv = rf_conf->settings.elts;

    for (i = 0; i < rf_conf->settings.nelts; i++) {
        if (ngx_strcmp(kv[i].key.data, name) == 0) {
            return (const char *) kv[i].value.data;
        }
    }

    return NULL;
}


static ngx_int_t
rf_init_process(ngx_cycle_t *cycle)
{
    const char     *name;
    rf_scenario_t  *scenario;

    setvbuf(stdout, NULL, _IOLBF, 0);

    rf_cycle = cycle;
    rf_conf = (rf_conf_t *) ngx_get_conf(cycle->conf_ctx, rf_client_module);
    name = rf_get("scenario");

    for (scenario = rf_scenarios; scenario->name; scenario++) {
        if (ngx_strcmp(scenario->name, name) == 0) {
            rf_steps = scenario->steps;
            break;
        }
    }

    if (rf_steps == NULL) {
        rf_ok(0, "scenario %s exists", name);
        return NGX_ERROR;
    }

    rf_client_create(&rf_a);

    rf_dummy.fd = (ngx_socket_t) -1;
    rf_timer.handler = rf_tick;
    rf_timer.data = &rf_dummy;
    rf_timer.log = cycle->log;
    rf_timer.cancelable = 1;
    rf_hang = ngx_current_msec + RF_HANG;

    ngx_add_timer(&rf_timer, 1);

    return NGX_OK;
}


static void
rf_exit_process(ngx_cycle_t *cycle)
{
    rf_client_destroy(&rf_a);
    rf_client_destroy(&rf_b);
    rf_free_calls();
}


static void
rf_tick(ngx_event_t *ev)
{
    ngx_msec_t  wait;

    ngx_add_timer(ev, 1);

    if ((ngx_msec_int_t) (ngx_current_msec - rf_hang) > 0) {
        rf_ok(0, "a step hangs, %d calls are out", (int) rf_outstanding);
        ngx_quit = 1;
        return;
    }

    if ((rf_outstanding && !rf_go_on)
        || (ngx_msec_int_t) (ngx_current_msec - rf_wake) < 0)
    {
        return;
    }

    rf_go_on = 0;

    if (*rf_steps == NULL) {

        if (rf_get("stay") == NULL) {
            ngx_quit = 1;
        }

        ngx_del_timer(ev);
        return;
    }

    wait = (*rf_steps++)();

    ngx_time_update();
    rf_wake = ngx_current_msec + wait;
    rf_hang = rf_wake + RF_HANG;
}


void
rf_client_create(rf_client_t *client)
{
    const char           *text;
    ngx_rf_redis_conf_t  *conf;

    conf = &client->conf;

    ngx_memzero(conf, sizeof(ngx_rf_redis_conf_t));

    ngx_str_set(&conf->store, "app");

#define rf_text(field, name)                                                  \
    text = rf_get(name);                                                      \
    if (text) {                                                               \
        (field).data = (u_char *) text;                                       \
        (field).len = strlen(text);                                           \
    }

    rf_text(conf->address, "server");
    rf_text(conf->user, "user");
    rf_text(conf->password, "password");

#define rf_number(name, value)                                                \
    (rf_get(name) ? (ngx_uint_t) atoi(rf_get(name)) : value)

    conf->database = rf_number("database", 0);
    conf->connect_timeout = rf_number("connect_timeout", 500);
    conf->timeout = rf_number("timeout", 1000);
    conf->max_retries = rf_number("max_retries", 3);
    conf->connections = rf_number("connections", 1);

    conf->url.url = conf->address;
    conf->url.default_port = 6379;
    conf->url.no_resolve = (rf_conf->tp != NULL);

    if (ngx_parse_url(rf_cycle->pool, &conf->url) != NGX_OK) {
        rf_ok(0, "address %s", text);
        return;
    }

    client->redis = ngx_rf_redis_create(conf, rf_cycle, rf_conf->tp, rf_up,
                                        rf_down, client);

    if (client->redis == NULL) {
        rf_ok(0, "client is made");
    }
}


void
rf_client_destroy(rf_client_t *client)
{
    if (client->redis) {
        ngx_rf_redis_destroy(client->redis);
        client->redis = NULL;
    }
}


static void
rf_up(void *data, ngx_rf_redis_info_t *info)
{
    rf_client_t *client = data;

    client->ups++;
    client->links |= 1 << ngx_rf_redis_link(client->redis);
    client->dbsize = info->dbsize;
    client->client = info->client;
    client->version = info->version;
    client->run_id_len = info->run_id.len;
    ngx_memcpy(client->run_id, info->run_id.data,
               ngx_min(info->run_id.len, sizeof(client->run_id)));

    if (client->up) {
        client->up();
    }
}


static void
rf_down(void *data)
{
    rf_client_t *client = data;

    client->downs++;
    client->links &= ~(1 << ngx_rf_redis_link(client->redis));
    client->abandoned += (ngx_rf_redis_abandoned(client->redis) != 0);
}


rf_call_t *
rf_submit(rf_client_t *client, ...)
{
    va_list     args;
    rf_call_t  *t;

    va_start(args, client);
    t = rf_vprepare(client, args);
    va_end(args);

    (void) rf_start(t);

    return t;
}


rf_call_t *
rf_prepare(rf_client_t *client, ...)
{
    va_list     args;
    rf_call_t  *t;

    va_start(args, client);
    t = rf_vprepare(client, args);
    va_end(args);

    return t;
}


void
rf_add(rf_call_t *t, ...)
{
    va_list  args;

    va_start(args, t);
    rf_vadd(t, args);
    va_end(args);
}


static rf_call_t *
rf_vprepare(rf_client_t *client, va_list args)
{
    rf_call_t  *t;

    t = calloc(1, sizeof(rf_call_t));

    t->pool = ngx_create_pool(512, rf_cycle->log);
    t->redis = client->redis;
    t->call.pool = t->pool;
    t->call.commands = t->commands;
    t->call.handler = rf_handler;
    t->call.soon = rf_soon;
    t->call.data = t;
    t->call.order = rf_order++;
    t->outcome = (ngx_uint_t) -1;
    t->next = rf_calls;
    rf_calls = t;

    rf_vadd(t, args);

    return t;
}


static void
rf_vadd(rf_call_t *t, va_list args)
{
    char                   *arg;
    ngx_str_t              *argv;
    ngx_rf_call_command_t  *command;

    argv = t->argv[t->call.ncommands];
    command = &t->commands[t->call.ncommands++];
    command->argv = argv;
    command->argc = 0;

    for (arg = va_arg(args, char *); arg; arg = va_arg(args, char *)) {
        argv->len = strlen(arg);
        argv->data = ngx_palloc(t->pool, argv->len + 1);
        ngx_memcpy(argv->data, arg, argv->len);
        argv++;
        command->argc++;
    }
}


ngx_int_t
rf_start(rf_call_t *t)
{
    t->began = ngx_current_msec;

    if (ngx_rf_redis_call(t->redis, &t->call) != NGX_AGAIN) {
        rf_ok(0, "call is accepted");
        return NGX_ERROR;
    }

    rf_outstanding++;

    if (t->fired) {
        rf_ok(0, "handler is not called from inside of the call");
    }

    return NGX_OK;
}


static void
rf_handler(ngx_rf_call_t *call, ngx_uint_t outcome)
{
    rf_call_t *t = call->data;

    t->took = ngx_current_msec - t->began;
    t->outcome = outcome;
    rf_outstanding--;

    if (t->fired++) {
        rf_ok(0, "handler is called once");
    }

    if (t->then) {
        t->then(t);
    }
}


static void
rf_soon(ngx_rf_call_t *call, ngx_uint_t n)
{
    rf_call_t *t = call->data;

    if (t->fired) {
        rf_ok(0, "what is answered is not told that it will be soon");
    }

    t->soon = t->soon * 10 + n;
}


/* as a request that goes away: the call and its pool are gone at once */

void
rf_cut(rf_call_t *t)
{
    rf_call_t  **p;

    ngx_rf_redis_cut(t->redis, &t->call);
    rf_outstanding--;

    for (p = &rf_calls; *p; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }

    ngx_destroy_pool(t->pool);
    ngx_memset(t, 0xa5, sizeof(rf_call_t));
    free(t);
}


void
rf_free_calls(void)
{
    rf_call_t  *t;

    while (rf_calls) {
        t = rf_calls;
        rf_calls = t->next;

        ngx_destroy_pool(t->pool);
        free(t);
    }
}


ngx_uint_t
rf_count(ngx_uint_t outcome)
{
    rf_call_t   *t;
    ngx_uint_t   n;

    n = 0;

    for (t = rf_calls; t; t = t->next) {
        if (t->fired && t->outcome == outcome) {
            n++;
        }
    }

    return n;
}


ngx_msec_t
rf_longest(void)
{
    rf_call_t   *t;
    ngx_msec_t   longest;

    longest = 0;

    for (t = rf_calls; t; t = t->next) {
        longest = ngx_max(longest, t->took);
    }

    return longest;
}


void
rf_ok(ngx_uint_t ok, const char *fmt, ...)
{
    va_list  args;

    printf("%s - %s: ", ok ? "ok" : "not ok",
           rf_conf ? rf_get("title") : "?");

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
}


ngx_uint_t
rf_is(ngx_rf_reply_t *reply, const char *text)
{
    return reply
           && reply->str.len == strlen(text)
           && ngx_memcmp(reply->str.data, text, reply->str.len) == 0;
}


void
rf_hook(const char *what)
{
    int   rc;
    char  command[1024];

    snprintf(command, sizeof(command), "%s %s", rf_get("hook"), what);

    rc = system(command);
    if (rc != 0 && rc != -1) {
        rf_ok(0, "hook %s: %d", what, rc);
    }

    ngx_time_update();
}


ngx_uint_t
rf_nfds(void)
{
    DIR         *dir;
    ngx_uint_t   n;

    n = 0;
    dir = opendir("/proc/self/fd");

    while (readdir(dir)) {
        n++;
    }

    closedir(dir);

    return n;
}


size_t
rf_rss(void)
{
    FILE           *f;
    unsigned long   size, rss;

    rss = 0;
    f = fopen("/proc/self/statm", "r");

    if (fscanf(f, "%lu %lu", &size, &rss) != 2) {
        rss = 0;
    }

    fclose(f);

    return rss * 4096;
}
