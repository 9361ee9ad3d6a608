/*
 * A record's file: what decodes is encoded, and decodes to the same again.
 */

#include "fuzz.h"
#include "ngx_rf_codec.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void codec_again(ngx_rf_record_t *rec);
static void codec_rejected(ngx_rf_record_t *rec);
static void codec_read(ngx_rf_record_t *rec);
static void codec_compare(ngx_rf_record_t *a, ngx_rf_record_t *b);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char           *copy;
    uint64_t          version;
    ngx_int_t         rc;
    const char       *why;
    ngx_rf_record_t  *rec, *clone;

    /* in memory of just its size */

    copy = malloc(size ? size : 1);
    fuzz_check(copy != NULL);

    if (size) {
        ngx_memcpy(copy, data, size);
    }

    rec = NULL;
    why = NULL;

    rc = ngx_rf_codec_decode(copy, size, &rec, &why);

    if (rc == NGX_OK) {
        fuzz_check(rec != NULL);
        codec_read(rec);

        clone = ngx_rf_codec_clone(rec);
        fuzz_check(clone != NULL);
        codec_compare(rec, clone);
        free(clone);

        if (ngx_rf_codec_version(copy, ngx_min(size, NGX_RF_CODEC_HEAD),
                                 &version)
            == NGX_OK)
        {
            fuzz_check(version == rec->version);
        }

        codec_again(rec);
        codec_rejected(rec);
        free(rec);

    } else {
        fuzz_check(rc == NGX_DECLINED && why != NULL);
        (void) ngx_rf_codec_version(copy, ngx_min(size, NGX_RF_CODEC_HEAD),
                                    &version);
    }

    free(copy);

    return 0;
}


static void
codec_again(ngx_rf_record_t *rec)
{
    u_char           *text, *text2;
    size_t            len, len2;
    uint64_t          version;
    const char       *why;
    ngx_rf_record_t  *again;

    fuzz_check(ngx_rf_codec_encode(rec, &text, &len) == NGX_OK);
    fuzz_check(ngx_rf_codec_decode(text, len, &again, &why) == NGX_OK);

    codec_compare(rec, again);

    if (!rec->foreign) {
        fuzz_check(ngx_rf_codec_version(text, ngx_min(len, NGX_RF_CODEC_HEAD),
                                        &version)
                   == NGX_OK);
        fuzz_check(version == rec->version);
    }

    fuzz_check(ngx_rf_codec_encode(again, &text2, &len2) == NGX_OK);
    fuzz_check(len == len2 && ngx_memcmp(text, text2, len) == 0);

    free(again);
    free(text);
    free(text2);
}


static void
codec_rejected(ngx_rf_record_t *rec)
{
    u_char           *text;
    size_t            len;
    ngx_str_t         reason;
    const char       *why;
    ngx_rf_record_t  *again;

    ngx_str_set(&reason, "ERR \xff\x01\"no");

    fuzz_check(ngx_rf_codec_encode_rejected(rec, &reason, &text, &len)
               == NGX_OK);
    fuzz_check(ngx_rf_codec_decode(text, len, &again, &why) == NGX_OK);

    codec_compare(rec, again);

    free(again);
    free(text);
}


static void
codec_read(ngx_rf_record_t *rec)
{
    ngx_uint_t  i, j;

    fuzz_read(&rec->key);

    for (i = 0; i < rec->nvalues; i++) {
        fuzz_read(&rec->values[i]);
    }

    for (i = 0; i < rec->nchanges; i++) {
        fuzz_check(rec->changes[i].argc >= 1);

        for (j = 0; j < rec->changes[i].argc; j++) {
            fuzz_read(&rec->changes[i].argv[j]);
        }
    }

    fuzz_check(rec->type <= NGX_RF_ZSET);
    fuzz_check(rec->pending == NGX_RF_REPLACE || rec->pending == NGX_RF_DELTA);
    fuzz_check(rec->nsent <= rec->nchanges);
    fuzz_check(rec->type != NGX_RF_NONE || rec->nvalues == 0);
    fuzz_check(rec->type != NGX_RF_STRING || rec->nvalues <= 1);
    fuzz_check((rec->type != NGX_RF_HASH && rec->type != NGX_RF_ZSET)
               || rec->nvalues % 2 == 0);
}


static void
codec_compare(ngx_rf_record_t *a, ngx_rf_record_t *b)
{
    ngx_uint_t  i, j;

    fuzz_check(fuzz_same(&a->key, &b->key));
    fuzz_check(a->type == b->type);
    fuzz_check(a->pending == b->pending);
    fuzz_check(a->complete == b->complete);
    fuzz_check(a->version == b->version || a->foreign);
    fuzz_check(a->expire == b->expire);
    fuzz_check(a->id == b->id && a->nsent == b->nsent);
    fuzz_check(a->base == b->base);
    fuzz_check(ngx_memcmp(a->base_sha1, b->base_sha1, 20) == 0);

    fuzz_check(a->nvalues == b->nvalues);

    for (i = 0; i < a->nvalues; i++) {
        fuzz_check(fuzz_same(&a->values[i], &b->values[i]));
    }

    fuzz_check(a->nchanges == b->nchanges);

    for (i = 0; i < a->nchanges; i++) {
        fuzz_check(a->changes[i].argc == b->changes[i].argc);

        for (j = 0; j < a->changes[i].argc; j++) {
            fuzz_check(fuzz_same(&a->changes[i].argv[j],
                                 &b->changes[i].argv[j]));
        }
    }
}
