package Daemon;

# An nginx that detaches, since others ignore SIGUSR2, and the upgrade of its
# binary: two masters side by side, each with workers.
#
#     my $t = Outage->new(start => 0, ...);
#     my $d = Daemon->start($t->nginx);
#     $d->upgrade or die;                 # USR2: $d->old and $d->new, pids
#     $d->signal(WINCH => $d->old);
#     $d->ends($d->old);                  # a test: it is gone soon
#
# The harness does not know of these processes: they are ended here.

use strict;
use warnings;

use RF;

my %daemons;


sub start {
    my ($class, $nginx) = @_;

    my $self = bless { nginx => $nginx }, $class;

    $self->write_conf;

    local %ENV = (%ENV, RF::sanitizer_env($nginx->dir));
    system($nginx->argv) == 0 or die "nginx does not start\n";

    $self->adopt(RF::slurp($self->pidfile));
    wait_for(sub { $nginx->workers >= $nginx->{workers} }, 10)
        or die "nginx has no workers\n";

    return $self;
}


sub pidfile { return "$_[0]{nginx}{dir}/nginx.pid" }
sub old     { return $_[0]{old} }
sub new     { return $_[0]{pid} }


sub write_conf {
    my ($self) = @_;

    my $nginx = $self->{nginx};

    $nginx->write_conf;
    my $text = RF::slurp($nginx->conf);
    $text =~ s/daemon off/daemon on/ or die;
    RF::spew($nginx->conf, $text);
}


# the master that $nginx is to be from now on

sub adopt {
    my ($self, $pid) = @_;

    chomp $pid;
    $self->{pid} = $self->{nginx}{pid} = $pid;
    $daemons{$pid} = 1;
}


sub upgrade {
    my ($self) = @_;

    my $pidfile = $self->pidfile;

    $self->{old} = $self->{pid};
    kill 'USR2', $self->{old};

    wait_for(sub { -s "$pidfile.oldbin" && -s $pidfile }, 10) or return 0;
    $self->adopt(RF::slurp($pidfile));

    return wait_for(sub {
        $self->{nginx}->workers >= $self->{nginx}{workers};
    }, 10);
}


sub workers {
    my ($self, $master) = @_;

    return grep { RF::slurp("/proc/$_/cmdline") =~ /worker process/ }
           RF::children($master);
}


sub signal {
    my ($self, $signal, $pid) = @_;

    return kill $signal, $pid;
}


sub gone { return !RF::Nginx::running_nginx($_[1]) }


sub ends {
    my ($self, $pid, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { $self->gone($pid) }, 15), $name);
    delete $daemons{$pid};
}


# the last one

sub stop {
    my ($self, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    kill 'QUIT', $self->{pid};
    $self->ends($self->{pid}, $name);
    delete $self->{nginx}{pid};
}


END {
    my $code = $?;

    for my $pid (grep { RF::Nginx::running_nginx($_) } keys %daemons) {
        kill 'KILL', RF::children($pid), $pid;
    }

    $? = $code;
}


1;
