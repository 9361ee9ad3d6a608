# redis_fallback_api: forms of a request, answers, encodings, tokens, rules.

use strict;
use warnings;

use lib 't/lib';
use RF;

my $redis = RF::Redis->new;


# a configuration, requests ("METHOD uri", and a body behind a line's end), a
# header for each or for all, statuses, and bodies: strings or patterns

sub check {
    my ($name, %t) = @_;

    my $nginx = RF::Nginx->new(
        http   => "redis_fallback_store app {
                       server 127.0.0.1:" . $redis->port . ";
                       path %%DIR%%/app;
                   }\n" . ($t{http} || ''),
        server => $t{config});

    my @requests = @{ $t{requests} };

    for my $i (0 .. $#requests) {
        my ($method, $uri, $body) = $requests[$i]
                                    =~ /^(\S+) (\S+)(?:\n(.*))?$/s;
        my $header = ref $t{headers} ? $t{headers}[$i] : $t{headers};
        my %headers = map { /^(.*?): *(.*)$/ ? ($1, $2) : () }
                      split /\n/, $header || '';
        my $res = $nginx->request($method, $uri, headers => \%headers,
                                  defined $body ? (body => $body) : ());
        my $about = "$name, " . substr($requests[$i], 0, 70) =~ s/\n/ /gr;

        is($res->{status}, $t{codes} ? $t{codes}[$i] : 200, "$about: status");

        my $want = $t{bodies} ? $t{bodies}[$i] : undef;

        if (ref $want) {
            like($res->{body}, $want, "$about: body");
        } elsif (defined $want) {
            is($res->{body}, $want, "$about: body");
        }

        $t{each}->($res, $about) if $t{each};
    }

    $t{after}->($nginx) if $t{after};
    $nginx->check_logs(name => "$name: the logs are clean");
    $nginx->stop;
}


check('a command in the body',
    config => '
    location / { redis_fallback_api; }',
    requests => ["POST /\n" . '["SET","api1","v"]', "POST /\n" . ' [ "get" , "api1" ] ',
 "PUT /\n" . '["DEL","api1"]', "POST /\n" . '["GET","api1"]'],
    bodies => ['{"result":"OK"}', '{"result":"v"}', '{"result":1}', '{"result":null}'],
    );


check('a command in the path',
    config => '
    location / { redis_fallback_api; }',
    requests => ["GET /set/api2/v", "GET /get/api2", "GET /append/api2/%2Fa%20b%25",
 "GET /GET/api2", "GET /set/api2//EX/100", "GET /get/api2", "GET /set/api%2F2/x?EX=100&NX", "GET /ttl/api%2F2",
 "GET /get/api%2F2", "GET /del/api2/api%2F2"],
    bodies => ['{"result":"OK"}', '{"result":"v"}', '{"result":6}', '{"result":"v/a b%"}', '{"result":"OK"}', '{"result":""}',
 '{"result":"OK"}', '{"result":100}', '{"result":"x"}', '{"result":2}'],
    );


check('the body as the last argument but for the query\'s',
    config => '
    location / { redis_fallback_api; }',
    requests => ["POST /set/api3?EX=100&XX\nbody", "POST /set/api3?EX=100\n[\"body\"]",
 "POST /get/api3", "GET /ttl/api3", "POST /set/api3?KEEPTTL=&GET\nnew",
 "GET /get/api3", "GET /set/api3/a+b?get", "GET /echo?a+b%20c", "GET /del/api3"],
    bodies => ['{"result":null}', '{"result":"OK"}', '{"result":"[\"body\"]"}',
 '{"result":100}', '{"result":"[\"body\"]"}', '{"result":"new"}',
 '{"result":"new"}', '{"result":"a b c"}', '{"result":1}'],
    );


