# redis-fallback-files with the path of a real nginx: while it runs, after it
# was killed, and a record that comes back from quarantine.

use strict;
use warnings;

use lib 't/lib', 't/tool';
use RF;
use Path;

use Digest::MD5 'md5_hex';
use JSON::PP 'decode_json';


sub tool { return Path::run(@_) }


# lines of export --json by key

sub exported {
    my ($path) = @_;

    return { map { my $r = decode_json($_); $r->{key} => $r }
             split /\n/, (tool('export', '--json', $path))[1] };
}


my $redis = RF::Redis->new;

my $nginx = RF::Nginx->new(
    http => "redis_fallback_store app {
                 server 127.0.0.1:" . $redis->port . ";
                 path %%DIR%%/app;
                 write_interval 200ms;
                 check_interval 300ms;
             }",
    server => "location /kv/ { redis_fallback_pass app; }
               location /api { redis_fallback_api app token=secret; }");

my $path = $nginx->dir . '/app';


sub command {
    my @argv = @_;

    my $res = $nginx->post('/api', JSON::PP->new->encode(\@argv),
                           headers => { Authorization => 'Bearer secret' });

    return decode_json($res->{body})->{result};
}


is(command(qw(SET hits 41)), 'OK', 'Redis is there');
command(qw(GET hits));
$redis->cmd(qw(SET counter 5));
command(qw(GET counter));
$redis->cmd(qw(HSET cart pears 1));
command(qw(HGET cart pears));

$redis->kill;
wait_for { command(qw(SET x y));
           $nginx->status('app')->{mode} eq 'fallback' };

is(command(qw(SET text hello)), 'OK', 'and then not');
command('SET', 'expires', 'soon', 'EX', '1000');
command(qw(INCRBY hits 5));
command(qw(INCRBY counter 7));
command(qw(HINCRBY cart pears 2));
command(qw(DEL deleted));
command(qw(HSET hash a 1 b 2));
command(qw(RPUSH list x y x));
command(qw(SADD set p q));
command(qw(ZADD zset 1.5 m -inf n));

my @keys = qw(cart counter deleted expires hash hits list set text zset);

# x: what made nginx notice

wait_for {
    my $all = exported($path);
    return @keys == grep { $all->{$_} } @keys;
} 10;


subtest 'while nginx runs' => sub {
    my ($code, $out, $err) = tool('list', $path);
    is($code, 0, 'list');
    like($err, qr/is in use, this is a snapshot/, 'says so');
    is_deeply([grep { $_ ne 'x' } sort map { (split /\t/)[0] }
               split /\n/, $out], \@keys, 'the keys');

    is((tool('verify', $path))[0], 0, 'verify');
    is((tool('count', $path))[0], 0, 'count');
    is((tool('show', $path, 'text'))[0], 0, 'show');
    is((tool('readmit', '--all', $path))[0], 4, 'readmit does not');

    # reading while much is written and removed

    my $bad = 0;
    for my $i (1 .. 30) {
        command('SET', "many$_", $i) for 1 .. 20;
        $bad++ if (tool('list', $path))[0] || (tool('verify', $path))[0];
    }
    is($bad, 0, 'reading while it writes');
    command('DEL', map { "many$_" } 1 .. 20);
};


wait_for { exported($path)->{many1}{type} eq 'none' } 10;

$nginx->kill(keep => 1);


subtest 'while its memory is there' => sub {
    my ($code, $out, $err) = tool('list', $path);
    is($code, 0, 'list');
    like($err, qr/has changes of .* in shared memory/, 'says so');

    ($code, $out, $err) = tool('readmit', '--all', $path);
    is($code, 4, 'readmit does not');
    like($err, qr/start it, and stop it/, 'and says why');
};


$nginx->forget_memory;


