package Outage;

# What the tests of t/outage/ share: nginx with one store before a Redis, in
# which the outages are made.
#
#     my $redis = RF::Redis->new;
#     my $t = Outage->new(workers => 4, redis => $redis,
#                         store => { recovery_rate => 100 });
#
#     $t->put('a', 'value');              # a response of RF::HTTP
#     $t->put('a', 'value', ttl => '300ms');
#     $t->run('INCRBY', 'n', 5);          # its reply is the body
#     $t->nginx->wait_mode('normal');
#
# Keys of run() are words: they are not decoded.  Each response tells what
# nginx says of the operation: {mode}, {tier}, {result}, {worker}.
#
# Locations: /kv/KEY, and /run/COMMAND?k=&a=&b=&c=.  The server listens on a
# second port, ->spread, with a socket for each worker, so that ->conns can
# give a connection to each.
#
# In the store: timeouts of 200ms and 300ms times RF_SLOW, or a Redis that waits
# for a processor is an outage; probes each 200ms, cache tracking, or what
# RF_CACHE says.
# Options: workers, redis, store (more lines, or undef to take one away),
# lines (text for the block), server, http, start, as RF::Nginx has them.

use strict;
use warnings;

use RF;
use Journal;

use parent 'Exporter';

our @EXPORT = qw(budget differences holds record_files expects);

# the longest time that a request may wait for Redis, in the store above

our $CONNECT = slow(0.2);
our $TIMEOUT = slow(0.3);

my %commands = (
    APPEND      => '$arg_k $arg_a',
    COPY        => '$arg_k $arg_a',
    DECR        => '$arg_k',
    DEL         => '$arg_k',
    EXISTS      => '$arg_k',
    EXPIRE      => '$arg_k $arg_a',
    GET         => '$arg_k',
    GETDEL      => '$arg_k',
    GETEX       => '$arg_k $arg_a $arg_b',
    GETRANGE    => '$arg_k $arg_a $arg_b',
    GETSET      => '$arg_k $arg_a',
    INCR        => '$arg_k',
    INCRBY      => '$arg_k $arg_a',
    INCRBYFLOAT => '$arg_k $arg_a',
    MGET        => '$arg_k $arg_a',
    MSET        => '$arg_k $arg_a $arg_b $arg_c',
    PERSIST     => '$arg_k',
    PEXPIRE     => '$arg_k $arg_a',
    PTTL        => '$arg_k',
    RENAME      => '$arg_k $arg_a',
    SETNX       => '$arg_k $arg_a',
    SETRANGE    => '$arg_k $arg_a $arg_b',
    STRLEN      => '$arg_k',
    TTL         => '$arg_k',
    TYPE        => '$arg_k',
    XADD        => '$arg_k * $arg_a $arg_b',
);


sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, spread => RF::free_port() }, $class;

    my %store = (
        server          => '127.0.0.1:' . $opt{redis}->port,
        path            => '%%DIR%%/app',
        connect_timeout => int(1000 * $CONNECT) . 'ms',
        timeout         => int(1000 * $TIMEOUT) . 'ms',
        check_interval  => '200ms',
        cache           => $ENV{RF_CACHE} || 'tracking',
        %{ $opt{store} || {} },
    );

    $self->{lines} = \%store;
    $self->{nginx} = RF::Nginx->new(
        workers => $opt{workers} || 1,
        http    => $self->http,
        server  => $self->server,
        map { exists $opt{$_} ? ($_ => $opt{$_}) : () } qw(start log_level),
    );

    return $self;
}


sub nginx  { $_[0]{nginx} }
sub redis  { $_[0]{redis} }
sub spread { $_[0]{spread} }


sub http {
    my ($self) = @_;

    my $lines = $self->{lines};
    my $text = join '', map { "    $_ $lines->{$_};\n" }
                        grep { defined $lines->{$_} } sort keys %$lines;

    return <<END . ($self->{http} || '');
redis_fallback_store app {
$text}
client_max_body_size 16m;
keepalive_timeout 1h;
server {
    listen 127.0.0.1:$self->{spread} reuseport;
@{[ $self->server ]}
}
END
}


sub server {
    my ($self) = @_;

    my $text = <<'END' . ($self->{server} || '');
    add_header X-Mode   $redis_fallback_mode always;
    add_header X-Tier   $redis_fallback_tier always;
    add_header X-Result $redis_fallback_result always;
    add_header X-Worker $pid always;
    location /kv/ {
        redis_fallback_pass app;
        redis_fallback_ttl  $arg_ttl;
    }
END

    for my $name (sort keys %commands) {
        my $location = lc $name;
        $text .= <<END;
    location = /run/$location {
        redis_fallback_set \$reply $name $commands{$name};
        return 200 "\$reply";
    }
END
    }

    return $text;
}


