package Bench::Lock;

# How long commands on large collections hold the lock of the zone: perf's
# probes at nginx's ngx_shmtx_lock() and ngx_shmtx_unlock(), which one worker
# uses for nothing else, and where it has nobody to wait for.  A command may take
# and give the lock many times; what counts is the longest of them.

use strict;
use warnings;

use JSON::PP ();
use RF;
use Bench;
use Time::HiRes ();

my $json = JSON::PP->new->allow_nonref;

# of N elements; needs: the collections that are made for it, "l" with every
# second element "x".  A command that changes nothing comes first

sub commands {
    my ($n) = @_;

    my $half = $n / 2;
    my @fields = map { (sprintf('e%04d', $_ * int($n / 1000)), 'w' x 10) }
                 1 .. 1000;

    return (
        [ 'HGETALL', 'h', 'HGETALL', 'h' ],
        [ 'LRANGE 0 -1', 'l', 'LRANGE', 'l', 0, -1 ],
        [ 'SMEMBERS', 's', 'SMEMBERS', 's' ],
        [ 'SINTER of two', 'st', 'SINTER', 's', 't' ],
        [ 'SUNIONSTORE of two', 'st', 'SUNIONSTORE', 'd', 's', 't' ],
        [ 'ZRANGE 0 -1 WITHSCORES', 'z', 'ZRANGE', 'z', 0, -1,
          'WITHSCORES' ],
        [ 'HSET of 1,000 fields', 'h', 'HSET', 'h', @fields ],
        [ 'LREM of every second one', 'l', 'LREM', 'l', 0, 'x' ],
        [ 'LTRIM to the middle half', 'l', 'LTRIM', 'l', $n / 4,
          $n - $n / 4 ],
        [ 'SPOP of one half', 's', 'SPOP', 's', $half ],
        [ 'ZREMRANGEBYRANK of one half', 'z', 'ZREMRANGEBYRANK', 'z',
          $n / 4, $n - $n / 4 - 1 ],
        [ 'COPY of a hash', 'h', 'COPY', 'h', 'd' ],
        [ 'COPY of a sorted set', 'z', 'COPY', 'z', 'd' ],
        [ 'RENAME of a hash', 'h', 'RENAME', 'h', 'd' ],
        [ 'RENAME of a sorted set', 'z', 'RENAME', 'z', 'd' ],
        [ 'DEL of a hash', 'h', 'DEL', 'h' ],
        [ 'DEL of a list', 'l', 'DEL', 'l' ],
        [ 'DEL of a sorted set', 'z', 'DEL', 'z' ],
    );
}


# a function that executes a command, and dies of an error

sub api {
    my ($nginx, $uri) = @_;

    my $conn = $nginx->conn;

    return sub {
        my $res = $nginx->post($uri, $json->encode([ @_ ]), conn => $conn,
                               timeout => 60);

        die "$_[0] $_[1]: $res->{status} " . substr($res->{body} || '', 0, 200)
            . "\n" if $res->{status} != 200;

        return $json->decode($res->{body})->{result};
    };
}


# N elements: e0001, ...; in a list with "half" every second one is "x"

sub build {
    my ($api, $type, $key, $n, $half) = @_;

    for (my $from = 1; $from <= $n; $from += 500) {
        my $to = $from + 499 < $n ? $from + 499 : $n;
        my %name = map { $_ => sprintf 'e%04d', $_ } $from .. $to;

        if ($type eq 'h') {
            $api->('HSET', $key, map { ($name{$_}, 'v' x 10) } $from .. $to);

        } elsif ($type eq 'l') {
            $api->('RPUSH', $key, map { $half && $_ % 2 ? 'x' : $name{$_} }
                                  $from .. $to);

        } elsif ($type eq 's') {
            $api->('SADD', $key, values %name);

        } else {
            $api->('ZADD', $key, map { ($_ * 7919 % 1000003, $name{$_}) }
                                 $from .. $to);
        }
    }
}


# undef where there are no probes

