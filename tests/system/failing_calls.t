#!/usr/bin/perl
# Two nodes and their EPMDs at work while what distguard asks of the kernel and of malloc fails: each kind of call in turn,
# then mixtures of all. The VMs live; what comes of one connection is a prefix of what was sent on it; when it is over the
# nodes find each other again by themselves; on the wire there is TLS alone; nobody runs in circles, no descriptor is left
# behind; and the log accuses no peer of what the kernel has done.
#
# FAILING_SEED=N is the first mixture's seed, FAILING_SEEDS=N how many there are (`make failing` has hundreds).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Failing;
use Distguard::Lab;
use Distguard::Lab::Capture;
use Distguard::Lab::Epmd qw(start_epmd cpu_of fds_of);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Errno qw(EAGAIN ECONNABORTED ECONNRESET EINTR EMFILE ENFILE ENOBUFS ENOMEM EADDRNOTAVAIL EPIPE);
use Test::More;
use Time::HiRes qw(time sleep);

use constant {
    MARKER       => 'marker-that-nobody-may-read',
    WHILE        => 1.0,    # seconds that calls fail
    PATIENCE     => 40,     # until the nodes have found each other again
    PACE         => 40,     # messages, then the sender ends the connection
    BUSY         => 0.85,   # of a processor: more is running in circles
    PART         => -1,
    SEEDS        => $ENV{FAILING_SEEDS} // 3,
    FIRST_SEED   => $ENV{FAILING_SEED} // int rand 1 << 24,
};

# How often a call of each kind fails, and how.
my %rules = (
    accept  => { luck => 0.5,  errors => [EMFILE, ECONNABORTED, EINTR, ENOBUFS] },
    connect => { luck => 0.4,  errors => [EINTR, EADDRNOTAVAIL, ENOBUFS] },
    receive => { luck => 0.05, errors => [EINTR, EAGAIN, ENOMEM, PART] },
    send    => { luck => 0.05, errors => [EINTR, EAGAIN, ENOBUFS, PART] },
    option  => { luck => 0.1,  errors => [ENOBUFS, ENOMEM] },
    name    => { luck => 0.3,  errors => [ENOBUFS, ENOMEM] },
    socket  => { luck => 0.3,  errors => [EMFILE, ENFILE, ENOBUFS, ENOMEM] },
    open    => { luck => 0.7,  errors => [EMFILE, ENFILE, ENOMEM] },
    poll    => { luck => 0.3,  errors => [EINTR, ENOMEM] },
    memory  => { luck => 0.002, errors => [ENOMEM] },
);

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my @hosts = ($alpha, $beta);
$alpha->shim_env or plan skip_all => 'what fails is what the library calls';
my $failing = Distguard::Failing->new($lab->dir . '/lab');
my %env = (LD_PRELOAD => $lab->library . ' ' . $failing->library, FAILING => $failing->file);

my @epmds = map { start_epmd($_, shim => 1, env => \%env) } @hosts;
my ($a, $b) = map {
    $_->[0]->node($_->[1], long => 1, shim => 1, env => \%env, args => [qw(-kernel prevent_overlapping_partitions false)])
} [$alpha, 'a'], [$beta, 'b'];
my @nodes   = ($a, $b);
my $capture = $alpha->capture;

sub count_of { $_[0]->call('element(1, dg_lab_failing:report())') }

# Messages come again, both ways.
sub at_work {
    my ($what) = @_;
    my @before = map { count_of($_) } @nodes;
    ok(wait_for(PATIENCE, sub { !grep { count_of($nodes[$_]) < $before[$_] + 20 } 0, 1 }), "$what: afterwards both are at work")
        or diag map { $_->call('{nodes(), dg_lab_failing:report()}'), $_->host->log } @nodes;
}

$a->call('dg_lab_failing:start(' . $b->atom . ', <<"' . MARKER . '">>)');
$b->call('dg_lab_failing:start(' . $a->atom . ', <<"' . MARKER . '">>)');
at_work('before anything fails');

sub processes { (map { ["node " . $_->name, $_->pid] } @nodes), map { ["epmd of " . $hosts[$_]->name, $epmds[$_]->pid] } 0, 1 }

# Seconds of processor time of each, for a second.
sub share_of_cpu {
    my ($work) = @_;
    my @processes = processes();
    my @before    = map { cpu_of($_->[1]) } @processes;
    my $begin     = time;
    $work->();
    my $took = time - $begin;
    return map { [$processes[$_][0], (cpu_of($processes[$_][1]) - $before[$_]) / $took] } 0 .. $#processes;
}

