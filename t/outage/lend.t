# Values that go to the client right out of the zone: they are replaced,
# deleted and evicted while clients still read them, slowly, through filters, or
# not to the end.  Each response is the value that it began with.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use Compress::Zlib ();
use Time::HiRes ();

my $MB = 1024 * 1024;


sub bed {
    my ($workers) = @_;

    my $redis = RF::Redis->new(start => 0);

    return Outage->new(workers => $workers, redis => $redis,
        store  => { path => 'off', zone => '64m' },
        server => <<'END');
    location /rate/ {
        limit_rate 4k;
        redis_fallback_pass app;
    }
    location /gzip/ {
        gzip on;
        gzip_types *;
        gzip_min_length 1;
        redis_fallback_pass app;
    }
    location /sub/ {
        sub_filter_types *;
        sub_filter_once off;
        sub_filter NEEDLE pin;
        redis_fallback_pass app;
    }
    location /ssi/ {
        ssi on;
        ssi_types *;
        redis_fallback_pass app;
    }
    location /after/ {
        add_after_body /part;
        addition_types *;
        redis_fallback_pass app;
    }
    location = /part {
        redis_fallback_key part;
        redis_fallback_pass app;
    }
END
}


# a request whose response is read later; of what is large the kernel has not
# all of it

sub ask {
    my ($t, $uri, %headers) = @_;

    my $conn = $t->nginx->conn;

    $conn->write(RF::HTTP::format_request('GET', $uri, headers => \%headers),
                 now() + slow(10));

    # it has begun

    $conn->ready(0, now() + slow(10)) or fail("$uri: no response");

    return $conn;
}


sub answer { return RF::HTTP::read_response($_[0], 'GET', now() + slow(60)) }


# all that is free in the zone gets something else

sub fill {
    my ($t) = @_;

    my $body = 'f' x 100000;

    for (1 .. 800) {
        my $res = $t->put("fill$_", $body);
        return if $res->{status} != 204;
    }

    fail('the zone is never full');
}


sub unfill {
    my ($t) = @_;

    $t->delete("fill$_") for 1 .. 800;
}


# compared here, so that a failure does not print megabytes

