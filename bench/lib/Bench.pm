package Bench;

# What all of bench/ shares: cores, wrk, CPU time and what it was spent for, the
# document.  The paths of plain keys are in Bench/Paths.pm and Bench/Peers.pm.

use strict;
use warnings;

use RF;
use Time::HiRes ();

our $KEYS = 1000;

my $alone;

# "4 KB": a line of nginx.conf, and so the text of "return", ends at 4,096;
# "256 KB" is made up of 64 such texts

our @SIZES = split ' ', $ENV{BENCH_SIZES} || '100 4000 256000';


# of a size: large values fill no memory that a thousand of them would

sub keys_of { return $_[0] > 65536 ? 100 : $KEYS }


sub size_name {
    my ($size) = @_;

    return "$size B" if $size < 1000;
    return $size / 1000 . ' KB' if $size % 1000 == 0 && $size != 256000;
    return $size == 256000 ? '256 KB' : "$size B";
}

sub prefix {
    my ($path, $size) = @_;

    (my $prefix = $path->{prefix}) =~ s/%SIZE%/$size/;

    return $prefix;
}


# nanoseconds of CPU of a process: of all its threads, or of the first alone

sub cpu {
    my ($pid, $first) = @_;

    my $sum = 0;

    for my $file ($first ? "/proc/$pid/task/$pid/schedstat"
                         : glob "/proc/$pid/task/*/schedstat")
    {
        my ($ns) = split ' ', RF::slurp($file);
        $sum += $ns if defined $ns;
    }

    return $sum;
}


# The cores of nginx and of the others, as lists for taskset; undef where there
# is but one.  Two workers and wrk have to share where there are only two.

sub cores {
    my ($workers) = @_;

    my $many = ($workers || 1) > 1;
    my @cores = split ' ', $ENV{$many ? 'BENCH_CORES_2' : 'BENCH_CORES'} || '';
    return @cores if @cores == 2;

    my $n = () = RF::slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
    return $many ? ($n > 3 ? ('0,1', '2,3') : ('0,1', '0,1')) : (0, 1)
        if $n > 1;

    print "one core only: figures are of little worth\n" unless $alone++;

    return (undef, undef);
}


# this process, and what it starts: what is measured, and the others

sub pin_server { pin($$, (cores(@_))[0]) }
sub pin_others { pin($$, (cores(@_))[1]) }


sub start_nginx {
    my (%opt) = @_;

    my $workers = $opt{workers} || 1;

    pin_server($workers);
    my $nginx = RF::Nginx->new(workers => 1, log_level => 'notice', %opt,
                               main => 'worker_rlimit_nofile 8192;'
                                       . ($opt{main} || ''));
    pin_others($workers);

    return $nginx;
}


# A floor, and right after it the path.  "server", which may be undef, is
# somebody with a pid, whose CPU time is taken, too.  Options: those of wrk(), and
# the nginx that has the floor, where it is another one.

sub compare {
    my ($nginx, $server, $floor_path, $path, $size, $seconds, %opt) = @_;

    my $floor = one_run(delete $opt{floor} || $nginx, $server, $floor_path,
                        $size, $seconds, %opt);
    return $floor if $floor->{error};

    my $run = one_run($nginx, $server, $path, $size, $seconds, %opt);
    return $run if $run->{error};

    $run->{"floor_$_"} = $floor->{$_} for qw(rps p50 p99 p999);
    $run->{floor} = $floor->{us};
    $run->{x} = $run->{us} / $floor->{us};
    $run->{loop_x} = $run->{loop} / $floor->{us};

    return $run;
}


# CPU time of a path, per request

sub one_run {
    my ($nginx, $server, $path, $size, $seconds, %opt) = @_;

    my @workers = $nginx->workers;

    for my $worker (@workers) {
        settle($worker, 20)
            || print "a worker does not come to rest before $path->{id}\n";
    }

    my $count = counter($nginx, $server, $path);
    my $quiet = $path->{quiet} ? cpu($path->{quiet}->()) : 0;
    my $all = cpus(0, @workers);
    my $loop = cpus(1, @workers);
    my $reads = $server ? $server->reads : undef;
    my $other = $server ? cpu($server->pid) : 0;

    my $wrk = wrk($nginx->port, $path, $size, seconds => $seconds, %opt,
                  threads => scalar @workers);

    $all = cpus(0, @workers) - $all;
    $loop = cpus(1, @workers) - $loop;
    $other = cpu($server->pid) - $other if $server;
    $reads = $server->reads - $reads if defined $reads;

    return $wrk if $wrk->{error};

    return { error => 'a worker died' }
        if join(' ', $nginx->workers) ne join ' ', @workers;

    my $n = $wrk->{requests};

    if ($path->{proof}) {
        my $moved = (counter($nginx, $server, $path) - $count) / $n;
        my $expected = $path->{proof}[-1];

        # wrk does not count what is under way in the end

        my $most = 0.01 + 2 * ($opt{connections} || 64) / $n;

        if (abs($moved / $expected - 1) > $most) {
            return { error => sprintf 'counter %s moved by %.3f a request',
                              join('.', @{ $path->{proof} }[0 .. 2]), $moved };
        }
    }

    if ($path->{quiet}) {
        my $us = (cpu($path->{quiet}->()) - $quiet) / $n / 1000;

        return { error => sprintf 'what is behind it spent %.2f us a request',
                          $us } if $us > 0.5;
    }

    return {
        us    => $all / $n / 1000,
        loop  => $loop / $n / 1000,
        server => $other / $n / 1000,
        batch => $reads ? $n / $reads : undef,  # requests of a server's read
        rps   => $n / $wrk->{us} * 1e6,
        share => ($all - $loop) / $wrk->{us} / 1000,    # threads, of a core
        max   => $wrk->{max} / 1000,
        map { $_ => $wrk->{$_} } qw(p50 p99 p999),      # us
    };
}


