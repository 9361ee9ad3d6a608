# Nothing is allocated for a request beyond its pool: malloc() and its like are
# called as often as for a "return 200", and once more for each block that the
# pool needs where its first one is too small.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Shim;

plan(skip_all => 'malloc() is the sanitizer\'s') if $RF::SANITIZE;
plan(skip_all => Shim->missing) if Shim->missing;

plan(skip_all => 'needs glibc')
    if `getconf GNU_LIBC_VERSION 2> /dev/null` !~ /^glibc/;

my $source = "$RF::ROOT/t/lib/shim/count.c";
my $library = Shim::build('the count of allocations', "$RF::ROOT/build/count.so",
                          Shim::compiler() . " -O2 -g -Wall -Wextra -fPIC "
                          . "-shared '$source'", $source);

my $TIMES = 300;
my $redis = RF::Redis->new;
my $down = RF::free_port();
my $dir = RF::tempdir('count');
my $file = "$dir/count";

chmod 0755, $dir;
open my $fh, '+>:raw', $file or die "$file: $!\n";
syswrite $fh, "\0" x 4096;
chmod 0666, $file;

{
    package Count;

    sub env { return (LD_PRELOAD => $library, RF_COUNT => $file) }
}

my %stores = (
    mem  => "server 127.0.0.1:" . $redis->port . "; cache tracking;",
    live => "server 127.0.0.1:" . $redis->port . "; cache off;",
    down => "server 127.0.0.1:$down;",
);

my $http = "keepalive_requests 1000000;\n";
my $server = "location = /floor { return 200 text; }\n";

for my $store (sort keys %stores) {
    $http .= "redis_fallback_store $store {\n    zone 16m;\n    path off;\n"
             . "    $stores{$store}\n}\n";
    $server .= "location /$store/ { redis_fallback_pass $store; }\n"
               . "location /three/$store/ {\n    redis_fallback $store;\n"
               . join('', map { "    redis_fallback_set \$$store$_ GET k$_;\n" }
                          1 .. 3)
               . "    return 200 \$${store}1;\n}\n";
}

my $nginx = RF::Nginx->new(start => 0, workers => 1, http => $http,
                           server => $server);

$nginx->{shim} = bless {}, 'Count';
$nginx->start;
$nginx->wait_mode('normal', 10, $_) || die "$_: no Redis\n" for qw(mem live);


# calls of malloc() for a request, of many over one connection

sub allocations {
    my ($method, $uri, $status, $size) = @_;

    my $conn = $nginx->conn;
    my @body = $method eq 'PUT' ? (body => 'v' x $size) : ();
    my $request = RF::HTTP::format_request($method, $uri, keepalive => 1, @body);
    my ($began, %seen);

    # those before the first count: buffers that stay

    for my $n (1 .. 2 * $TIMES) {
        $began = count() if $n == $TIMES + 1;

        $conn->write($request, now() + slow(10));

        my $res = RF::HTTP::read_response($conn, $method, now() + slow(10));
        $seen{$res->{status}}++;
    }

    is(join(' ', %seen), "$status " . 2 * $TIMES, "$method $uri: answers");

    return (count() - $began) / $TIMES;
}


sub count {
    sysseek $fh, 0, 0;
    sysread $fh, my $data, 8;

    return unpack 'Q', $data;
}


# a request: method, URI, status, size, and the blocks of its pool that it takes
# beyond the first, for values, a body, or three operations

my @rows = (
    ['PUT', '/live/k1', 204, 100, 0],
    ['PUT', '/live/k2', 204, 100, 0],
    ['PUT', '/live/k3', 204, 100, 0],
    ['GET', '/live/k1', 200, 100, 0],
    ['GET', '/live/none', 404, 0, 0],
    ['GET', '/three/live/', 200, 100, 1],
    ['GET', '/mem/k1', 200, 100, 0],
    ['GET', '/mem/none', 404, 0, 0],
    ['GET', '/three/mem/', 200, 100, 1],
    ['PUT', '/down/k1', 204, 100, 0],
    ['GET', '/down/k1', 200, 100, 0],
    ['GET', '/down/none', 404, 0, 0],
    ['GET', '/three/down/', 200, 100, 1],
    ['PUT', '/live/large', 204, 4000, 3],
    ['GET', '/live/large', 200, 4000, 1],
    ['GET', '/mem/large', 200, 4000, 0],
    ['PUT', '/down/large', 204, 4000, 3],
    ['GET', '/down/large', 200, 4000, 0],
);

my $floor = allocations('GET', '/floor', 200, 0);

cmp_ok($floor, '>', 1, "return 200: they are counted, $floor a request");

for (@rows) {
    my ($method, $uri, $status, $size, $blocks) = @$_;
    my $more = allocations($method, $uri, $status, $size) - $floor;

    cmp_ok($more, '<', $blocks + 0.05,
           sprintf "%s %s, %d bytes: %.2f more, %d of them blocks of the pool",
                   $method, $uri, $size, $more, $blocks);
}

ok($nginx->stop, 'stops');
$nginx->check_logs;

done_testing;
