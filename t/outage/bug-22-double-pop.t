# A pop that Redis had executed was on its way back when another worker, or
# another connection, began the outage.  Who popped from the same key meanwhile
# got the same element, from memory.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use ProxyLate;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;


sub request {
    return RF::HTTP::format_request('POST', '/api', keepalive => 1,
                                    body => $json->encode([ @_ ]));
}


sub api {
    my ($t, $conn, @argv) = @_;

    my $res = RF::HTTP::request($t->spread, 'POST', '/api', conn => $conn,
                                body => $json->encode(\@argv));

    return answer($res);
}


sub answer {
    my ($res) = @_;

    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $json->encode($answer->{result}) : "$res->{status} $res->{body}";
}


# how it is made, read, popped from; how much there is, and the number when Redis
# has executed one; what the first and the second of two are to get.  Of some the
# reply does not tell what is left: then that is unknown here

my @cases = (
    [ 'LPOP', [qw(RPUSH l a b c)], [qw(LRANGE l 0 -1)], [qw(LPOP l)],
      [qw(LLEN l)], 2, '"a"', '"b"' ],
    [ 'RPOP', [qw(RPUSH r a b c)], [qw(LRANGE r 0 -1)], [qw(RPOP r)],
      [qw(LLEN r)], 2, '"c"', '"b"' ],
    [ 'RPOPLPUSH', [qw(RPUSH m a b c)], [qw(LRANGE m 0 -1)],
      [qw(RPOPLPUSH m other)], [qw(LLEN m)], 2, '"c"', 'null' ],
    [ 'SPOP', [qw(SADD s a b)], [qw(SMEMBERS s)], [qw(SPOP s)],
      [qw(SCARD s)], 1, '"[ab]"', '"[ab]"' ],
    [ 'ZPOPMIN', [qw(ZADD z 1 a 2 b 3 c)], [qw(ZRANGE z 0 -1 WITHSCORES)],
      [qw(ZPOPMIN z)], [qw(ZCARD z)], 2, '\["a","1"\]', '\[\]' ],
    [ 'GETDEL', [qw(SET g a)], [qw(GET g)], [qw(GETDEL g)], [qw(EXISTS g)], 0,
      '"a"', 'null' ],
);


sub store {
    my ($redis, $workers, $connections, %lines) = @_;

    my $proxy = ProxyLate->start($redis);
    my $t = Outage->new(workers => $workers, redis => $proxy,
                        server => "location /api {\n"
                                  . " redis_fallback_api app;\n}\n",
                        store  => { timeout     => '20s',
                                    connections => $connections, %lines });
    my $conns = $t->conns;
    my ($one, $two) = @{$conns}{sort keys %$conns};

    return ($t, $proxy, $one, $two || RF::Conn->new($t->spread));
}


# all cases at the same time, each popped from by a client of its own

sub popped {
    my ($workers, $connections) = @_;

    my $name = "$workers workers, connections $connections";
    my $redis = RF::Redis->new;
    my ($t, $proxy, $one, $two) = store($redis, $workers, $connections);
    my @second;

    for my $case (@cases) {
        api($t, $one, @$_) for $case->[1], $case->[2];
    }

    api($t, $two, 'PING');
    $proxy->set('hold', 'POP');

    $one->write(RF::HTTP::format_request('POST', '/api/pipeline',
        body => $json->encode([ map { $_->[3] } @cases ]), keepalive => 1),
        now() + slow(5));

    for my $case (@cases) {
        ok(wait_for(sub { $redis->cmd(@{ $case->[4] }) eq $case->[5] }),
           "$name, $case->[0]: executed");
    }

    $proxy->set('cut');
    ok(wait_for(sub { $proxy->has('done') }), "$name: cut off");

    # somebody finds out

    my @finds;

    for my $i (1 .. 16) {
        my $conn = $workers > 1 && $i == 1 ? $two : RF::Conn->new($t->spread);
        $conn->write(RF::HTTP::format_request('GET', "/kv/wait$i",
                                              keepalive => 1),
                     now() + slow(5));
        push @finds, $conn;
        last if $workers > 1;
    }

    ok($t->wait_fallback(slow(5)), "$name: an outage");
    RF::HTTP::read_response($two, 'GET', now() + slow(10)) if $workers > 1;

    for my $case (@cases) {
        my $conn = RF::Conn->new($t->spread);
        $conn->write(request(@{ $case->[3] }), now() + slow(5));
        push @second, $conn;
    }

    # what is no pop does not wait, nor does a pop of another key

    is(api($t, $two, qw(RPUSH free x)), 1, "$name: a push");
    is(api($t, $two, qw(LLEN free)), 1, "$name: a read");

    $proxy->set('release');
    my $res = RF::HTTP::read_response($one, 'POST', now() + slow(10));
    my $replies = eval { $json->decode($res->{body}) } || [];

    for my $i (0 .. $#cases) {
        my $case = $cases[$i];
        my $first = $json->encode($replies->[$i]{result});
        my $second = answer(RF::HTTP::read_response($second[$i], 'POST',
                                                    now() + slow(10)));

        like($first, qr/^$case->[6]$/, "$name, $case->[0]: the first");
        like($second, qr/^$case->[7]$/, "$name, $case->[0]: the second");
        isnt($second, $first, "$name, $case->[0]: another one");
    }

    is($t->mode, 'fallback', "$name: still in the outage");

    $proxy->drop($_) for qw(cut hold);
    ok($t->wait_normal(slow(30)), "$name: normal");

    my %left = (l => 1, r => 1, m => 2, s => 0, z => 2, other => 1);

    is($redis->cmd({ s => 'SCARD', z => 'ZCARD' }->{$_} || 'LLEN', $_),
       $left{$_}, "$name, $_: Redis has the rest") for sort keys %left;

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
    $proxy->stop;
}


