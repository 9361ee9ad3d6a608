# redis_fallback_lock: one read per key, whichever worker wants it.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;

my $crowd = 40;


sub new_store {
    return Tracking->new(
        store  => { timeout => '20s', restore => 'off' },
        server => <<'END');
    location /hot/ {
        redis_fallback_pass app;
        redis_fallback_lock on;
        add_header X-Pid $pid always;
    }
    location = /busy { return 200 $connections_writing; }
END
}


# a crowd over all workers, while Redis stands still; undef if that took so long
# that some may have lost their patience

sub rush {
    my ($t, $uri) = @_;

    my $redis = $t->redis;
    my @conns;

    $redis->cmd('CONFIG', 'RESETSTAT');
    $redis->pause;
    my $began = now();

    for (1 .. $crowd) {
        my $conn = RF::Conn->new($t->store->spread, timeout => 5);
        $conn->write(RF::HTTP::format_request('GET', $uri), now() + 5);
        push @conns, $conn;
    }

    wait_for(sub {
        my $res = RF::HTTP::request($t->nginx->port, 'GET', '/busy');
        return $res->{body} == $crowd + 1;
    }, 0.19);

    $redis->resume;

    my @answers = map { RF::HTTP::read_response($_, 'GET', now() + 10) }
                  @conns;

    # the 200 ms of their patience began later than this

    return now() - $began < 0.19 ? \@answers : undef;
}


sub one_read {
    my ($t, $name, $key, $status) = @_;

    my ($answers, $calls);

    for (1 .. 20) {
        $t->redis->cmd('SET', $_, 'value') for qw(some none);
        $t->redis->cmd('DEL', 'none');
        wait_for(sub { $t->nginx->get('/hot/other')->{status} == 404 });
        my $waited = waited();
        $answers = rush($t, "/hot/$key");
        $calls = $t->redis->calls->{get};

        # of a worker that had to wait for a processor memory is in doubt, and
        # asks again

        undef $answers if $calls > 1 && waited() - $waited > 0.01;
        last if $answers;
    }

  SKIP: {
        skip 'the machine is too slow', 2 unless $answers;

        is(scalar(grep { $_->{status} != $status } @$answers), 0,
           "$name: all are answered");
        is($calls, 1, "$name: by one command");
    }

    my %pids = map { ($_->{headers}{'x-pid'} // '') => 1 } @{ $answers || [] };
    cmp_ok(scalar keys %pids, '>', 1, "$name: of several workers")
        if $answers;
}


# who holds the lock dies, and those who wait do not for long

sub dies {
    my ($t) = @_;

    my $redis = $t->redis;
    my ($first, $second) = $t->pids;

    $redis->cmd('SET', 'dying', 'value');
    ok($t->tracks, 'Redis vouches');
    $redis->pause;

    my $conn = $t->{conns}{$first};
    $conn->write(RF::HTTP::format_request('GET', '/hot/dying'), now() + 5);
    wait_for(sub { RF::HTTP::request($t->nginx->port, 'GET', '/busy')->{body}
                   >= 2 }, 1);
    CORE::kill('KILL', $first);
    $redis->resume;

    my $res = RF::HTTP::request($t->store->spread, 'GET', '/hot/dying',
                                conn => $t->{conns}{$second});
    is("$res->{status} $res->{body}", '200 value', 'the holder dies');
    ok($res->{elapsed} < slow(1), 'the wait is short')
        or diag($res->{elapsed});
    $t->meet;
}


my $t = new_store();

ok($t->tracks, 'Redis vouches');
one_read($t, 'a value', 'some', 200);
one_read($t, 'a miss', 'none', 404);
dies($t);
$t->ended(allow => qr/exited on signal 9/);

done_testing;
