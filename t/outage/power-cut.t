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
my $run = '';


sub violation {
    my ($state, $what) = @_;

    $violations++;
    diag("$run, cut $state->{cut}, $state->{what}: $what") if $shown++ < 20;
}


# The rooms alone: a program does what nginx does with them, one thing after
# the other, at random.

sub rooms {
    my ($seed, $steps, $most, $faults, $end) = @_;

    $run = "rooms $seed";

    my $dir = "$work/rooms-$seed";
    mkdir $dir;

    my $shim = Shim->new(dir => $dir, trace => 1);
    my $path = 'made/app';

    $faults->($shim) if $faults;

    my @promises = said($shim, "work $dir/$path $seed $steps", $faults);
    my $cut = PowerCut->new(records => [$shim->records], seed => $seed,
                            root => (stat $dir)[1],
                            skip => qr{/0/tmp/});
    my %said = map { $_ => {} } qw(ack redis done);
    my $before = $states;

    while ($cut->step) {
        my $until = $cut->until;

        while (@promises && $promises[0][1] < $until) {
            my ($kind, undef, $key, $version) = @{ shift @promises };
            $said{$kind}{$key} = $version;
        }

        for my $state ($cut->states($most)) {
            $states++;
            rooms_check($state,
                        $oracle->ask($cut, $state, "$scratch/state", $path),
                        \%said);
        }

        last if $end && now() > $end;
    }

    if ($cut->at == @{ $cut->{records} }) {
        my @bad = $cut->differs($dir);
        is("@bad[0 .. ($#bad > 9 ? 9 : $#bad)]", '',
           "seed $seed: the model is right");
    }

    File::Path::remove_tree($dir);

    return $states - $before;
}


# what the program says, as [kind, time, key, version, length]

sub said {
    my ($shim, $what, $faults) = @_;

    my %env = (POWER => $what, $shim->env(LD_PRELOAD => $oracle->library));
    local @ENV{keys %env} = values %env;

    open my $out, '-|', RF::nginx_binary() or die "nginx: $!\n";
    my @lines = <$out>;
    close $out;
    is($?, 0, "$what: ends well");

    chomp @lines;

    my @errors = grep { /^#/ } @lines;

    if ($faults) {
        ok(scalar(@errors), 'and its disk has failed ' . @errors . ' times');

    } else {
        is("@errors", '', 'and without an error');
    }

    return map { [split / /] } grep { /^(?:ack|redis|done) / } @lines;
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
    my ($state, $found, $said) = @_;

    violation($state, $_) for @{ $found->{errors} };

    for my $key (keys %{ $said->{ack} }) {
        my $version = $said->{ack}{$key};
        my $redis = $said->{redis}{$key} || 0;
        my $done = $said->{done}{$key} || 0;
        my $is = $found->{keys}{$key};

        if (!$is) {
            violation($state, "$key: version $version is lost")
                if $version > $redis;

        } elsif ($is->{version} < $version || $is->{version} < $redis
                 || $is->{version} <= $done)
        {
            violation($state, "$key: version $is->{version} is back, not "
                              . "$version (redis $redis, done $done)");
        }
    }

    for my $key (keys %{ $found->{keys} }) {
        my $is = $found->{keys}{$key};

        violation($state, "$key: its value is not that of $is->{version}")
            if $is->{values}[0] ne value($key, $is->{version},
                                         length_of($is->{version}));
    }
}


# a disk that fails now and then: what has failed is not trusted later

my @faults = (
    undef,
    sub { $_[0]->fault('sync', err => 'EIO', every => 7) },
    undef,
    sub {
        $_[0]->fault('write', err => 'ENOSPC', every => 11);
        $_[0]->fault('write', partial => 50, every => 3);
    },
    sub { $_[0]->fault('sync_dir', err => 'EIO', every => 4) },
    sub {
        $_[0]->fault('rename', err => 'EIO', every => 5);
        $_[0]->fault('mkdir|unlink', err => 'EIO', every => 13);
        $_[0]->fault('open|open_write', err => 'EMFILE', every => 41);
    },
);

my $until = now() + $long;
my $rounds = 0;

while ($long ? now() < $until : $rounds < ($ENV{POWER_ROUNDS} || 6)) {
    rooms($seed + $rounds, $long ? 120 : 40, $long ? 12 : 3,
          $faults[$rounds % @faults], $long ? $until : 0);
    $rounds++;
}

is($violations, 0, "no violation in $states states of $rounds runs");

done_testing;
