# The status page's number of workers with a connection grew with each worker
# that was killed.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis);

for my $round (1 .. 3) {
    $t->put('a', 'value');
    is($t->status->{redis}{connected}, 1, "round $round: connected");

    my ($pid) = $t->nginx->workers;
    kill 'KILL', $pid;
    ok(wait_for(sub { my ($new) = $t->nginx->workers;
                      $new && $new != $pid }), "round $round: a new worker");
}

$t->put('a', 'value');
is($t->status->{redis}{connected}, 1, 'one worker, one connection');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs(allow => [ qr/exited on signal 9/,
                                 qr/zone "\S+" was locked by/ ]);

done_testing;
