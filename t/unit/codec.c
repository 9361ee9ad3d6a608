#include "rf_unit.h"
#include "ngx_rf_codec.h"
#include <cjson/cJSON.h>


static ngx_uint_t round_trip(ngx_rf_record_t *rec, const char *name);
static ngx_uint_t same(ngx_rf_record_t *a, ngx_rf_record_t *b);
static ngx_uint_t same_str(ngx_str_t *a, ngx_str_t *b);
static ngx_rf_record_t *decode(const char *text);
static const char *declined(const char *text);
static ngx_str_t encoded(ngx_pool_t *pool, ngx_rf_record_t *rec);
static ngx_uint_t has(ngx_str_t *text, const char *part);
static void base(ngx_rf_record_t *rec, ngx_rf_type_e type, ngx_str_t *values,
    ngx_uint_t n);
static void * CJSON_CDECL scarce(size_t size);
static void CJSON_CDECL release(void *p);


/* allocations that cJSON may still make */
static ngx_int_t  scarce_left;


RF_UNIT(codec_strings)
{
    u_char            all[256], *p;
    ngx_str_t         v, text;
    ngx_uint_t        i, bad;
    ngx_rf_record_t   rec;

    static ngx_str_t  values[] = {
        ngx_string(""), ngx_string("plain"), ngx_string("\"quoted\" \\ / \b\n"),
        ngx_string("\x01\x1f\x7f"), ngx_string("\xc3\xa4\xe2\x82\xac"
                                               "\xf0\x9f\x98\x80"),
        ngx_string("a\0b"), ngx_string("\0"), ngx_string("\xff"),
        ngx_string("\xc0\x80"), ngx_string("\xed\xa0\x80"),
        ngx_string("\xf4\x90\x80\x80"), ngx_string("\xe2\x82"),
        ngx_string("\xc3"), ngx_string("\xef\xbb\xbf" "bom"),
        ngx_string("\\u0000"), ngx_string("\\\\u0000"),
        ngx_string("</script>"), ngx_string("\xef\xbf\xbf"),
        ngx_null_string
    };

    for (i = 0; i == 0 || values[i].len; i++) {
        base(&rec, NGX_RF_STRING, &values[i], 1);
        rec.key = values[i];
        round_trip(&rec, "string");
    }

    bad = 0;

    for (i = 0; i < 256; i++) {
        all[i] = (u_char) i;
        v.data = &all[i];
        v.len = 1;
        base(&rec, NGX_RF_STRING, &v, 1);
        rec.key = v;
        bad += !round_trip(&rec, NULL);
    }

    is_int(bad, 0, "each byte alone");

    /* eight bytes are looked at at a time: each byte in each place of those */

    bad = 0;

    for (i = 0; i < 256 * 19; i++) {
        ngx_memset(all, 'x', 19);
        all[i % 19] = (u_char) (i / 19);
        v.data = all;
        v.len = 19;
        base(&rec, NGX_RF_STRING, &v, 1);
        rec.key = v;
        bad += !round_trip(&rec, NULL);

        text = encoded(pool, &rec);
        bad += (has(&text, "base64") != (all[i % 19] == 0
                                         || all[i % 19] >= 0x80));
    }

    is_int(bad, 0, "each byte among others");

    for (i = 0; i < 256; i++) {
        all[i] = (u_char) i;
    }

    v.data = all;
    v.len = 256;
    base(&rec, NGX_RF_STRING, &v, 1);
    rec.key = v;
    round_trip(&rec, "all bytes together");

    v.len = 1024 * 1024;
    v.data = ngx_palloc(pool, v.len);

    for (p = v.data; p < v.data + v.len; p++) {
        *p = (u_char) ((p - v.data) % 127 + 1);
    }

    round_trip(&rec, "a megabyte");

    ngx_str_set(&v, "a\"b");
    ngx_str_set(&rec.key, "k\xff");
    text = encoded(pool, &rec);
    ok(has(&text, "\"data\":\"a\\\"b\""), "text stays readable");
    ok(has(&text, "\"key_base64\":\"a/8=\""), "and bytes do not");
    ok(!has(&text, "\"key\":"), "a key that is no text is not guessed at");
}


/* what others make of it, and earlier versions of this module have made */

