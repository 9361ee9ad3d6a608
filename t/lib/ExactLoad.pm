package ExactLoad;

# Clients that add, in an outage or not, and know exactly what was acknowledged:
# nothing may be missing afterwards, and nothing doubled.
#
#     my $load = ExactLoad->start($t, clients => 3);
#     $load->wait(100);                   # until each has done that many more
#     my $report = $load->stop;
#     $report->{errors}                   # wrong answers
#     ExactLoad::wrong($report, $redis)   # lines of text
#
# A client increments "total", shared by all, and its own "count:ID"; pushes to
# its list, adds to its hash and set, and sets registers, all with values that
# come once.  Through the API of the main port, a connection for each request.
#
# 503 is a refusal: what was refused must not be there.  Without an answer, with
# UNCERTAIN, or with 507 (in memory, but not on disk) both is right ("unsure").

use strict;
use warnings;

use RF;
use JSON::PP ();
use Time::HiRes ();

our $REGISTERS = 20;

my $json = JSON::PP->new->allow_nonref->canonical;


sub start {
    my ($class, $t, %opt) = @_;

    my $self = bless { dir => RF::tempdir('load'), pids => [], ids => [] },
                     $class;
    my $first = $opt{first} || 1;

    for my $id ($first .. $first + ($opt{clients} || 3) - 1) {
        my $pid = fork();
        die "fork: $!\n" unless defined $pid;

        if ($pid == 0) {
            my $end = 0;
            local $SIG{TERM} = sub { $end = 1 };
            RF::die_with_parent(POSIX::SIGKILL());
            eval {
                my $state = $self->run($t, $id, \$end);
                RF::spew("$self->{dir}/$id", $json->encode($state));
            };
            warn $@ if $@;
            POSIX::_exit(0);
        }

        push @{ $self->{pids} }, $pid;
        push @{ $self->{ids} }, $id;
    }

    return $self;
}


sub progress { return -s "$_[0]{dir}/$_[1].done" || 0 }


# until each client has had this many more answers

sub wait {
    my ($self, $n) = @_;

    my %want = map { $_ => $self->progress($_) + $n } @{ $self->{ids} };

    return wait_for(sub {
        !grep { $self->progress($_) < $want{$_} } keys %want;
    }, 20);
}


sub run {
    my ($self, $t, $id, $end) = @_;

    my $state = { id => $id, errors => [], refused => 0, requests => 0,
                  unsure => 0, slowest => 0, total => [ 0, 0 ], count => [ 0, 0 ],
                  list => [], hash => {}, set => {}, registers => {} };
    my $seq = 0;

    open my $done, '>>', "$self->{dir}/$id.done" or die;
    $done->autoflush(1);

    while (!$$end) {
        $seq++;

        my $value = "$id-$seq";
        my $what = $seq % 6;
        my $register = "reg:$id:" . $seq % $REGISTERS;
        my @argv = $what == 0 ? ('INCRBY', 'total', 1)
                   : $what == 1 ? ('INCR', "count:$id")
                   : $what == 2 ? ('RPUSH', "list:$id", $value)
                   : $what == 3 ? ('HSET', "hash:$id", $value, $seq)
                   : $what == 4 ? ('SADD', "set:$id", $value)
                                : ('SET', $register, $value);
        my $res = $t->nginx->post('/api', $json->encode(\@argv));
        my $outcome = outcome($state, $res);

        print $done '.';

        next if $outcome eq 'refused';

        my $known = $outcome eq 'ok';

        if ($what < 2) {
            my $count = $state->{ $what ? 'count' : 'total' };
            $count->[0]++ if $known;
            $count->[1]++;

        } elsif ($what == 2) {
            push @{ $state->{list} }, [ $value, $known ];

        } elsif ($what < 5) {
            $state->{ $what == 3 ? 'hash' : 'set' }{$value} = $known;

        } elsif ($known) {
            $state->{registers}{$register} = [ $value ];

        } else {
            push @{ $state->{registers}{$register} ||= [ undef ] }, $value;
        }

        Time::HiRes::sleep(0.001);
    }

    return $state;
}


