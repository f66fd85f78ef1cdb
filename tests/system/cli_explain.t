#!/usr/bin/perl
# `distguard explain` says what happens to a bind, connect or accept, and which line of the policy decides it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(tool folder spew run on_host describe);
use Test::More;

my $folder = folder();
my $conf   = spew("$folder/shim.conf", <<'END');
version = 1;
default_profile = "cluster";
profiles: {
    cluster: {
        distribution: {
            bind       = [ "10.0.0.0/24",
                           "fd00::/16" ];
            allow_from = [ "10.0.0.0/8",
                           "fd00::/16" ];
            allow_to   = [ "10.0.0.0/16", "fd00::/16" ];
            ports      = [ "9100-9110" ];
        };
        epmd: { allow_to = [ "10.0.0.9" ]; };
    };
    ipv4: { distribution: { bind = "10.0.0.0/24"; }; epmd: { bind = "any"; port = 4370; }; };
    interface: { distribution: { bind = "interface:eth1"; }; };
    any: { inherit = "cluster"; distribution: { bind = "any"; }; };
    single: { local = "deny"; };
    trusting: { local = "allow"; };
    none: { inherit = "cluster"; distribution: { enabled = false; }; };
    development: { mode = "off"; };
    partial: { programs = [ "epmd" ]; };
    two: { distribution: { bind = "10.0.1.0/24"; }; };
    nowhere: { distribution: { bind = "192.0.2.0/24"; }; };
    missing: { distribution: { bind = "interface:eth9"; }; };
    empty: { distribution: { bind = "interface:eth3"; }; };
    allow: { inherit = "cluster"; mode = "allow"; };
    prefer: { inherit = "cluster"; mode = "prefer";
        peers = ( { dns = "*.example.org"; } ); };
    moving: { inherit = "allow"; local = "deny"; };
};
END

# The answer to a question on the host of on_host(), "F" standing for the policy's path.
sub answer {
    my ($words) = @_;
    return on_host(tool(), 'explain', '--conf', $conf, split ' ', $words);
}

sub is_answered {
    my ($words, $status, $expected) = @_;
    my $run = answer($words);
    (my $text = $run->{out}) =~ s/\Q$conf\E/F/g;
    ok($run->{status} == $status && $text eq "$expected\n" && $run->{err} eq '', $words)
        or diag describe($run), "\nwanted: status $status, $expected";
}

sub allowed { my ($words, $expected) = @_; is_answered($words, 0, "allowed: $expected.") }
sub refused { my ($words, $expected) = @_; is_answered($words, 1, "refused: $expected.") }

sub moved {
    my ($words, $to, $expected) = @_;
    is_answered($words, 0, "moved to $to: $expected.");
}

my $registering = 'when the node registers the port with EPMD; any other listener stays where it is';
my $at_once     = 'at once, as distribution.ports names the port';
my $registry    = 'EPMD listens on loopback, too, for the nodes of this host';

subtest 'bind' => sub {
    moved('bind 0.0.0.0:0',    '10.0.0.5', "distribution.bind is 10.0.0.0/24 (F:6), $registering");
    moved('bind [::]:0',       'fd00::5',  "distribution.bind is fd00::/16 (F:7), $registering");
    moved('bind 0.0.0.0:9105', '10.0.0.5', "distribution.bind is 10.0.0.0/24 (F:6), $at_once");
    moved('bind 0.0.0.0:4369 --program epmd', '10.0.0.5', "epmd.bind is 10.0.0.0/24 (F:6); $registry");
    moved('--role epmd bind [::]:4369',       'fd00::5',  "epmd.bind is fd00::/16 (F:7); $registry");
    allowed('bind 10.0.0.7:0',  '10.0.0.7 is within distribution.bind, 10.0.0.0/24 (F:6)');
    allowed('bind [fd00::5]:0', 'fd00::5 is within distribution.bind, fd00::/16 (F:7)');
    allowed('bind 127.0.0.1:0', '127.0.0.1 is loopback, which no other host can reach (default)');
    refused('bind 10.0.1.5:0',
        '10.0.1.5 is not within distribution.bind, 10.0.0.0/24 (F:6), fd00::/16 (F:7); the program gets EADDRNOTAVAIL');

    moved('--profile ipv4 bind [::]:0', '10.0.0.5', "distribution.bind is 10.0.0.0/24 (F:15), $registering");
    allowed('--profile ipv4 --program epmd bind 0.0.0.0:4370', 'epmd.bind is any (F:15)');
    moved('--profile interface bind 0.0.0.0:0', '10.0.0.5', "distribution.bind is interface:eth1 (F:16), $registering");
    allowed('--profile interface bind [fd00::5]:0', 'fd00::5 is within distribution.bind, interface:eth1 (F:16)');
    allowed('--profile any bind 0.0.0.0:0', 'distribution.bind is any (F:17)');
    moved('--profile single bind 0.0.0.0:0', '127.0.0.1', "distribution.bind is loopback (default), $registering");
    moved('--profile single bind [::]:0',    '::1',       "distribution.bind is loopback (default), $registering");
    refused('--profile single bind 10.0.0.5:0',
        '10.0.0.5 is not within distribution.bind, loopback (default); the program gets EADDRNOTAVAIL');
    refused('--profile none bind 0.0.0.0:0', 'distribution.enabled is false (F:20)');
    moved('--profile none --program epmd bind 0.0.0.0:4369', '10.0.0.5', "epmd.bind is 10.0.0.0/24 (F:6); $registry");
};