RF_UNIT(codec_as_cjson)
{
    char             *printed;
    cJSON            *root;
    u_char            all[127];
    ngx_str_t         v[6], text;
    ngx_uint_t        i, n, bad;
    ngx_rf_record_t   rec;
    ngx_rf_change_t   changes[2];

    for (i = 0; i < 127; i++) {
        all[i] = (u_char) (i + 1);
    }

    for (i = 0; i < 6; i += 2) {
        v[i].data = all + 16 * i;
        v[i].len = 32;
    }

    ngx_str_set(&v[1], "1");
    ngx_str_set(&v[3], "-2.5");
    ngx_str_set(&v[5], "inf");

    bad = 0;

    for (n = 0; n < 6 * 64; n++) {
        base(&rec, n % 6, v, n % 6 == NGX_RF_STRING ? 1
                             : n % 6 == NGX_RF_NONE ? 0 : 6);

        rec.key.data = all + n % 100;
        rec.key.len = 27;
        rec.version = n ? 1763880000123456ULL * n : 0;
        rec.changed = 1763880000123 + n;
        rec.expire = n & 8 ? rec.changed + 90500 * n : 0;
        rec.complete = n / 2;
        rec.partial = (n & 16) && n % 6 >= NGX_RF_HASH;
        rec.base = n / 6 % 4;
        rec.base_expires = n / 3;
        rec.pending = n & 32 ? NGX_RF_DELTA : NGX_RF_REPLACE;

        if (rec.pending == NGX_RF_DELTA) {
            rec.id = 0xfedcba9876543210ULL >> n % 60;
            rec.nsent = n & 64 ? 1 : 0;
            changes[0].argc = 2;
            changes[0].argv = v;
            changes[1].argc = 3;
            changes[1].argv = v + 1;
            rec.changes = changes;
            rec.nchanges = 2;
        }

        text = encoded(pool, &rec);

        root = cJSON_ParseWithLength((char *) text.data, text.len);
        printed = root ? cJSON_PrintUnformatted(root) : NULL;

        bad += (printed == NULL || ngx_strlen(printed) != text.len
                || ngx_memcmp(printed, text.data, text.len) != 0);

        cJSON_Delete(root);
        free(printed);
    }

    is_int(bad, 0, "the same text");
}


RF_UNIT(codec_types)
{
    ngx_str_t        text;
    ngx_uint_t       i;
    ngx_rf_record_t  rec;

    static ngx_str_t  v[] = {
        ngx_string("one"), ngx_string("1"), ngx_string("two"),
        ngx_string("2.5"), ngx_string(""), ngx_string("inf")
    };

    static ngx_str_t  b[] = {
        ngx_string("\xff"), ngx_string("1"), ngx_string("b\0"),
        ngx_string("-inf")
    };

    static ngx_str_t  scores[] = {
        ngx_string("0"), ngx_string("-0"), ngx_string("1e+20"),
        ngx_string("0.1"), ngx_string("0.10000000000000001"),
        ngx_string("3.0"), ngx_string("-inf"), ngx_string("0x10"),
        ngx_string("9007199254740993"),
        ngx_string("1.7976931348623157e+308"), ngx_string("5e-324"),
        ngx_string(" 1")
    };

    for (i = NGX_RF_HASH; i <= NGX_RF_ZSET; i++) {
        base(&rec, i, v, 6);
        round_trip(&rec, "a type");
        base(&rec, i, b, 4);
        round_trip(&rec, "with bytes");
        base(&rec, i, NULL, 0);
        round_trip(&rec, "empty");
    }

    base(&rec, NGX_RF_NONE, NULL, 0);
    round_trip(&rec, "a tombstone");
    text = encoded(pool, &rec);
    ok(has(&text, "\"type\":\"none\"") && !has(&text, "\"data\""),
       "has no data");

    base(&rec, NGX_RF_HASH, v, 4);
    text = encoded(pool, &rec);
    ok(has(&text, "\"data\":{\"one\":\"1\",\"two\":\"2.5\"}"), "a hash");

    base(&rec, NGX_RF_LIST, v, 2);
    text = encoded(pool, &rec);
    ok(has(&text, "\"data\":[\"one\",\"1\"]"), "a list");

    base(&rec, NGX_RF_ZSET, v, 6);
    text = encoded(pool, &rec);
    ok(has(&text, "\"data\":[[\"one\",1],[\"two\",2.5],[\"\",\"inf\"]]"),
       "a sorted set");

    for (i = 0; i < sizeof(scores) / sizeof(scores[0]); i++) {
        v[1] = scores[i];
        base(&rec, NGX_RF_ZSET, v, 2);
        round_trip(&rec, "a score");
    }

    ngx_str_set(&v[1], "1");

    base(&rec, NGX_RF_STRING, NULL, 0);
    rec.pending = NGX_RF_DELTA;
    rec.complete = 0;
    round_trip(&rec, "a delta of an unknown value");
}