check('below a prefix',
    config => '
    location /redis { redis_fallback_api; }
    location /v1/redis/ { redis_fallback_api; }',
    requests => ["GET /redis/set/api4/v", "POST /redis\n" . '["GET","api4"]',
 "POST /redis/\n" . '["GET","api4"]', "POST /redis/pipeline\n" . '[["GET","api4"]]',
 "GET /v1/redis/get/api4", "POST /v1/redis/multi-exec\n" . '[["GET","api4"]]',
 "GET /%72edis/get/api4", "GET /v1//redis/x/../get/api4", "GET /redisx/get/a"],
    codes => [200, 200, 200, 200, 200, 200, 200, 200, 404],
    bodies => ['{"result":"OK"}', '{"result":"v"}', '{"result":"v"}', '[{"result":"v"}]',
 '{"result":"v"}', '[{"result":"v"}]', '{"result":"v"}', '{"result":"v"}',
 '{"error":"Not Found"}'],
    );


check('an encoded slash does not lead around another location',
    config => '
    location /a/b { redis_fallback_api; }
    location /a/b/del { return 403; }',
    requests => ["GET /a/b/set/api5/v", "GET /a/b/del/api5", "GET /a/b%2Fdel/api5",
 "GET /a%2Fb/x/del/api5", "GET /a/b/x/../del/api5", "GET /a/b/get/api5"],
    codes => [200, 403, 403, 400, 403, 200],
    bodies => [qr/OK/, qr/403/, qr/403/, qr/unknown command 'x'/, qr/403/, qr/"v"/],
    );


check('arguments that are no strings, escapes, any bytes',
    config => '
    location / { redis_fallback_api; }',
    requests => ["POST /\n" . '["SET","api6",1]', "POST /\n" . '["SET","api6",-0.50e+21,"GET"]',
 "POST /\n" . '["SET","api6",12345678901234567890123,"GET"]',
 "POST /\n" . '["SET","api6",true,"GET"]', "POST /\n" . '["SET","api6",false,"GET"]',
 "POST /\n" . '["SET","api6","\"\\\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00\ud83d\u0041\u0000","GET"]',
 "POST /\n" . '["GET","api6"]', "POST /\n" . '["STRLEN","api6"]',
 "POST /\n[\"SET\",\"api6\",\"\xff\xc3\xa9\",\"GET\"]", "GET /get/api6",
 "GET /set/api6/%ff%00", "GET /del/api6"],
    codes => [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 400, 200],
    bodies => ['{"result":"OK"}', '{"result":"1"}', '{"result":"-0.50e+21"}',
 '{"result":"12345678901234567890123"}', '{"result":"true"}', '{"result":"false"}',
 '{"result":"\"\\\\/\u0008\u000c\n\r\t' . "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd" . 'A\u0000"}',
 '{"result":22}',
 '{"result":"\"\\\\/\u0008\u000c\n\r\t' . "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd" . 'A\u0000"}',
 "{\"result\":\"\xef\xbf\xbd\xc3\xa9\"}", qr/400/, '{"result":1}'],
    );


check('what is no command',
    config => '
    location / { redis_fallback_api; }',
    requests => ["GET /", "POST /\nnonsense", "POST /\n" . '{"GET":"a"}', "POST /\n[]",
 "POST /\n" . '["GET","a"', "POST /\n" . '["GET","a",]',
 "POST /\n" . '["GET","a"] x', "POST /\n" . '["GET",["a"]]',
 "POST /\n" . '["GET",{"a":1}]', "POST /\n" . '["GET",null]',
 "POST /\n" . '["GET","a', "POST /\n" . '["GET","\x"]',
 "POST /\n" . '["GET","\u12g4"]', "POST /\n" . '["GET","\ud800\u"]',
 "POST /\n[\"GET\",\"a\nb\"]", "POST /\n" . '["GET",01]',
 "POST /\n" . '["GET",1.]', "POST /\n" . '["GET",-]', "POST /\n" . '["GET",1e]',
 "POST /\n" . '["GET",tru]', "POST /\n" . '["GET" "a"]', "POST /\n" . '["GET"',
 "POST /\n[", "POST /\n" . '["GET",', "POST /\n" . '["GET","\\'],
    codes => [(400) x 25],
    bodies => [(qr/^\{"error":"ERR malformed JSON at byte \d+: .*"\}$/) x 25],
    );


