# $redis_fallback_mode, _tier and _result.

use strict;
use warnings;
use lib 't/lib';
use RF;

my $redis = RF::Redis->new;
my $nginx = RF::Nginx->new(
    http   => "redis_fallback_store app {
                   server 127.0.0.1:" . $redis->port . ";
                   path   %%DIR%%/app;
                   cache  off;
               }
               redis_fallback_store cached {
                   server 127.0.0.1:" . $redis->port . ";
                   path   %%DIR%%/cached;
                   cache  1h;
               }
               redis_fallback app;
               log_format v '\$request_method \$uri \$redis_fallback_mode/"
                            . "\$redis_fallback_tier/\$redis_fallback_result';
               map \$redis_fallback_result \$mapped { default '<\$redis_fallback_result>'; }
               add_header X-Op \$redis_fallback_mode/\$redis_fallback_tier/\$redis_fallback_result always;",
    server => 'access_log %%DIR%%/logs/access.log v;
               location /kv/ { redis_fallback_pass; }
               location /cached/ { redis_fallback_pass cached; }
               location /page/ {
                   redis_fallback_pass;
                   error_page 404 /static/page;
               }
               location /reject/ {
                   redis_fallback_pass;
                   redis_fallback_outage reject;
               }
               location /static/ { return 200 $redis_fallback_result; }
               location /if/ {
                   redis_fallback_set $v GET $arg_k;
                   if ($redis_fallback_result = miss) { return 404; }
                   return 200 "$mapped$redis_fallback_tier";
               }
               location = /list { redis_fallback_set $n LPUSH list a;
                                  return 200 $n; }');


sub op { return $_[0]{headers}{'x-op'} }


# empty variables make an empty header, which nginx leaves out

is(op($nginx->get('/static/a')), '//', 'no operation');
is(op($nginx->get('/kv/a')), 'normal/redis/miss', 'a miss');
is(op($nginx->put('/kv/a', 'x')), 'normal/redis/ok', 'a write');
is(op($nginx->get('/kv/a')), 'normal/redis/hit', 'a hit');
is(op($nginx->delete('/kv/a')), 'normal/redis/ok', 'a removal');
$nginx->put('/cached/b', 'x');
is(op($nginx->get('/cached/b')), 'normal/memory/hit', 'from memory');

$nginx->get('/list');
is(op($nginx->get('/kv/list')), 'normal/redis/error', 'an error');

is($nginx->get('/page/none')->{body}, 'miss', 'after an internal redirect');
is($nginx->get('/if/?k=none')->{status}, 404, 'in "if"');
$nginx->put('/kv/a', 'x');
is($nginx->get('/if/?k=a')->{body}, '<hit>redis', 'in "map"');

$redis->kill;

$nginx->get('/kv/a');
$nginx->get('/cached/none');
ok($nginx->wait_mode('fallback', 10, $_), "fallback: $_") for 'app', 'cached';

is(op($nginx->get('/kv/a')), 'fallback/memory/hit', 'a hit');
is(op($nginx->put('/kv/a', 'x')), 'fallback/memory/ok', 'a write');
is(op($nginx->get('/kv/unknown')), 'fallback/none/unknown', 'unknown');
is(op($nginx->get('/reject/a')), 'fallback/none/rejected', 'refused');
is($nginx->get('/page/a')->{body}, 'x', 'goes on');

$nginx->stop;

my $log = RF::slurp($nginx->dir . '/logs/access.log');

for my $line ('GET /static/a -/-/-', 'GET /kv/a normal/redis/miss',
              'PUT /kv/a normal/redis/ok', 'GET /static/page normal/redis/miss',
              'PUT /kv/a fallback/memory/ok',
              'GET /reject/a fallback/none/rejected')
{
    like($log, qr/^\Q$line\E$/m, "logged: $line");
}

$nginx->check_logs;
done_testing;
