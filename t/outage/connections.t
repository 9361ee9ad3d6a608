# connections N: a huge reply that comes slowly stalls one link and nobody else;
# what has to stay in order does; links that are killed, a Redis that is, and
# reloads to another N lose nothing and leave no connection behind.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Proxy;
use OutageApi;
use ExactLoad;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;


# A proxy before a Redis.  While the file "hold" is there, a connection over
# which somebody asks for "huge" is stalled: so many bytes of the replies pass
# as the file says, and the rest once "release" is there.  "stalled" says that
# there is a rest.
#
# While "keep" is there, what clients send over a connection that names "huge"
# is kept for ever, also when its client has gone, until "give" is there; "kept"
# and "given" say so.

package Stall;

use IO::Select;

our @ISA = 'Proxy';


sub serve {
    my ($self, $listen, $port) = @_;

    my $select = IO::Select->new($listen);
    my (%peer, %server, %left, %held, %kept);

    for ( ;; ) {
        for my $sock ($select->can_read(0.01)) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new("127.0.0.1:$port") or next;
                ($peer{$in}, $peer{$out}) = ($out, $in);
                $server{$out} = $out;
                $select->add($in, $out);
                next;
            }

            next if !$peer{$sock};

            my $n = sysread $sock, my $data, 65536;

            if (!$n && defined $kept{$sock}) {
                $select->remove($sock);
                next;
            }

            if (!$n) {
                my @ends = ($sock, $peer{$sock});
                $select->remove(@ends);
                delete @$_{@ends} for \(%peer, %server, %left, %held);
                close $_ for @ends;
                next;
            }

            if (!$server{$sock} && (defined $kept{$sock}
                                    || $self->has('keep')
                                       && $data =~ /\r\nhuge\r\n/))
            {
                $kept{$sock} .= $data;
                $self->set('kept');
                next;
            }

            if (!$server{$sock}) {
                $left{$peer{$sock}} = RF::slurp("$self->{dir}/hold")
                    if $self->has('hold')
                       && $data =~ /^GET\r\n\$\d+\r\nhuge\r$/m;

            } elsif (defined $left{$sock}) {
                my $now = substr $data, 0, $left{$sock}, '';
                $left{$sock} -= length $now;
                $held{$sock} .= $data;
                $self->set('stalled') if length $data;
                $data = $now;
            }

            syswrite $peer{$sock}, $data if length $data;
        }

        if ($self->has('give') && !$self->has('given')) {
            for my $sock (grep { defined $kept{$_} } keys %kept) {
                syswrite $peer{$sock}, $kept{$sock} if $peer{$sock};
            }

            $self->set('given');
        }

        next if !$self->has('release');

        for my $sock (grep { defined $held{$_} } keys %server) {
            syswrite $peer{$sock}, delete $held{$sock};
            delete $left{$sock};
        }
    }
}


# What Redis is told, by whom: [ address, words... ] each

package Monitor;


sub start {
    my ($class, $redis) = @_;

    my $conn = RF::Conn->new($redis->port);

    RF::Redis::talk($conn, 5, 'MONITOR');

    return bless { conn => $conn, redis => $redis, n => 0 }, $class;
}


# since the last time

sub seen {
    my ($self) = @_;

    my $mark = 'mark' . ++$self->{n};
    my $end = RF::now() + RF::slow(10);
    my @seen;

    $self->{redis}->cmd('ECHO', $mark);

    while (defined(my $line = $self->{conn}->line($end))) {
        return @seen if $line =~ /"$mark"/;

        my ($address, $words) = $line =~ /^\+?[\d.]+ \[\d+ (\S+)\] "(.*)"$/
                                or next;

        # which anybody may send at any time

        next if lc $words eq 'ping';
        push @seen, [ $address, map { s/\\"/"/gr } split /" "/, $words ];
    }

    die "no end of MONITOR\n";
}


package main;


# connections of nginx, or of a proxy for it

sub clients {
    my ($redis) = @_;

    my $me = $redis->cmd('CLIENT', 'ID');

    return grep { $_ != $me } $redis->cmd('CLIENT', 'LIST', 'TYPE', 'normal')
                              =~ /^id=(\d+) (?!.*cmd=monitor)/mg;
}


