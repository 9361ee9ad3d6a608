# An exit on a full disk came to no end: that Redis has acknowledged a key was to
# be journaled, the journal took nothing, and the same key was found again and
# again as something to be written to files, of which there was nothing to write.
# The worker kept the path, and a processor.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub full {
    my ($workers, $durability) = @_;

    my $name = "$workers workers, durability $durability";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { path => '%%DIR%%/data/app',
                                   durability => $durability,
                                   write_interval => '50ms' });
    mkdir $t->nginx->dir . '/data';

    my $shim = Shim->new(dir => $t->nginx->dir . '/data');
    $t->nginx->{shim} = $shim;
    $t->nginx->start;

    my %expect = map { ("k$_" => "value $_") } 1 .. 20;

    is(join(' ', grep { $t->put($_, $expect{$_})->{status} != 204 }
                 sort keys %expect), '', "$name: local values");
    ok(wait_for(sub { $t->status->{journal}{behind} == 0 }),
       "$name: in the journal");

    my $full = $shim->fault('open_write|write', err => 'ENOSPC');

    $redis->start;
    ok(wait_for(sub { $redis->cmd('EXISTS', keys %expect) == 20 }),
       "$name: Redis has them");
    ok(wait_for(sub { $shim->hits($full) }), "$name: the disk is full");
    ok($t->nginx->stop, "$name: an exit ends");
    unlike($t->nginx->log, qr/not on disk at exit/,
           "$name: of nothing that is lost");
    $shim->clear;

    # what was acknowledged is not on disk as such, and is told once more

    $t->nginx->start;
    ok($t->wait_normal, "$name: normal");
    holds($redis, \%expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/\[crit\]/);
}


full(1, 'memory');
full(3, 'disk');

done_testing;
