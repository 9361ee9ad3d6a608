package SoakClient;

# A client of the soak.  It alone writes to its keys, so it knows what each may
# hold: a list of possible values, which an acknowledged write makes one, and
# a write without acknowledgement makes longer.  An element is
#
#     { seq, len }            the value, see value(); seq undef: no such key
#     lo, hi                  when it expires: not before, and not after
#
# A counter has the sum of what was acknowledged, and of what may have been
# added; a list of tokens that were appended is kept in the same spirit. While
# Redis is away, a store may know the end of those only, what was added and
# appended since it last saw all of it.
#
# Nothing here knows how a store works; it knows what it was promised.

use strict;
use warnings;

use RF;
use Time::HiRes ();

our $SHARED = 4;                    # counters that all clients add to

# seconds by which an expiry may be off: the machine is busy

our $SLACK = RF::slow(0.5);

# requests that may fail without a broken promise: their command does something
# twice when it is repeated, and the connection broke before the reply

my %may_be_uncertain = map { $_ => 1 } qw(incr append nx getdel rename shared);

my @operations = (
    [ 42, \&op_get ],
    [ 24, \&op_put ],
    [ 6,  \&op_put_ttl ],
    [ 8,  \&op_delete ],
    [ 2,  \&op_nx ],
    [ 2,  \&op_getdel ],
    [ 1,  \&op_rename ],
    [ 6,  \&op_incr ],
    [ 3,  \&op_shared ],
    [ 1,  \&op_reset ],
    [ 5,  \&op_append ],
);


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        %opt, seq => 0, conns => [], state => {}, shared => {}, history => {},
        requests => 0, answers => {}, modes => {}, errors => [], nerrors => 0,
        slowest => 0, slow => '',
    }, $class;

    srand($opt{seed});
    $self->{weight} += $_->[0] for @operations;

    # strings, counters, and what is appended to

    my $few = int($opt{keys} / 20) || 1;
    my @names = map { "c$opt{id}:$_" } 1 .. $opt{keys};

    $self->{counters} = [ splice @names, 0, $few ];
    $self->{appended} = [ splice @names, 0, $few ];
    $self->{strings} = \@names;

    $self->{state}{$_} = { kind => 'string', key => $_,
                           may => [ { seq => undef } ] } for @names;
    $self->{state}{$_} = { kind => 'counter', key => $_, acked => 0,
                           unsure => 0 } for @{ $self->{counters} };
    $self->{state}{$_} = { kind => 'append', key => $_, tokens => [] }
        for @{ $self->{appended} };
    $self->{shared}{"shared:$_"} = { acked => 0, unsure => 0 }
        for 1 .. $SHARED;

    return $self;
}


sub run {
    my ($self) = @_;

    $self->reset($_, 1) for @{ $self->{counters} }, @{ $self->{appended} };

    until (-e $self->{stop}) {
        my $pick = rand $self->{weight};

        for my $operation (@operations) {
            $pick -= $operation->[0];
            next if $pick > 0;
            $operation->[1]->($self);
            last;
        }

        Time::HiRes::sleep($self->{pause} / 1000) if $self->{pause};
    }

    $_ && $_->close for @{ $self->{conns} };

    return { map { $_ => $self->{$_} }
             qw(id requests answers modes errors slowest slow state shared) };
}


# all bytes occur, and each value is another one

my $all = join('', map { chr } 0 .. 255) x 2;

sub value {
    my ($key, $seq, $len) = @_;

    my $head = "$key|$seq|$len|";
    my $pattern = substr $all, ($seq * 7 + $len) % 256, 256;

    return $head . substr $pattern x (int($len / 256) + 1), 0, $len;
}


sub some_length {
    my $r = rand;

    return int rand 4   if $r < 0.1;
    return int rand 200 if $r < 0.85;
    return int rand 5_000 if $r < 0.99;
    return int rand 150_000;
}


# what is wrong with a value that was read between two moments in some mode;
# undef: nothing

