#!/usr/bin/perl
# Some of the suite of certificates (tests/certificates) with real nodes: shown by a client to a node, shown by a server
# that a node connects to, and as a node's own. The log says why, the other side gets an alert, the node is unharmed, and a
# node does not start with such a certificate.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Certificates qw(entries home);
use Distguard::Lab;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant { PORT => 9500, EXIT_REFUSED => 78 };

# What each is, stands in the list. The last is good, but not in peers, and a node may have it as its own.
my @CHOSEN = qw(expired code-signing revoked common-name-only dns-nul ca-as-leaf other-authority-unnamed spiffe-two several-names);
my %NOT_IN_PEERS = (name => 'several-names', reason => 'its certificate matches no entry of peers', alert => 'bad certificate');

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma) = map { $lab->host($_) } qw(alpha beta gamma);
plan skip_all => 'nothing is refused without the library' if !$alpha->shim_env;

# A peer's refusals for one reason are logged once a minute: each stranger has an address of its own.
my @strangers = $beta->more_addresses(2 * @CHOSEN);

my $suite = $lab->temp_path('suite');
$lab->must(home() . '/make', $suite);
my %entry = ((map { $_->{name} => $_ } entries()), 'several-names' => \%NOT_IN_PEERS);

# A policy whose node has this certificate. The CRL is that of the entry "revoked".
sub policy_with {
    my ($name) = @_;
    return {
        node_names   => 'off',
        peers        => [{ dns => 'node.example.org' }],
        distribution => { ports => [PORT] },
        tls => { certificate => "$suite/$name.pem", private_key => "$suite/$name.key", ca => "$suite/ca.pem",
            crl => "$suite/revoked.crls" },
    };
}

$_->shim(conf => policy_with('plain')) for $alpha, $gamma;
my @args = (qw(-start_epmd false -erl_epmd_port), PORT);
my ($a, $good) = map { $_->node($_->name . '@' . $_->ip, long => 1, shim => 1, explicit => 1, args => \@args) } $alpha, $gamma;

sub good_peer_joins {
    for my $pair ([$a, $good], [$good, $a]) {
        my ($from, $to) = @$pair;
        is($from->call('net_kernel:connect_node(' . $to->atom . ')'), 'true', "$from->{name} and $to->{name} join");
        $from->call('erlang:disconnect_node(' . $to->atom . ')');
        wait_until('they have parted', 10, sub { $a->call('nodes()') eq '[]' && $good->call('nodes()') eq '[]' });
    }
}

# A line of refusal with these words, about this peer.
sub logged {
    my ($peer, $direction, $entry) = @_;
    my $reason = "certificate of the peer refused: $entry->{reason}";
    my @lines;
    wait_for(10, sub { @lines = $alpha->log(qr/event=refused peer=\Q$peer\E:\d+ .*direction=$direction\b/) });
    like($lines[0] // '', qr/reason="\Q$reason\E/, 'the log says why') or diag $alpha->log;
    unlike("@lines", qr/[^\x20-\x7e\n]/, 'in characters that harm no terminal');
}

sub files_of { ('-cert', "$suite/$_[0].pem", '-key', "$suite/$_[0].key") }

sub told {
    my ($process, $entry) = @_;
    like($process->err, qr/alert \Q$entry->{alert}\E/i, "it is told: $entry->{alert}") or diag $process->describe;
}

sub as_client {
    my ($entry) = @_;
    my $address = shift @strangers;
    my $client = $beta->run({ timeout => 20 }, qw(openssl s_client -quiet -bind), $address, '-connect', $alpha->ip . ':' . PORT,
        files_of($entry->{name}));
    told($client, $entry);
    logged($address, 'in', $entry);
}

sub as_server {
    my ($entry) = @_;
    my $address = shift @strangers;
    my $server = $beta->spawn(qw(openssl s_server -www -naccept 1 -accept), "$address:${\PORT}", files_of($entry->{name}));
    wait_until('the server listens', 10, sub { $beta->must(qw(ss -Htln)) =~ /:${\PORT}\s/ });
    is($a->call("net_kernel:connect_node('bad\@$address')"), 'false', 'the node does not connect to it');
    ok($server->wait(10), 'it is hung up on') or $server->kill;
    told($server, $entry);
    logged($address, 'out', $entry);
}

sub as_own {
    my ($entry) = @_;
    my $conf = $gamma->shim(conf => policy_with($entry->{name}), file => $lab->temp_path('conf'));
    my $run = $gamma->run({ env => { $gamma->shim_env, DISTGUARD_CONF => $conf } }, qw(erl -noshell -eval halt(0).));
    if ($entry == \%NOT_IN_PEERS) {
        is($run->status, 0, 'a node starts with it') or diag $run->describe;
        return;
    }
    is($run->status, EXIT_REFUSED, 'no node starts with it') or diag $run->describe;
    like($run->err, qr/\Q$suite\/$entry->{name}.pem: \E.*\Q$entry->{reason}\E.*; /, 'and is told which, why, and what to do');
}

good_peer_joins();
for my $name (@CHOSEN) {
    subtest $name => sub {
        as_client($entry{$name});
        as_server($entry{$name});
        as_own($entry{$name});
        ok($a->alive, 'the node lives on');
    };
}
good_peer_joins();

done_testing;
