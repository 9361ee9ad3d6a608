#!/usr/bin/env perl

# The differential test: random commands go to nginx, whose own Redis is away,
# and to a Redis, the judge.  Every reply is compared, and now and then all
# that both hold; at the end nginx' own Redis comes, and must get all of it.
#
#     perl t/differential/differential.pl         or: make differential
#
#     COMMANDS=200000
#     SEED=n              of everything that is random; printed
#
# Mostly pipelines of 100 commands; some as a transaction, some with replies
# in plain JSON instead of base64, and what is not UTF-8 in the URL form.  A
# difference is shown with the commands before it on its keys, which are
# deleted then on both sides, so that one does not lead to others.

use strict;
use warnings;

use File::Basename ();
use lib File::Basename::dirname(__FILE__) . '/../lib',
        File::Basename::dirname(__FILE__);
use RF;
use DiffCommands;
use DiffPair;

my $commands = $ENV{COMMANDS} || 200_000;
my $seed = defined $ENV{SEED} && $ENV{SEED} ne ''
           ? $ENV{SEED} : int(RF::now() * 1000) % 1_000_000_007;

my $BATCH = 100;
my $FLUSH = 30;                 # batches between two looks at everything
my $HISTORY = 12;               # commands shown of each key
my $DIFFERENCES = 10;           # that end the test
my $TOLERANCE = 3000;           # ms between the two sides

# what is compared after sorting, singly or in pairs

my %SORTED = map { $_ => 1 } qw(keys hkeys hvals smembers sinter sunion sdiff);
my %PAIRS = map { $_ => 1 } qw(hgetall hscan zscan);

# random elements: what the judge is asked for all of them

my %ALL = (
    hrandfield  => ['HGETALL'],
    srandmember => ['SMEMBERS'],
    zrandmember => ['ZRANGE', 0, -1, 'WITHSCORES'],
);

my (%is_key, %history, %dirty);
my ($pair, $random, $sent, $differences) = (undef, undef, 0, 0);


sub main {
    diag("seed $seed: SEED=$seed COMMANDS=$commands repeats it");

    my $judge = RF::Redis->new;
    my $own = RF::Redis->new(start => 0);
    my $nginx = RF::Nginx->new(
        http   => 'redis_fallback_store app {
                       server 127.0.0.1:' . $own->port . ';
                       zone 64m;
                       path %%DIR%%/app;
                       check_interval 1s;
                   }
                   keepalive_requests 1000000;
                   client_max_body_size 16m;
                   client_body_buffer_size 1m;',
        server => 'location / { redis_fallback_api; }');

    $pair = DiffPair->new($nginx, $judge);
    $random = DiffCommands->new($seed);
    %is_key = map { $_ => 1 } $random->keys;

    flush();
    ok($nginx->wait_mode('fallback'), 'nginx has no Redis');

    my $start = RF::now();
    my $rounds = 0;

    while ($sent < $commands && $differences < $DIFFERENCES) {
        round();
        $rounds++;

        if ($rounds % $FLUSH == 0) {
            expire() if int(rand 4) == 0;
            look();
            flush() if int(rand 3);
        }
    }

    my $seconds = RF::now() - $start;

    look();
    diag(sprintf '%d commands in %.1f s, %d a second', $sent, $seconds,
         $sent / $seconds);
    is($differences, 0, "replies and keys are those of Redis (seed $seed)");

    recover($nginx, $own);
    $nginx->check_logs;
    done_testing();
}


# some commands on both sides

