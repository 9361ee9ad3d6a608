# Two nginx on one path, one nginx with two stores, another nginx in the place
# of this one, and another configuration, all of it while Redis is away.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;


sub wrong {
    my ($t, $expect) = @_;

    return join ' ', grep { my $res = $t->get($_);
                            defined $expect->{$_}
                            ? $res->{body} ne $expect->{$_}
                            : $res->{status} != 404 } sort keys %$expect;
}


sub put_all {
    my ($t, $name, $expect, %more) = @_;

    for my $key (sort keys %more) {
        my $status = $t->put($key, $more{$key})->{status};
        fail("$name: $key: $status") if $status != 204;
        $expect->{$key} = $more{$key};
    }
}


# the second goes without files until the first has gone

sub two_on_one_path {
    my ($workers) = @_;

    my $name = "$workers workers, one path";
    my $redis = RF::Redis->new(start => 0);
    my $one = Outage->new(workers => $workers, redis => $redis);
    my $path = $one->nginx->dir . '/app';
    my $two = Outage->new(workers => $workers, redis => $redis,
                          store => { path => $path, write_interval => '50ms' });
    my %expect;

    ok(wait_for(sub {
        $two->nginx->log
            =~ /\[error\] .*path "\Q$path\E" is used by another nginx instance/;
    }), "$name: the second says so");
    unlike($one->nginx->log, qr/used by another/, "$name: the first does not");

    put_all($one, $name, \%expect, map { ("one$_" => "one $_") } 1 .. 20);
    put_all($two, $name, \%expect, map { ("two$_" => "two $_") } 1 .. 20);
    is($two->get('two1')->{body}, 'two 1', "$name: the second works");
    is($two->get('one1')->{status}, 404, "$name: with its own");
    is($one->get('two1')->{status}, 404, "$name: and so does the first");

    # neither a reload nor nginx -t changes that

    ok($two->nginx->reload, "$name: the second reloads");
    ok($one->nginx->reload, "$name: the first reloads");
    my ($code) = $one->nginx->test;
    is($code, 0, "$name: nginx -t");
    is($two->get('two1')->{body}, 'two 1', "$name: the second works on");
    put_all($one, $name, \%expect, map { ("more$_" => "more $_") } 1 .. 5);
    unlike($two->nginx->log, qr/is ours now/, "$name: the path is the first's");

    ok($one->nginx->stop, "$name: the first stops");
    ok(record_files($path) >= 25, "$name: it wrote its own");

    ok(wait_for(sub { $two->nginx->log =~ /path "\Q$path\E" is ours now/ }),
       "$name: the second takes the path");
    ok(wait_for(sub { my @now = record_files($path); @now == 45 }),
       "$name: and writes to it");
    is(wrong($two, \%expect), '', "$name: all is read");

    # and the first, when it comes again, is the second

    $one->nginx->start;
    ok(wait_for(sub { $one->nginx->log =~ /used by another/ }),
       "$name: the other way round");

    ok($one->nginx->stop, "$name: which goes");
    $redis->start;
    ok($two->wait_normal, "$name: normal");
    holds($redis, \%expect, $name);
    ok(wait_for(sub { !record_files($path) }), "$name: no files");
    ok($two->nginx->stop, "$name: stops");
    $_->nginx->check_logs for $one, $two;
}


# What the second acknowledges with "durability disk" would have to survive its
# end by SIGKILL, so it acknowledges nothing in an outage, and says why.  What it
# reads it knows; with Redis it works as ever.

sub pathless {
    my ($workers) = @_;

    my $name = "$workers workers, no path, durability disk";
    my $redis = RF::Redis->new;
    my %server = (server => "location /api {\n redis_fallback_api app;\n}\n");
    my $one = Outage->new(workers => $workers, redis => $redis, %server);
    my $path = $one->nginx->dir . '/app';
    my $two = Outage->new(workers => $workers, redis => $redis, %server,
                          store => { path => $path, durability => 'disk',
                                     cache => '1h' });

    ok(wait_for(sub { $two->nginx->log =~ /used by another nginx instance/ }),
       "$name: it has none");
    is($two->put('key', 'normal')->{status}, 204, "$name: with Redis");
    is($two->get('key')->{body}, 'normal', "$name: read");

    $redis->kill;

    for my $key ('key', 'other') {
        my $res = $two->put($key, 'x');
        is($res->{status}, 507, "$name: $key: refused");
        like($res->{headers}{'x-result'} || '', qr/^error$/i,
             "$name: $key: an error");
    }

    like($two->nginx->post('/api', '["INCR","n"]')->{body},
         qr/'INCR' cannot be made durable, the path is not ours/i,
         "$name: the reason");
    is($two->delete('key')->{status}, 507, "$name: a DELETE, too");
    is($two->get('key')->{body}, 'normal', "$name: nothing was executed");
    is($two->get('other')->{status}, 404, "$name: nor that");
    is($two->status->{pending}, 0, "$name: nothing is pending");

    # so a kill loses nothing, and leaves nothing

    $two->nginx->kill;
    is(scalar(my @left = $one->handed_over), 0, "$name: nothing is left");
    is($one->put('key', 'of one')->{status}, 204, "$name: the first goes on");
    $two->nginx->start;
    is($two->put('key', 'x')->{status}, 507, "$name: as before");
    $redis->start;
    ok($_->wait_normal, "$name: normal") for $one, $two;
    holds($redis, { key => 'of one' }, $name);
    is($two->put('key', 'again')->{status}, 204, "$name: with Redis again");

    ok($_->nginx->stop, "$name: stops") for $two, $one;
    $_->nginx->check_logs for $one, $two;
}


