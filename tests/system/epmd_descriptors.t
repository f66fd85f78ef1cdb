#!/usr/bin/perl
# An EPMD that runs short of descriptors: those who wait give way first, and where nobody waits newcomers have to. It
# neither ends nor runs in circles, and is as before once there are descriptors again. Peers that hang up at any moment,
# in any way, leave none behind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(ask cpu_of crowd fds_of names_req start_epmd);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(sleep);

use constant {
    LIMIT   => 40,     # descriptors
    WATCHED => 2.0,    # seconds for which processor time is watched
    BUSY    => 0.2,    # of a processor
    ABRUPT  => 400,
};

my $lab = Distguard::Lab->new;
my ($alpha, $good, $mob) = map { $lab->host($_) } qw(alpha good mob);
plan skip_all => 'nothing waits without the library' if !$alpha->shim_env;
my $pair = $lab->pki->certificate_of($good);
$alpha->shim(conf => { tls => { max_handshakes => 1000, handshake_timeout => 30 } });

my @short = (as => ['prlimit', '--nofile=' . LIMIT]);

sub good_peer_is_served {
    my ($when) = @_;
    my $found = ask($good, $alpha->ip, names_req, pair => $pair);
    like($found->{answer}, qr/^\0\0/, "a good peer is served $when") or diag explain($found), $alpha->log;
}

sub is_calm {
    my ($epmd) = @_;
    my $before = cpu_of($epmd->pid);
    sleep WATCHED;
    my $used = cpu_of($epmd->pid) - $before;
    cmp_ok($used, '<', BUSY * WATCHED, "it does not run in circles: $used s of ${\WATCHED}");
    ok($epmd->running, 'and lives on') or diag $epmd->describe;
}

subtest 'taken by those who wait' => sub {
    my $epmd  = start_epmd($alpha, shim => 1, @short);
    my $fds   = fds_of($epmd->pid);
    my $crowd = crowd($mob, $alpha->ip, 'silent', 3 * LIMIT);
    ok(wait_for(10, sub { $alpha->log(qr/gave way.*no descriptor/) }), 'the oldest give way, and the log says so');
    good_peer_is_served('all the same');
    like($alpha->must(qw(epmd -names)), qr/up and running/, 'and so is the host itself');
    is_calm($epmd);
    $crowd->kill;
    ok(wait_for(10, sub { fds_of($epmd->pid) == $fds }), 'and all come back') or diag fds_of($epmd->pid);
    $epmd->kill;
};

# Descriptors that it may still have.
sub free {
    my ($epmd) = @_;
    return grep { !-l "/proc/@{[$epmd->pid]}/fd/$_" } 0 .. LIMIT - 1;
}

subtest 'taken by nodes' => sub {
    my $epmd = start_epmd($alpha, shim => 1, @short);
    my $held = $alpha->spawn($lab->root . '/tests/tools/epmd-register', '--hold', LIMIT);
    wait_until('all are taken', 10, sub { !free($epmd) });
    my $crowd = crowd($mob, $alpha->ip, 'silent', 3);
    is_calm($epmd);
    is(scalar free($epmd), 0, 'with no descriptor left') or diag free($epmd);
    $_->kill for $held, $crowd;
    good_peer_is_served('when there are some again');
    $epmd->kill;
};

# Each of these hangs up with a reset, which takes back even what was sent.
subtest 'peers that hang up at any moment' => sub {
    my $epmd = start_epmd($alpha, shim => 1);
    my $fds  = fds_of($epmd->pid);
    $mob->must(qw(perl -MIO::Socket::IP -MSocket -e), <<'    END', $alpha->ip, ABRUPT);
        my @start = ("", "\x16", "\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", "\0\1n", "\x16\x03\x01\x00\x01\x01");
        for my $n (1 .. $ARGV[1]) {
            my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => 4369) or die "$n: $@";
            setsockopt $s, SOL_SOCKET, SO_LINGER, pack("ii", $n % 2, 0);
            syswrite $s, $start[$n % @start];
            shutdown $s, 1 if $n % 3 == 0;
            select undef, undef, undef, 0.001 if $n % 7 == 0;
        }
    END
    ok(wait_for(10, sub { fds_of($epmd->pid) == $fds }), "@{[ABRUPT]} leave no descriptor behind") or diag fds_of($epmd->pid);
    good_peer_is_served('after them');
    is_calm($epmd);
    $epmd->kill;
};

done_testing;
