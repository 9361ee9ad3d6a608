# Outage after outage, of every kind, under load: descriptors, threads, memory,
# connections and files are afterwards what they were before.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;

my $redis = shared_redis();
my $t = api_store($redis, { write_interval => '50ms' }, workers => 2);


# of each process: descriptors, threads, resident KB

sub used {
    my %used;

    for my $pid ($t->nginx->pid, $t->nginx->workers) {
        my ($rss) = RF::slurp("/proc/$pid/status") =~ /VmRSS:\s*(\d+)/;

        # a client's connection may not have been closed yet: not those

        my @fds = grep { defined && !/^socket:/ }
                  map { readlink } glob "/proc/$pid/fd/*";
        my @all = glob "/proc/$pid/fd/*";
        my @tasks = glob "/proc/$pid/task/*";

        $used{$pid} = { fds => scalar @fds, all => scalar @all,
                        tasks => scalar @tasks, rss => $rss };
    }

    return \%used;
}


# those that each worker has while all is well are there

sub steady {
    ok($t->tracks, 'each worker is connected, and listens');

    return used();
}


sub clients {
    return scalar grep { /user=nginx/ } split /\n/, $redis->cmd('CLIENT', 'LIST');
}


sub load {
    my ($n) = @_;

    my @requests = map { my $i = $_; (
        [ 'PUT', "/kv/key$i", body => 'x' x 2000 ],
        [ 'GET', "/kv/key$i" ], [ 'GET', "/kv/none$i" ],
        [ 'POST', '/api', body => qq(["RPUSH","list","element $i"]) ],
        [ 'POST', '/api', body => qq(["HINCRBY","hash","f$i",1]) ]) }
        map { $n * 20 + $_ } 1 .. 20;

    my @bad = grep { $_->{status} !~ /^(20[04]|404)$/
                     && $_->{body} !~ /UNCERTAIN/ }
              RF::HTTP::parallel($t->nginx->port, 10, @requests);

    return scalar @bad;
}


# of four kinds: silent, gone, not let in, and clients go away meanwhile

sub outage {
    my ($n) = @_;

    my $kind = $n % 4;

    if ($kind == 0) {
        $redis->pause;

    } elsif ($kind == 1) {
        $redis->kill;

    } else {
        cut_off($redis, $t);
    }

    is(load($n % 5), 0, "outage $n: all is answered");

    if ($kind == 3) {

        # they do not wait for their answers

        for (1 .. 50) {
            my $conn = RF::Conn->new($t->nginx->port);
            $conn->write(RF::HTTP::format_request('GET', "/kv/f$_"),
                         now() + 5);
            $conn->close;
        }
    }

    $kind == 0 ? $redis->resume : $kind == 1 ? $redis->start : let_in($redis);

    ok($t->wait_normal, "outage $n: normal");
    is(load(0), 0, "outage $n: and all is answered");
    ok(wait_for(sub { !$t->files && $t->status->{files}{count} == 0 }, 20),
       "outage $n: no files");
}


# what is there after a round of all kinds is there to stay

outage($_) for 0 .. 3;

my $first = steady();
my $memory = $t->status->{memory}{used};
my $clients = clients();

outage($_) for 4 .. 11;

my $last = steady();
my @more;

ok(wait_for(sub {
    $last = used();
    @more = grep { my ($was, $is) = ($first->{$_}, $last->{$_});
                   $is->{fds} > $was->{fds} || $is->{all} > $was->{all}
                   || $is->{tasks} > $was->{tasks} } keys %$first;
    return !@more;
}), 'as many descriptors and threads')
    or diag(explain([ $first, $last ]));

is(join(' ', sort keys %$last), join(' ', sort keys %$first),
   'the same processes');
cmp_ok($last->{$_}{rss}, '<', $first->{$_}{rss} + 3072 * ($RF::SANITIZE ? 9 : 1),
       "process $_: as much memory") for sort keys %$first;
cmp_ok($t->status->{memory}{used}, '<', $memory + 262144, 'and in the zone');
ok(wait_for(sub { clients() <= $clients }), 'as many connections to Redis');
ok(wait_for(sub {
    !grep { /:redis_fallback:/ } @{ $redis->cmd('KEYS', '*') };
}), 'no markers');

my @tmp = glob $t->nginx->dir . '/app/0/tmp/*';
is("@tmp", '', 'no temporary files');
is($t->status->{pending}, 0, 'nothing is pending');

ended($t);

done_testing;
