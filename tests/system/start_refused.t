#!/usr/bin/perl
# A guarded program whose policy, certificate or library cannot be used does not start: exit status 78, and on stderr
# what is wrong, where, and what to do. Programs that are not guarded never notice.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use File::Copy qw(copy);
use Test::More;

use constant EXIT_REFUSED => 78;

my $lab  = Distguard::Lab->new;
my $host = $lab->host('alpha');
$host->shim;
my %working = $host->shim_env or plan skip_all => 'nothing to refuse without the library';
my $tls = $lab->pki->certificate_of($host);

# A copy of a file of the laboratory under a new name, with the mode given.
sub copy_of {
    my ($source, $mode) = @_;
    my $path = $lab->temp_path('copy');
    copy($source, $path) or die "$path: $!";
    chmod $mode, $path;
    return $path;
}

sub file_of {
    my ($text, $mode) = @_;
    my $path = $lab->temp_path('conf');
    open(my $file, '>', $path) or die "$path: $!";
    print {$file} $text;
    close $file;
    chmod $mode // 0644, $path;
    return $path;
}

# The environment with a policy that differs from the working one.
sub policy {
    my (%conf) = @_;
    return { %working, DISTGUARD_CONF => $host->shim(conf => \%conf, file => $lab->temp_path('conf')) };
}

my $lone_dir = $host->dir . '/lone';
mkdir $lone_dir;
copy($lab->library, "$lone_dir/libdistguard.so") or die $!;
my $tool_key = $lab->pki->issue('another', '--dns', 'another');

# Each: what is wrong, the environment, and what the message has to say.
my @refused = (
    ['no policy file', { %working, DISTGUARD_CONF => '/nowhere/shim.conf' }, qr{/nowhere/shim\.conf}],
    ['a policy that is no libconfig', { %working, DISTGUARD_CONF => file_of("version = 1;\nprofiles = {{\n") }, qr{\.conf:2}],
    ['an unknown key', policy(modus => 'require'), qr{modus}],
    ['an unknown mode', policy(mode => 'please'), qr{please}],
    ['an unknown profile', { %working, DISTGUARD_PROFILE => 'moon' }, qr{moon}],
    ['a policy that others may write', { %working, DISTGUARD_CONF => copy_of($host->conf_file, 0666) }, qr{writ}],
    ['no certificate', policy(tls => { certificate => '/nowhere/node.pem' }), qr{/nowhere/node\.pem}],
    ['no key', policy(tls => { private_key => '/nowhere/node.key' }), qr{/nowhere/node\.key}],
    ['no trust anchors', policy(tls => { ca => '/nowhere/ca.pem' }), qr{/nowhere/ca\.pem}],
    ['a key that others may read', policy(tls => { private_key => copy_of("$tls.key", 0644) }), qr{chmod|read}],
    ['the key of another certificate', policy(tls => { private_key => "$tool_key.key" }), qr{another\.key}],
    ['a certificate file without a certificate', policy(tls => { certificate => file_of("nothing\n") }), qr{\.conf}],
    ['no core library', { %working, LD_PRELOAD => "$lone_dir/libdistguard.so" }, qr{libdistguard-core\.so}],
);

my @lone_node    = (qw(erl -noshell -eval), 'io:put_chars("I run"), halt(0).');
my @named_node   = (qw(erl -noshell -sname refused -eval), 'io:put_chars("I run"), halt(0).');
my @other_guards = ([qw(epmd -names)], [qw(erl_call -sname a -a), 'erlang node']);

for my $case (@refused) {
    my ($what, $env, $message) = @$case;
    subtest $what => sub {
        for my $argv (\@lone_node, \@named_node, @other_guards) {
            my $run = $host->run({ env => $env }, @$argv);
            is($run->status, EXIT_REFUSED, "$argv->[0] is not started") or diag $run->describe;
            like($run->err, $message, 'stderr says why');
            like($run->err, qr/distguard/, 'and who says so');
            unlike($run->out, qr/I run/, 'nothing of it ran');
        }
        my $shell = $host->run({ env => $env }, 'sh', '-c', 'true && echo fine');
        is_deeply([$shell->status, $shell->out, $shell->err], [0, "fine\n", ''], 'a shell never notices');
        my $off = $host->run({ env => { %$env, DISTGUARD => 'off' } }, @lone_node);
        is_deeply([$off->status, $off->out, $off->err], [0, 'I run', ''], 'DISTGUARD=off starts it') or diag $off->describe;
    };
}

subtest 'where /proc cannot be asked what this is' => sub {
    my @without = (qw(unshare --mount sh -c), 'while umount -l /proc 2>&-; do :; done; exec "$@"', 'sh');
    for my $argv (\@lone_node, @other_guards) {
        my $run = $host->run({ env => \%working }, @without, @$argv);
        is($run->status, EXIT_REFUSED, "$argv->[0] is not started") or diag $run->describe;
        like($run->err, qr{/proc/self/cmdline}, 'stderr says why');
        unlike($run->out, qr/I run/, 'nothing of it ran');
    }
};

subtest 'what is right starts' => sub {
    for my $env (\%working, policy(mode => 'off', tls => undef)) {
        my $run = $host->run({ env => $env }, @lone_node);
        is_deeply([$run->status, $run->out, $run->err], [0, 'I run', ''], $env->{DISTGUARD_CONF}) or diag $run->describe;
    }
};

done_testing;
