#!/usr/bin/perl
# epmd under systemd's socket activation, where it binds nothing itself: what comes in at an address that the policy does
# not designate is turned away before epmd reads a byte, one warning names the remedy, and all else goes on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Reach qw(listeners);
use Distguard::Lab::Wait qw(wait_until);
use Test::More;

use constant EPMD_PORT => 4369;

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my ($designated) = $alpha->interface('eth1', 78);
my ($peer) = $beta->interface('eth1', 78);
my @strangers = $beta->more_addresses(3);
my $other = $alpha->ip;
$alpha->shim(conf => { distribution => { bind => '10.78.0.0/16' } });
$beta->shim(conf => { distribution => { bind => '10.78.0.0/16' } });
my %library = $alpha->shim_env or plan skip_all => 'nothing is turned away without the library';

# epmd, activated by the program given; the same without the library where there is no environment.
sub activated {
    my ($by, %env) = @_;
    my @set = map {"$_=$env{$_}"} sort keys %env;
    my @argv = $by eq 'systemd-socket-activate'
        ? ($by, '-l', EPMD_PORT, (map { ('-E', $_) } @set), qw(epmd -systemd))
        : ($lab->root . '/tests/tools/socket-activate', '::', EPMD_PORT, '--', 'env', @set, qw(epmd -systemd));
    my $epmd = $alpha->spawn(@argv);
    wait_until('it listens: ' . $epmd->describe, 10, sub { listeners($alpha) });
    is_deeply([listeners($alpha)], ['* ' . EPMD_PORT], 'systemd listens everywhere');
    return $epmd;
}

# Asks an epmd for its names, from the host given and in plaintext. What it answers, '' where it hangs up.
sub names_from {
    my ($from, $address) = @_;
    return $from->must('perl', '-MIO::Socket::IP', '-e', <<'    END', $address, EPMD_PORT);
        my $socket = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Timeout => 5) or die $@;
        syswrite $socket, pack 'n/a', 'n';
        local $/;
        print <$socket> // '';
    END
}

sub ends {
    my ($epmd) = @_;
    $epmd->kill;
    wait_until('nothing listens', 10, sub { !listeners($alpha) });
}

subtest 'without the library' => sub {
    my $epmd = activated('socket-activate');
    like(names_from($beta, $other), qr/^\0\0\x11\x11/, 'epmd answers everybody');
    ends($epmd);
};

for my $by (qw(socket-activate systemd-socket-activate)) {
    subtest "with the library, by $by" => sub {
        plan skip_all => "there is no $by" if $by =~ /systemd/ && system("command -v $by >/dev/null") != 0;
        unlink $alpha->log_file;
        my $epmd = activated($by, %library);
        like($alpha->must(qw(epmd -names)), qr/up and running/, 'epmd answers on loopback');
        for my $stranger (@strangers) {
            $beta->speak_from($stranger);
            is(names_from($beta, $other), '', 'at the other address it hangs up without a word') for 1 .. 2;
            my @refused = $alpha->log(qr/\[epmd\]: event=refused peer=\Q$stranger\E:.*\Q$other\E:4369.*epmd\.bind/);
            is(scalar @refused, 1, 'once it is in the log, with the reason') or diag $alpha->log;
        }
        is(names_from($beta, $alpha->ip6), '', 'at its IPv6 address, too');
        my @warned = $alpha->log(qr/event=not_bound/);
        is(scalar @warned, 1, 'with one warning');
        like($warned[0], qr/epmd\.socket.*ListenStream=ADDRESS:4369/, 'that names the drop-in');

        my $a = $alpha->node("a\@$designated", long => 1, shim => 1);
        like($alpha->must(qw(epmd -names)), qr/^name a at port \d+$/m, 'a node registers');
        my $b = $beta->node("b\@$peer", long => 1, shim => 1);
        is($b->call('net_adm:ping(' . $a->atom . ')'), 'pong', 'and is found at the designated address');
        $_->kill for $a, $b;
        ends($epmd);
    };
}

subtest 'with the drop-in that the warning names' => sub {
    unlink $alpha->log_file;
    my @addresses = map { ($_, EPMD_PORT) } '127.0.0.1', $designated;
    my $epmd = $alpha->spawn({ env => {%library} }, $lab->root . '/tests/tools/socket-activate', @addresses, '--',
        qw(epmd -systemd));
    wait_until('it listens', 10, sub { listeners($alpha, 'epmd') == 2 });
    my $a = $alpha->node("a\@$designated", long => 1, shim => 1);
    my $b = $beta->node("b\@$peer", long => 1, shim => 1);
    is($b->call('net_adm:ping(' . $a->atom . ')'), 'pong', 'a node is found');
    is_deeply([$alpha->log(qr/event=not_bound/)], [], 'and nothing is warned of');
    $_->kill for $a, $b;
    ends($epmd);
};

done_testing;
