# Whatever is wrong with Redis, each request is answered in time and as the
# outage policy says; the store falls back, and recovers when that is over.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

# local operations do not wait for anything: it would be for $Outage::CONNECT

my $LOCAL = slow(0.15);


# What is wrong, and right again.  Some keep what Redis holds, the others

my @causes = (
    {
        name => 'killed',
        fail => sub { $_[0]->kill },
        mend => sub { $_[0]->start },
    }, {
        name => 'stopped',
        fail => sub { $_[0]->pause },
        mend => sub { $_[0]->resume },
        reason => qr/timed out/,
    }, {
        name => 'at maxclients',
        fail => sub {
            my ($redis) = @_;
            $redis->cmd('CONFIG', 'SET', 'maxclients', 1);
            kick($redis);
        },
        mend => sub { $_[0]->cmd('CONFIG', 'SET', 'maxclients', 1000) },
        reason => qr/max number of clients/,
    }, {
        name => 'asking for a password',
        fail => sub {
            my ($redis) = @_;
            $redis->cmd('CONFIG', 'SET', 'requirepass', 'secret');
            kick($redis);
        },
        mend => sub { $_[0]->cmd('CONFIG', 'SET', 'requirepass', '') },
        reason => qr/NOAUTH/,
    }, {
        name => 'a replica',
        fail => sub {
            my ($redis) = @_;
            $redis->cmd('REPLICAOF', '127.0.0.1', RF::free_port());
        },
        mend => sub { $_[0]->cmd('REPLICAOF', 'NO', 'ONE') },
        reason => qr/READONLY/,
    }, {
        name => 'a replica without a master',
        fail => sub {
            my ($redis) = @_;
            $redis->cmd('CONFIG', 'SET', 'replica-serve-stale-data', 'no');
            $redis->cmd('REPLICAOF', '127.0.0.1', RF::free_port());
        },
        mend => sub { $_[0]->cmd('REPLICAOF', 'NO', 'ONE') },
        reason => qr/MASTERDOWN|READONLY/,
    }, {
        name => 'out of memory',
        fail => sub { $_[0]->cmd('CONFIG', 'SET', 'maxmemory', 1) },
        mend => sub { $_[0]->cmd('CONFIG', 'SET', 'maxmemory', 0) },
        reason => qr/OOM/,
    }, {
        name => 'loading',
        since => 70000,     # before it said nothing while it loaded so little
        fail => sub {
            my ($redis) = @_;
            $redis->cmd('CONFIG', 'SET', 'rdbcompression', 'no');
            $redis->pipeline(map { [ SET => "load:$_", 'x' x 200 ] } 1 .. 6000);
            $redis->cmd('SAVE');
            $redis->kill;

            # 10 ms for each key, and a look at the clients for each four

            $redis->{conf} = "key-load-delay 10000\n"
                             . 'loading-process-events-interval-bytes 1024';
            $redis->start(loading => 1);
        },
        mend => sub {
            my ($redis) = @_;

            # loading would take a minute

            $redis->kill;
            delete $redis->{conf};
            $redis->start;
            $redis->pipeline(map { [ DEL => "load:$_" ] } 1 .. 6000);
            unlink $redis->dir . '/dump.rdb';
        },
        reason => qr/LOADING/,
    }, {
        name => 'black-holed',
        fail => sub {
            my ($redis) = @_;
            $redis->kill;
            $redis->{hole} = RF::BlackHole->new(port => $redis->port);
        },
        mend => sub {
            my ($redis) = @_;
            (delete $redis->{hole})->close;
            $redis->start;
        },
        reason => qr/timed out/,
    }, {
        name => 'mute',
        fail => sub {
            my ($redis) = @_;
            $redis->kill;
            $redis->{fake} = RF::Fake->new(undef, port => $redis->port);
        },
        mend => sub {
            my ($redis) = @_;
            (delete $redis->{fake})->stop;
            $redis->start;
        },
        reason => qr/timed out/,
    },
);


