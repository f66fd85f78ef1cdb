#!/usr/bin/perl
# A cluster at work goes from plaintext to TLS and back, node by node, as docs/rollout.md says: no partition, no call lost
# but to a node that is being restarted, and Mnesia whole.
#
# DISTGUARD_LONG_TESTS=1 goes there and back once more before, by restarts alone.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Cluster;
use Test::More;

my $lab   = Distguard::Lab->new;
my @hosts = map { $lab->host($_) } qw(alpha beta gamma);
plan skip_all => 'a control run has no modes' if !$hosts[0]->shim_env;
my $cluster = Distguard::Lab::Cluster->new($lab, \@hosts, at => sub { $_[0]->ip });

$cluster->begin('off');
subtest 'off: the library is there and does nothing' => sub {
    $cluster->is_whole('off');
    $cluster->nothing_wrong($_, 'off') for $cluster->nodes;
    is(scalar(() = $cluster->logs), 0, 'and says nothing');
};

if ($ENV{DISTGUARD_LONG_TESTS}) {
    $cluster->all_restart($_) for qw(allow prefer require prefer allow off);
}

$cluster->all_restart('allow');
subtest 'allow: all plaintext' => sub { $cluster->status_shows('allow', 'plaintext', 'current') };

$cluster->all_reload('prefer');
subtest 'prefer, by the file: connections stay what they were' => sub {
    $cluster->status_shows('prefer', 'plaintext', 'older');
};

$cluster->all_restart('prefer');
subtest 'prefer, restarted: all TLS' => sub {
    $cluster->status_shows('prefer', 'open', 'current');
    ok($cluster->status($_)->{require_is_safe}, 'and status says of ' . $_->name . ' that require is safe')
        or diag explain $cluster->status($_)
        for $cluster->nodes;
};

$cluster->all_reload('require');
subtest 'require, by the file: they stay' => sub { $cluster->status_shows('require', 'open', 'older') };

$cluster->all_reload($_) for qw(prefer allow);
$cluster->all_restart('allow');
subtest 'allow, restarted: plaintext again' => sub { $cluster->status_shows('allow', 'plaintext', 'current') };
$cluster->all_restart('off');

subtest 'the cluster has worked all the while' => sub { $cluster->has_worked };
subtest 'Mnesia is whole' => sub { $cluster->mnesia_is_whole(12) };

done_testing;
