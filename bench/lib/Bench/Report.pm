package Bench::Report;

# The tables and charts of bench/run.  Items are those of its measure().

use strict;
use warnings;

use Bench;
use Bench::Chart;


sub middle {
    my ($name, $item) = @_;

    return Bench::median(map { $_->{$name} } @{ $item->{rounds} });
}


sub header {
    my (@cells) = @_;

    return '| ' . join(' | ', @cells) . " |\n|" . ' --- |' x @cells . "\n";
}


sub cells { return '| ' . join(' | ', @_) . " |\n" }


# milliseconds, of microseconds

sub ms { return sprintf $_[0] < 100 ? '%.3f' : '%.2f', $_[0] / 1000 }


sub latencies { return map { ms($_) } @_ }


sub goal {
    my ($path, $size, $x) = @_;

    my $goal = ($path->{goal} || {})->{$size} or return '';

    return sprintf '%.2f: %s', $goal,
                   sprintf('%.2f', $x) <= $goal ? 'met' : 'missed';
}


sub name {
    my ($path) = @_;

    return $path->{peer} ? $path->{title} : "**$path->{title}**";
}


sub server_us {
    my ($item) = @_;

    return '' unless $item->{path}{server};
    return sprintf '%.2f', middle('server', $item);
}


# how many requests share a read of the server, where it counts them

sub batch {
    my ($item) = @_;

    return '' if grep { !defined $_->{batch} } @{ $item->{rounds} };
    return sprintf '%.1f', middle('batch', $item);
}


sub footer {
    my ($seconds, $rounds, $more) = @_;

    return "\nMedians of $rounds round" . ($rounds > 1 ? 's' : '')
           . " of $seconds s for each path and each floor$more. p50, p99, p99.9: "
           . "ms as wrk sees them,\nwhile each connection always has a request "
           . "under way.\n";
}


sub paths {
    my ($seconds, $rounds, @items) = @_;

    my $text = '';

    for my $size (@Bench::SIZES) {
        my @some = grep { $_->{size} == $size } @items or next;
        my @floors = map { @{ $_->{rounds} } } @some;
        my %floor = map { my $name = $_;
                          $name => Bench::median(map { $_->{$name} } @floors) }
                    qw(floor floor_rps floor_p50 floor_p99 floor_p999);

        $text .= '### ' . Bench::size_name($size) . "\n\n"
                 . header('path', 'us', 'x', 'spread of x', 'loop alone, x',
                          'server us', 'requests a read', 'system calls',
                          'requests/s', 'p50', 'p99', 'p99.9', 'goal, x')
                 . cells('`return 200`', sprintf('%.2f', $floor{floor}),
                         '1.00', Bench::spread('floor', @floors) . ' us', '',
                         '', '', '', Bench::thousands($floor{floor_rps}),
                         latencies(@floor{qw(floor_p50 floor_p99
                                             floor_p999)}), '');

        $text .= path_row($_) for @some;
        $text .= "\n";
    }

    return $text . redis_goal(@items)
           . footer($seconds, $rounds, '; 1 worker, 64 connections; '
                    . "$Bench::KEYS keys, 100 of 256 KB");
}


sub path_row {
    my ($item) = @_;

    my $x = middle('x', $item);

    return cells(name($item->{path}), sprintf('%.2f', middle('us', $item)),
                 sprintf('**%.2f**', $x),
                 Bench::spread('x', @{ $item->{rounds} }),
                 sprintf('%.2f', middle('loop_x', $item)), server_us($item),
                 batch($item), defined $item->{calls} ? sprintf('%.2f', $item->{calls}) : '',
                 Bench::thousands(middle('rps', $item)),
                 latencies(map { middle($_, $item) } qw(p50 p99 p999)),
                 goal($item->{path}, $item->{size}, $x));
}


# of 100 bytes: at most 1.2 us, and a sixth of what lua-resty-redis causes