# each link of each worker is needed: for keys that memory does not know

my $touched = 0;

sub touch_all {
    my ($t) = @_;

    my $conns = $t->conns;

    for my $conn (values %$conns) {
        $t->get('touch' . $touched++, conn => $conn) for 1 .. 300;
    }
}


sub ask {
    my ($t, $method, $uri, $body) = @_;

    my $conn = RF::Conn->new($t->spread);

    $conn->write(RF::HTTP::format_request($method, $uri,
                     defined $body ? (body => $body) : ()), now() + slow(5));

    return $conn;
}


sub answered {
    my (@conns) = @_;

    return join ' ', grep { $conns[$_]->ready(0, now() + 0.001) } 0 .. $#conns;
}


# the links of k0 to k39, and of huge, by what Redis sees

sub links {
    my ($t, $monitor) = @_;

    $monitor->seen;
    $t->get($_) for 'huge', map { "k$_" } 0 .. 39;

    return map { $_->[2] => $_->[0] }
           grep { lc $_->[1] eq 'get' } $monitor->seen;
}


# a slow reply

sub stalled {
    my ($n) = @_;

    my $name = "connections $n";
    my $redis = RF::Redis->new;
    my $proxy = Stall->start($redis);
    my $t = Outage->new(redis => $proxy,
                        store => { connections => $n, timeout => '20s',
                                   cache => 'off' });
    my $monitor = Monitor->start($redis);
    my $huge = 'h' x 4_000_000;

    $redis->cmd('SET', 'huge', $huge);
    $redis->cmd('SET', "k$_", "value $_") for 0 .. 39;

    my %link = links($t, $monitor);
    my %links = map { $_ => 1 } values %link;

    is(keys %links, $n, "$name: so many are used");
    is(scalar(clients($redis)), $n, "$name: and there are no more");

    my @others = grep { $link{"k$_"} ne $link{huge} } 0 .. 39;

    cmp_ok(scalar @others, '>=', 40 * ($n - 1) / $n - 12,
           "$name: keys are spread");

    $proxy->set('hold', 1_000_000);
    my $first = ask($t, 'GET', '/kv/huge');
    ok(wait_for(sub { $proxy->has('stalled') }), "$name: a quarter has come");

    my $before = $redis->calls->{get};
    my @conns = map { ask($t, 'GET', "/kv/k$_") } 0 .. 39;

    ok(wait_for(sub { $redis->calls->{get} == $before + 40 }),
       "$name: Redis has executed the others");
    ok(wait_for(sub { answered(@conns) eq "@others" }),
       "$name: those of other links are answered: " . @others)
        or diag(answered(@conns) . ", not @others");
    is($t->status->{redis}{connected}, 1, "$name: one worker is connected");
    is(answered($first, @conns[grep { my $i = $_; !grep { $_ == $i } @others }
                               0 .. 39]), '', "$name: and no others");

    $proxy->set('release');

    my $res = RF::HTTP::read_response($first, 'GET', now() + slow(10));
    ok($res->{body} eq $huge, "$name: the slow one");

    my @wrong = grep {
        RF::HTTP::read_response($conns[$_], 'GET', now() + slow(5))->{body}
            ne "value $_"
    } 0 .. 39;
    is("@wrong", '', "$name: each has its own");
    is($t->mode, 'normal', "$name: normal all the time");

    ended($t);
    $proxy->stop;
}


# a test: Redis was told that, and by one

sub told {
    my ($monitor, $name, @want) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @seen = grep { $_->[0] ne 'lua' && $_->[1] ne 'PTTL' } $monitor->seen;
    my %from = map { $_->[0] => 1 } @seen;

    is(join(', ', map { "@$_[1 .. $#$_]" } @seen),
       join(', ', map { "@$_" } @want), "$name: in order");
    is(keys %from, 1, "$name: over one link");
}

# commands of one key, and of one request

