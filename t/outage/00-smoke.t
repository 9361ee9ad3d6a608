# A store goes on when Redis does not, and Redis has it all afterwards.

use strict;
use warnings;

use lib 't/lib';
use RF;

for my $workers (1, 4) {
    my $redis = RF::Redis->new;
    my $port = $redis->port;

    my $nginx = RF::Nginx->new(
        workers => $workers,
        http    => "redis_fallback_store app {
                        server          127.0.0.1:$port;
                        path            %%DIR%%/app;
                        check_interval  500ms;
                        cache           off;
                    }",
        server  => "location /kv/ { redis_fallback_pass app; }");

    my ($code, $out) = $nginx->test;
    is($code, 0, "nginx -t, $workers workers") or diag($out);
    ok($nginx->wait_mode('normal'), 'normal');

    is($nginx->put('/kv/a', 'one')->{status}, 204, 'a value is written');
    is($redis->cmd('GET', 'a'), 'one', 'and is in Redis');
    is($nginx->get('/kv/a')->{body}, 'one', 'and is read');

    $redis->kill;

    is($nginx->put('/kv/a', 'two')->{status}, 204, 'written without Redis');
    is($nginx->put('/kv/b', 'three')->{status}, 204, 'another');
    ok($nginx->wait_mode('fallback'), 'fallback');
    is($nginx->get('/kv/a')->{body}, 'two', 'read without Redis');
    is($nginx->status('app')->{pending}, 2, 'two keys are pending');

    $redis->start;

    ok($nginx->wait_mode('normal'), 'normal again');
    is($redis->cmd('GET', 'a'), 'two', 'Redis has the first');
    is($redis->cmd('GET', 'b'), 'three', 'and the second');
    is($nginx->get('/kv/b')->{body}, 'three', 'still there');

    ok($nginx->stop, 'stops');
    $nginx->check_logs;
}

done_testing;
