/*
 * Owns the layout of a record in memory, one block, so that one free() ends
 * it.  Refuses to know files, and what a record is for.  Runs in threads:
 * malloc() only.
 */

#include "ngx_rf_codec.h"
#include "ngx_rf_codec_parts.h"
#include <sys/mman.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif


/* bytes from which on memory is given back to the system */
#define NGX_RF_CODEC_LARGE      (1024 * 1024)

/* below what malloc() takes from the system by itself */
#define NGX_RF_CODEC_PLUG       (64 * 1024)


/* in the order of ngx_rf_type_e */
const char  *ngx_rf_codec_types[] = {
    "none", "string", "hash", "list", "set", "zset"
};


ngx_rf_record_t *
ngx_rf_codec_clone(ngx_rf_record_t *from)
{
    size_t            size;
    u_char           *p;
    ngx_str_t        *arg;
    ngx_uint_t        i, n, nargs;
    ngx_rf_record_t  *rec;

    size = from->key.len;
    nargs = 0;

    for (i = 0; i < from->nvalues; i++) {
        size += from->values[i].len;
    }

    for (i = 0; i < from->nchanges; i++) {
        nargs += from->changes[i].argc;

        for (n = 0; n < from->changes[i].argc; n++) {
            size += from->changes[i].argv[n].len;
        }
    }

    rec = ngx_rf_codec_record(from, nargs, size, &p);
    if (rec == NULL) {
        return NULL;
    }

    ngx_rf_codec_copy(&p, &rec->key, &from->key);

    for (i = 0; i < from->nvalues; i++) {
        ngx_rf_codec_copy(&p, &rec->values[i], &from->values[i]);
    }

    arg = rec->values + from->nvalues;

    for (i = 0; i < from->nchanges; i++) {
        rec->changes[i].argc = from->changes[i].argc;
        rec->changes[i].argv = arg;

        for (n = 0; n < from->changes[i].argc; n++) {
            ngx_rf_codec_copy(&p, arg++, &from->changes[i].argv[n]);
        }
    }

    return rec;
}


/* scalars and counts are taken from head; the strings are the caller's */

ngx_rf_record_t *
ngx_rf_codec_record(ngx_rf_record_t *head, ngx_uint_t nargs, size_t size,
    u_char **p)
{
    u_char           *block;
    ngx_rf_record_t  *rec;

    size += sizeof(ngx_rf_record_t)
            + head->nchanges * sizeof(ngx_rf_change_t)
            + (head->nvalues + nargs) * sizeof(ngx_str_t);

    block = malloc(size);
    if (block == NULL) {
        return NULL;
    }

    rec = (ngx_rf_record_t *) block;
    block += sizeof(ngx_rf_record_t);

    *rec = *head;
    rec->next = NULL;
    rec->size = size;

    rec->changes = (ngx_rf_change_t *) block;
    block += head->nchanges * sizeof(ngx_rf_change_t);

    rec->values = (ngx_str_t *) block;
    block += (head->nvalues + nargs) * sizeof(ngx_str_t);

    *p = block;

    return rec;
}


void
ngx_rf_codec_free(ngx_rf_record_t *rec)
{
    if (rec) {
        ngx_rf_codec_drop(rec, rec->size);
    }
}


void
ngx_rf_codec_drop(void *p, size_t size)
{
    u_char  *start, *end;
    size_t   page;

    if (p && size > NGX_RF_CODEC_LARGE) {
        page = sysconf(_SC_PAGESIZE);

        start = ngx_align_ptr(p, page);
        end = (u_char *) (((uintptr_t) p + size) & ~((uintptr_t) page - 1));

        (void) madvise(start, end - start, MADV_DONTNEED);
    }

    free(p);
}


/* malloc_trim() leaves the end of an arena alone: so the tree must not be
 * there when it goes */

void
ngx_rf_codec_delete(cJSON *root, size_t len)
{
    void  *volatile  plug;

    plug = (len > NGX_RF_CODEC_LARGE) ? malloc(NGX_RF_CODEC_PLUG) : NULL;

    cJSON_Delete(root);

#if defined(__GLIBC__)

    if (plug) {
        (void) malloc_trim(0);
    }

#endif

    free(plug);
}


void
ngx_rf_codec_copy(u_char **p, ngx_str_t *to, ngx_str_t *from)
{
    to->len = from->len;
    to->data = *p;

    if (from->len && from->data) {
        ngx_memcpy(*p, from->data, from->len);
    }

    *p += from->len;
}
