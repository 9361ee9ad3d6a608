# A folder that go-redis-fallback left behind is recovered; files that are no
# records are set aside, whole, and named in the log.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

use Digest::MD5 'md5_hex';
use File::Path 'make_path';


sub place {
    my ($root, $key) = @_;

    my $md5 = md5_hex($key);
    my ($a, $b, $c) = $md5 =~ /^(..)(..)(..)/;

    return "$root/$a/$b/$c/$md5.json";
}


sub put_file {
    my ($file, $text) = @_;

    make_path($file =~ s{/[^/]+$}{}r);
    RF::spew($file, $text);
}


# as Go's encoding/json writes it: the text of "data" is given

sub record {
    my ($root, $key, $type, $data, $timestamp, $ttl) = @_;

    my $name = JSON::PP->new->allow_nonref->encode($key);
    $ttl = defined $ttl ? ",\"ttl\":$ttl" : '';

    put_file(place($root, $key), "{\"key\":$name,\"data\":$data,"
             . "\"type\":\"$type\",\"timestamp\":$timestamp$ttl}");
}


# files of a Go program that went away a minute ago

sub folder {
    my ($root) = @_;

    my $then = int(now()) - 60;
    my %expect;

    my @values = (
        # key, type, data, and what is to be in Redis
        [ 'user:1', 'string', '"alice"', 'alice' ],
        [ 'empty', 'string', '""', '' ],
        [ 'escaped', 'string', '"a \"b\" \\\\ \n\t \u003ctag\u003e \u00fc"',
          "a \"b\" \\ \n\t <tag> \xc3\xbc" ],
        [ 'utf8 ü', 'string', "\"\xe2\x82\xac\"", "\xe2\x82\xac" ],
        [ 'count', 'int', '42', '42' ],
        [ 'big', 'int64', '9223372036854775807', '9223372036854775807' ],
        [ 'float', 'float64', '3.25', '3.25' ],
        [ 'yes', 'bool', 'true', 'true' ],
        [ 'map', 'map[string]interface {}', '{"a":1,"b":{"c":[true,null]}}',
          '{"a":1,"b":{"c":[true,null]}}' ],
        [ 'slice', '[]interface {}', '["x",2,"y z"]', '["x",2,"y z"]' ],
        [ 'struct', 'main.User', '{"Name":"bob","Age":7}',
          '{"Name":"bob","Age":7}' ],
        [ 'a/b c:{d}', 'string', '"odd key"', 'odd key' ],
    );

    for (@values) {
        my ($key, $type, $data, $value) = @$_;
        record($root, $key, $type, $data, $then);
        $expect{$key} = $value;
    }

    # seconds, counted from the timestamp

    record($root, 'hour', 'string', '"x"', $then, 3600);
    $expect{hour} = [ 'x', $then + 3600, $then + 3600 ];
    record($root, 'over', 'string', '"x"', $then, 30);
    $expect{over} = undef;
    record($root, 'none', 'string', '"x"', $then, 0);
    $expect{none} = 'x';
    record($root, 'stale', 'string', '"newer than that in Redis"', $then);
    $expect{stale} = 'newer than that in Redis';

    # many, so that they do not fit into one slice

    for my $i (1 .. 700) {
        record($root, "bulk:$i", 'int', $i, $then);
        $expect{"bulk:$i"} = $i;
    }

    return \%expect;
}


# { file => text } of what is no record

sub rubbish {
    my ($root) = @_;

    my $then = int(now());
    my $whole = "{\"key\":\"torn\",\"data\":\"value\",\"type\":\"string\","
                . "\"timestamp\":$then}";
    my %rubbish = (
        place($root, 'torn')    => substr($whole, 0, length($whole) / 2),
        place($root, 'nothing') => '',
        place($root, 'zeroes')  => "\0" x 100,
        place($root, 'text')    => "not JSON at all\n",
        place($root, 'null')    => 'null',
        place($root, 'array')   => '[1,2,3]',
        place($root, 'keyless') => '{"data":"x","type":"string","timestamp":1}',
        place($root, 'other')   => $whole,
        place($root, 'more')    => "$whole$whole" =~ s/torn/more/gr,
        place($root, 'typeless') =>
            '{"key":"typeless","data":"x","timestamp":1}',
    );

    put_file($_, $rubbish{$_}) for sort keys %rubbish;

    return \%rubbish;
}


# what only lies around does no harm

sub others {
    my ($root) = @_;

    my %others = map { $_ => "lies around\n" }
        "$root/README", "$root/ab/notes.txt", "$root/ab/cd/x.json",
        place($root, 'torn') =~ s/json$/json.tmp/r;

    put_file($_, $others{$_}) for sort keys %others;

    return \%others;
}


