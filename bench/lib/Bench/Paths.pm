package Bench::Paths;

# This module's paths of plain keys, and the configuration with them.  What they
# are compared with is in Peers.pm.

use strict;
use warnings;

use RF;
use Bench;

# when memory may answer in normal mode: what the memory hit is measured with

our $CACHE = 'cache tracking';

# proof: the store, and which of its counters must have moved by how many for
# each request, or else something other than the title was measured.
# goal: CPU time relative to the floor, by size.  server: whose CPU time stands
# beside it.  status: of each answer, where that is no 2xx.  most: the largest
# size.  files: it writes them, also long after, so it has an nginx of its own.
# in: the parts of bench/run where it is measured, beside "paths".

our @PATHS = (
    { id => 'memory_get', title => "memory hit (`$CACHE`)",
      method => 'GET', prefix => '/mem/%SIZE%/k',
      proof => ['mem', 'reads', 'memory', 1],
      goal => { 100 => 1.10, 4000 => 1.10 },
      in => [qw(workers keys tail)] },

    { id => 'redis_miss', title => 'miss, Redis has no such key (404)',
      method => 'GET', prefix => '/live/%SIZE%/m', status => 404, most => 100,
      server => 'redis', proof => ['live', 'reads', 'miss', 1] },

    { id => 'redis_get', title => 'Redis GET, TCP (`cache off`)',
      method => 'GET', prefix => '/live/%SIZE%/k', server => 'redis',
      proof => ['live', 'reads', 'redis', 1],
      goal => { 100 => 1.25, 4000 => 1.25 },
      in => [qw(workers keys tail connections)] },

    { id => 'redis_get_unix', title => 'Redis GET, unix socket',
      method => 'GET', prefix => '/sock/%SIZE%/k', server => 'redis',
      proof => ['sock', 'reads', 'redis', 1] },

    { id => 'redis_set', title => 'Redis SET, TCP',
      method => 'PUT', prefix => '/live/%SIZE%/s', body => 1,
      server => 'redis', proof => ['live', 'writes', 'redis', 1],
      goal => { 100 => 1.35 }, in => [qw(workers keys tail)] },

    { id => 'fallback_get', title => 'fallback GET',
      method => 'GET', prefix => '/down/%SIZE%/k',
      proof => ['down', 'reads', 'memory', 1],
      goal => { 100 => 1.12 }, in => [qw(workers keys tail)] },

    { id => 'fallback_set', title => 'fallback SET, with files',
      method => 'PUT', prefix => '/down/%SIZE%/k', body => 1, files => 1,
      proof => ['down', 'writes', 'local', 1], in => [qw(workers)] },

    { id => 'fallback_set_off', title => 'fallback SET, `path off`',
      method => 'PUT', prefix => '/bare/%SIZE%/k', body => 1,
      proof => ['bare', 'writes', 'local', 1],
      goal => { 100 => 1.20 }, in => [qw(workers keys tail)] },

    { id => 'set3_memory', title => '3 `redis_fallback_set`, memory',
      method => 'GET', prefix => '/set3mem/%SIZE%?n=', most => 4000,
      proof => ['mem', 'reads', 'memory', 3] },

    { id => 'set3_redis', title => '3 `redis_fallback_set`, Redis',
      method => 'GET', prefix => '/set3live/%SIZE%?n=', most => 4000,
      server => 'redis', proof => ['live', 'reads', 'redis', 3],
      goal => { 100 => 1.50 }, in => [qw(workers tail)] },

    { id => 'set3_proxy_memory',
      title => '3 `redis_fallback_set`, memory, then `proxy_pass`',
      method => 'GET', prefix => '/proxymem/%SIZE%?n=', most => 4000,
      backend => 1, proof => ['mem', 'reads', 'memory', 3] },

    { id => 'set3_proxy_redis',
      title => '3 `redis_fallback_set`, Redis, then `proxy_pass`',
      method => 'GET', prefix => '/proxylive/%SIZE%?n=', most => 4000,
      backend => 1, server => 'redis', proof => ['live', 'reads', 'redis', 3] },
);


sub floor_path {
    return { id => 'floor', title => '`return 200`', method => 'GET',
             prefix => '/floor/%SIZE%/k' };
}


# In the http block; "down" and "bare" never see a Redis.  Without a socket or
# a backend what needs them is left out; without files none are written; soon:
# those of "down" soon after the writes.

