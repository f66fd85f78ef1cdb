#!/usr/bin/perl
# enabled = false: there is no way to start distribution, each says why, and everything else of the VM works.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Node;
use Distguard::Lab::Reach qw(listeners open_ports);
use Distguard::Lab::Wait qw(wait_for);
use Test::More;

use constant { FIXED_PORT => 9400, HTTP_PORT => 8080 };

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
$alpha->shim(conf => { distribution => { enabled => \'false', bind => undef } });
plan skip_all => 'nothing is disabled without the library' if !$alpha->shim_env;
my $why = qr/distribution is not enabled on this host \(\S+\.conf:\d+\)/;
my @epmd_module = qw(-start_epmd false -epmd_module dg_lab_epmd);

sub said_why {
    my ($before) = @_;
    my @new = $alpha->log($why);
    splice @new, 0, $before;
    cmp_ok(scalar @new, '>', 0, 'the log says why') or diag $alpha->log;
}
sub said_so_far { my @lines = $alpha->log($why); return scalar @lines }

my @starts = (
    ['-sname',         'a',              0, []],
    ['-name',          'a@' . $alpha->ip, 1, []],
    ['-name, and no EPMD: -erl_epmd_port', 'a@' . $alpha->ip, 1, [qw(-start_epmd false -erl_epmd_port), FIXED_PORT]],
    ['-name, and a port of the command line', 'a@' . $alpha->ip, 1,
        [qw(-kernel inet_dist_listen_min), FIXED_PORT, 'inet_dist_listen_max', FIXED_PORT]],
    ['-sname, IPv6',   'a',              0, [qw(-proto_dist inet6_tcp)]],
);
for my $case (@starts) {
    my ($what, $name, $long, $args) = @$case;
    subtest "a release started with $what" => sub {
        my $before = said_so_far();
        my $node = $alpha->start_node($name, long => $long, shim => 1, args => $args);
        my $process = $node->process;
        ok($process->wait(30), 'does not start');
        isnt($process->status, 0, 'its status says so');
        like($process->err, qr/\bdistguard.*$why/m, 'stderr says why') or diag $process->describe;
        said_why($before);
        is_deeply([listeners($alpha, 'beam.smp')], [], 'nothing listens');
        $node->kill;

        my $plain = $alpha->node($name, long => $long, args => $args);
        is(scalar(listeners($alpha, $plain->pid)), 1, 'without the library it starts and listens');
        $plain->kill;
    };
}

my $node = $alpha->node(undef, shim => 1);

subtest 'distribution started at run time' => sub {
    for my $start ('[late, shortnames]', "['late\@${\$alpha->ip}', longnames]") {
        my $before = said_so_far();
        my $fds = $node->fds;
        like($node->call("net_kernel:start($start)"), qr/^\{error,/, "net_kernel:start($start)");
        said_why($before);
        like($node->process->err, qr/^distguard.*$why/m, 'stderr says why');
        is($node->call('node()'), 'nonode@nohost', 'the node has no name');
        # Who started it is told before net_kernel has ended, and its listener with it.
        wait_for(10, sub { !listeners($alpha, $node->pid) && $node->fds == $fds });
        is_deeply([listeners($alpha, $node->pid)], [], 'nothing listens');
        is($node->fds, $fds, 'no descriptor is left behind');
    }
    my $plain = $alpha->node(undef);
    like($plain->call('net_kernel:start([late, shortnames])'), qr/^\{ok,/, 'without the library it is started');
    $plain->kill;
};

subtest 'everything else' => sub {
    my $dir = $alpha->dir;
    is($node->call(qq{dg_lab_neighbours:http_server("$dir", ${\HTTP_PORT})}), 'ok', 'a web server starts');
    is_deeply([open_ports($beta, $alpha->ip, HTTP_PORT)], [HTTP_PORT], 'and is reached from another host');
    like($node->call(qq{dg_lab_neighbours:http_client("http://127.0.0.1:${\HTTP_PORT}/page.txt")}), qr/^\{200,/, 'it serves');
    is($node->call('dg_lab_neighbours:tcp()'), '{true,{error,closed}}', 'own TCP, out and in');
    my $server = $beta->node(undef);
    is($server->call(qq{dg_lab_neighbours:http_server("${\$beta->dir}", ${\HTTP_PORT})}), 'ok', 'a server elsewhere');
    like($node->call(qq{dg_lab_neighbours:http_client("http://${\$beta->ip}:${\HTTP_PORT}/page.txt")}), qr/^\{200,/, 'is reached');
    $server->kill;
};

# Neither EPMD nor the policy tells of this listener, so that the node starts. It is of no use.
subtest 'a release that nobody tells of' => sub {
    my $hidden = $alpha->node('a9401@' . $alpha->ip, long => 1, shim => 1, args => \@epmd_module);
    my $other = $beta->node('b9402@' . $beta->ip, long => 1, args => \@epmd_module);
    my $before = said_so_far();
    is($hidden->call('net_adm:ping(' . $other->atom . ')'), 'pang', 'it reaches no node');
    said_why($before);
    is($other->call('net_adm:ping(' . $hidden->atom . ')'), 'pang', 'and is reached by none');
    my $guarded = $beta->node('c9403@' . $beta->ip, long => 1, shim => 1, args => \@epmd_module);
    is($guarded->call('net_adm:ping(' . $hidden->atom . ')'), 'pang', 'be it guarded itself');
    $_->kill for $hidden, $other, $guarded;

    ($hidden, $other) = ($alpha->node('a9401@' . $alpha->ip, long => 1, args => \@epmd_module),
        $beta->node('b9402@' . $beta->ip, long => 1, args => \@epmd_module));
    is($hidden->call('net_adm:ping(' . $other->atom . ')'), 'pong', 'without the library they meet');
    $_->kill for $hidden, $other;
};

subtest 'erl_call' => sub {
    my $plain = $alpha->node('target@localhost');
    my @call = (qw(erl_call -sname target@localhost -timeout 5 -c), Distguard::Lab::Node::COOKIE, '-a', 'erlang node');
    my $refused = $alpha->run({ env => { $alpha->shim_env } }, @call);
    isnt($refused->status, 0, 'is refused');
    like($refused->err, $why, 'and says why');
    my $served = $alpha->run(@call);
    is($served->status, 0, 'works without the library') or diag $served->describe;
    $plain->kill;
};

done_testing;
