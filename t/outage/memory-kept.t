# All of nginx is killed with durability memory: what the disk has not got yet is
# in shared memory still, and the next start has it, exactly.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;
use ExactLoad;
use Daemon;
use Shim ();


# the ids of segments that the path's lock names and the system has

sub named { return RF::slurp("$_[0]{nginx}{dir}/app/lock") =~ /^shm (\d+) / }

sub segments {
    my @lines = split /\n/, RF::slurp('/proc/sysvipc/shm');
    shift @lines;

    return map { (split ' ')[1] } @lines;
}

sub is_there { my ($id) = @_; return scalar grep { $_ == $id } segments() }


sub fresh {
    my ($redis, %opt) = @_;

    my $store = delete $opt{store} || {};

    return api_store($redis, { durability => 'memory', write_interval => '1h',
                               %$store }, %opt);
}


# one write of each kind, on top of what Redis had
sub change {
    my ($t, $redis, $name) = @_;

    $redis->cmd('SET', 'n', 100);
    $redis->cmd('SET', 'gone', 'x');
    $redis->cmd('RPUSH', 'list', 'a');
    $t->get($_) for 'gone', 'n';
    $redis->stop;

    my %expect = (n => 105, gone => undef);

    is(api($t, 'INCRBY', 'n', 5), 105, "$name: a counter");
    is($t->delete('gone')->{status}, 204, "$name: a removal");
    api($t, 'RPUSH', 'list', $_) for 'b', 'c';
    api($t, 'HSET', 'hash', 'f', 1);

    for my $i (1 .. 200) {
        $expect{"key$i"} = "value $i";
        my $status = $t->put("key$i", "value $i")->{status};
        fail("$name: key$i: $status") if $status != 204;
    }

    return \%expect;
}


sub killed {
    my ($workers, %opt) = @_;

    my $name = "$workers workers" . ($opt{zone} ? ", then zone $opt{zone}" : '');
    my $redis = RF::Redis->new(persist => 1);
    my $t = fresh($redis, workers => $workers);
    my $expect = change($t, $redis, $name);
    my ($id) = named($t);

    cmp_ok(scalar(keys %{ $t->on_disk }), '<', 205, "$name: hardly on disk");
    $t->nginx->kill(keep => 1);
    ok(is_there($id), "$name: its memory is there");

    my ($code, $out) = $t->nginx->test;
    is($code, 0, "$name: nginx -t") or diag($out);

    $t->configure(zone => $opt{zone}) if $opt{zone};

    # not long enough for anything to be written

    for my $i (1 .. 2) {
        $t->nginx->start;
        $t->nginx->kill(keep => 1);
    }

    $t->nginx->start;

    my ($now) = named($t);
    isnt($now, $id, "$name: it has a segment of its own");
    ok(!is_there($id), "$name: the one of before is gone");
    like($t->nginx->log, qr/its shared memory is there still/,
         "$name: which is in the log");
    unlike($t->nginx->log, qr/ is lost|cannot be read/, "$name: all of it");
    is($t->mode, 'fallback', "$name: in the outage still");

    my @bad = grep { $t->get("key$_")->{body} ne "value $_" } 1 .. 200;
    is("@bad", '', "$name: all is served");
    is($t->get('gone')->{status}, 404, "$name: what was removed is not");

    $redis->start;
    ok($t->wait_normal, "$name: normal");

    is("@{ $redis->cmd('LRANGE', 'list', 0, -1) }", 'a b c', "$name: the list");
    is("@{ $redis->cmd('HGETALL', 'hash') }", 'f 1', "$name: the hash");
    $redis->cmd('DEL', 'list', 'hash');
    $t->recovered($expect, $name);

    $t->nginx->stop;
    ok(!is_there($now), "$name: nothing is left of it");
    unlike(RF::slurp($t->nginx->dir . '/app/lock'), qr/^shm/,
           "$name: nor does the lock name it");
}


# A worker was killed while it changed the zone, and then all of nginx: the lock is
# with somebody who is dead.

