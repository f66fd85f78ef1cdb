#!/usr/bin/perl
# Nodes register with a guarded EPMD of their host as they always did: a node that dies is gone, 500 that come and go leave
# nothing behind, and after a restart of epmd the nodes register again and are found by other hosts.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Distguard::Lab;
use Distguard::Lab::Epmd qw(EPMD_PORT cpu_of epmd_pid fds_of memory_of start_epmd);
use Distguard::Lab::Wait qw(wait_for wait_until);
use Test::More;
use Time::HiRes qw(time);

use constant {
    MANY   => 500,
    GROWTH => 256,    # KiB, for 500 that came and went
};

my $lab = Distguard::Lab->new;
my ($alpha, $beta) = map { $lab->host($_) } qw(alpha beta);

sub names { join ' ', sort $alpha->run(qw(epmd -names))->out =~ /^name (\S+)/mg }

sub registers { $alpha->must($lab->root . '/tests/tools/epmd-register', @_) }

my $node = $alpha->node('a', long => 1, shim => 1);
my $peer = $beta->node('b', long => 1, shim => 1);
my $epmd = epmd_pid($alpha);

sub found_by_the_peer { $peer->call('net_adm:names("alpha")') =~ /\{"a",\d+\}/ }

ok(found_by_the_peer(), 'a node is found by another host');

subtest 'a node that dies' => sub {
    my $other = $alpha->node('c', long => 1, shim => 1);
    is(names(), 'a c', 'is there while it lives');
    $other->kill;
    ok(wait_for(5, sub { names() eq 'a' }), 'and is gone with it') or diag names();
    is($peer->call('net_adm:names("alpha")') =~ /"c"/ ? 'told' : 'not told', 'not told', 'to other hosts as well');
};

subtest 'a name that is taken' => sub {
    my $second = $alpha->start_node('a', long => 1, shim => 1);
    ok($second->process->wait(20), 'a second node of that name does not start') or $second->kill;
    is(names(), 'a', 'and the first stays');
};

subtest 'registrations and deregistrations' => sub {
    registers(MANY);
    my ($fds, $memory) = (fds_of($epmd), memory_of($epmd));
    registers(MANY);
    ok(wait_for(10, sub { fds_of($epmd) == $fds }), "@{[MANY]} leave no descriptor behind") or diag fds_of($epmd), " for $fds";
    my $grown = memory_of($epmd) - $memory;
    cmp_ok($grown, '<', GROWTH, "and no memory: $grown KiB more than after as many before");
    is(names(), 'a', 'nor a name');
};

subtest 'many at once' => sub {
    my $fds  = fds_of($epmd);
    my $held = $alpha->spawn($lab->root . '/tests/tools/epmd-register', '--hold', MANY);
    wait_until('they are registered: ' . $held->describe, 20, sub { $held->out =~ /^registered/m });
    my $told = () = $peer->call('net_adm:names("alpha")') =~ /"node\d+"/g;
    is($told, MANY, "another host is told of all");
    $held->kill;
    ok(wait_for(10, sub { fds_of($epmd) == $fds }), 'and all are gone');
};

subtest 'a restart of epmd' => sub {
    kill 'KILL', $epmd;
    wait_until('it is gone', 10, sub { $alpha->must(qw(ss -Htlnp)) !~ /"epmd"/ });
    is($peer->call('net_adm:names("alpha")') =~ /"a"/ ? 'told' : 'not told', 'not told', 'meanwhile it is not found');
    $epmd = start_epmd($alpha, shim => 1);
    ok(wait_for(10, sub { names() eq 'a' }), 'the node registers again by itself');
    ok(found_by_the_peer(), 'and is found by another host');
    is($peer->call('net_adm:ping(' . $node->atom . ')'), 'pong', 'and can be connected to');
    $epmd->kill;
};

subtest 'a local client that says nothing' => sub {
    $epmd = start_epmd($alpha, shim => 1, args => [qw(-packet_timeout 1)]);
    my $start  = time;
    my $silent = $alpha->spawn(qw(perl -MIO::Socket::IP -e),
        'my $s = IO::Socket::IP->new(PeerHost => "127.0.0.1", PeerPort => 4369) or die $@; sysread $s, my $b, 1; print "over"');
    ok($silent->wait(15), 'is hung up on by epmd itself (-packet_timeout)');
    cmp_ok(time - $start, '>', 0.9, sprintf 'after its time: %.1f s', time - $start);
    ok(wait_for(10, sub { names() eq 'a' }), 'a node may say nothing');
    my $before = cpu_of($epmd->pid);
    select undef, undef, undef, 2.5;
    is(names(), 'a', 'for longer than that');
    cmp_ok(cpu_of($epmd->pid) - $before, '<', 0.2, 'while epmd sleeps');
};

done_testing;
