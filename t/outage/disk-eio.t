# Disks that fail, and are well again: durable writes are refused meanwhile,
# with one line that says why; what was acknowledged stays, and a sync that has
# failed is not trusted later.

use strict;
use warnings;

use lib 't/lib';
use RF;
use Outage;
use PowerCut;
use Shim;

my $missing = Shim->missing;
plan skip_all => $missing if $missing;


sub wrong {
    my ($t, $expect) = @_;

    return join ' ', grep { my $res = $t->get($_);
                            !grep { defined $_ ? $res->{body} eq $_
                                               : $res->{status} == 404 }
                                  @{ $expect->{$_} } }
                     sort keys %$expect;
}


# What each fault is, and what the log says of it.  "writes": that much is
# written all the same, as nothing is wrong with what is open.

my @faults = (
    # of the journal, or of files where these are under way

    [ 'fsync() fails',
      qr/(?:fdatasync|fsync|syncfs)\(\) .* failed \(5: Input\/output error\)/,
      sub { $_[0]->fault('sync', err => 'EIO') } ],
    [ 'write() fails', qr/write\(\) .* failed \(5: Input\/output error\)/,
      sub { $_[0]->fault('write', err => 'EIO') } ],
    [ 'a part is written, then the disk is full',
      qr/write\(\) .* failed \(28: No space left on device\)/,
      sub {
          $_[0]->fault('write', partial => 20);
          $_[0]->fault('write', err => 'ENOSPC', every => 3);
      } ],
    [ 'read-only', qr/ failed \(30: Read-only file system\)/,
      sub { $_[0]->fault('write|open_write|rename|mkdir|unlink|sync',
                         err => 'EROFS') } ],
    [ 'fsync() fails, after a time',
      qr/(?:fdatasync|fsync|syncfs)\(\) .* failed \(5: Input\/output error\)/,
      sub { $_[0]->fault('sync', err => 'EIO', delay => 100) } ],
);


sub scenario {
    my ($workers, $what, $line, $fault) = @_;

    my $name = "$workers workers, $what";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { path => '%%DIR%%/data/app',
                                   durability => 'disk',
                                   write_interval => '50ms' });
    my $data = $t->nginx->dir . '/data';
    mkdir $data;

    my $shim = Shim->new(dir => $data, trace => 1);
    $t->nginx->{shim} = $shim;
    $t->nginx->start;

    my @conns = values %{ $t->conns };
    my (%expect, %durable, $refused);
    my $n = 0;

    # acknowledged or not, it may be there

    my $write = sub {
        my $key = 'key' . $n % 20;
        my $value = "value " . ++$n;
        my $res = $t->put($key, $value, conn => $conns[$n % @conns]);

        $refused->{ $res->{status} }++ if $res->{status} != 204;

        if ($res->{status} == 204) {
            $expect{$key} = [ $value ];
        } else {
            $expect{$key} ||= [ undef ];
            push @{ $expect{$key} }, $value;
        }

        return $res->{status};
    };

    $write->() for 1 .. 30;
    is($refused, undef, "$name: written");

    $fault->($shim);

    my $seen = length $t->nginx->log;

    ok(wait_for(sub { $write->() != 204 }), "$name: a write is refused");
    $write->() for 1 .. 30;
    is(join(' ', keys %$refused), '507', "$name: with 507");
    is(wrong($t, \%expect), '', "$name: all is read");

    my $log = substr $t->nginx->log, $seen;
    like($log, qr/\[crit\] .*$line/, "$name: the log says why");
    is(scalar(() = $log =~ /\[crit\]/g), 1, "$name: in one line")
        or diag($log =~ /(.*\[crit\].*)/g);

    $shim->clear;
    ok(wait_for(sub { $write->() == 204 }, 5), "$name: it heals");
    ok(wait_for(sub { substr($t->nginx->log, $seen) =~ /works again/ }),
       "$name: says so");

    $refused = undef;
    $write->() for 1 .. 30;
    is($refused, undef, "$name: all are written");

    # what a power cut would leave now, without anything that the kernel has
    # dropped

    my $moment = Shim::monotonic();
    %durable = %expect;
    $t->nginx->kill;

    my $cut = PowerCut->new(records => [$shim->records],
                            root => (stat $data)[1], skip => qr{/0/tmp/});
    1 while $cut->step;

    my $oracle = PowerCut::Oracle->new;
    my @states = $cut->states(6);
    my @bad;

    for my $state (@states) {
        my $found = $oracle->ask($cut, $state,
                                 $t->nginx->dir . '/state', 'app');

        push @bad, @{ $found->{errors} };

        for my $key (sort keys %durable) {
            my $is = $found->{keys}{$key};
            my $value = $is && $is->{type} ? $is->{values}[0] : undef;

            push @bad, "$state->{what}, $key: "
                       . (defined $value ? $value : 'missing')
                if !grep { defined $_ ? defined $value && $_ eq $value
                                      : !defined $value } @{ $durable{$key} };
        }
    }

    is("@bad[0 .. ($#bad > 5 ? 5 : $#bad)]", '',
       "$name: what failed was not trusted, " . @states . ' states');

    $t->nginx->start;
    is(wrong($t, \%expect), '', "$name: all is there after kill -9");

    $redis->start;
    ok($t->wait_normal(15), "$name: normal");
    is(wrong($t, \%expect), '', "$name: Redis has it all");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


# no descriptors left: what is open goes on, and nothing is given up

sub descriptors {
    my ($workers) = @_;

    my $name = "$workers workers, EMFILE";
    my $redis = RF::Redis->new(start => 0);
    my $t = Outage->new(workers => $workers, redis => $redis, start => 0,
                        store => { durability => 'disk',
                                   write_interval => '50ms' });
    my $shim = Shim->new(dir => $t->nginx->dir . '/app');
    $t->nginx->{shim} = $shim;
    $t->nginx->start;

    my %expect;

    $expect{"key$_"} = [ "value $_" ] for 1 .. 20;
    $t->put("key$_", "value $_")->{status} == 204 or fail("key$_")
        for 1 .. 20;
    ok(wait_for(sub { my @files = $t->files; @files == 20 }),
       "$name: files");
    $t->nginx->kill;

    # also what is read: nothing is taken for missing, or for broken

    $t->nginx->start;
    $shim->fault('open|open_write', err => 'EMFILE');

    my %status;

    for my $i (1 .. 20) {
        my $res = $t->get("key$i");
        $status{ $res->{status} . ($res->{body} eq "value $i" ? ' right'
                                                              : '') }++;
        $res = $t->put("new$i", 'x');
        $expect{"new$i"} = $res->{status} == 204 ? [ 'x' ] : [ undef, 'x' ];
        $status{"$res->{status} written"}++;
    }

    is(join(' ', grep { !/^(?:200 right|500|(?:204|500|507) written)$/ }
                 sort keys %status), '',
       "$name: right, or an error") or diag(explain(\%status));
    $redis->start;
    Time::HiRes::sleep(0.3);
    isnt($t->mode, 'normal', "$name: no recovery ends so");
    is(join(' ', glob $t->nginx->dir . '/app/quarantine/*'), '',
       "$name: nothing is set aside");

    $shim->clear;
    ok($t->wait_normal(15), "$name: normal");
    is(wrong($t, \%expect), '', "$name: Redis has it all");
    ok($t->nginx->stop, "$name: stops");
    $t->nginx->check_logs(allow => qr/exited on signal 9/);
}


scenario($_ % 2 + 1, @{ $faults[$_] }) for 0 .. $#faults;
descriptors(2);

done_testing;