sub round {
    my (@batch, @urls);

    for (1 .. ($commands - $sent < $BATCH ? $commands - $sent : $BATCH)) {
        my @argv = $random->command;

        if (grep { !DiffPair::is_utf8($_) } @argv) {
            push @urls, \@argv if DiffPair::in_url(\@argv);

        } elsif (int(rand 50) == 0 && DiffPair::in_url(\@argv)) {
            push @urls, \@argv;

        } else {
            push @batch, \@argv;
        }
    }

    my $transaction = int(rand 10) == 0;
    my $base64 = int(rand 5) != 0
                 || grep { lc $_->[0] eq 'spop' } @batch, @urls;

    if ($transaction) {

        # one with a command that cannot be is refused as a whole

        @batch = grep { possible($_) } @batch;
    }

    $sent += @batch + @urls;

    batch(\@batch, $transaction ? '/multi-exec' : '/pipeline', $base64)
        if @batch;

    for my $argv (@urls) {
        my $reply = $pair->url($argv, base64 => $base64);
        judge([$argv], [$reply], $base64, 'in the URL');
    }

    clean();
}


sub batch {
    my ($batch, $path, $base64) = @_;

    my @replies = $pair->nginx($path, $batch, base64 => $base64);

    if (!@replies) {
        $differences = $DIFFERENCES;
        diag("$path is not answered: $pair->{answer}");
        diag('  ' . join ' ', map { DiffPair::quote($_) } @$_) for @$batch;
        return;
    }

    judge($batch, \@replies, $base64, $path);
}


# whether the judge knows such a command with so many arguments

my %arity;

sub possible {
    my ($argv) = @_;

    my $verb = lc $argv->[0];

    if (!exists $arity{$verb}) {
        my ($info) = $pair->redis(['COMMAND', 'INFO', $verb]);
        $arity{$verb} = ref $info->[0] ? substr($info->[0][1], 1) : 0;
    }

    my $arity = $arity{$verb};

    return $arity > 0 ? @$argv == $arity : $arity && @$argv >= -$arity;
}


# the same commands on the judge, and what more it must be asked