RF_UNIT(codec_fields)
{
    ngx_str_t         text, v;
    ngx_uint_t        i;
    ngx_rf_record_t   rec, *got;
    ngx_rf_change_t   changes[3];

    static ngx_str_t  args[] = {
        ngx_string("INCRBY"), ngx_string("5"), ngx_string("APPEND"),
        ngx_string("a\0b"), ngx_string("PEXPIREAT"), ngx_string("1")
    };

    ngx_str_set(&v, "5");
    base(&rec, NGX_RF_STRING, &v, 1);

    rec.version = 18446744073709551615ULL;
    rec.changed = 1700000000123;
    rec.expire = 1700000001124;
    rec.base = NGX_RF_BASE_ABSENT;
    round_trip(&rec, "a large version");

    text = encoded(pool, &rec);
    ok(ngx_strncmp(text.data, "{\"version\":\"18446744073709551615\",", 34)
       == 0, "the version comes first");
    ok(has(&text, "\"timestamp\":1700000000,"), "whole seconds");
    ok(has(&text, "\"changed_ms\":1700000000123"), "and milliseconds");
    ok(has(&text, "\"ttl\":2"), "the ttl covers all of it");
    ok(has(&text, "\"expire_ms\":1700000001124"), "and it is exact");
    ok(has(&text, "\"base\":\"absent\""), "the base");

    rec.expire = 1700000000200;
    text = encoded(pool, &rec);
    ok(has(&text, "\"ttl\":1"), "below a second is one");
    rec.expire = 1600000000000;
    text = encoded(pool, &rec);
    ok(has(&text, "\"ttl\":1"), "and so is what has run out");
    round_trip(&rec, "expired");
    rec.expire = INT64_MAX;
    round_trip(&rec, "expires never, nearly");
    rec.expire = 0;
    text = encoded(pool, &rec);
    ok(!has(&text, "ttl") && !has(&text, "expire"), "no expiry");

    rec.base = NGX_RF_BASE_KNOWN;

    for (i = 0; i < 20; i++) {
        rec.base_sha1[i] = (u_char) (i * 13);
    }

    round_trip(&rec, "a known base");
    text = encoded(pool, &rec);
    ok(has(&text, "\"base\":\"000d1a27"), "of a string");
    rec.base = NGX_RF_BASE_COLL;
    round_trip(&rec, "that of a collection");
    text = encoded(pool, &rec);
    ok(has(&text, "\"base_digest\":\"000d1a27"), "has a field of its own");
    ok(!has(&text, "\"base\""), "which older versions ignore");
    rec.base_expires = 1;
    round_trip(&rec, "one that was to expire");
    rec.base_expires = 0;

    rec.base = NGX_RF_BASE_UNKNOWN;
    rec.pending = NGX_RF_DELTA;
    rec.changes = changes;
    rec.nchanges = 3;
    rec.id = 0xfedcba9876543210ULL;
    rec.nsent = 2;

    for (i = 0; i < 3; i++) {
        changes[i].argv = &args[2 * i];
        changes[i].argc = 2;
    }

    round_trip(&rec, "changes with bytes");
    text = encoded(pool, &rec);
    ok(has(&text, "\"changes_base64\":[[\"SU5DUkJZ\",\"NQ==\"],"),
       "all of them in base64 then");
    ok(has(&text, "\"id\":\"fedcba9876543210\"") && has(&text, "\"sent\":2"),
       "what was sent");

    rec.nchanges = 1;
    rec.nsent = 1;
    round_trip(&rec, "changes");
    text = encoded(pool, &rec);
    ok(has(&text, "\"changes\":[[\"INCRBY\",\"5\"]]"), "readable");
    ok(has(&text, "\"pending\":\"delta\""), "a delta");

    got = decode("{\"version\":\"1\",\"key\":\"k\",\"type\":\"string\","
                 "\"timestamp\":1,\"pending\":\"delta\",\"sent\":1,"
                 "\"changes\":[[\"INCRBY\",\"5\"]]}");
    ok(got != NULL && got->id == 0 && got->nsent == 0,
       "nothing was sent without an id");
    free(got);

    /* what memory has of a foreign record looks foreign again */

    base(&rec, NGX_RF_STRING, &v, 1);
    rec.foreign = 1;
    rec.version = 0;
    rec.expire = 1700000001124;
    round_trip(&rec, "foreign");

    got = decode("{\"version\":\"1\",\"key\":\"k\",\"data\":\"v\",\"type\":"
                 "\"string\",\"timestamp\":1,\"later\":[{}],\"reason\":1}");
    ok(got != NULL, "unknown fields do not matter");
    free(got);

    got = decode(" \xef\xbb\xbf{\"timestamp\":1,\"key\":\"k\",\"data\":\"v\","
                 "\"type\":\"string\"}");
    ok(got == NULL, "no BOM behind a space");

    got = decode("\n{ \"timestamp\" : 1 , \"key\" : \"k\" ,\t\"data\" : \"v\" ,"
                 " \"type\" : \"string\" }\n");
    ok(got != NULL, "white space does not matter");
    free(got);
}