# One store whose path is below a directory of its own, {dir}/data/app, where
# faults can be made ($t->{shim}); Redis is not there yet.  Returns both.

sub shimmed {
    my ($class, %opt) = @_;

    require Shim;

    my $workers = delete $opt{workers};
    my $redis = RF::Redis->new(start => 0);
    my $t = $class->new(workers => $workers, redis => $redis, start => 0,
                        store => { path => '%%DIR%%/data/app', %opt });
    mkdir $t->nginx->dir . '/data';

    $t->{shim} = Shim->new(dir => $t->nginx->dir . '/data');
    $t->nginx->{shim} = $t->{shim};
    $t->nginx->start;

    return ($t, $redis);
}


# another configuration of the store: start(), test() and reload() take it

sub configure {
    my ($self, %lines) = @_;

    $self->{lines}{$_} = $lines{$_} for keys %lines;
    $self->{nginx}{http} = $self->http;

    return $self;
}


sub told {
    my ($res) = @_;

    $res->{$_} = $res->{headers}{"x-$_"} for qw(mode tier result worker);

    return $res;
}


sub escape {
    my ($text) = @_;

    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s{([^A-Za-z0-9._~:/-])}{sprintf '%%%02X', ord $1}ge;

    return $text;
}


sub uri {
    my ($key, $ttl) = @_;

    return '/kv/' . escape($key) . (defined $ttl ? "?ttl=$ttl" : '');
}


sub put {
    my ($self, $key, $value, %opt) = @_;

    return told($self->{nginx}->put(uri($key, delete $opt{ttl}), $value,
                                    %opt));
}


sub get {
    my ($self, $key, %opt) = @_;

    return told($self->{nginx}->get(uri($key), %opt));
}


sub delete {
    my ($self, $key, %opt) = @_;

    return told($self->{nginx}->delete(uri($key), %opt));
}


# the last argument may be a hash of options

sub run {
    my ($self, $command, @args) = @_;

    my %opt = ref $args[-1] ? %{ pop @args } : ();
    my @names = qw(k a b c);
    my $query = join '&', map { shift(@names) . "=$_" } @args;

    return told($self->{nginx}->get('/run/' . lc($command) . "?$query", %opt));
}


sub status { return $_[0]{nginx}->status('app') }
sub mode   { return ($_[0]->status || {})->{mode} || '' }

sub wait_normal     { return $_[0]{nginx}->wait_mode('normal', $_[1]) }
sub wait_fallback   { return $_[0]{nginx}->wait_mode('fallback', $_[1]) }
sub wait_recovering { return $_[0]{nginx}->wait_mode('recovering', $_[1]) }


# in fallback, with somebody who finds out: a key that memory may know is asked
# for until the end of the connection is read

sub falls_back {
    my ($self, $seconds) = @_;

    return wait_for(sub {
        $self->get('none');
        return $self->mode eq 'fallback';
    }, $seconds || 10);
}


sub cache { return $_[0]{lines}{cache} }


# what somebody else has changed is so for nginx, too: at once if each read asks
# Redis, with tracking soon (tracking.t knows how soon)

sub seen {
    my ($self, $check) = @_;

    return $self->cache eq 'off' ? $check->() : wait_for(sub { $check->() });
}


# with tracking: Redis vouches for what each worker reads

sub tracks {
    my ($self) = @_;

    return 1 if $self->cache ne 'tracking';

    my $conns = $self->conns;
    my $workers = keys %$conns;

    return wait_for(sub {
        $self->get("nothing$_", conn => $conns->{$_}) for keys %$conns;
        my $redis = ($self->status || return 0)->{redis};
        return $redis->{connected} == $workers && $redis->{tracking};
    }, 10);
}


# { pid => connection } to each worker

sub conns {
    my ($self) = @_;

    my %conns;

    for (1 .. 1000) {
        my $conn = RF::Conn->new($self->{spread});
        my $res = told(RF::HTTP::request($self->{spread}, 'GET', '/none',
                                         conn => $conn));
        my $pid = $res->{worker};

        $conns{$pid} ||= $conn if defined $pid;
        return \%conns if keys %conns == $self->{nginx}{workers};
    }

    die "not every worker answers\n";
}


# Seconds within which a request has to be answered; to be added is how much
# waited() has grown meanwhile.

