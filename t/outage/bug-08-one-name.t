# One name that could not be written made nginx take the disk for broken: 97 of
# 100 writes of other keys were answered 507.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Digest::MD5 'md5_hex';

my $redis = RF::Redis->new;
my $t = Outage->new(redis => $redis, store => { durability => 'disk' });

$redis->kill;
is($t->put('a', 'value')->{status}, 204, 'a value');

my $name = md5_hex('bad');
my $dir = $t->nginx->dir . '/app/0/' . join '/', $name =~ /^(..)(..)(..)/;
my $user = RF::worker_user();

File::Path::make_path("$dir/$name.json");
system('chown', '-R', $user, $t->nginx->dir . '/app/0') if defined $user;

is($t->put('bad', 'value')->{status}, 204,
   'a key whose name is taken: the journal has it');
is(join(' ', grep { $t->put("k$_", 'value')->{status} != 204 } 1 .. 60), '',
   'the others are written');
ok(wait_for(sub { 61 == grep { -f } $t->files }, 10), 'all of them');
ok($t->on_disk->{bad}, 'that one is on disk as well');

rmdir "$dir/$name.json" or die "$dir/$name.json: $!\n";
ok(wait_for(sub { 62 == grep { -f } $t->files }, 10),
   'so is that one when the name is free');

$redis->start;
$t->recovered({ a => 'value', bad => 'value',
                map { ("k$_" => 'value') } 1 .. 60 }, 'replay');

ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
