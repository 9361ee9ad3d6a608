# redis_fallback_api while Redis is away and when it comes back: order in a
# pipeline, transactions as a whole, what needs Redis is refused by name.

use strict;
use warnings;

use lib 't/lib';
use RF;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;
my $redis = RF::Redis->new;

my $nginx = RF::Nginx->new(
    workers => 2,
    http    => 'redis_fallback_store app {
                    server ' . '127.0.0.1:' . $redis->port . ';
                    path %%DIR%%/app;
                    timeout 300ms;
                    check_interval 1s;
                }
                redis_fallback_store disk {
                    server ' . '127.0.0.1:' . $redis->port . ';
                    path %%DIR%%/disk;
                    database 1;
                    durability disk;
                    timeout 1s;
                    check_interval 1s;
                }
                redis_fallback app;',
    server  => 'location / { redis_fallback_api; }
                location /disk { redis_fallback_api disk; }
                location /ro {
                    redis_fallback_api;
                    redis_fallback_outage read_only;
                }
                location = /count {
                    redis_fallback_command INCR visits;
                    redis_fallback_exec INCR execs;
                }
                location = /xadd { redis_fallback_command XADD s * f v; }');


sub api {
    my ($path, $body) = @_;

    my $res = $nginx->post($path, $json->encode($body));
    my $answer = eval { $json->decode($res->{body}) };

    return ($res->{status}, $answer, $res);
}


sub answers {
    my ($path, $body, $status, $want, $name) = @_;

    my ($got, $answer) = api($path, $body);

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is($got, $status, "$name: status");
    is($json->encode($answer), $json->encode($want), "$name: answer");
}


sub results { [map { ref $_ eq 'HASH' ? $_ : { result => $_ } } @_] }


# normal mode: a pipeline is one write, a transaction is MULTI and EXEC

answers('/multi-exec', [['SET', 'a', 1], ['INCR', 'a'], ['GET', 'a']], 200,
        results('OK', 2, '2'), 'a transaction in normal mode');
is($redis->calls->{multi}, 1, 'MULTI was sent');
is($redis->calls->{exec}, 1, 'EXEC was sent');

answers('/multi-exec', [['SET', 'a', 'x'], ['HSET', 'h', 'f', 'v'],
                        ['XADD', 's', '1-1', 'f', 'v']], 200,
        results('OK', 1, '1-1'), 'all commands of Redis in normal mode');

answers('/multi-exec', [['MSET', 'k1', 'v1', 'k2', 'v2'], ['INCR', 'k1']],
        200, results('OK', { error => 'ERR value is not an integer or out of '
                                      . 'range' }),
        'an error in a transaction');

is($nginx->get('/count')->{body}, '1', 'command');
ok(wait_for(sub { ($redis->cmd('GET', 'execs') || '') eq '1' }), 'exec');


# fallback

$redis->kill;

answers('/', ['SET', 'a', 1], 200, { result => 'OK' }, 'falls back');
$nginx->wait_mode('fallback');

answers('/pipeline', [['SET', 'p', ''],
                      (map { ['APPEND', 'p', $_] } 0 .. 9), ['GET', 'p']],
        200, results('OK', 1 .. 10, '0123456789'),
        'a pipeline in order');

answers('/pipeline', [['SET', 'a', 5], ['XADD', 's', '*', 'f', 'v'],
                      ['DECR', 'a'], ['SETBIT', 'a', 1, 1]], 200,
        results('OK', { error => "FALLBACK 'xadd' needs Redis, which is "
                                 . 'unreachable' }, 4,
                { error => "FALLBACK 'setbit' needs Redis, which is "
                           . 'unreachable' }),
        'what needs Redis is refused by name');

my ($status, $answer, $res) = api('/', ['XADD', 's', '*', 'f', 'v']);
is($status, 503, 'alone, too');
ok($res->{headers}{'retry-after'}, 'with Retry-After');
is($answer->{error}, "FALLBACK 'xadd' needs Redis, which is unreachable",
   'and says why');

($status, $answer) = api('/multi-exec', [['SET', 'a', 'no'],
                                         ['XADD', 's', '*', 'f', 'v']]);
is($status, 503, 'a transaction with it, as a whole');
is($answer->{error}, "FALLBACK 'xadd' needs Redis, which is unreachable",
   'that names it');
answers('/', ['GET', 'a'], 200, { result => '4' }, 'and changed nothing');

