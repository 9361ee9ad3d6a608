package Path;

# Paths made by hand, as nginx would leave them, or would not; and the program
# that looks at them.

use strict;
use warnings;

use Compress::Zlib 'crc32';
use Digest::MD5 'md5_hex';
use File::Path 'make_path';
use JSON::PP ();
use MIME::Base64 'encode_base64';
use RF ();

my $json = JSON::PP->new->utf8->canonical;
my $text = JSON::PP->new->latin1->canonical->allow_nonref;


sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        dir      => RF::tempdir('path') . '/app',
        database => 0,
        levels   => [2, 2, 2],
        %opt,
    }, $class;

    make_path("$self->{dir}/quarantine", $self->db . '/tmp', { mode => 0700 });

    return $self;
}


sub dir { $_[0]{dir} }
sub db  { "$_[0]{dir}/" . (defined $_[1] ? $_[1] : $_[0]{database}) }


# the program: exit code, standard output, standard error

sub tool {
    return $ENV{RF_TOOL} if defined $ENV{RF_TOOL};

    my $flavour = $ENV{RF_FLAVOUR} || $ENV{BUILD} || 'release';

    return "$RF::ROOT/build/$flavour/redis-fallback-files";
}


sub run {
    my @args = @_;

    my $dir = RF::tempdir('out');
    my $pid = fork();
    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$dir/out" or POSIX::_exit(126);
        open STDERR, '>', "$dir/err" or POSIX::_exit(126);
        exec { tool() } 'redis-fallback-files', @args or POSIX::_exit(127);
    }

    waitpid $pid, 0;

    my $code = $? & 127 ? "signal $?" : $? >> 8;

    return ($code, RF::slurp("$dir/out"), RF::slurp("$dir/err"));
}


# a record's JSON; strings are bytes

sub plain { my $s = $_[0]; return $s !~ /\0/ && utf8::decode($s) }

sub quote {
    my ($s) = @_;

    return '"' . encode_base64($s, '') . '"' unless plain($s);
    utf8::decode($s);

    return $json->allow_nonref->encode($s);
}


sub record {
    my ($key, %r) = @_;

    my $name = plain($key) ? 'key' : 'key_base64';
    my @fields;

    push @fields, qq{"version":"$r{version}"} if $r{version};
    push @fields, qq{"$name":} . quote($key);

    if (defined $r{bytes}) {
        push @fields, qq{"data_base64":"} . encode_base64($r{bytes}, '') . '"';

    } elsif (exists $r{data}) {
        push @fields, '"data":' . $json->allow_nonref->encode($r{data});
    }

    my $changed = $r{changed} || 1700000000123;

    push @fields, '"type":"' . ($r{type} || 'string') . '"',
         '"timestamp":' . int($changed / 1000), qq{"changed_ms":$changed},
         '"pending":"' . ($r{pending} || 'replace') . '"';

    push @fields, qq{"base_digest":"$r{base_digest}"} if $r{base_digest};
    push @fields, '"complete":' . ($r{partial} ? 'false' : 'true');
    push @fields, qq{"expire_ms":$r{expire}} if $r{expire};
    push @fields, '"changes":' . $json->encode($r{changes}) if $r{changes};
    push @fields, qq{"id":"$r{id}","sent":$r{sent}} if $r{id};
    push @fields, '"reason":' . quote($r{reason}) if defined $r{reason};

    return '{' . join(',', @fields) . '}';
}


sub place {
    my ($self, $key, @levels) = @_;

    my $md5 = my $rest = md5_hex($key);
    @levels = @{ $self->{levels} } unless @levels;

    return join '/', (map { substr $rest, 0, $_, '' } grep { $_ } @levels),
                "$md5.json";
}


sub put {
    my ($self, $name, $content) = @_;

    my $file = "$self->{dir}/$name";
    make_path($file =~ s{/[^/]+$}{}r, { mode => 0700 });
    RF::spew($file, $content);
    chmod 0600, $file;

    return $file;
}


sub file {
    my ($self, $key, %r) = @_;

    return $self->put("$self->{database}/" . $self->place($key),
                      record($key, %r));
}


# the journal

sub line {
    my ($kind, $content) = @_;

    return sprintf "%s %08x %s\n", $kind, crc32($content), $content;
}


sub ack {
    my ($key, $version) = @_;

    my $name = plain($key) ? 'key' : 'key_base64';

    return line('A', qq({"version":"$version","$name":) . quote($key) . '}');
}


sub rec { return line('R', record(@_)) }


sub batch {
    my @lines = @_;

    my $all = join '', @lines;

    return $all . line('C', sprintf '{"lines":%d,"crc":"%08x"}',
                            scalar(@lines), crc32($all));
}


sub head {
    my ($number, $base, $seq) = @_;

    return line('H', sprintf '{"journal":1,"number":"%d","base":"%d",'
                . '"seq":"%d"}', $number, $base || 1, $seq || 1);
}


sub segment {
    my ($self, $number, $base, @text) = @_;

    return $self->put(sprintf('%d/journal/%016x.log', $self->{database},
                              $number),
                      join '', head($number, $base), @text);
}


# a tree as text, to see that nothing has changed

sub tree {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $all = `cd '$dir' && find . -printf '%p %m %u %s %T@ %i\n' | sort`;

    return $all . `cd '$dir' && find . -type f | sort | xargs md5sum`;
}


1;