sub same {
    my ($got, $expected, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return ok($got eq $expected, $name)
           || diag(length($got) . ' bytes for ' . length($expected) . ': '
                   . substr($got, 0, 60) . ' ... ' . substr($got, -60));
}


sub slow_clients {
    my $t = bed(2);

    ok($t->falls_back, 'fallback');

    my %value = (big => 'b' x (6 * $MB), page => 'p' x 4000,
                 rate => 'r' x 9000);

    $t->put($_, $value{$_}) for sort keys %value;

    my $before = $t->status->{memory}{used};
    my @conns = map { [ $_ % 2 ? 'page' : 'big', ask($t, $_ % 2 ? '/kv/page'
                                                             : '/kv/big') ]
                    } 1 .. 6;

    push @conns, [ 'rate', ask($t, '/rate/rate') ] for 1 .. 2;

    # and two that go away

    my @gone = map { ask($t, '/kv/big') } 1 .. 2;

    $t->put('big', 'B' x (6 * $MB));
    $t->put('rate', 'R' x 9000);
    $t->delete('page');
    fill($t);

    $_->close for @gone;

    for my $i (0 .. $#conns) {
        my ($name, $conn) = @{ $conns[$i] };
        same(answer($conn)->{body}, $value{$name}, "client $i: $name");
    }

    same($t->get('big')->{body}, 'B' x (6 * $MB), 'the new value');
    is($t->get('page')->{status}, 404, 'what was deleted is gone');

    unfill($t);
    $t->delete($_) for qw(big rate);

    ok(wait_for(sub { $t->put('again', 'a')->{status} == 204
                      && $t->status->{memory}{used} <= $before }),
       'and all of it is freed') or diag($t->status->{memory}{used}
                                         . " of $before");

    ok($t->nginx->stop, 'stops');
    $t->nginx->check_logs;
}


# memory answers because Redis vouches for it, and does not any more while the
# client reads

sub tracked {
    my $redis = RF::Redis->new;
    my $t = Outage->new(workers => 2, redis => $redis,
                        store => { path => 'off', zone => '64m' });
    my $big = 'b' x (6 * $MB);

    ok($t->tracks, 'tracked: Redis vouches');
    $redis->cmd('SET', 'big', $big);

    ok(wait_for(sub {
        return !grep { ($t->get('big')->{tier} || '') ne 'memory' } 1 .. 4;
    }), 'tracked: memory answers');

    my @conns = map { ask($t, '/kv/big') } 1 .. 4;

    $redis->cmd('SET', 'big', 'B' x (6 * $MB));

    for my $i (1 .. 700) {
        $redis->cmd('SET', "fill$i", 'f' x 100000);
        $t->get("fill$i");
    }

    same(answer($conns[$_])->{body}, $big, "tracked: client $_")
        for 0 .. $#conns;
    same($t->get('big')->{body}, 'B' x (6 * $MB), 'tracked: the new value');

    ok($t->nginx->stop, 'tracked: stops');
    $t->nginx->check_logs;
}


sub filters {
    my $t = bed(1);

    ok($t->falls_back, 'fallback');

    # of little order, so that what gzip makes of it is more than the kernel
    # takes

    my $random = join '', map { chr int rand 256 } 1 .. 400000;
    $random x= 15;

    my $needles = ('x' x 997 . 'NEEDLE') x 6000;
    my $pieces = ('s' x 900 . '<!--# include virtual="/part" -->') x 5;

    my $followed = 'a' x (6 * $MB);

    my %value = (random => $random, needles => $needles, pieces => $pieces,
                 followed => $followed, part => 'P' x 3000);
    my %uri = (random => '/gzip/random', needles => '/sub/needles',
               pieces => '/ssi/pieces', followed => '/after/followed');

    (my $pins = $needles) =~ s/NEEDLE/pin/g;
    (my $whole = $pieces) =~ s/<!--.*?-->/'P' x 3000/ge;

    my %expected = (random => $random, needles => $pins, pieces => $whole,
                    followed => $followed . 'P' x 3000);

    $t->put($_, $value{$_}) for sort keys %value;

    for my $round (1 .. 2) {
        my %conns = map {
            $_ => ask($t, $uri{$_}, 'Accept-Encoding' => 'gzip')
        } sort keys %uri;

        $t->put($_, '-' x length $value{$_}) for sort keys %uri;
        fill($t);

        for my $name (sort keys %conns) {
            my $res = answer($conns{$name});
            my $body = $res->{body};

            $body = Compress::Zlib::memGunzip($body)
                if ($res->{headers}{'content-encoding'} || '') eq 'gzip';

            same($body || '', $expected{$name}, "round $round: $uri{$name}");
        }

        unfill($t);
        $t->put($_, $value{$_}) for sort keys %uri;
    }

    my $head = $t->nginx->head('/kv/part');
    is($head->{headers}{'content-length'}, 3000, 'HEAD');
    same($t->nginx->get('/kv/part', http => '1.0')->{body}, 'P' x 3000,
         'and GET behind it');

    ok($t->nginx->stop, 'stops');
    $t->nginx->check_logs;
}


# values of which each byte is the same, by two workers, over reloads

sub hammer {
    my $t = bed(2);

    ok($t->falls_back, 'fallback');

    my $end = now() + 4;
    my $write = sub {
        my ($seed) = @_;
        my ($n, $conn) = (0);

        while (now() < $end) {
            $n++;
            $conn = $t->nginx->conn if !$conn || !$conn->{sock};

            my $body = chr(97 + ($n * 7 + $seed) % 26)
                       x (100000 + $n * 7919 % 100000);
            RF::HTTP::request($t->nginx->port, 'PUT', '/kv/k' . $n % 5,
                              body => $body, conn => $conn);
        }

        return $n;
    };
    my $read = sub {
        my ($seed) = @_;
        my ($n, $wrong, $conn) = (0, 0);

        while (now() < $end) {
            $n++;
            $conn = $t->nginx->conn if !$conn || !$conn->{sock};

            my $res = RF::HTTP::request($t->nginx->port, 'GET',
                '/kv/k' . ($n + $seed) % 5, conn => $conn);
            next unless $res->{status} == 200 && !$res->{error};

            my $first = substr $res->{body}, 0, 1;
            $wrong++ if $res->{body} =~ /[^\Q$first\E]/;
        }

        return "$wrong wrong of " . ($n > 100 ? 'many' : $n);
    };

    my @children;

    for my $job ([ $write, 1 ], [ $write, 2 ], map { [ $read, $_ ] } 1 .. 3) {
        pipe my $in, my $out or die "pipe: $!\n";
        my $pid = fork;
        die "fork: $!\n" unless defined $pid;

        if ($pid == 0) {
            my ($code, $seed) = @$job;
            syswrite $out, $code->($seed);
            POSIX::_exit(0);
        }

        push @children, [ $pid, $in, $job->[0] == $read ];
        close $out;
    }

    while (now() < $end - 1) {
        $t->nginx->reload;
        Time::HiRes::sleep(0.5);
    }

    for my $child (@children) {
        my ($pid, $in, $reader) = @$child;
        my $text = join '', <$in>;
        waitpid $pid, 0;
        is($text, '0 wrong of many', 'read') if $reader;
    }

    ok($t->nginx->stop, 'stops');
    $t->nginx->check_logs;
}


slow_clients();
tracked();
filters();
hammer();

done_testing;
