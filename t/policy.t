# redis_fallback_outage: what a location does while Redis is away.

use strict;
use warnings;
use lib 't/lib';
use RF;

my $redis = RF::Redis->new;
my $nginx = RF::Nginx->new(
    http   => "redis_fallback_store app {
                   server 127.0.0.1:" . $redis->port . ";
                   path %%DIR%%/app;
               }
               add_header X-Result \$redis_fallback_result always;",
    server => 'location /local/ { redis_fallback_pass; }
               location /read_only/ {
                   redis_fallback_pass;
                   redis_fallback_outage read_only;
               }
               location /reject/ {
                   redis_fallback_pass;
                   redis_fallback_outage reject;
               }
               location /page/ {
                   redis_fallback_pass;
                   redis_fallback_outage reject;
                   error_page 503 =200 @page;
               }
               location @page { return 200 "page"; }
               location /503/ {
                   redis_fallback_pass;
                   redis_fallback_outage local unknown=503;
               }
               location /200/ {
                   redis_fallback_pass;
                   redis_fallback_outage read_only unknown=200;
                   location /200/own/ {
                       redis_fallback_pass;
                       redis_fallback_outage local;
                   }
                   location /200/inherited/ { redis_fallback_pass; }
               }
               location = /set {
                   redis_fallback_outage read_only;
                   redis_fallback_set $a GET known;
                   redis_fallback_set $b SET refused x;
                   return 200 "[$a] [$b]";
               }');

my @where = ('local', 'read_only', 'reject', 'page', '503', '200');

for my $where (@where) {
    is($nginx->put("/$where/known", 'value')->{status}, 204,
       "normal: PUT, $where");
    is($nginx->get("/$where/known")->{body}, 'value', "normal: GET, $where");
    is($nginx->get("/$where/none")->{status}, 404, "normal: no key, $where");
}

is($nginx->get('/set')->{body}, '[value] [OK]', 'normal: set');

$redis->kill;
ok(wait_for(sub { $nginx->get('/local/known');
                  $nginx->status('app')->{mode} eq 'fallback' }), 'fallback');

my %expect = (             # PUT, GET, GET of an unknown key, DELETE
    local     => [204, 200, 404, 204],
    read_only => [503, 200, 404, 503],
    reject    => [503, 503, 503, 503],
    page      => [200, 200, 200, 200],
    503       => [204, 200, 503, 204],
    200       => [503, 200, 200, 503],
);

for my $where (@where) {
    my ($put, $get, $unknown, $delete) = @{ $expect{$where} };

    my $res = $nginx->put("/$where/known", 'value');
    is($res->{status}, $put, "fallback: PUT, $where");

    if ($put == 503) {
        like($res->{headers}{'retry-after'}, qr/^[1-9]\d*$/,
             'has Retry-After');
        is($res->{headers}{'x-result'}, 'rejected', 'is "rejected"');
    }

    $res = $nginx->get("/$where/known");
    is($res->{status}, $get, "fallback: GET, $where");
    is($res->{body}, $where eq 'page' ? 'page' : 'value', 'its value')
        if $get == 200;

    $res = $nginx->get("/$where/nobody-knows");
    is($res->{status}, $unknown, "fallback: unknown key, $where");

    is($res->{headers}{'x-result'}, 'unknown', 'is "unknown"')
        unless $where =~ /reject|page/;

    $res = $nginx->delete("/$where/known");
    is($res->{status}, $delete, "fallback: DELETE, $where");
    $nginx->put('/local/known', 'value');
}

is($nginx->get('/200/nobody-knows')->{body}, '', 'unknown=200: empty');
is($nginx->head('/200/nobody-knows')->{status}, 200, 'unknown=200: HEAD');
is($nginx->get('/200/own/nobody-knows')->{status}, 404,
   'a policy of its own has its own unknown');
is($nginx->get('/200/inherited/nobody-knows')->{status}, 200,
   'an inherited one comes as a whole');
is($nginx->get('/set')->{body}, '[value] []', 'set: a refusal is empty');

my $log = $nginx->log;
unlike($log, qr/\[error\].*redis_fallback_set/, 'and not an error');

# a key that was deleted here is known not to be there

is($nginx->delete('/local/known')->{status}, 204, 'deleted');
my $res = $nginx->get('/503/known');
is($res->{status}, 404, 'is a 404, not unknown');
is($res->{headers}{'x-result'}, 'miss', 'is a "miss"');

$nginx->check_logs;
done_testing;
