# Files are made of what has stayed the same for a while: a key that keeps
# changing is in the journal, and would only cost a file each time.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


my $INTERVAL = 1;
my @hot;
my @cold = map { "cold$_" } 1 .. 20;


sub filed {
    my ($t) = @_;

    my %filed = map { RF::slurp($_) =~ /"key":"(\w+)"/ ? ($1 => 1) : () }
                $t->files;

    return sort keys %filed;
}


# for so many seconds; the longest time that a key was left alone

sub keep_writing {
    my ($t, $expect, $seconds) = @_;

    my $longest = 0;
    my $end = now() + $seconds;
    my (%last, $n);

    while (now() < $end) {
        for my $key (@hot) {
            $expect->{$key} = 'value ' . ++$n;
            $t->put($key, $expect->{$key});

            my $gap = now() - ($last{$key} // now());
            $longest = $gap if $gap > $longest;
            $last{$key} = now();
        }
    }

    return $longest;
}


for my $durability (qw(disk memory)) {
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => 2, redis => $redis,
                        store => { durability     => $durability,
                                   write_interval => "${INTERVAL}s" });
    my (%expect, @filed, $longest);

    # a machine that stood still is no reason to fail: again

    for my $try (1 .. 3) {
        @hot = map { "hot${try}_$_" } 1 .. 5;

        for my $key (@cold) {
            $expect{$key} = "of $try";
            $t->put($key, $expect{$key});
        }

        $longest = keep_writing($t, \%expect, 6 * $INTERVAL);
        @filed = grep { !/^hot/ || /^hot${try}_/ } filed($t);

        last if $longest < $INTERVAL / 2;
        diag("left alone for $longest s");
    }

    SKIP: {
        skip "this machine stood still for $longest s", 1
            if $longest >= $INTERVAL;

        is("@filed", join(' ', sort @cold),
           "$durability: files are of what does not change");
    }

    ok(wait_for(sub { scalar($t->files) == keys %expect }, 10 * $INTERVAL),
       "$durability: of the others when they do not change any more")
        or diag(join ' ', filed($t));

    $redis->start;
    $t->recovered(\%expect, $durability);
    ok($t->nginx->stop, "$durability: stops");
    $t->nginx->check_logs;
}

done_testing;
