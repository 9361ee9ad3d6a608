# A reload with another zone size in an outage.  For a moment old workers are
# there beside the new ones, and read the old zone: what the new workers had
# acknowledged meanwhile they did not see.  So the new zone does not change
# before nobody is answered from the old one any more.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

my $TRIES = 20;


# by a connection that was there before, so by the old worker

sub old_get {
    my ($conn, $key) = @_;

    my $end = now() + slow(5);

    $conn->write("GET /kv/$key HTTP/1.1\r\nHost: a\r\n\r\n", $end);

    return Outage::told(RF::HTTP::read_response($conn, 'GET', $end));
}


# a new worker is there, and the master stops before it tells the old one to
# quit

sub stopped_between {
    my ($t, $old) = @_;

    $t->nginx->write_conf;
    $t->nginx->signal('HUP');

    ok(wait_for(sub { grep { $_ != $old } $t->nginx->workers }, 20),
       'a new worker');
    $t->nginx->signal('STOP');
}


my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis, workers => 1,
                    store => { zone => '2m', check_interval => '10s' });

is($t->put($_, 'first')->{status}, 204, 'a value') for qw(key other);
$redis->stop;
ok($t->falls_back, 'fallback');

my ($conn, $old);
my $zone = 2;

for my $try (1 .. $TRIES) {
    $conn = $t->nginx->conn;
    ($old) = $t->nginx->workers;

    is($t->put('key', "old $try")->{status}, 204, 'changed');
    is(old_get($conn, 'key')->{body}, "old $try", 'the old worker says so');

    $t->configure(zone => ++$zone . 'm');
    stopped_between($t, $old);

    # else it was told before

    my $res = eval { old_get($conn, 'other') };
    last if $res && $res->{status} == 200 && $res->{worker} == $old;

    $conn = undef;
    $t->nginx->signal('CONT');
    ok(wait_for(sub { !grep { $_ == $old } $t->nginx->workers }, 20),
       'too late: once more');
}

ok($conn, 'the old worker and the new one are there')
    or die 'the master was always faster';

# the old one cannot change anything, the new one can

ok(wait_for(sub { $t->put('key', 'new')->{status} == 204 }, 10),
   'changed by the new worker');

my $res = old_get($conn, 'key');
unlike($res->{body}, qr/^old/, 'which the old one does not contradict');
is($res->{status}, 503, 'it says that it does not know');

$t->nginx->signal('CONT');
ok(wait_for(sub { !grep { $_ == $old } $t->nginx->workers }, 20),
   'the old one goes');
is($t->get('key')->{body}, 'new', 'the value');
is($t->put('other', 'second')->{status}, 204, 'changes go on');

$redis->start;
ok($t->nginx->reload, 'and a reload of the same size');
ok($t->wait_normal(20), 'normal');
holds($redis, { key => 'new', other => 'second' }, 'in the end');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
