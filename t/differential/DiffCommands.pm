package DiffCommands;

# Random commands for the differential test: all of those that work in every
# mode, right and wrong ones, on so few keys that they meet what others left.
#
#     my $random = DiffCommands->new($seed);
#     my @argv = $random->command;        # bytes
#     my @keys = $random->keys;
#
# Expiries lie hours ahead or in the past, so that clocks do not matter; the
# same seed makes the same commands, but for those times.
#
# Left out is what Redis itself does not define: lexical ranges of members
# with different scores (so "y" keys get members of score 0 only), and a large
# negative count of random elements, which would be a reply without end.

use strict;
use warnings;

my %CLASS = (
    s => [qw(s0 s1 s2), "s \xc3\xa9"],
    h => [qw(h0 h1 h2 h:3)],
    l => [qw(l0 l1 l2 l:3)],
    t => [qw(t0 t1 t2 t:3)],
    z => [qw(z0 z1 z2)],
    y => [qw(y0 y1)],
    n => [qw(n0)],
);

my @KEYS = map { @{ $CLASS{$_} } } sort keys %CLASS;

my @ODD = ('x', '', '01', '+1', '-0', '1 ', ' 1', '9223372036854775807',
           '9223372036854775808', '-9223372036854775808',
           '-9223372036854775807', '-9223372036854775809', '1e3', '0', '-1',
           '0.5', '-1.5e2', 'inf', '-inf', 'nan', '1e400', '1e4000', '0x1p3',
           "1\0", '99999999999999999999', '18446744073709551617', '1e-400');

my @SCORES = ('inf', '-inf', '+inf', 'Infinity', 'nan', '1e400', '1e-400', '',
              'x', '1.5e3', '0x10', ' 1', '1 ', '.5', '5.', '-0', '+3',
              '9007199254740993', '123456789012345678', '1e21', '1e20',
              '0.1', '3.0', '-1e-7', '17179869184.125');

my @PATTERNS = ('*', 's*', '?0', 'm[1-3]*', 'm[^1-3]', '*1*', 'm\\1', '[',
                '[^', 'm[a', '*\\', 'f?', '', '*:*', '**1', 'nosuch', 'e*9',
                "\xc3\xa9*");

# weight, and the method that makes it; what is made often is what fills keys

my @COMMANDS = (
    [ 30, \&strings ], [ 8, \&numbers ], [ 12, \&set ], [ 3, \&many ],
    [ 14, \&expiry ], [ 10, \&any_key ], [ 6, \&two_keys ], [ 4, \&all_keys ],
    [ 36, \&hash_write ], [ 24, \&hash_read ],
    [ 30, \&list_push ], [ 40, \&list_edit ], [ 20, \&list_read ],
    [ 30, \&set_write ], [ 14, \&set_read ], [ 18, \&set_algebra ],
    [ 34, \&zset_write ], [ 16, \&zset_read ], [ 18, \&zset_range ],
    [ 12, \&zset_lex ], [ 8, \&zset_remove ],
    [ 2, \&server ], [ 2, \&bulk ],
);

my $TOTAL = 0;
$TOTAL += $_->[0] for @COMMANDS;


sub new {
    my ($class, $seed) = @_;

    srand($seed);

    return bless { epoch => time() }, $class;
}


sub keys { return @KEYS }


sub command {
    my ($self) = @_;

    my $at = rand $TOTAL;
    my @argv;

    for my $entry (@COMMANDS) {
        $at -= $entry->[0];

        if ($at < 0) {
            @argv = $entry->[1]->($self);
            last;
        }
    }

    # in any case, and sometimes an argument too many or too few

    $argv[0] = one(uc $argv[0], lc $argv[0], ucfirst lc $argv[0]);

    if (chance(50)) {
        if (@argv > 1 && chance(2)) {
            pop @argv;
        } else {
            push @argv, one('x', '1', '', 'nx', 'limit');
        }
    }

    utf8::encode($_) for grep { utf8::is_utf8($_) } @argv;

    return @argv;
}


# what commands are made of