sub wrong {
    my ($state, $value, $sent, $received, $mode) = @_;

    return wrong_counter($state, $value, $mode)
        if $state->{kind} eq 'counter';
    return wrong_tokens($state, $value, $mode)
        if $state->{kind} eq 'append';

    for my $may (@{ $state->{may} }) {

        if (!defined $value) {
            return undef unless defined $may->{seq};
            return undef if defined $may->{lo}
                            && $received > $may->{lo} - $SLACK;
            next;
        }

        next unless defined $may->{seq};
        next if defined $may->{hi} && $sent > $may->{hi} + $SLACK;

        return undef
            if $value eq value($may->{key} || $state->{key},
                               $may->{seq}, $may->{len});
    }

    return 'is ' . show($value) . ', may be '
           . join ' or ', map { show_may($_, $sent) } @{ $state->{may} };
}


sub wrong_counter {
    my ($state, $value, $mode) = @_;

    my ($low, $high) = ($state->{acked}, $state->{acked} + $state->{unsure});
    $low = 0 if partial($mode);

    $value = 0 unless defined $value;

    return undef if $value =~ /^\d+$/ && $value >= $low && $value <= $high;
    return "is $value, may be $low" . ($high > $low ? " to $high" : '');
}


sub partial {
    my ($mode) = @_;

    return ($mode || 'normal') ne 'normal';
}


# all that were acknowledged, in order; others at most once

sub wrong_tokens {
    my ($state, $value, $mode) = @_;

    my @have = defined $value ? split /;/, $value : ();
    my @acked = map { $_->[0] } grep { $_->[1] } @{ $state->{tokens} };
    my %unsure = map { $_->[0] => 1 } grep { !$_->[1] } @{ $state->{tokens} };
    my @sure = grep { !delete $unsure{$_} } @have;

    return undef if "@sure" eq "@acked";
    return undef if partial($mode)
                    && "@sure" eq "@acked[@acked - @sure .. $#acked]";

    return 'tokens (' . join(' ', @have) . '), acknowledged (' . "@acked)";
}


sub show {
    my ($value) = @_;

    return 'nothing' unless defined $value;
    return length($value) . ' bytes "'
           . ($value =~ /^([\x20-\x7e]{0,40})/ ? $1 : '') . '"';
}


sub show_may {
    my ($may, $at) = @_;

    return 'nothing' unless defined $may->{seq};

    my $text = "number $may->{seq} of $may->{len}";
    $text .= sprintf ', expires in %.2f to %.2f s', $may->{lo} - $at,
                     $may->{hi} - $at if defined $may->{lo};

    return $text;
}


# one request on one of a few kept connections, which lead to any worker

sub ask {
    my ($self, $name, $key, $method, $uri, %opt) = @_;

    my $i = int rand 4;

    # now and then a new one, perhaps to another worker

    if ($self->{conns}[$i] && rand() < 0.01) {
        $self->{conns}[$i]->close;
    }

    if (!$self->{conns}[$i] || !$self->{conns}[$i]{sock}) {
        $self->{conns}[$i] = RF::Conn->new($self->{port}, timeout => 10);
    }

    my $sent = RF::now();
    my $res = RF::HTTP::request($self->{port}, $method, $uri, %opt,
                                timeout => 20, conn => $self->{conns}[$i]);
    $res->{sent} = $sent;
    $res->{received} = RF::now();

    my $h = $res->{headers};
    $res->{$_} = $h->{"x-$_"} || '-' for qw(mode tier result);

    if ($res->{error} && $self->{conns}[$i]{sock}) {
        $self->{conns}[$i]->close;
    }

    $self->{requests}++;
    $self->{answers}{"$name $res->{status} $res->{result}"}++;
    $self->{modes}{$res->{mode}}++;

    my $line = sprintf '%.3f +%.3f %s %s: %d %s/%s/%s%s', $sent,
                       $res->{elapsed}, $name, $uri, $res->{status},
                       @$res{qw(mode tier result)},
                       $res->{error} ? " ($res->{error})" : '';

    my $history = $self->{history}{$key} ||= [];
    push @$history, $line;
    shift @$history if @$history > 8;

    if ($res->{elapsed} > $self->{slowest}) {
        @$self{qw(slowest slow)} = ($res->{elapsed}, $line);
    }

    return $res;
}


sub error {
    my ($self, $key, $what) = @_;

    return if $self->{nerrors}++ >= 30;

    push @{ $self->{errors} }, join "\n    ", "$key: $what",
                                    @{ $self->{history}{$key} || [] };
}