RF_UNIT(codec_version)
{
    uint64_t  version;

#define head(text)  ngx_rf_codec_version((u_char *) text, sizeof(text) - 1,   \
                                         &version)

    is_int(head("{\"version\":\"123\",\"key"), NGX_OK, "a version");
    is_int(version, 123, "is read");
    is_int(head("{\"version\":\"0\""), NGX_OK, "zero");
    is_int(version, 0, "is zero");
    is_int(head("{\"version\":\"123"), NGX_DECLINED, "cut off");
    is_int(head("{\"version\":\"\""), NGX_DECLINED, "empty");
    is_int(head("{\"version\":\"-1\""), NGX_DECLINED, "a sign");
    is_int(head("{\"version\":\"18446744073709551616\""), NGX_DECLINED,
           "too large");
    is_int(head("{\"version\":\"11111111111111111111111111111111111111\""),
           NGX_DECLINED, "far too large");
    is_int(head("{\"key\":\"version\""), NGX_DECLINED, "another field");
    is_int(head("{"), NGX_DECLINED, "hardly anything");
    is_int(ngx_rf_codec_version((u_char *) "", 0, &version), NGX_DECLINED,
           "nothing");
}


RF_UNIT(codec_foreign)
{
    ngx_rf_record_t  *rec;

#define GO(go, data)                                                          \
    "{\"key\":\"k\",\"data\":" data ",\"type\":\"" go "\","                   \
    "\"timestamp\":1700000000,\"ttl\":60}"

#define is_go(go, data, value)                                                \
    rec = decode(GO(go, data));                                               \
    if (ok(rec && rec->nvalues == 1, go)) {                                   \
        is_text(&rec->values[0], value, data);                                \
        ok(rec->foreign && rec->version == 0                                  \
           && rec->pending == NGX_RF_REPLACE && rec->complete                 \
           && rec->type == NGX_RF_STRING, "as a foreign string");             \
    }                                                                         \
    free(rec)

    is_go("string", "\"v\"", "v");
    is_go("string", "\"\"", "");
    is_go("string", "\"a \\\"b\\\"\\n\\u003c\\u00e4\"",
          "a \"b\"\n<\xc3\xa4");
    is_go("string", "\"a\\u0000b\\u0000\"", "a\0b\0");
    is_go("string", "\"a\\\\u0000\"", "a\\u0000");
    is_go("main.Name", "\"v\"", "v");
    is_go("[]uint8", "\"AAE=\"", "AAE=");
    is_go("int", "42", "42");
    is_go("int64", "9007199254740993", "9007199254740993");
    is_go("float64", "1e-7", "1e-7");
    is_go("float64", "-3.50", "-3.50");
    is_go("bool", "true", "true");
    is_go("*main.T", "null", "null");
    is_go("map[string]interface {}",
          "{\"data\":[1,{\"a\":\"}]\\\"\"}],\"n\":9007199254740993,\"s\":"
          "\"\\u0000\"}",
          "{\"data\":[1,{\"a\":\"}]\\\"\"}],\"n\":9007199254740993,\"s\":"
          "\"\\u0000\"}");
    is_go("[]interface {}", "[ 1 , \"two\" ]", "[ 1 , \"two\" ]");
    is_go("[]string", "[]", "[]");
    is_go("main.Set", "{}", "{}");

    rec = decode(GO("string", "\"v\""));
    is_int(rec->changed, 1700000000000, "when");
    is_int(rec->expire, 1700000060000, "until when");
    is_text(&rec->key, "k", "which");
    free(rec);

    rec = decode("{\"key\":\"\",\"data\":\"v\",\"type\":\"string\","
                 "\"timestamp\":5,\"ttl\":0}");
    ok(rec && rec->expire == 0 && rec->key.len == 0,
       "no ttl, and an empty key");
    free(rec);

    rec = decode("{\"key\":\"k\",\"data\":\"v\",\"type\":\"string\","
                 "\"timestamp\":5,\"ttl\":-1}");
    ok(rec && rec->expire == 0, "a negative ttl is none");
    free(rec);

    rec = decode("{\"key\":\"k\",\"data\":\"v\",\"type\":\"string\","
                 "\"timestamp\":5,\"ttl\":1e300}");
    ok(rec && rec->expire > 9000000000000000LL, "a ttl beyond time");
    free(rec);

    rec = decode("{\"key\":\"k\",\"data\":\"v\",\"type\":\"string\","
                 "\"timestamp\":5,\"ttl\":0.25}");
    ok(rec && rec->expire == 5250, "a fraction");
    free(rec);

    rec = decode("{\"key\":\"k\",\"data\":{\"f\":\"v\"},\"type\":\"hash\","
                 "\"timestamp\":5}");
    ok(rec && rec->type == NGX_RF_HASH && rec->nvalues == 2,
       "written by hand, with a type of ours");
    free(rec);
}


