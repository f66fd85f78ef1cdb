#!/usr/bin/perl
# A cluster at work goes from OTP's own TLS (-proto_dist inet_tls) to distguard and back, node by node, as docs/rollout.md
# says: no partition, no call lost but to a node that is being restarted, and Mnesia whole.
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
# Names, for OTP 25 does not find an IP address in a certificate.
my $cluster = Distguard::Lab::Cluster->new($lab, \@hosts, at => sub { $_[0]->name . '.lab' });

$cluster->begin('allow', native => 1);
subtest 'native TLS, with the library' => sub {
    $cluster->is_whole('native');
    $cluster->nothing_wrong($_, 'native') for $cluster->nodes;
    is(scalar(() = map { $_->log(qr/event=\w+ .*role=distribution/) } @hosts), 0, 'which leaves distribution to the VM');
    cmp_ok(scalar(() = map { $_->log(qr/event=plaintext .*role=epmd/) } @hosts), '>=', 1, 'and has EPMD asked in plaintext');
};

$cluster->all_reload('prefer');
$cluster->all_restart('prefer');
subtest 'all by distguard' => sub {
    $cluster->status_shows('prefer', 'open', 'current');
    ok($cluster->status($_)->{require_is_safe}, 'require is safe for ' . $_->name) for $cluster->nodes;
};
$cluster->all_reload('require');

# And back.
$cluster->all_reload('prefer');
$cluster->all_restart('prefer', native => 1);
$cluster->all_reload('allow');

subtest 'the cluster has worked all the while' => sub { $cluster->has_worked };
subtest 'Mnesia is whole' => sub { $cluster->mnesia_is_whole(6) };

done_testing;
