package ChaosModel;

# What a history of operations allows the keys to hold.  It knows the log of
# the clients, the moments at which something may be lost, and what Redis
# holds in the end; nothing of how a store works.
#
# An operation has an outcome:
#
#     ack       a 2xx with a result: it has happened
#     refused   it has not.  All these commands work in every mode, so only
#               at a reload that makes a new zone may that be, and where a key
#               is not replayed in time
#     unsure    5xx: it may have happened, but not after what its client does
#               next: who gave it up must not let it come later
#     broken    the connection broke, since nginx was killed: it may have
#               happened, and even happen late, over what came next.  What is
#               in the receive buffer of a Redis nobody can call back
#     bad       an answer that should not be: always a violation
#
# and effects:
#
#     [ w => key, member, value ]     set by its owner alone; undef: removed
#     [ d => key ]                    removes all members, by their owner alone
#     [ r => key, member ]            read by its owner alone
#     [ + => key, member, amount ]    added to by everybody
#     [ > => key, element ]           pushed to the right; each one once
#     [ < => key, element ]           pushed to the left
#     [ p => key ]                    popped, from whichever end
#
# The member of a string is ''.  A key is ROUND:TYPE:NAME; the letter says what
# it is in Redis:
#
#     s string   n counter   a string to which words are appended
#     h hash     t set       z sorted set     l list     q list with pops
#
# Events, each with times:
#
#     lossy   [from, to]: what was acknowledged then and not by Redis may be
#             lost (all of nginx was killed, durability memory)
#     wipes   [killed, started]: Redis lost its data.  What memory holds is
#             written back.  So a register has what it had, or nothing.  What
#             changes nothing by what memory knows is not told to Redis, so
#             after this it may be lost
#     twice   time: all of nginx was killed while it told Redis what it had
#             missed; what adds may be applied again.  Absent where the
#             module promises better
#     kills   time: all of nginx was killed.  Half of a transaction that was
#             not acknowledged may be on disk
#     away    [from, to] pairs at which Redis was asked: between two of these
#             memory must know what it has acknowledged
#     resized time: a reload made a new zone.  Until they have gone, workers of
#             the old one refuse what they could only change there, and what
#             they tell Redis the new one has not seen

use strict;
use warnings;

use JSON::PP ();

my $json = JSON::PP->new->ascii->allow_nonref;

our $SUBSETS = 100_000;         # sums that are tried one by one
our $NEVER = 9e15;
our $OLD = 20;                  # seconds that old workers may take to go


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        ops => [], bad => [], count => {}, answers => {},
        map { $_ => $opt{$_} || [] } qw(lossy wipes twice kills away resized),
    }, $class;

    return $self;
}


# --- the log ---------------------------------------------------------------

sub sent_line {
    my ($id, $time, $text, $effects) = @_;

    return join("\t", 'S', $id, sprintf('%.6f', $time),
                $json->encode([ $text, $effects ])) . "\n";
}


sub done_line {
    my ($id, $time, $outcome, $res, $replies) = @_;

    return join("\t", 'R', $id, sprintf('%.6f', $time), $outcome,
                (map { defined $_ && length $_ ? $_ : '-' }
                 @$res{qw(status mode tier result)}),
                $json->encode([ $replies, $res->{error} ])) . "\n";
}


sub load {
    my ($self, $client, $text) = @_;

    my (%open, @ops);

    for my $line (split /\n/, $text) {
        my ($what, $id, $time, @more) = split /\t/, $line;

        if ($what eq 'S') {
            my ($words, $effects) = @{ $json->decode($more[0]) };

            push @ops, $open{$id} = {
                client => $client, id => $id, sent => $time, got => $NEVER,
                outcome => 'broken', text => $words, effects => $effects,
                replies => [], map { $_ => '-' } qw(status mode tier result),
            };
            next;
        }

        my $op = delete $open{$id};
        @$op{qw(got outcome status mode tier result)} = ($time, @more[0 .. 4]);
        @$op{qw(replies error)} = @{ $json->decode($more[5]) };
    }

    push @{ $self->{ops} }, @ops;
}


