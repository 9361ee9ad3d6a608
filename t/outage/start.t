# nginx starts, reloads and passes nginx -t with Redis or without, with files
# of an earlier run or without, and loses nothing by it.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


sub tested {
    my ($t, $name) = @_;

    my ($code, $out) = $t->nginx->test;
    is($code, 0, "$name: nginx -t") or diag($out);
}


# the modes of files and directories, and whose they are

sub private {
    my ($t, $name) = @_;

    my $dir = $t->nginx->dir . '/app';
    my @st = stat $dir;
    my $user = RF::worker_user();

    is(sprintf('%o', $st[2] & 07777), '700', "$name: the path is private");
    is(getpwuid($st[4]), $user, "$name: and the worker's") if defined $user;

    for my $file ($t->files) {
        is(sprintf('%o', (stat $file)[2] & 07777), '600',
           "$name: so is a file");
        last;
    }
}


sub nothing_there {
    my ($workers) = @_;

    my $name = "$workers workers, neither Redis nor path";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { path => '%%DIR%%/app' });

    tested($t, $name);
    $t->nginx->start;

    is($t->get('none')->{status}, 404, "$name: a read");
    is($t->put('a', 'one')->{status}, 204, "$name: a write");
    is($t->get('a')->{body}, 'one', "$name: is read");
    is($t->mode, 'fallback', "$name: fallback");
    is($t->status->{outages}, 1, "$name: one outage");
    tested($t, "$name, while it runs");

    $redis->start;
    $t->recovered({ a => 'one' }, $name);
    private($t, $name);

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


sub redis_there {
    my ($workers) = @_;

    my $name = "$workers workers, Redis but no path";
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { cache => 'off' });

    $redis->cmd('SET', 'old', 'from before');
    tested($t, $name);
    $t->nginx->start;

    is($t->get('old')->{body}, 'from before', "$name: Redis is used");
    is($t->get('old')->{tier}, 'redis', "$name: for each read");
    is($t->put('a', 'one')->{status}, 204, "$name: a write");
    is($redis->cmd('GET', 'a'), 'one', "$name: goes to Redis");
    is($t->mode, 'normal', "$name: normal");
    is($t->status->{outages}, 0, "$name: no outage");
    is(scalar(my @files = $t->files), 0, "$name: no files");
    tested($t, "$name, while it runs");
    private($t, $name);

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# a run leaves files; the next ones find them, without Redis and with it

sub files_there {
    my ($workers) = @_;

    my $name = "$workers workers, files";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis);
    my %expect = map { ("key$_" => "value $_") } 1 .. 20;

    for my $key (sort keys %expect) {
        $t->put($key, $expect{$key})->{status} == 204 or fail("$name: $key");
    }

    $t->delete('key1');
    $t->delete('key2');
    @expect{qw(key1 key2)} = ();

    ok($t->nginx->stop, "$name: stops");
    is(scalar(my @files = $t->files), 20, "$name: a file for each key");
    private($t, $name);

    # no Redis

    tested($t, "$name, no Redis");
    $t->nginx->start;

    is(join(' ', grep { ($t->get($_)->{body} || '') ne $expect{$_} }
                 grep { defined $expect{$_} } sort keys %expect), '',
       "$name, no Redis: all values are read");
    is($t->get('key1')->{status}, 404, "$name, no Redis: deleted stays so");
    is($t->get('none')->{status}, 404, "$name, no Redis: nothing else");
    is($t->put('key3', 'new')->{status}, 204, "$name, no Redis: written");
    $expect{key3} = 'new';
    is($t->mode, 'fallback', "$name, no Redis: fallback");
    ok($t->nginx->stop, "$name, no Redis: stops");

    # with Redis, which holds older values

    $redis->start;
    $redis->cmd('SET', $_, 'old') for qw(key1 key5);
    tested($t, "$name and Redis");
    $t->nginx->start;
    is($t->get('key4')->{body}, 'value 4', "$name and Redis: read at once");
    is($t->get('key1')->{status}, 404, "$name and Redis: deleted at once");
    $t->recovered(\%expect, "$name and Redis");
    ok($t->nginx->stop, "$name and Redis: stops");

    # and never again

    $redis->cmd('SET', 'key6', 'newer');
    $t->nginx->start;
    is($t->get('key6')->{body}, 'newer', "$name: replayed once only");
    ok($t->wait_normal, "$name: normal");
    is($redis->cmd('GET', 'key6'), 'newer', "$name: Redis keeps the newer");
    ok($t->nginx->stop, "$name: stops");

    $t->nginx->check_logs;
}


