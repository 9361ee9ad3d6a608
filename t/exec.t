# redis_fallback_exec: runs when the response was sent, and its failure is one
# line in the log.

use strict;
use warnings;

use lib 't/lib';
use RF;

my $redis = RF::Redis->new;

my $nginx = RF::Nginx->new(
    workers => 2,
    http    => "redis_fallback_store app {
                    server 127.0.0.1:" . $redis->port . ";
                    restore off;
                    path %%DIR%%/app;
                    timeout 300ms;
                    check_interval 1s;
                }",
    server  => 'redis_fallback_exec INCR all;

                location / {
                    redis_fallback_exec HINCRBY status $status 1;
                    redis_fallback_exec SET last "$uri $arg_v";
                    return 200 ok;

                    location /inner/ { return 200 inner; }
                }

                location /if/ {
                    redis_fallback_exec INCR if;
                    if ($arg_a) { return 204; }
                    return 200;
                }

                location /old/ {
                    redis_fallback_exec INCR old;
                    rewrite ^ /new/ last;
                }

                location /new/ {
                    redis_fallback_exec INCR new;
                    return 200;
                }

                location /kv/ {
                    redis_fallback_pass;
                    redis_fallback_exec INCR kv;
                }

                location /bad/ {
                    redis_fallback_exec INCR last;
                    return 200;
                }

                location /refused/ {
                    redis_fallback_outage reject;
                    redis_fallback_exec INCR refused;
                    return 200;
                }

                location /mirror/ {
                    mirror /new/;
                    redis_fallback_exec INCR mirrored;
                    empty_gif;
                }');


sub becomes {
    my ($key, $value, $name) = @_;

    my $got;
    wait_for(sub { $got = $redis->cmd('GET', $key);
                   defined $got && $got eq $value }, 3);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($got, $value, $name);
}


$nginx->get('/a?v=1%202');
becomes('all', 1, 'of the server');
becomes('last', '/a 1%202', 'of the location, with variables');
is($redis->cmd('HGET', 'status', 200), '1', 'the status is known');

$nginx->get('/inner/');
becomes('all', 2, 'a location inside of it: of the server');
is($redis->cmd('HGET', 'status', 200), '1', 'not of the location around');

$nginx->get('/if/?a=1');
$nginx->get('/if/');
becomes('if', 2, '"if" is a part of its location');

$nginx->get('/old/');
becomes('new', 1, 'that of the location where the request ends');
is($redis->cmd('EXISTS', 'old'), 0, 'not of the one before');

$nginx->put('/kv/k', 'value');
becomes('kv', 1, 'beside a content handler');

$nginx->get('/mirror/');
becomes('mirrored', 1, 'of the request');
is($redis->cmd('GET', 'new'), '1', 'not of its subrequests');

$nginx->get('/%');
becomes('all', 8, 'a request that nginx refuses, too');

$nginx->new_log;
$nginx->get('/bad/');
ok(wait_for(sub { $nginx->log =~ /redis_fallback_exec "INCR" failed/ }),
   'a failure is logged');
my @lines = grep { /\[error\]/ } split /\n/, $nginx->new_log;
is(@lines, 1, 'in one line');
like($lines[0], qr/failed: ERR value is not an integer or out of range/,
     'that says why');

# many, while connections are closed at once

$nginx->parallel(10, map { [GET => "/new/?$_"] } 1 .. 200);
becomes('new', 201, 'many at once');

# fallback

$redis->kill;
$nginx->get('/new/');
ok($nginx->wait_mode('fallback'), 'one of them notices the outage');
$nginx->get('/new/') for 1 .. 5;
$nginx->new_log;
$nginx->get('/refused/');
Time::HiRes::sleep(0.2);
unlike($nginx->new_log, qr/refused.*failed|"INCR" failed/,
       'a refusal is no failure');

$redis->start;
ok($nginx->wait_mode('normal', 20), 'recovered');
is($redis->cmd('GET', 'new'), '6', 'with what happened meanwhile');

# nothing is left behind

$nginx->get('/new/') for 1 .. 3;
$nginx->signal('QUIT');
ok(wait_for(sub { RF::reaped($nginx->pid) }), 'a graceful exit');
becomes('new', 9, 'and all was done');

$nginx->check_logs;
done_testing;
