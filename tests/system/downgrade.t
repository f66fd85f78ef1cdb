#!/usr/bin/perl
# An active man in the middle between two nodes and their EPMDs: who strips TLS, answers in its place, forges, repeats,
# leaves out or cuts off, gets a connection that is refused or broken, never one that he can read or steer. In prefer as in
# require a node says nothing in plaintext, not after any number of failures either.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(EPMD_PORT);
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant {
    NODE_PORT  => 9500,
    SETUP_TIME => 3,
    CALLS      => 20,
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $mallory) = map { $lab->host($_) } qw(alpha beta mallory);
plan skip_all => 'without the library he succeeds' if !$alpha->shim_env;

# On alpha the name of beta leads to him.
my $poisoned = $lab->temp_path('hosts');
open(my $hosts, '>', $poisoned) or die "$poisoned: $!";
print {$hosts} "127.0.0.1 localhost\n${\$alpha->ip} alpha.lab alpha\n${\$mallory->ip} beta.lab beta\n";
close $hosts;
$alpha->must('mount', '--bind', $poisoned, '/etc/hosts');

my @args = (qw(-kernel net_setuptime), SETUP_TIME);
my $b = $beta->node('b@beta.lab', long => 1, shim => 1, explicit => 1,
    args => [@args, qw(-kernel inet_dist_listen_min), NODE_PORT, qw(-kernel inet_dist_listen_max), NODE_PORT]);
my $B = $b->atom;

my %log = map { $_ => $alpha->dir . "/$_.log" } qw(prefer require);
my %a = map {
    my $conf = $alpha->shim(conf => { mode => $_, log => { target => $log{$_} } }, file => $alpha->dir . "/$_.conf");
    $_ => $alpha->node("$_\@alpha.lab", long => 1, shim => 1, explicit => 1, args => \@args, env => { DISTGUARD_CONF => $conf });
} qw(prefer require);

sub log_has {
    my ($mode, $pattern) = @_;
    return wait_for(5, sub { Distguard::Lab::Process::slurp($log{$mode}) =~ $pattern });
}

# --- the man in the middle ---

my @men;

sub man_between {
    my ($port, @how) = @_;
    my $man = $mallory->spawn($lab->root . '/tests/tools/interceptor', $port, $beta->ip, $port, @how);
    wait_until('he listens', 10, sub { die $man->describe if !$man->running; $man->out =~ /listening/ });
    push @men, $man;
    return $man;
}

sub send_away { $_->kill for splice @men }

# What comes of a connection, and of calls through it as long as there is one.
my $try = <<"END";
    Call = fun Call(N) when N > @{[CALLS]} -> whole;
               Call(N) -> try erpc:call($B, erlang, '+', [N, 1], 2000) of
                              M when M =:= N + 1 -> Call(N + 1);
                              Other -> {wrong, Other}
                          catch error:{erpc, _} -> broken end
           end,
    Outcome = case net_kernel:connect_node($B) of true -> Call(1); false -> refused end,
    erlang:disconnect_node($B),
    Outcome
END

sub outcomes {
    my %request = map { $_ => $a{$_}->begin($try) } keys %a;
    my %outcome = map { $_ => $a{$_}->result($request{$_}) } keys %a;
    wait_until('b is rid of all', 10, sub { $b->call('nodes()') eq '[]' });
    return %outcome;
}

# One attack on distribution, or on EPMD, on both nodes at once.
sub attack {
    my ($what, $expected, $port, @how) = @_;
    my $other = $port == EPMD_PORT ? NODE_PORT : EPMD_PORT;
    my $man   = man_between($port, @how);
    my $idle  = man_between($other, 'pass');
    my %outcome = outcomes();
    for my $mode (sort keys %outcome) {
        like($outcome{$mode}, $expected, "$mode: $what") or diag $man->describe, Distguard::Lab::Process::slurp($log{$mode});
    }
    my $attacked = () = $man->out =~ /^attacked$/mg;
    cmp_ok($attacked, '>=', 2, "$what: he has done it") if $how[0] !~ /pass|keep|split/;
    send_away();
}

subtest 'control: a node without the library tells him who it is' => sub {
    my $capture = $alpha->capture;
    my $plain   = $alpha->node('plain@alpha.lab', long => 1, explicit => 1, args => \@args);
    man_between(EPMD_PORT, 'plaintext', 'b@beta.lab', NODE_PORT);
    man_between(NODE_PORT, 'plaintext', 'b@beta.lab', NODE_PORT);
    is($plain->call("net_kernel:connect_node($B)"), 'false', 'he does not know the cookie');
    ok(scalar(grep { $_->{bytes} =~ /plain\@alpha\.lab/ } $capture->stop), 'but its name, which a capture shows');
    send_away();
    $plain->stop;
};

my $capture  = $alpha->capture;
my $recorded = $lab->temp_path('stream');
my $stream;

