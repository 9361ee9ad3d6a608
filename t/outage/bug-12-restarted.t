# The first read after a Redis had been restarted without its data was
# answered by the empty Redis, 404, and memory forgot the key; the first INCR
# began at 1.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

for my $first ('GET', 'INCRBY') {
    my $redis = RF::Redis->new;
    my $t = Outage->new(redis => $redis);

    $t->put("k$_", "value $_") for 1 .. 20;
    $t->put('n', 100);

    # nginx learns of it from the answer to this request

    $redis->kill;
    $redis->start;

    if ($first eq 'GET') {
        my $res = $t->get('k1');
        is("$res->{status} $res->{body}", '200 value 1', 'GET: first read');
    } else {
        is($t->run('INCRBY', 'n', 1)->{body}, 101, 'INCRBY: first change');
    }

    $t->recovered({ n => $first eq 'GET' ? 100 : 101,
                    map { ("k$_" => "value $_") } 1 .. 20 }, $first);
    is($t->get('k1')->{body}, 'value 1', "$first: is read");

    ok($t->nginx->stop, "$first: stops");
    $t->nginx->check_logs;
}

done_testing;
