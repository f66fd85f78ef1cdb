#!/usr/bin/perl
# RabbitMQ as Debian packages it, under a systemd that runs, on two hosts that it has booted: from brokers in plaintext, by
# distguard's own package and examples/rabbitmq and examples/systemd, to a guarded cluster; and back, until the package is
# gone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Installed qw(settings succeeds);
use Distguard::Lab::Process;
use Distguard::Lab::Reach qw(listeners open_ports);
use Distguard::Lab::Systemd qw(cannot_boot unboxed boot journal property);
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant {
    EPMD_PORT     => 4369,
    DIST_PORT     => 25672,
    AMQP_PORT     => 5672,
    PATIENCE      => 120,
    CONFIGURATION => 78,
    COOKIE        => 'ONEFORTHECLUSTER',
};

my $lab = Distguard::Lab->new;
my $obstacle = cannot_boot($lab);
plan skip_all => $obstacle if $obstacle;
plan skip_all => 'all of it is about the library' if Distguard::Lab::Host::PLAIN;
plan skip_all => 'RabbitMQ is not there (Debian: rabbitmq-server)' if !-e '/lib/systemd/system/rabbitmq-server.service';
plan skip_all => 'dpkg-buildpackage is not here' if !grep { -x "$_/dpkg-buildpackage" } split /:/, $ENV{PATH};

my $root = $lab->root;
my ($alpha, $beta, $stranger, $outsider) = map { $lab->host($_) } qw(alpha beta stranger outsider);
my @cluster = ($alpha, $beta);

# --- what is asked again and again ---

# A command on several hosts at once.
sub everywhere {
    my ($what, $hosts, @command) = @_;
    my @running = map { [$_, $_->spawn(@command)] } @$hosts;
    for (@running) {
        my ($host, $run) = @$_;
        $run->wait(PATIENCE) or $run->kill;
        succeeds($run, $host->name . ": $what") if $run->status == 0;
        BAIL_OUT(join "\n", $run->describe, journal($host)) if $run->status != 0;
    }
}

sub restart { everywhere('all is restarted', \@_, qw(systemctl restart epmd.socket epmd.service rabbitmq-server)) }

sub status { my $run = $_[0]->run(qw(distguard status)); return ($run->status, decode_json($run->out)) }

sub running_nodes {
    my ($host) = @_;
    my $run = $host->run({ timeout => PATIENCE }, qw(rabbitmqctl cluster_status --formatter json));
    return $run->status == 0 ? [sort @{ decode_json($run->out)->{running_nodes} }] : $run->describe;
}

# An example's file: where the library is in Debian's package, and the laboratory's networks: 10.77.0.0/30 has the cluster
# and one stranger.
sub example {
    my ($name) = @_;
    return Distguard::Lab::Process::slurp("$root/examples/$name") =~ s{/usr/local/lib/distguard}{/usr/lib/distguard}gr
        =~ s{10\.0\.0\.0/24}{10.77.0.0/30}gr;
}

sub install {
    my ($host, $text, $path, @how) = @_;
    $host->must({ input => $text }, qw(install -D), @how, '/dev/stdin', $path);
}

# --- two hosts with RabbitMQ, and the package ---

# Without optimisation, which takes the compiler half of its time.
my $building = Distguard::Lab::Process->start(dir => $lab->dir . '/lab', argv => ['sh', '-ec', <<'END', '-', $root, $lab->dir, $lab->tool]);
    export TMPDIR="$2" DEB_BUILD_OPTIONS='parallel=2 noautodbgsym noopt'
    tarball="$2/distguard-$("$3" --version | cut -d ' ' -f 2).tar.gz"
    "$1/tests/tools/make-tarball" "$tarball"
    exec "$1/tests/tools/make-deb" "$tarball" "$2/package"
END

