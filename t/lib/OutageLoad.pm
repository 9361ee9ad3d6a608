package OutageLoad;

# Clients that write, each to keys of its own, and remember what was
# acknowledged.
#
#     my $load = OutageLoad->start($t, clients => 4);
#     ...                                 # workers are killed
#     my $report = $load->stop;
#     is("@{[ OutageLoad::lost($report, sub { my $key = shift; ... }) ]}", '');
#
# A write without an answer may have been done or not; until the next one to
# that key is acknowledged both are right.  Answers other than those expected
# are in the report's "errors"; what nginx did not answer because it was killed
# or is not there is only counted, in "broken".

use strict;
use warnings;

use RF;
use Time::HiRes ();

our $KEYS = 25;


sub start {
    my ($class, $t, %opt) = @_;

    my $self = bless { dir => RF::tempdir('load'), pids => [] }, $class;

    for my $id (1 .. $opt{clients} || 4) {
        my $pid = fork();
        die "fork: $!\n" unless defined $pid;

        if ($pid == 0) {
            my $end = 0;
            local $SIG{TERM} = sub { $end = 1 };
            RF::die_with_parent(POSIX::SIGKILL());
            eval {
                my $state = run($t, $id, \$end);
                RF::spew("$self->{dir}/$id", JSON::PP::encode_json($state));
            };
            warn $@ if $@;
            POSIX::_exit(0);
        }

        push @{ $self->{pids} }, $pid;
    }

    return $self;
}


sub run {
    my ($t, $id, $end) = @_;

    my $state = { keys => {}, errors => [], broken => 0, requests => 0,
                  slowest => 0 };
    my ($acked, $unsure) = (0, 0);
    my $seq = 0;

    srand($id);

    while (!$$end) {
        $seq++;

        if ($seq % 5 == 0) {
            my $res = $t->run('INCR', "l$id:count");
            my $known = answer($state, $res, 200);

            if (!$known) {
                $unsure++;

            } elsif ($res->{result} eq 'ok') {
                $acked++;
                push @{ $state->{errors} }, "INCR: $res->{body}"
                    if $res->{body} < $acked || $res->{body} > $acked + $unsure;

            } else {
                push @{ $state->{errors} }, "INCR: $res->{result}";
                $unsure++;
            }

            next;
        }

        my $key = "l$id:" . int rand $KEYS;
        my $gone = $seq % 7 == 0;
        my $res = $gone ? $t->delete($key) : $t->put($key, "value $seq");
        my $may = $state->{keys}{$key} ||= [ undef ];
        my $value = $gone ? undef : "value $seq";

        if (answer($state, $res, $gone ? (204, 404) : 204)) {
            @$may = ($value);
        } else {
            push @$may, $value;
        }

        Time::HiRes::sleep(0.0005);
    }

    $state->{counters} = { "l$id:count" => [ $acked, $acked + $unsure ] };

    return $state;
}


# true: it was answered

sub answer {
    my ($state, $res, @wanted) = @_;

    $state->{requests}++;
    $state->{slowest} = $res->{elapsed} if $res->{elapsed} > $state->{slowest};

    return 1 if grep { $res->{status} == $_ } @wanted;

    if ($res->{status} == 0 && ($res->{error} || '') !~ /timed out/) {
        $state->{broken}++;

        # nobody is there: it will be, soon

        Time::HiRes::sleep(0.005);
        return 0;
    }

    push @{ $state->{errors} }, $res->{status} . ' ' . ($res->{error} || '');

    return 0;
}


sub stop {
    my ($self) = @_;

    kill 'TERM', @{ $self->{pids} };

    my %all = (keys => {}, counters => {}, errors => [], broken => 0,
               requests => 0, slowest => 0);

    waitpid $_, 0 for @{ $self->{pids} };

    for my $file (glob "$self->{dir}/*") {
        my $one = JSON::PP::decode_json(RF::slurp($file));

        $all{keys}{$_} = $one->{keys}{$_} for keys %{ $one->{keys} };
        $all{counters}{$_} = $one->{counters}{$_}
            for keys %{ $one->{counters} };
        push @{ $all{errors} }, @{ $one->{errors} };
        $all{$_} += $one->{$_} for qw(broken requests);
        $all{slowest} = $one->{slowest} if $one->{slowest} > $all{slowest};
        $all{clients}++;
    }

    die "a client has died\n" if ($all{clients} || 0) != @{ $self->{pids} };

    return \%all;
}


# what is not as it was acknowledged, according to a sub that reads a key

sub lost {
    my ($report, $read) = @_;

    my @bad;

    for my $key (sort keys %{ $report->{keys} }) {
        my $is = $read->($key);
        my @may = @{ $report->{keys}{$key} };

        next if grep { defined $_ ? defined $is && $is eq $_ : !defined $is }
                     @may;
        push @bad, "$key: " . Outage::show($is) . ', not '
                   . join ' or ', map { Outage::show($_) } @may;
    }

    for my $key (sort keys %{ $report->{counters} }) {
        my ($least, $most) = @{ $report->{counters}{$key} };
        my $is = $read->($key) || 0;

        push @bad, "$key: $is, not $least to $most"
            if $is < $least || $is > $most;
    }

    return @bad[0 .. ($#bad > 9 ? 9 : $#bad)];
}


1;
