package RF;

# Real servers for tests: nginx with the module, Redis, and peers that
# misbehave.  Everything listens on free loopback ports, lives in temporary
# directories, and is gone when the test ends, however it ends.
#
#     use lib 't/lib';
#     use RF;                         # Test::More, too
#
#     my $redis = RF::Redis->new;
#     my $nginx = RF::Nginx->new(
#         workers => 4,
#         http    => "redis_fallback_store app {
#                         server 127.0.0.1:" . $redis->port . ";
#                         path %%DIR%%/app;
#                     }",
#         server  => "location /kv/ { redis_fallback_pass app; }");
#
#     is($nginx->put('/kv/a', 'value')->{status}, 204);
#     is($redis->cmd('GET', 'a'), 'value');
#
#     $redis->kill;
#     $nginx->wait_mode('fallback');
#     $nginx->check_logs;
#     done_testing;
#
# Environment: RF_MODULE, the module (build/BUILD/...so is the default, BUILD
# being release); NGX_BIN, the nginx; REDIS_SERVER, the Redis; RF_SANITIZE=1, run nginx with the
# sanitizers' runtime (implied by BUILD=sanitize); RF_KEEP=1, leave the
# temporary directories; RF_SLOW, a factor for durations (see slow).

use strict;
use warnings;

use Cwd ();
use File::Basename ();
use File::Path ();
use File::Temp ();
use IO::Handle;
use IO::Socket::INET;
use POSIX ();
use Socket;
use Test::More;
use Time::HiRes ();

use parent 'Exporter';

our @EXPORT = (@Test::More::EXPORT,
               qw(wait_for free_port tmpfs tempdir is_root slow now waited));

our $ROOT = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/../..');
our $SANITIZE = $ENV{RF_SANITIZE}
                || ($ENV{BUILD} || '') eq 'sanitize';
our $SLOW = $ENV{RF_SLOW} || ($SANITIZE ? 3 : 2);

# s that a condition may take longer than is good: it costs only where it fails

our $PATIENCE = 20;

delete $ENV{NGINX};             # nginx' own variable: inherited sockets

my $owner = $$;
my %running;                    # pid => name, all that was started here
my @mounts;
my @dirs;
my %ports;


sub is_root { return $> == 0 }
sub now     { return Time::HiRes::time() }


# An upper bound in seconds, longer where the machine or the build is slow.  To
# be used where the duration is what is tested; see waited(), too.

sub slow { return $_[0] * $SLOW }


# Seconds that the processes of this test, or those given, have waited for a
# processor until now, those that have gone since included; and that the machine
# was somebody else's: what a duration may be longer by.

my %waited;                     # pid => ns

sub waited {
    my (@pids) = @_;

    for my $pid (@pids ? @pids : ($$, workers_of(), keys %running)) {
        $waited{$pid} = $1
            if slurp("/proc/$pid/schedstat") =~ /^\d+ (\d+) /;
    }

    my ($steal) = slurp('/proc/stat') =~ /^cpu (?: +\d+){7} +(\d+)/;
    my $ns = 0;

    $ns += $_ for values %waited;

    return $ns / 1e9 + ($steal || 0) / 100;
}


# the workers of each nginx that runs, old ones too

sub workers_of {
    return map { children_of($_) } grep { $running{$_} eq 'nginx' }
                                        keys %running;
}


# like children(), and quick where the kernel tells

sub children_of {
    my ($parent) = @_;

    my $file = "/proc/$parent/task/$parent/children";

    return -e $file ? split ' ', slurp($file) : children($parent);
}


# Returns when each worker has been at rest since: what had arrived at its
# sockets by then, the end of a connection or what Redis tells of a key, it has
# read and dealt with.

sub settle {
    my %left = map { $_ => 1 } workers_of();
    my $end = now() + slow(2);

    while (%left && now() < $end) {
        for my $pid (keys %left) {
            my ($state) = slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) (\S)/s;

            delete $left{$pid} if !defined $state || $state !~ /[RD]/;
        }

        Time::HiRes::sleep(0.001) if %left;
    }
}


sub module {
    my $build = $ENV{RF_FLAVOUR} || $ENV{BUILD}
                || ($SANITIZE ? 'sanitize' : 'release');
    my $name = 'ngx_http_redis_fallback_module.so';

    for my $file ($ENV{RF_MODULE}, "$ROOT/build/$build/$name",
                  "$ROOT/build/$name")
    {
        return Cwd::abs_path($file) if defined $file && -f $file;
    }

    die "no $name: run make\n";
}


sub nginx_binary {
    return $ENV{NGX_BIN} if $ENV{NGX_BIN};
    return -x '/usr/sbin/nginx' ? '/usr/sbin/nginx' : 'nginx';
}


# the account of nginx' workers, where the master may choose

sub worker_user {
    return undef unless is_root();

    for my $name ('www-data', 'nobody') {
        return $name if defined getpwnam($name);
    }

    return 'root';
}


sub sanitizer_env {
    my ($dir) = @_;

    return () unless $SANITIZE;

    my $preload = $ENV{RF_PRELOAD};

    if (!defined $preload) {
        my @libs;

        for my $lib ('libasan.so', 'libubsan.so') {
            chomp(my $file = `gcc -print-file-name=$lib`);
            push @libs, Cwd::abs_path($file) if $file =~ m{/};
        }

        $preload = join ':', @libs;
    }

    return (
        LD_PRELOAD    => $preload,
        ASAN_OPTIONS  => "detect_leaks=0:abort_on_error=0:log_path=$dir/asan",
        UBSAN_OPTIONS => "print_stacktrace=1:log_path=$dir/ubsan",
    );
}


# True as soon as the sub is, its value; false after the deadline, which is the
# time it should take at most (seconds) and $PATIENCE.  Less than a second is
# meant so: what is not to come, or may come or not.

