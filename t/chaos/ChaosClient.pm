package ChaosClient;

# A client of the chaos: random commands on few keys, over kept connections to
# nginx, one at a time.  What it sends and what it gets goes to its log, see
# ChaosModel; it judges nothing.
#
# Values are told apart by all: each has a number of its own, its id, and is
# made from that: "c3.17b200" is the 17th of client 3, 200 binary bytes long.
# The log has the ids.

use strict;
use warnings;

use RF ();
use ChaosModel;
use IO::Handle;
use JSON::PP ();
use MIME::Base64 ();
use Time::HiRes ();

our $CLIENT_TIMEOUT = 20;       # longer than anything that nginx may take

my $json = JSON::PP->new->latin1->allow_nonref;

my @operations = (
    [ 9, \&op_put ],
    [ 9, \&op_set ],
    [ 4, \&op_delete ],
    [ 9, \&op_get ],
    [ 2, \&op_set_get ],
    [ 2, \&op_getdel ],
    [ 2, \&op_mset ],
    [ 3, \&op_append ],
    [ 9, \&op_count ],
    [ 8, \&op_push ],
    [ 7, \&op_queue ],
    [ 9, \&op_set_member ],
    [ 9, \&op_field ],
    [ 8, \&op_score ],
    [ 4, \&op_own_hash ],
    [ 4, \&op_multi ],
    [ 3, \&op_pipeline ],
);

my $weight = 0;
$weight += $_->[0] for @operations;

my @binary = map { chr } 0 .. 255;
my @plain = ('a' .. 'z', '"', '\\', ' ', "\n", 0 .. 9);


# id, port, prefix (of the keys), seed, stop (a file), log (a file), pause (ms)

sub new {
    my ($class, %opt) = @_;

    my $self = bless { %opt, seq => 0, number => 0, conns => [] }, $class;

    srand($opt{seed});
    open $self->{out}, '>:raw', $opt{log} or die "$opt{log}: $!\n";
    $self->{out}->autoflush(1);

    return $self;
}


sub run {
    my ($self) = @_;

    until (-e $self->{stop}) {
        my $pick = rand $weight;

        for my $operation (@operations) {
            $pick -= $operation->[0];
            next if $pick > 0;
            $operation->[1]->($self);
            last;
        }

        # some in a burst, so that several are under way at once

        Time::HiRes::sleep($self->{pause} * rand(2) / 1000)
            if rand() < 0.8;
    }

    $_ && $_->close for @{ $self->{conns} };
}


# --- names and values ------------------------------------------------------

sub key  { return "$_[0]{prefix}:$_[1]" }
sub own  { return "$_[0]{prefix}:$_[1]:c$_[0]{id}:" . int rand $_[2] }
sub word { return "c$_[0]{id}." . ++$_[0]{seq} }


sub id {
    my ($self, $binary) = @_;

    my $r = rand;
    my $len = $r < 0.8 ? int rand 100 : $r < 0.98 ? int rand 3000
                                                  : int rand 30_000;

    return $self->word . ($binary ? 'b' : 'a') . $len;
}


sub bytes {
    my ($id) = @_;

    my ($n, $kind, $len) = $id =~ /\.(\d+)([ab])(\d+)$/ or die;
    my $from = $kind eq 'b' ? \@binary : \@plain;
    my $some = join '', map { $from->[($n * 7 + $_ * 3) % @$from] } 0 .. 255;

    return "$id|" . substr $some x (1 + int $len / 256), 0, $len;
}


# the other way round; of what is no value of ours, the bytes

sub id_of {
    my ($bytes) = @_;

    return undef unless defined $bytes;
    return $1 if $bytes =~ /^(c\d+\.\d+[ab]\d+)\|/ && $bytes eq bytes($1);

    return "not a value: $bytes";
}


# what Redis says of a key, in the words of the log

sub content {
    my ($type, $reply) = @_;

    return undef if !defined $reply || ref $reply && !@$reply;
    return id_of($reply) if $type eq 's';
    return $reply if $type =~ /[nalq]/;
    return { map { $_ => 1 } @$reply } if $type eq 't';

    my %has = @$reply;
    return \%has if $type eq 'z';

    /^n\d+$/ or $has{$_} = id_of($has{$_}) for keys %has;

    return \%has;
}


# the command that reads all of a key

sub reader {
    my ($key) = @_;

    my $type = ChaosModel::type($key);

    return [ GET => $key ] if $type =~ /[sna]/;
    return [ LRANGE => $key, 0, -1 ] if $type =~ /[lq]/;
    return [ SMEMBERS => $key ] if $type eq 't';
    return [ HGETALL => $key ] if $type eq 'h';
    return [ ZRANGE => $key, 0, -1, 'WITHSCORES' ];
}