sub redis_goal {
    my (@items) = @_;

    my %item = map { $_->{path}{id} => $_ } grep { $_->{size} == 100 } @items;
    my ($ours, $theirs) = @item{qw(redis_get lua_redis_get)};

    return '' unless $ours;

    my $us = middle('server', $ours);
    my $text = sprintf "Redis's own CPU time for a GET of 100 bytes: %.2f us "
                       . '(goal: 1.20, %s)', $us,
                       $us <= 1.2 ? 'met' : 'missed';

    if ($theirs) {
        my $ratio = middle('server', $theirs) / $us;

        $text .= sprintf "; %.1f times less than with lua-resty-redis (goal: "
                         . '6, %s)', $ratio, $ratio >= 6 ? 'met' : 'missed';
    }

    return "$text.\n";
}


sub charts {
    my (@items) = @_;

    my @sizes = grep { $_ <= 4000 } @Bench::SIZES;
    my (%row, @order);

    for my $item (@items) {
        my $id = $item->{path}{id};

        push @order, $item->{path} unless $row{$id};
        $row{$id}{$item->{size}} = $item;
    }

    my $rows = sub {
        my ($name, @paths) = @_;

        return [ map {
            my $path = $_;
            [ $path->{title}, !$path->{peer},
              map { my $item = $row{$path->{id}}{$_};
                    $item ? middle($name, $item) : undef } @sizes ]
        } @paths ];
    };

    my @names = map { Bench::size_name($_) } @sizes;

    return (
        { name => 'cpu', series => \@names, line => 1,
          title => 'CPU time of nginx per request',
          unit => 'relative to "return 200" of the same size; less is better',
          rows => $rows->('x', @order) },
        { name => 'server', series => \@names,
          title => 'CPU time of Redis or memcached per request',
          unit => 'microseconds; less is better',
          rows => $rows->('server', grep { $_->{server} } @order) });
}


sub workers {
    my ($seconds, $rounds, @items) = @_;

    my $text = header('2 workers', 'bytes', 'us', 'x', 'spread of x',
                      'floor, us', 'server us', 'requests/s', 'p50', 'p99',
                      'p99.9');

    for my $item (@items) {
        $text .= cells(name($item->{path}), $item->{size},
                       sprintf('%.2f', middle('us', $item)),
                       sprintf('**%.2f**', middle('x', $item)),
                       Bench::spread('x', @{ $item->{rounds} }),
                       sprintf('%.2f', middle('floor', $item)),
                       server_us($item),
                       Bench::thousands(middle('rps', $item)),
                       latencies(map { middle($_, $item) } qw(p50 p99 p999)));
    }

    my ($ours, $others) = map { defined $_ ? $_ : 'any' } Bench::cores(2);

    return $text . footer($seconds, $rounds, "; nginx on the cores $ours, wrk "
                          . "and the servers on $others");
}


sub keys {
    my ($seconds, $rounds, $keys, @items) = @_;

    my $text = header(Bench::thousands($keys) . ' keys, 100 B', 'drawn', 'us',
                      'x', 'spread of x', 'server us', 'requests/s', 'p50',
                      'p99', 'p99.9');

    for my $item (@items) {
        $text .= cells(name($item->{path}),
                       $item->{opt}{order} eq 'zipf' ? 'by Zipf' : 'uniform',
                       sprintf('%.2f', middle('us', $item)),
                       sprintf('**%.2f**', middle('x', $item)),
                       Bench::spread('x', @{ $item->{rounds} }),
                       server_us($item),
                       Bench::thousands(middle('rps', $item)),
                       latencies(map { middle($_, $item) } qw(p50 p99 p999)));
    }

    return $text . footer($seconds, $rounds, '; Zipf with s = 0.99');
}


# of each number the peer and this module, side by side