sub wait_for(&;$) {
    my ($check, $seconds) = @_;

    $seconds = 5 unless defined $seconds;

    my $end = now() + ($seconds < 1 ? $seconds : slow($seconds) + $PATIENCE);
    my $pause = 0.005;

    for ( ;; ) {
        my $value = eval { $check->() };
        return $value if $value;
        return $value if now() >= $end;

        Time::HiRes::sleep($pause);
        $pause *= 1.5 if $pause < 0.1;
    }
}


# a port that nobody listens on, never the same twice.  Below the range that
# the kernel gives to outgoing connections, or one of those could take it before
# its server does; and held by a name of its own against other tests

sub free_port {
    my ($top) = slurp('/proc/sys/net/ipv4/ip_local_port_range') =~ /(\d+)/;
    $top = 32768 unless $top && $top > 12000;

    for (1 .. 1000) {
        my $port = 10240 + int rand($top - 10240);
        next if $ports{$port};

        my $mine = IO::Socket::UNIX->new(Listen => 1,
            Local => "\0redis-fallback-test-port-$port") or next;

        my $sock = IO::Socket::INET->new(Listen => 1, ReuseAddr => 1,
            LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'tcp')
            or next;
        close $sock;

        $ports{$port} = $mine;
        return $port;
    }

    die "no free port\n";
}


# a directory that nginx' workers can reach, removed at the end

sub tempdir {
    my ($name) = @_;

    my $dir = File::Temp::tempdir('rf-' . ($name || 'test') . '-XXXXXXXX',
                                  TMPDIR => 1);
    chmod 0755, $dir;
    push @dirs, $dir;

    return $dir;
}


# Shared memory that nginx has left behind, of the paths below a directory: as
# the end of the host would take it.  False where somebody has it attached still.

sub forget_memory {
    my ($dir) = @_;

    my %attached = map { $_->[1] => $_->[6] } map { [ split ] }
                   split /\n/, slurp('/proc/sysvipc/shm');
    my $used = 0;

    for my $lock (map { glob "$dir/$_" } 'lock', '*/lock', '*/*/lock') {
        for my $id (slurp($lock) =~ /\b(?:shm|next) (\d+) /g) {
            $used += $attached{$id} // 0;
            shmctl($id, 0, 0) unless $attached{$id} // 1;       # IPC_RMID
        }
    }

    return !$used;
}


# a directory with its own small filesystem; undef where we may not mount

sub tmpfs {
    my ($size) = @_;

    return undef unless is_root();

    my $dir = tempdir('tmpfs');

    system('mount', '-t', 'tmpfs', '-o', "size=$size,mode=0755", 'rf', $dir)
        == 0 or return undef;

    push @mounts, $dir;

    return $dir;
}


# starts a program; its output goes to a file

sub spawn {
    my ($name, $output, $env, @argv) = @_;

    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        die_with_parent($name =~ /^nginx/ ? POSIX::SIGTERM()
                                          : POSIX::SIGKILL());

        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $output or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT;

        for my $key (keys %$env) {
            $ENV{$key} = $env->{$key};
        }

        exec { $argv[0] } @argv or POSIX::_exit(127);
    }

    $running{$pid} = $name;

    return $pid;
}


# If this test is killed outright, its servers go as well (Linux).  nginx takes
# its workers with it; a Redis that cannot save would not heed SIGTERM.

sub die_with_parent {
    my ($signal) = @_;

    my $arch = (POSIX::uname())[4];
    my %number = (x86_64 => 157, aarch64 => 167);

    return unless $^O eq 'linux' && $number{$arch};

    my $PR_SET_PDEATHSIG = 1;
    syscall($number{$arch}, $PR_SET_PDEATHSIG, $signal, 0, 0, 0);
}


# has this child of ours ended?

sub reaped {
    my ($pid) = @_;

    return 1 unless exists $running{$pid};

    my $rc = waitpid($pid, POSIX::WNOHANG());
    return 0 if $rc == 0;

    delete $running{$pid};

    return 1;
}


# sends a signal and waits for the end, at last by force

sub end {
    my ($pid, $signal, $seconds) = @_;

    return 1 if reaped($pid);

    kill 'CONT', $pid;
    kill $signal, $pid;
    return 1 if wait_for(sub { reaped($pid) }, $seconds || 10);

    kill 'KILL', $pid;
    wait_for(sub { reaped($pid) }, 5);

    return 0;
}


# processes with this parent

sub children {
    my ($parent) = @_;

    my @pids;

    for my $file (glob '/proc/[0-9]*/stat') {
        open my $fh, '<', $file or next;
        my $line = <$fh>;
        next unless defined $line;
        push @pids, $1 if $line =~ /^(\d+) \(.*\) (\S) (\d+) /s
                          && $3 == $parent && $2 ne 'Z';
    }

    return sort { $a <=> $b } @pids;
}


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    local $/;
    my $text = <$fh>;

    return defined $text ? $text : '';
}


sub spew {
    my ($file, $text) = @_;

    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
}


sub cleanup {
    return unless defined $owner && $$ == $owner;

    local @SIG{qw(INT TERM HUP)} = ('IGNORE') x 3;

    # nginx masters take their workers with them, unless they were killed
    # outright: those are looked for before it is too late

    my @orphans;

    for my $pid (keys %running) {
        push @orphans, children($pid) if $running{$pid} eq 'nginx';
        kill 'CONT', $pid;
        kill $running{$pid} =~ /^nginx/ ? 'TERM' : 'KILL', $pid;
    }

    my $end = now() + slow(5);

    while (%running && now() < $end) {
        reaped($_) for keys %running;
        Time::HiRes::sleep(0.01) if %running;
    }

    for my $pid (keys %running) {
        kill 'KILL', $pid;
        waitpid($pid, 0);
        delete $running{$pid};
    }

    for my $pid (@orphans) {
        my $name = slurp("/proc/$pid/comm");
        kill 'KILL', $pid if $name =~ /^nginx/;
    }

    RF::Nginx::kill_orphans();
    &wait_for(sub { !grep { !forget_memory($_) } @dirs }, 0.9);

    system('umount', '-l', $_) for splice @mounts;

    return if $ENV{RF_KEEP};
    File::Path::remove_tree(splice(@dirs), { safe => 0, error => \my $err });
}


