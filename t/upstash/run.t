# The published client of the REST protocol, against nginx in normal and in
# fallback mode.  "make test-upstash" installs it; without it this is skipped.

use strict;
use warnings;

use lib 't/lib';
use RF;

my $client = "$RF::ROOT/build/upstash";

plan(skip_all => 'no node') if system('node --version > /dev/null 2>&1') != 0;
plan(skip_all => 'no client: make test-upstash')
    unless -d "$client/node_modules/\@upstash/redis";

# it finds its modules beside itself

RF::spew("$client/client.mjs", RF::slurp("$RF::ROOT/t/upstash/client.mjs"));

my $redis = RF::Redis->new;
my $nginx = RF::Nginx->new(
    workers => 2,
    http    => 'redis_fallback_store app {
                    server 127.0.0.1:' . $redis->port . ';
                    path %%DIR%%/app;
                    timeout 500ms;
                    check_interval 1s;
                }',
    server  => 'location /redis {
                    redis_fallback_api token=full read_only_token=reader;
                }');


sub run_client {
    my ($mode) = @_;

    my $url = 'http://127.0.0.1:' . $nginx->port . '/redis';
    my $output = `cd '$client' && NO_PROXY=127.0.0.1 node client.mjs $url $mode 2>&1`;

    is($?, 0, "the client in $mode mode") ? note($output) : diag($output);
}


run_client('normal');

$redis->kill;
$nginx->get('/redis/get/a', headers => { Authorization => 'Bearer full' });
ok($nginx->wait_mode('fallback'), 'fallback');

run_client('fallback');

$redis->start;
ok($nginx->wait_mode('normal', 20), 'recovered');
is($redis->cmd('GET', 'm'), 'x', 'with what the client wrote');
is_deeply($redis->cmd('LRANGE', 'ml', 0, -1), [2, 3, 1], 'a list');
is_deeply($redis->cmd('HGETALL', 'mh'), ['a', '{"b":1}'], 'a hash');
is_deeply($redis->cmd('SMEMBERS', 'ms'), ['y'], 'a set');
is_deeply($redis->cmd('ZRANGE', 'any:z', 8, 9, 'WITHSCORES'),
          ["\xf0\x9f\x98\x80" . join("\xe2\x80\x8d",
               ("\xf0\x9f\x91\xa9") x 2, "\xf0\x9f\x91\xa7"), 8,
           "\xe2\x80\xa8", 9], 'a sorted set');
is($redis->cmd('HGET', 'bin:h', 'field'), join('', map { chr } 0 .. 255),
   'all bytes');

run_client('normal');

$nginx->check_logs;
done_testing;
