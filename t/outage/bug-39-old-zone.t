# A worker of a zone that a reload has replaced in normal mode is still there, as
# a client takes its time with a request.  The newer zone has an outage; what it
# acknowledges then is replayed.  The old worker knows nothing of that, and its
# zone is in normal mode: what it had Redis execute meanwhile, and acknowledged,
# was overwritten.

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

my $t = Outage->new(workers => 1, redis => $proxy,
                    server => "location /api {\n redis_fallback_api app;\n}\n",
                    store  => { zone => '8m', timeout => '20s',
                                recovery_rate => 0 });


sub request {
    return RF::HTTP::format_request('POST', '/api', keepalive => 1,
                                    body => $json->encode([@_]));
}

sub answer {
    my ($res) = @_;

    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $answer->{result} : "$res->{status} $res->{body}";
}

sub api {
    return answer(RF::HTTP::request($t->spread, 'POST', '/api',
                                    body => $json->encode([@_])));
}


# an old worker with a request that is not there as a whole, and one whose
# command is executed, and whose reply is held back

my ($slow, $held) = map { RF::Conn->new($t->spread) } 1 .. 2;
my $text = request('SET', 'key', 'old worker');
my $rest = substr $text, -5, 5, '';

is(api('SET', 'key', 'before'), 'OK', 'a value');
is(api('SET', 'other', 'ab'), 'OK', 'another one');
$slow->write($text, now() + slow(5));

$proxy->set('hold', 'APPEND');
$held->write(request('APPEND', 'other', 'c'), now() + slow(5));
ok(wait_for(sub { ($redis->cmd('GET', 'other') // '') eq 'abc' }), 'executed');

$t->configure(zone => '16m', recovery_rate => 1);
ok($t->nginx->reload, 'another zone');
ok(wait_for(sub { $t->mode eq 'normal' }), 'in normal mode');
is(api('GET', 'other'), 'abc', 'the new worker is connected');

# an outage of the new zone.  What was changed last is replayed last

$proxy->set('cut');
ok(wait_for(sub { $proxy->has('done') }), 'cut off');
ok(wait_for(sub { api('GET', 'nothing'); $t->mode eq 'fallback' }),
   'fallback');
is(api('SET', "filler-$_", 1), 'OK', "acknowledged locally, $_") for 1 .. 5;
is(api('SET', 'other', 'new worker'), 'OK', 'and another one');
is(api('SET', 'key', 'new worker'), 'OK', 'and the key');

# the reply that was held back

$proxy->set('release');
my $late = RF::HTTP::read_response($held, 'POST', now() + slow(10));
like(answer($late), qr/UNCERTAIN/, 'of before, not said to be done');

# Redis is back, and all of that is still to be replayed

$proxy->drop($_) for qw(cut hold release);
ok($t->wait_recovering(slow(30)), 'recovering');
$slow->write($rest, now() + slow(5));
my $res = RF::HTTP::read_response($slow, 'POST', now() + slow(10));
is($t->mode, 'recovering', 'still');
is($res->{status}, 503, 'the old worker does not write');
like($res->{body}, qr/refused by an old worker/, 'and says why');

ok($t->wait_normal(slow(60)), 'normal');
is($redis->cmd('GET', 'key'),
   $res->{status} == 200 ? 'old worker' : 'new worker',
   'Redis has what was acknowledged last');
is($redis->cmd('GET', 'other'), 'new worker', 'and of the other one');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;
$proxy->stop;

done_testing;
