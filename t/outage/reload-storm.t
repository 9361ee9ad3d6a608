# One reload after the other, each with another configuration, while Redis is
# away and clients write: old and new workers overlap.  What was acknowledged is
# in Redis afterwards, once.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use OutageApi;
use ExactLoad;

my @zones = qw(4m 8m 6m 16m);
my @intervals = qw(20ms 1h 3s 200ms);
my @caches = ('off', '1h', 'tracking');


# no waiting for old workers to go: only for the new configuration to be taken

sub reload {
    my ($t, $n, $name, %lines) = @_;

    my $nginx = $t->nginx;

    $t->configure(%lines);
    $nginx->{server} =~ s/generation \d+/generation $n/ or die;
    $nginx->write_conf;
    $nginx->signal('HUP');

    return wait_for(sub {
        return $nginx->get('/generation')->{body} eq "generation $n";
    }) || fail("$name: reload $n");
}


sub storm {
    my ($name, %opt) = @_;

    my $redis = RF::Redis->new(start => 0);
    my $t = api_store($redis, { zone => '4m', durability => 'memory' },
                      workers => 2);
    $t->nginx->{server} .= "location = /generation {\n"
                           . "return 200 'generation 0';\n}\n";

    reload($t, 0, $name);
    is(api($t, 'INCRBY', 'total', 0), 0, "$name: an outage");

    my $load = ExactLoad->start($t, clients => 3);
    ok($load->wait(30), "$name: writes");

    for my $n (1 .. 20) {
        $t->nginx->{workers} = 1 + $n % 3;

        reload($t, $n, $name,
               $opt{zone} ? (zone => $zones[$n % @zones]) : (),
               write_interval => $intervals[$n % @intervals],
               cache          => $caches[$n % @caches],
               durability     => $opt{disk} && $n % 2 ? 'disk' : 'memory');

        $load->wait($opt{disk} ? 5 : 10) or fail("$name: hangs at $n");
    }

    # and a few more while it is replayed

    if ($opt{recovering}) {
        $t->configure(recovery_rate => 50);
        reload($t, 25, $name);

        # two seconds of replay at least, however much the load has written

        $t->put("storm$_", 'x') for 1 .. 100;

        $redis->start;
        ok($t->wait_recovering, "$name: recovering");

        for my $n (26 .. 29) {
            reload($t, $n, $name,
                   $opt{zone} ? (zone => $zones[$n % @zones]) : ());
            $load->wait(10) or fail("$name: hangs at $n");
        }

        reload($t, 30, $name, recovery_rate => undef);

    } else {
        $redis->start;
    }

    ok($t->wait_normal(20), "$name: normal again")
        or diag(explain($t->status));

    my $report = $load->stop;

    # old workers may be on their way

    ok(wait_for(sub { my $s = $t->status;
                      $s->{mode} eq 'normal' && $s->{pending} == 0 }, 20),
       "$name: nothing is pending");
    ok(wait_for(sub { !grep { RF::slurp("/proc/$_/cmdline") =~ /shutting/ }
                      RF::children($t->nginx->pid) }),
       "$name: old workers are gone");
    ok($t->wait_normal, "$name: still normal");

    my @errors = @{ $report->{errors} };
    is("@errors[0 .. ($#errors > 3 ? 3 : $#errors)]", '',
       "$name: no wrong answer of $report->{requests}");

    # a worker whose zone was replaced cannot keep anything

    if ($opt{zone}) {
        cmp_ok($report->{refused} + $report->{unsure}, '<',
               $report->{requests} / 5,
               "$name: refused $report->{refused}, unsure $report->{unsure}");
    } else {
        is($report->{refused}, 0, "$name: none is refused");
        is($report->{unsure}, 0, "$name: nor unsure");
    }

    cmp_ok($report->{slowest}, '<', slow(3), "$name: no request hangs");
    is(join("\n", ExactLoad::wrong($redis, $report)), '',
       "$name: all is there, once");
    ok(wait_for(sub { !$t->files }, 20), "$name: no files are left");
    is($t->status->{files}{quarantined}, 0, "$name: nothing in quarantine");

    # nor does anything come back

    ok($t->nginx->stop, "$name: stops");
    $t->nginx->start;
    ok($t->wait_normal, "$name: normal after a restart");
    is(join("\n", ExactLoad::wrong($redis, $report)), '',
       "$name: and still the same");
    ended($t);
}


storm('one zone');
storm('one zone, disk', disk => 1, recovering => 1);
storm('other zones', zone => 1);
storm('other zones, disk', zone => 1, disk => 1, recovering => 1);

done_testing;
