# A user who may not MULTI: Redis executed the commands of a transaction one by
# one, and nginx said that none was executed.

use strict;
use warnings;

use lib 't/lib';
use RF;
use OutageApi;
use JSON::PP ();


my $redis = shared_redis(acl => "user default on nopass ~* &* +\@all\n"
    . "user nginx on >secret ~* &* +\@all -multi\n");
my $t = api_store($redis, {});

sub transaction {
    my (@commands) = @_;

    return $t->nginx->post('/api/multi-exec', JSON::PP::encode_json(\@commands));
}


is(api($t, SET => 'n', 5), 'OK', 'a counter');
is(api($t, GET => 'n'), 5, 'which memory knows');

my $res = transaction([ INCR => 'n' ], [ INCR => 'n' ]);

is($redis->cmd('GET', 'n'), 7, 'they were executed');
is($res->{status}, 502, 'nobody says that they were not');
like($res->{body}, qr/UNCERTAIN Redis refused the MULTI/, 'nor of why');
is(api($t, GET => 'n'), 7, 'what Redis has is read anew');

# what was refused, too, was not executed

$res = transaction([ INCR => 'n', 'more' ], [ INCR => 'n' ]);
is($res->{status}, 400, 'a wrong command');
like($res->{body}, qr/EXECABORT/, 'discards the others');

$redis->cmd('ACL', 'SETUSER', 'nginx', '-incr');
$res = transaction([ INCR => 'n' ], [ INCR => 'n' ]);
is($res->{status}, 400, 'refused one by one');
like($res->{body}, qr/EXECABORT.*NOPERM/, 'that is none');
is($redis->cmd('GET', 'n'), 7, 'of all');
is($t->mode, 'normal', 'no outage');

ended($t);

done_testing;
