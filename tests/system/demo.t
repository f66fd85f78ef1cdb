#!/usr/bin/perl
# The demo: every claim it shows is true, it leaves nothing behind in whatever way it ends, and it notices when it
# would show what is not so.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab::Process;
use Distguard::Lab::Wait qw(wait_for wait_until);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use Test::More;

use constant { NOBODY => 65534, PATIENCE => 40, LIMIT => 120 };

my $root  = "$FindBin::RealBin/../..";
my $build = $ENV{DISTGUARD_BUILD} // "$root/build";
my $dir   = tempdir(CLEANUP => 1);
my $mark  = "DISTGUARD_DEMO_TEST=$$." . time;
my $outside = outside();

sub demo {
    my (%option) = @_;
    my @env = ('env', $mark, 'BUILD=' . ($option{build} // $build), 'DEMO_PATIENCE=' . PATIENCE);
    return Distguard::Lab::Process->start(
        dir  => $dir,
        argv => [@{ $option{as} // [] }, @env, "$root/examples/demo/demo.sh"]);
}

# What could be left of it: its processes (they inherit the mark), mounts, named network namespaces, files.
sub marked {
    my @pids = grep { Distguard::Lab::Process::slurp("$_/environ") =~ /\Q$mark\E/ } glob '/proc/[0-9]*';
    return map { "$_: " . Distguard::Lab::Process::slurp("$_/cmdline") =~ tr/\0/ /r } @pids;
}

sub outside {
    return join "\n", (grep { m{ /mnt} } sort split /^/, Distguard::Lab::Process::slurp('/proc/self/mounts')), glob('/mnt/* /run/netns/*'),
        glob("$root/examples/demo/*");
}

sub nothing_left {
    ok(wait_for(10, sub { !marked() }), 'no process is left') or diag marked();
    is(outside(), $outside, 'no mount, no namespace, no file');
}

sub all_claims_true {
    my ($demo) = @_;
    ok($demo->wait(LIMIT), 'it ends');
    is($demo->status, 0, 'with success') or diag $demo->describe;
    like($demo->out, qr/^ +(\d+) of \1 claims are true/m, 'all claims are true');
    unlike($demo->out, qr/NOT TRUE/, 'none is not');
    unlike($demo->out, qr/\e/, 'no colours where there is no terminal');
}

subtest 'the story' => sub {
    my $demo = demo();
    all_claims_true($demo);
    my ($before, $after) = $demo->out =~ /BEFORE(.*)AFTER(.*)/s;
    like($before, qr/name orders at port \d+/, 'before: EPMD tells a stranger');
    like($before, qr/sok.*orders\@10\.77\.0\.2/, 'before: the node answers a stranger');
    like($before, qr/the message [1-9]\d* times/, 'before: the message is on the wire');
    like($after, qr/ping orders\@10\.77\.0\.2: pong/, 'after: the nodes join');
    like($after, qr/moved 100 MB there and back in \S+ s, \d+ MB\/s, every byte as it was/, 'after: 100 MB');
    like($after, qr/([4-9]) of \1 directions are TLS records/, 'after: TLS records only, EPMD\'s connection included');
    like($after, qr/the message 0 times/, 'after: no message on the wire');
    is(scalar(() = $after =~ /EPMD answers with 0 bytes/g), 2, 'after: EPMD tells nothing, with TLS or without');
    is(scalar(() = $after =~ /name orders at port \d+/g), 1, 'after: but to programs of its own host');
    for my $role (qw(epmd distribution)) {
        my $refused = qr/event=refused peer=10\.77\.0\.66:\d+ role=$role/;
        like($after, qr/$refused .*plaintext/, "after: the log tells of the plaintext, $role");
        like($after, qr/$refused .*certificate/, "after: the log tells of the certificate, $role");
    }
    nothing_left();
};

subtest 'as an ordinary user' => sub {
    my @as = (qw(setpriv --clear-groups), '--reuid=' . NOBODY, '--regid=' . NOBODY);
    plan skip_all => 'not root: the story ran as such already' if $> != 0;
    plan skip_all => 'no unprivileged user namespaces here' if system("@as unshare --user --map-root-user true 2>/dev/null");
    plan skip_all => 'the build is not for everybody to read' if system(@as, 'test', '-x', "$build/distguard");
    all_claims_true(demo(as => \@as));
    nothing_left();
};

# Who is started by a shell in its background has it ignored, and could not be stopped by it.
$SIG{INT} = 'DEFAULT';

for my $signal (qw(INT TERM KILL)) {
    subtest "stopped by SIG$signal" => sub {
        my $demo = demo();
        wait_until('it is at work', 30, sub { $demo->out =~ /^4\. /m });
        $demo->signal($signal);
        ok($demo->wait(10), 'it ends');
        is($demo->status, $signal eq 'KILL' ? 128 + 9 : 130, 'with the status of one that was stopped');
        nothing_left();
    };
}

subtest 'without the library it does not claim to guard' => sub {
    my $empty = tempdir(CLEANUP => 1);
    copy("$build/distguard", "$empty/distguard") or die $!;
    chmod 0755, "$empty/distguard";
    my $demo = demo(build => $empty);
    ok($demo->wait(LIMIT), 'it ends');
    isnt($demo->status, 0, 'without success');
    like($demo->out, qr/\[NOT TRUE\] TLS records, and nothing else/, 'and says what is not true') or diag $demo->describe;
    nothing_left();
};

done_testing;
