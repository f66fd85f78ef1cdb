# What listens on a host, as its kernel tells, and what of it can be reached, as another host finds out.
package Distguard::Lab::Reach;
use strict;
use warnings;
use Carp qw(croak);
use Exporter qw(import);

our @EXPORT_OK = qw(listeners node_port open_ports reached);

# The TCP listeners of a host, of one program (its name or process id) where that is given, sorted: 'ADDRESS PORT'. '*' is
# the wildcard of a socket for both families.
sub listeners {
    my ($host, $program) = @_;
    my $whose = !defined $program ? qr// : $program =~ /^\d+$/ ? qr/,pid=$program,/ : qr/\("\Q$program\E",/;
    my @found;
    for (split /^/, $host->must(qw(ss -Htlnp))) {
        my ($local, $users) = (split ' ', $_, 6)[3, 5];
        next if ($users // '') !~ $whose;
        my ($address, $port) = $local =~ /^(.*):(\d+)$/ or croak "what does ss mean by $_";
        push @found, $address =~ tr/[]//dr . " $port";
    }
    @found = sort @found;
    return @found;
}

# The distribution port of a node, as its own host's EPMD tells. Asked from outside of the VM.
sub node_port {
    my ($host, $name) = @_;
    my $names = $host->must(qw(epmd -names));
    return $names =~ /^name \Q$name\E at port (\d+)$/m ? $1 : croak "EPMD does not know $name: $names";
}

# Which of the ports (numbers, ranges FIRST-LAST) of an address can be connected to from a host.
sub open_ports {
    my ($from, $address, @ports) = @_;
    my $out = $from->must($from->lab->root . '/tests/tools/port-scan', $address, @ports);
    $out =~ s/^scanned [1-9]\d*\n\z//m or croak "the scan was not finished: $out";
    return split ' ', $out;
}

# At which of the host's addresses (but for loopback, which is everybody's own) a port can be reached from another.
sub reached {
    my ($from, $host, $port) = @_;
    return grep { open_ports($from, $_, $port) } $host->addresses;
}

1;
