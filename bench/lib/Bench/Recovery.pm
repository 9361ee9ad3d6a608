package Bench::Recovery;

# How long a recovery takes, and what it costs nginx and Redis.

use strict;
use warnings;

use RF;
use Bench;
use Time::HiRes ();

my $keys;


# 100,000 keys that changed while Redis was away: the time from the first
# successful probe to normal mode.  Once with all of them in memory only, once
# with all of them in the journal of a default store.

sub table {
    my ($count, $rounds, $void) = @_;

    my @rows;

    $keys = $count;

    for my $files (0, 1) {
        my @runs = map { recovery($files) } 1 .. $rounds;
        my @good = grep { !$_->{error} } @runs;

        push @$void, map { "recovery: $_->{error}" } grep { $_->{error} } @runs;
        next unless @good;

        my $ms = Bench::median(map { $_->{ms} } @good);
        my @sorted = sort { $a <=> $b } map { $_->{ms} } @good;

        push @rows, sprintf
            "| %s keys, %s | **%.0f ms** | %.0f-%.0f ms | %.0f ms | %.0f ms "
            . "| %.0f ms | %s |\n", Bench::thousands($keys),
            $files ? 'journaled' : '`path off`',
            $ms, @sorted[0, -1],
            (map { my $name = $_;
                   Bench::median(map { $_->{$name} } @good) }
             qw(seen cpu redis)),
            $files ? '' : '500 ms: ' . ($ms <= 500 ? 'met' : 'missed');
    }

    my $text = "| recovery, 100 bytes each | from the first successful "
                . "probe | spread | as seen in Redis | nginx CPU | Redis CPU "
                . "| goal |\n|" . ' --- |' x 7 . "\n" . join '', @rows;

    return "$text\n\"As seen in Redis\": from the first of the keys there "
           . "to the last, to about 5 ms.\n";
}


sub recovery {
    my ($files) = @_;

    Bench::pin_others();

    my $redis = RF::Redis->new(start => 0);
    my $port = $redis->port;
    my $where = $files ? '%%DIR%%/rec' : 'off';

    my $nginx = Bench::start_nginx(
        http   => "keepalive_requests 1000000000;
                   redis_fallback_store rec {
                       zone 256m;
                       server 127.0.0.1:$port;
                       path $where;
                       check_interval 500ms;
                   }",
        server => 'location /rec/ { redis_fallback_pass rec; }');

    my $path = { method => 'PUT', body => 1, prefix => '/rec/k' };
    my $status;

    for my $try (2, 5, 20, 60) {
        my $wrk = Bench::wrk($nginx->port, $path, 100, seconds => $try,
                             keys => $keys);
        return { error => $wrk->{error} } if $wrk->{error};
        $status = $nginx->status('rec');
        last if $status->{pending} >= $keys;
    }

    return { error => "$status->{pending} keys are pending, not $keys" }
        if $status->{pending} != $keys;

    my ($worker) = $nginx->workers;

    if ($files) {
        RF::wait_for(sub { $nginx->status('rec')->{journal}{behind} == 0 }, 60)
            || return { error => 'the journal stays behind' };
    }

    Bench::settle($worker, 10);
    $status = $nginx->status('rec');

    my $cpu = Bench::cpu($worker);
    my ($first, $last);

    $redis->start;

    my $end = RF::now() + 120;

    while (RF::now() < $end) {
        my $size = ($redis->try('DBSIZE'))[0] || 0;
        $first = RF::now() if !$first && $size > 1;
        $last = RF::now() if $size >= $keys;
        last if $last;
        Time::HiRes::sleep(0.005);
    }

    return { error => "Redis has not got all keys:\n" . $nginx->log }
        unless $last;

    $nginx->wait_mode('normal', 30)
        || return { error => "not normal:\n" . $nginx->log };

    $cpu = Bench::cpu($worker) - $cpu;
    my $server = Bench::cpu($redis->pid);
    my $log = $nginx->log;
    my ($replayed, $ms) = $log =~ /back to normal, (\d+) keys replayed in (\d+) ms/;
    my $result = $nginx->status('rec')->{recovery};
    my $size = $redis->cmd('DBSIZE');

    $nginx->stop;
    $redis->stop;

    return { error => "no line of the recovery's end:\n$log" }
        unless defined $ms;
    return { error => "$replayed keys were replayed, $size are in Redis" }
        if $replayed != $keys || $size != $keys;
    return { error => "the status page says $result->{last_seconds} s, the "
                      . "log $ms ms" }
        if abs($result->{last_seconds} * 1000 - $ms) > 1;

    my %run = (ms => $ms, seen => ($last - ($first || $last)) * 1000,
               cpu => $cpu / 1e6, redis => $server / 1e6,
               files => $status->{files}{count});

    printf "recovery          %6d keys, %d files: %d ms, seen %d ms, nginx "
           . "CPU %d ms, Redis CPU %d ms\n", $keys,
           @run{qw(files ms seen cpu redis)};

    return \%run;
}


1;
