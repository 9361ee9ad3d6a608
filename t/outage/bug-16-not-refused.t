# A SET that Redis may have executed was answered 503, as if it had been
# refused: the connection broke before the reply, and by then the location took
# no more writes.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis, server => <<'END');
location /ro/ {
    redis_fallback_pass   app;
    redis_fallback_outage read_only;
}
END

is($t->nginx->put('/ro/a', 'one')->{status}, 204, 'a value');

$redis->pause;
is($t->nginx->put('/ro/a', 'two')->{status}, 502, 'sent, and uncertain');
is($t->nginx->put('/ro/a', 'three')->{status}, 503, 'not sent: refused');
is($t->nginx->get('/ro/a')->{status}, 200, 'reads go on');
$redis->resume;

ok($t->wait_normal, 'normal');
like($redis->cmd('GET', 'a'), qr/^(one|two)$/, 'one or the other');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
