# A picture in SVG, as far as bars and lines need it.
package Bench::Svg;
use strict;
use warnings;

sub new {
    my ($class, $width) = @_;
    return bless { width => $width, parts => [] }, $class;
}

sub add {
    my ($self, $format, @values) = @_;
    push @{ $self->{parts} }, sprintf $format, @values;
}

sub text {
    my ($self, $x, $y, $text, $size, $anchor) = @_;
    $text =~ s/&/&amp;/g;
    $text =~ s/</&lt;/g;
    $self->add('<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s">%s</text>', $x, $y, $size, $anchor, $text);
}

# Names with their colours, in a row.
sub legend {
    my ($self, $x, $y, @entries) = @_;
    for my $entry (@entries) {
        my ($name, $colour) = @$entry;
        $self->add('<rect x="%.1f" y="%.1f" width="10" height="10" fill="%s"/>', $x, $y - 6, $colour);
        $self->text($x + 14, $y + 3, $name, 11, 'start');
        $x += 30 + 7 * length $name;
    }
}

sub finish {
    my ($self, $height) = @_;
    return sprintf(qq{<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" fill="#222222">\n},
        $self->{width}, $height)
        . qq{<rect width="100%" height="100%" fill="#ffffff"/>\n}
        . join('', map { "$_\n" } @{ $self->{parts} }) . "</svg>\n";
}

# A field with values upwards; places along it are from 0 to 1.
package Bench::Svg::Chart;
use strict;
use warnings;
use List::Util qw(min);

sub new {
    my ($class, $svg, $x, $y, $width, $height, $least, $most) = @_;
    my $self = bless { svg => $svg, x => $x, y => $y, width => $width, height => $height, least => $least, most => $most }, $class;
    $svg->add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="none" stroke="#cccccc"/>', $x, $y, $width, $height);
    return $self;
}

sub _across { return $_[0]{x} + $_[1] * $_[0]{width} }

sub _up {
    my ($self, $value) = @_;
    my $part = ($value - $self->{least}) / ($self->{most} - $self->{least});
    return $self->{y} + $self->{height} * (1 - min(1, $part));
}

sub grid {
    my ($self, @values) = @_;
    for my $value (@values) {
        my $y = $self->_up($value);
        $self->{svg}->add('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>',
            $self->{x}, $y, $self->{x} + $self->{width}, $y, $value == 1 ? '#666666' : '#dddddd');
        $self->{svg}->text($self->{x} - 6, $y + 4, _short($value), 11, 'end');
    }
}

sub _short {
    my ($value) = @_;
    return $value >= 1000 ? sprintf('%.0f k', $value / 1000) : sprintf '%.3g', $value;
}

sub label {
    my ($self, $place, $text) = @_;
    $self->{svg}->text($self->_across($place), $self->{y} + $self->{height} + 16, $text, 11, 'middle');
}

# What reaches beyond the field ends at its edge; the figure above it says how high it is.
sub bar {
    my ($self, $place, $width, $value, $colour, $figure) = @_;
    my ($x, $y, $wide) = ($self->_across($place), $self->_up($value), $width * $self->{width});
    $self->{svg}->add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>',
        $x, $y, $wide, $self->{y} + $self->{height} - $y, $colour);
    $self->{svg}->text($x + $wide / 2, $y - 3, $figure, 9, 'middle');
}

sub line {
    my ($self, $colour, @points) = @_;
    my @places = map { sprintf '%.1f,%.1f', $self->_across($_->[0]), $self->_up($_->[1]) } @points;
    $self->{svg}->add('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>', join(' ', @places), $colour);
    $self->{svg}->add('<circle cx="%s" cy="%s" r="3" fill="%s"/>', split(/,/, $_), $colour) for @places;
}

1;