sub one    { return $_[int rand @_] }
sub chance { return int(rand $_[0]) == 0 }
sub some   { my ($max, $make) = @_; return map { $make->() } 0 .. rand $max }
sub maybe  { my $n = shift; return chance($n) ? @_ : () }


# mostly of the class, sometimes one that holds another type

sub key {
    my ($class) = @_;

    return one(chance(12) ? @KEYS : @{ $CLASS{$class} });
}


# a key of any class that may take what is written; see above

sub key_to {
    my ($from, $class) = @_;

    my $to = chance(5) ? key(one(CORE::keys %CLASS)) : key($class);

    return $to =~ /^y/ && $from !~ /^y/ ? key_to($from, $class) : $to;
}


sub value {
    my $i = int rand 40;

    return int(rand 2000) - 1000               if $i < 9;
    return sprintf '%.2f', rand(2000) - 1000   if $i < 12;
    return 9223372036854775807                 if $i == 12;
    return '-9223372036854775808'              if $i == 13;
    return ''                                  if $i == 14;
    return one(@ODD)                           if $i == 15;
    return 'x' x rand 3000                     if $i == 16;
    return join '', map { chr rand 128 } 0 .. rand 40      if $i == 17;
    return join '', map { chr rand 256 } 0 .. rand 60      if $i == 18;
    return "caf\xc3\xa9 \xe2\x82\xac\xf0\x9f\x98\x80"      if $i == 19;
    return "\"\\/\b\f\n\r\t\x7f" . int rand 10 if $i == 20;
    return 'y' x rand 200                      if $i < 23;

    return 'v' . int rand 100;
}


sub member {
    my $i = int rand 20;

    return 'm' . int rand 12   if $i < 11;
    return int(rand 24) - 4    if $i < 14;
    return 'e' . int rand 3000 if $i < 18;

    return value();
}


sub number {
    return chance(10) ? one(@ODD) : int(rand 200) - 60;
}


sub index_ { return chance(16) ? one(@ODD) : int(rand 40) - 16 }
sub count  { return chance(16) ? one(@ODD) : int(rand 12) - 2 }
sub float  { return chance(3) ? number() : one('0.1', '-0.3', '1e3', '1e-5',
                                               '10.50', '3.14159', rand 10) }


# of random elements: see above

sub random_count {
    return chance(12) ? one('x', '', '9223372036854775807', '0', '1.5',
                            '4611686018427387904', '-9223372036854775808')
                      : int(rand 24) - 10;
}


sub score {
    my $i = int rand 12;

    return one(@SCORES)                 if $i == 0;
    return sprintf '%.3f', rand(20) - 10 if $i < 3;

    return int(rand 20) - 8;
}


sub score_limit {
    return one('-inf', '+inf', 'inf', '(inf', '(-inf') if chance(4);

    return (chance(3) ? '(' : '') . score();
}


sub lex_limit {
    my $i = int rand 10;

    return '-'                                 if $i < 2;
    return '+'                                 if $i < 4;
    return one('', 'm3', '(', '[', '-x', '+m') if $i == 4;

    return one('(', '[') . member();
}


sub any_case {
    my ($word) = @_;

    return chance(4) ? uc $word : $word;
}


sub options { my $n = shift; return map { maybe($n, any_case($_)) } @_ }


# a time in seconds or ms, for EX, PX, EXAT, PXAT

sub time_ {
    my ($self, $unit) = @_;

    my $n = 10000 + 10 * int rand 100000;

    $n = -$n               if chance(12);
    $n += $self->{epoch}   if $unit =~ /at$/;
    $n *= 1000             if $unit =~ /^p/;

    # so short ones could run out here and not there

    if (chance(14)) {
        $n = one('x', '', '0', '-1', '-9223372036854775808',
                 '9223372036854775807', '9223372036854775', '1.5');
    }

    return $n;
}


sub time_option {
    my ($self) = @_;

    my $unit = one(qw(ex px exat pxat));

    return (any_case($unit), maybe(1, $self->time_($unit)));
}


# keys of any type