sub new {
    my ($class) = @_;

    return undef unless $> == 0
                 && grep { -x "$_/perf" } split /:/, $ENV{PATH};

    my $self = bless { group => "rf_lock_$$", void => [], owner => $$ },
                     $class;

    my ($nginx) = grep { -x } RF::nginx_binary(),
                  map { "$_/" . RF::nginx_binary() } split /:/, $ENV{PATH};

    for my $name (qw(lock unlock)) {
        system("perf probe -q -x '$nginx' --add "
               . "'$self->{group}:$name=ngx_shmtx_$name' > /dev/null 2>&1")
            == 0 or return undef;
    }

    return $self;
}


sub DESTROY {
    my ($self) = @_;

    local ($?, $!);
    system("perf probe -q -d '$self->{group}:*' > /dev/null 2>&1")
        if $self->{owner} == $$;
}


sub run {
    my ($self, $redis, $n, $rounds) = @_;

    my $back = RF::Redis->new(start => 0);
    my $nginx = Bench::start_nginx(
        http   => http_conf($redis->port, $back->port),
        server => join '', map { "location /$_ { redis_fallback_api $_; }\n" }
                           qw(bare disk back live));

    $nginx->wait_mode('fallback', 10, 'bare');
    $nginx->wait_mode('normal', 10, 'live');

    my $dir = RF::tempdir('perf');
    my $group = $self->{group};
    my $pid = RF::spawn('perf', "$dir/out", {}, 'perf', 'record', '-q', '-k',
                        'CLOCK_MONOTONIC', '--switch-events', '-m', '4M',
                        '-e', "$group:lock,$group:unlock", '-t',
                        ($nginx->workers)[0], '-o', "$dir/data");
    Time::HiRes::sleep(1);

    $self->{windows} = {};
    $self->{serial} = 0;
    $self->{rows} = [];

    my $api = api($nginx, '/bare');

    for (1 .. $rounds) {
        $self->window('floor', 0, sub { $api->('GET', 'nothing') }) for 1 .. 9;
        $self->round($api, $n, $_) for 0, 1;
        $self->others($nginx, $redis, $back, $n);
    }

    RF::end($pid, 'INT', 60);
    push @{ $self->{void} }, 'lock: the log has errors, see above'
        if Bench::bad_log($nginx);
    $nginx->stop;

    $self->holds("$dir/data");

    return $self->table($n, $rounds);
}


sub http_conf {
    my ($redis_port, $back_port) = @_;

    my $down_port = RF::free_port();

    return <<END;
    keepalive_requests 1000000000;

    redis_fallback_store bare {
        zone    512m;
        server  127.0.0.1:$down_port;
        path    off;
    }

    redis_fallback_store disk {
        zone            256m;
        server          127.0.0.1:$down_port;
        path            %%DIR%%/disk;
        write_interval  100ms;
    }

    redis_fallback_store back {
        zone            256m;
        server          127.0.0.1:$back_port;
        path            off;
        check_interval  250ms;
    }

    redis_fallback_store live {
        zone    256m;
        server  127.0.0.1:$redis_port;
        path    off;
        cache   1h;
    }
END
}


# each command once, "whole": on a key of which all is known, so that Redis is
# told a replacement; otherwise on one that began in the outage, of which each
# change is noted

