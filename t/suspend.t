# A request that waits: bodies, pipelining and aborts meanwhile, reload, exit.

use strict;
use warnings;
use lib 't/lib';
use RF;

# a peer that takes its time for keys that say so

my $redis = RF::Fake->new(sub {
    my ($command, $key, $value) = @_;

    $command = lc $command;

    return "\$8\r\nrun_id:x\r\n" if $command eq 'info';
    return ":1\r\n" if $command eq 'dbsize' || $command eq 'del';
    return ":-1\r\n" if $command eq 'pttl';
    return "+OK\r\n" if $command =~ /^(select|auth|client)$/;

    Time::HiRes::sleep(0.4) if $key =~ /slow/;

    return '' if $key =~ /never/;
    return "+OK\r\n" if $command eq 'set';
    return sprintf "\$%d\r\n%s\r\n", length $key, $key;
});

my $nginx = RF::Nginx->new(
    main   => 'worker_shutdown_timeout 1s;',
    http   => "redis_fallback_store app {
                   server  127.0.0.1:" . $redis->port . ";
                   path    off;
                   cache   off;
                   timeout 60s;
               }
               log_format s '\$request_method \$uri \$status';",
    server => 'access_log %%DIR%%/logs/access.log s;
               location /kv/ { redis_fallback_pass; }
               location /set/ {
                   redis_fallback_set $v GET "w-$arg_k";
                   redis_fallback_set $w GET "$v-2";
                   redis_fallback_pass;
                   add_header X-W $w always;
               }
               location = /ping { return 200; }');


# all responses on the connection: "status body"

sub answers {
    my ($conn, $seconds) = @_;

    my $end = now() + RF::slow($seconds || 10);
    my @found;

    while ($conn->{sock}) {
        my $res = RF::HTTP::read_response($conn, 'GET', $end);
        last unless $res->{status};
        push @found, "$res->{status} "
                     . ($res->{status} == 200 ? $res->{body} : '');
    }

    return join ',', @found;
}


sub raw {
    my (@parts) = @_;

    my $conn = $nginx->conn;

    while (@parts) {
        my $part = shift @parts;
        $part =~ s/\n/\r\n/g;
        $conn->write($part, now() + 5);
        Time::HiRes::sleep(0.15) if @parts;
    }

    return $conn;
}


my $close = "Host: a\nConnection: close\n\n";
my $keep = "Host: a\n\n";

# pipelined

is(answers(raw("GET /kv/slow1 HTTP/1.1\n$keep"
               . "GET /kv/2 HTTP/1.1\n$keep"
               . "GET /set/slow3?k=slow HTTP/1.1\n$keep"
               . "GET /ping HTTP/1.1\n$keep"
               . "GET /kv/4 HTTP/1.1\n$close")),
   '200 slow1,200 2,200 slow3,200 ,200 4', 'pipelined requests in order');

is(answers(raw("GET /kv/slow1 HTTP/1.1\n$keep",
               "GET /kv/2 HTTP/1.1\n$close")),
   '200 slow1,200 2', 'the next request comes while one waits');

# bodies that come while the request waits

my $length = "Content-Length: 10\n";

is(answers(raw("PUT /set/a?k=slow HTTP/1.1\n$length$keep", '01234',
               "56789GET /kv/b HTTP/1.1\n$close")),
   '204 ,200 b', 'a body that comes while a set waits');
is(answers(raw("DELETE /kv/slow HTTP/1.1\n$length$keep", '01234',
               "56789GET /kv/b HTTP/1.1\n$close")),
   '204 ,200 b', 'an unwanted body that comes while DELETE waits');
is(answers(raw("GET /kv/slow HTTP/1.1\n$length$keep"
               . "0123456789GET /kv/b HTTP/1.1\n$close")),
   '200 slow,200 b', 'an unwanted body that came before');

# clients that go away

my %before = map { $_ => 1 } $nginx->workers;

raw("GET /kv/slow HTTP/1.1\n$keep", '')->close;
raw("GET /set/x?k=slow HTTP/1.1\n$keep", '')->close;
raw("PUT /kv/slow HTTP/1.1\n$length$keep" . '0123456789', '')->close;
raw("DELETE /kv/slow HTTP/1.1\n${length}$keep", '01')->close;
raw("PUT /kv/gone HTTP/1.1\n$length$keep", '01')->close;

is($nginx->get('/kv/after')->{body}, 'after', 'nginx goes on');

ok(wait_for(sub {
    my $log = RF::slurp($nginx->dir . '/logs/access.log');
    return $log =~ m{^GET /kv/slow (200|499)$}m
           && $log =~ m{^GET /set/x (200|499)$}m
           && $log =~ m{^PUT /kv/slow (204|499)$}m;
}, 5), 'and ends the requests whose clients have gone');

ok((grep { $_->[0] =~ /^set$/i && $_->[1] eq 'slow' } $redis->commands),
   'a write whose client has gone is done');
ok(!(grep { $_->[0] =~ /^set$/i && $_->[1] eq 'gone' } $redis->commands),
   'one whose body never came is not');

# many at once, of both kinds

my @many = map { ['GET', $_ % 2 ? "/kv/$_" : "/set/$_?k=" . ($_ % 8 ? $_ : "slow")] } 1 .. 20;
my @res = $nginx->parallel(30, @many);
is(scalar(grep { $_->{status} == 200 } @res), 20, 'twenty at once');
is($res[$_]{body}, $_ + 1, "number $_ has its own answer") for 0 .. 19;

# a reload while a request waits

my $conn = raw("GET /kv/slow-reload HTTP/1.1\n$close", '');
ok($nginx->reload, 'reload');
is(answers($conn), '200 slow-reload', 'what waited is answered');

# the workers' time is over while requests wait: they are cut off cleanly

my @conns = map { raw("GET $_ HTTP/1.1\n$keep") }
                '/kv/never1', '/set/never?k=never', '/kv/never2';
Time::HiRes::sleep(0.3);
my $start = now();
ok($nginx->reload, 'reload');
answers($_) for @conns;
ok(now() - $start < RF::slow(8), 'cut off after worker_shutdown_timeout');

ok(wait_for(sub {
    return !grep { RF::Nginx::running_nginx($_) } keys %before;
}, 10), 'the old workers are gone');

$nginx->stop;
$nginx->check_logs(allow => qr/open socket #\d+ left in connection/);
done_testing;