subtest 'bind where the host has no such place' => sub {
    my @cases = (
        ['two',     qr/this host has several addresses in 10\.0\.1\.0\/24.*10\.0\.1\.5, 10\.0\.1\.6/],
        ['nowhere', qr/this host has no address in 192\.0\.2\.0\/24/],
        ['missing', qr/this host has no interface eth9/],
        ['empty',   qr/interface eth3 has no address/],
    );
    for my $case (@cases) {
        my ($profile, $expected) = @$case;
        my $run = answer("--profile $profile bind 0.0.0.0:0");
        ok($run->{status} == 1 && $run->{out} =~ /^refused: \Q$conf\E:\d+: $expected/, $profile)
            or diag describe($run), "\nwanted: status 1, refused: …$expected";
    }
};

subtest 'connect' => sub {
    allowed('connect --to 10.0.0.9', 'distribution.allow_to has 10.0.0.0/16 (F:10); the source address is 10.0.0.5, '
        . 'as connect_from is 10.0.0.0/24 (F:6); over mutual TLS');
    allowed('connect --to fd00::9', 'distribution.allow_to has fd00::/16 (F:10); the source address is fd00::5, '
        . 'as connect_from is fd00::/16 (F:7); over mutual TLS');
    allowed('connect --to 10.0.0.9:4369',
        'epmd.allow_to has 10.0.0.9 (F:13); the source address is 10.0.0.5, as connect_from is 10.0.0.0/24 (F:6); '
            . "over mutual TLS, unless it is this host's own");
    refused('connect --to 10.0.0.8:4369', '10.0.0.8 is not within epmd.allow_to, 10.0.0.9 (F:13); the program gets EACCES');
    refused('connect --to 10.1.0.9',
        '10.1.0.9 is not within distribution.allow_to, 10.0.0.0/16 (F:10), fd00::/16 (F:10); the program gets EACCES');
    allowed('connect --to [::1]:9100',
        '::1 is this very host, to which allow_to and connect_from do not apply (default); over mutual TLS');
    allowed('--role other connect --to 192.0.2.1:443',
        'this is neither distribution nor EPMD, and other sockets keep their addresses (default)');
    refused('--profile ipv4 connect --to fd00::9', 'distribution.allow_to is not set (default), but connect_from is '
        . '10.0.0.0/24 (F:15), from which IPv6 cannot be reached; the program gets EADDRNOTAVAIL');
    allowed('--profile ipv4 connect --to 10.9.0.1:4370', 'epmd.allow_to is not set (default); the source address is '
        . "10.0.0.5, as connect_from is 10.0.0.0/24 (F:15); over mutual TLS, unless it is this host's own");
    allowed('connect --to 127.0.0.1:4369', '127.0.0.1 is this very host, to which allow_to and connect_from do not apply '
        . '(default); in plaintext, as EPMD speaks it on its own host');
    allowed('--profile single connect --to 10.0.0.9',
        'distribution.allow_to is not set (default); the kernel chooses the source address (default); over mutual TLS');
    allowed('--profile allow connect --to [::1]:9100',
        '::1 is this very host, to which allow_to and connect_from do not apply (default); in plaintext, as mode is allow');
    allowed('--profile prefer connect --to [::1]:9100',
        '::1 is this very host, to which allow_to and connect_from do not apply (default); over mutual TLS');
    refused('--profile none connect --to 127.0.0.1:4369', 'distribution.enabled is false (F:20)');
    refused('--profile none connect --to 127.0.0.1:9100', 'distribution.enabled is false (F:20)');
};

