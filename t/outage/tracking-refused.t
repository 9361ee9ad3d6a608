# Where Redis does not track, or was not asked to: each read asks it, as with
# `cache off`.  One line says so, for all workers, and until it works again.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;


sub warnings_of {
    my ($t) = @_;

    return scalar(() = $t->nginx->log =~ /\[warn\].*does not track/g);
}


# changes are seen at once, not only in 10 ms, and memory answers nothing

sub acts_as_off {
    my ($t, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $redis = $t->redis;
    my @bad;

    for my $i (1 .. 5) {
        for my $pid ($t->pids) {
            $redis->cmd('SET', 'k', "$pid $i");
            my ($is, $res) = $t->answer($pid, GET => 'k');
            push @bad, "$pid: $is ($res->{tier})"
                if $is ne "$pid $i" || $res->{tier} ne 'redis';
            $redis->cmd('DEL', 'k');
            ($is, $res) = $t->answer($pid, GET => 'k');
            push @bad, "$pid: $is ($res->{tier})" if $is ne 'nil';
            ($is, $res) = $t->answer($pid, HGETALL => 'k');
            push @bad, "$pid: $is ($res->{tier})" if $is ne '[ ]';
        }
    }

    is(join("\n", @bad), '', "$name: each read asks Redis");
}


sub refused {
    my ($connections, $what, @rules) = @_;

    # nginx needs somebody else to change things

    my $redis = RF::Redis->new(acl =>
        "user default on nopass ~* &* +\@all\n"
        . "user nginx on >secret ~* &* +\@all @rules\n");
    my $t = Tracking->new(redis => $redis,
        store => { user => 'nginx', password => 'secret',
                   connections => $connections });

    $what .= ", connections $connections" if $connections > 1;
    acts_as_off($t, $what);
    ok(wait_for(sub { warnings_of($t) }), "$what: it is said");
    ok(!$t->store->status->{redis}{tracking}, "$what: the status knows");
    is($t->store->mode, 'normal', "$what: it is no outage");

    # other workers, other connections

    ok($t->nginx->reload, "$what: a reload");
    $t->meet;
    acts_as_off($t, "$what, after a reload");
    $redis->cmd('CLIENT', 'KILL', 'USER', 'nginx');
    acts_as_off($t, "$what, connected again");
    is(warnings_of($t), 1, "$what: said once");

    # allowed

    $redis->cmd(split / /, RF::Redis::rules('ACL SETUSER nginx +@all &*'));
    $redis->cmd('CLIENT', 'KILL', 'USER', 'nginx');
    ok($t->tracks, "$what: Redis vouches when it may");
    $t->visible("$what, allowed", [ [ GET => 'k' ], [ GET => 'l' ] ],
                sub { $redis->cmd('SET', 'k', 'new') },
                sub {
                    $redis->cmd('SET', 'k', 'old');
                    $redis->cmd('DEL', 'l');
                });

    # and no more, while it is in use

    $redis->cmd(split / /, RF::Redis::rules("ACL SETUSER nginx @rules"));
    $t->visible("$what, forbidden", [ [ GET => 'k' ], [ GET => 'l' ] ],
                sub { $redis->cmd('SET', 'k', 'new') },
                sub { $redis->cmd('SET', 'k', 'old') }) if "@rules" !~ /reset/;
    $redis->cmd('CLIENT', 'KILL', 'USER', 'nginx');
    acts_as_off($t, "$what, forbidden again");
    ok(wait_for(sub { warnings_of($t) == 2 }), "$what: said again")
        or diag(warnings_of($t));
    ok(!$t->store->status->{redis}{tracking}, "$what: the status says so");
    $t->ended;
    is(warnings_of($t), 2, "$what: but once");
}


# what is not asked for

sub without {
    my ($cache) = @_;

    my $t = Tracking->new(store => { cache => $cache, connections => 1 });
    my $redis = $t->redis;
    my $name = "cache $cache";

    $redis->cmd('SET', 'k', 'old');
    $t->ask($_, 'GET', "none:$_"), $t->ask($_, 'GET', 'k') for $t->pids;
    is($t->store->status->{redis}{connected}, 4, "$name: connected");
    ok(!$t->store->status->{redis}{tracking}, "$name: not tracking");
    is($redis->cmd('CLIENT', 'LIST', 'TYPE', 'pubsub'), '',
       "$name: nobody listens");
    is(scalar(() = $redis->cmd('CLIENT', 'LIST') =~ /^id=/mg), 5,
       "$name: a connection for each worker");
    unlike($redis->cmd('CLIENT', 'LIST'), qr/flags=[A-Za-z]*t/,
           "$name: nor tracks");
    is($redis->calls->{subscribe}, undef, "$name: nor was it asked for");

    if ($cache eq 'off') {
        acts_as_off($t, $name);

    } else {
        $redis->cmd('SET', 'k', 'new');
        my @bad = grep { $_ ne 'old memory' }
                  map { my $res = $t->ask($_, 'GET', 'k');
                        "$res->{value} $res->{tier}" } $t->pids;
        is("@bad", '', "$name: memory answers for that time");
        $redis->cmd('DEL', 'none');
        $t->ask($_, 'GET', 'none') for $t->pids;
        $redis->cmd('SET', 'none', 'new');
        @bad = grep { $_ ne 'new' } map { $t->ask($_, 'GET', 'none')->{value} }
               $t->pids;
        is("@bad", '', "$name: a miss is not remembered");
    }

    is(warnings_of($t), 0, "$name: nothing is said");
    $t->ended;
}


# two connections, wherever Redis is

sub addressed {
    my ($redis, $server) = @_;

    my $t = Tracking->new(redis => $redis,
        store => { server => $server, connections => 1 });
    my $name = $server =~ /^unix/ ? 'a unix socket' : 'a name';

    ok($t->tracks, "$name: Redis vouches");
    my $again = sub { $redis->cmd('SET', 'k', 'old') };
    my $change = sub { $redis->cmd('SET', 'k', 'new') };
    $t->visible("$name", [ GET => 'k' ], $change, $again) for 1 .. 4;
    is(@{ $t->links->{news} }, 4, "$name: four listen");
    is(@{ $t->links->{data} }, 4, "$name: and four ask");
    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'pubsub');
    ok($t->tracks, "$name: again");
    $t->visible("$name, again", [ GET => 'k' ], $change, $again);
    $redis->cmd('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    ok($t->tracks, "$name: once more");
    $t->visible("$name, once more", [ GET => 'k' ], $change, $again);
    $t->ended;
}


refused(1, 'without client|tracking', '-client|tracking');
refused(1, 'without the channel', 'resetchannels')
    if RF::Redis::version() >= 60200;
refused(1, 'without SUBSCRIBE', '-subscribe');
refused(1, 'without INFO', '-info');
refused(1, 'without CLIENT', '-client');
refused(1, 'without client|id', '-client|id');

# a worker says it once, whatever becomes of each of its connections

refused(4, 'without client|tracking', '-client|tracking');
refused(4, 'without SUBSCRIBE', '-subscribe');

without($_) for 'off', '60s';

my $redis = RF::Redis->new(unix => 1);

addressed($redis, 'localhost:' . $redis->port);
addressed($redis, 'unix:' . $redis->unix);
done_testing;
