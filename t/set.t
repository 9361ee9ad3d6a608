# redis_fallback_set: replies, and where nginx goes with them.

use Test::Nginx::Socket 'no_plan';

our $http = <<'END';
    redis_fallback_store app {
        server  127.0.0.1:$TEST_NGINX_REDIS_PORT;
        path    $TEST_NGINX_SERVER_ROOT/app_cache;
    }
END

our $map = 'map $mapped_from $mapped { default "m:$mapped_from"; }';

run_tests();

__DATA__

=== TEST 1: a value of each reply
--- http_config eval: $::http
--- config
    location = /t {
        redis_fallback_set $ok SET set1 "a\"b";
        redis_fallback_set $string GET set1;
        redis_fallback_set $integer STRLEN set1;
        redis_fallback_set $nil GET set1-none;
        redis_fallback_set $array MGET set1 set1-none set1;
        redis_fallback_set $pong PING;
        return 200 "$ok|$string|$integer|$nil|$array|$pong";
    }
--- request
GET /t
--- response_body eval
'OK|a"b|3||["a\"b",null,"a\"b"]|PONG'
--- no_error_log
[error]
[alert]


=== TEST 2: arrays are JSON, whatever the bytes
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location = /t {
        redis_fallback_set $v MGET set2;
        return 200 $v;
    }
--- request eval
["PUT /kv/set2\n\x00\x01\x1f\t\r\n\"\\/\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
 . "\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82", "GET /t"]
--- error_code eval
[204, 200]
--- response_body eval
["", '["\u0000\u0001\u001f\t\r\n\"\\\\/\u007f' . "\xc3\xa9\xe2\x82\xac"
 . "\xf0\x9f\x98\x80" . "\xef\xbf\xbd" x 12 . '"]']
--- no_error_log
[error]
[alert]


=== TEST 3: an error leaves nothing, and a line
--- http_config eval: $::http
--- config
    location = /t {
        redis_fallback_set $a SET set3 x;
        redis_fallback_set $b INCR set3;
        return 200 "$a|$b|$redis_fallback_result";
    }
--- request
GET /t
--- response_body chomp
OK||error
--- error_log
redis_fallback_set "$b" failed: ERR value is not an integer or out of range
--- no_error_log
[alert]


=== TEST 4: before if, set, rewrite and map
--- http_config eval: $::http . $::map
--- config
    location /kv/ { redis_fallback_pass; }
    location /t/ {
        redis_fallback_set $to GET "set4:$arg_k";
        redis_fallback_set $mapped_from GET "set4:$arg_k";
        if ($to = "") { return 404; }
        set $with "<$to>";
        rewrite ^/t/rewrite$ /r/$to last;
        return 200 "$with $mapped";
    }
    location /r/ { return 200 "r $uri $to"; }
--- request eval
["PUT /kv/set4:a\nalpha", "GET /t/?k=a", "GET /t/?k=b", "GET /t/rewrite?k=a"]
--- error_code eval
[204, 200, 404, 200]
--- response_body_like eval
[qr/^$/, qr/^<alpha> m:alpha$/, qr/404/, qr{^r /r/alpha alpha$}]
--- no_error_log
[error]
[alert]


=== TEST 5: a backend by lookup
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location /go/ {
        redis_fallback_set $backend GET "route:$host";
        if ($backend = "") { return 421; }
        proxy_pass http://$backend/b$request_uri;
    }
    location /b/ { return 200 "backend $request_uri"; }
--- request eval
["DELETE /kv/route:localhost", "GET /go/x",
 "PUT /kv/route:localhost\n127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}",
 "GET /go/x?y"]
--- more_headers
Host: localhost
--- error_code_like eval
["^(204|404)", "^421", "^204", "^200"]
--- response_body_like eval
[qr/^/, qr/^/, qr/^$/, qr{^backend /b/go/x\?y$}]
--- no_error_log
[error]
[alert]


