#!/usr/bin/perl
# Services under a systemd that runs, on two hosts that it has booted: `distguard enable` and what systemd makes of it, EPMD
# by socket activation, a release whose unit takes everything away that can be taken (examples/systemd), the journal, a
# policy that cannot be used, stop and restart, the timers; and `disable`, after which all is as it was.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Installed qw(install_library settings succeeds);
use Distguard::Lab::Process;
use Distguard::Lab::Reach qw(listeners open_ports);
use Distguard::Lab::Systemd qw(cannot_boot unboxed boot journal property);
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant { TOOL => '/usr/local/bin/distguard', EPMD_PORT => 4369, PATIENCE => 30, CONFIGURATION => 78, COOKIE => 'ONEFORTHERELEASE' };

my $lab = Distguard::Lab->new;
my $obstacle = cannot_boot($lab);
plan skip_all => $obstacle if $obstacle;
plan skip_all => 'all of it is about the library' if Distguard::Lab::Host::PLAIN;
plan skip_all => 'EPMD has no unit here (Debian: erlang-base)' if !-e '/lib/systemd/system/epmd.socket';

my $examples = $lab->root . '/examples/systemd';
my ($alpha, $beta, $stranger, $outsider) = map { $lab->host($_) } qw(alpha beta stranger outsider);
my @cluster = ($alpha, $beta);

# --- what an operator finds, and does ---

# The release: a script that starts a node, as that of `mix release` does.
my $RELEASE = <<"END";
#!/bin/sh
exec erl -noinput -name "greeter@\$(hostname -f)" -setcookie ${\COOKIE}
END

my $POLICY = <<'END';
version = 1;
default_profile = "greeter";
profiles: {
  greeter: {
    SETTINGS
    distribution: { bind = "interface:eth0"; };
    tls: { certificate = "/etc/distguard/node.pem"; private_key = "/etc/distguard/greeter.key"; ca = "/etc/distguard/ca.pem"; };
  };
  epmd: { inherit = "greeter"; tls: { private_key = "/etc/distguard/epmd.key"; }; };
};
END

# An example's file, with this build's tool and the laboratory's network: 10.77.0.0/30 has the cluster and one stranger.
sub install_example {
    my ($host, $name) = @_;
    my $text = Distguard::Lab::Process::slurp("$examples/$name") =~ s{10\.0\.0\.0/24}{10.77.0.0/30}gr =~ s{/usr/bin/distguard}{${\TOOL}}gr;
    $host->must({ input => $text }, qw(install -D -m 0644 /dev/stdin), "/etc/systemd/system/$name");
}

sub install_policy {
    my ($host, $settings) = @_;
    my $text = $POLICY =~ s/SETTINGS/$settings/r;
    $host->must({ input => $text }, qw(install -D -m 0644 /dev/stdin /etc/distguard/shim.conf));
}

for my $host (@cluster) {
    unboxed($host);
    install_library($host);
    $host->must(qw(useradd --system greeter));
    $host->must({ input => $RELEASE }, qw(install -D -m 0755 /dev/stdin /opt/greeter/bin/greeter));
    install_example($host, $_) for qw(greeter.service epmd.service.d/60-second-belt.conf epmd.socket.d/60-second-belt.conf
        distguard-metrics.service distguard-metrics.timer distguard-scan.service);
    my $certificate = $lab->pki->issue($host->name, '--dns', $host->name . '.lab');
    install_policy($host, 'mode = "require";');
    $host->must(qw(install -m 0644), $lab->pki->ca, '/etc/distguard/ca.pem');
    $host->must(qw(install -m 0644), "$certificate.pem", '/etc/distguard/node.pem');
    $host->must(qw(install -m 0400 -o), $_, "$certificate.key", "/etc/distguard/$_.key") for qw(greeter epmd);
    boot($host);
}

# --- what is asked again and again ---

sub node { return 'greeter@' . $_[0]->name . '.lab' }

sub atom { return "'" . node($_[0]) . "'" }

# Asks a node on its own host, as root.
sub ask {
    my ($host, $call) = @_;
    my $run = $host->run('erl_call', '-name', node($host), '-c', COOKIE, '-a', $call);
    return $run->status == 0 ? $run->out : $run->describe;
}

# Starts EPMD and the release, or starts them anew, and waits until the nodes answer.
sub bring_up {
    my ($verb, @hosts) = @_;
    my @running = map { [$_, $_->spawn('systemctl', $verb, qw(epmd.socket epmd.service greeter))] } @hosts;
    for (@running) {
        my ($host, $run) = @$_;
        $run->wait(PATIENCE) or $run->kill;
        succeeds($run, $host->name . ": systemctl $verb");
        ok(wait_for(PATIENCE, sub { ask($host, 'erlang node') eq atom($host) }), 'the node is up')
            or BAIL_OUT($host->must(qw(journalctl --no-pager)));
    }
}