sub budget { return $CONNECT + $TIMEOUT + slow(0.2) }


# Expected contents of Redis: { key => value, undef for none, or
# [value, time of expiry not before, not after] }, times in unix seconds.

sub expects {
    my ($value, $ttl, $before, $after) = @_;

    return [ $value, $before + $ttl, $after + $ttl ];
}


# what differs, as lines of text

sub differences {
    my ($redis, $expect) = @_;

    my $slack = slow(0.3);
    my @keys = sort keys %$expect;
    my @replies = $redis->pipeline(map { ([ GET => $_ ], [ PTTL => $_ ]) }
                                   @keys);
    my $now = now();
    my @bad;

    for my $key (@keys) {
        my ($is, $pttl) = splice @replies, 0, 2;
        my ($value, $least, $most) = ref $expect->{$key}
                                     ? @{ $expect->{$key} } : $expect->{$key};

        if (!defined $value || !defined $is) {
            next if !defined $value && !defined $is;
            push @bad, "$key: is " . show($is) . ', not ' . show($value);
            next;
        }

        if ($is ne $value) {
            push @bad, "$key: is " . show($is) . ', not ' . show($value);
        }

        if (!defined $least) {
            push @bad, "$key: expires in $pttl ms" if $pttl != -1;
            next;
        }

        my $end = $now + $pttl / 1000;

        if ($pttl < 0 || $end < $least - $slack || $end > $most + $slack) {
            push @bad, sprintf "$key: expires in %d ms, not in %d to %d", $pttl,
                       1000 * ($least - $now), 1000 * ($most - $now);
        }
    }

    return @bad;
}


sub show {
    my ($value) = @_;

    return 'missing' unless defined $value;

    my $text = length $value > 60 ? substr($value, 0, 60) . '...' : $value;
    $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;

    return "\"$text\"" . (length $value > 60 ? ' (' . length($value) . ')'
                                             : '');
}


# A test: Redis has all of that at once, and soon nothing else (the markers of
# a replay are removed behind it).  With "orphans" some may stay: those whose
# removal was lost.  They expire.

sub holds {
    my ($redis, $expect, $name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @bad = differences($redis, $expect);

    is("@bad[0 .. ($#bad > 9 ? 9 : $#bad)]", '', "$name: Redis holds it")
        or diag(scalar(@bad) . ' of ' . keys(%$expect) . ' differ');

    my %known = map { $_ => 1 } keys %$expect;
    my @more;

    ok(wait_for(sub {
        @more = grep { !$known{$_} } @{ $redis->cmd('KEYS', '*') };
        @more = grep { !/:redis_fallback:[0-9a-f]{16}$/
                       || $redis->cmd('TTL', $_) <= 0 } @more
            if $opt{orphans};
        return !@more;
    }), "$name: and nothing else") or diag("@more");
}


# the record files below a path

sub record_files {
    my ($dir) = @_;

    my @found;
    my @dirs = ($dir);

    while (defined(my $at = shift @dirs)) {
        opendir my $dh, $at or next;

        for my $name (sort readdir $dh) {
            next if $name =~ /^\.\.?$/ || $name =~ /^(quarantine|tmp)$/;
            my $file = "$at/$name";
            push @dirs, $file if -d $file && !-l $file;
            push @found, $file if $name =~ /^[0-9a-f]{32}\.json$/;
        }
    }

    return @found;
}


sub files { return record_files("$_[0]{nginx}{dir}/app") }


# what instances without the path have left there

sub handed_over {
    my ($self) = @_;

    my @found = glob "$self->{nginx}{dir}/app/*/handover/*";

    return @found;
}


# what is pending on disk, in files and in the journal: key => record

sub on_disk { return Journal::pending("$_[0]{nginx}{dir}/app") }


# while nginx is stopped: as if all of the journal were in files by now

sub only_files {
    my ($self) = @_;

    unlink glob "$self->{nginx}{dir}/app/*/journal/*.log";
}


# a test: normal, nothing pending, no files, and Redis holds this

sub recovered {
    my ($self, $expect, $name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($self->wait_normal($opt{seconds} || 15), "$name: normal again")
        or diag(explain($self->status));
    is($self->status->{pending}, 0, "$name: nothing is pending");
    holds($self->{redis}, $expect, $name, %opt);
    diag("set aside: " . $self->status->{files}{quarantined})
        if !Test::More->builder->is_passing;

    # they go at leisure

    ok(wait_for(sub { !$self->files }, 20), "$name: its files are gone")
        or diag(scalar(my @left = $self->files) . " left");
}


1;
