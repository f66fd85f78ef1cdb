#!/usr/bin/perl
# examples/elixir-release: a release that `mix release` has made, on two hosts. Its nodes join over TLS, and all of its
# commands work, by the user that it runs as and by root: start, daemon, rpc, remote, pid, restart, stop, eval, version.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Installed qw(own_folders install_distguard library_dir elixir_release succeeds);
use Distguard::Lab::Process;
use Distguard::Lab::Reach qw(listeners node_port);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;

use constant { USER => 'nobody', RELEASE => '/opt/greeter', COOKIE => 'ONEFORTHERELEASE', PATIENCE => 60 };

my $lab = Distguard::Lab->new;
plan skip_all => 'becoming another user takes root' if !$lab->has_users;
plan skip_all => 'Elixir is not installed' if system('command -v mix >/dev/null') != 0;
plan skip_all => 'all of it is about the library' if Distguard::Lab::Host::PLAIN;

my $example = $lab->root . '/examples/elixir-release';
my ($alpha, $beta, $stranger) = map { $lab->host($_) } qw(alpha beta stranger);
my ($group) = $lab->must('id', '-gn', USER) =~ /(\S+)/;

# --- the release is made once, and installed on each host ---

my $made = elixir_release($lab);

for my $host ($alpha, $beta, $stranger) {
    own_folders($host, qw(/etc /usr/local /opt));
    my $certificate = install_distguard($host, policy => "$example/shim.conf", names => ['--dns', $host->name . '.lab']);
    $host->must(qw(install -m 0644), "$certificate.pem", '/etc/distguard/greeter.pem');
    $host->must(qw(install -m 0400 -o), USER, "$certificate.key", '/etc/distguard/greeter.key');
    $host->must('cp', '-r', $made, RELEASE);
    $host->must({ input => COOKIE }, 'sh', '-c', 'cat >"$0"', RELEASE . '/releases/COOKIE');
    $host->must(qw(install -d -o), USER, RELEASE . '/tmp');
}

# --- its commands ---

my @as_user = ('setpriv', '--reuid', USER, '--regid', $group, '--clear-groups', 'env', 'HOME=' . RELEASE . '/tmp');

# command($host, [{ environment },] command...)
sub command {
    my ($host, @command) = @_;
    my $env = ref $command[0] ? shift @command : {};
    return $host->run({ env => $env }, @as_user, RELEASE . '/bin/greeter', @command);
}

sub wait_up {
    my ($host, $started, %env) = @_;
    my $last;
    wait_for(PATIENCE, sub {
        $last = command($host, \%env, 'rpc', 'IO.puts(GenServer.whereis(Greeter) != nil)');
        $last->status == 0 && $last->out =~ /true/;
    }) or BAIL_OUT(join "\n", 'the release on ' . $host->name . ' does not come up', $started->describe, $last->describe);
}

# What listens beyond loopback and the cluster's network.
sub beyond {
    my ($host) = @_;
    return grep { !/^(127\.0\.0\.1|::1|\Q${\$host->ip}\E|\Q${\$host->ip6}\E) / } listeners($host);
}

sub node_of { 'greeter@' . $_[0]->name . '.lab' }

# A remote shell on a terminal: what it shows in answer to a line, until the answer matches. Ctrl+C and a end the shell and
# not the system that it is in.
sub remote {
    my ($host, $line, $answer) = @_;
    pipe(my $their_input, my $input) or die "pipe: $!";
    $input->autoflush(1);
    my $command = join ' ', @as_user, 'TERM=xterm', RELEASE . '/bin/greeter', 'remote';
    my $shell = $host->spawn({ pipes => { 0 => $their_input } }, 'script', '--quiet', '--return', '--command', $command, '/dev/null');
    ok(wait_for(PATIENCE, sub { $shell->out =~ /iex\S*>/ }), 'remote gives a prompt') or diag $shell->describe;
    print {$input} "$line\n";
    ok(wait_for(PATIENCE, sub { $shell->out =~ $answer }), 'and its line is answered by the running system') or diag $shell->describe;
    print {$input} "\x03";
    wait_for(PATIENCE, sub { $shell->out =~ /\(a\)bort/ });
    print {$input} "a\n";
    ok($shell->wait(20), 'Ctrl+C and a end it') or diag $shell->describe;
    $shell->kill;
}

my $capture = $beta->capture;

my $server = $alpha->spawn(@as_user, RELEASE . '/bin/greeter', 'start');
my $daemon = command($beta, 'daemon');
succeeds($daemon, 'daemon');
wait_up($alpha, $server);
wait_up($beta, $daemon);