check('what is no batch',
    config => '
    location / { redis_fallback_api; }',
    requests => ["GET /pipeline", "POST /pipeline\n[]", "POST /pipeline\n" . '["GET","a"]',
 "POST /pipeline\n[[]]", "POST /multi-exec\n" . '[["GET","a"],]',
 "POST /multi-exec\n" . '[["GET","a"],"GET"]', "POST /multi-exec\n" . '[["GET","a"]',
 "POST /pipeline\n" . '[[["GET"]]]', "POST /pipeline\n[[["],
    codes => [(400) x 9],
    bodies => [(qr/^\{"error":"ERR malformed JSON at byte \d+: .*"\}$/) x 9],
    );


check('errors of commands',
    config => '
    location / { redis_fallback_api; }',
    requests => ["GET /nope/a", "GET /get", "GET /get/a/b", "GET /lpush/api9/x", "GET /get/api9",
 "GET /incrby/api9b/x", "GET /subscribe/a", "GET /multi", "GET /blpop/a/0",
 "GET //get/a", "GET /del/api9"],
    codes => [400, 400, 400, 200, 400, 400, 400, 400, 400, 200, 200],
    bodies => ['{"error":"ERR unknown command \'nope\', with args beginning with: \'a\' "}',
 '{"error":"ERR wrong number of arguments for \'get\' command"}',
 '{"error":"ERR wrong number of arguments for \'get\' command"}',
 '{"result":1}',
 '{"error":"WRONGTYPE Operation against a key holding the wrong kind of value"}',
 '{"error":"ERR value is not an integer or out of range"}',
 '{"error":"NOPERM this user has no permissions to run the \'subscribe\' command"}',
 '{"error":"NOPERM this user has no permissions to run the \'multi\' command"}',
 '{"error":"NOPERM this user has no permissions to run the \'blpop\' command"}',
 '{"result":null}', '{"result":1}'],
    );


check('a pipeline and a transaction',
    config => '
    location / { redis_fallback_api; }',
    requests => ["POST /pipeline\n" . '[["SET","api10",1],["INCR","api10"],["NOPE"],["MGET","api10","x"],["FLUSHDB"],["GET","x"]]',
 "POST /multi-exec\n" . '[["SET","api10",5],["INCR","api10"],["LPUSH","api10","x"],["GET","api10"]]',
 "POST /multi-exec\n" . '[["SET","api10",0],["GET"]]',
 "POST /multi-exec\n" . '[["SET","api10",0],["FLUSHALL"]]',
 "POST /multi-exec\n" . '[["SET","api10",0],["MULTI"]]',
 "GET /get/api10", "GET /del/api10"],
    codes => [200, 200, 400, 400, 400, 200, 200],
    bodies => ['[{"result":"OK"},{"result":2},{"error":"ERR unknown command \'NOPE\', with args beginning with: "},{"result":["2",null]},{"error":"NOPERM this user has no permissions to run the \'flushdb\' command"},{"result":null}]',
 '[{"result":"OK"},{"result":6},{"error":"WRONGTYPE Operation against a key holding the wrong kind of value"},{"result":"6"}]',
 '{"error":"EXECABORT Transaction discarded because of: ERR wrong number of arguments for \'get\' command"}',
 '{"error":"EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the \'flushall\' command"}',
 '{"error":"EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the \'multi\' command"}',
 '{"result":"6"}', '{"result":1}'],
    );


check('base64',
    config => '
    location / { redis_fallback_api; }',
    headers => 'Upstash-Encoding: base64
Upstash-Telemetry-Sdk: x
Upstash-Sync-Token: y',
    codes => [200, 200, 200, 200, 200, 400, 200, 200],
    requests => ["GET /set/api11/OK", "GET /get/api11", "GET /mget/api11/nix", "GET /ping",
 "GET /strlen/api11", "GET /get", "POST /pipeline\n" . '[["SET","api11",""],["GET","api11"],["NOPE"]]',
 "GET /del/api11"],
    bodies => ['{"result":"OK"}', '{"result":"T0s="}', '{"result":["T0s=",null]}',
 '{"result":"UE9ORw=="}', '{"result":2}',
 '{"error":"ERR wrong number of arguments for \'get\' command"}',
 '[{"result":"OK"},{"result":""},{"error":"ERR unknown command \'NOPE\', with args beginning with: "}]',
 '{"result":1}'],
    );


