/*
 * Records as commands in the protocol of Redis, for redis-cli --pipe.  What
 * belongs to one key is one transaction: others see it as it was or as it is
 * to be.
 */

#include "rf_files.h"


/* arguments of one command */
#define RF_FILES_CHUNK          1000


static void rf_files_redis_value(ngx_rf_record_t *rec);
static void rf_files_redis_changes(ngx_rf_record_t *rec);
static void rf_files_redis_words(const char *one, ngx_str_t *key,
    const char *number);
static void rf_files_redis_head(ngx_uint_t n);
static void rf_files_redis_text(const char *text);
static void rf_files_redis_arg(ngx_str_t *s);


void
rf_files_redis_select(ngx_uint_t database)
{
    char  number[NGX_INT_T_LEN + 1];

    (void) snprintf(number, sizeof(number), "%lu", (unsigned long) database);
    rf_files_redis_words("SELECT", NULL, number);
}


void
rf_files_redis_record(ngx_rf_record_t *rec, int64_t now)
{
    char        number[NGX_RF_CODEC_NUMBER];
    ngx_uint_t  gone;

    gone = rec->pending != NGX_RF_DELTA
           && (rec->type == NGX_RF_NONE || rec->nvalues == 0
               || (rec->expire && rec->expire <= now));

    if (gone) {
        /* what Redis still has is what was there before */
        rf_files_redis_words("DEL", &rec->key, NULL);
        return;
    }

    rf_files_redis_words("MULTI", NULL, NULL);

    if (rec->pending == NGX_RF_DELTA) {
        rf_files_redis_changes(rec);

    } else {
        rf_files_redis_words("DEL", &rec->key, NULL);
        rf_files_redis_value(rec);

        if (rec->expire) {
            (void) snprintf(number, sizeof(number), "%lld",
                            (long long) rec->expire);
            rf_files_redis_words("PEXPIREAT", &rec->key, number);
        }
    }

    rf_files_redis_words("EXEC", NULL, NULL);
}


static void
rf_files_redis_value(ngx_rf_record_t *rec)
{
    ngx_uint_t  i, k, n;

    static const char  *verbs[] = {
        "DEL", "SET", "HSET", "RPUSH", "SADD", "ZADD"
    };

    for (i = 0; i < rec->nvalues; i += n) {

        n = ngx_min(rec->nvalues - i, RF_FILES_CHUNK);

        rf_files_redis_head(2 + n);
        rf_files_redis_text(verbs[rec->type]);
        rf_files_redis_arg(&rec->key);

        for (k = i; k < i + n; k++) {

            if (rec->type == NGX_RF_ZSET) {
                /* member and score here, score and member there */
                rf_files_redis_arg(&rec->values[k ^ 1]);

            } else {
                rf_files_redis_arg(&rec->values[k]);
            }
        }
    }
}


static void
rf_files_redis_changes(ngx_rf_record_t *rec)
{
    ngx_uint_t        i, k;
    ngx_rf_change_t  *change;

    for (i = 0; i < rec->nchanges; i++) {
        change = &rec->changes[i];

        rf_files_redis_head(change->argc + 1);
        rf_files_redis_arg(&change->argv[0]);
        rf_files_redis_arg(&rec->key);

        for (k = 1; k < change->argc; k++) {
            rf_files_redis_arg(&change->argv[k]);
        }
    }
}


static void
rf_files_redis_words(const char *one, ngx_str_t *key, const char *number)
{
    rf_files_redis_head(1 + (key != NULL) + (number != NULL));
    rf_files_redis_text(one);

    if (key) {
        rf_files_redis_arg(key);
    }

    if (number) {
        rf_files_redis_text(number);
    }
}


static void
rf_files_redis_head(ngx_uint_t n)
{
    printf("*%lu\r\n", (unsigned long) n);
}


static void
rf_files_redis_text(const char *text)
{
    printf("$%lu\r\n%s\r\n", (unsigned long) strlen(text), text);
}


static void
rf_files_redis_arg(ngx_str_t *s)
{
    printf("$%lu\r\n", (unsigned long) s->len);
    (void) fwrite(s->data, 1, s->len, stdout);
    fputs("\r\n", stdout);
}
