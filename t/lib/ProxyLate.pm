# A proxy before a Redis.  While the file "hold" is there, Redis' replies are
# kept.  With "cut", connections that nothing is kept of are closed, as are new
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
    my (%peer, %server, %held, %late);

    my $end = sub {
        my @ends = ($_[0], $peer{$_[0]});
        $select->remove(@ends);
        delete @$_{@ends} for \(%peer, %server, %held, %late);
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

            if (!$n) {
                $end->($sock);

            } elsif ($server{$sock} && $self->has('hold')) {
                $held{$sock} .= $data;

            } else {
                syswrite $peer{$sock}, $data;
            }
        }
    }
}


1;
