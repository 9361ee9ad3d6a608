# A worker that was stopped, or busy, finds what Redis has said meanwhile and the
# requests that have come since in one turn: a connection that had a request
# before that is looked at first, and with HTTP/2 all that it has.  What memory
# holds was changed long before the last of them was sent.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;


# HTTP/2, as little as that takes: names of the static table, small requests

sub frame {
    my ($type, $flags, $stream, $payload) = @_;

    return substr(pack('N', length $payload), 1)
           . pack('CCN', $type, $flags, $stream) . $payload;
}


sub get {
    my ($stream, $uri) = @_;

    return frame(1, 0x5, $stream, "\x82\x86\x04" . chr(length $uri) . $uri
                                  . "\x01\x01x");
}


# the body of that stream's response

sub body {
    my ($conn, $stream) = @_;

    my $end = now() + slow(15);
    my $body = '';

    for ( ;; ) {
        my ($high, $length, $type, $flags, $id)
            = unpack('CnCCN', $conn->bytes(9, $end));
        my $payload = $conn->bytes($high << 16 | $length, $end);

        next if $id != $stream;
        return "reset $type" if $type == 3;

        $body .= $payload if $type == 0;
        return $body if $flags & 1;
    }
}


my $port = RF::free_port();
my $t = Tracking->new(workers => 1, server => "listen 127.0.0.1:$port http2;\n");
my $redis = $t->redis;
my ($pid) = $t->pids;

ok($t->tracks, 'Redis vouches');

my $conn = RF::Conn->new($port);
my $stream = 1;

$conn->write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(4, 0, 0, ''), now() + 5);
$redis->cmd('SET', 'other', 'x');

for my $round (1 .. 5) {
    $redis->cmd('SET', 'k', "old $round");
    $t->warm($pid, [ GET => 'k' ], [ GET => 'other' ]);

    CORE::kill('STOP', $pid);
    wait_for(sub { RF::slurp("/proc/$pid/stat") =~ /\) T / });

    $conn->write(get($stream, '/kv/other'), now() + 5);
    $redis->cmd('SET', 'k', "new $round");

    # the promise, and more

    my $acknowledged = now();
    wait_for(sub { now() - $acknowledged > 2 * $Tracking::PROMISE });

    $conn->write(get($stream + 2, '/kv/k'), now() + 5);
    CORE::kill('CONT', $pid);

    is(body($conn, $stream + 2), "new $round", "what is there since, $round");
    $stream += 4;
}

is($t->ask($pid, 'GET', 'k')->{tier}, 'memory', 'memory answers again');

$t->ended;
done_testing;
