#!/usr/bin/perl
# A cluster at work goes from plaintext to TLS and back, node by node, as docs/rollout.md says: no partition, no call lost
# but to a node that is being restarted, and Mnesia whole.
#
# DISTGUARD_LONG_TESTS=1 restarts every node for every step instead of where it is needed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Wait qw(wait_for wait_until);
use JSON::PP qw(decode_json);
use Test::More;

use constant {
    PATIENCE => 40,
    LEAST    => 300,    # calls that a node makes to the other two in the end, while it is at rest
};

my $lab   = Distguard::Lab->new;
my @hosts = map { $lab->host($_) } qw(alpha beta gamma);
plan skip_all => 'a control run has no modes' if !$hosts[0]->shim_env;

my %node;       # by its host's name
my %written;    # for each run of a node, the last row that it was sure of
my $cluster = '[' . join(',', map { "'n\@${\$_->ip}'" } @hosts) . ']';

sub nodes  { map { $node{ $_->name } } @hosts }
sub others { my ($host) = @_; map { $node{ $_->name } } grep { $_ != $host } @hosts }

sub start {
    my ($host) = @_;
    my $directory = $host->dir . '/mnesia';
    $node{ $host->name } = $host->node('n', long => 1, shim => 1, args => ['-mnesia', 'dir', qq("$directory")]);
}

# What a node has seen since it was asked last, or started.
sub nothing_wrong {
    my ($node, $when) = @_;
    my ($failures) = $node->call('element(2, dg_lab_cluster:report())');
    is($failures, '[]', "$when: " . $node->name . ' has lost no call and no node') or diag map { $_->log } @hosts;
}

sub remember_written {
    my ($node) = @_;
    my ($run, $number) = $node->call('element(3, dg_lab_cluster:report())') =~ /^\{.*,(\d+),(\d+)\}$/ or return;
    $written{ $node->atom . ",$run" } = $number;
}

sub is_whole {
    my ($when) = @_;
    for my $node (nodes()) {
        ok(wait_for(PATIENCE, sub { $node->call("dg_lab_cluster:is_whole($cluster)") eq 'true' }),
            "$when: " . $node->name . ' has all nodes, all global names, and all of Mnesia')
            or diag $node->call('{nodes(), global:registered_names(), mnesia:system_info(running_db_nodes)}');
    }
}

# --- the steps of the ladder ---

sub restart {
    my ($host, $mode) = @_;
    my $node = $node{ $host->name };
    my $when = $host->name . " restarted with $mode";
    nothing_wrong($node, "before $when");
    remember_written($node);
    $_->call('dg_lab_cluster:excuse(' . $node->atom . ')') for others($host);
    $node->stop;
    $host->stop_epmd;
    $host->replace_shim(conf => { mode => $mode });
    start($host)->call("dg_lab_cluster:join($cluster), dg_lab_cluster:work($cluster)");
    is_whole($when);
    $_->call('dg_lab_cluster:expect(' . $node->atom . ')') for others($host);
    nothing_wrong($_, $when) for nodes();
}

sub reload {
    my ($host, $mode) = @_;
    my $node   = $node{ $host->name };
    my ($next) = others($host);
    my $ask    = 'gen_tcp:close(element(2, gen_tcp:connect("%s", 4369, [])))';
    $host->change_mode($mode, 2, sub {    # the node and its EPMD
        $node->call(sprintf $ask, $next->host->ip);
        $next->call(sprintf $ask, $host->ip);
    });
    is_whole($host->name . " set to $mode");
    nothing_wrong($_, $host->name . " set to $mode") for nodes();
}

sub everywhere {
    my ($name, $change, $mode) = @_;
    subtest "$name $mode" => sub { $change->($_, $mode) for @hosts };
}

# --- what distguard status shows ---

sub status {
    my ($node) = @_;
    return decode_json($node->host->run($lab->tool, 'status', '--json', $node->pid)->out)->{processes}[0];
}

