# Watches the loopback interface, to see what a carrier really puts on the wire.
package Bench::Wire;
use strict;
use warnings;
use Socket qw(SOCK_DGRAM);

my $AF_PACKET = 17;
my $ETH_P_ALL = 3;

my %version_name = (0x0303 => 'TLS 1.2', 0x0304 => 'TLS 1.3');
my %cipher_name  = (
    0x1301 => 'TLS_AES_128_GCM_SHA256',
    0x1302 => 'TLS_AES_256_GCM_SHA384',
    0x1303 => 'TLS_CHACHA20_POLY1305_SHA256',
);

sub watch {
    my ($class) = @_;
    socket my $socket, $AF_PACKET, SOCK_DGRAM, unpack('S', pack 'n', $ETH_P_ALL)
        or die "bench: cannot watch the loopback interface: $!\n";
    return bless { socket => $socket }, $class;
}

# Everything seen since watch(), as one string of packets; ends the watch.
sub seen {
    my ($self) = @_;
    my $seen = '';
    while (defined recv $self->{socket}, my $packet, 65536, Socket::MSG_DONTWAIT()) {
        $seen .= $packet;
    }
    close $self->{socket};
    return $seen;
}

# What the first ServerHello (RFC 8446, 4.1.3) in the capture chose, as text; undef where there is none.
sub negotiated {
    my ($seen) = @_;
    my $hello = qr/\x16\x03[\x01-\x03]..\x02\x00..\x03\x03.{32}/s;
    $seen =~ /$hello(.)/sg or return;
    my $cipher = unpack 'n', substr $seen, pos($seen) + ord($1), 2;
    my $after = substr $seen, pos $seen, 256;
    my $version = $after =~ /\x00\x2b\x00\x02(..)/s ? unpack('n', $1) : 0x0303;
    return sprintf '%s, %s', $version_name{$version} // sprintf('version %04x', $version),
        $cipher_name{$cipher} // sprintf('cipher %04x', $cipher);
}

1;
