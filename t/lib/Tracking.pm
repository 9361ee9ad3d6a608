package Tracking;

# What the tests of `cache tracking` share: nginx with four workers, a
# connection to each, and the question whether what Redis holds is what each
# of them answers.
#
#     my $t = Tracking->new;              # t->redis, t->store (Outage)
#     my ($a, $b) = $t->pids;
#
#     $t->ask($a, 'GET', 'k');            # over the API: {value}, {tier}, ...
#     $t->warm($a, [GET => 'k']);         # $a reads it, memory answers in all
#     $t->visible($name, [GET => 'k'],    # a test: after the change (by
#         sub { ... });                   # anybody) all say what Redis does
#
# Options: workers, store (lines of the block), redis, those of Outage.
#
# A read counts from 10 ms after the change was acknowledged: that is what the
# module promises on an idle machine.  What Redis and the workers had to wait
# for a processor meanwhile is allowed for (see delay()).

use strict;
use warnings;

use RF;
use Outage;
use JSON::PP ();

our $PROMISE = 0.010;

# looked at here, not waited for

$RF::Redis::PROMISE = 0;

# of each worker, if not said otherwise

our $CONNECTIONS = $ENV{TRACKING_CONNECTIONS} || 1;

my $json = JSON::PP->new->allow_nonref->canonical;


sub new {
    my ($class, %opt) = @_;

    my $self = bless { redis => delete $opt{redis} || RF::Redis->new }, $class;
    my $server = delete $opt{server} || '';

    $self->{store} = Outage->new(
        workers => 4,
        %opt,
        redis  => $self->{redis},
        server => <<END . $server,
    keepalive_requests 10000000;
    keepalive_timeout  1h;
    location /api {
        redis_fallback_api app;
        redis_fallback_commands allcommands;
    }
END
        store  => { cache => 'tracking', connections => $CONNECTIONS,
                    %{ $opt{store} || {} } });

    return $self;
}


sub redis  { $_[0]{redis} }
sub store  { $_[0]{store} }
sub nginx  { $_[0]{store}->nginx }


# new connections, after a reload or a worker's death

sub meet {
    my ($self) = @_;

    $_->close for values %{ $self->{conns} || {} };
    $self->{conns} = $self->{store}->conns;

    return $self;
}


sub pids {
    my ($self) = @_;

    $self->meet unless $self->{conns};

    my @pids = sort { $a <=> $b } keys %{ $self->{conns} };

    return @pids;
}


# a response, with {value} or {failed}, {began}

sub ask {
    my ($self, $pid, @argv) = @_;

    return $self->post($pid, '/api', \@argv);
}


sub multi {
    my ($self, $pid, @commands) = @_;

    return $self->post($pid, '/api/multi-exec', \@commands);
}


sub post {
    my ($self, $pid, $uri, $body) = @_;

    $self->pids;

    my $began = now();
    my $res = Outage::told(RF::HTTP::request($self->{store}->spread, 'POST',
        $uri, conn => $self->{conns}{$pid}, body => $json->encode($body)));
    my $answer = eval { $json->decode($res->{body}) };

    $res->{began} = $began;

    if (ref $answer eq 'HASH' && exists $answer->{result}) {
        $res->{value} = $answer->{result};
    } elsif (ref $answer eq 'HASH') {
        $res->{failed} = $answer->{error};
    } elsif (ref $answer eq 'ARRAY') {
        $res->{value} = $answer;
    } else {
        $res->{failed} = $res->{error} || "$res->{status} $res->{body}";
    }

    return $res;
}


# one text for what was answered, whoever did; unordered ones in order

sub text {
    my ($command, $value, $failed) = @_;

    return 'error ' . ($failed =~ /^(?:ERR )?(\S+)/ ? $1 : $failed)
        if defined $failed;
    return 'nil' unless defined $value;
    return "$value" unless ref $value;

    my @values = map { defined $_ ? ref $_ ? text('', $_) : $_ : 'nil' }
                     @$value;

    if (uc $command eq 'HGETALL') {
        my %pairs = @values;
        @values = map { ($_, $pairs{$_}) } sort keys %pairs;
    } elsif (uc($command) =~ /^(SMEMBERS|HKEYS|HVALS)$/) {
        @values = sort @values;
    }

    return join ' ', '[', @values, ']';
}


