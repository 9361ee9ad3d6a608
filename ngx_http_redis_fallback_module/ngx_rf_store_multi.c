/*
 * Transactions: several commands that become one operation.
 *
 * Their arguments are put into one row, so that whoever deals with an
 * operation finds a key by its index there, and a command is made up that says
 * of all of them what the store asks of one: whether they write, whether they
 * can be executed here, whether they have keys.
 *
 * Refuses to know: modes and tiers.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_resp.h"
#include "ngx_rf_store.h"
#include "ngx_rf_store_internal.h"


/* keys whose time to live is asked for behind EXEC, so that memory may learn
 * them; the others it learns only if it knows them already */
#define NGX_RF_MULTI_PTTLS      16

#define NGX_RF_MULTI_ABORT                                                   \
    "EXECABORT Transaction discarded because of: "


static void ngx_rf_multi_add(ngx_rf_command_t *multi,
    const ngx_rf_command_t *command);
static ngx_uint_t ngx_rf_multi_pttls(ngx_rf_work_t *w,
    ngx_rf_call_command_t *command);
static ngx_rf_reply_t *ngx_rf_multi_aborted(ngx_rf_work_t *w,
    ngx_rf_reply_t *exec, ngx_str_t **reason);
static ngx_int_t ngx_rf_multi_error(ngx_pool_t *pool, ngx_str_t *cause,
    ngx_str_t *err);


static ngx_str_t  ngx_rf_multi_words[] = {
    ngx_string("MULTI"),
    ngx_string("EXEC")
};


ngx_int_t
ngx_rf_multi_prepare(ngx_rf_work_t *w, ngx_str_t *err)
{
    ngx_str_t            *argv, cause;
    ngx_uint_t            i, n;
    ngx_rf_op_t          *op;
    ngx_rf_op_part_t     *from;
    ngx_rf_local_part_t  *part;

    op = w->op;

    ngx_str_null(err);

    w->multi = ngx_pcalloc(op->pool, sizeof(ngx_rf_command_t));
    w->parts = ngx_palloc(op->pool, op->nparts * sizeof(ngx_rf_local_part_t));

    if (w->multi == NULL || w->parts == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&w->multi->name, "multi-exec");
    w->multi->flags = NGX_RF_CMD_LOCAL;

    n = 0;

    for (i = 0; i < op->nparts; i++) {
        from = &op->parts[i];
        part = &w->parts[i];

        if (ngx_rf_command_check(op->pool, from->argc, from->argv,
                                 &part->command, &cause)
            != NGX_OK)
        {
            return ngx_rf_multi_error(op->pool, &cause, err);
        }

        part->argc = from->argc;
        part->first = n;
        n += from->argc;

        ngx_rf_multi_add(w->multi, part->command);
    }

    if (w->multi->flags & NGX_RF_CMD_MOVABLE) {

        /* that all of its keys are known here is not to be believed */

        w->multi->first = 0;
    }

    argv = ngx_palloc(op->pool, n * sizeof(ngx_str_t));
    if (argv == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < op->nparts; i++) {
        ngx_memcpy(&argv[w->parts[i].first], op->parts[i].argv,
                   op->parts[i].argc * sizeof(ngx_str_t));
    }

    op->command = w->multi;
    op->argc = n;
    op->argv = argv;

    return NGX_OK;
}


static void
ngx_rf_multi_add(ngx_rf_command_t *multi, const ngx_rf_command_t *command)
{
    multi->flags |= command->flags & NGX_RF_CMD_WRITE;

    if (!(command->flags & NGX_RF_CMD_LOCAL)) {
        multi->flags &= ~NGX_RF_CMD_LOCAL;
    }

    if (command->id == NGX_RF_CMD_SINTERCARD) {
        /* they move, but are known */
        multi->first = 1;
        return;
    }

    if (command->flags & NGX_RF_CMD_MOVABLE) {
        multi->flags |= NGX_RF_CMD_MOVABLE;
    }

    if (command->first > 0) {
        multi->first = 1;

    } else if (command->flags & NGX_RF_CMD_WRITE) {
        multi->flags |= NGX_RF_CMD_MOVABLE;
    }
}


ngx_int_t
ngx_rf_multi_call(ngx_rf_work_t *w)
{
    ngx_uint_t              i, n;
    ngx_rf_op_t            *op;
    ngx_rf_call_t          *call;
    ngx_rf_call_command_t  *command;

    op = w->op;
    call = &w->call;
    n = op->nparts + 2;

    command = ngx_pcalloc(op->pool, (n + NGX_RF_MULTI_PTTLS)
                                    * sizeof(ngx_rf_call_command_t));
    if (command == NULL) {
        return NGX_ERROR;
    }

    call->commands = command;

    command[0].argc = 1;
    command[0].argv = &ngx_rf_multi_words[0];

    for (i = 0; i < op->nparts; i++) {
        command[i + 1].argc = op->parts[i].argc;
        command[i + 1].argv = op->parts[i].argv;
    }

    command[n - 1].argc = 1;
    command[n - 1].argv = &ngx_rf_multi_words[1];

    call->ncommands = n + ngx_rf_multi_pttls(w, &command[n]);

    /* writes that can be repeated one by one may not be so in a row: EXPIRE
     * and then SET with KEEPTTL */

    call->repeat = !(w->multi->flags & NGX_RF_CMD_WRITE);

    return NGX_OK;
}


/* returns how many */

