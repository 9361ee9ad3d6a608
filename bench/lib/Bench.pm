package Bench;

# What bench/run, bench/types and bench/callgrind share: the paths of plain keys,
# the configuration with them, the servers, and the CPU time of a process.

use strict;
use warnings;

use RF;
use Time::HiRes ();

our $KEYS = 1000;

my $alone;

# "4 KB": a line of nginx.conf, and so the text of "return", ends at 4,096

our @SIZES = split ' ', $ENV{BENCH_SIZES} || '100 4000';

# proof: the store, and which of its counters must have moved by how many for
# each request, or else something other than the title was measured.
# goal: CPU time relative to the floor.  budget: instructions, relative to the
# floor's, 100 bytes; bench/callgrind check holds to it.

our @PATHS = (
    { id => 'memory_get', title => 'memory hit (`cache 1h`)',
      method => 'GET', prefix => '/mem/%SIZE%/k',
      proof => ['mem', 'reads', 'memory', 1], goal => 1.25,
      budget => 1.42 },

    { id => 'redis_get', title => 'Redis GET, TCP (`cache off`)',
      method => 'GET', prefix => '/live/%SIZE%/k',
      proof => ['live', 'reads', 'redis', 1], goal => 1.6,
      budget => 1.72 },

    { id => 'redis_set', title => 'Redis SET, TCP',
      method => 'PUT', prefix => '/live/%SIZE%/k', body => 1,
      proof => ['live', 'writes', 'redis', 1],
      budget => 1.65 },

    { id => 'fallback_get', title => 'fallback GET',
      method => 'GET', prefix => '/down/%SIZE%/k',
      proof => ['down', 'reads', 'memory', 1],
      budget => 1.42 },

    { id => 'fallback_set', title => 'fallback SET',
      method => 'PUT', prefix => '/down/%SIZE%/k', body => 1,
      proof => ['down', 'writes', 'local', 1], goal => 1.5,
      budget => 2.00 },

    { id => 'fallback_set_off', title => 'fallback SET, `path off`',
      method => 'PUT', prefix => '/bare/%SIZE%/k', body => 1,
      proof => ['bare', 'writes', 'local', 1],
      budget => 1.58 },

    { id => 'set3_memory', title => '3 `redis_fallback_set`, memory',
      method => 'GET', prefix => '/set3mem/%SIZE%?n=',
      proof => ['mem', 'reads', 'memory', 3],
      budget => 2.20 },

    { id => 'set3_redis', title => '3 `redis_fallback_set`, Redis',
      method => 'GET', prefix => '/set3live/%SIZE%?n=',
      proof => ['live', 'reads', 'redis', 3],
      budget => 3.00 },
);


sub floor_path {
    return { id => 'floor', title => '`return 200`', method => 'GET',
             prefix => '/floor/%SIZE%/k' };
}


sub prefix {
    my ($path, $size) = @_;

    (my $prefix = $path->{prefix}) =~ s/%SIZE%/$size/;

    return $prefix;
}


# in the http block; "down" and "bare" never see a Redis

sub http_conf {
    my ($redis_port, $down_port) = @_;

    return <<END;
    keepalive_requests 1000000000;

    redis_fallback_store mem {
        zone    64m;
        server  127.0.0.1:$redis_port;
        path    %%DIR%%/mem;
        cache   1h;
    }

    redis_fallback_store live {
        zone    64m;
        server  127.0.0.1:$redis_port;
        path    %%DIR%%/live;
        cache   off;
    }

    redis_fallback_store down {
        zone    64m;
        server  127.0.0.1:$down_port;
        path    %%DIR%%/down;
    }

    redis_fallback_store bare {
        zone    64m;
        server  127.0.0.1:$down_port;
        path    off;
    }
END
}


