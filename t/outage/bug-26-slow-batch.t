# A reload with another zone size waits for what old workers are writing to
# files, but not for ever.  A batch that was slower than that put its older
# version over the file that the new workers had written meanwhile, or removed
# it.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub on_disk {
    my ($t) = @_;

    return join ' ', map { RF::slurp($_) =~ /\b(older|newer)\b/ ? $1 : 'none' }
                     record_files($t->nginx->dir . '/data/app');
}


my $redis = RF::Redis->new(start => 0);
my $t = Outage->new(redis => $redis, start => 0,
                    store => { path => '%%DIR%%/data/app', zone => '8m',
                               write_interval => '20ms' });
mkdir $t->nginx->dir . '/data';

my $shim = Shim->new(dir => $t->nginx->dir . '/data');
$t->nginx->{shim} = $shim;
$t->nginx->start;

my ($old) = $t->nginx->workers;
my $slow = $shim->fault('sync_file', delay => 9000 + slow(1500),
                        match => '/0/tmp/', times => 1);

is($t->put('k', 'older')->{status}, 204, 'a value in an outage');
ok(wait_for(sub { $shim->hits($slow) }), 'on its way to a file');

$t->configure(zone => '16m');
ok($t->nginx->reload, 'another zone');
ok(kill(0, $old), 'the old worker is still writing');

is($t->put('k', 'newer')->{status}, 204, 'a newer value');
ok(wait_for(sub { on_disk($t) eq 'newer' }), 'in a file');
ok(kill(0, $old), 'before the old worker has written');

ok(wait_for(sub { !kill 0, $old }, slow(30)), 'then it has, and is gone');
is(on_disk($t), 'newer', 'the file is what it was');
is($t->get('k')->{body}, 'newer', 'and what is read');

my $temp = join ' ', glob $t->nginx->dir . '/data/app/0/tmp/*';
is($temp, '', 'nothing is left');

$redis->start;
ok($t->wait_normal, 'normal');
holds($redis, { k => 'newer' }, 'Redis');
ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
