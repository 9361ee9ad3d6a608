# A proxy before a Redis, in a process of its own that serve() is to be written
# for: it reads what it is to do from files in a directory, which the test makes
# (set) and takes away (drop), and tells the test by files, too (has).
#
#     package Mine;
#     our @ISA = 'Proxy';
#     sub serve { my ($self, $listen, $port) = @_; ... }
#
#     my $proxy = Mine->start($redis);     # "port", as of an RF::Redis

package Proxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use RF;


sub start {
    my ($class, $redis) = @_;

    my $self = bless { dir => RF::tempdir(lc $class),
                       port => RF::free_port() }, $class;
    my $listen = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port}) or die;

    defined(my $pid = fork()) or die;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        RF::die_with_parent(POSIX::SIGKILL());
        eval { $self->serve($listen, $redis->port) };
        warn $@ if $@;
        POSIX::_exit(0);
    }

    $self->{pid} = $pid;

    return $self;
}


sub stop {
    my ($self) = @_;

    CORE::kill('KILL', $self->{pid});
    waitpid $self->{pid}, 0;
}


sub port { $_[0]{port} }
sub has  { return -e "$_[0]{dir}/$_[1]" }
sub drop { unlink "$_[0]{dir}/$_[1]" }


# it is there with its text, or not at all

sub set {
    my ($self, $name, $text) = @_;

    RF::spew("$self->{dir}/.$name", $text // '');
    rename "$self->{dir}/.$name", "$self->{dir}/$name" or die "$name: $!\n";
}


1;
