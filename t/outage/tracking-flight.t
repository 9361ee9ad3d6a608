# One read per key: requests of one worker that want the same at the same time
# are one command in Redis, and each is answered, whatever becomes of that one.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;

my $crowd = 50;


# requests that nginx has read by the time this returns, and that Redis does
# not answer before release(): one worker reads in the order of what comes

sub hold { $_[0]->redis->pause }
sub release { $_[0]->redis->resume }


sub come {
    my ($t, $n, $uri, $method) = @_;

    my @conns;

    for (1 .. $n) {
        my $conn = RF::Conn->new($t->nginx->port, timeout => 5);
        $conn->write(RF::HTTP::format_request($method || 'GET', $uri,
                         $method ? (body => $method) : ()), now() + 5);
        push @conns, $conn;
    }

    # each is a connection, and this one

    wait_for(sub {
        my $seen = RF::HTTP::request($t->nginx->port, 'GET', '/seen');
        return $seen->{body} >= $n + 2;
    });

    return @conns;
}


sub answers {
    my (@conns) = @_;

    my $end = now() + slow(15);

    return map { RF::HTTP::read_response($_, 'GET', $end) } @conns;
}


sub all_are {
    my ($name, $status, $body, @responses) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @bad = grep { $_ ne "$status $body" }
              map { $_->{status} . ' ' . ($status == 200 ? $_->{body} : '') }
              @responses;
    is("@bad", '', $name);
}