# in normal mode, too, what the first left is replayed by the second

sub left_behind {
    my $name = 'left behind';
    my $here = RF::Redis->new;
    my $away = RF::Redis->new(start => 0);
    my $one = Outage->new(redis => $away);
    my $path = $one->nginx->dir . '/app';
    my $two = Outage->new(redis => $here, store => { path => $path });
    my %expect;

    put_all($one, $name, \%expect, map { ("key$_" => "value $_") } 1 .. 10);
    is($two->mode, 'normal', "$name: the second is normal");

    ok($one->nginx->stop, "$name: the first stops");
    ok(wait_for(sub { $two->nginx->log =~ /is ours now/ }),
       "$name: the second takes the path");

    # it is normal until it has looked at what is there

    ok(wait_for(sub { !differences($here, \%expect) }), "$name: replayed");
    ok($two->wait_normal, "$name: normal again");
    holds($here, \%expect, $name);
    ok(wait_for(sub { !record_files($path) }), "$name: no files");
    ok($two->nginx->stop, "$name: stops");
    $_->nginx->check_logs for $one, $two;
}


# As a daemon, since the others ignore SIGUSR2.  The harness does not know of
# its processes.

my %daemons;


sub start_daemon {
    my ($nginx) = @_;

    $nginx->write_conf;
    my $text = RF::slurp($nginx->conf);
    $text =~ s/daemon off/daemon on/ or die;
    RF::spew($nginx->conf, $text);

    local %ENV = (%ENV, RF::sanitizer_env($nginx->dir));
    system($nginx->argv) == 0 or die "nginx does not start\n";

    chomp(my $pid = RF::slurp($nginx->dir . '/nginx.pid'));
    $nginx->{pid} = $pid;
    $daemons{$pid} = 1;
    wait_for(sub { $nginx->workers >= $nginx->{workers} }, 10);

    return $pid;
}


sub gone {
    my ($pid) = @_;

    return !RF::Nginx::running_nginx($pid);
}


END {
    my $code = $?;

    for my $pid (grep { !gone($_) } keys %daemons) {
        kill 'KILL', RF::children($pid), $pid;
    }

    $? = $code;
}


# a new binary beside the old one, in an outage

sub upgrade {
    my ($workers) = @_;

    my $name = "$workers workers, upgrade";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { durability => 'disk' });
    my $nginx = $t->nginx;
    my $old = start_daemon($nginx);
    my %expect;

    put_all($t, $name, \%expect, map { ("key$_" => "value $_") } 1 .. 20);

    my @old = $nginx->workers;
    my $pidfile = $nginx->dir . '/nginx.pid';

    $nginx->signal('USR2');

    my $up = wait_for(sub { -s "$pidfile.oldbin" && -s $pidfile }, 10);
    ok($up, "$name: another master") or return;
    chomp(my $new = RF::slurp($pidfile));
    $daemons{$new} = 1;
    isnt($new, $old, "$name: which is not the old one");
    ok(wait_for(sub { my @now = RF::children($new); @now >= $workers }, 10),
       "$name: workers");

    # old workers go: the path is still the old master's, so the new ones
    # refuse what they cannot make durable, and say what they do not know

    kill 'WINCH', $old;
    ok(wait_for(sub { !grep { !gone($_) } @old }, 10),
       "$name: the old workers go");
    is(scalar(my @files = $t->files), 20, "$name: all is on disk");

    my $status = $t->put('between', 'x')->{status};
    ok($status == 507 || $status == 204,
       "$name: a write is refused or durable: $status");
    $expect{between} = 'x' if $status == 204;

    kill 'QUIT', $old;
    ok(wait_for(sub { gone($old) }, 10), "$name: the old master goes");
    ok(wait_for(sub { $nginx->log =~ /is ours now/ }),
       "$name: the new one takes the path");

    ok(wait_for(sub { $t->put('after', 'y')->{status} == 204 }),
       "$name: written again");
    $expect{after} = 'y';
    is(wrong($t, \%expect), '', "$name: all is read");
    is(scalar(keys %{ $t->on_disk }), scalar(keys %expect),
       "$name: and on disk");

    $redis->start;
    ok($t->wait_normal, "$name: normal");
    my @bad = differences($redis, \%expect);
    is("@bad", '', "$name: Redis has it all");
    ok(wait_for(sub { !$t->files }), "$name: no files");

    kill 'QUIT', $new;
    ok(wait_for(sub { gone($new) }, 10), "$name: stops");
    delete $nginx->{pid};
    $nginx->check_logs;
}


