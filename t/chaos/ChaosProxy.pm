package ChaosProxy;

# The network between nginx and Redis, in a process of its own:
#
#     my $proxy = ChaosProxy->new($redis->port);
#     $proxy->say('cut');
#
#     pass        all goes through
#     cut         connections are reset, and new ones at once
#     reset       connections are reset, new ones go through
#     stall       nothing goes through; what is on its way stays so
#     mute        commands go through, replies do not
#     tear N      pass; but where a script was sent to Redis, which is what
#                 tells it what it missed, the connection is reset as soon as
#                 the reply comes, N times
#     late N      pass; but what is on its way on the connections that there
#                 are stays so for N seconds more
#     drop        pass; what was on its way on a connection that nginx has
#                 closed meanwhile is lost.  After pass it arrives late
#
# say() returns when it is so.

use strict;
use warnings;

use RF;
use Errno qw(EAGAIN EINTR);
use IO::Select;
use Socket;

my $BUFFER = 1 << 20;


sub new {
    my ($class, $redis) = @_;

    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";

    my $self = bless { redis => $redis, port => RF::free_port(),
                       control => $theirs, mode => 'pass', pairs => {} },
                     $class;

    $self->{listen} = IO::Socket::INET->new(Listen => 128, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "listen: $!\n";

    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        RF::die_with_parent(POSIX::SIGKILL());
        close $ours;
        eval { $self->serve };
        warn "proxy: $@" if $@;
        POSIX::_exit(0);
    }

    close $theirs;
    close delete $self->{listen};
    @$self{qw(control pid)} = ($ours, $pid);

    return $self;
}


sub port { $_[0]{port} }


sub say {
    my ($self, $mode) = @_;

    my $line = "$mode\n";
    syswrite $self->{control}, $line;

    IO::Select->new($self->{control})->can_read(RF::slow(10))
        or die "the proxy does not answer\n";
    sysread $self->{control}, my $answer, 100
        or die "the proxy has gone\n";
}


# the process ends with its control connection

sub stop {
    my ($self) = @_;

    close $self->{control};
    waitpid $self->{pid}, 0;
}


# --- its process -----------------------------------------------------------

# A side is { sock, peer (the other side), out (bytes for it), end (close it
# once they are written), client }.

sub serve {
    my ($self) = @_;

    for ( ;; ) {
        my ($in, $out) = ('', '');

        vec($in, fileno $self->{$_}, 1) = 1 for qw(listen control);

        for my $side (values %{ $self->{pairs} }) {
            vec($in, fileno $side->{sock}, 1) = 1 if $self->reads($side);
            vec($out, fileno $side->{sock}, 1) = 1 if length $side->{out};
        }

        my $wait = grep { $_->{held} } values %{ $self->{pairs} };

        select($in, $out, undef, $wait ? 0.05 : undef) >= 0 or next;

        if (vec $in, fileno $self->{control}, 1) {
            sysread $self->{control}, my $lines, 4096 or return;
            $self->turn($_) for split /\n/, $lines;
            syswrite $self->{control}, 'k';
            next;
        }

        $self->take if vec $in, fileno $self->{listen}, 1;

        # some of them go meanwhile

        my @sides = values %{ $self->{pairs} };

        for my $side (@sides) {
            my $fd = fileno $side->{sock};
            next unless defined $fd;

            $self->flush($side) if vec $out, $fd, 1;
            $self->pump($side)
                if $side->{sock}->opened && vec $in, $fd, 1;
        }
    }
}


sub reads {
    my ($self, $side) = @_;

    return 0 if $self->{mode} eq 'stall' || $side->{eof};
    return 0 if $self->{mode} eq 'mute' && !$side->{client};
    return 0 if $side->{held} && $side->{held} > RF::now();

    delete $side->{held};

    return length $side->{peer}{out} < $BUFFER;
}


sub turn {
    my ($self, $mode) = @_;

    if ($mode =~ /^(cut|reset)$/) {
        my @all = values %{ $self->{pairs} };
        $self->end($_, 1) for @all;
        $mode = 'pass' if $mode eq 'reset';
    }

    if ($mode eq 'drop') {
        my @clients = grep { $_->{client} } values %{ $self->{pairs} };

        for my $side (@clients) {
            my ($data, $n) = ('', 0);
            delete $_->{held} for $side, $side->{peer} || ();
            1 while $n = sysread $side->{sock}, $data, 65536, length $data;

            defined $n || !$!{EAGAIN} ? $self->end($side, 1)
                                      : ($side->{peer}{out} .= $data);
        }

        $mode = 'pass';
    }

    if ($mode =~ /^late (.*)/) {
        $_->{held} = RF::now() + $1 for values %{ $self->{pairs} };
    }

    $self->{tear} = $mode =~ /^tear (\d+)/ ? $1 : 0;
    $self->{mode} = $mode;
}


sub take {
    my ($self) = @_;

    my $in = $self->{listen}->accept or return;

    if ($self->{mode} eq 'cut') {
        shut($in, 1);
        return;
    }

    my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $self->{redis}, Timeout => 1);

    if (!$out) {
        shut($in, 1);
        return;
    }

    my @sides = ({ sock => $in, client => 1 }, { sock => $out });

    for my $i (0, 1) {
        my $side = $sides[$i];
        $side->{sock}->blocking(0);
        @$side{qw(out peer)} = ('', $sides[1 - $i]);
        $self->{pairs}{ $side->{sock} } = $side;
    }
}


sub pump {
    my ($self, $side) = @_;

    $! = 0;
    my $n = sysread $side->{sock}, $side->{peer}{out}, 65536,
                    length $side->{peer}{out};

    return if !defined $n && ($!{EAGAIN} || $!{EINTR});

    if ($n && $self->{tear}) {
        $side->{peer}{torn} ||= $side->{peer}{out} =~ /\r\nEVAL(?:SHA)?\r\n/
            if $side->{client};

        if ($side->{torn}) {
            $self->{tear}--;
            return $self->end($side, 1);
        }
    }

    return $self->flush($side->{peer}) if $n;

    # the rest is passed on before the other side is closed

    $side->{eof} = 1;
    $side->{peer}{end} = 1;
    $self->flush($side->{peer});
}


sub flush {
    my ($self, $side) = @_;

    while (length $side->{out}) {
        my $n = syswrite $side->{sock}, $side->{out};

        if (!defined $n) {
            return if $!{EAGAIN} || $!{EINTR};
            return $self->end($side, 1);
        }

        substr $side->{out}, 0, $n, '';
    }

    $self->end($side, 0) if $side->{end};
}


sub end {
    my ($self, $side, $reset) = @_;

    my $peer = $side->{peer};

    for my $one (grep { $_ } $side, $peer) {
        delete $self->{pairs}{ $one->{sock} };
        delete $one->{peer};
        shut($one->{sock}, $reset) if $one->{sock}->opened;
    }
}


sub shut {
    my ($sock, $reset) = @_;

    setsockopt $sock, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $reset;
    close $sock;
}


1;
