# redis_fallback_status: the format, every figure, Prometheus' syntax.

use strict;
use warnings;
use lib 't/lib';
use RF;
use JSON::PP ();

my $redis = RF::Redis->new(password => 'hunter2');
my $port = $redis->port;
my $nginx = RF::Nginx->new(
    http   => "redis_fallback_store app {
                   zone     2m;
                   server   127.0.0.1:$port;
                   password hunter2;
                   path     %%DIR%%/app;
                   cache    1h;
               }
               redis_fallback_store other {
                   server   127.0.0.1:$port;
                   password hunter2;
                   path     off;
               }
               redis_fallback app;",
    server => 'location /kv/ { redis_fallback_pass; }
               location /none/ {
                   redis_fallback_pass;
                   redis_fallback_key $arg_k;
               }
               location /status { redis_fallback_status; }
               location /json { redis_fallback_status json; }
               location /prometheus { redis_fallback_status prometheus; }
               location /post { error_page 405 =200 /status;
                                redis_fallback_status; }');

my $json = 'application/json';
my $text = 'text/plain; version=0.0.4';


sub type {
    my ($uri, $accept) = @_;

    my $res = $nginx->get($uri, headers => defined $accept
                                           ? { Accept => $accept } : {});
    is($res->{status}, 200, "$uri " . (defined $accept ? $accept : ''));

    return $res->{headers}{'content-type'};
}


# which format

is(type('/status'), $json, 'JSON by default');
is(type('/status', $_), $json, 'JSON')
    for '*/*', 'text/html,application/xhtml+xml,*/*;q=0.8', $json,
        'application/json, text/plain, */*';
is(type('/status', $_), $text, 'Prometheus')
    for 'text/plain', 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
        'application/openmetrics-text;version=1.0.0,text/plain;q=0.5';
is(type('/status?format=json', 'text/plain'), $json, '?format=json');
is(type('/status?format=prometheus', $json), $text, '?format=prometheus');
is(type('/status?format=xml'), $json, '?format=xml is not known');
is(type('/json?format=prometheus', 'text/plain'), $json, 'the parameter json');
is(type('/prometheus?format=json', $json), $text, 'the parameter prometheus');

# methods

my $res = $nginx->head('/status');
is($res->{status}, 200, 'HEAD');
is($res->{headers}{'content-type'}, $json, 'has the type');

for my $method ('POST', 'PUT', 'DELETE') {
    $res = $nginx->request($method, '/status', body => 'x');
    is($res->{status}, 405, $method);
    is($res->{headers}{allow}, 'GET, HEAD', 'has Allow');
}

# what is in it

my $at = time;
$nginx->put('/kv/a', 'x');
$nginx->get('/kv/a');
$redis->cmd('SET', 'r', 'x');
$nginx->get('/kv/r');
$nginx->get('/kv/miss');

my $all = JSON::PP::decode_json($nginx->get('/json')->{body});
my $app = $all->{stores}{app};

is_deeply([sort keys %$all], ['stores', 'version'], 'top');
like($all->{version}, qr/^\d+\.\d+\.\d+$/, 'version');
is_deeply([sort keys %{ $all->{stores} }], ['app', 'other'], 'stores');

my %keys = (
    memory   => [qw(entries evictions size used)],
    files    => [qw(count errors quarantined)],
    journal  => [qw(behind failing limit size)],
    reads    => [qw(file memory miss redis)],
    writes   => [qw(local redis)],
    redis    => [qw(address connected tracking)],
    recovery => [qw(conflicts done expired failed last_seconds replayed
                    running total)],
);

is_deeply([sort keys %$app],
          [sort keys %keys, qw(mode mode_since outages pending)], 'a store');
is_deeply([sort keys %{ $app->{$_} }], $keys{$_}, $_) for sort keys %keys;

is($app->{mode}, 'normal', 'mode');
ok(abs($app->{mode_since} - $at) < 60, 'mode_since is unix time');
is($app->{outages}, 0, 'no outage');
is($app->{redis}{address}, "127.0.0.1:$port", 'the address');
is($app->{redis}{connected}, 1, 'one worker is connected');
ok(JSON::PP::is_bool($app->{redis}{tracking}), 'tracking is a boolean');
ok(JSON::PP::is_bool($app->{recovery}{running}), 'running is a boolean');
is($app->{memory}{size}, 2 * 1024 * 1024, 'size');
ok($app->{memory}{used} > 0 && $app->{memory}{used} <= $app->{memory}{size},
   'used');
ok($app->{memory}{entries} >= 2, 'entries');
is($app->{reads}{memory}, 1, 'reads from memory');
is($app->{reads}{redis}, 1, 'reads from Redis');
is($app->{reads}{miss}, 1, 'misses');
is($app->{writes}{redis}, 1, 'writes to Redis');
is($all->{stores}{other}{reads}{redis}, 0, 'the other store has its own');

# Prometheus