sub held {
    my ($self, @argv) = @_;

    return text($argv[0], $self->{redis}->try(@argv));
}


sub answer {
    my ($self, $pid, @argv) = @_;

    my $res = $self->ask($pid, @argv);

    return (text($argv[0], $res->{value}, $res->{failed}), $res);
}


# the workers have their connections, and Redis vouches over all of them

sub tracks {
    my ($self, $seconds) = @_;

    my @pids = $self->pids;

    return wait_for(sub {
        $self->ask($_, 'GET', "nothing:$_") for @pids;
        my $redis = ($self->{store}->status || return 0)->{redis};
        return $redis->{connected} == @pids && $redis->{tracking};
    }, $seconds || 10);
}


# $pid reads it first, then memory answers in all workers

sub warm {
    my ($self, $pid, @reads) = @_;

    for my $read (@reads) {
        wait_for(sub {
            for my $reader ($pid, $self->pids) {
                $self->ask($reader, @$read);
            }

            return !grep { ($self->ask($_, @$read)->{tier} // '') ne 'memory' }
                         $self->pids;
        }, 10) or return 0;
    }

    return 1;
}


# Seconds that Redis and the workers waited for a processor, in all, those that
# have gone since included; and that the machine was somebody else's.

sub delay {
    my ($self) = @_;

    return waited(grep { $_ } $self->{redis}->pid, $self->pids);
}


# What is wrong in any worker, or those of {only}, 10 ms from $acked on, as
# lines of text; those that the machine may be to blame for are not among them,
# and counted.

sub stale {
    my ($self, $acked, $delay, @reads) = @_;

    my (@bad, $excused);
    my $left = $acked + $PROMISE - now();
    Time::HiRes::sleep($left) if $left > 0;

    for my $read (@reads) {
        for my $pid (@{ $self->{only} || [ $self->pids ] }) {
            my ($is, $res) = $self->answer($pid, @$read);
            my $must = $self->held(@$read);
            next if $is eq $must;

            # what Redis says now may not have been so then: an expiry

            if ($self->delay - $delay > $res->{began} - $acked - $PROMISE) {
                $excused++;
                next;
            }

            push @bad, sprintf '%s in %d (%s, after %.1f ms): %s, not %s',
                       "@$read", $pid, $res->{tier} // '-',
                       1000 * ($res->{began} - $acked), $is, $must;
        }
    }

    return (\@bad, $excused);
}


# the test; $change returns nothing of interest, and once it has returned the
# change is acknowledged.  $again makes what was before, and is called first

sub visible {
    my ($self, $name, $reads, $change, $again, $first) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @reads = ref $reads->[0] ? @$reads : ($reads);
    my ($bad, $excused);

    $first ||= ($self->pids)[$self->{turn}++ % scalar $self->pids];

    for (1 .. 5) {
        $again->() if $again;
        return fail("$name: memory does not answer before")
            unless $self->warm($first, @reads);

        my $delay = $self->delay;
        $change->();
        ($bad, $excused) = $self->stale(now(), $delay, @reads);
        last if @$bad || !$excused;
    }

    return is(join("\n", @$bad), '', $name);
}


# ids of the clients that nginx has in Redis: of one that hears what has
# changed it is known by its subscription

sub links {
    my ($self) = @_;

    my %ids = (data => [], news => []);

    for (split /\n/, $self->{redis}->cmd('CLIENT', 'LIST')) {
        my %is = map { /^([^=]+)=(.*)$/ ? ($1, $2) : () } split / /;
        next if $is{cmd} =~ /^client\|list/;
        next unless $is{flags} =~ /[tP]/;
        push @{ $ids{ $is{sub} ? 'news' : 'data' } }, $is{id};
    }

    return \%ids;
}


# the end of a test

sub ended {
    my ($self, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $_->close for values %{ $self->{conns} || {} };
    delete $self->{conns};

    ok($self->nginx->stop, 'stops');
    $self->nginx->check_logs(%opt);
}


1;
