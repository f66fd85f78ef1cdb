#!/usr/bin/perl
# Nothing in a VM with the library differs from one without it, beyond what the policy asks for: what OTP promises of its
# sockets, distribution, files and programs is asked of two nodes without the library and of two with it, case by case
# (tests/system/judge), and compared.
#
# same_as_plain.t [CASE...]
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
judge_module(\@worlds, 'dg_judge_distribution', \@ARGV);
judge_module(\@worlds, 'dg_judge_tcp', \@ARGV, backend => $_) for qw(inet socket);

done_testing;
