#!/usr/bin/perl
# The profile of a node by itself, bind = "loopback": remote shells and calls work on the host and through a tunnel to its
# loopback, and from another host not one port more is open than without Erlang.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Node;
use Distguard::Lab::Reach qw(listeners node_port open_ports);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant { TUNNEL_PORT => 2222, ALL_PORTS => '1-65535', EPMD_PORT => 4369 };

my $lab = Distguard::Lab->new;
my ($alpha, $stranger) = map { $lab->host($_) } qw(alpha stranger);
$_->interface('eth1', 78) for $alpha, $stranger;
plan skip_all => 'all is open without the library' if !$alpha->shim_env;

subtest 'without the library' => sub {
    my $a = $alpha->node('a');
    my @open = open_ports($stranger, $alpha->ip, ALL_PORTS);
    is_deeply(\@open, [EPMD_PORT, node_port($alpha, 'a')], 'a port scan finds EPMD and the node');
    $a->kill;
    $alpha->stop_epmd;
};

$alpha->shim(conf => { distribution => { bind => 'loopback' } });
my $a = $alpha->node('a@localhost', shim => 1);
my $port = node_port($alpha, 'a');
my @cookie = ('-setcookie', Distguard::Lab::Node::COOKIE);

is_deeply([listeners($alpha)], [sort "127.0.0.1 $port", '127.0.0.1 4369', '::1 4369'], 'all listens on loopback');
is_deeply([open_ports($stranger, $_, ALL_PORTS)], [], "a port scan of $_ finds nothing") for $alpha->addresses;

# Evaluates in a remote shell of a@localhost; the sum shows that it did.
sub remote_shell {
    my ($host, $what, @args) = @_;
    pipe(my $keyboard, my $fingers) or die "pipe: $!";
    my $shell = $host->start_process(['script', '-qec', "erl -sname shell\@localhost -remsh a\@localhost @cookie @args", '/dev/null'],
        env => { TERM => 'vt100', $host->shim_env }, pipes => { 0 => $keyboard });
    my $prompt = wait_for(20, sub { $shell->out =~ /a\@localhost\)1>/ || !$shell->running });
    syswrite $fingers, qq(io:format("~w on ~s~n", [6*7, node()]).\n) if $prompt;
    ok(wait_for(10, sub { $shell->out =~ /42 on a\@localhost/ }), $what) or diag $shell->describe, $host->log;
    $shell->kill;
}

subtest 'on the host' => sub {
    remote_shell($alpha, 'a remote shell');
    my $b = $alpha->node('b@localhost', shim => 1);
    is($b->call('rpc:call(a@localhost, erlang, node, [])'), 'a@localhost', 'rpc:call');
    my $call = $alpha->run({ env => { $alpha->shim_env } }, qw(erl_call -sname a@localhost -timeout 5 -c),
        Distguard::Lab::Node::COOKIE, '-a', 'erlang node');
    like($call->out, qr/a\@localhost/, 'erl_call') or diag $call->describe;
    my $plain = $alpha->node('plain@localhost');
    is($plain->call('net_adm:ping(a@localhost)'), 'pong', 'a node of the same user without the library');
    $_->kill for $b, $plain;
};

# As sshd does for `ssh -L`: a process of the host, of the same user, that connects to its loopback for somebody who comes
# from elsewhere. The other end is on the stranger's loopback; `ssh` is what joins the two, which are here one relay each.
subtest 'through a tunnel' => sub {
    my @relay = ('perl', $lab->root . '/tests/tools/forwarder');
    for my $to (EPMD_PORT, $port) {
        my $there = $alpha->spawn(@relay, $alpha->ip, TUNNEL_PORT + $to, '127.0.0.1', $to);
        my $here = $stranger->spawn(@relay, '127.0.0.1', $to, $alpha->ip, TUNNEL_PORT + $to);
        wait_until('the tunnel is there', 10, sub { $there->out =~ /listening/ && $here->out =~ /listening/ });
    }
    my $plain = $stranger->start_node('c@localhost', args => [qw(-start_epmd false -dist_listen false)])->wait_up;
    is($plain->call('net_adm:ping(a@localhost)'), 'pong', 'a node of another host reaches it');
    is($plain->call('rpc:call(a@localhost, inet, gethostname, [])'), '{ok,"alpha"}', 'and calls it, there');
    $plain->kill;
};

done_testing;
