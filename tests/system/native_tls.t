#!/usr/bin/perl
# Nodes that speak OTP's own TLS distribution (-proto_dist inet_tls) and guarded ones are members of one cluster: either may
# connect to the other, and each turns away who has no business there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(start_epmd);
use Distguard::Lab::Native qw(EPMDLESS both_ways guarded joined mesh native part);
use Distguard::Lab::Wait qw(wait_for);
use JSON::PP qw(decode_json);
use Test::More;

use constant TICK_TIME => 4;

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma) = map { $lab->host($_) } qw(alpha beta gamma);

subtest 'control: two native nodes' => sub {
    my @nodes = map { native($_) } $alpha, $beta;
    joined(@nodes);
    $_->kill for @nodes;
};

plan skip_all => 'without the library, plaintext and TLS do not understand each other' if !$alpha->shim_env;

subtest 'a native node and a guarded one' => sub {
    my @nodes = (native($alpha), guarded($beta));
    both_ways(@nodes);
    $_->kill for @nodes;
};

subtest 'a mesh of guarded, native, guarded' => sub {
    my @nodes = (guarded($alpha), native($beta), guarded($gamma));
    mesh(@nodes[0, 2, 1]);
    $nodes[1]->kill;
    is($_->call("Wait = fun Wait(0) -> nodes(); Wait(N) -> case length(nodes()) of 1 -> 1; _ -> timer:sleep(50), Wait(N - 1) end end,
        Wait(200)"), 1, $_->name . ' notices that the native one is gone') for @nodes[0, 2];
    $_->kill for @nodes[0, 2];
};

# With the library a native node's distribution is left to OTP, while its EPMD, and what it asks others', is guarded.
subtest 'they find each other by EPMD, where native nodes have the library, too' => sub {
    my @nodes = (guarded($alpha, args => []), native($beta, shim => 1, args => []), native($gamma, shim => 1, args => []));
    for my $pair ([0, 1], [1, 0], [1, 2]) {
        my ($from, $to) = @nodes[@$pair];
        joined($from, $to);
        part($from, $to);
    }
    mesh(@nodes);
    $_->stop for @nodes;
    $_->stop_epmd for $alpha, $beta, $gamma;
};

subtest 'where EPMD is not guarded, native nodes find guarded ones, and those are not to believe it' => sub {
    start_epmd($_) for $alpha, $beta;
    my ($native, $guarded) = (native($alpha, args => []), guarded($beta, args => []));
    is($native->call('net_kernel:connect_node(' . $guarded->atom . ')'), 'true', 'the native one connects');
    part($native, $guarded);
    is($guarded->call('net_kernel:connect_node(' . $native->atom . ')'), 'false', 'the guarded one asks no EPMD without TLS');
    $_->stop for $native, $guarded;
    $_->stop_epmd for $alpha, $beta;
};

# 100 MB either way with a new key for every megabyte, asked for by one of them.
for my $case (
    ['the native one', { more => '{key_update_at, 1000000}' }, {}],
    ['the guarded one', {}, { rekey_bytes => 1_000_000 }],
) {
    my ($who, $native_has, $tls) = @$case;
    subtest "keys change all the while, as $who wants" => sub {
        my $conf = $beta->shim(conf => { tls => $tls }, file => $lab->temp_path('conf'));
        my ($native, $guarded) = (native($alpha, native => $native_has), guarded($beta, env => { DISTGUARD_CONF => $conf }));
        is($native->call('net_kernel:connect_node(' . $guarded->atom . ')'), 'true', 'joined');
        is($guarded->call('dg_lab_traffic:there_and_back(' . $native->atom . ', 100)', 180), '{true,true}', 'all of it arrives');
        my $status = $beta->run($lab->tool, 'status', '--json', $guarded->pid)->out;
        my $changes = decode_json($status)->{processes}[0]{totals}{key_updates};
        cmp_ok($changes, '>=', 90, 'with keys that changed') or diag $status;
        is($native->call('nodes()'), '[' . $guarded->atom . ']', 'and the connection is still there');
        $_->kill for $native, $guarded;
    };
}

subtest 'an idle connection stays up, a silent node is given up' => sub {
    my @tick = (args => [EPMDLESS, qw(-kernel net_ticktime), TICK_TIME]);
    my ($native, $guarded) = (native($alpha, @tick), guarded($beta, @tick));
    is($native->call('net_kernel:connect_node(' . $guarded->atom . ')'), 'true', 'joined');
    is($guarded->call('monitor_node(' . $native->atom . ', true),
        receive {nodedown, Node} -> {down, Node} after ' . 2500 * TICK_TIME . ' -> up end'), 'up',
        'for two and a half tick times');
    kill STOP => $guarded->pid;
    is($native->call('monitor_node(' . $guarded->atom . ', true), receive {nodedown, Node} -> down after ' . 3000 * TICK_TIME
        . ' -> up end'), 'down', 'within the tick time');
    $_->kill for $native, $guarded;
};

# A connection from either to the other that comes to nothing, and why, as the guarded one's log has it.
sub refused {
    my ($native, $guarded, %reason) = @_;
    for my $direction ([in => $native, $guarded], [out => $guarded, $native]) {
        my ($which, $from, $to) = @$direction;
        next if !$reason{$which};
        unlink $guarded->host->log_file;
        is($from->call('net_kernel:connect_node(' . $to->atom . ')'), 'false', $from->name . ' does not get in');
        ok(wait_for(5, sub { $guarded->host->log(qr/event=refused .*direction=$which .*$reason{$which}/) }),
            'and the log says why') or diag "looked for $reason{$which} in\n", $guarded->host->log;
    }
    $_->kill for $native, $guarded;
}

subtest 'a native node of another authority' => sub {
    refused(native($alpha, native => { pki => $lab->pki('other') }), guarded($beta),
        in => qr/certificate|unknown ca|alert/i, out => qr/certificate/);
};

subtest 'a native node that shows no certificate' => sub {
    refused(native($alpha, native => { anonymous => 1 }), guarded($beta), in => qr/certificate/);
};

subtest 'a native node that takes the name of another host' => sub {
    refused(native($alpha, at => 'gamma.lab'), guarded($beta), in => qr/gamma\.lab/);
};

subtest 'a native node that speaks TLS 1.2 alone' => sub {
    refused(native($alpha, native => { versions => ['tlsv1.2'] }), guarded($beta), in => qr/version|protocol/i,
        out => qr/version|protocol/i);
};

subtest 'the same, where the policy allows TLS 1.2' => sub {
    my $conf = $beta->shim(conf => { tls => { min_version => \'"1.2"' } }, file => $lab->temp_path('conf'));
    my @nodes = (native($alpha, native => { versions => ['tlsv1.2'] }), guarded($beta, env => { DISTGUARD_CONF => $conf }));
    both_ways(@nodes);
    $_->kill for @nodes;
};

done_testing;
