# redis_fallback_api, _commands, _command, _exec: each wrong value has its
# message, and no token is in one.

use strict;
use warnings;

use lib 't/lib';
use RF;

my $store = "redis_fallback_store app { path %%DIR%%/app; }\n";


sub output {
    my ($server, $http) = @_;

    my $nginx = RF::Nginx->new(http => $store . ($http || ''),
                               server => $server, start => 0);
    my ($rc, $text) = $nginx->test;

    return ($rc, $text);
}


sub bad {
    my ($name, $message, $server, $http) = @_;

    my ($ok, $text) = output($server, $http);

    like($text, qr/\[emerg\] .*\Q$message\E/, $name);
    unlike($text, qr/s3cret/, "$name: no token");
}


bad('command: no arguments', 'invalid number of arguments in '
    . '"redis_fallback_command" directive',
    'location / { redis_fallback_command; }');
bad('command: unknown', 'invalid command "NOPE" in "redis_fallback_command" '
    . "directive: ERR unknown command 'NOPE', with args beginning with: 'a' ",
    'location / { redis_fallback_command NOPE a; }');
bad('command: arity', 'invalid command "GET" in "redis_fallback_command" '
    . "directive: ERR wrong number of arguments for 'get' command",
    'location / { redis_fallback_command GET; }');
bad('command: refused', 'invalid command "BLPOP" in "redis_fallback_command" '
    . "directive: ERR 'blpop' is not available on a shared connection",
    'location / { redis_fallback_command BLPOP a 0; }');
bad('command: variable', 'the command "$arg_c" of "redis_fallback_command" '
    . 'cannot have variables',
    'location / { redis_fallback_command $arg_c a; }');
bad('command: twice', '"redis_fallback_command" directive is duplicate',
    'location / { redis_fallback_command PING; redis_fallback_command PING; }');
bad('command and pass', '"redis_fallback_pass" directive contradicts '
    . '"redis_fallback_command" of the same location',
    'location / { redis_fallback_command PING; redis_fallback_pass; }');
bad('command and api', '"redis_fallback_command" directive contradicts '
    . '"redis_fallback_api" of the same location',
    'location / { redis_fallback_api; redis_fallback_command PING; }');
bad('command: no store', '"redis_fallback_command" needs "redis_fallback": '
    . 'there are several stores',
    'location / { redis_fallback_command PING; }',
    'redis_fallback_store b { path off; }');
bad('command: in server', '"redis_fallback_command" directive is not allowed '
    . 'here', 'redis_fallback_command PING;');

bad('exec: unknown', 'invalid command "NOPE" in "redis_fallback_exec"',
    'redis_fallback_exec NOPE a;');
bad('exec: variable', 'the command "$arg_c" of "redis_fallback_exec"',
    'location / { redis_fallback_exec $arg_c a; }');
bad('exec: no store', '"redis_fallback_exec" needs "redis_fallback"',
    'location / { redis_fallback_exec PING; }',
    'redis_fallback_store b { path off; }');
bad('exec: in http', '"redis_fallback_exec" directive is not allowed here',
    '', 'redis_fallback_exec PING;');

bad('api: unknown store', 'unknown redis_fallback_store "nix"',
    'location / { redis_fallback_api nix; }');
bad('api: twice', '"redis_fallback_api" directive is duplicate',
    'location / { redis_fallback_api; redis_fallback_api; }');
bad('api: empty token', 'empty "token" in "redis_fallback_api" directive',
    'location / { redis_fallback_api token=; }');
bad('api: empty read-only token', 'empty "read_only_token"',
    'location / { redis_fallback_api read_only_token=; }');
bad('api: two tokens', 'duplicate "token" in "redis_fallback_api" directive',
    'location / { redis_fallback_api token=s3cret1 token=s3cret2; }');
bad('api: misspelled', 'invalid parameter number 2 in "redis_fallback_api" '
    . 'directive: it must be "token=" or "read_only_token="',
    'location / { redis_fallback_api app tokn=s3cret; }');
bad('api: misspelled first', 'invalid parameter number 1',
    'location / { redis_fallback_api tokn=s3cret; }');
bad('api: not a prefix', '"redis_fallback_api" needs a location that is a '
    . 'prefix', 'location ~ ^/a { redis_fallback_api; }');
bad('api: exact', '"redis_fallback_api" needs a location that is a prefix',
    'location = /a { redis_fallback_api; }');
bad('api: no store', '"redis_fallback_api" needs "redis_fallback"',
    'location / { redis_fallback_api token=s3cret; }',
    'redis_fallback_store b { path off; }');

bad('rules: no sign', 'invalid rule "get" in "redis_fallback_commands" '
    . 'directive: it must begin with "+" or "-"',
    'redis_fallback_commands get;');
bad('rules: nothing', 'invalid rule "+"', 'redis_fallback_commands +;');
bad('rules: no such command', 'invalid rule "+nope" in '
    . '"redis_fallback_commands" directive: there is no such command',
    'redis_fallback_commands +nope;');
bad('rules: no such category', 'invalid rule "-@nope" in '
    . '"redis_fallback_commands" directive: there is no such category',
    'redis_fallback_commands +get -@nope;');
bad('rules: no subcommand', 'there is nothing behind the "|"',
    'redis_fallback_commands +config|;');
bad('rules: twice', '"redis_fallback_commands" directive is duplicate',
    'redis_fallback_commands +get; redis_fallback_commands +set;');

# what is right

my ($rc, $text) = output('
    redis_fallback_exec INCR "$host:hits";
    redis_fallback_commands allcommands -@dangerous +KEYS -config|set;
    location / {
        redis_fallback_api app token=s3cret read_only_token=s3cret2;
        redis_fallback_commands -flushall +@Read;
        redis_fallback_exec INCR a;
        redis_fallback_exec INCR b;
        limit_except GET { deny all; }
    }
    location ^~ /redis { redis_fallback_api read_only_token=s3cret; }
    location = /c { redis_fallback_command mget a "$arg_b"; }',
    'redis_fallback_commands nocommands;');
like($text, qr/test is successful/, 'what is right') or diag($text);
unlike($text, qr/s3cret/, 'and no token');

done_testing;
