# The checker of histories finds what is wrong, and nothing else.

use strict;
use warnings;

use File::Basename ();
use lib File::Basename::dirname(__FILE__);
use Test::More;
use ChaosModel;


# operations, one a second: [client, outcome, tier, effects, replies, from,
# to]; and what is wrong with a content

sub violations {
    my ($events, $content, @ops) = @_;

    my $model = ChaosModel->new(%$events);
    my (%text, $time);

    for my $op (@ops) {
        my ($client, $outcome, $tier, $effects, $replies, $from, $to) = @$op;

        $from = ++$time unless defined $from;
        $to = $from + 0.5 unless defined $to;
        $text{$client} .= ChaosModel::sent_line($from * 1000, $from,
            @$effects > 2 ? 'MULTI' : 'X', $effects);
        $text{$client} .= ChaosModel::done_line($from * 1000, $to, $outcome,
            { status => 200, tier => $tier, result => 'ok',
              mode => $tier eq 'redis' ? 'normal' : 'fallback' },
            $replies || []);
    }

    $model->load($_, $text{$_}) for sort keys %text;

    return join ' | ', map { $_->{why} } $model->check($content);
}


sub fine {
    my ($name, @args) = @_;

    is(violations(@args), '', "fine: $name");
}


sub found {
    my ($name, $why, @args) = @_;

    like(violations(@args), $why, "found: $name");
}


sub w { return [ 1, $_[1] || 'ack', $_[2] || 'redis',
                 [ [ 'w', 'r:s:a', '', $_[0] ] ] ] }
sub r { return [ 1, 'ack', $_[1] || 'redis', [ [ 'r', 'r:s:a', '' ] ],
                 [ $_[0] ] ] }
sub a { return [ $_[2] || 1, $_[1] || 'ack', $_[3] || 'redis',
                 [ [ '+', 'r:n:a', '', $_[0] ] ] ] }
sub p { return [ $_[2] || 1, $_[3] || 'ack', 'memory',
                 [ [ $_[0], 'r:q:a', $_[1] ] ] ] }
sub pop_ { return [ 1, $_[1] || 'ack', 'redis', [ [ 'p', 'r:q:a' ] ],
                    [ $_[0] ] ] }

my %a = ('r:s:a' => 'one');
my %b = ('r:s:a' => 'two');

# registers

fine('the last value', {}, \%b, w('one'), w('two'));
found('an older value', qr/holds "one", may be "two"/, {}, \%a, w('one'),
      w('two'));
found('nothing', qr/holds nothing/, {}, {}, w('one'));
found('what was deleted', qr/may be nothing/, {}, \%a, w('one'), w(undef));
found('another value', qr/holds "what"/, {}, { 'r:s:a' => 'what' }, w('one'));
found('a key of nobody', qr/nobody made it/, {}, { %a, 'r:s:b' => 1 },
      w('one'));
fine('an uncertain one', {}, \%b, w('one'), w('two', 'unsure'));
fine('or not', {}, \%a, w('one'), w('two', 'unsure'));
found('an uncertain one that comes late', qr/holds "one"/, {}, \%a,
      w('one', 'unsure'), w('two'));
fine('a broken one may', {}, \%a, w('one', 'broken'), w('two'));
found('one that was refused', qr/holds "two"/, { resized => [ 1.9 ] }, \%b,
      w('one'), w('two', 'refused'));
found('a refusal', qr/should not be/, {}, \%a, w('one'), w('two', 'refused'));
found('a bad answer', qr/should not be/, {}, \%a, w('one'), w('two', 'bad'));

found('a stale read', qr/client 1 read "one"/, {}, \%b, w('one'), w('two'),
      r('one'));
found('a read that finds nothing', qr/read nothing/, {}, \%a, w('one'),
      r(undef));
fine('memory does not know it', {}, \%a, w('one'), r(undef, 'memory'));
found('but what was written here', qr/read nothing/, {}, \%a,
      w('one', 'ack', 'memory'), r(undef, 'memory'));
fine('unless Redis was there', { away => [ [ 1.6, 1.7 ] ] }, \%a,
     w('one', 'ack', 'memory'), r(undef, 'memory'));

my $killed = { lossy => [ [ 1.9, 2.6 ] ] };

fine('lost by kill -9', $killed, \%a, w('one'), w('two', 'ack', 'memory'));
found('not if Redis had it', qr/holds "one"/, $killed, \%a, w('one'), w('two'));
found('nor what was before', qr/holds nothing/, $killed, {},
      w('one', 'ack', 'memory'), w('two', 'ack', 'memory'));
fine('Redis was emptied', { wipes => [ [ 2.7, 2.8 ] ] }, {}, w('one'));
found('what came later is there', qr/holds nothing/,
      { wipes => [ [ 1.7, 1.8 ] ] }, {}, w('one'), w('two'));
fine('what may have changed nothing is gone, too',
     { wipes => [ [ 1.7, 2.8 ] ], lossy => [ [ 0.9, 1.6 ] ] }, {},
     w('one', 'ack', 'memory'), w('one', 'ack', 'memory'));
found('but not what did', qr/holds nothing/,
      { wipes => [ [ 1.7, 2.8 ] ], lossy => [ [ 0.9, 1.6 ] ] }, {},
      w('one', 'ack', 'memory'), w('two', 'ack', 'memory'));
