# EVAL and FLUSHALL during a recovery were overtaken by it: a key that was
# still to be replayed undid what they had done.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis,
    store  => { recovery_rate => 6, timeout => '20s', restore => 'off' },
    server => <<'END');
    location = /eval {
        redis_fallback_set $reply EVAL
            "return redis.call('SET', KEYS[1], 'script')" 1 last;
        return 200 "$reply";
    }
    location = /flushall {
        redis_fallback_set $reply FLUSHALL;
        return 200 "$reply";
    }
END

for my $command (qw(eval flushall)) {
    my $name = uc $command;

    $redis->kill;
    is(join(' ', grep { $t->put("k$_", 'value')->{status} != 204 } 1 .. 25),
       '', "$name: values");
    $t->put('last', 'old');

    $redis->start;
    ok($t->wait_recovering, "$name: recovering");
    is($redis->cmd('EXISTS', 'last'), 0, "$name: not all is there");

    my $res = Outage::told($t->nginx->get("/$command"));
    is("$res->{status} $res->{body} $res->{result}", '200 OK ok',
       "$name: is executed");

    ok($t->wait_normal, "$name: normal");

    if ($command eq 'eval') {
        is($redis->cmd('GET', 'last'), 'script', "$name: is the last word");
        is($redis->cmd('GET', 'k25'), 'value', "$name: others are there");
        is($t->get('last')->{body}, 'script', "$name: is read");
    } else {
        is($redis->cmd('GET', 'last'), undef, "$name: is the last word");
        ok(wait_for(sub { $redis->cmd('DBSIZE') == 0 }),
           "$name: nothing is there");
        is($t->get('last')->{status}, 404, "$name: nor is it read");
    }
}

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
