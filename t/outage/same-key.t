# Two instances with one path, or two generations of one nginx, change the same
# keys while Redis is away; the one that has the path goes, the other takes it
# over.  What both were told to add is added, and of two values the later stays.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;
use Daemon;


sub zset {
    my ($redis, $key) = @_;

    return join ' ', @{ $redis->cmd('ZRANGE', $key, 0, -1, 'WITHSCORES') };
}


# what the first does, then the second, then the first again

my @first = ([ INCRBY => 'count', 5 ], [ INCRBYFLOAT => 'float', 0.5 ],
    [ APPEND => 'text', 'one' ], [ HSET => 'hash', 'one', 1 ],
    [ HINCRBY => 'hash', 'n', 5 ], [ SADD => 'set', 'one' ],
    [ RPUSH => 'list', 'one' ], [ ZADD => 'zset', 1, 'one' ],
    [ ZINCRBY => 'zset', 5, 'n' ], [ SET => 'value', 'one' ],
    [ SET => 'base', 100 ], [ INCRBY => 'then set', 5 ],
    [ SET => 'only one', 'one' ], [ INCRBY => 'only count', 5 ]);

my @second = ([ INCRBY => 'count', 70 ], [ INCRBYFLOAT => 'float', 8 ],
    [ APPEND => 'text', 'two' ], [ HSET => 'hash', 'two', 2 ],
    [ HINCRBY => 'hash', 'n', 70 ], [ SADD => 'set', 'two' ],
    [ RPUSH => 'list', 'two' ], [ ZADD => 'zset', 2, 'two' ],
    [ ZINCRBY => 'zset', 70, 'n' ], [ SET => 'value', 'two' ],
    [ INCRBY => 'base', 7 ], [ SET => 'then set', 100 ],
    [ SET => 'last', 'two' ], [ SET => 'only two', 'two' ]);

my @again = ([ SET => 'last', 'one, later' ], [ INCRBY => 'count', 600 ]);


# what comes after it is later, in the milliseconds that records have

sub later {
    my $ms = int(now() * 1000);

    return wait_for(sub { int(now() * 1000) > $ms + 1 });
}


sub all {
    my ($run, @commands) = @_;

    later();

    my @bad = grep { my $reply = $run->(@$_); $reply =~ /^\d{3} / } @commands;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(join(', ', map { "@$_" } @bad), '', 'written');
}


# "settled": the other had told Redis its part before it read the files

sub sums {
    my ($redis, $name) = @_;

    my $get = sub { return $redis->cmd('GET', @_) };

    is($get->('only one'), 'one', "$name: what only the first had");
    is($get->('only count'), 5, "$name: and counted");
    is($get->('only two'), 'two', "$name: what only the second had");
    is($get->('value'), 'two', "$name: the later of two values");
    is($get->('then set'), 100, "$name: a counter that was then set");

    is($get->('count'), 675, "$name: a counter");
    is($get->('float'), 8.5, "$name: with fractions");
    like($get->('text'), qr/^(onetwo|twoone)$/, "$name: appended");
    is(join(' ', map { $_ // 'nil' } @{ $redis->cmd('HMGET', 'hash',
                                           qw(one two n)) }),
       '1 2 75', "$name: a hash");
    is(join(' ', sort @{ $redis->cmd('SMEMBERS', 'set') }), 'one two',
       "$name: a set");
    is(join(' ', sort @{ $redis->cmd('LRANGE', 'list', 0, -1) }),
       'one two', "$name: a list");
    is(zset($redis, 'zset'), 'one 1 two 2 n 75', "$name: a sorted set");
    is($get->('last'), 'one, later', "$name: the first's was later");
    is($get->('base'), 107, "$name: added to what the first had set");
}


# how the first goes: by a signal, or with all of its processes killed

sub instances {
    my ($how, $interval) = @_;

    my $name = "two instances, $how, second's write_interval $interval";
    my $redis = RF::Redis->new(start => 0);
    my $one = api_store($redis, { write_interval => '20ms' });
    my $path = $one->nginx->dir . '/app';
    my $two = api_store($redis, { path => $path,
                                  write_interval => $interval });

    all(sub { api($one, @_) }, @first);
    all(sub { api($two, @_) }, @second);
    all(sub { api($one, @_) }, @again);

    if ($how eq 'killed') {
        my %have;
        ok(wait_for(sub {
            %have = map { $_ => 1 } record_files($path);
            return keys %have == 13
                   && grep { RF::slurp($_) =~ /later/ } keys %have;
        }), "$name: the first has files");
        $one->nginx->kill;

    } else {
        ok($one->nginx->stop($how), "$name: the first goes");
    }

    ok(wait_for(sub { $two->nginx->log =~ /is ours now/ }),
       "$name: the second takes the path");
    $redis->start;
    ok($two->wait_normal, "$name: normal");
    is($two->status->{pending}, 0, "$name: nothing is pending");
    sums($redis, $name);

    ok(wait_for(sub { !record_files($path) }, 10), "$name: no files");

    is($two->status->{files}{quarantined}, 0, "$name: nothing in quarantine");
    ended($two);
    $one->nginx->check_logs;
}