for my $host (@cluster) {
    unboxed($host);
    $host->must({ input => COOKIE }, 'sh', '-ec', <<'    END');
        rm -rf /var/lib/rabbitmq/.erlang.cookie /var/lib/rabbitmq/mnesia/* /var/log/rabbitmq/* /etc/rabbitmq/rabbitmq-env.conf
        install -m 0400 -o rabbitmq -g rabbitmq /dev/stdin /var/lib/rabbitmq/.erlang.cookie
    END
    boot($host);
}
everywhere('RabbitMQ starts', \@cluster, qw(systemctl start rabbitmq-server));
my %before = map { $_->name => settings($_) } @cluster;
is(join(' ', open_ports($outsider, $alpha->ip, EPMD_PORT, AMQP_PORT, DIST_PORT)), join(' ', EPMD_PORT, AMQP_PORT, DIST_PORT), 'anybody reaches everything');

$building->wait(PATIENCE) or $building->kill;
my ($package) = succeeds($building, 'the package is built') =~ /(\S+\.deb)$/m or BAIL_OUT('there is no package');

subtest 'distguard is installed, and guards' => sub {
    for my $host (@cluster) {
        succeeds($host->run('dpkg', '-i', $package), 'dpkg -i');
        install($host, example('rabbitmq/shim.conf'), '/etc/distguard/shim.conf');
        install($host, example('rabbitmq/rabbitmq-env.conf'), '/etc/rabbitmq/rabbitmq-env.conf');
        install($host, example("systemd/$_"), "/etc/systemd/system/$_")
            for map {"$_.d/60-second-belt.conf"} qw(rabbitmq-server.service epmd.service epmd.socket);
        my $certificate = $lab->pki->issue($host->name, '--dns', $host->name);
        $host->must(qw(install -m 0644), $lab->pki->ca, '/etc/distguard/ca.pem');
        $host->must(qw(install -m 0644), "$certificate.pem", '/etc/distguard/rabbitmq.pem');
        $host->must(qw(install -m 0400 -o), $_, "$certificate.key", "/etc/distguard/$_.key") for qw(rabbitmq epmd);
        succeeds($host->run('distguard', 'enable', @$_), "distguard enable @$_") for ['rabbitmq-server'], [qw(epmd --profile epmd)];
    }
    restart(@cluster);
    for my $host (@cluster) {
        my ($code, $answer) = status($host);
        is($code, 0, $host->name . ' is guarded, by distguard status') or diag explain $answer;
        my @own = (qw(127.0.0.1 ::1), $host->ip, $host->ip6);
        is_deeply([grep { my $it = $_; !grep { $it =~ /^\Q$_\E / } @own } listeners($host)], ['* ' . AMQP_PORT], 'only AMQP listens beyond the cluster\'s network');
    }
};

subtest 'the cluster' => sub {
    for my $command ([qw(stop_app)], [qw(join_cluster rabbit@alpha)], [qw(start_app)]) {
        succeeds($beta->run({ timeout => PATIENCE }, 'rabbitmqctl', @$command), "rabbitmqctl @$command, by root");
    }
    is_deeply(running_nodes($alpha), [qw(rabbit@alpha rabbit@beta)], 'has two nodes');
    like(journal($alpha, qw(--identifier=distguard --unit=rabbitmq-server)),
        qr/event=admitted peer=\Q${\$beta->ip}\E:\d+ role=distribution direction=\w+ node=rabbit\@beta certificate=DNS:beta /, 'whose log is in the unit\'s journal');
    is($stranger->run($lab->tool, 'scan', '--ports', DIST_PORT, $alpha->ip)->status, 0, 'a stranger finds nothing open');
    is(join(' ', open_ports($outsider, $alpha->ip, EPMD_PORT, AMQP_PORT, DIST_PORT)), '', 'whom the second belt keeps out reaches nothing');
};

subtest 'a policy that cannot be used' => sub {
    install($beta, example('rabbitmq/shim.conf') =~ s/"require"/"requier"/r, '/etc/distguard/shim.conf');
    my $restart = $beta->run({ timeout => PATIENCE }, qw(systemctl restart rabbitmq-server));
    isnt($restart->status, 0, 'systemctl restart says that it failed');
    is(property($beta, 'rabbitmq-server', 'ExecMainStatus'), CONFIGURATION, 'with status ' . CONFIGURATION);
    like(journal($beta, '--unit=rabbitmq-server'), qr{/etc/distguard/shim\.conf:\d+: .*requier}, 'the unit\'s journal says why');
    install($beta, example('rabbitmq/shim.conf'), '/etc/distguard/shim.conf');
    ok(wait_for(PATIENCE, sub { property($beta, 'rabbitmq-server', 'ActiveState') eq 'active' }), 'with it in order systemd starts it by itself')
        or diag journal($beta);
    is_deeply(running_nodes($beta), [qw(rabbit@alpha rabbit@beta)], 'and it is back in the cluster');
};

subtest 'and back' => sub {
    for my $host (@cluster) {
        my $refused = $host->run(qw(dpkg -r distguard));
        isnt($refused->status, 0, 'the package stays while it guards services');
        like($refused->err, qr/First: distguard disable rabbitmq-server\.service/, 'and says what comes first');
        succeeds($host->run('distguard', 'disable', $_), "distguard disable $_") for qw(rabbitmq-server epmd);
        $host->must('sh', '-ec', 'rm /etc/rabbitmq/rabbitmq-env.conf /etc/systemd/system/*.d/60-second-belt.conf; rmdir /etc/systemd/system/*.d; systemctl daemon-reload');
    }
    restart(@cluster);
    for my $host (@cluster) {
        is((status($host))[0], 1, $host->name . ' is not guarded');
        succeeds($host->run(qw(dpkg -r distguard)), 'the package goes');
        $host->must(qw(rm -r /etc/distguard));
        is(settings($host), $before{ $host->name }, 'and all settings are as before');
        unlike($host->must('sh', '-c', 'cat /proc/[0-9]*/maps'), qr/distguard/, 'nothing has the library any more');
    }
    is_deeply(running_nodes($alpha), [qw(rabbit@alpha rabbit@beta)], 'the cluster has lived through it');
};

done_testing;
