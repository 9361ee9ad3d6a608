# Where Redis is and who asks it: names, IPv6, unix sockets, passwords, ACL
# users, databases; in normal mode and over an outage.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;

use Socket ();


# written, an outage, recovered: with this store before this Redis

sub works {
    my ($name, $workers, $redis, %opt) = @_;

    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => $opt{store});
    my %expect = (a => 'two', b => 'three', n => 8, gone => undef);
    my $address = $opt{address};

    $name = "$workers workers, $name";

    is($t->put('a', 'one')->{status}, 204, "$name: written");
    is($t->mode, 'normal', "$name: normal");
    is($redis->cmd('GET', 'a'), 'one', "$name: it is in Redis");
    my $res = $t->get('a');
    is($res->{body}, 'one', "$name: and read");
    is($res->{tier}, 'redis', "$name: from there");
    $redis->cmd('SET', 'n', 5);
    $redis->cmd('SET', 'gone', 'soon');
    is($t->get('n')->{body}, 5, "$name: what others wrote, too");
    is($t->status->{redis}{address}, $address, "$name: the status names it")
        if defined $address;

    $redis->kill;
    is($t->put('a', 'two')->{status}, 204, "$name: written without Redis");
    is($t->put('b', 'three')->{status}, 204, "$name: another");
    is($t->run('INCRBY', 'n', 3)->{body}, 8, "$name: counted");
    $t->delete('gone');
    is($t->mode, 'fallback', "$name: fallback");

    # before nginx finds it there

    my @workers = $t->nginx->workers;
    CORE::kill('STOP', @workers);
    $redis->start;
    $redis->cmd('SET', 'n', 5);
    $redis->cmd('SET', 'gone', 'soon');
    CORE::kill('CONT', @workers);
    $t->recovered(\%expect, $name);
    ok($t->nginx->stop, "$name: stops");

    unlike($t->nginx->log, qr/s3cret/,
           "$name: no secret in the log") if $opt{secret};
    $t->nginx->check_logs;
}


sub ipv6 {
    my $sock;

    socket $sock, Socket::PF_INET6(), Socket::SOCK_STREAM(), 0 or return 0;

    return bind $sock, Socket::pack_sockaddr_in6(0,
               Socket::inet_pton(Socket::AF_INET6(), '::1'));
}


sub addresses {
    my ($workers) = @_;

    my $redis = RF::Redis->new;
    my $port = $redis->port;

    works('a name', $workers, $redis,
          address => "localhost:$port",
          store => { server => "localhost:$port" });

    my $unix = RF::Redis->new(unix => 1);
    chmod 0755, $unix->dir;
    works('a unix socket', $workers, $unix,
          address => 'unix:' . $unix->unix,
          store => { server => 'unix:' . $unix->unix });

  SKIP: {
        skip 'no IPv6 here', 1 unless ipv6();

        my $six = RF::Redis->new(conf => 'bind 127.0.0.1 ::1');
        works('IPv6', $workers, $six,
              address => '[::1]:' . $six->port,
              store => { server => '[::1]:' . $six->port });
    }
}


# names and sockets that are not there (yet)

sub missing {
    my ($workers) = @_;

    my $name = "$workers workers, missing";
    my $redis = RF::Redis->new(start => 0, unix => 1);
    chmod 0755, $redis->dir;

    for my $server ('unix:' . $redis->unix, 'no-such-host.invalid:6379') {
        my $t = Outage->new(workers => $workers, redis => $redis,
                            store => { server => $server });
        my $waited = waited();
        my $res = $t->put('a', 'one');

        is($res->{status}, 204, "$name, $server: written");
        ok($res->{elapsed} < budget() + waited() - $waited,
           "$name, $server: in time")
            or diag($res->{elapsed});
        is($t->get('a')->{body}, 'one', "$name, $server: read");
        is($t->mode, 'fallback', "$name, $server: fallback");
        ok($t->nginx->stop, "$name, $server: stops");
        $t->nginx->check_logs;
    }

    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { server => 'unix:' . $redis->unix });
    is($t->put('a', 'one')->{status}, 204, "$name: written");
    $redis->start;
    $t->recovered({ a => 'one' }, $name);
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


sub passwords {
    my ($workers) = @_;

    my $secret = 's3cret with "quotes", blanks and \\';
    my $quoted = $secret =~ s/([\\"])/\\$1/gr;
    my $redis = RF::Redis->new(conf => "requirepass \"$quoted\"");
    $redis->{password} = $secret;
    my $write_conf = \&RF::Redis::write_conf;
    no warnings 'redefine';
    local *RF::Redis::write_conf = sub {
        local $_[0]{password};
        $write_conf->($_[0]);
    };

    works('a password', $workers, $redis, secret => 1,
          store => { password => "\"$quoted\"" });

    my $file = tempdir('secret') . '/password';
    RF::spew($file, "$secret\n");
    chmod 0600, $file;
    works('a password file', $workers, $redis, secret => 1,
          store => { password_file => $file });
}


# the user has what it needs and nothing else; "default" is the test's own

sub users {
    my ($workers) = @_;

    my $acl = "user default on nopass ~* &* +\@all\n"
              . "user app on >s3cret ~* &* +\@all\n"
              . "user blind on >s3cret ~* &* +\@all -info -dbsize\n";
    my $redis = RF::Redis->new(acl => $acl);

    works('a user', $workers, $redis, secret => 1,
          store => { user => 'app', password => 's3cret' });
    works('a user without INFO', $workers, $redis, secret => 1,
          store => { user => 'blind', password => 's3cret' });
}


sub databases {
    my ($workers) = @_;

    my $redis = RF::Redis->new;
    $redis->{database} = 3;

    works('a database', $workers, $redis, store => { database => 3 });

    my $other = RF::Redis->new(port => $redis->port, start => 0);
    is(scalar(@{ $other->cmd('KEYS', '*') }), 0,
       "$workers workers, a database: the first one is empty");
    is($redis->cmd('GET', 'a'), 'two', "$workers workers: the fourth is not");
}


# not let in: an outage, until we are

sub refused {
    my ($workers) = @_;

    my $name = "$workers workers, refused";
    my $redis = RF::Redis->new(password => 'first');
    my $t = Outage->new(workers => $workers, redis => $redis,
                        store => { password => 's3cret' });

    is($t->put('a', 'one')->{status}, 204, "$name: written");
    is($t->mode, 'fallback', "$name: fallback");
    like($t->nginx->log, qr/\[error\] .*redis refused AUTH: WRONGPASS/,
         "$name: the log says why");
    is($redis->cmd('EXISTS', 'a'), 0, "$name: not in Redis");

    $redis->cmd('CONFIG', 'SET', 'requirepass', 's3cret');
    $redis->{password} = 's3cret';
    $t->recovered({ a => 'one' }, $name);
    unlike($t->nginx->log, qr/s3cret/, "$name: no secret in the log");

    # a database that is not there

    $t->configure(database => 99);
    ok($t->nginx->reload, "$name: database 99");
    is($t->put('b', 'two')->{status}, 204, "$name: written");
    is($t->mode, 'fallback', "$name: fallback");
    like($t->nginx->log, qr/\[error\] .*redis refused SELECT: ERR/,
         "$name: the log says why");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs;
}


for my $workers (1, 4) {
    addresses($workers);
    missing($workers);
    passwords($workers);
    users($workers);
    databases($workers);
    refused($workers);
}

done_testing;
