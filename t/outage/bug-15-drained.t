# A list that was emptied in an outage was replayed in one script, however long
# it had been, and each pop searched all of the list that Redis had by then.
# And a key that was empty between two scripts of its replay lost its expiry.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;
my $redis = RF::Redis->new(persist => 1);
my $t = Outage->new(
    redis  => $redis,
    server => "location /api {\n    redis_fallback_api app;\n}\n",
    store  => { path => 'off', zone => '64m', timeout => '1s' });


sub api {
    my (@argv) = @_;

    my $res = $t->nginx->post('/api', $json->encode(\@argv));
    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $answer->{result}
           : "$res->{status} $res->{body}";
}


my $long = 6250;

api('RPUSH', 'drained', map { "job$_" } 1 .. $long);
api('RPUSH', 'other', map { "job$_" } 1 .. 200);
api('RPUSH', 'refilled', map { "job$_" } 1 .. $long);
api('EXPIRE', 'refilled', 1000);

$redis->stop;
ok($t->falls_back, 'fallback');

is(scalar @{ api('LPOP', 'drained', $long) }, $long, 'a list is drained');
is(scalar @{ api('LPOP', 'other', 200) }, 200, 'a short one');
is(api('RPUSH', 'refilled', map { "new$_" } 1 .. 3000), $long + 3000,
   'a third one gets more');
is(scalar @{ api('LPOP', 'refilled', $long) }, $long, 'and loses the others');
cmp_ok(api('TTL', 'refilled'), '>', 900, 'it expires');

# somebody else has used the second one meanwhile

$t->nginx->behind(sub {
    $redis->start;
    $redis->cmd('DEL', 'other');
    $redis->cmd('RPUSH', 'other', map { "theirs$_" } 1 .. 10000) for 1 .. 10;
    $redis->cmd('CONFIG', 'SET', 'slowlog-log-slower-than', 1000 * slow(250));
    $redis->cmd('SLOWLOG', 'RESET');
});

ok($t->wait_normal(30), 'normal');
is($redis->cmd('LLEN', 'drained'), 0, 'all are popped');
is($redis->cmd('LLEN', 'other'), 100000, 'theirs are not');
is($redis->cmd('LLEN', 'refilled'), 3000, 'the new ones');
cmp_ok($redis->cmd('TTL', 'refilled'), '>', 900, 'the expiry is still there');
cmp_ok($redis->calls->{eval}, '>', 50, 'many scripts');
is(join(' ', map { $_->[2] } @{ $redis->cmd('SLOWLOG', 'GET', 10) }), '',
   'none of them takes long');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
