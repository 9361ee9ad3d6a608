# redis_fallback_pass: methods, statuses, headers.

use Test::Nginx::Socket 'no_plan';

our $http = <<'END';
    redis_fallback_store app {
        server  127.0.0.1:$TEST_NGINX_REDIS_PORT;
        path    $TEST_NGINX_SERVER_ROOT/app_cache;
    }
END

run_tests();

__DATA__

=== TEST 1: write, read, remove
--- http_config eval: $::http
--- config
    default_type text/x-kv;
    location /kv/ { redis_fallback_pass; }
--- request eval
["GET /kv/kv1", "PUT /kv/kv1\nhello", "GET /kv/kv1", "POST /kv/kv1\nworld!",
 "GET /kv/kv1", "HEAD /kv/kv1", "DELETE /kv/kv1", "GET /kv/kv1",
 "HEAD /kv/kv1", "DELETE /kv/kv1"]
--- error_code eval
[404, 204, 200, 204, 200, 200, 204, 404, 404, 404]
--- response_body_like eval
[qr/404/, qr/^$/, qr/^hello$/, qr/^$/, qr/^world!$/, qr/^$/, qr/^$/, qr/404/,
 qr/^$/, qr/404/]
--- response_headers eval
["Content-Type: text/html", "!Content-Type",
 "Content-Length: 5\nContent-Type: text/x-kv", "!Content-Length",
 "Content-Length: 6\nContent-Type: text/x-kv",
 "Content-Length: 6\nContent-Type: text/x-kv", "!Content-Length",
 "Content-Type: text/html", "Content-Type: text/html",
 "Content-Type: text/html"]
--- no_error_log
[error]
[alert]


=== TEST 2: the type is default_type, whatever the key's name ends in
--- http_config eval: $::http
--- config
    default_type text/x-kv;
    location /kv/ { types { image/gif gif; } redis_fallback_pass; }
--- request eval
["PUT /kv/kv2.gif\nx", "GET /kv/kv2.gif"]
--- error_code eval
[204, 200]
--- response_headers eval
["", "Content-Type: text/x-kv"]
--- no_error_log
[error]
[alert]


=== TEST 3: only if absent
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
--- request eval
["DELETE /kv/kv3", "PUT /kv/kv3\na", "PUT /kv/kv3\nb", "GET /kv/kv3",
 "GET /kv/kv3", "DELETE /kv/kv3"]
--- more_headers eval
["", "If-None-Match: *", "If-None-Match: *", "If-None-Match: *", "", ""]
--- error_code eval
[404, 204, 412, 304, 200, 204]
--- response_body_like eval
[qr/404/, qr/^$/, qr/412/, qr/^$/, qr/^a$/, qr/^$/]
--- no_error_log
[error]
[alert]


=== TEST 4: another If-None-Match is no condition
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
--- request eval
["PUT /kv/kv4\na", "PUT /kv/kv4\nb", "GET /kv/kv4"]
--- more_headers
If-None-Match: "x"
--- error_code eval
[204, 204, 200]
--- response_body_like eval
[qr/^$/, qr/^$/, qr/^b$/]
--- no_error_log
[error]
[alert]


=== TEST 5: other methods
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
--- request eval
["OPTIONS /kv/a", "PATCH /kv/a\nbody", "MKCOL /kv/a"]
--- error_code eval
[405, 405, 405]
--- response_headers eval
["Allow: GET, HEAD, PUT, POST, DELETE", "Allow: GET, HEAD, PUT, POST, DELETE",
 "Allow: GET, HEAD, PUT, POST, DELETE"]
--- no_error_log
[error]
[alert]


=== TEST 6: a value of another type
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location = /push { redis_fallback_set $n LPUSH kv6 x; return 200 $n; }
--- request eval
["DELETE /kv/kv6", "GET /push", "GET /kv/kv6", "HEAD /kv/kv6",
 "PUT /kv/kv6\nstring", "GET /kv/kv6", "DELETE /kv/kv6"]
--- error_code eval
[404, 200, 409, 409, 204, 200, 204]
--- response_body_like eval
[qr/404/, qr/^1$/, qr/409/, qr/^$/, qr/^$/, qr/^string$/, qr/^$/]
--- no_error_log
[error]
[alert]


=== TEST 7: bodies too long, by length and in chunks
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; client_max_body_size 100; }
--- request eval
["PUT /kv/kv7\n" . "x" x 101, "PUT /kv/kv7\n" . "x" x 100, "DELETE /kv/kv7"]
--- error_code eval
[413, 204, 204]
--- no_error_log
[alert]


=== TEST 8: an empty value
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
--- raw_request eval
["PUT /kv/kv8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
 "GET /kv/kv8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
 "PUT /kv/kv8 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
 . "Connection: close\r\n\r\n",
 "GET /kv/kv8 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]
--- error_code eval
[204, 200, 204, 200]
--- response_body eval
["", "", "", ""]
--- response_headers eval
["", "Content-Length: 0", "", "Content-Length: 0"]
--- no_error_log
[error]
[alert]


=== TEST 9: error pages
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; error_page 404 = @none; }
    location /to/ { redis_fallback_pass; error_page 404 =200 /kv/kv9; }
    location @none { return 200 "none:$redis_fallback_result"; }
--- request eval
["GET /kv/kv9none", "PUT /kv/kv9\nother", "GET /to/kv9none"]
--- error_code eval
[200, 204, 200]
--- response_body eval
["none:miss", "", "other"]
--- no_error_log
[error]
[alert]


=== TEST 10: conditional requests and ranges know nothing of values
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
--- request eval
["PUT /kv/kv10\n0123456789", "GET /kv/kv10"]
--- more_headers
Range: bytes=2-4
--- error_code eval
[204, 200]
--- response_body eval
["", "0123456789"]
--- response_headers eval
["", "!Accept-Ranges"]
--- no_error_log
[error]
[alert]
