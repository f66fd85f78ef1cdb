# Many small nodes on one host, each connected to each.
package Bench::Mesh;
use strict;
use warnings;
use Bench::Host;
use Bench::Node;
use List::Util  qw(sum);
use Time::HiRes qw(time);

my $node_memory = 64 * 2**20;    # more than a small node of any carrier takes

# Arguments of a node that leaves room for many.
sub small_node { return qw(+S 1:1 +SDcpu 1:1 +SDio 1 +A 1) }

# One mesh for each number of nodes.
sub sizes {
    my (@sizes) = @_;
    for (@sizes) {
        /^\d+$/ && $_ >= 2 or die "bench: MESH: '$_' is not a number of nodes, at least 2\n";
    }
    return @sizes;
}

# What this machine lacks for it, as a sentence; undef where it has enough.
sub lacks {
    my ($size) = @_;
    my $wanted    = $size * $node_memory;
    my $available = Bench::Host::available_memory();
    return undef if $wanted <= $available;
    return sprintf 'mesh: left out: %d nodes may take %d MiB, of which %d are available; MESH=%d would fit',
        $size, $wanted >> 20, $available >> 20, $available / $node_memory;
}

# Seconds to connect all; attempts that failed (a node gives one up after 7 seconds); KiB that the nodes grow by for each
# connection and end; and for each size the messages that all together send and have received in a second, each node to
# all others in turn.
sub measure {
    my ($pair, $size, $duration, @sizes) = @_;
    my @nodes = map { Bench::Node->start($pair->{place}, $pair->{carrier}, small_node()) } 1 .. $size;
    $_->await_ready for @nodes;

    my $before = Bench::Node::settled_memory(@nodes);
    my ($seconds, @failed) = _all(\@nodes, sub { "{connect_all, [" . _names(@nodes[ $_[0] + 1 .. $#nodes ]) . "]}" });
    my $after = Bench::Node::settled_memory(@nodes);
    my $ends  = $size * ($size - 1);

    _all(\@nodes, sub { "{meet, [" . _names(@nodes[ grep { $_ != $_[0] } 0 .. $#nodes ]) . "]}" });
    my @rates = map { _rate(\@nodes, $_, $duration) } @sizes;
    $_->stop for @nodes;
    return ($seconds, sum(@failed), ($after - $before) / $ends / 1024, @rates);
}

sub _rate {
    my ($nodes, $size, $duration) = @_;
    my ($seconds, @sent) = _all($nodes, sub { "{send_to_all, $size, $duration}" });
    return sum(@sent) / $seconds;
}

# Has all nodes do something at the same time; the seconds until the last has done it, and each one's answer.
sub _all {
    my ($nodes, $command) = @_;
    my @commands = map { $command->($_) } 0 .. $#$nodes;
    my $begin    = time;
    $nodes->[$_]->ask($commands[$_]) for 0 .. $#$nodes;
    my @answers = map { scalar $nodes->[$_]->answer($commands[$_]) } 0 .. $#$nodes;
    return (time - $begin, @answers);
}

sub _names {
    my (@nodes) = @_;
    return join ', ', map { "'" . $_->name . "'" } @nodes;
}

1;
