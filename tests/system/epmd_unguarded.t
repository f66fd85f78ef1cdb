#!/usr/bin/perl
# A guarded node and the EPMD of a host that is not guarded: no request leaves in plaintext, nothing that it would tell is
# believed, the node soon knows that there is nothing to be had, and the log says why.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Capture;
use Distguard::Lab::Epmd qw(EPMD_PORT ask names_req);
use Distguard::Lab::Wait qw(wait_for);
use Test::More;
use Time::HiRes qw(time);

use constant {
    SETUP_TIME => 3,    # seconds, net_kernel's, which has 7 of its own
    SLOWLY     => 3,    # more, on a machine that has other work
};

my $lab = Distguard::Lab->new;
my ($alpha, $open, $silent, $foreign) = map { $lab->host($_) } qw(alpha open silent foreign);
plan skip_all => 'everybody is asked without the library' if !$alpha->shim_env;

$foreign->shim(pki => $lab->pki('other'));
my @others = ($open->node('secret', long => 1), $foreign->node('secret', long => 1, shim => 1));
like(ask($alpha, $open->ip, names_req)->{answer}, qr/name secret at port/, 'control: it would tell');

# Takes connections on EPMD's port and says nothing.
my $tarpit = $silent->spawn(qw(perl -MIO::Socket::IP -e), 'my $l = IO::Socket::IP->new(LocalHost => "0.0.0.0",
    LocalPort => 4369, Listen => 9) or die $@; my @held; push @held, scalar $l->accept while 1');
wait_for(10, sub { $silent->must(qw(ss -Htln)) =~ /:4369\b/ }) or die $tarpit->describe;

# The answers of a node that cannot ask depend on when it notices.
my %question = (
    'the port of a node' => ['erl_epmd:port_please("secret", {%s})', qr/^(noport|closed)$/],
    'all names'          => ['net_adm:names({%s})',                  qr/^\{ok,\[\]\}$|^\{error,\w+\}$/],
    'a connection'       => ["net_adm:ping('secret\@%s')",           qr/^pang$/],
);

# A node each, as a node's log has a refusal once a minute for each peer and reason.
my %node;
$node{$_} = $alpha->node('a' . keys %node, long => 1, shim => 1, args => ['-kernel', 'net_setuptime', SETUP_TIME])
    for sort keys %question;

sub learns_nothing {
    my ($host, $question, $reason) = @_;
    my ($call, $wanted) = @{ $question{$question} };
    my $before = () = $alpha->log(qr/event=refused/);
    my $start  = time;
    my $answer = $node{$question}->call(sprintf $call, $call =~ /ping/ ? $host->ip : $host->ip =~ tr/./,/r);
    my $took   = time - $start;
    like($answer, $wanted, "$question: the node learns nothing");
    cmp_ok($took, '<', SETUP_TIME + SLOWLY, sprintf '%s: and that within the setup time: %.2f s', $question, $took);
    my @new;
    wait_for(5, sub { @new = $alpha->log(qr/event=refused/); splice @new, 0, $before; @new });
    like($new[0] // '', qr/peer=\Q${\$host->ip}\E:4369 role=epmd direction=out reason=.*$reason/,
        "$question: the log says why") or diag $alpha->log;
}

# Without the library, too, a node waits for a silent EPMD as long as it takes; but for a connection it has a limit.
for (
    ['an EPMD that is not guarded'              => $open,    qr/closed the connection/, sort keys %question],
    ['one that is guarded by another authority' => $foreign, qr/certificate/,           sort keys %question],
    ['one that says nothing'                    => $silent,  qr/not finished/,          'a connection'],
) {
    my ($what, $host, $reason, @questions) = @$_;
    subtest $what => sub {
        my $capture = $alpha->capture;
        learns_nothing($host, $_, $reason) for @questions;
        my @sent = grep { $_->{to} eq $host->ip . ' ' . EPMD_PORT } $capture->stop;
        is(scalar @sent, scalar @questions, 'connections on the wire, one for each question');
        is(scalar(grep { defined Distguard::Lab::Capture::not_tls($_->{bytes}) } @sent), 0, 'nothing but TLS was sent');
        is(scalar(grep { $_->{bytes} =~ /secret/ } @sent), 0, 'and no name in it');
    };
}

done_testing;
