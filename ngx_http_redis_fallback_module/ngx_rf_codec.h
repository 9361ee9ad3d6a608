/*
 * A record to the JSON of docs/files.md, and back with cJSON.  Pure, and safe
 * in a thread: malloc() only.
 */

#ifndef _NGX_RF_CODEC_H_INCLUDED_
#define _NGX_RF_CODEC_H_INCLUDED_


#include "ngx_rf.h"


/* enough of a file's beginning for ngx_rf_codec_version() */
#define NGX_RF_CODEC_HEAD       64


/*
 * Text that grows, malloc()ed; zeroed at first.  Without memory "failed" is
 * set, and nothing is appended any more.  What frees it is
 * ngx_rf_codec_drop(data, size).
 */

typedef struct {
    u_char               *data;
    size_t                len;
    size_t                size;
    ngx_uint_t            failed;       /* no memory */
} ngx_rf_codec_text_t;

/* room for so many bytes more, at data + len, which stays as it is; NULL: no
 * memory */
u_char *ngx_rf_codec_room(ngx_rf_codec_text_t *text, size_t size);

/* append a record as encode() and encode_ack() write it, without a NUL;
 * NGX_ERROR: no memory */
ngx_int_t ngx_rf_codec_append(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);
ngx_int_t ngx_rf_codec_append_ack(ngx_rf_codec_text_t *text,
    ngx_rf_record_t *rec);

/* *out is malloc()ed, NUL-terminated, *len without the NUL; NGX_ERROR: no
 * memory */
ngx_int_t ngx_rf_codec_encode(ngx_rf_record_t *rec, u_char **out, size_t *len);

/* the same with a field "reason", for a record that is set aside */
ngx_int_t ngx_rf_codec_encode_rejected(ngx_rf_record_t *rec,
    ngx_str_t *reason, u_char **out, size_t *len);

/*
 * NGX_OK: *rec is a new record (free() it).  NGX_DECLINED: not a record, *why
 * says what is wrong (a static string).  NGX_ERROR: no memory.
 */
ngx_int_t ngx_rf_codec_decode(u_char *data, size_t len, ngx_rf_record_t **rec,
    const char **why);

/*
 * What the journal says of a record that is done with: its key, and the version
 * up to which that holds.  decode_ack() gives a record with "remove" set; codes
 * are those of encode() and decode().
 */
ngx_int_t ngx_rf_codec_encode_ack(ngx_rf_record_t *rec, u_char **out,
    size_t *len);
ngx_int_t ngx_rf_codec_decode_ack(u_char *data, size_t len,
    ngx_rf_record_t **rec, const char **why);

/*
 * The version alone, from the first bytes of a file: NGX_DECLINED where it is
 * not the first field, as in a foreign record, so that only decoding tells.
 */
ngx_int_t ngx_rf_codec_version(u_char *head, size_t len, uint64_t *version);

/*
 * A new record in one block of memory with room for these strings (the copies
 * are laid out behind it): NULL: no memory.  The strings are copied in the
 * order key, values, changes; counts and lengths are taken from "from", whose
 * pointers may point anywhere.
 */
ngx_rf_record_t *ngx_rf_codec_clone(ngx_rf_record_t *from);

/* a block for head's values and changes, "nargs" arguments and "size" bytes of
 * strings, which begin at *p; scalars and counts are head's; NULL: no memory */
ngx_rf_record_t *ngx_rf_codec_record(ngx_rf_record_t *head, ngx_uint_t nargs,
    size_t size, u_char **p);

/*
 * free() would do for both: but an arena of glibc keeps what was freed at its
 * end, and each thread has one.  These give the pages of a large block back at
 * once, whosever arena it is in.
 */
void ngx_rf_codec_free(ngx_rf_record_t *rec);
void ngx_rf_codec_drop(void *p, size_t size);


#endif /* _NGX_RF_CODEC_H_INCLUDED_ */