END {
    my $code = $?;
    cleanup();
    $? = $code;
}

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';


# A connection with deadlines.  Errors are strings in {error}, never die().

package RF::Conn;

use strict;
use warnings;
use Errno qw(EINPROGRESS EAGAIN EINTR);
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);


sub new {
    my ($class, $peer, %opt) = @_;

    my $self = bless { in => '', error => undef, peer => $peer }, $class;
    my ($sock, $addr);

    if ($peer =~ m{^unix:(.*)|^(/.*)}) {
        socket $sock, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!\n";
        $addr = pack_sockaddr_un(defined $1 ? $1 : $2);

    } else {
        my ($host, $port) = $peer =~ /^(?:\[?(.*?)\]?:)?(\d+)$/;
        $host = '127.0.0.1' unless defined $host;

        if ($host =~ /:/) {
            socket $sock, Socket::PF_INET6(), SOCK_STREAM, 0
                or die "socket: $!\n";
            $addr = Socket::pack_sockaddr_in6($port,
                        Socket::inet_pton(Socket::AF_INET6(), $host));
        } else {
            socket $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
            setsockopt $sock, IPPROTO_TCP, TCP_NODELAY, 1;
            $addr = pack_sockaddr_in($port, inet_aton($host));
        }
    }

    $self->{sock} = $sock;
    $sock->blocking(0);

    if (!connect($sock, $addr)) {
        if ($! != EINPROGRESS) {
            return $self->fail("connect: $!");
        }

        if (!$self->ready(1, RF::now() + ($opt{timeout} || 10))) {
            return $self->fail('connect: timed out');
        }

        my $err = unpack 'i', getsockopt($sock, SOL_SOCKET, SO_ERROR);

        if ($err) {
            local $! = $err;
            return $self->fail("connect: $!");
        }
    }

    return $self;
}


sub fail {
    my ($self, $error) = @_;

    $self->{error} = $error unless defined $self->{error};
    close $self->{sock} if $self->{sock};
    delete $self->{sock};

    return $self;
}


sub close { $_[0]->fail('closed') }


sub ready {
    my ($self, $write, $end) = @_;

    for ( ;; ) {
        my $left = $end - RF::now();
        return 0 if $left <= 0;

        my $bits = '';
        vec($bits, fileno $self->{sock}, 1) = 1;

        my $n = $write ? select(undef, $bits, undef, $left)
                       : select($bits, undef, undef, $left);
        return 1 if $n > 0;
    }
}


sub write {
    my ($self, $data, $end) = @_;

    my $done = 0;

    while ($done < length $data) {
        return 0 unless $self->{sock};

        my $n = syswrite $self->{sock}, $data, length($data) - $done, $done;

        if (defined $n) {
            $done += $n;
            next;
        }

        next if $! == EINTR;

        if ($! != EAGAIN) {
            # an answer may have come before the peer closed
            $self->{write_error} = "write: $!";
            return 0;
        }

        if (!$self->ready(1, $end)) {
            $self->fail('write: timed out');
            return 0;
        }
    }

    return 1;
}


# more bytes into {in}; 0 at the end of the stream or an error

sub more {
    my ($self, $end) = @_;

    for ( ;; ) {
        return 0 unless $self->{sock};

        my $n = sysread $self->{sock}, $self->{in}, 65536, length $self->{in};
        return 1 if $n;

        if (defined $n) {
            $self->fail('closed by peer');
            return 0;
        }

        next if $! == EINTR;

        if ($! != EAGAIN) {
            $self->fail("read: $!");
            return 0;
        }

        if (!$self->ready(0, $end)) {
            $self->fail('timed out');
            return 0;
        }
    }
}


sub line {
    my ($self, $end) = @_;

    for ( ;; ) {
        return $1 if $self->{in} =~ s/\A(.*?)\r?\n//s;
        return undef unless $self->more($end);
    }
}


sub bytes {
    my ($self, $n, $end) = @_;

    while (length $self->{in} < $n) {
        return undef unless $self->more($end);
    }

    return substr $self->{in}, 0, $n, '';
}


sub rest {
    my ($self, $end) = @_;

    1 while $self->more($end);

    return substr $self->{in}, 0, length $self->{in}, '';
}


# An HTTP/1.1 client.  A response is a hash: status (0 where there was none),
# reason, headers (names in lower case; repeated ones joined by ", "), body,
# elapsed (seconds), error (undef, or what went wrong).

package RF::HTTP;

use strict;
use warnings;


sub format_request {
    my ($method, $uri, %opt) = @_;

    my %headers = (Host => 'localhost', %{ $opt{headers} || {} });
    my $body = $opt{body};

    if (!$opt{keepalive} && !exists $headers{Connection}) {
        $headers{Connection} = 'close';
    }

    if (defined $body) {
        utf8::encode($body) if utf8::is_utf8($body);
        $headers{'Content-Length'} = length $body
            unless exists $headers{'Transfer-Encoding'};
    }

    my $out = "$method $uri HTTP/1.1\r\n";
    $out .= "$_: $headers{$_}\r\n" for sort keys %headers;

    return $out . "\r\n" . (defined $body ? $body : '');
}


