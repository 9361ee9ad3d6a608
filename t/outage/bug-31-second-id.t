# Changes of a key that came while others of it were on their way have an id of
# their own, which a start makes anew from what the disk has.  All of nginx is
# killed while they wait for a slow disk to know it: they are sent once, as are
# those that come next.  Redis had them under that id before the disk knew, and
# took what came next for done.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use ProxyLate;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub shut_out { $_[0]->cmd('CONFIG', 'SET', 'requirepass', 'secret') }
sub let_in   { $_[0]->cmd('CONFIG', 'SET', 'requirepass', '') }


sub counted { return $_[0]->cmd('GET', 'n') // 'none' }


sub killed {
    my ($workers, $durability) = @_;

    my $name = "$workers workers, $durability";
    my $redis = RF::Redis->new;
    my $proxy = ProxyLate->start($redis);

    shut_out($redis);

    my $t = Outage->new(workers => $workers, redis => $proxy, start => 0,
                        store => { path => '%%DIR%%/data/app',
                                   durability => $durability,
                                   write_interval => '20ms' });
    mkdir $t->nginx->dir . '/data';
    my $shim = $t->nginx->{shim} = Shim->new(dir => $t->nginx->dir . '/data');
    $t->nginx->start;

    # the first is executed, and its reply lost

    ok(wait_for(sub { $t->get('none'); $t->mode eq 'fallback' }),
       "$name: no Redis");
    is($t->run('INCR', 'n')->{body}, 1, "$name: the first");
    ok(wait_for(sub { $t->status->{journal}{behind} == 0 }),
       "$name: on disk");
    $proxy->set('hold', 'EVAL');
    let_in($redis);
    ok(wait_for(sub { counted($redis) eq '1' }, 20), "$name: executed");
    shut_out($redis);
    ok($t->wait_fallback, "$name: not acknowledged");
    $proxy->drop('hold');

    # a second one; what is next is the disk's, which takes its time

    my $res;
    ok(wait_for(sub { $res = $t->run('INCR', 'n'); $res->{body} eq '2' }),
       "$name: the second") or diag($res->{status});
    ok(wait_for(sub { $t->status->{journal}{behind} == 0 }),
       "$name: on disk");

    # nor is the mark written that ends a recovery, and says that all is done

    my $slow = $shim->fault('write', delay => 60000, match => '/journal/');
    $shim->fault('rename', delay => 60000);
    let_in($redis);
    ok(wait_for(sub { $shim->hits($slow) }, 20), "$name: the disk is to know");

    # as long as it would take

    select undef, undef, undef, slow(0.5);
    is(counted($redis), 1, "$name: nothing is sent before");
    is($t->status->{pending}, 1, "$name: it is pending");

    shut_out($redis);
    $t->nginx->kill;
    $shim->clear;
    $t->nginx->start;

    ok(wait_for(sub { $t->get('none'); $t->mode eq 'fallback' }),
       "$name: no Redis");
    is($t->run('INCR', 'n')->{status}, 200, "$name: the third");

    let_in($redis);
    ok($t->wait_normal(20), "$name: normal");
    is(counted($redis), 3, "$name: each of them once");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
    $proxy->stop;
}


killed(1, 'disk');
killed(2, 'memory');

done_testing;
