package Shim;

# Faults, a trace and a clock for nginx, by a library that is preloaded
# (t/lib/shim/shim.c, built on demand).  All of it may be changed while nginx
# runs, and is about files below one directory.
#
#     my $why = Shim->missing;                # undef, or why there is none
#     plan skip_all => $why if $why;
#
#     my $t = Outage->new(start => 0, ...);
#     my $shim = Shim->new(dir => $t->nginx->dir . '/app', trace => 1);
#     $t->nginx->{shim} = $shim;
#     $t->nginx->start;
#
#     my $id = $shim->fault('sync', err => 'EIO', every => 3);
#     $shim->fault('write', err => 'ENOSPC', match => '/journal/', times => 1);
#     $shim->fault('sync', delay => 2000);    # ms
#     $shim->fault('write', partial => 7);    # at most 7 bytes a call
#     $shim->hits($id);
#     $shim->clear($id);                      # or all
#
#     $shim->clock(3600);                     # an hour ahead
#     $shim->trace(0);                        # from now on nothing is recorded
#     $shim->hold(1);                         # what changes something waits:
#                                             # a kill meanwhile takes nothing
#                                             # that is not in the trace
#     my @records = $shim->records;           # for PowerCut.pm
#
# Calls: write, sync (any; sync_file, sync_dir, sync_fs), open_write, open,
# rename, unlink, mkdir, link, truncate, read, close, lock; several by "|".

use strict;
use warnings;

use Cwd ();
use Errno ();
use Fcntl qw(:seek :flock);
use File::Basename ();
use File::Temp ();
use Time::HiRes ();

my $ROOT = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');

# as in shim.h

my $MAGIC = 0x52465332;
my $SIZE = 16384;
my $AT_TRACE = 4;
my $AT_CLOCK = 8;
my $AT_SEQ = 16;
my $AT_END = 24;
my $AT_READY = 32;
my $AT_HOLD = 36;
my $AT_DIR = 40;
my $AT_FILE = 1064;
my $AT_FAULTS = 2088;
my $FAULT = 128;
my $FAULTS = 16;

my %CALLS = (
    write     => 0x0001, sync   => 0x0002, open_write => 0x0004,
    open      => 0x0008, rename => 0x0010, unlink     => 0x0020,
    mkdir     => 0x0040, link   => 0x0080, truncate   => 0x0100,
    read      => 0x0200, close  => 0x0400, lock       => 0x0800,
    sync_file => 0x1000, sync_dir => 0x2000, sync_fs  => 0x4000,
);

our @OPS = qw(none create write rename unlink mkdir rmdir link truncate fsync
              syncfs fsync_failed syncfs_failed);

my $HEAD = 'L L Q Q Q L L Q Q Q q L L L L';
my $HEAD_LEN = 88;
my @HEAD = qw(len op begin end ns pid tid ino dir dir2 offset is_dir nname
              nname2 ndata);


sub compiler { return $ENV{CC} || 'gcc' }


# builds what is not built yet, one at a time; its file

sub build {
    my ($name, $out, $command, @sources) = @_;

    mkdir "$ROOT/build";
    open my $lock, '>', "$ROOT/build/shim.lock" or die "shim.lock: $!\n";
    flock $lock, LOCK_EX;

    my $built = (stat $out)[9];

    if (!defined $built || grep { ((stat $_)[9] || 0) >= $built } @sources) {
        my $said = `$command -o '$out.new' 2>&1`;
        die "could not build $name:\n$said" if $?;
        rename "$out.new", $out or die "$out: $!\n";
    }

    return $out;
}


sub library {
    my $dir = "$ROOT/t/lib/shim";

    return build('the shim', "$ROOT/build/shim.so",
                 compiler() . " -O2 -g -Wall -Wextra -Wno-nonnull-compare -fPIC"
                 . " -shared -fvisibility=hidden '$dir/shim.c' -lpthread",
                 "$dir/shim.c", "$dir/shim.h");
}


sub missing {
    return 'only on Linux' if $^O ne 'linux';
    return 'for processors with 64 bits'
        if length pack('J', 0) != 8 || (unpack 'C', pack 'L', 1) != 1;

    my $cc = compiler();
    return "needs a compiler, there is no $cc"
        if system("$cc --version > /dev/null 2>&1") != 0;

    return undef;
}


