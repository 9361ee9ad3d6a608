# A reload to a smaller zone in an outage, at the moment at which the disk is
# full: what did not fit into the new zone, and could not be written to files, was
# in the journal, which nobody read any more; the end of the recovery made
# garbage of it.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub smaller {
    my ($workers, $durability) = @_;

    my $name = "$workers workers, durability $durability";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { path => '%%DIR%%/data/app', zone => '32m',
                                   durability => $durability,
                                   write_interval => '20ms' });
    mkdir $t->nginx->dir . '/data';

    my $shim = Shim->new(dir => $t->nginx->dir . '/data');
    $t->nginx->{shim} = $shim;
    $t->nginx->start;

    my %expect;

    for my $i (1 .. 100) {
        $expect{"large$i"} = "$i" . 'x' x 40000;
        my $status = $t->put("large$i", $expect{"large$i"})->{status};
        fail("$name: large$i: $status") if $status != 204;
    }

    $t->run('INCRBY', 'n', 1) for 1 .. 3;
    $expect{n} = 3;

    ok(wait_for(sub { $t->status->{journal}{behind} == 0 }),
       "$name: in the journal");

    # no file is made

    my $full = $shim->fault('open_write|write', err => 'ENOSPC',
                            match => '/0/tmp/');

    $t->configure(zone => '1m');
    ok($t->nginx->reload, "$name: reloads");
    ok(wait_for(sub { $t->nginx->log =~ /could not write pending records/ }),
       "$name: the disk is full");
    $shim->clear;

    ok(wait_for(sub { !grep { $t->get($_)->{body} ne $expect{$_} }
                      sort keys %expect }, slow(20)), "$name: all is served");
    $redis->start;
    ok($t->wait_normal(slow(30)), "$name: normal");
    holds($redis, \%expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/could not write pending records/);
}


smaller(1, 'disk');
smaller(2, 'memory');

done_testing;
