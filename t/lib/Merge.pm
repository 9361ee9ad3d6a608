package Merge;

# What Redis is to hold after an outage in which nginx and somebody else changed
# the same keys.  The rules (docs/design.md, pending keys):
#
#   a key that was replaced or deleted through nginx holds what nginx has;
#   any other holds what the others have left, with nginx's changes applied to
#   it in their order: each field, member and score by itself, sums as sums,
#   pushes at their ends, what was popped removed.  A command that changed
#   nothing is no change.  The last expiry that was set through nginx stays.
#
# A key is known to nginx completely, then a command that does not merge (LSET,
# SETRANGE, ...) replaces it, or in part.  One that is known completely, has
# lost its last element and gets a new one may be replaced, too.
#
# The arithmetic is a Redis' own: "calc" has for each key what nginx knows of it
# (v:KEY), and at the end what Redis is to hold (w:KEY).
#
#     my $m = Merge->new($calc, $random);         # a sub: 0 to n - 1
#     $m->know($key, $type, $redis);              # completely, as it is there
#     $m->key($key, $type);                       # or not at all
#     my $op = $m->local;                         # { argv, ... } for nginx
#     my $wrong = $m->done($op, $reply);          # a text, if it is
#     my $argv = $m->remote;                      # for Redis
#     my %want = $m->want($redis);                # key => as text(), or some

use strict;
use warnings;

use RF;

my @FIELDS = map { "f$_" } 1 .. 8;
my @MEMBERS = map { "m$_" } 1 .. 8;


sub new {
    my ($class, $calc, $random) = @_;

    return bless { calc => $calc, random => $random, keys => {}, unique => 0 },
                 $class;
}


sub keys { return sort CORE::keys %{ $_[0]{keys} } }


sub key {
    my ($self, $name, $type) = @_;

    return $self->{keys}{$name} = { name => $name, type => $type, tell => [] };
}


sub know {
    my ($self, $name, $type, $redis) = @_;

    my $k = $self->key($name, $type);

    $self->bring($redis, $name, "v:$name");
    $k->{complete} = 1;
    $k->{there} = 1;
    $k->{expires} = $self->{calc}->cmd('PTTL', "v:$name") > 0;
}


# nginx has forgotten what was not changed

sub forget {
    my ($self) = @_;

    for my $k (values %{ $self->{keys} }) {
        next if $k->{replaced} || @{ $k->{tell} } || defined $k->{expire};

        $k->{complete} = 0;
        $k->{there} = 0;
        $self->{calc}->cmd('DEL', "v:$k->{name}");
    }
}


# a copy in calc, with its expiry

sub bring {
    my ($self, $redis, $from, $to) = @_;

    my ($dump, $ttl) = $redis->pipeline([ DUMP => $from ], [ PTTL => $from ]);

    $self->{calc}->cmd('DEL', $to);
    $self->{calc}->cmd('RESTORE', $to, $ttl > 0 ? $ttl : 0, $dump)
        if defined $dump;
}


sub any  { return $_[0]{random}->($_[1]) }
sub pick { my $self = shift; return $_[$self->any(scalar @_)] }

sub unique {
    my ($self, $side) = @_;

    return $side . ++$self->{unique};
}


sub some {
    my ($self, $n, @from) = @_;

    return map { $self->pick(@from) } 0 .. $self->any($n);
}


# another key of that type that nginx knows completely

sub other {
    my ($self, $k) = @_;

    my @keys = grep { $_ ne $k && $_->{type} eq $k->{type} && $_->{complete} }
               map { $self->{keys}{$_} } $self->keys;

    return @keys ? $self->pick(@keys) : undef;
}


# A command for nginx.  "tell" gets its reply and says what it means to merge;
# "given": it does not merge; "random": the reply cannot be foreseen; "to" is
# another key that it replaces, "drop": the key itself goes.

sub local {
    my ($self) = @_;

    for ( ;; ) {
        my $k = $self->{keys}{ $self->pick($self->keys) };
        my $make = $self->any(12) ? "local_$k->{type}" : 'local_any';
        my $op = $self->$make($k) or next;

        $op->{k} = $k;
        return $op;
    }
}


# what is told is the command itself, if it did something

sub same {
    my (@argv) = @_;

    my ($verb, $key, @rest) = @argv;

    return { argv => \@argv, tell => sub { [ $verb, @rest ] } };
}


sub effective {
    my (@argv) = @_;

    my ($verb, $key, @rest) = @argv;

    return { argv => \@argv, tell => sub { $_[0] ? [ $verb, @rest ] : () } };
}


