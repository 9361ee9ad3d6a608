# A disk that was full when Redis came back stayed "failed" for ever: nothing
# was left to be written, so nothing found out.  The next outage, with much
# room on disk, was answered 507.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $dir = tmpfs('1m')
    or plan(skip_all => 'a filesystem of its own needs root and mount');

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis,
                    store => { path => "$dir/app", durability => 'disk' });

is($t->put('a', 'value')->{status}, 204, 'a value');

$redis->kill;

open my $fh, '>', "$dir/filler" or die;
for my $size (65536, 4096, 1) {
    1 while (syswrite($fh, 'x' x $size) || 0) == $size;
}
close $fh;

is($t->put('full', 'value')->{status}, 507, 'no room on disk');

$redis->start;
ok($t->wait_normal, 'normal, with the disk still full');
is($t->status->{pending}, 0, 'nothing is pending');

unlink "$dir/filler";
$redis->kill;

ok(wait_for(sub { $t->put('room', 'value')->{status} == 204 }),
   'room in the next outage');
is($t->put("k$_", 'value')->{status}, 204, "put $_") for 1 .. 3;

$redis->start;
ok($t->wait_normal, 'normal');
is($redis->cmd('GET', 'room'), 'value', 'Redis has it');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