sub new {
    my ($class, %opt) = @_;

    my $dir = $opt{dir};
    my $self = bless { library => library() }, $class;

    # the directory may have to be made yet, by nginx

    my ($parent, $name) = $dir =~ m{^(.*)/([^/]+)$};
    $dir = Cwd::abs_path($parent) . "/$name";

    $self->{work} = File::Temp::tempdir('rf-shim-XXXXXXXX', TMPDIR => 1,
                                        CLEANUP => 1);
    chmod 0755, $self->{work};
    $self->{dir} = $dir;
    $self->{control} = "$self->{work}/control";
    $self->{file} = $opt{trace} ? "$self->{work}/trace" : '';

    if ($self->{file}) {
        open my $fh, '>', $self->{file} or die "trace: $!\n";
    }

    open $self->{fh}, '+>:raw', $self->{control} or die "control: $!\n";
    truncate $self->{fh}, $SIZE;
    chmod 0666, $self->{control};

    $self->put($AT_DIR, pack 'Z1024', $dir);
    $self->put($AT_FILE, pack 'Z1024', $self->{file});
    $self->put($AT_TRACE, pack 'L', $opt{trace} ? 1 : 0);
    $self->put(0, pack 'L', $MAGIC);

    return $self;
}


# for a process that is started: on top of what is preloaded anyway, behind it,
# as sanitizers want to be first

sub env {
    my ($self, %env) = @_;

    my $preload = $env{LD_PRELOAD};

    return (LD_PRELOAD => defined $preload && $preload ne ''
                          ? "$preload:$self->{library}" : $self->{library},
            RF_SHIM    => $self->{control});
}


sub put {
    my ($self, $offset, $data) = @_;

    sysseek $self->{fh}, $offset, SEEK_SET;
    syswrite($self->{fh}, $data) == length $data or die "control: $!\n";
}


sub pick {
    my ($self, $offset, $format, $len) = @_;

    sysseek $self->{fh}, $offset, SEEK_SET;
    sysread($self->{fh}, my $data, $len);

    return unpack $format, $data;
}


sub errno {
    my ($name) = @_;

    no strict 'refs';
    return &{"Errno::$name"}();
}


sub fault {
    my ($self, $calls, %opt) = @_;

    my $bits = 0;

    for my $name (split /\|/, $calls) {
        $bits |= $CALLS{$name} || die "no calls named $name\n";
    }

    for my $id (0 .. $FAULTS - 1) {
        my $at = $AT_FAULTS + $id * $FAULT;
        next if $self->{used}{$id};

        $self->{used}{$id} = 1;

        $self->put($at + 4, pack 'l L L L L L L Z96',
            $opt{err} ? errno($opt{err}) : 0, $opt{every} || 0,
            $opt{times} || 0, $opt{delay} || 0, $opt{partial} || 0, 0, 0,
            defined $opt{match} ? $opt{match} : '');
        $self->put($at, pack 'L', $bits);

        return $id;
    }

    die "too many faults\n";
}


sub hits {
    my ($self, $id) = @_;

    return $self->pick($AT_FAULTS + $id * $FAULT + 28, 'L', 4);
}


sub clear {
    my ($self, @ids) = @_;

    for my $id (@ids ? @ids : keys %{ $self->{used} }) {
        $self->put($AT_FAULTS + $id * $FAULT, pack 'L', 0);
        delete $self->{used}{$id};
    }
}


sub clock {
    my ($self, $seconds) = @_;

    $self->put($AT_CLOCK, pack 'q', $seconds);
}


sub trace {
    my ($self, $on) = @_;

    $self->put($AT_TRACE, pack 'L', $on ? 1 : 0);
}


sub hold {
    my ($self, $on) = @_;

    $self->put($AT_HOLD, pack 'L', $on ? 1 : 0);
    Time::HiRes::sleep(0.02) if $on;
}


# how many operations have begun or ended until now

sub sequence { return $_[0]->pick($AT_SEQ, 'Q', 8) }


# CLOCK_MONOTONIC, ns, as records have it

sub monotonic {
    return int(1e9 * Time::HiRes::clock_gettime(
                         Time::HiRes::CLOCK_MONOTONIC()));
}


sub records {
    my ($self) = @_;

    my $end = $self->pick($AT_END, 'Q', 8);

    return read_records($self->{file}, $end);
}


sub read_records {
    my ($file, $end) = @_;

    open my $fh, '<:raw', $file or die "$file: $!\n";
    my $data = '';
    my @records;
    my $at = 0;

    while ($end > length $data) {
        read($fh, $data, $end - length $data, length $data) or last;
    }

    while ($at + $HEAD_LEN <= length $data) {
        my %r;
        @r{@HEAD} = unpack $HEAD, substr $data, $at, $HEAD_LEN;

        my $pos = $at + $HEAD_LEN;
        $r{op} = $OPS[$r{op}];
        $r{name} = substr $data, $pos, $r{nname};
        $r{name2} = substr $data, $pos + $r{nname}, $r{nname2};
        $r{data} = substr $data, $pos + $r{nname} + $r{nname2}, $r{ndata};

        push @records, \%r;
        $at += $r{len};
    }

    return @records;
}


1;
