# The module loads, and an empty configuration passes.

use Test::Nginx::Socket 'no_plan';

run_tests();

__DATA__

=== TEST 1: the module loads
--- config
    location = /t { return 200 "ok"; }
--- request
GET /t
--- response_body chomp
ok
--- no_error_log
[alert]
[emerg]


=== TEST 2: a store without Redis
--- http_config
    redis_fallback_store app {
        server  127.0.0.1:$TEST_NGINX_FREE_PORT;
        path    $TEST_NGINX_DATA/app;
    }
--- config
    location = /t { return 200 "ok"; }
--- request
GET /t
--- response_body chomp
ok
--- no_error_log
[alert]
[emerg]


=== TEST 3: a value, through Redis
--- http_config
    redis_fallback_store app {
        server  127.0.0.1:$TEST_NGINX_REDIS_PORT;
        path    $TEST_NGINX_DATA/app;
    }
--- config
    location /kv/ { redis_fallback_pass app; }
--- request eval
["PUT /kv/smoke
hello", "GET /kv/smoke", "DELETE /kv/smoke", "GET /kv/smoke"]
--- error_code eval
[204, 200, 204, 404]
--- response_body_like eval
["", "^hello\$", "", "404"]
--- no_error_log
[alert]
[emerg]
