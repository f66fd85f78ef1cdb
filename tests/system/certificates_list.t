#!/usr/bin/perl
# The README of the certificates says what the list says, and one command makes them all.
use strict;
use warnings;
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my $home = "$FindBin::Bin/../certificates";

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

my %entries;
my $name;
for my $line (split /\n/, content("$home/list")) {
    if ($line =~ /^\[(\w+) (\S+)\]$/) {
        $name = $2;
        ok(!$entries{$name}, "$name is there once") if $entries{$name};
        $entries{$name} = { kind => $1 };
    }
    elsif ($line =~ /^([\w-]+) +=/) {
        $entries{$name}{$1} = 1;
    }
}

my %needs = (admitted => ['why'], refused => [qw(why reason alert)], unstartable => [qw(why reason)]);
for my $kind (sort keys %needs) {
    my @entries = grep { $entries{$_}{kind} eq $kind } keys %entries;
    for my $key (@{ $needs{$kind} }) {
        is_deeply([sort grep { !$entries{$_}{$key} } @entries], [], "each of $kind has $key");
    }
}

my $dir = tempdir(CLEANUP => 1);
is(system("$home/make", $dir), 0, 'make DIR makes them all');
my @missing = grep { $entries{$_}{kind} ne 'crl' && !-s "$dir/$_.key" || !-s "$dir/$_.pem" } sort keys %entries;
is_deeply(\@missing, [], 'with their keys');

done_testing;
