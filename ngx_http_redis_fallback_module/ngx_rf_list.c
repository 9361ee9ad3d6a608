/*
 * Lists: pushing, popping, moving, reading.  Commands that change something in
 * the middle of a list, and LPOS, are in ngx_rf_list_edit.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_rf_coll.h"
#include "ngx_rf_list_internal.h"
#include "ngx_rf_local.h"
#include "ngx_rf_local_op.h"


static ngx_int_t ngx_rf_list_push(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_list_pop(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_list_pop_one(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_uint_t tail, ngx_rf_reply_t *reply);
static ngx_int_t ngx_rf_list_move(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_list_move_to(ngx_rf_local_t *l, ngx_rf_coll_t *from,
    ngx_uint_t from_tail, ngx_uint_t to_tail);
static ngx_int_t ngx_rf_list_rotate(ngx_rf_local_t *l, ngx_rf_coll_t *c,
    ngx_uint_t from_tail, ngx_uint_t to_tail);
static ngx_int_t ngx_rf_list_end(ngx_str_t *arg, ngx_uint_t *tail);
static ngx_int_t ngx_rf_list_len(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_list_index(ngx_rf_local_t *l);
static ngx_int_t ngx_rf_list_range(ngx_rf_local_t *l);


ngx_rf_local_pt
ngx_rf_list_handler(ngx_rf_command_e id)
{
    switch (id) {

    case NGX_RF_CMD_LPUSH:
    case NGX_RF_CMD_RPUSH:
    case NGX_RF_CMD_LPUSHX:
    case NGX_RF_CMD_RPUSHX:
        return ngx_rf_list_push;

    case NGX_RF_CMD_LPOP:
    case NGX_RF_CMD_RPOP:
        return ngx_rf_list_pop;

    case NGX_RF_CMD_LMOVE:
    case NGX_RF_CMD_RPOPLPUSH:
        return ngx_rf_list_move;

    case NGX_RF_CMD_LLEN:
        return ngx_rf_list_len;

    case NGX_RF_CMD_LINDEX:
        return ngx_rf_list_index;

    case NGX_RF_CMD_LRANGE:
        return ngx_rf_list_range;

    case NGX_RF_CMD_LSET:
        return ngx_rf_list_set;

    case NGX_RF_CMD_LINSERT:
        return ngx_rf_list_insert;

    case NGX_RF_CMD_LREM:
        return ngx_rf_list_rem;

    case NGX_RF_CMD_LTRIM:
        return ngx_rf_list_trim;

    case NGX_RF_CMD_LPOS:
        return ngx_rf_list_pos;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_rf_list_push(ngx_rf_local_t *l)
{
    uint64_t          count;
    ngx_int_t         rc;
    ngx_uint_t        i, tail, exists;
    ngx_rf_coll_t     c;
    ngx_rf_command_e  id;

    id = l->command->id;

    tail = (id == NGX_RF_CMD_RPUSH || id == NGX_RF_CMD_RPUSHX);
    exists = (id == NGX_RF_CMD_LPUSHX || id == NGX_RF_CMD_RPUSHX);

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (exists && c.elts.count == 0) {
        return ngx_rf_local_integer(l, 0);
    }

    for (i = 2; i < l->argc; i++) {

        rc = ngx_rf_coll_push(l, &c, tail, &l->argv[i]);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    count = c.elts.count;
    rc = ngx_rf_coll_close(l, &c);

    return rc == NGX_OK ? ngx_rf_local_integer(l, count) : rc;
}


static ngx_int_t
ngx_rf_list_pop(ngx_rf_local_t *l)
{
    int64_t          count;
    ngx_int_t        rc;
    ngx_uint_t       i, n, tail;
    ngx_rf_coll_t    c;
    ngx_rf_reply_t  *elts;

    if (l->argc > 3) {
        return ngx_rf_local_error_about(l, "ERR wrong number of arguments for "
                                        "'%V' command",
                                        (ngx_str_t *) &l->command->name);
    }

    count = 1;

    if (l->argc == 3
        && (ngx_rf_local_number(&l->argv[2], &count) != NGX_OK || count < 0))
    {
        return ngx_rf_local_error(l, "ERR value is out of range, must be "
                                  "positive");
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_nil(l);
    }

    tail = (l->command->id == NGX_RF_CMD_RPOP);

    if (l->argc == 2) {

        if (ngx_rf_local_nil(l) != NGX_OK) {
            return NGX_ERROR;
        }

        elts = l->reply;
        n = 1;

    } else {
        n = ngx_min((uint64_t) count, c.elts.count);

        rc = ngx_rf_coll_array(l, n, &elts);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    for (i = 0; i < n; i++) {

        rc = ngx_rf_list_pop_one(l, &c, tail, &elts[i]);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_rf_coll_close(l, &c);
}


/* of a list that is not empty */

