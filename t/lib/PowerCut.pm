package PowerCut;

# What a power cut may leave: from a trace (Shim.pm) the directories that a
# start might find if the host had died after any of its operations.
#
#     my $cut = PowerCut->new(records => [$shim->records], root => $inode,
#                             seed => 1);
#
#     while ($cut->step) {                    # one more operation is done
#         for my $state ($cut->states(8)) {   # at most so many, all without
#             $cut->make($state, $dir);       # only what differs is written
#             ...
#         }
#     }
#
# The model is that of ALICE and CrashMonkey, stricter than most file systems:
#
# - A file's content is durable after fsync() of it, or syncfs(); a name (made,
#   renamed, removed) after fsync() of its directory, or syncfs(); if that began
#   after the operation had ended.  A new directory's name is its parent's.
# - Of what is not, there may be anything: nothing, all, names without content,
#   content without names, of a file's content a half, or blocks of zeros;
#   the first so many names, or some.  A rename takes the old name away only
#   where it has given the new one.
# - After an fsync() that failed nothing that it was for is durable by a later
#   one that does not: the kernel has dropped it (or not).
#
# A state is { cut, what, files => { path => content }, dirs => { path => 1 },
# digest }.

use strict;
use warnings;

use Digest::MD5 ();
use File::Path ();
use List::Util qw(max min shuffle);

my $BLOCK = 4096;


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        records => $opt{records},
        at      => -1,
        next    => 1,
        objects => [],
        names   => [],          # not durable: [end, dir, name, object or
                                # undef, the half that has to be first]
        now     => {},          # inode => object
        tmp     => 0,
        seed    => $opt{seed} || 1,
        made    => {},
        skip    => $opt{skip},  # paths that are no matter
    }, $class;

    $self->{root} = $self->object($opt{root}, 1);

    return $self;
}


# a generator of our own, so that a seed is the same everywhere

sub random {
    my ($self, $n) = @_;

    $self->{seed} = ($self->{seed} * 1103515245 + 12345) & 0x7fffffff;

    return int($self->{seed} / 65536) % $n;
}


sub object {
    my ($self, $ino, $is_dir) = @_;

    my $object = { id => scalar @{ $self->{objects} }, synced => '',
                   pending => [], $is_dir ? (names => {}, live => {}) : () };

    push @{ $self->{objects} }, $object;
    $self->{now}{$ino} = $object;

    return $object;
}


sub at  { return $_[0]{at} }
sub record { return $_[0]{records}[$_[0]{at}] }


# promises before this time hold in the states of this cut

sub until {
    my ($self) = @_;

    my $next = $self->{records}[$self->{at} + 1];

    return $next ? $next->{ns} : ~0;
}


sub name {
    my ($self, $r, $dir, $name, $object, $first) = @_;

    my $in = $self->{now}{$dir} or return;
    my $half = [$r->{end}, $in, $name, $object, $first];

    push @{ $self->{names} }, $half;

    if ($object) {
        $in->{live}{$name} = $object;

    } else {
        delete $in->{live}{$name};
    }

    return $half;
}


sub step {
    my ($self) = @_;

    my $r = $self->{records}[++$self->{at}] or return 0;
    my $op = $r->{op};

    if ($op eq 'create' || $op eq 'mkdir') {
        $self->name($r, $r->{dir}, $r->{name},
                    $self->object($r->{ino}, $op eq 'mkdir'));

    } elsif ($op eq 'write') {
        my $file = $self->{now}{$r->{ino}} || return 1;
        push @{ $file->{pending} }, [$r->{end}, $r->{offset}, $r->{data}];

    } elsif ($op eq 'truncate') {
        my $file = $self->{now}{$r->{ino}} || return 1;
        push @{ $file->{pending} }, [$r->{end}, $r->{offset}, undef];

    } elsif ($op eq 'rename') {
        my $object = $self->{now}{$r->{ino}} || return 1;
        my $half = $self->name($r, $r->{dir2}, $r->{name2}, $object);
        $self->name($r, $r->{dir}, $r->{name}, undef, $half);

    } elsif ($op eq 'link') {
        $self->name($r, $r->{dir}, $r->{name}, $self->{now}{$r->{ino}});

    } elsif ($op eq 'unlink' || $op eq 'rmdir') {
        $self->name($r, $r->{dir}, $r->{name}, undef);

    } elsif ($op eq 'fsync') {
        my $object = $self->{now}{$r->{ino}} || return 1;

        if ($object->{names}) {
            $self->names_durable($r->{begin}, $object);

        } else {
            data_durable($r->{begin}, $object);
        }

    } elsif ($op eq 'syncfs') {
        $self->names_durable($r->{begin});
        data_durable($r->{begin}, $_) for $self->unsynced;

    } elsif ($op eq 'fsync_failed' || $op eq 'syncfs_failed') {
        my $object = $self->{now}{$r->{ino}};

        for my $file ($op eq 'fsync_failed' ? grep { $_ } $object
                                            : $self->unsynced)
        {
            for my $change (@{ $file->{pending} }) {
                $change->[3] = 1 if $change->[0] < $r->{begin};
            }
        }
    }

    $self->forget_temp;

    return 1;
}


