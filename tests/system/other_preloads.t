#!/usr/bin/perl
# Other libraries in LD_PRELOAD, before distguard's and behind it: an allocator, one that replaces open and fsync, and one
# that leads connections through a proxy, as torsocks does. The cluster works or refuses; it never speaks plaintext.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Failing qw(build_fault);
use Distguard::Lab;
use Distguard::Lab::Capture;
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

use constant { EXIT_REFUSED => 78, PORT => 9100 };

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my @hosts = ($alpha, $beta);
$alpha->shim_env or plan skip_all => 'there is nothing to be before or behind';
my ($system) = glob '/usr/lib/*/libeatmydata.so';
my ($allocator) = glob '/usr/lib/*/libjemalloc.so.2';
my @ahead = $ENV{DISTGUARD_LAB_AHEAD} // ();    # a sanitizer, which comes first, and is an allocator itself
undef $allocator if @ahead;

# Between the hosts there are TLS records alone.
sub only_tls {
    my ($capture) = @_;
    my @streams = grep {
        my ($from, $to) = map { (split)[0] } @$_{qw(from to)};
        length $_->{bytes} && $from ne $to && !grep { /^127\./ } $from, $to;
    } $capture->stop;
    my @wrong = map { my $why = Distguard::Lab::Capture::not_tls($_->{bytes}); $why ? "$_->{from} to $_->{to}: $why" : () } @streams;
    is_deeply(\@wrong, [], 'between the hosts there is TLS alone');
    return scalar @streams;
}

sub orders {
    my ($library) = @_;
    my $ours = $lab->library;
    return (['before', join ' ', @ahead, $library, $ours], ['behind', join ' ', @ahead, $ours, $library]);
}

sub nodes {
    my ($preload, @args) = @_;
    my @nodes = map { $_->[0]->node($_->[1], long => 1, shim => 1, env => { LD_PRELOAD => $preload }, args => \@args) }
        [$alpha, 'a'], [$beta, 'b'];
    return @nodes;
}

sub end {
    $_->stop for @_;
    $_->stop_epmd for @hosts;
}

for my $other (['jemalloc', $allocator], ['eatmydata', $system]) {
    my ($name, $library) = @$other;
    for my $order (orders($library // next)) {
        my ($where, $preload) = @$order;
        subtest "$name $where" => sub {
            my $capture = $alpha->capture;
            my ($a, $b) = nodes($preload);
            like(Distguard::Lab::Process::slurp("/proc/${\$a->pid}/maps"), qr/lib$name/, 'it is in the node');
            is($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'the nodes meet');
            is($a->call('dg_lab_traffic:mixture(' . $b->atom . ', 1)'), '[same_hash,same_hash,same_hash,ordered]',
                'and what is sent arrives');
            end($a, $b);
            cmp_ok(only_tls($capture), '>=', 2, 'the capture has their connections');
        };
    }
}

my $proxying = build_fault('proxying', $lab->dir . '/lab/proxying.so', qw(-shared -fPIC));
for my $host (@hosts) {
    my $proxy = $host->spawn($lab->root . '/tests/faults/socks');
    wait_until('the proxy listens', 10, sub { $proxy->out =~ /listening/ });
}

# Who sends a proxy's greeting before the node's name: from there on nobody can tell whom the node would speak to.
for my $order (orders($proxying)) {
    my ($where, $preload) = @$order;
    for my $how (['with EPMD'], ['without', qw(-start_epmd false -erl_epmd_port), PORT]) {
        my ($epmd, @args) = @$how;
        subtest "a proxy's library $where, $epmd" => sub {
            my $capture = $alpha->capture;
            my ($a, $b) = nodes($preload, @args);
            isnt($a->call('net_kernel:connect_node(' . $b->atom . ')'), 'true', 'the nodes do not meet');
            end($a, $b);
            only_tls($capture);
            my @refused = $alpha->log(qr/event=refused .*direction=out/);
            cmp_ok(scalar @refused, '>=', 1, 'the log says why') or diag $alpha->log;
            note $_ for @refused;
            unlink $_->log_file for @hosts;
        };
    }
}

done_testing;
