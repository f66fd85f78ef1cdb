# What is measured. A step is one measurement of one carrier; it gives a value for each of its rows.
package Bench::Metrics;
use strict;
use warnings;
use Bench::Node;
use List::Util  qw(sum);
use Time::HiRes qw(sleep);

my @sizes    = (64, 1024, 16384, 262144, 1048576);
my $cpu_size = 1048576;    # the size whose run also gives the processor time

my $round_trips = 5000;
my $warm_up     = 200;     # milliseconds of sending that are not counted, for each size
my $duration    = 1000;    # milliseconds of sending that are
my $connects    = 20;
my $connections = 20;      # idle ones, whose memory is measured
my @small_node  = qw(+S 1:1 +SDcpu 1:1 +SDio 1 +A 1);

# Each row: [ identifier, label, whether less or more is better, printf format ].
my @steps = (
    {
        name    => 'roundtrip',
        measure => \&round_trip,
        rows    => [
            [ 'roundtrip-median-us', 'round trip, median, us', 'less', '%.1f' ],
            [ 'roundtrip-p99-us',    'round trip, 99th percentile, us', 'less', '%.1f' ],
        ],
    },
    (map { _throughput_step($_) } @sizes),
    {
        name    => 'connect',
        measure => \&connect_time,
        rows    => [ [ 'connect-ms', 'time to connect, median, ms', 'less', '%.2f' ] ],
    },
    {
        name    => 'memory',
        measure => \&memory,
        rows    => [ [ 'memory-kib', 'memory per idle connection and end, KiB', 'less', '%.0f' ] ],
    },
);

sub _throughput_step {
    my ($size) = @_;
    my $row = "throughput-$size";
    return {
        name    => $row,
        measure => sub { throughput(@_, $size) },
        rows    => [
            [ "$row-per-second",    "$size B, messages/s", 'more', '%.0f' ],
            [ "$row-mb-per-second", "$size B, MB/s",       'more', '%.1f' ],
            $size == $cpu_size ? [ 'cpu-s-per-gb', "$size B, CPU s per GB, both nodes", 'less', '%.2f' ] : (),
        ],
    };
}

# The steps that the names ask for, all where there are none. A name is a step's, its first word ("throughput"), or
# "cpu", for the step which gives that too.
sub select_steps {
    my (@names) = @_;
    return @steps if !@names;
    my %wanted;
    for my $name (@names) {
        my $prefix = $name eq 'cpu' ? "throughput-$cpu_size" : $name;
        my @found  = grep { $_->{name} eq $prefix || index($_->{name}, "$prefix-") == 0 } @steps;
        @found or die "bench: METRICS: '$name' is not one of: cpu @{[ map { $_->{name} } @steps ]}\n";
        $wanted{ $_->{name} } = 1 for @found;
    }
    return grep { $wanted{ $_->{name} } } @steps;
}

# Each measurement takes a pair, { place, carrier, nodes => [ two connected nodes ] }, and returns the values of its
# rows in their order.

sub round_trip {
    my ($pair) = @_;
    my ($from, $to) = @{ $pair->{nodes} };
    return $from->call(_command('round_trip', $to, $round_trips));
}

sub throughput {
    my ($pair, $size) = @_;
    my ($from, $to) = @{ $pair->{nodes} };
    $from->call(_command('throughput', $to, $size, $warm_up));
    my $cpu = -_cpu_seconds($pair);
    my ($messages, $microseconds) = $from->call(_command('throughput', $to, $size, $duration));
    $cpu += _cpu_seconds($pair);
    my $bytes = $messages * $size;
    return (
        $messages / $microseconds * 1e6,
        $bytes / $microseconds,
        $size == $cpu_size ? $cpu / ($bytes / 1e9) : ()
    );
}

# Both ends must have seen the old connection go. The first time is not counted: it loads code.
sub connect_time {
    my ($pair) = @_;
    my ($from, $to) = @{ $pair->{nodes} };
    my @times;
    for (0 .. $connects) {
        $from->call(_command('disconnect', $to));
        $to->call(_command('await_down', $from));
        push @times, scalar $from->call(_command('connect', $to));
    }
    shift @times;
    return (sort { $a <=> $b } @times)[ @times / 2 ] / 1000;
}

# What a node grows by for each connection to one of many small nodes, half of which it calls and half of which call
# it. The first two are not counted: they bring in code, and what a node has only once. No garbage collection is
# forced: it shifts the sum by more than a connection weighs, at moments of its own choosing.
sub memory {
    my ($pair) = @_;
    my $hub   = Bench::Node->start($pair->{place}, $pair->{carrier});
    my @small = map { Bench::Node->start($pair->{place}, $pair->{carrier}, @small_node) } 1 .. 2 + $connections;
    $_->await_ready for $hub, @small;

    _connect_in_turn($hub, @small[ 0, 1 ]);
    my $before = _settled_memory($hub);
    _connect_in_turn($hub, @small[ 2 .. $#small ]);
    my $after = _settled_memory($hub);
    $_->stop for $hub, @small;
    return ($after - $before) / $connections / 1024;
}

sub _connect_in_turn {
    my ($hub, @others) = @_;
    for my $i (0 .. $#others) {
        my ($from, $to) = $i % 2 ? ($hub, $others[$i]) : ($others[$i], $hub);
        $from->call(_command('connect', $to));
    }
}

# A node's memory once it has stood still, within a thousandth, for four looks at it.
sub _settled_memory {
    my ($node) = @_;
    my ($last, $still, $deadline) = (0, 0, time + 30);
    while ($still < 4) {
        time < $deadline or die "bench: the memory of idle node ", $node->name, " does not come to rest\n";
        sleep 0.4;
        my $now = $node->memory;
        $still = abs($now - $last) < $last / 1000 ? $still + 1 : 0;
        $last  = $now;
    }
    return $last;
}

sub _cpu_seconds {
    my ($pair) = @_;
    return sum(map { $_->cpu_seconds } @{ $pair->{nodes} });
}

sub _command {
    my ($name, $node, @numbers) = @_;
    return "{" . join(', ', $name, "'" . $node->name . "'", @numbers) . "}";
}

1;
