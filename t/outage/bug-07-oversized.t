# A record larger than the zone, which a reload had made smaller, kept the
# store in recovery for ever, with a log line a second.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis, store => { zone => '8m' });

$redis->kill;
is($t->put('big', 'x' x 1_500_000)->{status}, 204, 'a large value');
is($t->put('small', 'value')->{status}, 204, 'a small one');

ok($t->configure(zone => '1m')->nginx->reload, 'a smaller zone');
is($t->get('small')->{body}, 'value', 'the small one is read');
is($t->get('big')->{status}, 507, 'there is no room for the large one');

$redis->start;
ok($t->wait_normal, 'normal') or diag(explain($t->status));
is($redis->cmd('GET', 'small'), 'value', 'Redis has the small one');

ok(wait_for(sub { $t->status->{files}{quarantined} == 1 }),
   'the large one is in quarantine');
my @files = grep { -s $_ > 1_500_000 }
            glob $t->nginx->dir . '/app/quarantine/*';
is(scalar @files, 1, 'whole');
ok(wait_for(sub { !$t->files }, 20), 'the files are gone');

my $lines = () = $t->nginx->log =~ /\[crit\]/g;
is($lines, 1, 'one line says so');

# the next outage has nothing to do with it

$redis->kill;
is($t->put('later', 'value')->{status}, 204, 'another outage');
$redis->start;
ok($t->wait_normal, 'normal');
is($redis->cmd('GET', 'later'), 'value', 'replayed');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