sub names_durable {
    my ($self, $begin, $dir) = @_;

    my @rest;

    for my $half (@{ $self->{names} }) {
        my ($end, $in, $name, $object) = @$half;

        if ($end >= $begin || ($dir && $in != $dir)) {
            push @rest, $half;
            next;
        }

        if ($object) {
            $in->{names}{$name} = $object;

        } else {
            delete $in->{names}{$name};
        }

        $half->[5] = 1;
    }

    $self->{names} = \@rest;
}


sub data_durable {
    my ($begin, $file) = @_;

    my @rest;

    for my $change (@{ $file->{pending} }) {

        if ($change->[0] >= $begin || $change->[3]) {
            push @rest, $change;
            next;
        }

        apply(\$file->{synced}, $change);
        delete $file->{digest};
    }

    $file->{pending} = \@rest;
}


sub apply {
    my ($content, $change) = @_;

    my (undef, $offset, $data) = @$change;
    my $len = length $$content;

    $$content .= "\0" x ($offset - $len) if $offset > $len;

    if (!defined $data) {
        $$content = substr $$content, 0, $offset;

    } else {
        substr($$content, $offset, min(length $data,
                                       length($$content) - $offset)) = $data;
    }
}


sub unsynced {
    my ($self) = @_;

    my %seen;

    return grep { !$_->{names} && @{ $_->{pending} } && !$seen{$_->{id}}++ }
                @{ $self->{objects} };
}


# tmp/ is never synced, and what came and went there is no matter

