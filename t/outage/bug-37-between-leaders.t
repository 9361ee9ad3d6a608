# The path is held by a worker, as it was another instance's before, and a third
# one waits for it.  The worker goes, by a reload or by kill -9, and for a moment
# nobody holds the lock: it was taken by the one that waited, and both wrote
# there.  Changes were applied twice.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new(start => 0);
my $one = Outage->new(workers => 1, redis => $redis,
                      store => { durability => 'disk' });
my $path = $one->nginx->dir . '/app';
my $two = Outage->new(workers => 1, redis => $redis,
                      store => { path => $path, durability => 'disk' });
my $n = 0;


sub ours { return () = $_[0]->nginx->log =~ /path "\Q$path\E" is ours now/g }


sub add {
    my ($t, $name) = @_;

    my $res;

    ok(wait_for(sub { $res = $t->run('INCR', 'n'); $res->{status} == 200 }),
       "$name: durable") or diag($res->{status});
    is($res->{body}, ++$n, "$name: counted");
}


ok($one->nginx->stop, 'the first goes');
ok(wait_for(sub { ours($two) == 1 }), 'the second has the path');
$one->nginx->start;
ok(wait_for(sub { $one->nginx->log =~ /is used by another nginx/ }),
   'and the first waits for it');
add($two, 'the second');

for my $i (1 .. 3) {
    ok($two->nginx->reload, "a reload, $i");
    add($two, "a reload, $i");

    # the new worker holds it: a lock that cannot be had

    ok(wait_for(sub { my ($pid) = $two->nginx->workers;
                      grep { (readlink $_ // '') eq "$path/lock" }
                           glob "/proc/$pid/fd/*" }, 10),
       "a reload, $i: the lock goes with it");
}

my ($worker) = $two->nginx->workers;
CORE::kill('KILL', $worker);
ok(wait_for(sub { my ($pid) = $two->nginx->workers;
                  $pid && $pid != $worker
                  && grep { (readlink $_ // '') eq "$path/lock" }
                          glob "/proc/$pid/fd/*" }, 10),
   'killed: the lock goes to the next one');
add($two, 'killed');

is(ours($one), 0, 'the first never had it');

# until the second ends

ok($two->nginx->stop, 'the second goes');
ok(wait_for(sub { ours($one) == 1 }, 10), 'now it has');
add($one, 'the first');

$redis->start;
ok($one->wait_normal(20), 'normal');
is($redis->cmd('GET', 'n'), $n, 'each of them once');

ok($one->nginx->stop, 'stops');
$one->nginx->check_logs;
$two->nginx->check_logs(allow => qr/exited on signal 9/);

done_testing;
