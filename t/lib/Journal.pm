package Journal;

# What a path has on disk, files and journal together, as nginx would take it:
# for the tests, by a second implementation of docs/files.md.
#
#     my $records = Journal::pending("$dir/app");     # key => record
#     my @lines = Journal::lines("$dir/app", 0);      # [kind, text, segment]

use strict;
use warnings;

use Compress::Zlib ();
use JSON::PP ();
use MIME::Base64 ();

my $json = JSON::PP->new->utf8->allow_bignum;


sub slurp {
    my ($file) = @_;

    open my $fh, '<:raw', $file or return '';
    local $/;
    my $text = <$fh>;

    return defined $text ? $text : '';
}


sub segments {
    my ($path, $db) = @_;

    return sort glob(quotemeta($path) . '/' . ($db || 0)
                     . '/journal/????????????????.log');
}


# those of whole batches of segments at or above the base

sub lines {
    my ($path, $db) = @_;

    my ($base, @found) = ('0' x 20);

    for my $file (segments($path, $db)) {
        my $text = slurp($file);
        my ($number) = $file =~ /([0-9a-f]{16})\.log$/;
        my (@batch, @lines);

        for my $line (split /^/, $text) {
            my ($kind, $crc, $body) = $line =~ /^(\w) ([0-9a-f]{8}) (.*)\n\z/s
                or next;
            next if hex $crc != Compress::Zlib::crc32($body);

            if ($kind eq 'H') {
                my $head = sprintf '%020s', $json->decode($body)->{base};
                $base = $head if $head gt $base;

            } elsif ($kind eq 'C') {
                push @lines, @batch;
                @batch = ();

            } else {
                push @batch, [$kind, $body, $number];
            }
        }

        push @found, @lines;
    }

    return grep { sprintf('%020s', hex64($_->[2])) ge $base } @found;
}


sub hex64 {
    my ($hex) = @_;

    no warnings 'portable';
    return hex $hex;
}


sub key_of {
    my ($record) = @_;

    return defined $record->{key} ? $record->{key}
           : MIME::Base64::decode_base64($record->{key_base64});
}


sub files {
    my ($dir) = @_;

    my @found;

    opendir my $dh, $dir or return;

    for my $name (readdir $dh) {
        next if $name =~ /^(?:\.\.?|tmp|journal|quarantine)$/;
        push @found, files("$dir/$name") if -d "$dir/$name";
        push @found, "$dir/$name" if $name =~ /^[0-9a-f]{32}\.json$/;
    }

    return @found;
}


# versions are decimal numbers that may not fit

sub version { return sprintf '%020s', $_[0]{version} || 0 }


sub pending {
    my ($path, $db) = @_;

    my (%found, %acked);
    my $mark = slurp("$path/" . ($db || 0) . '/mark');
    chomp $mark;
    $mark = sprintf '%020s', $mark || 0;

    my @records = map { [R => slurp($_)] } files("$path/" . ($db || 0));

    for my $line (@records, lines($path, $db)) {
        my ($kind, $text) = @$line;
        my $record = eval { $json->decode($text) } or next;
        my $key = key_of($record);
        my $in = $kind eq 'A' ? \%acked : \%found;

        $in->{$key} = $record
            if !$in->{$key} || version($record) gt version($in->{$key});
    }

    for my $key (keys %found) {
        my $version = version($found{$key});

        delete $found{$key}
            if ($found{$key}{version} && $version le $mark)
               || ($acked{$key} && $version le version($acked{$key}));
    }

    return \%found;
}


# of the newest of these records: key => data, undef for a tombstone

sub newest {
    my (@texts) = @_;

    my %newest;

    for my $record (map { JSON::PP::decode_json($_) } @texts) {
        my $old = $newest{ $record->{key} };
        $newest{ $record->{key} } = $record
            unless $old && $old->{version} gt $record->{version};
    }

    return { map { $_ => $newest{$_}{data} } keys %newest };
}


# what the journal of a path has of each key

sub newest_lines {
    return newest(map { $_->[1] } grep { $_->[0] eq 'R' } lines($_[0], 0));
}


1;
