#!/usr/bin/perl
# Native nodes (-proto_dist inet_tls) of one OTP and guarded ones of another: OTP's TLS, and each release's OpenSSL, are of
# very different ages.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Native qw(both_ways guarded mesh native);
use Test::More;

my @OTP = (25, 27, 29);

my $lab = Distguard::Lab->new;
my ($alpha, $beta, $gamma) = map { $lab->host($_) } qw(alpha beta gamma);

for my $native (@OTP) {
    for my $guarded (@OTP) {
        subtest "native $native, guarded $guarded" => sub {
            my @nodes = (native($alpha, otp => $native), guarded($beta, otp => $guarded));
            is($nodes[$_]->call('erlang:system_info(otp_release)'), '"' . ($native, $guarded)[$_] . '"', 'the right OTP') for 0, 1;
            both_ways(@nodes);
            $_->kill for @nodes;
        };
    }
}

# Each as it comes when nobody says which versions to speak: OTP 25 and 27 offer TLS 1.2 alone then.
subtest 'native nodes that are told nothing about versions, where the policy allows TLS 1.2' => sub {
    my $conf = $beta->shim(conf => { tls => { min_version => \'"1.2"' } }, file => $lab->temp_path('conf'));
    unlink $beta->log_file;
    for my $native (@OTP) {
        my @nodes = (native($alpha, otp => $native, native => { versions => [] }), guarded($beta, env => { DISTGUARD_CONF => $conf }));
        both_ways(@nodes);
        my $version = $native < 29 ? 'TLSv1.2' : 'TLSv1.3';
        is(scalar($beta->log(qr/event=admitted .*version=\Q$version\E/)), 2, "OTP $native has $version in both directions")
            or diag $beta->log;
        $_->kill for @nodes;
        unlink $beta->log_file;
    }
};

subtest 'a mesh of three OTPs, one of them native' => sub {
    for my $native (@OTP) {
        my @host = ($alpha, $beta, $gamma);
        my @nodes = map { my $host = shift @host; $_ == $native ? native($host, otp => $_) : guarded($host, otp => $_) } @OTP;
        my ($last) = grep { $nodes[$_]->name =~ /native/ } 0 .. $#nodes;
        mesh((grep { $_ != $nodes[$last] } @nodes), $nodes[$last]);
        $_->kill for @nodes;
    }
};

done_testing;