answers('/multi-exec', [['INCRBY', 'a', 10], ['SET', 'b', 'word'],
                        ['INCR', 'b'], ['APPEND', 'b', 's'], ['DEL', 'k1'],
                        ['EXISTS', 'k1', 'b'], ['PING'], ['GET', 'none']],
        200,
        results(14, 'OK', { error => 'ERR value is not an integer or out of '
                                     . 'range' }, 5, 1, 1, 'PONG', undef),
        'a transaction in fallback');

answers('/multi-exec', [['GET', 'a'], ['SET', 'a']], 400,
        { error => 'EXECABORT Transaction discarded because of: ERR wrong '
                   . "number of arguments for 'set' command" },
        'an impossible one');

# one key many times; the same in the next transaction: changes compact

for (1 .. 20) {
    api('/multi-exec', [(map { ['INCR', 'limit'] } 1 .. 5),
                        ['PEXPIRE', 'limit', 600000], ['APPEND', 'log', 'x']]);
}

answers('/', ['GET', 'limit'], 200, { result => '100' }, 'a counter');

answers('/ro', ['GET', 'limit'], 200, { result => '100' }, 'read_only reads');
($status) = api('/ro', ['INCR', 'limit']);
is($status, 503, 'read_only refuses a write');
($status) = api('/ro/multi-exec', [['GET', 'limit'], ['INCR', 'limit']]);
is($status, 503, 'read_only refuses a transaction that writes');
($status) = api('/ro/multi-exec', [['GET', 'limit'], ['TTL', 'limit']]);
is($status, 200, 'read_only serves one that reads');

is($nginx->get('/xadd')->{status}, 503, 'command that needs Redis');
ok($nginx->get('/count')->{body} =~ /^\d+$/, 'command in fallback');
ok(wait_for(sub { (api('/', ['GET', 'execs']))[1]{result} }),
   'exec in fallback');


# durability disk: a batch shares its fsyncs, each key has its own version

answers('/disk', ['SET', 'first', 1], 200, { result => 'OK' }, 'disk: a write');
my $start = now();
answers('/disk/pipeline', [map { ['SET', "d$_", $_] } 1 .. 200], 200,
        results(('OK') x 200), 'disk: a pipeline');
answers('/disk/multi-exec', [(map { ['SET', "m$_", $_] } 1 .. 50),
                             ['MSET', 'x', 1, 'y', 2]], 200,
        results(('OK') x 51), 'disk: a transaction');
answers('/disk', ['MSET', 'x', 3, 'z', 4], 200, { result => 'OK' },
        'disk: several keys at once');
ok(now() - $start < slow(5), 'disk: they do not wait for one another');


# recovery

$redis->start;
$nginx->wait_mode('normal', 20, 'app');
$nginx->wait_mode('normal', 20, 'disk');

is($redis->cmd('GET', 'a'), '14', 'recovered: a');
is($redis->cmd('GET', 'b'), 'words', 'recovered: b');
is($redis->cmd('GET', 'p'), '0123456789', 'recovered: p');
is($redis->cmd('GET', 'limit'), '100', 'recovered: limit');
ok($redis->cmd('PTTL', 'limit') > 500000, 'recovered: its expiry');
is($redis->cmd('GET', 'log'), 'x' x 20, 'recovered: log');
is($redis->cmd('EXISTS', 'k1'), 0, 'recovered: a deletion');

answers('/disk/multi-exec', [['MGET', 'd200', 'm50', 'x', 'y', 'z']], 200,
        results(['200', '50', '3', '2', '4']), 'recovered: the other database');

# a refusal of Redis that is an outage, in a transaction

$redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
answers('/multi-exec', [['INCR', 'a'], ['SET', 'oom', 1]], 200,
        results(15, 'OK'), 'out of memory is an outage');
ok($nginx->wait_mode('fallback', 5, 'app'), 'the mode');
$redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
ok($nginx->wait_mode('normal', 20, 'app'), 'and back');
is($redis->cmd('GET', 'a'), '15', 'executed once');

# the connection breaks while EXEC is under way: by a worker that has one

my $conn = $nginx->conn;

is($nginx->post('/', '["SET","b","words"]', conn => $conn)->{body},
   '{"result":"OK"}', 'a worker is connected');
