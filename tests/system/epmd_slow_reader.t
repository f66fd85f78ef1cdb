#!/usr/bin/perl
# An admitted peer that asks for all names of a large host and does not read the answer: epmd's loop, whose writes block,
# is not held up by it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(ask names_req port_please start_epmd);
use Distguard::Lab::Wait qw(wait_until);
use Test::More;
use Time::HiRes qw(time);

use constant {
    NODES => 900,
    LONG  => 40,     # characters of a name, of four bytes each: 140 KB in all
    STUCK => 8,      # peers that do not read
    SOON  => 2,      # seconds beyond a few times what it takes where nobody is stuck
};

my $lab = Distguard::Lab->new;
my ($alpha, $good, $slow) = map { $lab->host($_) } qw(alpha good slow);
plan skip_all => 'it would be held up without the library' if !$alpha->shim_env;
my %pair = map { $_->name => $lab->pki->certificate_of($_) } $good, $slow;

my $epmd = start_epmd($alpha, shim => 1);
my $held = $alpha->spawn($lab->root . '/tests/tools/epmd-register', '--hold', '--length', LONG, NODES);
wait_until('the nodes are registered: ' . $held->describe, 30, sub { $held->out =~ /^registered/m });

sub all_names_are_told {
    my $found = ask($good, $alpha->ip, names_req, pair => $pair{good});
    my @names = $found->{answer} =~ /^(?:\0\0\x11\x11)?name node\d+\S* at port \d+$/mg;
    is(scalar @names, NODES, sprintf 'all names are told, in %d bytes', length $found->{answer});
}

sub stuck_peer {
    my $peer = $slow->spawn(qw(perl -MIO::Socket::SSL -MSocket -e), <<'    END', $alpha->ip, $pair{slow});
        socket my $socket, AF_INET, SOCK_STREAM, 0;
        setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 2048;
        connect $socket, pack_sockaddr_in(4369, inet_aton($ARGV[0])) or die $!;
        my $tls = IO::Socket::SSL->start_SSL($socket, SSL_verify_mode => SSL_VERIFY_NONE,
            SSL_cert_file => "$ARGV[1].pem", SSL_key_file => "$ARGV[1].key") or die $SSL_ERROR;
        $| = 1;
        syswrite $tls, "\0\1n";
        sysread $tls, my $first, 4;
        print "answered\n";
        sleep;
    END
    wait_until('its answer has begun', 10, sub { die $peer->describe if !$peer->running; $peer->out =~ /answered/ });
    return $peer;
}

# What another host's question and one of this host's take together.
sub seconds_of_asking {
    my ($when) = @_;
    my $start = time;
    my $found = ask($good, $alpha->ip, port_please('nobody'), pair => $pair{good});
    $alpha->must(qw(epmd -names));
    my $took = time - $start;
    is(unpack('H*', $found->{answer}), '7701', "$when, others are answered");
    return $took;
}

all_names_are_told();
my $quiet = seconds_of_asking('with nobody stuck');
my @stuck;
for my $number (1 .. STUCK) {
    push @stuck, stuck_peer();
    my $took = seconds_of_asking("with $number stuck");
    cmp_ok($took, '<', SOON + 5 * $quiet, sprintf 'at once: %.2f s, with nobody stuck %.2f', $took, $quiet);
}
all_names_are_told();

done_testing;