# an answer that should not be

sub failed {
    my ($self, $name, $key, $res) = @_;

    return if $may_be_uncertain{$name}
              && ($res->{status} == 502 || $res->{result} eq 'error');
    return if $res->{status} == 0 && $ENV{SOAK_RELOAD};

    $self->error($key, "$name answers $res->{status} $res->{result}");
}


sub string { my ($self) = @_; return pick($self->{strings}) }
sub pick   { return $_[0][rand @{ $_[0] }] }


sub op_get {
    my ($self) = @_;

    my $r = rand;
    my $key = pick($r < 0.05 ? $self->{counters}
                   : $r < 0.10 ? $self->{appended} : $self->{strings});
    my $res = $self->ask('get', $key, 'GET', "/kv/$key");
    my $state = $self->{state}{$key};

    if ($res->{status} == 410) {
        # nobody knows it here, and Redis is away
        return;
    }

    if ($res->{status} != 200 && $res->{status} != 404) {
        return $self->failed('get', $key, $res);
    }

    my $why = wrong($state, $res->{status} == 200 ? $res->{body} : undef,
                    @$res{qw(sent received mode)});

    return unless $why;

    $self->error($key, $why);

    # the other errors than this one are of interest

    if ($state->{kind} eq 'string') {
        push @{ $state->{may} }, $res->{status} == 404 ? { seq => undef }
            : $res->{body} =~ /^([^|]+)\|(\d+)\|(\d+)\|/
              ? { key => $1, seq => $2, len => $3 } : ();
    }
}


sub op_put     { $_[0]->put(undef) }
sub op_put_ttl { $_[0]->put(rand() < 0.3 ? 50 + int rand 900
                                         : 1000 + int rand 9000) }


sub put {
    my ($self, $ttl) = @_;

    my $key = $self->string;
    my $may = { seq => ++$self->{seq}, len => some_length() };
    my $res = $self->ask('put', $key, 'PUT',
        "/kv/$key" . ($ttl ? "?ttl=${ttl}ms" : ''),
        body => value($key, @$may{qw(seq len)}));

    expires($may, $ttl, $res) if $ttl;
    $self->wrote('put', $key, $res, $res->{status} == 204, $may);
}


sub expires {
    my ($may, $ttl, $res) = @_;

    $may->{lo} = $res->{sent} + $ttl / 1000;
    $may->{hi} = $res->{received} + $ttl / 1000;
}


# after a write: the one value, or one more possible value

sub wrote {
    my ($self, $name, $key, $res, $done, $may) = @_;

    my $state = $self->{state}{$key};

    if ($done) {
        $state->{may} = [ $may ];
        return;
    }

    push @{ $state->{may} }, $may;
    $self->failed($name, $key, $res);
}


sub op_delete {
    my ($self) = @_;

    my $key = $self->string;
    my $res = $self->ask('delete', $key, 'DELETE', "/kv/$key");

    # 404 of a key that was there: a repeated DEL finds nothing

    my $done = $res->{status} =~ /^(204|404)$/;

    $self->wrote('delete', $key, $res, $done,
                 { seq => undef });
}


sub op_nx {
    my ($self) = @_;

    my $key = $self->string;
    my $state = $self->{state}{$key};
    my $may = { seq => ++$self->{seq}, len => some_length() };

    my $res = $self->ask('nx', $key, 'PUT', "/kv/$key",
                         headers => { 'If-None-Match' => '*' },
                         body => value($key, @$may{qw(seq len)}));

    if ($res->{status} == 412) {
        my $there = grep { defined $_->{seq}
                           && !(defined $_->{hi}
                                && $res->{sent} > $_->{hi} + $SLACK) }
                    @{ $state->{may} };
        $self->error($key, 'exists, it is said') unless $there;
        return;
    }

    if ($res->{status} == 204) {
        # without Redis, a key may be unknown

        my $why = wrong($state, undef, @$res{qw(sent received)});
        $self->error($key, "did not exist, it is said: $why")
            if $why && $res->{mode} eq 'normal';
    }

    $self->wrote('nx', $key, $res, $res->{status} == 204, $may);
}