sub any_key {
    my $verb = one(qw(DEL UNLINK EXISTS TOUCH TYPE PERSIST TTL PTTL EXPIRETIME
                      PEXPIRETIME EXISTS TYPE TTL PTTL));

    return ($verb, one(@KEYS)) if $verb !~ /^(DEL|UNLINK|EXISTS|TOUCH)$/;
    return ($verb, one(@KEYS)) if $verb =~ /^(DEL|UNLINK)$/ && !chance(4);

    return ($verb, some(4, sub { one(@KEYS, 'nosuch') }));
}


sub expiry {
    my ($self) = @_;

    my $verb = one(qw(EXPIRE PEXPIRE EXPIREAT PEXPIREAT PERSIST TTL PTTL));
    return ($verb, one(@KEYS)) if $verb =~ /^(PERSIST|TTL|PTTL)$/;

    my $unit = ($verb =~ /^P/ ? 'p' : '') . ($verb =~ /AT$/ ? 'at' : '');

    return ($verb, one(@KEYS), $self->time_($unit),
            options(6, qw(nx xx gt lt)), maybe(40, 'foo'));
}


sub two_keys {
    my $class = one(CORE::keys %CLASS);
    my $from = key($class);
    my $to = key_to($from, $class);

    return chance(2) ? ('COPY', $from, $to, maybe(2, any_case('replace')),
                        maybe(40, one('foo', 'db')))
                     : (one(qw(RENAME RENAMENX)), $from, $to);
}


sub all_keys {
    my $i = int rand 5;

    return 'DBSIZE'                 if $i == 0;
    return 'RANDOMKEY'              if $i == 1;
    return ('KEYS', one(@PATTERNS)) if $i == 2;

    return ('SCAN', chance(20) ? one('x', '', '1x') : 0,
            scan_options(), maybe(3, any_case('type'),
                                  one(qw(string hash list set zset none foo
                                         HASH))));
}


# the whole in one go: where a part ends Redis does not say

sub scan_options {
    return (any_case('count'), chance(20) ? one('0', 'x', '-1') : 100000,
            maybe(2, any_case('match'), one(@PATTERNS)),
            maybe(40, one('foo', 'match')));
}


# strings

sub strings {
    my ($self) = @_;

    my $i = int rand 12;

    return (one(qw(GET STRLEN GETDEL GET)), key('s')) if $i < 3;
    return (one(qw(APPEND GETSET SETNX)), key('s'), value()) if $i < 6;
    return ('GETRANGE', key('s'), number(), number()) if $i == 6;

    if ($i == 7) {
        return ('SETRANGE', key('s'),
                chance(12) ? one(-1, 'x', 536870912, 9223372036854775807)
                           : int rand 60, value());
    }

    return (one(qw(SETEX PSETEX)), key('s'), $self->time_(''), value())
        if $i == 8;
    return ('GETEX', key('s'), chance(3) ? options(3, qw(persist nx ex))
                                         : $self->time_option) if $i == 9;

    return ('GET', key('s'));
}


sub numbers {
    my $i = int rand 5;

    return (one(qw(INCR DECR)), key('s'))               if $i < 2;
    return (one(qw(INCRBY DECRBY)), key('s'), number()) if $i < 4;

    return ('INCRBYFLOAT', key('s'), float());
}


sub set {
    my ($self) = @_;

    return ('SET', key('s'), value(), options(6, qw(nx xx get keepttl)),
            maybe(3, $self->time_option), maybe(40, 'foo'),
            maybe(40, 'keepttl'));
}


sub many {
    my $i = int rand 3;

    return ('MGET', some(4, sub { key('s') })) if $i == 0;

    return (one(qw(MSET MSETNX)), some(3, sub { (key('s'), value()) }),
            maybe(20, key('s')));
}


# hashes

sub field { return chance(8) ? member() : 'f' . int rand 12 }


sub hash_write {
    my $i = int rand 12;

    return (one(qw(HSET HMSET)), key('h'),
            some(4, sub { (field(), value()) }), maybe(30, 'f')) if $i < 5;
    return ('HSETNX', key('h'), field(), value())            if $i == 5;
    return ('HINCRBY', key('h'), field(), number())          if $i < 8;
    return ('HINCRBYFLOAT', key('h'), field(), float())      if $i == 8;

    return ('HDEL', key('h'), some(3, \&field));
}


