#!/usr/bin/perl
# The README of the certificates says what the list says, and one command makes them all.
use strict;
use warnings;
use File::Temp qw(tempdir);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Certificates qw(entries home);
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

done_testing;
