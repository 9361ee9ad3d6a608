# A reload with another path, which nginx then refused, left the store without
# its files: the zone had been told of the new path already.  Writes with
# durability disk were answered 507 from then on.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis, store => { durability => 'disk' });

$redis->kill;
is($t->put('a', 'value')->{status}, 204, 'a value');

# found out only after the zones were made

my $listen = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')
    or die;
my $port = $listen->sockport;

$t->configure(path => '%%DIR%%/other');
$t->nginx->{http} .= "server { listen 127.0.0.1:$port; }";
is($t->nginx->reload, 0, 'a reload that fails');
ok(wait_for(sub { $t->nginx->log =~ /still could not bind/ }, 10),
   'and is given up');

is($t->put("b$_", 'value')->{status}, 204, "put $_") for 1 .. 3;
is(scalar(keys %{ $t->on_disk }), 4, 'all of it is where it was');
is(scalar(keys %{ Journal::pending($t->nginx->dir . '/other') }), 0,
   'none is at the other path');

$t->configure(path => '%%DIR%%/app');
ok($t->nginx->reload, 'a reload that succeeds');

$redis->start;
$t->recovered({ a => 'value', map { ("b$_" => 'value') } 1 .. 3 }, 'replay');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs(allow => [ qr/bind\(\)|still could not bind/ ]);

done_testing;