sub hash_read {
    my $i = int rand 10;

    return (one(qw(HGET HEXISTS HSTRLEN)), key('h'), field()) if $i < 3;
    return ('HMGET', key('h'), some(5, \&field))              if $i == 3;
    return (one(qw(HGETALL HKEYS HVALS HLEN)), key('h'))      if $i < 7;
    return ('HSCAN', key('h'), chance(20) ? 'x' : 0, scan_options())
        if $i == 7;

    return ('HRANDFIELD', key('h'),
            maybe(2, random_count(), maybe(2, any_case('withvalues')),
                  maybe(30, 'foo')));
}


# lists

sub list_push {
    return (one(qw(LPUSH RPUSH LPUSH RPUSH LPUSHX RPUSHX)), key('l'),
            some(5, \&member));
}


sub list_edit {
    my $i = int rand 14;

    return (one(qw(LPOP RPOP)), key('l'))                    if $i < 3;
    return (one(qw(LPOP RPOP)), key('l'), count())           if $i == 3;
    return ('LSET', key('l'), index_(), value())             if $i < 6;
    return ('LREM', key('l'), chance(12) ? one(@ODD) : int(rand 9) - 4,
            member())                                        if $i < 8;
    return ('LINSERT', key('l'),
            chance(20) ? 'foo' : any_case(one(qw(before after))),
            member(), value())                               if $i < 10;
    return ('RPOPLPUSH', key('l'), key('l'))                 if $i == 10;
    return ('LMOVE', key('l'), key('l'),
            map { chance(30) ? 'up' : any_case($_) }
            one(qw(left right)), one(qw(left right)))        if $i < 13;

    return ('LTRIM', key('l'), chance(3) ? index_() : int rand 3,
            chance(3) ? index_() : -int rand 4);
}


sub list_read {
    my $i = int rand 7;

    return ('LLEN', key('l'))                        if $i == 0;
    return ('LINDEX', key('l'), index_())            if $i < 3;
    return ('LRANGE', key('l'), index_(), index_())  if $i == 3;
    return ('LRANGE', key('l'), 0, -1)               if $i == 4;

    return ('LPOS', key('l'), member(), maybe(3, any_case('rank'), index_()),
            maybe(3, any_case('count'), count()),
            maybe(3, any_case('maxlen'), count()), maybe(40, 'foo'));
}


# sets

sub set_write {
    my $i = int rand 10;

    return ('SADD', key('t'), some(6, \&member))    if $i < 5;
    return ('SREM', key('t'), some(4, \&member))    if $i < 7;
    return ('SMOVE', key('t'), key('t'), member())  if $i == 7;

    return ('SPOP', key('t'),
            maybe(2, chance(12) ? one('x', '', '-1', '9223372036854775807')
                                : int rand 5));
}


sub set_read {
    my $i = int rand 8;

    return (one(qw(SMEMBERS SCARD)), key('t'))     if $i < 2;
    return ('SISMEMBER', key('t'), member())       if $i == 2;
    return ('SMISMEMBER', key('t'), some(5, \&member)) if $i == 3;
    return ('SSCAN', key('t'), chance(20) ? 'x' : 0, scan_options())
        if $i == 4;

    return ('SRANDMEMBER', key('t'), maybe(2, random_count()));
}


sub set_algebra {
    my $i = int rand 8;
    my @keys = some(3, sub { key('t') });

    return (one(qw(SINTER SUNION SDIFF)), @keys)                 if $i < 3;
    return (one(qw(SINTERSTORE SUNIONSTORE SDIFFSTORE)),
            chance(20) ? one(@KEYS) : one('t0', 'n0', 't:3'), @keys)
        if $i < 6;

    return ('SINTERCARD', chance(12) ? one(0, -1, 'x', @keys + 1, @keys - 1)
                                     : scalar @keys, @keys,
            maybe(2, any_case('limit'), count()), maybe(40, 'foo'));
}


# sorted sets

sub zset_key { my $key = key('z'); return $key =~ /^y/ ? 'z0' : $key }


