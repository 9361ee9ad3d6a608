# The zone is too small for what is pending, and the journal is slow while Redis
# is back.  What had been replayed waited for its acknowledgement to be on disk
# and could not leave memory yet; the records that were read from files
# meanwhile found no room, and all of them were set aside as larger than the
# zone: acknowledged keys that were missing in Redis.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub set_aside {
    my ($workers) = @_;

    my $name = "$workers workers";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { path => '%%DIR%%/data/app',
                                   zone => '16m' });
    my %expect;

    mkdir $t->nginx->dir . '/data';
    my $shim = Shim->new(dir => $t->nginx->dir . '/data');
    $t->nginx->{shim} = $shim;
    $t->nginx->start;

    # several times what the small zone holds: values that may leave memory are
    # not enough for the others

    for my $i (1 .. 2300) {
        my $value = "value $i " . 'x' x 900;

        $expect{"key$i"} = $value
            if $t->put("key$i", $value)->{status} == 204;
    }

    is(scalar(keys %expect), 2300, "$name: all is written");
    $t->configure(zone => '1m');
    ok($t->nginx->reload, "$name: the zone gets smaller");
    cmp_ok($t->status->{memory}{entries}, '<', 1100,
           "$name: and does not hold all");

    my $slow = $shim->fault('sync', delay => 1000, match => '/journal/');

    $redis->start;
    ok($t->wait_normal(60), "$name: normal");
    cmp_ok($shim->hits($slow), '>', 0, "$name: the journal was slow");
    $shim->clear;

    holds($redis, \%expect, $name);
    is($t->status->{files}{quarantined}, 0, "$name: nothing is set aside");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


set_aside($_) for 1, 4;

done_testing;