/* texts that are no record */

static const char  *codec_wrong[] = {
    "{,}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":1 2}",
    "{\"a\":[1,]}", "{\"a\":[,1]}", "{\"a\":[1 2]}", "{\"a\":[}",
    "{\"a\":{]}", "{\"a\":tru}", "{\"a\":nul", "{\"a\":-}",
    "{\"a\":1.}", "{\"a\":.1}", "{\"a\":1e}", "{\"a\":1e+}",
    "{\"a\":+1}", "{\"a\":0x1}", "{\"a\":'b'}", "{\"a\":\"b}",
    "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\",
    "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\"\\udc00\"}", "{\"a\":"
    "111111111111111111111111111111111111111111111111111111111111111111}",
    "\xef\xbb\xbf", "{\"a\":1}/", "// x",
    "", " ", "{", "{}", "[]", "null", "1", "\"x\"", "nonsense",
    "{\"version\":1}",
    "{\"version\":\"x\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"string\",\"data\":\"v\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"int\",\"data\":\"v\","
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"data\":\"v\",\"timestamp\":1}",
    "{\"version\":\"1\",\"type\":\"string\",\"data\":\"v\","
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":1,\"type\":\"string\",\"data\":\"v\","
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"string\","
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"string\",\"data\":1,"
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"hash\",\"data\":[],"
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"hash\",\"data\":"
        "{\"f\":1},\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"list\",\"data\":{},"
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"set\",\"data\":[[]],"
        "\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"zset\",\"data\":"
        "[[\"a\",\"nan\"]],\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"zset\",\"data\":"
        "[[\"a\",\"1x\"]],\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"zset\",\"data\":"
        "[[\"a\"]],\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"zset\",\"data\":"
        "[[1,\"a\"]],\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"zset\",\"data\":"
        "[[\"a\",1,2]],\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"string\","
        "\"data_base64\":\"***\",\"timestamp\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":\"1\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":-1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1e300}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"ttl\":\"1\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"changed_ms\":1.5}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"expire_ms\":\"9223372036854775808\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"expire_ms\":1e17}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"pending\":\"clean\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"pending\":{}}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"base\":\"abc\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"base\":"
        "\"xx00000000000000000000000000000000000000\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"base\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"base_digest\":\"absent\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"id\":\"xyz\"}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"id\":\"1\",\"sent\":1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"sent\":-1}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"changes\":{}}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"changes\":[1]}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"changes\":[[]]}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1,\"changes\":[[1]]}",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1} x",
    "{\"version\":\"1\",\"key\":\"k\",\"type\":\"none\","
        "\"timestamp\":1}{}",
    "{\"key\":\"k\",\"type\":\"string\",\"data\":\"\\ud800\","
        "\"timestamp\":1}",
    "{\"key\":\"k\",\"type\":\"string\",\"data\":\"\\u0000\xff\","
        "\"timestamp\":1}",
    NULL
};


