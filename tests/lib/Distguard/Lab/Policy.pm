# Writes a Perl structure as libconfig, the language of shim.conf.
#
# Hashes are groups. An array is [ ... ] where it holds scalars and ( ... ) where it holds groups. A reference to a
# string is written as it is (\'true', \'0x10').
package Distguard::Lab::Policy;
use strict;
use warnings;
use Exporter qw(import);

our @EXPORT_OK = qw(libconfig merge);

sub libconfig {
    my ($settings, $indent) = @_;
    $indent //= '';
    return join '', map { "$indent$_ = " . value($settings->{$_}, $indent) . ";\n" } sort keys %$settings;
}

sub value {
    my ($value, $indent) = @_;
    my $kind = ref $value;
    return "{\n" . libconfig($value, "$indent  ") . "$indent}" if $kind eq 'HASH';
    return $$value if $kind eq 'SCALAR';
    if ($kind eq 'ARRAY') {
        my $inside = join ', ', map { value($_, $indent) } @$value;
        return ref $value->[0] eq 'HASH' ? "( $inside )" : "[ $inside ]";
    }
    return $value if $value =~ /^-?\d+(\.\d+)?$/;
    (my $quoted = $value) =~ s/(["\\])/\\$1/g;
    return qq("$quoted");
}

# `over` laid over `base`, group by group; undef takes a setting away.
sub merge {
    my ($base, $over) = @_;
    my %merged = %$base;
    for my $key (keys %$over) {
        my $both_groups = ref $merged{$key} eq 'HASH' && ref $over->{$key} eq 'HASH';
        $merged{$key} = $both_groups ? merge($merged{$key}, $over->{$key}) : $over->{$key};
        delete $merged{$key} if !defined $merged{$key};
    }
    return \%merged;
}

1;
