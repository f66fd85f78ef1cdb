#!/usr/bin/perl
# Two guarded hosts find each other by EPMD as before, however it was started and on whichever port: lookup by name, the
# names of another host, connecting by name, erl_call by name. On the wire there is nothing but TLS.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Capture;
use Distguard::Lab::Epmd qw(EPMD_PORT epmd_pid median start_epmd start_epmd_daemon);
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

use constant {
    ODD_PORT => 7369,
    TIMES    => 20,
    PROMPT   => 2000,   # milliseconds beyond ten lookups: a lost end of stream would cost more seconds than that
    PLAIN    => $ENV{DISTGUARD_LAB_PLAIN},
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);

# The lookups of alpha's node at beta's EPMD.
sub find_each_other {
    my ($from, $to, $family) = @_;
    my ($port) = $to->call('erl_epmd:port_please("b", "localhost")') =~ /^\{port,(\d+),/ or die 'no port';
    my $address = $from->call(qq(element(2, inet:getaddr("beta", $family))));
    is($from->call(qq(element(2, erl_epmd:port_please("b", $address)))), $port, 'lookup by name');
    is($from->call(qq(erl_epmd:port_please("nobody", $address))), 'noport', 'of a node that is not there');
    is($from->call(qq(erl_epmd:names($address))), qq({ok,[{"b",$port}]}), 'the names of the other host');
    is($from->call('net_adm:ping(' . $to->atom . ')'), 'pong', 'connecting by name');
    is($to->call('erpc:call(' . $from->atom . ', erlang, length, [[x]])'), 1, 'and back');

    # A VM waits for the end of the stream behind the answer, without a limit.
    my @times = sort { $a <=> $b } map { $_ / 1000 } $from->call(
        qq([element(1, timer:tc(erl_epmd, port_please, ["b", $address])) || _ <- lists:seq(1, ${\TIMES})])) =~ /\d+/g;
    cmp_ok($times[-1], '<', PROMPT + 10 * median(@times), sprintf '%d lookups return promptly (median %.1f ms)', scalar @times, median(@times));
}

sub erl_call_finds {
    my ($name, $port) = @_;
    my $call = $alpha->run({ env => { $alpha->shim_env, ERL_EPMD_PORT => $port } }, qw(erl_call -c lab -name), $name,
        '-a', 'erlang node');
    like($call->out, qr/^'?\Q$name\E'?$/, 'erl_call by name') or diag $call->describe;
}

sub on_the_wire {
    my ($capture, $port) = @_;
    my @streams = grep { "$_->{from} $_->{to}" =~ / $port\b/ && $_->{from} !~ /^(127\.|0000:)/ && length $_->{bytes} }
        $capture->stop;
    cmp_ok(scalar @streams, '>=', 2 * TIMES, "${\scalar @streams} streams of EPMD on the wire");
    is(join(', ', grep { defined } map { Distguard::Lab::Capture::not_tls($_->{bytes}) } @streams), '',
        'all of TLS records') if !PLAIN;
}

sub end_epmd {
    my ($host) = @_;
    kill 'KILL', epmd_pid($host);
    wait_until('epmd is gone', 10, sub { $host->must(qw(ss -Htlnp)) !~ /"epmd"/ });
}

# A way to have an EPMD: `start` does it on a host, or leaves it to the node. Options: port of EPMD; args and env of the
# nodes; family.
sub way {
    my ($what, $start, %option) = @_;
    subtest $what => sub {
        $start->($_) for $alpha, $beta;
        my $capture = $beta->capture;
        my $port    = $option{port} // EPMD_PORT;
        my %common  = (shim => 1, args => $option{args}, env => $option{env});
        my @nodes   = ($alpha->node("a\@alpha.lab", long => 1, %common), $beta->node("b\@beta.lab", long => 1, %common));
        find_each_other(@nodes, $option{family} // 'inet');
        erl_call_finds($nodes[1]->name, $port) if !$option{family};    # it knows IPv4 alone
        on_the_wire($capture, $port);
        $_->kill for @nodes;
        end_epmd($_) for $alpha, $beta;
    };
}

way('started by the node' => sub { });

way('started by hand' => sub { start_epmd_daemon($_[0], shim => 1) });

my $activate = $lab->root . '/tests/tools/socket-activate';
way('socket activation, a listener for both families' => sub {
    start_epmd($_[0], shim => 1, as => [$activate, '::', EPMD_PORT, '--'], args => ['-systemd']);
});
way('socket activation, a listener for each family' => sub {
    start_epmd($_[0], shim => 1, as => [$activate, '0.0.0.0', EPMD_PORT, '::only', EPMD_PORT, '--'], args => ['-systemd']);
});

way("ERL_EPMD_PORT=${\ODD_PORT}" => sub { }, port => ODD_PORT, env => { ERL_EPMD_PORT => ODD_PORT });

way("-epmd_port ${\ODD_PORT}" => sub { start_epmd($_[0], shim => 1, port => ODD_PORT, args => ['-port', ODD_PORT]) },
    port => ODD_PORT, args => [qw(-start_epmd false -epmd_port), ODD_PORT]);

way('nodes of inet6_tcp' => sub { }, family => 'inet6', args => [qw(-proto_dist inet6_tcp)]);

done_testing;
