# An instance that does not have the path ends in an outage: what it has pending
# is left to the one that has the path, which takes it over, once.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;


# the first has the path, the others have not

sub second {
    my ($redis, $one, %lines) = @_;

    return api_store($redis, { path => $one->nginx->dir . '/app', %lines });
}


sub written {
    my ($t, $name, @commands) = @_;

    my @bad = grep { my $reply = api($t, @$_); $reply =~ /^\d{3} / } @commands;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(join(', ', map { "@$_" } @bad), '', "$name: written");
}


sub goes {
    my ($t, $n, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($t->nginx->stop, "$name: it goes");
    like($t->nginx->log, qr/: $n pending keys are left to the nginx instance/,
         "$name: and leaves what it has");
    unlike($t->nginx->log, qr/not on disk at exit/, "$name: all of it");
    $t->nginx->check_logs;
}


sub taken_over {
    my ($one, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok(wait_for(sub { !$one->handed_over }, 15), "$name: is taken over");
}


sub freeze { kill 'STOP', $_[0]->nginx->workers }
sub thaw   { kill 'CONT', $_[0]->nginx->workers }


sub settled {
    my ($one, $name, $quarantined) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    taken_over($one, $name);
    ok($one->wait_normal, "$name: normal");
    is($one->status->{pending}, 0, "$name: nothing is pending");
    ok(wait_for(sub { !$one->files }, 10), "$name: no files");
    is($one->status->{files}{quarantined}, $quarantined || 0,
       "$name: what is in quarantine");
}


sub is_there {
    my ($redis, $name, %expect) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(join(' ', map { "$_=" . ($redis->cmd('GET', $_) // 'nil') }
                 sort keys %expect),
       join(' ', map { "$_=$expect{$_}" } sort keys %expect),
       "$name: Redis has it");
}


# one after the other, in one outage; the first shows what it has taken over

sub several {
    my ($durability) = @_;

    my $name = "several, durability $durability";
    my $redis = RF::Redis->new(start => 0);
    my $one = api_store($redis, { durability => $durability,
                                  write_interval => '20ms' }, workers => 2);

    written($one, $name, [ INCRBY => 'n', 1 ], [ SET => 'mine', 'one' ],
            [ RPUSH => 'list', 'one' ]);

    for my $i (1 .. 3) {
        my $t = second($redis, $one);

        written($t, $name, [ INCRBY => 'n', 10 ** $i ], [ SET => 'last', $i ],
                [ SET => "only$i", $i ], [ RPUSH => 'list', "x$i" ]);
        goes($t, 4, "$name, $i");
        taken_over($one, "$name, $i");
        is(api($one, GET => "only$i"), $i, "$name: $i is served");
        is(api($one, GET => 'last'), $i, "$name: it is the last");
    }

    # as if nothing had been special about it

    written($one, $name, [ INCRBY => 'n', 5 ], [ SET => 'only2', 'new' ]);
    $redis->start;
    ok($one->wait_normal, "$name: normal");
    is_there($redis, $name, n => 1116, last => 3, mine => 'one', only1 => 1,
             only2 => 'new', only3 => 3);
    is(join(' ', sort @{ $redis->cmd('LRANGE', 'list', 0, -1) }),
       'one x1 x2 x3', "$name: a list");
    settled($one, $name);
    ended($one);
}


# All of the first is killed when the file is there and it has not seen it.
# Then again when it has taken it in, and could not remove it yet: the file is
# put back.

sub killed {
    my ($interval) = @_;

    my $name = "killed, write_interval $interval";
    my $redis = RF::Redis->new(start => 0);
    my $one = api_store($redis, { write_interval => $interval });

    written($one, $name, [ INCRBY => 'both', 5 ], [ SET => 'set', 100 ],
            [ HINCRBY => 'hash', 'n', 5 ], [ SET => 'value', 'old' ]);

    # so that a kill loses nothing of that

    ok($one->nginx->stop, "$name: the first stops");
    $one->nginx->start;

    my $two = second($redis, $one);

    written($two, $name, [ INCRBY => 'both', 70 ], [ INCRBY => 'set', 7 ],
            [ INCRBY => 'only', 3 ], [ HINCRBY => 'hash', 'm', 70 ],
            [ SET => 'value', 'new' ], [ SET => 'alone', 'two' ],
            [ RPUSH => 'list', 'a', 'b' ]);

    freeze($one);
    goes($two, 7, $name);
    my ($file) = $one->handed_over;
    ok($file, "$name: a file");
    is((stat $file)[2] & 07777, 0600, "$name: for its owner only") if $file;
    is((stat $file)[4], (stat $one->nginx->dir . '/app/lock')[4],
       "$name: and that is the workers' user") if $file;
    my $text = RF::slurp($file);

    $one->nginx->kill;
    ok(-e $file, "$name: the first is killed before it sees it");

    $one->nginx->start;
    ok(wait_for(sub { (api($one, GET => 'only') // '') eq 3 }), "$name: taken in");
    ok(wait_for(sub { api($one, GET => 'value') eq 'new' }),
       "$name: the later one");
    ok(wait_for(sub { (api($one, GET => 'alone') // '') eq 'two' }),
       "$name: and what was alone");

    # "both" and "hash" wait until it is known what Redis has of them

    ok(wait_for(sub { -e $file && RF::slurp($file) ne $text
                      && RF::slurp($file) !~ /alone/ }),
       "$name: what is in our journal leaves the file");
    like(RF::slurp($file), qr/both/, "$name: what has to wait does not");

    $one->nginx->kill;
    RF::spew($file, $text);
    chown((stat $one->nginx->dir . '/app/lock')[4, 5], $file);
    $one->nginx->start;
    ok(wait_for(sub { RF::slurp($file) ne $text }), "$name: read once more");
    is(api($one, GET => 'only'), 3, "$name: and nothing is doubled");

    $redis->start;
    settled($one, $name);
    is_there($redis, $name, both => 75, set => 107, only => 3, value => 'new',
             alone => 'two');
    is(join(' ', map { $_ // 'nil' } @{ $redis->cmd('HMGET', 'hash', 'n',
                                                    'm') }),
       '5 70', "$name: a hash");
    is(join(' ', @{ $redis->cmd('LRANGE', 'list', 0, -1) }), 'a b',
       "$name: a list");
    ended($one);
}


# the first keys are in files only, and have to be read first

sub filed {
    my $name = 'filed';
    my $redis = RF::Redis->new(start => 0);
    my $one = api_store($redis, { write_interval => '20ms' });

    written($one, $name, [ INCRBY => 'n', 5 ], [ SET => 'value', 'one' ],
            [ SET => 'base', 100 ]);
    ok($one->nginx->stop, "$name: stops");
    is(scalar(my @files = $one->files), 3, "$name: files");
    $one->only_files;
    $one->nginx->start;

    my $two = second($redis, $one);

    written($two, $name, [ INCRBY => 'n', 70 ], [ SET => 'value', 'two' ],
            [ INCRBY => 'base', 7 ], [ SET => 'other', 'two' ]);
    goes($two, 4, $name);
    ok(wait_for(sub { (api($one, GET => 'other') // '') eq 'two' }),
       "$name: one without a file is taken over at once");

    $redis->start;
    settled($one, $name);
    is_there($redis, $name, n => 75, value => 'two', base => 107,
             other => 'two');
    ended($one);
}


# the first has Redis, and has told it more since

sub normal {
    my $name = 'in normal mode';
    my $redis = shared_redis();
    my $two_too = { user => 'default', password => 'any' };
    my $one = api_store($redis, $two_too);
    my $two = second($redis, $one);

    cut_off($redis, $two);
    written($two, $name, [ SET => 'value', 'older' ], [ INCRBY => 'n', 5 ],
            [ SET => 'late', 'one' ], [ INCRBY => 'reset', 5 ]);

    my $ms = int(now() * 1000);
    ok(wait_for(sub { int(now() * 1000) > $ms + 1 }), "$name: later");

    written($one, $name, [ SET => 'value', 'newer' ], [ INCRBY => 'n', 70 ],
            [ SET => 'reset', 1 ]);

    $ms = int(now() * 1000);
    ok(wait_for(sub { int(now() * 1000) > $ms + 1 }), "$name: later");
    written($two, $name, [ APPEND => 'late', 'r' ]);

    is($one->mode, 'normal', "$name: the first");
    goes($two, 4, $name);
    settled($one, $name);
    is_there($redis, $name, value => 'newer', n => 75, late => 'oner',
             reset => 1);
    ended($one);
}


# what is damaged is set aside, what is whole of it is used

sub damaged {
    my $name = 'damaged';
    my $redis = RF::Redis->new(start => 0);
    my $one = api_store($redis, { write_interval => '20ms' });
    my $two = second($redis, $one);

    written($two, $name, map { [ SET => "key$_", $_ ] } 1 .. 5);
    freeze($one);
    goes($two, 5, $name);

    my ($file) = $one->handed_over;
    my $text = RF::slurp($file);
    $text =~ s/"data":"3"/"data":"4"/ or fail("$name: $text");
    open my $fh, '+<', $file or die;
    print $fh $text;
    close $fh;

    # names of the right form that are no files

    my $dir = $one->nginx->dir . '/app/0/handover';
    mkdir "$dir/0000000000000001-00000001.log";
    chown((stat $dir)[4, 5], "$dir/0000000000000001-00000001.log");
    symlink '/etc/passwd', "$dir/0000000000000002-00000001.log";
    RF::spew("$dir/note", 'text');

    thaw($one);
    ok(wait_for(sub { join(' ', $one->handed_over) eq "$dir/note" }),
       "$name: all is dealt with");

    is(join(' ', map { my $value = api($one, GET => "key$_");
                       $value // 'nil' } 1 .. 5), '1 2 nil 4 5',
       "$name: the others are there");
    my @aside = map { s{.*/}{}r } glob($one->nginx->dir
                                       . '/app/quarantine/handover-*');
    is(scalar @aside, 3, "$name: in quarantine") or diag("@aside");
    like($one->nginx->log, qr/\[crit\] .*handover.*damaged/,
         "$name: and in the log");

    unlink "$dir/note";
    $redis->start;
    settled($one, $name, 3);
    is_there($redis, $name, key1 => 1, key2 => 2, key3 => 'nil', key4 => 4,
             key5 => 5);
    ended($one);
}


# the worker that takes it over dies, at some point of that; the zone stays

sub leader_killed {
    my $name = 'leader killed';
    my $redis = RF::Redis->new(start => 0);
    my $one = api_store($redis, { write_interval => '20ms' }, workers => 2);
    my $sum = 1;

    written($one, $name, [ INCRBY => 'n', 1 ]);

    for my $round (1 .. 4) {
        my $two = second($redis, $one);
        my @workers = $one->nginx->workers;

        written($two, $name, [ INCRBY => 'n', 10 ** $round ],
                map { [ INCRBY => "key$_", 1 ] } 1 .. 300);
        freeze($one);
        goes($two, 301, "$name, $round");

        # while it waits, reads, merges: as it happens

        thaw($one);
        wait_for(sub { $one->nginx->log
                       =~ /(?:took over \d+ keys.*?){$round}/s }, 0.05 * $round);
        kill 'KILL', @workers;
        ok(wait_for(sub { my @now = $one->nginx->workers;
                          @now == 2 && !grep { my $pid = $_;
                                               grep { $_ == $pid } @workers }
                                            @now }), "$name: other workers");
        taken_over($one, "$name, $round");
        $sum += 10 ** $round;
    }

    $redis->start;
    settled($one, $name);
    is_there($redis, $name, n => $sum, map { ("key$_" => 4) } 1 .. 300);
    ok($one->nginx->stop, "$name: stops");
    $one->nginx->check_logs(allow => [ qr/exited on signal 9/,
        qr/died while changing the zone .* 0 entries unreadable/ ]);
}


# nobody has the path when the next one starts; there is more than one batch

sub later_start {
    my $name = 'a start';
    my $redis = RF::Redis->new(start => 0);
    my $one = api_store($redis, {}, workers => 2);
    my $two = second($redis, $one);

    written($one, $name, [ INCRBY => 'n', 1 ]);
    written($two, $name, [ INCRBY => 'n', 2 ],
            map { [ SET => "key$_", "value $_" ] } 1 .. 700);
    freeze($one);
    goes($two, 701, $name);
    thaw($one);
    $one->nginx->kill;

    $redis->start;
    $one->nginx->start;
    settled($one, $name);
    is_there($redis, $name, map { ("key$_" => "value $_") } 1 .. 700);
    ended($one);
}


several('memory');
several('disk');
killed('20ms');
killed('1h');
filed();
normal();
damaged();
leader_killed();
later_start();

done_testing;
