#!/usr/bin/perl
# How many connections may wait in EPMD, from one host and in all, and for how long: the oldest give way to newer ones
# (so that those who mean well, and are through in no time, always find room), and the log tells of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(ask crowd fds_of names_req start_epmd);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(sleep time);

use constant {
    ROOM     => 16,      # tls.max_handshakes
    SHARE    => 4,       # of one host: a quarter
    PATIENCE => 2.0,     # tls.handshake_timeout, where one is to run out
    FOREVER  => 60,
    SLOWLY   => 10,      # later than its time, on a machine that has other work
};

my $lab = Distguard::Lab->new;
my ($alpha, $good, @mob) = map { $lab->host($_) } qw(alpha good mob1 mob2 mob3 mob4 mob5);
plan skip_all => 'nothing waits without the library' if !$alpha->shim_env;
my $pair = $lab->pki->certificate_of($good);

sub epmd {
    my (%tls) = @_;
    $alpha->shim(conf => { tls => \%tls });
    return start_epmd($alpha, shim => 1);
}

sub numbers_gone { my ($crowd) = @_; return join ' ', $crowd->out =~ /^gone (\d+)$/mg }

sub gives_way { my ($peer, $reason) = @_; return scalar $alpha->log(qr/event=refused peer=\Q$peer\E:.*gave way.*$reason/) }

sub good_peer_is_served {
    my $found = ask($good, $alpha->ip, names_req, pair => $pair);
    like($found->{answer}, qr/^\0\0/, 'a good peer is served meanwhile') or diag explain $found;
}

subtest 'one host has a quarter of the room' => sub {
    my $epmd  = epmd(max_handshakes => ROOM, handshake_timeout => FOREVER);
    my $fds   = fds_of($epmd->pid);
    my $crowd = crowd($mob[0], $alpha->ip, 'silent', SHARE + 3);
    ok(wait_for(10, sub { numbers_gone($crowd) eq '1 2 3' }), 'the oldest gave way') or diag $crowd->out;
    is(fds_of($epmd->pid), $fds + SHARE, 'its share still waits');
    is(gives_way($mob[0]->ip, 'of this host'), 1, 'the log says so, and does not repeat itself');
    good_peer_is_served();
    is(numbers_gone($crowd), '1 2 3', 'at nobody\'s cost');
    $epmd->kill;
};

subtest 'all have the whole of it' => sub {
    my $epmd = epmd(max_handshakes => ROOM, handshake_timeout => FOREVER);
    my $fds  = fds_of($epmd->pid);
    my @crowds = map { crowd($mob[$_], $alpha->ip, 'silent', SHARE) } 0 .. 3;
    wait_until('the room is full', 10, sub { fds_of($epmd->pid) == $fds + ROOM });
    is(join('', map { numbers_gone($_) } @crowds), '', 'as many as there is room for');
    my $last = crowd($mob[4], $alpha->ip, 'silent', 2);
    ok(wait_for(10, sub { numbers_gone($crowds[0]) eq '1 2' }), 'for newer ones the oldest of all gave way')
        or diag map { $_->out } @crowds;
    is(fds_of($epmd->pid), $fds + ROOM, 'the room is full');
    is(gives_way($mob[0]->ip, 'tls.max_handshakes'), 1, 'the log says so, and does not repeat itself');
    good_peer_is_served();
    $_->kill for @crowds, $last;
    ok(wait_for(10, sub { fds_of($epmd->pid) == $fds }), 'and the room is empty again');
    $epmd->kill;
};

subtest 'room for one' => sub {
    my $epmd  = epmd(max_handshakes => 1, handshake_timeout => FOREVER);
    my $crowd = crowd($mob[0], $alpha->ip, 'silent', 2);
    ok(wait_for(10, sub { numbers_gone($crowd) eq '1' }), 'the older gave way');
    good_peer_is_served();
    $epmd->kill;
};

for my $kind (qw(silent trickle handshake request)) {
    subtest "who takes too long is sent away: $kind" => sub {
        my $epmd  = epmd(handshake_timeout => PATIENCE);
        my $start = time;
        my $crowd = crowd($mob[0], $alpha->ip, $kind, 1, pair => $pair);
        ok($crowd->wait(PATIENCE + SLOWLY + 5), 'hung up on');
        my $took = time - $start;
        cmp_ok($took, '>=', PATIENCE - 0.1, 'after the time it had');
        cmp_ok($took, '<', PATIENCE + SLOWLY, sprintf 'and no later: %.1f s', $took);
        # The waiting room's words, or its channel's, where a byte of the handshake comes at the very end.
        my $line = qr/event=(refused|broken) peer=\Q${\$mob[0]->ip}\E:.*reason=.*(within tls\.handshake_timeout|not finished in time)/;
        ok(wait_for(5, sub { $alpha->log($line) > 0 }), 'the log says so') or diag $alpha->log;
        unlink $alpha->log_file;
        $epmd->kill;
    };
}

# A flood that never ends: who is sent away comes back at once.
subtest 'a flood' => sub {
    my $epmd  = epmd();
    my $told  = gives_way($mob[0]->ip, 'of this host');
    my @flood = map { $mob[$_]->spawn('perl', '-MIO::Socket::IP', '-e', <<'    END', $alpha->ip) } 0, 1;
        my @held;
        while (1) {
            push @held, IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => 4369) // next;
            shift @held if @held > 500;
            select undef, undef, undef, 0.002;
        }
    END
    wait_until('it is at work', 10, sub { gives_way($mob[1]->ip, 'of this host') });
    good_peer_is_served() for 1 .. 5;
    like($alpha->must(qw(epmd -names)), qr/up and running/, 'and so is the host itself');
    cmp_ok(gives_way($mob[0]->ip, 'of this host') - $told, '<=', 1, 'the log is not flooded') or diag $alpha->log;
    $_->kill for @flood;
    $epmd->kill;
};

done_testing;
