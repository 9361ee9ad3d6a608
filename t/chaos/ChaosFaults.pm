package ChaosFaults;

# What goes wrong: Redis, the network to it, nginx, the disk; one or two of
# these at a time, each for a while, and then it is well again.
#
#     my $faults = ChaosFaults->new(nginx => ..., redis => ..., ...);
#     $faults->step while ...;        # one thing, when its time has come
#     $faults->heal;                  # all
#
# Options: nginx, redis; proxy (undef: none); disk (a small tmpfs that holds
# the path; undef: none); shim (undef, or a sub that is given "slow", "fail"
# or "well": a disk that misbehaves); memory (durability memory); interval
# (write_interval, seconds); zones (texts of two configurations); note (a sub
# that is told what happens); quiet (longest pause between faults, seconds);
# only (names of faults, no others).
#
# It knows what each may cost (see ChaosModel): ->events.

use strict;
use warnings;

use RF ();
use Time::HiRes ();

# durability memory: a batch may wait for its turn, and its fsync for the disk

our $MARGIN = RF::slow(1.5);

# class, weight, longest time (seconds; 0: it is over at once), what begins it
# and what ends it

my %faults = (
    'redis killed'    => [ 'redis', 6, 5,   \&kill_redis,   \&start_redis ],
    'redis restarted' => [ 'redis', 2, 2,   \&stop_redis,   \&start_redis ],
    'redis frozen'    => [ 'redis', 4, 3,   \&freeze_redis, \&thaw_redis ],
    'redis slow'      => [ 'redis', 2, 2,   \&sleep_redis,  \&wait_redis ],
    'redis paused'    => [ 'redis', 2, 2,   \&pause_redis,  \&wait_redis ],
    'READONLY'        => [ 'redis', 2, 3,   \&read_only,    \&writable ],
    'OOM'             => [ 'redis', 2, 3,   \&out_of_memory, \&in_memory ],
    'MISCONF'         => [ 'redis', 2, 3,   \&misconf,      \&well_conf ],
    'network cut'     => [ 'net',   3, 4,   \&cut,          \&pass ],
    'network reset'   => [ 'net',   3, 0,   \&reset ],
    'network stalled' => [ 'net',   3, 3,   \&stall,        \&pass ],
    'replies lost'    => [ 'net',   4, 2,   \&mute,         \&lose ],
    'commands late'   => [ 'net',   3, 2,   \&stall,        \&late ],
    'replay torn'     => [ 'net',   5, 2,   \&cut,          \&tear ],
    'worker killed'   => [ 'nginx', 4, 0,   \&kill_worker ],
    'worker frozen'   => [ 'nginx', 2, 3,   \&freeze_worker, \&thaw_worker ],
    'nginx killed'    => [ 'nginx', 4, 1.5, \&kill_nginx,   \&start_nginx ],
    'nginx restarted' => [ 'nginx', 2, 1,   \&stop_nginx,   \&start_nginx ],
    'nginx reloaded'  => [ 'nginx', 2, 0,   \&reload ],
    'zone resized'    => [ 'nginx', 2, 0,   \&resize ],
    'disk full'       => [ 'disk',  3, 4,   \&fill_disk,    \&free_disk ],
    'disk slow'       => [ 'disk',  2, 4,   \&slow_disk,    \&well_disk ],
    'disk failing'    => [ 'disk',  2, 3,   \&fail_disk,    \&well_disk ],
    'redis emptied'   => [ 'redis', 0, 2,   \&empty_redis,  \&start_empty ],
);


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        quiet => 4, %opt, active => {}, count => {}, zone => 0,
        events => { map { $_ => [] } qw(lossy wipes twice kills
                                       resized) },
    }, $class;

    $self->{names} = [ grep { $self->possible($_) } sort keys %faults ];
    $self->pause;

    return $self;
}


sub count  { return $_[0]{count} }
sub events { return $_[0]{events} }


