#!/usr/bin/perl
# What the libraries show to the programs that they are loaded into: libdistguard.so the interposers of its list and
# libc alone, libdistguard-core.so its one entry. Also when built with link-time optimisation, and by clang.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(build folder run slurp describe);
use Test::More;

my $root = "$FindBin::Bin/../..";

# The names of a linker's version script.
sub listed {
    my ($file) = @_;
    my ($global) = slurp("$root/$file") =~ /global:(.*?)local:/s;
    return [sort $global =~ /(\w+);/g];
}

sub symbols {
    my ($which, $library) = @_;
    my $run = run('nm', '-D', '--format=posix', "--$which", $library);
    $run->{status} == 0 or die describe($run);
    return [sort map { /^([^\s@]+)/ ? $1 : () } split /\n/, $run->{out}];
}

sub needed {
    my ($library) = @_;
    my $run = run('readelf', '-dW', $library);
    return [$run->{out} =~ /\(NEEDED\).*\[(.*)\]/g];
}

# Every function that is interposed has to be found first, by the list in preload.h; these two stand on another's.
my %interposed = map { $_ => 1 } slurp("$root/shim/preload/preload.h") =~ /X\([^,]+, (\w+), \(/g;
my @not_found  = grep { !$interposed{$_} } @{ listed('shim/preload/exports.map') };
is_deeply(\@not_found, [qw(__dprintf_chk dprintf)], 'each exported function is in DG_INTERPOSED, but what calls another');

sub check {
    my ($build, $how) = @_;
    subtest $how => sub {
        my ($preload, $core) = map { "$build/$_.so" } qw(libdistguard libdistguard-core);
        is_deeply(symbols('defined-only', $preload), listed('shim/preload/exports.map'), 'the interposers, and no more');
        is_deeply(symbols('defined-only', $core), ['dg_core_start'], 'the core exports its one entry');
        is_deeply([grep { !/^(?:libc\.so\.6|ld-linux.*)$/ } @{ needed($preload) }], [], 'libdistguard.so needs libc alone');
        my $undefined = symbols('undefined-only', $preload);
        my @foreign   = grep { /^(?:SSL|X509|EVP|ERR|BIO|OPENSSL|CRYPTO|PEM|ASN1|config)_/ } @$undefined;
        is_deeply(\@foreign, [], 'and neither OpenSSL nor libconfig');
        cmp_ok(scalar @$undefined, '>', 5, 'of what it imports') or diag "@$undefined";
    };
}

check(build(), 'as built');

# The user's flags alone: `make test` hands down its own.
delete @ENV{qw(MAKEFLAGS MFLAGS MAKEOVERRIDES CFLAGS LDFLAGS CC)};
for my $variant (['link-time optimisation', 'CFLAGS=-O2 -flto'], ['clang', 'CC=clang']) {
    my ($how, $setting) = @$variant;
    my $build = folder();
    my $run = run({ dir => $root }, qw(make -s -j2), "B=$build", $setting,
        map { "$build/$_.so" } qw(libdistguard libdistguard-core));
    is($run->{status}, 0, "$how builds") or diag describe($run);
    check($build, $how);
}

done_testing;
