# Hashes, lists, sets and sorted sets in an outage: large ones, changes that
# Redis refuses, and a Redis that comes back empty.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;
my $many = 40000;


sub api {
    my ($t, @argv) = @_;

    $t->{conn} = $t->nginx->conn unless $t->{conn} && $t->{conn}{sock};

    my $res = $t->nginx->post('/api', $json->encode(\@argv),
                              conn => $t->{conn});
    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $answer->{result}
           : "$res->{status} $res->{body}";
}


# a command with many arguments, some hundred at a time

sub batches {
    my ($t, $verb, $key, @args) = @_;

    while (my @some = splice @args, 0, 800) {
        my $reply = api($t, $verb, $key, @some);
        die "$verb $key: $reply\n" if $reply !~ /^\d+$/;
    }
}


sub store {
    my ($redis, %lines) = @_;

    return Outage->new(
        workers => 2,
        redis   => $redis,
        server  => "location /api {\n    redis_fallback_api app;\n}\n",
        store   => { timeout => '1s', write_interval => '50ms', %lines });
}


sub normal {
    my ($t, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($t->wait_normal(30), "$name: normal again")
        or diag(explain($t->status));
    is($t->status->{pending}, 0, "$name: nothing is pending");
}


# whether Redis lets nginx in

sub access {
    my ($t, $state) = @_;

    $t->redis->cmd('ACL', 'SETUSER', 'nginx', $state);
    $t->redis->cmd('CLIENT', 'KILL', 'USER', 'nginx') if $state eq 'off';
    $t->get('nobody');
}


# each of them takes many steps; requests go on meanwhile, nginx is cut off in
# the middle, and its workers are killed

sub large {
    my $redis = RF::Redis->new(
        acl => "user default on nopass ~* &* +\@all\n"
               . "user nginx on >secret ~* &* +\@all\n");
    my $t = store($redis, zone => '128m', user => 'nginx',
                  password => 'secret');
    my $fields = $many / 4;
    my $value = 'x' x 1000;

    $redis->cmd('HSET', 'counts', map { ("f$_", 100) } 1 .. 10);
    $redis->cmd('HSET', 'hash', 'old', 1);
    access($t, 'off');

    api($t, 'DEL', $_) for qw(hash list set zset);
    batches($t, 'HSET', 'hash', map { ("f$_" => $value) } 1 .. $fields);
    batches($t, 'RPUSH', 'list', map { "e$_" } 1 .. $many);
    batches($t, 'SADD', 'set', map { "m$_" } 1 .. $many);
    batches($t, 'ZADD', 'zset', map { ($_ / 2 => "m$_") } 1 .. $many);
    api($t, 'EXPIRE', 'zset', 1000);

    # of this one nobody knows what Redis has

    batches($t, 'HSET', 'counts', map { ("n$_", $_) } 1 .. $fields);
    api($t, 'HINCRBY', 'counts', "f$_", $_) for 1 .. 20;

    my $slowest = 0;
    my $waited = waited();
    my $worst = sub {
        my $res = $t->put('other', 'value');
        $slowest = $res->{elapsed} if $res->{elapsed} > $slowest;
        return $res->{status} == 204;
    };

    for my $try (1 .. 5) {
        access($t, 'on');
        ok(wait_for(sub { $t->mode ne 'fallback' }), "large: try $try");
        Time::HiRes::sleep(0.01 * $try);

        access($t, 'off') if $try % 2;
        kill 'KILL', $t->nginx->workers if $try == 2;
    }

    access($t, 'on');

    my $refused = 0;
    ok(wait_for(sub { $worst->() || $refused++; $t->mode eq 'normal' }, 30),
       'large: normal again') or diag(explain($t->status));
    is($refused, 0, 'large: requests were answered meanwhile');
    cmp_ok($slowest, '<', slow(0.5) + waited() - $waited, 'large: and soon');
    is($t->status->{pending}, 0, 'large: nothing is pending');
    is($t->status->{recovery}{failed}, 0, 'large: nothing was refused');

    is($redis->cmd('HLEN', 'hash'), $fields, 'a hash');
    is($redis->cmd('HGET', 'hash', "f$fields"), $value, 'its values');
    is_deeply($redis->cmd('LRANGE', 'list', 0, -1),
              [ map { "e$_" } 1 .. $many ], 'a list in its order');
    is($redis->cmd('SCARD', 'set'), $many, 'a set');
    is($redis->cmd('ZCARD', 'zset'), $many, 'a sorted set');
    is($redis->cmd('ZSCORE', 'zset', 'm7'), 3.5, 'its scores');
    cmp_ok($redis->cmd('TTL', 'zset'), '>', 900, 'its expiry');
    is($redis->cmd('HLEN', 'counts'), $fields + 20, 'many changes');
    is($redis->cmd('HGET', 'counts', 'f10'), 110, 'a sum, once');
    is($redis->cmd('HGET', 'counts', 'f20'), 20, 'a new one, once');

    ok(wait_for(sub {
        !grep { /:redis_fallback:/
                && !($redis->cmd('TTL', $_) > 0) } @{ $redis->cmd('KEYS', '*') };
    }), 'large: what is left behind expires');

    ok($t->nginx->stop, 'large: stops');
    $t->nginx->check_logs(allow => qr/exited on signal 9|was locked by/);
}


# one change of many: it alone is set aside

sub refused {
    my $redis = RF::Redis->new(persist => 1);
    my $t = store($redis);

    $redis->cmd('HSET', 'h', 'word', 'abc', 'n', 1);
    $redis->cmd('SET', 'l', 'a string');
    $redis->stop;

    api($t, 'HINCRBY', 'h', 'n', 5);
    api($t, 'HINCRBY', 'h', 'word', 5);
    api($t, 'HSET', 'h', 'new', 7);
    api($t, 'RPUSH', 'l', 'a', 'b');
    $redis->start;
    normal($t, 'refused');

    is_deeply({ @{ $redis->cmd('HGETALL', 'h') } },
              { word => 'abc', n => 6, new => 7 }, 'all others were applied');
    is($redis->cmd('GET', 'l'), 'a string', 'another type stays');

    my @files = glob $t->nginx->dir . '/app/quarantine/*.json';
    my %by = map { $_->{key} => $_ } map { $json->decode(RF::slurp($_)) } @files;

    is(scalar @files, 2, 'two files');
    is_deeply($by{h}{changes}, [ [ 'HINCRBY', 'word', '5' ] ],
              'that change') or diag(explain(\%by));
    like($by{h}{reason}, qr/^ERR hash value is not an integer/, 'and why');
    is_deeply($by{l}{changes}, [ [ 'RPUSH', 'a', 'b' ] ], 'all of this one');
    like($by{l}{reason}, qr/^WRONGTYPE/, 'and why');
    like($t->nginx->log, qr/\[crit\].* 1 changes of key "h" cannot be replayed/,
         'a log line');
    like($t->nginx->log, qr/\[crit\].* key "l" cannot be replayed/,
         'another one');
    is($t->status->{files}{quarantined}, 2, 'counted');

    ok($t->nginx->stop, 'refused: stops');
    $t->nginx->check_logs;
}


# a Redis without its data gets back what memory knows

sub restored {
    my $redis = RF::Redis->new;
    my $t = store($redis, zone => '64m');

    $redis->stop;
    api($t, 'DEL', $_) for qw(hash list set zset);
    api($t, 'HSET', 'hash', 'a', 1, 'b', 2);
    api($t, 'ZADD', 'zset', 1, 'a');
    batches($t, 'RPUSH', 'list', map { "e$_" } 1 .. $many);
    batches($t, 'SADD', 'set', map { "m$_" } 1 .. $many);
    $redis->start;
    normal($t, 'made');

    # clean ones, a small and a large one, and such with changes

    $redis->kill;
    is(api($t, 'HINCRBY', 'hash', 'a', 5), 6, 'counted');
    is(api($t, 'SADD', 'set', 'more'), 1, 'added');
    $redis->start;
    normal($t, 'restored');

    is_deeply({ @{ $redis->cmd('HGETALL', 'hash') } }, { a => 6, b => 2 },
              'a hash with its changes');
    is($redis->cmd('SCARD', 'set'), $many + 1, 'a large set with its changes');
    is($redis->cmd('LLEN', 'list'), $many, 'a large list');
    is($redis->cmd('ZSCORE', 'zset', 'a'), 1, 'a sorted set');

    ok($t->nginx->stop, 'restored: stops');
    $t->nginx->check_logs;
}


large();
refused();
restored();

done_testing;