sub forget_temp {
    my ($self) = @_;

    my $names = $self->{names};

    return if @$names < 150;

    my (%made, %gone);

    for my $i (0 .. $#$names - 50) {
        my (undef, $in, $name, $object, undef, $durable) = @{ $names->[$i] };
        my $id = "$in->{id}/$name";

        next if $in->{names}{$name};

        if ($object) {
            $made{$id} = $i;

        } elsif (defined $made{$id}) {
            @gone{delete $made{$id}, $i} = (1, 1);
        }
    }

    my $old = $names->[$#$names - 50][0];

    $self->{names} = [ map { $names->[$_] } grep { !$gone{$_} } 0 .. $#$names ];
    @{ $self->{objects} } = grep {
        $_->{names} || !@{ $_->{pending} } || $_->{pending}[-1][0] > $old
    } @{ $self->{objects} } if %gone;
}


# The states of this cut, without those of an earlier one: "most" of them,
# chosen at random, beside the two extremes.

sub states {
    my ($self, $most) = @_;

    my @names = @{ $self->{names} };
    my @files = $self->unsynced;
    my @all = (1) x @names;
    my @kinds = qw(drop half zero);
    my @plans = ([none => [], {}],
                 [all => \@all, { map { $_->{id} => 'all' } @files }]);
    my @more;

    for my $file (@files) {
        for my $kind (@kinds, 'all') {
            for my $meta (\@all, []) {
                push @more, ["$kind $file->{id}" . (@$meta ? ' names' : ''),
                             $meta,
                             { (map { $_->{id} => 'all' } @files),
                               $file->{id} => $kind }];
                push @more, ["only $kind $file->{id}"
                             . (@$meta ? ' names' : ''),
                             $meta, { $file->{id} => $kind }];
            }
        }
    }

    push @more, ['names without data', \@all, {}],
                ['data without names', [],
                 { map { $_->{id} => 'all' } @files }];

    for my $n (1 .. $#names) {
        my $prefix = [ map { $_ < $n } 0 .. $#names ];
        push @more, ["the first $n names", $prefix, {}],
                    ["the first $n names, data", $prefix,
                     { map { $_->{id} => 'all' } @files }];
    }

    for my $i (1 .. (@names + @files > 1 ? 6 : 0)) {
        push @more, ["random $i", [ map { $self->random(2) } @names ],
                     { map { $_->{id} => ('all', @kinds)[$self->random(4)] }
                       @files }];
    }

    # the generator is ours, so shuffle by hand

    if (defined $most && @more > $most) {
        for my $i (0 .. $most - 1) {
            my $k = $i + $self->random(@more - $i);
            @more[$i, $k] = @more[$k, $i];
        }
        $#more = $most - 1;
    }

    my @states;

    for my $plan (@plans, @more) {
        my $state = $self->state(@$plan);
        push @states, $state unless $self->{seen}{"$self->{at} $state->{digest}"}++;
    }

    delete $self->{seen};

    return @states;
}


sub state {
    my ($self, $what, $names, $data) = @_;

    my %changed;                # directory => { name => object or undef }

    for my $i (0 .. $#{ $self->{names} }) {
        my (undef, $in, $name, $object, $first) = @{ $self->{names}[$i] };

        next unless $names->[$i];

        if ($first && !$first->[5]) {
            my ($at) = grep { $self->{names}[$_] == $first } 0 .. $i;
            next unless defined $at && $names->[$at];
        }

        $changed{$in->{id}}{$name} = $object;
    }

    my $state = { cut => $self->{at}, what => $what, files => {}, dirs => {} };
    my @digests;
    my @todo = ([$self->{root}, '']);

    while (my $next = shift @todo) {
        my ($dir, $path) = @$next;
        my $names = $dir->{names};

        if (my $more = $changed{$dir->{id}}) {
            $names = { %$names, %$more };
        }

        for my $name (sort keys %$names) {
            my $object = $names->{$name} or next;
            my $at = $path eq '' ? $name : "$path/$name";

            next if defined $self->{skip} && $at =~ $self->{skip};

            if ($object->{names}) {
                $state->{dirs}{$at} = 1;
                push @todo, [$object, $at];
                next;
            }

            my ($content, $digest) = content($object, $data->{$object->{id}});

            $state->{files}{$at} = $content;
            $state->{digests}{$at} = $digest;
            push @digests, "$at $digest";
        }
    }

    $state->{digest} = Digest::MD5::md5_hex(join "\n", sort(@digests),
                                            sort keys %{ $state->{dirs} });

    return $state;
}


sub content {
    my ($file, $kind) = @_;

    if (!$kind || $kind eq 'drop' || !@{ $file->{pending} }) {
        $file->{digest} ||= Digest::MD5::md5_hex($file->{synced});
        return ($file->{synced}, $file->{digest});
    }

    my $all = $file->{synced};
    apply(\$all, $_) for @{ $file->{pending} };

    my $from = min(map { $_->[1] } @{ $file->{pending} });
    my $content = $all;

    if ($kind eq 'half') {
        $content = substr $all, 0, $from + int((length($all) - $from) / 2)
            if length $all > $from;

    } elsif ($kind eq 'zero' && length $all > $from) {

        # the first block, or all of the only one

        my $end = (int($from / $BLOCK) + 1) * $BLOCK;
        $end = length $all if $end > length $all;
        substr($content, $from, $end - $from) = "\0" x ($end - $from);
    }

    return ($content, Digest::MD5::md5_hex($content));
}


# the directory becomes that state; only what differs from what was made there
# before is written, unless that has been spoiled

sub make {
    my ($self, $state, $dir) = @_;

    my $made = $self->{made}{$dir};

    if (!$made) {
        File::Path::remove_tree($dir);
        mkdir $dir or die "$dir: $!\n";
        $made = $self->{made}{$dir} = {};
    }

    for my $path (keys %$made) {
        next if exists $state->{files}{$path};
        unlink "$dir/$path";
        delete $made->{$path};
    }

    my %have = map { $_ => 1 } grep { -d "$dir/$_" } keys %{ $state->{dirs} };

    for my $path (sort keys %{ $state->{dirs} }) {
        mkdir "$dir/$path" unless $have{$path};
    }

    for my $path (keys %{ $state->{files} }) {
        my $digest = $state->{digests}{$path};
        next if defined $made->{$path} && $made->{$path} eq $digest;

        open my $fh, '>:raw', "$dir/$path" or die "$dir/$path: $!\n";
        print $fh $state->{files}{$path};
        close $fh;
        $made->{$path} = $digest;
    }

    return $dir;
}


sub spoiled { delete $_[0]{made}{$_[1]} }


# whether the model, with all of it done, is what the directory is: paths that
# differ

sub differs {
    my ($self, $dir) = @_;

    my $skip = delete $self->{skip};
    my $state = $self->state('all', [ (1) x @{ $self->{names} } ],
                             { map { $_->{id} => 'all' } $self->unsynced });
    $self->{skip} = $skip;

    my %files = %{ $state->{files} };
    my @bad;
    my @todo = ('');

    while (defined(my $at = shift @todo)) {
        opendir my $dh, "$dir/$at" or next;

        for my $name (grep { !/^\.\.?$/ } readdir $dh) {
            my $path = $at eq '' ? $name : "$at/$name";

            if (-d "$dir/$path") {
                push @todo, $path;
                push @bad, "$path/ is not in the model"
                    unless delete $state->{dirs}{$path};
                next;
            }

            my $content = delete $files{$path};
            open my $fh, '<:raw', "$dir/$path" or next;
            local $/;
            my $is = <$fh>;

            push @bad, "$path differs"
                if !defined $content || $content ne (defined $is ? $is : '');
        }
    }

    return (@bad, map { "$_ is not there" } keys %files,
                      keys %{ $state->{dirs} });
}


# What a start finds in a state, by the rooms themselves (power.c):
# { keys => { key => { version, pending, type, values, changes } }, errors }.

package PowerCut::Oracle;

use strict;
use warnings;
use IPC::Open2 ();

my $cached = 0;


sub build {
    my $flavour = $ENV{RF_FLAVOUR} || $ENV{BUILD} || 'release';
    my $src = "$RF::ROOT/build/$flavour/nginx-src";
    my $dir = "$RF::ROOT/ngx_http_redis_fallback_module";
    my @rooms = map { "$dir/$_" }
                map { "ngx_rf_$_.c" }
                qw(file file_parts file_prepare file_walk journal journal_crc
                   journal_read codec codec_decode codec_encode
                   codec_text);
    my @sources = ("$RF::ROOT/t/lib/shim/power.c", @rooms);

    die "no $src: run make\n" unless -d "$src/objs";

    return Shim::build('the oracle', "$RF::ROOT/build/power.so",
        Shim::compiler() . ' -O2 -g -Wall -Wextra -Wno-unused-parameter -fPIC'
        . ' -shared ' . join(' ', map { "-I'$_'" } "$src/src/core",
                             "$src/src/event", "$src/src/event/modules",
                             "$src/src/os/unix", "$src/objs", $dir)
        . ' ' . join(' ', map { "'$_'" } @sources) . ' -lcjson -lm',
        @sources, glob "$dir/*.h");
}


sub new {
    my ($class) = @_;

    my $library = build();
    my $self = bless { results => {}, asked => 0, library => $library },
                     $class;

    local $ENV{LD_PRELOAD} = $library;
    local $ENV{POWER} = 'oracle';
    local $ENV{ASAN_OPTIONS};

    $self->{pid} = IPC::Open2::open2($self->{out}, $self->{in},
                                     RF::nginx_binary());
    $self->{in}->autoflush(1);

    return $self;
}


sub library { return $_[0]{library} }


sub DESTROY {
    my ($self) = @_;

    local $?;
    close $self->{in};
    waitpid $self->{pid}, 0;
}


sub ask {
    my ($self, $cut, $state, $dir, $path) = @_;

    my $result = $self->{results}{$state->{digest}};
    return $result if $result;

    $cut->make($state, $dir);
    $self->{asked}++;

    print { $self->{in} } defined $path ? "$dir/$path\n" : "$dir\n";
    $result = { keys => {}, errors => [] };

    my $spoiled = 0;

    for ( ;; ) {
        my $line = readline $self->{out};
        die "the oracle has died\n" unless defined $line;
        chomp $line;
        last if $line eq '.';

        my ($kind, @f) = split /\t/, $line, -1;

        if ($kind eq 'K') {
            my ($key, $version, $pending, $type, @values) = @f;
            my @changes;

            while (@values && grep { $_ eq '|' } @values) {
                my ($at) = grep { $values[$_] eq '|' } reverse 0 .. $#values;
                unshift @changes, [ splice @values, $at ];
                shift @{ $changes[0] };
            }

            s/\\x([0-9a-f]{2})/chr hex $1/ge for $key, @values;

            $result->{keys}{$key} = { version => $version, pending => $pending,
                                      type => $type, values => \@values,
                                      changes => \@changes };

        } elsif ($kind eq 'E') {
            push @{ $result->{errors} }, $f[0];
            $spoiled = 1;

        } elsif ($kind eq 'G') {
            $spoiled = 1;

        } elsif ($kind eq 'M') {
            $result->{mark} = $f[0];

        } elsif ($kind eq 'J') {
            @$result{qw(base seq next torn)} = @f;
        }
    }

    $cut->spoiled($dir) if $spoiled;

    return $self->{results}{$state->{digest}} = $result;
}


1;
