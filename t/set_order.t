# redis_fallback_set: one round trip where none depends on another, else as
# many as it takes.

use strict;
use warnings;
use lib 't/lib';
use RF;

# A peer that keeps its replies until it is asked for "release": only then has
# it been sent all of them without waiting for one.

my $kept = '';
my $redis = RF::Fake->new(sub {
    my ($command, $key) = @_;

    $command = lc $command;

    return "\$8\r\nrun_id:x\r\n" if $command eq 'info';
    return ":1\r\n" if $command eq 'dbsize';
    return "+OK\r\n" if $command =~ /^(select|auth|client)$/;

    my $reply = $command eq 'pttl' ? ":-1\r\n"
              : sprintf "\$%d\r\n%s\r\n", 2 + length $key, "v-$key";

    return $reply if $key =~ /^now/
                     || $key =~ /release/ && $command eq 'pttl';

    $kept .= $reply;
    return '' unless $key =~ /release/ && $command eq 'get';

    return substr $kept, 0, length $kept, '';
});

my $nginx = RF::Nginx->new(
    http   => "redis_fallback_store app {
                   server  127.0.0.1:" . $redis->port . ";
                   path    off;
                   cache   off;
                   timeout 2s;
               }
               map \$a \$mapped { default now-\$a; }",
    server => 'location = /together {
                   redis_fallback_set $a GET a;
                   redis_fallback_set $b GET "b:$arg_b:$http_host:$1";
                   redis_fallback_set $c GET release;
                   return 200 "$a $b $c";
               }
               set $s s;
               redis_fallback_set $srv GET now-srv;
               location = /weak {
                   redis_fallback_set $a GET a;
                   redis_fallback_set $b GET "$s$srv";
                   redis_fallback_set $c GET release;
                   return 200 "$a $c";
               }
               location = /chain {
                   redis_fallback_set $a GET now-a;
                   redis_fallback_set $b GET now-$a;
                   redis_fallback_set $c GET $mapped;
                   return 200 "$a $b $c";
               }
               location = /blocked {
                   redis_fallback_set $a GET blocked;
                   redis_fallback_set $c GET release-$a;
                   return 200 "[$a] [$c]";
               }
               location = /late {
                   redis_fallback_set $c GET release;
                   return 200 "$c";
               }');

is($nginx->get('/together?b=B')->{body}, 'v-a v-b:B:localhost: v-release',
   'three that are independent travel together');
is($nginx->get('/weak')->{body}, 'v-a v-release',
   'variables of "set" and of the server do not matter');
is($nginx->get('/chain')->{body}, 'v-now-a v-now-v-now-a v-now-v-now-a',
   'one that depends waits, by a map too');

my $res = $nginx->get('/blocked');
is($res->{body}, '[] []', 'and would wait for ever');
ok($res->{elapsed} < slow(6), 'but for its timeout');

$nginx->stop;
$redis->stop;

# with a real Redis: the same order as in the configuration

$redis = RF::Redis->new;

for my $cache ('off', '1h') {
    $nginx = RF::Nginx->new(
        http   => "redis_fallback_store app {
                       server 127.0.0.1:" . $redis->port . ";
                       path   off;
                       cache  $cache;
                   }",
        server => 'location = /t {
                       redis_fallback_set $a GET n;
                       redis_fallback_set $b SET n 1;
                       redis_fallback_set $c GET n;
                       redis_fallback_set $d INCR n;
                       redis_fallback_set $e GET n;
                       redis_fallback_set $f SET m 5;
                       redis_fallback_set $g MGET m n;
                       redis_fallback_set $h DEL n m;
                       redis_fallback_set $i EXISTS n m;
                       return 200 "$a $b $c $d $e $f $g $h $i";
                   }');

    is($nginx->get('/t')->{body}, ' OK 1 2 2 OK ["5","2"] 2 0',
       "in order, cache $cache") for 1 .. 3;

    $nginx->check_logs;
    $nginx->stop;
}

done_testing;