sub zset_write {
    my $i = int rand 12;

    return ('ZADD', 'y' . int rand 2, some(5, sub { (0, member()) }))
        if $i < 2;
    return ('ZADD', zset_key(), options(4, qw(nx xx gt lt ch)),
            some(5, sub { (score(), member()) }), maybe(30, 'm')) if $i < 7;
    return ('ZADD', zset_key(), options(4, qw(nx xx gt lt ch)),
            any_case('incr'), score(), member(), maybe(20, 1, 'm'))
        if $i == 7;
    return ('ZINCRBY', zset_key(), score(), member())              if $i < 10;

    return ('ZREM', key(one('z', 'y')), some(3, \&member));
}


sub zset_read {
    my $i = int rand 8;

    return (one(qw(ZSCORE ZRANK ZREVRANK)), key('z'), member()) if $i < 3;
    return ('ZMSCORE', key('z'), some(4, \&member))             if $i == 3;
    return ('ZCARD', key('z'))                                  if $i == 4;
    return ('ZCOUNT', key('z'), score_limit(), score_limit())   if $i == 5;
    return ('ZSCAN', key('z'), chance(20) ? 'x' : 0, scan_options())
        if $i == 6;

    return ('ZRANDMEMBER', key('z'),
            maybe(2, random_count(), maybe(2, any_case('withscores')),
                  maybe(30, 'foo')));
}


sub limit { return maybe(3, any_case('limit'), count(), count()) }


sub zset_range {
    my $i = int rand 6;
    my @scores = maybe(2, any_case('withscores'));

    return (one(qw(ZRANGE ZREVRANGE)), key('z'), index_(), index_(), @scores,
            maybe(30, 'foo'))                                 if $i < 2;
    return (one(qw(ZRANGEBYSCORE ZREVRANGEBYSCORE)), key('z'),
            score_limit(), score_limit(), @scores, limit(),
            maybe(30, 'foo'))                                 if $i < 4;
    return ('ZRANGE', key('z'), score_limit(), score_limit(),
            any_case('byscore'), options(2, 'rev'), limit(), @scores)
        if $i == 4;

    return ('ZRANGE', key('z'), index_(), index_(), options(2, 'rev'),
            @scores, maybe(12, limit()));
}


sub lex_key { return chance(12) ? 'nosuch' : one('y0', 'y1') }


sub zset_lex {
    my $i = int rand 5;

    return ('ZLEXCOUNT', lex_key(), lex_limit(), lex_limit())  if $i == 0;
    return ('ZRANGEBYLEX', lex_key(), lex_limit(), lex_limit(), limit())
        if $i < 3;
    return ('ZREMRANGEBYLEX', lex_key(), lex_limit(), lex_limit())
        if $i == 3 && chance(3);

    return ('ZRANGE', lex_key(), lex_limit(), lex_limit(), any_case('bylex'),
            options(2, 'rev'), limit(), maybe(12, 'withscores'));
}


sub zset_remove {
    my $i = int rand 4;

    return (one(qw(ZPOPMIN ZPOPMAX)), key('z'), maybe(3, count())) if $i < 2;
    return ('ZREMRANGEBYSCORE', key('z'), score_limit(), score_limit())
        if $i == 2 && chance(3);

    return ('ZREMRANGEBYRANK', key('z'), map { int(rand 6) } 1 .. 2);
}


sub server {
    return @{ one([ 'PING' ], [ 'PING', value() ], [ 'ECHO', value() ],
               [ 'TIME' ], [ 'NOSUCH', 'a', value() ], [ 'TIME' ]) };
}


# so many that the collection is a tree of some levels

sub bulk {
    my $i = int rand 4;
    my $n = 60 + int rand 240;

    return (one(qw(LPUSH RPUSH)), key('l'), map { member() } 1 .. $n)
        if $i == 0;
    return ('SADD', key('t'), map { 'e' . int rand 3000 } 1 .. $n)
        if $i == 1;
    return ('HSET', key('h'), map { ('e' . int rand 3000, value()) } 1 .. $n)
        if $i == 2;

    return ('ZADD', zset_key(),
            map { (int(rand 1000), 'e' . int rand 3000) } 1 .. $n);
}


1;