sub cpus {
    my ($first, @pids) = @_;

    my $sum = 0;
    $sum += cpu($_, $first) for @pids;

    return $sum;
}


# of the store's status, or what the server itself counts

sub counter {
    my ($nginx, $server, $path) = @_;

    return 0 unless $path->{proof};

    my ($store, $group, $name) = @{ $path->{proof} };

    return $server->count if $store eq 'server';

    my $status = $nginx->status($store) || die "no status page\n";

    return $status->{$group}{$name};
}


# what others do with this machine: percent of all cores, over a second in which
# this process does nothing

sub busy {
    my @stat;

    for (1, 2) {
        my ($line) = RF::slurp('/proc/stat') =~ /^cpu +(.*)/;
        push @stat, [ split ' ', $line ];
        Time::HiRes::sleep(1) if $_ == 1;
    }

    # user nice system idle iowait irq softirq steal

    my @spent = map { $stat[1][$_] - $stat[0][$_] } 0 .. 7;
    my $sum = 0;
    $sum += $_ for @spent;

    return $sum ? 100 * (1 - ($spent[3] + $spent[4]) / $sum) : 0;
}


# until the process has nothing left to do; seconds

sub settle {
    my ($pid, $seconds) = @_;

    my $end = RF::now() + $seconds;
    my $quiet = 0;

    while (RF::now() < $end) {
        my $before = cpu($pid);
        Time::HiRes::sleep(0.05);
        $quiet = cpu($pid) - $before < 1_000_000 ? $quiet + 1 : 0;
        return 1 if $quiet == 3;
    }

    return 0;
}


# until its threads, the first aside, have done nothing for so many seconds

sub still {
    my ($pid, $seconds, $most) = @_;

    my $end = RF::now() + $most;
    my ($since, $last) = (RF::now(), -1);

    while (RF::now() < $end) {
        my $spent = cpu($pid) - cpu($pid, 1);

        ($since, $last) = (RF::now(), $spent) if $spent - $last > 5_000_000;
        return 1 if RF::now() - $since > $seconds;
        Time::HiRes::sleep(0.1);
    }

    return 0;
}


sub pin {
    my ($pid, $core) = @_;

    return unless defined $core;
    system("taskset -acp $core $pid > /dev/null") == 0
        or die "taskset -cp $core $pid failed\n";
}


# wrk for so many seconds: its figures, or { error => text }

sub wrk {
    my ($port, $path, $size, %opt) = @_;

    my $threads = $opt{threads} || 1;
    my $connections = $opt{connections} || 64;

    $threads = $connections if $threads > $connections;

    my @argv = ('wrk', "-t$threads", "-c$connections",
                "-d$opt{seconds}", '--timeout', '10', '-s',
                "$RF::ROOT/bench/wrk.lua", "http://127.0.0.1:$port", '--',
                $opt{method} || $path->{method},
                $opt{prefix} || prefix($path, $size),
                $opt{keys} || $path->{keys} || keys_of($size),
                $path->{body} || $opt{body} ? $size : 0,
                $opt{order} || $path->{order} || 'turn', $path->{text} || ());

    open my $pipe, '-|', @argv or die "wrk: $!\n";
    my $out = do { local $/; <$pipe> };
    close $pipe;

    return { error => "wrk failed: $out" }
        unless $out =~ /^BENCH (.*)/m;

    my %figures = map { split /=/ } split ' ', $1;

    # where each answer is to be a 404 none may be anything else

    my $others = $path->{status} ? $figures{requests} - $figures{status} : 0;
    delete $figures{status} if $path->{status};

    my @errors = map { "$_ $figures{$_}" } grep { $figures{$_} }
                 qw(connect read write status timeout);

    push @errors, "$others are no $path->{status}" if $others;
    $figures{error} = 'errors: ' . join(', ', @errors) if @errors;
    $figures{error} = 'no request was answered' unless $figures{requests};

    return \%figures;
}