sub local_any {
    my ($self, $k) = @_;

    my $at = int(1000 * now()) + 1_000_000 + $self->any(9_000_000);

    for ($self->any(8)) {
        return { argv => [ DEL => $k->{name} ], drop => 1,
                 random => !$k->{complete} }
            if $_ == 0 && (!$k->{complete} || $k->{there});
        return { argv => [ PERSIST => $k->{name} ], expire => 0 }
            if $_ == 1 && $k->{complete};
        if ($_ == 2 || $_ == 3) {
            my $to = $self->other($k);
            return $to && $k->{complete} && {
                argv => [ ($_ == 2 ? 'RENAME' : 'COPY'), $k->{name},
                          $to->{name}, $_ == 3 ? 'REPLACE' : () ],
                to => $to, drop => $_ == 2 };
        }
    }

    return { argv => [ PEXPIREAT => $k->{name}, $at ], expire => $at };
}


sub local_count {
    my ($self, $k) = @_;

    my $n = $self->any(20) - 10;

    return $self->pick(
        sub { same(INCRBY => $k->{name}, $n) },
        sub { same(INCRBY => $k->{name}, $n) },
        sub { { argv => [ DECR => $k->{name} ],
                tell => sub { [ INCRBY => -1 ] } } },
        sub { $self->any(3) ? undef
              : { argv => [ SET => $k->{name}, $n ], whole => 1 } },
    )->();
}


sub local_float {
    my ($self, $k) = @_;

    return same(INCRBYFLOAT => $k->{name}, ($self->any(40) - 20) / 4);
}


sub local_string {
    my ($self, $k) = @_;

    my $text = $self->unique('l');

    return $self->pick(
        sub { same(APPEND => $k->{name}, $text) },
        sub { same(APPEND => $k->{name}, $text) },
        sub { { argv => [ SETRANGE => $k->{name}, $self->any(9), $text ],
                given => 1 } },
        sub { { argv => [ SET => $k->{name}, $text ], whole => 1 } },
    )->();
}


sub local_hash {
    my ($self, $k) = @_;

    my ($key, $f) = ($k->{name}, $self->pick(@FIELDS));
    my $n = $self->any(20) - 10;

    return $self->pick(
        sub { same(HSET => $key, map { $_ => $self->any(100) }
                                 $self->some(3, @FIELDS)) },
        sub { same(HINCRBY => $key, $f, $n) },
        sub { same(HINCRBY => $key, $f, $n) },
        sub { { argv => [ HSETNX => $key, $f, $n ],
                tell => sub { $_[0] ? [ HSET => $f, $n ] : () } } },
        sub { $k->{complete} ? effective(HDEL => $key, $f)
                             : same(HDEL => $key, $f) },
        sub { same(HINCRBYFLOAT => $key, 'float', $n / 4) },
    )->();
}


sub local_set {
    my ($self, $k) = @_;

    my ($key, $m) = ($k->{name}, $self->pick(@MEMBERS));
    my ($a, $b) = ($self->other($k), $self->other($k));

    return $self->pick(
        sub { $k->{complete} ? effective(SADD => $key, $m)
                             : same(SADD => $key, $m) },
        sub { $k->{complete} ? effective(SADD => $key, $m)
                             : same(SADD => $key, $m) },
        sub { $k->{complete} ? effective(SREM => $key, $m)
                             : same(SREM => $key, $m) },
        sub { { argv => [ SPOP => $key ], random => 1,
                tell => sub { defined $_[0] ? [ SREM => $_[0] ] : () } } },
        sub { $a && $self->any(4) == 0
              && { argv => [ $self->pick(qw(SUNIONSTORE SDIFFSTORE
                                            SINTERSTORE)),
                             $key, $a->{name}, $b->{name} ],
                   stores => 1 } },
    )->();
}


sub local_zset {
    my ($self, $k) = @_;

    my ($key, $m) = ($k->{name}, $self->pick(@MEMBERS));
    my $n = $self->any(40) - 20;
    my $how = $self->pick(qw(GT LT));

    return $self->pick(
        sub { same(ZADD => $key, $n, $m, $self->any(9), $self->pick(@MEMBERS)) },
        sub { same(ZINCRBY => $key, $n / 2, $m) },
        sub { same(ZINCRBY => $key, $n / 2, $m) },
        sub { { argv => [ ZADD => $key, $how, 'CH', $n, $m ],
                tell => sub { $_[0] ? [ ZADD => $how, $n, $m ] : () } } },
        sub { $k->{complete} ? effective(ZREM => $key, $m)
                             : same(ZREM => $key, $m) },
        sub { { argv => [ $self->pick(qw(ZPOPMIN ZPOPMAX)) => $key ],
                tell => sub { @{ $_[0] } ? [ ZREM => $_[0][0] ] : () } } },
        sub { $k->{complete} ? undef
              : same(ZREMRANGEBYSCORE => $key, $n, $n + 2) },
        sub { $k->{complete} ? undef
              : { argv => [ ZADD => $key, 'NX', $n, $m ],
                  tell => sub { $_[0] ? [ ZADD => $n, $m ] : () } } },
    )->();
}


