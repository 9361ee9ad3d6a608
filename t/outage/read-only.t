# Paths that refuse: read-only, not ours, with something else in the place of
# what belongs there, or reached through symlinks.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

use Digest::MD5 'md5_hex';


sub dirs_of {
    my ($key) = @_;

    return md5_hex($key) =~ /^(..)(..)(..)/;
}


sub file_of {
    my ($key) = @_;

    return join('/', dirs_of($key), md5_hex($key)) . '.json';
}


sub make_dirs {
    my ($at, @names) = @_;

    for my $name (@names) {
        $at .= "/$name";
        mkdir $at;
        chown((getpwnam RF::worker_user())[2, 3], $at) if is_root();
    }

    return $at;
}


sub crits {
    my ($t) = @_;

    return scalar(() = $t->nginx->log =~ /\[crit\]/g);
}


# the directories may not be written for a while (a filesystem with an open
# file cannot be made read-only)

sub chmodded {
    my ($workers, $durability) = @_;

    my $name = "$workers workers, chmod, $durability";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { durability     => $durability,
                                   write_interval => '50ms' });
    my $dir = $t->nginx->dir . '/app';
    my %expect = (old => 'one', other => 'two');

    $t->put($_, $expect{$_})->{status} == 204 or fail($_) for keys %expect;
    ok(wait_for(sub { record_files($dir) == 2 }), "$name: files");

    chmod 0500, "$dir/0/tmp", "$dir/0", glob "$dir/0/??";

    # the journal's segment is open: what is acknowledged is in there

    for my $i (1 .. 3) {
        is($t->put("new$i", 'x')->{status}, 204, "$name: a write");
        $expect{"new$i"} = 'x';
    }

    ok(wait_for(sub { $t->nginx->log
                      =~ /\[crit\] .*Permission denied/ }),
       "$name: the log says it");
    is($t->get('old')->{body}, 'one', "$name: read");

    my $errors = $t->status->{files}{errors};
    $t->put('again', 'x');
    $expect{again} = 'x';
    ok(wait_for(sub { $t->status->{files}{errors} > $errors }),
       "$name: tried again");

    is(crits($t), 1, "$name: one line");

    chmod 0700, "$dir/0/tmp", "$dir/0", glob "$dir/0/??";

    ok(wait_for(sub { $t->put('last', 'y')->{status} == 204 }),
       "$name: written again");
    $expect{last} = 'y';
    ok(wait_for(sub { $t->nginx->log =~ /works again/ }),
       "$name: the log says so");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->start;
    is($t->get($_)->{body}, $expect{$_}, "$name: $_ after a restart")
        for sort keys %expect;

    $redis->start;
    ok($t->wait_normal, "$name: normal");
    my @bad = differences($redis, \%expect);
    is("@bad", '', "$name: Redis has it all");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# start on a path that cannot be made, or not be written

sub start_refused {
    my $name = 'start';
    my $dir = tmpfs('4m');
    my $redis = RF::Redis->new(start => 0);

    system('mount', '-o', 'remount,ro', $dir) == 0 or die "remount\n";

    my $t = Outage->new(redis => $redis, start => 0,
                        store => { path => "$dir/app" });
    my ($code, $out) = $t->nginx->test;

    isnt($code, 0, "$name: nginx -t refuses");
    like($out, qr/\[emerg\] .*could not make its directory.*Read-only/,
         "$name: and says why");

    RF::spew("$t->{nginx}{dir}/file", 'not a directory');
    $t->configure(path => '%%DIR%%/file');
    ($code, $out) = $t->nginx->test;
    isnt($code, 0, "$name: a file is no path");
    like($out, qr/\[emerg\] .*Not a directory/, "$name: and says so");

    # a reload to such a path goes on with what was

    $t->configure(path => '%%DIR%%/app');
    $t->nginx->start;
    is($t->put('a', 'one')->{status}, 204, "$name: a write");
    $t->configure(path => "$dir/app");
    ok(!$t->nginx->reload, "$name: the reload is refused");
    is($t->get('a')->{body}, 'one', "$name: all is as before");
    is($t->put('a', 'two')->{status}, 204, "$name: and is written");
    ok($t->nginx->stop, "$name: stops");
    is(scalar(my @files = $t->files), 1, "$name: to the old path");
    $t->nginx->check_logs(allow => qr/could not make its directory/);
}


# something else is where a key's file belongs: only that key is concerned

