#!/usr/bin/perl
# Small messages that are held, so as to share a record: floods of them arrive whole and in order, whatever becomes of the
# sender or the reader; who says one thing, or asks, waits for nobody. Where OTP decides what arrives, nodes without the
# library are the judge.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
    LONG       => 120,
    TICK_TIME  => 4,
    LAST_WORDS => 20_000,
    FEW_WORDS  => 200,
    TRIES      => 3,
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma, $delta) = map { $lab->host($_) } qw(alpha beta gamma delta);
plan skip_all => 'nothing is held without the library' if !$alpha->shim_env;

# Nodes that are started together; each is what `node` takes, with its host before its name.
sub nodes { map { $_->wait_up } map { my ($host, @option) = @$_; $host->start_node(@option) } @_ }

sub connect_nodes {
    my ($from, $to) = @_;
    is($from->call('net_kernel:connect_node(' . $to->atom . ')'), 'true', $from->name . ' and ' . $to->name . ' join')
        or die join "\n", map { $_->process->describe, $_->host->log, $_->host->run('epmd', '-names')->out } $from, $to;
}

my @guarded = (long => 1, shim => 1, explicit => 1);
my @plain   = (long => 1, explicit => 1);
my @ticking = (@guarded, args => ['-kernel', 'net_ticktime', TICK_TIME]);
my ($a, $b, $plain_a, $plain_b, $ticking_a, $ticking_b) = nodes(
    [$alpha, 'a', @guarded], [$beta, 'b', @guarded], [$gamma, 'a', @plain], [$delta, 'b', @plain],
    [$alpha, 'ticking', @ticking], [$beta, 'ticking', @ticking]);
my ($A, $B) = ($a->atom, $b->atom);

