# Who vouches may be lost: a connection, Redis, a worker.  What comes after that
# is seen in all workers as ever, and Redis vouches again by itself.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;

my @get = ([ GET => 'k' ], [ GET => 'none' ], [ HGETALL => 'h' ]);


sub before {
    my ($redis) = @_;

    return sub {
        $redis->cmd('DEL', 'none', 'h');
        $redis->cmd('SET', 'k', 'old');
        $redis->cmd('HSET', 'h', 'f', 'old');
    };
}


# in one go, or Redis would have time

sub change {
    my ($redis, @first) = @_;

    $redis->pipeline(@first, [ SET => 'k', 'new' ], [ SET => 'none', 'new' ],
                     [ HSET => 'h', 'f', 'new', 'g', 1 ]);
}


sub connections {
    my $t = Tracking->new(store => { restore => 'off' });
    my $redis = $t->redis;

    ok($t->tracks, 'Redis vouches');

    for my $kind (qw(news data)) {
        for my $some (1, 4) {
            for my $try (1 .. 4) {
                my $n = $some;
                my $name = "$n $kind connections killed, $try";
                my @all;

                ok(wait_for(sub { (@all = @{ $t->links->{$kind} }) >= 4 }),
                   "$name: they are there") or diag(scalar @all);

                $n = @all if $n == 4;
                my @some = @all[map { ($try + $_) % @all } 1 .. $n];

                $t->visible($name, \@get, sub {
                    change($redis, map { [ CLIENT => 'KILL', 'ID', $_ ] }
                                       @some);
                }, before($redis));
                ok($t->tracks, "$name: again");
                $t->visible("$name, again", \@get, sub { change($redis) },
                            before($redis));
            }
        }
    }

    # both, and all that anybody has

    $t->visible('all connections killed', \@get, sub {
        change($redis, [ CLIENT => 'KILL', 'TYPE', 'pubsub' ],
               [ CLIENT => 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes' ]);
    }, before($redis));
    ok($t->tracks, 'again');
    is($t->store->status->{outages}, 0, 'none of this is an outage');

    # a password, and refused for a while

    before($redis)->();
    $t->warm(($t->pids)[0], @get);
    $redis->pipeline([ CONFIG => 'SET', 'requirepass', 'secret' ],
                     [ CLIENT => 'KILL', 'TYPE', 'pubsub' ],
                     [ CLIENT => 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes' ]);
    change($redis);
    $t->ask($_, 'GET', 'other') for $t->pids;
    ok($t->store->wait_fallback, 'refused');
    is($t->ask(($t->pids)[0], 'GET', 'k')->{value}, 'old',
       'what is the last that was known');
    $redis->cmd('CONFIG', 'SET', 'requirepass', '');
    ok($t->store->wait_normal, 'normal');
    my ($bad) = $t->stale(now(), $t->delay, @get);
    is(join("\n", @$bad), '', 'what has changed meanwhile is seen');
    ok($t->tracks, 'and Redis vouches again');
    $t->visible('after an outage', \@get, sub { change($redis) },
                before($redis));
    $t->ended;
}


# Redis is another one when it comes back

sub other_data {
    my ($seen) = @_;

    my $t = Tracking->new(redis => RF::Redis->new(conf => 'save 3600 1000000'));
    my $redis = $t->redis;
    my $name = $seen ? 'another Redis, after an outage' : 'another Redis';

    $redis->cmd('SET', 'k', 'from the dump');
    $redis->cmd('HSET', 'h', 'from', 'the dump');
    $redis->cmd('SET', 'none', 'from the dump');
    $redis->cmd('SAVE');
    before($redis)->();
    ok($t->tracks, "$name: Redis vouches");
    ok($t->warm(($t->pids)[1], @get), "$name: memory answers");
    $redis->kill;

    if ($seen) {
        is($t->ask($_, 'GET', 'k')->{value}, 'old', "$name: the last known")
            for $t->pids;
    }

    $redis->start;

    my @bad;

    ok(wait_for(sub {
        my $normal = 0;

        for my $pid ($t->pids) {
            my ($is, $res) = $t->answer($pid, GET => 'k');
            next if $res->{mode} ne 'normal';
            $normal++;
            push @bad, "$pid: $is ($res->{tier})" if $is ne 'from the dump';
        }

        return $normal == $t->pids;
    }), "$name: normal");
    is("@bad", '', "$name: none is taken for the other");
    ok($t->tracks, "$name: it vouches");
    my ($bad) = $t->stale(now(), $t->delay, @get);
    is(join("\n", @$bad), '', "$name: nor later");
    $t->visible("$name, changed", \@get, sub { change($redis) },
                before($redis));
    $t->ended;
}


# A replica takes over the address, and has changed since; "seen": nginx knew in
# between that nobody was there.

sub failover {
    my ($seen) = @_;

    my $t = Tracking->new;
    my $redis = $t->redis;
    my $name = $seen ? 'a replica, after an outage' : 'a replica';

    if ($redis->version < 7) {
        pass("$name: Redis 6 cannot take over a port");
        return;
    }

    my $replica = RF::Redis->new(replicaof => $redis);

    before($redis)->();
    ok(wait_for(sub {
        my $link = $replica->info('replication')->{master_link_status} || '';
        return $link eq 'up' && ($replica->cmd('GET', 'k') || '') eq 'old';
    }), "$name: has a copy");
    ok($t->tracks, "$name: Redis vouches");
    ok($t->warm(($t->pids)[1], @get), "$name: memory answers");

    $redis->kill;
    is($t->ask($_, 'GET', 'k')->{value}, 'old', "$name: the last known")
        for $seen ? $t->pids : ();

    $replica->cmd('REPLICAOF', 'NO', 'ONE');
    change($replica);
    $replica->cmd('CONFIG', 'SET', 'port', $redis->port);

    my @bad;

    ok(wait_for(sub {
        my $normal = 0;

        for my $pid ($t->pids) {
            my $res = $t->ask($pid, GET => 'k');
            next if ($res->{mode} || '') ne 'normal';
            $normal++;
            push @bad, "$pid: $res->{value} ($res->{tier})"
                if ($res->{value} || '') ne 'new';
        }

        return $normal == $t->pids;
    }), "$name: normal");
    is("@bad", '', "$name: what it has is what is read");
    is_deeply([ map { $t->ask($_, GET => 'none')->{value} } $t->pids ],
              [ ('new') x $t->pids ], "$name: also where nothing was");
    ok($t->tracks, "$name: it vouches");
    ok($t->warm(($t->pids)[2], @get), "$name: memory answers again");
    $t->ended;
}


# nobody has said "cache"

sub by_default {
    my $t = Tracking->new(store => { cache => undef });

    before($t->redis)->();
    ok($t->tracks, 'by default Redis vouches');
    ok($t->warm(($t->pids)[0], @get), 'and memory answers');
    $t->visible('by default', \@get, sub { change($t->redis) },
                before($t->redis));
    unlike(RF::slurp($t->nginx->conf), qr/^\s*cache /m,
           'the configuration does not say so');
    $t->ended;
}


sub workers {
    my $t = Tracking->new(store => { restore => 'off' });
    my $redis = $t->redis;

    ok($t->tracks, 'Redis vouches');

    # one that does not get to read what Redis tells it: the others know, and
    # it itself, before it answers

    for my $try (1 .. 12) {
        my @pids = $t->pids;
        my $first = $pids[$try % 4];
        my $name = "worker $first is stopped, $try";

        local $t->{only} = [ grep { $_ != $first } @pids ];
        $t->visible($name, \@get, sub {
            kill 'STOP', $first;
            change($redis);
        }, sub { kill 'CONT', $first; before($redis)->() }, $first);

        my $conn = $t->{conns}{$first};
        my $body = '["GET","k"]';
        $conn->write(RF::HTTP::format_request('POST', '/api', body => $body,
                                              keepalive => 1), now() + 5);
        kill 'CONT', $first;
        my $res = RF::HTTP::read_response($conn, 'POST', now() + slow(5));
        is($res->{body}, '{"result":"new"}', "$name: nor does it itself");
    }

    # idle ones, that do not show any more that they are awake

    before($redis)->();
    ok($t->warm(($t->pids)[2], @get), 'memory answers');
    Time::HiRes::sleep(2.3);
    my $delay = $t->delay;
    change($redis);
    my ($bad) = $t->stale(now(), $delay, @get);
    is(join("\n", @$bad), '', 'after some idle seconds');

    # killed

    for my $try (1 .. 4) {
        my @pids = $t->pids;
        my $first = $pids[$try % 4];
        my $name = "worker $first is killed, $try";

        before($redis)->();
        ok($t->warm($first, @get), "$name: memory answers");
        $t->{only} = [ grep { $_ != $first } @pids ];
        $delay = $t->delay;
        kill 'KILL', $first;
        change($redis);
        ($bad) = $t->stale(now(), $delay, @get);
        is(join("\n", @$bad), '', "$name: the others");
        delete $t->{only};

        ok(wait_for(sub { 4 == grep { $_ != $first } $t->nginx->workers }),
           "$name: another one comes");
        $t->meet;
        ($bad) = $t->stale(now(), $t->delay, @get);
        is(join("\n", @$bad), '', "$name: and it");
        ok($t->tracks, "$name: Redis vouches");
        $t->visible("$name, later", \@get, sub { change($redis) },
                    before($redis));
    }

    # a reload: the zone stays, those that vouched go, one of them late

    for my $try (1 .. 3) {
        my $name = "reload $try";
        my ($first) = $t->pids;

        before($redis)->();
        ok($t->warm($first, @get), "$name: memory answers");

        my $body = '["GET","k"]';
        my $request = RF::HTTP::format_request('POST', '/api', body => $body);
        my $late = $t->{conns}{$first};
        $late->write(substr($request, 0, -1), now() + 5);

        ok($t->nginx->reload, "$name: done");
        delete $t->{conns}{$first};
        $t->meet;

        $delay = $t->delay;
        change($redis);
        ($bad) = $t->stale(now(), $delay, @get);
        is(join("\n", @$bad), '', "$name: by new workers");
        ok($t->tracks, "$name: Redis vouches");
        $t->visible("$name, later", \@get, sub { change($redis) },
                    before($redis));

        $redis->cmd('SET', 'k', 'newer');
        $redis->seen;
        $late->write(substr($request, -1), now() + 5);
        my $res = RF::HTTP::read_response($late, 'POST', now() + slow(5));
        is($res->{body}, '{"result":"newer"}', "$name: by an old one, too");
        $late->close;
    }

    $t->ended(allow => qr/exited on signal 9/);
}


# where nginx does not look at the clock each time, no worker can tell whether
# another one is stopped

sub coarse {
    my $t = Tracking->new(start => 0, store => { restore => 'off' });
    my $redis = $t->redis;

    $t->nginx->{main} = 'timer_resolution 200ms;';
    $t->nginx->start;
    ok($t->tracks, 'timer_resolution: Redis vouches');

    for my $try (1 .. 8) {
        my @pids = $t->pids;
        my $first = $pids[$try % 4];

        local $t->{only} = [ grep { $_ != $first } @pids ];
        before($redis)->();
        vouched($t, $first, 'k');
        my $delay = $t->delay;
        kill 'STOP', $first;
        change($redis);
        my ($bad) = $t->stale(now(), $delay, @get);
        kill 'CONT', $first;
        is(join("\n", @$bad), '', "timer_resolution: one is stopped, $try");
    }

    $t->ended;
}


# read by a connection that tracks: it may be a new one

sub vouched {
    my ($t, $pid, @keys) = @_;

    return wait_for(sub {
        $t->ask($pid, 'GET', $_) for @keys;
        return !grep { ($t->ask($pid, 'GET', $_)->{tier} // '') ne 'memory' }
                     @keys;
    });
}


# What Redis vouched for is written back to one that has lost it, but for what
# another client has changed or removed.

sub restored {
    my ($seen) = @_;

    my $t = Tracking->new;
    my $redis = $t->redis;
    my $name = $seen ? 'lost, after an outage' : 'lost';
    my %expect;

    ok($t->tracks, "$name: Redis vouches");

    for my $round (1, 2) {
        my @pids = $t->pids;

        %expect = ();

        for my $i (1 .. 24) {
            my $pid = $pids[$i % 4];
            my $other = $pids[($i + 1) % 4];

            # read only; read and then deleted by a client; written here,
            # after it was read here or there

            $redis->cmd('SET', $_ . $i, "$round old")
                for qw(read: gone: own: cross:);
            ok(vouched($t, $pid, map { $_ . $i } qw(read: gone: own: cross:)),
               "$name $round: memory answers, $i");
            $redis->cmd('DEL', "gone:$i");
            $t->ask($pid, 'SET', "own:$i", "$round own");
            $t->ask($other, 'SET', "cross:$i", "$round cross");
            $t->ask($pid, 'SET', "put:$i", "$round put");
            $expect{"read:$i"} = "$round old";
            $expect{"gone:$i"} = undef;
            $expect{"own:$i"} = "$round own";
            $expect{"cross:$i"} = "$round cross";
            $expect{"put:$i"} = "$round put";
        }

        # deleted, and read again by another: gone, too; set again: there

        $redis->cmd('SET', 'twice', "$round one");
        $t->ask($_, 'GET', 'twice') for @pids;
        $redis->cmd('SET', 'twice', "$round two");
        $redis->seen;
        vouched($t, $pids[2], 'twice');
        $expect{twice} = "$round two";

        # what Redis has told has arrived when this is known everywhere

        $redis->cmd('SET', 'last', "$round last");
        $redis->seen;
        $t->ask($_, 'GET', 'last') for @pids;
        $expect{last} = "$round last";
        is($redis->cmd('EXISTS', map { "gone:$_" } 1 .. 24), 0,
           "$name $round: deleted");

        $redis->kill;

        if ($seen) {
            $t->ask($_, 'GET', 'nobody') for @pids;
            ok($t->store->wait_fallback, "$name $round: fallback");
        }

        $redis->start;
        $t->ask($_, 'GET', 'nobody') for @pids;
        ok(wait_for(sub { $redis->cmd('EXISTS', 'last') }),
           "$name $round: written back");
        $t->store->recovered(\%expect, "$name $round");

        my @bad;

        for my $key (sort keys %expect) {
            for my $pid (@pids) {
                my $is = $t->ask($pid, 'GET', $key)->{value} // 'nil';
                push @bad, "$pid, $key: $is"
                    if $is ne ($expect{$key} // 'nil');
            }
        }

        is(join("\n", @bad), '', "$name $round: all workers read that");
        ok($t->tracks, "$name $round: Redis vouches");
    }

    # a flush is no loss

    $redis->cmd('FLUSHALL');
    $redis->seen;
    my @bad = grep { defined $t->ask(($t->pids)[0], 'GET', $_)->{value} }
                   keys %expect;
    is("@bad", '', "$name: FLUSHALL is seen");
    $redis->kill;
    $redis->start;
    $t->ask($_, 'GET', 'nobody') for $t->pids;
    ok($t->store->wait_normal, "$name: normal");
    ok($t->tracks, "$name: once more");
    is(join(' ', @{ $redis->cmd('KEYS', '*') }), '', "$name: and not undone");
    $t->ended;
}


connections();
other_data($_) for 0, 1;
failover($_) for 0, 1;
by_default();
workers();
coarse();
restored($_) for 0, 1;
done_testing;
