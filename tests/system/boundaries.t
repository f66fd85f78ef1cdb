#!/usr/bin/perl
# The boundaries between the folders hold, and the checker would notice if they did not.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use FindBin;
use Test::More;

my $root    = "$FindBin::Bin/../..";
my $checker = "$root/tests/tools/check-boundaries";

# What the checker says of a tree, and its exit status.
sub check {
    my (@arguments) = @_;
    open(my $output, '-|', $checker, @arguments) or die "$checker: $!";
    my $text = join '', <$output>;
    close $output;
    return ($text, $? >> 8);
}

# The checker's words for a tree that holds this one file.
sub check_one {
    my ($path, $text) = @_;
    my $root = tempdir(CLEANUP => 1);
    make_path(dirname("$root/$path"));
    open(my $file, '>', "$root/$path") or die "$path: $!";
    print {$file} $text;
    close $file;
    my ($output) = check($root);
    return $output;
}

my ($output, $status) = check($root, $ENV{DISTGUARD_BUILD} // "$root/build");
is($output, '', 'this tree keeps its boundaries');
is($status, 0,  'and the checker says so');

my $machine_path = join '/', '', 'home', 'somebody', 'project';
my @bad = (
    ['cli/pki.c',               "#include <openssl/ssl.h>\n"],
    ['shim/core/socket/role.c', "#  include <openssl/err.h>\n"],
    ['policy/values.c',         "#include <arpa/inet.h>\n"],
    ['policy/values.h',         "#include <sys/socket.h>\n"],
    ['policy/network.c',        "#include <netinet/in.h>\n"],
    ['policy/network.c',        "int fd = socket(AF_INET, SOCK_STREAM, 0);\n"],
    ['shim/core/wire/epmd.c',   "#include <stdio.h>\n"],
    ['shim/core/wire/epmd.h',   "#include \"shim/core/tls/channel.h\"\n"],
    ['shim/preload/calls.c',    "#include \"policy/policy.h\"\n"],
    ['shim/preload/calls.c',    "#include \"shim/core/report/log.h\"\n"],
    ['shim/core/core.c',        "#include \"shim/preload/calls.h\"\n"],
    ['shim/core/core.c',        "void *f = dlsym(RTLD_NEXT, \"read\");\n"],
    ['docs/design.md',          "see $machine_path\n"],
);
for my $case (@bad) {
    my ($path, $text) = @{$case};
    chomp(my $line = $text);
    like(check_one($path, $text), qr{: \Q$path\E:1: \Q$line\E$}m, "$path: $line");
}

my @good = (
    ['shim/core/tls/channel.c', "#include <openssl/ssl.h>\n"],
    ['policy/values.c',         "#include <libconfig.h>\n"],
    ['policy/network.c',        "#include <arpa/inet.h>\n"],
    ['shim/core/wire/epmd.c',   "#include <string.h>\n#include \"shim/core/wire/epmd.h\"\n"],
    ['shim/preload/calls.c',    "#include \"shim/abi.h\"\nvoid *f = dlsym(RTLD_NEXT, \"read\");\n"],
    ['tests/unit/test_tls.c',   "#include <openssl/ssl.h>\n"],
);
for my $case (@good) {
    my ($path, $text) = @{$case};
    is(check_one($path, $text), '', "$path may have it");
}

my $build = tempdir(CLEANUP => 1);
system("echo 'double sin(double); double f(double x) { return sin(x); }' | " .
       "cc -shared -fPIC -x c -o '$build/libdistguard.so' - -lm") == 0
    or BAIL_OUT('cannot build a library');
($output, $status) = check($root, $build);
like($output, qr{^libdistguard\.so needs libc alone: \S+: libm\.so}, 'a library that needs more');
is($status, 1, 'is a violation');

done_testing;
