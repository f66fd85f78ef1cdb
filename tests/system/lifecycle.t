#!/usr/bin/perl
# Connections come and go and leave nothing behind; a lost node is noticed, an idle one is kept.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(time);

use constant {
    CYCLES      => 500,
    WARM_UP     => 100,
    GROWTH_KIB  => 4096,     # what an allocator may keep; a leak of one TLS connection's state is 500 times more
    TICK_TIME   => 4,
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);

# One scheduler, so that the allocators of many do not hide what is kept; and no connection but those asked for.
sub nodes {
    my (%option) = @_;
    my @args = (qw(+S 1), @{ $option{args} // [] });
    my $shim = $option{shim} // 1;
    return map { $_->[0]->node($_->[1], long => 1, shim => $shim, explicit => 1, args => \@args) } [$alpha, 'a'], [$beta, 'b'];
}

sub cycle {
    my ($from, $to, $times) = @_;
    my $other = $to->atom;
    return $from->call(<<"    END", 120);
        Cycle = fun Cycle(0) -> done;
                    Cycle(N) ->
                        case net_kernel:connect_node($other) of
                            true -> true = erlang:disconnect_node($other), Cycle(N - 1);
                            Failure -> {Failure, at, N}
                        end
                end,
        Cycle($times)
    END
}

sub descriptors {
    my ($node) = @_;
    my $folder = "/proc/${\$node->pid}/fd";
    return map { "$_: " . (readlink("$folder/$_") // 'closed') . "\n" } sort { $a <=> $b } grep { !/^\./ } do {
        opendir my $handle, $folder or die "$folder: $!";
        readdir $handle;
    };
}

# Waits until no connection is left but that to the host's own EPMD, on either side.
sub at_rest {
    wait_until('no connection is left', 10, sub { !grep { connections($_) } @_ });
}

sub connections {
    my ($node) = @_;
    my $pid = $node->pid;
    return grep { /,pid=$pid,/ && !/(?:127\.0\.0\.1|::1)\]?:4369\s/ } split /^/, $node->host->must(qw(ss -Htnp));
}

sub settled {
    my ($node) = @_;
    $node->call('[erlang:garbage_collect(P) || P <- processes()], ok');
    return { fds => $node->fds, memory => $node->memory('VmRSS') };
}

subtest CYCLES . ' connections leave no descriptor and no memory behind' => sub {
    my ($a, $b) = nodes();
    is(cycle($a, $b, WARM_UP), 'done', 'warmed up, one way');
    is(cycle($b, $a, WARM_UP), 'done', 'and the other');
    at_rest($a, $b);
    my %before = map { $_->name => settled($_) } $a, $b;
    my $begin = time;
    is(cycle($a, $b, CYCLES / 2), 'done', 'half of them begun by one');
    is(cycle($b, $a, CYCLES / 2), 'done', 'half by the other');
    note sprintf '%.1f ms each', (time - $begin) * 1000 / CYCLES;
    at_rest($a, $b);
    for my $node ($a, $b) {
        my ($was, $is) = ($before{ $node->name }, settled($node));
        # With the socket backend, sockets end some time after their garbage.
        ok(wait_for(10, sub { $node->fds == $was->{fds} }), $node->name . ": descriptors, $was->{fds} again")
            or diag descriptors($node);
        cmp_ok($is->{memory} - $was->{memory}, '<', GROWTH_KIB,
            $node->name . ": memory, from $was->{memory} to $is->{memory} KiB");
    }
    $_->stop for $a, $b;
};

# Seconds from the death of one node until the other has been told.
sub notice {
    my ($shim) = @_;
    $_->stop_epmd for $alpha, $beta;    # a guarded one tells strangers nothing, and strangers tell guarded nodes nothing
    my ($a, $b) = nodes(shim => $shim);
    is($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'joined');
    my $waiting = $a->begin('monitor_node(' . $b->atom . ', true), receive {nodedown, Node} -> Node after 30000 -> none end');
    is($a->call('timer:sleep(200), nodes()'), '[' . $b->atom . ']', 'and watched');
    my $killed = time;
    $b->kill;
    is($a->result($waiting), $b->atom, 'its death is noticed');
    my $took = time - $killed;
    $a->stop;
    return $took;
}

subtest 'a killed node is noticed as quickly as without the library' => sub {
    my $plain = notice(0);
    my $guarded = notice(1);
    cmp_ok($guarded, '<', $plain + 5, sprintf 'after %.3f s; without the library %.3f s', $guarded, $plain);
};

subtest 'an idle connection stays up' => sub {
    my ($a, $b) = nodes(args => ['-kernel', 'net_ticktime', TICK_TIME]);
    is($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'joined');
    is($a->call('monitor_node(' . $b->atom . ', true),
        receive {nodedown, Node} -> {down, Node} after ' . 2500 * TICK_TIME . ' -> up end'), 'up',
        'for two and a half tick times');
    is($b->call('nodes()'), '[' . $a->atom . ']', 'seen from both sides');
};

subtest 'a node that falls silent is given up' => sub {
    my ($a, $b) = nodes(args => ['-kernel', 'net_ticktime', TICK_TIME]);
    is($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'joined');
    kill STOP => $b->pid;
    is($a->call('monitor_node(' . $b->atom . ', true), receive {nodedown, Node} -> down after ' . 3000 * TICK_TIME
        . ' -> up end'), 'down', 'within the tick time');
    $b->kill;
};

done_testing;
