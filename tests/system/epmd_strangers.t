#!/usr/bin/perl
# Who has no certificate of ours learns nothing from a guarded EPMD: no name, no port, not one byte; and the log says who
# asked and why he was refused. An unguarded EPMD, beside it as the control, tells the same clients everything.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(EPMD_PORT ask names_req port_please);
use Distguard::Lab::Reach qw(node_port);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant {
    EVERYTHING => 1 << 30,        # bytes that the relay lets through
    PLAINTEXT  => qr/reason="peer speaks plaintext/,
};

my $NOTHING = qr/\{ok,\[\]\}|\{error,address\}/;    # what a node makes of an EPMD that hangs up, later or at once

my $lab = Distguard::Lab->new;
my ($guarded, $open, $stranger, $other) = map { $lab->host($_) } qw(guarded open stranger other);
plan skip_all => 'nothing is guarded without the library' if !$guarded->shim_env;

my @nodes = ($guarded->node('secret', long => 1, shim => 1), $open->node('secret', long => 1));
my $port   = node_port($open, 'secret');
my $others = $lab->pki('other')->certificate_of($stranger);
my $own    = $lab->temp_path('own');
$lab->must(qw(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=stranger),
    '-addext', 'subjectAltName=DNS:stranger', '-keyout', "$own.key", '-out', "$own.pem");

# A refusal is logged once a minute for each peer and reason: each client comes from an address of its own.
my @sources = $stranger->more_addresses(19);

# `client` asks the EPMD at an address and gives what it was told, as the stranger from its next address, or as `from` says.
sub is_refused {
    my ($client, $reason, $from) = @_;
    if (!defined $from) {
        $from = shift @sources // die 'no address left';
        $stranger->speak_from($from);
    }
    is($client->($guarded->ip), '', 'the guarded EPMD tells nothing');
    my @lines;
    wait_for(10, sub { @lines = $guarded->log(qr/event=refused peer=\Q$from\E:.* role=epmd/) });
    cmp_ok(scalar @lines, '>', 0, 'the log says who') or diag 'the whole log: ', $guarded->log;
    cmp_ok(scalar(grep { /$reason/ } @lines), '>', 0, 'and why') or diag @lines;
}

# The same, and as the control what the unguarded one tells it.
sub learns_nothing {
    my ($what, $control, $reason, $client) = @_;
    subtest $what => sub {
        like($client->($open->ip), $control, 'the unguarded EPMD tells it everything');
        is_refused($client, $reason);
    };
}

sub told { ask($stranger, @_)->{answer} }

learns_nothing('NAMES_REQ' => qr/name secret at port $port/, PLAINTEXT, sub { told($_[0], names_req) });

learns_nothing('PORT_PLEASE2_REQ' => qr/^w\0\Q${\pack 'n', $port}\E/, PLAINTEXT,
    sub { told($_[0], port_please('secret')) });

learns_nothing('PORT_PLEASE2_REQ of a node that is not there' => qr/^w\x01$/, PLAINTEXT,
    sub { told($_[0], port_please('nobody')) });

learns_nothing('net_adm:names of a node' => qr/"secret",$port/, PLAINTEXT, sub {
    return $stranger->must('erl', qw(-noinput -eval),
        qq(io:format("~0p", [net_adm:names("$_[0]")]), halt().)) =~ s/$NOTHING//r;
});

# It asks the host that it runs on, and nobody else; so another host's EPMD is brought there.
learns_nothing('epmd -names' => qr/name secret at port $port/, PLAINTEXT, sub {
    my $relay = $stranger->spawn($lab->root . '/tests/tools/stalling-relay', EPMD_PORT, $_[0], EPMD_PORT, EVERYTHING);
    wait_until('the relay listens', 10, sub { $relay->out =~ /listening/ });
    my $names = $stranger->run(qw(epmd -names))->out;
    $relay->stop;
    return join '', $names =~ /^name.*$/mg;
});

SKIP: {
    my $nmap = (grep { -x "$_/nmap" } split /:/, $ENV{PATH})[0] // skip 'no nmap here', 1;
    learns_nothing('nmap, with its script epmd-info' => qr/secret: $port/, PLAINTEXT, sub {
        my $out = $stranger->must("$nmap/nmap", qw(-n -Pn -sT -p), EPMD_PORT, qw(--script epmd-info), $_[0]);
        like($out, qr/^@{[EPMD_PORT]}\/tcp +open/m, 'the port is open');
        return join '', $out =~ /^\|.*$/mg;
    });
}

for my $request (names_req, port_please('secret'), '') {
    my $what = $request eq '' ? 'no request' : $request eq names_req ? 'NAMES_REQ' : 'PORT_PLEASE2_REQ';
    subtest "TLS without a certificate, $what" => sub {
        is_refused(sub { told($_[0], $request, tls => 1) }, qr/reason=.*certificate/);
    };
}

subtest 'TLS with a certificate of another authority' => sub {
    is_refused(sub { told($_[0], names_req, pair => $others) }, qr/reason=.*certificate/);
};

subtest 'TLS with a certificate that it signed itself' => sub {
    is_refused(sub { told($_[0], names_req, pair => $own) }, qr/reason=.*certificate/);
};

subtest 'a node guarded under another authority' => sub {
    $other->shim(pki => $lab->pki('other'));
    my $foreign = $other->node('foreign', long => 1, shim => 1);
    is_refused(sub { $foreign->call(qq(net_adm:names("$_[0]"))) =~ s/$NOTHING//r }, qr/unknown CA/, $other->ip);
    is($foreign->call("net_adm:ping('secret\@${\$guarded->ip}')"), 'pang', 'and it connects to nobody');
};

my %noise = (
    'zeros'                           => "\0" x 100,
    'an HTTP request'                 => "GET / HTTP/1.0\r\n\r\n",
    'a TLS record too large'          => "\x16\x03\x01\xff\xff" . 'x' x 4096,
    'a request behind half a record'  => "\x16\x03\x01" . names_req,
    'every request at once'           => join('', map { pack 'n/a*', $_ } qw(n d k ssecret zsecret)),
);
for my $what (sort keys %noise) {
    subtest $what => sub {
        is_refused(sub { told($_[0], $noise{$what}) =~ s/^\x15\x03[\0-\x03]\0\x02..$//sr }, qr/reason=/);
    };
}

# The programs of the host itself go on in plaintext.
like($guarded->must(qw(epmd -names)), qr/name secret at port \d+/, 'the host\'s own programs are told');

done_testing;
