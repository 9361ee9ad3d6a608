/*
 * The keys of a database, 32 bytes each, so that a million of them fit
 * anywhere: open addressing, at most four fifths full.
 *
 * A key is known by 120 bits of its SHA-256.  Not by its MD5: two keys of one
 * MD5 can be made, and whoever made them must not hide one behind the other.
 */

#include "rf_files.h"
#include <openssl/evp.h>


#define RF_FILES_TABLE_MIN      1024


static void rf_files_table_id(ngx_str_t *key, u_char *id);
static rf_files_key_t *rf_files_table_slot(rf_files_key_t *slots, size_t size,
    const u_char *id);
static void rf_files_table_grow(rf_files_table_t *table);


rf_files_key_t *
rf_files_table_find(rf_files_table_t *table, ngx_str_t *key,
    ngx_uint_t create)
{
    u_char           id[32];
    rf_files_key_t  *slot;

    if (create && table->used >= table->size / 5 * 4) {
        rf_files_table_grow(table);
    }

    if (table->size == 0) {
        return NULL;
    }

    rf_files_table_id(key, id);

    slot = rf_files_table_slot(table->slots, table->size, id);

    if (slot->flags & RF_FILES_USED) {
        return slot;
    }

    if (!create) {
        return NULL;
    }

    ngx_memcpy(slot->id, id, sizeof(slot->id));
    slot->flags = RF_FILES_USED;
    table->used++;

    return slot;
}


void
rf_files_table_free(rf_files_table_t *table)
{
    free(table->slots);
    ngx_memzero(table, sizeof(rf_files_table_t));
}


static void
rf_files_table_id(ngx_str_t *key, u_char *id)
{
    static EVP_MD_CTX  *ctx;

    if (ctx == NULL) {
        ctx = EVP_MD_CTX_new();
    }

    if (ctx == NULL
        || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1
        || EVP_DigestUpdate(ctx, key->data, key->len) != 1
        || EVP_DigestFinal_ex(ctx, id, NULL) != 1)
    {
        rf_files_say("libcrypto has no SHA-256");
        exit(RF_FILES_ERROR);
    }
}


/* of this key, or the free one that it would get */

static rf_files_key_t *
rf_files_table_slot(rf_files_key_t *slots, size_t size, const u_char *id)
{
    size_t     i;
    uint32_t   hash;

    ngx_memcpy(&hash, id, sizeof(hash));

    /* evenly to 0 ... size - 1, which is no power of two */

    i = (size_t) ((uint64_t) hash * size >> 32);

    while ((slots[i].flags & RF_FILES_USED)
           && ngx_memcmp(slots[i].id, id, sizeof(slots[i].id)) != 0)
    {
        i = (i + 1 == size) ? 0 : i + 1;
    }

    return &slots[i];
}


static void
rf_files_table_grow(rf_files_table_t *table)
{
    size_t           i, size;
    rf_files_key_t  *slots;

    size = table->size ? table->size + table->size / 2 : RF_FILES_TABLE_MIN;

    slots = calloc(size, sizeof(rf_files_key_t));
    if (slots == NULL) {
        rf_files_oom();
    }

    for (i = 0; i < table->size; i++) {
        if (table->slots[i].flags & RF_FILES_USED) {
            *rf_files_table_slot(slots, size, table->slots[i].id) =
                                                             table->slots[i];
        }
    }

    free(table->slots);

    table->slots = slots;
    table->size = size;
}
