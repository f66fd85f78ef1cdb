#!/usr/bin/perl
# EPMD's one loop is never held up: while 200 clients wait that stall in one way or another, a good peer's lookups and
# local registration are as quick as without, and epmd does not run in circles. When they are gone, so is what they took.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(cpu_of crowd fds_of median memory_of start_epmd);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(sleep);

use constant {
    CROWD     => 200,
    ROOM      => 1000,    # tls.max_handshakes, so that one host's share holds all of them
    PATIENCE  => 40,      # tls.handshake_timeout: none is ended while it is looked at
    LOOKUPS   => 40,
    HELD_UP   => 200,     # milliseconds that a lookup may take longer: a loop that is held up costs seconds
    WATCHED   => 2.0,      # seconds for which processor time is watched
    BUSY      => 0.1,     # of a processor
    # KiB that a second crowd may add to what the first left behind: the C library keeps what is freed for next time.
    GROWTH    => 1024,
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $mob) = map { $lab->host($_) } qw(alpha beta mob);
plan skip_all => 'nothing waits without the library' if !$alpha->shim_env;

$alpha->shim(conf => { tls => { max_handshakes => ROOM, handshake_timeout => PATIENCE } });
my $epmd   = start_epmd($alpha, shim => 1)->pid;
my $sought = $alpha->node('a', long => 1, shim => 1);
my $good   = $beta->node('b', long => 1, shim => 1);
my $pair   = $lab->pki->certificate_of($mob);

# Milliseconds of a good peer's lookups.
sub lookups {
    my $address = join ',', split /\./, $alpha->ip;
    my $all = $good->call("[begin {T, {port, _, _}} = timer:tc(erl_epmd, port_please, [\"a\", {$address}]), T end"
        . " || _ <- lists:seq(1, ${\LOOKUPS})]");
    return map { $_ / 1000 } $all =~ /\d+/g;
}

# Milliseconds of nodes that register and leave.
sub registrations { $alpha->must($lab->root . '/tests/tools/epmd-register', LOOKUPS) =~ /^([\d.]+)$/mg }

sub compared {
    my ($what, $without, $with) = @_;
    cmp_ok(median(@$with), '<', median(@$without) + HELD_UP,
        sprintf '%s: %.1f ms, %.1f ms without the crowd', $what, median(@$with), median(@$without));
}

sub meanwhile {
    my ($lookups, $registrations) = @_;
    compared('a lookup', $lookups, [lookups()]);
    compared('a local registration', $registrations, [registrations()]);
    my $before = cpu_of($epmd);
    sleep WATCHED;
    cmp_ok(cpu_of($epmd) - $before, '<', BUSY * WATCHED, 'epmd does not run in circles');
}

sub gone {
    my ($fds) = @_;
    ok(wait_for(10, sub { fds_of($epmd) == $fds }), "and gone, $fds descriptors as before") or diag fds_of($epmd);
}

# A few of each first, so that what is taken once and kept does not count.
my $fds = fds_of($epmd);
for my $kind (qw(silent trickle handshake request)) {
    my $few = crowd($mob, $alpha->ip, $kind, 2, pair => $pair);
    $few->kill;
}
wait_until('they are gone', 10, sub { fds_of($epmd) == $fds });

my %left;    # memory after each crowd
for my $kind (qw(silent trickle handshake request request)) {
    subtest "@{[CROWD]} clients: $kind" => sub {
        my ($lookups, $registrations) = ([lookups()], [registrations()]);
        my $crowd = crowd($mob, $alpha->ip, $kind, CROWD, pair => $pair);
        ok(wait_for(20, sub { fds_of($epmd) >= $fds + CROWD }), 'all of them wait') or diag fds_of($epmd), " of $fds + ", CROWD;
        meanwhile($lookups, $registrations);
        my $full = memory_of($epmd);
        unlike($crowd->out, qr/gone/, 'none was sent away');
        $crowd->kill;
        gone($fds);
        note sprintf '%d KiB with the crowd, %d KiB without', $full, memory_of($epmd);
        push @{ $left{$kind} }, memory_of($epmd);
    };
}
my ($first, $second) = @{ $left{request} };
cmp_ok($second, '<', $first + GROWTH, "what a second crowd took came back: $first KiB, then $second KiB");

done_testing;