found('and nothing older', qr/holds "one"/, { wipes => [ [ 2.7, 2.8 ] ] }, \%a,
      w('one'), w('two'));

# counters

fine('a sum', {}, { 'r:n:a' => 30 }, a(10), a(20, 'ack', 2));
found('one too few', qr/10 to 10|30 to 30/, {}, { 'r:n:a' => 10 }, a(10),
      a(20));
found('one twice', qr/holds "50"/, {}, { 'r:n:a' => 50 }, a(10), a(20), a(0));
fine('uncertain', {}, { 'r:n:a' => 30 }, a(10), a(20, 'unsure'),
     a(40, 'broken'));
found('no sum of the uncertain', qr/no sum/, {}, { 'r:n:a' => 35 }, a(10),
      a(20, 'unsure'), a(40, 'broken'));
fine('again, nginx was killed', { twice => [ 2 ] }, { 'r:n:a' => 20 },
     a(10, 'ack', 1, 'memory'));

# lists

my $list = { 'r:q:a' => [ qw(d c a b) ] };
my @pushes = (p('>', 'a'), p('>', 'b'), p('<', 'c'), p('<', 'd'));

fine('a list', {}, $list, @pushes);
found('a lost element', qr/1 acknowledged elements are missing/, {},
      { 'r:q:a' => [ qw(d c a) ] }, @pushes);
found('one twice', qr/is there 2 times/, {},
      { 'r:q:a' => [ qw(d c a b b) ] }, @pushes);
found('one of nobody', qr/nobody has pushed/, {},
      { 'r:q:a' => [ qw(d c a b e) ] }, @pushes);
found('a wrong order to the right', qr/wrong order/, {},
      { 'r:q:a' => [ qw(d c b a) ] }, @pushes);
found('a wrong order to the left', qr/wrong order/, {},
      { 'r:q:a' => [ qw(c d a b) ] }, @pushes);
found('the wrong end', qr/pushed to the left/, {},
      { 'r:q:a' => [ qw(d a c b) ] }, @pushes);
fine('any order of two clients', {}, { 'r:q:a' => [ qw(b a) ] },
     p('>', 'a'), p('>', 'b', 2));
fine('popped', {}, { 'r:q:a' => [ qw(c a b) ] }, @pushes, pop_('d'));
found('popped and there', qr/there again/, {}, $list, @pushes, pop_('d'));
found('popped twice', qr/popped by 2/, {}, { 'r:q:a' => [ qw(c a b) ] },
      @pushes, pop_('d'), pop_('d'));
found('popped by one on its way, and here', qr/popped by 2/, {},
      { 'r:q:a' => [ qw(c a b) ] }, @pushes,
      [ @{ pop_('d') }[0, 1, 2, 3, 4], 5000, 5003 ],
      [ 2, 'ack', 'memory', [ [ 'p', 'r:q:a' ] ], [ 'd' ], 5001, 5002 ]);
found('popped by one, and here later', qr/popped by 2/, {},
      { 'r:q:a' => [ qw(c a b) ] }, @pushes,
      [ @{ pop_('d') }[0, 1, 2, 3, 4], 5000, 5001 ],
      [ 2, 'ack', 'memory', [ [ 'p', 'r:q:a' ] ], [ 'd' ], 5002, 5003 ]);
fine('perhaps popped', {}, { 'r:q:a' => [ qw(d a b) ] }, @pushes,
     pop_(undef, 'unsure'));
found('but one of them', qr/2 acknowledged/, {}, { 'r:q:a' => [ qw(d b) ] },
      @pushes, pop_(undef, 'unsure'));

# collections, transactions

my @hash = map { [ 1, 'ack', 'redis', [ [ 'w', 'r:h:a', $_, "v$_" ] ] ] } 1, 2;

fine('a hash', {}, { 'r:h:a' => { 1 => 'v1', 2 => 'v2' } }, @hash);
found('a lost field', qr/holds nothing/, {}, { 'r:h:a' => { 1 => 'v1' } },
      @hash);
found('a field of nobody', qr/nobody made it/, {},
      { 'r:h:a' => { 1 => 'v1', 2 => 'v2', 3 => 1 } }, @hash);
fine('deleted', {}, {}, @hash, [ 1, 'ack', 'redis', [ [ 'd', 'r:h:a' ] ] ]);
found('deleted, and a field is left', qr/may be nothing/, {},
      { 'r:h:a' => { 2 => 'v2' } }, @hash,
      [ 1, 'ack', 'redis', [ [ 'd', 'r:h:a' ] ] ]);

my $multi = [ 1, 'unsure', 'none', [ [ '>', 'r:l:a', 'x' ],
              [ '+', 'r:n:a', '', 5 ], [ '<', 'r:l:b', 'y' ] ] ];

fine('no transaction', {}, {}, $multi);
fine('a transaction', {}, { 'r:l:a' => [ 'x' ], 'r:l:b' => [ 'y' ],
                            'r:n:a' => 5 }, $multi);
found('half of one', qr/1 of 2 changes/, {}, { 'r:l:a' => [ 'x' ] }, $multi);

done_testing;