sub order {
    my $redis = RF::Redis->new;
    my $t = api_store($redis, { connections => 4 }, server => <<'END');
location /api {
    redis_fallback_api app;
}
location = /sets {
    redis_fallback_set  $a SET s1 1;
    redis_fallback_set  $b SET s2 2;
    redis_fallback_set  $c MSET s3 3 s4 4;
    redis_fallback_set  $d DBSIZE;
    redis_fallback_set  $e SET s5 5;
    redis_fallback_exec SET e1 1;
    redis_fallback_exec SET e2 2;
    redis_fallback_exec DBSIZE;
    redis_fallback_exec SET e3 3;
    return 200 $d;
}
END
    my $monitor = Monitor->start($redis);

    for my $round (1 .. 3) {
        $t->put("o$_", $round) for 1 .. 20;
        $t->run('APPEND', "o$_", 'x') for 1 .. 20;
        $t->get("o$_") for 1 .. 20;
    }

    my (%of, %all);

    for my $line ($monitor->seen) {
        next if ($line->[2] // '') !~ /^o\d+$/;
        $of{$line->[2]}{$line->[0]} = 1;
        $all{$line->[0]} = 1;
    }

    is(join(' ', map { scalar keys %{ $of{"o$_"} } } 1 .. 20),
       join(' ', (1) x 20), 'a key has one link');
    is(keys %all, 4, 'and all have four');

    my @pipeline = map {
        ([ SET => "a$_", $_ ], [ MSET => "b$_", $_, "c$_", $_ ],
         [ GET => "c$_" ], [ 'DBSIZE' ],
         [ EVAL => 'return redis.call("get", KEYS[1])', 1, "b$_" ],
         [ SADD => "d$_", 'x' ], [ DEL => "c$_", "a$_" ], [ EXISTS => "a$_" ])
    } 1 .. 30;
    my $res = $t->nginx->post('/api/pipeline', $json->encode(\@pipeline));
    my @results = map { $_->{result} } @{ $json->decode($res->{body}) };

    is(join(' ', map { "@results[2 + 8 * $_, 4 + 8 * $_, 7 + 8 * $_]" }
                 0 .. 29),
       join(' ', map { "$_ $_ 0" } 1 .. 30), 'a pipeline sees what it did');

    told($monitor, 'pipeline', @pipeline);

    my @commands = ([ SET => 'm1', 1 ], [ SET => 'm2', 2 ], [ GET => 'm1' ]);
    $res = $t->nginx->post('/api/multi-exec', $json->encode(\@commands));
    is(join(' ', map { $_->{result} } @{ $json->decode($res->{body}) }),
       'OK OK 1', 'a transaction');
    told($monitor, 'transaction', [ 'MULTI' ], @commands, [ 'EXEC' ]);

    my $size = $redis->cmd('DBSIZE');
    $monitor->seen;
    is($t->nginx->get('/sets')->{body}, $size + 4, 'sets see what they did');

    my (@sets, @execs);

    wait_for(sub {
        for my $line ($monitor->seen) {
            my $execs = ($line->[2] // '') =~ /^e/ || @execs;
            push @{ $execs ? \@execs : \@sets }, $line;
        }
        return @execs == 4;
    });

    is(join(', ', map { "@$_[1 .. $#$_]" } @sets),
       'SET s1 1, SET s2 2, MSET s3 3 s4 4, DBSIZE, SET s5 5',
       'sets: in order');
    is(join(', ', map { "@$_[1 .. $#$_]" } @execs),
       'SET e1 1, SET e2 2, DBSIZE, SET e3 3', 'execs: in order');

    for my $lines (\@sets, \@execs) {
        my %from = map { $_->[0] => 1 } @$lines;
        is(keys %from, 1, 'over one link');
    }

    ended($t);
}


# Redis executed a read, then, over another link, a write; their replies come
# the other way round.  Memory is not to go back to what was read.

sub late {
    my $redis = RF::Redis->new;
    my $proxy = Stall->start($redis);
    my $t = api_store($proxy, { connections => 4, timeout => '20s',
                                cache => '1h' });
    my $monitor = Monitor->start($redis);

    $redis->cmd('SET', 'huge', 'old');
    $t->put("k$_", 'x') for 0 .. 39;
    my %link = map { $_->[2] => $_->[0] } grep { ($_->[2] // '') =~ /^k\d/ }
               $monitor->seen;

    $proxy->set('hold', 0);
    my $read = ask($t, 'GET', '/kv/huge');
    ok(wait_for(sub { $proxy->has('stalled') }), 'late: Redis was asked');

    my ($from) = map { $_->[0] } grep { ($_->[2] // '') eq 'huge' }
                 $monitor->seen;
    my ($key) = grep { $link{$_} ne $from } sort keys %link;
    my $res = $t->nginx->post('/api/pipeline', $json->encode(
        [ [ SET => $key, 'y' ], [ SET => 'huge', 'new' ] ]));

    is(join(' ', map { $_->{result} } @{ $json->decode($res->{body}) }),
       'OK OK', 'late: a write over another link');

    $proxy->set('release');
    is(RF::HTTP::read_response($read, 'GET', now() + slow(5))->{body}, 'old',
       'late: the read is answered');
    is($t->get('huge')->{body}, 'new', 'late: memory knows better');
    is($t->get($key)->{tier}, 'memory', 'late: of what nobody read, too');

    ended($t);
    $proxy->stop;
}


# A write is under way to Redis, over a connection that stalls.  Another one has
# an outage meanwhile, which is over before the write is given up.  It is not to
# come after what was written since.

sub forgotten {
    my ($workers, $n) = @_;

    my $name = "given up after an outage, $workers workers, connections $n";
    my $redis = RF::Redis->new;
    my $proxy = Stall->start($redis);
    my $t = api_store($proxy, { connections => $n, timeout => '2s' },
                      workers => $workers);
    my $conns = $t->conns;
    my ($one, $two) = @{$conns}{sort keys %$conns};
    my $monitor = Monitor->start($redis);

    # a key that has another connection than "huge"

    $two ||= $one;
    $t->put($_, 'x', conn => $two) for map { "k$_" } 0 .. 39;
    $t->put('huge', 'old', conn => $one);

    my %link = map { $_->[2] => $_->[0] } grep { $_->[1] eq 'SET' }
               $monitor->seen;
    my ($key) = grep { $link{$_} ne $link{huge} } sort keys %link;

    $proxy->set('keep');

    my $late = $workers > 1 ? $one : RF::Conn->new($t->spread);
    $late->write(RF::HTTP::format_request('PUT', '/kv/huge', body => 'late',
                     keepalive => 1), now() + slow(5));
    ok(wait_for(sub { $proxy->has('kept') }), "$name: on its way");
    unlink "$proxy->{dir}/keep";

    $redis->cmd('CONFIG', 'SET', 'maxmemory', 1);
    is($t->put($key, 'local', conn => $two)->{mode}, 'fallback',
       "$name: an outage");
    $redis->cmd('CONFIG', 'SET', 'maxmemory', 0);
    ok($t->wait_normal, "$name: which is over");

    my $res = RF::HTTP::read_response($late, 'PUT', now() + slow(5));
    is($res->{status}, 204, "$name: then the write is given up, and done");
    is($res->{headers}{'x-tier'}, 'memory', "$name: here");
    ok($t->wait_normal, "$name: normal again");
    is($t->put('huge', 'new', conn => $late)->{tier}, 'redis',
       "$name: a newer value");

    $proxy->set('give');
    ok(wait_for(sub { $proxy->has('given') }), "$name: now it comes");
    $redis->cmd('PING') for 1 .. 3;
    is($redis->cmd('GET', 'huge'), 'new', "$name: and is not executed");

    ended($t);
    $proxy->stop;
}


sub exact {
    my ($redis, $load, $t, $name) = @_;

    my $report = $load->stop;

    ok($t->wait_normal(slow(20)), "$name: normal")
        or diag(explain($t->status));
    is("@{ $report->{errors} }", '', "$name: no errors");
    is(join("\n", ExactLoad::wrong($redis, $report)), '',
       "$name: nothing is lost, nothing doubled, all in order");
    diag("$name: $report->{requests} requests, $report->{refused} refused, "
         . "$report->{unsure} unsure");
}


sub counted {
    my ($redis, $t, $n, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { clients($redis) <= $n }, 10), "$name: no more than $n");
    touch_all($t);
    is(scalar(clients($redis)), $n, "$name: $n connections");
    is($t->status->{redis}{connected}, $t->nginx->{workers},
       "$name: of $t->{nginx}{workers} workers");
}


# one link is killed, again and again, with what was sent over it while Redis
# did something else: it goes unread

sub killed {
    my $redis = RF::Redis->new;
    my $t = api_store($redis, { connections => 4 }, workers => 2);
    my $load = ExactLoad->start($t, clients => 8);

    ok($load->wait(20), 'killed: under way');

    my $busy = "for i = 1, 3000000 do end";
    my $kills = 0;

    for my $round (1 .. 40) {
        my @ids = clients($redis);
        my $id = @ids ? $ids[rand @ids] : 0;
        my (undef, $n) = $redis->pipeline([ EVAL => $busy, 0 ],
                                          [ CLIENT => 'KILL', 'ID', $id ]);
        $kills += $n // 0;
        $load->wait(3) or fail("killed: hangs at $round");
        fail('killed: too many connections') if clients($redis) > 8;
    }

    cmp_ok($kills, '>=', 30, "killed: $kills times");

    exact($redis, $load, $t, 'killed');
    counted($redis, $t, 8, 'killed');

    # a worker counts as connected by what it has left

    $t->nginx->new_log;
    $redis->cmd('CLIENT', 'KILL', 'ID', (clients($redis))[0]);
    my $new = '';
    ok(wait_for(sub { ($new .= $t->nginx->new_log)
                      =~ /redis closed the connection/ }),
       'killed: an idle one');
    is($t->status->{redis}{connected}, 2, 'killed: both are still connected');
    is(scalar(clients($redis)), 7, 'killed: and nobody makes it anew');
    ended($t);
}


# Redis is killed and comes back, with what nginx has for it

sub restarted {
    my $redis = RF::Redis->new(conf => "appendonly yes\nappendfsync always\n");
    my $t = api_store($redis, { connections => 4 }, workers => 2);
    my $load = ExactLoad->start($t, clients => 8);

    ok($load->wait(20), 'restarted: under way');

    for my $round (1 .. 4) {
        $redis->kill;
        ok($t->wait_fallback, "restarted: round $round");
        $load->wait(20) or fail("restarted: hangs at $round");
        $redis->start;
        ok($t->wait_normal(slow(15)), "restarted: normal, round $round")
            or diag(explain($t->status));
        $load->wait(5) or fail("restarted: hangs after $round");
    }

    exact($redis, $load, $t, 'restarted');
    counted($redis, $t, 8, 'restarted');

    # how a connection broke, and how the next try failed

    my @lines = $t->nginx->log
                =~ /^.*\[error\] \d+#\d+: (?!\*)(?!redis_fallback store).*/mg;
    cmp_ok(scalar @lines, '<=', 2 * 2 * 4 + 10,
           'restarted: a worker says it twice, not for each link')
        or diag(join "\n", @lines);

    ended($t);
}


sub reloaded {
    my $redis = RF::Redis->new;
    my $t = api_store($redis, {}, workers => 2);
    my $load = ExactLoad->start($t, clients => 3);

    ok($load->wait(20), 'reloaded: under way');

    for my $n (16, 1, 3, 4, 2, 1) {
        $t->configure(connections => $n);
        ok($t->nginx->reload, "reloaded: connections $n");
        ok(wait_for(sub { $t->nginx->workers == 2 }, 10),
           "reloaded: the old workers are gone");
        $load->wait(10) or fail("reloaded: hangs at $n");
        counted($redis, $t, 2 * $n, "reloaded: connections $n");
    }

    exact($redis, $load, $t, 'reloaded');
    ended($t);
    is(scalar(clients($redis)), 0, 'reloaded: none is left');
}


stalled($_) for 1, 4;
order();
late();
forgotten(1, 4);
forgotten(2, 1);
killed();
restarted();
reloaded();

done_testing;
