# redis_fallback_command: replies, statuses, methods.

use Test::Nginx::Socket 'no_plan';

our $http = <<'EOF';
    redis_fallback_store app {
        server  127.0.0.1:$TEST_NGINX_REDIS_PORT;
        path    $TEST_NGINX_DATA/app;
    }
EOF

run_tests();

__DATA__

=== TEST 1: text for a string, a status, a number; JSON for an array
--- http_config eval: $::http
--- config
    default_type text/x-reply;
    location /set { redis_fallback_command SET cmd1 $arg_v; }
    location /get { redis_fallback_command GET cmd1; }
    location /incr { redis_fallback_command INCRBY cmd1n $arg_n; }
    location /mget { redis_fallback_command MGET cmd1 cmd1none cmd1n; }
    location /del { redis_fallback_command DEL cmd1 cmd1n; }
--- request eval
["GET /set?v=hello", "GET /get", "POST /incr?n=5\nignored", "PUT /incr?n=-7",
 "GET /mget", "DELETE /del", "GET /get"]
--- error_code eval
[200, 200, 200, 200, 200, 200, 404]
--- response_body eval
["OK", "hello", "5", "-2", '["hello",null,"-2"]', "2",
 qr/404 Not Found/]
--- response_body_filters eval
sub { $_[0] =~ /404/ ? qr/404 Not Found/ : $_[0] }
--- response_headers eval
["Content-Type: text/x-reply", "Content-Type: text/x-reply",
 "Content-Type: text/x-reply", "Content-Type: text/x-reply",
 "Content-Type: application/json", "Content-Type: text/x-reply",
 "Content-Type: text/html"]
--- no_error_log
[error]
[alert]


=== TEST 2: errors are statuses
--- http_config eval: $::http
--- config
    location /list { redis_fallback_command LPUSH cmd2 x; }
    location /get { redis_fallback_command GET cmd2; }
    location /incr { redis_fallback_command INCRBY cmd2n $arg_n; }
    location /del { redis_fallback_command DEL cmd2; }
    location /page {
        error_page 400 = @page;
        redis_fallback_command INCRBY cmd2n x;
    }
    location @page { return 200 "page $redis_fallback_result"; }
--- request eval
["GET /list", "GET /get", "GET /incr?n=x", "GET /incr", "GET /page", "GET /del"]
--- error_code eval
[200, 409, 400, 400, 200, 200]
--- response_body_like eval
[qr/^1$/, qr/409/, qr/400/, qr/400/, qr/^page error$/, qr/^1$/]
--- no_error_log
[alert]
[error]


=== TEST 3: variables, HEAD, subrequests
--- http_config eval: $::http
--- config
    location /echo { redis_fallback_command ECHO "$request_method-$arg_a";
                     add_header X-Result $redis_fallback_result; }
    location /ssi { ssi on; ssi_types text/plain; default_type text/plain;
                    return 200 '<!--#include virtual="/echo?a=1" -->!'; }
--- request eval
["GET /echo?a=b%20c", "HEAD /echo?a=b", "GET /ssi"]
--- error_code eval
[200, 200, 200]
--- response_body eval
["GET-b%20c", "", "GET-1!"]
--- response_headers eval
["X-Result: ok", "X-Result: ok\nContent-Length: 6", ""]
--- no_error_log
[error]
[alert]