RF_UNIT(codec_declines)
{
    ngx_uint_t        n;
    const char       *why;
    ngx_rf_record_t  *got;

    for (n = 0; codec_wrong[n]; n++) {
        why = declined(codec_wrong[n]);
        ok(why != NULL, "%s: %s", why ? why : "taken", codec_wrong[n]);
    }

    is_int(ngx_rf_codec_decode((u_char *) "{}\0{}", 5, &got, &why),
           NGX_DECLINED, "%s", "a NUL");
}


/* a torn file: no part of a record is one */

RF_UNIT(codec_torn)
{
    size_t            len;
    u_char           *text;
    ngx_str_t         v[2], good;
    ngx_uint_t        n, bad;
    const char       *why;
    ngx_rf_record_t   rec, *got;

    ngx_str_set(&v[0], "member \"\\\xc3\xa4");
    ngx_str_set(&v[1], "2.5");
    base(&rec, NGX_RF_ZSET, v, 2);
    good = encoded(pool, &rec);
    bad = 0;

    for (len = 0; len < good.len; len++) {
        /* exactly as long, for the sanitizer */
        text = malloc(len ? len : 1);
        ngx_memcpy(text, good.data, len);

        if (ngx_rf_codec_decode(text, len, &got, &why) != NGX_DECLINED) {
            bad++;
            free(got);
        }

        free(text);
    }

    is_int(bad, 0, "torn at each byte");

    /* the tail of a torn file is zeros on some file systems */

    bad = 0;

    for (len = 1; len < good.len; len++) {
        text = malloc(good.len);
        ngx_memcpy(text, good.data, len);
        ngx_memzero(text + len, good.len - len);
        bad += (ngx_rf_codec_decode(text, good.len, &got, &why)
                != NGX_DECLINED);
        free(text);
    }

    is_int(bad, 0, "and with zeros in place of the rest");

    /* any byte changed: taken or not, but never a crash */

    for (len = 0; len < good.len; len++) {
        for (n = 0; n < 256; n += 3) {
            text = malloc(good.len);
            ngx_memcpy(text, good.data, good.len);
            text[len] = (u_char) n;

            if (ngx_rf_codec_decode(text, good.len, &got, &why) == NGX_OK) {
                free(got);
            }

            free(text);
        }
    }

    ok(1, "each byte replaced");
}


RF_UNIT(codec_depth)
{
    size_t            len, i;
    u_char           *text, *p;
    ngx_uint_t        n;
    ngx_rf_record_t  *got;

    text = ngx_palloc(pool, 300000);

    for (n = 0; n < 2; n++) {
        p = ngx_cpymem(text, "{\"key\":\"k\",\"type\":\"x\",\"timestamp\":1,"
                             "\"data\":", 43);
        len = n ? 100000 : 100;

        for (i = 0; i < len; i++) {
            *p++ = '[';
        }

        for (i = 0; i < len; i++) {
            *p++ = ']';
        }

        *p++ = '}';
        *p = '\0';

        if (n == 0) {
            got = decode((char *) text);
            ok(got != NULL && got->values[0].len == 200, "100 deep");
            free(got);

        } else {
            ok(declined((char *) text) != NULL, "100,000 deep: %s",
               declined((char *) text));
        }
    }
}


/* a lack of memory is no reason to set a record aside */

