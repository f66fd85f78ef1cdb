#!/usr/bin/perl
# In programs that are not guarded the library costs next to nothing: it is loaded, it looks once which program it is
# in, and that is all the kernel ever hears of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(build folder run slurp describe);
use Test::More;

my $library = build() . '/libdistguard.so';
my $folder  = folder();

# The system calls of a command, but those of the loader for the library itself.
sub calls {
    my ($env, @command) = @_;
    my $trace = "$folder/trace";
    my $run = run('strace', '-f', '-qq', '-o', $trace, (map { ('-E', "$_=$env->{$_}") } sort keys %$env), @command);
    $run->{status} == 0 or die describe($run);
    return grep { /\w\(/ } map { s/^\d+\s+//r } split /\n/, slurp($trace);
}

# Names of files that are opened or asked for, and sockets made.
sub touched {
    my @calls = map { s/0x[0-9a-f]+/ADDRESS/gr } @_;
    return sort map { /^(?:open|openat|readlink|readlinkat|socket|connect|stat|newfstatat|access)\((.*)\)\s+=/ ? $1 : () } @calls;
}

sub without {
    my ($less, @list) = @_;
    my %count;
    $count{$_}++ for @$less;
    return grep { !($count{$_} && $count{$_}--) } @list;
}

plan skip_all => 'strace cannot trace here' if run(qw(strace -qq -o /dev/null true))->{status} != 0;

for my $case (
    ['true', '/bin/true'],
    ['a shell and its child', '/bin/sh', '-c', '/bin/true; echo done'],
    ['perl', $^X, '-MIO::Socket::INET', '-e', 'IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die; print "done\n"'],
) {
    my ($name, @command) = @$case;
    subtest $name => sub {
        my @plain  = calls({}, @command);
        my @loaded = calls({ LD_PRELOAD => $library, DISTGUARD_CONF => '/nowhere/shim.conf' }, @command);
        my $execs  = grep { /^execve\(/ && !/ = -1 / } @loaded;
        my ($plain_asks, $asks) = map { scalar grep { m{^readlink(?:at)?\(.*"/proc/self/exe"} } @$_ } \@plain, \@loaded;
        my @more   = without([touched(@plain)], touched(@loaded));
        my @others = grep { !/\Q$library\E/ && !m{^"/proc/self/exe"} && !m{"/etc/ld\.so\.preload"} && !/^\d+, "", / } @more;
        is_deeply(\@others, [], 'opens nothing, asks for nothing, makes no socket');
        is($asks - $plain_asks, $execs, 'asks each program once which it is');
        is(scalar(grep { /libdistguard-core/ } @loaded), 0, 'libdistguard-core.so is not touched');
        is(scalar(grep { /DISTGUARD|shim\.conf/ && !/^execve/ } @loaded), 0, 'nor the policy');
    };
}

my $maps = run({ env => { LD_PRELOAD => $library } }, 'cat', '/proc/self/maps')->{out};
like($maps, qr{/libdistguard\.so$}m, 'the library is there');
unlike($maps, qr/libdistguard-core|libssl|libcrypto|libconfig/, 'the core and its libraries are not');

done_testing;