# what was there before the clients came

sub base {
    my ($self, $time, @effects) = @_;

    push @{ $self->{ops} }, {
        client => 0, id => 0, sent => $time, got => $time, outcome => 'ack',
        status => '-', mode => 'normal', tier => 'redis', result => 'ok',
        text => 'before', effects => [ @effects ], replies => [],
    };
}


# --- the verdict -----------------------------------------------------------

# Content: { key => value }, of a string its text, of a list an array, of the
# others a hash.  Returns what is wrong: { key, member, why }.

sub check {
    my ($self, $content) = @_;

    $self->sort_out;
    $self->{bad} = [];

    for my $op (@{ $self->{ops} }) {
        $self->tally($op) if $op->{client};
        $self->wrong($op->{effects}[0][1], undef,
                     "an answer that should not be: $op->{status} "
                     . ($op->{error} // ''))
            if $op->{outcome} eq 'bad'
               || $op->{outcome} eq 'refused'
                  && ($op->{error} // '') !~ /in time(?: while|: )|<html>/
                  && !grep { $op->{got} > $_ && $op->{sent} < $_ + $OLD }
                           @{ $self->{resized} };
    }

    for my $key (sort keys %{ $self->{keys} }) {
        my $has = $content->{$key};
        my $type = type($key);

        $self->check_list($key, $has) if $type =~ /[alq]/;
        $self->check_members($key, $has) if $type !~ /[alq]/;
    }

    for my $key (sort keys %$content) {
        $self->wrong($key, undef, 'nobody made it')
            unless $self->{keys}{$key};
    }

    $self->check_transactions($content);

    return @{ $self->{bad} };
}


# how often what was answered, but for results

sub tally {
    my ($self, $op) = @_;

    $self->{count}{ $op->{outcome} }++;
    return if $op->{outcome} eq 'ack';

    my $error = ($op->{error} // '') =~ s/^\{"error":"|"\}\s*$//gr;
    $error =~ s/'[^']*'/.../g;
    $error =~ s/^<html>.*//s;

    $self->{answers}{ substr "$op->{outcome}: $op->{status} $error", 0, 70 }++;
}


sub type { return (split /:/, $_[0])[1] }


sub wrong {
    my ($self, $key, $member, $why) = @_;

    push @{ $self->{bad} }, { key => $key, member => $member, why => $why };
}


# of each key and member its operations, in order

sub sort_out {
    my ($self) = @_;

    @{ $self->{ops} } = sort { $a->{sent} <=> $b->{sent}
                               || $a->{client} <=> $b->{client}
                               || $a->{id} <=> $b->{id} } @{ $self->{ops} };

    my %keys;

    for my $op (@{ $self->{ops} }) {
        for my $effect (@{ $op->{effects} }) {
            my ($what, $key, $member) = @$effect;
            $keys{$key}{$member}++ if $what =~ /[wr+]/;
            $keys{$key} ||= {};
        }
    }

    $self->{keys} = \%keys;
    $self->{of} = {};

    for my $op (@{ $self->{ops} }) {
        for my $i (0 .. $#{ $op->{effects} }) {
            my ($what, $key, $member, $value) = @{ $op->{effects}[$i] };
            my $step = { op => $op, what => $what, value => $value,
                         reply => $op->{replies}[$i] };

            # those who own no member of it did not remove one

            my @members = $what eq 'd' ? keys %{ $keys{$key} }
                        : $what =~ /[<>p]/ ? '' : $member;

            @$step{qw(what value)} = ('w', undef) if $what eq 'd';
            $step->{value} = $member if $what =~ /[<>]/;
            push @{ $self->{of}{$key}{$_} }, $step for @members;
        }
    }
}


# acknowledged, and yet perhaps gone

sub lossy {
    my ($self, $op) = @_;

    return 0 if $op->{tier} eq 'redis' && $op->{mode} eq 'normal';

    for my $span (@{ $self->{lossy} }) {
        return 1 if $op->{got} >= $span->[0] && $op->{sent} <= $span->[1];
    }

    return 0;
}


sub wiped {
    my ($self, $op) = @_;

    return scalar grep { $op->{sent} < $_->[0] } @{ $self->{wipes} };
}


sub again {
    my ($self, $op) = @_;

    return 0 if $op->{tier} eq 'redis' || $op->{outcome} eq 'refused';
    return scalar grep { $op->{sent} < $_ } @{ $self->{twice} };
}


# has it happened?  1, 0, or undef: perhaps

sub happened {
    my ($self, $op) = @_;

    return 0 if $op->{outcome} =~ /^(refused|bad)$/;
    return undef if $op->{outcome} ne 'ack' || $self->lossy($op);

    return 1;
}


sub check_members {
    my ($self, $key, $has) = @_;

    my $type = type($key);
    my %has = !defined $has ? () : ref $has ? %$has : ('' => $has);

    for my $member (sort keys %has) {
        $self->wrong($key, $member, 'nobody made it')
            unless $self->{of}{$key}{$member};
    }

    for my $member (sort keys %{ $self->{keys}{$key} }) {
        my $steps = $self->{of}{$key}{$member};
        my $counted = grep { $_->{what} eq '+' } @$steps;

        $counted ? $self->check_sum($key, $member, $steps, $has{$member})
                 : $self->check_register($key, $member, $steps, $has{$member});
    }
}


# --- registers -------------------------------------------------------------

sub check_register {
    my ($self, $key, $member, $steps, $has) = @_;

    my $state = { sure => undef, maybe => [], late => [], wrote => undef };
    my @wipes = sort { $a->[0] <=> $b->[0] } @{ $self->{wipes} };

    for my $step (@$steps) {
        my $op = $step->{op};

        while (@wipes && $op->{sent} >= $wipes[0][0]) {
            shift @wipes;
            push @{ $state->{maybe} }, undef;
            $state->{wrote} = undef;
        }

        if ($step->{what} eq 'r') {
            $self->check_read($key, $member, $state, $step)
                if $op->{outcome} eq 'ack';
            next;
        }

        my $happened = $self->happened($op);
        next if defined $happened && !$happened;

        if ($happened && @{ $self->{wipes} } && $op->{tier} ne 'redis'
            && same($step->{value}, $state->{sure}))
        {
            push @{ $state->{maybe} }, $step->{value};

        } elsif ($happened && @{ $self->{wipes} } && $op->{tier} ne 'redis'
                 && grep { same($step->{value}, $_) } may($state))
        {
            # it may have been that already, and gone with Redis' data

            @$state{qw(sure maybe wrote last)}
                = ($step->{value}, [ undef ], $op, $op);

        } elsif ($happened) {
            @$state{qw(sure maybe wrote last)} = ($step->{value}, [], $op, $op);

        } elsif ($op->{outcome} eq 'broken') {
            push @{ $state->{late} }, $step->{value};

        } else {
            push @{ $state->{maybe} }, $step->{value};
            $state->{wrote} = undef;
        }
    }

    push @{ $state->{maybe} }, undef if @wipes;

    $self->wrong($key, $member, 'Redis holds ' . show($has) . ', may be '
                 . join ' or ', map { show($_) } may($state))
        unless grep { same($has, $_) } may($state);
}


sub may {
    my ($state) = @_;

    my %seen;

    return grep { !$seen{ defined $_ ? "=$_" : '' }++ }
           $state->{sure}, @{ $state->{maybe} }, @{ $state->{late} };
}


sub same {
    my ($is, $may) = @_;

    return defined $is ? defined $may && $is eq $may : !defined $may;
}


# Redis was told by a worker that had the zone of before: what the new one has
# copied of the key is older then, and an outage is served from that

sub unseen {
    my ($self, $wrote, $read) = @_;

    return $wrote && ($wrote->{tier} // '') eq 'redis'
           && ($read->{tier} // '') ne 'redis'
           && grep { $wrote->{got} > $_ && $wrote->{sent} < $_ + $OLD }
                   @{ $self->{resized} };
}


sub check_read {
    my ($self, $key, $member, $state, $step) = @_;

    my $op = $step->{op};
    my $value = $step->{reply};

    return if grep { same($value, $_) } may($state);

    # memory need not know what only Redis holds

    return if !defined $value && $op->{tier} ne 'redis'
              && !$self->remembers($state->{wrote}, $op);

    return if $self->{resized} && $self->unseen($state->{last}, $step->{op});

    $self->wrong($key, $member, sprintf 'at %.3f client %d read %s, may be %s',
                 $op->{got}, $op->{client}, show($value),
                 join ' or ', map { show($_) } may($state));
}


# was it written in the outage in which it is read?

sub remembers {
    my ($self, $wrote, $op) = @_;

    return 0 if !$wrote || $wrote->{tier} eq 'redis'
                || $wrote->{mode} ne 'fallback' || $op->{mode} ne 'fallback';

    for my $span (@{ $self->{away} }) {
        return 0 if $span->[1] >= $wrote->{sent} && $span->[0] <= $op->{got};
    }

    return 1;
}


sub show {
    my ($value) = @_;

    return 'nothing' unless defined $value;

    my $text = length $value > 60 ? substr($value, 0, 60) . '...' : $value;
    $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;

    return "\"$text\"";
}


# --- counters --------------------------------------------------------------

sub check_sum {
    my ($self, $key, $member, $steps, $has) = @_;

    my $sure = 0;
    my @maybe;

    for my $step (@$steps) {
        next if $step->{what} ne '+';

        my $op = $step->{op};
        my $happened = $self->happened($op);
        next if defined $happened && !$happened;

        if ($happened && !$self->wiped($op)) {
            $sure += $step->{value};
        } else {
            push @maybe, $step->{value};
        }

        push @maybe, $step->{value} if $self->again($op);
    }

    my $is = defined $has ? $has : 0;
    my ($low, $high) = ($sure, $sure);
    $_ < 0 ? ($low += $_) : ($high += $_) for @maybe;

    if ($is !~ /^-?\d+$/ || $is < $low || $is > $high) {
        return $self->wrong($key, $member, 'Redis holds ' . show($has)
            . ", may be $low to $high, $sure acknowledged and "
            . scalar(@maybe) . ' uncertain changes');
    }

    my $sums = subsets(@maybe) or return;

    $self->wrong($key, $member, 'Redis holds ' . show($has) . ", $sure are "
        . 'acknowledged, and the difference is no sum of the uncertain '
        . join ' ', @maybe) unless $sums->{ $is - $sure };
}


# all sums of some of these; undef where there are too many

sub subsets {
    my %sums = (0 => 1);

    for my $amount (@_) {
        $sums{ $_ + $amount } = 1 for keys %sums;
        return undef if keys %sums > $SUBSETS;
    }

    return \%sums;
}


# --- lists -----------------------------------------------------------------

sub check_list {
    my ($self, $key, $has) = @_;

    my @has = !defined $has ? () : ref $has ? @$has : split /;/, $has;
    my (%push, %popped);
    my ($pops, @missing) = (0);

    for my $step (@{ $self->{of}{$key}{''} }) {
        my $op = $step->{op};

        if ($step->{what} eq 'p') {
            $pops++ if $op->{outcome} =~ /^(unsure|broken)$/;
            push @{ $popped{ $step->{reply} } }, $op
                if $op->{outcome} eq 'ack' && defined $step->{reply};
            next;
        }

        $push{ $step->{value} } = { op => $op, side => $step->{what},
                                    happened => $self->happened($op) };
    }

    my %count;
    $count{$_}++ for @has;

    for my $element (sort keys %count) {
        my $push = $push{$element};

        $self->wrong($key, $element, 'nobody has pushed it')
            if !$push || defined $push->{happened} && !$push->{happened};
        $self->wrong($key, $element, "is there $count{$element} times")
            if $push && $count{$element} > 1 + !!$self->again($push->{op});
    }

    for my $element (sort keys %popped) {
        my $push = $push{$element};
        my @sure = grep { !$self->lossy($_) && !$self->again($_) }
                        @{ $popped{$element} };
        my $once = 1 + ($push && $self->again($push->{op}) ? 1 : 0);

        $self->wrong($key, $element, 'was popped, and nobody has pushed it')
            unless $push;
        $self->wrong($key, $element, 'was popped by ' . @sure . ' clients')
            if @sure > $once && !@{ $self->{wipes} };
        $self->wrong($key, $element, 'was popped, and is there again')
            if @sure && $count{$element} && $once == 1
               && !@{ $self->{wipes} };
    }

    for my $element (sort keys %push) {
        my $push = $push{$element};

        push @missing, $element
            if $push->{happened} && !$count{$element} && !$popped{$element}
               && !$self->wiped($push->{op});
    }

    $self->wrong($key, join(' ', @missing),
                 scalar(@missing) . " acknowledged elements are missing, and "
                 . "$pops uncertain pops") if @missing > $pops;

    $self->check_order($key, \@has, \%push);
}


# what came to the left is left of what came to the right; and of one client
# what it pushed first is nearer to the middle

sub check_order {
    my ($self, $key, $has, $push) = @_;

    return if @{ $self->{twice} };

    my (%last, $right);

    for my $element (@$has) {
        my $p = $push->{$element};
        next unless $p && $p->{op}{outcome} eq 'ack';

        my ($op, $side) = @$p{qw(op side)};

        if ($side eq '>') {
            $right = $element;
        } elsif (defined $right) {
            $self->wrong($key, $element, "was pushed to the left, and is right "
                         . "of \"$right\"");
        }

        my $before = $last{"$side$op->{client}"};
        $last{"$side$op->{client}"} = [ $element, $op->{sent} ];
        next unless $before;

        $self->wrong($key, $element, "and \"$before->[0]\" of the same client "
                     . 'are in the wrong order')
            if $side eq '>' ? $before->[1] > $op->{sent}
                            : $before->[1] < $op->{sent};
    }
}


# --- transactions ----------------------------------------------------------

# of one that nobody acknowledged all or nothing is there: of its elements in
# lists from which nobody takes any

sub check_transactions {
    my ($self, $content) = @_;

    my %there;

    for my $key (grep { type($_) eq 'l' } keys %$content) {
        $there{"$key $_"} = 1 for @{ $content->{$key} };
    }

    for my $op (@{ $self->{ops} }) {
        next unless $op->{client} && $op->{text} =~ /^MULTI/;

        my @pushed = grep { $_->[0] =~ /[<>]/ && type($_->[1]) eq 'l' }
                          @{ $op->{effects} };
        my $found = grep { $there{"$_->[1] $_->[2]"} } @pushed;

        next if $found == 0 || $found == @pushed || $self->wiped($op);
        next if grep { $op->{sent} <= $_ } @{ $self->{kills} };

        $self->wrong($pushed[0][1], $pushed[0][2],
                     "$found of " . @pushed . ' changes of a transaction');
    }
}


# --- to be read by people --------------------------------------------------

# all that was done to a key, or to a member of it; times from the first

sub history {
    my ($self, $key, $member, $start) = @_;

    my @lines;

    for my $op (@{ $self->{ops} }) {
        my @mine = grep { $_->[1] eq $key } @{ $op->{effects} };
        next unless @mine;

        # a register or a sum: its own steps; of a list all

        next if defined $member && $mine[0][0] =~ /[wr+]/
                && !grep { $_->[0] eq 'd' || $_->[2] eq $member } @mine;

        my $got = $op->{got} < $NEVER
                  ? sprintf '%9.4f', $op->{got} - $start : ' ' x 9;

        push @lines, sprintf '%9.4f %s client %d: %s => %s %s %s/%s/%s %s%s',
            $op->{sent} - $start, $got, $op->{client}, $op->{text},
            @$op{qw(outcome status mode tier result)},
            $json->encode($op->{replies}),
            defined $op->{error} ? " ($op->{error})" : '';
    }

    return @lines;
}


1;
