# A command that nginx had given up was executed after the replay, over newer
# values: it had been in the receive buffer of a Redis that was stopped, or in
# a proxy in between, when the connection was closed.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Delay;


# the proxy has it, and gives it to Redis when all is well again

sub delayed {
    my ($workers, $acl) = @_;

    my $name = "$workers workers" . ($acl ? ", $acl" : '');
    my $redis = RF::Redis->new($acl
        ? (acl => "user default on nopass ~* &* +\@all $acl\n") : ());
    my $proxy = Delay->start($redis);

    # each has sent its command when the first one gives up

    my $t = Outage->new(workers => $workers, redis => $proxy,
                        store => { timeout => '2s' });
    my $conns = $t->conns;
    my @pids = sort keys %$conns;

    # each worker has a connection, and a command on it

    for my $pid (@pids) {
        is($t->put("k$pid", 'old', conn => $conns->{$pid})->{status}, 204,
           "$name: a value");
    }

    $proxy->set('hold');

    for my $pid (@pids) {
        $conns->{$pid}->write(RF::HTTP::format_request('PUT',
            "/kv/k$pid", body => 'late', keepalive => 1), now() + 5);
    }

    for my $pid (@pids) {
        my $res = RF::HTTP::read_response($conns->{$pid}, 'PUT',
                                          now() + slow(5));
        is($res->{status}, 204, "$name: a value in the outage");
    }

    is(scalar(() = $proxy->held =~ /\blate\b/g), @pids,
       "$name: on its way to Redis, too");
    $proxy->drop('hold');

    ok($t->wait_normal, "$name: normal");

    for my $pid (@pids) {
        is($redis->cmd('GET', "k$pid"), 'late', "$name: replayed");
        is($t->put("k$pid", 'new', conn => $conns->{$pid})->{tier}, 'redis',
           "$name: a newer value");
    }

    # Redis has read what was released when it has answered what came later

    $proxy->set('release');
    ok(wait_for(sub { $proxy->has('released') }), "$name: now it comes");
    $redis->cmd('PING') for 1 .. 3;

    my @late = grep { $redis->cmd('GET', "k$_") ne 'new' } @pids;

    if ($acl) {
        # nothing can be done, but all the rest goes on

        is(scalar @late, @pids, "$name: it is executed");

        my $lines = () = $t->nginx->log =~ /cannot be ended/g;
        is($lines, $acl =~ /kill/ ? 1 : 0, "$name: as the log says");

    } else {
        is("@late", '', "$name: it is not executed");
        like($t->nginx->log, qr/ended $workers connections that had been/,
             "$name: as the log says");
    }

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
    CORE::kill('KILL', $proxy->{pid});
    waitpid $proxy->{pid}, 0;
}


# a Redis that was stopped has more than a megabyte of them

sub stopped {
    my ($workers) = @_;

    my $name = "stopped, $workers workers";
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis);
    my %expect = map { ("k$_" => "local $_") } 1 .. 80;

    $t->put($_, 'old') for keys %expect;
    $t->conns;

    for my $round (1 .. 3) {
        $redis->pause;

        my @responses = $t->nginx->parallel(10,
            map { [ PUT => "/kv/k$_", body => 'x' x 20000 ] } 1 .. 80);
        is(join(' ', grep { $_->{status} != 204 } @responses), '',
           "$name: a megabyte, round $round");
        is($t->mode, 'fallback', "$name: fallback");

        is(join(' ', grep { $t->put($_, $expect{$_})->{status} != 204 }
                     sort keys %expect), '', "$name: other values");
        $redis->resume;
        $t->recovered(\%expect, "$name, round $round");
        is($redis->cmd('GET', 'k1'), 'local 1', "$name: still there");
    }

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# a worker that is killed, or an old one that is told to go at last: nobody waits
# for its command any more, so no outage begins

sub gone {
    my ($how) = @_;

    my $name = "gone: $how";
    my $redis = RF::Redis->new;
    my $proxy = Delay->start($redis);
    my $t = Outage->new(redis => $proxy, start => 0,
                        store => { timeout => slow(20000) . 'ms' });

    $t->nginx->{main} .= 'worker_shutdown_timeout 100ms;';
    $t->nginx->start;
    is($t->put('k', 'old')->{status}, 204, "$name: a value");
    ok($t->tracks, "$name: all connections are there");
    $proxy->set('hold');

    my ($old) = $t->nginx->workers;
    my $conn = RF::Conn->new($t->spread);
    $conn->write(RF::HTTP::format_request('PUT', '/kv/k', body => 'late'),
                 now() + 5);
    ok(wait_for(sub { $proxy->held =~ /late/ }), "$name: on its way");
    $proxy->drop('hold');

    $t->configure(zone => '16m') if $how eq 'another zone';

    if ($how eq 'killed') {
        CORE::kill('KILL', $old);

    } else {
        ok($t->nginx->reload, "$name: reloads");
    }

    ok(wait_for(sub { !kill 0, $old }), "$name: the old worker is gone");
    $conn->close;

    ok(wait_for(sub { $t->nginx->log =~ /ended 1 connections that had been/ }),
       "$name: Redis ends its connection");
    is($t->status->{outages}, 0, "$name: without an outage");
    is($t->put('k', 'new')->{tier}, 'redis', "$name: a newer value");

    $proxy->set('release');
    ok(wait_for(sub { $proxy->has('released') }), "$name: now it comes");
    $redis->cmd('PING') for 1 .. 3;
    is($redis->cmd('GET', 'k'), 'new', "$name: it is not executed");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs($how eq 'killed'
        ? (allow => qr/exited on signal 9/) : ());
    $proxy->stop;
}


# another process of Redis counts its clients anew

sub restarted {
    my $redis = RF::Redis->new;
    my $t = Outage->new(redis => $redis, store => { restore => 'off' });

    $t->put('a', 'value');
    $redis->pause;
    is($t->put('a', 'local')->{status}, 204, 'restarted: a local value');
    $redis->kill;
    $redis->start;

    # ours, of all ids that nginx may have had

    my @conns = map { RF::Conn->new($redis->port) } 1 .. 20;
    RF::Redis::talk($_, 5, 'PING') for @conns;

    $t->recovered({ a => 'local' }, 'restarted');
    is(join(' ', map { (RF::Redis::talk($_, 5, 'PING'))[0] // 'gone' }
                 @conns), join(' ', ('PONG') x 20),
       'restarted: nobody is disconnected');
    unlike($t->nginx->log, qr/that had been given up/,
           'restarted: nor does the log say so');

    ok($t->nginx->stop, 'restarted: stops');
    $t->nginx->check_logs;
}


delayed($_) for 1, 3;
delayed(1, '-client|kill');
delayed(1, '-client');
stopped($_) for 1, 4;
gone($_) for 'killed', 'a reload', 'another zone';
restarted();

done_testing;
