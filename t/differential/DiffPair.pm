package DiffPair;

# The two sides of the differential test: nginx, asked over HTTP, and Redis.
#
#     my $pair = DiffPair->new($nginx, $redis);
#     my @replies = $pair->nginx('/pipeline', \@commands, base64 => 1);
#     my $reply = $pair->url(\@command, base64 => 0);
#     @replies = $pair->redis(@commands);
#
# A reply is undef for nil, an array reference, or a text that begins with its
# type: "i" an integer, "s" a string or status, "e" an error.  So those of
# both sides are the same if they look the same; plain() makes of a string
# what JSON can carry.

use strict;
use warnings;

use MIME::Base64 ();
use RF;

my %ESCAPE = ('"' => '"', '\\' => '\\', '/' => '/', b => "\b", f => "\f",
              n => "\n", r => "\r", t => "\t");


sub new {
    my ($class, $nginx, $redis) = @_;

    return bless { nginx => $nginx, redis => $redis }, $class;
}


# a batch: the replies, or nothing where the answer was not an array of
# as many

sub nginx {
    my ($self, $path, $commands, %opt) = @_;

    my $body = '[' . join(',', map {
        '[' . join(',', map { json_argument($_) } @$_) . ']' } @$commands)
        . ']';

    my $res = $self->post($path, $body, %opt);
    my $replies = $res->{status} == 200 && json($res->{body}, %opt);

    return @$replies if ref $replies && @$replies == @$commands;

    $self->{answer} = "$res->{status} " . ($res->{error} || '')
                      . substr $res->{body}, 0, 500;
    return;
}


# one command in the URL, its last argument in the body

sub url {
    my ($self, $argv, %opt) = @_;

    my @path = @$argv;
    my $body = pop @path;

    s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge for @path;

    my $res = $self->post(join('', map { "/$_" } @path), $body, %opt);

    return json($res->{body}, %opt)
        if $res->{status} == 200 || $res->{status} == 400;

    return "e($res->{status}) " . ($res->{error} || $res->{body});
}


# whether a command can be sent as URL: a path has no NUL, no empty name, and
# dots in it mean something else; and an empty body is none

sub in_url {
    my ($argv) = @_;

    my @path = @$argv;
    my $body = pop @path;

    return @path && length $body && $path[0] ne ''
           && length(join '', @path) < 2000
           && !grep { /\0/ || m{(?:^|/)\.\.?(?:/|$)} || $_ eq '' } @path;
}


sub is_utf8 {
    my ($text) = @_;

    return utf8::decode($text);
}


sub post {
    my ($self, $path, $body, %opt) = @_;

    my %headers = (Host => 'localhost');
    $headers{'Upstash-Encoding'} = 'base64' if $opt{base64};

    my $conn = $self->{conn};

    if (!$conn || !$conn->{sock}) {
        $conn = $self->{conn} = $self->{nginx}->conn;
    }

    return RF::HTTP::request(undef, 'POST', $path, conn => $conn,
                             body => $body, headers => \%headers,
                             timeout => 60);
}


# an integer as a number, sometimes; by its own digits, so that a seed repeats

sub json_argument {
    my ($text) = @_;

    return $text if $text =~ /\A-?[1-9][0-9]{0,14}\z/ && $text % 3 == 0;

    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;

    return "\"$text\"";
}


sub json {
    my ($text, %opt) = @_;

    my $value = eval { json_value(\$text, $opt{base64}) };

    return $@ || $text !~ /\G\s*\z/ ? "e(no JSON) $text" : $value;
}


sub json_value {
    my ($text, $base64) = @_;

    if ($$text =~ /\G"([^"\\]*(?:\\.[^"\\]*)*)"/gc) {
        my $string = $1;

        return 'sOK' if $base64 && $string eq 'OK';
        return 's' . MIME::Base64::decode($string) if $base64;
        return 's' . json_string($string);
    }

    return "i$1" if $$text =~ /\G(-?\d+)/gc;
    return undef if $$text =~ /\Gnull/gc;

    if ($$text =~ /\G\{"error":"([^"\\]*(?:\\.[^"\\]*)*)"\}/gc) {
        return 'e' . json_string($1);
    }

    if ($$text =~ /\G\{"result":/gc) {
        my $value = json_value($text, $base64);
        $$text =~ /\G\}/gc or die;
        return $value;
    }

    $$text =~ /\G\[/gc or die;
    my @values;

    until ($$text =~ /\G\]/gc) {
        $$text =~ /\G,/gc or die if @values;
        push @values, json_value($text, $base64);
    }

    return \@values;
}


# what nginx escapes is ASCII

sub json_string {
    my ($text) = @_;

    $text =~ s{\\(?:u00([0-9a-f]{2})|(.))}
              {defined $1 ? chr hex $1 : $ESCAPE{$2}}ge;

    return $text;
}


# as JSON carries it: bytes that are not UTF-8 are replaced

sub plain {
    my ($value) = @_;

    return [map { plain($_) } @$value] if ref $value;
    return $value unless defined $value;

    $value =~ s{ ([\x00-\x7f]+
                  | [\xc2-\xdf][\x80-\xbf]
                  | \xe0[\xa0-\xbf][\x80-\xbf]
                  | \xed[\x80-\x9f][\x80-\xbf]
                  | [\xe1-\xec\xee\xef][\x80-\xbf]{2}
                  | \xf0[\x90-\xbf][\x80-\xbf]{2}
                  | [\xf1-\xf3][\x80-\xbf]{3}
                  | \xf4[\x80-\x8f][\x80-\xbf]{2})
                | . }
               {defined $1 ? $1 : "\xef\xbf\xbd"}gsex;

    return $value;
}


sub redis {
    my ($self, @commands) = @_;

    my $conn = $self->{judge} ||= RF::Conn->new($self->{redis}->port);
    my $end = RF::now() + RF::slow(60);

    $conn->write(join('', map { RF::Redis::encode(@$_) } @commands), $end);

    return map { read_reply($conn, $end) } @commands;
}


sub read_reply {
    my ($conn, $end) = @_;

    my $line = $conn->line($end);
    die "Redis: $conn->{error}\n" unless defined $line;

    my $type = substr $line, 0, 1, '';

    return "i$line" if $type eq ':';
    return "s$line" if $type eq '+';
    return "e$line" if $type eq '-';
    return undef if $line < 0;

    if ($type eq '$') {
        my $data = $conn->bytes($line + 2, $end);
        die "Redis: $conn->{error}\n" unless defined $data;
        return 's' . substr $data, 0, $line;
    }

    return [map { read_reply($conn, $end) } 1 .. $line];
}


# for people

sub show {
    my ($value) = @_;

    return '[' . join(', ', map { show($_) } @$value) . ']' if ref $value;
    return 'nil' unless defined $value;

    my $type = substr $value, 0, 1, '';

    return $value if $type eq 'i';
    return "(error) $value" if $type eq 'e';

    return quote($value);
}


sub quote {
    my ($text) = @_;

    $text = substr($text, 0, 200) . '...' if length $text > 203;
    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;

    return "\"$text\"";
}


1;