sub two_stores {
    my ($workers) = @_;

    my $name = "$workers workers, two stores";
    my @redis = map { RF::Redis->new } 1, 2;
    my @lines = ('connect_timeout 200ms; timeout 300ms; check_interval 200ms;'
                 . ' cache off;');
    my $nginx = RF::Nginx->new(
        workers => $workers,
        http    => join('', map { "
            redis_fallback_store s$_ {
                server 127.0.0.1:" . $redis[$_ - 1]->port . ";
                path %%DIR%%/s$_;
                @lines
            }" } 1, 2),
        server  => join('', map { "
            location /$_/ { redis_fallback_pass s$_; }" } 1, 2));

    is($nginx->put("/$_/key", "normal $_")->{status}, 204, "$name: written")
        for 1, 2;
    $redis[0]->kill;
    is($nginx->put("/$_/key", "outage $_")->{status}, 204, "$name: again")
        for 1, 2;
    is($nginx->get("/$_/key")->{body}, "outage $_", "$name: read") for 1, 2;
    is($nginx->status('s1')->{mode}, 'fallback', "$name: one has no Redis");
    is($nginx->status('s2')->{mode}, 'normal', "$name: the other has");
    is($redis[1]->cmd('GET', 'key'), 'outage 2', "$name: and uses it");
    is($nginx->status('s1')->{pending}, 1, "$name: one is pending");
    is($nginx->status('s2')->{pending}, 0, "$name: in the other none");

    $redis[1]->kill;
    is($nginx->put("/2/other", 'two')->{status}, 204, "$name: both without");
    is($nginx->get("/1/other")->{status}, 404, "$name: not in the other");
    ok($nginx->reload, "$name: reload");
    is($nginx->get("/2/other")->{body}, 'two', "$name: read");
    is($nginx->get("/1/key")->{body}, 'outage 1', "$name: both");
    ok($nginx->stop, "$name: stops");
    is(scalar(my @files = record_files($nginx->dir . "/s$_")), 1,
       "$name: a file of s$_") for 1, 2;

    $_->start for @redis;
    $nginx->start;
    ok($nginx->wait_mode('normal', 10, "s$_"), "$name: s$_ is normal")
        for 1, 2;
    is($redis[0]->cmd('GET', 'key'), 'outage 1', "$name: recovered");
    is($redis[0]->cmd('EXISTS', 'other'), 0, "$name: nothing else");
    is($redis[1]->cmd('GET', 'other'), 'two', "$name: the other");

    ok($nginx->stop, "$name: stops");
    $nginx->check_logs;
}


# each reload changes something; what was acknowledged stays

sub reconfigured {
    my ($workers) = @_;

    my $name = "$workers workers, reconfigured";
    my $redis = RF::Redis->new(start => 0);
    my $other = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis);
    my $n = 0;
    my %expect;

    put_all($t, $name, \%expect, map { ("first$_" => "value $_") } 1 .. 10);
    is($t->run('INCRBY', 'count', 5)->{body}, 5, "$name: a counter");
    $expect{count} = 5;

    for my $change ({ durability => 'disk' },
                    { cache => '1h' },
                    { path => '%%DIR%%/second' },
                    { server => '127.0.0.1:' . $other->port },
                    { database => 3 },
                    { path => '%%DIR%%/second levels=1:2' },
                    { zone => '8m', durability => 'memory' },
                    { path => '%%DIR%%/third', zone => '4m' },
                    { durability => 'disk', write_interval => '50ms' })
    {
        my $what = join ' ', map { "$_ $change->{$_}" } sort keys %$change;

        $n++;
        $t->configure(%$change);
        ok($t->nginx->reload, "$name: reload, $what");
        is($t->mode, 'fallback', "$name: still fallback, $what");
        is(wrong($t, \%expect), '', "$name: all is read, $what");
        put_all($t, $name, \%expect, "new$n" => "value $n",
                first1 => "changed $n");
        is($t->run('INCR', 'count')->{body}, ++$expect{count},
           "$name: the counter, $what");
    }

    # all of it is at the last place, for a run that finds only that

    ok(wait_for(sub {
        my @files = record_files($t->nginx->dir . '/third/3');
        return @files == keys %expect;
    }), "$name: all has files at the last path");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is read after a restart");

    $other->{database} = 3;
    $other->start;
    ok($t->wait_normal, "$name: normal");
    holds($other, \%expect, $name);
    ok(wait_for(sub { !record_files($t->nginx->dir . '/third') }),
       "$name: no files are left");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


left_behind();

for my $workers (1, 4) {
    two_on_one_path($workers);
    pathless($workers);
    upgrade($workers);
    two_stores($workers);
    reconfigured($workers);
}

done_testing;