# One of two workers has asked for an element, and its reply is held; the pid of
# that one, and a connection to the other.

sub asked {
    my ($name, $timeout) = @_;

    my $redis = RF::Redis->new;
    my ($t, $proxy) = store($redis, 2, 1, timeout => $timeout,
                            connect_timeout => '100ms');
    my $conns = $t->conns;
    my ($pid, $other) = sort keys %$conns;

    api($t, $conns->{$pid}, @$_) for [qw(RPUSH l a b c)], [qw(LRANGE l 0 -1)];
    api($t, $conns->{$other}, 'PING');
    $proxy->set('hold', 'POP');
    $conns->{$pid}->write(request(qw(LPOP l)), now() + slow(5));
    ok(wait_for(sub { $redis->cmd(qw(LLEN l)) == 2 }), "$name: executed");

    # both stay as long as the store does
    $t->{redis} = $redis;
    $t->{kept} = $conns;

    return ($t, $proxy, $pid, $conns->{$other});
}


# the reply does not come within the budget: refused, and nothing is popped.  The
# worker that waits for it is killed: nobody gets it, so the next one does

sub in_vain {
    my $name = 'in vain';
    my ($t, $proxy, $pid, $conn) = asked($name, '20s');

    $proxy->set('cut');
    ok(wait_for(sub { $proxy->has('done') }), "$name: cut off");
    ok(wait_for(sub { api($t, $conn, qw(GET nothing));
                      $t->mode eq 'fallback' }), "$name: an outage");

    $conn->write(request(qw(LPOP l)), now() + slow(5));
    kill 'KILL', $pid;
    is(answer(RF::HTTP::read_response($conn, 'POST', now() + slow(10))),
       '"a"', "$name: its worker has died, and nobody has got it");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
    $proxy->stop;
}


sub refused {
    my $name = 'refused';
    my ($t, $proxy, $pid, $conn) = asked($name, '2s');

    # the worker that has sent it stops, so that its end is not seen

    kill 'STOP', $pid;
    ok(wait_for(sub { RF::slurp("/proc/$pid/stat") =~ /\) T/ }),
       "$name: its worker is stopped");
    $proxy->set('cut');
    ok(wait_for(sub { $proxy->has('done') }), "$name: cut off");
    ok(wait_for(sub { Outage::told(RF::HTTP::request($t->spread, 'GET',
                          '/kv/nothing', conn => $conn))->{mode}
                      eq 'fallback' }), "$name: an outage");

    like(api($t, $conn, qw(LPOP l)),
         qr/^503 .*Redis may be removing the same element/,
         "$name: after the budget");
    is(api($t, $conn, qw(LRANGE l 0 -1)), '["a","b","c"]',
       "$name: nothing was removed");

    kill 'CONT', $pid;
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
    $proxy->stop;
}


popped(2, 1);
popped(1, 4);
in_vain();
refused();

done_testing;
