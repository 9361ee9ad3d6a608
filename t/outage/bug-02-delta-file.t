# A counter was sent to Redis while its file still held an older version.  An
# nginx that was killed then replayed the file, under an id that Redis had no
# marker of: 100 was added twice.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis,
                    store => { write_interval => '3s', recovery_rate => 5 });

is($t->run('INCRBY', 'n', 5)->{body}, 5, 'a counter');

$redis->pause;
$t->put('x', 'y');
ok($t->wait_fallback, 'fallback');
is($t->run('INCRBY', 'n', 100)->{status}, 200, 'is changed');
ok(wait_for(sub { $t->files == 2 }, 10), 'and has a file');

# later than its file, and before other keys, so that recovery goes on

is($t->run('INCRBY', 'n', 1)->{status}, 200, 'is changed again');
$t->put("z$_", 'value') for 1 .. 40;
$redis->resume;

ok(wait_for(sub { $redis->cmd('GET', 'n') == 106 }, 10), 'is replayed');
is($t->mode, 'recovering', 'others are not yet');

$t->nginx->kill;
$t->configure(recovery_rate => undef);
$t->nginx->start;

ok($t->wait_normal, 'normal after a crash');
is($redis->cmd('GET', 'n'), 106, 'it was replayed once');
is($redis->cmd('GET', 'x'), 'y', 'another that had a file is there');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
