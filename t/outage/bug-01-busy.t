# BUSY, the answer of a Redis that runs a script, was no outage: requests got
# 502 for as long as it ran.  The probe took it for readiness, so that each
# pending key was replayed, refused, and set aside in quarantine.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


sub busy {
    my ($redis) = @_;

    my $conn = RF::Conn->new($redis->port);

    # once it is accepted nobody's later command comes first

    RF::Redis::talk($conn, 5, 'PING');
    $conn->write(RF::Redis::encode('EVAL', 'while true do end', 0), now() + 5);

    return $conn;
}


sub says_busy {
    my ($redis) = @_;

    my $conn = RF::Conn->new($redis->port);
    my (undef, $error) = RF::Redis::talk($conn, 5, 'GET', 'a');
    $conn->close;

    return ($error || '') =~ /^BUSY/;
}


# it does not even say so yet

sub silent {
    my ($redis) = @_;

    my $conn = RF::Conn->new($redis->port);
    my ($pong) = eval { RF::Redis::talk($conn, 0.1, 'PING') };
    $conn->close;

    return !defined $pong;
}


sub over {
    my ($redis) = @_;

    my $conn = RF::Conn->new($redis->port);
    RF::Redis::talk($conn, 5, 'SCRIPT', 'KILL');
    $conn->close;
    $redis->drop;

    return wait_for(sub { !says_busy($redis) });
}


# threshold: a request is answered BUSY, or times out before that

for my $threshold (100, 1200) {
    my $name = "busy after $threshold ms";
    my $redis = RF::Redis->new(conf => "busy-reply-threshold $threshold");
    my $t = Outage->new(redis => $redis);

    is($t->put('a', 'old')->{status}, 204, "$name: a value");

    my $script = busy($redis);

    if ($threshold == 100) {
        ok(wait_for(sub { says_busy($redis) }), "$name: busy");

    } else {
        ok(wait_for(sub { silent($redis) }), "$name: silent");
    }

    for my $i (1 .. 3) {
        my $res = $t->put('a', "new $i");
        is("$res->{status} $res->{mode}", '204 fallback', "$name: put $i");
    }

    is($t->put('b', 'value')->{status}, 204, "$name: another key");
    is($t->get('a')->{body}, 'new 3', "$name: is read");

    ok(wait_for(sub { says_busy($redis) }), "$name: says so");

    # who connects is told so, some times

    my $seen = length $t->nginx->log;
    my $left = 0;

    ok(wait_for(sub {
        $left++ if $t->mode ne 'fallback'
                   || $t->status->{files}{quarantined};
        return 3 <= (() = substr($t->nginx->log, $seen)
                          =~ /is not ready: .*BUSY/g);
    }), "$name: the leader is told so");
    is($left, 0, "$name: stays in fallback");

    ok(over($redis), "$name: no more");

    like($redis->cmd('INFO', 'commandstats'),
         qr/^cmdstat_dbsize:.*rejected_calls=[1-9]/m,
         "$name: it had been asked");

    $t->recovered({ a => 'new 3', b => 'value' }, $name);
    is($t->status->{files}{quarantined}, 0, "$name: nothing in quarantine");
    unlike($t->nginx->log, qr/\[crit\]/, "$name: nothing was refused");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}

done_testing;
