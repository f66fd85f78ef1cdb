#!/usr/bin/perl
# A cluster of guarded nodes of three OTPs, as it is while a cluster is brought from one release to the next: they find each
# other by their EPMDs, which are of three OTPs as well, and carry each other's load.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Native qw(both_ways mesh);
use Test::More;

my @OTP = (25, 27, 29);

my $lab = Distguard::Lab->new;
my @host = map { $lab->host($_) } qw(alpha beta gamma);
my @node = map { $host[$_]->node('a', long => 1, shim => 1, otp => $OTP[$_]) } 0 .. $#OTP;
is($node[$_]->call('erlang:system_info(otp_release)'), qq("$OTP[$_]"), "a node of OTP $OTP[$_]") for 0 .. $#OTP;

for my $pair ([0, 1], [1, 2], [0, 2]) {
    my ($one, $other) = @$pair;
    subtest "OTP $OTP[$one] and $OTP[$other]" => sub { both_ways(@node[$one, $other]) };
}

subtest 'a mesh' => sub { mesh(@node) };

done_testing;
