#!/usr/bin/perl
# Each kind of `bind`: where a node's listener and epmd are then, as the kernel tells and as another host finds out, for
# nodes that ask for an IPv4, an IPv6 and a dual-stack wildcard. The host is on two networks, of which one is designated.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners node_port reached);
use Test::More;

use constant EPMD_PORT => 4369;

my $lab = Distguard::Lab->new;
my ($alpha, $stranger) = map { $lab->host($_) } qw(alpha stranger);
my ($b4, $b6) = $alpha->interface('eth1', 78);
$stranger->interface('eth1', 78);
my ($a4, $a6) = ($alpha->ip, $alpha->ip6);
plan skip_all => 'nothing is bound elsewhere without the library' if !$alpha->shim_env;

my %args = (
    ipv4 => [],
    ipv6 => [qw(-proto_dist inet6_tcp -kernel inet_dist_listen_options), '[{ipv6_v6only,true}]'],
    dual => [qw(-proto_dist inet6_tcp)],
);

my @loopback = qw(127.0.0.1 ::1);

# Each: bind; where the nodes' listeners are, undef where there is to be none; where epmd's are.
my @cases = (
    [undef,              { ipv4 => '0.0.0.0',   ipv6 => '::',  dual => '*' },          [qw(0.0.0.0 ::)]],
    ['any',              { ipv4 => '0.0.0.0',   ipv6 => '::',  dual => '*' },          [qw(0.0.0.0 ::)]],
    ['loopback',         { ipv4 => '127.0.0.1', ipv6 => '::1', dual => '::1' },        [@loopback]],
    ['interface:eth1',   { ipv4 => $b4,         ipv6 => $b6,   dual => $b6 },          [@loopback, $b4, $b6]],
    [$b4,                { ipv4 => $b4,         ipv6 => undef, dual => "::ffff:$b4" }, [@loopback, $b4]],
    [$b6,                { ipv4 => undef,       ipv6 => $b6,   dual => $b6 },          [@loopback, $b6]],
    ['10.78.0.0/16',     { ipv4 => $b4,         ipv6 => undef, dual => "::ffff:$b4" }, [@loopback, $b4]],
    ['fd78::/16',        { ipv4 => undef,       ipv6 => $b6,   dual => $b6 },          [@loopback, $b6]],
    [[$b4, 'fd78::/16'], { ipv4 => $b4,         ipv6 => $b6,   dual => $b6 },          [@loopback, $b4, $b6]],
);

# What of the host another one can connect to, where something listens at this address.
sub outside {
    my ($listens_at) = @_;
    my %reached = (
        '0.0.0.0' => [$a4, $b4],
        '::'      => [$a6, $b6],
        '*'       => [$a4, $a6, $b4, $b6],
        map { ($_ => []) } @loopback,
    );
    return @{ $reached{$listens_at} // [$listens_at =~ s/^::ffff://r] };
}

sub sorted { join ' ', sort @_ }

sub epmd_is_right {
    my ($at) = @_;
    is(sorted(listeners($alpha, 'epmd')), sorted(map {"$_ ${\EPMD_PORT}"} @$at), 'epmd, on the host');
    is(sorted(reached($stranger, $alpha, EPMD_PORT)), sorted(map { outside($_) } @$at), 'epmd, from another host');
}

sub node_is_right {
    my ($node, $kind, $at) = @_;
    my $port = node_port($alpha, $kind);
    is_deeply([listeners($alpha, $node->pid)], ["$at $port"], "the $kind node, on the host");
    is(sorted(reached($stranger, $alpha, $port)), sorted(outside($at)), "the $kind node, from another host");
}

sub node_is_refused {
    my ($node, $kind) = @_;
    my $process = $node->process;
    ok($process->wait(20), "the $kind node does not start") or return;
    isnt($process->status, 0, 'and says so');
    my $family = $kind eq 'ipv4' ? 'IPv4' : 'IPv6';
    like($process->err, qr/distguard.*the policy designates no $family address/, 'and why') or diag $process->describe;
}

for my $case (@cases) {
    my ($bind, $nodes, $epmd) = @$case;
    my $what = !defined $bind ? 'without the library' : 'bind = ' . (ref $bind ? "[ @$bind ]" : $bind);
    subtest $what => sub {
        $alpha->shim(conf => { distribution => { bind => $bind, connect_from => 'interface:eth1' } }) if defined $bind;
        my %node = map { $_ => $alpha->start_node($_, shim => defined $bind, args => $args{$_}) } sort keys %args;
        $node{$_}->wait_up for grep { defined $nodes->{$_} } sort keys %node;
        for my $kind (sort keys %node) {
            defined $nodes->{$kind} ? node_is_right($node{$kind}, $kind, $nodes->{$kind})
                                    : node_is_refused($node{$kind}, $kind);
        }
        epmd_is_right($epmd);
        $_->kill for values %node;
        $alpha->stop_epmd;
    };
}

done_testing;