sub http_conf {
    my (%opt) = @_;

    my %server = (mem => $opt{redis}, live => $opt{redis},
                  down => $opt{down}, bare => $opt{down});
    my $soon = $opt{soon} ? 'write_interval 500ms' : '';
    my %more = (mem => $CACHE, live => 'cache off', sock => 'cache off',
                down => $soon);
    my $conf = "keepalive_requests 1000000000;\n"
               . "client_body_buffer_size 512k;\n" . floor_http();

    for my $store (sort keys %server) {
        $conf .= store($store, "127.0.0.1:$server{$store}",
                       $store eq 'bare' || $opt{no_files}
                       ? 'off' : "%%DIR%%/$store",
                       $more{$store});
    }

    $conf .= store('sock', "unix:$opt{unix}", 'off', $more{sock})
        if $opt{unix};

    $conf .= "upstream backend {\n    server 127.0.0.1:$opt{backend};\n"
             . "    keepalive 64;\n}\n"
        if $opt{backend};

    return $conf;
}


sub store {
    my ($name, $server, $path, $more) = @_;

    $more = $more ? "$more;" : '';

    return "redis_fallback_store $name {\n    zone 256m;\n"
           . "    server $server;\n    path $path;\n    $more\n}\n";
}


sub server_conf {
    my (%opt) = @_;

    my $conf = '';

    for my $store (qw(mem live down bare), $opt{unix} ? 'sock' : ()) {
        $conf .= "location /$store/ { redis_fallback_pass $store; }\n";
    }

    for my $size (@Bench::SIZES) {
        $conf .= floor_location($size);

        for my $store (qw(mem live)) {
            $conf .= "location = /set3$store/$size {\n" . set3($store, $size)
                     . "    return 200 \$a$store$size;\n}\n";

            next unless $opt{backend};

            $conf .= "location = /proxy$store/$size {\n" . set3($store, $size)
                     . to_backend($size) . "}\n";
        }
    }

    return $conf;
}


sub set3 {
    my ($store, $size) = @_;

    my %letter = (a => 'k', b => 'a', c => 'b');
    my $conf = "    redis_fallback $store;\n";

    for my $name (sort keys %letter) {
        $conf .= "    redis_fallback_set \$$name$store$size "
                 . "GET \"$size/$letter{$name}\$arg_n\";\n";
    }

    return $conf;
}


# a text of so many bytes; for texts of any size, in the http and the server

sub floor_http {
    return 'map $host $text4000 { default "' . 'v' x 4000 . "\"; }\n";
}


sub floor_location {
    my ($size) = @_;

    return "location /floor/$size/ { return 200 " . text($size) . "; }\n";
}


sub text {
    my ($size) = @_;

    return 'v' x $size if $size <= 4000;
    die "size $size: above 4000 it has to be a multiple of it\n"
        if $size % 4000;

    return '"' . '${text4000}' x ($size / 4000) . '"';
}


sub to_backend {
    my ($size) = @_;

    return "    proxy_pass http://backend/floor/$size/k;\n"
           . "    proxy_http_version 1.1;\n"
           . "    proxy_set_header Connection \"\";\n";
}


# The values that reads find: in Redis, and in each store's memory; last those
# that memory is to answer with, so that nobody changes them then, and each is read
# once, for Redis to vouch for it.  Those of "down" are what its SETs write, too.

sub fill {
    my ($nginx, $size, %opt) = @_;

    my $keys = $opt{keys} || Bench::keys_of($size);

    for my $store (@{ $opt{stores} || [qw(live down bare mem)] }) {
        my @letters = ($store eq 'mem' || $store eq 'live') && $size <= 4000
                      && !$opt{single} ? qw(k a b) : 'k';

        each_key($nginx, 'PUT', "/$store/$size/$_", $keys, $size)
            for @letters;

        next unless $store eq 'mem';

        each_key($nginx, 'GET', "/$store/$size/$_", $keys, $size)
            for @letters;
    }
}


# to PREFIX0001, ..., some at a time

sub each_key {
    my ($nginx, $method, $prefix, $keys, $size) = @_;

    my @body = $method eq 'PUT' ? (body => 'v' x $size) : ();
    my $conn = $nginx->conn;
    my $most = $size > 65536 ? 1 : 50;

    for (my $from = 1; $from <= $keys; $from += $most) {
        my $to = $from + $most - 1 < $keys ? $from + $most - 1 : $keys;
        my $end = RF::now() + RF::slow(30);

        $conn->write(join('', map {
            RF::HTTP::format_request($method, sprintf('%s%04d', $prefix, $_),
                keepalive => 1, @body) } $from .. $to), $end);

        for ($from .. $to) {
            my $res = RF::HTTP::read_response($conn, $method, $end);

            $res->{status} =~ /^2/
                or die sprintf "$method %s%04d: %s %s\n", $prefix, $_,
                       $res->{status}, $res->{error} || '';
        }
    }
}


1;