check('methods',
    config => '
    location / { redis_fallback_api; }',
    requests => ["DELETE /get/a", "OPTIONS /get/a", "HEAD /get/a"],
    codes => [405, 405, 200],
    bodies => ['{"error":"Method Not Allowed"}', '{"error":"Method Not Allowed"}', ''],
    each => sub {
        my ($res, $about) = @_;
        is($res->{headers}{allow}, $res->{status} == 405
           ? 'GET, HEAD, POST, PUT' : undef, "$about: Allow");
        is($res->{headers}{'content-type'}, 'application/json',
           "$about: Content-Type");
    },
    );


check('tokens',
    config => '
    location / { redis_fallback_api token=full read_only_token=reader; }',
    headers => ["", "Authorization: Bearer wrong", "Authorization: Bearer ful", "Authorization: full",
 "Authorization: Basic ZnVsbDo=", "Authorization: Bearer ",
 "Authorization: Bearer full", "Authorization: bearer  reader",
 "Authorization: Bearer reader", "Authorization: Bearer full",
 "Authorization: Bearer reader", "Authorization: Bearer reader"],
    requests => ["GET /get/a", "GET /get/a", "GET /get/a", "GET /get/a", "GET /get/a", "GET /get/a",
 "GET /set/api13/v", "GET /set/api13/v", "GET /get/api13", "GET /del/api13",
 "POST /pipeline\n" . '[["GET","nix"],["DEL","nix"],["PING"]]',
 "POST /multi-exec\n" . '[["GET","nix"],["DEL","nix"]]'],
    codes => [401, 401, 401, 401, 401, 401, 200, 400, 200, 200, 200, 400],
    bodies => ['{"error":"Unauthorized"}', '{"error":"Unauthorized"}', '{"error":"Unauthorized"}',
 '{"error":"Unauthorized"}', '{"error":"Unauthorized"}', '{"error":"Unauthorized"}',
 '{"result":"OK"}',
 '{"error":"NOPERM this user has no permissions to run the \'set\' command"}',
 '{"result":"v"}', '{"result":1}',
 '[{"result":null},{"error":"NOPERM this user has no permissions to run the \'del\' command"},{"result":"PONG"}]',
 '{"error":"EXECABORT Transaction discarded because of: NOPERM this user has no permissions to run the \'del\' command"}'],
        after => sub {
        my ($nginx) = @_;
        unlike($nginx->log, qr/full|reader/, 'tokens are not logged');
    },
    );


check('a token in the query is in no log',
    http => "log_format all '\$request|\$request_uri|\$args'; ",
    config => '
    location / {
        redis_fallback_api token=s3cr%t;
        access_log %%DIR%%/logs/error.log all;
    }',
    requests => ["GET /get/s3?_token=s3cr%25t", "GET /get/s3?a=b&_token=s3cr%25t&c", "GET /get/s3?_token=s3cr%25",
 "GET /nope?_token=s3cr%25t"],
    codes => [200, 400, 401, 400],
        after => sub {
        my ($nginx) = @_;
        like($nginx->log, qr/_token=\*{8}&c\|/, 'it is masked');
        unlike($nginx->log, qr/s3cr/, 'and nowhere else');
    },
    );


check('only a read-only token',
    config => '
    location / { redis_fallback_api read_only_token=reader; }',
    requests => ["GET /get/a", "GET /get/a?_token=reader", "GET /set/a/b?_token=reader"],
    codes => [401, 200, 400],
    );


check('rules that begin with a plus',
    config => '
    location / {
        redis_fallback_api;
        redis_fallback_commands +get +@hash -hdel +config|get;
    }',
    requests => ["GET /get/a", "GET /set/a/b", "GET /hget/a/b", "GET /hdel/a/b", "GET /config/get/nix",
 "GET /config/set/timeout/0", "GET /config", "GET /ping"],
    codes => [200, 400, 200, 400, 200, 400, 400, 400],
    bodies => [qr/null/, qr/NOPERM/, qr/null/, qr/NOPERM/, qr/\[\]/, qr/NOPERM/, qr/NOPERM/, qr/NOPERM/],
    );