sub reloads {
    my ($workers) = @_;

    my $name = "$workers workers, reload";
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { recovery_rate => 12 });
    my %expect;

    # normal

    is($t->put('a', 'one')->{status}, 204, "$name: written before");
    ok($t->nginx->reload, "$name in normal mode");
    is($t->get('a')->{body}, 'one', "$name: read after");
    is($t->mode, 'normal', "$name: still normal");
    is($t->status->{outages}, 0, "$name: no outage");

    # fallback

    $redis->kill;

    for my $i (1 .. 40) {
        $expect{"key$i"} = "value $i";
        $t->put("key$i", "value $i");
    }

    $t->put('a', 'two');
    $expect{a} = 'two';
    tested($t, "$name in fallback");
    my $pending = $t->status->{pending};
    ok($t->nginx->reload, "$name in fallback");
    is($t->mode, 'fallback', "$name: still fallback");
    is($t->status->{pending}, $pending, "$name: as much is pending");
    is(join(' ', grep { $t->get($_)->{body} ne $expect{$_} } keys %expect), '',
       "$name: all is read");
    is($t->put('key1', 'again')->{status}, 204, "$name: and written");
    $expect{key1} = 'again';

    # recovering, at 12 keys in a second

    $redis->start;
    ok($t->wait_recovering, "$name: recovering");
    tested($t, "$name in recovery");
    ok($t->nginx->reload, "$name in recovery");
    is(join(' ', grep { $t->get($_)->{body} ne $expect{$_} } keys %expect), '',
       "$name: all is read");
    is($t->status->{outages}, 1, "$name: no other outage");
    $t->recovered(\%expect, $name);

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# a zone of another size is another zone: what is pending goes over, and to
# files where it does not fit

sub resizes {
    my ($workers) = @_;

    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { zone => '4m' });
    my (%expect, $res);
    my $name = "$workers workers, new zone";

    for my $i (1 .. 1200) {
        my $value = "value $i " . 'x' x 900;
        $res = $t->put("key$i", $value);
        last if $res->{status} != 204;
        $expect{"key$i"} = $value;
    }

    is($res->{status}, 204, "$name: all is written");

    my $before = now();
    is($t->put('short', 'lived', ttl => '60s')->{status}, 204,
       "$name: with a time to live");
    $expect{short} = expects('lived', 60, $before, now());
    is($t->run('INCRBY', 'count', 7)->{body}, 7, "$name: a counter");
    is($t->run('INCRBY', 'count', 8)->{body}, 15, "$name: again");
    $expect{count} = 15;

    for my $size (qw(16m 1m)) {
        tested($t->configure(zone => $size), "$name, $size");
        ok($t->nginx->reload, "$name, $size: reload");
        is($t->status->{memory}{size}, $size eq '1m' ? 1048576 : 16777216,
           "$name, $size: it is the new one");
        is($t->mode, 'fallback', "$name, $size: still fallback");
        is($t->status->{pending}, scalar(keys %expect),
           "$name, $size: as much is pending");

        # where memory is full, a read from a file may have to wait for the
        # disk to take something else

        my @bad = grep { my $key = $_;
                         !wait_for(sub {
                             my $is = $t->get($key);
                             $is->{status} == 507 ? 0
                             : $is->{body} eq $expect{$key};
                         }) }
                  map { $_ % 40 ? () : "key$_" } 1 .. 1200;
        is("@bad", '', "$name, $size: and read");
        is($t->run('INCR', 'count')->{body}, ++$expect{count},
           "$name, $size: the counter goes on");
    }

    $redis->start;
    $t->recovered(\%expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    nothing_there($workers);
    redis_there($workers);
    files_there($workers);
    reloads($workers);
    resizes($workers);
}

done_testing;
