# A worker that was told to exit while requests waited for files answered them
# after the event loop had ended, which crashed it: what was to be written at
# exit was lost.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis, store => { recovery_rate => 1,
                    write_interval => '10s', timeout => '1s' });

# files of an earlier run, so that unknown keys are looked for there

$redis->pause;
$t->put("f$_", 'old') for 1 .. 300;
ok($t->nginx->stop, 'stops in an outage');
is(scalar(keys %{ $t->on_disk }), 300, 'all is on disk');
ok(scalar(my @files = $t->files), 'in files, too');
$redis->resume;

my $last;

for my $round (1 .. 3) {
    $t->nginx->start;
    ok($t->wait_recovering, "round $round: recovering");

    # a key a second is replayed: memory alone has this when the signal comes

    my $res = $t->put('f300', "new $round");
    is($res->{status}, 204, "round $round: a newer value");
    is($t->mode, 'recovering', "round $round: still");

    my @conns = map { RF::Conn->new($t->nginx->port) } 1 .. 300;
    my $n = 0;
    $_->write(RF::HTTP::format_request('GET', '/kv/none' . $n++), now() + 5)
        for @conns;

    # nginx is in the middle of it

    my $end = now() + slow(5);
    ok($conns[0]->ready(0, $end), "round $round: the first is answered");
    ok($t->nginx->stop('TERM'), "round $round: stops");
    unlike($t->nginx->log, qr/exited on signal/, "round $round: no crash");
}

$t->configure(recovery_rate => undef);
$t->nginx->start;
$t->recovered({ f300 => 'new 3', map { ("f$_" => 'old') } 1 .. 299 },
              'replay');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