sub in_the_way {
    my ($workers) = @_;

    my $name = "$workers workers, in the way";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { write_interval => '50ms' });
    my $base = $t->nginx->dir . '/app/0';
    my %expect = map { ("key$_" => "value $_") } 1 .. 20;
    my $elsewhere = tempdir('elsewhere');

    chmod 0777, $elsewhere;

    # a directory, empty and not; a symlink to a file, to a directory; a file
    # in the place of a directory

    make_dirs($base, dirs_of('key1'));
    mkdir "$base/" . file_of('key1');

    make_dirs($base, dirs_of('key2'), md5_hex('key2') . '.json', 'inner');

    make_dirs($base, dirs_of('key3'));
    RF::spew("$elsewhere/target", 'as it was');
    chmod 0666, "$elsewhere/target";
    symlink "$elsewhere/target", "$base/" . file_of('key3');

    my ($one, $two) = dirs_of('key4');
    make_dirs($base, $one);
    symlink $elsewhere, "$base/$one/$two";

    ($one) = dirs_of('key5');
    die "choose another key\n" if -e "$base/$one";
    RF::spew("$base/$one", 'a file');

    for my $key (sort keys %expect) {
        is($t->put($key, $expect{$key})->{status}, 204, "$name: $key")
            if $key =~ /^key[1-5]$/;
        $t->put($key, $expect{$key});
    }

    ok(wait_for(sub { my @files = $t->files; return @files >= 15 }),
       "$name: the others have files")
        or diag(join ' ', $t->files);
    ok(wait_for(sub { $t->nginx->log
                      =~ /\[crit\] .*could not write a pending record/ }),
       "$name: the log says it");
    unlike($t->nginx->log, qr/could not write pending records/,
           "$name: the disk is well");
    is(RF::slurp("$elsewhere/target"), 'as it was',
       "$name: nothing was written through a symlink to a file");
    is(join(' ', grep { !m{/target$} } glob "$elsewhere/*"), '',
       "$name: nor to a directory");

    is(join(' ', grep { $t->get($_)->{body} ne $expect{$_} } sort keys %expect),
       '', "$name: all is read");
    ok(-d "$base/" . file_of('key1'), "$name: the directory is still there");

    $redis->start;
    $t->wait_normal(15) or diag(explain($t->status));
    is($t->mode, 'normal', "$name: normal");
    holds($redis, \%expect, $name);
    ok(-d "$base/" . file_of('key2') . '/inner',
       "$name: what is not ours is still there");
    is(RF::slurp("$elsewhere/target"), 'as it was',
       "$name: also behind a symlink");

    # and a start meets them, too

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->start;
    ok($t->wait_normal(15), "$name: normal after a restart")
        or diag(explain($t->status));
    is($t->get('key1')->{body}, 'value 1', "$name: read");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# of tmp and mark

sub special {
    my ($workers) = @_;

    my $name = "$workers workers, tmp and mark";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { write_interval => '50ms' });
    my $base = $t->nginx->dir . '/app/0';

    rmdir "$base/tmp" or die "tmp: $!\n";
    RF::spew("$base/tmp", 'a file');
    unlink "$base/mark";
    mkdir "$base/mark" or die "mark: $!\n";

    is($t->put('a', 'one')->{status}, 204, "$name: a write");
    ok(wait_for(sub { $t->nginx->log =~ /\[crit\] .*tmp/ }),
       "$name: the log says it");
    is($t->get('a')->{body}, 'one', "$name: read");

    unlink "$base/tmp";
    ok(wait_for(sub { my @now = $t->files; @now == 1 }),
       "$name: made again when it is gone");

    # without a mark no recovery ends

    $redis->start;
    ok(wait_for(sub { $t->nginx->log =~ /could not write the mark/ }),
       "$name: the log says that there is no mark");
    is($t->mode, 'recovering', "$name: still recovering");
    is($t->get('a')->{body}, 'one', "$name: read");
    is($t->put('b', 'two')->{status}, 204, "$name: written");
    is($redis->cmd('GET', 'b'), 'two', "$name: to Redis");

    rmdir "$base/mark" or die "mark: $!\n";
    $t->recovered({ a => 'one', b => 'two' }, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# the directories' owner is the operator: path itself may be a symlink

sub linked {
    my ($workers) = @_;

    my $name = "$workers workers, symlink";
    my $redis = RF::Redis->new(start => 0);
    my $real = tempdir('real');
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0);

    mkdir "$real/store";
    symlink "$real/store", $t->nginx->dir . '/app';
    my ($code, $out) = $t->nginx->test;
    is($code, 0, "$name: nginx -t") or diag($out);
    $t->nginx->start;
    is($t->put('a', 'one')->{status}, 204, "$name: a write");
    ok($t->nginx->stop, "$name: stops");
    is(scalar(my @files = record_files("$real/store")), 1, "$name: a file");
    $t->nginx->start;
    is($t->get('a')->{body}, 'one', "$name: read");
    $redis->start;
    $t->recovered({ a => 'one' }, $name);
    ok($t->nginx->stop, "$name: stops");

    # below it none is followed

    my $away = tempdir('away');
    chmod 0777, $away;
    RF::spew("$away/kept", 'as it was');
    rename "$real/store/0", "$real/zero";
    symlink $away, "$real/store/0";
    ($code, $out) = $t->nginx->test;
    isnt($code, 0, "$name: a symlink below the path is refused");
    like($out, qr/\[emerg\] .*redis_fallback store "app"/, "$name: and said");
    is(join(' ', map { s{.*/}{}r } glob "$away/*"), 'kept',
       "$name: nothing was made behind it");
    my @st = stat "$away/kept";
    is($st[4], $>, "$name: nor given away");

    $t->nginx->check_logs(allow => qr/could not make its directory/);
}


for my $workers (1, 4) {
    chmodded($workers, $_) for qw(memory disk);
    in_the_way($workers);
    special($workers);
    linked($workers);
}

SKIP: {
    skip 'needs root', 1 unless is_root();
    start_refused();
}

done_testing;