sub op_getdel {
    my ($self) = @_;

    my $key = $self->string;
    my $state = $self->{state}{$key};
    my $res = $self->ask('getdel', $key, 'GET', "/getdel?k=$key");
    my $done = $res->{status} == 200 && $res->{result} =~ /^(ok|hit|miss)$/;

    if ($done) {
        my $value = $res->{body} eq '' ? undef : $res->{body};
        my $why = wrong($state, $value, @$res{qw(sent received)});
        $self->error($key, "deleted: $why")
            if $why && (defined $value || $res->{mode} eq 'normal');
    }

    $self->wrote('getdel', $key, $res, $done, { seq => undef });
}


# of a key that is there and stays

sub op_rename {
    my ($self) = @_;

    my ($from, $to) = ($self->string, $self->string);
    my ($old, $new) = map { $self->{state}{$_} } $from, $to;

    return if $from eq $to || @{ $old->{may} } != 1
              || !defined $old->{may}[0]{seq} || defined $old->{may}[0]{hi};

    my $res = $self->ask('rename', $from, 'GET', "/rename?k=$from&to=$to");
    my $may = { key => $from, %{ $old->{may}[0] } };

    push @{ $self->{history}{$to} ||= [] }, $self->{history}{$from}[-1];

    if ($res->{status} == 200 && $res->{body} eq 'OK') {
        $old->{may} = [ { seq => undef } ];
        $new->{may} = [ $may ];
        return;
    }

    push @{ $old->{may} }, { seq => undef };
    push @{ $new->{may} }, $may;
    $self->failed('rename', $from, $res);
}


sub op_incr {
    my ($self) = @_;

    my $key = pick($self->{counters});
    my $state = $self->{state}{$key};
    my $by = 1 + int rand 5;
    my $res = $self->ask('incr', $key, 'GET', "/incr?k=$key&by=$by");

    if ($res->{status} == 200 && $res->{body} ne '') {
        $state->{acked} += $by;
        my $why = wrong_counter($state, $res->{body}, $res->{mode});
        $self->error($key, "counted: $why") if $why;
        return;
    }

    $state->{unsure} += $by;
    $self->failed('incr', $key, $res);
}


sub op_shared {
    my ($self) = @_;

    my $key = 'shared:' . (1 + int rand $SHARED);
    my $state = $self->{shared}{$key};
    my $by = 1 + int rand 5;
    my $res = $self->ask('shared', $key, 'GET', "/incr?k=$key&by=$by");

    if ($res->{status} == 200 && $res->{body} ne '') {
        $state->{acked} += $by;
        $self->error($key, "is $res->{body}, less than this client's "
                           . $state->{acked})
            if $res->{mode} eq 'normal' && $res->{body} < $state->{acked};
        return;
    }

    $state->{unsure} += $by;
    $self->failed('shared', $key, $res);
}


sub op_reset { $_[0]->reset(pick($_[0]{counters})) }


# a counter or a list of tokens begins anew: set to nothing, or deleted

sub reset {
    my ($self, $key, $set) = @_;

    my $state = $self->{state}{$key};
    my $counter = $state->{kind} eq 'counter';

    $set = rand() < 0.5 unless defined $set;

    my $res = $self->ask($set ? 'put' : 'delete', $key,
                         $set ? 'PUT' : 'DELETE', "/kv/$key",
                         $set ? (body => $counter ? '0' : '') : ());

    if ($res->{status} == 204 || $res->{status} == 404 && !$set) {
        @$state{qw(acked unsure)} = (0, 0);
        $state->{tokens} = [];
        return;
    }

    # either way

    $state->{unsure} += $state->{acked} || 0;
    $state->{acked} = 0;
    $_->[1] = 0 for @{ $state->{tokens} || [] };

    $self->failed($set ? 'put' : 'delete', $key, $res);
}


sub op_append {
    my ($self) = @_;

    my $key = pick($self->{appended});
    my $state = $self->{state}{$key};

    return $self->reset($key) if @{ $state->{tokens} } > 40;

    my $token = ++$self->{seq};
    my $res = $self->ask('append', $key, 'GET', "/append?k=$key&v=$token;");
    my $done = $res->{status} == 200 && $res->{body} ne '';

    push @{ $state->{tokens} }, [ $token, $done ];
    return if $done;

    $self->failed('append', $key, $res);
}


1;