sub locked {
    my ($how) = @_;

    my $name = "a dead worker has the lock, $how";
    my $redis = RF::Redis->new(start => 0);
    my $t = fresh($redis);
    my %expect = map { ("key$_" => "value $_") } 1 .. 50;

    $t->put($_, $expect{$_}) for sort keys %expect;

    my ($id, $addr) = RF::slurp($t->nginx->dir . '/app/lock')
                      =~ /^shm (\d+) at (\d+) /;
    my ($dead) = $t->nginx->workers;

    $t->nginx->kill(keep => 1);

    # ngx_slab_pool_t begins with the lock, and ends with the zone's header and its
    # own address; the header's third word is "busy"

    shmread($id, my $pool, 0, 512) or die "shmread: $!";
    my $at = rindex $pool, pack('Q', $addr);
    my $header = unpack('Q', substr $pool, $at - 8, 8) - $addr;

    shmwrite($id, pack('Q', $dead), 0, 8) or die "shmwrite: $!";
    shmwrite($id, pack('Q', $dead), $header + 8, 8) if $how eq 'in a change';

    $t->nginx->start;

    my $mended = qr/process $dead died while changing the zone/;

    $how eq 'in a change'
        ? like($t->nginx->log, $mended, "$name: mended")
        : unlike($t->nginx->log, $mended, "$name: there is nothing to mend");

    my @bad = grep { $t->get($_)->{body} ne $expect{$_} } keys %expect;
    is("@bad", '', "$name: all is there");
    $redis->start;
    $t->recovered(\%expect, $name);
}


# Each start has an IPC namespace of its own, as a container has: the number that
# the lock names is that of the start's own segment.  And one that has no room.

