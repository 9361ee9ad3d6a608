/*
 * A zone and one who runs commands on it, in the states that a store brings
 * them into.
 */

#ifndef _ZONE_BED_H_INCLUDED_
#define _ZONE_BED_H_INCLUDED_


#include "rf_unit.h"
#include "ngx_rf_command.h"
#include "ngx_rf_learn.h"
#include "ngx_rf_local.h"
#include "ngx_rf_mode.h"
#include "sound.h"
#include "ngx_rf_zone_internal.h"


typedef struct {
    ngx_pool_t       *pool;
    ngx_log_t        *log;
    ngx_rf_zone_t     zone;
    ngx_rf_local_t    l;
    ngx_rf_scope_e    scope;
    ngx_uint_t        files;
    int64_t           later;    /* ms that the clock is ahead */
} zt_t;


zt_t *zt_start(ngx_pool_t *pool, ngx_log_t *log, size_t size,
    ngx_uint_t files);
ngx_int_t zt_exec(zt_t *t, const char *line);
const char *zt(zt_t *t, const char *line);
void zt_learn(zt_t *t, const char *line, const char *reply,
    int64_t pttl, uint64_t seq);
ngx_rf_entry_t *zt_entry(zt_t *t, const char *key);
ngx_rf_record_t *zt_record(zt_t *t, const char *key,
    const char *value, uint64_t version);
ngx_uint_t zt_log(zt_t *t, ngx_int_t rc);
ngx_uint_t zt_flush(zt_t *t, ngx_int_t status);
ngx_uint_t zt_replay(zt_t *t, ngx_int_t rc, ngx_uint_t keep);
void zt_free(ngx_rf_record_t *list);


#define is_reply(t, line, expected)                                          \
    do {                                                                     \
        ngx_str_t  got;                                                      \
        got.data = (u_char *) zt(t, line);                                   \
        got.len = strlen((char *) got.data);                                 \
        is_str(&got, expected, strlen(expected), "%s", line);                \
    } while (0)


#endif /* _ZONE_BED_H_INCLUDED_ */