static ngx_uint_t
ngx_rf_multi_pttls(ngx_rf_work_t *w, ngx_rf_call_command_t *command)
{
    ngx_str_t            *argv;
    ngx_uint_t            i, n;
    ngx_rf_op_t          *op;
    ngx_rf_local_part_t  *part;

    op = w->op;
    n = 0;

    for (i = 0; i < op->nparts && n < NGX_RF_MULTI_PTTLS; i++) {
        part = &w->parts[i];

        if (!ngx_rf_learn_pttl(part->command, part->argc,
                               &op->argv[part->first]))
        {
            continue;
        }

        argv = ngx_palloc(op->pool, 2 * sizeof(ngx_str_t));
        if (argv == NULL) {
            break;
        }

        ngx_str_set(&argv[0], "PTTL");
        argv[1] = op->argv[part->first + 1];

        command[n].argc = 2;
        command[n++].argv = argv;
    }

    return n;
}


ngx_rf_reply_t *
ngx_rf_multi_reply(ngx_rf_work_t *w, ngx_str_t **reason)
{
    ngx_rf_reply_t  *exec;

    exec = w->call.commands[w->op->nparts + 1].reply;

    if (exec == NULL || exec->type == NGX_RF_REPLY_ERROR) {
        return ngx_rf_multi_aborted(w, exec, reason);
    }

    if (exec->type == NGX_RF_REPLY_ARRAY && exec->nelts == w->op->nparts) {
        return exec;
    }

    exec->type = NGX_RF_REPLY_ERROR;
    ngx_str_set(&exec->str, "ERR unexpected reply to EXEC");

    return exec;
}


ngx_uint_t
ngx_rf_multi_scattered(ngx_rf_work_t *w)
{
    ngx_uint_t              i;
    ngx_rf_call_command_t  *command;

    command = w->call.commands;

    if (w->op->nparts == 0 || command[0].reply == NULL
        || command[0].reply->type != NGX_RF_REPLY_ERROR)
    {
        return 0;
    }

    for (i = 1; i <= w->op->nparts; i++) {
        if (command[i].reply && command[i].reply->type != NGX_RF_REPLY_ERROR) {
            return 1;
        }
    }

    return 0;
}


/* nothing was executed: the first error says why, and whether that is about
 * the commands or about Redis.  Without EXEC's reply nobody knows */

static ngx_rf_reply_t *
ngx_rf_multi_aborted(ngx_rf_work_t *w, ngx_rf_reply_t *exec,
    ngx_str_t **reason)
{
    size_t           len;
    ngx_uint_t       i;
    ngx_rf_reply_t  *reply;

    if (exec == NULL || ngx_rf_multi_scattered(w)) {
        return NULL;
    }

    for (i = 0; i < w->op->nparts + 1; i++) {
        reply = w->call.commands[i].reply;

        if (reply->type != NGX_RF_REPLY_ERROR) {
            continue;
        }

        if (ngx_rf_resp_outage(reply)) {
            *reason = &reply->str;
            return NULL;
        }

        (void) ngx_rf_multi_error(w->op->pool, &reply->str, &exec->str);
        return exec;
    }

    /* EXEC itself was refused, and says why as the transaction's own error */

    len = sizeof(NGX_RF_MULTI_ABORT) - 1;

    if (exec->str.len > len
        && ngx_strncmp(exec->str.data, NGX_RF_MULTI_ABORT, len) == 0)
    {
        reply = ngx_pcalloc(w->op->pool, sizeof(ngx_rf_reply_t));
        if (reply == NULL) {
            return exec;
        }

        reply->type = NGX_RF_REPLY_ERROR;
        reply->str.data = exec->str.data + len;
        reply->str.len = exec->str.len - len;

    } else {
        reply = exec;
    }

    if (ngx_rf_resp_outage(reply)) {
        *reason = &reply->str;
        return NULL;
    }

    return exec;
}


void
ngx_rf_multi_learn(ngx_rf_work_t *w, ngx_rf_reply_t *reply)
{
    int64_t                 pttl;
    ngx_uint_t              i;
    ngx_rf_op_t            *op;
    ngx_rf_local_part_t    *part;
    ngx_rf_call_command_t  *command, *last;

    op = w->op;
    command = &w->call.commands[op->nparts + 2];
    last = w->call.commands + w->call.ncommands;

    for (i = 0; i < op->nparts; i++) {
        part = &w->parts[i];
        pttl = -3;

        if (command < last
            && ngx_rf_learn_pttl(part->command, part->argc,
                                 &op->argv[part->first]))
        {
            if (command->reply
                && command->reply->type == NGX_RF_REPLY_INTEGER)
            {
                pttl = command->reply->integer;
            }

            command++;
        }

        ngx_rf_learn(&op->store->zone, op->pool, part->command, part->argc,
                     &op->argv[part->first], &reply->elts[i], pttl, w->seq,
                     w->sent, 0);
    }
}


void
ngx_rf_multi_blame(ngx_rf_work_t *w)
{
    ngx_uint_t  i;

    if (w->multi == NULL) {
        return;
    }

    if (w->multi->flags & NGX_RF_CMD_LOCAL) {

        /* a value, not a command, that memory cannot deal with */

        w->multi->name = w->local.command->name;
        return;
    }

    for (i = 0; i < w->op->nparts; i++) {

        if (!(w->parts[i].command->flags & NGX_RF_CMD_LOCAL)) {
            w->multi->name = w->parts[i].command->name;
            return;
        }
    }
}


static ngx_int_t
ngx_rf_multi_error(ngx_pool_t *pool, ngx_str_t *cause, ngx_str_t *err)
{
    u_char  *p;

    p = ngx_pnalloc(pool, sizeof(NGX_RF_MULTI_ABORT) - 1 + cause->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    err->data = p;
    err->len = sizeof(NGX_RF_MULTI_ABORT) - 1 + cause->len;

    p = ngx_cpymem(p, NGX_RF_MULTI_ABORT, sizeof(NGX_RF_MULTI_ABORT) - 1);
    ngx_memcpy(p, cause->data, cause->len);

    return NGX_ERROR;
}