sub read_response {
    my ($conn, $method, $end) = @_;

    my $res = { status => 0, reason => '', headers => {}, body => '' };
    my $line;

    do {
        $line = $conn->line($end);
        return { %$res, error => $conn->{error} } unless defined $line;

        if ($line !~ m{^HTTP/1\.[01] (\d\d\d) ?(.*)}) {
            return { %$res, error => "bad status line: $line" };
        }

        @$res{qw(status reason)} = ($1, $2);
        $res->{headers} = {};

        while (defined($line = $conn->line($end)) && $line ne '') {
            next unless $line =~ /^([^:]+):\s*(.*?)\s*$/;
            my ($name, $value) = (lc $1, $2);
            $res->{headers}{$name} = exists $res->{headers}{$name}
                ? "$res->{headers}{$name}, $value" : $value;
        }

        return { %$res, status => 0, error => $conn->{error} }
            unless defined $line;

    } while ($res->{status} =~ /^1/);

    my $h = $res->{headers};

    if ($method eq 'HEAD' || $res->{status} =~ /^(204|304)$/) {
        # no body

    } elsif (($h->{'transfer-encoding'} || '') =~ /chunked/i) {
        for ( ;; ) {
            my $size = $conn->line($end);
            last unless defined $size;
            $size = hex $size;
            my $chunk = $conn->bytes($size + 2, $end);
            last unless defined $chunk;
            last if $size == 0;
            $res->{body} .= substr $chunk, 0, $size;
        }
        $res->{error} = $conn->{error};

    } elsif (defined $h->{'content-length'}) {
        my $body = $conn->bytes($h->{'content-length'}, $end);
        $res->{error} = $conn->{error} unless defined $body;
        $res->{body} = defined $body ? $body : $conn->{in};

    } else {
        $res->{body} = $conn->rest($end);
    }

    if (($h->{connection} || '') =~ /close/i) {
        $conn->close;
    }

    return $res;
}


# one request; with "conn" (of an earlier one, or RF::Conn->new) on it

sub request {
    my ($peer, $method, $uri, %opt) = @_;

    my $start = RF::now();
    my $end = $start + RF::slow($opt{timeout} || 15);

    $opt{keepalive} = 1 if $opt{conn};
    my $conn = $opt{conn} || RF::Conn->new($peer, timeout => $end - $start);
    my $res;

    if ($conn->{sock}) {
        $conn->write(format_request($method, $uri, %opt), $end);
        $res = read_response($conn, $method, $end);
    } else {
        $res = { status => 0, reason => '', headers => {}, body => '',
                 error => $conn->{error} };
    }

    $res->{elapsed} = RF::now() - $start;

    return $res;
}


# Many requests at once, a connection for each: [method, uri, options...].
# Returns the responses in the same order.

sub parallel {
    my ($peer, $seconds, @requests) = @_;

    my $end = RF::now() + RF::slow($seconds);
    my @conns = map { RF::Conn->new($peer, timeout => 5) } @requests;
    my (@start, @done, @responses);

    for my $i (0 .. $#requests) {
        my ($method, $uri, %opt) = @{ $requests[$i] };
        $start[$i] = RF::now();
        $conns[$i]->write(format_request($method, $uri, %opt), $end)
            if $conns[$i]{sock};
    }

    # whose response begins to come is read to its end

    my %left = map { $_ => 1 } 0 .. $#requests;

    while (%left) {
        my $bits = '';

        for my $i (keys %left) {
            if (!$conns[$i]{sock} || RF::now() >= $end) {
                $responses[$i] = { status => 0, headers => {}, body => '',
                    error => $conns[$i]{error} || 'timed out',
                    elapsed => RF::now() - $start[$i] };
                delete $left{$i};
                next;
            }

            vec($bits, fileno $conns[$i]{sock}, 1) = 1;
        }

        last unless %left;

        select(my $ready = $bits, undef, undef, 0.05) or next;

        for my $i (keys %left) {
            next unless vec $ready, fileno $conns[$i]{sock}, 1;

            my $res = read_response($conns[$i], $requests[$i][0], $end);
            $res->{elapsed} = RF::now() - $start[$i];
            $responses[$i] = $res;
            $conns[$i]->close if $conns[$i]{sock};
            delete $left{$i};
        }
    }

    return @responses;
}


# A Redis of its own.
#
#     conf         more lines of redis.conf
#     password     requirepass
#     acl          text of an aclfile
#     unix         listens on a socket too: ->unix is its path
#     maxmemory    with noeviction
#     maxclients
#     replicaof    another RF::Redis
#     persist      saves at shutdown, loads at start
#     port         instead of a free one
#     start        0: not yet

package RF::Redis;

use strict;
use warnings;

# s from a change by somebody else on until each read knows of it, where memory
# may answer and no worker waits for a processor; and what is a change

our $PROMISE = 0.010;

my %CHANGES = map { $_ => 1 } qw(SET GETSET SETEX MSET APPEND INCR INCRBY DECR
    DEL UNLINK GETDEL EXPIRE PEXPIRE PERSIST RENAME HSET HDEL HINCRBY LPUSH
    RPUSH LPOP RPOP LREM LSET LTRIM SADD SREM SPOP ZADD ZREM ZINCRBY FLUSHALL
    FLUSHDB EVAL);


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        %opt,
        dir  => RF::tempdir('redis'),
        port => $opt{port} || RF::free_port(),
    }, $class;

    $self->start unless exists $opt{start} && !$opt{start};

    return $self;
}


sub port { $_[0]{port} }
sub pid  { $_[0]{pid} }
sub dir  { $_[0]{dir} }
sub unix { "$_[0]{dir}/redis.sock" }


sub program { return $ENV{REDIS_SERVER} || 'redis-server' }


# 70015 is 7.0.15; Valkey says what Redis it was once

my $version;

sub version {
    if (!defined $version) {
        my $program = program();
        my $text = `"$program" --version`;
        my @parts = $text =~ /v=(\d+)\.(\d+)\.(\d+)/
            or die "$program: no version\n";

        $version = $text =~ /^Valkey/ ? 70200 + $parts[2]
                   : $parts[0] * 10000 + $parts[1] * 100 + $parts[2];
    }

    return $version;
}


# Rules of an ACL as this server knows them: Redis 6.0 has no channels, and
# before 7.0 a subcommand cannot be taken away, but be given alone

sub rules {
    my ($text) = @_;

    $text =~ s/ &\S+//g if version() < 60200;

    if (version() < 70000) {
        my @needed = qw(client|id client|kill client|tracking);

        $text =~ s{ -client\|(\w+)}
                  {' -client' . join '', map { " +$_" }
                                        grep { $_ ne "client|$1" } @needed}ge;
    }

    return $text;
}