=== TEST 6: one uses the variable of another
--- http_config eval: $::http . $::map
--- config
    location /kv/ { redis_fallback_pass; }
    location = /t {
        redis_fallback_set $a GET set6;
        redis_fallback_set $b GET "set6:${a}";
        redis_fallback_set $mapped_from GET set6;
        redis_fallback_set $c GET $mapped;
        return 200 "$a $b $c";
    }
--- request eval
["PUT /kv/set6\none", "PUT /kv/set6:one\ntwo", "PUT /kv/m:one\nthree",
 "GET /t"]
--- error_code eval
[204, 204, 204, 200]
--- response_body eval
["", "", "", "one two three"]
--- no_error_log
[error]
[alert]


=== TEST 7: in order, also where one writes what another reads
--- http_config eval: $::http
--- config
    location = /t {
        redis_fallback_set $a DEL set7;
        redis_fallback_set $b GET set7;
        redis_fallback_set $c INCR set7;
        redis_fallback_set $d GET set7;
        redis_fallback_set $e INCRBY set7 10;
        redis_fallback_set $f MGET x set7;
        redis_fallback_set $g SET set7 end;
        redis_fallback_set $h GET set7;
        return 200 "$b|$c|$d|$e|$f|$g|$h";
    }
--- request eval
["GET /t", "GET /t"]
--- response_body eval
['|1|1|11|[null,"11"]|OK|end', '|1|1|11|[null,"11"]|OK|end']
--- no_error_log
[error]
[alert]


=== TEST 8: the server's run once, a location's each time
--- http_config eval: $::http
--- config
    redis_fallback_set $server INCR set8s;
    location /kv/ { redis_fallback_pass; }
    location = /a {
        redis_fallback_set $a INCR set8a;
        error_page 418 = /b;
        return 418;
    }
    location = /b {
        redis_fallback_set $b INCR set8a;
        rewrite ^ /c last;
    }
    location = /c {
        redis_fallback_set $c INCR set8a;
        return 200 "$a $b $c";
    }
    location = /s { return 200 $server; }
--- request eval
["DELETE /kv/set8s", "DELETE /kv/set8a", "GET /a", "GET /s", "GET /s"]
--- error_code_like eval
["^(204|404)", "^(204|404)", "^200", "^200", "^200"]
--- response_body_like eval
[qr/^/, qr/^/, qr/^1 2 3$/, qr/^3$/, qr/^4$/]
--- no_error_log
[error]
[alert]


=== TEST 9: not inherited, and the variable is empty elsewhere
--- http_config eval: $::http
--- config
    location /a {
        redis_fallback_set $v INCR set9;
        location /a/b { return 200 "[$v]"; }
        return 200 "[$v]";
    }
    location = /none { return 200 "[$v][$redis_fallback_result]"; }
--- request eval
["GET /a/b", "GET /none"]
--- response_body eval
["[]", "[][]"]
--- no_error_log
[error]
[alert]


=== TEST 10: a variable that nginx itself acts on
--- http_config eval: $::http
--- config
    location /kv/ { redis_fallback_pass; }
    location = /t {
        redis_fallback_set $args GET set10;
        redis_fallback_set $x ECHO "<$arg_q>";
        return 200 "$args $x";
    }
--- request eval
["PUT /kv/set10\nq=from-redis", "GET /t?q=from-client"]
--- error_code eval
[204, 200]
--- response_body eval
["", "q=from-redis <from-redis>"]
--- no_error_log
[error]
[alert]


=== TEST 11: with a content handler that waits as well
--- http_config eval: $::http
--- config
    location /kv/ {
        redis_fallback_set $n INCR set11n;
        redis_fallback_pass;
        add_header X-N $n always;
    }
--- request eval
["DELETE /kv/set11n", "PUT /kv/set11\nvalue", "GET /kv/set11",
 "GET /kv/set11-none"]
--- error_code eval
[204, 204, 200, 404]
--- response_headers eval
["X-N: 1", "X-N: 1", "X-N: 2", "X-N: 3"]
--- no_error_log
[error]
[alert]
