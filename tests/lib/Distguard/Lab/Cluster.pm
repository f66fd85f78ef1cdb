# A cluster at work (tests/lib/erlang/dg_lab_cluster.erl), one node on each host, taken from one way of running to another,
# node by node; and what must hold all the while: no call and no node lost but to the one that is being restarted, and
# Mnesia whole.
package Distguard::Lab::Cluster;
use strict;
use warnings;
use Exporter qw(import);
use JSON::PP qw(decode_json);
use Distguard::Lab::Wait qw(wait_for);
use Test::More;

use constant {
    PATIENCE => 40,
    LEAST    => 300,    # calls that a node makes to the others in the end, while it is at rest
};

# new($lab, \@hosts, at => sub { the part behind the @ of the node of a host }). No node runs yet.
sub new {
    my ($class, $lab, $hosts, %option) = @_;
    my @names = map { "'n\@" . $option{at}->($_) . "'" } @$hosts;
    return bless { lab => $lab, hosts => $hosts, %option, node => {}, written => {},
        list => '[' . join(',', @names) . ']' }, $class;
}

sub node   { $_[0]{node}{ $_[1]->name } }
sub nodes  { my ($self) = @_; map { $self->node($_) } @{ $self->{hosts} } }
sub others { my ($self, $host) = @_; map { $self->node($_) } grep { $_ != $host } @{ $self->{hosts} } }
sub logs   { map { $_->log } @{ $_[0]{hosts} } }

sub start {
    my ($self, $host, %option) = @_;
    my $directory = $host->dir . '/mnesia';
    $self->{node}{ $host->name } = $host->node('n@' . $self->{at}->($host), long => 1, shim => 1, %option,
        args => ['-mnesia', 'dir', qq("$directory")]);
}

# All nodes for the first time. Until all have begun, who begins first calls in vain.
sub begin {
    my ($self, $mode, %option) = @_;
    for my $host (@{ $self->{hosts} }) {
        $host->replace_shim(conf => { mode => $mode });
        $self->start($host, %option);
    }
    ($self->nodes)[0]->call("dg_lab_cluster:found($self->{list})");
    $self->everywhere_call('excuse');
    $_->call("dg_lab_cluster:work($self->{list})") for $self->nodes;
    $self->everywhere_call('expect');
}

sub everywhere_call {
    my ($self, $function) = @_;
    $_->call("[dg_lab_cluster:$function(Node) || Node <- $self->{list}]") for $self->nodes;
}

# --- what must hold ---

# What a node has seen since it was started.
sub nothing_wrong {
    my ($self, $node, $when) = @_;
    my $failures = $node->call('element(2, dg_lab_cluster:report())');
    is($failures, '[]', "$when: " . $node->name . ' has lost no call and no node') or diag $self->logs;
}

# The last row that a node was sure of, for each time it ran.
sub remember_written {
    my ($self, $node) = @_;
    my ($run, $number) = $node->call('element(3, dg_lab_cluster:report())') =~ /^\{.*,(\d+),(\d+)\}$/ or return;
    $self->{written}{ $node->atom . ",$run" } = $number;
}

sub is_whole {
    my ($self, $when) = @_;
    for my $node ($self->nodes) {
        ok(wait_for(PATIENCE, sub { $node->call("dg_lab_cluster:is_whole($self->{list})") eq 'true' }),
            "$when: " . $node->name . ' has all nodes, all global names, and all of Mnesia')
            or diag $node->call('{nodes(), global:registered_names(), mnesia:system_info(running_db_nodes)}'), $self->logs;
    }
}

# At the end.
sub has_worked {
    my ($self) = @_;
    for my $node ($self->nodes) {
        ok(wait_for(20, sub { $node->call('element(1, dg_lab_cluster:report())') >= LEAST }), $node->name . ' called and called');
    }
    $self->nothing_wrong($_, 'at the end') for $self->nodes;
}

