# Writes with durability disk that had waited for Redis in vain had no time
# left for the disk: those that had to wait for another's batch were answered
# 507, with all well.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $hole = RF::BlackHole->new;
my $redis = RF::Redis->new(start => 0, port => $hole->port);
my $t = Outage->new(redis => $redis,
                    store => { durability => 'disk' });

my @responses = $t->nginx->parallel(10,
    map { [ PUT => "/kv/k$_", body => 'value' ] } 1 .. 40);

is(join(' ', map { $_->{status} } grep { $_->{status} != 204 } @responses),
   '', 'all are acknowledged');
is(scalar(keys %{ $t->on_disk }), 40, 'and on disk');
is(join(' ', grep { $t->get("k$_")->{body} ne 'value' } 1 .. 40), '',
   'and read');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
