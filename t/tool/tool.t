# redis-fallback-files with paths made by hand, each of its commands.

use strict;
use warnings;

use lib 't/lib', 't/tool';
use RF;
use Path;

use Digest::MD5 'md5_hex';
use JSON::PP 'decode_json';

my $M = 1_700_000_000_000_000;          # versions
my $now = int(now() * 1000);


sub tool { return Path::run(@_) }


# lines of list as { key => [type, kind, version, time, expiry, where, db] }

sub listed {
    my ($out) = @_;
    return { map { my ($key, @rest) = split /\t/; $key => \@rest }
             split /\n/, $out };
}


subtest 'the command line' => sub {
    my ($code, $out, $err) = tool('--help');
    is($code, 0, '--help');
    like($out, qr/^usage: /, 'goes to the standard output');
    like($out, qr/readmit/, 'and names the commands');

    ($code, $out) = tool('--version');
    is($code, 0, '--version');
    like($out, qr/^redis-fallback-files \d+\.\d+\.\d+$/, 'says it');

    my $path = Path->new;
    my $dir = $path->dir;

    for my $args ([], ['frobnicate', $dir], ['list'], ['list', $dir, 'x'],
                  ['--nope', 'list', $dir], ['export', $dir],
                  ['export', '--json', '--redis', $dir], ['show', $dir],
                  ['-d', 'x', 'list', $dir], ['-l', '2:2', 'list', $dir],
                  ['-l', '20:20:2', 'list', $dir], ['quarantine', $dir],
                  ['readmit', $dir], ['readmit', '--all', $dir, 'x'],
                  ['list', ''], ['-e', 'show', $dir, '\\y'])
    {
        ($code, $out, $err) = tool(@$args);
        is($code, 2, "usage: @$args");
        is($out, '', 'nothing else');
        like($err, qr/^redis-fallback-files: /, 'says what');
    }

    ($code, undef, $err) = tool('list', "$dir/none");
    is($code, 3, 'a path that is not there');
    like($err, qr/No such file/, 'says so');

    is((tool('-d', 7, 'list', $dir))[0], 3, 'a database that is not there');
    is((tool('list', "$dir/"))[0], 0, 'an empty path');

    SKIP: {
        skip 'no /dev/full', 1 unless -c '/dev/full';
        system('sh', '-c', 'exec "$0" --help > /dev/full 2> /dev/null',
               Path::tool());
        is($? >> 8, 3, 'a full disk is told');
    }
};


# a path with everything in it

my $path = Path->new;
my $dir = $path->dir;
my $ms = $now + 3_600_000;
my $binary = "bin\0\xff\n";

$path->put('0/mark', $M . "\n");

$path->file('text', version => $M + 1, data => 'hello');
$path->file('expires', version => $M + 2, data => 'soon', expire => $ms);
$path->file('expired', version => $M + 3, data => 'late', expire => 1000);
$path->file('hash', version => $M + 4, type => 'hash',
            data => { a => '1', b => '2' });
$path->file('list', version => $M + 5, type => 'list', data => [qw(x y x)]);
$path->file('set', version => $M + 6, type => 'set', data => [qw(p q)]);
$path->file('zset', version => $M + 7, type => 'zset',
            data => [['m', 1.5], ['n', '-inf'], ['o', '0.10000000000000001']]);
$path->file('gone', version => $M + 8, type => 'none');
$path->file('counter', version => $M + 9, data => '46', pending => 'delta',
            changes => [['INCRBY', '5']], id => 'abc', sent => 1);
$path->file($binary, version => $M + 10, bytes => "\0\1\r\n\xff");
$path->file("tab\tnew\nline \e[31m\\", version => $M + 11, data => 'x');
$path->file("schl\xc3\xbcssel", version => $M + 12, data => 'x');

# garbage, and files that are not what counts

$path->file('below', version => $M, data => 'x');
$path->file('acked', version => $M + 20, data => 'x');
$path->file('older', version => $M + 21, data => 'x');
$path->file('both', version => $M + 31, data => 'both',
            base_digest => 'ab' x 20);
$path->file('foreign', data => 'f');

$path->segment(1, 1, Path::batch(Path::rec('base', version => $M + 99,
                                           data => 'x')));
$path->segment(2, 2, Path::batch(
    Path::rec('older', version => $M + 30, data => 'newest'),
    Path::rec('both', version => $M + 31, data => 'both'),
    Path::rec('below2', version => $M - 5, data => 'x'),
    Path::ack('acked', $M + 20)),
    Path::batch(Path::rec('journaled', version => $M + 40, type => 'list',
                          data => [qw(a)], pending => 'delta',
                          changes => [[qw(RPUSH a)], [qw(LPUSH b)]])));