sub kick {
    my ($redis) = @_;

    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
}


# many requests at once, just when it happens: [ method, key, status, body ]

sub burst {
    my ($t, $name, @wanted) = @_;

    my @requests = map {
        my ($method, $key, $status, $body) = @$_;
        [ $method, $t->uri_of($key),
          $method eq 'PUT' ? (body => $body) : () ]
    } @wanted;

    my @bad;
    my $slowest = 0;
    my $waited = waited();
    my @res = RF::HTTP::parallel($t->spread, 10, @requests);

    for my $i (0 .. $#wanted) {
        my ($method, $key, $status, $body) = @{ $wanted[$i] };
        my $res = $res[$i];

        push @bad, "$method $key: $res->{status}" . ($res->{error} || '')
            if $res->{status} ne $status;
        push @bad, "$method $key: $res->{body}"
            if $method eq 'GET' && $status == 200 && $res->{body} ne $body;
        $slowest = $res->{elapsed} if $res->{elapsed} > $slowest;
    }

    is("@bad", '', "$name: no request fails");
    cmp_ok($slowest, '<', budget() + waited() - $waited,
           "$name: nor takes too long");
}


# one after the other

sub series {
    my ($t, $name, $limit, @wanted) = @_;

    my @bad;
    my $slowest = 0;
    my $waited = waited();

    for my $item (@wanted) {
        my ($method, $key, $status, $body) = @$item;
        my $res = $method eq 'PUT' ? $t->put($key, $body)
                  : $method eq 'GET' ? $t->get($key)
                  : $method eq 'DELETE' ? $t->delete($key)
                  : $t->run($method, $key);

        push @bad, "$method $key: $res->{status}" if $res->{status} ne $status;
        push @bad, "$method $key: $res->{body}, not $body"
            if $method ne 'PUT' && defined $body && $res->{body} ne $body;
        push @bad, "$method $key: $res->{mode}" if $res->{mode} ne 'fallback';
        $slowest = $res->{elapsed} if $res->{elapsed} > $slowest;
    }

    is("@bad", '', "$name: works");
    cmp_ok($slowest, '<', $limit + waited() - $waited, "$name: at once");
}


sub Outage::uri_of { return Outage::uri($_[1]) }


# what locations with other policies answer

sub policies {
    my ($t, $name) = @_;

    my $nginx = $t->nginx;
    my @got = map { $_->{status} }
        $nginx->get('/ro/keep1'), $nginx->put('/ro/keep1', 'x'),
        $nginx->delete('/ro/keep1'), $nginx->get('/no/keep1'),
        $nginx->put('/no/keep1', 'x'), $nginx->get('/unknown/never-seen'),
        $nginx->get('/unknown/keep1');

    is("@got", '200 503 503 503 503 504 200', "$name: outage policies");

    my $after = $nginx->get('/no/keep1')->{headers}{'retry-after'};
    like($after || '', qr/^[1-9]\d*$/, "$name: and Retry-After");
}