sub namespaces {
    my $redis = RF::Redis->new(start => 0);
    my $t = fresh($redis, workers => 2, start => 0,
                  store => { write_interval => '50ms' });

    $t->nginx->{wrap} = [ 'unshare', '--ipc' ];
    $t->nginx->start;
    my ($id) = named($t);
    $t->put('a', 1);
    ok(wait_for(sub { $t->status->{journal}{behind} == 0 }),
       'a namespace: in the journal');
    $t->nginx->kill;

    $t->nginx->start;
    is((named($t))[0], $id, 'another one: the same number');
    is($t->get('a')->{body}, 1, 'another one: what is on disk');
    unlike($t->nginx->log, qr/cannot be read| is lost/,
           'another one: nothing to say');
    $t->nginx->kill;

    $t->nginx->{wrap} = [ qw(unshare --ipc sh -c),
                          'echo 4096 > /proc/sys/kernel/shmmax && exec "$@"',
                          'sh' ];
    $t->nginx->start;
    like($t->nginx->log, qr/no System V shared memory.*\(22: /,
         'no segments: said so');
    is($t->get('a')->{body}, 1, 'no segments: what is on disk');
    is($t->put('b', 2)->{status}, 204, 'no segments: a write');
    ok($t->nginx->reload, 'no segments: a reload');
    is($t->get('b')->{body}, 2, 'no segments: is there');
    like(RF::slurp($t->nginx->dir . '/app/lock'), qr/^none /,
         'no segments: none is named');
    $redis->start;
    $t->recovered({ a => 1, b => 2 }, 'no segments');
}


# clients count what is acknowledged, while all is killed again and again

sub load {
    my ($workers, $redis_is) = @_;

    my $name = "$workers workers, under load, Redis is $redis_is";
    my $redis = RF::Redis->new;
    my $t = fresh($redis, workers => $workers);

    $redis->stop if $redis_is eq 'down';

    my $load = ExactLoad->start($t, clients => 4);

    for my $i (1 .. 4) {
        $load->wait(25);
        $t->nginx->kill(keep => 1);
        $t->nginx->start;
    }

    $load->wait(10);
    $redis->start if $redis_is eq 'down';
    ok($t->wait_normal(20), "$name: normal");

    my $report = $load->stop;
    my @errors = grep { !/^0 / } @{ $report->{errors} };

    is("@errors[0 .. ($#errors < 3 ? $#errors : 3)]", '',
       "$name: no wrong answer of $report->{requests}");
    ok(wait_for(sub { $t->status->{pending} == 0 }), "$name: nothing pending");
    is(join("\n", ExactLoad::wrong($redis, $report)), '',
       "$name: all is there, once");
}


# the host has crashed: the lock names what is no more, or is somebody else's

sub foreign {
    my $name = 'foreign';
    my $redis = RF::Redis->new(start => 0);
    my $t = fresh($redis, store => { zone => '1m' });

    $t->put('a', 1);

    my ($id) = named($t);
    my $lock = $t->nginx->dir . '/app/lock';
    my $text = RF::slurp($lock);

    $t->nginx->kill;
    ok(!is_there($id), "$name: the memory is gone");

    my $other = shmget(0, 1 << 20, 0600) // die "shmget: $!";
    $text =~ s/^shm \d+/shm $other/;
    RF::spew($lock, substr($text, 0, 191) . "\n");

    $t->nginx->start;
    is($t->get('a')->{status}, 404, "$name: it was not on disk");
    ok(is_there($other), "$name: what is another's is left alone");

    # and what says nothing

    for my $junk ('', 'shm', 'x' x 300, "shm 1 at 1 of 1 next 1 at 1" . ' ' x 165) {
        $t->nginx->kill;
        RF::spew($lock, $junk);
        $t->nginx->start;
        is($t->put('b', 1)->{status}, 204, "$name: starts");
    }

    shmctl($other, 0, 0);
}


sub not_needed {
    my $redis = RF::Redis->new(start => 0);
    my $t = fresh($redis, store => { durability => 'disk' });

    ok(!named($t), 'durability disk: in memory of its own');

    $t->configure(durability => 'memory', zone => '8m');
    $t->nginx->reload;
    ok(wait_for(sub { named($t) }), 'reloaded: memory that stays');
}


# reloads: with the same zone, with another one

sub reloaded {
    my $name = 'reloaded';
    my $redis = RF::Redis->new(start => 0);
    my $t = fresh($redis, workers => 2);
    my ($first) = named($t);
    my %expect;

    my $write = sub {
        my ($key) = @_;
        $expect{$key} = "value of $key";
        is($t->put($key, $expect{$key})->{status}, 204, "$name: $key");
    };

    $write->('a');
    $t->nginx->reload;
    is((named($t))[0], $first, "$name: the same segment");
    $write->('b');
    $t->configure(zone => '9m');
    $t->nginx->reload;
    isnt((named($t))[0], $first, "$name: another one");
    ok(wait_for(sub { !is_there($first) }), "$name: the first is gone");
    ok(wait_for(sub { $t->put('c', 'value of c')->{status} == 204 }),
       "$name: c");
    $expect{c} = 'value of c';

    # one that is refused leaves all as it is

    my ($second) = named($t);
    my @before = segments();
    $t->configure(zone => '10m', path => '/proc/nowhere');
    ok(!$t->nginx->reload, "$name: refused");
    is((named($t))[0], $second, "$name: nothing has changed");
    is(scalar(segments()), scalar(@before), "$name: nor is there one more");
    $t->configure(zone => '9m', path => '%%DIR%%/app');

    $t->nginx->kill(keep => 1);
    $t->nginx->start;
    $redis->start;
    $t->recovered(\%expect, $name);
}


# a new binary, and then all is killed

sub upgraded {
    my $name = 'upgraded';
    my $redis = RF::Redis->new(start => 0);
    my $t = fresh($redis, workers => 2, start => 0,
                  store => { write_interval => '50ms' });
    my $d = Daemon->start($t->nginx);

    for my $i (1, 2) {
        my ($first) = named($t);

        is($t->put("a$i", 1)->{status}, 204, "$name: a write");
        ok($d->upgrade, "$name: USR2");
        $d->signal(WINCH => $d->old);
        $d->signal(QUIT => $d->old);
        $d->ends($d->old, "$name: the old master goes");

        ok(wait_for(sub { my ($id) = named($t);
                          $id && $id != $first && is_there($id) }, 20),
           "$name: the path's lock names the new one's memory");
        ok(!is_there($first), "$name: the old one's is gone");
    }

    unlike($t->nginx->log, qr/ is lost|cannot be read/, "$name: nothing lost");
    $d->stop;
}


# A start that is killed while it reads the journal has not all in its memory: the
# next one reads it again.

sub reading {
    my $name = 'killed while it reads';
    my ($t, $redis) = Outage->shimmed(durability => 'memory',
                                      write_interval => '50ms');
    my %expect = map { ("key$_" => "value $_") } 1 .. 50;

    $t->put($_, $expect{$_}) for sort keys %expect;
    ok(wait_for(sub { $t->status->{journal}{behind} == 0 }),
       "$name: in the journal");
    $t->nginx->kill;

    my $read = $t->{shim}->fault('read', delay => 60000, times => 1,
                                 match => '/journal/');

    my %before = map { $_ => 1 } RF::children($$);
    eval { $t->nginx->start(within => 0.5) };
    my ($pid) = grep { !$before{$_} } RF::children($$);

    ok(wait_for(sub { $t->{shim}->hits($read) }), "$name: it reads");
    RF::end($pid, 'KILL');
    $t->{shim}->clear;

    my ($next) = RF::slurp($t->nginx->dir . '/data/app/lock')
                 =~ / next (\d+) /;
    ok(is_there($next), "$name: its memory is there");
    $t->nginx->start;
    ok(!is_there($next), "$name: until the next start");

    my @bad = grep { $t->get($_)->{body} ne $expect{$_} } keys %expect;
    is("@bad", '', "$name: all is there");
    $redis->start;
    $t->recovered(\%expect, $name);
}


# One who was killed waits for the disk, and has the path's lock until then: the
# start waits for it.

sub waits {
    my $name = 'slow disk';
    my ($t, $redis) = Outage->shimmed(durability => 'memory',
                                      write_interval => '200ms');

    $t->put('a', 1);
    ok(wait_for(sub { $t->status->{journal}{behind} == 0 }), "$name: a");
    is($t->put('b', 2)->{status}, 204, "$name: b");

    # instead of the disk: a process that the lock and the memory were left to

    my ($id) = RF::slurp($t->nginx->dir . '/data/app/lock') =~ /^shm (\d+) /;
    pipe my $read, my $write or die;
    my $holder = fork() // die;

    if ($holder == 0) {
        RF::die_with_parent(POSIX::SIGKILL());
        close $read;
        my $addr = syscall(30, $id + 0, 0, 0);  # shmat() on x86-64
        open my $lock, '+<', $t->nginx->dir . '/data/app/lock' or die;
        syswrite $write, 'x' if $addr != -1;
        flock $lock, 2;
        syswrite $write, 'y';
        sleep 3600;
        POSIX::_exit(0);
    }

    close $write;
    sysread $read, my $byte, 1;
    is($byte, 'x', "$name: somebody else has it");
    $t->nginx->kill(keep => 1);
    sysread $read, $byte, 1;
    is($byte, 'y', "$name: and the lock");

    my $release = fork() // die;

    if ($release == 0) {
        select undef, undef, undef, 2;
        kill 'KILL', $holder;
        POSIX::_exit(0);
    }

    $t->nginx->start;
    waitpid $_, 0 for $holder, $release;
    is($t->get('b')->{body}, 2, "$name: all is there");
    $redis->start;
    $t->recovered({ a => 1, b => 2 }, $name);
}


# the disk takes nothing at the end: memory has it until the next start

sub full {
    my $name = 'full disk';
    my $missing = Shim->missing;

    SKIP: {
        skip $missing, 1 if $missing;

        my ($t, $redis) = Outage->shimmed(durability => 'memory');

        $t->put('a', 1);
        ok(wait_for(sub { $t->status->{journal}{behind} == 0 }),
           "$name: well at first");
        $t->{shim}->fault('open_write|write', err => 'ENOSPC');
        is($t->put('b', 2)->{status}, 204, "$name: acknowledged")
            or diag($t->nginx->log);
        $t->nginx->stop('TERM');
        like($t->nginx->log, qr/stays in shared memory, for the next start/,
             "$name: not on disk at exit");
        $t->{shim}->clear;
        $t->nginx->start;
        is($t->get('b')->{body}, 2, "$name: there after a start");
        $redis->start;
        $t->wait_normal(20);
        is($redis->cmd('GET', 'b'), 2, "$name: and in Redis");
    }
}


killed($_) for 1, 4;
killed(2, zone => $_) for '2m', '64m';
load(@$_) for [ 1, 'down' ], [ 3, 'down' ], [ 2, 'up' ];
locked($_) for 'in a change', 'between two';
foreign();
namespaces() if RF::is_root() && system('unshare --ipc true') == 0;
not_needed();
reloaded();
upgraded();
full();

SKIP: {
    my $missing = Shim->missing;

    skip $missing, 1 if $missing;

    reading();
}

waits() if `uname -m` =~ /x86_64/ && !Shim->missing;

done_testing();