sub round {
    my ($self, $api, $n, $whole) = @_;

    for my $command (commands($n)) {
        my ($title, $needs, @argv) = @$command;
        my $serial = ++$self->{serial};
        my @keys = map { "$_$serial" } split //, $needs . 'd';

        for my $key (@keys[0 .. $#keys - 1]) {
            (my $type = substr $key, 0, 1) =~ tr/t/s/;

            $api->('SET', $key, 'v') if $whole;
            $api->('DEL', $key) if $whole;
            build($api, $type, $key, $n, $title =~ /^LREM/);
        }

        # keys are single letters

        $_ = /^[hlstzd]$/ ? "$_$serial" : $_ for @argv[1 .. $#argv];

        $self->window($title, $whole, sub { $api->(@argv) });

        for my $key (@keys) {
            $api->('DEL', $key);
        }
    }
}


# what is not a command

sub others {
    my ($self, $nginx, $redis, $back, $n) = @_;

    my $serial = ++$self->{serial};
    my $key = "h$serial";

    # files

    my $api = api($nginx, '/disk');

    build($api, 'h', $key, $n);
    Time::HiRes::sleep(1);
    $self->window('HSET of one field, and the file', 0,
                  sub { $api->('HSET', $key, 'e0001', 'w');
                        Time::HiRes::sleep(1.5) });
    $api->('DEL', $key);

    # recovery

    $api = api($nginx, '/back');

    build($api, 'h', $key, $n);
    $self->window('recovery of a hash', 0, sub {
        $back->start;
        $nginx->wait_mode('normal', 60, 'back')
            || push @{ $self->{void} }, 'lock: no recovery';
    });
    $api->('DEL', $key);
    $back->stop;
    $api->('GET', 'nothing') while !$nginx->wait_mode('fallback', 1, 'back');

    # what Redis answers

    $redis->pipeline(map { [ 'HSET', $key, sprintf('e%04d', $_), 'v' x 10 ] }
                     1 .. $n);
    $api = api($nginx, '/live');
    $self->window('HGETALL that Redis answers', 0,
                  sub { $api->('HGETALL', $key) });
    $api->('DEL', $key);
}


sub monotonic {
    return Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC());
}


sub window {
    my ($self, $title, $whole, $do) = @_;

    my $from = monotonic();
    $do->();
    my $to = monotonic();

    push @{ $self->{rows} }, $title unless $self->{windows}{$title};
    push @{ $self->{windows}{$title}[$whole] }, { from => $from, to => $to };
}


# The longest of each window, and what all of them are, in ms of CPU time: when
# others had the worker's core, that is the machine's matter.

sub holds {
    my ($self, $data) = @_;

    my @windows = sort { $a->{from} <=> $b->{from} }
                  map { @{ $_ || [] } } map { @$_ }
                  values %{ $self->{windows} };
    my $lost = `perf report -i $data --stats 2> /dev/null | grep LOST`;
    my ($since, $off, $i) = (undef, 0, 0);

    push @{ $self->{void} }, "lock: events were lost: $lost" if $lost;

    open my $events, '-|',
        "perf script -i $data --ns --show-switch-events -F time,event "
        . '2> /dev/null'
        or die "perf script: $!\n";

    while (<$events>) {
        my ($time, $what) = /([\d.]+):\s+.*?(IN|OUT|unlock|lock)\b/ or next;

        if ($what eq 'lock') {
            $since = $time;
            next;
        }

        if ($what ne 'unlock') {
            $since += $what eq 'IN' ? $time - $off : 0 if defined $since;
            $off = $time;
            next;
        }

        next unless defined $since;

        $i++ while $i < @windows && $windows[$i]{to} < $since;
        last if $i == @windows;

        my $window = $windows[$i];

        if ($since >= $window->{from}) {
            my $ms = ($time - $since) * 1000;
            $window->{max} = $ms if $ms > ($window->{max} || 0);
            $window->{sum} += $ms;
            $window->{n}++;
        }

        undef $since;
    }

    close $events;
}


sub table {
    my ($self, $n, $rounds) = @_;

    my $text = sprintf "| %s elements | longest hold of the lock, ms | spread "
                       . "| holds | in all, ms | all known: longest | spread "
                       . "| holds | in all, ms |\n|%s\n",
                       Bench::thousands($n), ' --- |' x 9;

    for my $title (@{ $self->{rows} }) {
        my $cells = '';

        for my $whole (0, 1) {
            my $all = $self->{windows}{$title}[$whole];
            my @seen = grep { $_->{n} } @{ $all || [] };

            if (!$all) {
                $cells .= ' | | | |';
                next;
            }

            if (!@seen) {
                push @{ $self->{void} }, "lock: none seen of $title";
                next;
            }

            $cells .= sprintf ' %.2f | %s | %s | %.1f |',
                              Bench::median(map { $_->{max} } @seen),
                              Bench::spread('max', @seen),
                              Bench::thousands(Bench::median(
                                  map { $_->{n} } @seen)),
                              Bench::median(map { $_->{sum} } @seen);
        }

        my $name = $title eq 'floor' ? 'GET of nothing' : $title;
        $text .= "| $name |$cells\n";
    }

    return "$text\nMedians of $rounds; CPU time, with perf's probes at the "
           . "lock's two functions. \"All known\": of a key that was\nreplaced in the "
           . "outage; otherwise of one that began in it, where each change is "
           . "noted for Redis.\n";
}


1;