# elements are unique, so that it is clear which one was meant

sub local_list {
    my ($self, $k) = @_;

    my ($key, $v) = ($k->{name}, $self->unique('l'));
    my $to = $self->other($k);
    my $old = $self->pick(@{ $k->{seen} || [ 'none' ] });

    push @{ $k->{seen} }, $v;

    return $self->pick(
        sub { same(LPUSH => $key, $v, $self->unique('l')) },
        sub { same(RPUSH => $key, $v, $self->unique('l')) },
        sub { same(RPUSH => $key, $v) },
        sub { { argv => [ LPOP => $key ],
                tell => sub { defined $_[0] ? [ LREM => 1, $_[0] ] : () } } },
        sub { { argv => [ RPOP => $key ],
                tell => sub { defined $_[0] ? [ LREM => -1, $_[0] ] : () } } },
        sub { $k->{complete} ? effective(LREM => $key, 0, $old)
                             : same(LREM => $key, 0, $old) },
        sub { $self->any(3) ? undef
              : { argv => [ LSET => $key, $self->any(6) - 3, $v ],
                  given => 1 } },
        sub { $self->any(3) ? undef
              : { argv => [ LINSERT => $key, 'BEFORE', $old, $v ],
                  given => 1, nothing => sub { $_[0] < 1 } } },
        sub { $self->any(6) || $k->{complete} ? undef
              : same(LTRIM => $key, 0, 3 + $self->any(9)) },
    )->();
}


# what nginx has answered: the model goes on

sub done {
    my ($self, $op, $reply) = @_;

    my $k = $op->{k};
    my $wrong = $self->view($op, $reply);

    return $wrong if defined $wrong;

    # an error changes nothing, and neither does what needs Redis

    return if ref $reply eq 'HASH';

    if (exists $op->{expire}) {
        $k->{expire} = $op->{expire} if $reply;

    } elsif ($op->{whole}
             || $op->{stores} && ($reply || $k->{there} || !$k->{complete})
             || $op->{given} && $k->{complete}
                && !($op->{nothing} && $op->{nothing}->($reply)))
    {
        $self->whole($k);

    } elsif ($op->{given}) {
        push @{ $k->{tell} }, [ $op->{argv}[0], @{ $op->{argv} }[2 .. 9] ]
            unless $op->{nothing} && $op->{nothing}->($reply);

    } elsif ($op->{tell}) {
        push @{ $k->{tell} }, $op->{tell}->($reply);
    }

    $self->whole($op->{to}) if $op->{to} && $reply;
    $self->whole($k) if $op->{drop};

    $self->settle($_) for grep { $_ } $k, $op->{to};

    return;
}


# the same on nginx's view, which of a key that it knows in part is that part

sub view {
    my ($self, $op, $reply) = @_;

    my $k = $op->{k};
    my ($verb, @args) = @{ $op->{argv} };

    if ($op->{random} && $verb ne 'DEL') {
        return if !defined $reply || ref $reply eq 'HASH';
        ($verb, @args) = (SREM => $k->{name}, $reply);
    }

    # what needs Redis was not done

    return if !$k->{complete} && ref $reply eq 'HASH';

    $_ = $self->{keys}{$_} ? "v:$_" : $_ for @args;

    my ($value, $error) = $self->{calc}->try($verb, @args);

    return if $op->{random} && $verb eq 'DEL';

    if ($op->{random}) {
        return $value ? undef : "$reply was not there";
    }

    return if !$k->{complete};

    my ($is, $should) = map { flat($_) } $reply,
                        defined $error ? { error => $error } : $value;

    return $is eq $should ? undef : "replied $is, not $should";
}


sub flat {
    my ($reply) = @_;

    return 'nil' unless defined $reply;
    return "error $reply->{error}" if ref $reply eq 'HASH';
    return '[' . join(' ', map { flat($_) } @$reply) . ']' if ref $reply;
    return $reply;
}


sub whole {
    my ($self, $k) = @_;

    $k->{complete} = 1;
    $k->{replaced} = 1;
}


# Has it come or gone?  With what nginx knows of it goes the expiry: one that was
# set through it, and of a key that it knows completely any.

sub settle {
    my ($self, $k) = @_;

    my $was = $k->{there};

    $k->{there} = $self->{calc}->cmd('EXISTS', "v:$k->{name}");

    $k->{emptied} = 1 if $was && !$k->{there};
    $k->{anew} = 1 if $k->{emptied} && $k->{there};
    $k->{expire} = 0
        if !$k->{there} && ($k->{expire} || $k->{complete} && $k->{expires});
    $k->{expires} = $self->{calc}->cmd('PTTL', "v:$k->{name}") > 0;
}


