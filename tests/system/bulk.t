#!/usr/bin/perl
# Much data, many messages, both ways at once: all of it arrives, unchanged and in order.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

use constant LONG => 180;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my $a = $alpha->node('a', long => 1, shim => 1);
my $b = $beta->node('b', long => 1, shim => 1);
my ($A, $B) = ($a->atom, $b->atom);
is($a->call("net_adm:ping($B)"), 'pong', 'the nodes join');

# The same on both nodes at once; the answers.
sub both {
    my ($function, @arguments) = @_;
    my $arguments = join ', ', @arguments;
    my @running = ([$a, $a->begin("dg_lab_traffic:$function($B, $arguments)")],
        [$b, $b->begin("dg_lab_traffic:$function($A, $arguments)")]);
    return map { $_->[0]->result($_->[1], LONG) } @running;
}

is($a->call("dg_lab_traffic:there_and_back($B, 100)", LONG), '{true,true}', '100 MB there and back, byte by byte and by hash');

is_deeply([both('ordered', 1_000_000)], ['ordered', 'ordered'], '1,000,000 small messages each way at once, in order');

is_deeply([both('bursts', 5000)], ['all', 'all'], '5,000 small bursts each way: none gets stuck while more could come');

is_deeply([both('mixture', 12)], [('[same_hash,same_hash,same_hash,ordered]') x 2],
    'fragments of large messages, with small messages between them, both ways');

subtest 'both sides send until both kernels are full, then drain' => sub {
    # A stopped node reads nothing, so the other fills its own and the stopped one's buffers and has to hold its breath.
    my $ready = sub {
        my ($node, $to) = @_;
        my $running = $node->begin("dg_lab_traffic:fill_when_told($to, 64, 1000000)");
        wait_until('a sender is ready', 10, sub { $node->call('whereis(filler)') ne 'undefined' });
        return $running;
    };
    my $blocked = sub {
        my ($node) = @_;
        my $queued = $node->host->wait_stuck;
        cmp_ok($queued, '>', 0, "$queued bytes are stuck in the kernel of " . $node->name);
    };
    my ($from_a, $from_b) = ($ready->($a, $B), $ready->($b, $A));
    kill STOP => $b->pid;
    $a->call('filler ! go');
    $blocked->($a);
    kill STOP => $a->pid;
    kill CONT => $b->pid;
    $b->call('filler ! go');
    $blocked->($b);
    kill CONT => $a->pid;
    is($a->result($from_a, LONG), 'same_hash', 'all that the first sent has arrived');
    is($b->result($from_b, LONG), 'same_hash', 'all that the second sent has arrived');
};

is($a->call('nodes()'), "[$B]", 'it was one connection all the while');

done_testing;