sub prometheus {
    my ($body) = @_;

    my (%help, %type, %sample, %seen, @bad);
    my $family = '';

    push @bad, 'no newline at the end' unless $body =~ /\n\z/;

    for (split /\n/, $body) {
        if (/^# HELP (\S+) \S.*$/) {
            push @bad, "HELP twice: $1" if $help{$1}++;

        } elsif (/^# TYPE (\S+) (counter|gauge)$/) {
            my $type = $2;
            $family = $1;
            push @bad, "TYPE twice: $family" if $type{$family};
            push @bad, "TYPE without HELP: $family" unless $help{$family};
            push @bad, "$family is a $type"
                if ($type eq 'counter') != ($family =~ /_total$/ ? 1 : 0);
            $type{$family} = $type;

        } elsif (/^([a-z_]+)\{((?:[a-z_]+="[^"\\\n]*",?)+)\} (\d+(?:\.\d+)?)$/)
        {
            push @bad, "$1 is not with its family" if $1 ne $family;
            push @bad, "twice: $1 $2" if $seen{"$1 $2"}++;
            $sample{"$1\{$2}"} = $3;

        } else {
            push @bad, "bad line: $_";
        }
    }

    is_deeply(\@bad, [], 'the syntax of Prometheus');

    return \%sample;
}

my $m = prometheus($nginx->get('/prometheus')->{body});
my $pre = 'redis_fallback_';

is($m->{"${pre}info{version=\"$all->{version}\"}"}, 1, 'info');

for my $store ('app', 'other') {
    my $s = $all->{stores}{$store};
    my %same = (
        'mode{%,mode="normal"}' => 1,
        'mode{%,mode="fallback"}' => 0,
        'mode{%,mode="recovering"}' => 0,
        'mode_since_timestamp_seconds{%}' => $s->{mode_since},
        'outages_total{%}' => $s->{outages},
        'pending{%}' => $s->{pending},
        'redis_connected{%}' => $s->{redis}{connected},
        'redis_tracking{%}' => $s->{redis}{tracking} ? 1 : 0,
        'memory_size_bytes{%}' => $s->{memory}{size},
        'memory_used_bytes{%}' => $s->{memory}{used},
        'memory_entries{%}' => $s->{memory}{entries},
        'memory_evictions_total{%}' => $s->{memory}{evictions},
        'files{%}' => $s->{files}{count},
        'file_errors_total{%}' => $s->{files}{errors},
        'files_quarantined_total{%}' => $s->{files}{quarantined},
        'journal_bytes{%}' => $s->{journal}{size},
        'journal_limit_bytes{%}' => $s->{journal}{limit},
        'journal_behind{%}' => $s->{journal}{behind},
        'journal_failing{%}' => $s->{journal}{failing} ? 1 : 0,
        'reads_total{%,source="memory"}' => $s->{reads}{memory},
        'reads_total{%,source="redis"}' => $s->{reads}{redis},
        'reads_total{%,source="file"}' => $s->{reads}{file},
        'reads_total{%,source="miss"}' => $s->{reads}{miss},
        'writes_total{%,target="redis"}' => $s->{writes}{redis},
        'writes_total{%,target="local"}' => $s->{writes}{local},
        'recovery_running{%}' => 0,
        'recovery_keys{%}' => $s->{recovery}{total},
        'recovery_keys_done{%}' => $s->{recovery}{done},
        'recovery_replayed_total{%}' => $s->{recovery}{replayed},
        'recovery_expired_total{%}' => $s->{recovery}{expired},
        'recovery_conflicts_total{%}' => $s->{recovery}{conflicts},
        'recovery_failed_total{%}' => $s->{recovery}{failed},
        'recovery_last_seconds{%}' => $s->{recovery}{last_seconds},
    );

    for my $name (sort keys %same) {
        (my $sample = $pre . $name) =~ s/%/store="$store"/;
        my $value = delete $m->{$sample};
        ok(defined $value && $value == $same{$name}, $sample);
    }
}

is(scalar keys %$m, 1, 'and there are no others');

# in an outage

$redis->kill;
$nginx->put('/kv/a', 'y');
$nginx->get('/kv/a');

ok($nginx->wait_mode('fallback', 10, 'app'), 'fallback');
$app = $nginx->status('app');
is($app->{outages}, 1, 'one outage');
is($app->{pending}, 1, 'one key is pending');
is($app->{writes}{local}, 1, 'one local write');
ok(wait_for(sub { $nginx->status('app')->{redis}{connected} == 0 }),
   'nobody is connected');
$m = prometheus($nginx->get('/prometheus')->{body});
is($m->{"${pre}mode{store=\"app\",mode=\"fallback\"}"}, 1, 'mode fallback');
is($m->{"${pre}mode{store=\"app\",mode=\"normal\"}"}, 0, 'not normal');

# nothing secret

unlike($nginx->get('/json')->{body} . $nginx->get('/prometheus')->{body}
       . $nginx->log, qr/hunter2/, 'no secret in the status, nor in the log');

# no store at all

$nginx->stop;
$nginx = RF::Nginx->new(
    server => 'location /json { redis_fallback_status json; }
               location /prometheus { redis_fallback_status prometheus; }');
is_deeply(JSON::PP::decode_json($nginx->get('/json')->{body})->{stores}, {},
          'no store, JSON');
prometheus($nginx->get('/prometheus')->{body});

$nginx->check_logs;
done_testing;
