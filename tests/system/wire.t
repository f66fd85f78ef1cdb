#!/usr/bin/perl
# What passes between two hosts, EPMD's answers included, shows neither messages nor names: TLS records only.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Capture;
use Test::More;

use constant EPMD_PORT => 4369;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);

# What an eavesdropper looks for. The message is sent as an atom, a binary and a list.
my %secret = (
    'the message'                     => qr/Winnetou/,
    'the name of the first node'      => qr/north\@/,
    'the name of the second node'     => qr/south\@/,
    'a status of the handshake'       => qr/\x00\x03sok/,
    'a module or function called'     => qr/erlang|rex|global_name_server/,
);

# All streams of a conversation, one way of starting it after the other.
sub conversation {
    my ($shim) = @_;
    my $north = $alpha->node('north', long => 1, shim => $shim, explicit => 1);
    my $south = $beta->node('south', long => 1, shim => $shim, explicit => 1);
    my $capture = $beta->capture;
    for my $pair ([$north, $south], [$south, $north]) {
        my ($from, $to) = @$pair;
        is($from->call("net_kernel:connect_node(${\$to->atom})"), 'true', $from->name . ' connects');
        is($from->call("erpc:call(${\$to->atom}, erlang, phash2, [{'Winnetou', <<\"Winnetou\">>, \"Winnetou\"}]) > 0"),
            'true', 'and sends its message');
        is($from->call("erlang:disconnect_node(${\$to->atom})"), 'true', 'and hangs up');
    }
    $_->stop for $north, $south;
    # Programs of one host speak plaintext with its EPMD; what matters is what crosses the wire.
    my @streams = grep { length $_->{bytes} && $_->{from} =~ /^10\.77\./ } $capture->stop;
    my @epmd = grep { "$_->{from} - $_->{to} -" =~ / ${\EPMD_PORT} -/ } @streams;
    $_->stop_epmd for $alpha, $beta;
    is(scalar(@streams) - scalar(@epmd), 4, 'two connections were seen, both directions of each');
    cmp_ok(scalar @epmd, '>=', 4, 'and those to EPMD');
    return @streams;
}

subtest 'without the library everything is there to read' => sub {
    my @streams = conversation(0);
    for my $what (sort keys %secret) {
        ok(scalar(grep { $_->{bytes} =~ $secret{$what} } @streams), "$what is found");
    }
};

subtest 'with it there is nothing' => sub {
    plan skip_all => 'a control run' if !$alpha->shim_env;
    my @streams = conversation(1);
    for my $stream (@streams) {
        is(Distguard::Lab::Capture::not_tls($stream->{bytes}), undef,
            "$stream->{from} to $stream->{to}: @{[length $stream->{bytes}]} bytes of TLS records");
    }
    for my $what (sort keys %secret) {
        my @found = grep { $_->{bytes} =~ $secret{$what} } @streams;
        is(scalar @found, 0, "$what is not found") or diag map { unpack('H*', $_->{bytes}) . "\n" } @found;
    }
};

done_testing;