# the second has Redis, and tells it a newer value than the first has on file

sub newer_in_redis {
    my $name = 'the second has Redis';
    my $redis = shared_redis();
    my $one = api_store($redis, { write_interval => '20ms' });
    my $path = $one->nginx->dir . '/app';
    my $two = api_store($redis, { path => $path, user => 'default',
                                  password => 'any' });

    cut_off($redis, $one);
    is(api($one, SET => 'value', 'older'), 'OK', "$name: the first's");
    is(api($one, INCRBY => 'count', 5), 5, "$name: a counter");
    is(api($one, SET => 'gone', 'older'), 'OK', "$name: another");
    is(api($one, SET => 'kept', 'one'), 'OK', "$name: and another");
    is(api($one, INCRBY => 'reset', 5), 5, "$name: a counter");
    is(api($two, SET => 'kept', 'older'), 'OK', "$name: the second's");
    later();
    is(api($two, SET => 'value', 'newer'), 'OK', "$name: the second's");
    is(api($two, INCRBY => 'count', 70), 70, "$name: a counter");
    is(api($two, DEL => 'gone'), 0, "$name: and removes one");
    is(api($two, SET => 'reset', 1), 'OK', "$name: a counter is set");
    later();
    is(api($one, SET => 'kept', 'newer'), 'OK', "$name: the first's again");
    is(api($two, GET => 'kept'), 'older', "$name: a read is no write");
    is($two->mode, 'normal', "$name: which is in Redis");

    ok($one->nginx->stop, "$name: the first goes");
    ok(wait_for(sub { $two->nginx->log =~ /is ours now/ }),
       "$name: the second takes the path");

    # it is normal until it has looked at what is there

    ok(wait_for(sub { $redis->cmd('GET', 'count') == 75 }), "$name: a sum");
    ok($two->wait_normal, "$name: normal");

    is($redis->cmd('GET', 'value'), 'newer', "$name: the later value");
    is($redis->cmd('GET', 'kept'), 'newer', "$name: which may be the first's");
    is($redis->cmd('GET', 'gone'), undef, "$name: what was removed later");
    is($redis->cmd('GET', 'reset'), 1, "$name: and set later");

    ok(wait_for(sub { !record_files($path) }), "$name: no files");
    ended($two);
    $one->nginx->check_logs;
}


# the old generation has the path; both are driven by connections that are
# known to be theirs

sub generations {
    my ($back) = @_;

    my $name = $back ? 'an upgrade that is given up' : 'an upgrade';
    my $redis = RF::Redis->new(start => 0);
    my $t = api_store($redis, { write_interval => '20ms' }, start => 0);
    my $d = Daemon->start($t->nginx);
    my $nginx = $t->nginx;
    my $by = sub {
        my ($master) = @_;
        my ($pid) = $d->workers($master);

        return sub {
            my $res;

            for (1 .. 500) {
                my $conn = $nginx->conn;
                my $who = $t->get('nobody', conn => $conn)->{worker};
                next if ($who // '') ne $pid;
                $res = $nginx->post('/api', JSON::PP::encode_json(\@_),
                                    conn => $conn);
                return $res->{status} == 200 ? 'ok'
                       : "$res->{status} $res->{body}";
            }

            return "000 $pid does not answer";
        };
    };

    my $one = $by->($d->old // $d->new);
    all($one, @first);
    ok($d->upgrade, "$name: USR2");
    all($by->($d->new), @second);
    all($one, @again);

    my @old = $d->workers($d->old);
    $d->signal(WINCH => $d->old);
    ok(wait_for(sub { !grep { !$d->gone($_) } @old }),
       "$name: the old workers go");

    if ($back) {
        my $new = $d->new;
        $d->signal(HUP => $d->old);
        ok(wait_for(sub { scalar $d->workers($d->old) }),
           "$name: old workers again");
        $d->signal(QUIT => $new);
        $d->ends($new, "$name: the new one goes");
        $d->adopt($d->old);

    } else {
        $d->signal(QUIT => $d->old);
        $d->ends($d->old, "$name: the old master goes");
        ok(wait_for(sub { $nginx->log =~ /is ours now/ }),
           "$name: the new one takes the path");
    }

    $redis->start;
    ok($t->wait_normal, "$name: normal");

    ok($nginx->log !~ /not on disk at exit/, "$name: none is dropped");

    if ($back) {
        ok(wait_for(sub { $nginx->log =~ /took over \d+ keys/ }),
           "$name: what the new one left is taken over");
        ok(wait_for(sub { !$t->handed_over }),
           "$name: and gone");
        ok($t->wait_normal, "$name: normal");
    }

    sums($redis, $name);
    ok(wait_for(sub { !$t->files }, 20), "$name: no files");
    $d->stop("$name: stops");
    $nginx->check_logs;
}


instances('QUIT', '20ms');
instances('TERM', '1h');
instances('killed', '20ms');
instances('killed', '1h');
newer_in_redis();
generations(0);
generations(1);

done_testing;