sub descriptors { map { $_->[0] => fds_of($_->[1]) } processes() }

sub standing_open {
    my ($name, $pid) = @_;
    return map { "$name: $_\n" } sort map { readlink // () } glob "/proc/$pid/fd/*";
}

# So many calls of these kinds fail for a while.
sub fail_for_a_while {
    my ($what, $seed, %chosen) = @_;
    my %read = map { $_ => scalar @{[ $hosts[$_]->log ]} } 0, 1;
    $failing->clear;
    $failing->rule($_ => $chosen{$_}) for sort keys %chosen;
    $_->call('dg_lab_failing:pace(' . PACE . ')') for @nodes;
    $failing->on($seed);
    my @shares = share_of_cpu(sub { sleep WHILE });
    $failing->off;
    $_->call('dg_lab_failing:pace(undefined)') for @nodes;
    my @counts = map { my @count = $failing->counts($_); "$count[1] of $count[0] $_" } sort keys %chosen;
    at_work("$what (" . join(', ', @counts) . ')');
    my @busy = map { sprintf '%s: %.2f', @$_ } grep { $_->[1] > BUSY } @shares;
    is_deeply(\@busy, [], "$what: nobody runs in circles");
    return map { my @log = $hosts[$_]->log; @log[$read{$_} .. $#log] } 0, 1;
}

sub nothing_is_wrong {
    my ($what) = @_;
    for my $node (@nodes) {
        ok($node->alive, "$what: " . $node->name . ' lives');
        like($node->call('dg_lab_failing:report()'), qr/^\{\d+,\d+,\[\]\}$/, 'what came is what was sent');
    }
    ok(!(grep { !$_->running } @epmds), "$what: both EPMDs live") or diag map { $_->describe } @epmds;
}

# What only a peer can have done. A stream that breaks off is no more than that.
my $accusation = join '|', 'no TLS record', 'bad record mac', 'peer speaks plaintext,', 'neither TLS', 'certificate of the peer',
    'claims', 'no distribution', 'malformed', 'no place here', 'peer refused with alert';

sub accuses_nobody {
    my ($what, @log) = @_;
    my @accusations = grep { /reason="[^"]*(?:$accusation)/ } @log;
    is(scalar @accusations, 0, "$what: no peer is accused") or diag @accusations;
    my %reasons = map { /event=(?:refused|broken) .*reason="([^"]*)"/ ? ($1 => 1) : () } @log;
    note "$what: $_" for sort keys %reasons;
}

# What a VM opens only when it first needs it is there after the first of them.
my %before;
for my $class (sort keys %rules) {
    $_->replace_shim for $class eq 'open' ? @hosts : ();    # a reload that may fail
    my @log = fail_for_a_while($class, 1, $class => $rules{$class});
    nothing_is_wrong($class);
    %before = descriptors() if !%before;
    accuses_nobody($class, @log) if $class ne 'memory';    # OpenSSL's words for a signature it has no memory to verify
}

for my $seed (FIRST_SEED .. FIRST_SEED + SEEDS - 1) {
    srand $seed;
    my %mixture = map { $_ => { %{ $rules{$_} }, luck => $rules{$_}{luck} * rand } } grep { rand > 0.4 } sort keys %rules;
    fail_for_a_while("FAILING_SEED=$seed", $seed, %mixture);
    nothing_is_wrong("FAILING_SEED=$seed");
}

ok(wait_for(30, sub {
    $a->call('erlang:disconnect_node(' . $b->atom . '), net_kernel:connect_node(' . $b->atom . ')');
    !grep { !$_->log(qr/beam\S*\]: event=reloaded/) } @hosts;
}), 'what was changed while no file could be opened counts by now') or diag map { $_->log(qr/reload/) } @hosts;

my %after;
ok(wait_for(20, sub { %after = descriptors(); !grep { $after{$_} > $before{$_} } keys %before }), 'no descriptor is left behind')
    or diag map({"$_: $before{$_} before, $after{$_} after\n"} sort keys %before), map { standing_open(@$_) } processes();

$_->stop for @nodes;
for my $stream ($capture->stop) {
    my $wrong = Distguard::Lab::Capture::not_tls($stream->{bytes});
    fail("$stream->{from} to $stream->{to}: $wrong") if defined $wrong;
    fail("$stream->{from} to $stream->{to}: the marker") if index($stream->{bytes}, MARKER) >= 0;
}
pass('on the wire there is TLS alone');

done_testing;