# --- requests --------------------------------------------------------------

# One request for some commands: [text, effects, how to take the reply].
# Each gets a line before and after.

sub ask {
    my ($self, $commands, $method, $uri, %opt) = @_;

    my $i = int rand 3;

    if ($self->{conns}[$i] && rand() < 0.02) {
        $self->{conns}[$i]->close;
    }

    if (!$self->{conns}[$i] || !$self->{conns}[$i]{sock}) {
        $self->{conns}[$i] = RF::Conn->new($self->{port}, timeout => 5);
    }

    my $conn = $self->{conns}[$i];

    # nobody listens: nothing is sent, and there is nothing to tell

    if (!$conn->{sock}) {
        Time::HiRes::sleep(0.01);
        return;
    }

    my @numbers = map { ++$self->{number} } @$commands;
    my $sent = RF::now();
    my $lines = '';

    $lines .= ChaosModel::sent_line($numbers[$_], $sent,
                                    @{ $commands->[$_] }[0, 1])
        for 0 .. $#numbers;
    print { $self->{out} } $lines;

    my $res = RF::HTTP::request($self->{port}, $method, $uri, %opt,
                                timeout => $CLIENT_TIMEOUT, conn => $conn);
    my $got = RF::now();

    $res->{$_} = $res->{headers}{"x-$_"} for qw(mode tier result);
    $res->{status} = 0 if $res->{error};
    $conn->close if $res->{error} && $conn->{sock};

    return ($res, $got, @numbers);
}


sub note {
    my ($self, $number, $got, $outcome, $res, $replies) = @_;

    print { $self->{out} } ChaosModel::done_line($number, $got, $outcome, $res,
                                                 $replies);
}


# what a status means, where there was no result

sub outcome {
    my ($res) = @_;

    my $status = $res->{status};

    return 'bad' if ($res->{error} || '') =~ /timed out/;
    return 'broken' if $status == 0;
    return 'unsure' if $status =~ /^(500|502|504|507)$/;

    return $status == 503 ? 'refused' : 'bad';
}


# one command by the API; its result goes through "take", which makes the
# replies of the effects

sub api {
    my ($self, $argv, $effects, $take) = @_;

    my ($res, $got, $number) = $self->ask([ [ text($argv), $effects ] ],
        'POST', '/api/', body => $json->encode($argv),
        headers => { 'Upstash-Encoding' => 'base64' });
    return unless $res;

    my $answer = decode($res->{body});

    if ($res->{status} == 200 && ref $answer eq 'HASH'
        && exists $answer->{result})
    {
        return $self->note($number, $got, 'ack', $res,
                           $take ? [ $take->($answer->{result}) ] : []);
    }

    $self->fail($number, $got, $res);
}


sub fail {
    my ($self, $number, $got, $res, $outcome) = @_;

    $outcome ||= outcome($res);
    $res->{error} = substr $res->{body}, 0, 200
        if !defined $res->{error} && $outcome ne 'ack';
    $self->note($number, $got, $outcome, $res, []);
}


# several, as one or one after another: [argv, effects, take]

sub batch {
    my ($self, $kind, @commands) = @_;

    my @logged = map { [ text($_->[0]), $_->[1] ] } @commands;

    if ($kind eq 'multi-exec') {
        @logged = [ 'MULTI ' . join('; ', map { $_->[0] } @logged),
                    [ map { @{ $_->[1] } } @logged ] ];
    }

    my ($res, $got, @numbers) = $self->ask(\@logged, 'POST', "/api/$kind",
        body => $json->encode([ map { $_->[0] } @commands ]),
        headers => { 'Upstash-Encoding' => 'base64' });
    return unless $res;

    my $answer = decode($res->{body});

    if ($res->{status} != 200 || ref $answer ne 'ARRAY'
        || @$answer != @commands)
    {
        $self->fail($_, $got, $res) for @numbers;
        return;
    }

    my @replies = map { !exists $answer->[$_]{result} ? undef
                        : $commands[$_][2]
                          ? [ $commands[$_][2]->($answer->[$_]{result}) ]
                          : [ map { undef } @{ $commands[$_][1] } ]
                  } 0 .. $#commands;

    if ($kind eq 'multi-exec') {
        my @errors = grep { !defined $replies[$_] } 0 .. $#replies;

        return $self->fail($numbers[0], $got, $res, 'bad') if @errors;
        return $self->note($numbers[0], $got, 'ack', $res,
                           [ map { @$_ } @replies ]);
    }

    for my $i (0 .. $#commands) {
        my $error = $answer->[$i]{error};

        if (!defined $error) {
            $self->note($numbers[$i], $got, 'ack', $res, $replies[$i]);
            next;
        }

        # the status is of the whole, the text tells

        my $of = $error =~ /^UNCERTAIN/ ? 'unsure'
               : $error =~ /no room left/ ? 'unsure'
               : $error =~ /^FALLBACK/ ? 'refused' : 'bad';

        $self->note($numbers[$i], $got, $of, { %$res, error => $error }, []);
    }
}


