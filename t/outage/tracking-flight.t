# One read per key: requests of one worker that want the same at the same time
# are one command in Redis, and each is answered, whatever becomes of that one.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;

my $crowd = 50;


# A proxy before a Redis.  With "hold" what Redis replies is kept ("held") until
# "release".

package Hold;

use IO::Select;
use Proxy;

our @ISA = 'Proxy';


sub serve {
    my ($self, $listen, $port) = @_;

    my $select = IO::Select->new($listen);
    my (%peer, %server, %held);

    for ( ;; ) {
        if ($self->has('release')) {
            syswrite $peer{$_}, delete $held{$_}
                for grep { defined $held{$_} } values %peer;
        }

        for my $sock ($select->can_read(0.01)) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new("127.0.0.1:$port") or next;
                ($peer{$in}, $peer{$out}) = ($out, $in);
                $server{$out} = 1;
                $select->add($in, $out);
                next;
            }

            next if !$peer{$sock};

            if (!sysread $sock, my $data, 1 << 20) {
                my $other = $peer{$sock};
                $select->remove($sock, $other);
                delete @peer{$sock, $other};
                close $_ for $sock, $other;

            } elsif ($server{$sock} && $self->has('hold')
                     && !$self->has('release'))
            {
                $held{$sock} .= $data;
                $self->set('held');

            } else {
                syswrite $peer{$sock}, $data;
            }
        }
    }
}


package main;


# requests that nginx has read by the time this returns, and that Redis does
# not answer before release(): one worker reads in the order of what comes

sub hold { $_[0]->redis->pause }
sub release { $_[0]->redis->resume }


sub arrive {
    my ($t, $n, $uri, $method) = @_;

    my @conns;

    for (1 .. $n) {
        my $conn = RF::Conn->new($t->nginx->port, timeout => 5);
        $conn->write(RF::HTTP::format_request($method || 'GET', $uri,
                         $method ? (body => $method) : ()), now() + 5);
        push @conns, $conn;
    }

    return @conns;
}


