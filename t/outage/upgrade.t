# A new binary takes over (USR2, WINCH, QUIT), or is given up (HUP, QUIT), while
# clients write through both generations of workers: with Redis there, away, and
# while it recovers.  What was acknowledged is in Redis afterwards, once.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;
use ExactLoad;
use Daemon;


# both generations answer, as new connections go to either

sub both_answer {
    my ($t, $d, $name) = @_;

    my %pids = map { $_ => 1 } map { $d->workers($_) } $d->old, $d->new;
    my %seen;

    return wait_for(sub {
        my $pid = $t->get('nobody')->{worker};
        $seen{$pid} = 1 if $pids{$pid};
        return grep({ $seen{$_} } $d->workers($d->old))
               && grep({ $seen{$_} } $d->workers($d->new));
    }) || fail("$name: one generation does not answer");
}


# redis: up, down, recovering; back: the new one is given up

sub upgraded {
    my ($redis_is, $back) = @_;

    my $name = "Redis $redis_is" . ($back ? ', rollback' : '');
    my $redis = RF::Redis->new;
    my $t = api_store($redis, { write_interval => '1h',
                                recovery_rate => 100 },
                      workers => 2, start => 0);
    my $d = Daemon->start($t->nginx);
    my $nginx = $t->nginx;

    $redis->stop if $redis_is ne 'up';

    if ($redis_is eq 'recovering') {
        $t->put("key$_", 'value')->{status} == 204 or fail("key$_")
            for 1 .. 300;
    }

    my $load = ExactLoad->start($t, clients => 3);
    ok($load->wait(30), "$name: writes");

    if ($redis_is eq 'recovering') {
        $redis->start;
        ok($t->wait_recovering, "$name: recovering");
    }

    ok($d->upgrade, "$name: USR2");
    both_answer($t, $d, $name);
    ok($load->wait(20), "$name: two generations");

    my @old = $d->workers($d->old);
    $d->signal(WINCH => $d->old);
    ok(wait_for(sub { !grep { !$d->gone($_) } @old }, 15),
       "$name: the old workers go");
    ok($load->wait(20), "$name: the new ones write");

    if ($back) {
        $d->signal(HUP => $d->old);
        ok(wait_for(sub { $d->workers($d->old) >= $nginx->{workers} }, 15),
           "$name: old workers again");
        ok($load->wait(20), "$name: two generations again");
        my $new = $d->new;
        $d->signal(QUIT => $new);
        $d->ends($new, "$name: the new one goes");
        $d->adopt($d->old);

    } else {
        $d->signal(QUIT => $d->old);
        $d->ends($d->old, "$name: the old master goes");
    }

    ok($load->wait(20), "$name: one generation");
    $redis->start if $redis_is eq 'down';

    my $status;
    ok(wait_for(sub { $status = $t->status;
                      $status->{mode} eq 'normal' && $status->{pending} == 0
                      && $nginx->log =~ /is ours now/ == !$back }, 20),
       "$name: normal") or diag(explain($status));

    my $report = $load->stop;
    my @errors = @{ $report->{errors} };
    is("@errors[0 .. ($#errors > 3 ? 3 : $#errors)]", '',
       "$name: no wrong answer of $report->{requests}");

    # a key whose file has just been replayed may have to wait too long

    cmp_ok($report->{refused}, '<=',
           $redis_is eq 'recovering' ? $report->{requests} / 50 : 0,
           "$name: none or few are refused") or diag($report->{refusal});
    is($report->{unsure}, 0, "$name: none unsure") if $redis_is eq 'up';
    cmp_ok($report->{slowest}, '<', slow(3), "$name: no request hangs");

    ok(wait_for(sub { !$t->files }, 20), "$name: no files are left");
    ok(wait_for(sub { !$t->handed_over }, 20),
       "$name: nothing that was handed over");
    ok($t->wait_normal, "$name: normal");

    my @wrong = ExactLoad::wrong($redis, $report,
                                 unordered => $redis_is ne 'up');
    is(scalar @wrong, 0, "$name: all is there, once")
        or diag(join "\n", @wrong);

    is(join(' ', grep { ($redis->cmd('GET', "key$_") // '') ne 'value' }
                 1 .. 300), '', "$name: and what was quiet")
        if $redis_is eq 'recovering';
    is($t->status->{files}{quarantined}, 0, "$name: nothing in quarantine");

    $d->stop("$name: stops");
    $nginx->check_logs;
}


upgraded($_) for qw(up down recovering);
upgraded($_, 1) for qw(up down recovering);

done_testing;