# What a node's status page says of its connection to another.
sub connection {
    my ($from, $to) = @_;
    my $run = $from->host->run($lab->tool, 'status', $from->pid);
    my ($page) = @{ decode_json($run->out)->{processes} };
    my ($found) = grep { ($_->{node} // '') eq $to->name } @{ $page->{connections} };
    return $found // die $run->describe;
}

# How often a node's sending thread has gone to sleep.
sub rests {
    my ($node) = @_;
    my ($thread) = $node->threads('distguard-send') or die 'there is no thread';
    return Distguard::Lab::Process::slurp("$thread/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m ? $1 : die;
}

connect_nodes($ticking_a, $ticking_b);
is($ticking_a->call('dg_lab_gathering:small(' . $ticking_b->atom . ', 20000)'), 'ok', 'a flood, then nothing but ticks');
my $idle = $ticking_a->begin('monitor_node(' . $ticking_b->atom . ', true), receive {nodedown, _} -> down after '
    . 2500 * TICK_TIME . ' -> up end');

connect_nodes($a, $b);
connect_nodes($plain_a, $plain_b);
is_deeply([$a->threads('distguard-send')], [], 'before the first flood no thread sends');

subtest 'lone messages' => sub {
    my $before = connection($a, $b);
    my ($plain, $guarded) = map { $_->[0]->call('dg_lab_gathering:round_trips(' . $_->[1]->atom . ', 100, 1, 3)') }
        [$plain_a, $plain_b], [$a, $b];
    my $after = connection($a, $b);
    my $records = $after->{records_out} - $before->{records_out};
    cmp_ok($records, '>=', 101, "a record for each of 101: $records");
    cmp_ok($records, '<=', 110, 'and little else');
    cmp_ok($guarded, '<', $plain + 5000, "answered in $guarded us; $plain us without the library");
    is_deeply([$a->threads('distguard-send')], [], 'need no thread');
};

subtest 'a flood' => sub {
    my $before = connection($a, $b);
    is($a->call("dg_lab_gathering:small($B, 50000)"), 'ok', 'of 50,000');
    my $after = connection($a, $b);
    my ($bytes, $records) = map { $after->{$_} - $before->{$_} } qw(bytes_out records_out);
    cmp_ok($records, '<', 50_000 / 10, sprintf '%d records of %d bytes, %.1f messages each', $records, $bytes / $records, 50_000 / $records);
    cmp_ok($bytes, '>', 50_000 * 64, 'and all bytes are counted');
    is(scalar($a->threads('distguard-send')), 1, 'has made a thread') or diag join "\n", glob "/proc/${\$a->pid}/task/*/comm";
};

subtest 'the thread rests' => sub {
    my ($slept, $count);
    ok(wait_for(10, sub { my $before = rests($a); sleep 0.3; rests($a) == $before }), 'when the flood is over');
    my $before = rests($a);
    $a->call("dg_lab_gathering:round_trips($B, 50, 1, 5)");
    cmp_ok(rests($a), '==', $before, 'and is not woken by lone messages');
};

subtest 'many senders, all sizes, both ways at once' => sub {
    my @running = map { [$_->[0], $_->[0]->begin("dg_lab_gathering:flood($_->[1], 20, 5000)")] } [$a, $B], [$b, $A];
    is($_->[0]->result($_->[1], LONG), 'in_order', 'from ' . $_->[0]->name) for @running;
};

for (['inet6_tcp', '@' . $alpha->ip6, '@' . $beta->ip6, '-proto_dist', 'inet6_tcp'],
    ['the socket backend', '@' . $alpha->ip, '@' . $beta->ip, '-kernel', 'inet_backend', 'socket']) {
    my ($carrier, $at_alpha, $at_beta, @args) = @$_;
    subtest "the same by $carrier" => sub {
        my ($from, $to) = nodes([$alpha, "other$at_alpha", @guarded, args => \@args], [$beta, "other$at_beta", @guarded, args => \@args]);
        connect_nodes($from, $to);
        my @running = map { [$_->[0], $_->[0]->begin('dg_lab_gathering:flood(' . $_->[1]->atom . ', 10, 2000)')] }
            [$from, $to], [$to, $from];
        is($_->[0]->result($_->[1], LONG), 'in_order', 'from ' . $_->[0]->name) for @running;
        is(scalar($from->threads('distguard-send')), 1, 'some of it was held');
        $_->kill for $from, $to;
    };
}

subtest 'a burst, and an answer that is waited for' => sub {
    my $burst = sub {
        my ($from, $to, $times) = @_;
        return $from->call('dg_lab_gathering:round_trips(' . $to->atom . ", $times, 500, 1)", LONG);
    };
    my ($plain, $guarded) = ($burst->($plain_a, $plain_b, 100), $burst->($a, $b, 100));
    cmp_ok($guarded, '<', $plain + 20_000, "comes after $guarded us; $plain us without the library");
    my $computing = sub {
        my ($from, $to) = @_;
        $from->call('dg_lab_gathering:spin()');
        my $took = $burst->($from, $to, 30);
        $from->call('dg_lab_gathering:spin_no_more()');
        return $took;
    };
    ($plain, $guarded) = ($computing->($plain_a, $plain_b), $computing->($a, $b));
    cmp_ok($guarded, '<', $plain + 20_000, "also where every scheduler computes: after $guarded us; $plain us without the library");
};

subtest 'a reader that stands still for a while' => sub {
    my $running = $a->begin("dg_lab_gathering:flood($B, 20, 5000)");
    my $before = connection($a, $b)->{bytes_out};
    wait_until('it flows', 10, sub { connection($a, $b)->{bytes_out} > $before + 100_000 });
    kill STOP => $b->pid;
    my $queued = $alpha->wait_stuck;
    cmp_ok($queued, '>', 0, "$queued bytes are stuck");
    kill CONT => $b->pid;
    is($a->result($running, LONG), 'in_order', 'all has arrived');
};

# What a node's peer has seen of it: the last number, those that were left out, up or down.
sub kept {
    my ($peer, $sender) = @_;
    return $peer->call('dg_lab_gathering:kept(' . $sender->atom . ')') =~ /^\{(\d+),(\[.*\]),(up|down)\}$/;
}

sub kept_at_end {
    my ($peer, $sender) = @_;
    my @kept;
    wait_until($peer->name . ' sees the end of ' . $sender->name, 20, sub { (@kept = kept($peer, $sender))[2] eq 'down' });
    is($kept[1], '[]', "$kept[0] have arrived, none before them is left out");
    return $kept[0];
}

# How a sender comes to its end right behind its last words, how these are sent, and whether all of them arrive without the
# library: the VM itself may drop what it has not handed over, without it as with it, and counts a message before that; not to
# flush drops some more of it on a busy machine.
my $send = 'send_to_keeper(PEER, 1, ' . LAST_WORDS . ')';
my $hand = 'hand_to_keeper(PEER, ' . FEW_WORDS . ')';
my @ends = (
    ['init:stop()',                    $send, LAST_WORDS],
    ['erlang:halt(0)',                 $hand, FEW_WORDS - 1],
    ['erlang:halt(0)',                 $send, 0],
    ['erlang:halt(0, [{flush, false}])', $hand, FEW_WORDS / 2],
    ['erlang:disconnect_node(PEER)',   $hand, FEW_WORDS - 1],
    ['erlang:disconnect_node(PEER)',   $send, 0],
);
my @senders = nodes(map { ([$gamma, "last$_", @plain], [$alpha, "last$_", @guarded]) } 0 .. $#ends);
for (@ends) {
    my ($end, $words, $least) = @$_;
    subtest "$words, $end" => sub {
        for my $peer ($plain_b, $b) {
            my ($sender, $to) = (shift @senders, $peer->atom);
            connect_nodes($sender, $peer);
            $peer->call('dg_lab_gathering:keep(' . $sender->atom . ')');
            $sender->begin("dg_lab_gathering:$words, $end" =~ s/PEER/$to/gr);
            cmp_ok(kept_at_end($peer, $sender), '>=', $least, "as many as must, $least" . ($peer == $b ? '' : ', without the library'));
            $sender->kill;
        }
    };
}

subtest 'a sender that is killed' => sub {
    my $sender = $alpha->node('killed', @guarded);
    connect_nodes($sender, $b);
    $b->call('dg_lab_gathering:keep(' . $sender->atom . ')');
    $sender->begin("dg_lab_gathering:send_to_keeper($B, 1, 2000000)");
    wait_until('messages flow', 10, sub { (kept($b, $sender))[0] > 10_000 });
    $sender->kill;
    kept_at_end($b, $sender);
};

# Bytes in the kernels of two hosts, on the way between two nodes of theirs.
sub on_the_way {
    my @hosts = @_;
    my $queued = 0;
    for my $host (@hosts) {
        my ($other) = grep { $_ != $host } @hosts;
        for (grep { / \Q${\$other->ip}\E:/ } split /^/, $host->must(qw(ss -Htn))) {
            my (undef, $received, $sent) = split;
            $queued += $host == $hosts[0] ? $sent : $received;
        }
    }
    return $queued;
}

# Sends groups of messages to a node that stands still until no more gets to the kernel; then hangs up. All that the VM thinks
# is with the kernel must arrive. How many were lost of how many, and the bytes that were waiting in the VM.
sub lost_by_hanging_up {
    my ($from, $to, $group) = @_;
    my $peer = $to->atom;
    connect_nodes($from, $to);
    $to->call('dg_lab_gathering:keep(' . $from->atom . ')');
    kill STOP => $to->pid;
    my ($sent, $before, $grown) = (0, 0, 0);
    do {
        $from->call("dg_lab_gathering:send_to_keeper($peer, $sent + 1, $sent + $group)");
        $sent += $group;
        sleep 0.01;
        my $now = on_the_way($from->host, $to->host);
        ($grown, $before) = ($now - $before, $now);
    } while ($grown > 15 * $group);
    my $pending = $from->call("dg_lab_gathering:pending($peer)");
    my $hanging_up = $from->begin("erlang:disconnect_node($peer)");
    # Without the library the VM waits here. It closes the descriptor now where it thinks that all is with the kernel.
    wait_for(0.2, sub { $from->host->must(qw(ss -Htn state established)) !~ / \Q${\$to->host->ip}\E:/ });
    kill CONT => $to->pid;
    is($from->result($hanging_up), 'true', 'hung up');
    return ($sent - kept_at_end($to, $from), $sent, $pending);
}

# From 8 KiB on the port is busy, and the VM drops what has not got to it. Now and then it drops something all the same, with the
# library as without it (1 of 440 rounds, 2 of 400): so a loss must come three times in a row to count. That nothing at all is
# lost by the library is what tests/unit/test_room.c and test_gathering.c hold it to.
sub all_arrives {
    my ($from, $to, $group) = @_;
    my @losses;
    for (1 .. TRIES) {
        my ($lost, $sent, $pending) = lost_by_hanging_up($from, $to, $group);
        return if $pending >= 8192;
        return pass("that is all, $sent; $pending bytes were waiting in the VM") if !$lost;
        push @losses, "$lost of $sent, with $pending bytes waiting in the VM";
    }
    fail('that is all') or diag 'lost: ', join '; ', @losses;
}

# The kernel may be full by its memory, or by the bytes that it lets stand unsent: the socket's limit, or the host's.
my $host_limit = '/proc/sys/net/ipv4/tcp_notsent_lowat';
my %full = (
    'its memory'                   => { options => '{sndbuf, 40000}' },
    'TCP_NOTSENT_LOWAT'            => { options => '{raw, 6, 25, <<16384:32/native>>}' },
    'net.ipv4.tcp_notsent_lowat'   => { options => '{delay_send, false}', limit => 16384 },
    'the same, with room for more' => { options => '{delay_send, false}', limit => 65536 },
);
my ($epsilon, $zeta) = map { $lab->host($_) } qw(epsilon zeta);
for my $what (sort keys %full) {
    subtest "a reader that is behind when its sender hangs up: $what" => sub {
        $epsilon->must('sh', '-c', "echo $full{$what}{limit} > $host_limit") if $full{$what}{limit};
        my ($from, $to) = nodes(
            [$epsilon, 'hurried', @guarded, args => ['-kernel', 'inet_dist_connect_options', "[$full{$what}{options}]"]],
            [$zeta, 'behind', @guarded, args => ['-kernel', 'inet_dist_listen_options', '[{recbuf, 4096}]']]);
        # The first few of a group go out at once and the others are held. The sizes differ, so that in some of these rounds the
        # kernel is full just where the first are through.
        all_arrives($from, $to, $_) for $full{$what}{limit} ? (95, 140, 350, 560) : map { 90 + 5 * $_ } 0 .. 11;
        $_->kill for $from, $to;
        $epsilon->must('sh', '-c', "echo 4294967295 > $host_limit") if $full{$what}{limit};
    };
}

subtest 'the thread is bound to no processor' => sub {
    my ($bound) = nodes([$alpha, 'bound', @guarded, args => [qw(+sbt db)]]);
    connect_nodes($bound, $b);
    is($bound->call("dg_lab_gathering:small($B, 20000)"), 'ok', 'a flood of a scheduler that is');
    my ($thread) = $bound->threads('distguard-send');
    my ($may, $all) = map { Distguard::Lab::Process::slurp("$_/status") =~ /^Cpus_allowed_list:\s*(\S+)/m } $thread,
        "/proc/${\$bound->pid}";
    is($may, $all, 'it may run where the program may');
    $bound->kill;
};

is($ticking_a->result($idle), 'up', 'a connection that was flooded and then idle for long stays up');
is($a->call('nodes()'), "[$B]", 'and so did the one that everything went through');

done_testing;
