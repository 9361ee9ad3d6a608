# Values and keys byte for byte, through every way a body can come.

use strict;
use warnings;
use lib 't/lib';
use RF;

my $redis = RF::Redis->new;
my $nginx = RF::Nginx->new(
    http   => "redis_fallback_store app {
                   server 127.0.0.1:" . $redis->port . ";
                   path %%DIR%%/app;
               }
               client_body_buffer_size 8k;
               client_max_body_size 4m;",
    server => 'location /kv/ { redis_fallback_pass; }
               location /file/ {
                   redis_fallback_pass;
                   client_body_in_file_only on;
               }
               location /spill/ {
                   redis_fallback_pass;
                   client_body_buffer_size 1k;
                   client_max_body_size 4m;
               }');


sub same {
    my ($got, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    # no megabytes in a report

    return ok(defined $got && $got eq $expected, $name)
           || diag('got ' . (defined $got ? length $got : 'no')
                   . ' bytes, expected ' . length $expected);
}

my $bytes = join '', map { chr } 0 .. 255;
my $big = join '', map { chr(int rand 256) } 1 .. 1048576;

my %values = (
    empty   => '',
    zero    => "\0",
    bytes   => $bytes,
    crlf    => "\r\n\$5\r\n*3\r\n",
    json    => '{"a": "\u0000\"' . "\n" . '"}',
    '8k'    => substr($big, 0, 8192),
    '8k1'   => substr($big, 0, 8193),
    '1m'    => $big,
);

for my $name (sort keys %values) {
    my $value = $values{$name};

    for my $where ('kv', 'file', 'spill') {
        my $key = "$where-$name";

        is($nginx->put("/$where/$key", $value)->{status}, 204, "PUT $key");
        same($redis->cmd('GET', $key), $value, "Redis has $key");
        same($nginx->get("/kv/$key")->{body}, $value, "GET $key");

        my $head = $nginx->head("/kv/$key");
        is($head->{headers}{'content-length'}, length $value,
           "length of $key");
        is($head->{body}, '', "HEAD $key");
    }

    $redis->cmd('SET', "r-$name", $value);
    same($nginx->get("/kv/r-$name")->{body}, $value, "from Redis: $name");
}

# in chunks, and slowly

for my $size (0, 1, 5000, 300000) {
    my $value = substr $big, 0, $size;
    my $conn = $nginx->conn;

    $conn->write("PUT /kv/chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                 . "Transfer-Encoding: chunked\r\n\r\n", now() + 5);

    for (my $at = 0; $at < $size; $at += 777) {
        my $part = substr $value, $at, 777;
        $conn->write(sprintf("%x\r\n%s\r\n", length $part, $part), now() + 5);
    }

    $conn->write("0\r\n\r\n", now() + 5);
    like($conn->rest(now() + 5), qr{^HTTP/1.1 204 }, "chunked: $size bytes");
    same($redis->cmd('GET', 'chunked'), $value, 'and Redis has them');
}

{
    my $conn = $nginx->conn;
    $conn->write("PUT /kv/slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                 . "Content-Length: 20000\r\n\r\n", now() + 5);

    for my $i (0 .. 3) {
        Time::HiRes::sleep(0.05);
        $conn->write(substr($big, $i * 5000, 5000), now() + 5);
    }

    like($conn->rest(now() + 5), qr{^HTTP/1.1 204 }, 'a body in pieces');
    same($redis->cmd('GET', 'slow'), substr($big, 0, 20000), 'is one value');
}

# a body with Expect, and one that is longer than allowed, in chunks

{
    my $conn = $nginx->conn;
    $conn->write("PUT /kv/expect HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                 . "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
                 now() + 5);
    like($conn->line(now() + 5), qr{^HTTP/1.1 100 }, '100 Continue');
    $conn->write('abc', now() + 5);
    like($conn->rest(now() + 5), qr{HTTP/1.1 204 }, 'and then 204');

    $conn = $nginx->conn;
    $conn->write("PUT /kv/long HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                 . "Transfer-Encoding: chunked\r\n\r\n"
                 . sprintf("%x\r\n", 5_000_000) . 'x' x 4_200_000,
                 now() + 5);
    like($conn->rest(now() + 5), qr{^HTTP/1.1 413 }, 'too long, in chunks');
    is($redis->cmd('EXISTS', 'long'), 0, 'is not stored');
}

# keys

for my $key ('a b', 'a/b', 'a//b', "\xc3\xa9\xe2\x82\xac", '"quoted"',
             "it's", 'a%b', 'a?b#c', 'a+b', "a\r\nb", "\x01\x7f\xff", '..x',
             'k' x 3000)
{
    (my $uri = $key) =~ s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ge;

    # nginx merges slashes before it looks for a location

    (my $seen = $key) =~ s{//+}{/}g;

    is($nginx->put("/kv/$uri", "<$key>")->{status}, 204, "PUT $uri");
    is($redis->cmd('GET', $seen), "<$key>", 'Redis has that key');
    is($nginx->get("/kv/$uri")->{body}, "<$key>", 'GET');
    is($nginx->delete("/kv/$uri")->{status}, 204, 'DELETE');
    is($redis->cmd('EXISTS', $seen), 0, 'and Redis has not');
}

$nginx->check_logs;
done_testing;