sub server_conf {
    my $conf = '';

    for my $store (qw(mem live down bare)) {
        $conf .= "location /$store/ { redis_fallback_pass $store; }\n";
    }

    for my $size (@SIZES) {
        my $text = 'v' x $size;
        $conf .= "location /floor/$size/ { return 200 $text; }\n";

        for my $store (qw(mem live)) {
            $conf .= <<END;
location = /set3$store/$size {
    redis_fallback $store;
    redis_fallback_set \$a$store$size GET "$size/k\$arg_n";
    redis_fallback_set \$b$store$size GET "$size/a\$arg_n";
    redis_fallback_set \$c$store$size GET "$size/b\$arg_n";
    return 200 \$a$store$size;
}
END
        }
    }

    return $conf;
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


# The cores of nginx and of the others; undef where there is but one.

sub cores {
    my @cores = split ' ', $ENV{BENCH_CORES} || '';
    return @cores if @cores == 2;

    my $n = () = RF::slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
    return (0, 1) if $n > 1;

    print "one core only: figures are of little worth\n" unless $alone++;

    return (undef, undef);
}


# this process, and what it starts

sub pin_others { pin($$, (cores())[1]) }


sub start_nginx {
    my (%opt) = @_;

    pin($$, (cores())[0]);
    my $nginx = RF::Nginx->new(workers => 1, log_level => 'notice',
                               main => 'worker_rlimit_nofile 8192;', %opt);
    pin_others();

    return $nginx;
}


# a floor, and right after it the path

sub compare {
    my ($nginx, $redis, $floor_path, $path, $size, $seconds) = @_;

    my $floor = one_run($nginx, $redis, $floor_path, $size, $seconds);
    return $floor if $floor->{error};

    my $run = one_run($nginx, $redis, $path, $size, $seconds);
    return $run if $run->{error};

    $run->{floor} = $floor->{us};
    $run->{floor_rps} = $floor->{rps};
    $run->{x} = $run->{us} / $floor->{us};
    $run->{loop_x} = $run->{loop} / $floor->{us};

    return $run;
}


# CPU time of a path, per request; "redis" may be undef

sub one_run {
    my ($nginx, $redis, $path, $size, $seconds) = @_;

    my ($worker) = $nginx->workers;
    settle($worker, 20)
        || print "the worker does not come to rest before $path->{id}\n";

    my $count = counter($nginx, $path);
    my $all = cpu($worker);
    my $loop = cpu($worker, 1);
    my $server = $redis ? cpu($redis->pid) : 0;

    my $wrk = wrk($nginx->port, $path, $size, seconds => $seconds);

    $all = cpu($worker) - $all;
    $loop = cpu($worker, 1) - $loop;
    $server = cpu($redis->pid) - $server if $redis;

    return $wrk if $wrk->{error};

    if (($nginx->workers)[0] != $worker) {
        return { error => 'the worker died' };
    }

    if ($path->{proof}) {
        my $moved = (counter($nginx, $path) - $count) / $wrk->{requests};
        my $expected = $path->{proof}[3];

        if ($moved < $expected * 0.99 || $moved > $expected * 1.01) {
            return { error => sprintf 'counter %s moved by %.3f a request',
                              join('.', @{ $path->{proof} }[0 .. 2]), $moved };
        }
    }

    return {
        us    => $all / $wrk->{requests} / 1000,
        loop  => $loop / $wrk->{requests} / 1000,
        redis => $server / $wrk->{requests} / 1000,
        rps   => $wrk->{requests} / $wrk->{us} * 1e6,
        share => ($all - $loop) / $wrk->{us} / 1000,    # threads, of a core
        max   => $wrk->{max} / 1000,
    };
}


sub counter {
    my ($nginx, $path) = @_;

    return 0 unless $path->{proof};

    my ($store, $group, $name) = @{ $path->{proof} };
    my $status = $nginx->status($store) || die "no status page\n";

    return $status->{$group}{$name};
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


sub pin {
    my ($pid, $core) = @_;

    return unless defined $core;
    system("taskset -acp $core $pid > /dev/null") == 0
        or die "taskset -cp $core $pid failed\n";
}


# wrk for so many seconds: its figures, or { error => text }

sub wrk {
    my ($port, $path, $size, %opt) = @_;

    my @argv = ('wrk', '-t1', '-c' . ($opt{connections} || 64),
                "-d$opt{seconds}", '--timeout', '10', '-s',
                "$RF::ROOT/bench/wrk.lua", "http://127.0.0.1:$port", '--',
                $opt{method} || $path->{method},
                $opt{prefix} || prefix($path, $size),
                $opt{keys} || $path->{keys} || $KEYS,
                $path->{body} || $opt{body} ? $size : 0,
                $path->{order} || 'turn', $path->{text} || ());

    open my $pipe, '-|', @argv or die "wrk: $!\n";
    my $out = do { local $/; <$pipe> };
    close $pipe;

    return { error => "wrk failed: $out" }
        unless $out =~ /^BENCH (.*)/m;

    my %figures = map { split /=/ } split ' ', $1;
    my @errors = map { "$_ $figures{$_}" } grep { $figures{$_} }
                 qw(connect read write status timeout);

    $figures{error} = 'errors: ' . join(', ', @errors) if @errors;
    $figures{error} = 'no request was answered' unless $figures{requests};

    return \%figures;
}


# The values that reads find: in Redis, and in each store's memory.  Those of
# "down" are what its SETs write, too.

sub fill {
    my ($nginx, $size, %opt) = @_;

    my $conn = $nginx->conn;

    for my $store (qw(mem live down bare)) {

        for my $letter ($store eq 'mem' || $store eq 'live'
                        ? qw(k a b) : 'k')
        {
            for my $n (1 .. $opt{keys} || $KEYS) {
                my $uri = sprintf '/%s/%s/%s%04d', $store, $size, $letter, $n;
                my $res = $nginx->put($uri, 'v' x $size, conn => $conn);
                $res->{status} == 204
                    or die "PUT $uri: $res->{status} "
                           . ($res->{error} || '') . "\n";
            }
        }
    }
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


sub bad_log {
    my ($nginx) = @_;

    my @bad = grep { /\[(alert|emerg|crit)\]|exited on signal/ }
              split /\n/, $nginx->log;

    print "$_\n" for @bad[0 .. ($#bad > 9 ? 9 : $#bad)];

    return scalar @bad;
}


# the section of a program in docs/performance.md, or BENCH_DOC

sub write_doc {
    my ($program, $text) = @_;

    my $doc = defined $ENV{BENCH_DOC} ? $ENV{BENCH_DOC}
                                      : "$RF::ROOT/docs/performance.md";
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
