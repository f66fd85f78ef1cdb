#!/usr/bin/perl
# That a column of the matrix is what it says: DISTGUARD_LAB_ERL_ARGS reaches the nodes, their distribution is carried by what
# it names, it is guarded, and listens where the policy says.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Capture;
use Distguard::Lab::Reach qw(listeners);
use Test::More;

my $arguments = $ENV{DISTGUARD_LAB_ERL_ARGS} // '';
my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);
my ($a, $b) = map { $_->[0]->node($_->[1], long => 1, shim => 1) } [$alpha, 'a'], [$beta, 'b'];

my $capture = $beta->capture;
is($a->call('net_adm:ping(' . $b->atom . ')'), 'pong', 'the nodes join');
my @streams = grep { length $_->{bytes} } $capture->stop;
my $network = $arguments =~ /inet6_tcp/ ? qr/^fd77:/ : qr/^10\.77\./;
cmp_ok(scalar(grep { $_->{from} =~ $network } @streams), '>=', 2, 'over the network that is meant');
is_deeply([map { Distguard::Lab::Capture::not_tls($_->{bytes}) // () } grep { $_->{from} !~ /^(127\.|0000:)/ } @streams], [],
    'by TLS alone');

my ($controller) = $a->call('erlang:system_info(dist_ctrl)') =~ /,(#Port|<)/;
is($controller, $arguments =~ /-inet_epmd socket/ ? '<' : '#Port', 'by the carrier that is meant');
is($a->call('application:get_env(kernel, inet_backend)'), $arguments =~ /inet_backend socket/ ? '{ok,socket}' : 'undefined',
    'with the backend that is meant');
like(join(' ', map { (split ' ')[0] } listeners($alpha, $a->pid)), qr/^\Q${\$alpha->place}\E$/, 'and listens at the designated address')
    if $alpha->shim_env;

done_testing;
