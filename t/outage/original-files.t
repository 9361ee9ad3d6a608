# What go-redis-fallback lost or got wrong, continued: its files, its values, and
# what it used up.  The first part is original.t.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;

use File::Path ();
use JSON::PP ();


# files, and where they go when they come again

sub copies {
    my ($t) = @_;

    return { map { $_ => RF::slurp($_) } $t->files };
}


sub put_back {
    my ($t, $copies) = @_;

    for my $file (sort keys %$copies) {
        File::Path::make_path($file =~ s{/[^/]+$}{}r);
        RF::spew($file, $copies->{$file});
    }

    my $user = RF::worker_user();
    system('chown', '-R', $user, $t->nginx->dir . '/app') if defined $user;
}


subtest 'an older file beat a newer acknowledged write' => sub {
    my $redis = shared_redis();
    my $t = api_store($redis, { write_interval => '20ms' });
    my %expect = map { ("key$_" => "newer $_") } 1 .. 20;

    cut_off($redis, $t);
    $t->put("key$_", "older $_") for 1 .. 20;
    api($t, 'INCRBY', 'n', 5);
    api($t, 'INCRBY', 'n', 5);
    ok(wait_for(sub { $t->files == 21 }), 'files');
    my $copies = copies($t);

    # in one outage

    $t->put("key$_", "newer $_") for 1 .. 5;
    ok(wait_for(sub { 5 == grep { RF::slurp($_) =~ /"newer/ } $t->files }),
       'a newer file replaces an older one');

    # written while files of older values are there

    let_in($redis);
    $t->put("key$_", "newer $_")->{status} == 204 or fail("key$_")
        for 6 .. 15;
    ok($t->wait_normal, 'normal');
    $redis->cmd('SET', "key$_", "newer $_") for 16 .. 20;
    is($redis->cmd('GET', 'n'), 10, 'a counter');
    $redis->cmd('INCR', 'n');
    $expect{n} = 11;

    # a crash brings all of them back, as if they had never been removed

    $t->nginx->kill;
    put_back($t, $copies);
    $t->nginx->start;
    is($t->get('key1')->{body}, 'newer 1', 'read at once');
    is($t->get('key20')->{body}, 'newer 20', 'one of another client');
    $t->recovered(\%expect, 'after a crash', orphans => 1);
    ended($t);
};


subtest 'a torn file was deleted' => sub {
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(redis => $redis);

    $t->put($_, 'value ' . 'x' x 100) for qw(torn whole);
    ok($t->nginx->stop, 'stops');

    $t->only_files;

    my ($file) = grep { RF::slurp($_) =~ /"torn"/ } $t->files;
    my $half = substr RF::slurp($file), 0, 60;
    RF::spew($file, $half);

    $redis->start;
    $t->nginx->start;
    $t->recovered({ whole => 'value ' . 'x' x 100 }, 'recovery');

    my @kept = glob $t->nginx->dir . '/app/quarantine/*';
    is_deeply([ map { RF::slurp($_) } @kept ], [ $half ],
              'it is in quarantine, byte for byte');
    my ($name) = $file =~ /(\w{32})\.json$/;
    like($t->nginx->log, qr/\[crit\].*\Q$name\E/, 'and named in the log');
    is($t->status->{files}{quarantined}, 1, 'and counted');
    ended($t);
};


subtest 'sub-second TTLs became "never"' => sub {
    my $redis = RF::Redis->new(persist => 1);
    my $t = api_store($redis, { write_interval => '20ms' });
    my $pttl = sub {
        my ($key, $most) = @_;
        my $left = $redis->cmd('PTTL', $key);

        ok($left > -1 && $left <= $most || $left == -2,
           "$key: expires in $left ms");
    };

    is($t->put('normal', 'x', ttl => '400ms')->{status}, 204, 'normal mode');
    $pttl->('normal', 400);
    $redis->cmd('SET', 'read', 'x', 'PX', 4000);
    $t->get('read');
    $redis->stop;

    is($t->put('brief', 'x', ttl => '300ms')->{status}, 204, '300 ms');
    is($t->put('longer', 'x', ttl => '60500ms')->{status}, 204, '60.5 s');
    my $made = now();
    is(api($t, 'SET', 'set', 'x', 'PX', 250), 'OK', 'SET with PX');
    cmp_ok(api($t, 'PTTL', 'set'), '<=', 250, 'PTTL');
    api($t, 'INCR', 'count');
    is(api($t, 'PEXPIRE', 'count', 500), 1, 'PEXPIRE');

    is($t->get('read')->{tier}, 'memory', 'one that was read');
    ok(wait_for(sub { $t->get('read')->{status} == 404 }), 'is over');

    # by files

    ok($t->nginx->stop, 'stops');
    $t->nginx->start;
    ok(wait_for(sub { $t->get($_)->{status} == 404 }), "$_: is over")
        for qw(brief set count);

    $redis->start;
    $t->recovered({ longer => [ 'x', $made + 60.4, $made + 60.6 ],
                    map { $_ => undef } qw(brief set count read normal) },
                  'recovery');
    ended($t);
};


subtest 'quotes and newlines in values were mangled' => sub {
    my $redis = RF::Redis->new(persist => 1);
    my $t = Outage->new(redis => $redis, store => { write_interval => '20ms' });
    my @odd = (qq("), qq(\\), qq(\\"), qq({"a":"b"}), "'", "line\nline\r\n",
               "tab\t", "\0", "\x{7f}", "\xff\xfe", "\xc3\xbc", '%s%n', '',
               ' ', '\u0041', join '', map { chr } 0 .. 255);
    my %expect = map { ("odd $_" => $odd[$_], "key $odd[$_]" => 'x') }
                 0 .. $#odd;
    delete $expect{"key \0"};
    delete $expect{"key $odd[-1]"};

    my $check = sub {
        my ($name) = @_;
        my @bad = grep { my $is = $t->get($_);
                         $is->{status} != 200 || $is->{body} ne $expect{$_} }
                  sort keys %expect;

        is(join(' ', map { Outage::show($_) } @bad), '', $name);
    };

    $t->put($_, $expect{$_})->{status} == 204
        or fail(Outage::show($_)) for sort keys %expect;
    $check->('in normal mode');
    is(join(' ', Outage::differences($redis, \%expect)), '', 'in Redis');
    $redis->cmd('FLUSHALL');
    $redis->stop;

    $t->put($_, $expect{$_})->{status} == 204
        or fail(Outage::show($_)) for sort keys %expect;
    $check->('in an outage');
    ok($t->nginx->stop, 'stops');

    my @no_json = grep { !eval { JSON::PP::decode_json(RF::slurp($_)) } }
                  $t->files;
    is("@no_json", '', 'its files are JSON');
    $t->nginx->start;
    $check->('from files');

    $redis->start;
    $t->recovered(\%expect, 'recovery');
    $check->('after the recovery');
    ended($t);
};


subtest 'memory, goroutines and descriptors grew without bound' => sub {
    # each thread would fill an arena of its own, one outage after the other
    local $ENV{MALLOC_ARENA_MAX} = 1;

    my $redis = shared_redis();
    my $t = api_store($redis, { write_interval => '20ms' }, workers => 1);
    my ($pid) = $t->nginx->workers;
    my $used = sub {
        my %used = map { ($_ => scalar(my @all = glob "/proc/$pid/$_/*")) }
                   qw(fd task);
        ($used{rss}) = RF::slurp("/proc/$pid/status") =~ /VmRSS:\s*(\d+)/;
        return \%used;
    };
    my $outage = sub {
        cut_off($redis, $t);
        $t->put("key$_", 'x' x 2000) for 1 .. 100;
        $t->get("none$_") for 1 .. 20;
        let_in($redis);
        ok($t->wait_normal, 'normal');
        ok(wait_for(sub { !$t->files }), 'no files');
    };

    $outage->() for 1 .. 2;
    my $first = $used->();
    my $memory = $t->status->{memory}{used};

    $outage->() for 1 .. 4;
    my $last = $used->();

    # this worker's segment of the journal may be open, or not, and its connection
    # for invalidations there already, or not

    cmp_ok($last->{fd}, '<=', $first->{fd} + 2, 'as many descriptors');
    is($last->{task}, $first->{task}, 'as many threads');
    cmp_ok($last->{rss}, '<', $first->{rss} + 2048, 'as much memory');
    cmp_ok($t->status->{memory}{used}, '<', $memory + 131072,
           'and shared memory');
    ended($t);
};


done_testing;