# requests at a steady rate, by bench/load.c: its figures, or { error => text }

sub load {
    my ($port, $path, $size, %opt) = @_;

    my @argv = (compile('load'), $port, int $opt{rate}, $opt{seconds}, 64,
                $path->{method}, prefix($path, $size), keys_of($size),
                $path->{body} ? $size : 0);

    open my $pipe, '-|', @argv or die "$argv[0]: $!\n";
    my $out = do { local $/; <$pipe> };
    close $pipe;

    return { error => "load failed: $out" } unless $out =~ /^LOAD (.*)/m;

    my %figures = map { split /=/ } split ' ', $1;

    $figures{error} = "$figures{errors} errors" if $figures{errors};
    $figures{error} = 'no request was answered' unless $figures{requests};

    return \%figures;
}


sub median {
    my @sorted = sort { $a <=> $b } @_;
    my $half = int(@sorted / 2);

    return undef unless @sorted;
    return $sorted[$half] if @sorted % 2;
    return ($sorted[$half - 1] + $sorted[$half]) / 2;
}


sub spread {
    my ($name, @rounds) = @_;

    my @values = sort { $a <=> $b } map { $_->{$name} } @rounds;

    return sprintf '%.2f-%.2f', $values[0], $values[-1];
}


sub thousands {
    my ($n) = @_;

    $n = sprintf '%.0f', $n;
    1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;

    return $n;
}


sub need {
    for my $program (@_) {
        next if grep { -x "$_/$program" } split /:/, $ENV{PATH};
        die "$program is missing: make deps\n";
    }
}


# build/bench/NAME, made of bench/NAME.c where that is newer

sub compile {
    my ($name, @flags) = @_;

    my $dir = "$RF::ROOT/build/bench";
    my $file = "$dir/$name";
    (my $source = "$RF::ROOT/bench/$name.c") =~ s/\.so\.c$/.c/;

    mkdir $_ for "$RF::ROOT/build", $dir;
    return $file if -f $file && -M $file < -M $source;

    system('gcc', '-O2', '-Wall', '-Wextra', '-Werror', @flags, '-o',
           "$file.$$", $source, '-lm') == 0
        or die "$source does not compile\n";
    rename "$file.$$", $file or die "$file: $!\n";

    return $file;
}


sub bad_log {
    my ($nginx) = @_;

    my @bad = grep { /\[(alert|emerg|crit)\]|exited on signal/ }
              split /\n/, $nginx->log;

    print "$_\n" for @bad[0 .. ($#bad > 9 ? 9 : $#bad)];

    return scalar @bad;
}


# docs/performance.md, or BENCH_DOC; empty: none

sub doc {
    return defined $ENV{BENCH_DOC} ? $ENV{BENCH_DOC}
                                   : "$RF::ROOT/docs/performance.md";
}


# the section of a program, or of a part of it, there

sub write_doc {
    my ($program, $text) = @_;

    my $doc = doc();
    return if $doc eq '';

    my ($begin, $end) = map { "<!-- $program $_ -->" } qw(begins ends);
    my $old = -f $doc ? RF::slurp($doc) : "# Performance\n";

    $old .= "\n$begin\n$end\n" if $old !~ /\Q$begin\E.*\Q$end\E/s;

    $text =~ s/\n{3,}/\n\n/g;
    $text =~ s/\s+\z/\n/;
    $old =~ s/\Q$begin\E.*\Q$end\E/$begin\n\n$text\n$end/s;

    RF::spew($doc, $old);
    print "\nwritten to $doc\n";
}


sub machine {
    my ($model) = RF::slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)$/m;
    my $cores = () = RF::slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
    my ($os) = RF::slurp('/etc/os-release') =~ /^PRETTY_NAME="(.*)"/m;
    my $nginx = RF::nginx_binary();
    my ($nginx_version) = `$nginx -v 2>&1` =~ m{nginx/(\S+)};
    my ($redis_version) = `redis-server --version` =~ /v=(\S+)/;
    my ($wrk_version) = `wrk --version 2>&1` =~ /^wrk (?:debian\/)?(\S+)/;
    my ($hiredis) = `dpkg-query -W -f '\${Version}' libhiredis-dev 2>&1`
                    =~ /^([\d.]+)/;
    chomp(my $kernel = `uname -r`);

    return sprintf '%s, %d cores; %s, Linux %s; nginx %s, Redis %s, '
                   . 'hiredis %s, wrk %s',
                   $model || 'CPU unknown', $cores, $os || 'OS unknown',
                   $kernel =~ /^(\d+\.\d+)/, $nginx_version || '?',
                   $redis_version || '?', $hiredis || '?',
                   $wrk_version || '?';
}


1;
