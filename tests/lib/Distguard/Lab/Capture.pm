# Everything that passes through one host's network, kept in a file, and the TCP streams in it.
package Distguard::Lab::Capture;
use strict;
use warnings;
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_until);

use constant {
    PCAP_HEADER   => 24,
    FRAME_HEADER  => 16,
    ETHERNET      => 14,
    ETHERTYPE_IP4 => 0x0800,
    ETHERTYPE_IP6 => 0x86dd,
    IP6_HEADER    => 40,
    PROTOCOL_TCP  => 6,
    TCP_SYN       => 2,
};

sub start {
    my ($class, $host) = @_;
    my $lab  = $host->lab;
    my $self = bless { file => $lab->temp_path('pcap') }, $class;
    $self->{process} = $host->spawn($lab->root . '/tests/tools/wiretap', $self->{file});
    wait_until('the capture runs: ' . $self->{process}->describe, 10, sub { $self->{process}->out =~ /listening/ });
    return $self;
}

# Ends the capture. Returns the streams, one for each direction of each connection that began meanwhile:
#     { from => 'ADDRESS PORT', to => 'ADDRESS PORT', bytes => ... }
# but for those of the ports given. Dies where the kernel dropped frames: then the absence of something would mean
# nothing.
sub stop {
    my ($self, %option) = @_;
    my $process = $self->{process};
    $process->stop;
    my ($dropped) = $process->out =~ /^dropped (\d+)$/m;
    die "the capture is not complete: ", $process->describe, "\n" if !defined $dropped || $dropped > 0;

    my %except = map { $_ => 1 } @{ $option{except_ports} // [] };
    my @streams = streams(frames(Distguard::Lab::Process::slurp($self->{file})));
    return grep {
        my ($from, $to) = map { (split ' ')[1] } $_->{from}, $_->{to};
        !$except{$from} && !$except{$to};
    } @streams;
}

sub frames {
    my ($pcap) = @_;
    my @frames;
    for (my $at = PCAP_HEADER; $at + FRAME_HEADER <= length $pcap;) {
        my $size = unpack 'L', substr $pcap, $at + 8, 4;
        push @frames, substr $pcap, $at + FRAME_HEADER, $size;
        $at += FRAME_HEADER + $size;
    }
    return @frames;
}

# Lays every segment where its sequence number says, so that repeated ones do no harm.
sub streams {
    my (@order, %current);
    for my $segment (grep { defined } map { tcp_segment($_) } @_) {
        my $key = "$segment->{from} $segment->{to}";
        if ($segment->{flags} & TCP_SYN) {
            my $first = ($segment->{sequence} + 1) & 0xffffffff;
            next if $current{$key} && $current{$key}{first} == $first;
            push @order, $current{$key} =
                { from => $segment->{from}, to => $segment->{to}, first => $first, bytes => '' };
        }
        my $stream = $current{$key} or next;
        my $at = ($segment->{sequence} - $stream->{first}) & 0xffffffff;
        my $size = length $segment->{payload} or next;
        $stream->{bytes} .= "\0" x ($at + $size - length $stream->{bytes}) if $at + $size > length $stream->{bytes};
        substr($stream->{bytes}, $at, $size) = $segment->{payload};
    }
    return @order;
}

# The TCP segment in an Ethernet frame, undef for anything else. The wire carries no extension headers.
sub tcp_segment {
    my ($frame) = @_;
    my $type   = unpack 'n', substr $frame, 12, 2;
    my $packet = substr $frame, ETHERNET;
    my ($from, $to, $segment);
    if ($type == ETHERTYPE_IP4) {
        my ($size_word, $total, $protocol) = unpack 'C x n x5 C', $packet;
        return undef if $protocol != PROTOCOL_TCP;
        my $header = ($size_word & 15) * 4;
        ($from, $to) = map { join '.', unpack 'C4', substr $packet, $_, 4 } 12, 16;
        # Total is 0 for segments over 64 KiB that no card has cut yet.
        $segment = substr $packet, $header, ($total || length $packet) - $header;
    } elsif ($type == ETHERTYPE_IP6) {
        my ($size, $protocol) = unpack 'x4 n C', $packet;
        return undef if $protocol != PROTOCOL_TCP;
        ($from, $to) = map { join ':', unpack '(H4)8', substr $packet, $_, 16 } 8, 24;
        $segment = substr $packet, IP6_HEADER, $size || length $packet;
    } else {
        return undef;
    }
    my ($from_port, $to_port, $sequence, $offset, $flags) = unpack 'n n N x4 C C', $segment;
    return {
        from     => "$from $from_port",
        to       => "$to $to_port",
        sequence => $sequence,
        flags    => $flags,
        payload  => substr($segment, ($offset >> 4) * 4),
    };
}

# Why a stream is not one of whole TLS records, or undef if it is. The last record may be cut by the end.
sub not_tls {
    my ($bytes) = @_;
    my $at = 0;
    while ($at + 5 <= length $bytes) {
        my ($type, $major, $minor, $size) = unpack 'C C C n', substr $bytes, $at, 5;
        return sprintf 'at byte %d: %s', $at, unpack 'H*', substr $bytes, $at, 16
            if $type < 20 || $type > 23 || $major != 3 || $minor > 3 || $size > 16384 + 256;
        $at += 5 + $size;
    }
    return undef;
}

1;
