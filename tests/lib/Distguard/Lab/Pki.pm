# A certificate authority, and a certificate for each host that asks.
package Distguard::Lab::Pki;
use strict;
use warnings;

sub new {
    my ($class, $lab, $dir) = @_;
    my $self = bless { lab => $lab, dir => $dir }, $class;
    $lab->must($lab->tool, qw(pki init), $dir);
    return $self;
}

sub ca  { "$_[0]{dir}/ca.pem" }
sub dir { $_[0]{dir} }

# Makes NAME.pem and NAME.key; returns the path without its ending.
sub issue {
    my ($self, $name, @names) = @_;
    $self->{lab}->must($self->{lab}->tool, qw(pki issue), $self->{dir}, $name, @names);
    return "$self->{dir}/$name";
}

sub certificate_of {
    my ($self, $host) = @_;
    my $name = $host->name;
    return $self->{issued}{$name} //= $self->issue($name,
        '--dns', $name, '--dns', "$name.lab", map { ('--ip', $_) } $host->addresses);
}

1;
