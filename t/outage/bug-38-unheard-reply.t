# A write is on its way to Redis when an outage begins over another connection,
# and in that outage the zone is replaced by one of another size.  Redis executes
# it, and the old worker hears of that; the new zone does not, and what is changed
# there was made from what it knew before: an acknowledged write was lost.  It is
# not acknowledged any more.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use ProxyLate;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;
my $redis = RF::Redis->new;
my $proxy = ProxyLate->start($redis);

my $t = Outage->new(workers => 2, redis => $proxy,
                    server => "location /api {\n redis_fallback_api app;\n}\n",
                    store  => { zone => '8m', timeout => '20s' });


sub api {
    my ($conn, @argv) = @_;

    my $res = RF::HTTP::request($t->spread, 'POST', '/api',
                                body => $json->encode(\@argv), conn => $conn);
    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $answer->{result} : "$res->{status} $res->{body}";
}


my $conns = $t->conns;
my ($one, $two) = @{$conns}{sort keys %$conns};

is(api($one, 'SET', 'key', 'ab'), 'OK', 'a value');
is(api($one, 'GET', 'key'), 'ab', 'which memory knows');
is(api($two, 'PING'), 'PONG', 'the other worker is connected');

# one worker has sent it, and Redis has executed it

$proxy->set('hold', 'APPEND');
$one->write(RF::HTTP::format_request('POST', '/api', keepalive => 1,
            body => $json->encode([qw(APPEND key c)])), now() + slow(5));
ok(wait_for(sub { ($redis->cmd('GET', 'key') // '') eq 'abc' }), 'executed');

# the other one finds Redis gone

$proxy->set('cut');
ok(wait_for(sub { $proxy->has('done') }), 'cut off');
ok(wait_for(sub { api($two, 'GET', 'nothing'); $t->mode eq 'fallback' }),
   'fallback');

$t->configure(zone => '16m');
ok($t->nginx->reload, 'another zone');

# the reply comes to the old worker

$proxy->set('release');
my $res = RF::HTTP::read_response($one, 'POST', now() + slow(10));
like("$res->{status} $res->{body}", qr/UNCERTAIN/,
     'it is not said to be done');

# what is changed now is made of what the new zone knows

ok(wait_for(sub { api(undef, 'SETRANGE', 'key', 0, 'x') eq 2 }, 10),
   'a change');
is($t->mode, 'fallback', 'still the outage');

$proxy->drop($_) for qw(cut hold release);
ok($t->wait_normal(slow(30)), 'normal');
is($redis->cmd('GET', 'key'), $res->{status} == 200 ? 'xbc' : 'xb',
   'Redis has what was acknowledged');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;
$proxy->stop;

done_testing;
