package Bench::Bed;

# All servers of a part of bench/run, filled: an nginx with this module, another
# one for what writes files, one with the peers, a Redis, a memcached, and an
# nginx behind proxies.

use strict;
use warnings;

use RF;
use Bench;
use Bench::Paths;
use Bench::Peers;


# workers; files: with the nginx for what writes them; single: without the keys
# that only redis_fallback_set reads, and without files at all; keys: how many,
# instead of those of the size

sub new {
    my ($class, %opt) = @_;

    my $self = bless { workers => 1, %opt }, $class;
    my $n = $self->{workers};

    Bench::pin_others($n);

    $self->{redis} = Bench::Bed::Redis->new(unix => 1);
    $self->{memcached} = Bench::Bed::Memcached->new
        if Bench::Peers::have_deps();

    my $text = join '', map { Bench::Paths::floor_location($_) } @Bench::SIZES;

    $self->{backend} = RF::Nginx->new(
        workers => 1, module => 0, status => 0, log_level => 'notice',
        http => "keepalive_requests 1000000000;\n"
                . Bench::Paths::floor_http(), server => $text);

    my %port = (redis => $self->{redis}->port, down => RF::free_port(),
                unix => $self->{redis}->unix,
                backend => $self->{backend}->port,
                memcached => $self->{memcached} && $self->{memcached}{port});

    $port{no_files} = 1 if $opt{single};

    for my $name ('ours', $opt{files} ? 'files' : ()) {
        $self->{$name} = Bench::start_nginx(workers => $n,
            http => Bench::Paths::http_conf(%port, soon => $name eq 'ours'),
            server => Bench::Paths::server_conf(%port));
    }

    local $ENV{LD_LIBRARY_PATH} = Bench::Peers::libraries();

    $self->{peers} = Bench::start_nginx(workers => $n, module => 0,
        status => 0, main => Bench::Peers::main_conf(),
        http => Bench::Peers::http_conf(%port),
        server => Bench::Peers::server_conf(%port));

    $self->fill(%opt);

    return $self;
}


sub fill {
    my ($self, %opt) = @_;

    my $ours = $self->{ours};

    $ours->wait_mode('normal', 10, $_)
        || die "store \"$_\" does not become normal\n" for qw(mem live);

    for my $size (@Bench::SIZES) {
        my $keys = $opt{keys} || Bench::keys_of($size);

        Bench::Paths::fill($ours, $size, %opt, keys => $keys);
        Bench::Paths::fill($self->{files}, $size, stores => ['down'])
            if $self->{files};
        Bench::Peers::fill($self->{peers}, @$self{qw(redis memcached)},
                           $size, $keys, $opt{single});
    }

    for (['ours', 'down'], ['ours', 'bare'],
         $self->{files} ? ['files', 'down'] : ())
    {
        my ($name, $store) = @$_;

        $self->{$name}->wait_mode('fallback', 10, $store)
            || die "store \"$store\" is not in fallback mode\n";
    }

    # files of what was filled in come after two write_intervals: 500ms, 3s

    for (['ours', 2.5], $self->{files} ? ['files', 7.5] : ()) {
        my ($name, $seconds) = @$_;

        for my $pid ($self->{$name}->workers) {
            Bench::still($pid, $seconds, 60)
                || print "files of what was filled in are still written\n";
        }
    }
}


# an nginx with this module by itself, for what has no files, of one size

sub alone {
    my ($redis, $size) = @_;

    my @ports = (redis => $redis->port, unix => $redis->unix,
                 down => RF::free_port(), no_files => 1);
    my $nginx = Bench::start_nginx(http => Bench::Paths::http_conf(@ports),
                                   server => Bench::Paths::server_conf(@ports));

    $nginx->wait_mode('normal', 10, $_)
        || die "store \"$_\" does not become normal\n" for qw(mem live);
    Bench::Paths::fill($nginx, $size);

    return $nginx;
}


sub nginx {
    my ($self, $path) = @_;

    return $self->{$path->{peer} ? 'peers' : $path->{files} ? 'files' : 'ours'};
}


# the paths of a part that can be measured here, peers first; "wanted" is a hash
# of names, or empty

