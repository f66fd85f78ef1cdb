#!/usr/bin/perl
# Strangers cannot wear a node down: while 500 connections of theirs stand half open, or come on and on, a good node
# connects about as fast as without them; no more wait than tls.max_handshakes allows, and the log stays short.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(crowd cpu_of median);
use Distguard::Lab::Reach qw(node_port);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
    STRANGERS => 500,
    ADDRESSES => 10,      # that they come from
    ROOM      => 32,      # tls.max_handshakes
    FOREVER   => 60,      # seconds: no handshake is ended by time while it is looked at
    CONNECTS  => 15,      # of the good node, for each median
    WATCHED   => 1.0,     # seconds for which processor time is watched
    BUSY      => 0.3,     # of a processor
};

# How much longer the good node may take in the crowd: a slow machine is not to fail this, a queue of 500 is.
sub may_take { my ($without) = @_; return 5 * $without + 250 }    # milliseconds

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $mob) = map { $lab->host($_) } qw(alpha beta mob);
plan skip_all => 'nobody is a stranger without the library' if !$alpha->shim_env;
my @addresses = ($mob->ip, $mob->more_addresses(ADDRESSES - 1));

$alpha->shim(conf => { tls => { max_handshakes => ROOM, handshake_timeout => FOREVER } });
# The node itself gives up on who has not named itself in net_setuptime seconds: not while it is looked at.
my $a    = $alpha->node('a', long => 1, shim => 1, explicit => 1, args => [qw(-kernel net_setuptime 60)]);
my $good = $beta->node('good', long => 1, shim => 1, explicit => 1);
my $port = node_port($alpha, 'a');

# Milliseconds that the good node takes to join, each time. Who has left may come back by a late message: until none does.
sub connects {
    my $all = $good->call(<<"    END");
        begin
            Leave = fun Leave() ->
                erlang:disconnect_node(${\$a->atom}),
                timer:sleep(20),
                nodes(connected) =:= [] orelse Leave()
            end,
            [begin
                Leave(),
                {T, true} = timer:tc(net_kernel, connect_node, [${\$a->atom}]),
                T
            end || _ <- lists:seq(1, ${\CONNECTS})]
        end
    END
    return map { $_ / 1000 } $all =~ /\d+/g;
}

# The strangers' established connections: those that the node has taken, and those that still lie in the kernel's queue.
sub connections {
    my @lines = grep { !/ \Q${\$beta->ip}\E:/ } split /^/, $alpha->must(qw(ss -Htnp state established sport), "= :$port");
    return ([grep {/,pid=${\$a->pid},/} @lines], [grep { !/pid=/ } @lines]);
}

sub waiting { my ($taken) = connections(); return scalar @$taken }

sub lines { my ($pattern) = @_; return scalar(() = $alpha->log($pattern)) }

# The crowd: an equal part from each address.
sub strangers {
    my ($kind) = @_;
    return map {
        $mob->speak_from($_);
        crowd($mob, $alpha->ip, $kind, STRANGERS / ADDRESSES, port => $port);
    } @addresses;
}

sub compared {
    my ($without, $with, $what) = @_;
    my ($limit, $took) = (may_take(median(@$without)), median(@$with));
    cmp_ok($took, '<', $limit, sprintf '%s: the good node joins in %.0f ms, %.0f ms without', $what, $took, median(@$without))
        or diag "without: @$without\nwith: @$with";
}

my @without = connects();

for my $kind (qw(silent trickle)) {
    subtest "@{[STRANGERS]} half-open connections: $kind" => sub {
        my $before = lines(qr/event=refused/);
        my @crowds = strangers($kind);
        my ($taken, $queued);
        wait_for(30, sub { ($taken, $queued) = connections(); @$taken == ROOM && !@$queued });
        is(scalar @$taken, ROOM, 'as many wait as there is room for') or diag @$taken, 'queued: ', @$queued;
        my @per_address = map { my $ip = $_; scalar grep {/\Q$ip\E:/} @$taken } @addresses;
        is_deeply([grep { $_ > ROOM / 4 } @per_address], [], "no address has more than a quarter: @per_address");
        my @with = connects();
        compared(\@without, \@with, $kind);
        my $cpu = cpu_of($a->pid);
        sleep WATCHED;
        cmp_ok(cpu_of($a->pid) - $cpu, '<', BUSY * WATCHED, 'the node does not run in circles');
        # Two reasons to give way: the address's share, and the room of all.
        cmp_ok(lines(qr/event=refused/) - $before, '<=', 2 * ADDRESSES, 'a line for each address and reason, no more')
            or diag $alpha->log(qr/event=refused/);
        cmp_ok(lines(qr/event=refused .*gave way.*tls\.max_handshakes/), '>', 0, 'which say why');
        $_->kill for @crowds;
        ok(wait_for(20, sub { waiting() == 0 }), 'and when they go, nothing is left of them') or diag waiting();
    };
}

# From fewer addresses than it takes to fill the room: whoever comes from another one has his place.
subtest 'strangers who come back at once' => sub {
    my $before = lines(qr/event=refused/);
    my @flood  = map { $mob->spawn('perl', '-MIO::Socket::IP', '-e', <<'    END', $alpha->ip, $port, $_) } @addresses[0 .. 2];
        my @held;
        $| = 1;
        for (my $count = 1;; $count++) {
            my $socket = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], LocalHost => $ARGV[2]) // next;
            syswrite $socket, "\x16\x03\x01\x02\x00\x01";
            push @held, $socket;
            shift @held if @held > 100;
            print "$count\n" if $count == 100;
            select undef, undef, undef, 0.005;
        }
    END
    wait_until('they are at work', 30, sub { !grep { $_->out !~ /100/ } @flood });
    my @with = connects();
    compared(\@without, \@with, 'meanwhile');
    cmp_ok(waiting(), '<=', ROOM + 4, 'no more wait than there is room for');    # and those that just come
    ok($a->alive, 'the node lives on');
    $_->kill for @flood;
    cmp_ok(lines(qr/event=refused/) - $before, '<=', 4 * ADDRESSES, 'the log is not flooded') or diag $alpha->log(qr/event=refused/);
};

done_testing;
