# Guarded nodes beside native ones, which speak OTP's own TLS distribution (-proto_dist inet_tls), and what they can do
# together.
#
# A native node speaks plaintext with every EPMD, a guarded one TLS alone. So these do without: every host has one node, at a
# port that all know.
package Distguard::Lab::Native;
use strict;
use warnings;
use Exporter qw(import);
use Distguard::Lab::Capture;
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

our @EXPORT_OK = qw(EPMDLESS both_ways guarded joined mesh native part);

use constant {
    PORT      => 9500,
    MEGABYTES => 100,
    LONG      => 180,
};
use constant EPMDLESS => (qw(-start_epmd false -erl_epmd_port), PORT);

# A node of either kind, named by its host's name, or that of `at`: OTP 25 does not find an IP address in a certificate.
sub native  { start('native', @_) }
sub guarded { start('guarded', @_, shim => 1) }

sub start {
    my ($name, $host, %option) = @_;
    my @kind = $name eq 'native' && !$option{native} ? (native => 1) : ();
    my $at = delete $option{at} // $host->name . '.lab';
    return $host->node("$name\@$at", long => 1, @kind, args => [EPMDLESS], %option);
}

# One node connects to another; what crosses the wire is TLS; a call comes through. True where they are connected.
sub joined {
    my ($from, $to) = @_;
    my $capture = $to->host->capture;
    my $connected = $from->call('net_kernel:connect_node(' . $to->atom . ')') eq 'true';
    ok($connected, $from->name . ' connects to ' . $to->name) or diag map { $_->host->log } $from, $to;
    is($from->call('erpc:call(' . $to->atom . ', erlang, node, [])'), $to->atom, 'and calls it') if $connected;
    is($to->call('lists:member(' . $from->atom . ', nodes())'), 'true', 'which sees it, too') if $connected;
    my @streams = grep { length $_->{bytes} && $_->{from} =~ /^10\.77\./ } $capture->stop;    # not those of the host itself
    cmp_ok(scalar @streams, '>=', 2, 'the capture has their connection');
    is_deeply([map { Distguard::Lab::Capture::not_tls($_->{bytes}) // () } @streams], [], 'which is TLS');
    return $connected;
}

# The end of a connection, as both have noticed.
sub part {
    my ($from, $to) = @_;
    $from->call('erlang:disconnect_node(' . $to->atom . ')');
    wait_until('both are rid of each other', 10, sub {
        !grep { $_->[0]->call('lists:member(' . $_->[1]->atom . ', nodes())') eq 'true' } [$from, $to], [$to, $from];
    });
}

# Connections begun by either, each with a load that goes there and back.
sub both_ways {
    my ($one, $other) = @_;
    for my $pair ([$one, $other], [$other, $one]) {
        my ($from, $to) = @$pair;
        joined($from, $to) or next;
        is($from->call("dg_lab_traffic:there_and_back(${\$to->atom}, ${\MEGABYTES})", LONG), '{true,true}',
            MEGABYTES . ' MB there and back, byte by byte and by hash');
        is($to->call("dg_lab_traffic:ordered(${\$from->atom}, 100000)", LONG), 'ordered',
            '100,000 small messages the other way, in order');
        part($from, $to);
    }
}

# The first two connect to the last, and are led to each other: all see all.
sub mesh {
    my @nodes = @_;
    my $last = $nodes[-1];
    is($_->call("net_adm:ping(${\$last->atom})"), 'pong', $_->name . ' reaches ' . $last->name) for @nodes[0 .. $#nodes - 1];
    for my $node (@nodes) {
        my $others = join ',', sort map { $_->atom } grep { $_ != $node } @nodes;
        is($node->call(<<"        END"), "[$others]", $node->name . ' is connected to all others');
            Wait = fun Wait(0) -> lists:sort(nodes());
                       Wait(N) -> case lists:sort(nodes()) of
                                      [$others] = All -> All;
                                      _ -> timer:sleep(50), Wait(N - 1)
                                  end
                   end,
            Wait(200)
        END
    }
    is($_->call('global:sync()'), 'ok', $_->name . ' is in step') for @nodes;
    is($nodes[0]->call('global:register_name(lamp, spawn(timer, sleep, [infinity]))'), 'yes', 'a name registered on one');
    is($_->call('node(global:whereis_name(lamp))'), $nodes[0]->atom, 'is known on ' . $_->name) for @nodes;
}

1;
