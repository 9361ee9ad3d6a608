# In subrequests: SSI, auth_request, mirror.

use Test::Nginx::Socket 'no_plan';

our $http = <<'END';
    redis_fallback_store app {
        server  127.0.0.1:$TEST_NGINX_REDIS_PORT;
        path    $TEST_NGINX_SERVER_ROOT/app_cache;
    }
END

run_tests();

__DATA__

=== TEST 1: SSI includes values, in order
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location = /t.html { ssi on; }
--- user_files
>>> t.html
A<!--#include virtual="/kv/sub1a" -->B<!--#include virtual="/kv/sub1none" -->C<!--#include virtual="/kv/sub1e" -->D<!--#include virtual="/kv/sub1a" -->E
--- request eval
["PUT /kv/sub1a\n" . "x" x 10000, "PUT /kv/sub1e\n", "GET /t.html"]
--- error_code eval
[204, 204, 200]
--- response_body_like eval
[qr/^$/, qr/^$/, qr/^A(x{10000})B<html>.*404.*CD(x{10000})E\n?$/s]
--- no_error_log
[error]
[alert]


=== TEST 2: auth_request by a key
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location = /auth {
        internal;
        redis_fallback_pass;
        redis_fallback_key "token:$http_x_token";
        error_page 404 =401 @no;
    }
    location @no { return 401; }
    location /t {
        auth_request /auth;
        auth_request_set $result $redis_fallback_result;
        add_header X-Result $result always;
        try_files /none @ok;
    }
    location @ok {
        add_header X-Result $result always;
        return 200 "in";
    }
--- request eval
["PUT /kv/token:secret\nuser", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "X-Token: secret", "X-Token: x", ""]
--- error_code eval
[204, 200, 401, 401]
--- response_headers eval
["", "X-Result: hit", "X-Result: miss", "X-Result: miss"]
--- no_error_log
[error]
[alert]


=== TEST 3: a set in an auth_request's location sets for its parent
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location = /auth {
        internal;
        redis_fallback_set $user GET "session:$cookie_sid";
        if ($user = "") { return 401; }
        return 204;
    }
    location /t {
        auth_request /auth;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/echo?u=$user;
    }
    location = /echo { return 200 "user $arg_u"; }
--- request eval
["PUT /kv/session:s3\nalice", "GET /t", "DELETE /kv/session:s3", "GET /t"]
--- more_headers
Cookie: sid=s3
--- error_code eval
[204, 200, 204, 401]
--- response_body_like eval
[qr/^$/, qr/^user alice$/, qr/^$/, qr/401/]
--- no_error_log
[error]
[alert]


=== TEST 4: a mirrored write, spilled body too
--- http_config eval: $::http
--- config
    client_body_buffer_size 1k;
    location /kv/ { redis_fallback_pass; }
    location = /copy {
        internal;
        redis_fallback_key "copy:$request_uri";
        redis_fallback_pass;
    }
    location = /t {
        mirror /copy;
        redis_fallback_key sub4;
        redis_fallback_pass;
    }
--- request eval
["PUT /t\nsmall", "GET /kv/copy:/t", "GET /kv/sub4", "PUT /t\n" . "b" x 50000,
 "GET /kv/copy:/t", "GET /kv/sub4"]
--- error_code eval
[204, 200, 200, 204, 200, 200]
--- response_body eval
["", "small", "small", "", "b" x 50000, "b" x 50000]
--- no_error_log
[error]
[alert]


=== TEST 5: the server's sets are not run again
--- http_config eval: $::http
--- config
    redis_fallback_set $n INCR sub5;
    location /kv/ { redis_fallback_pass; }
    location = /part { return 200 "[$n]"; }
    location = /t.html { ssi on; }
--- user_files
>>> t.html
<!--#include virtual="/part" --><!--#include virtual="/part" -->
--- request eval
["GET /t.html", "GET /t.html"]
--- response_body_like eval
[qr/^\[(\d+)\]\[\1\]$/, qr/^\[(\d+)\]\[\1\]$/]
--- no_error_log
[error]
[alert]
