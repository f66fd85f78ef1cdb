#!/usr/bin/perl
# The README of the certificates says what the list says, and one command makes them all.
use strict;
use warnings;
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Certificates qw(entries home);
use Distguard::Tool qw(describe run tool);
use Test::More;

my $home = home();

sub content {
    my ($path) = @_;
    open(my $file, '<', $path) or die "$path: $!";
    local $/;
    return scalar <$file>;
}

my $table = qx("$home/make" --table);
is($?, 0, 'make --table makes the table');
my ($written) = content("$home/README.md") =~ /^(### Refused\n.*)\z/ms;
is($written, $table, 'README.md has it (else: replace its end with what tests/certificates/make --table prints)');

my @entries = entries();
my %seen;
is_deeply([grep { $seen{$_}++ } map { $_->{name} } @entries], [], 'no name is there twice');

my %needs = (admitted => ['why'], refused => [qw(why reason alert)], unstartable => [qw(why reason)]);
for my $kind (sort keys %needs) {
    my @of_kind = grep { $_->{kind} eq $kind } @entries;
    for my $key (@{ $needs{$kind} }) {
        is_deeply([map { $_->{name} } grep { !defined $_->{$key} } @of_kind], [], "each of $kind has $key");
    }
}

my $dir = tempdir(CLEANUP => 1);
is(system("$home/make", $dir), 0, 'make DIR makes them all');
my @files = map { ("$_->{name}.pem", $_->{kind} eq 'crl' ? () : "$_->{name}.key") } @entries;
is_deeply([grep { !-s "$dir/$_" } @files], [], 'with their keys');

# The policies of the nodes that meet them, as an operator asks about them.
sub check {
    my ($name) = @_;
    return run(tool(), 'check', "$dir/$name.conf");
}

my %crl = (
    'crl-ending'         => [0, qr/crl-ending\.crls: the CRL of \/CN=ours ends in 0 days: install the next one/],
    'not-revoked'        => [0, qr/\A(?!.*the CRL of)/s],
    'crl-expired-own'    => [1, qr/past its nextUpdate is the CRL of its issuer \/CN=ours; put the CA's present one there/],
    'crl-for-one-anchor' => [1, qr/crl-for-one-anchor\.crls: there is no CRL of the trust anchor \/CN=second/],
);
for my $name (sort keys %crl) {
    my ($status, $complaint) = @{ $crl{$name} };
    my $run = check($name);
    is($run->{status}, $status, "distguard check, $name: the exit status") or diag describe($run);
    like($run->{err}, $complaint, 'and what is said') or diag describe($run);
    like($run->{out}, qr/^tls\.crl\.expires=\d{4}-\d\d-\d\dT[\d:]+Z$/m, 'and when it ends') or diag describe($run) if $status == 0;
}

done_testing;