$path->segment(3, 2, Path::batch(
    Path::rec('older', version => $M + 29, data => 'x'),
    Path::rec('acked3', version => $M + 41, data => 'x'),
    Path::rec('again', version => $M + 43, data => 'again'),
    Path::ack('acked3', $M + 41), Path::ack('again', $M + 42),
    Path::ack('nobody', $M + 44)),
    Path::rec('torn', version => $M + 50, data => 'x'));

my $before = $path->tree;

my %expect = (
    'text'       => ['string', 'replace', 1, 'file'],
    'expires'    => ['string', 'replace', 2, 'file'],
    'expired'    => ['string', 'replace', 3, 'file'],
    'hash'       => ['hash', 'replace', 4, 'file'],
    'list'       => ['list', 'replace', 5, 'file'],
    'set'        => ['set', 'replace', 6, 'file'],
    'zset'       => ['zset', 'replace', 7, 'file'],
    'gone'       => ['none', 'tombstone', 8, 'file'],
    'counter'    => ['string', 'delta', 9, 'file'],
    'bin\x00\xff\x0a' => ['string', 'replace', 10, 'file'],
    'tab\x09new\x0aline \x1b[31m\\\\' => ['string', 'replace', 11, 'file'],
    'schl\xc3\xbcssel' => ['string', 'replace', 12, 'file'],
    'older'      => ['string', 'replace', 30, 'journal'],
    'both'       => ['string', 'replace', 31, 'both'],
    'journaled'  => ['list', 'delta', 40, 'journal'],
    'again'      => ['string', 'replace', 43, 'journal'],
    'foreign'    => ['string', 'replace', undef, 'file'],
);


