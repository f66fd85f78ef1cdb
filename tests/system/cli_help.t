#!/usr/bin/perl
# The tool explains itself, and what it does not understand.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Tool qw(slurp tool run describe);
use Test::More;

use constant USAGE => 2;

my @commands = ('run', 'check', 'explain', 'status', 'scan', 'enable', 'disable', 'pki init', 'pki issue', 'help');

sub answers {
    my ($name, $arguments, $expected) = @_;
    my $run = run(tool(), @$arguments);
    ok($run->{status} == 0 && $run->{out} =~ $expected && $run->{err} eq '', $name)
        or diag describe($run), "\nwanted: $expected";
}

sub refuses {
    my ($name, $arguments, $expected) = @_;
    my $run = run(tool(), @$arguments);
    ok($run->{status} == USAGE && $run->{err} =~ $expected && $run->{out} eq '', $name)
        or diag describe($run), "\nwanted: $expected";
}

answers('--version', ['--version'], qr/^distguard \d+\.\d+\.\d+\n\z/);
for my $command (@commands) {
    answers("--help lists $command", ['--help'], qr/^  \Q$command\E +\S/m);
    answers("help lists $command",   ['help'],   qr/^  \Q$command\E +\S/m);
    answers("help $command",   ['help', split(/ /, $command)],   qr/^usage: distguard \Q$command\E /);
    answers("$command --help", [split(/ /, $command), '--help'], qr/^usage: distguard \Q$command\E /);
    answers("$command -h",     [split(/ /, $command), '-h'],     qr/^usage: distguard \Q$command\E /);
}

subtest 'the manual page' => sub {
    my $page = slurp("$FindBin::Bin/../../docs/man/distguard.1") =~ s/^\.Fl -version$//mr;
    for my $command (grep { $_ ne 'help' } @commands) {
        my ($section) = $page =~ /^\.Ss \Q$command\E\n(.*?)^\.S[sh] /ms;
        ok($section, "has $command") or next;
        my %options = map { $_ => 1 } run(tool(), 'help', split / /, $command)->{out} =~ /^  --([\w-]+)/mg;
        is(join(' ', sort($section =~ /^\.It Fl -([\w-]+)/mg)), join(' ', sort keys %options), "and the options that $command has")
            if $section =~ /^\.It Fl/m;
    }
};

answers('help of a group', [qw(help pki)],   qr/pki init.*pki issue/s);
answers('the same',        [qw(pki --help)], qr/pki init.*pki issue/s);

refuses('nothing',                         [],                             qr/distguard help/);
refuses('an unknown command',              ['frobnicate'],                 qr/"frobnicate".*distguard help/);
refuses('a mistyped command',              ['chek'],                       qr/"chek": did you mean "check"/);
refuses('a group alone',                   ['pki'],                        qr/distguard help pki/);
refuses('a mistyped command of a group',   [qw(pki isue)],                 qr/did you mean "pki issue"/);
refuses('help for an unknown command',     [qw(help rum)],                 qr/did you mean "run"/);
refuses('help for two commands',           [qw(help run check)],           qr/"check" is one word too many/);
refuses('an unknown option',               [qw(check -x)],                 qr/unknown option "-x"/);
refuses('a mistyped option',               [qw(run --proifle x -- true)],  qr/"--proifle": did you mean --profile/);
refuses('an option without its value',     [qw(run --conf)],               qr/--conf needs a value/);
refuses('a value too many',                [qw(check --help=now)],         qr/--help=now takes no value/);
refuses('run without a command',           ['run'],                        qr/COMMAND/);
refuses('run without a command after --',  [qw(run --)],                   qr/COMMAND/);
refuses('check of two files',              [qw(check a b)],                qr/one FILE/);
refuses('pki init without a directory',    [qw(pki init)],                 qr/DIR/);
refuses('pki init of two',                 [qw(pki init a b)],             qr/one DIR/);
refuses('pki issue without a name',        [qw(pki issue a)],              qr/NAME/);
refuses('pki issue of two',                [qw(pki issue a b c)],          qr/one NAME/);
refuses('days that are no number',         [qw(pki init a --days soon)],   qr/--days soon.*number of days/);
refuses('days with a tail',                [qw(pki init a --days 9d)],     qr/--days 9d/);
refuses('no days',                         [qw(pki init a --days 0)],      qr/--days 0/);
refuses('days beyond any number',          [qw(pki init a --days 99999999999999999999)], qr/number of days/);

my $full = run('sh', '-c', tool() . ' --help >/dev/full');
is($full->{status}, 1, 'an answer that cannot be written is a failure') or diag describe($full);

done_testing;