sub write_conf {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $conf = <<END;
bind 127.0.0.1
port $self->{port}
dir $dir
dbfilename dump.rdb
daemonize no
loglevel notice
save ""
appendonly no
repl-diskless-sync-delay 0
END

    $conf .= "requirepass $self->{password}\n" if defined $self->{password};
    $conf .= "maxclients $self->{maxclients}\n" if $self->{maxclients};
    $conf .= "maxmemory $self->{maxmemory}\nmaxmemory-policy noeviction\n"
        if $self->{maxmemory};
    $conf .= "replicaof 127.0.0.1 $self->{replicaof}{port}\n"
        if $self->{replicaof};

    if ($self->{unix}) {
        $conf .= "unixsocket $dir/redis.sock\nunixsocketperm 777\n";
    }

    if (defined $self->{acl}) {
        RF::spew("$dir/users.acl", rules($self->{acl}));
        $conf .= "aclfile $dir/users.acl\n";
    }

    $conf .= "$self->{conf}\n" if defined $self->{conf};

    RF::spew("$dir/redis.conf", $conf);
}


sub start {
    my ($self, %opt) = @_;

    return $self if $self->{pid};

    $self->write_conf;
    $self->{log} = "$self->{dir}/redis.log";

    # the port was free a moment ago, and may take a moment to be so again

    for my $try (1 .. 5) {
        $self->{pid} = RF::spawn('redis', $self->{log}, {},
            program(), "$self->{dir}/redis.conf")
            or die;

        my $up = RF::wait_for(sub {
            return -1 if RF::reaped($self->{pid});
            return $opt{loading} ? $self->connects : $self->alive;
        }, 20);

        return $self if $up && $up > 0;

        RF::end($self->{pid}, 'KILL') unless RF::reaped($self->{pid});
        delete $self->{pid};
        Time::HiRes::sleep(0.2);
    }

    die "redis-server does not start:\n" . RF::slurp($self->{log});
}


sub connects {
    my ($self) = @_;

    my $conn = RF::Conn->new($self->{port}, timeout => 1);
    my $ok = $conn->{sock} ? 1 : 0;
    $conn->close;

    return $ok;
}


# does it answer?  An error is an answer, LOADING aside

sub alive {
    my ($self) = @_;

    my $conn = RF::Conn->new($self->{port}, timeout => 1);
    my ($value, $error) = talk($conn, 1, 'PING');
    $conn->close;

    return 0 unless defined $value || defined $error;
    return 0 if defined $error && $error !~ /^[A-Z]+ /;
    return 0 if defined $error && $error =~ /^(LOADING|ERR max)/;

    return 1;
}


# graceful, as SHUTDOWN; nothing is saved unless "persist"

sub stop {
    my ($self) = @_;

    return unless $self->{pid};

    $self->drop;

    if ($self->{persist}) {
        eval { $self->cmd('SAVE') };
        $self->drop;
    }

    RF::end(delete $self->{pid}, 'TERM');
    RF::settle();

    return $self;
}


# nginx has read the end of its connections when this returns, and stop()

sub kill {
    my ($self) = @_;

    return unless $self->{pid};

    $self->drop;
    RF::end(delete $self->{pid}, 'KILL');
    RF::settle();

    return $self;
}


sub pause  { CORE::kill('STOP', $_[0]{pid}); return $_[0] }
sub resume { CORE::kill('CONT', $_[0]{pid}); return $_[0] }


sub restart {
    my ($self) = @_;

    $self->stop;

    return $self->start;
}


sub drop {
    my ($self) = @_;

    my $conn = delete $self->{conn};
    $conn->close if $conn;
}


sub encode {
    my @argv = @_;

    for (@argv) { utf8::encode($_) if utf8::is_utf8($_) }

    return '*' . @argv . "\r\n"
           . join '', map { '$' . length($_) . "\r\n$_\r\n" } @argv;
}


# (value, error); an array is a reference, nil is undef, errors inside of an
# array are RF::Redis::Error

sub read_reply {
    my ($conn, $end) = @_;

    my $line = $conn->line($end);
    return (undef, $conn->{error}) unless defined $line;

    my $type = substr $line, 0, 1, '';

    return ($line, undef) if $type eq '+' || $type eq ':';
    return (undef, $line) if $type eq '-';

    if ($type eq '$') {
        return (undef, undef) if $line < 0;
        my $data = $conn->bytes($line + 2, $end);
        return (undef, $conn->{error}) unless defined $data;
        return (substr($data, 0, $line), undef);
    }

    if ($type eq '*') {
        return (undef, undef) if $line < 0;
        my @values;

        for (1 .. $line) {
            my ($value, $error) = read_reply($conn, $end);
            push @values, defined $error
                          ? bless(\$error, 'RF::Redis::Error') : $value;
        }

        return (\@values, undef);
    }

    return (undef, "bad reply: $type$line");
}


sub talk {
    my ($conn, $seconds, @argv) = @_;

    return (undef, $conn->{error}) unless $conn->{sock};

    my $end = RF::now() + RF::slow($seconds);
    $conn->write(encode(@argv), $end);

    return read_reply($conn, $end);
}


# (value, error) over a kept connection, which logs in where there is a
# password

sub try {
    my ($self, @argv) = @_;

    my $conn = $self->{conn};

    if (!$conn || !$conn->{sock}) {
        $conn = $self->{conn} = RF::Conn->new($self->{port}, timeout => 5);

        if (defined $self->{password}) {
            my (undef, $error) = talk($conn, 5, 'AUTH', $self->{password});
            return (undef, $error) if defined $error;
        }

        if ($self->{database}) {
            talk($conn, 5, 'SELECT', $self->{database});
        }
    }

    return talk($conn, 20, @argv);
}


# the value; dies of an error

sub cmd {
    my ($self, @argv) = @_;

    my ($value, $error) = $self->try(@argv);
    die "$argv[0]: $error\n" if defined $error;

    $self->seen if $PROMISE && $CHANGES{uc $argv[0]};
    RF::settle() if uc "@argv" =~ /^CLIENT KILL /;

    return $value;
}


# What was changed is known to all workers when this returns: Redis has told
# them all it had to when it answers the next command.

sub seen {
    my ($self) = @_;

    Time::HiRes::sleep(0.010);
    $self->try('PING');
    RF::settle();
}