subtest 'accept' => sub {
    allowed('accept --from 10.1.2.3', 'distribution.allow_from has 10.0.0.0/8 (F:8); over TLS, with a certificate of the CA');
    refused('accept --from 10.1.2.3 --plaintext',
        'distribution.allow_from has 10.0.0.0/8 (F:8), but it speaks plaintext, and mode is require (default)');
    refused('accept --from 192.0.2.1', '192.0.2.1 is not within distribution.allow_from, 10.0.0.0/8 (F:8), '
        . 'fd00::/16 (F:9); the connection is closed, and the program never sees it');
    refused('accept --role epmd --from 2001:db8::1', '2001:db8::1 is not within epmd.allow_from, 10.0.0.0/8 (F:8), '
        . 'fd00::/16 (F:9); the connection is closed, and the program never sees it');
    allowed('accept --program epmd --from fd00::9',
        'epmd.allow_from has fd00::/16 (F:9); over TLS, with a certificate of the CA');
    refused('accept --program epmd --from fd00::9 --plaintext',
        'epmd.allow_from has fd00::/16 (F:9), but it speaks plaintext, and mode is require (default)');
    allowed('accept --from 127.0.0.1', '127.0.0.1 is this very host, which allow_from does not keep out (default)');
    allowed('accept --from 127.0.0.1 --plaintext', '127.0.0.1 is this very host, and local is same-user (default), if the '
        . 'peer\'s socket belongs to the program\'s user or to root; else it is refused');
    refused('accept --profile single --from ::1 --plaintext',
        '::1 is this very host, but speaks plaintext, and local is deny (F:18)');
    allowed('accept --profile trusting --from ::1 --plaintext', '::1 is this very host, and local is allow (F:19)');
    allowed('accept --profile moving --from ::1 --plaintext',
        '::1 is this very host; in plaintext, as mode is allow (F:27)');
    allowed('accept --profile single --from 192.0.2.1',
        'distribution.allow_from is not set (default); over TLS, with a certificate of the CA');
    allowed('accept --profile allow --from 10.1.2.3 --plaintext',
        'distribution.allow_from has 10.0.0.0/8 (F:8); in plaintext, as mode is allow (F:27)');
    allowed('accept --profile prefer --from 10.1.2.3 --plaintext',
        'distribution.allow_from has 10.0.0.0/8 (F:8); in plaintext, as mode is prefer (F:28)');
    allowed('accept --profile prefer --from 10.1.2.3',
        'distribution.allow_from has 10.0.0.0/8 (F:8); over TLS, with a certificate of the CA that peers has (F:29)');
    refused('accept --profile allow --from 192.0.2.1', '192.0.2.1 is not within distribution.allow_from, 10.0.0.0/8 (F:8), '
        . 'fd00::/16 (F:9); the connection is closed, and the program never sees it');
    refused('accept --profile none --from 10.1.2.3', 'distribution.enabled is false (F:20)');
};

subtest 'what is not guarded' => sub {
    allowed('--program sh bind 0.0.0.0:0',            'sh is none of the programs that are guarded (default)');
    allowed('--profile partial bind 0.0.0.0:0',       'beam.smp is none of the programs that are guarded (F:22)');
    allowed('--profile development bind 0.0.0.0:0',   'mode is off (F:21), so nothing is guarded');
    allowed('--profile development connect --to 1.1.1.1',   'mode is off (F:21), so nothing is guarded');
    allowed('--profile development accept --from 1.1.1.1',  'mode is off (F:21), so nothing is guarded');
};

subtest 'which policy' => sub {
    my $run = run({ env => { DISTGUARD_CONF => $conf, DISTGUARD_PROFILE => 'single' } }, tool(), 'explain', 'bind', '0.0.0.0:0');
    like($run->{out}, qr/^moved to 127\.0\.0\.1: /, 'that of the environment') or diag describe($run);
    $run = run(tool(), 'explain', '--conf', "$folder/none.conf", 'bind', '0.0.0.0:0');
    ok($run->{status} == 2 && $run->{err} =~ /none\.conf: cannot open/, 'one that is not there') or diag describe($run);
};

subtest 'mistakes' => sub {
    my @mistakes = (
        ['',                                   qr/say what to explain: bind, connect or accept/],
        ['listen 0.0.0.0:0',                   qr/say what to explain: bind, connect or accept/],
        ['bind',                               qr/bind needs one ADDRESS:PORT/],
        ['bind 10.0.0.1:1 10.0.0.1:2',         qr/bind needs one ADDRESS:PORT/],
        ['bind 10.0.0.1',                      qr/bind 10\.0\.0\.1: the port is missing/],
        ['bind localhost:0',                   qr/"localhost:0" is no address/],
        ['bind 10.0.0.1:65536',                qr/"10\.0\.0\.1:65536" is no address/],
        ['bind 10.0.0.1:',                     qr/"10\.0\.0\.1:" is no address/],
        ['bind [10.0.0.1]:1',                  qr/"\[10\.0\.0\.1\]:1" is no address/],
        ['bind [::1:1',                        qr/"\[::1:1" is no address/],
        ['bind [::1]1',                        qr/"\[::1\]1" is no address/],
        ['connect',                            qr/connect needs --to ADDRESS/],
        ['connect 10.0.0.1 --to 10.0.0.1',     qr/say what to explain/],
        ['connect --to 0.0.0.0:1',             qr/"0\.0\.0\.0:1" is every address; name one/],
        ['connect --to 10.0.0.0/8',            qr/"10\.0\.0\.0\/8" is no address/],
        ['accept',                             qr/accept needs --from ADDRESS/],
        ['accept --from ::',                   qr/"::" is every address; name one/],
        ['accept --from 10.0.0.1 --role node', qr/--role node: allowed are distribution, epmd, other/],
        ['accept --form 10.0.0.1',             qr/"--form": did you mean --from\?/],
    );
    for my $case (@mistakes) {
        my ($words, $expected) = @$case;
        my $run = run(tool(), 'explain', '--conf', $conf, split ' ', $words);
        ok($run->{status} == 2 && $run->{err} =~ $expected && $run->{out} eq '', "explain $words")
            or diag describe($run), "\nwanted: status 2, $expected";
    }
};

done_testing;
