/*
 * Output as JSON, by cJSON, and never half of it: without memory the program
 * ends.
 */

#include "rf_files.h"


cJSON *
rf_files_json_object(void)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    if (json == NULL) {
        rf_files_oom();
    }

    return json;
}


void
rf_files_json_add(cJSON *to, const char *name, cJSON *item)
{
    if (item == NULL || !cJSON_AddItemToObject(to, name, item)) {
        rf_files_oom();
    }
}


void
rf_files_json_number(cJSON *to, const char *name, double n)
{
    rf_files_json_add(to, name, cJSON_CreateNumber(n));
}


void
rf_files_json_text(cJSON *to, const char *name, const char *text)
{
    rf_files_json_add(to, name, cJSON_CreateString(text));
}


void
rf_files_json_string(cJSON *to, const char *name, ngx_str_t *s)
{
    char       *text, full[64];
    ngx_str_t   base64;
    ngx_uint_t  plain;

    plain = ngx_rf_codec_plain(s, 1);

    text = malloc((plain ? s->len : ngx_base64_encoded_length(s->len)) + 1);
    if (text == NULL) {
        rf_files_oom();
    }

    if (plain) {
        base64.len = s->len;

        if (s->len) {
            ngx_memcpy(text, s->data, s->len);
        }

    } else {
        base64.data = (u_char *) text;
        ngx_encode_base64(&base64, s);
    }

    text[base64.len] = '\0';

    (void) snprintf(full, sizeof(full), "%s%s", name, plain ? "" : "_base64");

    rf_files_json_text(to, full, text);

    free(text);
}


void
rf_files_json_version(cJSON *to, const char *name, uint64_t version)
{
    char  text[NGX_RF_CODEC_NUMBER];

    /* a string, as in the files: it may not fit a double */

    (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) version);

    rf_files_json_text(to, name, text);
}


cJSON *
rf_files_json_record(ngx_rf_record_t *rec)
{
    size_t   len;
    cJSON   *json;
    u_char  *text;

    if (ngx_rf_codec_encode(rec, &text, &len) != NGX_OK) {
        rf_files_oom();
    }

    json = cJSON_ParseWithLength((char *) text, len);
    if (json == NULL) {
        rf_files_oom();
    }

    free(text);

    return json;
}


void
rf_files_json_print(cJSON *json, ngx_uint_t pretty)
{
    char  *text;

    text = pretty ? cJSON_Print(json) : cJSON_PrintUnformatted(json);
    if (text == NULL) {
        rf_files_oom();
    }

    puts(text);

    free(text);
    cJSON_Delete(json);
}