sub forget {
    my ($self) = @_;

    $self->{events}{$_} = [] for keys %{ $self->{events} };
}


sub possible {
    my ($self, $name) = @_;

    my $class = $faults{$name}[0];

    return 0 if $self->{only} && !grep { $_ eq $name } @{ $self->{only} };
    return 0 if $class eq 'net' && !$self->{proxy};
    return 0 if $name eq 'disk full' && !$self->{disk};
    return 0 if $name =~ /^disk (slow|failing)/ && !$self->{shim};

    return $faults{$name}[1] > 0;
}


sub tell { my ($self, $text) = @_; $self->{note}->($text) }


sub pause {
    my ($self) = @_;

    my $quiet = $self->{quiet};

    $self->{next} = RF::now() + (rand() < 0.3 ? rand 0.3 : rand $quiet);
}


# waits for the next moment at which something is to be done, at most until
# then, and does it

sub step {
    my ($self, $until) = @_;

    my ($first) = sort { $self->{active}{$a}{end} <=> $self->{active}{$b}{end} }
                       keys %{ $self->{active} };
    my $heals = $first && $self->{active}{$first}{end} <= $self->{next};
    my $at = $heals ? $self->{active}{$first}{end} : $self->{next};

    $at = $until if $at > $until;

    my $left = $at - RF::now();
    Time::HiRes::sleep($left) if $left > 0;
    return if $at == $until;

    return $self->end($first) if $heals;

    $self->begin;
    $self->pause;
}


sub begin {
    my ($self, $name) = @_;

    my $active = $self->{active};
    return if !$name && keys %$active >= 2;

    my %busy = map { $faults{$_}[0] => 1 } keys %$active;

    # with Redis away the network does not matter

    $busy{net} = $busy{redis} = 1 if $busy{net} || $busy{redis};

    my @may = grep { !$busy{ $faults{$_}[0] } } @{ $self->{names} };
    my $pick = 0;
    $pick += $faults{$_}[1] for @may;
    $pick = rand $pick;

    for my $may (@may) {
        last if $name;
        $pick -= $faults{$may}[1];
        $name = $may if $pick <= 0;
    }

    return unless $name && $self->permitted($name);

    my ($class, $weight, $longest, $begin, $end) = @{ $faults{$name} };
    my $time = $longest * (rand() < 0.4 ? rand 0.2 : rand);

    $self->tell($longest ? sprintf '%s, %.2f s', $name, $time : $name);
    $self->{count}{$name}++;
    $begin->($self, $time);

    return unless $end;

    $active->{$name} = { end => RF::now() + $time, heal => $end };
}


# what would lose what was acknowledged by memory alone is not done: the end of
# nginx while the disk does not take it

sub permitted {
    my ($self, $name) = @_;

    return 1 unless $self->{memory}
                    && $name =~ /^nginx (killed|restarted)|^zone/;

    return !grep { /^disk/ } keys %{ $self->{active} };
}


sub end {
    my ($self, $name) = @_;

    my $fault = delete $self->{active}{$name};

    $fault->{heal}->($self);
    $self->tell("$name: over");
}


sub heal {
    my ($self) = @_;

    # Redis before the network, which passes on what it held

    $self->end($_) for reverse sort keys %{ $self->{active} };
}


# --- Redis -----------------------------------------------------------------

sub kill_redis  { $_[0]{redis}->kill }
sub stop_redis  { $_[0]{redis}->stop }
sub start_redis { $_[0]{redis}->start }


sub freeze_redis {
    my ($self) = @_;

    $self->{redis}->drop;
    $self->{redis}->pause;
}


sub thaw_redis { $_[0]{redis}->resume }


# sent without waiting for the reply

sub raw {
    my ($self, @argv) = @_;

    my $conn = RF::Conn->new($self->{redis}->port);
    $conn->write(RF::Redis::encode(@argv), RF::now() + 1) if $conn->{sock};

    return $self->{raw} = $conn;
}


