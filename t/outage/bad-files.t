# Files that are no records are set aside, named in the log and never removed;
# all others are recovered, and the store becomes normal.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

use Digest::MD5 'md5_hex';


sub file_of {
    my ($key) = @_;

    my $hex = md5_hex($key);

    return join('/', $hex =~ /^(..)(..)(..)/, $hex) . '.json';
}


# a file below {path}/0, as the worker would have written it

sub plant {
    my ($t, $name, $text) = @_;

    my $at = $t->nginx->dir . '/app/0';
    my @parts = split m{/}, $name;
    my $last = pop @parts;
    my @mine;

    for (@parts) {
        $at .= "/$_";
        push @mine, $at if mkdir $at, 0700;
    }

    RF::spew("$at/$last", $text);
    chmod 0600, "$at/$last";
    push @mine, "$at/$last";

    chown((getpwnam RF::worker_user())[2, 3], @mine) if is_root();

    return "$at/$last";
}


sub record {
    my ($key, %more) = @_;

    return JSON::PP::encode_json({
        key => $key, data => "value of $key", type => 'string',
        timestamp => int(now()), %more
    });
}


# { key => contents of its file }, none of which is a record

sub bad {
    my $half = record('torn');

    return (
        torn    => substr($half, 0, length($half) / 2),
        empty   => '',
        blanks  => "  \n",
        zeros   => "\0" x 4096,
        text    => "This is not JSON.\n",
        array   => '["key", "array"]',
        number  => '42',
        double  => record('double') . record('double'),
        nokey   => '{"data":"x","type":"string","timestamp":1}',
        notype  => '{"key":"notype","data":"x","timestamp":1}',
        nodata  => '{"key":"nodata","type":"string","timestamp":1}',
        badtype => record('badtype', type => 17),
        version => record('version', version => 'none'),
        since   => record('since', timestamp => 'yesterday'),
        ttl     => record('ttl', ttl => 'short'),
        expire  => record('expire', ttl => 5, expire_ms => 'soon'),
        another => record('somebody else'),
        nested  => '[' x 100000,
        binary  => join('', map { chr } 0 .. 255) x 16,
        huge    => record('huge', data => 'x' x 1000000) . ' ' x 3000000 . '!',
    );
}


sub quarantined {
    my ($t) = @_;

    my $dir = $t->nginx->dir . '/app/quarantine';

    return map { s{.*/}{}r } glob "$dir/*";
}


# files are found at start and in the end all is normal

sub at_start {
    my ($workers) = @_;

    my $name = "$workers workers";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis);
    my %expect = map { ("key$_" => "value $_") } 1 .. 30;
    my (%bad, %file);

    for my $key (sort keys %expect) {
        $t->put($key, $expect{$key})->{status} == 204 or fail("$name: $key");
    }

    ok($t->nginx->stop, "$name: stops");

    %bad = bad();
    $file{$_} = plant($t, file_of($_), $bad{$_}) for keys %bad;

    # of other things than records: left alone

    my %other = map { ($_ => plant($t, $_, 'what is it')) }
                ('README', 'ab/cd/notes.txt', 'zz/thing', '12/34/56/x.json');
    my $wrong = plant($t, 'ff/ff/ff/' . md5_hex('misplaced') . '.json',
                      record('misplaced'));

    # a symlink is nothing that we made

    my $outside = $t->nginx->dir . '/outside';
    my $linked = record('link');
    RF::spew($outside, $linked);
    my $link = plant($t, file_of('link'), '');
    unlink $link;
    symlink $outside, $link or die;

    # temp files of a process that was killed, and a record of Go's

    my $temp = plant($t, 'tmp/999999999-1-x.json', '{"key"');
    utime now() - 86400, now() - 86400, $temp;
    plant($t, file_of('go'), record('go', type => 'string'));
    $expect{go} = 'value of go';

    # read before anything was recovered

    my $log = length $t->nginx->log;
    $t->nginx->start;
    is($t->get('torn')->{status}, 404, "$name: a torn file is no value");
    is($t->get('key1')->{body}, 'value 1', "$name: a record is");
    is($t->get('go')->{body}, 'value of go', "$name: so is a foreign one");
    ok((grep { /${\md5_hex('torn')}/ } quarantined($t)),
       "$name: what was asked for is in quarantine at once");

    # written anew where a bad file is

    is($t->put('empty', 'full')->{status}, 204, "$name: written anew");
    is($t->get('empty')->{body}, 'full', "$name: and read");
    $expect{empty} = 'full';

    $redis->start;
    ok($t->wait_normal(15), "$name: normal") or diag(explain($t->status));
    is($t->status->{pending}, 0, "$name: nothing is pending");
    holds($redis, \%expect, $name);

    $log = substr $t->nginx->log, $log;
    my @set_aside = quarantined($t);

    for my $key (sort keys %bad) {
        my $hex = md5_hex($key);
        my ($found) = grep { /$hex/ } @set_aside;

        # the one that was written over in time is gone with its contents:
        # the key's own new record took its place

        next if $key eq 'empty' && !defined $found;

        ok(defined $found, "$name: $key is in quarantine")
            or next;
        ok(RF::slurp($t->nginx->dir . "/app/quarantine/$found") eq $bad{$key},
           "$name: $key is as it was");
        like($log, qr/\[crit\] [^\n]*$hex/, "$name: $key is in the log");
        ok(!-e $file{$key}, "$name: $key is not where it was");
    }

    ok($t->status->{files}{quarantined} >= keys(%bad) - 1,
       "$name: they are counted");

    for my $what (sort keys %other) {
        is(RF::slurp($other{$what}), 'what is it', "$name: $what stays");
    }

    ok(-e $wrong, "$name: a record in the wrong place stays");
    my $hex = md5_hex('misplaced');
    like($log, qr/\[crit\] [^\n]*$hex\.json": in the wrong directory/,
         "$name: and is in the log");
    ok(!-e $temp, "$name: an old temp file is gone");
    is(RF::slurp($outside), $linked, "$name: what a link leads to stays");
    is($redis->cmd('GET', 'link'), undef, "$name: which was not followed");

    # nothing of it comes up again

    ok($t->nginx->stop, "$name: stops");
    my $n = @set_aside;
    $redis->cmd('SET', 'key1', 'newer');
    $t->nginx->start;
    ok($t->wait_normal, "$name: normal after a restart");
    is(scalar(my @now = quarantined($t)), $n, "$name: no more in quarantine");
    is($t->get('key1')->{body}, 'newer', "$name: nothing is replayed twice");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# a file that we may not read may be a record: it is reported, and nothing ends