static ngx_int_t
ngx_rf_list_pop_one(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t tail,
    ngx_rf_reply_t *reply)
{
    ngx_rf_elt_t  *elt;

    elt = ngx_rf_tree_at(&c->elts, tail ? c->elts.count - 1 : 0);

    if (elt == NULL
        || ngx_rf_local_element(l, reply, ngx_rf_elt_name(elt), elt->name_len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_rf_coll_pop(l, c, tail);
}


static ngx_int_t
ngx_rf_list_move(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_str_t     *from, *to;
    ngx_uint_t     from_tail, to_tail;
    ngx_rf_coll_t  c;

    from = &l->argv[1];
    to = &l->argv[2];

    if (l->command->id == NGX_RF_CMD_RPOPLPUSH) {
        from_tail = 1;
        to_tail = 0;

    } else if (ngx_rf_list_end(&l->argv[3], &from_tail) != NGX_OK
               || ngx_rf_list_end(&l->argv[4], &to_tail) != NGX_OK)
    {
        return ngx_rf_local_syntax(l);
    }

    rc = ngx_rf_coll_open(l, from, NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_nil(l);
    }

    if (from->len == to->len
        && ngx_memcmp(from->data, to->data, to->len) == 0)
    {
        return ngx_rf_list_rotate(l, &c, from_tail, to_tail);
    }

    return ngx_rf_list_move_to(l, &c, from_tail, to_tail);
}


static ngx_int_t
ngx_rf_list_move_to(ngx_rf_local_t *l, ngx_rf_coll_t *from,
    ngx_uint_t from_tail, ngx_uint_t to_tail)
{
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[2], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (ngx_rf_local_nil(l) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_rf_list_pop_one(l, from, from_tail, l->reply);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_push(l, &c, to_tail, &l->reply->str);
    }

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_close(l, from);
    }

    return rc == NGX_OK ? ngx_rf_coll_close(l, &c) : rc;
}


static ngx_int_t
ngx_rf_list_rotate(ngx_rf_local_t *l, ngx_rf_coll_t *c, ngx_uint_t from_tail,
    ngx_uint_t to_tail)
{
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;

    if (from_tail == to_tail) {

        /* it stays where it is, in Redis too */

        elt = ngx_rf_tree_at(&c->elts, from_tail ? c->elts.count - 1 : 0);

        return elt ? ngx_rf_local_string(l, ngx_rf_elt_name(elt),
                                         elt->name_len)
                   : NGX_ERROR;
    }

    if (ngx_rf_local_nil(l) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_rf_list_pop_one(l, c, from_tail, l->reply);

    if (rc == NGX_OK) {
        rc = ngx_rf_coll_push(l, c, to_tail, &l->reply->str);
    }

    return rc == NGX_OK ? ngx_rf_coll_close(l, c) : rc;
}


static ngx_int_t
ngx_rf_list_end(ngx_str_t *arg, ngx_uint_t *tail)
{
    if (ngx_rf_local_is(arg, "left")) {
        *tail = 0;
        return NGX_OK;
    }

    if (ngx_rf_local_is(arg, "right")) {
        *tail = 1;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_rf_list_len(ngx_rf_local_t *l)
{
    ngx_int_t      rc;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    return ngx_rf_local_integer(l, c.elts.count);
}


static ngx_int_t
ngx_rf_list_index(ngx_rf_local_t *l)
{
    int64_t        index;
    ngx_int_t      rc;
    ngx_rf_elt_t  *elt;
    ngx_rf_coll_t  c;

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    if (c.elts.count == 0) {
        return ngx_rf_local_nil(l);
    }

    if (ngx_rf_local_number(&l->argv[2], &index) != NGX_OK) {
        return ngx_rf_local_not_integer(l);
    }

    if (ngx_rf_list_rank(&c, &index) != NGX_OK) {
        return ngx_rf_local_nil(l);
    }

    elt = ngx_rf_tree_at(&c.elts, index);

    return elt ? ngx_rf_local_string(l, ngx_rf_elt_name(elt), elt->name_len)
               : NGX_ERROR;
}


static ngx_int_t
ngx_rf_list_range(ngx_rf_local_t *l)
{
    int64_t          start, end;
    uint64_t         i, n;
    ngx_int_t        rc;
    ngx_rf_elt_t    *elt;
    ngx_rf_coll_t    c;
    ngx_rf_walk_t    walk;
    ngx_rf_reply_t  *elts;

    if (ngx_rf_local_number(&l->argv[2], &start) != NGX_OK
        || ngx_rf_local_number(&l->argv[3], &end) != NGX_OK)
    {
        return ngx_rf_local_not_integer(l);
    }

    rc = ngx_rf_coll_open(l, &l->argv[1], NGX_RF_LIST, &c);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : rc;
    }

    n = ngx_rf_list_limits(&c, &start, &end);

    rc = ngx_rf_coll_array(l, n, &elts);
    if (rc != NGX_OK) {
        return rc;
    }

    elt = ngx_rf_walk_from(&walk, &c.elts, start);

    for (i = 0; i < n && elt != NULL; i++) {

        if (ngx_rf_local_element(l, &elts[i], ngx_rf_elt_name(elt),
                                 elt->name_len)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_rf_coll_breathe(l);
        if (rc != NGX_OK) {
            return rc;
        }

        elt = ngx_rf_walk_next(&walk);
    }

    return NGX_OK;
}


ngx_int_t
ngx_rf_list_rank(ngx_rf_coll_t *c, int64_t *index)
{
    if (*index < 0) {
        *index += c->elts.count;
    }

    return (*index >= 0 && *index < (int64_t) c->elts.count) ? NGX_OK
                                                             : NGX_DECLINED;
}


uint64_t
ngx_rf_list_limits(ngx_rf_coll_t *c, int64_t *start, int64_t *end)
{
    int64_t  count;

    count = c->elts.count;

    if (*start < 0) {
        *start = ngx_max(*start + count, 0);
    }

    if (*end < 0) {
        *end += count;
    }

    if (*start >= count || *start > *end) {
        *start = count;
        *end = count - 1;
        return 0;
    }

    *end = ngx_min(*end, count - 1);

    return *end - *start + 1;
}
