#!/usr/bin/perl
# Whatever else a VM does behaves with the library as without it: its web server, its own TLS, datagrams, Unix sockets,
# files and programs. Everything runs twice and is compared.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Test::More;

use constant { HTTP_PORT => 8080, TLS_PORT => 8443 };

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
plan skip_all => 'there is nothing to compare without the library' if !$alpha->shim_env;

my $certificate = $lab->pki->certificate_of($alpha);
my $ca = $lab->pki->ca;
my $client = $beta->node('client', long => 1);

# What came of each neighbour, in a node with or without the library that also has a peer connected.
sub outcomes {
    my ($shim) = @_;
    my $kind = $shim ? 'guarded' : 'plain';
    my $dir = $alpha->dir . "/$kind";
    mkdir $dir;
    my $node = $alpha->node($kind, long => 1, shim => $shim);
    my $peer = $alpha->node("peer_$kind", long => 1, shim => $shim);
    my $ip = $alpha->ip =~ tr/./,/r;

    my %outcome = ('a peer that is connected' => $node->call('net_adm:ping(' . $peer->atom . ')'));
    my $note = sub {
        my ($what, $on, $expression) = @_;
        $outcome{$what} = eval { $on->call("dg_lab_neighbours:$expression") } // $@ =~ s{\n.*}{}sr;
    };
    $note->('a web server starts', $node, qq{http_server("$dir", ${\HTTP_PORT})});
    $note->('a client on another host is served', $client, qq{http_client("http://${\$alpha->ip}:${\HTTP_PORT}/page.txt")});
    $note->('a client in the same VM is served', $node, qq{http_client("http://127.0.0.1:${\HTTP_PORT}/page.txt")});
    $note->('an own TLS server starts', $node, qq{tls_server(${\TLS_PORT}, "$certificate.pem", "$certificate.key")});
    $note->('its client on another host', $client, qq{tls_client({{$ip}, ${\TLS_PORT}}, "$ca")});
    $note->('an own TLS client', $node, qq{tls_client({{$ip}, ${\TLS_PORT}}, "$ca")});
    $note->('datagrams', $node, 'udp()');
    $note->('a Unix stream socket', $node, qq{local_stream("$dir/stream")});
    $note->('a Unix datagram socket', $node, qq{local_datagram("$dir/datagram")});
    $note->('an own TCP server and client', $node, 'tcp()');
    $note->('files, and a file sent through a socket', $node, qq{file("$dir/file")});
    $note->('commands of the shell', $node, 'commands()');
    $note->('names resolved', $node, 'resolver("beta")');
    $note->('a port program', $node, 'port_program()');
    $outcome{'the peer at the end'} = $node->call('length(nodes())');
    $_->stop for $node, $peer;
    return \%outcome;
}

my ($plain, $guarded) = (outcomes(0), outcomes(1));
for my $what (sort keys %$plain) {
    unlike($plain->{$what}, qr/raised|timeout|no answer/, "$what: works without the library");
    is($guarded->{$what}, $plain->{$what}, "$what: the same with it");
}

done_testing;