sub scenario {
    my ($t, $cause, $workers) = @_;

    my $redis = $t->redis;
    my $name = "$workers workers, $cause->{name}";
    my %expect;

    for my $i (1 .. 8) {
        $t->put("keep$i", "value $i");
        $t->put("new$i", 'old');
        $t->put("gone$i", 'old');
        $expect{"keep$i"} = "value $i";
    }

    $t->run('INCR', 'count');
    ok($t->wait_normal, "$name: normal before");

    # a connection of each worker is in use when it happens

    my $conns = $t->conns;
    $_->close for values %$conns;
    my $outages = $t->status->{outages};
    my $seen = length $t->nginx->log;

    $cause->{fail}->($redis);

    # where Redis still answers reads it is asked for what memory may not say

    my @reads = map { [ GET => "keep$_", 200, "value $_" ] } 1 .. 8;
    my @misses = map { [ GET => "none$_", 404 ] } 1 .. 4;
    my @writes = ((map { [ PUT => "new$_", 204, "new $_" ] } 1 .. 8),
                  (map { [ DELETE => "gone$_", 204 ] } 1 .. 8));

    burst($t, $name, map { ($reads[$_], $misses[$_ % 4], @writes[2 * $_,
                                                            2 * $_ + 1]) }
                     0 .. 7);
    $expect{"new$_"} = "new $_" for 1 .. 8;
    $expect{"gone$_"} = undef for 1 .. 8;

    is($t->mode, 'fallback', "$name: fallback");
    is($t->status->{outages}, $outages + 1, "$name: one outage");

    if ($cause->{reason}) {
        like(substr($t->nginx->log, $seen),
             qr/going on locally: .*$cause->{reason}/, "$name: the reason");
    }

    series($t, "$name, then", $LOCAL, @reads, @misses,
           (map { [ PUT => "more$_", 204, "more $_" ] } 1 .. 4),
           (map { [ GET => "more$_", 200, "more $_" ] } 1 .. 4),
           [ GET => 'gone1', 404 ], [ DELETE => 'none1', 404 ],
           [ INCR => 'count', 200, 2 ], [ INCR => 'count', 200, 3 ]);
    $expect{"more$_"} = "more $_" for 1 .. 4;
    $expect{count} = 3;
    policies($t, $name);

    # it stays so through some probes

    my $probes = () = $t->nginx->log =~ /is not ready/g;
    ok(wait_for(sub { (() = $t->nginx->log =~ /is not ready/g) > $probes + 1 }),
       "$name: probes");
    is($t->mode, 'fallback', "$name: still fallback");

    $cause->{mend}->($redis);
    $t->recovered(\%expect, $name);
    is($t->get("unread$outages")->{tier}, 'redis',
       "$name: Redis answers again");
    is($t->status->{outages}, $outages + 1, "$name: no further outage");

    $t->delete($_) for map { ("keep$_", "new$_", "more$_") } 1 .. 8;
    $t->run('DEL', 'count');
    flush($t);
}


# What is written before a worker has heard of a FLUSHALL counts as written
# before it, so restore would not write it back.  Redis has told all of them
# when it answers the next command; the second request of each comes in a turn
# of its event loop that began after that.

sub flush {
    my ($t) = @_;

    $t->redis->cmd($_) for qw(FLUSHALL PING);

    my $conns = $t->conns;

    for my $conn (values %$conns) {
        $t->get('unread', conn => $conn) for 1 .. 2;
        $conn->close;
    }
}


sub locations {
    return <<'END';
    location /ro/ {
        redis_fallback_pass;
        redis_fallback_outage read_only;
    }
    location /no/ {
        redis_fallback_pass;
        redis_fallback_outage reject;
    }
    location /unknown/ {
        redis_fallback_pass;
        redis_fallback_outage local unknown=504;
    }
END
}


for my $workers (1, 4) {
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis,
                        server => locations(),
                        store => { check_interval => '100ms' });

    scenario($t, $_, $workers) for grep { !$_->{since}
                                          || RF::Redis::version() >= $_->{since} }
                                        @causes;

    ok($t->nginx->stop, "$workers workers: stops");
    $t->nginx->check_logs;
}


# the password of the configuration is not the right one (any more)

for my $workers (1, 4) {
    my $redis = RF::Redis->new(password => 'first');
    my $t = Outage->new(workers => $workers, redis => $redis,
                        server => locations(),
                        store => { check_interval => '100ms',
                                   password => 'first' });

    scenario($t, {
        name => 'of another password',
        fail => sub {
            $redis->cmd('CONFIG', 'SET', 'requirepass', 'second');
            kick($redis);
        },
        mend => sub { $redis->cmd('CONFIG', 'SET', 'requirepass', 'first') },
        reason => qr/WRONGPASS/,
    }, $workers);

    unlike($t->nginx->log, qr/first|second/, 'no password in the log');
    ok($t->nginx->stop, "$workers workers: stops");
    $t->nginx->check_logs;
}

done_testing;
