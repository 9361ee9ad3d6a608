# A proxy before a Redis.  While the file "hold" is there, Redis' replies are
# kept; with a word in it, only on connections that have sent that word since:
# what another worker sends now and then to be sure of its connection is none of
# them.  With "cut", connections that nothing is kept of are closed, as are new
# ones; what is kept until then comes with "release", the rest when all of these
# files are gone.
#
#     my $proxy = ProxyLate->start($redis);
#     $proxy->set('hold');

package ProxyLate;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

use parent 'Proxy';


sub serve {
    my ($self, $listen, $port) = @_;

    my $select = IO::Select->new($listen);
    my (%peer, %server, %held, %late, %asked);

    my $end = sub {
        my @ends = ($_[0], $peer{$_[0]});
        $select->remove(@ends);
        delete @$_{@ends} for \(%peer, %server, %held, %late, %asked);
        close $_ for @ends;
    };

    for ( ;; ) {
        my ($hold, $cut) = map { $self->has($_) } qw(hold cut);

        if ($cut && !$self->has('done')) {
            %late = %held;
            %held = ();

            for my $sock (grep { $server{$_} } values %peer) {
                $end->($sock) if $peer{$sock} && !defined $late{$sock};
            }

            $self->set('done');
        }

        for my $sock (grep { $server{$_} } values %peer) {
            my $data = '';
            $data .= delete $late{$sock} // '' if $self->has('release');
            $data .= delete $held{$sock} // '' if !$hold;
            syswrite $peer{$sock}, $data if length $data;
        }

        for my $sock ($select->can_read(0.01)) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;

                if ($cut) {
                    close $in;
                    next;
                }

                my $out = IO::Socket::INET->new("127.0.0.1:$port") or next;
                ($peer{$in}, $peer{$out}) = ($out, $in);
                $server{$out} = 1;
                $select->add($in, $out);
                next;
            }

            next if !$peer{$sock};

            my $n = sysread $sock, my $data, 65536;

            my $word = $self->word;

            $asked{$peer{$sock}} = 1
                if $n && defined $word && !$server{$sock}
                   && index($data, $word) >= 0;

            if (!$n) {
                $end->($sock);

            } elsif ($server{$sock} && defined $word
                     && ($word eq '' || $asked{$sock}))
            {
                $held{$sock} .= $data;

            } else {
                syswrite $peer{$sock}, $data;
            }
        }
    }
}


# of "hold"; undef: it is not there

sub word {
    my ($self) = @_;

    return $self->has('hold') ? RF::slurp("$self->{dir}/hold") : undef;
}


1;