subtest 'two nodes join over TLS' => sub {
    is(succeeds(command($alpha, 'rpc', 'IO.inspect(Node.connect(:"' . node_of($beta) . '"))'), 'rpc'), "true\n", 'connected');
    is(succeeds(command($alpha, 'rpc', 'IO.puts(Greeter.greet(:"' . node_of($beta) . '"))'), 'rpc'),
        node_of($beta) . ' greets ' . node_of($alpha) . "\n", 'and a process of the one calls one of the other');
    is_deeply([beyond($alpha)], [], 'nothing listens beyond the cluster\'s network');
};

subtest 'by the user that it runs as' => sub {
    remote($beta, 'Greeter.greet(node()) <> ", pid " <> System.pid()', qr/greeter\@beta\.lab greets greeter\@beta\.lab, pid \d/);
    my ($pid) = succeeds(command($beta, 'pid'), 'pid') =~ /^(\d+)$/;
    like(Distguard::Lab::Process::slurp("/proc/$pid/maps"), qr{/libdistguard-core\.so}, 'names a guarded process');
    is(succeeds(command($beta, { DISTGUARD => 'off' }, 'rpc', 'IO.puts(node())'), 'rpc without the library'), node_of($beta) . "\n",
        'is let in, on its own host');
    is(succeeds(command($beta, 'eval', 'IO.puts(node())'), 'eval'), "nonode\@nohost\n", 'is not distributed');
    is(succeeds(command($beta, 'version'), 'version'), "greeter 1.0.0\n", 'starts nothing');
};

subtest 'by root' => sub {
    my @rpc = (RELEASE . '/bin/greeter', 'rpc', 'IO.puts(Greeter.greet(node()))');
    my $refused = $beta->run(@rpc);
    is($refused->status, 78, 'rpc is refused') or diag $refused->describe;
    like($refused->err, qr/private key belongs to user/, 'as the key is the service\'s');
    is(succeeds($beta->run({ env => { DISTGUARD => 'off' } }, @rpc), 'rpc without the library'),
        node_of($beta) . ' greets ' . node_of($beta) . "\n", 'root is let in, on its own host');
};

# The system ends and begins anew in the same process: so do its listener, its registration and its connections.
subtest restart => sub {
    my ($pid) = command($alpha, 'pid')->out =~ /^(\d+)$/;
    my ($before) = node_port($alpha, 'greeter');
    succeeds(command($alpha, 'restart'), 'restart');
    wait_until('it has another port', PATIENCE, sub { (eval { node_port($alpha, 'greeter') } // $before) ne $before });
    wait_up($alpha, $server);
    is(succeeds(command($alpha, 'pid'), 'pid'), "$pid\n", 'it is the same process');
    is(succeeds(command($beta, 'rpc', 'IO.puts(Greeter.greet(:"' . node_of($alpha) . '"))'), 'rpc'),
        node_of($alpha) . ' greets ' . node_of($beta) . "\n", 'and is reached again');
    is_deeply([beyond($alpha)], [], 'at the designated address');
};

subtest 'without the library' => sub {
    my $plain = $stranger->spawn({ env => { DISTGUARD => 'off' } }, @as_user, RELEASE . '/bin/greeter', 'start');
    wait_up($stranger, $plain, DISTGUARD => 'off');
    is(succeeds(command($stranger, { DISTGUARD => 'off' }, 'rpc', 'IO.inspect(Node.connect(:"' . node_of($alpha) . '"))'), 'rpc'),
        "false\n", 'the same release with the same cookie does not join');
    succeeds(command($stranger, { DISTGUARD => 'off' }, 'stop'), 'stop');

    $stranger->must('rm', library_dir($lab) . '/libdistguard.so');
    my $run = command($stranger, 'start');
    is($run->status, 78, 'a release that does not find it does not start');
    like($run->err, qr{libdistguard\.so is missing}, 'and says why');
};

subtest stop => sub {
    my ($pid) = command($beta, 'pid')->out =~ /^(\d+)$/;
    succeeds(command($alpha, 'stop'), 'stop');
    ok($server->wait(20), 'it has ended') or diag $server->describe;
    succeeds(command($beta, 'stop'), 'stop of the daemon');
    ok(wait_for(20, sub { !-e "/proc/$pid" }), 'it has ended');
};

subtest 'on the wire between the hosts' => sub {
    my @streams = grep { length $_->{bytes} && $_->{from} =~ s/ .*//r ne $_->{to} =~ s/ .*//r && index($_->{from}, $stranger->ip . ' ') != 0 } $capture->stop;
    my %port = map { (split ' ', $_->{to})[1] => 1 } @streams;
    ok($port{4369}, 'there is EPMD');
    is_deeply([map { Distguard::Lab::Capture::not_tls($_->{bytes}) // () } @streams], [], 'there is nothing but TLS');
};

done_testing;