# The distribution connections of a node: [state, whether it is of an older policy].
sub connections {
    my ($node) = @_;
    my $page = status($node);
    return map { [$_->{state}, $_->{policy_generation} < $page->{policy}{generation} ? 'older' : 'current'] }
        grep { $_->{role} eq 'distribution' && ($_->{node} // '') =~ /^n@/ } @{ $page->{connections} };
}

sub status_shows {
    my ($when, $state, $policy) = @_;
    for my $node (nodes()) {
        my @wanted = ([$state, $policy], [$state, $policy]);
        my @found;
        wait_for(10, sub { @found = connections($node); @found == 2 && !grep { $_->[0] ne $state } @found });
        is_deeply(\@found, \@wanted, "$when: both connections of " . $node->name . " are $state, by the $policy policy")
            or diag explain \@found, map { $_->log } @hosts;
    }
}

# --- the way there and back ---

$_->replace_shim(conf => { mode => 'off' }) for @hosts;
start($_) for @hosts;
$node{alpha}->call("dg_lab_cluster:found($cluster)");
# Until all have begun, who begins first calls in vain.
sub all_nodes { my ($function) = @_; $_->call("[dg_lab_cluster:$function(Node) || Node <- $cluster]") for nodes() }
all_nodes('excuse');
$_->call("dg_lab_cluster:work($cluster)") for nodes();
all_nodes('expect');
subtest 'off: the library is there and does nothing' => sub {
    is_whole('off');
    nothing_wrong($_, 'off') for nodes();
    is(scalar(map { $_->log } @hosts), 0, 'and says nothing');
};

if ($ENV{DISTGUARD_LONG_TESTS}) {
    everywhere('restarted with', \&restart, $_) for qw(allow prefer require prefer allow off);
}
everywhere('restarted with', \&restart, 'allow');

subtest 'allow: all plaintext' => sub { status_shows('allow', 'plaintext', 'current') };

everywhere('set to', \&reload, 'prefer');
subtest 'prefer, by the file: connections stay what they were' => sub { status_shows('prefer', 'plaintext', 'older') };

everywhere('restarted with', \&restart, 'prefer');
subtest 'prefer, restarted: all TLS' => sub {
    status_shows('prefer', 'open', 'current');
    ok(status($_)->{require_is_safe}, 'and status says of ' . $_->name . ' that require is safe') or diag explain status($_)
        for nodes();
};

everywhere('set to', \&reload, 'require');
subtest 'require, by the file: they stay' => sub { status_shows('require', 'open', 'older') };
everywhere('set to', \&reload, 'prefer');
everywhere('set to', \&reload, 'allow');
everywhere('restarted with', \&restart, 'allow');
subtest 'allow, restarted: plaintext again' => sub { status_shows('allow', 'plaintext', 'current') };
everywhere('restarted with', \&restart, 'off');

subtest 'the cluster has worked all the while' => sub {
    for my $node (nodes()) {
        ok(wait_for(20, sub { $node->call('element(1, dg_lab_cluster:report())') >= LEAST }), $node->name . ' called and called');
    }
    nothing_wrong($_, 'at the end') for nodes();
};

subtest 'Mnesia is whole' => sub {
    for my $node (nodes()) {
        remember_written($node);
        is($node->call('dg_lab_cluster:rest()'), 'ok', $node->name . ' writes no more');
    }
    my @contents;
    ok(wait_for(PATIENCE, sub {
        @contents = map { $_->call('dg_lab_cluster:contents()') } nodes();
        $contents[0] eq $contents[1] && $contents[1] eq $contents[2];
    }), 'all replicas are the same') or diag map { substr($_, 0, 2000) . "\n" } @contents;
    my %rows;
    while ($contents[0] =~ /\{\{('[^']+'),(\d+)\},(\d+),(\d+),(\d+)\}/g) {
        $rows{"$1,$2"} = [$3, $4, $5];
    }
    my $restarts = grep { /,/ } keys %written;
    cmp_ok($restarts, '>=', 12, "$restarts runs of writing");
    for my $run (sort keys %written) {
        my ($first, $last, $count) = @{ $rows{$run} // [0, 0, 0] };
        ok($first == 1 && $count == $last && $last >= $written{$run}, "run $run: rows 1 to $last, none missing")
            or diag "wanted at least up to $written{$run}, has $count rows from $first";
    }
};

done_testing;
