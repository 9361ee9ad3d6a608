# redis_fallback_ttl: what Redis is told, and what is refused.

use strict;
use warnings;
use lib 't/lib';
use RF;

my $redis = RF::Redis->new;
my $nginx = RF::Nginx->new(
    http   => "redis_fallback_store app {
                   server 127.0.0.1:" . $redis->port . ";
                   path %%DIR%%/app;
               }
               redis_fallback_ttl 20s;",
    server => 'location /kv/ { redis_fallback_pass;
                               redis_fallback_ttl $arg_ttl; }
               location /in/ { redis_fallback_pass; }
               location /none/ { redis_fallback_pass; redis_fallback_ttl 0; }
              ');


# milliseconds left, at most 3 s less than expected

sub left_is {
    my ($key, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $left = $redis->cmd('PTTL', $key);

    return ok($left <= $expected && $left > $expected - 3000
              || $left == $expected, $name)
           || diag("got $left, expected about $expected");
}

my %ms = (
    '1500ms' => 1500, '10s' => 10_000, '10' => 10_000, '1m' => 60_000,
    '1h30m' => 5_400_000, '1h30m15s500ms' => 5_415_500, '2d' => 172_800_000,
    '1w' => 604_800_000, '0' => -1, '' => -1, '0s' => -1, '0ms' => -1,
);

for my $ttl (sort keys %ms) {
    is($nginx->put("/kv/a?ttl=$ttl", 'x')->{status}, 204, "ttl '$ttl'");
    left_is('a', $ms{$ttl}, 'is what Redis has');
}

for my $ttl ('x', '-1', '1.5s', '10x', '1s1h', '%20', '1y', 's',
             '9' x 20, '99999999999999w')
{
    my $res = $nginx->put("/kv/b?ttl=$ttl", 'x' x 100000);
    is($res->{status}, 400, "ttl '$ttl' is refused");
}

is($redis->cmd('EXISTS', 'b'), 0, 'and nothing is stored');
is($nginx->get('/kv/a?ttl=x')->{status}, 200, 'a GET does not look at it');

is($nginx->put('/in/c', 'x')->{status}, 204, 'inherited');
left_is('c', 20_000, 'from http');
is($nginx->put('/none/c', 'x')->{status}, 204, 'PUT without one');
left_is('c', -1, 'makes it last');

is($nginx->put('/kv/d?ttl=900ms', 'x')->{status}, 204, 'less than a second');
is($nginx->get('/kv/d')->{body}, 'x', 'is there');
ok(wait_for(sub { $nginx->get('/kv/d')->{status} == 404 }, 2), 'and gone');

is($nginx->put('/kv/e?ttl=1h', '1', headers => { 'If-None-Match' => '*' })
   ->{status}, 204, 'with a condition');
left_is('e', 3_600_000, 'the time is set');
is($nginx->put('/kv/e?ttl=1m', '2', headers => { 'If-None-Match' => '*' })
   ->{status}, 412, 'not again');
left_is('e', 3_600_000, 'and the time is not');

$nginx->check_logs;
done_testing;
