#!/usr/bin/perl
# The start of a guarded program, with each file that it opens, each allocation, each mapping and each question to the
# kernel failing in turn. It comes to a program that is guarded, or to none: status 78, and why. Never to one that sends
# its name in plaintext. Without memory libconfig ends the program by itself, or falls: that is all that is known of it.
# FAILING_STEP=1 tries each allocation, which are many, and not only every so-manieth.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../probes";
use Distguard::Failing qw(build_fault);
use Distguard::Tool qw(build run describe);
use Errno qw(EMFILE ENOMEM EINTR);
use Probes qw(probe_folder library policy guarded_env);
use Test::More;

use constant {
    EXIT_REFUSED => 78,
    SAMPLE       => 40,     # so many of a long series are tried
    FIRST        => 15,     # and these in any case
};

my $failing = Distguard::Failing->new(probe_folder());
my $program = build_fault('first_words', probe_folder() . '/beam.words');
my $conf    = policy(programs => ['beam.words'], log => 'stderr');
my $vm_conf = policy(programs => ['beam.smp'], log => 'stderr', file => 'vm.conf');
my %env     = (guarded_env($conf, 'beam.words'), LD_PRELOAD => library() . ' ' . $failing->library,
    FAILING => $failing->file);

sub start {
    my ($class, $rule, $env, @command) = @_;
    $failing->clear;
    $failing->rule($class => $rule);
    $failing->on;
    my $run = run({ env => $env // \%env, patience => 20 }, @command ? @command : $program);
    return ($run, $failing->counts($class));
}

# Undef where all is well, or what is wrong.
sub fault_of {
    my ($class, $run, $failed) = @_;
    return undef if $run->{status} == EXIT_REFUSED && $run->{err} =~ /^distguard: beam.words is not started: \S/m;
    return 'it sends its name in plaintext' if $run->{out} =~ /plaintext/;
    return undef if $class eq 'parser' && $run->{status} != 0;
    return undef if $run->{status} == 0 && $run->{out} eq "tls\n";
    return undef if $run->{status} == 0 && $run->{out} =~ /^(nothing|alert)$/ && $failed;
    return 'it neither runs guarded nor says why not';
}

sub numbers_to_try {
    my ($all) = @_;
    my $step = $ENV{FAILING_STEP} // int($all / SAMPLE) + 1;
    return grep { $_ <= FIRST || $_ % $step == 0 } 1 .. $all;
}

my %errors = (open => [EMFILE, EINTR], map => [ENOMEM], memory => [ENOMEM], parser => [ENOMEM], option => [ENOMEM],
    socket => [EMFILE], connect => [EINTR], send => [EINTR, ENOMEM], receive => [EINTR, ENOMEM]);

for my $class (qw(open map memory parser option socket connect send receive)) {
    my ($run, $all) = start($class, { nth => 1 << 30, errors => [ENOMEM] });
    is($run->{out}, "tls\n", "$class: with nothing failing it is guarded; $all calls") or diag describe($run);
    my @faults;
    my %came;
    for my $rule (map { my $nth = $_; map { { nth => $nth, errors => [$_] } } @{ $errors{$class} } } numbers_to_try($all)) {
        for my $lasting ($rule->{errors}[0] == EINTR ? 0 : (0, 1)) {    # what interrupts goes by
            my ($run, undef, $failed) = start($class, { %$rule, lasting => $lasting });
            my $fault = fault_of($class, $run, $failed);
            $came{ $run->{status} . ($run->{out} =~ s/\s//gr) }++;
            push @faults, "$class $rule->{nth}, $rule->{errors}[0]" . ($lasting ? ' and all behind it' : '')
                . ": $fault\n" . describe($run) if $fault;
        }
    }
    is(scalar @faults, 0, "$class: guarded or refused: " . join ', ', map {"$_ $came{$_} times"} sort keys %came)
        or diag @faults > 3 ? @faults[0 .. 2] : @faults;
}

# The same with the VM itself, a few times.
my @vm = (qw(erl -noshell -eval), '{ok, Maps} = file:read_file("/proc/self/maps"),
    io:put_chars(case binary:match(Maps, <<"libdistguard-core">>) of nomatch -> "bare"; _ -> "guarded" end), halt(0).');
my @cases = ((map { [open => $_] } 1 .. 6), (map { [memory => $_] } 1, 50, 1000, 9000), ['map', 1]);
my %ends;
for my $case (@cases) {
    my ($class, $nth) = @$case;
    my ($run) = start($class, { nth => $nth, errors => [ENOMEM] }, { %env, DISTGUARD_CONF => $vm_conf }, @vm);
    my $end = "$run->{status} $run->{out}";
    $ends{$end}++;
    ok($end eq '0 guarded' || ($end eq EXIT_REFUSED . ' ' && $run->{err} =~ /beam\S* is not started: \S/),
        "the VM: $class $nth: $end") or diag describe($run);
}
is_deeply([sort keys %ends], ['0 guarded', '78 '], 'some were refused, some were none the worse');

done_testing;