sub crowds {
    my ($cache) = @_;

    my $t = Tracking->new(workers => 1,
        store  => { cache => $cache, timeout => '20s', restore => 'off' },
        server => 'location = /seen { return 200 $connections_active; }');
    my $redis = $t->redis;
    my ($pid) = $t->pids;
    my $name = "cache $cache";
    my $commands = $cache eq 'off' ? $crowd : 1;

    $cache eq 'tracking' ? ok($t->tracks, "$name: Redis vouches")
                         : $t->ask($pid, 'GET', 'nobody');

    my @cases = ([ 'a value', 'some', 200, 'value', $commands ]);

    # a miss is learned with tracking only

    push @cases, [ 'a miss', 'none', 404, '', $commands ]
        if $cache ne '60s';

    for my $case (@cases) {
        my ($what, $key, $status, $body, $calls) = @$case;

        $redis->cmd('SET', 'some', 'value');
        $redis->cmd('CONFIG', 'RESETSTAT');
        hold($t);
        my @conns = come($t, $crowd, "/kv/$key");
        release($t);
        all_are("$name: $what, all are answered", $status, $body,
                answers(@conns));
        is($redis->calls->{get}, $calls, "$name: $what, commands");
        is($t->nginx->get("/kv/$key")->{status}, $status,
           "$name: $what, later");
    }

    # the first one leaves, and some others

    for my $leave ([ 0 ], [ 0, 1, 2, 7, 49 ], [ 0 .. 48 ]) {
        my $what = @$leave . ' leave';

        $redis->cmd('SET', 'left', "value @$leave");
        $redis->cmd('CONFIG', 'RESETSTAT');
        hold($t);
        my @conns = come($t, $crowd, '/kv/left');
        my %gone = map { $_ => 1 } @$leave;
        $conns[$_]->close for @$leave;
        release($t);
        all_are("$name: $what, the others are answered", 200,
                "value @$leave",
                answers(map { $conns[$_] } grep { !$gone{$_} } 0 .. $#conns));
        cmp_ok($redis->calls->{get}, '<=', 2, "$name: $what, commands")
            if $cache ne 'off';

        # a write that comes behind is not overtaken

        $t->ask($pid, 'SET', 'left', 'written');
        is($t->ask($pid, 'GET', 'left')->{value}, 'written',
           "$name: $what, later");
        $redis->cmd('DEL', 'left');
        $t->ask($pid, 'DEL', 'left');
    }

    # a change while they wait: those behind it see it

    $redis->cmd('SET', 'split', 'old');
    hold($t);
    my @before = come($t, 20, '/kv/split');
    my @write = come($t, 21, '/kv/split', 'PUT');
    my $put = shift @write;
    release($t);
    my @all = answers(@before);
    all_are("$name: before a write", 200, 'old', grep { $_->{body} ne 'PUT' }
                                                 @all);
    is(RF::HTTP::read_response($put, 'PUT', now() + 5)->{status}, 204,
       "$name: the write");
    answers(@write);
    is($t->nginx->get('/kv/split')->{body}, 'PUT', "$name: is the last word");

    hold($t);
    @write = come($t, 1, '/kv/split', 'PUT');
    my @behind = come($t, 20, '/kv/split');
    release($t);
    all_are("$name: behind a write", 200, 'PUT', answers(@behind));

    is($t->store->status->{outages}, 0, "$name: without an outage");
    $t->ended;
}


# Redis dies while they wait

sub killed {
    my ($cache) = @_;

    my $t = Tracking->new(workers => 1,
        store  => { cache => $cache, timeout => '5s', restore => 'off' },
        server => 'location = /seen { return 200 $connections_active; }');
    my $redis = $t->redis;
    my ($pid) = $t->pids;
    my $name = "cache $cache, Redis dies";

    $t->ask($pid, 'SET', 'known', 'value');
    $t->ask($pid, 'GET', 'nobody');
    $t->tracks if $cache eq 'tracking';

    $redis->pause;
    my @known = come($t, $crowd, '/kv/known');
    my @never = come($t, $crowd, '/kv/unknown');
    kill 'KILL', $redis->pid;       # or it would answer on its way out
    $redis->kill;
    all_are("$name: what memory knows", 200, 'value', answers(@known));
    all_are("$name: what nobody knows", 404, '', answers(@never));
    is($t->store->mode, 'fallback', "$name: fallback");
    is($t->store->status->{outages}, 1, "$name: it is one outage");

    $redis->start;
    $redis->cmd('SET', 'known', 'later');
    ok($t->store->wait_normal, "$name: normal");
    is($t->ask($pid, 'GET', 'known')->{value}, 'later', "$name: and later");

    # and one that does not answer in time

    $t->store->configure(timeout => '300ms');
    ok($t->nginx->reload, "$name: timeout 300ms");
    $t->meet;
    ($pid) = $t->pids;
    $t->ask($pid, 'GET', 'known');
    $t->tracks if $cache eq 'tracking';
    $redis->cmd('SET', 'slow', 'x');
    $t->ask($pid, 'GET', 'slow');
    $redis->cmd('SET', 'slow', 'y');
    $redis->pause;
    my $start = now();
    my @late = come($t, $crowd, '/kv/slow');
    all_are("$name: no answer", 200, 'x', answers(@late));
    cmp_ok(now() - $start, '<', slow(3), "$name: in time");
    $redis->resume;
    ok($t->store->wait_normal, "$name: normal again");
    is($t->ask($pid, 'GET', 'slow')->{value}, 'y', "$name: y");
    $t->ended;
}


# the whole worker goes, and takes them with it: the first, the others

sub shut {
    my $t = Tracking->new(workers => 1, store => { timeout => '20s' },
        server => 'location = /seen { return 200 $connections_active; }');
    my $redis = $t->redis;

    ok($t->nginx->reload(main => 'worker_shutdown_timeout 50ms;'),
       'shut: a limit');
    $t->meet;
    ok($t->tracks, 'shut: Redis vouches');
    $redis->cmd('SET', 'k', 'value');
    hold($t);

    my @conns = (come($t, 10, '/kv/k'), come($t, 10, '/kv/l'));

    $t->nginx->signal('HUP');

    my @got = grep { $_->{status} } answers(@conns);
    is(scalar(@got), 0, 'shut: none is answered');
    release($t);
    $t->meet;
    ok($t->tracks, 'shut: the next worker');
    is($t->ask(($t->pids)[0], 'GET', 'k')->{value}, 'value', 'shut: reads');
    $t->ended;
}


crowds($_) for qw(tracking off 60s);
killed($_) for qw(tracking off);
shut();
done_testing;
