# redis_fallback_key, and the key's default.

use Test::Nginx::Socket 'no_plan';

our $http = <<'END';
    redis_fallback_store app {
        server  127.0.0.1:$TEST_NGINX_REDIS_PORT;
        path    $TEST_NGINX_SERVER_ROOT/app_cache;
    }
END

run_tests();

__DATA__

=== TEST 1: the rest of the decoded URI
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location = /t {
        redis_fallback_set $v MGET "key a/b" "key/c" "key é" "key\"'";
        return 200 $v;
    }
--- request eval
["PUT /kv/key%20a/b\n1", "PUT /kv/key%2fc\n2", "PUT /kv/key%20%c3%a9\n3",
 "GET /kv/key%20a%2Fb", "GET /t"]
--- error_code eval
[204, 204, 204, 200, 200]
--- response_body eval
["", "", "", "1", '["1","2","3",null]']
--- no_error_log
[error]
[alert]


=== TEST 2: locations of all kinds
--- http_config eval: $::http
--- config
    location /p  { redis_fallback_pass; }
    location ^~ /q/ { redis_fallback_pass; }
    location = /e { redis_fallback_pass; redis_fallback_key "2e"; }
    location ~ ^/r/(.+)/(.+)$ {
        redis_fallback_pass;
        redis_fallback_key $2:$1;
    }
    location /n { error_page 418 = @n; return 418; }
    location @n { redis_fallback_pass; redis_fallback_key $arg_k; }
    location = /t {
        redis_fallback_set $v MGET 2x 2y 2e 2:k 2n;
        return 200 $v;
    }
--- request eval
["PUT /p2x\np", "PUT /q/2y\nq", "PUT /e\ne", "PUT /r/k/2\nr",
 "PUT /n?k=2n\nn", "GET /t"]
--- error_code eval
[204, 204, 204, 204, 204, 200]
--- response_body eval
["", "", "", "", "", '["p","q","e","r","n"]']
--- no_error_log
[error]
[alert]


=== TEST 3: inherited from http and server
--- http_config eval: "redis_fallback_key \"h:\$arg_k\";\n$::http"
--- config
    location /h/ { redis_fallback_pass; }
    location = /t {
        redis_fallback_set $v GET h:3;
        return 200 $v;
    }
--- request eval
["PUT /h/ignored?k=3\nthree", "GET /t"]
--- error_code eval
[204, 200]
--- response_body eval
["", "three"]
--- no_error_log
[error]
[alert]


=== TEST 4: an empty key
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location /k/ { redis_fallback_pass; redis_fallback_key $arg_k; }
--- request eval
["GET /kv/", "PUT /kv/\nx", "DELETE /kv/", "GET /k/a", "GET /k/a?k="]
--- error_code eval
[400, 400, 400, 400, 400]
--- no_error_log
[error]
[alert]


=== TEST 5: a rewritten URI
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location /a/ { rewrite ^/a/(.*)$ /a/5-$1 break; redis_fallback_pass; }
    location /b/ { rewrite ^/b/(.*)$ /5-$1 break; redis_fallback_pass; }
    location /c/ { rewrite ^/c/(.*)$ /kv/5-$1 last; }
--- request eval
["PUT /a/x\n1", "GET /kv/5-x", "PUT /b/y\n2", "GET /kv/5-y", "PUT /c/z\n3",
 "GET /kv/5-z"]
--- error_code eval
[204, 200, 204, 200, 204, 200]
--- response_body eval
["", "1", "", "2", "", "3"]
--- no_error_log
[error]
[alert]


=== TEST 6: if and limit_except are parts of their location
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location /if/ {
        if ($arg_x) { add_header X-If yes always; }
        redis_fallback_pass;
    }
    location /in/ {
        if ($arg_x) { redis_fallback_pass; }
        root html;
    }
    location /le/ {
        limit_except GET PUT { deny all; }
        redis_fallback_pass;
    }
--- request eval
["PUT /if/6?x=1\nsix", "GET /if/6", "GET /if/6?x=1", "GET /in/6?x=1",
 "GET /in/6", "GET /le/6", "DELETE /le/6", "PUT /le/6\nVI", "GET /kv/6"]
--- error_code eval
[204, 200, 200, 200, 404, 200, 403, 204, 200]
--- response_headers eval
["X-If: yes", "!X-If", "X-If: yes", "", "", "", "", "", ""]
--- response_body_like eval
[qr/^$/, qr/^six$/, qr/^six$/, qr/^six$/, qr/404/, qr/^six$/, qr/403/, qr/^$/,
 qr/^VI$/]
--- no_error_log
[alert]


=== TEST 7: a nested location has its own name
--- http_config eval: $::http
--- config
    location /a/ {
        redis_fallback_pass;
        location /a/b/ { redis_fallback_pass; }
    }
    location = /t { redis_fallback_set $v MGET b7 7; return 200 $v; }
--- request eval
["PUT /a/b7\n1", "PUT /a/b/7\n2", "GET /t"]
--- error_code eval
[204, 204, 200]
--- response_body eval
["", "", '["1","2"]']
--- no_error_log
[error]
[alert]


=== TEST 8: a store for each location
--- http_config
    redis_fallback_store one {
        server 127.0.0.1:$TEST_NGINX_REDIS_PORT; database 1; path off;
    }
    redis_fallback_store two {
        server 127.0.0.1:$TEST_NGINX_REDIS_PORT; database 2; path off;
    }
    redis_fallback one;
--- config
    location /http/ { redis_fallback_pass; }
    location /pass/ { redis_fallback_pass two; }
    location /loc/ {
        redis_fallback two;
        redis_fallback_pass;
        redis_fallback_set $v GET 8;
        add_header X-V $v always;
    }
--- request eval
["PUT /http/8\none", "GET /pass/8", "PUT /loc/8\ntwo", "GET /http/8",
 "GET /pass/8", "GET /loc/8"]
--- error_code eval
[204, 404, 204, 200, 200, 200]
--- response_body_like eval
[qr/^$/, qr/404/, qr/^$/, qr/^one$/, qr/^two$/, qr/^two$/]
--- response_headers eval
["", "", "", "", "", "X-V: two"]
--- no_error_log
[error]
[alert]
