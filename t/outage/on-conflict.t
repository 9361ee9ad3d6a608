# on_conflict remote: what somebody else wrote during the outage stays, and that
# is decided in Redis, at the moment of the replay.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;
use JSON::PP ();
use Time::HiRes ();


sub conflicts { return $_[0]->status->{recovery}{conflicts} }


# what a third client finds and leaves: nothing, another value, the same one
# again, another type, none any more

sub strings {
    my ($how) = @_;

    my $name = "on_conflict $how";
    my $remote = $how eq 'remote';
    my $redis = shared_redis();
    my $t = api_store($redis, { on_conflict => $how });
    my %expect;
    my @keys = qw(quiet changed deleted typed same twice counted);

    $redis->cmd('SET', $_, "old $_") for @keys;
    $t->get($_) for @keys, 'absent';
    cut_off($redis, $t);

    $t->put($_, "local $_")->{status} == 204 or fail($_)
        for @keys, qw(absent unknown);
    is($t->delete('twice')->{status}, 204, "$name: deleted here");
    is(api($t, 'SET', 'counted', 5), 'OK', "$name: set");
    is(api($t, 'INCR', 'counted'), 6, "$name: and counted");

    $redis->cmd('SET', $_, "remote $_")
        for qw(changed twice unknown counted);
    $redis->cmd('DEL', 'deleted', 'typed');
    $redis->cmd('HSET', 'typed', 'f', 'v');
    $redis->cmd('SET', 'same', 'x');
    $redis->cmd('SET', 'same', 'old same');

    let_in($redis);
    ok($t->wait_normal, "$name: normal");

    %expect = (quiet => 'local quiet', same => 'local same',
               absent => 'local absent', unknown => 'local unknown',
               $remote ? (changed => 'remote changed', deleted => undef,
                          twice => 'remote twice',
                          counted => 'remote counted')
                       : (changed => 'local changed',
                          deleted => 'local deleted', twice => undef, counted => 6));

    is($redis->cmd('TYPE', 'typed'), $remote ? 'hash' : 'string',
       "$name: of another type");
    is(conflicts($t), $remote ? 5 : 0, "$name: conflicts are counted");

    my @lines = grep { /changed differently/ } split /\n/, $t->nginx->log;
    is(scalar @lines, $remote ? 5 : 0, "$name: and logged");
    is(join(' ', sort map { /key "(\w+)"/ } @lines),
       $remote ? 'changed counted deleted twice typed' : '',
       "$name: by their keys");
    unlike("@lines", qr/(local|remote|old) (?!change )\w/, "$name: without values");

    # memory has not kept what lost

    is(join(' ', grep { my $is = $t->get($_);
                        ($is->{status} == 200 ? $is->{body} : '')
                        ne ($expect{$_} // '') } sort keys %expect),
       '', "$name: and read");
    $redis->cmd('DEL', 'typed');
    holds($redis, \%expect, $name);
    ended($t);
}


# another client writes while the replay is under way, and notes what it has
# replaced: the value of before the outage is a conflict that was to be seen;
# ours was replaced after the fact.  Whichever it was, its own value stays

sub races {
    my ($workers) = @_;

    my $name = "$workers workers, a race";
    my $n = 600;
    my $redis = shared_redis();
    my $t = api_store($redis, { on_conflict => 'remote',
                                recovery_rate => 150 }, workers => $workers);
    my $notes = tempdir('race') . '/notes';

    $redis->pipeline(map { [ SET => "key$_", "old $_" ] } 1 .. $n);
    $t->nginx->get("/kv/key$_") for 1 .. $n;
    cut_off($redis, $t);
    $t->put("key$_", "local $_")->{status} == 204 or fail("key$_")
        for 1 .. $n;

    let_in($redis);
    ok($t->wait_recovering, "$name: the replay begins");
    $redis->drop;

    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        RF::die_with_parent(POSIX::SIGKILL());

        # around the place where the replay may be, however fast that is: even
        # ones before it comes to them, odd ones as soon as it has

        my %was;
        my @left = map { 3 * $_ } 1 .. $n / 3;

        while (@left) {
            my $status = $t->status or next;
            my $at = $status->{recovery}{done};
            my @may = grep { $status->{mode} ne 'recovering'
                             || $left[$_] <= $at + ($left[$_] % 2 ? 3 : 40) }
                           0 .. $#left;

            if (!@may) {
                Time::HiRes::sleep(0.002);
                next;
            }

            my ($key) = splice @left, $may[-1 - rand(@may < 4 ? @may : 4)], 1;
            ($was{$key}) = $redis->try('GETSET', "key$key", "remote $key");
        }

        RF::spew($notes, JSON::PP::encode_json(\%was));
        POSIX::_exit(0);
    }

    waitpid $pid, 0;
    ok($t->wait_normal(20), "$name: normal");

    my $was = JSON::PP::decode_json(RF::slurp($notes));
    my %seen = (old => 0, local => 0);

    s/ .*//, $seen{$_}++ for values %$was;

    holds($redis, { map { ("key$_" => ($_ % 3 ? 'local' : 'remote') . " $_") }
                    1 .. $n }, $name);
    is(conflicts($t), $seen{old}, "$name: exactly what came before is counted");
    cmp_ok($seen{$_}, '>', 5, "$name: $seen{$_} times it was $_")
        for qw(old local);
    ended($t);
}


# A key that was replaced here and also there: one that was there before, one
# that was not (of which memory knows nothing), one that nobody else has
# changed, and one that somebody else has deleted.  "restart": nginx is started
# anew during the outage.  With tracking memory knows that there was none: to
# delete it is no change then, so what is added comes to what others have added;
# a SET is a conflict.

sub types {
    my ($how, $restart, $cache) = @_;

    my $tracking = $cache eq 'tracking';
    my $name = "types, $how, $cache" . ($restart ? ', a restart' : '');
    my $remote = $how eq 'remote';
    my $redis = shared_redis();
    my $t = api_store($redis, { on_conflict => $how, cache => $cache,
                                $restart ? (durability => 'disk') : () });
    my %make = (string => [ 'SET', 'local' ], hash => [ 'HSET', 'local', 1 ],
                list => [ 'RPUSH', 'local' ], set => [ 'SADD', 'local' ],
                zset => [ 'ZADD', 1.5, 'local' ]);
    my %read = (string => [ 'GET' ], hash => [ 'HKEYS' ],
                list => [ 'LRANGE', 0, -1 ], set => [ 'SMEMBERS' ],
                zset => [ 'ZRANGE', 0, -1 ]);
    my %whole = (%read, hash => [ 'HGETALL' ],
                 zset => [ 'ZRANGE', 0, -1, 'WITHSCORES' ]);
    my $make = sub {
        my ($run, $what, $key, $type) = @_;
        my ($verb, @args) = @{ $make{$type} };

        $run->('DEL', $key);
        $run->($verb, $key, map { s/local/$what/r } @args);
    };
    my $read = sub {
        my ($run, $key, $how) = @_;
        my ($verb, @args) = @$how;
        my $reply = $run->($verb, $key, @args);

        return ref $reply ? "@$reply" : $reply // '';
    };
    my $nginx = sub { return api($t, @_) };
    my $other = sub { return $redis->cmd(@_) };
    my @types = sort keys %make;
    my @kinds = qw(was none quiet gone more);
    my %local = (was => !$remote, none => 1, quiet => 1, gone => !$remote,
                 more => !$remote);

    ok($t->tracks, "$name: tracks") if $tracking;

    for my $type (@types) {
        $make->($other, 'old', "$type:$_", $type) for qw(was quiet gone more);
        $read->($nginx, "$type:$_", $whole{$type}) for @kinds;
    }

    cut_off($redis, $t);

    for my $type (@types) {
        $make->($nginx, 'local', "$type:$_", $type) for @kinds;
    }

    # SET over it, RENAME onto it, a deletion

    for my $type (grep { $_ ne 'string' } @types) {
        is(api($t, 'SET', "$type:was", 'local'), 'OK', "$name: $type, SET");
    }

    for my $type (@types) {
        is(api($t, 'RENAME', "$type:more", "$type:moved"), 'OK',
           "$name: $type, RENAME");
        $make->($nginx, 'local', "$type:from", $type);
        is(api($t, 'RENAME', "$type:from", "$type:more"), 'OK',
           "$name: $type, onto it");
    }

    if ($restart) {
        $t->nginx->kill;
        $t->nginx->start;
        ok($t->wait_fallback, "$name: an outage still");
    }

    for my $type (@types) {
        $make->($other, 'remote', "$type:$_", $type) for qw(was none);
        $redis->cmd('DEL', "$type:gone");

        # one element more, or another value

        $redis->cmd('SET', "$type:more", 'remote') if $type eq 'string';
        $redis->cmd('HSET', "$type:more", 'old', 'remote') if $type eq 'hash';
        $redis->cmd('LPUSH', "$type:more", 'remote') if $type eq 'list';
        $redis->cmd('SADD', "$type:more", 'remote') if $type eq 'set';
        $redis->cmd('ZADD', "$type:more", 2, 'old') if $type eq 'zset';
    }

    let_in($redis);
    ok($t->wait_normal, "$name: normal");

    # after a restart nobody knows whether Redis is still the one of before: what
    # is missing may have been lost, not deleted

    $local{gone} = 1 if $restart;

    my @lost = sort map { my $type = $_;
                          map { "$type:$_" } grep { !$local{$_} } @kinds }
               @types;

    @lost = sort @lost, 'string:none' if $tracking && $remote;

    is(conflicts($t), @lost, "$name: conflicts are counted");

    my @keys = sort map { /key "([\w:]+)" was changed differently/ }
               split /\n/, $t->nginx->log;

    is("@keys", "@lost", "$name: and logged");

    for my $type (@types) {
        for my $kind (@kinds) {
            my $key = "$type:$kind";
            my $is = $redis->cmd('TYPE', $key);
            my $got = $is eq 'none' ? '' : $read->($other, $key, $read{$is});
            my $expect = $local{$kind} ? qr/^local$/
                         : $kind eq 'gone' ? qr/^$/ : qr/remote|^old$/;

            if ($tracking && $kind eq 'none') {
                $expect = $type ne 'string' ? qr/^(remote local|local remote)$/
                          : $remote ? qr/^remote$/ : qr/^local$/;
            }

            like($got, $expect, "$name: $key");

            # whichever it was, nginx has the same

            is($is eq 'none' ? '' : $read->($nginx, $key, $read{$is}), $got,
               "$name: $key is read");
        }
    }

    ended($t);
}


strings($_) for qw(remote local);
races($_) for 1, 2;
for my $cache (qw(off tracking)) {
    types($_, 0, $cache) for qw(remote local);
    types('remote', 1, $cache);
}


done_testing;