# strings come in base64, by which any byte survives

sub decode {
    my ($body) = @_;

    my $answer = eval { $json->decode($body) };

    for my $one (ref $answer eq 'ARRAY' ? @$answer : $answer) {
        $one->{result} = plain($one->{result})
            if ref $one eq 'HASH' && defined $one->{result};
    }

    return $answer;
}


sub plain {
    my ($value) = @_;

    return [ map { plain($_) } @$value ] if ref $value eq 'ARRAY';
    return $value if !defined $value || $value eq 'OK'
                     || JSON::PP::is_bool($value) || $value =~ /^-?\d+$/;

    return MIME::Base64::decode_base64($value);
}


sub text {
    my ($argv) = @_;

    return join ' ', map { /^(c\d+\.\d+[ab]\d+)\|/ ? $1 : $_ } @$argv;
}


# --- strings of one client -------------------------------------------------

sub op_put {
    my ($self) = @_;

    my $key = $self->own('s', 4);
    my $id = $self->id(1);
    my ($res, $got, $number) = $self->ask(
        [ [ "PUT $key $id", [ [ 'w', $key, '', $id ] ] ] ], 'PUT', "/kv/$key",
        body => bytes($id));

    return unless $res;
    return $self->note($number, $got, 'ack', $res, []) if $res->{status} == 204;
    $self->fail($number, $got, $res);
}


sub op_delete {
    my ($self) = @_;

    my $key = $self->own('s', 4);
    my $effects = [ [ 'w', $key, '', undef ] ];

    return $self->api([ 'DEL', $key ], $effects) if rand() < 0.5;

    my ($res, $got, $number) = $self->ask([ [ "DELETE $key", $effects ] ],
                                          'DELETE', "/kv/$key");
    return unless $res;
    return $self->note($number, $got, 'ack', $res, [])
        if $res->{status} =~ /^(204|404)$/;
    $self->fail($number, $got, $res);
}


sub op_get {
    my ($self) = @_;

    my $key = $self->own('s', 4);
    my $effects = [ [ 'r', $key, '' ] ];

    return $self->api([ 'GET', $key ], $effects, \&id_of) if rand() < 0.5;

    my ($res, $got, $number) = $self->ask([ [ "GET $key", $effects ] ],
                                          'GET', "/kv/$key");
    return unless $res;
    return $self->note($number, $got, 'ack', $res, [ id_of($res->{body}) ])
        if $res->{status} == 200;
    return $self->note($number, $got, 'ack', $res, [ undef ])
        if $res->{status} == 404;
    $self->fail($number, $got, $res);
}


sub set_command {
    my ($self) = @_;

    my $key = $self->own('s', 4);
    my $id = $self->id(0);

    return [ [ 'SET', $key, bytes($id) ], [ [ 'w', $key, '', $id ] ] ];
}


sub op_set { my ($self) = @_; $self->api(@{ $self->set_command }) }


sub op_set_get {
    my ($self) = @_;

    my ($argv, $effects) = @{ $self->set_command };

    $self->api([ @$argv, 'GET' ], [ [ 'r', $argv->[1], '' ], @$effects ],
               sub { (id_of($_[0]), undef) });
}


sub op_getdel {
    my ($self) = @_;

    my $key = $self->own('s', 4);

    $self->api([ 'GETDEL', $key ],
               [ [ 'r', $key, '' ], [ 'w', $key, '', undef ] ],
               sub { (id_of($_[0]), undef) });
}


