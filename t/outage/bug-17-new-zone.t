# A reload with another zone size took along what memory knew, but old workers
# went on to change it in Redis: in the next outage it was served as it had
# been, and what seemed to change nothing would not have been told to Redis.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new(persist => 1);
my $t = Outage->new(redis => $redis, store => { zone => '2m' });

is($t->put('key', 'old')->{status}, 204, 'a value');

# the request is with the old worker, but for its body

my $conn = $t->nginx->conn;
my $end = now() + slow(10);

$conn->write("PUT /kv/key HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
             . "\r\nn", $end);

my $old = ($t->nginx->workers)[0];

# it has been accepted: another one on the same worker has an answer

is($t->get('key')->{worker}, $old, 'the worker has it');
ok($t->configure(zone => '3m')->nginx->reload, 'another zone');
ok($t->wait_normal, 'normal');

$conn->write('ew', $end);
my $res = Outage::told(RF::HTTP::read_response($conn, 'PUT', $end));

is($res->{status}, 204, 'changed');
is($res->{worker}, $old, 'by the old worker');
is($res->{tier}, 'redis', 'in Redis');
is($redis->cmd('GET', 'key'), 'new', 'which has it');

$redis->stop;
isnt($t->get('key')->{body}, 'old', 'not what it was before');
ok($t->falls_back, 'fallback');
isnt($t->get('key')->{body}, 'old', 'nor then');

$redis->start;
ok($t->wait_normal, 'normal again');
is($t->get('key')->{body}, 'new', 'the value');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
