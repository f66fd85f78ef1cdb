#!/usr/bin/perl
# New keys, thousands of times, while much data goes both ways: between two guarded nodes, and between a guarded one and one
# that speaks OTP's own TLS. DISTGUARD_LONG_TESTS=1 sends ten times as much.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Native qw(guarded native);
use Distguard::Lab::Wait qw(wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant {
    REKEY_BYTES => 65536,    # the least that a policy may have
    MEGABYTES => $ENV{DISTGUARD_LONG_TESTS} ? 1500 : 150,
    NATIVE_MEGABYTES => $ENV{DISTGUARD_LONG_TESTS} ? 300 : 40,
    LONG => 300,
};
use constant PER_MEGABYTE => (1 << 20) / REKEY_BYTES;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
plan skip_all => 'nobody rekeys without the library' if !$alpha->shim_env;
$_->shim(conf => { tls => { rekey_bytes => REKEY_BYTES } }) for $alpha, $beta;

subtest 'two guarded nodes' => sub {
    my ($a, $b) = (guarded($alpha), guarded($beta));
    joined($a, $b);
    pours_both_ways($a, $b, MEGABYTES);
    cmp_ok(key_updates($_), '>=', 2 * MEGABYTES * PER_MEGABYTE, key_updates($_) . ' KeyUpdates, as ' . $_->name . ' counts them')
        for $a, $b;
    is_deeply([mixes($a, $b)], [('[same_hash,same_hash,same_hash,ordered]') x 2],
        'large messages with small ones between their fragments, both ways');
    blocked_while_keys_change($a, $b);
    still_one_connection($a, $b);
    $_->kill for $a, $b;
};

subtest 'a guarded node and a native one that rekeys seldom' => sub {
    with_native(PER_MEGABYTE, native($beta));
};

# Each of its KeyUpdates asks for one of ours, which is sent although we have changed our keys just before.
subtest 'a guarded node and a native one that rekeys as often' => sub {
    with_native(2 * PER_MEGABYTE, native($beta, native => { more => "{key_update_at, ${\REKEY_BYTES}}" }));
};

done_testing;

sub with_native {
    my ($per_megabyte, $b) = @_;
    my $a = guarded($alpha);
    for my $pair ([$a, $b], [$b, $a]) {
        joined(@$pair);
        pours_both_ways($a, $b, NATIVE_MEGABYTES);
        cmp_ok(key_updates($a), '>=', NATIVE_MEGABYTES * $per_megabyte, key_updates($a) . ' KeyUpdates');
        still_one_connection($a, $b);
        parted($a, $b);
    }
    $_->kill for $a, $b;
}

# --- loads ---

# The same on both nodes at once; the answers.
sub both {
    my ($one, $other, $function, @arguments) = @_;
    my @running = map {
        my ($node, $to) = @$_;
        [$node, $node->begin("dg_lab_traffic:$function(" . join(', ', $to->atom, @arguments) . ')')];
    } [$one, $other], [$other, $one];
    return map { $_->[0]->result($_->[1], LONG) } @running;
}

sub mixes { both(@_, 'mixture', 12) }

sub pours_both_ways {
    my ($one, $other, $megabytes) = @_;
    is_deeply([both($one, $other, 'fill', $megabytes, 1 << 20)], ['same_hash', 'same_hash'],
        "$megabytes MB each way at once arrive as they were sent");
}

# One node sends until the kernels are full, so that keys have to change while its writes are blocked.
sub blocked_while_keys_change {
    my ($one, $other) = @_;
    my $running = $one->begin("dg_lab_traffic:fill_when_told(${\$other->atom}, 64, 1000000)");
    wait_until('the sender is ready', 10, sub { $one->call('whereis(filler)') ne 'undefined' });
    kill STOP => $other->pid;
    $one->call('filler ! go');
    cmp_ok($one->host->wait_stuck, '>', 0, 'what is sent is stuck');
    kill CONT => $other->pid;
    my $back = $other->begin("dg_lab_traffic:fill(${\$one->atom}, 16, 1000000)");
    is($one->result($running, LONG), 'same_hash', 'what was stuck arrives, under many keys');
    is($other->result($back, LONG), 'same_hash', 'and so does what went against it');
}

# --- the connection ---

sub joined {
    my ($from, $to) = @_;
    is($from->call("net_kernel:connect_node(${\$to->atom})"), 'true', $from->name . ' connects to ' . $to->name)
        or diag $alpha->log;
    $_->[0]->call("erpc:call(node(), fun() ->
        register(watcher, spawn(fun() -> monitor_node(${\$_->[1]->atom}, true), receive stop -> ok end end)) end)")
        for [$from, $to], [$to, $from];
}

# The watchers have been told of no end.
sub still_one_connection {
    my ($one, $other) = @_;
    for my $node ($one, $other) {
        is($node->call('{_, Told} = process_info(whereis(watcher), messages), exit(whereis(watcher), kill), Told'), '[]',
            $node->name . ' has never been without the connection') or diag $node->host->log;
    }
}

sub parted {
    my ($one, $other) = @_;
    $one->call("erlang:disconnect_node(${\$other->atom})");
    wait_until('both are rid of each other', 10, sub { !grep { $_->call('length(nodes())') } $one, $other });
}

# Of both sides, on the one connection of a guarded node.
sub key_updates {
    my ($node) = @_;
    my $run = $node->host->run($lab->tool, qw(status --json), $node->pid);
    my $answer = eval { decode_json($run->out) } // die $run->describe;
    my @connections = grep { $_->{role} eq 'distribution' } @{ $answer->{processes}[0]{connections} };
    die $run->out if @connections != 1;
    return $connections[0]{key_updates};
}