# What EPMD of a host tells another, who speaks plaintext.
sub names_of {
    my ($host, $from) = @_;
    return $from->must('erl', '-noinput', '-eval', "io:format(\"~p\", [net_adm:names('${\$host->name}.lab')]), halt()");
}

sub status { my $run = $_[0]->run(TOOL, 'status'); return ($run->status, decode_json($run->out)) }

# --- the story ---

my %before;    # by the host's name

subtest 'as it is found' => sub {
    bring_up('start', @cluster);
    $before{ $_->name } = settings($_) for @cluster;
    for my $host (@cluster) {
        my ($code, $answer) = status($host);
        is($code, 1, $host->name . ' is not guarded');
        is(join(' ', sort map { $_->{program} } @{ $answer->{processes} }), 'beam.smp epmd', 'neither its node nor EPMD');
    }
    like(names_of($alpha, $stranger), qr/greeter/, 'a stranger is told of the node');
};

subtest 'distguard enable' => sub {
    for my $host (@cluster) {
        my $said = succeeds($host->run(TOOL, qw(enable greeter)), 'enable greeter');
        like($said, qr/distguard enable epmd/, 'says that EPMD has a unit of its own');
        like($said, qr/^systemd has read its files again/m, 'systemd knows');
        succeeds($host->run(TOOL, qw(enable epmd --profile epmd)), 'enable epmd');
        is(property($host, $_, 'NeedDaemonReload'), 'no', "$_ is as its files say") for qw(greeter.service epmd.service epmd.socket);
        is((status($host))[0], 1, 'what runs is not guarded yet');
    }
    bring_up('restart', @cluster);
};

subtest 'guarded' => sub {
    for my $host (@cluster) {
        my ($code, $answer) = status($host);
        is($code, 0, $host->name . ' is guarded, by distguard status') or diag explain $answer;
        is_deeply([map { "$_->{program} $_->{policy}{profile}" } sort { $a->{program} cmp $b->{program} } @{ $answer->{processes} }],
            ['beam.smp greeter', 'epmd epmd'], 'its node and EPMD');
        my @epmd = map { "$_ " . EPMD_PORT } sort '127.0.0.1', '::1', $host->ip, $host->ip6;
        is_deeply([listeners($host, 'epmd')], \@epmd, 'EPMD listens where the policy says');
        is(join(' ', grep { !/^\Q${\$host->ip}\E / } listeners($host, 'beam.smp')), '', 'the node, too');
    }
    is(ask($alpha, "net_adm ping [${\atom($beta)}]"), 'pong', 'the nodes meet');
    is(ask($beta, 'erlang nodes'), "[${\atom($alpha)}]", 'and stay together');
};



subtest 'strangers' => sub {
    my ($port) = map { /^\Q${\$alpha->ip}\E (\d+)$/ } listeners($alpha, 'beam.smp');
    my $scan = $stranger->run($lab->tool, 'scan', '--ports', $port, $alpha->ip);
    is($scan->status, 0, 'one on the cluster\'s network finds nothing open') or diag $scan->describe;
    is(names_of($alpha, $stranger), '{ok,[]}', 'is told no names');
    my $node = $stranger->node('evil', args => ['-setcookie', COOKIE], long => 1);
    is($node->call("net_adm:ping(${\atom($alpha)})"), 'pang', 'and cannot join with the cookie');
    $node->kill;
    is(join(' ', open_ports($stranger, $alpha->ip, $port, EPMD_PORT)), "$port " . EPMD_PORT, 'he reaches the ports');
    is(join(' ', open_ports($outsider, $alpha->ip, $port, EPMD_PORT)), '', 'whom the second belt keeps out does not');
};

subtest 'the journal' => sub {
    my @log = split /^/, journal($beta, '--identifier=distguard', '--unit=greeter', '--unit=epmd');
    my @wanted = (
        qr/^program=beam\.smp event=started .*profile=greeter/, qr/^program=epmd event=started .*profile=epmd/,
        qr/^program=epmd event=admitted peer=\Q${\$alpha->ip}\E:\d+ role=epmd direction=in certificate=DNS:alpha\.lab/,
        qr/^program=beam\.smp event=admitted peer=\Q${\$alpha->ip}\E:\d+ role=distribution direction=in node=\Q${\node($alpha)}\E/,
    );
    for my $line (@wanted) {
        ok((grep { $_ =~ $line } @log), "has $line") or diag @log;
    }
    like(journal($alpha, '--identifier=distguard', '--unit=greeter'), qr/event=refused peer=\Q${\$stranger->ip}\E:.*plaintext/, 'and who was refused');
};

