#!/usr/bin/perl
# A program in which many threads open, use and close guarded connections, others, pipes and files all at once: each
# byte arrives where it belongs, whatever its number was a moment ago; children of every birth do no harm; and the
# program ends in every way that there is, whatever its threads are in the midst of. STORM_SECONDS, STORM_CHILDREN and
# STORM_LEAVES say how much of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../probes";
use Distguard::Tool qw(run describe slurp tool);
use IO::Handle;
use IO::Socket::INET;
use IPC::Open3 qw(open3);
use JSON::PP qw(decode_json);
use Probes qw(probe_folder probe_program probe_library policy guarded_env);
use Test::More;

my $seconds  = $ENV{STORM_SECONDS}  // 3;
my $children = $ENV{STORM_CHILDREN} // 70;
my $leaves   = $ENV{STORM_LEAVES}   // 50;

use constant PATIENCE => 60;

my $storm = probe_program('storm', qw(storm.c storm_forks.c storm_leave.c));

# A port that nobody has now.
my $port = do { IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)->sockport };
my %env = guarded_env(policy(programs => ['storm'], ports => $port), 'storm');

# What the status says of a process, as a tree.
sub status_of {
    my ($pid) = @_;
    my $run = run(tool(), qw(status --json), $pid);
    return decode_json($run->{out});
}

# A storm until its end; with what it told, and its status when all was over.
sub storm {
    my (@arguments) = @_;
    my $error = File::Temp->new;
    my %saved = map { $_ => $ENV{$_} } keys %env;
    local @ENV{ keys %env } = values %env;
    my $pid = open3(my $in, my $out, '>&' . fileno $error, $storm, $port, @arguments);
    @ENV{ keys %saved } = values %saved;
    local $SIG{ALRM} = sub { kill KILL => $pid };
    alarm PATIENCE + $seconds + $children;
    my $line   = readline($out) // '';
    my $status = $line ? eval { status_of($pid) } : undef;
    close $in;
    waitpid $pid, 0;
    alarm 0;
    return { line => $line, end => $?, error => slurp($error), status => $status };
}

sub storm_ok {
    my ($storm) = @_;
    is($storm->{end}, 0, 'each byte arrived where it belongs') or diag $storm->{error};
    my %count = $storm->{line} =~ /(\w+) (-?\d+)/g;
    cmp_ok($count{$_} // 0, '>', 10, "$_: $count{$_}") for qw(guarded plain others taken);
    is($count{open}, 0, 'no descriptor is left');
    my ($process) = @{ ref $storm->{status} eq 'HASH' ? $storm->{status}{processes} : $storm->{status} };
    is_deeply([@$process{qw(guarded connections listeners)}], [JSON::PP::true, [], []], 'nor anything in the status')
        or diag explain $process;
}

subtest "$seconds s" => sub { storm_ok(storm($seconds)) };
subtest "$children children meanwhile" => sub { storm_ok(storm('forks', $children)) };

# How it ends, and the status that says so.
my @ways = (
    [exit => 7], [_exit => 7], [quick_exit => 7], [thread => 7], [destructor => 7], [talking => 7],
    [ending => 7], [abort => 128 + 6], [kill => 128 + 9], [term => 128 + 15],
);
sub leave_ok {
    my ($times, $env, @ways) = @_;
    for my $i (0 .. $times - 1) {
        my ($how, $wanted) = @{ $ways[$i % @ways] };
        my $run = run({ env => $env, patience => 20 }, $storm, $port, 'leave', $how);
        next if $run->{status} == $wanted;
        is($run->{status}, $wanted, "by $how") or diag describe($run);
    }
    pass('as they were meant');
}

subtest "$leaves ends" => sub { leave_ok($leaves, \%env, @ways) };

# Its constructor runs before ours, so OpenSSL is torn down under our threads at exit.
subtest 'ends of a program that another library has brought OpenSSL into' => sub {
    my %with = (%env, LD_PRELOAD => "$env{LD_PRELOAD}:" . probe_library('openssl', 'crypto'));
    leave_ok($leaves / 4, \%with, grep { $_->[0] =~ /^(?:exit|thread|talking)$/ } @ways);
    leave_ok($leaves / 5, \%with, [ending => 7]);
};

unlike(slurp(probe_folder() . '/log'), qr/event=plaintext/, 'the log tells of no plaintext');

done_testing;
