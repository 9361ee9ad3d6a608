package OutageApi;

# Commands over the API in the tests of outages, and an outage that spares
# everybody else: Redis stays, and refuses nginx.
#
#     my $redis = shared_redis();
#     my $t = api_store($redis, { write_interval => '20ms' }, workers => 2);
#
#     api($t, 'INCRBY', 'n', 5);          # the result, or a text: "503 ..."
#     cut_off($redis, $t, $another);      # they are in fallback then
#     $redis->cmd('INCRBY', 'n', 2);      # somebody else
#     let_in($redis);

use strict;
use warnings;

use RF;
use Outage;
use JSON::PP ();

use parent 'Exporter';

our @EXPORT = qw(shared_redis api_store api cut_off let_in ended);

my $json = JSON::PP->new->allow_nonref->canonical;


sub shared_redis {
    return RF::Redis->new(
        acl => "user default on nopass ~* &* +\@all\n"
               . "user nginx on >secret ~* &* +\@all\n", @_);
}


# with lines for the store, and options of Outage

sub api_store {
    my ($redis, $lines, %opt) = @_;

    my %user = $redis->{acl} ? (user => 'nginx', password => 'secret') : ();

    return Outage->new(
        redis  => $redis,
        server => "location /api {\n    redis_fallback_api app;\n}\n",
        %opt, store => { %user, %{ $lines || {} } });
}


sub api {
    my ($t, @argv) = @_;

    my $res = $t->nginx->post('/api', $json->encode(\@argv));
    my $answer = eval { $json->decode($res->{body}) };

    return ref $answer eq 'HASH' && exists $answer->{result}
           ? $answer->{result}
           : "$res->{status} " . ($res->{error} // $res->{body});
}


sub cut_off {
    my ($redis, @stores) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $redis->cmd('ACL', 'SETUSER', 'nginx', 'off');
    $redis->cmd('CLIENT', 'KILL', 'USER', 'nginx');

    for my $t (@stores) {
        ok($t->falls_back, 'cut off') or diag(explain($t->status));
    }
}


sub let_in {
    my ($redis) = @_;

    $redis->cmd('ACL', 'SETUSER', 'nginx', 'on');
}


# the end of a test with these

sub ended {
    my (@stores) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $t (@stores) {
        ok($t->nginx->stop, "stops");
        $t->nginx->check_logs;
    }
}


1;
