# What is measured. A step is one measurement of one carrier; it gives a value for each of its rows.
package Bench::Metrics;
use strict;
use warnings;
use Bench::Calls;
use Bench::Mesh;
use Bench::Node;
use Bench::Report;
use List::Util qw(sum);

my @sizes       = (64, 1024, 16384, 262144, 1048576);
my @small_sizes = (64, 1024);    # of many senders
my $cpu_size    = 1048576;       # the size whose run also gives the processor time

# With QUICK everything is done and nothing is measured: for the bench's own test.
my $quick       = $ENV{QUICK};
my $round_trips = $quick ? 50 : 5000;
my $warm_up     = $quick ? 1 : 200;      # milliseconds of sending that are not counted, for each size
my $duration    = $quick ? 5 : 1000;     # milliseconds of sending that are
my $senders     = 100;
my $connects    = $quick ? 1 : 20;
my $connections = $quick ? 2 : 20;       # idle ones, whose memory is measured
my $execs       = $quick ? 3 : 300;
my $calls       = $quick ? 3 : 500;      # samples, each of
my $calls_each  = $quick ? 100 : 1000;
my $echoes      = $quick ? 20 : 3000;
my @meshes      = Bench::Mesh::sizes(split /[\s,]+/, $ENV{MESH} // ($quick ? 3 : 50));

# Each row: [ identifier, label, whether less or more is better, printf format, whether a difference says more than a
# ratio ].
my @steps = (
    {
        name     => 'exec',
        together => sub { calls('exec', 1e-6, $execs, 1, @_) },
        rows     => [ [ 'exec-ms', 'exec of /bin/true, ms', 'less', '%.3f', 'difference' ] ],
    },
    {
        name     => 'calls',
        together => sub { calls('read-write', 1, $calls, $calls_each, @_) },
        rows     => [ [ 'calls-ns', 'read or write of a byte, not guarded, ns', 'less', '%.1f', 'difference' ] ],
    },
    {
        name    => 'echo',
        measure => \&echo,
        rows    => [
            [ 'echo-median-us',     'gen_tcp echo in one VM, 64 B, median, us', 'less', '%.1f' ],
            [ 'echo-mb-per-second', 'gen_tcp echo in one VM, 64 KiB, MB/s',     'more', '%.1f' ],
        ],
    },
    {
        name    => 'roundtrip',
        measure => \&round_trip,
        rows    => [
            [ 'roundtrip-median-us', 'round trip, median, us', 'less', '%.1f' ],
            [ 'roundtrip-p99-us',    'round trip, 99th percentile, us', 'less', '%.1f' ],
        ],
    },
    {
        name    => 'call',
        measure => \&call,
        rows    => [
            [ 'call-median-us', 'gen_server:call, median, us', 'less', '%.1f' ],
            [ 'call-p99-us',    'gen_server:call, 99th percentile, us', 'less', '%.1f' ],
        ],
    },
    (map { _throughput_step($_) } @sizes),
    {
        name     => 'limit',
        together => \&limit,
        rows     => [
            [ 'limit-mb-per-second', 'limit: a bare C program, 1 MiB, MB/s', 'more', '%.1f' ],
            [ 'limit-cpu-s-per-gb',  'limit: CPU s per GB, both processes',  'less', '%.2f' ],
        ],
    },
    (map { _senders_step($_) } @small_sizes),
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
    (map { _mesh_step($_) } @meshes),
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

sub _senders_step {
    my ($size) = @_;
    return {
        name    => "senders-$size",
        measure => sub { senders(@_, $size) },
        rows    => [ [ "senders-$size-per-second", "$senders senders, $size B, messages/s", 'more', '%.0f' ] ],
    };
}

sub _mesh_step {
    my ($nodes) = @_;
    my $row = "mesh-$nodes";
    return {
        name    => $row,
        lacks   => sub { Bench::Mesh::lacks($nodes) },
        measure => sub { Bench::Mesh::measure($_[0], $nodes, $duration, @small_sizes) },
        rows    => [
            [ "$row-connect-s",  "mesh of $nodes, time to connect all, s",             'less', '%.2f' ],
            [ "$row-failed",     "mesh of $nodes, attempts to connect that failed",    'less', '%.0f' ],
            [ "$row-memory-kib", "mesh of $nodes, memory per connection and end, KiB", 'less', '%.0f' ],
            map { [ "$row-$_-per-second", "mesh of $nodes, all to all, $_ B, messages/s", 'more', '%.0f' ] } @small_sizes,
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
# rows in their order. One that is done together takes all pairs, and returns the values by the carrier's name.

# What OTP's own TLS does not touch is left out for it.
sub calls {
    my ($kind, $unit, $samples, $times, @pairs) = @_;
    my @measured = grep { $_->{carrier}->name ne 'inet_tls' } @pairs;
    my @programs = map { Bench::Calls->start($_->{place}, $_->{carrier}, $kind) } @measured;
    my @values   = map { [] } @programs;
    for (1 .. $samples) {
        push @{ $values[$_] }, $programs[$_]->nanoseconds($times) for 0 .. $#programs;
    }
    $_->stop for @programs;
    return map { $measured[$_]{carrier}->name => [ $unit * Bench::Report::median(@{ $values[$_] }) ] } 0 .. $#programs;
}

# What plain bytes and encrypted ones could reach at best on this machine; no carrier has a part in it.
sub limit {
    my (@pairs) = @_;
    my %way = (plain => 'plain', distguard => 'sealed');
    my %values;
    for my $pair (grep { $way{ $_->{carrier}->name } } @pairs) {
        my $name    = $pair->{carrier}->name;
        my $command = "$pair->{place}{temporary}/limit $way{$name} $duration";
        my ($bytes, $microseconds, $cpu) = `$command` =~ /^(\d+) (\d+) (\d+)$/ or die "bench: `$command` failed\n";
        $values{$name} = [ $bytes / $microseconds, $cpu / 1e6 / ($bytes / 1e9) ];
    }
    return %values;
}

# The sockets of a program that have nothing to do with distribution.
sub echo {
    my ($pair) = @_;
    my ($median) = $pair->{nodes}[0]->call("{gen_tcp_echo, $echoes, 64}");
    my (undef, $microseconds) = $pair->{nodes}[0]->call("{gen_tcp_echo, $echoes, 65536}");
    return ($median, $echoes * 65536 / $microseconds);
}

sub round_trip {
    my ($pair) = @_;
    my ($from, $to) = @{ $pair->{nodes} };
    return $from->call(_command('round_trip', $to, $round_trips));
}

sub call {
    my ($pair) = @_;
    my ($from, $to) = @{ $pair->{nodes} };
    return $from->call(_command('calls', $to, $round_trips));
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

sub senders {
    my ($pair, $size) = @_;
    my ($from, $to) = @{ $pair->{nodes} };
    $from->call(_command('senders', $to, $senders, $size, $warm_up));
    my ($messages, $microseconds) = $from->call(_command('senders', $to, $senders, $size, $duration));
    return $messages / $microseconds * 1e6;
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
    my @small = map { Bench::Node->start($pair->{place}, $pair->{carrier}, Bench::Mesh::small_node()) } 1 .. 2 + $connections;
    $_->await_ready for $hub, @small;

    _connect_in_turn($hub, @small[ 0, 1 ]);
    my $before = Bench::Node::settled_memory($hub);
    _connect_in_turn($hub, @small[ 2 .. $#small ]);
    my $after = Bench::Node::settled_memory($hub);
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

sub _cpu_seconds {
    my ($pair) = @_;
    return sum(map { $_->cpu_seconds } @{ $pair->{nodes} });
}

sub _command {
    my ($name, $node, @numbers) = @_;
    return "{" . join(', ', $name, "'" . $node->name . "'", @numbers) . "}";
}

1;