sub op_mset {
    my ($self) = @_;

    my @keys = map { $self->key("s:c$self->{id}:$_") } (0 .. 3)[rand 2, 2];
    my @ids = map { $self->id(0) } @keys;

    $self->api([ 'MSET', map { ($keys[$_], bytes($ids[$_])) } 0 .. $#keys ],
               [ map { [ 'w', $keys[$_], '', $ids[$_] ] } 0 .. $#keys ]);
}


sub op_append {
    my ($self) = @_;

    my $key = $self->own('a', 1);
    my $word = $self->word;

    $self->api([ 'APPEND', $key, "$word;" ], [ [ '>', $key, $word ] ]);
}


# --- keys of all clients ---------------------------------------------------

sub count_command {
    my ($self) = @_;

    my $r = rand;
    my $by = 1 + int rand 1_000_000;
    my $n = 1 + int rand 2;

    if ($r < 0.45) {
        my $key = $self->key("n:$n");
        return [ [ 'INCR', $key ], [ [ '+', $key, '', 1 ] ] ] if $r < 0.1;
        return [ [ 'DECRBY', $key, $by ], [ [ '+', $key, '', -$by ] ] ]
            if $r < 0.2;
        return [ [ 'INCRBY', $key, $by ], [ [ '+', $key, '', $by ] ] ];
    }

    my ($verb, $type) = $r < 0.75 ? qw(HINCRBY h) : qw(ZINCRBY z);
    my $key = $self->key("$type:all");
    my @what = $type eq 'h' ? ("n$n", $by) : ($by, "n$n");

    return [ [ $verb, $key, @what ], [ [ '+', $key, "n$n", $by ] ] ];
}


sub op_count { my ($self) = @_; $self->api(@{ $self->count_command }) }


sub push_command {
    my ($self, $key) = @_;

    my ($verb, $side) = @{ (['RPUSH', '>'], ['LPUSH', '<'])[rand 2] };
    my @words = map { $self->word } 1 .. (rand() < 0.2 ? 3 : 1);

    return [ [ $verb, $key, @words ],
             [ map { [ $side, $key, $_ ] } @words ] ];
}


sub op_push {
    my ($self) = @_;

    $self->api(@{ $self->push_command($self->key('l:' . int rand 2)) });
}


sub op_queue {
    my ($self) = @_;

    my $key = $self->key('q:' . int rand 2);

    return $self->api(@{ $self->push_command($key) }) if rand() < 0.5;

    $self->api([ rand() < 0.5 ? 'LPOP' : 'RPOP', $key ], [ [ 'p', $key ] ],
               sub { $_[0] });
}


# --- members of one client in keys of all ----------------------------------

sub member { my ($self, $n) = @_; return "c$self->{id}:" . int rand $n }


sub op_set_member {
    my ($self) = @_;

    my $key = $self->key('t:all');
    my $member = $self->member(6);
    my $r = rand;

    return $self->api([ 'SISMEMBER', $key, $member ], [ [ 'r', $key, $member ] ],
                      sub { $_[0] ? 1 : undef }) if $r < 0.25;
    return $self->api([ 'SREM', $key, $member ],
                      [ [ 'w', $key, $member, undef ] ]) if $r < 0.55;

    $self->api([ 'SADD', $key, $member ], [ [ 'w', $key, $member, 1 ] ]);
}


sub field_command {
    my ($self, $key) = @_;

    my $member = $self->member(5);
    my $id = $self->id(0);
    my $r = rand;

    return [ [ 'HGET', $key, $member ], [ [ 'r', $key, $member ] ], \&id_of ]
        if $r < 0.3;
    return [ [ 'HDEL', $key, $member ], [ [ 'w', $key, $member, undef ] ] ]
        if $r < 0.5;
    return [ [ 'HSET', $key, $member, bytes($id) ],
             [ [ 'w', $key, $member, $id ] ] ];
}


sub op_field {
    my ($self) = @_;

    $self->api(@{ $self->field_command($self->key('h:all')) });
}


sub op_score {
    my ($self) = @_;

    my $key = $self->key('z:all');
    my $member = $self->member(5);
    my $score = ++$self->{seq};
    my $r = rand;

    return $self->api([ 'ZSCORE', $key, $member ], [ [ 'r', $key, $member ] ],
                      sub { $_[0] }) if $r < 0.3;
    return $self->api([ 'ZREM', $key, $member ],
                      [ [ 'w', $key, $member, undef ] ]) if $r < 0.5;

    $self->api([ 'ZADD', $key, $score, $member ],
               [ [ 'w', $key, $member, $score ] ]);
}


# --- a hash of one client, and batches -------------------------------------

sub op_own_hash {
    my ($self) = @_;

    my $key = $self->own('h', 1);

    return $self->api([ rand() < 0.5 ? 'DEL' : 'UNLINK', $key ],
                      [ [ 'd', $key ] ]) if rand() < 0.15;

    $self->api(@{ $self->field_command($key) });
}


sub op_multi {
    my ($self) = @_;

    $self->batch('multi-exec', $self->push_command($self->key('l:0')),
                 $self->count_command, $self->set_command,
                 $self->push_command($self->key('l:1')));
}


# of a register one in a pipeline: of two that are unsure any may be the last

sub op_pipeline {
    my ($self) = @_;

    $self->batch('pipeline', $self->set_command, $self->count_command,
                 $self->field_command($self->key('h:all')));
}


1;