subtest 'as long as he only passes on, the nodes meet' => sub {
    attack('passed on', qr/^whole$/, NODE_PORT, 'pass');
    attack('passed on byte by byte', qr/^whole$/, $_, 'split') for NODE_PORT, EPMD_PORT;
};

subtest 'what one node has said, kept' => sub {
    attack('passed on and kept', qr/^whole$/, NODE_PORT, 'keep', $recorded);
    ($stream) = map { Distguard::Lab::Process::slurp($_) } glob "$recorded.*";
    cmp_ok(length $stream, '>', 1000, 'he has it');
};

my $other_ca = $lab->pki('other')->issue('beta-of-another', '--dns', 'beta.lab', '--dns', 'beta');
my $his_own  = $lab->pki->certificate_of($mallory);
for ([distribution => NODE_PORT], [EPMD => EPMD_PORT]) {
    my ($what, $port) = @$_;
    subtest "$what: he speaks in the other's place" => sub {
        attack('TLS is hung up on',                   qr/^refused$/, $port, 'strip');
        attack('TLS is answered by an alert',         qr/^refused$/, $port, 'alert');
        attack('TLS is answered in plaintext',        qr/^refused$/, $port, 'plaintext', 'b@beta.lab', NODE_PORT);
        attack('by a certificate of another CA',      qr/^refused$/, $port, 'impostor', 'b@beta.lab', $other_ca);
    };
}
subtest 'distribution: he is a member of the cluster himself, and says he is another' => sub {
    attack('by his own certificate', qr/^refused$/, NODE_PORT, 'impostor', 'b@beta.lab', $his_own);
};

# 1 is the hello; up to 3 or so the certificates; then comes the distribution handshake, then the calls.
for my $kind (qw(flip replay drop inject truncate)) {
    for my $side (qw(client server)) {
        subtest "$kind a record of the $side" => sub {
            attack("record $_", $_ > 10 ? qr/^broken$/ : qr/^(refused|broken)$/, NODE_PORT, $kind, $side, $_) for 1, 2, 4, 12;
            attack('of EPMD, record 2', qr/^(refused|broken)$/, EPMD_PORT, $kind, $side, 2) if $kind ne 'drop';
        };
    }
}

subtest 'what was kept is said again to the node it was meant for' => sub {
    my $admitted = () = $beta->log(qr/event=admitted .*role=distribution/);
    my $client = $mallory->start_process(['perl', '-MIO::Socket::INET', '-e', <<'    END', $beta->ip, NODE_PORT], input => $stream);
        my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die $@;
        local $/;
        $SIG{PIPE} = 'IGNORE';
        syswrite $socket, <STDIN>;
        1 while sysread $socket, my $answer, 4096;
        print "end\n";
    END
    ok($client->wait(10), 'he is hung up on') or diag $client->describe;
    is(scalar(() = $beta->log(qr/event=admitted .*role=distribution/)), $admitted, 'nobody was admitted');
    is($b->call('nodes()'), '[]', 'nobody joined');
};

subtest 'after all of that the nodes meet' => sub {
    attack('passed on', qr/^whole$/, NODE_PORT, 'pass');
};

subtest 'the logs say why' => sub {
    for my $mode (sort keys %a) {
        my %why = (
            'hung up'         => qr/event=refused .*role=distribution direction=out reason="peer does not answer TLS/,
            'alert'           => qr/event=refused .*peer refused with alert: protocol version/,
            'plaintext'       => qr/event=refused .*(what is no TLS record|wrong version|does not answer TLS)/,
            'another CA'      => qr/event=refused .*certificate of the peer refused: unable to get/,
            'another name'    => qr/event=refused .*node=b\@beta\.lab .*certificate="?DNS:mallory/,
            'a record forged' => qr/event=broken .*reason="[^"]*record/,
            'cut off'         => qr/event=broken .*truncated/,
        );
        ok(log_has($mode, $why{$_}), "$mode: $_") or diag Distguard::Lab::Process::slurp($log{$mode}) for sort keys %why;
    }
};

subtest 'no node has said anything in plaintext' => sub {
    my @sent = grep { $_->{from} =~ /^\Q${\$alpha->ip}\E / && $_->{to} =~ / (?:${\NODE_PORT}|${\EPMD_PORT})$/ && length $_->{bytes} }
        $capture->stop;
    cmp_ok(scalar @sent, '>=', 100, scalar(@sent) . ' connections were seen');
    my @plain = grep { defined Distguard::Lab::Capture::not_tls($_->{bytes}) } @sent;
    is(scalar @plain, 0, 'all are TLS records and nothing else') or diag map { unpack('H*', $_->{bytes}) . "\n" } @plain;
    is(scalar(grep { $_->{bytes} =~ /\@alpha|\@beta/ } @sent), 0, 'with no name in them');
};

done_testing;