sub sleep_redis {
    my ($self, $time) = @_;

    $self->{redis}->drop;
    $self->raw('DEBUG', 'SLEEP', sprintf '%.3f', $time);
}


sub pause_redis {
    my ($self, $time) = @_;

    $self->{redis}->drop;
    $self->raw('CLIENT', 'PAUSE', int(1000 * $time),
               rand() < 0.5 ? 'WRITE' : 'ALL');
}


sub wait_redis {
    my ($self) = @_;

    RF::wait_for(sub { $self->{redis}->alive }, 10);
    $self->{raw}->close if $self->{raw};
}


sub read_only {
    my ($self) = @_;

    $self->{redis}->cmd('REPLICAOF', '127.0.0.1', RF::free_port());
}


sub writable { $_[0]{redis}->cmd('REPLICAOF', 'NO', 'ONE') }


sub out_of_memory { $_[0]{redis}->cmd('CONFIG', 'SET', 'maxmemory', 1) }
sub in_memory     { $_[0]{redis}->cmd('CONFIG', 'SET', 'maxmemory', 0) }


# a snapshot, dump.d, cannot be renamed to a directory

sub misconf {
    my ($self) = @_;

    my $redis = $self->{redis};

    mkdir $redis->dir . '/dump.d';
    $redis->cmd('CONFIG', 'SET', 'save', '3600 1000000');
    $redis->cmd('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'yes');
    $redis->try('BGSAVE');
    RF::wait_for(sub {
        $redis->info('persistence')->{rdb_last_bgsave_status} eq 'err';
    }, 5) or $self->tell('MISCONF: the snapshot was made after all');
}


sub well_conf {
    my ($self) = @_;

    $self->{redis}->cmd('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no');
    $self->{redis}->cmd('CONFIG', 'SET', 'save', '');
}


# killed, and started without its data

sub empty_redis {
    my ($self) = @_;

    push @{ $self->{events}{wipes} }, [ RF::now(), $ChaosModel::NEVER ];
    $self->{redis}->kill;
}


sub start_empty {
    my ($self) = @_;

    my $dir = $self->{redis}->dir;

    File::Path::remove_tree(glob("$dir/appendonly*"), glob("$dir/dump*"));
    $self->{redis}->start;
    $self->{events}{wipes}[-1][1] = RF::now();
}


# --- the network -----------------------------------------------------------

sub cut   { $_[0]{proxy}->say('cut') }
sub reset { $_[0]{proxy}->say('reset') }
sub stall { $_[0]{proxy}->say('stall'); delete $_[0]{killed} }
sub mute  { $_[0]{proxy}->say('mute'); delete $_[0]{killed} }


# what comes late comes from somebody who is still there: who was killed could
# not see to it that it does not

sub pass { $_[0]{proxy}->say($_[0]{killed} ? 'drop' : 'pass') }


# new connections go through first

sub late {
    my ($self) = @_;

    return $self->pass if $self->{killed};
    $self->{proxy}->say('late ' . (0.2 + rand 2));
}


# All of nginx ends, and with it goes the knowledge of what may come late: so
# it does not.  A network that is cut or stalled sees to that when it heals.

sub forget_late {
    my ($self) = @_;

    $self->{proxy}->say('drop')
        if $self->{proxy} && !grep { $faults{$_}[0] eq 'net' }
                                   keys %{ $self->{active} };
}


# Redis does what it missed, and nobody hears of it

sub tear { $_[0]{proxy}->say('tear ' . (1 + int rand 4)) }


sub lose {
    my ($self) = @_;

    $self->{proxy}->say('reset') if rand() < 0.7;
    $self->pass;
}


# --- nginx -----------------------------------------------------------------

sub some_worker {
    my ($self) = @_;

    my @pids = $self->{nginx}->workers;

    return @pids ? $pids[rand @pids] : undef;
}


sub kill_worker {
    my ($self) = @_;

    my $pid = $self->some_worker or return;

    $self->{killed} = 1;
    kill 'KILL', $pid;
}


sub freeze_worker {
    my ($self) = @_;

    $self->{frozen} = $self->some_worker;
    kill 'STOP', $self->{frozen} if $self->{frozen};
}


sub thaw_worker {
    my ($self) = @_;

    kill 'CONT', $self->{frozen} if $self->{frozen};
}


# The master first, or it would start others meanwhile.  Its shared memory stays,
# or goes as if the host had crashed.

sub kill_nginx {
    my ($self) = @_;

    my $nginx = $self->{nginx};
    my $keep = rand() < 0.7;

    $self->{killed} = 1;
    kill 'STOP', $nginx->pid;
    $nginx->kill(keep => $keep);
    $self->forget_late;

    my $now = RF::now();
    my $events = $self->{events};

    push @{ $events->{kills} }, $now;
    push @{ $events->{twice} }, $now if $self->recovering;
    push @{ $events->{lossy} }, [ $self->unsafe_since($now), $now ]
        if $self->{memory} && !$keep;
}


# durability memory: what was acknowledged since then may be in memory only

sub unsafe_since {
    my ($self, $now) = @_;

    my $since = $now - $self->{interval} - $MARGIN;
    my $disk = $self->{disk_bad} || return $since;

    # after a failure writing is tried again each second

    return $disk->[0] if $disk->[1] > $since - 1 && $disk->[0] < $since;
    return $since;
}


# had it begun to tell Redis, and was not done?

sub recovering {
    my ($self) = @_;

    my $log = $self->{nginx}->log;
    my $began = rindex $log, 'is ready for writes, replaying';

    return $began >= 0 && rindex($log, 'back to normal') < $began;
}


sub start_nginx { $_[0]{nginx}->start }


sub stop_nginx {
    my ($self) = @_;

    my $signal = rand() < 0.5 ? 'QUIT' : 'TERM';

    # nginx itself calls it an alert if a worker that shuts down gracefully is
    # told not to wait for its connections

    $signal = 'QUIT' if grep { RF::slurp("/proc/$_/cmdline") =~ /shutting/ }
                             $self->{nginx}->workers;

    $self->{killed} = 1;
    $self->{nginx}->stop($signal, 30)
        or $self->tell('nginx did not stop');
    $self->forget_late;
}


sub reload {
    my ($self) = @_;

    $self->{nginx}->reload or $self->tell('the reload was refused');
}


sub resize {
    my ($self) = @_;

    $self->{zone} = 1 - $self->{zone};
    push @{ $self->{events}{resized} }, RF::now();
    $self->{nginx}->reload(http => $self->{zones}[ $self->{zone} ])
        or $self->tell('the reload was refused');
}


# --- the disk --------------------------------------------------------------

sub fill_disk {
    my ($self) = @_;

    $self->{disk_bad} = [ RF::now(), $ChaosModel::NEVER ];
    open my $fh, '>:raw', "$self->{disk}/ballast" or return;

    my $block = "\0" x 65536;
    for my $size (65536, 4096, 1) {
        1 while syswrite $fh, $block, $size;
    }
}


sub free_disk {
    my ($self) = @_;

    unlink "$self->{disk}/ballast";
    $self->{disk_bad}[1] = RF::now();
}


sub slow_disk { $_[0]->bad_disk('slow') }
sub fail_disk { $_[0]->bad_disk('fail') }


sub bad_disk {
    my ($self, $how) = @_;

    $self->{disk_bad} = [ RF::now(), $ChaosModel::NEVER ];
    $self->{shim}->($how);
}


sub well_disk {
    my ($self) = @_;

    $self->{shim}->('well');
    $self->{disk_bad}[1] = RF::now();
}


1;