check('rules that begin with a minus, inherited',
    http => 'redis_fallback_commands -@write +set -keys;',
    config => '
    location / { redis_fallback_api; }
    location /all/ { redis_fallback_api; redis_fallback_commands allcommands -flushall; }
    location /none/ { redis_fallback_api; redis_fallback_commands nocommands; }',
    requests => ["GET /get/a", "GET /set/api17/b", "GET /del/api17", "GET /keys/*", "GET /publish/a/b",
 "GET /all/del/api17", "GET /all/flushall", "GET /all/info/server", "GET /all/subscribe/a",
 "GET /none/get/a"],
    codes => [200, 200, 400, 400, 400, 200, 400, 200, 400, 400],
    bodies => [qr/null/, qr/OK/, qr/NOPERM/, qr/NOPERM/, qr/NOPERM/, qr/1/, qr/NOPERM/, qr/redis_version/,
 qr/not available on a shared connection/, qr/NOPERM/],
    );


check('large bodies, in a file or in memory, and too large ones',
    config => '
    client_max_body_size 300k;
    location / { redis_fallback_api; }
    location /file/ { redis_fallback_api; client_body_in_file_only clean; }',
    requests => ["POST /\n" . '["SET","api18","' . 'x' x 200000 . '"]', "GET /strlen/api18",
 "POST /file/append/api18\n" . 'y' x 200000, "POST /file/\n" . '["GETRANGE","api18",199998,200001]',
 "POST /file/pipeline\n[" . join(',', ('["INCR","api18b"]') x 10000) . "]",
 "POST /pipeline\n[" . join(',', ('["GET","a"]') x 10001) . "]",
 "POST /multi-exec\n[" . join(',', ('["GET","a"]') x 1001) . "]",
 "POST /\n" . '["SET","api18","' . 'x' x 310000 . '"]', "GET /mget/api18b", "GET /del/api18/api18b"],
    codes => [200, 200, 200, 200, 200, 400, 400, 413, 200, 200],
    bodies => [qr/OK/, qr/:200000\}/, qr/400000/, qr/"xxyy"/, qr/"result":10000\}\]/, qr/too many commands: .* at most 10000 /,
 qr/too many commands: .* at most 1000 /, qr/413/, qr/"10000"/, qr/2/],
    );


check('too many arguments, and too deep',
    config => '
    client_max_body_size 8m;
    location / { redis_fallback_api; }',
    requests => ["POST /\n" . '["DEL"' . ',"api20"' x 1048575 . ']',
 "POST /\n" . '["DEL"' . ',1' x 1048576 . ']',
 "POST /pipeline\n[" . '["DEL"' . ',1' x 600000 . '],["DEL"' . ',1' x 600000 . ']]',
 "POST /\n" . '["SET","a",' . '[' x 1000000, "POST /pipeline\n" . '[' x 1000000, "POST /\n" . '["SET","a",{"b":1}]'],
    codes => [200, 400, 400, 400, 400, 400],
    bodies => ['{"result":0}', (qr/"ERR too many arguments: .* at most 1048576 /) x 2,
 qr/byte 11: nested too deeply/, qr/byte 2: nested too deeply/, qr/nested too deeply/],
    );


check('in subrequests and after a rewrite',
    config => '
    location / { redis_fallback_api; }
    location /sub { mirror /set/api19/v; redis_fallback_command PING; }
    location /rw { rewrite ^/rw/(.*)$ /get/$1; }
    location /bare { rewrite ^/bare/(.*)$ get/$1 break; redis_fallback_api; }
    location /p/ { redis_fallback_api; }',
    requests => ["GET /sub", "GET /rw/api19", "GET /rw/a%2Fb", "GET /bare/api19", "GET /bare/api19/x",
 "GET ///p//get/api19", "GET /del/api19"],
    codes => [200, 200, 400, 200, 400, 200, 200],
    bodies => ["PONG", '{"result":"v"}', qr/wrong number of arguments/, '{"result":"v"}',
 qr/wrong number of arguments/, '{"result":"v"}', '{"result":1}'],
    );

done_testing;
