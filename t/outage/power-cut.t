# A power cut at any moment: what was acknowledged is found, whole, and nothing
# older than that.  POWER_CUT=seconds (make power-cut) goes on for so long, with
# other seeds; POWER_SEED=n begins with that.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use PowerCut;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;

my $long = $ENV{POWER_CUT} || 0;
my $seed = $ENV{POWER_SEED} || 1;
my $work = RF::tempdir('power');
my $scratch = -d '/dev/shm' && -w '/dev/shm'
              ? File::Temp::tempdir('rf-power-XXXXXXXX', DIR => '/dev/shm',
                                    CLEANUP => 1) : $work;
my $oracle = PowerCut::Oracle->new;
my ($states, $violations, $shown) = (0, 0, 0);


sub violation {
    my ($state, $what) = @_;

    $violations++;
    diag("cut $state->{cut}, $state->{what}: $what") if $shown++ < 20;
}


# The rooms alone: a program does what nginx does with them, one thing after
# the other, at random.

sub rooms {
    my ($seed, $steps, $most, $end) = @_;

    my $dir = "$work/rooms-$seed";
    mkdir $dir;
    mkdir "$dir/app";

    my $shim = Shim->new(dir => "$dir/app", trace => 1);
    my @promises = said($shim, "work $dir/app $seed $steps");
    my $cut = PowerCut->new(records => [$shim->records], seed => $seed,
                            root => (stat "$dir/app")[1],
                            skip => qr{^0/tmp/});
    my (%need, %redis);
    my $before = $states;

    while ($cut->step) {
        my $until = $cut->until;

        while (@promises && $promises[0][1] < $until) {
            my ($kind, undef, $key, $version, $len) = @{ shift @promises };
            ($kind eq 'ack' ? \%need : \%redis)->{$key} = [$version, $len];
        }

        for my $state ($cut->states($most)) {
            $states++;
            rooms_check($state, $oracle->ask($cut, $state, "$scratch/state"),
                        \%need, \%redis);
        }

        last if $end && now() > $end;
    }

    if ($cut->at == @{ $cut->{records} }) {
        my @bad = $cut->differs("$dir/app");
        is("@bad[0 .. ($#bad > 9 ? 9 : $#bad)]", '',
           "seed $seed: the model is right");
    }

    File::Path::remove_tree($dir);

    return $states - $before;
}


# what the program says, as [kind, time, key, version, length]

sub said {
    my ($shim, $what) = @_;

    my %env = (POWER => $what, $shim->env(LD_PRELOAD => $oracle->library));
    local @ENV{keys %env} = values %env;

    open my $out, '-|', RF::nginx_binary() or die "nginx: $!\n";
    my @lines = <$out>;
    close $out;
    is($?, 0, "$what: ends well");

    chomp @lines;

    return grep { $_->[0] ne 'end' } map { [split / /] } @lines;
}


sub value {
    my ($key, $version, $len) = @_;

    return "$key:$version:" . 'x' x $len;
}


sub length_of {
    my ($version) = @_;

    return $version % 11 == 0 ? $version * 7919 % 9000 : $version * 7919 % 300;
}


sub rooms_check {
    my ($state, $found, $need, $redis) = @_;

    violation($state, $_) for @{ $found->{errors} };

    for my $key (keys %$need) {
        my $version = $need->{$key}[0];
        my $done = $redis->{$key} ? $redis->{$key}[0] : 0;
        my $is = $found->{keys}{$key};

        if (!$is) {
            violation($state, "$key: version $version is lost")
                if $version > $done;

        } elsif ($is->{version} < $version || $is->{version} < $done) {
            violation($state, "$key: version $is->{version} is back, "
                              . "not $version");
        }
    }

    for my $key (keys %{ $found->{keys} }) {
        my $is = $found->{keys}{$key};

        violation($state, "$key: its value is not that of $is->{version}")
            if $is->{values}[0] ne value($key, $is->{version},
                                         length_of($is->{version}));
    }
}


my $until = now() + ($long ? $long : 4 * $RF::SLOW);
my $rounds = 0;

while ($long ? now() < $until : $rounds < 3) {
    rooms($seed + $rounds++, $long ? 120 : 60, $long ? undef : 6,
          $long ? $until : 0);
}

is($violations, 0, "no violation in $states states of $rounds runs");

done_testing;