# somebody else; the type stays

sub remote {
    my ($self) = @_;

    my $k = $self->{keys}{ $self->pick($self->keys) };
    my $key = $k->{name};
    my $n = $self->any(20) - 10;
    my ($f, $m) = ($self->pick(@FIELDS), $self->pick(@MEMBERS));

    return [ DEL => $key ] if $self->any(30) == 0;
    return [ PEXPIREAT => $key, int(1000 * now()) + 20_000_000
             + $self->any(9_000_000) ] if $self->any(20) == 0;

    my %make = (
        count  => [ [ INCRBY => $key, $n ], [ SET => $key, $n ] ],
        float  => [ [ INCRBYFLOAT => $key, $n / 4 ], [ SET => $key, $n ] ],
        string => [ [ APPEND => $key, $self->unique('r') ],
                    [ SET => $key, $self->unique('r') ] ],
        hash   => [ [ HSET => $key, $f, $n ], [ HINCRBY => $key, $f, $n ],
                    [ HDEL => $key, $f ], [ HSET => $key, 'float', $n ],
                    [ HSET => $key, $self->unique('r'), $n ] ],
        set    => [ [ SADD => $key, $m ], [ SREM => $key, $m ],
                    [ SADD => $key, $self->unique('r') ] ],
        zset   => [ [ ZADD => $key, $n, $m ], [ ZINCRBY => $key, $n, $m ],
                    [ ZREM => $key, $m ],
                    [ ZADD => $key, $n, $self->unique('r') ] ],
        list   => [ [ LPUSH => $key, $self->unique('r') ],
                    [ RPUSH => $key, $self->unique('r') ],
                    [ LPOP => $key ], [ RPOP => $key ] ],
    );

    return $self->pick(@{ $make{ $k->{type} } });
}


# what Redis is to hold, now that nobody changes it any more

sub want {
    my ($self, $redis) = @_;

    my $calc = $self->{calc};
    my %want;

    for my $name ($self->keys) {
        my $k = $self->{keys}{$name};
        my $w = "w:$name";

        if ($k->{replaced}) {
            $self->bring($calc, "v:$name", $w);

        } else {
            $self->bring($redis, $name, $w);
            my $ttl = $calc->cmd('PTTL', $w);
            $self->apply($w, @$_) for @{ $k->{tell} };

            if (!defined $k->{expire}) {
                $calc->cmd('PEXPIRE', $w, $ttl) if $ttl > 0;

            } elsif ($k->{expire}) {
                $calc->cmd('PEXPIREAT', $w, $k->{expire});

            } else {
                $calc->cmd('PERSIST', $w);
            }
        }

        $want{$name} = [ text($calc, $w, $k->{type}) ];
        push @{ $want{$name} }, text($calc, "v:$name", $k->{type})
            if $k->{complete} && $k->{anew};
    }

    return %want;
}


# nothing that was acknowledged is lost, its place may be

sub apply {
    my ($self, $key, $verb, @args) = @_;

    @args = grep { defined } @args;

    my ($reply, $error) = $self->{calc}->try($verb, $key, @args);

    if ($verb eq 'LINSERT' && $reply < 1) {
        $self->{calc}->cmd('RPUSH', $key, $args[2]);

    } elsif ($verb eq 'LSET' && defined $error) {
        $self->{calc}->cmd($args[0] < 0 ? 'LPUSH' : 'RPUSH', $key, $args[1]);

    } elsif (defined $error) {
        die "$verb @args: $error\n";
    }
}


# a key as text, its expiry in seconds

sub text {
    my ($redis, $key, $type) = @_;

    my %read = (
        hash => [ 'HGETALL', $key ],
        set  => [ 'SMEMBERS', $key ],
        zset => [ 'ZRANGE', $key, 0, -1, 'WITHSCORES' ],
        list => [ 'LRANGE', $key, 0, -1 ],
    );

    my ($value, $ttl) = $redis->pipeline($read{$type} || [ 'GET', $key ],
                                         [ PTTL => $key ]);

    return 'nothing' if $ttl == -2;

    return content($type, $value)
           . ($ttl < 0 ? '' : sprintf ', until %d',
                              (1000 * now() + $ttl) / 1000 + 0.5);
}


# the order of fields and members does not matter

sub content {
    my ($type, $value) = @_;

    return "\"$value\"" unless ref $value;

    my @rows = @$value;

    if ($type eq 'hash') {
        my %hash = @rows;
        @rows = map { "$_=$hash{$_}" } sort CORE::keys %hash;

    } elsif ($type eq 'set') {
        @rows = sort @rows;
    }

    return "@rows";
}


1;
