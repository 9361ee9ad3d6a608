/*
 * What the files of the codec share, and nobody else: a record's block of
 * memory, and work on JSON text beside cJSON.
 */

#ifndef _NGX_RF_CODEC_PARTS_H_INCLUDED_
#define _NGX_RF_CODEC_PARTS_H_INCLUDED_


#include "ngx_rf.h"
#include <cjson/cJSON.h>


/*
 * cJSON recurses, a thread's stack is 128 KB with musl, and our own records
 * are 4 deep: so much is for values of foreign records only.
 */
#define NGX_RF_CODEC_DEPTH_MAX  256

/* integers up to here are exact in a double, and so in JSON */
#define NGX_RF_CODEC_EXACT      9007199254740992.0

/* room for any number as text */
#define NGX_RF_CODEC_NUMBER     32

/* stands for NUL in a text after ngx_rf_codec_hide_nuls() */
#define NGX_RF_CODEC_NUL        0xff


/* the names of types, by ngx_rf_type_e */
extern const char  *ngx_rf_codec_types[];

/* a string to *p, which moves on */
void ngx_rf_codec_copy(u_char **p, ngx_str_t *to, ngx_str_t *from);

/* cJSON_Delete(), and the memory of a tree for so many bytes of JSON goes back
 * to the system */
void ngx_rf_codec_delete(cJSON *root, size_t len);

/* whether JSON can hold these n strings: valid UTF-8 without NUL */
ngx_uint_t ngx_rf_codec_plain(ngx_str_t *s, ngx_uint_t n);

/*
 * cJSON ends strings at a NUL, escaped or not, recurses, and does not tell a
 * lack of memory from bad JSON.  So _scan() checks the text first, without any
 * memory: what it passes can only fail for lack of it.  It declines raw NULs
 * and deep nesting, and counts the escaped NULs; _hide_nuls() makes a
 * malloc()ed copy with NGX_RF_CODEC_NUL in place of each, 5 bytes shorter.
 */
ngx_int_t ngx_rf_codec_scan(u_char *data, size_t len, ngx_uint_t *nuls,
    const char **why);
ngx_int_t ngx_rf_codec_hide_nuls(u_char *data, size_t len, u_char **text,
    const char **why);

/* the text of a member's value in an object that cJSON has found valid; 0:
 * there is none of this name */
ngx_uint_t ngx_rf_codec_raw(u_char *text, size_t len, const char *name,
    ngx_str_t *raw);
u_char *ngx_rf_codec_skip_space(u_char *p, u_char *last);

/* over what is ASCII and needs no escape, eight bytes at a time: "last", or at
 * most seven of those bytes before one that does */
u_char *ngx_rf_codec_skip_plain(u_char *p, u_char *last);

/* the shortest of 15 and 17 digits that keeps the value */
void ngx_rf_codec_number(double d, char *text);

/* all of s is digits of this base: NGX_OK; NGX_DECLINED: not, or too large */
ngx_int_t ngx_rf_codec_uint(const char *s, int base, uint64_t *n);


#endif /* _NGX_RF_CODEC_PARTS_H_INCLUDED_ */
