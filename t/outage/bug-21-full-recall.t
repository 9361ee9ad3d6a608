# An instance that takes over the path of another one, with less memory than
# that one's journal needs: files are written while it is read.  A line that came
# later in the same slice and was older than the file of its key was believed,
# once the key had left memory for that file; a slice that does not fit into memory
# was begun again and again, from its first line; and what both instances had
# changed was not merged.  At the replay of those files some were set aside as
# larger than the zone, which was full of what the journal did not know to be
# done with yet.

use strict;
use warnings;

use Time::HiRes qw(time);

use lib 't/lib';
use RF;
use Outage;


# two keys at the same time, by two workers: the order of the lines in the
# journal is that of the segments

sub lines {
    my ($t) = @_;

    return Journal::lines($t->nginx->dir . '/app', 0);
}


sub full {
    my ($workers) = @_;

    my $name = "$workers workers";
    my $redis = RF::Redis->new(start => 0);
    my $one = Outage->new(workers => 2, redis => $redis,
                          store => { durability => 'disk', zone => '32m',
                                     check_interval => '100ms' });
    my $two = Outage->new(workers => $workers, redis => $redis,
                          store => { path => $one->nginx->dir . '/app',
                                     zone => '1m' });
    my ($first, $second) = values %{ $one->conns };
    my %expect;

    $one->put('mine', 'x', conn => $first);
    $one->put("key$_", "old $_", conn => $second) for 1 .. 10;

    for my $i (1 .. 10) {
        $one->put("key$i", "new $i", conn => $first);
        $expect{"key$i"} = "new $i";
    }

    for my $i (1 .. 100) {
        $expect{"large$i"} = "$i" . 'x' x 40000;
        $one->put("large$i", $expect{"large$i"}, conn => $first);
    }

    # and what both change

    for my $i (1 .. 5) {
        $one->run('INCRBY', "n$i", 1);
        $two->run('INCRBY', "n$i", 10);
        $two->put("last$i", 'two');
        $expect{"n$i"} = 11;
    }

    my $now = time;
    wait_for(sub { time > $now + 0.002 });      # of one ms none is the later

    for my $i (1 .. 5) {
        $one->put("last$i", 'one');
        $expect{"last$i"} = 'one';
    }

    $expect{mine} = 'x';

    my @lines = grep { $_->[1] =~ /"key":"key5"/ } lines($one);
    is(join(' ', map { $_->[1] =~ /"(new|old) 5"/ } @lines), 'new old',
       "$name: the older one comes later");

    $one->nginx->kill;
    ok(wait_for(sub { $two->nginx->log =~ /is ours now/ }, 30),
       "$name: the path is ours") or diag($two->nginx->log);

    # of a sum it may show one part before Redis is back

    my @bad = grep { $two->get($_)->{body} ne $expect{$_} }
              grep { !/^n/ } sort keys %expect;
    is("@bad", '', "$name: all is served");

    $redis->start;
    ok($two->wait_normal(30), "$name: normal");
    holds($redis, \%expect, $name);
    ok(wait_for(sub { !record_files($one->nginx->dir . '/app') }),
       "$name: no files are left");
    ok($two->nginx->stop, "$name: stops");
    $two->nginx->check_logs;
}


full($_) for 1, 2;

done_testing;
