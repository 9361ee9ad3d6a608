package Bench::Budget;

# bench/budget: instructions per request of each path, and with which nginx, C
# library and compiler they were counted.  With the same three a count is held to
# the file's; with another build of the same nginx the ratio to the count of
# "return 200" is; with another version of nginx there is nothing to hold to.

use strict;
use warnings;

use RF;
use Bench;

our $MARGIN = 0.03;

my @builds = qw(nginx libc compiler hiredis);


sub new {
    my ($class, $file) = @_;

    my $self = bless { file => $file, count => {}, order => [], build => {} },
                     $class;

    for (split /\n/, RF::slurp($file)) {
        s/#.*//;
        next unless /\S/;

        my ($name, $value) = /^(\S+)\s+(\S.*?)\s*$/
            or die "$file: \"$_\" is no name and value\n";

        if (grep { $_ eq $name } @builds) {
            $self->{build}{$name} = $value;
            next;
        }

        die "$file: $name: \"$value\" is no count\n" if $value !~ /^\d+$/;
        $self->{count}{$name} = $value;
        push @{ $self->{order} }, $name unless $name eq 'floor';
    }

    $self->{here} = here();

    return $self;
}


# what is installed

sub here {
    my %package = (nginx => 'nginx', libc => 'libc6',
                   hiredis => 'libhiredis0.14');
    my %build;

    for my $name (keys %package) {
        my $version = `dpkg-query -W -f '\${Version}' $package{$name} 2>&1`;
        $build{$name} = $? ? 'no package' : $version;
    }

    my $comment = `readelf -p .comment '@{[ RF::module() ]}' 2>&1`;
    my ($compiler) = $comment =~ /\]\s+(.*\S)/;
    $build{compiler} = $compiler || 'unknown';

    my $nginx = RF::nginx_binary();
    my ($version) = `$nginx -v 2>&1` =~ m{nginx/(\S+)};
    $build{nginx} = $version unless $version
                                    && $build{nginx} =~ /^\Q$version\E\b/;

    return \%build;
}


sub paths { return @{ $_[0]{order} } }


# why it says nothing about this machine, or undef

sub not_here {
    my ($self) = @_;

    return "$self->{file} has no paths" unless $self->paths;

    my ($theirs, $mine) = map { ($_ || '?') =~ /^([\d.]+)/ ? $1 : '?' }
                          $self->{build}{nginx}, $self->{here}{nginx};

    return "this nginx is $mine, the budget is for $theirs"
        if $theirs ne $mine;

    chomp(my $machine = `uname -m`);

    return "this is $machine, the budget is for x86_64"
        if $machine ne 'x86_64';

    my ($compiler) = map { /^(\w+)/ ? $1 : '?' } $self->{build}{compiler};

    return "the module was built by $self->{here}{compiler}, the budget is "
           . "for $self->{build}{compiler}"
        if $self->{here}{compiler} !~ /^\Q$compiler\E/;

    return undef;
}


sub other_builds {
    my ($self) = @_;

    return grep { ($self->{build}{$_} || '') ne $self->{here}{$_} } @builds;
}


sub line {
    my ($self, $name, $count, $spread) = @_;

    my $budget = $self->{count}{$name};
    my $text = sprintf '%-18s %8s instructions, spread %.2f %%', $name,
                       Bench::thousands($count), $spread;

    $text .= sprintf ', budget %s, %+.1f %%', Bench::thousands($budget),
                     100 * ($count / $budget - 1) if $budget;

    return $text;
}


# 1 where a path is over its budget

sub verdict {
    my ($self, %count) = @_;

    my @others = $self->other_builds;
    my $floor = $self->{count}{floor};
    my $scale = 1;
    my @over;
    my @under;

    if (@others) {
        $scale = $count{floor} / $floor;
        printf "another build than the budget's: %s; ratios to \"return 200\" "
               . "are compared\n", join ', ', map {
                   "$_ $self->{here}{$_}, not " . ($self->{build}{$_} || '?')
               } @others;
    }

    for my $name ('floor', $self->paths) {
        my $change = $count{$name} / $self->{count}{$name} / $scale - 1;

        push @over, sprintf '%s: %+.1f %%', $name, 100 * $change
            if $change > $MARGIN;
        push @under, sprintf '%s: %+.1f %%', $name, 100 * $change
            if $change < -$MARGIN;
    }

    print "cheaper than its budget, \"make budget-update\" lowers it: $_\n"
        for @under;
    print "OVER the budget by more than 3 %: $_\n" for @over;
    print "within the budget\n" unless @over;

    return @over ? 1 : 0;
}


# paths that were not counted stay as they are

sub update {
    my ($self, %count) = @_;

    my $old = $self->{count};
    my @names = $self->paths;

    for my $name (sort keys %count) {
        push @names, $name unless $old->{$name} || $name eq 'floor';
    }

    my $text = "# Instructions of nginx per request, 100 bytes: \"make budget\" "
               . "fails where one is\n# exceeded by more than 3 %.  Written by "
               . "\"make budget-update\".\n\n";

    $text .= sprintf "%-18s %s\n", $_, $self->{here}{$_} for @builds;
    $text .= "\n";
    $text .= sprintf "%-18s %d\n", $_, $count{$_} || $old->{$_}
        for 'floor', @names;

    RF::spew($self->{file}, $text);
    print "written to $self->{file}\n";

    return 0;
}


1;