# many commands in one go, their values (undef for an error, too)

sub pipeline {
    my ($self, @commands) = @_;

    $self->cmd('PING');
    my $end = RF::now() + RF::slow(60);
    my @values;

    while (my @some = splice @commands, 0, 1000) {
        $self->{conn}->write(join('', map { encode(@$_) } @some), $end);
        push @values, (read_reply($self->{conn}, $end))[0] for @some;
    }

    return @values;
}


sub info {
    my ($self, @section) = @_;

    my %info;

    for (split /\r?\n/, $self->cmd('INFO', @section)) {
        $info{$1} = $2 if /^([^#:]+):(.*)$/;
    }

    return \%info;
}


# how often each command was called: { get => 3, ... }

sub calls {
    my ($self) = @_;

    my $info = $self->info('commandstats');
    my %calls;

    for (keys %$info) {
        next unless /^cmdstat_(.*)/;
        my $name = $1;
        $calls{$name} = $1 if $info->{$_} =~ /calls=(\d+)/;
    }

    return \%calls;
}


package RF::Redis::Error;

use overload '""' => sub { ${ $_[0] } }, fallback => 1;


# An nginx with the module.  %%DIR%% and %%PORT%% are replaced in all texts.
#
#     http, server, main   configuration, where it belongs; server: of a
#                          server that listens on ->port
#     conf                 the whole configuration instead
#     workers              1
#     log_level            info
#     module               0: the module is not loaded
#     status               0: no status page of the harness
#     start                0: not yet

package RF::Nginx;

use strict;
use warnings;
use JSON::PP ();
use Test::More;

# pid => when it was started, in case a master is killed: the number may be
# another process's by then, even another test's nginx

my %workers_seen;


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        workers => 1, log_level => 'info', %opt,
        dir         => RF::tempdir('nginx'),
        port        => RF::free_port(),
        status_port => RF::free_port(),
        log_seen    => 0,
    }, $class;

    mkdir "$self->{dir}/$_" for qw(logs conf html);
    chmod 0777, "$self->{dir}/logs";
    chmod 0777, $self->{dir} if $RF::SANITIZE;

    $self->start unless exists $opt{start} && !$opt{start};

    return $self;
}


sub port   { $_[0]{port} }
sub pid    { $_[0]{pid} }
sub dir    { $_[0]{dir} }
sub conf   { "$_[0]{dir}/conf/nginx.conf" }


sub write_conf {
    my ($self) = @_;

    my $text = defined $self->{conf} ? $self->{conf} : $self->default_conf;

    $text =~ s/%%DIR%%/$self->{dir}/g;
    $text =~ s/%%PORT%%/$self->{port}/g;

    RF::spew($self->conf, $text);
}


sub preamble {
    my ($self) = @_;

    my $user = RF::worker_user();
    my $text = '';

    $text .= 'load_module ' . RF::module() . ";\n"
        unless exists $self->{module} && !$self->{module};
    $text .= "user $user;\n" if defined $user;
    $text .= "env $_;\n"
        for $RF::SANITIZE ? qw(LD_PRELOAD ASAN_OPTIONS UBSAN_OPTIONS) : ();

    return $text . <<END;
daemon off;
worker_processes $self->{workers};
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/logs/error.log $self->{log_level};
END
}


sub http_preamble {
    return <<'END';
    access_log off;
    default_type text/plain;
    client_body_temp_path %%DIR%%/client_body;
    proxy_temp_path %%DIR%%/proxy;
    fastcgi_temp_path %%DIR%%/fastcgi;
    uwsgi_temp_path %%DIR%%/uwsgi;
    scgi_temp_path %%DIR%%/scgi;
END
}


sub default_conf {
    my ($self) = @_;

    my %part = map { $_ => defined $self->{$_} ? $self->{$_} : '' }
               qw(main http server events);
    my $status = '';

    if (!exists $self->{status} || $self->{status}) {
        $status = <<END;
    server {
        listen 127.0.0.1:$self->{status_port};
        location / { redis_fallback_status json; }
    }
END
    }

    # nginx warns of more than it may have open, as a plain user's does

    my $max = POSIX::sysconf(POSIX::_SC_OPEN_MAX()) || 1024;
    my $connections = $max < 4096 ? $max : 4096;

    return $self->preamble . <<END . $self->http_preamble . <<END;
$part{main}
events {
    worker_connections $connections;
    $part{events}
}
http {
END
$part{http}
    server {
        listen 127.0.0.1:%%PORT%%;
        $part{server}
    }
$status
}
END
}


sub argv {
    my ($self) = @_;

    # "wrap": a program that becomes nginx

    return (@{ $self->{wrap} || [] }, RF::nginx_binary(), '-p', "$self->{dir}/", '-c', $self->conf,
            '-e', "$self->{dir}/logs/error.log");
}


# nginx -t: (exit code, output)

sub test {
    my ($self) = @_;

    $self->write_conf;

    my $out = "$self->{dir}/test.out";
    unlink $out;

    my $pid = RF::spawn('nginx -t', $out, { RF::sanitizer_env($self->{dir}) },
        RF::nginx_binary(), '-t', '-p', "$self->{dir}/", '-c', $self->conf,
        '-e', 'stderr');

    waitpid $pid, 0;
    my $code = $?;
    RF::reaped($pid);

    return ($code >> 8 || $code & 127, RF::slurp($out));
}


sub start {
    my ($self, %opt) = @_;

    return $self if $self->{pid};

    $self->write_conf;
    unlink "$self->{dir}/nginx.pid";

    my %env = RF::sanitizer_env($self->{dir});
    %env = (%env, $self->{shim}->env(%env)) if $self->{shim};

    $self->{pid} = RF::spawn('nginx', "$self->{dir}/stderr.log", \%env,
                             $self->argv);

    my $up = RF::wait_for(sub {
        return -1 if RF::reaped($self->{pid});
        return 0 unless -s "$self->{dir}/nginx.pid";
        return $self->workers >= $self->{workers};
    }, $opt{within} || 20);

    if (!$up || $up < 0) {
        delete $self->{pid};
        die "nginx does not start:\n" . RF::slurp("$self->{dir}/stderr.log")
            . $self->log;
    }

    return $self;
}