sub come {
    my ($t, $n, @what) = @_;

    my @conns = arrive($t, $n, @what);

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
        store  => { cache => $cache, timeout => '20s', restore => 'off',
                    connections => 1 },
        server => 'location = /seen { return 200 $connections_active; }');
    my $redis = $t->redis;
    my ($pid) = $t->pids;
    my $name = "cache $cache";
    $cache eq 'tracking' ? ok($t->tracks, "$name: Redis vouches")
                         : $t->ask($pid, 'GET', 'nobody');

    # who comes when it was sent looks into memory, where a miss is learned with
    # tracking only, and what is large never: they ask together

    my $large = 'x' x 9_000_000;
    my @cases = ([ 'a value', 'some', 200, 'value', 1 ],
                 [ 'a miss', 'none', 404, '', $cache eq '60s' ? 2 : 1 ],
                 [ 'too large', 'large', 200, $large, 2 ]);

    $redis->cmd('SET', 'large', $large);

    for my $case (@cases) {
        my ($what, $key, $status, $body, $calls) = @$case;

        my (@answers, $n);

        # of a worker that had to wait for a processor memory is in doubt, and
        # asks again

        for (1 .. 20) {
            my $waited = waited();

            $redis->cmd('SET', $_, 'value') for qw(some none);
            $redis->cmd('DEL', 'none');
            $redis->seen;
            $redis->cmd('CONFIG', 'RESETSTAT');
            hold($t);
            my @conns = come($t, $crowd, "/kv/$key");
            release($t);
            @answers = answers(@conns);
            $n = $redis->calls->{get};
            last if $cache eq 'off' || $n == $calls
                    || waited() - $waited < 0.01;
        }

        all_are("$name: $what, all are answered", $status, $body, @answers);
        is($n, $calls, "$name: $what, commands") if $cache ne 'off';
        is($t->nginx->get("/kv/$key")->{status}, $status,
           "$name: $what, later");
    }

    # the first one leaves, and some others

    for my $leave ([ 0 ], [ 0, 1, 2, 7, 49 ], [ 0 .. 48 ]) {
        my $what = @$leave . ' leave';

        $redis->cmd('SET', 'left', "value @$leave");
        $redis->cmd('CONFIG', 'RESETSTAT');
        my $waited = waited();
        hold($t);
        my @conns = come($t, $crowd, '/kv/left');
        my %gone = map { $_ => 1 } @$leave;
        $conns[$_]->close for @$leave;
        release($t);
        all_are("$name: $what, the others are answered", 200,
                "value @$leave",
                answers(map { $conns[$_] } grep { !$gone{$_} } 0 .. $#conns));
        cmp_ok($redis->calls->{get}, '<=', waited() - $waited < 0.01 ? 2 : 5,
               "$name: $what, commands") if $cache ne 'off';

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
    answers(@write);

    # who writes and reads does not join one that was sent before

    $redis->cmd('SET', 'joined', 'old');
    hold($t);
    @before = come($t, 5, '/kv/joined');
    my $both = RF::Conn->new($t->nginx->port, timeout => 5);
    $both->write(RF::HTTP::format_request('POST', '/api/pipeline',
                     body => '[["SET","joined","mine"],["GET","joined"]]'),
                 now() + 5);
    @behind = come($t, 5, '/kv/joined');
    release($t);
    is(RF::HTTP::read_response($both, 'POST', now() + slow(15))->{body},
       '[{"result":"OK"},{"result":"mine"}]', "$name: a pipeline");
    answers(@before, @behind);

    is($t->store->status->{outages}, 0, "$name: without an outage");
    $t->ended;
}


# requests that one turn of a worker's event loop finds, and who writes meanwhile

sub at_once {
    my ($t, $conns, $meanwhile, @requests) = @_;

    my ($pid) = $t->pids;

    CORE::kill('STOP', $pid);
    wait_for(sub { RF::slurp("/proc/$pid/stat") =~ /\) T / });
    $meanwhile->() if $meanwhile;
    $conns->[$_]->write($requests[$_], now() + 5) for 0 .. $#requests;
    CORE::kill('CONT', $pid);

    return map { RF::HTTP::read_response($conns->[$_], 'GET', now() + slow(15)) }
           0 .. $#requests;
}


# Where memory answers nothing: what comes in one turn is one command; what
# comes after a command was sent never gets its reply, since somebody may have
# been told in between that it is history.

sub turns {
    my ($name, $redis, %store) = @_;

    my $proxy = Hold->start($redis);
    my $t = Tracking->new(workers => 1, redis => $redis,
        store => { server => '127.0.0.1:' . $proxy->port, timeout => '20s',
                   connections => 1, %store });
    my ($pid) = $t->pids;
    my @conns = map { RF::Conn->new($t->nginx->port) } 1 .. $crowd;
    my $get = sub { RF::HTTP::format_request('GET', "/kv/$_[0]",
                                             keepalive => 1) };
    my $put = RF::HTTP::format_request('PUT', '/kv/k', keepalive => 1,
                                       body => 'mine');
    my $reset = sub {
        $redis->cmd('SET', 'k', 'old');
        $redis->cmd('DEL', 'none', 'other');
        $redis->cmd('CONFIG', 'RESETSTAT');
    };

    $t->ask($pid, 'GET', 'nobody');
    RF::HTTP::request($t->nginx->port, 'GET', '/kv/nobody', conn => $_)
        for @conns;

    $reset->();
    all_are("$name: a turn", 200, 'old',
            at_once($t, \@conns, undef, map { $get->('k') } @conns));
    is($redis->calls->{get}, 1, "$name: is one command");

    $reset->();
    all_are("$name: misses", 404, '',
            at_once($t, \@conns, undef, map { $get->('none') } @conns));
    is($redis->calls->{get}, 1, "$name: are one command");

    $reset->();
    my @two = at_once($t, \@conns, undef, map { $get->($_ % 2 ? 'k' : 'none') }
                                         1 .. @conns);
    is(join(' ', map { $_->{status} } @two), join(' ', (200, 404) x ($crowd / 2)),
       "$name: two keys");
    is($redis->calls->{get}, 2, "$name: are two commands");

    # an error is everybody's, too

    $redis->cmd('DEL', 'k');
    $redis->cmd('RPUSH', 'k', 'x');
    my @errors = at_once($t, \@conns, undef, map { $get->('k') } @conns);
    is(scalar(grep { $_->{status} == 409 } @errors), $crowd, "$name: errors");
    $redis->cmd('DEL', 'k');

    # behind a write of the same turn

    for (1 .. 5) {
        $reset->();
        my @mixed = at_once($t, \@conns, undef,
                            map({ $get->('k') } 1 .. 20), $put,
                            map({ $get->('k') } 22 .. $crowd));
        my $late = RF::HTTP::request($t->nginx->port, 'GET', '/kv/k');
        is(scalar(grep { $_->{status} == 200 && $_->{body} =~ /^(old|mine)$/ }
                  @mixed), $crowd - 1, "$name: around a write");
        is($late->{body}, 'mine', "$name: which is the last");
        cmp_ok($redis->calls->{get}, '<=', 3, "$name: in few commands");
    }

    $reset->();
    my ($both) = at_once($t, \@conns, undef,
        RF::HTTP::format_request('POST', '/api/pipeline', keepalive => 1,
            body => '[["GET","k"],["SET","k","p"],["GET","k"],["DEL","k"],'
                    . '["GET","k"],["EVAL","return redis.call(\'SET\','
                    . '\'k\',\'e\')","0"],["GET","k"]]'));
    is($both->{body}, '[{"result":"old"},{"result":"OK"},{"result":"p"},'
                      . '{"result":1},{"result":null},{"result":"OK"},'
                      . '{"result":"e"}]', "$name: in their order");

    # the reply of one is under way when somebody else writes

    $reset->();
    $proxy->set('hold');
    my $first = RF::Conn->new($t->nginx->port);
    $first->write($get->('k'), now() + 5);
    ok(wait_for(sub { $proxy->has('held') }), "$name: one is executed");

    my $written = sub {
        $redis->cmd('SET', 'k', 'new');
        $proxy->set('release');
    };

    all_are("$name: those that come later see what was written", 200, 'new',
            at_once($t, \@conns, $written, map { $get->('k') } @conns));
    is(RF::HTTP::read_response($first, 'GET', now() + slow(5))->{body}, 'old',
       "$name: the first does not");
    is($redis->calls->{get}, 2, "$name: by one command more");

    $t->ended;
    $proxy->stop;
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
    my @late = arrive($t, $crowd, '/kv/slow');
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

turns('cache off', RF::Redis->new, cache => 'off');
turns('refused', RF::Redis->new(acl =>
          "user default on nopass ~* &* +\@all\n"
          . "user nginx on >secret ~* &* +\@all -client|tracking\n"),
      user => 'nginx', password => 'secret');

killed($_) for qw(tracking off);
shut();
done_testing;