$redis->pause;
$res = $nginx->post('/multi-exec', '[["INCR","a"]]', conn => $conn);
$conn->close;
($status, $answer) = ($res->{status}, $json->decode($res->{body}));
is($status, 502, 'a transaction without an answer');
like($answer->{error}, qr/^UNCERTAIN .*'multi-exec'/, 'is uncertain');
($status, $answer) = api('/multi-exec', [['GET', 'b'], ['GET', 'nix']]);
is($status, 200, 'one that reads goes on');
$redis->resume;
ok($nginx->wait_mode('normal', 20, 'app'), 'back again');

$nginx->check_logs;
$nginx->stop;


# Keys that are only in files, in a memory that is too small for all: a
# pipeline stays in order, a transaction reads what it needs first.

$redis = RF::Redis->new;
$nginx = RF::Nginx->new(
    workers => 2,
    http    => 'redis_fallback_store app {
                    zone 1m;
                    server 127.0.0.1:' . $redis->port . ';
                    path %%DIR%%/app;
                    timeout 700ms;
                    write_interval 50ms;
                    check_interval 500ms;
                    recovery_rate 800;
                }',
    server  => 'location / { redis_fallback_api; client_max_body_size 8m; }');

$redis->cmd('SET', 'elsewhere', 'x');
$redis->kill;
ok(wait_for(sub { api('/', ['GET', 'a']);
                  $nginx->status('app')->{mode} eq 'fallback' }),
   'a small zone falls back');

my $failed = 0;

for my $from (map { $_ * 100 } 0 .. 29) {
    my ($code, $results) = api('/pipeline',
        [map { ['SET', "f$_", 'x' x 1000 . $_] } $from .. $from + 99]);
    $failed += grep { defined $_->{error} && diag($_->{error}) }
               @$results;
}

is($failed, 0, 'more than fits into memory');

sub in_order {
    my ($path, $name) = @_;

    for my $n (0, 700, 1500, 2999) {
        my $value = 'x' x 1000 . $n;
        my ($code, $results) = api($path,
            [['STRLEN', "f$n"], ['APPEND', "f$n", 'y'], ['GET', "f$n"],
             ['SET', "f$n", 'x' x 1000 . $n], ['GETRANGE', "f$n", 998, -1],
             ['MGET', map { "f$_" } $n, $n % 50 + 100, ($n + 17) % 3000]]);

        is($json->encode($results),
           $json->encode(results(length $value, length($value) + 1,
               "${value}y", 'OK', "xx$n",
               [map { 'x' x 1000 . $_ } $n, $n % 50 + 100,
                ($n + 17) % 3000])), "$name: f$n");
    }
}

in_order('/pipeline', 'a pipeline with files');
in_order('/multi-exec', 'a transaction with files');


# Recovery takes its time: what is pending is here, the rest in Redis.

$redis->start;
$redis->cmd('SET', 'elsewhere', 'y');
ok($nginx->wait_mode('recovering', 20), 'recovering');

in_order('/pipeline', 'a pipeline while recovering');

($status, $answer) = api('/multi-exec', [['INCR', 'fresh'],
                                         ['GET', 'elsewhere']]);
is($json->encode($answer), $json->encode(results(1, 'y')),
   'a transaction that Redis executes meanwhile');
is($redis->cmd('GET', 'fresh'), '1', 'indeed');

my $n = 0;
my %codes;
my $conflicts = 0;

while ($nginx->status('app')->{mode} eq 'recovering' && $n < 3000) {
    ($status, $answer) = api('/multi-exec',
        [['INCR', 'count'], ['SETRANGE', "f$n", 0, 'z'], ['INCR', 'count2']]);
    $codes{$status}++;
    $conflicts++ if $status == 200
                    && $answer->[0]{result} != $answer->[2]{result};
    $n++;
}

ok($codes{200}, 'transactions with keys here and there are answered');
is($conflicts, 0, 'as one');
is_deeply([grep { $_ != 200 && $_ != 503 } keys %codes], [],
          'or refused in time');

ok($nginx->wait_mode('normal', 60), 'recovered');
is($redis->cmd('GET', 'count'), $codes{200}, 'each was executed once');
is($redis->cmd('GET', 'count2'), $codes{200}, 'all of it');
is($redis->cmd('STRLEN', 'f2999'), 1004, 'and so was the rest');

# a large reply

$redis->cmd('SET', 'big', 'z' x 10_000_000);
($status, $answer) = api('/', ['GET', 'big']);
is(length $answer->{result}, 10_000_000, 'a reply of 10 MB');

$nginx->check_logs;
done_testing;