sub judge {
    my ($batch, $ours, $base64, $how) = @_;

    my (@asked, @counts);

    for my $i (0 .. $#$batch) {
        my @also = questions($batch->[$i], $ours->[$i]);
        push @asked, @also;
        push @counts, scalar @also;
    }

    my @answers = $pair->redis(@asked);

    for my $i (0 .. $#$batch) {
        my $argv = $batch->[$i];
        my @theirs = splice @answers, 0, $counts[$i];
        my @keys = unique(grep { $is_key{$_} } @$argv[1 .. $#$argv]);

        if (grep { $dirty{$_} } @keys) {
            $dirty{$_} = 1 for @keys;
            next;
        }

        next if %dirty && $argv->[0] =~ /^(?:keys|scan|dbsize|randomkey)$/i;

        # errors are never in base64

        @theirs = map { !$base64 || defined && /^e/ ? DiffPair::plain($_) : $_
                      } @theirs;

        if (!same($argv, $ours->[$i], @theirs)) {
            difference($argv, $ours->[$i], \@theirs, $how, @keys);
        }

        my $line = "$how: " . line($argv);

        for my $key (@keys) {
            push @{ $history{$key} }, $line;
            shift @{ $history{$key} } if @{ $history{$key} } > $HISTORY;
        }
    }
}


sub line { return join ' ', map { DiffPair::quote($_) } @{ $_[0] } }


sub questions {
    my ($argv, $ours) = @_;

    my ($verb, $key) = (lc $argv->[0], $argv->[1]);

    if ($ALL{$verb} && defined $key) {
        my ($all, @more) = @{ $ALL{$verb} };
        return ($argv, [$all, $key, @more]);
    }

    # the judge pops what nginx popped

    if ($verb eq 'spop' && (@$argv == 2 || @$argv == 3)
        && (!defined $ours || $ours =~ /^s/ || ref $ours))
    {
        my @popped = ref $ours ? @$ours : defined $ours ? $ours : ();
        my @members = map { substr $_, 1 } grep { defined } @popped;

        return (['SCARD', $key],
                @members ? ['SREM', $key, @members] : ['PING']);
    }

    # without those that have expired and were not noticed, which DBSIZE
    # counts

    return ($argv, ['KEYS', '*'])
        if $verb eq 'randomkey' || $verb eq 'dbsize';

    return $argv;
}


sub same {
    my ($argv, $ours, $theirs, $also) = @_;

    my $verb = lc $argv->[0];
    my $error = defined $theirs && $theirs =~ /^e/
                || defined $ours && $ours =~ /^e/;

    # a score of -0 is 0 here

    $_ = positive($_) for $verb =~ /^z/ ? ($ours, $theirs, $also) : ();

    return equal($ours, $theirs) if $error;

    return same_popped($argv, $ours, $theirs, $also) if $verb eq 'spop';
    return same_random($argv, $ours, $theirs, $also) if $ALL{$verb};
    return $ours eq 'i' . @$also || $ours eq $theirs if $verb eq 'dbsize';
    return same_choice($ours, $also) if $verb eq 'randomkey';
    return same_time($verb, $ours, $theirs) if $verb =~ /(?:ttl|time)$/;

    if (ref $ours && ref $theirs) {

        if ($verb =~ /scan$/) {
            return 0 unless @$ours == 2 && equal($ours->[0], $theirs->[0]);
            ($ours, $theirs) = ($ours->[1], $theirs->[1]);
            ($ours, $theirs) = (scores($ours), scores($theirs))
                if $verb eq 'zscan';
            return same_sorted($PAIRS{$verb}, $ours, $theirs);
        }

        return same_sorted($PAIRS{$verb}, $ours, $theirs)
            if $SORTED{$verb} || $PAIRS{$verb};
    }

    return equal($ours, $theirs);
}


sub equal {
    my ($one, $other) = @_;

    return !defined $one && !defined $other
        unless defined $one && defined $other;
    return $one eq $other unless ref $one || ref $other;
    return 0 unless ref $one && ref $other && @$one == @$other;

    for my $i (0 .. $#$one) {
        return 0 unless equal($one->[$i], $other->[$i]);
    }

    return 1;
}


sub same_sorted {
    my ($pairs, $ours, $theirs) = @_;

    return 0 if @$ours != @$theirs || $pairs && @$ours % 2;

    return equal([sort { $a cmp $b } units($pairs, $ours)],
                 [sort { $a cmp $b } units($pairs, $theirs)]);
}


sub units {
    my ($pairs, $list) = @_;

    return @$list unless $pairs;

    return map { length($list->[2 * $_]) . ":$list->[2 * $_]$list->[2 * $_ + 1]"
               } 0 .. @$list / 2 - 1;
}


sub positive {
    my ($value) = @_;

    return [map { positive($_) } @$value] if ref $value;

    return defined $value && $value eq 's-0' ? 's0' : $value;
}


# Redis' ZSCAN prints the score of 2**60 with or without an exponent, depending
# on how it holds the set

sub scores {
    my ($list) = @_;

    my @list = @{ positive($list) };

    for my $i (0 .. @list / 2 - 1) {
        $list[2 * $i + 1] =~ s/^s(-?\d{16,})$/sprintf 's%.17g', $1/e;
    }

    return \@list;
}


sub same_choice {
    my ($ours, $all) = @_;

    return !@$all unless defined $ours;

    return scalar grep { $_ eq $ours } @$all;
}


# an absolute or relative time, in seconds or ms

sub same_time {
    my ($verb, $ours, $theirs) = @_;

    if ($verb eq 'time') {
        return ref $ours && @$ours == 2
               && abs(substr($ours->[0], 1) - substr $theirs->[0], 1)
                  <= $TOLERANCE / 1000
               && $ours->[1] =~ /^s\d{1,6}$/;
    }

    my ($got, $want) = ($ours =~ /^i(-?\d+)$/, $theirs =~ /^i(-?\d+)$/);

    return 0 unless defined $got && defined $want;
    return $got == $want if $got < 0 || $want < 0;

    return abs($got - $want) <= ($verb =~ /^p/ ? $TOLERANCE : $TOLERANCE / 1000);
}


sub same_popped {
    my ($argv, $ours, $cardinality, $removed) = @_;

    my ($n) = $cardinality =~ /^i(\d+)$/ or return 0;

    return defined $ours ? !ref $ours && $removed eq 'i1' : $n == 0
        if @$argv == 2;

    return 0 unless $argv->[2] =~ /^\d+$/ && ref $ours;

    my $want = $argv->[2] < $n ? $argv->[2] : $n;

    return @$ours == $want && ($want == 0 || $removed eq "i$want");
}


# elements, perhaps in pairs with what belongs to them, of all there are; as
# many as Redis gave

sub same_random {
    my ($argv, $ours, $theirs, $all) = @_;

    return 0 if ref $ours xor ref $theirs;
    return 0 if defined $ours xor defined $theirs;
    return 1 if !defined $ours;

    my $single = lc $argv->[0] eq 'srandmember';
    my %all = $single ? map { $_ => 1 } @$all : @$all;

    return exists $all{$ours} unless ref $ours;
    return 0 unless @$ours == @$theirs;

    my @some = @$ours;
    my %seen;

    while (@some) {
        my $name = shift @some;
        return 0 unless exists $all{$name};
        return 0 if $seen{$name}++ && $argv->[2] > 0;
        next if @$argv == 3;
        return 0 unless equal(shift @some, $all{$name});
    }

    return 1;
}


sub difference {
    my ($argv, $ours, $theirs, $how, @keys) = @_;

    return if $differences++ >= $DIFFERENCES;

    diag("difference $differences, about number $sent, $how:");
    diag('    command ' . line($argv));
    diag('    nginx   ' . clip(DiffPair::show($ours)));
    diag('    Redis   ' . join ' / ', map { clip(DiffPair::show($_)) }
                                      @$theirs);
    show_rest($ours, $theirs->[0]);

    for my $key (@keys) {
        diag("  before, on $key:");
        diag("    $_") for @{ $history{$key} || [] };
    }

    $dirty{$_} = 1 for @keys;
}


# of long replies, what only one has

sub show_rest {
    my ($ours, $theirs) = @_;

    my @rest;

    for my $pair ([nginx => $ours, $theirs], [Redis => $theirs, $ours]) {
        my ($name, $list, $other) = @$pair;
        return unless ref $list && ref $other && @$list && @$other;

        ($list, $other) = ($list->[1], $other->[1])
            if ref $list->[-1] && ref $other->[-1];
        return if @$list < 10;

        my %other;
        $other{DiffPair::show($_)}++ for @$other;
        my @more = grep { !$other{$_} || $other{$_}-- <= 0 }
                   map { DiffPair::show($_) } @$list;
        push @rest, "    only $name has: " . clip(join ', ', @more);
    }

    diag($_) for @rest;
}


sub clip {
    my ($text) = @_;

    return length $text > 2000 ? substr($text, 0, 2000) . '...' : $text;
}


sub unique { my %seen; return grep { !$seen{$_}++ } @_ }


# keys that differ begin anew

sub clean {
    return unless %dirty;

    my $command = ['DEL', sort keys %dirty];

    $pair->nginx('/pipeline', [$command]);
    $pair->redis($command);
    delete @history{keys %dirty};
    %dirty = ();
}


sub flush {
    my $command = ['DEL', $random->keys];

    $pair->nginx('/pipeline', [$command]);
    $pair->redis($command);
    %history = ();
}


# some keys run out on both sides

sub expire {
    my @batch = map { ['PEXPIRE', $_, 300] }
                grep { int(rand 3) == 0 } $random->keys;

    return unless @batch;

    batch(\@batch, '/pipeline', 1);
    Time::HiRes::sleep(0.8);
    batch([map { ['EXISTS', $_->[1]] } @batch], '/pipeline', 1);
    clean();
}


# all keys

sub reads {
    my ($type, $key) = @_;

    return ['GET', $key]                         if $type eq 'sstring';
    return ['LRANGE', $key, 0, -1]               if $type eq 'slist';
    return (['HGETALL', $key], ['HLEN', $key])   if $type eq 'shash';
    return (['SMEMBERS', $key], ['SCARD', $key]) if $type eq 'sset';
    return (['ZRANGE', $key, 0, -1, 'WITHSCORES'], ['ZCARD', $key])
        if $type eq 'szset';

    return;
}


sub look {
    my @keys = $random->keys;
    my @types = $pair->redis(map { ['TYPE', $_] } @keys);

    my @batch = (['KEYS', '*'], ['DBSIZE']);

    for my $i (0 .. $#keys) {
        push @batch, ['TYPE', $keys[$i]], ['PTTL', $keys[$i]],
                     reads($types[$i], $keys[$i]);
    }

    batch(\@batch, '/pipeline', 1);
    scan('SCAN', undef, 'KEYS', '*');

    for my $i (0 .. $#keys) {
        scan('HSCAN', $keys[$i], 'HGETALL', $keys[$i])
            if $types[$i] eq 'shash';
        scan('SSCAN', $keys[$i], 'SMEMBERS', $keys[$i])
            if $types[$i] eq 'sset';
        scan('ZSCAN', $keys[$i], 'ZRANGE', $keys[$i], 0, -1, 'WITHSCORES')
            if $types[$i] eq 'szset';
    }

    clean();
}


# a scan in small steps sees everything

sub scan {
    my ($verb, $key, @all) = @_;

    my ($cursor, $steps, %seen) = (0, 0);
    my $pairs = $verb =~ /^[HZ]/ ? 1 : 0;

    do {
        my ($reply) = $pair->nginx('/pipeline',
            [[$verb, defined $key ? $key : (), $cursor, 'COUNT', 40]],
            base64 => 1);

        if (!ref $reply || @$reply != 2 || ++$steps > 10000) {
            difference([$verb, defined $key ? $key : (), $cursor], $reply,
                       [$steps], 'a scan', defined $key ? $key : ());
            return;
        }

        $reply->[1] = scores($reply->[1]) if $verb eq 'ZSCAN';
        $seen{$_} = 1 for units($pairs, $reply->[1]);
        $cursor = substr $reply->[0], 1;
    } while ($cursor ne '0');

    my ($all) = $pair->redis(\@all);
    my %all = map { $_ => 1 } units($pairs, $verb eq 'ZSCAN' ? scores($all) : $all);

    return if !grep { !$all{$_} } keys %seen and keys %all == keys %seen;

    difference([$verb, defined $key ? $key : ()], [sort keys %seen],
               [[sort keys %all]], "$steps steps", defined $key ? $key : ());
}


# its own Redis comes, and gets all of it

sub recover {
    my ($nginx, $own) = @_;

    $own->start;

    ok($nginx->wait_mode('normal', 30), 'the store recovers')
        or diag(explain($nginx->status));

    my $after = DiffPair->new($nginx, $own);
    my @keys = $random->keys;
    my @types = $pair->redis(map { ['TYPE', $_] } @keys);
    my $bad = 0;

    for my $i (0 .. $#keys) {
        my @reads = (['TYPE', $keys[$i]], ['PTTL', $keys[$i]],
                     reads($types[$i], $keys[$i]));
        my @theirs = $pair->redis(@reads);
        my @ours = $after->redis(@reads);

        for my $j (0 .. $#reads) {
            next if same($reads[$j], $ours[$j], $theirs[$j]);

            diag(line($reads[$j]));
            diag('    it got  ' . clip(DiffPair::show($ours[$j])));
            diag('    not     ' . clip(DiffPair::show($theirs[$j])));
            $bad++;
        }
    }

    is($bad, 0, 'and its Redis gets what the other one holds');
}


main();
