# Reloads that change what vouching hangs on: the zone is made anew, workers
# become fewer or more, and `cache` another one.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Tracking;

my @get = ([ GET => 'k' ], [ GET => 'none' ]);

my $t = Tracking->new(store => { restore => 'off', zone => '16m' });
my $redis = $t->redis;


sub reloaded {
    my ($name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $old = sub { $redis->cmd('SET', 'k', 'old') };
    my $new = sub { $redis->cmd('SET', 'k', 'new') };

    $old->();
    ok($t->warm(($t->pids)[0], @get), "$name: memory answers") if $opt{warm};
    ok($t->nginx->reload(%{ $opt{nginx} || {} }), "$name: a reload");
    $t->meet;

    my $delay = $t->delay;
    $new->();
    my ($bad) = $t->stale(now(), $delay, @get);
    is(join("\n", @$bad), '', "$name: a change right behind it");
    ok($t->tracks, "$name: Redis vouches");
    $t->visible("$name, $_", \@get, $new, $old) for 1 .. 4;
}


ok($t->tracks, 'Redis vouches');

for my $zone (qw(32m 8m 16m)) {
    $t->store->configure(zone => $zone);
    reloaded("zone $zone", warm => 1);
}

reloaded("workers $_", warm => 1, nginx => { workers => $_ }) for 2, 1, 4;

for my $cache ('60s', 'off') {
    $t->store->configure(cache => $cache);
    ok($t->nginx->reload, "cache $cache: a reload");
    $t->meet;
    $t->ask($_, 'GET', "any:$_") for $t->pids;
    ok(wait_for(sub { $redis->cmd('CLIENT', 'LIST', 'TYPE', 'pubsub') eq '' }),
       "cache $cache: nobody listens any more");
    ok(wait_for(sub { $redis->cmd('CLIENT', 'LIST') !~ /flags=[A-Za-z]*t/ }),
       "cache $cache: nor does Redis track");
}

$t->store->configure(cache => 'tracking');
reloaded('cache tracking');
$t->ended;
done_testing;