sub belongs_to_workers {
    my ($dir) = @_;

    my $user = RF::worker_user();
    return unless defined $user;

    system('chown', '-R', $user, $dir) == 0 or die "chown failed\n";
}


sub set_aside {
    my ($t, $rubbish, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $dir = $t->nginx->dir . '/app/quarantine';
    my @kept = sort map { RF::slurp($_) } glob "$dir/*";

    is_deeply(\@kept, [ sort values %$rubbish ], "$name: kept as they were");
    is($t->status->{files}{quarantined}, scalar(keys %$rubbish),
       "$name: and counted");

    my @crit = grep { /\[crit\]/ } split /\n/, $t->nginx->log;
    my @unnamed;

    for my $file (sort keys %$rubbish) {
        my ($md5) = $file =~ /(\w{32})\.json$/;
        push @unnamed, $file unless grep { /\Q$md5\E/ } @crit;
        push @unnamed, "$file is still there" if -e $file;
    }

    is("@unnamed", '', "$name: and named in the log");
}


sub lie_around {
    my ($others, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is(join(' ', grep { RF::slurp($_) ne $others->{$_} } sort keys %$others),
       '', "$name: what lies around stays");
}


sub with_redis {
    my ($workers, $database) = @_;

    my $name = "$workers workers, Redis is there, database $database";
    my $redis = RF::Redis->new(database => $database);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { database => $database });
    my $root = $t->nginx->dir . "/app/$database";
    my $expect = folder($root);
    my $rubbish = rubbish($root);
    my $others = others($root);

    # another database's are not ours

    record($t->nginx->dir . '/app/9', 'elsewhere', 'string', '"x"', 1);

    belongs_to_workers($t->nginx->dir . '/app');
    $redis->cmd('SET', 'stale', 'old');
    $redis->cmd('SET', 'torn', 'in Redis');
    $expect->{torn} = 'in Redis';

    my ($code, $out) = $t->nginx->test;
    is($code, 0, "$name: nginx -t") or diag($out);
    $t->nginx->start;

    # a key is right from the first moment

    is($t->get('stale')->{body}, $expect->{stale}, "$name: read at once");
    is($t->get('torn')->{body}, 'in Redis', "$name: a torn one, too");

    ok($t->wait_normal, "$name: normal");
    Outage::holds($redis, $expect, $name);
    set_aside($t, $rubbish, $name);
    lie_around($others, $name);
    ok(wait_for(sub { !Outage::record_files($root) }, 20),
       "$name: the folder is empty");
    ok(-e place($t->nginx->dir . '/app/9', 'elsewhere'),
       "$name: but not that of another database");

    # never again

    $redis->cmd('DEL', 'user:1');
    $redis->cmd('SET', 'count', 43);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->start;
    is($t->get('user:1')->{status}, 404, "$name: replayed once only");
    ok($t->wait_normal, "$name: normal");
    is($redis->cmd('GET', 'count'), 43, "$name: a newer value stays");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


sub without_redis {
    my ($workers) = @_;

    my $name = "$workers workers, no Redis";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0);
    my $root = $t->nginx->dir . '/app/0';
    my $expect = folder($root);
    my $rubbish = rubbish($root);
    my $others = others($root);

    belongs_to_workers($t->nginx->dir . '/app');
    $t->nginx->start;

    my @bad;

    for my $key (sort keys %$expect) {
        next if $key =~ /^bulk:.*[1-9]$/;

        my $value = $expect->{$key};
        my $res = $t->get($key);

        if (!defined $value) {
            push @bad, "$key: $res->{status}" if $res->{status} != 404;
            next;
        }

        push @bad, "$key: $res->{status} $res->{body}"
            if $res->{status} != 200
               || $res->{body} ne (ref $value ? $value->[0] : $value);
    }

    is("@bad", '', "$name: all is read");
    is($t->get('torn')->{status}, 404, "$name: a torn one is not");
    is($t->run('INCR', 'count')->{body}, 43, "$name: goes on counting");
    is($t->put('user:1', 'eve')->{status}, 204, "$name: replaced");
    is($t->delete('map')->{status}, 204, "$name: deleted");
    @$expect{'count', 'user:1', 'map'} = (43, 'eve', undef);
    is($t->mode, 'fallback', "$name: fallback");

    # over another restart

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->start;
    is($t->get('count')->{body}, 43, "$name: and goes on");
    is($t->get('user:1')->{body}, 'eve', "$name: with all of it");

    $redis->start;
    $t->recovered($expect, $name);
    lie_around($others, $name);

    my @kept = sort map { RF::slurp($_) }
               glob $t->nginx->dir . '/app/quarantine/*';
    is_deeply(\@kept, [ sort values %$rubbish ], "$name: rubbish is kept");

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    with_redis($workers, 0);
    with_redis($workers, 3);
    without_redis($workers);
}

done_testing;
