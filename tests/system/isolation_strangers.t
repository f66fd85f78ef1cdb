#!/usr/bin/perl
# Peers outside of allow_from: closed before the program sees them, by the thousand, while an allowed peer connects as
# quickly as ever, the node goes on accepting, and no descriptor is left behind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners node_port);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant {
    EPMD_PORT => 4369,
    CONNECTS  => 20,      # of the allowed peer, of which the median counts
    CROWD     => 4,       # strangers at a time, each coming back as soon as it is hung up on
    ENOUGH    => 500,     # strangers that came meanwhile, at the least
    SLOWER    => 5,       # times as long, plus GRACE seconds: two processors are shared with the crowd itself
    GRACE     => 0.1,
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $stranger) = map { $lab->host($_) } qw(alpha beta stranger);
plan skip_all => 'all are let in without the library' if !$alpha->shim_env;

$alpha->shim(conf => { distribution => { allow_from => [$beta->ip] } });
my @quiet = (args => [qw(-kernel dist_auto_connect never)]);
my $node = $alpha->node('a', shim => 1, @quiet);
my $friend = $beta->node('b', shim => 1, @quiet);
my $port = node_port($alpha, 'a');

# Connects to ADDRESS PORT over and over and waits to be hung up on. Tells at the end how often that was so, and how many
# bytes it was sent.
my $visitor = <<'END';
    use IO::Socket::INET;
    my ($stop, $visits, $bytes) = (0, 0, 0);
    $SIG{TERM} = sub { $stop = 1 };
    while (!$stop) {
        my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => 10) or next;
        syswrite $socket, $ARGV[2] // '';
        while (sysread $socket, my $read, 100) { $bytes += length $read }
        $visits++;
        $| = 1, print "comes\n" if $visits == 1;
    }
    print "visits $visits bytes $bytes\n";
END

sub crowd {
    my @crowd = map { $stranger->spawn('perl', '-e', $visitor, $alpha->ip, @_) } 1 .. CROWD;
    wait_until('the crowd comes: ' . $crowd[0]->describe, 20, sub { !grep { $_->out !~ /comes/ } @crowd });
    return @crowd;
}

# Sends the crowd home: how many came, and how many bytes they were sent.
sub leave {
    my ($visits, $bytes) = (0, 0);
    for my $process (@_) {
        $process->stop;
        my ($came, $got) = $process->out =~ /^visits (\d+) bytes (\d+)/m or die $process->describe;
        $visits += $came;
        $bytes += $got;
    }
    return ($visits, $bytes);
}

# The median time of a connection of the allowed peer, in milliseconds.
sub median {
    my $times = $friend->call(<<"    END");
        Once = fun() ->
            {Time, true} = timer:tc(net_kernel, connect_node, [${\$node->atom}]),
            true = erlang:disconnect_node(${\$node->atom}),
            Time
        end,
        [Once() || _ <- lists:seq(1, ${\CONNECTS})]
    END
    my @times = sort { $a <=> $b } $times =~ /\d+/g;
    return $times[@times / 2] / 1000;
}

# Whether the node's descriptors have come down to what they were.
sub settles { my ($fds) = @_; wait_until("the node has $fds descriptors", 10, sub { $node->fds <= $fds }) }

median();
my $fds = $node->fds;
my $quiet = median();

my @silent = crowd($port);
my $crowded = median();
my ($visits, $bytes) = leave(@silent);
cmp_ok($visits, '>=', ENOUGH, "$visits strangers were hung up on meanwhile");
is($bytes, 0, 'without a byte');
cmp_ok($crowded, '<', SLOWER * $quiet + 1000 * GRACE,
    sprintf 'the allowed peer connects in %.1f ms, %.1f without the crowd', $crowded, $quiet);
ok(settles($fds), 'no descriptor is left behind');

my $name_message = pack('n/a*', 'N' . pack('Q> N n/a*', 1 << 26, 1, 'evil@stranger'));
my @talking = crowd($port, $name_message);
cmp_ok(median(), '>', 0, 'the node goes on accepting while strangers send name messages');
($visits, $bytes) = leave(@talking);
is($bytes, 0, "none of $visits was answered");
ok(settles($fds), 'no descriptor is left behind');

# epmd.allow_from is distribution's where it is not given.
my @asking = crowd(EPMD_PORT, pack 'n/a', 'za');
cmp_ok(median(), '>', 0, 'EPMD goes on answering while strangers ask it');
($visits, $bytes) = leave(@asking);
is($bytes, 0, "none of $visits was answered");

for my $role (qw(distribution epmd)) {
    my ($line) = $alpha->log(qr/event=refused peer=${\$stranger->ip}:\d+ role=$role direction=in/);
    like($line, qr/reason="not in \w+\.allow_from \(\S+:\d+\)"/, "the log says why, for $role");
}
unlike(join('', $alpha->log), qr/peer=${\$beta->ip}:\d+.*allow_from/, 'the allowed peer was never refused');

# An IPv4 peer of a dual-stack listener comes with an IPv4-mapped address.
subtest 'a dual-stack node' => sub {
    my $file = $alpha->shim(conf => { distribution => { bind => 'any', allow_from => [$beta->ip] } }, file => $lab->temp_path('conf'));
    my $dual = $alpha->node('dual', shim => 1, args => [qw(-proto_dist inet6_tcp)], env => { DISTGUARD_CONF => $file });
    my $dual_port = node_port($alpha, 'dual');
    is_deeply([listeners($alpha, $dual->pid)], ["* $dual_port"], 'listens for both families');
    for my $case ([$beta, $alpha->ip, 0], [$beta, $alpha->ip6, 1], [$stranger, $alpha->ip, 1], [$stranger, $alpha->ip6, 1]) {
        my ($from, $to, $refused) = @$case;
        unlink $alpha->log_file;
        $from->must('perl', '-MIO::Socket::IP', '-e', <<'        END', $to, $dual_port);
            my $socket = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1]) or die $@;
            syswrite $socket, "\0";
            sysread $socket, my $read, 1;
        END
        my $what = $from->name . " at $to is " . ($refused ? 'kept out by allow_from' : 'not kept out by it');
        is(wait_for(5, sub { $alpha->log(qr/event=refused/) }), 1, "$what: one line");
        is(scalar(() = $alpha->log(qr/not in distribution\.allow_from/)), $refused, $what) or diag $alpha->log;
    }
    $dual->kill;
};

subtest 'where the policy allows the same stranger' => sub {
    my $guest = $stranger->node('guest', shim => 1);
    is($guest->call('net_kernel:connect_node(' . $node->atom . ')'), 'false', 'not before');
    $alpha->shim(conf => { distribution => { allow_from => [map { $_->ip } $beta, $stranger] } });
    # Files are looked at once a second, as connections come.
    ok(wait_for(5, sub { $guest->call('net_kernel:connect_node(' . $node->atom . ')') eq 'true' }),
        'the running node and EPMD let it in') or diag $alpha->log;
};

done_testing;