subtest 'list' => sub {
    my ($code, $out, $err) = tool('list', $dir);

    is($code, 0, 'exit code');
    is($err, '', 'nothing to say');

    my $list = listed($out);

    is_deeply([sort keys %$list], [sort keys %expect], 'the keys');
    is(scalar(split /\n/, $out), scalar(keys %expect), 'each once');

    for my $key (sort keys %expect) {
        my ($type, $kind, $version, $where) = @{ $expect{$key} };
        my $got = $list->{$key} || [];

        is_deeply([@$got[0 .. 2, 5, 6]],
                  [$type, $kind, defined $version ? $M + $version : 0, $where,
                   0], $key);
    }

    is($list->{text}[3], '2023-11-14T22:13:20.123Z', 'the time');
    is($list->{text}[4], '-', 'no expiry');
    is($list->{expired}[4], '1970-01-01T00:00:01.000Z', 'an expiry');

    ($code, $out) = tool('list', '--json', $dir);
    is($code, 0, '--json');

    my %json = map { $_->{key} // $_->{key_base64} => $_ }
               map { decode_json($_) } split /\n/, $out;

    is(scalar(keys %json), scalar(keys %expect), 'as many');
    is($json{older}{version}, $M + 30, 'a version');
    is($json{older}{where}, 'journal', 'a place');
    is($json{'YmluAP8K'}{type}, 'string', 'a key that is no text');
    is($json{"schl\xfcssel"}{changed_ms}, 1700000000123, 'one that is');
    is($json{expires}{expire_ms}, $ms, 'an expiry');
};


subtest 'show' => sub {
    my ($code, $out, $err) = tool('show', $dir, 'older');
    is($code, 0, 'exit code');

    my $show = decode_json($out);

    is($show->{key}, 'older', 'the key');
    is($show->{pending}, JSON::PP::true, 'is pending');
    is_deeply([map { "$_->{where}: $_->{status}: $_->{record}{version}" }
               @{ $show->{copies} }],
              ['0/journal/0000000000000002.log: counts: ' . ($M + 30),
               '0/journal/0000000000000003.log: garbage: there is a newer '
               . 'copy, or the same: ' . ($M + 29),
               '0/' . $path->place('older') . ': garbage: there is a newer '
               . 'copy, or the same: ' . ($M + 21)], 'copies');

    ($code, $out) = tool('show', $dir, 'acked');
    $show = decode_json($out);
    is($show->{pending}, JSON::PP::false, 'not pending');
    is($show->{copies}[0]{status}, 'garbage: acknowledged', 'acknowledged');
    is_deeply($show->{acknowledgements},
              [{ version => $M + 20, segment => '0000000000000002.log' }],
              'where');

    ($code, $out) = tool('show', $dir, 'base');
    $show = decode_json($out);
    is($show->{pending}, JSON::PP::false, 'below the base');
    like($show->{copies}[0]{status}, qr/below the base/, 'says so');

    ($code, $out) = tool('show', $dir, 'both');
    is(join(' ', map { $_->{record}{base_digest} // () }
                 @{ decode_json($out)->{copies} }), 'ab' x 20, 'the base');

    ($code, $out) = tool('show', $dir, 'below');
    like(decode_json($out)->{copies}[0]{status}, qr/not above the mark/,
         'below the mark');

    ($code, $out) = tool('-e', 'show', $dir, 'bin\\x00\\xff\\x0a');
    is($code, 0, 'a key that is no text');
    is(decode_json($out)->{copies}[0]{record}{data_base64}, 'AAENCv8=',
       'its value');

    ($code, $out, $err) = tool('show', $dir, 'no such key');
    is($code, 1, 'nothing');
    is($out, '', 'of that');
    like($err, qr/nothing of this key/, 'is said');

    is((tool('show', $dir, 'torn'))[0], 1, 'what was torn is not there');
};


subtest 'what is handed over' => sub {
    my $p = Path->new;

    $p->file('n', version => $M + 9, pending => 'delta',
             changes => [['INCRBY', '5']]);
    $p->file('newer', version => $M + 9, data => 'file');
    $p->file('older', version => $M + 9, data => 'file');
    $p->put("0/handover/00000000000000$_-0000000a.log",
            Path::batch(Path::rec('n', version => $M + $_, pending => 'delta',
                                  changes => [['INCRBY', '70']], id => 'abc',
                                  sent => 0),
                        Path::rec('newer', version => $M + 1, data => 'no'),
                        Path::rec('older', version => $M + $_,
                                  data => "handed $_")))
        for 10, 11;
    my $tree = $p->tree;

    my ($code, $out) = tool('list', $p->dir);
    is($code, 0, 'exit code');
    my @lines = map { my @f = split /\t/; "$f[0]:$f[6]" } split /\n/, $out;
    is(join(' ', sort(splice @lines, 0, 3), @lines),
       'n:file newer:file older:file n:handover older:handover '
       . 'n:handover older:handover', 'listed where it counts');

    ($code, $out) = tool('count', '--json', $p->dir);
    my $db = decode_json($out)->{databases}{0};
    is_deeply($db->{handover}, { files => 2, damaged => 0, records => 6 },
              'counted');
    is($db->{pending}{keys}, 3, 'beside what else is pending');

    ($code, $out) = tool('export', '--redis', $p->dir);
    is(scalar(() = $out =~ /INCRBY/g), 3, 'exported');
    like($out, qr/handed 11/, 'the last of them');
    unlike($out, qr/\bno\b/, 'and none that is older');

    ($code, $out) = tool('verify', $p->dir);
    is($code, 0, 'verified');
    like($out, qr/, 2 handed over, .*damage 0, notes \d+$/, 'and counted');
    is($p->tree, $tree, 'all is left as it is');
};


subtest 'count' => sub {
    my ($code, $out, $err) = tool('count', '--json', $dir);
    is($code, 0, 'exit code');

    my $count = decode_json($out);
    my $db = $count->{databases}{0};

    is_deeply($db->{pending}, {
        keys => 17, string => 11, hash => 1, list => 2, set => 1, zset => 1,
        none => 1, replace => 14, delta => 2, tombstone => 1,
        perhaps_sent => 1, expired => 1, in_file => 14, in_journal => 4 },
        'pending');
    is_deeply($db->{files}, { all => 17, below_mark => 1, acknowledged => 1,
        older => 1, no_records => 0 }, 'files');

    my $bytes = 0;
    $bytes += -s for glob "$dir/0/journal/*";

    is_deeply($db->{journal}, { segments => 3, below_base => 1, torn => 1,
        damaged => 0, bytes => $bytes, records => 7, acknowledgements => 4 },
        'journal');
    is($count->{quarantined}, 0, 'quarantine');

    ($code, $out) = tool('count', $dir);
    like($out, qr/^database 0\n    pending  keys +17\n/, 'as text');
};


subtest 'export' => sub {
    my ($code, $out, $err) = tool('export', '--json', $dir);
    is($code, 0, 'exit code');

    my @records = map { decode_json($_) } split /\n/, $out;
    is(scalar(@records), 17, 'all');

    my ($older) = grep { ($_->{key} // '') eq 'older' } @records;
    is($older->{data}, 'newest', 'what counts');
    is($older->{database}, 0, 'its database');

    # a line is a file

    my $copy = Path->new;

    for my $line (split /\n/, $out) {
        my $r = decode_json($line);
        my $key = $r->{key} // MIME::Base64::decode_base64($r->{key_base64});
        utf8::encode($key) if defined $r->{key};
        $copy->put('0/' . $copy->place($key), $line);
    }

    is((tool('verify', $copy->dir))[0], 0, 'lines can be files');
    is_deeply([sort split /\n/, (tool('export', '--json', $copy->dir))[1]],
              [sort split /\n/, $out], 'and are the same then');

    # Redis

    my $redis = RF::Redis->new;
    my $file = RF::tempdir('resp') . '/resp';

    $redis->cmd('SET', 'counter', 41);
    $redis->cmd('RPUSH', 'journaled', 'there');
    $redis->cmd('SET', 'gone', 'x');
    $redis->cmd('SET', 'expired', 'before');
    $redis->cmd('SET', 'hash', 'of another type');
    $redis->cmd('RPUSH', 'list', 'other');

    ($code, $out, $err) = tool('export', '--redis', $dir);
    is($code, 0, '--redis');
    like($err, qr/2 keys have changes.*once/, 'deltas are warned of');
    like($err, qr/warning.* 1 of them were perhaps sent/, 'the sent one, too');
    RF::spew($file, $out);

    my $pipe = `redis-cli -p ${\$redis->port} --pipe < $file 2>&1`;
    like($pipe, qr/errors: 0,/, 'redis-cli --pipe') or diag($pipe);

    is($redis->cmd('GET', 'text'), 'hello', 'a string');
    is($redis->cmd('GET', $binary), "\0\1\r\n\xff", 'bytes');
    is($redis->cmd('GET', 'older'), 'newest', 'the newest of a key');
    is_deeply({ @{ $redis->cmd('HGETALL', 'hash') } }, { a => 1, b => 2 },
              'a hash');
    is_deeply($redis->cmd('LRANGE', 'list', 0, -1), [qw(x y x)], 'a list');
    is_deeply([sort @{ $redis->cmd('SMEMBERS', 'set') }], [qw(p q)], 'a set');
    is_deeply($redis->cmd('ZRANGE', 'zset', 0, -1), [qw(n o m)],
              'a sorted set');
    is($redis->cmd('ZSCORE', 'zset', 'm'), '1.5', 'a score');
    is($redis->cmd('GET', 'counter'), 46, 'a counter is added to');
    is_deeply($redis->cmd('LRANGE', 'journaled', 0, -1), [qw(b there a)],
              'a list, too');
    is($redis->cmd('EXISTS', 'gone'), 0, 'a deletion');
    is($redis->cmd('EXISTS', 'expired'), 0, 'what has expired is gone');
    is($redis->cmd('EXISTS', 'below', 'acked', 'base', 'torn', 'acked3'), 0,
       'garbage stays away');
    cmp_ok(abs($redis->cmd('PTTL', 'expires') + now() * 1000 - $ms), '<', 2000,
           'an expiry');
    is($redis->cmd('PTTL', 'text'), -1, 'none');
};


subtest 'nothing was changed' => sub {
    is((tool('verify', $dir))[0], 0, 'verify finds no damage');
    is($path->tree, $before, 'by any of these');
};


subtest 'large collections' => sub {
    my $p = Path->new;

    $p->file('zset', version => 1, type => 'zset',
             data => [map { ["m$_", $_] } 1 .. 2501]);
    $p->file('hash', version => 2, type => 'hash',
             data => { map { ("f$_" => "v$_") } 1 .. 2501 });
    $p->file('list', version => 3, type => 'list', data => [map { "$_" } 1 .. 2501]);
    $p->file('set', version => 4, type => 'set', data => []);

    my $redis = RF::Redis->new;
    my $file = RF::tempdir('resp') . '/resp';

    RF::spew($file, (tool('export', '--redis', $p->dir))[1]);
    like(`redis-cli -p ${\$redis->port} --pipe < $file 2>&1`,
         qr/errors: 0,/, 'redis-cli --pipe');

    is($redis->cmd('ZSCORE', 'zset', 'm2501'), 2501, 'a sorted set');
    is($redis->cmd('ZCARD', 'zset'), 2501, 'all of it');
    is($redis->cmd('HGET', 'hash', 'f2501'), 'v2501', 'a hash');
    is($redis->cmd('HLEN', 'hash'), 2501, 'all of it');
    is_deeply($redis->cmd('LRANGE', 'list', 0, -1), [1 .. 2501], 'a list');
    is($redis->cmd('EXISTS', 'set'), 0, 'an empty one is none');
};


subtest 'databases and levels' => sub {
    my $p = Path->new;
    my $q = Path->new(dir => $p->dir, database => 12, levels => [1, 2, 0]);

    $p->file('zero', version => 5, data => 'x');
    $p->put('0/layout', "2:2:2\n1:0:0\n");
    $p->put('0/' . $p->place('moved', 1), Path::record('moved', version => 6,
                                                       data => 'x'));
    $p->put('0/' . $p->place('zero', 1), Path::record('zero', version => 7,
                                                      data => 'x'));
    $q->put('12/layout', "1:2:0\n");
    $q->file('twelve', version => 8, data => 'x');

    my ($code, $out) = tool('list', $p->dir);
    my $list = listed($out);

    is($code, 0, 'exit code');
    is_deeply({ map { $_ => [@{ $list->{$_} }[2, 6]] } keys %$list },
              { zero => [7, 0], moved => [6, 0], twelve => [8, 12] },
              'all databases and layouts');

    ($code, $out) = tool('-d', 12, 'list', $p->dir);
    is_deeply([keys %{ listed($out) }], ['twelve'], 'one database');

    ($code, $out) = tool('-d', 0, '--levels', '2:2:2', 'list', $p->dir);
    is_deeply([keys %{ listed($out) }], ['zero'], 'other levels');

    is((tool('verify', $p->dir))[0], 0, 'verify');

    my $redis = RF::Redis->new;
    my $file = RF::tempdir('resp') . '/resp';

    RF::spew($file, (tool('export', '--redis', $p->dir))[1]);
    system("redis-cli -p ${\$redis->port} --pipe < $file > /dev/null 2>&1");
    is($redis->cmd('DBSIZE'), 2, 'each database has its keys');
    $redis->cmd('SELECT', 12);
    is($redis->cmd('EXISTS', 'twelve'), 1, 'in Redis');

    $p->put('0/layout', "nonsense\n");
    ($code, $out, my $err) = tool('-d', 0, 'list', $p->dir);
    is($code, 3, 'a layout that cannot be read');
    like($err, qr/layout.*--levels/, 'says what helps');
};


subtest 'verify' => sub {
    my ($code, $out, $err);

    my @damage = (
        [ 'cut off', sub { $_[0]->put('0/' . $_[0]->place('a'),
              substr Path::record('a', version => 1, data => 'x'), 0, -5) },
          qr{^damage: 0/0c/c1/75/0cc175.*json: }m ],
        [ 'another key', sub { $_[0]->put('0/' . $_[0]->place('a'),
              Path::record('b', version => 1, data => 'x')) },
          qr/name is not that of its key/ ],
        [ 'no type', sub { $_[0]->put('0/' . $_[0]->place('a'),
              '{"version":"1","key":"a","data":"x"}') }, qr/no "type"/ ],
        [ 'empty', sub { $_[0]->put('0/' . $_[0]->place('a'), '') },
          qr/^damage/m ],
        [ 'a symlink', sub {
              my $f = $_[0]->put('0/' . $_[0]->place('a'), '');
              unlink $f; symlink '/etc/passwd', $f },
          qr/not a regular file/ ],
        [ 'a directory', sub {
              my $f = $_[0]->put('0/' . $_[0]->place('a'), '');
              unlink $f; mkdir $f, 0700 }, qr/Is a directory/ ],
        [ 'the wrong directory', sub { $_[0]->put('0/aa/bb/cc/'
              . md5_hex('a') . '.json', Path::record('a', version => 1,
                                                     data => 'x')) },
          qr/not where its name says/ ],
        [ 'too high up', sub { $_[0]->put('0/0c/' . md5_hex('a') . '.json',
              Path::record('a', version => 1, data => 'x')) },
          qr/not where its name says/ ],
        [ 'a bad mark', sub { $_[0]->put('0/mark', "12x\n") },
          qr{^damage: 0/mark: not a number}m ],
        [ 'a bad layout', sub { $_[0]->put('0/layout', "2:2\n") },
          qr{^damage: 0/layout: }m ],
        [ 'a damaged segment', sub { $_[0]->segment(5, 1,
              Path::batch(Path::rec('a', version => 1, data => 'x'))
              =~ s/"x"/"y"/r,
              Path::batch(Path::rec('b', version => 2, data => 'x'))) },
          qr{^damage: 0/journal/0+5\.log: damaged before its end}m ],
        [ 'a damaged segment below the base', sub {
              $_[0]->segment(4, 1,
                  Path::batch(Path::rec('a', version => 1, data => 'x'))
                  =~ s/"x"/"y"/r,
                  Path::batch(Path::rec('b', version => 2, data => 'x')));
              $_[0]->segment(5, 5) }, qr{0+4\.log: damaged}m ],
        [ 'damaged, handed over', sub { $_[0]->put('0/handover/' . '0' x 16
              . '-' . '1' x 8 . '.log',
              Path::batch(Path::rec('a', version => 1, data => 'x'))
              =~ s/"x"/"y"/r) },
          qr{^damage: 0/handover/0+-1+\.log: damaged$}m ],
        [ 'no record', sub { $_[0]->segment(5, 1,
              Path::batch(Path::line('R', '{"version":"5"}'))) },
          qr/no records of this version/ ],
        [ 'no acknowledgement', sub { $_[0]->segment(5, 1,
              Path::batch(Path::line('A', '[]'))) },
          qr/no acknowledgements of this version/ ],
    );

    for (@damage) {
        my ($name, $make, $like) = @$_;
        my $p = Path->new;

        $make->($p);
        my $tree = $p->tree;

        ($code, $out, $err) = tool('verify', $p->dir);
        is($code, $name eq 'a bad layout' ? 3 : 1, "$name: exit code");
        like($out, $like, "$name: is named");
        like($out, qr/damage 1, notes \d+$/, "$name: is counted");
        is($p->tree, $tree, "$name: is left as it is");

        next if $name eq 'a bad layout';

        ($code, $out, $err) = tool('verify', '--json', $p->dir);
        is((decode_json((split /\n/, $out)[0]))->{severity}, 'damage',
           "$name: --json");
    }

    my @notes = (
        [ 'a torn end', sub { $_[0]->segment(5, 1, 'R 00') }, qr/torn end/ ],
        [ 'a torn head', sub { $_[0]->put('0/journal/' . '0' x 15 . '5.log',
                                          'H 0000') }, qr/torn end/ ],
        [ 'modes', sub { chmod 0644, $_[0]->file('a', version => 1,
                                                 data => 'x') },
          qr/others may have access/ ],
        [ 'links', sub { my $f = $_[0]->file('a', version => 1, data => 'x');
                         link $f, "$f.bak" }, qr/another name/ ],
        [ 'others', sub { $_[0]->put("0/0c/\e[2Jother", '') },
          qr/\\x1b\[2Jother: nothing that nginx/ ],
        [ 'others in the journal', sub { $_[0]->put('0/journal/x', '') },
          qr{journal/x: nothing that nginx} ],
    );

    for (@notes) {
        my ($name, $make, $like) = @$_;
        my $p = Path->new;

        $make->($p);

        ($code, $out) = tool('verify', $p->dir);
        is($code, 0, "$name: no damage");
        like($out, qr/^note: .*$like/m, "$name: is named");
    }

    # what is damaged elsewhere is told, too

    my $p = Path->new;
    $p->file('good', version => 1, data => 'x');
    $p->put('0/' . $p->place('bad'), '{');
    ($code, $out, $err) = tool('list', $p->dir);
    is($code, 1, 'list: exit code');
    like($err, qr/bad|json: /, 'list: says which');
    is_deeply([keys %{ listed($out) }], ['good'], 'list: the others');

    SKIP: {
        skip 'root reads everything', 3 if is_root() && !worker();
        my $p = Path->new;
        my $f = $p->file('good', version => 1, data => 'x');
        give($p);
        chmod 0, $f;
        ($code, $out, $err) = as_worker('verify', $p->dir);
        is($code, 1, 'unreadable: exit code of verify');
        like($out, qr/^damage: .*Permission denied/m, 'unreadable: is named');
        is((as_worker('list', $p->dir))[0], 3, 'unreadable: of list');
    }
};


# the account of nginx' workers, where the tests run as root

sub worker {
    my $user = RF::worker_user();
    return undef if !defined $user || $user eq 'root';
    return (getpwnam($user))[2, 3];
}


sub give {
    my ($p) = @_;
    my ($uid, $gid) = worker() or return;
    system('chown', '-R', "$uid:$gid", $p->dir);
}


sub as_worker {
    my @args = @_;

    my ($uid, $gid) = worker() or return tool(@args);
    my $dir = RF::tempdir('run');
    chown $uid, $gid, $dir;

    my $copy = "$dir/tool";
    system('cp', Path::tool(), $copy);
    local $ENV{RF_TOOL} = "$dir/sh";
    RF::spew("$dir/sh", <<END);
#!/bin/sh
exec setpriv --reuid $uid --regid $gid --clear-groups -- $copy "\$@"
END
    chmod 0755, "$dir/sh", $copy;

    return tool(@args);
}


subtest 'quarantine' => sub {
    my $p = Path->new;
    my $md5 = md5_hex('counter');
    my ($code, $out, $err);

    $p->put("quarantine/$md5-5.json", Path::record('counter', version => 5,
        data => '7', pending => 'delta', changes => [['INCRBY', '2']],
        reason => 'WRONGTYPE Operation'));
    $p->put('quarantine/' . md5_hex('x') . '.json', "{\"key\"\0");
    $p->put('quarantine/journal-0000000000000001.log', "H\n");

    ($code, $out) = tool('quarantine', 'list', $p->dir);
    is($code, 0, 'list');
    my $list = listed($out);
    is(scalar(keys %$list), 3, 'all of it');
    is_deeply([@{ $list->{"$md5-5.json"} }[2 .. 4]],
              ['delta', 'counter', 'WRONGTYPE Operation'], 'a record');
    is($list->{md5_hex('x') . '.json'}[2], 'no record', 'something else');
    is($list->{'journal-0000000000000001.log'}[4],
       'a damaged segment of the journal', 'a segment');

    ($code, $out) = tool('-j', 'quarantine', 'list', $p->dir);
    is(scalar(map { decode_json($_) } split /\n/, $out), 3, '--json');

    ($code, $out) = tool('quarantine', 'show', $p->dir, "$md5-5.json");
    is($code, 0, 'show');
    is(decode_json($out)->{reason}, 'WRONGTYPE Operation', 'the reason');
    is(decode_json($out)->{record}{key}, 'counter', 'the record');

    ($code, $out) = tool('quarantine', 'show', $p->dir, md5_hex('x')
                         . '.json');
    is($code, 0, 'show of something else');
    ok(decode_json($out)->{no_record}, 'why');
    is(decode_json($out)->{content_base64}, 'eyJrZXkiAA==', 'and what');

    is((tool('quarantine', 'show', $p->dir, 'nothing'))[0], 1, 'none');
    is((tool('quarantine', 'show', $p->dir, '../0/mark'))[0], 1,
       'nothing outside');

    ($code, $out) = tool('count', '-j', $p->dir);
    is(decode_json($out)->{quarantined}, 3, 'count');
    ($code, $out) = tool('verify', $p->dir);
    is($code, 0, 'no damage');
    like($out, qr/3 files in quarantine/, 'verify');
};


subtest 'readmit' => sub {
    my $p = Path->new;
    my ($code, $out, $err);

    my $aside = sub {
        my ($key, %r) = @_;
        my $name = md5_hex($key) . "-$r{version}.json";
        $p->put("quarantine/$name", Path::record($key, %r,
                                                 reason => 'ERR no'));
        return $name;
    };

    my $show = sub {
        my ($key) = @_;
        my $out = (tool('show', $p->dir, $key))[1];
        return $out ? decode_json($out) : undef;
    };

    # above the mark it keeps its version

    $p->put('0/mark', "100\n");
    my $name = $aside->('a', version => 200, data => 'a');

    ($code, $out, $err) = tool('readmit', $p->dir, $name);
    is($code, 0, 'a replacement') or diag($err);
    is($out, "$name\tpending\t200\ta\n", 'is told');
    ok(!-e $p->dir . "/quarantine/$name", 'is not in quarantine any more');

    my $got = $show->('a');
    is($got->{pending}, JSON::PP::true, 'but pending');
    is_deeply($got->{copies}[0]{record}{data}, 'a', 'as it was');
    ok(!exists $got->{copies}[0]{record}{reason}, 'without the reason');

    my @stat = stat $p->db . '/' . $p->place('a');
    is($stat[2] & 0777, 0600, 'its mode');

    # below, it gets a new one

    $name = $aside->('b', version => 50, type => 'hash', data => { f => 'v' });
    is((tool('readmit', $p->dir, $name))[0], 0, 'below the mark');
    is($show->('b')->{copies}[0]{record}{version}, 101, 'has a new version');

    # a crash between the two steps

    $aside->('b', version => 50, type => 'hash', data => { f => 'v' });
    ($code, $out) = tool('readmit', $p->dir, $name);
    is($code, 0, 'once more');
    like($out, qr/was pending already\t101/, 'finds that it was done');
    ok(!-e $p->dir . "/quarantine/$name", 'and ends it');

    # never over a newer one

    $p->file('c', version => 300, data => 'newer');
    $name = $aside->('c', version => 299, data => 'older');
    my $tree = $p->tree;
    ($code, $out, $err) = tool('readmit', $p->dir, $name);
    is($code, 1, 'a newer file');
    is($out, '', 'nothing done');
    like($err, qr/something newer is pending/, 'is told');

    $p->segment(1, 1, Path::batch(
        Path::rec('d', version => 400, data => 'newer'),
        Path::rec('e', version => 500, data => 'newer'),
        Path::ack('e', 500), Path::ack('f', 150)));
    my $d = $aside->('d', version => 399, data => 'older');
    is((tool('readmit', $p->dir, $d))[0], 1, 'a newer one in the journal');

    my $e = $aside->('e', version => 499, data => 'older');
    ($code, $out, $err) = tool('readmit', $p->dir, $e);
    is($code, 1, 'something newer was acknowledged');
    like($err, qr/acknowledged something newer/, 'is told');

    # what was acknowledged is this one: nginx was done with it

    $name = $aside->('f', version => 150, data => 'f');
    is((tool('readmit', $p->dir, $name))[0], 0, 'acknowledged itself');
    $got = $show->('f');
    is($got->{pending}, JSON::PP::true, 'is pending');
    is($got->{copies}[0]{record}{version}, 151, 'has a version above that');

    # a delta: without its value

    $name = $aside->('g', version => 60, type => 'hash', data => { n => '7' },
                     pending => 'delta', changes => [[qw(HINCRBY n 2)]]);
    is((tool('readmit', $p->dir, $name))[0], 0, 'a delta');
    $got = $show->('g')->{copies}[0]{record};
    is_deeply($got->{changes}, [[qw(HINCRBY n 2)]], 'its changes');
    ok(!exists $got->{data}, 'no value');
    is($got->{complete}, JSON::PP::false, 'which says so');

    # all of them, the newest of each key

    $aside->('h', version => 61, data => 'one');
    $aside->('h', version => 70, data => 'two');
    $p->put('quarantine/' . md5_hex('k') . '.json', Path::record('k',
                                                             data => 'k'));
    $p->put('quarantine/journal-0000000000000001.log', "H\n");

    ($code, $out, $err) = tool('readmit', '--all', $p->dir);
    is($code, 1, '--all: some were refused');
    is($show->('h')->{copies}[0]{record}{data}, 'two', 'the newest');
    is($show->('k')->{pending}, JSON::PP::true, 'a foreign one');
    is_deeply([map { s{.*/}{}r } glob $p->dir . '/quarantine/*'],
              [sort { $a cmp $b } md5_hex('c') . '-299.json', $d, $e,
               md5_hex('h') . '-61.json', 'journal-0000000000000001.log'],
              'what stays');

    is((tool('readmit', $p->dir, 'journal-0000000000000001.log'))[0], 1,
       'a segment is no record');
    is((tool('readmit', $p->dir, 'nothing'))[0], 1, 'none');
    is((tool('verify', $p->dir))[0], 0, 'all is well');

    # damage elsewhere

    $p->put('0/' . $p->place('bad'), '{');
    $name = $aside->('i', version => 599, data => 'i');
    ($code, $out, $err) = tool('readmit', $p->dir, $name);
    is($code, 0, 'with damage elsewhere');
    like($err, qr/not valid JSON/, 'which is told');
    unlink $p->db . '/' . $p->place('bad');

    # levels, databases

    $name = $aside->('l', version => 600, data => 'l');
    is((tool('-l', '1:1:1', 'readmit', $p->dir, $name))[0], 2,
       'levels that nginx does not know');
    mkdir $p->dir . '/3', 0700;
    is((tool('readmit', $p->dir, $name))[0], 2, 'which database?');
    is((tool('-d', 0, 'readmit', $p->dir, $name))[0], 0, 'this one');
    ok(-f $p->db . '/' . $p->place('l'), 'is where it belongs');

    # somebody has the path

    $name = $aside->('m', version => 601, data => 'm');
    open my $lock, '>', $p->dir . '/lock' or die;
    flock $lock, 2;
    $tree = $p->tree;
    ($code, $out, $err) = tool('-d', 0, 'readmit', $p->dir, $name);
    is($code, 4, 'a path in use');
    like($err, qr/in use: stop nginx/, 'is told');
    is($p->tree, $tree, 'and left alone');
    ($code, $out, $err) = tool('list', $p->dir);
    is($code, 0, 'reading');
    like($err, qr/in use, this is a snapshot/, 'is told, too');
    close $lock;

    SKIP: {
        skip 'not root', 3 unless is_root() && worker();
        my ($uid) = worker();
        give($p);
        is((tool('-d', 0, 'readmit', $p->dir, $name))[0], 0, 'as root');
        my $file = $p->db . '/' . $p->place('m');
        is((stat $file)[4], $uid, 'the file is the worker\'s');
        my @others = `find ${\$p->dir} ! -user $uid`;
        is("@others", '', 'and all of the path');
    }
};


done_testing;
