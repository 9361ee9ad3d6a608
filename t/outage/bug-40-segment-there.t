# A worker that is killed inside of open() makes its segment after the next
# nginx has looked which numbers there are: the write that came upon it was 507,
# and so was each durable one of the next second.

use strict;
use warnings;

use lib 't/lib';
use File::Path ();
use RF;
use Outage;


# one that nginx has not seen; nothing is in it

sub segment {
    my ($dir, $number) = @_;

    my $name = sprintf '%s/%016x.log', $dir, $number;

    open my $fh, '>', $name or die "$name: $!\n";
    close $fh;
    chmod 0644, $name;

    return $name;
}


for my $durability (qw(disk memory)) {
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => 1, redis => $redis,
                        store => { durability     => $durability,
                                   write_interval => '1s' });
    my $dir = $t->nginx->{dir} . '/app/0/journal';
    my %expect;

    File::Path::make_path($dir, { mode => 0700 });
    chown((stat "$dir/../..")[4, 5], "$dir/..", $dir);

    my @there = map { segment($dir, $_) } 1 .. 3;

    for my $n (1 .. 5) {
        $expect{"key$n"} = "value $n";
        is($t->put("key$n", $expect{"key$n"})->{status}, 204,
           "$durability: write $n");
    }

    ok(wait_for(sub { my $on_disk = $t->on_disk;
                      !grep { ($on_disk->{$_}{data} // '') ne $expect{$_} }
                       keys %expect }, 10), "$durability: all is on disk");
    is($t->status->{files}{errors}, 0, "$durability: no errors");
    is(join(' ', map { -s $_ } @there), '0 0 0',
       "$durability: those that were there are left alone");

    # at the next start, too, and once more at an exit

    ok($t->nginx->stop, "$durability: stops");
    $t->nginx->start;

    my ($last) = sort { $b cmp $a } glob "$dir/*.log";
    my ($number) = $last =~ /(\w+)\.log$/;

    my $next = segment($dir, hex($number) + 1);

    $expect{last} = 'one';
    is($t->put('last', 'one')->{status}, 204, "$durability: another write");
    ok($t->nginx->stop, "$durability: stops again");
    is(($t->on_disk->{last} // {})->{data}, 'one', "$durability: on disk");
    is(-s $next, 0, "$durability: and not where one was");

    $t->nginx->start;
    $redis->start;
    $t->recovered(\%expect, $durability);
    ok($t->nginx->stop, "$durability: stops at the end");
    $t->nginx->check_logs;
}

done_testing;
