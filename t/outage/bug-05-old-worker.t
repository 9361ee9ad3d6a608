# A worker of the old configuration wrote to its zone when a reload had made
# another one, of another size: what was pending had been carried over before,
# so the write was acknowledged and lost.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis, store => { zone => '2m' });

$t->put('k', 'v0');
$redis->kill;
is($t->put('k', 'v1')->{status}, 204, 'a value in the outage');

# its body comes after the reload; nginx asks for it, so it has the request

my $conn = RF::Conn->new($t->nginx->port);
my $end = now() + slow(10);

$conn->write("PUT /kv/k HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
             . "Expect: 100-continue\r\nConnection: close\r\n\r\n", $end);
like($conn->line($end), qr/^HTTP\S+ 100/, 'a slow client begins');
is($conn->line($end), '', 'its turn');

ok($t->configure(zone => '3m')->nginx->reload, 'another zone');

$conn->write('v2', $end);
my $res = RF::HTTP::read_response($conn, 'PUT', $end);
like($res->{status}, qr/^(204|503)$/, 'the slow client ends');

my $value = $res->{status} == 204 ? 'v2' : 'v1';

is($t->get('k')->{body}, $value, "what was acknowledged, $value, is read");
$redis->start;
$t->recovered({ k => $value }, 'replay');
is($t->get('k')->{body}, $value, 'and read again');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