sub mnesia_is_whole {
    my ($self, $least_runs) = @_;
    for my $node ($self->nodes) {
        $self->remember_written($node);
        is($node->call('dg_lab_cluster:rest()'), 'ok', $node->name . ' writes no more');
    }
    my @contents;
    ok(wait_for(PATIENCE, sub {
        @contents = map { $_->call('dg_lab_cluster:contents()') } $self->nodes;
        !grep { $_ ne $contents[0] } @contents;
    }), 'all replicas are the same') or diag map { substr($_, 0, 2000) . "\n" } @contents;
    my %rows;
    while ($contents[0] =~ /\{\{('[^']+'),(\d+)\},(\d+),(\d+),(\d+)\}/g) {
        $rows{"$1,$2"} = [$3, $4, $5];
    }
    my %written = %{ $self->{written} };
    cmp_ok(scalar keys %written, '>=', $least_runs, keys(%written) . ' runs of writing');
    for my $run (sort keys %written) {
        my ($first, $last, $count) = @{ $rows{$run} // [0, 0, 0] };
        ok($first == 1 && $count == $last && $last >= $written{$run}, "run $run: rows 1 to $last, none missing")
            or diag "wanted at least up to $written{$run}, has $count rows from $first";
    }
}

# --- the steps ---

sub restart {
    my ($self, $host, $mode, %option) = @_;
    my $node = $self->node($host);
    my $when = $host->name . " restarted with $mode";
    $self->nothing_wrong($node, "before $when");
    $self->remember_written($node);
    $_->call('dg_lab_cluster:excuse(' . $node->atom . ')') for $self->others($host);
    $node->stop;
    $host->stop_epmd;
    $host->replace_shim(conf => { mode => $mode });
    $self->start($host, %option)->call("dg_lab_cluster:join($self->{list}), dg_lab_cluster:work($self->{list})");
    $self->is_whole($when);
    $_->call('dg_lab_cluster:expect(' . $node->atom . ')') for $self->others($host);
    $self->nothing_wrong($_, $when) for $self->nodes;
}

sub reload {
    my ($self, $host, $mode) = @_;
    my ($node, $next) = ($self->node($host), $self->others($host));
    my $ask = 'gen_tcp:close(element(2, gen_tcp:connect("%s", 4369, [])))';
    $host->change_mode($mode, 2, sub {    # the node and its EPMD
        $node->call(sprintf $ask, $next->host->ip);
        $next->call(sprintf $ask, $host->ip);
    });
    $self->is_whole($host->name . " set to $mode");
    $self->nothing_wrong($_, $host->name . " set to $mode") for $self->nodes;
}

# A step on all hosts, one after the other, as a test of its own.
sub all_restart {
    my ($self, $mode, %option) = @_;
    my $how = $option{native} ? ', with the TLS of OTP' : '';
    subtest "restarted with $mode$how" => sub { $self->restart($_, $mode, %option) for @{ $self->{hosts} } };
}

sub all_reload {
    my ($self, $mode) = @_;
    subtest "set to $mode" => sub { $self->reload($_, $mode) for @{ $self->{hosts} } };
}

# --- what distguard status shows ---

sub status {
    my ($self, $node) = @_;
    return decode_json($node->host->run($self->{lab}->tool, 'status', '--json', $node->pid)->out)->{processes}[0];
}

# The distribution connections of a node: [state, whether it is of an older policy].
sub connections {
    my ($self, $node) = @_;
    my $page = $self->status($node);
    return map { [$_->{state}, $_->{policy_generation} < $page->{policy}{generation} ? 'older' : 'current'] }
        grep { $_->{role} eq 'distribution' && ($_->{node} // '') =~ /^n@/ } @{ $page->{connections} };
}

sub status_shows {
    my ($self, $when, $state, $policy) = @_;
    for my $node ($self->nodes) {
        my @wanted = map { [$state, $policy] } $self->others($node->host);
        my @found;
        wait_for(10, sub { @found = $self->connections($node); @found == @wanted && !grep { $_->[0] ne $state } @found });
        is_deeply(\@found, \@wanted, "$when: the connections of " . $node->name . " are $state, by the $policy policy")
            or diag explain \@found, $self->logs;
    }
}

1;