# before somebody has looked

sub unreadable {
    my ($workers) = @_;

    my $name = "$workers workers, unreadable";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis);
    my %expect = map { ("key$_" => "value $_") } 1 .. 10;

    $t->put($_, $expect{$_}) for sort keys %expect;
    ok($t->nginx->stop, "$name: stops");

    $t->only_files;

    my $file = $t->nginx->dir . '/app/0/' . file_of('key3');
    my @st = stat $file;
    chmod 0000, $file;

    $t->nginx->start;
    is($t->get('key4')->{body}, 'value 4', "$name: others are read");
    is($t->get('key3')->{status}, 500, "$name: that one is not");
    like($t->nginx->log,
         qr/\[error\] [^\n]*could not read a record[^\n]*Permission denied/,
         "$name: the log says why");

    $redis->start;
    my %others = %expect;
    delete $others{key3};
    ok(wait_for(sub { !differences($redis, \%others) }),
       "$name: others are recovered");
    ok(wait_for(sub { $t->nginx->log =~ /\[crit\] [^\n]*${\md5_hex('key3')}/ }),
       "$name: the log names it");
    is($t->mode, 'recovering', "$name: but that is not the end");
    ok(-e $file, "$name: it stays");
    is((stat $file)[7], $st[7], "$name: as it was");

    is($t->put('other', 'x')->{status}, 204, "$name: others are written");
    is($redis->cmd('GET', 'other'), 'x', "$name: to Redis");
    $expect{other} = 'x';

    chmod 0600, $file;
    ok($t->wait_normal, "$name: normal when it can be read");
    holds($redis, \%expect, $name);

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# a spilled key's file is damaged while nginx runs

sub damaged {
    my ($workers) = @_;

    my $name = "$workers workers, damaged";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { zone => '1m', write_interval => '20ms',
                                   timeout => '3s' });
    my $value = 'x' x 1500;

    # more than memory holds, so that the first keys leave it

    for my $i (1 .. 600) {
        my $res = $t->put("key$i", "$i $value");
        fail("$name: key$i: $res->{status}") if $res->{status} != 204;
    }

    ok(wait_for(sub { my @files = $t->files; @files == 600 }),
       "$name: all are on disk");
    my $file = $t->nginx->dir . '/app/0/' . file_of('key2');
    my $torn = substr RF::slurp($file), 0, 700;
    truncate $file, 700;

    is($t->get('key1')->{body}, "1 $value", "$name: another is read");
    is($t->get('key1')->{tier}, 'memory', "$name: then from memory");
    is($t->get('key2')->{status}, 404, "$name: that one is not");
    my ($found) = grep { /${\md5_hex('key2')}/ } quarantined($t);
    ok(defined $found, "$name: it is in quarantine");
    is(RF::slurp($t->nginx->dir . '/app/quarantine/' . ($found || '')), $torn,
       "$name: as it was");
    like($t->nginx->log, qr/\[crit\] [^\n]*${\md5_hex('key2')}/,
         "$name: and in the log");

    $redis->start;
    my %expect = map { ("key$_" => "$_ $value") } 1, 3 .. 600;
    $t->recovered(\%expect, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


# without a mark nobody knows which files are garbage: none is read before it is
# mended, which needs no restart

sub marked {
    my ($workers) = @_;

    my $name = "$workers workers, a damaged mark";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis);
    my $mark = $t->nginx->dir . '/app/0/mark';

    $t->put('key', 'value');
    ok($t->nginx->stop, "$name: stops");

    RF::spew($mark, "nonsense\n");
    $t->nginx->start;
    is($t->get('key')->{status}, 404, "$name: nothing is read");
    like($t->nginx->log, qr/\[crit\] [^\n]*could not read its mark, going on (?#
                            )without files, "\Q$mark\E": not a number$/m,
         "$name: the log says why");

    RF::spew($mark, "0\n");
    ok(wait_for(sub { ($t->get('key')->{body} // '') eq 'value' }),
       "$name: all is read when it is mended");

    $redis->start;
    $t->recovered({ key => 'value' }, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    at_start($workers);
    marked($workers);
    unreadable($workers) unless is_root() && RF::worker_user() eq 'root';
    damaged($workers);
}

done_testing;
