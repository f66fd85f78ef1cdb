#!/usr/bin/perl
# As same_as_plain.t, of what is not distribution's nor gen_tcp's: the socket module, datagrams, files, programs, signals,
# names, OTP's own TLS, and the figures that a VM tells of itself.
#
# same_as_plain_vm.t [CASE...]
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Judge qw(worlds judge_module);
use Test::More;

my $lab = Distguard::Lab->new;
plan skip_all => 'there is nothing to compare without the library' if $ENV{DISTGUARD_LAB_PLAIN};

my @worlds = worlds($lab);
judge_module(\@worlds, $_, \@ARGV) for qw(dg_judge_socket dg_judge_vm);

done_testing;