RF_UNIT(codec_no_memory)
{
    size_t            len;
    u_char           *out;
    ngx_int_t         rc, n, other;
    ngx_str_t         v[4], text;
    const char       *why;
    cJSON_Hooks       hooks;
    ngx_rf_record_t   rec, *got;
    ngx_rf_change_t   change;

    ngx_str_set(&v[0], "a");
    ngx_str_set(&v[1], "1");
    ngx_str_set(&v[2], "b");
    ngx_str_set(&v[3], "inf");
    base(&rec, NGX_RF_ZSET, v, 4);
    rec.key.len = 5000;                 /* more than one block of text */
    rec.key.data = ngx_palloc(pool, rec.key.len);
    ngx_memset(rec.key.data, 'k', rec.key.len);
    rec.pending = NGX_RF_DELTA;
    rec.changes = &change;
    rec.nchanges = 1;
    rec.expire = INT64_MAX;
    rec.id = 1;
    change.argv = v;
    change.argc = 2;
    text = encoded(pool, &rec);

    hooks.malloc_fn = scarce;
    hooks.free_fn = release;
    cJSON_InitHooks(&hooks);

    for (other = 0, n = 0, rc = NGX_ERROR; rc != NGX_OK && n < 1000; n++) {
        scarce_left = n;
        rc = ngx_rf_codec_encode(&rec, &out, &len);
        other += (rc != NGX_OK && rc != NGX_ERROR);
    }

    ok(rc == NGX_OK && n > 2, "encoding takes %d allocations", (int) n);
    is_int(other, 0, "each of which may fail");

    if (rc == NGX_OK) {
        free(out);
    }

    for (other = 0, n = 0, rc = NGX_ERROR; rc != NGX_OK && n < 1000; n++) {
        scarce_left = n;
        rc = ngx_rf_codec_decode(text.data, text.len, &got, &why);
        other += (rc != NGX_OK && rc != NGX_ERROR);
    }

    ok(rc == NGX_OK && n > 20, "decoding takes %d allocations", (int) n);
    is_int(other, 0, "each of which may fail, and is never taken for bad JSON");

    if (rc == NGX_OK) {
        ok(same(&rec, got), "and in the end it is right");
        free(got);
    }

    cJSON_InitHooks(NULL);
}


RF_UNIT(codec_clone)
{
    ngx_str_t         v[3];
    ngx_rf_record_t   rec, *copy;
    ngx_rf_change_t   changes[2];

    ngx_str_set(&v[0], "one");
    ngx_str_set(&v[1], "");
    ngx_str_set(&v[2], "th\0ree");
    base(&rec, NGX_RF_LIST, v, 3);
    rec.pending = NGX_RF_DELTA;
    rec.changes = changes;
    rec.nchanges = 2;
    changes[0].argv = v;
    changes[0].argc = 1;
    changes[1].argv = &v[1];
    changes[1].argc = 2;
    rec.next = &rec;
    rec.id = 7;
    rec.nsent = 1;

    copy = ngx_rf_codec_clone(&rec);
    ok(same(&rec, copy), "a copy is the same");
    ok(copy->next == NULL, "and alone");
    ok(copy->key.data != rec.key.data && copy->values != rec.values,
       "and has its own memory");
    ok(copy->key.data < copy->values[0].data
       && copy->values[2].data < copy->changes[0].argv[0].data,
       "in the order of key, values, changes");
    free(copy);

    ngx_memzero(&rec, sizeof(rec));
    copy = ngx_rf_codec_clone(&rec);
    ok(copy && copy->key.len == 0 && copy->nvalues == 0, "of nothing");
    free(copy);
}


RF_UNIT(codec_rejected)
{
    size_t            len;
    u_char           *out;
    ngx_str_t         v, reason, text;
    ngx_rf_record_t   rec, *got;
    const char       *why;

    ngx_str_set(&v, "v");
    base(&rec, NGX_RF_STRING, &v, 1);
    ngx_str_set(&reason, "WRONGTYPE \"it\"");

    is_int(ngx_rf_codec_encode_rejected(&rec, &reason, &out, &len), NGX_OK,
           "with a reason");
    text.data = out;
    text.len = len;
    ok(has(&text, "\"reason\":\"WRONGTYPE \\\"it\\\"\""), "it is there");
    is_int(ngx_rf_codec_decode(out, len, &got, &why), NGX_OK,
           "still a record");
    ok(same(&rec, got), "the same");
    free(got);
    free(out);

    ngx_str_set(&reason, "\xff");
    is_int(ngx_rf_codec_encode_rejected(&rec, &reason, &out, &len), NGX_OK,
           "with bytes");
    text.data = out;
    text.len = len;
    ok(has(&text, "\"reason_base64\":\"/w==\""), "in base64");
    free(out);
}


