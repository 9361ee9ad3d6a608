package Bench::Chart;

# Bar charts as SVG, written beside the document.  They have a background of
# their own, and follow the reader's preference for light or dark.

use strict;
use warnings;

use RF;

my $row = 16;                   # height of a bar
my $left = 350;                 # width of the names
my $right = 60;                 # of the values
my $bars = 400;


# file, title, unit; series: their names; rows: [name, accent, values...], a
# value for each of the series or undef; versus: the first of two series is
# somebody else's; line: a value to mark; text: how a value is written

sub write {
    my (%chart) = @_;

    my @rows = @{ $chart{rows} } or return;
    my $n = @{ $chart{series} };
    my $height = 54 + ($n > 1 ? 20 : 0);
    my ($max) = sort { $b <=> $a } $chart{line} || 0,
                map { grep { defined } @$_[2 .. $#$_] } @rows;
    my $scale = $bars / ($max || 1);
    my $body = '';
    my $y = $height;

    for my $item (@rows) {
        my ($name, $accent, @values) = @$item;

        $body .= text($left - 8, $y + $row * $n / 2 + 4, $name,
                      'name' . ($accent ? ' ours' : ''));

        for my $i (0 .. $n - 1) {
            next unless defined $values[$i];

            my $width = $values[$i] * $scale;
            my $class = $chart{versus} ? qw(p0 a0)[$i]
                        : ($accent ? 'a' : 'p') . $i;

            $body .= sprintf qq{<rect class="%s" x="%d" y="%.1f" width="%.1f" }
                             . qq{height="%d"/>\n}, $class, $left,
                             $y + 1 + $i * $row, $width, $row - 2;
            $body .= text($left + $width + 5, $y + $i * $row + 12,
                          sprintf($chart{text} || '%.2f', $values[$i]),
                          'value');
        }

        $y += $row * $n + 7;
    }

    if ($chart{line}) {
        my $x = $left + $chart{line} * $scale;

        $body .= sprintf qq{<line class="mark" x1="%.1f" y1="%d" x2="%.1f" }
                         . qq{y2="%d"/>\n}, $x, $height - 4, $x, $y;
    }

    RF::spew($chart{file}, head($y + 14, \%chart) . legend(%chart) . $body
                           . "</svg>\n");
    print "written to $chart{file}\n";
}


sub head {
    my ($height, $chart) = @_;

    my $width = $left + $bars + $right;

    return <<END . text(16, 26, $chart->{title}, 'title')
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height"
     width="$width" height="$height" role="img">
<style>
text { font: 12px sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: bold; }
.unit { fill: #57606a; }
.name { text-anchor: end; }
.ours { font-weight: bold; }
.value { font-size: 11px; }
.ground { fill: #ffffff; stroke: #d0d7de; }
.mark { stroke: #57606a; stroke-dasharray: 4 3; }
.a0 { fill: #0969da; } .a1 { fill: #54aeff; } .a2 { fill: #a5d6ff; }
.p0 { fill: #6e7781; } .p1 { fill: #9aa4ae; } .p2 { fill: #cdd3d9; }
\@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.unit { fill: #9ea7b3; }
.ground { fill: #0d1117; stroke: #30363d; }
.mark { stroke: #9ea7b3; }
.a0 { fill: #58a6ff; } .a1 { fill: #2f74c0; } .a2 { fill: #1f4b80; }
.p0 { fill: #8b949e; } .p1 { fill: #666e78; } .p2 { fill: #484f58; }
}
</style>
<title>${\ escape($chart->{title})}</title>
<rect class="ground" x="0.5" y="0.5" width="${\ ($width - 1)}"
      height="${\ ($height - 1)}" rx="6"/>
END
           . text(16, 44, $chart->{unit}, 'unit');
}


# the colours of the series, where there are several

sub legend {
    my (%chart) = @_;

    my @names = @{ $chart{series} };
    my $x = $left;
    my $text = '';

    return '' if @names < 2;

    for my $i (0 .. $#names) {
        for my $class ($chart{versus} ? qw(p0 a0)[$i] : ("p$i", "a$i")) {
            $text .= qq{<rect class="$class" x="$x" y="53" width="10" }
                     . qq{height="10"/>\n};
            $x += 11;
        }

        $text .= text($x + 4, 62, $names[$i], '');
        $x += 26 + 7 * length $names[$i];
    }

    return $text;
}


sub text {
    my ($x, $y, $text, $class) = @_;

    $text =~ s/`//g;

    return sprintf qq{<text x="%.1f" y="%.1f"%s>%s</text>\n}, $x, $y,
                   $class ? qq{ class="$class"} : '', escape($text);
}


sub escape {
    my ($text) = @_;

    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;',
                  '"' => '&quot;');
    $text =~ s/([&<>"])/$entity{$1}/g;

    return $text;
}


1;
