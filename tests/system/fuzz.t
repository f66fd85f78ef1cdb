#!/usr/bin/perl
# Every parser of foreign bytes, and the channel as a whole, against the kept corpus of its fuzz target and a second of new
# inputs. `make fuzz` runs longer: tests/fuzz/README.md.
use strict;
use warnings;
use File::Basename qw(basename);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

use constant SECONDS => 1;

my $root  = "$FindBin::Bin/../..";
my $fuzz  = "$root/tests/fuzz";
my $build = $ENV{DISTGUARD_BUILD} // "$root/build";

# What a target says, and its exit status. What it finds goes to a folder of its own, inputs that fail to where `make fuzz`
# puts them.
sub run_target {
    my ($target, @options) = @_;
    my $failed = "$build/fuzz/failed";
    system('mkdir', '-p', $failed) == 0 or die "cannot make $failed\n";
    my $dictionary = "$fuzz/dictionaries/$target";
    push @options, "-dict=$dictionary" if -e $dictionary;
    my $pid = open(my $output, '-|') // die "fork: $!\n";
    if ($pid == 0) {
        open(STDERR, '>&', \*STDOUT) or die "stderr: $!\n";
        exec "$build/fuzz/$target", '-timeout=20', '-rss_limit_mb=2048', "-artifact_prefix=$failed/$target-", @options
            or die "$build/fuzz/$target: $!\n";
    }
    my $text = join '', <$output>;
    close $output;
    return ($text, $?);
}

for my $target (map { basename($_, '.c') } sort glob "$fuzz/*.c") {
    my $corpus = "$fuzz/corpus/$target";
    my @kept   = glob "$corpus/*";
    cmp_ok(scalar @kept, '>', 0, "$target has a corpus");
    my ($text, $status) = run_target($target, @kept);
    is($status, 0, "$target stands all " . @kept . ' kept inputs') or diag($text);
    ($text, $status) = run_target($target, '-max_total_time=' . SECONDS, tempdir(CLEANUP => 1), $corpus);
    is($status, 0, "$target stands a second of new inputs") or diag($text);
}

done_testing;
