# From the values of all rounds to a table and a JSON document.
package Bench::Report;
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Path     qw(make_path);
use JSON::PP;
use List::Util qw(max);

my @carriers = qw(plain distguard inet_tls);
my @bases    = qw(plain inet_tls);           # of the ratios
my $absent   = '-';

# What of the environment is printed, and how it is called there.
my @heading = (
    [ began       => 'began' ],
    [ rounds      => 'rounds' ],
    [ cpu         => 'CPU' ],
    [ cpus        => 'CPUs' ],
    [ virtual     => 'virtual machine' ],
    [ kernel      => 'kernel' ],
    [ otp         => 'OTP' ],
    [ erts        => 'ERTS' ],
    [ openssl     => 'OpenSSL' ],
    [ commit      => 'distguard' ],
    [ load_before => 'load before' ],
    [ load_after  => 'load after' ],
);

sub heading {
    my ($environment) = @_;
    my @lines = map { [ $_->[1], $environment->{ $_->[0] } ] } @heading;
    push @lines, [ "$_ speaks", $environment->{negotiated}{$_} ] for sort keys %{ $environment->{negotiated} };
    return join '', map { sprintf "%-16s  %s\n", @$_ } @lines;
}

sub median {
    my @sorted = sort { $a <=> $b } @_ or return undef;
    return ($sorted[ @sorted / 2 ] + $sorted[ $#sorted / 2 ]) / 2;
}

# The median over the rounds of one carrier's value divided by the other's in the same round: what disturbs a whole
# round disturbs both.
sub ratio {
    my ($values, $base) = @_;
    return undef if !$values || !$base;
    return median(map { $base->[$_] ? $values->[$_] / $base->[$_] : () } 0 .. $#$values);
}

# The same for what the library adds to plain.
sub difference {
    my ($of) = @_;
    my ($guarded, $plain) = @$of{qw(distguard plain)};
    return undef if !$guarded || !$plain;
    return median(map { $guarded->[$_] - $plain->[$_] } 0 .. $#$guarded);
}

# values: row identifier => carrier => [ one value per round ].
sub table {
    my ($rows, $values) = @_;
    my @lines = ([ 'metric', 'better', @carriers, (map { "dg/$_" } @bases), 'dg-plain' ]);
    for my $row (@$rows) {
        my ($id, $label, $better, $format, $kind) = @$row;
        my $of     = $values->{$id};
        my @ratios = map { ratio($of->{distguard}, $of->{$_}) } @bases;
        my $more   = $kind ? difference($of) : undef;
        push @lines, [
            $label, $better,
            (map { $of->{$_} ? sprintf $format, median(@{ $of->{$_} }) : $absent } @carriers),
            (map { defined $_ ? sprintf '%.2f', $_ : $absent } @ratios),
            defined $more ? sprintf $format =~ s/%/%+/r, $more : $absent,
        ];
    }
    return join '', map { "$_\n" } _aligned(@lines);
}

# Words to the left, figures to the right.
sub _aligned {
    my (@lines) = @_;
    my @width;
    for my $line (@lines) {
        $width[$_] = max($width[$_] // 0, length $line->[$_]) for 0 .. $#$line;
    }
    my $format = join '  ', "%-$width[0]s", "%-$width[1]s", map { "%${_}s" } @width[ 2 .. $#width ];
    return map { sprintf $format, @$_ } @lines;
}

sub write_json {
    my ($path, $rows, $values, $environment) = @_;
    my %metrics;
    for my $row (@$rows) {
        my ($id, $label, $better, undef, $kind) = @$row;
        my $of = $values->{$id};
        $metrics{$id} = {
            label  => $label,
            better => $better,
            rounds => $of,
            median => { map { $_ => median(@{ $of->{$_} }) } keys %$of },
            ratio  => { map { ("distguard/$_" => ratio($of->{distguard}, $of->{$_})) } @bases },
            $kind ? (difference => { 'distguard-plain' => difference($of) }) : (),
        };
    }
    make_path(dirname($path));
    open my $file, '>', $path or die "bench: cannot write $path: $!\n";
    print $file JSON::PP->new->pretty->canonical->encode({ environment => $environment, metrics => \%metrics });
    close $file or die "bench: cannot write $path: $!\n";
}

1;