subtest 'after it was killed' => sub {
    my ($code, $out, $err) = tool('list', $path);
    is($code, 0, 'list');
    is($err, '', 'nobody uses it');

    my $all = exported($path);
    is_deeply($all->{hash}{data}, { a => '1', b => '2' }, 'a hash');
    is_deeply($all->{hits}{changes}, [[qw(INCRBY 5)]], 'a counter');
    is($all->{deleted}{type}, 'none', 'a deletion');

    my ($verify, $found) = tool('verify', $path);
    is($verify, 0, 'verify');
    like($found, qr/damage 0, notes 0$/, 'nothing odd') or diag($found);

    # into a Redis by hand: what a recovery would give

    my $other = RF::Redis->new;
    my $file = RF::tempdir('resp') . '/resp';
    $other->cmd(qw(SET hits 41));
    $other->cmd(qw(SET deleted x));

    RF::spew($file, (tool('export', '--redis', $path))[1]);
    like(`redis-cli -p ${\$other->port} --pipe < $file 2>&1`, qr/errors: 0,/,
         'export --redis');

    is($other->cmd(qw(GET text)), 'hello', 'a string');
    is($other->cmd(qw(GET hits)), 46, 'a counter');
    is($other->cmd(qw(EXISTS deleted)), 0, 'a deletion');
    is_deeply($other->cmd(qw(LRANGE list 0 -1)), [qw(x y x)], 'a list');
    is_deeply($other->cmd(qw(ZRANGE zset 0 -1 WITHSCORES)),
              [qw(n -inf m 1.5)], 'a sorted set');
    cmp_ok($other->cmd(qw(TTL expires)), '>', 900, 'an expiry');
};


subtest 'from quarantine' => sub {

    # a list and a string by now: the changes are refused

    $redis->start;
    $redis->cmd(qw(SET hits 41));
    $redis->cmd(qw(RPUSH counter x));
    $redis->cmd(qw(SET cart x));
    $nginx->start;
    ok($nginx->wait_mode('normal', 20), 'a recovery');
    is($redis->cmd(qw(GET hits)), 46, 'of what could be');

    my @names = map { s{.*/}{}r } glob "$path/quarantine/*";
    is(scalar(@names), 2, 'two were set aside');

    my ($name) = grep { /^${\md5_hex('counter')}-\d+\.json$/ } @names;
    ok($name, 'the counter');

    my ($code, $out, $err) = tool('quarantine', 'list', $path);
    like($out, qr/\tdelta\tcounter\t.*WRONGTYPE/, 'is listed');

    is((tool('readmit', $path, $name))[0], 4, 'readmit: nginx runs');

    $nginx->stop;

    my ($before) = (tool('quarantine', 'show', $path, $name))[1];
    $before = decode_json($before)->{record};

    ($code, $out, $err) = tool('readmit', $path, $name);
    is($code, 0, 'readmit') or diag($err);
    like($out, qr/^$name\tpending\t\d+\tcounter$/m, 'says it');

    my ($pending) = grep { /^counter\t/ } split /\n/,
                    (tool('list', $path))[1];
    cmp_ok((split /\t/, $pending)[3], '>', RF::slurp("$path/0/mark"),
           'it is above the mark');

    my ($mode, $uid) = (stat glob "$path/0/*/*/*/${\md5_hex('counter')}.json")
                       [2, 4];
    is($mode & 0777, 0600, 'mode');
    is($uid, (stat $path)[4], 'owner');

    is((tool('readmit', '--all', $path))[0], 0, 'and the other one');

    $redis->cmd(qw(SET counter 100));
    $redis->cmd(qw(DEL cart));
    $redis->cmd(qw(HSET cart pears 10 figs 1));
    $nginx->start;
    ok($nginx->wait_mode('normal', 20), 'the next recovery');
    ok((wait_for { $redis->cmd(qw(GET counter)) eq '107' } 10),
       'applies it') or diag($redis->cmd(qw(GET counter)));

    ok((wait_for { $redis->cmd(qw(HGET cart pears)) eq '12' } 10),
       'that of a hash, too') or diag($redis->cmd(qw(HGET cart pears)));

    is_deeply([glob "$path/quarantine/*"], [], 'nothing is left in quarantine');

    $nginx->stop;
    is((tool('list', $path))[1], '', 'nothing is pending');
};


$nginx->check_logs(allow => [qr/exited on signal/, qr/\[crit\]/]);

done_testing;
