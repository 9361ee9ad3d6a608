/*
 * Name resolution in a pool thread, see ngx_rf_resolve.h.
 *
 * Two lives: the resolver is the client's, the task is its own.  The task owns
 * everything the thread touches and frees itself in the loop once the thread
 * is done.  One pointer links the two, and whoever goes first clears it.
 */

#include "ngx_rf_resolve.h"
#include <ngx_event.h>

#if (NGX_THREADS)

#include <ngx_thread_pool.h>
#include <netdb.h>


typedef struct {
    ngx_thread_task_t     task;
    ngx_rf_resolve_t     *owner;        /* loop side only; NULL: destroyed */

    char                 *host;         /* behind this struct */
    in_port_t             port;

    ngx_uint_t            n;
    const char           *failed;
    ngx_rf_addr_t         addrs[NGX_RF_RESOLVE_MAX];
} ngx_rf_resolve_task_t;


struct ngx_rf_resolve_s {
    ngx_thread_pool_t     *tp;
    ngx_log_t             *log;
    ngx_rf_resolve_task_t *task;        /* the lookup that is under way */

    ngx_rf_resolve_pt      handler;     /* NULL: nobody waits */
    void                  *data;

    in_port_t              port;
    size_t                 len;
    u_char                 host[1];
};


static ngx_rf_resolve_task_t *ngx_rf_resolve_task_create(ngx_rf_resolve_t *r);
static void ngx_rf_resolve_done(ngx_event_t *ev);
static void ngx_rf_resolve_thread(void *data, ngx_log_t *log);


ngx_rf_resolve_t *
ngx_rf_resolve_create(ngx_str_t *host, in_port_t port, void *tp,
    ngx_log_t *log)
{
    ngx_rf_resolve_t  *r;

    if (tp == NULL) {
        return NULL;
    }

    r = ngx_calloc(sizeof(ngx_rf_resolve_t) + host->len, log);
    if (r == NULL) {
        return NULL;
    }

    r->tp = tp;
    r->log = log;
    r->port = port;
    r->len = host->len;
    ngx_memcpy(r->host, host->data, host->len);

    return r;
}


void
ngx_rf_resolve_destroy(ngx_rf_resolve_t *r)
{
    if (r->task) {
        r->task->owner = NULL;
    }

    ngx_free(r);
}


ngx_int_t
ngx_rf_resolve_start(ngx_rf_resolve_t *r, ngx_rf_resolve_pt handler,
    void *data)
{
    ngx_rf_resolve_task_t  *task;

    if (r->task == NULL) {
        task = ngx_rf_resolve_task_create(r);
        if (task == NULL) {
            return NGX_ERROR;
        }

        if (ngx_thread_task_post(r->tp, &task->task) != NGX_OK) {
            ngx_free(task);
            return NGX_ERROR;
        }

        r->task = task;
    }

    /* else a lookup that was given up is still under way: its answer will be
     * fresh enough, and a dead name service must not eat all the threads */

    r->handler = handler;
    r->data = data;

    return NGX_AGAIN;
}


void
ngx_rf_resolve_cancel(ngx_rf_resolve_t *r)
{
    r->handler = NULL;
    r->data = NULL;
}


static ngx_rf_resolve_task_t *
ngx_rf_resolve_task_create(ngx_rf_resolve_t *r)
{
    ngx_rf_resolve_task_t  *task;

    task = ngx_calloc(sizeof(ngx_rf_resolve_task_t) + r->len + 1, r->log);
    if (task == NULL) {
        return NULL;
    }

    task->owner = r;
    task->port = r->port;
    task->host = (char *) task + sizeof(ngx_rf_resolve_task_t);
    ngx_memcpy(task->host, r->host, r->len);

    task->task.ctx = task;
    task->task.handler = ngx_rf_resolve_thread;
    task->task.event.data = task;
    task->task.event.handler = ngx_rf_resolve_done;

    return task;
}


static void
ngx_rf_resolve_done(ngx_event_t *ev)
{
    void                   *data;
    ngx_rf_resolve_t       *r;
    ngx_rf_resolve_pt       handler;
    ngx_rf_resolve_task_t  *task;

    task = ev->data;
    r = task->owner;

    if (r) {
        handler = r->handler;
        data = r->data;

        r->task = NULL;
        r->handler = NULL;

        if (handler) {
            handler(data, task->n, task->addrs, task->failed);
        }
    }

    ngx_free(task);
}


static void
ngx_rf_resolve_thread(void *data, ngx_log_t *log)
{
    int                     rc;
    ngx_rf_addr_t          *addr;
    struct addrinfo         hints, *res, *ai;
    ngx_rf_resolve_task_t  *task;

    task = data;

    ngx_memzero(&hints, sizeof(struct addrinfo));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
#ifdef AI_ADDRCONFIG
    hints.ai_flags = AI_ADDRCONFIG;
#endif

    rc = getaddrinfo(task->host, NULL, &hints, &res);
    if (rc != 0) {
        task->failed = gai_strerror(rc);
        return;
    }

    for (ai = res; ai && task->n < NGX_RF_RESOLVE_MAX; ai = ai->ai_next) {

        if (ai->ai_addrlen > sizeof(ngx_sockaddr_t)) {
            continue;
        }

        addr = &task->addrs[task->n];

        switch (ai->ai_family) {

        case AF_INET:
#if (NGX_HAVE_INET6)
        case AF_INET6:
#endif
            break;

        default:
            continue;
        }

        ngx_memcpy(&addr->sockaddr, ai->ai_addr, ai->ai_addrlen);
        addr->socklen = ai->ai_addrlen;
        ngx_inet_set_port(&addr->sockaddr.sockaddr, task->port);

        task->n++;
    }

    freeaddrinfo(res);

    if (task->n == 0) {
        task->failed = "no usable address";
    }
}

#else /* !NGX_THREADS */

/* names were resolved when the configuration was read */

ngx_rf_resolve_t *
ngx_rf_resolve_create(ngx_str_t *host, in_port_t port, void *tp,
    ngx_log_t *log)
{
    return NULL;
}


void
ngx_rf_resolve_destroy(ngx_rf_resolve_t *r)
{
}


ngx_int_t
ngx_rf_resolve_start(ngx_rf_resolve_t *r, ngx_rf_resolve_pt handler,
    void *data)
{
    return NGX_ERROR;
}


void
ngx_rf_resolve_cancel(ngx_rf_resolve_t *r)
{
}

#endif /* NGX_THREADS */