sub paths {
    my ($part, %wanted) = @_;

    my $deps = Bench::Peers::have_deps();

    return grep {
        my $path = $_;
        (!%wanted || $wanted{$path->{id}}) && ($deps || !$path->{deps})
        && ($part eq 'paths' || grep { $_ eq $part } @{ $path->{in} || [] })
    } all_paths();
}


sub all_paths { return (@Bench::Peers::PATHS, @Bench::Paths::PATHS) }


# one run of the floor, and one of the path

sub measure {
    my ($self, $path, $size, $seconds, %opt) = @_;

    my $server = $path->{server} ? $self->{$path->{server}} : undef;
    my %path = %$path;

    $opt{floor} = $self->{ours} if $path->{files};

    if ($path->{quiet}) {
        my ($pid) = $self->{backend}->workers;
        $path{quiet} = sub { $pid };
    }

    return Bench::compare($self->nginx($path), $server,
                          Bench::Paths::floor_path(), \%path, $size, $seconds,
                          %opt);
}


# that it answers with what is meant; the text of an error, or undef

sub wrong {
    my ($self, $path, $size) = @_;

    my $uri = Bench::prefix($path, $size) . '0001';
    my $res = $self->nginx($path)->request($path->{method}, $uri,
        $path->{body} ? (body => 'v' x $size) : ());
    my $expected = $path->{status} || qr/^2/;

    return "$uri: $res->{status}, " . ($res->{error} || 'not as expected')
        if $res->{status} !~ /$expected/;
    return "$uri: " . length($res->{body}) . ' bytes'
        if $path->{method} eq 'GET' && !$path->{status}
           && length $res->{body} != $size;

    return undef;
}


# ends all; true where a log has errors

sub stop {
    my ($self) = @_;

    my $bad = 0;

    for my $name (grep { $self->{$_} } qw(ours files peers backend)) {
        $bad += Bench::bad_log($self->{$name});
        $self->{$name}->stop;
    }

    $self->{redis}->stop;
    $self->{memcached}->stop if $self->{memcached};

    return $bad;
}


package Bench::Bed::Redis;

our @ISA;
BEGIN { @ISA = ('RF::Redis') }


# commands that it has executed

sub count { return $_[0]->info('stats')->{total_commands_processed} }

# reads of its sockets, where it counts them (6.0)

sub reads { return $_[0]->info('stats')->{total_reads_processed} }


package Bench::Bed::Memcached;

use RF;


sub new {
    my ($class) = @_;

    my $deps = "$RF::ROOT/build/bench-deps";
    my $dir = RF::tempdir('memcached');
    my $self = bless { port => RF::free_port(), dir => $dir }, $class;
    my $user = RF::worker_user();

    $self->{pid} = RF::spawn('memcached', "$dir/out",
        { LD_LIBRARY_PATH => Bench::Peers::libraries() }, "$deps/usr/bin/memcached",
        '-l', '127.0.0.1', '-p', $self->{port}, '-U', 0, '-t', 1, '-m', 1024,
        '-c', 4096, defined $user ? ('-u', $user) : ());

    RF::wait_for(sub { RF::Conn->new($self->{port}, timeout => 1)->{sock} }, 5)
        || die "memcached does not start:\n" . RF::slurp("$dir/out");

    $self->{conn} = RF::Conn->new($self->{port});

    return $self;
}


sub pid { return $_[0]{pid} }
sub reads { return undef }


sub stop { return RF::end(delete $_[0]{pid}, 'TERM') }


# gets and sets that it has executed

sub count {
    my ($self) = @_;

    my $end = RF::now() + 5;
    my $n = 0;

    $self->{conn}->write("stats\r\n", $end);

    while (defined(my $line = $self->{conn}->line($end))) {
        last if $line eq 'END';
        $n += $1 if $line =~ /^STAT cmd_[gs]et (\d+)/;
    }

    return $n;
}


sub fill {
    my ($self, $value, @keys) = @_;

    my $size = length $value;

    for my $key (@keys) {
        my $end = RF::now() + 10;

        $self->{conn}->write("set $key 0 0 $size\r\n$value\r\n", $end);

        my $line = $self->{conn}->line($end);
        die "memcached: set $key: " . ($line || $self->{conn}{error}) . "\n"
            if ($line || '') ne 'STORED';
    }
}


1;