static void * CJSON_CDECL
scarce(size_t size)
{
    return scarce_left-- > 0 ? malloc(size) : NULL;
}


static void CJSON_CDECL
release(void *p)
{
    free(p);
}


static void
base(ngx_rf_record_t *rec, ngx_rf_type_e type, ngx_str_t *values,
    ngx_uint_t n)
{
    ngx_memzero(rec, sizeof(ngx_rf_record_t));

    ngx_str_set(&rec->key, "key");
    rec->type = type;
    rec->pending = NGX_RF_REPLACE;
    rec->version = 42;
    rec->changed = 1700000000123;
    rec->complete = 1;
    rec->values = values;
    rec->nvalues = n;
}


static ngx_uint_t
round_trip(ngx_rf_record_t *rec, const char *name)
{
    size_t            len;
    u_char           *out;
    ngx_uint_t        good;
    const char       *why;
    ngx_rf_record_t  *got;

    why = "cannot be encoded";
    good = 0;
    got = NULL;

    if (ngx_rf_codec_encode(rec, &out, &len) == NGX_OK) {

        if (ngx_rf_codec_decode(out, len, &got, &why) == NGX_OK) {
            why = "differs";
            good = same(rec, got);
        }

        if (!good) {
            printf("# %s: %s\n", why, out);
        }

        free(out);
    }

    free(got);

    return name ? ok(good, "%s goes and comes", name) : good;
}


static ngx_uint_t
same(ngx_rf_record_t *a, ngx_rf_record_t *b)
{
    ngx_uint_t  i, n;

    if (a->type != b->type || a->pending != b->pending
        || a->version != b->version || a->changed != b->changed
        || a->expire != b->expire || a->nvalues != b->nvalues
        || a->nchanges != b->nchanges || a->id != b->id
        || a->nsent != b->nsent || a->base != b->base
        || ((a->base == NGX_RF_BASE_KNOWN || a->base == NGX_RF_BASE_COLL)
            && ngx_memcmp(a->base_sha1, b->base_sha1, 20) != 0)
        || a->complete != b->complete || a->foreign != b->foreign
        || a->base_expires != b->base_expires
        || !same_str(&a->key, &b->key))
    {
        return 0;
    }

    for (i = 0; i < a->nvalues; i++) {
        if (!same_str(&a->values[i], &b->values[i])) {
            return 0;
        }
    }

    for (i = 0; i < a->nchanges; i++) {
        if (a->changes[i].argc != b->changes[i].argc) {
            return 0;
        }

        for (n = 0; n < a->changes[i].argc; n++) {
            if (!same_str(&a->changes[i].argv[n], &b->changes[i].argv[n])) {
                return 0;
            }
        }
    }

    return 1;
}


static ngx_uint_t
same_str(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len
           && (a->len == 0 || ngx_memcmp(a->data, b->data, a->len) == 0);
}


static ngx_rf_record_t *
decode(const char *text)
{
    const char       *why;
    ngx_rf_record_t  *rec;

    if (ngx_rf_codec_decode((u_char *) text, ngx_strlen(text), &rec, &why)
        != NGX_OK)
    {
        printf("# %s\n", why);
        return NULL;
    }

    return rec;
}


/* the reason, or NULL if it was taken or something else went wrong */

static const char *
declined(const char *text)
{
    const char       *why;
    ngx_rf_record_t  *rec;

    if (ngx_rf_codec_decode((u_char *) text, ngx_strlen(text), &rec, &why)
        != NGX_DECLINED)
    {
        free(rec);
        return NULL;
    }

    return why;
}


static ngx_str_t
encoded(ngx_pool_t *pool, ngx_rf_record_t *rec)
{
    size_t     len;
    u_char    *out;
    ngx_str_t  text = ngx_null_string;

    if (ngx_rf_codec_encode(rec, &out, &len) == NGX_OK) {
        text.data = ngx_pnalloc(pool, len + 1);
        text.len = len;
        ngx_memcpy(text.data, out, len + 1);
        free(out);
    }

    return text;
}


static ngx_uint_t
has(ngx_str_t *text, const char *part)
{
    return ngx_strnstr(text->data, (char *) part, text->len) != NULL;
}