sub connections {
    my ($seconds, $rounds, @items) = @_;

    my %at;
    my @order;

    for my $item (@items) {
        my $key = "$item->{size} $item->{opt}{connections}";

        push @order, $key unless $at{$key};
        $at{$key}{$item->{path}{id}} = $item;
    }

    my $text = header('connections', 'bytes', '`return 200`, p50, ms',
                      '`memcached_pass`, p50, ms', 'Redis GET, p50, ms',
                      'ratio', 'spread', 'goal');
    my @rows;

    for my $key (@order) {
        my ($size, $n) = split ' ', $key;
        my ($theirs, $ours) = @{ $at{$key} }{qw(memcached_get redis_get)};

        push @rows, [ "$n, " . Bench::size_name($size), 1,
                      map { $_ && middle('p50', $_) } $theirs, $ours ];

        my @ratios = map {
            { ratio => $ours->{rounds}[$_]{p50} / $theirs->{rounds}[$_]{p50} }
        } 0 .. $rounds - 1 if $ours && $theirs
                              && @{ $ours->{rounds} } == $rounds
                              && @{ $theirs->{rounds} } == $rounds;
        my $ratio = Bench::median(map { $_->{ratio} } @ratios);

        $text .= cells($n, $size,
                       ms(middle('floor_p50', $ours || $theirs)),
                       (map { $_ ? ms(middle('p50', $_)) : '' } $theirs,
                                                                $ours),
                       @ratios ? (sprintf('**%.2f**', $ratio),
                                  Bench::spread('ratio', @ratios),
                                  '1.10: ' . (sprintf('%.2f', $ratio) <= 1.1
                                              ? 'met' : 'missed'))
                               : ('', '', ''));
    }

    return ($text . footer($seconds, $rounds, '; the two of a row take turns'),
            { name => 'connections', text => '%.0f', versus => 1,
              series => [ 'memcached_pass', 'Redis GET' ],
              title => 'Median time of a request, by connections',
              unit => 'microseconds; less is better', rows => \@rows });
}


sub tail {
    my ($seconds, $rounds, $load, @items) = @_;

    my $text = header("at $load % of the throughput of `return 200`", 'bytes',
                      'requests/s', '`return 200`: p50', 'p99', 'p99.9',
                      'path: p50', 'p99', 'p99.9', 'p99, x', 'spread', 'goal',
                      'load busy, %', "at $load % of its own: p99");
    my @rows;

    for my $item (@items) {
        my %p = map {
            my $which = $_;
            map { my $name = $_;
                  ("$which $name" => Bench::median(map { $_->{$which}{$name} }
                                                   @{ $item->{rounds} })) }
                qw(p50 p99 p999)
        } qw(floor path own);
        my $x = middle('ratio', $item);

        $text .= cells(name($item->{path}), $item->{size},
                       Bench::thousands($item->{rate}),
                       latencies(@p{map { ("floor $_") } qw(p50 p99 p999)}),
                       latencies(@p{map { ("path $_") } qw(p50 p99 p999)}),
                       sprintf('**%.2f**', $x),
                       Bench::spread('ratio', @{ $item->{rounds} }),
                       $load != 70 ? ''
                       : '1.50: ' . (sprintf('%.2f', $x) <= 1.5 ? 'met'
                                                                 : 'missed'),
                       sprintf('%.0f', 100 * middle('busy', $item)),
                       ms($p{'own p99'}));

        push @rows, [ "$item->{path}{title}, "
                      . Bench::size_name($item->{size}), 1,
                      map { $_ / 1000 } @p{'floor p99', 'path p99'} ];
    }

    my $late = Bench::median(map { middle('late', $_) } @items) || 0;

    return ($text . "\nMedians of $rounds round" . ($rounds > 1 ? 's' : '')
            . " of $seconds s, in ms; bench/load.c, 64 connections, requests "
            . "due at random moments. Its own delay, p99:\n"
            . ms($late) . " ms; \"load busy\" is its share of its core during the "
            . "path's run.\n",
            { name => 'tail', versus => 1, series => [ 'return 200', 'path' ],
              title => "p99 at $load % of the throughput of return 200",
              unit => 'milliseconds; less is better', rows => \@rows });
}


1;