# by default the graceful way

sub stop {
    my ($self, $signal, $seconds) = @_;

    return 1 unless $self->{pid};

    $self->workers;
    my $ok = RF::end(delete $self->{pid}, $signal || 'QUIT', $seconds || 15);

    # workers of an earlier configuration end on their own

    my $seen = $self->{seen} || {};

    RF::wait_for(sub { !grep { running_nginx($_, $seen->{$_}) } keys %$seen },
                 $seconds || 15) if $ok;
    $self->{seen} = {};

    return $ok;
}


# of its paths, wherever they are

sub forget_memory {
    my ($self) = @_;

    my %paths = map { $_ => 1 }
                RF::slurp($self->conf) =~ /^\s*path\s+([^\s;]+)/mg;

    return !grep { !RF::forget_memory($_) } keys %paths;
}


# outright, the workers too: nothing is flushed.  What is in shared memory goes
# as well, as if the host had crashed, except with "keep"

sub kill {
    my ($self, %opt) = @_;

    return unless $self->{pid};

    # all of its children: one that was forked a moment ago does not call itself
    # a worker yet.  The master starts no others meanwhile

    my $master = delete $self->{pid};

    CORE::kill('STOP', $master);

    my @pids = RF::children($master);
    $workers_seen{$_} = started($_) for @pids;

    CORE::kill('KILL', $master, @pids);
    RF::wait_for(sub { RF::reaped($master) }, 5);
    RF::wait_for(sub { !grep { running_nginx($_) } @pids }, 5);

    # a process loses its name before its memory and its sockets

    RF::wait_for(sub { $self->forget_memory }, 0.9) unless $opt{keep};

    my $conf = RF::slurp($self->conf);

    for my $port ($conf =~ /\blisten\s+127\.0\.0\.1:(\d+)/g) {
        RF::wait_for(sub {
            my $sock = IO::Socket::INET->new(Listen => 1, ReuseAddr => 1,
                LocalAddr => '127.0.0.1', LocalPort => $port);
            return $sock && close $sock;
        }, 5);
    }
}


sub signal {
    my ($self, $signal) = @_;

    return CORE::kill($signal, $self->{pid});
}


# what the sub does is done while no worker sees it: Redis starts, and somebody
# else is faster than the replay

sub behind {
    my ($self, $sub) = @_;

    my @pids = $self->workers;

    CORE::kill('STOP', @pids);
    $sub->();
    CORE::kill('CONT', @pids);
}


sub workers {
    my ($self) = @_;

    return () unless $self->{pid};

    my @pids = grep { RF::slurp("/proc/$_/cmdline") =~ /worker process/ }
                    RF::children($self->{pid});
    $workers_seen{$_} = $self->{seen}{$_} = started($_) for @pids;

    return @pids;
}


# jiffies since the boot, the 22nd field

sub started {
    my ($pid) = @_;

    my ($fields) = RF::slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) (.*)/s;

    return defined $fields ? (split ' ', $fields)[19] : 0;
}


# "started": and it is the one that was started then

sub running_nginx {
    my ($pid, $started) = @_;

    my $stat = RF::slurp("/proc/$pid/stat");

    return $stat =~ /^\d+ \(nginx\) [^Z]/
           && (!defined $started || $started == started($pid));
}


sub kill_orphans {
    CORE::kill('KILL', $_)
        for grep { running_nginx($_, $workers_seen{$_}) } keys %workers_seen;
}


# With new configuration texts, if any.  Waits until new workers are there and
# the old ones have stopped listening; returns 0 where nginx refused.

sub reload {
    my ($self, %opt) = @_;

    $self->{$_} = $opt{$_} for keys %opt;
    $self->write_conf;

    my %old = map { $_ => 1 } $self->workers;
    my $seen = length $self->log;

    $self->signal('HUP');

    my $ok = RF::wait_for(sub {
        my $log = substr $self->log, $seen;
        return -1 if $log =~ /\[emerg\]/;
        return 0 unless $self->workers;
        my @new = grep { !$old{$_} } $self->workers;
        return @new >= $self->{workers};
    }, 20);

    return 0 unless $ok && $ok > 0;

    # the old ones have been told when the first of them says so or is gone

    RF::wait_for(sub {
        for my $pid (keys %old) {
            next unless running_nginx($pid);
            return 0 unless RF::slurp("/proc/$pid/cmdline") =~ /shutting/;
        }
        return 1;
    }, 5);

    return 1;
}


sub request {
    my ($self, $method, $uri, %opt) = @_;

    return RF::HTTP::request($self->{port}, $method, $uri, %opt);
}


sub get    { my $self = shift; return $self->request('GET', @_) }
sub head   { my $self = shift; return $self->request('HEAD', @_) }
sub delete { my $self = shift; return $self->request('DELETE', @_) }


sub put {
    my ($self, $uri, $body, %opt) = @_;

    return $self->request('PUT', $uri, %opt, body => $body);
}


sub post {
    my ($self, $uri, $body, %opt) = @_;

    return $self->request('POST', $uri, %opt, body => $body);
}


# a connection to be passed as "conn", for requests that go to one worker

sub conn { return RF::Conn->new($_[0]{port}) }


sub parallel {
    my ($self, $seconds, @requests) = @_;

    return RF::HTTP::parallel($self->{port}, $seconds, @requests);
}


# the status page, decoded; of one store where it is named

sub status {
    my ($self, $store) = @_;

    my $res = RF::HTTP::request($self->{status_port}, 'GET', '/',
                                timeout => 5);
    return undef unless $res->{status} == 200;

    my $json = eval { JSON::PP::decode_json($res->{body}) };
    return undef unless $json;

    return defined $store ? $json->{stores}{$store} : $json;
}


# waits until the store (the only one, or the named) is in this mode

