# nginx and somebody else change the same keys at random, neither seeing the
# other: what Redis holds after the outage is compared with t/lib/Merge.pm.
#
# SEED=n repeats, ROUNDS=n is longer, MERGE_TRACE=1 prints each command.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Merge;
use JSON::PP ();

my $json = JSON::PP->new->allow_nonref->canonical;
my $seed = $ENV{SEED} || 11;       # another one: SEED=n
my $state = $seed;
my $rounds = $ENV{ROUNDS} || 5;
my @types = qw(count float string hash set zset list);
my $conn;

diag("SEED=$seed");


# the same everywhere

sub any {
    my ($n) = @_;

    $state = ($state * 1103515245 + 12345) & 0x7fffffff;

    return int(($state >> 8) % $n);
}


my $calc = RF::Redis->new;
my $redis = RF::Redis->new(acl => "user default on nopass ~* &* +\@all\n"
                                  . "user nginx on >secret ~* &* +\@all\n");
my $t = Outage->new(
    workers => 2,
    redis   => $redis,
    server  => "location /api {\n    redis_fallback_api app;\n}\n",
    store   => { user => 'nginx', password => 'secret',
                 write_interval => '20ms' });


sub api {
    my (@argv) = @_;

    for my $try (0, 1) {
        $conn = $t->nginx->conn unless $conn && $conn->{sock};

        my $res = $t->nginx->post('/api', $json->encode(\@argv),
                                  conn => $conn);
        my $answer = eval { $json->decode($res->{body}) };

        if (ref $answer eq 'HASH') {
            trace('nginx', @argv, '=>', $res->{body});
            return exists $answer->{error} ? $answer : $answer->{result};
        }

        die "@argv: $res->{status} $res->{error}\n" if $try;
        undef $conn;
    }
}


sub trace {
    diag("@_") if $ENV{MERGE_TRACE};
}


# Redis stays, nginx may not use it

sub cut_off {
    $redis->cmd('ACL', 'SETUSER', 'nginx', 'off');
    $redis->cmd('CLIENT', 'KILL', 'USER', 'nginx');
    ok($t->falls_back, 'nginx is cut off') or diag(explain($t->status));
}


sub let_in {
    my ($name) = @_;

    $redis->cmd('ACL', 'SETUSER', 'nginx', 'on');
    ok($t->wait_normal, "$name: normal again") or diag(explain($t->status));
    is($t->status->{pending}, 0, "$name: nothing is pending");
    is($t->status->{recovery}{failed}, 0, "$name: nothing was refused");
}


# keys that nginx knows completely: made by it, or by somebody else and read

sub make {
    my ($key, $type, $run) = @_;

    my %make = (
        count  => [ SET => $key, any(100) ],
        float  => [ SET => $key, any(100) ],
        string => [ SET => $key, 'base' . any(100) ],
        hash   => [ HSET => $key, (map { ("f$_" => any(50)) } 1 .. any(9)),
                    'base', 1 ],
        set    => [ SADD => $key, (map { "m$_" } 1 .. any(9)), 'base' ],
        zset   => [ ZADD => $key, (map { (any(20) => "m$_") } 1 .. any(9)),
                    0, 'base' ],
        list   => [ RPUSH => $key, map { "$key-$_" } 0 .. any(9) ],
    );

    $run->('DEL', $key);
    $run->(@{ $make{$type} });
    $run->('EXPIRE', $key, 10000 + any(1000)) if any(4) == 0;
}


sub look {
    my ($key, $type) = @_;

    my %read = (hash => [ 'HGETALL' ], set => [ 'SMEMBERS' ],
                zset => [ 'ZRANGE', 0, -1, 'WITHSCORES' ],
                list => [ 'LRANGE', 0, -1 ]);
    my ($verb, @args) = @{ $read{$type} || [ 'GET' ] };

    return api($verb, $key, @args);
}


sub differ {
    my ($is, $want, $name) = @_;

    my @bad;

    for my $key (sort keys %$want) {
        next if grep { same($is->{$key}, $_) } @{ $want->{$key} };

        push @bad, "$key: is   $is->{$key}",
                   map { "$key: want $_" } @{ $want->{$key} };
    }

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(scalar @bad, 0, "$name (SEED=$seed)") or diag(join "\n", @bad);
}


sub same {
    my ($is, $want) = map { [ /^(.*?)(?:, until (\d+))?$/s ] } @_;

    return $is->[0] eq $want->[0]
           && defined $is->[1] == defined $want->[1]
           && (!defined $is->[1] || abs($is->[1] - $want->[1]) <= 2);
}


# in an outage nginx has of a key what Redis has, or nothing

sub remembered {
    my ($keys, $name) = @_;

    my (%is, %want);

    for my $key (sort keys %$keys) {
        my $type = $keys->{$key};
        my $reply = look($key, $type);

        next if !defined $reply || ref $reply && !@$reply;

        $is{$key} = Merge::content($type, $reply);
        $want{$key} = [ Merge::text($redis, $key, $type) =~ s/, until \d+$//r ];
    }

    differ(\%is, \%want, "$name: what nginx remembers is right");
}


sub round {
    my ($round) = @_;

    my $name = "round $round";
    my $merge = Merge->new($calc, \&any);
    my %keys;

    # known completely, and not at all

    for my $type (@types) {
        $keys{"$type:$round:made"} = $type;
        make("$type:$round:made", $type, \&api);
    }

    let_in("$name, made");

    for my $type (@types) {
        $keys{"$type:$round:read"} = $type;
        make("$type:$round:read", $type, sub { $redis->cmd(@_) });
        look("$type:$round:read", $type);
    }

    cut_off();

    $merge->know($_, $keys{$_}, $redis) for sort keys %keys;

    for my $type (@types) {
        for my $i (1, 2) {
            $merge->key("$type:$round:part$i", $type);
            $keys{"$type:$round:part$i"} = $type;
        }
    }

    my $restart = $round % 3 == 2 ? 200 + any(200) : 0;
    my @wrong;

    for my $i (1 .. 600) {

        if ($i == $restart) {
            undef $conn;
            ok($t->nginx->stop, "$name: stops");
            $t->nginx->start;
            $merge->forget;
            ok($t->wait_fallback, "$name: starts in the outage");
        }

        if (any(3) == 0) {
            my $argv = $merge->remote;
            my ($reply, $error) = $redis->try(@$argv);
            trace('redis', @$argv, '=>', Merge::flat($reply));
            next;
        }

        my $op = $merge->local;
        my $wrong = $merge->done($op, api(@{ $op->{argv} }));

        push @wrong, "@{ $op->{argv} }: $wrong" if defined $wrong;
    }

    is(scalar @wrong, 0, "$name: nginx answers as Redis does (SEED=$seed)")
        or diag(join "\n", @wrong);

    my %want = $merge->want($redis);

    let_in($name);

    my %is = map { $_ => Merge::text($redis, $_, $keys{$_}) } keys %keys;
    differ(\%is, \%want, "$name: Redis holds it");

    my @more;
    ok(wait_for(sub {
        !(@more = grep { /:redis_fallback:/ } @{ $redis->cmd('KEYS', '*') });
    }), "$name: and nothing else") or diag("@more");

    cut_off();
    remembered(\%keys, $name);
}


cut_off();

for (1 .. $rounds) {
    round($_);
}

$redis->cmd('ACL', 'SETUSER', 'nginx', 'on');
ok($t->wait_normal, 'normal at the end');
ok($t->nginx->stop, 'stops');
$t->nginx->check_logs;

done_testing;
