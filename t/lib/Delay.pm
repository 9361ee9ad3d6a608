# A proxy before a Redis.  While the file "hold" is there, what clients send
# is kept, for ever on that connection, and also when its client has gone;
# once "release" is there, it is passed on.  held(): all of that.

package Delay;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use Proxy;

our @ISA = 'Proxy';


sub held { return RF::slurp("$_[0]{dir}/held") }


sub serve {
    my ($self, $listen, $port) = @_;

    my $select = IO::Select->new($listen);
    my (%peer, %client, %held);

    for ( ;; ) {
        my @ready = $select->can_read(0.02);

        for my $sock (@ready) {
            if ($sock == $listen) {
                my $in = $listen->accept or next;
                my $out = IO::Socket::INET->new("127.0.0.1:$port") or next;
                ($peer{$in}, $peer{$out}) = ($out, $in);
                $client{$in} = 1;
                $select->add($in, $out);
                next;
            }

            my $n = sysread $sock, my $data, 65536;

            if (!$n) {
                $select->remove($sock);
                next if defined $held{$sock};       # as if it were there

                $select->remove($peer{$sock});
                close $peer{$sock};
                close $sock;
                next;
            }

            if ($client{$sock} && (defined $held{$sock} || $self->has('hold')))
            {
                $held{$sock} .= $data;
                $self->set('held', join '', values %held);
                next;
            }

            syswrite $peer{$sock}, $data;
        }

        if ($self->has('release')) {
            for my $sock (grep { $client{$_} } keys %client) {
                next unless length($held{$sock} // '');
                syswrite $peer{$sock}, $held{$sock} if $peer{$sock}->opened;
                $held{$sock} = '';
            }

            $self->set('released');
        }
    }
}


1;