sub wait_mode {
    my ($self, $mode, $seconds, $store) = @_;

    return RF::wait_for(sub {
        my $stores = ($self->status || return 0)->{stores};
        my $name = defined $store ? $store : (sort keys %$stores)[0];
        return $stores->{$name}{mode} eq $mode;
    }, $seconds || 10);
}


sub log { return RF::slurp("$_[0]{dir}/logs/error.log") }


# what was logged since the last call

sub new_log {
    my ($self) = @_;

    my $text = substr $self->log, $self->{log_seen};
    $self->{log_seen} += length $text;

    return $text;
}


# A test: no [alert], [emerg], crash or sanitizer report, but for lines that
# match one of the patterns in "allow".  Debian's nginx warns of a reload's
# "[alert] ... exited on signal" too, so a test that kills says so.

sub check_logs {
    my ($self, %opt) = @_;

    my @allow = ref $opt{allow} eq 'ARRAY' ? @{ $opt{allow} }
                : defined $opt{allow} ? $opt{allow} : ();
    my @bad;

    for my $line (split /\n/, $self->log . RF::slurp("$self->{dir}/stderr.log"))
    {
        next unless $line =~ /\[(alert|emerg)\]|exited on signal
                              |Sanitizer|runtime\ error:/x;
        next if grep { $line =~ $_ } @allow;
        push @bad, $line;
    }

    for my $file (glob "$self->{dir}/asan.* $self->{dir}/ubsan.*") {
        push @bad, RF::slurp($file);
    }

    my $name = $opt{name} || 'the logs are clean';
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok(!@bad, $name) || diag(join "\n", @bad[0 .. ($#bad > 40
                                                          ? 40 : $#bad)]);
}


# A peer whose listen queue is full: a connect is never answered.

package RF::BlackHole;

use strict;
use warnings;
use Socket;


sub new {
    my ($class, %opt) = @_;

    my $port = $opt{port} || RF::free_port();
    my $addr = pack_sockaddr_in($port, inet_aton('127.0.0.1'));

    socket my $listen, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    setsockopt $listen, SOL_SOCKET, SO_REUSEADDR, 1;
    bind $listen, $addr or die "bind: $!\n";
    listen $listen, 0 or die "listen: $!\n";

    my $self = bless { port => $port, listen => $listen, fill => [] }, $class;

    # until one does not get through any more

    for (1 .. 16) {
        socket my $sock, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
        $sock->blocking(0);
        connect $sock, $addr;
        push @{ $self->{fill} }, $sock;

        my $bits = '';
        vec($bits, fileno $sock, 1) = 1;
        last unless select undef, $bits, undef, 0.2;
    }

    return $self;
}


sub port { $_[0]{port} }


sub close {
    my ($self) = @_;

    CORE::close($_) for @{ $self->{fill} };
    CORE::close($self->{listen}) if $self->{listen};
    delete $self->{listen};
}


# A peer that speaks RESP and answers what the test says:
#
#     RF::Fake->new(sub { my @argv = @_; return "+PONG\r\n" });
#
# The sub runs in a process of its own: it returns the reply's bytes, '' for
# none ever, undef to close the connection.  With no sub: accepts, and never
# says a word.  ->commands is what arrived so far, as an array of arrays.

package RF::Fake;

use strict;
use warnings;
use IO::Socket::INET;
use IO::Select;


sub new {
    my ($class, $answer, %opt) = @_;

    my $self = bless {
        answer => $answer || sub { '' },
        port   => $opt{port} || RF::free_port(),
        log    => RF::tempdir('fake') . '/commands',
    }, $class;

    return $self->start;
}


sub port { $_[0]{port} }
sub pid  { $_[0]{pid} }


sub start {
    my ($self) = @_;

    my $listen = IO::Socket::INET->new(Listen => 512, ReuseAddr => 1,
        LocalAddr => '127.0.0.1', LocalPort => $self->{port})
        or die "listen: $!\n";

    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
        RF::die_with_parent(POSIX::SIGKILL());
        eval { $self->serve($listen) };
        warn $@ if $@;
        POSIX::_exit(0);
    }

    $running{$pid} = 'fake';
    $self->{pid} = $pid;

    return $self;
}


sub stop {
    my ($self) = @_;

    RF::end(delete $self->{pid}, 'KILL') if $self->{pid};
}


sub serve {
    my ($self, $listen) = @_;

    open my $log, '>>:raw', $self->{log} or die;
    $log->autoflush(1);

    my $select = IO::Select->new($listen);
    my %in;

    for ( ;; ) {
        for my $sock ($select->can_read) {
            if ($sock == $listen) {
                my $conn = $listen->accept or next;
                $select->add($conn);
                $in{$conn} = '';
                next;
            }

            my $n = sysread $sock, $in{$sock}, 65536, length $in{$sock};
            my $open = $n ? 1 : 0;

            while ($open && (my @argv = parse(\$in{$sock}))) {
                print $log JSON::PP::encode_json(
                    [map { unpack 'H*', $_ } @argv]), "\n";
                my $reply = $self->{answer}->(@argv);
                $open = 0 unless defined $reply;
                $sock->blocking(1);
                syswrite $sock, $reply if $open && length $reply;
            }

            if (!$open) {
                $select->remove($sock);
                delete $in{$sock};
                close $sock;
            }
        }
    }
}


# takes one command off the buffer; () if it is not complete

sub parse {
    my ($in) = @_;

    return unless $$in =~ /\A\*(\d+)\r\n/g;

    my ($n, $pos, @argv) = ($1, $+[0]);

    for (1 .. $n) {
        pos($$in) = $pos;
        return unless $$in =~ /\G\$(\d+)\r\n/g;
        my ($len, $at) = ($1, $+[0]);
        return if length $$in < $at + $len + 2;
        push @argv, substr $$in, $at, $len;
        $pos = $at + $len + 2;
    }

    substr $$in, 0, $pos, '';

    return @argv;
}


sub commands {
    my ($self) = @_;

    return map { [map { pack 'H*', $_ } @{ JSON::PP::decode_json($_) }] }
           split /\n/, RF::slurp($self->{log});
}


1;
