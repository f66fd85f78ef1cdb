#!/usr/bin/perl
# The image of examples/container, as podman has built it (tests/tools/build-image), run by podman as the README says on two
# hosts that systemd has booted: the release in it is guarded, nodes in two containers join, strangers stay outside.
#
# `make test-image` builds the image and runs this.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Installed qw(install_library succeeds);
use Distguard::Lab::Process;
use Distguard::Lab::Reach qw(listeners open_ports);
use Distguard::Lab::Systemd qw(cannot_boot unboxed boot);
use Distguard::Lab::Wait qw(wait_for);
use JSON::PP qw(decode_json);
use Test::More;

use constant { TOOL => '/usr/local/bin/distguard', PATIENCE => 90, CONFIGURATION => 78, USER => 10001 };

my $lab = Distguard::Lab->new;
my $obstacle = cannot_boot($lab);
plan skip_all => $obstacle if $obstacle;
plan skip_all => 'all of it is about the library' if Distguard::Lab::Host::PLAIN;
plan skip_all => 'podman is not here' if system('command -v podman >/dev/null') != 0;
my $image = $lab->build . '/image/greeter.tar';
plan skip_all => "there is no $image: `make test-image` builds it" if !-e $image;

my $examples = $lab->root . '/examples';
my ($alpha, $beta, $stranger) = map { $lab->host($_) } qw(alpha beta stranger);
my @cluster = ($alpha, $beta);
my $policy = Distguard::Lab::Process::slurp("$examples/elixir-release/shim.conf");

# The two ways that the README has for the log and for the key.
my %way = (
    alpha => { policy => $policy, key => ['-m', '0400', '-o', USER] },
    beta  => {
        policy => $policy =~ s/mode = "require";/mode = "require"; log: { target = "stderr"; };/r
            =~ s/(private_key = .*)/$1\n      private_key_group_readable = true;/r,
        key => ['-m', '0440', '-o', 'root', '-g', USER],
    },
);

for my $host (@cluster) {
    unboxed($host);
    install_library($host);
    my $certificate = $lab->pki->issue($host->name, '--dns', $host->name . '.lab');
    my $way = $way{ $host->name };
    $host->must({ input => $way->{policy} }, qw(install -D -m 0644 /dev/stdin /etc/distguard/shim.conf));
    $host->must(qw(install -m 0644), $lab->pki->ca, '/etc/distguard/ca.pem');
    $host->must(qw(install -m 0644), "$certificate.pem", '/etc/distguard/greeter.pem');
    $host->must('install', @{ $way->{key} }, "$certificate.key", '/etc/distguard/greeter.key');
    my $storage = sprintf qq([storage]\ndriver = "overlay"\ngraphroot = "%s/images"\nrunroot = "/run/containers/storage"\n), $host->dir;
    $host->must({ input => $storage }, qw(install -D -m 0644 /dev/stdin /etc/containers/storage.conf));
    $host->must('sh', '-ec', 'touch "$2" && mount --bind "$1" "$2"', '-', $image, $host->dir . '/image.tar');
    boot($host);
    $host->must(qw(podman load --quiet -i), $host->dir . '/image.tar');
}

sub node { return 'greeter@' . $_[0]->name . '.lab' }

sub in_container { my ($host, @command) = @_; return $host->run({ timeout => PATIENCE }, qw(podman exec greeter), @command) }

sub rpc { my ($host, $expression) = @_; return in_container($host, qw(/opt/greeter/bin/greeter rpc), $expression) }

sub is_rpc {
    my ($host, $expression, $expected, $what) = @_;
    my $run = rpc($host, $expression);
    is($run->out, "$expected\n", $what) or diag $run->describe;
}

# --- the story ---

# Without a cgroup, for which the runtime raises limits: that takes CAP_SYS_RESOURCE, which a test may not have.
my @as_told = qw(--cgroups disabled --network host --cap-drop all --security-opt no-new-privileges --read-only --tmpfs /tmp);

subtest 'a container without a policy' => sub {
    my $run = $alpha->run({ timeout => PATIENCE }, qw(podman run --rm --hostname alpha.lab), @as_told, 'greeter');
    is($run->status, CONFIGURATION, 'does not start');
    like($run->err, qr{/etc/distguard/shim\.conf: }, 'and says why') or diag $run->describe;
};

subtest 'two containers' => sub {
    for my $host (@cluster) {
        succeeds($host->run({ timeout => PATIENCE }, qw(podman run --detach --name greeter --hostname), $host->name . '.lab', @as_told,
            qw(-v /etc/distguard:/etc/distguard:ro greeter)), $host->name . ': podman run');
    }
    for my $host (@cluster) {
        my $run;
        ok(wait_for(PATIENCE, sub { $run = rpc($host, ':ok'); $run->status == 0 }), $host->name . ': the release is up')
            or BAIL_OUT(join "\n", $run->describe, $host->must(qw(podman logs greeter)), $host->must(qw(journalctl --no-pager)));
        my $inside = in_container($host, qw(distguard status));
        is($inside->status, 0, 'it is guarded, by distguard status inside') or diag $inside->describe;
        my $outside = $host->run(TOOL, 'status');
        is($outside->status, 0, 'and by distguard status of the host') or diag $outside->describe;
        is_deeply([sort map { $_->{program} } @{ decode_json($outside->out)->{processes} }], [qw(beam.smp epmd)], 'the node and its EPMD');
        is(in_container($host, qw(touch /opt/greeter/x))->status, 1, 'its root cannot be written');
    }
    is_rpc($alpha, qq(IO.inspect(Node.connect(:"${\node($beta)}"))), 'true', 'the nodes join');
    is_rpc($alpha, qq(IO.puts(Greeter.greet(:"${\node($beta)}"))), node($beta) . ' greets ' . node($alpha), 'and call each other');
};

subtest 'a stranger' => sub {
    my ($port) = map { /^\Q${\$alpha->ip}\E (\d+)$/ } listeners($alpha, 'beam.smp');
    is(join(' ', open_ports($stranger, $alpha->ip, $port)), $port, 'reaches the node');
    my $scan = $stranger->run($lab->tool, 'scan', '--ports', $port, $alpha->ip);
    is($scan->status, 0, 'and finds nothing open') or diag $scan->describe;
};

subtest 'the log' => sub {
    my $run = $beta->run(qw(podman logs greeter));
    like($run->err, qr/event=admitted peer=\Q${\$alpha->ip}\E:\d+ role=distribution .*node=\Q${\node($alpha)}\E certificate=DNS:alpha\.lab /,
        'to stderr is in podman logs') or diag $run->describe;
};

subtest 'podman stop' => sub {
    for my $host (@cluster) {
        succeeds($host->run({ timeout => PATIENCE }, qw(podman stop --time 30 greeter)), $host->name . ': podman stop');
        is($host->must(qw(podman inspect --format {{.State.ExitCode}} greeter)), "0\n", 'the release has ended in order');
    }
};

done_testing;
