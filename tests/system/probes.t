#!/usr/bin/perl
# Every intercepted call, on every kind of descriptor that is none of distguard's business, does what it does without
# the library: each probe's output is the same without it, with it in a program that is not guarded, and with it in one
# that is.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../probes";
use Distguard::Tool qw(run describe slurp);
use File::Copy qw(copy);
use Probes qw(probe_folder probe_program probe_library library policy guarded_env inert_env);
use Test::More;

my $probe = probe_program('probe', qw(
    main.c report.c kinds.c calls.c bytes.c flags.c arguments.c sockets.c descriptors.c passing.c processes.c fortified.c));

# Where two texts first differ, with the lines around it.
sub first_difference {
    my ($plain, $other) = map { [split /\n/] } @_;
    for my $i (0 .. ($#$plain > $#$other ? $#$plain : $#$other)) {
        my ($wanted, $saw) = map { $_->[$i] // '(the end)' } $plain, $other;
        return "line ${\($i + 1)}\n  saw:    $saw\n  wanted: $wanted" if $saw ne $wanted;
    }
    return 'no difference';
}

sub same_ok {
    my ($plain, $run, $name) = @_;
    ok($run->{out} eq $plain->{out} && $run->{status} == $plain->{status}, $name)
        or diag first_difference($plain->{out}, $run->{out}), "\nstatus $run->{status}, stderr: $run->{err}";
}

my $conf = policy(programs => ['probe', 'erl_call']);
my $erl_call = probe_folder() . '/erl_call';
copy($probe, $erl_call) or die $!;
chmod 0755, $erl_call;

my @names = split ' ', run($probe)->{out};
cmp_ok(scalar @names, '>', 5, 'there are probes');
for my $name (@names) {
    my $plain = run($probe, $name);
    is($plain->{status}, 0, "$name runs") or diag describe($plain);
    same_ok($plain, run({ env => {inert_env()} }, $probe, $name), "$name, not guarded");
    same_ok($plain, run({ env => {guarded_env($conf, 'probe')} }, $probe, $name), "$name, guarded");
}
same_ok(run($probe, 'bytes'), run({ env => {guarded_env($conf)} }, $erl_call, 'bytes'), 'guarded by its name');
like(slurp(probe_folder() . '/log'), qr{distguard\[$_\]: event=started}, "$_ was guarded indeed") for qw(probe erl_call);

subtest 'calls from the constructor of another library' => sub {
    plan skip_all => 'a sanitizer is not ready as early as that' if $ENV{DISTGUARD_LAB_AHEAD};
    my $other = probe_library('constructor');
    my $plain = run({ env => { LD_PRELOAD => $other } }, $probe, 'copies');
    like($plain->{out}, qr/^constructor: bytes: 0$/m, 'it makes its calls') or diag describe($plain);
    for my $order ([$other, library()], [library(), $other]) {
        my $preload = join ':', @$order;
        same_ok($plain, run({ env => { LD_PRELOAD => $preload } }, $probe, 'copies'), "not guarded, $preload");
        same_ok($plain, run({ env => { guarded_env($conf, 'probe'), LD_PRELOAD => $preload } }, $probe, 'copies'),
            "guarded, $preload");
    }
};

done_testing;
