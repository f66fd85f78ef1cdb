#!/usr/bin/perl
# examples/rabbitmq: RabbitMQ as Debian has it on three hosts, set up as the README says. The nodes form a cluster, a
# quorum queue survives the loss and the return of nodes, and rabbitmqctl works, whoever runs it. RabbitMQ has not been
# told a word about TLS, and between the hosts there is nothing else.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Installed qw(own_folders install_distguard install_file succeeds);
use Distguard::Lab::Process;
use Distguard::Lab::Reach qw(listeners);
use Distguard::Lab::Wait qw(wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant {
    BIN      => '/usr/lib/rabbitmq/bin',
    TOOL     => '/usr/local/bin/distguard',
    COOKIE   => 'ONEFORTHECLUSTER',
    QUEUE    => 'orders',
    PATIENCE => 90,
};

my $lab = Distguard::Lab->new;
plan skip_all => 'the services have users of their own, and becoming them takes root' if !$lab->has_users;
plan skip_all => 'RabbitMQ or an AMQP client is not there (Debian: rabbitmq-server, amqp-tools)'
    if !-x BIN . '/rabbitmq-server' || system('command -v amqp-publish >/dev/null') != 0;

my $examples = $lab->root . '/examples/rabbitmq';
my ($alpha, $beta, $gamma, $stranger) = map { $lab->host($_) } qw(alpha beta gamma stranger);
my @cluster = ($alpha, $beta, $gamma);
plan skip_all => 'all of it is about the library' if Distguard::Lab::Host::PLAIN;

# --- what an operator does ---

for my $host (@cluster) {
    own_folders($host, qw(/etc /usr/local /var/lib /var/log));
    my $certificate = install_distguard($host, policy => "$examples/shim.conf", names => ['--dns', $host->name]);
    $host->must(qw(install -m 0644), "$certificate.pem", '/etc/distguard/rabbitmq.pem');
    $host->must(qw(install -m 0400 -o), $_, "$certificate.key", "/etc/distguard/$_.key") for qw(rabbitmq epmd);
    install_file($host, "$examples/rabbitmq-env.conf", '/etc/rabbitmq/rabbitmq-env.conf');
    $host->must({ input => COOKIE }, 'sh', '-ec', <<'    END');
        rm -rf /var/lib/rabbitmq/.erlang.cookie /var/lib/rabbitmq/mnesia/* /var/log/rabbitmq/*
        install -m 0400 -o rabbitmq -g rabbitmq /dev/stdin /var/lib/rabbitmq/.erlang.cookie
    END
}

# What systemd would make of a unit of Debian's and of the drop-in that distguard has written for it.
sub as_user { return ('setpriv', '--reuid', $_[0], '--regid', $_[0], '--init-groups') }

sub drop_in {
    my ($host, $unit) = @_;
    return $host->must('cat', "/etc/systemd/system/$unit.d/50-distguard.conf");
}

sub environment { return $_[0] =~ /^Environment="(.*)"$/mg }

my %server;    # by the host's name

sub start_server {
    my ($host, @environment) = @_;
    $server{ $host->name } = $host->spawn({ env => { HOME => '/var/lib/rabbitmq' } }, as_user('rabbitmq'),
        'env', @environment, BIN . '/rabbitmq-server');
}

sub pid_file { '/var/lib/rabbitmq/mnesia/rabbit@' . $_[0]->name . '.pid' }

sub broker_pid { return $_[0]->must('cat', pid_file($_[0])) =~ s/\D//gr }

sub wait_started {
    my ($host) = @_;
    my $run = control($host, 'rabbitmqctl', 'wait', '--timeout', PATIENCE, pid_file($host));
    return $run if $run->status == 0;
    BAIL_OUT(join "\n", 'the broker of ' . $host->name . ' does not start', $run->describe, $server{ $host->name }->describe);
}

# A command of RabbitMQ's, as its user.
sub control {
    my ($host, $command, @arguments) = @_;
    return $host->run({ env => { HOME => '/var/lib/rabbitmq' }, timeout => PATIENCE + 10 }, as_user('rabbitmq'), BIN . "/$command", @arguments);
}

# --- clients: of their own host alone, so that AMQP is not on the wire ---

sub publish {
    my ($host, @bodies) = @_;
    $host->must(qw(amqp-publish -s 127.0.0.1 -p -r), QUEUE, '-b', $_) for @bodies;
}

# The next message, once the queue has a majority that gives it away.
sub get {
    my ($host) = @_;
    my $run;
    wait_until('the queue gives a message', PATIENCE, sub {
        $run = $host->run(qw(amqp-get -s 127.0.0.1 -q), QUEUE);
        $run->status == 0;
    });
    return $run->out;
}

sub members_online {
    my ($host) = @_;
    my $run = control($host, qw(rabbitmq-queues quorum_status --formatter json), QUEUE);
    return 0 if $run->status != 0;
    return scalar grep { $_->{'Raft State'} =~ /^(leader|follower)$/ } @{ decode_json($run->out) };
}

# --- the story ---

my @captures = map { $_->capture } @cluster;

subtest 'the services start' => sub {
    # On one host systemd starts EPMD, on the others RabbitMQ does.
    succeeds($alpha->run(TOOL, 'enable', @$_), "distguard enable @$_") for ['rabbitmq-server'], [qw(epmd --profile epmd)];
    my @socket = map { (/^(.*):(\d+)$/)[0] =~ tr/[]//dr, $2 } drop_in($alpha, 'epmd.socket') =~ /^ListenStream=(\S+)$/mg;
    $alpha->spawn(as_user('epmd'), $lab->root . '/tests/tools/socket-activate', @socket, '--',
        'env', environment(drop_in($alpha, 'epmd.service')), qw(epmd -systemd));
    wait_until('EPMD listens', 10, sub { listeners($alpha, 'epmd') || listeners($alpha, 'perl') });

    start_server($alpha, environment(drop_in($alpha, 'rabbitmq-server.service')));
    start_server($_) for $beta, $gamma;
    wait_started($_) for @cluster;

    for my $host (@cluster) {
        my @elsewhere = grep { !/^(127\.0\.0\.1|::1|\Q${\$host->ip}\E|\Q${\$host->ip6}\E) / } map { listeners($host, $_) } 'epmd', broker_pid($host);
        is_deeply(\@elsewhere, ['* 5672'], 'only AMQP listens beyond the cluster\'s network') or diag $host->must(qw(ss -Htlnp));
    }
};

subtest 'they form a cluster' => sub {
    my $join = 'for command in stop_app "join_cluster rabbit@alpha" start_app; do ' . BIN . '/rabbitmqctl $command; done';
    # One after the other: Mnesia does not always get over two that join at the same moment (rabbitmq-server's pull request 15502).
    for my $host ($beta, $gamma) {
        my $joining = $host->run({ env => { HOME => '/var/lib/rabbitmq' }, timeout => PATIENCE }, as_user('rabbitmq'), 'sh', '-ec', $join);
        succeeds($joining, $host->name . ': stop_app, join_cluster, start_app');
        diag $host->log, $host->run('sh', '-c', 'tail -n 100 /var/log/rabbitmq/*.log')->out if $joining->status != 0;
    }
    my $status = decode_json(succeeds(control($gamma, qw(rabbitmqctl cluster_status --formatter json)), 'cluster_status'));
    is_deeply([sort @{ $status->{running_nodes} }], [map {"rabbit\@$_"} qw(alpha beta gamma)], 'of three running nodes');
};

subtest 'rabbitmqctl' => sub {
    my @list = qw(list_vhosts --quiet --no-table-headers);
    is(succeeds($alpha->run('rabbitmqctl', @list), 'by root, who becomes the service\'s user'), "/\n", 'gets its answer');
    $alpha->must(qw(install -m 0400 /var/lib/rabbitmq/.erlang.cookie), $alpha->dir . '/.erlang.cookie');
    my $as_root = $alpha->run(BIN . '/rabbitmqctl', @list);
    is($as_root->status, 78, 'by root, who stays root: the key is the service\'s') or diag $as_root->describe;
    like($as_root->err, qr/private key belongs to user/, 'and says so');
    is(succeeds($alpha->run({ env => { RABBITMQ_CONF_ENV_FILE => '/dev/null' } }, BIN . '/rabbitmqctl', @list),
        'by root and without the library'), "/\n", 'gets its answer: see local in shim.conf');
    is(succeeds(control($alpha, 'rabbitmqctl', '-n', 'rabbit@beta', @list), 'by the service\'s user, at a node elsewhere'), "/\n", 'gets its answer');
    succeeds(control($alpha, 'rabbitmq-diagnostics', 'check_running'), 'rabbitmq-diagnostics');
};

subtest 'a quorum queue survives the loss and the return of a node' => sub {
    succeeds(control($alpha, 'rabbitmqctl', 'eval', sprintf <<'    END', QUEUE), 'a quorum queue');
        {new, _} = rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"%s">>), true, false,
            [{<<"x-queue-type">>, longstr, <<"quorum">>}], none, <<"test">>).
    END
    wait_until('the queue has three members', PATIENCE, sub { members_online($alpha) == 3 });
    publish($alpha, 'one', 'two', 'three');
    is(get($gamma), 'one', 'what is published on one node is got from another');

    kill KILL => broker_pid($gamma);
    wait_until('the broker of gamma is gone', 10, sub { !$server{gamma}->running });
    publish($beta, 'four');
    is(get($alpha), 'two', 'with one node lost the queue goes on');

    start_server($gamma);
    wait_started($gamma);
    wait_until('gamma is back', PATIENCE, sub { members_online($gamma) == 3 });

    kill KILL => broker_pid($alpha);    # the queue's leader
    wait_until('the broker of alpha is gone', 10, sub { !$server{alpha}->running });
    is(get($gamma), 'three', 'with another lost, the one that is back makes the majority');
    is(get($gamma), 'four',  'and has what came while it was away');
};

subtest 'distguard status' => sub {
    my @status = map { decode_json($beta->must(TOOL, qw(status --json), broker_pid($_)))->{processes}[0] } $beta, $gamma;
    is_deeply([map { scalar @{ $_->{connections} } } @status], [1, 1], 'the two that are left are connected') or diag explain \@status;
    is_deeply([map { $_->{plaintext_peers} } @status], [[], []], 'and met nobody in plaintext');
    is_deeply([map { [grep { $_ } values %{ $_->{totals}{refused} }] } @status], [[], []], 'nor refused anybody');
};

subtest 'a stranger with the cookie stays outside' => sub {
    my $node = $stranger->node('evil', args => ['-setcookie', COOKIE]);
    is($node->call('net_adm:ping(rabbit@beta)'), 'pang', 'he cannot join');
    is($node->call('net_adm:names(beta)'), '{ok,[]}', 'EPMD tells him nothing');
    $node->kill;
};

subtest 'an orderly end' => sub {
    for my $host ($gamma, $beta) {
        succeeds(control($host, 'rabbitmqctl', 'stop', pid_file($host)), 'rabbitmqctl stop, as in ExecStop');
        wait_until('the broker has ended', 10, sub { !$server{ $host->name }->running });
    }
};

subtest 'on the wire between the hosts of the cluster' => sub {
    my %name_of = map { $_->ip => $_->name } @cluster;
    my (%seen, @bad);
    for my $stream (grep { length $_->{bytes} } map { $_->stop } @captures) {
        my ($from, $to, $port) = ((split ' ', $stream->{from})[0], split ' ', $stream->{to});
        # What a host says to itself does not leave it; what the stranger tries to say is his own affair.
        next if $from eq $to || $from eq $stranger->ip;
        $seen{"$name_of{$from} to $name_of{$to} port $port"} = 1 if $name_of{$from} && $name_of{$to};
        my $why = Distguard::Lab::Capture::not_tls($stream->{bytes});
        push @bad, "$stream->{from} to $stream->{to} $why" if defined $why;
    }
    is_deeply(\@bad, [], 'there is nothing but TLS');
    my @sought = map { ("$_ port 4369", "$_ port 25672") } 'beta to alpha', 'gamma to alpha';
    ok($seen{$_}, "from $_") for @sought;
    ok((grep { /^(beta to gamma|gamma to beta) port 25672$/ } keys %seen), 'and between the two others');
};

subtest 'RabbitMQ knows nothing of it' => sub {
    my $config = $alpha->must('sh', '-c', 'cd /etc/rabbitmq && find . -type f ! -name rabbitmq-env.conf');
    is($config, '', 'there is no configuration of its own');
    unlike($alpha->must('sed', 's/^#.*//', '/etc/rabbitmq/rabbitmq-env.conf') =~ s/LD_PRELOAD.*//r, qr/tls|ssl|cert/i, 'nor is TLS spoken of in its environment');
};

done_testing;