sub outcome {
    my ($state, $res) = @_;

    my $status = $res->{status};

    $state->{requests}++;
    $state->{slowest} = $res->{elapsed} if $res->{elapsed} > $state->{slowest};

    return 'ok' if $status == 200;

    if ($status == 503) {
        $state->{refused}++;
        $state->{refusal} = sprintf '%s (%.3f s)', $res->{body},
                                    $res->{elapsed};
        Time::HiRes::sleep(0.02);
        return 'refused';
    }

    if ($status == 507 || $status == 502 && $res->{body} =~ /UNCERTAIN/) {
        $state->{unsure}++;
        return 'unsure';
    }

    push @{ $state->{errors} },
         "$status " . ($res->{error} // '') . " $res->{body}";

    return 'unsure';
}


sub stop {
    my ($self) = @_;

    kill 'TERM', @{ $self->{pids} };
    waitpid $_, 0 for @{ $self->{pids} };

    my %all = (clients => [], errors => [], requests => 0, refused => 0,
               unsure => 0, slowest => 0);

    for my $id (@{ $self->{ids} }) {
        my $one = $json->decode(RF::slurp("$self->{dir}/$id") || 'null')
                  or die "a client has died\n";

        push @{ $all{clients} }, $one;
        push @{ $all{errors} }, @{ $one->{errors} };
        $all{$_} += $one->{$_} for qw(requests refused unsure);
        $all{refusal} = $one->{refusal} if $one->{refusal};
        $all{slowest} = $one->{slowest} if $one->{slowest} > $all{slowest};
    }

    return \%all;
}


# what is not in Redis as it was acknowledged (two instances replay one after the other: "unordered" does not look at what
# depends on who comes first, the order of lists and the last of values)

sub wrong {
    my ($redis, $report, %opt) = @_;

    my @clients = @{ $report->{clients} };
    my @total = (0, 0);
    my @bad;

    for my $c (@clients) {
        my $id = $c->{id};

        $total[$_] += $c->{total}[$_] for 0, 1;

        push @bad, between("count:$id", $redis->cmd('GET', "count:$id"),
                           @{ $c->{count} }),
             elements("list:$id", $redis->cmd('LRANGE', "list:$id", 0, -1),
                      { map { @$_ } @{ $c->{list} } },
                      $opt{unordered} ? undef
                      : [ map { $_->[0] } @{ $c->{list} } ]),
             elements("hash:$id", $redis->cmd('HKEYS', "hash:$id"),
                      $c->{hash}),
             elements("set:$id", $redis->cmd('SMEMBERS', "set:$id"),
                      $c->{set});

        for my $key ($opt{unordered} ? ()
                     : sort keys %{ $c->{registers} })
        {
            my $is = $redis->cmd('GET', $key);
            my @may = @{ $c->{registers}{$key} };

            push @bad, "$key: " . Outage::show($is) . ', not '
                       . join ' or ', map { Outage::show($_) } @may
                unless grep { defined $_ ? defined $is && $is eq $_
                                         : !defined $is } @may;
        }
    }

    push @bad, between('total', $redis->cmd('GET', 'total'), @total);

    return @bad[0 .. ($#bad > 9 ? 9 : $#bad)];
}


sub between {
    my ($key, $is, $least, $most) = @_;

    $is //= 0;

    return $is >= $least && $is <= $most
           ? () : "$key: $is, not $least to $most";
}


# each once, in that order, if there is one

sub elements {
    my ($key, $is, $known, $order) = @_;

    my (%is, @bad);

    $is{$_}++ for @$is;

    my @lost = grep { $known->{$_} && !$is{$_} } sort keys %$known;
    my @more = grep { !exists $known->{$_} || $is{$_} > 1 } sort keys %is;

    push @bad, "$key: " . @lost . " lost: @lost[0 .. ($#lost > 3 ? 3 : $#lost)]"
        if @lost;
    push @bad, "$key: " . @more . " too many: "
               . "@more[0 .. ($#more > 3 ? 3 : $#more)]" if @more;
    push @bad, "$key: out of order"
        if $order && !@bad && "@$is" ne join ' ', grep { $is{$_} } @$order;

    return @bad;
}


1;