subtest 'systemd starts EPMD when somebody asks' => sub {
    $beta->must(qw(systemctl stop greeter epmd.service));
    is(property($beta, 'epmd.service', 'ActiveState'), 'inactive', 'it has ended');
    is(ask($alpha, q(net_adm names ['beta.lab'])), '{ok, []}', 'a node elsewhere gets its answer');
    is(property($beta, 'epmd.service', 'ActiveState'), 'active', 'it runs');
    my ($code, $answer) = status($beta);
    is_deeply([$code, map { $_->{program} } @{ $answer->{processes} }], [0, 'epmd'], 'and is guarded');
};

subtest 'a policy that cannot be used' => sub {
    install_policy($beta, 'mode = "requier";');
    $beta->must(qw(systemctl restart --no-block greeter epmd.service));
    for my $unit (qw(greeter.service epmd.service)) {
        wait_until("$unit has ended", PATIENCE, sub { property($beta, $unit, 'ExecMainStatus') eq CONFIGURATION });
        my $said;
        ok(wait_for(PATIENCE, sub {
            $said = $beta->run(qw(systemctl status --no-pager --lines=20 --full), $unit)->out;
            $said =~ m{/etc/distguard/shim\.conf:\d+: .*requier};
        }), "$unit: systemctl status shows what is wrong, and where") or diag $said;
        like($said, qr{status=${\CONFIGURATION}\b}, "and status ${\CONFIGURATION}");
    }
    unlike(names_of($beta, $stranger), qr/greeter/, 'a stranger is told nothing');
    install_policy($beta, 'mode = "require"; log: { target = "stderr"; };');
    $beta->must(qw(systemctl reset-failed));
    bring_up('restart', $beta);
    is((status($beta))[0], 0, 'with it in order all is guarded');
    like(journal($beta, '--identifier=greeter'), qr/^distguard\[beam\.smp\]: event=started .*profile=greeter/m, 'a log on stderr is in the journal under the unit\'s name');
    is(ask($beta, "net_adm ping [${\atom($alpha)}]"), 'pong', 'the nodes meet again');
};

subtest 'the timers\' services' => sub {
    my $folder = '/var/lib/prometheus/node-exporter';
    $alpha->must('mkdir', '-p', $folder);
    $alpha->must(qw(systemctl start distguard-metrics.timer));
    ok(wait_for(PATIENCE, sub { $alpha->run('test', '-e', "$folder/distguard.prom")->status == 0 }), 'the figures are there')
        or diag journal($alpha, '--unit=distguard-metrics');
    my $figures = $alpha->must('cat', "$folder/distguard.prom");
    is_deeply([sort $figures =~ /^distguard_guarded\{pid="\d+",program="([\w.]+)"\} 1$/mg], [qw(beam.smp epmd)], 'EPMD and the node are guarded');
    $alpha->must(qw(systemctl stop distguard-metrics.timer));
    $alpha->must({ input => "HOSTS=beta.lab\n" }, qw(install /dev/stdin /etc/default/distguard-scan));
    succeeds($alpha->run(qw(systemctl start distguard-scan)), 'the scan of a guarded host succeeds');
    $alpha->must(qw(rm /etc/default/distguard-scan));
};

subtest 'distguard disable' => sub {
    for my $host (@cluster) {
        install_policy($host, 'mode = "require";');
        succeeds($host->run(TOOL, 'disable', $_), "disable $_") for qw(greeter epmd);
        is(settings($host), $before{ $host->name }, $host->name . ' has its settings as before');
    }
    bring_up('restart', @cluster);
    for my $host (@cluster) {
        my ($code, $answer) = status($host);
        is($code, 1, $host->name . ' is not guarded');
        is(join(' ', sort map { $_->{program} } @{ $answer->{processes} }), 'beam.smp epmd', 'as it was found');
        unlike($host->must('cat', map {"/proc/$_->{pid}/maps"} @{ $answer->{processes} }), qr/distguard/, 'the library is in neither');
        unlike($host->must('cat', map {"/proc/$_->{pid}/environ"} @{ $answer->{processes} }), qr/distguard/i, 'nor are its variables');
        like(names_of($host, $stranger), qr/greeter/, 'and a stranger is told of the node');
    }
    is(ask($alpha, "net_adm ping [${\atom($beta)}]"), 'pong', 'the nodes meet in plaintext');
    my $scan = $alpha->run(TOOL, 'scan', 'beta.lab');
    is($scan->status, 1, 'which a scan finds') or diag $scan->describe;
};

subtest 'stop' => sub {
    succeeds($alpha->run(qw(systemctl stop greeter epmd.socket epmd.service)), 'systemctl stop');
    is(property($alpha, $_, 'Result'), 'success', "$_ ends in order") for qw(greeter.service epmd.service);
    is_deeply([listeners($alpha)], [], 'nothing listens any more');
};

done_testing;
