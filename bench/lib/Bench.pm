package Bench;

# What bench/run and bench/callgrind share: the paths that are measured, the
# configuration with them, the servers, and the CPU time of a process.

use strict;
use warnings;

use RF;
use Time::HiRes ();

our $KEYS = 1000;

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
                $opt{keys} || $KEYS,
                $path->{body} || $opt{body} ? $size : 0);

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
